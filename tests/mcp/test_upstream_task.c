/* Tools that only run as tasks, for clients that have none; and what servers tell of tasks. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define CAPABILITIES "{\"elicitation\":{}}"
#define TOOLS                                                                                  \
    "[{\"name\":\"job\",\"inputSchema\":{\"type\":\"object\"},\"execution\":{\"taskSupport\":" \
    "\"required\"}},{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"},\"execution\":{"  \
    "\"taskSupport\":\"optional\"}}]"
#define CREATED "{\"task\":{\"taskId\":\"t-1\",\"status\":\"working\",\"ttl\":null}}"
#define TASK "\"task\":{\"ttl\":3600000}"

static struct world w;

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    world_done(&w);
}

#define assert_has(text, part) \
    ck_assert_msg(strstr((text), (part)) != NULL, "%s is not in %s", (part), (text))
#define assert_lacks(text, part) \
    ck_assert_msg(strstr((text), (part)) == NULL, "%s is in %s", (part), (text))

/* A legacy child with both tools. */
static void up(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    assert_has(world_line(&w), "notifications/initialized");
    world_answer(&w, world_line(&w), world_tools_result(&w, TOOLS));
    ck_assert_ptr_null(world_line(&w));
}

/* The line of a call that the server gets. */
static const char *call(uint64_t ticket, const struct world_call *as)
{
    struct world_call call = *as;

    call.ticket = ticket;
    call.service = "s";
    if (call.params == NULL) call.params = "{\"name\":\"job\",\"arguments\":{\"a\":1e400}}";
    world_call(&w, &call);
    return world_line(&w);
}

START_TEST(a_tool_that_only_runs_as_a_task_is_one_call_for_a_modern_client)
{
    const char *line, *first;

    up();
    first = call(1, &(struct world_call){.wants_progress = true});
    assert_has(first, "\"arguments\":{\"a\":1e400}");
    assert_has(first, TASK);
    world_answer(&w, first, CREATED);
    ck_assert_ptr_null(world_event(&w)); /* the client knows nothing of a task */
    line = world_line(&w);
    assert_has(line, "\"method\":\"tasks/result\",\"params\":{\"taskId\":\"t-1\"}");
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                               "\"params\":{\"progressToken\":%" PRIu64 ",\"progress\":1}}\n",
                               world_id(first)));
    ck_assert_str_eq(world_event(&w)->what, "progress");
    world_pass(&w, 10 * MN_MINUTE); /* silence is no failure: its server said that it works */
    for (struct world_event *event; (event = world_event(&w)) != NULL;)
        ck_assert_str_eq(event->what, "");
    world_answer(&w, line,
                 "{\"content\":[],\"_meta\":{\"x\":1,"
                 "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"t-1\"}}}");
    ck_assert_str_eq(world_event(&w)->json, "{\"content\":[],\"_meta\":{\"x\":1}}");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

static const struct {
    const char *version, *session, *params;
    bool is_ours;
} callers[] = {
    {"2026-07-28", NULL, NULL, true},
    {"2025-06-18", "ann", NULL, true}, /* has no tasks, either */
    {"2025-11-25", "ann", NULL, false},
    {"2025-11-25", "ann", "{\"name\":\"job\",\"task\":{\"ttl\":9}}", false},
    {"2026-07-28", NULL, "{\"name\":\"job\",\"task\":{\"ttl\":9}}", true}, /* means nothing there */
    {"2026-07-28", NULL, "{\"name\":\"echo\"}", false},                    /* need not be a task */
};

START_TEST(who_has_tasks_begins_them_itself)
{
    const char *line;

    up();
    line = call(1, &(struct world_call){.version = callers[_i].version,
                                        .session = callers[_i].session,
                                        .params = callers[_i].params});
    ck_assert_int_eq(strstr(line, TASK) != NULL, callers[_i].is_ours);
    if (callers[_i].is_ours) {
        assert_lacks(line, "\"ttl\":9");
    } else if (callers[_i].params != NULL) {
        assert_has(line, callers[_i].params);
    }
    world_answer(&w, line, CREATED);
    if (!callers[_i].is_ours) ck_assert_str_eq(world_event(&w)->json, CREATED);
}
END_TEST

