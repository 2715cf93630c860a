/* A record of whose a name is, as it comes from the mesh's map or the node's store: it is refused,
 * or says a node and a key, and means the same written again. */
#include <stdlib.h>

#include "node/json/json.h"
#include "node/node_inside.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mn_now now = {.wall = MN_HOUR};
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    uint8_t *copy = malloc(size + 1);
    struct node_owners_pair pair = {.key = mn_span_str("owner/name"), .rev = 7};
    struct services_owner owner, again;

    if (size > 0) memcpy(copy, data, size); /* exactly as large as it is */
    pair.value = mn_span(copy, size);
    if (node_owners_read(parser, &arena, &pair, &owner)) {
        MN_ASSERT(mn_span_is(owner.name, "name") && owner.rev == 7);
        pair.value = node_owners_write(&arena, now, &owner);
        MN_ASSERT(node_owners_read(parser, &arena, &pair, &again));
        MN_ASSERT(mn_id_equal(&owner.node, &again.node));
        MN_ASSERT(memcmp(owner.key, again.key, sizeof owner.key) == 0);
        MN_ASSERT(again.at_ms == mn_wall_ms(now));
    }
    free(copy);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return 0;
}
