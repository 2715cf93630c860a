#include "node/mcp/upstream/upstream_message.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define OUR_INFO "{\"name\":\"meshnode\",\"version\":\"" MN_VERSION "\"}"
#define ID_TEXT_SIZE 24

/* Decimal, into [text]: on the path of every call, where printf would show. */
static struct mn_span upstream_message_number(uint64_t number, char text[ID_TEXT_SIZE])
{
    char *at = text + ID_TEXT_SIZE;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return mn_span(at, (size_t)(text + ID_TEXT_SIZE - at));
}

/* Verbatim JSON; towards a child, where a newline would end the message, on one line. */
static void upstream_message_splice(const struct upstream *server, struct mn_writer *writer,
                                    struct mn_span raw)
{
    if (server->is_http)
        mn_writer_add(writer, raw);
    else
        json_write_line(writer, raw);
}

static struct mn_buf *upstream_message_end(const struct upstream *server, struct mn_writer *writer)
{
    mn_writer_str(writer, server->is_http ? "}" : "}\n");
    return mn_writer_done(writer);
}

static void upstream_message_begin(struct mn_writer *writer, uint64_t id, const char *method)
{
    char text[ID_TEXT_SIZE];

    mn_writer_str(writer, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(writer, upstream_message_number(id, text));
    mn_writer_str(writer, ",\"method\":\"");
    mn_writer_str(writer, method);
    mn_writer_str(writer, "\",\"params\":");
}

/* The members of _meta that every modern request carries. */
static void upstream_message_modern_meta(const struct upstream *server, struct mn_writer *writer,
                                         struct mn_span client_info, struct mn_span capabilities)
{
    mn_writer_str(writer, "\"" UPSTREAM_NS "protocolVersion\":\"" UPSTREAM_MODERN_VERSION
                          "\",\"" UPSTREAM_NS "clientCapabilities\":");
    if (capabilities.size == 0)
        mn_writer_str(writer, "{}");
    else
        upstream_message_splice(server, writer, capabilities);
    mn_writer_str(writer, ",\"" UPSTREAM_NS "clientInfo\":");
    if (client_info.size == 0)
        mn_writer_str(writer, OUR_INFO);
    else
        upstream_message_splice(server, writer, client_info);
}

struct mn_buf *upstream_message_discover(struct upstream *server, uint64_t id)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, "server/discover");
    mn_writer_str(&writer, "{\"_meta\":{");
    upstream_message_modern_meta(server, &writer, mn_span(NULL, 0), mn_span(NULL, 0));
    mn_writer_str(&writer, "}}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_initialize(struct upstream *server, uint64_t id)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, "initialize");
    mn_writer_str(&writer,
                  "{\"protocolVersion\":\"" UPSTREAM_LEGACY_VERSION "\",\"capabilities\":");
    if (server->lease.capabilities == NULL)
        mn_writer_str(&writer, "{}");
    else
        upstream_message_splice(server, &writer, mn_buf_span(server->lease.capabilities));
    mn_writer_str(&writer, ",\"clientInfo\":");
    if (server->lease.client_info == NULL)
        mn_writer_str(&writer, OUR_INFO);
    else
        upstream_message_splice(server, &writer, mn_buf_span(server->lease.client_info));
    mn_writer_str(&writer, "}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_initialized(struct upstream *server)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_notification(struct upstream *server, const char *method,
                                             const struct json *params)
{
    struct mn_writer writer = {0};

    mn_writer_format(&writer, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\"", method);
    if (params->count > 0) {
        mn_writer_str(&writer, ",\"params\":");
        upstream_message_splice(server, &writer, params->raw);
    }
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_ping(struct upstream *server, uint64_t id)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, "ping");
    mn_writer_str(&writer, "{}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_list(struct upstream *server, uint64_t id, const char *method,
                                     struct mn_span cursor)
{
    struct mn_writer writer = {0}, capabilities = {0};
    const char *comma = "";

    if (server->list.is_survey) upstream_survey_write(server, &capabilities);
    upstream_message_begin(&writer, id, method);
    mn_writer_str(&writer, "{");
    if (cursor.size > 0) {
        mn_writer_str(&writer, "\"cursor\":");
        upstream_message_splice(server, &writer, cursor);
        comma = ",";
    }
    if (upstream_is_modern(server)) {
        mn_writer_str(&writer, comma);
        mn_writer_str(&writer, "\"_meta\":{");
        upstream_message_modern_meta(server, &writer, mn_span(NULL, 0),
                                     mn_buf_span(capabilities.buf));
        mn_writer_str(&writer, "}");
    }
    mn_writer_drop(&capabilities);
    mn_writer_str(&writer, "}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_listen(struct upstream *server, uint64_t id)
{
    struct mn_span capabilities = mn_span(NULL, 0);
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, "subscriptions/listen");
    mn_writer_str(&writer, "{\"notifications\":{\"toolsListChanged\":true,"
                           "\"promptsListChanged\":true,\"resourcesListChanged\":true");
    if (upstream_watch_has_topics(server)) {
        mn_writer_str(&writer, ",\"resourceSubscriptions\":[");
        upstream_watch_write(server, &writer);
        mn_writer_str(&writer, "]");
    }
    if (upstream_watch_has_tasks(server)) {
        mn_writer_str(&writer, ",\"taskIds\":[");
        upstream_watch_write_tasks(server, &writer);
        mn_writer_str(&writer, "]");
        capabilities = mn_span_str("{\"extensions\":{\"" UPSTREAM_NS "tasks\":{}}}");
    }
    mn_writer_str(&writer, "},\"_meta\":{");
    upstream_message_modern_meta(server, &writer, mn_span(NULL, 0), capabilities);
    mn_writer_str(&writer, "}}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_set_level(struct upstream *server, uint64_t id, enum loglevel level)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, "logging/setLevel");
    mn_writer_format(&writer, "{\"level\":\"%s\"}", loglevel_name(level));
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_uri(struct upstream *server, uint64_t id, const char *method,
                                    struct mn_span uri)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, method);
    mn_writer_str(&writer, "{\"uri\":");
    json_write_string(&writer, uri);
    mn_writer_str(&writer, "}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_task(struct upstream *server, uint64_t id, const char *method,
                                     struct mn_span task)
{
    struct mn_writer writer = {0};

    upstream_message_begin(&writer, id, method);
    mn_writer_str(&writer, "{\"taskId\":");
    json_write_string(&writer, task);
    mn_writer_str(&writer, "}");
    return upstream_message_end(server, &writer);
}

struct mn_buf *upstream_message_cancelled(struct upstream *server, uint64_t id)
{
    struct mn_writer writer = {0};
    char text[ID_TEXT_SIZE];

    mn_writer_str(&writer, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                           "\"params\":{\"requestId\":");
    mn_writer_add(&writer, upstream_message_number(id, text));
    mn_writer_str(&writer, ",\"reason\":\"the caller gave up\"}");
    return upstream_message_end(server, &writer);
}

/* Calls. */

static void upstream_message_member(struct pieces *text, const struct json *key, const char **comma)
{
    pieces_str(text, *comma);
    pieces_add(text, key->raw);
    pieces_str(text, ":");
    pieces_add(text, json_value(key)->raw);
    *comma = ",";
}

/* Keys of _meta that are made anew on every hop. Other keys of that name space, such as
 * related-task, belong to the ends. */
static bool upstream_message_is_hop_key(struct mn_span key)
{
    static const char *const names[] = {"progressToken", UPSTREAM_NS "protocolVersion",
                                        UPSTREAM_NS "clientCapabilities", UPSTREAM_NS "clientInfo",
                                        UPSTREAM_NS "logLevel"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mn_span_is(key, names[i])) return true;
    return false;
}

/* The text of an object that comes from another node; empty when it is none. */
static struct mn_span upstream_message_checked(struct upstream *server, struct mn_span raw)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *value;

    if (mn_span_is(raw, "{}")) return raw; /* what most clients can do */
    if (raw.size == 0 || raw.size > AUDIENCE_DECLARED_MAX ||
        json_parse_copy(server->host->parser, raw, limits, &server->host->scratch, &value) !=
            MN_OK ||
        value->type != JSON_OBJECT)
        return mn_span(NULL, 0);
    return value->raw;
}

static void upstream_message_call_meta(struct upstream *server, struct pieces *text,
                                       const struct upstream_request *call,
                                       const Meshnode__Gateway__Request *payload,
                                       const struct json *meta)
{
    struct mn_writer *writer = &text->writer;
    const char *comma = "";
    char token[ID_TEXT_SIZE];

    mn_writer_str(writer, "\"_meta\":{");
    if (json_is(meta, JSON_OBJECT))
        for (const struct json *key = json_first(meta); key != NULL; key = json_next(meta, key))
            if (!upstream_message_is_hop_key(key->text)) upstream_message_member(text, key, &comma);
    if (call->wants_progress) {
        mn_writer_str(writer, comma);
        mn_writer_str(writer, "\"progressToken\":");
        mn_writer_add(writer, upstream_message_number(call->id, token));
        comma = ",";
    }
    if (upstream_is_modern(server)) {
        mn_writer_str(writer, comma);
        upstream_message_modern_meta(
            server, writer, upstream_message_checked(server, pb_span(payload->client_info)),
            upstream_message_checked(server, pb_span(payload->client_capabilities)));
        if (call->wants_log != LOGLEVEL_NONE) {
            mn_writer_str(writer, ",\"" UPSTREAM_NS "logLevel\":\"");
            mn_writer_str(writer, loglevel_name(call->wants_log));
            mn_writer_str(writer, "\"");
        }
    }
    mn_writer_str(writer, "}");
}

static bool upstream_message_is_of_round(struct mn_span key)
{
    return mn_span_is(key, "inputResponses") || mn_span_is(key, "requestState");
}

static void upstream_message_round(const struct upstream *server, struct mn_writer *writer,
                                   const struct upstream_asked *asked, const char **comma)
{
    if (asked->responses != NULL) {
        mn_writer_str(writer, *comma);
        mn_writer_str(writer, "\"inputResponses\":");
        upstream_message_splice(server, writer, mn_buf_span(asked->responses));
        *comma = ",";
    }
    if (asked->state != NULL) {
        mn_writer_str(writer, *comma);
        mn_writer_str(writer, "\"requestState\":");
        upstream_message_splice(server, writer, mn_buf_span(asked->state));
        *comma = ",";
    }
}

void upstream_message_call(struct upstream *server, const struct upstream_request *call,
                           const Meshnode__Gateway__Request *payload, const struct json *params,
                           struct pieces *text)
{
    const struct json *meta = json_find_str(params, "_meta");
    const char *comma = "";
    /* Members of a round belong to whoever asked: a legacy server never did. */
    bool is_plain = json_find_str(params, "inputResponses") == NULL &&
                    json_find_str(params, "requestState") == NULL;
    bool is_round_ours = !upstream_is_modern(server) || call->asked != NULL;

    MN_ASSERT(params->type == JSON_OBJECT);
    text->is_line = !server->is_http;
    if (text->source == NULL)
        mn_writer_reserve(&text->writer, params->raw.size + 512); /* enough for nearly every call */
    upstream_message_begin(&text->writer, call->id, payload->method);
    if (meta == NULL && !call->wants_progress && !upstream_is_modern(server) && is_plain &&
        !call->is_task_ours) {
        pieces_add(text, params->raw);
        pieces_str(text, "}");
        return;
    }
    pieces_str(text, "{");
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key))
        if (!mn_span_is(key->text, "_meta") &&
            !(is_round_ours && upstream_message_is_of_round(key->text)) &&
            !(call->is_task_ours && mn_span_is(key->text, "task")))
            upstream_message_member(text, key, &comma);
    if (call->is_task_ours) {
        mn_writer_format(&text->writer, "%s\"task\":{\"ttl\":%u}", comma, UPSTREAM_TASK_TTL_MS);
        comma = ",";
    }
    if (call->asked != NULL) upstream_message_round(server, &text->writer, call->asked, &comma);
    pieces_str(text, comma);
    upstream_message_call_meta(server, text, call, payload, meta);
    pieces_str(text, "}}");
}

