/* Three nodes of a group, and messages of theirs in any order, twice, late, never, and bent. The
 * input is a list of two bytes: what happens, and to whom or which. Whatever comes in, no assertion
 * fails; and while nothing was bent, no two nodes apply different things at one index. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/raft.h"
#include "consensus/raft_wire.h"
#include "proto/base/bytes.h"
#include "proto/base/check.h"

#define NODES 3u
#define WAITING_MAX 64u
#define INDEX_MAX 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct node {
    struct raft *raft;
    struct raft_persist durable; /* what a completion will name; write 0: none is due */
    uint64_t applied;
};

static struct node nodes[NODES];
static struct mn_buf *waiting[WAITING_MAX]; /* messages on the wire */
static uint32_t waiting_count;
static uint64_t hashes[INDEX_MAX]; /* of what was applied first */
static bool is_bent;
static struct mn_now now;
static struct mn_arena arena;

static mn_id id_of(uint32_t n)
{
    mn_id id = {{0}};

    id.bytes[15] = (uint8_t)(n + 1);
    return id;
}

static void put(struct mn_buf *buf)
{
    if (waiting_count == WAITING_MAX) { /* the oldest is lost */
        mn_buf_unref(waiting[0]);
        memmove(waiting, waiting + 1, --waiting_count * sizeof *waiting);
    }
    waiting[waiting_count++] = buf;
}

static void apply(struct node *node, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->apply.entries_count; i++) {
        const struct raft_entry *entry = &out->apply.entries[i];
        uint64_t hash = entry->term * 31 + (uint64_t)entry->kind + 1;
        for (size_t k = 0; k < entry->data.size; k++)
            hash = hash * 0x100000001b3U ^ entry->data.data[k];
        if (!is_bent && node->applied != 0) MN_ASSERT(entry->index == node->applied + 1);
        node->applied = entry->index;
        if (is_bent || entry->index >= INDEX_MAX) continue;
        if (hashes[entry->index] == 0) hashes[entry->index] = hash;
        MN_ASSERT(hashes[entry->index] == hash);
    }
}

static void step(struct node *node, const struct raft_input *input)
{
    struct raft_outbox outbox = {.arena = &arena};
    struct raft_input snapshot = {.type = RAFT_IN_SNAPSHOT};
    bool wants_snapshot = false;

    raft_step(node->raft, now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct raft_output *out = &outbox.items[i];
        switch (out->type) {
        case RAFT_OUT_PERSIST:
            node->durable.write = out->persist.write;
            node->durable.mark = out->persist.mark;
            break;
        case RAFT_OUT_SEND: put(raft_msg_encode(&out->msg)); break;
        case RAFT_OUT_APPLY: apply(node, out); break;
        case RAFT_OUT_RESTORE: node->applied = out->restore->index; break;
        case RAFT_OUT_SNAPSHOT_WANTED: wants_snapshot = true; break;
        case RAFT_OUT_ACCEPTED:
        case RAFT_OUT_REFUSED:
        case RAFT_OUT_READ:
        case RAFT_OUT_ROLE: break;
        }
    }
    mn_arena_reset(&arena);
    raft_check(node->raft);
    if (!wants_snapshot) return;
    snapshot.snapshot.index = node->applied;
    snapshot.snapshot.data = mn_buf_copy(mn_span_str("a state"));
    step(node, &snapshot);
    mn_buf_unref(snapshot.snapshot.data);
}

/* The disk works at once, before a message of that step can arrive: what must be durable first is
 * raftsim's to watch. */
static void sync(struct node *node)
{
    struct raft_input input = {.type = RAFT_IN_PERSISTED};

    if (node->durable.write == 0) return;
    input.persisted.write = node->durable.write;
    input.persisted.mark = node->durable.mark;
    node->durable.write = 0;
    step(node, &input);
}

