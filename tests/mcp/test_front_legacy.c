/* The legacy era towards clients: sessions, batches, cancellation, the GET stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/records/records.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ECHO_TOOL "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"},\"execution\":{}}"
#define ODD_TOOL                                               \
    "{\"name\":\"odd\",\"inputSchema\":{\"type\":\"object\"}," \
    "\"outputSchema\":{\"type\":\"array\"}}"

static const char *const tools[] = {ECHO_TOOL, ODD_TOOL, NULL};

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    client_at(client_now.mono + MN_SEC);
}

static const char *session_of(const char *version)
{
    return client_initialize("/mcp", version);
}

static const char *session(void)
{
    return session_of("2025-11-25");
}

#define PING "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}"
#define PONG "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}"
#define TOOL_CALL(id, extra)          \
    "{\"jsonrpc\":\"2.0\",\"id\":" id \
    ",\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\"" extra "}}"

START_TEST(initialize_opens_a_session)
{
    static const char *const pairs[][2] = {
        {"2024-11-05", "2024-11-05"}, {"2025-03-26", "2025-03-26"}, {"2025-06-18", "2025-06-18"},
        {"2025-11-25", "2025-11-25"}, {"2026-07-28", "2025-11-25"}, {"1999-01-01", "2025-11-25"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char body[256], expected[512];
        const struct client_response *response;
        snprintf(body, sizeof body,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                 "\"protocolVersion\":\"%s\",\"capabilities\":{}}}",
                 pairs[i][0]);
        response = client_send("POST", "/mcp", NULL, body);
        snprintf(expected, sizeof expected,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"%"
                 "s\"," CLIENT_CAPABILITIES ","
                 "\"serverInfo\":{\"name\":\"meshnode\",\"version\":\"" MN_VERSION "\"},"
                 "\"instructions\":\"## srv\\nUse it \\\"well\\\".\"}}",
                 pairs[i][1]);
        client_assert_body(response, expected);
        ck_assert_uint_gt(strlen(response->session), 100);
        ck_assert_uint_le(strlen(response->session), 256);
    }
}
END_TEST

START_TEST(session_ids_differ)
{
    const char *a = session(), *b = session();
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(initialize_of_one_server_shows_it)
{
    const struct client_response *response =
        client_send("POST", "/mcp/servers/srv", NULL,
                    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                    "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}}");

    client_assert_body(
        response, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\","
                  "\"capabilities\":{\"tools\":{},\"prompts\":{}},"
                  "\"serverInfo\":{\"name\":\"up\",\"version\":\"9\"},"
                  "\"instructions\":\"Use it \\\"well\\\".\"}}");
}
END_TEST

START_TEST(a_bad_initialize_is_refused)
{
    static const char *const bad[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}"
        "}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"2025-06-18\",\"capabilities\":[]}}",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct client_response *response = client_send("POST", "/mcp", NULL, bad[i]);
        ck_assert_uint_eq(response->code, 200);
        ck_assert_str_eq(response->session, "");
        ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
    }
}
END_TEST

START_TEST(ping_lists_and_unknown_methods)
{
    const char *id = session();

    client_assert_body(client_legacy(id, PING), PONG);
    client_assert_body(
        client_legacy(id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}"),
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":["
        "{\"name\":\"srv__echo\",\"inputSchema\":{\"type\":\"object\"},\"execution\":{}},"
        "{\"name\":\"srv__odd\",\"inputSchema\":{\"type\":\"object\"}}]}}");
    ck_assert_ptr_nonnull(strstr(
        client_legacy(id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"nothing/list\"}")->body,
        "\"code\":-32601"));
    ck_assert_ptr_nonnull(strstr(
        client_legacy(id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":"
                          "{\"cursor\":\"x\"}}")
            ->body,
        "\"code\":-32602"));
}
END_TEST

START_TEST(notifications_and_responses_are_accepted)
{
    static const char *const bodies[] = {
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":5}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":1,\"message\":\"m\"}}",
    };
    const char *id = session();

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        const struct client_response *response = client_legacy(id, bodies[i]);
        ck_assert_uint_eq(response->code, 202);
        client_assert_body(response, "");
    }
}
END_TEST

START_TEST(without_a_session_nothing_works)
{
    const char *const unknown[] = {"mcp-session-id: 0123456789abcdef0123456789abcdef", NULL};
    const char *const old[] = {"mcp-protocol-version: 2025-06-18", NULL};

    ck_assert_uint_eq(client_send("POST", "/mcp", NULL, PING)->code, 400);
    ck_assert_uint_eq(client_send("POST", "/mcp", old, PING)->code, 400);
    ck_assert_uint_eq(client_send("POST", "/mcp", unknown, PING)->code, 404);
    ck_assert_uint_eq(client_send("GET", "/mcp", unknown, NULL)->code, 404);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", unknown, NULL)->code, 404);
    ck_assert_uint_eq(client_send("GET", "/mcp", NULL, NULL)->code, 405);
    ck_assert_str_eq(client_send("DELETE", "/mcp", NULL, NULL)->allow, "POST");
}
END_TEST

START_TEST(a_session_belongs_to_its_endpoint)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session());
    ck_assert_uint_eq(client_send("POST", "/mcp", headers, PING)->code, 200);
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/srv", headers, PING)->code, 404);
}
END_TEST

START_TEST(the_version_header_must_be_one_that_is_served)
{
    char line[400];
    const char *headers[] = {line, "mcp-protocol-version: 2020-01-01", NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session());
    ck_assert_uint_eq(client_send("POST", "/mcp", headers, PING)->code, 400);
    headers[1] = "mcp-protocol-version: 2025-03-26";
    ck_assert_uint_eq(client_send("POST", "/mcp", headers, PING)->code, 200);
    headers[1] = NULL;
    ck_assert_uint_eq(client_send("POST", "/mcp", headers, PING)->code, 200);
}
END_TEST

START_TEST(a_modern_request_is_served_beside_sessions)
{
    const char *id = session();
    const struct client_response *response =
        client_modern("tools/list", NULL, "{" MODERN_META("") "}");

    ck_assert_uint_eq(response->code, 200);
    client_assert_body(client_legacy(id, PING), PONG);
}
END_TEST

START_TEST(delete_ends_the_session_and_its_calls)
{
    char line[400], id[300];
    const char *const headers[] = {line, NULL};
    const struct client_response *call, *stream;

    strcpy(id, session());
    snprintf(line, sizeof line, "mcp-session-id: %s", id);
    call = client_legacy(id, TOOL_CALL("1", ""));
    stream = client_send("GET", "/mcp", headers, NULL);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", headers, NULL)->code, 200);
    ck_assert(client_calls[0].is_cancelled);
    ck_assert(call->is_ended);
    ck_assert(stream->is_ended);
    ck_assert_uint_eq(client_legacy(id, PING)->code, 404);
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(an_idle_session_is_put_away_and_goes_on_when_it_is_used_again)
{
    struct mcp_stats stats;
    const char *idle = session(), *used = session(), *watched = session();
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", watched);
    client_send("GET", "/mcp", headers, NULL);
    client_at(client_now.mono + 20 * MN_MINUTE);
    client_legacy(used, PING);
    client_at(client_now.mono + 20 * MN_MINUTE);
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.sessions_count, 2);
    ck_assert_uint_eq(client_legacy(idle, PING)->code, 200);
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.sessions_count, 3);
    ck_assert_uint_eq(client_legacy(used, PING)->code, 200);
    ck_assert_uint_eq(client_legacy(watched, PING)->code, 200);
}
END_TEST

/* For whom and where it was made is all that an id says, and for how long it is good. */
START_TEST(an_id_is_good_at_its_endpoint_for_its_time)
{
    char id[300], line[400];
    const char *const headers[] = {line, NULL};

    strcpy(id, client_initialize("/mcp/servers/srv", "2025-06-18"));
    snprintf(line, sizeof line, "mcp-session-id: %s", id);
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/srv", headers, PING)->code, 200);
    ck_assert_uint_eq(client_send("POST", "/mcp", headers, PING)->code, 404);
    line[60] = line[60] == 'A' ? 'B' : 'A';
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/srv", headers, PING)->code, 404);
    line[60] = id[60 - 16];
    client_at(client_now.mono + MCP_SESSION_IDLE); /* its record is still there */
    client_send("POST", "/mcp/servers/srv", headers, TOOL_CALL("1", ""));
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].request->protocol_version, "2025-06-18");
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_now.wall += 8 * MN_DAY;
    client_at(client_now.mono + MCP_SESSION_IDLE);
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/srv", headers, PING)->code, 404);
}
END_TEST

