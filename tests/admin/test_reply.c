/* JSON, member by member. */
#include <check.h>
#include <stdlib.h>

#include "node/admin/reply.h"
#include "tests/suite.h"

static struct reply reply;
static struct mn_buf *buf;

static void teardown(void)
{
    buf = mn_buf_unref(buf);
}

static const char *done(void)
{
    mn_buf_unref(buf);
    buf = reply_end(&reply);
    return (const char *)buf->bytes;
}

static void begin(void)
{
    reply = (struct reply){0};
    reply_object(&reply, NULL);
}

START_TEST(commas_and_escapes_cannot_go_wrong)
{
    begin();
    reply_object(&reply, "a");
    reply_object_end(&reply);
    reply_array(&reply, "b");
    reply_u64(&reply, NULL, UINT64_MAX);
    reply_i64(&reply, NULL, INT64_MIN);
    reply_object(&reply, NULL);
    reply_bool(&reply, "c\"", true);
    reply_null(&reply, "d");
    reply_object_end(&reply);
    reply_array_end(&reply);
    reply_str(&reply, "e", mn_span("\x01\xff", 2));
    ck_assert_str_eq(done(), "{\"a\":{},\"b\":[18446744073709551615,-9223372036854775808,"
                             "{\"c\\\"\":true,\"d\":null}],\"e\":\"\\u0001\xef\xbf\xbd\"}\n");
}
END_TEST

START_TEST(times_are_rfc_3339)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.007Z"},          {951782399, "2000-02-28T23:59:59.007Z"},
        {951782400, "2000-02-29T00:00:00.007Z"},  {951868800, "2000-03-01T00:00:00.007Z"},
        {1709164800, "2024-02-29T00:00:00.007Z"}, {1735689599, "2024-12-31T23:59:59.007Z"},
        {4102444800, "2100-01-01T00:00:00.007Z"}, {4107542400, "2100-03-01T00:00:00.007Z"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mn_arena arena = {0};
        begin();
        reply_time(&reply, "t", cases[i].seconds * MN_SEC + 7999);
        ck_assert_str_eq(done(), mn_arena_format(&arena, "{\"t\":\"%s\"}\n", cases[i].text));
        mn_arena_done(&arena);
    }
}
END_TEST

START_TEST(durations_have_three_digits_and_no_id_is_null)
{
    mn_id id = {{0}};

    begin();
    reply_ms(&reply, "a", 0);
    reply_ms(&reply, "b", 1002003);
    reply_id(&reply, "c", &id);
    id.bytes[0] = 0xab;
    reply_id(&reply, "d", &id);
    ck_assert_str_eq(done(), "{\"a\":0.000,\"b\":1002.003,\"c\":null,"
                             "\"d\":\"ab000000-0000-0000-0000-000000000000\"}\n");
}
END_TEST

START_TEST(members_are_copied_verbatim)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *object;

    ck_assert_int_eq(json_parse_copy(parser, mn_span_str("{\"a\" : 1e400, \"\\u0062\":[ ]}"),
                                     (struct json_limits){8, 1, 100}, &arena, &object),
                     MN_OK);
    reply_begin(&reply, "X");
    reply_members(&reply, object);
    reply_text(&reply, "z", "");
    ck_assert_str_eq(done(), "{\"api\":\"meshctl/v1\",\"kind\":\"X\",\"a\":1e400,"
                             "\"\\u0062\":[ ],\"z\":\"\"}\n");
    mn_arena_done(&arena);
    json_parser_free(parser);
}
END_TEST

START_TEST(lists_say_what_is_missing)
{
    reply_list_begin(&reply, "XList");
    reply_raw(&reply, NULL, mn_span_str("1"));
    reply_list_end(&reply);
    ck_assert_str_eq(done(), "{\"api\":\"meshctl/v1\",\"kind\":\"XList\",\"items\":[1],"
                             "\"missing\":[],\"warnings\":[]}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reply");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, NULL, teardown);
    tcase_add_test(all, commas_and_escapes_cannot_go_wrong);
    tcase_add_test(all, times_are_rfc_3339);
    tcase_add_test(all, durations_have_three_digits_and_no_id_is_null);
    tcase_add_test(all, members_are_copied_verbatim);
    tcase_add_test(all, lists_say_what_is_missing);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
