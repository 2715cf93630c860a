/* Calls of MCP servers, as child processes. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "node/mcp/upstream/upstream.h"
#include "tests/mcp/upstream_checks.h"
#include "tests/suite.h"

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

static int code_of_read(uint64_t ticket, bool is_live, const char *method, const char *data)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .method = method,
                                        .params = "{\"uri\":\"x://y\",\"name\":\"echo\"}",
                                        .is_live = is_live});
    world_error(&w, world_line(&w), -32602, data);
    return world_event(&w)->code;
}

START_TEST(what_a_modern_server_does_not_find_has_its_legacy_code)
{
    const char *uri = "{\"uri\":\"x://y\"}";

    world_up_modern(&w, "s");
    ck_assert_int_eq(code_of_read(1, true, "resources/read", uri), -32002);
    ck_assert_int_eq(code_of_read(2, false, "resources/read", uri), -32602);
    ck_assert_int_eq(code_of_read(3, true, "prompts/get", uri), -32602);
    ck_assert_int_eq(code_of_read(4, true, "resources/read", "{\"why\":1}"), -32602);
}
END_TEST

START_TEST(what_a_legacy_server_says_of_a_resource_stays)
{
    world_up_legacy(&w, "s");
    ck_assert_int_eq(code_of_read(1, true, "resources/read", "{\"uri\":\"x://y\"}"), -32602);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_stdio");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
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
    tcase_add_test(tc, what_a_modern_server_does_not_find_has_its_legacy_code);
    tcase_add_test(tc, what_a_legacy_server_says_of_a_resource_stays);
    tcase_add_test(tc, child_of_another_era_is_asked_again_and_the_call_sent_again);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
