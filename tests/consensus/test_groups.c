/* Many groups on a few nodes: one packet per peer, one order of writes, one heartbeat; rest and
 * waking. Three nodes share a virtual net and disks that sync when the test says so. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "consensus/groups.h"
#include "consensus/raft_wire.h"
#include "tests/suite.h"

#define NODES 3
#define DELAY (MN_MS / 2)
#define E (300 * MN_MS)

struct packet {
    mn_time at;
    uint32_t from, to;
    struct mn_buf *buf;
};

struct node {
    struct groups *groups;
    uint64_t writes, durable;
    mn_time sync_at; /* MN_TIME_NEVER: nothing waits */
    bool is_stuck;   /* its disk answers nothing */
    bool is_cut;
    uint32_t packets, applied, refused, reads, logs;
    uint64_t log_last;
};

static struct node nodes[NODES];
static struct packet net[4096];
static uint32_t net_count;
static mn_time mono;
static struct mn_arena arena;
static bool has_rest;
static uint8_t starts;
static uint32_t members_count, groups_count_of, checks_left_out; /* a check takes them all */

static mn_id id_of(uint32_t n)
{
    mn_id id = {{0}};
    id.bytes[15] = (uint8_t)(n + 1);
    return id;
}

static struct mn_now now(void)
{
    return (struct mn_now){mono, mono};
}

static void done(uint32_t n, struct groups_outbox *outbox)
{
    struct node *node = &nodes[n];

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct groups_output *output = &outbox->items[i];
        switch (output->type) {
        case GROUPS_OUT_LOG:
        case GROUPS_OUT_LOG_END:
            ck_assert_uint_gt(output->log.write, node->log_last); /* one order for all */
            node->log_last = output->log.write;
            node->logs++;
            if (node->sync_at == MN_TIME_NEVER) node->sync_at = mono + 200;
            break;
        case GROUPS_OUT_SEND:
            node->packets++;
            if (node->is_cut || nodes[output->send.to.bytes[15] - 1].is_cut) break;
            ck_assert_uint_lt(net_count, 4096);
            net[net_count++] = (struct packet){mono + DELAY, n, output->send.to.bytes[15] - 1u,
                                               mn_buf_ref(output->send.packet)};
            break;
        case GROUPS_OUT_RAFT:
            if (output->raft->type == RAFT_OUT_APPLY)
                node->applied += output->raft->apply.entries_count;
            if (output->raft->type == RAFT_OUT_REFUSED) node->refused++;
            if (output->raft->type == RAFT_OUT_READ && output->raft->read.status == MN_OK)
                node->reads++;
            break;
        }
    }
    groups_outbox_reset(outbox);
    mn_arena_reset(&arena);
    if (groups_count_of <= 100 || ++checks_left_out % 1000 == 0) groups_check(node->groups);
}

static void step(uint32_t n, const struct groups_input *input)
{
    struct groups_outbox outbox = {.arena = &arena};

    groups_step(nodes[n].groups, now(), input, &outbox);
    done(n, &outbox);
}

static void deliver(uint32_t i)
{
    struct packet packet = net[i];
    struct groups_input input = {.type = GROUPS_IN_PACKET};

    net[i] = net[--net_count];
    input.packet.from = id_of(packet.from);
    input.packet.bytes = mn_buf_span(packet.buf);
    if (nodes[packet.to].groups != NULL && !nodes[packet.to].is_cut) step(packet.to, &input);
    mn_buf_unref(packet.buf);
}

