/* state_members.c: who should vote, and what else only a leader looks after: leases that are over,
 * and that its log has room. */
#include "node/state/state_internal.h"
#include "proto/base/check.h"

#define PLAN_PERIOD (500 * MN_MS)
#define NODES_PERIOD MN_SEC
#define TRANSFER_PERIOD (5 * MN_SEC)
#define EXPIRE_AGAIN (2 * MN_SEC)

/* ---- nodes ---- */

void state_members_set(struct state *state, const struct metadata_node *items, uint32_t count)
{
    if (count > STATE_NODES_MAX) count = STATE_NODES_MAX;
    mn_free(state->nodes);
    state->nodes = mn_alloc((count + 1) * sizeof *state->nodes);
    if (count > 0) memcpy(state->nodes, items, count * sizeof *items);
    state->nodes_count = count;
    state->nodes_at = mn_time_after(state->now.mono, NODES_PERIOD);
}

mn_id state_members_any(struct state *state)
{
    uint32_t alive = 0, pick;

    for (uint32_t i = 0; i < state->nodes_count; i++)
        alive += state->nodes[i].is_alive && !mn_id_equal(&state->nodes[i].id, &state->config.self);
    if (alive == 0) return (mn_id){0};
    pick = rng_below(&state->rng, alive);
    for (uint32_t i = 0;; i++) {
        const struct metadata_node *node = &state->nodes[i];
        if (!node->is_alive || mn_id_equal(&node->id, &state->config.self)) continue;
        if (pick-- == 0) return node->id;
    }
}

/* ---- the leader's round ---- */

void state_members_propose(struct state *state, const struct strong_command *command)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};

    input.propose.request = ++state->number_last;
    input.propose.data = strong_command_encode(command);
    state_step_group(state, &input);
    mn_buf_unref(input.propose.data);
}

/* By our own clock since we lead or it was renewed, so never too early; after a change of leader
 * later than need be. */
static void plan_leases(struct state *state)
{
    struct strong_lease *lease = NULL;
    mn_time now = state->now.mono;

    while ((lease = strong_lease_next(state->strong, lease)) != NULL) {
        struct strong_command expire = {
            .verb = STRONG_EXPIRE, .lease = lease->id, .renewals = lease->renewals};
        mn_time ttl = lease->ttl_ms * MN_MS;
        if (lease->since == 0) lease->since = now;
        if (now < mn_time_after(lease->since, ttl)) continue;
        lease->since = now + EXPIRE_AGAIN > ttl ? now + EXPIRE_AGAIN - ttl : now;
        state_members_propose(state, &expire);
        return; /* the table may have changed; the next one in the next round */
    }
}

static void plan_voters(struct state *state)
{
    const struct raft *raft = groups_raft(state->groups, state->group);
    struct raft_view view = raft_view(raft);
    uint64_t matches[QUORUM_MEMBERS_MAX] = {0};
    struct metadata_input plan = {.now = state->now.mono,
                                  .self = &state->config.self,
                                  .config = view.config,
                                  .nodes = state->nodes,
                                  .nodes_count = state->nodes_count,
                                  .matches = matches,
                                  .last_index = view.last_index};
    struct raft_input input = {.type = RAFT_IN_CONFIGURE};
    struct quorum_config next;

    if (state->nodes_count == 0 || view.config->is_joint) return;
    for (uint32_t i = 0; i < view.config->members_count; i++)
        if (!raft_progress(raft, &view.config->members[i].id, &matches[i])) matches[i] = 0;
    state_weights_advise(state);
    state_weights_apply(state);
    if (!metadata_plan(&plan, &next)) return;
    input.configure.request = ++state->number_last;
    input.configure.config = &next;
    state_step_group(state, &input);
}

/* A leader that cannot write leads nobody; somebody with room should. */
static void plan_transfer(struct state *state)
{
    struct raft_input input = {.type = RAFT_IN_TRANSFER};

    if (!state->is_full || state->now.mono < state->transfer_at) return;
    MN_PROBE("state: a leader whose log is full hands over");
    state->transfer_at = mn_time_after(state->now.mono, TRANSFER_PERIOD);
    input.transfer.request = ++state->number_last;
    state_step_group(state, &input);
}

void state_members_plan(struct state *state)
{
    state->plan_at = mn_time_after(state->now.mono, PLAN_PERIOD);
    plan_leases(state);
    if (state_leads(state)) plan_voters(state);
    if (state_leads(state)) state_recover_plan(state);
    if (state_leads(state)) plan_transfer(state);
}

void state_members_lead(struct state *state)
{
    struct strong_lease *lease = NULL;

    state->plan_at =
        state->is_leading ? mn_time_after(state->now.mono, PLAN_PERIOD) : MN_TIME_NEVER;
    while ((lease = strong_lease_next(state->strong, lease)) != NULL)
        lease->since = 0;
    state_weights_lead(state);
}
