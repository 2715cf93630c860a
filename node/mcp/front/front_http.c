/* Requests: what can be judged before their body, and the body itself. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

#define HEADERS_SIZE_MAX 65536 /* bytes of the headers we keep */
#define PATH "/mcp"
#define PATH_SERVERS "/mcp/servers/"
#define PATH_VIEWS "/mcp/views/"

/* clang-format off */
#define SPAN(text) {(const uint8_t *)(text), sizeof(text) - 1}
/* clang-format on */

static const struct edge_header allow_all = {SPAN("allow"), SPAN("POST, GET, DELETE")};
static const struct edge_header ask_bearer = {SPAN("www-authenticate"), SPAN("Bearer")};

static uint8_t front_http_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool front_http_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct mn_span front_http_trim(struct mn_span text)
{
    while (text.size > 0 && front_http_is_blank(text.data[0]))
        text = mn_span(text.data + 1, text.size - 1);
    while (text.size > 0 && front_http_is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool front_http_equal(struct mn_span text, const char *lower)
{
    size_t size = strlen(lower);

    if (text.size != size) return false;
    for (size_t i = 0; i < size; i++)
        if (front_http_lower(text.data[i]) != (uint8_t)lower[i]) return false;
    return true;
}

/* Takes "type/subtype" without its parameters off the front of a list; false at the end. */
static bool front_http_take_type(struct mn_span *list, struct mn_span *type)
{
    const uint8_t *comma, *semicolon;
    size_t size;

    if (list->size == 0) return false;
    comma = memchr(list->data, ',', list->size);
    size = comma == NULL ? list->size : (size_t)(comma - list->data);
    *type = mn_span(list->data, size);
    if (comma != NULL) size++;
    *list = mn_span(list->data + size, list->size - size);
    semicolon = type->size == 0 ? NULL : memchr(type->data, ';', type->size);
    if (semicolon != NULL) type->size = (size_t)(semicolon - type->data);
    *type = front_http_trim(*type);
    return true;
}

/* No Accept header at all accepts everything (RFC 9110, section 12.5.1). */
static bool front_http_accepts(struct mn_span accept, const char *type, const char *group)
{
    struct mn_span item;

    if (accept.data == NULL) return true;
    while (front_http_take_type(&accept, &item))
        if (front_http_equal(item, type) || front_http_equal(item, group) ||
            front_http_equal(item, "*/*"))
            return true;
    return false;
}

static bool front_http_is_json(struct mn_span content_type)
{
    struct mn_span type;
    return front_http_take_type(&content_type, &type) && front_http_equal(type, "application/json");
}

/* The server a path names: empty for /mcp. Some clients and proxies put a slash behind. False: no
 * path of ours. */
static bool front_http_endpoint(struct mn_span target, struct mn_span *service)
{
    const size_t prefix = sizeof PATH_SERVERS - 1;
    const uint8_t *query = target.size == 0 ? NULL : memchr(target.data, '?', target.size);

    if (query != NULL) target.size = (size_t)(query - target.data);
    if (target.size > 0 && target.data[target.size - 1] == '/') target.size--;
    *service = mn_span(NULL, 0);
    if (mn_span_is(target, PATH)) return true;
    if (target.size > sizeof PATH_VIEWS - 1 &&
        memcmp(target.data, PATH_VIEWS, sizeof PATH_VIEWS - 1) == 0) {
        *service = mn_span(target.data + sizeof PATH, target.size - sizeof PATH); /* views/NAME */
        return curation_is_view_name(
            mn_span(target.data + sizeof PATH_VIEWS - 1, target.size - (sizeof PATH_VIEWS - 1)));
    }
    if (target.size <= prefix || memcmp(target.data, PATH_SERVERS, prefix) != 0) return false;
    *service = mn_span(target.data + prefix, target.size - prefix);
    return service->size <= CALL_NAME_MAX && memchr(service->data, '/', service->size) == NULL;
}

static bool front_http_is_too_long(struct mn_span content_length)
{
    uint64_t length = 0;

    for (size_t i = 0; i < content_length.size; i++) {
        if (content_length.data[i] < '0' || content_length.data[i] > '9') return false;
        length = length * 10 + (uint64_t)(content_length.data[i] - '0');
        if (length > MCP_BODY_MAX) return true;
    }
    return false;
}

/* Why a request is refused before its body is read. */
struct front_refusal {
    uint32_t code; /* HTTP status; 0: it is not refused */
    const char *text;
    const struct edge_header *header;
};

#define REFUSE(...) ((struct front_refusal){__VA_ARGS__})
#define ACCEPT REFUSE(0, NULL, NULL)

/* Who asks: only over TCP; the admin socket was checked by the system. */
static struct front_refusal front_http_judge_peer(struct front *front, struct mn_now now,
                                                  const struct edge_http_request *http,
                                                  mn_id *principal)
{
    const char *refusal = guard_refusal(front->guard, http);
    enum guard_role role;

    if (refusal != NULL) return REFUSE(403, refusal, NULL);
    switch (guard_judge(front->guard, now, http, &role, principal)) {
    case GUARD_PASSED: break;
    case GUARD_IN_QUERY:
        return REFUSE(400, "a secret stands in the URL: send it as Authorization: Bearer", NULL);
    case GUARD_UNKNOWN:
        return REFUSE(401,
                      "send Authorization: Bearer with one of the node's http.auth.bearer "
                      "secrets, or an API token of this node",
                      &ask_bearer);
    case GUARD_TOO_OFTEN:
        return REFUSE(429, "too many wrong secrets from this address: wait a minute", NULL);
    }
    if (role == GUARD_VIEWER)
        return REFUSE(403, "this API token may look, not call: it needs client or operator", NULL);
    return ACCEPT;
}

static bool front_http_is_kept(struct mn_span name)
{
    return (name.size > 4 && memcmp(name.data, "mcp-", 4) == 0) ||
           mn_span_is(name, "meshnode-trail") || mn_span_is(name, "last-event-id");
}

/* What is compared with the body, and with what others on the way saw, must say one thing. */
static bool front_http_says_twice(const struct edge_http_request *http)
{
    for (uint32_t i = 0; i < http->headers_count; i++) {
        if (!front_http_is_kept(http->headers[i].name)) continue;
        for (uint32_t j = 0; j < i; j++)
            if (mn_span_equal(http->headers[i].name, http->headers[j].name)) return true;
    }
    return false;
}

static struct front_refusal front_http_judge_post(const struct edge_http_request *http,
                                                  struct mn_span accept)
{
    if (front_http_says_twice(http)) return REFUSE(400, "an Mcp- header stands there twice", NULL);
    if (front_http_is_too_long(guard_header(http, "content-length")))
        return REFUSE(413, "the body is over 16 MiB", NULL);
    if (!front_http_is_json(guard_header(http, "content-type")))
        return REFUSE(415, "Content-Type must be application/json", NULL);
    if (!front_http_accepts(accept, "application/json", "application/*") ||
        !front_http_accepts(accept, "text/event-stream", "text/*"))
        return REFUSE(406, "Accept must list application/json and text/event-stream", NULL);
    return ACCEPT;
}

static struct front_refusal front_http_judge(struct front *front,
                                             const struct edge_http_request *http,
                                             struct mn_span *service, mn_id *principal)
{
    struct mn_span accept = guard_header(http, "accept");
    struct front_refusal refusal = front_http_judge_peer(front, front->now, http, principal);

    if (refusal.code != 0) return refusal;
    if (!front_http_endpoint(http->target, service))
        return REFUSE(404, "no such path; MCP is at /mcp, /mcp/servers/NAME and /mcp/views/NAME",
                      NULL);
    if (front->is_stopping) return REFUSE(503, "this node is stopping", NULL);
    if (mn_span_is(http->method, "POST")) return front_http_judge_post(http, accept);
    if (mn_span_is(http->method, "DELETE")) return ACCEPT;
    if (!mn_span_is(http->method, "GET")) return REFUSE(405, "use POST, GET or DELETE", &allow_all);
    if (!front_http_accepts(accept, "text/event-stream", "text/*"))
        return REFUSE(406, "Accept must list text/event-stream", NULL);
    return ACCEPT;
}

static struct mn_span front_http_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

/* One block: the exchange, its headers, their bytes. NULL: too many bytes. */
static struct front_exchange *front_http_exchange(const struct edge_http_request *http,
                                                  struct mn_span service)
{
    struct front_exchange *exchange;
    size_t size = service.size;
    uint32_t count = 0;
    uint8_t *to;

    for (uint32_t i = 0; i < http->headers_count; i++) {
        if (!front_http_is_kept(http->headers[i].name)) continue;
        count++;
        size += http->headers[i].name.size + http->headers[i].value.size;
    }
    if (size + count * sizeof *exchange->headers > HEADERS_SIZE_MAX) return NULL;
    exchange = mn_alloc(sizeof *exchange + count * sizeof *exchange->headers + size);
    exchange->headers = (struct edge_header *)(exchange + 1);
    to = (uint8_t *)(exchange->headers + count);
    exchange->service = front_http_keep(&to, service);
    for (uint32_t i = 0; i < http->headers_count; i++) {
        const struct edge_header *from = &http->headers[i];
        if (!front_http_is_kept(from->name)) continue;
        exchange->headers[exchange->headers_count++] = (struct edge_header){
            front_http_keep(&to, from->name), front_http_keep(&to, front_http_trim(from->value))};
    }
    return exchange;
}

void front_http_open(struct front *front, const struct edge_input *input)
{
    const struct edge_http_request *http = input->http;
    struct front_exchange *exchange;
    struct front_refusal refusal;
    struct mn_span service = {0};
    mn_id principal = {{0}};

    if (mn_map_find(&front->exchanges, mn_span(&input->id, sizeof input->id)) != NULL) return;
    front->stats.requests_count++;
    refusal = front_http_judge(front, http, &service, &principal);
    exchange = refusal.code != 0 ? NULL : front_http_exchange(http, service);
    if (exchange == NULL) {
        if (refusal.code == 0) refusal = REFUSE(431, "the headers are too large", NULL);
        if (refusal.code == 401 || refusal.code == 403)
            mn_trace(front->trace, front->now.mono, MN_EV_HTTP_REFUSED, NULL, refusal.code, 0,
                     refusal.text);
        front_reply_refuse(front, input->id, refusal.code, JSONRPC_INVALID_REQUEST, refusal.text,
                           refusal.header);
        return;
    }
    exchange->id = input->id;
    exchange->came = front->now.mono;
    exchange->kind = FRONT_EXCHANGE_POST;
    exchange->principal = principal;
    exchange->has_token = guard_has_token(front->guard, front->now, &principal);
    front_token_use(front, exchange->has_token);
    mn_list_init(&exchange->calls);
    front_subscriptions_init(front, &exchange->subscriptions);
    mn_list_init(&exchange->in_streams);
    mn_list_init(&exchange->in_adoption);
    mn_list_init(&exchange->held);
    mn_list_init(&exchange->waiters);
    mn_map_insert(&front->exchanges, &exchange->by_id, mn_span(&exchange->id, sizeof exchange->id));
    exchange->verb = FRONT_VERB_POST;
    if (mn_span_is(http->method, "GET")) exchange->verb = FRONT_VERB_GET;
    if (mn_span_is(http->method, "DELETE")) exchange->verb = FRONT_VERB_DELETE;
    if (exchange->verb != FRONT_VERB_POST) front_legacy_verb(front, exchange);
}

static void front_http_refuse_body(struct front *front, struct front_exchange *exchange,
                                   uint32_t code, const char *text)
{
    front_reply_refuse(front, exchange->id, code, JSONRPC_INVALID_REQUEST, text, NULL);
    front_exchange_free(front, exchange);
}

/* The usual case: the whole body came at once. */
static void front_http_body_whole(struct front *front, struct front_exchange *exchange,
                                  struct mn_span bytes)
{
    uint8_t *copy = mn_arena_alloc(&front->scratch, bytes.size + MN_BUF_PADDING);

    if (bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
    memset(copy + bytes.size, 0, MN_BUF_PADDING);
    front_message_receive(front, exchange, mn_span(copy, bytes.size));
}

void front_http_serve_body(struct front *front, struct front_exchange *exchange)
{
    struct mn_buf *body = mn_writer_done(&exchange->body);

    front->bodies_size -= body->size;
    if (body->size >= JSONRPC_LARGE) front->body_whole = body;
    front_message_receive(front, exchange, mn_buf_span(body));
    front->body_whole = mn_buf_unref(body);
    json_feed_free(front->body_feed);
    front->body_feed = NULL;
}

void front_http_keep_body(struct front *front, struct front_exchange *exchange)
{
    struct mn_buf *whole = front->body_whole;

    front->bodies_size += front->body.size;
    if (whole == NULL) {
        mn_writer_add(&exchange->body, front->body);
        return;
    }
    exchange->body = (struct mn_writer){.buf = mn_buf_ref(whole), .capacity = whole->size};
    exchange->feed = front->body_feed; /* it need not be checked again */
    front->body_feed = NULL;
}

void front_http_body(struct front *front, struct front_exchange *exchange,
                     const struct edge_input *input)
{
    struct mn_span bytes = input->bytes;

    if (exchange->verb != FRONT_VERB_POST) return;
    if (exchange->pending_count > 0 || exchange->is_stream) return; /* has its body already */
    if (mn_writer_size(&exchange->body) + bytes.size > MCP_BODY_MAX) {
        front_http_refuse_body(front, exchange, 413, "the body is over 16 MiB");
        return;
    }
    if (input->is_last && mn_writer_size(&exchange->body) == 0) {
        front_http_body_whole(front, exchange, bytes);
        return;
    }
    if (front->bodies_size + bytes.size > MCP_BODIES_MAX) {
        front_http_refuse_body(front, exchange, 503, "too many large requests at once; try again");
        return;
    }
    mn_writer_add(&exchange->body, bytes);
    front->bodies_size += bytes.size;
    front_message_ahead(exchange);
    if (!input->is_last) return;
    front_http_serve_body(front, exchange);
}

/* Calls of a session go on: its client may come back for them. */
static void front_http_leave(struct front *front, struct front_exchange *exchange)
{
    MN_LIST_FOR_EACH_SAFE (entry, &exchange->calls) {
        struct front_call *call = MN_CONTAINER(entry, struct front_call, in_exchange);
        call->stream = exchange->stream;
        if (call->session == NULL) front_call_cancel(front, call);
    }
}

void front_http_gone(struct front *front, struct front_exchange *exchange)
{
    front_http_leave(front, exchange);
    if (exchange->legacy != NULL && exchange->is_stream && !exchange->is_noted) {
        MN_PROBE("front: a young stream breaks, and its client may come back at any node");
        front_orphan_note(front, exchange);
    }
    front_exchange_free(front, exchange);
}

void front_http_expel(struct front *front, struct front_exchange *exchange)
{
    front_http_leave(front, exchange);
    if (exchange->kind != FRONT_EXCHANGE_POST) {
        front_stream_end(front, exchange);
    } else if (exchange->is_stream) {
        front_reply_end(front, exchange);
    } else {
        front_reply_refuse(front, exchange->id, 401, JSONRPC_INVALID_REQUEST,
                           "the API token has expired or was revoked", &ask_bearer);
        front_exchange_free(front, exchange);
    }
}
