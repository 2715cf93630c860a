/* Arbitrary asks and answers of two other nodes into one that keeps the strong keyspace, while it
 * has requests of its own under way. First byte: bit 0, does it found the group. Items then: u8
 * what (0: time passes, the size in ms; 1, 2: a message, 3, 4: a packet of the group from the other
 * nodes; 5: a request of this node), u16 size, bytes. */
#include <sodium.h>
#include <stdlib.h>

#include "node/state/state.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct state *state;
static struct mn_now now;
static struct mn_arena arena, edge_arena;
static uint64_t writes, tickets;

static void step(const struct state_input *input)
{
    struct edge_outbox edge = {.arena = &edge_arena};
    struct state_outbox outbox = {.arena = &arena, .edge = &edge};
    struct edge_input durable = {.type = EDGE_IN_LOG_DURABLE};

    state_step(state, now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        if (outbox.items[i].type == STATE_OUT_PACKET || outbox.items[i].type == STATE_OUT_MESSAGE)
            mn_buf_unref(outbox.items[i].send.buf);
    durable.id = writes;
    edge_outbox_reset(&edge);
    mn_arena_reset(&edge_arena);
    mn_arena_reset(&arena);
    state_check(state);
    if (input->type != STATE_IN_LOG && durable.id > 0)
        step(&(struct state_input){.type = STATE_IN_LOG, .edge = &durable});
}

static void ask(uint8_t kind, struct mn_span bytes)
{
    struct state_request request = {.ticket = ++tickets, .timeout = MN_SEC};
    struct state_input input = {.type = STATE_IN_REQUEST, .request = &request};

    request.type = kind % 2 == 0 ? STATE_READ : STATE_WATCH;
    request.read.key = request.watch.prefix =
        mn_span(bytes.data, bytes.size < 64 ? bytes.size : 64);
    request.read.is_list = kind % 4 == 2;
    request.read.limit = 1 + kind % STRONG_LIST_MAX;
    step(&input);
}

static void start(bool is_founder)
{
    struct state_config config = {.writes_count = &writes};
    struct state_input input = {.type = STATE_IN_START};

    now = (struct mn_now){MN_SEC, MN_SEC};
    writes = tickets = 0;
    config.self.bytes[15] = 1;
    input.start.is_founder = is_founder;
    state = state_new(&config);
    step(&input);
    for (uint32_t i = 0; i < 8; i++) {
        mn_time at = mn_time_min(state_deadline(state), now.mono + MN_SEC);
        if (at > now.mono) now.mono = at;
        step(&(struct state_input){.type = STATE_IN_TICK});
    }
}

static void happen(uint8_t what, struct mn_span bytes)
{
    struct state_input input = {.type = what > 2 ? STATE_IN_PACKET : STATE_IN_MESSAGE};

    if (what % 6 == 5) {
        ask(what / 6, bytes);
        return;
    }
    input.message.from.bytes[15] = (uint8_t)(2 + what % 2);
    input.message.bytes = bytes;
    step(&input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0 || size == 0) return 0;
    start(data[0] & 1);
    for (data++, size--; size >= 3;) {
        size_t length = (size_t)data[1] << 8 | data[2];
        uint8_t what = data[0];
        data += 3;
        size -= 3;
        if (what == 0) {
            now.mono += length * MN_MS;
            step(&(struct state_input){.type = STATE_IN_TICK});
            continue;
        }
        if (length > size) length = size;
        happen(what, mn_span(data, length));
        data += length;
        size -= length;
    }
    state_free(state);
    mn_arena_done(&arena);
    mn_arena_done(&edge_arena);
    return 0;
}
