/* One node of a group, step by step: input, then outputs. What needs several nodes and bad luck is
 * raftsim's. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "consensus/raft.h"
#include "consensus/raft_wire.h"
#include "proto/base/crc.h"
#include "tests/suite.h"

#define E (300 * MN_MS)

static struct raft *raft;
static struct mn_arena arena;
static struct raft_outbox out;
static struct raft_config config;
static struct raft_recovered disk;
static struct mn_now now;

static mn_id id_of(uint32_t n)
{
    mn_id id = {{0}};

    id.bytes[15] = (uint8_t)n;
    return id;
}

static struct quorum_config members(uint32_t count, uint32_t weight_of_1)
{
    struct quorum_config ret = {.members_count = count};

    for (uint32_t i = 0; i < count; i++) {
        ret.members[i].id = id_of(i + 1);
        ret.members[i].weight = i == 0 ? weight_of_1 : 1;
    }
    return ret;
}

static void start(void)
{
    ck_assert_int_eq(raft_new(&config, &disk, now, &raft), MN_OK);
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    now = (struct mn_now){MN_SEC, MN_SEC};
    config = raft_config_default();
    config.self = id_of(1);
    disk = (struct raft_recovered){.snapshot.config = members(3, 1)};
}

static void teardown(void)
{
    raft_free(raft);
    raft = NULL;
    mn_arena_done(&arena);
}

static void step(const struct raft_input *input)
{
    mn_arena_reset(&arena);
    out = (struct raft_outbox){.arena = &arena};
    raft_step(raft, now, input, &out);
    raft_check(raft);
}

static void tick_at(mn_time mono)
{
    if (mono > now.mono) now.mono = now.wall = mono;
    step(&(struct raft_input){.type = RAFT_IN_TICK});
}

static void receive(struct raft_msg msg)
{
    if (mn_id_is_zero(&msg.to)) msg.to = id_of(1);
    step(&(struct raft_input){.type = RAFT_IN_MESSAGE, .msg = &msg});
}

/* The [n]th output of this type; NULL when there are fewer. */
static const struct raft_output *output(enum raft_output_type type, uint32_t n)
{
    for (uint32_t i = 0; i < out.count; i++)
        if (out.items[i].type == type && n-- == 0) return &out.items[i];
    return NULL;
}

static const struct raft_output *sent(enum raft_msg_type type)
{
    for (uint32_t i = 0; i < out.count; i++)
        if (out.items[i].type == RAFT_OUT_SEND && out.items[i].msg.type == type)
            return &out.items[i];
    return NULL;
}

/* Everything handed to the disk in this step is durable. */
static void sync_disk(void)
{
    const struct raft_output *persist = output(RAFT_OUT_PERSIST, 0);
    struct raft_input input = {.type = RAFT_IN_PERSISTED};

    ck_assert_ptr_nonnull(persist);
    for (uint32_t n = 0; output(RAFT_OUT_PERSIST, n) != NULL; n++)
        persist = output(RAFT_OUT_PERSIST, n);
    input.persisted.write = persist->persist.write;
    input.persisted.mark = persist->persist.mark;
    step(&input);
}

/* Node 1 leads term 1; its no-op and the first configuration are at 1 and 2, not committed. */
static void lead(void)
{
    start();
    tick_at(raft_deadline(raft));
    ck_assert_ptr_nonnull(sent(RAFT_MSG_VOTE_ASK));
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE, .from = id_of(2), .term = 1, .is_pre = true, .is_granted = true});
    sync_disk();
    receive(
        (struct raft_msg){.type = RAFT_MSG_VOTE, .from = id_of(2), .term = 1, .is_granted = true});
    ck_assert_int_eq(raft_view(raft).role, RAFT_LEADER);
    sync_disk();
}

static void ack(uint32_t from, uint64_t index, uint64_t ctx)
{
    receive((struct raft_msg){.type = RAFT_MSG_APPEND_ACK,
                              .from = id_of(from),
                              .term = raft_view(raft).term,
                              .index = index,
                              .ctx = ctx});
}

static void propose(uint64_t request)
{
    struct mn_buf *data = mn_buf_copy(mn_span_str("x"));
    struct raft_input input = {.type = RAFT_IN_PROPOSE};

    input.propose.request = request;
    input.propose.data = data;
    step(&input);
    mn_buf_unref(data);
}

/* ... and it goes out at once. */
static void propose_alone(uint64_t request)
{
    propose(request);
    tick_at(now.mono);
}

static struct raft_msg append(uint64_t term, uint64_t index, uint64_t log_term,
                              const struct raft_entry *entries, uint32_t count)
{
    return (struct raft_msg){.type = RAFT_MSG_APPEND,
                             .from = id_of(2),
                             .term = term,
                             .index = index,
                             .log_term = log_term,
                             .entries = entries,
                             .entries_count = count};
}

START_TEST(vote_waits_for_its_own_write)
{
    start();
    receive((struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(2), .term = 6});
    ck_assert_ptr_nonnull(output(RAFT_OUT_PERSIST, 0));
    ck_assert_uint_eq(output(RAFT_OUT_PERSIST, 0)->persist.term, 6);
    ck_assert(sent(RAFT_MSG_VOTE)->msg.is_granted);
    ck_assert_uint_eq(sent(RAFT_MSG_VOTE)->after_write, output(RAFT_OUT_PERSIST, 0)->persist.write);
    receive((struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(3), .term = 6});
    ck_assert(!sent(RAFT_MSG_VOTE)->msg.is_granted);
}
END_TEST

