/* Resources that others want to hear of: one subscription at the server, however many want it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_watch.h"
#include "tests/mcp/upstream_endpoint.h"
#include "tests/suite.h"

#define URIS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define UPDATED(uri)                                             \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/" \
    "updated\",\"params\":{\"uri\":\"" uri "\"}}\n"

#define ACKNOWLEDGED(uris)                                                          \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"," \
    "\"params\":{\"notifications\":{\"resourceSubscriptions\":[" uris "]}}}\n"

/* The next event; [uri]: of which, or NULL for "updated". */
static void assert_event(uint64_t ticket, const char *what, const char *uri)
{
    const struct world_event *heard = world_event(&w);

    ck_assert_ptr_nonnull(heard);
    ck_assert_uint_eq(heard->ticket, ticket);
    ck_assert_str_eq(heard->what, what);
    ck_assert_str_eq(strcmp(what, "updated") == 0 ? heard->json : heard->key, uri);
}

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
    world_up_legacy(&w, "s");
    watch(1);
    watch(2);
    world_wish(&w, 1, URIS("x://1", "x://2"));
    assert_has(world_line(&w), "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"x://1\"}");
    assert_has(world_line(&w), "\"uri\":\"x://2\"");
    world_wish(&w, 2, URIS("x://2"));
    ck_assert_ptr_null(world_line(&w));
    world_say(&w, UPDATED("x://1"));
    assert_event(1, "taken", "x://1"); /* that says it as well */
    assert_event(1, "updated", "x://1");
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
    world_answer(&w, world_line(&w), "{}");
    assert_event(1, "taken", "x://1");
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

START_TEST(each_hears_once_that_the_server_has_taken_it)
{
    const char *line;

    world_up_legacy(&w, "s");
    watch(1);
    watch(2);
    world_wish(&w, 1, URIS("x://1"));
    line = world_line(&w);
    ck_assert_ptr_null(world_event(&w));
    world_answer(&w, line, "{}");
    assert_event(1, "taken", "x://1");
    ck_assert_ptr_null(world_event(&w));
    world_wish(&w, 2, URIS("x://1"));
    assert_event(2, "taken", "x://1");
    ck_assert_ptr_null(world_event(&w));
    world_wish(&w, 2, URIS("x://1"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* It does not know better than that something may have been missed. */
START_TEST(a_node_of_before_is_told_to_look)
{
    const char *line;

    world_up_legacy(&w, "s");
    watch(1);
    w.is_old_node = true;
    world_wish(&w, 1, URIS("x://1", "x://2"));
    line = world_line(&w);
    world_answer(&w, line, "{}");
    assert_event(1, "updated", "x://1");
    world_error(&w, world_line(&w), -32002, "");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(what_the_server_refuses_is_said_and_asked_for_anew)
{
    const struct world_event *heard;

    world_up_legacy(&w, "s");
    watch(1);
    watch(2);
    world_wish(&w, 1, URIS("x://1"));
    world_wish(&w, 2, URIS("x://1"));
    world_error(&w, world_line(&w), -32002, "{\"uri\":\"x://1\"}");
    for (uint64_t ticket = 1; ticket <= 2; ticket++) {
        heard = world_event(&w);
        ck_assert_uint_eq(heard->ticket, ticket);
        ck_assert_str_eq(heard->what, "refused");
        ck_assert_str_eq(heard->key, "x://1");
        ck_assert_int_eq(heard->code, -32002);
        ck_assert_str_eq(heard->message, "no");
        ck_assert_str_eq(heard->json, "{\"uri\":\"x://1\"}");
    }
    world_say(&w, UPDATED("x://1"));
    ck_assert_ptr_null(world_event(&w));
    world_wish(&w, 2, URIS("x://1"));
    world_answer(&w, world_line(&w), "{}");
    assert_event(2, "taken", "x://1");
    world_wish(&w, 1, (const char *const[]){NULL});
    ck_assert_ptr_null(world_line(&w)); /* there is nothing to end */
}
END_TEST

static const char *long_text(size_t size)
{
    char *text = mn_arena_alloc(&w.kept, size + 1);

    for (size_t i = 0; i < size; i++)
        text[i] = (i & 1) == 0 ? '\xc3' : '\xa4';
    text[size] = '\0';
    return text;
}

static const struct world_event *refused(const char *message, const char *data)
{
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"error\":{\"code\":-1,"
                               "\"message\":\"%s\",\"data\":\"%s\"}}\n",
                               world_id(world_line(&w)), message, data));
    return world_event(&w);
}

START_TEST(a_long_refusal_is_cut)
{
    const char *text = world_format(&w, ".%s", long_text(UPSTREAM_REFUSAL_MAX));
    const struct world_event *heard;

    world_up_legacy(&w, "s");
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    heard = refused(text, "short");
    ck_assert_uint_eq(strlen(heard->message), UPSTREAM_REFUSAL_MAX - 1); /* whole characters */
    ck_assert_str_eq(heard->json, "\"short\"");
    world_wish(&w, 1, URIS("x://1"));
    heard = refused("short", text);
    ck_assert_str_eq(heard->message, "short");
    ck_assert_str_eq(heard->json, "");
}
END_TEST

static struct world_fetch *up_at_url(void)
{
    struct world_fetch *stream;

    world_up_http(&w, "s");
    stream = world_fetch(&w);
    ck_assert_str_eq(stream->method, "GET");
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    ck_assert_ptr_null(world_fetch(&w));
    return stream;
}

/* What changed between the two, nobody would tell. */
START_TEST(a_server_at_a_url_is_asked_after_its_stream)
{
    struct world_fetch *stream = up_at_url();

    world_head(&w, stream, 200, SSE, NULL);
    world_reply_result(&w, next_request("resources/subscribe"), "{}");
    assert_event(1, "taken", "x://1");
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

START_TEST(a_server_without_a_stream_is_asked_as_well)
{
    world_reply(&w, up_at_url(), 405, "text/plain", "no");
    world_reply_result(&w, next_request("resources/subscribe"), "{}");
    assert_event(1, "taken", "x://1");
}
END_TEST

START_TEST(a_stream_that_does_not_begin_is_not_waited_for)
{
    struct world_fetch *stream = up_at_url();

    world_pass(&w, UPSTREAM_STREAM_WAIT);
    world_reply_result(&w, next_request("resources/subscribe"), "{}");
    assert_event(1, "taken", "x://1");
    world_wish(&w, 1, URIS("x://1", "x://2"));
    (void)next_request("resources/subscribe");
    world_head(&w, stream, 200, SSE, NULL);
    assert_event(1, "updated", "x://1"); /* until now it may have been told to nobody */
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
    world_say(&w, ACKNOWLEDGED("\"x://2\""));
    assert_event(1, "taken", "x://2");
    world_say(&w, ACKNOWLEDGED("\"x://2\"")); /* nothing is new */
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, UPDATED("x://2"));
    ck_assert_str_eq(world_event(&w)->what, "updated");
}
END_TEST

START_TEST(a_modern_server_says_what_it_does_not_tell_of)
{
    const struct world_event *heard;

    world_up_modern(&w, "s");
    watch(1);
    world_wish(&w, 1, URIS("x://1", "x://2"));
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    (void)world_line(&w);
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
                  "\"params\":{\"notifications\":{},\"_meta\":{"
                  "\"io.modelcontextprotocol/subscriptionId\":1}}}\n");
    ck_assert_ptr_null(world_event(&w)); /* it is of another listen */
    world_say(&w, ACKNOWLEDGED("\"x://3\",\"x://2\""));
    for (int i = 0; i < 2; i++) {
        heard = world_event(&w);
        ck_assert_str_eq(heard->what, heard->key[4] == '2' ? "taken" : "refused");
        if (heard->key[4] == '1') ck_assert_int_eq(heard->code, -32602);
    }
    world_say(&w, UPDATED("x://1"));
    ck_assert_ptr_null(world_event(&w));
}
END_TEST

/* There are servers that make a string of it. */
START_TEST(an_acknowledgement_may_name_its_listen_by_a_string)
{
    unsigned long long id;

    world_up_modern(&w, "s");
    watch(1);
    world_wish(&w, 1, URIS("x://1"));
    world_pass(&w, UPSTREAM_WATCH_DELAY);
    id = (unsigned long long)world_id(world_line(&w));
    for (unsigned long long i = 0; i < 2; i++) {
        ck_assert_ptr_null(world_event(&w)); /* it is of another listen */
        world_say(&w, world_format(&w,
                                   "{\"jsonrpc\":\"2.0\",\"method\":"
                                   "\"notifications/subscriptions/acknowledged\",\"params\":{"
                                   "\"notifications\":{\"resourceSubscriptions\":[\"x://1\"]},"
                                   "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":"
                                   "\"%llu\"}}}\n",
                                   id - 1 + i));
    }
    assert_event(1, "taken", "x://1");
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
    tcase_add_test(tc, each_hears_once_that_the_server_has_taken_it);
    tcase_add_test(tc, a_node_of_before_is_told_to_look);
    tcase_add_test(tc, what_the_server_refuses_is_said_and_asked_for_anew);
    tcase_add_test(tc, a_long_refusal_is_cut);
    tcase_add_test(tc, a_server_at_a_url_is_asked_after_its_stream);
    tcase_add_test(tc, a_server_without_a_stream_is_asked_as_well);
    tcase_add_test(tc, a_stream_that_does_not_begin_is_not_waited_for);
    tcase_add_test(tc, a_new_session_is_subscribed_again_and_each_is_told_once);
    tcase_add_test(tc, a_modern_server_has_one_listen_with_all_of_them);
    tcase_add_test(tc, a_modern_server_says_what_it_does_not_tell_of);
    tcase_add_test(tc, an_acknowledgement_may_name_its_listen_by_a_string);
    tcase_add_test(tc, a_server_that_stops_ends_its_watches);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
