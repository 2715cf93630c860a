/* groups_sim.h: many consensus groups on three to five hosts in virtual time, under the product's
 * own consensus/groups and node/seglog. Loss, delay, cuts, pauses, crashes with torn records, logs
 * that rot or are lost. What raftsim checks of one group is checked of each: one leader per term,
 * the same entries everywhere, nothing that was committed is lost; in the end all groups recover,
 * and those that are idle rest. */
#ifndef GROUPS_SIM_H
#define GROUPS_SIM_H

#include "sim/common/story.h"

enum groups_decision {
    GROUPS_CRASH,
    GROUPS_PAUSE,
    GROUPS_CUT_ONE_WAY,
    GROUPS_CUT,
    GROUPS_HEAL,
    GROUPS_OP, /* a client proposes: a decision too, no fault */
    GROUPS_DECISIONS
};

extern const char *const groups_decision_names[GROUPS_DECISIONS];

struct groups_sim_options {
    const struct story *story; /* seed, times, hosts; left_out bit 0: no loss */
    bool is_told;              /* and all decisions */
    struct story *notes;       /* NULL: nobody wants them */
    uint32_t groups_count;     /* 0: drawn */
};

struct groups_sim_stats {
    uint64_t steps, packets, messages, proposals, applied, crashes, rots, wipes, cuts, groups;
    uint64_t idle_packets; /* in the last second, when all groups rest */
};

/* True: all held. Otherwise [failure] says what did not, at [*at]. */
bool groups_sim_run(const struct groups_sim_options *options, struct groups_sim_stats *stats,
                    uint64_t *hash, mn_time *at, char failure[256]);

#endif
