/* Who votes and with what weight: what nodes say, operators want, and the advisor measures. */
#include <check.h>
#include <stdlib.h>

#include "tests/state/state_world.h"
#include "tests/suite.h"

static uint32_t weight_of(uint32_t index)
{
    struct raft_view view;
    int at;

    ck_assert_uint_lt(world_leader(), WORLD_NODES);
    ck_assert(state_view(world_hosts[world_leader()].state, &view));
    at = quorum_find(view.config, &world_hosts[index].id);
    return at < 0 ? 0 : view.config->members[at].weight;
}

static mn_status want_role(uint32_t index, enum metadata_role role)
{
    return world_ask(index == 0 ? 1 : 0, (struct state_request){.type = STATE_WISH,
                                                                .wish_of = STATE_WISH_ROLE,
                                                                .node = world_hosts[index].id,
                                                                .wish.role = role});
}

static mn_status want_weight(uint32_t index, uint32_t weight)
{
    return world_ask(0, (struct state_request){.type = STATE_WISH,
                                               .wish_of = STATE_WISH_WEIGHT,
                                               .node = world_hosts[index].id,
                                               .wish.weight = weight});
}

static mn_status want_advice(bool is_on)
{
    return world_ask(1, (struct state_request){.type = STATE_WISH,
                                               .wish_of = STATE_WISH_ADVISED,
                                               .wish.is_advised = is_on});
}

static const struct state_progress *row_of(uint32_t index)
{
    ck_assert_int_eq(world_ask(0, (struct state_request){.type = STATE_PROGRESS}), MN_OK);
    for (uint32_t i = 0; i < world_answer.progress_count; i++)
        if (mn_id_equal(&world_answer.progress[i].node, &world_hosts[index].id))
            return &world_answer.progress[i];
    return NULL;
}

START_TEST(a_weight_that_gives_one_half_is_refused)
{
    world_boot_all(5);
    ck_assert_int_eq(want_weight(2, 4), MN_CONFIG);
    ck_assert_int_eq(want_weight(2, 2), MN_OK);
    world_run(3 * MN_SEC);
    ck_assert_uint_eq(weight_of(2), 2);
}
END_TEST

START_TEST(what_a_node_says_counts_until_an_operator_says_otherwise)
{
    world_hosts[3].weight = 2;
    world_boot_all(5);
    ck_assert_uint_eq(weight_of(3), 2);
    ck_assert_uint_eq(weight_of(4), 1);
    ck_assert_int_eq(want_weight(3, 1), MN_OK);
    world_run(3 * MN_SEC);
    ck_assert_uint_eq(weight_of(3), 1);
    ck_assert_int_eq(want_weight(3, 0), MN_OK);
    world_run(3 * MN_SEC);
    ck_assert_uint_eq(weight_of(3), 2);
}
END_TEST

/* 9 of 1, 1, 1, 1 would be more than half: it gets 3, one less than the others together. */
START_TEST(a_node_that_wants_half_gets_less)
{
    world_hosts[2].weight = 9;
    world_boot_all(5);
    ck_assert_uint_eq(weight_of(2), 3);
    ck_assert_int_eq(world_put(1, "a", "1"), MN_OK);
}
END_TEST

START_TEST(role_and_weight_are_wanted_apart)
{
    world_boot_all(5);
    ck_assert_int_eq(want_weight(2, 2), MN_OK);
    ck_assert_int_eq(want_role(2, METADATA_VOTER), MN_OK);
    ck_assert_uint_eq(row_of(2)->wish.weight, 2);
    ck_assert_int_eq(row_of(2)->wish.role, METADATA_VOTER);
    ck_assert_int_eq(want_role(2, 0), MN_OK);
    ck_assert_uint_eq(row_of(2)->wish.weight, 2);
    ck_assert_int_eq(row_of(2)->wish.role, 0);
}
END_TEST

