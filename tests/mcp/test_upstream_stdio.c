/* MCP servers as child processes: handshake, lists, calls, and everything a child does wrong. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/upstream/upstream_list.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

static struct world w;

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    world_done(&w);
}

static void assert_has(const char *text, const char *part)
{
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" has no \"%s\"", text, part);
}

static void assert_state(const char *name, enum upstream_state state)
{
    ck_assert_str_eq(upstream_state_name(world_info(&w, name).state), upstream_state_name(state));
}

/* Handshakes. */

START_TEST(legacy_child_is_initialized_listed_and_offered)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    ck_assert_str_eq(world_child(&w)->command, "tool");
    assert_state("s", UPSTREAM_STARTING);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    assert_has(line, "\"protocolVersion\":\"2025-11-25\"");
    assert_has(line, "\"capabilities\":{}");
    ck_assert_ptr_null(world_line(&w));
    world_answer(&w, line, WORLD_LEGACY);
    assert_state("s", UPSTREAM_PROBING);
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    line = world_line(&w);
    assert_has(line, "\"method\":\"tools/list\",\"params\":{}");
    ck_assert_ptr_null(world_offer(&w));
    world_answer(&w, line, world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    ck_assert_str_eq(world_offer(&w)->name, "s");
    ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
    ck_assert_str_eq(world_offer(&w)->instructions, "be nice");
    ck_assert_str_eq(world_offer(&w)->server_info, "{\"name\":\"s\",\"version\":\"1\"}");
    ck_assert_uint_eq(w.offers_count, 1);
    struct upstream_info info = world_info(&w, "s");
    ck_assert(!info.is_modern && info.is_offered);
    ck_assert_uint_eq(info.tools_count, 2);
    ck_assert_uint_eq(info.starts_count, 1);
    ck_assert(mn_span_is(info.target, "tool --stdio"));
    ck_assert(mn_span_is(info.version, "2025-11-25"));
}
END_TEST

START_TEST(modern_child_is_discovered_and_offered)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"server/discover\"");
    assert_has(line, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    assert_has(line, "\"io.modelcontextprotocol/clientCapabilities\":{}");
    world_answer(&w, line, WORLD_MODERN);
    line = world_line(&w);
    assert_has(line, "\"method\":\"tools/list\"");
    assert_has(line, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    world_answer(&w, line, world_tools_result(&w, WORLD_TOOLS));
    ck_assert_ptr_null(world_line(&w)); /* no initialize, and nothing to listen to */
    assert_state("s", UPSTREAM_READY);
    ck_assert(world_info(&w, "s").is_modern);
    ck_assert_str_eq(world_offer(&w)->server_info, "{\"name\":\"m\",\"version\":\"2\"}");
}
END_TEST

static const struct {
    int code;
    const char *data;
    bool is_legacy;
} probe_errors[] = {
    {-32601, "", true},
    {-32602, "", true},
    {-32600, "", true},
    {-32000, "", true},
    {-1, "", true},
    {-32022, "{\"supported\":[\"2025-06-18\"]}", true},
    {-32022, "{\"supported\":[\"2031-01-01\"]}", false},
    {-32022, "{\"supported\":[\"2026-07-28\"]}", false},
    {-32021, "{\"requiredCapabilities\":{\"sampling\":{}}}", false},
};

START_TEST(probe_error_decides_the_era)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_error(&w, world_line(&w), probe_errors[_i].code, probe_errors[_i].data);
    if (probe_errors[_i].is_legacy) {
        assert_has(world_line(&w), "\"method\":\"initialize\"");
        ck_assert_uint_eq(w.children_count, 1); /* the same process */
    } else {
        ck_assert(world_child(&w)->is_stopped);
        assert_state("s", UPSTREAM_BACKOFF);
        ck_assert_uint_gt(world_info(&w, "s").error.size, 0);
    }
}
END_TEST

START_TEST(discover_result_with_older_versions_only_means_legacy)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"supportedVersions\":[\"2025-11-25\",\"2025-06-18\"],\"capabilities\":{}}");
    assert_has(world_line(&w), "\"method\":\"initialize\"");
}
END_TEST

START_TEST(modern_setting_never_falls_back)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_error(&w, world_line(&w), -32601, "");
    ck_assert_ptr_null(world_line(&w));
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "era is set to modern");
}
END_TEST

START_TEST(silence_after_the_probe_means_legacy)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_line(&w);
    world_pass(&w, 1999 * MN_MS);
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, 2 * MN_MS);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    world_answer(&w, line, WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    ck_assert(!world_info(&w, "s").is_modern);
}
END_TEST

START_TEST(slow_modern_child_is_still_modern)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    const char *probe = world_line(&w);
    world_pass(&w, 5 * MN_SEC); /* npx had to download it */
    const char *initialize = world_line(&w);
    world_answer(&w, probe, WORLD_MODERN);
    assert_has(world_line(&w), "\"method\":\"tools/list\"");
    world_error(&w, initialize, -32601, ""); /* too late to mean anything */
    ck_assert(!world_child(&w)->is_stopped);
    ck_assert(world_info(&w, "s").is_modern);
}
END_TEST

