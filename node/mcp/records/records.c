#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define RETRY_MAX (5 * MN_SEC)
#define SPREAD_MAX                                                                              \
    (30 * MN_SEC)               /* an end that its copies do not confirm is not repeated longer \
                                 */
#define MOVES_AT_ONCE 64        /* records sent in one go when the nodes changed, */
#define MOVES_EVERY (5 * MN_MS) /* and the time to the next ones */

struct mn_span records_key_span(const struct records_key *key)
{
    return mn_span(key->bytes, sizeof key->bytes);
}

static struct mn_span body_of(const struct record *record)
{
    return record->body == NULL ? mn_span(NULL, 0) : mn_buf_span(record->body);
}

/* ---- life ---- */

struct records *records_new(const struct records_config *config)
{
    struct records *records = mn_alloc(sizeof *records);
    struct rng rng;

    records->self = config->self;
    rng_init(&rng, config->seed);
    mn_map_init(&records->by_key, rng_u64(&rng));
    mn_map_init(&records->asks, rng_u64(&rng));
    rng_done(&rng);
    mn_list_init(&records->asks_order);
    mn_list_init(&records->ended_order);
    return records;
}

static struct records_output *emit(struct records *records, enum records_output_type type,
                                   const struct records_key *key);

/* Not ended: it is to be kept no longer, either. */
static void record_free(struct records *records, struct record *record)
{
    if (records->outbox != NULL && !record->is_ended) emit(records, RECORDS_OUT_KEEP, &record->key);
    records->stats.size -= body_of(record).size;
    if (record->is_ended) records->stats.ended--;
    if (record->is_ours) records->stats.ours--;
    mn_heap_remove(&records->expiries, &record->expiry);
    mn_heap_remove(&records->timers, &record->timer);
    mn_list_remove(&record->in_ended);
    mn_map_remove(&records->by_key, &record->by_key);
    mn_buf_unref(record->body);
    mn_free(record);
}

static void ask_free(struct records *records, struct ask *ask)
{
    mn_map_remove(&records->asks, &ask->by_key);
    mn_list_remove(&ask->in_asks);
    mn_free(ask);
}

void records_free(struct records *records)
{
    struct mn_map_entry *entry;

    if (records == NULL) return;
    while ((entry = mn_map_next(&records->by_key, NULL)) != NULL)
        record_free(records, MN_CONTAINER(entry, struct record, by_key));
    while ((entry = mn_map_next(&records->asks, NULL)) != NULL)
        ask_free(records, MN_CONTAINER(entry, struct ask, by_key));
    mn_map_done(&records->by_key);
    mn_map_done(&records->asks);
    mn_heap_done(&records->timers);
    mn_heap_done(&records->expiries);
    mn_arena_done(&records->scratch);
    mn_free(records);
}

struct record *records_find(const struct records *records, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&records->by_key, records_key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct record, by_key);
}

struct ask *records_ask_find(const struct records *records, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&records->asks, records_key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct ask, by_key);
}

/* ---- outputs ---- */

static struct records_output *emit(struct records *records, enum records_output_type type,
                                   const struct records_key *key)
{
    struct records_outbox *outbox = records->outbox;
    struct records_output *output;

    if (outbox->count == outbox->capacity) {
        uint32_t capacity = outbox->capacity == 0 ? 8 : 2 * outbox->capacity;
        struct records_output *items = mn_arena_alloc(outbox->arena, capacity * sizeof *items);
        if (outbox->count > 0) memcpy(items, outbox->items, outbox->count * sizeof *items);
        outbox->items = items;
        outbox->capacity = capacity;
    }
    output = &outbox->items[outbox->count++];
    *output = (struct records_output){.type = type, .key = *key};
    return output;
}

void records_emit_record(struct records *records, enum records_output_type type,
                         const struct records_key *key)
{
    const struct record *record = records_find(records, key);
    struct records_output *output = emit(records, type, key);

    output->is_found = record != NULL;
    if (record == NULL) return;
    output->is_ended = record->is_ended;
    output->body = mn_arena_copy(records->outbox->arena, body_of(record));
}

void records_emit_send(struct records *records, const mn_id *to,
                       const Meshnode__Record__Packet *packet, const struct records_key *key)
{
    struct records_output *output = emit(records, RECORDS_OUT_SEND, key);

    output->to = *to;
    output->buf = pb_pack(&packet->base);
}

