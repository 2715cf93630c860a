/* Arbitrary HTTP exchanges, answers of the gateway and the core, events and times into the admin
 * core, over the real core of a founder. The input is a script: one letter and its operands per
 * step; whatever it says, the invariants hold, every exchange has at most one head and nothing
 * after its end, and nothing is left at the end. */
#include <sodium.h>
#include <stdlib.h>

#include "node/admin/admin.h"
#include "tests/fuzz/script.h"

#define EXCHANGES 32
#define ASKED_MAX 64

struct asked {
    uint64_t ticket;
    enum admin_output_type what;
};

static struct core *core;   /* of a founder; only read */
static struct state *state; /* of no group; only read */
static struct admin *admin;
static struct mn_now now;
static struct mn_arena arena, edge_arena;
static struct {
    uint64_t id;
    bool has_head, is_ended;
} exchanges[EXCHANGES];
static uint64_t id_last;
static struct asked asked[ASKED_MAX];
static uint32_t asked_count;

static size_t place(uint64_t id)
{
    return (size_t)(id / 2 % EXCHANGES);
}

static void found(void)
{
    struct core_config config = {.name = mn_span_str("n1"),
                                 .version = mn_span_str("0"),
                                 .role = MESHNODE__TRUST__ROLE__ROLE_AUTO};
    struct call_outbox calls = {.arena = &arena};
    struct core_outbox outbox = {.arena = &arena, .calls = &calls};
    struct core_input input = {.type = CORE_IN_RECOVERED};
    uint64_t written = 0;

    now = (struct mn_now){MN_SEC, 1800000000 * MN_SEC};
    core = core_new(&config);
    for (uint32_t done = 0;;) {
        core_step(core, now, &input, &outbox);
        for (uint64_t before = written; done < outbox.count; done++) {
            if (outbox.items[done].type == CORE_OUT_WRITE)
                written = outbox.items[done].write.number;
            if (outbox.items[done].type == CORE_OUT_NET_SEND)
                mn_buf_unref(outbox.items[done].net.buf);
            if (done + 1 == outbox.count && written == before) break;
        }
        if (input.type == CORE_IN_DURABLE && input.durable == written) break;
        input = (struct core_input){.type = CORE_IN_DURABLE, .durable = written};
    }
    call_outbox_reset(&calls);
    if (core_self(core).state != CORE_MEMBER) abort();
}

static void watch(const struct edge_output *output)
{
    size_t i = place(output->id);

    if (exchanges[i].id != output->id || exchanges[i].is_ended) abort();
    if (output->type == EDGE_OUT_HTTP_HEAD) {
        if (exchanges[i].has_head) abort();
        exchanges[i].has_head = true;
    } else if (output->type == EDGE_OUT_HTTP_BODY) {
        if (!exchanges[i].has_head) abort();
        exchanges[i].is_ended = output->flag;
    } else if (output->type == EDGE_OUT_HTTP_ABORT) {
        exchanges[i].is_ended = true;
    } else {
        abort();
    }
}

static void step(const struct admin_input *input)
{
    struct edge_outbox edge = {.arena = &edge_arena};
    struct admin_outbox outbox = {.arena = &arena, .edge = &edge};

    admin_step(admin, now, input, &outbox);
    admin_check(admin);
    for (uint32_t i = 0; i < edge.count; i++)
        watch(&edge.items[i]);
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct admin_output *output = &outbox.items[i];
        uint64_t ticket = output->gateway.ticket;
        if (output->type == ADMIN_OUT_COMMAND) ticket = output->command.request;
        if (output->type == ADMIN_OUT_STATE) ticket = output->state.ticket;
        asked[asked_count++ % ASKED_MAX] = (struct asked){ticket, output->type};
    }
    edge_outbox_reset(&edge);
    mn_arena_reset(&arena);
}

static void step_edge(const struct edge_input *input)
{
    step(&(struct admin_input){.type = ADMIN_IN_EDGE, .edge = input});
}

/* o FLAGS METHOD\n TARGET\n CONTENT-TYPE\n HOST\n */
static void open_exchange(struct mn_span *script)
{
    uint8_t flags = script_byte(script);
    struct edge_header headers[2] = {{.name = mn_span_str("content-type")},
                                     {.name = mn_span_str("host")}};
    struct edge_http_request http = {.listener =
                                         flags & 1 ? EDGE_LISTENER_HTTP : EDGE_LISTENER_ADMIN,
                                     .is_loopback = (flags & 2) != 0,
                                     .headers = headers,
                                     .headers_count = 2};
    struct edge_input input = {.type = EDGE_IN_HTTP_OPEN, .http = &http};

    http.method = script_line(script);
    http.target = script_line(script);
    headers[0].value = script_line(script);
    headers[1].value = script_line(script);
    if ((flags & 4) == 0 || exchanges[place(id_last)].id == 0 ||
        exchanges[place(id_last)].is_ended) {
        struct edge_input gone = {.type = EDGE_IN_HTTP_GONE};
        id_last += 2;
        gone.id = exchanges[place(id_last)].id;
        if (gone.id != 0) step_edge(&gone); /* its place is needed */
        exchanges[place(id_last)].id = id_last;
        exchanges[place(id_last)].has_head = exchanges[place(id_last)].is_ended = false;
    } /* else one that is open comes twice */
    input.id = id_last;
    step_edge(&input);
}

