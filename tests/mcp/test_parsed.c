/* What one half of the gateway has parsed and the other one need not parse again. */
#include <check.h>
#include <stdlib.h>

#include "node/mcp/wire/parsed.h"
#include "tests/suite.h"

static struct parsed parsed;
static struct json_parser *parser;
static struct mn_arena arena;

static void setup(void)
{
    parser = json_parser_new();
}

static void teardown(void)
{
    parsed_done(&parsed);
    json_parser_free(parser);
    mn_arena_done(&arena);
}

/* A payload that ends with [json], whose tree is told; the text it was parsed from is gone. */
static struct mn_buf *told(const char *json)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 3, JSON_NODES_MAX};
    struct mn_buf *text = mn_buf_copy(mn_span_str(json));
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *payload;

    mn_writer_str(&writer, "head");
    mn_writer_add(&writer, mn_buf_span(text));
    payload = mn_writer_done(&writer);
    ck_assert_int_eq(json_parse(parser, mn_buf_span(text), limits, &arena, &root), MN_OK);
    parsed_set(&parsed, payload, root);
    memset(text->bytes, 'x', text->size);
    mn_buf_unref(text);
    return payload;
}

static struct mn_span body(const struct mn_buf *payload)
{
    return mn_span(payload->bytes + 4, payload->size - 4);
}

START_TEST(the_tree_is_that_of_the_payload)
{
    struct mn_buf *payload = told("{ \"a\" : [1,{\"b\":\"c\"}], \"n\": 2.50, \"s\":\"text\"}");
    const struct json *root = parsed_find(&parsed, body(payload)), *a;

    ck_assert_ptr_nonnull(root);
    ck_assert(mn_span_equal(root->raw, body(payload)));
    ck_assert_uint_eq(root->count, 3);
    ck_assert(mn_span_is(json_find_str(root, "n")->raw, "2.50"));
    ck_assert(mn_span_is(json_text(json_find_str(root, "s")), "text"));
    a = json_find_str(root, "a");
    ck_assert(mn_span_is(a->raw, "[1,{\"b\":\"c\"}]"));
    ck_assert(mn_span_is(json_text(json_find_str(json_next(a, json_first(a)), "b")), "c"));
    mn_buf_unref(payload);
}
END_TEST

START_TEST(the_same_bytes_elsewhere_are_not_known)
{
    struct mn_buf *payload = told("{\"a\":1}"), *other = mn_buf_copy(mn_buf_span(payload));

    ck_assert_ptr_null(parsed_find(&parsed, body(other)));
    ck_assert_ptr_null(parsed_find(&parsed, mn_span(payload->bytes + 4, payload->size - 5)));
    ck_assert_ptr_nonnull(parsed_find(&parsed, body(payload)));
    mn_buf_unref(other);
    mn_buf_unref(payload);
}
END_TEST

START_TEST(only_the_newest_is_kept)
{
    struct mn_buf *first = told("{\"a\":1}"), *second;

    ck_assert_uint_eq(first->refs, 2); /* its place cannot become another's */
    second = told("{\"a\":2}");
    ck_assert_uint_eq(first->refs, 1);
    ck_assert_ptr_null(parsed_find(&parsed, body(first)));
    ck_assert(mn_span_is(json_find_str(parsed_find(&parsed, body(second)), "a")->raw, "2"));
    mn_buf_unref(first);
    mn_buf_unref(second);
}
END_TEST

static void assert_unknown(const char *json)
{
    struct mn_buf *before = told("{\"a\":1}"), *payload = told(json);

    ck_assert_ptr_null(parsed_find(&parsed, body(payload)));
    ck_assert_ptr_null(parsed_find(&parsed, body(before)));
    ck_assert_uint_eq(payload->refs, 1);
    ck_assert_uint_eq(before->refs, 1);
    mn_buf_unref(before);
    mn_buf_unref(payload);
}

static struct mn_buf *many_elements(void)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{\"a\":[");
    for (int i = 0; i < PARSED_NODES_MAX; i++)
        mn_writer_str(&writer, "1,");
    mn_writer_str(&writer, "1]}");
    return mn_writer_done(&writer); /* zeros follow */
}

static struct mn_buf *long_text(void)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{\"a\":\"");
    memset(mn_writer_take(&writer, PARSED_SIZE_MAX), 'b', PARSED_SIZE_MAX);
    mn_writer_str(&writer, "\"}");
    return mn_writer_done(&writer);
}

START_TEST(escapes_many_nodes_and_much_text_are_left_to_the_reader)
{
    struct mn_buf *many = many_elements(), *much = long_text();

    assert_unknown("{\"a\":\"\\u0041\"}");
    assert_unknown((const char *)many->bytes);
    assert_unknown((const char *)much->bytes);
    mn_buf_unref(many);
    mn_buf_unref(much);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parsed");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, the_tree_is_that_of_the_payload);
    tcase_add_test(all, the_same_bytes_elsewhere_are_not_known);
    tcase_add_test(all, only_the_newest_is_kept);
    tcase_add_test(all, escapes_many_nodes_and_much_text_are_left_to_the_reader);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