void records_pack(const struct record *record, Meshnode__Record__Record *ret,
                  ProtobufCBinaryData former[RECORDS_FORMER])
{
    meshnode__record__record__init(ret);
    ret->key = pb_bytes(records_key_span(&record->key));
    ret->version = record->version;
    ret->writer = pb_id_bytes(&record->writer);
    ret->life_ms = RECORDS_LIFE / MN_MS;
    ret->is_ended = record->is_ended;
    ret->body = pb_bytes(body_of(record));
    for (uint32_t i = 0; i < record->former_count; i++)
        former[ret->n_former++] = pb_id_bytes(&record->former[i]);
    ret->former = former;
}

void records_emit_forget(struct records *records, const struct records_key *key)
{
    emit(records, RECORDS_OUT_KEEP, key);
}

void records_emit_keep(struct records *records, const struct record *record)
{
    struct records_output *output = emit(records, RECORDS_OUT_KEEP, &record->key);
    Meshnode__Record__Record packed;
    ProtobufCBinaryData former[RECORDS_FORMER];
    struct mn_buf *buf;

    records_pack(record, &packed, former);
    buf = pb_pack(&packed.base);
    output->body = mn_arena_copy(records->outbox->arena, mn_buf_span(buf));
    mn_buf_unref(buf);
}

void records_send(struct records *records, const struct record *record, const mn_id *to)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Record packed;
    ProtobufCBinaryData former[RECORDS_FORMER];

    records_pack(record, &packed, former);
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_PUT;
    packet.put = &packed;
    records_emit_send(records, to, &packet, &record->key);
}

/* ---- who keeps it ---- */

static uint64_t mix(uint64_t x) /* splitmix64's finalizer */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t load(const uint8_t *bytes)
{
    uint64_t x = 0;

    for (int i = 0; i < 8; i++)
        x = x << 8 | bytes[i];
    return x;
}

/* Node ids are digests of keys, and so are ours; equal scores do not happen. */
static uint64_t rank(const struct records_key *key, const mn_id *node)
{
    return mix(mix(load(key->bytes)) ^ load(key->bytes + 8) ^ load(node->bytes));
}

/* The [max] nodes that rank highest for the key, highest first. */
static uint32_t pick(const struct records *records, const struct records_key *key, mn_id *ret,
                     uint32_t max)
{
    uint64_t ranks[RECORDS_ASKED];
    uint32_t count = 0;

    MN_ASSERT(max <= RECORDS_ASKED);
    for (uint32_t i = 0; i < records->nodes_count; i++) {
        uint64_t own = rank(key, &records->nodes[i]);
        uint32_t at = count;
        while (at > 0 && ranks[at - 1] < own)
            at--;
        if (at == max) continue;
        if (count < max) count++;
        for (uint32_t j = count - 1; j > at; j--) {
            ranks[j] = ranks[j - 1];
            ret[j] = ret[j - 1];
        }
        ranks[at] = own;
        ret[at] = records->nodes[i];
    }
    return count;
}

/* ---- spreading ---- */

bool records_has_open_copy(const struct record *record)
{
    for (uint32_t i = 0; i < record->copies_count; i++)
        if (!record->copies[i].is_stored && !record->copies[i].is_refused) return true;
    return false;
}

void records_arm(struct records *records, struct record *record)
{
    mn_time at = MN_TIME_NEVER;

    if (records_has_open_copy(record)) at = record->retry_at;
    if (record->is_ours && record->copies_count > 0) at = mn_time_min(at, record->refresh_at);
    if (record->is_awaited) at = mn_time_min(at, record->wait_until);
    mn_heap_set(&records->timers, &record->timer, at);
}

void records_tell_stored(struct records *records, struct record *record)
{
    struct records_output *output;

    if (!record->is_awaited) return;
    record->is_awaited = false;
    output = emit(records, RECORDS_OUT_STORED, &record->key);
    for (uint32_t i = 0; i < record->copies_count; i++)
        output->copies_count += record->copies[i].is_stored;
    if (output->copies_count < record->copies_count) records->stats.puts_short++;
}

static void record_send_open(struct records *records, struct record *record)
{
    for (uint32_t i = 0; i < record->copies_count; i++)
        if (!record->copies[i].is_stored && !record->copies[i].is_refused)
            records_send(records, record, &record->copies[i].node);
}

static bool is_among(const mn_id *nodes, uint32_t count, const mn_id *node)
{
    for (uint32_t i = 0; i < count; i++)
        if (mn_id_equal(&nodes[i], node)) return true;
    return false;
}

/* Its present version goes to the nodes that shall keep it, and to those that wrote before: they
 * may think that they still have the word. */
