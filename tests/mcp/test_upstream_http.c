/* MCP servers over Streamable HTTP: what is asked with which headers, and every way an endpoint may
 * answer. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/param_headers.h"
#include "proto/gateway.pb-c.h"
#include "tests/mcp/upstream_endpoint.h"
#include "tests/suite.h"

/* Handshakes. */

START_TEST(modern_endpoint_is_discovered)
{
    ck_assert_int_eq(world_add_url(&w, "h", "https://up.example/mcp?k=v", UPSTREAM_ERA_AUTO),
                     MN_OK);
    struct world_fetch *fetch = next_request("server/discover");
    ck_assert_str_eq(fetch->method, "POST");
    ck_assert_str_eq(fetch->url, "https://up.example/mcp?k=v");
    assert_header(fetch, "content-type", "application/json");
    assert_header(fetch, "accept", "application/json, text/event-stream");
    assert_header(fetch, "mcp-protocol-version", "2026-07-28");
    assert_header(fetch, "mcp-method", "server/discover");
    assert_header(fetch, "mcp-session-id", NULL);
    assert_header(fetch, "x-api-key", "k-123");
    assert_header(fetch, "meshnode-trail", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
    ck_assert(mn_span_is(world_info(&w, "h").target, "https://up.example/mcp"));
    world_reply_result(&w, fetch, WORLD_MODERN);
    fetch = next_request("tools/list");
    assert_header(fetch, "mcp-method", "tools/list");
    world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
    assert_state("h", UPSTREAM_READY);
    ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
    ck_assert_ptr_null(world_fetch(&w));
}
END_TEST

START_TEST(legacy_endpoint_is_initialized_with_its_session)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply(&w, next_request("server/discover"), 400, NULL, "Bad Request: no session");
    struct world_fetch *fetch = next_request("initialize");
    assert_header(fetch, "mcp-protocol-version", NULL);
    assert_header(fetch, "mcp-method", NULL);
    assert_has(fetch->body, "\"capabilities\":{}");
    world_head(&w, fetch, 200, SSE, "id-\x7e!42");
    world_body(&w, fetch, event(result_of(fetch, WORLD_LEGACY)));
    world_end(&w, fetch, MN_OK, "");
    fetch = next_request("notifications/initialized");
    assert_header(fetch, "mcp-session-id", "id-\x7e!42");
    assert_header(fetch, "mcp-protocol-version", "2025-11-25");
    ck_assert_ptr_null(world_fetch(&w)); /* in that order, on whatever connection */
    world_reply(&w, fetch, 202, NULL, NULL);
    fetch = next_request("tools/list");
    assert_header(fetch, "mcp-session-id", "id-\x7e!42");
    world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
    assert_state("h", UPSTREAM_READY);
    fetch = world_fetch(&w); /* and the stream for what belongs to no request */
    ck_assert_str_eq(fetch->method, "GET");
    assert_header(fetch, "accept", "text/event-stream");
    assert_header(fetch, "mcp-session-id", "id-\x7e!42");
}
END_TEST

START_TEST(legacy_endpoint_needs_no_session)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    world_reply_result(&w, next_request("initialize"), WORLD_LEGACY);
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    struct world_fetch *fetch = next_request("tools/list");
    assert_header(fetch, "mcp-session-id", NULL);
    world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
    assert_state("h", UPSTREAM_READY);
}
END_TEST

/* What the answer to server/discover means. */
enum verdict { MODERN, LEGACY, OUTAGE, AUTH };
static const struct {
    uint32_t code;
    const char *type;
    int error; /* 0: [text] as it is */
    const char *text;
    enum verdict verdict;
} probes[] = {
    {200, JSON, 0, NULL, MODERN},
    {200, JSON, -32601, "", LEGACY},
    {400, JSON, -32602, "", LEGACY},
    {400, JSON, -32000, "", LEGACY},
    {404, JSON, -32601, "", LEGACY},
    {400, JSON, -32022, "{\"supported\":[\"2025-11-25\"]}", LEGACY},
    {400, JSON, -32022, "{\"supported\":[\"2031-01-01\"]}", OUTAGE},
    {400, JSON, -32020, "", OUTAGE},
    {400, "text/html", 0, "<html>", LEGACY},
    {400, JSON, 0, "{\"error\":\"what?\"}", LEGACY},
    {400, JSON, 0,
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"Bad Request\"}}",
     LEGACY},
    {404, NULL, 0, "", LEGACY},
    {405, NULL, 0, "", LEGACY},
    {406, NULL, 0, "", LEGACY},
    {202, NULL, 0, "", LEGACY},
    {200, "text/html", 0, "hello", LEGACY},
    {200, SSE, 0, ": nothing\n\n", LEGACY},
    {200, JSON, 0, "not json", LEGACY},
    {500, NULL, 0, "", OUTAGE},
    {503, JSON, 0, "{}", OUTAGE},
    {401, NULL, 0, "", AUTH},
    {403, JSON, 0, "{}", AUTH},
};

