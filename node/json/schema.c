#include "node/json/schema.h"

#include "node/json/schema_internal.h"
#include "proto/base/check.h"
#include "proto/base/map.h"

#define MATCH_STEPS 100000u /* of PCRE2's backtracking */
#define MATCH_DEPTH 1000u
#define MATCH_HEAP 1024u /* KiB */

/* Where in the value we are; on the stack of the walk. */
struct path {
    const struct path *outer;
    struct mn_span key;
    uint32_t index;
    bool is_index;
};

/* The resources entered so far: where $dynamicRef looks. */
struct scope {
    const struct scope *outer;
    uint16_t resource;
};

struct run {
    const struct schema *schema;
    struct mn_arena *arena;
    pcre2_match_context *match; /* once a pattern needs it */
    uint32_t steps, frames;
    uint32_t quiet;      /* alternatives under way: a failure is none yet */
    struct mn_span *why; /* of the first failure */
    bool has_why, is_over;
};

/* Which children of the value some keyword has looked at. [bits] is NULL when nobody asks. */
struct seen {
    uint8_t *bits;
    uint32_t count;
};

/* A schema applied to a value. */
struct frame {
    const struct json *schema; /* an object */
    const struct json *value;
    const struct path *path;
    const struct scope *scope;
    struct seen seen;
};

static bool apply(struct run *run, const struct json *schema, const struct json *value,
                  const struct path *path, const struct scope *scope, struct seen *seen);

/* ---- failures ---- */

static size_t path_size(const struct path *path)
{
    size_t size = 0;

    for (; path != NULL; path = path->outer)
        size += 1 + (path->is_index ? 10 : 2 * path->key.size);
    return size;
}

/* RFC 6901, written from its end. */
static const char *path_text(struct mn_arena *arena, const struct path *path)
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
static bool fail(struct run *run, const struct path *path, const char *what, struct mn_span about)
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

static bool over(struct run *run)
{
    run->is_over = true;
    return false;
}

/* ---- what was looked at ---- */

static struct seen seen_new(struct run *run, const struct json *value)
{
    struct seen seen = {0};
    size_t size = (value->count + 7) / 8;

    if (!run->schema->tracks || value->type < JSON_ARRAY || size == 0) return seen;
    seen.count = value->count;
    seen.bits = mn_arena_alloc(run->arena, size);
    memset(seen.bits, 0, size);
    return seen;
}

static void seen_add(struct seen *seen, uint32_t child)
{
    if (seen->bits != NULL) seen->bits[child / 8] |= (uint8_t)(1u << child % 8);
}

static bool seen_has(const struct seen *seen, uint32_t child)
{
    return seen->bits != NULL && (seen->bits[child / 8] >> child % 8 & 1) != 0;
}

static void seen_merge(struct seen *to, const struct seen *from)
{
    if (to == NULL || to->bits == NULL || from->bits == NULL) return;
    for (size_t i = 0; i < (to->count + 7) / 8; i++)
        to->bits[i] |= from->bits[i];
}

/* ---- schemas within ---- */

/* Applied to the same value; what it looked at counts when it matches. */
static bool apply_here(struct run *run, struct frame *frame, const struct json *schema)
{
    return apply(run, schema, frame->value, frame->path, frame->scope, &frame->seen);
}

static bool apply_member(struct run *run, struct frame *frame, const struct json *schema,
                         const struct json *key)
{
    struct path path = {.outer = frame->path, .key = key->text};
    return apply(run, schema, json_value(key), &path, frame->scope, NULL);
}

static bool apply_item(struct run *run, struct frame *frame, const struct json *schema,
                       const struct json *item, uint32_t index)
{
    struct path path = {.outer = frame->path, .index = index, .is_index = true};
    return apply(run, schema, item, &path, frame->scope, NULL);
}

/* As above, but a mismatch is no failure. */
static bool tries_here(struct run *run, struct frame *frame, const struct json *schema)
{
    bool matches;

    run->quiet++;
    matches = apply_here(run, frame, schema);
    run->quiet--;
    return matches;
}

static const struct json *keyword_value(const struct frame *frame, const char *name)
{
    return json_find_str(frame->schema, name);
}

/* ---- any type ---- */

