/* Resources that others want to hear of: one subscription at the server, however many want it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_watch.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define URIS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define UPDATED(uri)                                             \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/" \
    "updated\",\"params\":{\"uri\":\"" uri "\"}}\n"

#define ACKNOWLEDGED                                                                \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"," \
    "\"params\":{\"notifications\":{}}}\n"

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

static void watch(uint64_t ticket)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .method = "subscriptions/listen",
                                        .params = "{}"});
    ck_assert_str_eq(world_event(&w)->what, ""); /* it is being served */
}

START_TEST(what_several_want_is_subscribed_to_once)
{
    struct world_event *event;

    world_up_legacy(&w, "s");
    watch(1);
    watch(2);
    world_wish(&w, 1, URIS("x://1", "x://2"));
    assert_has(world_line(&w), "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"x://1\"}");
    assert_has(world_line(&w), "\"uri\":\"x://2\"");
    world_wish(&w, 2, URIS("x://2"));
    ck_assert_ptr_null(world_line(&w));
    world_say(&w, UPDATED("x://1"));
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 1);
    ck_assert_str_eq(event->json, "x://1");
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, UPDATED("x://2/part")); /* of what was subscribed to */
    ck_assert_str_eq(world_event(&w)->json, "x://2/part");
    ck_assert_str_eq(world_event(&w)->json, "x://2/part");
    world_say(&w, UPDATED("x://3"));
    ck_assert_ptr_null(world_event(&w));

    world_wish(&w, 1, URIS("x://1"));
    ck_assert_ptr_null(world_line(&w)); /* the other one still wants it */
    world_cancel(&w, 2);
    assert_has(world_line(&w),
               "\"method\":\"resources/unsubscribe\",\"params\":{\"uri\":\"x://2\"}");
    world_cancel(&w, 1);
    assert_has(world_line(&w), "\"uri\":\"x://1\"");
}
END_TEST

START_TEST(a_new_session_is_subscribed_again_and_each_is_told_once)
{
    const char *line;

    world_up_legacy(&w, "s");
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    (void)world_line(&w);
    world_exit(&w, 1);
    world_pass(&w, MN_SEC);
    ck_assert_ptr_null(world_event(&w));
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    (void)world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    line = world_line(&w);
    assert_has(line, "resources/subscribe");
    ck_assert_ptr_null(world_event(&w)); /* what it tells before it has it may be too early */
    world_answer(&w, line, "{}");
    ck_assert_str_eq(world_event(&w)->what, "updated");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(who_is_new_looks_once_more_when_the_server_has_the_subscription)
{
    const char *line;

    world_up_legacy(&w, "s");
    watch(1);
    watch(2);
    world_wish(&w, 1, URIS("x://1"));
    line = world_line(&w);
    ck_assert_ptr_null(world_event(&w));
    world_answer(&w, line, "{}");
    ck_assert_uint_eq(world_event(&w)->ticket, 1);
    ck_assert_ptr_null(world_event(&w));
    world_wish(&w, 2, URIS("x://1")); /* what changed until now, its client may have missed */
    ck_assert_uint_eq(world_event(&w)->ticket, 2);
    ck_assert_ptr_null(world_event(&w));
    world_wish(&w, 2, URIS("x://1"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_modern_server_has_one_listen_with_all_of_them)
{
    const char *line;

    world_up_modern(&w, "s"); /* no list_changed: no listen until now */
    ck_assert_ptr_null(world_line(&w));
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    ck_assert_ptr_null(world_line(&w));
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    line = world_line(&w);
    assert_has(line, "subscriptions/listen");
    assert_has(line, "\"resourceSubscriptions\":[\"x://1\"]");
    world_wish(&w, 1, URIS("x://2"));
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    assert_has(world_line(&w), "\"resourceSubscriptions\":[\"x://2\"]");
    assert_has(world_line(&w),
               world_format(&w, "\"requestId\":%llu", (unsigned long long)world_id(line)));
    world_say(&w, ACKNOWLEDGED);
    ck_assert_str_eq(world_event(&w)->json, "x://2");
    world_say(&w, ACKNOWLEDGED); /* nothing is new */
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, UPDATED("x://2"));
    ck_assert_str_eq(world_event(&w)->what, "updated");
}
END_TEST

START_TEST(a_server_that_stops_ends_its_watches)
{
    world_up_legacy(&w, "s");
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    world_stop(&w);
    ck_assert_int_eq(world_event(&w)->failure, CALL_UNAVAILABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream watch");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_several_want_is_subscribed_to_once);
    tcase_add_test(tc, who_is_new_looks_once_more_when_the_server_has_the_subscription);
    tcase_add_test(tc, a_new_session_is_subscribed_again_and_each_is_told_once);
    tcase_add_test(tc, a_modern_server_has_one_listen_with_all_of_them);
    tcase_add_test(tc, a_server_that_stops_ends_its_watches);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
