/* groups_world.h: what the files of groupsim share: groups_host.c (what a host does, its life),
 * groups_world.c (time, faults, load, and what must hold). */
#ifndef SIM_GROUPS_WORLD_H
#define SIM_GROUPS_WORLD_H

#include "consensus/groups.h"
#include "proto/base/list.h"
#include "sim/common/vlog.h"
#include "sim/groups/groups_sim.h"

#define HOSTS_MAX 5u
#define GROUPS_MAX 64u
#define INDEX_MAX 4096u
#define TICK MN_MS
#define START MN_SEC

struct packet {
    struct mn_list list; /* in order of [at] */
    mn_time at;
    uint32_t from, to;
    struct mn_buf *buf;
};

struct machine { /* of one group on one host: a chain over all that was applied */
    uint64_t index, chain;
};

struct host {
    uint32_t index;
    struct groups *groups; /* NULL while down */
    struct vlog log;
    uint64_t writes;
    mn_time synced_at, paused_until, up_at; /* synced_at: MN_TIME_NEVER: nothing is written */
    bool must_rot, must_wipe, was_wiped;
    struct machine machines[GROUPS_MAX];
};

struct chain {
    uint64_t term, hash;
};

struct world {
    const struct groups_sim_options *options;
    struct groups_sim_stats *stats;
    mn_time time;
    struct rng net, disk, fault, work;
    struct rng strike; /* of the decision that is carried out */
    uint32_t told_count;
    struct host hosts[HOSTS_MAX];
    uint32_t hosts_count, groups_count, loss_permille;
    bool cut[HOSTS_MAX][HOSTS_MAX], is_quiet, has_failed;
    struct mn_list packets;
    struct mn_arena arena;
    struct chain chains[GROUPS_MAX][INDEX_MAX]; /* what was applied first at an index */
    uint64_t committed[GROUPS_MAX];
    uint32_t leaders[GROUPS_MAX][512]; /* by term: host plus one */
    uint64_t hash;
    char *failure;
};

/* The run has failed, as the text says. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mn_now world_now(const struct world *world);
uint64_t world_mix(uint64_t hash, uint64_t value);

/* ---- groups_host.c ---- */

mn_id host_id(uint32_t host);
void host_start(struct world *world, struct host *host, bool is_new);
void host_crash(struct world *world, struct host *host);
/* What is due: it comes up, the disk has synced, time has passed. */
void host_turn(struct world *world, struct host *host);
/* One input, to all or to a group, and all that it leads to. */
void host_step(struct world *world, struct host *host, const struct groups_input *input);
void host_give(struct world *world, struct host *host, uint64_t group,
               const struct raft_input *input);

#endif
