/* groups_sim.h: many consensus groups on three to five hosts in virtual time, under the product's
 * own consensus/groups and node/seglog. Loss, delay, cuts, pauses, crashes with torn records, logs
 * that rot. What raftsim checks of one group is checked of each: one leader per term, the same
 * entries everywhere, nothing that was committed is lost; in the end all groups recover, and those
 * that are idle rest. */
#ifndef GROUPS_SIM_H
#define GROUPS_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct groups_sim_options {
    uint64_t seed, faults_for, quiet_for; /* us */
    uint32_t groups_count;                /* 0: drawn */
    bool is_verbose;
};

struct groups_sim_stats {
    uint64_t steps, packets, messages, proposals, applied, crashes, rots, cuts, woken, groups;
    uint64_t idle_packets; /* in the last second, when all groups rest */
};

/* True: all held. Otherwise [failure] says what did not. */
bool groups_sim_run(const struct groups_sim_options *options, struct groups_sim_stats *stats,
                    uint64_t *hash, char failure[256]);

#endif
