/* Requests to subscribe, which are answered as the server answers them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/suite.h"

#define REQUEST(id, method, uri)                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"resources/" method \
    "\",\"params\":{\"uri\":\"" uri "\"}}"
#define ON REQUEST("1", "subscribe", "x://1")
#define DONE "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"
#define NO "\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{\"uri\":\"x://1\"}}}"
#define LIMIT (5 * MN_SEC)

static const char *const resources[] = {"{\"uri\":\"x://1\",\"name\":\"1\"}",
                                        "{\"uri\":\"x://2\",\"name\":\"2\"}", NULL};
static char ann[300], bob[300];
static const struct client_response *stream; /* ann's */

static void setup(void)
{
    client_setup();
    client_service_offer(
        "srv", true,
        &(struct client_offer){.resources = resources,
                               .capabilities = "{\"resources\":{\"subscribe\":true}}"});
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-03-26"));
    stream = client_stream(ann);
}

static uint64_t feed(void)
{
    ck_assert_uint_gt(client_calls_count, 0);
    return client_calls[client_calls_count - 1].ticket;
}

/* It waits; the server is being asked. */
static const struct client_response *subscribe(const char *session)
{
    const struct client_response *response = client_legacy(session, ON);

    ck_assert_uint_eq(response->code, 0);
    client_served(feed());
    ck_assert_str_eq(client_input.wishes, "x://1 ");
    return response;
}

static void refuse(void)
{
    client_refused(feed(), "x://1", -32002, "no", "{\"uri\":\"x://1\"}");
}

static bool was_told(void)
{
    bool was;

    client_at(client_now.mono + 100 * MN_MS);
    was = strstr(stream->body, "notifications/resources/updated") != NULL;
    client_forget(stream->id);
    return was;
}

START_TEST(what_the_server_takes_is_confirmed_and_nothing_is_told)
{
    const struct client_response *response = subscribe(ann);

    client_taken(feed(), "x://1");
    ck_assert_str_eq(response->body, DONE);
    ck_assert_str_eq(client_legacy(bob, ON)->body, DONE); /* it is known */
    ck_assert(!was_told());
    client_updated(feed(), "x://1");
    ck_assert(was_told());
}
END_TEST

START_TEST(what_the_server_refuses_is_refused_as_it_says)
{
    const struct client_response *response = subscribe(ann);

    refuse();
    ck_assert_uint_eq(response->code, 200);
    ck_assert_str_eq(response->body, "{\"jsonrpc\":\"2.0\",\"id\":1," NO);
    ck_assert(client_calls[client_calls_count - 1].is_cancelled); /* nobody wants anything */
    response = subscribe(ann);                                    /* it is asked once more */
    client_taken(feed(), "x://1");
    ck_assert_str_eq(response->body, DONE);
}
END_TEST

START_TEST(all_who_wait_hear_the_same)
{
    const struct client_response *responses[] = {subscribe(ann), client_legacy(bob, ON),
                                                 client_legacy(ann, ON)};

    refuse();
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(strstr(responses[i]->body, NO));
}
END_TEST

/* Which is subscribed then, as far as its client knows. */
START_TEST(it_is_not_waited_for_for_ever)
{
    const struct client_response *response = subscribe(ann);

    client_at(client_now.mono + LIMIT - 1);
    ck_assert_str_eq(response->body, "");
    client_at(client_now.mono + 1);
    ck_assert_str_eq(response->body, DONE);
    ck_assert(!was_told());
    client_taken(feed(), "x://1");
    ck_assert(was_told());
    ck_assert(!was_told());
}
END_TEST

START_TEST(what_is_refused_late_is_asked_for_when_somebody_wants_it)
{
    const struct client_response *response;

    subscribe(ann);
    client_at(client_now.mono + LIMIT);
    refuse();
    client_legacy(ann, REQUEST("2", "subscribe", "x://2"));
    client_at(client_now.mono);
    ck_assert_str_eq(client_input.wishes, "x://2 ");
    response = client_legacy(bob, ON);
    client_at(client_now.mono);
    ck_assert_uint_eq(strlen(client_input.wishes), strlen("x://1 x://2 "));
    refuse();
    ck_assert_ptr_nonnull(strstr(response->body, NO));
    ck_assert(!was_told());
}
END_TEST

