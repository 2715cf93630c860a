/* admin.h: what an operator sees and steers: `/v1/...`, `/healthz` and `/readyz`, over the admin
 * socket and, with an API token, over HTTP. meshctl speaks nothing else (and `/mcp`).
 *
 * Reads the core directly. What it cannot see, the gateway's servers and tools, it asks for: an
 * ADMIN_OUT_GATEWAY output is answered by one ADMIN_IN_GATEWAY input of the same ticket. Commands
 * to the core go out as ADMIN_OUT_COMMAND and come back as ADMIN_IN_REPLY.
 *
 * Every answer is {"api":"meshctl/v1","kind":...,...}; docs/API.md lists paths and members. */
#ifndef ADMIN_H
#define ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "node/core/core.h"
#include "node/edge.h"
#include "node/guard.h"
#include "node/state/state.h"
#include "proto/base/buf.h"
#include "proto/base/trace.h"

/* Borrowed for admin_new(), but for [core], which outlives the admin core. */
struct admin_config {
    const struct core *core;
    const struct state *state;   /* what the mesh agrees on; outlives the admin core too */
    struct guard *guard;         /* outlives the admin core; NULL: its own, of [hosts] */
    const uint8_t *seed;         /* RNG_SEED_SIZE bytes, for API tokens; NULL: zeros (tests) */
    uint64_t *writes_count;      /* number of the newest write of the node; NULL: its own */
    bool is_dev;                 /* `/v1` needs no token on loopback */
    bool allows_remote_exec;     /* servers may be added with a command by other than the socket */
    bool needs_bearer;           /* what `/mcp` asks of clients over HTTP; for `client` */
    struct mn_span http_listen;  /* "127.0.0.1:7080" as resolved; for `client` */
    const struct mn_span *hosts; /* "name" or "name:port", allowed in Host and Origin */
    uint32_t hosts_count;
    struct mn_span settings; /* JSON array of {key, value, origin}, secrets left out, for `config`;
                                empty: none are known */
};

enum admin_gateway_verb {
    ADMIN_GATEWAY_SERVERS = 1,    /* JSON array of servers */
    ADMIN_GATEWAY_SERVER,         /* name: one of these; MN_NOT_FOUND */
    ADMIN_GATEWAY_SERVER_ADD,     /* text: {"NAME": {command, args, ... | url, ...}} */
    ADMIN_GATEWAY_SERVER_REMOVE,  /* name */
    ADMIN_GATEWAY_SERVER_RESTART, /* name */
    ADMIN_GATEWAY_SERVER_LOGS,    /* name, after: JSON array of {sequence, time, text} */
    ADMIN_GATEWAY_TOOLS,          /* JSON array of {name, server, tool, nodes, ..., definition} */
    ADMIN_GATEWAY_TOOL,           /* name: one of these, also one that is callable but not listed */
    ADMIN_GATEWAY_VIEWS,          /* JSON array of views */
    ADMIN_GATEWAY_VIEW,           /* name: one of these, with what it shows */
    ADMIN_GATEWAY_VIEW_CHECK,     /* name, text: whether that is a view; no JSON */
    ADMIN_GATEWAY_PINS,           /* JSON array of tools that are pinned or in quarantine */
    ADMIN_GATEWAY_RULE,           /* name: {key, pin, current, ...}: what is agreed on that tool */
    ADMIN_GATEWAY_GATHER, /* after: ms. JSON object {took_ms, items: [{id, check}]}: what each
                             member finds (`/v1/check`), null for those that did not say */
    ADMIN_GATEWAY_COUNTS  /* JSON object: {listed: tools that clients see, held: tools that are
                             held back, offered: {NAME.NODE:
                             number of its tools}, servers: as above} */
};

struct admin_gateway_request {
    uint64_t ticket;
    enum admin_gateway_verb verb;
    struct mn_span name, text;
    uint64_t after;
};

struct admin_gateway_answer {
    uint64_t ticket;
    mn_status status;
    struct mn_span json; /* with MN_OK; empty for commands */
    struct mn_span why;  /* with an error: for people */
};

enum admin_input_type {
    ADMIN_IN_TICK = 1,
    ADMIN_IN_EDGE,    /* edge: an HTTP_* event, or ROOT_KEY */
    ADMIN_IN_EVENT,   /* event: something a core reported */
    ADMIN_IN_REPLY,   /* reply: of the core */
    ADMIN_IN_GATEWAY, /* gateway: the gateway's answer */
    ADMIN_IN_STATE,   /* state: of an ADMIN_OUT_STATE with that ticket */
    ADMIN_IN_RECOVER, /* recover: a stored pair for which admin_is_key() */
    ADMIN_IN_DURABLE, /* durable: every write up to this number is on stable storage */
    ADMIN_IN_STOP     /* the node is leaving: not ready any more */
};

struct admin_input {
    enum admin_input_type type;
    union {
        const struct edge_input *edge;
        const struct mn_trace_event *event;
        const struct core_reply *reply;
        const struct admin_gateway_answer *gateway;
        const struct state_answer *state;
        uint64_t durable;
        struct {
            struct mn_span key, value;
        } recover;
    };
};

enum admin_output_type { ADMIN_OUT_COMMAND = 1, ADMIN_OUT_GATEWAY, ADMIN_OUT_STATE };

struct admin_output {
    enum admin_output_type type;
    union {
        struct core_command command;
        struct admin_gateway_request gateway;
        struct state_request state;
    };
};

struct admin_outbox {
    struct admin_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
    struct edge_outbox *edge; /* HTTP outputs and writes go here */
};

struct admin;

struct admin *admin_new(const struct admin_config *config);
void admin_free(struct admin *admin);
void admin_step(struct admin *admin, struct mn_now now, const struct admin_input *input,
                struct admin_outbox *outbox);
/* What it keeps in the node's store: "apitoken/<id>". */
bool admin_is_key(struct mn_span key);
mn_time admin_deadline(const struct admin *admin);
void admin_check(const struct admin *admin);

#endif
