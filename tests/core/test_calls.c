/* Calls between nodes that talk to each other directly, in virtual time, with scripted gateways. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/core/call_window.h"
#include "node/core/calls.h"
#include "node/core/callwire.h"
#include "tests/suite.h"

#define NODES 3
#define TOLD_MAX 8192

static struct services *services[NODES];
static struct calls *calls[NODES];
static struct mn_arena arenas[NODES];
static mn_id ids[NODES];
static struct mn_now now;
static uint64_t ticket_last;
static bool linked[NODES][NODES];
static enum { NET_CARRIES, NET_KEEPS, NET_DOUBLES } net;

/* What came out, kept beyond the turn. */
struct letter {
    uint32_t from, to;
    uint64_t tag;
    struct mn_buf *buf;
    bool is_chatty;
};
static struct letter letters[TOLD_MAX];
static uint32_t letters_read, letters_written;

/* What a gateway was told. */
struct told {
    enum call_message_type type;
    uint64_t ticket;
    enum call_event_kind kind;
    enum call_failure failure;
    mn_id node;
    char payload[32], text[256], service[80], trace[64];
    mn_time timeout_total;
    bool is_lost;
};
static struct told told[NODES][TOLD_MAX];
static uint32_t told_read[NODES], told_written[NODES];

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

static void step(uint32_t node, const struct calls_input *input)
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

static void deliver(void)
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

static void run(mn_time time)
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

static void link_set(uint32_t a, uint32_t b, bool is_up)
{
    struct calls_input input = {.type = is_up ? CALLS_IN_LINK_UP : CALLS_IN_LINK_DOWN};

    linked[a][b] = linked[b][a] = is_up;
    input.node = ids[b];
    step(a, &input);
    input.node = ids[a];
    step(b, &input);
}

/* Node [node] offers [name] with one letter as body; everybody knows. */
static void offer_as(uint32_t node, const char *name, char body, uint8_t key)
{
    static const char *const names[NODES] = {"n0", "n1", "n2"};
    struct catalog_offer one = {
        .name = mn_span_str(name), .hash = {(uint8_t)body}, .replica_key = {key}};

    one.body = mn_buf_copy(mn_span(&body, 1));
    for (uint32_t i = 0; i < NODES; i++)
        services_set(services[i], &ids[node], mn_span_str(names[node]), &one, 1);
    mn_buf_unref(one.body);
}

static void offer(uint32_t node, const char *name, char body)
{
    offer_as(node, name, body, 1);
}

static void create(uint32_t node, uint64_t epoch)
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

static void setup(void)
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

static void teardown(void)
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

static uint64_t request_with(uint32_t node, struct call_request request)
{
    struct call_message message = {.type = CALL_MESSAGE_REQUEST, .request = request};

    message.request.ticket = ++ticket_last;
    if (message.request.payload == NULL) message.request.payload = mn_buf_copy(mn_span_str("ask"));
    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
    mn_buf_unref(message.request.payload);
    return ticket_last;
}

static uint64_t request(uint32_t node, const char *service)
{
    return request_with(node, (struct call_request){.service = mn_span_str(service),
                                                    .timeout = 10 * MN_SEC,
                                                    .timeout_total = MN_MINUTE});
}

static uint64_t request_idempotent(uint32_t node, const char *service)
{
    return request_with(node, (struct call_request){.service = mn_span_str(service),
                                                    .timeout = 10 * MN_SEC,
                                                    .timeout_total = MN_MINUTE,
                                                    .is_idempotent = true});
}

static void cancel(uint32_t node, uint64_t ticket)
{
    struct call_message message = {.type = CALL_MESSAGE_CANCEL, .ticket = ticket};
    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
}

static void say(uint32_t node, uint64_t ticket, const char *text)
{
    struct call_message message = {.type = CALL_MESSAGE_INPUT,
                                   .more = {ticket, mn_buf_copy(mn_span_str(text))}};

    step(node, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
    mn_buf_unref(message.more.payload);
    deliver();
}

static void answer(uint32_t node, uint64_t ticket, enum call_event_kind kind, const char *payload,
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

static void result(uint32_t node, uint64_t ticket, const char *payload)
{
    answer(node, ticket, CALL_EVENT_RESULT, payload, CALL_FAILED_NONE);
}

static void refuse(uint32_t node, uint64_t ticket, enum call_failure failure)
{
    answer(node, ticket, CALL_EVENT_FAILED, "why", failure);
}

static const struct told *next(uint32_t node)
{
    ck_assert_msg(told_read[node] < told_written[node], "gateway %u was told nothing", node);
    return &told[node][told_read[node]++];
}

static bool is_quiet(uint32_t node)
{
    return told_read[node] == told_written[node];
}

/* The gateway of [node] is asked to serve; returns the ticket. */
static uint64_t served(uint32_t node)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_REQUEST);
    return item->ticket;
}

static void assert_result(uint32_t node, uint64_t ticket, const char *payload, uint32_t by)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
    ck_assert_int_eq(item->kind, CALL_EVENT_RESULT);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_str_eq(item->payload, payload);
    ck_assert(mn_id_equal(&item->node, &ids[by]));
}

static const struct told *assert_failed(uint32_t node, uint64_t ticket, enum call_failure failure)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
    ck_assert_int_eq(item->kind, CALL_EVENT_FAILED);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_str_eq(call_failure_name(item->failure), call_failure_name(failure));
    ck_assert_uint_gt(strlen(item->text), 0);
    return item;
}

