/* Replicas are compared; and a group that has lost its quorum: what would be lost is said, it is
 * begun anew, and whoever comes back from the old one lets go of that. */
#include <check.h>
#include <stdlib.h>

#include "crypto/recovery.h"
#include "node/state/rescue.h"
#include "tests/state/state_world.h"
#include "tests/suite.h"

static mn_status survey(uint32_t index, uint64_t digest_at)
{
    mn_id nodes[WORLD_NODES];
    uint32_t count = 0;

    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world_hosts[i].is_member) nodes[count++] = world_hosts[i].id;
    return world_ask(index, (struct state_request){.type = STATE_SURVEY,
                                                   .survey = {nodes, count, digest_at, {0}, 0},
                                                   .timeout = 2 * MN_SEC});
}

static struct rescue_plan plan(uint32_t index)
{
    struct rescue_lost dead[WORLD_NODES];
    struct rescue_input input = {.dead = dead, .positions = world_positions};

    ck_assert_int_eq(survey(index, 0), MN_OK);
    input.now = world_now;
    input.positions_count = world_answer.positions_count;
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world_hosts[i].is_member && world_hosts[i].state == NULL)
            dead[input.dead_count++] =
                (struct rescue_lost){world_hosts[i].id, world_hosts[i].since};
    return rescue_judge(&input);
}

static uint32_t host_of(const struct state_position *position)
{
    return (uint32_t)position->node.bytes[15] - 1;
}

static mn_status obey(uint32_t index, const struct rescue_plan *rescue)
{
    struct recovery recovery = {.epoch = rescue->epoch,
                                .node = rescue->best->node,
                                .last_index = rescue->best->last_index,
                                .last_term = rescue->best->last_term,
                                .lost_count = rescue->lost_count};
    struct sign_key key;
    struct mn_buf *order;
    mn_status status;
    static const uint8_t seed[SIGN_SEED_SIZE] = {1};

    for (uint32_t i = 0; i < rescue->lost_count; i++)
        recovery.lost[i] = rescue->lost[i].node;
    sign_key_init(&key, seed);
    order = recovery_sign(&recovery, &(mn_id){0}, &key);
    status = world_ask(index, (struct state_request){.type = STATE_ORDER,
                                                     .survey = {&recovery.node, 1, 0,
                                                                mn_buf_span(order), recovery.epoch},
                                                     .timeout = 10 * MN_SEC});
    mn_buf_unref(order);
    return status;
}

static void kill_and_wait(uint32_t count, const uint32_t *who, mn_time time)
{
    for (uint32_t i = 0; i < count; i++)
        world_kill(who[i]);
    world_run(time);
}

START_TEST(replicas_are_equal_and_a_damaged_one_is_not)
{
    uint64_t rev;

    world_boot_all(3);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    ck_assert_int_eq(
        world_ask(1, (struct state_request){.type = STATE_COMMAND, .command.verb = STRONG_VERIFY}),
        MN_OK);
    rev = world_answer.reply.rev;
    ck_assert_int_eq(survey(2, rev), MN_OK);
    ck_assert_uint_eq(world_answer.positions_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert(world_positions[i].has_digest);
        ck_assert_mem_eq(world_positions[i].digest, world_positions[0].digest, STRONG_DIGEST_SIZE);
    }
    ck_assert_int_eq(survey(2, rev + 1000), MN_OK); /* no such: nobody has a digest of it */
    ck_assert_uint_eq(world_answer.positions_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(!world_positions[i].has_digest);
}
END_TEST

START_TEST(a_group_with_a_quorum_is_left_alone)
{
    world_boot_all(3);
    ck_assert_int_eq(plan(0).verdict, RESCUE_NOT_NEEDED);
    kill_and_wait(1, (uint32_t[]){2}, 40 * MN_SEC);
    ck_assert_int_eq(plan(0).verdict, RESCUE_NOT_NEEDED);
}
END_TEST

START_TEST(the_dead_must_be_dead_for_a_while)
{
    world_boot_all(3);
    kill_and_wait(2, (uint32_t[]){1, 2}, 10 * MN_SEC);
    ck_assert_int_eq(plan(0).verdict, RESCUE_TOO_SOON);
    world_run(25 * MN_SEC);
    ck_assert_int_eq(plan(0).verdict, RESCUE_POSSIBLE);
}
END_TEST

/* Of four nodes three vote. A learner begins no election, so it remembers the leader that died. */
START_TEST(a_learner_that_remembers_a_dead_leader_does_not_stand_in_the_way)
{
    uint32_t victims[WORLD_NODES], count = 0, left = WORLD_NODES;
    struct raft_view view;

    world_boot_all(4);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert(state_view(world_hosts[i].state, &view));
        if (!quorum_is_voter(view.config, &world_hosts[i].id)) continue;
        if (view.role != RAFT_LEADER && left == WORLD_NODES)
            left = i;
        else
            victims[count++] = i;
    }
    ck_assert_uint_eq(count, 2);
    kill_and_wait(count, victims, 40 * MN_SEC);
    ck_assert_int_eq(plan(left).verdict, RESCUE_POSSIBLE);
    ck_assert_uint_eq(host_of(plan(left).best), left);
}
END_TEST

