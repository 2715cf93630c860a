/* What operators agreed on about tools: views are read strictly, rules hold where they should, and
 * a pin says the same of a definition however it is written. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/names/curation.h"
#include "tests/suite.h"

static struct curation curation;
static struct json_parser *parser;
static struct mn_arena arena;

static void setup(void)
{
    parser = json_parser_new();
    curation_init(&curation, 1);
}

static void teardown(void)
{
    curation_done(&curation);
    json_parser_free(parser);
    mn_arena_done(&arena);
}

static void load(const char *const (*pairs)[2], uint32_t count)
{
    struct curation_pair all[16];

    for (uint32_t i = 0; i < count; i++)
        all[i] = (struct curation_pair){mn_span_str(pairs[i][0]), mn_span_str(pairs[i][1])};
    curation_load(&curation, all, count, parser);
}

static mn_status read_view(const char *text, struct curation_view **view, struct mn_span *why)
{
    *why = mn_span(NULL, 0);
    return curation_read_view(parser, mn_span_str("v"), mn_span_str(text), &arena, view, why);
}

static const char *const bad_views[][2] = {
    {"[]", "JSON object"},
    {"{", "JSON object"},
    {"{\"tool\":[]}", "unknown member"},
    {"{\"tools\":[],\"tools\":[]}", "twice"},
    {"{\"name\":\"w\"}", "name"},
    {"{\"surface\":\"tiny\"}", "surface"},
    {"{\"surface\":1}", "surface"},
    {"{\"instructions\":[]}", "instructions"},
    {"{\"tools\":{}}", "array"},
    {"{\"tools\":[\"\"]}", "SERVER/ITEM"},
    {"{\"tools\":[\"a\"]}", "SERVER/ITEM"},
    {"{\"tools\":[\"/a\"]}", "SERVER/ITEM"},
    {"{\"tools\":[\"a/\"]}", "SERVER/ITEM"},
    {"{\"tools\":[1]}", "SERVER/ITEM"},
    {"{\"tools\":[{\"tool\":\"a/b\"}]}", "as"},
    {"{\"tools\":[{\"tool\":\"a/b\",\"as\":\"x y\"}]}", "as"},
    {"{\"tools\":[{\"tool\":\"a/b\",\"as\":\"mesh_x\"}]}", "mesh_"},
    {"{\"tools\":[{\"tool\":\"a/*\",\"as\":\"x\"}]}", "only one item"},
    {"{\"tools\":[{\"prompt\":\"a/b\",\"as\":\"x\"}]}", "SERVER/ITEM"},
    {"{\"tools\":[{\"tool\":\"a/b\",\"as\":\"x\"},{\"tool\":\"a/c\",\"as\":\"x\"}]}", "same"},
    {"{\"resources\":[{\"tool\":\"a/b\",\"as\":\"x\"}]}", "SERVER/ITEM"},
};

START_TEST(a_view_that_is_none_says_why)
{
    struct curation_view *view;
    struct mn_span why;

    ck_assert_int_eq(read_view(bad_views[_i][0], &view, &why), MN_MALFORMED);
    ck_assert_msg(strstr((const char *)why.data, bad_views[_i][1]) != NULL, "%s: %s",
                  bad_views[_i][0], (const char *)why.data);
}
END_TEST

START_TEST(a_view_says_what_it_chooses)
{
    struct curation_view *view;
    struct mn_span why;

    ck_assert_int_eq(
        read_view(
            "{\"name\":\"v\",\"instructions\":\"do\",\"surface\":\"small\",\"tools\":[\"a/*\","
            "{\"tool\":\"b/x/y\",\"as\":\"z\"}],\"resources\":[\"*/file:///tmp/*\"]}",
            &view, &why),
        MN_OK);
    ck_assert(view->is_small);
    ck_assert(mn_span_is(view->instructions, "do"));
    ck_assert_uint_eq(view->counts[CURATION_TOOLS], 2);
    ck_assert(mn_span_is(view->entries[CURATION_TOOLS][1].item, "x/y"));
    ck_assert_ptr_eq(curation_match(view, CURATION_TOOLS, mn_span_str("b"), mn_span_str("x/y")),
                     &view->entries[CURATION_TOOLS][1]);
    ck_assert_ptr_null(curation_match(view, CURATION_TOOLS, mn_span_str("b"), mn_span_str("x")));
    ck_assert_ptr_null(curation_match(view, CURATION_TOOLS, mn_span_str("a.n1"), mn_span_str("x")));
    ck_assert_ptr_nonnull(
        curation_match(view, CURATION_RESOURCES, mn_span_str("q"), mn_span_str("file:///tmp/1")));
    ck_assert_ptr_null(
        curation_match(view, CURATION_RESOURCES, mn_span_str("q"), mn_span_str("file:///etc/1")));
}
END_TEST

