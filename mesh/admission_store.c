#include <sodium.h>

#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"
#include "proto/pb.h"

/* Keys of the store: "authority/<version>", "grant", "issued/<node id>", "invite/<token id>",
 * "denied/<node id>", "withdrawn/<token id>", "found/<token id>", "bootstrap", "signed". */

struct recovered_document {
    struct mn_list all;
    uint64_t version;
    struct mn_buf *bytes;
};

/* ---- writing ---- */

void admission_persist(struct admission *a, const char *key, struct mn_span value)
{
    struct mn_arena *arena = a->outbox->arena;
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_PERSIST);

    output->persist.key = mn_arena_copy(arena, mn_span_str(key));
    output->persist.value = mn_arena_copy(arena, value);
}

void admission_persist_delete(struct admission *a, const char *key)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_PERSIST);

    output->persist.key = mn_arena_copy(a->outbox->arena, mn_span_str(key));
    output->persist.is_delete = true;
}

char *admission_key(struct admission *a, const char *kind, const mn_id *id)
{
    char hex[2 * sizeof id->bytes + 1];

    mn_hex_encode(mn_span(id->bytes, sizeof id->bytes), hex);
    return mn_arena_format(a->outbox->arena, "%s/%s", kind, hex);
}

static char *admission_version_key(struct admission *a, uint64_t version)
{
    return mn_arena_format(a->outbox->arena, "authority/%016llx", (unsigned long long)version);
}

void admission_store_chain(struct admission *a, uint32_t from)
{
    uint64_t first_version = a->chain.items[0]->version;

    for (uint32_t i = from; i < a->chain.count; i++)
        admission_persist(a, admission_version_key(a, a->chain.items[i]->version),
                          mn_buf_span(a->chain.items[i]->document));
    for (uint32_t i = a->chain.count; i < a->documents_stored; i++)
        admission_persist_delete(a, admission_version_key(a, first_version + i));
    a->documents_stored = a->chain.count;
}

/* Own copies: the bytes that a decoded grant points into are ours. */
static mn_status admission_set_grant(struct admission *a, struct mn_span bytes)
{
    struct mn_buf *copy = mn_buf_copy(bytes);
    mn_status status = grant_decode(mn_buf_span(copy), &a->grant);

    if (status != MN_OK) {
        mn_buf_unref(copy);
        return status;
    }
    mn_buf_unref(a->grant_bytes);
    a->grant_bytes = copy;
    return MN_OK;
}

void admission_adopt_grant(struct admission *a, struct mn_span bytes)
{
    mn_status status = admission_set_grant(a, bytes);

    MN_ASSERT(status == MN_OK);
    admission_persist(a, "grant", bytes);
}

static struct found_entry *admission_find_found(struct admission *a, struct mn_span token_pk)
{
    for (uint32_t i = 0; i < a->founds_count; i++)
        if (mn_span_equal(mn_span(a->founds[i].token_pk, SIGN_PK_SIZE), token_pk))
            return &a->founds[i];
    return NULL;
}

static void admission_persist_found(struct admission *a, const struct found_entry *entry)
{
    Meshnode__Trust__TokenFound value = MESHNODE__TRUST__TOKEN_FOUND__INIT;
    mn_id token_id = digest_token_id(entry->token_pk);

    value.token_pk = pb_bytes(mn_span(entry->token_pk, SIGN_PK_SIZE));
    value.found = pb_bytes(mn_buf_span(entry->bytes));
    admission_persist(a, admission_key(a, "found", &token_id),
                      pb_pack_arena(&value.base, a->outbox->arena));
}

void admission_keep_found(struct admission *a, struct mn_span token_pk, struct mn_span bytes,
                          bool persist)
{
    struct invite_found found;
    struct found_entry *entry;

    if (token_pk.size != SIGN_PK_SIZE || a->founds_count == ADMISSION_FOUNDS_MAX) return;
    if (admission_find_found(a, token_pk) != NULL) return;
    if (invite_found_check(bytes, token_pk.data, &found) != MN_OK) return;
    entry = &a->founds[a->founds_count++];
    memcpy(entry->token_pk, token_pk.data, SIGN_PK_SIZE);
    entry->bytes = mn_buf_copy(bytes);
    if (persist) admission_persist_found(a, entry);
}

/* ---- reading back ---- */

static bool admission_key_is(struct mn_span key, const char *kind)
{
    size_t size = strlen(kind);

    return key.size > size && memcmp(key.data, kind, size) == 0 && key.data[size] == '/';
}

static void admission_recover_document(struct admission *a, struct mn_span value)
{
    struct recovered_document *document;
    struct authority decoded;
    struct mn_list *at;

    if (authority_decode(value, &decoded) != MN_OK) return;
    document = mn_alloc(sizeof *document);
    document->version = decoded.version;
    document->bytes = mn_buf_copy(value);
    authority_done(&decoded);
    at = a->recovered.next;
    while (at != &a->recovered &&
           MN_CONTAINER(at, struct recovered_document, all)->version < document->version)
        at = at->next;
    mn_list_insert_before(at, &document->all);
}

