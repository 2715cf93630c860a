/* Keywords about arrays and objects. */
#include "node/json/schema_run.h"

/* ---- arrays ---- */

/* Items from [begin] on. */
static bool on_items_from(struct schema_run *run, struct schema_frame *frame,
                          const struct json *schema, uint32_t begin)
{
    uint32_t index = 0;

    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        if (index < begin) continue;
        if (!schema_apply_item(run, frame, schema, item, index)) return false;
        schema_seen_add(&frame->seen, index);
    }
    return true;
}

bool schema_on_prefix_items(struct schema_run *run, struct schema_frame *frame,
                            const struct json *schemas)
{
    const struct json *schema = json_first(schemas), *item = json_first(frame->value);

    for (uint32_t i = 0; schema != NULL && item != NULL; i++) {
        if (!schema_apply_item(run, frame, schema, item, i)) return false;
        schema_seen_add(&frame->seen, i);
        schema = json_next(schemas, schema);
        item = json_next(frame->value, item);
    }
    return true;
}

bool schema_on_items(struct schema_run *run, struct schema_frame *frame, const struct json *schema)
{
    const struct json *prefix = schema_keyword_value(frame, "prefixItems");

    if (frame->value->type != JSON_ARRAY) return true;
    if (schema->type == JSON_ARRAY) return schema_on_prefix_items(run, frame, schema);
    return on_items_from(run, frame, schema, json_is(prefix, JSON_ARRAY) ? prefix->count : 0);
}

bool schema_on_additional_items(struct schema_run *run, struct schema_frame *frame,
                                const struct json *schema)
{
    const struct json *items = schema_keyword_value(frame, "items");

    if (frame->value->type != JSON_ARRAY || !json_is(items, JSON_ARRAY)) return true;
    return on_items_from(run, frame, schema, items->count);
}

bool schema_on_contains(struct schema_run *run, struct schema_frame *frame,
                        const struct json *schema)
{
    const struct json *min = schema_keyword_value(frame, "minContains");
    const struct json *max = schema_keyword_value(frame, "maxContains");
    uint32_t count = 0, index = 0;

    if (frame->value->type != JSON_ARRAY) return true;
    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        run->quiet++;
        if (schema_apply_item(run, frame, schema, item, index)) {
            schema_seen_add(&frame->seen, index);
            count++;
        }
        run->quiet--;
        if (run->is_over) return false;
    }
    if (min == NULL ? count == 0 : !schema_is_at_least(count, min))
        return schema_fail(run, frame->path, "has too few of the items it must contain",
                           mn_span(NULL, 0));
    if (max != NULL && !schema_is_at_most(count, max))
        return schema_fail(run, frame->path, "has too many of the items it must contain",
                           mn_span(NULL, 0));
    return true;
}

bool schema_on_unique_items(struct schema_run *run, struct schema_frame *frame,
                            const struct json *flag)
{
    const struct json *twin;

    if (frame->value->type != JSON_ARRAY || flag->type != JSON_TRUE) return true;
    twin = schema_find_twin(frame->value, &run->steps);
    if (twin != NULL) return schema_fail(run, frame->path, "has an item twice: ", twin->raw);
    return run->steps > 0 || schema_over(run);
}

bool schema_on_unevaluated_items(struct schema_run *run, struct schema_frame *frame,
                                 const struct json *schema)
{
    uint32_t index = 0;

    if (frame->value->type != JSON_ARRAY) return true;
    for (const struct json *item = json_first(frame->value); item != NULL;
         item = json_next(frame->value, item), index++) {
        if (schema_seen_has(&frame->seen, index)) continue;
        if (!schema_apply_item(run, frame, schema, item, index)) return false;
        schema_seen_add(&frame->seen, index);
    }
    return true;
}

/* ---- objects ---- */

bool schema_on_required(struct schema_run *run, struct schema_frame *frame,
                        const struct json *names)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *name = json_first(names); name; name = json_next(names, name))
        if (schema_find(run, frame->value, json_text(name)) == NULL)
            return schema_fail(run, frame->path, "lacks the member ", name->raw);
    return true;
}

/* "dependentRequired", "dependentSchemas", and draft-07's "dependencies", which is both. */
bool schema_on_dependent(struct schema_run *run, struct schema_frame *frame, const struct json *all)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(all); key != NULL; key = json_next(all, key)) {
        const struct json *what = json_value(key);
        if (schema_find(run, frame->value, key->text) == NULL) continue;
        if (what->type == JSON_ARRAY ? !schema_on_required(run, frame, what)
                                     : !schema_apply_here(run, frame, what))
            return false;
    }
    return true;
}

bool schema_on_properties(struct schema_run *run, struct schema_frame *frame,
                          const struct json *schemas)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        const struct json *schema = schema_find(run, schemas, key->text);
        if (schema == NULL) continue;
        if (!schema_apply_member(run, frame, schema, key)) return false;
        schema_seen_add(&frame->seen, child);
    }
    return true;
}

bool schema_on_pattern_properties(struct schema_run *run, struct schema_frame *frame,
                                  const struct json *schemas)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++)
        for (const struct json *p = json_first(schemas); p != NULL; p = json_next(schemas, p)) {
            if (!schema_pattern_matches(run, schema_place(run->schema, p), key->text)) {
                if (run->is_over) return false;
                continue;
            }
            if (!schema_apply_member(run, frame, json_value(p), key)) return false;
            schema_seen_add(&frame->seen, child);
        }
    return true;
}

static bool has_pattern_for(struct schema_run *run, const struct json *schemas,
                            const struct json *key)
{
    if (!json_is(schemas, JSON_OBJECT)) return false;
    for (const struct json *p = json_first(schemas); p != NULL; p = json_next(schemas, p))
        if (schema_pattern_matches(run, schema_place(run->schema, p), key->text)) return true;
    return false;
}

bool schema_on_additional_properties(struct schema_run *run, struct schema_frame *frame,
                                     const struct json *schema)
{
    const struct json *properties = schema_keyword_value(frame, "properties");
    const struct json *patterns = schema_keyword_value(frame, "patternProperties");
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        if (schema_find(run, properties, key->text) != NULL || has_pattern_for(run, patterns, key))
            continue;
        if (schema->type == JSON_FALSE)
            return schema_fail(run, frame->path, "has a member that is not allowed: ", key->raw);
        if (!schema_apply_member(run, frame, schema, key)) return false;
        schema_seen_add(&frame->seen, child);
    }
    return true;
}

bool schema_on_property_names(struct schema_run *run, struct schema_frame *frame,
                              const struct json *schema)
{
    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key)) {
        struct schema_path path = {.outer = frame->path, .key = key->text};
        if (!schema_apply(run, schema, key, &path, frame->scope, NULL)) return false;
    }
    return true;
}

bool schema_on_unevaluated_properties(struct schema_run *run, struct schema_frame *frame,
                                      const struct json *schema)
{
    uint32_t child = 0;

    if (frame->value->type != JSON_OBJECT) return true;
    for (const struct json *key = json_first(frame->value); key != NULL;
         key = json_next(frame->value, key), child++) {
        if (schema_seen_has(&frame->seen, child)) continue;
        if (schema->type == JSON_FALSE)
            return schema_fail(run, frame->path, "has a member that is not allowed: ", key->raw);
        if (!schema_apply_member(run, frame, schema, key)) return false;
        schema_seen_add(&frame->seen, child);
    }
    return true;
}
