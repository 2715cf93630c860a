#include "node/mcp/upstream/upstream_http.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_exchange.h"
#include "node/mcp/upstream/upstream_handshake.h"
#include "node/mcp/upstream/upstream_receive.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "proto/base/check.h"

#define NOTICES_MAX 64
#define NOTICE_TIMEOUT (30 * MN_SEC)
#define DELETE_TIMEOUT (2 * MN_SEC)
#define LINGER_TIMEOUT MN_SEC /* for the end of a stream whose answer has come */
#define ERROR_BODY_MAX 1048576
#define RESUMES_MAX 20
#define RESUME_DELAY MN_SEC      /* when the server names none */
#define AWAY_GRACE (250 * MN_MS) /* for a client that comes back when we do: it may be asked */

static const struct upstream_http_about upstream_http_plain = {.method = ""};

void upstream_http_init(struct upstream *server)
{
    mn_list_init(&server->http.exchanges);
}

struct upstream_request *upstream_http_request_of(const struct upstream_exchange *exchange)
{
    return exchange->request;
}

uint32_t upstream_http_code_of(const struct upstream_exchange *exchange)
{
    return exchange->code;
}

/* Saying. */

void upstream_http_request(struct upstream *server, struct upstream_request *request,
                           struct mn_buf *text, const struct upstream_http_about *about)
{
    struct upstream_exchange *exchange = upstream_exchange_new(server, UPSTREAM_EXCHANGE_POST);

    exchange->request = request;
    request->exchange = exchange;
    upstream_exchange_send(exchange, "POST", text, about);
}

void upstream_http_notify(struct upstream *server, struct mn_buf *text, const char *method,
                          bool is_initialized)
{
    struct upstream_exchange *exchange;
    struct upstream_http_about about = {.method = method == NULL ? "" : method};

    if (server->http.notices_count >= NOTICES_MAX && !is_initialized) {
        mn_buf_unref(text); /* it does not take them; none of them is worth waiting for */
        return;
    }
    exchange = upstream_exchange_new(server, is_initialized ? UPSTREAM_EXCHANGE_OPENING
                                                            : UPSTREAM_EXCHANGE_NOTICE);
    server->http.notices_count++;
    upstream_exchange_send(exchange, "POST", text, &about);
    upstream_timer_set(server->host, &exchange->timer, NOTICE_TIMEOUT);
}

void upstream_http_open_stream(struct upstream *server)
{
    struct upstream_exchange *exchange;

    if (server->http.stream != NULL || server->http.has_no_stream) return;
    exchange = upstream_exchange_new(server, UPSTREAM_EXCHANGE_STREAM);
    exchange->event_id = mn_buf_ref(server->http.event_id);
    server->http.stream = exchange;
    server->http.stream_at = server->host->now.mono;
    upstream_exchange_send(exchange, "GET", NULL, &upstream_http_plain);
}

bool upstream_http_awaits_stream(const struct upstream *server)
{
    const struct upstream_exchange *stream = server->http.stream;

    return stream != NULL && stream->code == 0 &&
           server->host->now.mono - server->http.stream_at < UPSTREAM_STREAM_WAIT;
}

static void upstream_http_delete(struct upstream *server)
{
    struct upstream_exchange *exchange = upstream_exchange_new(server, UPSTREAM_EXCHANGE_DELETE);

    upstream_exchange_send(exchange, "DELETE", NULL, &upstream_http_plain);
    upstream_timer_set(server->host, &exchange->timer, DELETE_TIMEOUT);
    mn_list_remove(&exchange->link);
    exchange->server = NULL; /* the server need not wait for it */
}

/* Ending. */

static void upstream_http_end(struct upstream_exchange *exchange)
{
    struct upstream *server = exchange->server;

    if (exchange->is_dead) return;
    if (exchange->request != NULL) exchange->request->exchange = NULL;
    exchange->request = NULL;
    if (server != NULL && server->http.stream == exchange) server->http.stream = NULL;
    if (exchange->kind == UPSTREAM_EXCHANGE_NOTICE || exchange->kind == UPSTREAM_EXCHANGE_OPENING)
        server->http.notices_count--;
    upstream_exchange_end(exchange);
}

