#include "crypto/keyring.h"

#include <sodium.h>

#include "proto/base/check.h"

#define KEEP_MS ((uint64_t)24 * 3600 * 1000) /* a clock may have jumped */

void keyring_init(struct keyring *ring, const mn_id *mesh_id)
{
    memset(ring, 0, sizeof *ring);
    ring->mesh_id = *mesh_id;
}

void keyring_done(struct keyring *ring)
{
    sodium_memzero(ring, sizeof *ring);
}

/* ---- what is in it ---- */

static int keyring_index(const struct keyring *ring, uint32_t key_id)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (ring->keys[i].announced.key_id == key_id) return (int)i;
    return -1;
}

const struct keyring_key *keyring_find(const struct keyring *ring, uint32_t key_id)
{
    int index = keyring_index(ring, key_id);

    return index < 0 ? NULL : &ring->keys[index];
}

static void keyring_remove(struct keyring *ring, uint32_t index)
{
    size_t after = ring->count - index - 1;

    memmove(&ring->keys[index], &ring->keys[index + 1], after * sizeof ring->keys[0]);
    ring->count--;
    sodium_memzero(&ring->keys[ring->count], sizeof ring->keys[0]);
}

void keyring_forget(struct keyring *ring, uint32_t key_id)
{
    int index = keyring_index(ring, key_id);

    if (index >= 0) keyring_remove(ring, (uint32_t)index);
}

/* By age, then by id: the same on every node. */
static bool keyring_is_before(const struct meshkey *a, const struct meshkey *b)
{
    if (a->created_ms != b->created_ms) return a->created_ms < b->created_ms;
    return a->key_id < b->key_id;
}

/* The oldest seal key goes, so that a flood of new ones never costs a recon key. */
static bool keyring_make_room(struct keyring *ring, const struct meshkey *meshkey)
{
    if (ring->count < KEYRING_KEYS_MAX) return true;
    for (uint32_t i = 0; i < ring->count; i++) {
        if (ring->keys[i].announced.kind != MESHKEY_SEAL) continue;
        if (!keyring_is_before(&ring->keys[i].announced, meshkey)) return false;
        keyring_remove(ring, i);
        return true;
    }
    return false;
}

static bool keyring_is_over(const struct meshkey *meshkey, uint64_t wall_ms)
{
    return meshkey->kind == MESHKEY_SEAL && wall_ms >= meshkey->open_until_ms;
}

mn_status keyring_announce(struct keyring *ring, const struct meshkey *meshkey, uint64_t wall_ms)
{
    struct keyring_key *at;
    uint32_t index;

    if (keyring_index(ring, meshkey->key_id) >= 0) return MN_EXISTS;
    if (keyring_is_over(meshkey, wall_ms)) return MN_EXPIRED;
    if (!keyring_make_room(ring, meshkey)) return MN_FULL;
    for (index = ring->count; index > 0; index--) {
        if (keyring_is_before(&ring->keys[index - 1].announced, meshkey)) break;
        ring->keys[index] = ring->keys[index - 1];
    }
    at = &ring->keys[index];
    memset(at, 0, sizeof *at);
    at->announced = *meshkey;
    at->announced.body = mn_span(NULL, 0);
    ring->count++;
    return MN_OK;
}

mn_status keyring_put(struct keyring *ring, uint32_t key_id,
                      const uint8_t secret[MESHKEY_SECRET_SIZE])
{
    uint8_t commit[MESHKEY_COMMIT_SIZE];
    int index = keyring_index(ring, key_id);
    struct keyring_key *key;

    if (index < 0) return MN_NOT_FOUND;
    key = &ring->keys[index];
    if (key->has_secret) return MN_EXISTS;
    meshkey_commit(&ring->mesh_id, secret, commit);
    if (sodium_memcmp(commit, key->announced.commit, sizeof commit) != 0) return MN_CRYPTO;
    memcpy(key->secret, secret, MESHKEY_SECRET_SIZE);
    key->has_secret = true;
    return MN_OK;
}

void keyring_expire(struct keyring *ring, uint64_t wall_ms)
{
    for (uint32_t i = ring->count; i-- > 0;)
        if (wall_ms > KEEP_MS && keyring_is_over(&ring->keys[i].announced, wall_ms - KEEP_MS))
            keyring_remove(ring, i);
}

/* ---- which one ---- */

