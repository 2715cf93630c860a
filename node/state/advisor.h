/* advisor.h: which weights would make commits faster. The shape of WHEAT (Sousa & Bessani,
 * "Separating the WHEAT from the Chaff", SRDS 2015): of n = 2f + 1 + e voters the f best placed
 * weigh 1 + e/f, the others 1, so that a quorum of the best is small; e is 2 here, which gives away
 * one of the failures that equal weights would bear. As in AWARE (Berger et al., 2020) the
 * placement is measured: how long a voter takes until what the leader proposed is on its disk.
 *
 * A pure function. What comes out is a wish, which goes the way of every other one (metadata.h). */
#ifndef ADVISOR_H
#define ADVISOR_H

#include "consensus/quorum.h"
#include "proto/base/time.h"

struct advisor_voter {
    uint32_t weight; /* in effect */
    mn_time ack;     /* from proposal to durable there; 0: not measured. A microsecond at least */
    bool is_alive;
};

struct advisor_advice {
    uint32_t weights[QUORUM_VOTERS_MAX];
    mn_time now, then;      /* predicted until a quorum has it; MN_TIME_NEVER: cannot be said */
    uint32_t gain_permille; /* of [now] */
};

/* For 1 .. QUORUM_VOTERS_MAX voters. Below five there is nothing to give away, and as long as the
 * placement gains less than QUORUM_REWEIGH_GAIN_PERMILLE over equal weights, these are advised. */
struct advisor_advice advisor_judge(const struct advisor_voter *voters, uint32_t count);

#endif
