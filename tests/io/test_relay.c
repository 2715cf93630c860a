/* `meshnode mcp`, without pipes and sockets: lines in, requests out; responses in, lines out. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/io/relay.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"
#define INITIALIZE                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-06-18\"}}"
#define INITIALIZED "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"
#define CALL \
    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}"

static struct relay *relay;
static struct edge_outbox outbox;
static struct mn_arena arena;
static struct mn_now now;
static char said[65536]; /* each line, and a newline */

static void say(void *owner, struct mn_span line)
{
    (void)owner;
    size_t used = strlen(said);
    ck_assert_uint_lt(used + line.size + 2, sizeof said);
    memcpy(said + used, line.data, line.size);
    said[used + line.size] = '\n';
}

static void setup(void)
{
    const struct relay_config config = {mn_span_str("http://h/mcp"), mn_span_str("secret"), NULL,
                                        say};
    relay = relay_new(&config);
    outbox = (struct edge_outbox){.arena = &arena};
    now = (struct mn_now){.mono = MN_SEC, .wall = MN_SEC};
    memset(said, 0, sizeof said);
}

static void teardown(void)
{
    relay_free(relay);
    edge_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

static void forget(void)
{
    edge_outbox_reset(&outbox);
    memset(said, 0, sizeof said);
}

static void take(const char *text)
{
    ck_assert(relay_is_ready(relay));
    relay_take(relay, mn_buf_copy(mn_span_str(text)), &outbox);
}

/* The only output: a request. */
static const struct edge_output *started(const char *method)
{
    ck_assert_uint_eq(outbox.count, 1);
    ck_assert_int_eq(outbox.items[0].type, EDGE_OUT_FETCH_START);
    ck_assert(mn_span_is(outbox.items[0].fetch_start->method, method));
    return &outbox.items[0];
}

static const char *header(const struct edge_output *output, const char *name)
{
    const struct edge_fetch *start = output->fetch_start;
    for (uint32_t i = 0; i < start->headers_count; i++) {
        if (mn_span_is(start->headers[i].name, name))
            return mn_arena_format(&arena, "%.*s", (int)start->headers[i].value.size,
                                   (const char *)start->headers[i].value.data);
    }
    return "";
}

static void head(uint64_t fetch, uint32_t code, const char *type, const char *session)
{
    const struct edge_header headers[] = {{mn_span_str("content-type"), mn_span_str(type)},
                                          {mn_span_str("mcp-session-id"), mn_span_str(session)}};
    const struct edge_input input = {.type = EDGE_IN_FETCH_HEAD,
                                     .id = fetch,
                                     .code = code,
                                     .headers = headers,
                                     .headers_count = session[0] == '\0' ? 1 : 2};
    relay_step(relay, now, &input, &outbox);
}

static void body(uint64_t fetch, const char *text)
{
    const struct edge_input input = {
        .type = EDGE_IN_FETCH_BODY, .id = fetch, .bytes = mn_span_str(text)};
    relay_step(relay, now, &input, &outbox);
}

static void done(uint64_t fetch, mn_status status)
{
    const struct edge_input input = {
        .type = EDGE_IN_FETCH_DONE, .id = fetch, .status = status, .text = mn_span_str("refused")};
    relay_step(relay, now, &input, &outbox);
}

static void answer(uint64_t fetch, uint32_t code, const char *text)
{
    head(fetch, code, "application/json", "");
    if (text[0] != '\0') body(fetch, text);
    done(fetch, MN_OK);
}

static void tick(mn_time delay)
{
    const struct edge_input input = {.type = EDGE_IN_TICK};
    now.mono += delay;
    relay_step(relay, now, &input, &outbox);
}

/* A legacy session "s1"; the GET stream's fetch is returned. */
static uint64_t open_session(void)
{
    take(INITIALIZE);
    uint64_t fetch = started("POST")->id;
    head(fetch, 200, "application/json", "s1");
    body(fetch, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}");
    done(fetch, MN_OK);
    forget();
    take(INITIALIZED);
    ck_assert_uint_eq(outbox.count, 2);
    uint64_t notice = outbox.items[0].id, stream = outbox.items[1].id;
    ck_assert(mn_span_is(outbox.items[1].fetch_start->method, "GET"));
    answer(notice, 202, "");
    ck_assert_str_eq(said, "");
    forget();
    return stream;
}

START_TEST(a_modern_request_repeats_itself_in_headers)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"gr\u00fc"
         "n\"," META "}}");
    const struct edge_output *post = started("POST");
    ck_assert_str_eq(header(post, "mcp-protocol-version"), "2026-07-28");
    ck_assert_str_eq(header(post, "mcp-method"), "tools/call");
    ck_assert_str_eq(header(post, "mcp-name"), "=?base64?Z3LDvG4=?=");
    ck_assert_str_eq(header(post, "authorization"), "Bearer secret");
    ck_assert_str_eq(header(post, "accept"), "application/json, text/event-stream");
    ck_assert_str_eq(header(post, "mcp-session-id"), "");
    answer(post->id, 200, "{\"jsonrpc\":\"2.0\",\r\n\"id\":1,\"result\":{\"n\":1e400}}");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",  \"id\":1,\"result\":{\"n\":1e400}}\n");
}
END_TEST

