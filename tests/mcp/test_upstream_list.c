/* The lists of MCP servers, as child processes. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "node/mcp/upstream/upstream_list.h"
#include "tests/mcp/upstream_checks.h"
#include "tests/suite.h"

START_TEST(pages_are_drained_and_an_empty_cursor_is_a_cursor)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"\"}");
    const char *line = world_line(&w);
    assert_has(line, "\"params\":{\"cursor\":\"\"}");
    world_answer(&w, line, "{\"tools\":[{\"name\":\"b\"}],\"nextCursor\":\"p\\n2\"}");
    line = world_line(&w);
    assert_has(line, "\"cursor\":\"p\\n2\"");
    world_answer(&w, line, "{\"tools\":[{\"name\":\"c\"}]}");
    ck_assert_str_eq(world_offer(&w)->tools, "a b c ");
}
END_TEST

START_TEST(repeated_cursor_ends_the_list)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"x\"}");
    world_answer(&w, world_line(&w), "{\"tools\":[{\"name\":\"b\"}],\"nextCursor\":\"y\"}");
    world_answer(&w, world_line(&w), "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"x\"}");
    ck_assert_ptr_null(world_line(&w));
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    assert_has(world_log(&w, "s"), "repeats a cursor");
}
END_TEST

/* Pages of nothing, each with a cursor of its own. */
START_TEST(pages_without_end_end_the_list)
{
    const char *line;
    uint32_t pages = 0;

    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    for (; (line = world_line(&w)) != NULL && pages <= 2 * UPSTREAM_LIST_PAGES_MAX; pages++)
        world_answer(&w, line,
                     world_format(&w, "{\"tools\":[%s],\"nextCursor\":\"%u\"}",
                                  pages == 0 ? "{\"name\":\"a\"}" : "", pages));
    ck_assert_uint_eq(pages, UPSTREAM_LIST_PAGES_MAX + 1);
    ck_assert_str_eq(world_offer(&w)->tools, "a ");
    assert_has(world_log(&w, "s"), "too many pages");
}
END_TEST

START_TEST(more_than_5000_tools_are_refused)
{
    struct mn_writer page = {0};

    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    uint64_t id = world_id(world_line(&w));
    mn_writer_format(&page, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":{\"tools\":[", id);
    for (int i = 0; i < 5000 + _i; i++)
        mn_writer_format(&page, "%s{\"name\":\"t%d\"}", i == 0 ? "" : ",", i);
    mn_writer_str(&page, "]}}\n");
    world_say_bytes(&w, 1, mn_buf_span(page.buf));
    mn_writer_drop(&page);
    if (_i == 0) {
        ck_assert_uint_eq(world_offer(&w)->tools_count, 5000);
    } else {
        ck_assert(world_child(&w)->is_stopped);
        ck_assert_ptr_null(world_offer(&w));
        assert_has((const char *)world_info(&w, "s").error.data, "5000 tools");
    }
}
END_TEST

START_TEST(bad_tools_are_left_out_and_counted)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w),
                 "{\"tools\":[1,{},{\"name\":\"\"},{\"name\":\"a\"},{\"name\":\"a\"},"
                 "{\"name\":\"x\\u0000y\"},{\"name\":7},null,[]]}");
    ck_assert_str_eq(world_offer(&w)->tools, "a ");
    ck_assert_uint_eq(world_info(&w, "s").tools_dropped_count, 8);
}
END_TEST

static const char *list_again(const char *result)
{
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_pass(&w, 110 * MN_MS);
    world_answer(&w, world_line(&w), result);
    return (const char *)world_info(&w, "s").error.data;
}

START_TEST(what_was_wrong_with_lists_is_said_until_they_are_well)
{
    world_up_legacy(&w, "s");
    assert_has(list_again("{\"tools\":[1,{\"name\":\"a\"}]}"), "1 of its items");
    assert_has(list_again("{\"tools\":[1,{\"name\":\"b\"}]}"), "1 of its items");
    ck_assert_str_eq(list_again("{\"tools\":[{\"name\":\"a\"}]}"), "");
    assert_has(list_again("{\"tools\":7}"), "tools");
    ck_assert_str_eq(list_again("{\"tools\":[{\"name\":\"a\"}]}"), "");
}
END_TEST

START_TEST(only_exported_tools_are_offered_and_callable)
{
    const struct mn_span argv[] = {mn_span_str("tool")}, tools[] = {mn_span_str("add")};

    ck_assert_int_eq(world_add(&w, &(struct upstream_config){.name = mn_span_str("s"),
                                                             .is_uniform = true,
                                                             .argv = argv,
                                                             .argv_count = 1,
                                                             .tools = tools,
                                                             .tools_count = 1,
                                                             .era = UPSTREAM_ERA_LEGACY}),
                     MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    ck_assert_str_eq(world_offer(&w)->tools, "add ");
    world_call_echo(&w, 1, "s");
    struct world_event *event = world_event(&w);
    ck_assert_str_eq(event->what, "error");
    ck_assert_int_eq(event->code, -32602);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(list_changed_is_coalesced_and_offered_only_if_it_differs)
{
    world_up_legacy(&w, "s");
    for (int i = 0; i < 5; i++)
        world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, 110 * MN_MS);
    const char *line = world_line(&w);
    assert_has(line, "tools/list");
    ck_assert_ptr_null(world_line(&w));
    world_answer(&w, line, world_tools_result(&w, WORLD_TOOLS));
    ck_assert_uint_eq(w.offers_count, 1); /* nothing new */
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_pass(&w, 110 * MN_MS);
    line = world_line(&w);
    /* It changes again while it is being listed: listed once more afterwards. */
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_answer(&w, line, "{\"tools\":[{\"name\":\"new\"}]}");
    ck_assert_uint_eq(w.offers_count, 2);
    ck_assert_str_eq(world_offer(&w)->tools, "new ");
    world_pass(&w, 110 * MN_MS);
    assert_has(world_line(&w), "tools/list");
}
END_TEST

START_TEST(modern_child_is_listened_to)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"supportedVersions\":[\"2026-07-28\"],"
                 "\"capabilities\":{\"tools\":{\"listChanged\":true}}}");
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    const char *listen = world_line(&w);
    assert_has(listen, "\"method\":\"subscriptions/listen\"");
    assert_has(listen, "\"toolsListChanged\":true");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_pass(&w, 110 * MN_MS);
    world_answer(&w, world_line(&w), world_tools_result(&w, "[{\"name\":\"z\"}]"));
    ck_assert_str_eq(world_offer(&w)->tools, "z ");
    ck_assert_ptr_null(world_line(&w));                        /* it listens already */
    world_answer(&w, listen, "{\"resultType\":\"complete\"}"); /* the server ends it */
    world_pass(&w, 1100 * MN_MS);
    assert_has(world_line(&w), "\"method\":\"subscriptions/listen\"");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_stdio");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, pages_are_drained_and_an_empty_cursor_is_a_cursor);
    tcase_add_test(tc, repeated_cursor_ends_the_list);
    tcase_add_test(tc, pages_without_end_end_the_list);
    tcase_add_loop_test(tc, more_than_5000_tools_are_refused, 0, 2);
    tcase_add_test(tc, bad_tools_are_left_out_and_counted);
    tcase_add_test(tc, what_was_wrong_with_lists_is_said_until_they_are_well);
    tcase_add_test(tc, only_exported_tools_are_offered_and_callable);
    tcase_add_test(tc, list_changed_is_coalesced_and_offered_only_if_it_differs);
    tcase_add_test(tc, modern_child_is_listened_to);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
