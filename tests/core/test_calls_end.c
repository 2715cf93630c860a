/* Calls that end before their answer: by time, by whoever asked. */
#include <string.h>

#include "tests/core/calls_world.h"
#include "tests/suite.h"

START_TEST(silence_is_a_timeout_and_cancels_there)
{
    uint64_t call, there;
    const struct told *item;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    run(9 * MN_SEC);
    answer(1, there, CALL_EVENT_PROGRESS, "p", CALL_FAILED_NONE);
    (void)next(0);
    run(9 * MN_SEC);
    ck_assert(is_quiet(0)); /* progress counts as a sign */
    run(2 * MN_SEC);
    item = assert_failed(0, call, CALL_TIMED_OUT);
    ck_assert_ptr_nonnull(strstr(item->text, "no sign"));
    assert_cancelled(1, there);
    ck_assert_uint_eq(stats(1).served, 0);
}
END_TEST

START_TEST(the_total_time_ends_it_however_much_is_heard)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    for (uint32_t i = 0; i < 11; i++) {
        run(5 * MN_SEC + 1);
        answer(1, there, CALL_EVENT_PROGRESS, "p", CALL_FAILED_NONE);
        (void)next(0);
    }
    run(6 * MN_SEC);
    assert_failed(0, call, CALL_TIMED_OUT);
    assert_cancelled(1, there);
}
END_TEST

START_TEST(a_callee_ends_what_its_caller_forgot)
{
    uint64_t there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS; /* the cancel never comes */
    run(62 * MN_SEC);
    assert_cancelled(1, there);
    ck_assert_uint_eq(stats(1).served, 0);
}
END_TEST

START_TEST(the_deadline_travels_as_time_left)
{
    const struct told *item;
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request(0, "files");
    (void)call;
    run(9 * MN_SEC);
    refuse(0, served(0), CALL_UNAVAILABLE);
    deliver();
    item = next(1);
    ck_assert_uint_eq(item->timeout_total, 51 * MN_SEC);
}
END_TEST

START_TEST(a_cancelled_call_is_silent)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    cancel(0, call);
    deliver();
    assert_cancelled(1, there);
    result(1, there, "late");
    cancel(0, call); /* twice, or after its end: fine */
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(stats(0).cancelled, 1);
}
END_TEST

START_TEST(a_local_call_is_cancelled_too)
{
    uint64_t call, here;

    offer(0, "files", 'x');
    call = request(0, "files");
    here = served(0);
    cancel(0, call);
    assert_cancelled(0, here);
    ck_assert_uint_eq(calls_load(calls[0]), 0);
}
END_TEST

START_TEST(a_result_that_crosses_the_cancel_is_dropped)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS;
    result(1, there, "done");
    cancel(0, call);
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(0));
    ck_assert(is_quiet(1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls_end");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, silence_is_a_timeout_and_cancels_there);
    tcase_add_test(tcase, the_total_time_ends_it_however_much_is_heard);
    tcase_add_test(tcase, a_callee_ends_what_its_caller_forgot);
    tcase_add_test(tcase, the_deadline_travels_as_time_left);
    tcase_add_test(tcase, a_cancelled_call_is_silent);
    tcase_add_test(tcase, a_local_call_is_cancelled_too);
    tcase_add_test(tcase, a_result_that_crosses_the_cancel_is_dropped);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
