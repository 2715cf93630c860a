#include "crypto/recovery.h"

#include "crypto/signed.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

struct mn_buf *recovery_sign(struct recovery *recovery, const mn_id *mesh_id,
                             const struct sign_key *issuer)
{
    Meshnode__Trust__Recovery body = MESHNODE__TRUST__RECOVERY__INIT;
    ProtobufCBinaryData lost[RECOVERY_LOST_MAX];
    struct mn_buf *document;

    MN_ASSERT(recovery->lost_count <= RECOVERY_LOST_MAX);
    memcpy(recovery->issuer, issuer->pk, SIGN_PK_SIZE);
    for (uint32_t i = 0; i < recovery->lost_count; i++)
        lost[i] = pb_id_bytes(&recovery->lost[i]);
    body.epoch = recovery->epoch;
    body.node = pb_id_bytes(&recovery->node);
    body.last_index = recovery->last_index;
    body.last_term = recovery->last_term;
    body.lost = lost;
    body.n_lost = recovery->lost_count;
    body.at_ms = recovery->at_ms;
    body.issuer = pb_bytes(mn_span(recovery->issuer, SIGN_PK_SIZE));
    document = signed_pack(issuer, SIGN_RECOVERY, mesh_id, &body.base);
    MN_ASSERT(document->size <= RECOVERY_SIZE_MAX);
    return document;
}

static mn_status recovery_read_body(const Meshnode__Trust__Recovery *body, struct recovery *ret)
{
    mn_status status = pb_id(body->node, &ret->node);

    if (status == MN_OK) status = pb_fixed(body->issuer, ret->issuer, SIGN_PK_SIZE);
    if (status != MN_OK) return status;
    if (body->epoch == 0 || mn_id_is_zero(&ret->node) || body->n_lost > RECOVERY_LOST_MAX)
        return MN_MALFORMED;
    for (size_t i = 0; i < body->n_lost; i++)
        if (pb_id(body->lost[i], &ret->lost[i]) != MN_OK) return MN_MALFORMED;
    ret->lost_count = (uint32_t)body->n_lost;
    ret->epoch = body->epoch;
    ret->last_index = body->last_index;
    ret->last_term = body->last_term;
    ret->at_ms = body->at_ms;
    return MN_OK;
}

mn_status recovery_decode(struct mn_span bytes, struct recovery *ret)
{
    struct recovery recovery = {0};
    struct mn_arena arena = {0};
    const Meshnode__Trust__Recovery *body;
    mn_status status = signed_open(bytes, RECOVERY_SIZE_MAX, &recovery.body, recovery.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__recovery__descriptor, &arena, recovery.body);
    status = body == NULL ? MN_MALFORMED : recovery_read_body(body, &recovery);
    if (status == MN_OK) *ret = recovery;
    mn_arena_done(&arena);
    return status;
}

mn_status recovery_check(const struct recovery *recovery, const struct authority *authority)
{
    if (!authority_counts(authority, recovery->issuer, recovery->at_ms)) return MN_UNKNOWN_ISSUER;
    return sign_check(recovery->issuer, SIGN_RECOVERY, &authority->mesh_id, recovery->body,
                      recovery->signature);
}
