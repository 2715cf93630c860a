/* The modern era towards clients: 2026-07-28, every request on its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/suite.h"

#define ECHO_TOOL "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"},\"x\":1e400}"
#define ADD_TOOL                                                                \
    "{\"name\":\"add\",\"inputSchema\":{\"type\":\"object\"},\"execution\":{}," \
    "\"annotations\":{\"readOnlyHint\":true}}"
#define PARAM_TOOL                                                               \
    "{\"name\":\"where\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"  \
    "\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"              \
    "\"deep\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"," \
    "\"x-mcp-header\":\"Number\"}}}}}}"

static const char *const tools[] = {ECHO_TOOL, ADD_TOOL, PARAM_TOOL, NULL};

#define STRICT_TOOL                                                                              \
    "{\"name\":\"strict\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":" \
    "\"integer\"}},\"required\":[\"n\"],\"additionalProperties\":false}}"
#define FOREIGN_TOOL                                                       \
    "{\"name\":\"foreign\",\"inputSchema\":{\"type\":\"object\",\"$ref\":" \
    "\"https://example.com/x\"}}"
#define TEXT_TOOL                                                                              \
    "{\"name\":\"text\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"t\":{\"type\":" \
    "\"string\",\"pattern\":\"end$\"}}}}"
static const char *const judged_tools[] = {STRICT_TOOL, FOREIGN_TOOL, TEXT_TOOL, NULL};

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
}

static const char meta_only[] = "{" MODERN_META("") "}";

START_TEST(discover_tells_versions_and_capabilities)
{
    const struct client_response *response = client_modern("server/discover", NULL, meta_only);

    ck_assert_uint_eq(response->code, 200);
    ck_assert_str_eq(response->type, "application/json");
    ck_assert_str_eq(response->session, "");
    ck_assert(response->is_ended);
    client_assert_body(
        response,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\","
        "\"supportedVersions\":[\"2026-07-28\"]," CLIENT_CAPABILITIES ","
        "\"instructions\":\"## srv\\nUse it \\\"well\\\".\","
        "\"ttlMs\":0,\"cacheScope\":\"private\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"
        "{\"name\":\"meshnode\",\"version\":\"" MN_VERSION "\"}}}}");
}
END_TEST

/* What the model got wrong comes back as a result that it can read; nobody else is bothered. */
START_TEST(arguments_are_judged_before_the_call)
{
    client_service("judge", true, judged_tools);
    client_assert_body(
        client_modern("tools/call", "judge__strict",
                      "{\"name\":\"judge__strict\",\"arguments\":{\"n\":1.5}," MODERN_META("") "}"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"content\":[{"
        "\"type\":"
        "\"text\",\"text\":\"the arguments do not match the tool's schema: /n: must be of type "
        "integer\"}],\"isError\":true}}");
    client_assert_body(
        client_modern("tools/call", "judge__strict",
                      "{\"name\":\"judge__strict\"," MODERN_META("") "}"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"content\":[{"
        "\"type\":"
        "\"text\",\"text\":\"the arguments do not match the tool's schema: /: lacks the member "
        "\\\"n\\\"\"}],\"isError\":true}}");
    ck_assert_uint_eq(client_calls_count, 0);
    client_modern("tools/call", "judge__strict",
                  "{\"name\":\"judge__strict\",\"arguments\":{\"n\":1.0}," MODERN_META("") "}");
    ck_assert_uint_eq(client_calls_count, 1);
}
END_TEST

/* A text of many lines, in a request so large that it is checked as it comes. */
START_TEST(long_texts_are_judged_by_all_they_say)
{
    static const char *const headers[] = {"mcp-protocol-version: 2026-07-28",
                                          "mcp-method: tools/call", "mcp-name: judge__text", NULL};
    const char *body =
        large_made("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                   "\"judge__text\"," MODERN_META("") ",\"arguments\":{\"t\":\"",
                   "line\\n", LARGE / 32, _i == 0 ? "end\"}}}" : "en\"}}}");
    uint64_t id;

    client_service("judge", true, judged_tools);
    id = client_open("POST", "/mcp", headers);
    client_body(id, body, LARGE_PIECE, false);
    client_body(id, body + LARGE_PIECE, strlen(body) - LARGE_PIECE, true);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, _i == 0 ? 1 : 0);
    if (_i == 1) ck_assert_ptr_nonnull(strstr(client_response(id)->body, "must match"));
    large_done();
}
END_TEST

/* A schema that cannot be used here is the server's own business. */
START_TEST(a_schema_that_refers_elsewhere_judges_nothing)
{
    client_service("judge", true, judged_tools);
    client_modern("tools/call", "judge__foreign",
                  "{\"name\":\"judge__foreign\",\"arguments\":[1]," MODERN_META("") "}");
    ck_assert_uint_eq(client_calls_count, 1);
}
END_TEST

START_TEST(list_is_aggregated_prefixed_and_verbatim_otherwise)
{
    client_assert_body(
        client_modern("tools/list", NULL, meta_only),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":["
        "{\"name\":\"srv__echo\",\"inputSchema\":{\"type\":\"object\"},\"x\":1e400},"
        "{\"name\":\"srv__add\",\"inputSchema\":{\"type\":\"object\"},"
        "\"annotations\":{\"readOnlyHint\":true}},"
        "{\"name\":\"srv__where\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
        "\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"
        "\"deep\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\","
        "\"x-mcp-header\":\"Number\"}}}}}}"
        "],\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"}}");
}
END_TEST

