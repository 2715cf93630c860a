/* metrics.h: what a node says about itself in numbers, signed, so that others can weigh its vote by
 * it: each member sends its own to all it has a link to, and a voter holds what it heard against
 * the weights of a proposal. A node can lie about itself; that is why every weight is capped to a
 * quarter of the sum (consensus/decision.h).
 *
 * Pure: what is measured is the owner's business. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>

#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

/* X(NAME, "name in rules and lists", what it is) */
#define METRICS_LIST(X)                                                                \
    X(LOAD, "load", "calls that this node executes now")                               \
    X(FAILURES, "failures", "part of its clients' calls that failed, 0 to 1")          \
    X(LINKS, "links", "part of the other live members that it has a link to, 0 to 1")  \
    X(NODES, "nodes", "live members it knows, itself included")                        \
    X(RTT, "rtt_ms", "mean round trip to the members it has a link to; none: unknown") \
    X(UPTIME, "uptime_s", "seconds since it started")

enum metric {
#define X(name, text, about) METRIC_##name,
    METRICS_LIST(X)
#undef X
        METRIC_COUNT
};

#define METRICS_RECORD_MAX ((size_t)512) /* bytes */

/* Calls at once with which a node weighs half: a quarter of those that one service may have in
 * flight at a node (node/core/calls.h), so that one whose only service is full still weighs a
 * fifth. Whoever checks a certificate counts with it, so all members must: it is part of the
 * protocol. */
#define METRICS_LOAD_HALF 64u
#define METRICS_SKEW (2 * MN_MINUTE) /* older, or further ahead, is not taken */

/* NaN: not known. */
struct metrics {
    double values[METRIC_COUNT];
};

const char *metric_name(enum metric metric);
const char *metric_about(enum metric metric);

/* METRIC_COUNT: there is none of that name. */
enum metric metric_find(struct mn_span name);

/* 1,000 * links * (1 - failures) / (1 + load / METRICS_LOAD_HALF), rounded down: 1,000 for a node
 * that is well. 0 if one of them is unknown, or out of its range. Counted in integers, after links
 * and failures are rounded to millionths: the same everywhere. */
uint32_t metrics_weight(const struct metrics *metrics);

/* The caller owns the ref. */
struct mn_buf *metrics_encode(const struct metrics *metrics, const mn_id *mesh_id,
                              const struct sign_key *key, struct mn_now now);

/* What the node [pk], and nobody else, said. MN_MALFORMED, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status metrics_decode(struct mn_span record, const mn_id *mesh_id,
                                     uint8_t ret_pk[SIGN_PK_SIZE], uint64_t *ret_wall_ms,
                                     struct metrics *ret);

#endif
