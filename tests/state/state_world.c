#include "tests/state/state_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/crc.h"
#include "proto/base/map.h"

#define LATENCY (2 * MN_MS)

#define EPOCHS 3
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

struct world_host world_hosts[WORLD_NODES];
static struct mn_list wire;
static struct mn_arena arena;
static struct edge_outbox edge;
mn_time world_now;
size_t world_saved_most;
uint32_t world_saved_pieces;
bool world_cut[WORLD_NODES][WORLD_NODES];
static uint32_t boots;
struct state_answer world_answer;
char world_changes[WORLD_CHANGES_MAX][64];
struct state_position world_positions[STATE_SURVEY_MAX];
struct state_lease world_lease;
static struct state_progress rows[STATE_PROGRESS_MAX];
static struct mn_buf *heard; /* an order, by who steps just now */
static struct mn_buf *saved; /* a snapshot that is being read back */
static char text[256];       /* of the first pair of the last world_answer */
static uint32_t answers;

static struct mn_now now(void)
{
    return (struct mn_now){world_now, world_now};
}

static uint32_t host_of(const mn_id *id)
{
    return (uint32_t)id->bytes[15] - 1;
}

static void log_put(struct world_host *host, const struct edge_output *output)
{
    struct written *written = mn_alloc(sizeof *written);

    written->at = world_now + host->sync;
    written->write = output->id;
    written->log = *edge_log_copy(&written->arena, output->log);
    mn_list_push_back(&host->log, &written->list);
}

/* Such as "12 a=1" or "13 a gone". */
static void describe(const struct state_change *change, uint32_t at)
{
    snprintf(world_changes[at], sizeof world_changes[at], "%.*s%s%.*s", (int)change->key.size,
             (const char *)change->key.data, change->is_removed ? " gone" : "=",
             (int)change->value.size,
             change->value.size == 0 ? "" : (const char *)change->value.data);
}

static void do_output(uint32_t from, const struct state_output *output)
{
    struct packet *packet;

    switch (output->type) {
    case STATE_OUT_PACKET:
    case STATE_OUT_MESSAGE:
        packet = mn_alloc(sizeof *packet);
        packet->at = world_now + LATENCY;
        packet->from = from;
        packet->to = host_of(&output->send.to);
        packet->is_group = output->type == STATE_OUT_PACKET;
        packet->buf = output->send.buf;
        mn_list_push_back(&wire, &packet->list);
        return;
    case STATE_OUT_ANSWER:
        world_answer = output->answer;
        if (world_answer.progress_count > 0)
            memcpy(rows, world_answer.progress, world_answer.progress_count * sizeof *rows);
        for (uint32_t i = 0; i < world_answer.changes_count && i < WORLD_CHANGES_MAX; i++)
            describe(&world_answer.changes[i], i);
        if (world_answer.positions_count > 0)
            memcpy(world_positions, world_answer.positions,
                   world_answer.positions_count * sizeof *world_positions);
        world_answer.positions = world_positions;
        if (world_answer.leases_count > 0) world_lease = world_answer.leases[0];
        world_answer.progress = rows; /* what the answer points to ends with the step */
        answers++;
        text[0] = '\0';
        if (world_answer.pairs_count > 0)
            snprintf(text, sizeof text, "%.*s", (int)world_answer.pairs[0].value.size,
                     (const char *)world_answer.pairs[0].value.data);
        return;
    case STATE_OUT_ORDER: /* every signature counts here */
        mn_buf_unref(heard);
        heard = mn_buf_copy(output->order);
        return;
    case STATE_OUT_OLD: world_hosts[from].is_old = true; return;
    case STATE_OUT_FATAL: ck_abort_msg("%s", output->fatal);
    }
}

static void count_saved(void)
{
    size_t size = 0;

    for (uint32_t i = 0; i < edge.count; i++) {
        const struct edge_log *log = edge.items[i].log;
        if (log->is_piece) size += log->piece.size;
        if (log->snapshot != NULL) size += log->snapshot->data.size;
    }
    if (size > world_saved_most) world_saved_most = size;
    world_saved_pieces += size > 0;
}

void world_step(uint32_t index, const struct state_input *input)
{
    struct state_outbox outbox = {.arena = &arena, .edge = &edge};

    if (world_hosts[index].state == NULL) return;
    state_step(world_hosts[index].state, now(), input, &outbox);
    state_check(world_hosts[index].state);
    count_saved();
    for (uint32_t i = 0; i < edge.count; i++)
        log_put(&world_hosts[index], &edge.items[i]);
    edge_outbox_reset(&edge);
    for (uint32_t i = 0; i < outbox.count; i++)
        do_output(index, &outbox.items[i]);
    mn_arena_reset(&arena);
    while (heard != NULL) {
        struct mn_buf *order = heard;
        heard = NULL;
        world_step(index,
                   &(struct state_input){.type = STATE_IN_ORDER, .order = mn_buf_span(order)});
        mn_buf_unref(order);
    }
}

