#include "crypto/authority.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/pb.h"
#include "proto/trust.pb-c.h"

typedef uint8_t key_bytes[SIGN_PK_SIZE];

/* ---- decoding ---- */

static bool authority_has_key(const key_bytes *keys, uint32_t count, const uint8_t *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(keys[i], key, SIGN_PK_SIZE) == 0) return true;
    return false;
}

/* A list of distinct keys, at most [max]. */
static mn_status authority_read_keys(const ProtobufCBinaryData *fields, size_t count, uint32_t max,
                                     key_bytes *keys, uint32_t *ret_count)
{
    if (count > max) return MN_TOO_BIG;
    for (uint32_t i = 0; i < count; i++) {
        mn_status status = pb_fixed(fields[i], keys[i], SIGN_PK_SIZE);
        if (status != MN_OK) return status;
        if (authority_has_key((const key_bytes *)keys, i, keys[i])) return MN_MALFORMED;
    }
    *ret_count = (uint32_t)count;
    return MN_OK;
}

static mn_status authority_read_retired(const Meshnode__Trust__Authority *body,
                                        struct authority *ret)
{
    if (body->n_retired > AUTHORITY_RETIRED_MAX) return MN_TOO_BIG;
    for (uint32_t i = 0; i < body->n_retired; i++) {
        struct authority_retired *retired = &ret->retired[i];
        mn_status status = pb_fixed(body->retired[i]->key, retired->key, SIGN_PK_SIZE);
        if (status != MN_OK) return status;
        retired->until_ms = body->retired[i]->until_ms;
        if (authority_is_issuer(ret, retired->key)) return MN_MALFORMED;
        for (uint32_t j = 0; j < i; j++)
            if (memcmp(ret->retired[j].key, retired->key, SIGN_PK_SIZE) == 0) return MN_MALFORMED;
    }
    ret->retired_count = (uint32_t)body->n_retired;
    return MN_OK;
}

static bool authority_form_is_valid(const struct authority *authority, size_t prev_size)
{
    if (authority->version == 0) return false;
    if (prev_size != (authority->version == 1 ? 0 : AUTHORITY_HASH_SIZE)) return false;
    if (authority->issuers_count % 2 == 0 || authority->roots_count == 0) return false;
    return authority->grant_ttl_ms >= AUTHORITY_TTL_MIN_MS &&
           authority->grant_ttl_ms <= AUTHORITY_TTL_MAX_MS;
}

static mn_status authority_read_body(const Meshnode__Trust__Authority *body, struct authority *ret)
{
    mn_status status = pb_id(body->mesh_id, &ret->mesh_id);

    ret->version = body->version;
    ret->grant_ttl_ms = body->grant_ttl_ms;
    ret->created_ms = body->created_ms;
    ret->dev = body->dev;
    if (body->prev.len == AUTHORITY_HASH_SIZE)
        memcpy(ret->prev, body->prev.data, AUTHORITY_HASH_SIZE);
    if (status == MN_OK)
        status = authority_read_keys(body->issuers, body->n_issuers, AUTHORITY_ISSUERS_MAX,
                                     ret->issuers, &ret->issuers_count);
    if (status == MN_OK)
        status = authority_read_keys(body->roots, body->n_roots, AUTHORITY_ROOTS_MAX, ret->roots,
                                     &ret->roots_count);
    if (status == MN_OK) status = authority_read_retired(body, ret);
    if (status == MN_OK && !authority_form_is_valid(ret, body->prev.len)) status = MN_MALFORMED;
    return status;
}

/* At least one signature, each of another key. */
static mn_status authority_read_signatures(const Meshnode__Trust__AuthorityDocument *document,
                                           struct authority *ret)
{
    if (document->n_signatures == 0) return MN_MALFORMED;
    if (document->n_signatures > AUTHORITY_SIGNATURES_MAX) return MN_TOO_BIG;
    for (uint32_t i = 0; i < document->n_signatures; i++) {
        struct authority_signature *to = &ret->signatures[i];
        mn_status status = pb_fixed(document->signatures[i]->key, to->key, SIGN_PK_SIZE);
        if (status == MN_OK)
            status = pb_fixed(document->signatures[i]->signature, to->signature, SIGN_SIZE);
        if (status != MN_OK) return status;
        for (uint32_t j = 0; j < i; j++)
            if (memcmp(ret->signatures[j].key, to->key, SIGN_PK_SIZE) == 0) return MN_MALFORMED;
    }
    ret->signatures_count = (uint32_t)document->n_signatures;
    return MN_OK;
}