START_TEST(pre_vote_changes_nothing)
{
    start();
    receive(
        (struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(2), .term = 6, .is_pre = true});
    ck_assert(sent(RAFT_MSG_VOTE)->msg.is_granted && sent(RAFT_MSG_VOTE)->msg.is_pre);
    ck_assert_ptr_null(output(RAFT_OUT_PERSIST, 0));
    ck_assert_uint_eq(raft_view(raft).term, 0);
}
END_TEST

START_TEST(pre_vote_grant_is_no_vote)
{
    start();
    tick_at(raft_deadline(raft));
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE, .from = id_of(2), .term = 1, .is_pre = true, .is_granted = true});
    ck_assert_int_eq(raft_view(raft).role, RAFT_CANDIDATE);
    sync_disk();
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE, .from = id_of(3), .term = 1, .is_pre = true, .is_granted = true});
    ck_assert_int_eq(raft_view(raft).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(own_vote_counts_once_it_is_durable)
{
    disk.snapshot.config = members(1, 1);
    start();
    tick_at(raft_deadline(raft));
    ck_assert_int_eq(raft_view(raft).role, RAFT_CANDIDATE);
    sync_disk();
    ck_assert_int_eq(raft_view(raft).role, RAFT_LEADER);
    ck_assert_uint_eq(raft_view(raft).commit, 0);
    sync_disk();
    ck_assert_uint_eq(raft_view(raft).commit, 2);
}
END_TEST

START_TEST(votes_are_not_considered_while_a_leader_is_heard)
{
    start();
    receive(append(1, 0, 0, NULL, 0));
    receive((struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(3), .term = 9});
    ck_assert_uint_eq(out.count, 0);
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE_ASK, .from = id_of(3), .term = 9, .is_transfer = true});
    ck_assert(sent(RAFT_MSG_VOTE)->msg.is_granted);
}
END_TEST

START_TEST(older_log_gets_no_vote)
{
    const struct raft_entry entries[] = {{1, 3, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};

    disk.term = 3;
    disk.entries = entries;
    disk.entries_count = 1;
    start();
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE_ASK, .from = id_of(2), .term = 6, .index = 9, .log_term = 2});
    ck_assert(!sent(RAFT_MSG_VOTE)->msg.is_granted);
    receive((struct raft_msg){
        .type = RAFT_MSG_VOTE_ASK, .from = id_of(3), .term = 6, .index = 1, .log_term = 3});
    ck_assert(sent(RAFT_MSG_VOTE)->msg.is_granted);
}
END_TEST

START_TEST(append_is_acknowledged_after_its_write)
{
    const struct raft_entry entries[] = {{1, 1, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};

    start();
    receive(append(1, 0, 0, entries, 1));
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND_ACK)->msg.index, 1);
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND_ACK)->after_write,
                      output(RAFT_OUT_PERSIST, 0)->persist.write);
    receive(append(1, 5, 1, NULL, 0));
    ck_assert(sent(RAFT_MSG_APPEND_ACK)->msg.is_reject);
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND_ACK)->msg.hint_index, 1);
}
END_TEST

START_TEST(a_write_does_not_vouch_for_its_own_entries)
{
    struct raft_entry entry = {
        .index = 1, .term = 1, .kind = RAFT_ENTRY_COMMAND, .data = mn_span_str("x")};
    struct raft_msg msg = append(1, 0, 0, &entry, 1);

    start();
    msg.commit = 1;
    receive(msg);
    ck_assert_uint_eq(raft_view(raft).commit, 1);
    ck_assert_uint_eq(output(RAFT_OUT_PERSIST, 0)->persist.commit, 0);
    ck_assert_uint_eq(output(RAFT_OUT_PERSIST, 0)->persist.entries_count, 1);
}
END_TEST

/* Counted and without effect. */
static void refuse(struct raft_msg msg)
{
    struct raft_view before = raft_view(raft), after;

    receive(msg);
    after = raft_view(raft);
    ck_assert_uint_eq(after.dropped, before.dropped + 1);
    ck_assert_uint_eq(out.count, 0);
    ck_assert_uint_eq(after.term, before.term);
    ck_assert_uint_eq(after.commit, before.commit);
    ck_assert_uint_eq(after.last_index, before.last_index);
    ck_assert_int_eq(after.role, before.role);
}

START_TEST(answers_of_those_who_are_no_members_are_counted_and_dropped)
{
    static const enum raft_msg_type types[] = {RAFT_MSG_APPEND_ACK, RAFT_MSG_HEARTBEAT_ACK,
                                               RAFT_MSG_SNAPSHOT_ACK, RAFT_MSG_VOTE};

    lead();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (uint64_t term = 0; term < 4; term++) /* a later one does not depose the leader */
            refuse((struct raft_msg){
                .type = types[i], .from = id_of(9), .term = term, .index = 2, .is_granted = true});
    ack(3, 2, 0); /* one of a member counts */
    ck_assert_uint_eq(raft_view(raft).commit, 2);
}
END_TEST