/* ---- the order of checks: status, code, and the id echoed ---- */

struct fault {
    const char *headers[6];
    const char *body;
    uint32_t code;
    const char *answer; /* its beginning */
};

#define V "mcp-protocol-version: 2026-07-28"
#define LIST "mcp-method: tools/list"
#define CALL "mcp-method: tools/call"
#define ID "{\"jsonrpc\":\"2.0\",\"id\":\"x\","
#define REQ(method, params) ID "\"method\":\"" method "\",\"params\":" params "}"
#define ANSWER(code) ID "\"error\":{\"code\":" code ","
#define NO_ID(code) "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":" code ","
#define META_OF(version)                                                      \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" version "\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static const struct fault faults[] = {
    /* JSON and JSON-RPC */
    {{V, LIST}, "", 400, NO_ID("-32700")},
    {{V, LIST}, "{", 400, NO_ID("-32700")},
    {{V, LIST}, "\"\xff\"", 400, NO_ID("-32700")},
    {{V, LIST}, "[]", 400, NO_ID("-32600")},
    {{V, LIST}, "[" REQ("tools/list", "{}") "]", 400, NO_ID("-32600")},
    {{V, LIST}, "{}", 400, NO_ID("-32600")},
    {{V, LIST}, "7", 400, NO_ID("-32600")},
    {{V, LIST}, "{\"jsonrpc\":\"1.0\",\"id\":\"x\",\"method\":\"a\"}", 400, ANSWER("-32600")},
    {{V, LIST}, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", 400, NO_ID("-32600")},
    {{V, LIST}, "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}", 400, NO_ID("-32600")},
    {{V, LIST}, ID "\"id\":\"y\",\"method\":\"a\"}", 400, ANSWER("-32600")},
    {{V, LIST}, ID "\"method\":\"tools/list\",\"params\":[1]}", 400, ANSWER("-32600")},
    {{V, LIST}, ID "\"result\":{}}", 400, NO_ID("-32600")},
    {{V, LIST}, REQ("tools/list", "{\"_meta\":1}"), 400, ANSWER("-32602")},
    {{V, LIST},
     REQ("tools/list", "{\"_meta\":{\"progressToken\":1,\"progressToken\":2}}"),
     400,
     ANSWER("-32602")},
    /* headers before _meta */
    {{LIST}, REQ("tools/list", "{" MODERN_META("") "}"), 400, ANSWER("-32020")},
    {{V}, REQ("tools/list", "{}"), 400, ANSWER("-32020")},
    {{V, CALL}, REQ("tools/list", "{}"), 400, ANSWER("-32020")},
    {{V, "mcp-method: TOOLS/LIST"}, REQ("tools/list", "{}"), 400, ANSWER("-32020")},
    {{V, CALL},
     REQ("tools/call", "{\"name\":\"srv__echo\"," MODERN_META("") "}"),
     400,
     ANSWER("-32020")},
    {{V, CALL, "mcp-name: other"},
     REQ("tools/call", "{\"name\":\"srv__echo\"," MODERN_META("") "}"),
     400,
     ANSWER("-32020")},
    {{V, CALL, "mcp-name: =?base64?c3J2X19lY2hv!?="},
     REQ("tools/call", "{\"name\":\"srv__echo\"," MODERN_META("") "}"),
     400,
     ANSWER("-32020")},
    {{V, CALL, "mcp-name: =?base64?c3J2X19lY2hvcg?="}, /* padding is missing */
     REQ("tools/call", "{\"name\":\"srv__echor\"," MODERN_META("") "}"),
     400,
     ANSWER("-32020")},
    /* _meta */
    {{V, LIST}, REQ("tools/list", "{}"), 400, ANSWER("-32602")},
    {{V, LIST}, ID "\"method\":\"tools/list\"}", 400, ANSWER("-32602")},
    {{V, LIST},
     REQ("tools/list", "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}"),
     400,
     ANSWER("-32602")},
    {{V, LIST},
     REQ("tools/list", "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":3,"
                       "\"io.modelcontextprotocol/clientCapabilities\":{}}}"),
     400,
     ANSWER("-32602")},
    {{V, LIST},
     REQ("tools/list", "{" MODERN_META(",\"io.modelcontextprotocol/logLevel\":\"loud\"") "}"),
     400,
     ANSWER("-32602")},
    /* versions */
    {{"mcp-protocol-version: 2025-11-25", LIST},
     REQ("tools/list", "{" MODERN_META("") "}"),
     400,
     ANSWER("-32020")},
    {{"mcp-protocol-version: 2025-11-25", LIST},
     REQ("tools/list", "{" META_OF("2025-11-25") "}"),
     400,
     ANSWER("-32022")},
    {{"mcp-protocol-version: 2099-01-01", LIST},
     REQ("tools/list", "{" META_OF("2099-01-01") "}"),
     400,
     ANSWER("-32022")},
    /* methods of the other era, and unknown ones */
    {{V, "mcp-method: initialize"},
     REQ("initialize", "{" MODERN_META("") "}"),
     404,
     ANSWER("-32601")},
    {{V, "mcp-method: ping"}, REQ("ping", "{" MODERN_META("") "}"), 404, ANSWER("-32601")},
    {{V, "mcp-method: nothing/list"},
     REQ("nothing/list", "{" MODERN_META("") "}"),
     404,
     ANSWER("-32601")},
    /* params */
    {{V, LIST}, REQ("tools/list", "{\"cursor\":\"\"," MODERN_META("") "}"), 200, ANSWER("-32602")},
    {{V, CALL, "mcp-name: nope"},
     REQ("tools/call", "{\"name\":\"nope\"," MODERN_META("") "}"),
     200,
     ANSWER("-32602")},
    {{V, CALL, "mcp-name: echo"}, /* only the prefixed name is listed */
     REQ("tools/call", "{\"name\":\"echo\"," MODERN_META("") "}"),
     200,
     ANSWER("-32602")},
    {{V, CALL}, REQ("tools/call", "{" MODERN_META("") "}"), 200, ANSWER("-32602")},
    {{V, CALL, "mcp-name: srv__echo"},
     REQ("tools/call",
         "{\"name\":\"srv__echo\",\"arguments\":{},\"arguments\":{}," MODERN_META("") "}"),
     200,
     ANSWER("-32602")},
    {{V, CALL, "mcp-name: srv__echo"},
     REQ("tools/call", "{\"name\":\"srv__echo\"," MODERN_META(",\"progressToken\":{}") "}"),
     200,
     ANSWER("-32602")},
    {{V, "mcp-method: subscriptions/listen"},
     REQ("subscriptions/listen", "{" MODERN_META("") "}"),
     200,
     ANSWER("-32602")},
#define FILTER_FAULT(members)                                                                     \
    {                                                                                             \
        {V, "mcp-method: subscriptions/listen"},                                                  \
            REQ("subscriptions/listen", "{\"notifications\":{" members "}," MODERN_META("") "}"), \
            200, ANSWER("-32602")                                                                 \
    }
    FILTER_FAULT("\"toolsListChanged\":\"yes\""),
    FILTER_FAULT("\"promptsListChanged\":1"),
    FILTER_FAULT("\"resourcesListChanged\":null"),
    FILTER_FAULT("\"resourceSubscriptions\":\"x://1\""),
    FILTER_FAULT("\"resourceSubscriptions\":[\"x://1\",5]"),
    FILTER_FAULT("\"taskIds\":{}"),
    FILTER_FAULT("\"taskIds\":[[]]"),
    {{V, LIST, "meshnode-trail: 07000000-0000-0000-0000-000000000000"},
     REQ("tools/list", "{" MODERN_META("") "}"),
     200,
     ANSWER("-32600")},
};