START_TEST(exit_during_the_probe_means_legacy_and_an_immediate_restart)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_line(&w);
    world_exit(&w, 1);
    ck_assert_uint_eq(w.children_count, 2);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"initialize\"");
    world_answer(&w, line, WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state("s", UPSTREAM_READY);
    world_exit(&w, 1); /* a crash: the era is remembered */
    world_pass(&w, MN_SEC);
    ck_assert_uint_eq(w.children_count, 3);
    assert_has(world_line(&w), "\"method\":\"initialize\"");
}
END_TEST

START_TEST(guess_from_an_exit_is_forgotten_when_it_does_not_help)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_exit(&w, 1);
    world_exit(&w, 1);
    assert_state("s", UPSTREAM_BACKOFF);
    world_pass(&w, MN_SEC);
    assert_has(world_line(&w), "\"method\":\"server/discover\"");
}
END_TEST

START_TEST(unknown_legacy_version_is_refused)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2019-01-01\",\"capabilities\":{},\"serverInfo\":{}}");
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "2019-01-01");
}
END_TEST

START_TEST(hung_handshake_is_stopped_and_repeated)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_pass(&w, 29 * MN_SEC);
    ck_assert(!world_child(&w)->is_stopped);
    world_pass(&w, 2 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
    assert_has((const char *)world_info(&w, "s").error.data, "does not answer initialize");
    world_pass(&w, 5 * MN_SEC); /* it ignores TERM; the next one waits for its end */
    ck_assert_uint_eq(w.children_count, 1);
    world_exit(&w, 137);
    ck_assert_uint_eq(w.children_count, 2);
}
END_TEST

START_TEST(hung_list_is_a_break)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_pass(&w, 31 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
    assert_has((const char *)world_info(&w, "s").error.data, "does not answer tools/list");
}
END_TEST

START_TEST(server_without_tools_is_offered_empty)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{},\"serverInfo\":{}}");
    assert_state("s", UPSTREAM_READY);
    ck_assert_uint_eq(world_offer(&w)->tools_count, 0);
}
END_TEST

/* Lists. */

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

/* Calls. */

START_TEST(call_goes_verbatim_and_its_result_comes_back_verbatim)
{
    const char *params = "{\"name\":\"echo\",\"arguments\":{\"n\":1e400,\"x\":18446744073709551616,"
                         "\"u\":\"\\u00e9\",\"d\":0.10},\"other\":[ ]}";
    const char *result = "{\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"z\":1e400,"
                         "\"isError\":true,\"_meta\":{\"k\":0.10}}";

    world_up_legacy(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 9, .service = "s", .params = params});
    const char *line = world_line(&w);
    assert_has(line, world_format(&w, "\"method\":\"tools/call\",\"params\":%s}", params));
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 1);
    world_answer(&w, line, result);
    struct world_event *event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 9);
    ck_assert_int_eq(event->kind, CALL_EVENT_RESULT);
    ck_assert_str_eq(event->what, "result");
    ck_assert_str_eq(event->json, result);
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 0);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(newlines_in_params_do_not_break_the_line)
{
    world_up_legacy(&w, "s");
    world_call(
        &w, &(struct world_call){.ticket = 1,
                                 .service = "s",
                                 .params = "{\r\n  \"name\": \"echo\",\n  \"arguments\": {}\n}"});
    const char *line = world_line(&w);
    assert_has(line, "\"params\":{    \"name\": \"echo\",   \"arguments\": {} }}");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(modern_call_carries_our_meta_and_not_that_of_the_hop)
{
    world_up_modern(&w, "s");
    world_call(&w,
               &(struct world_call){
                   .ticket = 1,
                   .service = "s",
                   .wants_progress = true,
                   .client_info = "{\"name\":\"cli\",\n\"version\":\"9\"}",
                   .params = "{\"_meta\":{\"progressToken\":\"theirs\",\"traceparent\":\"00-1\","
                             "\"io.modelcontextprotocol/protocolVersion\":\"2025-06-18\","
                             "\"com.example/x\":1},\"name\":\"echo\"}"});
    const char *line = world_line(&w);
    uint64_t id = world_id(line);
    assert_has(line, "\"params\":{\"name\":\"echo\",\"_meta\":{\"traceparent\":\"00-1\","
                     "\"com.example/x\":1,");
    assert_has(line, world_format(&w, "\"progressToken\":%" PRIu64 ",", id));
    assert_has(line, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    assert_has(line, "Info\":{\"name\":\"cli\", \"version\":\"9\"}}}}");
    ck_assert_ptr_null(strstr(line, "theirs"));
    ck_assert_ptr_null(strstr(line, "2025-06-18"));
}
END_TEST

START_TEST(legacy_call_has_no_modern_keys)
{
    world_up_legacy(&w, "s");
    world_call(&w,
               &(struct world_call){.ticket = 1,
                                    .service = "s",
                                    .params = "{\"name\":\"echo\",\"_meta\":{\"a\":1,"
                                              "\"io.modelcontextprotocol/clientCapabilities\":{}}}",
                                    .wants_progress = true});
    const char *line = world_line(&w);
    assert_has(line, world_format(&w, "\"_meta\":{\"a\":1,\"progressToken\":%" PRIu64 "}}}",
                                  world_id(line)));
}
END_TEST

START_TEST(progress_comes_before_the_result_and_without_our_token)
{
    world_up_legacy(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 5,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .wants_progress = true});
    const char *line = world_line(&w);
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                               "\"params\":{\"progress\":0.50,\"progressToken\":%" PRIu64
                               ",\"total\":1}}\n",
                               world_id(line)));
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                  "\"params\":{\"progress\":1,\"progressToken\":99999}}\n");
    world_answer(&w, line, "{\"content\":[]}");
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->kind, CALL_EVENT_PROGRESS);
    ck_assert_str_eq(event->what, "progress");
    ck_assert_str_eq(event->json, "{\"progress\":0.50,\"total\":1}");
    ck_assert_int_eq(world_event(&w)->kind, CALL_EVENT_RESULT);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(progress_nobody_asked_for_is_dropped)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 5, "s");
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                               "\"params\":{\"progress\":1,\"progressToken\":%" PRIu64 "}}\n",
                               world_id(world_line(&w))));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(errors_of_the_server_are_forwarded_as_they_are)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_error(&w, world_line(&w), -32602, "{\"why\":1.50}");
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->kind, CALL_EVENT_RESULT);
    ck_assert_str_eq(event->what, "error");
    ck_assert_int_eq(event->code, -32602);
    ck_assert_str_eq(event->message, "no");
    ck_assert_str_eq(event->json, "{\"why\":1.50}");
}
END_TEST

