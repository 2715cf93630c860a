#include "mesh/trustset.h"

#include <sodium.h>

#include "mesh/trustset_internal.h"
#include "proto/base/check.h"

/* ---- outputs ---- */

struct trustset_output *trustset_emit(struct trustset *set, enum trustset_output_type type)
{
    struct trustset_outbox *outbox = set->outbox;

    if (outbox->count == outbox->capacity)
        outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count,
                                      &outbox->capacity, sizeof outbox->items[0]);
    outbox->items[outbox->count] = (struct trustset_output){.type = type};
    return &outbox->items[outbox->count++];
}

void trustset_persist(struct trustset *set, const char *key, struct mn_span value, bool is_delete)
{
    struct mn_arena *arena = set->outbox->arena;
    struct trustset_output *output = trustset_emit(set, TRUSTSET_OUT_PERSIST);

    output->key = mn_arena_copy(arena, mn_span_str(key));
    output->is_delete = is_delete;
    if (!is_delete) output->value = mn_arena_copy(arena, value);
}

void trustset_fault(struct trustset *set, const mn_id *node, mn_status status)
{
    struct trustset_output *output = trustset_emit(set, TRUSTSET_OUT_FAULT);

    output->node = *node;
    output->status = status;
}

/* ---- links ---- */

static struct trust_link *trustset_find_link(const struct trustset *set, const mn_id *node)
{
    MN_LIST_FOR_EACH (at, &set->links) {
        struct trust_link *link = MN_CONTAINER(at, struct trust_link, all);
        if (mn_id_equal(&link->node, node)) return link;
    }
    return NULL;
}

static void trustset_drop_link(struct trustset *set, struct trust_link *link)
{
    mn_list_remove(&link->all);
    mn_free(link);
    set->links_count--;
}

static void trustset_on_link_up(struct trustset *set, const mn_id *node, struct mn_span grant_bytes)
{
    struct trust_link *link = trustset_find_link(set, node);
    struct grant grant;

    if (grant_decode(grant_bytes, &grant) != MN_OK || !mn_id_equal(&grant.node_id, node)) return;
    if (trustset_is_out(set, node, &grant.token_id)) return;
    if (link == NULL) {
        if (set->links_count == TRUSTSET_LINKS_MAX) return;
        link = mn_alloc(sizeof *link);
        link->node = *node;
        mn_list_push_back(&set->links, &link->all);
        set->links_count++;
    }
    link->token_id = grant.token_id;
    trustset_send_summary(set, node, false);
    trustset_ask_missing(set, node);
}

static void trustset_on_link_down(struct trustset *set, const mn_id *node)
{
    struct trust_link *link = trustset_find_link(set, node);

    if (link != NULL) trustset_drop_link(set, link);
}

/* One member cannot keep this one busy: small questions have large answers, and old documents cost
 * a look at their signatures each time. */
static void trustset_on_said(struct trustset *set, const mn_id *from, struct mn_span bytes)
{
    struct trust_link *link = trustset_find_link(set, from);
    uint32_t before = set->outbox->count;
    uint64_t work = 16 + bytes.size / 128;

    if (link == NULL) return;
    if (set->now.mono - link->work_since >= MN_MINUTE) {
        link->work_since = set->now.mono;
        link->work = 0;
    }
    if (link->work >= TRUSTSET_WORK_MAX) {
        set->counts.messages_over_rate++;
        trustset_fault(set, from, MN_BUSY);
        return;
    }
    trustset_on_message(set, from, bytes);
    for (uint32_t i = before; i < set->outbox->count; i++)
        if (set->outbox->items[i].type == TRUSTSET_OUT_SEND &&
            mn_id_equal(&set->outbox->items[i].node, from))
            work += set->outbox->items[i].bytes.size / 256;
    link = trustset_find_link(set, from); /* what it said may have ended it */
    if (link != NULL) link->work += work;
}

/* Whoever is out hears nothing more from us, from this very moment. */
static void trustset_drop_outcasts(struct trustset *set)
{
    MN_LIST_FOR_EACH_SAFE (at, &set->links) {
        struct trust_link *link = MN_CONTAINER(at, struct trust_link, all);
        if (trustset_is_out(set, &link->node, &link->token_id)) trustset_drop_link(set, link);
    }
}

/* ---- time ---- */

