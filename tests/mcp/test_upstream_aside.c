/* What a legacy server says to one client outside of any call, and which clients have a session of
 * it for themselves because of that. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define LOG(level, text)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"" level \
    "\",\"data\":\"" text "\"}}\n"
#define FEED 90 /* the lasting call */

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

static void come_up(void)
{
    world_answer(&w, world_line(&w), WORLD_LEGACY_LOGS);
    assert_has(world_line(&w), "notifications/initialized");
}

/* A legacy child that logs, and somebody who hears for nobody yet. */
static void up(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    come_up();
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    world_call(
        &w, &(struct world_call){
                .ticket = FEED, .service = "s", .method = "subscriptions/listen", .params = "{}"});
    ck_assert_str_eq(world_event(&w)->what, "");
}

static void call(uint64_t ticket, const char *session, const char *level)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .session = session,
                                        .log_level = level,
                                        .is_live = true,
                                        .wants_logs = true});
}

/* A call of a client that has set a level: in a session of its own, which is opened for it. */
static void call_and_end(uint64_t ticket, const char *session, const char *level)
{
    call(ticket, session, level);
    come_up();
    assert_has(world_line(&w), "logging/setLevel");
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}

static void assert_aside(const char *session, const char *text)
{
    struct world_event *event = world_event(&w);

    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(event->ticket, FEED);
    ck_assert_str_eq(event->what, "aside");
    ck_assert_str_eq(event->key, session);
    assert_has(event->json, text);
}

START_TEST(what_is_logged_between_calls_is_for_who_has_the_session)
{
    struct world_child *shared;

    up();
    shared = world_child(&w);
    call_and_end(1, "ann", "info");
    ck_assert_ptr_ne(world_child(&w), shared);
    world_wish_session(&w, FEED, "ann", "info");
    world_say(&w, LOG("info", "one"));
    assert_aside("ann", "\"data\":\"one\"");
    world_say(&w, LOG("debug", "two"));
    ck_assert_ptr_null(world_event(&w)); /* more than she wants */
    call_and_end(2, "bob", "info");
    world_say(&w, LOG("info", "three")); /* in bob's session, and nobody hears for him */
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_call_that_runs_has_what_is_logged)
{
    up();
    call_and_end(1, "ann", "info");
    world_wish_session(&w, FEED, "ann", "info");
    call(2, "ann", "info");
    world_say(&w, LOG("info", "one"));
    ck_assert_str_eq(world_event(&w)->what, "log");
}
END_TEST

