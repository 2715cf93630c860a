/* The glue of a node: where its servers come from, what it keeps, how it stops. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "tests/node/edge_script.h"
#include "tests/suite.h"

static struct script s;
static struct node_config config;
static struct node_servers_text texts[4];

/* The configuration names these texts: origin, text, ..., NULL. */
static void use_texts(const char *const *list)
{
    config.servers = texts;
    for (config.servers_count = 0; list[2 * config.servers_count] != NULL; config.servers_count++)
        texts[config.servers_count] =
            (struct node_servers_text){mn_span_str(list[2 * config.servers_count]),
                                       mn_span_str(list[2 * config.servers_count + 1])};
}

#define USE_TEXTS(...) use_texts((const char *const[]){__VA_ARGS__, NULL, NULL})

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    node_config_default(&config);
    config.core.identity_seed[0] = 1;
    config.core.seed[0] = 2;
    config.core.name = mn_span_str("one");
    config.core.version = mn_span_str("test");
}

static void teardown(void)
{
    script_done(&s);
    config = (struct node_config){0};
}

static void start(void)
{
    ck_assert_int_eq(script_start(&s, &config), MN_OK);
    script_run(&s, MN_SEC);
}

static void assert_refused(const char *word)
{
    ck_assert_int_eq(script_start(&s, &config), MN_CONFIG);
    ck_assert_msg(strstr(s.end_text, word) != NULL, "\"%s\" does not say %s", s.end_text, word);
}

static void assert_body(const char *word)
{
    ck_assert_msg(strstr(s.body, word) != NULL, "%u \"%s\" does not say %s", s.code, s.body, word);
}

/* ---- servers of the configuration ---- */

START_TEST(texts_and_options_attach_servers)
{
    static const struct mn_span options[] = {{(const uint8_t *)"opt=tool --fast", 15}};

    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\",\"args\":[\"x\"]}}}",
              "b.json", "{\"servers\":{\"two\":{\"command\":\"second\"}}}");
    config.server_options = options;
    config.server_options_count = 1;
    start();
    ck_assert_uint_eq(script_running(&s), 3);
    ck_assert_ptr_nonnull(script_child(&s, "first x"));
    ck_assert_ptr_nonnull(script_child(&s, "second"));
    ck_assert_ptr_nonnull(script_child(&s, "tool --fast"));
    script_mcp(&s, NULL);
    ck_assert_uint_eq(s.code, 200);
    assert_body("one__echo");
    assert_body("two__echo");
    assert_body("opt__echo");
    ck_assert_ptr_null(script_pair(&s, "server/one")); /* the file keeps it */
}
END_TEST

START_TEST(a_name_in_two_texts_is_refused_with_both_places)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}", "b.json",
              "{\"mcpServers\":{\"one\":{\"command\":\"second\"}}}");
    assert_refused("a.json");
    assert_refused("b.json");
    assert_refused("\"one\"");
}
END_TEST

START_TEST(an_option_that_repeats_a_name_is_refused)
{
    static const struct mn_span options[] = {{(const uint8_t *)"one=tool", 8}};

    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    config.server_options = options;
    config.server_options_count = 1;
    assert_refused("--server");
}
END_TEST

START_TEST(a_bad_text_is_refused_with_its_place)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{}}}");
    assert_refused("a.json");
    USE_TEXTS("c.json", "{\"mcpServers\":");
    assert_refused("c.json");
}
END_TEST

START_TEST(mcp_is_served_before_the_store_is_read)
{
    struct mn_arena arena = {0};
    struct mn_span why;

    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    ck_assert_int_eq(node_new(&config, &arena, &s.node, &why), MN_OK);
    mn_arena_done(&arena);
    s.outbox.arena = &s.arena;
    s.now = (struct mn_now){MN_SEC, 1893456000 * MN_SEC};
    s.id_next = 1;
    script_step(&s, &(struct edge_input){.type = EDGE_IN_TICK});
    script_run(&s, MN_SEC);
    script_mcp(&s, NULL);
    ck_assert_uint_eq(s.code, 200);
    assert_body("one__echo");
}
END_TEST