static void trustset_on_tick(struct trustset *set, bool is_minter)
{
    mn_time now = set->now.mono, interval = set->config.sync_interval;

    if (set->authority == NULL) return;
    if (set->sync_at <= now) {
        set->sync_at = mn_time_after(now, interval / 2 + rng_below_u64(&set->rng, interval));
        trustset_sync_random(set);
        trustset_ask_missing(set, NULL);
    }
    if (set->upkeep_at <= now) {
        set->upkeep_at = mn_time_after(now, TRUSTSET_UPKEEP);
        trustset_expire(set);
    }
    if (set->mint_at <= now) {
        set->mint_at = mn_time_after(now, TRUSTSET_MINT_CHECK);
        if (is_minter) trustset_mint_if_due(set);
    }
}

mn_time trustset_deadline(const struct trustset *set)
{
    if (set->authority == NULL) return MN_TIME_NEVER;
    return mn_time_min(mn_time_min(set->sync_at, set->upkeep_at), set->mint_at);
}

/* ---- steps ---- */

/* From here: it was judged by nobody else. A mistake would be ours. */
static void trustset_on_add(struct trustset *set, trustset_kind kind, struct mn_span bytes)
{
    mn_status status;
    uint8_t hash[TRUSTSET_HASH_SIZE];
    const struct item *item;
    bool found;

    if (set->authority == NULL) {
        MN_ASSERT(set->early == NULL);
        set->early = mn_buf_copy(bytes);
        set->early_kind = kind;
        return;
    }
    status = trustset_admit(set, kind, bytes);
    if (status != MN_OK) return;
    trustset_hash(kind, bytes, hash);
    item = set->items[trustset_find(set, hash, sizeof hash, &found)];
    trustset_spread(set, &item, 1, NULL);
}

static void trustset_add_early(struct trustset *set)
{
    struct mn_buf *early = set->early;

    if (early == NULL) return;
    set->early = NULL;
    trustset_on_add(set, set->early_kind, mn_buf_span(early));
    mn_buf_unref(early);
}

static void trustset_on_authority(struct trustset *set, const struct authority *authority)
{
    bool is_first = set->authority == NULL;

    MN_ASSERT(authority != NULL);
    set->authority = authority;
    if (is_first) {
        keyring_init(&set->ring, &authority->mesh_id);
        set->sync_at = mn_time_after(set->now.mono, set->config.sync_interval);
        set->upkeep_at = mn_time_after(set->now.mono, TRUSTSET_UPKEEP);
        set->mint_at = set->now.mono;
        trustset_emit(set, TRUSTSET_OUT_KEYS); /* none yet, but whose they will be */
    }
    trustset_judge_again(set);
    trustset_drop_outcasts(set); /* who is no issuer any more goes with its token */
    if (!is_first) return;
    trustset_load_keys(set);
    trustset_add_early(set);
    if (trustset_is_out(set, &set->config.self->node_id, &(mn_id){{0}}))
        trustset_emit(set, TRUSTSET_OUT_SELF_REVOKED);
}

static void trustset_on_recover(struct trustset *set, struct mn_span key, struct mn_span value)
{
    MN_ASSERT(set->authority == NULL);
    if (mn_span_is(key, "keys")) {
        mn_buf_unref(set->recovered_buf);
        set->recovered_buf = mn_buf_copy(value);
    } else if (key.size > 5 && memcmp(key.data, "item/", 5) == 0) {
        trustset_recover_item(set, value);
    }
}

static void trustset_handle(struct trustset *set, const struct trustset_input *input)
{
    switch (input->type) {
    case TRUSTSET_IN_TICK: trustset_on_tick(set, input->is_minter); return;
    case TRUSTSET_IN_RECOVER: trustset_on_recover(set, input->key, input->value); return;
    case TRUSTSET_IN_AUTHORITY: trustset_on_authority(set, input->authority); return;
    case TRUSTSET_IN_LINK_UP: trustset_on_link_up(set, &input->node, input->grant); return;
    case TRUSTSET_IN_LINK_DOWN: trustset_on_link_down(set, &input->node); return;
    case TRUSTSET_IN_MESSAGE: trustset_on_said(set, &input->node, input->bytes); return;
    case TRUSTSET_IN_ADD: trustset_on_add(set, input->kind, input->bytes); return;
    case TRUSTSET_IN_REVOKE: trustset_on_revoke(set, input); return;
    case TRUSTSET_IN_KEY_WANTED: trustset_on_key_wanted(set, input->key_id); return;
    }
    MN_ASSERT(false && "an input of the list");
}

