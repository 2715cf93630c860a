/* schema_internal.h: what the files of schema.h share: schema_compile.c finds the schemas, names,
 * references and patterns in a text, schema.c and its keywords (schema_run.h) apply them,
 * schema_value.c compares values, schema_twins.c finds what stands twice among many. */
#ifndef JSON_SCHEMA_INTERNAL_H
#define JSON_SCHEMA_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "node/json/schema.h"

/* What a keyword's value is. */
enum schema_shape {
    SCHEMA_SHAPE_ANY = 1,
    SCHEMA_SHAPE_ONE,      /* a schema */
    SCHEMA_SHAPE_LIST,     /* of schemas */
    SCHEMA_SHAPE_ITEMS,    /* either of these */
    SCHEMA_SHAPE_NAMED,    /* schemas by name */
    SCHEMA_SHAPE_PATTERNS, /* schemas by patterns of names */
    SCHEMA_SHAPE_PATTERN,
    SCHEMA_SHAPE_NUMBER,
    SCHEMA_SHAPE_DIVISOR,
    SCHEMA_SHAPE_STRING,
    SCHEMA_SHAPE_TYPES, /* the name of a type, or some */
    SCHEMA_SHAPE_ARRAY,
    SCHEMA_SHAPE_OBJECT,
    SCHEMA_SHAPE_FLAG
};

/* The keywords that mean something here; others are none. */
#define SCHEMA_KEYWORDS(X)                                  \
    X(ADDITIONAL_ITEMS, "additionalItems", ONE)             \
    X(ADDITIONAL_PROPERTIES, "additionalProperties", ONE)   \
    X(ALL_OF, "allOf", LIST)                                \
    X(ANY_OF, "anyOf", LIST)                                \
    X(CONST, "const", ANY)                                  \
    X(CONTAINS, "contains", ONE)                            \
    X(DEFINITIONS, "definitions", NAMED)                    \
    X(DEFS, "$defs", NAMED)                                 \
    X(DEPENDENCIES, "dependencies", NAMED)                  \
    X(DEPENDENT_REQUIRED, "dependentRequired", OBJECT)      \
    X(DEPENDENT_SCHEMAS, "dependentSchemas", NAMED)         \
    X(DYNAMIC_REF, "$dynamicRef", STRING)                   \
    X(ELSE, "else", ONE)                                    \
    X(ENUM, "enum", ARRAY)                                  \
    X(EXCLUSIVE_MAXIMUM, "exclusiveMaximum", NUMBER)        \
    X(EXCLUSIVE_MINIMUM, "exclusiveMinimum", NUMBER)        \
    X(IF, "if", ONE)                                        \
    X(ITEMS, "items", ITEMS)                                \
    X(MAX_CONTAINS, "maxContains", NUMBER)                  \
    X(MAXIMUM, "maximum", NUMBER)                           \
    X(MAX_ITEMS, "maxItems", NUMBER)                        \
    X(MAX_LENGTH, "maxLength", NUMBER)                      \
    X(MAX_PROPERTIES, "maxProperties", NUMBER)              \
    X(MIN_CONTAINS, "minContains", NUMBER)                  \
    X(MINIMUM, "minimum", NUMBER)                           \
    X(MIN_ITEMS, "minItems", NUMBER)                        \
    X(MIN_LENGTH, "minLength", NUMBER)                      \
    X(MIN_PROPERTIES, "minProperties", NUMBER)              \
    X(MULTIPLE_OF, "multipleOf", DIVISOR)                   \
    X(NOT, "not", ONE)                                      \
    X(ONE_OF, "oneOf", LIST)                                \
    X(PATTERN, "pattern", PATTERN)                          \
    X(PATTERN_PROPERTIES, "patternProperties", PATTERNS)    \
    X(PREFIX_ITEMS, "prefixItems", LIST)                    \
    X(PROPERTIES, "properties", NAMED)                      \
    X(PROPERTY_NAMES, "propertyNames", ONE)                 \
    X(RECURSIVE_REF, "$recursiveRef", STRING)               \
    X(REF, "$ref", STRING)                                  \
    X(REQUIRED, "required", ARRAY)                          \
    X(THEN, "then", ONE)                                    \
    X(TYPE, "type", TYPES)                                  \
    X(UNEVALUATED_ITEMS, "unevaluatedItems", ONE)           \
    X(UNEVALUATED_PROPERTIES, "unevaluatedProperties", ONE) \
    X(UNIQUE_ITEMS, "uniqueItems", FLAG)

enum schema_keyword {
    SCHEMA_NO_KEYWORD = 0,
#define X(name, text, shape) SCHEMA_##name,
    SCHEMA_KEYWORDS(X)
#undef X
};

/* What is known about one node (value or key) of the parsed text, by its index. */
struct schema_place {
    uint8_t keyword;     /* of a key within a schema: enum schema_keyword */
    uint16_t resource;   /* of a schema: number of its resource + 1; 0: this is no schema */
    uint32_t target;     /* of the value of a reference: index of the schema meant */
    uint16_t stride;     /* of a pattern: bytes that one item of it may read and be where it was */
    pcre2_code *pattern; /* of the value of "pattern", and of keys in "patternProperties" */
};

/* A schema with an identity of its own: the whole text, or what has an $id in it. */
struct schema_resource {
    struct mn_span id;
    uint32_t root;
    bool is_old; /* draft-07 and before: what stands beside a $ref counts for nothing */
};

struct schema_anchor {
    struct mn_span name;
    uint32_t node;
    uint16_t resource;
    bool is_dynamic;
};

struct schema {
    struct mn_arena arena; /* everything but the patterns */
    const struct json *root;
    uint32_t nodes_count;
    struct schema_place *places; /* [nodes_count] */
    struct schema_resource *resources;
    uint32_t resources_count, resources_capacity;
    struct schema_anchor *anchors;
    uint32_t anchors_count, anchors_capacity;
    bool tracks; /* has unevaluatedItems or -Properties: what was evaluated must be remembered */
    size_t patterns_size;
};

static inline uint32_t schema_index(const struct schema *schema, const struct json *node)
{
    return (uint32_t)(node - schema->root);
}

static inline struct schema_place *schema_place(const struct schema *schema,
                                                const struct json *node)
{
    return &schema->places[schema_index(schema, node)];
}

/* ---- steps ---- */

#define SCHEMA_BYTES_PER_STEP 64 /* read or compared */
#define SCHEMA_NODES_PER_STEP 16 /* passed in a walk that only looks for something */

/* What looks at so many things is not for nothing. */
static inline void schema_spend(uint32_t *steps, size_t count)
{
    *steps -= *steps < count ? *steps : (uint32_t)count;
}

/* ---- schema_value.c ---- */

/* False also when the divisor has more than 18 digits; schema_compile.c refuses those. */
bool schema_number_is_multiple(struct mn_span number, struct mn_span divisor);
bool schema_number_is_divisor(struct mn_span number);

/* Equal as JSON values; counts [steps] down, and is false when they are used up. */
bool schema_equal(const struct json *a, const struct json *b, uint32_t *steps);

/* The same for all values that are equal, whatever their spelling. */
uint64_t schema_hash(const struct json *value);

/* Characters, not bytes, of valid UTF-8. */
size_t schema_length(struct mn_span text);

/* ---- schema_twins.c ---- */

/* The first item of an array that equals one before it, or key of an object that stands there
 * already. NULL: there is none, or the [steps], which it counts down, are used up. */
const struct json *schema_find_twin(const struct json *container, uint32_t *steps);

#endif
