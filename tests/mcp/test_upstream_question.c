/* Servers that ask in the middle of a call: sessions for one client, rounds, live questions. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define CAPABILITIES "{\"elicitation\":{},\"sampling\":{},\"roots\":{}}"
#define ECHO "{\"name\":\"echo\",\"arguments\":{}}"
#define ELICIT                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":\"u7\",\"method\":\"elicitation/create\",\"params\":" \
    "{\"message\":\"Name?\",\"x\":1e400}}\n"
#define SAMPLE \
    "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"sampling/createMessage\",\"params\":{}}\n"

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

/* A call that may be asked; returns the line of tools/call, written to the child of its session. */
static const char *call_of(uint64_t ticket, const char *session, bool is_live)
{
    uint32_t children = w.children_count;

    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = ECHO,
                                        .capabilities = CAPABILITIES,
                                        .session = session,
                                        .is_live = is_live});
    if (w.children_count > children) {
        const char *line = world_line(&w);
        assert_has(line, "\"capabilities\":" CAPABILITIES);
        world_answer(&w, line, WORLD_LEGACY);
        assert_has(world_line(&w), "notifications/initialized");
    }
    return world_line(&w);
}

START_TEST(a_client_that_can_be_asked_has_a_session_of_its_own)
{
    struct world_child *shared, *ann, *bob;

    world_up_legacy(&w, "s");
    shared = world_child(&w);
    assert_has(call_of(1, "ann", true), "tools/call");
    ann = world_child(&w);
    ck_assert_ptr_ne(ann, shared);
    assert_has(call_of(2, "bob", true), "tools/call");
    bob = world_child(&w);
    ck_assert_ptr_ne(bob, ann);
    ck_assert_uint_eq(w.children_count, 3);
    world_call_echo(&w, 3, "s"); /* cannot be asked: the shared one */
    ck_assert_uint_eq(w.children_count, 3);
    ck_assert_uint_eq(upstreams_count(w.upstreams), 1);
    world_say(&w, ELICIT); /* bob's child is the newest one */
    ck_assert_uint_eq(w.events[w.event_next].ticket, 2);
    ck_assert_str_eq(world_event(&w)->what, "question");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(what_a_clients_child_writes_to_stderr_is_in_the_servers_log)
{
    world_up_legacy(&w, "s");
    assert_has(call_of(1, "ann", true), "tools/call");
    world_say_bytes(&w, 2, mn_span_str("no such file\nand th"));
    world_say_bytes(&w, 2, mn_span_str("en\nits last"));
    ck_assert_str_eq(world_log(&w, "s"),
                     "a client's session: no such file\na client's session: and then\n");
    world_exit(&w, 1); /* words without an end of line */
    assert_has(world_log(&w, "s"), "a client's session: its last\n");
    assert_has(world_log(&w, "s"), "a client's session: exited with status 1\n");
}
END_TEST

/* A server that is removed is gone with its own child, while those of clients may take longer. */
START_TEST(a_clients_child_may_write_when_its_server_is_gone)
{
    world_up_legacy(&w, "s");
    assert_has(call_of(1, "ann", true), "tools/call");
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    w.child_chosen = 1;
    world_exit(&w, 0);
    w.child_chosen = 0;
    ck_assert(world_child(&w)->is_stopped);
    world_say_bytes(&w, 2, mn_span_str("that is all\nits last"));
    world_exit(&w, 0);
    ck_assert(upstreams_is_idle(w.upstreams));
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

static void up_both_eras(void)
{
    ck_assert_int_eq(world_add_url(&w, "s", "http://127.0.0.1/mcp", UPSTREAM_ERA_AUTO), MN_OK);
    world_reply_result(&w, fetch_of("server/discover"), WORLD_MODERN);
    world_reply_result(&w, fetch_of("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    ck_assert(mn_span_is(world_info(&w, "s").version, "2026-07-28"));
}

START_TEST(a_server_of_both_eras_is_asked_in_that_of_the_client)
{
    const struct world_call call = {.ticket = 1,
                                    .service = "s",
                                    .params = ECHO,
                                    .capabilities = CAPABILITIES,
                                    .session = "ann",
                                    .is_live = true};
    struct world_call modern = call;

    up_both_eras();
    world_call(&w, &call);
    world_reply_result(&w, fetch_of("\"initialize\""), WORLD_LEGACY);
    world_reply(&w, fetch_of("notifications/initialized"), 202, "", "");
    assert_has(fetch_of("tools/call")->headers, "mcp-protocol-version: 2025-11-25");
    modern.ticket = 2;
    modern.session = NULL;
    world_call(&w, &modern);
    assert_has(fetch_of("tools/call")->headers, "mcp-protocol-version: 2026-07-28");
}
END_TEST

START_TEST(a_server_without_legacy_sessions_is_asked_in_the_modern_era)
{
    struct world_call call = {.ticket = 1,
                              .service = "s",
                              .params = ECHO,
                              .capabilities = CAPABILITIES,
                              .session = "ann",
                              .is_live = true};

    up_both_eras();
    world_call(&w, &call);
    world_reply(&w, fetch_of("\"initialize\""), 400, "application/json",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"no\"}}");
    assert_has(fetch_of("tools/call")->headers, "mcp-protocol-version: 2026-07-28");
    call.ticket = 2; /* it is remembered */
    world_call(&w, &call);
    assert_has(world_fetch(&w)->headers, "mcp-protocol-version: 2026-07-28");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_session_that_made_room_before_it_was_ready_says_nothing_of_its_server)
{
    char session[16];
    struct world_call call = {.service = "s",
                              .params = ECHO,
                              .capabilities = CAPABILITIES,
                              .session = session,
                              .is_live = true};

    up_both_eras();
    for (uint64_t i = 1; i <= UPSTREAM_LEASES_MAX + 2; i++) {
        snprintf(session, sizeof session, "c%u", (unsigned)i);
        if (i > UPSTREAM_LEASES_MAX) world_cancel(&w, i - UPSTREAM_LEASES_MAX);
        call.ticket = i;
        world_call(&w, &call);
        ck_assert_ptr_nonnull(fetch_of("\"initialize\""));
    }
}
END_TEST

START_TEST(live_questions_are_events_and_answers_go_to_the_server)
{
    struct world_event *event;
    const char *line;

    world_up_legacy(&w, "s");
    line = call_of(1, "ann", true);
    world_say(&w, ELICIT);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "question");
    ck_assert_str_eq(event->message, "elicitation/create");
    ck_assert_str_eq(event->json, "{\"message\":\"Name?\",\"x\":1e400}");
    world_pass(&w, 2 * UPSTREAM_HEARTBEAT); /* people think slowly */
    ck_assert_str_eq(world_event(&w)->what, "");
    ck_assert_str_eq(world_event(&w)->what, "");
    world_input(&w, 1, "nothing-1", "{}", 0);
    ck_assert_ptr_null(world_line(&w));
    world_input(&w, 1, event->key, "{\"action\":\"accept\",\"content\":{\"n\":0.10}}", 0);
    ck_assert_str_eq(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":\"u7\",\"result\":"
                                     "{\"action\":\"accept\",\"content\":{\"n\":0.10}}}");
    world_input(&w, 1, event->key, "{}", 0); /* answered already */
    ck_assert_ptr_null(world_line(&w));
    world_say(&w, SAMPLE);
    event = world_event(&w);
    world_input(&w, 1, event->key, NULL, -1);
    assert_has(world_line(&w), "\"id\":8,\"error\":{\"code\":-1,");
    world_say(&w, ELICIT);
    world_input(&w, 1, world_event(&w)->key, NULL, -1);
    assert_has(world_line(&w), "\"id\":\"u7\",\"error\":{\"code\":-1,\"message\":\"no\"}");
    world_say(&w, ELICIT); /* its node answers for a client that cannot be asked */
    world_input(&w, 1, world_event(&w)->key, NULL, -32603);
    assert_has(world_line(&w), "\"result\":{\"action\":\"cancel\"}");
    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->json, "{\"content\":[]}");
}
END_TEST

static const struct world_call anns = {
    .ticket = 50, .service = "s", .session = "ann", .capabilities = CAPABILITIES};

static const char *outlived(uint64_t ticket, const char *key)
{
    struct world_event *event = world_event(&w);

    ck_assert_str_eq(event->what, "outlived");
    ck_assert_uint_eq(event->ticket, ticket);
    ck_assert_str_eq(event->key, key);
    ck_assert_str_eq(world_event(&w)->what, "result");
    return event->message;
}

/* Whose it was a child does not say: it was put down to the call sent last. */
START_TEST(a_question_outlives_the_call_it_was_put_down_to)
{
    struct world_event *event;
    const char *first, *second, *key;

    world_up_legacy(&w, "s");
    first = call_of(1, "ann", true);
    second = call_of(2, "ann", true);
    world_say(&w, ELICIT);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    world_answer(&w, second, "{\"content\":[]}");
    key = outlived(2, event->key);
    ck_assert_ptr_null(world_event(&w)); /* its client has it */
    if (_i > 0) {
        world_ask_again(&w, &anns, key); /* or not any more */
        event = world_event(&w);
        ck_assert_uint_eq(event->ticket, 1);
        ck_assert_str_eq(event->what, "question");
        ck_assert_str_eq(event->key, key);
        (void)world_event(&w);
    }
    world_answer_aside(&w, &anns, key, "{\"action\":\"accept\"}", 0);
    assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"accept\"}");
    (void)world_event(&w);
    world_answer_aside(&w, &anns, key, "{\"action\":\"accept\"}", 0);
    ck_assert_ptr_null(world_line(&w)); /* once */
    (void)world_event(&w);
    world_say(&w, ELICIT);
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
    world_answer(&w, first, "{\"content\":[]}"); /* nobody is left who could be asked */
    assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"cancel\"}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

/* Its client still has the question, which is not one of the call that ends. */
START_TEST(what_outlived_a_call_is_taken_back_when_nobody_can_be_asked_any_more)
{
    struct world_event *event;
    const char *first, *second, *key;

    world_up_legacy(&w, "s");
    first = call_of(1, "ann", true);
    second = call_of(2, "ann", true);
    world_say(&w, ELICIT);
    event = world_event(&w);
    world_answer(&w, second, "{\"content\":[]}");
    key = outlived(2, event->key);
    if (_i == 0)
        world_answer(&w, first, "{\"content\":[]}");
    else
        world_exit(&w, 1);
    if (_i == 0) assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"cancel\"}");
    event = world_event(&w);
    ck_assert_str_eq(event->what, "withdrawn");
    ck_assert_uint_eq(event->ticket, 1);
    ck_assert_str_eq(event->key, key);
    event = world_event(&w);
    ck_assert_int_eq(event->kind, _i == 0 ? CALL_EVENT_RESULT : CALL_EVENT_FAILED);
}
END_TEST

/* Else a server could leave any number of them with a call that lasts. */
START_TEST(a_call_takes_no_more_questions_of_others_than_of_its_own)
{
    struct world_event *event;
    const char *second;

    world_up_legacy(&w, "s");
    (void)call_of(1, "ann", true);
    for (int i = 0; i < UPSTREAM_QUESTIONS_MAX; i++) {
        world_say(&w, ELICIT);
        ck_assert_str_eq(world_event(&w)->what, "question");
    }
    second = call_of(2, "ann", true);
    world_say(&w, ELICIT);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    world_answer(&w, second, "{\"content\":[]}");
    assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"cancel\"}");
    ck_assert_str_eq(world_event(&w)->what, "result"); /* and it is taken back with the call */
}
END_TEST

