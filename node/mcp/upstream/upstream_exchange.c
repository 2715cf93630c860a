#include "node/mcp/upstream/upstream_exchange.h"

#include "node/mcp/wire/param_headers.h"
#include "proto/base/check.h"

#define OUR_HEADERS_MAX 10

struct upstream_exchange *upstream_exchange_new(struct upstream *server,
                                                enum upstream_exchange_kind kind)
{
    struct upstream_exchange *exchange = mn_alloc(sizeof *exchange);

    exchange->host = server->host;
    exchange->server = server;
    exchange->kind = kind;
    exchange->timer.kind = UPSTREAM_TIMER_EXCHANGE;
    sse_reader_init(&exchange->sse, UPSTREAM_MESSAGE_MAX);
    mn_list_push_back(&server->http.exchanges, &exchange->link);
    return exchange;
}

/* The headers of one fetch, under way; they live in the edge's arena. */
struct upstream_exchange_headers {
    struct mn_arena *arena;
    struct edge_header *items;
    uint32_t count;
};

static void upstream_exchange_add(struct upstream_exchange_headers *headers, const char *name,
                                  struct mn_span value)
{
    headers->items[headers->count++] = (struct edge_header){mn_span_str(name), value};
}

/* The ids of nodes and meshes as text, our mesh and node last: whoever sees its own does not go
 * round once more. */
static struct mn_span upstream_exchange_long_trail(const struct upstream_host *host,
                                                   struct mn_span trail, struct mn_arena *arena)
{
    size_t count = trail.size / sizeof(mn_id);
    char *text = mn_arena_alloc(arena, (count + 2) * MN_ID_TEXT_SIZE);
    char *at = text;
    bool has_mesh = host->mesh_id == NULL || mn_id_is_zero(host->mesh_id);

    for (size_t i = 0; i < count || !has_mesh; i++) {
        mn_id id;
        memcpy(&id, i < count ? trail.data + i * sizeof id : host->mesh_id->bytes, sizeof id);
        has_mesh = has_mesh || mn_id_equal(&id, host->mesh_id);
        mn_id_format(&id, at);
        at += MN_ID_TEXT_SIZE;
        at[-1] = ',';
    }
    mn_id_format(&host->self, at);
    return mn_span_str(text);
}

/* Nearly every call begins here: that text is made once. */
static struct mn_span upstream_exchange_trail(struct upstream_host *host, struct mn_span trail,
                                              struct mn_arena *arena)
{
    const mn_id none = {{0}}, *mesh = host->mesh_id == NULL ? &none : host->mesh_id;
    struct mn_span text;

    if (trail.size > 0) return upstream_exchange_long_trail(host, trail, arena);
    if (host->own_trail[0] == 0 || !mn_id_equal(&host->own_trail_of, mesh)) {
        text = upstream_exchange_long_trail(host, trail, arena);
        MN_ASSERT(text.size < sizeof host->own_trail);
        memcpy(host->own_trail, text.data, text.size);
        host->own_trail[text.size] = '\0';
        host->own_trail_of = *mesh;
    }
    return mn_arena_copy(arena, mn_span_str(host->own_trail));
}

static void upstream_exchange_add_ours(struct upstream_exchange *exchange,
                                       struct upstream_exchange_headers *headers, bool has_body,
                                       const struct upstream_http_about *about)
{
    const struct upstream *server = exchange->server;
    bool is_discover = strcmp(about->method, "server/discover") == 0;
    struct mn_span session = mn_buf_span(server->http.session_id);

    if (has_body) {
        upstream_exchange_add(headers, "content-type", mn_span_str("application/json"));
        upstream_exchange_add(headers, "accept",
                              mn_span_str("application/json, text/event-stream"));
    } else {
        upstream_exchange_add(headers, "accept", mn_span_str("text/event-stream"));
    }
    if (server->version[0] != 0)
        upstream_exchange_add(headers, "mcp-protocol-version",
                              mn_arena_copy(headers->arena, mn_span_str(server->version)));
    else if (is_discover)
        upstream_exchange_add(headers, "mcp-protocol-version",
                              mn_span_str(UPSTREAM_MODERN_VERSION));
    if (session.size > 0)
        upstream_exchange_add(headers, "mcp-session-id", mn_arena_copy(headers->arena, session));
    if (!has_body && exchange->event_id != NULL)
        upstream_exchange_add(headers, "last-event-id",
                              mn_arena_copy(headers->arena, mn_buf_span(exchange->event_id)));
    if (is_discover || (upstream_is_modern(server) && about->method[0] != 0))
        upstream_exchange_add(headers, "mcp-method",
                              mn_arena_copy(headers->arena, mn_span_str(about->method)));
    if (upstream_is_modern(server) && about->name.data != NULL) /* empty is a name, too */
        upstream_exchange_add(headers, "mcp-name",
                              param_headers_value(about->name, headers->arena));
    upstream_exchange_add(headers, TRAIL_HEADER,
                          upstream_exchange_trail(exchange->host, about->trail, headers->arena));
}