START_TEST(answer_to_the_probe_decides_the_era)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    struct world_fetch *fetch = next_request("server/discover");
    const char *text = probes[_i].text;
    if (text == NULL) text = result_of(fetch, WORLD_MODERN);
    if (probes[_i].error != 0) text = error_of(fetch, probes[_i].error, text);
    world_reply(&w, fetch, probes[_i].code, probes[_i].type, text);
    switch (probes[_i].verdict) {
    case MODERN: next_request("tools/list"); break;
    case LEGACY: next_request("initialize"); break;
    case OUTAGE: assert_state("h", UPSTREAM_BACKOFF); break;
    case AUTH:
        assert_state("h", UPSTREAM_AUTH);
        assert_has((const char *)world_info(&w, "h").error.data, "credentials");
        break;
    }
    if (probes[_i].verdict < OUTAGE) return;
    ck_assert_ptr_null(world_fetch(&w));
    world_pass(&w, MN_SEC);
    next_request("server/discover"); /* nothing was learned about the era */
}
END_TEST

START_TEST(outage_is_no_evidence)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_end(&w, next_request("server/discover"), MN_UNREACHABLE, "Connection refused");
    assert_state("h", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "h").error.data, "Connection refused");
    world_pass(&w, MN_SEC);
    struct world_fetch *fetch = next_request("server/discover");
    world_pass(&w, 31 * MN_SEC); /* silence */
    ck_assert(fetch->is_cancelled);
    next_request("server/discover");
}
END_TEST

START_TEST(endpoint_that_is_no_mcp_at_all_says_so)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply(&w, next_request("server/discover"), 404, NULL, "");
    world_reply(&w, next_request("initialize"), 404, "text/html", "<html>");
    assert_state("h", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "h").error.data, "HTTP 404");
}
END_TEST

/* As many do where "/" is missing at the end. */
START_TEST(endpoint_that_redirects_says_so)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply(&w, next_request("server/discover"), 307, NULL, "");
    world_reply(&w, next_request("initialize"), 307, NULL, "");
    assert_state("h", UPSTREAM_BACKOFF);
    assert_has((const char *)world_info(&w, "h").error.data, "redirects (HTTP 307)");
}
END_TEST

/* It was modern, and another one answers where it was. */
START_TEST(endpoint_that_is_not_modern_any_more_is_asked_as_any_other)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    world_call_echo(&w, 1, "h");
    world_end(&w, next_request("tools/call"), MN_UNREACHABLE, "Connection refused");
    world_pass(&w, MN_SEC);
    world_reply(&w, next_request("server/discover"), 404, NULL, "");
    if (_i == 0) {
        world_reply(&w, next_request("initialize"), 404, NULL, "");
        assert_state("h", UPSTREAM_BACKOFF);
        assert_has((const char *)world_info(&w, "h").error.data, "HTTP 404");
    } else {
        world_reply_result(&w, next_request("initialize"), WORLD_LEGACY);
        world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
        world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
        assert_state("h", UPSTREAM_READY);
        ck_assert(!world_info(&w, "h").is_modern);
    }
}
END_TEST

START_TEST(tools_with_wrong_marks_are_dropped_over_http_only)
{
    const char *tools =
        "[{\"name\":\"good\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
        "\"r\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"}}}},"
        "{\"name\":\"number\",\"inputSchema\":{\"properties\":{"
        "\"r\":{\"type\":\"number\",\"x-mcp-header\":\"R\"}}}},"
        "{\"name\":\"twice\",\"inputSchema\":{\"properties\":{"
        "\"a\":{\"type\":\"string\",\"x-mcp-header\":\"R\"},"
        "\"b\":{\"type\":\"string\",\"x-mcp-header\":\"r\"}}}},"
        "{\"name\":\"blank\",\"inputSchema\":{\"properties\":{"
        "\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a b\"}}}},"
        "{\"name\":\"empty\",\"inputSchema\":{\"properties\":{"
        "\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}}}},"
        "{\"name\":\"items\",\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"array\","
        "\"items\":{\"type\":\"string\",\"x-mcp-header\":\"R\"}}}}},"
        "{\"name\":\"oneof\",\"inputSchema\":{\"oneOf\":[{\"properties\":{"
        "\"a\":{\"type\":\"string\",\"x-mcp-header\":\"R\"}}}]}},"
        "{\"name\":\"root\",\"inputSchema\":{\"type\":\"string\",\"x-mcp-header\":\"R\"}},"
        "{\"name\":\"data\",\"inputSchema\":{\"default\":{\"x-mcp-header\":\"R\"}}}]";

    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, tools));
    ck_assert_str_eq(world_offer(&w)->tools, "good data ");
    ck_assert_uint_eq(world_info(&w, "h").tools_dropped_count, 7);
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    world_answer(&w, world_line(&w), world_tools_result(&w, tools));
    ck_assert_uint_eq(world_offer(&w)->tools_count, 9);
}
END_TEST

/* Calls. */

