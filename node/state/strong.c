#include "node/state/strong_internal.h"
#include "proto/base/check.h"

#define NUMBER_DIGITS_MAX 20

/* ---- life ---- */

struct strong *strong_new(uint64_t seed)
{
    struct strong *strong = mn_alloc(sizeof *strong);

    mn_map_init(&strong->keys, seed);
    mn_map_init(&strong->sessions, 0x73657373); /* clients are random ids of members */
    mn_list_init(&strong->used);
    strong->changes = mn_alloc(STRONG_CHANGES_MAX * sizeof *strong->changes);
    strong->changes_first = 1;
    return strong;
}

static struct strong_change *change_at(const struct strong *strong, uint64_t number)
{
    return &strong->changes[number % STRONG_CHANGES_MAX];
}

static void change_drop_first(struct strong *strong)
{
    struct strong_change *change = change_at(strong, strong->changes_first++);

    strong->changes_size -= mn_buf_span(change->value).size;
    strong->forgotten = (struct strong_place){change->rev, change->part};
    mn_buf_unref(change->key);
    mn_buf_unref(change->value);
    *change = (struct strong_change){0};
}

static void session_free(struct strong *strong, struct strong_session *session)
{
    mn_map_remove(&strong->sessions, &session->by_client);
    mn_list_remove(&session->in_used);
    mn_free(session);
}

static void entry_free(struct strong *strong, struct strong_entry *entry)
{
    mn_map_remove(&strong->keys, &entry->by_key);
    if (strong_is_saved(strong, entry)) {
        strong_retire(strong, entry);
        return;
    }
    mn_buf_unref(entry->key);
    mn_buf_unref(entry->value);
    mn_free(entry);
}

void strong_clear(struct strong *strong)
{
    strong_save_drop(strong);
    strong_verify_drop(strong);
    for (uint32_t i = 0; i < strong->entries_count; i++)
        entry_free(strong, strong->entries[i]);
    MN_LIST_FOR_EACH_SAFE (item, &strong->used)
        session_free(strong, MN_CONTAINER(item, struct strong_session, in_used));
    while (strong->changes_first <= strong->changes_count)
        change_drop_first(strong);
    strong->entries_count = strong->leases_count = 0;
    strong->total = 0;
}

void strong_free(struct strong *strong)
{
    if (strong == NULL) return;
    strong_clear(strong);
    mn_map_done(&strong->keys);
    mn_map_done(&strong->sessions);
    mn_arena_done(&strong->arena);
    mn_free(strong->entries);
    mn_free(strong->leases);
    mn_free(strong->changes);
    mn_free(strong);
}

/* ---- the map ---- */