static bool is_type(const struct json *value, struct mn_span type)
{
    if (mn_span_is(type, "object")) return value->type == JSON_OBJECT;
    if (mn_span_is(type, "array")) return value->type == JSON_ARRAY;
    if (mn_span_is(type, "string")) return value->type == JSON_STRING;
    if (mn_span_is(type, "number")) return value->type == JSON_NUMBER;
    if (mn_span_is(type, "boolean")) return value->type == JSON_TRUE || value->type == JSON_FALSE;
    if (mn_span_is(type, "null")) return value->type == JSON_NULL;
    return mn_span_is(type, "integer") && value->type == JSON_NUMBER &&
           schema_number_is_integer(value->raw);
}

static bool on_type(struct run *run, struct frame *frame, const struct json *types)
{
    if (types->type == JSON_STRING) {
        if (is_type(frame->value, types->text)) return true;
        return fail(run, frame->path, "must be of type ", types->text);
    }
    for (const struct json *type = json_first(types); type != NULL; type = json_next(types, type))
        if (is_type(frame->value, json_text(type))) return true;
    return fail(run, frame->path, "must be of one of the types ", types->raw);
}

static bool on_enum(struct run *run, struct frame *frame, const struct json *values)
{
    for (const struct json *item = json_first(values); item; item = json_next(values, item))
        if (schema_equal(item, frame->value, &run->steps)) return true;
    if (run->steps == 0) return over(run);
    return fail(run, frame->path, "must be one of ", values->raw);
}

static bool on_const(struct run *run, struct frame *frame, const struct json *value)
{
    if (schema_equal(value, frame->value, &run->steps)) return true;
    if (run->steps == 0) return over(run);
    return fail(run, frame->path, "must be ", value->raw);
}

static bool on_all_of(struct run *run, struct frame *frame, const struct json *schemas)
{
    for (const struct json *item = json_first(schemas); item; item = json_next(schemas, item))
        if (!apply_here(run, frame, item)) return false;
    return true;
}

static uint32_t matches_of(struct run *run, struct frame *frame, const struct json *schemas,
                           bool needs_all)
{
    uint32_t count = 0;

    for (const struct json *item = json_first(schemas); item; item = json_next(schemas, item)) {
        if (tries_here(run, frame, item)) count++;
        if (count > 0 && !needs_all) break;
    }
    return count;
}

static bool on_any_of(struct run *run, struct frame *frame, const struct json *schemas)
{
    if (matches_of(run, frame, schemas, run->schema->tracks) > 0) return true;
    return fail(run, frame->path, "matches none of the alternatives (anyOf)", mn_span(NULL, 0));
}

static bool on_one_of(struct run *run, struct frame *frame, const struct json *schemas)
{
    uint32_t count = matches_of(run, frame, schemas, true);

    if (count == 1) return true;
    return fail(run, frame->path,
                count == 0 ? "matches none of the alternatives (oneOf)"
                           : "matches more than one of the alternatives (oneOf)",
                mn_span(NULL, 0));
}

static bool on_not(struct run *run, struct frame *frame, const struct json *schema)
{
    struct frame inner = *frame;

    inner.seen = seen_new(run, frame->value);
    if (!tries_here(run, &inner, schema)) return !run->is_over;
    return fail(run, frame->path, "matches what it must not (not)", mn_span(NULL, 0));
}

static bool on_if(struct run *run, struct frame *frame, const struct json *schema)
{
    const struct json *next =
        keyword_value(frame, tries_here(run, frame, schema) ? "then" : "else");

    if (run->is_over) return false;
    return next == NULL || apply_here(run, frame, next);
}

/* The outermost resource that has this dynamic anchor; else what the reference says by itself. */
static const struct json *dynamic_target(const struct schema *schema, const struct scope *scope,
                                         const struct json *target)
{
    struct mn_span name = json_text(json_find_str(target, "$dynamicAnchor"));

    if (name.size == 0) return target;
    for (; scope != NULL; scope = scope->outer)
        for (uint32_t i = 0; i < schema->anchors_count; i++)
            if (schema->anchors[i].is_dynamic && schema->anchors[i].resource == scope->resource &&
                mn_span_equal(schema->anchors[i].name, name))
                target = schema->root + schema->anchors[i].node;
    return target;
}

static bool on_ref(struct run *run, struct frame *frame, const struct json *ref, bool is_dynamic)
{
    const struct schema_place *place = schema_place(run->schema, ref);
    const struct json *target;

    if (place->target == 0) return true; /* no string: it was refused already, or means nothing */
    target = run->schema->root + (place->target - 1);
    if (is_dynamic) {
        const uint8_t *hash = memchr(ref->text.data, '#', ref->text.size);
        const uint8_t *end = ref->text.data + ref->text.size;
        bool is_pointer = hash != NULL && hash + 1 < end && hash[1] == '/';
        if (!is_pointer) target = dynamic_target(run->schema, frame->scope, target);
    }
    return apply_here(run, frame, target);
}

