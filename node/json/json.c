#include "node/json/json.h"

#include "node/json/index.h"
#include "node/json/string.h"
#include "proto/base/check.h"

#define NODES_FIRST_MAX 256U /* room that is made at once */

struct json_parser {
    struct json_index *index;
    size_t error_offset;
    bool is_strict;
};

/* One parse under way. */
struct json_walk {
    const uint8_t *text;
    size_t size;
    const uint32_t *tokens; /* first byte of each; after the last one, the size */
    uint32_t tokens_count;
    bool has_escapes; /* there is a backslash somewhere */
    bool is_strict;
    struct json_limits limits;
    struct mn_arena *arena;
    struct json *nodes;
    uint32_t nodes_count, nodes_capacity, nodes_room; /* the last: no more without asking */
    size_t error_offset;
};

struct json_parser *json_parser_new(void)
{
    struct json_parser *parser = mn_alloc(sizeof *parser);
    parser->index = json_index_new();
    parser->is_strict = false;
    return parser;
}

void json_parser_be_strict(struct json_parser *parser)
{
    parser->is_strict = true;
}

void json_parser_free(struct json_parser *parser)
{
    if (parser == NULL) return;
    json_index_free(parser->index);
    mn_free(parser);
}

size_t json_error_offset(const struct json_parser *parser)
{
    return parser->error_offset;
}

static mn_status json_fail(struct json_walk *walk, uint32_t token, mn_status status)
{
    walk->error_offset = token < walk->tokens_count ? walk->tokens[token] : walk->size;
    return status;
}

/* The first byte of a token; 0, which begins no token, at the end. */
static inline uint8_t json_peek(const struct json_walk *walk, uint32_t token)
{
    return token < walk->tokens_count ? walk->text[walk->tokens[token]] : 0;
}

static inline bool json_is_space(uint8_t c)
{
    return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/* Keys and most values are short: eight bytes at a time need no call, and the last eight may reach
 * into what follows. Whether one of them is a backslash; a doubt counts as yes. */
static inline bool json_may_escape(struct mn_span quoted)
{
    const uint64_t ones = 0x0101010101010101U, highs = ones << 7;
    uint64_t found = 0;

    if (quoted.size >= 32) return memchr(quoted.data, '\\', quoted.size) != NULL;
    for (size_t at = 0; at < quoted.size; at += sizeof found) {
        uint64_t word;
        memcpy(&word, quoted.data + at, sizeof word);
        word ^= ones * '\\';
        found |= (word - ones) & ~word & highs;
    }
    return found != 0;
}

/* From the token's first byte to its last one: the next token begins after white space at most. */
static inline struct mn_span json_token(const struct json_walk *walk, uint32_t token)
{
    const uint8_t *begin = walk->text + walk->tokens[token];
    const uint8_t *end = walk->text + walk->tokens[token + 1];

    while (end > begin && json_is_space(end[-1]))
        end--;
    return mn_span(begin, (size_t)(end - begin));
}

static const uint8_t *json_skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* RFC 8259, section 6; the value itself is nobody's business here. */
static bool json_is_number(struct mn_span token)
{
    const uint8_t *at = token.data, *end = at + token.size, *digits;

    if (at < end && *at == '-') at++;
    digits = at;
    at = json_skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1)) return false;
    if (at < end && *at == '.') {
        digits = ++at;
        at = json_skip_digits(at, end);
        if (at == digits) return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        digits = at;
        at = json_skip_digits(at, end);
        if (at == digits) return false;
    }
    return at == end;
}

/* The type of a token that is no container and no string; 0 when it is no value at all. */
static enum json_type json_literal_type(struct mn_span token)
{
    switch (token.data[0]) {
    case 't': return mn_span_is(token, "true") ? JSON_TRUE : (enum json_type)0;
    case 'f': return mn_span_is(token, "false") ? JSON_FALSE : (enum json_type)0;
    case 'n': return mn_span_is(token, "null") ? JSON_NULL : (enum json_type)0;
    default: return json_is_number(token) ? JSON_NUMBER : (enum json_type)0;
    }
}

/* Every key and every value but the last has a token of punctuation behind it, so half of the
 * tokens is enough for most texts; of a long one only the upper levels are wanted, as a rule. */
static bool json_make_room(struct json_walk *walk)
{
    if (walk->nodes_count >= walk->limits.nodes_max) return false;
    if (walk->nodes_capacity == 0) {
        uint32_t count = walk->tokens_count / 2 + 1;
        if (count > NODES_FIRST_MAX) count = NODES_FIRST_MAX;
        walk->nodes = mn_arena_alloc(walk->arena, count * sizeof *walk->nodes);
        walk->nodes_capacity = count;
    } else {
        walk->nodes = mn_arena_grow(walk->arena, walk->nodes, walk->nodes_count,
                                    &walk->nodes_capacity, sizeof *walk->nodes);
    }
    walk->nodes_room = walk->nodes_capacity < walk->limits.nodes_max ? walk->nodes_capacity
                                                                     : walk->limits.nodes_max;
    return true;
}

