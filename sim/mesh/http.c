#include "sim/mesh/http.h"

#include <stdio.h>

#include "proto/base/memory.h"

#define HEADERS_MAX 8

struct sim_exchange {
    struct mn_list list; /* in host->exchanges */
    struct sim_host *host;
    uint64_t id;
    struct sim_request request; /* its spans and texts are not kept */
    uint32_t code;
    bool is_sse;
    char session[SIM_SESSION_SIZE], event[SIM_EVENT_SIZE];
    struct mn_writer text; /* the body, or the line of an event stream that is not complete */
    struct mn_buf *last;   /* the newest message */
    struct sim_event patience;
    char asked[300]; /* where, and how what was said begins */
};

/* ---- what comes back ---- */

/* Ends it; the one who asked may do anything then, also ask again. */
static void exchange_end(struct sim_exchange *exchange, bool is_lost)
{
    struct sim *sim = exchange->host->sim;
    struct sim_request request = exchange->request;
    struct sim_response response = {.is_lost = is_lost, .code = exchange->code};
    struct mn_buf *last = mn_buf_ref(exchange->last);
    char session[SIM_SESSION_SIZE], event[SIM_EVENT_SIZE];

    memcpy(session, exchange->session, sizeof session);
    memcpy(event, exchange->event, sizeof event);
    response.session = session;
    response.event = event;
    if (last != NULL) response.message = mn_buf_span(last);
    sim_cancel(sim, &exchange->patience);
    mn_list_remove(&exchange->list);
    mn_writer_drop(&exchange->text);
    mn_buf_unref(exchange->last);
    mn_free(exchange);
    request.on_end(sim, request.context, &response);
    mn_buf_unref(last);
}

static void exchange_message(struct sim_exchange *exchange, struct mn_span message)
{
    const struct sim_request *request = &exchange->request;

    mn_buf_unref(exchange->last);
    exchange->last = mn_buf_copy(message);
    if (request->on_message != NULL)
        request->on_message(exchange->host->sim, request->context, mn_buf_span(exchange->last));
}

/* One line of an event stream; the nodes put each message into one `data:` line. */
static void exchange_line(struct sim_exchange *exchange)
{
    struct mn_buf *line = mn_writer_done(&exchange->text);

    if (line->size > 4 && memcmp(line->bytes, "id: ", 4) == 0)
        snprintf(exchange->event, sizeof exchange->event, "%.*s", (int)line->size - 4,
                 (const char *)line->bytes + 4);
    if (line->size > 5 && memcmp(line->bytes, "data:", 5) == 0)
        exchange_message(exchange, mn_span(line->bytes + 5, line->size - 5));
    mn_buf_unref(line);
}

static void exchange_bytes(struct sim_exchange *exchange, struct mn_span bytes)
{
    const uint8_t *newline;

    while (exchange->is_sse && bytes.size > 0 &&
           (newline = memchr(bytes.data, '\n', bytes.size)) != NULL) {
        size_t size = (size_t)(newline - bytes.data);
        mn_writer_add(&exchange->text, mn_span(bytes.data, size));
        exchange_line(exchange);
        bytes = mn_span(newline + 1, bytes.size - size - 1);
    }
    mn_writer_add(&exchange->text, bytes);
}

static void exchange_finished(struct sim_exchange *exchange)
{
    if (!exchange->is_sse) {
        struct mn_buf *body = mn_writer_done(&exchange->text);
        exchange_message(exchange, mn_buf_span(body));
        mn_buf_unref(body);
    }
    exchange_end(exchange, false);
}

static void exchange_head(struct sim_exchange *exchange, const struct edge_output *output)
{
    exchange->code = output->code;
    for (uint32_t i = 0; i < output->headers_count; i++) {
        const struct edge_header *header = &output->headers[i];
        if (mn_span_is(header->name, "content-type"))
            exchange->is_sse = mn_span_is(header->value, "text/event-stream");
        if (mn_span_is(header->name, "mcp-session-id"))
            snprintf(exchange->session, sizeof exchange->session, "%.*s", (int)header->value.size,
                     (const char *)header->value.data);
    }
}

static struct sim_exchange *exchange_find(const struct sim_host *host, uint64_t id)
{
    MN_LIST_FOR_EACH (entry, &host->exchanges) {
        struct sim_exchange *exchange = MN_CONTAINER(entry, struct sim_exchange, list);
        if (exchange->id == id) return exchange;
    }
    return NULL;
}

void sim_http_do(struct sim_host *host, const struct edge_output *output)
{
    struct sim_exchange *exchange = exchange_find(host, output->id);

    if (exchange == NULL || output->type == EDGE_OUT_HTTP_PAUSE) return;
    if (output->type == EDGE_OUT_HTTP_ABORT) {
        sim_fail(host->sim, "%s aborted an exchange", host->name);
    } else if (output->type == EDGE_OUT_HTTP_HEAD) {
        exchange_head(exchange, output);
    } else {
        if (output->buf != NULL) exchange_bytes(exchange, mn_buf_span(output->buf));
        if (output->flag) exchange_finished(exchange);
    }
}

