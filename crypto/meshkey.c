#include "crypto/meshkey.h"

#include "crypto/signed.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

_Static_assert((int)MESHKEY_SEAL == (int)MESHNODE__TRUST__KEY_KIND__KEY_KIND_SEAL, "same numbers");
_Static_assert((int)MESHKEY_RECON == (int)MESHNODE__TRUST__KEY_KIND__KEY_KIND_RECON,
               "same numbers");

void meshkey_commit(const mn_id *mesh_id, const uint8_t secret[MESHKEY_SECRET_SIZE],
                    uint8_t ret[MESHKEY_COMMIT_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_MESH_KEY, MESHKEY_COMMIT_SIZE);
    digest_fixed(&digest, mn_span(mesh_id->bytes, sizeof mesh_id->bytes));
    digest_fixed(&digest, mn_span(secret, MESHKEY_SECRET_SIZE));
    digest_end(&digest, ret);
}

struct mn_buf *meshkey_sign(struct meshkey *meshkey, const mn_id *mesh_id,
                            const struct sign_key *issuer)
{
    Meshnode__Trust__MeshKey body = MESHNODE__TRUST__MESH_KEY__INIT;
    struct mn_buf *document;

    memcpy(meshkey->issuer, issuer->pk, SIGN_PK_SIZE);
    body.key_id = meshkey->key_id;
    body.kind = (Meshnode__Trust__KeyKind)meshkey->kind;
    body.commit = pb_bytes(mn_span(meshkey->commit, MESHKEY_COMMIT_SIZE));
    body.created_ms = meshkey->created_ms;
    body.seal_until_ms = meshkey->seal_until_ms;
    body.open_until_ms = meshkey->open_until_ms;
    if (meshkey->is_after_revocation)
        body.after_revocation = pb_bytes(mn_span(meshkey->after_revocation, MESHKEY_HASH_SIZE));
    body.issuer = pb_bytes(mn_span(meshkey->issuer, SIGN_PK_SIZE));
    document = signed_pack(issuer, SIGN_MESH_KEY, mesh_id, &body.base);
    MN_ASSERT(document->size <= MESHKEY_SIZE_MAX);
    return document;
}

static bool meshkey_times_are_valid(const struct meshkey *meshkey)
{
    uint64_t created = meshkey->created_ms;

    if (meshkey->kind == MESHKEY_RECON)
        return meshkey->seal_until_ms == 0 && meshkey->open_until_ms == 0;
    if (created > UINT64_MAX - MESHKEY_OPEN_MS) return false;
    return meshkey->seal_until_ms > created &&
           meshkey->seal_until_ms <= created + MESHKEY_SEAL_MS &&
           meshkey->open_until_ms >= meshkey->seal_until_ms &&
           meshkey->open_until_ms <= created + MESHKEY_OPEN_MS;
}

static mn_status meshkey_read_body(const Meshnode__Trust__MeshKey *body, struct meshkey *ret)
{
    mn_status status = pb_fixed(body->commit, ret->commit, MESHKEY_COMMIT_SIZE);

    if (status == MN_OK) status = pb_fixed(body->issuer, ret->issuer, SIGN_PK_SIZE);
    ret->is_after_revocation = body->after_revocation.len > 0;
    if (status == MN_OK && ret->is_after_revocation)
        status = pb_fixed(body->after_revocation, ret->after_revocation, MESHKEY_HASH_SIZE);
    if (status != MN_OK) return status;
    if (body->kind != MESHNODE__TRUST__KEY_KIND__KEY_KIND_SEAL &&
        body->kind != MESHNODE__TRUST__KEY_KIND__KEY_KIND_RECON)
        return MN_MALFORMED;
    ret->kind = (enum meshkey_kind)body->kind;
    ret->key_id = body->key_id;
    ret->created_ms = body->created_ms;
    ret->seal_until_ms = body->seal_until_ms;
    ret->open_until_ms = body->open_until_ms;
    return meshkey_times_are_valid(ret) ? MN_OK : MN_MALFORMED;
}

mn_status meshkey_decode(struct mn_span bytes, struct meshkey *ret)
{
    struct meshkey meshkey = {.key_id = 0};
    struct mn_arena arena = {0};
    const Meshnode__Trust__MeshKey *body;
    mn_status status = signed_open(bytes, MESHKEY_SIZE_MAX, &meshkey.body, meshkey.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__trust__mesh_key__descriptor, &arena, meshkey.body);
    status = body == NULL ? MN_MALFORMED : meshkey_read_body(body, &meshkey);
    if (status == MN_OK) *ret = meshkey;
    mn_arena_done(&arena);
    return status;
}

mn_status meshkey_check(const struct meshkey *meshkey, const struct authority *authority)
{
    if (!authority_counts(authority, meshkey->issuer, meshkey->created_ms))
        return MN_UNKNOWN_ISSUER;
    return sign_check(meshkey->issuer, SIGN_MESH_KEY, &authority->mesh_id, meshkey->body,
                      meshkey->signature);
}
