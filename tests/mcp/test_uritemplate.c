/* Which URIs a template stands for. */
#include "node/mcp/wire/uritemplate.h"
#include "tests/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *template, *uri;
    int literals; /* -1: no match */
} cases[] = {
    {"test://a", "test://a", 8},
    {"test://a", "test://ab", -1},
    {"test://a", "test://", -1},
    {"demo://{id}", "demo://7", 7},
    {"demo://{id}", "demo://", -1},
    {"demo://{id}", "demo://7/8", -1},
    {"demo://{id}/data", "demo://7/data", 12},
    {"demo://{a}-{b}", "demo://x-y-z", 8},
    {"demo://{a}{b}", "demo://xy", 7},
    {"demo://{a}{b}", "demo://x", -1},
    {"file:///{+path}", "file:///a/b/c.txt", 8},
    {"file:///{+path}.md", "file:///a/b.md/c.md", 11},
    {"file:///{+path}.md", "file:///a/b.txt", -1},
    {"x:{#frag}", "x:#part", 2},
    {"x:{#frag}", "x:part", -1},
    {"x://h{/a}", "x://h/1", 5},
    {"x://h{/a,b}", "x://h/1/2", 5},
    {"x://h{/a}", "x://h/1/2", -1},
    {"x://h{/a*}/end", "x://h/1/2/end", 9},
    {"f{.ext}", "f.txt", 1},
    {"f{.ext}", "f", -1},
    {"s://q{?a,b}", "s://q?a=1&b=2", 5},
    {"s://q{?a,b}", "s://q", 5},
    {"s://q{?a}", "s://q#f", -1},
    {"s://q?x=1{&a}", "s://q?x=1&a=2", 9},
    {"{+all}", "any:thing/at?all", 0},
    {"open{brace", "openx", -1},
    {"", "", 0},
};

START_TEST(templates_match_what_servers_mean_by_them)
{
    uint32_t literals = 0;
    size_t any = SIZE_MAX;
    bool is_match = uritemplate_match(mn_span_str(cases[_i].template), mn_span_str(cases[_i].uri),
                                      &literals, &any);

    ck_assert_msg(is_match == (cases[_i].literals >= 0), "%s %s", cases[_i].template,
                  cases[_i].uri);
    if (is_match) ck_assert_int_eq((int)literals, cases[_i].literals);
}
END_TEST

START_TEST(long_uris_and_many_expressions_are_refused)
{
    char text[URITEMPLATE_URI_MAX + 2], template[URITEMPLATE_EXPRESSIONS_MAX * 5 + 1];
    uint32_t literals;
    size_t any = SIZE_MAX;

    memset(text, 'a', sizeof text);
    ck_assert(
        uritemplate_match(mn_span_str("{x}"), mn_span(text, URITEMPLATE_URI_MAX), &literals, &any));
    ck_assert(!uritemplate_match(mn_span_str("{x}"), mn_span(text, URITEMPLATE_URI_MAX + 1),
                                 &literals, &any));
    for (size_t i = 0; i < URITEMPLATE_EXPRESSIONS_MAX; i++)
        memcpy(template + i * 3, "{x}", 3);
    ck_assert(uritemplate_match(mn_span(template, 3 * URITEMPLATE_EXPRESSIONS_MAX),
                                mn_span(text, 100), &literals, &any));
    memcpy(template + 3 * URITEMPLATE_EXPRESSIONS_MAX, "{x}", 3);
    ck_assert(!uritemplate_match(mn_span(template, 3 * URITEMPLATE_EXPRESSIONS_MAX + 3),
                                 mn_span(text, 100), &literals, &any));
}
END_TEST

/* What is looked at is taken off; when that is not enough, nothing matches. */
START_TEST(effort_is_bounded)
{
    struct mn_span template = mn_span_str("{a}{b}{c}{d}"), uri = mn_span_str("0123456789");
    size_t effort = SIZE_MAX, used;
    uint32_t literals;

    ck_assert(uritemplate_match(template, uri, &literals, &effort));
    used = SIZE_MAX - effort;
    ck_assert_uint_ge(used, 4 * uri.size);
    effort = used;
    ck_assert(!uritemplate_match(template, uri, &literals, &effort));
    ck_assert_uint_eq(effort, 0);
    effort = used + 1;
    ck_assert(uritemplate_match(template, uri, &literals, &effort));
    ck_assert_uint_eq(effort, 1);
    effort = 100; /* other texts at the beginning are found out at once */
    ck_assert(!uritemplate_match(mn_span_str("x://{a}"), uri, &literals, &effort));
    ck_assert_uint_eq(effort, 99);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uritemplate");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, templates_match_what_servers_mean_by_them, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tc, effort_is_bounded);
    tcase_add_test(tc, long_uris_and_many_expressions_are_refused);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
