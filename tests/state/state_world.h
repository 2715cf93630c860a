/* state_world.h: machines of node/state in virtual time, with a wire that can be cut and disks that
 * take their time. One world per process. */
#ifndef STATE_WORLD_H
#define STATE_WORLD_H

#include "node/state/state.h"
#include "proto/base/list.h"

#define WORLD_NODES 7
#define WORLD_CHANGES_MAX 8

struct world_host {
    struct state *state;
    mn_id id;
    uint64_t writes;
    bool is_old, is_member;
    struct mn_list log;  /* rising */
    mn_time since, sync; /* sync: how long its disk takes */
    enum metadata_role role;
    uint32_t weight; /* as it says */
};

extern struct world_host world_hosts[WORLD_NODES];
extern bool world_cut[WORLD_NODES][WORLD_NODES]; /* from, to */
extern mn_time world_now;
extern size_t world_saved_most;          /* bytes of snapshots that one step wrote, at most */
extern uint32_t world_saved_pieces;      /* steps that wrote some */
extern struct state_answer world_answer; /* the last one */
extern struct state_position world_positions[STATE_SURVEY_MAX]; /* its positions */
extern struct state_lease world_lease;                          /* its first lease */
extern char world_changes[WORLD_CHANGES_MAX][64]; /* its changes: "key=value" or "key gone" */

void world_setup(void);
void world_teardown(void);
void world_boot(uint32_t index);
void world_boot_all(uint32_t count); /* and time to settle */
void world_kill(uint32_t index);
void world_wipe(uint32_t index); /* what is on its disk */
void world_run(mn_time time);
void world_step(uint32_t index, const struct state_input *input);

/* Asks and waits for the answer, which is in world_answer. */
mn_status world_ask(uint32_t index, struct state_request request);
mn_status world_put(uint32_t index, const char *key, const char *value);
const char *world_get(uint32_t index, const char *key);

uint32_t world_leader(void); /* WORLD_NODES: nobody */
uint32_t world_voters(void); /* as the leader counts */
bool world_votes(uint32_t index);

#endif