static void assert_ended(uint32_t node, uint64_t ticket, bool is_lost)
{
    const struct told *item = next(node);
    ck_assert_int_eq(item->type, CALL_MESSAGE_CANCEL);
    ck_assert_uint_eq(item->ticket, ticket);
    ck_assert_int_eq(item->is_lost, is_lost);
}

static void assert_cancelled(uint32_t node, uint64_t ticket)
{
    assert_ended(node, ticket, false);
}

static struct calls_stats stats(uint32_t node)
{
    return calls_stats(calls[node]);
}

/* ---- the plain ways ---- */

START_TEST(a_local_service_is_called_here)
{
    uint64_t call;

    offer(0, "files", 'x');
    call = request(0, "files");
    ck_assert_uint_eq(letters_written, 0);
    result(0, served(0), "done");
    assert_result(0, call, "done", 0);
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(calls_load(calls[0]), 0);
}
END_TEST

START_TEST(a_remote_service_is_called_there)
{
    const struct told *item;
    uint64_t call;

    offer(1, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files.n1"),
                                                 .timeout = MN_SEC,
                                                 .timeout_total = MN_MINUTE,
                                                 .trace = mn_span_str("00-aa-bb-01")});
    deliver();
    item = next(1);
    ck_assert_int_eq(item->type, CALL_MESSAGE_REQUEST);
    ck_assert_str_eq(item->service, "files"); /* the server's own name */
    ck_assert_str_eq(item->payload, "ask");
    ck_assert_str_eq(item->trace, "00-aa-bb-01");
    ck_assert_uint_eq(item->timeout_total, MN_MINUTE);
    ck_assert_uint_eq(calls_load(calls[1]), 1);
    result(1, item->ticket, "done");
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(stats(0).finished, 1);
    ck_assert(is_quiet(2));
}
END_TEST

START_TEST(progress_comes_before_the_result)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    answer(1, there, CALL_EVENT_PROGRESS, "p1", CALL_FAILED_NONE);
    answer(1, there, CALL_EVENT_PROGRESS, "p2", CALL_FAILED_NONE);
    result(1, there, "done");
    ck_assert_str_eq(next(0)->payload, "p1");
    ck_assert_str_eq(next(0)->payload, "p2");
    assert_result(0, call, "done", 1);
}
END_TEST

/* Whoever executes it hears it, here or there; it is a sign of life; too late is never. */
START_TEST(who_wants_to_know_hears_where_its_call_is)
{
    struct call_request wish = {.service = mn_span_str("files"), .wants_place = true};
    const struct told *item;
    uint64_t call;

    for (uint32_t node = 0; node < 2; node++) { /* here, and there */
        wish.node = ids[node];
        offer(node, "files", 'x');
        call = request_with(0, wish);
        item = node == 0 ? &told[0][told_written[0] - 1] : next(0);
        if (node == 0) told_read[0] = told_written[0];
        ck_assert_int_eq(item->type, CALL_MESSAGE_EVENT);
        ck_assert_int_eq(item->kind, CALL_EVENT_PROGRESS);
        ck_assert_uint_eq(item->ticket, call);
        ck_assert_str_eq(item->payload, "");
        ck_assert(mn_id_equal(&item->node, &ids[node]));
    }
}
END_TEST

START_TEST(the_caller_may_say_more_while_its_call_runs)
{
    uint64_t call, there;

    offer(0, "here", 'x');
    offer(1, "there", 'x');
    call = request(0, "here");
    there = served(0);
    say(0, call, "local");
    ck_assert_int_eq(told[0][told_read[0]].type, CALL_MESSAGE_INPUT);
    ck_assert_uint_eq(told[0][told_read[0]].ticket, there);
    ck_assert_str_eq(next(0)->payload, "local");
    result(0, there, "done");
    assert_result(0, call, "done", 0);

    call = request(0, "there");
    deliver();
    there = served(1);
    for (int i = 0; i < 3; i++) {
        run(9 * MN_SEC);
        say(0, call, "remote");
        ck_assert_int_eq(told[1][told_read[1]].type, CALL_MESSAGE_INPUT);
        ck_assert_uint_eq(told[1][told_read[1]].ticket, there);
        ck_assert_str_eq(next(1)->payload, "remote");
    }
    result(1, there, "done");
    assert_result(0, call, "done", 1);
    say(0, call, "late");
    say(0, 12345, "nobody");
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(calls_of_many_do_not_mix)
{
    uint64_t ours[10], theirs[10];
    char text[8];

    offer(1, "files", 'x');
    offer(2, "mail", 'x');
    for (uint32_t i = 0; i < 8; i++)
        ours[i] = request(0, i % 2 ? "files" : "mail");
    deliver();
    for (uint32_t i = 0; i < 8; i++)
        theirs[i] = served(i % 2 ? 1 : 2);
    for (uint32_t i = 8; i-- > 0;) {
        snprintf(text, sizeof text, "r%u", i);
        result(i % 2 ? 1 : 2, theirs[i], text);
        assert_result(0, ours[i], text, i % 2 ? 1 : 2);
    }
}
END_TEST

START_TEST(a_local_replica_goes_first)
{
    offer(0, "files", 'x');
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t call = request(0, "files");
        result(0, served(0), "done");
        assert_result(0, call, "done", 0);
    }
    ck_assert_uint_eq(letters_written, 0);
}
END_TEST