START_TEST(each_fault_has_its_status_and_code)
{
    const struct fault *fault = &faults[_i];
    const struct client_response *response =
        client_send("POST", "/mcp", fault->headers, fault->body);

    ck_assert_msg(response->code == fault->code &&
                      strncmp(response->body, fault->answer, strlen(fault->answer)) == 0,
                  "%d: %u %s", _i, response->code, response->body);
    ck_assert(response->is_ended);
    ck_assert_uint_eq(client_calls_count, 0);
}
END_TEST

START_TEST(an_unsupported_version_is_told_what_is_supported)
{
    const char *const headers[] = {"mcp-protocol-version: 2099-01-01", LIST, NULL};
    const struct client_response *response =
        client_send("POST", "/mcp", headers, REQ("tools/list", "{" META_OF("2099-01-01") "}"));

    ck_assert_ptr_nonnull(strstr(
        response->body, "\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2099-01-01\"}"));
}
END_TEST

START_TEST(a_notification_is_accepted_in_silence)
{
    const char *const headers[] = {V, NULL};
    const struct client_response *response = client_send(
        "POST", "/mcp", headers, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/whatever\"}");

    ck_assert_uint_eq(response->code, 202);
    client_assert_body(response, "");
}
END_TEST

/* ---- calls ---- */