/* Delivers the [which]th message; keeps it on the wire too if it [stays]. */
static void deliver(uint32_t which, bool stays)
{
    struct raft_msg msg;
    struct mn_buf *buf;
    uint32_t to;

    if (waiting_count == 0) return;
    which %= waiting_count;
    buf = mn_buf_ref(waiting[which]);
    if (!stays) {
        mn_buf_unref(waiting[which]);
        memmove(waiting + which, waiting + which + 1, (--waiting_count - which) * sizeof *waiting);
    }
    if (raft_msg_decode(mn_buf_span(buf), &arena, &msg) == MN_OK) {
        to = msg.to.bytes[15] - 1u;
        if (to < NODES)
            step(&nodes[to], &(struct raft_input){.type = RAFT_IN_MESSAGE, .msg = &msg});
        if (to < NODES) sync(&nodes[to]);
    }
    mn_arena_reset(&arena);
    mn_buf_unref(buf);
}

/* One byte of a message becomes another one. */
static void bend(uint8_t which, uint8_t place, uint8_t value)
{
    struct mn_buf *buf;

    if (waiting_count == 0) return;
    which %= (uint8_t)waiting_count;
    buf = mn_buf_copy(mn_buf_span(waiting[which]));
    if (buf->size > 0) buf->bytes[place % buf->size] = value;
    mn_buf_unref(waiting[which]);
    waiting[which] = buf;
    is_bent = true;
}

static void propose(struct node *node, uint8_t value)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};

    input.propose.data = mn_buf_copy(mn_span(&value, 1));
    step(node, &input);
    mn_buf_unref(input.propose.data);
}

static void configure(struct node *node, uint8_t value)
{
    struct quorum_config wanted = {.members_count = NODES};
    struct raft_input input = {.type = RAFT_IN_CONFIGURE, .configure.config = &wanted};

    for (uint32_t i = 0; i < NODES; i++) {
        wanted.members[i].id = id_of(i);
        wanted.members[i].weight = 1 + ((uint32_t)value >> (2 * i) & 3);
    }
    step(node, &input);
}

static void happen(uint8_t what, uint8_t detail)
{
    struct node *node = &nodes[detail % NODES];
    struct raft_input tick = {.type = RAFT_IN_TICK}, read = {.type = RAFT_IN_READ},
                      transfer = {.type = RAFT_IN_TRANSFER}, gone = {.type = RAFT_IN_UNREACHABLE};

    switch (what % 8) {
    case 0:
    case 1: deliver(detail, false); break;
    case 2: deliver(detail, true); break;
    case 3:
        now.mono += (mn_time)(1 + what / 8) * 10 * MN_MS;
        step(node, &tick);
        break;
    case 4: propose(node, what); break;
    case 5: bend(detail, what, (uint8_t)(detail * 31 + what)); break;
    case 6: configure(node, what); break;
    default:
        gone.unreachable.node = id_of(what / 8 % NODES);
        read.read.request = (uint64_t)now.mono;
        step(node, what / 64 == 0 ? &transfer : what / 64 == 1 ? &gone : &read);
        break;
    }
    for (uint32_t i = 0; i < NODES; i++)
        sync(&nodes[i]);
}

static void start(void)
{
    struct raft_config config = raft_config_default();
    struct raft_recovered recovered = {.snapshot.config.members_count = NODES};

    now = (struct mn_now){MN_SEC, MN_SEC};
    is_bent = false;
    memset(hashes, 0, sizeof hashes);
    config.compact_entries = 4;
    config.keep_entries = 1;
    config.message_size = 64;
    for (uint32_t i = 0; i < NODES; i++) {
        recovered.snapshot.config.members[i].id = id_of(i);
        recovered.snapshot.config.members[i].weight = 1 + i % 2;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i] = (struct node){0};
        config.self = id_of(i);
        config.seed[0] = (uint8_t)i;
        MN_ASSERT(raft_new(&config, &recovered, now, &nodes[i].raft) == MN_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0) return 0;
    start();
    for (; size >= 2; data += 2, size -= 2)
        happen(data[0], data[1]);
    while (waiting_count > 0)
        mn_buf_unref(waiting[--waiting_count]);
    for (uint32_t i = 0; i < NODES; i++)
        raft_free(nodes[i].raft);
    mn_arena_done(&arena);
    return 0;
}
