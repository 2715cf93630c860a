/* Reads lines {"schema": ..., "data": ...} and answers each with "valid", "invalid: why" or
 * "unusable: why": what the comparison with other validators drives. */
#include <stdio.h>
#include <stdlib.h>

#include "node/json/schema.h"

static void judge(struct json_parser *parser, struct mn_arena *arena, struct mn_span line)
{
    const struct json_limits all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
    const struct json *pair, *text, *data;
    struct schema *schema = NULL;
    struct mn_span why = {0};
    const char *verdict = "unusable";
    mn_status status;

    if (json_parse_copy(parser, line, all, arena, &pair) != MN_OK) {
        puts("unusable: the line is no JSON");
        return;
    }
    text = json_find_str(pair, "schema");
    data = json_find_str(pair, "data");
    status = schema_new(parser, text->raw, arena, &schema, &why);
    if (status == MN_OK) {
        status = schema_validate(schema, data, arena, &why);
        verdict = status == MN_OK ? "valid" : status == MN_MALFORMED ? "invalid" : "unusable";
    }
    schema_free(schema);
    if (status == MN_OK)
        puts(verdict);
    else
        printf("%s: %.*s\n", verdict, (int)why.size, (const char *)why.data);
}

int main(void)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, stdin)) > 0) {
        judge(parser, &arena, mn_span(line, (size_t)size));
        mn_arena_reset(&arena);
    }
    free(line);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return 0;
}
