/* record.h: what a member says about itself, signed with its node key under the tag "record", and
 * what members say against each other, signed by the accuser under the tag "accuse". Pure values:
 * decoding checks the form, verifying checks who said it. */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/sign.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define RECORD_SIZE_MAX 1024 /* bytes with the signature */
#define RECORD_ADDRS_MAX 4
#define RECORD_ADDR_SIZE_MAX 128 /* characters of one address */
#define RECORD_ZONE_SIZE_MAX 32  /* characters of a region or zone */
#define RECORD_CATALOG_ROOT_SIZE 16
#define RECORD_WEIGHT_MAX 1000u
#define ACCUSATION_SIZE_MAX 192 /* bytes with the signature; ours have about 130 */

/* What a node says about itself as its owner knows it; the core adds keys and numbers. Texts are
 * borrowed; an address is an opaque printable text without blanks, of 1..128 characters. */
struct record_self {
    struct mn_span addrs[RECORD_ADDRS_MAX];
    uint32_t addrs_count;
    struct mn_span region, zone; /* [a-z0-9-], may be empty */
    grant_role role;
    uint32_t weight; /* wanted where it votes, up to RECORD_WEIGHT_MAX; 0: it does not say */
    uint32_t protocol_min, protocol_max;
    uint64_t catalog_version; /* 0 with a zero root: it offers nothing */
    uint8_t catalog_root[RECORD_CATALOG_ROOT_SIZE];
    uint64_t ring_salt;
    struct mn_span grant; /* the Signed Grant as the issuer made it */
};

/* A decoded record. All spans point into [signed_bytes] or into the memory it was decoded with. */
struct record {
    mn_id node_id; /* follows from sign_pk */
    uint8_t sign_pk[SIGN_PK_SIZE];
    uint64_t incarnation;
    uint32_t seq;
    bool has_left; /* went on purpose */
    mn_id boot_id;
    struct record_self said;
    uint8_t noise_pk[IDENTITY_NOISE_SIZE];
    uint8_t static_sig[SIGN_SIZE];
    struct grant grant;          /* decoded from said.grant; its name is the member's name */
    struct mn_span signed_bytes; /* as they travel */
    struct mn_span body;         /* what is signed */
    uint8_t signature[SIGN_SIZE];
};

/* Numbers that the core adds to what the owner says. */
struct record_numbers {
    uint64_t incarnation;
    uint32_t seq;
    bool has_left;
    mn_id boot_id;
};

/* Signs a record into [arena]. MN_CONFIG: a field is outside its range; MN_TOO_BIG: it would pass
 * RECORD_SIZE_MAX. */
MN_MUST_USE mn_status record_sign(const struct record_self *self,
                                  const struct record_numbers *numbers,
                                  const struct identity *identity, const mn_id *mesh_id,
                                  struct mn_arena *arena, struct mn_span *ret);

/* Decodes and checks the form: sizes, texts, node id from the key, the grant's key is this key, its
 * region and role allow what is said. No signature is checked. [signed_bytes] must live as long as
 * ret; other memory is taken from [arena]. MN_MALFORMED, MN_TOO_BIG, MN_DENIED. */
MN_MUST_USE mn_status record_decode(struct mn_span signed_bytes, struct mn_arena *arena,
                                    struct record *ret);

/* Checks the signatures of subject and link key, and the grant under [authority] (see
 * grant_check(), whose statuses it passes on). MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status record_verify(const struct record *record, const struct authority *authority,
                                    const struct grant_revoked *revoked, uint64_t wall_ms);

/* A copy in one block of [pool] that needs nothing else, for a record that was verified: its body
 * and grant.body are empty, signed_bytes is there to pass on. NULL when the pool is full. Give it
 * back with mn_pool_free(). */
struct record *record_keep(const struct record *record, struct mn_pool *pool);

/* < 0, 0, > 0: a is older than, as new as, newer than b: by incarnation, then that it has left (the
 * last word of an incarnation), then seq. */
int record_compare(const struct record *a, const struct record *b);

enum accusation_kind { ACCUSATION_SUSPECT = 1, ACCUSATION_DEAD = 2 };

struct accusation {
    mn_id subject, accuser;
    uint64_t subject_incarnation, accuser_incarnation;
    enum accusation_kind kind;
    struct mn_span signed_bytes, body;
    uint8_t signature[SIGN_SIZE];
};

/* Signs the plain fields with the accuser's key into [arena], and sets the spans. */
void accusation_sign(struct accusation *accusation, const struct sign_key *accuser,
                     const mn_id *mesh_id, struct mn_arena *arena);

/* Checks the form; see record_decode(). */
MN_MUST_USE mn_status accusation_decode(struct mn_span signed_bytes, struct mn_arena *arena,
                                        struct accusation *ret);

/* [accuser_pk] is the key of the member that it names. */
MN_MUST_USE mn_status accusation_verify(const struct accusation *accusation,
                                        const uint8_t accuser_pk[SIGN_PK_SIZE],
                                        const mn_id *mesh_id);

#endif