static void authority_hash(struct authority *authority)
{
    struct digest digest;

    digest_begin(&digest, DIGEST_AUTHORITY, AUTHORITY_HASH_SIZE);
    digest_fixed(&digest, mn_span(authority->mesh_id.bytes, sizeof authority->mesh_id.bytes));
    digest_variable(&digest, authority->body);
    digest_end(&digest, authority->hash);
}

/* The body stands first, so it is found in the document's own bytes behind tag and size. */
static void authority_keep_bytes(struct authority *authority, struct mn_span document,
                                 size_t body_size)
{
    size_t offset = body_size < 0x80 ? 2 : 3;

    authority->document = mn_buf_copy(document);
    authority->body = mn_span(authority->document->bytes + offset, body_size);
}

static mn_status authority_decode_in(struct mn_arena *arena, struct mn_span bytes,
                                     struct authority *ret)
{
    const Meshnode__Trust__AuthorityDocument *document;
    const Meshnode__Trust__Authority *body;
    mn_status status;

    document = pb_unpack(&meshnode__trust__authority_document__descriptor, arena, bytes);
    if (document == NULL) return MN_MALFORMED;
    /* One encoding only: a document is known by its bytes, and no bit of them is free. */
    if (document->base.n_unknown_fields > 0 ||
        !mn_span_equal(pb_pack_arena(&document->base, arena), bytes))
        return MN_MALFORMED;
    for (size_t i = 0; i < document->n_signatures; i++)
        if (document->signatures[i]->base.n_unknown_fields > 0) return MN_MALFORMED;
    body = pb_unpack(&meshnode__trust__authority__descriptor, arena, pb_span(document->body));
    if (body == NULL) return MN_MALFORMED;

    status = authority_read_body(body, ret);
    if (status == MN_OK) status = authority_read_signatures(document, ret);
    if (status != MN_OK) return status;
    authority_keep_bytes(ret, bytes, document->body.len);
    authority_hash(ret);
    return MN_OK;
}

mn_status authority_decode(struct mn_span document, struct authority *ret)
{
    struct authority authority = {.version = 0};
    struct mn_arena arena = {0};
    mn_status status;

    if (document.size > AUTHORITY_SIZE_MAX) return MN_TOO_BIG;
    status = authority_decode_in(&arena, document, &authority);
    if (status == MN_OK) *ret = authority;
    mn_arena_done(&arena);
    return status;
}

void authority_done(struct authority *authority)
{
    if (authority == NULL) return;
    authority->document = mn_buf_unref(authority->document);
    authority->body = mn_span(NULL, 0);
}

/* ---- encoding ---- */

static void authority_point_at(const key_bytes *keys, uint32_t count, ProtobufCBinaryData *fields)
{
    for (uint32_t i = 0; i < count; i++)
        fields[i] = pb_bytes(mn_span(keys[i], SIGN_PK_SIZE));
}

struct mn_buf *authority_body(const struct authority *authority)
{
    Meshnode__Trust__Authority body = MESHNODE__TRUST__AUTHORITY__INIT;
    Meshnode__Trust__RetiredKey retired[AUTHORITY_RETIRED_MAX], *pointers[AUTHORITY_RETIRED_MAX];
    ProtobufCBinaryData issuers[AUTHORITY_ISSUERS_MAX], roots[AUTHORITY_ROOTS_MAX];