/* Two of three gone: what only they had acknowledged between themselves would be lost. */
START_TEST(a_group_is_begun_anew_from_who_is_left)
{
    struct rescue_plan rescue;

    world_boot_all(3);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    kill_and_wait(2, (uint32_t[]){1, 2}, 35 * MN_SEC);
    ck_assert_int_ne(world_put(0, "b", "1"), MN_OK);
    rescue = plan(0);
    ck_assert_int_eq(rescue.verdict, RESCUE_POSSIBLE);
    ck_assert_uint_eq(host_of(rescue.best), 0);
    ck_assert_uint_eq(rescue.lost_count, 2);
    ck_assert(!rescue.is_lossless);
    ck_assert_int_eq(obey(0, &rescue), MN_OK);
    ck_assert_str_eq(world_get(0, "a"), "1");
    ck_assert_int_eq(world_put(0, "b", "2"), MN_OK);
    ck_assert_uint_eq(state_epoch(world_hosts[0].state), 2);
}
END_TEST

/* Those that come back let go of the old group, also if they could have led it: what they wrote
 * meanwhile among themselves is gone. */
START_TEST(who_comes_back_joins_the_new_group)
{
    struct rescue_plan rescue;

    world_boot_all(3);
    ck_assert_int_eq(world_put(0, "a", "old"), MN_OK);
    kill_and_wait(2, (uint32_t[]){1, 2}, 35 * MN_SEC);
    rescue = plan(0);
    ck_assert_int_eq(obey(0, &rescue), MN_OK);
    ck_assert_int_eq(world_put(0, "a", "new"), MN_OK);
    for (uint32_t i = 1; i < 3; i++)
        world_cut[0][i] = world_cut[i][0] = true;
    world_boot(1);
    world_boot(2);
    world_run(5 * MN_SEC);
    ck_assert_int_eq(world_put(1, "c", "nobody knows"), MN_OK);
    memset(world_cut, 0, sizeof world_cut);
    world_run(20 * MN_SEC);
    ck_assert_uint_eq(world_voters(), 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(state_epoch(world_hosts[i].state), 2);
        ck_assert_str_eq(world_get(i, "a"), "new");
        ck_assert_str_eq(world_get(i, "c"), "");
    }
}
END_TEST

START_TEST(the_new_group_survives_restarts_of_all)
{
    struct rescue_plan rescue;

    world_boot_all(3);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    kill_and_wait(2, (uint32_t[]){1, 2}, 35 * MN_SEC);
    rescue = plan(0);
    ck_assert_int_eq(obey(0, &rescue), MN_OK);
    world_boot(1);
    world_boot(2);
    world_run(20 * MN_SEC);
    ck_assert_int_eq(world_put(1, "b", "2"), MN_OK);
    kill_and_wait(3, (uint32_t[]){0, 1, 2}, MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        world_boot(i);
    world_run(10 * MN_SEC);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(state_epoch(world_hosts[i].state), 2);
        ck_assert_str_eq(world_get(i, "a"), "1");
        ck_assert_str_eq(world_get(i, "b"), "2");
    }
}
END_TEST

