/* Calls whose caller's node is lost: which run on, who may come for them, and what they cost. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "node/mcp/upstream/upstream_given.h"
#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define ECHO "{\"name\":\"echo\",\"arguments\":{}}"
#define ELICIT                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":\"u7\",\"method\":\"elicitation/create\",\"params\":" \
    "{\"message\":\"Name?\"}}\n"

static struct world w;
static uint64_t ticket_last;

static void setup(void)
{
    world_init(&w);
    world_up_legacy(&w, "s");
    ticket_last = 0;
}

static void teardown(void)
{
    world_done(&w);
}

#define assert_has(text, part) \
    ck_assert_msg(strstr((text), (part)) != NULL, "%s is not in %s", (part), (text))

/* A call of a legacy client, which may be kept under [handle] (16 characters). */
static const char *call_as(const char *handle, const char *capabilities)
{
    uint32_t children = w.children_count;

    world_call(&w, &(struct world_call){.ticket = ++ticket_last,
                                        .service = "s",
                                        .params = ECHO,
                                        .session = "ann",
                                        .capabilities = capabilities,
                                        .is_live = true,
                                        .wants_progress = true,
                                        .orphan = mn_span_str(handle)});
    if (w.children_count > children) {
        world_answer(&w, world_line(&w), WORLD_LEGACY);
        assert_has(world_line(&w), "notifications/initialized");
    }
    return world_line(&w);
}

static void claim(const char *handle)
{
    world_call(&w, &(struct world_call){.ticket = ++ticket_last,
                                        .service = "s",
                                        .params = "{}",
                                        .session = "ann",
                                        .is_live = true,
                                        .resume = mn_span_str(handle)});
}

static void say_progress(const char *line)
{
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                               "progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}}\n",
                               (unsigned long long)world_id(line)));
}

static const struct world_event *event_of(uint64_t ticket, const char *what)
{
    const struct world_event *event = world_event(&w);

    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(event->ticket, ticket);
    ck_assert_str_eq(event->what, what);
    return event;
}

/* Begun, heard of, and its caller is gone. */
static const char *lose(const char *handle)
{
    const char *line = call_as(handle, NULL);

    say_progress(line);
    event_of(ticket_last, "progress");
    world_lose(&w, ticket_last);
    ck_assert_ptr_null(world_line(&w)); /* the server hears nothing of it */
    return line;
}

START_TEST(an_answer_waits_for_who_comes_for_the_call)
{
    const char *line = lose("0123456789abcdef");

    world_answer(&w, line, "{\"content\":[]}");
    ck_assert_ptr_null(world_event(&w));
    claim("0123456789abcdef");
    ck_assert_str_eq(event_of(2, "result")->json, "{\"content\":[]}");
    world_pass(&w, UPSTREAM_GIVEN_TTL);
    claim("0123456789abcdef");
    ck_assert_int_eq(event_of(3, "")->failure, CALL_GONE);
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 0);
}
END_TEST

/* Whoever was told may be dead, and this node has not noticed. */
START_TEST(an_answer_that_was_given_is_given_again)
{
    const char *line = call_as("0123456789abcdef", NULL);

    say_progress(line);
    event_of(1, "progress");
    world_answer(&w, line, "{\"content\":[]}");
    event_of(1, "result");
    world_lose(&w, 1);
    claim("0123456789abcdef");
    ck_assert_str_eq(event_of(2, "result")->json, "{\"content\":[]}");
    claim("0123456789abcdeg"); /* another one's */
    ck_assert_int_eq(event_of(3, "")->failure, CALL_GONE);
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 0);
}
END_TEST

/* Its client has no stream that it could ask for. */
START_TEST(an_answer_without_a_stream_is_given_once)
{
    world_answer(&w, call_as("0123456789abcdef", NULL), "{\"content\":[]}");
    event_of(1, "result");
    claim("0123456789abcdef");
    ck_assert_int_eq(event_of(2, "")->failure, CALL_GONE);
}
END_TEST

