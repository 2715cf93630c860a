#include "crypto/sign.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define TAG(text) "meshnode/1/" text

_Static_assert(SIGN_SEED_SIZE == crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert(SIGN_PK_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SIGN_SIZE == crypto_sign_BYTES, "Ed25519");

/* Ed25519 hashes its message twice, so it must lie in one piece. Documents and records fit the
 * stack. */
struct message {
    uint8_t small[2304];
    uint8_t *bytes;
    size_t size;
};

static struct mn_span sign_tag_bytes(enum sign_tag tag)
{
    struct mn_span bytes = {NULL, 0};

    switch (tag) {
#define X(name, text) \
    case SIGN_##name: bytes = mn_span(TAG(text), sizeof TAG(text)); break; /* with its NUL */
        SIGN_TAG_LIST(X)
#undef X
    }
    MN_ASSERT(bytes.data != NULL);
    return bytes;
}

static void message_init(struct message *message, enum sign_tag tag, const mn_id *mesh_id,
                         struct mn_span body)
{
    static const mn_id no_mesh;
    struct mn_span tag_bytes = sign_tag_bytes(tag);
    uint8_t *to;

    message->size = tag_bytes.size + sizeof no_mesh.bytes + body.size;
    message->bytes = message->small;
    if (message->size > sizeof message->small) message->bytes = mn_alloc(message->size);
    to = message->bytes;
    memcpy(to, tag_bytes.data, tag_bytes.size);
    to += tag_bytes.size;
    memcpy(to, (mesh_id == NULL ? &no_mesh : mesh_id)->bytes, sizeof no_mesh.bytes);
    to += sizeof no_mesh.bytes;
    if (body.size > 0) memcpy(to, body.data, body.size);
}

static void message_done(struct message *message)
{
    if (message->bytes != message->small) mn_free(message->bytes);
}

void sign_key_init(struct sign_key *key, const uint8_t seed[SIGN_SEED_SIZE])
{
    int failed = crypto_sign_seed_keypair(key->pk, key->sk, seed);

    MN_ASSERT(failed == 0);
}

void sign_key_done(struct sign_key *key)
{
    sodium_memzero(key->sk, sizeof key->sk);
}

void sign_make(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
               struct mn_span body, uint8_t ret[SIGN_SIZE])
{
    struct message message;
    int failed;

    message_init(&message, tag, mesh_id, body);
    failed = crypto_sign_detached(ret, NULL, message.bytes, message.size, key->sk);
    MN_ASSERT(failed == 0);
    message_done(&message);
}

mn_status sign_check(const uint8_t pk[SIGN_PK_SIZE], enum sign_tag tag, const mn_id *mesh_id,
                     struct mn_span body, const uint8_t signature[SIGN_SIZE])
{
    struct message message;
    int failed;

    message_init(&message, tag, mesh_id, body);
    failed = crypto_sign_verify_detached(signature, message.bytes, message.size, pk);
    message_done(&message);
    return failed == 0 ? MN_OK : MN_BAD_SIGNATURE;
}
