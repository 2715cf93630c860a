/* The table of documents: judged once, when they come in, and again when the authority changes. */
#include <sodium.h>

#include "crypto/invite.h"
#include "mesh/trustset_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define HOUR_MS ((uint64_t)3600 * 1000)
#define WITHDRAW_LIFE_MS (INVITE_TTL_MAX_MS) /* no invite lives longer */

void trustset_hash(trustset_kind kind, struct mn_span bytes, uint8_t ret[TRUSTSET_HASH_SIZE])
{
    uint8_t tag = (uint8_t)kind;
    struct digest digest;

    digest_begin(&digest, DIGEST_TRUST_ITEM, TRUSTSET_HASH_SIZE);
    digest_fixed(&digest, mn_span(&tag, 1));
    digest_variable(&digest, bytes);
    digest_end(&digest, ret);
}

uint32_t trustset_find(const struct trustset *set, const uint8_t *hash, size_t size,
                       bool *ret_found)
{
    uint32_t low = 0, high = set->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(set->items[middle]->hash, hash, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < set->count && memcmp(set->items[low]->hash, hash, size) == 0;
    return low;
}

bool trustset_has_hash(const struct trustset *set, const uint8_t hash[TRUSTSET_HASH_SIZE])
{
    bool found;

    (void)trustset_find(set, hash, TRUSTSET_HASH_SIZE, &found);
    return found;
}

/* ---- what a document says ---- */

static mn_status item_read_invite(struct item *item, const struct authority *authority,
                                  uint64_t wall_ms)
{
    struct invite invite;
    mn_status status = invite_decode(mn_buf_span(item->bytes), &invite);

    if (status != MN_OK) return status;
    memcpy(item->issuer, invite.home, SIGN_PK_SIZE);
    item->made_ms = invite.created_ms;
    item->end_ms = invite.not_after_ms + TRUSTSET_KEEP_MS;
    if (authority == NULL) return MN_OK;
    status = invite_check(&invite, authority, wall_ms);
    return status == MN_EXPIRED ? MN_OK : status; /* until a day later */
}

static mn_status item_read_withdraw(struct item *item, const struct authority *authority)
{
    struct mn_span bytes = mn_buf_span(item->bytes);
    struct invite_withdraw withdraw;
    mn_status status = invite_withdraw_decode(bytes, &withdraw);

    if (status != MN_OK) return status;
    memcpy(item->issuer, withdraw.issuer, SIGN_PK_SIZE);
    item->made_ms = withdraw.at_ms;
    item->end_ms = withdraw.at_ms + WITHDRAW_LIFE_MS + TRUSTSET_KEEP_MS;
    return authority == NULL ? MN_OK : invite_withdraw_check(bytes, authority, &withdraw);
}

static mn_status item_read_meshkey(struct item *item, const struct authority *authority,
                                   struct meshkey *ret)
{
    mn_status status = meshkey_decode(mn_buf_span(item->bytes), ret);

    if (status != MN_OK) return status;
    memcpy(item->issuer, ret->issuer, SIGN_PK_SIZE);
    item->made_ms = ret->created_ms;
    item->end_ms = ret->kind == MESHKEY_RECON ? 0 : ret->open_until_ms + TRUSTSET_KEEP_MS;
    item->key_id = ret->key_id;
    return authority == NULL ? MN_OK : meshkey_check(ret, authority);
}

static mn_status item_read_revocation(struct item *item, const struct authority *authority)
{
    struct revocation revocation;
    mn_status status = revocation_decode(mn_buf_span(item->bytes), &revocation);

    if (status != MN_OK) return status;
    memcpy(item->issuer, revocation.issuer, SIGN_PK_SIZE);
    item->made_ms = revocation.at_ms;
    item->node_id = revocation.node_id;
    item->token_id = revocation.token_id;
    item->nodes = revocation.nodes;
    return authority == NULL ? MN_OK : revocation_check(&revocation, authority);
}

/* Fills in what follows from the bytes. [authority] NULL: only what the document says. */
static mn_status item_read(struct item *item, const struct authority *authority, uint64_t wall_ms,
                           struct meshkey *ret_meshkey)
{
    switch (item->kind) {
    case ITEM(INVITE): return item_read_invite(item, authority, wall_ms);
    case ITEM(WITHDRAW): return item_read_withdraw(item, authority);
    case ITEM(MESH_KEY): return item_read_meshkey(item, authority, ret_meshkey);
    case ITEM(REVOCATION): return item_read_revocation(item, authority);
    case ITEM(NONE):
    case _MESHNODE__TRUST__ITEM_KIND_IS_INT_SIZE: break;
    }
    return MN_UNSUPPORTED; /* a newer node may know more kinds */
}

static void item_free(struct item *item)
{
    if (item == NULL) return;
    mn_buf_unref(item->bytes);
    mn_free(item);
}

/* ---- who is out ---- */

static struct outcast *outcast_find(const struct mn_map *map, const mn_id *id)
{
    struct mn_map_entry *entry = mn_map_find(map, mn_span(id->bytes, sizeof id->bytes));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct outcast, entry);
}