START_TEST(an_answer_at_once_is_one)
{
    up();
    world_answer(&w, call(1, &(struct world_call){0}), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->json, "{\"content\":[]}");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(cancelling_the_call_cancels_the_task)
{
    up();
    world_answer(&w, call(1, &(struct world_call){0}), CREATED);
    const char *line = world_line(&w);
    world_cancel(&w, 1);
    assert_has(world_line(&w), "\"method\":\"tasks/cancel\",\"params\":{\"taskId\":\"t-1\"}");
    assert_has(world_line(&w), world_format(&w, "\"requestId\":%" PRIu64 ",", world_id(line)));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(what_a_task_asks_is_a_round_for_a_modern_client)
{
    const char *line;
    struct world_event *event;

    up();
    line = call(1, &(struct world_call){.capabilities = CAPABILITIES});
    world_answer(&w, line, WORLD_LEGACY); /* a session of the client's own */
    assert_has(world_line(&w), "notifications/initialized");
    line = world_line(&w);
    assert_has(line, TASK);
    world_answer(&w, line, CREATED);
    line = world_line(&w);
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"elicitation/create\",\"params\":{"
                  "\"message\":\"m\"}}\n");
    world_pass(&w, MN_SEC);
    event = world_event(&w);
    assert_has(event->json, "\"resultType\":\"input_required\"");
    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .params = "{\"name\":\"job\",\"inputResponses\":{"
                                                  "\"elicitation-1\":{\"action\":\"accept\"}}}",
                                        .capabilities = CAPABILITIES,
                                        .resume = event->resume});
    assert_has(world_line(&w), "\"id\":7,\"result\":{\"action\":\"accept\"}");
    world_answer(&w, line, "{\"content\":[]}");
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    ck_assert_str_eq(event->json, "{\"content\":[]}");
}
END_TEST

/* The next request to the endpoint whose body has [part]. */
static struct world_fetch *fetch_of(const char *part)
{
    struct world_fetch *fetch;

    while ((fetch = world_fetch(&w)) != NULL)
        if (strstr(fetch->body, part) != NULL) return fetch;
    ck_abort_msg("nothing with %s was sent", part);
    return NULL;
}

static void up_http(void)
{
    ck_assert_int_eq(world_add_url(&w, "s", "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    struct world_fetch *fetch = fetch_of("\"initialize\"");
    world_head(&w, fetch, 200, "application/json", "sess-1");
    world_body(&w, fetch,
               world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":%s}",
                            world_id(fetch->body), WORLD_LEGACY));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, fetch_of("notifications/initialized"), 202, NULL, NULL);
    world_reply_result(&w, fetch_of("tools/list"), world_tools_result(&w, TOOLS));
}

START_TEST(a_task_outlives_the_connection_on_which_it_is_awaited)
{
    up_http();
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = "{\"name\":\"job\"}"});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    world_end(&w, fetch_of("tasks/result"), MN_IO, "reset");
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 1100 * MN_MS);
    world_end(&w, fetch_of("tasks/result"), MN_UNREACHABLE, "refused"); /* away */
    world_pass(&w, 600 * MN_MS);
    world_reply_result(&w, fetch_of("\"ping\""), "{}");
    world_reply_result(&w, fetch_of("tools/list"), world_tools_result(&w, TOOLS));
    world_pass(&w, 1100 * MN_MS);
    world_reply_result(&w, fetch_of("tasks/result"), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->json, "{\"content\":[]}");
}
END_TEST

/* Its caller's node is lost, and then the connection, too. */
START_TEST(a_task_is_asked_about_while_nobody_waits_for_it)
{
    up_http();
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .version = "2025-06-18",
                                        .session = "ann",
                                        .params = "{\"name\":\"job\"}",
                                        .is_live = true,
                                        .orphan = mn_span_str("0123456789abcdef")});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    world_pass(&w, UPSTREAM_ORPHAN_SILENT);
    world_lose(&w, 1);
    world_end(&w, fetch_of("tasks/result"), MN_IO, "reset");
    world_pass(&w, 1100 * MN_MS);
    world_reply_result(&w, fetch_of("tasks/result"), "{\"content\":[]}");
    ck_assert_ptr_null(world_event(&w));
    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .params = "{}",
                                        .session = "ann",
                                        .is_live = true,
                                        .resume = mn_span_str("0123456789abcdef")});
    ck_assert_str_eq(world_event(&w)->json, "{\"content\":[]}");
}
END_TEST

/* All that the endpoint is asked meanwhile it answers; the request for the task's result. */
static struct world_fetch *wait_for_result(mn_time time)
{
    struct world_fetch *result = NULL, *fetch;

    world_pass(&w, time);
    while ((fetch = world_fetch(&w)) != NULL) {
        if (strstr(fetch->body, "tasks/result") != NULL)
            result = fetch;
        else if (strstr(fetch->body, "tools/list") != NULL)
            world_reply_result(&w, fetch, world_tools_result(&w, TOOLS));
        else
            world_reply(&w, fetch, 405, NULL, NULL);
    }
    return result;
}