START_TEST(modern_call_repeats_itself_in_headers)
{
    const char *tools =
        "[{\"name\":\"f\xc3\xa9\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
        "\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"
        "\"n\":{\"type\":\"integer\",\"x-mcp-header\":\"Count\"},"
        "\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"Flag\"},"
        "\"gone\":{\"type\":\"string\",\"x-mcp-header\":\"Gone\"},"
        "\"null\":{\"type\":\"string\",\"x-mcp-header\":\"Null\"},"
        "\"deep\":{\"type\":\"object\",\"properties\":{\"er\":{\"type\":\"string\","
        "\"x-mcp-header\":\"Deeper\"}}}}}}]";

    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, tools));
    world_call(&w,
               &(struct world_call){
                   .ticket = 1,
                   .service = "h",
                   .params = "{\"name\":\"f\xc3\xa9\",\"arguments\":{\"region\":\"eu\",\"n\":42,"
                             "\"b\":true,\"null\":null,\"deep\":{\"er\":\" x\"}}}"});
    struct world_fetch *fetch = next_request("tools/call");
    assert_header(fetch, "mcp-method", "tools/call");
    assert_header(fetch, "mcp-name", "=?base64?ZsOp?=");
    assert_header(fetch, "mcp-param-region", "eu");
    assert_header(fetch, "mcp-param-count", "42");
    assert_header(fetch, "mcp-param-flag", "true");
    assert_header(fetch, "mcp-param-deeper", "=?base64?IHg=?=");
    assert_header(fetch, "mcp-param-gone", NULL);
    assert_header(fetch, "mcp-param-null", NULL);
    assert_header(fetch, "mcp-protocol-version", "2026-07-28");
    world_reply_result(&w, fetch, "{\"resultType\":\"complete\",\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->json, "{\"resultType\":\"complete\",\"content\":[]}");
}
END_TEST

/* It is the server's to say that there is none of that name. */
START_TEST(an_empty_name_is_repeated_too)
{
    static const char *const calls[][2] = {{"tools/call", "{\"name\":\"\"}"},
                                           {"resources/read", "{\"uri\":\"\"}"},
                                           {"tools/call", "{}"}};
    struct world_fetch *fetch;

    world_up_http_modern(&w, "h");
    world_call(&w,
               &(struct world_call){
                   .ticket = 1, .service = "h", .method = calls[_i][0], .params = calls[_i][1]});
    fetch = next_request(calls[_i][0]);
    assert_header(fetch, "mcp-name", _i < 2 ? "" : NULL);
}
END_TEST

START_TEST(sentinel_is_used_exactly_where_it_must)
{
    static const char *const plain[] = {
        "", "a", "a b", "a\tb", "=?base64?", "?=", "=?BASE64?YQ==?="};
    static const char *const coded[][2] = {{" a", "=?base64?IGE=?="},
                                           {"a ", "=?base64?YSA=?="},
                                           {"a\nb", "=?base64?YQpi?="},
                                           {"\x7f", "=?base64?fw==?="},
                                           {"=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="}};
    struct mn_arena arena = {0};

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        struct mn_span value = param_headers_value(mn_span_str(plain[i]), &arena);
        ck_assert_msg(mn_span_is(value, plain[i]), "%s", plain[i]);
    }
    for (size_t i = 0; i < sizeof coded / sizeof coded[0]; i++) {
        struct mn_span value = param_headers_value(mn_span_str(coded[i][0]), &arena);
        ck_assert_msg(mn_span_is(value, coded[i][1]), "%.*s", (int)value.size,
                      (const char *)value.data);
    }
    mn_arena_done(&arena);
}
END_TEST

START_TEST(header_mismatch_refreshes_the_list_and_retries_once)
{
    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call");
    uint64_t first = world_id(call->body);
    world_reply(&w, call, 400, JSON, error_of(call, -32020, ""));
    ck_assert_ptr_null(world_event(&w));
    world_reply_result(
        &w, next_request("tools/list"),
        world_tools_result(&w, "[{\"name\":\"echo\",\"inputSchema\":{\"properties\":{"
                               "\"text\":{\"type\":\"string\",\"x-mcp-header\":\"Text\"}}}}]"));
    call = next_request("tools/call");
    ck_assert_uint_ne(world_id(call->body), first);
    assert_header(call, "mcp-param-text", "hi");
    world_reply(&w, call, 400, JSON, error_of(call, -32020, ""));
    struct world_event *event_ = world_event(&w);
    ck_assert_str_eq(event_->what, "error");
    ck_assert_int_eq(event_->code, -32603); /* that is between us and the server */
}
END_TEST

