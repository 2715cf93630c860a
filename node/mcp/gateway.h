/* gateway.h: what goes into the gateway and its two halves, and what comes out; limits that clients
 * meet. mcp.h has the contract. */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/keyring.h"
#include "node/edge.h"
#include "node/guard.h"
#include "node/mcp/names/curation.h"
#include "proto/base/id.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/call.h"

#define MCP_BODY_MAX 16777216             /* bytes of a request's body */
#define MCP_BODIES_MAX 268435456          /* bytes of all bodies not yet complete; of batches too */
#define MCP_SESSIONS_MAX 10000            /* legacy sessions */
#define MCP_STREAMS_MAX 10000             /* open listen and GET streams */
#define MCP_SUBSCRIPTIONS_MAX 100000      /* of clients to resources; a quarter of one */
#define MCP_CALLS_MAX 8192                /* calls of clients under way */
#define MCP_BATCH_MAX 64                  /* messages of one batch */
#define MCP_BATCH_ANSWERS_MAX 50331648    /* bytes of its answers */
#define MCP_KEEPALIVE (20 * MN_SEC)       /* between comments on a silent stream */
#define MCP_CHANGED_DELAY (100 * MN_MS)   /* changes of the lists within this time are told once */
#define MCP_SESSION_IDLE (30 * MN_MINUTE) /* a session nobody uses ends after this */

#define MCP_KEYS_WANTED_MAX 16

/* The mesh keys, and the ids of those that a sealed string named and that are not here: the core
 * asks other members for them, and the next string of that key opens. */
struct mcp_keys {
    struct keyring ring; /* empty until the first MCP_IN_KEYS */
    uint32_t wanted[MCP_KEYS_WANTED_MAX];
    uint32_t wanted_count;
};

/* Notes that this key is needed; one too many is dropped. */
void mcp_keys_want(struct mcp_keys *keys, uint32_t key_id);

/* One that is needed, once each; false: none. */
bool mcp_keys_take_wanted(struct mcp_keys *keys, uint32_t *ret);

/* Borrowed for mcp_new(), but for [trace]. */
struct mcp_config {
    mn_id self;
    const uint8_t *seed;    /* RNG_SEED_SIZE bytes: session ids, hash seeds, jitter */
    struct mn_trace *trace; /* may be NULL */

    struct guard *guard;           /* outlives the gateway; NULL: its own, of the following */
    const struct mn_span *bearers; /* secrets, one of which each HTTP request must bring; none: no
                                      authentication. Only their hashes are kept. */
    uint32_t bearers_count;
    const struct mn_span *hosts; /* "name" (any port) or "name:port", allowed in Host and Origin
                                    besides localhost, 127.0.0.1 and [::1] */
    uint32_t hosts_count;
    const bool *is_gathering; /* the node may not know all servers of the mesh yet; NULL: it does */
    uint64_t *writes_count;   /* number of the newest write of the node; NULL: it keeps nothing */
    struct mcp_keys *keys;    /* the gateway's own; mcp_new() sets it */
    struct parsed *parsed;    /* likewise */
    mn_time call_timeout;     /* a call without any event for so long; 0: 5 minutes */
    mn_time call_timeout_total; /* 0: 1 hour */
};

enum mcp_input_type {
    MCP_IN_TICK = 1,
    MCP_IN_EDGE,     /* edge; types that are not ours, and ids that we do not know, are ignored */
    MCP_IN_CALL,     /* call: a message of the core */
    MCP_IN_KEYS,     /* keys: the mesh keys of this node, copied */
    MCP_IN_NODES,    /* nodes: all other members that can be reached now, copied */
    MCP_IN_CARRIED,  /* carried: what the gateway of a member sent by a carry */
    MCP_IN_RECOVER,  /* recover: a stored pair for which mcp_is_key() */
    MCP_IN_CURATION, /* pairs: what operators agreed on (curation.h), all of it, copied */
    MCP_IN_STOP      /* refuse new requests, end streams, stop servers; running calls may finish */
};

struct mcp_input {
    enum mcp_input_type type;
    const struct edge_input *edge;
    const struct call_message *call;
    const struct keyring *keys;
    struct {
        const mn_id *items;
        uint32_t count;
    } nodes;
    struct {
        mn_id from;
        struct mn_span bytes;
    } carried;
    struct {
        struct mn_span key, value;
    } recover;
    const struct curation_pair *pairs;
    uint32_t pairs_count;
};

/* Messages for the gateways of other members; lost where there is no link. */
struct mcp_carry {
    mn_id to;
    struct mn_buf *buf; /* the receiver of the outbox owns this ref */
};

struct mcp_carries {
    struct mcp_carry *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

void mcp_carry(struct mcp_carries *carries, const mn_id *to, struct mn_buf *buf);

/* Appended to, never cleared. */
struct mcp_outbox {
    struct edge_outbox *edge;
    struct call_outbox *calls;
    struct mcp_carries *carries; /* NULL: there is nobody to talk to */
};

struct mcp_stats {
    uint32_t exchanges_count, sessions_count, streams_count, calls_count; /* now */
    uint64_t requests_count, refused_count; /* HTTP requests; those refused before their method */
    uint64_t calls_total, calls_failed;     /* tools/call; those answered with a JSON-RPC error */
    uint64_t tools_dropped;                 /* offered definitions that are no valid tools */
};

#endif