START_TEST(result_that_is_not_complete_is_an_error)
{
    world_up_modern(&w, "s");
    world_call_echo(&w, 1, "s");
    world_answer(&w, world_line(&w), "{\"resultType\":\"something\",\"x\":1}");
    ck_assert_int_eq(world_event(&w)->code, -32603);
    world_call_echo(&w, 2, "s");
    world_answer(&w, world_line(&w), "{\"resultType\":\"complete\",\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(answers_find_their_calls_in_any_order)
{
    const char *lines[64];

    world_up_legacy(&w, "s");
    for (uint64_t i = 0; i < 64; i++) {
        world_call_echo(&w, 100 + i, "s");
        lines[i] = world_line(&w);
    }
    for (uint64_t i = 0; i < 64; i++) {
        uint64_t which = (i * 37 + 11) % 64;
        world_answer(&w, lines[which], world_format(&w, "{\"n\":%" PRIu64 "}", which));
        struct world_event *event = world_event(&w);
        ck_assert_uint_eq(event->ticket, 100 + which);
        ck_assert_str_eq(event->json, world_format(&w, "{\"n\":%" PRIu64 "}", which));
    }
}
END_TEST

static const char *call_with_log(uint64_t ticket)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\",\"arguments\":{}}",
                                        .log_level = "info"});
    return world_line(&w);
}

START_TEST(what_is_said_of_a_call_that_was_given_up_is_nobodys)
{
    const char *text = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{"
                       "\"level\":\"warning\",\"data\":\"of the other one\"}}\n";

    world_up_modern(&w, "s");
    (void)call_with_log(1);
    (void)call_with_log(2);
    world_say(&w, text);
    ck_assert_ptr_null(world_event(&w)); /* of two nobody can tell whose it is */
    world_cancel(&w, 1);
    world_say(&w, text);
    ck_assert_ptr_null(world_event(&w)); /* the server may not have heard of it yet */
    world_pass(&w, UPSTREAM_STRAYS);
    world_say(&w, text);
    ck_assert_uint_eq(world_event(&w)->ticket, 2);
}
END_TEST

START_TEST(cancel_tells_the_server_with_its_own_id)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 7, "s");
    const char *call = world_line(&w);
    world_cancel(&w, 7);
    const char *line = world_line(&w);
    assert_has(line, "\"method\":\"notifications/cancelled\"");
    assert_has(line, world_format(&w, "\"requestId\":%" PRIu64 ",", world_id(call)));
    world_answer(&w, call, "{\"content\":[]}"); /* too late */
    ck_assert_ptr_null(world_event(&w));
    world_cancel(&w, 7);
    world_cancel(&w, 12345);
    ck_assert_ptr_null(world_line(&w));
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 0);
}
END_TEST