START_TEST(answers_come_as_json_or_as_a_stream_cut_anywhere)
{
    world_up_http_modern(&w, "h");
    for (size_t cut = 0; cut < 220; cut++) {
        world_call(&w, &(struct world_call){.ticket = 1 + cut,
                                            .service = "h",
                                            .params = "{\"name\":\"echo\"}",
                                            .wants_progress = true});
        struct world_fetch *fetch = next_request("tools/call");
        const char *text = world_format(
            &w,
            ": hello\r\n\r\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
            "\"notifications/progress\",\r\ndata: \"params\":{\"progress\":1,\"progressToken\":"
            "%" PRIu64 ",\"message\":\"\xc3\xa9\"}}\r\n\r\ndata: %s\r\r",
            world_id(fetch->body), result_of(fetch, "{\"content\":[]}"));
        size_t at = cut % strlen(text);
        world_head(&w, fetch, 200, SSE, NULL);
        world_body(&w, fetch, world_format(&w, "%.*s", (int)at, text));
        world_body(&w, fetch, text + at);
        struct world_event *progress = world_event(&w), *result = world_event(&w);
        ck_assert_str_eq(progress->json, "{\"progress\":1,\"message\":\"\xc3\xa9\"}");
        ck_assert_str_eq(result->what, "result");
        ck_assert_uint_eq(result->ticket, 1 + cut);
        world_end(&w, fetch, MN_OK, "");
        ck_assert(!fetch->is_cancelled);
        ck_assert_ptr_null(world_event(&w));
    }
}
END_TEST

/* As fetch() reads JSON: a short answer, and one that is checked as it comes. */
START_TEST(a_mark_before_an_answer_is_passed_over)
{
    size_t size = _i == 0 ? 10 : 2 * JSONRPC_LARGE;
    struct world_fetch *fetch;

    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    fetch = next_request("tools/call");
    world_head(&w, fetch, 200, JSON, NULL);
    world_body(&w, fetch, "\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"result\":{\"text\":\"");
    for (size_t i = 0; i < size; i += 10)
        world_body(&w, fetch, "0123456789");
    world_body(&w, fetch, world_format(&w, "\"},\"id\":%" PRIu64 "}", world_id(fetch->body)));
    world_end(&w, fetch, MN_OK, "");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(stream_that_stays_open_after_its_answer_is_closed)
{
    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    struct world_fetch *fetch = next_request("tools/call");
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, event(result_of(fetch, "{}")));
    ck_assert_ptr_nonnull(world_event(&w));
    ck_assert(!fetch->is_cancelled);
    world_pass(&w, 1100 * MN_MS);
    ck_assert(fetch->is_cancelled);
}
END_TEST

/* What an answer without a message means for a call that was sent. */
static const struct {
    uint32_t code; /* 0: broken connection */
    const char *type, *text;
    enum call_failure failure;
} failures[] = {
    {500, NULL, "", CALL_UPSTREAM},
    {500, JSON, "{}", CALL_UPSTREAM},
    {200, "text/plain", "hi", CALL_UPSTREAM},
    {200, JSON, "hi", CALL_UPSTREAM},
    {202, NULL, "", CALL_UPSTREAM},
    {302, NULL, "", CALL_UPSTREAM},
    {403, NULL, "", CALL_UPSTREAM},
    {401, NULL, "", CALL_UPSTREAM},
    {429, NULL, "", CALL_BUSY},
    {502, NULL, "", CALL_OUTCOME_UNKNOWN},
    {504, NULL, "", CALL_OUTCOME_UNKNOWN},
    {200, SSE, ": bye\n\n", CALL_OUTCOME_UNKNOWN},
    {0, NULL, "", CALL_OUTCOME_UNKNOWN},
};

