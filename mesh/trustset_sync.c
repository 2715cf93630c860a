/* What members say to each other about the set. */
#include "mesh/trustset_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define RANGE_MAX 180 /* hashes of one HASHES: all their items fit into one NEWS */
#define NEWS_MAX 200  /* items of one NEWS, at most */
#define ITEM_SIZE_MAX 384
#define BATCH_BYTES 60000
#define SECRETS_MAX KEYRING_KEYS_MAX
#define PACKET(name) MESHNODE__TRUST__TRUST_PACKET__TYPE__##name

_Static_assert(RANGE_MAX *(ITEM_SIZE_MAX - 64) <= TRUSTSET_PACKET_MAX, "a range fits");

void trustset_send(struct trustset *set, const mn_id *to,
                   const Meshnode__Trust__TrustPacket *packet)
{
    struct mn_span bytes = pb_pack_arena(&packet->base, set->outbox->arena);
    struct trustset_output *output;

    MN_ASSERT(bytes.size <= TRUSTSET_PACKET_MAX);
    output = trustset_emit(set, TRUSTSET_OUT_SEND);
    output->node = *to;
    output->bytes = bytes;
}

/* ---- NEWS ---- */

struct news {
    Meshnode__Trust__TrustPacket packet;
    Meshnode__Trust__TrustItem items[NEWS_MAX], *item_pointers[NEWS_MAX];
    Meshnode__Trust__KeySecret secrets[SECRETS_MAX], *secret_pointers[SECRETS_MAX];
    size_t bytes;
};

static struct news *news_new(struct trustset *set)
{
    struct news *news = mn_arena_alloc(set->outbox->arena, sizeof *news);

    meshnode__trust__trust_packet__init(&news->packet);
    news->packet.type = PACKET(NEWS);
    news->packet.items = news->item_pointers;
    news->packet.secrets = news->secret_pointers;
    news->bytes = 0;
    return news;
}

static bool news_is_full(const struct news *news)
{
    return news->packet.n_items == NEWS_MAX || news->bytes + ITEM_SIZE_MAX > BATCH_BYTES;
}

static void news_add_secret(struct trustset *set, struct news *news, const struct keyring_key *key)
{
    size_t at = news->packet.n_secrets;

    if (at == SECRETS_MAX || key == NULL || !key->has_secret || !trustset_may_hand_on(set, key))
        return;
    meshnode__trust__key_secret__init(&news->secrets[at]);
    news->secrets[at].key_id = key->announced.key_id;
    news->secrets[at].secret = pb_bytes(mn_span(key->secret, sizeof key->secret));
    news->secret_pointers[at] = &news->secrets[at];
    news->packet.n_secrets++;
    news->bytes += sizeof key->secret + 16;
}

static void news_add(struct trustset *set, struct news *news, const struct item *item)
{
    size_t at = news->packet.n_items;

    MN_ASSERT(!news_is_full(news));
    meshnode__trust__trust_item__init(&news->items[at]);
    news->items[at].kind = item->kind;
    news->items[at].document = pb_bytes(mn_buf_span(item->bytes));
    news->item_pointers[at] = &news->items[at];
    news->packet.n_items++;
    news->bytes += item->bytes->size + 16;
    if (item->kind == ITEM(MESH_KEY))
        news_add_secret(set, news, keyring_find(&set->ring, item->key_id));
}

static void news_send(struct trustset *set, struct news *news, const mn_id *to)
{
    if (news->packet.n_items > 0 || news->packet.n_secrets > 0)
        trustset_send(set, to, &news->packet);
}

/* The revoked node is told, with the proof, that it is out; but nothing that came after. */
static void trustset_spread_to(struct trustset *set, const struct trust_link *link,
                               const struct item *const *items, uint32_t count)
{
    bool is_out = trustset_is_out(set, &link->node, &link->token_id);
    struct news *news = news_new(set);

    for (uint32_t i = 0; i < count; i++) {
        if (is_out && items[i]->kind != ITEM(REVOCATION)) continue;
        if (news_is_full(news)) {
            news_send(set, news, &link->node);
            news = news_new(set);
        }
        news_add(set, news, items[i]);
    }
    news_send(set, news, &link->node);
}