START_TEST(bad_requests_are_answered_and_never_written)
{
    const struct {
        const char *method, *params;
        int code;
    } cases[] = {{"logging/setLevel", "{}", -32601},
                 {"initialize", "{}", -32601},
                 {"notifications/x", "{}", -32601},
                 {"a\"b", "{}", -32601},
                 {NULL, "[1]", -32602},
                 {NULL, "", -32602},
                 {NULL, "{\"name\":\"x\"", -32602},
                 {NULL, "{}\n{\"id\":1}", -32602}};

    world_up_legacy(&w, "s");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_call(&w, &(struct world_call){.ticket = i + 1,
                                            .service = "s",
                                            .method = cases[i].method,
                                            .params = cases[i].params});
        ck_assert_int_eq(world_event(&w)->code, cases[i].code);
        ck_assert_ptr_null(world_line(&w));
    }
    world_call_echo(&w, 50, "nobody");
    ck_assert_int_eq(world_event(&w)->failure, CALL_NOT_FOUND);
}
END_TEST

START_TEST(service_may_be_named_with_its_node)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s.alpha");
    assert_has(world_line(&w), "tools/call");
}
END_TEST

START_TEST(call_that_came_round_is_refused)
{
    const mn_id trail[] = {{{1}}, w.self};
    mn_id many[16] = {{{0}}};

    world_up_legacy(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .trail = trail,
                                        .trail_count = 2});
    ck_assert_int_eq(world_event(&w)->failure, CALL_UPSTREAM);
    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .trail = trail,
                                        .trail_count = 1});
    assert_has(world_line(&w), "tools/call");
    world_call(&w, &(struct world_call){.ticket = 3,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .trail = many,
                                        .trail_count = 16});
    ck_assert_int_eq(world_event(&w)->failure, CALL_UPSTREAM);
}
END_TEST

START_TEST(calls_beyond_the_limit_are_busy)
{
    world_up_legacy(&w, "s");
    for (uint64_t i = 1; i <= UPSTREAM_IN_FLIGHT_MAX; i++)
        world_call_echo(&w, i, "s");
    ck_assert_ptr_null(world_event(&w));
    world_call_echo(&w, 5000, "s");
    ck_assert_int_eq(world_event(&w)->failure, CALL_BUSY);
    world_answer(&w, world_line(&w), "{}");
    world_event(&w);
    world_call_echo(&w, 5001, "s");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(child_that_does_not_read_makes_calls_busy)
{
    size_t size = 1 << 20;
    char *params = malloc(size + 64);
    const char *first = NULL;
    uint64_t ticket = 1;

    memcpy(params, "{\"name\":\"echo\",\"x\":\"", 20);
    memset(params + 20, 'a', size);
    memcpy(params + 20 + size, "\"}", 3);
    world_up_legacy(&w, "s");
    while (w.events_count == 0 && ticket < 100) {
        world_call(&w, &(struct world_call){.ticket = ticket++, .service = "s", .params = params});
        if (ticket % 2 == 0) world_pass(&w, 0); /* also those count that are not all written */
        if (first == NULL) first = world_line(&w);
    }
    ck_assert_int_eq(world_event(&w)->failure, CALL_BUSY);
    ck_assert_uint_ge(ticket, 8);
    ck_assert_uint_le(ticket, 12);
    /* It answered the first one, so that one is read. */
    world_answer(&w, first, "{}");
    world_event(&w);
    world_call_echo(&w, 200, "s");
    ck_assert_ptr_null(world_event(&w));
    world_call_echo(&w, 201, "s");
    world_call(&w, &(struct world_call){.ticket = 202, .service = "s", .params = params});
    world_call_echo(&w, 203, "s");
    ck_assert_int_eq(world_event(&w)->failure, CALL_BUSY);
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_WRITABLE, .id = world_child(&w)->id});
    world_call_echo(&w, 204, "s");
    ck_assert_ptr_null(world_event(&w));
    free(params);
}
END_TEST

START_TEST(call_timeout_gives_up_unless_there_is_progress)
{
    const struct mn_span argv[] = {mn_span_str("tool")};

    ck_assert_int_eq(world_add(&w, &(struct upstream_config){.name = mn_span_str("s"),
                                                             .is_uniform = true,
                                                             .argv = argv,
                                                             .argv_count = 1,
                                                             .era = UPSTREAM_ERA_LEGACY,
                                                             .call_timeout = 10 * MN_SEC}),
                     MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_call(&w, &(struct world_call){
                       .ticket = 1, .service = "s", .params = "{}", .wants_progress = true});
    uint64_t id = world_id(world_line(&w));
    world_pass(&w, 8 * MN_SEC);
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                               "\"params\":{\"progress\":1,\"progressToken\":%" PRIu64 "}}\n",
                               id));
    world_event(&w);
    world_pass(&w, 8 * MN_SEC);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 3 * MN_SEC);
    ck_assert_int_eq(world_event(&w)->failure, CALL_TIMED_OUT);
    assert_has(world_line(&w), "notifications/cancelled");
}
END_TEST

START_TEST(child_of_another_era_is_asked_again_and_the_call_sent_again)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_pass(&w, 10 * MN_SEC);
    world_call_echo(&w, 1, "s");
    world_error(&w, world_line(&w), -32022, "{\"supported\":[\"2025-11-25\"]}");
    assert_state("s", UPSTREAM_PROBING);
    world_error(&w, world_line(&w), -32601, "");
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    const char *line = world_line(&w);
    assert_has(line, "\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}}");
    ck_assert_ptr_null(world_event(&w));
    world_error(&w, line, -32022, ""); /* once is enough */
    ck_assert_int_eq(world_event(&w)->code, -32603);
}
END_TEST