START_TEST(answers_that_were_given_are_bounded)
{
    char handle[17];

    for (uint32_t i = 0; i <= UPSTREAM_GIVEN_MAX; i++) {
        const char *line;
        snprintf(handle, sizeof handle, "%016u", i);
        line = call_as(handle, NULL);
        say_progress(line);
        event_of(ticket_last, "progress");
        world_answer(&w, line, "{\"content\":[]}");
        event_of(ticket_last, "result");
    }
    claim("0000000000000001");
    event_of(ticket_last, "result");
    claim("0000000000000000"); /* the oldest */
    ck_assert_int_eq(event_of(ticket_last, "")->failure, CALL_GONE);
}
END_TEST

START_TEST(a_call_goes_on_under_another_ticket)
{
    const char *line = lose("0123456789abcdef");

    say_progress(line); /* to nobody */
    claim("0123456789abcdef");
    event_of(2, ""); /* it is here */
    say_progress(line);
    event_of(2, "progress");
    world_lose(&w, 2); /* and once more */
    claim("0123456789abcdef");
    event_of(3, "");
    world_answer(&w, line, "{\"content\":[]}");
    event_of(3, "result");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_call_without_a_stream_is_cancelled)
{
    call_as("0123456789abcdef", NULL);
    world_lose(&w, 1);
    assert_has(world_line(&w), "notifications/cancelled");
    call_as("0123456789abcdeg", NULL); /* old enough that its node began one by itself */
    world_pass(&w, UPSTREAM_ORPHAN_SILENT);
    world_lose(&w, 2);
    ck_assert_ptr_null(world_line(&w));
    say_progress(call_as("", NULL)); /* a modern client's */
    world_event(&w);
    world_lose(&w, 3);
    assert_has(world_line(&w), "notifications/cancelled");
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 1);
}
END_TEST

START_TEST(nobody_comes_and_it_is_cancelled)
{
    const char *line = lose("0123456789abcdef");

    world_pass(&w, UPSTREAM_ORPHAN_TTL - MN_SEC);
    say_progress(line); /* that keeps no orphan alive */
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, 2 * MN_SEC);
    assert_has(world_line(&w), "notifications/cancelled");
    claim("0123456789abcdef");
    ck_assert_int_eq(event_of(2, "")->failure, CALL_GONE);
    ck_assert_uint_eq(world_info(&w, "s").in_flight_count, 0);
}
END_TEST

START_TEST(a_call_is_taken_from_a_node_that_still_has_it)
{
    const char *line = call_as("0123456789abcdef", NULL);

    claim("0123456789abcdef");
    ck_assert_int_eq(event_of(1, "")->failure, CALL_TAKEN);
    event_of(2, "");
    world_lose(&w, 1); /* it has nothing more to say */
    world_answer(&w, line, "{\"content\":[]}");
    event_of(2, "result");
}
END_TEST

START_TEST(questions_are_asked_again)
{
    const char *line;

    call_as("0123456789abcdef", "{\"elicitation\":{}}");
    world_say(&w, ELICIT);
    ck_assert_str_eq(event_of(1, "question")->key, "elicitation-1");
    world_lose(&w, 1);
    claim("0123456789abcdef");
    event_of(2, "");
    ck_assert_str_eq(event_of(2, "question")->key, "elicitation-1");
    world_input(&w, 2, "elicitation-1", "{\"action\":\"decline\"}", 0);
    line = world_line(&w);
    assert_has(line, "\"id\":\"u7\"");
    assert_has(line, "decline");
    world_lose(&w, 2);
    world_say(&w, ELICIT); /* while nobody is there */
    ck_assert_ptr_null(world_event(&w));
    claim("0123456789abcdef");
    event_of(3, "");
    ck_assert_str_eq(event_of(3, "question")->key, "elicitation-2");
}
END_TEST

/* A child does not say for which call of its client it asks: its newest one is taken. If nobody
 * comes for that one, the others would wait for ever. */
