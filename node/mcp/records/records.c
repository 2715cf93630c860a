#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* ---- life ---- */

struct records *records_new(const struct records_config *config)
{
    struct records *records = mn_alloc(sizeof *records);
    struct rng rng;

    records->self = config->self;
    rng_init(&rng, config->seed);
    mn_map_init(&records->by_key, rng_u64(&rng));
    mn_map_init(&records->asks, rng_u64(&rng));
    mn_map_init(&records->paces, rng_u64(&rng));
    records->word_last = rng_u64(&rng) >> 1; /* none is 0 */
    rng_done(&rng);
    mn_list_init(&records->asks_order);
    mn_list_init(&records->ended_order);
    mn_list_init(&records->words);
    return records;
}

void records_free(struct records *records)
{
    struct mn_map_entry *entry;

    if (records == NULL) return;
    while ((entry = mn_map_next(&records->by_key, NULL)) != NULL)
        records_drop(records, MN_CONTAINER(entry, struct record, by_key));
    while ((entry = mn_map_next(&records->asks, NULL)) != NULL)
        records_ask_free(records, MN_CONTAINER(entry, struct ask, by_key));
    mn_map_done(&records->by_key);
    mn_map_done(&records->asks);
    records_pace_done(records);
    records_relay_done(records);
    mn_heap_done(&records->timers);
    mn_heap_done(&records->expiries);
    mn_arena_done(&records->scratch);
    mn_free(records);
}

/* ---- our own ---- */

/* This node writes it now; who wrote before is remembered. */
static void record_write(struct records *records, struct record *record)
{
    mn_id former[RECORDS_FORMER];
    uint32_t count = 0;

    if (!mn_id_is_zero(&record->writer) && !mn_id_equal(&record->writer, &records->self))
        former[count++] = record->writer;
    for (uint32_t i = 0; i < record->former_count && count < RECORDS_FORMER; i++)
        if (!mn_id_equal(&record->former[i], &records->self) &&
            !records_is_among(former, count, &record->former[i]))
            former[count++] = record->former[i];
    memcpy(record->former, former, count * sizeof *former);
    record->former_count = count;
    record->writer = records->self;
}

/* It is kept here as long as this node says so. */
static void record_own(struct records *records, struct record *record)
{
    if (!record->is_ours) records->stats.ours++;
    record->is_ours = true;
    mn_heap_remove(&records->expiries, &record->expiry);
}

/* STORED is due for it. */
static void record_await(struct records *records, struct record *record)
{
    record->is_awaited = true;
    record->wait_until = mn_time_after(records->now.mono, RECORDS_WAIT);
}

static void on_put(struct records *records, const struct records_key *key, struct mn_span body)
{
    struct record *record = records_find(records, key);

    MN_ASSERT(body.size > 0 && body.size <= RECORDS_BODY_MAX);
    records->stats.puts++;
    if (record != NULL && record->is_ended) { /* the caller has not heard of it yet */
        records_emit(records, RECORDS_OUT_STORED, key);
        records_emit_record(records, RECORDS_OUT_NEWER, key);
        return;
    }
    if (record != NULL) record_own(records, record);
    if (!records_make_room(records, body.size, record == NULL)) {
        records->stats.refused++;
        records_emit(records, RECORDS_OUT_STORED, key);
        return;
    }
    if (record == NULL) {
        record = records_add(records, key);
        record_own(records, record);
    }
    records_set_body(records, record, body);
    record->version++;
    record_write(records, record);
    records_emit_keep(records, record);
    record_await(records, record);
    records_spread(records, record);
}

static void on_end(struct records *records, const struct records_key *key)
{
    struct record *record = records_find(records, key);

    if (record == NULL) record = records_add(records, key);
    record->version++;
    record_write(records, record);
    records_tell_stored(records, record); /* of what was put before */
    records_set_ended(records, record);
    record_await(records, record);
    records_spread(records, record);
}

/* Nobody is told: whoever shall know it was told then. */
static void on_mark(struct records *records, const struct records_key *key, uint64_t version)
{
    struct record *record = records_find(records, key);

    if (record != NULL) return;
    record = records_add(records, key);
    record->version = version;
    record->writer = records->self;
    record->is_ended = true;
    records->stats.ended++;
    mn_list_push_back(&records->ended_order, &record->in_ended);
    records_bound_ended(records);
}

static void on_release(struct records *records, const struct records_key *key)
{
    struct record *record = records_find(records, key);

    if (record == NULL || !record->is_ours) return;
    records_tell_stored(records, record);
    record->is_ours = false;
    records->stats.ours--;
    record->copies_count = 0;
    records_arm(records, record);
    records_set_expiry(records, record, RECORDS_LIFE);
}

/* ---- who is there ---- */

