/* json.h: JSON in and out for the message path (RFC 8259).
 *
 * In: one walk validates the whole text (UTF-8, string escapes, number grammar, structure, depth)
 * and records its upper levels as a compact tree; what lies deeper is checked just the same, but
 * stays text. Nothing is ever converted: every value keeps its verbatim text, so numbers of any
 * size and unknown members survive being passed on. simdjson finds the tokens, we judge them.
 *
 * A lone surrogate escape ("\ud800") equals no UTF-8 text, but JavaScript writes it for what it has
 * cut in the middle of a character: it stays in [raw], and is U+FFFD in [text]; who keeps texts
 * and not what they were made of has it refused. Duplicate keys are accepted here and refused by
 * json_pick(). */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define JSON_DEPTH_MAX 128
#define JSON_NODES_MAX 262144

enum json_type {
    JSON_NULL = 1,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* One value, or the key of a member: a key stands directly before its value. Read-only. */
struct json {
    enum json_type type;
    bool is_kept;        /* array, object: its elements or members were recorded */
    uint32_t count;      /* array: elements; object: members */
    uint32_t skip;       /* nodes recorded for this value, itself included */
    struct mn_span raw;  /* verbatim text, nothing around it; borrowed from the parsed text */
    struct mn_span text; /* string: its unescaped UTF-8, without quotes */
};

struct json_limits {
    uint32_t depth_max;  /* containers inside each other, <= JSON_DEPTH_MAX */
    uint32_t depth_kept; /* containers down to this level keep their content; 1: the outermost */
    uint32_t nodes_max;  /* recorded values and keys, <= JSON_NODES_MAX */
};

/* Scratch memory for parsing, kept between calls. One per owner; not shared between threads. */
struct json_parser;
struct json_parser *json_parser_new(void);
/* From now on texts with a lone surrogate are refused. */
void json_parser_be_strict(struct json_parser *parser);
void json_parser_free(struct json_parser *parser);

/* Parses [text], after whose end MN_BUF_PADDING bytes must be readable (whatever they hold): true
 * of every mn_buf, of every part of one, and so of every raw span. The tree lives in [arena] and
 * borrows from [text]. MN_MALFORMED: not JSON; MN_TOO_BIG: over a limit, or 4 GiB. */
MN_MUST_USE mn_status json_parse(struct json_parser *parser, struct mn_span text,
                                 struct json_limits limits, struct mn_arena *arena,
                                 const struct json **ret);

/* Where the last json_parse() failed: bytes from the beginning of its text. */
size_t json_error_offset(const struct json_parser *parser);

/* The same for text without padding: it is copied into [arena] first. */
MN_MUST_USE mn_status json_parse_copy(struct json_parser *parser, struct mn_span text,
                                      struct json_limits limits, struct mn_arena *arena,
                                      const struct json **ret);

/* Walks. [container] must be kept; NULL at the end.
 *   for (const struct json *item = json_first(array); item; item = json_next(array, item))
 *   for (const struct json *key = json_first(object); key; key = json_next(object, key))
 *       use(key->text, json_value(key)); */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *container, const struct json *current);

static inline const struct json *json_value(const struct json *key)
{
    return key + 1;
}

/* The first member of that name, or NULL; also NULL when [value] is NULL or no object. */
const struct json *json_find(const struct json *value, struct mn_span name);
static inline const struct json *json_find_str(const struct json *value, const char *name)
{
    return json_find(value, mn_span_str(name));
}

/* The members of these names, each NULL when absent. MN_MALFORMED when one of them stands twice:
 * two readers of such an object may disagree about what it says. */
MN_MUST_USE mn_status json_pick(const struct json *object, const char *const *names,
                                uint32_t names_count, const struct json **ret);

/* Both accept NULL. */
static inline bool json_is(const struct json *value, enum json_type type)
{
    return value != NULL && value->type == type;
}

static inline bool json_is_true(const struct json *value)
{
    return json_is(value, JSON_TRUE);
}

/* The text of a string; an empty span for NULL and every other type. */
struct mn_span json_text(const struct json *value);

/* A number without fraction and exponent that fits. MN_MALFORMED otherwise, and for NULL. */
MN_MUST_USE mn_status json_i64(const struct json *value, int64_t *ret);

/* Out. [text] is UTF-8 and becomes a quoted, escaped string; bytes that are not UTF-8 become
 * U+FFFD, so that what we write can always be read. */
void json_write_string(struct mn_writer *writer, struct mn_span text);

/* Raw JSON on one line, for framings that end at a newline: CR and LF, which valid JSON has only
 * between tokens, become spaces. */
void json_write_line(struct mn_writer *writer, struct mn_span raw);

#endif