void upstream_http_release(struct upstream_exchange *exchange)
{
    exchange->request = NULL;
    if (exchange->is_receiving && exchange->fetch != 0)
        /* Its end comes in a moment; then the connection can be used again. */
        upstream_timer_set(exchange->host, &exchange->timer, LINGER_TIMEOUT);
    else
        upstream_http_end(exchange);
}

static void upstream_http_end_all(struct upstream *server, bool with_calls)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->http.exchanges) {
        struct upstream_exchange *exchange = MN_CONTAINER(link, struct upstream_exchange, link);
        if (with_calls || exchange->request == NULL) upstream_http_end(exchange);
    }
}

void upstream_http_suspend(struct upstream *server)
{
    if (server->http.stream != NULL && server->http.stream->event_id != NULL) {
        mn_buf_unref(server->http.event_id);
        server->http.event_id = mn_buf_ref(server->http.stream->event_id);
    }
    upstream_http_end_all(server, false);
}

void upstream_http_close(struct upstream *server, bool with_calls)
{
    if (with_calls && server->http.session_id != NULL) upstream_http_delete(server);
    upstream_http_end_all(server, with_calls);
    server->http.session_id = mn_buf_unref(server->http.session_id);
    server->http.event_id = mn_buf_unref(server->http.event_id);
    server->http.has_no_stream = server->http.had_stream = false;
}

void upstream_http_done(struct upstream *server)
{
    while (!mn_list_is_empty(&server->http.exchanges)) {
        struct upstream_exchange *exchange =
            MN_CONTAINER(server->http.exchanges.next, struct upstream_exchange, link);
        upstream_http_end(exchange);
        exchange->server = NULL;
    }
    server->http.session_id = mn_buf_unref(server->http.session_id);
    server->http.event_id = mn_buf_unref(server->http.event_id);
}

void upstream_http_free_dead(struct upstream_host *host)
{
    while (!mn_list_is_empty(&host->dead))
        upstream_exchange_free(MN_CONTAINER(host->dead.next, struct upstream_exchange, link));
}

/* Resuming. */

static mn_time upstream_http_retry(const struct upstream_exchange *exchange)
{
    uint64_t retry_ms = exchange->sse.retry_ms;

    if (retry_ms == 0) return RESUME_DELAY;
    return retry_ms > UPSTREAM_BACKOFF_MAX / MN_MS ? UPSTREAM_BACKOFF_MAX : retry_ms * MN_MS;
}

/* A stream with event ids can be taken up again where it broke off (legacy revisions only).
 * [ended]: it did not break, the server wants to be asked again; so do the clients that know such
 * streams. */
static bool upstream_http_resume_later(struct upstream_exchange *exchange, bool ended)
{
    mn_time delay = upstream_http_retry(exchange);

    if (upstream_is_modern(exchange->server) || exchange->event_id == NULL ||
        exchange->resumes_count >= RESUMES_MAX)
        return false;
    MN_PROBE("upstream: stream broke off, to be resumed");
    exchange->resumes_count++;
    if (ended && upstream_answer_on_away(exchange->request, delay)) delay += AWAY_GRACE;
    upstream_timer_set(exchange->host, &exchange->timer, delay);
    return true;
}

void upstream_http_on_timer(struct upstream_timer *timer)
{
    struct upstream_exchange *exchange = MN_CONTAINER(timer, struct upstream_exchange, timer);
    struct upstream *server = exchange->server;
    bool is_opening = exchange->kind == UPSTREAM_EXCHANGE_OPENING;

    if (exchange->fetch == 0 && exchange->request != NULL) {
        upstream_exchange_send(exchange, "GET", NULL, &upstream_http_plain);
        return;
    }
    upstream_http_end(exchange);
    if (is_opening) upstream_break(server, "does not take notifications/initialized");
}

/* Heads. */

static bool upstream_http_is_type(struct mn_span value, const char *type)
{
    size_t size = strlen(type);

    if (value.size < size) return false;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = value.data[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)type[i]) return false;
    }
    return value.size == size || strchr("; \t", value.data[size]) != NULL;
}

