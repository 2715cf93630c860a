/* schema_run.h: what the files that apply a schema share (schema.h): schema.c walks, and knows what
 * failed and what was looked at; schema_scalar.c has the keywords about any type, numbers and
 * strings, schema_nested.c those about arrays and objects. A keyword's function is false when the
 * value is not as it says. */
#ifndef JSON_SCHEMA_RUN_H
#define JSON_SCHEMA_RUN_H

#include "node/json/schema_internal.h"

/* Where in the value we are; on the stack of the walk. */
struct schema_path {
    const struct schema_path *outer;
    struct mn_span key;
    uint32_t index;
    bool is_index;
};

/* The resources entered so far: where $dynamicRef looks. */
struct schema_scope {
    const struct schema_scope *outer;
    uint16_t resource;
};

struct schema_run {
    const struct schema *schema;
    struct mn_arena *arena;
    pcre2_match_context *match; /* once a pattern needs it */
    uint32_t steps, frames;
    uint32_t quiet;      /* alternatives under way: a failure is none yet */
    struct mn_span *why; /* of the first failure */
    bool has_why, is_over;
};

/* Which children of the value some keyword has looked at. [bits] is NULL when nobody asks. */
struct schema_seen {
    uint8_t *bits;
    uint32_t count;
};

/* A schema applied to a value. */
struct schema_frame {
    const struct json *schema; /* an object */
    const struct json *value;
    const struct schema_path *path;
    const struct schema_scope *scope;
    struct schema_seen seen;
};

/* ---- schema.c ---- */

bool schema_fail(struct schema_run *run, const struct schema_path *path, const char *what,
                 struct mn_span about);
bool schema_over(struct schema_run *run);
/* json_find(), counted. When the steps are used up it finds nothing, and the run is over. */
const struct json *schema_find(struct schema_run *run, const struct json *object,
                               struct mn_span name);
void schema_seen_add(struct schema_seen *seen, uint32_t child);
bool schema_seen_has(const struct schema_seen *seen, uint32_t child);
void schema_seen_merge(struct schema_seen *to, const struct schema_seen *from);
struct schema_seen schema_seen_new(struct schema_run *run, const struct json *value);
bool schema_apply(struct schema_run *run, const struct json *schema, const struct json *value,
                  const struct schema_path *path, const struct schema_scope *scope,
                  struct schema_seen *seen);
bool schema_apply_here(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema);
bool schema_apply_member(struct schema_run *run, struct schema_frame *frame,
                         const struct json *schema, const struct json *key);
bool schema_apply_item(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema, const struct json *item, uint32_t index);
bool schema_tries_here(struct schema_run *run, struct schema_frame *frame,
                       const struct json *schema);
const struct json *schema_keyword_value(const struct schema_frame *frame, const char *name);

/* ---- schema_scalar.c ---- */

bool schema_pattern_matches(struct schema_run *run, const struct schema_place *place,
                            struct mn_span text);
bool schema_is_at_most(uint64_t count, const struct json *limit);
bool schema_is_at_least(uint64_t count, const struct json *limit);
bool schema_on_all_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas);
bool schema_on_any_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas);
bool schema_on_const(struct schema_run *run, struct schema_frame *frame, const struct json *value);
bool schema_on_count(struct schema_run *run, struct schema_frame *frame, enum json_type type,
                     bool is_max, const struct json *limit);
bool schema_on_enum(struct schema_run *run, struct schema_frame *frame, const struct json *values);
bool schema_on_if(struct schema_run *run, struct schema_frame *frame, const struct json *schema);
bool schema_on_limit(struct schema_run *run, struct schema_frame *frame,
                     enum schema_keyword keyword, const struct json *limit);
bool schema_on_multiple_of(struct schema_run *run, struct schema_frame *frame,
                           const struct json *divisor);
bool schema_on_not(struct schema_run *run, struct schema_frame *frame, const struct json *schema);
bool schema_on_one_of(struct schema_run *run, struct schema_frame *frame,
                      const struct json *schemas);
bool schema_on_pattern(struct schema_run *run, struct schema_frame *frame,
                       const struct json *pattern);
bool schema_on_ref(struct schema_run *run, struct schema_frame *frame, const struct json *ref,
                   bool is_dynamic);
bool schema_on_type(struct schema_run *run, struct schema_frame *frame, const struct json *types);

/* ---- schema_nested.c ---- */

bool schema_on_additional_items(struct schema_run *run, struct schema_frame *frame,
                                const struct json *schema);
bool schema_on_additional_properties(struct schema_run *run, struct schema_frame *frame,
                                     const struct json *schema);
bool schema_on_contains(struct schema_run *run, struct schema_frame *frame,
                        const struct json *schema);
bool schema_on_dependent(struct schema_run *run, struct schema_frame *frame,
                         const struct json *all);
bool schema_on_items(struct schema_run *run, struct schema_frame *frame, const struct json *schema);
bool schema_on_pattern_properties(struct schema_run *run, struct schema_frame *frame,
                                  const struct json *schemas);
bool schema_on_prefix_items(struct schema_run *run, struct schema_frame *frame,
                            const struct json *schemas);
bool schema_on_properties(struct schema_run *run, struct schema_frame *frame,
                          const struct json *schemas);
bool schema_on_property_names(struct schema_run *run, struct schema_frame *frame,
                              const struct json *schema);
bool schema_on_required(struct schema_run *run, struct schema_frame *frame,
                        const struct json *names);
bool schema_on_unevaluated_items(struct schema_run *run, struct schema_frame *frame,
                                 const struct json *schema);
bool schema_on_unevaluated_properties(struct schema_run *run, struct schema_frame *frame,
                                      const struct json *schema);
bool schema_on_unique_items(struct schema_run *run, struct schema_frame *frame,
                            const struct json *flag);

#endif