/* ---- servers added at run time ---- */

#define FILES "{\"files\":{\"command\":\"files\",\"args\":[\"/data\"]}}"

/* The mesh's own server asks the operator's side, whose answers may take a turn through the
 * gateway. */
START_TEST(the_mesh_is_a_server_itself)
{
    start();
    script_mcp(&s, NULL);
    assert_body("{\"name\":\"mesh_status\",");
    script_mcp(&s, "mesh_status");
    ck_assert_uint_eq(s.code, 200);
    assert_body("\"structuredContent\":{\"api\":\"meshctl/v1\",\"kind\":\"Status\"");
    script_mcp_ask(&s, "tools/call", "mesh_route_explain",
                   "\"name\":\"mesh_route_explain\",\"arguments\":{\"tool\":\"no/such?tool\"},");
    assert_body("no tool of that name in the mesh");
    assert_body("\"isError\":true");
    script_mcp_ask(&s, "tools/call", "mesh_find",
                   "\"name\":\"mesh_find\",\"arguments\":{\"txt\":\"x\"},");
    assert_body("the arguments do not match the tool's schema");
    script_mcp_ask(&s, "resources/read", "mesh://nodes", "\"uri\":\"mesh://nodes\",");
    assert_body("\"contents\":[{\"uri\":\"mesh://nodes\"");
    script_mcp_ask(&s, "resources/read", "mesh://no", "\"uri\":\"mesh://no\",");
    assert_body("-32602");
}
END_TEST

/* Whoever wants few tools in sight finds and calls all others through two. */
START_TEST(the_mesh_calls_a_tool_by_its_name)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    script_mcp(&s, "one__echo");
    char direct[sizeof s.body];
    memcpy(direct, s.body, sizeof direct);
    script_mcp_ask(
        &s, "tools/call", "mesh_call",
        "\"name\":\"mesh_call\",\"arguments\":{\"tool\":\"one__echo\",\"arguments\":{}},");
    ck_assert_str_eq(s.body, direct);
    script_mcp_ask(&s, "tools/call", "mesh_call",
                   "\"name\":\"mesh_call\",\"arguments\":{\"tool\":\"mesh_call\"},");
    assert_body("mesh_call calls other tools");
}
END_TEST

START_TEST(clients_change_nothing_unless_the_operator_lets_them)
{
    static const char params[] = "\"name\":\"mesh_state_remove\",\"arguments\":{\"key\":\"no\"},";

    start();
    script_mcp_ask(&s, "tools/call", "mesh_state_remove", params);
    assert_body("this node lets MCP clients only look");
    assert_body("\"isError\":true");
    script_kill(&s);
    config.mesh_writes = true;
    start();
    script_mcp_ask(&s, "tools/call", "mesh_state_remove", params);
    ck_assert_ptr_null(strstr(s.body, "only look"));
}
END_TEST

START_TEST(no_server_is_called_like_the_mesh)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"mesh\":{\"command\":\"first\"}}}");
    assert_refused("the name \"mesh\" is the mesh's own");
}
END_TEST

START_TEST(a_server_added_at_run_time_survives_a_restart)
{
    start();
    script_ask(&s, "POST", "/v1/servers", FILES);
    ck_assert_uint_eq(s.code, 200);
    ck_assert_ptr_nonnull(script_pair(&s, "server/files"));
    ck_assert_ptr_nonnull(script_child(&s, "files /data"));
    script_kill(&s);
    start();
    ck_assert_ptr_nonnull(script_child(&s, "files /data"));
    script_mcp(&s, "files__echo");
    assert_body("said");
}
END_TEST

