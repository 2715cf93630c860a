/* Events and logs: what a follower gets, and what becomes of one that does not read. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/admin/admin_internal.h"
#include "tests/admin/admin_world.h"
#include "tests/suite.h"

static void begin(void)
{
    operator_begin(1);
}

static uint64_t follow(const char *target)
{
    uint64_t exchange =
        operator_open(&(struct operator_request){.method = "GET", .target = target});

    operator_edge(EDGE_IN_HTTP_BODY, exchange, NULL, true);
    return exchange;
}

static uint32_t lines_count(const char *text)
{
    uint32_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* ---- events ---- */

START_TEST(history_comes_and_ends)
{
    operator_event(MN_EV_MESH_FOUNDED, 0, "");
    operator_event(MN_EV_SERVER_FAILED, 3, "bad\"one");
    ck_assert_str_eq(
        ask("GET", "/v1/events", NULL),
        "{\"time\":\"2027-01-15T08:00:00.600Z\",\"level\":\"info\",\"event\":\"mesh.founded\"}\n"
        "{\"time\":\"2027-01-15T08:00:00.600Z\",\"level\":\"warn\",\"event\":\"server.failed\","
        "\"text\":\"bad\\\"one\",\"exit_status\":3,\"next_try_in_ms\":0}\n");
    ck_assert(operator_is_over(operator_last));
    ck_assert_str_eq(operator_header(operator_last, "content-type"), "application/x-ndjson");
}
END_TEST

START_TEST(what_was_the_matter_has_a_name)
{
    operator_event(MN_EV_LINK_DOWN, (uint64_t)(int64_t)MN_CLOSED, "");
    assert_has(ask("GET", "/v1/events", NULL), "\"event\":\"link.down\",\"status\":\"CLOSED\"}");
}
END_TEST

START_TEST(no_history_is_an_empty_stream)
{
    ck_assert_str_eq(ask("GET", "/v1/events", NULL), "");
    ck_assert_uint_eq(operator_code(operator_last), 200);
    ck_assert(operator_is_over(operator_last));
}
END_TEST

START_TEST(only_the_newest_thousand_are_kept)
{
    const char *list;

    for (uint64_t i = 0; i < ADMIN_EVENTS_MAX + 7; i++)
        operator_event(MN_EV_NODE_READY, i, "");
    list = ask("GET", "/v1/events", NULL);
    ck_assert_uint_eq(lines_count(list), ADMIN_EVENTS_MAX);
    assert_has_not(list, "\"members\":6}");
    assert_has(list, "\"members\":7}");
    assert_has(list, "\"members\":1006}");
}
END_TEST

START_TEST(a_follower_gets_what_happens)
{
    uint64_t exchange;

    operator_event(MN_EV_NODE_READY, 1, "");
    exchange = follow("/v1/events?follow=1");
    ck_assert(operator_is_stream(exchange));
    ck_assert_uint_eq(lines_count(operator_body(exchange)), 1);
    operator_event(MN_EV_NODE_READY, 2, "");
    operator_event(MN_EV_NODE_READY, 3, "");
    ck_assert_uint_eq(lines_count(operator_body(exchange)), 3);
    ck_assert(!operator_is_over(exchange));
    operator_edge(EDGE_IN_HTTP_GONE, exchange, NULL, false);
    operator_event(MN_EV_NODE_READY, 4, "");
    ck_assert_uint_eq(lines_count(operator_body(exchange)), 3);
}
END_TEST

/* About a hundred bytes each. */
static void many_events(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        operator_event(MN_EV_NODE_READY, 1, "some text that makes the line a bit longer");
}