static bool upstream_http_is_session_id(struct mn_span id)
{
    for (size_t i = 0; i < id.size; i++)
        if (id.data[i] < 0x21 || id.data[i] > 0x7e) return false;
    return id.size > 0 && id.size <= UPSTREAM_SESSION_ID_MAX;
}

/* Another mesh says with its list where that comes from, and nothing when that is nowhere else. */
static bool upstream_http_tells_meshes(const struct upstream_exchange *exchange)
{
    return exchange->request != NULL && (exchange->request->kind == UPSTREAM_REQUEST_PROBE ||
                                         exchange->request->kind == UPSTREAM_REQUEST_LIST);
}

static void upstream_http_on_head(struct upstream_exchange *exchange,
                                  const struct edge_input *input)
{
    struct upstream *server = exchange->server;
    bool is_initialize =
        exchange->request != NULL && exchange->request->kind == UPSTREAM_REQUEST_INITIALIZE;

    exchange->code = input->code;
    if (upstream_http_tells_meshes(exchange)) server->http.meshes_count = 0;
    for (uint32_t i = 0; i < input->headers_count; i++) {
        struct mn_span name = input->headers[i].name, value = input->headers[i].value;
        if (mn_span_is(name, "content-type")) {
            if (upstream_http_is_type(value, "application/json"))
                exchange->type = UPSTREAM_BODY_JSON;
            else if (upstream_http_is_type(value, "text/event-stream"))
                exchange->type = UPSTREAM_BODY_SSE;
        } else if (upstream_http_tells_meshes(exchange) && mn_span_is(name, TRAIL_MESHES_HEADER)) {
            server->http.meshes_count = trail_read(value, server->http.meshes);
        } else if (is_initialize && input->code < 300 && mn_span_is(name, "mcp-session-id") &&
                   upstream_http_is_session_id(value)) {
            mn_buf_unref(server->http.session_id);
            server->http.session_id = mn_buf_copy(value);
        }
    }
    if (exchange->request != NULL && exchange->request->kind == UPSTREAM_REQUEST_LIST)
        server->http.is_plain = exchange->type == UPSTREAM_BODY_JSON;
    if (exchange->kind == UPSTREAM_EXCHANGE_STREAM && server != NULL)
        upstream_watch_on_stream(server, input->code == 200 && exchange->type == UPSTREAM_BODY_SSE);
}

/* Bodies. */

static void upstream_http_receive(struct upstream_exchange *exchange, struct mn_buf *text)
{
    struct upstream *server = exchange->server;

    exchange->is_receiving = true;
    if (!upstream_receive(server, exchange, text, &exchange->feed)) {
        server->noise_count++;
        if (server->noise_count <= UPSTREAM_NOISE_LOGGED)
            upstream_log_line(&server->log, server->host->now.wall, "not MCP", mn_buf_span(text));
    }
    exchange->is_receiving = false;
}

static void upstream_http_on_event(struct upstream_exchange *exchange,
                                   const struct sse_event *event)
{
    exchange->had_event = true;
    exchange->resumes_count = 0;
    if (event->id.size > 0 && !mn_span_equal(event->id, mn_buf_span(exchange->event_id))) {
        mn_buf_unref(exchange->event_id);
        exchange->event_id = mn_buf_copy(event->id);
    }
    if (event->data->size > 0 && mn_span_is(event->type, "message"))
        upstream_http_receive(exchange, event->data);
    json_feed_free(exchange->feed); /* of what was no message */
    exchange->feed = NULL;
}

/* The answer is too big to be taken: the rest of it is not read. */
static void upstream_http_refuse(struct upstream_exchange *exchange)
{
    struct upstream *server = exchange->server;
    struct upstream_request *request = exchange->request;
    bool is_stream = server->http.stream == exchange;

    upstream_http_end(exchange);
    if (request != NULL)
        upstream_request_failed(request, CALL_TOO_BIG, "it answered with more than 32 MiB");
    else if (is_stream)
        upstream_stream_ended(server, false);
}