START_TEST(a_removed_one_does_not_come_back)
{
    start();
    script_ask(&s, "POST", "/v1/servers", FILES);
    script_ask(&s, "DELETE", "/v1/servers/files", "");
    ck_assert_uint_eq(s.code, 200);
    ck_assert(script_child(&s, "files /data")->is_told_to_stop);
    ck_assert_ptr_null(script_pair(&s, "server/files"));
    script_kill(&s);
    start();
    ck_assert_uint_eq(s.children_count, 0);
}
END_TEST

START_TEST(a_name_is_added_once)
{
    start();
    script_ask(&s, "POST", "/v1/servers", FILES);
    script_ask(&s, "POST", "/v1/servers", "{\"files\":{\"command\":\"other\"}}");
    ck_assert_uint_ge(s.code, 400);
    assert_body("remove it first");
    ck_assert_ptr_null(script_child(&s, "other"));
}
END_TEST

START_TEST(what_is_no_server_is_neither_started_nor_stored)
{
    static const char *const bodies[] = {"{}",
                                         "{\"a\":{}}",
                                         "[]",
                                         "nonsense",
                                         "{\"a\":{\"command\":\"x\"},\"b\":{\"command\":\"y\"}}",
                                         "{\"a b\":{\"command\":\"x\"}}"};

    start();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        script_ask(&s, "POST", "/v1/servers", bodies[i]);
        ck_assert_msg(s.code >= 400 && s.code < 500, "%s: %u", bodies[i], s.code);
    }
    ck_assert_uint_eq(s.children_count, 0);
    ck_assert_ptr_null(script_pair(&s, "server/a"));
}
END_TEST

START_TEST(a_configured_server_is_not_removed_at_run_time)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    script_ask(&s, "DELETE", "/v1/servers/one", "");
    ck_assert_uint_ge(s.code, 400);
    assert_body("a.json");
    ck_assert_uint_eq(script_running(&s), 1);
    ck_assert(!script_child(&s, "first")->is_told_to_stop);
    script_ask(&s, "DELETE", "/v1/servers/two", "");
    ck_assert_uint_eq(s.code, 404);
}
END_TEST

START_TEST(a_restart_is_a_new_process)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    script_ask(&s, "POST", "/v1/servers/one/restart", "");
    ck_assert_uint_eq(s.code, 200);
    ck_assert(s.children[0].is_told_to_stop);
    script_child_exit(&s, &s.children[0]);
    script_run(&s, MN_SEC);
    ck_assert_uint_eq(s.children_count, 2);
    script_ask(&s, "POST", "/v1/servers/two/restart", "");
    ck_assert_uint_eq(s.code, 404);
}
END_TEST

START_TEST(foreign_and_broken_keys_of_the_store_do_no_harm)
{
    const struct script_pair broken = {"server/broken", mn_buf_copy(mn_span_str("nonsense"))};
    const struct script_pair foreign = {"tomorrow/key", mn_buf_copy(mn_span_str("value"))};

    s.pairs[0] = broken;
    s.pairs[1] = foreign;
    s.pairs_count = 2;
    start();
    ck_assert_uint_eq(s.children_count, 0);
    script_ask(&s, "GET", "/v1/status", "");
    ck_assert_uint_eq(s.code, 200);
}
END_TEST

/* ---- reload ---- */

START_TEST(a_reload_touches_only_what_changed)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"same\":{\"command\":\"same\"},\"changed\":{"
                        "\"command\":\"before\"},\"gone\":{\"command\":\"gone\"}}}");
    start();
    script_ask(&s, "POST", "/v1/servers", FILES);
    USE_TEXTS("a.json", "{\"mcpServers\":{\"new\":{\"command\":\"new\"},\"same\":{\"command\":"
                        "\"same\"},\"changed\":{\"command\":\"after\"}}}");
    script_reload(&s, &config, MN_OK);
    ck_assert(!script_child(&s, "same")->is_told_to_stop);
    ck_assert(!script_child(&s, "files /data")->is_told_to_stop);
    ck_assert(script_child(&s, "before")->is_told_to_stop);
    ck_assert(script_child(&s, "gone")->is_told_to_stop);
    ck_assert_ptr_nonnull(script_child(&s, "new"));
    ck_assert_ptr_nonnull(script_child(&s, "after"));
    script_run(&s, MN_SEC);
    script_mcp(&s, NULL);
    assert_body("changed__echo");
    ck_assert_ptr_null(strstr(s.body, "gone__echo"));
}
END_TEST