struct mn_span upstream_message_without(struct upstream_host *host, const struct json *params,
                                        const char *name)
{
    uint8_t *text = mn_arena_alloc(&host->scratch, params->raw.size + 2);
    size_t size = 0;

    text[size++] = '{';
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        struct mn_span value = json_value(key)->raw;
        if (mn_span_is(key->text, name)) continue;
        if (size > 1) text[size++] = ',';
        memcpy(text + size, key->raw.data, key->raw.size);
        size += key->raw.size;
        text[size++] = ':';
        memcpy(text + size, value.data, value.size);
        size += value.size;
    }
    text[size++] = '}';
    return mn_span(text, size);
}

/* What comes. */

void upstream_message_reply(struct upstream *server, struct mn_writer *writer)
{
    struct mn_buf *text = mn_writer_done(writer);
    struct mn_writer line = {0};

    if (server->is_http) {
        upstream_http_notify(server, text, NULL, false);
        return;
    }
    if (!upstream_stdio_is_full(server)) { /* it asks, but does not read: let it */
        json_write_line(&line, mn_buf_span(text));
        mn_writer_str(&line, "\n");
        upstream_stdio_write(server, mn_writer_done(&line));
    }
    mn_buf_unref(text);
}

/* In a session that is there for lists nobody can be asked, and it declared that it could. */
static void upstream_message_to_nobody(struct upstream *server,
                                       const struct jsonrpc_message *message)
{
    struct mn_writer writer = {0};

    if (mn_span_is(message->method, "roots/list"))
        jsonrpc_write_result(&writer, message->id, mn_span_str("{\"roots\":[]}"));
    else
        jsonrpc_write_error(
            &writer, message->id, JSONRPC_INTERNAL,
            mn_span_str("this session only reads lists: nobody is here to be asked"),
            mn_span(NULL, 0));
    upstream_message_reply(server, &writer);
}

