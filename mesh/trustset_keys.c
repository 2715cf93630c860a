/* Mesh keys: who makes them, who may have them, how they are kept. And revoking, which makes one.
 */
#include <sodium.h>

#include "mesh/trustset_internal.h"
#include "proto/base/check.h"

#define NEIGHBOURS_ASKED 2
#define REST_NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define REST_MAC crypto_aead_xchacha20poly1305_ietf_ABYTES
#define REST_ENTRY (4 + MESHKEY_SECRET_SIZE)

static const char rest_tag[] = "meshnode/1/mesh-keys";

/* ---- handing on ---- */

/* A key that was made for a revocation follows it and never goes ahead: where the revocation is not
 * known, the revoked node is still a member like others. */
bool trustset_may_hand_on(const struct trustset *set, const struct keyring_key *key)
{
    return !key->announced.is_after_revocation ||
           trustset_has_hash(set, key->announced.after_revocation);
}

void trustset_take_secret(struct trustset *set, const mn_id *from, uint32_t key_id,
                          struct mn_span secret)
{
    mn_status status;

    if (secret.size != MESHKEY_SECRET_SIZE) {
        trustset_fault(set, from, MN_MALFORMED);
        return;
    }
    status = keyring_put(&set->ring, key_id, secret.data);
    if (status == MN_OK) set->has_new_keys = true;
    if (status == MN_CRYPTO) trustset_fault(set, from, MN_BAD_SIGNATURE);
}

/* ---- asking ---- */

void trustset_ask_missing(struct trustset *set, const mn_id *to)
{
    uint32_t ids[KEYRING_KEYS_MAX], count = 0;
    mn_id drawn[NEIGHBOURS_ASKED];
    uint32_t drawn_count = 0;

    for (uint32_t i = 0; i < set->ring.count; i++)
        if (!set->ring.keys[i].has_secret) ids[count++] = set->ring.keys[i].announced.key_id;
    if (count == 0) return;
    if (to == NULL) drawn_count = trustset_draw_links(set, drawn, NEIGHBOURS_ASKED);
    for (uint32_t i = 0; i < drawn_count; i++)
        trustset_send_key_ask(set, &drawn[i], ids, count);
    if (to != NULL) trustset_send_key_ask(set, to, ids, count);
}

/* Strings with made-up key ids cost two questions a minute, each. */
void trustset_on_key_wanted(struct trustset *set, uint32_t key_id)
{
    const struct keyring_key *key = keyring_find(&set->ring, key_id);
    mn_id drawn[NEIGHBOURS_ASKED];
    uint32_t count;

    if (set->authority == NULL || (key != NULL && key->has_secret)) return;
    for (uint32_t i = 0; i < TRUSTSET_MISSES_MAX; i++)
        if (set->misses[i].key_id == key_id && set->now.mono < set->misses[i].until) return;
    set->misses[set->misses_next++ % TRUSTSET_MISSES_MAX] =
        (struct key_miss){key_id, mn_time_after(set->now.mono, TRUSTSET_MISS_TIME)};
    count = trustset_draw_links(set, drawn, NEIGHBOURS_ASKED);
    for (uint32_t i = 0; i < count; i++)
        trustset_send_key_ask(set, &drawn[i], &key_id, 1);
}

/* ---- making ---- */

/* Made after every other one that is known here, whatever the clocks say, so that it closes them.
 */
static uint64_t trustset_key_time(const struct trustset *set)
{
    uint64_t now_ms = mn_wall_ms(set->now);
    uint32_t count = set->ring.count;

    if (count == 0 || set->ring.keys[count - 1].announced.created_ms < now_ms) return now_ms;
    return set->ring.keys[count - 1].announced.created_ms + 1;
}

static uint32_t trustset_draw_key_id(struct trustset *set)
{
    uint32_t key_id;

    do
        key_id = rng_u32(&set->rng);
    while (key_id == 0 || keyring_find(&set->ring, key_id) != NULL);
    return key_id;
}

