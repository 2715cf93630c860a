/* Questions that outlive the call in which a client was asked: it is not asked twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\"}}"
#define ASK "elicitation/create"
#define YES "\"result\":{\"action\":\"accept\"}"
#define assert_has(text, part) \
    ck_assert_msg(strstr((text), (part)) != NULL, "%s is not in %s", (part), (text))

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static const struct client_response *stream, *response;
static char ann[300], bob[300];
static uint64_t call, asked; /* the ticket of a call; the id of what was asked in it */

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-11-25"));
    client_forget_all();
}

static uint64_t id_in(const char *body)
{
    unsigned long long id = 0;

    ck_assert_int_eq(sscanf(strstr(body, "\"id\":"), "\"id\":%llu", &id), 1);
    return id;
}

static uint64_t new_call(void)
{
    response = client_legacy(ann, CALL);
    client_input.ticket = 0;
    return client_calls[client_calls_count - 1].ticket;
}

static void ask(const char *params)
{
    client_question(call, "e-1", ASK, params);
    asked = id_in(response->body);
    client_forget(response->id);
}

/* Ann was asked something in a call; [is_there]: and has the stream of her session open. */
static void up(bool is_there)
{
    stream = is_there ? client_stream(ann) : NULL;
    call = new_call();
    ask("{}");
    if (is_there) client_forget(stream->id);
}

static void respond(const char *session, const char *how)
{
    char body[300];

    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,%s}", (unsigned long long)asked,
             how);
    ck_assert_uint_eq(client_legacy(session, body)->code, 202);
}

static const struct client_call *newest(void)
{
    return &client_calls[client_calls_count - 1];
}

/* [key] was answered as one asked outside of calls, where it was asked. */
static const Meshnode__Gateway__Answer *assert_said(const char *key)
{
    const struct client_call *said = newest();

    ck_assert_str_eq(said->request->method, "meshnode#answer");
    ck_assert_str_eq(said->service, "srv");
    ck_assert(mn_id_equal(&said->node, &client_server));
    ck_assert_str_eq(said->request->answer->key, key);
    return said->request->answer;
}

static void assert_accepted(const char *key)
{
    const Meshnode__Gateway__Answer *answer = assert_said(key);

    ck_assert(!answer->ask_again);
    ck_assert(mn_span_is(pb_span(answer->result), "{\"action\":\"accept\"}"));
}

START_TEST(what_outlives_its_call_is_not_taken_back)
{
    uint32_t count;

    up(true);
    client_outlived(call, "e-1", "k-1");
    count = client_calls_count;
    client_result(call, "{\"content\":[]}");
    ck_assert_ptr_null(strstr(response->body, "notifications/cancelled"));
    client_assert_body(stream, "");
    respond(bob, YES);
    ck_assert_uint_eq(client_calls_count, count); /* it was not bob who was asked */
    respond(ann, YES);
    ck_assert_uint_eq(client_calls_count, count + 1);
    assert_accepted("k-1");
    ck_assert_uint_eq(client_input.ticket, 0);
    respond(ann, YES);
    ck_assert_uint_eq(client_calls_count, count + 1); /* once */
}
END_TEST

/* Its answer may have been lost with the call. */
START_TEST(what_was_answered_as_its_call_ended_is_not_asked_again)
{
    up(true);
    respond(ann, _i == 0 ? YES : "\"error\":{\"code\":-7,\"message\":\"no\"}");
    ck_assert_uint_eq(client_input.ticket, call);
    client_outlived(call, "e-1", "k-1");
    if (_i == 0) {
        assert_accepted("k-1");
    } else {
        ck_assert_int_eq(assert_said("k-1")->error->code, -7);
        ck_assert(assert_said("k-1")->by_client);
    }
    client_result(call, "{\"content\":[]}");
    ck_assert_ptr_null(strstr(response->body, "notifications/cancelled"));
    client_assert_body(stream, "");
}
END_TEST

