#include "tests/core/calls_world.h"

#include <check.h>
#include <string.h>

struct services *services[NODES];
struct calls *calls[NODES];
mn_id ids[NODES];
struct mn_now now;
uint64_t ticket_last;
bool linked[NODES][NODES];
enum world_net net;
struct letter letters[TOLD_MAX];
uint32_t letters_read, letters_written;
struct told told[NODES][TOLD_MAX];
uint32_t told_read[NODES], told_written[NODES];

static struct mn_arena arenas[NODES];

static void copy_text(char *to, size_t size, struct mn_span text)
{
    size_t length = text.size < size - 1 ? text.size : size - 1;
    if (length > 0) memcpy(to, text.data, length);
    to[length] = '\0';
}

static void tell(uint32_t node, const struct call_message *message)
{
    struct told *item = &told[node][told_written[node]++];

    ck_assert_uint_lt(told_written[node], TOLD_MAX);
    *item = (struct told){.type = message->type, .is_lost = message->is_lost};
    switch (message->type) {
    case CALL_MESSAGE_REQUEST:
        item->ticket = message->request.ticket;
        item->timeout_total = message->request.timeout_total;
        copy_text(item->service, sizeof item->service, message->request.service);
        copy_text(item->payload, sizeof item->payload, mn_buf_span(message->request.payload));
        copy_text(item->trace, sizeof item->trace, message->request.trace);
        return;
    case CALL_MESSAGE_CANCEL: item->ticket = message->ticket; return;
    case CALL_MESSAGE_INPUT:
        item->ticket = message->more.ticket;
        copy_text(item->payload, sizeof item->payload, mn_buf_span(message->more.payload));
        return;
    case CALL_MESSAGE_EVENT:
        item->ticket = message->event.ticket;
        item->kind = message->event.kind;
        item->failure = message->event.failure;
        item->node = message->event.node;
        copy_text(item->payload, sizeof item->payload, mn_buf_span(message->event.payload));
        copy_text(item->text, sizeof item->text, message->event.text);
        return;
    case CALL_MESSAGE_OFFER:
    case CALL_MESSAGE_SERVICE: ck_abort_msg("calls do not say that");
    }
}

static uint32_t index_of(const mn_id *node)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (mn_id_equal(&ids[i], node)) return i;
    ck_abort_msg("a node of the test");
    return 0;
}

void step(uint32_t node, const struct calls_input *input)
{
    struct call_outbox gateway = {.arena = &arenas[node]};
    struct calls_outbox outbox = {.arena = &arenas[node], .gateway = &gateway};

    calls_step(calls[node], now, input, &outbox);
    calls_check(calls[node]);
    for (uint32_t i = 0; i < outbox.count; i++) {
        struct mn_writer bytes = {0};
        ck_assert_uint_lt(letters_written, TOLD_MAX);
        mn_writer_add(&bytes, outbox.items[i].head);
        mn_writer_add(&bytes, mn_buf_span(outbox.items[i].payload));
        mn_buf_unref(outbox.items[i].payload);
        letters[letters_written++] =
            (struct letter){node, index_of(&outbox.items[i].to), outbox.items[i].tag,
                            mn_writer_done(&bytes), outbox.items[i].is_chatty};
    }
    for (uint32_t i = 0; i < gateway.count; i++)
        tell(node, &gateway.items[i]);
    call_outbox_reset(&gateway);
    mn_arena_reset(&arenas[node]);
}

void deliver(void)
{
    while (net != NET_KEEPS && letters_read < letters_written) {
        struct letter letter = letters[letters_read++];
        struct calls_input input = {.type = CALLS_IN_MESSAGE,
                                    .node = ids[letter.from],
                                    .message = {mn_buf_span(letter.buf), NULL}};
        if (net != NET_DOUBLES) input.message.whole = letter.buf;
        if (linked[letter.from][letter.to]) {
            step(letter.to, &input);
            if (net == NET_DOUBLES) step(letter.to, &input);
        }
        mn_buf_unref(letter.buf);
    }
}

void run(mn_time time)
{
    mn_time end = now.mono + time;

    for (;;) {
        mn_time next = end;
        deliver();
        for (uint32_t i = 0; i < NODES; i++)
            next = mn_time_min(next, calls_deadline(calls[i]));
        if (next > now.mono) now.mono = next;
        if (next >= end) break;
        for (uint32_t i = 0; i < NODES; i++)
            step(i, &(struct calls_input){.type = CALLS_IN_TICK});
    }
    deliver();
}

void link_set(uint32_t a, uint32_t b, bool is_up)
{
    struct calls_input input = {.type = is_up ? CALLS_IN_LINK_UP : CALLS_IN_LINK_DOWN};

    linked[a][b] = linked[b][a] = is_up;
    input.node = ids[b];
    step(a, &input);
    input.node = ids[a];
    step(b, &input);
}

void offer_as(uint32_t node, const char *name, char body, uint8_t key)
{
    static const char *const names[NODES] = {"n0", "n1", "n2"};
    struct catalog_offer one = {
        .name = mn_span_str(name), .hash = {(uint8_t)body}, .replica_key = {key}};

    one.body = mn_buf_copy(mn_span(&body, 1));
    for (uint32_t i = 0; i < NODES; i++)
        services_set(services[i], &ids[node], mn_span_str(names[node]), &one, 1);
    mn_buf_unref(one.body);
}

