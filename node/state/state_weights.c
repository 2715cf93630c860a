/* state_weights.c: what operators want of nodes, how fast members are, and what weights the advisor
 * makes of it. A leader takes one entry at a time and sees when each member has it; what a mean is
 * made of is the traffic there is, so a group in which nothing happens is given no advice. */
#include "node/state/advisor.h"
#include "node/state/state_internal.h"
#include "proto/base/check.h"

#define PROBE_TIME (2 * MN_SEC) /* who does not have the entry by then gives no sample */
#define MEAN_SHARE 8            /* a sample moves the mean by one part of so many */
#define KEY_ADVISED "advised"   /* STATE_SPACE_MESH; its value is not looked at */
#define KEY_ROLE 'r'            /* STATE_SPACE_MESH, the node's id, then this: one byte */
#define KEY_WEIGHT 'w'          /* likewise: four bytes */
#define KEY_SIZE (1 + sizeof(mn_id) + 1)

/* ---- what operators want ---- */

static void node_key(const mn_id *node, char what, uint8_t ret[KEY_SIZE])
{
    ret[0] = (uint8_t)STATE_SPACE_MESH[0];
    memcpy(ret + 1, node->bytes, sizeof *node);
    ret[KEY_SIZE - 1] = (uint8_t)what;
}

/* What stands under a key whose last byte is [what]. */
static void wish_add(struct state_wish *wish, uint8_t what, struct mn_span value)
{
    if (what == KEY_ROLE && value.size == 1 && value.data[0] <= METADATA_VOTER)
        wish->role = (enum metadata_role)value.data[0];
    if (what == KEY_WEIGHT && value.size == 4 && mn_load_u32(value.data) <= METADATA_WEIGHT_MAX)
        wish->weight = mn_load_u32(value.data);
}

struct state_wish state_wish_of(const struct state *state, const mn_id *node)
{
    struct state_wish wish = {0};
    struct strong_pair pair;
    uint8_t key[KEY_SIZE];

    node_key(node, KEY_ROLE, key);
    if (strong_get(state->strong, mn_span(key, sizeof key), &pair))
        wish_add(&wish, KEY_ROLE, pair.value);
    node_key(node, KEY_WEIGHT, key);
    if (strong_get(state->strong, mn_span(key, sizeof key), &pair))
        wish_add(&wish, KEY_WEIGHT, pair.value);
    return wish;
}

static bool is_advised(const struct state *state)
{
    struct strong_pair pair;
    return strong_get(state->strong, mn_span_str(STATE_SPACE_MESH KEY_ADVISED), &pair);
}

/* Would the voters there are allow it? The plan looks again when it comes to it. */
static bool weight_is_allowed(const struct state *state, const mn_id *node, uint32_t weight)
{
    struct quorum_config config;
    struct raft_view view;
    int at;

    if (weight == 0 || !state_view(state, &view)) return true;
    config = *view.config;
    at = quorum_find(&config, node);
    if (config.is_joint || at < 0 || config.members[at].weight == 0) return true;
    config.members[at].weight = weight;
    return quorum_check(&config) == MN_OK && quorum_guard(&config, 1) == MN_OK;
}

static void write_key(struct state *state, struct strong_command *command, const mn_id *node,
                      char what)
{
    uint8_t key[KEY_SIZE];

    node_key(node, what, key);
    command->key = mn_arena_copy(&state->arena, mn_span(key, sizeof key));
}

mn_status state_weights_wish(struct state *state, const struct state_request *request,
                             struct strong_command *ret)
{
    const struct state_wish *wish = &request->wish;
    struct strong_command command = {.verb = STRONG_REMOVE};
    uint8_t value[4] = {0};

    switch (request->wish_of) {
    case STATE_WISH_ROLE:
        write_key(state, &command, &request->node, KEY_ROLE);
        value[0] = (uint8_t)wish->role;
        command.value = mn_span(value, wish->role == 0 ? 0 : 1);
        break;
    case STATE_WISH_WEIGHT:
        if (wish->weight > METADATA_WEIGHT_MAX) return MN_CONFIG;
        if (!weight_is_allowed(state, &request->node, wish->weight)) return MN_CONFIG;
        write_key(state, &command, &request->node, KEY_WEIGHT);
        mn_store_u32(value, wish->weight);
        command.value = mn_span(value, wish->weight == 0 ? 0 : 4);
        break;
    case STATE_WISH_ADVISED:
        command.key = mn_span_str(STATE_SPACE_MESH KEY_ADVISED);
        command.value = mn_span(value, wish->is_advised ? 1 : 0);
        break;
    }
    if (command.value.size > 0) command.verb = STRONG_PUT;
    command.value = mn_arena_copy(&state->arena, command.value);
    *ret = command;
    return MN_OK;
}

