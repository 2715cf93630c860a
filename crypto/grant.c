#include "crypto/grant.h"

#include "crypto/signed.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"

#define ROLE(name) MESHNODE__TRUST__ROLE__ROLE_##name

/* ---- names, roles ---- */

static bool grant_label_is_valid(struct mn_span text, size_t size_max)
{
    if (text.size > size_max) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return true;
}

bool grant_name_is_valid(struct mn_span name)
{
    return name.size > 0 && grant_label_is_valid(name, GRANT_NAME_SIZE - 1);
}

bool grant_region_is_valid(struct mn_span region)
{
    return grant_label_is_valid(region, GRANT_REGION_SIZE - 1);
}

static const struct {
    const char *name;
    grant_role role;
} grant_roles[] = {
    {"auto", ROLE(AUTO)},
    {"edge", ROLE(EDGE)},
    {"learner", ROLE(LEARNER)},
    {"voter", ROLE(VOTER)},
};

#define ROLES_COUNT (sizeof grant_roles / sizeof grant_roles[0])

const char *grant_role_name(grant_role role)
{
    for (size_t i = 0; i < ROLES_COUNT; i++)
        if (grant_roles[i].role == role) return grant_roles[i].name;
    return "unknown";
}

mn_status grant_role_parse(struct mn_span text, grant_role *ret)
{
    for (size_t i = 0; i < ROLES_COUNT; i++) {
        if (!mn_span_is(text, grant_roles[i].name)) continue;
        *ret = grant_roles[i].role;
        return MN_OK;
    }
    return MN_MALFORMED;
}

/* edge < learner < auto < voter: whoever may choose by itself may be anything but a voter. */
static unsigned grant_role_rank(grant_role role)
{
    if (role == ROLE(EDGE)) return 0;
    if (role == ROLE(LEARNER)) return 1;
    return role == ROLE(VOTER) ? 3 : 2;
}

bool grant_role_allows(grant_role max, grant_role role)
{
    return grant_role_rank(role) <= grant_role_rank(max);
}

/* ---- encoding ---- */

struct mn_buf *grant_sign(struct grant *grant, const struct sign_key *issuer)
{
    Meshnode__Trust__Grant body;
    struct mn_buf *bytes, *document;

