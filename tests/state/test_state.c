/* Nodes that agree, in virtual time: the group is founded, others come to vote, whoever is asked
 * answers, what was acknowledged survives crashes, and what is not known is said to be unknown. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/state/state.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define NODES 7
#define LATENCY (2 * MN_MS)
#define SYNC (3 * MN_MS)

struct packet {
    struct mn_list list;
    mn_time at;
    uint32_t from, to;
    bool is_group;
    struct mn_buf *buf;
};

/* All that was written to the log, as the pieces that would be read back. */
struct written {
    struct mn_list list;
    mn_time at;
    uint64_t write;
    struct edge_log log;
    struct mn_arena arena;
};

struct host {
    struct state *state;
    mn_id id;
    uint64_t writes;
    bool is_old, is_member;
    struct mn_list log; /* rising */
    mn_time since;
};

static struct host hosts[NODES];
static struct mn_list wire;
static struct mn_arena arena;
static struct edge_outbox edge;
static mn_time now_us;
static bool cut[NODES][NODES];
static uint32_t boots;
static struct state_answer answer;
static char text[256]; /* of the first pair of the last answer */
static uint32_t answers;

static struct mn_now now(void)
{
    return (struct mn_now){now_us, now_us};
}

static uint32_t host_of(const mn_id *id)
{
    return (uint32_t)id->bytes[15] - 1;
}

static void log_put(struct host *host, const struct edge_output *output)
{
    struct written *written = mn_alloc(sizeof *written);

    written->at = now_us + SYNC;
    written->write = output->id;
    written->log = *edge_log_copy(&written->arena, output->log);
    mn_list_push_back(&host->log, &written->list);
}

static void do_output(uint32_t from, const struct state_output *output)
{
    struct packet *packet;

    switch (output->type) {
    case STATE_OUT_PACKET:
    case STATE_OUT_MESSAGE:
        packet = mn_alloc(sizeof *packet);
        packet->at = now_us + LATENCY;
        packet->from = from;
        packet->to = host_of(&output->send.to);
        packet->is_group = output->type == STATE_OUT_PACKET;
        packet->buf = output->send.buf;
        mn_list_push_back(&wire, &packet->list);
        return;
    case STATE_OUT_ANSWER:
        answer = output->answer;
        answers++;
        text[0] = '\0';
        if (answer.pairs_count > 0)
            snprintf(text, sizeof text, "%.*s", (int)answer.pairs[0].value.size,
                     (const char *)answer.pairs[0].value.data);
        return;
    case STATE_OUT_OLD: hosts[from].is_old = true; return;
    case STATE_OUT_FATAL: ck_abort_msg("%s", output->fatal);
    }
}

static void step(uint32_t index, const struct state_input *input)
{
    struct state_outbox outbox = {.arena = &arena, .edge = &edge};

    if (hosts[index].state == NULL) return;
    state_step(hosts[index].state, now(), input, &outbox);
    state_check(hosts[index].state);
    for (uint32_t i = 0; i < edge.count; i++)
        log_put(&hosts[index], &edge.items[i]);
    edge_outbox_reset(&edge);
    for (uint32_t i = 0; i < outbox.count; i++)
        do_output(index, &outbox.items[i]);
    mn_arena_reset(&arena);
}

static void tell_nodes(uint32_t index)
{
    struct metadata_node nodes[NODES];
    struct state_input input = {.type = STATE_IN_NODES};

    for (uint32_t i = 0; i < NODES; i++) {
        if (!hosts[i].is_member) continue;
        nodes[input.nodes.count++] = (struct metadata_node){.id = hosts[i].id,
                                                            .role = METADATA_AUTO,
                                                            .weight = 1,
                                                            .is_alive = hosts[i].state != NULL,
                                                            .since = hosts[i].since};
    }
    input.nodes.items = nodes;
    step(index, &input);
}

