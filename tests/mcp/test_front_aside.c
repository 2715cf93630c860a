/* What servers say to one client outside of calls, on the stream of its session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\"}}"
#define LEVEL(level) ID "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"" level "\"}}"
#define LISTEN "subscriptions/listen"
#define LOG "notifications/message"
#define assert_has(text, part) \
    ck_assert_msg(strstr((text), (part)) != NULL, "%s is not in %s", (part), (text))

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static char ann[300], bob[300];

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-06-18"));
    client_forget_all();
}

static void call(const char *session)
{
    client_legacy(session, CALL);
    client_result(client_calls[client_calls_count - 1].ticket, "{\"content\":[]}");
}

static struct client_call *feed(void)
{
    for (uint32_t i = client_calls_count; i > 0; i--)
        if (strcmp(client_calls[i - 1].request->method, LISTEN) == 0) return &client_calls[i - 1];
    return NULL;
}

/* That session hears from now on; what stands for it. */
static struct mn_span hears(const char *session)
{
    call(session);
    ck_assert_ptr_nonnull(feed());
    client_served(feed()->ticket);
    client_at(client_now.mono + MN_MS);
    ck_assert_uint_eq(client_input.session.size, 16);
    return client_input.session;
}

START_TEST(a_session_hears_on_its_stream)
{
    const struct client_response *stream = client_stream(ann), *other = client_stream(bob);
    struct mn_span whose = hears(ann);

    ck_assert_uint_eq(feed()->node.bytes[0], 9); /* of the node that served its call */
    ck_assert_str_eq(client_input.levels, "info ");
    client_forget(stream->id);
    client_aside(feed()->ticket, whose, LOG, "{\"level\":\"info\",\"data\":1e400}");
    client_assert_body(stream,
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                       "\"notifications/message\",\"params\":{\"_meta\":{\"meshnode/server\":"
                       "\"srv\"},\"level\":\"info\",\"data\":1e400}}\n\n");
    client_assert_body(other, "");
    ck_assert(!feed()->is_cancelled);
    client_gone(stream->id);
    ck_assert(feed()->is_cancelled);
}
END_TEST

START_TEST(each_hears_its_own)
{
    const struct client_response *stream = client_stream(ann), *other = client_stream(bob);
    struct mn_span anns = hears(ann), bobs;

    call(bob);
    client_at(client_now.mono + MN_MS);
    ck_assert_str_eq(client_input.levels, "info info ");
    bobs = mn_span_equal(client_input.session, anns) ? mn_span(NULL, 0) : client_input.session;
    client_forget(stream->id);
    client_aside(feed()->ticket, anns, LOG, "{\"level\":\"info\",\"data\":\"for ann\"}");
    assert_has(stream->body, "for ann");
    client_assert_body(other, "");
    client_forget(stream->id);
    if (bobs.size > 0) client_aside(feed()->ticket, bobs, LOG, "{\"level\":\"info\",\"data\":2}");
    client_assert_body(stream, "");
}
END_TEST

START_TEST(levels_are_told_and_kept_to)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);

    client_legacy(ann, LEVEL("error"));
    client_at(client_now.mono + MN_MS);
    ck_assert_str_eq(client_input.levels, "error ");
    client_forget(stream->id);
    client_aside(feed()->ticket, whose, LOG, "{\"level\":\"warning\",\"data\":1}");
    client_assert_body(stream, "");
    client_aside(feed()->ticket, whose, LOG, "{\"level\":\"alert\",\"data\":1}");
    assert_has(stream->body, "alert");
    call(ann);
    ck_assert(client_calls[client_calls_count - 1].request->wants_logs);
}
END_TEST

START_TEST(a_stream_that_is_opened_later_hears)
{
    call(ann);
    ck_assert_ptr_null(feed());
    ck_assert(!client_calls[0].request->wants_logs);
    client_stream(ann);
    ck_assert_ptr_nonnull(feed());
}
END_TEST

/* What a member may say, and is not passed on. */
static const struct {
    const char *method, *params;
} bad[] = {
    {LOG, "{\"level\":\"shout\",\"data\":1}"},
    {LOG, "{\"data\":1}"},
    {LOG, ""},
    {LOG, "nonsense"},
    {LOG, "[{\"level\":\"info\"}]"},
    {"", "{}"},
    {"notifications/with\"quote", "{}"},
    {"notifications/with\nline", "{}"},
    {"notifications/progress", "{\"progressToken\":1,\"progress\":1}"},
    {"notifications/cancelled", "{\"requestId\":1}"},
    {"notifications/tools/list_changed", "{}"},
    {"notifications/resources/updated", "{\"uri\":\"x://1\"}"},
    {"notifications/tasks/status", "{\"taskId\":\"t\",\"status\":\"completed\"}"},
};

