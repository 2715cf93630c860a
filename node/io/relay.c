#include "node/io/relay.h"

#include <stdio.h>

#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/param_headers.h"
#include "node/mcp/wire/sse.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"

#define RELAY_VERSION_KEY "io.modelcontextprotocol/protocolVersion"
#define RELAY_HEADERS_MAX 10
#define RELAY_SESSION_SIZE 513
#define RELAY_VERSION_SIZE 33
#define RELAY_STREAM_DELAY MN_SEC     /* before a broken GET stream is opened again */
#define RELAY_END_LIMIT (30 * MN_SEC) /* for answers, after the client ended its input */
#define RELAY_CONNECT_TIMEOUT (10 * MN_SEC)

enum relay_kind {
    RELAY_REQUEST = 1, /* or a batch */
    RELAY_INITIALIZE,
    RELAY_NOTICE, /* notification or response: the node answers with a status only */
    RELAY_STREAM, /* GET */
    RELAY_REOPEN, /* `initialize` once more, by ourselves */
    RELAY_REOPENED,
    RELAY_DELETE
};

/* One HTTP request under way. */
struct relay_exchange {
    struct mn_list entry; /* in relay->exchanges, or relay->parked */
    uint64_t fetch;
    enum relay_kind kind;
    bool is_modern, is_listen;
    bool is_sse, has_answer;
    uint32_t code;
    uint32_t epoch; /* of the session it was sent in */
    struct mn_buf *line;
    struct mn_span id; /* inside [line]; empty: none, or a batch */
    struct mn_writer body;
    struct sse_reader events;
};

struct relay {
    struct relay_config config;
    char *url, *authorization; /* "Bearer ..."; NULL: none */
    struct json_parser *parser;
    struct mn_arena arena; /* of one call */
    struct mn_list exchanges, parked;
    uint32_t count, holds;     /* exchanges; those of them that the next line must wait for */
    uint64_t fetch_next;       /* even */
    struct mn_buf *initialize; /* the client's own, to be repeated */
    char session[RELAY_SESSION_SIZE], version[RELAY_VERSION_SIZE];
    uint32_t epoch; /* counts sessions */
    bool is_reopening, has_stream, is_ending, has_deleted;
    mn_time stream_at, end_by;
};

/* ---- exchanges ---- */

static bool relay_kind_holds(enum relay_kind kind)
{
    return kind != RELAY_REQUEST && kind != RELAY_STREAM && kind != RELAY_DELETE;
}

/* Takes the ref of [line]; NULL: none. */
static struct relay_exchange *relay_exchange_new(struct relay *relay, enum relay_kind kind,
                                                 struct mn_buf *line)
{
    struct relay_exchange *exchange = mn_alloc(sizeof *exchange);
    exchange->kind = kind;
    exchange->line = line;
    sse_reader_init(&exchange->events, RELAY_LINE_MAX);
    mn_list_push_back(&relay->exchanges, &exchange->entry);
    relay->count++;
    relay->holds += relay_kind_holds(kind);
    return exchange;
}

static void relay_exchange_free(struct relay *relay, struct relay_exchange *exchange)
{
    mn_list_remove(&exchange->entry);
    relay->count--;
    relay->holds -= relay_kind_holds(exchange->kind);
    if (exchange->kind == RELAY_STREAM) relay->has_stream = false;
    mn_buf_unref(exchange->line);
    mn_writer_drop(&exchange->body);
    sse_reader_done(&exchange->events);
    mn_free(exchange);
}

static struct relay_exchange *relay_find(struct relay *relay, uint64_t fetch)
{
    MN_LIST_FOR_EACH (entry, &relay->exchanges) {
        struct relay_exchange *exchange = MN_CONTAINER(entry, struct relay_exchange, entry);
        if (exchange->fetch == fetch) return exchange;
    }
    return NULL;
}

static void relay_cancel(struct relay *relay, struct relay_exchange *exchange,
                         struct edge_outbox *outbox)
{
    edge_emit(outbox, EDGE_OUT_FETCH_CANCEL, exchange->fetch);
    relay_exchange_free(relay, exchange);
}

/* ---- towards the client ---- */

static void relay_say(struct relay *relay, struct mn_span json)
{
    struct mn_writer writer = {0};
    json_write_line(&writer, json);
    struct mn_buf *line = mn_writer_done(&writer);
    relay->config.say(relay->config.owner, mn_buf_span(line));
    mn_buf_unref(line);
}

