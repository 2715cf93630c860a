/* The choice of a node: latency, load, failures, and who comes back when. */
#include <check.h>
#include <stdlib.h>

#include "mesh/balance.h"
#include "tests/suite.h"

static struct balance *balance;
static struct mn_now now;
static mn_id self = {{1}};
static struct balance_candidate nodes[3]; /* none of them is [self] */

#define SERVICE mn_span_str("files")

static void setup(void)
{
    struct balance_config config = {
        .self = self, .concurrent_max = 4, .entries_max = 8, .seed = {7}};

    now = (struct mn_now){100 * MN_SEC, 0};
    for (uint8_t i = 0; i < 3; i++)
        nodes[i] = (struct balance_candidate){.node = {{(uint8_t)(10 + i)}}, .rtt = MN_MS};
    balance = balance_new(&config);
}

static void teardown(void)
{
    balance_check(balance);
    balance_free(balance);
}

static int32_t pick(uint32_t count)
{
    return balance_pick(balance, now, SERVICE, nodes, count);
}

static void start(uint32_t index)
{
    balance_started(balance, now, SERVICE, &nodes[index].node);
}

static void finish(uint32_t index, enum balance_outcome outcome, mn_time took)
{
    balance_finished(balance, now, SERVICE, &nodes[index].node, outcome, took);
    balance_check(balance);
}

static void call(uint32_t index, enum balance_outcome outcome, mn_time took)
{
    start(index);
    finish(index, outcome, took);
}

static struct balance_explain explain(uint32_t index)
{
    struct balance_explain views[3];

    balance_explain(balance, now, SERVICE, nodes, 3, views);
    return views[index];
}

/* How often [index] wins of 200 choices among [count]. */
static uint32_t wins(uint32_t index, uint32_t count)
{
    uint32_t won = 0;

    for (uint32_t i = 0; i < 200; i++)
        won += pick(count) == (int32_t)index;
    return won;
}

START_TEST(nobody_to_choose)
{
    ck_assert_int_eq(pick(0), -1);
    ck_assert(!balance_is_full(balance, now, SERVICE, nodes, 0));
}
END_TEST

START_TEST(unknown_nodes_share_alike)
{
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_gt(wins(i, 3), 30);
}
END_TEST

START_TEST(the_faster_of_two_wins)
{
    call(0, BALANCE_OK, 20 * MN_MS);
    call(1, BALANCE_OK, 2 * MN_MS);
    ck_assert_uint_eq(wins(1, 2), 200);
}
END_TEST

START_TEST(a_slow_answer_counts_at_once_and_fades_slowly)
{
    call(0, BALANCE_OK, 2 * MN_MS);
    call(0, BALANCE_OK, 900 * MN_MS);
    ck_assert_uint_eq(explain(0).latency, 900 * MN_MS);
    call(0, BALANCE_OK, 2 * MN_MS);
    ck_assert_uint_gt(explain(0).latency, 800 * MN_MS);
    now.mono += BALANCE_HALF_LIFE;
    call(0, BALANCE_OK, 2 * MN_MS);
    ck_assert_uint_eq(explain(0).latency, 451 * MN_MS);
}
END_TEST

START_TEST(unheard_latency_fades_to_the_round_trip)
{
    call(0, BALANCE_OK, 801 * MN_MS);
    now.mono += BALANCE_HALF_LIFE;
    ck_assert_uint_eq(explain(0).latency, 401 * MN_MS);
    now.mono += 100 * BALANCE_HALF_LIFE;
    ck_assert_uint_eq(explain(0).latency, nodes[0].rtt);
}
END_TEST

START_TEST(calls_in_flight_weigh)
{
    start(0);
    start(0);
    ck_assert_uint_eq(wins(1, 2), 200);
    finish(0, BALANCE_UNKNOWN, 0);
    finish(0, BALANCE_UNKNOWN, 0);
    ck_assert_uint_gt(wins(0, 2), 50);
}
END_TEST

START_TEST(reported_load_weighs)
{
    nodes[0].load = 50;
    ck_assert_uint_eq(wins(1, 2), 200);
    ck_assert_uint_eq(explain(0).score_load, 300);
    ck_assert_uint_eq(explain(1).score_load, 0);
}
END_TEST

START_TEST(a_hot_node_loses_however_fast)
{
    struct balance_candidate many[10];

    for (uint8_t i = 0; i < 10; i++)
        many[i] = (struct balance_candidate){.node = {{(uint8_t)(50 + i)}}, .rtt = MN_SEC};
    many[9].rtt = MN_US;
    many[9].load = 5;
    for (uint32_t i = 0; i < 200; i++)
        ck_assert_int_ne(balance_pick(balance, now, SERVICE, many, 10), 9);
}
END_TEST

