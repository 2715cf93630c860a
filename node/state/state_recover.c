/* state_recover.c: how far each node is, asked of all of them; and a group that lost its quorum for
 * good, begun anew at the word of an issuer.
 *
 * Each beginning has an epoch, which is the group's number in the log and on the wire: what the old
 * group says is not even understood by the new one. The node that is named keeps its map and all of
 * its log, whatever was committed of it, as the first entries of a group in which it votes alone;
 * others come to it as after a loss of their own logs. Its leader tells the order to members that
 * have nothing yet, and to those that were given up, should they come back. */
#include "crypto/digest.h"
#include "crypto/recovery.h"
#include "node/state/state_internal.h"
#include "proto/base/check.h"

#define KEY_ORDER STATE_SPACE_MESH "order" /* the newest one, as its issuer signed it */

/* ---- how far this node is ---- */

void state_recover_position(const struct state *state, uint64_t digest_at,
                            struct state_position *ret)
{
    struct raft_view view;
    mn_status digest;

    *ret = (struct state_position){.node = state->config.self, .epoch = state->group};
    if (!state_view(state, &view)) return;
    ret->term = view.term;
    ret->commit = view.commit;
    ret->applied = state->applied;
    ret->last_index = view.last_index;
    ret->last_term = view.last_term;
    ret->is_wounded = view.is_wounded;
    ret->is_member = quorum_find(view.config, &state->config.self) >= 0;
    ret->has_leader = !mn_id_is_zero(&view.leader);
    ret->is_leader = view.role == RAFT_LEADER;
    ret->config = *view.config;
    ret->keys_count = strong_stats(state->strong).keys_count;
    if (digest_at == 0) return;
    digest = strong_digest(state->strong, digest_at, ret->digest);
    ret->has_digest = digest == MN_OK;
    /* Who asks takes more applied, and no digest, for none to come. */
    if (digest == MN_NOT_YET) ret->applied = digest_at;
}

/* ---- asking others ---- */

static bool survey_is_done(const struct state_survey *survey)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < survey->count; i++)
        count += survey->has[i];
    return count == survey->count;
}

static void survey_end(struct state *state, struct state_op *op, mn_status status)
{
    struct state_survey *survey = op->survey;
    struct state_answer answer = {.status = status};
    struct mn_arena *arena = state->outbox->arena;

    answer.positions = mn_arena_alloc(arena, (survey->count + 1) * sizeof *answer.positions);
    for (uint32_t i = 0; i < survey->count; i++)
        if (survey->heard[i]) answer.positions[answer.positions_count++] = survey->positions[i];
    state_ops_answer(state, op, &answer);
}

/* A digest may come later: the node has not applied that much yet. An order is obeyed when the node
 * leads the new group. */
static bool position_is_enough(const struct state_survey *survey,
                               const struct state_position *position)
{
    if (survey->order != NULL) return position->epoch >= survey->epoch && position->is_leader;
    return survey->digest_at == 0 || position->has_digest ||
           position->applied > survey->digest_at || !position->is_member;
}

static void survey_take(struct state_survey *survey, const struct state_position *position)
{
    for (uint32_t i = 0; i < survey->count; i++) {
        if (survey->has[i] || !mn_id_equal(&survey->nodes[i], &position->node)) continue;
        survey->positions[i] = *position;
        survey->heard[i] = true;
        survey->has[i] = position_is_enough(survey, position);
    }
}

static void survey_ask(struct state *state, const struct state_op *op, const mn_id *node)
{
    struct state_output *output = state_emit(state, STATE_OUT_MESSAGE);

    output->send.to = *node;
    output->send.buf = state_ask_encode(op);
}

void state_recover_try(struct state *state, struct state_op *op)
{
    struct state_survey *survey = op->survey;
    struct state_position own;

    if (state->now.mono >= op->deadline) {
        survey_end(state, op, survey->order != NULL ? MN_TIMEOUT : MN_OK);
        return;
    }
    for (uint32_t i = 0; i < survey->count; i++) {
        if (survey->has[i]) continue;
        if (!mn_id_equal(&survey->nodes[i], &state->config.self)) {
            survey_ask(state, op, &survey->nodes[i]);
            continue;
        }
        if (survey->order != NULL) state_recover_heard(state, mn_buf_span(survey->order));
        state_recover_position(state, survey->digest_at, &own);
        survey_take(survey, &own);
    }
    if (survey_is_done(survey))
        survey_end(state, op, MN_OK);
    else
        mn_heap_set(&state->wakes, &op->wake,
                    mn_time_min(op->deadline, mn_time_after(state->now.mono, STATE_SURVEY_AGAIN)));
}