void trustset_step(struct trustset *set, struct mn_now now, const struct trustset_input *input,
                   struct trustset_outbox *outbox)
{
    MN_ASSERT(now.mono >= set->now.mono);
    set->now = now;
    set->outbox = outbox;
    trustset_handle(set, input);
    if (set->has_new_keys) {
        set->has_new_keys = false;
        trustset_store_keys(set);
        trustset_emit(set, TRUSTSET_OUT_KEYS);
    }
    if (set->has_new_outcasts) {
        set->has_new_outcasts = false;
        trustset_drop_outcasts(set);
        trustset_emit(set, TRUSTSET_OUT_REVOKED);
    }
    set->outbox = NULL;
}

/* ---- life ---- */

static bool trustset_has_node(const void *context, const mn_id *node)
{
    const struct trustset *set = context;

    return mn_map_find(&set->nodes, mn_span(node->bytes, sizeof node->bytes)) != NULL;
}

static bool trustset_has_token(const void *context, const mn_id *token)
{
    const struct trustset *set = context;

    return mn_map_find(&set->tokens, mn_span(token->bytes, sizeof token->bytes)) != NULL;
}

struct trustset *trustset_new(const struct trustset_config *config)
{
    struct trustset *set = mn_alloc(sizeof *set);

    set->config = *config;
    if (set->config.sync_interval == 0) set->config.sync_interval = TRUSTSET_SYNC_INTERVAL;
    rng_init(&set->rng, config->seed);
    sodium_memzero(set->config.seed, sizeof set->config.seed);
    mn_map_init(&set->nodes, rng_u64(&set->rng));
    mn_map_init(&set->tokens, rng_u64(&set->rng));
    mn_map_init(&set->paces, rng_u64(&set->rng));
    mn_list_init(&set->links);
    set->revoked = (struct grant_revoked){trustset_has_node, trustset_has_token, set};
    return set;
}

void trustset_free(struct trustset *set)
{
    if (set == NULL) return;
    while (!mn_list_is_empty(&set->links))
        trustset_drop_link(set, MN_CONTAINER(set->links.next, struct trust_link, all));
    trustset_items_done(set);
    keyring_done(&set->ring);
    mn_buf_unref(set->recovered_buf);
    mn_buf_unref(set->early);
    rng_done(&set->rng);
    mn_free(set);
}

void trustset_check(const struct trustset *set)
{
    uint8_t root[TRUSTSET_HASH_SIZE] = {0};
    size_t bytes = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = set->items[i];
        if (i > 0) MN_ASSERT(memcmp(set->items[i - 1]->hash, item->hash, TRUSTSET_HASH_SIZE) < 0);
        sodium_add(root, item->hash, sizeof root);
        bytes += item->bytes->size;
        if (item->kind != ITEM(REVOCATION)) continue;
        if (!mn_id_is_zero(&item->node_id)) MN_ASSERT(trustset_has_node(set, &item->node_id));
    }
    MN_ASSERT(memcmp(root, set->root, sizeof root) == 0);
    MN_ASSERT(bytes == set->bytes && bytes <= TRUSTSET_BYTES_MAX);
    MN_ASSERT(set->count <= TRUSTSET_ITEMS_MAX);
    MN_LIST_FOR_EACH (at, &set->links) {
        const struct trust_link *link = MN_CONTAINER(at, struct trust_link, all);
        MN_ASSERT(!trustset_is_out(set, &link->node, &link->token_id));
    }
    keyring_check(&set->ring);
}

/* ---- looking ---- */

const struct grant_revoked *trustset_revoked(const struct trustset *set)
{
    return &set->revoked;
}

const struct keyring *trustset_keyring(const struct trustset *set)
{
    return &set->ring;
}

bool trustset_find_revoked(const struct trustset *set, const mn_id *node,
                           struct trustset_revocation *ret)
{
    if (!trustset_has_node(set, node)) return false;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = set->items[i];
        if (item->kind != ITEM(REVOCATION) || !mn_id_equal(&item->node_id, node)) continue;
        *ret = (struct trustset_revocation){.node_id = *node, .at_ms = item->made_ms};
        memcpy(ret->issuer, item->issuer, sizeof ret->issuer);
        return true;
    }
    return false;
}

struct trustset_counts trustset_counts(const struct trustset *set)
{
    struct trustset_counts counts = set->counts;

    counts.items = set->count;
    counts.links = set->links_count;
    counts.bytes = set->bytes;
    return counts;
}