uint32_t strong_lower(const struct strong *strong, struct mn_span key)
{
    uint32_t low = 0, high = strong->entries_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mn_span_compare(mn_buf_span(strong->entries[middle]->key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct strong_entry *entry_find(const struct strong *strong, struct mn_span key)
{
    struct mn_map_entry *entry = mn_map_find(&strong->keys, key);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct strong_entry, by_key);
}

struct strong_entry *strong_insert(struct strong *strong, uint32_t at, struct mn_span key)
{
    struct strong_entry *entry = mn_alloc(sizeof *entry), **entries;

    if (strong->entries_count == strong->entries_capacity) {
        strong->entries_capacity = strong->entries_count == 0 ? 64 : 2 * strong->entries_count;
        strong->entries =
            mn_realloc(strong->entries, strong->entries_capacity * sizeof *strong->entries);
    }
    entries = strong->entries;
    memmove(&entries[at + 1], &entries[at], (strong->entries_count - at) * sizeof *entries);
    strong->entries_count++;
    entries[at] = entry;
    entry->key = mn_buf_copy(key);
    mn_map_insert(&strong->keys, &entry->by_key, mn_buf_span(entry->key));
    return entry;
}

/* What the snapshot under way must find as it is stays with it; the map gets another one. */
static struct strong_entry *entry_fork(struct strong *strong, struct strong_entry *entry)
{
    struct strong_entry *copy;

    if (!strong_is_saved(strong, entry)) return entry;
    copy = mn_alloc(sizeof *copy);
    *copy = (struct strong_entry){.key = mn_buf_ref(entry->key),
                                  .value = mn_buf_ref(entry->value),
                                  .rev = entry->rev,
                                  .created = entry->created,
                                  .lease = entry->lease};
    strong->entries[strong_lower(strong, mn_buf_span(entry->key))] = copy;
    mn_map_remove(&strong->keys, &entry->by_key);
    mn_map_insert(&strong->keys, &copy->by_key, mn_buf_span(copy->key));
    strong_retire(strong, entry);
    return copy;
}

static void change_add(struct strong *strong, const struct strong_entry *entry, bool is_removed)
{
    struct strong_change *change;
    size_t size = is_removed ? 0 : entry->value->size;
    uint32_t part = 1;

    while (strong->changes_first <= strong->changes_count &&
           (strong->changes_count + 1 - strong->changes_first >= STRONG_CHANGES_MAX ||
            strong->changes_size + size > STRONG_CHANGES_SIZE))
        change_drop_first(strong);
    if (strong->changes_first <= strong->changes_count) {
        const struct strong_change *last = change_at(strong, strong->changes_count);
        if (last->rev == strong->rev) part = last->part + 1;
    } else if (strong->forgotten.rev == strong->rev) {
        part = strong->forgotten.part + 1;
    }
    change = change_at(strong, ++strong->changes_count);
    *change = (struct strong_change){.rev = strong->rev,
                                     .is_removed = is_removed,
                                     .key = mn_buf_ref(entry->key),
                                     .value = is_removed ? NULL : mn_buf_ref(entry->value),
                                     .created = entry->created,
                                     .part = part,
                                     .number = strong->changes_count};
    strong->changes_size += size;
}

static void entry_remove(struct strong *strong, struct strong_entry *entry)
{
    uint32_t at = strong_lower(strong, mn_buf_span(entry->key));
    struct strong_entry **place = &strong->entries[at];

    MN_ASSERT(*place == entry);
    change_add(strong, entry, true);
    strong->total -= entry->key->size + entry->value->size;
    entry_free(strong, entry);
    strong->entries_count--;
    memmove(place, place + 1, (strong->entries_count - at) * sizeof(struct strong_entry *));
}

/* ---- leases ---- */

static struct strong_lease *lease_find(const struct strong *strong, uint64_t id)
{
    uint32_t low = 0, high = strong->leases_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strong->leases[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < strong->leases_count && strong->leases[low].id == id ? &strong->leases[low] : NULL;
}

struct strong_lease *strong_lease_add(struct strong *strong, uint64_t id)
{
    struct strong_lease *lease;

    if (strong->leases_count == strong->leases_capacity) {
        strong->leases_capacity = strong->leases_count == 0 ? 16 : 2 * strong->leases_count;
        strong->leases =
            mn_realloc(strong->leases, strong->leases_capacity * sizeof *strong->leases);
    }
    lease = &strong->leases[strong->leases_count++];
    *lease = (struct strong_lease){.id = id};
    MN_ASSERT(strong->leases_count == 1 || lease[-1].id < id);
    return lease;
}

static void lease_end(struct strong *strong, struct strong_lease *lease)
{
    uint32_t at = (uint32_t)(lease - strong->leases);
    uint64_t id = lease->id;

    for (uint32_t i = strong->entries_count; i-- > 0;)
        if (strong->entries[i]->lease == id) entry_remove(strong, strong->entries[i]);
    strong->leases_count--;
    memmove(lease, lease + 1, (strong->leases_count - at) * sizeof *lease);
}

struct strong_lease *strong_lease_next(struct strong *strong, const struct strong_lease *lease)
{
    uint32_t at = lease == NULL ? 0 : (uint32_t)(lease - strong->leases) + 1;
    return at < strong->leases_count ? &strong->leases[at] : NULL;
}

void strong_lease_keys(const struct strong *strong, const uint64_t *ids, uint32_t count,
                       uint32_t *ret)
{
    for (uint32_t i = 0; i < count; i++)
        ret[i] = 0;
    for (uint32_t i = 0; i < strong->entries_count; i++) {
        uint64_t id = strong->entries[i]->lease;
        uint32_t low = 0, high = id == 0 ? 0 : count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (ids[middle] < id)
                low = middle + 1;
            else
                high = middle;
        }
        if (id != 0 && low < count && ids[low] == id) ret[low]++;
    }
}

/* ---- commands ---- */

static struct strong_reply refuse(mn_status status, uint64_t rev)
{
    return (struct strong_reply){.status = status, .rev = rev};
}

/* Writes the value, which has passed every check but those of room. */
static struct strong_reply set(struct strong *strong, const struct strong_command *command,
                               struct mn_span value, struct strong_entry *entry)
{
    size_t before = entry == NULL ? 0 : command->key.size + entry->value->size;
    size_t after = command->key.size + value.size;

    if (strong->total - before + after > STRONG_TOTAL_MAX) return refuse(MN_FULL, 0);
    if (entry == NULL && strong->entries_count == STRONG_KEYS_MAX) return refuse(MN_FULL, 0);
    if (entry == NULL) {
        entry = strong_insert(strong, strong_lower(strong, command->key), command->key);
        entry->created = strong->rev;
    } else {
        entry = entry_fork(strong, entry);
    }
    mn_buf_unref(entry->value);
    entry->value = mn_buf_copy(value);
    entry->rev = strong->rev;
    entry->lease = command->lease;
    strong->total = strong->total - before + after;
    change_add(strong, entry, false);
    return refuse(MN_OK, strong->rev);
}

static struct strong_reply do_put(struct strong *strong, const struct strong_command *command,
                                  struct strong_entry *entry)
{
    if (command->lease != 0 && lease_find(strong, command->lease) == NULL)
        return refuse(MN_NOT_FOUND, 0);
    return set(strong, command, command->value, entry);
}

/* A decimal number with an optional minus; nothing else. */
static bool number_parse(struct mn_span text, int64_t *ret)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    uint64_t most = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, sum = 0;

    if (text.size == (is_negative ? 1u : 0u) || text.size > NUMBER_DIGITS_MAX) return false;
    for (size_t i = is_negative; i < text.size; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';
        if (digit > 9 || sum > (most - digit) / 10) return false;
        sum = 10 * sum + digit;
    }
    *ret = is_negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static struct strong_reply do_add(struct strong *strong, const struct strong_command *command,
                                  struct strong_entry *entry)
{
    struct strong_command put = *command;
    struct strong_reply reply;
    int64_t number = 0;

    if (entry != NULL && !number_parse(mn_buf_span(entry->value), &number))
        return refuse(MN_MALFORMED, entry->rev);
    if (__builtin_add_overflow(number, command->by, &number)) return refuse(MN_TOO_BIG, 0);
    put.lease = entry == NULL ? 0 : entry->lease;
    reply = set(strong, &put,
                mn_span_str(mn_arena_format(&strong->arena, "%lld", (long long)number)), entry);
    reply.number = number;
    return reply;
}

static struct strong_reply do_key(struct strong *strong, const struct strong_command *command)
{
    struct strong_entry *entry = entry_find(strong, command->key);
    uint64_t rev = entry == NULL ? 0 : entry->rev;

    if (command->has_if_rev && command->if_rev != rev) return refuse(MN_EXISTS, rev);
    if (command->verb == STRONG_PUT) return do_put(strong, command, entry);
    if (command->verb == STRONG_ADD) return do_add(strong, command, entry);
    if (entry == NULL) return refuse(MN_NOT_FOUND, 0);
    entry_remove(strong, entry);
    return refuse(MN_OK, strong->rev);
}

static struct strong_reply lease_reply(const struct strong_lease *lease)
{
    return (struct strong_reply){
        .status = MN_OK, .rev = lease->id, .number = (int64_t)lease->ttl_ms};
}

static struct strong_reply do_lease(struct strong *strong, const struct strong_command *command)
{
    struct strong_lease *lease = NULL;

    if (command->verb == STRONG_GRANT) {
        if (strong->leases_count == STRONG_LEASES_MAX) return refuse(MN_FULL, 0);
        lease = strong_lease_add(strong, strong->rev);
        lease->ttl_ms = command->ttl_ms;
        return lease_reply(lease);
    }
    lease = lease_find(strong, command->lease);
    if (lease == NULL) return refuse(MN_NOT_FOUND, 0);
    if (command->verb == STRONG_EXPIRE && lease->renewals != command->renewals)
        return refuse(MN_EXISTS, lease->id);
    if (command->verb == STRONG_RENEW) {
        lease->renewals++;
        lease->since = 0;
        return lease_reply(lease);
    }
    lease_end(strong, lease);
    return refuse(MN_OK, command->lease);
}

static struct strong_reply do_command(struct strong *strong, const struct strong_command *command)
{
    switch (command->verb) {
    case STRONG_PUT:
    case STRONG_REMOVE:
    case STRONG_ADD: return do_key(strong, command);
    case STRONG_GRANT:
    case STRONG_RENEW:
    case STRONG_REVOKE:
    case STRONG_EXPIRE: break;
    case STRONG_VERIFY: strong_verify_begin(strong); return refuse(MN_OK, strong->rev);
    }
    return do_lease(strong, command);
}

/* ---- sessions ---- */

struct strong_session *strong_session_add(struct strong *strong, const mn_id *client)
{
    struct strong_session *session = mn_alloc(sizeof *session);

    if (strong->sessions.count == STRONG_SESSIONS_MAX)
        session_free(strong, MN_CONTAINER(strong->used.next, struct strong_session, in_used));
    session->client = *client;
    mn_map_insert(&strong->sessions, &session->by_client,
                  mn_span(session->client.bytes, sizeof session->client));
    mn_list_push_back(&strong->used, &session->in_used);
    return session;
}

static struct strong_reply do_once(struct strong *strong, const struct strong_command *command)
{
    struct mn_map_entry *entry =
        mn_map_find(&strong->sessions, mn_span(command->client.bytes, sizeof command->client));
    struct strong_session *session;

    if (entry == NULL && command->seq != 1) return refuse(MN_EXPIRED, 0);
    session = entry == NULL ? strong_session_add(strong, &command->client)
                            : MN_CONTAINER(entry, struct strong_session, by_client);
    mn_list_remove(&session->in_used);
    mn_list_push_back(&strong->used, &session->in_used);
    if (command->seq < session->seq) return refuse(MN_EXPIRED, 0);
    if (command->seq == session->seq) return session->reply;
    session->seq = command->seq;
    session->reply = do_command(strong, command);
    return session->reply;
}

struct strong_reply strong_apply(struct strong *strong, uint64_t index, struct mn_span bytes)
{
    struct strong_command command;
    struct strong_reply reply;
    mn_status status = strong_command_decode(bytes, &strong->arena, &command);

    MN_ASSERT(index > strong->rev);
    strong->rev = index;
    if (status != MN_OK)
        reply = refuse(status, 0);
    else if (mn_id_is_zero(&command.client))
        reply = do_command(strong, &command);
    else
        reply = do_once(strong, &command);
    mn_arena_reset(&strong->arena);
    return reply;
}

/* ---- looking ---- */

static struct strong_pair pair_of(const struct strong_entry *entry)
{
    return (struct strong_pair){.key = mn_buf_span(entry->key),
                                .value = mn_buf_span(entry->value),
                                .rev = entry->rev,
                                .created = entry->created,
                                .lease = entry->lease};
}

bool strong_get(const struct strong *strong, struct mn_span key, struct strong_pair *ret)
{
    const struct strong_entry *entry = entry_find(strong, key);

    if (entry != NULL) *ret = pair_of(entry);
    return entry != NULL;
}

bool strong_next(const struct strong *strong, struct mn_span prefix, struct mn_span after,
                 struct strong_pair *ret)
{
    bool is_after = after.size > 0 && mn_span_compare(after, prefix) >= 0;
    uint32_t at = strong_lower(strong, is_after ? after : prefix);
    struct mn_span key;

    if (is_after && at < strong->entries_count &&
        mn_span_equal(mn_buf_span(strong->entries[at]->key), after))
        at++;
    if (at == strong->entries_count) return false;
    key = mn_buf_span(strong->entries[at]->key);
    if (key.size < prefix.size || !mn_span_equal(mn_span(key.data, prefix.size), prefix))
        return false;
    *ret = pair_of(strong->entries[at]);
    return true;
}

static int place_compare(struct strong_place a, struct strong_place b)
{
    if (a.rev != b.rev) return a.rev < b.rev ? -1 : 1;
    return (a.part > b.part) - (a.part < b.part);
}

static struct strong_place place_of(const struct strong_change *change)
{
    return (struct strong_place){change->rev, change->part};
}

mn_status strong_change_after(const struct strong *strong, struct strong_place place,
                              const struct strong_change **ret)
{
    uint64_t low = strong->changes_first, high = strong->changes_count + 1;

    if (place_compare(place, strong->forgotten) < 0) return MN_EXPIRED;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (place_compare(place_of(change_at(strong, middle)), place) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > strong->changes_count) return MN_NOT_FOUND;
    *ret = change_at(strong, low);
    return MN_OK;
}

const struct strong_change *strong_change_next(const struct strong *strong,
                                               const struct strong_change *change)
{
    return change->number == strong->changes_count ? NULL : change_at(strong, change->number + 1);
}

struct strong_stats strong_stats(const struct strong *strong)
{
    return (struct strong_stats){.keys_count = strong->entries_count,
                                 .sessions_count = strong->sessions.count,
                                 .leases_count = strong->leases_count,
                                 .total_size = strong->total,
                                 .rev = strong->rev};
}

void strong_check(const struct strong *strong)
{
    size_t total = 0, changes = 0;

    for (uint32_t i = 0; i < strong->entries_count; i++) {
        const struct strong_entry *entry = strong->entries[i];
        total += entry->key->size + entry->value->size;
        MN_ASSERT(entry->created <= entry->rev && entry->rev <= strong->rev);
        MN_ASSERT(entry->lease == 0 || lease_find(strong, entry->lease) != NULL);
        MN_ASSERT(i == 0 || mn_span_compare(mn_buf_span(strong->entries[i - 1]->key),
                                            mn_buf_span(entry->key)) < 0);
        MN_ASSERT(entry_find(strong, mn_buf_span(entry->key)) == entry);
    }
    for (uint64_t n = strong->changes_first; n <= strong->changes_count; n++)
        changes += mn_buf_span(change_at(strong, n)->value).size;
    MN_ASSERT(total == strong->total && total <= STRONG_TOTAL_MAX);
    MN_ASSERT(changes == strong->changes_size);
    MN_ASSERT(strong->entries_count <= STRONG_KEYS_MAX);
    MN_ASSERT(strong->entries_count == strong->keys.count);
    MN_ASSERT(strong->sessions.count <= STRONG_SESSIONS_MAX);
    MN_ASSERT(strong->leases_count <= STRONG_LEASES_MAX);
}