static struct edge_fetch *upstream_exchange_fetch(struct upstream_exchange *exchange,
                                                  const char *method, struct mn_buf *body,
                                                  const struct upstream_http_about *about)
{
    const struct upstream_config *config = exchange->server->config;
    struct mn_arena *arena = exchange->host->outbox->edge->arena;
    struct edge_fetch *fetch = mn_arena_alloc(arena, sizeof *fetch);
    size_t headers_max = config->headers_count + OUR_HEADERS_MAX + about->params_count;
    struct upstream_exchange_headers headers = {
        .arena = arena, .items = mn_arena_alloc(arena, headers_max * sizeof *headers.items)};

    upstream_exchange_add_ours(exchange, &headers, body != NULL, about);
    for (uint32_t i = 0; i < about->params_count; i++)
        headers.items[headers.count++] =
            (struct edge_header){mn_arena_copy(arena, about->params[i].name),
                                 mn_arena_copy(arena, about->params[i].value)};
    for (uint32_t i = 0; i < config->headers_count; i++)
        headers.items[headers.count++] =
            (struct edge_header){mn_arena_copy(arena, config->headers[i].name),
                                 mn_arena_copy(arena, config->headers[i].value)};
    MN_ASSERT(headers.count <= headers_max);
    *fetch = (struct edge_fetch){.method = mn_span_str(method),
                                 .url = mn_arena_copy(arena, config->url),
                                 .headers = headers.items,
                                 .headers_count = headers.count,
                                 .body = body,
                                 .connect_timeout = UPSTREAM_CONNECT_TIMEOUT};
    return fetch;
}

void upstream_exchange_send(struct upstream_exchange *exchange, const char *method,
                            struct mn_buf *body, const struct upstream_http_about *about)
{
    struct upstream_host *host = exchange->host;
    struct edge_output *output;

    MN_ASSERT(exchange->fetch == 0 && !exchange->is_dead && exchange->server != NULL);
    sse_reader_done(&exchange->sse);
    sse_reader_init(&exchange->sse, UPSTREAM_MESSAGE_MAX);
    mn_writer_drop(&exchange->body);
    json_feed_free(exchange->feed);
    exchange->feed = NULL;
    exchange->code = 0;
    exchange->type = UPSTREAM_BODY_OTHER;
    exchange->fetch = host->edge_id_last += 2;
    mn_map_insert(&host->exchanges, &exchange->by_fetch, upstream_u64_key(&exchange->fetch));
    output = edge_emit(host->outbox->edge, EDGE_OUT_FETCH_START, exchange->fetch);
    output->fetch_start = upstream_exchange_fetch(exchange, method, body, about);
    output->buf = body; /* the outbox's ref */
}

void upstream_exchange_end(struct upstream_exchange *exchange)
{
    struct upstream_host *host = exchange->host;

    if (exchange->is_dead) return;
    exchange->is_dead = true;
    if (exchange->fetch != 0) {
        edge_emit(host->outbox->edge, EDGE_OUT_FETCH_CANCEL, exchange->fetch);
        mn_map_remove(&host->exchanges, &exchange->by_fetch);
        exchange->fetch = 0;
    }
    upstream_timer_clear(host, &exchange->timer);
    mn_list_remove(&exchange->link);
    mn_list_push_back(&host->dead, &exchange->link);
}

void upstream_exchange_free(struct upstream_exchange *exchange)
{
    MN_ASSERT(exchange->fetch == 0 && exchange->request == NULL);
    mn_list_remove(&exchange->link);
    mn_buf_unref(exchange->event_id);
    mn_writer_drop(&exchange->body);
    json_feed_free(exchange->feed);
    sse_reader_done(&exchange->sse);
    mn_free(exchange);
}
