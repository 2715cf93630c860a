/* sign.h: signatures. Sign(key, tag, body) is Ed25519 (RFC 8032) over "meshnode/1/<tag>" with its
 * NUL, the mesh id (16 bytes; zeros where no mesh exists yet), and the exact bytes of the body as
 * they travel. Every signed type has its own tag, so no signature can be taken for another's. */
#ifndef SIGN_H
#define SIGN_H

#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define SIGN_TAG_LIST(X)            \
    X(STATIC, "static")             \
    X(AUTHORITY, "authority")       \
    X(GRANT, "grant")               \
    X(INVITE, "invite")             \
    X(FOUND, "found")               \
    X(WITHDRAW, "withdraw")         \
    X(JOIN, "join")                 \
    X(JOIN_TOKEN, "join-token")     \
    X(RENEW, "renew")               \
    X(REVOKE, "revoke")             \
    X(MESH_KEY, "mesh-key")         \
    X(RECOVERY, "recovery")         \
    X(RECORD, "record")             \
    X(ACCUSE, "accuse")             \
    X(CATALOG, "catalog")           \
    X(BROADCAST, "broadcast")       \
    X(DECISION, "decision")         \
    X(BALLOT, "ballot")             \
    X(METRICS, "metrics")           \
    X(BFT_PROPOSAL, "bft-proposal") \
    X(BFT_VOTE, "bft-vote")         \
    X(BFT_FINAL, "bft-final")

enum sign_tag {
#define X(name, text) SIGN_##name,
    SIGN_TAG_LIST(X)
#undef X
};

#define SIGN_SEED_SIZE 32
#define SIGN_PK_SIZE 32
#define SIGN_SIZE 64

/* A key pair as libsodium keeps it: sk = seed and pk. */
struct sign_key {
    uint8_t pk[SIGN_PK_SIZE];
    uint8_t sk[64];
};

void sign_key_init(struct sign_key *key, const uint8_t seed[SIGN_SEED_SIZE]);

/* Wipes the secret half. */
void sign_key_done(struct sign_key *key);

/* [mesh_id] NULL: zeros. */
void sign_make(const struct sign_key *key, enum sign_tag tag, const mn_id *mesh_id,
               struct mn_span body, uint8_t ret[SIGN_SIZE]);

/* MN_BAD_SIGNATURE also for keys of small order and for signatures that are not in their one
 * canonical form. */
MN_MUST_USE mn_status sign_check(const uint8_t pk[SIGN_PK_SIZE], enum sign_tag tag,
                                 const mn_id *mesh_id, struct mn_span body,
                                 const uint8_t signature[SIGN_SIZE]);

#endif
