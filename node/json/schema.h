/* schema.h: does a JSON value match a JSON Schema? For the arguments of tools, before they are sent
 * anywhere. Dialects: 2020-12 (the default) and draft-07; others are read as the nearer of the two.
 *
 * All assertions and applicators of both, with these limits: `format`, `content*` and `default`
 * only annotate. References stay within the schema: "#", "#/pointer", "#anchor", and the exact
 * `$id` of an embedded schema; relative `$id`s are not resolved against each other, nothing is ever
 * fetched, and a reference to anything else makes the schema unusable. `$recursiveRef` is read as
 * `$ref`. Patterns are Perl's (PCRE2) in its ECMAScript-like mode, and cost steps.
 * Numbers are compared exactly, as decimals of any size; `multipleOf` may have 18 digits.
 *
 * Specifications: draft-bhutton-json-schema-01 and -validation-01 (2020-12),
 * draft-handrews-json-schema-01 (draft-07). */
#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H

#include <stdint.h>

#include "node/json/json.h"

#define SCHEMA_TEXT_MAX 262144   /* bytes of a schema */
#define SCHEMA_NODES_MAX 16384   /* values and keys in it */
#define SCHEMA_PATTERN_MAX 4096  /* bytes of a pattern */
#define SCHEMA_STEPS_MAX 500000u /* of one validation: what takes about 0.1 us is one */
#define SCHEMA_FRAMES_MAX 400u   /* schemas within schemas under way at once */

struct schema; /* immutable once made */

/* [text] is copied. MN_CONFIG: it cannot be used; [why], in [arena], says what and where.
 * MN_TOO_BIG: over a limit above, likewise. */
MN_MUST_USE mn_status schema_new(struct json_parser *parser, struct mn_span text,
                                 struct mn_arena *arena, struct schema **ret, struct mn_span *why);
void schema_free(struct schema *schema);

/* Bytes that it holds, for whoever keeps many. */
size_t schema_size(const struct schema *schema);

/* MN_OK: [value] matches. MN_MALFORMED: it does not; [why], in [arena], names the place in the
 * value (a JSON pointer) and what should be there. MN_TOO_BIG: it took more steps than are allowed.
 * [value] must have been parsed with all its levels kept. */
MN_MUST_USE mn_status schema_validate(const struct schema *schema, const struct json *value,
                                      struct mn_arena *arena, struct mn_span *why);

/* Order of two numbers, as JSON, by value, whatever their spelling. */
int schema_number_compare(struct mn_span a, struct mn_span b);

/* By value, too: "1.0" and "1e2" are integers. */
bool schema_number_is_integer(struct mn_span number);

#endif
