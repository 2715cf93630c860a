/* identity.h: what a node is. One 32-byte seed is the only secret a member must keep; the signing
 * key, the link key and the node id follow from it. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdint.h>

#include "crypto/sign.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define IDENTITY_SEED_SIZE 32
#define IDENTITY_NOISE_SIZE 32

struct identity {
    mn_id node_id;                         /* UUIDv8 made from key.pk */
    struct sign_key key;                   /* Ed25519: the node key */
    uint8_t noise_pk[IDENTITY_NOISE_SIZE]; /* X25519: the link key, number 1 */
    uint8_t noise_sk[IDENTITY_NOISE_SIZE]; /* secret */
    uint8_t static_sig[SIGN_SIZE];         /* the node key's signature over noise_pk */
    uint8_t rest_key[32];                  /* secret: seals what this node writes to its own disk */
};

void identity_init(struct identity *identity, const uint8_t seed[IDENTITY_SEED_SIZE]);

/* Wipes the secrets. */
void identity_done(struct identity *identity);

/* The payload of handshake messages 2 and 3 (LinkIdentity); the caller owns the ref. */
struct mn_buf *identity_link_payload(const struct identity *identity);

/* Reads such a payload and checks that its node key signed [noise_pk], the static key of the
 * handshake. MN_MALFORMED, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status identity_link_check(struct mn_span payload,
                                          const uint8_t noise_pk[IDENTITY_NOISE_SIZE],
                                          uint8_t ret_sign_pk[SIGN_PK_SIZE]);

#endif
