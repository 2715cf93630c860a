/* strong_wire.c: commands as bytes and back (proto/state.proto), and snapshots back; every bound is
 * checked. */
#include "node/state/strong_internal.h"
#include "proto/pb.h"
#include "proto/state.pb-c.h"

/* ---- commands ---- */

static bool has_key(enum strong_verb verb)
{
    return verb == STRONG_PUT || verb == STRONG_REMOVE || verb == STRONG_ADD;
}

mn_status strong_command_check(const struct strong_command *command)
{
    bool is_grant = command->verb == STRONG_GRANT;

    if (command->verb < STRONG_PUT || command->verb > STRONG_VERIFY) return MN_MALFORMED;
    if (command->key.size > STRONG_KEY_MAX || command->value.size > STRONG_VALUE_MAX)
        return MN_TOO_BIG;
    if (has_key(command->verb) && command->key.size == 0) return MN_MALFORMED;
    if (is_grant && (command->ttl_ms < STRONG_TTL_MIN_MS || command->ttl_ms > STRONG_TTL_MAX_MS))
        return MN_MALFORMED;
    if (!mn_id_is_zero(&command->client) && command->seq == 0) return MN_MALFORMED;
    return MN_OK;
}

struct mn_buf *strong_command_encode(const struct strong_command *command)
{
    Meshnode__State__Command pb = MESHNODE__STATE__COMMAND__INIT;

    if (!mn_id_is_zero(&command->client)) pb.client = pb_id_bytes(&command->client);
    pb.seq = command->seq;
    pb.verb = (uint32_t)command->verb;
    pb.key = pb_bytes(command->key);
    pb.value = pb_bytes(command->value);
    pb.has_if_rev = command->has_if_rev;
    pb.if_rev = command->if_rev;
    pb.lease = command->lease;
    pb.ttl_ms = command->ttl_ms;
    pb.by = command->by;
    pb.renewals = command->renewals;
    return pb_pack(&pb.base);
}

mn_status strong_command_decode(struct mn_span bytes, struct mn_arena *arena,
                                struct strong_command *ret)
{
    const Meshnode__State__Command *pb;
    struct strong_command command = {0};
    mn_status status;

    if (bytes.size > STRONG_KEY_MAX + STRONG_VALUE_MAX + 256) return MN_TOO_BIG;
    pb = pb_unpack(&meshnode__state__command__descriptor, arena, bytes);
    if (pb == NULL || pb->verb > STRONG_VERIFY) return MN_MALFORMED;
    if (pb->client.len > 0 && pb_id(pb->client, &command.client) != MN_OK) return MN_MALFORMED;
    command.seq = pb->seq;
    command.verb = (enum strong_verb)pb->verb;
    command.key = pb_span(pb->key);
    command.value = pb_span(pb->value);
    command.has_if_rev = pb->has_if_rev;
    command.if_rev = pb->if_rev;
    command.lease = pb->lease;
    command.ttl_ms = pb->ttl_ms;
    command.by = pb->by;
    command.renewals = pb->renewals;
    status = strong_command_check(&command);
    if (status == MN_OK) *ret = command;
    return status;
}

/* ---- snapshots in ---- */

static bool leases_are_sound(const Meshnode__State__Snapshot *pb)
{
    if (pb->n_leases > STRONG_LEASES_MAX) return false;
    for (size_t i = 0; i < pb->n_leases; i++) {
        const Meshnode__State__Lease *lease = pb->leases[i];
        if (lease->id == 0 || lease->id > pb->rev) return false;
        if (i > 0 && pb->leases[i - 1]->id >= lease->id) return false;
        if (lease->ttl_ms < STRONG_TTL_MIN_MS || lease->ttl_ms > STRONG_TTL_MAX_MS) return false;
    }
    return true;
}

