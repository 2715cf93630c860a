#include "node/state/rescue.h"

static bool is_newer(const struct state_position *a, const struct state_position *b)
{
    if (a->epoch != b->epoch) return a->epoch > b->epoch;
    if (a->last_term != b->last_term) return a->last_term > b->last_term;
    if (a->last_index != b->last_index) return a->last_index > b->last_index;
    return mn_id_compare(&a->node, &b->node) < 0;
}

/* Only a voter, or one that was: a learner may have been left behind. Its log must be whole. */
static bool may_begin(const struct state_position *position)
{
    return position->is_member && !position->is_wounded &&
           quorum_is_voter(&position->config, &position->node);
}

static bool has_answered(const struct rescue_input *input, const mn_id *node, uint64_t epoch)
{
    for (uint32_t i = 0; i < input->positions_count; i++)
        if (mn_id_equal(&input->positions[i].node, node))
            return input->positions[i].epoch == epoch && !input->positions[i].is_wounded;
    return false;
}

static bool is_here(const struct rescue_input *input, const mn_id *node)
{
    for (uint32_t i = 0; i < input->positions_count; i++)
        if (mn_id_equal(&input->positions[i].node, node)) return true;
    return false;
}

static mn_time dead_since(const struct rescue_input *input, const mn_id *node)
{
    for (uint32_t i = 0; i < input->dead_count; i++)
        if (mn_id_equal(&input->dead[i].node, node)) return input->dead[i].since;
    return MN_TIME_NEVER;
}

static const struct state_position *find_best(const struct rescue_input *input)
{
    const struct state_position *best = NULL;

    for (uint32_t i = 0; i < input->positions_count; i++)
        if (may_begin(&input->positions[i]) &&
            (best == NULL || is_newer(&input->positions[i], best)))
            best = &input->positions[i];
    return best;
}

/* Voters that are not here, or have nothing to say; as a set, and by name. A wounded one that
 * answers is lost with its log, but nobody waits for its death. */
static uint32_t find_lost(const struct rescue_input *input, struct rescue_plan *plan)
{
    const struct quorum_config *config = &plan->best->config;
    uint32_t voters = quorum_voters(config), lost = 0;

    for (uint32_t i = 0; i < config->members_count; i++) {
        const mn_id *id = &config->members[i].id;
        if ((voters & 1u << i) == 0 || has_answered(input, id, plan->best->epoch)) continue;
        lost |= 1u << i;
        plan->lost[plan->lost_count++] = (struct rescue_lost){
            .node = *id, .since = is_here(input, id) ? 0 : dead_since(input, id)};
    }
    return lost;
}

static bool is_too_soon(const struct rescue_input *input, const struct rescue_plan *plan)
{
    for (uint32_t i = 0; i < plan->lost_count; i++)
        if (plan->lost[i].since == MN_TIME_NEVER ||
            input->now < mn_time_after(plan->lost[i].since, METADATA_DEAD_TIME))
            return true;
    return false;
}

struct rescue_plan rescue_judge(const struct rescue_input *input)
{
    struct rescue_plan plan = {.verdict = RESCUE_NOBODY, .best = find_best(input)};
    bool is_led = false;
    uint32_t lost;

    for (uint32_t i = 0; i < input->positions_count; i++) {
        /* Who does not begin elections (a learner) remembers a dead leader for ever. */
        is_led = is_led || (input->positions[i].has_leader && may_begin(&input->positions[i]));
        if (input->positions[i].commit > plan.known_commit)
            plan.known_commit = input->positions[i].commit;
        if (input->positions[i].epoch >= plan.epoch) plan.epoch = input->positions[i].epoch + 1;
    }
    if (plan.best == NULL) return plan;
    lost = find_lost(input, &plan);
    plan.is_lossless = !quorum_has(&plan.best->config, lost);
    if (is_led || quorum_has(&plan.best->config, quorum_voters(&plan.best->config) & ~lost))
        plan.verdict = RESCUE_NOT_NEEDED;
    else
        plan.verdict = is_too_soon(input, &plan) ? RESCUE_TOO_SOON : RESCUE_POSSIBLE;
    return plan;
}
