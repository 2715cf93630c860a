/* Tasks that clients have, made of what servers ask: each server hears of its own alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL(server) ID "\"method\":\"tools/call\",\"params\":{\"name\":\"" server "__t\"}}"
#define STATE "{\"taskId\":\"c-1\",\"status\":\"working\",\"ttl\":1e400}"
#define STATUS \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\",\"params\":" STATE "}"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static char ann[300], bob[300];

static void setup(void)
{
    client_setup();
    client_service("one", true, tools);
    client_service("two", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-11-25"));
    client_forget_all();
}

/* The id of the newest request on that stream. */
static void newest_id(const struct client_response *response, char id[32])
{
    const char *at = response->body, *found = NULL;

    while ((at = strstr(at, "\"id\":")) != NULL)
        found = at++;
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(sscanf(found, "\"id\":%30[0-9]", id), 1);
}

static void answer_at(const char *target, const char *session,
                      const struct client_response *response, const char *result)
{
    char body[1024], id[32], line[400];
    const char *const headers[] = {line, NULL};

    newest_id(response, id);
    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", id, result);
    ck_assert_uint_eq(client_send("POST", target, headers, body)->code, 202);
}

static void answer(const char *session, const struct client_response *response, const char *result)
{
    answer_at("/mcp", session, response, result);
}

/* The server of that call asks something, of which ann makes the task c-1. */
static void begin(const struct client_response *response, uint64_t ticket)
{
    client_question(ticket, "e-1", "elicitation/create", "{\"message\":\"m\",\"task\":{}}");
    answer(ann, response, "{\"task\":{\"taskId\":\"c-1\",\"status\":\"working\"}}");
    ck_assert_str_eq(client_input.result, "{\"task\":{\"taskId\":\"c-1\",\"status\":\"working\"}}");
}

START_TEST(a_server_asks_about_the_tasks_that_it_began_and_no_others)
{
    static const char list[] =
        "{\"x\":1e400,\"tasks\":[{\"taskId\":\"c-1\",\"y\":[1]},{\"taskId\":\"c-2\"},7],\"z\":2}";
    const struct client_response *one = client_legacy(ann, CALL("one"));
    const struct client_response *two = client_legacy(ann, CALL("two"));
    size_t size;

    begin(one, 1);
    client_question(1, "t-1", "tasks/get", "{\"taskId\":\"c-1\"}");
    ck_assert_ptr_nonnull(strstr(one->body, "\"method\":\"tasks/get\",\"params\":{\"_meta\":{"
                                            "\"meshnode/server\":\"one\"},\"taskId\":\"c-1\"}"));
    answer(ann, one, STATE);
    ck_assert_str_eq(client_input.result, STATE);
    size = two->body_size;
    client_question(2, "t-1", "tasks/get", "{\"taskId\":\"c-1\"}");
    ck_assert_uint_eq(two->body_size, size); /* the client was not asked */
    ck_assert_int_eq(client_input.code, -32602);
    client_question(2, "t-2", "tasks/result", "{\"taskId\":\"c-1\"}");
    client_question(2, "t-3", "tasks/cancel", "{\"taskId\":\"c-1\"}");
    ck_assert_uint_eq(two->body_size, size);

    client_question(1, "t-4", "tasks/list", "{}");
    answer(ann, one, list);
    ck_assert_str_eq(client_input.result,
                     "{\"x\":1e400,\"tasks\":[{\"taskId\":\"c-1\",\"y\":[1]}],\"z\":2}");
    client_question(2, "t-4", "tasks/list", "{}");
    answer(ann, two, list);
    ck_assert_str_eq(client_input.result, "{\"x\":1e400,\"tasks\":[],\"z\":2}");
    client_question(2, "t-5", "tasks/list", "{}");
    answer(ann, two, "{\"nonsense\":1}");
    ck_assert_str_eq(client_input.result, "null");
}
END_TEST

/* At the endpoint of one server all tasks of the client are its own. */
START_TEST(the_only_server_of_its_endpoint_asks_what_it_likes)
{
    static const char target[] = "/mcp/servers/one", list[] = "{\"tasks\":[{\"taskId\":\"c-9\"}]}";
    const struct client_response *response;
    char here[300], line[400];
    const char *const headers[] = {line, NULL};

    strcpy(here, client_initialize(target, "2025-11-25"));
    snprintf(line, sizeof line, "mcp-session-id: %s", here);
    response = client_send("POST", target, headers,
                           ID "\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}");
    client_question(1, "t-1", "tasks/get", "{\"taskId\":\"c-9\"}");
    ck_assert_ptr_nonnull(
        strstr(response->body, "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"c-9\"}"));
    answer_at(target, here, response, "{\"taskId\":\"c-9\"}");
    client_question(1, "t-2", "tasks/list", "{}");
    answer_at(target, here, response, list);
    ck_assert_str_eq(client_input.result, list);
}
END_TEST