START_TEST(a_local_replica_goes_first)
{
    nodes[2].node = self;
    call(2, BALANCE_OK, 500 * MN_MS);
    ck_assert_uint_eq(wins(2, 3), 200);
    for (uint32_t i = 0; i < 4; i++)
        start(2);
    ck_assert_uint_eq(wins(2, 3), 0); /* its bulkhead is full */
    for (uint32_t i = 0; i < 4; i++)
        finish(2, BALANCE_OK, MN_MS);
}
END_TEST

START_TEST(a_full_bulkhead_is_told_from_a_broken_node)
{
    for (uint32_t i = 0; i < 4; i++)
        start(0);
    ck_assert_int_eq(pick(1), -1);
    ck_assert(explain(0).is_full && !explain(0).is_eligible);
    ck_assert(balance_is_full(balance, now, SERVICE, nodes, 1));
    ck_assert(!balance_is_full(balance, now, mn_span_str("other"), nodes, 1));
    finish(0, BALANCE_OK, MN_MS);
    ck_assert_int_eq(pick(1), 0);
}
END_TEST

START_TEST(five_failures_in_a_row_open_the_breaker)
{
    for (uint32_t i = 0; i < 4; i++)
        call(0, BALANCE_FAILED, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED);
    call(0, BALANCE_FAILED, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_OPEN);
    ck_assert_int_eq(pick(1), -1);
    ck_assert(!balance_is_full(balance, now, SERVICE, nodes, 1));
    ck_assert_uint_eq(wins(1, 2), 200);
    ck_assert_uint_eq(explain(0).availability, 0);
}
END_TEST

START_TEST(half_of_twenty_open_the_breaker)
{
    for (uint32_t i = 0; i < 18; i++)
        call(0, i % 2 ? BALANCE_OK : BALANCE_FAILED, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED); /* too few to tell */
    call(0, BALANCE_FAILED, MN_MS);
    call(0, BALANCE_FAILED, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_OPEN);
}
END_TEST

START_TEST(old_failures_are_forgotten)
{
    for (uint32_t i = 0; i < 18; i++)
        call(0, i % 2 ? BALANCE_OK : BALANCE_FAILED, MN_MS);
    now.mono += 11 * MN_SEC;
    call(0, BALANCE_FAILED, MN_MS);
    call(0, BALANCE_FAILED, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED);
    ck_assert_uint_eq(explain(0).failures, 11);
}
END_TEST

START_TEST(refusals_and_cancels_are_no_failures)
{
    for (uint32_t i = 0; i < 40; i++)
        call(0, i % 2 ? BALANCE_REFUSED : BALANCE_UNKNOWN, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED);
    ck_assert(explain(0).is_hot);
    ck_assert_uint_eq(wins(1, 2), 200);
    now.mono += 200 * MN_MS;
    ck_assert(!explain(0).is_hot);
}
END_TEST

static void break_it(uint32_t index)
{
    for (uint32_t i = 0; i < 5; i++)
        call(index, BALANCE_FAILED, MN_MS);
}

static mn_time open_for(void)
{
    return explain(0).open_for;
}

START_TEST(calls_that_last_are_good_probes_once_they_are_heard_of)
{
    break_it(0);
    now.mono += open_for();
    for (uint32_t i = 0; i < 3; i++)
        start(0);
    ck_assert_int_eq(pick(1), -1);
    for (uint32_t i = 0; i < 3; i++)
        balance_heard(balance, now, SERVICE, &nodes[0].node);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED);
    ck_assert_int_eq(pick(1), 0);
    balance_check(balance);
}
END_TEST

START_TEST(three_probes_close_it_again)
{
    break_it(0);
    ck_assert_uint_ge(open_for(), 800 * MN_MS);
    ck_assert_uint_le(open_for(), 1200 * MN_MS);
    now.mono += open_for();
    ck_assert_int_eq(explain(0).breaker, BALANCE_HALF_OPEN);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pick(1), 0);
        start(0);
    }
    ck_assert_int_eq(pick(1), -1); /* three are out */
    finish(0, BALANCE_OK, MN_MS);
    ck_assert_int_eq(pick(1), -1);
    finish(0, BALANCE_OK, MN_MS);
    finish(0, BALANCE_OK, MN_MS);
    ck_assert_int_eq(explain(0).breaker, BALANCE_CLOSED);
    ck_assert_int_eq(pick(1), 0);
}
END_TEST

START_TEST(a_failed_probe_doubles_the_time_up_to_a_minute)
{
    mn_time expected = MN_SEC;

    break_it(0);
    for (uint32_t i = 0; i < 9; i++) {
        ck_assert_uint_ge(open_for(), expected * 4 / 5);
        ck_assert_uint_le(open_for(), expected * 6 / 5);
        now.mono += open_for();
        call(0, BALANCE_FAILED, MN_MS);
        expected = mn_time_min(2 * expected, 60 * MN_SEC);
    }
}
END_TEST

