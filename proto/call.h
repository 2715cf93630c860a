/* call.h: what the gateway (node/mcp) and the core (node/core) say to each other. Neither includes
 * the other; node/node.c carries these messages across. Payloads are opaque to the core.
 *
 *   gateway -> core: OFFER what a local server can do; REQUEST a call of some service; INPUT for
 *                    it while it runs; CANCEL it; EVENTs that answer a call the core asked it to
 *                    serve.
 *   core -> gateway: SERVICEs of the whole mesh as they come, change and go; REQUEST to serve a
 *                    call at a local server; INPUT for that; CANCEL it; EVENTs that answer the
 *                    gateway's own calls.
 *
 * A ticket names a call between the two: the requesting side chooses it, and never uses it twice.
 * Every REQUEST is answered by any number of PROGRESS events and then exactly one last event
 * (RESULT or FAILED), unless its requester cancels it: then nothing more comes. INPUT goes to
 * whoever executes the call; before anybody does (no event yet), and after the last event, it is
 * dropped. It counts as a sign of life, like an event. */
#ifndef CALL_H
#define CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"

#define CALL_NAME_MAX 128 /* bytes of a service name: server name (64), dot, node name (63) */
#define CALL_KEY_SIZE 16

/* The mesh itself, a service of every node; no server has this name. */
#define CALL_NAME_MESH "mesh"

/* A local server's offer to the mesh. A new offer of the same name replaces the old one. */
struct call_offer {
    struct mn_span name;                /* server name, [A-Za-z0-9_-]{1,64} */
    struct mn_buf *body;                /* what it can do; NULL: the offer is withdrawn */
    uint8_t replica_key[CALL_KEY_SIZE]; /* equal bodies with equal keys are replicas; zero: never */
};

/* A server somewhere in the mesh, under one of its names. Offers of one name that are replicas of
 * each other make one listed service NAME. Otherwise each is listed as NAME.NODE, and NAME is a
 * conflict: it belongs to nobody. NAME.NODE can always be called, listed or not. */
struct call_service {
    struct mn_span name;
    struct mn_buf *body;      /* NULL: gone, or a conflict */
    uint32_t providers_count; /* nodes that can serve it now */
    bool is_listed;           /* shown in aggregated lists */
    bool is_conflict;
    bool is_kept; /* a conflict: the name is another server's, which is away */
};

struct call_request {
    uint64_t ticket;
    struct mn_span service;
    struct mn_buf *payload;
    mn_time timeout;       /* without any event for so long: CALL_TIMED_OUT */
    mn_time timeout_total; /* however many events come */
    bool is_idempotent;    /* may be executed again elsewhere when its outcome is unknown */
    mn_id node;            /* zero: wherever it is served best; else only there */
    bool wants_place;      /* each attempt begins with a PROGRESS without payload: its node */
    struct mn_span trace;  /* W3C traceparent, or empty; travels with the call */
};

enum call_event_kind { CALL_EVENT_PROGRESS = 1, CALL_EVENT_RESULT, CALL_EVENT_FAILED };

enum call_failure {
    CALL_FAILED_NONE = 0,
    CALL_NOT_FOUND,       /* no such service, or it is gone */
    CALL_CONFLICT,        /* the name belongs to several servers; text lists theirs */
    CALL_UNAVAILABLE,     /* certainly not executed: nobody reachable could take it */
    CALL_BUSY,            /* certainly not executed: limits */
    CALL_TIMED_OUT,       /* outcome unknown */
    CALL_OUTCOME_UNKNOWN, /* the serving node or server was lost in the middle */
    CALL_UPSTREAM,        /* the server answered, but not with anything usable */
    CALL_TOO_BIG,         /* the server answered with more than a call may carry */
    CALL_TAKEN,           /* its client goes on with it at another node, which hears of it now */
    CALL_GONE             /* a client goes on with it, but neither it nor its answer is there */
};

struct call_event {
    uint64_t ticket;
    enum call_event_kind kind;
    enum call_failure failure; /* with FAILED */
    struct mn_buf *payload;    /* with PROGRESS and RESULT */
    struct mn_span text;       /* with FAILED: for people, what, where and what to do */
    mn_id node;                /* who served it; zero: nobody did */
};

/* What the requester has to say while its call runs. */
struct call_more {
    uint64_t ticket;
    struct mn_buf *payload;
};

enum call_message_type {
    CALL_MESSAGE_OFFER = 1,
    CALL_MESSAGE_SERVICE,
    CALL_MESSAGE_REQUEST,
    CALL_MESSAGE_CANCEL, /* ticket */
    CALL_MESSAGE_EVENT,
    CALL_MESSAGE_INPUT /* more */
};

struct call_message {
    enum call_message_type type;
    bool is_lost; /* CANCEL: nobody said so, but whoever requested it cannot be reached any more */
    union {
        struct call_offer offer;
        struct call_service service;
        struct call_request request;
        struct call_event event;
        struct call_more more;
        uint64_t ticket;
    };
};

/* Like every outbox: owned by the caller of a step, which appends. Buffers in it are the outbox's
 * own refs; spans live in the arena. */
struct call_outbox {
    struct call_message *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

struct call_message *call_emit(struct call_outbox *outbox, enum call_message_type type);

/* The buffer of a message, if its type has one; else NULL. */
struct mn_buf *call_message_buf(const struct call_message *message);

/* Lets go of the buffers and empties the outbox; the arena is the caller's to reset. */
void call_outbox_reset(struct call_outbox *outbox);

/* "not_found", "outcome_unknown" and so on: stable, for JSON and logs. */
const char *call_failure_name(enum call_failure failure);

#endif