/* Replays what is durable into a new process, as a driver that compacted nothing would. */
static void recover(uint32_t index)
{
    struct edge_input edge_input = {.type = EDGE_IN_LOG_RECOVER};
    struct edge_log log = {0};
    struct edge_log_entry *entries = mn_alloc(100000 * sizeof *entries);
    uint64_t first = 1;

    MN_LIST_FOR_EACH (item, &hosts[index].log) {
        const struct edge_log *piece = &MN_CONTAINER(item, struct written, list)->log;
        const struct edge_log_snapshot *snapshot =
            piece->snapshot != NULL ? piece->snapshot : log.snapshot;
        uint32_t count = piece->is_reset ? 0 : log.entries_count;
        log = *piece;
        log.snapshot = snapshot;
        if (piece->is_reset && snapshot != NULL) first = snapshot->index + 1;
        if (count == 0 && piece->entries_count > 0) first = piece->entries[0].index;
        for (uint32_t i = 0; i < piece->entries_count; i++) {
            count = (uint32_t)(piece->entries[i].index - first);
            entries[count++] = piece->entries[i];
        }
        log.entries = entries;
        log.entries_count = count;
    }
    edge_input.log = &log;
    if (log.group != 0)
        step(index, &(struct state_input){.type = STATE_IN_LOG, .edge = &edge_input});
    mn_free(entries);
}

static void boot(uint32_t index)
{
    struct host *host = &hosts[index];
    struct state_config config = {.self = host->id, .writes_count = &host->writes};
    struct state_input start = {.type = STATE_IN_START};

    config.seed[0] = (uint8_t)index;
    config.seed[1] = (uint8_t)++boots;
    host->state = state_new(&config);
    host->is_member = true;
    host->since = now_us;
    recover(index);
    start.start.is_founder = index == 0;
    start.start.is_old = host->is_old;
    step(index, &start);
}

static void written_free(struct written *written)
{
    mn_list_remove(&written->list);
    mn_arena_done(&written->arena);
    mn_free(written);
}

static void kill_host(uint32_t index)
{
    struct state_input down = {.type = STATE_IN_DOWN, .down = hosts[index].id};

    state_free(hosts[index].state);
    hosts[index].state = NULL;
    hosts[index].since = now_us;
    MN_LIST_FOR_EACH_SAFE (item, &hosts[index].log) {
        struct written *written = MN_CONTAINER(item, struct written, list);
        if (written->at > now_us) written_free(written);
    }
    for (uint32_t i = 0; i < NODES; i++)
        step(i, &down);
}

static void wipe(uint32_t index)
{
    MN_LIST_FOR_EACH_SAFE (item, &hosts[index].log)
        written_free(MN_CONTAINER(item, struct written, list));
}

static void deliver(void)
{
    MN_LIST_FOR_EACH_SAFE (item, &wire) {
        struct packet *packet = MN_CONTAINER(item, struct packet, list);
        struct state_input input = {.type = packet->is_group ? STATE_IN_PACKET : STATE_IN_MESSAGE};
        if (packet->at > now_us) return;
        mn_list_remove(&packet->list);
        input.message.from = hosts[packet->from].id;
        input.message.bytes = mn_buf_span(packet->buf);
        if (!cut[packet->from][packet->to]) step(packet->to, &input);
        mn_buf_unref(packet->buf);
        mn_free(packet);
        return;
    }
}

static void durable(uint32_t index)
{
    struct edge_input edge_input = {.type = EDGE_IN_LOG_DURABLE};

    MN_LIST_FOR_EACH (item, &hosts[index].log) {
        struct written *written = MN_CONTAINER(item, struct written, list);
        if (written->at == now_us) edge_input.id = written->write;
    }
    if (edge_input.id != 0)
        step(index, &(struct state_input){.type = STATE_IN_LOG, .edge = &edge_input});
}

static void run_for(mn_time time)
{
    mn_time end = now_us + time;

    for (; now_us < end; now_us += MN_MS) {
        while (!mn_list_is_empty(&wire) &&
               MN_CONTAINER(wire.next, struct packet, list)->at <= now_us)
            deliver();
        for (uint32_t i = 0; i < NODES; i++) {
            if (hosts[i].state == NULL) continue;
            durable(i);
            if (state_wants_nodes(hosts[i].state, now())) tell_nodes(i);
            if (state_deadline(hosts[i].state) <= now_us)
                step(i, &(struct state_input){.type = STATE_IN_TICK});
        }
    }
}

