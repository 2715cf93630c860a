/* Calls between nodes: that they come there and back, and what cannot be called; at the end,
 * everything at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/callwire.h"
#include "tests/core/calls_world.h"
#include "tests/suite.h"

START_TEST(a_local_service_is_called_here)
{
    uint64_t call;

    offer(0, "files", 'x');
    call = request(0, "files");
    ck_assert_uint_eq(letters_written, 0);
    result(0, served(0), "done");
    assert_result(0, call, "done", 0);
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(calls_load(calls[0]), 0);
}
END_TEST

START_TEST(a_remote_service_is_called_there)
{
    const struct told *item;
    uint64_t call;

    offer(1, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files.n1"),
                                                 .timeout = MN_SEC,
                                                 .timeout_total = MN_MINUTE,
                                                 .trace = mn_span_str("00-aa-bb-01")});
    deliver();
    item = next(1);
    ck_assert_int_eq(item->type, CALL_MESSAGE_REQUEST);
    ck_assert_str_eq(item->service, "files"); /* the server's own name */
    ck_assert_str_eq(item->payload, "ask");
    ck_assert_str_eq(item->trace, "00-aa-bb-01");
    ck_assert_uint_eq(item->timeout_total, MN_MINUTE);
    ck_assert_uint_eq(calls_load(calls[1]), 1);
    result(1, item->ticket, "done");
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(stats(0).finished, 1);
    ck_assert(is_quiet(2));
}
END_TEST

START_TEST(progress_comes_before_the_result)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    answer(1, there, CALL_EVENT_PROGRESS, "p1", CALL_FAILED_NONE);
    answer(1, there, CALL_EVENT_PROGRESS, "p2", CALL_FAILED_NONE);
    result(1, there, "done");
    ck_assert_str_eq(next(0)->payload, "p1");
    ck_assert_str_eq(next(0)->payload, "p2");
    assert_result(0, call, "done", 1);
}
END_TEST

/* Whoever executes it hears it, here or there; it is a sign of life; too late is never. */
START_TEST(who_wants_to_know_hears_where_its_call_is)
{
    struct call_request wish = {.service = mn_span_str("files"), .wants_place = true};
    const struct told *item;
    uint64_t call;

    for (uint32_t node = 0; node < 2; node++) { /* here, and there */
        wish.node = ids[node];
        offer(node, "files", 'x');
        call = request_with(0, wish);
        item = node == 0 ? &told[0][told_written[0] - 1] : next(0);
        if (node == 0) told_read[0] = told_written[0];
        ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
        ck_assert_int_eq(item->kind, CALL_EVENT_PROGRESS);
        ck_assert_uint_eq(item->ticket, call);
        ck_assert_str_eq(item->payload, "");
        ck_assert(mn_id_equal(&item->node, &ids[node]));
    }
}
END_TEST

START_TEST(the_caller_may_say_more_while_its_call_runs)
{
    uint64_t call, there;

    offer(0, "here", 'x');
    offer(1, "there", 'x');
    call = request(0, "here");
    there = served(0);
    say(0, call, "local");
    ck_assert_int_eq(told[0][told_read[0]].type, CALL_MESSAGE_INPUT);
    ck_assert_uint_eq(told[0][told_read[0]].ticket, there);
    ck_assert_str_eq(next(0)->payload, "local");
    result(0, there, "done");
    assert_result(0, call, "done", 0);

    call = request(0, "there");
    deliver();
    there = served(1);
    for (int i = 0; i < 3; i++) {
        run(9 * MN_SEC);
        say(0, call, "remote");
        ck_assert_int_eq(told[1][told_read[1]].type, CALL_MESSAGE_INPUT);
        ck_assert_uint_eq(told[1][told_read[1]].ticket, there);
        ck_assert_str_eq(next(1)->payload, "remote");
    }
    result(1, there, "done");
    assert_result(0, call, "done", 1);
    say(0, call, "late");
    say(0, 12345, "nobody");
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(calls_of_many_do_not_mix)
{
    uint64_t ours[10], theirs[10];
    char text[8];

    offer(1, "files", 'x');
    offer(2, "mail", 'x');
    for (uint32_t i = 0; i < 8; i++)
        ours[i] = request(0, i % 2 ? "files" : "mail");
    deliver();
    for (uint32_t i = 0; i < 8; i++)
        theirs[i] = served(i % 2 ? 1 : 2);
    for (uint32_t i = 8; i-- > 0;) {
        snprintf(text, sizeof text, "r%u", i);
        result(i % 2 ? 1 : 2, theirs[i], text);
        assert_result(0, ours[i], text, i % 2 ? 1 : 2);
    }
}
END_TEST

START_TEST(a_local_replica_goes_first)
{
    offer(0, "files", 'x');
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t call = request(0, "files");
        result(0, served(0), "done");
        assert_result(0, call, "done", 0);
    }
    ck_assert_uint_eq(letters_written, 0);
}
END_TEST

