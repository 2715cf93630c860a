#include "node/json/schema_internal.h"
#include "proto/base/check.h"

static const struct {
    const char *text;
    enum schema_shape shape;
} keywords[] = {/* by enum schema_keyword, less one */
#define X(name, text, shape) {text, SCHEMA_SHAPE_##shape},
                SCHEMA_KEYWORDS(X)
#undef X
};

/* One compilation. The first failure wins. */
struct compile {
    struct schema *schema;
    struct mn_arena *arena; /* of [why] */
    struct mn_span *why;
    mn_status status;
};

static void compile_fail(struct compile *compile, mn_status status, const char *what,
                         struct mn_span about)
{
    if (compile->status != MN_OK) return;
    compile->status = status;
    *compile->why = mn_span_str(mn_arena_format(compile->arena, "%s: %.*s", what,
                                                about.size > 200 ? 200 : (int)about.size,
                                                about.size == 0 ? "" : (const char *)about.data));
}

/* Its number, enum schema_keyword. */
static uint8_t keyword_find(struct mn_span name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (mn_span_is(name, keywords[i].text)) return (uint8_t)(i + 1);
    return SCHEMA_NO_KEYWORD;
}

/* ---- patterns ---- */

/* The most that it wants of one thing ("a{200,}"): that is read again wherever it is tried. */
static uint16_t pattern_stride(struct mn_span text)
{
    uint32_t most = 0;

    for (size_t i = 0; i < text.size; i++) {
        uint32_t number = 0;
        if (text.data[i] == '\\') { /* in \u{...} and \p{...} is no count */
            bool has_name = ++i < text.size && memchr("upP", text.data[i], 3) != NULL;
            if (has_name && i + 1 < text.size && text.data[i + 1] == '{') i++;
        } else if (text.data[i] == '{') {
            while (++i < text.size && text.data[i] >= '0' && text.data[i] <= '9')
                if (number <= UINT16_MAX) number = number * 10 + (uint32_t)(text.data[i] - '0');
            i--;
        }
        if (number > most) most = number;
    }
    return most > UINT16_MAX ? UINT16_MAX : (uint16_t)most;
}

static void compile_pattern(struct compile *compile, const struct json *node)
{
    const uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY |
                             PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    struct schema_place *place = schema_place(compile->schema, node);
    PCRE2_SIZE offset, size = 0;
    uint32_t backreferences = 0;
    int error;

    if (context == NULL || node->text.size > SCHEMA_PATTERN_MAX) {
        compile_fail(compile, MN_TOO_BIG, "a pattern is too long", node->text);
        goto done;
    }
    pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    pcre2_set_parens_nest_limit(context, 50);
    place->pattern = pcre2_compile(node->text.size == 0 ? (PCRE2_SPTR) "" : node->text.data,
                                   node->text.size, options, &error, &offset, context);
    if (place->pattern == NULL && error == PCRE2_ERROR_PATTERN_TOO_LARGE) {
        compile_fail(compile, MN_TOO_BIG, "a pattern repeats too much", node->raw);
        goto done;
    }
    if (place->pattern == NULL) {
        compile_fail(compile, MN_CONFIG, "this pattern is no regular expression", node->raw);
        goto done;
    }
    pcre2_pattern_info(place->pattern, PCRE2_INFO_SIZE, &size);
    pcre2_pattern_info(place->pattern, PCRE2_INFO_BACKREFMAX, &backreferences);
    place->stride = backreferences > 0 ? UINT16_MAX : pattern_stride(node->text);
    compile->schema->patterns_size += size;
done:
    pcre2_compile_context_free(context);
}

/* ---- which nodes are schemas, and what they are called ---- */

static void visit(struct compile *compile, const struct json *node, uint16_t resource);

static void visit_members(struct compile *compile, const struct json *value, uint16_t resource,
                          bool has_patterns)
{
    if (!json_is(value, JSON_OBJECT)) {
        compile_fail(compile, MN_CONFIG, "an object with schemas should stand here", value->raw);
        return;
    }
    for (const struct json *key = json_first(value); key != NULL; key = json_next(value, key)) {
        if (has_patterns) compile_pattern(compile, key);
        /* "dependencies" has lists of names, too */
        if (json_value(key)->type != JSON_ARRAY) visit(compile, json_value(key), resource);
    }
}

static void visit_list(struct compile *compile, const struct json *value, uint16_t resource)
{
    if (!json_is(value, JSON_ARRAY)) {
        compile_fail(compile, MN_CONFIG, "a list of schemas should stand here", value->raw);
        return;
    }
    for (const struct json *item = json_first(value); item != NULL; item = json_next(value, item))
        visit(compile, item, resource);
}