static void tell_nodes(uint32_t index)
{
    struct metadata_node nodes[WORLD_NODES];
    struct state_input input = {.type = STATE_IN_NODES};

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (!world_hosts[i].is_member) continue;
        nodes[input.nodes.count++] =
            (struct metadata_node){.id = world_hosts[i].id,
                                   .role = world_hosts[i].role,
                                   .weight = world_hosts[i].weight,
                                   .is_alive = world_hosts[i].state != NULL,
                                   .since = world_hosts[i].since};
    }
    input.nodes.items = nodes;
    world_step(index, &input);
}

/* The snapshot, with its data if that was written ahead: [ahead] has all pieces since the first. */
static const struct edge_log_snapshot *recover_snapshot(const struct edge_log_snapshot *snapshot,
                                                        struct mn_writer *ahead)
{
    static struct edge_log_snapshot whole;

    if (!snapshot->is_ahead) return snapshot;
    whole = *snapshot;
    mn_buf_unref(saved);
    saved = mn_writer_done(ahead);
    whole.data = mn_buf_span(saved);
    ck_assert_uint_eq(whole.data.size, snapshot->ahead_size);
    ck_assert_uint_eq(mn_crc32c(0, whole.data), snapshot->ahead_crc);
    return &whole;
}

/* Replays what is durable of a group into a new process, as a driver that compacted nothing would.
 */
static void recover_group(uint32_t index, uint64_t group)
{
    struct edge_input edge_input = {.type = EDGE_IN_LOG_RECOVER};
    struct edge_log log = {0};
    struct edge_log_entry *entries = mn_alloc(100000 * sizeof *entries);
    struct mn_writer ahead = {0};
    uint64_t first = 1;

    MN_LIST_FOR_EACH (item, &world_hosts[index].log) {
        const struct edge_log *piece = &MN_CONTAINER(item, struct written, list)->log;
        const struct edge_log_snapshot *snapshot = log.snapshot;
        uint32_t count = piece->is_reset ? 0 : log.entries_count;
        if (piece->group != group) continue;
        if (piece->is_first) mn_writer_drop(&ahead);
        if (piece->is_piece) {
            mn_writer_add(&ahead, piece->piece);
            continue;
        }
        if (piece->snapshot != NULL) snapshot = recover_snapshot(piece->snapshot, &ahead);
        log = *piece;
        if (log.is_end) log = (struct edge_log){0};
        if (log.group == 0) continue;
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
        world_step(index, &(struct state_input){.type = STATE_IN_LOG, .edge = &edge_input});
    mn_writer_drop(&ahead);
    saved = mn_buf_unref(saved);
    mn_free(entries);
}

void world_boot(uint32_t index)
{
    struct world_host *host = &world_hosts[index];
    struct state_config config = {.self = host->id, .writes_count = &host->writes};
    struct state_input start = {.type = STATE_IN_START};

    config.seed[0] = (uint8_t)index;
    config.seed[1] = (uint8_t)++boots;
    host->state = state_new(&config);
    host->is_member = true;
    host->since = world_now;
    for (uint64_t group = STATE_GROUP; group < STATE_GROUP + EPOCHS; group++)
        recover_group(index, group);
    start.start.is_founder = index == 0;
    start.start.is_old = host->is_old;
    world_step(index, &start);
}

static void written_free(struct written *written)
{
    mn_list_remove(&written->list);
    mn_arena_done(&written->arena);
    mn_free(written);
}

void world_kill(uint32_t index)
{
    struct state_input down = {.type = STATE_IN_DOWN, .down = world_hosts[index].id};

    state_free(world_hosts[index].state);
    world_hosts[index].state = NULL;
    world_hosts[index].since = world_now;
    MN_LIST_FOR_EACH_SAFE (item, &world_hosts[index].log) {
        struct written *written = MN_CONTAINER(item, struct written, list);
        if (written->at > world_now) written_free(written);
    }
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        world_step(i, &down);
}

void world_wipe(uint32_t index)
{
    MN_LIST_FOR_EACH_SAFE (item, &world_hosts[index].log)
        written_free(MN_CONTAINER(item, struct written, list));
}

static void deliver(void)
{
    MN_LIST_FOR_EACH_SAFE (item, &wire) {
        struct packet *packet = MN_CONTAINER(item, struct packet, list);
        struct state_input input = {.type = packet->is_group ? STATE_IN_PACKET : STATE_IN_MESSAGE};
        if (packet->at > world_now) return;
        mn_list_remove(&packet->list);
        input.message.from = world_hosts[packet->from].id;
        input.message.bytes = mn_buf_span(packet->buf);
        if (!world_cut[packet->from][packet->to]) world_step(packet->to, &input);
        mn_buf_unref(packet->buf);
        mn_free(packet);
        return;
    }
}

static void durable(uint32_t index)
{
    struct edge_input edge_input = {.type = EDGE_IN_LOG_DURABLE};

    MN_LIST_FOR_EACH (item, &world_hosts[index].log) {
        struct written *written = MN_CONTAINER(item, struct written, list);
        if (written->at == world_now) edge_input.id = written->write;
    }
    if (edge_input.id != 0)
        world_step(index, &(struct state_input){.type = STATE_IN_LOG, .edge = &edge_input});
}

void world_run(mn_time time)
{
    mn_time end = world_now + time;

    for (; world_now < end; world_now += MN_MS) {
        while (!mn_list_is_empty(&wire) &&
               MN_CONTAINER(wire.next, struct packet, list)->at <= world_now)
            deliver();
        for (uint32_t i = 0; i < WORLD_NODES; i++) {
            if (world_hosts[i].state == NULL) continue;
            durable(i);
            if (state_wants_nodes(world_hosts[i].state, now())) tell_nodes(i);
            if (state_deadline(world_hosts[i].state) <= world_now)
                world_step(i, &(struct state_input){.type = STATE_IN_TICK});
        }
    }
}

/* Asks and waits for the world_answer, which is in [world_answer]. */
mn_status world_ask(uint32_t index, struct state_request request)
{
    uint32_t before = answers;
    mn_time end;

    request.ticket = 77;
    if (request.timeout == 0) request.timeout = 5 * MN_SEC;
    end = world_now + 2 * request.timeout;
    world_step(index, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request});
    while (answers == before && world_now < end)
        world_run(MN_MS);
    ck_assert_uint_eq(answers, before + 1);
    ck_assert_uint_eq(world_answer.ticket, 77);
    return world_answer.status;
}

