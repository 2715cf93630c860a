/* Nodes that agree, in virtual time: the group is founded, others come to vote, whoever is asked
 * answers, what was acknowledged survives crashes, and what is not known is said to be unknown. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/state/state_world.h"
#include "tests/suite.h"

START_TEST(a_mesh_of_one_works_at_once)
{
    world_boot(0);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    ck_assert_str_eq(world_get(0, "a"), "1");
    ck_assert_uint_lt(world_now, 3 * MN_SEC);
}
END_TEST

START_TEST(voters_are_one_three_five_seven)
{
    static const uint32_t expected[] = {0, 1, 1, 3, 3, 5, 5, 7};

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        world_boot(i);
        world_run(8 * MN_SEC);
        ck_assert_uint_eq(world_voters(), expected[i + 1]);
    }
}
END_TEST

START_TEST(any_node_answers)
{
    char value[8];

    world_boot_all(5);
    for (uint32_t i = 0; i < 5; i++) {
        snprintf(value, sizeof value, "%u", i);
        ck_assert_int_eq(world_put(i, "a", value), MN_OK);
        ck_assert_str_eq(world_get((i + 1) % 5, "a"), value);
    }
}
END_TEST

START_TEST(what_was_acknowledged_survives_the_crash_of_all)
{
    world_boot_all(3);
    ck_assert_int_eq(world_put(1, "a", "1"), MN_OK);
    for (uint32_t i = 0; i < 3; i++)
        world_kill(i);
    for (uint32_t i = 0; i < 3; i++)
        world_boot(i);
    ck_assert_str_eq(world_get(2, "a"), "1");
}
END_TEST

START_TEST(a_new_leader_takes_over)
{
    uint32_t old;
    mn_time begin;

    world_boot_all(3);
    ck_assert_int_eq(world_put(1, "a", "1"), MN_OK);
    old = world_leader();
    world_kill(old);
    begin = world_now;
    ck_assert_int_eq(world_put((old + 1) % 3, "a", "2"), MN_OK);
    ck_assert_uint_lt(world_now - begin, 1500 * MN_MS);
    ck_assert_str_eq(world_get((old + 2) % 3, "a"), "2");
}
END_TEST

/* From the moment that the leader is cut off, without a word from the kernel, to the next write
 * that is acknowledged, at the election base of 300 ms that nodes have. */
static mn_time failover(void)
{
    uint32_t old = world_leader();
    mn_time begin = world_now, took;

    ck_assert_uint_lt(old, 5);
    for (uint32_t i = 0; i < 5; i++)
        world_cut[old][i] = world_cut[i][old] = i != old;
    while (world_put((old + 1) % 5, "a", "1") != MN_OK)
        ck_assert_uint_lt(world_now - begin, 20 * MN_SEC);
    took = world_now - begin;
    memset(world_cut, 0, sizeof world_cut);
    world_run(MN_SEC + begin % 100); /* not always at the same moment between two heartbeats */
    return took;
}

static int compare_times(const void *a, const void *b)
{
    mn_time left = *(const mn_time *)a, right = *(const mn_time *)b;
    return left < right ? -1 : left > right;
}

START_TEST(of_a_hundred_failovers_99_take_a_second_and_a_half_at_most)
{
    mn_time took[100];

    ck_assert_uint_eq(raft_config_default().election_timeout, 300 * MN_MS);
    world_boot_all(5);
    for (uint32_t i = 0; i < 100; i++)
        took[i] = failover();
    qsort(took, 100, sizeof *took, compare_times);
    ck_assert_msg(took[98] <= 1500 * MN_MS, "p50 %llu ms, p99 %llu ms",
                  (unsigned long long)(took[49] / MN_MS), (unsigned long long)(took[98] / MN_MS));
    ck_assert_uint_ge(took[49], 300 * MN_MS); /* nobody was told: it takes at least the base */
}
END_TEST

START_TEST(a_minority_says_unknown_or_no_quorum_and_the_majority_goes_on)
{
    uint32_t old;
    mn_status status;

    world_boot_all(3);
    old = world_leader();
    for (uint32_t i = 0; i < 3; i++)
        world_cut[old][i] = world_cut[i][old] = i != old;
    status = world_put(old, "a", "1"); /* it is in its log: it may yet come true */
    ck_assert_int_eq(status, MN_TIMEOUT);
    ck_assert_int_eq(
        world_ask(old, (struct state_request){.type = STATE_READ, .read.key = mn_span_str("a")}),
        MN_UNREACHABLE);
    ck_assert_int_eq(world_put((old + 1) % 3, "a", "2"), MN_OK);
    memset(world_cut, 0, sizeof world_cut);
    world_run(3 * MN_SEC);
    ck_assert_str_eq(world_get(old, "a"), "2");
}
END_TEST

