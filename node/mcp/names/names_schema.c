#include "node/mcp/names/names_schema.h"

static const struct json_limits kept_all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

static void forget(struct names *names, struct names_item *tool)
{
    for (uint32_t i = 0; i < tool->variants_count; i++)
        forget(names, &tool->variants[i]);
    if (tool->schema == NULL) return;
    names->schemas_size -= schema_size(tool->schema);
    schema_free(tool->schema);
    tool->schema = NULL;
}

void names_schema_forget(struct names *names, struct names_service *service)
{
    for (uint32_t i = 0; i < service->counts[NAMES_TOOLS]; i++)
        forget(names, &service->items[NAMES_TOOLS][i]);
}

static void forget_all(struct names *names)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&names->services, entry)) != NULL)
        names_schema_forget(names, MN_CONTAINER(entry, struct names_service, by_name));
}

/* Compiles the tool's schema, if that was not done. MN_CONFIG or MN_TOO_BIG: it is unusable. */
static mn_status get_schema(struct names *names, struct names_item *tool, struct mn_arena *arena,
                            struct mn_span *why)
{
    const struct json *definition, *text;
    struct schema *schema;
    mn_status status;

    if (tool->schema != NULL) return MN_OK;
    status = json_parse_copy(names->parser, tool->definition, (struct json_limits){128, 1, 4096},
                             arena, &definition);
    text = status == MN_OK ? json_find_str(definition, "inputSchema") : NULL;
    if (text == NULL) {
        *why = mn_span_str("it has too many members");
        return MN_TOO_BIG;
    }
    status = schema_new(names->parser, text->raw, arena, &schema, why);
    if (status != MN_OK) return status;
    if (names->schemas_size + schema_size(schema) > NAMES_SCHEMAS_MAX) forget_all(names);
    tool->schema = schema;
    names->schemas_size += schema_size(schema);
    return MN_OK;
}

/* Whether all levels were kept, and the text of every string: of a long one with escapes in a large
 * request it was not (feed.h). */
static bool is_whole(const struct json *value)
{
    for (uint32_t i = 0; i < value->skip; i++) {
        bool has_inside = value[i].type == JSON_ARRAY || value[i].type == JSON_OBJECT;
        if ((has_inside && !value[i].is_kept) ||
            (value[i].type == JSON_STRING && value[i].text.size == 0 && value[i].raw.size > 2))
            return false;
    }
    return true;
}

/* Arguments of which not all is there are parsed once more. */
static mn_status get_arguments(struct names *names, const struct json *arguments,
                               struct mn_arena *arena, const struct json **ret)
{
    if (arguments == NULL)
        return json_parse_copy(names->parser, mn_span_str("{}"), kept_all, arena, ret);
    if (!is_whole(arguments))
        return json_parse(names->parser, arguments->raw, kept_all, arena, ret);
    *ret = arguments;
    return MN_OK;
}

enum names_verdict names_judge(struct names *names, struct names_item *tool,
                               const struct json *arguments, struct mn_arena *arena,
                               struct mn_span *why)
{
    const struct json *value;
    mn_status status;

    if (arguments != NULL && arguments->raw.size > NAMES_JUDGED_MAX) {
        *why = mn_span_str("the arguments are larger than 1 MiB");
        return NAMES_UNJUDGED;
    }
    if (get_schema(names, tool, arena, why) != MN_OK) return NAMES_UNJUDGED;
    if (get_arguments(names, arguments, arena, &value) != MN_OK) {
        *why = mn_span_str("there are too many values in them");
        return NAMES_UNJUDGED;
    }
    status = schema_validate(tool->schema, value, arena, why);
    if (status == MN_TOO_BIG) return NAMES_UNJUDGED;
    return status == MN_OK ? NAMES_GOOD : NAMES_BAD;
}