    authority_point_at(authority->issuers, authority->issuers_count, issuers);
    authority_point_at(authority->roots, authority->roots_count, roots);
    for (uint32_t i = 0; i < authority->retired_count; i++) {
        meshnode__trust__retired_key__init(&retired[i]);
        retired[i].key = pb_bytes(mn_span(authority->retired[i].key, SIGN_PK_SIZE));
        retired[i].until_ms = authority->retired[i].until_ms;
        pointers[i] = &retired[i];
    }
    body.mesh_id = pb_id_bytes(&authority->mesh_id);
    body.version = authority->version;
    if (authority->version > 1) body.prev = pb_bytes(mn_span(authority->prev, AUTHORITY_HASH_SIZE));
    body.n_issuers = authority->issuers_count;
    body.issuers = issuers;
    body.n_roots = authority->roots_count;
    body.roots = roots;
    body.n_retired = authority->retired_count;
    body.retired = pointers;
    body.grant_ttl_ms = authority->grant_ttl_ms;
    body.dev = authority->dev;
    body.created_ms = authority->created_ms;
    return pb_pack(&body.base);
}

struct mn_buf *authority_sign(const mn_id *mesh_id, struct mn_span body,
                              const struct sign_key *const *keys, uint32_t keys_count)
{
    Meshnode__Trust__AuthorityDocument document = MESHNODE__TRUST__AUTHORITY_DOCUMENT__INIT;
    Meshnode__Trust__KeySignature signatures[AUTHORITY_SIGNATURES_MAX];
    Meshnode__Trust__KeySignature *pointers[AUTHORITY_SIGNATURES_MAX];
    uint8_t bytes[AUTHORITY_SIGNATURES_MAX][SIGN_SIZE];

    MN_ASSERT(keys_count <= AUTHORITY_SIGNATURES_MAX);
    for (uint32_t i = 0; i < keys_count; i++) {
        sign_make(keys[i], SIGN_AUTHORITY, mesh_id, body, bytes[i]);
        meshnode__trust__key_signature__init(&signatures[i]);
        signatures[i].key = pb_bytes(mn_span(keys[i]->pk, SIGN_PK_SIZE));
        signatures[i].signature = pb_bytes(mn_span(bytes[i], SIGN_SIZE));
        pointers[i] = &signatures[i];
    }
    document.body = pb_bytes(body);
    document.n_signatures = keys_count;
    document.signatures = pointers;
    return pb_pack(&document.base);
}

struct mn_buf *authority_genesis_make(const struct authority_genesis *genesis)
{
    struct authority first = {.mesh_id = digest_mesh_id(genesis->root->pk),
                              .version = 1,
                              .issuers_count = 1,
                              .roots_count = 1,
                              .grant_ttl_ms = genesis->grant_ttl_ms,
                              .created_ms = genesis->created_ms,
                              .dev = genesis->dev};
    struct mn_buf *body, *document;

    memcpy(first.issuers[0], genesis->founder, SIGN_PK_SIZE);
    memcpy(first.roots[0], genesis->root->pk, SIGN_PK_SIZE);
    body = authority_body(&first);
    document = authority_sign(&first.mesh_id, mn_buf_span(body), &genesis->root, 1);
    mn_buf_unref(body);
    return document;
}

/* ---- judging ---- */

const uint8_t *authority_pin(const struct authority *authority)
{
    return authority->hash;
}

bool authority_is_issuer(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE])
{
    return authority_has_key(authority->issuers, authority->issuers_count, pk);
}

bool authority_has_issuer(const struct authority *authority, const mn_id *node)
{
    for (uint32_t i = 0; i < authority->issuers_count; i++) {
        mn_id issuer = digest_node_id(authority->issuers[i]);
        if (mn_id_equal(&issuer, node)) return true;
    }
    return false;
}

uint64_t authority_until(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE])
{
    if (authority_is_issuer(authority, pk)) return UINT64_MAX;
    for (uint32_t i = 0; i < authority->retired_count; i++)
        if (memcmp(authority->retired[i].key, pk, SIGN_PK_SIZE) == 0)
            return authority->retired[i].until_ms;
    return 0;
}

bool authority_counts(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE],
                      uint64_t signed_ms)
{
    return signed_ms < authority_until(authority, pk);
}

