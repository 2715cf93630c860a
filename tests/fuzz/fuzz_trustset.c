/* What a member says about the trust set: each input is a row of packets, every one with its size
 * in front as u16. Whatever comes, nothing is admitted: nobody but an issuer can sign. */
#include <sodium.h>
#include <stdlib.h>

#include "mesh/trustset.h"
#include "proto/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity self, other;
static struct authority authority;
static struct mn_buf *grant_bytes;

static void prepare(void)
{
    uint8_t seed[32] = {1};
    struct sign_key root;
    struct grant grant = {.name = "other", .not_after_ms = UINT64_MAX / 2, .authority_version = 1};
    struct mn_buf *document;

    if (sodium_init() < 0) abort();
    sign_key_init(&root, seed);
    seed[0] = 2;
    identity_init(&self, seed);
    seed[0] = 3;
    identity_init(&other, seed);
    document = authority_genesis_make(&(struct authority_genesis){
        .root = &root, .founder = self.key.pk, .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS});
    if (authority_decode(mn_buf_span(document), &authority) != MN_OK) abort();
    mn_buf_unref(document);
    grant.mesh_id = authority.mesh_id;
    memcpy(grant.sign_pk, other.key.pk, SIGN_PK_SIZE);
    grant_bytes = grant_sign(&grant, &self.key);
}

static void step(struct trustset *set, struct mn_arena *arena, const struct trustset_input *input)
{
    struct trustset_outbox outbox = {.arena = arena};

    trustset_step(set, (struct mn_now){MN_SEC, MN_DAY}, input, &outbox);
    trustset_check(set);
    mn_arena_reset(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_arena arena = {0};
    struct trustset *set;

    if (grant_bytes == NULL) prepare();
    set = trustset_new(&(struct trustset_config){.self = &self});
    step(set, &arena,
         &(struct trustset_input){.type = TRUSTSET_IN_AUTHORITY, .authority = &authority});
    step(set, &arena,
         &(struct trustset_input){.type = TRUSTSET_IN_LINK_UP,
                                  .node = other.node_id,
                                  .grant = mn_buf_span(grant_bytes)});
    step(set, &arena, &(struct trustset_input){.type = TRUSTSET_IN_TICK, .is_minter = true});
    for (size_t at = 0; at + 2 <= size;) {
        size_t packet = mn_load_u16(data + at);
        at += 2;
        if (packet > size - at) packet = size - at;
        step(set, &arena,
             &(struct trustset_input){.type = TRUSTSET_IN_MESSAGE,
                                      .node = other.node_id,
                                      .bytes = mn_span(data + at, packet)});
        at += packet;
    }
    if (trustset_counts(set).admitted != 2) abort(); /* the two keys that were made here */
    trustset_free(set);
    mn_arena_done(&arena);
    return 0;
}