START_TEST(answers_of_other_terms_and_replays_change_nothing)
{
    lead();
    receive(
        (struct raft_msg){.type = RAFT_MSG_APPEND_ACK, .from = id_of(2), .term = 0, .index = 2});
    ck_assert_uint_eq(raft_view(raft).commit, 0);
    for (uint32_t i = 0; i < 3; i++) /* the same answer again is no other voter's */
        ack(2, 1, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 1);
    ack(2, 2, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 2);
    ack(2, 1, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 2);
    refuse((struct raft_msg){
        .type = RAFT_MSG_APPEND_ACK, .from = id_of(2), .term = 1, .index = 100}); /* never sent */
    refuse((struct raft_msg){
        .type = RAFT_MSG_HEARTBEAT, .from = id_of(2), .term = 1}); /* a second leader of the term */
}
END_TEST

/* A snapshot's chunk that says what cannot be. */
static void refuse_chunk(struct raft_msg msg)
{
    msg.type = RAFT_MSG_SNAPSHOT;
    msg.from = id_of(2);
    msg.term = 1;
    refuse(msg);
}

START_TEST(snapshots_of_absurd_sizes_are_refused)
{
    struct quorum_config three = members(3, 1);
    struct mn_span data = mn_span_str("x");
    struct raft_msg good = {.index = 5, .log_term = 1, .config = &three, .total = 2, .data = data};
    struct raft_msg bad;

    start();
    receive(append(1, 0, 0, NULL, 0)); /* node 2 leads */
    good.crc = mn_crc32c(0, data);
    bad = good;
    bad.total = config.snapshot_size + 1;
    refuse_chunk(bad);
    bad = good;
    bad.total = UINT64_MAX;
    bad.offset = UINT64_MAX - 1;
    refuse_chunk(bad);
    bad = good;
    bad.offset = 2; /* ends past the total */
    refuse_chunk(bad);
    bad = good;
    bad.crc++;
    refuse_chunk(bad);
    bad = good;
    bad.log_term = 2; /* later than the leader's own */
    refuse_chunk(bad);
    bad = good;
    bad.config = NULL;
    refuse_chunk(bad);
    bad = good;
    bad.data = (struct mn_span){NULL, 0}; /* it would never end */
    refuse_chunk(bad);
    good.type = RAFT_MSG_SNAPSHOT;
    good.from = id_of(2);
    good.term = 1;
    receive(good);
    ck_assert_uint_eq(sent(RAFT_MSG_SNAPSHOT_ACK)->msg.offset, 1);
}
END_TEST

START_TEST(configurations_with_absurd_weights_are_refused_on_the_way_in)
{
    struct quorum_config bad[4] = {members(3, 1), members(3, 1), members(3, 1), members(3, 1)};
    struct mn_buf *packed;
    struct raft_entry entry = {.index = 1, .term = 1, .kind = RAFT_ENTRY_CONFIG};

    bad[0].members[1].weight = 0;                /* a voter that counts nothing */
    bad[1].members[0].weight = UINT32_MAX;       /* sums would pass 2^31 */
    bad[2].members[0].weight_old = 7;            /* of another half, and it is not joint */
    bad[3].members[2].id = bad[3].members[1].id; /* twice, with whatever weights */
    start();
    for (uint32_t i = 0; i < 4; i++) {
        packed = raft_config_encode(&bad[i]);
        entry.data = mn_buf_span(packed);
        receive(append(1, 0, 0, &entry, 1));
        ck_assert_uint_eq(raft_view(raft).dropped, i + 1);
        ck_assert_uint_eq(raft_view(raft).last_index, 0);
        mn_buf_unref(packed);
    }
}
END_TEST

START_TEST(both_halves_may_weigh_a_voter_differently)
{
    struct quorum_config joint = members(3, 1), near = members(3, 1);
    struct raft_entry entry = {.index = 1, .term = 1, .kind = RAFT_ENTRY_CONFIG};
    struct mn_buf *packed;

    near.members[0].weight = QUORUM_TOTAL_MAX - 2; /* as much as may be in all */
    joint.is_joint = true;
    for (uint32_t i = 0; i < 3; i++)
        joint.members[i].weight_old = 5 - i;
    start();
    packed = raft_config_encode(&joint);
    entry.data = mn_buf_span(packed);
    receive(append(1, 0, 0, &entry, 1));
    ck_assert_uint_eq(raft_view(raft).config->members[0].weight_old, 5);
    mn_buf_unref(packed);
    entry.index = 2;
    packed = raft_config_encode(&near);
    entry.data = mn_buf_span(packed);
    receive(append(1, 1, 1, &entry, 1));
    ck_assert_uint_eq(raft_view(raft).config->members[0].weight, QUORUM_TOTAL_MAX - 2);
    mn_buf_unref(packed);
}
END_TEST

static mn_status propose_size(size_t size)
{
    struct mn_buf *data = mn_buf_new(size);
    struct raft_input input = {.type = RAFT_IN_PROPOSE};

    memset(data->bytes, 0, size);
    input.propose.request = 1;
    input.propose.data = data;
    step(&input);
    mn_buf_unref(data);
    if (output(RAFT_OUT_ACCEPTED, 0) != NULL) return MN_OK;
    return output(RAFT_OUT_REFUSED, 0)->refused.status;
}

