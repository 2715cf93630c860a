/* Whole cores that found, join, die and come back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/core/mesh_world.h"
#include "tests/suite.h"

/* ---- coming together ---- */

START_TEST(a_founder_has_a_mesh_of_one)
{
    struct core_self self;

    world_found(0);
    self = core_self(world_core(0));
    ck_assert(self.is_issuer && self.is_ready);
    ck_assert_uint_eq(self.incarnation, 1);
    ck_assert(!mn_id_is_zero(&self.mesh_id));
    ck_assert_uint_eq(world_secrets(0), 2); /* root key and join token */
    ck_assert_uint_eq(strlen(world_token()), 65);
}
END_TEST

START_TEST(a_node_with_a_token_is_in_within_two_seconds)
{
    world_found(0);
    world_join(1);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(200 * MN_MS);
    ck_assert(core_self(world_core(1)).is_ready);
    ck_assert(!core_self(world_core(1)).is_issuer);
    ck_assert(memcmp(core_self(world_core(1)).mesh_id.bytes, core_self(world_core(0)).mesh_id.bytes,
                     16) == 0);
}
END_TEST

START_TEST(six_nodes_become_one_mesh)
{
    world_mesh(WORLD_NODES);
}
END_TEST

START_TEST(a_wrong_token_is_refused_for_good)
{
    char token[80];

    world_found(0);
    /* well-formed, of this mesh, and unknown to it: another secret */
    world_start(1,
                &(struct world_config){
                    .seed_node = 0,
                    .token = "mnt1-agvkvkvkvkvkvkvkvkvkvkvkvkvlxo53xo53xo53xo53xo53xo53wgf7t52a"});
    world_run(MN_MINUTE);
    ck_assert_int_eq(world_fatal(1), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(1), "mesh_mismatch"));
    world_crash(1);
    memcpy(token, world_token(), 66);
    token[20] = token[20] == 'a' ? 'b' : 'a';
    world_start(1, &(struct world_config){.seed_node = 0, .token = token});
    ck_assert_int_eq(world_fatal(1), 77);
}
END_TEST

START_TEST(without_a_token_nobody_gets_in)
{
    world_found(0);
    world_start(1, &(struct world_config){.seed_node = 0});
    world_run(MN_HOUR); /* its link is kept all the time, as long as nobody decides */
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    ck_assert_int_eq(core_self(world_core(1)).last_refusal, MESHNODE__TRUST__CODE__CODE_PENDING);
    ck_assert_uint_eq(membership_count(core_membership(world_core(0)), MEMBER_ALIVE), 1);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).waiting, 1);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).guests, 0);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).handshakes_done, 1);
}
END_TEST

START_TEST(joining_waits_for_the_seed_for_ever)
{
    world_found(0);
    world_crash(0);
    world_join(1);
    world_run(5 * MN_MINUTE);
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    world_restart(0);
    world_until(world_is_whole, 40 * MN_SEC);
}
END_TEST

START_TEST(required_joining_gives_up)
{
    world_start(1, &(struct world_config){.seed_node = 0, .is_join_required = true});
    world_run(31 * MN_SEC);
    ck_assert_int_eq(world_fatal(1), 75);
}
END_TEST

START_TEST(a_list_of_only_itself_is_a_mistake)
{
    world_start(1, &(struct world_config){.seed_node = 1});
    world_run(MN_SEC);
    ck_assert_int_eq(world_fatal(1), 78);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(1), "--bootstrap"));
}
END_TEST

START_TEST(a_second_process_with_a_live_identity_is_refused)
{
    world_mesh(2);
    world_start(2, &(struct world_config){
                       .seed_node = 0, .token = world_token(), .identity = 2, .name = "clone"});
    world_run(10 * MN_SEC);
    ck_assert_int_eq(world_fatal(2), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(2), "identity_in_use"));
    world_crash(2);
    ck_assert(world_is_whole());
}
END_TEST

/* ---- nothing before it is durable ---- */

START_TEST(a_mesh_is_founded_once_it_is_durable)
{
    world_stall(0, true);
    world_start(0, &(struct world_config){.seed_node = -1});
    world_run(MN_SEC);
    ck_assert_int_eq(core_self(world_core(0)).state, CORE_JOINING);
    ck_assert(!core_self(world_core(0)).is_ready);
    world_stall(0, false);
    world_run(100 * MN_MS);
    ck_assert(core_self(world_core(0)).is_ready);
}
END_TEST

