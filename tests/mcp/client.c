#include "tests/mcp/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rng.h"
#include "proto/pb.h"

struct front *client_front;
struct mn_now client_now;
struct client_call client_calls[CLIENT_CALLS_MAX];
uint32_t client_calls_count;
struct client_input client_input;
bool client_keeps_ids;
struct mcp_config client_config;
bool client_is_unchecked;
struct client_carry client_carries[CLIENT_CARRIES_MAX];
uint32_t client_carries_count;

#define WRITES_MAX 64

static struct {
    char key[64];
    struct mn_buf *value;
} writes[WRITES_MAX];
static uint32_t writes_count;

static const uint8_t seed[RNG_SEED_SIZE] = "a seed for tests of the gateway";
static struct client_response responses[CLIENT_RESPONSES_MAX];
static uint32_t responses_count;
static uint64_t exchange_last;
static struct mn_arena arena, kept;
static struct edge_outbox edge;
static struct call_outbox calls;

void client_config_reset(void)
{
    client_config = (struct mcp_config){.self = {{7}}, .seed = seed};
}

void client_setup(void)
{
    client_server = (mn_id){{9}};
    if (client_config.seed == NULL) client_config_reset();
    client_now = (struct mn_now){1000 * MN_SEC, 1700000000 * MN_SEC};
    edge = (struct edge_outbox){.arena = &arena};
    calls = (struct call_outbox){.arena = &arena};
    client_front = front_new(&client_config);
    responses_count = client_calls_count = client_carries_count = 0;
    client_input = (struct client_input){0};
    client_keeps_ids = false;
    exchange_last = 1;
}

void client_forget_all(void)
{
    for (uint32_t i = 0; i < responses_count; i++)
        free(responses[i].body);
    memset(responses, 0, sizeof responses);
    responses_count = 0;
}

void client_teardown(void)
{
    client_forget_all();
    front_free(client_front);
    mn_arena_done(&arena);
    mn_arena_done(&kept);
    while (writes_count > 0)
        mn_buf_unref(writes[--writes_count].value);
    client_config_reset();
}

void client_restart(void)
{
    front_free(client_front);
    client_front = front_new(&client_config);
    for (uint32_t i = 0; i < writes_count; i++) {
        struct mn_buf *value = writes[i].value; /* it may be written again */
        if (value == NULL) continue;
        mn_buf_ref(value);
        client_step(&(struct mcp_input){
            .type = MCP_IN_RECOVER, .recover = {mn_span_str(writes[i].key), mn_buf_span(value)}});
        mn_buf_unref(value);
    }
}

static void copy_text(char *to, size_t size, struct mn_span text)
{
    ck_assert_uint_lt(text.size, size);
    if (text.size > 0) memcpy(to, text.data, text.size);
    to[text.size] = 0;
}

static struct client_response *find(uint64_t id)
{
    for (uint32_t i = 0; i < responses_count; i++)
        if (responses[i].id == id) return &responses[i];
    ck_assert_uint_lt(responses_count, CLIENT_RESPONSES_MAX);
    responses[responses_count] = (struct client_response){.id = id, .body = calloc(1, 1)};
    return &responses[responses_count++];
}

const struct client_response *client_response(uint64_t id)
{
    return find(id);
}

void client_forget(uint64_t id)
{
    struct client_response *response = find(id);
    response->body_size = 0;
    response->body[0] = 0;
}

static void on_head(const struct edge_output *output)
{
    struct client_response *response = find(output->id);

    ck_assert_uint_eq(response->code, 0); /* one head per response */
    response->code = output->code;
    response->is_stream = output->flag;
    for (uint32_t i = 0; i < output->headers_count; i++) {
        const struct edge_header *header = &output->headers[i];
        if (mn_span_is(header->name, "content-type"))
            copy_text(response->type, sizeof response->type, header->value);
        if (mn_span_is(header->name, "mcp-session-id"))
            copy_text(response->session, sizeof response->session, header->value);
        if (mn_span_is(header->name, "meshnode-meshes"))
            copy_text(response->meshes, sizeof response->meshes, header->value);
        if (mn_span_is(header->name, "allow"))
            copy_text(response->allow, sizeof response->allow, header->value);
        if (mn_span_is(header->name, "www-authenticate"))
            copy_text(response->authenticate, sizeof response->authenticate, header->value);
    }
}