START_TEST(of_many_answers_the_newest_are_kept)
{
    char key[16];
    uint32_t count;

    up(true);
    respond(ann, YES);
    for (int i = 2; i <= 17; i++) {
        snprintf(key, sizeof key, "e-%d", i);
        client_question(call, key, ASK, "{}");
        asked = id_in(response->body);
        client_forget(response->id);
        respond(ann, YES);
    }
    client_outlived(call, "e-2", "k-2");
    assert_accepted("k-2");
    count = client_calls_count;
    client_outlived(call, "e-1", "k-1"); /* it got there long ago, or is asked again */
    ck_assert_uint_eq(client_calls_count, count + 1);
    ck_assert(assert_said("k-1")->ask_again);
}
END_TEST

/* Then it is asked where it hears: under another id, as one is used once in a session. */
START_TEST(whose_client_is_elsewhere_is_asked_there)
{
    char expected[64];

    up(false);
    client_outlived(call, "e-1", "k-1");
    ck_assert(assert_said("k-1")->ask_again);
    snprintf(expected, sizeof expected, "{\"requestId\":%llu,", (unsigned long long)asked);
    assert_has(response->body, expected);
}
END_TEST

START_TEST(what_outlives_two_calls_is_one_question)
{
    const struct client_response *second;
    uint32_t count;
    uint64_t other;

    up(_i == 0);
    other = new_call(); /* its client hears us on that one's stream, too */
    second = response;
    client_outlived(call, "e-1", "k-1");
    client_result(call, "{\"content\":[]}");
    client_question(other, "k-1", ASK, "{}");
    client_assert_body(second, "");
    count = client_calls_count;
    client_outlived(other, "k-1", "k-1");
    if (_i > 0) { /* but on no other: it is elsewhere, and is asked there */
        ck_assert(assert_said("k-1")->ask_again);
        assert_has(second->body, "notifications/cancelled");
        return;
    }
    ck_assert_uint_eq(client_calls_count, count);
    respond(ann, YES);
    assert_accepted("k-1");
}
END_TEST

/* By the call to which it was put down next: on the stream of the session, or else on that one's.
 */
START_TEST(what_outlived_its_call_can_be_taken_back)
{
    const struct client_response *second;
    char expected[64];
    uint32_t count;
    uint64_t other;

    up(_i == 0);
    other = new_call();
    second = response;
    client_outlived(call, "e-1", "k-1");
    client_result(call, "{\"content\":[]}");
    count = client_calls_count;
    client_withdrawn(other, "k-1");
    snprintf(expected, sizeof expected, "{\"requestId\":%llu,", (unsigned long long)asked);
    assert_has(_i == 0 ? stream->body : second->body, expected);
    respond(ann, YES);
    ck_assert_uint_eq(client_calls_count, count);
}
END_TEST

START_TEST(what_a_client_has_open_is_bounded)
{
    char key[16];
    uint64_t last = 0;

    stream = client_stream(ann);
    for (int i = 0; i <= 16; i++) {
        last = call = new_call();
        ask("{}");
        snprintf(key, sizeof key, "k-%d", i);
        client_outlived(call, "e-1", key);
        client_result(call, "{\"content\":[]}");
    }
    ck_assert_uint_gt(last, 0);
    ck_assert(assert_said("k-16")->ask_again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_outlive");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, what_outlives_its_call_is_not_taken_back);
    tcase_add_loop_test(tc, what_was_answered_as_its_call_ended_is_not_asked_again, 0, 2);
    tcase_add_test(tc, of_many_answers_the_newest_are_kept);
    tcase_add_test(tc, whose_client_is_elsewhere_is_asked_there);
    tcase_add_loop_test(tc, what_outlives_two_calls_is_one_question, 0, 2);
    tcase_add_loop_test(tc, what_outlived_its_call_can_be_taken_back, 0, 2);
    tcase_add_test(tc, what_a_client_has_open_is_bounded);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
