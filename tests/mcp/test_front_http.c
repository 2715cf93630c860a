/* What is judged before a message is: where from, who, which path, how much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rng.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                    NULL};
static const uint8_t seed[RNG_SEED_SIZE] = "another seed, for guarded fronts";
static const char secret_a[] = "0123456789abcdef0123456789abcdef-A";
static const char secret_b[] = "0123456789abcdef0123456789abcdef-B";

static void setup_open(void)
{
    client_setup();
    client_service("srv", true, tools);
}

static void setup_guarded(void)
{
    static struct mn_span bearers[2], hosts[2];

    bearers[0] = mn_span_str(secret_a);
    bearers[1] = mn_span_str(secret_b);
    hosts[0] = mn_span_str("mesh.example.com");
    hosts[1] = mn_span_str("[2001:db8::1]:7080");
    client_config = (struct mcp_config){.self = {{1}},
                                        .seed = seed,
                                        .bearers = bearers,
                                        .bearers_count = 2,
                                        .hosts = hosts,
                                        .hosts_count = 2};
    setup_open();
}

#define INITIALIZE                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{" \
    "\"protocolVersion\":\"2025-06-18\"}}"

static uint32_t code_with(const char *a, const char *b)
{
    const char *const headers[] = {a, a == NULL ? NULL : b, NULL};
    return client_send("POST", "/mcp", headers, INITIALIZE)->code;
}

START_TEST(host_must_name_this_machine)
{
    static const char *const good[] = {"host: localhost", "host: LOCALHOST:1",
                                       "host: 127.0.0.1:7080", "host: [::1]:7080", "host: [::1]"};
    static const char *const bad[] = {"host:",
                                      "host: ",
                                      "host: evil.example",
                                      "host: localhost.evil",
                                      "host: 127.0.0.1.evil",
                                      "host: localhost:",
                                      "host: :80",
                                      "host: localhost:80x",
                                      "host: [::1",
                                      "host: [::1]x",
                                      "host: localhost:1:2",
                                      "host: ::1",
                                      "host: localhost@evil"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(code_with(good[i], NULL) == 200, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(code_with(bad[i], NULL) == 403, "%s", bad[i]);
}
END_TEST

START_TEST(origin_must_be_absent_or_ours)
{
    static const char *const good[] = {"origin: http://localhost:3000", "origin: https://127.0.0.1",
                                       "origin: HTTP://[::1]:9"};
    static const char *const bad[] = {"origin: null",
                                      "origin: http://evil.example",
                                      "origin: localhost",
                                      "origin: file://localhost",
                                      "origin: http://localhost/x",
                                      "origin: "};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(code_with(good[i], NULL) == 200, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(code_with(bad[i], NULL) == 403, "%s", bad[i]);
    ck_assert_uint_eq(code_with(good[0], bad[1]), 403);
}
END_TEST

START_TEST(what_is_compared_with_the_body_says_one_thing)
{
    ck_assert_uint_eq(code_with("mcp-method: a", "mcp-method: b"), 400);
    ck_assert_uint_eq(code_with("mcp-session-id: a", "mcp-session-id: a"), 400);
    ck_assert_uint_eq(code_with("x-other: a", "x-other: b"), 200);
}
END_TEST

START_TEST(configured_hosts_are_ours_too)
{
    const char *auth = "authorization: Bearer 0123456789abcdef0123456789abcdef-A";

    ck_assert_uint_eq(code_with("host: mesh.example.com:9", auth), 200);
    ck_assert_uint_eq(code_with("host: Mesh.Example.Com", auth), 200);
    ck_assert_uint_eq(code_with("host: [2001:db8::1]:7080", auth), 200);
    ck_assert_uint_eq(code_with("host: [2001:db8::1]:7081", auth), 403);
    ck_assert_uint_eq(code_with("host: x.mesh.example.com", auth), 403);
    ck_assert_uint_eq(code_with("origin: https://mesh.example.com", auth), 200);
}
END_TEST

START_TEST(a_configured_secret_must_be_brought)
{
    static const char *const bad[] = {
        NULL,
        "authorization: Bearer",
        "authorization: Bearer ",
        "authorization: Bearer 0123456789abcdef0123456789abcdef-C",
        "authorization: Bearer 0123456789abcdef0123456789abcdef",
        "authorization: Basic 0123456789abcdef0123456789abcdef-A",
        "authorization: 0123456789abcdef0123456789abcdef-A",
    };

    ck_assert_uint_eq(code_with("authorization: Bearer 0123456789abcdef0123456789abcdef-A", NULL),
                      200);
    ck_assert_uint_eq(code_with("authorization: bearer 0123456789abcdef0123456789abcdef-B", NULL),
                      200);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const headers[] = {bad[i], NULL};
        const struct client_response *response = client_send("POST", "/mcp", headers, INITIALIZE);
        ck_assert_uint_eq(response->code, 401);
        ck_assert_str_eq(response->authenticate, "Bearer");
        ck_assert(response->is_ended);
    }
}
END_TEST

START_TEST(a_session_is_no_proof_of_who_asks)
{
    char line[400];
    const char *const a[] = {"authorization: Bearer 0123456789abcdef0123456789abcdef-A", NULL};
    const char *const b[] = {"authorization: Bearer 0123456789abcdef0123456789abcdef-B", line,
                             NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s",
             client_send("POST", "/mcp", a, INITIALIZE)->session);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", b, NULL)->code, 404);
    ck_assert_uint_eq(
        client_send("POST", "/mcp", b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}")->code,
        404);
}
END_TEST

START_TEST(the_admin_socket_needs_no_secret)
{
    struct edge_header headers[] = {{mn_span_str("content-type"), mn_span_str("application/json")}};
    struct edge_http_request http = {.listener = EDGE_LISTENER_ADMIN,
                                     .method = mn_span_str("POST"),
                                     .target = mn_span_str("/mcp"),
                                     .uid = 1000,
                                     .headers = headers,
                                     .headers_count = 1};
    struct edge_input input = {.type = EDGE_IN_HTTP_OPEN, .id = 999, .http = &http};

    client_step(&(struct mcp_input){.type = MCP_IN_EDGE, .edge = &input});
    client_body(999, INITIALIZE, strlen(INITIALIZE), true);
    ck_assert_uint_eq(client_response(999)->code, 200);
}
END_TEST

START_TEST(paths_and_methods)
{
    static const struct {
        const char *method, *target;
        uint32_t code;
    } table[] = {{"POST", "/", 404},
                 {"POST", "/mcpx", 404},
                 {"POST", "/mcp//", 404},
                 {"POST", "/mcp/", 200},
                 {"POST", "/mcp/?token=x", 200},
                 {"POST", "/mcp/servers/srv/", 200},
                 {"POST", "/mcp/servers/srv//", 404},
                 {"POST", "/mcp/views/", 404},
                 {"POST", "/mcp/servers", 404},
                 {"POST", "/mcp/servers/", 404},
                 {"POST", "/mcp/servers/a/b", 404},
                 {"POST", "/mcp/servers/none", 404},
                 {"POST", "", 404},
                 {"PUT", "/mcp", 405},
                 {"OPTIONS", "/mcp", 405},
                 {"HEAD", "/mcp", 405},
                 {"POST", "/mcp?token=x", 200},
                 {"POST", "/mcp/servers/srv", 200}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(client_send(table[i].method, table[i].target, NULL, INITIALIZE)->code ==
                          table[i].code,
                      "%s %s", table[i].method, table[i].target);
}
END_TEST

START_TEST(content_types_and_accept)
{
    static const struct {
        const char *header;
        uint32_t code;
    } table[] = {{"content-type: Application/JSON; charset=utf-8", 200},
                 {"content-type:", 415},
                 {"content-type: text/plain", 415},
                 {"content-type: application/jsonx", 415},
                 {"accept:", 200},
                 {"accept: */*", 200},
                 {"accept: text/*, application/*;q=0.5", 200},
                 {"accept: application/json,text/event-stream", 200},
                 {"accept: application/json", 406},
                 {"accept: text/event-stream", 406},
                 {"accept: ", 406},
                 {"accept: text/html", 406}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(code_with(table[i].header, NULL) == table[i].code, "%s", table[i].header);
}
END_TEST

