/* core_metrics.c: what this node measures about itself; what members say about themselves, signed,
 * and so what they weigh; how it votes by the rules of its operator. */
#include "node/core/core_internal.h"

#include <math.h>

#include "proto/base/check.h"

#define TELL_SOON (200 * MN_MS) /* after a member or a link came: more may follow */
#define TELL_EVERY (30 * MN_SEC)
#define POLICY_REQUEST UINT64_MAX

/* What a member last said. */
struct core_metrics {
    struct mn_map_entry in_map;
    mn_id node;
    uint64_t wall_ms;
    uint32_t weight;
    struct mn_buf *record;
};

/* ---- measuring ---- */

/* Of the members that live, those that a link leads to, and the mean time there and back. */
static void core_measure_links(const struct core *core, struct metrics *ret)
{
    const struct peers_link *link = NULL;
    uint32_t linked = 0, measured = 0, others = 0;
    mn_time sum = 0;

    if (core->membership == NULL) return;
    for (const struct member *member = membership_next(core->membership, NULL); member != NULL;
         member = membership_next(core->membership, member)) {
        bool is_live = member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT;
        if (!is_live || mn_id_equal(&member->node_id, &core->identity.node_id)) continue;
        others++;
        link = peers_find(core->peers, &member->node_id);
        if (link == NULL) continue;
        linked++;
        if (peers_link_stats(link) == NULL || peers_link_stats(link)->rtt_us == 0) continue;
        sum += peers_link_stats(link)->rtt_us;
        measured++;
    }
    ret->values[METRIC_NODES] = others + 1;
    ret->values[METRIC_LINKS] = others == 0 ? 1 : (double)linked / others;
    if (measured > 0) ret->values[METRIC_RTT] = (double)(sum / measured) / MN_MS;
}

mn_time core_longest_rtt(const struct core *core)
{
    mn_time longest = 0;

    for (const struct peers_link *link = peers_next(core->peers, NULL); link != NULL;
         link = peers_next(core->peers, link))
        if (link->kind == PEERS_MEMBER && peers_link_stats(link) != NULL)
            longest = mn_time_max(longest, peers_link_stats(link)->rtt_us);
    return longest;
}

void core_measure(const struct core *core, struct metrics *ret)
{
    struct calls_stats stats = calls_stats(core->calls);
    uint64_t bad = stats.failed + stats.unknown + stats.timed_out;
    uint64_t all = bad + stats.finished;

    for (uint32_t i = 0; i < METRIC_COUNT; i++)
        ret->values[i] = (double)NAN;
    ret->values[METRIC_LOAD] = calls_load(core->calls);
    ret->values[METRIC_FAILURES] = all == 0 ? 0 : (double)bad / (double)all;
    ret->values[METRIC_UPTIME] = (double)((core->now.mono - core->started) / MN_SEC);
    core_measure_links(core, ret);
}

/* ---- telling, and hearing ---- */

void core_metrics_soon(struct core *core)
{
    core->metrics_at = mn_time_min(core->metrics_at, mn_time_after(core->now.mono, TELL_SOON));
}

void core_tick_metrics(struct core *core)
{
    struct core_sending sending = {
        .type = ENVELOPE_HEARTBEAT, .priority = ENVELOPE_LOW, .schema = CORE_SCHEMA_METRICS};
    const mn_id mesh_id = admission_mesh_id(core->admission);
    struct metrics metrics;
    struct mn_buf *record;

    core->metrics_at = mn_time_after(core->now.mono, TELL_EVERY);
    if (core->membership == NULL) return;
    core_measure(core, &metrics);
    record = metrics_encode(&metrics, &mesh_id, &core->identity.key, core->now);
    for (const struct peers_link *link = peers_next(core->peers, NULL); link != NULL;
         link = peers_next(core->peers, link)) {
        if (link->kind != PEERS_MEMBER) continue;
        sending.to = link->node_id;
        core_send(core, &sending, mn_buf_ref(record));
    }
    if (core->own_metrics == NULL) core->own_metrics = mn_alloc(sizeof *core->own_metrics);
    mn_buf_unref(core->own_metrics->record);
    *core->own_metrics = (struct core_metrics){
        .wall_ms = mn_wall_ms(core->now), .weight = metrics_weight(&metrics), .record = record};
}

static struct core_metrics *core_metrics_find(const struct core *core, const mn_id *node)
{
    struct mn_map_entry *found = mn_map_find(&core->metrics, mn_span(node->bytes, sizeof *node));