START_TEST(a_bad_reload_changes_nothing)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    USE_TEXTS("a.json", "{\"mcpServers\":{\"two\":{\"command\":\"second\"},\"one\":{}}}");
    script_reload(&s, &config, MN_CONFIG);
    ck_assert_ptr_nonnull(strstr(s.end_text, "a.json"));
    ck_assert_uint_eq(s.children_count, 1);
    ck_assert(!s.children[0].is_told_to_stop);
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    script_reload(&s, &config, MN_OK);
    ck_assert_uint_eq(s.children_count, 1);
}
END_TEST

START_TEST(a_server_added_at_run_time_keeps_its_name_on_reload)
{
    start();
    script_ask(&s, "POST", "/v1/servers", FILES);
    USE_TEXTS("a.json", "{\"mcpServers\":{\"files\":{\"command\":\"other\"}}}");
    script_reload(&s, &config, MN_OK);
    ck_assert_ptr_null(script_child(&s, "other"));
    ck_assert(!script_child(&s, "files /data")->is_told_to_stop);
    script_reload(&s, &config, MN_OK); /* also the second time */
    ck_assert_ptr_null(script_child(&s, "other"));
}
END_TEST

/* ---- stopping ---- */

static void let_children_go(void)
{
    for (uint32_t i = 0; i < s.children_count; i++)
        if (s.children[i].is_running && s.children[i].is_told_to_stop)
            script_child_exit(&s, &s.children[i]);
}

START_TEST(a_stop_ends_the_children_and_then_itself)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    script_ask(&s, "GET", "/readyz", "");
    ck_assert_uint_eq(s.code, 200);
    script_step(&s, &(struct edge_input){.type = EDGE_IN_STOP});
    ck_assert(s.children[0].is_told_to_stop);
    ck_assert(!s.is_stopped);
    script_ask(&s, "GET", "/readyz", "");
    ck_assert_uint_eq(s.code, 503);
    script_step(&s, &(struct edge_input){.type = EDGE_IN_STOP}); /* again: nothing */
    let_children_go();
    script_run(&s, 3 * MN_SEC);
    ck_assert(s.is_stopped);
    ck_assert_uint_eq(s.end_code, 0);
    ck_assert_uint_eq(node_deadline(s.node), MN_TIME_NEVER);
    script_step(&s, &(struct edge_input){.type = EDGE_IN_TICK}); /* does nothing more */
    script_mcp(&s, NULL);
    ck_assert_uint_eq(s.code, 0);
}
END_TEST

START_TEST(a_call_under_way_is_finished_before_it_stops)
{
    uint64_t call;

    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    s.is_call_held = true;
    script_mcp(&s, "one__echo");
    call = s.exchange;
    script_step(&s, &(struct edge_input){.type = EDGE_IN_STOP});
    script_run(&s, 3 * MN_SEC);
    ck_assert(!s.is_stopped && !s.children[0].is_told_to_stop);
    s.exchange = call;
    script_answer_held(&s);
    ck_assert_uint_eq(s.code, 200);
    assert_body("said");
    let_children_go();
    script_run(&s, 5 * MN_SEC);
    ck_assert(s.is_stopped);
}
END_TEST

START_TEST(a_call_that_never_ends_does_not_hold_it_for_ever)
{
    USE_TEXTS("a.json", "{\"mcpServers\":{\"one\":{\"command\":\"first\"}}}");
    start();
    s.is_call_held = true;
    script_mcp(&s, "one__echo");
    script_step(&s, &(struct edge_input){.type = EDGE_IN_STOP});
    script_run(&s, 9 * MN_SEC);
    ck_assert(!s.is_stopped);
    script_run(&s, 5 * MN_SEC);
    ck_assert(s.is_stopped);
}
END_TEST

