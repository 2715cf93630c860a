/* JSON Schema: what matches, what does not, what is refused as a schema, and that nothing takes for
 * ever. Beyond these, tests/conformance compares with the public test suite and another validator.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/json/schema.h"
#include "tests/suite.h"

static struct json_parser *parser;
static struct mn_arena arena;
static char why_text[512];

static void setup(void)
{
    parser = json_parser_new();
}

static void teardown(void)
{
    json_parser_free(parser);
    mn_arena_done(&arena);
}

static mn_status judge(const char *schema_text, struct mn_span data)
{
    const struct json_limits all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
    struct schema *schema = NULL;
    struct mn_span why = mn_span(NULL, 0);
    const struct json *value;
    mn_status status = schema_new(parser, mn_span_str(schema_text), &arena, &schema, &why);

    if (status == MN_OK) {
        ck_assert_int_eq(json_parse_copy(parser, data, all, &arena, &value), MN_OK);
        status = schema_validate(schema, value, &arena, &why);
    }
    snprintf(why_text, sizeof why_text, "%.*s", (int)why.size,
             why.size == 0 ? "" : (const char *)why.data);
    schema_free(schema);
    return status;
}

static const struct {
    const char *schema, *data;
    mn_status status;
    const char *why; /* NULL: whatever */
} cases[] = {
    {"{}", "1", MN_OK, NULL},
    {"true", "[]", MN_OK, NULL},
    {"false", "[]", MN_MALFORMED, "/: must not be here (false schema)"},
    {"{\"type\":\"integer\"}", "1.0", MN_OK, NULL},
    {"{\"type\":\"integer\"}", "1e2", MN_OK, NULL},
    {"{\"type\":\"integer\"}", "1.5", MN_MALFORMED, "/: must be of type integer"},
    {"{\"type\":[\"string\",\"null\"]}", "1", MN_MALFORMED,
     "/: must be of one of the types [\"string\",\"null\"]"},
    {"{\"properties\":{\"a/b\":{\"items\":{\"type\":\"string\"}}}}", "{\"a/b\":[\"x\",2]}",
     MN_MALFORMED, "/a~1b/1: must be of type string"},
    {"{\"required\":[\"city\"]}", "{}", MN_MALFORMED, "/: lacks the member \"city\""},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}", MN_MALFORMED,
     "/: has a member that is not allowed: \"b\""},
    /* Numbers of any size, compared by value. */
    {"{\"const\":1}", "1.00", MN_OK, NULL},
    {"{\"maximum\":18446744073709551616}", "18446744073709551617", MN_MALFORMED, NULL},
    {"{\"maximum\":0.1}", "1e-400", MN_OK, NULL},
    {"{\"minimum\":-1e400}", "-1e399", MN_OK, NULL},
    {"{\"exclusiveMinimum\":0}", "-0.0", MN_MALFORMED, NULL},
    {"{\"multipleOf\":0.01}", "4.35", MN_OK, NULL},
    {"{\"multipleOf\":0.01}", "4.355", MN_MALFORMED, NULL},
    {"{\"multipleOf\":7}", "1e100", MN_MALFORMED, NULL},
    {"{\"multipleOf\":8}", "1e100", MN_OK, NULL},
    {"{\"multipleOf\":0}", "1", MN_CONFIG, NULL},
    /* Characters, not bytes. */
    {"{\"maxLength\":2}", "\"\xf0\x9f\x98\x80\xc3\xa9\"", MN_OK, NULL},
    {"{\"minLength\":3.0}", "\"ab\"", MN_MALFORMED, NULL},
    {"{\"pattern\":\"^a+$\"}", "\"aaa\"", MN_OK, NULL},
    {"{\"pattern\":\"^a+$\"}", "\"aaa\\n\"", MN_MALFORMED, NULL},
    {"{\"pattern\":\"^\\\\p{L}+$\"}", "\"\xc3\xa9\"", MN_OK, NULL},
    {"{\"pattern\":\"(\"}", "\"\"", MN_CONFIG, NULL},
    /* Alternatives leave no failure behind. */
    {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "3", MN_MALFORMED,
     "/: matches none of the alternatives (anyOf)"},
    {"{\"oneOf\":[{\"type\":\"number\"},{\"minimum\":5}]}", "7", MN_MALFORMED,
     "/: matches more than one of the alternatives (oneOf)"},
    {"{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}", "{\"a\":1}", MN_MALFORMED,
     "/: lacks the member \"b\""},
    /* References. */
    {"{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"null\"}}}", "1", MN_MALFORMED, NULL},
    {"{\"$ref\":\"#n\",\"$defs\":{\"x\":{\"$anchor\":\"n\",\"type\":\"null\"}}}", "null", MN_OK,
     NULL},
    {"{\"$ref\":\"#/$defs/a~1b%25\",\"$defs\":{\"a/b%\":{\"type\":\"null\"}}}", "null", MN_OK,
     NULL},
    {"{\"$ref\":\"https://example.com/other.json\"}", "1", MN_CONFIG,
     "this reference leads to nothing within the schema (and nothing is fetched): "
     "\"https://example.com/other.json\""},
    {"{\"$ref\":\"#/$defs/missing\"}", "1", MN_CONFIG, NULL},
    {"{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
     "{\"next\":{\"next\":{\"other\":1}}}", MN_MALFORMED,
     "/next/next: has a member that is not allowed: \"other\""},
    {"{\"unevaluatedProperties\":false,\"allOf\":[{\"properties\":{\"a\":true}}]}", "{\"a\":1}",
     MN_OK, NULL},
    {"{\"unevaluatedProperties\":false,\"not\":{\"not\":{\"properties\":{\"a\":true}}}}",
     "{\"a\":1}", MN_MALFORMED, NULL},
    /* ajv takes all items for looked at here; the specification only those that match. */
    {"{\"contains\":{\"type\":\"integer\"},\"unevaluatedItems\":false}", "[1,2]", MN_OK, NULL},
    {"{\"contains\":{\"type\":\"integer\"},\"unevaluatedItems\":false}", "[1,\"a\"]", MN_MALFORMED,
     NULL},
    /* What stands twice is read differently by different readers. */
    {"{}", "{\"a\":[{\"b\":1,\"b\":2}]}", MN_MALFORMED, "the member \"b\" stands twice"},
    /* Schemas that are none. */
    {"[]", "1", MN_CONFIG, NULL},
    {"{\"properties\":1}", "1", MN_CONFIG, NULL},
    {"{\"allOf\":{}}", "1", MN_CONFIG, NULL},
    {"{\"required\":\"a\"}", "1", MN_CONFIG, NULL},
    {"{\"type\":1}", "1", MN_CONFIG, NULL},
    {"{\"type\":\"int\"}", "1", MN_CONFIG, NULL}, /* rather than refuse each call */
    {"{\"type\":[\"string\",\"any\"]}", "1", MN_CONFIG, NULL},
    {"{\"type\":[]}", "1", MN_CONFIG, NULL},
    /* Twins, whatever their spelling. */
    {"{\"uniqueItems\":true}", "[10,\"1\",[1],1e1]", MN_MALFORMED, "/: has an item twice: 1e1"},
    {"{\"uniqueItems\":true}", "[-0.0,1,0e7]", MN_MALFORMED, NULL},
    {"{\"uniqueItems\":true}", "[0.10,-0.1,0.01,1,true,null,\"true\",\"\",{},[],[[]],[1,2],[2,1]]",
     MN_OK, NULL},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":[2]},{\"b\":[2.0],\"\\u0061\":1}]", MN_MALFORMED,
     NULL},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"a\":2,\"b\":1}]", MN_OK, NULL},
    {"{\"a\":", "1", MN_MALFORMED, NULL},
};