START_TEST(a_probe_that_says_nothing_may_be_repeated)
{
    break_it(0);
    now.mono += open_for();
    for (uint32_t i = 0; i < 10; i++) {
        ck_assert_int_eq(pick(1), 0);
        call(0, BALANCE_UNKNOWN, 0);
    }
    ck_assert_int_eq(explain(0).breaker, BALANCE_HALF_OPEN);
}
END_TEST

START_TEST(a_good_minute_resets_the_open_time)
{
    break_it(0);
    now.mono += open_for();
    call(0, BALANCE_FAILED, MN_MS); /* 2 s now */
    now.mono += open_for();
    for (uint32_t i = 0; i < 3; i++)
        call(0, BALANCE_OK, MN_MS);
    break_it(0);
    ck_assert_uint_ge(open_for(), 3200 * MN_MS); /* came back too early: 4 s */
    now.mono += open_for();
    for (uint32_t i = 0; i < 3; i++)
        call(0, BALANCE_OK, MN_MS);
    now.mono += MN_MINUTE;
    break_it(0);
    ck_assert_uint_le(open_for(), 1200 * MN_MS);
}
END_TEST

START_TEST(pairs_are_apart_by_service)
{
    break_it(0);
    ck_assert_int_eq(balance_pick(balance, now, mn_span_str("other"), nodes, 1), 0);
}
END_TEST

START_TEST(what_is_remembered_is_bounded)
{
    char name[] = "s?";

    start(0); /* in flight: stays */
    for (char c = 'a'; c < 'a' + 20; c++) {
        name[1] = c;
        balance_started(balance, now, mn_span_str(name), &nodes[1].node);
        balance_finished(balance, now, mn_span_str(name), &nodes[1].node, BALANCE_OK, MN_MS);
        balance_check(balance);
    }
    ck_assert_uint_eq(explain(0).in_flight, 1);
    finish(0, BALANCE_OK, MN_MS);
}
END_TEST

START_TEST(one_slow_of_ten_gets_little)
{
    struct balance_candidate many[10];
    uint32_t slow = 0;
    struct balance_config config = {
        .self = self, .concurrent_max = 100, .entries_max = 100, .seed = {9}};
    struct balance *big = balance_new(&config);

    for (uint8_t i = 0; i < 10; i++)
        many[i] = (struct balance_candidate){.node = {{(uint8_t)(50 + i)}}, .rtt = MN_MS};
    for (uint32_t i = 0; i < 2000; i++) {
        int32_t at = balance_pick(big, now, SERVICE, many, 10);
        ck_assert_int_ge(at, 0);
        slow += at == 3;
        balance_started(big, now, SERVICE, &many[at].node);
        balance_finished(big, now, SERVICE, &many[at].node, BALANCE_OK,
                         at == 3 ? 200 * MN_MS : 2 * MN_MS);
        now.mono += MN_MS;
    }
    ck_assert_uint_lt(slow, 20);
    balance_check(big);
    balance_free(big);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("balance");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, nobody_to_choose);
    tcase_add_test(tcase, unknown_nodes_share_alike);
    tcase_add_test(tcase, the_faster_of_two_wins);
    tcase_add_test(tcase, a_slow_answer_counts_at_once_and_fades_slowly);
    tcase_add_test(tcase, unheard_latency_fades_to_the_round_trip);
    tcase_add_test(tcase, calls_in_flight_weigh);
    tcase_add_test(tcase, reported_load_weighs);
    tcase_add_test(tcase, a_hot_node_loses_however_fast);
    tcase_add_test(tcase, a_local_replica_goes_first);
    tcase_add_test(tcase, a_full_bulkhead_is_told_from_a_broken_node);
    tcase_add_test(tcase, five_failures_in_a_row_open_the_breaker);
    tcase_add_test(tcase, half_of_twenty_open_the_breaker);
    tcase_add_test(tcase, old_failures_are_forgotten);
    tcase_add_test(tcase, refusals_and_cancels_are_no_failures);
    tcase_add_test(tcase, three_probes_close_it_again);
    tcase_add_test(tcase, calls_that_last_are_good_probes_once_they_are_heard_of);
    tcase_add_test(tcase, a_failed_probe_doubles_the_time_up_to_a_minute);
    tcase_add_test(tcase, a_probe_that_says_nothing_may_be_repeated);
    tcase_add_test(tcase, a_good_minute_resets_the_open_time);
    tcase_add_test(tcase, pairs_are_apart_by_service);
    tcase_add_test(tcase, what_is_remembered_is_bounded);
    tcase_add_test(tcase, one_slow_of_ten_gets_little);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