static void outcast_add(struct mn_map *map, const mn_id *id)
{
    struct outcast *outcast = outcast_find(map, id);

    if (outcast == NULL) {
        outcast = mn_alloc(sizeof *outcast);
        outcast->id = *id;
        mn_map_insert(map, &outcast->entry, mn_span(outcast->id.bytes, sizeof outcast->id.bytes));
    }
    outcast->items++;
}

static void outcast_remove(struct mn_map *map, const mn_id *id)
{
    struct outcast *outcast = outcast_find(map, id);

    MN_ASSERT(outcast != NULL && outcast->items > 0);
    if (--outcast->items > 0) return;
    mn_map_remove(map, &outcast->entry);
    mn_free(outcast);
}

static void outcasts_done(struct mn_map *map)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(map, NULL)) != NULL) {
        mn_map_remove(map, entry);
        mn_free(MN_CONTAINER(entry, struct outcast, entry));
    }
    mn_map_done(map);
}

bool trustset_is_out(const struct trustset *set, const mn_id *node, const mn_id *token)
{
    if (outcast_find(&set->nodes, node) != NULL) return true;
    if (mn_id_is_zero(token) || outcast_find(&set->tokens, token) == NULL) return false;
    return set->authority == NULL || !authority_has_issuer(set->authority, node);
}

static void trustset_cast(struct trustset *set, const struct item *item, bool is_in)
{
    struct mn_map *map = mn_id_is_zero(&item->node_id) ? &set->tokens : &set->nodes;
    const mn_id *id = map == &set->nodes ? &item->node_id : &item->token_id;

    if (item->kind != ITEM(REVOCATION) || (map == &set->tokens && !item->nodes)) return;
    if (is_in)
        outcast_add(map, id);
    else
        outcast_remove(map, id);
    set->has_new_outcasts = true;
    set->counts.revocations = set->nodes.count + set->tokens.count;
}

/* ---- the pace of an issuer ---- */

#define ALL_HOURS UINT64_MAX /* the row of all that an issuer said */

static void pace_key(const struct item *item, uint64_t hour, uint8_t key[SIGN_PK_SIZE + 8])
{
    memcpy(key, item->issuer, SIGN_PK_SIZE);
    mn_store_u64(key + SIGN_PK_SIZE, hour);
}

static struct pace *pace_find(const struct trustset *set, const struct item *item, uint64_t hour)
{
    uint8_t key[SIGN_PK_SIZE + 8];
    struct mn_map_entry *entry;