START_TEST(a_follower_that_does_not_read_is_cut_off)
{
    uint64_t slow = follow("/v1/events?follow=1"), second = follow("/v1/events?follow=1");
    size_t size;

    while (!operator_is_aborted(slow)) {
        many_events(100);
        operator_edge(EDGE_IN_HTTP_WRITABLE, second, NULL, false);
        ck_assert_uint_lt(strlen(operator_body(slow)), 2 * ADMIN_STREAM_QUEUE);
    }
    size = strlen(operator_body(slow));
    ck_assert_uint_gt(size, ADMIN_STREAM_QUEUE - 1000);
    ck_assert_uint_le(size, ADMIN_STREAM_QUEUE);
    many_events(10); /* nothing more goes to it: operator_edge() would notice */
    ck_assert(!operator_is_over(second));
    ck_assert_uint_gt(strlen(operator_body(second)), size);
}
END_TEST

START_TEST(followers_are_bounded)
{
    uint64_t first = follow("/v1/events?follow=1");

    for (int i = 1; i < ADMIN_FOLLOWERS_MAX; i++)
        follow(i % 2 ? "/v1/events?follow=1" : "/v1/servers/s/logs?follow=1");
    follow("/v1/events?follow=1");
    assert_refused(503, "busy");
    follow("/v1/servers/s/logs?follow=1");
    assert_refused(503, "busy");
    ask("GET", "/v1/events", NULL); /* ends at once, so it may */
    ck_assert_uint_eq(operator_code(operator_last), 200);
    operator_edge(EDGE_IN_HTTP_GONE, first, NULL, false);
    follow("/v1/events?follow=1");
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

/* ---- logs ---- */

#define LINE(sequence, text) \
    "{\"sequence\":" #sequence ",\"time_ms\":1800000000000,\"text\":\"" text "\"}"
#define SHOWN(sequence, text) \
    "{\"sequence\":" #sequence ",\"time\":\"2027-01-15T08:00:00.000Z\",\"text\":\"" text "\"}\n"

START_TEST(a_log_comes_line_by_line)
{
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].json =
        "[" LINE(7, "a \\u001b[31m") "," LINE(9, "b") "]";
    ck_assert_str_eq(ask("GET", "/v1/servers/s/logs?after=6", NULL),
                     SHOWN(7, "a \\u001b[31m") SHOWN(9, "b"));
    ck_assert_str_eq(operator_asked.name, "s");
    ck_assert_uint_eq(operator_asked.after, 6);
    ck_assert(operator_is_over(operator_last));
    ask("GET", "/v1/servers/s/logs", NULL);
    ck_assert_uint_eq(operator_asked.after, 0);
}
END_TEST

START_TEST(after_is_a_number)
{
    static const char *const bad[] = {"x", "", "-1", "1x", "99999999999999999999"};
    char target[64];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(target, sizeof target, "/v1/servers/s/logs?after=%s", bad[i]);
        ask("GET", target, NULL);
        assert_refused(400, "bad_request");
    }
}
END_TEST

START_TEST(a_log_that_is_none_is_not_found)
{
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].status = MN_NOT_FOUND;
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].why = "no such server";
    follow("/v1/servers/s/logs?follow=1");
    assert_refused(404, "not_found");
}
END_TEST

START_TEST(a_followed_log_is_asked_for_again_and_again)
{
    uint64_t exchange;

    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].json = "[" LINE(1, "a") "]";
    exchange = follow("/v1/servers/s/logs?follow=1");
    ck_assert_str_eq(operator_body(exchange), SHOWN(1, "a"));
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].json = "[]";
    operator_asked.count = 0;
    operator_pass(MN_SEC);
    ck_assert_uint_eq(operator_asked.count, 4);
    ck_assert_uint_eq(operator_asked.after, 1);
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].json = "[" LINE(2, "b") "]";
    operator_pass(300 * MN_MS);
    ck_assert_str_eq(operator_body(exchange), SHOWN(1, "a") SHOWN(2, "b"));
    ck_assert_uint_eq(admin_deadline(operator_admin) > world_now().mono, true);
    operator_edge(EDGE_IN_HTTP_GONE, exchange, NULL, false);
    operator_pass(MN_SEC);
    ck_assert_uint_eq(admin_deadline(operator_admin), MN_TIME_NEVER); /* nobody to poll for */
}
END_TEST