/* ---- how fast members are ---- */

static int ack_at(const struct state *state, const mn_id *node)
{
    for (uint32_t i = 0; i < state->acks_count; i++)
        if (mn_id_equal(&state->acks[i].node, node)) return (int)i;
    return -1;
}

static const struct state_ack *ack_find(const struct state *state, const mn_id *node)
{
    int at = ack_at(state, node);
    return at < 0 ? NULL : &state->acks[at];
}

static mn_time ack_mean(const struct state *state, const struct state_ack *ack)
{
    if (ack == NULL || ack->count < STATE_ACKS_MIN) return 0;
    return mn_time_after(ack->at, STATE_ACK_TIME) > state->now.mono ? ack->mean : 0;
}

/* One row per member, the old ones with what is known. */
static void acks_follow(struct state *state, const struct quorum_config *config)
{
    struct state_ack next[QUORUM_MEMBERS_MAX] = {0};

    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct state_ack *old = ack_find(state, &config->members[i].id);
        if (old != NULL) next[i] = *old;
        next[i].node = config->members[i].id;
        next[i].is_open = true;
    }
    memcpy(state->acks, next, sizeof next);
    state->acks_count = config->members_count;
}

static void ack_sample(struct state_ack *ack, mn_time now, mn_time time)
{
    if (time == 0) time = 1;
    if (ack->count == 0)
        ack->mean = time;
    else
        ack->mean = (ack->mean * (MEAN_SHARE - 1) + time) / MEAN_SHARE;
    if (ack->mean == 0) ack->mean = 1;
    if (ack->count < STATE_ACKS_MIN) ack->count++;
    ack->at = now;
    ack->is_open = false;
}

void state_weights_measure(struct state *state)
{
    const struct raft *raft = groups_raft(state->groups, state->group);
    struct raft_view view = raft_view(raft);
    mn_time now = state->now.mono;
    uint32_t open = 0;
    uint64_t match;

    if (view.role != RAFT_LEADER) return;
    if (state->probe_at == 0) {
        if (view.last_index <= state->probe_index) return;
        state->probe_index = view.last_index;
        state->probe_at = now;
        acks_follow(state, view.config);
        return; /* in the step that wrote it, nobody has it */
    }
    for (uint32_t i = 0; i < state->acks_count; i++) {
        struct state_ack *ack = &state->acks[i];
        if (!ack->is_open) continue;
        if (raft_progress(raft, &ack->node, &match) && match >= state->probe_index)
            ack_sample(ack, now, now - state->probe_at);
        open += ack->is_open;
    }
    if (open > 0 && now < mn_time_after(state->probe_at, PROBE_TIME)) return;
    state->probe_index = view.last_index; /* the next one is proposed after this */
    state->probe_at = 0;
}

/* ---- the advisor ---- */

/* A new leader knows nothing yet: what is in effect stays until it does. */
void state_weights_lead(struct state *state)
{
    struct raft_view view;

    state->acks_count = 0;
    state->probe_at = 0;
    state->reweighed_at = state->now.mono;
    if (!state->is_leading || !state_view(state, &view)) return;
    state->probe_index = view.last_index;
    acks_follow(state, view.config);
    for (uint32_t i = 0; i < state->acks_count; i++)
        state->acks[i].advice = view.config->members[i].weight;
}

static const struct metadata_node *node_of(const struct state *state, const mn_id *node)
{
    for (uint32_t i = 0; i < state->nodes_count; i++)
        if (mn_id_equal(&state->nodes[i].id, node)) return &state->nodes[i];
    return NULL;
}

/* Voters with their rows, in order of the configuration. False: there is nothing to say. */
static bool judge(const struct state *state, struct advisor_advice *ret, uint32_t *ret_count,
                  const mn_id **ids)
{
    struct advisor_voter voters[QUORUM_VOTERS_MAX];
    struct raft_view view;
    uint32_t count = 0;

    if (!state_view(state, &view) || view.config->is_joint) return false;
    for (uint32_t i = 0; i < view.config->members_count && count < QUORUM_VOTERS_MAX; i++) {
        const struct quorum_member *member = &view.config->members[i];
        const struct metadata_node *node = node_of(state, &member->id);
        if (member->weight == 0) continue;
        voters[count] = (struct advisor_voter){.weight = member->weight,
                                               .ack = ack_mean(state, ack_find(state, &member->id)),
                                               .is_alive = node != NULL && node->is_alive};
        ids[count++] = &member->id;
    }
    *ret_count = count;
    if (count > 0) *ret = advisor_judge(voters, count);
    return count > 0;
}

