/* Whose a log message of a legacy server is, and which calls have a session of it for themselves to
 * know that; who may take such a session next. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_lease.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define LOG                                                                                      \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"error\"," \
    "\"data\":\"one\"}}"
#define DONE "{\"content\":[]}"
#define CAN "{\"elicitation\":{}}"

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

static void assert_nothing_heard(void)
{
    ck_assert_ptr_null(world_event(&w));
}

static void assert_logged(uint64_t ticket)
{
    struct world_event *event = world_event(&w);

    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(event->ticket, ticket);
    ck_assert_str_eq(event->what, "log");
}

/* ---- a child ---- */

static void come_up(void)
{
    world_answer(&w, world_line(&w), WORLD_LEGACY_LOGS);
    assert_has(world_line(&w), "notifications/initialized");
}

static void up(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    come_up();
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
}

static void log_of(uint32_t child)
{
    w.child_chosen = child;
    world_say(&w, LOG "\n");
    w.child_chosen = 0;
}

static void call(uint64_t ticket, const char *level, const char *capabilities, const char *info)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .log_level = level,
                                        .capabilities = capabilities,
                                        .client_info = info});
}

/* Of a client that has a session, and did not set a level there. */
static void call_in_session(uint64_t ticket, const char *session)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .log_level = "info",
                                        .session = session,
                                        .is_live = true});
}

static void end_call(void)
{
    world_answer(&w, world_line(&w), DONE);
    ck_assert_str_eq(world_event(&w)->what, "result");
}

/* In a child of its own, which begins for it. */
static void call_apart(uint64_t ticket, const char *level, const char *capabilities,
                       const char *info)
{
    uint32_t before = w.children_count;

    call(ticket, level, capabilities, info);
    ck_assert_uint_eq(w.children_count, before + 1);
    come_up();
    if (level != NULL) assert_has(world_line(&w), "logging/setLevel");
}

/* In the one that began when the call before was over. */
static void call_in_next(uint64_t ticket)
{
    uint32_t before = w.children_count;

    come_up();
    call(ticket, "info", NULL, NULL);
    assert_has(world_line(&w), "logging/setLevel");
    assert_has(world_line(&w), "tools/call");
    ck_assert_uint_eq(w.children_count, before);
}

START_TEST(what_is_logged_in_the_session_of_all_is_told_to_nobody)
{
    up();
    call(1, NULL, NULL, NULL);
    log_of(1); /* the only call wants no logs */
    end_call();
    call_in_session(2, "ann");
    assert_has(world_line(&w), "tools/call"); /* no level is set for what nobody hears */
    log_of(1);                                /* it may be of the call before */
    world_pass(&w, 2 * MN_MINUTE);
    log_of(1);
    assert_nothing_heard();
    ck_assert_uint_eq(w.children_count, 1);
}
END_TEST

START_TEST(a_call_that_asks_for_log_messages_has_a_session_of_its_own)
{
    up();
    call_apart(1, "info", NULL, NULL);
    log_of(1);
    assert_nothing_heard();
    log_of(2);
    assert_logged(1);
    end_call();
    call_in_next(2);
    log_of(2); /* late, of the first */
    assert_nothing_heard();
    log_of(3);
    assert_logged(2);
    world_pass(&w, UPSTREAM_LEASE_SPOILT + MN_MS);
    ck_assert(w.children[1].is_stopped);
    ck_assert(!w.children[2].is_stopped);
}
END_TEST