/* Requests of the server itself: to the client of the call they belong to. */
static void upstream_message_on_request(struct upstream *server, struct upstream_exchange *exchange,
                                        const struct jsonrpc_message *message)
{
    struct upstream_request *request = exchange == NULL ? NULL : upstream_http_request_of(exchange);
    struct mn_writer writer = {0};

    if (mn_span_is(message->method, "ping")) {
        jsonrpc_write_result(&writer, message->id, mn_span_str("{}"));
        upstream_message_reply(server, &writer);
        return;
    }
    if (request != NULL && request->is_mute) request = NULL;
    if (server->is_probe) {
        upstream_message_to_nobody(server, message);
        return;
    }
    if (request == NULL && upstream_lease_is_apart(server)) request = upstream_call_newest(server);
    if (request == NULL && !mn_span_is(message->method, "roots/list"))
        upstream_lease_strayed(server);
    if (server->is_lease && request != NULL && request->kind == UPSTREAM_REQUEST_CALL &&
        upstream_question_ask(request, message))
        return;
    if (request == NULL && upstream_asked_ask(server, message)) return;
    jsonrpc_write_error(&writer, message->id, JSONRPC_METHOD_NOT_FOUND,
                        mn_span_str("this client declared no such capability"), mn_span(NULL, 0));
    upstream_message_reply(server, &writer);
}

