/* Membership under loss, partitions, mass restarts and flapping: nobody dies who lives, and after
 * the last fault all tables come back to the truth. */
#include "tests/crypto/support.h"
#include "tests/mesh/world.h"

#define HEALED_WITHIN (60 * MN_SEC + 2 * 30 * MN_SEC)

static struct world world;

static void setup(void)
{
}

static void teardown(void)
{
    world_done(&world);
}

static void make_mesh(int count, uint8_t seed)
{
    world_init(&world, count, seed);
    world_start_all(&world);
    ck_assert(world_run_until(&world, world_is_agreed, 10 * MN_SEC));
    world_run(&world, 5 * MN_SEC);
}

static void cut_between(int first, int count, bool is_cut, bool is_one_way)
{
    for (int i = 0; i < first; i++) {
        for (int j = first; j < count; j++) {
            world_cut(&world, i, j, is_cut);
            if (!is_one_way) world_cut(&world, j, i, is_cut);
        }
    }
}

START_TEST(ten_percent_loss_buries_nobody)
{
    make_mesh(30, (uint8_t)(1 + _i));
    world.loss_percent = 10;
    world_run(&world, 2 * MN_MINUTE);
    ck_assert_uint_eq(world.false_deaths_count, 0);
    world.loss_percent = 0;
    ck_assert(world_run_until(&world, world_is_agreed, 5 * MN_SEC));
}
END_TEST

/* Lifeguard: whoever sees many failures takes more time. Without it the refutations are several
 * times as many. */
START_TEST(heavy_loss_slows_down_suspicion_and_buries_nobody)
{
    uint64_t refutations = 0;

    make_mesh(10, (uint8_t)(15 + _i));
    world.loss_percent = 40;
    world_run(&world, 2 * MN_MINUTE);
    for (int i = 0; i < 10; i++)
        refutations += membership_stats(world.nodes[i].core).refutations;
    ck_assert_uint_eq(world.false_deaths_count, 0);
    ck_assert_uint_le(refutations, 500);
}
END_TEST

START_TEST(death_is_found_despite_ten_percent_loss)
{
    mn_time start;

    make_mesh(10, (uint8_t)(10 + _i));
    world.loss_percent = 10;
    world_run(&world, 10 * MN_SEC);
    start = world.now;
    world_freeze(&world, 7, true);
    world_run(&world, 20 * MN_SEC);
    for (int i = 0; i < 10; i++) {
        if (i == 7) continue;
        ck_assert_int_eq(world_status(&world, i, 7), MEMBER_DEAD);
        ck_assert_uint_le(world.nodes[i].views[7].dead_at - start, 18 * MN_SEC);
    }
}
END_TEST

/* Lost packets have just made everybody doubt itself; a reset leaves nothing to doubt. */
START_TEST(killed_node_is_dead_soon_after_other_faults)
{
    int count = 3 + _i % 8;
    mn_time start;

    make_mesh(count, (uint8_t)(60 + _i));
    world.loss_percent = 60;
    world_run(&world, 10 * MN_SEC);
    world.loss_percent = 0;
    start = world.now;
    world_kill(&world, 2);
    world_run(&world, 12 * MN_SEC);
    for (int i = 0; i < count; i++) {
        if (i == 2) continue;
        ck_assert_int_eq(world_status(&world, i, 2), MEMBER_DEAD);
        ck_assert_uint_le(world.nodes[i].views[2].dead_at, start + 7 * MN_SEC);
    }
}
END_TEST

START_TEST(partition_splits_and_heals)
{
    make_mesh(10, (uint8_t)(20 + _i));
    cut_between(_i % 2 == 0 ? 5 : 2, 10, true, false);
    world_run(&world, MN_MINUTE);
    ck_assert_int_eq(world_status(&world, 0, 9), MEMBER_DEAD);
    ck_assert_int_eq(world_status(&world, 9, 0), MEMBER_DEAD);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_int_eq(world_status(&world, 9, 8), MEMBER_ALIVE);
    cut_between(_i % 2 == 0 ? 5 : 2, 10, false, false);
    ck_assert(world_run_until(&world, world_is_agreed, HEALED_WITHIN));
    world_run(&world, MN_MINUTE);
    ck_assert(world_is_agreed(&world));
    ck_assert_uint_eq(world.false_deaths_count, 0); /* not even while healing */
}
END_TEST

START_TEST(one_way_partition_heals)
{
    make_mesh(8, (uint8_t)(30 + _i));
    cut_between(3, 8, true, true);
    world_run(&world, MN_MINUTE);
    cut_between(3, 8, false, true);
    ck_assert(world_run_until(&world, world_is_agreed, HEALED_WITHIN));
    world_run(&world, MN_MINUTE);
    ck_assert(world_is_agreed(&world));
}
END_TEST