START_TEST(a_call_goes_to_its_service_under_its_own_name)
{
    const struct client_response *response = client_modern(
        "tools/call", "srv__echo",
        "{\"name\":\"srv__echo\",\"arguments\":{\"n\": 1e400, \"s\":\"\\u0041\"},"
        "\"other\":[1],\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
        "\"io.modelcontextprotocol/clientCapabilities\":{\"x\":{}},\"mine\":7,"
        "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"c\"},"
        "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}}");

    ck_assert_uint_eq(response->code, 0);
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].service, "srv");
    ck_assert_str_eq(client_calls[0].params,
                     "{\"name\":\"echo\",\"arguments\":{\"n\": 1e400, \"s\":\"\\u0041\"},"
                     "\"other\":[1],\"_meta\":{\"mine\":7,\"traceparent\":"
                     "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}}");
    ck_assert_str_eq(client_calls[0].trace,
                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    ck_assert_str_eq(client_calls[0].request->method, "tools/call");
    ck_assert_str_eq(client_calls[0].request->protocol_version, "2026-07-28");
    ck_assert_uint_eq(client_calls[0].request->client_info.len, strlen("{\"name\":\"c\"}"));
    ck_assert_uint_eq(client_calls[0].request->client_capabilities.len, strlen("{\"x\":{}}"));
    ck_assert_uint_eq(client_calls[0].request->principal.len, 16);
    ck_assert_uint_eq(client_calls[0].request->n_trail, 0);
    ck_assert(!client_calls[0].request->wants_progress);
    ck_assert(!client_calls[0].is_idempotent);

    client_result(client_calls[0].ticket,
                  "{\"content\":[ ],\"resultType\":\"complete\",\"n\":1E5}");
    ck_assert_uint_eq(response->code, 200);
    ck_assert_str_eq(response->type, "application/json");
    client_assert_body(response, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":"
                                 "{\"content\":[ ],\"resultType\":\"complete\",\"n\":1E5}}");
    ck_assert(front_is_idle(client_front));
}
END_TEST