/* Of four voters' worth of five, three went; the two that are left meet every quorum only if the
 * three were none. With weights 3 for one that is left, they were none. */
START_TEST(nothing_is_lost_when_the_lost_were_no_quorum)
{
    struct rescue_plan rescue;
    uint32_t heavy;

    world_hosts[1].weight = 3;
    world_boot_all(5);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    heavy = 1;
    kill_and_wait(3, (uint32_t[]){0, 2, 3}, 35 * MN_SEC);
    ck_assert_int_eq(plan(heavy).verdict, RESCUE_NOT_NEEDED); /* 4 of 7 are here */
    kill_and_wait(1, (uint32_t[]){4}, 35 * MN_SEC);
    rescue = plan(heavy);
    ck_assert_int_eq(rescue.verdict, RESCUE_POSSIBLE); /* 3 of 7 */
    ck_assert(!rescue.is_lossless);                    /* the other four are a quorum */
}
END_TEST

START_TEST(an_order_is_not_obeyed_when_there_is_a_leader_or_the_log_is_shorter)
{
    struct rescue_plan rescue;

    world_boot_all(3);
    ck_assert_int_eq(survey(0, 0), MN_OK);
    rescue = (struct rescue_plan){.best = world_positions, .epoch = 2};
    ck_assert_int_eq(obey(0, &rescue), MN_TIMEOUT);
    kill_and_wait(2, (uint32_t[]){1, 2}, 35 * MN_SEC);
    rescue = plan(0);
    world_positions[0].last_index++; /* that is what [best] points to */
    ck_assert_int_eq(obey(0, &rescue), MN_TIMEOUT);
    ck_assert_uint_eq(state_epoch(world_hosts[0].state), 1);
}
END_TEST

/* What is in the log of who is left and was not committed yet is kept: it may have been. */
START_TEST(what_is_in_the_log_comes_true)
{
    struct rescue_plan rescue;
    uint32_t left;

    world_boot_all(3);
    left = world_leader();
    for (uint32_t i = 0; i < 3; i++)
        world_cut[left][i] = world_cut[i][left] = i != left;
    ck_assert_int_eq(world_put(left, "a", "maybe"), MN_TIMEOUT);
    kill_and_wait(2, (uint32_t[]){(left + 1) % 3, (left + 2) % 3}, 35 * MN_SEC);
    memset(world_cut, 0, sizeof world_cut);
    rescue = plan(left);
    ck_assert_int_eq(rescue.verdict, RESCUE_POSSIBLE);
    ck_assert_int_eq(obey(left, &rescue), MN_OK);
    ck_assert_str_eq(world_get(left, "a"), "maybe");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rescue");
    TCase *tcase = tcase_create("all");

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, replicas_are_equal_and_a_damaged_one_is_not);
    tcase_add_test(tcase, a_group_with_a_quorum_is_left_alone);
    tcase_add_test(tcase, the_dead_must_be_dead_for_a_while);
    tcase_add_test(tcase, a_learner_that_remembers_a_dead_leader_does_not_stand_in_the_way);
    tcase_add_test(tcase, a_group_is_begun_anew_from_who_is_left);
    tcase_add_test(tcase, who_comes_back_joins_the_new_group);
    tcase_add_test(tcase, the_new_group_survives_restarts_of_all);
    tcase_add_test(tcase, nothing_is_lost_when_the_lost_were_no_quorum);
    tcase_add_test(tcase, an_order_is_not_obeyed_when_there_is_a_leader_or_the_log_is_shorter);
    tcase_add_test(tcase, what_is_in_the_log_comes_true);
    return suite_run(suite);
}
