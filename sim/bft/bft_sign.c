/* Signatures as the simulator models them: a keyed hash that only the world can make, under the
 * names of crypto/sign.h. What the cores rely on holds: nobody signs for a key it does not have
 * (liars go through sign_make() too), and one changed bit is refused. */
#include <sodium.h>
#include <string.h>

#include "crypto/sign.h"

static const char *const tags[] = {
#define X(name, text) text,
    SIGN_TAG_LIST(X)
#undef X
};

static void model(const uint8_t pk[SIGN_PK_SIZE], enum sign_tag tag, const mn_id *mesh_id,
                  struct mn_span body, uint8_t ret[SIGN_SIZE])
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, pk, SIGN_PK_SIZE, SIGN_SIZE);
    crypto_generichash_blake2b_update(&state, (const uint8_t *)tags[tag], strlen(tags[tag]) + 1);
    if (mesh_id != NULL)
        crypto_generichash_blake2b_update(&state, mesh_id->bytes, sizeof mesh_id->bytes);
    crypto_generichash_blake2b_update(&state, body.data, body.size);
    crypto_generichash_blake2b_final(&state, ret, SIGN_SIZE);
}

void sign_key_init(struct sign_key *key, const uint8_t seed[SIGN_SEED_SIZE])
{
    crypto_generichash_blake2b(key->pk, sizeof key->pk, seed, SIGN_SEED_SIZE, NULL, 0);
    memcpy(key->sk, seed, SIGN_SEED_SIZE);
    memcpy(key->sk + SIGN_SEED_SIZE, key->pk, SIGN_PK_SIZE);
}

void sign_key_done(struct sign_key *key)
{
    sodium_memzero(key->sk, sizeof key->sk);
}

void sign_make(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
               struct mn_span body, uint8_t ret[SIGN_SIZE])
{
    model(key->pk, tag, mesh_id, body, ret);
}

mn_status sign_check(const uint8_t pk[SIGN_PK_SIZE], enum sign_tag tag, const mn_id *mesh_id,
                     struct mn_span body, const uint8_t signature[SIGN_SIZE])
{
    uint8_t expected[SIGN_SIZE];

    model(pk, tag, mesh_id, body, expected);
    return memcmp(expected, signature, SIGN_SIZE) == 0 ? MN_OK : MN_BAD_SIGNATURE;
}