/* The item, or NULL when there is no room for it. [after]: hash of a revocation, or NULL. */
static const struct item *trustset_mint(struct trustset *set, enum meshkey_kind kind,
                                        const uint8_t *after)
{
    struct meshkey meshkey = {
        .key_id = trustset_draw_key_id(set), .kind = kind, .created_ms = trustset_key_time(set)};
    uint8_t secret[MESHKEY_SECRET_SIZE], hash[TRUSTSET_HASH_SIZE];
    const struct item *item = NULL;
    struct mn_buf *bytes;
    bool found;

    if (kind == MESHKEY_SEAL) {
        meshkey.seal_until_ms = meshkey.created_ms + MESHKEY_SEAL_MS;
        meshkey.open_until_ms = meshkey.created_ms + MESHKEY_OPEN_MS;
    }
    if (after != NULL) {
        meshkey.is_after_revocation = true;
        memcpy(meshkey.after_revocation, after, MESHKEY_HASH_SIZE);
    }
    rng_bytes(&set->rng, secret, sizeof secret);
    meshkey_commit(&set->authority->mesh_id, secret, meshkey.commit);
    bytes = meshkey_sign(&meshkey, &set->authority->mesh_id, &set->config.self->key);
    if (trustset_admit(set, ITEM(MESH_KEY), mn_buf_span(bytes)) == MN_OK) {
        trustset_take_secret(set, &set->config.self->node_id, meshkey.key_id,
                             mn_span(secret, sizeof secret));
        trustset_hash(ITEM(MESH_KEY), mn_buf_span(bytes), hash);
        item = set->items[trustset_find(set, hash, sizeof hash, &found)];
        mn_trace(set->config.trace, set->now.mono, MN_EV_KEY_MADE, &set->config.self->node_id,
                 meshkey.key_id, 0, kind == MESHKEY_SEAL ? "seal" : "recon");
    }
    sodium_memzero(secret, sizeof secret);
    mn_buf_unref(bytes);
    return item;
}

static bool trustset_is_issuer(const struct trustset *set)
{
    return set->authority != NULL && authority_is_issuer(set->authority, set->config.self->key.pk);
}

/* When the newest one was made, by what was announced; 0: there is none. */
static uint64_t trustset_newest_ms(const struct trustset *set, enum meshkey_kind kind)
{
    for (uint32_t i = set->ring.count; i-- > 0;)
        if (set->ring.keys[i].announced.kind == kind) return set->ring.keys[i].announced.created_ms;
    return 0;
}

void trustset_mint_if_due(struct trustset *set)
{
    uint64_t newest_ms = trustset_newest_ms(set, MESHKEY_SEAL), wall_ms = mn_wall_ms(set->now);
    const struct item *made[2];
    uint32_t count = 0;

    if (!trustset_is_issuer(set)) return;
    if (newest_ms == 0 || wall_ms >= newest_ms + TRUSTSET_MINT_AFTER_MS)
        made[count] = trustset_mint(set, MESHKEY_SEAL, NULL), count += made[count] != NULL;
    if (trustset_newest_ms(set, MESHKEY_RECON) == 0)
        made[count] = trustset_mint(set, MESHKEY_RECON, NULL), count += made[count] != NULL;
    trustset_spread(set, made, count, NULL);
}

/* ---- revoking ---- */

static void trustset_revoke_done(struct trustset *set, const struct trustset_input *input,
                                 mn_status status)
{
    struct trustset_output *output = trustset_emit(set, TRUSTSET_OUT_REVOKE_DONE);

    output->request = input->revoke.request;
    output->token_id = input->revoke.token_id;
    output->status = status;
}