static bool is_type_name(const struct json *name)
{
    static const char *const names[] = {"object",  "array",   "string", "number",
                                        "integer", "boolean", "null"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name->type == JSON_STRING && mn_span_is(name->text, names[i])) return true;
    return false;
}

/* With another one, such as "int", no value would match: rather nothing is judged. */
static bool is_types(const struct json *value)
{
    if (value->type != JSON_ARRAY) return is_type_name(value);
    for (const struct json *name = json_first(value); name != NULL; name = json_next(value, name))
        if (!is_type_name(name)) return false;
    return value->count > 0;
}

/* A keyword whose value is no schema: is it of the right type? */
static bool is_of_shape(enum schema_shape shape, const struct json *value)
{
    enum json_type type = value->type;
    bool is_flag = type == JSON_TRUE || type == JSON_FALSE;

    switch (shape) {
    /* until draft-04 exclusiveMaximum was a flag: no limit of ours */
    case SCHEMA_SHAPE_NUMBER: return type == JSON_NUMBER || is_flag;
    case SCHEMA_SHAPE_DIVISOR: return type == JSON_NUMBER && schema_number_is_divisor(value->raw);
    case SCHEMA_SHAPE_PATTERN:
    case SCHEMA_SHAPE_STRING: return type == JSON_STRING;
    case SCHEMA_SHAPE_TYPES: return is_types(value);
    case SCHEMA_SHAPE_ARRAY: return type == JSON_ARRAY;
    case SCHEMA_SHAPE_OBJECT: return type == JSON_OBJECT;
    case SCHEMA_SHAPE_FLAG: return is_flag;
    case SCHEMA_SHAPE_ANY:
    case SCHEMA_SHAPE_ONE:
    case SCHEMA_SHAPE_LIST:
    case SCHEMA_SHAPE_ITEMS:
    case SCHEMA_SHAPE_NAMED:
    case SCHEMA_SHAPE_PATTERNS: return true;
    }
    return true;
}

static void visit_keyword(struct compile *compile, const struct json *key, uint16_t resource)
{
    const struct json *value = json_value(key);
    uint8_t keyword = keyword_find(key->text);
    enum schema_shape shape;

    schema_place(compile->schema, key)->keyword = keyword;
    if (keyword == SCHEMA_NO_KEYWORD) return;
    shape = keywords[keyword - 1].shape;
    if (keyword == SCHEMA_UNEVALUATED_ITEMS || keyword == SCHEMA_UNEVALUATED_PROPERTIES)
        compile->schema->tracks = true;
    if (shape == SCHEMA_SHAPE_ITEMS) /* an array is draft-07's prefixItems */
        shape = value->type == JSON_ARRAY ? SCHEMA_SHAPE_LIST : SCHEMA_SHAPE_ONE;
    if (shape == SCHEMA_SHAPE_ONE)
        visit(compile, value, resource);
    else if (shape == SCHEMA_SHAPE_LIST)
        visit_list(compile, value, resource);
    else if (shape == SCHEMA_SHAPE_NAMED || shape == SCHEMA_SHAPE_PATTERNS)
        visit_members(compile, value, resource, shape == SCHEMA_SHAPE_PATTERNS);
    else if (!is_of_shape(shape, value))
        compile_fail(compile, MN_CONFIG, "a keyword has a value of the wrong type", value->raw);
    else if (shape == SCHEMA_SHAPE_PATTERN)
        compile_pattern(compile, value);
}

static void add_anchor(struct schema *schema, struct mn_span name, const struct json *node,
                       uint16_t resource, bool is_dynamic)
{
    if (name.size == 0) return;
    schema->anchors = mn_arena_grow(&schema->arena, schema->anchors, schema->anchors_count,
                                    &schema->anchors_capacity, sizeof *schema->anchors);
    schema->anchors[schema->anchors_count++] =
        (struct schema_anchor){name, schema_index(schema, node), resource, is_dynamic};
}

static bool is_old_dialect(struct mn_span dialect)
{
    static const char begin[] = "://json-schema.org/draft-0"; /* -03 to -07; later: draft/2019-09 */
    size_t scheme = dialect.size > 5 && dialect.data[4] == 's' ? 5 : 4;

    return dialect.size >= scheme + strlen(begin) &&
           memcmp(dialect.data + scheme, begin, strlen(begin)) == 0;
}

