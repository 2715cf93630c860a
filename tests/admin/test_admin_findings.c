/* What is not well, as `status` and `check` say it. */
#include <check.h>
#include <stdlib.h>

#include "tests/admin/admin_world.h"
#include "tests/suite.h"

#define WELL "\"level\":\"ok\",\"findings\":[]}\n"

static void begin_pair(void)
{
    operator_begin(2);
}

static const char *check(const char *of)
{
    struct mn_arena arena = {0};
    const char *answer =
        ask("GET", of == NULL ? "/v1/check" : mn_arena_format(&arena, "/v1/check?of=%s", of), NULL);

    mn_arena_done(&arena);
    return answer;
}

#define SERVERS(list) "{\"listed\":1,\"offered\":{},\"servers\":[" list "]}"

static void gateway_has(const char *counts)
{
    operator_gateways[ADMIN_GATEWAY_COUNTS].json = counts;
}

START_TEST(a_pair_is_well)
{
    gateway_has(SERVERS("{\"name\":\"a\",\"state\":\"ready\"}"));
    assert_has(check(NULL), WELL);
    assert_has(check("node"), WELL);
    assert_has(check("mesh"), WELL);
    assert_has(check("mesh"), "\"kind\":\"Check\",\"mesh\":{\"id\":\"");
    assert_has(check("mesh"), "\"servers\":{\"total\":1,\"ready\":1}");
}
END_TEST

START_TEST(only_node_and_mesh_can_be_checked)
{
    check("disk");
    assert_refused(400, "bad_request");
    check("");
    assert_refused(400, "bad_request");
}
END_TEST

START_TEST(servers_that_do_not_run_are_the_nodes)
{
    gateway_has(SERVERS("{\"name\":\"a\",\"state\":\"ready\",\"error\":\"old\"},"
                        "{\"name\":\"b\",\"state\":\"starting\"},"
                        "{\"name\":\"c\",\"state\":\"backoff\",\"error\":\"not \\\"there\\\"\"},"
                        "{\"name\":\"d\",\"state\":\"auth\",\"error\":\"401\"}"));
    assert_has(check("node"),
               "\"level\":\"warning\",\"findings\":[{\"level\":\"warning\",\"scope\":\"node\","
               "\"code\":\"server_down\",\"message\":\"server c does not run (backoff): not "
               "\\\"there\\\"\",\"next\":\"meshctl servers logs c\"},{");
    assert_has(check("node"), "server d does not run (auth): 401");
    assert_has(check("mesh"), WELL);
}
END_TEST

START_TEST(what_a_server_shows_to_whom_may_not_be_known)
{
    gateway_has(SERVERS("{\"name\":\"a\",\"state\":\"ready\",\"lists_error\":\"it is so\"},"
                        "{\"name\":\"b\",\"state\":\"ready\",\"lists_error\":\"\"}"));
    assert_has(check("node"), "\"level\":\"ok\",\"findings\":[{\"level\":\"info\",\"scope\":"
                              "\"node\",\"code\":\"server_lists\",\"message\":\"of server a, it "
                              "is so\",\"next\":\"meshctl servers logs a\"}]");
}
END_TEST

START_TEST(findings_are_bounded)
{
    struct mn_writer counts = {0};
    uint32_t found = 0;

    mn_writer_str(&counts, "{\"listed\":1,\"offered\":{},\"servers\":[");
    for (int i = 0; i < 300; i++)
        mn_writer_format(&counts, "%s{\"name\":\"s%d\",\"state\":\"failed\"}", i == 0 ? "" : ",",
                         i);
    mn_writer_str(&counts, "]}");
    *mn_writer_take(&counts, 1) = '\0';
    gateway_has((const char *)counts.buf->bytes);
    for (const char *at = check(NULL); (at = strstr(at, "server_down")) != NULL; at++)
        found++;
    ck_assert_uint_eq(found, 64);
    mn_writer_drop(&counts);
}
END_TEST

START_TEST(no_tools_is_told_but_no_warning)
{
    gateway_has("{\"listed\":0,\"offered\":{},\"servers\":[]}");
    assert_has(check("node"), "\"level\":\"ok\",\"findings\":[{\"level\":\"info\",\"scope\":"
                              "\"node\",\"code\":\"no_tools\"");
}
END_TEST

START_TEST(stopping_is_critical)
{
    gateway_has(SERVERS(""));
    operator_stop();
    assert_has(check("node"), "\"level\":\"critical\",\"findings\":[{\"level\":\"critical\","
                              "\"scope\":\"node\",\"code\":\"stopping\"");
    assert_has(check("mesh"), WELL);
}
END_TEST

START_TEST(not_having_joined_is_critical)
{
    operator_end();
    world_begin();
    world_start(1, &(struct world_config){.seed_node = 0});
    world_run(MN_SEC);
    operator_begin_with(1, (struct admin_config){.is_dev = false});
    gateway_has(SERVERS(""));
    assert_has(check("node"), "\"code\":\"not_joined\",\"message\":\"it has not joined the mesh "
                              "yet\",\"next\":\"meshctl events\"}]}");
    assert_has(check("mesh"), WELL); /* it knows of none */
}
END_TEST

