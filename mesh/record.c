#include "mesh/record.h"

#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/member.pb-c.h"
#include "proto/pb.h"

static bool record_text_is_addr(struct mn_span text)
{
    if (text.size == 0 || text.size > RECORD_ADDR_SIZE_MAX) return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~') return false;
    return true;
}

static bool record_text_is_zone(struct mn_span text)
{
    if (text.size > RECORD_ZONE_SIZE_MAX) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return false;
    }
    return true;
}

static bool record_self_is_valid(const struct record_self *self)
{
    if (self->addrs_count > RECORD_ADDRS_MAX) return false;
    for (uint32_t i = 0; i < self->addrs_count; i++)
        if (!record_text_is_addr(self->addrs[i])) return false;
    return record_text_is_zone(self->region) && record_text_is_zone(self->zone) &&
           self->weight <= RECORD_WEIGHT_MAX && self->protocol_min <= self->protocol_max &&
           self->grant.size > 0 && self->grant.size <= GRANT_SIZE_MAX;
}

/* ---- signing ---- */

static char *record_text(struct mn_arena *arena, struct mn_span text)
{
    return mn_arena_format(arena, "%.*s", (int)text.size,
                           text.size == 0 ? "" : (const char *)text.data);
}

static struct mn_span record_sign_body(struct mn_span body, const struct sign_key *key,
                                       enum sign_tag tag, const mn_id *mesh_id,
                                       struct mn_arena *arena, uint8_t signature[SIGN_SIZE])
{
    Meshnode__Member__Signed message = MESHNODE__MEMBER__SIGNED__INIT;

    sign_make(key, tag, mesh_id, body, signature);
    message.body = pb_bytes(body);
    message.signature = pb_bytes(mn_span(signature, SIGN_SIZE));
    return pb_pack_arena(&message.base, arena);
}

static struct mn_span record_pack(const struct record_self *self,
                                  const struct record_numbers *numbers,
                                  const struct identity *identity, struct mn_arena *arena)
{
    Meshnode__Member__Record body = MESHNODE__MEMBER__RECORD__INIT;
    char *addrs[RECORD_ADDRS_MAX];

    for (uint32_t i = 0; i < self->addrs_count; i++)
        addrs[i] = record_text(arena, self->addrs[i]);
    body.sign_pk = pb_bytes(mn_span(identity->key.pk, SIGN_PK_SIZE));
    body.incarnation = numbers->incarnation;
    body.seq = numbers->seq;
    body.state = numbers->has_left ? MESHNODE__MEMBER__STATE__STATE_LEFT
                                   : MESHNODE__MEMBER__STATE__STATE_ALIVE;
    body.boot_id = pb_id_bytes(&numbers->boot_id);
    body.addrs = addrs;
    body.n_addrs = self->addrs_count;
    body.region = record_text(arena, self->region);
    body.zone = record_text(arena, self->zone);
    body.role = (uint32_t)self->role;
    body.weight = self->weight;
    body.protocol_min = self->protocol_min;
    body.protocol_max = self->protocol_max;
    body.catalog_version = self->catalog_version;
    if (self->catalog_version != 0)
        body.catalog_root = pb_bytes(mn_span(self->catalog_root, RECORD_CATALOG_ROOT_SIZE));
    body.ring_salt = self->ring_salt;
    body.noise_pk = pb_bytes(mn_span(identity->noise_pk, IDENTITY_NOISE_SIZE));
    body.static_sig = pb_bytes(mn_span(identity->static_sig, SIGN_SIZE));
    body.grant = pb_bytes(self->grant);
    return pb_pack_arena(&body.base, arena);
}

mn_status record_sign(const struct record_self *self, const struct record_numbers *numbers,
                      const struct identity *identity, const mn_id *mesh_id, struct mn_arena *arena,
                      struct mn_span *ret)
{
    uint8_t signature[SIGN_SIZE];
    struct mn_span body, signed_bytes;

    if (!record_self_is_valid(self)) return MN_CONFIG;
    body = record_pack(self, numbers, identity, arena);
    signed_bytes = record_sign_body(body, &identity->key, SIGN_RECORD, mesh_id, arena, signature);
    if (signed_bytes.size > RECORD_SIZE_MAX) return MN_TOO_BIG;
    *ret = signed_bytes;
    return MN_OK;
}

/* ---- decoding ---- */

/* The body inside a Signed, and its signature. Only the one encoding that record_sign_body() writes
 * is taken: whoever passes a record on must not be able to make a second one of it. */
static mn_status record_open(struct mn_span signed_bytes, size_t size_max, struct mn_arena *arena,
                             struct mn_span *ret_body, uint8_t ret_signature[SIGN_SIZE])
{
    const Meshnode__Member__Signed *message;