/* There are proxies that end what lasts longer than a minute. */
START_TEST(a_connection_that_breaks_now_and_then_is_asked_anew_without_end)
{
    struct world_fetch *result;

    up_http();
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = "{\"name\":\"job\"}"});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    result = wait_for_result(0);
    for (uint32_t i = 0; i < UPSTREAM_TASK_RETRIES + 2; i++) {
        ck_assert_msg(result != NULL, "given up after %u", i);
        wait_for_result(UPSTREAM_HEALTHY);
        world_end(&w, result, MN_IO, "reset");
        result = wait_for_result(1100 * MN_MS);
    }
    ck_assert_ptr_nonnull(result);
}
END_TEST

START_TEST(a_task_that_went_with_its_session_has_an_unknown_outcome)
{
    up_http();
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = "{\"name\":\"job\"}"});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    world_reply(&w, fetch_of("tasks/result"), 404, NULL, NULL);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
}
END_TEST

/* Asked once more it would be as large. */
START_TEST(a_result_beyond_the_limits_ends_the_call)
{
    struct world_fetch *fetch;
    struct world_event *event;

    up_http();
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = "{\"name\":\"job\"}"});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    fetch = fetch_of("tasks/result");
    world_head(&w, fetch, 200, "application/json", NULL);
    world_body(&w, fetch, "{\"result\":{\"x\":");
    for (int i = 0; i < 200; i++)
        world_body(&w, fetch, "[");
    for (int i = 0; i < 200; i++)
        world_body(&w, fetch, "]");
    world_body(&w, fetch, world_format(&w, "},\"id\":%" PRIu64 "}", world_id(fetch->body)));
    world_end(&w, fetch, MN_OK, "");
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->failure, CALL_TOO_BIG);
}
END_TEST

START_TEST(a_server_that_stays_away_is_not_waited_for_without_end)
{
    up_http();
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = "{\"name\":\"job\"}"});
    world_reply_result(&w, fetch_of("tools/call"), CREATED);
    world_end(&w, fetch_of("tasks/result"), MN_UNREACHABLE, "refused");
    for (uint32_t i = 0; i < 2 * UPSTREAM_TASK_RETRIES && w.events_count == 0; i++) {
        struct world_fetch *fetch;
        world_pass(&w, UPSTREAM_TASK_RETRY);
        while ((fetch = world_fetch(&w)) != NULL)
            if (!fetch->is_done && !fetch->is_cancelled)
                world_end(&w, fetch, MN_UNREACHABLE, "refused");
    }
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(a_modern_server_has_no_tasks_of_the_legacy_era)
{
    world_up_modern(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\",\"task\":{}}",
                                        .session = "ann",
                                        .version = "2025-11-25",
                                        .is_live = true});
    struct world_event *event = world_event(&w);
    ck_assert_str_eq(event->what, "error");
    ck_assert_int_eq(event->code, -32601);
    assert_has(event->message, "without \"task\"");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* ---- what is told of tasks ---- */

static void watch(uint64_t ticket)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .method = "subscriptions/listen",
                                        .params = "{}"});
    ck_assert_str_eq(world_event(&w)->what, ""); /* it is being served */
}

#define MODERN_STATE(id)                                                                   \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks\",\"params\":{\"taskId\":\"" id \
    "\",\"status\":\"working\",\"ttlMs\":1e400,\"_meta\":{\"io.modelcontextprotocol/"      \
    "subscriptionId\":1}}}\n"
#define LEGACY_STATE(id)                                                            \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\",\"params\":{\"" \
    "taskId\":\"" id "\",\"status\":\"working\",\"ttl\":null}}\n"