/* Asks and waits for the answer, which is in [answer]. */
static mn_status ask(uint32_t index, struct state_request request)
{
    uint32_t before = answers;
    mn_time end;

    request.ticket = 77;
    if (request.timeout == 0) request.timeout = 5 * MN_SEC;
    end = now_us + 2 * request.timeout;
    step(index, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request});
    while (answers == before && now_us < end)
        run_for(MN_MS);
    ck_assert_uint_eq(answers, before + 1);
    ck_assert_uint_eq(answer.ticket, 77);
    return answer.status;
}

static mn_status put(uint32_t index, const char *key, const char *value)
{
    return ask(index, (struct state_request){.type = STATE_COMMAND,
                                             .command = {.verb = STRONG_PUT,
                                                         .key = mn_span_str(key),
                                                         .value = mn_span_str(value)}});
}

static const char *get(uint32_t index, const char *key)
{
    mn_status status =
        ask(index, (struct state_request){.type = STATE_READ, .read.key = mn_span_str(key)});

    ck_assert_int_eq(status, MN_OK);
    return text;
}

static uint32_t leader(void)
{
    struct raft_view view, best = {0};
    uint32_t found = NODES;

    for (uint32_t i = 0; i < NODES; i++)
        if (hosts[i].state != NULL && state_view(hosts[i].state, &view) &&
            view.role == RAFT_LEADER && view.term > best.term) {
            best = view;
            found = i;
        }
    return found;
}

static uint32_t voters(void)
{
    struct raft_view view;
    uint32_t count = 0;

    ck_assert_uint_lt(leader(), NODES);
    ck_assert(state_view(hosts[leader()].state, &view));
    for (uint32_t i = 0; i < view.config->members_count; i++)
        count += view.config->members[i].weight > 0;
    return count;
}

static bool votes(uint32_t index)
{
    struct raft_view view;

    ck_assert(state_view(hosts[leader()].state, &view));
    return quorum_is_voter(view.config, &hosts[index].id);
}

static void setup(void)
{
    now_us = MN_SEC;
    mn_list_init(&wire);
    edge = (struct edge_outbox){.arena = mn_alloc(sizeof *edge.arena)};
    memset(cut, 0, sizeof cut);
    answers = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        hosts[i] = (struct host){0};
        mn_list_init(&hosts[i].log);
        hosts[i].id.bytes[15] = (uint8_t)(i + 1);
    }
}

static void teardown(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        state_free(hosts[i].state);
        wipe(i);
    }
    MN_LIST_FOR_EACH_SAFE (item, &wire) {
        struct packet *packet = MN_CONTAINER(item, struct packet, list);
        mn_buf_unref(packet->buf);
        mn_free(packet);
    }
    mn_arena_done(edge.arena);
    mn_free(edge.arena);
    mn_arena_done(&arena);
}

static void boot_all(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        boot(i);
    run_for(10 * MN_SEC);
}

START_TEST(a_mesh_of_one_works_at_once)
{
    boot(0);
    ck_assert_int_eq(put(0, "a", "1"), MN_OK);
    ck_assert_str_eq(get(0, "a"), "1");
    ck_assert_uint_lt(now_us, 3 * MN_SEC);
}
END_TEST

START_TEST(voters_are_one_three_five_seven)
{
    static const uint32_t expected[] = {0, 1, 1, 3, 3, 5, 5, 7};

    for (uint32_t i = 0; i < NODES; i++) {
        boot(i);
        run_for(8 * MN_SEC);
        ck_assert_uint_eq(voters(), expected[i + 1]);
    }
}
END_TEST

START_TEST(any_node_answers)
{
    char value[8];

    boot_all(5);
    for (uint32_t i = 0; i < 5; i++) {
        snprintf(value, sizeof value, "%u", i);
        ck_assert_int_eq(put(i, "a", value), MN_OK);
        ck_assert_str_eq(get((i + 1) % 5, "a"), value);
    }
}
END_TEST

START_TEST(what_was_acknowledged_survives_the_crash_of_all)
{
    boot_all(3);
    ck_assert_int_eq(put(1, "a", "1"), MN_OK);
    for (uint32_t i = 0; i < 3; i++)
        kill_host(i);
    for (uint32_t i = 0; i < 3; i++)
        boot(i);
    ck_assert_str_eq(get(2, "a"), "1");
}
END_TEST

