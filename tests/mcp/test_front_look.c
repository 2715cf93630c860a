/* Subscriptions to resources when servers and views change: at which server they are then, and that
 * neither many of them nor changes that do not concern them hold up a step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_parts.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define RESOURCE(uri) "{\"uri\":\"" uri "\",\"name\":\"n\"}"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ALL (MCP_SUBSCRIPTIONS_MAX / 4) /* of one client */
#define ONE 1024u                       /* of one listen */
#define LOOKS_MAX 32u                   /* of one step */

static const char able[] = "{\"resources\":{\"subscribe\":true}}";
static uint32_t looks;

/* As the linker has it: see CMakeLists.txt. */
void __real_front_route_known(struct front *front, struct mn_span endpoint, struct mn_span uri,
                              size_t *effort, struct names_route *ret);
void __wrap_front_route_known(struct front *front, struct mn_span endpoint, struct mn_span uri,
                              size_t *effort, struct names_route *ret);
void __wrap_front_route_known(struct front *front, struct mn_span endpoint, struct mn_span uri,
                              size_t *effort, struct names_route *ret)
{
    looks++;
    __real_front_route_known(front, endpoint, uri, effort, ret);
}

static void offer(const char *name, const char *const *resources)
{
    client_service_offer(name, true,
                         &(struct client_offer){.resources = resources, .capabilities = able});
}

static void setup(void)
{
    client_setup();
    offer("a", LIST(RESOURCE("x://listed")));
    looks = 0;
}

/* A listen to "x://0", "x://1" and so on. */
static const struct client_response *listen_to(uint32_t count)
{
    char *params = malloc(64 * (size_t)count + 1024);
    size_t size = (size_t)sprintf(params, "{\"notifications\":{\"resourceSubscriptions\":[");
    const struct client_response *response;

    for (uint32_t i = 0; i < count; i++)
        size += (size_t)sprintf(params + size, "%s\"x://%u\"", i == 0 ? "" : ",", i);
    sprintf(params + size, "]}," MODERN_META("") "}");
    response = client_modern("subscriptions/listen", NULL, params);
    free(params);
    return response;
}

/* As many as one client may have. */
static void listen_to_all(void)
{
    client_is_unchecked = true;
    for (uint32_t i = 0; i <= ALL / ONE; i++)
        listen_to(ONE);
}

/* Until there is nothing to do at once: the most that one step looked at. */
static uint32_t settle(mn_time after)
{
    uint32_t most = 0, before;

    client_at(client_now.mono + after);
    most = looks;
    while (front_deadline(client_front) <= client_now.mono) {
        before = looks;
        client_at(client_now.mono);
        if (looks - before > most) most = looks - before;
    }
    return most;
}

static const struct client_call *call_to(const char *service)
{
    const struct client_call *found = NULL;

    for (uint32_t i = 0; i < client_calls_count; i++)
        if (strcmp(client_calls[i].service, service) == 0) found = &client_calls[i];
    return found;
}

static bool is_at(const char *service)
{
    const struct client_call *call = call_to(service);
    return call != NULL && !call->is_cancelled;
}

/* ---- at which server ---- */

START_TEST(who_guessed_moves_to_the_server_that_lists_it)
{
    const struct client_response *listen = listen_to(1);

    ck_assert(is_at("a"));
    client_forget(listen->id);
    offer("b", LIST(RESOURCE("x://0")));
    settle(0);
    ck_assert(is_at("a")); /* there may be more to come */
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("b"));
    ck_assert(!is_at("a"));
    ck_assert_ptr_nonnull(strstr(listen->body, "\"uri\":\"x://0\""));
    client_forget(listen->id);
    client_service_gone("b", false); /* nobody else lists it */
    settle(MCP_CHANGED_DELAY);
    offer("b", LIST(RESOURCE("x://0")));
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("b"));
    client_assert_body(listen, "");
}
END_TEST

START_TEST(what_two_servers_list_moves_when_one_is_left)
{
    listen_to(1);
    offer("b", LIST(RESOURCE("x://0")));
    offer("c", LIST(RESOURCE("x://0")));
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("a"));
    if (_i == 0)
        client_service_gone("c", false);
    else
        offer("c", LIST(RESOURCE("x://other")));
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("b"));
    ck_assert(!is_at("a"));
}
END_TEST

START_TEST(who_cannot_tell_of_updates_is_not_moved_to_until_it_can)
{
    listen_to(1);
    client_service_offer("b", true, &(struct client_offer){.resources = LIST(RESOURCE("x://0"))});
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("a"));
    offer("b", LIST(RESOURCE("x://0")));
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("b"));
}
END_TEST