START_TEST(a_call_bound_to_a_node_goes_there_only)
{
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files"), .node = ids[1]});
    deliver();
    refuse(1, served(1), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
    ck_assert(is_quiet(0));
}
END_TEST

/* ---- what cannot be called ---- */

START_TEST(unknown_services_are_not_found)
{
    static const char longer[200] = "";

    assert_failed(0, request(0, "files"), CALL_NOT_FOUND);
    assert_failed(0, request(0, ""), CALL_NOT_FOUND);
    assert_failed(0,
                  request_with(0, (struct call_request){.service = mn_span(longer, sizeof longer)}),
                  CALL_NOT_FOUND);
}
END_TEST

START_TEST(a_conflict_names_its_servers)
{
    const struct told *item;

    offer_as(1, "files", 'x', 1);
    offer_as(2, "files", 'x', 2);
    item = assert_failed(0, request(0, "files"), CALL_CONFLICT);
    ck_assert_ptr_nonnull(strstr(item->text, "files.n1, files.n2"));
    (void)request(0, "files.n2");
    deliver();
    (void)served(2);
}
END_TEST

START_TEST(without_a_link_nothing_is_sent)
{
    const struct told *item;

    offer(1, "files", 'x');
    link_set(0, 1, false);
    item = assert_failed(0, request(0, "files"), CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (no_link)"));
    ck_assert_ptr_nonnull(strstr(item->text, "nothing was executed"));
    ck_assert_uint_eq(letters_written, 0);
}
END_TEST

static void routable_set(uint32_t node, uint32_t other, bool flag)
{
    step(node, &(struct calls_input){.type = CALLS_IN_ROUTABLE, .node = ids[other], .flag = flag});
}

START_TEST(a_suspect_gets_no_new_calls)
{
    uint64_t call, waiting;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    routable_set(0, 1, false);
    waiting = request(0, "files");
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 1);
    result(1, served(1), "done"); /* what it has it may finish */
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(calls_stats(calls[0]).queued, 1);
    routable_set(0, 1, true); /* refuted: what waited goes there */
    deliver();
    result(1, served(1), "late");
    assert_result(0, waiting, "late", 1);
}
END_TEST

START_TEST(a_suspect_that_is_lost_ends_the_wait)
{
    uint64_t call;
    const struct told *item;

    offer(1, "files", 'x');
    routable_set(0, 1, false);
    call = request(0, "files");
    link_set(0, 1, false);
    item = assert_failed(0, call, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (no_link)"));
}
END_TEST

START_TEST(nobody_waits_long_for_a_suspect)
{
    uint64_t call;
    const struct told *item;

    offer(1, "files", 'x');
    routable_set(0, 1, false);
    call = request(0, "files");
    ck_assert_uint_eq(calls_deadline(calls[0]), now.mono + 5 * MN_SEC);
    run(5 * MN_SEC + 1);
    item = assert_failed(0, call, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(item->text, "n1 (suspect)"));
    ck_assert_ptr_nonnull(strstr(item->text, "nothing was executed"));
}
END_TEST

START_TEST(a_replica_is_better_than_a_suspect)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    routable_set(0, 1, false);
    (void)request(0, "files");
    deliver();
    (void)served(2);
}
END_TEST

START_TEST(what_is_too_big_is_refused_on_both_ends)
{
    struct mn_buf *big = mn_buf_new(CALLWIRE_PAYLOAD_MAX + 1);
    struct call_message message = {.type = CALL_MESSAGE_EVENT, .event = {.payload = big}};
    uint64_t call;

    memset(big->bytes, 'x', big->size);
    offer(1, "files", 'x');
    call = request_with(
        0, (struct call_request){.service = mn_span_str("files"), .payload = mn_buf_ref(big)});
    assert_failed(0, call, CALL_UNAVAILABLE);
    /* Ten in a row, and the server still takes calls: its breaker is for failures of its own. */
    for (int i = 0; i < 10; i++) {
        call = request(0, "files");
        deliver();
        message.event.ticket = served(1);
        message.event.kind = CALL_EVENT_RESULT;
        step(1, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
        deliver();
        assert_failed(0, call, CALL_TOO_BIG);
    }
    mn_buf_unref(big);
}
END_TEST

/* ---- failing over ---- */

static void refused_elsewhere(enum call_failure failure)
{
    uint64_t call, there;
    uint32_t first, second;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    second = 3 - first;
    ck_assert(is_quiet(second));
    refuse(first, served(first), failure);
    there = served(second);
    result(second, there, "done");
    assert_result(0, call, "done", second);
    ck_assert_uint_eq(stats(0).failed_over, 1);
}

START_TEST(what_was_not_started_goes_elsewhere)
{
    refused_elsewhere((enum call_failure)_i);
}
END_TEST

START_TEST(what_may_have_started_does_not_go_elsewhere)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    refuse(first, served(first), (enum call_failure)_i);
    assert_failed(0, call, (enum call_failure)_i);
    ck_assert(is_quiet(3 - first));
}
END_TEST

START_TEST(without_a_replica_nothing_fails_over)
{
    uint64_t call;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    refuse(1, served(1), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
    ck_assert_uint_eq(stats(0).failed_over, 0);
}
END_TEST

START_TEST(the_last_refusal_is_the_answer)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    refuse(first, served(first), CALL_UNAVAILABLE);
    refuse(3 - first, served(3 - first), CALL_BUSY);
    assert_failed(0, call, CALL_BUSY);
}
END_TEST

START_TEST(a_local_server_that_is_down_is_left_for_a_replica)
{
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request(0, "files");
    refuse(0, served(0), CALL_UNAVAILABLE);
    deliver();
    result(1, served(1), "done");
    assert_result(0, call, "done", 1);
}
END_TEST

START_TEST(a_lost_link_leaves_the_outcome_unknown)
{
    const struct told *item;
    uint64_t call, there;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request_with(0, (struct call_request){.service = mn_span_str("files.n1")});
    deliver();
    there = served(1);
    link_set(0, 1, false);
    item = assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
    ck_assert(mn_id_equal(&item->node, &ids[1]));
    ck_assert_ptr_nonnull(strstr(item->text, "n1"));
    assert_ended(1, there, true);
    ck_assert_uint_eq(calls_load(calls[1]), 0);
    result(1, there, "late"); /* nobody minds */
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(0).unknown, 1);
}
END_TEST