    if (signed_bytes.size > size_max) return MN_TOO_BIG;
    message = pb_unpack(&meshnode__member__signed__descriptor, arena, signed_bytes);
    if (message == NULL || message->body.len == 0 || message->base.n_unknown_fields > 0 ||
        protobuf_c_message_get_packed_size(&message->base) != signed_bytes.size)
        return MN_MALFORMED;
    *ret_body = pb_span(message->body);
    return pb_fixed(message->signature, ret_signature, SIGN_SIZE);
}

static mn_status record_read_said(const Meshnode__Member__Record *body, struct record_self *ret)
{
    static const uint8_t no_root[RECORD_CATALOG_ROOT_SIZE];

    if (body->n_addrs > RECORD_ADDRS_MAX) return MN_MALFORMED;
    for (size_t i = 0; i < body->n_addrs; i++)
        ret->addrs[i] = pb_text(body->addrs[i]);
    ret->addrs_count = (uint32_t)body->n_addrs;
    ret->region = pb_text(body->region);
    ret->zone = pb_text(body->zone);
    if (body->role > MESHNODE__TRUST__ROLE__ROLE_VOTER) return MN_MALFORMED;
    ret->role = (grant_role)body->role;
    ret->weight = body->weight;
    ret->protocol_min = body->protocol_min;
    ret->protocol_max = body->protocol_max;
    ret->catalog_version = body->catalog_version;
    ret->ring_salt = body->ring_salt;
    ret->grant = pb_span(body->grant);
    if (!record_self_is_valid(ret)) return MN_MALFORMED;
    memcpy(ret->catalog_root, no_root, sizeof no_root);
    if (body->catalog_version == 0) return body->catalog_root.len == 0 ? MN_OK : MN_MALFORMED;
    return pb_fixed(body->catalog_root, ret->catalog_root, sizeof ret->catalog_root);
}

static mn_status record_read_keys(const Meshnode__Member__Record *body, struct record *ret)
{
    mn_status status = pb_fixed(body->sign_pk, ret->sign_pk, SIGN_PK_SIZE);

    if (status == MN_OK) status = pb_fixed(body->noise_pk, ret->noise_pk, IDENTITY_NOISE_SIZE);
    if (status == MN_OK) status = pb_fixed(body->static_sig, ret->static_sig, SIGN_SIZE);
    if (status == MN_OK) status = pb_id(body->boot_id, &ret->boot_id);
    if (status == MN_OK) ret->node_id = digest_node_id(ret->sign_pk);
    return status;
}

/* Does the grant belong to this key, and does it allow what the record says? */
static mn_status record_check_grant(const struct record *record)
{
    const struct grant *grant = &record->grant;
    struct mn_span region = mn_span_str(grant->region);

    if (memcmp(grant->sign_pk, record->sign_pk, SIGN_PK_SIZE) != 0) return MN_DENIED;
    if (!grant_role_allows(grant->role_max, record->said.role)) return MN_DENIED;
    if (region.size > 0 && !mn_span_equal(region, record->said.region)) return MN_DENIED;
    return MN_OK;
}

mn_status record_decode(struct mn_span signed_bytes, struct mn_arena *arena, struct record *ret)
{
    struct record record = {.signed_bytes = signed_bytes};
    const Meshnode__Member__Record *body;
    mn_status status =
        record_open(signed_bytes, RECORD_SIZE_MAX, arena, &record.body, record.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__member__record__descriptor, arena, record.body);
    if (body == NULL || body->incarnation == 0 || body->incarnation == UINT64_MAX)
        return MN_MALFORMED;
    if (body->state != MESHNODE__MEMBER__STATE__STATE_ALIVE &&
        body->state != MESHNODE__MEMBER__STATE__STATE_LEFT)
        return MN_MALFORMED;
    record.incarnation = body->incarnation;
    record.seq = body->seq;
    record.has_left = body->state == MESHNODE__MEMBER__STATE__STATE_LEFT;
    status = record_read_keys(body, &record);
    if (status == MN_OK) status = record_read_said(body, &record.said);
    if (status == MN_OK) status = grant_decode(record.said.grant, &record.grant);
    if (status == MN_OK) status = record_check_grant(&record);
    if (status == MN_OK) *ret = record;
    return status;
}

mn_status record_verify(const struct record *record, const struct authority *authority,
                        const struct grant_revoked *revoked, uint64_t wall_ms)
{
    struct mn_span noise_pk = mn_span(record->noise_pk, IDENTITY_NOISE_SIZE);
    mn_status status = grant_check(&record->grant, authority, revoked, wall_ms);

    if (status != MN_OK) return status;
    status = sign_check(record->sign_pk, SIGN_RECORD, &authority->mesh_id, record->body,
                        record->signature);
    if (status != MN_OK) return status;
    return sign_check(record->sign_pk, SIGN_STATIC, NULL, noise_pk, record->static_sig);
}

