/* What clients are told of their tasks: a listen of those it names, a session of those it began. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define TASK_META                                                            \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"extensions\":{"       \
    "\"io.modelcontextprotocol/tasks\":{}}}}"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"task\":{}}}"
#define LISTEN "subscriptions/listen"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static char ann[300];
static const struct mn_span none = {0};

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    client_forget_all();
}

static void copy_id(const char *body, char id[1024])
{
    const char *at = strstr(body, "\"taskId\":\"");

    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "\"taskId\":\"%1000[^\"]", id), 1);
    ck_assert_uint_gt(strlen(id), 60);
}

/* The ticket of a session's call that became a task, whose id is [id] for the client. */
static void begin_legacy(const char *session, const char *own, char id[1024])
{
    const struct client_response *response = client_legacy(session, CALL);
    char result[200];

    snprintf(result, sizeof result, "{\"task\":{\"taskId\":\"%s\",\"status\":\"working\"}}", own);
    client_result(client_calls[client_calls_count - 1].ticket, result);
    copy_id(response->body, id);
}

static void begin_modern(const char *own, char id[1024])
{
    const struct client_response *response = client_modern(
        "tools/call", "srv__t", "{\"name\":\"srv__t\",\"arguments\":{}," TASK_META "}");
    char result[200];

    snprintf(result, sizeof result,
             "{\"resultType\":\"task\",\"taskId\":\"%s\",\"status\":\"working\"}", own);
    client_result(client_calls[client_calls_count - 1].ticket, result);
    copy_id(response->body, id);
}

/* The lasting call by which the node hears of them; it is served from now on. */
static struct client_call *feed_of(const char *wishes)
{
    struct client_call *feed = NULL;

    for (uint32_t i = 0; i < client_calls_count; i++)
        if (strcmp(client_calls[i].request->method, LISTEN) == 0) feed = &client_calls[i];
    ck_assert_ptr_nonnull(feed);
    ck_assert_str_eq(feed->service, "srv");
    ck_assert_uint_eq(feed->node.bytes[0], 9); /* where the task was begun */
    client_served(feed->ticket);
    ck_assert_str_eq(client_input.wishes, wishes);
    return feed;
}

START_TEST(a_session_is_told_of_the_tasks_that_it_began)
{
    const struct client_response *stream = client_stream(ann);
    struct client_call *feed;
    struct mn_span whose;
    char id[1024], expected[2048];

    begin_legacy(ann, "t-1", id);
    feed = feed_of("t-1 ");
    whose = client_input.session;
    ck_assert_uint_eq(whose.size, 16);
    client_forget(stream->id);
    client_task(feed->ticket, "{\"taskId\":\"t-1\",\"status\":\"input_required\",\"ttl\":1e400}",
                whose);
    snprintf(expected, sizeof expected,
             "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\","
             "\"params\":{\"taskId\":\"%s\",\"status\":\"input_required\",\"ttl\":1e400}}\n\n",
             id);
    client_assert_body(stream, expected);
    client_forget(stream->id);
    client_task(feed->ticket, "{\"taskId\":\"t-2\",\"status\":\"working\"}", whose);
    client_task(feed->ticket, "{\"taskId\":\"t-1\",\"status\":\"working\"}",
                mn_span_str("another session."));
    client_task(feed->ticket, "{\"taskId\":\"t-1\",\"status\":\"working\",\"_meta\":{}}", whose);
    client_task(feed->ticket, "nonsense", whose);
    client_assert_body(stream, "");
    ck_assert(!feed->is_cancelled);
    client_task(feed->ticket, "{\"taskId\":\"t-1\",\"status\":\"completed\"}", whose);
    ck_assert_ptr_nonnull(strstr(stream->body, "\"completed\""));
    client_at(client_now.mono + MN_MS);
    ck_assert_str_eq(client_input.wishes, ""); /* there is nothing more to hear of it */
}
END_TEST

#define PROGRESS "{\"progress\":0.50,\"message\":\"half\"}"

static void told_progress_of(const struct client_response *stream, const struct client_call *feed)
{
    struct mn_span whose = client_input.session;

    client_forget(stream->id);
    client_task_progress(feed->ticket, "t-2", PROGRESS, whose); /* no such task */
    client_task_progress(feed->ticket, "t-1", PROGRESS, mn_span_str("another session."));
    client_task_progress(feed->ticket, "t-1", "{\"progressToken\":1}", whose);
    client_task_progress(feed->ticket, "t-1", "nonsense", whose);
    client_assert_body(stream, "");
    client_task_progress(feed->ticket, "t-1", PROGRESS, whose);
    client_assert_body(stream, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                               "\"notifications/progress\",\"params\":{\"progressToken\":\"7\","
                               "\"progress\":0.50,\"message\":\"half\"}}\n\n");
}

