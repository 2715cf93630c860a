/* Calls are executed once and only once, through envelopes that come twice or late, and nodes
 * that forgot what they said. */
#include "node/core/call_window.h"
#include "tests/core/calls_world.h"
#include "tests/suite.h"

START_TEST(a_doubled_envelope_is_executed_once)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    net = NET_DOUBLES;
    call = request(0, "files");
    deliver();
    there = served(1);
    ck_assert(is_quiet(1));
    result(1, there, "done");
    assert_result(0, call, "done", 1);
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(1).duplicates, 1);
}
END_TEST

START_TEST(a_late_duplicate_is_not_executed_again)
{
    struct mn_buf *copy;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    (void)request(0, "files");
    copy = mn_buf_ref(letters[letters_read].buf);
    net = NET_CARRIES;
    deliver();
    result(1, served(1), "done");
    link_set(0, 1, false);
    link_set(0, 1, true);
    step(1, &(struct calls_input){
                .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(copy), NULL}});
    ck_assert(is_quiet(1));
    ck_assert_uint_eq(stats(1).duplicates, 1);
    mn_buf_unref(copy);
}
END_TEST

START_TEST(a_restarted_caller_starts_again_from_one)
{
    struct mn_buf *old;
    uint64_t there;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    (void)request(0, "files");
    old = mn_buf_ref(letters[letters_read].buf);
    net = NET_CARRIES;
    deliver();
    there = served(1);
    create(0, 6);
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    (void)request(0, "files");
    deliver();
    assert_ended(1, there, true); /* of the run before */
    (void)served(1);
    step(1, &(struct calls_input){
                .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(old), NULL}});
    ck_assert(is_quiet(1));
    mn_buf_unref(old);
}
END_TEST

START_TEST(answers_to_an_earlier_run_are_ignored)
{
    uint64_t there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    there = served(1);
    create(0, 6);
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    net = NET_KEEPS;
    (void)request(0, "files"); /* has the same number as the first of the run before */
    result(1, there, "of the run before");
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(0));
}
END_TEST

START_TEST(a_cancel_before_its_request_stops_it)
{
    uint64_t call;
    struct letter first;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    call = request(0, "files");
    cancel(0, call);
    first = letters[letters_read];
    letters[letters_read] = letters[letters_read + 1];
    letters[letters_read + 1] = first;
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(the_window_takes_each_number_once)
{
    struct call_window window = {0};
    struct call_window far = {0};

    for (uint64_t n = 1; n <= 10000; n += 2)
        ck_assert(call_window_take(&window, n));
    for (uint64_t n = 9999; n > 9999 - CALL_WINDOW_SIZE; n--)
        ck_assert(call_window_take(&window, n) == (n % 2 == 0));
    ck_assert(!call_window_take(&window, 9999 - CALL_WINDOW_SIZE));
    ck_assert(!call_window_take(&window, 2)); /* too old to tell */
    ck_assert(call_window_take(&window, 1000000));
    ck_assert(call_window_take(&window, 1000000 - CALL_WINDOW_SIZE + 1));
    ck_assert(!call_window_take(&window, 1000000 - CALL_WINDOW_SIZE));
    ck_assert(call_window_take(&far, UINT64_MAX));
    ck_assert(!call_window_take(&far, UINT64_MAX));
}
END_TEST

START_TEST(a_node_that_is_no_member_any_more_goes_with_its_link)
{
    struct calls_input forget = {.type = CALLS_IN_FORGET, .node = ids[1]};
    uint64_t call;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    step(0, &forget);
    ck_assert(is_quiet(0)); /* the link decides */
    link_set(0, 1, false);
    assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
    step(0, &forget); /* unknown by now */
    link_set(0, 1, true);
    call = request(0, "files");
    deliver();
    (void)served(1);
}
END_TEST

/* The other side may have kept its link's memory of us. */
START_TEST(a_member_that_is_removed_and_comes_back_is_not_called_with_old_numbers)
{
    struct calls_input forget = {.type = CALLS_IN_FORGET, .node = ids[1]};
    uint64_t call;

    offer(1, "files", 'x');
    for (int i = 0; i < 3; i++) {
        call = request(0, "files");
        deliver();
        result(1, served(1), "done");
        assert_result(0, call, "done", 1);
    }
    link_set(0, 1, false);
    step(0, &forget);
    link_set(0, 1, true);
    call = request(0, "files");
    deliver();
    result(1, served(1), "done");
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(stats(1).duplicates, 0);
}
END_TEST

/* A node lost its disk, and hears only later what it had said before. */
START_TEST(a_caller_that_forgot_a_run_is_heard_once_it_begins_anew)
{
    uint64_t lost, again, there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    result(1, served(1), "done");
    (void)next(0);
    create(0, 3); /* 1 remembers run 5 */
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[2]});
    offer(2, "mail", 'y');
    (void)request(0, "mail");
    deliver();
    there = served(2);
    lost = ticket_last;
    step(0, &(struct calls_input){.type = CALLS_IN_START, .epoch = 6});
    assert_failed(0, lost, CALL_OUTCOME_UNKNOWN);
    deliver();
    assert_cancelled(2, there);
    again = request(0, "files");
    deliver();
    result(1, served(1), "done");
    assert_result(0, again, "done", 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls_once");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_doubled_envelope_is_executed_once);
    tcase_add_test(tcase, a_late_duplicate_is_not_executed_again);
    tcase_add_test(tcase, a_restarted_caller_starts_again_from_one);
    tcase_add_test(tcase, answers_to_an_earlier_run_are_ignored);
    tcase_add_test(tcase, a_cancel_before_its_request_stops_it);
    tcase_add_test(tcase, the_window_takes_each_number_once);
    tcase_add_test(tcase, a_node_that_is_no_member_any_more_goes_with_its_link);
    tcase_add_test(tcase, a_member_that_is_removed_and_comes_back_is_not_called_with_old_numbers);
    tcase_add_test(tcase, a_caller_that_forgot_a_run_is_heard_once_it_begins_anew);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