START_TEST(an_idempotent_call_survives_a_lost_link)
{
    uint64_t call;
    uint32_t first;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    call = request_idempotent(0, "files");
    deliver();
    first = is_quiet(1) ? 2 : 1;
    (void)served(first);
    link_set(0, first, false);
    deliver();
    result(3 - first, served(3 - first), "done");
    assert_result(0, call, "done", 3 - first);
}
END_TEST

START_TEST(what_was_never_sent_goes_elsewhere)
{
    struct calls_input unsent = {.type = CALLS_IN_UNSENT};
    struct letter letter;
    uint64_t call;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    net = NET_KEEPS;
    call = request(0, "files");
    letter = letters[letters_read++];
    mn_buf_unref(letter.buf);
    unsent.node = ids[letter.to];
    unsent.tag = letter.tag;
    step(0, &unsent);
    link_set(0, letter.to, false);
    net = NET_CARRIES;
    deliver();
    result(3 - letter.to, served(3 - letter.to), "done");
    assert_result(0, call, "done", 3 - letter.to);
}
END_TEST

START_TEST(an_answer_that_cannot_be_sent_is_told)
{
    struct calls_input unsent = {.type = CALLS_IN_UNSENT, .node = ids[0]};
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS;
    result(1, there, "done");
    unsent.tag = letters[letters_read].tag;
    mn_buf_unref(letters[letters_read++].buf);
    step(1, &unsent);
    net = NET_CARRIES;
    deliver();
    assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(retries_have_a_budget)
{
    uint32_t retried = 0, refused = 0;

    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t call = request(0, "files");
        deliver();
        for (uint32_t n = 0; n < 4; n++) /* refused wherever it goes */
            for (uint32_t node = 1; node < NODES; node++)
                while (!is_quiet(node)) {
                    const struct told *item = next(node);
                    refused += item->type == CALL_MESSAGE_REQUEST;
                    refuse(node, item->ticket, CALL_BUSY);
                }
        assert_failed(0, call, CALL_BUSY);
    }
    retried = refused - 1000;
    ck_assert_uint_ge(retried, 190); /* nearly two bursts of 100 */
    ck_assert_uint_le(retried, 350); /* and a tenth */
    ck_assert_uint_gt(stats(0).retries_refused, 0);
}
END_TEST

START_TEST(a_broken_node_is_left_alone)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t call = request(0, "files");
        deliver();
        if (!is_quiet(1)) {
            refuse(1, served(1), CALL_UPSTREAM);
            assert_failed(0, call, CALL_UPSTREAM);
        } else {
            result(2, served(2), "done");
            assert_result(0, call, "done", 2);
        }
    }
    ck_assert_uint_le(stats(0).failed, 5);
}
END_TEST

/* ---- time ---- */

START_TEST(silence_is_a_timeout_and_cancels_there)
{
    uint64_t call, there;
    const struct told *item;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    run(9 * MN_SEC);
    answer(1, there, CALL_EVENT_PROGRESS, "p", CALL_FAILED_NONE);
    (void)next(0);
    run(9 * MN_SEC);
    ck_assert(is_quiet(0)); /* progress counts as a sign */
    run(2 * MN_SEC);
    item = assert_failed(0, call, CALL_TIMED_OUT);
    ck_assert_ptr_nonnull(strstr(item->text, "no sign"));
    assert_cancelled(1, there);
    ck_assert_uint_eq(stats(1).served, 0);
}
END_TEST

START_TEST(the_total_time_ends_it_however_much_is_heard)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    for (uint32_t i = 0; i < 11; i++) {
        run(5 * MN_SEC + 1);
        answer(1, there, CALL_EVENT_PROGRESS, "p", CALL_FAILED_NONE);
        (void)next(0);
    }
    run(6 * MN_SEC);
    assert_failed(0, call, CALL_TIMED_OUT);
    assert_cancelled(1, there);
}
END_TEST

START_TEST(a_callee_ends_what_its_caller_forgot)
{
    uint64_t there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS; /* the cancel never comes */
    run(62 * MN_SEC);
    assert_cancelled(1, there);
    ck_assert_uint_eq(stats(1).served, 0);
}
END_TEST