static void record_spread(struct records *records, struct record *record)
{
    mn_id nodes[RECORDS_COPIES + RECORDS_FORMER];

    record->copies_count = pick(records, &record->key, nodes, RECORDS_COPIES);
    for (uint32_t i = 0; i < record->former_count; i++)
        if (is_among(records->nodes, records->nodes_count, &record->former[i]) &&
            !is_among(nodes, record->copies_count, &record->former[i]))
            nodes[record->copies_count++] = record->former[i];
    for (uint32_t i = 0; i < record->copies_count; i++)
        record->copies[i] = (struct copy){.node = nodes[i]};
    record->retry_delay = RECORDS_RETRY;
    record->retry_at = mn_time_after(records->now.mono, RECORDS_RETRY);
    record->refresh_at = mn_time_after(records->now.mono, RECORDS_REFRESH);
    record->give_up_at = mn_time_after(records->now.mono, SPREAD_MAX);
    record_send_open(records, record);
    if (!records_has_open_copy(record)) records_tell_stored(records, record);
    records_arm(records, record);
}

/* The nodes are others now. Those that have it and still shall keep it are not told again. */
static void record_move(struct records *records, struct record *record, uint32_t *moved)
{
    struct copy old[RECORDS_COPIES + RECORDS_FORMER];
    mn_id nodes[RECORDS_COPIES];
    uint32_t old_count = record->copies_count;

    memcpy(old, record->copies, sizeof old);
    record->copies_count = pick(records, &record->key, nodes, RECORDS_COPIES);
    for (uint32_t i = 0; i < record->copies_count; i++) {
        record->copies[i] = (struct copy){.node = nodes[i]};
        for (uint32_t j = 0; j < old_count; j++)
            if (mn_id_equal(&old[j].node, &nodes[i])) record->copies[i] = old[j];
    }
    if (records_has_open_copy(record)) {
        MN_PROBE("records: another node takes over a copy");
        record->retry_delay = RECORDS_RETRY;
        record->retry_at = mn_time_after(records->now.mono, *moved / MOVES_AT_ONCE * MOVES_EVERY);
        (*moved)++;
    } else {
        records_tell_stored(records, record);
    }
    records_arm(records, record);
}

static void record_on_timer(struct records *records, struct record *record)
{
    mn_time now = records->now.mono;

    if (record->is_ours && record->copies_count > 0 && record->refresh_at <= now) {
        for (uint32_t i = 0; i < record->copies_count; i++)
            record->copies[i].is_stored = record->copies[i].is_refused = false;
        record->refresh_at = mn_time_after(now, RECORDS_REFRESH);
        record->retry_at = now;
        record->retry_delay = RECORDS_RETRY;
    }
    if (records_has_open_copy(record) && record->retry_at <= now) {
        if (!record->is_ours && record->give_up_at <= now) {
            record->copies_count = 0;
        } else {
            record_send_open(records, record);
            record->retry_at = mn_time_after(now, record->retry_delay);
            record->retry_delay = mn_time_min(2 * record->retry_delay, RETRY_MAX);
        }
    }
    if (record->is_awaited && record->wait_until <= now) {
        MN_PROBE("records: answered before all copies were confirmed");
        records_tell_stored(records, record);
    }
    records_arm(records, record);
}

/* ---- keeping ---- */

void records_set_expiry(struct records *records, struct record *record, mn_time life)
{
    mn_heap_set(&records->expiries, &record->expiry, mn_time_after(records->now.mono, life));
}

bool records_make_room(struct records *records, size_t size, bool is_new)
{
    while ((is_new && records->by_key.count - records->stats.ended >= RECORDS_MAX) ||
           records->stats.size + size > RECORDS_SIZE_MAX) {
        struct mn_heap_entry *first = mn_heap_peek(&records->expiries);
        if (first == NULL) return false;
        MN_PROBE("records: one goes for another");
        record_free(records, MN_CONTAINER(first, struct record, expiry));
    }
    return true;
}

struct record *records_add(struct records *records, const struct records_key *key)
{
    struct record *record = mn_alloc(sizeof *record);

    record->key = *key;
    mn_list_init(&record->in_ended);
    mn_map_insert(&records->by_key, &record->by_key, records_key_span(&record->key));
    return record;
}

void records_set_body(struct records *records, struct record *record, struct mn_span body)
{
    records->stats.size -= body_of(record).size;
    mn_buf_unref(record->body);
    record->body = mn_buf_copy(body);
    records->stats.size += body.size;
}

