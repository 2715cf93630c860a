#include "node/json/feed.h"

#include "node/json/string.h"
#include "proto/base/check.h"

#define BLOCK_SIZE 64     /* bytes of a string that are looked at together */
#define ESCAPE_SIZE_MAX 6 /* until it is known to be one: "\u" and four digits */
#define NODES_FIRST 16

enum feed_want {
    WANT_VALUE = 1,
    WANT_ITEM, /* a value, or the end of an array */
    WANT_KEY,
    WANT_MEMBER, /* a key, or the end of an object */
    WANT_COLON,
    WANT_NEXT, /* a comma, or the end of what is open */
    WANT_NOTHING
};

/* What of a number was there; 0: this is none. */
enum feed_number {
    NUMBER_MINUS = 1,
    NUMBER_ZERO,
    NUMBER_DIGITS,
    NUMBER_POINT,
    NUMBER_FRACTION,
    NUMBER_E,
    NUMBER_SIGN,
    NUMBER_EXPONENT
};

enum feed_inside { INSIDE_NOTHING = 0, INSIDE_STRING, INSIDE_NUMBER };

/* A value or key, as places in the text. */
struct feed_node {
    enum json_type type;
    bool is_kept, has_escapes;
    uint32_t count, skip, begin, end;
};

struct feed_level {
    bool is_object;
    bool is_kept;
    uint32_t node; /* its index and one; 0: it is not recorded */
    size_t begin;
};

struct json_feed {
    struct json_limits limits;
    struct feed_node *nodes;
    uint32_t nodes_count, nodes_capacity;
    struct feed_level levels[JSON_DEPTH_MAX];
    uint32_t depth;
    enum feed_want want;
    enum feed_inside inside;
    enum feed_number number;
    bool is_key, has_escapes; /* of the string that is not over */
    bool has_lines;
    size_t values;
    uint32_t watch_depth;
    void (*watch)(void *owner, const struct json_feed_seen *seen); /* NULL: nobody */
    void *watch_owner;
    size_t spent;     /* by the watcher, since the last token */
    size_t at, token; /* looked at up to here; where the unfinished string or number begins */
    mn_status failure;
};

/* Of one piece. */
struct feed_text {
    const uint8_t *bytes;
    size_t size, limit, end; /* what is there; how far to look; where to stop: the lesser one */
};

struct json_feed *json_feed_new(struct json_limits limits)
{
    struct json_feed *feed = mn_alloc(sizeof *feed);

    MN_ASSERT(limits.depth_max <= JSON_DEPTH_MAX);
    MN_ASSERT(limits.nodes_max <= JSON_NODES_MAX);
    feed->limits = limits;
    feed->want = WANT_VALUE;
    return feed;
}

void json_feed_free(struct json_feed *feed)
{
    if (feed == NULL) return;
    mn_free(feed->nodes);
    mn_free(feed);
}

size_t json_feed_place(const struct json_feed *feed)
{
    return feed->at;
}

size_t json_feed_values(const struct json_feed *feed)
{
    return feed->values;
}

bool json_feed_has_lines(const struct json_feed *feed)
{
    return feed->has_lines;
}

void json_feed_watch(struct json_feed *feed, uint32_t depth_max,
                     void (*seen)(void *owner, const struct json_feed_seen *seen), void *owner)
{
    MN_ASSERT(feed->at == 0);
    feed->watch_depth = depth_max;
    feed->watch = seen;
    feed->watch_owner = owner;
}

void json_feed_spend(struct json_feed *feed, size_t size)
{
    feed->spent += size;
}

static void feed_fail(struct json_feed *feed, mn_status status)
{
    feed->failure = status;
}

/* ---- what is told ---- */

