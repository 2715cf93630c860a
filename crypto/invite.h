/* invite.h: what admits by token. The mesh keeps an Invite (the token's public half, what it is
 * worth, signed by its home issuer); a joiner proves with a JOIN that it knows the secret half. A
 * token made before its mesh vouches for it with a Found, signed by the token's own key. */
#ifndef INVITE_H
#define INVITE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define INVITE_SIZE_MAX 384
#define INVITE_FOUND_SIZE_MAX 128
#define INVITE_WITHDRAW_SIZE_MAX 160
#define INVITE_USES_MAX 1000
#define INVITE_TTL_MAX_MS ((uint64_t)30 * 86400 * 1000)

struct invite {
    mn_id token_id;
    uint8_t token_pk[SIGN_PK_SIZE];
    uint32_t uses; /* 0: unlimited */
    uint64_t created_ms, not_after_ms;
    grant_role role_max;
    bool issuer_eligible;
    char name[GRANT_NAME_SIZE];     /* not empty: the joiner gets this one */
    char region[GRANT_REGION_SIZE]; /* likewise */
    uint8_t home[SIGN_PK_SIZE];     /* the issuer that signed and redeems it */

    struct mn_span body; /* set by invite_decode(); borrowed */
    uint8_t signature[SIGN_SIZE];
};

/* Signs the plain fields with the home issuer's key; fills in home. The caller owns the ref. */
struct mn_buf *invite_sign(struct invite *invite, const mn_id *mesh_id,
                           const struct sign_key *issuer);

/* Form only. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status invite_decode(struct mn_span bytes, struct invite *ret);

/* Pure: MN_UNKNOWN_ISSUER, MN_BAD_SIGNATURE, MN_EXPIRED. Uses are the issuer's to count. */
MN_MUST_USE mn_status invite_check(const struct invite *invite, const struct authority *authority,
                                   uint64_t wall_ms);

/* Found{mesh_id, genesis pin} under the token's key. */
struct invite_found {
    mn_id mesh_id;
    uint8_t genesis_pin[DIGEST_PIN_SIZE];
};

struct mn_buf *invite_found_sign(const struct invite_found *found, const struct sign_key *token);

/* MN_MALFORMED, MN_TOO_BIG, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status invite_found_check(struct mn_span bytes, const uint8_t token_pk[SIGN_PK_SIZE],
                                         struct invite_found *ret);

/* Withdraw{token_id, at}: the token admits nobody any more. */
struct invite_withdraw {
    mn_id token_id;
    uint64_t at_ms;
    uint8_t issuer[SIGN_PK_SIZE]; /* who signed it; filled in */
};

struct mn_buf *invite_withdraw_sign(const struct invite_withdraw *withdraw, const mn_id *mesh_id,
                                    const struct sign_key *issuer);
/* Form only. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status invite_withdraw_decode(struct mn_span bytes, struct invite_withdraw *ret);

/* That, and MN_UNKNOWN_ISSUER, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status invite_withdraw_check(struct mn_span bytes, const struct authority *authority,
                                            struct invite_withdraw *ret);

/* ---- JOIN ---- */

#define INVITE_JOIN_SIZE_MAX 1280
#define INVITE_JOIN_HASH_SIZE 32 /* of the handshake hash: binds a JOIN to its link */

struct invite_join {
    mn_id mesh_id;
    uint8_t sign_pk[SIGN_PK_SIZE], noise_pk[IDENTITY_NOISE_SIZE];
    uint8_t handshake[INVITE_JOIN_HASH_SIZE];
    mn_id token_id; /* zero: without a token */
    char name[GRANT_NAME_SIZE];
    char region[GRANT_REGION_SIZE];
    grant_role role;
    mn_id nonce;
    bool is_renewal;

    struct mn_span grant; /* renewal: the Signed Grant that is to be replaced, or empty */

    struct mn_span body; /* set by invite_join_decode() */
    uint8_t sig_node[SIGN_SIZE], sig_token[SIGN_SIZE], token_pk[SIGN_PK_SIZE];
};

/* Builds the message from the plain fields; keys come from [self], token_id from [token] (NULL:
 * without). The caller owns the ref. */
struct mn_buf *invite_join_make(struct invite_join *join, const struct identity *self,
                                const struct sign_key *token);

/* Form only; what [ret] points to is in [arena]. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status invite_join_decode(struct mn_span bytes, struct mn_arena *arena,
                                         struct invite_join *ret);

/* Pure: both signatures, and the mesh. [handshake] NULL skips the binding to the link: an issuer
 * trusts its sponsor for that. MN_WRONG_MESH, MN_STATE (made for another link), MN_BAD_SIGNATURE.
 */
MN_MUST_USE mn_status invite_join_check(const struct invite_join *join, const mn_id *mesh_id,
                                        const uint8_t *handshake);

#endif
