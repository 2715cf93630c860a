/* The JSON parser and writer: what is accepted, what is refused, and that text survives. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/json/feed.h"
#include "node/json/json.h"
#include "tests/suite.h"

static struct json_parser *parser;
static struct mn_arena arena;
static const struct json_limits all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

static void setup(void)
{
    parser = json_parser_new();
}

static void teardown(void)
{
    json_parser_free(parser);
    mn_arena_done(&arena);
}

static mn_status try(const char *text, struct json_limits limits, const struct json **ret)
{
    return json_parse_copy(parser, mn_span_str(text), limits, &arena, ret);
}

static const struct json *parsed(const char *text)
{
    const struct json *value = NULL;
    ck_assert_msg(try(text, all, &value) == MN_OK, "refused: %s", text);
    return value;
}

#define ck_assert_span(span, expected) \
    ck_assert_msg(mn_span_is(span, expected), "%.*s", (int)(span).size, (const char *)(span).data)

static const char *const valid[] = {
    "null",
    " true ",
    "false\n",
    "0",
    "-0",
    "-0.0e+00",
    "1e400",
    "-1E-400",
    "0.1",
    "123456789012345678901234567890",
    "\"\"",
    "\"a\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\ud800a\"",
    "\"\\ud800\\u0041\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud800\\ud800\\udc00\"",
    "[\"\\ud800\\n\",\"\\udfff\\\\\"]",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1,2]",
    "[[],[[]]]",
    "{\"a\":1}",
    "{\"a\":1,\"a\":2}",
    "{\"\":{\"\":[]}}",
    "\t[\r\n1 , 2 ]\n",
    "\"\x7f\"",
    "[\"a\",\"b\"]",
    "{\"a\" : \"b\" , \"c\":null}",
    "[true,false,null]",
};

START_TEST(accepts_what_the_grammar_allows)
{
    const struct json *value;
    ck_assert_msg(try(valid[_i], all, &value) == MN_OK, "%s", valid[_i]);
}
END_TEST

static const char *const invalid[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "tru e",
    "+1",
    "01",
    "-",
    "-a",
    ".5",
    "1.",
    "1.e1",
    "1e",
    "1e+",
    "0x10",
    "NaN",
    "Infinity",
    "-Infinity",
    "1 2",
    "1,",
    "\"",
    "\"a",
    "'a'",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"a\nb\"",
    "\"a\x01\"",
    "\"\x80\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\xef\xbb\xbf{}",
    "[",
    "]",
    "[1",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1,,2]",
    "{",
    "}",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\":1 \"b\":2}",
    "[}",
    "{]",
    "[1}",
    "{\"a\":1]",
    "{} {}",
    "{}x",
    "[1]]",
    "\"a\"b",
    "\"a\"\"b\"",
    "1\"a\"",
    "true\"a\"",
    "/**/1",
    "[1]//",
    "\x01",
    "1\x01",
    "[\"\\\"]",
    "{a:1}",
    "{\"a\":1,\"b\"}",
    ":",
    ",",
    "\"a\":1",
};

START_TEST(refuses_everything_else)
{
    const struct json *value;
    ck_assert_msg(try(invalid[_i], all, &value) == MN_MALFORMED, "accepted: %s", invalid[_i]);
}
END_TEST

START_TEST(refuses_a_zero_byte_outside_strings)
{
    const struct json *value;
    ck_assert_int_eq(json_parse_copy(parser, mn_span("1\0", 2), all, &arena, &value), MN_MALFORMED);
    ck_assert_int_eq(json_parse_copy(parser, mn_span("\"\0\"", 3), all, &arena, &value),
                     MN_MALFORMED);
}
END_TEST

/* Deep values below the kept levels are checked just the same. */
START_TEST(checks_what_it_does_not_keep)
{
    const struct json_limits shallow = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    char text[256];
    const struct json *value;

    snprintf(text, sizeof text, "{\"a\":[{\"b\":%s}]}", invalid[_i]);
    ck_assert_msg(try(text, shallow, &value) != MN_OK, "accepted: %s", text);
    if (_i >= (int)(sizeof valid / sizeof *valid)) return;
    snprintf(text, sizeof text, "{\"a\":[{\"b\":%s}]}", valid[_i]);
    ck_assert_msg(try(text, shallow, &value) == MN_OK, "refused: %s", text);
}
END_TEST

