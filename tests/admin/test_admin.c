/* Scripted exchanges with a real core: paths, who may do what, and the exact JSON. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/admin/admin_internal.h"
#include "tests/admin/admin_world.h"
#include "tests/suite.h"

static struct mn_arena arena;

static void begin_founder(void)
{
    operator_begin(1);
}

static void begin_pair(void)
{
    operator_begin(2);
}

static void begin_three(void)
{
    operator_begin(3);
}

static void end(void)
{
    operator_end();
    mn_arena_done(&arena);
}

static const char *id_text(const mn_id *id)
{
    char text[MN_ID_TEXT_SIZE];
    return mn_arena_format(&arena, "%s", mn_id_format(id, text));
}

static const char *error_text(const char *code, const char *message, const char *hint,
                              bool is_retryable)
{
    return mn_arena_format(
        &arena,
        "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"hint\":\"%s\",\"retryable\":%s}}\n", code,
        message, hint, is_retryable ? "true" : "false");
}

/* ---- paths and methods ---- */

START_TEST(a_path_that_is_none_says_where_mcp_is)
{
    ck_assert_str_eq(ask("GET", "/", NULL),
                     error_text("not_found", "no such path on this node",
                                "MCP clients connect to /mcp; see docs/API.md for the rest",
                                false));
    ck_assert_uint_eq(operator_code(operator_last), 404);
    ck_assert_str_eq(operator_header(operator_last, "content-type"), "application/json");
    ask("GET", "/v1", NULL);
    assert_refused(404, "not_found");
    ask("GET", "/v1/nodes/", NULL);
    assert_refused(404, "not_found");
    ask("GET", "/v1/servers/a/b/logs", NULL);
    assert_refused(404, "not_found");
    ask("GET", "", NULL);
    assert_refused(404, "not_found");
}
END_TEST

START_TEST(another_method_hears_which_there_are)
{
    ask("PUT", "/v1/servers", NULL);
    assert_refused(405, "method_not_allowed");
    ck_assert_str_eq(operator_header(operator_last, "allow"), "GET, POST");
    ask("PATCHPATCHPATCH", "/healthz", NULL);
    assert_refused(405, "method_not_allowed");
    ck_assert_str_eq(operator_header(operator_last, "allow"), "GET");
}
END_TEST