/* What its client gave up is not asked on its stream any more. */
START_TEST(a_question_of_a_call_that_was_cancelled_is_asked_on_the_next)
{
    struct world_event *event;

    world_up_legacy(&w, "s");
    (void)call_of(1, "ann", true);
    (void)call_of(2, "ann", true);
    world_say(&w, ELICIT);
    ck_assert_uint_eq(world_event(&w)->ticket, 2);
    world_cancel(&w, 2);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 1);
    ck_assert_str_eq(event->what, "question");
}
END_TEST

/* Whoever has it was told of it by the first call, and hears of the others that it is the same. */
START_TEST(a_question_outlives_all_calls_under_one_key)
{
    const char *lines[3], *key;
    struct world_event *event;

    world_up_legacy(&w, "s");
    for (uint64_t i = 0; i < 3; i++)
        lines[i] = call_of(i + 1, "ann", true);
    world_say(&w, ELICIT);
    event = world_event(&w);
    world_answer(&w, lines[2], "{\"content\":[]}");
    key = outlived(3, event->key);
    world_answer(&w, lines[1], "{\"content\":[]}");
    ck_assert_str_eq(outlived(2, key), key);
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                  "\"requestId\":\"u7\"}}\n");
    event = world_event(&w);
    ck_assert_str_eq(event->what, "withdrawn");
    ck_assert_uint_eq(event->ticket, 1);
    ck_assert_str_eq(event->key, key);
}
END_TEST

