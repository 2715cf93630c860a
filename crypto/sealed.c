#include "crypto/sealed.h"

#include <sodium.h>

#include "crypto/digest.h"
#include "proto/base/check.h"

#define HEADER_SIZE 10
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define MAC_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define OVERHEAD (HEADER_SIZE + NONCE_SIZE + MAC_SIZE)
#define VERSION 1

static const char sealed_tag[] = "meshnode/1/sealed";

#define AAD_SIZE (sizeof sealed_tag + 16 + HEADER_SIZE + 16 + 16)

_Static_assert(NONCE_SIZE == 24 && MAC_SIZE == 16, "the format says so");

static const struct {
    size_t text_max, block;
} sealed_kinds[] = {
    [SEALED_SESSION] = {256, 32},
    [SEALED_CURSOR] = {512, 32},
    [SEALED_REQUEST_STATE] = {16384, 128},
    [SEALED_TASK] = {1024, 32},
    [SEALED_UPSTREAM_STATE] = {SEALED_TEXT_MAX, 128},
};

#define KINDS_COUNT (sizeof sealed_kinds / sizeof sealed_kinds[0])

size_t sealed_text_max(enum sealed_what what)
{
    return (size_t)what < KINDS_COUNT ? sealed_kinds[what].text_max : 0;
}

/* Padding adds 1 byte to a whole block. */
size_t sealed_plain_max(enum sealed_what what)
{
    size_t text_max = sealed_text_max(what), bytes_max = text_max / 4 * 3;

    if (text_max == 0) return 0;
    return (bytes_max - OVERHEAD) / sealed_kinds[what].block * sealed_kinds[what].block - 1;
}

/* ---- contexts ---- */

static mn_id sealed_context(struct mn_span first, struct mn_span second)
{
    struct digest digest;
    mn_id context;

    digest_begin(&digest, DIGEST_CTX, sizeof context.bytes);
    digest_variable(&digest, first);
    digest_variable(&digest, second);
    digest_end(&digest, context.bytes);
    return context;
}

mn_id sealed_context_list(struct mn_span path, struct mn_span method)
{
    return sealed_context(path, method);
}

mn_id sealed_context_request(struct mn_span method, struct mn_span params)
{
    return sealed_context(method, params);
}

/* ---- the two keys and the nonce ---- */

static void sealed_write_aad(const struct sealed_scope *scope, const uint8_t *header,
                             uint8_t aad[AAD_SIZE])
{
    uint8_t *at = aad;

    memcpy(at, sealed_tag, sizeof sealed_tag);
    at += sizeof sealed_tag;
    memcpy(at, scope->mesh_id.bytes, 16);
    memcpy(at + 16, header, HEADER_SIZE);
    at += 16 + HEADER_SIZE;
    memcpy(at, scope->principal.bytes, 16);
    memcpy(at + 16, scope->context.bytes, 16);
    MN_ASSERT(at + 32 == aad + AAD_SIZE);
}

static void sealed_make_nonce(const uint8_t *key, enum sealed_what what, const uint8_t *aad,
                              struct mn_span padded, uint8_t nonce[NONCE_SIZE])
{
    crypto_generichash_blake2b_state state;
    uint8_t nonce_key[32];

    digest_kdf(key, 2 * (uint64_t)what + 1, "mn-seal_", nonce_key);
    crypto_generichash_blake2b_init(&state, nonce_key, sizeof nonce_key, NONCE_SIZE);
    crypto_generichash_blake2b_update(&state, aad, AAD_SIZE);
    crypto_generichash_blake2b_update(&state, padded.data, padded.size);
    crypto_generichash_blake2b_final(&state, nonce, NONCE_SIZE);
    sodium_memzero(nonce_key, sizeof nonce_key);
    sodium_memzero(&state, sizeof state);
}

/* ---- sealing ---- */

static struct mn_span sealed_encode(const uint8_t *bytes, size_t size, struct mn_arena *arena)
{
    size_t text_size =
        sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING); /* with NUL */
    char *text = mn_arena_alloc(arena, text_size);

    sodium_bin2base64(text, text_size, bytes, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return mn_span(text, text_size - 1);
}

mn_status sealed_make(const struct sealed_scope *scope, const uint8_t key[SEALED_KEY_SIZE],
                      uint32_t key_id, uint32_t expires_s, struct mn_span plain,
                      struct mn_arena *arena, struct mn_span *ret)
{
    uint8_t aad[AAD_SIZE], seal_key[32], *bytes, *padded;
    size_t block, padded_size;

    MN_ASSERT(sealed_text_max(scope->what) > 0);
    if (plain.size > sealed_plain_max(scope->what)) return MN_TOO_BIG;
    block = sealed_kinds[scope->what].block;
    bytes = mn_arena_alloc(arena, OVERHEAD + plain.size + block);
    padded = bytes + HEADER_SIZE + NONCE_SIZE;
    if (plain.size > 0) memcpy(padded, plain.data, plain.size);
    if (sodium_pad(&padded_size, padded, plain.size, block, plain.size + block) != 0)
        return MN_TOO_BIG;