START_TEST(the_deadline_travels_as_time_left)
{
    const struct told *item;
    uint64_t call;

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    call = request(0, "files");
    (void)call;
    run(9 * MN_SEC);
    refuse(0, served(0), CALL_UNAVAILABLE);
    deliver();
    item = next(1);
    ck_assert_uint_eq(item->timeout_total, 51 * MN_SEC);
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_cancelled_call_is_silent)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    cancel(0, call);
    deliver();
    assert_cancelled(1, there);
    result(1, there, "late");
    cancel(0, call); /* twice, or after its end: fine */
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(0).open, 0);
    ck_assert_uint_eq(stats(0).cancelled, 1);
}
END_TEST

START_TEST(a_local_call_is_cancelled_too)
{
    uint64_t call, here;

    offer(0, "files", 'x');
    call = request(0, "files");
    here = served(0);
    cancel(0, call);
    assert_cancelled(0, here);
    ck_assert_uint_eq(calls_load(calls[0]), 0);
}
END_TEST

START_TEST(a_result_that_crosses_the_cancel_is_dropped)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    there = served(1);
    net = NET_KEEPS;
    result(1, there, "done");
    cancel(0, call);
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(0));
    ck_assert(is_quiet(1));
}
END_TEST

/* ---- once, and only once ---- */

START_TEST(a_doubled_envelope_is_executed_once)
{
    uint64_t call, there;

    offer(1, "files", 'x');
    net = NET_DOUBLES;
    call = request(0, "files");
    deliver();
    there = served(1);
    ck_assert(is_quiet(1));
    result(1, there, "done");
    assert_result(0, call, "done", 1);
    ck_assert(is_quiet(0));
    ck_assert_uint_eq(stats(1).duplicates, 1);
}
END_TEST

START_TEST(a_late_duplicate_is_not_executed_again)
{
    struct mn_buf *copy;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    (void)request(0, "files");
    copy = mn_buf_ref(letters[letters_read].buf);
    net = NET_CARRIES;
    deliver();
    result(1, served(1), "done");
    link_set(0, 1, false);
    link_set(0, 1, true);
    step(1, &(struct calls_input){
                .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(copy), NULL}});
    ck_assert(is_quiet(1));
    ck_assert_uint_eq(stats(1).duplicates, 1);
    mn_buf_unref(copy);
}
END_TEST

START_TEST(a_restarted_caller_starts_again_from_one)
{
    struct mn_buf *old;
    uint64_t there;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    (void)request(0, "files");
    old = mn_buf_ref(letters[letters_read].buf);
    net = NET_CARRIES;
    deliver();
    there = served(1);
    create(0, 6);
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    (void)request(0, "files");
    deliver();
    assert_ended(1, there, true); /* of the run before */
    (void)served(1);
    step(1, &(struct calls_input){
                .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(old), NULL}});
    ck_assert(is_quiet(1));
    mn_buf_unref(old);
}
END_TEST

START_TEST(answers_to_an_earlier_run_are_ignored)
{
    uint64_t there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    there = served(1);
    create(0, 6);
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    net = NET_KEEPS;
    (void)request(0, "files"); /* has the same number as the first of the run before */
    result(1, there, "of the run before");
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(0));
}
END_TEST

START_TEST(a_cancel_before_its_request_stops_it)
{
    uint64_t call;
    struct letter first;

    offer(1, "files", 'x');
    net = NET_KEEPS;
    call = request(0, "files");
    cancel(0, call);
    first = letters[letters_read];
    letters[letters_read] = letters[letters_read + 1];
    letters[letters_read + 1] = first;
    net = NET_CARRIES;
    deliver();
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(the_window_takes_each_number_once)
{
    struct call_window window = {0};
    struct call_window far = {0};

    for (uint64_t n = 1; n <= 10000; n += 2)
        ck_assert(call_window_take(&window, n));
    for (uint64_t n = 9999; n > 9999 - CALL_WINDOW_SIZE; n--)
        ck_assert(call_window_take(&window, n) == (n % 2 == 0));
    ck_assert(!call_window_take(&window, 9999 - CALL_WINDOW_SIZE));
    ck_assert(!call_window_take(&window, 2)); /* too old to tell */
    ck_assert(call_window_take(&window, 1000000));
    ck_assert(call_window_take(&window, 1000000 - CALL_WINDOW_SIZE + 1));
    ck_assert(!call_window_take(&window, 1000000 - CALL_WINDOW_SIZE));
    ck_assert(call_window_take(&far, UINT64_MAX));
    ck_assert(!call_window_take(&far, UINT64_MAX));
}
END_TEST

/* ---- bounds ---- */

START_TEST(calls_wait_for_room_at_a_node)
{
    uint64_t mine[12];

    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 12; i++) /* 4 go, 8 wait */
        mine[i] = request(0, "files");
    deliver();
    ck_assert_uint_eq(stats(0).queued, 8);
    assert_failed(0, request(0, "files"), CALL_BUSY);
    for (uint32_t i = 0; i < 12; i++) {
        result(1, served(1), "done");
        assert_result(0, mine[i], "done", 1);
    }
    ck_assert_uint_eq(stats(0).queued, 0);
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(one_service_that_is_full_does_not_hold_another)
{
    uint64_t call;

    offer(1, "files", 'x');
    offer(2, "mail", 'x');
    for (uint32_t i = 0; i < 12; i++)
        (void)request(0, "files");
    deliver();
    call = request(0, "mail");
    deliver();
    result(2, served(2), "done");
    assert_result(0, call, "done", 2);
}
END_TEST

START_TEST(waiting_calls_end_with_their_time)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 4; i++)
        (void)request_with(0, (struct call_request){.service = mn_span_str("files")});
    (void)request(0, "files");
    run(11 * MN_SEC);
    assert_failed(0, ticket_last, CALL_BUSY);
    ck_assert_uint_eq(stats(0).queued, 0);
}
END_TEST