static void records_emit_mark(struct records *records, const struct record *record, bool is_ended)
{
    struct records_output *output = emit(records, RECORDS_OUT_MARK, &record->key);

    output->version = record->version;
    output->is_ended = is_ended;
}

/* The oldest mark goes when there are too many. */
static void records_bound_ended(struct records *records)
{
    struct record *oldest;

    if (records->stats.ended <= RECORDS_ENDED_MAX) return;
    oldest = MN_CONTAINER(records->ended_order.next, struct record, in_ended);
    records_emit_mark(records, oldest, false);
    record_free(records, oldest);
}

void records_set_ended(struct records *records, struct record *record)
{
    if (record->is_ended) return;
    if (record->body != NULL) emit(records, RECORDS_OUT_KEEP, &record->key);
    records->stats.size -= body_of(record).size;
    record->body = mn_buf_unref(record->body);
    record->is_ended = true;
    records->stats.ended++;
    if (record->is_ours) records->stats.ours--;
    record->is_ours = false;
    mn_heap_remove(&records->expiries, &record->expiry);
    mn_list_push_back(&records->ended_order, &record->in_ended);
    records_emit_mark(records, record, true);
    records_bound_ended(records);
}

int records_compare(const struct record *record, uint64_t version, const mn_id *writer)
{
    if (record->version != version) return record->version < version ? -1 : 1;
    return memcmp(record->writer.bytes, writer->bytes, sizeof writer->bytes);
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
            !is_among(former, count, &record->former[i]))
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

