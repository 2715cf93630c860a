#include "crypto/revocation.h"

#include "crypto/signed.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

struct mn_buf *revocation_sign(struct revocation *revocation, const mn_id *mesh_id,
                               const struct sign_key *issuer)
{
    Meshnode__Trust__Revocation body = MESHNODE__TRUST__REVOCATION__INIT;
    struct mn_buf *document;

    MN_ASSERT(mn_id_is_zero(&revocation->node_id) != mn_id_is_zero(&revocation->token_id));
    MN_ASSERT(revocation_reason_is_valid(mn_span_str(revocation->reason)));
    memcpy(revocation->issuer, issuer->pk, SIGN_PK_SIZE);
    if (!mn_id_is_zero(&revocation->node_id)) body.node_id = pb_id_bytes(&revocation->node_id);
    if (!mn_id_is_zero(&revocation->token_id)) body.token_id = pb_id_bytes(&revocation->token_id);
    body.nodes = revocation->nodes;
    body.at_ms = revocation->at_ms;
    body.reason = revocation->reason;
    body.issuer = pb_bytes(mn_span(revocation->issuer, SIGN_PK_SIZE));
    document = signed_pack(issuer, SIGN_REVOKE, mesh_id, &body.base);
    MN_ASSERT(document->size <= REVOCATION_SIZE_MAX);
    return document;
}

bool revocation_reason_is_valid(struct mn_span reason)
{
    if (reason.size >= REVOCATION_REASON_SIZE) return false;
    for (size_t i = 0; i < reason.size; i++)
        if (reason.data[i] < 0x20 || reason.data[i] > 0x7e) return false;
    return true;
}

/* Absent stays zero; a present one is whole and not zero. */
static mn_status revocation_read_id(ProtobufCBinaryData bytes, mn_id *ret)
{
    mn_status status;

    if (bytes.len == 0) return MN_OK;
    status = pb_id(bytes, ret);
    if (status != MN_OK) return status;
    return mn_id_is_zero(ret) ? MN_MALFORMED : MN_OK;
}

static mn_status revocation_read_body(const Meshnode__Trust__Revocation *body,
                                      struct revocation *ret)
{
    struct mn_span reason = pb_text(body->reason);
    mn_status status = revocation_read_id(body->node_id, &ret->node_id);

    if (status == MN_OK) status = revocation_read_id(body->token_id, &ret->token_id);
    if (status == MN_OK) status = pb_fixed(body->issuer, ret->issuer, SIGN_PK_SIZE);
    if (status != MN_OK) return status;
    if (mn_id_is_zero(&ret->node_id) == mn_id_is_zero(&ret->token_id)) return MN_MALFORMED;
    if (body->nodes && mn_id_is_zero(&ret->token_id)) return MN_MALFORMED;
    if (!revocation_reason_is_valid(reason)) return MN_MALFORMED;
    memcpy(ret->reason, reason.data, reason.size);
    ret->nodes = body->nodes;
    ret->at_ms = body->at_ms;
    return MN_OK;
}

mn_status revocation_decode(struct mn_span bytes, struct revocation *ret)
{
    struct revocation revocation = {.at_ms = 0};
    struct mn_arena arena = {0};
    const Meshnode__Trust__Revocation *body;
    mn_status status =
        signed_open(bytes, REVOCATION_SIZE_MAX, &revocation.body, revocation.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__revocation__descriptor, &arena, revocation.body);
    status = body == NULL ? MN_MALFORMED : revocation_read_body(body, &revocation);
    if (status == MN_OK) *ret = revocation;
    mn_arena_done(&arena);
    return status;
}

mn_status revocation_check(const struct revocation *revocation, const struct authority *authority)
{
    mn_status status;

    if (!authority_counts(authority, revocation->issuer, revocation->at_ms))
        return MN_UNKNOWN_ISSUER;
    status = sign_check(revocation->issuer, SIGN_REVOKE, &authority->mesh_id, revocation->body,
                        revocation->signature);
    if (status != MN_OK) return status;
    return authority_has_issuer(authority, &revocation->node_id) ? MN_DENIED : MN_OK;
}
