/* Quorum arithmetic against the definitions, over all small voter sets. */
#include <check.h>
#include <stdlib.h>

#include "consensus/quorum.h"
#include "tests/suite.h"

static mn_id id_of(uint32_t n)
{
    mn_id id = {{0}};

    id.bytes[15] = (uint8_t)n;
    return id;
}

static void add(struct quorum_config *config, uint32_t n, uint32_t weight, uint32_t weight_old)
{
    struct quorum_member member = {.id = id_of(n), .weight = weight, .weight_old = weight_old};

    member.is_learner = weight == 0 && weight_old == 0;
    ck_assert_int_eq(quorum_set(config, &member), MN_OK);
    if (weight_old > 0) config->is_joint = true;
}

static struct quorum_config config_of(uint32_t count, const uint32_t *weights)
{
    struct quorum_config config = {0};

    for (uint32_t i = 0; i < count; i++)
        if (weights[i] > 0) add(&config, i + 1, weights[i], 0);
    return config;
}

/* Counts through all [count] digits below [base]; false after the last one. */
static bool next_digits(uint32_t *digits, uint32_t count, uint32_t base)
{
    for (uint32_t i = 0; i < count; i++) {
        if (++digits[i] < base) return true;
        digits[i] = 0;
    }
    return false;
}

/* The definition, written down independently: a set of ids, weights by id. */
static bool is_majority(const uint32_t *weights, uint32_t count, uint32_t set)
{
    uint64_t in = 0, out = 0;

    for (uint32_t i = 0; i < count; i++)
        *(set >> i & 1 ? &in : &out) += weights[i];
    return in > out;
}

static bool has_disjoint(const uint32_t *a, const uint32_t *b, uint32_t count)
{
    for (uint32_t set = 0; set < 1u << count; set++)
        if (is_majority(a, count, set) && is_majority(b, count, ~set)) return true;
    return false;
}

static bool is_nothing(const uint32_t *weights, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (weights[i] != 0) return false;
    return true;
}

START_TEST(votes_follow_the_definition_for_all_sets_of_up_to_five)
{
    uint32_t weights[5] = {0};

    while (next_digits(weights, 5, 4)) {
        struct quorum_config config = {0};
        for (uint32_t i = 0; i < 5; i++)
            add(&config, i + 1, weights[i], 0);
        ck_assert_int_eq(quorum_check(&config), MN_OK);
        for (uint32_t yes = 0; yes < 32; yes++)
            for (uint32_t no = 0; no < 32; no++) {
                enum quorum_result result = quorum_vote(&config, yes, no);
                if ((yes & no) != 0) continue;
                if (is_majority(weights, 5, yes))
                    ck_assert_int_eq(result, QUORUM_WON);
                else if (!is_majority(weights, 5, ~no))
                    ck_assert_int_eq(result, QUORUM_LOST);
                else
                    ck_assert_int_eq(result, QUORUM_PENDING);
            }
    }
}
END_TEST

START_TEST(commit_is_the_largest_value_that_a_quorum_has)
{
    uint32_t weights[4] = {0};

    while (next_digits(weights, 4, 4)) {
        uint32_t digits[4] = {0};
        struct quorum_config config = {0};
        for (uint32_t i = 0; i < 4; i++)
            add(&config, i + 1, weights[i], 0);
        do {
            uint64_t values[4], best = 0;
            for (uint32_t i = 0; i < 4; i++)
                values[i] = digits[i];
            for (uint32_t v = 0; v < 4; v++) {
                uint32_t set = 0;
                for (uint32_t i = 0; i < 4; i++)
                    if (values[i] >= v) set |= 1u << i;
                if (is_majority(weights, 4, set)) best = v;
            }
            ck_assert_uint_eq(quorum_commit(&config, values), best);
        } while (next_digits(digits, 4, 4));
    }
}
END_TEST