void offer(uint32_t node, const char *name, char body)
{
    offer_as(node, name, body, 1);
}

void create(uint32_t node, uint64_t epoch)
{
    struct calls_config config = calls_config_default();

    config.self = ids[node];
    config.services = services[node];
    config.seed[0] = (uint8_t)node;
    config.calls_max = 40;
    config.served_max = 20;
    config.served_peer_max = 10;
    config.concurrent_max = 4;
    config.queued_max = 8;
    calls_free(calls[node]);
    calls[node] = calls_new(&config);
    step(node, &(struct calls_input){.type = CALLS_IN_START, .epoch = epoch});
}

void world_setup(void)
{
    now = (struct mn_now){100 * MN_SEC, 0};
    net = NET_CARRIES;
    ticket_last = 0;
    for (uint8_t i = 0; i < NODES; i++) {
        ids[i] = (mn_id){{(uint8_t)(i + 1)}};
        services[i] = services_new(NULL);
        told_read[i] = told_written[i] = 0;
    }
    for (uint32_t i = 0; i < NODES; i++)
        create(i, 5);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < i; j++)
            link_set(i, j, true);
}

void world_teardown(void)
{
    while (letters_read < letters_written)
        mn_buf_unref(letters[letters_read++].buf);
    letters_read = letters_written = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        calls_free(calls[i]);
        calls[i] = NULL;
        services_free(services[i]);
        mn_arena_done(&arenas[i]);
    }
}

/* ---- the gateways ---- */

uint64_t request_with(uint32_t node, struct call_request request)
{
    struct call_message message = {.type = CALL_MESSAGE_REQUEST, .request = request};

    message.request.ticket = ++ticket_last;
    if (message.request.payload == NULL) message.request.payload = mn_buf_copy(mn_span_str("ask"));
    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
    mn_buf_unref(message.request.payload);
    return ticket_last;
}

uint64_t request(uint32_t node, const char *service)
{
    return request_with(node, (struct call_request){.service = mn_span_str(service),
                                                    .timeout = 10 * MN_SEC,
                                                    .timeout_total = MN_MINUTE});
}

uint64_t request_idempotent(uint32_t node, const char *service)
{
    return request_with(node, (struct call_request){.service = mn_span_str(service),
                                                    .timeout = 10 * MN_SEC,
                                                    .timeout_total = MN_MINUTE,
                                                    .is_idempotent = true});
}

void cancel(uint32_t node, uint64_t ticket)
{
    struct call_message message = {.type = CALL_MESSAGE_CANCEL, .ticket = ticket};
    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
}

void say(uint32_t node, uint64_t ticket, const char *text)
{
    struct call_message message = {.type = CALL_MESSAGE_INPUT,
                                   .more = {ticket, mn_buf_copy(mn_span_str(text))}};

    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
    mn_buf_unref(message.more.payload);
    deliver();
}

void answer(uint32_t node, uint64_t ticket, enum call_event_kind kind, const char *payload,
            enum call_failure failure)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT,
                                   .event = {.ticket = ticket, .kind = kind, .failure = failure}};

    if (kind == CALL_EVENT_FAILED)
        message.event.text = mn_span_str(payload);
    else
        message.event.payload = mn_buf_copy(mn_span_str(payload));
    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
    mn_buf_unref(message.event.payload);
    deliver();
}

void result(uint32_t node, uint64_t ticket, const char *payload)
{
    answer(node, ticket, CALL_EVENT_RESULT, payload, CALL_FAILED_NONE);
}

void refuse(uint32_t node, uint64_t ticket, enum call_failure failure)
{
    answer(node, ticket, CALL_EVENT_FAILED, "why", failure);
}

const struct told *next(uint32_t node)
{
    ck_assert_msg(told_read[node] < told_written[node], "gateway %u was told nothing", node);
    return &told[node][told_read[node]++];
}

bool is_quiet(uint32_t node)
{
    return told_read[node] == told_written[node];
}

uint64_t served(uint32_t node)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_REQUEST);
    return item->ticket;
}

void assert_result(uint32_t node, uint64_t ticket, const char *payload, uint32_t by)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
    ck_assert_int_eq(item->kind, CALL_EVENT_RESULT);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_str_eq(item->payload, payload);
    ck_assert(mn_id_equal(&item->node, &ids[by]));
}

const struct told *assert_failed(uint32_t node, uint64_t ticket, enum call_failure failure)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
    ck_assert_int_eq(item->kind, CALL_EVENT_FAILED);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_str_eq(call_failure_name(item->failure), call_failure_name(failure));
    ck_assert_uint_gt(strlen(item->text), 0);
    return item;
}

void assert_ended(uint32_t node, uint64_t ticket, bool is_lost)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_CANCEL);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_int_eq(item->is_lost, is_lost);
}

void assert_cancelled(uint32_t node, uint64_t ticket)
{
    assert_ended(node, ticket, false);
}

struct calls_stats stats(uint32_t node)
{
    return calls_stats(calls[node]);
}