START_TEST(many_requests_run_at_once_and_answers_come_as_they_do)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}");
    uint64_t first = started("POST")->id;
    forget();
    take("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{" META "}}");
    uint64_t second = started("POST")->id;
    answer(second, 200, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    answer(first, 200, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n"
                           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
}
END_TEST

START_TEST(events_of_a_stream_become_lines)
{
    take(CALL);
    uint64_t fetch = started("POST")->id;
    head(fetch, 200, "text/event-stream; charset=utf-8", "");
    body(fetch, "id: 1\ndata:\n\n: comment\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\nda");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n");
    body(fetch, "ta: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\ndata: \"result\":{}}\n\n");
    done(fetch, MN_OK);
    ck_assert_ptr_nonnull(strstr(said, "{\"jsonrpc\":\"2.0\",\"id\":\"a\", \"result\":{}}\n"));
}
END_TEST

START_TEST(a_legacy_session_goes_along_as_headers)
{
    uint64_t stream = open_session();
    take(CALL);
    const struct edge_output *post = started("POST");
    ck_assert_str_eq(header(post, "mcp-session-id"), "s1");
    ck_assert_str_eq(header(post, "mcp-protocol-version"), "2025-06-18");
    ck_assert_str_eq(header(post, "mcp-method"), "");
    head(stream, 200, "text/event-stream", "");
    body(stream, "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n\n");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n");
}
END_TEST

START_TEST(nothing_overtakes_initialize_and_notifications)
{
    take(INITIALIZE);
    ck_assert(!relay_is_ready(relay));
    uint64_t fetch = started("POST")->id;
    answer(fetch, 200, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}");
    ck_assert(relay_is_ready(relay));
    forget();
    take("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}"); /* an answer to a question of the node */
    ck_assert(!relay_is_ready(relay));
    answer(started("POST")->id, 202, "");
    ck_assert(relay_is_ready(relay));
}
END_TEST

START_TEST(a_session_that_the_node_forgot_is_opened_again)
{
    uint64_t stream = open_session();
    take(CALL);
    uint64_t call = started("POST")->id;
    forget();
    answer(call, 404, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"no\"}}");
    uint64_t reopen = started("POST")->id; /* initialize, by ourselves */
    ck_assert(mn_span_is(mn_buf_span(outbox.items[0].fetch_start->body), INITIALIZE));
    ck_assert_str_eq(header(&outbox.items[0], "mcp-session-id"), "");
    ck_assert(!relay_is_ready(relay));
    forget();
    done(stream, MN_CLOSED);
    head(reopen, 200, "application/json", "s2");
    body(reopen, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}");
    done(reopen, MN_OK);
    uint64_t notice = started("POST")->id;
    ck_assert_str_eq(header(&outbox.items[0], "mcp-session-id"), "s2");
    forget();
    answer(notice, 202, "");
    ck_assert_uint_eq(outbox.count, 2); /* the stream, and the call once more */
    ck_assert(mn_span_is(outbox.items[0].fetch_start->method, "GET"));
    ck_assert_str_eq(header(&outbox.items[1], "mcp-session-id"), "s2");
    ck_assert(mn_span_is(mn_buf_span(outbox.items[1].fetch_start->body), CALL));
    answer(outbox.items[1].id, 200, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n");
    ck_assert(relay_is_ready(relay));
}
END_TEST

START_TEST(when_no_new_session_can_be_opened_the_call_fails)
{
    (void)open_session();
    take(CALL);
    uint64_t call = started("POST")->id;
    forget();
    answer(call, 404, "");
    uint64_t reopen = started("POST")->id;
    answer(reopen, 503, "");
    ck_assert_ptr_nonnull(strstr(said, "\"id\":\"a\""));
    ck_assert_ptr_nonnull(strstr(said, "no new one could be opened"));
    ck_assert(relay_is_ready(relay));
}
END_TEST

START_TEST(a_broken_stream_is_opened_again_after_a_while)
{
    uint64_t stream = open_session();
    done(stream, MN_CLOSED);
    ck_assert_uint_eq(outbox.count, 0);
    ck_assert_uint_eq(relay_deadline(relay), now.mono + MN_SEC);
    tick(MN_SEC);
    answer(started("GET")->id, 405, ""); /* not offered: that is that */
    ck_assert_uint_eq(relay_deadline(relay), MN_TIME_NEVER);
}
END_TEST

/* Each request gets exactly one answer, whatever happens to it. */
static const struct {
    uint32_t code;
    const char *type, *body;
    mn_status status;
    const char *text;
} failures[] = {
    {0, "", "", MN_UNREACHABLE, "cannot reach meshnode at http://h/mcp: refused; is it running?"},
    {0, "", "", MN_CLOSED, "the outcome is unknown"},
    {200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n", MN_OK,
     "stream ended without an answer; the outcome is unknown"},
    {200, "application/json", "", MN_OK, "HTTP status 200"},
    {200, "application/json", "not json", MN_OK, "HTTP status 200"},
    {401, "text/plain", "", MN_OK, "HTTP status 401: a token is needed"},
    {502, "text/html", "<html>", MN_OK, "HTTP status 502"},
};

START_TEST(a_request_without_an_answer_gets_one)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":{" META "}}");
    uint64_t fetch = started("POST")->id;
    if (failures[_i].code != 0) head(fetch, failures[_i].code, failures[_i].type, "");
    if (failures[_i].body[0] != '\0') body(fetch, failures[_i].body);
    done(fetch, failures[_i].status);
    ck_assert_ptr_nonnull(strstr(said, "\"id\":7,\"error\":{\"code\":-32603"));
    ck_assert_ptr_nonnull(strstr(said, failures[_i].text));
}
END_TEST

