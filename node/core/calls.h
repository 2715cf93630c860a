/* calls.h: calls of services, on both ends. Caller: finds who serves the name, lets mesh/balance
 * choose, sends the request, watches its times, and goes elsewhere when it must. Callee: executes
 * each call at most once, however often its envelope comes, and lets its own gateway serve it.
 *
 * What happens when a call cannot be finished where it was sent:
 *   certainly not started (never sent; refused as busy, not found, unavailable): the next
 *       candidate, up to attempts_max, within a budget of retry_percent of the requests to the
 *       failing node; then the last refusal is the answer
 *   it may have started (link down, server lost): the next candidate only if it is idempotent;
 *       else CALL_OUTCOME_UNKNOWN at once
 *   not sent, since the only candidates are suspects: waits until one is alive again, is lost, or
 *       verdict_max is over; then CALL_UNAVAILABLE
 *   the link to the only candidates was just lost, and replicas with other definitions have the
 *       name when those are dead: waits likewise
 *   out of time: CALL_TIMED_OUT, and the callee is told to cancel
 * A callee tells its gateway in the same step in which the link to a caller goes down that what it
 * executes for it is lost: nobody could hear the answer this way.
 *
 * Bounds: calls_max of the gateway, served_max of others; per (node, service) concurrent_max in
 * flight, and per service queued_max waiting for room; beyond them CALL_BUSY. */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "mesh/balance.h"
#include "node/core/services.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/call.h"

struct calls_config {
    mn_id self;
    uint32_t calls_max, served_max;  /* 4096 each */
    uint32_t concurrent_max;         /* 256; in flight per (node, service) */
    uint32_t queued_max;             /* 1024; waiting for that, per service */
    uint32_t served_peer_max;        /* 1024: executed at once for one node */
    uint32_t attempts_max;           /* 5 */
    uint32_t retry_percent;          /* 10 */
    mn_time verdict_max;             /* 5 s: waiting for a word on the only node, a suspect */
    const struct services *services; /* borrowed; only read */
    uint8_t seed[RNG_SEED_SIZE];
    struct mn_trace *trace; /* may be NULL */
};

/* The numbers in the comments above; self, services, seed and trace are left to the caller. */
struct calls_config calls_config_default(void);

enum calls_input_type {
    CALLS_IN_TICK = 1,
    CALLS_IN_START,   /* epoch: of this run, higher than that of any earlier one; again, with a
                         higher one, when such a run has turned up: calls at other nodes are lost */
    CALLS_IN_GATEWAY, /* REQUEST, CANCEL or EVENT of our own gateway */
    CALLS_IN_MESSAGE, /* from a linked node */
    CALLS_IN_UNSENT,  /* node, tag: of a SEND that certainly never left; before the LINK_DOWN */
    CALLS_IN_LINK_UP, /* rtt, may be 0 */
    CALLS_IN_LINK_DOWN,
    CALLS_IN_ROUTABLE, /* flag: false while the member is suspect or in conflict */
    CALLS_IN_LOAD,     /* rtt, load: what is known of a linked node by now */
    CALLS_IN_FORGET    /* the node is no member any more */
};

struct calls_input {
    enum calls_input_type type;
    mn_id node;
    union {
        uint64_t epoch;
        uint64_t tag;
        bool flag;
        const struct call_message *gateway; /* borrowed; payloads are shared */
        struct {
            struct mn_span bytes; /* borrowed */
            struct mn_buf *whole; /* they are part of this; NULL: of no buffer, or who knows */
        } message;
        struct {
            mn_time rtt;
            uint32_t load;
        } link;
    };
};

enum calls_class {
    CALLS_CLASS_REQUEST = 1, /* a cancel may overtake its request: then that is not executed */
    CALLS_CLASS_RESPONSE
};

struct calls_output { /* the only kind: send this to a linked node */
    mn_id to;
    enum calls_class class;
    struct mn_span head;    /* the message: this, in the arena, and then */
    struct mn_buf *payload; /* this; NULL: nothing. The receiver of the output owns this ref */
    bool is_chatty;         /* part of much that was said before: others' words may go first */
    uint64_t tag;           /* comes back in UNSENT; 0: not interested */
    mn_time timeout;        /* what is left of its time; 0: no limit */
};

struct calls_outbox {
    struct calls_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
    struct call_outbox *gateway; /* messages for the gateway go here */
};

struct calls;

struct calls *calls_new(const struct calls_config *config); /* never NULL */
void calls_free(struct calls *calls);
void calls_step(struct calls *calls, struct mn_now now, const struct calls_input *input,
                struct calls_outbox *outbox);
mn_time calls_deadline(const struct calls *calls);
void calls_check(const struct calls *calls);

/* Requests in flight of this node: executed for itself and for others. Rides on membership's soft
 * state as the load others see. */
uint32_t calls_load(const struct calls *calls);

struct calls_stats {
    uint32_t open;   /* of our gateway, not answered yet; with those that wait */
    uint32_t queued; /* of these, waiting for room at a node */
    uint32_t served; /* executed by our gateway, for itself and for others */
    uint64_t started, finished, failed, unknown, timed_out, cancelled;
    uint64_t failed_over; /* attempts at another node after one that failed */
    uint64_t duplicates;  /* envelopes that came again, or too late to tell */
    uint64_t messages_malformed;
    uint64_t retries_refused; /* by the budget */
};

struct calls_stats calls_stats(const struct calls *calls);

/* Why a call of a service goes where it goes, now. */
enum calls_reason {
    CALLS_REASON_OK = 1,
    CALLS_REASON_NO_LINK,
    CALLS_REASON_SUSPECT,
    CALLS_REASON_BREAKER, /* open, or its probes are out */
    CALLS_REASON_FULL     /* bulkhead */
};

struct calls_route {
    mn_id node;
    struct mn_span node_name;
    bool is_local, is_winner; /* winner: best score among all, or the local one */
    enum calls_reason reason;
    mn_time rtt;
    struct balance_explain score;
};

/* "ok", "no_link", "suspect", "breaker_open", "busy". */
const char *calls_reason_name(enum calls_reason reason);

/* Fills *ret (in [arena]) and returns how many candidates [service] has. */
uint32_t calls_explain(const struct calls *calls, struct mn_now now, struct mn_span service,
                       struct mn_arena *arena, struct calls_route **ret);

#endif