/* It ends a listen, of two at once the one it names; or takes back a question. */
static void upstream_message_on_cancelled(struct upstream *server, const struct json *params)
{
    const struct json *id = params == NULL ? NULL : json_find_str(params, "requestId");
    struct upstream_request *listen;
    uint64_t number;

    if (id == NULL) return;
    if (!upstream_is_modern(server)) upstream_question_withdraw(server, id->raw);
    if (jsonrpc_id_number(id->raw, &number) != MN_OK) return;
    listen = upstream_request_find(server, number);
    if (listen == NULL || listen->kind != UPSTREAM_REQUEST_LISTEN) return;
    upstream_request_free(listen);
    upstream_stream_ended(server, true);
}

/* The call whose caller hears a notification; NULL: it is not certain. What is said on a call's own
 * stream is that call's, and in a session of one client alone all calls are that one's. In the
 * session that all share a legacy server may speak of any call, also of one that is over; a modern
 * one speaks of those that run, so there it is the only one's. */
static struct upstream_request *upstream_message_hearer(struct upstream *server,
                                                        struct upstream_exchange *exchange)
{
    struct upstream_request *request = exchange == NULL ? NULL : upstream_http_request_of(exchange);

    if (request == NULL && upstream_lease_is_of_one(server))
        request = upstream_call_newest(server);
    else if (request == NULL && upstream_is_modern(server))
        request = upstream_call_only(server);
    if (request == NULL || request->kind != UPSTREAM_REQUEST_CALL) return NULL;
    return request->is_sent && request->ticket != 0 ? request : NULL;
}