START_TEST(a_call_bound_to_a_node_goes_there_only)
{
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files"), .node = ids[1]});
    deliver();
    refuse(1, served(1), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
    ck_assert(is_quiet(0));
}
END_TEST

/* Its replica is well, and is not named: it was not asked. */
START_TEST(why_the_node_that_a_call_is_bound_to_does_not_take_it)
{
    struct call_request wish = {.service = mn_span_str("files"), .node = ids[1]};
    const struct told *item;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    link_set(0, 1, false);
    item = assert_failed(0, request_with(0, wish), CALL_UNAVAILABLE);
    ck_assert_str_eq(item->text, "only node n1 can take this call of files, and cannot now "
                                 "(no_link); nothing was sent");
    wish.node = ids[2];
    item = assert_failed(0, request_with(0, wish), CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "the one node that can take this call of files"));
}
END_TEST

START_TEST(unknown_services_are_not_found)
{
    static const char longer[200] = "";

    assert_failed(0, request(0, "files"), CALL_NOT_FOUND);
    assert_failed(0, request(0, ""), CALL_NOT_FOUND);
    assert_failed(0,
                  request_with(0, (struct call_request){.service = mn_span(longer, sizeof longer)}),
                  CALL_NOT_FOUND);
}
END_TEST

START_TEST(a_conflict_names_its_servers)
{
    const struct told *item;

    offer_as(1, "files", 'x', 1);
    offer_as(2, "files", 'x', 2);
    item = assert_failed(0, request(0, "files"), CALL_CONFLICT);
    ck_assert_ptr_nonnull(strstr(item->text, "files.n1, files.n2"));
    (void)request(0, "files.n2");
    deliver();
    (void)served(2);
}
END_TEST

