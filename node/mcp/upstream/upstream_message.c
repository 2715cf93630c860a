#include "node/mcp/upstream/upstream_message.h"

#include "node/mcp/upstream/upstream_question.h"
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

/* The answers of a round; a large one is not copied here. */
static void upstream_message_answers(struct pieces *text, const struct upstream_asked *asked)
{
    struct mn_buf *source = text->source;
    const char *before = "{";

    MN_LIST_FOR_EACH (link, &asked->answered) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        struct mn_buf *answer = question->answer;
        pieces_str(text, before);
        json_write_string(&text->writer, question->key);
        pieces_str(text, ":");
        text->source = answer->size >= JSONRPC_LARGE ? answer : NULL;
        pieces_add(text, mn_buf_span(answer));
        before = ",";
    }
    text->source = source;
    pieces_str(text, "}");
}

static void upstream_message_round(const struct upstream *server, struct pieces *text,
                                   const struct upstream_asked *asked, const char **comma)
{
    if (!mn_list_is_empty(&asked->answered)) {
        pieces_str(text, *comma);
        pieces_str(text, "\"inputResponses\":");
        upstream_message_answers(text, asked);
        *comma = ",";
    }
    if (asked->state != NULL) {
        pieces_str(text, *comma);
        pieces_str(text, "\"requestState\":");
        upstream_message_splice(server, &text->writer, mn_buf_span(asked->state));
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
    if (call->asked != NULL) upstream_message_round(server, text, call->asked, &comma);
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
    if (!upstream_stdio_is_unread(server)) { /* it asks, but does not read: let it */
        json_write_line(&line, mn_buf_span(text));
        mn_writer_str(&line, "\n");
        upstream_stdio_write(server, mn_writer_done(&line));
    }
    mn_buf_unref(text);
}