bool keyring_is_closed(const struct keyring *ring, const struct keyring_key *key)
{
    if (key->announced.kind != MESHKEY_SEAL) return false;
    for (uint32_t i = ring->count; i-- > 0;) {
        const struct meshkey *other = &ring->keys[i].announced;
        if (other->created_ms <= key->announced.created_ms) return false;
        if (other->is_after_revocation) return true;
    }
    return false;
}

static bool keyring_may_open(const struct keyring *ring, const struct keyring_key *key,
                             uint64_t wall_ms)
{
    return key->announced.kind == MESHKEY_SEAL && key->has_secret &&
           !keyring_is_over(&key->announced, wall_ms) && !keyring_is_closed(ring, key);
}

const struct keyring_key *keyring_sealing(const struct keyring *ring, uint64_t wall_ms)
{
    const struct keyring_key *newest = NULL;

    for (uint32_t i = ring->count; i-- > 0;) {
        const struct keyring_key *key = &ring->keys[i];
        if (!keyring_may_open(ring, key, wall_ms)) continue;
        if (wall_ms >= key->announced.seal_until_ms) continue;
        if (newest == NULL) newest = key;
        if (wall_ms >= key->announced.created_ms + KEYRING_SETTLE_MS) return key;
    }
    return newest;
}

const struct keyring_key *keyring_opening(const struct keyring *ring, uint32_t key_id,
                                          uint64_t wall_ms)
{
    const struct keyring_key *key = keyring_find(ring, key_id);

    return key != NULL && keyring_may_open(ring, key, wall_ms) ? key : NULL;
}

const struct keyring_key *keyring_recon(const struct keyring *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (ring->keys[i].announced.kind == MESHKEY_RECON && ring->keys[i].has_secret)
            return &ring->keys[i];
    return NULL;
}

/* ---- sealing and opening ---- */

mn_status keyring_seal(const struct keyring *ring, uint64_t wall_ms,
                       const struct sealed_scope *scope, uint64_t expires_ms, struct mn_span plain,
                       struct mn_arena *arena, struct mn_span *ret)
{
    const struct keyring_key *key = keyring_sealing(ring, wall_ms);
    uint64_t end_ms;

    if (key == NULL) return MN_STATE;
    end_ms = key->announced.open_until_ms;
    if (expires_ms != 0 && expires_ms < end_ms) end_ms = expires_ms;
    if (end_ms / 1000 > UINT32_MAX) return MN_STATE; /* a clock far in the future */
    return sealed_make(scope, key->secret, key->announced.key_id, (uint32_t)(end_ms / 1000), plain,
                       arena, ret);
}

/* Why a string of this key does not open here. */
static mn_status keyring_refusal(const struct keyring *ring, uint32_t key_id, uint64_t wall_ms)
{
    const struct keyring_key *key = keyring_find(ring, key_id);

    if (key == NULL) return MN_NOT_FOUND;
    if (key->announced.kind != MESHKEY_SEAL) return MN_CRYPTO;
    if (keyring_is_over(&key->announced, wall_ms)) return MN_EXPIRED;
    if (keyring_is_closed(ring, key)) return MN_REVOKED;
    return MN_NOT_FOUND;
}

mn_status keyring_open(const struct keyring *ring, uint64_t wall_ms, struct mn_span text,
                       const struct sealed_scope *scope, struct mn_arena *arena,
                       struct mn_span *ret, uint32_t *ret_key_id)
{
    const struct keyring_key *key;
    struct sealed_header header;
    mn_status status = sealed_peek(text, scope->what, &header);

    if (status != MN_OK) return status;
    if (wall_ms / 1000 >= header.expires_s)
        return MN_EXPIRED; /* before anybody is asked for a key */
    key = keyring_opening(ring, header.key_id, wall_ms);
    if (key == NULL) {
        status = keyring_refusal(ring, header.key_id, wall_ms);
        if (status == MN_NOT_FOUND) *ret_key_id = header.key_id;
        return status;
    }
    return sealed_open(text, scope, key->secret, wall_ms, arena, ret);
}

void keyring_check(const struct keyring *ring)
{
    MN_ASSERT(ring->count <= KEYRING_KEYS_MAX);
    for (uint32_t i = 0; i < ring->count; i++) {
        MN_ASSERT(keyring_index(ring, ring->keys[i].announced.key_id) == (int)i);
        if (i > 0)
            MN_ASSERT(keyring_is_before(&ring->keys[i - 1].announced, &ring->keys[i].announced));
    }
}