START_TEST(values_keep_their_verbatim_text)
{
    const struct json *root =
        parsed(" { \"n\" : 1e400 , \"s\":\"a\\u0041\" ,\"o\":{ \"x\" : [ 1 ] } } ");

    ck_assert_span(root->raw, "{ \"n\" : 1e400 , \"s\":\"a\\u0041\" ,\"o\":{ \"x\" : [ 1 ] } }");
    ck_assert_uint_eq(root->count, 3);
    ck_assert_span(json_find_str(root, "n")->raw, "1e400");
    ck_assert_span(json_find_str(root, "s")->raw, "\"a\\u0041\"");
    ck_assert_span(json_find_str(root, "s")->text, "aA");
    ck_assert_span(json_find_str(root, "o")->raw, "{ \"x\" : [ 1 ] }");
    ck_assert_ptr_null(json_find_str(root, "x"));
    ck_assert_ptr_null(json_find_str(json_find_str(root, "n"), "x"));
    ck_assert_ptr_null(json_find_str(NULL, "x"));
}
END_TEST

START_TEST(strings_are_unescaped)
{
    const struct json *value =
        parsed("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00z\"");
    ck_assert_span(value->text, "\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    value = parsed("\"a\\u0000b\"");
    ck_assert_uint_eq(value->text.size, 3);
    ck_assert_mem_eq(value->text.data, "a\0b", 3);
}
END_TEST

/* JavaScript writes them for what it cut in the middle of a character. */
START_TEST(halves_of_pairs_stay_as_they_are_unless_texts_are_kept)
{
    static const char *const halves[] = {"[\"\\ud83d\"]", "[\"\\ude00\"]", "[\"\\ud83d\\u0041\"]"};
    const struct json *value = parsed("\"a\\ud83d\"");
    struct json_parser *strict = json_parser_new();

    ck_assert_span(value->raw, "\"a\\ud83d\"");
    ck_assert_span(value->text, "a\xef\xbf\xbd");
    ck_assert_span(parsed("\"\\ude00\\ud83d\\ude00\"")->text, "\xef\xbf\xbd\xf0\x9f\x98\x80");
    json_parser_be_strict(strict);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(json_parse_copy(strict, mn_span_str(halves[i]), all, &arena, &value),
                         MN_MALFORMED);
    ck_assert_int_eq(
        json_parse_copy(strict, mn_span_str("[\"\\ud83d\\ude00\"]"), all, &arena, &value), MN_OK);
    json_parser_free(strict);
}
END_TEST

START_TEST(keys_are_unescaped_too)
{
    ck_assert_span(json_find_str(parsed("{\"\\u006eame\":1}"), "name")->raw, "1");
}
END_TEST

START_TEST(iteration_sees_every_item_in_order)
{
    const struct json *array = parsed("[1,[2,[3]],{\"a\":4},5]"), *item = json_first(array);
    static const char *const raw[] = {"1", "[2,[3]]", "{\"a\":4}", "5"};

    for (int i = 0; i < 4; i++, item = json_next(array, item))
        ck_assert_span(item->raw, raw[i]);
    ck_assert_ptr_null(item);
    ck_assert_ptr_null(json_first(parsed("[]")));
    ck_assert_ptr_null(json_first(parsed("{}")));
}
END_TEST

START_TEST(upper_levels_are_kept_and_the_rest_stays_text)
{
    const struct json_limits two = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *root, *inner;

    ck_assert_int_eq(try("{\"a\":{\"b\":[1,[2],{}]},\"c\":3}", two, &root), MN_OK);
    inner = json_find_str(json_find_str(root, "a"), "b");
    ck_assert_int_eq(inner->type, JSON_ARRAY);
    ck_assert(!inner->is_kept);
    ck_assert_uint_eq(inner->count, 3);
    ck_assert_span(inner->raw, "[1,[2],{}]");
    ck_assert_span(json_find_str(root, "c")->raw, "3");
    ck_assert_int_eq(json_parse(parser, inner->raw, all, &arena, &inner), MN_OK);
    ck_assert(inner->is_kept);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char text[2 * (JSON_DEPTH_MAX + 1) + 1];
    const struct json *value;

    for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = 0;
        ck_assert_int_eq(try(text, all, &value), depth <= JSON_DEPTH_MAX ? MN_OK : MN_TOO_BIG);
    }
}
END_TEST

