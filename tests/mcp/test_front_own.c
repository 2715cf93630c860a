/* Resources that a client has subscribed to, and of which a server tells in the session that the
 * client has there for itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/wire/aside.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\"}}"
#define LEVEL ID "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"info\"}}"
#define ON(uri) ID "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"" uri "\"}}"
#define OFF(uri) ID "\"method\":\"resources/unsubscribe\",\"params\":{\"uri\":\"" uri "\"}}"
#define LISTEN "subscriptions/listen"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static const char *const resources[] = {"{\"uri\":\"x://1\",\"name\":\"1\"}",
                                        "{\"uri\":\"x://2\",\"name\":\"2\"}", NULL};
static char ann[300];
static const struct client_response *stream;
static uint64_t shared, own; /* lasting calls: of the resources; of what is at the node */
static struct mn_span whose;

static uint64_t last_feed(void)
{
    for (uint32_t i = client_calls_count; i > 0; i--)
        if (strcmp(client_calls[i - 1].request->method, LISTEN) == 0)
            return client_calls[i - 1].ticket;
    return 0;
}

static void call(void)
{
    client_legacy(ann, CALL);
    client_result(client_calls[client_calls_count - 1].ticket, "{\"content\":[]}");
}

static void tell(void)
{
    client_at(client_now.mono + 50 * MN_MS);
}

