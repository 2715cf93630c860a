#include "tests/admin/admin_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define EXCHANGES_MAX 512
#define REPLIES_MAX 4

struct exchange {
    uint32_t code;
    char headers[512]; /* "name: value\n" */
    struct mn_writer body;
    bool is_over, is_aborted, is_stream;
};

struct admin *operator_admin;
static struct state *operator_state; /* of no group */
struct operator_gateway operator_gateways[ADMIN_GATEWAY_COUNTS + 1];
struct operator_asked operator_asked;
uint64_t operator_last;

static struct exchange exchanges[EXCHANGES_MAX];
static uint32_t exchanges_count;
static uint32_t node_index;
static struct core_reply replies[REPLIES_MAX];
static uint32_t replies_count, replies_done;

static void operator_step(const struct admin_input *input);

/* ---- the world ---- */

static void begin_exchanges(void)
{
    memset(exchanges, 0, sizeof exchanges);
    memset(&operator_asked, 0, sizeof operator_asked);
    exchanges_count = replies_count = replies_done = 0;
    operator_gateways[ADMIN_GATEWAY_SERVERS].json = "[]";
    operator_gateways[ADMIN_GATEWAY_SERVER].json = "{\"name\":\"s\"}";
    operator_gateways[ADMIN_GATEWAY_SERVER_LOGS].json = "[]";
    operator_gateways[ADMIN_GATEWAY_TOOLS].json = "[]";
    operator_gateways[ADMIN_GATEWAY_TOOL].json = "{\"name\":\"s__t\",\"server\":\"s\"}";
    operator_gateways[ADMIN_GATEWAY_COUNTS].json = "{\"listed\":0,\"offered\":{},\"servers\":[]}";
    for (uint32_t i = 0; i <= ADMIN_GATEWAY_COUNTS; i++) {
        operator_gateways[i].status = MN_OK;
        operator_gateways[i].why = "";
    }
}

void operator_begin_with(uint32_t node, struct admin_config config)
{
    begin_exchanges();
    node_index = node;
    config.core = world_core(node);
    state_free(operator_state); /* of an operator before */
    operator_state = state_new(&(struct state_config){.self = core_self(config.core).node_id});
    config.state = operator_state;
    operator_admin = admin_new(&config);
}

void operator_begin(uint32_t count)
{
    world_begin();
    world_start(0, &(struct world_config){.seed_node = -1});
    world_run(100 * MN_MS);
    for (uint32_t i = 1; i < count; i++)
        world_start(i, &(struct world_config){.token = world_token(), .seed_node = 0});
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(500 * MN_MS);
    operator_begin_with(0, (struct admin_config){.http_listen = mn_span_str("127.0.0.1:7080")});
}

void operator_end(void)
{
    admin_free(operator_admin);
    operator_admin = NULL;
    state_free(operator_state);
    operator_state = NULL;
    for (uint32_t i = 0; i < exchanges_count; i++)
        mn_writer_drop(&exchanges[i].body);
    world_end();
}

/* ---- what comes out ---- */

static struct exchange *exchange_of(uint64_t id)
{
    ck_assert_uint_eq(id % 2, 1);
    ck_assert_uint_lt(id / 2, exchanges_count);
    return &exchanges[id / 2];
}

static void on_head(const struct edge_output *output)
{
    struct exchange *exchange = exchange_of(output->id);
    size_t size = 0;

    ck_assert_uint_eq(exchange->code, 0);
    exchange->code = output->code;
    exchange->is_stream = output->flag;
    for (uint32_t i = 0; i < output->headers_count; i++)
        size += (size_t)snprintf(
            exchange->headers + size, sizeof exchange->headers - size, "%.*s: %.*s\n",
            (int)output->headers[i].name.size, (const char *)output->headers[i].name.data,
            (int)output->headers[i].value.size, (const char *)output->headers[i].value.data);
}

static void on_edge_output(const struct edge_output *output)
{
    struct exchange *exchange = exchange_of(output->id);

    ck_assert(!exchange->is_over);
    if (output->type == EDGE_OUT_HTTP_HEAD) {
        on_head(output);
    } else if (output->type == EDGE_OUT_HTTP_BODY) {
        ck_assert_uint_ne(exchange->code, 0);
        mn_writer_add(&exchange->body, mn_buf_span(output->buf));
        *mn_writer_take(&exchange->body, 1) = '\0'; /* for operator_body() */
        exchange->body.buf->size--;
        exchange->is_over = output->flag;
    } else {
        ck_assert_int_eq(output->type, EDGE_OUT_HTTP_ABORT);
        exchange->is_over = exchange->is_aborted = true;
    }
}

static void copy(char *to, size_t size, struct mn_span from)
{
    ck_assert_uint_lt(from.size, size);
    if (from.size > 0) memcpy(to, from.data, from.size);
    to[from.size] = '\0';
}

static void on_gateway_request(const struct admin_gateway_request *request)
{
    const struct operator_gateway *gateway = &operator_gateways[request->verb];
    struct admin_gateway_answer answer = {.ticket = request->ticket, .status = gateway->status};

    operator_asked.verb = request->verb;
    operator_asked.after = request->after;
    operator_asked.count++;
    copy(operator_asked.name, sizeof operator_asked.name, request->name);
    copy(operator_asked.text, sizeof operator_asked.text, request->text);
    if (gateway->status == MN_OK) answer.json = mn_span_str(gateway->json);
    answer.why = mn_span_str(gateway->why);
    operator_step(&(struct admin_input){.type = ADMIN_IN_GATEWAY, .gateway = &answer});
}