START_TEST(where_the_server_cannot_be_asked_nobody_waits)
{
    const struct client_response *response = subscribe(ann);

    client_failed(feed(), CALL_UNAVAILABLE, "the link is down");
    ck_assert_str_eq(response->body, DONE);
    ck_assert_str_eq(client_legacy(bob, ON)->body, DONE);
    client_at(client_now.mono + MN_SEC);
    client_served(feed());
    (void)was_told();
    client_taken(feed(), "x://1");
    ck_assert(was_told());
}
END_TEST

START_TEST(what_a_node_of_before_says_is_enough)
{
    const struct client_response *response = subscribe(ann);

    client_updated(feed(), "x://1");
    ck_assert_str_eq(response->body, DONE);
    ck_assert(!was_told());
}
END_TEST

START_TEST(who_unsubscribes_meanwhile_is_answered_twice)
{
    const struct client_response *response = subscribe(ann), *off;

    off = client_legacy(ann, REQUEST("2", "unsubscribe", "x://1"));
    ck_assert_str_eq(response->body, DONE);
    ck_assert_str_eq(off->body, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    client_taken(feed(), "x://1"); /* nobody wants it any more */
    ck_assert(!was_told());
}
END_TEST

START_TEST(who_does_not_wait_is_subscribed_nevertheless)
{
    const struct client_response *response = subscribe(ann);

    if (_i == 0)
        client_gone(response->id);
    else
        client_legacy(ann, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                           "\"params\":{\"requestId\":1}}");
    client_taken(feed(), "x://1");
    ck_assert(strstr(response->body, "result") == NULL);
    ck_assert(!was_told());
    client_updated(feed(), "x://1");
    ck_assert(was_told());
}
END_TEST

START_TEST(a_session_that_ends_meanwhile_leaves_nothing)
{
    const struct client_response *response = subscribe(bob);
    char line[400];

    snprintf(line, sizeof line, "mcp-session-id: %s", bob);
    client_send("DELETE", "/mcp", (const char *const[]){line, NULL}, NULL);
    ck_assert(response->is_ended);
    ck_assert(client_calls[client_calls_count - 1].is_cancelled);
    client_at(client_now.mono + LIMIT);
}
END_TEST

START_TEST(a_batch_has_all_answers)
{
    const struct client_response *response = client_legacy(
        bob, "[" ON "," REQUEST("2", "subscribe",
                                "x://2") ","
                                         "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}]");

    client_served(feed());
    client_taken(feed(), "x://2");
    ck_assert_str_eq(response->body, "");
    refuse();
    ck_assert_str_eq(response->body, "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}},"
                                     "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}},"
                                     "{\"jsonrpc\":\"2.0\",\"id\":1," NO "]");
}
END_TEST

/* Of a server that goes away before it has said anything. */
START_TEST(many_who_wait_are_answered_in_slices)
{
    const struct client_response *response;
    char body[8192];
    size_t size = 0;

    for (int i = 0; i < 40; i++)
        size += (size_t)snprintf(body + size, sizeof body - size,
                                 "%c" REQUEST("%d", "subscribe", "x://1%02d"), i == 0 ? '[' : ',',
                                 i, i);
    strcpy(body + size, "]");
    response = client_legacy(bob, body);
    client_failed(feed(), CALL_UNAVAILABLE, "the link is down");
    ck_assert_str_eq(response->body, "");
    ck_assert(front_deadline(client_front) <= client_now.mono);
    client_at(client_now.mono);
    ck_assert_ptr_nonnull(strstr(response->body, "{\"jsonrpc\":\"2.0\",\"id\":39,\"result\":{}}"));
}
END_TEST

/* Nobody lists it, so the one server was asked; until there was another that does. */
START_TEST(who_waits_moves_to_the_server_that_lists_the_resource_now)
{
    static const char *const listed[] = {"{\"uri\":\"x://9\",\"name\":\"9\"}", NULL};
    const struct client_response *response = client_legacy(ann, REQUEST("1", "subscribe", "x://9"));
    uint64_t guessed = feed();

    client_served(guessed);
    client_service_offer(
        "b", true,
        &(struct client_offer){.resources = listed,
                               .capabilities = "{\"resources\":{\"subscribe\":true}}"});
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    while (front_deadline(client_front) <= client_now.mono)
        client_at(client_now.mono);
    ck_assert_uint_ne(feed(), guessed);
    client_served(feed());
    ck_assert_str_eq(response->body, "");
    if (_i == 0) {
        client_refused(feed(), "x://9", -32002, "no", "{\"uri\":\"x://1\"}");
        ck_assert_ptr_nonnull(strstr(response->body, NO));
    } else {
        client_taken(feed(), "x://9");
        ck_assert_str_eq(response->body, DONE);
        ck_assert(!was_told());
    }
}
END_TEST

/* How many resources the last record has that was put; -1: none was. */
static int recorded(void)
{
    int count = -1;

    for (uint32_t i = 0; i < client_carries_count; i++) {
        const Meshnode__Record__Record *put = client_carries[i].packet->put;
        if (put == NULL) continue;
        const Meshnode__Record__Session *session =
            (const Meshnode__Record__Session *)(const void *)protobuf_c_message_unpack(
                &meshnode__record__session__descriptor, NULL, put->body.len, put->body.data);
        ck_assert_ptr_nonnull(session);
        count = (int)session->n_subscriptions;
        protobuf_c_message_free_unpacked((ProtobufCMessage *)(uintptr_t)session, NULL);
    }
    client_confirm_puts();
    client_carries_count = 0;
    return count;
}

START_TEST(other_nodes_hear_of_it_before_its_client_and_not_of_a_refusal)
{
    const struct client_response *response;

    client_nodes(2);
    (void)recorded();
    response = subscribe(ann);
    refuse();
    ck_assert_ptr_nonnull(strstr(response->body, NO));
    ck_assert_int_eq(recorded(), -1);
    response = subscribe(ann);
    ck_assert_int_eq(recorded(), -1);
    client_taken(feed(), "x://1");
    ck_assert_str_eq(response->body, "");
    ck_assert_int_eq(recorded(), 1);
    ck_assert_str_eq(response->body, DONE);
}
END_TEST

/* What it hears first has told it that it is subscribed. */
START_TEST(a_listen_is_told_to_look_once_the_server_has_taken_it)
{
    const struct client_response *listen = client_modern(
        "subscriptions/listen", NULL,
        "{\"notifications\":{\"resourceSubscriptions\":[\"x://1\"]}," MODERN_META("") "}");

    ck_assert_ptr_null(strstr(listen->body, "resources/updated"));
    client_taken(feed(), "x://1");
    ck_assert_ptr_nonnull(strstr(listen->body, "resources/updated"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_taken");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, what_the_server_takes_is_confirmed_and_nothing_is_told);
    tcase_add_test(tc, what_the_server_refuses_is_refused_as_it_says);
    tcase_add_test(tc, all_who_wait_hear_the_same);
    tcase_add_test(tc, it_is_not_waited_for_for_ever);
    tcase_add_test(tc, what_is_refused_late_is_asked_for_when_somebody_wants_it);
    tcase_add_test(tc, where_the_server_cannot_be_asked_nobody_waits);
    tcase_add_test(tc, what_a_node_of_before_says_is_enough);
    tcase_add_test(tc, who_unsubscribes_meanwhile_is_answered_twice);
    tcase_add_loop_test(tc, who_does_not_wait_is_subscribed_nevertheless, 0, 2);
    tcase_add_test(tc, a_session_that_ends_meanwhile_leaves_nothing);
    tcase_add_test(tc, a_batch_has_all_answers);
    tcase_add_test(tc, many_who_wait_are_answered_in_slices);
    tcase_add_loop_test(tc, who_waits_moves_to_the_server_that_lists_the_resource_now, 0, 2);
    tcase_add_test(tc, other_nodes_hear_of_it_before_its_client_and_not_of_a_refusal);
    tcase_add_test(tc, a_listen_is_told_to_look_once_the_server_has_taken_it);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
