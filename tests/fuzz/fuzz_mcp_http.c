/* Arbitrary HTTP exchanges, messages of the core and times into the client-facing half. The input
 * is a script: one letter and its operands per step; whatever it says, the invariants hold, every
 * exchange has at most one head and nothing after its end, and nothing is left at the end. */
#include <stdlib.h>

#include "crypto/rng.h"
#include "node/mcp/front/front.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "tests/fuzz/script.h"

#define EXCHANGES 16
#define TICKETS 8 /* the newest ones are remembered */

static struct front *front;
static struct mn_now now;
static struct mn_arena arena, pieces;
static struct edge_outbox edge;
static struct call_outbox calls;
static struct {
    int has_head, is_ended;
} exchanges[EXCHANGES];
static char session[300]; /* of the newest legacy session */
static uint64_t ticket_last, tickets[TICKETS];
static uint32_t tickets_count;
static uint8_t whose[64]; /* session that was wished for last, or whose task was */
static size_t whose_size;

static void watch(const struct edge_output *output)
{
    size_t i = (size_t)(output->id % EXCHANGES);

    if (output->type == EDGE_OUT_HTTP_HEAD) {
        if (exchanges[i].has_head) abort();
        exchanges[i].has_head = 1;
        for (uint32_t k = 0; k < output->headers_count; k++)
            if (mn_span_is(output->headers[k].name, "mcp-session-id"))
                memcpy(session, output->headers[k].value.data, output->headers[k].value.size);
    } else if (output->type == EDGE_OUT_HTTP_BODY) {
        if (!exchanges[i].has_head || exchanges[i].is_ended) abort();
        exchanges[i].is_ended = output->flag;
    }
}

static void refer_to(ProtobufCBinaryData bytes)
{
    whose_size = bytes.len;
    if (whose_size > sizeof whose) abort();
    if (whose_size > 0) memcpy(whose, bytes.data, whose_size);
}

/* What the front asks of a member, as far as that one could refer to it. */
static void hear(const struct call_message *message)
{
    const Meshnode__Gateway__Input *input;

    if (message->type == CALL_MESSAGE_REQUEST)
        ticket_last = tickets[tickets_count++ % TICKETS] = message->request.ticket;
    if (message->type != CALL_MESSAGE_INPUT) return;
    input = pb_unpack(&meshnode__gateway__input__descriptor, &pieces,
                      mn_buf_span(message->more.payload));
    if (input == NULL) abort();
    if (input->what_case != MESHNODE__GATEWAY__INPUT__WHAT_WISHES) return;
    if (input->wishes->n_sessions > 0)
        refer_to(input->wishes->sessions[0]->session);
    else if (input->wishes->n_tasks > 0)
        refer_to(input->wishes->tasks[0]->session);
}

static void step(const struct mcp_input *input)
{
    struct mcp_outbox outbox = {&edge, &calls, NULL};

    front_step(front, now, input, &outbox);
    front_check(front);
    for (uint32_t i = 0; i < edge.count; i++)
        watch(&edge.items[i]);
    for (uint32_t i = 0; i < calls.count; i++)
        hear(&calls.items[i]);
    call_outbox_reset(&calls);
    edge_outbox_reset(&edge);
}

static void open_exchange(struct mn_span *script, uint64_t id)
{
    static const char *const methods[] = {"POST", "POST", "GET", "DELETE", "PUT"};
    static const char *const targets[] = {"/mcp", "/mcp", "/mcp/servers/s", "/mcp/servers/x", "/"};
    uint8_t kind = script_byte(script);
    struct edge_header headers[8] = {
        {mn_span_str("host"), mn_span_str("localhost")},
        {mn_span_str("content-type"), mn_span_str("application/json")},
        {mn_span_str("mcp-protocol-version"), mn_span_str(kind & 1 ? "2026-07-28" : "2025-03-26")}};
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP, .headers = headers};
    struct edge_input input = {.type = EDGE_IN_HTTP_OPEN, .id = id, .http = &http};

    http.method = mn_span_str(methods[kind / 2 % 5]);
    http.target = mn_span_str(targets[kind / 10 % 5]);
    http.headers_count = 3;
    if (session[0] != 0 && kind & 64) {
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("mcp-session-id"), mn_span_str(session)};
        if (kind & 1) headers[2].value = mn_span_str("2025-11-25");
        if (kind / 2 % 5 == 2) /* GET: perhaps of a stream that broke */
            headers[http.headers_count++] =
                (struct edge_header){mn_span_str("last-event-id"), script_line(script)};
    }
    if (kind & 128) {
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("mcp-method"), script_line(script)};
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("mcp-name"), script_line(script)};
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("mcp-param-r"), script_line(script)};
    }
    step(&(struct mcp_input){.type = MCP_IN_EDGE, .edge = &input});
}

