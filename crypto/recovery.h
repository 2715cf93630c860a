/* recovery.h: what lets a consensus group go on that has lost its quorum for good: one node shall
 * begin it anew from its own log, as a group with a higher epoch, and whoever was in the old one
 * lets go of it. Signed by one issuer, at the word of an operator who has seen what may be lost. */
#ifndef RECOVERY_H
#define RECOVERY_H

#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define RECOVERY_SIZE_MAX 1024 /* bytes, signature included */
#define RECOVERY_LOST_MAX 16u

struct recovery {
    uint64_t epoch;                 /* of the new group; rises */
    mn_id node;                     /* begins it */
    uint64_t last_index, last_term; /* of its log, at least: what the operator was shown */
    mn_id lost[RECOVERY_LOST_MAX];  /* voters that are given up */
    uint32_t lost_count;
    uint64_t at_ms;
    uint8_t issuer[SIGN_PK_SIZE];

    struct mn_span body; /* set by recovery_decode(); borrowed */
    uint8_t signature[SIGN_SIZE];
};

/* Signs the plain fields; fills in issuer. The caller owns the ref. */
struct mn_buf *recovery_sign(struct recovery *recovery, const mn_id *mesh_id,
                             const struct sign_key *issuer);

/* Form only. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status recovery_decode(struct mn_span bytes, struct recovery *ret);

/* Pure: MN_UNKNOWN_ISSUER, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status recovery_check(const struct recovery *recovery,
                                     const struct authority *authority);

#endif