START_TEST(what_has_a_way_of_its_own_or_is_none_is_dropped)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);

    client_forget(stream->id);
    client_aside(feed()->ticket, whose, bad[_i].method, bad[_i].params);
    client_aside(feed()->ticket, mn_span_str("another session."), LOG, "{\"level\":\"error\"}");
    client_aside(feed()->ticket, mn_span(NULL, 0), LOG, "{\"level\":\"error\"}");
    client_assert_body(stream, "");
}
END_TEST

START_TEST(urls_are_done_with_where_they_have_ids)
{
    const struct client_response *streams[] = {client_stream(ann), client_stream(bob)};
    struct mn_span whose = hears(_i == 0 ? ann : bob);

    client_aside(feed()->ticket, whose, "notifications/elicitation/complete",
                 "{\"elicitationId\":\"e-1\"}");
    ck_assert_int_eq(strstr(streams[_i]->body, "e-1") != NULL, _i == 0);
}
END_TEST

START_TEST(who_does_not_read_misses_it)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    static char params[16384];

    snprintf(params, sizeof params, "{\"level\":\"info\",\"data\":\"%0*d\"}", 16000, 0);
    for (uint32_t i = 0; i < 2 * FRONT_UNREAD_MAX / 16000; i++)
        client_aside(feed()->ticket, whose, LOG, params);
    ck_assert_uint_lt(stream->body_size, FRONT_UNREAD_MAX + 40000);
    client_writable(stream->id);
    client_forget(stream->id);
    client_aside(feed()->ticket, whose, LOG, params);
    ck_assert_uint_gt(stream->body_size, 16000);
}
END_TEST

/* ---- questions ---- */

#define ASK "elicitation/create"

static uint64_t id_in(const char *body)
{
    unsigned long long id = 0;

    ck_assert_int_eq(sscanf(strstr(body, "\"id\":"), "\"id\":%llu", &id), 1);
    return id;
}

static void respond(const char *session, uint64_t id, const char *how)
{
    char body[300];

    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,%s}", (unsigned long long)id,
             how);
    client_legacy(session, body);
}

START_TEST(a_client_is_asked_on_its_stream)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint32_t count = client_calls_count;
    const struct client_call *answer;
    uint64_t id;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", ASK,
                          "{\"message\":1e400,\"_meta\":{\"a\":1}}");
    assert_has(stream->body, "\"method\":\"elicitation/create\",\"params\":{\"_meta\":{"
                             "\"meshnode/server\":\"srv\",\"a\":1},\"message\":1e400}");
    id = id_in(stream->body);
    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", ASK, "{\"message\":1e400}");
    client_assert_body(stream, ""); /* it was asked that */
    respond(bob, id, "\"result\":{\"action\":\"decline\"}");
    ck_assert_uint_eq(client_calls_count, count); /* it was not bob who was asked */
    respond(ann, id, "\"result\":{\"action\":\"accept\"}");
    ck_assert_uint_eq(client_calls_count, count + 1);
    answer = &client_calls[count];
    ck_assert_str_eq(answer->request->method, "meshnode#answer");
    ck_assert_str_eq(answer->request->answer->key, "k-1");
    ck_assert(mn_span_is(pb_span(answer->request->answer->result), "{\"action\":\"accept\"}"));
    ck_assert(mn_span_equal(pb_span(answer->request->session), whose));
    ck_assert(mn_id_equal(&answer->node, &feed()->node));
    respond(ann, id, "\"result\":{\"action\":\"accept\"}");
    ck_assert_uint_eq(client_calls_count, count + 1);
}
END_TEST

START_TEST(a_large_answer_goes_to_its_server_too)
{
    static const char result[] = "{\"data\":\"";
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint32_t count = client_calls_count;
    char head[200], line[400];
    const char *const headers[] = {line, NULL}, *body;
    const Meshnode__Gateway__Answer *answer;
    uint64_t post;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", ASK, "{}");
    snprintf(head, sizeof head, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s",
             (unsigned long long)id_in(stream->body), result);
    snprintf(line, sizeof line, "mcp-session-id: %s", ann);
    body = large_made(head, "A", LARGE / 32, "\"}}");
    post = client_open("POST", "/mcp", headers);
    client_body(post, body, LARGE_PIECE, false);
    client_body(post, body + LARGE_PIECE, strlen(body) - LARGE_PIECE, true);
    ck_assert_uint_eq(client_response(post)->code, 202);
    ck_assert_uint_eq(client_calls_count, count);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, count + 1);
    answer = client_calls[count].request->answer;
    ck_assert_str_eq(client_calls[count].request->method, "meshnode#answer");
    ck_assert_str_eq(answer->key, "k-1");
    ck_assert(mn_id_equal(&client_calls[count].node, &feed()->node));
    ck_assert_uint_eq(answer->result.len, strlen(result) + LARGE / 32 + 2);
    ck_assert(memcmp(answer->result.data, strstr(body, result), answer->result.len) == 0);
    large_done();
}
END_TEST

