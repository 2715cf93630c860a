/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under a random nonce: nonce, then ciphertext. */
#include "node/mcp/front_seal.h"

#include <sodium.h>

#include "proto/base/check.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define TEXT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(FRONT_SEAL_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "its key");

void front_seal_init(struct front_seal *seal, struct rng *rng)
{
    rng_bytes(rng, seal->key, sizeof seal->key);
}

void front_seal_done(struct front_seal *seal)
{
    sodium_memzero(seal->key, sizeof seal->key);
}

static struct mn_span front_seal_bound(struct mn_arena *arena, enum front_seal_kind kind,
                                       struct mn_span binding)
{
    uint8_t *bytes = mn_arena_alloc(arena, binding.size + 1);

    bytes[0] = (uint8_t)kind;
    if (binding.size > 0) memcpy(bytes + 1, binding.data, binding.size);
    return mn_span(bytes, binding.size + 1);
}

struct mn_span front_seal_make(const struct front_seal *seal, enum front_seal_kind kind,
                               struct mn_span binding, struct mn_span bytes, struct rng *rng,
                               struct mn_arena *arena)
{
    struct mn_span bound = front_seal_bound(arena, kind, binding);
    size_t size = NONCE_SIZE + bytes.size + TAG_SIZE;
    size_t text_size = sodium_base64_ENCODED_LEN(size, TEXT);
    uint8_t *sealed = mn_arena_alloc(arena, size);
    char *text = mn_arena_alloc(arena, text_size);

    rng_bytes(rng, sealed, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_SIZE, NULL, bytes.data, bytes.size,
                                               bound.data, bound.size, NULL, sealed, seal->key);
    sodium_bin2base64(text, text_size, sealed, size, TEXT);
    return mn_span(text, text_size - 1);
}

bool front_seal_open(const struct front_seal *seal, enum front_seal_kind kind,
                     struct mn_span binding, struct mn_span text, struct mn_arena *arena,
                     struct mn_span *ret)
{
    struct mn_span bound = front_seal_bound(arena, kind, binding);
    uint8_t *sealed = mn_arena_alloc(arena, text.size + 1);
    uint8_t *opened = mn_arena_alloc(arena, text.size + 1);
    size_t size;

    if (sodium_base642bin(sealed, text.size, (const char *)text.data, text.size, NULL, &size, NULL,
                          TEXT) != 0 ||
        size < NONCE_SIZE + TAG_SIZE)
        return false;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed + NONCE_SIZE,
                                                   size - NONCE_SIZE, bound.data, bound.size,
                                                   sealed, seal->key) != 0)
        return false;
    *ret = mn_span(opened, size - NONCE_SIZE - TAG_SIZE);
    return true;
}