static void feed_tell(struct json_feed *feed, enum json_feed_part part, enum json_type type,
                      size_t begin, size_t end)
{
    const struct json_feed_seen seen = {.part = part,
                                        .type = type,
                                        .has_escapes = type == JSON_STRING && feed->has_escapes,
                                        .depth = feed->depth,
                                        .begin = begin,
                                        .end = end};

    if (feed->watch != NULL && feed->depth <= feed->watch_depth)
        feed->watch(feed->watch_owner, &seen);
}

/* ---- what is recorded ---- */

static struct feed_level *feed_top(struct json_feed *feed)
{
    return feed->depth == 0 ? NULL : &feed->levels[feed->depth - 1];
}

static bool feed_is_recorded(struct json_feed *feed)
{
    return feed->depth == 0 || feed_top(feed)->is_kept;
}

/* The value or key that begins at [begin]; NULL: there are too many. */
static struct feed_node *feed_record(struct json_feed *feed, enum json_type type, size_t begin,
                                     size_t end)
{
    struct feed_node *node;

    if (feed->nodes_count == feed->limits.nodes_max) {
        feed_fail(feed, MN_TOO_BIG);
        return NULL;
    }
    if (feed->nodes_count == feed->nodes_capacity) {
        feed->nodes_capacity = feed->nodes_capacity == 0 ? NODES_FIRST : feed->nodes_capacity * 2;
        feed->nodes = mn_realloc(feed->nodes, feed->nodes_capacity * sizeof *feed->nodes);
    }
    node = &feed->nodes[feed->nodes_count++];
    *node =
        (struct feed_node){.type = type, .skip = 1, .begin = (uint32_t)begin, .end = (uint32_t)end};
    return node;
}

/* One more in what is open: of an object its keys count. */
static void feed_count(struct json_feed *feed)
{
    struct feed_level *top = feed_top(feed);
    if (top != NULL && top->node != 0) feed->nodes[top->node - 1].count++;
}

static void feed_value_is_over(struct json_feed *feed)
{
    feed->want = feed->depth == 0 ? WANT_NOTHING : WANT_NEXT;
}

/* A value that is no container. */
static void feed_scalar(struct json_feed *feed, enum json_type type, size_t begin, size_t end)
{
    struct feed_level *top = feed_top(feed);

    feed->values++;
    feed_tell(feed, JSON_FEED_SCALAR, type, begin, end);
    if (top != NULL && !top->is_object) feed_count(feed);
    if (feed_is_recorded(feed)) {
        struct feed_node *node = feed_record(feed, type, begin, end);
        if (node != NULL) node->has_escapes = type == JSON_STRING && feed->has_escapes;
    }
    feed_value_is_over(feed);
}

static void feed_open(struct json_feed *feed, bool is_object)
{
    struct feed_level *top = feed_top(feed);
    bool is_recorded = feed_is_recorded(feed);
    bool is_kept = is_recorded && feed->depth < feed->limits.depth_kept;

    feed->values++;
    if (feed->depth >= feed->limits.depth_max) {
        feed_fail(feed, MN_TOO_BIG);
        return;
    }
    feed_tell(feed, JSON_FEED_OPEN, is_object ? JSON_OBJECT : JSON_ARRAY, feed->at, 0);
    if (top != NULL && !top->is_object) feed_count(feed);
    if (is_recorded) {
        struct feed_node *node =
            feed_record(feed, is_object ? JSON_OBJECT : JSON_ARRAY, feed->at, 0);
        if (node == NULL) return;
        node->is_kept = is_kept;
    }
    feed->levels[feed->depth++] =
        (struct feed_level){is_object, is_kept, is_recorded ? feed->nodes_count : 0, feed->at};
    feed->want = is_object ? WANT_MEMBER : WANT_ITEM;
    feed->at++;
}

static void feed_close(struct json_feed *feed)
{
    const struct feed_level *top = feed_top(feed);

    feed->at++;
    if (top->node != 0) {
        struct feed_node *node = &feed->nodes[top->node - 1];
        node->end = (uint32_t)feed->at;
        node->skip = feed->nodes_count - (top->node - 1);
    }
    feed->depth--;
    feed_tell(feed, JSON_FEED_CLOSE, top->is_object ? JSON_OBJECT : JSON_ARRAY, top->begin,
              feed->at);
    feed_value_is_over(feed);
}