START_TEST(one_that_began_for_the_next_call_is_not_kept_for_long)
{
    up();
    call_apart(1, "info", NULL, NULL);
    end_call();
    come_up();
    ck_assert_uint_eq(w.children_count, 3);
    world_pass(&w, UPSTREAM_LEASE_SPARE - MN_SEC);
    ck_assert(!world_child(&w)->is_stopped);
    world_pass(&w, 2 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert_uint_eq(w.children_count, 3);
}
END_TEST

START_TEST(one_that_another_call_has_taken_does_not_do)
{
    up();
    call_apart(1, "info", CAN, NULL);
    end_call();
    come_up();
    call(2, NULL, CAN, NULL);
    ck_assert_uint_eq(w.children_count, 3);
    end_call();
    call_apart(3, "info", CAN, NULL);
}
END_TEST

START_TEST(a_session_that_was_used_does_not_do_for_log_messages)
{
    up();
    call_apart(1, NULL, CAN, NULL);
    end_call();
    call(2, NULL, CAN, NULL); /* who can be asked takes it */
    ck_assert_uint_eq(w.children_count, 2);
    end_call();
    call_apart(3, "info", CAN, NULL);
    log_of(2);
    assert_nothing_heard();
    log_of(3);
    assert_logged(3);
}
END_TEST

/* Since its server could not be had twice lately, no session begins only for logs. */
START_TEST(a_session_of_several_calls_is_not_heard_to_log)
{
    up();
    call(1, "info", NULL, NULL);
    world_exit(&w, 1);
    w.child_chosen = 1;
    end_call();
    w.child_chosen = 0;
    call_apart(2, NULL, CAN, NULL);
    end_call();
    call(3, "info", CAN, NULL);
    ck_assert_uint_eq(w.children_count, 3);
    log_of(3);
    assert_nothing_heard();
}
END_TEST

START_TEST(another_program_does_not_take_a_session)
{
    up();
    call_apart(1, NULL, CAN, "{\"name\":\"ann\",\"version\":\"1\"}");
    end_call();
    call_apart(2, NULL, CAN, "{\"name\":\"bob\",\"version\":\"1\"}");
}
END_TEST

START_TEST(where_the_server_asked_between_calls_nobody_is_asked_next)
{
    up();
    call_apart(1, NULL, CAN, NULL);
    end_call();
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"method\":\"roots/list\"}\n");
    assert_has(world_line(&w), "-32601"); /* that is about no call */
    call(2, NULL, CAN, NULL);
    ck_assert_uint_eq(w.children_count, 2);
    end_call();
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":{"
                  "\"message\":\"who?\"}}\n");
    assert_has(world_line(&w), "-32601");
    call_apart(3, NULL, CAN, NULL);
    world_pass(&w, UPSTREAM_LEASE_SPOILT + MN_MS);
    ck_assert(w.children[1].is_stopped);
}
END_TEST

START_TEST(calls_for_log_messages_leave_room_for_others)
{
    uint32_t children;

    up();
    for (uint32_t i = 0; i < UPSTREAM_LEASE_LOGGERS_MAX; i++) {
        call_apart(10 + i, "info", NULL, NULL);
        assert_has(world_line(&w), "tools/call");
    }
    children = w.children_count;
    call(1, "info", NULL, NULL); /* goes without */
    ck_assert_uint_eq(w.children_count, children);
    w.child_chosen = 1;
    assert_has(world_line(&w), "tools/call");
    log_of(1);
    assert_nothing_heard();
    call_apart(2, NULL, CAN, NULL); /* who has to have one gets it */
}
END_TEST

START_TEST(a_call_for_log_messages_takes_the_place_of_no_session)
{
    up();
    for (uint32_t i = 0; i < UPSTREAM_LEASES_MAX; i++) {
        world_call(&w, &(struct world_call){.ticket = 10 + i,
                                            .service = "s",
                                            .params = "{\"name\":\"echo\"}",
                                            .session = world_format(&w, "c%u", i),
                                            .capabilities = CAN,
                                            .is_live = true});
        come_up();
        end_call();
    }
    call(1, "info", NULL, NULL);
    ck_assert_uint_eq(w.children_count, UPSTREAM_LEASES_MAX + 1);
}
END_TEST

START_TEST(a_server_that_does_not_begin_twice_serves_them_in_the_session_of_all)
{
    up();
    call(1, "info", NULL, NULL);
    ck_assert_uint_eq(w.children_count, 2);
    assert_has(world_line(&w), "initialize"); /* is not answered */
    world_pass(&w, UPSTREAM_HANDSHAKE_TIMEOUT + MN_SEC);
    w.child_chosen = 1;
    assert_nothing_heard();
    end_call();
    call(2, "info", NULL, NULL);
    ck_assert_uint_eq(w.children_count, 2);
}
END_TEST

/* The second one may only be asked in a session of its own, which is the one that breaks. */
START_TEST(what_a_session_that_breaks_gives_back_does_not_come_round_for_ever)
{
    const struct world_event *event;

    up();
    for (uint64_t i = 0; i < 2; i++)
        world_call(&w, &(struct world_call){.ticket = 1 + i,
                                            .service = "s",
                                            .method = i == 0 ? "tools/call" : "io.example/do",
                                            .params = "{\"name\":\"echo\"}",
                                            .log_level = "info",
                                            .session = "ann",
                                            .is_live = true,
                                            .wants_logs = true});
    ck_assert_uint_eq(w.children_count, 2);
    world_exit(&w, 1);
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(event->ticket, 2);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
    w.child_chosen = 1;
    end_call();
    assert_nothing_heard();
}
END_TEST