/* The world_leader has it in its log and cannot bring it about: whoever asked must not hear "not
 * done".
 */
START_TEST(what_a_lost_leader_has_in_its_log_is_unknown_to_who_asked_it)
{
    uint32_t old, asker;

    world_boot_all(3);
    old = world_leader();
    asker = (old + 1) % 3;
    world_kill((old + 2) % 3);
    world_cut[old][asker] = true; /* it hears, and is not heard */
    ck_assert_int_eq(world_put(asker, "a", "1"), MN_TIMEOUT);
    memset(world_cut, 0, sizeof world_cut);
    world_boot((old + 2) % 3);
    world_run(3 * MN_SEC);
    ck_assert_int_eq(world_put(asker, "b", "1"), MN_OK);
}
END_TEST

START_TEST(a_leader_that_steps_down_does_not_say_that_nothing_was_done)
{
    uint32_t old, asker;

    world_boot_all(5);
    old = world_leader();
    asker = (old + 1) % 5;
    for (uint32_t i = 0; i < 5; i++)
        if (i != old && i != asker) world_kill(i);
    ck_assert_int_eq(world_put(asker, "a", "1"), MN_TIMEOUT);
}
END_TEST

START_TEST(a_dead_voter_is_replaced)
{
    uint32_t dead = WORLD_NODES;

    world_boot_all(4);
    for (uint32_t i = 0; i < 4; i++)
        if (world_votes(i) && i != world_leader()) dead = i;
    world_kill(dead);
    world_run(20 * MN_SEC);
    ck_assert(world_votes(dead)); /* it may come back */
    world_run(20 * MN_SEC);
    ck_assert(!world_votes(dead));
    ck_assert_uint_eq(world_voters(), 3);
    world_boot(dead);
    world_run(10 * MN_SEC);
    ck_assert_uint_eq(world_voters(), 3);
    ck_assert_int_eq(world_put(dead, "a", "1"), MN_OK);
}
END_TEST

START_TEST(a_wiped_voter_has_no_vote_until_it_is_healed)
{
    struct raft_view view;
    uint32_t lost;

    world_boot_all(3);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    lost = (world_leader() + 1) % 3;
    world_kill(lost);
    world_wipe(lost);
    for (uint32_t i = 0; i < 3; i++)
        world_cut[lost][i] = world_cut[i][lost] = i != lost;
    world_boot(lost);
    world_run(3 * MN_SEC);
    ck_assert(state_view(world_hosts[lost].state, &view));
    ck_assert(view.is_wounded);
    memset(world_cut, 0, sizeof world_cut);
    world_run(3 * MN_SEC);
    ck_assert(state_view(world_hosts[lost].state, &view));
    ck_assert(!view.is_wounded);
    ck_assert_str_eq(world_get(lost, "a"), "1");
}
END_TEST

static void put_large(uint32_t key, uint32_t number)
{
    struct state_request request = {.type = STATE_COMMAND, .timeout = 5 * MN_SEC};
    static char value[200000];
    char name[16];

    memset(value, 'x', sizeof value);
    snprintf(value, sizeof value, "%u", number);
    snprintf(name, sizeof name, "key-%02u", key);
    request.command.verb = STRONG_PUT;
    request.command.key = mn_span_str(name);
    request.command.value = mn_span(value, sizeof value);
    ck_assert_int_eq(world_ask(0, request), MN_OK);
}

/* No step makes or writes more of a snapshot than a piece, however large the map is; and what is
 * read back after a crash is the map. */
START_TEST(a_large_map_is_saved_piece_by_piece)
{
    struct raft_view view;
    uint32_t number = 0;

    world_boot_all(1);
    do {
        put_large(number % 40, number);
        number++;
        ck_assert(state_view(world_hosts[0].state, &view));
    } while (view.snapshot_index == 0 && number < 1000);
    ck_assert_uint_gt(view.snapshot_index, 0);
    ck_assert_uint_gt(view.commit, view.snapshot_index); /* puts went on meanwhile */
    ck_assert_uint_ge(world_saved_pieces, 40);
    ck_assert_uint_le(world_saved_most, STRONG_VALUE_MAX + ((size_t)128 << 10));
    world_kill(0);
    world_boot(0);
    world_run(2 * MN_SEC);
    for (uint32_t key = 0; key < 40; key++) {
        char name[16], text[16];
        snprintf(name, sizeof name, "key-%02u", key);
        snprintf(text, sizeof text, "%u", (number - 1 - key) / 40 * 40 + key);
        ck_assert_str_eq(world_get(0, name), text);
    }
}
END_TEST