START_TEST(what_a_call_left_behind_is_no_question_to_the_next_client)
{
    uint32_t children;

    world_up_legacy(&w, "s");
    (void)call_of(1, NULL, false);
    children = w.children_count;
    world_cancel(&w, 1);
    assert_has(call_of(2, NULL, false), "tools/call");
    ck_assert_uint_eq(w.children_count, children + 1);
}
END_TEST

START_TEST(a_node_that_stops_may_end_a_clients_session_before_its_server)
{
    const char *line;

    world_up_legacy(&w, "s");
    line = call_of(1, "ann", true);
    world_answer(&w, line, "{\"content\":[]}");
    world_call_echo(&w, 2, "s"); /* the server itself is busy, the session is not */
    world_stop(&w);
    world_cancel(&w, 2);
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_STOPPED);
}
END_TEST

START_TEST(what_the_client_cannot_do_is_not_asked)
{
    world_up_legacy(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = ECHO,
                                        .capabilities = "{\"roots\":{}}",
                                        .session = "ann",
                                        .is_live = true});
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    (void)world_line(&w);
    (void)world_line(&w);
    world_say(&w, ELICIT);
    assert_has(world_line(&w), "\"id\":\"u7\",\"error\":{\"code\":-32601");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(rounds_park_the_call_until_its_answers_come)
{
    struct world_event *event;
    const char *line;
    struct mn_span resume;

    world_up_legacy(&w, "s");
    line = call_of(1, NULL, false);
    world_say(&w, ELICIT);
    world_say(&w, SAMPLE);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    event = world_event(&w);
    ck_assert_str_eq(event->json,
                     "{\"resultType\":\"input_required\",\"inputRequests\":{"
                     "\"elicitation-1\":{\"method\":\"elicitation/create\",\"params\":"
                     "{\"message\":\"Name?\",\"x\":1e400}},"
                     "\"sampling-2\":{\"method\":\"sampling/createMessage\",\"params\":{}}}}");
    resume = event->resume;
    ck_assert_uint_eq(resume.size, UPSTREAM_HANDLE_SIZE);

    /* one of the two: asked for the other again, under a new handle, and the old one is over */
    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .resume = resume,
                                        .params = "{\"name\":\"echo\",\"inputResponses\":{"
                                                  "\"elicitation-1\":{\"action\":\"decline\"}}}"});
    assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"decline\"}");
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    assert_has(event->json, "\"inputRequests\":{\"sampling-2\":");
    world_call(&w,
               &(struct world_call){.ticket = 3, .service = "s", .resume = resume, .params = ECHO});
    ck_assert_int_eq(world_event(&w)->code, -32602);

    world_call(&w, &(struct world_call){.ticket = 4,
                                        .service = "s",
                                        .resume = event->resume,
                                        .params = "{\"name\":\"echo\",\"inputResponses\":{"
                                                  "\"sampling-2\":{\"model\":\"m\"}}}"});
    assert_has(world_line(&w), "\"id\":8,\"result\":{\"model\":\"m\"}");
    world_answer(&w, line, "{\"content\":[1]}");
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 4);
    ck_assert_str_eq(event->json, "{\"content\":[1]}");
}
END_TEST

