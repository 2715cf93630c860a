/* What nodes say to each other about records: read, checked, bounded, answered. */
#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

static bool read_key(ProtobufCBinaryData bytes, struct records_key *ret)
{
    return pb_fixed(bytes, ret->bytes, sizeof ret->bytes) == MN_OK;
}

static bool is_valid(const Meshnode__Record__Record *said, struct records_key *key, mn_id *writer)
{
    return said != NULL && read_key(said->key, key) && pb_id(said->writer, writer) == MN_OK &&
           said->version > 0 && said->version < UINT64_MAX / 2 &&
           said->body.len <= RECORDS_BODY_MAX && said->is_ended == (said->body.len == 0);
}

static void fill(struct record *record, const Meshnode__Record__Record *said, const mn_id *writer)
{
    record->version = said->version;
    record->writer = *writer;
    record->former_count = 0;
    for (size_t i = 0; i < said->n_former && record->former_count < RECORDS_FORMER; i++)
        if (pb_id(said->former[i], &record->former[record->former_count]) == MN_OK)
            record->former_count++;
}

/* Takes over what another node said about a record. False: no room. */
static bool take(struct records *records, const Meshnode__Record__Record *said,
                 const struct records_key *key, const mn_id *writer)
{
    mn_time life = RECORDS_LIFE;
    struct record *record = records_find(records, key);
    bool was_ours;

    if (said->life_ms < RECORDS_LIFE / MN_MS) life = said->life_ms * MN_MS;
    if (!said->is_ended && !records_make_room(records, said->body.len, record == NULL)) {
        records->stats.refused++;
        return false;
    }
    record = records_find(records, key); /* it may have been the one that went */
    if (record == NULL) record = records_add(records, key);
    was_ours = record->is_ours;
    fill(record, said, writer);
    for (uint32_t i = 0; i < record->copies_count; i++)
        record->copies[i].is_stored = true; /* its writer sees to that now */
    records_tell_stored(records, record);
    if (said->is_ended)
        records_set_ended(records, record);
    else
        records_set_body(records, record, pb_span(said->body));
    if (!said->is_ended) records_emit_keep(records, record);
    if (was_ours) {
        MN_PROBE("records: one of ours was changed elsewhere");
        records_emit_record(records, RECORDS_OUT_NEWER, key);
    }
    record = records_find(records, key);
    if (record == NULL) return true; /* an end too many */
    if (!record->is_ours && !record->is_ended) records_set_expiry(records, record, life);
    records_arm(records, record);
    return true;
}

static void say_stored(struct records *records, const mn_id *to,
                       const Meshnode__Record__Record *said, const struct records_key *key,
                       bool is_refused)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Stored stored = MESHNODE__RECORD__STORED__INIT;

    stored.key = said->key;
    stored.version = said->version;
    stored.writer = said->writer;
    stored.is_refused = is_refused;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_STORED;
    packet.stored = &stored;
    records_emit_send(records, to, &packet, key);
}

/* True: what is known here counts more than what was said. */
static bool is_news(const struct record *record, const Meshnode__Record__Record *said,
                    const mn_id *writer)
{
    if (record == NULL) return true;
    if (record->is_ended != said->is_ended) return said->is_ended;
    return records_compare(record, said->version, writer) < 0;
}

static void on_said_put(struct records *records, const mn_id *from,
                        const Meshnode__Record__Record *said)
{
    struct records_key key;
    mn_id writer;
    struct record *record;

    if (!is_valid(said, &key, &writer)) {
        records->stats.malformed++;
        return;
    }
    record = records_find(records, &key);
    if (is_news(record, said, &writer)) {
        if (!records_pace_take(records, from, said->body.len)) return;
        bool is_taken = take(records, said, &key, &writer);
        say_stored(records, from, said, &key, !is_taken);
        return;
    }
    if (record->is_ended != said->is_ended || records_compare(record, said->version, &writer) > 0) {
        records_send(records, record, from);
        return;
    }
    if (!record->is_ours && !record->is_ended) records_set_expiry(records, record, RECORDS_LIFE);
    say_stored(records, from, said, &key, false);
}

static void on_said_stored(struct records *records, const mn_id *from,
                           const Meshnode__Record__Stored *said)
{
    struct records_key key;
    mn_id writer;
    struct record *record;

    if (!read_key(said->key, &key) || pb_id(said->writer, &writer) != MN_OK) {
        records->stats.malformed++;
        return;
    }
    record = records_find(records, &key);
    if (record == NULL || records_compare(record, said->version, &writer) != 0) return;
    for (uint32_t i = 0; i < record->copies_count; i++) {
        if (!mn_id_equal(&record->copies[i].node, from)) continue;
        record->copies[i].is_stored = !said->is_refused;
        record->copies[i].is_refused = said->is_refused;
    }
    if (!records_has_open_copy(record)) records_tell_stored(records, record);
    records_arm(records, record);
}