    pace_key(item, hour, key);
    entry = mn_map_find(&set->paces, mn_span(key, sizeof key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct pace, entry);
}

static void pace_add_to(struct trustset *set, const struct item *item, uint64_t hour)
{
    struct pace *pace = pace_find(set, item, hour);

    if (pace == NULL) {
        pace = mn_alloc(sizeof *pace);
        pace_key(item, hour, pace->key);
        mn_map_insert(&set->paces, &pace->entry, mn_span(pace->key, sizeof pace->key));
    }
    pace->count++;
    pace->bytes += item->bytes->size;
}

static void pace_remove_from(struct trustset *set, const struct item *item, uint64_t hour)
{
    struct pace *pace = pace_find(set, item, hour);

    MN_ASSERT(pace != NULL && pace->count > 0);
    pace->bytes -= item->bytes->size;
    if (--pace->count > 0) return;
    mn_map_remove(&set->paces, &pace->entry);
    mn_free(pace);
}

static void pace_add(struct trustset *set, const struct item *item)
{
    pace_add_to(set, item, item->made_ms / HOUR_MS);
    pace_add_to(set, item, ALL_HOURS);
}

static void pace_remove(struct trustset *set, const struct item *item)
{
    pace_remove_from(set, item, item->made_ms / HOUR_MS);
    pace_remove_from(set, item, ALL_HOURS);
}

/* ---- in and out ---- */

/* Adds to, or takes from, the sum of all hashes, as a number of 256 bits. */
static void trustset_sum(struct trustset *set, const struct item *item, bool is_in)
{
    if (is_in)
        sodium_add(set->root, item->hash, sizeof set->root);
    else
        sodium_sub(set->root, item->hash, sizeof set->root);
}

static char *item_key(struct trustset *set, const struct item *item)
{
    char hex[2 * TRUSTSET_SHORT_SIZE + 1];

    mn_hex_encode(mn_span(item->hash, TRUSTSET_SHORT_SIZE), hex);
    return mn_arena_format(set->outbox->arena, "item/%s", hex);
}

static void item_persist(struct trustset *set, const struct item *item)
{
    struct mn_arena *arena = set->outbox->arena;
    uint8_t *value = mn_arena_alloc(arena, 1 + item->bytes->size);

    value[0] = (uint8_t)item->kind;
    memcpy(value + 1, item->bytes->bytes, item->bytes->size);
    trustset_persist(set, item_key(set, item), mn_span(value, 1 + item->bytes->size), false);
}

static void trustset_insert(struct trustset *set, struct item *item, uint32_t at)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 16 : 2 * set->capacity;
        set->items = mn_realloc(set->items, set->capacity * sizeof set->items[0]);
    }
    memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof set->items[0]);
    set->items[at] = item;
    set->count++;
    set->bytes += item->bytes->size;
    trustset_sum(set, item, true);
    pace_add(set, item);
    trustset_cast(set, item, true);
}

static void trustset_remove(struct trustset *set, uint32_t at)
{
    struct item *item = set->items[at];

    memmove(&set->items[at], &set->items[at + 1], (set->count - at - 1) * sizeof set->items[0]);
    set->count--;
    set->bytes -= item->bytes->size;
    trustset_sum(set, item, false);
    pace_remove(set, item);
    trustset_cast(set, item, false);
    trustset_persist(set, item_key(set, item), mn_span(NULL, 0), true);
    item_free(item);
}

static mn_status trustset_has_room(const struct trustset *set, const struct item *item)
{
    const struct pace *pace = pace_find(set, item, item->made_ms / HOUR_MS);
    const struct pace *share = pace_find(set, item, ALL_HOURS);
    uint32_t rate_max = item->kind == ITEM(INVITE) ? TRUSTSET_RATE_INVITES : TRUSTSET_RATE_MAX;

    if (set->count == TRUSTSET_ITEMS_MAX) return MN_FULL;
    if (set->bytes + item->bytes->size > TRUSTSET_BYTES_MAX) return MN_FULL;
    if (share != NULL && (share->count >= TRUSTSET_SHARE_ITEMS_MAX ||
                          share->bytes + item->bytes->size > TRUSTSET_SHARE_BYTES_MAX))
        return MN_FULL;
    return pace != NULL && pace->count >= rate_max ? MN_BUSY : MN_OK;
}

/* What the document is good for, by this clock. */
static mn_status item_check_times(const struct item *item, uint64_t wall_ms)
{
    if (item->end_ms != 0 && wall_ms >= item->end_ms) return MN_EXPIRED;
    return item->made_ms > wall_ms + GRANT_TOLERANCE_MS ? MN_NOT_YET : MN_OK;
}

static void trustset_announce(struct trustset *set, const struct meshkey *meshkey)
{
    mn_status status = keyring_announce(&set->ring, meshkey, mn_wall_ms(set->now));

    if (status == MN_OK) set->has_new_keys = true;
}

/* Invites and withdrawals are the business of whoever admits. */
static void trustset_tell(struct trustset *set, const struct item *item)
{
    struct trustset_output *output;

    if (item->kind != ITEM(INVITE) && item->kind != ITEM(WITHDRAW)) return;
    output = trustset_emit(set, TRUSTSET_OUT_ITEM);
    output->kind = item->kind;
    output->bytes = mn_arena_copy(set->outbox->arena, mn_buf_span(item->bytes));
}