START_TEST(a_voter_that_shall_not_vote_learns_and_another_votes)
{
    uint32_t who = 0;

    world_boot_all(4);
    while (who == world_leader() || !world_votes(who))
        who++;
    ck_assert_int_eq(want_role(who, METADATA_LEARNER), MN_OK);
    world_run(5 * MN_SEC);
    ck_assert(!world_votes(who));
    ck_assert_uint_eq(world_voters(), 3);
    ck_assert_int_eq(want_role(who, METADATA_VOTER), MN_OK);
    world_run(5 * MN_SEC);
    ck_assert_uint_eq(world_voters(), 3);
}
END_TEST

static void write_much(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(world_put(world_leader(), "a", "1"), MN_OK);
}

/* Three voters have slow disks: who is fast gets weight, and commits need one other voter, not two;
 * but only while the advisor is told to, and a minute after the leader began. */
START_TEST(the_advisor_gives_weight_to_who_is_fast)
{
    uint32_t fast, sum = 0;

    world_hosts[2].sync = world_hosts[3].sync = world_hosts[4].sync = 60 * MN_MS;
    world_boot_all(5);
    write_much(30);
    fast = world_leader();
    ck_assert_uint_lt(fast, 2);
    ck_assert_uint_gt(row_of(3)->ack, 50 * MN_MS);
    ck_assert_uint_eq(row_of(fast)->advised, 3);
    ck_assert_uint_gt(world_answer.gain_permille, QUORUM_REWEIGH_GAIN_PERMILLE);
    world_run(70 * MN_SEC);
    ck_assert_uint_eq(weight_of(fast), 1); /* nobody told it to */
    ck_assert_int_eq(want_advice(true), MN_OK);
    world_run(3 * MN_SEC);
    ck_assert_uint_eq(weight_of(fast), 3);
    for (uint32_t i = 0; i < 5; i++)
        sum += weight_of(i);
    ck_assert_uint_eq(sum, 7);
    ck_assert(row_of(fast)->is_member && world_answer.is_advised);
    ck_assert_uint_eq(world_answer.gain_permille, 0); /* it is so already */
    ck_assert_int_eq(want_weight(4, 1), MN_OK);       /* somebody else's numbers: no mixing */
    world_run(3 * MN_SEC);
    ck_assert_uint_eq(weight_of(fast), 1);
}
END_TEST

START_TEST(a_new_leader_keeps_the_weights_and_waits_a_minute)
{
    uint32_t old, next;

    world_hosts[2].sync = world_hosts[3].sync = world_hosts[4].sync = 60 * MN_MS;
    world_boot_all(5);
    ck_assert_int_eq(want_advice(true), MN_OK);
    write_much(20);
    ck_assert_uint_eq(weight_of(world_leader()), 1);
    world_run(65 * MN_SEC);
    old = world_leader();
    ck_assert_uint_eq(weight_of(old), 3);
    world_kill(old);
    world_run(3 * MN_SEC);
    next = world_leader();
    ck_assert_uint_ne(next, old);
    ck_assert_uint_eq(weight_of(old), 3);
    ck_assert_int_eq(world_put(next, "a", "2"), MN_OK);
    world_boot(old);
    world_run(10 * MN_SEC);
    ck_assert_uint_eq(weight_of(old), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state_voters");
    TCase *tcase = tcase_create("all");

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_weight_that_gives_one_half_is_refused);
    tcase_add_test(tcase, what_a_node_says_counts_until_an_operator_says_otherwise);
    tcase_add_test(tcase, a_node_that_wants_half_gets_less);
    tcase_add_test(tcase, role_and_weight_are_wanted_apart);
    tcase_add_test(tcase, a_voter_that_shall_not_vote_learns_and_another_votes);
    tcase_add_test(tcase, the_advisor_gives_weight_to_who_is_fast);
    tcase_add_test(tcase, a_new_leader_keeps_the_weights_and_waits_a_minute);
    return suite_run(suite);
}