/* One event without its id; nothing of one that has only an id. */
static struct mn_span without_id(struct mn_span event)
{
    static const char head[] = "event: message\n";
    const size_t head_size = sizeof head - 1;
    uint8_t *copy;
    const uint8_t *end;

    if (event.size > 4 && memcmp(event.data, "id: ", 4) == 0) return mn_span(NULL, 0);
    if (event.size <= head_size + 4 || memcmp(event.data + head_size, "id: ", 4) != 0) return event;
    end = memchr(event.data + head_size, '\n', event.size - head_size);
    copy = mn_arena_alloc(&kept, event.size);
    memcpy(copy, head, head_size);
    memcpy(copy + head_size, end + 1, (size_t)(event.data + event.size - end - 1));
    return mn_span(copy, head_size + (size_t)(event.data + event.size - end - 1));
}

/* Room for [size] bytes more and a NUL: an answer may come in hundreds of pieces. */
static void grow_body(struct client_response *response, size_t size)
{
    size_t needed = response->body_size + size + 1;

    if (needed <= response->body_capacity) return;
    response->body_capacity = needed + needed / 2;
    response->body = realloc(response->body, response->body_capacity);
    ck_assert_ptr_nonnull(response->body);
}

static void on_body(const struct edge_output *output)
{
    struct client_response *response = find(output->id);
    struct mn_span bytes = mn_buf_span(output->buf);

    ck_assert_uint_ne(response->code, 0); /* the head comes first */
    ck_assert(!response->is_ended);       /* and nothing after the end */
    grow_body(response, bytes.size);
    response->is_ended = output->flag;
    if (!client_keeps_ids && response->is_stream) bytes = without_id(bytes);
    if (bytes.size > 0) memcpy(response->body + response->body_size, bytes.data, bytes.size);
    response->body_size += bytes.size;
    response->body[response->body_size] = 0;
}

static void on_write(const struct edge_output *write)
{
    uint32_t i = 0;

    while (i < writes_count && !mn_span_is(write->key, writes[i].key))
        i++;
    ck_assert_uint_lt(i, WRITES_MAX);
    if (i == writes_count) copy_text(writes[writes_count++].key, sizeof writes->key, write->key);
    mn_buf_unref(writes[i].value);
    writes[i].value = write->bytes.data == NULL ? NULL : mn_buf_copy(write->bytes);
}

static void on_request(const struct call_request *from)
{
    struct client_call *call = &client_calls[client_calls_count++];

    ck_assert_uint_le(client_calls_count, CLIENT_CALLS_MAX);
    *call = (struct client_call){
        .ticket = from->ticket, .is_idempotent = from->is_idempotent, .node = from->node};
    copy_text(call->service, sizeof call->service, from->service);
    copy_text(call->trace, sizeof call->trace, from->trace);
    call->request =
        pb_unpack(&meshnode__gateway__request__descriptor, &kept, mn_buf_span(from->payload));
    ck_assert_ptr_nonnull(call->request);
    call->params =
        mn_arena_format(&kept, "%.*s", (int)call->request->params.len, call->request->params.data);
}

static struct client_call *call_of(uint64_t ticket)
{
    for (uint32_t i = 0; i < client_calls_count; i++)
        if (client_calls[i].ticket == ticket) return &client_calls[i];
    return NULL;
}

static void on_input(const struct call_more *more)
{
    const Meshnode__Gateway__Input *input =
        pb_unpack(&meshnode__gateway__input__descriptor, &kept, mn_buf_span(more->payload));
    const Meshnode__Gateway__Answer *answer;

    ck_assert_ptr_nonnull(input);
    if (input->what_case == MESHNODE__GATEWAY__INPUT__WHAT_WISHES) {
        struct client_call *call = call_of(more->ticket);
        if (call != NULL) call->wishes_count++;
        client_input =
            (struct client_input){.ticket = more->ticket, .wishes = "", .levels = "", .own = ""};
        for (size_t i = 0; i < input->wishes->n_uris; i++)
            client_input.wishes =
                mn_arena_format(&kept, "%s%s ", client_input.wishes, input->wishes->uris[i]);
        for (size_t i = 0; i < input->wishes->n_tasks; i++) {
            const Meshnode__Gateway__TaskWish *wish = input->wishes->tasks[i];
            client_input.wishes = mn_arena_format(&kept, "%s%s ", client_input.wishes, wish->id);
            client_input.session = pb_span(wish->session);
        }
        for (size_t i = 0; i < input->wishes->n_sessions; i++) {
            const Meshnode__Gateway__SessionWish *wish = input->wishes->sessions[i];
            client_input.levels =
                mn_arena_format(&kept, "%s%s ", client_input.levels, wish->log_level);
            client_input.session = pb_span(wish->session);
            client_input.moves = wish->moves;
            client_input.opened_ms = wish->opened_ms;
            for (size_t k = 0; k < wish->n_uris; k++)
                client_input.own = mn_arena_format(&kept, "%s%s ", client_input.own, wish->uris[k]);
        }
        return;
    }
    ck_assert_int_eq(input->what_case, MESHNODE__GATEWAY__INPUT__WHAT_ANSWER);
    answer = input->answer;
    client_input = (struct client_input){
        .ticket = more->ticket, .key = answer->key, .result = "", .by_client = answer->by_client};
    if (answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW_ERROR)
        client_input.code = (int)answer->error->code;
    else
        client_input.result =
            mn_arena_format(&kept, "%.*s", (int)answer->result.len, answer->result.data);
}

