/* balance.h: which of the nodes that offer a service takes a call. Per (node, service) it keeps
 *
 *   latency   peak EWMA as in Finagle: jumps up to a slow answer, decays by half every
 *             BALANCE_HALF_LIFE; while nothing is heard it decays to the link's own round trip
 *   RIF       requests in flight: our own, plus what the node last reported of all its callers
 *   breaker   opens on >= 50% failures of >= 20 calls in 10 s, or on 5 in a row; stays open 1 s,
 *             doubling to 60 s, jittered; then lets 3 probes pass, whose success closes it
 *
 * The choice: a local replica first; else two random eligible nodes, of which the lower score wins
 * (Mitzenmacher 2001), unless one of them is hot: then the lower RIF does (Prequal: Wydrowski et
 * al., NSDI 2024; hot = over the 84th percentile of the candidates' RIF). Score, in thousandths:
 * 500 latency * (RIF + 1) + 300 reported load + 200 unavailability, each relative to the worse of
 * the compared.
 *
 * Integers only, so that one seed replays to the same choices with any compiler. No deadline:
 * everything is worked out when asked. */
#ifndef BALANCE_H
#define BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"

#define BALANCE_HALF_LIFE (5 * MN_SEC)
#define BALANCE_SERVICE_MAX 64 /* bytes of a service name */

struct balance_config {
    mn_id self;
    uint32_t concurrent_max; /* bulkhead: own calls in flight per (node, service) */
    uint32_t entries_max;    /* (node, service) pairs remembered; the longest unused one goes */
    uint8_t seed[RNG_SEED_SIZE];
    struct mn_trace *trace; /* may be NULL */
};

/* A node that could take the call. */
struct balance_candidate {
    mn_id node;
    mn_time rtt;   /* of the link; 0: unknown, or the node itself */
    uint32_t load; /* requests in flight that the node reported; 0 when it did not */
};

enum balance_breaker { BALANCE_CLOSED = 1, BALANCE_OPEN, BALANCE_HALF_OPEN };

/* Why a node would be taken or not. */
struct balance_explain {
    enum balance_breaker breaker;
    bool is_eligible; /* the breaker lets a call pass, and the bulkhead has room */
    bool is_full;     /* bulkhead */
    bool is_hot;
    mn_time latency;       /* peak EWMA, or the round trip when nothing is known */
    uint32_t in_flight;    /* ours */
    uint32_t load;         /* reported */
    uint32_t availability; /* of 1000 */
    uint32_t score;        /* of 1000, lower is better; relative to the worst candidate */
    uint32_t score_latency, score_load, score_availability; /* its parts */
    mn_time open_for;                                       /* OPEN: until probes may pass */
    uint64_t calls, failures;                               /* since the pair is known */
};

/* How a call ended, as far as the node that served it is to blame. */
enum balance_outcome {
    BALANCE_OK = 1,
    BALANCE_FAILED,
    BALANCE_REFUSED, /* too busy: hot for a moment, no failure */
    BALANCE_UNKNOWN  /* cancelled by the caller: says nothing */
};

struct balance *balance_new(const struct balance_config *config); /* never NULL */
void balance_free(struct balance *balance);

/* Chooses one of [candidates] and returns its index, or -1 when none is eligible. Nothing is
 * counted before balance_started(). */
int32_t balance_pick(struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count);

/* True when the choice failed only because bulkheads are full: waiting helps. */
bool balance_is_full(const struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count);

/* Each started call is finished once. [took] is its time up to the first event. A call that lasts
 * is a good probe once it is heard of: its end may be hours away. */
void balance_started(struct balance *balance, struct mn_now now, struct mn_span service,
                     const mn_id *node);
void balance_heard(struct balance *balance, struct mn_now now, struct mn_span service,
                   const mn_id *node);
void balance_finished(struct balance *balance, struct mn_now now, struct mn_span service,
                      const mn_id *node, enum balance_outcome outcome, mn_time took);

/* Fills ret[count], one per candidate. */
void balance_explain(const struct balance *balance, struct mn_now now, struct mn_span service,
                     const struct balance_candidate *candidates, uint32_t count,
                     struct balance_explain *ret);

void balance_check(const struct balance *balance);

#endif