START_TEST(waiting_calls_can_be_cancelled)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 5; i++)
        (void)request(0, "files");
    deliver();
    cancel(0, ticket_last);
    ck_assert_uint_eq(stats(0).queued, 0);
    for (uint32_t i = 0; i < 4; i++)
        result(1, served(1), "done");
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(waiting_calls_fail_with_the_link)
{
    offer(1, "files", 'x');
    for (uint32_t i = 0; i < 12; i++)
        (void)request(0, "files");
    deliver();
    link_set(0, 1, false);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(next(0)->failure, CALL_OUTCOME_UNKNOWN);
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_int_eq(next(0)->failure, CALL_UNAVAILABLE);
    ck_assert_uint_eq(stats(0).open, 0);
}
END_TEST

START_TEST(a_call_that_waits_for_one_node_does_not_hold_others)
{
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    for (uint32_t i = 0; i < 4; i++)
        (void)request(0, "files.n1");
    for (uint32_t i = 0; i < 4; i++)
        (void)request(0, "files.n2");
    (void)request(0, "files.n1");
    (void)request(0, "files.n2");
    deliver();
    ck_assert_uint_eq(stats(0).queued, 2);
    result(2, served(2), "done");
    ck_assert_uint_eq(stats(0).queued, 1);
}
END_TEST

START_TEST(all_calls_of_a_node_are_bounded)
{
    static const char *const names[10] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

    for (uint32_t i = 0; i < 10; i++) {
        struct catalog_offer all[10];
        for (uint32_t j = 0; j <= i; j++)
            all[j] = (struct catalog_offer){.name = mn_span_str(names[j]),
                                            .body = mn_buf_copy(mn_span_str("x"))};
        services_set(services[0], &ids[0], mn_span_str("n0"), all, i + 1);
        for (uint32_t j = 0; j <= i; j++)
            mn_buf_unref(all[j].body);
    }
    for (uint32_t i = 0; i < 40; i++)
        (void)request(0, names[i % 10]);
    for (uint32_t i = 0; i < 40; i++)
        (void)served(0);
    assert_failed(0, request(0, "a"), CALL_BUSY);
}
END_TEST

START_TEST(what_is_executed_for_one_node_is_bounded)
{
    struct callwire ask = {
        .kind = MESHNODE__CALLWIRE__KIND__KIND_REQUEST, .boot = 9, .service = mn_span_str("files")};
    struct callwire refusal;
    struct mn_arena arena = {0};

    net = NET_KEEPS;
    for (uint64_t i = 1; i <= 11; i++) {
        struct mn_buf *buf;
        ask.seq = i;
        buf = mn_buf_copy(callwire_encode(&ask, &arena));
        step(1, &(struct calls_input){
                    .type = CALLS_IN_MESSAGE, .node = ids[0], .message = {mn_buf_span(buf), NULL}});
        mn_buf_unref(buf);
    }
    for (uint32_t i = 0; i < 10; i++)
        (void)served(1);
    ck_assert(is_quiet(1));
    ck_assert_uint_eq(letters_written - letters_read, 1);
    ck_assert_int_eq(callwire_decode(mn_buf_span(letters[letters_read].buf), &arena, &refusal),
                     MN_OK);
    ck_assert_int_eq(refusal.failure, CALL_BUSY);
    ck_assert(refusal.not_started);
    mn_arena_done(&arena);
}
END_TEST

START_TEST(malformed_messages_are_counted)
{
    struct calls_input input = {.type = CALLS_IN_MESSAGE, .node = ids[0]};
    static const char *const bad[] = {"", "abc", "\xff\xff\xff\xff",
                                      "\0\0\0\x04"
                                      "abc"};

    for (uint32_t i = 0; i < 4; i++) {
        input.message.bytes = mn_span(bad[i], i == 3 ? 7 : strlen(bad[i]));
        step(1, &input);
    }
    ck_assert_uint_eq(stats(1).messages_malformed, 4);
    ck_assert(is_quiet(1));
}
END_TEST

START_TEST(a_node_that_is_no_member_any_more_goes_with_its_link)
{
    struct calls_input forget = {.type = CALLS_IN_FORGET, .node = ids[1]};
    uint64_t call;

    offer(1, "files", 'x');
    call = request(0, "files");
    deliver();
    step(0, &forget);
    ck_assert(is_quiet(0)); /* the link decides */
    link_set(0, 1, false);
    assert_failed(0, call, CALL_OUTCOME_UNKNOWN);
    step(0, &forget); /* unknown by now */
    link_set(0, 1, true);
    call = request(0, "files");
    deliver();
    (void)served(1);
}
END_TEST

/* The other side may have kept its link's memory of us. */
START_TEST(a_member_that_is_removed_and_comes_back_is_not_called_with_old_numbers)
{
    struct calls_input forget = {.type = CALLS_IN_FORGET, .node = ids[1]};
    uint64_t call;

    offer(1, "files", 'x');
    for (int i = 0; i < 3; i++) {
        call = request(0, "files");
        deliver();
        result(1, served(1), "done");
        assert_result(0, call, "done", 1);
    }
    link_set(0, 1, false);
    step(0, &forget);
    link_set(0, 1, true);
    call = request(0, "files");
    deliver();
    result(1, served(1), "done");
    assert_result(0, call, "done", 1);
    ck_assert_uint_eq(stats(1).duplicates, 0);
}
END_TEST