static void on_cancel(uint64_t ticket)
{
    struct client_call *call = call_of(ticket);

    if (call != NULL) call->is_cancelled = true;
}

static void on_carry(const struct mcp_carry *carry)
{
    struct client_carry *kept_carry = &client_carries[client_carries_count++];

    ck_assert_uint_le(client_carries_count, CLIENT_CARRIES_MAX);
    kept_carry->to = carry->to;
    kept_carry->packet =
        pb_unpack(&meshnode__record__packet__descriptor, &kept, mn_buf_span(carry->buf));
    ck_assert_ptr_nonnull(kept_carry->packet);
    mn_buf_unref(carry->buf);
}

void client_nodes(uint32_t count)
{
    mn_id ids[16] = {{{0}}};
    struct mcp_input input = {.type = MCP_IN_NODES, .nodes = {ids, count}};

    for (uint32_t i = 0; i < count; i++)
        ids[i].bytes[0] = (uint8_t)(i + 1);
    client_step(&input);
}

void client_carried(const mn_id *from, const Meshnode__Record__Packet *packet)
{
    struct mn_buf *bytes = pb_pack(&packet->base);

    client_step(
        &(struct mcp_input){.type = MCP_IN_CARRIED, .carried = {*from, mn_buf_span(bytes)}});
    mn_buf_unref(bytes);
}

void client_confirm_puts(void)
{
    uint32_t count = client_carries_count;

    for (uint32_t i = 0; i < count; i++) {
        Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
        Meshnode__Record__Stored stored = MESHNODE__RECORD__STORED__INIT;
        const Meshnode__Record__Packet *said = client_carries[i].packet;
        if (said->what_case != MESHNODE__RECORD__PACKET__WHAT_PUT) continue;
        stored.key = said->put->key;
        stored.version = said->put->version;
        stored.writer = said->put->writer;
        packet.what_case = MESHNODE__RECORD__PACKET__WHAT_STORED;
        packet.stored = &stored;
        client_carried(&client_carries[i].to, &packet);
    }
    client_carries_count = 0;
}

void client_step(const struct mcp_input *input)
{
    struct mn_arena carried = {0};
    struct mcp_carries carries = {.arena = &carried};
    struct mcp_outbox outbox = {&edge, &calls, &carries};

    front_step(client_front, client_now, input, &outbox);
    if (!client_is_unchecked) front_check(client_front);
    for (uint32_t i = 0; i < edge.count; i++) {
        if (edge.items[i].type == EDGE_OUT_HTTP_HEAD) on_head(&edge.items[i]);
        if (edge.items[i].type == EDGE_OUT_HTTP_BODY) on_body(&edge.items[i]);
        if (edge.items[i].type == EDGE_OUT_WRITE) on_write(&edge.items[i]);
    }
    for (uint32_t i = 0; i < calls.count; i++) {
        if (calls.items[i].type == CALL_MESSAGE_REQUEST) on_request(&calls.items[i].request);
        if (calls.items[i].type == CALL_MESSAGE_INPUT) on_input(&calls.items[i].more);
        if (calls.items[i].type == CALL_MESSAGE_CANCEL) on_cancel(calls.items[i].ticket);
    }
    for (uint32_t i = 0; i < carries.count; i++)
        on_carry(&carries.items[i]);
    mn_arena_done(&carried);
    call_outbox_reset(&calls);
    edge_outbox_reset(&edge);
}

static void client_edge(const struct edge_input *input)
{
    client_step(&(struct mcp_input){.type = MCP_IN_EDGE, .edge = input});
}