/* ---- keeping ---- */

static size_t record_texts_size(const struct record_self *said)
{
    size_t size = said->region.size + said->zone.size + said->grant.size;

    for (uint32_t i = 0; i < said->addrs_count; i++)
        size += said->addrs[i].size;
    return size;
}

static struct mn_span record_put(uint8_t **at, struct mn_span bytes)
{
    struct mn_span put = mn_span(*at, bytes.size);

    if (bytes.size > 0) memcpy(*at, bytes.data, bytes.size);
    *at += bytes.size;
    return put;
}

struct record *record_keep(const struct record *record, struct mn_pool *pool)
{
    size_t size = sizeof *record + record->signed_bytes.size + record_texts_size(&record->said);
    struct record *kept = mn_pool_alloc(pool, size);
    struct record_self *said;
    uint8_t *at;

    if (kept == NULL) return NULL;
    *kept = *record;
    at = (uint8_t *)(kept + 1);
    said = &kept->said;
    kept->signed_bytes = record_put(&at, record->signed_bytes);
    for (uint32_t i = 0; i < said->addrs_count; i++)
        said->addrs[i] = record_put(&at, said->addrs[i]);
    said->region = record_put(&at, said->region);
    said->zone = record_put(&at, said->zone);
    said->grant = record_put(&at, said->grant);
    kept->body = kept->grant.body = mn_span(NULL, 0);
    MN_ASSERT(at == (uint8_t *)kept + size);
    return kept;
}

int record_compare(const struct record *a, const struct record *b)
{
    if (a->incarnation != b->incarnation) return a->incarnation < b->incarnation ? -1 : 1;
    if (a->has_left != b->has_left) return a->has_left ? 1 : -1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

/* ---- accusations ---- */

void accusation_sign(struct accusation *accusation, const struct sign_key *accuser,
                     const mn_id *mesh_id, struct mn_arena *arena)
{
    Meshnode__Member__Accusation body = MESHNODE__MEMBER__ACCUSATION__INIT;

    body.subject = pb_id_bytes(&accusation->subject);
    body.subject_incarnation = accusation->subject_incarnation;
    body.kind = accusation->kind == ACCUSATION_DEAD ? MESHNODE__MEMBER__KIND__KIND_DEAD
                                                    : MESHNODE__MEMBER__KIND__KIND_SUSPECT;
    body.accuser = pb_id_bytes(&accusation->accuser);
    body.accuser_incarnation = accusation->accuser_incarnation;
    accusation->body = pb_pack_arena(&body.base, arena);
    accusation->signed_bytes = record_sign_body(accusation->body, accuser, SIGN_ACCUSE, mesh_id,
                                                arena, accusation->signature);
    MN_ASSERT(accusation->signed_bytes.size <= ACCUSATION_SIZE_MAX);
}

static mn_status accusation_read(const Meshnode__Member__Accusation *body, struct accusation *ret)
{
    mn_status status = pb_id(body->subject, &ret->subject);

    if (status == MN_OK) status = pb_id(body->accuser, &ret->accuser);
    if (status != MN_OK) return status;
    if (body->kind == MESHNODE__MEMBER__KIND__KIND_SUSPECT)
        ret->kind = ACCUSATION_SUSPECT;
    else if (body->kind == MESHNODE__MEMBER__KIND__KIND_DEAD)
        ret->kind = ACCUSATION_DEAD;
    else
        return MN_MALFORMED;
    ret->subject_incarnation = body->subject_incarnation;
    ret->accuser_incarnation = body->accuser_incarnation;
    return mn_id_equal(&ret->subject, &ret->accuser) ? MN_MALFORMED : MN_OK;
}

mn_status accusation_decode(struct mn_span signed_bytes, struct mn_arena *arena,
                            struct accusation *ret)
{
    struct accusation accusation = {.signed_bytes = signed_bytes};
    const Meshnode__Member__Accusation *body;
    mn_status status = record_open(signed_bytes, ACCUSATION_SIZE_MAX, arena, &accusation.body,
                                   accusation.signature);

    if (status != MN_OK) return status;
    body = pb_unpack(&meshnode__member__accusation__descriptor, arena, accusation.body);
    if (body == NULL) return MN_MALFORMED;
    status = accusation_read(body, &accusation);
    if (status == MN_OK) *ret = accusation;
    return status;
}

mn_status accusation_verify(const struct accusation *accusation,
                            const uint8_t accuser_pk[SIGN_PK_SIZE], const mn_id *mesh_id)
{
    return sign_check(accuser_pk, SIGN_ACCUSE, mesh_id, accusation->body, accusation->signature);
}
