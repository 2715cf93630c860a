/* Tasks that clients have: their servers begin them by questions, and ask how they are. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define ALL                                                                                   \
    "{\"elicitation\":{},\"sampling\":{},\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{" \
    "\"sampling\":{\"createMessage\":{}},\"elicitation\":{\"create\":{}}}}}"
#define FEW "{\"elicitation\":{},\"tasks\":{\"requests\":{\"sampling\":{\"createMessage\":{}}}}}"
#define ASK(id, method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}\n"
#define ELICIT ASK("5", "elicitation/create", "{\"message\":\"m\",\"task\":{\"ttl\":9}}")
#define NOT_DECLARED "\"error\":{\"code\":-32601,"

static struct world w;

static void setup(void)
{
    world_init(&w);
    world_up_legacy(&w, "s");
}

static void teardown(void)
{
    world_done(&w);
}

#define assert_has(text, part) \
    ck_assert_msg(strstr((text), (part)) != NULL, "%s is not in %s", (part), (text))

/* The line of a call of that session, which is opened with [told]. */
static const char *call_with(uint64_t ticket, const char *session, const char *capabilities,
                             const char *told)
{
    uint32_t children = w.children_count;
    char expected[300];

    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\",\"arguments\":{}}",
                                        .capabilities = capabilities,
                                        .session = session,
                                        .is_live = session != NULL});
    if (w.children_count > children) {
        const char *line = world_line(&w);
        snprintf(expected, sizeof expected, "\"capabilities\":%s,", told);
        assert_has(line, expected);
        world_answer(&w, line, WORLD_LEGACY);
        assert_has(world_line(&w), "notifications/initialized");
    }
    return world_line(&w);
}

START_TEST(a_server_begins_a_task_of_its_client_and_asks_how_it_is)
{
    static const char *const asked[][2] = {
        {"tasks/get", "{\"taskId\":\"c-1\"}"},
        {"tasks/result", "{\"taskId\":\"c-1\"}"},
        {"tasks/cancel", "{\"taskId\":\"c-1\"}"},
        {"tasks/list", "{\"cursor\":\"x\"}"},
    };
    struct world_event *event;
    char line[200];

    call_with(1, "ann", ALL, ALL);
    world_say(&w, ELICIT);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "question");
    ck_assert_str_eq(event->json, "{\"message\":\"m\",\"task\":{\"ttl\":9}}");
    world_input(&w, 1, event->key, "{\"task\":{\"taskId\":\"c-1\"}}", 0);
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"task\":{\"taskId\":\"c-1\"}}}");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        snprintf(line, sizeof line, ASK("6", "%s", "%s"), asked[i][0], asked[i][1]);
        world_say(&w, line);
        event = world_event(&w);
        ck_assert_str_eq(event->what, "question");
        ck_assert_str_eq(event->message, asked[i][0]);
        ck_assert_str_eq(event->json, asked[i][1]);
        world_input(&w, 1, event->key, "{\"x\":1e400}", 0);
        ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":6,\"result\":{\"x\":1e400}}");
    }
}
END_TEST

/* A server that was promised a task, or asks about one, hears as such also of what its client's
 * node says for it. */
START_TEST(a_client_that_refuses_is_heard)
{
    call_with(1, "ann", ALL, ALL);
    world_say(&w, ELICIT);
    world_input(&w, 1, world_event(&w)->key, NULL, -32603);
    assert_has(world_line(&w), "\"id\":5,\"error\":{\"code\":-32603,");
    world_say(&w, ASK("6", "elicitation/create", "{\"message\":\"m\"}"));
    world_input(&w, 1, world_event(&w)->key, NULL, -7);
    assert_has(world_line(&w), "\"id\":6,\"error\":{\"code\":-7,");
    world_say(&w, ASK("6", "elicitation/create", "{\"message\":\"m\"}"));
    world_input(&w, 1, world_event(&w)->key, NULL, -32603);
    assert_has(world_line(&w), "\"id\":6,\"result\":{\"action\":\"cancel\"}");
    world_say(&w, ASK("7", "tasks/get", "{\"taskId\":\"c-1\"}"));
    world_input(&w, 1, world_event(&w)->key, NULL, -32602);
    assert_has(world_line(&w), "\"id\":7,\"error\":{\"code\":-32602,");
}
END_TEST

START_TEST(what_a_client_did_not_declare_is_not_asked)
{
    struct world_event *event;

    call_with(1, "ann", FEW, FEW);
    world_say(&w, ASK("5", "tasks/list", "{}"));
    assert_has(world_line(&w), NOT_DECLARED);
    world_say(&w, ASK("5", "tasks/cancel", "{\"taskId\":\"c-1\"}"));
    assert_has(world_line(&w), NOT_DECLARED);
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, ASK("5", "tasks/get", "{\"taskId\":\"c-1\"}"));
    ck_assert_str_eq(world_event(&w)->message, "tasks/get");
    world_say(&w, ELICIT); /* it can be asked that, but not as a task: it takes no notice */
    event = world_event(&w);
    ck_assert_str_eq(event->message, "elicitation/create");
    world_input(&w, 1, event->key, NULL, -32603);
    assert_has(world_line(&w), "\"id\":5,\"result\":{\"action\":\"cancel\"}");
}
END_TEST