static bool has_lease(const Meshnode__State__Snapshot *pb, uint64_t id)
{
    size_t low = 0, high = pb->n_leases;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pb->leases[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pb->n_leases && pb->leases[low]->id == id;
}

static bool pairs_are_sound(const Meshnode__State__Snapshot *pb)
{
    size_t total = 0;

    if (pb->n_pairs > STRONG_KEYS_MAX) return false;
    for (size_t i = 0; i < pb->n_pairs; i++) {
        const Meshnode__State__Pair *pair = pb->pairs[i];
        if (pair->key.len == 0 || pair->key.len > STRONG_KEY_MAX) return false;
        if (pair->value.len > STRONG_VALUE_MAX) return false;
        if (pair->created > pair->rev || pair->rev > pb->rev) return false;
        if (pair->lease != 0 && !has_lease(pb, pair->lease)) return false;
        if (i > 0 && mn_span_compare(pb_span(pb->pairs[i - 1]->key), pb_span(pair->key)) >= 0)
            return false;
        total += pair->key.len + pair->value.len;
    }
    return total <= STRONG_TOTAL_MAX;
}

static bool sessions_are_sound(const Meshnode__State__Snapshot *pb)
{
    if (pb->n_sessions > STRONG_SESSIONS_MAX) return false;
    for (size_t i = 0; i < pb->n_sessions; i++)
        if (pb->sessions[i]->client.len != sizeof(mn_id) || pb->sessions[i]->seq == 0 ||
            pb->sessions[i]->reply == NULL)
            return false;
    return true;
}

static void restore_pairs(struct strong *strong, const Meshnode__State__Snapshot *pb)
{
    for (uint32_t i = 0; i < pb->n_pairs; i++) {
        const Meshnode__State__Pair *pair = pb->pairs[i];
        struct strong_entry *entry = strong_insert(strong, i, pb_span(pair->key));
        entry->value = mn_buf_copy(pb_span(pair->value));
        entry->rev = pair->rev;
        entry->created = pair->created;
        entry->lease = pair->lease;
        strong->total += pair->key.len + pair->value.len;
    }
}

/* A client that stands there twice is refused as a whole. */
static mn_status restore_sessions(struct strong *strong, const Meshnode__State__Snapshot *pb)
{
    for (size_t i = 0; i < pb->n_sessions; i++) {
        const Meshnode__State__Session *from = pb->sessions[i];
        struct strong_session *session;
        mn_id client;
        memcpy(client.bytes, from->client.data, sizeof client);
        if (mn_map_find(&strong->sessions, mn_span(client.bytes, sizeof client)) != NULL)
            return MN_MALFORMED;
        session = strong_session_add(strong, &client);
        session->seq = from->seq;
        session->reply.status = (mn_status)from->reply->status;
        session->reply.rev = from->reply->rev;
        session->reply.number = from->reply->number;
    }
    return MN_OK;
}

static mn_status restore_into(struct strong *strong, const Meshnode__State__Snapshot *pb)
{
    strong->rev = pb->rev;
    for (size_t i = 0; i < pb->n_leases; i++) {
        struct strong_lease *lease = strong_lease_add(strong, pb->leases[i]->id);
        lease->ttl_ms = pb->leases[i]->ttl_ms;
        lease->renewals = pb->leases[i]->renewals;
    }
    restore_pairs(strong, pb);
    return restore_sessions(strong, pb);
}

/* Who watches has missed what the snapshot skips: no number it may have is kept. */
static void take_over(struct strong *strong, struct strong *other)
{
    struct strong old = *strong;
    uint64_t number = old.changes_count + STRONG_CHANGES_MAX;

    strong_clear(strong);
    mn_map_done(&strong->keys);
    mn_map_done(&strong->sessions);
    mn_free(strong->entries);
    strong->keys = other->keys;
    mn_free(strong->leases);
    strong->entries = other->entries;
    strong->entries_count = other->entries_count;
    strong->entries_capacity = other->entries_capacity;
    strong->leases = other->leases;
    strong->leases_count = other->leases_count;
    strong->leases_capacity = other->leases_capacity;
    strong->sessions = other->sessions;
    mn_list_init(&strong->used);
    MN_LIST_FOR_EACH_SAFE (item, &other->used) {
        mn_list_remove(item);
        mn_list_push_back(&strong->used, item);
    }
    strong->total = other->total;
    strong->rev = other->rev;
    strong->changes_count = number;
    strong->changes_first = number + 1;
    strong->forgotten = (struct strong_place){other->rev, STRONG_PART_ALL};
    mn_map_init(&other->keys, 0);
    mn_map_init(&other->sessions, 0);
    other->entries = NULL;
    other->leases = NULL;
    other->entries_count = other->leases_count = 0;
}

mn_status strong_restore(struct strong *strong, struct mn_span bytes)
{
    static const Meshnode__State__Snapshot nothing = MESHNODE__STATE__SNAPSHOT__INIT;
    const Meshnode__State__Snapshot *pb = &nothing;
    struct mn_arena arena = {0};
    struct strong *other = strong_new(strong->keys.seed);
    mn_status status = MN_OK;

    if (bytes.size > 0) pb = pb_unpack(&meshnode__state__snapshot__descriptor, &arena, bytes);
    if (pb == NULL || (bytes.size > 0 && pb->format != STRONG_FORMAT))
        status = MN_MALFORMED;
    else if (!leases_are_sound(pb) || !pairs_are_sound(pb) || !sessions_are_sound(pb))
        status = MN_MALFORMED;
    if (status == MN_OK) status = restore_into(other, pb);
    if (status == MN_OK) take_over(strong, other);
    strong_free(other);
    mn_arena_done(&arena);
    return status;
}