/* ---- strings ---- */

/* Nothing that ends a string, or needs a look. */
static bool feed_is_plain(uint8_t c)
{
    return (c >= 0x20) & (c < 0x80) & (c != '"') & (c != '\\');
}

static size_t feed_skip_plain(const uint8_t *bytes, size_t at, size_t end)
{
    size_t near = end - at < BLOCK_SIZE / 4 ? end : at + BLOCK_SIZE / 4;

    for (; at < near; at++) /* most strings are short */
        if (!feed_is_plain(bytes[at])) return at;
    for (; end - at >= BLOCK_SIZE; at += BLOCK_SIZE) {
        uint8_t is_plain = 1;
        for (size_t i = 0; i < BLOCK_SIZE; i++)
            is_plain &= feed_is_plain(bytes[at + i]);
        if (!is_plain) break;
    }
    while (at < end && feed_is_plain(bytes[at]))
        at++;
    return at;
}

static void feed_string_is_over(struct json_feed *feed)
{
    feed->inside = INSIDE_NOTHING;
    if (!feed->is_key) {
        feed_scalar(feed, JSON_STRING, feed->token, feed->at);
        return;
    }
    feed->values++;
    feed_tell(feed, JSON_FEED_KEY, JSON_STRING, feed->token, feed->at);
    feed_count(feed);
    if (feed_is_recorded(feed)) {
        struct feed_node *node = feed_record(feed, JSON_STRING, feed->token, feed->at);
        if (node != NULL) node->has_escapes = feed->has_escapes;
    }
    feed->want = WANT_COLON;
}

/* An escape, or a character of several bytes. What is cut off may be complete when more is there.
 */
static bool feed_special(struct json_feed *feed, const struct feed_text *text)
{
    struct mn_span rest = mn_span(text->bytes + feed->at, text->size - feed->at);
    bool is_escape = rest.data[0] == '\\';
    size_t size = is_escape ? json_string_escape_size(rest) : json_string_utf8(rest);

    if (size == 0) {
        if (rest.data[0] < 0x20 || rest.size >= ESCAPE_SIZE_MAX) feed_fail(feed, MN_MALFORMED);
        return false;
    }
    feed->has_escapes |= is_escape;
    feed->at += size;
    return true;
}

/* False: it goes on. */
static bool feed_string(struct json_feed *feed, const struct feed_text *text)
{
    for (;;) {
        if (feed->at < text->end) feed->at = feed_skip_plain(text->bytes, feed->at, text->end);
        if (feed->at >= text->end) return false;
        if (text->bytes[feed->at] == '"') break;
        if (text->bytes[feed->at] < 0x20) {
            feed_fail(feed, MN_MALFORMED);
            return false;
        }
        if (!feed_special(feed, text)) return false;
    }
    feed->at++;
    feed_string_is_over(feed);
    return true;
}

static bool feed_begin_string(struct json_feed *feed, const struct feed_text *text, bool is_key)
{
    feed->inside = INSIDE_STRING;
    feed->is_key = is_key;
    feed->has_escapes = false;
    feed->token = feed->at++;
    return feed_string(feed, text);
}

/* ---- numbers and words ---- */

static bool feed_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* RFC 8259, section 6; 0: [c] does not belong to it any more. */
static enum feed_number feed_number_next(enum feed_number number, uint8_t c)
{
    const enum feed_number none = (enum feed_number)0;
    bool is_digit = feed_is_digit(c), is_e = c == 'e' || c == 'E';