START_TEST(a_parameter_that_is_none_is_refused)
{
    ck_assert_str_eq(ask("GET", "/v1/events?folow=1", NULL),
                     error_text("bad_request", "this path takes no parameter \\\"folow\\\"",
                                "see docs/API.md", false));
    ask("GET", "/v1/nodes?token=mna1-secret", NULL);
    assert_refused(400, "bad_request");
    ask("GET", "/v1/nodes?&&", NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
    ask("GET", "/v1/events?follow", NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

START_TEST(names_in_paths_are_percent_encoded)
{
    operator_gateways[ADMIN_GATEWAY_SERVER].status = MN_NOT_FOUND;
    ask("GET", "/v1/servers/a%20b%2Fc%c3%a9", NULL);
    assert_refused(404, "not_found");
    ck_assert_str_eq(operator_asked.name, "a b/c\xc3\xa9");
    for (size_t i = 0; i < 4; i++) {
        static const char *const bad[] = {"/v1/servers/a%", "/v1/servers/a%2", "/v1/servers/%zz",
                                          "/v1/servers/%00"};
        ask("GET", bad[i], NULL);
        assert_refused(400, "bad_request");
    }
    ask("GET", "/v1/tools?find=%g1", NULL);
    assert_refused(400, "bad_request");
}
END_TEST

START_TEST(paths_bodies_and_exchanges_are_bounded)
{
    static char path[ADMIN_PATH_MAX + 2], body[ADMIN_BODY_MAX + 2];
    uint64_t first;

    memset(path, 'a', ADMIN_PATH_MAX + 1);
    path[0] = '/';
    ask("GET", path, NULL);
    assert_refused(414, "bad_request");
    memset(body, ' ', ADMIN_BODY_MAX + 1);
    ask("POST", "/v1/tokens", body);
    assert_refused(413, "too_big");
    first = operator_open(&(struct operator_request){.method = "GET", .target = "/healthz"});
    for (int i = 1; i < ADMIN_EXCHANGES_MAX; i++)
        operator_open(&(struct operator_request){.method = "GET", .target = "/healthz"});
    ask("GET", "/healthz", NULL);
    assert_refused(503, "busy");
    assert_has(operator_body(operator_last), "\"retryable\":true");
    operator_edge(EDGE_IN_HTTP_GONE, first, NULL, false);
    ask("GET", "/healthz", NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

START_TEST(a_body_in_pieces_is_one)
{
    uint64_t exchange = operator_open(
        &(struct operator_request){.method = "POST", .target = "/v1/servers", .body = "{}"});

    operator_edge(EDGE_IN_HTTP_BODY, exchange, "{\"s\":{\"comm", false);
    operator_edge(EDGE_IN_HTTP_BODY, exchange, "and\":\"x\"}}", false);
    ck_assert_uint_eq(operator_code(exchange), 0);
    operator_edge(EDGE_IN_HTTP_BODY, exchange, NULL, true);
    ck_assert_uint_eq(operator_code(exchange), 200);
    ck_assert_str_eq(operator_asked.text, "{\"s\":{\"command\":\"x\"}}");
}
END_TEST

START_TEST(what_comes_after_the_answer_is_ignored)
{
    uint64_t exchange;

    ask("GET", "/healthz", NULL);
    exchange = operator_last;
    operator_edge(EDGE_IN_HTTP_BODY, exchange, "more", true);
    operator_edge(EDGE_IN_HTTP_WRITABLE, exchange, NULL, false);
    operator_edge(EDGE_IN_HTTP_GONE, exchange, NULL, false);
    operator_edge(EDGE_IN_HTTP_GONE, exchange, NULL, false);
    ck_assert_str_eq(operator_body(exchange), "{\"live\":true}\n");
}
END_TEST

/* ---- who may ---- */

static const char *over_http(const char *target, const char *host, const char *origin)
{
    return ask_with(&(struct operator_request){.listener = EDGE_LISTENER_HTTP,
                                               .method = "GET",
                                               .target = target,
                                               .host = host,
                                               .origin = origin});
}

static void begin_again(struct admin_config config)
{
    operator_end();
    world_begin();
    world_start(0, &(struct world_config){.seed_node = -1});
    world_run(100 * MN_MS);
    operator_begin_with(0, config);
}

START_TEST(v1_over_http_wants_a_token_that_there_is_not)
{
    over_http("/v1/nodes", "localhost:7080", NULL);
    assert_refused(401, "not_allowed");
    ck_assert_str_eq(operator_header(operator_last, "www-authenticate"), "Bearer");
    over_http("/v1/there/is/no/such/path", "localhost", NULL); /* nobody learns which there are */
    assert_refused(401, "not_allowed");
    assert_has(operator_body(operator_last), "needs an API token");
    ask_with(&(struct operator_request){.listener = EDGE_LISTENER_HTTP,
                                        .method = "GET",
                                        .target = "/v1/nodes",
                                        .host = "localhost",
                                        .bearer = "Bearer mna1-of-another-node"});
    assert_refused(401, "not_allowed");
    assert_has(operator_body(operator_last), "this node knows no such API token");
    ck_assert_uint_eq(operator_asked.count, 0);
}
END_TEST

START_TEST(dev_needs_none_on_loopback)
{
    begin_again((struct admin_config){.is_dev = true});
    over_http("/v1/version", "127.0.0.1", NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
    ask_with(&(struct operator_request){.listener = EDGE_LISTENER_HTTP,
                                        .is_remote = true,
                                        .method = "GET",
                                        .target = "/v1/version",
                                        .host = "127.0.0.1"});
    assert_refused(401, "not_allowed");
}
END_TEST

START_TEST(pages_of_a_browser_are_refused)
{
    over_http("/healthz", "rebound.example", NULL); /* says nothing: any Host will do */
    ck_assert_uint_eq(operator_code(operator_last), 200);
    over_http("/readyz", NULL, "https://evil.example");
    ck_assert_uint_eq(operator_code(operator_last), 200);
    over_http("/healthz?x", "rebound.example", NULL);
    assert_refused(403, "not_allowed");
    over_http("/v1/nodes", "rebound.example", NULL);
    assert_refused(403, "not_allowed");
    over_http("/v1/nodes", NULL, NULL);
    assert_refused(403, "not_allowed");
    over_http("/v1/nodes", "localhost", "https://evil.example");
    assert_refused(403, "not_allowed");
    over_http("/v1/nodes", "localhost", "http://localhost:3000");
    assert_refused(401, "not_allowed");
}
END_TEST

START_TEST(configured_hosts_are_its_own)
{
    const struct mn_span hosts[] = {mn_span_str("mesh.example"), mn_span_str("n1:7080")};

    begin_again((struct admin_config){.is_dev = true, .hosts = hosts, .hosts_count = 2});
    over_http("/v1/version", "mesh.example:1", "https://MESH.example");
    ck_assert_uint_eq(operator_code(operator_last), 200);
    over_http("/v1/version", "n1:7080", NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
    over_http("/v1/version", "n1:7081", NULL);
    assert_refused(403, "not_allowed");
}
END_TEST

/* ---- the node ---- */

START_TEST(version_health_and_readiness)
{
    ck_assert_str_eq(ask("GET", "/v1/version", NULL),
                     "{\"api\":\"meshctl/v1\",\"kind\":\"Version\",\"node\":\"0.1.0\"}\n");
    ck_assert_str_eq(ask("GET", "/healthz", NULL), "{\"live\":true}\n");
    ck_assert_str_eq(ask("GET", "/readyz", NULL), "{\"ready\":true}\n");
    ck_assert_uint_eq(operator_code(operator_last), 200);
    operator_stop();
    ck_assert_str_eq(ask("GET", "/readyz", NULL), "{\"ready\":false,\"why\":\"it is stopping\"}\n");
    ck_assert_uint_eq(operator_code(operator_last), 503);
    ck_assert_str_eq(ask("GET", "/healthz", NULL), "{\"live\":true}\n");
}
END_TEST

START_TEST(who_has_not_joined_is_not_ready)
{
    operator_end();
    world_begin();
    world_start(1, &(struct world_config){.seed_node = 0, .token = world_token()});
    world_run(MN_SEC);
    operator_begin_with(1, (struct admin_config){.is_dev = false});
    ck_assert_str_eq(ask("GET", "/readyz", NULL),
                     "{\"ready\":false,\"why\":\"it has not joined the mesh yet\"}\n");
    assert_has(ask("GET", "/v1/status", NULL),
               "\"id\":null,\"words\":null,\"dev\":false,\"alive\":0");
    ck_assert_str_eq(ask("GET", "/v1/nodes", NULL),
                     "{\"api\":\"meshctl/v1\",\"kind\":\"NodeList\",\"items\":[],\"missing\":[],"
                     "\"warnings\":[]}\n");
    ask("GET", "/v1/nodes/n1", NULL);
    assert_refused(404, "not_found");
    ask("GET", "/v1/tokens", NULL);
    assert_refused(503, "not_ready");
    ask("GET", "/v1/pending", NULL);
    assert_refused(503, "not_ready");
}
END_TEST

START_TEST(status_of_a_founder_is_exactly_this)
{
    operator_gateways[ADMIN_GATEWAY_COUNTS].json =
        "{\"listed\":3,\"offered\":{\"a.n0\":3},\"servers\":[{\"name\":\"a\",\"state\":\"ready\"},"
        "{\"name\":\"b\",\"state\":\"starting\"}]}";
    const mn_id mesh = core_self(world_core(0)).mesh_id;
    const struct authority *head = admission_authority(core_admission(world_core(0)));
    char own[WORDS_TEXT_SIZE], all[WORDS_TEXT_SIZE];

    ck_assert_str_eq(
        ask("GET", "/v1/status", NULL),
        mn_arena_format(
            &arena,
            "{\"api\":\"meshctl/v1\",\"kind\":\"Status\",\"time\":\"2027-01-15T08:00:00.600Z\","
            "\"node\":{\"name\":\"n0\",\"id\":\"%s\",\"words\":\"%s\",\"state\":\"member\","
            "\"ready\":true,"
            "\"issuer\":true,\"role\":\"auto\",\"region\":\"\",\"zone\":\"\",\"version\":\"0.1.0\","
            "\"incarnation\":1,\"uptime_ms\":600.000,\"http\":\"127.0.0.1:7080\","
            "\"http_auth\":\"none\"},\"mesh\":{\"id\":\"%s\",\"words\":\"%s\",\"dev\":false,"
            "\"alive\":1,"
            "\"suspect\":0,\"dead\":0,\"left\":0,\"links\":0,"
            "\"grant_expires\":\"2027-02-14T08:00:00.000Z\"},\"leader\":null,\"tools\":3,"
            "\"servers\":{\"total\":2,\"ready\":1},\"calls\":{\"open\":0,\"queued\":0,"
            "\"served_now\":0,\"started\":0,\"finished\":0,\"failed\":0,\"failed_over\":0,"
            "\"outcome_unknown\":0,\"timed_out\":0,\"cancelled\":0,\"duplicates\":0},"
            "\"net\":{\"garbage\":0,\"handshakes\":0,\"handshakes_failed\":0,\"dials_failed\":0,"
            "\"refused\":0,\"evicted\":0},\"level\":\"ok\",\"findings\":[{\"level\":\"info\","
            "\"scope\":\"mesh\","
            "\"code\":\"alone\",\"message\":\"it is the only member\",\"next\":\"meshctl token "
            "create, and on another host: meshnode --join HOST:7000 --token @FILE\"}]}\n",
            id_text(world_id(0)),
            words_of(mn_span(core_self(world_core(0)).sign_pk, SIGN_PK_SIZE), own), id_text(&mesh),
            words_of(mn_span(authority_pin(head), DIGEST_PIN_SIZE), all)));
}
END_TEST

START_TEST(status_says_whether_clients_need_a_secret)
{
    begin_again((struct admin_config){.needs_bearer = true});
    assert_has(ask("GET", "/v1/status", NULL), "\"http\":\"\",\"http_auth\":\"bearer\"");
}
END_TEST

/* ---- members ---- */

START_TEST(a_member_is_exactly_this)
{
    operator_gateways[ADMIN_GATEWAY_COUNTS].json =
        "{\"listed\":0,\"offered\":{\"a.n0\":3,\"b.n0\":2,\"a.n1\":9,\"c\":1,\"d.n0\":\"x\"},"
        "\"servers\":[]}";
    ck_assert_str_eq(
        ask("GET", "/v1/nodes/n0", NULL),
        mn_arena_format(&arena,
                        "{\"api\":\"meshctl/v1\",\"kind\":\"Node\",\"name\":\"n0\",\"id\":\"%s\","
                        "\"status\":\"alive\",\"self\":true,\"conflicted\":false,\"role\":\"auto\","
                        "\"region\":\"\",\"zone\":\"\",\"incarnation\":1,\"tools\":5,"
                        "\"since_ms\":599.400,\"grant_expires\":\"2027-02-14T08:00:00.000Z\","
                        "\"token\":null,\"addresses\":[\"10.0.0.0:7000\"],\"version\":\"0.1.0\","
                        "\"sent_away_ms\":"
                        "0.000,\"link\":null}\n",
                        id_text(world_id(0))));
}
END_TEST

START_TEST(members_have_their_links)
{
    const char *list;

    operator_gateways[ADMIN_GATEWAY_COUNTS].json =
        "{\"listed\":0,\"offered\":{\"a.n1\":9},\"servers\":[]}";
    list = ask("GET", "/v1/nodes", NULL);
    assert_has(list, "{\"api\":\"meshctl/v1\",\"kind\":\"NodeList\",\"items\":[{");
    assert_has(list, "],\"missing\":[],\"warnings\":[]}\n");
    assert_has(list, "\"self\":true");
    assert_has(list, "\"tools\":9");
    assert_has(list, "\"link\":{\"address\":\"10.0.0.1:7000\",\"dialed\":false,\"up_ms\":");
    assert_has(list, "\"clock_difference_ms\":-1}}");
    ck_assert(strstr(list, "\"name\":\"n0\"") < strstr(list, "\"name\":\"n1\""));
}
END_TEST

START_TEST(members_come_in_order_of_their_names)
{
    const char *list, *last;

    world_start(3, &(struct world_config){.name = "b", .token = world_token(), .seed_node = 0});
    world_start(4, &(struct world_config){.name = "zz", .token = world_token(), .seed_node = 0});
    world_start(5, &(struct world_config){.name = "a-1", .token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 10 * MN_SEC);
    last = list = ask("GET", "/v1/nodes", NULL);
    for (size_t i = 0; i < 5; i++) {
        static const char *const names[] = {"a-1", "b", "n0", "n1", "zz"};
        const char *at = strstr(list, mn_arena_format(&arena, "{\"name\":\"%s\"", names[i]));
        ck_assert_ptr_nonnull(at);
        ck_assert(at >= last);
        last = at;
    }
}
END_TEST

START_TEST(a_member_is_found_by_the_beginning_of_its_id)
{
    const char *id = id_text(world_id(1));

    assert_has(ask("GET", mn_arena_format(&arena, "/v1/nodes/%.4s", id), NULL), id);
    assert_has(ask("GET", mn_arena_format(&arena, "/v1/nodes/%s", id), NULL), id);
    ask("GET", mn_arena_format(&arena, "/v1/nodes/%.3s", id), NULL);
    assert_refused(404, "not_found");
    ask("GET", mn_arena_format(&arena, "/v1/nodes/%s0", id), NULL);
    assert_refused(404, "not_found");
    ask("GET", "/v1/nodes/n7", NULL);
    assert_refused(404, "not_found");
    assert_has(operator_body(operator_last), "\"hint\":\"meshctl nodes\"");
}
END_TEST

static bool is_first_dead(void)
{
    return membership_count(core_membership(world_core(0)), MEMBER_DEAD) == 1;
}

static bool are_two_dead(void)
{
    return membership_count(core_membership(world_core(0)), MEMBER_DEAD) == 2;
}

/* Node 1 dies, and so does node 2, which had come with its name. */
START_TEST(an_ambiguous_name_lists_all_that_it_may_be)
{
    struct world_config second = {.name = "n1", .token = world_token(), .seed_node = 0};

    world_crash(1);
    world_until(is_first_dead, 30 * MN_SEC);
    world_start(2, &second);
    world_until(world_is_whole, 10 * MN_SEC);
    assert_has(ask("GET", "/v1/nodes/n1", NULL), id_text(world_id(2))); /* the living one */
    world_crash(2);
    world_until(are_two_dead, 30 * MN_SEC);
    ask("GET", "/v1/nodes/n1", NULL);
    assert_refused(409, "ambiguous");
    assert_has(operator_body(operator_last), "n1 may be 2 members: n1 (");
    assert_has(operator_body(operator_last), id_text(world_id(1)));
    assert_has(operator_body(operator_last), id_text(world_id(2)));
}
END_TEST

/* ---- tools and routes ---- */

#define TOOLS                                                                                    \
    "[{\"name\":\"s__echo\",\"server\":\"s\",\"definition\":{\"name\":\"echo\",\"description\":" \
    "\"Says it again\",\"title\":\"\\u00c9cho\"}},{\"name\":\"t__add\",\"server\":\"t\","        \
    "\"definition\":{\"name\":\"add\",\"inputSchema\":{\"description\":\"again\"}}}]"

START_TEST(tools_get_the_health_of_their_server)
{
    world_offer(1, "s", "body", 0);
    world_run(MN_SEC);
    operator_gateways[ADMIN_GATEWAY_TOOLS].json = TOOLS;
    ck_assert_str_eq(
        ask("GET", "/v1/tools", NULL),
        "{\"api\":\"meshctl/v1\",\"kind\":\"ToolList\",\"items\":[{\"name\":\"s__echo\","
        "\"server\":\"s\",\"definition\":{\"name\":\"echo\",\"description\":\"Says it again\","
        "\"title\":\"\\u00c9cho\"},\"health\":\"ok\"},{\"name\":\"t__add\",\"server\":\"t\","
        "\"definition\":{\"name\":\"add\",\"inputSchema\":{\"description\":\"again\"}},"
        "\"health\":\"down\"}],\"missing\":[],\"warnings\":[]}\n");
}
END_TEST

START_TEST(some_replicas_out_of_reach_make_it_degraded)
{
    operator_gateways[ADMIN_GATEWAY_TOOL].json = "{\"name\":\"s__t\",\"server\":\"s\"}";
    world_offer(1, "s", "body", 'k');
    world_offer(2, "s", "body", 'k');
    world_run(MN_SEC);
    assert_has(ask("GET", "/v1/tools/s__t", NULL), "\"health\":\"ok\"");
    world_crash(1);
    world_run(10 * MN_MS);
    ck_assert_str_eq(ask("GET", "/v1/tools/s__t", NULL),
                     "{\"api\":\"meshctl/v1\",\"kind\":\"Tool\",\"name\":\"s__t\",\"server\":\"s\","
                     "\"health\":\"degraded\"}\n");
    assert_has(ask("GET", "/v1/route/s__t", NULL), "\"reason\":\"no_link\"");
    world_crash(2);
    world_run(10 * MN_MS);
    assert_has(ask("GET", "/v1/tools/s__t", NULL), "\"health\":\"down\"");
}
END_TEST

START_TEST(tools_are_found_by_name_title_and_description)
{
    static const struct {
        const char *text;
        bool has_echo, has_add;
    } cases[] = {{"ECHO", true, false},  {"say", true, false}, {"%C3%89cho", true, false},
                 {"again", true, false}, /* not in a schema */
                 {"__", true, true},     {"", true, true},     {"nothing of it", false, false}};

    operator_gateways[ADMIN_GATEWAY_TOOLS].json = TOOLS;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *list =
            ask("GET", mn_arena_format(&arena, "/v1/tools?find=%s", cases[i].text), NULL);
        ck_assert_msg((strstr(list, "s__echo") != NULL) == cases[i].has_echo, "%s", cases[i].text);
        ck_assert_msg((strstr(list, "t__add") != NULL) == cases[i].has_add, "%s", cases[i].text);
    }
}
END_TEST

START_TEST(a_tool_that_is_none_is_not_found)
{
    operator_gateways[ADMIN_GATEWAY_TOOL].status = MN_NOT_FOUND;
    ck_assert_str_eq(
        ask("GET", "/v1/tools/x", NULL),
        error_text("not_found", "no tool of that name in the mesh", "meshctl tools", false));
    ck_assert_str_eq(
        ask("GET", "/v1/route/x", NULL),
        error_text("not_found", "no tool of that name in the mesh", "meshctl tools", false));
    ck_assert_uint_eq(operator_code(operator_last), 404);
}
END_TEST

START_TEST(a_route_names_candidates_and_the_winner)
{
    const char *list;

    world_offer(1, "s", "body", 0);
    world_run(MN_SEC);
    list = ask("GET", "/v1/route/s__t", NULL);
    ck_assert_str_eq(operator_asked.name, "s__t");
    assert_has(list,
               mn_arena_format(
                   &arena,
                   "{\"api\":\"meshctl/v1\",\"kind\":\"RouteList\",\"tool\":"
                   "\"s__t\",\"server\":\"s\",\"held\":null,\"items\":[{\"node\":\"n1\",\"id\":"
                   "\"%s\",\"local\":false,\"winner\":true,\"reason\":\"ok\","
                   "\"rtt_ms\":",
                   id_text(world_id(1))));
    assert_has(list, "\"calls\":0,\"failures\":0}],\"missing\":[],\"warnings\":[]}\n");
}
END_TEST

/* ---- servers ---- */

START_TEST(servers_are_passed_on)
{
    operator_gateways[ADMIN_GATEWAY_SERVERS].json = "[{\"name\":\"a\"},{\"name\":\"b\"}]";
    operator_gateways[ADMIN_GATEWAY_SERVER].json = "{\"name\":\"a\",\"x\":[1, 2]}";
    ck_assert_str_eq(ask("GET", "/v1/servers", NULL),
                     "{\"api\":\"meshctl/v1\",\"kind\":\"ServerList\",\"items\":[{\"name\":\"a\"},{"
                     "\"name\":\"b\"}],\"missing\":[],\"warnings\":[]}\n");
    ck_assert_str_eq(ask("GET", "/v1/servers/a", NULL),
                     "{\"api\":\"meshctl/v1\",\"kind\":\"Server\",\"name\":\"a\",\"x\":[1, 2]}\n");
    ck_assert_str_eq(operator_asked.name, "a");
}
END_TEST

START_TEST(a_server_is_added_restarted_and_removed)
{
    static const char done[] = "{\"api\":\"meshctl/v1\",\"kind\":\"Done\"}\n";

    ck_assert_str_eq(ask("POST", "/v1/servers", " {\"s\":{\"command\":\"x\"}} "), done);
    ck_assert_int_eq(operator_asked.verb, ADMIN_GATEWAY_SERVER_ADD);
    ck_assert_str_eq(operator_asked.text, "{\"s\":{\"command\":\"x\"}}");
    ck_assert_str_eq(ask("POST", "/v1/servers/s/restart", NULL), done);
    ck_assert_int_eq(operator_asked.verb, ADMIN_GATEWAY_SERVER_RESTART);
    ck_assert_str_eq(operator_asked.name, "s");
    ck_assert_str_eq(ask("DELETE", "/v1/servers/s", NULL), done);
    ck_assert_int_eq(operator_asked.verb, ADMIN_GATEWAY_SERVER_REMOVE);
}
END_TEST

START_TEST(refusals_of_the_gateway_keep_their_words)
{
    static const struct {
        mn_status status;
        uint32_t code;
        const char *name;
    } cases[] = {{MN_NOT_FOUND, 404, "not_found"},
                 {MN_EXISTS, 409, "conflict"},
                 {MN_STATE, 409, "conflict"},
                 {MN_CONFIG, 400, "bad_request"},
                 {MN_MALFORMED, 400, "bad_request"},
                 {MN_DENIED, 403, "not_allowed"},
                 {MN_FULL, 503, "busy"}};

    operator_gateways[ADMIN_GATEWAY_SERVER_REMOVE].why = "because \"so\"";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        operator_gateways[ADMIN_GATEWAY_SERVER_REMOVE].status = cases[i].status;
        ck_assert_str_eq(ask("DELETE", "/v1/servers/s", NULL),
                         error_text(cases[i].name, "because \\\"so\\\"", "meshctl servers",
                                    cases[i].code == 503));
        ck_assert_uint_eq(operator_code(operator_last), cases[i].code);
    }
    operator_gateways[ADMIN_GATEWAY_SERVER_REMOVE].why = "";
    assert_has(ask("DELETE", "/v1/servers/s", NULL), "a bounded queue or table is full");
}
END_TEST

static const char *add_over_http(const char *body)
{
    return ask_with(&(struct operator_request){.listener = EDGE_LISTENER_HTTP,
                                               .method = "POST",
                                               .target = "/v1/servers",
                                               .host = "localhost",
                                               .body = body});
}

START_TEST(commands_are_added_on_the_own_host_only)
{
    begin_again((struct admin_config){.is_dev = true});
    add_over_http("{\"s\":{\"url\":\"http://x\"}}");
    ck_assert_uint_eq(operator_code(operator_last), 200);
    operator_asked.count = 0;
    add_over_http("{\"s\":{\"command\":\"x\"}}");
    assert_refused(403, "not_allowed");
    add_over_http("{\"s\":{\"url\":\"http://x\",\"comm\\u0061nd\":\"x\"}}");
    assert_refused(403, "not_allowed");
    add_over_http("{\"s\":{\"url\":\"http://x\"},\"s\":{\"command\":\"x\"}}");
    assert_refused(403, "not_allowed");
    ck_assert_uint_eq(operator_asked.count, 0);
    begin_again((struct admin_config){.is_dev = true, .allows_remote_exec = true});
    add_over_http("{\"s\":{\"command\":\"x\"}}");
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

START_TEST(bodies_are_json_objects_and_say_so)
{
    static const char *const bad[] = {"", "[]", "1", "{", "{\"a\":1}}", "\xff"};
    struct operator_request request = {.method = "POST", .target = "/v1/servers", .body = "{}"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask("POST", "/v1/servers", bad[i]);
        assert_refused(400, "bad_request");
    }
    request.type = "text/plain";
    ask_with(&request);
    assert_refused(415, "bad_request");
    request.type = "application/jsonx";
    ask_with(&request);
    assert_refused(415, "bad_request");
    request.type = "Application/JSON; charset=utf-8";
    ask_with(&request);
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

/* {"a":[[...]]}, so many containers inside each other. */
START_TEST(bodies_are_32_deep_at_most)
{
    char body[128] = "{\"a\":";
    size_t size = strlen(body);

    memset(body + size, '[', (size_t)_i - 1);
    memset(body + size + (size_t)_i - 1, ']', (size_t)_i - 1);
    body[size + 2 * ((size_t)_i - 1)] = '}';
    ask("POST", "/v1/tokens", body);
    if (_i > 32)
        assert_refused(400, "bad_request");
    else
        ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

/* ---- tokens ---- */

START_TEST(a_token_is_made_listed_and_withdrawn)
{
    const char *made =
        ask("POST", "/v1/tokens", "{\"uses\":5,\"ttl_ms\":60000,\"role\":\"voter\"}");
    char id[17];

    ck_assert_uint_eq(operator_code(operator_last), 200);
    assert_has(made, "{\"api\":\"meshctl/v1\",\"kind\":\"Token\",\"token\":\"mnt1-");
    assert_has(made, "\"role\":\"voter\",\"uses\":5,\"used\":0,\"created\":\"2027-01-15T08:00:00.");
    assert_has(made, "\"expires\":\"2027-01-15T08:01:00.");
    assert_has(made, "\"withdrawn\":false}\n");
    snprintf(id, sizeof id, "%s", strstr(made, "\"id\":\"") + 6);
    assert_has(ask("GET", "/v1/tokens", NULL), id);
    assert_has_not(operator_body(operator_last), "mnt1-");
    ask("DELETE", mn_arena_format(&arena, "/v1/tokens/%.6s", id), NULL);
    ck_assert_uint_eq(operator_code(operator_last), 200);
    assert_has(operator_body(operator_last), "\"kind\":\"Token\"");
    assert_has(operator_body(operator_last), "\"withdrawn\":true}\n");
    assert_has_not(operator_body(operator_last), "mnt1-");
    assert_has(ask("GET", "/v1/tokens", NULL), "\"withdrawn\":true");
}
END_TEST

START_TEST(a_token_of_a_bad_wish_is_refused)
{
    static const char *const bad[] = {
        "{\"uses\":-1}",    "{\"uses\":1001}",         "{\"uses\":1.5}",     "{\"uses\":\"5\"}",
        "{\"ttl_ms\":999}", "{\"ttl_ms\":2592000001}", "{\"role\":\"god\"}", "{\"role\":[\"x\"]}"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask("POST", "/v1/tokens", bad[i]);
        assert_refused(400, "bad_request");
    }
    ask("POST", "/v1/tokens", "{\"uses\":0,\"ttl_ms\":2592000000}");
    ck_assert_uint_eq(operator_code(operator_last), 200);
}
END_TEST

START_TEST(no_token_or_several_have_such_an_id)
{
    const struct admission_token items[] = {{.id = {{0xab, 0xcd, 1}}}, {.id = {{0xab, 0xcd, 2}}}};
    const struct core_reply list = {.status = MN_OK, .items = items, .count = 2};

    ask("DELETE", "/v1/tokens/ffffffff", NULL);
    assert_refused(404, "not_found");
    ask("DELETE", "/v1/tokens/abc", NULL);
    assert_refused(404, "not_found");
    operator_core_says(&list);
    ask("DELETE", "/v1/tokens/abcd", NULL);
    assert_refused(409, "ambiguous");
    assert_has(operator_body(operator_last),
               "abcd may be 2 tokens: abcd010000000000, abcd020000000000");
}
END_TEST

START_TEST(only_an_issuer_makes_tokens)
{
    operator_end();
    operator_begin(2);
    admin_free(operator_admin);
    operator_begin_with(1, (struct admin_config){.is_dev = false});
    ask("POST", "/v1/tokens", "{}");
    assert_refused(403, "not_allowed");
    ask("GET", "/v1/tokens", NULL);
    assert_refused(403, "not_allowed");
    ask("DELETE", "/v1/tokens/abcdef", NULL);
    assert_refused(403, "not_allowed");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin");
    TCase *founder = tcase_create("founder"), *pair = tcase_create("pair");
    TCase *three = tcase_create("three");

    tcase_add_checked_fixture(founder, begin_founder, end);
    tcase_add_test(founder, a_path_that_is_none_says_where_mcp_is);
    tcase_add_test(founder, another_method_hears_which_there_are);
    tcase_add_test(founder, a_parameter_that_is_none_is_refused);
    tcase_add_test(founder, names_in_paths_are_percent_encoded);
    tcase_add_test(founder, paths_bodies_and_exchanges_are_bounded);
    tcase_add_test(founder, a_body_in_pieces_is_one);
    tcase_add_test(founder, what_comes_after_the_answer_is_ignored);
    tcase_add_test(founder, v1_over_http_wants_a_token_that_there_is_not);
    tcase_add_test(founder, dev_needs_none_on_loopback);
    tcase_add_test(founder, pages_of_a_browser_are_refused);
    tcase_add_test(founder, configured_hosts_are_its_own);
    tcase_add_test(founder, version_health_and_readiness);
    tcase_add_test(founder, who_has_not_joined_is_not_ready);
    tcase_add_test(founder, status_of_a_founder_is_exactly_this);
    tcase_add_test(founder, status_says_whether_clients_need_a_secret);
    tcase_add_test(founder, a_member_is_exactly_this);
    tcase_add_test(founder, tools_are_found_by_name_title_and_description);
    tcase_add_test(founder, a_tool_that_is_none_is_not_found);
    tcase_add_test(founder, servers_are_passed_on);
    tcase_add_test(founder, a_server_is_added_restarted_and_removed);
    tcase_add_test(founder, refusals_of_the_gateway_keep_their_words);
    tcase_add_test(founder, commands_are_added_on_the_own_host_only);
    tcase_add_test(founder, bodies_are_json_objects_and_say_so);
    tcase_add_loop_test(founder, bodies_are_32_deep_at_most, 32, 34);
    tcase_add_test(founder, a_token_is_made_listed_and_withdrawn);
    tcase_add_test(founder, a_token_of_a_bad_wish_is_refused);
    tcase_add_test(founder, no_token_or_several_have_such_an_id);
    tcase_add_test(founder, only_an_issuer_makes_tokens);
    suite_add_tcase(suite, founder);
    tcase_add_checked_fixture(pair, begin_pair, end);
    tcase_add_test(pair, members_have_their_links);
    tcase_add_test(pair, members_come_in_order_of_their_names);
    tcase_add_test(pair, a_member_is_found_by_the_beginning_of_its_id);
    tcase_add_test(pair, an_ambiguous_name_lists_all_that_it_may_be);
    tcase_add_test(pair, tools_get_the_health_of_their_server);
    tcase_add_test(pair, a_route_names_candidates_and_the_winner);
    suite_add_tcase(suite, pair);
    tcase_add_checked_fixture(three, begin_three, end);
    tcase_add_test(three, some_replicas_out_of_reach_make_it_degraded);
    suite_add_tcase(suite, three);
    return suite_run(suite);
}