START_TEST(a_founder_that_lost_its_log_founds_nothing_twice)
{
    struct raft_view view;

    world_boot_all(1);
    ck_assert_int_eq(world_put(0, "a", "1"), MN_OK);
    ck_assert(world_hosts[0].is_old);
    world_kill(0);
    world_wipe(0);
    world_boot(0);
    world_run(3 * MN_SEC);
    ck_assert(state_view(world_hosts[0].state, &view));
    ck_assert(view.is_wounded);
    ck_assert_int_eq(world_put(0, "a", "2"), MN_UNREACHABLE);
}
END_TEST

START_TEST(a_lease_ends_when_nobody_renews_it)
{
    struct state_request lock = {
        .type = STATE_COMMAND,
        .command = {.verb = STRONG_PUT, .key = mn_span_str("lock"), .has_if_rev = true}};
    const struct state_request leases = {
        .type = STATE_READ, .read.is_leases = true, .read.limit = STRONG_LIST_MAX};

    world_boot_all(3);
    ck_assert_int_eq(
        world_ask(1, (struct state_request){.type = STATE_COMMAND,
                                            .command = {.verb = STRONG_GRANT, .ttl_ms = 4000}}),
        MN_OK);
    lock.command.lease = world_answer.reply.rev;
    ck_assert_int_eq(world_ask(1, lock), MN_OK);
    ck_assert_int_eq(world_answer.reply.status, MN_OK);
    ck_assert_int_eq(world_ask(2, lock), MN_OK);
    ck_assert_int_eq(world_answer.reply.status, MN_EXISTS);
    world_run(3 * MN_SEC);
    for (uint32_t i = 0; i < 3; i++) { /* whoever is asked, it is the leader's clock */
        ck_assert_int_eq(world_ask(i, leases), MN_OK);
        ck_assert_uint_eq(world_answer.leases_count, 1);
        ck_assert_uint_eq(world_lease.id, lock.command.lease);
        ck_assert_uint_eq(world_lease.keys_count, 1);
        ck_assert(world_lease.left_ms > 500 && world_lease.left_ms < 2500);
    }
    ck_assert_int_eq(world_ask(2, lock), MN_OK);
    ck_assert_int_eq(world_answer.reply.status, MN_EXISTS);
    world_run(3 * MN_SEC);
    lock.command.lease = 0;
    ck_assert_int_eq(world_ask(2, lock), MN_OK);
    ck_assert_int_eq(world_answer.reply.status, MN_OK);
}
END_TEST

START_TEST(leadership_is_handed_over)
{
    uint32_t old, next;

    world_boot_all(3);
    old = world_leader();
    next = (old + 1) % 3;
    ck_assert_int_eq(world_ask(old, (struct state_request){.type = STATE_TRANSFER,
                                                           .node = world_hosts[next].id}),
                     MN_OK);
    world_run(MN_SEC);
    ck_assert_uint_eq(world_leader(), next);
    ck_assert_int_eq(world_ask(old, (struct state_request){.type = STATE_PROGRESS}), MN_OK);
    ck_assert_uint_eq(world_answer.progress_count, 3);
}
END_TEST

static mn_status watch(uint32_t index, const char *prefix, struct strong_place after)
{
    return world_ask(index, (struct state_request){.type = STATE_WATCH,
                                                   .watch.prefix = mn_span_str(prefix),
                                                   .watch.after = after});
}

