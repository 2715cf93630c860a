/* The two pure functions behind the voters: who should vote (metadata), and how much the fast
 * should weigh (advisor). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/rng.h"
#include "node/state/advisor.h"
#include "node/state/metadata.h"

#define NODES_MAX 12u

static struct metadata_node nodes[NODES_MAX];
static uint64_t matches[QUORUM_MEMBERS_MAX], last_index;
static struct quorum_config config, next;

/* [count] nodes that are alive, of which the first [voters] vote. The first leads. */
static void given(uint32_t count, uint32_t voters)
{
    memset(nodes, 0, sizeof nodes);
    memset(matches, 0, sizeof matches);
    last_index = 0;
    config = (struct quorum_config){0};
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = (struct metadata_node){.role = METADATA_AUTO, .weight = 1, .is_alive = true};
        nodes[i].id.bytes[15] = (uint8_t)(i + 1);
        ck_assert_int_eq(quorum_set(&config, &(struct quorum_member){.id = nodes[i].id,
                                                                     .weight = i < voters,
                                                                     .is_learner = i >= voters}),
                         MN_OK);
    }
}

static bool plan(uint32_t count)
{
    struct metadata_input input = {.now = MN_HOUR,
                                   .self = &nodes[0].id,
                                   .config = &config,
                                   .nodes = nodes,
                                   .nodes_count = count,
                                   .matches = matches,
                                   .last_index = last_index};
    return metadata_plan(&input, &next);
}

static uint32_t weight(uint32_t index)
{
    int at = quorum_find(&next, &nodes[index].id);
    return at < 0 ? 0 : next.members[at].weight;
}

static uint32_t count_voters(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < next.members_count; i++)
        count += next.members[i].weight > 0;
    return count;
}

START_TEST(what_is_well_stays)
{
    given(7, 7);
    ck_assert(!plan(7));
    given(4, 3);
    ck_assert(!plan(4));
}
END_TEST

START_TEST(the_heavy_vote_first)
{
    given(6, 1);
    nodes[4].weight = nodes[5].weight = 2;
    ck_assert(plan(6));
    ck_assert_uint_eq(count_voters(), 5);
    ck_assert_uint_eq(weight(4), 2);
    ck_assert_uint_eq(weight(5), 2);
}
END_TEST

START_TEST(regions_are_spread_before_weight_counts)
{
    given(4, 1);
    snprintf(nodes[0].region, METADATA_REGION_SIZE, "a");
    snprintf(nodes[1].region, METADATA_REGION_SIZE, "a");
    snprintf(nodes[2].region, METADATA_REGION_SIZE, "b");
    snprintf(nodes[3].region, METADATA_REGION_SIZE, "c");
    nodes[1].weight = 2;
    ck_assert(plan(4));
    ck_assert_uint_eq(count_voters(), 3);
    ck_assert_uint_eq(weight(1), 0);
    ck_assert_uint_eq(weight(2), 1);
    ck_assert_uint_eq(weight(3), 1);
}
END_TEST

START_TEST(one_dead_voter_at_a_time_is_replaced)
{
    given(7, 5);
    nodes[1].is_alive = nodes[2].is_alive = false; /* for an hour */
    ck_assert(plan(7));
    ck_assert_uint_eq(count_voters(), 5);
    ck_assert((weight(1) > 0) != (weight(2) > 0));
    ck_assert((weight(5) > 0) != (weight(6) > 0));
}
END_TEST

START_TEST(a_voter_dead_for_a_moment_stays)
{
    given(4, 3);
    nodes[1].is_alive = false;
    nodes[1].since = MN_HOUR - METADATA_DEAD_TIME + 1;
    ck_assert(!plan(4));
    nodes[1].since--;
    ck_assert(plan(4));
    ck_assert_uint_eq(weight(1), 0);
    ck_assert_uint_eq(weight(3), 1);
}
END_TEST

START_TEST(who_has_not_caught_up_waits)
{
    given(4, 3);
    nodes[1].is_alive = false;
    last_index = METADATA_LAG_MAX + 1;
    ck_assert(!plan(4));
    matches[3] = 1;
    ck_assert(plan(4));
    ck_assert_uint_eq(weight(3), 1);
}
END_TEST

/* Whatever is wanted of whomever: what is asked for is legal, nobody has half, the leader stays. */
START_TEST(whatever_is_wanted_nobody_gets_half)
{
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, (uint8_t)(_i >> 8)};
    uint32_t count, voters;

    rng_init(&rng, seed);
    count = 1 + rng_below(&rng, NODES_MAX);
    voters = count >= 3 ? 3 : 1;
    given(count, voters);
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].weight = 1 + rng_below(&rng, rng_below(&rng, 2) == 0 ? 3 : METADATA_WEIGHT_MAX);
        nodes[i].is_alive = i == 0 || rng_below(&rng, 4) > 0;
        nodes[i].region[0] = (char)('a' + rng_below(&rng, 3));
        nodes[i].role = (enum metadata_role)(i == 0 ? METADATA_AUTO : 1 + rng_below(&rng, 4));
    }
    if (plan(count)) {
        ck_assert_int_eq(quorum_check(&next), MN_OK);
        ck_assert_int_eq(quorum_guard(&next, 1), MN_OK);
        ck_assert_uint_gt(weight(0), 0);
        ck_assert_uint_le(count_voters(), METADATA_VOTERS_MAX);
        ck_assert(!quorum_equal(&next, &config));
    }
    rng_done(&rng);
}
END_TEST

