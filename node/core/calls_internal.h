/* calls_internal.h: what the two halves of calls.h share: calls.c is the caller, calls_serve.c the
 * callee. */
#ifndef CALLS_INTERNAL_H
#define CALLS_INTERNAL_H

#include "node/core/call_window.h"
#include "node/core/calls.h"
#include "node/core/callwire.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define CALLS_ATTEMPTS_LIMIT 16 /* upper bound of config.attempts_max */
#define CALLS_BUDGET_MAX 10000  /* hundredths: a burst of 100 retries; a guess */

/* Calls between two nodes are found by node id and number. */
#define CALLS_KEY_SIZE (sizeof(mn_id) + sizeof(uint64_t))

/* A tag says what a lost envelope was. */
enum calls_tag { CALLS_TAG_NONE = 0, CALLS_TAG_REQUEST = 1, CALLS_TAG_RESULT = 2 };

static inline uint64_t calls_tag(enum calls_tag what, uint64_t seq)
{
    return seq << 2 | (uint64_t)what;
}

/* Another node, or this one. */
struct calls_peer {
    struct mn_map_entry in_map;
    mn_id node;
    bool is_linked, is_routable;
    mn_time lost_at;   /* when its link was lost; 0: it never was */
    bool is_forgotten; /* no member any more: goes with its link */
    mn_time rtt;
    uint32_t load;

    /* as our callee */
    uint64_t seq_last;       /* number of the last request sent to it */
    uint32_t budget;         /* in hundredths of a retry */
    struct mn_list attempts; /* calls in flight there */

    /* as our caller */
    uint64_t boot; /* newest seen; 0: none */
    struct call_window *window;
    struct mn_list served;
    uint32_t served_count;
};

enum call_state { CALL_WAITING = 1, CALL_LOCAL, CALL_REMOTE };

/* What our gateway executes, for itself or for a peer; [ticket] is ours. */
struct execution {
    struct mn_map_entry in_map;
    uint64_t ticket;
    bool is_served; /* part of a struct served; else of a struct call */
};

/* A request of our gateway, until its last event. */
struct call {
    struct mn_map_entry in_map; /* by ticket */
    struct mn_heap_entry timer; /* at the earlier of [idle_at], [total_at] */
    uint64_t ticket;
    struct mn_buf *payload, *trace;
    mn_time timeout, idle_at, total_at;
    bool is_idempotent, wants_place;
    mn_id only;                  /* zero: anywhere */
    char service[CALL_NAME_MAX]; /* as asked */
    uint8_t service_size;

    enum call_state state;
    char offer[CATALOG_OFFER_NAME_MAX]; /* the server's own name */
    uint8_t offer_size;
    struct mn_list in_wait; /* WAITING */
    bool waits_verdict;     /* WAITING: for a word on a suspect, with its own limit in [idle_at] */

    /* The attempt in flight. */
    struct calls_peer *peer;
    char node_name[SERVICES_NODE_NAME_MAX + 1];
    struct mn_list in_peer;
    struct mn_map_entry in_remote; /* REMOTE: by peer and seq */
    uint64_t boot;                 /* REMOTE: the epoch it was sent in */
    uint8_t key[CALLS_KEY_SIZE];
    struct execution local; /* LOCAL */
    mn_time sent_at, took;  /* took: to the first event; 0: none yet */

    /* Where it was refused. */
    mn_id tried[CALLS_ATTEMPTS_LIMIT];
    uint32_t tried_count;
    bool was_lost; /* one of them was lost while it had the call, and may have executed it */
};

/* Those that wait for room at the nodes of one service. */
struct waitlist {
    struct mn_map_entry in_map;
    struct mn_list calls, in_dirty;
    uint32_t count;
    char name[CATALOG_OFFER_NAME_MAX];
};

/* A peer's call that our gateway executes. */
struct served {
    struct execution execution;
    struct mn_list in_peer;
    struct mn_map_entry in_map; /* by peer and seq */
    struct mn_heap_entry timer;
    struct calls_peer *peer;
    uint64_t boot, seq;
    uint64_t said; /* bytes of its events so far */
    uint8_t key[CALLS_KEY_SIZE];
};

struct calls {
    struct calls_config config;
    uint64_t epoch;     /* 0: not started */
    uint64_t seq_floor; /* peers that come back go on from here: they may remember us */
    struct balance *balance;
    struct calls_peer *self;
    struct mn_map peers, open, remote, executions, served, waitlists;
    struct mn_heap timers, served_timers;
    struct mn_list dirty; /* waitlists of services at which something ended */
    uint64_t execution_last;
    uint32_t queued_count;
    struct calls_stats stats;