START_TEST(recorded_values_are_bounded)
{
    const struct json_limits few = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, 4};
    const struct json *value;

    ck_assert_int_eq(try("[1,2,3]", few, &value), MN_OK);
    ck_assert_int_eq(try("[1,2,3,4]", few, &value), MN_TOO_BIG);
    ck_assert_int_eq(try("{\"a\":1}", few, &value), MN_OK);
    ck_assert_int_eq(try("{\"a\":1,\"b\":2}", few, &value), MN_TOO_BIG);
}
END_TEST

START_TEST(a_name_that_stands_twice_is_refused_by_pick)
{
    static const char *const names[] = {"a", "b"};
    const struct json *parts[2];

    ck_assert_int_eq(json_pick(parsed("{\"c\":1,\"c\":2,\"b\":3}"), names, 2, parts), MN_OK);
    ck_assert_ptr_null(parts[0]);
    ck_assert_span(parts[1]->raw, "3");
    ck_assert_int_eq(json_pick(parsed("{\"a\":1,\"\\u0061\":2}"), names, 2, parts), MN_MALFORMED);
}
END_TEST

START_TEST(integers_that_fit_are_read)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"42", 42},
                {"-7", -7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {
        "1.0",   "1e2", "9223372036854775808", "-9223372036854775809", "99999999999999999999",
        "\"1\"", "true"};
    int64_t value;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_int_eq(json_i64(parsed(good[i].text), &value), MN_OK);
        ck_assert_int_eq(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(json_i64(parsed(bad[i]), &value), MN_MALFORMED);
    ck_assert_int_eq(json_i64(NULL, &value), MN_MALFORMED);
}
END_TEST

START_TEST(an_error_says_where)
{
    const struct json *value;

    ck_assert_int_eq(try("{\"a\": nope}", all, &value), MN_MALFORMED);
    ck_assert_uint_eq(json_error_offset(parser), 6);
    ck_assert_int_eq(try("[1,2", all, &value), MN_MALFORMED);
    ck_assert_uint_eq(json_error_offset(parser), 4);
}
END_TEST

/* Crosses the block size of the token finder at every offset. */
START_TEST(tokens_are_found_at_every_offset)
{
    char text[512];
    const struct json *value;

    for (int pad = 0; pad < 140; pad++) {
        snprintf(text, sizeof text, "{\"%*s\":[\"\\\\\",\"\\\"\",-1.5e3, true]}", pad, "x");
        value = parsed(text);
        value = json_value(json_first(value));
        ck_assert_uint_eq(value->count, 4);
        ck_assert_span(json_first(value)->text, "\\");
        ck_assert_span(json_next(value, json_first(value))->text, "\"");
    }
}
END_TEST

START_TEST(large_texts_are_parsed_and_their_scratch_given_back)
{
    struct mn_writer writer = {0};
    const struct json_limits shallow = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *value;
    struct mn_buf *buf;

    mn_writer_str(&writer, "{\"a\":[0");
    for (int i = 0; i < 1000000; i++)
        mn_writer_str(&writer, ",0");
    mn_writer_str(&writer, "]}");
    buf = mn_writer_done(&writer);
    ck_assert_int_eq(json_parse(parser, mn_buf_span(buf), shallow, &arena, &value), MN_OK);
    ck_assert_uint_eq(json_find_str(value, "a")->count, 1000001);
    mn_buf_unref(buf);
    parsed("[1]");
}
END_TEST

static const char *written(const char *bytes, size_t size)
{
    static char text[512];
    struct mn_writer writer = {0};

    json_write_string(&writer, mn_span(bytes, size));
    ck_assert_uint_lt(mn_writer_size(&writer), sizeof text);
    memcpy(text, writer.buf->bytes, writer.buf->size);
    text[writer.buf->size] = 0;
    mn_writer_drop(&writer);
    return text;
}

START_TEST(strings_are_written_escaped)
{
    ck_assert_str_eq(written("", 0), "\"\"");
    ck_assert_str_eq(written("a\"b\\c", 5), "\"a\\\"b\\\\c\"");
    ck_assert_str_eq(written("\n\r\t\b\f\x01\x1f\x7f", 8), "\"\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\"");
    ck_assert_str_eq(written("\xc3\xa9\xf0\x9f\x98\x80", 6), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
}
END_TEST

START_TEST(what_is_no_utf8_is_written_as_replacement)
{
    ck_assert_str_eq(written("a\xff"
                             "b",
                             3),
                     "\"a\xef\xbf\xbd"
                     "b\"");
    ck_assert_str_eq(written("\xc3", 1), "\"\xef\xbf\xbd\"");
    ck_assert_str_eq(written("\xed\xa0\x80", 3), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

/* Every byte, alone and between others, comes back as it was, or as the replacement character. */
START_TEST(written_strings_can_be_read)
{
    char bytes[3] = {'a', (char)_i, 'b'};
    const struct json *value = parsed(written(bytes, 3));

    if (_i < 0x80)
        ck_assert_mem_eq(value->text.data, bytes, 3);
    else
        ck_assert_span(value->text, "a\xef\xbf\xbd"
                                    "b");
}
END_TEST

START_TEST(raw_json_is_written_on_one_line)
{
    struct mn_writer writer = {0};

    json_write_line(&writer, mn_span_str("{\r\n \"a\": \"\\n\"\n}"));
    ck_assert_span(mn_buf_span(writer.buf), "{   \"a\": \"\\n\" }");
    mn_writer_drop(&writer);
}
END_TEST

/* ---- piece by piece ---- */

/* The verdict when it comes [step] bytes at a time; what is not there yet cannot be read. */
static mn_status fed(const char *text, size_t step, struct json_limits limits,
                     const struct json **ret)
{
    struct json_feed *feed = json_feed_new(limits);
    const size_t size = strlen(text);
    mn_status status = MN_OK;

    for (size_t there = 0; there < size && status == MN_OK; there += step) {
        uint8_t *copy = malloc(there + 1);
        memcpy(copy, text, there);
        do
            status = json_feed_check(feed, mn_span(copy, there), step);
        while (status == MN_NOT_YET);
        free(copy);
    }
    if (status == MN_OK) status = json_feed_end(feed, mn_span_str(text), &arena, ret);
    json_feed_free(feed);
    return status;
}

START_TEST(pieces_of_what_is_json_are_json)
{
    for (size_t step = 1; step <= strlen(valid[_i]) + 1; step++) {
        const struct json *value, *whole = parsed(valid[_i]);
        ck_assert_msg(fed(valid[_i], step, all, &value) == MN_OK, "%s", valid[_i]);
        for (uint32_t i = 0; i < whole->skip; i++) {
            ck_assert_int_eq(value[i].type, whole[i].type);
            ck_assert_uint_eq(value[i].count, whole[i].count);
            ck_assert_uint_eq(value[i].skip, whole[i].skip);
            ck_assert(mn_span_equal(value[i].raw, whole[i].raw));
            ck_assert(mn_span_equal(value[i].text, whole[i].text));
        }
    }
}
END_TEST

START_TEST(pieces_of_what_is_none_are_none)
{
    for (size_t step = 1; step <= strlen(invalid[_i]) + 1; step++) {
        const struct json *value;
        ck_assert_msg(fed(invalid[_i], step, all, &value) != MN_OK, "%s", invalid[_i]);
    }
}
END_TEST

START_TEST(pieces_have_the_same_limits)
{
    const struct json *value;
    struct json_limits limits = all;

    limits.depth_max = 2;
    ck_assert_int_eq(fed("[[1]]", 1, limits, &value), MN_OK);
    ck_assert_int_eq(fed("[[[]]]", 1, limits, &value), MN_TOO_BIG);
    limits.nodes_max = 3;
    ck_assert_int_eq(fed("[1,2]", 1, limits, &value), MN_OK);
    ck_assert_int_eq(fed("[1,2,3]", 1, limits, &value), MN_TOO_BIG);
    limits.depth_kept = 0;
    ck_assert_int_eq(fed("[1,2,3]", 1, limits, &value), MN_OK);
    ck_assert_uint_eq(value->count, 3);
    ck_assert(!value->is_kept);
}
END_TEST

/* It is what the loop relies on: a step looks at what it is told to, however long a string is. */
START_TEST(piece_is_no_longer_than_it_is_told)
{
    const size_t size = 100000;
    char *text = malloc(size + 1);
    struct json_feed *feed = json_feed_new(all);
    const struct json *value;
    uint32_t steps = 0;

    memset(text, 'a', size);
    text[0] = text[size - 1] = '"';
    text[size] = 0;
    while (json_feed_check(feed, mn_span(text, size), 1000) == MN_NOT_YET) {
        steps++;
        ck_assert_uint_le(json_feed_place(feed), (size_t)steps * 1000);
    }
    ck_assert_uint_eq(steps, size / 1000 - 1);
    ck_assert_int_eq(json_feed_end(feed, mn_span(text, size), &arena, &value), MN_OK);
    ck_assert_uint_eq(value->text.size, size - 2);
    json_feed_free(feed);
    free(text);
}
END_TEST

static void spend_per_value(void *owner, const struct json_feed_seen *seen)
{
    (void)seen;
    json_feed_spend(owner, 500);
}

/* Work of who watches counts in the step that tells of it, and the text is looked at to its end. */
START_TEST(watcher_can_make_pieces_shorter)
{
    const struct mn_span text = mn_span_str("[1,2,3,4,5,6,7,8,9]");
    struct json_feed *feed = json_feed_new(all);
    const struct json *value;

    json_feed_watch(feed, 1, spend_per_value, feed);
    ck_assert_int_eq(json_feed_check(feed, text, 1000), MN_NOT_YET);
    ck_assert_uint_eq(json_feed_place(feed), 2); /* the array and its first value were told */
    ck_assert_int_eq(json_feed_check(feed, text, 1600), MN_NOT_YET);
    ck_assert_uint_eq(json_feed_place(feed), 10);
    ck_assert_int_eq(json_feed_end(feed, text, &arena, &value), MN_OK);
    ck_assert_uint_eq(value->count, 9);
    json_feed_free(feed);
}
END_TEST

START_TEST(lines_are_noticed_between_tokens)
{
    const struct json *value;
    struct json_feed *feed = json_feed_new(all);

    ck_assert_int_eq(json_feed_end(feed, mn_span_str("[\"\\n\"]"), &arena, &value), MN_OK);
    ck_assert(!json_feed_has_lines(feed));
    json_feed_free(feed);
    feed = json_feed_new(all);
    ck_assert_int_eq(json_feed_end(feed, mn_span_str("[1,\r2]"), &arena, &value), MN_OK);
    ck_assert(json_feed_has_lines(feed));
    json_feed_free(feed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, accepts_what_the_grammar_allows, 0,
                        (int)(sizeof valid / sizeof *valid));
    tcase_add_loop_test(tcase, refuses_everything_else, 0, (int)(sizeof invalid / sizeof *invalid));
    tcase_add_loop_test(tcase, checks_what_it_does_not_keep, 0,
                        (int)(sizeof invalid / sizeof *invalid));
    tcase_add_test(tcase, refuses_a_zero_byte_outside_strings);
    tcase_add_test(tcase, values_keep_their_verbatim_text);
    tcase_add_test(tcase, strings_are_unescaped);
    tcase_add_test(tcase, halves_of_pairs_stay_as_they_are_unless_texts_are_kept);
    tcase_add_test(tcase, keys_are_unescaped_too);
    tcase_add_test(tcase, iteration_sees_every_item_in_order);
    tcase_add_test(tcase, upper_levels_are_kept_and_the_rest_stays_text);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, recorded_values_are_bounded);
    tcase_add_test(tcase, a_name_that_stands_twice_is_refused_by_pick);
    tcase_add_test(tcase, integers_that_fit_are_read);
    tcase_add_test(tcase, an_error_says_where);
    tcase_add_test(tcase, tokens_are_found_at_every_offset);
    tcase_add_test(tcase, large_texts_are_parsed_and_their_scratch_given_back);
    tcase_add_test(tcase, strings_are_written_escaped);
    tcase_add_test(tcase, what_is_no_utf8_is_written_as_replacement);
    tcase_add_loop_test(tcase, written_strings_can_be_read, 0, 256);
    tcase_add_test(tcase, raw_json_is_written_on_one_line);
    tcase_add_loop_test(tcase, pieces_of_what_is_json_are_json, 0,
                        (int)(sizeof valid / sizeof *valid));
    tcase_add_loop_test(tcase, pieces_of_what_is_none_are_none, 0,
                        (int)(sizeof invalid / sizeof *invalid));
    tcase_add_test(tcase, pieces_have_the_same_limits);
    tcase_add_test(tcase, piece_is_no_longer_than_it_is_told);
    tcase_add_test(tcase, watcher_can_make_pieces_shorter);
    tcase_add_test(tcase, lines_are_noticed_between_tokens);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