/* A node lost its disk, and hears only later what it had said before. */
START_TEST(a_caller_that_forgot_a_run_is_heard_once_it_begins_anew)
{
    uint64_t lost, again, there;

    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    result(1, served(1), "done");
    (void)next(0);
    create(0, 3); /* 1 remembers run 5 */
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[1]});
    step(0, &(struct calls_input){.type = CALLS_IN_LINK_UP, .node = ids[2]});
    offer(2, "mail", 'y');
    (void)request(0, "mail");
    deliver();
    there = served(2);
    lost = ticket_last;
    step(0, &(struct calls_input){.type = CALLS_IN_START, .epoch = 6});
    assert_failed(0, lost, CALL_OUTCOME_UNKNOWN);
    deliver();
    assert_cancelled(2, there);
    again = request(0, "files");
    deliver();
    result(1, served(1), "done");
    assert_result(0, again, "done", 1);
}
END_TEST

START_TEST(routes_are_explained)
{
    struct calls_route *routes;
    struct mn_arena arena = {0};

    offer(0, "files", 'x');
    offer(1, "files", 'x');
    offer(2, "files", 'x');
    link_set(0, 2, false);
    ck_assert_uint_eq(calls_explain(calls[0], now, mn_span_str("files"), &arena, &routes), 3);
    ck_assert(routes[0].is_local && routes[0].is_winner);
    ck_assert_int_eq(routes[1].reason, CALLS_REASON_OK);
    ck_assert(!routes[1].is_winner);
    ck_assert_int_eq(routes[2].reason, CALLS_REASON_NO_LINK);
    ck_assert_uint_eq(calls_explain(calls[0], now, mn_span_str("none"), &arena, &routes), 0);
    mn_arena_done(&arena);
}
END_TEST

/* ---- everything at once ---- */

static uint32_t open_calls[TOLD_MAX], executed[TOLD_MAX];

/* Each gateway works off what it was told; payloads are the callers' tickets. */
static void work(uint32_t node, struct rng *rng)
{
    while (!is_quiet(node)) {
        const struct told *item = next(node);
        uint32_t ticket = (uint32_t)item->ticket;
        switch (item->type) {
        case CALL_MESSAGE_REQUEST:
            executed[atoi(item->payload)]++;
            switch (rng_below(rng, 8)) {
            case 0: break; /* hangs */
            case 1: refuse(node, item->ticket, CALL_OUTCOME_UNKNOWN); break;
            case 2:
                executed[atoi(item->payload)]--;
                refuse(node, item->ticket, CALL_BUSY);
                break;
            default: result(node, item->ticket, item->payload); break;
            }
            break;
        case CALL_MESSAGE_EVENT:
            ck_assert_uint_eq(open_calls[ticket], 1);
            open_calls[ticket] = 0;
            if (item->kind == CALL_EVENT_RESULT) ck_assert_int_eq(atoi(item->payload), (int)ticket);
            break;
        case CALL_MESSAGE_CANCEL:
        case CALL_MESSAGE_INPUT:
        case CALL_MESSAGE_OFFER:
        case CALL_MESSAGE_SERVICE: break;
        }
    }
}

START_TEST(every_call_is_answered_and_never_executed_twice)
{
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i};

    rng_init(&rng, seed);
    memset(open_calls, 0, sizeof open_calls);
    memset(executed, 0, sizeof executed);
    for (uint32_t i = 0; i < NODES; i++)
        offer(i, "files", 'x');
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t node = rng_below(&rng, NODES), other = (node + 1 + rng_below(&rng, 2)) % NODES;
        char text[12];
        net = rng_below(&rng, 4) == 0 ? NET_DOUBLES : NET_CARRIES;
        if (rng_below(&rng, 10) == 0) link_set(node, other, !linked[node][other]);
        snprintf(text, sizeof text, "%u", (uint32_t)ticket_last + 1);
        open_calls[ticket_last + 1] = 1;
        (void)request_with(node, (struct call_request){.service = mn_span_str("files"),
                                                       .payload = mn_buf_copy(mn_span_str(text)),
                                                       .timeout = 2 * MN_SEC,
                                                       .timeout_total = 5 * MN_SEC});
        if (rng_below(&rng, 2) == 0) deliver();
        for (uint32_t j = 0; j < NODES; j++)
            work(j, &rng);
        run(rng_below_u64(&rng, 100 * MN_MS));
    }
    for (uint32_t k = 0; k < 20; k++) {
        run(MN_SEC);
        for (uint32_t j = 0; j < NODES; j++)
            work(j, &rng);
    }
    for (uint64_t t = 1; t <= ticket_last; t++) {
        ck_assert_uint_eq(open_calls[t], 0);
        ck_assert_uint_le(executed[t], 1);
    }
    for (uint32_t j = 0; j < NODES; j++) {
        ck_assert_uint_eq(stats(j).open, 0);
        ck_assert_uint_eq(stats(j).served, 0);
    }
    rng_done(&rng);
}
END_TEST

/* All of it from some point on, the last word too: else that would overtake what was said before.
 */
