/* Streams of MCP servers at a URL that belong to no call, and sessions whose connection breaks. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tests/mcp/upstream_endpoint.h"
#include "tests/suite.h"

START_TEST(legacy_stream_tells_of_changes_and_is_opened_again)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_body(&w, stream,
               "id: s-9\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
               "\"notifications/tools/list_changed\"}\n\n");
    world_pass(&w, 110 * MN_MS);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, "[]"));
    ck_assert_uint_eq(world_offer(&w)->tools_count, 0);
    world_end(&w, stream, MN_IO, "reset");
    world_pass(&w, 1000 * MN_MS);
    stream = world_fetch(&w);
    ck_assert_str_eq(stream->method, "GET");
    assert_header(stream, "last-event-id", "s-9");
    world_head(&w, stream, 200, SSE, NULL);
    world_pass(&w, 110 * MN_MS); /* something may have been missed */
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, "[]"));
    ck_assert_ptr_null(world_fetch(&w));
}
END_TEST

START_TEST(endpoint_without_streams_is_looked_at_now_and_then)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_pass(&w, 59 * MN_SEC);
    ck_assert_ptr_null(world_fetch(&w));
    world_pass(&w, 2 * MN_SEC);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    ck_assert_ptr_null(world_fetch(&w)); /* no second try of the stream */
    world_pass(&w, 61 * MN_SEC);
    world_end(&w, next_request("tools/list"), MN_UNREACHABLE, "gone");
    assert_state("h", UPSTREAM_BACKOFF);
}
END_TEST

START_TEST(lost_session_is_noticed_by_the_stream)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_pass(&w, 10 * MN_SEC);
    world_end(&w, stream, MN_OK, "");
    world_pass(&w, 2 * MN_SEC);
    world_reply(&w, world_fetch(&w), _i == 0 ? 404 : 400, NULL, NULL);
    next_request("initialize");
}
END_TEST

/* What a server whose connection broke says to the ping in the session of before. */
enum after { GOES_ON, IS_GONE, WAITS };
static const struct {
    uint32_t code; /* 0: it cannot be reached */
    const char *type, *text;
    enum after after;
} pings[] = {
    {200, JSON, NULL, GOES_ON}, /* a result */
    {200, JSON, "-32601", GOES_ON},
    {404, NULL, NULL, IS_GONE},
    {404, JSON, "-32001", IS_GONE},
    {400, JSON,
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"No valid "
     "session\"}}",
     IS_GONE},
    {400, NULL, "session?", IS_GONE},
    {503, NULL, NULL, WAITS},
    {500, NULL, NULL, IS_GONE}, /* says the server, not what stands in front of it */
    {500, JSON, "-32603", IS_GONE},
    {502, "text/html", "<html>", WAITS},
    {0, NULL, NULL, WAITS},
};

static void reply_ping(struct world_fetch *ping, uint32_t code, const char *type, const char *text)
{
    if (code == 0)
        world_end(&w, ping, MN_UNREACHABLE, "refused");
    else if (code == 200 && text == NULL)
        world_reply_result(&w, ping, "{}");
    else if (text != NULL && text[0] == '-')
        world_reply(&w, ping, code, type, error_of(ping, atoi(text), ""));
    else
        world_reply(&w, ping, code, type, text);
}

static struct world_fetch *next_ping(void)
{
    struct world_fetch *ping = next_request("ping");

    assert_header(ping, "mcp-session-id", "sess-1");
    assert_header(ping, "mcp-protocol-version", "2025-11-25");
    ck_assert_ptr_null(world_fetch(&w));
    return ping;
}

static void assert_goes_on(void)
{
    struct world_fetch *fetch = next_request("tools/list"); /* what happened meanwhile */

    assert_header(fetch, "mcp-session-id", "sess-1");
    world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
    assert_state("h", UPSTREAM_READY);
    fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "GET");
    assert_header(fetch, "mcp-session-id", "sess-1");
    assert_header(fetch, "last-event-id", "s-9");
}