    switch (number) {
    case NUMBER_MINUS: return !is_digit ? none : c == '0' ? NUMBER_ZERO : NUMBER_DIGITS;
    case NUMBER_ZERO: return c == '.' ? NUMBER_POINT : is_e ? NUMBER_E : none;
    case NUMBER_DIGITS:
        if (is_digit) return NUMBER_DIGITS;
        return c == '.' ? NUMBER_POINT : is_e ? NUMBER_E : none;
    case NUMBER_POINT: return is_digit ? NUMBER_FRACTION : none;
    case NUMBER_FRACTION: return is_digit ? NUMBER_FRACTION : is_e ? NUMBER_E : none;
    case NUMBER_E:
        if (c == '+' || c == '-') return NUMBER_SIGN;
        return is_digit ? NUMBER_EXPONENT : none;
    case NUMBER_SIGN:
    case NUMBER_EXPONENT: return is_digit ? NUMBER_EXPONENT : none;
    }
    return none;
}

static void feed_number_is_over(struct json_feed *feed)
{
    bool is_good = feed->number == NUMBER_ZERO || feed->number == NUMBER_DIGITS ||
                   feed->number == NUMBER_FRACTION || feed->number == NUMBER_EXPONENT;

    feed->inside = INSIDE_NOTHING;
    if (is_good)
        feed_scalar(feed, JSON_NUMBER, feed->token, feed->at);
    else
        feed_fail(feed, MN_MALFORMED);
}

static bool feed_number(struct json_feed *feed, const struct feed_text *text)
{
    while (feed->at < text->end) {
        enum feed_number next = feed_number_next(feed->number, text->bytes[feed->at]);
        if (next == 0) {
            feed_number_is_over(feed);
            return true;
        }
        feed->number = next;
        feed->at++;
    }
    return false;
}

static bool feed_begin_number(struct json_feed *feed, const struct feed_text *text, uint8_t c)
{
    feed->inside = INSIDE_NUMBER;
    feed->number = c == '-' ? NUMBER_MINUS : c == '0' ? NUMBER_ZERO : NUMBER_DIGITS;
    feed->token = feed->at++;
    return feed_number(feed, text);
}

static bool feed_word(struct json_feed *feed, const struct feed_text *text, const char *word,
                      enum json_type type)
{
    size_t size = strlen(word), there = text->size - feed->at;

    if (memcmp(text->bytes + feed->at, word, there < size ? there : size) != 0) {
        feed_fail(feed, MN_MALFORMED);
        return false;
    }
    if (there < size) return false;
    feed->at += size;
    feed_scalar(feed, type, feed->at - size, feed->at);
    return true;
}

/* ---- tokens ---- */

static bool feed_value(struct json_feed *feed, const struct feed_text *text, uint8_t c)
{
    switch (c) {
    case '"': return feed_begin_string(feed, text, false);
    case '{':
    case '[': feed_open(feed, c == '{'); return true;
    case 't': return feed_word(feed, text, "true", JSON_TRUE);
    case 'f': return feed_word(feed, text, "false", JSON_FALSE);
    case 'n': return feed_word(feed, text, "null", JSON_NULL);
    default: break;
    }
    if (c == '-' || feed_is_digit(c)) return feed_begin_number(feed, text, c);
    feed_fail(feed, MN_MALFORMED);
    return false;
}

/* A comma, or the end of what is open. */
static void feed_next(struct json_feed *feed, uint8_t c)
{
    bool is_object = feed_top(feed)->is_object;

    if (c == (is_object ? '}' : ']')) {
        feed_close(feed);
    } else if (c == ',') {
        feed->at++;
        feed->want = is_object ? WANT_KEY : WANT_VALUE;
    } else {
        feed_fail(feed, MN_MALFORMED);
    }
}

