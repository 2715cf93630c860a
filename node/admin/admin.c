/* Exchanges, who may do what, and the way from a path to its handler. */
#include "node/admin/admin.h"

#include "node/admin/admin_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define LIMITS ((struct json_limits){.depth_max = 32, .depth_kept = 3, .nodes_max = 4096})

/* ---- answering ---- */

static void exchange_free(struct admin *admin, struct admin_exchange *exchange)
{
    mn_map_remove(&admin->exchanges, &exchange->by_id);
    admin_stream_end(exchange);
    mn_writer_drop(&exchange->body);
    mn_free(exchange->path);
    mn_free(exchange->server);
    mn_free(exchange);
}

void admin_exchange_over(struct admin_request *request)
{
    exchange_free(request->admin, request->exchange);
    request->exchange = NULL;
}

static void answer_bytes(struct admin_request *request, uint32_t code, const char *type,
                         struct mn_buf *body)
{
    struct edge_outbox *edge = request->outbox->edge;
    struct edge_header *header = mn_arena_alloc(edge->arena, sizeof *header);
    struct edge_output *output = edge_emit(edge, EDGE_OUT_HTTP_HEAD, request->exchange->id);

    *header = (struct edge_header){mn_span_str("content-type"), mn_span_str(type)};
    output->code = code;
    output->headers = header;
    output->headers_count = 1;
    output = edge_emit(edge, EDGE_OUT_HTTP_BODY, request->exchange->id);
    output->buf = body;
    output->flag = true;
    admin_exchange_over(request);
}

void admin_answer(struct admin_request *request, uint32_t code, struct reply *reply)
{
    answer_bytes(request, code, "application/json", reply_end(reply));
}

void admin_fail(struct admin_request *request, uint32_t code, const char *name, struct mn_span text,
                const char *hint)
{
    struct reply reply = {0};

    request->admin->refused_count++;
    reply_object(&reply, NULL);
    reply_object(&reply, "error");
    reply_text(&reply, "code", name);
    reply_str(&reply, "message", text);
    reply_text(&reply, "hint", hint);
    reply_bool(&reply, "retryable", code == 503);
    reply_object_end(&reply);
    admin_answer(request, code, &reply);
}

void admin_fail_status(struct admin_request *request, mn_status status, struct mn_span why)
{
    if (why.size == 0) why = mn_span_str(mn_status_text(status));
    if (status == MN_NOT_FOUND)
        admin_fail(request, 404, "not_found", why, "meshctl servers");
    else if (status == MN_EXISTS || status == MN_STATE)
        admin_fail(request, 409, "conflict", why, "meshctl servers");
    else if (status == MN_CONFIG || status == MN_MALFORMED || status == MN_TOO_BIG)
        admin_fail(request, 400, "bad_request", why, "meshctl --help");
    else if (status == MN_DENIED || status == MN_UNKNOWN_ISSUER)
        admin_fail(request, 403, "not_allowed", why, "meshctl status");
    else
        admin_fail(request, 503, "busy", why, "try again in a moment");
}

void admin_ask_gateway(struct admin_request *request, struct admin_gateway_request gateway)
{
    struct admin_outbox *outbox = request->outbox;

    gateway.ticket = request->exchange->ticket = ++request->admin->ticket_next;
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count++] =
        (struct admin_output){.type = ADMIN_OUT_GATEWAY, .gateway = gateway};
}

void admin_ask_core(struct admin_request *request, struct core_command command)
{
    struct admin_outbox *outbox = request->outbox;

    command.request = request->exchange->ticket = ++request->admin->ticket_next;
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count++] =
        (struct admin_output){.type = ADMIN_OUT_COMMAND, .command = command};
}

const struct json *admin_body(struct admin_request *request)
{
    struct mn_span text = mn_buf_span(request->exchange->body.buf);
    const struct json *root = NULL;
    mn_status status =
        json_parse_copy(request->admin->parser, text, LIMITS, request->outbox->arena, &root);

    if (status == MN_OK && root->type == JSON_OBJECT) return root;
    admin_fail(request, 400, "bad_request", mn_span_str("the body must be one JSON object"),
               "see docs/API.md");
    return NULL;
}

struct mn_span admin_query(const struct admin_exchange *exchange, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = exchange->query; *at != '\0';) {
        const char *end = strchr(at, '&');
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (length > size && strncmp(at, name, size) == 0 && at[size] == '=')
            return mn_span(at + size + 1, length - size - 1);
        at += length + (end == NULL ? 0 : 1);
    }
    return mn_span(NULL, 0);
}

/* ---- from a path to its handler ---- */

static const struct admin_route *const route_tables[] = {admin_status_routes, admin_node_routes,
                                                         admin_gateway_routes, admin_token_routes,
                                                         admin_stream_routes};