static void upstream_http_on_body(struct upstream_exchange *exchange, struct mn_span bytes)
{
    bool is_good = exchange->code >= 200 && exchange->code < 300;
    struct sse_event event;

    if (is_good && exchange->type == UPSTREAM_BODY_SSE) {
        while (!exchange->is_dead && sse_reader_next(&exchange->sse, &bytes, &event))
            upstream_http_on_event(exchange, &event);
        if (exchange->is_dead) return;
        if (sse_reader_status(&exchange->sse) != MN_OK)
            upstream_http_refuse(exchange);
        else
            upstream_receive_ahead(&exchange->feed, &exchange->sse.data);
    } else if (exchange->type == UPSTREAM_BODY_JSON && exchange->request != NULL) {
        size_t size = mn_writer_size(&exchange->body) + bytes.size;
        if (size > (is_good ? UPSTREAM_MESSAGE_MAX : ERROR_BODY_MAX)) {
            upstream_http_refuse(exchange);
            return;
        }
        mn_writer_add(&exchange->body, bytes);
        upstream_receive_ahead(&exchange->feed, &exchange->body);
    }
}

/* Ends. */

/* The endpoint does not answer at all: whatever else we think of it is out of date. */
static void upstream_http_on_unreachable(struct upstream_exchange *exchange, const char *text)
{
    struct upstream *server = exchange->server;
    struct upstream_request *request = exchange->request;

    upstream_http_end(exchange);
    text = mn_arena_format(&server->host->scratch, "cannot be reached: %s", text);
    if (request != NULL && request->kind == UPSTREAM_REQUEST_CALL)
        upstream_request_failed(request, CALL_UNAVAILABLE, text);
    upstream_break_off(server, text);
}

static void upstream_http_on_broken_off(struct upstream_exchange *exchange, mn_status status,
                                        const char *text)
{
    struct upstream_request *request = exchange->request;
    bool had_event = exchange->had_event;
    uint32_t code = exchange->code;

    bool was_stream = exchange->type == UPSTREAM_BODY_SSE && code == 200;
    bool is_resuming = exchange->resumes_count > 0 && code == 0; /* it could not be reached again */

    if ((was_stream || is_resuming) &&
        upstream_http_resume_later(exchange, was_stream && status == MN_OK))
        return;
    upstream_http_end(exchange);
    if (request->kind == UPSTREAM_REQUEST_LISTEN)
        upstream_request_failed(request, had_event ? CALL_OUTCOME_UNKNOWN : CALL_UPSTREAM, text);
    else if (request->kind == UPSTREAM_REQUEST_PROBE && code != 0)
        upstream_request_answered(request, NULL, code);
    else
        upstream_request_failed(request, CALL_OUTCOME_UNKNOWN, text);
}

/* A whole answer that is no stream. */
static void upstream_http_on_whole(struct upstream_exchange *exchange)
{
    struct upstream_request *request = exchange->request;
    uint32_t code = exchange->code;
    bool is_lost = code == 404 && request->had_session && !request->was_modern;
    bool was_resumed = exchange->resumes_count > 0;

    if (exchange->type == UPSTREAM_BODY_JSON && !is_lost) {
        struct mn_buf *text = mn_writer_done(&exchange->body);
        upstream_http_receive(exchange, text);
        mn_buf_unref(text);
        if (exchange->is_dead || exchange->request == NULL) return;
    }
    upstream_http_end(exchange);
    if (was_resumed)
        upstream_request_failed(request, CALL_OUTCOME_UNKNOWN,
                                "its answer broke off and could not be resumed");
    else
        upstream_request_answered(request, NULL, code);
}

static void upstream_http_on_post_done(struct upstream_exchange *exchange, mn_status status,
                                       const char *text)
{
    if (exchange->request == NULL)
        upstream_http_end(exchange);
    else if (status == MN_UNREACHABLE && exchange->resumes_count == 0)
        upstream_http_on_unreachable(exchange, text);
    else if (status != MN_OK)
        upstream_http_on_broken_off(exchange, status, text);
    else if (exchange->type == UPSTREAM_BODY_SSE && exchange->code < 300)
        upstream_http_on_broken_off(exchange, MN_OK, "its answer broke off");
    else
        upstream_http_on_whole(exchange);
    if (!exchange->is_dead && exchange->request == NULL) upstream_http_end(exchange);
}

