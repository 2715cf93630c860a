/* The JSON parser against a second, naive reading of RFC 8259: both must agree on every input; what
 * was accepted must iterate to its end, and its strings must survive being written again. And the
 * same piece by piece: the same verdict, and the same tree. */
#include <stdlib.h>

#include "node/json/feed.h"
#include "node/json/json.h"
#include "node/json/string.h"

static const uint8_t *at, *end;

static void naive_space(void)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
}

static int naive_take(uint8_t c)
{
    if (at == end || *at != c) return 0;
    at++;
    return 1;
}

static int naive_digits(void)
{
    const uint8_t *from = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > from;
}

static int naive_number(void)
{
    naive_take('-');
    if (!naive_take('0') && !naive_digits()) return 0;
    if (naive_take('.') && !naive_digits()) return 0;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (!naive_take('+')) naive_take('-');
        if (!naive_digits()) return 0;
    }
    return 1;
}

static int naive_unit(unsigned *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (at == end) return 0;
        if (*at >= '0' && *at <= '9')
            *unit = *unit * 16 + (unsigned)(*at - '0');
        else if ((*at | 32) >= 'a' && (*at | 32) <= 'f')
            *unit = *unit * 16 + (unsigned)((*at | 32) - 'a') + 10;
        else
            return 0;
    }
    return 1;
}

static int naive_escape(void)
{
    unsigned unit;

    if (at == end) return 0;
    if (*at != 'u') return strchr("\"\\/bfnrt", *at) != NULL && *at++ != 0;
    at++;
    return naive_unit(&unit); /* half of a surrogate pair is an escape, too */
}

static int naive_string(void)
{
    if (!naive_take('"')) return 0;
    while (at < end && *at != '"') {
        size_t size;
        if (*at < 0x20) return 0;
        if (naive_take('\\')) {
            if (!naive_escape()) return 0;
            continue;
        }
        size = json_string_utf8(mn_span(at, (size_t)(end - at)));
        if (size == 0) return 0;
        at += size;
    }
    return naive_take('"');
}

static int naive_word(const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(end - at) < size || memcmp(at, word, size) != 0) return 0;
    at += size;
    return 1;
}

static int naive_value(int depth)
{
    int is_object;

    naive_space();
    if (at == end) return 0;
    if (*at == '"') return naive_string();
    if (*at == 't') return naive_word("true");
    if (*at == 'f') return naive_word("false");
    if (*at == 'n') return naive_word("null");
    if (*at != '{' && *at != '[') return naive_number();
    is_object = *at++ == '{';
    if (depth == JSON_DEPTH_MAX) return 0;
    naive_space();
    if (naive_take(is_object ? '}' : ']')) return 1;
    do {
        naive_space();
        if (is_object && !naive_string()) return 0;
        naive_space();
        if (is_object && !naive_take(':')) return 0;
        if (!naive_value(depth + 1)) return 0;
        naive_space();
    } while (naive_take(','));
    return naive_take(is_object ? '}' : ']');
}

static int naive_is_json(const uint8_t *data, size_t size)
{
    at = data;
    end = data + size;
    if (!naive_value(0)) return 0;
    naive_space();
    return at == end;
}

/* Counts the nodes by walking. */
static uint32_t walk(const struct json *value)
{
    uint32_t count = 1;

    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT) return 1;
    if (!value->is_kept) return 1;
    for (const struct json *item = json_first(value); item != NULL; item = json_next(value, item))
        count += value->type == JSON_OBJECT ? 1 + walk(json_value(item)) : walk(item);
    if (count != value->skip) abort();
    return count;
}

static void rewrite(struct json_parser *parser, struct mn_arena *arena, const struct json *string)
{
    const struct json_limits limits = {1, 1, 1};
    struct mn_writer writer = {0};
    const struct json *again;

    json_write_string(&writer, string->text);
    if (json_parse_copy(parser, mn_buf_span(writer.buf), limits, arena, &again) != MN_OK) abort();
    if (!mn_span_equal(again->text, string->text)) abort();
    mn_writer_drop(&writer);
}

static void compare(const struct json *one, const struct json *other)
{
    for (uint32_t i = 0; i < one->skip; i++) {
        const struct json *a = &one[i], *b = &other[i];
        if (a->type != b->type || a->is_kept != b->is_kept || a->count != b->count ||
            a->skip != b->skip || !mn_span_equal(a->raw, b->raw) ||
            (!mn_span_equal(a->text, b->text) && a->raw.size <= JSON_FEED_TEXT_MAX))
            abort();
    }
}

/* Who is told of everything: what is open is closed, and all of it is in order. */
struct told {
    size_t values, at;
    uint32_t open;
};

static void told_seen(void *owner, const struct json_feed_seen *seen)
{
    struct told *told = owner;

    told->values += seen->part == JSON_FEED_KEY || seen->part == JSON_FEED_SCALAR ||
                    seen->part == JSON_FEED_CLOSE;
    if (seen->part == JSON_FEED_CLOSE) {
        if (told->open-- == 0) abort();
    } else if (seen->begin < told->at) {
        abort();
    }
    if (seen->depth != told->open) abort();
    if (seen->part == JSON_FEED_OPEN)
        told->open++;
    else
        told->at = seen->end;
}

/* In steps of [step] bytes, of which there are [step] more each time. */
static void feed(const uint8_t *data, size_t size, size_t step, struct json_limits limits,
                 mn_status status, const struct json *value)
{
    struct json_feed *feed = json_feed_new(limits);
    struct mn_arena arena = {0};
    struct told told = {0};
    const struct json *other;
    mn_status mine = MN_OK;

    json_feed_watch(feed, JSON_DEPTH_MAX, told_seen, &told);
    for (size_t there = 0; there < size && mine == MN_OK; there += step) {
        uint8_t *copy = malloc(there + 1); /* what is not there yet cannot be read */
        if (copy == NULL) abort();
        memcpy(copy, data, there);
        do
            mine = json_feed_check(feed, mn_span(copy, there), (step + 1) / 2);
        while (mine == MN_NOT_YET);
        free(copy);
    }
    if (mine == MN_OK) mine = json_feed_end(feed, mn_span(data, size), &arena, &other);
    if ((mine == MN_OK) != (status == MN_OK)) abort();
    if (mine == MN_OK) compare(value, other);
    if (mine == MN_OK && (told.open != 0 || told.values != json_feed_values(feed))) abort();
    json_feed_free(feed);
    mn_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits[] = {{JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX},
                                                {JSON_DEPTH_MAX, 0, JSON_NODES_MAX},
                                                {JSON_DEPTH_MAX, 2, JSON_NODES_MAX}};
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *value;
    int is_json;

    if (size > 100000) size = 100000;
    is_json = naive_is_json(data, size);
    for (int i = 0; i < 3; i++) {
        mn_status status = json_parse_copy(parser, mn_span(data, size), limits[i], &arena, &value);
        feed(data, size, 1 + size / 7, limits[i], status, value);
        if (size < 1000) feed(data, size, 1, limits[i], status, value);
        if (status == MN_TOO_BIG && !is_json) continue; /* too deep: the naive one says no, too */
        if ((status == MN_OK) != is_json) abort();
        if (status != MN_OK) continue;
        walk(value);
        if (value->type == JSON_STRING) rewrite(parser, &arena, value);
    }
    json_parser_free(parser);
    mn_arena_done(&arena);
    return 0;
}
