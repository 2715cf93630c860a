/* bench_groups: many consensus groups on three nodes in one process, on one core, in memory: what
 * they cost at rest and at work, without sockets, disk and encryption; disk writes are durable in
 * the same round. usage: bench_groups */
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consensus/groups.h"
#include "proto/base/check.h"

#define NODES 3u
#define ROUNDS_SECONDS 2.0

struct packet {
    uint32_t from, to;
    struct mn_buf *buf;
};

struct node {
    struct groups *groups;
    uint64_t writes, durable, applied, logs, packets, bytes;
};

static struct node nodes[NODES];
static struct packet *queue;
static uint32_t queue_count, queue_capacity;
static mn_time mono;
static struct mn_arena arena;
static uint64_t snapshots;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static mn_id id_of(uint32_t n)
{
    mn_id id = {{0}};
    id.bytes[15] = (uint8_t)(n + 1);
    return id;
}

static void step(uint32_t n, const struct groups_input *input);

static void give(uint32_t n, uint64_t group, const struct raft_input *input)
{
    struct groups_input groups_input = {.type = GROUPS_IN_RAFT};
    groups_input.raft.group = group;
    groups_input.raft.input = input;
    step(n, &groups_input);
}

static void push(uint32_t n, const struct groups_output *output)
{
    if (queue_count == queue_capacity) {
        queue_capacity = queue_capacity == 0 ? 64 : 2 * queue_capacity;
        queue = mn_realloc(queue, queue_capacity * sizeof *queue);
    }
    queue[queue_count++] =
        (struct packet){n, output->send.to.bytes[15] - 1u, mn_buf_ref(output->send.packet)};
    nodes[n].packets++;
    nodes[n].bytes += output->send.packet->size;
}

static void step(uint32_t n, const struct groups_input *input)
{
    struct mn_arena own = {0}, *use = arena.chunk == NULL && arena.used == 0 ? &arena : &own;
    struct groups_outbox outbox = {.arena = use};
    struct node *node = &nodes[n];

    groups_step(node->groups, (struct mn_now){mono, mono}, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct groups_output *output = &outbox.items[i];
        if (output->type == GROUPS_OUT_SEND) push(n, output);
        if (output->type == GROUPS_OUT_LOG) node->logs++;
        if (output->type != GROUPS_OUT_RAFT) continue;
        if (output->raft->type == RAFT_OUT_APPLY)
            node->applied += output->raft->apply.entries_count;
        if (output->raft->type == RAFT_OUT_SNAPSHOT_WANTED) {
            struct raft_input snapshot = {.type = RAFT_IN_SNAPSHOT};
            snapshot.snapshot.index = raft_view(groups_raft(node->groups, output->group)).commit;
            snapshot.snapshot.data = mn_buf_copy(mn_span_str("state"));
            give(n, output->group, &snapshot);
            mn_buf_unref(snapshot.snapshot.data);
            snapshots++;
        }
    }
    groups_outbox_reset(&outbox);
    mn_arena_done(use);
}

/* Everything that is on its way arrives, and everything written is durable. */
static void settle(void)
{
    bool has_more = true;

    while (has_more) {
        struct packet *taken = queue;
        uint32_t count = queue_count;
        queue = NULL;
        queue_count = queue_capacity = 0;
        has_more = count > 0;
        for (uint32_t i = 0; i < count; i++) {
            struct groups_input input = {.type = GROUPS_IN_PACKET};
            input.packet.from = id_of(taken[i].from);
            input.packet.bytes = mn_buf_span(taken[i].buf);
            step(taken[i].to, &input);
            mn_buf_unref(taken[i].buf);
        }
        mn_free(taken);
        for (uint32_t n = 0; n < NODES; n++) {
            struct groups_input input = {.type = GROUPS_IN_DURABLE};
            input.durable.write = nodes[n].writes;
            if (nodes[n].durable == nodes[n].writes) continue;
            nodes[n].durable = nodes[n].writes;
            step(n, &input);
            has_more = true;
        }
    }
}

