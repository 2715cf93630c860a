/* Scripted MCP clients of both eras, each calling random tools through random nodes, and the ledger
 * of what came of every call. A client that got no answer from a living node within PATIENCE has
 * found a call that was silently lost. */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/sim.h"

#define CLIENTS_PER_HOST 2
#define PATIENCE (200 * MN_SEC)
#define LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 8, .nodes_max = 65536})

enum exchange_kind { EXCHANGE_CALL = 1, EXCHANGE_INITIALIZE, EXCHANGE_NOTE, EXCHANGE_LIST };

struct sim_client;

/* One HTTP request at one node. */
struct exchange {
    struct mn_list list; /* in host->exchanges */
    struct sim_host *host;
    uint64_t id;
    enum exchange_kind kind;
    struct sim_client *client; /* NULL for a check's own list */
    struct sim_call *call;     /* CALL */
    sim_list_done *done;       /* LIST */
    void *done_context;
    uint32_t code;
    bool is_sse;
    struct mn_writer body;
    struct sim_event patience;
};

struct sim_client {
    struct sim *sim;
    struct sim_host *host; /* where its legacy session lives */
    bool is_modern;
    char session[128]; /* legacy; empty: none */
    uint64_t session_boot;
    struct sim_event next;
};

static void client_act(struct sim *sim, void *context);

static void exchange_free(struct exchange *exchange)
{
    sim_cancel(exchange->host->sim, &exchange->patience);
    mn_list_remove(&exchange->list);
    mn_writer_drop(&exchange->body);
    mn_free(exchange);
}

static void client_again(struct sim_client *client)
{
    struct sim *sim = client->sim;

    if (sim->is_load_over) return;
    sim_at(sim, &client->next, sim->time + 20 * MN_MS + rng_below_u64(&sim->rng_work, 400 * MN_MS),
           client_act, client);
}

/* ---- what an answer says ---- */

/* The JSON-RPC message of a body: the whole, or the last `data:` line of an event stream. */
static struct mn_span body_message(const struct exchange *exchange, struct mn_span body)
{
    struct mn_span last = mn_span(NULL, 0);
    size_t begin = 0;

    if (!exchange->is_sse) return body;
    for (size_t i = 0; i < body.size; i++) {
        if (body.data[i] != '\n') continue;
        if (i - begin > 5 && memcmp(body.data + begin, "data:", 5) == 0)
            last = mn_span(body.data + begin + 5, i - begin - 5);
        begin = i + 1;
    }
    return last;
}

static void call_end(struct sim *sim, struct sim_call *call, enum sim_call_state state,
                     struct mn_span reason)
{
    call->state = state;
    call->ended = sim->time;
    if (reason.size >= sizeof call->reason) reason.size = sizeof call->reason - 1;
    if (reason.size > 0) memcpy(call->reason, reason.data, reason.size);
    if (state == SIM_CALL_ANSWERED) sim->stats.answered++;
    if (state == SIM_CALL_FAILED) sim->stats.failed++;
    if (state == SIM_CALL_GONE) sim->stats.gone++;
}

static void call_answered(struct sim *sim, struct exchange *exchange, struct mn_span body)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root, *error, *content;
    struct sim_call *call = exchange->call;
    char want[48];

    snprintf(want, sizeof want, "did %s", call->key);
    if (json_parse_copy(parser, body_message(exchange, body), LIMITS, &arena, &root) != MN_OK) {
        sim_fail(sim, "call %s at %s: the answer is no JSON (status %u)", call->key,
                 exchange->host->name, exchange->code);
    } else if ((error = json_find_str(root, "error")) != NULL) {
        struct mn_span reason = json_text(json_find_str(json_find_str(error, "data"), "reason"));
        call_end(sim, call, SIM_CALL_FAILED,
                 reason.size > 0 ? reason : json_text(json_find_str(error, "message")));
    } else {
        content = json_find_str(json_find_str(root, "result"), "content");
        if (!json_is(content, JSON_ARRAY) || content->count != 1 ||
            !mn_span_is(json_text(json_find_str(json_first(content), "text")), want))
            sim_fail(sim, "call %s at %s: wrong answer %.*s", call->key, exchange->host->name,
                     (int)body.size, (const char *)body.data);
        else if (call->executions == 0)
            sim_fail(sim, "call %s was answered but never executed", call->key);
        call_end(sim, call, SIM_CALL_ANSWERED, mn_span(NULL, 0));
    }
    mn_arena_done(&arena);
    json_parser_free(parser);
}

