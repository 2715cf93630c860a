#include "crypto/digest.h"

#include <string.h>

#include "proto/base/check.h"

#define TAG(text) "meshnode/1/" text

static struct mn_span digest_tag_bytes(enum digest_tag tag)
{
    struct mn_span bytes = {NULL, 0};

    switch (tag) {
#define X(name, text) \
    case DIGEST_##name: bytes = mn_span(TAG(text), sizeof TAG(text)); break; /* with its NUL */
        DIGEST_TAG_LIST(X)
#undef X
    }
    MN_ASSERT(bytes.data != NULL);
    return bytes;
}

void digest_begin(struct digest *digest, enum digest_tag tag, size_t size)
{
    int failed;

    MN_ASSERT(size == 8 || size == 16 || size == 32 || size == DIGEST_SIZE_MAX);
    digest->size = size;
    failed = crypto_generichash_blake2b_init(&digest->state, NULL, 0, size);
    MN_ASSERT(failed == 0);
    digest_fixed(digest, digest_tag_bytes(tag));
}

void digest_fixed(struct digest *digest, struct mn_span part)
{
    int failed = crypto_generichash_blake2b_update(&digest->state, part.data, part.size);

    MN_ASSERT(failed == 0);
}

void digest_variable(struct digest *digest, struct mn_span part)
{
    uint8_t size[4];

    MN_ASSERT(part.size <= UINT32_MAX);
    mn_store_u32(size, (uint32_t)part.size);
    digest_fixed(digest, mn_span(size, sizeof size));
    digest_fixed(digest, part);
}

void digest_end(struct digest *digest, uint8_t *ret)
{
    int failed = crypto_generichash_blake2b_final(&digest->state, ret, digest->size);

    MN_ASSERT(failed == 0);
    sodium_memzero(digest, sizeof *digest);
}

void digest_one(enum digest_tag tag, struct mn_span part, uint8_t *ret, size_t size)
{
    struct digest digest;

    digest_begin(&digest, tag, size);
    digest_fixed(&digest, part);
    digest_end(&digest, ret);
}

static mn_id digest_id(enum digest_tag tag, const uint8_t pk[DIGEST_PK_SIZE])
{
    mn_id id;

    digest_one(tag, mn_span(pk, DIGEST_PK_SIZE), id.bytes, sizeof id.bytes);
    return id;
}

mn_id digest_node_id(const uint8_t sign_pk[DIGEST_PK_SIZE])
{
    mn_id id = digest_id(DIGEST_NODE, sign_pk);

    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80); /* RFC 9562: version 8 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* and variant */
    return id;
}

mn_id digest_mesh_id(const uint8_t root_pk[DIGEST_PK_SIZE])
{
    return digest_id(DIGEST_MESH, root_pk);
}

mn_id digest_token_id(const uint8_t token_pk[DIGEST_PK_SIZE])
{
    return digest_id(DIGEST_TOKEN_ID, token_pk);
}

void digest_key_id(const uint8_t pk[DIGEST_PK_SIZE], uint8_t ret[DIGEST_KID_SIZE])
{
    digest_one(DIGEST_KID, mn_span(pk, DIGEST_PK_SIZE), ret, DIGEST_KID_SIZE);
}

uint64_t digest_ring_id(const mn_id *node)
{
    uint8_t place[8];

    digest_one(DIGEST_RING, mn_span(node->bytes, sizeof node->bytes), place, sizeof place);
    return mn_load_u64(place);
}

void digest_kdf(const uint8_t key[32], uint64_t index, const char *context, uint8_t ret[32])
{
    int failed;

    MN_ASSERT(strlen(context) == crypto_kdf_CONTEXTBYTES);
    failed = crypto_kdf_derive_from_key(ret, 32, index, context, key);
    MN_ASSERT(failed == 0);
}