START_TEST(sessions_are_bounded_and_the_idle_ones_make_room)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
        "\"protocolVersion\":\"2025-06-18\"}}";
    struct mcp_stats stats;

    client_teardown();
    client_setup();
    client_is_unchecked = true;
    for (uint32_t i = 0; i < MCP_SESSIONS_MAX; i++) {
        client_send("POST", "/mcp", NULL, body);
        client_forget_all();
    }
    client_is_unchecked = false;
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.sessions_count, MCP_SESSIONS_MAX);
    ck_assert_uint_eq(client_send("POST", "/mcp", NULL, body)->code, 503);
    client_at(client_now.mono + 2 * MN_MINUTE);
    ck_assert_uint_eq(client_send("POST", "/mcp", NULL, body)->code, 200);
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.sessions_count, MCP_SESSIONS_MAX);
}
END_TEST

/* ---- calls ---- */

START_TEST(a_call_carries_what_its_session_said)
{
    const struct client_response *response =
        client_legacy(session(), TOOL_CALL("\"q\"", ",\"arguments\":{\"a\": 1.50}"));

    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"echo\",\"arguments\":{\"a\": 1.50}}");
    ck_assert_str_eq(client_calls[0].request->protocol_version, "2025-11-25");
    ck_assert_uint_eq(client_calls[0].request->client_capabilities.len, strlen("{\"roots\":{}}"));
    ck_assert_uint_gt(client_calls[0].request->client_info.len, 0);
    client_result(client_calls[0].ticket, "{\"content\":[ {\"x\":1E2} ],\"isError\":true}");
    client_assert_body(response, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":"
                                 "{\"content\":[ {\"x\":1E2} ],\"isError\":true}}");
}
END_TEST