static void exchange_done(struct exchange *exchange)
{
    struct sim *sim = exchange->host->sim;
    struct mn_buf *body = mn_writer_done(&exchange->body);
    struct sim_client *client = exchange->client;

    if (exchange->kind == EXCHANGE_CALL) {
        if (exchange->code == 404 && !client->is_modern) { /* the session ended: start anew */
            client->session[0] = '\0';
            call_end(sim, exchange->call, SIM_CALL_FAILED, mn_span_str("not_found"));
        } else {
            call_answered(sim, exchange, mn_buf_span(body));
        }
    } else if (exchange->kind == EXCHANGE_LIST) {
        sim->stats.lists++;
        exchange->done(sim, exchange->host, body_message(exchange, mn_buf_span(body)),
                       exchange->done_context);
    }
    mn_buf_unref(body);
    exchange_free(exchange);
    if (client != NULL) client_again(client);
}

void sim_client_do(struct sim_host *host, const struct edge_output *output)
{
    struct exchange *exchange = NULL;

    MN_LIST_FOR_EACH (entry, &host->exchanges) {
        struct exchange *candidate = MN_CONTAINER(entry, struct exchange, list);
        if (candidate->id == output->id) exchange = candidate;
    }
    if (exchange == NULL || output->type == EDGE_OUT_HTTP_PAUSE) return;
    if (output->type == EDGE_OUT_HTTP_ABORT) {
        sim_fail(host->sim, "%s aborted an exchange", host->name);
        return;
    }
    if (output->type == EDGE_OUT_HTTP_HEAD) {
        exchange->code = output->code;
        for (uint32_t i = 0; i < output->headers_count; i++) {
            const struct edge_header *header = &output->headers[i];
            if (mn_span_is(header->name, "content-type"))
                exchange->is_sse = mn_span_is(header->value, "text/event-stream");
            if (mn_span_is(header->name, "mcp-session-id") && exchange->kind == EXCHANGE_INITIALIZE)
                snprintf(exchange->client->session, sizeof exchange->client->session, "%.*s",
                         (int)header->value.size, (const char *)header->value.data);
        }
        return;
    }
    if (output->buf != NULL) mn_writer_add(&exchange->body, mn_buf_span(output->buf));
    if (output->flag) exchange_done(exchange);
}

/* ---- asking ---- */

static void exchange_lost(struct sim *sim, void *context)
{
    struct exchange *exchange = context;

    if (exchange->host->is_frozen) { /* nobody can answer now */
        sim_at(sim, &exchange->patience, sim->time + PATIENCE, exchange_lost, exchange);
        return;
    }
    sim_fail(sim, "%s left a request unanswered for %llu s (%s)", exchange->host->name,
             (unsigned long long)(PATIENCE / MN_SEC),
             exchange->call != NULL ? exchange->call->key : "no call");
}

static struct exchange *exchange_new(struct sim_host *host, enum exchange_kind kind,
                                     struct sim_client *client)
{
    struct exchange *exchange = mn_alloc(sizeof *exchange);

    exchange->host = host;
    exchange->id = sim_host_id(host);
    exchange->kind = kind;
    exchange->client = client;
    mn_list_push_back(&host->exchanges, &exchange->list);
    sim_at(host->sim, &exchange->patience, host->sim->time + PATIENCE, exchange_lost, exchange);
    return exchange;
}

/* Sends it; [exchange] may be answered, and gone, when this returns. */
static void exchange_post(struct exchange *exchange, bool is_modern, const char *method,
                          const char *name, const char *session, const char *body)
{
    struct sim_host *host = exchange->host;
    uint64_t id = exchange->id;
    struct edge_header headers[8] = {
        {mn_span_str("host"), mn_span_str("127.0.0.1:7080")},
        {mn_span_str("content-type"), mn_span_str("application/json")},
        {mn_span_str("accept"), mn_span_str("application/json, text/event-stream")},
    };
    uint32_t count = 3;
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .method = mn_span_str("POST"),
                                     .target = mn_span_str("/mcp"),
                                     .address = mn_span_str("127.0.0.1"),
                                     .is_loopback = true,
                                     .headers = headers};

    if (is_modern) {
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-protocol-version"), mn_span_str("2026-07-28")};
        headers[count++] = (struct edge_header){mn_span_str("mcp-method"), mn_span_str(method)};
        if (name != NULL)
            headers[count++] = (struct edge_header){mn_span_str("mcp-name"), mn_span_str(name)};
    } else if (session != NULL) {
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-session-id"), mn_span_str(session)};
    }
    http.headers_count = count;
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .id = id, .http = &http});
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_HTTP_BODY,
                                              .id = id,
                                              .bytes = mn_span_str(body),
                                              .is_last = true});
}

