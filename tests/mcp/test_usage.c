/* Calls per minute and their 95th percentile, per tool. */
#include <check.h>
#include <stdlib.h>

#include "node/mcp/front/usage.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"
#include "tests/suite.h"

#define START (1000 * MN_SEC)

static struct usage usage;

static void setup(void)
{
    usage_init(&usage, 1);
}

static void teardown(void)
{
    usage_check(&usage);
    usage_done(&usage);
}

static struct mn_span name(const char *text)
{
    return mn_span_str(text);
}

static void call(const char *tool, mn_time at, mn_time took)
{
    usage_end(&usage, usage_begin(&usage, name(tool)), at, took, true);
    usage_check(&usage);
}

START_TEST(a_tool_that_was_never_called_has_no_numbers)
{
    struct usage_view view = usage_get(&usage, START, name("a"));

    ck_assert_uint_eq(view.calls_per_minute, 0);
    ck_assert_uint_eq(view.p95, MN_TIME_NEVER);
}
END_TEST

START_TEST(calls_count_for_a_minute)
{
    for (int i = 0; i < 30; i++)
        call("a", START + (mn_time)i * MN_SEC, MN_MS);
    ck_assert_uint_eq(usage_get(&usage, START + 29 * MN_SEC, name("a")).calls_per_minute, 30);
    ck_assert_uint_eq(usage_get(&usage, START + 29 * MN_SEC, name("b")).calls_per_minute, 0);
    ck_assert_uint_eq(usage_get(&usage, START + 54 * MN_SEC, name("a")).calls_per_minute, 30);
    ck_assert_uint_eq(usage_get(&usage, START + 65 * MN_SEC, name("a")).calls_per_minute, 20);
    ck_assert_uint_eq(usage_get(&usage, START + 90 * MN_SEC, name("a")).calls_per_minute, 0);
    /* Looking changed nothing. */
    ck_assert_uint_eq(usage_get(&usage, START + 29 * MN_SEC, name("a")).calls_per_minute, 30);
}
END_TEST

START_TEST(the_percentile_is_at_most_a_quarter_above_the_truth)
{
    mn_time took = 1;

    for (int i = 0; i < _i; i++)
        took = took * 7 / 4 + 1;
    for (int i = 0; i < 94; i++)
        call("a", START, took / 2);
    for (int i = 0; i < 6; i++)
        call("a", START, took);
    ck_assert_uint_ge(usage_get(&usage, START, name("a")).p95, took);
    ck_assert_uint_le(usage_get(&usage, START, name("a")).p95, took < 16 ? 19 : took + took / 4);
}
END_TEST

START_TEST(five_of_a_hundred_slow_ones_do_not_show)
{
    for (int i = 0; i < 95; i++)
        call("a", START, MN_MS);
    for (int i = 0; i < 5; i++)
        call("a", START, MN_SEC);
    ck_assert_uint_lt(usage_get(&usage, START, name("a")).p95, 2 * MN_MS);
}
END_TEST

START_TEST(times_are_forgotten_after_ten_minutes)
{
    call("a", START, MN_SEC);
    ck_assert_uint_ge(usage_get(&usage, START + 5 * MN_MINUTE, name("a")).p95, MN_SEC);
    ck_assert_uint_eq(usage_get(&usage, START + 10 * MN_MINUTE, name("a")).p95, MN_TIME_NEVER);
    call("a", START + 10 * MN_MINUTE, MN_MS);
    ck_assert_uint_lt(usage_get(&usage, START + 10 * MN_MINUTE, name("a")).p95, 2 * MN_MS);
}
END_TEST

START_TEST(a_refusal_counts_but_its_time_does_not)
{
    usage_end(&usage, usage_begin(&usage, name("a")), START, MN_SEC, false);
    ck_assert_uint_eq(usage_get(&usage, START, name("a")).calls_per_minute, 1);
    ck_assert_uint_eq(usage_get(&usage, START, name("a")).p95, MN_TIME_NEVER);
}
END_TEST

START_TEST(a_call_that_was_given_up_does_not_count)
{
    usage_drop(&usage, usage_begin(&usage, name("a")));
    ck_assert_uint_eq(usage_get(&usage, START, name("a")).calls_per_minute, 0);
    ck_assert_ptr_null(usage_begin(&usage, name("")));
    usage_drop(&usage, NULL);
    usage_end(&usage, NULL, START, 1, true);
}
END_TEST

START_TEST(the_longest_unused_tool_makes_room_and_one_in_use_never_does)
{
    struct usage_tool *open = usage_begin(&usage, name("open"));
    struct mn_arena arena = {0};

    call("old", START, 1);
    for (uint32_t i = 0; i < USAGE_TOOLS_MAX - 1; i++)
        call(mn_arena_format(&arena, "tool%u", i), START, 1);
    ck_assert_uint_eq(usage.tools.count, USAGE_TOOLS_MAX);
    ck_assert_uint_eq(usage_get(&usage, START, name("old")).calls_per_minute, 0);
    ck_assert_uint_eq(usage_get(&usage, START, name("tool0")).calls_per_minute, 1);
    usage_end(&usage, open, START, 1, true);
    ck_assert_uint_eq(usage_get(&usage, START, name("open")).calls_per_minute, 1);
    mn_arena_done(&arena);
}
END_TEST

START_TEST(when_every_tool_is_in_use_one_more_is_not_counted)
{
    static struct usage_tool *open[USAGE_TOOLS_MAX];
    struct mn_arena arena = {0};

    for (uint32_t i = 0; i < USAGE_TOOLS_MAX; i++)
        open[i] = usage_begin(&usage, name(mn_arena_format(&arena, "tool%u", i)));
    ck_assert_ptr_null(usage_begin(&usage, name("more")));
    ck_assert_ptr_eq(usage_begin(&usage, name("tool7")), open[7]);
    usage_drop(&usage, open[7]);
    for (uint32_t i = 0; i < USAGE_TOOLS_MAX; i++)
        usage_drop(&usage, open[i]);
    ck_assert_ptr_nonnull(usage_begin(&usage, name("more")));
    mn_arena_done(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("usage");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, a_tool_that_was_never_called_has_no_numbers);
    tcase_add_test(all, calls_count_for_a_minute);
    tcase_add_loop_test(all, the_percentile_is_at_most_a_quarter_above_the_truth, 0, 36);
    tcase_add_test(all, five_of_a_hundred_slow_ones_do_not_show);
    tcase_add_test(all, times_are_forgotten_after_ten_minutes);
    tcase_add_test(all, a_refusal_counts_but_its_time_does_not);
    tcase_add_test(all, a_call_that_was_given_up_does_not_count);
    tcase_add_test(all, the_longest_unused_tool_makes_room_and_one_in_use_never_does);
    tcase_add_test(all, when_every_tool_is_in_use_one_more_is_not_counted);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