START_TEST(an_error_of_the_node_is_passed_on)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"nope\",\"params\":{" META "}}");
    answer(started("POST")->id, 404,
           "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32601,\"message\":\"m\"}}");
    ck_assert_str_eq(
        said, "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32601,\"message\":\"m\"}}\n");
}
END_TEST

/* It would wait for ever for an answer under its id. */
START_TEST(a_refusal_without_an_id_is_the_answer_of_its_request)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"tools/list\",\"params\":{" META "}}");
    answer(started("POST")->id, 403,
           "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"m\",\"data\":[1.0]}}");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32600,"
                           "\"message\":\"m\",\"data\":[1.0]}}\n");
    forget();
    take("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/list\",\"params\":{" META "}}");
    answer(started("POST")->id, 401,
           "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"a token\"}}");
    ck_assert_ptr_nonnull(strstr(said, "\"id\":8,"));
    ck_assert_ptr_nonnull(strstr(said, "a token; the token is read from the file that MESHCTL_"));
}
END_TEST

static const struct {
    const char *line, *said;
} malformed[] = {
    {"{", "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"not valid JSON\"}}\n"},
    {"{\"jsonrpc\":\"2.0\",\"id\":3}",
     "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32600,\"message\":\"not a JSON-RPC 2.0 "
     "message\"}}\n"},
};

START_TEST(what_is_no_message_is_answered_here)
{
    take(malformed[_i].line);
    ck_assert_uint_eq(outbox.count, 0);
    ck_assert_str_eq(said, malformed[_i].said);
    ck_assert(relay_is_ready(relay));
}
END_TEST