/* A token is that of a request: it is over with the round, and the next round may bring one. */
START_TEST(progress_goes_on_in_the_round_that_asks_for_it)
{
    static const struct {
        bool before, after;
    } cases[] = {{true, true}, {true, false}};
    struct world_event *event;
    char progress[160];

    world_up_legacy(&w, "s");
    for (uint32_t i = 0; i < 2; i++) {
        struct world_call call = {.ticket = 1 + 10 * i,
                                  .service = "s",
                                  .params = ECHO,
                                  .capabilities = CAPABILITIES,
                                  .wants_progress = cases[i].before};
        const char *line;
        world_call(&w, &call);
        line = world_line(&w);
        if (i == 0) {
            world_answer(&w, line, WORLD_LEGACY);
            assert_has(world_line(&w), "notifications/initialized");
            line = world_line(&w);
        }
        snprintf(progress, sizeof progress,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
                 "{\"progressToken\":%" PRIu64 ",\"progress\":1}}\n",
                 (uint64_t)strtoull(strstr(line, "\"progressToken\":") + 16, NULL, 10));
        world_say(&w, ELICIT);
        world_pass(&w, UPSTREAM_QUESTION_COLLECT);
        event = world_event(&w);
        world_say(&w, progress); /* nobody's, between the rounds */
        ck_assert_ptr_null(world_event(&w));
        call = (struct world_call){.ticket = 2 + 10 * i,
                                   .service = "s",
                                   .resume = event->resume,
                                   .params = "{\"name\":\"echo\",\"inputResponses\":{"
                                             "\"elicitation-1\":{\"action\":\"decline\"}}}",
                                   .wants_progress = cases[i].after};
        world_call(&w, &call);
        assert_has(world_line(&w), "\"action\":\"decline\"");
        world_say(&w, progress);
        if (cases[i].after) {
            event = world_event(&w);
            ck_assert_ptr_nonnull(event);
            ck_assert_uint_eq(event->ticket, 2 + 10 * i);
            ck_assert_str_eq(event->json, "{\"progress\":1}");
        }
        ck_assert_ptr_null(world_event(&w));
        world_answer(&w, line, "{\"content\":[]}");
        ck_assert_str_eq(world_event(&w)->json, "{\"content\":[]}");
    }
}
END_TEST

