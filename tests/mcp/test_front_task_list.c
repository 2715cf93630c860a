/* tasks/list of the legacy era: a session's own tasks, as their servers say they are now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define LIST ID "\"method\":\"tasks/list\"}"
#define HERE "/mcp/servers/srv"
#define PAGE 16

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static const struct client_offer jobs = {
    .tools = tools,
    .capabilities =
        "{\"tools\":{},\"tasks\":{\"list\":{},\"requests\":{\"tools\":{\"call\":{}}}}}"};
static char ann[300], bob[300];

static void setup(void)
{
    client_setup();
    client_service_offer("srv", true, &jobs);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-11-25"));
    client_forget_all();
}

static const struct client_response *at(const char *target, const char *session, const char *body)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    return client_send("POST", target, headers, body);
}

static void begin_at(const char *target, const char *session, const char *own, char id[1024])
{
    const struct client_response *response =
        at(target, session,
           target[4] == '\0'
               ? ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"task\":{}}}"
               : ID "\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"task\":{}}}");
    char result[200];
    const char *found;

    snprintf(result, sizeof result, "{\"task\":{\"taskId\":\"%s\",\"status\":\"working\"}}", own);
    client_result(client_calls[client_calls_count - 1].ticket, result);
    found = strstr(response->body, "\"taskId\":\"");
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(sscanf(found, "\"taskId\":\"%1000[^\"]", id), 1);
}

static void begin(const char *session, const char *own, char id[1024])
{
    begin_at("/mcp", session, own, id);
}

/* What is asked about a task from call [i] on; says that it is so. */
static void say(uint32_t i, const char *own, const char *status)
{
    char params[200], result[300];

    ck_assert_uint_gt(client_calls_count, i);
    ck_assert_str_eq(client_calls[i].request->method, "tasks/get");
    ck_assert_str_eq(client_calls[i].service, "srv");
    ck_assert_uint_eq(client_calls[i].node.bytes[0], 9); /* where it was begun */
    snprintf(params, sizeof params, "{\"taskId\":\"%s\"}", own);
    ck_assert_str_eq(client_calls[i].params, params);
    snprintf(result, sizeof result,
             "{\"status\":\"%s\",\"ttl\":1e400,\"taskId\":\"%s\",\"x\":[1],\"_meta\":{\"y\":1}}",
             status, own);
    client_result(client_calls[i].ticket, result);
}

START_TEST(a_session_lists_the_tasks_that_it_began_and_no_others)
{
    const struct client_response *response;
    char first[1024], second[1024], others[1024], expected[4096];
    uint32_t count;

    begin(ann, "t-1", first);
    begin(bob, "t-1", others); /* the same server's, and called the same */
    begin(ann, "t-2", second);
    count = client_calls_count;
    response = client_legacy(ann, LIST);
    ck_assert_uint_eq(client_calls_count, count + 2);
    ck_assert(!client_calls[count].request->is_live);
    ck_assert_uint_eq(client_calls[count].request->session.len, 16);
    client_progress(client_calls[count].ticket, "{\"progress\":1}");
    say(count + 1, "t-2", "completed");
    ck_assert_uint_eq(response->code, 0); /* the other one is waited for */
    say(count, "t-1", "working");
    snprintf(expected, sizeof expected,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tasks\":["
             "{\"status\":\"working\",\"ttl\":1e400,\"taskId\":\"%s\",\"x\":[1]},"
             "{\"status\":\"completed\",\"ttl\":1e400,\"taskId\":\"%s\",\"x\":[1]}]}}",
             first, second);
    client_assert_body(response, expected);
    client_forget_all();
    response = client_legacy(ann, LIST); /* what is over can still be asked about */
    ck_assert_uint_eq(client_calls_count, count + 4);
    say(count + 2, "t-1", "completed");
    say(count + 3, "t-2", "completed");
    ck_assert_ptr_nonnull(strstr(response->body, second));
    response = at("/mcp", client_initialize("/mcp", "2025-11-25"), LIST); /* it began none */
    client_assert_body(response, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tasks\":[]}}");
}
END_TEST

START_TEST(only_who_was_told_of_lists_can_ask_for_them)
{
    static const char gone[] = "the server of this session is not in the mesh now";
    char old[300], here[300];

    strcpy(old, client_initialize("/mcp", "2025-06-18"));
    strcpy(here, client_initialize(HERE, "2025-11-25"));
    ck_assert_ptr_nonnull(strstr(client_legacy(old, LIST)->body, "-32601"));
    ck_assert_ptr_nonnull(strstr(at(HERE, here, LIST)->body, "\"tasks\":[]"));
    client_service("srv", true, tools); /* without tasks */
    ck_assert_ptr_nonnull(strstr(client_legacy(ann, LIST)->body, "-32601"));
    ck_assert_ptr_nonnull(strstr(at(HERE, here, LIST)->body, "-32601"));
    client_service_gone("srv", false);
    ck_assert_ptr_nonnull(strstr(at(HERE, here, LIST)->body, gone));
    ck_assert_ptr_nonnull(
        strstr(client_modern("tasks/list", NULL, "{" MODERN_META("") "}")->body, "-32601"));
}
END_TEST