void state_weights_advise(struct state *state)
{
    const mn_id *ids[QUORUM_VOTERS_MAX];
    struct advisor_advice advice;
    struct raft_view view;
    uint32_t count;
    mn_time now = state->now.mono;

    if (!state_view(state, &view) || !is_advised(state)) return;
    if (!judge(state, &advice, &count, ids)) return;
    if (!quorum_reweigh_is_due(now, state->reweighed_at, advice.gain_permille)) return;
    MN_PROBE("state: the advisor's weights are asked for");
    if (state->probe_at == 0) acks_follow(state, view.config);
    for (uint32_t i = 0; i < count; i++) {
        int at = ack_at(state, ids[i]);
        if (at >= 0) state->acks[at].advice = advice.weights[i];
    }
    state->reweighed_at = now;
}

/* The first that says something: an operator, the node. The advisor only where nobody has said
 * anything about any voter: its numbers mean something among themselves. */
void state_weights_apply(struct state *state)
{
    bool uses_advice = is_advised(state);
    struct raft_view view;

    for (uint32_t i = 0; i < state->nodes_count; i++) {
        struct metadata_node *node = &state->nodes[i];
        struct state_wish wish = state_wish_of(state, &node->id);
        if (wish.role != 0) node->role = wish.role;
        if (wish.weight != 0) node->weight = wish.weight;
        if (node->weight > 0 && state_view(state, &view) && quorum_is_voter(view.config, &node->id))
            uses_advice = false;
    }
    for (uint32_t i = 0; i < state->nodes_count; i++) {
        struct metadata_node *node = &state->nodes[i];
        const struct state_ack *ack = uses_advice ? ack_find(state, &node->id) : NULL;
        node->is_advised = node->weight == 0;
        if (node->weight == 0) node->weight = ack != NULL && ack->advice > 0 ? ack->advice : 1;
    }
}

/* ---- telling ---- */

static struct state_progress *row_add(struct state_answer *answer, const mn_id *node)
{
    struct state_progress *row = &answer->progress[answer->progress_count];

    for (uint32_t i = 0; i < answer->progress_count; i++)
        if (mn_id_equal(&answer->progress[i].node, node)) return &answer->progress[i];
    if (answer->progress_count == STATE_PROGRESS_MAX) return NULL;
    *row = (struct state_progress){.node = *node};
    answer->progress_count++;
    return row;
}

static void report_members(const struct state *state, struct state_answer *answer)
{
    const struct raft *raft = groups_raft(state->groups, state->group);
    struct raft_view view = raft_view(raft);

    for (uint32_t i = 0; i < view.config->members_count; i++) {
        const mn_id *id = &view.config->members[i].id;
        struct state_progress *row = row_add(answer, id);
        row->is_member = true;
        row->ack = ack_mean(state, ack_find(state, id));
        if (mn_id_equal(id, &state->config.self))
            row->match = view.last_index;
        else if (!raft_progress(raft, id, &row->match))
            row->match = 0;
    }
}

static void report_wishes(const struct state *state, struct state_answer *answer)
{
    struct mn_span space = mn_span_str(STATE_SPACE_MESH), after = {0};
    struct strong_pair pair;
    mn_id id;

    while (strong_next(state->strong, space, after, &pair)) {
        after = pair.key;
        if (pair.key.size != KEY_SIZE) continue;
        memcpy(id.bytes, pair.key.data + 1, sizeof id);
        struct state_progress *row = row_add(answer, &id);
        if (row != NULL) wish_add(&row->wish, pair.key.data[KEY_SIZE - 1], pair.value);
    }
}

void state_weights_report(struct state *state, struct state_answer *answer)
{
    const mn_id *ids[QUORUM_VOTERS_MAX];
    struct advisor_advice advice;
    uint32_t count;

    answer->progress =
        mn_arena_alloc(state->outbox->arena, STATE_PROGRESS_MAX * sizeof *answer->progress);
    report_members(state, answer);
    report_wishes(state, answer);
    answer->is_advised = is_advised(state);
    if (!judge(state, &advice, &count, ids)) return;
    answer->gain_permille = advice.gain_permille;
    for (uint32_t i = 0; i < count; i++)
        row_add(answer, ids[i])->advised = advice.weights[i];
}