static void relay_say_error(struct relay *relay, struct mn_span id, int64_t code, const char *text)
{
    struct mn_writer writer = {0};
    jsonrpc_write_error(&writer, id, code, mn_span_str(text), (struct mn_span){0});
    struct mn_buf *line = mn_writer_done(&writer);
    relay->config.say(relay->config.owner, mn_buf_span(line));
    mn_buf_unref(line);
}

/* Nothing is owed for what asked nothing. */
static void relay_fail(struct relay *relay, struct relay_exchange *exchange, const char *text)
{
    bool is_asked = exchange->kind == RELAY_REQUEST || exchange->kind == RELAY_INITIALIZE;
    if (is_asked && !exchange->has_answer)
        relay_say_error(relay, exchange->id, JSONRPC_INTERNAL, text);
}

/* ---- towards the node ---- */

struct relay_headers {
    struct edge_header items[RELAY_HEADERS_MAX];
    uint32_t count;
};

static void relay_add_header(struct relay_headers *headers, const char *name, struct mn_span value)
{
    if (value.size == 0) return;
    headers->items[headers->count++] = (struct edge_header){mn_span_str(name), value};
}

/* What a modern request repeats of its body. */
static void relay_add_modern(struct relay *relay, struct relay_headers *headers,
                             const struct jsonrpc_message *message, struct mn_span version)
{
    static const struct {
        const char *method, *param;
    } names[] = {{"tools/call", "name"},  {"prompts/get", "name"},    {"resources/read", "uri"},
                 {"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tasks/cancel", "taskId"}};
    relay_add_header(headers, "mcp-protocol-version", version);
    relay_add_header(headers, "mcp-method", param_headers_value(message->method, &relay->arena));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!mn_span_is(message->method, names[i].method)) continue;
        struct mn_span name = json_text(json_find_str(message->params, names[i].param));
        relay_add_header(headers, "mcp-name", param_headers_value(name, &relay->arena));
    }
}

static void relay_start(struct relay *relay, struct relay_exchange *exchange, const char *method,
                        struct relay_headers *headers, struct edge_outbox *outbox)
{
    if (!exchange->is_modern && exchange->kind != RELAY_INITIALIZE &&
        exchange->kind != RELAY_REOPEN) {
        relay_add_header(headers, "mcp-protocol-version", mn_span_str(relay->version));
        relay_add_header(headers, "mcp-session-id", mn_span_str(relay->session));
    }
    relay_add_header(headers, "accept", mn_span_str("application/json, text/event-stream"));
    if (exchange->line != NULL)
        relay_add_header(headers, "content-type", mn_span_str("application/json"));
    relay_add_header(headers, "authorization", mn_span_str(relay->authorization));
    struct edge_fetch *start = mn_arena_alloc(outbox->arena, sizeof *start);
    struct relay_headers *kept = mn_arena_alloc(outbox->arena, sizeof *kept);
    *kept = *headers;
    for (uint32_t i = 0; i < kept->count; i++)
        kept->items[i].value = mn_arena_copy(outbox->arena, kept->items[i].value);
    *start = (struct edge_fetch){.method = mn_span_str(method),
                                 .url = mn_span_str(relay->url),
                                 .headers = kept->items,
                                 .headers_count = kept->count,
                                 .body = exchange->line,
                                 .connect_timeout = RELAY_CONNECT_TIMEOUT};
    exchange->epoch = relay->epoch;
    exchange->fetch = relay->fetch_next;
    relay->fetch_next += 2;
    edge_emit(outbox, EDGE_OUT_FETCH_START, exchange->fetch)->fetch_start = start;
}

static void relay_post(struct relay *relay, struct relay_exchange *exchange,
                       struct edge_outbox *outbox)
{
    struct relay_headers headers = {.count = 0};
    relay_start(relay, exchange, "POST", &headers, outbox);
}

static void relay_open_stream(struct relay *relay, struct edge_outbox *outbox)
{
    struct relay_headers headers = {.count = 0};
    relay->stream_at = MN_TIME_NEVER;
    if (relay->has_stream || relay->is_ending || relay->session[0] == '\0') return;
    relay->has_stream = true;
    relay_start(relay, relay_exchange_new(relay, RELAY_STREAM, NULL), "GET", &headers, outbox);
}