void state_recover_on_position(struct state *state, struct state_op *op, const mn_id *from,
                               struct state_position *position)
{
    if (op->survey == NULL) return;
    position->node = *from; /* whatever it says */
    survey_take(op->survey, position);
    if (survey_is_done(op->survey)) survey_end(state, op, MN_OK);
}

mn_status state_recover_set(struct state_op *op, const struct state_request *request)
{
    struct state_survey *survey;

    if (request->survey.count == 0 || request->survey.count > STATE_SURVEY_MAX) return MN_TOO_BIG;
    survey = mn_alloc(sizeof *survey);
    survey->count = request->survey.count;
    survey->digest_at = request->survey.digest_at;
    memcpy(survey->nodes, request->survey.nodes, survey->count * sizeof *survey->nodes);
    if (request->type == STATE_ORDER) {
        survey->order = mn_buf_copy(request->survey.order);
        survey->epoch = request->survey.epoch;
    }
    op->survey = survey;
    return MN_OK;
}

void state_recover_free(struct state_op *op)
{
    if (op->survey != NULL) mn_buf_unref(op->survey->order);
    mn_free(op->survey);
    op->survey = NULL;
}

/* ---- orders ---- */

/* An order is only passed on here; whether its signature counts is for those to say who know the
 * authority. */
void state_recover_heard(struct state *state, struct mn_span order)
{
    struct recovery recovery;
    struct state_output *output;

    if (recovery_decode(order, &recovery) != MN_OK || recovery.epoch <= state->group) return;
    output = state_emit(state, STATE_OUT_ORDER);
    output->order = mn_arena_copy(state->outbox->arena, order);
}

/* Everything in the log that is not in the map yet, in the new group's first term: who had it
 * committed and who not cannot be known, and losing none of it is right in both cases. Changes of
 * members are none any more. */
static void keep_entries(struct state *state, const struct raft *raft, struct raft_view *view,
                         struct raft_recovered *ret)
{
    uint64_t count = view->last_index - state->applied;
    struct raft_entry *entries =
        mn_arena_alloc(&state->arena, (size_t)(count + 1) * sizeof *entries);
    uint32_t kept = 0;

    for (uint64_t index = state->applied + 1; index <= view->last_index; index++) {
        struct raft_entry *entry = &entries[kept];
        if (!raft_entry_at(raft, index, entry)) break;
        mn_buf_ref(entry->buf); /* the old group lets go of it */
        entry->term = view->term;
        if (entry->kind == RAFT_ENTRY_CONFIG) entry->kind = RAFT_ENTRY_NOOP;
        kept++;
    }
    ret->entries = entries;
    ret->entries_count = kept;
}

static void found_anew(struct state *state, uint64_t epoch, struct raft_recovered *ret)
{
    const struct raft *raft = groups_raft(state->groups, state->group);
    struct raft_view view = raft_view(raft);
    struct raft_persist persist = {.term = view.term, .snapshot = &ret->snapshot};

    ret->term = view.term;
    ret->snapshot.index = state->applied;
    ret->snapshot.term = state->applied == 0 ? 0 : view.term;
    ret->snapshot.config.members_count = 1;
    ret->snapshot.config.members[0] = (struct quorum_member){.id = state->config.self, .weight = 1};
    ret->snapshot.data = strong_snapshot(state->strong);
    keep_entries(state, raft, &view, ret);
    persist.entries = ret->entries;
    persist.entries_count = ret->entries_count;
    state_write_group(state, epoch, &persist);
}