static void send_edge(struct mn_span *script, enum edge_input_type type)
{
    uint8_t which = script_byte(script);
    struct edge_input input = {.type = type, .id = exchanges[which % EXCHANGES].id};

    input.is_last = (which & 0x80) != 0;
    if (type == EDGE_IN_HTTP_BODY) input.bytes = script_line(script);
    if (input.id != 0) step_edge(&input);
    if (type == EDGE_IN_HTTP_GONE) exchanges[which % EXCHANGES].is_ended = true;
}

/* a STATUS WHY\n JSON\n: to the question asked last. */
static void answer(struct mn_span *script)
{
    mn_status status = -(mn_status)(script_byte(script) % 22);
    struct mn_span why = script_line(script), json = script_line(script);
    struct admission_token items[3] = {{.uses = 1}, {.uses = 2}, {.uses = 3}};
    struct asked to;

    if (asked_count == 0) return;
    to = asked[--asked_count % ASKED_MAX];
    if (to.what == ADMIN_OUT_STATE) {
        struct strong_pair pair = {.key = why, .value = json, .rev = 7, .created = 6};
        struct state_progress progress = {.match = json.size};
        struct state_answer said = {.ticket = to.ticket,
                                    .status = status,
                                    .reply = {-(mn_status)(json.size % 22), why.size, -3},
                                    .pairs = &pair,
                                    .pairs_count = (uint32_t)json.size % 2,
                                    .has_more = json.size % 4 == 1,
                                    .progress = &progress,
                                    .progress_count = (uint32_t)why.size % 2};
        step(&(struct admin_input){.type = ADMIN_IN_STATE, .state = &said});
    } else if (to.what == ADMIN_OUT_COMMAND) {
        struct core_reply reply = {
            .request = to.ticket, .status = status, .text = why, .items = items};
        for (size_t i = 0; i < json.size && i < sizeof items[0].id.bytes; i++)
            items[i % 3].id.bytes[i / 3] = json.data[i];
        reply.count = status == MN_OK ? (uint32_t)json.size % 4 : 0;
        step(&(struct admin_input){.type = ADMIN_IN_REPLY, .reply = &reply});
    } else {
        struct admin_gateway_answer gateway = {
            .ticket = to.ticket, .status = status, .json = json, .why = why};
        step(&(struct admin_input){.type = ADMIN_IN_GATEWAY, .gateway = &gateway});
    }
}

static void happen(struct mn_span *script)
{
    struct mn_trace_event event = {.mono = now.mono};
    struct mn_span text;

    event.event = (enum mn_event)(1 + script_byte(script) % (MN_EV_COUNT - 1));
    text = script_line(script);
    if (text.size > sizeof event.text - 1) text.size = sizeof event.text - 1;
    if (text.size > 0) memcpy(event.text, text.data, text.size);
    event.a = text.size;
    step(&(struct admin_input){.type = ADMIN_IN_EVENT, .event = &event});
}

static void play(struct mn_span *script)
{
    switch (script_byte(script)) {
    case 'o': open_exchange(script); break;
    case 'b': send_edge(script, EDGE_IN_HTTP_BODY); break;
    case 'g': send_edge(script, EDGE_IN_HTTP_GONE); break;
    case 'w': send_edge(script, EDGE_IN_HTTP_WRITABLE); break;
    case 'a': answer(script); break;
    case 'e': happen(script); break;
    case 's': step(&(struct admin_input){.type = ADMIN_IN_STOP}); break;
    case 't':
        now.mono += script_byte(script) * 10 * MN_MS;
        step(&(struct admin_input){.type = ADMIN_IN_TICK});
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_span script = {data, size};
    struct admin_config config = {.http_listen = mn_span_str("127.0.0.1:1")};

    if (core == NULL) {
        if (sodium_init() < 0) abort();
        found();
        state = state_new(&(struct state_config){.self = core_self(core).node_id});
    }
    memset(exchanges, 0, sizeof exchanges);
    id_last = 3;
    asked_count = 0;
    now.mono = MN_SEC;
    config.core = core;
    config.state = state;
    config.is_dev = size % 2 == 0;
    admin = admin_new(&config);
    while (script.size > 0)
        play(&script);
    for (size_t i = 0; i < EXCHANGES; i++)
        if (exchanges[i].id != 0)
            step_edge(&(struct edge_input){.type = EDGE_IN_HTTP_GONE, .id = exchanges[i].id});
    admin_check(admin);
    if (admin_deadline(admin) != MN_TIME_NEVER) {
        now.mono += MN_MINUTE;
        step(&(struct admin_input){.type = ADMIN_IN_TICK});
        if (admin_deadline(admin) != MN_TIME_NEVER) abort();
    }
    admin_free(admin);
    mn_arena_done(&arena);
    mn_arena_done(&edge_arena);
    return 0;
}
