/* Any bytes as messages of other nodes about records, between puts, questions, ends and time. The
 * input is a list of items as in a frame; after each step the core checks its invariants. */
#include <stdlib.h>

#include "node/mcp/records/records.h"
#include "proto/base/check.h"
#include "proto/frame.h"

#define NODES 5u

enum move {
    MOVE_PUT = 0xe0, /* which, then the body */
    MOVE_ASK,
    MOVE_END,
    MOVE_RELEASE,
    MOVE_NODES, /* a bit for each */
    MOVE_TIME,  /* u8 x 100 ms; above 200: minutes */
    MOVE_KEPT,  /* which, then what the store had under its key */
    MOVE_RELAY  /* which, then the word */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t byte_at(struct mn_span bytes, size_t index)
{
    return index < bytes.size ? bytes.data[index] : 0;
}

static void step(struct records *records, struct mn_now now, const struct records_input *input)
{
    struct mn_arena arena = {0};
    struct records_outbox out = {.arena = &arena};

    records_step(records, now, input, &out);
    records_check(records);
    for (uint32_t i = 0; i < out.count; i++)
        if (out.items[i].type == RECORDS_OUT_SEND) mn_buf_unref(out.items[i].buf);
    MN_ASSERT(records_deadline(records) > now.mono);
    mn_arena_done(&arena);
}

/* What an item says; false: only that time passes. */
static bool read_move(const struct frame_item *item, mn_id nodes[NODES], struct records_input *ret)
{
    uint8_t which = byte_at(item->bytes, 0);

    *ret = (struct records_input){.type = RECORDS_IN_TICK};
    ret->key.bytes[0] = which & 3;
    switch ((uint32_t)item->kind) {
    case MOVE_PUT:
        ret->type = RECORDS_IN_PUT;
        ret->put = item->bytes.size < 2 ? mn_span_str("x")
                                        : mn_span(item->bytes.data + 1, item->bytes.size - 1);
        return ret->put.size <= RECORDS_BODY_MAX;
    case MOVE_ASK: ret->type = RECORDS_IN_ASK; return true;
    case MOVE_END: ret->type = RECORDS_IN_END; return true;
    case MOVE_RELEASE: ret->type = RECORDS_IN_RELEASE; return true;
    case MOVE_NODES:
        ret->type = RECORDS_IN_NODES;
        ret->nodes.items = nodes;
        for (uint32_t i = 0; i < NODES; i++)
            if ((which >> i & 1) != 0) nodes[ret->nodes.count++].bytes[0] = (uint8_t)(i + 1);
        return true;
    case MOVE_TIME: return false;
    case MOVE_KEPT:
        ret->type = RECORDS_IN_KEPT;
        if (item->bytes.size > 0) ret->kept = mn_span(item->bytes.data + 1, item->bytes.size - 1);
        return true;
    case MOVE_RELAY:
        ret->type = RECORDS_IN_RELAY;
        if (item->bytes.size > 0)
            ret->relay.message = mn_span(item->bytes.data + 1, item->bytes.size - 1);
        return ret->relay.message.size <= RECORDS_RELAY_MAX;
    default:
        ret->type = RECORDS_IN_MESSAGE;
        ret->message.from.bytes[0] = (uint8_t)((uint32_t)item->kind % NODES + 1);
        ret->message.bytes = item->bytes;
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[RNG_SEED_SIZE] = {1};
    struct records_config config = {.self = {{9}}, .seed = seed};
    struct records *records = records_new(&config);
    struct mn_now now = {.mono = MN_SEC, .wall = MN_SEC};
    struct mn_span rest = mn_span(data, size);
    struct frame_item item;

    for (unsigned i = 0; i < 256 && frame_take_item(&rest, &item) == MN_OK; i++) {
        mn_id nodes[NODES] = {{{0}}};
        struct records_input input;
        uint8_t time = byte_at(item.bytes, 0);
        if (read_move(&item, nodes, &input)) {
            step(records, now, &input);
            continue;
        }
        now.mono += time > 200 ? (time - 200u) * MN_MINUTE : time * 100 * MN_MS;
        step(records, now, &input);
    }
    records_free(records);
    return 0;
}