START_TEST(a_modern_cancel_closes_the_request)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," META
         "}}");
    uint64_t fetch = started("POST")->id;
    forget();
    take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
         "cancelled\",\"params\":{\"requestId\":7}}");
    ck_assert_uint_eq(outbox.count, 1);
    ck_assert_int_eq(outbox.items[0].type, EDGE_OUT_FETCH_CANCEL);
    ck_assert_uint_eq(outbox.items[0].id, fetch);
    body(fetch, "late");
    done(fetch, MN_OK);
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(a_legacy_cancel_is_a_message)
{
    (void)open_session();
    take(CALL);
    forget();
    take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":"
         "\"a\"}}");
    ck_assert_str_eq(header(started("POST"), "mcp-session-id"), "s1");
}
END_TEST

START_TEST(the_end_waits_for_answers_then_ends_the_session)
{
    uint64_t stream = open_session();
    take(CALL);
    uint64_t call = started("POST")->id;
    forget();
    relay_end(relay, now, &outbox);
    ck_assert_uint_eq(outbox.count, 1);
    ck_assert_int_eq(outbox.items[0].type, EDGE_OUT_FETCH_CANCEL);
    ck_assert_uint_eq(outbox.items[0].id, stream);
    forget();
    answer(call, 200, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}");
    ck_assert_str_eq(said, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n");
    ck_assert(!relay_is_done(relay));
    uint64_t ended = started("DELETE")->id;
    ck_assert_str_eq(header(&outbox.items[0], "mcp-session-id"), "s1");
    answer(ended, 200, "");
    ck_assert(relay_is_done(relay));
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_listen_stream_or_for_ever)
{
    take("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{" META
         "}}");
    forget();
    take("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{" META "}}");
    uint64_t hung = started("POST")->id;
    forget();
    relay_end(relay, now, &outbox);
    ck_assert_uint_eq(outbox.count, 1); /* the listen stream */
    forget();
    tick(30 * MN_SEC);
    ck_assert_uint_eq(outbox.count, 1);
    ck_assert_uint_eq(outbox.items[0].id, hung);
    ck_assert(relay_is_done(relay));
}
END_TEST

START_TEST(without_a_session_the_end_is_at_once)
{
    relay_end(relay, now, &outbox);
    ck_assert_uint_eq(outbox.count, 0);
    ck_assert(relay_is_done(relay));
}
END_TEST

START_TEST(a_batch_is_passed_on_as_it_is)
{
    (void)open_session();
    take("[" CALL "]");
    answer(started("POST")->id, 200, "[{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}]");
    ck_assert_str_eq(said, "[{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}]\n");
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

int main(void)
{
    TCase *tcase = tcase_create("relay");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_modern_request_repeats_itself_in_headers);
    tcase_add_test(tcase, many_requests_run_at_once_and_answers_come_as_they_do);
    tcase_add_test(tcase, events_of_a_stream_become_lines);
    tcase_add_test(tcase, a_legacy_session_goes_along_as_headers);
    tcase_add_test(tcase, nothing_overtakes_initialize_and_notifications);
    tcase_add_test(tcase, a_session_that_the_node_forgot_is_opened_again);
    tcase_add_test(tcase, when_no_new_session_can_be_opened_the_call_fails);
    tcase_add_test(tcase, a_broken_stream_is_opened_again_after_a_while);
    tcase_add_loop_test(tcase, a_request_without_an_answer_gets_one, 0, COUNT(failures));
    tcase_add_test(tcase, an_error_of_the_node_is_passed_on);
    tcase_add_test(tcase, a_refusal_without_an_id_is_the_answer_of_its_request);
    tcase_add_loop_test(tcase, what_is_no_message_is_answered_here, 0, COUNT(malformed));
    tcase_add_test(tcase, a_modern_cancel_closes_the_request);
    tcase_add_test(tcase, a_legacy_cancel_is_a_message);
    tcase_add_test(tcase, the_end_waits_for_answers_then_ends_the_session);
    tcase_add_test(tcase, the_end_does_not_wait_for_a_listen_stream_or_for_ever);
    tcase_add_test(tcase, without_a_session_the_end_is_at_once);
    tcase_add_test(tcase, a_batch_is_passed_on_as_it_is);
    Suite *suite = suite_create("relay");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
