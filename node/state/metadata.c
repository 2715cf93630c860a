#include "node/state/metadata.h"

#include "proto/base/check.h"

#define PICKS_MAX METADATA_VOTERS_MAX

/* Who votes in the end, if all goes well. */
struct picks {
    const struct metadata_node *nodes[PICKS_MAX];
    uint32_t count;
};

const char *metadata_role_name(enum metadata_role role)
{
    static const char *const names[] = {"unknown", "edge", "learner", "auto", "voter"};
    return names[role <= METADATA_VOTER ? role : 0];
}

static const struct metadata_node *node_find(const struct metadata_input *input, const mn_id *id)
{
    for (uint32_t i = 0; i < input->nodes_count; i++)
        if (mn_id_equal(&input->nodes[i].id, id)) return &input->nodes[i];
    return NULL;
}

/* It may be away for a moment without losing its place. */
static bool counts_as_there(const struct metadata_input *input, const struct metadata_node *node)
{
    if (node->is_gone) return false;
    return node->is_alive || input->now < mn_time_after(node->since, METADATA_DEAD_TIME);
}

static bool may_vote(const struct metadata_node *node)
{
    return node->role == METADATA_AUTO || node->role == METADATA_VOTER;
}

static bool is_voter(const struct metadata_input *input, const mn_id *id)
{
    return quorum_is_voter(input->config, id);
}

static uint32_t voters_count(const struct quorum_config *config)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        count += config->members[i].weight > 0;
    return count;
}

/* How many should vote. A group that once had three keeps three places. */
static uint32_t target_of(const struct metadata_input *input)
{
    uint32_t eligible = 0, target;

    for (uint32_t i = 0; i < input->nodes_count; i++)
        eligible += may_vote(&input->nodes[i]) && counts_as_there(input, &input->nodes[i]);
    if (eligible >= 7)
        target = 7;
    else if (eligible >= 5)
        target = 5;
    else
        target = eligible >= 3 ? 3 : 1;
    return target < 3 && voters_count(input->config) >= 3 ? 3 : target;
}

/* ---- who ---- */

static bool picks_have(const struct picks *picks, const struct metadata_node *node)
{
    for (uint32_t i = 0; i < picks->count; i++)
        if (picks->nodes[i] == node) return true;
    return false;
}

static uint32_t picks_in_region(const struct picks *picks, const char *region)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < picks->count; i++)
        count += strcmp(picks->nodes[i]->region, region) == 0;
    return count;
}

/* By weight, as somebody said it: advice is about those that vote already. */
static uint32_t rank_of(const struct metadata_node *node)
{
    return node->is_advised ? 1 : node->weight;
}

/* Is [a] the better next voter? Members before strangers: they need less. */
static bool is_better(const struct metadata_input *input, const struct picks *picks,
                      const struct metadata_node *a, const struct metadata_node *b)
{
    uint32_t in_a = picks_in_region(picks, a->region), in_b = picks_in_region(picks, b->region);
    bool was_a = quorum_find(input->config, &a->id) >= 0;
    bool was_b = quorum_find(input->config, &b->id) >= 0;

    if (a->role != b->role) return a->role == METADATA_VOTER;
    if (in_a != in_b) return in_a < in_b;
    if (rank_of(a) != rank_of(b)) return rank_of(a) > rank_of(b);
    if (was_a != was_b) return was_a;
    return mn_id_compare(&a->id, &b->id) < 0;
}

/* First those that vote already; the leader, which we are, first of all. */
static void pick_voters(const struct metadata_input *input, struct picks *picks, uint32_t target)
{
    const struct metadata_node *self = node_find(input, input->self);

    *picks = (struct picks){0};
    if (self != NULL && may_vote(self) && is_voter(input, &self->id))
        picks->nodes[picks->count++] = self;
    for (int is_new = 0; is_new < 2; is_new++)
        while (picks->count < target) {
            const struct metadata_node *best = NULL;
            for (uint32_t i = 0; i < input->nodes_count; i++) {
                const struct metadata_node *node = &input->nodes[i];
                bool is_old = is_voter(input, &node->id) && counts_as_there(input, node);
                if (!may_vote(node) || picks_have(picks, node)) continue;
                if (is_new == 0 ? !is_old : !node->is_alive) continue;
                if (best == NULL || is_better(input, picks, node, best)) best = node;
            }
            if (best == NULL) break;
            picks->nodes[picks->count++] = best;
        }
}

static bool is_ready(const struct metadata_input *input, const mn_id *id)
{
    int at = quorum_find(input->config, id);
    return at >= 0 && input->matches[at] + METADATA_LAG_MAX >= input->last_index;
}

/* ---- the change ---- */

static void set_voter(struct quorum_config *next, const struct metadata_node *node)
{
    struct quorum_member member = {.id = node->id, .weight = node->weight};
    if (quorum_set(next, &member) != MN_OK) return; /* full: it stays as it is */
}

