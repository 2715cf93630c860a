#include "crypto/noise.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/check.h"

/* Names follow the Noise specification, section 5. */

#define PROTOCOL "Noise_XX_25519_ChaChaPoly_BLAKE2b"
#define HMAC_BLOCK_SIZE 128 /* BLAKE2b's */

_Static_assert(NOISE_KEY_SIZE == crypto_scalarmult_BYTES, "X25519");
_Static_assert(NOISE_KEY_SIZE == crypto_aead_chacha20poly1305_IETF_KEYBYTES, "ChaChaPoly");
_Static_assert(NOISE_TAG_SIZE == crypto_aead_chacha20poly1305_IETF_ABYTES, "ChaChaPoly");
_Static_assert(NOISE_HASH_SIZE == crypto_generichash_blake2b_BYTES_MAX, "BLAKE2b-512");

/* ---- hash, HMAC, HKDF ---- */

static void noise_hash_two(struct mn_span a, struct mn_span b, uint8_t ret[NOISE_HASH_SIZE])
{
    crypto_generichash_blake2b_state state;
    int failed = crypto_generichash_blake2b_init(&state, NULL, 0, NOISE_HASH_SIZE);

    failed |= crypto_generichash_blake2b_update(&state, a.data, a.size);
    failed |= crypto_generichash_blake2b_update(&state, b.data, b.size);
    failed |= crypto_generichash_blake2b_final(&state, ret, NOISE_HASH_SIZE);
    MN_ASSERT(failed == 0);
    sodium_memzero(&state, sizeof state);
}

/* RFC 2104 over BLAKE2b; keys are never longer than a block here. */
static void noise_hmac(const uint8_t key[NOISE_HASH_SIZE], struct mn_span data,
                       uint8_t ret[NOISE_HASH_SIZE])
{
    uint8_t inner[HMAC_BLOCK_SIZE], outer[HMAC_BLOCK_SIZE], digest[NOISE_HASH_SIZE];

    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < NOISE_HASH_SIZE; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    noise_hash_two(mn_span(inner, sizeof inner), data, digest);
    noise_hash_two(mn_span(outer, sizeof outer), mn_span(digest, sizeof digest), ret);
    sodium_memzero(inner, sizeof inner);
    sodium_memzero(outer, sizeof outer);
    sodium_memzero(digest, sizeof digest);
}

static void noise_hkdf(const uint8_t chaining_key[NOISE_HASH_SIZE], struct mn_span material,
                       uint8_t ret_1[NOISE_HASH_SIZE], uint8_t ret_2[NOISE_HASH_SIZE])
{
    uint8_t temp[NOISE_HASH_SIZE], block[NOISE_HASH_SIZE + 1];

    noise_hmac(chaining_key, material, temp);
    block[0] = 1;
    noise_hmac(temp, mn_span(block, 1), ret_1);
    memcpy(block, ret_1, NOISE_HASH_SIZE);
    block[NOISE_HASH_SIZE] = 2;
    noise_hmac(temp, mn_span(block, sizeof block), ret_2);
    sodium_memzero(temp, sizeof temp);
    sodium_memzero(block, sizeof block);
}

/* ---- CipherState ---- */

/* 4 zero bytes, then the counter, little-endian. */
static void noise_nonce(uint64_t counter, uint8_t ret[crypto_aead_chacha20poly1305_IETF_NPUBBYTES])
{
    memset(ret, 0, crypto_aead_chacha20poly1305_IETF_NPUBBYTES);
    for (unsigned i = 0; i < 8; i++)
        ret[4 + i] = (uint8_t)(counter >> (8 * i));
}