/* Only in a session of one client alone is it known whose it is. */
static void upstream_message_on_elicited(struct upstream *server,
                                         struct upstream_exchange *exchange,
                                         const struct jsonrpc_message *message)
{
    struct upstream_request *request = upstream_message_hearer(server, exchange);

    if (!server->is_lease || message->params == NULL) return;
    if (request == NULL)
        upstream_aside_on_notification(server, message->method, message->params);
    else
        upstream_answer_on_elicited(request, message->params);
}

static void upstream_message_on_log(struct upstream *server, struct upstream_exchange *exchange,
                                    const struct jsonrpc_message *message)
{
    struct upstream_request *request = upstream_message_hearer(server, exchange);

    if (message->params == NULL) return;
    if (request == NULL)
        upstream_aside_on_notification(server, message->method, message->params);
    else
        upstream_answer_on_log(request, message->params);
}

static void upstream_message_on_notification(struct upstream *server,
                                             struct upstream_exchange *exchange,
                                             const struct jsonrpc_message *message)
{
    struct mn_span method = message->method;

    if (mn_span_is(method, "notifications/progress")) {
        if (message->params != NULL) upstream_answer_on_progress(server, message->params);
    } else if (mn_span_is(method, "notifications/tools/list_changed") ||
               mn_span_is(method, "notifications/prompts/list_changed") ||
               mn_span_is(method, "notifications/resources/list_changed")) {
        upstream_survey_wish(server);
        upstream_relist_soon(server);
    } else if (mn_span_is(method, "notifications/resources/updated")) {
        struct mn_span uri = json_text(json_find_str(message->params, "uri"));
        if (uri.size > 0) upstream_watch_on_updated(server, uri);
    } else if (mn_span_is(method, upstream_is_modern(server) ? "notifications/tasks"
                                                             : "notifications/tasks/status")) {
        if (message->params != NULL) upstream_watch_on_task(server, message->params);
    } else if (mn_span_is(method, "notifications/subscriptions/acknowledged")) {
        upstream_watch_on_acknowledged(server);
    } else if (mn_span_is(method, "notifications/message")) {
        upstream_message_on_log(server, exchange, message);
    } else if (mn_span_is(method, "notifications/elicitation/complete")) {
        upstream_message_on_elicited(server, exchange, message);
    } else if (mn_span_is(method, "notifications/cancelled")) {
        upstream_message_on_cancelled(server, message->params);
    } else {
        upstream_aside_on_notification(server, method, message->params);
    }
}

/* Whom a response answers; NULL: nobody any more. */
static struct upstream_request *upstream_message_answered(struct upstream *server,
                                                          struct upstream_exchange *exchange,
                                                          const struct jsonrpc_message *message)
{
    uint64_t id;

    if (message->id.size > 0)
        return jsonrpc_id_number(message->id, &id) == MN_OK ? upstream_request_find(server, id)
                                                            : NULL;
    /* An error for a request it could not read. */
    if (exchange != NULL) return upstream_http_request_of(exchange);
    return upstream_request_of_kind(server, UPSTREAM_REQUEST_PROBE);
}