START_TEST(a_parked_call_may_end_before_its_client_comes_back)
{
    struct world_event *event;
    const char *line;

    world_up_legacy(&w, "s");
    line = call_of(1, NULL, false);
    world_say(&w, ELICIT);
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    event = world_event(&w);
    world_answer(&w, line, "{\"content\":[],\"isError\":true}");
    ck_assert_ptr_null(world_event(&w));
    world_call(&w, &(struct world_call){
                       .ticket = 2, .service = "s", .resume = event->resume, .params = ECHO});
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 2);
    ck_assert_str_eq(event->json, "{\"content\":[],\"isError\":true}");
}
END_TEST

START_TEST(nobody_comes_back_and_the_server_is_told)
{
    world_up_legacy(&w, "s");
    (void)call_of(1, NULL, false);
    world_say(&w, ELICIT);
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    (void)world_event(&w);
    world_pass(&w, UPSTREAM_QUESTION_TTL);
    assert_has(world_line(&w), "\"id\":\"u7\",\"result\":{\"action\":\"cancel\"}");
    assert_has(world_line(&w), "notifications/cancelled");
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, UPSTREAM_LEASE_SPARE); /* and then its session ends */
    ck_assert(world_child(&w)->is_stopped);
    world_exit(&w, 0);
    ck_assert_uint_eq(world_info(&w, "s").state, UPSTREAM_READY);
}
END_TEST

START_TEST(a_session_that_dies_fails_its_calls_and_nothing_else)
{
    world_up_legacy(&w, "s");
    (void)call_of(1, "ann", true);
    world_exit(&w, 1);
    ck_assert_int_eq(world_event(&w)->failure, CALL_OUTCOME_UNKNOWN);
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    assert_has(call_of(2, "ann", true), "tools/call"); /* a new one */
    ck_assert_int_eq(world_info(&w, "s").in_flight_count, 0);
    world_stop(&w);
}
END_TEST

START_TEST(more_clients_than_sessions_are_told_so)
{
    char session[16];

    world_up_legacy(&w, "s");
    for (int i = 0; i <= UPSTREAM_LEASES_MAX; i++) {
        snprintf(session, sizeof session, "c%d", i);
        if (i < UPSTREAM_LEASES_MAX) {
            (void)call_of((uint64_t)i + 1, session, true);
            continue;
        }
        world_call(&w, &(struct world_call){.ticket = 100,
                                            .service = "s",
                                            .params = ECHO,
                                            .capabilities = CAPABILITIES,
                                            .session = session});
        ck_assert_int_eq(world_event(&w)->failure, CALL_BUSY);
    }
    world_cancel(&w, 1);
    (void)call_of(101, session, true); /* the idle one made room */
}
END_TEST