START_TEST(a_server_that_is_detached_ends_its_log)
{
    uint64_t exchange = follow("/v1/servers/s/logs?follow=1");

    ck_assert(!operator_is_over(exchange));
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].status = MN_NOT_FOUND;
    operator_pass(MN_SEC);
    ck_assert(operator_is_over(exchange));
    ck_assert(!operator_is_aborted(exchange));
}
END_TEST

START_TEST(followers_of_logs_hear_no_events)
{
    uint64_t exchange = follow("/v1/servers/s/logs?follow=1");

    operator_event(MN_EV_NODE_READY, 1, "");
    ck_assert_str_eq(operator_body(exchange), "");
}
END_TEST
/* ---- who follows ---- */

static char viewer[GUARD_TOKEN_TEXT_SIZE + 8]; /* "Bearer TOKEN" */
static char viewer_path[128];                  /* of the token */

static void viewer_make(void)
{
    const char *made = ask("POST", "/v1/tokens", "{\"role\":\"viewer\",\"ttl_ms\":600000}");
    const char *text = strstr(made, "mna1-"), *id = strstr(made, "\"id\":\"");

    snprintf(viewer, sizeof viewer, "Bearer %.*s", GUARD_TOKEN_TEXT_SIZE - 1, text);
    snprintf(viewer_path, sizeof viewer_path, "/v1/tokens/%.16s", id + strlen("\"id\":\""));
}

static uint64_t follow_as_viewer(void)
{
    uint64_t exchange = operator_open(&(struct operator_request){.listener = EDGE_LISTENER_HTTP,
                                                                 .method = "GET",
                                                                 .target = "/v1/events?follow=1",
                                                                 .host = "localhost",
                                                                 .bearer = viewer});

    operator_edge(EDGE_IN_HTTP_BODY, exchange, NULL, true);
    ck_assert_uint_eq(operator_code(exchange), 200);
    return exchange;
}

START_TEST(a_revoked_token_follows_no_longer)
{
    uint64_t mine = follow("/v1/events?follow=1"), other;

    viewer_make();
    other = follow_as_viewer();
    operator_pass(10 * MN_SEC);
    ck_assert(!operator_is_over(other));
    ask("DELETE", viewer_path, NULL);
    operator_pass(MN_SEC);
    ck_assert(operator_is_over(other) && !operator_is_aborted(other));
    ck_assert(!operator_is_over(mine));
    ck_assert_uint_eq(admin_deadline(operator_admin), MN_TIME_NEVER);
}
END_TEST

START_TEST(an_expired_token_follows_no_longer)
{
    uint64_t exchange;

    viewer_make();
    exchange = follow_as_viewer();
    operator_pass(9 * MN_MINUTE);
    ck_assert(!operator_is_over(exchange));
    operator_pass(MN_MINUTE + MN_SEC);
    ck_assert(operator_is_over(exchange));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin_stream");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, begin, operator_end);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, history_comes_and_ends);
    tcase_add_test(all, what_was_the_matter_has_a_name);
    tcase_add_test(all, no_history_is_an_empty_stream);
    tcase_add_test(all, only_the_newest_thousand_are_kept);
    tcase_add_test(all, a_follower_gets_what_happens);
    tcase_add_test(all, a_follower_that_does_not_read_is_cut_off);
    tcase_add_test(all, followers_are_bounded);
    tcase_add_test(all, a_log_comes_line_by_line);
    tcase_add_test(all, after_is_a_number);
    tcase_add_test(all, a_log_that_is_none_is_not_found);
    tcase_add_test(all, a_followed_log_is_asked_for_again_and_again);
    tcase_add_test(all, a_server_that_is_detached_ends_its_log);
    tcase_add_test(all, followers_of_logs_hear_no_events);
    tcase_add_test(all, a_revoked_token_follows_no_longer);
    tcase_add_test(all, an_expired_token_follows_no_longer);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