static const struct {
    const char *pattern, *text;
    bool fits;
} patterns[] = {
    {"", "", true},          {"", "a", false},       {"*", "", true},      {"*", "abc", true},
    {"a*", "abc", true},     {"a*", "ba", false},    {"*c", "abc", true},  {"a*c", "abcabc", true},
    {"a*b*c", "acb", false}, {"**a**", "xax", true}, {"ab", "abc", false}, {"a*a", "a", false},
    {"*aab", "aaaab", true},
};

START_TEST(stars_stand_for_anything)
{
    ck_assert_int_eq(
        curation_fits(mn_span_str(patterns[_i].pattern), mn_span_str(patterns[_i].text)),
        patterns[_i].fits);
}
END_TEST

#define PIN "00112233445566778899aabbccddeeff"

START_TEST(a_rule_for_a_name_holds_for_all_who_have_it)
{
    static const char *const pairs[][2] = {
        {"tool/fs/read", "{\"pin\":\"" PIN "\",\"held\":false,\"at_ms\":7}"},
        {"tool/fs.n2/read", "{\"pin\":null,\"held\":true,\"reason\":\"odd\"}"},
        {"tool/fs/a/b", "{\"pin\":\"zz\"}"},
        {"tool/fs/x", "no JSON"},
        {"else/fs", "{}"},
        {"view/v", "{}"},
        {"view/bad name", "{}"},
    };
    const struct curation_rule *rule;

    load(pairs, 7);
    ck_assert_uint_eq(curation.dropped_count, 3);
    rule = curation_rule(&curation, mn_span_str("fs.n1"), mn_span_str("read"));
    ck_assert(rule->has_pin && !rule->is_held);
    ck_assert_uint_eq(rule->at_ms, 7);
    ck_assert_uint_eq(rule->pin[15], 0xff);
    ck_assert_ptr_eq(curation_rule(&curation, mn_span_str("fs"), mn_span_str("read")), rule);
    rule = curation_rule(&curation, mn_span_str("fs.n2"), mn_span_str("read"));
    ck_assert(rule->is_held && mn_span_is(rule->reason, "odd"));
    /* A pin that nobody can read opens nothing. */
    ck_assert(curation_rule(&curation, mn_span_str("fs"), mn_span_str("a/b"))->is_held);
    ck_assert_ptr_null(curation_rule(&curation, mn_span_str("fs"), mn_span_str("x")));
    ck_assert_ptr_nonnull(curation_view(&curation, mn_span_str("v")));
    load(pairs, 0);
    ck_assert_ptr_null(curation_rule(&curation, mn_span_str("fs"), mn_span_str("read")));
    ck_assert_ptr_null(curation_view(&curation, mn_span_str("v")));
}
END_TEST

static void pin(const char *text, uint8_t ret[CURATION_PIN_SIZE])
{
    ck_assert_int_eq(curation_digest(parser, mn_span_str(text), &arena, ret), MN_OK);
}

static const struct {
    const char *a, *b;
    bool is_same;
} definitions[] = {
    {"{\"a\":1,\"b\":[true,null]}", "{ \"b\" : [ true , null ] , \"a\" : 1 }", true},
    {"{\"a\":\"x\"}", "{\"a\":\"\\u0078\"}", true},
    {"{\"a\":1}", "{\"a\":1.0}", false},
    {"{\"a\":[1,2]}", "{\"a\":[2,1]}", false},
    {"{\"a\":{\"b\":1}}", "{\"a\":{},\"b\":1}", false},
    {"{\"a\":\"b\"}", "{\"b\":\"a\"}", false},
    {"{\"a\":\"1\"}", "{\"a\":1}", false},
    {"{\"a\":[]}", "{\"a\":{}}", false},
    {"{\"a\":[[1],2]}", "{\"a\":[[1,2]]}", false},
    {"{\"a\":\"ab\",\"b\":\"c\"}", "{\"a\":\"a\",\"b\":\"bc\"}", false},
};

START_TEST(a_pin_is_of_what_a_definition_says)
{
    uint8_t a[CURATION_PIN_SIZE], b[CURATION_PIN_SIZE];

    pin(definitions[_i].a, a);
    pin(definitions[_i].b, b);
    ck_assert_int_eq(memcmp(a, b, sizeof a) == 0, definitions[_i].is_same);
}
END_TEST

START_TEST(text_that_is_no_definition_has_no_pin)
{
    uint8_t a[CURATION_PIN_SIZE];

    ck_assert_int_eq(curation_digest(parser, mn_span_str("{"), &arena, a), MN_MALFORMED);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

int main(void)
{
    Suite *suite = suite_create("curation");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_view_that_is_none_says_why, 0, COUNT(bad_views));
    tcase_add_test(tcase, a_view_says_what_it_chooses);
    tcase_add_loop_test(tcase, stars_stand_for_anything, 0, COUNT(patterns));
    tcase_add_test(tcase, a_rule_for_a_name_holds_for_all_who_have_it);
    tcase_add_loop_test(tcase, a_pin_is_of_what_a_definition_says, 0, COUNT(definitions));
    tcase_add_test(tcase, text_that_is_no_definition_has_no_pin);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