START_TEST(a_modern_servers_rounds_go_on_here_for_a_live_client)
{
    struct world_event *first, *second;
    const char *line;

    world_up_modern(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = ECHO,
                                        .capabilities = CAPABILITIES,
                                        .is_live = true});
    line = world_line(&w);
    assert_has(line, "clientCapabilities\":" CAPABILITIES);
    world_answer(
        &w, line,
        "{\"resultType\":\"input_required\",\"requestState\":\"s\\u0031\",\"inputRequests\":{"
        "\"a\":{\"method\":\"elicitation/create\",\"params\":{\"message\":\"m\"}},"
        "\"b\":{\"method\":\"roots/list\"}}}");
    first = world_event(&w);
    second = world_event(&w);
    ck_assert_str_eq(first->key, "a");
    ck_assert_str_eq(second->key, "b");
    ck_assert_str_eq(second->message, "roots/list");
    world_input(&w, 1, "b", "{\"roots\":[]}", 0);
    ck_assert_ptr_null(world_line(&w));
    world_input(&w, 1, "a", NULL, -1);
    line = world_line(&w);
    assert_has(line, "\"arguments\":{},\"inputResponses\":{\"a\":{\"action\":\"cancel\"},"
                     "\"b\":{\"roots\":[]}},\"requestState\":\"s\\u0031\"");
    world_answer(&w, line, "{\"resultType\":\"input_required\",\"requestState\":\"s2\"}");
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, MN_SEC); /* only once more, a little later */
    line = world_line(&w);
    assert_has(line, "\"requestState\":\"s2\"");
    ck_assert_ptr_null(strstr(line, "inputResponses"));
    world_answer(&w, line, "{\"resultType\":\"complete\",\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

/* What a call comes to whose modern server asks for roots, and [question]; NULL: it is asked. */
static const char *round_of(const char *version, const char *capabilities, const char *method,
                            const char *question)
{
    static uint64_t ticket;
    struct world_event *event;

    world_call(&w, &(struct world_call){.ticket = ++ticket,
                                        .service = "s",
                                        .method = method,
                                        .params = "{\"name\":\"echo\"}",
                                        .version = version,
                                        .capabilities = capabilities,
                                        .is_live = true});
    world_answer(&w, world_line(&w),
                 world_format(&w,
                              "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{"
                              "\"method\":\"roots/list\"},\"b\":%s}}",
                              question));
    event = world_event(&w);
    if (event->kind == CALL_EVENT_RESULT)
        return strcmp(event->what, "result") == 0 ? event->json : event->message;
    ck_assert_str_eq(event->key, "a");
    ck_assert_str_eq(world_event(&w)->key, "b");
    world_cancel(&w, ticket);
    return NULL;
}

#define SAMPLING "{\"method\":\"sampling/createMessage\",\"params\":{}}"
#define FORM "{\"method\":\"elicitation/create\",\"params\":{\"message\":\"m\"}}"
#define URL                                                                                      \
    "{\"method\":\"elicitation/create\",\"params\":{\"mode\":\"url\",\"message\":\"m\",\"url\":" \
    "\"http://x\"}}"
#define NOW "2025-11-25"
#define BEFORE "2025-06-18"

START_TEST(a_modern_server_asks_a_live_client_only_what_it_declared)
{
    static const struct {
        const char *version, *capabilities, *question, *part; /* NULL: it is asked */
    } cases[] = {
        {NOW, "{\"roots\":{}}", SAMPLING, "sampling/createMessage, which"},
        {NOW, "{\"roots\":{},\"sampling\":{}}", SAMPLING, NULL},
        {NOW, "{\"roots\":{},\"elicitation\":{}}", URL, "elicitation/create by URL, which"},
        {NOW, "{\"roots\":{},\"elicitation\":{\"form\":{}}}", URL, "by URL, which"},
        {NOW, "{\"roots\":{},\"elicitation\":{\"url\":{}}}", URL, NULL},
        {NOW, "{\"roots\":{},\"elicitation\":{\"url\":{}}}", FORM, "elicitation/create, which"},
        {NOW, "{\"roots\":{},\"elicitation\":{}}", FORM, NULL},
        {BEFORE, "{\"roots\":{},\"elicitation\":{\"form\":{},\"url\":{}}}", URL, "by URL, which"},
        {BEFORE, "{\"roots\":{},\"elicitation\":{}}", FORM, NULL},
        {NOW, "{\"sampling\":{}}", SAMPLING, "roots/list, which"},
    };

    world_up_modern(&w, "s");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *said =
            round_of(cases[i].version, cases[i].capabilities, "tools/call", cases[i].question);
        ck_assert_msg((said == NULL) == (cases[i].part == NULL), "%zu: %s", i, said);
        if (said == NULL) continue;
        assert_has(said, cases[i].part);
        assert_has(said, "\"isError\":true");
        ck_assert_ptr_null(world_event(&w));
        ck_assert_ptr_null(world_line(&w));
    }
    ck_assert_str_eq(
        round_of(NOW, "{\"roots\":{}}", "prompts/get", SAMPLING),
        "the server asks for sampling/createMessage, which this client cannot be asked");
}
END_TEST

