#include "node/json/schema.h"

#include "node/json/schema_run.h"
#include "proto/base/check.h"

/* ---- failures ---- */

static size_t path_size(const struct schema_path *path)
{
    size_t size = 0;

    for (; path != NULL; path = path->outer)
        size += 1 + (path->is_index ? 10 : 2 * path->key.size);
    return size;
}

/* RFC 6901, written from its end. */
static const char *path_text(struct mn_arena *arena, const struct schema_path *path)
{
    size_t size = path_size(path);
    char *text = mn_arena_alloc(arena, size + 1), *at = text + size;

    *at = '\0';
    for (; path != NULL; path = path->outer) {
        uint32_t index = path->index;
        if (path->is_index) {
            do
                *--at = (char)('0' + index % 10);
            while ((index /= 10) > 0);
        }
        for (size_t i = path->key.size; !path->is_index && i > 0; i--) {
            char c = (char)path->key.data[i - 1];
            if (c == '~' || c == '/') {
                *--at = c == '~' ? '0' : '1';
                c = '~';
            }
            *--at = c;
        }
        *--at = '/';
    }
    return at;
}

/* Always false, so that a keyword can end with it. */
bool schema_fail(struct schema_run *run, const struct schema_path *path, const char *what,
                 struct mn_span about)
{
    const char *at;

    if (run->quiet > 0 || run->has_why) return false;
    run->has_why = true;
    at = path_text(run->arena, path);
    *run->why = mn_span_str(mn_arena_format(run->arena, "%.200s: %s%.*s", *at == '\0' ? "/" : at,
                                            what, about.size > 200 ? 200 : (int)about.size,
                                            about.size == 0 ? "" : (const char *)about.data));
    return false;
}

bool schema_over(struct schema_run *run)
{
    run->is_over = true;
    return false;
}

/* ---- steps ---- */

const struct json *schema_find(struct schema_run *run, const struct json *object,
                               struct mn_span name)
{
    const struct json *key;
    uint32_t passed = 0;

    if (!json_is(object, JSON_OBJECT) || run->is_over) return NULL;
    for (key = json_first(object); key != NULL; key = json_next(object, key), passed++)
        if (mn_span_equal(key->text, name)) break;
    schema_spend(&run->steps, 1 + passed / SCHEMA_NODES_PER_STEP);
    if (run->steps == 0) schema_over(run);
    return key == NULL || run->is_over ? NULL : json_value(key);
}

/* What a keyword costs that goes through the value once. */
static size_t walk_steps(const struct json *value)
{
    return value->type < JSON_ARRAY ? value->raw.size / SCHEMA_BYTES_PER_STEP
                                    : value->count / SCHEMA_NODES_PER_STEP;
}

/* ---- what was looked at ---- */

struct schema_seen schema_seen_new(struct schema_run *run, const struct json *value)
{
    struct schema_seen seen = {0};
    size_t size = (value->count + 7) / 8;

    if (!run->schema->tracks || value->type < JSON_ARRAY || size == 0) return seen;
    schema_spend(&run->steps, walk_steps(value));
    seen.count = value->count;
    seen.bits = mn_arena_alloc(run->arena, size);
    memset(seen.bits, 0, size);
    return seen;
}

void schema_seen_add(struct schema_seen *seen, uint32_t child)
{
    if (seen->bits != NULL) seen->bits[child / 8] |= (uint8_t)(1u << child % 8);
}

bool schema_seen_has(const struct schema_seen *seen, uint32_t child)
{
    return seen->bits != NULL && (seen->bits[child / 8] >> child % 8 & 1) != 0;
}

void schema_seen_merge(struct schema_seen *to, const struct schema_seen *from)
{
    if (to == NULL || to->bits == NULL || from->bits == NULL) return;
    for (size_t i = 0; i < (to->count + 7) / 8; i++)
        to->bits[i] |= from->bits[i];
}

/* ---- schemas within ---- */

/* Applied to the same value; what it looked at counts when it matches. */
bool schema_apply_here(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema)
{
    return schema_apply(run, schema, frame->value, frame->path, frame->scope, &frame->seen);
}

bool schema_apply_member(struct schema_run *run, struct schema_frame *frame,
                         const struct json *schema, const struct json *key)
{
    struct schema_path path = {.outer = frame->path, .key = key->text};
    return schema_apply(run, schema, json_value(key), &path, frame->scope, NULL);
}

