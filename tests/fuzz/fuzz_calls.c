/* Arbitrary messages, events and links, in any order, into a core of calls. Each command is a byte
 * that says what, one that says about whom, a size, and so many bytes. */
#include <stdlib.h>

#include "node/core/calls.h"
#include "node/core/callwire.h"
#include "proto/base/check.h"

static struct mn_arena arena;
static struct services *services;
static struct calls *calls;
static struct mn_now now;

static void step(const struct calls_input *input)
{
    struct call_outbox gateway = {.arena = &arena};
    struct calls_outbox outbox = {.arena = &arena, .gateway = &gateway};

    calls_step(calls, now, input, &outbox);
    calls_check(calls);
    for (uint32_t i = 0; i < outbox.count; i++) {
        struct callwire message; /* whatever we send, we would understand */
        struct mn_writer bytes = {0};
        mn_writer_add(&bytes, outbox.items[i].head);
        mn_writer_add(&bytes, mn_buf_span(outbox.items[i].payload));
        MN_ASSERT(callwire_decode(mn_buf_span(bytes.buf), &arena, &message) == MN_OK);
        mn_writer_drop(&bytes);
        mn_buf_unref(outbox.items[i].payload);
    }
    call_outbox_reset(&gateway);
    mn_arena_reset(&arena);
}

static void step_gateway(struct call_message *message)
{
    step(&(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = message});
}

static void request(struct mn_span bytes, bool is_idempotent)
{
    static uint64_t ticket;
    struct call_message message = {.type = CALL_MESSAGE_REQUEST};

    message.request = (struct call_request){.ticket = ++ticket,
                                            .service = bytes,
                                            .payload = mn_buf_copy(bytes),
                                            .timeout = MN_SEC,
                                            .timeout_total = 3 * MN_SEC,
                                            .is_idempotent = is_idempotent,
                                            .trace = bytes};
    step_gateway(&message);
    mn_buf_unref(message.request.payload);
}

static void event(uint8_t about, struct mn_span bytes)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT};

    message.event.ticket = about >> 2;
    message.event.kind = (enum call_event_kind)(CALL_EVENT_PROGRESS + about % 3);
    if (message.event.kind == CALL_EVENT_FAILED) {
        message.event.failure = (enum call_failure)(CALL_NOT_FOUND + bytes.size % 7);
        message.event.text = bytes;
    } else {
        message.event.payload = mn_buf_copy(bytes);
    }
    step_gateway(&message);
    mn_buf_unref(message.event.payload);
}

static void command(uint8_t what, uint8_t about, struct mn_span bytes)
{
    struct calls_input input = {.node = {{(uint8_t)(1 + about % 3)}}};
    struct call_message cancel = {.type = CALL_MESSAGE_CANCEL, .ticket = about};

    switch (what % 9) {
    case 0: input.type = CALLS_IN_LINK_UP; break;
    case 1: input.type = CALLS_IN_LINK_DOWN; break;
    case 2:
        input.type = CALLS_IN_MESSAGE;
        input.message.bytes = bytes;
        break;
    case 3:
        input.type = CALLS_IN_UNSENT;
        input.tag = about;
        break;
    case 4: request(bytes, about % 2 == 0); return;
    case 5: event(about, bytes); return;
    case 6: step_gateway(&cancel); return;
    case 7:
        now.mono += about * 10 * MN_MS;
        input.type = CALLS_IN_TICK;
        break;
    default: input.type = CALLS_IN_FORGET; break;
    }
    step(&input);
}

static void setup(void)
{
    struct calls_config config = calls_config_default();

    services = services_new(NULL);
    for (uint8_t i = 0; i < 3; i++) {
        const struct catalog_offer offer = {.name = mn_span_str("files"),
                                            .replica_key = {1},
                                            .body = mn_buf_copy(mn_span_str("x"))};
        mn_id node = {{i}};
        char name[] = {'n', (char)('0' + i)};
        services_set(services, &node, mn_span(name, 2), &offer, 1);
        mn_buf_unref(offer.body);
    }
    config.services = services;
    config.concurrent_max = 2;
    config.queued_max = 2;
    config.calls_max = config.served_max = config.served_peer_max = 6;
    calls = calls_new(&config);
    now = (struct mn_now){MN_SEC, 0};
    step(&(struct calls_input){.type = CALLS_IN_START, .epoch = 1});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setup();
    while (size >= 3) {
        size_t taken = data[2] < size - 3 ? data[2] : size - 3;
        command(data[0], data[1], mn_span(data + 3, taken));
        data += 3 + taken;
        size -= 3 + taken;
    }
    calls_free(calls);
    services_free(services);
    mn_arena_done(&arena);
    return 0;
}