START_TEST(a_new_leader_takes_over)
{
    uint32_t old;
    mn_time begin;

    boot_all(3);
    ck_assert_int_eq(put(1, "a", "1"), MN_OK);
    old = leader();
    kill_host(old);
    begin = now_us;
    ck_assert_int_eq(put((old + 1) % 3, "a", "2"), MN_OK);
    ck_assert_uint_lt(now_us - begin, 1500 * MN_MS);
    ck_assert_str_eq(get((old + 2) % 3, "a"), "2");
}
END_TEST

START_TEST(a_minority_says_unknown_or_no_quorum_and_the_majority_goes_on)
{
    uint32_t old;
    mn_status status;

    boot_all(3);
    old = leader();
    for (uint32_t i = 0; i < 3; i++)
        cut[old][i] = cut[i][old] = i != old;
    status = put(old, "a", "1"); /* it is in its log: it may yet come true */
    ck_assert_int_eq(status, MN_TIMEOUT);
    ck_assert_int_eq(
        ask(old, (struct state_request){.type = STATE_READ, .read.key = mn_span_str("a")}),
        MN_UNREACHABLE);
    ck_assert_int_eq(put((old + 1) % 3, "a", "2"), MN_OK);
    memset(cut, 0, sizeof cut);
    run_for(3 * MN_SEC);
    ck_assert_str_eq(get(old, "a"), "2");
}
END_TEST

/* The leader has it in its log and cannot bring it about: whoever asked must not hear "not done".
 */
START_TEST(what_a_lost_leader_has_in_its_log_is_unknown_to_who_asked_it)
{
    uint32_t old, asker;

    boot_all(3);
    old = leader();
    asker = (old + 1) % 3;
    kill_host((old + 2) % 3);
    cut[old][asker] = true; /* it hears, and is not heard */
    ck_assert_int_eq(put(asker, "a", "1"), MN_TIMEOUT);
    memset(cut, 0, sizeof cut);
    boot((old + 2) % 3);
    run_for(3 * MN_SEC);
    ck_assert_int_eq(put(asker, "b", "1"), MN_OK);
}
END_TEST

START_TEST(a_leader_that_steps_down_does_not_say_that_nothing_was_done)
{
    uint32_t old, asker;

    boot_all(5);
    old = leader();
    asker = (old + 1) % 5;
    for (uint32_t i = 0; i < 5; i++)
        if (i != old && i != asker) kill_host(i);
    ck_assert_int_eq(put(asker, "a", "1"), MN_TIMEOUT);
}
END_TEST

START_TEST(a_dead_voter_is_replaced)
{
    uint32_t dead = NODES;

    boot_all(4);
    for (uint32_t i = 0; i < 4; i++)
        if (votes(i) && i != leader()) dead = i;
    kill_host(dead);
    run_for(20 * MN_SEC);
    ck_assert(votes(dead)); /* it may come back */
    run_for(20 * MN_SEC);
    ck_assert(!votes(dead));
    ck_assert_uint_eq(voters(), 3);
    boot(dead);
    run_for(10 * MN_SEC);
    ck_assert_uint_eq(voters(), 3);
    ck_assert_int_eq(put(dead, "a", "1"), MN_OK);
}
END_TEST

START_TEST(a_wiped_voter_has_no_vote_until_it_is_healed)
{
    struct raft_view view;
    uint32_t lost;

    boot_all(3);
    ck_assert_int_eq(put(0, "a", "1"), MN_OK);
    lost = (leader() + 1) % 3;
    kill_host(lost);
    wipe(lost);
    for (uint32_t i = 0; i < 3; i++)
        cut[lost][i] = cut[i][lost] = i != lost;
    boot(lost);
    run_for(3 * MN_SEC);
    ck_assert(state_view(hosts[lost].state, &view));
    ck_assert(view.is_wounded);
    memset(cut, 0, sizeof cut);
    run_for(3 * MN_SEC);
    ck_assert(state_view(hosts[lost].state, &view));
    ck_assert(!view.is_wounded);
    ck_assert_str_eq(get(lost, "a"), "1");
}
END_TEST

