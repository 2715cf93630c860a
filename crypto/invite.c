#include "crypto/invite.h"

#include "crypto/signed.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"

/* ---- Invite ---- */

struct mn_buf *invite_sign(struct invite *invite, const mn_id *mesh_id,
                           const struct sign_key *issuer)
{
    Meshnode__Trust__Invite body;
    struct mn_buf *bytes, *document;

    meshnode__trust__invite__init(&body);
    memcpy(invite->home, issuer->pk, SIGN_PK_SIZE);
    body.token_id = pb_id_bytes(&invite->token_id);
    body.token_pk = pb_bytes(mn_span(invite->token_pk, SIGN_PK_SIZE));
    body.uses = invite->uses;
    body.created_ms = invite->created_ms;
    body.not_after_ms = invite->not_after_ms;
    body.role_max = invite->role_max;
    body.issuer_eligible = invite->issuer_eligible;
    body.name = invite->name;
    body.region = invite->region;
    body.home = pb_bytes(mn_span(invite->home, SIGN_PK_SIZE));
    bytes = pb_pack(&body.base);
    document = signed_make(issuer, SIGN_INVITE, mesh_id, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    MN_ASSERT(document->size <= INVITE_SIZE_MAX);
    return document;
}

static mn_status invite_read_keys(const Meshnode__Trust__Invite *body, struct invite *ret)
{
    mn_status status = pb_id(body->token_id, &ret->token_id);
    mn_id expected;

    if (status == MN_OK) status = pb_fixed(body->token_pk, ret->token_pk, SIGN_PK_SIZE);
    if (status == MN_OK) status = pb_fixed(body->home, ret->home, SIGN_PK_SIZE);
    if (status != MN_OK) return status;
    expected = digest_token_id(ret->token_pk);
    return mn_id_equal(&expected, &ret->token_id) ? MN_OK : MN_MALFORMED;
}

static mn_status invite_read_body(const Meshnode__Trust__Invite *body, struct invite *ret)
{
    struct mn_span name = pb_text(body->name), region = pb_text(body->region);
    mn_status status = invite_read_keys(body, ret);

    if (status != MN_OK) return status;
    if (name.size > 0 && !grant_name_is_valid(name)) return MN_MALFORMED;
    if (!grant_region_is_valid(region)) return MN_MALFORMED;
    if (body->uses > INVITE_USES_MAX) return MN_TOO_BIG;
    if (body->role_max > MESHNODE__TRUST__ROLE__ROLE_VOTER) return MN_MALFORMED;
    if (body->not_after_ms <= body->created_ms) return MN_MALFORMED;
    if (body->not_after_ms - body->created_ms > INVITE_TTL_MAX_MS) return MN_TOO_BIG;
    memcpy(ret->name, name.data, name.size);
    memcpy(ret->region, region.data, region.size);
    ret->uses = body->uses;
    ret->created_ms = body->created_ms;
    ret->not_after_ms = body->not_after_ms;
    ret->role_max = body->role_max;
    ret->issuer_eligible = body->issuer_eligible;
    return MN_OK;
}

mn_status invite_decode(struct mn_span bytes, struct invite *ret)
{
    struct invite invite = {.name = ""};
    struct mn_arena arena = {0};
    const Meshnode__Trust__Invite *body;
    mn_status status = signed_open(bytes, INVITE_SIZE_MAX, &invite.body, invite.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__invite__descriptor, &arena, invite.body);
    status = body == NULL ? MN_MALFORMED : invite_read_body(body, &invite);
    if (status == MN_OK) *ret = invite;
    mn_arena_done(&arena);
    return status;
}

mn_status invite_check(const struct invite *invite, const struct authority *authority,
                       uint64_t wall_ms)
{
    mn_status status;

    if (!authority_counts(authority, invite->home, invite->created_ms)) return MN_UNKNOWN_ISSUER;
    status =
        sign_check(invite->home, SIGN_INVITE, &authority->mesh_id, invite->body, invite->signature);
    if (status != MN_OK) return status;
    return wall_ms >= invite->not_after_ms ? MN_EXPIRED : MN_OK;
}

/* ---- Found ---- */

struct mn_buf *invite_found_sign(const struct invite_found *found, const struct sign_key *token)
{
    Meshnode__Trust__Found body = MESHNODE__TRUST__FOUND__INIT;
    struct mn_buf *bytes, *document;

    body.mesh_id = pb_id_bytes(&found->mesh_id);
    body.genesis_pin = pb_bytes(mn_span(found->genesis_pin, DIGEST_PIN_SIZE));
    bytes = pb_pack(&body.base);
    document = signed_make(token, SIGN_FOUND, &found->mesh_id, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    return document;
}

mn_status invite_found_check(struct mn_span bytes, const uint8_t token_pk[SIGN_PK_SIZE],
                             struct invite_found *ret)
{
    const Meshnode__Trust__Found *body;
    struct invite_found found;
    struct mn_arena arena = {0};
    uint8_t signature[SIGN_SIZE];
    struct mn_span signed_bytes;
    mn_status status = signed_open(bytes, INVITE_FOUND_SIZE_MAX, &signed_bytes, signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__found__descriptor, &arena, signed_bytes);
    status = body == NULL ? MN_MALFORMED : pb_id(body->mesh_id, &found.mesh_id);
    if (status == MN_OK) status = pb_fixed(body->genesis_pin, found.genesis_pin, DIGEST_PIN_SIZE);
    if (status == MN_OK)
        status = sign_check(token_pk, SIGN_FOUND, &found.mesh_id, signed_bytes, signature);
    if (status == MN_OK) *ret = found;
    mn_arena_done(&arena);
    return status;
}

/* ---- Withdraw ---- */

struct mn_buf *invite_withdraw_sign(const struct invite_withdraw *withdraw, const mn_id *mesh_id,
                                    const struct sign_key *issuer)
{
    Meshnode__Trust__Withdraw body = MESHNODE__TRUST__WITHDRAW__INIT;
    struct mn_buf *bytes, *document;

    body.token_id = pb_id_bytes(&withdraw->token_id);
    body.at_ms = withdraw->at_ms;
    body.issuer = pb_bytes(mn_span(issuer->pk, SIGN_PK_SIZE));
    bytes = pb_pack(&body.base);
    document = signed_make(issuer, SIGN_WITHDRAW, mesh_id, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    return document;
}

static mn_status invite_withdraw_open(struct mn_span bytes, struct invite_withdraw *ret,
                                      struct mn_span *ret_body, uint8_t signature[SIGN_SIZE])
{
    const Meshnode__Trust__Withdraw *body;
    struct invite_withdraw withdraw = {.at_ms = 0};
    struct mn_arena arena = {0};
    mn_status status = signed_open(bytes, INVITE_WITHDRAW_SIZE_MAX, ret_body, signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__withdraw__descriptor, &arena, *ret_body);
    status = body == NULL ? MN_MALFORMED : pb_id(body->token_id, &withdraw.token_id);
    if (status == MN_OK) status = pb_fixed(body->issuer, withdraw.issuer, SIGN_PK_SIZE);
    if (status == MN_OK) {
        withdraw.at_ms = body->at_ms;
        *ret = withdraw;
    }
    mn_arena_done(&arena);
    return status;
}

mn_status invite_withdraw_decode(struct mn_span bytes, struct invite_withdraw *ret)
{
    uint8_t signature[SIGN_SIZE];
    struct mn_span body;

    return invite_withdraw_open(bytes, ret, &body, signature);
}

mn_status invite_withdraw_check(struct mn_span bytes, const struct authority *authority,
                                struct invite_withdraw *ret)
{
    struct invite_withdraw withdraw;
    uint8_t signature[SIGN_SIZE];
    struct mn_span body;
    mn_status status = invite_withdraw_open(bytes, &withdraw, &body, signature);

    if (status != MN_OK) return status;
    if (!authority_counts(authority, withdraw.issuer, withdraw.at_ms)) return MN_UNKNOWN_ISSUER;
    status = sign_check(withdraw.issuer, SIGN_WITHDRAW, &authority->mesh_id, body, signature);
    if (status == MN_OK) *ret = withdraw;
    return status;
}