void trustset_spread(struct trustset *set, const struct item *const *items, uint32_t count,
                     const mn_id *but)
{
    if (count == 0) return;
    MN_LIST_FOR_EACH (at, &set->links) {
        const struct trust_link *link = MN_CONTAINER(at, struct trust_link, all);
        if (but != NULL && mn_id_equal(&link->node, but)) continue;
        trustset_spread_to(set, link, items, count);
    }
}

/* A bad signature, passed on, is the fault of whoever passed it on; not to know an issuer yet, to
 * have another clock or no room is nobody's. */
static void trustset_note_refusal(struct trustset *set, const mn_id *from, trustset_kind kind,
                                  mn_status status)
{
    mn_trace(set->config.trace, set->now.mono, MN_EV_ITEM_REFUSED, from, (uint64_t)-status,
             (uint64_t)kind, NULL);
    if (status == MN_BAD_SIGNATURE || status == MN_MALFORMED || status == MN_TOO_BIG)
        trustset_fault(set, from, status);
    if (status != MN_UNKNOWN_ISSUER) return;
    trustset_emit(set, TRUSTSET_OUT_CHAIN_NEEDED)->node = *from;
}

/* One pass over the items of a message for each kind of them: revocations first. */
static uint32_t trustset_take_kind(struct trustset *set, const mn_id *from,
                                   const Meshnode__Trust__TrustPacket *packet, bool revocations,
                                   const struct item **fresh, uint32_t count)
{
    for (size_t i = 0; i < packet->n_items && i < NEWS_MAX; i++) {
        trustset_kind kind = packet->items[i]->kind;
        struct mn_span bytes = pb_span(packet->items[i]->document);
        uint8_t hash[TRUSTSET_HASH_SIZE];
        mn_status status;
        bool found;

        if ((kind == ITEM(REVOCATION)) != revocations) continue;
        status = trustset_admit(set, kind, bytes);
        if (status == MN_EXISTS || status == MN_UNSUPPORTED) continue;
        if (status != MN_OK) {
            trustset_note_refusal(set, from, kind, status);
            continue;
        }
        trustset_hash(kind, bytes, hash);
        fresh[count++] = set->items[trustset_find(set, hash, sizeof hash, &found)];
    }
    return count;
}

static void trustset_on_news(struct trustset *set, const mn_id *from,
                             const Meshnode__Trust__TrustPacket *packet)
{
    const struct item *fresh[NEWS_MAX];
    uint32_t count = trustset_take_kind(set, from, packet, true, fresh, 0);

    count = trustset_take_kind(set, from, packet, false, fresh, count);
    for (size_t i = 0; i < packet->n_secrets && i < SECRETS_MAX; i++)
        trustset_take_secret(set, from, packet->secrets[i]->key_id,
                             pb_span(packet->secrets[i]->secret));
    trustset_spread(set, fresh, count, from);
    for (uint32_t i = 0; i < count; i++)
        if (fresh[i]->kind == ITEM(MESH_KEY)) {
            trustset_ask_missing(set, from);
            return;
        }
}

/* ---- SUMMARY ---- */

void trustset_send_summary(struct trustset *set, const mn_id *to, bool is_answer)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;

    if (set->authority == NULL) return;
    packet.type = PACKET(SUMMARY);
    packet.root = pb_bytes(mn_span(set->root, sizeof set->root));
    packet.count = set->count;
    packet.pin = pb_bytes(mn_span(authority_pin(set->authority), DIGEST_PIN_SIZE));
    packet.is_answer = is_answer;
    trustset_send(set, to, &packet);
}

uint32_t trustset_draw_links(struct trustset *set, mn_id *ret, uint32_t max)
{
    uint32_t seen = 0;

    MN_LIST_FOR_EACH (at, &set->links) { /* reservoir sampling */
        const struct trust_link *link = MN_CONTAINER(at, struct trust_link, all);
        uint32_t place = seen < max ? seen : rng_below(&set->rng, seen + 1);
        if (place < max) ret[place] = link->node;
        seen++;
    }
    return seen < max ? seen : max;
}

void trustset_sync_random(struct trustset *set)
{
    mn_id node;

    if (trustset_draw_links(set, &node, 1) == 1) trustset_send_summary(set, &node, false);
}