/* ---- a session that the node forgot ---- */

static void relay_reopen(struct relay *relay, struct edge_outbox *outbox)
{
    if (relay->is_reopening || relay->initialize == NULL) return;
    relay->is_reopening = true;
    relay->epoch++;
    relay->session[0] = '\0';
    relay_post(relay, relay_exchange_new(relay, RELAY_REOPEN, mn_buf_ref(relay->initialize)),
               outbox);
}

static void relay_reopened(struct relay *relay, bool is_good, struct edge_outbox *outbox)
{
    struct mn_list *entry;
    relay->is_reopening = false;
    if (is_good) relay_open_stream(relay, outbox);
    while ((entry = mn_list_take(&relay->parked)) != NULL) {
        struct relay_exchange *exchange = MN_CONTAINER(entry, struct relay_exchange, entry);
        mn_list_push_back(&relay->exchanges, entry);
        if (is_good) {
            relay_post(relay, exchange, outbox);
        } else {
            relay_fail(relay, exchange, "the session ended and no new one could be opened");
            relay_exchange_free(relay, exchange);
        }
    }
}

static void relay_say_initialized(struct relay *relay, struct edge_outbox *outbox)
{
    struct mn_writer writer = {0};
    jsonrpc_write_notification(&writer, "notifications/initialized", (struct mn_span){0});
    relay_post(relay, relay_exchange_new(relay, RELAY_REOPENED, mn_writer_done(&writer)), outbox);
}

/* 404 in a session: what was sent was not looked at, so sending it again is safe. */
static bool relay_retry(struct relay *relay, struct relay_exchange *exchange,
                        struct edge_outbox *outbox)
{
    bool is_old = exchange->epoch != relay->epoch;
    bool may = exchange->kind == RELAY_REQUEST || exchange->kind == RELAY_NOTICE;
    if (exchange->code != 404 || exchange->is_modern || !may || relay->initialize == NULL)
        return false;
    if (!is_old && relay->session[0] == '\0') return false; /* never was in one */
    mn_writer_drop(&exchange->body);
    exchange->code = 0;
    if (is_old && !relay->is_reopening) {
        relay_post(relay, exchange, outbox);
        return true;
    }
    mn_list_remove(&exchange->entry);
    mn_list_push_back(&relay->parked, &exchange->entry);
    relay_reopen(relay, outbox);
    return true;
}

/* ---- what the client says ---- */

static void relay_cancel_modern(struct relay *relay, const struct jsonrpc_message *message,
                                struct mn_buf *line, struct edge_outbox *outbox)
{
    const struct json *id = json_find_str(message->params, "requestId");
    MN_LIST_FOR_EACH (entry, &relay->exchanges) {
        struct relay_exchange *exchange = MN_CONTAINER(entry, struct relay_exchange, entry);
        if (id == NULL || !mn_span_equal(exchange->id, id->raw)) continue;
        if (!exchange->is_modern) break;
        relay_cancel(relay, exchange, outbox); /* closing the stream is how HTTP says it */
        mn_buf_unref(line);
        return;
    }
    if (relay->session[0] == '\0')
        mn_buf_unref(line); /* too late, or none of ours */
    else
        relay_post(relay, relay_exchange_new(relay, RELAY_NOTICE, line), outbox);
}

static void relay_take_request(struct relay *relay, const struct jsonrpc_message *message,
                               struct mn_buf *line, struct edge_outbox *outbox)
{
    const struct json *meta = json_find_str(message->params, "_meta");
    struct mn_span version = json_text(json_find_str(meta, RELAY_VERSION_KEY));
    bool is_initialize = version.size == 0 && mn_span_is(message->method, "initialize");
    struct relay_headers headers = {.count = 0};
    struct relay_exchange *exchange =
        relay_exchange_new(relay, is_initialize ? RELAY_INITIALIZE : RELAY_REQUEST, line);
    exchange->id = message->id;
    exchange->is_modern = version.size > 0;
    exchange->is_listen = mn_span_is(message->method, "subscriptions/listen");
    if (exchange->is_modern) relay_add_modern(relay, &headers, message, version);
    if (is_initialize) {
        mn_buf_unref(relay->initialize);
        relay->initialize = mn_buf_ref(line);
        relay->session[0] = relay->version[0] = '\0';
        relay->epoch++;
    }
    relay_start(relay, exchange, "POST", &headers, outbox);
}