START_TEST(a_client_tells_the_server_of_its_task)
{
    uint32_t count;

    begin(client_legacy(ann, CALL("one")), 1);
    client_legacy(ann, CALL("two"));
    count = client_calls_count;
    ck_assert_uint_eq(client_legacy(bob, STATUS)->code, 202); /* it has no such task */
    ck_assert_uint_eq(client_legacy(ann, "{\"jsonrpc\":\"2.0\",\"method\":"
                                         "\"notifications/tasks/status\"}")
                          ->code,
                      202);
    ck_assert_uint_eq(client_calls_count, count);
    ck_assert_uint_eq(client_legacy(ann, STATUS)->code, 202);
    ck_assert_uint_eq(client_calls_count, count + 1);
    ck_assert_str_eq(client_calls[count].request->method, "notifications/tasks/status");
    ck_assert_str_eq(client_calls[count].service, "one");
    ck_assert_uint_eq(client_calls[count].request->session.len, 16);
    ck_assert_str_eq(client_calls[count].params, STATE);
    client_result(client_calls[count].ticket, "{}"); /* nobody waits for it */
}
END_TEST

/* A server's task asks about a client's: they may be called the same. */
START_TEST(ids_of_both_sides_are_kept_apart)
{
    const struct client_response *response = client_legacy(
        ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"one__t\",\"task\":{}}}");
    char task[1024], body[1200];

    client_result(1, "{\"task\":{\"taskId\":\"c-1\",\"status\":\"working\"}}");
    ck_assert_int_eq(
        sscanf(strstr(response->body, "\"taskId\":\""), "\"taskId\":\"%1000[^\"]", task), 1);
    snprintf(body, sizeof body, ID "\"method\":\"tasks/result\",\"params\":{\"taskId\":\"%s\"}}",
             task);
    response = client_legacy(ann, body);
    client_question(2, "e-1", "sampling/createMessage", "{\"task\":{}}");
    answer(ann, response, "{\"task\":{\"taskId\":\"c-1\"}}");
    client_question(2, "e-2", "tasks/get",
                    "{\"taskId\":\"c-1\",\"_meta\":{\"io.modelcontextprotocol/related-task\":"
                    "{\"taskId\":\"c-1\"}}}");
    snprintf(body, sizeof body,
             "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"%s\"}},"
             "\"taskId\":\"c-1\"}",
             task);
    ck_assert_ptr_nonnull(strstr(response->body, body));
    answer(ann, response, "{\"taskId\":\"c-1\"}");
    ck_assert_str_eq(client_input.result, "{\"taskId\":\"c-1\"}");
}
END_TEST

/* Also after a restart; of too many the oldest are forgotten, and what has no usable id. */
START_TEST(whose_tasks_are_is_remembered)
{
    const struct client_response *response;
    uint64_t number = 0;
    uint32_t count = 0;
    char id[320], result[400];

    client_config.writes_count = &number;
    client_restart();
    client_service("one", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    response = client_legacy(ann, CALL("one"));
    begin(response, client_calls[client_calls_count - 1].ticket);
    client_restart();
    client_service("one", true, tools);
    client_legacy(ann, STATUS);
    client_at(client_now.mono + RECORDS_LOST_WAIT); /* others may know better */
    ck_assert_str_eq(client_calls[client_calls_count - 1].request->method,
                     "notifications/tasks/status");
    for (uint32_t i = 0; i < 65; i++) {
        if (i % 32 == 0) {
            client_forget_all();
            response = client_legacy(ann, CALL("one"));
            count = client_calls_count;
        }
        client_question(client_calls[count - 1].ticket, "e", "elicitation/create", "{\"task\":{}}");
        snprintf(id, sizeof id, i == 64 ? "%0300u" : "x-%u", i);
        snprintf(result, sizeof result, "{\"task\":{\"taskId\":\"%s\"}}", id);
        answer(ann, response, result);
        client_forget(response->id);
    }
    client_legacy(ann, STATUS); /* it was the oldest */
    ck_assert_uint_eq(client_calls_count, count);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_theirs");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, a_server_asks_about_the_tasks_that_it_began_and_no_others);
    tcase_add_test(tc, the_only_server_of_its_endpoint_asks_what_it_likes);
    tcase_add_test(tc, a_client_tells_the_server_of_its_task);
    tcase_add_test(tc, ids_of_both_sides_are_kept_apart);
    tcase_add_test(tc, whose_tasks_are_is_remembered);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