START_TEST(a_call_that_says_much_lets_others_go_first)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT};
    struct mn_buf *payload = mn_buf_new(3000);
    uint32_t plain = 0, chatty = 0;

    memset(payload->bytes, 'x', payload->size);
    offer(1, "files", 'x');
    (void)request(0, "files");
    deliver();
    net = NET_KEEPS;
    message.event =
        (struct call_event){.ticket = served(1), .kind = CALL_EVENT_PROGRESS, .payload = payload};
    for (unsigned i = 0; i < 101; i++) {
        if (i == 100) message.event.kind = CALL_EVENT_RESULT;
        step(1, &(struct calls_input){.type = CALLS_IN_GATEWAY, .gateway = &message});
        ck_assert_uint_eq(letters_written - letters_read, 1);
        ck_assert(letters[letters_read].is_chatty || chatty == 0);
        plain += !letters[letters_read].is_chatty;
        chatty += letters[letters_read].is_chatty;
        mn_buf_unref(letters[letters_read++].buf);
    }
    ck_assert_uint_eq(plain, 87); /* 256 KiB */
    ck_assert_uint_eq(chatty, 14);
    mn_buf_unref(payload);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calls");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_local_service_is_called_here);
    tcase_add_test(tcase, a_remote_service_is_called_there);
    tcase_add_test(tcase, progress_comes_before_the_result);
    tcase_add_test(tcase, who_wants_to_know_hears_where_its_call_is);
    tcase_add_test(tcase, the_caller_may_say_more_while_its_call_runs);
    tcase_add_test(tcase, calls_of_many_do_not_mix);
    tcase_add_test(tcase, a_local_replica_goes_first);
    tcase_add_test(tcase, a_call_bound_to_a_node_goes_there_only);
    tcase_add_test(tcase, unknown_services_are_not_found);
    tcase_add_test(tcase, a_conflict_names_its_servers);
    tcase_add_test(tcase, without_a_link_nothing_is_sent);
    tcase_add_test(tcase, a_suspect_gets_no_new_calls);
    tcase_add_test(tcase, a_suspect_that_is_lost_ends_the_wait);
    tcase_add_test(tcase, nobody_waits_long_for_a_suspect);
    tcase_add_test(tcase, a_replica_is_better_than_a_suspect);
    tcase_add_test(tcase, what_is_too_big_is_refused_on_both_ends);
    tcase_add_loop_test(tcase, what_was_not_started_goes_elsewhere, CALL_UNAVAILABLE,
                        CALL_BUSY + 1);
    tcase_add_test(tcase, without_a_replica_nothing_fails_over);
    tcase_add_loop_test(tcase, what_may_have_started_does_not_go_elsewhere, CALL_TIMED_OUT,
                        CALL_UPSTREAM + 1);
    tcase_add_test(tcase, the_last_refusal_is_the_answer);
    tcase_add_test(tcase, a_local_server_that_is_down_is_left_for_a_replica);
    tcase_add_test(tcase, a_lost_link_leaves_the_outcome_unknown);
    tcase_add_test(tcase, an_idempotent_call_survives_a_lost_link);
    tcase_add_test(tcase, what_was_never_sent_goes_elsewhere);
    tcase_add_test(tcase, an_answer_that_cannot_be_sent_is_told);
    tcase_add_test(tcase, a_call_that_says_much_lets_others_go_first);
    tcase_add_test(tcase, retries_have_a_budget);
    tcase_add_test(tcase, a_broken_node_is_left_alone);
    tcase_add_test(tcase, silence_is_a_timeout_and_cancels_there);
    tcase_add_test(tcase, the_total_time_ends_it_however_much_is_heard);
    tcase_add_test(tcase, a_callee_ends_what_its_caller_forgot);
    tcase_add_test(tcase, the_deadline_travels_as_time_left);
    tcase_add_test(tcase, a_cancelled_call_is_silent);
    tcase_add_test(tcase, a_local_call_is_cancelled_too);
    tcase_add_test(tcase, a_result_that_crosses_the_cancel_is_dropped);
    tcase_add_test(tcase, a_doubled_envelope_is_executed_once);
    tcase_add_test(tcase, a_late_duplicate_is_not_executed_again);
    tcase_add_test(tcase, a_restarted_caller_starts_again_from_one);
    tcase_add_test(tcase, answers_to_an_earlier_run_are_ignored);
    tcase_add_test(tcase, a_cancel_before_its_request_stops_it);
    tcase_add_test(tcase, the_window_takes_each_number_once);
    tcase_add_test(tcase, calls_wait_for_room_at_a_node);
    tcase_add_test(tcase, one_service_that_is_full_does_not_hold_another);
    tcase_add_test(tcase, waiting_calls_end_with_their_time);
    tcase_add_test(tcase, waiting_calls_can_be_cancelled);
    tcase_add_test(tcase, waiting_calls_fail_with_the_link);
    tcase_add_test(tcase, a_call_that_waits_for_one_node_does_not_hold_others);
    tcase_add_test(tcase, all_calls_of_a_node_are_bounded);
    tcase_add_test(tcase, what_is_executed_for_one_node_is_bounded);
    tcase_add_test(tcase, malformed_messages_are_counted);
    tcase_add_test(tcase, a_node_that_is_no_member_any_more_goes_with_its_link);
    tcase_add_test(tcase, a_member_that_is_removed_and_comes_back_is_not_called_with_old_numbers);
    tcase_add_test(tcase, a_caller_that_forgot_a_run_is_heard_once_it_begins_anew);
    tcase_add_test(tcase, routes_are_explained);
    tcase_add_loop_test(tcase, every_call_is_answered_and_never_executed_twice, 0, 50);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