START_TEST(a_log_is_bounded_by_bytes_however_few_its_entries)
{
    struct raft_input input = {.type = RAFT_IN_SNAPSHOT};

    config.keep_size = 3000;
    config.log_size = 10000;
    lead();
    for (uint64_t i = 3; i <= 12; i++) {
        ck_assert_int_eq(propose_size(1000), MN_OK);
        tick_at(now.mono);
        sync_disk();
        ack(2, i, 0);
        ck_assert_uint_eq(raft_view(raft).commit, i);
    }
    ck_assert_int_eq(propose_size(1000), MN_BUSY); /* all of it committed: nobody took a snapshot */
    input.snapshot.index = 12;
    input.snapshot.data = mn_buf_new(0);
    step(&input);
    mn_buf_unref(input.snapshot.data);
    ck_assert_int_eq(propose_size(1000), MN_OK); /* the next step lets go of what is not needed */
    ck_assert_uint_eq(raft_view(raft).first_index, 10); /* three entries stay, not five thousand */
}
END_TEST

START_TEST(a_long_log_is_let_go_of_a_little_at_each_step)
{
    struct raft_input input = {.type = RAFT_IN_SNAPSHOT};
    uint64_t first;

    config.keep_entries = 0;
    lead();
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(propose_size(8), MN_OK);
    tick_at(now.mono);
    sync_disk();
    ack(2, 1002, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 1002);
    input.snapshot.index = 1002;
    input.snapshot.data = mn_buf_new(0);
    step(&input);
    mn_buf_unref(input.snapshot.data);
    for (int steps = 0; (first = raft_view(raft).first_index) < 1003; steps++) {
        ck_assert_int_lt(steps, 10);
        ck_assert(!raft_is_idle(raft)); /* a group that rests gets no steps */
        tick_at(now.mono);
        ck_assert_uint_le(raft_view(raft).first_index, first + 256);
    }
}
END_TEST

START_TEST(completion_of_a_log_that_was_cut_is_ignored)
{
    const struct raft_entry old[] = {{1, 1, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};
    const struct raft_entry new[] = {{1, 2, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};
    struct raft_input input = {.type = RAFT_IN_PERSISTED};

    start();
    receive(append(1, 0, 0, old, 1));
    input.persisted.write = output(RAFT_OUT_PERSIST, 0)->persist.write;
    input.persisted.mark = output(RAFT_OUT_PERSIST, 0)->persist.mark;
    receive(append(2, 0, 0, new, 1));
    step(&input);
    ck_assert_uint_eq(raft_view(raft).stale, 1);
}
END_TEST

START_TEST(absurd_messages_are_counted_and_dropped)
{
    const struct raft_entry gap[] = {{7, 1, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};
    const struct raft_entry later[] = {{1, 9, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};
    const struct raft_entry junk[] = {{1, 1, RAFT_ENTRY_CONFIG, {(const uint8_t *)"?", 1}, NULL}};

    start();
    receive((struct raft_msg){.type = RAFT_MSG_APPEND, .from = id_of(1), .term = 1});
    receive(
        (struct raft_msg){.type = RAFT_MSG_APPEND, .from = id_of(2), .to = id_of(9), .term = 1});
    receive((struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(2), .term = UINT64_MAX});
    receive(append(1, 0, 0, gap, 1));
    receive(append(1, 0, 0, later, 1));
    receive(append(1, 0, 0, junk, 1));
    receive((struct raft_msg){.type = RAFT_MSG_SNAPSHOT, .from = id_of(2), .term = 1, .index = 4});
    ck_assert_uint_eq(raft_view(raft).dropped, 7);
    ck_assert_uint_eq(raft_view(raft).last_index, 0);
}
END_TEST

START_TEST(commit_needs_weight_not_heads)
{
    disk.snapshot.config = members(4, 3); /* 3, 1, 1, 1: a quorum is more than 3 */
    lead();
    ck_assert_uint_eq(raft_view(raft).commit, 0); /* three of six is no majority */
    ack(2, 2, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 2);
}
END_TEST

START_TEST(followers_alone_can_commit_before_the_leaders_disk)
{
    lead();
    ack(2, 2, 0);
    propose(7);
    ck_assert_uint_eq(output(RAFT_OUT_ACCEPTED, 0)->accepted.index, 3);
    tick_at(now.mono);
    ck_assert_ptr_nonnull(output(RAFT_OUT_PERSIST, 0)); /* it goes out; the write is under way */
    ack(2, 3, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 2); /* our own copy does not count yet */
    ack(3, 3, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 3);
}
END_TEST

START_TEST(proposals_wait_for_company_while_a_write_is_under_way)
{
    struct raft_input persisted = {.type = RAFT_IN_PERSISTED};

    lead();
    ack(2, 2, 0);
    ack(3, 2, 0);
    propose_alone(7);
    ck_assert_ptr_nonnull(output(RAFT_OUT_PERSIST, 0));
    persisted.persisted.write = output(RAFT_OUT_PERSIST, 0)->persist.write;
    persisted.persisted.mark = output(RAFT_OUT_PERSIST, 0)->persist.mark;
    propose(8);
    ck_assert_ptr_null(output(RAFT_OUT_PERSIST, 0));
    propose(9);
    ck_assert_ptr_null(output(RAFT_OUT_PERSIST, 0));
    ck_assert_ptr_null(sent(RAFT_MSG_APPEND));
    step(&persisted); /* both go at once */
    ck_assert_uint_eq(output(RAFT_OUT_PERSIST, 0)->persist.entries_count, 2);
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND)->msg.entries_count, 2);
    propose(10);
    tick_at(raft_deadline(raft)); /* a slow disk of ours does not stop those who follow */
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND)->msg.entries_count, 1);
}
END_TEST