/* ---- numbers and strings ---- */

static bool on_limit(struct run *run, struct frame *frame, enum schema_keyword keyword,
                     const struct json *limit)
{
    int order;

    if (frame->value->type != JSON_NUMBER || limit->type != JSON_NUMBER) return true;
    order = schema_number_compare(frame->value->raw, limit->raw);
    if (keyword == SCHEMA_MAXIMUM && order > 0)
        return fail(run, frame->path, "must be at most ", limit->raw);
    if (keyword == SCHEMA_MINIMUM && order < 0)
        return fail(run, frame->path, "must be at least ", limit->raw);
    if (keyword == SCHEMA_EXCLUSIVE_MAXIMUM && order >= 0)
        return fail(run, frame->path, "must be less than ", limit->raw);
    if (keyword == SCHEMA_EXCLUSIVE_MINIMUM && order <= 0)
        return fail(run, frame->path, "must be greater than ", limit->raw);
    return true;
}

static bool on_multiple_of(struct run *run, struct frame *frame, const struct json *divisor)
{
    if (frame->value->type != JSON_NUMBER || divisor->type != JSON_NUMBER) return true;
    if (schema_number_is_multiple(frame->value->raw, divisor->raw)) return true;
    return fail(run, frame->path, "must be a multiple of ", divisor->raw);
}

/* Order of a count and a limit; a limit that is no number is kept to by any count. */
static int count_compare(uint64_t count, const struct json *limit)
{
    char text[24], *at = text + sizeof text;

    if (limit->type != JSON_NUMBER) return 0;
    do
        *--at = (char)('0' + count % 10);
    while ((count /= 10) > 0);
    return schema_number_compare(mn_span(at, (size_t)(text + sizeof text - at)), limit->raw);
}

static bool is_at_most(uint64_t count, const struct json *limit)
{
    return count_compare(count, limit) <= 0;
}

static bool is_at_least(uint64_t count, const struct json *limit)
{
    return count_compare(count, limit) >= 0;
}

/* How much there is of the value, if it is of the type. */
static bool on_count(struct run *run, struct frame *frame, enum json_type type, bool is_max,
                     const struct json *limit)
{
    const struct json *value = frame->value;
    size_t count;

    if (value->type != type) return true;
    count = type == JSON_STRING ? schema_length(value->text) : value->count;
    if (is_max ? is_at_most(count, limit) : is_at_least(count, limit)) return true;
    return fail(run, frame->path,
                type == JSON_STRING  ? (is_max ? "may have so many characters at most: "
                                               : "must have so many characters at least: ")
                : type == JSON_ARRAY ? (is_max ? "may have so many items at most: "
                                               : "must have so many items at least: ")
                                     : (is_max ? "may have so many members at most: "
                                               : "must have so many members at least: "),
                limit->raw);
}

static void pattern_limits(struct run *run)
{
    if (run->match != NULL) return;
    run->match = pcre2_match_context_create(NULL);
    MN_ASSERT(run->match != NULL);
    pcre2_set_match_limit(run->match, MATCH_STEPS);
    pcre2_set_depth_limit(run->match, MATCH_DEPTH);
    pcre2_set_heap_limit(run->match, MATCH_HEAP);
}

/* Searches, as JSON Schema's patterns are not anchored. */
static bool pattern_matches(struct run *run, const pcre2_code *pattern, struct mn_span text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int result = PCRE2_ERROR_NOMEMORY;

    pattern_limits(run);
    if (data != NULL)
        result = pcre2_match(pattern, text.size == 0 ? (PCRE2_SPTR) "" : text.data, text.size, 0,
                             PCRE2_NO_UTF_CHECK, data, run->match);
    pcre2_match_data_free(data);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH) over(run);
    return result >= 0;
}

static bool on_pattern(struct run *run, struct frame *frame, const struct json *pattern)
{
    const pcre2_code *code = schema_place(run->schema, pattern)->pattern;

    if (frame->value->type != JSON_STRING || code == NULL) return true;
    if (pattern_matches(run, code, frame->value->text)) return true;
    return fail(run, frame->path, "must match the pattern ", pattern->raw);
}

/* ---- arrays ---- */