static void trustset_on_new(struct trustset *set, const struct item *item,
                            const struct meshkey *meshkey)
{
    bool is_token = mn_id_is_zero(&item->node_id);

    trustset_tell(set, item);
    if (item->kind == ITEM(MESH_KEY)) trustset_announce(set, meshkey);
    if (item->kind != ITEM(REVOCATION)) return;
    mn_trace(set->config.trace, set->now.mono, MN_EV_REVOKED,
             is_token ? &item->token_id : &item->node_id, item->made_ms, 0,
             is_token ? "token" : "node");
    if (mn_id_equal(&item->node_id, &set->config.self->node_id))
        trustset_emit(set, TRUSTSET_OUT_SELF_REVOKED);
}

static mn_status trustset_judge(struct trustset *set, struct item *item, struct meshkey *meshkey)
{
    uint64_t wall_ms = mn_wall_ms(set->now);
    mn_status status = item_read(item, set->authority, wall_ms, meshkey);

    if (status == MN_OK) status = item_check_times(item, wall_ms);
    return status == MN_OK ? trustset_has_room(set, item) : status;
}

mn_status trustset_admit(struct trustset *set, trustset_kind kind, struct mn_span bytes)
{
    struct item *item;
    struct meshkey meshkey;
    uint32_t at;
    bool found;
    mn_status status;
    uint8_t hash[TRUSTSET_HASH_SIZE];

    if (set->authority == NULL) return MN_STATE;
    trustset_hash(kind, bytes, hash);
    at = trustset_find(set, hash, sizeof hash, &found);
    if (found) return MN_EXISTS;
    item = mn_alloc(sizeof *item);
    memcpy(item->hash, hash, sizeof hash);
    item->kind = kind;
    item->bytes = mn_buf_copy(bytes);
    status = trustset_judge(set, item, &meshkey);
    if (status != MN_OK) {
        set->counts.refused++;
        item_free(item);
        return status;
    }
    trustset_insert(set, item, at);
    item_persist(set, item);
    set->counts.admitted++;
    trustset_on_new(set, item, &meshkey);
    return MN_OK;
}

/* The store is ours, but a disk can lie: what does not decode is left out, and the authority judges
 * the rest as soon as it is known. */
void trustset_recover_item(struct trustset *set, struct mn_span value)
{
    struct item *item;
    struct meshkey meshkey;
    uint32_t at;
    bool found;

    if (value.size < 2 || set->count == TRUSTSET_ITEMS_MAX) return;
    item = mn_alloc(sizeof *item);
    item->kind = (trustset_kind)value.data[0];
    item->bytes = mn_buf_copy(mn_span(value.data + 1, value.size - 1));
    trustset_hash(item->kind, mn_buf_span(item->bytes), item->hash);
    at = trustset_find(set, item->hash, sizeof item->hash, &found);
    if (found || item_read(item, NULL, 0, &meshkey) != MN_OK) {
        item_free(item);
        return;
    }
    trustset_insert(set, item, at);
}

/* At the start, and when issuers change: few times in a life, so every signature is checked. */
void trustset_judge_again(struct trustset *set)
{
    for (uint32_t i = set->count; i-- > 0;) {
        struct item *item = set->items[i];
        struct meshkey meshkey;
        mn_status status = item_read(item, set->authority, mn_wall_ms(set->now), &meshkey);

        if (status != MN_OK) {
            MN_PROBE("trustset: an item goes with its signer");
            if (item->kind == ITEM(MESH_KEY)) keyring_forget(&set->ring, item->key_id);
            set->has_new_keys = set->has_new_keys || item->kind == ITEM(MESH_KEY);
            trustset_remove(set, i);
            continue;
        }
        trustset_tell(set, item);
        if (item->kind == ITEM(MESH_KEY)) trustset_announce(set, &meshkey);
    }
}

void trustset_expire(struct trustset *set)
{
    uint64_t wall_ms = mn_wall_ms(set->now);

    for (uint32_t i = set->count; i-- > 0;)
        if (item_check_times(set->items[i], wall_ms) == MN_EXPIRED) trustset_remove(set, i);
    keyring_expire(&set->ring, wall_ms);
}

void trustset_items_done(struct trustset *set)
{
    struct mn_map_entry *entry;

    for (uint32_t i = 0; i < set->count; i++)
        item_free(set->items[i]);
    mn_free(set->items);
    outcasts_done(&set->nodes);
    outcasts_done(&set->tokens);
    while ((entry = mn_map_next(&set->paces, NULL)) != NULL) {
        mn_map_remove(&set->paces, entry);
        mn_free(MN_CONTAINER(entry, struct pace, entry));
    }
    mn_map_done(&set->paces);
}