/* Of a modern server, which does not refuse it: it is asked in no other era instead. */
START_TEST(what_waits_for_a_session_that_we_end_is_not_given_back)
{
    const struct world_event *event;

    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_AUTO), MN_OK);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .capabilities = CAN,
                                        .session = "ann",
                                        .is_live = true});
    ck_assert_uint_eq(w.children_count, 2);
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
    ck_assert_uint_eq(w.children_count, 2);
}
END_TEST

/* ---- a URL ---- */

static struct world_fetch *next_request(const char *method)
{
    struct world_fetch *fetch = world_fetch(&w);

    ck_assert_msg(fetch != NULL, "no fetch for %s", method);
    assert_has(fetch->body, method);
    return fetch;
}

/* Up to its GET stream, which is returned; [session] may be NULL. */
static struct world_fetch *open_url(const char *session)
{
    struct world_fetch *fetch = next_request("initialize");

    world_head(&w, fetch, 200, "application/json", session);
    world_body(&w, fetch,
               world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":%s}",
                            (unsigned)world_id(fetch->body), WORLD_LEGACY_LOGS));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    if (w.fetches_count == w.fetch_next + 1 && w.fetches[w.fetch_next].body[0] != 0)
        world_reply_result(&w, next_request("tools/list"), world_tools_result(&w, WORLD_TOOLS));
    fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "GET");
    world_head(&w, fetch, 200, "text/event-stream", NULL);
    return fetch;
}

static struct world_fetch *streamed_call(void)
{
    struct world_fetch *fetch = next_request("logging/setLevel");

    world_reply_result(&w, fetch, "{}");
    fetch = next_request("tools/call");
    world_head(&w, fetch, 200, "text/event-stream", NULL);
    return fetch;
}

static void log_on(struct world_fetch *fetch)
{
    world_body(&w, fetch, "event: message\ndata: " LOG "\n\n");
}

START_TEST(on_a_stream_of_its_own_a_call_hears_what_is_logged)
{
    struct world_fetch *stream, *first;

    ck_assert_int_eq(world_add_url(&w, "s", "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    stream = open_url("sess-1");
    call_in_session(1, "ann");
    first = streamed_call();
    log_on(stream);
    assert_nothing_heard();
    log_on(first);
    assert_logged(1);
}
END_TEST

/* [_i] 0: its server tells sessions from each other. */
START_TEST(in_a_session_of_its_own_a_call_hears_all)
{
    struct world_fetch *stream, *first;

    ck_assert_int_eq(world_add_url(&w, "s", "http://up.example/mcp", UPSTREAM_ERA_LEGACY), MN_OK);
    (void)open_url(_i == 0 ? "sess-1" : NULL);
    call(1, "info", NULL, NULL);
    stream = open_url(_i == 0 ? "sess-2" : NULL);
    first = streamed_call();
    log_on(stream);
    if (_i == 0)
        assert_logged(1);
    else
        assert_nothing_heard();
    log_on(first);
    assert_logged(1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("all");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_is_logged_in_the_session_of_all_is_told_to_nobody);
    tcase_add_test(tc, a_call_that_asks_for_log_messages_has_a_session_of_its_own);
    tcase_add_test(tc, one_that_began_for_the_next_call_is_not_kept_for_long);
    tcase_add_test(tc, one_that_another_call_has_taken_does_not_do);
    tcase_add_test(tc, a_session_that_was_used_does_not_do_for_log_messages);
    tcase_add_test(tc, a_session_of_several_calls_is_not_heard_to_log);
    tcase_add_test(tc, another_program_does_not_take_a_session);
    tcase_add_test(tc, where_the_server_asked_between_calls_nobody_is_asked_next);
    tcase_add_test(tc, calls_for_log_messages_leave_room_for_others);
    tcase_add_test(tc, a_call_for_log_messages_takes_the_place_of_no_session);
    tcase_add_test(tc, a_server_that_does_not_begin_twice_serves_them_in_the_session_of_all);
    tcase_add_test(tc, what_a_session_that_breaks_gives_back_does_not_come_round_for_ever);
    tcase_add_test(tc, what_waits_for_a_session_that_we_end_is_not_given_back);
    tcase_add_test(tc, on_a_stream_of_its_own_a_call_hears_what_is_logged);
    tcase_add_loop_test(tc, in_a_session_of_its_own_a_call_hears_all, 0, 2);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
