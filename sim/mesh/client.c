/* Scripted MCP clients of both eras, each calling random tools through random nodes, and the ledger
 * of what came of every call. */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

#define CLIENTS_PER_HOST 2
/* What may be repeated, or did not start, has its time anew at each node, and a silent link is
 * given up after 13 s. */
#define PATIENCE (3 * SIM_CALL_TIMEOUT + 10 * MN_SEC)
#define PATIENCE_INITIALIZE (5 * MN_SEC)
#define BURST_MIN 300  /* more than one server is sent at once */
#define PAD_MAX 300000 /* bytes: more than a connection has on its way */
#define LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 8, .nodes_max = 65536})

struct sim_client {
    struct sim *sim;
    struct sim_host *host; /* where its legacy session lives */
    bool is_modern;
    char session[SIM_SESSION_SIZE]; /* legacy; empty: none */
    uint64_t session_boot;
    struct sim_event next;
};

static void client_act(struct sim *sim, void *context);

static void client_again(struct sim_client *client)
{
    struct sim *sim = client->sim;

    if (sim->is_load_over) return;
    sim_at(sim, &client->next, sim->time + 20 * MN_MS + rng_below_u64(&sim->rng_work, 400 * MN_MS),
           client_act, client);
}

/* ---- the ledger ---- */

struct sim_call *sim_call_new(struct sim *sim, struct sim_host *host, const char *tool,
                              bool is_idempotent)
{
    struct sim_call *call = mn_alloc(sizeof *call);

    snprintf(call->key, sizeof call->key, "key-%llu", (unsigned long long)++sim->calls_count);
    call->state = SIM_CALL_OPEN;
    call->is_idempotent = is_idempotent;
    call->started = sim->time;
    call->entry_host = host->index;
    snprintf(call->tool, sizeof call->tool, "%s", tool);
    mn_map_insert(&sim->calls, &call->entry, mn_span_str(call->key));
    sim->stats.calls++;
    return call;
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
    if (sim->options.is_verbose && state != SIM_CALL_ANSWERED)
        printf("%9.3f %-3s call %s of %s, made at %.3f: %s\n", (double)sim->time / 1e6,
               sim->hosts[call->entry_host].name, call->key, call->tool,
               (double)call->started / 1e6, state == SIM_CALL_GONE ? "cut off" : call->reason);
    sim_check_call(sim, call);
}

/* The server says what it did. */
static bool is_right_answer(const struct sim_call *call, const struct json *result)
{
    const struct json *content = json_find_str(result, "content");
    char want[48];

    snprintf(want, sizeof want, "did %s", call->key);
    return json_is(content, JSON_ARRAY) && content->count == 1 &&
           mn_span_is(json_text(json_find_str(json_first(content), "text")), want);
}

static void call_read(struct sim *sim, struct sim_call *call, const struct json *root,
                      struct mn_span message)
{
    const struct json *error = json_find_str(root, "error");
    struct mn_span reason;

    if (error != NULL) {
        reason = json_text(json_find_str(json_find_str(error, "data"), "reason"));
        call_end(sim, call, SIM_CALL_FAILED,
                 reason.size > 0 ? reason : json_text(json_find_str(error, "message")));
        return;
    }
    if (!is_right_answer(call, json_find_str(root, "result")))
        sim_fail(sim, "call %s: wrong answer %.*s", call->key, (int)message.size,
                 (const char *)message.data);
    call_end(sim, call, SIM_CALL_ANSWERED, mn_span(NULL, 0));
}

void sim_call_answered(struct sim *sim, struct sim_call *call, const struct sim_response *response)
{
    struct json_parser *parser;
    struct mn_arena arena = {0};
    const struct json *root;

    if (response->is_lost) {
        call_end(sim, call, SIM_CALL_GONE, mn_span(NULL, 0));
        return;
    }
    parser = json_parser_new();
    if (json_parse_copy(parser, response->message, LIMITS, &arena, &root) == MN_OK)
        call_read(sim, call, root, response->message);
    else
        sim_fail(sim, "call %s: the answer is no JSON (status %u)", call->key, response->code);
    mn_arena_done(&arena);
    json_parser_free(parser);
}

/* ---- asking ---- */

struct mn_buf *sim_call_body(const struct sim_call *call, bool is_modern, uint32_t pad)
{
    struct mn_writer writer = {0};

    mn_writer_format(&writer,
                     "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"tools/call\",\"params\":{"
                     "\"name\":\"%s\",\"arguments\":{\"key\":\"%s\",\"pad\":\"",
                     call->key, call->tool, call->key);
    memset(mn_writer_take(&writer, pad), 'x', pad);
    mn_writer_format(&writer, "\"}%s}}", is_modern ? "," SIM_MODERN_META : "");
    return mn_writer_done(&writer);
}

struct client_call {
    struct sim_client *client;
    struct sim_call *call;
};

static void client_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct client_call asked = *(struct client_call *)context;

    mn_free(context);
    if (response->code == 404 && !asked.client->is_modern)
        asked.client->session[0] = '\0'; /* it ended: start anew */
    sim_call_answered(sim, asked.call, response);
    client_again(asked.client);
}