static void upstream_http_on_opening_done(struct upstream_exchange *exchange, mn_status status,
                                          const char *text)
{
    struct upstream *server = exchange->server;
    uint32_t code = exchange->code;

    upstream_http_end(exchange);
    if (status != MN_OK)
        upstream_break(server, text);
    else if (code == 401 || code == 403)
        upstream_break_auth(server, code);
    else if (code >= 300)
        upstream_break(server,
                       mn_arena_format(&server->host->scratch,
                                       "answers notifications/initialized with HTTP %u", code));
    else
        upstream_handshake_on_initialized(server);
}

static void upstream_http_on_stream_done(struct upstream_exchange *exchange, mn_status status,
                                         const char *text)
{
    struct upstream *server = exchange->server;
    uint32_t code = exchange->code;
    bool had_event = exchange->had_event;
    bool is_stream = code == 200 && exchange->type == UPSTREAM_BODY_SSE;
    /* Without a stream before, these only say that there are no streams. */
    bool is_lost = server->http.had_stream && (code == 404 || code == 400);
    /* What it does not like may be where we want to go on, and not the session. */
    bool is_place_lost = code == 400 && exchange->event_id != NULL && !had_event;

    if (is_stream) server->http.had_stream = true;
    mn_buf_unref(server->http.event_id);
    server->http.event_id = is_place_lost ? NULL : mn_buf_ref(exchange->event_id);
    upstream_http_end(exchange);
    if (status == MN_UNREACHABLE) {
        upstream_break_off(server, text);
    } else if (is_place_lost) {
        upstream_stream_ended(server, false);
    } else if (is_lost && upstream_rehandshake(server, false)) {
        return;
    } else if (status != MN_OK || is_stream || code >= 500) {
        upstream_stream_ended(server, had_event);
    } else {
        server->http.has_no_stream = true; /* 405, as a rule */
        if (server->state == UPSTREAM_READY) upstream_poll(server);
    }
}

static void upstream_http_on_done(struct upstream_exchange *exchange,
                                  const struct edge_input *input)
{
    struct upstream_host *host = exchange->host;
    const char *text = input->text.size == 0
                           ? mn_status_text(input->status)
                           : mn_arena_format(&host->scratch, "%.*s", (int)input->text.size,
                                             (const char *)input->text.data);

    mn_map_remove(&host->exchanges, &exchange->by_fetch);
    exchange->fetch = 0;
    upstream_timer_clear(host, &exchange->timer);
    switch (exchange->kind) {
    case UPSTREAM_EXCHANGE_POST: upstream_http_on_post_done(exchange, input->status, text); break;
    case UPSTREAM_EXCHANGE_OPENING:
        upstream_http_on_opening_done(exchange, input->status, text);
        break;
    case UPSTREAM_EXCHANGE_STREAM:
        upstream_http_on_stream_done(exchange, input->status, text);
        break;
    case UPSTREAM_EXCHANGE_NOTICE:
    case UPSTREAM_EXCHANGE_DELETE: upstream_http_end(exchange); break;
    }
}

void upstream_http_on_edge(struct upstream_host *host, const struct edge_input *input)
{
    struct mn_map_entry *entry = mn_map_find(&host->exchanges, upstream_u64_key(&input->id));
    struct upstream_exchange *exchange;

    if (entry == NULL) return; /* it was cancelled */
    exchange = MN_CONTAINER(entry, struct upstream_exchange, by_fetch);
    if (input->type == EDGE_IN_FETCH_DONE)
        upstream_http_on_done(exchange, input);
    else if (exchange->server == NULL)
        return; /* the answer to a DELETE */
    else if (input->type == EDGE_IN_FETCH_HEAD)
        upstream_http_on_head(exchange, input);
    else if (input->type == EDGE_IN_FETCH_BODY)
        upstream_http_on_body(exchange, input->bytes);
}