    /* Valid during a step. */
    struct mn_now now;
    struct calls_outbox *outbox;
};

static inline struct mn_span calls_key(const mn_id *node, uint64_t seq, uint8_t key[CALLS_KEY_SIZE])
{
    memcpy(key, node->bytes, sizeof node->bytes);
    mn_store_u64(key + sizeof node->bytes, seq);
    return mn_span(key, CALLS_KEY_SIZE);
}

static inline struct mn_span calls_service(const struct call *call)
{
    return mn_span(call->service, call->service_size);
}

static inline struct mn_span calls_offer(const struct call *call)
{
    return mn_span(call->offer, call->offer_size);
}

static inline bool calls_peer_is_self(const struct calls *calls, const struct calls_peer *peer)
{
    return peer == calls->self;
}

/* Failures that a gateway gives only to what it has not begun. */
static inline bool calls_is_not_started(enum call_failure failure)
{
    return failure == CALL_NOT_FOUND || failure == CALL_CONFLICT || failure == CALL_UNAVAILABLE ||
           failure == CALL_BUSY;
}

/* ---- calls.c ---- */

struct calls_peer *calls_peer(const struct calls *calls, const mn_id *node); /* or NULL */
struct calls_output *calls_send(struct calls *calls, struct calls_peer *peer,
                                const struct callwire *message, struct mn_buf *payload,
                                uint64_t tag);

/* Gives [execution] a new ticket. */
void calls_execution_add(struct calls *calls, struct execution *execution);
void calls_execution_remove(struct calls *calls, struct execution *execution);

/* ---- calls_attempt.c ---- */

/* Why a call cannot go on. */
struct refusal {
    enum call_failure failure;
    struct mn_span text;
    mn_id node; /* zero: nobody had it */
};

#define CALLS_REFUSE(calls, failure, ...) \
    ((struct refusal){                    \
        (failure), mn_span_str(mn_arena_format((calls)->outbox->arena, __VA_ARGS__)), {{0}}})

enum calls_dispatched { CALLS_SETTLED, CALLS_WAITS };

/* Sends the call somewhere, lets it wait, or fails it: with [last], if it was refused before. */
enum calls_dispatched calls_dispatch(struct calls *calls, struct call *call,
                                     const struct refusal *last);

/* Sets the timer to the earlier of the two limits. */
void calls_arm(struct calls *calls, struct call *call);

/* A call has waited for too long: it fails. */
void calls_wait_timeout(struct calls *calls, struct call *call);

/* A call that waits leaves its list. */
void calls_wait_end(struct calls *calls, struct call *call);
void calls_waitlist_remove(struct calls *calls, struct waitlist *list);

/* Whoever executes the attempt in flight shall stop. */
void calls_attempt_abort(struct calls *calls, struct call *call);

/* Whoever executes the attempt in flight hears what the requester has to say. */
void calls_attempt_input(struct calls *calls, struct call *call, struct mn_buf *payload);

/* The attempt in flight is over; those that wait for its place get their turn at the end of the
 * step. */
void calls_attempt_end(struct calls *calls, struct call *call, enum balance_outcome outcome);

void calls_call_free(struct call *call);

/* Forgets a call that is nowhere in flight; the second tells the gateway why first. */
void calls_end(struct calls *calls, struct call *call);
void calls_fail(struct calls *calls, struct call *call, const struct refusal *refusal);

/* An event about the attempt in flight of a call. */
void calls_on_progress(struct calls *calls, struct call *call, struct mn_buf *payload);
void calls_on_result(struct calls *calls, struct call *call, struct mn_buf *payload);
void calls_on_failed(struct calls *calls, struct call *call, enum call_failure failure,
                     bool not_started, struct mn_span text);

/* ---- calls_serve.c ---- */

void calls_serve_request(struct calls *calls, struct calls_peer *peer,
                         const struct callwire *message, struct mn_buf *whole);
void calls_serve_cancel(struct calls *calls, struct calls_peer *peer,
                        const struct callwire *message);

/* [whole]: as of a request. */
void calls_serve_input(struct calls *calls, struct calls_peer *peer, const struct callwire *message,
                       struct mn_buf *whole);

/* What our gateway says of a call that it executes for a peer. */
void calls_serve_event(struct calls *calls, struct served *served, const struct call_event *event);

/* A last word of ours could not be sent: say at least that. */
void calls_serve_unsent(struct calls *calls, struct calls_peer *peer, uint64_t seq);

/* Nobody can hear the answers any more. */
void calls_serve_lost(struct calls *calls, struct calls_peer *peer);
void calls_serve_timers(struct calls *calls);

#endif