static void root_key_is(bool is_there)
{
    struct edge_input input = {.type = EDGE_IN_ROOT_KEY, .code = is_there};
    struct mn_arena arena = {0};
    struct admin_outbox outbox = {.arena = &arena};

    admin_step(operator_admin, world_now(),
               &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &input}, &outbox);
    mn_arena_done(&arena);
}

START_TEST(a_root_key_that_stays_on_the_disk_is_told_until_it_is_gone)
{
    gateway_has(SERVERS(""));
    root_key_is(true);
    assert_has(check("mesh"), "\"level\":\"warning\",\"findings\":[{\"level\":\"warning\","
                              "\"scope\":\"mesh\",\"code\":\"root_key_here\"");
    assert_has(check("node"), WELL);
    root_key_is(false);
    assert_has(check("mesh"), WELL);
}
END_TEST

static bool is_suspect(void)
{
    return membership_count(core_membership(world_core(0)), MEMBER_SUSPECT) == 1;
}

static bool is_dead(void)
{
    return membership_count(core_membership(world_core(0)), MEMBER_DEAD) == 1;
}

START_TEST(members_that_do_not_answer_are_named)
{
    gateway_has(SERVERS(""));
    world_freeze(1, true);
    world_until(is_suspect, 20 * MN_SEC);
    assert_has(check("mesh"),
               "\"level\":\"warning\",\"findings\":[{\"level\":\"warning\",\"scope\":"
               "\"mesh\",\"code\":\"suspects\",\"message\":\"member n1 does not "
               "answer\",\"next\":\"meshctl nodes\"}]}");
    assert_has(check("node"), WELL);
    world_until(is_dead, 60 * MN_SEC);
    assert_has(check("mesh"), "\"code\":\"dead_members\",\"message\":\"member n1 is dead\"");
}
END_TEST

START_TEST(many_names_are_cut_short)
{
    gateway_has(SERVERS(""));
    for (uint32_t i = 2; i < 6; i++)
        world_start(i, &(struct world_config){.token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 10 * MN_SEC);
    for (uint32_t i = 1; i < 6; i++)
        world_crash(i);
    world_run(60 * MN_SEC);
    assert_has(check("mesh"), "\"code\":\"dead_members\",\"message\":\"members n");
    assert_has(check("mesh"), " are dead\"");
}
END_TEST

START_TEST(clocks_that_differ_are_told)
{
    gateway_has(SERVERS(""));
    world_set_clock(2, -20 * (int64_t)MN_SEC);
    world_start(2, &(struct world_config){.token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 10 * MN_SEC);
    assert_has(check("mesh"), "\"code\":\"clock\",\"message\":\"the clock of n2 is 20");
    assert_has(check("mesh"), " ms behind\"");
}
END_TEST

START_TEST(one_issuer_is_too_few_for_three)
{
    gateway_has(SERVERS(""));
    assert_has_not(check("mesh"), "one_issuer");
    world_start(2, &(struct world_config){.token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 10 * MN_SEC);
    assert_has(check("mesh"), "\"code\":\"one_issuer\"");
}
END_TEST

/* Its issuer is away, so that nobody renews it. */
START_TEST(a_grant_that_ends_soon_is_told_and_then_critical)
{
    operator_end();
    world_begin();
    world_start(0, &(struct world_config){.seed_node = -1, .grant_ttl_ms = 3600000});
    world_run(100 * MN_MS);
    world_start(1, &(struct world_config){.token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(MN_SEC);
    world_crash(0);
    operator_begin_with(1, (struct admin_config){.is_dev = false});
    gateway_has(SERVERS(""));
    assert_has(check("node"), WELL);
    world_run(50 * MN_MINUTE);
    assert_has(check("node"),
               "{\"level\":\"warning\",\"scope\":\"node\",\"code\":\"grant_expires\","
               "\"message\":\"its grant ends in 0 h and was not renewed");
    world_run(11 * MN_MINUTE);
    assert_has(check("node"),
               "{\"level\":\"critical\",\"scope\":\"node\",\"code\":\"grant_expired\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin_findings");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, begin_pair, operator_end);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, a_pair_is_well);
    tcase_add_test(all, only_node_and_mesh_can_be_checked);
    tcase_add_test(all, servers_that_do_not_run_are_the_nodes);
    tcase_add_test(all, what_a_server_shows_to_whom_may_not_be_known);
    tcase_add_test(all, findings_are_bounded);
    tcase_add_test(all, no_tools_is_told_but_no_warning);
    tcase_add_test(all, stopping_is_critical);
    tcase_add_test(all, not_having_joined_is_critical);
    tcase_add_test(all, members_that_do_not_answer_are_named);
    tcase_add_test(all, many_names_are_cut_short);
    tcase_add_test(all, clocks_that_differ_are_told);
    tcase_add_test(all, a_root_key_that_stays_on_the_disk_is_told_until_it_is_gone);
    tcase_add_test(all, one_issuer_is_too_few_for_three);
    tcase_add_test(all, a_grant_that_ends_soon_is_told_and_then_critical);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