START_TEST(rounds_without_end_are_an_error)
{
    world_up_modern(&w, "s");
    world_call(&w,
               &(struct world_call){.ticket = 1, .service = "s", .params = ECHO, .is_live = true});
    for (int i = 0; i <= UPSTREAM_ROUNDS_MAX; i++) {
        const char *line = world_line(&w);
        ck_assert_ptr_nonnull(line);
        world_answer(&w, line, "{\"resultType\":\"input_required\",\"requestState\":\"x\"}");
        world_pass(&w, 2 * MN_SEC);
    }
    ck_assert_int_eq(world_event(&w)->code, -32603);
}
END_TEST

START_TEST(tasks_pass_to_clients_that_can_ask_about_them_later)
{
    const char *line;

    world_up_modern(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1, .service = "s", .params = ECHO});
    world_answer(&w, world_line(&w), "{\"resultType\":\"task\",\"taskId\":\"t\"}");
    ck_assert_str_eq(world_event(&w)->json, "{\"resultType\":\"task\",\"taskId\":\"t\"}");
    world_call(&w,
               &(struct world_call){.ticket = 2, .service = "s", .params = ECHO, .is_live = true});
    world_answer(&w, world_line(&w), "{\"resultType\":\"task\",\"taskId\":\"t\"}");
    ck_assert_int_eq(world_event(&w)->code, -32603);
    world_call(&w, &(struct world_call){.ticket = 3,
                                        .service = "s",
                                        .method = "tasks/get",
                                        .params = "{\"taskId\":\"t\"}"});
    line = world_line(&w);
    assert_has(line, "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t\",");
}
END_TEST

START_TEST(a_stateless_clients_round_passes_as_it_is)
{
    world_up_modern(&w, "s");
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\",\"requestState\":\"q\","
                                                  "\"inputResponses\":{\"a\":{}}}"});
    const char *line = world_line(&w);
    assert_has(line, "\"requestState\":\"q\",\"inputResponses\":{\"a\":{}}");
    world_answer(&w, line, "{\"resultType\":\"input_required\",\"inputRequests\":{}}");
    ck_assert_str_eq(world_event(&w)->json,
                     "{\"resultType\":\"input_required\",\"inputRequests\":{}}");
}
END_TEST

START_TEST(a_question_that_is_taken_back_is_told_and_the_call_goes_on)
{
    struct world_event *event;
    const char *line, *key;

    world_up_legacy(&w, "s");
    line = call_of(1, "ann", true);
    world_say(&w, ELICIT);
    key = world_event(&w)->key;
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                  "\"requestId\":\"other\"}}\n");
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                  "\"requestId\":\"u7\"}}\n");
    event = world_event(&w);
    ck_assert_str_eq(event->what, "withdrawn");
    ck_assert_str_eq(event->key, key);
    world_input(&w, 1, key, "{\"action\":\"accept\"}", 0); /* it crossed */
    ck_assert_ptr_null(world_line(&w));
    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

