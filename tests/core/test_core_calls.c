/* Whole cores that offer servers and call them, while nodes freeze and die. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/core/mesh_world.h"
#include "tests/suite.h"

/* ---- offers and services ---- */

START_TEST(an_offer_is_a_service_everywhere)
{
    world_mesh(4);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_services(i), "files=x*1 files.n2=x*1?");
}
END_TEST

START_TEST(an_offer_made_before_joining_comes_along)
{
    world_found(0);
    world_join(1);
    world_offer(1, "files", "x", 0);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
}
END_TEST

START_TEST(a_late_joiner_learns_everything)
{
    world_mesh(3);
    for (uint32_t i = 0; i < 3; i++)
        world_offer(i, "files", "x", 'k');
    world_offer(1, "mail", "m", 0);
    world_run(MN_SEC);
    world_join(3);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(3), "files=x*3 mail=m*1");
}
END_TEST

START_TEST(different_servers_of_one_name_are_kept_apart)
{
    world_mesh(3);
    world_offer(1, "files", "x", 'k');
    world_offer(2, "files", "y", 'l');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_services(i), "files! files.n1=x*1 files.n2=y*1");
    world_assert_failed(world_call(0, "files", false), CALL_CONFLICT);
    world_offer(2, "files", NULL, 0);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_services(i), "files=x*1 files.n1=x*1?");
}
END_TEST

START_TEST(a_changed_body_changes_everywhere)
{
    world_mesh(3);
    world_offer(1, "files", "x", 'k');
    world_run(MN_SEC);
    world_offer(1, "files", "y", 'k');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_listed(i), "files=y*1");
}
END_TEST

START_TEST(the_dead_vanish_from_lists_and_return)
{
    world_mesh(4);
    world_offer(3, "files", "x", 0);
    world_run(MN_SEC);
    world_crash(3);
    world_run(10 * MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_listed(i), "");
    world_restart(3);
    world_run(3 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "files=x*1");
}
END_TEST

/* ---- calls ---- */

START_TEST(a_tool_of_another_node_is_called)
{
    struct world_call *call;

    world_mesh(3);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    call = world_call(1, "files", false);
    world_run(10 * MN_MS);
    world_assert_result(call, "files@n2");
    ck_assert(mn_id_equal(&call->by, world_id(2)));
}
END_TEST

START_TEST(a_call_in_flight_to_a_killed_node_is_unknown_at_once)
{
    struct world_call *call, *later;

    world_mesh(3);
    world_offer(2, "files", "x", 0);
    world_serving(2, WORLD_HANGS);
    world_run(MN_SEC);
    call = world_call(1, "files", false);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(2), 1);
    world_crash(2);
    world_run(10 * MN_MS);
    world_assert_failed(call, CALL_OUTCOME_UNKNOWN);
    later = world_call(1, "files", false); /* no new call goes there */
    world_assert_failed(later, CALL_UNAVAILABLE);
}
END_TEST

START_TEST(an_idempotent_call_goes_to_the_other_replica)
{
    struct world_call *call;
    uint32_t first;

    world_mesh(3);
    world_offer(1, "files", "x", 'k');
    world_offer(2, "files", "x", 'k');
    world_serving(1, WORLD_HANGS);
    world_serving(2, WORLD_HANGS);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*2");
    call = world_call(0, "files", true);
    world_run(10 * MN_MS);
    first = world_executing(1) == 1 ? 1 : 2;
    world_serving(3 - first, WORLD_ANSWERS);
    world_crash(first);
    world_run(10 * MN_MS);
    world_assert_result(call, first == 1 ? "files@n2" : "files@n1");
}
END_TEST

START_TEST(a_server_that_is_down_is_left_for_a_replica)
{
    world_mesh(3);
    world_offer(0, "files", "x", 'k');
    world_offer(1, "files", "x", 'k');
    world_serving(0, WORLD_REFUSES);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 5; i++) {
        struct world_call *call = world_call(0, "files", false);
        world_run(10 * MN_MS);
        world_assert_result(call, "files@n1");
    }
}
END_TEST