/* Lets [time] pass, one event after the other. */
static void run(mn_time time)
{
    mn_time end = mono + time;

    for (;;) {
        mn_time at = end;
        for (uint32_t i = 0; i < net_count; i++)
            at = mn_time_min(at, net[i].at);
        for (uint32_t n = 0; n < NODES; n++) {
            if (nodes[n].groups == NULL) continue;
            at = mn_time_min(at, groups_deadline(nodes[n].groups));
            if (!nodes[n].is_stuck) at = mn_time_min(at, nodes[n].sync_at);
        }
        if (at > mono) mono = at;
        if (mono >= end) return;
        for (uint32_t i = 0; i < net_count;)
            if (net[i].at <= mono)
                deliver(i);
            else
                i++;
        for (uint32_t n = 0; n < NODES; n++) {
            struct groups_input input = {.type = GROUPS_IN_DURABLE};
            if (nodes[n].groups == NULL) continue;
            if (!nodes[n].is_stuck && nodes[n].sync_at <= mono) {
                nodes[n].sync_at = MN_TIME_NEVER;
                input.durable.write = nodes[n].durable = nodes[n].log_last;
                step(n, &input);
            }
            if (groups_deadline(nodes[n].groups) <= mono)
                step(n, &(struct groups_input){.type = GROUPS_IN_TICK});
        }
    }
}

static void start(uint32_t n, uint32_t groups_count)
{
    struct groups_config config = groups_config_default();
    struct raft_recovered recovered = {.snapshot.config.members_count = members_count};

    config.raft.self = id_of(n);
    config.raft.seed[0] = (uint8_t)n;
    config.raft.seed[1] = starts++; /* another process */
    config.has_rest = has_rest;
    config.writes_count = &nodes[n].writes;
    nodes[n].sync_at = MN_TIME_NEVER;
    ck_assert_int_eq(groups_new(&config, now(), &nodes[n].groups), MN_OK);
    for (uint32_t i = 0; i < members_count; i++) {
        recovered.snapshot.config.members[i].id = id_of(i);
        recovered.snapshot.config.members[i].weight = 1;
    }
    for (uint64_t g = 1; g <= groups_count; g++)
        ck_assert_int_eq(groups_open(nodes[n].groups, now(), g, &recovered), MN_OK);
    step(n, &(struct groups_input){.type = GROUPS_IN_TICK});
}

static void start_all(uint32_t groups_count)
{
    groups_count_of = groups_count;
    for (uint32_t n = 0; n < NODES; n++)
        start(n, groups_count);
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    memset(nodes, 0, sizeof nodes);
    mono = MN_SEC;
    net_count = starts = 0;
    has_rest = true;
    members_count = NODES;
    groups_count_of = 0;
}

static void teardown(void)
{
    for (uint32_t i = 0; i < net_count; i++)
        mn_buf_unref(net[i].buf);
    for (uint32_t n = 0; n < NODES; n++)
        groups_free(nodes[n].groups);
    mn_arena_done(&arena);
}

static int leader_of(uint64_t group)
{
    int best = -1;
    uint64_t term = 0;

    for (int n = 0; n < NODES; n++) {
        struct raft_view view;
        if (nodes[n].groups == NULL || nodes[n].is_cut) continue;
        view = raft_view(groups_raft(nodes[n].groups, group));
        if (view.role != RAFT_LEADER || view.term <= term) continue;
        best = n;
        term = view.term;
    }
    return best;
}

static void give(uint32_t n, uint64_t group, const struct raft_input *input)
{
    struct groups_input groups_input = {.type = GROUPS_IN_RAFT};
    groups_input.raft.group = group;
    groups_input.raft.input = input;
    step(n, &groups_input);
}

static void propose(uint32_t n, uint64_t group)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};
    input.propose.data = mn_buf_copy(mn_span_str("x"));
    give(n, group, &input);
    mn_buf_unref(input.propose.data);
}

static uint32_t resting(uint32_t n)
{
    return groups_stats(nodes[n].groups).resting_count;
}

static void reset_counts(void)
{
    for (uint32_t n = 0; n < NODES; n++)
        nodes[n].packets = nodes[n].applied = nodes[n].logs = 0;
}

START_TEST(every_group_finds_a_leader_and_commits)
{
    has_rest = false;
    start_all(20);
    run(3 * MN_SEC);
    reset_counts();
    for (uint64_t g = 1; g <= 20; g++) {
        ck_assert_int_ge(leader_of(g), 0);
        propose((uint32_t)leader_of(g), g);
    }
    run(200 * MN_MS);
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(nodes[n].applied, 20);
}
END_TEST