/* Whether it stands in the place of an answer, and is none, which then is the answer: nobody waits
 * for a better one. What an HTTP status says of it is judged elsewhere. */
static bool upstream_message_is_bad_answer(struct upstream *server,
                                           struct upstream_exchange *exchange,
                                           const struct json *value,
                                           struct jsonrpc_message *message)
{
    bool is_status = exchange != NULL && upstream_http_code_of(exchange) != 200;

    if (message->id.size == 0 || is_status || json_find_str(value, "method") != NULL ||
        upstream_message_answered(server, exchange, message) == NULL)
        return false;
    message->kind = JSONRPC_ERROR;
    message->code = JSONRPC_INTERNAL;
    message->message = mn_span_str("the server answered with something that is not MCP");
    message->data = mn_span(NULL, 0);
    return true;
}

static bool upstream_message_one(struct upstream *server, struct upstream_exchange *exchange,
                                 const struct json *value)
{
    struct jsonrpc_message message;
    struct upstream_request *request;

    if (jsonrpc_decode(value, &message) != MN_OK &&
        !upstream_message_is_bad_answer(server, exchange, value, &message))
        return false;
    server->noise_run = 0;
    switch (message.kind) {
    case JSONRPC_REQUEST: upstream_message_on_request(server, exchange, &message); break;
    case JSONRPC_NOTIFICATION: upstream_message_on_notification(server, exchange, &message); break;
    case JSONRPC_RESULT:
    case JSONRPC_ERROR:
        request = upstream_message_answered(server, exchange, &message);
        if (request != NULL)
            upstream_request_answered(request, &message,
                                      exchange == NULL ? 0 : upstream_http_code_of(exchange));
        break;
    }
    return true;
}

/* Arrays of messages are part of these revisions only. */
static bool upstream_message_has_batches(const struct upstream *server)
{
    return strcmp(server->version, "2025-03-26") == 0 || strcmp(server->version, "2024-11-05") == 0;
}

void upstream_message_ahead(struct json_feed **feed, const struct mn_writer *so_far)
{
    mn_status status;

    if (mn_writer_size(so_far) < JSONRPC_LARGE) return;
    if (*feed == NULL) *feed = json_feed_new(JSONRPC_LIMITS);
    status = json_feed_check(*feed, mn_buf_span(so_far->buf), SIZE_MAX);
    if (status != MN_OK) MN_PROBE("upstream: a large text is no JSON, which its end will tell");
}

static bool upstream_message_parse(struct upstream_host *host, struct mn_span text,
                                   struct json_feed **feed, const struct json **ret)
{
    mn_status status;

    if (*feed == NULL)
        return json_parse(host->parser, text, JSONRPC_LIMITS, &host->scratch, ret) == MN_OK;
    status = json_feed_end(*feed, text, &host->scratch, ret);
    json_feed_free(*feed);
    *feed = NULL;
    return status == MN_OK;
}

static bool upstream_message_all(struct upstream *server, struct upstream_exchange *exchange,
                                 const struct json *value)
{
    struct upstream_host *host = server->host;
    const struct json *one;
    bool is_good = true;

    if (value->type != JSON_ARRAY) return upstream_message_one(server, exchange, value);
    if (!upstream_message_has_batches(server)) return false;
    for (const struct json *item = json_first(value); item != NULL; item = json_next(value, item)) {
        /* Once more, because a batch holds everything one level deeper. */
        is_good =
            json_parse(host->parser, item->raw, JSONRPC_LIMITS, &host->scratch, &one) == MN_OK &&
            upstream_message_one(server, exchange, one) && is_good;
    }
    return is_good;
}

bool upstream_message_receive(struct upstream *server, struct upstream_exchange *exchange,
                              struct mn_buf *text, struct json_feed **feed)
{
    struct upstream_host *host = server->host;
    const struct json *value;
    bool is_good;

    if (!upstream_message_parse(host, mn_buf_span(text), feed, &value)) return false;
    host->text = text;
    is_good = upstream_message_all(server, exchange, value);
    host->text = NULL;
    return is_good;
}