START_TEST(answer_without_a_message_is_a_clear_failure)
{
    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    struct world_fetch *fetch = next_request("tools/call");
    if (failures[_i].code == 0)
        world_end(&w, fetch, MN_IO, "connection reset");
    else
        world_reply(&w, fetch, failures[_i].code, failures[_i].type, failures[_i].text);
    struct world_event *event_ = world_event(&w);
    ck_assert_int_eq(event_->kind, CALL_EVENT_FAILED);
    ck_assert_str_eq(call_failure_name(event_->failure), call_failure_name(failures[_i].failure));
    assert_has(event_->text, "server h: ");
    assert_state("h", failures[_i].code == 401 ? UPSTREAM_AUTH : UPSTREAM_READY);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(unreachable_endpoint_did_not_execute_anything)
{
    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    world_call_echo(&w, 2, "h");
    struct world_fetch *first = next_request("tools/call"), *second = next_request("tools/call");
    world_end(&w, first, MN_UNREACHABLE, "Connection refused");
    ck_assert_int_eq(world_event(&w)->failure, CALL_UNAVAILABLE);
    assert_state("h", UPSTREAM_BACKOFF);
    world_reply_result(&w, second, "{}"); /* a call of its own: it got through */
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_pass(&w, 2100 * MN_MS);
    ck_assert_ptr_null(world_offer(&w)->body);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    ck_assert_ptr_nonnull(world_offer(&w)->body);
}
END_TEST

START_TEST(cancel_closes_a_modern_stream_and_tells_a_legacy_server)
{
    world_up_http_modern(&w, "m");
    world_call_echo(&w, 1, "m");
    struct world_fetch *fetch = next_request("tools/call");
    world_cancel(&w, 1);
    ck_assert(fetch->is_cancelled);
    ck_assert_ptr_null(world_fetch(&w));
    world_up_http(&w, "l");
    world_fetch(&w); /* GET */
    world_call_echo(&w, 2, "l");
    fetch = next_request("tools/call");
    world_cancel(&w, 2);
    ck_assert(fetch->is_cancelled);
    struct world_fetch *notice = next_request("notifications/cancelled");
    assert_has(notice->body, world_format(&w, "\"requestId\":%" PRIu64 ",", world_id(fetch->body)));
    world_reply(&w, notice, 202, NULL, NULL);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(forgotten_session_is_opened_again_and_the_call_sent_again)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_pass(&w, 10 * MN_SEC);
    world_call_echo(&w, 1, "h");
    world_call_echo(&w, 2, "h");
    struct world_fetch *a = next_request("tools/call"), *b = next_request("tools/call");
    if (_i == 0)
        world_reply(&w, a, 404, JSON, error_of(a, -32001, ""));
    else
        world_reply(&w, a, 400, JSON,
                    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":"
                    "\"Bad Request: No valid session ID provided\"}}");
    ck_assert(stream->is_cancelled);
    struct world_fetch *fetch = next_request("initialize");
    assert_header(fetch, "mcp-session-id", NULL);
    world_reply(&w, b, 404, NULL, NULL);
    world_head(&w, fetch, 200, JSON, "sess-2");
    world_body(&w, fetch, result_of(fetch, WORLD_LEGACY));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "GET");
    a = next_request("tools/call");
    assert_header(a, "mcp-session-id", "sess-2");
    world_reply_result(&w, a, "{}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    if (_i == 1) return;
    world_reply(&w, next_request("tools/call"), 404, NULL, NULL); /* again: that is enough */
    ck_assert_int_eq(world_event(&w)->failure, CALL_UPSTREAM);
    ck_assert_uint_eq(w.offers_count, 1);
}
END_TEST

/* Up to READY, in a session of that id. */
static void open_logging(struct world_fetch *fetch, const char *session)
{
    world_head(&w, fetch, 200, JSON, session);
    world_body(&w, fetch, result_of(fetch, WORLD_LEGACY_LOGS));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    ck_assert_str_eq(world_fetch(&w)->method, "GET");
}

START_TEST(log_level_is_set_in_the_session_that_follows_a_forgotten_one)
{
    struct world_fetch *call;

    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    open_logging(next_request("initialize"), "sess-1");
    world_pass(&w, 10 * MN_SEC);
    world_call(
        &w,
        &(struct world_call){
            .ticket = 1, .service = "h", .params = "{}", .session = "ann", .log_level = "warning"});
    for (int i = 0; i < 2; i++) {
        call = next_request("logging/setLevel");
        assert_has(call->body, "\"level\":\"warning\"");
        assert_header(call, "mcp-session-id", i == 0 ? "sess-1" : "sess-2");
        world_reply_result(&w, call, "{}");
        call = next_request("tools/call");
        if (i == 0) world_reply(&w, call, 404, NULL, NULL); /* the server was started again */
        if (i == 0) open_logging(next_request("initialize"), "sess-2");
    }
    world_reply_result(&w, call, "{}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(endpoint_that_changed_its_era_is_asked_again)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    world_pass(&w, 5 * MN_SEC);
    world_call_echo(&w, 1, "h");
    world_reply(&w, next_request("tools/call"), 400, NULL, "session required");
    world_reply(&w, next_request("server/discover"), 400, NULL, "session required");
    world_reply_result(&w, next_request("initialize"), WORLD_LEGACY);
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    world_reply(&w, world_fetch(&w), 405, NULL, NULL); /* GET */
    struct world_fetch *call = next_request("tools/call");
    assert_header(call, "mcp-method", NULL);
    world_pass(&w, 5 * MN_SEC);
    /* And back, while the call is out. */
    world_reply(&w, call, 400, JSON, error_of(call, -32022, "{\"supported\":[\"2026-07-28\"]}"));
    ck_assert_int_eq(world_event(&w)->code, -32603); /* it was sent twice already */
    world_call_echo(&w, 2, "h");
    call = next_request("tools/call");
    world_reply(&w, call, 400, JSON, error_of(call, -32022, "{\"supported\":[\"2026-07-28\"]}"));
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    call = next_request("tools/call");
    assert_header(call, "mcp-method", "tools/call");
}
END_TEST

START_TEST(broken_stream_is_resumed_with_its_last_event)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL); /* GET */
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call");
    world_head(&w, call, 200, SSE, NULL);
    world_body(&w, call, "id: e-1\nretry: 3000\ndata:\n\n"); /* priming */
    world_end(&w, call, MN_OK, "");
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 2900 * MN_MS);
    ck_assert_ptr_null(world_fetch(&w));
    world_pass(&w, 200 * MN_MS);
    struct world_fetch *fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "GET");
    assert_header(fetch, "last-event-id", "e-1");
    assert_header(fetch, "mcp-session-id", "sess-1");
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, "id: e-2\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n\n");
    world_end(&w, fetch, MN_IO, "reset");
    struct world_fetch *pong = world_fetch(&w);
    assert_has(pong->body, "\"id\":7,\"result\":{}");
    world_pass(&w, 1100 * MN_MS);
    fetch = world_fetch(&w);
    assert_header(fetch, "last-event-id", "e-2");
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, event(result_of(call, "{\"content\":[]}")));
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_end(&w, fetch, MN_OK, "");
}
END_TEST