START_TEST(a_modern_server_is_listened_to_for_tasks)
{
    struct world_event *event;

    world_up_modern(&w, "s");
    watch(1);
    watch(2);
    world_wish_task(&w, 1, "t-1", "");
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    const char *line = world_line(&w);
    assert_has(line, "\"taskIds\":[\"t-1\"]");
    assert_has(line, "\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}");
    world_wish_task(&w, 2, "t-2", "");
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    assert_has(world_line(&w), "\"taskIds\":[\"t-1\",\"t-2\"]"); /* the new listen first */
    assert_has(world_line(&w), "notifications/cancelled");
    world_say(&w, MODERN_STATE("t-2"));
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    ck_assert_str_eq(event->json, "{\"taskId\":\"t-2\",\"status\":\"working\",\"ttlMs\":1e400}");
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, MODERN_STATE("t-3"));
    world_wish_task(&w, 2, NULL, NULL);
    world_say(&w, MODERN_STATE("t-2"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* Two clients, of whom one has a session of its own there, have tasks of the same id. */
START_TEST(what_a_legacy_server_tells_is_for_the_client_whose_session_it_is)
{
    const char *line;
    struct world_event *event;
    struct world_child *shared;

    up();
    shared = world_child(&w);
    world_answer(&w,
                 call(1, &(struct world_call){.params = "{\"name\":\"echo\",\"task\":{}}",
                                              .session = "bob",
                                              .version = "2025-11-25"}),
                 CREATED);
    line = call(2, &(struct world_call){.params = "{\"name\":\"echo\",\"task\":{}}",
                                        .session = "ann",
                                        .capabilities = CAPABILITIES,
                                        .version = "2025-11-25",
                                        .is_live = true});
    world_answer(&w, line, WORLD_LEGACY);
    assert_has(world_line(&w), "notifications/initialized");
    world_answer(&w, world_line(&w), CREATED);
    ck_assert_ptr_ne(world_child(&w), shared);
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert_str_eq(world_event(&w)->what, "result");
    watch(3);
    watch(4);
    world_wish_task(&w, 3, "t-1", "ann");
    world_wish_task(&w, 4, "t-1", "bob");
    world_say(&w, LEGACY_STATE("t-1")); /* ann's child */
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 3);
    ck_assert_str_eq(event->key, "ann");
    assert_has(event->json, "\"ttl\":null");
    ck_assert_ptr_null(world_event(&w));
    ck_assert_uint_gt(shared->id, 0);
    world_edge(&w, &(struct edge_input){.type = EDGE_IN_CHILD_OUT,
                                        .id = shared->id,
                                        .code = 1,
                                        .bytes = mn_span_str(LEGACY_STATE("t-1"))});
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 4);
    ck_assert_str_eq(event->key, "bob");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* The call that began it is answered, and its token is good for the task's whole life. */
START_TEST(progress_of_a_task_goes_to_who_wants_to_hear_of_it)
{
    struct world_event *event;
    const char *line, *progress;

    up();
    line = call(1, &(struct world_call){.params = "{\"name\":\"echo\",\"task\":{}}",
                                        .session = "bob",
                                        .version = "2025-11-25",
                                        .wants_progress = true});
    progress = world_format(&w,
                            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
                            "\"params\":{\"progressToken\":%llu,\"progress\":0.50}}\n",
                            (unsigned long long)world_id(line));
    world_answer(&w, line, CREATED);
    ck_assert_str_eq(world_event(&w)->what, "result");
    watch(2);
    world_say(&w, progress); /* nobody wants to hear of it */
    ck_assert_ptr_null(world_event(&w));
    world_wish_task(&w, 2, "t-1", "bob");
    world_say(&w, progress);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    ck_assert_str_eq(event->what, "task progress");
    ck_assert_str_eq(event->key, "t-1");
    ck_assert_str_eq(event->json, "{\"progress\":0.50}");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\",\"params\":{"
                  "\"taskId\":\"t-1\",\"status\":\"completed\"}}\n");
    ck_assert_str_eq(world_event(&w)->what, "task");
    world_say(&w, progress); /* it is over */
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_task");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_tool_that_only_runs_as_a_task_is_one_call_for_a_modern_client);
    tcase_add_loop_test(tc, who_has_tasks_begins_them_itself, 0,
                        sizeof callers / sizeof callers[0]);
    tcase_add_test(tc, an_answer_at_once_is_one);
    tcase_add_test(tc, cancelling_the_call_cancels_the_task);
    tcase_add_test(tc, what_a_task_asks_is_a_round_for_a_modern_client);
    tcase_add_test(tc, a_task_outlives_the_connection_on_which_it_is_awaited);
    tcase_add_test(tc, a_task_is_asked_about_while_nobody_waits_for_it);
    tcase_add_test(tc, a_connection_that_breaks_now_and_then_is_asked_anew_without_end);
    tcase_add_test(tc, a_task_that_went_with_its_session_has_an_unknown_outcome);
    tcase_add_test(tc, a_result_beyond_the_limits_ends_the_call);
    tcase_add_test(tc, a_server_that_stays_away_is_not_waited_for_without_end);
    tcase_add_test(tc, a_modern_server_has_no_tasks_of_the_legacy_era);
    tcase_add_test(tc, a_modern_server_is_listened_to_for_tasks);
    tcase_add_test(tc, what_a_legacy_server_tells_is_for_the_client_whose_session_it_is);
    tcase_add_test(tc, progress_of_a_task_goes_to_who_wants_to_hear_of_it);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