START_TEST(a_founder_that_lost_its_log_founds_nothing_twice)
{
    struct raft_view view;

    boot_all(1);
    ck_assert_int_eq(put(0, "a", "1"), MN_OK);
    ck_assert(hosts[0].is_old);
    kill_host(0);
    wipe(0);
    boot(0);
    run_for(3 * MN_SEC);
    ck_assert(state_view(hosts[0].state, &view));
    ck_assert(view.is_wounded);
    ck_assert_int_eq(put(0, "a", "2"), MN_UNREACHABLE);
}
END_TEST

START_TEST(a_lease_ends_when_nobody_renews_it)
{
    struct state_request lock = {
        .type = STATE_COMMAND,
        .command = {.verb = STRONG_PUT, .key = mn_span_str("lock"), .has_if_rev = true}};

    boot_all(3);
    ck_assert_int_eq(
        ask(1, (struct state_request){.type = STATE_COMMAND,
                                      .command = {.verb = STRONG_GRANT, .ttl_ms = 4000}}),
        MN_OK);
    lock.command.lease = answer.reply.rev;
    ck_assert_int_eq(ask(1, lock), MN_OK);
    ck_assert_int_eq(answer.reply.status, MN_OK);
    ck_assert_int_eq(ask(2, lock), MN_OK);
    ck_assert_int_eq(answer.reply.status, MN_EXISTS);
    run_for(3 * MN_SEC);
    ck_assert_int_eq(ask(2, lock), MN_OK);
    ck_assert_int_eq(answer.reply.status, MN_EXISTS);
    run_for(3 * MN_SEC);
    lock.command.lease = 0;
    ck_assert_int_eq(ask(2, lock), MN_OK);
    ck_assert_int_eq(answer.reply.status, MN_OK);
}
END_TEST

START_TEST(leadership_is_handed_over)
{
    uint32_t old, next;

    boot_all(3);
    old = leader();
    next = (old + 1) % 3;
    ck_assert_int_eq(
        ask(old, (struct state_request){.type = STATE_TRANSFER, .node = hosts[next].id}), MN_OK);
    run_for(MN_SEC);
    ck_assert_uint_eq(leader(), next);
    ck_assert_int_eq(ask(old, (struct state_request){.type = STATE_PROGRESS}), MN_OK);
    ck_assert_uint_eq(answer.progress_count, 3);
}
END_TEST

START_TEST(a_weight_that_gives_one_half_is_refused)
{
    struct state_request wish = {.type = STATE_WISH};
    struct raft_view view;

    boot_all(5);
    wish.node = hosts[2].id;
    wish.wish.weight = 4;
    ck_assert_int_eq(ask(1, wish), MN_CONFIG);
    wish.wish.weight = 2;
    ck_assert_int_eq(ask(1, wish), MN_OK);
    run_for(3 * MN_SEC);
    ck_assert(state_view(hosts[leader()].state, &view));
    ck_assert_uint_eq(view.config->members[quorum_find(view.config, &hosts[2].id)].weight, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_mesh_of_one_works_at_once);
    tcase_add_test(tcase, voters_are_one_three_five_seven);
    tcase_add_test(tcase, any_node_answers);
    tcase_add_test(tcase, what_was_acknowledged_survives_the_crash_of_all);
    tcase_add_test(tcase, a_new_leader_takes_over);
    tcase_add_test(tcase, a_minority_says_unknown_or_no_quorum_and_the_majority_goes_on);
    tcase_add_test(tcase, what_a_lost_leader_has_in_its_log_is_unknown_to_who_asked_it);
    tcase_add_test(tcase, a_leader_that_steps_down_does_not_say_that_nothing_was_done);
    tcase_add_test(tcase, a_dead_voter_is_replaced);
    tcase_add_test(tcase, a_wiped_voter_has_no_vote_until_it_is_healed);
    tcase_add_test(tcase, a_founder_that_lost_its_log_founds_nothing_twice);
    tcase_add_test(tcase, a_lease_ends_when_nobody_renews_it);
    tcase_add_test(tcase, leadership_is_handed_over);
    tcase_add_test(tcase, a_weight_that_gives_one_half_is_refused);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