static void on_said_ask(struct records *records, const mn_id *from,
                        const Meshnode__Record__Ask *said)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Found found = MESHNODE__RECORD__FOUND__INIT;
    Meshnode__Record__Record packed;
    ProtobufCBinaryData former[RECORDS_FORMER];
    struct records_key key;
    const struct record *record;

    if (!read_key(said->key, &key)) {
        records->stats.malformed++;
        return;
    }
    record = records_find(records, &key);
    found.key = said->key;
    if (record != NULL) {
        records_pack(record, &packed, former);
        found.record = &packed;
    }
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_FOUND;
    packet.found = &found;
    records_emit_send(records, from, &packet, &key);
}

static void on_said_found(struct records *records, const mn_id *from,
                          const Meshnode__Record__Found *said)
{
    struct records_key key, inside;
    mn_id writer;
    struct ask *ask;

    if (!read_key(said->key, &key) ||
        (said->record != NULL &&
         (!is_valid(said->record, &inside, &writer) || memcmp(&key, &inside, sizeof key) != 0))) {
        records->stats.malformed++;
        return;
    }
    ask = records_ask_find(records, &key);
    if (ask == NULL) return; /* too late, or nobody asked */
    if (said->record != NULL && is_news(records_find(records, &key), said->record, &writer))
        (void)take(records, said->record, &key, &writer);
    records_ask_answered(records, ask, from);
}

static void say_relayed(struct records *records, const mn_id *to,
                        const Meshnode__Record__Relay *said, const struct records_key *key)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Relayed relayed = MESHNODE__RECORD__RELAYED__INIT;

    relayed.key = said->key;
    relayed.number = said->number;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_RELAYED;
    packet.relayed = &relayed;
    records_emit_send(records, to, &packet, key);
}

static void on_said_relay(struct records *records, const mn_id *from,
                          const Meshnode__Record__Relay *said)
{
    struct records_output *output;
    struct records_key key;

    if (!read_key(said->key, &key) || said->message.len > RECORDS_RELAY_MAX) {
        records->stats.malformed++;
        return;
    }
    if (!records_pace_take(records, from, said->message.len)) return;
    output = records_emit(records, RECORDS_OUT_RELAYED, &key);
    output->body = mn_arena_copy(records->outbox->arena, pb_span(said->message));
    output->age = said->age;
    if (said->number != 0) say_relayed(records, from, said, &key); /* older nodes wait for none */
}

static void on_said_relayed(struct records *records, const mn_id *from,
                            const Meshnode__Record__Relayed *said)
{
    struct records_key key;

    if (read_key(said->key, &key))
        records_relay_confirmed(records, from, &key, said->number);
    else
        records->stats.malformed++;
}

void records_on_kept(struct records *records, const struct records_key *key, struct mn_span bytes)
{
    const Meshnode__Record__Record *said =
        bytes.size > RECORDS_MESSAGE_MAX
            ? NULL
            : pb_unpack(&meshnode__record__record__descriptor, &records->scratch, bytes);
    struct records_key inside;
    struct record *record;
    mn_id writer;

    if (!is_valid(said, &inside, &writer) || memcmp(key, &inside, sizeof inside) != 0 ||
        said->is_ended || records_find(records, key) != NULL ||
        !records_make_room(records, said->body.len, true)) {
        records_emit_forget(records, key);
        return;
    }
    MN_PROBE("records: kept over a restart");
    record = records_add(records, key);
    fill(record, said, &writer);
    records_set_body(records, record, pb_span(said->body));
    records_set_expiry(records, record, RECORDS_LIFE);
}

void records_on_message(struct records *records, const mn_id *from, struct mn_span bytes)
{
    const Meshnode__Record__Packet *packet =
        bytes.size > RECORDS_MESSAGE_MAX
            ? NULL
            : pb_unpack(&meshnode__record__packet__descriptor, &records->scratch, bytes);

    if (packet == NULL) {
        records->stats.malformed++;
        return;
    }
    switch (packet->what_case) {
    case MESHNODE__RECORD__PACKET__WHAT_PUT: on_said_put(records, from, packet->put); break;
    case MESHNODE__RECORD__PACKET__WHAT_STORED:
        on_said_stored(records, from, packet->stored);
        break;
    case MESHNODE__RECORD__PACKET__WHAT_ASK: on_said_ask(records, from, packet->ask); break;
    case MESHNODE__RECORD__PACKET__WHAT_FOUND: on_said_found(records, from, packet->found); break;
    case MESHNODE__RECORD__PACKET__WHAT_RELAY: on_said_relay(records, from, packet->relay); break;
    case MESHNODE__RECORD__PACKET__WHAT_RELAYED:
        on_said_relayed(records, from, packet->relayed);
        break;
    case MESHNODE__RECORD__PACKET__WHAT__NOT_SET:
    case _MESHNODE__RECORD__PACKET__WHAT__CASE_IS_INT_SIZE: break; /* a newer node says more */
    }
}