/* ---- the advisor ---- */

static struct advisor_voter voter(uint32_t now, mn_time ack)
{
    return (struct advisor_voter){.weight = now, .ack = ack, .is_alive = true};
}

START_TEST(two_fast_of_five_commit_alone)
{
    const struct advisor_voter voters[] = {voter(1, 50000), voter(1, 1000), voter(1, 2000),
                                           voter(1, 50000), voter(1, 50000)};
    struct advisor_advice advice = advisor_judge(voters, 5);

    ck_assert_uint_eq(advice.weights[1], 3);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 1) ck_assert_uint_eq(advice.weights[i], 1);
    ck_assert_uint_eq(advice.now, 50000);
    ck_assert_uint_eq(advice.then, 2000);
    ck_assert_uint_eq(advice.gain_permille, 960);
}
END_TEST

START_TEST(seven_voters_have_two_heavy_ones)
{
    struct advisor_voter voters[7];
    struct advisor_advice advice;
    uint32_t total = 0;

    for (uint32_t i = 0; i < 7; i++)
        voters[i] = voter(1, (i + 1) * 1000);
    advice = advisor_judge(voters, 7);
    for (uint32_t i = 0; i < 7; i++)
        total += advice.weights[i];
    ck_assert_uint_eq(advice.weights[0], 2);
    ck_assert_uint_eq(advice.weights[1], 2);
    ck_assert_uint_eq(total, 9);
    ck_assert_uint_eq(advice.then, 3000); /* 2 + 2 + 1 of 9; four of seven took 4000 */
}
END_TEST

START_TEST(nothing_is_given_away_for_little)
{
    const struct advisor_voter voters[] = {voter(1, 1000), voter(1, 1000), voter(1, 1100),
                                           voter(1, 1200), voter(1, 1200)};
    struct advisor_advice advice = advisor_judge(voters, 5);

    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(advice.weights[i], 1);
    ck_assert_uint_eq(advice.gain_permille, 0);
}
END_TEST

START_TEST(three_are_equal_whatever_is_measured)
{
    const struct advisor_voter voters[] = {voter(1, 1), voter(1, 1000), voter(1, 1000000)};
    struct advisor_advice advice = advisor_judge(voters, 3);

    ck_assert_uint_eq(advice.weights[0], 1);
    ck_assert_uint_eq(advice.gain_permille, 0);
}
END_TEST

START_TEST(the_dead_and_the_unmeasured_get_no_weight)
{
    struct advisor_voter voters[] = {voter(3, 1000), voter(1, 0), voter(1, 3000), voter(1, 4000),
                                     voter(1, 9000)};
    struct advisor_advice advice;

    voters[0].is_alive = false;
    advice = advisor_judge(voters, 5);
    ck_assert_uint_eq(advice.weights[0], 1);
    ck_assert_uint_eq(advice.weights[1], 1);
    ck_assert_uint_eq(advice.now, MN_TIME_NEVER); /* three of seven are known */
    ck_assert_uint_eq(advice.weights[2], 3);
    ck_assert_uint_eq(advice.gain_permille, 1000);
}
END_TEST

/* Of any measurements: what is advised passes the guard rails, and is never slower than equal. */
START_TEST(advice_is_always_legal)
{
    struct advisor_voter voters[QUORUM_VOTERS_MAX];
    struct quorum_config advised = {0};
    struct advisor_advice advice;
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, (uint8_t)(_i >> 8)};
    uint32_t count;

    rng_init(&rng, seed);
    count = 1 + rng_below(&rng, QUORUM_VOTERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        voters[i] = voter(1, rng_below(&rng, 5) == 0 ? 0 : 1 + rng_below(&rng, 1000000));
        voters[i].is_alive = rng_below(&rng, 5) > 0;
    }
    advice = advisor_judge(voters, count);
    for (uint32_t i = 0; i < count; i++) {
        struct quorum_member member = {.weight = advice.weights[i]};
        member.id.bytes[15] = (uint8_t)(i + 1);
        ck_assert_int_eq(quorum_set(&advised, &member), MN_OK);
    }
    ck_assert_int_eq(quorum_check(&advised), MN_OK);
    ck_assert_int_eq(quorum_guard(&advised, 1), MN_OK);
    ck_assert_uint_le(advice.then, advice.now);
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("voters");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, what_is_well_stays);
    tcase_add_test(tcase, the_heavy_vote_first);
    tcase_add_test(tcase, regions_are_spread_before_weight_counts);
    tcase_add_test(tcase, one_dead_voter_at_a_time_is_replaced);
    tcase_add_test(tcase, a_voter_dead_for_a_moment_stays);
    tcase_add_test(tcase, who_has_not_caught_up_waits);
    tcase_add_loop_test(tcase, whatever_is_wanted_nobody_gets_half, 0, 2000);
    tcase_add_test(tcase, two_fast_of_five_commit_alone);
    tcase_add_test(tcase, seven_voters_have_two_heavy_ones);
    tcase_add_test(tcase, nothing_is_given_away_for_little);
    tcase_add_test(tcase, three_are_equal_whatever_is_measured);
    tcase_add_test(tcase, the_dead_and_the_unmeasured_get_no_weight);
    tcase_add_loop_test(tcase, advice_is_always_legal, 0, 500);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