void client_at(mn_time mono)
{
    client_now.mono = mono;
    client_step(&(struct mcp_input){.type = MCP_IN_TICK});
}

static struct edge_header split(const char *line)
{
    const char *colon = strchr(line, ':');
    struct edge_header header = {mn_span(line, (size_t)(colon - line)), {0}};

    if (colon[1] != 0) header.value = mn_span_str(colon + 2);
    return header;
}

static bool has(const struct edge_header *headers, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (mn_span_is(headers[i].name, name)) return true;
    return false;
}

uint64_t client_open(const char *method, const char *target, const char *const *lines)
{
    static const char *const usual[] = {"host: localhost:7080",
                                        "accept: application/json, text/event-stream",
                                        "content-type: application/json"};
    struct edge_header headers[32];
    uint32_t count = 0, sent = 0;
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .method = mn_span_str(method),
                                     .target = mn_span_str(target),
                                     .address = mn_span_str("127.0.0.1"),
                                     .is_loopback = true};

    for (; lines != NULL && *lines != NULL; lines++)
        headers[count++] = split(*lines);
    for (int i = 0; i < 3; i++) {
        struct edge_header header = split(usual[i]);
        char name[32];
        copy_text(name, sizeof name, header.name);
        if (!has(headers, count, name)) headers[count++] = header;
    }
    for (uint32_t i = 0; i < count; i++)
        if (headers[i].value.data != NULL) headers[sent++] = headers[i];
    http.headers = headers;
    http.headers_count = sent;
    exchange_last += 2;
    client_edge(
        &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .id = exchange_last, .http = &http});
    return exchange_last;
}

void client_body(uint64_t id, const char *bytes, size_t size, bool is_last)
{
    /* Exactly as large as it is, so that a sanitizer sees every byte read past it. */
    uint8_t *copy = malloc(size == 0 ? 1 : size);

    memcpy(copy, bytes, size);
    client_edge(&(struct edge_input){
        .type = EDGE_IN_HTTP_BODY, .id = id, .bytes = mn_span(copy, size), .is_last = is_last});
    free(copy);
}

void client_writable(uint64_t id)
{
    client_edge(&(struct edge_input){.type = EDGE_IN_HTTP_WRITABLE, .id = id});
}

void client_gone(uint64_t id)
{
    client_edge(&(struct edge_input){.type = EDGE_IN_HTTP_GONE, .id = id});
}

const struct client_response *client_send(const char *method, const char *target,
                                          const char *const *headers, const char *body)
{
    uint64_t id = client_open(method, target, headers);

    if (body != NULL) client_body(id, body, strlen(body), true);
    return find(id);
}

const struct client_response *client_stream(const char *session)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    return client_send("GET", "/mcp", headers, NULL);
}

const struct client_response *client_legacy(const char *session, const char *body)
{
    char line[400];
    const char *const headers[] = {line, "mcp-protocol-version: 2025-11-25", NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    return client_send("POST", "/mcp", headers, body);
}

const struct client_response *client_modern(const char *method, const char *name,
                                            const char *params)
{
    char lines[2][256], body[65536];
    const char *headers[] = {"mcp-protocol-version: 2026-07-28", lines[0], NULL, NULL};

    snprintf(lines[0], sizeof lines[0], "mcp-method: %s", method);
    snprintf(lines[1], sizeof lines[1], "mcp-name: %s", name == NULL ? "" : name);
    if (name != NULL) headers[2] = lines[1];
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
             method, params);
    return client_send("POST", "/mcp", headers, body);
}

const char *client_initialize(const char *target, const char *version)
{
    char body[512];
    const struct client_response *response;

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
             "\"protocolVersion\":\"%s\",\"capabilities\":{\"roots\":{}},"
             "\"clientInfo\":{\"name\":\"t\",\"version\":\"0\"}}}",
             version);
    response = client_send("POST", target, NULL, body);
    ck_assert_uint_eq(response->code, 200);
    ck_assert_uint_gt(strlen(response->session), 32);
    return response->session;
}

static void client_call_message(const struct call_message *message)
{
    client_step(&(struct mcp_input){.type = MCP_IN_CALL, .call = message});
}

/* The value of a string member, as far as it needs no escapes. */
static char *offered_key(const char *definition, const char *key)
{
    const char *at = strstr(definition, mn_arena_format(&kept, "\"%s\":\"", key));

    if (at == NULL) return mn_arena_format(&kept, "%s", "");
    at += strlen(key) + 4;
    return mn_arena_format(&kept, "%.*s", (int)(strchr(at, '"') - at), at);
}