/* ---- how much at once ---- */

START_TEST(what_others_offer_concerns_nobody)
{
    listen_to(ONE);
    offer("b", LIST(RESOURCE("y://0")));
    settle(MCP_CHANGED_DELAY);
    client_service_gone("b", false);
    settle(MCP_CHANGED_DELAY);
    ck_assert_uint_eq(looks, 0);
    offer("b", LIST(RESOURCE("x://7")));
    settle(MCP_CHANGED_DELAY);
    ck_assert_uint_eq(looks, 1);
    ck_assert(is_at("a") && is_at("b"));
}
END_TEST

START_TEST(many_are_looked_at_in_slices)
{
    listen_to_all();
    if (_i == 0)
        offer("a", LIST(RESOURCE("x://other")));
    else
        client_step(&(struct mcp_input){.type = MCP_IN_CURATION});
    ck_assert_uint_eq(looks, 0);
    ck_assert_uint_le(settle(MCP_CHANGED_DELAY), LOOKS_MAX);
    ck_assert_uint_eq(looks, ALL);
    settle(MN_SEC);
    ck_assert_uint_eq(looks, ALL);
}
END_TEST

/* Those of sixty listens are one list. */
START_TEST(many_of_one_resource_are_looked_at_in_slices)
{
    enum { COUNT = 60 };

    for (int i = 0; i < COUNT; i++)
        listen_to(1);
    offer("b", LIST(RESOURCE("x://0")));
    ck_assert_uint_le(settle(MCP_CHANGED_DELAY), LOOKS_MAX);
    ck_assert_uint_eq(looks, COUNT);
    ck_assert(is_at("b") && !is_at("a"));
}
END_TEST

START_TEST(what_happens_in_between_is_no_matter)
{
    uint64_t gone = listen_to(ONE)->id;

    listen_to(ONE);
    offer("b", LIST(RESOURCE("x://0"), RESOURCE("x://1023")));
    offer("a", LIST(RESOURCE("x://other")));
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    ck_assert_uint_lt(looks, ONE);
    client_gone(gone);
    listen_to(1);
    client_at(client_now.mono);
    client_service_gone("b", false); /* as it was, before all have been looked at */
    offer("c", LIST(RESOURCE("x://1023")));
    settle(MCP_CHANGED_DELAY);
    ck_assert(is_at("c") && is_at("a"));
}
END_TEST

START_TEST(a_change_in_the_middle_makes_no_step_longer)
{
    listen_to_all();
    offer("a", LIST(RESOURCE("x://other")));
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    offer("a", LIST(RESOURCE("x://listed")));
    looks = 0;
    ck_assert_uint_le(settle(MCP_CHANGED_DELAY), LOOKS_MAX);
}
END_TEST

/* A server that changes all the time, while the queue is never empty. */
START_TEST(who_is_noted_again_and_again_is_looked_at)
{
    listen_to(ONE);
    for (uint32_t i = 0; i < 2 * ONE / LOOKS_MAX; i++) {
        offer("a", LIST(RESOURCE("x://listed")));
        offer("b", LIST(RESOURCE("x://1023")));
        client_at(client_now.mono + MCP_CHANGED_DELAY);
    }
    ck_assert(is_at("b"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_look");
    TCase *servers = tcase_create("servers"), *slices = tcase_create("slices");

    client_config_reset();
    tcase_add_checked_fixture(servers, setup, client_teardown);
    tcase_add_test(servers, who_guessed_moves_to_the_server_that_lists_it);
    tcase_add_loop_test(servers, what_two_servers_list_moves_when_one_is_left, 0, 2);
    tcase_add_test(servers, who_cannot_tell_of_updates_is_not_moved_to_until_it_can);
    tcase_add_checked_fixture(slices, setup, client_teardown);
    tcase_add_test(slices, what_others_offer_concerns_nobody);
    tcase_add_loop_test(slices, many_are_looked_at_in_slices, 0, 2);
    tcase_add_test(slices, many_of_one_resource_are_looked_at_in_slices);
    tcase_add_test(slices, what_happens_in_between_is_no_matter);
    tcase_add_test(slices, a_change_in_the_middle_makes_no_step_longer);
    tcase_add_test(slices, who_is_noted_again_and_again_is_looked_at);
    suite_add_tcase(suite, servers);
    suite_add_tcase(suite, slices);
    return suite_run(suite);
}
