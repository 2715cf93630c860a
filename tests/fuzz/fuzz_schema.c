/* A schema and a value, one after the other with a NUL between: neither crashes, and judging ends.
 */
#include <stdlib.h>

#include "node/json/schema.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    struct mn_span why = {0}, text = mn_span(data, end == NULL ? size : (size_t)(end - data));
    const struct json *value;
    struct schema *schema;

    if (schema_new(parser, text, &arena, &schema, &why) != MN_OK) {
        MN_ASSERT(why.size > 0);
    } else {
        MN_ASSERT(schema_size(schema) > 0);
        if (end != NULL &&
            json_parse_copy(parser, mn_span(end + 1, size - text.size - 1), all, &arena, &value) ==
                MN_OK &&
            schema_validate(schema, value, &arena, &why) != MN_OK)
            MN_ASSERT(why.size > 0);
        schema_free(schema);
    }
    mn_arena_done(&arena);
    json_parser_free(parser);
    return 0;
}
