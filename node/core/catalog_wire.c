#include "node/core/catalog_wire.h"

#include "crypto/digest.h"
#include "crypto/sign.h"
#include "proto/base/check.h"
#include "proto/catalog.pb-c.h"
#include "proto/pb.h"

bool catalog_name_is_valid(struct mn_span name)
{
    if (name.size == 0 || name.size > CATALOG_OFFER_NAME_MAX) return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '_' && c != '-') return false;
    }
    return true;
}

void catalog_wire_hash(struct mn_span body, uint8_t ret[CATALOG_HASH_SIZE])
{
    digest_one(DIGEST_OFFER, body, ret, CATALOG_HASH_SIZE);
}

static struct mn_buf *catalog_wire_pack(Meshnode__Catalog__Message__WhatCase what, void *part)
{
    Meshnode__Catalog__Message message = MESHNODE__CATALOG__MESSAGE__INIT;

    message.what_case = what;
    message.pull = part; /* a union of pointers */
    return pb_pack(&message.base);
}

struct mn_buf *catalog_wire_pull(const mn_id *node)
{
    Meshnode__Catalog__Pull pull = MESHNODE__CATALOG__PULL__INIT;

    pull.node_id = pb_id_bytes(node);
    return catalog_wire_pack(MESHNODE__CATALOG__MESSAGE__WHAT_PULL, &pull);
}

struct mn_buf *catalog_wire_pull_body(const uint8_t hash[CATALOG_HASH_SIZE])
{
    Meshnode__Catalog__PullBody pull = MESHNODE__CATALOG__PULL_BODY__INIT;

    pull.hash = pb_bytes(mn_span(hash, CATALOG_HASH_SIZE));
    return catalog_wire_pack(MESHNODE__CATALOG__MESSAGE__WHAT_PULL_BODY, &pull);
}

struct mn_buf *catalog_wire_body(struct mn_span body)
{
    Meshnode__Catalog__Body message = MESHNODE__CATALOG__BODY__INIT;

    message.bytes = pb_bytes(body);
    return catalog_wire_pack(MESHNODE__CATALOG__MESSAGE__WHAT_BODY, &message);
}

struct mn_buf *catalog_wire_absent(void)
{
    Meshnode__Catalog__Absent absent = MESHNODE__CATALOG__ABSENT__INIT;

    return catalog_wire_pack(MESHNODE__CATALOG__MESSAGE__WHAT_ABSENT, &absent);
}

/* ---- catalogs ---- */

static bool catalog_wire_key_is_zero(const uint8_t key[CALL_KEY_SIZE])
{
    static const uint8_t zero[CALL_KEY_SIZE];
    return memcmp(key, zero, sizeof zero) == 0;
}

static Meshnode__Catalog__Offer *catalog_wire_offer_pb(const struct catalog_wire_offer *offer,
                                                       struct mn_arena *arena)
{
    Meshnode__Catalog__Offer *made = mn_arena_alloc(arena, sizeof *made);

    meshnode__catalog__offer__init(made);
    made->name =
        mn_arena_format(arena, "%.*s", (int)offer->name.size, (const char *)offer->name.data);
    made->hash = pb_bytes(mn_span(offer->hash, sizeof offer->hash));
    made->size = offer->size;
    if (!catalog_wire_key_is_zero(offer->replica_key))
        made->replica_key = pb_bytes(mn_span(offer->replica_key, sizeof offer->replica_key));
    return made;
}

static void catalog_wire_root(struct mn_span body, uint8_t ret[CATALOG_ROOT_SIZE])
{
    digest_one(DIGEST_CATALOG, body, ret, CATALOG_ROOT_SIZE);
}

struct mn_buf *catalog_wire_sign(struct catalog_wire *catalog, const struct identity *self,
                                 const mn_id *mesh_id, struct mn_arena *arena)
{
    Meshnode__Catalog__Catalog made = MESHNODE__CATALOG__CATALOG__INIT;
    Meshnode__Catalog__SignedCatalog envelope = MESHNODE__CATALOG__SIGNED_CATALOG__INIT;
    uint8_t signature[SIGN_SIZE];
    struct mn_span body;

    catalog->node = self->node_id;
    memcpy(catalog->sign_pk, self->key.pk, sizeof catalog->sign_pk);
    made.sign_pk = pb_bytes(mn_span(catalog->sign_pk, sizeof catalog->sign_pk));
    made.epoch = catalog->epoch;
    made.version = catalog->version;
    made.n_offers = catalog->count;
    made.offers = mn_arena_alloc(arena, catalog->count * sizeof *made.offers);
    for (uint32_t i = 0; i < catalog->count; i++)
        made.offers[i] = catalog_wire_offer_pb(&catalog->offers[i], arena);
    body = pb_pack_arena(&made.base, arena);
    MN_ASSERT(body.size <= CATALOG_SIZE_MAX);
    catalog_wire_root(body, catalog->root);
    sign_make(&self->key, SIGN_CATALOG, mesh_id, body, signature);
    envelope.body = pb_bytes(body);
    envelope.signature = pb_bytes(mn_span(signature, sizeof signature));
    return catalog_wire_pack(MESHNODE__CATALOG__MESSAGE__WHAT_CATALOG, &envelope);
}