START_TEST(results_of_modern_servers_are_made_legacy)
{
    static const char *const pairs[][2] = {
        {"{\"resultType\":\"complete\",\"content\":[]}", "\"result\":{\"content\":[]}}"},
        {"{\"content\":[],\"resultType\":\"complete\"}", "\"result\":{\"content\":[]}}"},
        {"{\"resultType\":\"complete\"}", "\"result\":{}}"},
        {"{\"structuredContent\":[1],\"content\":[]}",
         "\"result\":{\"structuredContent\":{\"result\":[1]},\"content\":[]}}"},
        {"{\"content\":[],\"structuredContent\":{\"a\":1e400}}",
         "\"result\":{\"content\":[],\"structuredContent\":{\"a\":1e400}}}"},
        {"{\"resultType\":\"input_required\"}", "\"error\":{\"code\":-32603,\"message\":"},
    };
    const char *id = session();

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct client_response *response = client_legacy(id, TOOL_CALL("1", ""));
        client_result(client_calls[i].ticket, pairs[i][0]);
        ck_assert_msg(strstr(response->body, pairs[i][1]) != NULL, "%s", response->body);
    }
}
END_TEST

START_TEST(errors_are_always_a_200_here)
{
    const struct client_response *response = client_legacy(session(), TOOL_CALL("1", ""));

    client_error(client_calls[0].ticket, -32601, "m", "");
    ck_assert_uint_eq(response->code, 200);
}
END_TEST