/* The place of one more node, until the next is added: the array moves when it grows. NULL: there
 * are too many. */
static inline struct json *json_add(struct json_walk *walk)
{
    if (walk->nodes_count == walk->nodes_room && !json_make_room(walk)) return NULL;
    return &walk->nodes[walk->nodes_count++];
}

/* A token that begins with a quote. */
static inline mn_status json_walk_string(struct json_walk *walk, uint32_t token, bool is_recorded)
{
    struct mn_span raw = json_token(walk, token), text;
    struct json *node;

    if (raw.size < 2 || raw.data[raw.size - 1] != '"') return json_fail(walk, token, MN_MALFORMED);
    text = mn_span(raw.data + 1, raw.size - 2);
    if (walk->has_escapes && json_may_escape(text) &&
        !json_string_unescape(text, walk->is_strict, is_recorded ? walk->arena : NULL, &text))
        return json_fail(walk, token, MN_MALFORMED);
    if (!is_recorded) return MN_OK;
    node = json_add(walk);
    if (node == NULL) return json_fail(walk, token, MN_TOO_BIG);
    *node = (struct json){.type = JSON_STRING, .skip = 1, .raw = raw, .text = text};
    return MN_OK;
}

static mn_status json_walk_literal(struct json_walk *walk, uint32_t token, bool is_recorded)
{
    struct mn_span raw = json_token(walk, token);
    enum json_type type = json_literal_type(raw);
    struct json *node;

    if (type == 0) return json_fail(walk, token, MN_MALFORMED);
    if (!is_recorded) return MN_OK;
    node = json_add(walk);
    if (node == NULL) return json_fail(walk, token, MN_TOO_BIG);
    *node = (struct json){.type = type, .skip = 1, .raw = raw};
    return MN_OK;
}

static mn_status json_walk_container(struct json_walk *walk, uint32_t *token, uint32_t depth,
                                     bool is_recorded);

/* The value that begins at *[token], which moves behind it. Recursion is bounded by
 * limits.depth_max. */
static inline mn_status json_walk_value(struct json_walk *walk, uint32_t *token, uint32_t depth,
                                        bool is_recorded)
{
    switch (json_peek(walk, *token)) {
    case '"': return json_walk_string(walk, (*token)++, is_recorded);
    case '{':
    case '[': return json_walk_container(walk, token, depth, is_recorded);
    case 0: return json_fail(walk, *token, MN_MALFORMED);
    default: return json_walk_literal(walk, (*token)++, is_recorded);
    }
}

static inline mn_status json_walk_key(struct json_walk *walk, uint32_t *token, bool is_recorded)
{
    mn_status status;

    if (json_peek(walk, *token) != '"') return json_fail(walk, *token, MN_MALFORMED);
    status = json_walk_string(walk, *token, is_recorded);
    if (status != MN_OK) return status;
    ++*token;
    if (json_peek(walk, *token) != ':') return json_fail(walk, *token, MN_MALFORMED);
    ++*token;
    return MN_OK;
}

/* What stands between the brackets; *[ret] is then the closing one. */
static mn_status json_walk_items(struct json_walk *walk, uint32_t *ret, uint32_t depth,
                                 bool is_object, bool is_recorded, uint32_t *ret_count)
{
    uint8_t close = is_object ? '}' : ']';
    uint32_t count = 0, token = *ret;

    if (json_peek(walk, token) != close) {
        for (;;) {
            mn_status status = is_object ? json_walk_key(walk, &token, is_recorded) : MN_OK;
            if (status == MN_OK) status = json_walk_value(walk, &token, depth, is_recorded);
            if (status != MN_OK) return status;
            count++;
            if (json_peek(walk, token) != ',') break;
            token++;
        }
    }
    if (json_peek(walk, token) != close) return json_fail(walk, token, MN_MALFORMED);
    *ret = token;
    *ret_count = count;
    return MN_OK;
}