/* Of the newest response. */
static void cursor_of(const char *body, char cursor[512])
{
    const char *found = strstr(body, "\"nextCursor\":\"");

    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(sscanf(found, "\"nextCursor\":\"%500[^\"]", cursor), 1);
}

static const struct client_response *page(const char *session, const char *cursor)
{
    char body[700];

    snprintf(body, sizeof body, ID "\"method\":\"tasks/list\",\"params\":{\"cursor\":%s}}", cursor);
    return client_legacy(session, body);
}

/* Also when a task goes meanwhile, or one comes. */
START_TEST(many_tasks_come_in_pages)
{
    const struct client_response *response;
    char ids[PAGE + 2][1024], own[16], cursor[512], quoted[520];
    uint32_t count;

    for (uint32_t i = 0; i < PAGE + 2; i++) {
        snprintf(own, sizeof own, "t-%u", i);
        begin(ann, own, ids[i]);
        client_forget_all();
    }
    count = client_calls_count;
    response = client_legacy(ann, LIST);
    ck_assert_uint_eq(client_calls_count, count + PAGE);
    for (uint32_t i = 0; i < PAGE - 1; i++) {
        snprintf(own, sizeof own, "t-%u", i);
        say(count + i, own, "working");
    }
    client_error(client_calls[count + PAGE - 1].ticket, -32602, "no such task", NULL);
    ck_assert_ptr_nonnull(strstr(response->body, ids[0]));
    ck_assert_ptr_nonnull(strstr(response->body, ids[PAGE - 2]));
    ck_assert_ptr_null(strstr(response->body, ids[PAGE - 1]));
    ck_assert_ptr_null(strstr(response->body, ids[PAGE]));
    cursor_of(response->body, cursor);
    snprintf(quoted, sizeof quoted, "\"%s\"", cursor);
    client_forget_all();

    count = client_calls_count;
    ck_assert_ptr_nonnull(strstr(page(bob, quoted)->body, "-32602")); /* it is not bob's */
    ck_assert_ptr_nonnull(strstr(page(ann, "\"x\"")->body, "-32602"));
    ck_assert_ptr_nonnull(strstr(page(ann, "7")->body, "-32602"));
    ck_assert_uint_eq(client_calls_count, count);
    response = page(ann, quoted);
    ck_assert_uint_eq(client_calls_count, count + 2);
    say(count, "t-16", "working");
    say(count + 1, "t-17", "working");
    ck_assert_ptr_nonnull(strstr(response->body, ids[PAGE]));
    ck_assert_ptr_nonnull(strstr(response->body, ids[PAGE + 1]));
    ck_assert_ptr_null(strstr(response->body, "nextCursor"));
    response = page(ann, "null"); /* from the beginning, without the one that was gone */
    ck_assert_uint_eq(client_calls_count, count + 2 + PAGE);
    ck_assert_str_eq(client_calls[count + 2 + PAGE - 1].params, "{\"taskId\":\"t-16\"}");
}
END_TEST

/* At an endpoint of many servers the others' tasks are listed; the only one of its endpoint is
 * missed as it would be without the mesh. */
START_TEST(a_server_that_says_nothing_is_named)
{
    const struct client_response *response;
    char first[1024], second[1024], here[300];
    uint32_t count;

    begin(ann, "t-1", first);
    begin(ann, "t-2", second);
    count = client_calls_count;
    response = client_legacy(ann, LIST);
    say(count, "t-1", "working");
    client_failed(client_calls[count + 1].ticket, CALL_TIMED_OUT, "it hangs");
    ck_assert_ptr_nonnull(strstr(response->body, first));
    ck_assert_ptr_null(strstr(response->body, second));
    ck_assert_ptr_nonnull(
        strstr(response->body, "}],\"_meta\":{\"meshnode/unanswered\":[\"srv\"]}}}"));
    strcpy(here, client_initialize(HERE, "2025-11-25"));
    begin_at(HERE, here, "t-1", first);
    response = at(HERE, here, LIST);
    client_failed(client_calls[client_calls_count - 1].ticket, CALL_TIMED_OUT, "it hangs");
    ck_assert_ptr_nonnull(strstr(response->body, "-32603"));
    response = at(HERE, here, LIST); /* it was not forgotten */
    client_error(client_calls[client_calls_count - 1].ticket, -32603, "broken", NULL);
    ck_assert_ptr_nonnull(strstr(response->body, "\"tasks\":[]"));
    response = at(HERE, here, LIST);
    client_result(client_calls[client_calls_count - 1].ticket, "[]");
    ck_assert_ptr_nonnull(strstr(response->body, "\"tasks\":[]"));
    response = at(HERE, here, LIST);
    say(client_calls_count - 1, "t-1", "working");
    ck_assert_ptr_nonnull(strstr(response->body, first));
}
END_TEST