/* Unless it says which capability is missing, as the modern protocol has it. */
START_TEST(a_capability_that_is_missing_is_said_as_such)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 10, "s");
    world_error(&w, world_line(&w), -32021, "{\"requiredCapabilities\":{\"sampling\":{}}}");
    ck_assert_int_eq(world_event(&w)->code, -32021);
}
END_TEST

/* A tool that says them was executed, and the session it ran in is as good as before. */
START_TEST(codes_of_the_protocol_are_a_legacy_servers_own)
{
    static const int codes[] = {-32020, -32021, -32022};

    world_up_legacy(&w, "s");
    for (uint64_t i = 0; i < 3; i++) {
        world_call_echo(&w, 10 + i, "s");
        world_error(&w, world_line(&w), codes[i], "{\"supported\":[\"x\"]}");
        ck_assert_int_eq(world_event(&w)->code, -32603); /* what a modern client would misread */
        world_call(&w, &(struct world_call){.ticket = 20 + i,
                                            .service = "s",
                                            .is_live = true,
                                            .params = "{\"name\":\"echo\"}"});
        world_error(&w, world_line(&w), codes[i], "{}");
        ck_assert_int_eq(world_event(&w)->code, codes[i]);
        ck_assert_ptr_null(world_line(&w));
        assert_state("s", UPSTREAM_READY);
    }
}
END_TEST

/* What children do. */

START_TEST(server_requests_are_answered)
{
    world_up_legacy(&w, "s");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"method\":\"ping\"}\n");
    ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"result\":{}}");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"roots/list\",\"params\":{}}\n");
    const char *line = world_line(&w);
    assert_has(line, "\"id\":3,\"error\":{\"code\":-32601");
}
END_TEST

START_TEST(messages_may_be_cut_anywhere)
{
    const char *text = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\r\n"
                       "\r\n\n{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa9\",\"method\":\"ping\"}\n";
    size_t size = strlen(text);

    world_up_legacy(&w, "s");
    for (size_t cut = 0; cut <= size; cut++) {
        world_say_bytes(&w, 1, mn_span(text, cut));
        world_say_bytes(&w, 1, mn_span(text + cut, size - cut));
        ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa9\",\"result\":{}}");
    }
    for (size_t i = 0; i < size; i++)
        world_say_bytes(&w, 1, mn_span(text + i, 1));
    ck_assert_ptr_nonnull(world_line(&w));
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 0);
}
END_TEST

/* Nothing better comes for that call, so its client does not wait for it. */
START_TEST(an_answer_that_is_none_ends_its_call)
{
    static const char *const bad[] = {"\"result\":null", "\"result\":[]", "\"error\":{\"code\":1}",
                                      "\"error\":\"no\"",
                                      "\"error\":{\"code\":1.5,\"message\":\"m\"}"};

    world_up_legacy(&w, "s");
    for (uint64_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct world_event *event;
        world_call_echo(&w, 10 + i, "s");
        world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",%s}\n",
                                   world_id(world_line(&w)), bad[i]));
        event = world_event(&w);
        ck_assert_uint_eq(event->ticket, 10 + i);
        ck_assert_int_eq(event->code, -32603);
    }
    world_call_echo(&w, 1, "s");
    world_answer(&w, world_line(&w), "{\"text\":\"cut: \\ud83d\"}");
    ck_assert_str_eq(world_event(&w)->json, "{\"text\":\"cut: \\ud83d\"}");
    ck_assert_uint_eq(world_info(&w, "s").noise_count, 0);
}
END_TEST

START_TEST(noise_is_counted_and_told_once_and_never_fatal)
{
    static const char *const noise[] = {"Server listening...\n",
                                        "{\"jsonrpc\":\"1.0\",\"id\":1}\n",
                                        "[]\n",
                                        "{\n",
                                        "\x1b[31mred\n",
                                        "\xff\xfe\n",
                                        "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}\n",
                                        "null\n",
                                        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]\n"};
    uint32_t told = 0;

    world_up_legacy(&w, "s");
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        world_say(&w, noise[i]);
    ck_assert_uint_eq(world_info(&w, "s").noise_count, sizeof noise / sizeof noise[0]);
    assert_state("s", UPSTREAM_READY);
    for (const struct mn_trace_event *event; (event = mn_trace_take(&w.trace)) != NULL;)
        if (event->event == MN_EV_SERVER_NOISE) told++;
    ck_assert_uint_eq(told, 1);
    assert_has(world_log(&w, "s"), "stdout, not MCP: Server listening...");
    assert_has(world_log(&w, "s"), "not MCP:  [31mred"); /* no escape gets to a terminal */
    world_call_echo(&w, 1, "s");
    world_answer(&w, world_line(&w), "{}");
    ck_assert_ptr_nonnull(world_event(&w));
}
END_TEST