/* The resource that [node] belongs to: a new one when it has an $id. */
static uint16_t enter_resource(struct compile *compile, const struct json *node, uint16_t outer)
{
    struct schema *schema = compile->schema;
    bool is_root = node == schema->root;
    bool is_old = is_root ? false : schema->resources[outer].is_old;
    const struct json *dialect = json_find_str(node, "$schema");
    struct mn_span id = json_text(json_find_str(node, "$id"));

    if (dialect != NULL) is_old = is_old_dialect(json_text(dialect));
    if (is_old && json_find_str(node, "$ref") != NULL) id = mn_span(NULL, 0);
    if (is_old && id.size > 0 && id.data[0] == '#') { /* draft-07's $anchor */
        add_anchor(schema, mn_span(id.data + 1, id.size - 1), node, outer, false);
        id = mn_span(NULL, 0);
    }
    if (id.size > 0 && id.data[id.size - 1] == '#') id.size--;
    if (!is_root && id.size == 0) return outer;
    if (schema->resources_count >= UINT16_MAX - 1) {
        compile_fail(compile, MN_TOO_BIG, "too many embedded schemas", id);
        return outer;
    }
    schema->resources = mn_arena_grow(&schema->arena, schema->resources, schema->resources_count,
                                      &schema->resources_capacity, sizeof *schema->resources);
    schema->resources[schema->resources_count] =
        (struct schema_resource){id, schema_index(schema, node), is_old};
    return (uint16_t)schema->resources_count++;
}

/* Recursion is bounded by the depth of the parsed text. */
static void visit(struct compile *compile, const struct json *node, uint16_t resource)
{
    struct schema *schema = compile->schema;

    if (compile->status != MN_OK || schema_place(schema, node)->resource != 0) return;
    if (node->type == JSON_TRUE || node->type == JSON_FALSE) {
        schema_place(schema, node)->resource = (uint16_t)(resource + 1);
        return;
    }
    if (node->type != JSON_OBJECT) {
        compile_fail(compile, MN_CONFIG, "a schema should stand here", node->raw);
        return;
    }
    resource = enter_resource(compile, node, resource);
    schema_place(schema, node)->resource = (uint16_t)(resource + 1);
    add_anchor(schema, json_text(json_find_str(node, "$anchor")), node, resource, false);
    add_anchor(schema, json_text(json_find_str(node, "$dynamicAnchor")), node, resource, true);
    for (const struct json *key = json_first(node); key != NULL; key = json_next(node, key))
        visit_keyword(compile, key, resource);
}

/* ---- references ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One step of a JSON pointer in a URI fragment (RFC 6901, section 6), unescaped. */
static struct mn_span pointer_step(struct mn_arena *arena, struct mn_span step)
{
    uint8_t *out = mn_arena_alloc(arena, step.size + 1);
    size_t count = 0;

    for (size_t i = 0; i < step.size; i++) {
        uint8_t c = step.data[i];
        if (c == '%' && i + 2 < step.size && hex_digit(step.data[i + 1]) >= 0 &&
            hex_digit(step.data[i + 2]) >= 0) {
            c = (uint8_t)(hex_digit(step.data[i + 1]) * 16 + hex_digit(step.data[i + 2]));
            i += 2;
        }
        if (c == '~' && i + 1 < step.size && (step.data[i + 1] == '0' || step.data[i + 1] == '1'))
            c = step.data[++i] == '0' ? '~' : '/';
        out[count++] = c;
    }
    return mn_span(out, count);
}

static const struct json *array_item(const struct json *array, struct mn_span step)
{
    uint32_t index = 0;
    const struct json *item = json_first(array);

    if (step.size == 0 || step.size > 6) return NULL;
    for (size_t i = 0; i < step.size; i++) {
        if (step.data[i] < '0' || step.data[i] > '9') return NULL;
        index = index * 10 + (uint32_t)(step.data[i] - '0');
    }
    while (item != NULL && index-- > 0)
        item = json_next(array, item);
    return item;
}

static const struct json *follow_pointer(struct schema *schema, const struct json *from,
                                         struct mn_span pointer)
{
    const struct json *at = from;

    while (at != NULL && pointer.size > 0) {
        const uint8_t *next;
        struct mn_span step;

        if (pointer.data[0] != '/') return NULL;
        pointer = mn_span(pointer.data + 1, pointer.size - 1);
        next = pointer.size == 0 ? NULL : memchr(pointer.data, '/', pointer.size);
        step = mn_span(pointer.data, next == NULL ? pointer.size : (size_t)(next - pointer.data));
        pointer = mn_span(pointer.data + step.size, pointer.size - step.size);
        step = pointer_step(&schema->arena, step);
        at = at->type == JSON_ARRAY ? array_item(at, step) : json_find(at, step);
    }
    return at;
}

static const struct schema_anchor *find_anchor(const struct schema *schema, uint16_t resource,
                                               struct mn_span name)
{
    for (uint32_t i = 0; i < schema->anchors_count; i++)
        if (schema->anchors[i].resource == resource && mn_span_equal(schema->anchors[i].name, name))
            return &schema->anchors[i];
    return NULL;
}