static void send_body(struct mn_span *script, uint64_t id, bool is_last)
{
    struct mn_span line = script_line(script);
    uint8_t *copy = malloc(line.size + 1);
    struct edge_input input = {.type = EDGE_IN_HTTP_BODY, .id = id, .is_last = is_last};

    if (line.size > 0) memcpy(copy, line.data, line.size);
    input.bytes = mn_span(copy, line.size);
    step(&(struct mcp_input){.type = MCP_IN_EDGE, .edge = &input});
    free(copy);
}

static void leave(uint64_t id)
{
    struct edge_input input = {.type = EDGE_IN_HTTP_GONE, .id = id};
    step(&(struct mcp_input){.type = MCP_IN_EDGE, .edge = &input});
}

static void send_service(struct mn_span *script)
{
    Meshnode__Gateway__Offer offer = MESHNODE__GATEWAY__OFFER__INIT;
    Meshnode__Gateway__Tool tool = MESHNODE__GATEWAY__TOOL__INIT, *tools[] = {&tool};
    Meshnode__Gateway__Item item = MESHNODE__GATEWAY__ITEM__INIT, *items[] = {&item};
    static char uri[] = "x://1";
    uint8_t kind = script_byte(script);
    struct mn_span name = script_line(script), definition = script_line(script);
    struct call_message message = {.type = CALL_MESSAGE_SERVICE};

    tool.name = mn_arena_format(&pieces, "%.*s", (int)name.size, (const char *)name.data);
    tool.definition = pb_bytes(definition);
    offer.tools = tools;
    offer.n_tools = 1;
    if (kind & 32) { /* a resource, too, whose changes it tells of */
        item.key = uri;
        item.definition = pb_bytes(mn_span_str("{\"uri\":\"x://1\",\"name\":\"x\"}"));
        offer.resources = items;
        offer.n_resources = 1;
        offer.capabilities =
            pb_bytes(mn_span_str("{\"tools\":{},\"resources\":{\"subscribe\":true}}"));
    }
    message.service = (struct call_service){.name = mn_span_str(kind & 1 ? "s" : "s.n"),
                                            .is_listed = kind & 2,
                                            .is_conflict = kind & 4};
    if (!(kind & 8)) message.service.body = pb_pack(&offer.base);
    if (kind & 16) {
        mn_buf_unref(message.service.body);
        message.service.body = mn_buf_copy(definition);
    }
    step(&(struct mcp_input){.type = MCP_IN_CALL, .call = &message});
    mn_buf_unref(message.service.body);
}

static void send_event(struct mn_span *script)
{
    uint8_t kind = script_byte(script);
    struct mn_span text = script_line(script);
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;
    struct call_message message = {.type = CALL_MESSAGE_EVENT};

    event.kind_case = (Meshnode__Gateway__Event__KindCase)(1 + kind % 4);
    error.code = -32000 - kind;
    error.data = pb_bytes(text);
    if (kind % 4 == 3)
        event.error = &error;
    else
        event.result = pb_bytes(text);
    message.event =
        (struct call_event){.ticket = ticket_last - kind / 64,
                            .kind = (enum call_event_kind)(1 + kind / 4 % 3),
                            .failure = (enum call_failure)(kind / 4 % 8),
                            .text = text,
                            .node = {{9}},
                            .payload = kind & 32 ? mn_buf_copy(text) : pb_pack(&event.base)};
    step(&(struct mcp_input){.type = MCP_IN_CALL, .call = &message});
    mn_buf_unref(message.event.payload);
}