START_TEST(a_question_is_asked_on_whatever_call_has_a_caller)
{
    const char *line;

    for (int i = 0; i < 2; i++) {
        line = call_as(i == 0 ? "0123456789abcdef" : "0123456789abcdeg", "{\"elicitation\":{}}");
        say_progress(line);
        event_of(ticket_last, "progress");
    }
    world_say(&w, ELICIT);
    event_of(2, "question");
    world_lose(&w, 1);
    world_lose(&w, 2);
    claim("0123456789abcdef");
    event_of(3, "");
    ck_assert_str_eq(event_of(3, "question")->key, "elicitation-1");
    world_input(&w, 3, "elicitation-1", "{\"action\":\"decline\"}", 0);
    assert_has(world_line(&w), "\"id\":\"u7\"");
    world_say(&w, ELICIT);
    event_of(3, "question");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_server_that_breaks_is_told_of)
{
    lose("0123456789abcdef");
    world_exit(&w, 1);
    world_pass(&w, MN_SEC); /* it is started again */
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    claim("0123456789abcdef");
    ck_assert_uint_eq(w.events[w.event_next].ticket, 2);
    ck_assert_int_ne(world_event(&w)->kind, CALL_EVENT_PROGRESS);
}
END_TEST

/* What waits for a modern client's answers is named by its sealed state alone. */
START_TEST(a_call_that_waits_for_a_round_is_no_orphan)
{
    const struct world_event *event;
    const char *line;
    char handle[UPSTREAM_HANDLE_SIZE];

    world_call(&w, &(struct world_call){.ticket = ++ticket_last,
                                        .service = "s",
                                        .params = ECHO,
                                        .capabilities = "{\"elicitation\":{}}"});
    world_answer(&w, world_line(&w), WORLD_LEGACY); /* it has a session of its own */
    assert_has(world_line(&w), "notifications/initialized");
    line = world_line(&w);
    assert_has(line, "tools/call");
    world_say(&w, ELICIT);
    world_pass(&w, MN_SEC);
    event = event_of(1, "result");
    ck_assert_uint_eq(event->resume.size, sizeof handle);
    memcpy(handle, event->resume.data, sizeof handle);
    world_call(&w, &(struct world_call){.ticket = ++ticket_last,
                                        .service = "s",
                                        .params = "{}",
                                        .session = "eve",
                                        .is_live = true,
                                        .resume = mn_span(handle, sizeof handle)});
    ck_assert_int_eq(event_of(2, "")->failure, CALL_GONE);
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(they_are_bounded)
{
    char handle[17];

    for (uint32_t i = 0; i < UPSTREAM_ORPHANS_MAX; i++) {
        snprintf(handle, sizeof handle, "%016u", i);
        lose(handle);
    }
    say_progress(call_as("one-more-than-x!", NULL));
    world_event(&w);
    world_lose(&w, ticket_last);
    assert_has(world_line(&w), "notifications/cancelled");
}
END_TEST

START_TEST(a_node_that_stops_does_not_wait_for_those_that_nobody_has)
{
    say_progress(call_as("0123456789abcdef", NULL));
    world_lose(&w, ticket_last);
    world_stop(&w);
    world_pass(&w, UPSTREAMS_DRAIN + MN_MS);
    ck_assert(world_child(&w)->is_stopped);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_orphan");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, a_node_that_stops_does_not_wait_for_those_that_nobody_has);
    tcase_add_test(all, an_answer_waits_for_who_comes_for_the_call);
    tcase_add_test(all, an_answer_that_was_given_is_given_again);
    tcase_add_test(all, an_answer_without_a_stream_is_given_once);
    tcase_add_test(all, answers_that_were_given_are_bounded);
    tcase_add_test(all, a_call_goes_on_under_another_ticket);
    tcase_add_test(all, a_call_without_a_stream_is_cancelled);
    tcase_add_test(all, nobody_comes_and_it_is_cancelled);
    tcase_add_test(all, a_call_is_taken_from_a_node_that_still_has_it);
    tcase_add_test(all, questions_are_asked_again);
    tcase_add_test(all, a_question_is_asked_on_whatever_call_has_a_caller);
    tcase_add_test(all, a_server_that_breaks_is_told_of);
    tcase_add_test(all, a_call_that_waits_for_a_round_is_no_orphan);
    tcase_add_test(all, they_are_bounded);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