START_TEST(node_that_missed_a_long_partition_alone_comes_back)
{
    make_mesh(6, 40);
    cut_between(1, 6, true, false);
    world_run(&world, 10 * MN_MINUTE);
    for (int j = 1; j < 6; j++)
        ck_assert_int_eq(world_status(&world, 0, j), MEMBER_DEAD);
    cut_between(1, 6, false, false);
    ck_assert(world_run_until(&world, world_is_agreed, HEALED_WITHIN));
}
END_TEST

START_TEST(mass_restart_is_over_in_seconds)
{
    make_mesh(20, 50);
    for (int i = 0; i < 20; i++)
        world_kill(&world, i);
    world_run(&world, MN_SEC);
    world_start_all(&world);
    ck_assert(world_run_until(&world, world_is_agreed, 10 * MN_SEC));
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(membership_self(world.nodes[i].core)->incarnation, 2);
}
END_TEST

START_TEST(mass_restart_with_lost_disks_is_over_in_seconds)
{
    make_mesh(10, 51);
    for (int i = 0; i < 10; i += 2)
        world.nodes[i].keeps_disk = false;
    for (int i = 0; i < 10; i++)
        world_kill(&world, i);
    world_start_all(&world);
    ck_assert(world_run_until(&world, world_is_agreed, 10 * MN_SEC));
}
END_TEST

START_TEST(a_fifth_of_the_nodes_flaps_and_the_rest_stays)
{
    make_mesh(20, 60);
    for (int round = 0; round < 20; round++) {
        int i = 1 + (int)rng_below(&world.rng, 4);
        if (world.nodes[i].core == NULL)
            world_start(&world, i);
        else
            world_kill(&world, i);
        world_run(&world, rng_below_u64(&world.rng, 6 * MN_SEC));
    }
    for (int i = 1; i <= 4; i++)
        if (world.nodes[i].core == NULL) world_start(&world, i);
    ck_assert(world_run_until(&world, world_is_agreed, HEALED_WITHIN));
    for (int i = 5; i < 20; i++)
        for (int j = 5; j < 20; j++)
            ck_assert_uint_eq(world.nodes[i].views[j].dead_at, 0);
}
END_TEST

/* Anything at once, drawn from the seed; then peace, and all must agree. */
START_TEST(tables_converge_after_any_faults)
{
    make_mesh(8, (uint8_t)(100 + _i));
    for (int round = 0; round < 25; round++) {
        int i = (int)rng_below(&world.rng, 8), j = (int)rng_below(&world.rng, 8);
        switch (rng_below(&world.rng, 6)) {
        case 0:
            if (world.nodes[i].core != NULL) world_kill(&world, i);
            break;
        case 1:
            if (world.nodes[i].core == NULL) world_start(&world, i);
            break;
        case 2: world_freeze(&world, i, world.nodes[i].core != NULL); break;
        case 3: world_freeze(&world, i, false); break;
        case 4: world_cut(&world, i, j, i != j); break;
        default: world.loss_percent = rng_below(&world.rng, 30); break;
        }
        world_run(&world, rng_below_u64(&world.rng, 10 * MN_SEC));
    }
    world.loss_percent = 0;
    for (int i = 0; i < 8; i++) {
        world_freeze(&world, i, false);
        for (int j = 0; j < 8; j++)
            world_cut(&world, i, j, false);
        if (world.nodes[i].core == NULL) world_start(&world, i);
    }
    ck_assert_msg(world_run_until(&world, world_is_agreed, HEALED_WITHIN), "seed %d", 100 + _i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership under faults");
    TCase *tcase = tcase_create("faults");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, ten_percent_loss_buries_nobody, 0, 2);
    tcase_add_loop_test(tcase, heavy_loss_slows_down_suspicion_and_buries_nobody, 0, 3);
    tcase_add_loop_test(tcase, death_is_found_despite_ten_percent_loss, 0, 5);
    tcase_add_loop_test(tcase, killed_node_is_dead_soon_after_other_faults, 0, 64);
    tcase_add_loop_test(tcase, partition_splits_and_heals, 0, 6);
    tcase_add_loop_test(tcase, one_way_partition_heals, 0, 4);
    tcase_add_test(tcase, node_that_missed_a_long_partition_alone_comes_back);
    tcase_add_test(tcase, mass_restart_is_over_in_seconds);
    tcase_add_test(tcase, mass_restart_with_lost_disks_is_over_in_seconds);
    tcase_add_test(tcase, a_fifth_of_the_nodes_flaps_and_the_rest_stays);
    tcase_add_loop_test(tcase, tables_converge_after_any_faults, 0, 30);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