START_TEST(joint_needs_both_halves_and_loses_in_one)
{
    uint32_t digits[6] = {0};

    while (next_digits(digits, 6, 3)) {
        const uint32_t *now = digits, *before = digits + 3;
        struct quorum_config config = {0};
        if (is_nothing(now, 3) || is_nothing(before, 3)) continue;
        for (uint32_t i = 0; i < 3; i++)
            add(&config, i + 1, now[i], before[i]);
        for (uint32_t yes = 0; yes < 8; yes++) {
            uint64_t values[3] = {yes & 1, yes >> 1 & 1, yes >> 2 & 1};
            bool both = is_majority(now, 3, yes) && is_majority(before, 3, yes);
            enum quorum_half half;
            ck_assert_int_eq(quorum_has(&config, yes), both);
            ck_assert_int_eq(quorum_lacks(&config, yes, &half), !both);
            if (!both) ck_assert_int_eq(half, is_majority(now, 3, yes) ? QUORUM_OLD : QUORUM_NEW);
            ck_assert_uint_eq(quorum_commit(&config, values), both);
            ck_assert_int_eq(quorum_vote(&config, yes, ~yes & 7), both ? QUORUM_WON : QUORUM_LOST);
        }
    }
}
END_TEST

START_TEST(one_step_is_safe_whenever_it_is_allowed)
{
    uint32_t digits[8] = {0}, allowed = 0, exact = 0;

    while (next_digits(digits, 8, 4)) {
        struct quorum_config from, to;
        bool is_disjoint;
        if (is_nothing(digits, 4) || is_nothing(digits + 4, 4)) continue;
        from = config_of(4, digits);
        to = config_of(4, digits + 4);
        is_disjoint = has_disjoint(digits, digits + 4, 4);
        exact += !is_disjoint;
        if (!quorum_is_one_step(&from, &to)) continue;
        allowed++;
        ck_assert(!is_disjoint);
    }
    ck_assert_uint_gt(allowed, 1000); /* the rule allows something */
    ck_assert_uint_gt(exact, allowed);
}
END_TEST

START_TEST(exact_test_agrees_with_exhaustive_search)
{
    uint32_t digits[8] = {0};

    while (next_digits(digits, 8, 3)) {
        struct quorum_config a, b;
        if (is_nothing(digits, 4) || is_nothing(digits + 4, 4)) continue;
        a = config_of(4, digits);
        b = config_of(4, digits + 4);
        ck_assert_int_eq(quorum_intersect(&a, &b), !has_disjoint(digits, digits + 4, 4));
    }
}
END_TEST

START_TEST(every_change_by_way_of_joint_intersects_at_each_step)
{
    uint32_t digits[6] = {0};

    while (next_digits(digits, 6, 4)) {
        struct quorum_config from, to, joint, left;
        if (is_nothing(digits, 3) || is_nothing(digits + 3, 3)) continue;
        from = config_of(3, digits);
        to = config_of(3, digits + 3);
        ck_assert_int_eq(quorum_join(&from, &to, &joint), MN_OK);
        ck_assert_int_eq(quorum_check(&joint), MN_OK);
        ck_assert(quorum_intersect(&from, &joint));
        ck_assert(quorum_intersect(&joint, &to));
        ck_assert(quorum_intersect(&joint, &joint));
        quorum_leave(&joint, &left);
        ck_assert(quorum_equal(&left, &to));
    }
}
END_TEST

START_TEST(ft_is_the_most_of_the_heaviest_that_may_be_away)
{
    uint32_t weights[5] = {0};

    while (next_digits(weights, 5, 4)) {
        struct quorum_config config = config_of(5, weights);
        uint32_t worst = 5, count = config.members_count;
        for (uint32_t set = 0; set < 1u << count; set++) { /* the smallest set that stops it */
            uint32_t size = (uint32_t)__builtin_popcount(set);
            if (!quorum_has(&config, ~set) && size < worst) worst = size;
        }
        ck_assert_uint_eq(quorum_ft(&config), worst - 1);
    }
}
END_TEST