START_TEST(heartbeats_of_all_groups_share_one_packet_per_peer)
{
    has_rest = false;
    start_all(50);
    run(3 * MN_SEC);
    reset_counts();
    run(10 * MN_SEC); /* 100 intervals */
    for (uint32_t n = 0; n < NODES; n++) {
        /* Per interval at most: its own to two peers, and answers to two leaders. */
        ck_assert_uint_le(nodes[n].packets, 100 * 4 + 20);
        ck_assert_uint_eq(nodes[n].logs, 0);
    }
}
END_TEST

START_TEST(idle_groups_rest_and_only_their_nodes_say_that_they_live)
{
    start_all(50);
    run(5 * MN_SEC);
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(resting(n), 50);
    reset_counts();
    run(10 * MN_SEC);
    for (uint32_t n = 0; n < NODES; n++) {
        ck_assert_uint_le(nodes[n].packets, 100 * 2 + 4);
        ck_assert_uint_eq(resting(n), 50);
    }
}
END_TEST

/* Every one of them elects, commits and rests, costs a resting node nothing, and goes on without a
 * node that led some hundred of them. */
START_TEST(a_thousand_groups_are_no_burden)
{
    start_all(1000);
    run(5 * MN_SEC);
    reset_counts();
    for (uint64_t g = 1; g <= 1000; g++) {
        ck_assert_int_ge(leader_of(g), 0);
        propose((uint32_t)leader_of(g), g);
    }
    run(500 * MN_MS);
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(nodes[n].applied, 1000);
    run(5 * MN_SEC);
    reset_counts();
    run(10 * MN_SEC);
    for (uint32_t n = 0; n < NODES; n++) {
        ck_assert_uint_eq(resting(n), 1000);
        ck_assert_uint_le(nodes[n].packets, 100 * 2 + 4); /* as with fifty */
        ck_assert_uint_eq(nodes[n].logs, 0);
    }
    nodes[0].is_cut = true;
    run(5 * MN_SEC);
    for (uint64_t g = 1; g <= 1000; g++) {
        ck_assert_int_gt(leader_of(g), 0);
        propose((uint32_t)leader_of(g), g);
    }
    run(500 * MN_MS);
    ck_assert_uint_ge(nodes[1].applied, 1000);
    ck_assert_uint_ge(nodes[2].applied, 1000);
}
END_TEST

START_TEST(a_proposal_wakes_its_group_and_no_other)
{
    int leader;

    start_all(50);
    run(5 * MN_SEC);
    reset_counts();
    leader = leader_of(7);
    propose((uint32_t)leader, 7);
    run(20 * MN_MS);
    for (uint32_t n = 0; n < NODES; n++) {
        ck_assert_uint_eq(nodes[n].applied, 1);
        ck_assert_uint_eq(resting(n), 49);
    }
    run(3 * MN_SEC);
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(resting(n), 50);
    ck_assert_int_eq(leader_of(7), leader);
}
END_TEST

START_TEST(a_read_at_a_follower_at_rest_is_answered)
{
    struct raft_input read = {.type = RAFT_IN_READ, .read.request = 4};
    uint32_t follower;

    start_all(3);
    run(5 * MN_SEC);
    follower = ((uint32_t)leader_of(2) + 1) % NODES;
    give(follower, 2, &read);
    run(500 * MN_MS);
    ck_assert_uint_eq(nodes[follower].reads, 1);
}
END_TEST

START_TEST(a_follower_refuses_without_waking_anybody)
{
    uint32_t follower;

    start_all(3);
    run(5 * MN_SEC);
    follower = ((uint32_t)leader_of(2) + 1) % NODES;
    propose(follower, 2);
    ck_assert_uint_eq(nodes[follower].refused, 1);
    ck_assert_uint_eq(resting(follower), 3);
}
END_TEST