static mn_status catalog_wire_offer(const Meshnode__Catalog__Offer *from,
                                    struct catalog_wire_offer *ret)
{
    *ret = (struct catalog_wire_offer){.name = pb_text(from->name), .size = from->size};
    if (!catalog_name_is_valid(ret->name)) return MN_MALFORMED;
    if (from->size > CATALOG_BODY_MAX) return MN_TOO_BIG;
    if (pb_fixed(from->hash, ret->hash, sizeof ret->hash) != MN_OK) return MN_MALFORMED;
    if (from->replica_key.len == 0) return MN_OK;
    return pb_fixed(from->replica_key, ret->replica_key, sizeof ret->replica_key);
}

static mn_status catalog_wire_offers(const Meshnode__Catalog__Catalog *from, struct mn_arena *arena,
                                     struct catalog_wire *ret)
{
    struct catalog_wire_offer *offers;

    if (from->n_offers > CATALOG_OFFERS_MAX) return MN_TOO_BIG;
    offers = mn_arena_alloc(arena, from->n_offers * sizeof *offers);
    for (uint32_t i = 0; i < from->n_offers; i++) {
        mn_status status = catalog_wire_offer(from->offers[i], &offers[i]);
        if (status != MN_OK) return status;
        if (i > 0 && mn_span_compare(offers[i - 1].name, offers[i].name) >= 0) return MN_MALFORMED;
    }
    ret->offers = offers;
    ret->count = (uint32_t)from->n_offers;
    return MN_OK;
}

static mn_status catalog_wire_catalog(const Meshnode__Catalog__SignedCatalog *from,
                                      const mn_id *mesh_id, struct mn_arena *arena,
                                      struct catalog_wire *ret)
{
    Meshnode__Catalog__Catalog *body;
    uint8_t signature[SIGN_SIZE];
    mn_status status;

    if (from->body.len > CATALOG_SIZE_MAX) return MN_TOO_BIG;
    if (pb_fixed(from->signature, signature, sizeof signature) != MN_OK) return MN_MALFORMED;
    body = pb_unpack(&meshnode__catalog__catalog__descriptor, arena, pb_span(from->body));
    if (body == NULL || pb_fixed(body->sign_pk, ret->sign_pk, sizeof ret->sign_pk) != MN_OK)
        return MN_MALFORMED;
    if (body->epoch == 0 || body->version == 0) return MN_MALFORMED;
    status = catalog_wire_offers(body, arena, ret);
    if (status != MN_OK) return status;
    ret->node = digest_node_id(ret->sign_pk);
    ret->epoch = body->epoch;
    ret->version = body->version;
    catalog_wire_root(pb_span(from->body), ret->root);
    return sign_check(ret->sign_pk, SIGN_CATALOG, mesh_id, pb_span(from->body), signature);
}

mn_status catalog_wire_decode(struct mn_span bytes, const mn_id *mesh_id, struct mn_arena *arena,
                              struct catalog_wire_message *ret)
{
    Meshnode__Catalog__Message *message;

    if (bytes.size > CATALOG_MESSAGE_MAX) return MN_TOO_BIG;
    message = pb_unpack(&meshnode__catalog__message__descriptor, arena, bytes);
    if (message == NULL) return MN_MALFORMED;
    memset(ret, 0, sizeof *ret);
    switch (message->what_case) {
    case MESHNODE__CATALOG__MESSAGE__WHAT_PULL:
        ret->type = CATALOG_WIRE_PULL;
        return pb_id(message->pull->node_id, &ret->node);
    case MESHNODE__CATALOG__MESSAGE__WHAT_CATALOG:
        ret->type = CATALOG_WIRE_CATALOG;
        return catalog_wire_catalog(message->catalog, mesh_id, arena, &ret->catalog);
    case MESHNODE__CATALOG__MESSAGE__WHAT_PULL_BODY:
        ret->type = CATALOG_WIRE_PULL_BODY;
        return pb_fixed(message->pull_body->hash, ret->hash, sizeof ret->hash);
    case MESHNODE__CATALOG__MESSAGE__WHAT_BODY:
        ret->type = CATALOG_WIRE_BODY;
        ret->body = pb_span(message->body->bytes);
        return ret->body.size <= CATALOG_BODY_MAX ? MN_OK : MN_TOO_BIG;
    case MESHNODE__CATALOG__MESSAGE__WHAT_ABSENT: ret->type = CATALOG_WIRE_ABSENT; return MN_OK;
    case MESHNODE__CATALOG__MESSAGE__WHAT__NOT_SET:
    case _MESHNODE__CATALOG__MESSAGE__WHAT__CASE_IS_INT_SIZE: break;
    }
    return MN_MALFORMED;
}