static void on_put(struct records *records, const struct records_key *key, struct mn_span body)
{
    struct record *record = records_find(records, key);

    MN_ASSERT(body.size > 0 && body.size <= RECORDS_BODY_MAX);
    records->stats.puts++;
    if (record != NULL && record->is_ended) { /* the caller has not heard of it yet */
        emit(records, RECORDS_OUT_STORED, key);
        records_emit_record(records, RECORDS_OUT_NEWER, key);
        return;
    }
    if (record != NULL) record_own(records, record);
    if (!records_make_room(records, body.size, record == NULL)) {
        records->stats.refused++;
        emit(records, RECORDS_OUT_STORED, key);
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
    record->is_awaited = true;
    record->wait_until = mn_time_after(records->now.mono, RECORDS_WAIT);
    record_spread(records, record);
}

static void on_end(struct records *records, const struct records_key *key)
{
    struct record *record = records_find(records, key);

    if (record == NULL) record = records_add(records, key);
    record->version++;
    record_write(records, record);
    if (record->is_awaited) records_tell_stored(records, record);
    records_set_ended(records, record);
    record_spread(records, record);
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

/* ---- asking ---- */

static void ask_end(struct records *records, struct ask *ask)
{
    struct records_key key = ask->key;

    ask_free(records, ask);
    records_emit_record(records, RECORDS_OUT_FOUND, &key);
}

void records_ask_answered(struct records *records, struct ask *ask, const mn_id *node)
{
    for (uint32_t i = 0; i < ask->nodes_count; i++) {
        if (!mn_id_equal(&ask->nodes[i], node)) continue;
        ask->nodes[i] = ask->nodes[--ask->nodes_count];
        break;
    }
    if (ask->is_late && records_find(records, &ask->key) != NULL)
        ask_end(records, ask);
    else if (ask->nodes_count == 0 && !ask->is_early)
        ask_end(records, ask);
}

/* Asks the highest ones that were not asked yet, as far as there is room to remember them. */
static void ask_send(struct records *records, struct ask *ask)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Ask asked = MESHNODE__RECORD__ASK__INIT;
    mn_id nodes[RECORDS_ASKED];
    uint32_t count = pick(records, &ask->key, nodes, RECORDS_ASKED);

    asked.key = pb_bytes(records_key_span(&ask->key));
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_ASK;
    packet.ask = &asked;
    for (uint32_t i = 0; i < count; i++) {
        if (is_among(ask->asked, ask->asked_count, &nodes[i]) ||
            ask->asked_count == RECORDS_ASKED * 2 || ask->nodes_count == RECORDS_ASKED)
            continue;
        ask->asked[ask->asked_count++] = nodes[i];
        ask->nodes[ask->nodes_count++] = nodes[i];
        records_emit_send(records, &nodes[i], &packet, &ask->key);
    }
}

/* In the order of their times. */
static void ask_enter(struct records *records, struct ask *ask)
{
    struct mn_list *after = records->asks_order.prev;

    while (after != &records->asks_order &&
           MN_CONTAINER(after, struct ask, in_asks)->until > ask->until)
        after = after->prev;
    mn_list_insert_before(after->next, &ask->in_asks);
}

/* Its time is up. What nobody has shown may be at a node that is slow, or only just coming. */
static void ask_on_time(struct records *records, struct ask *ask)
{
    bool is_open = ask->nodes_count > 0 || ask->is_early;

    if (records_find(records, &ask->key) != NULL || !is_open ||
        ask->give_up_at <= records->now.mono) {
        MN_PROBE("records: not all that were asked have answered");
        ask_end(records, ask);
        return;
    }
    MN_PROBE("records: nobody has shown it yet, and it is waited for");
    ask->is_late = true;
    ask->until = mn_time_min(ask->give_up_at, mn_time_after(records->now.mono, RECORDS_ASK_WAIT));
    mn_list_remove(&ask->in_asks);
    ask_enter(records, ask);
    ask_send(records, ask);
}

static void on_ask(struct records *records, const struct records_key *key)
{
    const struct record *record = records_find(records, key);
    mn_time since = records->now.mono - records->grown_at;
    bool is_early = since < (records->nodes_count == 0 ? RECORDS_LOST_WAIT : RECORDS_YOUNG);
    struct ask *ask = records_ask_find(records, key);

    if (ask != NULL) return; /* one answer for all */
    if ((record != NULL && record->is_ended) || (records->nodes_count == 0 && !is_early) ||
        records->asks.count >= RECORDS_ASKS_MAX) {
        records_emit_record(records, RECORDS_OUT_FOUND, key);
        return;
    }
    ask = mn_alloc(sizeof *ask);
    ask->key = *key;
    ask->until = mn_time_after(records->now.mono, RECORDS_ASK_WAIT);
    ask->give_up_at = mn_time_after(records->now.mono, RECORDS_LOST_WAIT);
    ask->is_early = is_early;
    mn_map_insert(&records->asks, &ask->by_key, records_key_span(&ask->key));
    ask_enter(records, ask);
    ask_send(records, ask);
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
        if (!is_among(old, old_count, &records->nodes[i])) records->grown_at = records->now.mono;
    if (old_count == records->nodes_count &&
        memcmp(old, records->nodes, old_count * sizeof *old) == 0)
        return;
    for (struct mn_map_entry *entry = mn_map_next(&records->by_key, NULL); entry != NULL;
         entry = mn_map_next(&records->by_key, entry)) {
        struct record *record = MN_CONTAINER(entry, struct record, by_key);
        if (record->is_ours) record_move(records, record, &moved);
    }
    MN_LIST_FOR_EACH_SAFE (link, &records->asks_order) {
        struct ask *ask = MN_CONTAINER(link, struct ask, in_asks);
        for (uint32_t i = ask->nodes_count; i > 0; i--)
            if (!is_among(records->nodes, records->nodes_count, &ask->nodes[i - 1]))
                ask->nodes[i - 1] = ask->nodes[--ask->nodes_count];
        if (ask->is_early) ask_send(records, ask);
        if (ask->nodes_count == 0 && !ask->is_early) ask_end(records, ask);
    }
}

/* ---- steps ---- */

static void on_time(struct records *records)
{
    mn_time now = records->now.mono;

    while (mn_heap_deadline(&records->expiries) <= now)
        record_free(records, MN_CONTAINER(mn_heap_peek(&records->expiries), struct record, expiry));
    while (mn_heap_deadline(&records->timers) <= now)
        record_on_timer(records,
                        MN_CONTAINER(mn_heap_peek(&records->timers), struct record, timer));
    while (!mn_list_is_empty(&records->asks_order)) {
        struct ask *ask = MN_CONTAINER(records->asks_order.next, struct ask, in_asks);
        if (ask->until > now) break;
        ask_on_time(records, ask);
    }
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
    case RECORDS_IN_ASK: on_ask(records, &input->key); break;
    case RECORDS_IN_END: on_end(records, &input->key); break;
    case RECORDS_IN_RELEASE: on_release(records, &input->key); break;
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
        size += body_of(record).size;
    }
    MN_ASSERT(ours == records->stats.ours && ended == records->stats.ended);
    MN_ASSERT(size == records->stats.size && size <= RECORDS_SIZE_MAX);
    MN_ASSERT(records->by_key.count - ended <= RECORDS_MAX);
    MN_ASSERT(ended <= RECORDS_ENDED_MAX);
    MN_ASSERT(records->asks.count <= RECORDS_ASKS_MAX);
}