/* `*` matches one segment (not empty), whose text is *rest. */
static bool path_matches(const char *pattern, const char *path, struct mn_span *rest)
{
    const char *star = strchr(pattern, '*');
    size_t before, after, size = strlen(path);

    *rest = mn_span(NULL, 0);
    if (star == NULL) return strcmp(pattern, path) == 0;
    before = (size_t)(star - pattern);
    after = strlen(star + 1);
    if (size <= before + after || strncmp(pattern, path, before) != 0 ||
        strcmp(path + size - after, star + 1) != 0)
        return false;
    *rest = mn_span(path + before, size - before - after);
    return memchr(rest->data, '/', rest->size) == NULL;
}

static const struct admin_route *route_find(const struct admin_exchange *exchange,
                                            struct mn_span *rest, bool *is_path_known)
{
    *is_path_known = false;
    for (size_t i = 0; i < sizeof route_tables / sizeof *route_tables; i++)
        for (const struct admin_route *route = route_tables[i]; route->path != NULL; route++) {
            if (!path_matches(route->path, exchange->path, rest)) continue;
            *is_path_known = true;
            if (strcmp(route->method, exchange->method) == 0) return route;
        }
    return NULL;
}

static void admin_dispatch(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;
    bool is_path_known;

    exchange->route = route_find(exchange, &request->rest, &is_path_known);
    if (exchange->route != NULL && (exchange->is_authorized || exchange->path[1] != 'v'))
        exchange->route->handle(request);
    else if (exchange->route != NULL)
        admin_fail(request, 401, "not_allowed",
                   mn_span_str("/v1 over HTTP needs an API token; this node has none yet"),
                   "use meshctl on the node's own host: it speaks over the admin socket");
    else if (is_path_known)
        admin_fail(request, 405, "method_not_allowed", mn_span_str("not with this method"),
                   "see docs/API.md");
    else
        admin_fail(request, 404, "not_found", mn_span_str("no such path on this node"),
                   "MCP clients connect to /mcp; see docs/API.md for the rest");
}

/* ---- exchanges ---- */

static struct mn_span id_key(const uint64_t *id)
{
    return mn_span(id, sizeof *id);
}

static struct admin_exchange *exchange_find(struct admin *admin, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&admin->exchanges, id_key(&id));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct admin_exchange, by_id);
}

static struct admin_exchange *exchange_new(struct admin *admin, const struct edge_input *input)
{
    const struct edge_http_request *http = input->http;
    struct admin_exchange *exchange = mn_alloc(sizeof *exchange);
    char *mark;

    exchange->id = input->id;
    mn_list_init(&exchange->follower);
    exchange->path = mn_alloc(http->target.size + 2);
    memcpy(exchange->path, http->target.data, http->target.size);
    mark = strchr(exchange->path, '?');
    if (mark != NULL) *mark = '\0';
    exchange->query = mark != NULL ? mark + 1 : exchange->path + http->target.size;
    if (http->method.size < sizeof exchange->method)
        memcpy(exchange->method, http->method.data, http->method.size);
    exchange->is_admin = http->listener == EDGE_LISTENER_ADMIN;
    exchange->is_authorized = exchange->is_admin || (admin->config.is_dev && http->is_loopback);
    mn_map_insert(&admin->exchanges, &exchange->by_id, id_key(&exchange->id));
    return exchange;
}

static struct mn_span header_find(const struct edge_http_request *http, const char *name)
{
    for (uint32_t i = 0; i < http->headers_count; i++)
        if (mn_span_is(http->headers[i].name, name)) return http->headers[i].value;
    return mn_span(NULL, 0);
}

static bool span_begins(struct mn_span text, const char *prefix, size_t *size)
{
    *size = strlen(prefix);
    return text.size >= *size && memcmp(text.data, prefix, *size) == 0;
}

/* A Host of this machine itself, with any port. Anything else may be a page that rebinds a name. */
static bool host_is_local(struct mn_span host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t size;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_begins(host, names[i], &size) && (host.size == size || host.data[size] == ':'))
            return true;
    return false;
}

/* Pages of a browser are refused on every path but the two that say nothing. */
static bool http_is_page(const struct edge_http_request *http)
{
    struct mn_span origin = header_find(http, "origin");
    size_t size;

    if (http->listener == EDGE_LISTENER_ADMIN || mn_span_is(http->target, "/healthz") ||
        mn_span_is(http->target, "/readyz"))
        return false;
    if (!host_is_local(header_find(http, "host"))) return true;
    if (origin.data == NULL) return false;
    if (!span_begins(origin, "http://", &size) && !span_begins(origin, "https://", &size))
        return true;
    return !host_is_local(mn_span(origin.data + size, origin.size - size));
}

static void admin_on_open(struct admin_request *request, const struct edge_input *input)
{
    struct admin *admin = request->admin;
    const struct edge_http_request *http = input->http;

    admin->requests_count++;
    request->exchange = exchange_new(admin, input);
    if (http_is_page(http))
        admin_fail(request, 403, "not_allowed",
                   mn_span_str("Host or Origin is not this machine's own"),
                   "name it in http.hosts to allow it");
    else if (http->target.size > ADMIN_PATH_MAX)
        admin_fail(request, 414, "bad_request", mn_span_str("the path is too long"), "");
    else if (admin->exchanges.count > ADMIN_EXCHANGES_MAX)
        admin_fail(request, 503, "busy", mn_span_str("too many requests at once"),
                   "try again in a moment");
}