START_TEST(who_goes_away_meanwhile_needs_no_list)
{
    const struct client_response *response;
    char id[1024], line[400];
    const char *const headers[] = {line, NULL};

    begin(ann, "t-1", id);
    response = client_legacy(ann, LIST);
    client_gone(response->id);
    say(1, "t-1", "completed");
    response = client_legacy(ann, LIST);
    snprintf(line, sizeof line, "mcp-session-id: %s", ann);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", headers, NULL)->code, 200);
    client_error(client_calls[2].ticket, -32602, "no such task", NULL);
    ck_assert_ptr_nonnull(strstr(response->body, "-32603"));
    client_legacy(bob,
                  LIST); /* nothing is asked, and what is under way when a node stops is let go */
    begin(bob, "t-1", id);
    client_legacy(bob, LIST);
}
END_TEST

/* Those that are over make room first. */
START_TEST(a_session_knows_so_many_tasks_and_no_more)
{
    char id[1024], own[16];
    uint32_t listed = 0;
    const struct client_response *response;
    char cursor[512], quoted[520] = "null";

    for (uint32_t i = 0; i < FRONT_TASKS_KEPT; i++) {
        /* so many calls are not kept by this test's core: forget them by a fresh count */
        client_calls_count = 0;
        snprintf(own, sizeof own, "t-%u", i);
        begin(ann, own, id);
        client_forget_all();
    }
    client_calls_count = 0;
    begin(ann, "new", id);
    for (bool is_more = true; is_more;) {
        client_calls_count = 0;
        client_forget_all();
        response = page(ann, quoted);
        for (uint32_t i = 0; i < client_calls_count; i++, listed++) {
            ck_assert_str_ne(client_calls[i].params, "{\"taskId\":\"t-0\"}");
            client_result(client_calls[i].ticket, "{\"taskId\":\"t\",\"status\":\"working\"}");
        }
        is_more = strstr(response->body, "nextCursor") != NULL;
        if (is_more) {
            cursor_of(response->body, cursor);
            snprintf(quoted, sizeof quoted, "\"%s\"", cursor);
        }
    }
    ck_assert_uint_eq(listed, FRONT_TASKS_KEPT);
    ck_assert_ptr_nonnull(strstr(response->body, id));
}
END_TEST

/* Nobody knows of a task that others do not know of: its node may be gone in the next moment. */
START_TEST(a_task_is_kept_elsewhere_before_its_client_hears_of_it)
{
    const struct client_response *response;
    const Meshnode__Record__Session *session;
    const Meshnode__Record__Record *put = NULL;

    client_nodes(3);
    client_confirm_puts();
    client_carries_count = 0;
    response = client_legacy(
        ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"task\":{}}}");
    client_result(client_calls[0].ticket,
                  "{\"task\":{\"taskId\":\"t-1\",\"status\":\"completed\"}}");
    ck_assert_uint_eq(response->code, 0);
    for (uint32_t i = 0; i < client_carries_count; i++)
        if (client_carries[i].packet->what_case == MESHNODE__RECORD__PACKET__WHAT_PUT)
            put = client_carries[i].packet->put;
    ck_assert_ptr_nonnull(put);
    session = meshnode__record__session__unpack(NULL, put->body.len, put->body.data);
    ck_assert_uint_eq(session->n_tasks, 1);
    ck_assert_uint_eq(session->n_task_numbers, 1);
    ck_assert_uint_eq(session->task_numbers[0], 1);
    ck_assert(session->task_is_quiet[0]); /* there is nothing to tell */
    meshnode__record__session__free_unpacked((Meshnode__Record__Session *)(uintptr_t)session, NULL);
    client_confirm_puts();
    ck_assert_ptr_nonnull(strstr(response->body, "\"task\":{\"taskId\":"));
}
END_TEST

START_TEST(a_session_that_came_back_lists_what_it_listed)
{
    const struct client_response *response;
    char first[1024], second[1024];
    uint64_t number = 0;

    client_config.writes_count = &number;
    client_restart();
    client_service_offer("srv", true, &jobs);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    begin(ann, "t-1", first);
    client_restart();
    client_service_offer("srv", true, &jobs);
    response = client_legacy(ann, LIST);
    client_at(client_now.mono + RECORDS_LOST_WAIT); /* others may know better */
    say(client_calls_count - 1, "t-1", "completed");
    ck_assert_ptr_nonnull(strstr(response->body, first));
    begin(ann, "t-2", second);
    response = client_legacy(ann, LIST);
    say(client_calls_count - 2, "t-1", "completed");
    say(client_calls_count - 1, "t-2", "working");
    ck_assert(strstr(response->body, first) < strstr(response->body, second));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_task_list");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, a_session_lists_the_tasks_that_it_began_and_no_others);
    tcase_add_test(tc, only_who_was_told_of_lists_can_ask_for_them);
    tcase_add_test(tc, many_tasks_come_in_pages);
    tcase_add_test(tc, a_server_that_says_nothing_is_named);
    tcase_add_test(tc, who_goes_away_meanwhile_needs_no_list);
    tcase_add_test(tc, a_session_knows_so_many_tasks_and_no_more);
    tcase_add_test(tc, a_task_is_kept_elsewhere_before_its_client_hears_of_it);
    tcase_add_test(tc, a_session_that_came_back_lists_what_it_listed);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
