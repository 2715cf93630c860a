/* Calls whose node is suspect, refuses or is lost: who is asked next, and when nobody may be. */
#include <string.h>

#include "tests/core/calls_world.h"
#include "tests/suite.h"

static void routable_set(uint32_t node, uint32_t other, bool flag)
{
    step(node, &(struct calls_input){.type = CALLS_IN_ROUTABLE, .node = ids[other], .flag = flag});
}

START_TEST(a_suspect_gets_no_new_calls)
{
    uint64_t call, waiting;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    routable_set(0, 1, false);
    waiting = request(0, "files");
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 1);
    result(1, served(1), "done"); /* what it has it may finish */
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 1);
    routable_set(0, 1, true); /* refuted: what waited goes there */
    deliver();
    result(1, served(1), "late");
    assert_result(0, waiting, "late", 1);
}
END_TEST

/* Two replicas with other definitions: the name is the first one's. */
static void offer_in_two_parts(void)
{
    offer_as(1, "files", 'x', 7);
    offer_as(2, "files", 'y', 7);
}

/* The word that it may be dead: the name is the other one's. */
static void suspect(uint32_t node)
{
    services_set_suspect(services[0], &ids[node], true);
    routable_set(0, node, false);
    deliver();
}

START_TEST(a_call_waits_for_the_heir_of_a_node_that_was_just_lost)
{
    uint64_t calls_of[3];

    offer_in_two_parts();
    calls_of[0] = request_idempotent(0, "files");
    calls_of[1] = request(0, "files");
    deliver();
    link_set(0, 1, false);
    assert_failed(0, calls_of[1], CALL_OUTCOME_UNKNOWN); /* it may not be executed again */
    calls_of[2] = request(0, "files");
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 2);
    suspect(1);
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 0);
    result(2, served(2), "again");
    assert_result(0, calls_of[0], "again", 2);
    result(2, served(2), "late");
    assert_result(0, calls_of[2], "late", 2);
}
END_TEST

START_TEST(nobody_waits_long_for_an_heir)
{
    uint64_t begun, waiting;
    const struct told *item;

    offer_in_two_parts();
    begun = request_idempotent(0, "files");
    deliver();
    link_set(0, 1, false); /* cut, and alive for the others */
    waiting = request(0, "files");
    run(5 * MN_SEC + 1);
    item = assert_failed(0, begun, CALL_OUTCOME_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(item->text, "it may have been executed"));
    item = assert_failed(0, waiting, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "nothing was executed"));
    assert_failed(0, request(0, "files"), CALL_UNAVAILABLE); /* that is not news any more */
}
END_TEST

START_TEST(a_suspect_that_is_lost_ends_the_wait)
{
    uint64_t call;
    const struct told *item;

    offer(1, "files", 'x');
    routable_set(0, 1, false);
    call = request(0, "files");
    link_set(0, 1, false);
    item = assert_failed(0, call, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (no_link)"));
}
END_TEST

START_TEST(nobody_waits_long_for_a_suspect)
{
    uint64_t call;
    const struct told *item;

    offer(1, "files", 'x');
    routable_set(0, 1, false);
    call = request(0, "files");
    ck_assert_uint_eq(calls_deadline(calls[0]), now.mono + 5 * MN_SEC);
    run(5 * MN_SEC + 1);
    item = assert_failed(0, call, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (suspect)"));
    ck_assert_ptr_nonnull(strstr(item->text, "nothing was executed"));
}
END_TEST

START_TEST(a_replica_is_better_than_a_suspect)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    routable_set(0, 1, false);
    (void)request(0, "files");
    deliver();
    (void)served(2);
}
END_TEST

static void refused_elsewhere(enum call_failure failure)
{
    uint64_t call, there;
    uint32_t first, second;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    second = 3 - first;
    ck_assert(is_quiet(second));
    refuse(first, served(first), failure);
    there = served(second);
    result(second, there, "done");
    assert_result(0, call, "done", second);
    ck_assert_uint_eq(stats(0).failed_over, 1);
}

START_TEST(what_was_not_started_goes_elsewhere)
{
    refused_elsewhere((enum call_failure)_i);
}
END_TEST

START_TEST(what_may_have_started_does_not_go_elsewhere)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    refuse(first, served(first), (enum call_failure)_i);
    assert_failed(0, call, (enum call_failure)_i);
    ck_assert(is_quiet(3 - first));
}
END_TEST