START_TEST(endless_noise_is_a_break_in_the_end)
{
    char noise[2000];

    memset(noise, '\n', sizeof noise);
    for (size_t i = 0; i < sizeof noise; i += 2)
        noise[i] = 'x';
    world_up_legacy(&w, "s");
    for (int i = 0; i < 99; i++)
        world_say_bytes(&w, 1, mn_span(noise, sizeof noise));
    ck_assert(!world_child(&w)->is_stopped);
    world_say_bytes(&w, 1, mn_span(noise, sizeof noise));
    ck_assert(world_child(&w)->is_stopped);
}
END_TEST

START_TEST(message_over_32_mib_is_a_break)
{
    size_t size = 1 << 20;
    char *block = malloc(size);

    memset(block, 'x', size);
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    for (int i = 0; i < 32; i++)
        world_say_bytes(&w, 1, mn_span(block, size));
    ck_assert(!world_child(&w)->is_stopped);
    world_say_bytes(&w, 1, mn_span(block, size));
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_say_bytes(&w, 1, mn_span(block, size)); /* nobody listens any more */
    free(block);
}
END_TEST

START_TEST(batches_are_accepted_where_the_revision_has_them)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2025-03-26\",\"capabilities\":{\"tools\":{}},"
                 "\"serverInfo\":{}}");
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_call_echo(&w, 1, "s");
    world_call_echo(&w, 2, "s");
    uint64_t a = world_id(world_line(&w)), b = world_id(world_line(&w));
    world_say(&w, world_format(&w,
                               "[{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                               ",\"result\":{\"content\":[]}},{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                               ",\"result\":{\"content\":[{}]}}]\n",
                               b, a));
    ck_assert_uint_eq(world_event(&w)->ticket, 2);
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
}
END_TEST

START_TEST(stderr_is_kept_in_numbered_lines_of_bounded_size)
{
    struct upstream_log_line line = {0};

    world_up_legacy(&w, "s");
    world_say_bytes(&w, 2, mn_span_str("one\r\ntw"));
    world_say_bytes(&w, 2,
                    mn_span_str("o\n\nthr\x1b"
                                "ee \xc3\xa9 \xff"));
    ck_assert_str_eq(world_log(&w, "s"), "one\ntwo\n");
    world_exit(&w, 0); /* its last words come without a newline */
    assert_has(world_log(&w, "s"), "one\ntwo\nthr ee \xc3\xa9 ?\n");
    ck_assert(upstreams_log_next(w.upstreams, mn_span_str("s"), 1, &line));
    ck_assert_uint_eq(line.sequence, 2);
    ck_assert(mn_span_is(line.text, "two"));
    world_pass(&w, MN_SEC);
    for (int i = 0; i < 3000; i++)
        world_say_bytes(&w, 2, mn_span_str("0123456789012345678901234567890123456789\n"));
    ck_assert(upstreams_log_next(w.upstreams, mn_span_str("s"), 0, &line));
    ck_assert_uint_gt(line.sequence, 1000);
    ck_assert_uint_lt(strlen(world_log(&w, "s")), UPSTREAM_LOG_SIZE);
    ck_assert(!upstreams_log_next(w.upstreams, mn_span_str("s"), 1u << 20, &line));
    ck_assert(!upstreams_log_next(w.upstreams, mn_span_str("x"), 0, &line));
}
END_TEST

/* Supervision. */

static void come_up_as(const char *name, const char *session)
{
    world_answer(&w, world_line(&w), session);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    assert_state(name, UPSTREAM_READY);
}

static void come_up_again(const char *name)
{
    come_up_as(name, WORLD_LEGACY);
}

START_TEST(crash_fails_calls_as_unknown_and_a_quick_restart_does_not_show)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_exit(&w, 139);
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->failure, CALL_OUTCOME_UNKNOWN);
    assert_has(event->text, "server s: was killed by signal 11");
    assert_state("s", UPSTREAM_BACKOFF);
    world_call_echo(&w, 2, "s"); /* waits */
    ck_assert_ptr_null(world_event(&w));
    ck_assert_uint_eq(w.children_count, 1);
    world_pass(&w, 500 * MN_MS);
    ck_assert_uint_eq(w.children_count, 2);
    come_up_again("s");
    assert_has(world_line(&w), "tools/call");
    ck_assert_uint_eq(w.offers_count, 1); /* neither withdrawn nor offered again */
    world_pass(&w, 10 * MN_SEC);
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_uint_eq(world_info(&w, "s").starts_count, 2);
}
END_TEST

START_TEST(offer_is_withdrawn_when_it_does_not_come_back_in_time)
{
    world_up_legacy(&w, "s");
    world_exit(&w, 1);
    world_call_echo(&w, 1, "s");
    world_pass(&w, 1900 * MN_MS);
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 200 * MN_MS);
    ck_assert_uint_eq(w.offers_count, 2);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert_int_eq(world_event(&w)->failure, CALL_UNAVAILABLE);
    come_up_again("s");
    ck_assert_uint_eq(w.offers_count, 3);
    ck_assert_ptr_nonnull(world_offer(&w)->body);
}
END_TEST