static int compare_ids(const mn_id *a, const mn_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* Sorted, so that the order in which they are told does not matter. */
static void set_nodes(struct records *records, const mn_id *nodes, uint32_t count)
{
    records->nodes_count = 0;
    for (uint32_t i = 0; i < count && records->nodes_count < RECORDS_NODES_MAX; i++) {
        uint32_t at = records->nodes_count;
        if (mn_id_equal(&nodes[i], &records->self)) continue;
        while (at > 0 && compare_ids(&records->nodes[at - 1], &nodes[i]) > 0)
            at--;
        memmove(&records->nodes[at + 1], &records->nodes[at],
                (records->nodes_count - at) * sizeof *nodes);
        records->nodes[at] = nodes[i];
        records->nodes_count++;
    }
}

static void on_nodes(struct records *records, const mn_id *nodes, uint32_t count)
{
    mn_id *old = mn_arena_alloc(&records->scratch, sizeof records->nodes);
    uint32_t old_count = records->nodes_count, moved = 0;

    memcpy(old, records->nodes, sizeof records->nodes);
    set_nodes(records, nodes, count);
    for (uint32_t i = 0; i < records->nodes_count; i++)
        if (!records_is_among(old, old_count, &records->nodes[i]))
            records->grown_at = records->now.mono;
    if (old_count == records->nodes_count &&
        memcmp(old, records->nodes, old_count * sizeof *old) == 0)
        return;
    for (struct mn_map_entry *entry = mn_map_next(&records->by_key, NULL); entry != NULL;
         entry = mn_map_next(&records->by_key, entry)) {
        struct record *record = MN_CONTAINER(entry, struct record, by_key);
        if (record->is_ours) records_spread_move(records, record, &moved);
    }
    MN_LIST_FOR_EACH_SAFE (link, &records->asks_order) {
        struct ask *ask = MN_CONTAINER(link, struct ask, in_asks);
        for (uint32_t i = ask->nodes_count; i > 0; i--)
            if (!records_is_among(records->nodes, records->nodes_count, &ask->nodes[i - 1]))
                ask->nodes[i - 1] = ask->nodes[--ask->nodes_count];
        if (ask->is_early) records_ask_send(records, ask);
        if (ask->nodes_count == 0 && !ask->is_early) records_ask_end(records, ask);
    }
    records_relay_on_nodes(records, old, old_count);
}

/* ---- steps ---- */

static void on_time(struct records *records)
{
    mn_time now = records->now.mono;

    while (mn_heap_deadline(&records->expiries) <= now)
        records_drop(records,
                     MN_CONTAINER(mn_heap_peek(&records->expiries), struct record, expiry));
    while (mn_heap_deadline(&records->timers) <= now)
        records_spread_on_time(records,
                               MN_CONTAINER(mn_heap_peek(&records->timers), struct record, timer));
    while (!mn_list_is_empty(&records->asks_order)) {
        struct ask *ask = MN_CONTAINER(records->asks_order.next, struct ask, in_asks);
        if (ask->until > now) break;
        records_ask_on_time(records, ask);
    }
    records_relay_on_time(records);
}

void records_step(struct records *records, struct mn_now now, const struct records_input *input,
                  struct records_outbox *outbox)
{
    records->now = now;
    records->outbox = outbox;
    if (records->grown_at == 0) records->grown_at = now.mono;
    switch (input->type) {
    case RECORDS_IN_TICK: break;
    case RECORDS_IN_NODES: on_nodes(records, input->nodes.items, input->nodes.count); break;
    case RECORDS_IN_MESSAGE:
        records_on_message(records, &input->message.from, input->message.bytes);
        break;
    case RECORDS_IN_PUT: on_put(records, &input->key, input->put); break;
    case RECORDS_IN_ASK: records_ask_begin(records, &input->key); break;
    case RECORDS_IN_END: on_end(records, &input->key); break;
    case RECORDS_IN_RELEASE: on_release(records, &input->key); break;
    case RECORDS_IN_RELAY:
        records_relay(records, &input->key, input->relay.message, input->relay.said_at);
        break;
    case RECORDS_IN_MARK: on_mark(records, &input->key, input->mark); break;
    case RECORDS_IN_KEPT: records_on_kept(records, &input->key, input->kept); break;
    }
    on_time(records);
    mn_arena_reset(&records->scratch);
    records->outbox = NULL;
}

mn_time records_deadline(const struct records *records)
{
    mn_time at =
        mn_time_min(mn_heap_deadline(&records->timers), mn_heap_deadline(&records->expiries));

    at = mn_time_min(at, mn_heap_deadline(&records->word_timers));
    if (mn_list_is_empty(&records->asks_order)) return at;
    return mn_time_min(at, MN_CONTAINER(records->asks_order.next, struct ask, in_asks)->until);
}

struct records_stats records_stats(const struct records *records)
{
    struct records_stats stats = records->stats;

    stats.kept = records->by_key.count;
    stats.asks = records->asks.count;
    return stats;
}

bool records_has(const struct records *records, const struct records_key *key)
{
    const struct record *record = records_find(records, key);

    return record != NULL && !record->is_ended;
}

void records_check(const struct records *records)
{
    uint32_t ours = 0, ended = 0;
    size_t size = 0;

    for (struct mn_map_entry *entry = mn_map_next(&records->by_key, NULL); entry != NULL;
         entry = mn_map_next(&records->by_key, entry)) {
        const struct record *record = MN_CONTAINER(entry, struct record, by_key);
        MN_ASSERT(record->version > 0);
        MN_ASSERT(record->is_ended == (record->body == NULL));
        MN_ASSERT(!record->is_ours || !record->is_ended);
        MN_ASSERT((record->expiry.index_plus_one != 0) == (!record->is_ours && !record->is_ended));
        MN_ASSERT(!record->is_awaited || record->timer.index_plus_one != 0);
        MN_ASSERT(!records_has_open_copy(record) || record->timer.index_plus_one != 0);
        ours += record->is_ours;
        ended += record->is_ended;
        size += records_body(record).size;
    }
    MN_ASSERT(ours == records->stats.ours && ended == records->stats.ended);
    MN_ASSERT(size == records->stats.size && size <= RECORDS_SIZE_MAX);
    MN_ASSERT(records->by_key.count - ended <= RECORDS_MAX);
    MN_ASSERT(ended <= RECORDS_ENDED_MAX);
    MN_ASSERT(records->asks.count <= RECORDS_ASKS_MAX);
    records_relay_check(records);
}