static uint64_t start_call(const char *meta_extra)
{
    char params[512];

    snprintf(params, sizeof params, "{\"name\":\"srv__add\"," MODERN_META("%s") "}", meta_extra);
    return client_modern("tools/call", "srv__add", params)->id;
}

START_TEST(params_without_meta_of_their_own_lose_it)
{
    start_call("");
    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"add\"}");
    ck_assert(client_calls[0].is_idempotent);
}
END_TEST

START_TEST(a_result_of_a_legacy_server_gets_its_type)
{
    static const char *const pairs[][2] = {
        {"{\"content\":[]}", "{\"resultType\":\"complete\",\"content\":[]}"},
        {"{}", "{\"resultType\":\"complete\"}"},
        {"{ \"a\":\n1}", "{\"resultType\":\"complete\", \"a\":\n1}"},
        {"{\"resultType\":\"input_required\"}", "{\"resultType\":\"input_required\"}"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct client_response *response = client_response(start_call(""));
        char expected[256];
        client_result(client_calls[i].ticket, pairs[i][0]);
        snprintf(expected, sizeof expected, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":%s}",
                 pairs[i][1]);
        client_assert_body(response, expected);
    }
}
END_TEST

START_TEST(an_error_of_the_server_keeps_code_message_and_data)
{
    const struct client_response *response = client_response(start_call(""));

    client_error(client_calls[0].ticket, -32000, "bad \"luck\"", "{\"n\":1e400}");
    ck_assert_uint_eq(response->code, 200);
    client_assert_body(response, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,"
                                 "\"message\":\"bad \\\"luck\\\"\",\"data\":{\"n\":1e400}}}");
}
END_TEST

START_TEST(protocol_errors_of_the_server_keep_their_http_status)
{
    static const struct {
        int code;
        uint32_t http;
        const char *shown;
    } table[] = {{-32601, 404, "-32601"}, {-32020, 400, "-32020"}, {-32021, 400, "-32021"},
                 {-32022, 400, "-32022"}, {-32602, 200, "-32602"}, {-32002, 200, "-32602"},
                 {-32042, 200, "-32603"}, {-32023, 200, "-32023"}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct client_response *response = client_response(start_call(""));
        client_error(client_calls[i].ticket, table[i].code, "m", "");
        ck_assert_uint_eq(response->code, table[i].http);
        ck_assert_ptr_nonnull(strstr(response->body, table[i].shown));
    }
}
END_TEST

START_TEST(failures_of_the_mesh_say_what_is_known)
{
    static const struct {
        enum call_failure failure;
        const char *part;
    } table[] = {
        {CALL_NOT_FOUND, "\"code\":-32602,\"message\":\"why\",\"data\":{\"reason\":\"not_found\"}"},
        {CALL_CONFLICT, "\"code\":-32602,\"message\":\"why\",\"data\":{\"reason\":\"conflict\"}"},
        {CALL_UNAVAILABLE, "\"code\":-32603,\"message\":\"why\","},
        {CALL_BUSY, "\"data\":{\"reason\":\"busy\"}"},
        {CALL_TIMED_OUT, "outcome unknown: the tool may have run (why)"},
        {CALL_OUTCOME_UNKNOWN, "outcome unknown: the tool may have run (why)"},
        {CALL_UPSTREAM, "\"reason\":\"upstream\""},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct client_response *response = client_response(start_call(""));
        client_failed(client_calls[i].ticket, table[i].failure, "why");
        ck_assert_uint_eq(response->code, 200);
        ck_assert_msg(strstr(response->body, table[i].part) != NULL, "%s", response->body);
    }
}
END_TEST

START_TEST(a_result_that_is_no_object_is_an_error)
{
    static const char *const bad[] = {"", "[]", "{", "{\"resultType\":1,\"resultType\":2}",
                                      "{} {}"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct client_response *response = client_response(start_call(""));
        client_result(client_calls[i].ticket, bad[i]);
        ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32603"));
    }
}
END_TEST

START_TEST(progress_makes_the_answer_a_stream_and_comes_first)
{
    uint64_t id = start_call(",\"progressToken\":\"tok\"");
    const struct client_response *response = client_response(id);

    ck_assert(client_calls[0].request->wants_progress);
    client_progress(client_calls[0].ticket, "{\"progress\":1,\"total\":2.50}");
    ck_assert_uint_eq(response->code, 200);
    ck_assert_str_eq(response->type, "text/event-stream");
    ck_assert(!response->is_ended);
    client_progress(client_calls[0].ticket, "{}");
    client_result(client_calls[0].ticket, "{\"resultType\":\"complete\",\n\"content\":[]}");
    client_assert_body(
        response,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
        "\"params\":{\"progressToken\":\"tok\",\"progress\":1,\"total\":2.50}}\n\n"
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
        "\"params\":{\"progressToken\":\"tok\"}}\n\n"
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":"
        "{\"resultType\":\"complete\", \"content\":[]}}\n\n");
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(a_client_that_does_not_read_misses_progress_and_gets_its_answer)
{
    uint64_t id = start_call(",\"progressToken\":1");
    const struct client_response *response = client_response(id);
    char *progress = mn_alloc(100001);
    size_t size;

    memset(progress, ' ', 100000);
    memcpy(progress, "{\"progress\":1", 13);
    progress[99999] = '}';
    for (int i = 0; i < 50; i++)
        client_progress(client_calls[0].ticket, progress);
    size = response->body_size;
    ck_assert_uint_gt(size, 1000000);
    ck_assert_uint_lt(size, 1500000);
    client_writable(id);
    client_progress(client_calls[0].ticket, progress);
    ck_assert_uint_gt(response->body_size, size + 99999);
    for (int i = 0; i < 50; i++)
        client_progress(client_calls[0].ticket, progress);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"content\":[]"));
    ck_assert(response->is_ended);
    mn_free(progress);
}
END_TEST

