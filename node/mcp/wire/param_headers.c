#include "node/mcp/wire/param_headers.h"

#include <sodium.h>

/* Property names from the root of the schema down to where the walk is. */
struct param_headers_walk {
    struct mn_arena *arena;
    struct param_header *items;
    uint32_t count, capacity;
    struct mn_span path[JSON_DEPTH_MAX];
    uint32_t path_count;
};

static bool param_headers_is_token(struct mn_span name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) return false;
    }
    return name.size > 0 && name.size <= 128;
}

static bool param_headers_is_markable(const struct json *type)
{
    struct mn_span name = json_text(type);
    return mn_span_is(name, "string") || mn_span_is(name, "integer") || mn_span_is(name, "boolean");
}

static struct mn_span param_headers_name(struct mn_span mark, struct mn_arena *arena)
{
    static const char prefix[] = "mcp-param-";
    size_t size = sizeof prefix - 1;
    uint8_t *name = mn_arena_alloc(arena, size + mark.size);

    memcpy(name, prefix, size);
    for (size_t i = 0; i < mark.size; i++) {
        uint8_t c = mark.data[i];
        name[size + i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    }
    return mn_span(name, size + mark.size);
}

static mn_status param_headers_mark(struct param_headers_walk *walk, const struct json *mark,
                                    const struct json *schema)
{
    if (!json_is(mark, JSON_STRING) || !param_headers_is_token(mark->text) ||
        walk->path_count == 0 || !param_headers_is_markable(json_find_str(schema, "type")))
        return MN_MALFORMED;
    if (walk->count == PARAM_HEADERS_MAX) return MN_TOO_BIG;
    struct param_header param = {.header = param_headers_name(mark->text, walk->arena),
                                 .path_count = walk->path_count};
    for (uint32_t i = 0; i < walk->count; i++)
        if (mn_span_equal(walk->items[i].header, param.header)) return MN_MALFORMED;
    struct mn_span *path = mn_arena_alloc(walk->arena, walk->path_count * sizeof *path);
    for (uint32_t i = 0; i < walk->path_count; i++)
        path[i] = mn_arena_copy(walk->arena, walk->path[i]);
    param.path = path;
    walk->items =
        mn_arena_grow(walk->arena, walk->items, walk->count, &walk->capacity, sizeof *walk->items);
    walk->items[walk->count++] = param;
    return MN_OK;
}

/* No mark may stand below a keyword that is not "properties". Depth is bounded by the parser. */
static mn_status param_headers_refuse(const struct json *value)
{
    mn_status status = MN_OK;

    if (value->type == JSON_ARRAY) {
        for (const struct json *item = json_first(value); item != NULL && status == MN_OK;
             item = json_next(value, item))
            status = param_headers_refuse(item);
    } else if (value->type == JSON_OBJECT) {
        for (const struct json *key = json_first(value); key != NULL && status == MN_OK;
             key = json_next(value, key)) {
            if (mn_span_is(key->text, "x-mcp-header")) return MN_MALFORMED;
            status = param_headers_refuse(json_value(key));
        }
    }
    return status;
}

/* Keywords whose value is data, not a schema: a mark in there is no mark. */
static bool param_headers_is_data(struct mn_span keyword)
{
    return mn_span_is(keyword, "default") || mn_span_is(keyword, "const") ||
           mn_span_is(keyword, "enum") || mn_span_is(keyword, "examples");
}

static mn_status param_headers_schema(struct param_headers_walk *walk, const struct json *schema);

static mn_status param_headers_properties(struct param_headers_walk *walk,
                                          const struct json *properties)
{
    mn_status status = MN_OK;

    for (const struct json *key = json_first(properties); key != NULL && status == MN_OK;
         key = json_next(properties, key)) {
        if (json_value(key)->type != JSON_OBJECT) continue;
        if (walk->path_count == JSON_DEPTH_MAX) return MN_TOO_BIG;
        walk->path[walk->path_count++] = key->text;
        status = param_headers_schema(walk, json_value(key));
        walk->path_count--;
    }
    return status;
}

static mn_status param_headers_schema(struct param_headers_walk *walk, const struct json *schema)
{
    mn_status status = MN_OK;

    for (const struct json *key = json_first(schema); key != NULL && status == MN_OK;
         key = json_next(schema, key)) {
        const struct json *value = json_value(key);
        if (mn_span_is(key->text, "x-mcp-header"))
            status = param_headers_mark(walk, value, schema);
        else if (mn_span_is(key->text, "properties") && value->type == JSON_OBJECT)
            status = param_headers_properties(walk, value);
        else if (!param_headers_is_data(key->text))
            status = param_headers_refuse(value);
    }
    return status;
}

mn_status param_headers_params(const struct json *schema, struct mn_arena *arena,
                               struct param_headers *ret)
{
    struct param_headers_walk walk = {.arena = arena};
    mn_status status = MN_OK;

    if (json_is(schema, JSON_OBJECT)) status = param_headers_schema(&walk, schema);
    if (status == MN_OK) *ret = (struct param_headers){walk.items, walk.count};
    return status;
}

static bool param_headers_is_sentinel(struct mn_span text)
{
    return text.size >= 11 && memcmp(text.data, "=?base64?", 9) == 0 &&
           memcmp(text.data + text.size - 2, "?=", 2) == 0;
}

static bool param_headers_is_plain(struct mn_span text)
{
    if (text.size == 0) return true;
    if (strchr(" \t", text.data[0]) != NULL || strchr(" \t", text.data[text.size - 1]) != NULL)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] > 0x7e) return false;
    return !param_headers_is_sentinel(text);
}

struct mn_span param_headers_value(struct mn_span text, struct mn_arena *arena)
{
    if (param_headers_is_plain(text)) return mn_arena_copy(arena, text);
    size_t size = (text.size + 2) / 3 * 4 + 1; /* of the base64, with a NUL */
    char *value = mn_arena_alloc(arena, 9 + size + 2);
    memcpy(value, "=?base64?", 9);
    sodium_bin2base64(value + 9, size, text.data, text.size, sodium_base64_VARIANT_ORIGINAL);
    memcpy(value + 9 + size - 1, "?=", 3);
    return mn_span_str(value);
}

static const struct json *param_headers_argument(const struct param_header *param,
                                                 const struct json *arguments)
{
    const struct json *value = arguments;

    for (uint32_t i = 0; i < param->path_count; i++)
        value = json_find(value, param->path[i]);
    return value;
}

uint32_t param_headers_fill(const struct param_headers *params, const struct json *arguments,
                            struct mn_arena *arena, struct edge_header *to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < params->count; i++) {
        const struct json *value = param_headers_argument(&params->items[i], arguments);
        if (value == NULL || value->type == JSON_NULL || value->type == JSON_ARRAY ||
            value->type == JSON_OBJECT)
            continue;
        struct mn_span text = value->type == JSON_STRING ? value->text : value->raw;
        to[count++] =
            (struct edge_header){params->items[i].header, param_headers_value(text, arena)};
    }
    return count;
}