static void begin_anew(struct state *state, const struct recovery *recovery)
{
    struct raft_recovered recovered = {0};
    uint64_t old = state->group;

    if (mn_id_equal(&recovery->node, &state->config.self)) {
        MN_PROBE("state: a group is begun anew");
        found_anew(state, recovery->epoch, &recovered);
    } else {
        MN_PROBE("state: the old group is let go of");
        recovered.damage = RAFT_DAMAGE_CORRUPT;
        mn_status status = strong_restore(state->strong, mn_span(NULL, 0));
        MN_ASSERT(status == MN_OK); /* nothing decodes */
        state->applied = 0;
    }
    state_change_group(state, old, recovery->epoch, &recovered);
    for (uint32_t i = 0; i < recovered.entries_count; i++)
        mn_buf_unref(recovered.entries[i].buf);
    mn_buf_unref(recovered.snapshot.data);
    mn_trace(state->config.trace, state->now.mono, MN_EV_CONSENSUS_RECOVERED, &recovery->node,
             recovery->epoch, recovery->last_index, NULL);
    state_read_on_applied(state);
    state_ops_on_group(state);
}

/* Whoever is named has to be as far as the operator was told, and must not be led: then there is a
 * quorum after all. Others do not ask: the order is told by who has obeyed it. */
static bool may_begin(const struct state *state, const struct recovery *recovery)
{
    struct raft_view view;

    if (recovery->epoch <= state->group || recovery->epoch >= STATE_GROUPS_END) return false;
    if (!state_view(state, &view)) return false;
    if (!mn_id_equal(&recovery->node, &state->config.self)) return true;
    if (view.is_wounded || !mn_id_is_zero(&view.leader) || view.role == RAFT_LEADER) return false;
    return view.last_index >= recovery->last_index && view.last_term >= recovery->last_term;
}

void state_recover_on_order(struct state *state, const struct state_input *input)
{
    struct recovery recovery;

    if (recovery_decode(input->order, &recovery) != MN_OK || !may_begin(state, &recovery)) return;
    mn_buf_unref(state->order);
    state->order = mn_buf_copy(input->order);
    begin_anew(state, &recovery);
}

/* ---- a leader passes it on ---- */

static bool order_of(const struct state *state, struct strong_pair *ret)
{
    return strong_get(state->strong, mn_span_str(KEY_ORDER), ret);
}

/* The first thing that the new group writes. */
static void keep_order(struct state *state)
{
    struct strong_command put = {.verb = STRONG_PUT, .key = mn_span_str(KEY_ORDER)};
    struct strong_pair pair;

    if (state->order == NULL) return;
    if (order_of(state, &pair) && mn_span_equal(pair.value, mn_buf_span(state->order))) {
        state->order = mn_buf_unref(state->order);
        return;
    }
    put.value = mn_buf_span(state->order);
    state_members_propose(state, &put);
}

static void tell(struct state *state, const mn_id *node, struct mn_span order)
{
    struct state_output *output;

    if (mn_id_equal(node, &state->config.self)) return;
    output = state_emit(state, STATE_OUT_MESSAGE);
    output->send.to = *node;
    output->send.buf = state_order_encode(order);
}

static bool is_alive(const struct state *state, const mn_id *node)
{
    for (uint32_t i = 0; i < state->nodes_count; i++)
        if (mn_id_equal(&state->nodes[i].id, node)) return state->nodes[i].is_alive;
    return false;
}

/* Has nothing of this group yet: it may not have heard of it. */
static bool is_behind(const struct raft *raft, const mn_id *node)
{
    uint64_t match = 0;
    return !raft_progress(raft, node, &match) || match == 0;
}

void state_recover_plan(struct state *state)
{
    const struct raft *raft = groups_raft(state->groups, state->group);
    struct raft_view view = raft_view(raft);
    struct recovery recovery;
    struct strong_pair pair;

    keep_order(state);
    if (state->group == STATE_GROUP || !order_of(state, &pair)) return;
    for (uint32_t i = 0; i < view.config->members_count; i++)
        if (is_behind(raft, &view.config->members[i].id))
            tell(state, &view.config->members[i].id, pair.value);
    if (recovery_decode(pair.value, &recovery) != MN_OK) return;
    for (uint32_t i = 0; i < recovery.lost_count; i++) {
        const mn_id *id = &recovery.lost[i];
        if (quorum_find(view.config, id) >= 0) continue;
        if (is_alive(state, id)) tell(state, id, pair.value);
    }
}
