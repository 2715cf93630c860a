/* An arbitrary message of another member into a catalog, and into its decoder. */
#include <sodium.h>
#include <stdlib.h>

#include "node/core/catalog.h"
#include "node/core/catalog_wire.h"
#include "proto/base/check.h"

static struct identity self, other;
static const mn_id mesh = {{7}};

static void step(struct catalog *catalog, struct mn_arena *arena, mn_time mono,
                 const struct catalog_input *input)
{
    struct catalog_outbox outbox = {.arena = arena};

    catalog_step(catalog, (struct mn_now){mono, 0}, input, &outbox);
    catalog_check(catalog);
    for (uint32_t i = 0; i < outbox.count; i++)
        mn_buf_unref(outbox.items[i].buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalog_config config = {
        .self = &self, .memory_max = 100000, .coalesce = MN_MS, .retry = MN_SEC};
    struct catalog_input input = {.type = CATALOG_IN_MESH, .mesh_id = mesh};
    struct mn_arena arena = {0};
    struct catalog *catalog;
    uint8_t seed[IDENTITY_SEED_SIZE] = {1};

    if (sodium_init() == 0) {
        identity_init(&self, seed);
        seed[0] = 2;
        identity_init(&other, seed);
    }
    catalog = catalog_new(&config);
    step(catalog, &arena, MN_SEC, &input);
    input = (struct catalog_input){.type = CATALOG_IN_MEMBER, .node = other.node_id};
    memcpy(input.member.sign_pk, other.key.pk, sizeof input.member.sign_pk);
    input.member.root[0] = 1;
    step(catalog, &arena, MN_SEC, &input);
    input = (struct catalog_input){.type = CATALOG_IN_LINK_UP, .node = other.node_id};
    step(catalog, &arena, MN_SEC, &input);
    input = (struct catalog_input){
        .type = CATALOG_IN_MESSAGE, .node = other.node_id, .message = mn_span(data, size)};
    step(catalog, &arena, 2 * MN_SEC, &input);
    catalog_free(catalog);
    mn_arena_done(&arena);
    return 0;
}
