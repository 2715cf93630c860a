/* Keywords about values of any type, numbers and strings. */
#include "node/json/schema_run.h"
#include "proto/base/check.h"

#define MATCH_STEPS 100000u /* of PCRE2's backtracking, from each place where it begins */
#define MATCH_DEPTH 1000u
#define MATCH_HEAP 1024u /* KiB */

#define DIGITS_PER_STEP 4 /* of a division */
#define ITEMS_PER_STEP 4  /* of a pattern, tried */

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

bool schema_on_type(struct schema_run *run, struct schema_frame *frame, const struct json *types)
{
    if (types->type == JSON_STRING) {
        if (is_type(frame->value, types->text)) return true;
        return schema_fail(run, frame->path, "must be of type ", types->text);
    }
    for (const struct json *type = json_first(types); type != NULL; type = json_next(types, type)) {
        if (is_type(frame->value, json_text(type))) return true;
        if (frame->value->type == JSON_NUMBER) /* each "integer" reads it */
            schema_spend(&run->steps, frame->value->raw.size / SCHEMA_BYTES_PER_STEP);
    }
    return schema_fail(run, frame->path, "must be of one of the types ", types->raw);
}

bool schema_on_enum(struct schema_run *run, struct schema_frame *frame, const struct json *values)
{
    for (const struct json *item = json_first(values); item; item = json_next(values, item))
        if (schema_equal(item, frame->value, &run->steps)) return true;
    if (run->steps == 0) return schema_over(run);
    return schema_fail(run, frame->path, "must be one of ", values->raw);
}

bool schema_on_const(struct schema_run *run, struct schema_frame *frame, const struct json *value)
{
    if (schema_equal(value, frame->value, &run->steps)) return true;
    if (run->steps == 0) return schema_over(run);
    return schema_fail(run, frame->path, "must be ", value->raw);
}

bool schema_on_all_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas)
{
    for (const struct json *item = json_first(schemas); item; item = json_next(schemas, item))
        if (!schema_apply_here(run, frame, item)) return false;
    return true;
}

static uint32_t matches_of(struct schema_run *run, struct schema_frame *frame,
                           const struct json *schemas, bool needs_all)
{
    uint32_t count = 0;

    for (const struct json *item = json_first(schemas); item; item = json_next(schemas, item)) {
        if (schema_tries_here(run, frame, item)) count++;
        if (count > 0 && !needs_all) break;
    }
    return count;
}

bool schema_on_any_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas)
{
    if (matches_of(run, frame, schemas, run->schema->tracks) > 0) return true;
    return schema_fail(run, frame->path, "matches none of the alternatives (anyOf)",
                       mn_span(NULL, 0));
}

bool schema_on_one_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas)
{
    uint32_t count = matches_of(run, frame, schemas, true);

    if (count == 1) return true;
    return schema_fail(run, frame->path,
                       count == 0 ? "matches none of the alternatives (oneOf)"
                                  : "matches more than one of the alternatives (oneOf)",
                       mn_span(NULL, 0));
}

bool schema_on_not(struct schema_run *run, struct schema_frame *frame, const struct json *schema)
{
    struct schema_frame inner = *frame;

    inner.seen = schema_seen_new(run, frame->value);
    if (!schema_tries_here(run, &inner, schema)) return !run->is_over;
    return schema_fail(run, frame->path, "matches what it must not (not)", mn_span(NULL, 0));
}

bool schema_on_if(struct schema_run *run, struct schema_frame *frame, const struct json *schema)
{
    const struct json *next =
        schema_keyword_value(frame, schema_tries_here(run, frame, schema) ? "then" : "else");

    if (run->is_over) return false;
    return next == NULL || schema_apply_here(run, frame, next);
}

/* The outermost resource that has this dynamic anchor; else what the reference says by itself. */
static const struct json *dynamic_target(struct schema_run *run, const struct schema_scope *scope,
                                         const struct json *target)
{
    const struct schema *schema = run->schema;
    struct mn_span name = json_text(json_find_str(target, "$dynamicAnchor"));

    if (name.size == 0) return target;
    for (; scope != NULL; scope = scope->outer) {
        schema_spend(&run->steps, schema->anchors_count / SCHEMA_NODES_PER_STEP);
        for (uint32_t i = 0; i < schema->anchors_count; i++)
            if (schema->anchors[i].is_dynamic && schema->anchors[i].resource == scope->resource &&
                mn_span_equal(schema->anchors[i].name, name))
                target = schema->root + schema->anchors[i].node;
    }
    return target;
}

bool schema_on_ref(struct schema_run *run, struct schema_frame *frame, const struct json *ref,
                   bool is_dynamic)
{
    const struct schema_place *place = schema_place(run->schema, ref);
    const struct json *target;

    if (place->target == 0) return true; /* no string: it was refused already, or means nothing */
    target = run->schema->root + (place->target - 1);
    if (is_dynamic) {
        const uint8_t *hash = memchr(ref->text.data, '#', ref->text.size);
        const uint8_t *end = ref->text.data + ref->text.size;
        bool is_pointer = hash != NULL && hash + 1 < end && hash[1] == '/';
        if (!is_pointer) target = dynamic_target(run, frame->scope, target);
    }
    return schema_apply_here(run, frame, target);
}