    meshnode__trust__grant__init(&body);
    digest_key_id(issuer->pk, grant->issuer);
    grant->node_id = digest_node_id(grant->sign_pk);
    body.mesh_id = pb_id_bytes(&grant->mesh_id);
    body.serial = pb_id_bytes(&grant->serial);
    body.sign_pk = pb_bytes(mn_span(grant->sign_pk, sizeof grant->sign_pk));
    body.name = grant->name;
    body.role_max = grant->role_max;
    body.issuer_eligible = grant->issuer_eligible;
    body.region = grant->region;
    body.not_before_ms = grant->not_before_ms;
    body.not_after_ms = grant->not_after_ms;
    body.issuer = pb_bytes(mn_span(grant->issuer, sizeof grant->issuer));
    body.authority_version = grant->authority_version;
    body.via = grant->via;
    if (!mn_id_is_zero(&grant->token_id)) body.token_id = pb_id_bytes(&grant->token_id);
    bytes = pb_pack(&body.base);
    document = signed_make(issuer, SIGN_GRANT, &grant->mesh_id, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    MN_ASSERT(document->size <= GRANT_SIZE_MAX);
    return document;
}

/* ---- decoding ---- */

static mn_status grant_read_texts(const Meshnode__Trust__Grant *body, struct grant *ret)
{
    struct mn_span name = pb_text(body->name), region = pb_text(body->region);

    if (!grant_name_is_valid(name) || !grant_region_is_valid(region)) return MN_MALFORMED;
    memcpy(ret->name, name.data, name.size);
    memcpy(ret->region, region.data, region.size);
    return MN_OK;
}

static mn_status grant_read_body(const Meshnode__Trust__Grant *body, struct grant *ret)
{
    mn_status status = pb_id(body->mesh_id, &ret->mesh_id);

    if (status == MN_OK) status = pb_id(body->serial, &ret->serial);
    if (status == MN_OK) status = pb_fixed(body->sign_pk, ret->sign_pk, SIGN_PK_SIZE);
    if (status == MN_OK) status = pb_fixed(body->issuer, ret->issuer, DIGEST_KID_SIZE);
    if (status == MN_OK && body->token_id.len > 0) status = pb_id(body->token_id, &ret->token_id);
    if (status == MN_OK) status = grant_read_texts(body, ret);
    if (status != MN_OK) return status;
    if (body->role_max > ROLE(VOTER)) return MN_MALFORMED;
    if (body->via == MESHNODE__TRUST__VIA__VIA_UNKNOWN || body->via > MESHNODE__TRUST__VIA__VIA_DEV)
        return MN_MALFORMED;
    if (body->not_after_ms <= body->not_before_ms || body->authority_version == 0)
        return MN_MALFORMED;
    ret->role_max = body->role_max;
    ret->via = body->via;
    ret->issuer_eligible = body->issuer_eligible;
    ret->not_before_ms = body->not_before_ms;
    ret->not_after_ms = body->not_after_ms;
    ret->authority_version = body->authority_version;
    ret->node_id = digest_node_id(ret->sign_pk);
    return MN_OK;
}

mn_status grant_decode(struct mn_span bytes, struct grant *ret)
{
    struct grant grant = {.name = ""};
    struct mn_arena arena = {0};
    const Meshnode__Trust__Grant *body;
    mn_status status = signed_open(bytes, GRANT_SIZE_MAX, &grant.body, grant.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__grant__descriptor, &arena, grant.body);
    status = body == NULL ? MN_MALFORMED : grant_read_body(body, &grant);
    if (status == MN_OK) *ret = grant;
    mn_arena_done(&arena);
    return status;
}

/* ---- judging ---- */

bool grant_is_revoked(const struct grant *grant, const struct authority *authority,
                      const struct grant_revoked *revoked)
{
    if (revoked == NULL) return false;
    if (revoked->has_node(revoked->set, &grant->node_id)) return true;
    if (mn_id_is_zero(&grant->token_id)) return false;
    return revoked->has_token(revoked->set, &grant->token_id) &&
           !authority_is_issuer(authority, grant->sign_pk);
}

/* A key that was retired may be stolen afterwards, and date back what it signs: its power ends with
 * the longest grant that it could give while it was an issuer. */
static bool grant_outlives_its_issuer(const struct grant *grant, const struct authority *authority,
                                      const uint8_t *issuer)
{
    uint64_t until_ms = authority_until(authority, issuer);

    if (until_ms == UINT64_MAX) return false;
    return grant->not_after_ms > until_ms + authority->grant_ttl_ms + GRANT_TOLERANCE_MS;
}

mn_status grant_check_any_age(const struct grant *grant, const struct authority *authority,
                              const struct grant_revoked *revoked, uint64_t wall_ms)
{
    const uint8_t *issuer;
    mn_status status;

    if (!mn_id_equal(&grant->mesh_id, &authority->mesh_id)) return MN_WRONG_MESH;
    if (grant->authority_version > authority->version) return MN_NOT_FOUND;
    issuer = authority_find_issuer(authority, grant->issuer);
    if (issuer == NULL) return MN_UNKNOWN_ISSUER;
    if (!authority_counts(authority, issuer, grant->not_before_ms + GRANT_TOLERANCE_MS))
        return MN_UNKNOWN_ISSUER;
    if (grant_outlives_its_issuer(grant, authority, issuer)) return MN_UNKNOWN_ISSUER;
    status = sign_check(issuer, SIGN_GRANT, &grant->mesh_id, grant->body, grant->signature);
    if (status != MN_OK) return status;
    if (grant_is_revoked(grant, authority, revoked)) return MN_REVOKED;
    return wall_ms < grant->not_before_ms ? MN_NOT_YET : MN_OK;
}

mn_status grant_check(const struct grant *grant, const struct authority *authority,
                      const struct grant_revoked *revoked, uint64_t wall_ms)
{
    mn_status status = grant_check_any_age(grant, authority, revoked, wall_ms);

    if (status != MN_OK) return status;
    if (wall_ms >= GRANT_TOLERANCE_MS && wall_ms - GRANT_TOLERANCE_MS >= grant->not_after_ms)
        return MN_EXPIRED;
    return MN_OK;
}