static void set_learner(struct quorum_config *next, const mn_id *id)
{
    struct quorum_member member = {.id = *id, .is_learner = true};
    if (quorum_set(next, &member) != MN_OK) return;
}

/* Voters that should not be any more: the dead, the gone, those beyond the target. Alive ones go
 * back to learning. */
static bool is_surplus(const struct metadata_input *input, const struct picks *picks,
                       const mn_id *id)
{
    const struct metadata_node *node = node_find(input, id);
    return node == NULL || !picks_have(picks, node);
}

static void take_out(const struct metadata_input *input, struct quorum_config *next,
                     const mn_id *id)
{
    const struct metadata_node *node = node_find(input, id);

    if (node != NULL && node->is_alive && node->role != METADATA_EDGE)
        set_learner(next, id);
    else
        quorum_remove(next, id);
}

/* Promotes who is ready; each that comes lets one go that is surplus. The number of voters stays
 * odd, unless there is no way. */
static void plan_voters(const struct metadata_input *input, const struct picks *picks,
                        uint32_t target, struct quorum_config *next)
{
    const struct metadata_node *ready[PICKS_MAX];
    uint32_t count = voters_count(input->config), ready_count = 0, come, go = 0;

    for (uint32_t i = 0; i < picks->count; i++)
        if (!is_voter(input, &picks->nodes[i]->id) && is_ready(input, &picks->nodes[i]->id))
            ready[ready_count++] = picks->nodes[i];
    come = ready_count;
    if (count >= target) {
        go = count + (come > 0) - target; /* one dead voter at a time */
        if (come > 1) come = 1;
    } else {
        if (count + come > target) come = target - count;
        if ((count + come) % 2 == 0 && come > 0) come--;
        if (come == 0 && ready_count > 0) come = go = 1;
    }
    for (uint32_t i = 0; i < input->config->members_count && go > 0; i++) {
        const struct quorum_member *member = &input->config->members[i];
        if (member->weight == 0 || !is_surplus(input, picks, &member->id)) continue;
        take_out(input, next, &member->id);
        go--;
    }
    if (go > 0 && count < target) return; /* an exchange that has nobody to let go */
    for (uint32_t i = 0; i < come; i++)
        set_voter(next, ready[i]);
}

/* Learners come while there is room: first those that shall vote. The dead ones go. */
static void plan_learners(const struct metadata_input *input, const struct picks *picks,
                          struct quorum_config *next)
{
    for (uint32_t i = 0; i < input->config->members_count; i++) {
        const struct quorum_member *member = &input->config->members[i];
        const struct metadata_node *node = node_find(input, &member->id);
        if (!member->is_learner) continue;
        if (node == NULL || !counts_as_there(input, node) || node->role == METADATA_EDGE)
            quorum_remove(next, &member->id);
    }
    for (uint32_t i = 0; i < picks->count; i++)
        if (quorum_find(next, &picks->nodes[i]->id) < 0) set_learner(next, &picks->nodes[i]->id);
    for (uint32_t i = 0; i < input->nodes_count; i++) {
        const struct metadata_node *node = &input->nodes[i];
        if (next->members_count >= METADATA_MEMBERS_MAX) return;
        if (!node->is_alive || node->role == METADATA_EDGE) continue;
        if (quorum_find(next, &node->id) < 0) set_learner(next, &node->id);
    }
}

static struct quorum_member *heaviest(struct quorum_config *config)
{
    struct quorum_member *best = &config->members[0];

    for (uint32_t i = 1; i < config->members_count; i++)
        if (config->members[i].weight > best->weight) best = &config->members[i];
    return best;
}

static bool is_usable(const struct quorum_config *config)
{
    return quorum_check(config) == MN_OK && quorum_guard(config, 1) == MN_OK;
}

/* Nobody may have half of the weight or more: the heaviest gets one less than all others together,
 * until that is so. Each round lowers a weight, so it ends; with all at 1, if not before. */
static void plan_weights(const struct metadata_input *input, struct quorum_config *next)
{
    struct quorum_member *most;

    for (uint32_t i = 0; i < next->members_count; i++) {
        const struct metadata_node *node = node_find(input, &next->members[i].id);
        if (next->members[i].weight > 0 && node != NULL) next->members[i].weight = node->weight;
    }
    while (quorum_check(next) == MN_OK && quorum_guard(next, 1) != MN_OK) {
        most = heaviest(next);
        if (most->weight == 1) return;
        most->weight = (uint32_t)(quorum_total(next, QUORUM_NEW) - most->weight) - 1;
    }
}

bool metadata_plan(const struct metadata_input *input, struct quorum_config *ret)
{
    struct quorum_config next = *input->config;
    struct picks picks;
    uint32_t target;

    if (input->config->is_joint || input->config->members_count == 0) return false;
    target = target_of(input);
    pick_voters(input, &picks, target);
    plan_voters(input, &picks, target, &next);
    plan_learners(input, &picks, &next);
    plan_weights(input, &next);
    if (!is_usable(&next) || quorum_equal(&next, input->config)) return false;
    *ret = next;
    return true;
}
