/* crowd.c: many made-up keys that ask to be let in, without a token, at a real node: each is the
 * product's own core, but for the disk, and is gone soon after it was heard; then another one takes
 * its place. Prints how many were told to wait, and how many there was no room for.
 * usage: crowd ADDRESS KEYS PER_SECOND */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "node/core/core.h"
#include "node/io/loop.h"
#include "node/io/net.h"
#include "proto/base/check.h"

#define SLOTS 256
#define CONNS_MAX 16
#define LIFE (3 * MN_SEC)
#define TICK (20 * MN_MS)

struct slot {
    struct core *core; /* NULL: free */
    uint32_t generation;
    mn_time until;
    bool is_over; /* refused for good */
    bool was_heard;
    uint64_t conns[CONNS_MAX]; /* open, by the core's own numbers; 0: none */
};

struct crowd {
    const char *address;
    struct io *io;
    struct net *net;
    struct slot slots[SLOTS];
    uint64_t wanted, per_second, made, waiting, full, other;
    mn_time begin, tick_at;
};

/* A connection's number: even, as the core's; with it whose it is. */
static uint64_t conn_of(uint32_t slot, const struct slot *at, uint64_t conn)
{
    return (uint64_t)slot << 44 | (uint64_t)(at->generation & 0xffff) << 24 | conn;
}

static void slot_note(struct slot *slot, uint64_t conn, bool is_open)
{
    for (uint32_t i = 0; i < CONNS_MAX; i++) {
        if (slot->conns[i] != (is_open ? 0 : conn)) continue;
        slot->conns[i] = is_open ? conn : 0;
        return;
    }
}

static void slot_net(struct crowd *crowd, uint32_t number, enum edge_output_type type,
                     const struct core_output *from, struct edge_outbox *outbox)
{
    struct slot *slot = &crowd->slots[number];
    struct edge_output *output = edge_emit(outbox, type, conn_of(number, slot, from->net.conn));

    output->flag = from->net.flag;
    if (type == EDGE_OUT_NET_DIAL) {
        output->text = mn_arena_copy(outbox->arena, from->net.text);
        slot_note(slot, from->net.conn, true);
    }
    if (type == EDGE_OUT_NET_SEND) output->buf = from->net.buf;
    if (type == EDGE_OUT_NET_CLOSE) slot_note(slot, from->net.conn, false);
}

static void slot_step(struct crowd *crowd, uint32_t number, struct mn_now now,
                      const struct core_input *input, struct edge_outbox *outbox)
{
    struct slot *slot = &crowd->slots[number];
    struct mn_arena arena = {0};
    struct call_outbox calls = {.arena = &arena};
    struct core_outbox out = {.arena = &arena, .calls = &calls};
    uint64_t written = 0;

    core_step(slot->core, now, input, &out);
    for (uint32_t i = 0; i < out.count; i++) {
        const struct core_output *output = &out.items[i];
        if (output->type == CORE_OUT_NET_DIAL)
            slot_net(crowd, number, EDGE_OUT_NET_DIAL, output, outbox);
        else if (output->type == CORE_OUT_NET_SEND)
            slot_net(crowd, number, EDGE_OUT_NET_SEND, output, outbox);
        else if (output->type == CORE_OUT_NET_PAUSE)
            slot_net(crowd, number, EDGE_OUT_NET_PAUSE, output, outbox);
        else if (output->type == CORE_OUT_NET_CLOSE)
            slot_net(crowd, number, EDGE_OUT_NET_CLOSE, output, outbox);
        else if (output->type == CORE_OUT_WRITE)
            written = output->write.number;
        else if (output->type == CORE_OUT_FATAL)
            slot->is_over = true;
    }
    call_outbox_reset(&calls);
    mn_arena_done(&arena);
    if (written > 0) /* the disk of one that will not be missed */
        slot_step(crowd, number, now,
                  &(struct core_input){.type = CORE_IN_DURABLE, .durable = written}, outbox);
}

static void slot_start(struct crowd *crowd, uint32_t number, struct mn_now now,
                       struct edge_outbox *outbox)
{
    struct slot *slot = &crowd->slots[number];
    struct mn_span seed = mn_span_str(crowd->address);
    char name[32];
    struct core_config config = {.version = mn_span_str("0.1.0"),
                                 .role = MESHNODE__TRUST__ROLE__ROLE_AUTO,
                                 .seeds = &seed,
                                 .seeds_count = 1};

    snprintf(name, sizeof name, "crowd-%llu", (unsigned long long)crowd->made++);
    config.name = mn_span_str(name);
    randombytes_buf(config.identity_seed, sizeof config.identity_seed);
    randombytes_buf(config.seed, sizeof config.seed);
    *slot = (struct slot){.generation = slot->generation + 1, .until = now.mono + LIFE};
    slot->core = core_new(&config);
    slot_step(crowd, number, now, &(struct core_input){.type = CORE_IN_RECOVERED}, outbox);
}