static const struct json *find_target(struct schema *schema, uint16_t resource, struct mn_span ref,
                                      uint16_t *ret_resource)
{
    const uint8_t *hash = ref.size == 0 ? NULL : memchr(ref.data, '#', ref.size);
    struct mn_span id = mn_span(ref.data, hash == NULL ? ref.size : (size_t)(hash - ref.data));
    struct mn_span fragment = mn_span(NULL, 0);
    const struct schema_anchor *anchor;

    if (hash != NULL) fragment = mn_span(hash + 1, ref.size - id.size - 1);
    if (id.size > 0) {
        uint32_t i = 0;
        while (i < schema->resources_count && !mn_span_equal(schema->resources[i].id, id))
            i++;
        if (i == schema->resources_count) return NULL;
        resource = (uint16_t)i;
    }
    *ret_resource = resource;
    if (fragment.size == 0) return schema->root + schema->resources[resource].root;
    if (fragment.data[0] == '/')
        return follow_pointer(schema, schema->root + schema->resources[resource].root, fragment);
    anchor = find_anchor(schema, resource, fragment);
    return anchor == NULL ? NULL : schema->root + anchor->node;
}

/* What a reference means may be no schema by any keyword yet; it is one then, and may have
 * references of its own: hence until nothing is new. */
static bool resolve_one(struct compile *compile, const struct json *key, uint16_t resource)
{
    struct schema *schema = compile->schema;
    const struct json *value = json_value(key), *target;
    struct schema_place *place = schema_place(schema, value);
    uint16_t owner = resource;

    if (place->target != 0 || value->type != JSON_STRING) return false;
    target = find_target(schema, resource, value->text, &owner);
    if (target == NULL) {
        compile_fail(compile, MN_CONFIG,
                     "this reference leads to nothing within the schema (and nothing is fetched)",
                     value->raw);
        return false;
    }
    visit(compile, target, owner);
    place->target = schema_index(schema, target) + 1;
    return true;
}

static bool is_reference(uint8_t keyword)
{
    return keyword == SCHEMA_REF || keyword == SCHEMA_DYNAMIC_REF ||
           keyword == SCHEMA_RECURSIVE_REF;
}

static void resolve(struct compile *compile)
{
    struct schema *schema = compile->schema;
    bool has_more = true;

    while (has_more && compile->status == MN_OK) {
        has_more = false;
        for (uint32_t i = 0; i < schema->nodes_count && compile->status == MN_OK; i++) {
            const struct json *node = schema->root + i;
            uint16_t resource = schema->places[i].resource;
            if (resource == 0 || node->type != JSON_OBJECT) continue;
            for (const struct json *key = json_first(node); key; key = json_next(node, key))
                if (is_reference(schema_place(schema, key)->keyword) &&
                    resolve_one(compile, key, (uint16_t)(resource - 1)))
                    has_more = true;
        }
    }
}

mn_status schema_new(struct json_parser *parser, struct mn_span text, struct mn_arena *arena,
                     struct schema **ret, struct mn_span *why)
{
    const struct json_limits limits = {64, 64, SCHEMA_NODES_MAX};
    struct schema *schema = mn_alloc(sizeof *schema);
    struct compile compile = {schema, arena, why, MN_OK};

    if (text.size > SCHEMA_TEXT_MAX) {
        compile_fail(&compile, MN_TOO_BIG, "the schema is too large", mn_span(NULL, 0));
        goto done;
    }
    compile.status = json_parse_copy(parser, text, limits, &schema->arena, &schema->root);
    if (compile.status != MN_OK) {
        *why = mn_span_str(compile.status == MN_TOO_BIG ? "the schema is too large or too deep"
                                                        : "the schema is no JSON");
        goto done;
    }
    schema->nodes_count = schema->root->skip;
    schema->places = mn_arena_alloc(&schema->arena, schema->nodes_count * sizeof *schema->places);
    memset(schema->places, 0, schema->nodes_count * sizeof *schema->places);
    if (schema->root->type != JSON_OBJECT) /* true and false have no resource to enter */
        enter_resource(&compile, schema->root, 0);
    visit(&compile, schema->root, 0);
    resolve(&compile);
done:
    if (compile.status != MN_OK) {
        schema_free(schema);
        return compile.status;
    }
    *ret = schema;
    return MN_OK;
}

void schema_free(struct schema *schema)
{
    if (schema == NULL) return;
    for (uint32_t i = 0; schema->places != NULL && i < schema->nodes_count; i++)
        pcre2_code_free(schema->places[i].pattern);
    mn_arena_done(&schema->arena);
    mn_free(schema);
}

size_t schema_size(const struct schema *schema)
{
    return sizeof *schema + schema->root->raw.size +
           schema->nodes_count * (sizeof *schema->root + sizeof *schema->places) +
           schema->patterns_size;
}