static void relay_take_message(struct relay *relay, const struct json *value, struct mn_buf *line,
                               struct edge_outbox *outbox)
{
    struct jsonrpc_message message = {0};
    if (jsonrpc_decode(value, &message) != MN_OK) {
        relay_say_error(relay, message.id, JSONRPC_INVALID_REQUEST, "not a JSON-RPC 2.0 message");
        mn_buf_unref(line);
        return;
    }
    if (message.kind == JSONRPC_REQUEST) {
        relay_take_request(relay, &message, line, outbox);
    } else if (message.kind == JSONRPC_NOTIFICATION &&
               mn_span_is(message.method, "notifications/cancelled")) {
        relay_cancel_modern(relay, &message, line, outbox);
    } else {
        bool opens = mn_span_is(message.method, "notifications/initialized");
        relay_post(relay, relay_exchange_new(relay, RELAY_NOTICE, line), outbox);
        if (opens) relay_open_stream(relay, outbox);
    }
}

bool relay_is_ready(const struct relay *relay)
{
    return relay->holds == 0 && !relay->is_reopening && relay->count < RELAY_REQUESTS_MAX;
}

void relay_take(struct relay *relay, struct mn_buf *line, struct edge_outbox *outbox)
{
    const struct json *value = NULL;
    mn_arena_reset(&relay->arena);
    if (json_parse(relay->parser, mn_buf_span(line), JSONRPC_LIMITS, &relay->arena, &value) !=
        MN_OK) {
        relay_say_error(relay, (struct mn_span){0}, JSONRPC_PARSE_ERROR, "not valid JSON");
        mn_buf_unref(line);
    } else if (json_is(value, JSON_ARRAY)) {
        relay_post(relay, relay_exchange_new(relay, RELAY_REQUEST, line), outbox);
    } else {
        relay_take_message(relay, value, line, outbox);
    }
}

/* ---- what the node says ---- */

static void relay_note_version(struct relay *relay, const struct jsonrpc_message *message)
{
    struct mn_span version = json_text(json_find_str(message->result, "protocolVersion"));
    if (version.size == 0 || version.size >= sizeof relay->version) return;
    memcpy(relay->version, version.data, version.size);
    relay->version[version.size] = '\0';
}

/* A node that refuses a request before it reads it, as for a token or a session that it does not
 * know, answers with an error without an id: HTTP says whose it is, and here only the id can. */
