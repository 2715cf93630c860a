/* Resources that a client has subscribed to, in the session of a legacy server that it has for
 * itself. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_own.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "node/mcp/wire/aside.h"
#include "tests/mcp/upstream_endpoint.h"
#include "tests/suite.h"

#define FEED 90 /* the lasting call */
#define CAN "{\"elicitation\":{}}"
#define UPDATED(uri)                                             \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/" \
    "updated\",\"params\":{\"uri\":\"" uri "\"}}\n"

static const char *const none[] = {NULL}, *const one[] = {"x://1", NULL},
                         *const other[] = {"x://2", NULL};

static void come_up(void)
{
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    assert_has(world_line(&w), "notifications/initialized");
}

static void feeds(void)
{
    for (uint64_t i = 0; i < 2; i++) {
        world_call(&w, &(struct world_call){.ticket = FEED + i,
                                            .service = "s",
                                            .method = "subscriptions/listen",
                                            .params = "{}"});
        ck_assert_str_eq(world_event(&w)->what, "");
    }
}

static void child(void)
{
    setup();
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    come_up();
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    feeds();
}

static void call(uint64_t ticket, const char *uri)
{
    world_call(&w, &(struct world_call){.ticket = ticket,
                                        .service = "s",
                                        .params = "{\"name\":\"echo\"}",
                                        .session = "ann",
                                        .capabilities = CAN,
                                        .uri = uri,
                                        .is_live = true});
}

static void end_call(void)
{
    world_answer(&w, world_line(&w), "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}

static void assert_told(uint64_t feed, const char *uri)
{
    struct world_event *event = world_event(&w);

    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(event->ticket, feed);
    ck_assert_str_eq(event->what, "aside");
    ck_assert_str_eq(event->message, ASIDE_UPDATED);
    ck_assert_str_eq(event->json, world_format(&w, "{\"uri\":\"%s\"}", uri));
}

static void take(const char *method, const char *uri)
{
    const char *line = world_line(&w);

    ck_assert_ptr_nonnull(line);
    assert_has(line, world_format(&w, "\"method\":\"resources/%s\",\"params\":{\"uri\":\"%s\"}",
                                  method, uri));
    world_answer(&w, line, "{}");
}

/* Ann has a session of her own, in which that resource is subscribed to. */
static void up(void)
{
    world_wish_own(&w, FEED, "ann", one);
    call(1, NULL);
    come_up();
    take("subscribe", "x://1");
    end_call();
}

START_TEST(it_is_subscribed_to_before_the_first_call)
{
    world_wish_own(&w, FEED, "ann", one);
    call(1, NULL);
    come_up();
    const char *line = world_line(&w);
    assert_has(line, "resources/subscribe");
    ck_assert_ptr_null(world_line(&w)); /* the call waits for it */
    world_answer(&w, line, "{}");
    assert_has(world_line(&w), "tools/call");
}
END_TEST

/* Before that, it may ask the client something about what it subscribes to. */
START_TEST(a_call_that_waits_for_it_can_be_asked)
{
    const char *subscribe;
    struct world_event *event;

    call(1, "x://1");
    come_up();
    subscribe = world_line(&w);
    assert_has(subscribe, "resources/subscribe");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"q-1\",\"method\":\"elicitation/create\","
                  "\"params\":{\"message\":\"who?\"}}\n");
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->what, "question");
    ck_assert_uint_eq(event->ticket, 1);
    world_input(&w, 1, event->key, "{\"action\":\"accept\"}", 0);
    assert_has(world_line(&w), "\"id\":\"q-1\",\"result\":{\"action\":\"accept\"}");
    world_answer(&w, subscribe, "{}");
    end_call();
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_called_nevertheless)
{
    world_wish_own(&w, FEED, "ann", one);
    call(1, NULL);
    come_up();
    assert_has(world_line(&w), "resources/subscribe");
    world_pass(&w, 11 * MN_SEC);
    assert_has(world_line(&w), "tools/call");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(the_first_call_says_it_where_nobody_has_wished)
{
    call(1, "x://1");
    come_up();
    take("subscribe", "x://1");
    end_call();
    world_say(&w, UPDATED("x://1"));
    ck_assert_ptr_null(world_event(&w)); /* nobody hears */
    world_wish_own(&w, FEED, "ann", one);
    assert_told(FEED, "x://1");         /* it may have been missed */
    ck_assert_ptr_null(world_line(&w)); /* not once more */
}
END_TEST

START_TEST(who_hears_first_is_told_of_nothing_that_was_not)
{
    call(1, "x://1");
    come_up();
    take("subscribe", "x://1");
    end_call();
    world_wish_own(&w, FEED, "ann", one);
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, UPDATED("x://1"));
    assert_told(FEED, "x://1");
}
END_TEST