static mn_status json_walk_container(struct json_walk *walk, uint32_t *token, uint32_t depth,
                                     bool is_recorded)
{
    const uint8_t *begin = walk->text + walk->tokens[*token], *end;
    bool is_object = *begin == '{';
    bool is_kept = is_recorded && depth < walk->limits.depth_kept;
    uint32_t index = walk->nodes_count, count = 0;
    mn_status status;

    if (depth >= walk->limits.depth_max) return json_fail(walk, *token, MN_TOO_BIG);
    if (is_recorded && json_add(walk) == NULL) return json_fail(walk, *token, MN_TOO_BIG);
    ++*token;
    status = json_walk_items(walk, token, depth + 1, is_object, is_kept, &count);
    if (status != MN_OK) return status;
    end = walk->text + walk->tokens[(*token)++] + 1;
    if (is_recorded)
        walk->nodes[index] = (struct json){.type = is_object ? JSON_OBJECT : JSON_ARRAY,
                                           .is_kept = is_kept,
                                           .count = count,
                                           .skip = walk->nodes_count - index,
                                           .raw = mn_span(begin, (size_t)(end - begin))};
    return MN_OK;
}

mn_status json_parse(struct json_parser *parser, struct mn_span text, struct json_limits limits,
                     struct mn_arena *arena, const struct json **ret)
{
    struct json_walk walk = {.text = text.data,
                             .size = text.size,
                             .limits = limits,
                             .is_strict = parser->is_strict,
                             .arena = arena};
    uint32_t token = 0;
    mn_status status;

    MN_ASSERT(limits.depth_max <= JSON_DEPTH_MAX);
    MN_ASSERT(limits.nodes_max <= JSON_NODES_MAX);
    parser->error_offset = 0;
    if (text.size > UINT32_MAX) return MN_TOO_BIG;
    if (text.size == 0) return MN_MALFORMED;
    if (!json_index_find(parser->index, text.data, text.size, &walk.tokens, &walk.tokens_count))
        return MN_MALFORMED;
    /* Most texts have none: seen once for all of their strings. */
    walk.has_escapes = memchr(text.data, '\\', text.size) != NULL;
    status = json_walk_value(&walk, &token, 0, true);
    if (status == MN_OK && token != walk.tokens_count)
        status = json_fail(&walk, token, MN_MALFORMED);
    parser->error_offset = walk.error_offset;
    json_index_trim(parser->index);
    if (status != MN_OK) return status;
    *ret = walk.nodes;
    return MN_OK;
}

mn_status json_parse_copy(struct json_parser *parser, struct mn_span text,
                          struct json_limits limits, struct mn_arena *arena,
                          const struct json **ret)
{
    uint8_t *copy = mn_arena_alloc(arena, text.size + MN_BUF_PADDING);

    if (text.size > 0) memcpy(copy, text.data, text.size);
    memset(copy + text.size, 0, MN_BUF_PADDING);
    return json_parse(parser, mn_span(copy, text.size), limits, arena, ret);
}

const struct json *json_first(const struct json *container)
{
    MN_ASSERT(container->type == JSON_ARRAY || container->type == JSON_OBJECT);
    MN_ASSERT(container->is_kept);
    return container->count == 0 ? NULL : container + 1;
}

const struct json *json_next(const struct json *container, const struct json *current)
{
    const struct json *value = container->type == JSON_OBJECT ? current + 1 : current;
    const struct json *next = value + value->skip;

    return next < container + container->skip ? next : NULL;
}

const struct json *json_find(const struct json *value, struct mn_span name)
{
    if (!json_is(value, JSON_OBJECT)) return NULL;
    for (const struct json *key = json_first(value); key != NULL; key = json_next(value, key))
        if (mn_span_equal(key->text, name)) return json_value(key);
    return NULL;
}

mn_status json_pick(const struct json *object, const char *const *names, uint32_t names_count,
                    const struct json **ret)
{
    MN_ASSERT(object->type == JSON_OBJECT);
    for (uint32_t i = 0; i < names_count; i++)
        ret[i] = NULL;
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        for (uint32_t i = 0; i < names_count; i++) {
            /* Most differ in their first byte: seen before their length is known. */
            if (key->text.size > 0 && key->text.data[0] != (uint8_t)*names[i]) continue;
            if (!mn_span_is(key->text, names[i])) continue;
            if (ret[i] != NULL) return MN_MALFORMED;
            ret[i] = json_value(key);
        }
    }
    return MN_OK;
}

struct mn_span json_text(const struct json *value)
{
    return json_is(value, JSON_STRING) ? value->text : mn_span(NULL, 0);
}

mn_status json_i64(const struct json *value, int64_t *ret)
{
    bool is_negative;
    uint64_t magnitude = 0, limit;
    size_t at;

    if (!json_is(value, JSON_NUMBER)) return MN_MALFORMED;
    is_negative = value->raw.data[0] == '-';
    limit = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (at = is_negative; at < value->raw.size; at++) {
        uint64_t digit = (uint64_t)value->raw.data[at] - '0';
        if (digit > 9 || magnitude > (limit - digit) / 10) return MN_MALFORMED;
        magnitude = magnitude * 10 + digit;
    }
    *ret = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return MN_OK;
}