static mn_status noise_encrypt(struct noise_cipher *cipher, struct mn_span ad, const uint8_t *plain,
                               size_t size, uint8_t *sealed)
{
    static const uint8_t nothing;
    uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];
    int failed;

    if (cipher->nonce == NOISE_NONCE_MAX) return MN_STATE;
    if (size == 0) plain = &nothing;
    noise_nonce(cipher->nonce, nonce);
    failed = crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, size, ad.data, ad.size,
                                                       NULL, nonce, cipher->key);
    MN_ASSERT(failed == 0);
    cipher->nonce++;
    return MN_OK;
}

static mn_status noise_decrypt(struct noise_cipher *cipher, struct mn_span ad,
                               const uint8_t *sealed, size_t size, uint8_t *plain)
{
    uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

    if (cipher->nonce == NOISE_NONCE_MAX) return MN_STATE;
    if (size < NOISE_TAG_SIZE) return MN_CRYPTO;
    noise_nonce(cipher->nonce, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed, size, ad.data, ad.size,
                                                  nonce, cipher->key) != 0)
        return MN_CRYPTO;
    cipher->nonce++;
    return MN_OK;
}

mn_status noise_seal(struct noise_cipher *cipher, const uint8_t *plain, size_t size,
                     uint8_t *sealed)
{
    MN_ASSERT(size <= NOISE_PLAIN_MAX);
    return noise_encrypt(cipher, mn_span(NULL, 0), plain, size, sealed);
}

mn_status noise_open(struct noise_cipher *cipher, const uint8_t *sealed, size_t size,
                     uint8_t *plain)
{
    return noise_decrypt(cipher, mn_span(NULL, 0), sealed, size, plain);
}

void noise_rekey(struct noise_cipher *cipher)
{
    static const uint8_t zeros[NOISE_KEY_SIZE];
    uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];
    uint8_t sealed[NOISE_KEY_SIZE + NOISE_TAG_SIZE];
    int failed;

    noise_nonce(NOISE_NONCE_MAX, nonce);
    failed = crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, zeros, sizeof zeros, NULL, 0,
                                                       NULL, nonce, cipher->key);
    MN_ASSERT(failed == 0);
    memcpy(cipher->key, sealed, NOISE_KEY_SIZE);
    sodium_memzero(sealed, sizeof sealed);
}

void noise_cipher_done(struct noise_cipher *cipher)
{
    sodium_memzero(cipher, sizeof *cipher);
}

/* ---- SymmetricState ---- */

static void noise_mix_hash(struct noise *noise, struct mn_span data)
{
    uint8_t hash[NOISE_HASH_SIZE];

    noise_hash_two(mn_span(noise->hash, sizeof noise->hash), data, hash);
    memcpy(noise->hash, hash, sizeof hash);
}

static void noise_mix_key(struct noise *noise, struct mn_span material)
{
    uint8_t chaining_key[NOISE_HASH_SIZE], key[NOISE_HASH_SIZE];

    noise_hkdf(noise->chaining_key, material, chaining_key, key);
    memcpy(noise->chaining_key, chaining_key, sizeof chaining_key);
    memcpy(noise->cipher.key, key, NOISE_KEY_SIZE);
    noise->cipher.nonce = 0;
    noise->has_key = true;
    sodium_memzero(chaining_key, sizeof chaining_key);
    sodium_memzero(key, sizeof key);
}

static mn_status noise_mix_dh(struct noise *noise, const uint8_t *secret, const uint8_t *public)
{
    uint8_t shared[NOISE_KEY_SIZE];

    /* Refuses the all-zero result, which keys of small order lead to. */
    if (crypto_scalarmult(shared, secret, public) != 0) return MN_CRYPTO;
    noise_mix_key(noise, mn_span(shared, sizeof shared));
    sodium_memzero(shared, sizeof shared);
    return MN_OK;
}

/* Bytes that EncryptAndHash adds. */
static size_t noise_tag_size(const struct noise *noise)
{
    return noise->has_key ? NOISE_TAG_SIZE : 0;
}