START_TEST(backoff_doubles_to_a_minute_and_starts_over_after_health)
{
    mn_time expected = 500 * MN_MS;

    world_up_legacy(&w, "s");
    for (int i = 0; i < 10; i++) {
        world_exit(&w, 1);
        mn_time next = world_info(&w, "s").next_start - w.now.mono;
        ck_assert_uint_le(next, expected);
        ck_assert_uint_ge(next, expected - expected / 4 - 1);
        assert_state("s", i < 4 ? UPSTREAM_BACKOFF : UPSTREAM_FAILED);
        world_pass(&w, expected);
        expected = mn_time_min(2 * expected, 60 * MN_SEC);
    }
    come_up_again("s");
    world_pass(&w, 61 * MN_SEC);
    world_exit(&w, 1);
    ck_assert_uint_le(world_info(&w, "s").next_start - w.now.mono, 500 * MN_MS);
}
END_TEST

START_TEST(server_that_is_long_away_refuses_calls_at_once)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    for (int i = 0; i < 4; i++) {
        world_exit(&w, 3);
        world_pass(&w, i < 3 ? 10 * MN_SEC : 0);
    }
    world_call_echo(&w, 1, "s");
    struct world_event *event = world_event(&w);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
    assert_has(event->text, "exited with status 3");
}
END_TEST

START_TEST(command_that_cannot_be_started_says_why)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_child(&w)->is_gone = true;
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT,
                                        .id = world_child(&w)->id,
                                        .code = 127,
                                        .status = MN_IO,
                                        .text = mn_span_str("command not found: tool")});
    assert_state("s", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "s").error.data, "command not found: tool");
    world_pass(&w, MN_SEC);
    assert_has(world_line(&w), "server/discover"); /* it says nothing about the era */
}
END_TEST

START_TEST(removed_server_is_withdrawn_stopped_and_forgotten)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    ck_assert_uint_eq(upstreams_count(w.upstreams), 0);
    ck_assert(!upstreams_is_idle(w.upstreams));
    uint64_t old = world_child(&w)->id;
    world_up_legacy(&w, "s"); /* a new one may use the name at once */
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_OUT,
                                        .id = old,
                                        .code = 1,
                                        .bytes = mn_span_str("{\"late\":1}\n")});
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = old});
    assert_state("s", UPSTREAM_READY);
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("x"), &w.outbox, &w.why),
                     MN_NOT_FOUND);
    assert_has((const char *)w.why.data, "\"x\"");
}
END_TEST

START_TEST(restart_waits_for_the_exit)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    ck_assert_int_eq(upstreams_restart(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_call_echo(&w, 2, "s"); /* waits */
    ck_assert_ptr_null(world_event(&w));
    ck_assert_uint_eq(w.children_count, 1);
    world_exit(&w, 0);
    ck_assert_uint_eq(w.children_count, 2);
    come_up_again("s");
    assert_has(world_line(&w), "tools/call");
    ck_assert_uint_eq(w.offers_count, 1);
}
END_TEST

START_TEST(stop_drains_calls_and_then_stops_children)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_stop(&w);
    ck_assert_ptr_null(world_offer(&w)->body);
    ck_assert(!world_child(&w)->is_stopped);
    world_call_echo(&w, 2, "s");
    ck_assert_int_eq(world_event(&w)->failure, CALL_NOT_FOUND);
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    ck_assert_int_eq(world_event(&w)->kind, CALL_EVENT_RESULT);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert(!upstreams_is_idle(w.upstreams));
    world_exit(&w, 0);
    ck_assert(upstreams_is_idle(w.upstreams));
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), MN_TIME_NEVER);
}
END_TEST

START_TEST(stop_does_not_wait_for_ever)
{
    world_up_legacy(&w, "s");
    world_call_echo(&w, 1, "s");
    world_stop(&w);
    world_pass(&w, UPSTREAMS_DRAIN + 1);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_exit(&w, 143);
    ck_assert(upstreams_is_idle(w.upstreams));
    world_pass(&w, 100 * MN_SEC);
    ck_assert_uint_eq(w.children_count, 1); /* nothing is started any more */
}
END_TEST

