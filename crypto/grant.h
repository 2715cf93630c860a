/* grant.h: the right to be a member: a signed, expiring permission for one node key. It travels in
 * HELLO and in the member record as the bytes that the issuer signed. */
#ifndef GRANT_H
#define GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/digest.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"
#include "proto/trust.pb-c.h"

#define GRANT_SIZE_MAX 320 /* bytes, signature included */
#define GRANT_NAME_SIZE 64 /* a name is [a-z0-9-]{1,63}, with its NUL */
#define GRANT_REGION_SIZE 33
#define GRANT_TOLERANCE_MS ((uint64_t)5 * 60 * 1000) /* between clocks of honest nodes */

typedef Meshnode__Trust__Role grant_role; /* AUTO, EDGE, LEARNER, VOTER */
typedef Meshnode__Trust__Via grant_via;

struct grant {
    mn_id mesh_id, serial, node_id; /* node_id follows from sign_pk */
    uint8_t sign_pk[SIGN_PK_SIZE];
    char name[GRANT_NAME_SIZE];
    char region[GRANT_REGION_SIZE]; /* may be empty */
    grant_role role_max;
    bool issuer_eligible;
    uint64_t not_before_ms, not_after_ms; /* wall clock */
    uint8_t issuer[DIGEST_KID_SIZE];
    uint64_t authority_version;
    grant_via via;
    mn_id token_id; /* zero: none */

    /* Set by grant_decode(): what was signed, inside the bytes it was decoded from. */
    struct mn_span body;
    uint8_t signature[SIGN_SIZE];
};

/* Node ids and tokens that were revoked, as one node knows them. NULL stands for none. */
struct grant_revoked {
    bool (*has_node)(const void *set, const mn_id *node);
    bool (*has_token)(const void *set, const mn_id *token);
    const void *set;
};

/* [a-z0-9-]{1,63}; region: the same, at most 32 or empty. */
bool grant_name_is_valid(struct mn_span name);
bool grant_region_is_valid(struct mn_span region);

/* "voter", "learner", "edge", "auto"; MN_MALFORMED for other words. */
const char *grant_role_name(grant_role role);
MN_MUST_USE mn_status grant_role_parse(struct mn_span text, grant_role *ret);

/* May someone with a token or grant up to [max] act as [role]? edge < learner < auto < voter. */
bool grant_role_allows(grant_role max, grant_role role);

/* Signs the plain fields with an issuer's key, whose key id it fills in. The caller owns the ref.
 */
struct mn_buf *grant_sign(struct grant *grant, const struct sign_key *issuer);

/* Decodes and checks the form only; [bytes] are borrowed by ret->body. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status grant_decode(struct mn_span bytes, struct grant *ret);

/* By its node id, or with all that came by its token. The latter does not touch an issuer: one of
 * them would put out the others with the token that they all came by. */
bool grant_is_revoked(const struct grant *grant, const struct authority *authority,
                      const struct grant_revoked *revoked);

/* Pure, and the one place where grants are judged: HELLO, every record, renewal, the timer at
 * expiry. [wall_ms] is the local wall clock.
 * MN_WRONG_MESH; MN_NOT_FOUND: made under a newer authority than [authority], pull the chain once;
 * MN_UNKNOWN_ISSUER: the signer is no issuer, or was retired before; MN_BAD_SIGNATURE; MN_REVOKED;
 * MN_NOT_YET; MN_EXPIRED (GRANT_TOLERANCE_MS after its end). */
MN_MUST_USE mn_status grant_check(const struct grant *grant, const struct authority *authority,
                                  const struct grant_revoked *revoked, uint64_t wall_ms);

/* Everything of grant_check() but the end of its life: what a renewal stands on. */
MN_MUST_USE mn_status grant_check_any_age(const struct grant *grant,
                                          const struct authority *authority,
                                          const struct grant_revoked *revoked, uint64_t wall_ms);

#endif