static bool authority_key_has_id(const uint8_t *pk, const uint8_t kid[DIGEST_KID_SIZE])
{
    uint8_t own[DIGEST_KID_SIZE];

    digest_key_id(pk, own);
    return memcmp(own, kid, sizeof own) == 0;
}

const uint8_t *authority_find_issuer(const struct authority *authority,
                                     const uint8_t kid[DIGEST_KID_SIZE])
{
    for (uint32_t i = 0; i < authority->issuers_count; i++)
        if (authority_key_has_id(authority->issuers[i], kid)) return authority->issuers[i];
    for (uint32_t i = 0; i < authority->retired_count; i++)
        if (authority_key_has_id(authority->retired[i].key, kid)) return authority->retired[i].key;
    return NULL;
}

static mn_status authority_check_signature(const struct authority *document,
                                           const struct authority_signature *signature)
{
    return sign_check(signature->key, SIGN_AUTHORITY, &document->mesh_id, document->body,
                      signature->signature);
}

mn_status authority_check_genesis(const struct authority *genesis)
{
    mn_id mesh_id;

    if (genesis->version != 1 || genesis->roots_count != 1 || genesis->issuers_count != 1 ||
        genesis->retired_count != 0)
        return MN_MALFORMED;
    mesh_id = digest_mesh_id(genesis->roots[0]);
    if (!mn_id_equal(&mesh_id, &genesis->mesh_id)) return MN_WRONG_MESH;
    if (genesis->signatures_count != 1) return MN_BAD_SIGNATURE;
    if (memcmp(genesis->signatures[0].key, genesis->roots[0], SIGN_PK_SIZE) != 0)
        return MN_BAD_SIGNATURE;
    return authority_check_signature(genesis, &genesis->signatures[0]);
}

static bool authority_roots_equal(const struct authority *a, const struct authority *b)
{
    return a->roots_count == b->roots_count &&
           memcmp(a->roots, b->roots, a->roots_count * sizeof a->roots[0]) == 0;
}

/* Verifies every signature; each must be of an issuer or root of [prev]. Signers are counted as
 * distinct keys of prev's own list, however often or in whatever order they signed. */
static mn_status authority_count_signers(const struct authority *prev, const struct authority *next,
                                         uint32_t *ret_issuers, bool *ret_root)
{
    bool seen[AUTHORITY_ISSUERS_MAX] = {false};

    *ret_issuers = 0;
    *ret_root = false;
    for (uint32_t i = 0; i < next->signatures_count; i++) {
        const struct authority_signature *signature = &next->signatures[i];
        bool is_root = authority_has_key(prev->roots, prev->roots_count, signature->key);
        mn_status status;

        if (!is_root && !authority_is_issuer(prev, signature->key)) return MN_DENIED;
        status = authority_check_signature(next, signature);
        if (status != MN_OK) return status;
        if (is_root) *ret_root = true;
        for (uint32_t j = 0; j < prev->issuers_count; j++)
            if (memcmp(prev->issuers[j], signature->key, SIGN_PK_SIZE) == 0) seen[j] = true;
    }
    for (uint32_t j = 0; j < prev->issuers_count; j++)
        *ret_issuers += seen[j];
    return MN_OK;
}

mn_status authority_next(const struct authority *prev, const struct authority *next,
                         bool *ret_by_root)
{
    uint32_t issuers;
    bool by_root;
    mn_status status;

    if (!mn_id_equal(&prev->mesh_id, &next->mesh_id)) return MN_WRONG_MESH;
    if (next->version != prev->version + 1) return MN_STATE;
    if (memcmp(next->prev, prev->hash, AUTHORITY_HASH_SIZE) != 0) return MN_STATE;
    if (next->dev != prev->dev) return MN_DENIED; /* a dev mesh never becomes a real one */
    status = authority_count_signers(prev, next, &issuers, &by_root);
    if (status != MN_OK) return status;
    if (!by_root && !authority_roots_equal(prev, next)) return MN_DENIED;
    if (!by_root && issuers * 2 <= prev->issuers_count) return MN_DENIED;
    if (ret_by_root != NULL) *ret_by_root = by_root;
    return MN_OK;
}