bool schema_apply_item(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema, const struct json *item, uint32_t index)
{
    struct schema_path path = {.outer = frame->path, .index = index, .is_index = true};
    return schema_apply(run, schema, item, &path, frame->scope, NULL);
}

/* As above, but a mismatch is no failure. */
bool schema_tries_here(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema)
{
    bool matches;

    run->quiet++;
    matches = schema_apply_here(run, frame, schema);
    run->quiet--;
    return matches;
}

const struct json *schema_keyword_value(const struct schema_frame *frame, const char *name)
{
    return json_find_str(frame->schema, name);
}

/* ---- one schema ---- */

static bool on_keyword(struct schema_run *run, struct schema_frame *frame,
                       enum schema_keyword keyword, const struct json *value)
{
    switch (keyword) {
    case SCHEMA_TYPE: return schema_on_type(run, frame, value);
    case SCHEMA_ENUM: return schema_on_enum(run, frame, value);
    case SCHEMA_CONST: return schema_on_const(run, frame, value);
    case SCHEMA_ALL_OF: return schema_on_all_of(run, frame, value);
    case SCHEMA_ANY_OF: return schema_on_any_of(run, frame, value);
    case SCHEMA_ONE_OF: return schema_on_one_of(run, frame, value);
    case SCHEMA_NOT: return schema_on_not(run, frame, value);
    case SCHEMA_IF: return schema_on_if(run, frame, value);
    case SCHEMA_REF:
    case SCHEMA_RECURSIVE_REF: return schema_on_ref(run, frame, value, false);
    case SCHEMA_DYNAMIC_REF: return schema_on_ref(run, frame, value, true);
    case SCHEMA_MAXIMUM:
    case SCHEMA_MINIMUM:
    case SCHEMA_EXCLUSIVE_MAXIMUM:
    case SCHEMA_EXCLUSIVE_MINIMUM: return schema_on_limit(run, frame, keyword, value);
    case SCHEMA_MULTIPLE_OF: return schema_on_multiple_of(run, frame, value);
    case SCHEMA_MAX_LENGTH: return schema_on_count(run, frame, JSON_STRING, true, value);
    case SCHEMA_MIN_LENGTH: return schema_on_count(run, frame, JSON_STRING, false, value);
    case SCHEMA_MAX_ITEMS: return schema_on_count(run, frame, JSON_ARRAY, true, value);
    case SCHEMA_MIN_ITEMS: return schema_on_count(run, frame, JSON_ARRAY, false, value);
    case SCHEMA_MAX_PROPERTIES: return schema_on_count(run, frame, JSON_OBJECT, true, value);
    case SCHEMA_MIN_PROPERTIES: return schema_on_count(run, frame, JSON_OBJECT, false, value);
    case SCHEMA_PATTERN: return schema_on_pattern(run, frame, value);
    case SCHEMA_PREFIX_ITEMS:
        return frame->value->type != JSON_ARRAY || schema_on_prefix_items(run, frame, value);
    case SCHEMA_ITEMS: return schema_on_items(run, frame, value);
    case SCHEMA_ADDITIONAL_ITEMS: return schema_on_additional_items(run, frame, value);
    case SCHEMA_CONTAINS: return schema_on_contains(run, frame, value);
    case SCHEMA_UNIQUE_ITEMS: return schema_on_unique_items(run, frame, value);
    case SCHEMA_REQUIRED: return schema_on_required(run, frame, value);
    case SCHEMA_DEPENDENCIES:
    case SCHEMA_DEPENDENT_REQUIRED:
    case SCHEMA_DEPENDENT_SCHEMAS: return schema_on_dependent(run, frame, value);
    case SCHEMA_PROPERTIES: return schema_on_properties(run, frame, value);
    case SCHEMA_PATTERN_PROPERTIES: return schema_on_pattern_properties(run, frame, value);
    case SCHEMA_ADDITIONAL_PROPERTIES: return schema_on_additional_properties(run, frame, value);
    case SCHEMA_PROPERTY_NAMES: return schema_on_property_names(run, frame, value);
    case SCHEMA_NO_KEYWORD:
    case SCHEMA_DEFINITIONS:
    case SCHEMA_DEFS:
    case SCHEMA_THEN: /* with "if" */
    case SCHEMA_ELSE:
    case SCHEMA_MAX_CONTAINS: /* with "contains" */
    case SCHEMA_MIN_CONTAINS:
    case SCHEMA_UNEVALUATED_ITEMS: /* after all others */
    case SCHEMA_UNEVALUATED_PROPERTIES: return true;
    }
    return true;
}