START_TEST(proposals_before_the_next_tick_share_a_write)
{
    lead();
    ack(2, 2, 0);
    ack(3, 2, 0);
    for (uint64_t i = 7; i < 10; i++) {
        propose(i);
        ck_assert_ptr_null(output(RAFT_OUT_PERSIST, 0));
    }
    ck_assert_uint_le(raft_deadline(raft), now.mono);
    tick_at(now.mono);
    ck_assert_uint_eq(output(RAFT_OUT_PERSIST, 0)->persist.entries_count, 3);
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND)->msg.entries_count, 3);
}
END_TEST

START_TEST(commit_is_told_by_entries_that_follow_soon_or_by_itself)
{
    lead();
    ack(2, 2, 0);
    ack(3, 2, 0);
    propose_alone(7);
    sync_disk();
    ack(2, 3, 0);
    ack(3, 3, 0);
    propose_alone(8); /* it says so */
    ck_assert_uint_eq(sent(RAFT_MSG_APPEND)->msg.commit, 3);
    tick_at(now.mono + MN_MS);
    ck_assert_ptr_null(sent(RAFT_MSG_HEARTBEAT));
    ck_assert_uint_gt(raft_deadline(raft), now.mono);
    ack(2, 4, 0);
    ack(3, 4, 0);
    tick_at(raft_deadline(raft));
    ck_assert_uint_eq(sent(RAFT_MSG_HEARTBEAT)->msg.commit, 4);
}
END_TEST

START_TEST(a_leader_is_idle_when_all_have_all_of_it)
{
    lead();
    ck_assert(!raft_is_idle(raft));
    ack(2, 2, 0);
    ck_assert(!raft_is_idle(raft)); /* node 3 has it not */
    ack(3, 2, 0);
    ck_assert(raft_is_idle(raft));
    propose(7);
    ck_assert(!raft_is_idle(raft));
}
END_TEST

START_TEST(after_a_rest_a_leader_beats_at_once_and_has_time_to_hear)
{
    lead();
    ack(2, 2, 0);
    ack(3, 2, 0);
    now.mono += 100 * MN_SEC;
    step(&(struct raft_input){.type = RAFT_IN_WAKE});
    ck_assert_uint_eq(raft_deadline(raft), now.mono);
    tick_at(now.mono);
    ck_assert_ptr_nonnull(sent(RAFT_MSG_HEARTBEAT));
    ck_assert_int_eq(raft_view(raft).role, RAFT_LEADER);
    while (raft_view(raft).role == RAFT_LEADER && now.mono < 200 * MN_SEC)
        tick_at(raft_deadline(raft)); /* nobody answers */
    ck_assert_uint_lt(now.mono, 102 * MN_SEC);
    ck_assert_uint_gt(now.mono, 101 * MN_SEC + E / 2);
}
END_TEST

START_TEST(after_a_rest_under_a_living_leader_no_vote_is_given)
{
    struct raft_input wake = {.type = RAFT_IN_WAKE, .wake.is_led = true};
    struct raft_msg ask = {.type = RAFT_MSG_VOTE_ASK, .from = id_of(3), .term = 2, .is_pre = true};

    start();
    receive((struct raft_msg){.type = RAFT_MSG_HEARTBEAT, .from = id_of(2), .term = 1});
    sync_disk();
    ck_assert(raft_is_idle(raft));
    now.mono += 100 * MN_SEC;
    step(&wake);
    receive(ask);
    ck_assert(!sent(RAFT_MSG_VOTE)->msg.is_granted);
    now.mono += E + 1;
    wake.wake.is_led = false; /* its node is gone */
    step(&wake);
    receive(ask);
    ck_assert(sent(RAFT_MSG_VOTE)->msg.is_granted);
}
END_TEST

START_TEST(heartbeats_go_when_they_are_asked_for)
{
    lead();
    ck_assert_ptr_null(sent(RAFT_MSG_HEARTBEAT));
    step(&(struct raft_input){.type = RAFT_IN_BEAT});
    ck_assert_ptr_nonnull(sent(RAFT_MSG_HEARTBEAT));
    ck_assert_uint_gt(raft_deadline(raft), now.mono);
}
END_TEST

START_TEST(read_waits_for_an_answer_to_something_sent_after_it)
{
    struct raft_input read = {.type = RAFT_IN_READ, .read.request = 5};
    uint64_t before;

    lead();
    ack(2, 2, 0);
    tick_at(raft_deadline(raft));
    before = sent(RAFT_MSG_HEARTBEAT)->msg.ctx;
    step(&read);
    ck_assert_ptr_null(output(RAFT_OUT_READ, 0));
    ack(2, 2, before); /* sent before the read came */
    ck_assert_ptr_null(output(RAFT_OUT_READ, 0));
    tick_at(raft_deadline(raft));
    ack(2, 2, sent(RAFT_MSG_HEARTBEAT)->msg.ctx);
    ck_assert_uint_eq(output(RAFT_OUT_READ, 0)->read.request, 5);
    ck_assert_uint_eq(output(RAFT_OUT_READ, 0)->read.index, 2);
}
END_TEST