static void trustset_send_hashes(struct trustset *set, const mn_id *to, const uint8_t *after)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
    uint8_t hashes[RANGE_MAX * TRUSTSET_SHORT_SIZE];
    uint32_t from = 0, count = 0;
    bool found = false;

    if (after != NULL) from = trustset_find(set, after, TRUSTSET_SHORT_SIZE, &found);
    if (found) from++;
    while (from + count < set->count && count < RANGE_MAX) {
        memcpy(hashes + (size_t)count * TRUSTSET_SHORT_SIZE, set->items[from + count]->hash,
               TRUSTSET_SHORT_SIZE);
        count++;
    }
    packet.type = PACKET(HASHES);
    packet.hashes = pb_bytes(mn_span(hashes, (size_t)count * TRUSTSET_SHORT_SIZE));
    if (after != NULL) packet.after = pb_bytes(mn_span(after, TRUSTSET_SHORT_SIZE));
    if (from + count < set->count)
        packet.upto = pb_bytes(
            mn_span(hashes + (size_t)(count - 1) * TRUSTSET_SHORT_SIZE, TRUSTSET_SHORT_SIZE));
    set->counts.syncs++;
    trustset_send(set, to, &packet);
}

static void trustset_on_summary(struct trustset *set, const mn_id *from,
                                const Meshnode__Trust__TrustPacket *packet)
{
    struct mn_span root = mn_span(set->root, sizeof set->root);
    struct mn_span pin = mn_span(authority_pin(set->authority), DIGEST_PIN_SIZE);

    if (!mn_span_equal(pb_span(packet->pin), pin))
        trustset_emit(set, TRUSTSET_OUT_CHAIN_NEEDED)->node = *from;
    if (mn_span_equal(pb_span(packet->root), root)) return;
    if (mn_id_compare(&set->config.self->node_id, from) < 0)
        trustset_send_hashes(set, from, NULL);
    else if (!packet->is_answer)
        trustset_send_summary(set, from, true);
}

/* ---- HASHES, NEXT ---- */

/* 16 bytes, or NULL when absent. */
static const uint8_t *trustset_mark(ProtobufCBinaryData bytes)
{
    return bytes.len == TRUSTSET_SHORT_SIZE ? bytes.data : NULL;
}

static bool trustset_lists(struct mn_span hashes, const uint8_t *hash)
{
    size_t low = 0, high = hashes.size / TRUSTSET_SHORT_SIZE;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(hashes.data + middle * TRUSTSET_SHORT_SIZE, hash, TRUSTSET_SHORT_SIZE);
        if (order == 0) return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Of our items in (after, upto] those that are not listed. */
static void trustset_answer_hashes(struct trustset *set, const mn_id *to, struct mn_span hashes,
                                   const uint8_t *after, const uint8_t *upto)
{
    struct news *news = news_new(set);
    bool found = false;
    uint32_t i = after == NULL ? 0 : trustset_find(set, after, TRUSTSET_SHORT_SIZE, &found);

    for (i += found; i < set->count; i++) {
        const struct item *item = set->items[i];
        if (upto != NULL && memcmp(item->hash, upto, TRUSTSET_SHORT_SIZE) > 0) break;
        if (trustset_lists(hashes, item->hash)) continue;
        if (news_is_full(news)) {
            news_send(set, news, to);
            news = news_new(set);
        }
        news_add(set, news, item);
    }
    news_send(set, news, to);
}

/* Asks for what is listed and not here, and for the range after this one. */
static void trustset_send_next(struct trustset *set, const mn_id *to, struct mn_span hashes,
                               const uint8_t *upto)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
    uint8_t *wanted = mn_arena_alloc(set->outbox->arena, hashes.size + 1);
    size_t size = 0;

    for (size_t at = 0; at < hashes.size; at += TRUSTSET_SHORT_SIZE) {
        bool found;
        (void)trustset_find(set, hashes.data + at, TRUSTSET_SHORT_SIZE, &found);
        if (found) continue;
        memcpy(wanted + size, hashes.data + at, TRUSTSET_SHORT_SIZE);
        size += TRUSTSET_SHORT_SIZE;
    }
    if (size == 0 && upto == NULL) return;
    packet.type = PACKET(NEXT);
    packet.hashes = pb_bytes(mn_span(wanted, size));
    if (upto != NULL) packet.after = pb_bytes(mn_span(upto, TRUSTSET_SHORT_SIZE));
    trustset_send(set, to, &packet);
}

