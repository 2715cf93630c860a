/* upstreams.h: all MCP servers attached to this node. Starts and supervises them, finds out which
 * era of MCP each one speaks, offers their tools to the mesh, and serves the calls that the core
 * asks for. Pure; knows nothing of clients.
 *
 *   in:  CHILD_* and FETCH_* of the edge; REQUEST and CANCEL of the core; servers added, removed
 *        and restarted by people.
 *   out: CHILD_* and FETCH_* operations; OFFERs and EVENTs.
 *
 * One session (one child, one HTTP session) per server is shared by all callers, so it declares no
 * client capabilities: a server request could not be attributed to anybody. */
#ifndef UPSTREAMS_H
#define UPSTREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "node/edge.h"
#include "node/mcp/upstream/upstream_config.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/trace.h"
#include "proto/call.h"

#define UPSTREAMS_MAX 256             /* servers of one node */
#define UPSTREAM_IN_FLIGHT_MAX 1024   /* calls at one server; more: CALL_BUSY */
#define UPSTREAM_QUEUE_MAX 8388608    /* bytes waiting for a child's stdin; more: CALL_BUSY */
#define UPSTREAM_MESSAGE_MAX 33554432 /* bytes of one message from a server */
#define UPSTREAM_TOOLS_MAX 5000       /* tools of one server */
#define UPSTREAM_OFFER_MAX 4194304    /* bytes of one offer */
#define UPSTREAMS_DRAIN (5 * MN_SEC)
#define UPSTREAM_LOG_SIZE 65536 /* bytes of stderr kept per server */

struct upstreams; /* opaque */

struct upstreams_config {
    mn_id self;
    const mn_id *mesh_id;   /* zero until it is known; outlives this; NULL: there is no mesh */
    const uint8_t *seed;    /* RNG_SEED_SIZE bytes: jitter and hash seeds */
    struct mn_trace *trace; /* may be NULL */
    struct parsed *parsed;  /* outlives this; NULL: nobody reads our answers in this node */
};

/* Appended to, never cleared, by every function that takes it. Ids of children and fetches are made
 * here alone, even and rising; events with other ids are ignored. */
struct upstreams_outbox {
    struct edge_outbox *edge;
    struct call_outbox *calls;
};

enum upstreams_input_type {
    UPSTREAMS_IN_TICK = 1,
    UPSTREAMS_IN_EDGE, /* edge: a CHILD_* or FETCH_* event; other types are ignored */
    UPSTREAMS_IN_CALL, /* call: a REQUEST or CANCEL of the core; other types are ignored */
    UPSTREAMS_IN_STOP  /* withdraw everything, refuse new requests; each server is stopped when its
                          calls are answered, but not later than UPSTREAMS_DRAIN */
};

struct upstreams_input {
    enum upstreams_input_type type;
    const struct edge_input *edge;
    const struct call_message *call;
};

struct upstreams *upstreams_new(const struct upstreams_config *config);
void upstreams_free(struct upstreams *upstreams);

void upstreams_step(struct upstreams *upstreams, struct mn_now now,
                    const struct upstreams_input *input, struct upstreams_outbox *outbox);
mn_time upstreams_deadline(const struct upstreams *upstreams);
void upstreams_check(const struct upstreams *upstreams);

/* Every child and fetch is gone: true some time after UPSTREAMS_IN_STOP. */
bool upstreams_is_idle(const struct upstreams *upstreams);

/* People's commands. On an error nothing changed and [why] says what to do about it; it lives in
 * the arena of outbox->calls.
 * add: MN_CONFIG, MN_EXISTS (another configuration has that name; an equal one is MN_OK and changes
 *      nothing), MN_FULL, MN_STATE (stopping).
 * remove, restart: MN_NOT_FOUND. A restart forgets the era, the backoff and calls in flight. */
MN_MUST_USE mn_status upstreams_add(struct upstreams *upstreams, struct mn_now now,
                                    const struct upstream_config *config,
                                    struct upstreams_outbox *outbox, struct mn_span *why);
MN_MUST_USE mn_status upstreams_remove(struct upstreams *upstreams, struct mn_now now,
                                       struct mn_span name, struct upstreams_outbox *outbox,
                                       struct mn_span *why);
MN_MUST_USE mn_status upstreams_restart(struct upstreams *upstreams, struct mn_now now,
                                        struct mn_span name, struct upstreams_outbox *outbox,
                                        struct mn_span *why);

/* What there is to see. */
enum upstream_state {
    UPSTREAM_STOPPED = 0, /* being stopped: waits for its child to exit */
    UPSTREAM_STARTING,    /* the child was asked for */
    UPSTREAM_PROBING,     /* era, handshake and the first list */
    UPSTREAM_READY,
    UPSTREAM_BACKOFF, /* waits for its next start */
    UPSTREAM_AUTH,    /* the endpoint refuses our credentials; tried again with backoff */
    UPSTREAM_FAILED   /* several starts in a row failed; tried again with backoff */
};

struct upstream_info {
    struct mn_span name;
    bool is_http;
    struct mn_span target; /* command line, or URL without query */
    enum upstream_state state;
    mn_time since;              /* mono: when it entered this state */
    mn_time next_start;         /* mono; MN_TIME_NEVER unless it waits for a start */
    bool is_modern;             /* meaningful once [version] is not empty */
    struct mn_span version;     /* MCP revision spoken; empty: not known yet */
    struct mn_span server_info; /* JSON object; empty: not known yet */
    bool is_offered;
    uint32_t tools_count, in_flight_count;
    uint32_t tools_dropped_count; /* not offered: their definitions break a rule of the transport */
    uint64_t starts_count, calls_count, noise_count;
    struct mn_span error;       /* why it is not well, or was not last time; empty: never */
    struct mn_span lists_error; /* why not all is known of what it shows to whom; empty: nothing */
};

uint32_t upstreams_count(const struct upstreams *upstreams);

/* In order of name, [index] < upstreams_count(). Spans live until the next step or command. */
void upstreams_info(const struct upstreams *upstreams, uint32_t index, struct upstream_info *ret);

/* MN_NOT_FOUND */
MN_MUST_USE mn_status upstreams_find(const struct upstreams *upstreams, struct mn_span name,
                                     struct upstream_info *ret);

/* "ready", "backoff" and so on: stable, for JSON and tables. */
const char *upstream_state_name(enum upstream_state state);

/* One line that a server wrote to stderr, or that we have to say about it. */
struct upstream_log_line {
    uint64_t sequence; /* 1, 2, 3 ... per server */
    mn_time wall;      /* when its first byte came */
    struct mn_span text;
};

/* The oldest kept line with a sequence above [after]; false when there is none, or no such server.
 * Following a log is asking again with the last sequence seen. */
bool upstreams_log_next(const struct upstreams *upstreams, struct mn_span name, uint64_t after,
                        struct upstream_log_line *ret);

#endif