static void admin_on_body(struct admin_request *request, const struct edge_input *input)
{
    struct admin_exchange *exchange = request->exchange;

    if (exchange->route != NULL) return; /* it is being answered already */
    if (mn_writer_size(&exchange->body) + input->bytes.size > ADMIN_BODY_MAX) {
        admin_fail(request, 413, "too_big", mn_span_str("the body is over 256 KiB"), "");
        return;
    }
    mn_writer_add(&exchange->body, input->bytes);
    if (input->is_last) admin_dispatch(request);
}

static void admin_on_edge(struct admin_request *request, const struct edge_input *input)
{
    struct admin *admin = request->admin;

    if (input->type == EDGE_IN_HTTP_OPEN) {
        admin_on_open(request, input);
        return;
    }
    request->exchange = exchange_find(admin, input->id);
    if (request->exchange == NULL) return; /* the gateway's, or over */
    if (input->type == EDGE_IN_HTTP_BODY)
        admin_on_body(request, input);
    else if (input->type == EDGE_IN_HTTP_WRITABLE)
        request->exchange->queued = 0;
    else if (input->type == EDGE_IN_HTTP_GONE)
        exchange_free(admin, request->exchange);
}

static void admin_on_answer(struct admin_request *request, uint64_t ticket,
                            const struct admin_gateway_answer *gateway,
                            const struct core_reply *reply)
{
    struct admin *admin = request->admin;

    for (struct mn_map_entry *entry = mn_map_next(&admin->exchanges, NULL); entry != NULL;
         entry = mn_map_next(&admin->exchanges, entry)) {
        struct admin_exchange *exchange = MN_CONTAINER(entry, struct admin_exchange, by_id);
        if (exchange->ticket != ticket) continue;
        exchange->ticket = 0;
        request->exchange = exchange;
        exchange->route->answered(request, gateway, reply);
        return;
    }
}

/* ---- the core ---- */

struct admin *admin_new(const struct admin_config *config)
{
    struct admin *admin = mn_alloc(sizeof *admin);
    struct mn_span listen = config->http_listen;

    admin->config = *config;
    admin->http_listen = mn_alloc(listen.size + 1);
    if (listen.size > 0) memcpy(admin->http_listen, listen.data, listen.size);
    admin->config.http_listen = mn_span_str(admin->http_listen);
    mn_map_init(&admin->exchanges, 0);
    mn_list_init(&admin->followers);
    admin->poll_at = MN_TIME_NEVER;
    admin->parser = json_parser_new();
    admin->events = mn_alloc(ADMIN_EVENTS_MAX * sizeof *admin->events);
    admin->events_wall = mn_alloc(ADMIN_EVENTS_MAX * sizeof *admin->events_wall);
    return admin;
}

void admin_free(struct admin *admin)
{
    struct mn_map_entry *entry;

    if (admin == NULL) return;
    while ((entry = mn_map_next(&admin->exchanges, NULL)) != NULL)
        exchange_free(admin, MN_CONTAINER(entry, struct admin_exchange, by_id));
    mn_map_done(&admin->exchanges);
    json_parser_free(admin->parser);
    mn_free(admin->events);
    mn_free(admin->events_wall);
    mn_free(admin->http_listen);
    mn_free(admin);
}

void admin_step(struct admin *admin, struct mn_now now, const struct admin_input *input,
                struct admin_outbox *outbox)
{
    struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};

    switch (input->type) {
    case ADMIN_IN_TICK: break;
    case ADMIN_IN_EDGE: admin_on_edge(&request, input->edge); break;
    case ADMIN_IN_EVENT: admin_stream_event(admin, now, input->event, outbox); break;
    case ADMIN_IN_REPLY:
        admin_on_answer(&request, input->reply->request, NULL, input->reply);
        break;
    case ADMIN_IN_GATEWAY:
        admin_on_answer(&request, input->gateway->ticket, input->gateway, NULL);
        break;
    case ADMIN_IN_STOP: admin->is_stopping = true; break;
    }
    if (admin->poll_at <= now.mono) admin_stream_poll(admin, now, outbox);
}

mn_time admin_deadline(const struct admin *admin)
{
    return admin->poll_at;
}

void admin_check(const struct admin *admin)
{
    MN_ASSERT(admin->exchanges.count <= ADMIN_EXCHANGES_MAX + 1);
    for (struct mn_map_entry *entry = mn_map_next(&admin->exchanges, NULL); entry != NULL;
         entry = mn_map_next(&admin->exchanges, entry)) {
        const struct admin_exchange *exchange = MN_CONTAINER(entry, struct admin_exchange, by_id);
        MN_ASSERT(exchange->ticket == 0 || exchange->route->answered != NULL);
    }
}