START_TEST(servers_do_not_disturb_each_other)
{
    world_up_legacy(&w, "b");
    uint64_t b = world_child(&w)->id;
    world_up_legacy(&w, "a");
    world_call_echo(&w, 1, "b");
    world_call_echo(&w, 2, "a");
    /* One child cannot answer what another one was asked. */
    world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":{}}\n",
                               world_id(world_line(&w)) - 1));
    ck_assert_ptr_null(world_event(&w));
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = b, .code = 1});
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
    assert_state("a", UPSTREAM_READY);
    struct upstream_info info;
    upstreams_info(w.upstreams, 0, &info);
    ck_assert(mn_span_is(info.name, "a"));
    upstreams_info(w.upstreams, 1, &info);
    ck_assert(mn_span_is(info.name, "b"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_stdio");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, legacy_child_is_initialized_listed_and_offered);
    tcase_add_test(tc, modern_child_is_discovered_and_offered);
    tcase_add_loop_test(tc, probe_error_decides_the_era, 0,
                        sizeof probe_errors / sizeof probe_errors[0]);
    tcase_add_test(tc, discover_result_with_older_versions_only_means_legacy);
    tcase_add_test(tc, modern_setting_never_falls_back);
    tcase_add_test(tc, silence_after_the_probe_means_legacy);
    tcase_add_test(tc, slow_modern_child_is_still_modern);
    tcase_add_test(tc, exit_during_the_probe_means_legacy_and_an_immediate_restart);
    tcase_add_test(tc, guess_from_an_exit_is_forgotten_when_it_does_not_help);
    tcase_add_test(tc, unknown_legacy_version_is_refused);
    tcase_add_test(tc, hung_handshake_is_stopped_and_repeated);
    tcase_add_test(tc, hung_list_is_a_break);
    tcase_add_test(tc, server_without_tools_is_offered_empty);
    tcase_add_test(tc, pages_are_drained_and_an_empty_cursor_is_a_cursor);
    tcase_add_test(tc, repeated_cursor_ends_the_list);
    tcase_add_test(tc, pages_without_end_end_the_list);
    tcase_add_loop_test(tc, more_than_5000_tools_are_refused, 0, 2);
    tcase_add_test(tc, bad_tools_are_left_out_and_counted);
    tcase_add_test(tc, only_exported_tools_are_offered_and_callable);
    tcase_add_test(tc, list_changed_is_coalesced_and_offered_only_if_it_differs);
    tcase_add_test(tc, modern_child_is_listened_to);
    tcase_add_test(tc, call_goes_verbatim_and_its_result_comes_back_verbatim);
    tcase_add_test(tc, newlines_in_params_do_not_break_the_line);
    tcase_add_test(tc, modern_call_carries_our_meta_and_not_that_of_the_hop);
    tcase_add_test(tc, legacy_call_has_no_modern_keys);
    tcase_add_test(tc, progress_comes_before_the_result_and_without_our_token);
    tcase_add_test(tc, progress_nobody_asked_for_is_dropped);
    tcase_add_test(tc, errors_of_the_server_are_forwarded_as_they_are);
    tcase_add_test(tc, result_that_is_not_complete_is_an_error);
    tcase_add_test(tc, answers_find_their_calls_in_any_order);
    tcase_add_test(tc, cancel_tells_the_server_with_its_own_id);
    tcase_add_test(tc, what_is_said_of_a_call_that_was_given_up_is_nobodys);
    tcase_add_test(tc, bad_requests_are_answered_and_never_written);
    tcase_add_test(tc, service_may_be_named_with_its_node);
    tcase_add_test(tc, call_that_came_round_is_refused);
    tcase_add_test(tc, calls_beyond_the_limit_are_busy);
    tcase_add_test(tc, child_that_does_not_read_makes_calls_busy);
    tcase_add_test(tc, call_timeout_gives_up_unless_there_is_progress);
    tcase_add_test(tc, codes_of_the_protocol_are_a_legacy_servers_own);
    tcase_add_test(tc, a_capability_that_is_missing_is_said_as_such);
    tcase_add_test(tc, child_of_another_era_is_asked_again_and_the_call_sent_again);
    tcase_add_test(tc, server_requests_are_answered);
    tcase_add_test(tc, messages_may_be_cut_anywhere);
    tcase_add_test(tc, an_answer_that_is_none_ends_its_call);
    tcase_add_test(tc, noise_is_counted_and_told_once_and_never_fatal);
    tcase_add_test(tc, endless_noise_is_a_break_in_the_end);
    tcase_add_test(tc, message_over_32_mib_is_a_break);
    tcase_add_test(tc, batches_are_accepted_where_the_revision_has_them);
    tcase_add_test(tc, stderr_is_kept_in_numbered_lines_of_bounded_size);
    tcase_add_test(tc, crash_fails_calls_as_unknown_and_a_quick_restart_does_not_show);
    tcase_add_test(tc, offer_is_withdrawn_when_it_does_not_come_back_in_time);
    tcase_add_test(tc, backoff_doubles_to_a_minute_and_starts_over_after_health);
    tcase_add_test(tc, server_that_is_long_away_refuses_calls_at_once);
    tcase_add_test(tc, command_that_cannot_be_started_says_why);
    tcase_add_test(tc, removed_server_is_withdrawn_stopped_and_forgotten);
    tcase_add_test(tc, restart_waits_for_the_exit);
    tcase_add_test(tc, stop_drains_calls_and_then_stops_children);
    tcase_add_test(tc, stop_does_not_wait_for_ever);
    tcase_add_test(tc, servers_do_not_disturb_each_other);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
