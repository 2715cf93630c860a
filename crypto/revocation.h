/* revocation.h: what throws somebody out for ever, by one issuer. Of a node: by its id, so that
 * neither another grant nor a renewed one helps it. Of a token: nobody comes by it any more, and
 * if asked for, all who came by it are out as well. */
#ifndef REVOCATION_H
#define REVOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define REVOCATION_SIZE_MAX 320   /* bytes, signature included */
#define REVOCATION_REASON_SIZE 65 /* with its NUL */

struct revocation {
    mn_id node_id, token_id; /* exactly one is not zero */
    bool nodes;              /* of a token: all nodes that came by it, too */
    uint64_t at_ms;
    char reason[REVOCATION_REASON_SIZE]; /* printable ASCII, for people; may be empty */
    uint8_t issuer[SIGN_PK_SIZE];

    struct mn_span body; /* set by revocation_decode(); borrowed */
    uint8_t signature[SIGN_SIZE];
};

/* Signs the plain fields; fills in issuer. The caller owns the ref. */
struct mn_buf *revocation_sign(struct revocation *revocation, const mn_id *mesh_id,
                               const struct sign_key *issuer);

/* Printable ASCII of at most 64 characters, or empty. */
bool revocation_reason_is_valid(struct mn_span reason);

/* Form only. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status revocation_decode(struct mn_span bytes, struct revocation *ret);

/* Pure: MN_UNKNOWN_ISSUER, MN_BAD_SIGNATURE; MN_DENIED: it names an issuer of [authority], which
 * only a new authority document can put out; it counts once that has. */
MN_MUST_USE mn_status revocation_check(const struct revocation *revocation,
                                       const struct authority *authority);

#endif
