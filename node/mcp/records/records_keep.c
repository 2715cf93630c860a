/* What is kept here, and its bounds; what the owner of the core is told. */
#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

struct mn_span records_key_span(const struct records_key *key)
{
    return mn_span(key->bytes, sizeof key->bytes);
}

struct mn_span records_body(const struct record *record)
{
    return record->body == NULL ? mn_span(NULL, 0) : mn_buf_span(record->body);
}

struct record *records_find(const struct records *records, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&records->by_key, records_key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct record, by_key);
}

/* ---- outputs ---- */

struct records_output *records_emit(struct records *records, enum records_output_type type,
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
    struct records_output *output = records_emit(records, type, key);

    output->is_found = record != NULL;
    if (record == NULL) return;
    output->is_ended = record->is_ended;
    output->body = mn_arena_copy(records->outbox->arena, records_body(record));
}

void records_emit_send(struct records *records, const mn_id *to,
                       const Meshnode__Record__Packet *packet, const struct records_key *key)
{
    struct records_output *output = records_emit(records, RECORDS_OUT_SEND, key);

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
    ret->body = pb_bytes(records_body(record));
    for (uint32_t i = 0; i < record->former_count; i++)
        former[ret->n_former++] = pb_id_bytes(&record->former[i]);
    ret->former = former;
}

void records_emit_keep(struct records *records, const struct record *record)
{
    struct records_output *output = records_emit(records, RECORDS_OUT_KEEP, &record->key);
    Meshnode__Record__Record packed;
    ProtobufCBinaryData former[RECORDS_FORMER];
    struct mn_buf *buf;

    records_pack(record, &packed, former);
    buf = pb_pack(&packed.base);
    output->body = mn_arena_copy(records->outbox->arena, mn_buf_span(buf));
    mn_buf_unref(buf);
}

void records_emit_forget(struct records *records, const struct records_key *key)
{
    records_emit(records, RECORDS_OUT_KEEP, key);
}

/* ---- keeping ---- */

void records_drop(struct records *records, struct record *record)
{
    if (records->outbox != NULL && !record->is_ended)
        records_emit(records, RECORDS_OUT_KEEP, &record->key);
    records->stats.size -= records_body(record).size;
    if (record->is_ended) records->stats.ended--;
    if (record->is_ours) records->stats.ours--;
    mn_heap_remove(&records->expiries, &record->expiry);
    mn_heap_remove(&records->timers, &record->timer);
    mn_list_remove(&record->in_ended);
    mn_map_remove(&records->by_key, &record->by_key);
    mn_buf_unref(record->body);
    mn_free(record);
}

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
        records_drop(records, MN_CONTAINER(first, struct record, expiry));
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
    records->stats.size -= records_body(record).size;
    mn_buf_unref(record->body);
    record->body = mn_buf_copy(body);
    records->stats.size += body.size;
}

static void records_emit_mark(struct records *records, const struct record *record, bool is_ended)
{
    struct records_output *output = records_emit(records, RECORDS_OUT_MARK, &record->key);

    output->version = record->version;
    output->is_ended = is_ended;
}

/* The oldest mark goes when there are too many. */
void records_bound_ended(struct records *records)
{
    struct record *oldest;

    if (records->stats.ended <= RECORDS_ENDED_MAX) return;
    oldest = MN_CONTAINER(records->ended_order.next, struct record, in_ended);
    records_tell_stored(records, oldest);
    records_emit_mark(records, oldest, false);
    records_drop(records, oldest);
}

void records_set_ended(struct records *records, struct record *record)
{
    if (record->is_ended) return;
    if (record->body != NULL) records_emit(records, RECORDS_OUT_KEEP, &record->key);
    records->stats.size -= records_body(record).size;
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
