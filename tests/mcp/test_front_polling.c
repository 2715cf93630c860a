/* Answers that are streams from their begin on, where those of the server are; and what a client
 * sees when the server ends its own in the middle of a call, to be asked again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define SERVER "/mcp/servers/srv"
#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"
#define RESULT "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n"
#define CALL(name, more)                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"" name \
    "\"" more "}}"

static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                    NULL};

static void setup(void)
{
    client_setup();
    client_service_offer("srv", true, &(struct client_offer){.tools = tools, .is_streaming = true});
    client_service("json", true, tools);
    client_at(client_now.mono + MN_SEC);
    client_keeps_ids = true;
}

static const struct client_response *in_session(const char *verb, const char *target,
                                                const char *session, const char *event,
                                                const char *body)
{
    char line[400], last[200];
    const char *const headers[] = {line, event == NULL ? NULL : last, "accept: text/event-stream",
                                   NULL};
    const char *const posted[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    snprintf(last, sizeof last, "last-event-id: %s", event == NULL ? "" : event);
    return client_send(verb, target, body == NULL ? headers : posted, body);
}

static const struct client_response *post(const char *target, const char *version, const char *body)
{
    return in_session("POST", target, client_initialize(target, version), NULL, body);
}

START_TEST(answers_begin_as_streams_where_those_of_the_server_do)
{
    const struct client_response *response = post(SERVER, "2025-11-25", LIST);

    ck_assert_str_eq(response->type, "text/event-stream");
    ck_assert(response->is_ended);
    ck_assert_ptr_nonnull(strstr(response->body, "id: p1-1.31\nretry: 1000\ndata: \n\n"
                                                 "event: message\nid: p1-2\ndata: "));
    ck_assert_ptr_nonnull(strstr(response->body, "\"tools\":["));
    response = post(SERVER, "2025-11-25", CALL("echo", ""));
    client_at(client_now.mono + 20 * MN_MS);
    client_assert_body(response, "id: p1-1.31\nretry: 1000\ndata: \n\n"); /* before its answer */
    client_forget(response->id);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_assert_body(response, "event: message\nid: p1-2\n" RESULT);
    ck_assert(response->is_ended);
    response = post(SERVER, "2025-11-25", CALL("echo", ""));
    client_result(client_calls[1].ticket, "{\"content\":[]}"); /* at once: all in one go */
    client_assert_body(response, "id: p1-1.31\nretry: 1000\ndata: \n\n"
                                 "event: message\nid: p1-2\n" RESULT);
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(other_answers_do_not)
{
    ck_assert_str_eq(post(SERVER, "2025-06-18", LIST)->type, "application/json");
    ck_assert_str_eq(post("/mcp", "2025-11-25", LIST)->type, "application/json");
    ck_assert_str_eq(post("/mcp/servers/json", "2025-11-25", LIST)->type, "application/json");
    ck_assert_uint_eq(post("/mcp/servers/json", "2025-11-25", CALL("echo", ""))->code, 0);
    /* The answer that names a task waits until others know of the task. */
    ck_assert_uint_eq(post(SERVER, "2025-11-25", CALL("echo", ",\"task\":{\"ttl\":1}"))->code, 0);
}
END_TEST

START_TEST(a_stream_that_its_server_ends_goes_on_when_its_client_comes_back)
{
    const char *id = client_initialize(SERVER, "2025-11-25");
    const struct client_response *response = in_session("POST", SERVER, id, NULL, CALL("echo", ""));

    client_at(client_now.mono + 20 * MN_MS);
    client_forget(response->id);
    client_away(client_calls[0].ticket, 700);
    client_assert_body(response, "id: p1-2.31\nretry: 700\ndata: \n\n");
    ck_assert(response->is_ended && !client_calls[0].is_cancelled);
    response = in_session("GET", SERVER, id, "p1-2.31", NULL);
    ck_assert(!response->is_ended);
    client_away(client_calls[0].ticket, 900); /* and once more */
    client_assert_body(response, "id: p1-3.31\nretry: 900\ndata: \n\n");
    ck_assert(response->is_ended);
    client_result(client_calls[0].ticket, "{\"content\":[]}"); /* while nobody is there */
    response = in_session("GET", SERVER, id, "p1-3.31", NULL);
    client_assert_body(response, "event: message\nid: p1-4\n" RESULT);
    ck_assert(response->is_ended);
}
END_TEST

START_TEST(a_call_that_runs_again_sends_nobody_away_again)
{
    const char *id = client_initialize(SERVER, "2025-11-25");
    const struct client_response *response;

    in_session("POST", SERVER, id, NULL, CALL("echo", ""));
    client_away(client_calls[0].ticket, 700);
    response = in_session("GET", SERVER, id, "p1-2.31", NULL);
    client_server = (mn_id){{8}}; /* the other one was lost */
    client_away(client_calls[0].ticket, 700);
    ck_assert(!response->is_ended);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_assert_body(response, "event: message\nid: p1-3\n" RESULT);
}
END_TEST

START_TEST(others_do_not_learn_of_it)
{
    const struct client_response *responses[] = {
        post(SERVER, "2025-06-18", CALL("echo", "")), /* does not know such streams */
        post("/mcp", "2025-11-25", CALL("srv__echo", "")),
        client_modern("tools/call", "srv__echo", "{\"name\":\"srv__echo\"," MODERN_META("") "}"),
    };

    ck_assert_uint_eq(client_calls_count, 3);
    for (size_t i = 0; i < 3; i++) {
        client_away(client_calls[i].ticket, 700);
        ck_assert_uint_eq(responses[i]->code, 0);
        client_result(client_calls[i].ticket, "{\"content\":[]}");
        ck_assert_str_eq(responses[i]->type, "application/json");
    }
}
END_TEST

/* What others keep of the session says where the call runs, before the client is sent away. */
START_TEST(the_call_is_in_the_record_of_its_session)
{
    const char *id = client_initialize(SERVER, "2025-11-25");
    const Meshnode__Record__Session *kept;
    struct mn_arena arena = {0};

    client_nodes(2);
    client_confirm_puts();
    in_session("POST", SERVER, id, NULL, CALL("echo", ""));
    client_carries_count = 0;
    client_away(client_calls[0].ticket, 700);
    ck_assert_uint_gt(client_carries_count, 0);
    ck_assert_int_eq(client_carries[0].packet->what_case, MESHNODE__RECORD__PACKET__WHAT_PUT);
    kept = pb_unpack(&meshnode__record__session__descriptor, &arena,
                     pb_span(client_carries[0].packet->put->body));
    ck_assert_uint_eq(kept->n_running, 1);
    ck_assert_uint_eq(kept->running[0]->stream, 1);
    mn_arena_done(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_polling");
    TCase *tcase = tcase_create("polling");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, answers_begin_as_streams_where_those_of_the_server_do);
    tcase_add_test(tcase, other_answers_do_not);
    tcase_add_test(tcase, a_stream_that_its_server_ends_goes_on_when_its_client_comes_back);
    tcase_add_test(tcase, a_call_that_runs_again_sends_nobody_away_again);
    tcase_add_test(tcase, others_do_not_learn_of_it);
    tcase_add_test(tcase, the_call_is_in_the_record_of_its_session);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