START_TEST(a_grant_leaves_once_its_use_is_durable)
{
    world_found(0);
    world_stall(0, true);
    world_join(1);
    world_run(MN_SEC);
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    world_stall(0, false);
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

START_TEST(an_issuer_killed_before_its_write_admitted_nobody)
{
    const struct core_reply *reply;
    char token[80];

    world_found(0);
    reply = world_command(
        0, (struct core_command){.type = CORE_TOKEN_CREATE, .uses = 1, .ttl_ms = 3600000});
    snprintf(token, sizeof token, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    world_stall(0, true);
    world_start(1, &(struct world_config){.token = token, .seed_node = 0});
    world_run(MN_SEC);
    world_crash(0);
    world_crash(1);
    world_stall(0, false);
    world_restart(0);
    world_start(2, &(struct world_config){.token = token, .seed_node = 0}); /* its use is free */
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

START_TEST(a_member_announces_itself_once_it_is_durable)
{
    world_found(0);
    world_stall(1, true);
    world_join(1);
    world_run(2 * MN_SEC);
    ck_assert_uint_eq(membership_count(core_membership(world_core(0)), MEMBER_ALIVE), 1);
    world_stall(1, false);
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

/* ---- coming back ---- */

START_TEST(a_restarted_node_needs_no_token_and_counts_up)
{
    world_mesh(3);
    world_crash(1);
    world_run(2 * MN_SEC);
    world_restart(1);
    world_until(world_is_whole, 5 * MN_SEC);
    ck_assert_uint_gt(core_self(world_core(1)).incarnation, 1);
}
END_TEST

START_TEST(a_restarted_node_needs_no_seed_either)
{
    world_mesh(3);
    world_crash(0); /* the seed of all */
    world_crash(1);
    world_run(30 * MN_SEC);
    world_restart(1);
    world_until(world_is_whole, 10 * MN_SEC);
}
END_TEST

START_TEST(all_restart_at_once)
{
    world_mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_crash(i);
    for (uint32_t i = 0; i < 4; i++)
        world_restart(i);
    world_until(world_is_whole, 40 * MN_SEC);
}
END_TEST

START_TEST(a_lost_disk_with_the_old_key_comes_back)
{
    world_mesh(2);
    world_crash(1);
    world_wipe(1);
    world_run(20 * MN_SEC);
    world_start(1, &(struct world_config){.seed_node = 0, .is_identity_old = true});
    world_until(world_is_whole, 20 * MN_SEC);
    ck_assert_uint_gt(core_self(world_core(1)).incarnation, 1);
}
END_TEST

START_TEST(who_leaves_is_gone_at_once)
{
    world_mesh(3);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
    world_leave(2);
    world_run(500 * MN_MS);
    ck_assert_str_eq(world_listed(0), "");
    ck_assert_int_eq(membership_find(core_membership(world_core(0)), world_id(2))->status,
                     MEMBER_LEFT);
    world_restart(2);
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
}
END_TEST

START_TEST(leaving_while_joining_stops_too)
{
    world_start(1, &(struct world_config){.seed_node = 0});
    world_run(MN_SEC);
    world_leave(1);
}
END_TEST

/* ---- faults ---- */

START_TEST(a_partition_heals)
{
    world_mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_offer(i, i < 2 ? "left" : "right", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 2; b < 4; b++)
            world_cut(a, b, true);
    world_run(40 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "left=x*2");
    ck_assert_str_eq(world_listed(3), "right=x*2");
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 2; b < 4; b++)
            world_cut(a, b, false);
    world_until(world_is_whole, 2 * MN_MINUTE);
    world_run(5 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "left=x*2 right=x*2");
}
END_TEST

static bool is_answered_clearly(const struct world_call *call)
{
    return call->is_done && (call->kind == CALL_EVENT_RESULT || call->text[0] != '\0');
}

/* Its own grants look ended to it, or not begun; the others never notice more than its absence. */
START_TEST(a_clock_that_is_far_off_harms_its_own_node_only)
{
    static const int64_t offs[] = {40 * (int64_t)MN_DAY, -40 * (int64_t)MN_DAY};

    world_mesh(5);
    world_set_clock((uint32_t)_i / 2, offs[_i % 2]);
    world_run(5 * MN_MINUTE);
    for (uint32_t i = 0; i < 5; i++) {
        int64_t off = admission_clock_off_ms(core_admission(world_core(i)));
        ck_assert_int_eq(world_fatal(i), 0);
        if (i == (uint32_t)_i / 2)
            ck_assert_int_lt(llabs(off + offs[_i % 2] / (int64_t)MN_MS), 1000);
        else
            ck_assert_int_eq(off, 0);
    }
    world_set_clock((uint32_t)_i / 2, 0);
    world_until(world_is_whole, 3 * MN_MINUTE);
    world_run(2 * MN_MINUTE);
    ck_assert(world_is_whole());
    ck_assert_int_eq(admission_clock_off_ms(core_admission(world_core((uint32_t)_i / 2))), 0);
}
END_TEST

/* Crashes, cuts and freezes under load; then all is well. */
START_TEST(all_is_well_after_faults)
{
    struct world_call *calls[600];
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, 77};
    uint32_t count = 0;
    struct rng rng;

    rng_init(&rng, seed);
    world_mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_offer(i, i % 2 ? "odd" : "even", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t node = 1 + rng_below(&rng, 3), other = rng_below(&rng, 4);
        switch (rng_below(&rng, 5)) {
        case 0:
            if (world_core(node) != NULL)
                world_crash(node);
            else
                world_restart(node);
            break;
        case 1: world_freeze(node, rng_below(&rng, 2) == 0); break;
        case 2:
            if (node != other) world_cut(node, other, rng_below(&rng, 2) == 0);
            break;
        default: break;
        }
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t caller = rng_below(&rng, 4);
            if (world_core(caller) == NULL) continue;
            calls[count] =
                world_call(caller, rng_below(&rng, 2) ? "odd" : "even", rng_below(&rng, 2) == 0);
            if (caller == 0) count++; /* callers that crash answer nobody */
        }
        world_run(rng_below_u64(&rng, 3 * MN_SEC));
    }
    for (uint32_t i = 0; i < 4; i++) {
        world_freeze(i, false);
        for (uint32_t j = 0; j < 4; j++)
            if (j != i) world_cut(i, j, false);
        if (world_core(i) == NULL) world_restart(i);
    }
    world_run(2 * MN_MINUTE);
    ck_assert(world_is_whole());
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "even=x*2 odd=x*2");
    for (uint32_t i = 0; i < count; i++)
        ck_assert(is_answered_clearly(calls[i]));
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_mesh");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, world_begin, world_end);
    tcase_add_test(tcase, a_founder_has_a_mesh_of_one);
    tcase_add_test(tcase, a_node_with_a_token_is_in_within_two_seconds);
    tcase_add_test(tcase, six_nodes_become_one_mesh);
    tcase_add_test(tcase, a_wrong_token_is_refused_for_good);
    tcase_add_test(tcase, without_a_token_nobody_gets_in);
    tcase_add_test(tcase, joining_waits_for_the_seed_for_ever);
    tcase_add_test(tcase, required_joining_gives_up);
    tcase_add_test(tcase, a_list_of_only_itself_is_a_mistake);
    tcase_add_test(tcase, a_second_process_with_a_live_identity_is_refused);
    tcase_add_test(tcase, a_mesh_is_founded_once_it_is_durable);
    tcase_add_test(tcase, a_grant_leaves_once_its_use_is_durable);
    tcase_add_test(tcase, an_issuer_killed_before_its_write_admitted_nobody);
    tcase_add_test(tcase, a_member_announces_itself_once_it_is_durable);
    tcase_add_test(tcase, a_restarted_node_needs_no_token_and_counts_up);
    tcase_add_test(tcase, a_restarted_node_needs_no_seed_either);
    tcase_add_test(tcase, all_restart_at_once);
    tcase_add_test(tcase, a_lost_disk_with_the_old_key_comes_back);
    tcase_add_test(tcase, who_leaves_is_gone_at_once);
    tcase_add_test(tcase, leaving_while_joining_stops_too);
    tcase_add_test(tcase, a_partition_heals);
    tcase_add_loop_test(tcase, a_clock_that_is_far_off_harms_its_own_node_only, 0, 4);
    tcase_add_loop_test(tcase, all_is_well_after_faults, 0, 20);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