mn_status world_put(uint32_t index, const char *key, const char *value)
{
    return world_ask(index, (struct state_request){.type = STATE_COMMAND,
                                                   .command = {.verb = STRONG_PUT,
                                                               .key = mn_span_str(key),
                                                               .value = mn_span_str(value)}});
}

const char *world_get(uint32_t index, const char *key)
{
    mn_status status =
        world_ask(index, (struct state_request){.type = STATE_READ, .read.key = mn_span_str(key)});

    ck_assert_int_eq(status, MN_OK);
    return text;
}

uint32_t world_leader(void)
{
    struct raft_view view, best = {0};
    uint32_t found = WORLD_NODES;

    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world_hosts[i].state != NULL && state_view(world_hosts[i].state, &view) &&
            view.role == RAFT_LEADER && view.term > best.term) {
            best = view;
            found = i;
        }
    return found;
}

uint32_t world_voters(void)
{
    struct raft_view view;
    uint32_t count = 0;

    ck_assert_uint_lt(world_leader(), WORLD_NODES);
    ck_assert(state_view(world_hosts[world_leader()].state, &view));
    for (uint32_t i = 0; i < view.config->members_count; i++)
        count += view.config->members[i].weight > 0;
    return count;
}

bool world_votes(uint32_t index)
{
    struct raft_view view;

    ck_assert(state_view(world_hosts[world_leader()].state, &view));
    return quorum_is_voter(view.config, &world_hosts[index].id);
}

void world_setup(void)
{
    world_now = MN_SEC;
    mn_list_init(&wire);
    edge = (struct edge_outbox){.arena = mn_alloc(sizeof *edge.arena)};
    memset(world_cut, 0, sizeof world_cut);
    answers = 0;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        world_hosts[i] = (struct world_host){.sync = SYNC, .role = METADATA_AUTO};
        mn_list_init(&world_hosts[i].log);
        world_hosts[i].id.bytes[15] = (uint8_t)(i + 1);
    }
}

void world_teardown(void)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        state_free(world_hosts[i].state);
        world_wipe(i);
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

void world_boot_all(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        world_boot(i);
    world_run(10 * MN_SEC);
}