START_TEST(without_a_link_nothing_is_sent)
{
    const struct told *item;

    offer(1, "files", 'x');
    link_set(0, 1, false);
    item = assert_failed(0, request(0, "files"), CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (no_link)"));
    ck_assert_ptr_nonnull(strstr(item->text, "nothing was executed"));
    ck_assert_uint_eq(letters_written, 0);
}
END_TEST

START_TEST(what_is_too_big_is_refused_on_both_ends)
{
    struct mn_buf *big = mn_buf_new(CALLWIRE_PAYLOAD_MAX + 1);
    struct call_message message = {.type = CALL_MESSAGE_EVENT, .event = {.payload = big}};
    uint64_t call;

    memset(big->bytes, 'x', big->size);
    offer(1, "files", 'x');
    call = request_with(
        0, (struct call_request){.service = mn_span_str("files"), .payload = mn_buf_ref(big)});
    assert_failed(0, call, CALL_UNAVAILABLE);
    /* Ten in a row, and the server still takes calls: its breaker is for failures of its own. */
    for (int i = 0; i < 10; i++) {
        call = request(0, "files");
        deliver();
        message.event.ticket = served(1);
        message.event.kind = CALL_EVENT_RESULT;
        step(1, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
        deliver();
        assert_failed(0, call, CALL_TOO_BIG);
    }
    mn_buf_unref(big);
}
END_TEST

/* The client of a session went on at another node, which took the call along, or came too late for
 * it. */
START_TEST(what_was_taken_is_no_failure_and_is_not_done_again)
{
    const enum call_failure failure = _i == 0 ? CALL_TAKEN : CALL_GONE;
    uint64_t call;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (int i = 0; i < 10; i++) {
        uint32_t at;
        call = request_idempotent(0, "files");
        deliver();
        at = told_read[1] < told_written[1] ? 1 : 2;
        refuse(at, served(at), failure);
        assert_failed(0, call, failure);
    }
    call = request(0, "files"); /* both still take calls */
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 0);
    cancel(0, call);
}
END_TEST

/* All of it from some point on, the last word too: else that would overtake what was said before.
 */
START_TEST(a_call_that_says_much_lets_others_go_first)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT};
    struct mn_buf *payload = mn_buf_new(3000);
    uint32_t plain = 0, chatty = 0;

    memset(payload->bytes, 'x', payload->size);
    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    net = NET_KEEPS;
    message.event =
        (struct call_event){.ticket = served(1), .kind = CALL_EVENT_PROGRESS, .payload = payload};
    for (unsigned i = 0; i < 101; i++) {
        if (i == 100) message.event.kind = CALL_EVENT_RESULT;
        step(1, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
        ck_assert_uint_eq(letters_written - letters_read, 1);
        ck_assert(letters[letters_read].is_chatty || chatty == 0);
        plain += !letters[letters_read].is_chatty;
        chatty += letters[letters_read].is_chatty;
        mn_buf_unref(letters[letters_read++].buf);
    }
    ck_assert_uint_eq(plain, 87); /* 256 KiB */
    ck_assert_uint_eq(chatty, 14);
    mn_buf_unref(payload);
}
END_TEST