static void run(mn_time time)
{
    mn_time end = mono + time;

    while (mono < end) {
        mn_time at = end;
        for (uint32_t n = 0; n < NODES; n++)
            at = mn_time_min(at, groups_deadline(nodes[n].groups));
        if (at > mono) mono = at;
        for (uint32_t n = 0; n < NODES; n++)
            if (groups_deadline(nodes[n].groups) <= mono)
                step(n, &(struct groups_input){.type = GROUPS_IN_TICK});
        settle();
    }
}

static void start(uint32_t groups_count, bool has_rest)
{
    struct raft_recovered first = {.snapshot.config.members_count = NODES};

    for (uint32_t i = 0; i < NODES; i++) {
        first.snapshot.config.members[i].id = id_of(i);
        first.snapshot.config.members[i].weight = 1;
    }
    memset(nodes, 0, sizeof nodes);
    for (uint32_t n = 0; n < NODES; n++) {
        struct groups_config config = groups_config_default();
        config.raft.self = id_of(n);
        config.raft.seed[0] = (uint8_t)(n + 1);
        config.has_rest = has_rest;
        config.writes_count = &nodes[n].writes;
        if (groups_new(&config, (struct mn_now){mono, mono}, &nodes[n].groups) != MN_OK) exit(1);
        for (uint64_t g = 1; g <= groups_count; g++)
            if (groups_open(nodes[n].groups, (struct mn_now){mono, mono}, g, &first) != MN_OK)
                exit(1);
    }
}

static int leader_of(uint64_t group)
{
    for (uint32_t n = 0; n < NODES; n++)
        if (raft_view(groups_raft(nodes[n].groups, group)).role == RAFT_LEADER) return (int)n;
    return -1;
}

/* CPU of all three nodes, in permille of one core. */
static double idle(mn_time time)
{
    double begin = seconds();
    run(time);
    return (seconds() - begin) * 1e6 / (double)time * 1000;
}

static void propose(uint64_t group, struct mn_buf *data)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};
    int leader = leader_of(group);

    if (leader < 0) return;
    input.propose.data = data;
    give((uint32_t)leader, group, &input);
}

static void work(uint32_t groups_count, uint32_t batch)
{
    struct mn_buf *data = mn_buf_new(256);
    uint64_t before = nodes[0].applied, logs = nodes[0].logs, proposed = 0, group = 0;
    double begin = seconds(), took;

    memset(data->bytes, 7, 256);
    do {
        for (uint32_t i = 0; i < batch; i++, proposed++)
            propose(1 + group++ % groups_count, data);
        run(MN_MS); /* a tick sends them off; heartbeats in between are part of the cost */
    } while ((took = seconds() - begin) < ROUNDS_SECONDS);
    run(MN_SEC);
    printf("  %u proposals a round: %.0f/s on one core for all three nodes, %.2f us each, "
           "%.2f writes each; %llu of %llu applied at node 1\n",
           batch, (double)proposed / took, took * 1e6 / (double)proposed,
           (double)(nodes[0].logs - logs) / (double)proposed,
           (unsigned long long)(nodes[0].applied - before), (unsigned long long)proposed);
    mn_buf_unref(data);
}

static void bench(uint32_t groups_count)
{
    size_t before = mallinfo2().uordblks;
    double resting, active;

    start(groups_count, true);
    run(10 * MN_SEC);
    printf("%u groups: %.1f KB of memory per group and node\n", groups_count,
           (double)(mallinfo2().uordblks - before) / 1024 / NODES / groups_count);
    nodes[0].packets = nodes[0].bytes = 0;
    resting = idle(10 * MN_SEC);
    printf("  at rest (%u of %u): %.2f permille of a core per node, %.1f packets/s, %.0f bytes/s\n",
           groups_stats(nodes[0].groups).resting_count, groups_count, resting / NODES,
           (double)nodes[0].packets / 10, (double)nodes[0].bytes / 10);
    work(groups_count, 1);
    work(groups_count, 64);
    work(groups_count, 1024);
    for (uint32_t n = 0; n < NODES; n++)
        groups_free(nodes[n].groups);
    start(groups_count, false);
    run(5 * MN_SEC);
    active = idle(5 * MN_SEC);
    printf("  the same without rest: %.2f permille of a core per node\n", active / NODES);
    for (uint32_t n = 0; n < NODES; n++)
        groups_free(nodes[n].groups);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
    mono = MN_SEC;
    bench(1);
    bench(100);
    bench(1000);
    return 0;
}