/* The document, admitted here; NULL and why not. */
static const struct item *
trustset_make_revocation(struct trustset *set, const struct trustset_input *input, mn_status *ret)
{
    struct revocation revocation = {.node_id = input->revoke.node_id,
                                    .token_id = input->revoke.token_id,
                                    .nodes = !mn_id_is_zero(&input->revoke.token_id),
                                    .at_ms = mn_wall_ms(set->now)};
    struct mn_span reason = input->revoke.reason;
    uint8_t hash[TRUSTSET_HASH_SIZE];
    struct mn_buf *bytes;
    bool found;

    if (!revocation_reason_is_valid(reason)) {
        *ret = MN_CONFIG;
        return NULL;
    }
    if (reason.size > 0) memcpy(revocation.reason, reason.data, reason.size);
    bytes = revocation_sign(&revocation, &set->authority->mesh_id, &set->config.self->key);
    *ret = trustset_admit(set, ITEM(REVOCATION), mn_buf_span(bytes));
    trustset_hash(ITEM(REVOCATION), mn_buf_span(bytes), hash);
    mn_buf_unref(bytes);
    return *ret == MN_OK ? set->items[trustset_find(set, hash, sizeof hash, &found)] : NULL;
}

void trustset_on_revoke(struct trustset *set, const struct trustset_input *input)
{
    const struct item *items[2];
    mn_status status = MN_OK;
    uint32_t count = 1;

    MN_ASSERT(mn_id_is_zero(&input->revoke.node_id) != mn_id_is_zero(&input->revoke.token_id));
    if (!trustset_is_issuer(set))
        status = MN_DENIED;
    else if (trustset_is_out(set, &input->revoke.node_id, &input->revoke.token_id))
        status = MN_EXISTS;
    else
        items[0] = trustset_make_revocation(set, input, &status);
    if (status == MN_OK) {
        if (!input->revoke.is_benign) items[1] = trustset_mint(set, MESHKEY_SEAL, items[0]->hash);
        if (!input->revoke.is_benign && items[1] != NULL) count = 2;
        trustset_spread(set, items, count, NULL);
    }
    trustset_revoke_done(set, input, status);
}

/* ---- at rest ---- */

/* nonce, then under the node's rest key: key id and secret of each. */
void trustset_store_keys(struct trustset *set)
{
    uint8_t plain[KEYRING_KEYS_MAX * REST_ENTRY];
    uint8_t sealed[REST_NONCE + sizeof plain + REST_MAC];
    size_t size = 0;

    for (uint32_t i = 0; i < set->ring.count; i++) {
        const struct keyring_key *key = &set->ring.keys[i];
        if (!key->has_secret) continue;
        mn_store_u32(plain + size, key->announced.key_id);
        memcpy(plain + size + 4, key->secret, MESHKEY_SECRET_SIZE);
        size += REST_ENTRY;
    }
    rng_bytes(&set->rng, sealed, REST_NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + REST_NONCE, NULL, plain, size,
                                               (const uint8_t *)rest_tag, sizeof rest_tag, NULL,
                                               sealed, set->config.self->rest_key);
    sodium_memzero(plain, sizeof plain);
    trustset_persist(set, "keys", mn_span(sealed, REST_NONCE + size + REST_MAC), false);
}

/* What was kept and is still announced. What does not open is asked for again. */
void trustset_load_keys(struct trustset *set)
{
    uint8_t plain[KEYRING_KEYS_MAX * REST_ENTRY];
    struct mn_span sealed = mn_buf_span(set->recovered_buf);
    bool fits =
        sealed.size >= REST_NONCE + REST_MAC && sealed.size <= REST_NONCE + sizeof plain + REST_MAC;
    size_t size = fits ? sealed.size - REST_NONCE - REST_MAC : 0;

    if (fits &&
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            plain, NULL, NULL, sealed.data + REST_NONCE, size + REST_MAC, (const uint8_t *)rest_tag,
            sizeof rest_tag, sealed.data, set->config.self->rest_key) == 0) {
        for (size_t at = 0; at + REST_ENTRY <= size; at += REST_ENTRY)
            if (keyring_put(&set->ring, mn_load_u32(plain + at), plain + at + 4) == MN_OK)
                set->has_new_keys = true;
    }
    sodium_memzero(plain, sizeof plain);
    set->recovered_buf = mn_buf_unref(set->recovered_buf);
}