/* ---- asking ---- */

static void exchange_lost(struct sim *sim, void *context)
{
    struct sim_exchange *exchange = context;
    mn_time patience = exchange->request.patience;

    if (sim_host_was_frozen(exchange->host, patience)) { /* nobody could answer all that time */
        sim_at(sim, &exchange->patience, sim->time + patience, exchange_lost, exchange);
        return;
    }
    sim_fail(sim, "%s left a request unanswered for %llu s: %.300s", exchange->host->name,
             (unsigned long long)(patience / MN_SEC), exchange->asked);
}

static struct sim_exchange *exchange_new(struct sim_host *host, const struct sim_request *request)
{
    struct sim_exchange *exchange = mn_alloc(sizeof *exchange);

    exchange->host = host;
    exchange->id = sim_host_id(host);
    exchange->request = *request;
    snprintf(exchange->asked, sizeof exchange->asked, "%s %.*s",
             request->path == NULL ? "/mcp" : request->path, (int)request->body.size,
             (const char *)request->body.data);
    mn_list_push_back(&host->exchanges, &exchange->list);
    if (request->patience != MN_TIME_NEVER)
        sim_at(host->sim, &exchange->patience, host->sim->time + request->patience, exchange_lost,
               exchange);
    return exchange;
}

static uint32_t request_headers(const struct sim_request *request, struct edge_header *headers)
{
    uint32_t count = 0;

    headers[count++] = (struct edge_header){
        mn_span_str("host"), mn_span_str(request->host != NULL ? request->host : "127.0.0.1:7080")};
    headers[count++] =
        (struct edge_header){mn_span_str("content-type"), mn_span_str("application/json")};
    headers[count++] = (struct edge_header){
        mn_span_str("accept"),
        mn_span_str(request->verb != NULL ? "text/event-stream"
                                          : "application/json, text/event-stream")};
    if (request->method != NULL) {
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-protocol-version"), mn_span_str("2026-07-28")};
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-method"), mn_span_str(request->method)};
    }
    if (request->name != NULL)
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-name"), mn_span_str(request->name)};
    if (request->session != NULL)
        headers[count++] =
            (struct edge_header){mn_span_str("mcp-session-id"), mn_span_str(request->session)};
    if (request->event != NULL)
        headers[count++] =
            (struct edge_header){mn_span_str("last-event-id"), mn_span_str(request->event)};
    return count;
}

uint64_t sim_http_ask(struct sim_host *host, const struct sim_request *request)
{
    struct edge_header headers[HEADERS_MAX];
    struct edge_http_request http = {
        .listener = request->is_admin ? EDGE_LISTENER_ADMIN : EDGE_LISTENER_HTTP,
        .method = mn_span_str(request->verb != NULL ? request->verb : "POST"),
        .target = mn_span_str(request->path != NULL ? request->path : "/mcp"),
        .address = mn_span_str("127.0.0.1"),
        .is_loopback = true,
        .headers = headers};
    uint64_t id = exchange_new(host, request)->id;

    http.headers_count = request_headers(request, headers);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .id = id, .http = &http});
    sim_host_input(
        host, &(struct edge_input){
                  .type = EDGE_IN_HTTP_BODY, .id = id, .bytes = request->body, .is_last = true});
    return id;
}

/* ---- going away ---- */

void sim_http_drop(struct sim_host *host, uint64_t id)
{
    struct sim_exchange *exchange = exchange_find(host, id);

    if (exchange == NULL) return;
    exchange_end(exchange, true);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_HTTP_GONE, .id = id});
}

static void forgotten(struct sim *sim, void *context, const struct sim_response *response)
{
    (void)sim;
    (void)context;
    (void)response;
}

void sim_http_forget(struct sim_host *host, uint64_t id)
{
    struct sim_exchange *exchange = exchange_find(host, id);

    if (exchange == NULL) return;
    exchange->request.on_message = NULL;
    exchange->request.on_end = forgotten;
}

void sim_http_give_up(struct sim_host *host)
{
    struct sim_exchange *chosen = NULL;
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &host->exchanges) {
        struct sim_exchange *exchange = MN_CONTAINER(entry, struct sim_exchange, list);
        if (exchange->request.is_steadfast) continue;
        if (rng_below(&host->sim->rng_fault, ++count) == 0) chosen = exchange;
    }
    if (chosen != NULL) sim_http_drop(host, chosen->id);
}

void sim_http_host_down(struct sim_host *host)
{
    while (!mn_list_is_empty(&host->exchanges))
        exchange_end(MN_CONTAINER(host->exchanges.next, struct sim_exchange, list), true);
}