/* Items from [begin] on. */
static bool on_items_from(struct run *run, struct frame *frame, const struct json *schema,
                          uint32_t begin)
{
    uint32_t index = 0;

    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        if (index < begin) continue;
        if (!apply_item(run, frame, schema, item, index)) return false;
        seen_add(&frame->seen, index);
    }
    return true;
}

static bool on_prefix_items(struct run *run, struct frame *frame, const struct json *schemas)
{
    const struct json *schema = json_first(schemas), *item = json_first(frame->value);

    for (uint32_t i = 0; schema != NULL && item != NULL; i++) {
        if (!apply_item(run, frame, schema, item, i)) return false;
        seen_add(&frame->seen, i);
        schema = json_next(schemas, schema);
        item = json_next(frame->value, item);
    }
    return true;
}

static bool on_items(struct run *run, struct frame *frame, const struct json *schema)
{
    const struct json *prefix = keyword_value(frame, "prefixItems");

    if (frame->value->type != JSON_ARRAY) return true;
    if (schema->type == JSON_ARRAY) return on_prefix_items(run, frame, schema);
    return on_items_from(run, frame, schema, json_is(prefix, JSON_ARRAY) ? prefix->count : 0);
}

static bool on_additional_items(struct run *run, struct frame *frame, const struct json *schema)
{
    const struct json *items = keyword_value(frame, "items");

    if (frame->value->type != JSON_ARRAY || !json_is(items, JSON_ARRAY)) return true;
    return on_items_from(run, frame, schema, items->count);
}

static bool on_contains(struct run *run, struct frame *frame, const struct json *schema)
{
    const struct json *min = keyword_value(frame, "minContains");
    const struct json *max = keyword_value(frame, "maxContains");
    uint32_t count = 0, index = 0;

    if (frame->value->type != JSON_ARRAY) return true;
    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        run->quiet++;
        if (apply_item(run, frame, schema, item, index)) {
            seen_add(&frame->seen, index);
            count++;
        }
        run->quiet--;
        if (run->is_over) return false;
    }
    if (min == NULL ? count == 0 : !is_at_least(count, min))
        return fail(run, frame->path, "has too few of the items it must contain", mn_span(NULL, 0));
    if (max != NULL && !is_at_most(count, max))
        return fail(run, frame->path, "has too many of the items it must contain",
                    mn_span(NULL, 0));
    return true;
}

static bool on_unique_items(struct run *run, struct frame *frame, const struct json *flag)
{
    const struct json *value = frame->value;

    if (value->type != JSON_ARRAY || flag->type != JSON_TRUE) return true;
    for (const struct json *a = json_first(value); a != NULL; a = json_next(value, a))
        for (const struct json *b = json_next(value, a); b != NULL; b = json_next(value, b))
            if (schema_equal(a, b, &run->steps))
                return fail(run, frame->path, "has an item twice: ", a->raw);
    return run->steps > 0 || over(run);
}

static bool on_unevaluated_items(struct run *run, struct frame *frame, const struct json *schema)
{
    uint32_t index = 0;

    if (frame->value->type != JSON_ARRAY) return true;
    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        if (seen_has(&frame->seen, index)) continue;
        if (!apply_item(run, frame, schema, item, index)) return false;
        seen_add(&frame->seen, index);
    }
    return true;
}

/* ---- objects ---- */

static bool on_required(struct run *run, struct frame *frame, const struct json *names)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *name = json_first(names); name; name = json_next(names, name))
        if (json_find(frame->value, json_text(name)) == NULL)
            return fail(run, frame->path, "lacks the member ", name->raw);
    return true;
}

/* "dependentRequired", "dependentSchemas", and draft-07's "dependencies", which is both. */
static bool on_dependent(struct run *run, struct frame *frame, const struct json *all)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(all); key != NULL; key = json_next(all, key)) {
        const struct json *what = json_value(key);
        if (json_find(frame->value, key->text) == NULL) continue;
        if (what->type == JSON_ARRAY ? !on_required(run, frame, what)
                                     : !apply_here(run, frame, what))
            return false;
    }
    return true;
}

static bool on_properties(struct run *run, struct frame *frame, const struct json *schemas)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        const struct json *schema = json_find(schemas, key->text);
        if (schema == NULL) continue;
        if (!apply_member(run, frame, schema, key)) return false;
        seen_add(&frame->seen, child);
    }
    return true;
}

static bool on_pattern_properties(struct run *run, struct frame *frame, const struct json *schemas)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++)
        for (const struct json *p = json_first(schemas); p != NULL; p = json_next(schemas, p)) {
            if (!pattern_matches(run, schema_place(run->schema, p)->pattern, key->text)) {
                if (run->is_over) return false;
                continue;
            }
            if (!apply_member(run, frame, json_value(p), key)) return false;
            seen_add(&frame->seen, child);
        }
    return true;
}