/* As long as it runs, also after a restart of the node. */
START_TEST(progress_of_a_task_is_told_under_the_token_it_was_begun_with)
{
    static const char task[] = "{\"task\":{\"taskId\":\"t-1\",\"status\":\"working\"}}";
    const struct client_response *stream;
    uint64_t number = 0;

    client_config.writes_count = &number;
    client_restart();
    client_service("srv", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    for (int i = 0; i < 2; i++) {
        stream = client_stream(ann);
        client_at(client_now.mono + RECORDS_LOST_WAIT); /* others may know better */
        if (i == 0) {
            client_legacy(ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\","
                                  "\"task\":{},\"_meta\":{\"progressToken\":\"7\"}}}");
            client_result(client_calls[client_calls_count - 1].ticket, task);
        }
        told_progress_of(stream, feed_of("t-1 "));
        client_restart();
        client_service("srv", true, tools);
    }
}
END_TEST

START_TEST(who_has_its_result_is_not_told)
{
    static const char *const ends[][2] = {
        {"tasks/result", "{\"content\":[]}"},
        {"tasks/get", "{\"taskId\":\"t-1\",\"status\":\"failed\"}"},
        {"tasks/cancel", "{\"taskId\":\"t-1\",\"status\":\"cancelled\"}"}};
    struct client_call *feed;
    char id[1024], body[1400];

    client_stream(ann);
    begin_legacy(ann, "t-1", id);
    feed = feed_of("t-1 ");
    snprintf(body, sizeof body, ID "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"%s\"}}", id);
    client_legacy(ann, body);
    client_result(client_calls[client_calls_count - 1].ticket,
                  "{\"taskId\":\"t-1\",\"status\":\"working\"}");
    ck_assert(!feed->is_cancelled);
    snprintf(body, sizeof body, ID "\"method\":\"%s\",\"params\":{\"taskId\":\"%s\"}}", ends[_i][0],
             id);
    client_legacy(ann, body);
    client_result(client_calls[client_calls_count - 1].ticket, ends[_i][1]);
    client_at(client_now.mono + MN_MS);
    ck_assert_str_eq(client_input.wishes, "");
}
END_TEST

START_TEST(a_session_that_ends_hears_no_more)
{
    struct client_call *feed;
    char id[1024], line[400];
    const char *const headers[] = {line, NULL};

    client_stream(ann);
    begin_legacy(ann, "t-1", id);
    feed = feed_of("t-1 ");
    snprintf(line, sizeof line, "mcp-session-id: %s", ann);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", headers, NULL)->code, 200);
    ck_assert(feed->is_cancelled);
}
END_TEST

START_TEST(a_session_is_told_of_so_many_tasks_and_no_more)
{
    char id[1024], own[16];
    struct client_call *feed;

    for (uint32_t i = 0; i <= FRONT_TASKS_MAX; i++) {
        snprintf(own, sizeof own, "t-%u", i);
        begin_legacy(ann, own, id);
        client_forget_all();
    }
    ck_assert_uint_eq(client_calls_count, FRONT_TASKS_MAX + 1); /* where should it be told? */
    client_stream(ann);
    feed = &client_calls[FRONT_TASKS_MAX + 1];
    ck_assert_str_eq(feed->request->method, LISTEN);
    client_served(feed->ticket);
    ck_assert_ptr_null(strstr(client_input.wishes, "t-0 ")); /* the oldest went */
    ck_assert_ptr_nonnull(strstr(client_input.wishes, "t-1 "));
    ck_assert_ptr_nonnull(strstr(client_input.wishes, "t-64 "));
    client_stream(ann); /* instead of the other one */
    ck_assert(feed->is_cancelled);
    ck_assert_str_eq(client_calls[FRONT_TASKS_MAX + 2].request->method, LISTEN);
}
END_TEST

START_TEST(who_reads_its_stream_is_told_of_as_many)
{
    char id[1024], own[16];
    struct client_call *feed;

    client_stream(ann);
    begin_legacy(ann, "t-0", id);
    feed = feed_of("t-0 ");
    for (uint32_t i = 1; i <= FRONT_TASKS_MAX; i++) {
        client_forget_all();
        snprintf(own, sizeof own, "t-%u", i);
        begin_legacy(ann, own, id);
    }
    client_at(client_now.mono + 50 * MN_MS); /* so many are told together */
    ck_assert_uint_eq(client_input.ticket, feed->ticket);
    ck_assert_ptr_null(strstr(client_input.wishes, "t-0 ")); /* nor is its place taken any more */
    ck_assert_ptr_nonnull(strstr(client_input.wishes, "t-1 "));
    ck_assert_ptr_nonnull(strstr(client_input.wishes, "t-64 "));
}
END_TEST

/* However often a server says something, what waits for a client that does not read is bounded. */
START_TEST(who_does_not_read_misses_what_is_told_of_tasks)
{
    const struct client_response *stream = client_stream(ann);
    static char params[16384];
    struct client_call *feed;
    struct mn_span whose;
    char id[1024];

    begin_legacy(ann, "t-1", id);
    feed = feed_of("t-1 ");
    whose = client_input.session;
    snprintf(params, sizeof params,
             "{\"taskId\":\"t-1\",\"status\":\"working\",\"statusMessage\":\"%0*d\"}", 16000, 0);
    for (uint32_t i = 0; i < 2 * FRONT_UNREAD_MAX / 16000; i++)
        client_task(feed->ticket, params, whose);
    ck_assert_uint_lt(stream->body_size, FRONT_UNREAD_MAX + sizeof params + 2048);
    client_forget(stream->id);
    client_writable(stream->id);
    client_task(feed->ticket, "{\"taskId\":\"t-1\",\"status\":\"working\"}", whose);
    ck_assert_ptr_nonnull(strstr(stream->body, "notifications/tasks/status"));
}
END_TEST

/* Nodes say what they like: of resources to who asked about tasks, and the other way round. */
START_TEST(what_was_not_asked_for_is_not_told)
{
    static const char *const resources[] = {"{\"uri\":\"x://1\",\"name\":\"x\"}", NULL};
    const struct client_offer offer = {.tools = tools,
                                       .resources = resources,
                                       .capabilities =
                                           "{\"tools\":{},\"resources\":{\"subscribe\":true}}"};
    const struct client_response *stream;
    struct client_call *tasks;
    struct mn_span whose;
    uint64_t resource;
    char id[1024];

    client_service_offer("srv", true, &offer);
    client_legacy(ann, ID "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"x://1\"}}");
    resource = client_calls[client_calls_count - 1].ticket;
    client_taken(resource, "x://1");
    stream = client_stream(ann);
    begin_legacy(ann, "t-1", id);
    tasks = feed_of("t-1 ");
    whose = client_input.session;
    client_forget(stream->id);
    client_task(resource, "{\"taskId\":\"x://1\",\"status\":\"completed\"}", none);
    client_updated(tasks->ticket, "t-1");
    client_updated(tasks->ticket, "t-1 and what begins like it");
    client_assert_body(stream, "");
    client_updated(resource, "x://1");
    client_task(tasks->ticket, "{\"taskId\":\"t-1\",\"status\":\"completed\"}", whose);
    client_at(client_now.mono + 100 * MN_MS); /* it may be told in two ways */
    ck_assert_ptr_nonnull(strstr(stream->body, "resources/updated"));
    ck_assert_ptr_nonnull(strstr(stream->body, "tasks/status"));
}
END_TEST

static const struct client_response *listen_to(const char *ids)
{
    char params[4096];

    snprintf(params, sizeof params, "{\"notifications\":{\"taskIds\":[%s]}," TASK_META "}", ids);
    return client_modern(LISTEN, NULL, params);
}

START_TEST(a_listen_is_told_of_the_tasks_that_it_names)
{
    const struct client_response *response;
    struct client_call *feed;
    char id[1024], ids[2200], expected[3000];

    begin_modern("t-1", id);
    snprintf(ids, sizeof ids, "\"t-1\",\"%s\",\"nobody's\",\"%s\"", id, id);
    response = listen_to(ids);
    snprintf(expected, sizeof expected,
             "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/"
             "acknowledged\",\"params\":{\"notifications\":{\"taskIds\":[\"%s\"]},\"_meta\":{"
             "\"io.modelcontextprotocol/subscriptionId\":1}}}\n\n",
             id);
    client_assert_body(response, expected);
    feed = feed_of("t-1 ");
    ck_assert_uint_eq(client_input.session.size, 0);
    client_forget(response->id);
    client_task(feed->ticket,
                "{\"taskId\":\"t-1\",\"status\":\"completed\",\"result\":{\"content\":[1e400]}}",
                none);
    snprintf(
        expected, sizeof expected,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks\","
        "\"params\":{\"taskId\":\"%s\",\"status\":\"completed\",\"result\":{\"content\":[1e400]}"
        ",\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}\n\n",
        id);
    client_assert_body(response, expected);
    ck_assert(feed->is_cancelled);
}
END_TEST

START_TEST(a_listen_that_goes_away_hears_no_more)
{
    const struct client_response *response;
    struct client_call *feed;
    char id[1024], ids[1100];

    begin_modern("t-1", id);
    snprintf(ids, sizeof ids, "\"%s\"", id);
    response = listen_to(ids);
    feed = feed_of("t-1 ");
    client_failed(feed->ticket, CALL_UNAVAILABLE, "away"); /* it is tried again */
    client_at(client_now.mono + MN_SEC);
    ck_assert_uint_eq(client_calls_count, 3);
    feed = feed_of("t-1 ");
    client_gone(response->id);
    ck_assert(feed->is_cancelled);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_task");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, a_session_is_told_of_the_tasks_that_it_began);
    tcase_add_test(tc, progress_of_a_task_is_told_under_the_token_it_was_begun_with);
    tcase_add_loop_test(tc, who_has_its_result_is_not_told, 0, 3);
    tcase_add_test(tc, a_session_that_ends_hears_no_more);
    tcase_add_test(tc, a_session_is_told_of_so_many_tasks_and_no_more);
    tcase_add_test(tc, who_reads_its_stream_is_told_of_as_many);
    tcase_add_test(tc, who_does_not_read_misses_what_is_told_of_tasks);
    tcase_add_test(tc, what_was_not_asked_for_is_not_told);
    tcase_add_test(tc, a_listen_is_told_of_the_tasks_that_it_names);
    tcase_add_test(tc, a_listen_that_goes_away_hears_no_more);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