START_TEST(a_silent_leaders_groups_wake_and_elect)
{
    uint64_t terms[11];
    int dead;

    start_all(10);
    run(5 * MN_SEC);
    dead = leader_of(1);
    for (uint64_t g = 1; g <= 10; g++)
        terms[g] = raft_view(groups_raft(nodes[dead].groups, g)).term;
    nodes[dead].is_cut = true;
    run(10 * E);
    for (uint64_t g = 1; g <= 10; g++) {
        int leader = leader_of(g);
        ck_assert_int_ge(leader, 0);
        ck_assert_int_ne(leader, dead);
        propose((uint32_t)leader, g);
    }
    nodes[dead].is_cut = false; /* it comes back, with groups at rest that it does not lead now */
    run(10 * MN_SEC);
    for (uint64_t g = 1; g <= 10; g++) {
        struct raft_view there = raft_view(groups_raft(nodes[dead].groups, g));
        ck_assert_int_ne(leader_of(g), -1);
        ck_assert_uint_eq(there.commit,
                          raft_view(groups_raft(nodes[leader_of(g)].groups, g)).commit);
        ck_assert_uint_ge(there.term, terms[g]);
    }
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(resting(n), 10);
}
END_TEST

START_TEST(a_leaders_new_process_leads_nothing)
{
    int old;

    start_all(5);
    run(5 * MN_SEC);
    old = leader_of(1);
    groups_free(nodes[old].groups); /* its disk is lost as well; it says another boot */
    nodes[old].groups = NULL;
    run(E / 2);
    nodes[old].writes = nodes[old].log_last = 0;
    start((uint32_t)old, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct groups_input input = {.type = GROUPS_IN_PACKET};
        struct mn_buf *begin = raft_packet_begin(99 + (uint64_t)old);
        input.packet.from = id_of((uint32_t)old);
        input.packet.bytes = mn_buf_span(begin);
        step(((uint32_t)old + 1 + i) % NODES, &input);
        mn_buf_unref(begin);
        ck_assert_uint_lt(resting(((uint32_t)old + 1 + i) % NODES), 5);
    }
    run(10 * E);
    for (uint64_t g = 1; g <= 5; g++) {
        uint32_t other = ((uint32_t)old + 1) % NODES, third = ((uint32_t)old + 2) % NODES;
        bool is_led = raft_view(groups_raft(nodes[other].groups, g)).role == RAFT_LEADER ||
                      raft_view(groups_raft(nodes[third].groups, g)).role == RAFT_LEADER;
        ck_assert(is_led);
    }
}
END_TEST

/* It knows no other member, has no vote, and the leaders of its groups say nothing of them. */
START_TEST(a_member_that_lost_everything_wakes_its_groups_and_is_healed)
{
    const uint32_t lost = 2;
    struct raft_recovered wiped = {.damage = RAFT_DAMAGE_CORRUPT};

    start_all(6);
    run(5 * MN_SEC);
    for (uint64_t g = 1; g <= 6; g++)
        propose((uint32_t)leader_of(g), g);
    run(5 * MN_SEC);
    if (leader_of(1) == (int)lost) give(lost, 1, &(struct raft_input){.type = RAFT_IN_TRANSFER});
    run(5 * MN_SEC);
    ck_assert_int_ne(leader_of(1), (int)lost);
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(resting(n), 6);
    groups_free(nodes[lost].groups);
    nodes[lost].writes = nodes[lost].log_last = 0;
    start(lost, 0); /* at once: nobody has missed its packets */
    for (uint64_t g = 1; g <= 6; g++)
        ck_assert_int_eq(groups_open(nodes[lost].groups, now(), g, &wiped), MN_OK);
    step(lost, &(struct groups_input){.type = GROUPS_IN_TICK});
    ck_assert(raft_view(groups_raft(nodes[lost].groups, 1)).is_wounded);
    run(10 * MN_SEC);
    for (uint64_t g = 1; g <= 6; g++) {
        struct raft_view view = raft_view(groups_raft(nodes[lost].groups, g));
        ck_assert(!view.is_wounded);
        ck_assert_uint_eq(view.commit,
                          raft_view(groups_raft(nodes[leader_of(g)].groups, g)).commit);
    }
    for (uint32_t n = 0; n < NODES; n++)
        ck_assert_uint_eq(resting(n), 6);
}
END_TEST