START_TEST(reads_begin_a_round_at_once_and_share_the_next_one)
{
    struct raft_input read = {.type = RAFT_IN_READ, .read.request = 5};
    uint64_t first;

    lead();
    ack(2, 2, 0);
    tick_at(raft_deadline(raft));
    ack(2, 2, sent(RAFT_MSG_HEARTBEAT)->msg.ctx);
    step(&read);
    ck_assert_uint_le(raft_deadline(raft), now.mono);
    tick_at(now.mono);
    first = sent(RAFT_MSG_HEARTBEAT)->msg.ctx;
    read.read.request = 6; /* the round that is out says nothing of it */
    step(&read);
    ck_assert_uint_gt(raft_deadline(raft), now.mono);
    receive((struct raft_msg){
        .type = RAFT_MSG_HEARTBEAT_ACK, .from = id_of(2), .term = 1, .ctx = first});
    ck_assert_uint_eq(output(RAFT_OUT_READ, 0)->read.request, 5);
    ck_assert_ptr_null(output(RAFT_OUT_READ, 1));
    ck_assert_uint_le(raft_deadline(raft), now.mono);
    tick_at(now.mono);
    ck_assert_uint_gt(sent(RAFT_MSG_HEARTBEAT)->msg.ctx, first);
}
END_TEST

START_TEST(lease_runs_from_the_time_of_sending)
{
    struct raft_input read = {.type = RAFT_IN_READ, .read.request = 5};
    uint64_t ctx;

    config.uses_lease = true;
    lead();
    ack(2, 2, 0);
    tick_at(raft_deadline(raft));
    ctx = sent(RAFT_MSG_HEARTBEAT)->msg.ctx;
    now.mono += 250 * MN_MS;
    ack(2, 2, ctx);
    step(&read);
    ck_assert_ptr_nonnull(output(RAFT_OUT_READ, 0));
    now.mono += 40 * MN_MS; /* 290 ms after sending, 40 ms after the answer */
    step(&read);
    ck_assert_ptr_null(output(RAFT_OUT_READ, 0));
}
END_TEST

START_TEST(leader_that_hears_no_quorum_steps_down)
{
    lead();
    ack(2, 2, 0);
    for (mn_time end = now.mono + 2 * E; now.mono < end;)
        tick_at(raft_deadline(raft));
    ck_assert_int_ne(raft_view(raft).role, RAFT_LEADER);
}
END_TEST

START_TEST(learner_is_promoted_only_when_it_has_caught_up)
{
    struct quorum_config wanted = members(3, 1);
    struct quorum_member learner = {.id = id_of(4), .is_learner = true};
    struct raft_input input = {.type = RAFT_IN_CONFIGURE, .configure.config = &wanted};

    lead();
    ack(2, 2, 0);
    ck_assert_int_eq(quorum_set(&wanted, &learner), MN_OK);
    step(&input);
    ck_assert_ptr_nonnull(output(RAFT_OUT_ACCEPTED, 0)); /* in one step: no weight changes */
    ck_assert(!raft_view(raft).config->is_joint);
    sync_disk();
    step(&input);
    ck_assert_int_eq(output(RAFT_OUT_REFUSED, 0)->refused.status, MN_BUSY);
    ack(2, 3, 0);
    wanted.members[3].is_learner = false;
    wanted.members[3].weight = 1;
    step(&input);
    ck_assert_int_eq(output(RAFT_OUT_REFUSED, 0)->refused.status, MN_NOT_YET);
    tick_at(raft_deadline(raft));
    ack(4, 3, 0);
    step(&input);
    ck_assert_ptr_nonnull(output(RAFT_OUT_ACCEPTED, 0));
}
END_TEST

START_TEST(changes_wait_for_the_first_commit_and_respect_the_guard)
{
    struct quorum_config heavy = members(3, 5), fair = members(2, 1);
    struct raft_input input = {.type = RAFT_IN_CONFIGURE, .configure.config = &fair};

    lead();
    step(&input);
    ck_assert_int_eq(output(RAFT_OUT_REFUSED, 0)->refused.status, MN_NOT_YET);
    ack(2, 2, 0);
    input.configure.config = &heavy;
    step(&input);
    ck_assert_int_eq(output(RAFT_OUT_REFUSED, 0)->refused.status, MN_CONFIG);
}
END_TEST