static Meshnode__Gateway__Tool *offered(const char *definition)
{
    Meshnode__Gateway__Tool *tool = mn_arena_alloc(&kept, sizeof *tool);

    meshnode__gateway__tool__init(tool);
    tool->name = offered_key(definition, "name");
    tool->definition = pb_bytes(mn_span_str(definition));
    tool->read_only = strstr(definition, "\"readOnlyHint\":true") != NULL;
    return tool;
}

static size_t offered_items(const char *const *definitions, const uint64_t *audiences,
                            const char *key, Meshnode__Gateway__Item ***ret)
{
    size_t count = 0;

    while (definitions != NULL && definitions[count] != NULL)
        count++;
    *ret = mn_arena_alloc(&kept, (count + 1) * sizeof **ret);
    for (size_t i = 0; i < count; i++) {
        Meshnode__Gateway__Item *item = mn_arena_alloc(&kept, sizeof *item);
        meshnode__gateway__item__init(item);
        item->key = offered_key(definitions[i], key);
        item->definition = pb_bytes(mn_span_str(definitions[i]));
        item->audience = audiences == NULL ? 0 : audiences[i];
        (*ret)[i] = item;
    }
    return count;
}

void client_service_offer(const char *name, bool is_listed, const struct client_offer *from)
{
    Meshnode__Gateway__Offer offer = MESHNODE__GATEWAY__OFFER__INIT;
    Meshnode__Gateway__Tool **list;
    char instructions[] = "Use it \"well\".";
    struct call_message message = {.type = CALL_MESSAGE_SERVICE};

    offer.format = 1;
    offer.server_info = pb_bytes(mn_span_str("{\"name\":\"up\",\"version\":\"9\"}"));
    offer.capabilities = pb_bytes(mn_span_str(
        from->capabilities == NULL ? "{\"tools\":{},\"prompts\":{}}" : from->capabilities));
    offer.instructions = instructions;
    offer.is_streaming = from->is_streaming;
    while (from->tools != NULL && from->tools[offer.n_tools] != NULL)
        offer.n_tools++;
    list = mn_arena_alloc(&kept, (offer.n_tools + 1) * sizeof(*list));
    for (size_t i = 0; i < offer.n_tools; i++) {
        list[i] = offered(from->tools[i]);
        list[i]->audience = from->audiences[0] == NULL ? 0 : from->audiences[0][i];
    }
    offer.tools = list;
    offer.n_prompts = offered_items(from->prompts, from->audiences[1], "name", &offer.prompts);
    offer.n_resources = offered_items(from->resources, from->audiences[2], "uri", &offer.resources);
    offer.n_templates =
        offered_items(from->templates, from->audiences[3], "uriTemplate", &offer.templates);
    if (from->amend != NULL) from->amend(&offer);
    message.service = (struct call_service){.name = mn_span_str(name),
                                            .body = pb_pack(&offer.base),
                                            .providers_count = 1,
                                            .is_listed = is_listed};
    client_call_message(&message);
    mn_buf_unref(message.service.body);
}

void client_service(const char *name, bool is_listed, const char *const *tools)
{
    client_service_offer(name, is_listed, &(struct client_offer){.tools = tools});
}

void client_service_gone(const char *name, bool is_conflict)
{
    struct call_message message = {.type = CALL_MESSAGE_SERVICE};

    message.service = (struct call_service){.name = mn_span_str(name), .is_conflict = is_conflict};
    client_call_message(&message);
}

mn_id client_server;

static void client_event(uint64_t ticket, enum call_event_kind kind,
                         const Meshnode__Gateway__Event *event)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT};

    message.event = (struct call_event){
        .ticket = ticket, .kind = kind, .payload = pb_pack(&event->base), .node = client_server};
    client_call_message(&message);
    mn_buf_unref(message.event.payload);
}

void client_result(uint64_t ticket, const char *json)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(mn_span_str(json));
    client_event(ticket, CALL_EVENT_RESULT, &event);
}