/* Its own name for the group may be a mistake, and it has no right to be told. */
START_TEST(who_is_no_member_does_not_keep_a_group_awake)
{
    struct groups_input input = {.type = GROUPS_IN_PACKET};
    struct mn_buf *begin = raft_packet_begin(77), *unled;
    const uint64_t all[2] = {1, 99};
    struct mn_writer writer = {0};
    struct mn_buf *packet;

    start_all(1);
    run(5 * MN_SEC);
    unled = raft_packet_unled(all, 2);
    mn_writer_add(&writer, mn_buf_span(begin));
    mn_writer_add(&writer, mn_buf_span(unled));
    packet = mn_writer_done(&writer);
    input.packet.from = id_of(7);
    input.packet.bytes = mn_buf_span(packet);
    step((uint32_t)leader_of(1), &input);
    ck_assert_uint_eq(resting((uint32_t)leader_of(1)), 1);
    input.packet.from = id_of(((uint32_t)leader_of(1) + 1) % NODES); /* a member may */
    step((uint32_t)leader_of(1), &input);
    ck_assert_uint_eq(resting((uint32_t)leader_of(1)), 0);
    mn_buf_unref(begin);
    mn_buf_unref(unled);
    mn_buf_unref(packet);
}
END_TEST

START_TEST(a_group_of_one_rests_in_any_case)
{
    has_rest = false;
    members_count = 1;
    start(0, 1);
    run(5 * MN_SEC);
    ck_assert_int_eq(leader_of(1), 0);
    ck_assert_uint_eq(resting(0), 1);
    ck_assert_uint_eq(groups_deadline(nodes[0].groups), MN_TIME_NEVER); /* nothing wakes the node */
    reset_counts();
    propose(0, 1);
    run(10 * MN_MS);
    ck_assert_uint_eq(nodes[0].applied, 1);
    run(2 * MN_SEC);
    ck_assert_uint_eq(resting(0), 1);
}
END_TEST

START_TEST(nothing_is_promised_before_it_is_durable)
{
    int leader;
    uint32_t first, second;

    has_rest = false;
    start_all(2);
    run(3 * MN_SEC);
    leader = leader_of(1);
    first = ((uint32_t)leader + 1) % NODES;
    second = ((uint32_t)leader + 2) % NODES;
    nodes[first].is_stuck = nodes[second].is_stuck = true;
    reset_counts();
    propose((uint32_t)leader, 1);
    run(100 * MN_MS);
    ck_assert_uint_gt(nodes[first].logs, 0); /* it wrote, and does not say so yet */
    ck_assert_uint_gt(groups_stats(nodes[first].groups).parked, 0);
    ck_assert_uint_eq(nodes[leader].applied, 0);
    nodes[first].is_stuck = false;
    run(20 * MN_MS);
    ck_assert_uint_eq(nodes[leader].applied, 1);
    ck_assert_uint_eq(groups_stats(nodes[first].groups).parked, 0);
}
END_TEST

START_TEST(a_reset_link_wakes_groups_and_elects_before_the_timeout)
{
    struct groups_input input = {.type = GROUPS_IN_UNREACHABLE};
    int dead;
    mn_time began;

    start_all(1);
    run(5 * MN_SEC);
    dead = leader_of(1);
    nodes[dead].is_cut = true;
    input.unreachable.node = id_of((uint32_t)dead);
    began = mono;
    for (uint32_t n = 0; n < NODES; n++)
        if (n != (uint32_t)dead) step(n, &input);
    while (leader_of(1) < 0 && mono < began + 10 * E)
        run(MN_MS);
    ck_assert_uint_lt(mono - began, E);
}
END_TEST