static struct world_fetch *call_that_ends(uint64_t ticket, bool is_live, mn_status status)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "h",
                                        .params = "{\"name\":\"echo\"}",
                                        .is_live = is_live});
    struct world_fetch *call = next_request("tools/call");
    world_head(&w, call, 200, SSE, NULL);
    world_body(&w, call, "id: e-1\nretry: 3000\ndata:\n\n");
    world_end(&w, call, status, "");
    return call;
}

START_TEST(who_ends_its_stream_is_mirrored_to_clients_of_sessions)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL); /* GET */
    call_that_ends(1, true, MN_IO);                    /* broken off: the client need not know */
    ck_assert_ptr_null(world_event(&w));
    call_that_ends(2, false, MN_OK);
    ck_assert_ptr_null(world_event(&w));
    struct world_fetch *call = call_that_ends(3, true, MN_OK);
    struct world_event *event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 3);
    ck_assert_str_eq(event->what, "away");
    ck_assert_str_eq(event->json, "3000");
    world_cancel(&w, 1);
    world_cancel(&w, 2);
    for (int i = 0; i < 2; i++)
        world_reply(&w, next_request("notifications/cancelled"), 202, NULL, NULL);
    world_pass(&w, 3200 * MN_MS); /* the client comes first */
    ck_assert_ptr_null(world_fetch(&w));
    world_pass(&w, 100 * MN_MS);
    struct world_fetch *fetch = world_fetch(&w);
    assert_header(fetch, "last-event-id", "e-1");
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, world_format(&w, "data: %s\n\n", result_of(call, "{\"content\":[]}")));
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_end(&w, fetch, MN_OK, "");
}
END_TEST