START_TEST(without_a_replica_nothing_fails_over)
{
    uint64_t call;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    refuse(1, served(1), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
    ck_assert_uint_eq(stats(0).failed_over, 0);
}
END_TEST

START_TEST(the_last_refusal_is_the_answer)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    refuse(first, served(first), CALL_UNAVAILABLE);
    refuse(3 - first, served(3 - first), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
}
END_TEST

START_TEST(a_local_server_that_is_down_is_left_for_a_replica)
{
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request(0, "files");
    refuse(0, served(0), CALL_UNAVAILABLE);
    deliver();
    result(1, served(1), "done");
    assert_result(0, call, "done", 1);
}
END_TEST

START_TEST(a_lost_link_leaves_the_outcome_unknown)
{
    const struct told *item;
    uint64_t call, there;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files.n1")});
    deliver();
    there = served(1);
    link_set(0, 1, false);
    item = assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
    ck_assert(mn_id_equal(&item->node, &ids[1]));
    ck_assert_ptr_nonnull(strstr(item->text, "n1"));
    assert_ended(1, there, true);
    ck_assert_uint_eq(calls_load(calls[1]), 0);
    result(1, there, "late"); /* nobody minds */
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(0).unknown, 1);
}
END_TEST

START_TEST(an_idempotent_call_survives_a_lost_link)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request_idempotent(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    (void)served(first);
    link_set(0, first, false);
    deliver();
    result(3 - first, served(3 - first), "done");
    assert_result(0, call, "done", 3 - first);
}
END_TEST

START_TEST(what_was_never_sent_goes_elsewhere)
{
    struct calls_input unsent = {.type = CALLS_IN_UNSENT};
    struct letter letter;
    uint64_t call;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    net = NET_KEEPS;
    call = request(0, "files");
    letter = letters[letters_read++];
    mn_buf_unref(letter.buf);
    unsent.node = ids[letter.to];
    unsent.tag = letter.tag;
    step(0, &unsent);
    link_set(0, letter.to, false);
    net = NET_CARRIES;
    deliver();
    result(3 - letter.to, served(3 - letter.to), "done");
    assert_result(0, call, "done", 3 - letter.to);
}
END_TEST

START_TEST(an_answer_that_cannot_be_sent_is_told)
{
    struct calls_input unsent = {.type = CALLS_IN_UNSENT, .node = ids[0]};
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS;
    result(1, there, "done");
    unsent.tag = letters[letters_read].tag;
    mn_buf_unref(letters[letters_read++].buf);
    step(1, &unsent);
    net = NET_CARRIES;
    deliver();
    assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(retries_have_a_budget)
{
    uint32_t retried = 0, refused = 0;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t call = request(0, "files");
        deliver();
        for (uint32_t n = 0; n < 4; n++) /* refused wherever it goes */
            for (uint32_t node = 1; node < NODES; node++)
                while (!is_quiet(node)) {
                    const struct told *item = next(node);
                    refused += item->type == CALL_MESSAGE_REQUEST;
                    refuse(node, item->ticket, CALL_BUSY);
                }
        assert_failed(0, call, CALL_BUSY);
    }
    retried = refused - 1000;
    ck_assert_uint_ge(retried, 190); /* nearly two bursts of 100 */
    ck_assert_uint_le(retried, 350); /* and a tenth */
    ck_assert_uint_gt(stats(0).retries_refused, 0);
}
END_TEST

START_TEST(a_broken_node_is_left_alone)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t call = request(0, "files");
        deliver();
        if (!is_quiet(1)) {
            refuse(1, served(1), CALL_UPSTREAM);
            assert_failed(0, call, CALL_UPSTREAM);
        } else {
            result(2, served(2), "done");
            assert_result(0, call, "done", 2);
        }
    }
    ck_assert_uint_le(stats(0).failed, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls_failover");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_suspect_gets_no_new_calls);
    tcase_add_test(tcase, a_call_waits_for_the_heir_of_a_node_that_was_just_lost);
    tcase_add_test(tcase, nobody_waits_long_for_an_heir);
    tcase_add_test(tcase, a_suspect_that_is_lost_ends_the_wait);
    tcase_add_test(tcase, nobody_waits_long_for_a_suspect);
    tcase_add_test(tcase, a_replica_is_better_than_a_suspect);
    tcase_add_loop_test(tcase, what_was_not_started_goes_elsewhere, CALL_UNAVAILABLE,
                        CALL_BUSY + 1);
    tcase_add_loop_test(tcase, what_may_have_started_does_not_go_elsewhere, CALL_TIMED_OUT,
                        CALL_UPSTREAM + 1);
    tcase_add_test(tcase, without_a_replica_nothing_fails_over);
    tcase_add_test(tcase, the_last_refusal_is_the_answer);
    tcase_add_test(tcase, a_local_server_that_is_down_is_left_for_a_replica);
    tcase_add_test(tcase, a_lost_link_leaves_the_outcome_unknown);
    tcase_add_test(tcase, an_idempotent_call_survives_a_lost_link);
    tcase_add_test(tcase, what_was_never_sent_goes_elsewhere);
    tcase_add_test(tcase, an_answer_that_cannot_be_sent_is_told);
    tcase_add_test(tcase, retries_have_a_budget);
    tcase_add_test(tcase, a_broken_node_is_left_alone);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
