/* What a group persists comes back as what it recovers from. */
#include <check.h>
#include <stdlib.h>

#include "node/raftlog.h"
#include "tests/suite.h"

static struct mn_arena arena;
static struct edge_outbox outbox;
static struct raftlog_recovery recovery;
static const mn_id node_1 = {{1}}, node_2 = {{2}};

static void setup(void)
{
    outbox = (struct edge_outbox){.arena = &arena};
    recovery = (struct raftlog_recovery){0};
}

static void teardown(void)
{
    raftlog_done(&recovery);
    edge_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

/* Gives what was written to recovery, with [damage]. */
static mn_status read_back(uint32_t item, enum edge_log_damage damage)
{
    struct edge_input input = {.type = EDGE_IN_LOG_RECOVER, .code = damage};

    input.log = edge_log_copy(&arena, outbox.items[item].log);
    return raftlog_recover(&recovery, &input);
}

static void persist_entries(uint64_t write, uint64_t group, uint64_t from, uint32_t count)
{
    struct raft_persist persist = {.term = 7, .commit = 4, .vote = node_2, .is_wounded = true};
    struct raft_entry *entries = mn_arena_alloc(&arena, count * sizeof *entries);

    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct raft_entry){.index = from + i,
                                         .term = 6,
                                         .kind = RAFT_ENTRY_COMMAND,
                                         .data = mn_span_str(i == 0 ? "" : "command")};
    persist.entries = entries;
    persist.entries_count = count;
    raftlog_emit(&outbox, write, group, &persist);
}

START_TEST(a_group_comes_back_as_it_was_persisted)
{
    struct raft_snapshot snapshot = {.index = 3, .term = 5};
    struct raft_persist persist = {.term = 7, .is_reset = true, .snapshot = &snapshot};
    const struct raft_recovered *back;

    snapshot.config.members_count = 2;
    snapshot.config.members[0] = (struct quorum_member){.id = node_1, .weight = 2};
    snapshot.config.members[1] = (struct quorum_member){.id = node_2, .is_learner = true};
    snapshot.data = mn_buf_copy(mn_span_str("state"));
    raftlog_emit(&outbox, 11, 9, &persist);
    persist_entries(12, 9, 4, 2);
    ck_assert_uint_eq(outbox.items[0].id, 11);
    ck_assert_uint_eq(outbox.items[1].type, EDGE_OUT_LOG);
    ck_assert(outbox.items[0].log->is_reset && !outbox.items[1].log->is_reset);
    ck_assert_int_eq(read_back(0, EDGE_LOG_SOUND), MN_OK);
    ck_assert_int_eq(read_back(1, EDGE_LOG_SOUND), MN_OK);
    mn_buf_unref(snapshot.data);

    back = raftlog_find(&recovery, 9);
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->term, 7);
    ck_assert_uint_eq(back->commit, 4);
    ck_assert(mn_id_equal(&back->vote, &node_2) && back->is_wounded);
    ck_assert_int_eq(back->damage, RAFT_DAMAGE_NONE);
    ck_assert_uint_eq(back->snapshot.index, 3);
    ck_assert_uint_eq(back->snapshot.term, 5);
    ck_assert(quorum_equal(&back->snapshot.config, &snapshot.config));
    ck_assert(mn_span_is(mn_buf_span(back->snapshot.data), "state"));
    ck_assert_uint_eq(back->entries_count, 2);
    ck_assert_uint_eq(back->entries[1].index, 5);
    ck_assert_uint_eq(back->entries[1].term, 6);
    ck_assert(mn_span_is(back->entries[1].data, "command"));
    ck_assert_ptr_null(raftlog_find(&recovery, 8));
}
END_TEST

START_TEST(many_entries_and_groups_come_back_in_order)
{
    persist_entries(1, 3, 1, 100);
    persist_entries(2, 3, 101, 57);
    persist_entries(3, 4, 1, 1);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(read_back(i, EDGE_LOG_SOUND), MN_OK);
    ck_assert_uint_eq(recovery.count, 2);
    ck_assert_uint_eq(raftlog_find(&recovery, 3)->entries_count, 157);
    ck_assert_uint_eq(raftlog_find(&recovery, 3)->entries[156].index, 157);
    ck_assert_uint_eq(raftlog_find(&recovery, 4)->entries_count, 1);
    ck_assert(!recovery.has_lost_groups);
}
END_TEST

START_TEST(damage_is_handed_on)
{
    struct edge_log lost = {0};
    struct edge_input input = {.type = EDGE_IN_LOG_RECOVER, .code = EDGE_LOG_CORRUPT, .log = &lost};

    persist_entries(1, 3, 1, 1);
    ck_assert_int_eq(read_back(0, EDGE_LOG_CORRUPT), MN_OK);
    ck_assert_int_eq(raftlog_find(&recovery, 3)->damage, RAFT_DAMAGE_CORRUPT);
    ck_assert_int_eq(raftlog_recover(&recovery, &input), MN_OK);
    ck_assert(recovery.has_lost_groups);
    ck_assert_uint_eq(recovery.count, 1);
}
END_TEST

START_TEST(a_configuration_that_does_not_decode_is_damage)
{
    struct edge_log_snapshot snapshot = {.index = 1, .term = 1, .config = mn_span_str("nonsense")};
    struct edge_log log = {.group = 2, .term = 1, .snapshot = &snapshot};
    struct edge_input input = {.type = EDGE_IN_LOG_RECOVER, .log = &log};

    ck_assert_int_eq(raftlog_recover(&recovery, &input), MN_MALFORMED);
    ck_assert_int_eq(raftlog_find(&recovery, 2)->damage, RAFT_DAMAGE_CORRUPT);
    ck_assert_uint_eq(raftlog_find(&recovery, 2)->snapshot.index, 0);
}
END_TEST

START_TEST(the_end_of_a_group_is_a_write_of_its_own)
{
    raftlog_emit_end(&outbox, 5, 3);
    ck_assert_uint_eq(outbox.items[0].id, 5);
    ck_assert(outbox.items[0].log->is_end);
    ck_assert_uint_eq(outbox.items[0].log->group, 3);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("raftlog");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_group_comes_back_as_it_was_persisted);
    tcase_add_test(tcase, many_entries_and_groups_come_back_in_order);
    tcase_add_test(tcase, damage_is_handed_on);
    tcase_add_test(tcase, a_configuration_that_does_not_decode_is_damage);
    tcase_add_test(tcase, the_end_of_a_group_is_a_write_of_its_own);
    Suite *suite = suite_create("raftlog");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