static mn_status noise_encrypt_and_hash(struct noise *noise, struct mn_span plain, uint8_t *out)
{
    size_t size = plain.size + noise_tag_size(noise);

    if (noise->has_key) {
        mn_status status = noise_encrypt(&noise->cipher, mn_span(noise->hash, sizeof noise->hash),
                                         plain.data, plain.size, out);
        if (status != MN_OK) return status;
    } else if (plain.size > 0) {
        memcpy(out, plain.data, plain.size);
    }
    noise_mix_hash(noise, mn_span(out, size));
    return MN_OK;
}

/* [out] has room for sealed.size - noise_tag_size() bytes and does not overlap [sealed]. */
static mn_status noise_decrypt_and_hash(struct noise *noise, struct mn_span sealed, uint8_t *out)
{
    if (noise->has_key) {
        mn_status status = noise_decrypt(&noise->cipher, mn_span(noise->hash, sizeof noise->hash),
                                         sealed.data, sealed.size, out);
        if (status != MN_OK) return status;
    } else if (sealed.size > 0) {
        memcpy(out, sealed.data, sealed.size);
    }
    noise_mix_hash(noise, sealed);
    return MN_OK;
}

/* ---- HandshakeState: XX ---- */

void noise_init(struct noise *noise, const struct noise_config *config)
{
    int failed;

    memset(noise, 0, sizeof *noise);
    noise->is_initiator = config->is_initiator;
    memcpy(noise->static_sk, config->static_sk, NOISE_KEY_SIZE);
    memcpy(noise->static_pk, config->static_pk, NOISE_KEY_SIZE);
    memcpy(noise->ephemeral_sk, config->ephemeral_sk, NOISE_KEY_SIZE);
    failed = crypto_scalarmult_base(noise->ephemeral_pk, noise->ephemeral_sk);
    MN_ASSERT(failed == 0);

    _Static_assert(sizeof PROTOCOL - 1 <= NOISE_HASH_SIZE, "else the name is hashed");
    memcpy(noise->hash, PROTOCOL, sizeof PROTOCOL - 1);
    memcpy(noise->chaining_key, noise->hash, sizeof noise->chaining_key);
    noise_mix_hash(noise, config->prologue);
}

void noise_done(struct noise *noise)
{
    sodium_memzero(noise, sizeof *noise);
}

bool noise_is_done(const struct noise *noise)
{
    return noise->step == 3 && !noise->has_failed;
}

bool noise_must_write(const struct noise *noise)
{
    return !noise->has_failed && noise->step < 3 && noise->is_initiator == (noise->step % 2 == 0);
}

static bool noise_must_read(const struct noise *noise)
{
    return !noise->has_failed && noise->step < 3 && !noise_must_write(noise);
}

static mn_status noise_mix_ee(struct noise *noise)
{
    return noise_mix_dh(noise, noise->ephemeral_sk, noise->remote_ephemeral);
}

/* es for message 2, se for message 3: always the sender's static with the reader's ephemeral key.
 */
static mn_status noise_mix_sender_static(struct noise *noise, bool is_sender)
{
    if (is_sender) return noise_mix_dh(noise, noise->static_sk, noise->remote_ephemeral);
    return noise_mix_dh(noise, noise->ephemeral_sk, noise->remote_static);
}

static size_t noise_overhead(const struct noise *noise)
{
    static const size_t overhead[3] = {NOISE_OVERHEAD_1, NOISE_OVERHEAD_2, NOISE_OVERHEAD_3};
    return overhead[noise->step];
}

/* The key part of a message; writes it to *[at] and moves on. */
static mn_status noise_write_keys(struct noise *noise, uint8_t **at)
{
    mn_status status = MN_OK;

    if (noise->step < 2) {
        memcpy(*at, noise->ephemeral_pk, NOISE_KEY_SIZE);
        noise_mix_hash(noise, mn_span(*at, NOISE_KEY_SIZE));
        *at += NOISE_KEY_SIZE;
    }
    if (noise->step == 0) return MN_OK;
    if (noise->step == 1) status = noise_mix_ee(noise);
    if (status != MN_OK) return status;
    status = noise_encrypt_and_hash(noise, mn_span(noise->static_pk, NOISE_KEY_SIZE), *at);
    if (status != MN_OK) return status;
    *at += NOISE_KEY_SIZE + NOISE_TAG_SIZE;
    return noise_mix_sender_static(noise, true);
}