    bytes[0] = VERSION;
    bytes[1] = (uint8_t)scope->what;
    mn_store_u32(bytes + 2, key_id);
    mn_store_u32(bytes + 6, expires_s);
    sealed_write_aad(scope, bytes, aad);
    sealed_make_nonce(key, scope->what, aad, mn_span(padded, padded_size), bytes + HEADER_SIZE);
    digest_kdf(key, 2 * (uint64_t)scope->what, "mn-seal_", seal_key);
    crypto_aead_xchacha20poly1305_ietf_encrypt(padded, NULL, padded, padded_size, aad, sizeof aad,
                                               NULL, bytes + HEADER_SIZE, seal_key);
    sodium_memzero(seal_key, sizeof seal_key);
    *ret = sealed_encode(bytes, OVERHEAD + padded_size, arena);
    MN_ASSERT(ret->size <= sealed_text_max(scope->what));
    return MN_OK;
}

/* ---- opening ---- */

/* libsodium 1.0.18 takes some bytes above 127 for letters (its decoder reads a signed char). */
static bool sealed_is_base64url(struct mn_span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
    }
    return true;
}

static mn_status sealed_decode(struct mn_span text, uint8_t *bytes, size_t size, size_t *ret_size)
{
    if (!sealed_is_base64url(text)) return MN_MALFORMED;
    if (sodium_base642bin(bytes, size, (const char *)text.data, text.size, NULL, ret_size, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return MN_MALFORMED;
    return MN_OK;
}

static mn_status sealed_read_header(const uint8_t *bytes, enum sealed_what what,
                                    struct sealed_header *ret)
{
    if (bytes[0] != VERSION || bytes[1] != (uint8_t)what) return MN_MALFORMED;
    *ret = (struct sealed_header){what, mn_load_u32(bytes + 2), mn_load_u32(bytes + 6)};
    return MN_OK;
}

mn_status sealed_peek(struct mn_span text, enum sealed_what what, struct sealed_header *ret)
{
    uint8_t bytes[12]; /* 16 characters: whole groups, with the header in front */
    size_t size;
    mn_status status;

    if (text.size > sealed_text_max(what)) return MN_TOO_BIG;
    if (text.size < 16) return MN_MALFORMED;
    status = sealed_decode(mn_span(text.data, 16), bytes, sizeof bytes, &size);
    if (status != MN_OK || size != sizeof bytes) return MN_MALFORMED;
    return sealed_read_header(bytes, what, ret);
}

static mn_status sealed_decrypt(uint8_t *bytes, size_t size, const struct sealed_scope *scope,
                                const uint8_t *key, struct mn_span *ret)
{
    uint8_t aad[AAD_SIZE], seal_key[32], nonce[NONCE_SIZE];
    uint8_t *padded = bytes + HEADER_SIZE + NONCE_SIZE;
    size_t padded_size = size - OVERHEAD, plain_size;
    int refused;

    sealed_write_aad(scope, bytes, aad);
    digest_kdf(key, 2 * (uint64_t)scope->what, "mn-seal_", seal_key);
    refused = crypto_aead_xchacha20poly1305_ietf_decrypt(padded, NULL, NULL, padded,
                                                         padded_size + MAC_SIZE, aad, sizeof aad,
                                                         bytes + HEADER_SIZE, seal_key);
    sodium_memzero(seal_key, sizeof seal_key);
    if (refused) return MN_CRYPTO;
    /* Only our own hand makes a valid mac, and it makes the nonce so. */
    sealed_make_nonce(key, scope->what, aad, mn_span(padded, padded_size), nonce);
    if (sodium_memcmp(nonce, bytes + HEADER_SIZE, NONCE_SIZE) != 0) return MN_CRYPTO;
    if (sodium_unpad(&plain_size, padded, padded_size, sealed_kinds[scope->what].block) != 0)
        return MN_CRYPTO;
    *ret = mn_span(padded, plain_size);
    return MN_OK;
}

mn_status sealed_open(struct mn_span text, const struct sealed_scope *scope,
                      const uint8_t key[SEALED_KEY_SIZE], uint64_t wall_ms, struct mn_arena *arena,
                      struct mn_span *ret)
{
    struct sealed_header header;
    size_t size, block;
    uint8_t *bytes;
    mn_status status;

    MN_ASSERT(sealed_text_max(scope->what) > 0);
    status = sealed_peek(text, scope->what, &header);
    if (status != MN_OK) return status;
    block = sealed_kinds[scope->what].block;
    bytes = mn_arena_alloc(arena, text.size);
    status = sealed_decode(text, bytes, text.size, &size);
    if (status != MN_OK) return status;
    if (size < OVERHEAD + block || (size - OVERHEAD) % block != 0) return MN_MALFORMED;
    if (wall_ms / 1000 >= header.expires_s) return MN_EXPIRED;
    return sealed_decrypt(bytes, size, scope, key, ret);
}
