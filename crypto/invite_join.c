#include "crypto/invite.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"

static enum sign_tag invite_join_tag(const struct invite_join *join)
{
    return join->is_renewal ? SIGN_RENEW : SIGN_JOIN;
}

static struct mn_buf *invite_join_body(const struct invite_join *join)
{
    Meshnode__Trust__JoinBody body;
    union {
        const char *in;
        char *out;
    } name = {.in = join->name}, region = {.in = join->region};

    meshnode__trust__join_body__init(&body);
    body.mesh_id = pb_id_bytes(&join->mesh_id);
    body.sign_pk = pb_bytes(mn_span(join->sign_pk, SIGN_PK_SIZE));
    body.noise_pk = pb_bytes(mn_span(join->noise_pk, IDENTITY_NOISE_SIZE));
    body.handshake = pb_bytes(mn_span(join->handshake, INVITE_JOIN_HASH_SIZE));
    if (!mn_id_is_zero(&join->token_id)) body.token_id = pb_id_bytes(&join->token_id);
    body.name = name.out;
    body.role = join->role;
    body.region = region.out;
    body.nonce = pb_id_bytes(&join->nonce);
    body.grant = pb_bytes(join->grant);
    return pb_pack(&body.base);
}

struct mn_buf *invite_join_make(struct invite_join *join, const struct identity *self,
                                const struct sign_key *token)
{
    Meshnode__Trust__Join message = MESHNODE__TRUST__JOIN__INIT;
    struct mn_buf *body, *bytes;

    memcpy(join->sign_pk, self->key.pk, SIGN_PK_SIZE);
    memcpy(join->noise_pk, self->noise_pk, IDENTITY_NOISE_SIZE);
    join->token_id = token == NULL ? (mn_id){{0}} : digest_token_id(token->pk);
    body = invite_join_body(join);
    sign_make(&self->key, invite_join_tag(join), &join->mesh_id, mn_buf_span(body), join->sig_node);
    message.body = pb_bytes(mn_buf_span(body));
    message.sig_node = pb_bytes(mn_span(join->sig_node, SIGN_SIZE));
    message.renew = join->is_renewal;
    if (token != NULL) {
        sign_make(token, SIGN_JOIN_TOKEN, &join->mesh_id, mn_buf_span(body), join->sig_token);
        message.sig_token = pb_bytes(mn_span(join->sig_token, SIGN_SIZE));
        message.token_pk = pb_bytes(mn_span(token->pk, SIGN_PK_SIZE));
    }
    bytes = pb_pack(&message.base);
    mn_buf_unref(body);
    MN_ASSERT(bytes->size <= INVITE_JOIN_SIZE_MAX);
    return bytes;
}

static mn_status invite_join_read_body(const Meshnode__Trust__JoinBody *body,
                                       struct invite_join *ret)
{
    struct mn_span name = pb_text(body->name), region = pb_text(body->region);
    mn_status status = pb_id(body->mesh_id, &ret->mesh_id);

    if (status == MN_OK) status = pb_fixed(body->sign_pk, ret->sign_pk, SIGN_PK_SIZE);
    if (status == MN_OK) status = pb_fixed(body->noise_pk, ret->noise_pk, IDENTITY_NOISE_SIZE);
    if (status == MN_OK) status = pb_fixed(body->handshake, ret->handshake, INVITE_JOIN_HASH_SIZE);
    if (status == MN_OK) status = pb_id(body->nonce, &ret->nonce);
    if (status == MN_OK && body->token_id.len > 0) status = pb_id(body->token_id, &ret->token_id);
    if (status != MN_OK) return status;
    if (!grant_name_is_valid(name) || !grant_region_is_valid(region)) return MN_MALFORMED;
    if (body->role > MESHNODE__TRUST__ROLE__ROLE_VOTER) return MN_MALFORMED;
    if (body->grant.len > GRANT_SIZE_MAX) return MN_TOO_BIG;
    memcpy(ret->name, name.data, name.size);
    memcpy(ret->region, region.data, region.size);
    ret->role = body->role;
    ret->grant = pb_span(body->grant);
    return MN_OK;
}

/* Both halves of a token's proof, and its key, or none of them. */
static mn_status invite_join_read_token(const Meshnode__Trust__Join *message,
                                        struct invite_join *ret)
{
    mn_id expected;
    mn_status status;

    if (mn_id_is_zero(&ret->token_id))
        return message->sig_token.len + message->token_pk.len == 0 ? MN_OK : MN_MALFORMED;
    status = pb_fixed(message->sig_token, ret->sig_token, SIGN_SIZE);
    if (status == MN_OK) status = pb_fixed(message->token_pk, ret->token_pk, SIGN_PK_SIZE);
    if (status != MN_OK) return status;
    expected = digest_token_id(ret->token_pk);
    return mn_id_equal(&expected, &ret->token_id) ? MN_OK : MN_MALFORMED;
}

mn_status invite_join_decode(struct mn_span bytes, struct mn_arena *arena, struct invite_join *ret)
{
    const Meshnode__Trust__Join *message;
    const Meshnode__Trust__JoinBody *body;
    struct invite_join join = {.name = ""};
    mn_status status;

    if (bytes.size > INVITE_JOIN_SIZE_MAX) return MN_TOO_BIG;
    message = pb_unpack(&meshnode__trust__join__descriptor, arena, bytes);
    if (message == NULL) return MN_MALFORMED;
    /* One encoding only, so that no bit outside the signed body is free. */
    if (message->base.n_unknown_fields > 0 ||
        !mn_span_equal(pb_pack_arena(&message->base, arena), bytes))
        return MN_MALFORMED;
    body = pb_unpack(&meshnode__trust__join_body__descriptor, arena, pb_span(message->body));
    if (body == NULL) return MN_MALFORMED;
    status = invite_join_read_body(body, &join);
    if (status == MN_OK) status = pb_fixed(message->sig_node, join.sig_node, SIGN_SIZE);
    if (status == MN_OK) status = invite_join_read_token(message, &join);
    if (status != MN_OK) return status;
    join.is_renewal = message->renew;
    join.body = pb_span(message->body);
    *ret = join;
    return MN_OK;
}

mn_status invite_join_check(const struct invite_join *join, const mn_id *mesh_id,
                            const uint8_t *handshake)
{
    mn_status status;

    if (!mn_id_equal(&join->mesh_id, mesh_id)) return MN_WRONG_MESH;
    if (handshake != NULL && memcmp(handshake, join->handshake, INVITE_JOIN_HASH_SIZE) != 0)
        return MN_STATE;
    status = sign_check(join->sign_pk, invite_join_tag(join), mesh_id, join->body, join->sig_node);
    if (status != MN_OK || mn_id_is_zero(&join->token_id)) return status;
    return sign_check(join->token_pk, SIGN_JOIN_TOKEN, mesh_id, join->body, join->sig_token);
}