START_TEST(guard_refuses_a_voter_that_holds_half_from_three_voters_on)
{
    struct quorum_config two = config_of(2, (uint32_t[]){5, 1});
    struct quorum_config half = config_of(3, (uint32_t[]){2, 1, 1});
    struct quorum_config fair = config_of(3, (uint32_t[]){2, 2, 1});

    ck_assert_int_eq(quorum_guard(&two, 1), MN_OK);
    ck_assert_int_eq(quorum_guard(&half, 1), MN_CONFIG);
    ck_assert_int_eq(quorum_guard(&fair, 1), MN_OK);
    ck_assert_int_eq(quorum_guard(&fair, 2), MN_CONFIG);
}
END_TEST

START_TEST(absurd_configurations_are_refused)
{
    struct quorum_config config = config_of(3, (uint32_t[]){1, 1, 1});
    struct quorum_config bad;

    ck_assert_int_eq(quorum_check(&config), MN_OK);
    bad = config; /* sum at 2^31 */
    bad.members[0].weight = QUORUM_TOTAL_MAX - 1;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = config; /* no role */
    bad.members[1].weight = 0;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = config; /* an old half, but not joint */
    bad.members[1].weight_old = 1;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = config; /* joint, but no old half */
    bad.is_joint = true;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = config; /* the same id twice */
    bad.members[1].id = bad.members[0].id;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = config; /* a learner that votes */
    bad.members[2].is_learner = true;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad.members_count = QUORUM_MEMBERS_MAX + 1;
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    bad = (struct quorum_config){0};
    ck_assert_int_eq(quorum_check(&bad), MN_CONFIG);
    ck_assert(!quorum_has(&bad, UINT32_MAX));
}
END_TEST

START_TEST(members_stay_in_order_and_too_many_are_refused)
{
    struct quorum_config config = {0};
    struct quorum_member extra = {.id = id_of(200), .is_learner = true};

    for (uint32_t i = 0; i < QUORUM_MEMBERS_MAX; i++)
        add(&config, (i * 7) % QUORUM_MEMBERS_MAX + 1, i < QUORUM_VOTERS_MAX, 0);
    ck_assert_int_eq(quorum_check(&config), MN_OK);
    ck_assert_int_eq(quorum_set(&config, &extra), MN_FULL);
    quorum_remove(&config, &config.members[3].id);
    ck_assert_int_eq(quorum_set(&config, &extra), MN_OK);
    ck_assert_int_eq(quorum_check(&config), MN_OK);
    ck_assert_int_eq(quorum_find(&config, &extra.id), QUORUM_MEMBERS_MAX - 1);
}
END_TEST

START_TEST(weights_alone_change_rarely_and_for_a_gain)
{
    ck_assert(quorum_reweigh_is_due(5, 0, 150));
    ck_assert(!quorum_reweigh_is_due(5, 0, 149));
    ck_assert(!quorum_reweigh_is_due(MN_MINUTE, 1, 500));
    ck_assert(quorum_reweigh_is_due(MN_MINUTE + 1, 1, 500));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quorum");
    TCase *tcase = tcase_create("all");

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, votes_follow_the_definition_for_all_sets_of_up_to_five);
    tcase_add_test(tcase, commit_is_the_largest_value_that_a_quorum_has);
    tcase_add_test(tcase, joint_needs_both_halves_and_loses_in_one);
    tcase_add_test(tcase, one_step_is_safe_whenever_it_is_allowed);
    tcase_add_test(tcase, exact_test_agrees_with_exhaustive_search);
    tcase_add_test(tcase, every_change_by_way_of_joint_intersects_at_each_step);
    tcase_add_test(tcase, ft_is_the_most_of_the_heaviest_that_may_be_away);
    tcase_add_test(tcase, guard_refuses_a_voter_that_holds_half_from_three_voters_on);
    tcase_add_test(tcase, absurd_configurations_are_refused);
    tcase_add_test(tcase, members_stay_in_order_and_too_many_are_refused);
    tcase_add_test(tcase, weights_alone_change_rarely_and_for_a_gain);
    return suite_run(suite);
}
