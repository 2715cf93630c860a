/* Who keeps copies of a record, and how they get and confirm them. */
#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define SPREAD_MAX (30 * MN_SEC) /* an end that copies do not confirm is not repeated longer */
#define MOVES_AT_ONCE 64         /* records sent in one go when the nodes changed, */
#define MOVES_EVERY (5 * MN_MS)  /* and the time to the next ones */

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

uint32_t records_pick(const struct records *records, const struct records_key *key, mn_id *ret,
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
    output = records_emit(records, RECORDS_OUT_STORED, &record->key);
    output->is_ended = record->is_ended;
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

bool records_is_among(const mn_id *nodes, uint32_t count, const mn_id *node)
{
    for (uint32_t i = 0; i < count; i++)
        if (mn_id_equal(&nodes[i], node)) return true;
    return false;
}

void records_spread(struct records *records, struct record *record)
{
    mn_id nodes[RECORDS_COPIES + RECORDS_TOLD];

    record->copies_count = records_pick(records, &record->key, nodes, RECORDS_COPIES);
    for (uint32_t i = 0; i < record->former_count && i < RECORDS_TOLD; i++)
        if (records_is_among(records->nodes, records->nodes_count, &record->former[i]) &&
            !records_is_among(nodes, record->copies_count, &record->former[i]))
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

void records_spread_move(struct records *records, struct record *record, uint32_t *moved)
{
    struct copy old[RECORDS_COPIES + RECORDS_TOLD];
    mn_id nodes[RECORDS_COPIES];
    uint32_t old_count = record->copies_count;

    memcpy(old, record->copies, sizeof old);
    record->copies_count = records_pick(records, &record->key, nodes, RECORDS_COPIES);
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

void records_spread_on_time(struct records *records, struct record *record)
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
            record->retry_delay = mn_time_min(2 * record->retry_delay, RECORDS_RETRY_MAX);
        }
    }
    if (record->is_awaited && record->wait_until <= now) {
        MN_PROBE("records: answered before all copies were confirmed");
        records_tell_stored(records, record);
    }
    records_arm(records, record);
}