/* Clients without a session have none: rounds of the modern era know no tasks. */
START_TEST(a_modern_client_has_no_tasks_of_its_own)
{
    struct world_event *event;

    call_with(1, NULL, ALL, "{\"elicitation\":{},\"sampling\":{}}");
    world_say(&w, ASK("4", "tasks/get", "{\"taskId\":\"c-1\"}"));
    assert_has(world_line(&w), NOT_DECLARED);
    world_say(&w, ASK("5", "elicitation/create",
                      "{\"message\":\"m\",\"task\":{},\"elicitationId\":\"e\",\"x\":1e400}"));
    world_pass(&w, MN_SEC);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "result");
    assert_has(event->json, "\"params\":{\"message\":\"m\",\"x\":1e400}");
}
END_TEST

/* Its client's own, whose session has a stream somewhere; without one nobody is asked. */
START_TEST(a_server_asks_between_calls)
{
    const struct world_call anns = {
        .ticket = 50, .service = "s", .session = "ann", .capabilities = ALL};
    struct world_event *event;

    world_answer(&w, call_with(1, "ann", ALL, ALL), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_say(&w, ASK("5", "tasks/get", "{\"taskId\":\"c-1\"}"));
    world_pass(&w, UPSTREAM_ASKED_UNTOLD + MN_MS);
    assert_has(world_line(&w), "\"id\":5,\"error\":{\"code\":-32603,");
    ck_assert_ptr_null(world_event(&w));
    world_call(&w,
               &(struct world_call){
                   .ticket = 9, .service = "s", .method = "subscriptions/listen", .params = "{}"});
    ck_assert_str_eq(world_event(&w)->what, "");
    world_wish_session(&w, 9, "ann", "");
    world_say(&w, ELICIT);
    event = world_event(&w);
    ck_assert_str_eq(event->message, "elicitation/create");
    world_answer_aside(&w, &anns, event->key, NULL, -7);
    assert_has(world_line(&w), "\"id\":5,\"error\":{\"code\":-7,"); /* as of a task */
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_say(&w, ASK("6", "tasks/result", "{\"taskId\":\"c-1\"}"));
    event = world_event(&w);
    ck_assert_str_eq(event->message, "tasks/result");
    world_pass(&w, 2 * UPSTREAM_QUESTION_TTL); /* it is over when it is over */
    ck_assert_ptr_null(world_line(&w));
    world_answer_aside(&w, &anns, event->key, "{\"action\":\"accept\"}", 0);
    assert_has(world_line(&w), "\"id\":6,\"result\":{\"action\":\"accept\"}");
}
END_TEST

START_TEST(the_result_of_a_task_is_waited_for)
{
    uint32_t beats = 0;
    struct world_event *event;

    call_with(1, "ann", ALL, ALL);
    world_say(&w, ASK("5", "tasks/result", "{\"taskId\":\"c-1\"}"));
    event = world_event(&w);
    world_pass(&w, 2 * UPSTREAM_QUESTION_TTL);
    ck_assert_ptr_null(world_line(&w));
    while (world_event(&w) != NULL)
        beats++;
    ck_assert_uint_eq(beats, 2 * UPSTREAM_QUESTION_TTL / UPSTREAM_HEARTBEAT);
    world_input(&w, 1, event->key, "{\"action\":\"accept\"}", 0);
    assert_has(world_line(&w), "\"id\":5,\"result\":{\"action\":\"accept\"}");
}
END_TEST

START_TEST(a_client_tells_of_its_task_in_its_own_session)
{
    struct world_call told = {.ticket = 7,
                              .service = "s",
                              .method = "notifications/tasks/status",
                              .params = "{\"taskId\":\"c-1\",\"status\":\"working\",\"ttl\":1e400}",
                              .capabilities = ALL,
                              .session = "ann"};

    world_answer(&w, call_with(1, "ann", ALL, ALL), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_call(&w, &told);
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\",\"params\":"
                     "{\"taskId\":\"c-1\",\"status\":\"working\",\"ttl\":1e400}}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    told.ticket = 8;
    told.session = "bob";
    world_call(&w, &told);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* What the entry node asks by itself of a client's tasks has nobody behind it who could answer. */
START_TEST(a_request_that_cannot_be_asked_takes_no_question)
{
    const char *line = call_with(1, "ann", ALL, ALL);

    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .method = "tasks/get",
                                        .params = "{\"taskId\":\"t-1\"}",
                                        .capabilities = ALL,
                                        .session = "ann"});
    assert_has(world_line(&w), "tasks/get");
    world_say(&w, ELICIT);
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
    world_answer(&w, line, "{\"content\":[]}");
    assert_has(world_line(&w), "\"id\":5,\"error\":{\"code\":-32603,"); /* with its call */
    ck_assert_str_eq(world_event(&w)->what, "result");
    world_say(&w, ELICIT);
    world_pass(&w, UPSTREAM_ASKED_UNTOLD + MN_MS);
    assert_has(world_line(&w), "\"id\":5,\"error\":{\"code\":-32603,");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream theirs");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_server_begins_a_task_of_its_client_and_asks_how_it_is);
    tcase_add_test(tc, a_client_that_refuses_is_heard);
    tcase_add_test(tc, what_a_client_did_not_declare_is_not_asked);
    tcase_add_test(tc, a_modern_client_has_no_tasks_of_its_own);
    tcase_add_test(tc, a_server_asks_between_calls);
    tcase_add_test(tc, the_result_of_a_task_is_waited_for);
    tcase_add_test(tc, a_client_tells_of_its_task_in_its_own_session);
    tcase_add_test(tc, a_request_that_cannot_be_asked_takes_no_question);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
