/* rescue.h: what can be done for a metadata group that has lost its quorum. A pure function of what
 * the nodes that answer say about their logs, and of who is dead.
 *
 * Among nodes that intersect every quorum, the one with the newest log has all that was
 * acknowledged (Raft's own argument for elections). So nothing is lost unless the voters that are
 * gone were a quorum by themselves; then whatever only they had is gone with them. */
#ifndef RESCUE_H
#define RESCUE_H

#include "node/state/state.h"

enum rescue_verdict {
    RESCUE_POSSIBLE = 1,
    RESCUE_NOT_NEEDED, /* a leader is there, or a quorum that can elect one */
    RESCUE_TOO_SOON,   /* a voter that does not answer is not known to be dead for long enough */
    RESCUE_NOBODY      /* nobody who answers has a sound log */
};

/* A voter that did not answer. */
struct rescue_lost {
    mn_id node;
    mn_time since; /* mono: dead since; MN_TIME_NEVER: not known to be dead */
};

struct rescue_input {
    mn_time now;
    const struct state_position *positions; /* who answered */
    uint32_t positions_count;
    /* Since when is it dead, for every node of the mesh that is; others count as living. */
    const struct rescue_lost *dead;
    uint32_t dead_count;
};

struct rescue_plan {
    enum rescue_verdict verdict;
    const struct state_position *best; /* begins anew: the newest sound log; NULL: RESCUE_NOBODY */
    uint64_t epoch;                    /* of the new group */
    struct rescue_lost lost[QUORUM_VOTERS_MAX];
    uint32_t lost_count;
    bool is_lossless;      /* nothing that was acknowledged is lost */
    uint64_t known_commit; /* the highest index that anybody who answers knows was committed */
};

struct rescue_plan rescue_judge(const struct rescue_input *input);

#endif