/* One token, or a part of one. False: it waits for more of the text, or it failed. */
static bool feed_token(struct json_feed *feed, const struct feed_text *text, uint8_t c)
{
    bool is_close =
        (feed->want == WANT_ITEM && c == ']') || (feed->want == WANT_MEMBER && c == '}');

    if (is_close) {
        feed_close(feed);
        return true;
    }
    switch (feed->want) {
    case WANT_VALUE:
    case WANT_ITEM: return feed_value(feed, text, c);
    case WANT_KEY:
    case WANT_MEMBER:
        if (c == '"') return feed_begin_string(feed, text, true);
        break;
    case WANT_COLON:
        if (c != ':') break;
        feed->at++;
        feed->want = WANT_VALUE;
        return true;
    case WANT_NEXT: feed_next(feed, c); return true;
    case WANT_NOTHING: break;
    }
    feed_fail(feed, MN_MALFORMED);
    return false;
}

static bool feed_step(struct json_feed *feed, const struct feed_text *text)
{
    uint8_t c;

    if (feed->inside == INSIDE_STRING) return feed_string(feed, text);
    if (feed->inside == INSIDE_NUMBER) return feed_number(feed, text);
    c = text->bytes[feed->at];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return feed_token(feed, text, c);
    feed->has_lines |= c == '\n' || c == '\r';
    feed->at++;
    return true;
}

/* As far as what the watcher spent lets it. */
static void feed_pay(struct json_feed *feed, struct feed_text *text)
{
    size_t left = text->limit > feed->at ? text->limit - feed->at : 0;

    text->limit -= feed->spent < left ? feed->spent : left;
    text->end = text->limit < text->size ? text->limit : text->size;
    feed->spent = 0;
}

mn_status json_feed_check(struct json_feed *feed, struct mn_span text, size_t size_max)
{
    const size_t before = feed->at;
    struct feed_text piece = {
        .bytes = text.data,
        .size = text.size,
        .limit = size_max < SIZE_MAX - before ? before + size_max : SIZE_MAX,
    };

    feed_pay(feed, &piece);
    if (text.size > UINT32_MAX) feed_fail(feed, MN_TOO_BIG);
    while (feed->failure == MN_OK && feed->at < piece.end) {
        if (!feed_step(feed, &piece)) break;
        if (feed->spent > 0) feed_pay(feed, &piece);
    }
    if (feed->failure != MN_OK) return feed->failure;
    return feed->at < text.size && feed->at > before ? MN_NOT_YET : MN_OK;
}

/* ---- the tree ---- */

static void feed_write_node(const struct feed_node *from, struct mn_span text,
                            struct mn_arena *arena, struct json *to)
{
    struct mn_span raw = mn_span(text.data + from->begin, from->end - from->begin);

    *to = (struct json){.type = from->type,
                        .is_kept = from->is_kept,
                        .count = from->count,
                        .skip = from->skip,
                        .raw = raw};
    if (from->type != JSON_STRING) return;
    to->text = mn_span(raw.data + 1, raw.size - 2);
    if (!from->has_escapes) return;
    if (to->text.size > JSON_FEED_TEXT_MAX ||
        !json_string_unescape(to->text, false, arena, &to->text))
        to->text = mn_span(NULL, 0);
}

mn_status json_feed_end(struct json_feed *feed, struct mn_span text, struct mn_arena *arena,
                        const struct json **ret)
{
    struct json *nodes;
    mn_status status;

    do
        status = json_feed_check(feed, text, SIZE_MAX);
    while (status == MN_NOT_YET);
    if (status == MN_OK && feed->inside == INSIDE_NUMBER) feed_number_is_over(feed);
    if (status == MN_OK && feed->want != WANT_NOTHING) status = MN_MALFORMED;
    if (feed->failure != MN_OK || status != MN_OK) return status != MN_OK ? status : feed->failure;
    if (feed->at < text.size) return MN_MALFORMED;
    nodes = mn_arena_alloc(arena, feed->nodes_count * sizeof *nodes);
    for (uint32_t i = 0; i < feed->nodes_count; i++)
        feed_write_node(&feed->nodes[i], text, arena, &nodes[i]);
    *ret = nodes;
    return MN_OK;
}