/* She has subscribed to one resource, and was served at a node. */
static void setup(void)
{
    const struct client_offer offer = {.tools = tools,
                                       .resources = resources,
                                       .capabilities =
                                           "{\"tools\":{},\"resources\":{\"subscribe\":true}}"};

    client_setup();
    client_service_offer("srv", true, &offer);
    client_service("other", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    client_legacy(ann, LEVEL);
    client_legacy(ann, ON("x://1"));
    shared = last_feed();
    client_taken(shared, "x://1");
    stream = client_stream(ann);
    client_legacy(ann, CALL);
    ck_assert_uint_eq(client_calls[client_calls_count - 1].request->n_uris, 1);
    client_result(client_calls[client_calls_count - 1].ticket, "{\"content\":[]}");
    own = last_feed();
    client_served(own);
    tell();
    whose = client_input.session;
    client_forget(stream->id);
}

/* She subscribes to another one, which the server takes; or does not want it any more. */
static void subscribe(bool is_on)
{
    client_legacy(ann, is_on ? ON("x://2") : OFF("x://2"));
    if (is_on) client_taken(shared, "x://2");
}

static void aside(const char *uri)
{
    char params[64];

    snprintf(params, sizeof params, "{\"uri\":\"%s\"}", uri);
    client_aside(own, whose, ASIDE_UPDATED, params);
}

static bool was_told(const char *uri)
{
    bool was = strstr(stream->body, uri) != NULL &&
               strstr(stream->body, "notifications/resources/updated") != NULL;

    client_forget(stream->id);
    return was;
}

START_TEST(the_node_hears_what_is_subscribed_to)
{
    ck_assert_uint_ne(own, shared);
    ck_assert_str_eq(client_input.own, "x://1 ");
    subscribe(true);
    tell();
    ck_assert_uint_eq(strlen(client_input.own), strlen("x://1 x://2 "));
    client_legacy(ann, OFF("x://1"));
    tell();
    ck_assert_str_eq(client_input.own, "x://2 ");
    call();
    ck_assert_uint_eq(client_calls[client_calls_count - 1].request->n_uris, 0);
}
END_TEST

static uint32_t tellings(uint64_t ticket)
{
    for (uint32_t i = 0; i < client_calls_count; i++)
        if (client_calls[i].ticket == ticket) return client_calls[i].wishes_count;
    return 0;
}

/* One after the other, each after the answer to the one before. */
START_TEST(many_subscriptions_are_told_together_and_only_where_they_matter)
{
    const uint32_t before = tellings(own);
    uint64_t other;

    client_legacy(ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"other__t\"}}");
    client_result(client_calls[client_calls_count - 1].ticket, "{\"content\":[]}");
    other = last_feed();
    ck_assert_uint_ne(other, own);
    client_served(other);
    tell();
    ck_assert_uint_eq(tellings(other), 1);
    ck_assert_uint_eq(tellings(own), before); /* a server that is new to her is nothing to others */
    for (int i = 0; i < 40; i++) {
        subscribe(i % 2 == 0);
        client_at(client_now.mono + MN_MS);
    }
    subscribe(true);
    tell();
    ck_assert_uint_eq(tellings(own), before + 1);
    ck_assert_uint_eq(tellings(other), 1);
    ck_assert_uint_eq(strlen(client_input.own), strlen("x://1 x://2 "));
    tell();
    ck_assert_uint_eq(tellings(own), before + 1);
}
END_TEST

/* It may be what updates them. */
START_TEST(a_call_does_not_come_before_what_is_subscribed_to)
{
    const uint32_t before = tellings(own);

    subscribe(true);
    ck_assert_uint_eq(tellings(own), before);
    client_legacy(ann, CALL);
    ck_assert_uint_eq(tellings(own), before + 1);
    ck_assert_uint_eq(strlen(client_input.own), strlen("x://1 x://2 "));
}
END_TEST

/* Its own session is not asked for what the server may refuse. */
START_TEST(what_is_not_taken_yet_is_not_told)
{
    const uint32_t before = tellings(own);
    const struct client_response *response = client_legacy(ann, ON("x://2"));

    tell();
    aside("x://2");
    ck_assert(!was_told("x://2"));
    client_refused(shared, "x://2", -32002, "no", NULL);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32002"));
    tell();
    ck_assert_uint_eq(tellings(own), before);
}
END_TEST

/* Each time all sessions of the server are told: that would be too much for each call of any. */
START_TEST(of_many_sessions_not_each_call_tells_all)
{
    uint32_t before;

    for (int i = 0; i < 64; i++) {
        strcpy(ann, client_initialize("/mcp", "2025-11-25"));
        client_legacy(ann, LEVEL);
        client_stream(ann);
        call();
        client_forget_all();
    }
    tell();
    tell();
    before = tellings(own);
    for (int i = 0; i < 11; i++) {
        subscribe(i % 2 == 0);
        call();
    }
    ck_assert_uint_eq(tellings(own), before + 1);
    tell();
    ck_assert_uint_eq(tellings(own), before + 2);
    ck_assert_ptr_nonnull(strstr(client_input.own, "x://2"));
    tell();
    ck_assert_uint_eq(tellings(own), before + 2);
}
END_TEST

START_TEST(what_both_sessions_tell_is_told_once)
{
    client_updated(shared, "x://1");
    ck_assert_str_eq(stream->body, "");
    client_at(client_now.mono + 20 * MN_MS);
    aside("x://1");
    client_at(client_now.mono + 40 * MN_MS);
    ck_assert(was_told("x://1"));
    client_at(client_now.mono + MN_SEC);
    ck_assert_str_eq(stream->body, "");
}
END_TEST

START_TEST(what_either_tells_is_told)
{
    if (_i == 0)
        aside("x://1");
    else
        client_updated(shared, "x://1");
    client_at(client_now.mono + 60 * MN_MS);
    ck_assert(was_told("x://1"));
    aside("x://2"); /* to which she has not subscribed */
    client_at(client_now.mono + 60 * MN_MS);
    ck_assert_str_eq(stream->body, "");
}
END_TEST

START_TEST(who_goes_meanwhile_is_told_on_the_next_stream)
{
    client_updated(shared, "x://1");
    client_gone(stream->id);
    client_at(client_now.mono + 60 * MN_MS);
    stream = client_stream(ann);
    ck_assert(was_told("x://1"));
    aside("x://1");
    client_legacy(ann, OFF("x://1"));
    client_at(client_now.mono + 60 * MN_MS);
    ck_assert_str_eq(stream->body, "");
}
END_TEST

/* Nodes say what they like. */
START_TEST(what_is_nonsense_is_ignored)
{
    static const char *const texts[] = {"{}", "{\"uri\":7}", "[]", "{\"uri\":\"\"}"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        client_aside(own, whose, ASIDE_UPDATED, texts[i]);
    client_at(client_now.mono + 60 * MN_MS);
    ck_assert_str_eq(stream->body, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("all");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_node_hears_what_is_subscribed_to);
    tcase_add_test(tc, many_subscriptions_are_told_together_and_only_where_they_matter);
    tcase_add_test(tc, a_call_does_not_come_before_what_is_subscribed_to);
    tcase_add_test(tc, what_is_not_taken_yet_is_not_told);
    tcase_add_test(tc, of_many_sessions_not_each_call_tells_all);
    tcase_add_test(tc, what_both_sessions_tell_is_told_once);
    tcase_add_loop_test(tc, what_either_tells_is_told, 0, 2);
    tcase_add_test(tc, who_goes_meanwhile_is_told_on_the_next_stream);
    tcase_add_test(tc, what_is_nonsense_is_ignored);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