START_TEST(verdicts)
{
    mn_status status = judge(cases[_i].schema, mn_span_str(cases[_i].data));

    ck_assert_msg(status == cases[_i].status, "%s with %s: %d, %s", cases[_i].schema,
                  cases[_i].data, (int)status, why_text);
    if (cases[_i].why != NULL) ck_assert_str_eq(why_text, cases[_i].why);
}
END_TEST

/* The numbers from 100,000 on, or so many texts of [size] bytes. */
static mn_status judge_unique(size_t count, size_t size)
{
    char *text = malloc(count * (size + 3) + 2), *at = text;
    mn_status status;

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, size == 6 ? "%c%0*zu" : "%c\"%0*zu\"", i == 0 ? '[' : ',', (int)size,
                      100000 + i);
    sprintf(at, "]");
    status = judge("{\"uniqueItems\":true}", mn_span_str(text));
    free(text);
    return status;
}

/* 240,000 numbers are 29 billion pairs; but each is looked for among the others only once. */
START_TEST(many_unique_items_are_judged)
{
    ck_assert_int_eq(judge_unique(240000, 6), MN_OK);
}
END_TEST

START_TEST(many_long_unique_items_are_given_up)
{
    ck_assert_int_eq(judge_unique(600, 65536), MN_TOO_BIG);
}
END_TEST

/* {"k0":true,"k1":true,...}, or ["k0","k1",...]. */
static char *write_names(char *at, size_t count, const char *brackets)
{
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%c\"k%zu\"%s", i == 0 ? *brackets : ',', i,
                      *brackets == '{' ? ":true" : "");
    return at + sprintf(at, "%c", brackets[1]);
}

static const struct {
    const char *keyword, *brackets;
    size_t names, members;
    mn_status status;
} wide_cases[] = {
    {"\"required\":", "[]", 500, 1000, MN_OK},
    {"\"required\":", "[]", 7000, 60000, MN_TOO_BIG},
    {"\"dependentRequired\":{\"k0\":", "[]", 7000, 60000, MN_TOO_BIG},
    {"\"properties\":", "{}", 500, 1000, MN_OK},
    {"\"properties\":", "{}", 5000, 60000, MN_TOO_BIG},
    {"\"additionalProperties\":true,\"properties\":", "{}", 5000, 60000, MN_TOO_BIG},
};