static bool has_pattern_for(struct run *run, const struct json *schemas, const struct json *key)
{
    if (!json_is(schemas, JSON_OBJECT)) return false;
    for (const struct json *p = json_first(schemas); p != NULL; p = json_next(schemas, p))
        if (pattern_matches(run, schema_place(run->schema, p)->pattern, key->text)) return true;
    return false;
}

static bool on_additional_properties(struct run *run, struct frame *frame,
                                     const struct json *schema)
{
    const struct json *properties = keyword_value(frame, "properties");
    const struct json *patterns = keyword_value(frame, "patternProperties");
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        if (json_find(properties, key->text) != NULL || has_pattern_for(run, patterns, key))
            continue;
        if (schema->type == JSON_FALSE)
            return fail(run, frame->path, "has a member that is not allowed: ", key->raw);
        if (!apply_member(run, frame, schema, key)) return false;
        seen_add(&frame->seen, child);
    }
    return true;
}

static bool on_property_names(struct run *run, struct frame *frame, const struct json *schema)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key)) {
        struct path path = {.outer = frame->path, .key = key->text};
        if (!apply(run, schema, key, &path, frame->scope, NULL)) return false;
    }
    return true;
}

static bool on_unevaluated_properties(struct run *run, struct frame *frame,
                                      const struct json *schema)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        if (seen_has(&frame->seen, child)) continue;
        if (schema->type == JSON_FALSE)
            return fail(run, frame->path, "has a member that is not allowed: ", key->raw);
        if (!apply_member(run, frame, schema, key)) return false;
        seen_add(&frame->seen, child);
    }
    return true;
}

/* ---- one schema ---- */