mn_status noise_write(struct noise *noise, struct mn_span payload, uint8_t *message,
                      size_t capacity, size_t *ret_size)
{
    uint8_t *at = message;
    size_t size;
    mn_status status;

    if (!noise_must_write(noise)) return MN_STATE;
    if (payload.size > NOISE_MESSAGE_MAX - noise_overhead(noise)) return MN_TOO_BIG;
    size = payload.size + noise_overhead(noise);
    if (size > capacity) return MN_TOO_BIG;

    status = noise_write_keys(noise, &at);
    if (status == MN_OK) status = noise_encrypt_and_hash(noise, payload, at);
    if (status != MN_OK) {
        noise->has_failed = true;
        return status;
    }
    noise->step++;
    *ret_size = size;
    return MN_OK;
}

static mn_status noise_read_keys(struct noise *noise, struct mn_span *message)
{
    mn_status status = MN_OK;
    struct mn_span sealed;

    if (noise->step < 2) {
        memcpy(noise->remote_ephemeral, message->data, NOISE_KEY_SIZE);
        noise_mix_hash(noise, mn_span(message->data, NOISE_KEY_SIZE));
        *message = mn_span(message->data + NOISE_KEY_SIZE, message->size - NOISE_KEY_SIZE);
    }
    if (noise->step == 0) return MN_OK;
    if (noise->step == 1) status = noise_mix_ee(noise);
    if (status != MN_OK) return status;
    sealed = mn_span(message->data, NOISE_KEY_SIZE + NOISE_TAG_SIZE);
    status = noise_decrypt_and_hash(noise, sealed, noise->remote_static);
    if (status != MN_OK) return status;
    *message = mn_span(message->data + sealed.size, message->size - sealed.size);
    return noise_mix_sender_static(noise, false);
}

mn_status noise_read(struct noise *noise, struct mn_span message, uint8_t *payload, size_t capacity,
                     size_t *ret_size)
{
    size_t size;
    mn_status status = MN_OK;

    if (!noise_must_read(noise)) return MN_STATE;
    if (message.size > NOISE_MESSAGE_MAX) status = MN_TOO_BIG;
    if (message.size < noise_overhead(noise)) status = MN_MALFORMED;
    if (status != MN_OK) goto failed;
    size = message.size - noise_overhead(noise);
    if (size > capacity) {
        status = MN_TOO_BIG;
        goto failed;
    }
    status = noise_read_keys(noise, &message);
    if (status == MN_OK) status = noise_decrypt_and_hash(noise, message, payload);
    if (status != MN_OK) goto failed;
    noise->step++;
    *ret_size = size;
    return MN_OK;
failed:
    noise->has_failed = true;
    return status;
}

void noise_split(const struct noise *noise, struct noise_cipher *ret_send,
                 struct noise_cipher *ret_receive)
{
    uint8_t key_1[NOISE_HASH_SIZE], key_2[NOISE_HASH_SIZE];

    MN_ASSERT(noise_is_done(noise));
    noise_hkdf(noise->chaining_key, mn_span(NULL, 0), key_1, key_2);
    memcpy(ret_send->key, noise->is_initiator ? key_1 : key_2, NOISE_KEY_SIZE);
    memcpy(ret_receive->key, noise->is_initiator ? key_2 : key_1, NOISE_KEY_SIZE);
    ret_send->nonce = ret_receive->nonce = 0;
    sodium_memzero(key_1, sizeof key_1);
    sodium_memzero(key_2, sizeof key_2);
}