START_TEST(groups_open_and_close)
{
    struct groups_outbox outbox = {.arena = &arena};
    struct raft_recovered nothing = {0};
    uint64_t write;

    start_all(2);
    ck_assert_int_eq(groups_open(nodes[0].groups, now(), 2, &nothing), MN_EXISTS);
    propose(0, 77);
    ck_assert_uint_eq(nodes[0].refused, 1);
    run(2 * MN_SEC);
    write = nodes[0].writes;
    groups_close(nodes[0].groups, 2, true, &outbox);
    ck_assert_uint_eq(outbox.count, 1);
    ck_assert_int_eq(outbox.items[0].type, GROUPS_OUT_LOG_END);
    ck_assert_uint_eq(outbox.items[0].log.write, write + 1);
    done(0, &outbox);
    ck_assert_ptr_null(groups_raft(nodes[0].groups, 2));
    run(2 * MN_SEC); /* the others go on with it; what they say is dropped here */
    ck_assert_uint_gt(groups_stats(nodes[0].groups).dropped, 0);
    ck_assert_int_ge(leader_of(1), 0);
}
END_TEST

START_TEST(nonsense_is_counted)
{
    struct groups_input input = {.type = GROUPS_IN_PACKET};
    uint64_t dropped;

    start_all(1);
    dropped = groups_stats(nodes[0].groups).dropped;
    input.packet.from = id_of(1);
    input.packet.bytes = mn_span_str("\xff\xff\xff nonsense");
    step(0, &input);
    input.packet.bytes = mn_span(NULL, 0); /* no boot */
    step(0, &input);
    input.packet.from = id_of(0); /* ourselves */
    step(0, &input);
    ck_assert_uint_eq(groups_stats(nodes[0].groups).dropped, dropped + 3);
}
END_TEST

START_TEST(a_configuration_outside_its_range_is_refused)
{
    struct groups_config config = groups_config_default();
    struct groups *groups = NULL;
    uint64_t writes = 0;

    ck_assert_int_eq(groups_new(&config, now(), &groups), MN_CONFIG); /* no self, no counter */
    config.raft.self = id_of(0);
    config.writes_count = &writes;
    config.groups_max = 0;
    ck_assert_int_eq(groups_new(&config, now(), &groups), MN_CONFIG);
    ck_assert_ptr_null(groups);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("groups");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_group_finds_a_leader_and_commits);
    tcase_add_test(tcase, heartbeats_of_all_groups_share_one_packet_per_peer);
    tcase_add_test(tcase, idle_groups_rest_and_only_their_nodes_say_that_they_live);
    tcase_add_test(tcase, a_thousand_groups_are_no_burden);
    tcase_add_test(tcase, a_proposal_wakes_its_group_and_no_other);
    tcase_add_test(tcase, a_read_at_a_follower_at_rest_is_answered);
    tcase_add_test(tcase, a_follower_refuses_without_waking_anybody);
    tcase_add_test(tcase, a_silent_leaders_groups_wake_and_elect);
    tcase_add_test(tcase, a_leaders_new_process_leads_nothing);
    tcase_add_test(tcase, a_member_that_lost_everything_wakes_its_groups_and_is_healed);
    tcase_add_test(tcase, who_is_no_member_does_not_keep_a_group_awake);
    tcase_add_test(tcase, a_group_of_one_rests_in_any_case);
    tcase_add_test(tcase, nothing_is_promised_before_it_is_durable);
    tcase_add_test(tcase, a_reset_link_wakes_groups_and_elects_before_the_timeout);
    tcase_add_test(tcase, groups_open_and_close);
    tcase_add_test(tcase, nonsense_is_counted);
    tcase_add_test(tcase, a_configuration_outside_its_range_is_refused);
    Suite *suite = suite_create("groups");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