/* Each name is looked for among all members, or each member among all names. */
START_TEST(looking_for_many_names_among_many_members_is_given_up)
{
    size_t names = wide_cases[_i].names, members = wide_cases[_i].members;
    char *schema = malloc(names * 16 + 100), *data = malloc(members * 16 + 100), *at = schema;

    ck_assert(schema != NULL && data != NULL);
    at += sprintf(at, "{%s", wide_cases[_i].keyword);
    at = write_names(at, names, wide_cases[_i].brackets);
    sprintf(at, strstr(schema, "dependent") != NULL ? "}}" : "}");
    write_names(data, members, "{}");
    ck_assert_int_eq(judge(schema, mn_span_str(data)), wide_cases[_i].status);
    free(schema);
    free(data);
}
END_TEST

/* Each definition refers twice to the next: 2^30 ways to go through them. */
START_TEST(a_bomb_of_references_is_given_up)
{
    char text[8192], *at = text;

    at += sprintf(at, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 30; i++)
        at += sprintf(
            at, "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i,
            i + 1, i + 1);
    sprintf(at, "\"d30\":{}}}");
    ck_assert_int_eq(judge(text, mn_span_str("1")), MN_TOO_BIG);
    ck_assert_str_eq(why_text, "checking it against its schema takes too many steps");
}
END_TEST

START_TEST(a_circle_of_references_is_given_up)
{
    ck_assert_int_eq(judge("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/"
                           "b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}",
                           mn_span_str("1")),
                     MN_TOO_BIG);
}
END_TEST

/* [count] texts of [size] bytes: letters, then [tail]. */
static const struct {
    const char *schema, *tail;
    size_t count, size;
    mn_status status;
} pattern_cases[] = {
    {"\"pattern\":\"^[a-z]{1,64}[.][a-z]+$\"", ".org", 10000, 20, MN_OK},
    {"\"pattern\":\"^[\\\\u{10000}-\\\\u{10FFFF}a.g-r]+$\"", ".org", 10000, 20, MN_OK},
    {"\"pattern\":\"^a*[.]org$\"", ".org", 1, 1000000, MN_OK},
    {"\"pattern\":\"^(a+)+$\"", "!", 1, 40, MN_TOO_BIG},
    /* Each explodes a little, or is searched from everywhere. */
    {"\"not\":{\"pattern\":\"^(a+)+$\"}", "!", 10000, 13, MN_TOO_BIG},
    {"\"pattern\":\"[ab]*[cd]\"", "!", 1, 200000, MN_TOO_BIG},
    {"\"pattern\":\"a{60000,}!!\"", "!", 1, 70000, MN_TOO_BIG},
    {"\"pattern\":\"^(a{20000}).*\\\\1!!\"", "!", 1, 60000, MN_TOO_BIG},
};

START_TEST(patterns_that_take_long_are_given_up)
{
    size_t count = pattern_cases[_i].count, size = pattern_cases[_i].size;
    const char *tail = pattern_cases[_i].tail;
    char *data = malloc(count * (size + 3) + 2), *at = data;
    const char *schema = mn_arena_format(&arena, "{\"items\":{%s}}", pattern_cases[_i].schema);

    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < count; i++) {
        at += sprintf(at, "%c\"", i == 0 ? '[' : ',');
        memset(at, 'a', size);
        memcpy(at + size - strlen(tail), tail, strlen(tail));
        at += size;
        *at++ = '"';
    }
    memcpy(at, "]", 2);
    ck_assert_int_eq(judge(schema, mn_span_str(data)), pattern_cases[_i].status);
    free(data);
}
END_TEST

START_TEST(a_pattern_that_repeats_too_much_says_so)
{
    ck_assert_int_eq(judge("{\"pattern\":\"^(ab?c){4000}$\"}", mn_span_str("\"\"")), MN_TOO_BIG);
    ck_assert_str_eq(why_text, "a pattern repeats too much: \"^(ab?c){4000}$\"");
}
END_TEST

START_TEST(deep_schemas_are_refused)
{
    char text[2048] = "", *at = text;

    for (int i = 0; i < 100; i++)
        at += sprintf(at, "{\"not\":");
    at += sprintf(at, "{}");
    for (int i = 0; i < 100; i++)
        at += sprintf(at, "}");
    ck_assert_int_eq(judge(text, mn_span_str("1")), MN_TOO_BIG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema");
    TCase *tcase = tcase_create("schema");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, verdicts, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tcase, a_bomb_of_references_is_given_up);
    tcase_add_test(tcase, many_unique_items_are_judged);
    tcase_add_test(tcase, many_long_unique_items_are_given_up);
    tcase_add_loop_test(tcase, looking_for_many_names_among_many_members_is_given_up, 0,
                        (int)(sizeof wide_cases / sizeof *wide_cases));
    tcase_add_test(tcase, a_circle_of_references_is_given_up);
    tcase_add_loop_test(tcase, patterns_that_take_long_are_given_up, 0,
                        (int)(sizeof pattern_cases / sizeof *pattern_cases));
    tcase_add_test(tcase, a_pattern_that_repeats_too_much_says_so);
    tcase_add_test(tcase, deep_schemas_are_refused);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