/* Up to READY, with lists that come as a stream or as JSON. */
static bool is_streaming(const char *name, bool is_stream)
{
    struct world_fetch *fetch;

    ck_assert_int_eq(world_add_url(&w, name, "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    fetch = next_request("initialize");
    world_head(&w, fetch, 200, JSON, "sess-1");
    world_body(&w, fetch, result_of(fetch, WORLD_LEGACY));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    fetch = next_request("tools/list");
    const char *text = result_of(fetch, world_tools_result(&w, WORLD_TOOLS));
    world_reply(&w, fetch, 200, is_stream ? SSE : JSON, is_stream ? event(text) : text);
    world_reply(&w, world_fetch(&w), 405, NULL, NULL); /* GET */
    ck_assert_str_eq(world_offer(&w)->name, name);
    return world_offer(&w)->is_streaming;
}

START_TEST(an_offer_says_how_its_server_answers)
{
    ck_assert(is_streaming("a", true));
    ck_assert(!is_streaming("b", false));
    world_up_http_modern(&w, "c");
    ck_assert(world_offer(&w)->is_streaming); /* in sessions, for all that is known */
    world_up_legacy(&w, "d");
    ck_assert(world_offer(&w)->is_streaming);
}
END_TEST

/* A list that comes from those meshes, as it says; NULL: it says nothing. */
static void list_from(struct world_fetch *fetch, const char *result, const char *meshes)
{
    const struct edge_header headers[] = {
        {mn_span_str("content-type"), mn_span_str(JSON)},
        {mn_span_str("meshnode-meshes"), mn_span_str(meshes == NULL ? "" : meshes)}};

    world_edge(&w, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                        .id = fetch->id,
                                        .code = 200,
                                        .headers = headers,
                                        .headers_count = meshes == NULL ? 1 : 2});
    world_body(&w, fetch, result_of(fetch, result));
    world_end(&w, fetch, MN_OK, "");
}

START_TEST(an_offer_says_what_meshes_it_comes_from)
{
    static const struct {
        const char *meshes;
        size_t count;
    } cases[] = {{"09000000-0000-0000-0000-000000000000,0b000000-0000-0000-0000-000000000000", 2},
                 {"0b000000-0000-0000-0000-000000000000, whatever", 1},
                 {"whatever", 0},
                 {NULL, 0}};
    Meshnode__Gateway__Offer *offer;

    ck_assert_int_eq(world_add_url(&w, "m", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    list_from(world_fetch(&w), WORLD_MODERN, cases[0].meshes);
    list_from(world_fetch(&w), world_tools_result(&w, WORLD_TOOLS), cases[_i].meshes);
    offer = meshnode__gateway__offer__unpack(NULL, world_offer(&w)->body->size,
                                             world_offer(&w)->body->bytes);
    ck_assert_uint_eq(offer->n_meshes, cases[_i].count);
    if (offer->n_meshes > 0) ck_assert_uint_eq(offer->meshes[offer->n_meshes - 1].data[0], 0x0b);
    meshnode__gateway__offer__free_unpacked(offer, NULL);
}
END_TEST

START_TEST(stream_that_cannot_be_resumed_has_an_unknown_outcome)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call");
    world_head(&w, call, 200, SSE, NULL);
    world_body(&w, call, "id: 1\ndata:\n\n");
    world_end(&w, call, MN_OK, "");
    world_pass(&w, 1100 * MN_MS);
    world_reply(&w, world_fetch(&w), 400, NULL, "no");
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    world_call_echo(&w, 2, "h");
    call = next_request("tools/call");
    world_head(&w, call, 200, SSE, NULL);
    world_body(&w, call, "id: 1\ndata:\n\n");
    world_end(&w, call, MN_OK, "");
    world_cancel(&w, 2); /* while it waits to be resumed */
    world_reply(&w, next_request("notifications/cancelled"), 202, NULL, NULL);
    world_pass(&w, 10 * MN_SEC);
    ck_assert_ptr_null(world_fetch(&w));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(endless_resuming_ends)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_call_echo(&w, 1, "h");
    struct world_fetch *fetch = next_request("tools/call");
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, "id: 1\ndata:\n\n");
    for (int i = 0; i < 30 && w.events_count == 0; i++) {
        world_end(&w, fetch, MN_OK, "");
        world_pass(&w, 1100 * MN_MS);
        fetch = world_fetch(&w);
        if (fetch != NULL) world_head(&w, fetch, 200, SSE, NULL);
    }
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(answer_may_come_on_another_stream)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call");
    world_body(&w, stream, event(result_of(call, "{}")));
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert(call->is_cancelled);
}
END_TEST

START_TEST(logs_go_to_the_call_that_asked)
{
    const char *log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":"
                      "{\"level\":\"info\",\"data\":1.0}}";

    world_up_http_modern(&w, "h");
    world_call(
        &w, &(struct world_call){.ticket = 1, .service = "h", .params = "{}", .log_level = "info"});
    world_call(&w, &(struct world_call){.ticket = 2, .service = "h", .params = "{}"});
    world_call(&w, &(struct world_call){
                       .ticket = 3, .service = "h", .params = "{}", .log_level = "lo\",\"x\":\""});
    struct world_fetch *asked = next_request("tools/call");
    assert_has(asked->body, "\"io.modelcontextprotocol/logLevel\":\"info\"");
    struct world_fetch *not_asked = next_request("tools/call"), *odd = next_request("tools/call");
    ck_assert_ptr_null(strstr(odd->body, "logLevel"));
    world_head(&w, asked, 200, SSE, NULL);
    world_head(&w, not_asked, 200, SSE, NULL);
    world_body(&w, asked, event(log));
    world_body(&w, not_asked, event(log));
    struct world_event *event_ = world_event(&w);
    ck_assert_uint_eq(event_->ticket, 1);
    ck_assert_str_eq(event_->what, "log");
    ck_assert_str_eq(event_->json, "{\"level\":\"info\",\"data\":1.0}");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(answer_over_32_mib_is_refused)
{
    char *block = malloc((1 << 20) + 1);

    memset(block, ' ', 1 << 20);
    block[1 << 20] = 0;
    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    struct world_fetch *fetch = next_request("tools/call");
    world_head(&w, fetch, 200, _i == 0 ? JSON : SSE, NULL);
    for (int i = 0; i < 34 && !fetch->is_cancelled; i++)
        world_body(&w, fetch, block);
    ck_assert(fetch->is_cancelled);
    ck_assert_int_eq(world_event(&w)->failure, CALL_TOO_BIG);
    free(block);
}
END_TEST

/* As JSON, or on a stream that stays open. */
START_TEST(answer_beyond_the_limits_says_so)
{
    struct world_fetch *fetch;
    struct world_event *event;

    world_up_http_modern(&w, "h");
    world_call_echo(&w, 1, "h");
    fetch = next_request("tools/call");
    world_head(&w, fetch, 200, _i == 0 ? JSON : SSE, NULL);
    world_body(&w, fetch, _i == 0 ? "{\"result\":{\"x\":" : "data: {\"result\":{\"x\":");
    for (int i = 0; i < 200; i++)
        world_body(&w, fetch, "[");
    for (int i = 0; i < 200; i++)
        world_body(&w, fetch, "]");
    world_body(&w, fetch, world_format(&w, "},\"id\":%" PRIu64 "}\n\n", world_id(fetch->body)));
    if (_i == 0) world_end(&w, fetch, MN_OK, "");
    event = world_event(&w);
    ck_assert_int_eq(event->failure, CALL_TOO_BIG);
    assert_has(event->text, "its answer has more than");
    world_pass(&w, 1100 * MN_MS);
    ck_assert_ptr_null(world_event(&w));
    ck_assert_int_eq(fetch->is_cancelled, _i);
}
END_TEST

/* Ends. */

START_TEST(session_is_deleted_when_the_server_is_removed)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call");
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("h"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert(stream->is_cancelled && call->is_cancelled);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    ck_assert_ptr_null(world_offer(&w)->body);
    struct world_fetch *fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "DELETE");
    assert_header(fetch, "mcp-session-id", "sess-1");
    assert_header(fetch, "x-api-key", "k-123");
    ck_assert(!upstreams_is_idle(w.upstreams));
    if (_i == 0)
        world_reply(&w, fetch, 405, JSON, "{}");
    else
        world_pass(&w, 3 * MN_SEC);
    ck_assert(upstreams_is_idle(w.upstreams));
    ck_assert_int_eq(fetch->is_cancelled, _i);
}
END_TEST

START_TEST(stop_ends_every_fetch)
{
    world_up_http_modern(&w, "m");
    world_up_http(&w, "l");
    world_stop(&w);
    world_pass(&w, 10 * MN_SEC);
    ck_assert(upstreams_is_idle(w.upstreams));
    for (uint32_t i = 0; i < w.fetches_count; i++)
        ck_assert(w.fetches[i].is_done || w.fetches[i].is_cancelled);
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), MN_TIME_NEVER);
}
END_TEST