START_TEST(wounded_node_has_no_vote_until_it_is_healed)
{
    const struct raft_entry entries[] = {{1, 1, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};
    struct raft_msg msg = append(1, 0, 0, entries, 1);
    uint64_t heal;

    disk.term = 1;
    disk.damage = RAFT_DAMAGE_CORRUPT;
    start();
    tick_at(raft_deadline(raft));
    ck_assert_ptr_null(sent(RAFT_MSG_VOTE_ASK));
    receive((struct raft_msg){.type = RAFT_MSG_VOTE_ASK, .from = id_of(2), .term = 6});
    ck_assert_ptr_null(sent(RAFT_MSG_VOTE));
    receive(msg);
    heal = sent(RAFT_MSG_APPEND_ACK)->msg.heal;
    receive((struct raft_msg){/* its leader counts on what it had */
                              .type = RAFT_MSG_HEARTBEAT,
                              .from = id_of(2),
                              .term = 1,
                              .commit = 1});
    ck_assert_uint_eq(raft_view(raft).commit, 0);
    ck_assert_uint_ne(heal, 0);
    ck_assert(raft_view(raft).is_wounded);
    msg.heal = heal;
    msg.heal_index = 2; /* more than this message brings */
    msg.commit = 2;
    receive(msg);
    ck_assert(raft_view(raft).is_wounded);
    msg.heal_index = 1;
    msg.commit = 0; /* no quorum of others has it yet */
    receive(msg);
    ck_assert(raft_view(raft).is_wounded);
    msg.commit = 1;
    receive(msg);
    ck_assert(!raft_view(raft).is_wounded);
    ck_assert(!output(RAFT_OUT_PERSIST, 0)->persist.is_wounded);
}
END_TEST

/* It may have promised its vote to a later term, and have forgotten that. */
START_TEST(what_a_wounded_node_says_is_part_of_no_quorum)
{
    struct raft_msg answer = {
        .type = RAFT_MSG_APPEND_ACK, .from = id_of(2), .term = 1, .index = 2, .heal = 77};
    struct raft_input read = {.type = RAFT_IN_READ, .read.request = 5};
    const struct raft_msg *append;

    lead();
    receive(answer);
    ck_assert_uint_eq(raft_view(raft).commit, 0);
    ck_assert_uint_eq(raft_view(raft).last_index, 3); /* what is to heal it */
    tick_at(now.mono);
    sync_disk();
    answer.index = 3;
    receive(answer);
    ck_assert_uint_eq(raft_view(raft).commit, 0);
    ack(3, 3, 0);
    ck_assert_uint_eq(raft_view(raft).commit, 3);
    answer.type = RAFT_MSG_HEARTBEAT_ACK;
    receive(answer);
    append = &sent(RAFT_MSG_APPEND)->msg;
    ck_assert_uint_eq(append->heal, 77);
    ck_assert_uint_eq(append->heal_index, 3);
    ck_assert_uint_eq(append->commit, 3);
    step(&read);
    tick_at(now.mono + config.batch_delay); /* a round is out: the next one follows */
    answer.ctx = sent(RAFT_MSG_HEARTBEAT)->msg.ctx;
    receive(answer);
    ck_assert_ptr_null(output(RAFT_OUT_READ, 0));
    answer.from = id_of(3);
    answer.heal = 0;
    receive(answer);
    ck_assert_ptr_nonnull(output(RAFT_OUT_READ, 0));
    /* An answer of the wounded one alone keeps no leader. */
    answer.from = id_of(2);
    answer.heal = 77;
    for (uint32_t i = 0; i < 8 && raft_view(raft).role == RAFT_LEADER; i++) {
        tick_at(now.mono + E / 4);
        if (raft_view(raft).role == RAFT_LEADER) receive(answer);
    }
    ck_assert_int_eq(raft_view(raft).role, RAFT_FOLLOWER);
}
END_TEST

START_TEST(torn_tail_is_not_corruption)
{
    ck_assert_int_eq(raft_damage_judge(100, 100, false), RAFT_DAMAGE_TORN);
    ck_assert_int_eq(raft_damage_judge(99, 100, false), RAFT_DAMAGE_CORRUPT);
    ck_assert_int_eq(raft_damage_judge(100, 100, true), RAFT_DAMAGE_CORRUPT);
}
END_TEST

START_TEST(leader_with_a_slow_disk_hands_over)
{
    lead();
    ack(2, 2, 0);
    for (uint64_t i = 0; i < 3; i++) {
        propose_alone(i);
        now.mono += 160 * MN_MS; /* more than E / 2 */
        ck_assert(!raft_view(raft).is_transferring);
        if (i == 2) break;
        sync_disk();
        ack(2, 3 + i, 0);
    }
    sync_disk(); /* nothing else was emitted since: the third slow sync */
    ck_assert(raft_view(raft).is_transferring);
    ck_assert_ptr_null(sent(RAFT_MSG_TIMEOUT_NOW)); /* not before it has caught up */
    ack(2, 5, 0);
    ck_assert_ptr_nonnull(sent(RAFT_MSG_TIMEOUT_NOW));
}
END_TEST

START_TEST(bad_configuration_and_recovery_are_refused)
{
    const struct raft_entry gap[] = {{2, 1, RAFT_ENTRY_COMMAND, {NULL, 0}, NULL}};

    config.heartbeat_interval = E;
    ck_assert_int_eq(raft_new(&config, &disk, now, &raft), MN_CONFIG);
    config = raft_config_default();
    ck_assert_int_eq(raft_new(&config, &disk, now, &raft), MN_CONFIG); /* no self */
    config.self = id_of(1);
    disk.term = 1;
    disk.entries = gap;
    disk.entries_count = 1;
    ck_assert_int_eq(raft_new(&config, &disk, now, &raft), MN_CONFIG);
    ck_assert_ptr_null(raft);
}
END_TEST

START_TEST(messages_survive_the_wire_and_bad_ones_do_not)
{
    const struct raft_entry entries[] = {
        {8, 2, RAFT_ENTRY_COMMAND, {(const uint8_t *)"abc", 3}, NULL},
        {9, 3, RAFT_ENTRY_NOOP, {NULL, 0}, NULL}};
    struct quorum_config joint = members(3, 1);
    struct raft_msg msg = append(3, 7, 2, entries, 2), back;
    struct mn_buf *buf;

    joint.is_joint = true;
    joint.members[1].weight_old = 4;
    msg.to = id_of(1);
    msg.config = &joint;
    msg.data = mn_span_str("data");
    msg.crc = 7;
    buf = raft_msg_encode(&msg);
    ck_assert_int_eq(raft_msg_decode(mn_buf_span(buf), &arena, &back), MN_OK);
    ck_assert_uint_eq(back.entries_count, 2);
    ck_assert_uint_eq(back.entries[1].index, 9);
    ck_assert(mn_span_is(back.entries[0].data, "abc") && mn_span_is(back.data, "data"));
    ck_assert(quorum_equal(back.config, &joint));
    ck_assert_uint_eq(back.crc, 7);
    for (size_t size = 0; size < buf->size; size++) { /* never more than a refusal */
        mn_status status = raft_msg_decode(mn_span(buf->bytes, size), &arena, &back);
        ck_assert(status == MN_OK || status == MN_MALFORMED);
    }
    mn_buf_unref(buf);
    joint.members[1].weight = 0; /* no role in the new half, and zero in the old one */
    joint.members[1].weight_old = 0;
    buf = raft_config_encode(&joint);
    ck_assert_int_eq(raft_config_decode(mn_buf_span(buf), &joint), MN_MALFORMED);
    mn_buf_unref(buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft");
    TCase *tcase = tcase_create("one node");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, vote_waits_for_its_own_write);
    tcase_add_test(tcase, pre_vote_changes_nothing);
    tcase_add_test(tcase, pre_vote_grant_is_no_vote);
    tcase_add_test(tcase, own_vote_counts_once_it_is_durable);
    tcase_add_test(tcase, votes_are_not_considered_while_a_leader_is_heard);
    tcase_add_test(tcase, older_log_gets_no_vote);
    tcase_add_test(tcase, append_is_acknowledged_after_its_write);
    tcase_add_test(tcase, answers_of_those_who_are_no_members_are_counted_and_dropped);
    tcase_add_test(tcase, answers_of_other_terms_and_replays_change_nothing);
    tcase_add_test(tcase, snapshots_of_absurd_sizes_are_refused);
    tcase_add_test(tcase, configurations_with_absurd_weights_are_refused_on_the_way_in);
    tcase_add_test(tcase, both_halves_may_weigh_a_voter_differently);
    tcase_add_test(tcase, a_log_is_bounded_by_bytes_however_few_its_entries);
    tcase_add_test(tcase, a_long_log_is_let_go_of_a_little_at_each_step);
    tcase_add_test(tcase, completion_of_a_log_that_was_cut_is_ignored);
    tcase_add_test(tcase, a_write_does_not_vouch_for_its_own_entries);
    tcase_add_test(tcase, absurd_messages_are_counted_and_dropped);
    tcase_add_test(tcase, commit_needs_weight_not_heads);
    tcase_add_test(tcase, followers_alone_can_commit_before_the_leaders_disk);
    tcase_add_test(tcase, proposals_wait_for_company_while_a_write_is_under_way);
    tcase_add_test(tcase, proposals_before_the_next_tick_share_a_write);
    tcase_add_test(tcase, commit_is_told_by_entries_that_follow_soon_or_by_itself);
    tcase_add_test(tcase, a_leader_is_idle_when_all_have_all_of_it);
    tcase_add_test(tcase, after_a_rest_a_leader_beats_at_once_and_has_time_to_hear);
    tcase_add_test(tcase, after_a_rest_under_a_living_leader_no_vote_is_given);
    tcase_add_test(tcase, heartbeats_go_when_they_are_asked_for);
    tcase_add_test(tcase, read_waits_for_an_answer_to_something_sent_after_it);
    tcase_add_test(tcase, reads_begin_a_round_at_once_and_share_the_next_one);
    tcase_add_test(tcase, lease_runs_from_the_time_of_sending);
    tcase_add_test(tcase, leader_that_hears_no_quorum_steps_down);
    tcase_add_test(tcase, learner_is_promoted_only_when_it_has_caught_up);
    tcase_add_test(tcase, changes_wait_for_the_first_commit_and_respect_the_guard);
    tcase_add_test(tcase, wounded_node_has_no_vote_until_it_is_healed);
    tcase_add_test(tcase, what_a_wounded_node_says_is_part_of_no_quorum);
    tcase_add_test(tcase, torn_tail_is_not_corruption);
    tcase_add_test(tcase, leader_with_a_slow_disk_hands_over);
    tcase_add_test(tcase, bad_configuration_and_recovery_are_refused);
    tcase_add_test(tcase, messages_survive_the_wire_and_bad_ones_do_not);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