START_TEST(session_outlives_its_connection)
{
    enum after after = pings[_i].after;

    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w), *fetch;
    world_head(&w, stream, 200, SSE, NULL);
    world_body(&w, stream, "id: s-9\ndata:\n\n");
    world_pass(&w, 5 * MN_SEC);
    world_call_echo(&w, 1, "h");
    world_end(&w, next_request("tools/call"), MN_UNREACHABLE, "refused");
    ck_assert_int_eq(world_event(&w)->failure, CALL_UNAVAILABLE);
    ck_assert(stream->is_cancelled);
    assert_state("h", UPSTREAM_BACKOFF);
    world_pass(&w, 600 * MN_MS);
    reply_ping(next_ping(), pings[_i].code, pings[_i].type, pings[_i].text);
    if (after == WAITS) {
        ck_assert_ptr_null(world_fetch(&w));
        assert_state("h", UPSTREAM_BACKOFF);
        world_pass(&w, 1100 * MN_MS);
        reply_ping(next_ping(), 200, JSON, NULL);
    }
    if (after == IS_GONE) {
        fetch = next_request("initialize");
        assert_header(fetch, "mcp-session-id", NULL);
    } else {
        assert_goes_on();
    }
}
END_TEST

START_TEST(list_that_broke_off_ends_no_session)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_body(&w, stream,
               "id: s-9\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
               "\"notifications/tools/list_changed\"}\n\n");
    world_pass(&w, 110 * MN_MS);
    world_end(&w, next_request("tools/list"), MN_IO, "reset");
    assert_state("h", UPSTREAM_BACKOFF);
    world_pass(&w, 600 * MN_MS);
    world_reply_result(&w, next_ping(), "{}");
    assert_goes_on();
}
END_TEST

/* Then another session may be what helps. */
START_TEST(silence_ends_the_session)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_call_echo(&w, 1, "h");
    world_end(&w, next_request("tools/call"), MN_UNREACHABLE, "refused");
    world_pass(&w, 600 * MN_MS);
    next_ping();
    world_pass(&w, UPSTREAM_HANDSHAKE_TIMEOUT + 2 * MN_SEC); /* no answer; the next start */
    struct world_fetch *fetch = world_fetch(&w);
    ck_assert_ptr_nonnull(fetch);
    assert_header(fetch, "mcp-session-id", NULL);
}
END_TEST

START_TEST(call_is_resumed_when_its_server_was_away)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_call_echo(&w, 1, "h");
    struct world_fetch *call = next_request("tools/call"), *fetch;
    world_head(&w, call, 200, SSE, NULL);
    world_body(&w, call, "id: e-1\ndata:\n\n");
    world_end(&w, call, MN_IO, "reset");
    for (int i = 0; i < 3; i++) {
        world_pass(&w, 1100 * MN_MS);
        fetch = world_fetch(&w);
        ck_assert_str_eq(fetch->method, "GET");
        assert_header(fetch, "last-event-id", "e-1");
        if (i < 2) world_end(&w, fetch, MN_UNREACHABLE, "refused");
    }
    world_head(&w, fetch, 200, SSE, NULL);
    world_body(&w, fetch, event(result_of(call, "{\"content\":[]}")));
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

/* Where the stream shall go on may be too long ago for the server: the session is not. */
START_TEST(place_that_is_refused_ends_no_session)
{
    world_up_http(&w, "h");
    struct world_fetch *stream = world_fetch(&w);
    world_head(&w, stream, 200, SSE, NULL);
    world_body(&w, stream, "id: s-9\ndata:\n\n");
    world_pass(&w, 10 * MN_SEC);
    world_end(&w, stream, MN_OK, "");
    world_pass(&w, 1100 * MN_MS);
    stream = world_fetch(&w);
    assert_header(stream, "last-event-id", "s-9");
    world_pass(&w, 110 * MN_MS);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    world_reply(&w, stream, 400, NULL, "Invalid event ID");
    assert_state("h", UPSTREAM_READY);
    world_pass(&w, 5 * MN_SEC);
    stream = world_fetch(&w);
    ck_assert_str_eq(stream->method, "GET");
    assert_header(stream, "last-event-id", NULL);
    assert_header(stream, "mcp-session-id", "sess-1");
}
END_TEST

