/* Meshes that are attached to each other: whoever would close the circle is refused. We are 07.. */
#include <stdio.h>
#include <string.h>

#include "node/mcp/wire/trail.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define US "07000000-0000-0000-0000-000000000000"
#define SMALLER "05000000-0000-0000-0000-000000000000"
#define LARGER "09000000-0000-0000-0000-000000000000"
#define STRANGER "0b000000-0000-0000-0000-000000000000"
#define TOOL "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}"
#define DISCOVER "server/discover"
#define LIST "tools/list"

static const char *const tools[] = {TOOL, NULL};
static uint8_t behind[2][16] = {{0}};

/* It is a node of that mesh, behind which the other one is. */
static void lead(Meshnode__Gateway__Offer *offer)
{
    static ProtobufCBinaryData meshes[] = {{16, behind[0]}, {3, behind[0]}, {16, behind[1]}};

    offer->n_meshes = 3;
    offer->meshes = meshes;
}

static void attach(uint8_t mesh, uint8_t other)
{
    behind[0][0] = mesh;
    behind[1][0] = other;
    client_service_offer("x", true, &(struct client_offer){.tools = tools, .amend = lead});
}

static void setup(void)
{
    client_setup();
    client_service("own", true, tools);
}

static const struct client_response *ask(const char *target, const char *method, const char *trail)
{
    char lines[2][256], body[256];
    const char *headers[] = {"mcp-protocol-version: 2026-07-28", lines[0], lines[1], NULL};

    snprintf(lines[0], sizeof lines[0], "mcp-method: %s", method);
    if (trail != NULL)
        snprintf(lines[1], sizeof lines[1], "meshnode-trail: %s", trail);
    else
        headers[2] = NULL;
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{" MODERN_META("") "}}",
             method);
    return client_send("POST", target, headers, body);
}

static bool is_refused(const struct client_response *response)
{
    if (strstr(response->body, "\"result\"") != NULL) return false;
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32600"));
    ck_assert_ptr_nonnull(strstr(response->body, "attached to"));
    ck_assert_str_eq(response->meshes, "");
    return true;
}

START_TEST(other_meshes_are_told_what_is_behind_this_one)
{
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, US);
    attach(5, 9);
    ck_assert_str_eq(ask("/mcp", DISCOVER, STRANGER)->meshes, US "," SMALLER "," LARGER);
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, US "," SMALLER "," LARGER);
    ck_assert_str_eq(ask("/mcp/servers/x", LIST, STRANGER)->meshes, SMALLER "," LARGER);
    ck_assert_str_eq(ask("/mcp/servers/own", LIST, STRANGER)->meshes, "");
    ck_assert_str_eq(ask("/mcp", LIST, NULL)->meshes, "");
    ck_assert_str_eq(ask("/mcp", LIST, "no id")->meshes, "");
}
END_TEST

/* Or what two nodes of another mesh offer of us would not be replicas of each other. */
START_TEST(all_nodes_say_the_same_of_what_is_behind_them)
{
    static const char all[] = US "," SMALLER "," LARGER;

    attach(9, 5);
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, all);
    attach(9, 7);
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, US "," LARGER);
    behind[0][0] = behind[1][0] = 5;
    client_service_offer("a", true, &(struct client_offer){.tools = tools, .amend = lead});
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, all);
    client_service_gone("x", false);
    attach(9, 9);
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, all);
}
END_TEST

/* The smallest, whoever was there first. */
START_TEST(of_too_many_meshes_the_same_are_said_by_all)
{
    char all[TRAIL_MAX * 40] = US;

    for (int i = 60; i > 30; i -= 2) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        behind[0][0] = (uint8_t)i;
        behind[1][0] = (uint8_t)(i - 1);
        client_service_offer(name, true, &(struct client_offer){.tools = tools, .amend = lead});
    }
    for (int i = 31; i < 31 + TRAIL_MAX - 1; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all),
                 ",%02x000000-0000-0000-0000-000000000000", i);
    ck_assert_str_eq(ask("/mcp", LIST, STRANGER)->meshes, all);
}
END_TEST

START_TEST(a_mesh_that_this_one_is_attached_to_cannot_attach_it)
{
    ck_assert(!is_refused(ask("/mcp", DISCOVER, LARGER)));
    attach(9, 5);
    ck_assert(is_refused(ask("/mcp", DISCOVER, LARGER)));
    ck_assert(is_refused(ask("/mcp", DISCOVER, SMALLER)));
    ck_assert(is_refused(ask("/mcp", DISCOVER, STRANGER "," LARGER)));
    ck_assert(is_refused(ask("/mcp/servers/x", DISCOVER, LARGER)));
    ck_assert(!is_refused(ask("/mcp/servers/own", DISCOVER, LARGER)));
    ck_assert(!is_refused(ask("/mcp", DISCOVER, STRANGER)));
    ck_assert(!is_refused(ask("/mcp", DISCOVER, NULL)));
    client_service_gone("x", false);
    ck_assert(!is_refused(ask("/mcp", DISCOVER, LARGER)));
}
END_TEST

/* Both were let in; one of the two lists is refused. */
START_TEST(of_a_circle_that_is_closed_one_list_is_refused)
{
    attach(9, 5);
    ck_assert(is_refused(ask("/mcp", LIST, LARGER)));
    ck_assert(!is_refused(ask("/mcp", LIST, SMALLER)));
}
END_TEST

START_TEST(a_mesh_cannot_be_attached_to_itself)
{
    ck_assert(is_refused(ask("/mcp", LIST, US)));
    ck_assert(is_refused(ask("/mcp", LIST, STRANGER ", " US)));
    ck_assert(is_refused(ask("/mcp/servers/own", DISCOVER, US)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_loop");
    TCase *tcase = tcase_create("front_loop");

    client_config_reset();
    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, other_meshes_are_told_what_is_behind_this_one);
    tcase_add_test(tcase, all_nodes_say_the_same_of_what_is_behind_them);
    tcase_add_test(tcase, of_too_many_meshes_the_same_are_said_by_all);
    tcase_add_test(tcase, a_mesh_that_this_one_is_attached_to_cannot_attach_it);
    tcase_add_test(tcase, of_a_circle_that_is_closed_one_list_is_refused);
    tcase_add_test(tcase, a_mesh_cannot_be_attached_to_itself);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