START_TEST(malformed_messages_are_counted)
{
    struct calls_input input = {.type = CALLS_IN_MESSAGE, .node = ids[0]};
    static const char *const bad[] = {"", "abc", "\xff\xff\xff\xff",
                                      "\0\0\0\x04"
                                      "abc"};

    for (uint32_t i = 0; i < 4; i++) {
        input.message.bytes = mn_span(bad[i], i == 3 ? 7 : strlen(bad[i]));
        step(1, &input);
    }
    ck_assert_uint_eq(stats(1).messages_malformed, 4);
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(routes_are_explained)
{
    struct calls_route *routes;
    struct mn_arena arena = {0};

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    link_set(0, 2, false);
    ck_assert_uint_eq(calls_explain(calls[0], now, mn_span_str("files"), &arena, &routes), 3);
    ck_assert(routes[0].is_local && routes[0].is_winner);
    ck_assert_int_eq(routes[1].reason, CALLS_REASON_OK);
    ck_assert(!routes[1].is_winner);
    ck_assert_int_eq(routes[2].reason, CALLS_REASON_NO_LINK);
    ck_assert_uint_eq(calls_explain(calls[0], now, mn_span_str("none"), &arena, &routes), 0);
    mn_arena_done(&arena);
}
END_TEST

static uint32_t open_calls[TOLD_MAX], executed[TOLD_MAX];

/* Each gateway works off what it was told; payloads are the callers' tickets. */
static void work(uint32_t node, struct rng *rng)
{
    while (!is_quiet(node)) {
        const struct told *item = next(node);
        uint32_t ticket = (uint32_t)item->ticket;
        switch (item->type) {
        case CALL_MESSAGE_REQUEST:
            executed[atoi(item->payload)]++;
            switch (rng_below(rng, 8)) {
            case 0: break; /* hangs */
            case 1: refuse(node, item->ticket, CALL_OUTCOME_UNKNOWN); break;
            case 2:
                executed[atoi(item->payload)]--;
                refuse(node, item->ticket, CALL_BUSY);
                break;
            default: result(node, item->ticket, item->payload); break;
            }
            break;
        case CALL_MESSAGE_EVENT:
            ck_assert_uint_eq(open_calls[ticket], 1);
            open_calls[ticket] = 0;
            if (item->kind == CALL_EVENT_RESULT) ck_assert_int_eq(atoi(item->payload), (int)ticket);
            break;
        case CALL_MESSAGE_CANCEL:
        case CALL_MESSAGE_INPUT:
        case CALL_MESSAGE_OFFER:
        case CALL_MESSAGE_SERVICE: break;
        }
    }
}

START_TEST(every_call_is_answered_and_never_executed_twice)
{
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i};

    rng_init(&rng, seed);
    memset(open_calls, 0, sizeof open_calls);
    memset(executed, 0, sizeof executed);
    for (uint32_t i = 0; i < NODES; i++)
        offer(i, "files", 'x');
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t node = rng_below(&rng, NODES), other = (node + 1 + rng_below(&rng, 2)) % NODES;
        char text[12];
        net = rng_below(&rng, 4) == 0 ? NET_DOUBLES : NET_CARRIES;
        if (rng_below(&rng, 10) == 0) link_set(node, other, !linked[node][other]);
        snprintf(text, sizeof text, "%u", (uint32_t)ticket_last + 1);
        open_calls[ticket_last + 1] = 1;
        (void)request_with(node, (struct call_request){.service = mn_span_str("files"),
                                                       .payload = mn_buf_copy(mn_span_str(text)),
                                                       .timeout = 2 * MN_SEC,
                                                       .timeout_total = 5 * MN_SEC});
        if (rng_below(&rng, 2) == 0) deliver();
        for (uint32_t j = 0; j < NODES; j++)
            work(j, &rng);
        run(rng_below_u64(&rng, 100 * MN_MS));
    }
    for (uint32_t k = 0; k < 20; k++) {
        run(MN_SEC);
        for (uint32_t j = 0; j < NODES; j++)
            work(j, &rng);
    }
    for (uint64_t t = 1; t <= ticket_last; t++) {
        ck_assert_uint_eq(open_calls[t], 0);
        ck_assert_uint_le(executed[t], 1);
    }
    for (uint32_t j = 0; j < NODES; j++) {
        ck_assert_uint_eq(stats(j).open, 0);
        ck_assert_uint_eq(stats(j).served, 0);
    }
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_local_service_is_called_here);
    tcase_add_test(tcase, a_remote_service_is_called_there);
    tcase_add_test(tcase, progress_comes_before_the_result);
    tcase_add_test(tcase, who_wants_to_know_hears_where_its_call_is);
    tcase_add_test(tcase, the_caller_may_say_more_while_its_call_runs);
    tcase_add_test(tcase, calls_of_many_do_not_mix);
    tcase_add_test(tcase, a_local_replica_goes_first);
    tcase_add_test(tcase, a_call_bound_to_a_node_goes_there_only);
    tcase_add_test(tcase, why_the_node_that_a_call_is_bound_to_does_not_take_it);
    tcase_add_test(tcase, unknown_services_are_not_found);
    tcase_add_test(tcase, a_conflict_names_its_servers);
    tcase_add_test(tcase, without_a_link_nothing_is_sent);
    tcase_add_test(tcase, what_is_too_big_is_refused_on_both_ends);
    tcase_add_loop_test(tcase, what_was_taken_is_no_failure_and_is_not_done_again, 0, 2);
    tcase_add_test(tcase, a_call_that_says_much_lets_others_go_first);
    tcase_add_test(tcase, malformed_messages_are_counted);
    tcase_add_test(tcase, routes_are_explained);
    tcase_add_loop_test(tcase, every_call_is_answered_and_never_executed_twice, 0, 50);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