START_TEST(cancelling_needs_the_same_id_of_the_same_session_and_type)
{
    const char *id = session(), *other = session();
    const struct client_response *response = client_legacy(id, TOOL_CALL("1", ""));
#define CANCEL(id) \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"

    client_legacy(other, CANCEL("1"));
    client_legacy(id, CANCEL("\"1\""));
    client_legacy(id, CANCEL("2"));
    ck_assert(!client_calls[0].is_cancelled);
    client_legacy(id, CANCEL("1"));
    ck_assert(client_calls[0].is_cancelled);
    ck_assert(response->is_ended);
    client_assert_body(response, "");
    client_result(client_calls[0].ticket, "{}"); /* late: ignored */
    client_assert_body(response, "");
}
END_TEST

START_TEST(a_lost_connection_does_not_cancel)
{
    const char *id = session();
    uint64_t call = client_legacy(id, TOOL_CALL("1", ""))->id;

    client_gone(call);
    ck_assert(!client_calls[0].is_cancelled);
    client_progress(client_calls[0].ticket, "{}");
    client_result(client_calls[0].ticket, "{}");
    ck_assert_uint_eq(client_response(call)->code, 0);
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(a_cancel_after_the_connection_is_lost_still_cancels)
{
    const char *id = session();

    client_gone(client_legacy(id, TOOL_CALL("1", ""))->id);
    client_legacy(id, CANCEL("1"));
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

START_TEST(progress_goes_to_the_stream_of_its_call)
{
    const char *id = session();
    const struct client_response *a =
        client_legacy(id, TOOL_CALL("1", ",\"_meta\":{\"progressToken\":7}"));
    const struct client_response *b =
        client_legacy(id, TOOL_CALL("2", ",\"_meta\":{\"progressToken\":\"7\"}"));

    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"echo\"}");
    client_progress(client_calls[1].ticket, "{\"progress\":1}");
    ck_assert_uint_eq(a->code, 0);
    ck_assert_ptr_nonnull(strstr(b->body, "{\"progressToken\":\"7\",\"progress\":1}"));
    client_progress(client_calls[0].ticket, "{\"progress\":2}");
    ck_assert_ptr_nonnull(strstr(a->body, "{\"progressToken\":7,\"progress\":2}"));
}
END_TEST

START_TEST(three_calls_of_a_session_run_side_by_side)
{
    const char *id = session();
    const struct client_response *responses[3];

    for (int i = 0; i < 3; i++)
        responses[i] = client_legacy(id, TOOL_CALL("1", ""));
    for (int i = 2; i >= 0; i--)
        client_result(client_calls[i].ticket, "{}");
    for (int i = 0; i < 3; i++)
        client_assert_body(responses[i], "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
}
END_TEST

/* ---- batches ---- */

static const struct client_response *batch(const char *id, const char *body)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", id);
    return client_send("POST", "/mcp", headers, body);
}

START_TEST(a_batch_is_answered_as_one)
{
    const struct client_response *response = batch(
        session_of("2025-03-26"),
        "[" PING "," TOOL_CALL("1", "") ",{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},"
                                        "{\"bad\":1}," TOOL_CALL("2", "") "]");

    ck_assert_uint_eq(response->code, 0);
    client_result(client_calls[1].ticket, "{}");
    ck_assert_uint_eq(response->code, 0);
    client_result(client_calls[0].ticket, "{}");
    client_assert_body(response,
                       "[" PONG ",{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":"
                       "\"not a JSON-RPC 2.0 message\"}},{\"jsonrpc\":\"2.0\",\"id\":2,"
                       "\"result\":{}},{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}]");
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(what_does_not_fit_into_a_batch_is_told)
{
    const size_t size = (size_t)MCP_BATCH_ANSWERS_MAX / 2 - 1000;
    char *big = malloc(size + 3);
    const struct client_response *response =
        batch(session_of("2025-03-26"),
              "[" TOOL_CALL("1", "") "," TOOL_CALL("2", "") "," TOOL_CALL("3", "") "]");

    memset(big, 'x', size);
    memcpy(big, "{\"a\":\"", 6);
    memcpy(big + size, "\"}", 3);
    for (int i = 0; i < 3; i++)
        client_result(client_calls[i].ticket, big);
    for (int i = 0; i < 10000 && !response->is_ended; i++)
        client_at(client_now.mono); /* they are handled in slices */
    ck_assert(response->is_ended);
    ck_assert_uint_gt(response->body_size, 2 * size);
    ck_assert_uint_lt(response->body_size, 2 * size + 1000);
    ck_assert_ptr_nonnull(strstr(response->body + 2 * size, "does not fit into the batch"));
    free(big);
}
END_TEST

START_TEST(a_batch_may_become_a_stream)
{
    const struct client_response *response =
        batch(session_of("2025-03-26"),
              "[" PING "," TOOL_CALL("1", ",\"_meta\":{\"progressToken\":1}") "]");

    client_progress(client_calls[0].ticket, "{}");
    client_result(client_calls[0].ticket, "{}");
    client_assert_body(response,
                       "event: message\ndata: [" PONG "]\n\n"
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                       "\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\n"
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(batches_end_in_every_way)
{
    const char *id = session_of("2025-03-26");
    const struct client_response *response;

    ck_assert_uint_eq(
        batch(id, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}]")->code, 202);
    client_assert_body(batch(id, "[" PING "]"), "[" PONG "]");
    response = batch(id, "[" TOOL_CALL("1", "") "," CANCEL("1") "]");
    ck_assert(client_calls[0].is_cancelled);
    ck_assert(response->is_ended);
    ck_assert_ptr_nonnull(
        strstr(batch(id, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                         "\"protocolVersion\":\"2025-03-26\"}}]")
                   ->body,
               "\"code\":-32600"));
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(other_revisions_and_odd_sizes_have_no_batches)
{
    char body[65 * 2 + 2] = "[";

    for (int i = 0; i < 65; i++)
        strcat(body, i == 0 ? "1" : ",1");
    strcat(body, "]");
    ck_assert_uint_eq(batch(session(), "[" PING "]")->code, 400);
    ck_assert_uint_eq(batch(session_of("2025-06-18"), "[" PING "]")->code, 400);
    ck_assert_uint_eq(batch(session_of("2025-03-26"), "[]")->code, 400);
    ck_assert_uint_eq(batch(session_of("2025-03-26"), body)->code, 400);
    ck_assert_uint_eq(client_send("POST", "/mcp", NULL, "[" PING "]")->code, 400);
    ck_assert_uint_eq(batch("0123", "[" PING "]")->code, 404);
}
END_TEST

/* ---- the GET stream ---- */

#define CHANGED                                                                                   \
    "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}" \
    "\n\n"

static const struct client_response *get(const char *target, const char *id)
{
    char line[400];
    const char *const headers[] = {line, "accept: text/event-stream", "last-event-id: 7", NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", id);
    return client_send("GET", target, headers, NULL);
}

START_TEST(the_stream_tells_of_changes)
{
    const struct client_response *response = get("/mcp", session());

    ck_assert_uint_eq(response->code, 200);
    ck_assert_str_eq(response->type, "text/event-stream");
    client_assert_body(response, "");
    client_service("b", true, tools);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(response, CHANGED);
    client_at(client_now.mono + 20 * MN_SEC);
    client_assert_body(response, CHANGED ": keep-alive\n\n");
}
END_TEST

START_TEST(a_change_while_no_stream_was_open_is_told_at_once)
{
    char id[300];

    strcpy(id, session());
    client_service("b", true, tools);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(get("/mcp", id), CHANGED);
}
END_TEST

START_TEST(a_change_the_client_has_listed_already_is_not_told)
{
    char id[300];

    strcpy(id, session());
    client_service("b", true, tools);
    client_legacy(id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
    client_assert_body(get("/mcp", id), "");
}
END_TEST

START_TEST(the_newest_stream_is_the_one)
{
    const char *id = session();
    const struct client_response *old = get("/mcp", id), *new = get("/mcp", id);

    ck_assert(old->is_ended);
    client_service("b", true, tools);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(old, "");
    client_assert_body(new, CHANGED);
    client_gone(new->id);
    client_service("b", true, tools + 1);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(new, CHANGED);
    client_assert_body(get("/mcp", id), CHANGED);
}
END_TEST

START_TEST(one_servers_stream_tells_of_that_server_alone)
{
    char id[300];
    const struct client_response *response;

    strcpy(id, client_initialize("/mcp/servers/srv", "2025-11-25"));
    response = get("/mcp/servers/srv", id);
    client_service("b", true, tools);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(response, "");
    client_service("srv", true, tools + 1);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(response, CHANGED);
    client_service_gone("srv", false);
    client_at(client_now.mono + 100 * MN_MS);
    client_assert_body(response, CHANGED CHANGED);
}
END_TEST

START_TEST(a_session_outlives_its_server)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s",
             client_initialize("/mcp/servers/srv", "2025-11-25"));
    client_service_gone("srv", false);
    ck_assert_ptr_nonnull(
        strstr(client_send("POST", "/mcp/servers/srv", headers,
                           "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}")
                   ->body,
               "\"code\":-32603"));
    client_send("POST", "/mcp/servers/srv", headers, TOOL_CALL("1", ""));
    ck_assert_str_eq(client_calls[0].service, "srv"); /* the core knows best */
    client_service("srv", true, tools);
    ck_assert_ptr_nonnull(
        strstr(client_send("POST", "/mcp/servers/srv", headers,
                           "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}")
                   ->body,
               "\"echo\""));
}
END_TEST

/* ---- streams that are taken up again ---- */

static const struct client_response *get_after(const char *id, const char *event)
{
    char line[400], last[64];
    const char *const headers[] = {line, last, "accept: text/event-stream", NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", id);
    snprintf(last, sizeof last, "last-event-id: %s", event);
    return client_send("GET", "/mcp", headers, NULL);
}

#define PROGRESS_LINE(n)                                                            \
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{" \
    "\"progressToken\":\"t\",\"progress\":" n "}}\n\n"
#define RESULT_LINE "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n"

START_TEST(a_broken_stream_goes_on_where_it_broke)
{
    const char *id = session();
    const struct client_response *response;

    client_keeps_ids = true;
    response = client_legacy(id, TOOL_CALL("1", ",\"_meta\":{\"progressToken\":\"t\"}"));
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_assert_body(response, "id: p1-1.31\nretry: 1000\ndata: \n\n"
                                 "event: message\nid: p1-2.31\n" PROGRESS_LINE("1"));
    client_gone(response->id);
    client_progress(client_calls[0].ticket, "{\"progress\":2}");
    ck_assert(!client_calls[0].is_cancelled);
    response = get_after(id, "p1-1");
    client_assert_body(response, "event: message\nid: p1-2.31\n" PROGRESS_LINE(
                                     "1") "event: message\nid: p1-3.31\n" PROGRESS_LINE("2"));
    client_forget(response->id);
    client_progress(client_calls[0].ticket, "{\"progress\":3}");
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_assert_body(response, "event: message\nid: p1-4.31\n" PROGRESS_LINE(
                                     "3") "event: message\nid: p1-5\n" RESULT_LINE);
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(an_answer_waits_for_its_client_to_come_back)
{
    const char *id = session();
    const struct client_response *response;

    client_keeps_ids = true;
    response = client_legacy(id, TOOL_CALL("1", ",\"_meta\":{\"progressToken\":\"t\"}"));
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_gone(response->id);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    response = get_after(id, "p1-2");
    client_assert_body(response, "event: message\nid: p1-3\n" RESULT_LINE);
    ck_assert(response->is_ended);
    /* nothing of it is on other streams, nor for others */
    response = get_after(id, "p7-0");
    client_assert_body(response, "");
    ck_assert(response->is_ended);
    response = get_after(id, "nonsense");
    ck_assert(!response->is_ended);
    client_assert_body(response, "");
    response = get_after(session(), "p1-0");
    client_assert_body(response, "");
}
END_TEST

START_TEST(what_is_kept_for_a_session_is_bounded)
{
    const char *id = session();
    const struct client_response *response;
    char json[4096];

    response = client_legacy(id, TOOL_CALL("1", ",\"_meta\":{\"progressToken\":\"t\"}"));
    memset(json, ' ', sizeof json);
    memcpy(json, "{\"progress\":1,\"x\":\"", strlen("{\"progress\":1,\"x\":\""));
    memcpy(json + sizeof json - 3, "\"}", 3);
    client_progress(client_calls[0].ticket, json);
    client_gone(response->id);
    for (int i = 0; i < 300; i++)
        client_progress(client_calls[0].ticket, json);
    response = get_after(id, "p1-1");
    ck_assert_uint_lt(response->body_size, 300 * 1024);
    ck_assert_uint_gt(response->body_size, 200 * 1024);
}
END_TEST

START_TEST(older_clients_get_no_event_without_data)
{
    const char *id = client_initialize("/mcp", "2025-06-18");
    const struct client_response *response;

    client_keeps_ids = true;
    response = client_legacy(id, TOOL_CALL("1", ",\"_meta\":{\"progressToken\":\"t\"}"));
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_assert_body(response, "event: message\nid: p1-1.31\n" PROGRESS_LINE("1"));
}
END_TEST

static TCase *requests(void)
{
    TCase *tcase = tcase_create("requests");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, initialize_opens_a_session);
    tcase_add_test(tcase, session_ids_differ);
    tcase_add_test(tcase, initialize_of_one_server_shows_it);
    tcase_add_test(tcase, a_bad_initialize_is_refused);
    tcase_add_test(tcase, ping_lists_and_unknown_methods);
    tcase_add_test(tcase, notifications_and_responses_are_accepted);
    tcase_add_test(tcase, without_a_session_nothing_works);
    tcase_add_test(tcase, a_session_belongs_to_its_endpoint);
    tcase_add_test(tcase, the_version_header_must_be_one_that_is_served);
    tcase_add_test(tcase, a_modern_request_is_served_beside_sessions);
    tcase_add_test(tcase, delete_ends_the_session_and_its_calls);
    tcase_add_test(tcase, an_idle_session_is_put_away_and_goes_on_when_it_is_used_again);
    tcase_add_test(tcase, an_id_is_good_at_its_endpoint_for_its_time);
    tcase_add_test(tcase, a_broken_stream_goes_on_where_it_broke);
    tcase_add_test(tcase, an_answer_waits_for_its_client_to_come_back);
    tcase_add_test(tcase, what_is_kept_for_a_session_is_bounded);
    tcase_add_test(tcase, older_clients_get_no_event_without_data);
    tcase_add_test(tcase, sessions_are_bounded_and_the_idle_ones_make_room);
    tcase_add_test(tcase, a_batch_is_answered_as_one);
    tcase_add_test(tcase, what_does_not_fit_into_a_batch_is_told);
    tcase_add_test(tcase, a_batch_may_become_a_stream);
    tcase_add_test(tcase, batches_end_in_every_way);
    tcase_add_test(tcase, other_revisions_and_odd_sizes_have_no_batches);
    return tcase;
}

static TCase *calls(void)
{
    TCase *tcase = tcase_create("calls");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, a_call_carries_what_its_session_said);
    tcase_add_test(tcase, results_of_modern_servers_are_made_legacy);
    tcase_add_test(tcase, errors_are_always_a_200_here);
    tcase_add_test(tcase, cancelling_needs_the_same_id_of_the_same_session_and_type);
    tcase_add_test(tcase, a_lost_connection_does_not_cancel);
    tcase_add_test(tcase, a_cancel_after_the_connection_is_lost_still_cancels);
    tcase_add_test(tcase, progress_goes_to_the_stream_of_its_call);
    tcase_add_test(tcase, three_calls_of_a_session_run_side_by_side);
    tcase_add_test(tcase, the_stream_tells_of_changes);
    tcase_add_test(tcase, a_change_while_no_stream_was_open_is_told_at_once);
    tcase_add_test(tcase, a_change_the_client_has_listed_already_is_not_told);
    tcase_add_test(tcase, the_newest_stream_is_the_one);
    tcase_add_test(tcase, one_servers_stream_tells_of_that_server_alone);
    tcase_add_test(tcase, a_session_outlives_its_server);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("front_legacy");

    suite_add_tcase(suite, requests());
    suite_add_tcase(suite, calls());
    return suite_run(suite);
}