/* Whatever a member may say while one of the newest calls runs. */
static void send_said(struct mn_span *script)
{
    static const uint8_t kinds[] = {1, 2, 5, 7, 8, 9, 10, 11};
    uint8_t kind = script_byte(script), which = script_byte(script);
    struct mn_span text = script_line(script);
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Question question = MESHNODE__GATEWAY__QUESTION__INIT;
    Meshnode__Gateway__TaskState task = MESHNODE__GATEWAY__TASK_STATE__INIT;
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;
    struct call_message message = {.type = CALL_MESSAGE_EVENT};
    char *copy = mn_arena_format(&pieces, "%.*s", (int)text.size, (const char *)text.data);

    event.kind_case = (Meshnode__Gateway__Event__KindCase)kinds[kind % 8];
    switch (kinds[kind % 8]) {
    case 5:
        question.key = copy;
        question.method = mn_arena_format(&pieces, "%s", kind & 8 ? "elicitation/create" : copy);
        question.params = pb_bytes(text);
        event.question = &question;
        break;
    case 7:
    case 8: event.updated = copy; break; /* or withdrawn */
    case 10:
        task.params = pb_bytes(text);
        if (kind & 16) task.session = pb_bytes(mn_span(whose, whose_size));
        if (kind & 32) task.progress_of = copy;
        event.task = &task;
        break;
    case 11:
        aside.params = pb_bytes(text);
        aside.method = mn_arena_format(&pieces, "%s",
                                       kind & 32   ? copy
                                       : kind & 64 ? "elicitation/create"
                                                   : "notifications/message");
        if (kind & 64) aside.key = which & 32 ? copy : mn_arena_format(&pieces, "k");
        aside.is_withdrawn = (kind & 128) != 0;
        if (kind & 16) aside.session = pb_bytes(mn_span(whose, whose_size));
        event.aside = &aside;
        break;
    default: event.progress = pb_bytes(text); break; /* or log, elicited */
    }
    message.event = (struct call_event){.ticket = tickets[which % TICKETS],
                                        .kind = CALL_EVENT_PROGRESS,
                                        .node = {{9}},
                                        .payload = pb_pack(&event.base)};
    step(&(struct mcp_input){.type = MCP_IN_CALL, .call = &message});
    mn_buf_unref(message.event.payload);
}

static void run(struct mn_span *script)
{
    uint64_t id_next = 1;

    while (script->size > 0) {
        uint8_t letter = script_byte(script);
        uint64_t id = id_next - 1 - (id_next > 1 ? letter / 32 % id_next % EXCHANGES : 0);
        switch (letter % 8) {
        case 0:
            if (id_next == EXCHANGES) return;
            open_exchange(script, id_next++);
            break;
        case 1: send_body(script, id, true); break;
        case 2: send_body(script, id, false); break;
        case 3: leave(id); break;
        case 4: send_service(script); break;
        case 5: send_event(script); break;
        case 6:
            now.mono = mn_time_after(now.mono, (mn_time)script_byte(script) * 10 * MN_SEC);
            step(&(struct mcp_input){.type = MCP_IN_TICK});
            break;
        default: send_said(script); break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[RNG_SEED_SIZE];
    struct mcp_config config = {.self = {{1}}, .seed = seed};
    struct mn_span script = {data, size};

    now = (struct mn_now){MN_SEC, MN_SEC};
    edge = (struct edge_outbox){.arena = &arena};
    calls = (struct call_outbox){.arena = &arena};
    memset(exchanges, 0, sizeof exchanges);
    memset(session, 0, sizeof session);
    ticket_last = tickets_count = 0;
    memset(tickets, 0, sizeof tickets);
    whose_size = 0;
    front = front_new(&config);
    run(&script);
    step(&(struct mcp_input){.type = MCP_IN_STOP});
    for (uint64_t id = 1; id < EXCHANGES; id++)
        leave(id);
    if (!front_is_idle(front)) abort();
    front_free(front);
    mn_arena_done(&arena);
    mn_arena_done(&pieces);
    return 0;
}