START_TEST(trail_grows_by_this_node)
{
    mn_id other = {{0xbb, 1}};

    world_up_http_modern(&w, "h");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "h",
                                        .params = "{\"name\":\"echo\"}",
                                        .trail = &other,
                                        .trail_count = 1});
    assert_header(next_request("tools/call"), "meshnode-trail",
                  "bb010000-0000-0000-0000-000000000000,aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_http");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, modern_endpoint_is_discovered);
    tcase_add_test(tc, legacy_endpoint_is_initialized_with_its_session);
    tcase_add_test(tc, legacy_endpoint_needs_no_session);
    tcase_add_loop_test(tc, answer_to_the_probe_decides_the_era, 0,
                        sizeof probes / sizeof probes[0]);
    tcase_add_test(tc, outage_is_no_evidence);
    tcase_add_test(tc, endpoint_that_is_no_mcp_at_all_says_so);
    tcase_add_test(tc, endpoint_that_redirects_says_so);
    tcase_add_loop_test(tc, endpoint_that_is_not_modern_any_more_is_asked_as_any_other, 0, 2);
    tcase_add_test(tc, tools_with_wrong_marks_are_dropped_over_http_only);
    tcase_add_test(tc, modern_call_repeats_itself_in_headers);
    tcase_add_loop_test(tc, an_empty_name_is_repeated_too, 0, 3);
    tcase_add_test(tc, sentinel_is_used_exactly_where_it_must);
    tcase_add_test(tc, header_mismatch_refreshes_the_list_and_retries_once);
    tcase_add_test(tc, answers_come_as_json_or_as_a_stream_cut_anywhere);
    tcase_add_loop_test(tc, a_mark_before_an_answer_is_passed_over, 0, 2);
    tcase_add_test(tc, stream_that_stays_open_after_its_answer_is_closed);
    tcase_add_loop_test(tc, answer_without_a_message_is_a_clear_failure, 0,
                        sizeof failures / sizeof failures[0]);
    tcase_add_test(tc, unreachable_endpoint_did_not_execute_anything);
    tcase_add_test(tc, cancel_closes_a_modern_stream_and_tells_a_legacy_server);
    tcase_add_test(tc, log_level_is_set_in_the_session_that_follows_a_forgotten_one);
    tcase_add_loop_test(tc, forgotten_session_is_opened_again_and_the_call_sent_again, 0, 2);
    tcase_add_test(tc, endpoint_that_changed_its_era_is_asked_again);
    tcase_add_test(tc, broken_stream_is_resumed_with_its_last_event);
    tcase_add_test(tc, who_ends_its_stream_is_mirrored_to_clients_of_sessions);
    tcase_add_test(tc, an_offer_says_how_its_server_answers);
    tcase_add_loop_test(tc, an_offer_says_what_meshes_it_comes_from, 0, 4);
    tcase_add_test(tc, stream_that_cannot_be_resumed_has_an_unknown_outcome);
    tcase_add_test(tc, endless_resuming_ends);
    tcase_add_test(tc, answer_may_come_on_another_stream);
    tcase_add_test(tc, logs_go_to_the_call_that_asked);
    tcase_add_loop_test(tc, answer_beyond_the_limits_says_so, 0, 2);
    tcase_add_loop_test(tc, answer_over_32_mib_is_refused, 0, 2);
    tcase_add_loop_test(tc, session_is_deleted_when_the_server_is_removed, 0, 2);
    tcase_add_test(tc, stop_ends_every_fetch);
    tcase_add_test(tc, trail_grows_by_this_node);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
