/* meshkey.h: the announcement of a mesh key. An issuer draws 32 random bytes and signs what they
 * are for, how long they serve and a commitment to them; the announcement is for everybody, the
 * bytes go from neighbour to neighbour inside links. Two kinds: `seal` for strings that clients
 * carry (crypto/sealed.h), a new one each day; `recon` for hashes of stored items, long-lived. */
#ifndef MESHKEY_H
#define MESHKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define MESHKEY_SIZE_MAX 256 /* bytes, signature included */
#define MESHKEY_SECRET_SIZE 32
#define MESHKEY_COMMIT_SIZE 32
#define MESHKEY_HASH_SIZE 32
#define MESHKEY_SEAL_MS ((uint64_t)48 * 3600 * 1000)     /* seals at most this long */
#define MESHKEY_OPEN_MS ((uint64_t)9 * 24 * 3600 * 1000) /* opens at most this long */

enum meshkey_kind { MESHKEY_SEAL = 1, MESHKEY_RECON };

struct meshkey {
    uint32_t key_id;
    enum meshkey_kind kind;
    uint8_t commit[MESHKEY_COMMIT_SIZE];
    uint64_t created_ms, seal_until_ms, open_until_ms; /* wall; both ends 0: a recon key */
    bool is_after_revocation;
    uint8_t after_revocation[MESHKEY_HASH_SIZE]; /* hash of that Revocation */
    uint8_t issuer[SIGN_PK_SIZE];

    struct mn_span body; /* set by meshkey_decode(); borrowed */
    uint8_t signature[SIGN_SIZE];
};

/* H_256(mesh-key, mesh_id, secret). */
void meshkey_commit(const mn_id *mesh_id, const uint8_t secret[MESHKEY_SECRET_SIZE],
                    uint8_t ret[MESHKEY_COMMIT_SIZE]);

/* Signs the plain fields; fills in issuer. The caller owns the ref. */
struct mn_buf *meshkey_sign(struct meshkey *meshkey, const mn_id *mesh_id,
                            const struct sign_key *issuer);

/* Form only: a seal key ends within the times above, a recon key never. MN_MALFORMED, MN_TOO_BIG.
 */
MN_MUST_USE mn_status meshkey_decode(struct mn_span bytes, struct meshkey *ret);

/* Pure: MN_UNKNOWN_ISSUER, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status meshkey_check(const struct meshkey *meshkey,
                                    const struct authority *authority);

#endif