void operator_core_says(const struct core_reply *reply)
{
    ck_assert_uint_lt(replies_count, REPLIES_MAX);
    replies[replies_count++] = *reply;
}

static void on_command(const struct core_command *command)
{
    struct core_reply reply;

    if (replies_done < replies_count)
        reply = replies[replies_done++];
    else
        reply = *world_command(node_index, *command);
    reply.request = command->request;
    operator_step(&(struct admin_input){.type = ADMIN_IN_REPLY, .reply = &reply});
}

static void operator_step(const struct admin_input *input)
{
    struct mn_arena arena = {0}, edge_arena = {0};
    struct edge_outbox edge = {.arena = &edge_arena};
    struct admin_outbox outbox = {.arena = &arena, .edge = &edge};

    admin_step(operator_admin, world_now(), input, &outbox);
    admin_check(operator_admin);
    for (uint32_t i = 0; i < edge.count; i++) {
        if (edge.items[i].type == EDGE_OUT_WRITE)
            operator_step(
                &(struct admin_input){.type = ADMIN_IN_DURABLE, .durable = edge.items[i].id});
        else
            on_edge_output(&edge.items[i]);
    }
    for (uint32_t i = 0; i < outbox.count; i++) {
        if (outbox.items[i].type == ADMIN_OUT_GATEWAY)
            on_gateway_request(&outbox.items[i].gateway);
        else
            on_command(&outbox.items[i].command);
    }
    edge_outbox_reset(&edge);
    mn_arena_done(&edge_arena);
    mn_arena_done(&arena);
}

/* ---- what goes in ---- */

void operator_edge(enum edge_input_type type, uint64_t exchange, const char *bytes, bool is_last)
{
    struct edge_input input = {
        .type = type, .id = exchange, .bytes = mn_span_str(bytes), .is_last = is_last};

    operator_step(&(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &input});
}

static struct edge_header header(const char *name, const char *value)
{
    return (struct edge_header){mn_span_str(name), mn_span_str(value)};
}

uint64_t operator_open(const struct operator_request *request)
{
    struct edge_header headers[4];
    struct edge_http_request http = {.listener = request->listener == 0 ? EDGE_LISTENER_ADMIN
                                                                        : request->listener,
                                     .method = mn_span_str(request->method),
                                     .target = mn_span_str(request->target),
                                     .is_loopback = !request->is_remote,
                                     .headers = headers};
    struct edge_input input = {.type = EDGE_IN_HTTP_OPEN, .http = &http};
    const char *type = request->type;

    if (type == NULL && request->body != NULL) type = "application/json";
    if (type != NULL) headers[http.headers_count++] = header("content-type", type);
    if (request->host != NULL) headers[http.headers_count++] = header("host", request->host);
    if (request->origin != NULL) headers[http.headers_count++] = header("origin", request->origin);
    if (request->bearer != NULL)
        headers[http.headers_count++] = header("authorization", request->bearer);
    ck_assert_uint_lt(exchanges_count, EXCHANGES_MAX);
    input.id = 2 * (uint64_t)exchanges_count++ + 1;
    operator_last = input.id;
    operator_step(&(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &input});
    return input.id;
}

const char *ask_with(const struct operator_request *request)
{
    uint64_t exchange = operator_open(request);

    if (!operator_is_over(exchange))
        operator_edge(EDGE_IN_HTTP_BODY, exchange, request->body, true);
    ck_assert_uint_ne(operator_code(exchange), 0);
    return operator_body(exchange);
}

const char *ask(const char *method, const char *target, const char *body)
{
    return ask_with(&(struct operator_request){.method = method, .target = target, .body = body});
}

void operator_event(enum mn_event type, uint64_t a, const char *text)
{
    struct mn_trace_event event = {.mono = world_now().mono, .event = type, .a = a};

    snprintf(event.text, sizeof event.text, "%s", text);
    operator_step(&(struct admin_input){.type = ADMIN_IN_EVENT, .event = &event});
}

void operator_stop(void)
{
    operator_step(&(struct admin_input){.type = ADMIN_IN_STOP});
}

void operator_pass(mn_time time)
{
    mn_time end = world_now().mono + time;

    for (mn_time next; (next = admin_deadline(operator_admin)) <= end;) {
        if (next > world_now().mono) world_run(next - world_now().mono);
        operator_step(&(struct admin_input){.type = ADMIN_IN_TICK});
    }
    world_run(end - world_now().mono);
}

/* ---- looking ---- */

uint32_t operator_code(uint64_t exchange)
{
    return exchange_of(exchange)->code;
}

const char *operator_body(uint64_t exchange)
{
    const struct exchange *of = exchange_of(exchange);
    return of->body.buf == NULL ? "" : (const char *)of->body.buf->bytes;
}

const char *operator_header(uint64_t exchange, const char *name)
{
    static char value[256];
    const char *line = exchange_of(exchange)->headers;

    for (; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, name, strlen(name)) != 0 || line[strlen(name)] != ':') continue;
        line += strlen(name) + 2;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\n"), line);
        return value;
    }
    return NULL;
}

bool operator_is_over(uint64_t exchange)
{
    return exchange_of(exchange)->is_over;
}

bool operator_is_aborted(uint64_t exchange)
{
    return exchange_of(exchange)->is_aborted;
}

bool operator_is_stream(uint64_t exchange)
{
    return exchange_of(exchange)->is_stream;
}