static void client_left(struct sim *sim, void *context, const struct sim_response *response)
{
    (void)sim;
    (void)response;
    client_again(context);
}

/* Ends its legacy session as clients should. */
static void client_leave(struct sim_client *client)
{
    char session[SIM_SESSION_SIZE];

    memcpy(session, client->session, sizeof session);
    client->session[0] = '\0';
    sim_http_ask(client->host, &(struct sim_request){.verb = "DELETE",
                                                     .session = session,
                                                     .patience = PATIENCE_INITIALIZE,
                                                     .on_end = client_left,
                                                     .context = client});
}

static void client_initialized(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_client *client = context;

    (void)sim;
    snprintf(client->session, sizeof client->session, "%s", response->session);
    client_again(client);
}

static void client_initialize(struct sim_client *client, struct sim_host *host)
{
    client->host = host;
    client->session_boot = host->boots;
    sim_http_ask(host, &(struct sim_request){.body = mn_span_str(SIM_INITIALIZE),
                                             .patience = PATIENCE_INITIALIZE,
                                             .on_end = client_initialized,
                                             .context = client});
}

/* "work" must never be done twice, "look" may. */
static const char *client_pick_tool(struct sim *sim, char *name, size_t size, bool *is_look)
{
    const struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];

    *is_look = rng_below(&sim->rng_work, 3) == 0;
    uint32_t which = rng_below(&sim->rng_work, host->servers_count);
    if (host->servers[which].is_talker) which = 1; /* it is for clients of its own */
    snprintf(name, size, "%s__%s", host->servers[which].name, *is_look ? "look" : "work");
    return name;
}

static void client_call(struct sim_client *client, struct sim_host *host)
{
    struct sim *sim = client->sim;
    struct client_call *asked = mn_alloc(sizeof *asked);
    char tool[64], session[SIM_SESSION_SIZE];
    bool is_look, is_big = rng_below(&sim->rng_work, 50) == 0;
    struct sim_request request = {.on_end = client_answered, .context = asked};
    struct mn_buf *body;

    client_pick_tool(sim, tool, sizeof tool, &is_look);
    asked->client = client;
    asked->call = sim_call_new(sim, host, tool, is_look);
    body = sim_call_body(asked->call, client->is_modern,
                         is_big ? rng_below(&sim->rng_work, PAD_MAX) : 0);
    memcpy(session, client->session, sizeof session);
    request.patience = PATIENCE;
    request.body = mn_buf_span(body);
    if (client->is_modern) {
        request.method = "tools/call";
        request.name = tool;
    } else {
        request.session = session;
    }
    sim_http_ask(host, &request);
    mn_buf_unref(body);
}

static struct sim_host *client_pick_host(struct sim *sim)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (host->node != NULL && !host->is_frozen && !host->is_stopping) return host;
    }
    return NULL;
}

static void client_act(struct sim *sim, void *context)
{
    struct sim_client *client = context;
    struct sim_host *host = client_pick_host(sim), *home = client->host;

    if (host == NULL) {
        client_again(client);
    } else if (client->is_modern) {
        client_call(client, host);
    } else if (client->session[0] == '\0' || home->node == NULL || home->is_frozen ||
               client->session_boot != home->boots) {
        client->session[0] = '\0';
        client_initialize(client, host);
    } else if (rng_below(&sim->rng_work, 50) == 0) {
        client_leave(client);
    } else {
        client_call(client, home);
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

/* ---- what only happens on purpose ---- */

static void burst_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    sim_call_answered(sim, context, response);
}

void sim_client_burst(struct sim_host *host)
{
    struct sim *sim = host->sim;
    char tool[64];
    bool is_look;

    client_pick_tool(sim, tool, sizeof tool, &is_look);
    for (uint32_t left = BURST_MIN + rng_below(&sim->rng_work, BURST_MIN); left > 0; left--) {
        struct sim_call *call = sim_call_new(sim, host, tool, is_look);
        struct mn_buf *body = sim_call_body(call, true, 0);
        sim_http_ask(host, &(struct sim_request){.method = "tools/call",
                                                 .name = tool,
                                                 .body = mn_buf_span(body),
                                                 .patience = PATIENCE,
                                                 .on_end = burst_answered,
                                                 .context = call});
        mn_buf_unref(body);
    }
}

static void nonsense_refused(struct sim *sim, void *context, const struct sim_response *response)
{
    (void)context;
    if (!response->is_lost && (response->code < 400 || response->code >= 500))
        sim_fail(sim, "a request that is none was answered with %u", response->code);
}

/* From another site's page; no JSON; a session that never was. */
void sim_client_nonsense(struct sim_host *host)
{
    struct sim_request request = {.body = mn_span_str(SIM_LIST_LEGACY),
                                  .patience = PATIENCE_INITIALIZE,
                                  .on_end = nonsense_refused};

    switch (rng_below(&host->sim->rng_work, 3)) {
    case 0: request.host = "evil.example"; break;
    case 1: request.body = mn_span_str("{\"jsonrpc\":"); break;
    default: request.session = "0123456789abcdef"; break;
    }
    sim_http_ask(host, &request);
}