START_TEST(what_nobody_hears_yet_is_kept_for_a_moment)
{
    up();
    call_and_end(1, "ann", "debug");
    world_say(&w, LOG("debug", "old"));
    world_pass(&w, UPSTREAM_ASIDE_KEEP + MN_SEC);
    world_say(&w, LOG("debug", "too low"));
    world_say(&w, LOG("info", "one"));
    ck_assert_ptr_null(world_event(&w));
    world_wish_session(&w, FEED, "ann", "info");
    assert_aside("ann", "\"data\":\"one\"");
    ck_assert_ptr_null(world_event(&w));
    assert_has(world_line(&w), "\"params\":{\"level\":\"info\"}"); /* as it is wished for */
    world_wish_session(&w, FEED, NULL, NULL);
    for (uint32_t i = 0; i < 2 * UPSTREAM_ASIDE_HELD_MAX; i++)
        world_say(&w, LOG("info", "many"));
    world_wish_session(&w, FEED, "ann", "info");
    for (uint32_t i = 0; i < UPSTREAM_ASIDE_HELD_MAX; i++)
        assert_aside("ann", "many");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_level_that_changes_is_set_between_calls)
{
    up();
    call_and_end(1, "ann", "error");
    world_wish_session(&w, FEED, "ann", "error");
    ck_assert_ptr_null(world_line(&w));
    world_wish_session(&w, FEED, "ann", "debug");
    assert_has(world_line(&w), "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"debug\"}");
    world_wish_session(&w, FEED, "ann", "error");
    assert_has(world_line(&w), "\"params\":{\"level\":\"error\"}"); /* all of it is hers */
    world_say(&w, LOG("info", "late"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(who_wished_last_has_the_client)
{
    up();
    world_call(&w, &(struct world_call){.ticket = FEED + 1,
                                        .service = "s",
                                        .method = "subscriptions/listen",
                                        .params = "{}"});
    (void)world_event(&w);
    call_and_end(1, "ann", "info");
    world_wish_session(&w, FEED, "ann", "info");
    world_wish_session(&w, FEED + 1, "ann", "info");
    world_wish_session(&w, FEED, "ann", "info"); /* says only again what it said */
    world_say(&w, LOG("info", "one"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 1);
    world_cancel(&w, FEED + 1);
    world_say(&w, LOG("info", "two"));
    assert_aside("ann", "two");
    world_cancel(&w, FEED);
    world_say(&w, LOG("info", "three"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* A stream at another node is not seen to be gone, and the way to that node breaks. */
START_TEST(where_a_client_opened_its_stream_last_has_it)
{
    up();
    for (uint64_t i = 1; i < 3; i++) {
        world_call(&w, &(struct world_call){.ticket = FEED + i,
                                            .service = "s",
                                            .method = "subscriptions/listen",
                                            .params = "{}"});
        (void)world_event(&w);
    }
    call_and_end(1, "ann", "info");
    world_wish_moved(&w, FEED + 1, "ann", 7, 100);
    world_wish_moved(&w, FEED, "ann", 6, 200);
    world_say(&w, LOG("info", "one"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 1);
    world_cancel(&w, FEED);
    world_wish_moved(&w, FEED + 2, "ann", 6, 200); /* the old one, once more */
    world_say(&w, LOG("info", "two"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 1);
    world_wish_moved(&w, FEED + 2, "ann", 8, 300); /* it has come back there */
    world_say(&w, LOG("info", "three"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 2);
    world_wish_moved(&w, FEED + 1, "ann", 8, 301); /* and here, where that was not known */
    world_say(&w, LOG("info", "four"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 1);
    world_wish_moved(&w, FEED + 2, "ann", 8, 300);
    world_say(&w, LOG("info", "five"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 1);
    world_cancel(&w, FEED + 1);
    world_say(&w, LOG("info", "six"));
    ck_assert_uint_eq(world_event(&w)->ticket, FEED + 2); /* better than nobody */
}
END_TEST

START_TEST(a_wish_that_is_there_first_is_for_the_session_to_come)
{
    up();
    world_wish_session(&w, FEED, "ann", "info");
    call_and_end(1, "ann", "info");
    world_say(&w, LOG("info", "one"));
    assert_aside("ann", "one");
}
END_TEST

static const struct {
    const char *method, *params;
    bool is_carried;
} notices[] = {
    {"notifications/elicitation/complete", "{\"elicitationId\":\"e\"}", true},
    {"notifications/vendor/custom", "{\"x\":1e400}", true},
    {"notifications/progress", "{\"progressToken\":\"foreign\"}", false},
    {"notifications/tasks/status", "{\"taskId\":\"t\",\"status\":\"working\"}", false},
    {"notifications/resources/updated", "{\"uri\":\"x://1\"}", false},
    {"notifications/roots/list_changed", "{}", false},
    {"notifications/with blank", "{}", false},
};

START_TEST(other_notifications_go_the_same_way)
{
    struct world_event *event;

    up();
    call_and_end(1, "ann", "info");
    world_wish_session(&w, FEED, "ann", "info");
    world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s}\n",
                               notices[_i].method, notices[_i].params));
    event = world_event(&w);
    ck_assert_int_eq(event != NULL, notices[_i].is_carried);
    if (event == NULL) return;
    ck_assert_str_eq(event->message, notices[_i].method);
    ck_assert_str_eq(event->json, notices[_i].params);
}
END_TEST

static void use_up_all(void)
{
    for (uint32_t i = 0; i < UPSTREAM_LEASES_MAX; i++) {
        call_and_end(100 + i, world_format(&w, "c%u", i), "info");
        world_pass(&w, MN_MS);
    }
}

START_TEST(without_a_free_session_all_share_one)
{
    struct world_child *last;

    up();
    use_up_all();
    last = world_child(&w);
    world_wish_session(&w, FEED, "c0", "info");
    call(1, "new", "info"); /* c1, which nobody hears, is unused for longest */
    ck_assert_ptr_ne(world_child(&w), last);
    come_up();
    assert_has(world_line(&w), "logging/setLevel");
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    call(2, "c0", "info"); /* still has its own: no child begins */
    last = world_child(&w);
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert_ptr_eq(world_child(&w), last);
}
END_TEST

START_TEST(a_session_is_closed_when_nobody_hears_any_more)
{
    struct world_child *child;

    up();
    call_and_end(1, "ann", "info");
    child = world_child(&w);
    world_wish_session(&w, FEED, "ann", "info");
    world_pass(&w, 3 * UPSTREAM_LEASE_IDLE);
    ck_assert(!child->is_stopped);
    world_say(&w, LOG("info", "one"));
    assert_aside("ann", "one");
    world_pass(&w, UPSTREAM_LEASE_HEARD);
    ck_assert(child->is_stopped); /* however long she listens */
}
END_TEST

START_TEST(a_stream_that_ends_leaves_the_time_to_come_back)
{
    up();
    call_and_end(1, "ann", "info");
    world_wish_session(&w, FEED, "ann", "info");
    world_pass(&w, UPSTREAM_LEASE_IDLE - MN_SEC);
    world_wish_session(&w, FEED, NULL, NULL);
    world_pass(&w, UPSTREAM_LEASE_IDLE - MN_SEC);
    ck_assert(!world_child(&w)->is_stopped);
    world_pass(&w, 2 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
}
END_TEST

START_TEST(who_listens_to_nothing_has_it_as_long_as_others)
{
    up();
    call_and_end(1, "ann", "info");
    world_pass(&w, UPSTREAM_LEASE_IDLE - MN_SEC);
    ck_assert(!world_child(&w)->is_stopped);
    world_pass(&w, 2 * MN_SEC);
    ck_assert(world_child(&w)->is_stopped);
}
END_TEST

START_TEST(a_server_that_cannot_be_had_twice_serves_all_in_one_session)
{
    struct world_child *shared;

    up();
    shared = world_child(&w);
    call(1, "ann", "info");
    ck_assert_ptr_ne(world_child(&w), shared);
    world_exit(&w, 1); /* its file is locked, its port is taken */
    assert_has((const char *)mn_buf_span(shared->in.buf).data, "tools/call");
    call(2, "bob", "info");
    ck_assert_uint_eq(w.children_count, 2); /* nor is it tried for the next one */
}
END_TEST

START_TEST(only_a_server_that_logs_is_had_twice_for_that)
{
    world_up_legacy(&w, "s");
    call(1, "ann", "info");
    ck_assert_uint_eq(w.children_count, 1);
    assert_has(world_line(&w), "tools/call");
}
END_TEST

/* ---- questions ---- */

#define CAN "{\"elicitation\":{},\"roots\":{}}"
#define ASK                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":\"q-1\",\"method\":\"elicitation/create\",\"params\":{" \
    "\"message\":\"who?\"}}\n"
#define ROOTS "{\"jsonrpc\":\"2.0\",\"id\":\"q-2\",\"method\":\"roots/list\"}\n"

static const struct world_call anns = {
    .ticket = 50, .service = "s", .session = "ann", .capabilities = CAN};

/* A client that can be asked, and has called; [is_heard]: and listens. */
static void up_asking(bool is_heard)
{
    up();
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .session = "ann",
                                        .capabilities = CAN,
                                        .is_live = true});
    come_up();
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
    if (is_heard) world_wish_session(&w, FEED, "ann", "");
}

static const char *assert_asked(const char *method)
{
    struct world_event *event = world_event(&w);

    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->what, "aside question");
    ck_assert_str_eq(event->message, method);
    return event->key;
}

START_TEST(a_client_is_asked_between_calls)
{
    const char *key, *roots;

    up_asking(true);
    world_say(&w, ASK);
    key = assert_asked("elicitation/create");
    world_say(&w, ROOTS);
    roots = assert_asked("roots/list");
    ck_assert_str_ne(key, roots);
    world_answer_aside(&w, &anns, key, "{\"action\":\"accept\"}", 0);
    assert_has(world_line(&w), "\"id\":\"q-1\",\"result\":{\"action\":\"accept\"}");
    ck_assert_str_eq(world_event(&w)->what, "result"); /* of the call that brought it */
    world_answer_aside(&w, &anns, key, "{\"action\":\"decline\"}", 0);
    ck_assert_ptr_null(world_line(&w)); /* it was answered */
    (void)world_event(&w);
    world_answer_aside(&w, &anns, roots, NULL, -32603);
    assert_has(world_line(&w), "\"id\":\"q-2\",\"error\":{\"code\":-32603");
    (void)world_event(&w);
    world_say(&w, ASK);
    world_answer_aside(&w, &anns, assert_asked("elicitation/create"), NULL, -7);
    assert_has(world_line(&w), "\"id\":\"q-1\",\"error\":{\"code\":-7");
}
END_TEST

START_TEST(nobody_else_can_answer)
{
    struct world_call bobs = anns, others = anns;
    const char *key;

    bobs.session = "bob";
    others.capabilities = "{\"elicitation\":{}}";
    up_asking(true);
    world_say(&w, ASK);
    key = assert_asked("elicitation/create");
    world_answer_aside(&w, &bobs, key, "{\"action\":\"accept\"}", 0);
    world_answer_aside(&w, &others, key, "{\"action\":\"accept\"}", 0);
    world_answer_aside(&w, &anns, "elicitation-1", "{\"action\":\"accept\"}", 0);
    ck_assert_ptr_null(world_line(&w));
    world_answer_aside(&w, &anns, key, "nonsense", 0);
    assert_has(world_line(&w), "\"result\":{\"action\":\"cancel\"}");
}
END_TEST

START_TEST(who_does_not_listen_is_not_asked)
{
    up_asking(false);
    world_say(&w, ASK);
    world_pass(&w, UPSTREAM_ASKED_UNTOLD - MN_MS);
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, 2 * MN_MS);
    assert_has(world_line(&w), "\"id\":\"q-1\",\"result\":{\"action\":\"cancel\"}");
    ck_assert_ptr_null(world_event(&w));
    world_say(
        &w, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"sampling/createMessage\",\"params\":{}}\n");
    assert_has(world_line(&w), "-32601"); /* nor what it cannot do */
}
END_TEST

START_TEST(a_question_is_asked_again_of_who_listens_next)
{
    const char *key;

    up_asking(true);
    world_say(&w, ROOTS);
    key = assert_asked("roots/list");
    world_wish_session(&w, FEED, NULL, NULL);
    world_pass(&w, UPSTREAM_ASKED_LEFT - MN_SEC);
    world_wish_session(&w, FEED, "ann", "");
    ck_assert_str_eq(assert_asked("roots/list"), key);
    world_wish_session(&w, FEED, "ann", "");
    ck_assert_ptr_null(world_event(&w)); /* that is nobody else */
    world_wish_session(&w, FEED, NULL, NULL);
    world_pass(&w, UPSTREAM_ASKED_LEFT + MN_SEC);
    assert_has(world_line(&w), "did not answer in time");
}
END_TEST

START_TEST(a_question_is_taken_back_or_declined)
{
    const char *key;

    up_asking(true);
    world_say(&w, ASK);
    key = assert_asked("elicitation/create");
    if (_i == 0)
        world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                      "\"requestId\":\"q-1\"}}\n");
    else
        world_pass(&w, UPSTREAM_QUESTION_TTL + MN_SEC);
    struct world_event *event = world_event(&w);
    ck_assert_str_eq(event->what, "aside withdrawn");
    ck_assert_str_eq(event->key, key);
    if (_i > 0) assert_has(world_line(&w), "\"action\":\"cancel\"");
    ck_assert_ptr_null(world_line(&w));
    world_answer_aside(&w, &anns, key, "{\"action\":\"accept\"}", 0);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* What was asked in a call that is over now; the key that it has now. A child cannot say of which
 * call it is. */
static const char *up_outlived(void)
{
    struct world_event *event;
    const char *line, *key;

    up_asking(true);
    world_call(&w, &(struct world_call){.ticket = 2,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .session = "ann",
                                        .capabilities = CAN,
                                        .is_live = true});
    line = world_line(&w);
    world_say(&w, ROOTS);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "question");
    key = event->key;
    world_answer(&w, line, "{\"content\":[]}");
    event = world_event(&w);
    ck_assert_str_eq(event->what, "outlived");
    ck_assert_str_eq(event->key, key);
    ck_assert_str_ne(event->message, key);
    ck_assert_str_eq(world_event(&w)->what, "result");
    return event->message;
}

START_TEST(a_question_outlives_the_call_it_was_put_down_to)
{
    const char *key = up_outlived();

    ck_assert_ptr_null(world_event(&w)); /* its client has it */
    world_answer_aside(&w, &anns, key, "{\"roots\":[]}", 0);
    assert_has(world_line(&w), "\"id\":\"q-2\",\"result\":{\"roots\":[]}");
}
END_TEST

START_TEST(what_outlived_its_call_is_asked_again_where_its_client_is)
{
    const char *key = up_outlived();

    if (_i == 0) {
        world_ask_again(&w, &anns, key);
    } else { /* it comes to another node */
        world_wish_session(&w, FEED, NULL, NULL);
        world_wish_session(&w, FEED, "ann", "");
    }
    ck_assert_str_eq(assert_asked("roots/list"), key);
    ck_assert_ptr_null(world_line(&w));
    (void)world_event(&w);
    world_answer_aside(&w, &anns, key, "{\"roots\":[]}", 0);
    assert_has(world_line(&w), "\"id\":\"q-2\",\"result\":{\"roots\":[]}");
}
END_TEST

/* A node that stops ends the session before its server, which has a call to finish; and the child
 * of the server goes first. */
START_TEST(a_session_that_was_stopped_says_nothing_to_who_has_gone)
{
    struct world_event *event;
    const char *key;

    up_asking(true);
    world_say(&w, ASK);
    key = assert_asked("elicitation/create");
    world_call(&w,
               &(struct world_call){.ticket = 2, .service = "s", .params = "{\"name\":\"echo\"}"});
    world_stop(&w);
    ck_assert(world_child(&w)->is_stopped);
    ck_assert(!w.children[0].is_stopped);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, UPSTREAMS_DRAIN);
    event = world_event(&w); /* as long as somebody hears */
    ck_assert_str_eq(event->what, "aside withdrawn");
    ck_assert_str_eq(event->key, key);
    while ((event = world_event(&w)) != NULL)
        ck_assert_int_eq(event->kind, CALL_EVENT_FAILED);
    w.child_chosen = 1;
    world_exit(&w, 0);
    w.child_chosen = 0;
    world_exit(&w, 0);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_server_that_asks_without_end_is_refused)
{
    up_asking(true);
    for (uint32_t i = 0; i < UPSTREAM_QUESTIONS_MAX; i++) {
        world_say(&w, ROOTS);
        (void)assert_asked("roots/list");
    }
    ck_assert_ptr_null(world_line(&w));
    world_say(&w, ROOTS);
    assert_has(world_line(&w), "error");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_aside");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_is_logged_between_calls_is_for_who_has_the_session);
    tcase_add_test(tc, a_call_that_runs_has_what_is_logged);
    tcase_add_test(tc, what_nobody_hears_yet_is_kept_for_a_moment);
    tcase_add_test(tc, a_level_that_changes_is_set_between_calls);
    tcase_add_test(tc, who_wished_last_has_the_client);
    tcase_add_test(tc, where_a_client_opened_its_stream_last_has_it);
    tcase_add_test(tc, a_wish_that_is_there_first_is_for_the_session_to_come);
    tcase_add_loop_test(tc, other_notifications_go_the_same_way, 0,
                        sizeof notices / sizeof *notices);
    tcase_add_test(tc, without_a_free_session_all_share_one);
    tcase_add_test(tc, a_session_is_closed_when_nobody_hears_any_more);
    tcase_add_test(tc, a_stream_that_ends_leaves_the_time_to_come_back);
    tcase_add_test(tc, who_listens_to_nothing_has_it_as_long_as_others);
    tcase_add_test(tc, a_server_that_cannot_be_had_twice_serves_all_in_one_session);
    tcase_add_test(tc, only_a_server_that_logs_is_had_twice_for_that);
    tcase_add_test(tc, a_client_is_asked_between_calls);
    tcase_add_test(tc, nobody_else_can_answer);
    tcase_add_test(tc, who_does_not_listen_is_not_asked);
    tcase_add_test(tc, a_question_is_asked_again_of_who_listens_next);
    tcase_add_loop_test(tc, a_question_is_taken_back_or_declined, 0, 2);
    tcase_add_test(tc, a_question_outlives_the_call_it_was_put_down_to);
    tcase_add_loop_test(tc, what_outlived_its_call_is_asked_again_where_its_client_is, 0, 2);
    tcase_add_test(tc, a_session_that_was_stopped_says_nothing_to_who_has_gone);
    tcase_add_test(tc, a_server_that_asks_without_end_is_refused);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