static void slot_end(struct crowd *crowd, uint32_t number, struct edge_outbox *outbox)
{
    struct slot *slot = &crowd->slots[number];

    for (uint32_t i = 0; i < CONNS_MAX; i++)
        if (slot->conns[i] != 0)
            edge_emit(outbox, EDGE_OUT_NET_CLOSE, conn_of(number, slot, slot->conns[i]));
    core_free(slot->core);
    slot->core = NULL;
}

/* What it was told, once. */
static void slot_hear(struct crowd *crowd, struct slot *slot)
{
    admission_code code = core_self(slot->core).last_refusal;

    if (slot->was_heard || code == MESHNODE__TRUST__CODE__CODE_NONE) return;
    slot->was_heard = true;
    if (code == MESHNODE__TRUST__CODE__CODE_PENDING)
        crowd->waiting++;
    else if (code == MESHNODE__TRUST__CODE__CODE_PENDING_FULL)
        crowd->full++;
    else
        crowd->other++;
}

static void crowd_tick(struct crowd *crowd, struct mn_now now, struct edge_outbox *outbox)
{
    uint64_t due = (now.mono - crowd->begin) * crowd->per_second / MN_SEC;
    bool any = false;

    crowd->tick_at = now.mono + TICK;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &crowd->slots[i];
        if (slot->core != NULL && core_deadline(slot->core) <= now.mono)
            slot_step(crowd, i, now, &(struct core_input){.type = CORE_IN_TICK}, outbox);
        if (slot->core != NULL) slot_hear(crowd, slot);
        if (slot->core != NULL && (slot->is_over || now.mono >= slot->until))
            slot_end(crowd, i, outbox);
        if (slot->core == NULL && crowd->made < crowd->wanted && crowd->made < due)
            slot_start(crowd, i, now, outbox);
        any = any || slot->core != NULL;
    }
    if (!any && crowd->made >= crowd->wanted) io_stop(crowd->io);
}

static void crowd_step(void *owner, struct mn_now now, const struct edge_input *input,
                       struct edge_outbox *outbox)
{
    static const enum core_input_type types[] = {
        [EDGE_IN_NET_CONNECTED] = CORE_IN_NET_CONNECTED,
        [EDGE_IN_NET_BYTES] = CORE_IN_NET_BYTES,
        [EDGE_IN_NET_SENT] = CORE_IN_NET_SENT,
        [EDGE_IN_NET_CLOSED] = CORE_IN_NET_CLOSED,
    };
    struct crowd *crowd = owner;
    uint32_t number = (uint32_t)(input->id >> 44);
    struct slot *slot = &crowd->slots[number % SLOTS];
    struct core_input to = {.net = {.conn = input->id & 0xffffff,
                                    .status = input->status,
                                    .bytes = input->bytes,
                                    .text = input->text}};

    if (input->type == EDGE_IN_TICK) {
        crowd_tick(crowd, now, outbox);
        return;
    }
    if ((size_t)input->type >= sizeof types / sizeof *types || types[input->type] == 0) return;
    if (slot->core == NULL || (input->id >> 24 & 0xffff) != (slot->generation & 0xffff)) return;
    to.type = types[input->type];
    if (input->type == EDGE_IN_NET_CLOSED) slot_note(slot, to.net.conn, false);
    slot_step(crowd, number, now, &to, outbox);
}

static mn_time crowd_deadline(void *owner)
{
    return ((struct crowd *)owner)->tick_at;
}

static void crowd_carry_out(void *owner, const struct edge_output *output)
{
    net_do(((struct crowd *)owner)->net, output);
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    const struct io_config io = {&crowd, crowd_step, crowd_deadline, crowd_carry_out, NULL, NULL};
    const struct net_config net = {.accepted_max = 1};

    if (argc != 4 || sodium_init() < 0) {
        fprintf(stderr, "usage: %s ADDRESS KEYS PER_SECOND\n", argv[0]);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    crowd.address = argv[1];
    crowd.wanted = strtoull(argv[2], NULL, 10);
    crowd.per_second = strtoull(argv[3], NULL, 10);
    crowd.io = io_new(&io);
    crowd.net = net_new(crowd.io, &net);
    crowd.begin = io_now(crowd.io).mono;
    io_run(crowd.io);
    printf("{\"keys\":%llu,\"waiting\":%llu,\"full\":%llu,\"other\":%llu}\n",
           (unsigned long long)crowd.made, (unsigned long long)crowd.waiting,
           (unsigned long long)crowd.full, (unsigned long long)crowd.other);
    net_close(crowd.net);
    io_free(crowd.io);
    return EXIT_SUCCESS;
}