/* The client of a round was not asked yet: then it is not asked at all. */
START_TEST(a_question_taken_back_at_once_makes_no_round)
{
    const char *line;

    world_up_legacy(&w, "s");
    line = call_of(1, NULL, false);
    world_say(&w, ELICIT "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                         "\"params\":{\"requestId\":\"u7\"}}\n");
    world_pass(&w, MN_SEC);
    ck_assert_ptr_null(world_event(&w));
    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(roots_that_change_are_told_in_that_clients_session_only)
{
    struct world_call changed = {.ticket = 7,
                                 .service = "s",
                                 .method = "notifications/roots/list_changed",
                                 .params = "{}",
                                 .capabilities = CAPABILITIES,
                                 .session = "ann"};
    struct world_child *own;
    const char *line;

    world_up_legacy(&w, "s");
    world_call(&w, &changed); /* it has no session here: none is begun for that */
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert_uint_eq(w.children_count, 1);
    line = call_of(1, "ann", true);
    own = world_child(&w);
    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    changed.ticket = 8;
    world_call(&w, &changed);
    ck_assert_ptr_eq(world_child(&w), own);
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    changed.ticket = 9;
    changed.session = "bob";
    world_call(&w, &changed);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(who_waits_for_a_task_is_not_forgotten_however_long_it_takes)
{
    const struct world_call wait = {.ticket = 1,
                                    .service = "s",
                                    .method = "tasks/result",
                                    .params = "{\"taskId\":\"t\"}",
                                    .session = "ann",
                                    .is_live = true};
    const char *line;
    uint32_t beats = 0;

    world_up_legacy(&w, "s");
    world_call(&w, &wait);
    line = world_line(&w);
    assert_has(line, "\"method\":\"tasks/result\",\"params\":{\"taskId\":\"t\"}");
    world_pass(&w, 20 * MN_MINUTE);
    for (struct world_event *event; (event = world_event(&w)) != NULL; beats++)
        ck_assert_int_eq(event->kind, CALL_EVENT_PROGRESS);
    ck_assert_uint_eq(beats, 20 * MN_MINUTE / UPSTREAM_HEARTBEAT);
    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(what_was_done_at_a_url_is_told_to_the_client_that_was_sent_there)
{
    struct world_event *event;

    world_up_legacy(&w, "s");
    call_of(1, "ann", true);
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/elicitation/complete\","
                  "\"params\":{\"elicitationId\":\"x\"}}\n");
    event = world_event(&w);
    ck_assert_str_eq(event->what, "elicited");
    ck_assert_str_eq(event->json, "{\"elicitationId\":\"x\"}");
    ck_assert_uint_eq(event->ticket, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream questions");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_server_of_both_eras_is_asked_in_that_of_the_client);
    tcase_add_test(tc, a_server_without_legacy_sessions_is_asked_in_the_modern_era);
    tcase_add_test(tc, a_session_that_made_room_before_it_was_ready_says_nothing_of_its_server);
    tcase_add_test(tc, a_client_that_can_be_asked_has_a_session_of_its_own);
    tcase_add_test(tc, what_a_clients_child_writes_to_stderr_is_in_the_servers_log);
    tcase_add_test(tc, a_clients_child_may_write_when_its_server_is_gone);
    tcase_add_test(tc, live_questions_are_events_and_answers_go_to_the_server);
    tcase_add_loop_test(tc, a_question_outlives_the_call_it_was_put_down_to, 0, 2);
    tcase_add_loop_test(tc, what_outlived_a_call_is_taken_back_when_nobody_can_be_asked_any_more, 0,
                        2);
    tcase_add_test(tc, a_call_takes_no_more_questions_of_others_than_of_its_own);
    tcase_add_test(tc, a_question_of_a_call_that_was_cancelled_is_asked_on_the_next);
    tcase_add_test(tc, a_question_outlives_all_calls_under_one_key);
    tcase_add_test(tc, what_a_call_left_behind_is_no_question_to_the_next_client);
    tcase_add_test(tc, a_node_that_stops_may_end_a_clients_session_before_its_server);
    tcase_add_test(tc, what_the_client_cannot_do_is_not_asked);
    tcase_add_test(tc, rounds_park_the_call_until_its_answers_come);
    tcase_add_test(tc, progress_goes_on_in_the_round_that_asks_for_it);
    tcase_add_test(tc, a_parked_call_may_end_before_its_client_comes_back);
    tcase_add_test(tc, nobody_comes_back_and_the_server_is_told);
    tcase_add_test(tc, a_session_that_dies_fails_its_calls_and_nothing_else);
    tcase_add_test(tc, more_clients_than_sessions_are_told_so);
    tcase_add_test(tc, a_modern_servers_rounds_go_on_here_for_a_live_client);
    tcase_add_test(tc, a_modern_server_asks_a_live_client_only_what_it_declared);
    tcase_add_test(tc, rounds_without_end_are_an_error);
    tcase_add_test(tc, a_stateless_clients_round_passes_as_it_is);
    tcase_add_test(tc, a_question_that_is_taken_back_is_told_and_the_call_goes_on);
    tcase_add_test(tc, a_question_taken_back_at_once_makes_no_round);
    tcase_add_test(tc, roots_that_change_are_told_in_that_clients_session_only);
    tcase_add_test(tc, who_waits_for_a_task_is_not_forgotten_however_long_it_takes);
    tcase_add_test(tc, what_was_done_at_a_url_is_told_to_the_client_that_was_sent_there);
    tcase_add_test(tc, tasks_pass_to_clients_that_can_ask_about_them_later);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