    return found == NULL ? NULL : MN_CONTAINER(found, struct core_metrics, in_map);
}

/* Only of members, so there are no more of them; from nobody but the member itself. */
void core_on_metrics(struct core *core, const mn_id *from, struct mn_span bytes)
{
    const mn_id mesh_id = admission_mesh_id(core->admission);
    struct core_metrics *known = core_metrics_find(core, from);
    uint64_t wall_ms, now_ms = mn_wall_ms(core->now);
    uint8_t pk[SIGN_PK_SIZE];
    struct metrics said;
    mn_id node;

    if (core->membership == NULL || membership_find(core->membership, from) == NULL) return;
    if (metrics_decode(bytes, &mesh_id, pk, &wall_ms, &said) != MN_OK) return;
    node = digest_node_id(pk);
    if (!mn_id_equal(&node, from) || wall_ms > now_ms + METRICS_SKEW / MN_MS) return;
    if (wall_ms + METRICS_SKEW / MN_MS < now_ms || (known != NULL && wall_ms < known->wall_ms))
        return;
    if (known == NULL) {
        known = mn_alloc(sizeof *known);
        known->node = *from;
        mn_map_insert(&core->metrics, &known->in_map,
                      mn_span(known->node.bytes, sizeof known->node));
    }
    known->wall_ms = wall_ms;
    known->weight = metrics_weight(&said);
    mn_buf_unref(known->record);
    known->record = mn_buf_copy(bytes);
}

static void core_metrics_remove(struct core *core, struct core_metrics *known)
{
    mn_map_remove(&core->metrics, &known->in_map);
    mn_buf_unref(known->record);
    mn_free(known);
}

void core_metrics_forget(struct core *core, const mn_id *node)
{
    struct core_metrics *known = core_metrics_find(core, node);

    if (known != NULL) core_metrics_remove(core, known);
}

struct mn_buf *core_metrics_record(const struct core *core, const mn_id *node, uint32_t *ret_weight)
{
    const struct core_metrics *known = mn_id_equal(node, &core->identity.node_id)
                                           ? core->own_metrics
                                           : core_metrics_find(core, node);

    *ret_weight = 0;
    if (known == NULL || known->wall_ms + METRICS_SKEW / MN_MS < mn_wall_ms(core->now)) return NULL;
    if (known->record->size > DECISION_METRICS_MAX) return NULL;
    *ret_weight = known->weight;
    return known->record;
}

/* ---- voting by rule ---- */

/* Rules were read before, where they come from. */
void core_metrics_init(struct core *core, const struct core_config *config)
{
    const char *why;

    mn_map_init(&core->metrics, rng_u64(&core->rng));
    core->metrics_at = MN_TIME_NEVER;
    MN_ASSERT(config->policies_count <= POLICY_RULES_MAX);
    core->rules = mn_arena_alloc(&core->texts, (config->policies_count + 1) * sizeof *core->rules);
    for (uint32_t i = 0; i < config->policies_count; i++) {
        struct mn_span text = mn_arena_copy(&core->texts, config->policies[i]);
        if (policy_parse(text, &core->rules[i], &why) != MN_OK)
            MN_ASSERT(false && "a rule that was checked");
        core->rules_count++;
    }
    core->config.policies = NULL;
}

void core_metrics_done(struct core *core)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&core->metrics, NULL)) != NULL)
        core_metrics_remove(core, MN_CONTAINER(entry, struct core_metrics, in_map));
    mn_map_done(&core->metrics);
    if (core->own_metrics != NULL) mn_buf_unref(core->own_metrics->record);
    mn_free(core->own_metrics);
}

void core_vote_by_rule(struct core *core, const struct decision_view *view)
{
    struct decision_input *input;
    enum decision_choice choice;
    struct metrics metrics;

    if (core->rules_count == 0) return;
    core_measure(core, &metrics);
    choice = policy_vote(core->rules, core->rules_count, view->topic, view->value, &metrics);
    if (choice == DECISION_NONE) return; /* nobody's vote is made up */
    input = core_push_decision(core, DECISION_IN_ANSWER);
    input->answer.request = POLICY_REQUEST;
    input->answer.id = view->id;
    input->answer.choice = choice;
    input->answer.cause = DECISION_BY_POLICY;
}

bool core_is_by_rule(uint64_t request)
{
    return request == POLICY_REQUEST;
}

const struct policy_rule *core_rules(const struct core *core, uint32_t *ret_count)
{
    *ret_count = core->rules_count;
    return core->rules;
}