void client_served(uint64_t ticket)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_task(uint64_t ticket, const char *params, struct mn_span session)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__TaskState state = MESHNODE__GATEWAY__TASK_STATE__INIT;

    state.params = pb_bytes(mn_span_str(params));
    state.session = pb_bytes(session);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TASK;
    event.task = &state;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_task_progress(uint64_t ticket, const char *id, const char *params,
                          struct mn_span session)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__TaskState state = MESHNODE__GATEWAY__TASK_STATE__INIT;

    state.params = pb_bytes(mn_span_str(params));
    state.session = pb_bytes(session);
    state.progress_of = mn_arena_format(&kept, "%s", id);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TASK;
    event.task = &state;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_aside(uint64_t ticket, struct mn_span session, const char *method, const char *params)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    aside.session = pb_bytes(session);
    aside.method = mn_arena_format(&kept, "%s", method);
    aside.params = pb_bytes(mn_span_str(params));
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ASIDE;
    event.aside = &aside;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_aside_question(uint64_t ticket, struct mn_span session, const char *key,
                           const char *method, const char *params)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    aside.session = pb_bytes(session);
    aside.key = mn_arena_format(&kept, "%s", key);
    aside.method = mn_arena_format(&kept, "%s", method);
    aside.params = pb_bytes(mn_span_str(params));
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ASIDE;
    event.aside = &aside;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_aside_withdrawn(uint64_t ticket, struct mn_span session, const char *key)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    aside.session = pb_bytes(session);
    aside.key = mn_arena_format(&kept, "%s", key);
    aside.is_withdrawn = true;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ASIDE;
    event.aside = &aside;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_updated(uint64_t ticket, const char *uri)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_UPDATED;
    event.updated = mn_arena_format(&kept, "%s", uri);
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

static void client_settled(uint64_t ticket, const char *uri, Meshnode__Gateway__Error *refusal)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Taken taken = MESHNODE__GATEWAY__TAKEN__INIT;

    taken.uri = mn_arena_format(&kept, "%s", uri);
    taken.refusal = refusal;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TAKEN;
    event.taken = &taken;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_taken(uint64_t ticket, const char *uri)
{
    client_settled(ticket, uri, NULL);
}

void client_refused(uint64_t ticket, const char *uri, int code, const char *message,
                    const char *data)
{
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = code;
    error.message = mn_arena_format(&kept, "%s", message);
    if (data != NULL) error.data = pb_bytes(mn_span_str(data));
    client_settled(ticket, uri, &error);
}

void client_question(uint64_t ticket, const char *key, const char *method, const char *params)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Question question = MESHNODE__GATEWAY__QUESTION__INIT;

    question.key = mn_arena_format(&kept, "%s", key);
    question.method = mn_arena_format(&kept, "%s", method);
    question.params = pb_bytes(mn_span_str(params));
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_QUESTION;
    event.question = &question;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_withdrawn(uint64_t ticket, const char *key)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_WITHDRAWN;
    event.withdrawn = mn_arena_format(&kept, "%s", key);
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_outlived(uint64_t ticket, const char *key, const char *as)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Outlived outlived = MESHNODE__GATEWAY__OUTLIVED__INIT;

    outlived.key = mn_arena_format(&kept, "%s", key);
    outlived.as = mn_arena_format(&kept, "%s", as);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_OUTLIVED;
    event.outlived = &outlived;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_elicited(uint64_t ticket, const char *json)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ELICITED;
    event.elicited = pb_bytes(mn_span_str(json));
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_parked(uint64_t ticket, const char *json, const char *resume)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(mn_span_str(json));
    event.resume = pb_bytes(mn_span_str(resume));
    client_event(ticket, CALL_EVENT_RESULT, &event);
}

void client_error(uint64_t ticket, int code, const char *message, const char *data)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = code;
    error.message = mn_arena_format(&kept, "%s", message);
    error.data = pb_bytes(mn_span_str(data));
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ERROR;
    event.error = &error;
    client_event(ticket, CALL_EVENT_RESULT, &event);
}

void client_progress(uint64_t ticket, const char *json)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_PROGRESS;
    event.progress = pb_bytes(mn_span_str(json));
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_away(uint64_t ticket, uint32_t retry_ms)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_AWAY;
    event.away = retry_ms;
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_log(uint64_t ticket, const char *json)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_LOG;
    event.log = pb_bytes(mn_span_str(json));
    client_event(ticket, CALL_EVENT_PROGRESS, &event);
}

void client_failed(uint64_t ticket, enum call_failure failure, const char *text)
{
    struct call_message message = {.type = CALL_MESSAGE_EVENT};

    message.event = (struct call_event){
        .ticket = ticket, .kind = CALL_EVENT_FAILED, .failure = failure, .text = mn_span_str(text)};
    client_call_message(&message);
}