static void relay_say_refusal(struct relay *relay, const struct relay_exchange *exchange,
                              const struct jsonrpc_message *refusal)
{
    const char *more = exchange->code == 401 ? "; the token is read from the file that "
                                               "MESHCTL_TOKEN_FILE names"
                                             : "";
    struct mn_writer text = {0}, writer = {0};
    mn_writer_add(&text, refusal->message);
    mn_writer_str(&text, more);
    jsonrpc_write_error(&writer, exchange->id, refusal->code, mn_buf_span(text.buf), refusal->data);
    relay_say(relay, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    mn_writer_drop(&text);
}

/* One JSON text; [json] has readable padding. False: it is none. */
static bool relay_on_message(struct relay *relay, struct relay_exchange *exchange,
                             struct mn_span json)
{
    const struct json *value = NULL;
    struct jsonrpc_message message = {0};
    mn_arena_reset(&relay->arena);
    if (json_parse(relay->parser, json, JSONRPC_LIMITS, &relay->arena, &value) != MN_OK)
        return false;
    bool is_message = jsonrpc_decode(value, &message) == MN_OK;
    bool is_answer =
        is_message && (message.kind == JSONRPC_RESULT || message.kind == JSONRPC_ERROR);
    bool opens = exchange->kind == RELAY_INITIALIZE || exchange->kind == RELAY_REOPEN;
    if (opens && is_message && message.kind == JSONRPC_RESULT) relay_note_version(relay, &message);
    if (is_answer || json_is(value, JSON_ARRAY)) exchange->has_answer = true;
    if (exchange->kind == RELAY_REOPEN || exchange->kind == RELAY_REOPENED) return true;
    if (is_answer && message.kind == JSONRPC_ERROR && message.id.size == 0 && exchange->id.size > 0)
        relay_say_refusal(relay, exchange, &message);
    else
        relay_say(relay, json);
    return true;
}

static void relay_on_head(struct relay *relay, struct relay_exchange *exchange,
                          const struct edge_input *input)
{
    bool opens = exchange->kind == RELAY_INITIALIZE || exchange->kind == RELAY_REOPEN;
    static const char events[] = "text/event-stream";
    exchange->code = input->code;
    for (uint32_t i = 0; i < input->headers_count; i++) {
        struct mn_span name = input->headers[i].name, value = input->headers[i].value;
        if (mn_span_is(name, "content-type"))
            exchange->is_sse = value.size >= sizeof events - 1 &&
                               memcmp(value.data, events, sizeof events - 1) == 0;
        if (opens && mn_span_is(name, "mcp-session-id") && value.size < sizeof relay->session) {
            memcpy(relay->session, value.data, value.size);
            relay->session[value.size] = '\0';
        }
    }
}

static void relay_on_body(struct relay *relay, struct relay_exchange *exchange,
                          struct mn_span bytes, struct edge_outbox *outbox)
{
    struct sse_event event;
    while (exchange->is_sse && sse_reader_next(&exchange->events, &bytes, &event)) {
        if (event.data->size > 0) (void)relay_on_message(relay, exchange, mn_buf_span(event.data));
    }
    bool is_too_big = exchange->is_sse
                          ? sse_reader_status(&exchange->events) != MN_OK
                          : mn_writer_size(&exchange->body) + bytes.size > RELAY_LINE_MAX;
    if (is_too_big) {
        relay_fail(relay, exchange, "the answer is larger than 32 MiB");
        relay_cancel(relay, exchange, outbox);
    } else if (!exchange->is_sse) {
        mn_writer_add(&exchange->body, bytes);
    }
}

/* An answer that is JSON, or a bare status. */
static void relay_on_answer(struct relay *relay, struct relay_exchange *exchange)
{
    char text[128];
    struct mn_buf *body = mn_writer_done(&exchange->body);
    bool is_asked = exchange->kind != RELAY_NOTICE && exchange->kind != RELAY_REOPENED;
    bool is_message =
        is_asked && body->size > 0 && relay_on_message(relay, exchange, mn_buf_span(body));
    mn_buf_unref(body);
    if (is_message && exchange->has_answer) return;
    snprintf(text, sizeof text, "the node answered with HTTP status %u%s", exchange->code,
             exchange->code == 401 ? ": a token is needed (MESHCTL_TOKEN_FILE)" : "");
    relay_fail(relay, exchange, text);
}

static void relay_on_broken(struct relay *relay, struct relay_exchange *exchange,
                            const struct edge_input *input)
{
    char text[512];
    if (input->status == MN_UNREACHABLE)
        snprintf(text, sizeof text, "cannot reach meshnode at %.200s: %.*s; is it running?",
                 relay->url, (int)(input->text.size < 200 ? input->text.size : 200),
                 (const char *)input->text.data);
    else
        snprintf(text, sizeof text, "the connection to meshnode broke; the outcome is unknown");
    relay_fail(relay, exchange, text);
}

static void relay_on_stream_end(struct relay *relay, struct mn_now now,
                                struct relay_exchange *exchange, const struct edge_input *input,
                                struct edge_outbox *outbox)
{
    bool is_gone = input->status == MN_OK && exchange->code == 404;
    bool is_refused = input->status == MN_OK && exchange->code >= 400;
    if (is_gone && exchange->epoch == relay->epoch)
        relay_reopen(relay, outbox);
    else if (!is_refused)
        relay->stream_at = mn_time_after(now.mono, RELAY_STREAM_DELAY);
}

static void relay_on_done(struct relay *relay, struct mn_now now, struct relay_exchange *exchange,
                          const struct edge_input *input, struct edge_outbox *outbox)
{
    enum relay_kind kind = exchange->kind;
    if (input->status == MN_OK && relay_retry(relay, exchange, outbox)) return;
    if (kind == RELAY_STREAM)
        relay_on_stream_end(relay, now, exchange, input, outbox);
    else if (input->status != MN_OK)
        relay_on_broken(relay, exchange, input);
    else if (exchange->is_sse)
        relay_fail(relay, exchange,
                   "the node's stream ended without an answer; the outcome is "
                   "unknown");
    else
        relay_on_answer(relay, exchange);
    bool is_good = input->status == MN_OK && exchange->code < 300;
    relay_exchange_free(relay, exchange);
    if (kind == RELAY_REOPEN && is_good)
        relay_say_initialized(relay, outbox);
    else if (kind == RELAY_REOPEN || kind == RELAY_REOPENED)
        relay_reopened(relay, is_good, outbox);
}

/* ---- the end ---- */

/* The session is ended once nothing of it is under way. */
static void relay_finish(struct relay *relay, struct edge_outbox *outbox)
{
    struct relay_headers headers = {.count = 0};
    if (!relay->is_ending || relay->count > 0 || relay->has_deleted) return;
    relay->has_deleted = true;
    if (relay->session[0] == '\0') return;
    relay_start(relay, relay_exchange_new(relay, RELAY_DELETE, NULL), "DELETE", &headers, outbox);
}

static void relay_cancel_all(struct relay *relay, bool has_all, struct edge_outbox *outbox)
{
    MN_LIST_FOR_EACH_SAFE (entry, &relay->exchanges) {
        struct relay_exchange *exchange = MN_CONTAINER(entry, struct relay_exchange, entry);
        if (has_all || exchange->kind == RELAY_STREAM || exchange->is_listen)
            relay_cancel(relay, exchange, outbox);
    }
}

void relay_end(struct relay *relay, struct mn_now now, struct edge_outbox *outbox)
{
    if (relay->is_ending) return;
    relay->is_ending = true;
    relay->stream_at = MN_TIME_NEVER;
    relay->end_by = mn_time_after(now.mono, RELAY_END_LIMIT);
    relay_cancel_all(relay, false, outbox);
    relay_finish(relay, outbox);
}

bool relay_is_done(const struct relay *relay)
{
    return relay->is_ending && relay->has_deleted && relay->count == 0;
}

mn_time relay_deadline(const struct relay *relay)
{
    return mn_time_min(relay->stream_at, relay->end_by);
}

static void relay_on_tick(struct relay *relay, struct mn_now now, struct edge_outbox *outbox)
{
    if (now.mono >= relay->stream_at) relay_open_stream(relay, outbox);
    if (now.mono < relay->end_by) return;
    relay->end_by = MN_TIME_NEVER;
    relay->has_deleted = true; /* no time left for that either */
    relay_reopened(relay, false, outbox);
    relay_cancel_all(relay, true, outbox);
}

void relay_step(struct relay *relay, struct mn_now now, const struct edge_input *input,
                struct edge_outbox *outbox)
{
    relay_on_tick(relay, now, outbox);
    struct relay_exchange *exchange = relay_find(relay, input->id);
    if (exchange != NULL && input->type == EDGE_IN_FETCH_HEAD)
        relay_on_head(relay, exchange, input);
    else if (exchange != NULL && input->type == EDGE_IN_FETCH_BODY)
        relay_on_body(relay, exchange, input->bytes, outbox);
    else if (exchange != NULL && input->type == EDGE_IN_FETCH_DONE)
        relay_on_done(relay, now, exchange, input, outbox);
    relay_finish(relay, outbox);
}

/* ---- life ---- */

struct relay *relay_new(const struct relay_config *config)
{
    struct relay *relay = mn_alloc(sizeof *relay);
    relay->config = *config;
    relay->url = mn_alloc(config->url.size + 1);
    memcpy(relay->url, config->url.data, config->url.size);
    if (config->bearer.size > 0) {
        relay->authorization = mn_alloc(sizeof "Bearer " + config->bearer.size);
        memcpy(relay->authorization, "Bearer ", 7);
        memcpy(relay->authorization + 7, config->bearer.data, config->bearer.size);
    }
    relay->parser = json_parser_new();
    mn_list_init(&relay->exchanges);
    mn_list_init(&relay->parked);
    relay->fetch_next = 2;
    relay->stream_at = relay->end_by = MN_TIME_NEVER;
    return relay;
}

static void relay_free_list(struct relay *relay, struct mn_list *list)
{
    while (!mn_list_is_empty(list))
        relay_exchange_free(relay, MN_CONTAINER(list->next, struct relay_exchange, entry));
}

void relay_free(struct relay *relay)
{
    if (relay == NULL) return;
    relay_free_list(relay, &relay->exchanges);
    relay_free_list(relay, &relay->parked);
    json_parser_free(relay->parser);
    mn_arena_done(&relay->arena);
    mn_buf_unref(relay->initialize);
    mn_free(relay->url);
    mn_free(relay->authorization);
    mn_free(relay);
}