START_TEST(a_fatal_end_is_the_last_word)
{
    static const struct mn_span seeds[] = {{(const uint8_t *)"nowhere:7000", 12}};

    config.core.seeds = seeds;
    config.core.seeds_count = 1;
    config.core.is_join_required = true;
    start();
    script_run(&s, MN_MINUTE);
    ck_assert(s.is_fatal);
    ck_assert_uint_eq(s.end_code, 75);
    ck_assert_str_ne(s.end_text, "");
    ck_assert_uint_eq(node_deadline(s.node), MN_TIME_NEVER);
}
END_TEST

/* ---- writes ---- */

START_TEST(a_founder_is_ready_once_its_disk_says_so)
{
    s.is_disk_slow = true;
    start();
    ck_assert_uint_eq(s.secrets_count, 2); /* root.key, join-token */
    script_ask(&s, "GET", "/readyz", "");
    ck_assert_uint_eq(s.code, 503);
    script_mcp(&s, "late__run");
    ck_assert_ptr_nonnull(strstr(s.body, "does not know all servers of the mesh yet"));
    s.is_disk_slow = false;
    script_step(&s, &(struct edge_input){.type = EDGE_IN_DURABLE, .id = s.write_last});
    script_ask(&s, "GET", "/readyz", "");
    ck_assert_uint_eq(s.code, 200);
    script_mcp(&s, "late__run"); /* it is alone, and knows */
    ck_assert_ptr_nonnull(strstr(s.body, "unknown tool: late__run"));
}
END_TEST

START_TEST(one_counter_numbers_all_writes)
{
    uint64_t before;

    start();
    before = s.write_last;
    script_ask(&s, "POST", "/v1/servers", FILES);
    ck_assert_uint_eq(s.write_last, before + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node");
    TCase *tcase = tcase_create("glue");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, texts_and_options_attach_servers);
    tcase_add_test(tcase, the_mesh_is_a_server_itself);
    tcase_add_test(tcase, the_mesh_calls_a_tool_by_its_name);
    tcase_add_test(tcase, clients_change_nothing_unless_the_operator_lets_them);
    tcase_add_test(tcase, no_server_is_called_like_the_mesh);
    tcase_add_test(tcase, a_name_in_two_texts_is_refused_with_both_places);
    tcase_add_test(tcase, an_option_that_repeats_a_name_is_refused);
    tcase_add_test(tcase, a_bad_text_is_refused_with_its_place);
    tcase_add_test(tcase, mcp_is_served_before_the_store_is_read);
    tcase_add_test(tcase, a_server_added_at_run_time_survives_a_restart);
    tcase_add_test(tcase, a_removed_one_does_not_come_back);
    tcase_add_test(tcase, a_name_is_added_once);
    tcase_add_test(tcase, what_is_no_server_is_neither_started_nor_stored);
    tcase_add_test(tcase, a_configured_server_is_not_removed_at_run_time);
    tcase_add_test(tcase, a_restart_is_a_new_process);
    tcase_add_test(tcase, foreign_and_broken_keys_of_the_store_do_no_harm);
    tcase_add_test(tcase, a_reload_touches_only_what_changed);
    tcase_add_test(tcase, a_bad_reload_changes_nothing);
    tcase_add_test(tcase, a_server_added_at_run_time_keeps_its_name_on_reload);
    tcase_add_test(tcase, a_stop_ends_the_children_and_then_itself);
    tcase_add_test(tcase, a_call_under_way_is_finished_before_it_stops);
    tcase_add_test(tcase, a_call_that_never_ends_does_not_hold_it_for_ever);
    tcase_add_test(tcase, a_fatal_end_is_the_last_word);
    tcase_add_test(tcase, a_founder_is_ready_once_its_disk_says_so);
    tcase_add_test(tcase, one_counter_numbers_all_writes);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