START_TEST(a_frozen_node_gets_no_new_calls_after_four_seconds)
{
    world_mesh(4);
    world_offer(2, "files", "x", 'k');
    world_offer(3, "files", "x", 'k');
    world_run(MN_SEC);
    world_freeze(3, true);
    world_run(4 * MN_SEC);
    for (uint32_t i = 0; i < 20; i++) {
        struct world_call *call = world_call(0, "files", false);
        world_run(10 * MN_MS);
        world_assert_result(call, "files@n2");
    }
    world_run(11 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
    world_freeze(3, false);
    world_run(40 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*2");
}
END_TEST

START_TEST(a_call_to_a_frozen_node_ends_with_its_time)
{
    struct world_call *call;

    world_mesh(2);
    world_offer(1, "files", "x", 0);
    world_run(MN_SEC);
    world_freeze(1, true);
    call = world_call_for(0, "files", 500 * MN_MS);
    world_run(600 * MN_MS);
    world_assert_failed(call, CALL_TIMED_OUT);
    world_freeze(1, false);
    world_run(MN_SEC);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(a_call_to_a_frozen_node_is_unknown_once_that_is_dead)
{
    struct world_call *call;

    world_mesh(3);
    world_offer(1, "files", "x", 0);
    world_run(MN_SEC);
    world_freeze(1, true);
    call = world_call(0, "files", false);
    world_run(16 * MN_SEC);
    world_assert_failed(call, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(a_cancel_reaches_the_other_node)
{
    struct world_call *call;

    world_mesh(2);
    world_offer(1, "files", "x", 0);
    world_serving(1, WORLD_HANGS);
    world_run(MN_SEC);
    call = world_call(0, "files", false);
    world_run(10 * MN_MS);
    world_cancel(call);
    world_run(10 * MN_MS);
    ck_assert(!call->is_done);
    ck_assert_uint_eq(world_cancelled(1), 1);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(a_callee_cancels_what_a_dead_caller_asked)
{
    world_mesh(3);
    world_offer(1, "files", "x", 0);
    world_serving(1, WORLD_HANGS);
    world_run(MN_SEC);
    (void)world_call(2, "files", false);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(1), 1);
    world_crash(2);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(local_servers_work_without_a_mesh)
{
    struct world_call *call;

    world_start(1, &(struct world_config){.seed_node = 0});
    world_offer(1, "files", "x", 0);
    world_run(100 * MN_MS);
    ck_assert_str_eq(world_listed(1), "files=x*1");
    call = world_call(1, "files", false);
    world_assert_result(call, "files@n1");
}
END_TEST

START_TEST(many_calls_at_once_all_end)
{
    struct world_call *calls[400];

    world_mesh(4);
    for (uint32_t i = 1; i < 4; i++)
        world_offer(i, "files", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 400; i++)
        calls[i] = world_call(0, "files", false);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 400; i++)
        ck_assert(calls[i]->is_done && calls[i]->kind == CALL_EVENT_RESULT);
    ck_assert_uint_eq(world_executed(1) + world_executed(2) + world_executed(3), 400);
    for (uint32_t i = 1; i < 4; i++)
        ck_assert_uint_gt(world_executed(i), 40);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_calls");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, world_begin, world_end);
    tcase_add_test(tcase, an_offer_is_a_service_everywhere);
    tcase_add_test(tcase, an_offer_made_before_joining_comes_along);
    tcase_add_test(tcase, a_late_joiner_learns_everything);
    tcase_add_test(tcase, different_servers_of_one_name_are_kept_apart);
    tcase_add_test(tcase, a_changed_body_changes_everywhere);
    tcase_add_test(tcase, the_dead_vanish_from_lists_and_return);
    tcase_add_test(tcase, a_tool_of_another_node_is_called);
    tcase_add_test(tcase, a_call_in_flight_to_a_killed_node_is_unknown_at_once);
    tcase_add_test(tcase, an_idempotent_call_goes_to_the_other_replica);
    tcase_add_test(tcase, a_server_that_is_down_is_left_for_a_replica);
    tcase_add_test(tcase, a_frozen_node_gets_no_new_calls_after_four_seconds);
    tcase_add_test(tcase, a_call_to_a_frozen_node_ends_with_its_time);
    tcase_add_test(tcase, a_call_to_a_frozen_node_is_unknown_once_that_is_dead);
    tcase_add_test(tcase, a_cancel_reaches_the_other_node);
    tcase_add_test(tcase, a_callee_cancels_what_a_dead_caller_asked);
    tcase_add_test(tcase, local_servers_work_without_a_mesh);
    tcase_add_test(tcase, many_calls_at_once_all_end);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