static void trustset_on_hashes(struct trustset *set, const mn_id *from,
                               const Meshnode__Trust__TrustPacket *packet)
{
    const uint8_t *after = trustset_mark(packet->after), *upto = trustset_mark(packet->upto);
    struct mn_span hashes = pb_span(packet->hashes);

    trustset_answer_hashes(set, from, hashes, after, upto);
    trustset_send_next(set, from, hashes, upto);
}

static void trustset_on_next(struct trustset *set, const mn_id *from,
                             const Meshnode__Trust__TrustPacket *packet)
{
    const uint8_t *after = trustset_mark(packet->after);
    struct mn_span hashes = pb_span(packet->hashes);
    struct news *news = news_new(set);

    for (size_t at = 0; at < hashes.size && !news_is_full(news); at += TRUSTSET_SHORT_SIZE) {
        bool found;
        uint32_t i = trustset_find(set, hashes.data + at, TRUSTSET_SHORT_SIZE, &found);
        if (found) news_add(set, news, set->items[i]);
    }
    news_send(set, news, from);
    if (after != NULL) trustset_send_hashes(set, from, after);
}

/* ---- KEY_ASK ---- */

void trustset_send_key_ask(struct trustset *set, const mn_id *to, const uint32_t *ids,
                           uint32_t count)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
    uint8_t bytes[4 * KEYRING_KEYS_MAX];

    MN_ASSERT(count <= KEYRING_KEYS_MAX);
    for (uint32_t i = 0; i < count; i++)
        mn_store_u32(bytes + 4 * i, ids[i]);
    packet.type = PACKET(KEY_ASK);
    packet.key_ids = pb_bytes(mn_span(bytes, 4 * (size_t)count));
    set->counts.keys_asked++;
    trustset_send(set, to, &packet);
}

static bool trustset_asks_for(struct mn_span ids, uint32_t key_id)
{
    for (size_t at = 0; at + 4 <= ids.size; at += 4)
        if (mn_load_u32(ids.data + at) == key_id) return true;
    return false;
}

/* With the announcement, which the asker may not have either. One walk, however many are asked for.
 */
static void trustset_on_key_ask(struct trustset *set, const mn_id *from, struct mn_span ids)
{
    struct news *news = news_new(set);

    for (uint32_t i = 0; i < set->count && !news_is_full(news); i++)
        if (set->items[i]->kind == ITEM(MESH_KEY) && trustset_asks_for(ids, set->items[i]->key_id))
            news_add(set, news, set->items[i]);
    news_send(set, news, from);
}

/* ---- messages ---- */

static bool trustset_packet_is_valid(const Meshnode__Trust__TrustPacket *packet)
{
    return packet->n_items <= NEWS_MAX && packet->n_secrets <= SECRETS_MAX &&
           packet->hashes.len % TRUSTSET_SHORT_SIZE == 0 &&
           packet->hashes.len <= RANGE_MAX * TRUSTSET_SHORT_SIZE &&
           packet->key_ids.len <= 4 * KEYRING_KEYS_MAX;
}

void trustset_on_message(struct trustset *set, const mn_id *from, struct mn_span bytes)
{
    const Meshnode__Trust__TrustPacket *packet = NULL;

    if (set->authority == NULL) return;
    if (bytes.size <= TRUSTSET_PACKET_MAX)
        packet = pb_unpack(&meshnode__trust__trust_packet__descriptor, set->outbox->arena, bytes);
    if (packet == NULL || !trustset_packet_is_valid(packet)) {
        set->counts.messages_malformed++;
        trustset_fault(set, from, MN_MALFORMED);
        return;
    }
    switch (packet->type) {
    case PACKET(SUMMARY): trustset_on_summary(set, from, packet); return;
    case PACKET(HASHES): trustset_on_hashes(set, from, packet); return;
    case PACKET(NEXT): trustset_on_next(set, from, packet); return;
    case PACKET(NEWS): trustset_on_news(set, from, packet); return;
    case PACKET(KEY_ASK): trustset_on_key_ask(set, from, pb_span(packet->key_ids)); return;
    case PACKET(NONE):
    case _MESHNODE__TRUST__TRUST_PACKET__TYPE_IS_INT_SIZE: return; /* of a newer node */
    }
}