#define MODERN_META                                                          \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static struct sim_host *client_pick_host(struct sim_client *client)
{
    struct sim *sim = client->sim;

    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (host->node != NULL && !host->is_frozen) return host;
    }
    return NULL;
}

static void client_initialize(struct sim_client *client, struct sim_host *host)
{
    client->host = host;
    client->session_boot = host->boots;
    exchange_post(exchange_new(host, EXCHANGE_INITIALIZE, client), false, NULL, NULL, NULL,
                  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                  "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{"
                  "\"name\":\"sim\",\"version\":\"1\"}}}");
}

static struct sim_call *call_new(struct sim *sim, struct sim_host *host, bool is_idempotent)
{
    struct sim_call *call = mn_alloc(sizeof *call);

    snprintf(call->key, sizeof call->key, "key-%llu", (unsigned long long)++sim->calls_count);
    call->state = SIM_CALL_OPEN;
    call->is_idempotent = is_idempotent;
    call->started = sim->time;
    call->entry_host = host->index;
    mn_map_insert(&sim->calls, &call->entry, mn_span_str(call->key));
    sim->stats.calls++;
    return call;
}

static void client_call(struct sim_client *client, struct sim_host *host)
{
    struct sim *sim = client->sim;
    bool is_look = rng_below(&sim->rng_work, 3) == 0;
    struct sim_call *call = call_new(sim, host, is_look);
    struct exchange *exchange = exchange_new(host, EXCHANGE_CALL, client);
    char name[64], body[512], session[sizeof client->session];

    if (rng_below(&sim->rng_work, 2) == 0)
        snprintf(name, sizeof name, "shared__%s", is_look ? "look" : "work");
    else
        snprintf(name, sizeof name, "own-n%u__%s", 1 + rng_below(&sim->rng_work, sim->hosts_count),
                 is_look ? "look" : "work");
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"tools/call\",\"params\":{\"name\":"
             "\"%s\",\"arguments\":{\"key\":\"%s\"}%s}}",
             call->key, name, call->key, client->is_modern ? "," MODERN_META : "");
    memcpy(session, client->session, sizeof session);
    exchange->call = call;
    exchange_post(exchange, client->is_modern, "tools/call", name, session, body);
}

static void client_act(struct sim *sim, void *context)
{
    struct sim_client *client = context;
    struct sim_host *host = client_pick_host(client);

    (void)sim;
    if (host == NULL) {
        client_again(client);
        return;
    }
    if (client->is_modern) {
        client_call(client, host);
        return;
    }
    if (client->session[0] == '\0' || client->host->node == NULL || client->host->is_frozen ||
        client->session_boot != client->host->boots) {
        client->session[0] = '\0';
        client_initialize(client, host);
    } else {
        client_call(client, client->host);
    }
}

void sim_client_start(struct sim *sim)
{
    sim->clients_count = CLIENTS_PER_HOST * sim->hosts_count;
    sim->clients = mn_alloc(sim->clients_count * sizeof *sim->clients);
    for (uint32_t i = 0; i < sim->clients_count; i++) {
        sim->clients[i] = (struct sim_client){.sim = sim, .is_modern = i % 2 == 0};
        client_again(&sim->clients[i]);
    }
}

void sim_client_stop(struct sim *sim)
{
    sim->is_load_over = true;
    for (uint32_t i = 0; i < sim->clients_count; i++)
        sim_cancel(sim, &sim->clients[i].next);
}

void sim_client_list(struct sim_host *host, sim_list_done *done, void *context)
{
    struct exchange *exchange = exchange_new(host, EXCHANGE_LIST, NULL);

    exchange->done = done;
    exchange->done_context = context;
    exchange_post(exchange, true, "tools/list", NULL, NULL,
                  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" MODERN_META
                  "}}");
}

/* The node died: its clients see their connections cut, and cannot know what became of a call. */
void sim_client_host_down(struct sim_host *host)
{
    while (!mn_list_is_empty(&host->exchanges)) {
        struct exchange *exchange = MN_CONTAINER(host->exchanges.next, struct exchange, list);
        struct sim_client *client = exchange->client;
        if (exchange->call != NULL)
            call_end(host->sim, exchange->call, SIM_CALL_GONE, mn_span(NULL, 0));
        exchange_free(exchange);
        if (client != NULL) client_again(client);
    }
}
