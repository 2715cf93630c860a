/* state_read.c: what is read of the keyspace, and who waits for its changes. */
#include "node/state/state_internal.h"
#include "proto/base/check.h"

/* ---- pairs ---- */

static struct strong_pair pair_copy(struct state *state, struct strong_pair pair)
{
    struct mn_arena *arena = state->outbox->arena;

    pair.key = mn_arena_copy(arena, mn_span(pair.key.data + 1, pair.key.size - 1));
    pair.value = mn_arena_copy(arena, pair.value);
    return pair;
}

static void read_list(struct state *state, const struct state_op *op, struct state_answer *answer)
{
    struct strong_pair pair;
    struct mn_span after = mn_buf_span(op->after);
    size_t size = 0;

    answer->pairs = mn_arena_alloc(state->outbox->arena, (op->limit + 1) * sizeof *answer->pairs);
    while (strong_next(state->strong, mn_buf_span(op->key), after, &pair)) {
        answer->has_more = answer->pairs_count == op->limit || size > STRONG_LIST_SIZE;
        if (answer->has_more) return;
        size += pair.key.size + pair.value.size;
        after = pair.key;
        answer->pairs[answer->pairs_count++] = pair_copy(state, pair);
    }
}

/* What is left by the leader's own clock; one that it has not looked at yet has all of its time. */
static struct state_lease lease_row(const struct state *state, const struct strong_lease *lease)
{
    mn_time end = mn_time_after(lease->since, (mn_time)lease->ttl_ms * MN_MS);
    uint64_t left_ms = lease->ttl_ms;

    if (lease->since != 0) left_ms = end > state->now.mono ? (end - state->now.mono) / MN_MS : 0;
    return (struct state_lease){
        .id = lease->id, .ttl_ms = lease->ttl_ms, .left_ms = left_ms, .renewals = lease->renewals};
}

static void read_leases(struct state *state, const struct state_op *op, struct state_answer *answer)
{
    struct mn_arena *arena = state->outbox->arena;
    uint64_t *ids = mn_arena_alloc(arena, op->limit * sizeof *ids);
    uint32_t *keys = mn_arena_alloc(arena, op->limit * sizeof *keys);
    const struct strong_lease *lease = strong_lease_next(state->strong, NULL);

    answer->leases = mn_arena_alloc(arena, op->limit * sizeof *answer->leases);
    for (; lease != NULL; lease = strong_lease_next(state->strong, lease)) {
        if (lease->id <= op->after_lease) continue;
        answer->has_more = answer->leases_count == op->limit;
        if (answer->has_more) break;
        ids[answer->leases_count] = lease->id;
        answer->leases[answer->leases_count++] = lease_row(state, lease);
    }
    strong_lease_keys(state->strong, ids, answer->leases_count, keys);
    for (uint32_t i = 0; i < answer->leases_count; i++)
        answer->leases[i].keys_count = keys[i];
}

void state_read_pairs(struct state *state, struct state_op *op)
{
    struct state_answer answer = {.status = MN_OK,
                                  .place = {strong_stats(state->strong).rev, STRONG_PART_ALL}};
    struct strong_pair pair;

    if (op->is_leases) {
        read_leases(state, op, &answer);
    } else if (op->is_list) {
        read_list(state, op, &answer);
    } else if (strong_get(state->strong, mn_buf_span(op->key), &pair)) {
        answer.pairs = mn_arena_alloc(state->outbox->arena, sizeof *answer.pairs);
        answer.pairs[answer.pairs_count++] = pair_copy(state, pair);
    }
    state_ops_answer(state, op, &answer);
}

/* ---- changes ---- */

static bool begins_with(struct mn_span key, struct mn_span prefix)
{
    return key.size >= prefix.size && mn_span_equal(mn_span(key.data, prefix.size), prefix);
}

static void add_change(struct state *state, struct state_answer *answer,
                       const struct strong_change *change)
{
    struct mn_arena *arena = state->outbox->arena;
    struct mn_span key = mn_buf_span(change->key);

    answer->changes[answer->changes_count++] =
        (struct state_change){.place = {change->rev, change->part},
                              .is_removed = change->is_removed,
                              .key = mn_arena_copy(arena, mn_span(key.data + 1, key.size - 1)),
                              .value = mn_arena_copy(arena, mn_buf_span(change->value)),
                              .created = change->created};
}

/* From [change] on, as many as one answer takes; how far that went is the answer's place. */
static void add_changes(struct state *state, const struct state_op *op,
                        const struct strong_change *change, struct state_answer *answer)
{
    size_t size = 0;

    answer->changes =
        mn_arena_alloc(state->outbox->arena, STRONG_LIST_MAX * sizeof *answer->changes);
    for (; change != NULL; change = strong_change_next(state->strong, change)) {
        if (answer->changes_count == STRONG_LIST_MAX || size > STRONG_LIST_SIZE) return;
        answer->place = (struct strong_place){change->rev, change->part};
        if (!begins_with(mn_buf_span(change->key), mn_buf_span(op->key))) continue;
        size += change->key->size + mn_buf_span(change->value).size;
        add_change(state, answer, change);
    }
    answer->place = (struct strong_place){strong_stats(state->strong).rev, STRONG_PART_ALL};
}

void state_read_watch(struct state *state, struct state_op *op)
{
    struct state_answer answer = {.status = MN_OK};
    const struct strong_change *change;
    uint64_t rev = strong_stats(state->strong).rev;

    if (op->is_now) {
        answer.place = (struct strong_place){rev, STRONG_PART_ALL};
        state_ops_answer(state, op, &answer);
        return;
    }
    answer.status = strong_change_after(state->strong, op->place, &change);
    if (answer.status == MN_OK) add_changes(state, op, change, &answer);
    if (answer.status == MN_EXPIRED || answer.changes_count > 0) {
        state_ops_answer(state, op, &answer);
        return;
    }
    if (rev > op->place.rev) op->place = (struct strong_place){rev, STRONG_PART_ALL};
    mn_list_remove(&op->watching);
    mn_list_push_back(&state->watching, &op->watching);
    mn_heap_set(&state->wakes, &op->wake, op->deadline);
}

void state_read_end_watch(struct state *state, struct state_op *op)
{
    mn_status status = op->is_now ? MN_UNREACHABLE : MN_OK; /* no member has said where it is */
    state_ops_answer(state, op, &(struct state_answer){.status = status, .place = op->place});
}

void state_read_on_applied(struct state *state)
{
    struct mn_list *item;

    while ((item = mn_list_take(&state->watching)) != NULL)
        state_ops_due(state, MN_CONTAINER(item, struct state_op, watching));
}