static bool on_keyword(struct run *run, struct frame *frame, enum schema_keyword keyword,
                       const struct json *value)
{
    switch (keyword) {
    case SCHEMA_TYPE: return on_type(run, frame, value);
    case SCHEMA_ENUM: return on_enum(run, frame, value);
    case SCHEMA_CONST: return on_const(run, frame, value);
    case SCHEMA_ALL_OF: return on_all_of(run, frame, value);
    case SCHEMA_ANY_OF: return on_any_of(run, frame, value);
    case SCHEMA_ONE_OF: return on_one_of(run, frame, value);
    case SCHEMA_NOT: return on_not(run, frame, value);
    case SCHEMA_IF: return on_if(run, frame, value);
    case SCHEMA_REF:
    case SCHEMA_RECURSIVE_REF: return on_ref(run, frame, value, false);
    case SCHEMA_DYNAMIC_REF: return on_ref(run, frame, value, true);
    case SCHEMA_MAXIMUM:
    case SCHEMA_MINIMUM:
    case SCHEMA_EXCLUSIVE_MAXIMUM:
    case SCHEMA_EXCLUSIVE_MINIMUM: return on_limit(run, frame, keyword, value);
    case SCHEMA_MULTIPLE_OF: return on_multiple_of(run, frame, value);
    case SCHEMA_MAX_LENGTH: return on_count(run, frame, JSON_STRING, true, value);
    case SCHEMA_MIN_LENGTH: return on_count(run, frame, JSON_STRING, false, value);
    case SCHEMA_MAX_ITEMS: return on_count(run, frame, JSON_ARRAY, true, value);
    case SCHEMA_MIN_ITEMS: return on_count(run, frame, JSON_ARRAY, false, value);
    case SCHEMA_MAX_PROPERTIES: return on_count(run, frame, JSON_OBJECT, true, value);
    case SCHEMA_MIN_PROPERTIES: return on_count(run, frame, JSON_OBJECT, false, value);
    case SCHEMA_PATTERN: return on_pattern(run, frame, value);
    case SCHEMA_PREFIX_ITEMS:
        return frame->value->type != JSON_ARRAY || on_prefix_items(run, frame, value);
    case SCHEMA_ITEMS: return on_items(run, frame, value);
    case SCHEMA_ADDITIONAL_ITEMS: return on_additional_items(run, frame, value);
    case SCHEMA_CONTAINS: return on_contains(run, frame, value);
    case SCHEMA_UNIQUE_ITEMS: return on_unique_items(run, frame, value);
    case SCHEMA_REQUIRED: return on_required(run, frame, value);
    case SCHEMA_DEPENDENCIES:
    case SCHEMA_DEPENDENT_REQUIRED:
    case SCHEMA_DEPENDENT_SCHEMAS: return on_dependent(run, frame, value);
    case SCHEMA_PROPERTIES: return on_properties(run, frame, value);
    case SCHEMA_PATTERN_PROPERTIES: return on_pattern_properties(run, frame, value);
    case SCHEMA_ADDITIONAL_PROPERTIES: return on_additional_properties(run, frame, value);
    case SCHEMA_PROPERTY_NAMES: return on_property_names(run, frame, value);
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

static bool apply_keywords(struct run *run, struct frame *frame)
{
    const struct schema *schema = run->schema;
    const struct json *late;

    for (const struct json *key = json_first(frame->schema); key != NULL;
         key = json_next(frame->schema, key)) {
        enum schema_keyword keyword = schema_place(schema, key)->keyword;
        if (!on_keyword(run, frame, keyword, json_value(key)) || run->is_over) return false;
    }
    if (!schema->tracks) return true;
    late = keyword_value(frame, "unevaluatedItems");
    if (late != NULL && !on_unevaluated_items(run, frame, late)) return false;
    late = keyword_value(frame, "unevaluatedProperties");
    return late == NULL || on_unevaluated_properties(run, frame, late);
}

/* Recursion is bounded by SCHEMA_FRAMES_MAX. */
static bool apply(struct run *run, const struct json *schema, const struct json *value,
                  const struct path *path, const struct scope *scope, struct seen *seen)
{
    uint16_t resource = (uint16_t)(schema_place(run->schema, schema)->resource - 1);
    struct scope inner = {scope, resource};
    struct frame frame = {schema, value, path, scope, {0}};
    const struct json *ref;
    bool matches;

    if (schema->type == JSON_TRUE) return true;
    if (schema->type == JSON_FALSE)
        return fail(run, path, "must not be here (false schema)", mn_span(NULL, 0));
    if (run->is_over || run->steps == 0 || run->frames >= SCHEMA_FRAMES_MAX) return over(run);
    run->steps--;
    run->frames++;
    if (scope == NULL || scope->resource != resource) frame.scope = &inner;
    frame.seen = seen_new(run, value);
    ref = run->schema->resources[resource].is_old ? json_find_str(schema, "$ref") : NULL;
    matches = ref != NULL ? on_ref(run, &frame, ref, false) : apply_keywords(run, &frame);
    if (matches) seen_merge(seen, &frame.seen);
    run->frames--;
    return matches && !run->is_over;
}

/* Two readers of an object with a key that stands twice may disagree about what it says. */
static const struct json *find_double_key(const struct json *object, struct mn_arena *arena)
{
    struct mn_map map;
    const struct json *found = NULL;

    mn_map_init(&map, 0x6b657973);
    for (const struct json *key = json_first(object); key && !found; key = json_next(object, key)) {
        struct mn_map_entry *entry;
        if (mn_map_find(&map, key->text) != NULL) {
            found = key;
            break;
        }
        entry = mn_arena_alloc(arena, sizeof *entry);
        mn_map_insert(&map, entry, key->text);
    }
    mn_map_done(&map);
    return found;
}

/* All objects of the value, however deep: their nodes lie one after the other. */
static bool has_double_key(const struct json *value, struct mn_arena *arena, struct mn_span *why)
{
    for (uint32_t i = 0; i < value->skip; i++) {
        const struct json *key =
            value[i].type == JSON_OBJECT ? find_double_key(&value[i], arena) : NULL;
        if (key == NULL) continue;
        *why = mn_span_str(mn_arena_format(arena, "the member %.*s stands twice",
                                           key->raw.size > 200 ? 200 : (int)key->raw.size,
                                           (const char *)key->raw.data));
        return true;
    }
    return false;
}

mn_status schema_validate(const struct schema *schema, const struct json *value,
                          struct mn_arena *arena, struct mn_span *why)
{
    struct run run = {.schema = schema, .arena = arena, .steps = SCHEMA_STEPS_MAX, .why = why};
    bool matches;

    if (has_double_key(value, arena, why)) return MN_MALFORMED;
    matches = apply(&run, schema->root, value, NULL, NULL, NULL);
    pcre2_match_context_free(run.match);
    if (run.is_over) {
        *why = mn_span_str("checking it against its schema takes too many steps");
        return MN_TOO_BIG;
    }
    if (!matches && !run.has_why) *why = mn_span_str("/: does not match");
    return matches ? MN_OK : MN_MALFORMED;
}
