/* Streams that tell of changed lists: to whom, how often, and that many of them hold up no step. */
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/suite.h"

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"
#define LISTENERS 60u
#define TOLD_MAX 32u /* in one step */

static const char *const one[] = {TOOL("add"), NULL};
static const char *const two[] = {TOOL("echo"), NULL};

static void setup(void)
{
    client_setup();
    client_service("srv", true, one);
}

#define LISTEN_PARAMS "{\"notifications\":{\"toolsListChanged\":true,\"x\":1}," MODERN_META("") "}"
#define ACKNOWLEDGED                                                       \
    "event: message\ndata: {\"jsonrpc\":\"2.0\","                          \
    "\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{" \
    "\"notifications\":{\"toolsListChanged\":true},"                       \
    "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}\n\n"
#define CHANGED                                                                                   \
    "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"," \
    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}\n\n"

static void settle(void)
{
    client_at(client_now.mono + 100 * MN_MS);
}

START_TEST(listeners_are_told_once_per_change)
{
    const struct client_response *response;

    settle();
    response = client_modern("subscriptions/listen", NULL, LISTEN_PARAMS);
    ck_assert_str_eq(response->type, "text/event-stream");
    client_assert_body(response, ACKNOWLEDGED);
    client_service("b", true, two);
    client_service("c", true, two);
    client_assert_body(response, ACKNOWLEDGED);
    settle();
    client_assert_body(response, ACKNOWLEDGED CHANGED);
    client_service_gone("b", false);
    settle();
    client_assert_body(response, ACKNOWLEDGED CHANGED CHANGED);
    ck_assert(!response->is_ended);
}
END_TEST

START_TEST(listeners_are_not_told_when_their_list_is_the_same)
{
    const struct client_response *response;

    settle();
    response = client_modern("subscriptions/listen", NULL, LISTEN_PARAMS);
    client_service("hidden", false, two);
    settle();
    client_service("b", true, two);
    client_service_gone("b", false);
    settle();
    client_service("srv", true, one);
    settle();
    client_assert_body(response, ACKNOWLEDGED);
}
END_TEST

START_TEST(a_listener_that_wants_nothing_hears_nothing)
{
    const struct client_response *response =
        client_modern("subscriptions/listen", NULL,
                      "{\"notifications\":{\"toolsListChanged\":false}," MODERN_META("") "}");

    ck_assert_ptr_nonnull(strstr(response->body, "{\"notifications\":{},"));
    client_forget(response->id);
    client_service_gone("srv", false);
    settle();
    client_assert_body(response, "");
}
END_TEST

START_TEST(listening_ends_with_the_connection_or_the_node)
{
    uint64_t gone = client_modern("subscriptions/listen", NULL, LISTEN_PARAMS)->id;
    const struct client_response *response =
        client_modern("subscriptions/listen", NULL, LISTEN_PARAMS);

    client_gone(gone);
    client_forget(gone);
    client_step(&(struct mcp_input){.type = MCP_IN_STOP});
    client_assert_body(client_response(gone), "");
    client_assert_body(response, ACKNOWLEDGED
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{"
                       "\"resultType\":\"complete\",\"_meta\":{"
                       "\"io.modelcontextprotocol/subscriptionId\":1}}}\n\n");
    ck_assert(response->is_ended);
    ck_assert(front_is_idle(client_front));
    ck_assert_uint_eq(client_modern("tools/list", NULL, "{" MODERN_META("") "}")->code, 503);
}
END_TEST

/* ---- many ---- */

static uint64_t listeners[LISTENERS];

static void listen_all(void)
{
    settle();
    for (uint32_t i = 0; i < LISTENERS; i++)
        listeners[i] = client_modern("subscriptions/listen", NULL, LISTEN_PARAMS)->id;
}

/* How many have heard of a change since they were last looked at. */
static uint32_t told(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < LISTENERS; i++) {
        count += strstr(client_response(listeners[i])->body, CHANGED) != NULL;
        client_forget(listeners[i]);
    }
    return count;
}

/* Steps until there is nothing to do at once; how many heard in them, [TOLD_MAX] in each at most.
 */
static uint32_t told_in_slices(void)
{
    uint32_t all = 0, now;

    while (front_deadline(client_front) <= client_now.mono) {
        client_at(client_now.mono);
        now = told();
        ck_assert_uint_le(now, TOLD_MAX);
        all += now;
    }
    return all;
}

START_TEST(many_are_told_in_slices)
{
    uint32_t first;

    listen_all();
    client_service("b", true, two);
    settle();
    first = told();
    ck_assert_uint_eq(first, TOLD_MAX);
    ck_assert_uint_eq(first + told_in_slices(), LISTENERS);
    settle();
    ck_assert_uint_eq(told(), 0);
}
END_TEST

static uint32_t count_changes(uint64_t id)
{
    const char *at = client_response(id)->body;
    uint32_t count = 0;

    while ((at = strstr(at, CHANGED)) != NULL) {
        at += strlen(CHANGED);
        count++;
    }
    return count;
}

/* Who was told of the first change hears of the second; who was not yet, of both at once. One that
 * is gone in between, and one that comes, are no matter. */
START_TEST(a_change_in_between_is_told_to_all)
{
    uint64_t late;
    uint32_t twice = 0;

    listen_all();
    client_service("b", true, two);
    settle();
    client_service("c", true, two);
    client_gone(listeners[0]);
    late = client_modern("subscriptions/listen", NULL, LISTEN_PARAMS)->id;
    settle();
    while (front_deadline(client_front) <= client_now.mono)
        client_at(client_now.mono);
    for (uint32_t i = 1; i < LISTENERS; i++) {
        ck_assert_uint_ge(count_changes(listeners[i]), 1);
        ck_assert_uint_le(count_changes(listeners[i]), 2);
        twice += count_changes(listeners[i]) == 2;
    }
    ck_assert_uint_eq(twice, TOLD_MAX - 1);
    client_assert_body(client_response(late), ACKNOWLEDGED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_stream");
    TCase *tcase = tcase_create("front_stream");

    client_config_reset();
    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, listeners_are_told_once_per_change);
    tcase_add_test(tcase, listeners_are_not_told_when_their_list_is_the_same);
    tcase_add_test(tcase, a_listener_that_wants_nothing_hears_nothing);
    tcase_add_test(tcase, listening_ends_with_the_connection_or_the_node);
    tcase_add_test(tcase, many_are_told_in_slices);
    tcase_add_test(tcase, a_change_in_between_is_told_to_all);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