/* ---- numbers and strings ---- */

bool schema_on_limit(struct schema_run *run, struct schema_frame *frame,
                     enum schema_keyword keyword, const struct json *limit)
{
    int order;

    if (frame->value->type != JSON_NUMBER || limit->type != JSON_NUMBER) return true;
    order = schema_number_compare(frame->value->raw, limit->raw);
    if (keyword == SCHEMA_MAXIMUM && order > 0)
        return schema_fail(run, frame->path, "must be at most ", limit->raw);
    if (keyword == SCHEMA_MINIMUM && order < 0)
        return schema_fail(run, frame->path, "must be at least ", limit->raw);
    if (keyword == SCHEMA_EXCLUSIVE_MAXIMUM && order >= 0)
        return schema_fail(run, frame->path, "must be less than ", limit->raw);
    if (keyword == SCHEMA_EXCLUSIVE_MINIMUM && order <= 0)
        return schema_fail(run, frame->path, "must be greater than ", limit->raw);
    return true;
}

bool schema_on_multiple_of(struct schema_run *run, struct schema_frame *frame,
                           const struct json *divisor)
{
    if (frame->value->type != JSON_NUMBER || divisor->type != JSON_NUMBER) return true;
    schema_spend(&run->steps, frame->value->raw.size / DIGITS_PER_STEP);
    if (schema_number_is_multiple(frame->value->raw, divisor->raw)) return true;
    return schema_fail(run, frame->path, "must be a multiple of ", divisor->raw);
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

bool schema_is_at_most(uint64_t count, const struct json *limit)
{
    return count_compare(count, limit) <= 0;
}

bool schema_is_at_least(uint64_t count, const struct json *limit)
{
    return count_compare(count, limit) >= 0;
}

/* How much there is of the value, if it is of the type. */
bool schema_on_count(struct schema_run *run, struct schema_frame *frame, enum json_type type,
                     bool is_max, const struct json *limit)
{
    const struct json *value = frame->value;
    size_t count;

    if (value->type != type) return true;
    count = type == JSON_STRING ? schema_length(value->text) : value->count;
    if (is_max ? schema_is_at_most(count, limit) : schema_is_at_least(count, limit)) return true;
    return schema_fail(run, frame->path,
                       type == JSON_STRING  ? (is_max ? "may have so many characters at most: "
                                                      : "must have so many characters at least: ")
                       : type == JSON_ARRAY ? (is_max ? "may have so many items at most: "
                                                      : "must have so many items at least: ")
                                            : (is_max ? "may have so many members at most: "
                                                      : "must have so many members at least: "),
                       limit->raw);
}

static void pattern_limits(struct schema_run *run)
{
    if (run->match != NULL) return;
    run->match = pcre2_match_context_create(NULL);
    MN_ASSERT(run->match != NULL);
    pcre2_set_match_limit(run->match, MATCH_STEPS);
    pcre2_set_depth_limit(run->match, MATCH_DEPTH);
    pcre2_set_heap_limit(run->match, MATCH_HEAP);
}

struct match_work {
    uint32_t *steps;
    size_t at, stride;
    size_t items; /* tried since a step was counted */
};

/* Called before each item of a pattern that is tried. What the one before has read shows in how far
 * it got: a search may begin everywhere, and read all the rest each time. */
static int on_item(pcre2_callout_block *block, void *data)
{
    struct match_work *work = data;
    size_t at = block->current_position;
    size_t read = work->stride + (at > work->at ? at - work->at : 0);

    work->at = at;
    work->items += 1 + read * ITEMS_PER_STEP / SCHEMA_BYTES_PER_STEP;
    schema_spend(work->steps, work->items / ITEMS_PER_STEP);
    work->items %= ITEMS_PER_STEP;
    return *work->steps == 0 ? PCRE2_ERROR_CALLOUT : 0;
}

/* Searches, as JSON Schema's patterns are not anchored. */
bool schema_pattern_matches(struct schema_run *run, const struct schema_place *place,
                            struct mn_span text)
{
    struct match_work work = {.steps = &run->steps,
                              .stride = place->stride < text.size ? place->stride : text.size};
    pcre2_match_data *data;
    int result = PCRE2_ERROR_NOMEMORY;

    if (run->is_over) return false;
    schema_spend(&run->steps, 1 + text.size / SCHEMA_BYTES_PER_STEP);
    data = pcre2_match_data_create(1, NULL);
    pattern_limits(run);
    pcre2_set_callout(run->match, on_item, &work);
    if (data != NULL)
        result = pcre2_match(place->pattern, text.size == 0 ? (PCRE2_SPTR) "" : text.data,
                             text.size, 0, PCRE2_NO_UTF_CHECK, data, run->match);
    pcre2_match_data_free(data);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH) schema_over(run);
    return result >= 0;
}

bool schema_on_pattern(struct schema_run *run, struct schema_frame *frame,
                       const struct json *pattern)
{
    const struct schema_place *place = schema_place(run->schema, pattern);

    if (frame->value->type != JSON_STRING || place->pattern == NULL) return true;
    if (schema_pattern_matches(run, place, frame->value->text)) return true;
    return schema_fail(run, frame->path, "must match the pattern ", pattern->raw);
}