/* The second one is an edge node, which has no copy: another one tells it. */
START_TEST(changes_are_told_by_any_node_and_in_order)
{
    struct strong_place place;

    world_hosts[3].role = METADATA_EDGE;
    world_boot_all(4);
    ck_assert_int_eq(world_put(0, "w/a", "1"), MN_OK);
    ck_assert_int_eq(
        world_ask(3, (struct state_request){.type = STATE_WATCH, .watch.is_now = true}), MN_OK);
    ck_assert_uint_eq(world_answer.changes_count, 0);
    place = world_answer.place;
    ck_assert_uint_gt(place.rev, 0);
    ck_assert_int_eq(world_put(1, "w/b", "2"), MN_OK);
    ck_assert_int_eq(world_put(1, "x/b", "no"), MN_OK);
    ck_assert_int_eq(world_put(2, "w/b", "3"), MN_OK);
    ck_assert_int_eq(world_ask(1, (struct state_request){.type = STATE_COMMAND,
                                                         .command = {.verb = STRONG_REMOVE,
                                                                     .key = mn_span_str("w/a")}}),
                     MN_OK);
    for (uint32_t index = 2; index < 4; index++) {
        world_run(100 * MN_MS);
        ck_assert_int_eq(watch(index, "w/", place), MN_OK);
        ck_assert_uint_eq(world_answer.changes_count, 3);
        ck_assert_str_eq(world_changes[0], "w/b=2");
        ck_assert_str_eq(world_changes[1], "w/b=3");
        ck_assert_str_eq(world_changes[2], "w/a gone");
    }
}
END_TEST

START_TEST(who_watches_waits_until_something_happens_or_its_time_is_over)
{
    struct state_request request = {.type = STATE_WATCH, .timeout = 3 * MN_SEC, .ticket = 78};
    mn_time begin;

    world_boot_all(3);
    ck_assert_int_eq(
        world_ask(1, (struct state_request){.type = STATE_WATCH, .watch.is_now = true}), MN_OK);
    request.watch.after = world_answer.place;
    begin = world_now;
    ck_assert_int_eq(watch(2, "w/", request.watch.after), MN_OK);
    ck_assert_uint_ge(world_now - begin, 5 * MN_SEC);
    ck_assert_uint_eq(world_answer.changes_count, 0);
    world_step(1, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request});
    world_run(MN_SEC);
    world_answer.ticket = 0;
    ck_assert_int_eq(world_put(0, "y", "1"), MN_OK);
    world_run(MN_SEC);
    ck_assert_uint_eq(world_answer.ticket, 78);
    ck_assert_str_eq(world_changes[0], "y=1");
}
END_TEST

START_TEST(nobody_is_told_of_changes_when_no_member_can_be_reached)
{
    world_hosts[3].role = METADATA_EDGE;
    world_boot_all(4);
    for (uint32_t i = 0; i < 3; i++)
        world_cut[3][i] = world_cut[i][3] = true;
    ck_assert_int_eq(
        world_ask(3, (struct state_request){.type = STATE_WATCH, .watch.is_now = true}),
        MN_UNREACHABLE);
    ck_assert_int_eq(watch(3, "", (struct strong_place){0}), MN_OK);
    ck_assert_uint_eq(world_answer.changes_count, 0);
    ck_assert_uint_eq(world_answer.place.rev, 0); /* so it goes on from where it was */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *tcase = tcase_create("all");

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_mesh_of_one_works_at_once);
    tcase_add_test(tcase, voters_are_one_three_five_seven);
    tcase_add_test(tcase, any_node_answers);
    tcase_add_test(tcase, what_was_acknowledged_survives_the_crash_of_all);
    tcase_add_test(tcase, a_new_leader_takes_over);
    tcase_add_test(tcase, of_a_hundred_failovers_99_take_a_second_and_a_half_at_most);
    tcase_add_test(tcase, a_minority_says_unknown_or_no_quorum_and_the_majority_goes_on);
    tcase_add_test(tcase, what_a_lost_leader_has_in_its_log_is_unknown_to_who_asked_it);
    tcase_add_test(tcase, a_leader_that_steps_down_does_not_say_that_nothing_was_done);
    tcase_add_test(tcase, a_dead_voter_is_replaced);
    tcase_add_test(tcase, a_wiped_voter_has_no_vote_until_it_is_healed);
    tcase_add_test(tcase, a_large_map_is_saved_piece_by_piece);
    tcase_add_test(tcase, a_founder_that_lost_its_log_founds_nothing_twice);
    tcase_add_test(tcase, a_lease_ends_when_nobody_renews_it);
    tcase_add_test(tcase, leadership_is_handed_over);
    tcase_add_test(tcase, changes_are_told_by_any_node_and_in_order);
    tcase_add_test(tcase, who_watches_waits_until_something_happens_or_its_time_is_over);
    tcase_add_test(tcase, nobody_is_told_of_changes_when_no_member_can_be_reached);
    return suite_run(suite);
}
