/* digest.h: hashes and derived keys, always with a domain tag.
 *
 * H_n(tag, parts) is BLAKE2b (RFC 7693) with n bits out, unkeyed, over "meshnode/1/<tag>" with its
 * NUL, then the parts; a part of variable size has its size in front as u32. libsodium must have
 * been initialised (sodium_init()) by the program, as for everything in crypto/. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"

/* What is hashed, each with its tag. */
#define DIGEST_TAG_LIST(X)        \
    X(NODE, "node")               \
    X(MESH, "mesh")               \
    X(RING, "ring")               \
    X(KID, "kid")                 \
    X(AUTHORITY, "authority")     \
    X(TOKEN_CHECK, "token-check") \
    X(TOKEN_KEY, "token-key")     \
    X(TOKEN_ID, "token-id")       \
    X(PRINCIPAL, "principal")     \
    X(RECORD, "record")           \
    X(CATALOG, "catalog")         \
    X(OFFER, "offer")             \
    X(REPLICA, "replica")         \
    X(BEARER, "bearer")           \
    X(WORDS, "words")             \
    X(TOOL, "tool")               \
    X(CTX, "ctx")                 \
    X(MESH_KEY, "mesh-key")       \
    X(DECISION, "decision")       \
    X(MEMBERS, "members")         \
    X(INSTANCE, "instance")       \
    X(LEADER, "leader")           \
    X(BLOCK, "block")             \
    X(VALUE, "value")             \
    X(TRUST_ITEM, "trust-item")   \
    X(DEFINITION, "definition")   \
    X(STATE, "state")             \
    X(SESSION, "session")         \
    X(ORPHAN, "orphan")           \
    X(RESCUE, "rescue")

enum digest_tag {
#define X(name, text) DIGEST_##name,
    DIGEST_TAG_LIST(X)
#undef X
};

#define DIGEST_SIZE_MAX 64

struct digest {
    crypto_generichash_blake2b_state state;
    size_t size; /* bytes out */
};

/* [size] is 8, 16, 32 or 64 bytes. */
void digest_begin(struct digest *digest, enum digest_tag tag, size_t size);

/* A part whose size the format fixes: hashed as it is. */
void digest_fixed(struct digest *digest, struct mn_span part);

/* A part of variable size (below 4 GiB): its u32 size goes in front. */
void digest_variable(struct digest *digest, struct mn_span part);

/* Writes the [size] bytes asked for at the beginning. */
void digest_end(struct digest *digest, uint8_t *ret);

/* H_n(tag, part) of a single part of fixed size. */
void digest_one(enum digest_tag tag, struct mn_span part, uint8_t *ret, size_t size);

#define DIGEST_PK_SIZE 32
#define DIGEST_KID_SIZE 8
#define DIGEST_PIN_SIZE 16

/* UUIDv8 of H_128(node, sign_pk): an id cannot be claimed without its key. */
mn_id digest_node_id(const uint8_t sign_pk[DIGEST_PK_SIZE]);

/* H_128(mesh, pk of the first root). */
mn_id digest_mesh_id(const uint8_t root_pk[DIGEST_PK_SIZE]);

/* H_128(token-id, token_pk). */
mn_id digest_token_id(const uint8_t token_pk[DIGEST_PK_SIZE]);

/* H_64(kid, pk): for lookup, never an identity. */
void digest_key_id(const uint8_t pk[DIGEST_PK_SIZE], uint8_t ret[DIGEST_KID_SIZE]);

/* H_64(ring, node id): the place on the ring. */
uint64_t digest_ring_id(const mn_id *node);

/* KDF(key, index, context) = libsodium's crypto_kdf: 32 bytes. [context]: exactly 8 characters. */
void digest_kdf(const uint8_t key[32], uint64_t index, const char *context, uint8_t ret[32]);

#endif