START_TEST(updates_in_it_are_for_that_client)
{
    up();
    world_say(&w, UPDATED("x://1"));
    assert_told(FEED, "x://1");
    world_say(&w, UPDATED("x://1/part"));
    assert_told(FEED, "x://1");
    world_say(&w, UPDATED("x://2"));
    ck_assert_ptr_null(world_event(&w));
    w.child_chosen = 1; /* in the session of all */
    world_say(&w, UPDATED("x://1"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(what_is_wished_for_changes)
{
    up();
    world_wish_own(&w, FEED, "ann", other);
    take("subscribe", "x://2");
    take("unsubscribe", "x://1");
    world_wish_own(&w, FEED, "ann", none);
    take("unsubscribe", "x://2");
    world_wish_own(&w, FEED, "ann", none);
    ck_assert_ptr_null(world_line(&w));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(who_hears_next_is_told_to_look)
{
    up();
    world_wish_own(&w, FEED + 1, "ann", one); /* at another node */
    assert_told(FEED + 1, "x://1");
    world_say(&w, UPDATED("x://1"));
    assert_told(FEED + 1, "x://1");
    world_cancel(&w, FEED + 1);
    assert_told(FEED, "x://1");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(a_new_session_has_it_again)
{
    up();
    world_exit(&w, 1);
    call(2, NULL);
    come_up();
    take("subscribe", "x://1");
    end_call();
    world_say(&w, UPDATED("x://1"));
    assert_told(FEED, "x://1");
}
END_TEST

START_TEST(there_is_an_end_to_it)
{
    const char *uris[2 * ASIDE_URIS_MAX + 1] = {NULL};

    up();
    for (uint32_t i = 0; i < 2 * ASIDE_URIS_MAX; i++)
        uris[i] = world_format(&w, "y://%u", i);
    world_wish_own(&w, FEED, "ann", uris);
    for (uint32_t i = 0; i < ASIDE_URIS_MAX; i++)
        assert_has(world_line(&w), "resources/subscribe");
    assert_has(world_line(&w), "resources/unsubscribe");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* ---- at a URL ---- */

/* A session of it, up to its GET stream. */
static struct world_fetch *open_session(const char *session)
{
    struct world_fetch *fetch = next_request("initialize");

    world_head(&w, fetch, 200, JSON, session);
    world_body(&w, fetch, result_of(fetch, WORLD_LEGACY));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, next_request("notifications/initialized"), 202, NULL, NULL);
    fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "GET");
    return fetch;
}

/* Its stream is to come, and a call waits. */
static struct world_fetch *call_at_url(void)
{
    world_up_http(&w, "s");
    world_head(&w, world_fetch(&w), 200, SSE, NULL);
    feeds();
    world_wish_own(&w, FEED, "ann", one);
    call(1, NULL);
    struct world_fetch *stream = open_session("sess-2");
    ck_assert_ptr_null(world_fetch(&w));
    return stream;
}

static void assert_called(void)
{
    world_reply_result(&w, next_request("resources/subscribe"), "{}");
    (void)next_request("tools/call");
    ck_assert_ptr_null(world_event(&w));
}

START_TEST(it_is_subscribed_to_after_the_stream_of_the_session)
{
    struct world_fetch *stream = call_at_url();

    world_head(&w, stream, 200, SSE, NULL);
    assert_called();
    world_body(&w, stream,
               event("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/"
                     "updated\",\"params\":{\"uri\":\"x://1\"}}"));
    assert_told(FEED, "x://1");
}
END_TEST

START_TEST(it_is_subscribed_to_where_there_is_no_stream)
{
    world_reply(&w, call_at_url(), 405, "text/plain", "no");
    assert_called();
}
END_TEST

START_TEST(a_stream_that_begins_late_may_have_missed_something)
{
    struct world_fetch *stream = call_at_url();

    world_pass(&w, UPSTREAM_STREAM_WAIT);
    assert_called();
    world_head(&w, stream, 200, SSE, NULL);
    assert_told(FEED, "x://1");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* So the call does not wait for ever. */
START_TEST(what_is_not_wanted_any_more_is_not_waited_for)
{
    struct world_fetch *stream = call_at_url();

    world_wish_own(&w, FEED, "ann", none);
    ck_assert_ptr_null(world_fetch(&w)); /* nothing was subscribed to */
    world_head(&w, stream, 200, SSE, NULL);
    (void)next_request("tools/call");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("all");
    TCase *tc = tcase_create("all"), *urls = tcase_create("urls");

    tcase_add_checked_fixture(tc, child, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, it_is_subscribed_to_before_the_first_call);
    tcase_add_test(tc, a_call_that_waits_for_it_can_be_asked);
    tcase_add_test(tc, a_server_that_does_not_answer_is_called_nevertheless);
    tcase_add_test(tc, the_first_call_says_it_where_nobody_has_wished);
    tcase_add_test(tc, who_hears_first_is_told_of_nothing_that_was_not);
    tcase_add_test(tc, updates_in_it_are_for_that_client);
    tcase_add_test(tc, what_is_wished_for_changes);
    tcase_add_test(tc, who_hears_next_is_told_to_look);
    tcase_add_test(tc, a_new_session_has_it_again);
    tcase_add_test(tc, there_is_an_end_to_it);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(urls, setup, teardown);
    tcase_add_test(urls, it_is_subscribed_to_after_the_stream_of_the_session);
    tcase_add_test(urls, it_is_subscribed_to_where_there_is_no_stream);
    tcase_add_test(urls, a_stream_that_begins_late_may_have_missed_something);
    tcase_add_test(urls, what_is_not_wanted_any_more_is_not_waited_for);
    suite_add_tcase(suite, urls);
    return suite_run(suite);
}