START_TEST(endpoint_that_knows_only_post_is_left_alone)
{
    world_up_http(&w, "h");
    world_pass(&w, 10 * MN_SEC);
    world_reply(&w, world_fetch(&w), 404, "text/html", "Cannot GET /mcp");
    ck_assert_ptr_null(world_fetch(&w));
    assert_state("h", UPSTREAM_READY);
}
END_TEST

START_TEST(lost_session_is_noticed_by_the_list)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_pass(&w, 61 * MN_SEC);
    struct world_fetch *list = next_request("tools/list");
    world_reply(&w, list, 400, JSON,
                "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"?\"}}");
    world_reply(&w, next_request("initialize"), 503, NULL, NULL);
    assert_state("h", UPSTREAM_BACKOFF);
    world_pass(&w, MN_SEC);
    next_request("initialize");
}
END_TEST

START_TEST(refused_list_keeps_the_tools_of_a_running_server)
{
    world_up_http(&w, "h");
    world_reply(&w, world_fetch(&w), 405, NULL, NULL);
    world_pass(&w, 61 * MN_SEC);
    struct world_fetch *list = next_request("tools/list");
    world_reply(&w, list, 200, JSON, error_of(list, -32603, ""));
    assert_state("h", UPSTREAM_READY);
    ck_assert_uint_eq(w.offers_count, 1);
    world_pass(&w, 61 * MN_SEC);
    next_request("tools/list");
}
END_TEST

START_TEST(list_refused_while_coming_up_is_a_break)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    world_reply_result(&w, next_request("server/discover"), WORLD_MODERN);
    world_reply(&w, next_request("tools/list"), 404, NULL, NULL);
    assert_state("h", UPSTREAM_BACKOFF);
    ck_assert_ptr_null(world_fetch(&w));
}
END_TEST

START_TEST(modern_endpoint_is_listened_to)
{
    ck_assert_int_eq(world_add_url(&w, "h", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    world_reply_result(&w, next_request("server/discover"),
                       "{\"supportedVersions\":[\"2026-07-28\"],"
                       "\"capabilities\":{\"tools\":{\"listChanged\":true}}}");
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    struct world_fetch *listen = next_request("subscriptions/listen");
    assert_header(listen, "mcp-method", "subscriptions/listen");
    world_head(&w, listen, 200, SSE, NULL);
    world_body(&w, listen,
               event("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\","
                     "\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":3}}}"));
    world_pass(&w, 110 * MN_MS);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, "[]"));
    ck_assert_uint_eq(world_offer(&w)->tools_count, 0);
    world_end(&w, listen, MN_OK, "");
    world_pass(&w, 1100 * MN_MS);
    listen = next_request("subscriptions/listen");
    world_reply(&w, listen, 500, NULL, NULL); /* a failing one is tried ever more slowly */
    world_pass(&w, 110 * MN_MS);
    world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, "[]"));
    world_pass(&w, 1500 * MN_MS);
    ck_assert_ptr_null(world_fetch(&w));
    world_pass(&w, 1000 * MN_MS);
    next_request("subscriptions/listen");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("upstream_http");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, legacy_stream_tells_of_changes_and_is_opened_again);
    tcase_add_test(tc, endpoint_without_streams_is_looked_at_now_and_then);
    tcase_add_loop_test(tc, lost_session_is_noticed_by_the_stream, 0, 2);
    tcase_add_loop_test(tc, session_outlives_its_connection, 0, sizeof pings / sizeof pings[0]);
    tcase_add_test(tc, list_that_broke_off_ends_no_session);
    tcase_add_test(tc, silence_ends_the_session);
    tcase_add_test(tc, call_is_resumed_when_its_server_was_away);
    tcase_add_test(tc, place_that_is_refused_ends_no_session);
    tcase_add_test(tc, endpoint_that_knows_only_post_is_left_alone);
    tcase_add_test(tc, lost_session_is_noticed_by_the_list);
    tcase_add_test(tc, refused_list_keeps_the_tools_of_a_running_server);
    tcase_add_test(tc, list_refused_while_coming_up_is_a_break);
    tcase_add_test(tc, modern_endpoint_is_listened_to);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}