START_TEST(a_get_must_take_events)
{
    const char *const headers[] = {"accept: application/json", NULL};
    ck_assert_uint_eq(client_send("GET", "/mcp", headers, NULL)->code, 406);
}
END_TEST

START_TEST(a_body_may_come_in_pieces)
{
    uint64_t id = client_open("POST", "/mcp", NULL);
    const char *body = INITIALIZE;

    for (; body[1] != 0; body++)
        client_body(id, body, 1, false);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_body(id, body, 1, false);
    client_body(id, "", 0, true);
    ck_assert_uint_eq(client_response(id)->code, 200);
}
END_TEST

START_TEST(too_large_bodies_are_refused_at_once_or_when_they_grow)
{
    const char *const headers[] = {"content-length: 16777217", NULL};
    const char *const endless[] = {"content-length: 99999999999999999999999999", NULL};
    static char block[1048576];
    uint64_t id;

    ck_assert_uint_eq(client_response(client_open("POST", "/mcp", headers))->code, 413);
    ck_assert_uint_eq(client_response(client_open("POST", "/mcp", endless))->code, 413);
    memset(block, ' ', sizeof block);
    id = client_open("POST", "/mcp", NULL);
    for (int i = 0; i < 16; i++)
        client_body(id, block, sizeof block, false);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_body(id, " ", 1, false);
    ck_assert_uint_eq(client_response(id)->code, 413);
    client_body(id, " ", 1, true); /* late bytes of an exchange that is answered */
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(unfinished_bodies_are_bounded_together)
{
    static char block[1048576];
    uint64_t id = 0;

    memset(block, ' ', sizeof block);
    for (int i = 0; i < 17; i++) {
        id = client_open("POST", "/mcp", NULL);
        for (int k = 0; k < 16; k++)
            client_body(id, block, sizeof block, false);
    }
    ck_assert_uint_eq(client_response(id)->code, 503);
}
END_TEST

START_TEST(a_client_that_leaves_in_the_middle_leaves_nothing)
{
    uint64_t id = client_open("POST", "/mcp", NULL);

    client_body(id, "{", 1, false);
    client_gone(id);
    client_body(id, "}", 1, true);
    client_gone(id);
    ck_assert_uint_eq(client_response(id)->code, 0);
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(deep_json_is_refused_with_its_reason)
{
    char body[600];
    const struct client_response *response;

    memset(body, '[', 250);
    memset(body + 250, ']', 250);
    body[500] = 0;
    response = client_send("POST", "/mcp", NULL, body);
    ck_assert_uint_eq(response->code, 400);
    ck_assert_ptr_nonnull(strstr(response->body, "deeper than 128"));
    response = client_send("POST", "/mcp", NULL, "{\"a\": nope}");
    ck_assert_ptr_nonnull(strstr(response->body, "not JSON in UTF-8 (at byte 6)"));
}
END_TEST

START_TEST(headers_we_keep_are_bounded)
{
    static char line[70000] = "mcp-param-x: ";
    const char *const headers[] = {line, NULL};

    memset(line + strlen(line), 'a', sizeof line - strlen(line) - 1);
    ck_assert_uint_eq(client_response(client_open("POST", "/mcp", headers))->code, 431);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_http");
    TCase *open = tcase_create("open"), *guarded = tcase_create("guarded");

    tcase_add_checked_fixture(open, setup_open, client_teardown);
    tcase_add_test(open, host_must_name_this_machine);
    tcase_add_test(open, origin_must_be_absent_or_ours);
    tcase_add_test(open, what_is_compared_with_the_body_says_one_thing);
    tcase_add_test(open, paths_and_methods);
    tcase_add_test(open, content_types_and_accept);
    tcase_add_test(open, a_get_must_take_events);
    tcase_add_test(open, a_body_may_come_in_pieces);
    tcase_add_test(open, too_large_bodies_are_refused_at_once_or_when_they_grow);
    tcase_add_test(open, unfinished_bodies_are_bounded_together);
    tcase_add_test(open, a_client_that_leaves_in_the_middle_leaves_nothing);
    tcase_add_test(open, deep_json_is_refused_with_its_reason);
    tcase_add_test(open, headers_we_keep_are_bounded);
    tcase_add_checked_fixture(guarded, setup_guarded, client_teardown);
    tcase_add_test(guarded, configured_hosts_are_ours_too);
    tcase_add_test(guarded, a_configured_secret_must_be_brought);
    tcase_add_test(guarded, a_session_is_no_proof_of_who_asks);
    tcase_add_test(guarded, the_admin_socket_needs_no_secret);
    suite_add_tcase(suite, open);
    suite_add_tcase(suite, guarded);
    return suite_run(suite);
}