static bool apply_keywords(struct schema_run *run, struct schema_frame *frame)
{
    const struct schema *schema = run->schema;
    const struct json *late;

    for (const struct json *key = json_first(frame->schema); key != NULL;
         key = json_next(frame->schema, key)) {
        enum schema_keyword keyword = schema_place(schema, key)->keyword;
        if (keyword == SCHEMA_NO_KEYWORD) continue;
        schema_spend(&run->steps, walk_steps(frame->value));
        if (!on_keyword(run, frame, keyword, json_value(key)) || run->is_over) return false;
    }
    if (!schema->tracks) return true;
    late = schema_keyword_value(frame, "unevaluatedItems");
    if (late != NULL && !schema_on_unevaluated_items(run, frame, late)) return false;
    late = schema_keyword_value(frame, "unevaluatedProperties");
    return late == NULL || schema_on_unevaluated_properties(run, frame, late);
}

/* Recursion is bounded by SCHEMA_FRAMES_MAX. */
bool schema_apply(struct schema_run *run, const struct json *schema, const struct json *value,
                  const struct schema_path *path, const struct schema_scope *scope,
                  struct schema_seen *seen)
{
    uint16_t resource = (uint16_t)(schema_place(run->schema, schema)->resource - 1);
    struct schema_scope inner = {scope, resource};
    struct schema_frame frame = {schema, value, path, scope, {0}};
    const struct json *ref;
    bool matches;

    if (run->is_over || run->steps == 0 || run->frames >= SCHEMA_FRAMES_MAX)
        return schema_over(run);
    schema_spend(&run->steps, 1 + schema->count / SCHEMA_NODES_PER_STEP);
    if (schema->type == JSON_TRUE) return true;
    if (schema->type == JSON_FALSE)
        return schema_fail(run, path, "must not be here (false schema)", mn_span(NULL, 0));
    run->frames++;
    if (scope == NULL || scope->resource != resource) frame.scope = &inner;
    frame.seen = schema_seen_new(run, value);
    ref = run->schema->resources[resource].is_old ? json_find_str(schema, "$ref") : NULL;
    matches = ref != NULL ? schema_on_ref(run, &frame, ref, false) : apply_keywords(run, &frame);
    if (matches) schema_seen_merge(seen, &frame.seen);
    run->frames--;
    return matches && !run->is_over;
}

/* In any object of the value, however deep: their nodes lie one after the other. Two readers of an
 * object with a key that stands twice may disagree about what it says. */
static bool has_double_key(struct schema_run *run, const struct json *value)
{
    for (uint32_t i = 0; i < value->skip; i++) {
        const struct json *key =
            value[i].type == JSON_OBJECT ? schema_find_twin(&value[i], &run->steps) : NULL;
        if (run->steps == 0) return schema_over(run);
        if (key == NULL) continue;
        *run->why = mn_span_str(mn_arena_format(run->arena, "the member %.*s stands twice",
                                                key->raw.size > 200 ? 200 : (int)key->raw.size,
                                                (const char *)key->raw.data));
        return true;
    }
    return false;
}

mn_status schema_validate(const struct schema *schema, const struct json *value,
                          struct mn_arena *arena, struct mn_span *why)
{
    struct schema_run run = {
        .schema = schema, .arena = arena, .steps = SCHEMA_STEPS_MAX, .why = why};
    bool matches;

    if (has_double_key(&run, value)) return MN_MALFORMED;
    matches = schema_apply(&run, schema->root, value, NULL, NULL, NULL);
    pcre2_match_context_free(run.match);
    if (run.is_over) {
        *why = mn_span_str("checking it against its schema takes too many steps");
        return MN_TOO_BIG;
    }
    if (!matches && !run.has_why) *why = mn_span_str("/: does not match");
    return matches ? MN_OK : MN_MALFORMED;
}