START_TEST(progress_nobody_asked_for_is_dropped)
{
    const struct client_response *response = client_response(start_call(""));

    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_log(client_calls[0].ticket, "{\"level\":\"info\",\"data\":1}");
    ck_assert_uint_eq(response->code, 0);
    client_result(client_calls[0].ticket, "{}");
    ck_assert_str_eq(response->type, "application/json");
}
END_TEST

START_TEST(progress_with_a_token_of_its_own_is_dropped)
{
    const struct client_response *response = client_response(start_call(",\"progressToken\":1"));

    client_progress(client_calls[0].ticket, "{\"progress\":1,\"progressToken\":5}");
    client_progress(client_calls[0].ticket, "[1]");
    ck_assert_uint_eq(response->code, 0);
}
END_TEST

START_TEST(log_messages_travel_when_a_level_was_asked_for)
{
    const struct client_response *response =
        client_response(start_call(",\"io.modelcontextprotocol/logLevel\":\"debug\""));

    ck_assert_str_eq(client_calls[0].request->log_level, "debug");
    client_log(client_calls[0].ticket, "{\"level\":\"info\",\"data\":1}");
    client_assert_body(response,
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                       "\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}\n\n");
}
END_TEST

START_TEST(closing_the_connection_cancels)
{
    uint64_t id = start_call("");

    client_gone(id);
    ck_assert(client_calls[0].is_cancelled);
    client_result(client_calls[0].ticket, "{}");
    ck_assert_uint_eq(client_response(id)->code, 0);
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(a_long_silence_becomes_a_stream_kept_alive)
{
    const struct client_response *response = client_response(start_call(""));
    mn_time start = client_now.mono;

    client_at(start + 14 * MN_SEC);
    ck_assert_uint_eq(response->code, 0);
    ck_assert_uint_eq(front_deadline(client_front), start + 15 * MN_SEC);
    client_at(start + 15 * MN_SEC);
    ck_assert_str_eq(response->type, "text/event-stream");
    client_assert_body(response, "");
    client_at(start + 35 * MN_SEC);
    client_assert_body(response, ": keep-alive\n\n");
    client_result(client_calls[0].ticket, "{}");
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(a_trail_travels_with_the_call)
{
    const char *const headers[] = {
        V, CALL, "mcp-name: srv__echo",
        "meshnode-trail: 01000000-0000-0000-0000-000000000000,02000000-0000-0000-0000-000000000000",
        NULL};

    client_send("POST", "/mcp", headers,
                REQ("tools/call", "{\"name\":\"srv__echo\"," MODERN_META("") "}"));
    ck_assert_uint_eq(client_calls[0].request->n_trail, 2);
    ck_assert_uint_eq(client_calls[0].request->trail[1].data[0], 2);
}
END_TEST

/* ---- arguments that headers repeat ---- */

static const struct client_response *call_where(const char *arguments, const char *region,
                                                const char *number)
{
    const char *headers[6] = {V, CALL, "mcp-name: srv__where"};
    char body[1024];
    int count = 3;

    if (region != NULL) headers[count++] = region;
    if (number != NULL) headers[count++] = number;
    snprintf(body, sizeof body,
             REQ("tools/call", "{\"name\":\"srv__where\",\"arguments\":%s," MODERN_META("") "}"),
             arguments);
    return client_send("POST", "/mcp", headers, body);
}

/* Null needs no header; that it is no string is another matter. */
START_TEST(a_marked_argument_that_is_null_needs_no_header)
{
    const struct client_response *response = call_where("{\"region\":null}", NULL, NULL);

    ck_assert_uint_eq(response->code, 200);
    ck_assert_ptr_nonnull(strstr(response->body, "/region: must be of type string"));
}
END_TEST

START_TEST(marked_arguments_must_be_repeated)
{
    static const struct {
        const char *arguments, *region, *number;
        bool is_right;
    } table[] = {
        {"{}", NULL, NULL, true},
        {"{\"region\":\"eu\"}", "mcp-param-region: eu", NULL, true},
        {"{\"region\":\"eu\"}", "mcp-param-region:  eu ", NULL, true},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?ZXU=?=", NULL, true},
        {"{\"region\":\"=?base64?x\"}", "mcp-param-region: =?base64?x", NULL, true},
        {"{\"deep\":{\"n\":42}}", NULL, "mcp-param-number: 42.0", true},
        {"{\"deep\":{\"n\":42.0}}", NULL, "mcp-param-number: 42", true},
        {"{\"region\":\"eu\"}", NULL, NULL, false},
        {"{\"region\":\"eu\"}", "mcp-param-region: us", NULL, false},
        {"{\"region\":\"eu\"}", "mcp-param-region: EU", NULL, false},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?ZXU?=", NULL, false},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?Z?U=?=", NULL, false},
        {"{}", "mcp-param-region: eu", NULL, true}, /* not expected, and not refused */
        {"{\"deep\":{\"n\":42}}", NULL, "mcp-param-number: 43", false},
        {"{\"deep\":{\"n\":42}}", NULL, "mcp-param-number: x", false},
        {"{\"deep\":{\"n\":42}}", NULL, NULL, false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct client_response *response =
            call_where(table[i].arguments, table[i].region, table[i].number);
        ck_assert_msg(response->code == (table[i].is_right ? 0 : 400), "%zu: %u %s", i,
                      response->code, response->body);
        if (!table[i].is_right) ck_assert_ptr_nonnull(strstr(response->body, "-32020"));
    }
    ck_assert_ptr_nonnull(strstr(call_where("{\"region\":\"eu\"}", NULL, NULL)->body,
                                 "header mcp-param-region is missing"));
}
END_TEST

/* ---- one server as it is ---- */

static const struct client_response *at_server(const char *target, const char *method,
                                               const char *name, const char *params)
{
    char lines[2][128], body[1024];
    const char *headers[] = {V, lines[0], NULL, NULL};

    snprintf(lines[0], sizeof lines[0], "mcp-method: %s", method);
    if (name != NULL) {
        snprintf(lines[1], sizeof lines[1], "mcp-name: %s", name);
        headers[2] = lines[1];
    }
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"%s\",\"params\":%s}", method, params);
    return client_send("POST", target, headers, body);
}

START_TEST(one_server_is_shown_as_it_is)
{
    client_assert_body(
        at_server("/mcp/servers/srv", "server/discover", NULL, meta_only),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"resultType\":\"complete\","
        "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{},\"prompts\":{}}"
        ","
        "\"instructions\":\"Use it \\\"well\\\".\",\"ttlMs\":0,\"cacheScope\":\"private\","
        "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"up\",\"version\":\"9\"}}}}");
    ck_assert_ptr_nonnull(strstr(
        at_server("/mcp/servers/srv?x", "tools/list", NULL, meta_only)->body, "[" ECHO_TOOL ","));
}
END_TEST

START_TEST(one_server_gets_every_name)
{
    at_server("/mcp/servers/srv", "tools/call", "secret",
              "{\"name\":\"secret\"," MODERN_META("") "}");
    ck_assert_str_eq(client_calls[0].service, "srv");
    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"secret\"}");
    ck_assert(!client_calls[0].is_idempotent);
    at_server("/mcp/servers/srv", "tools/call", "add", "{\"name\":\"add\"," MODERN_META("") "}");
    ck_assert(client_calls[1].is_idempotent);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_not_found)
{
    client_service_gone("both", true);
    ck_assert_uint_eq(at_server("/mcp/servers/no", "tools/list", NULL, meta_only)->code, 404);
    ck_assert_ptr_nonnull(strstr(
        at_server("/mcp/servers/both", "tools/call", "a", "{\"name\":\"a\"," MODERN_META("") "}")
            ->body,
        "both are several different servers: use both.NODE instead"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_modern");
    TCase *tcase = tcase_create("modern");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, arguments_are_judged_before_the_call);
    tcase_add_loop_test(tcase, long_texts_are_judged_by_all_they_say, 0, 2);
    tcase_add_test(tcase, a_schema_that_refers_elsewhere_judges_nothing);
    tcase_add_test(tcase, discover_tells_versions_and_capabilities);
    tcase_add_test(tcase, list_is_aggregated_prefixed_and_verbatim_otherwise);
    tcase_add_loop_test(tcase, each_fault_has_its_status_and_code, 0,
                        (int)(sizeof faults / sizeof *faults));
    tcase_add_test(tcase, an_unsupported_version_is_told_what_is_supported);
    tcase_add_test(tcase, a_notification_is_accepted_in_silence);
    tcase_add_test(tcase, a_call_goes_to_its_service_under_its_own_name);
    tcase_add_test(tcase, params_without_meta_of_their_own_lose_it);
    tcase_add_test(tcase, a_result_of_a_legacy_server_gets_its_type);
    tcase_add_test(tcase, an_error_of_the_server_keeps_code_message_and_data);
    tcase_add_test(tcase, protocol_errors_of_the_server_keep_their_http_status);
    tcase_add_test(tcase, failures_of_the_mesh_say_what_is_known);
    tcase_add_test(tcase, a_result_that_is_no_object_is_an_error);
    tcase_add_test(tcase, progress_makes_the_answer_a_stream_and_comes_first);
    tcase_add_test(tcase, a_client_that_does_not_read_misses_progress_and_gets_its_answer);
    tcase_add_test(tcase, progress_nobody_asked_for_is_dropped);
    tcase_add_test(tcase, progress_with_a_token_of_its_own_is_dropped);
    tcase_add_test(tcase, log_messages_travel_when_a_level_was_asked_for);
    tcase_add_test(tcase, closing_the_connection_cancels);
    tcase_add_test(tcase, a_long_silence_becomes_a_stream_kept_alive);
    tcase_add_test(tcase, a_trail_travels_with_the_call);
    tcase_add_test(tcase, a_marked_argument_that_is_null_needs_no_header);
    tcase_add_test(tcase, marked_arguments_must_be_repeated);
    tcase_add_test(tcase, one_server_is_shown_as_it_is);
    tcase_add_test(tcase, one_server_gets_every_name);
    tcase_add_test(tcase, a_server_that_is_not_there_is_not_found);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
