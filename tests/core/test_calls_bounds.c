/* Bounds of calls: what waits, for whom, and what is refused. */
#include "node/core/callwire.h"
#include "tests/core/calls_world.h"
#include "tests/suite.h"

START_TEST(calls_wait_for_room_at_a_node)
{
    uint64_t mine[12];

    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 12; i++) /* 4 go, 8 wait */
        mine[i] = request(0, "files");
    deliver();
    ck_assert_uint_eq(stats(0).queued, 8);
    assert_failed(0, request(0, "files"), CALL_BUSY);
    for (uint32_t i = 0; i < 12; i++) {
        result(1, served(1), "done");
        assert_result(0, mine[i], "done", 1);
    }
    ck_assert_uint_eq(stats(0).queued, 0);
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(one_service_that_is_full_does_not_hold_another)
{
    uint64_t call;

    offer(1, "files", 'x');
    offer(2, "mail", 'x');
    for (uint32_t i = 0; i < 12; i++)
        (void)request(0, "files");
    deliver();
    call = request(0, "mail");
    deliver();
    result(2, served(2), "done");
    assert_result(0, call, "done", 2);
}
END_TEST

START_TEST(waiting_calls_end_with_their_time)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 4; i++)
        (void)request_with(0, (struct call_request){.service = mn_span_str("files")});
    (void)request(0, "files");
    run(11 * MN_SEC);
    assert_failed(0, ticket_last, CALL_BUSY);
    ck_assert_uint_eq(stats(0).queued, 0);
}
END_TEST

START_TEST(waiting_calls_can_be_cancelled)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 5; i++)
        (void)request(0, "files");
    deliver();
    cancel(0, ticket_last);
    ck_assert_uint_eq(stats(0).queued, 0);
    for (uint32_t i = 0; i < 4; i++)
        result(1, served(1), "done");
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(waiting_calls_fail_with_the_link)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 12; i++)
        (void)request(0, "files");
    deliver();
    link_set(0, 1, false);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(next(0)->failure, CALL_OUTCOME_UNKNOWN);
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_int_eq(next(0)->failure, CALL_UNAVAILABLE);
    ck_assert_uint_eq(stats(0).open, 0);
}
END_TEST

START_TEST(a_call_that_waits_for_one_node_does_not_hold_others)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 4; i++)
        (void)request(0, "files.n1");
    for (uint32_t i = 0; i < 4; i++)
        (void)request(0, "files.n2");
    (void)request(0, "files.n1");
    (void)request(0, "files.n2");
    deliver();
    ck_assert_uint_eq(stats(0).queued, 2);
    result(2, served(2), "done");
    ck_assert_uint_eq(stats(0).queued, 1);
}
END_TEST

START_TEST(all_calls_of_a_node_are_bounded)
{
    static const char *const names[10] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

    for (uint32_t i = 0; i < 10; i++) {
        struct catalog_offer all[10];
        for (uint32_t j = 0; j <= i; j++)
            all[j] = (struct catalog_offer){.name = mn_span_str(names[j]),
                                            .body = mn_buf_copy(mn_span_str("x"))};
        services_set(services[0], &ids[0], mn_span_str("n0"), all, i + 1);
        for (uint32_t j = 0; j <= i; j++)
            mn_buf_unref(all[j].body);
    }
    for (uint32_t i = 0; i < 40; i++)
        (void)request(0, names[i % 10]);
    for (uint32_t i = 0; i < 40; i++)
        (void)served(0);
    assert_failed(0, request(0, "a"), CALL_BUSY);
}
END_TEST

START_TEST(what_is_executed_for_one_node_is_bounded)
{
    struct callwire ask = {
        .kind = MESHNODE__CALLWIRE__KIND__KIND_REQUEST, .boot = 9, .service = mn_span_str("files")};
    struct callwire refusal;
    struct mn_arena arena = {0};

    net = NET_KEEPS;
    for (uint64_t i = 1; i <= 11; i++) {
        struct mn_buf *buf;
        ask.seq = i;
        buf = mn_buf_copy(callwire_encode(&ask, &arena));
        step(1, &(struct calls_input){
                    .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(buf), NULL}});
        mn_buf_unref(buf);
    }
    for (uint32_t i = 0; i < 10; i++)
        (void)served(1);
    ck_assert(is_quiet(1));
    ck_assert_uint_eq(letters_written - letters_read, 1);
    ck_assert_int_eq(callwire_decode(mn_buf_span(letters[letters_read].buf), &arena, &refusal),
                     MN_OK);
    ck_assert_int_eq(refusal.failure, CALL_BUSY);
    ck_assert(refusal.not_started);
    mn_arena_done(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls_bounds");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, calls_wait_for_room_at_a_node);
    tcase_add_test(tcase, one_service_that_is_full_does_not_hold_another);
    tcase_add_test(tcase, waiting_calls_end_with_their_time);
    tcase_add_test(tcase, waiting_calls_can_be_cancelled);
    tcase_add_test(tcase, waiting_calls_fail_with_the_link);
    tcase_add_test(tcase, a_call_that_waits_for_one_node_does_not_hold_others);
    tcase_add_test(tcase, all_calls_of_a_node_are_bounded);
    tcase_add_test(tcase, what_is_executed_for_one_node_is_bounded);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