static void admission_recover_found(struct admission *a, struct mn_span value)
{
    const Meshnode__Trust__TokenFound *found =
        pb_unpack(&meshnode__trust__token_found__descriptor, a->outbox->arena, value);

    if (found != NULL)
        admission_keep_found(a, pb_span(found->token_pk), pb_span(found->found), false);
}

static void admission_recover_withdrawal(struct admission *a, struct mn_span key)
{
    const char *hex = (const char *)key.data + strlen("withdrawn/");
    mn_id token_id;
    mn_status status =
        mn_hex_decode(mn_span(hex, key.size - strlen("withdrawn/")), token_id.bytes, 16);

    if (status == MN_OK) admission_keep_withdrawal(a, &token_id);
}

/* The store is ours, but a disk can lie: what does not decode is left out. */
void admission_on_recover(struct admission *a, struct mn_span key, struct mn_span value)
{
    if (mn_span_is(key, "grant")) {
        if (admission_set_grant(a, value) != MN_OK) a->grant_bytes = mn_buf_unref(a->grant_bytes);
    } else if (mn_span_is(key, "signed")) {
        mn_buf_unref(a->recovered_signed);
        a->recovered_signed = mn_buf_copy(value);
    } else if (mn_span_is(key, "bootstrap")) {
        if (value.size == sizeof a->bootstrap_token.bytes)
            memcpy(a->bootstrap_token.bytes, value.data, value.size);
    } else if (admission_key_is(key, "authority")) {
        admission_recover_document(a, value);
    } else if (admission_key_is(key, "issued")) {
        struct holder *holder = admission_keep_holder(a, value);
        if (holder != NULL) holder->is_issued = true;
    } else if (admission_key_is(key, "invite")) {
        admission_keep_invite(a, value);
    } else if (admission_key_is(key, "withdrawn")) {
        admission_recover_withdrawal(a, key);
    } else if (admission_key_is(key, "denied")) {
        admission_recover_denied(a, key, value);
    } else if (admission_key_is(key, "found")) {
        admission_recover_found(a, value);
    }
}

/* Puts the documents, which are in order of their versions, into the chain. */
static void admission_recover_chain(struct admission *a)
{
    struct mn_list *first;

    while ((first = mn_list_take(&a->recovered)) != NULL) {
        struct recovered_document *document = MN_CONTAINER(first, struct recovered_document, all);
        mn_status status = a->chain.count == 0
                               ? authority_chain_start(&a->chain, mn_buf_span(document->bytes))
                               : authority_chain_add(&a->chain, mn_buf_span(document->bytes));

        if (status != MN_OK)
            admission_trace(a, MN_EV_GRANT_REFUSED, NULL, document->version, 0, "stored authority");
        mn_buf_unref(document->bytes);
        mn_free(document);
    }
    a->documents_stored = a->chain.count;
}

/* A grant that ended is renewed as a guest; anything else wrong with it is for others to judge by
 * their clocks, except that it must be ours. */
void admission_on_recovered(struct admission *a)
{
    const struct authority *head;
    mn_status status;

    admission_recover_chain(a);
    admission_recover_signed(a);
    admission_recover_by_root(a);
    head = authority_chain_head(&a->chain);
    a->state = ADMISSION_EMPTY;
    if (head == NULL || a->grant_bytes == NULL) return;
    a->is_foreign = memcmp(a->grant.sign_pk, a->config.self->key.pk, SIGN_PK_SIZE) != 0;
    if (a->is_foreign || !mn_id_equal(&a->grant.mesh_id, &head->mesh_id)) return;
    if (head->dev != a->config.dev) {
        admission_fail(a, CODE(DEV_MISMATCH));
        return;
    }
    status = grant_check(&a->grant, head, a->config.revoked, mn_wall_ms(a->now));
    if (status != MN_OK)
        admission_trace(a, MN_EV_GRANT_REFUSED, &a->grant.node_id, (uint64_t)-status, 0, "own");
    a->joining.is_known = true;
    a->state = ADMISSION_MEMBER;
}

void admission_store_done(struct admission *a)
{
    struct mn_list *first;

    while ((first = mn_list_take(&a->recovered)) != NULL) {
        struct recovered_document *document = MN_CONTAINER(first, struct recovered_document, all);
        mn_buf_unref(document->bytes);
        mn_free(document);
    }
    for (uint32_t i = 0; i < a->founds_count; i++)
        mn_buf_unref(a->founds[i].bytes);
    mn_buf_unref(a->grant_bytes);
    mn_buf_unref(a->recovered_signed);
    authority_chain_done(&a->chain);
}