/* Then the server asks about that one, and no other. */
START_TEST(a_client_makes_a_task_of_what_it_is_asked)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    const struct client_call *answer;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", ASK, "{\"task\":{}}");
    respond(ann, id_in(stream->body), "\"result\":{\"task\":{\"taskId\":\"c-1\"}}");
    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-2", "tasks/get", "{\"taskId\":\"c-2\"}");
    client_assert_body(stream, "");
    answer = &client_calls[client_calls_count - 1];
    ck_assert_str_eq(answer->request->answer->key, "k-2");
    ck_assert_int_eq(answer->request->answer->error->code, -32602);
    client_aside_question(feed()->ticket, whose, "k-3", "tasks/get", "{\"taskId\":\"c-1\"}");
    assert_has(stream->body, "\"method\":\"tasks/get\",\"params\":{\"_meta\":{"
                             "\"meshnode/server\":\"srv\"},\"taskId\":\"c-1\"}");
}
END_TEST

START_TEST(an_answer_finds_its_server_when_the_stream_is_gone)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint64_t id;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", "roots/list", "");
    id = id_in(stream->body);
    client_gone(stream->id);
    ck_assert(feed()->is_cancelled);
    respond(ann, id, "\"error\":{\"code\":-1,\"message\":\"no\"}");
    ck_assert_str_eq(client_calls[client_calls_count - 1].request->answer->key, "k-1");
    ck_assert_int_eq(client_calls[client_calls_count - 1].request->answer->error->code, -1);
}
END_TEST

START_TEST(a_question_taken_back_is_cancelled)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint32_t count = client_calls_count;
    char expected[64];
    uint64_t id;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-1", ASK, "{}");
    id = id_in(stream->body);
    client_forget(stream->id);
    client_aside_withdrawn(feed()->ticket, whose, "k-2");
    client_assert_body(stream, "");
    client_aside_withdrawn(feed()->ticket, whose, "k-1");
    snprintf(expected, sizeof expected, "{\"requestId\":%llu,", (unsigned long long)id);
    assert_has(stream->body, expected);
    respond(ann, id, "\"result\":{}");
    ck_assert_uint_eq(client_calls_count, count);
}
END_TEST

static const struct {
    const char *key, *method, *params;
} unaskable[] = {
    {"k", "tools/call", "{}"},
    {"k", "", "{}"},
    {"k", ASK, "nonsense"},
    {"k", ASK, "[]"},
    {"0123456789012345678901234567890123456789012345678901234567890123456789", ASK, "{}"},
};

START_TEST(what_cannot_be_asked_is_refused)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint32_t count = client_calls_count;

    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, unaskable[_i].key, unaskable[_i].method,
                          unaskable[_i].params);
    client_assert_body(stream, "");
    ck_assert_uint_eq(client_calls_count, count + 1);
    ck_assert_str_eq(client_calls[count].request->answer->key, unaskable[_i].key);
    ck_assert_ptr_nonnull(client_calls[count].request->answer->error);
}
END_TEST

START_TEST(no_session_is_asked_without_end)
{
    const struct client_response *stream = client_stream(ann);
    struct mn_span whose = hears(ann);
    uint32_t count = client_calls_count;
    char key[16];

    for (uint32_t i = 0; i < 20; i++) {
        client_forget(stream->id);
        snprintf(key, sizeof key, "k-%u", i);
        client_aside_question(feed()->ticket, whose, key, ASK, "{}");
        ck_assert_int_eq(stream->body[0] != '\0', i < 16);
    }
    ck_assert_uint_eq(client_calls_count, count + 4);
    client_now.mono += 11 * MN_MINUTE; /* nobody waits for the first ones any more */
    client_forget(stream->id);
    client_aside_question(feed()->ticket, whose, "k-new", ASK, "{}");
    assert_has(stream->body, ASK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_aside");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_session_hears_on_its_stream);
    tcase_add_test(tc, each_hears_its_own);
    tcase_add_test(tc, levels_are_told_and_kept_to);
    tcase_add_test(tc, a_stream_that_is_opened_later_hears);
    tcase_add_loop_test(tc, what_has_a_way_of_its_own_or_is_none_is_dropped, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_loop_test(tc, urls_are_done_with_where_they_have_ids, 0, 2);
    tcase_add_test(tc, who_does_not_read_misses_it);
    tcase_add_test(tc, a_client_is_asked_on_its_stream);
    tcase_add_test(tc, a_large_answer_goes_to_its_server_too);
    tcase_add_test(tc, a_client_makes_a_task_of_what_it_is_asked);
    tcase_add_test(tc, an_answer_finds_its_server_when_the_stream_is_gone);
    tcase_add_test(tc, a_question_taken_back_is_cancelled);
    tcase_add_loop_test(tc, what_cannot_be_asked_is_refused, 0,
                        sizeof unaskable / sizeof *unaskable);
    tcase_add_test(tc, no_session_is_asked_without_end);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
