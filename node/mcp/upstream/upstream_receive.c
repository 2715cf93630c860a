#include "node/mcp/upstream/upstream_receive.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "node/mcp/wire/jsonrpc_skim.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

/* In a session that is there for lists nobody can be asked, and it declared that it could. */
static void upstream_receive_to_nobody(struct upstream *server,
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
static void upstream_receive_on_request(struct upstream *server, struct upstream_exchange *exchange,
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
        upstream_receive_to_nobody(server, message);
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
static void upstream_receive_on_cancelled(struct upstream *server, const struct json *params)
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
static struct upstream_request *upstream_receive_hearer(struct upstream *server,
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
static void upstream_receive_on_elicited(struct upstream *server,
                                         struct upstream_exchange *exchange,
                                         const struct jsonrpc_message *message)
{
    struct upstream_request *request = upstream_receive_hearer(server, exchange);

    if (!server->is_lease || message->params == NULL) return;
    if (request == NULL)
        upstream_aside_on_notification(server, message->method, message->params);
    else
        upstream_answer_on_elicited(request, message->params);
}

static void upstream_receive_on_log(struct upstream *server, struct upstream_exchange *exchange,
                                    const struct jsonrpc_message *message)
{
    struct upstream_request *request = upstream_receive_hearer(server, exchange);

    if (message->params == NULL) return;
    if (request == NULL)
        upstream_aside_on_notification(server, message->method, message->params);
    else
        upstream_answer_on_log(request, message->params);
}

static void upstream_receive_on_notification(struct upstream *server,
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
        upstream_watch_on_acknowledged(server, message->params);
    } else if (mn_span_is(method, "notifications/message")) {
        upstream_receive_on_log(server, exchange, message);
    } else if (mn_span_is(method, "notifications/elicitation/complete")) {
        upstream_receive_on_elicited(server, exchange, message);
    } else if (mn_span_is(method, "notifications/cancelled")) {
        upstream_receive_on_cancelled(server, message->params);
    } else {
        upstream_aside_on_notification(server, method, message->params);
    }
}

/* Whom a response answers; NULL: nobody any more. */
static struct upstream_request *upstream_receive_answered(struct upstream *server,
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
static bool upstream_receive_is_bad_answer(struct upstream *server,
                                           struct upstream_exchange *exchange,
                                           const struct json *value,
                                           struct jsonrpc_message *message)
{
    bool is_status = exchange != NULL && upstream_http_code_of(exchange) != 200;

    if (message->id.size == 0 || is_status || json_find_str(value, "method") != NULL ||
        upstream_receive_answered(server, exchange, message) == NULL)
        return false;
    message->kind = JSONRPC_ERROR;
    message->code = JSONRPC_INTERNAL;
    message->message = mn_span_str("the server answered with something that is not MCP");
    message->data = mn_span(NULL, 0);
    return true;
}

static bool upstream_receive_one(struct upstream *server, struct upstream_exchange *exchange,
                                 const struct json *value)
{
    struct jsonrpc_message message;
    struct upstream_request *request;

    if (jsonrpc_decode(value, &message) != MN_OK &&
        !upstream_receive_is_bad_answer(server, exchange, value, &message))
        return false;
    server->noise_run = 0;
    switch (message.kind) {
    case JSONRPC_REQUEST: upstream_receive_on_request(server, exchange, &message); break;
    case JSONRPC_NOTIFICATION: upstream_receive_on_notification(server, exchange, &message); break;
    case JSONRPC_RESULT:
    case JSONRPC_ERROR:
        request = upstream_receive_answered(server, exchange, &message);
        if (request != NULL)
            upstream_request_answered(request, &message,
                                      exchange == NULL ? 0 : upstream_http_code_of(exchange));
        break;
    }
    return true;
}

/* Arrays of messages are part of these revisions only. */
static bool upstream_receive_has_batches(const struct upstream *server)
{
    return strcmp(server->version, "2025-03-26") == 0 || strcmp(server->version, "2024-11-05") == 0;
}

/* A mark before JSON is against RFC 8259, which lets readers pass over it: so fetch() does. */
static struct mn_span upstream_receive_json(const struct mn_buf *text)
{
    return mn_text_without_mark(mn_buf_span(text));
}

void upstream_receive_ahead(struct json_feed **feed, const struct mn_writer *so_far)
{
    mn_status status;

    if (mn_writer_size(so_far) < JSONRPC_LARGE) return;
    if (*feed == NULL) *feed = json_feed_new(JSONRPC_LIMITS);
    status = json_feed_check(*feed, upstream_receive_json(so_far->buf), SIZE_MAX);
    if (status != MN_OK) MN_PROBE("upstream: a large text is no JSON, which its end will tell");
}

static mn_status upstream_receive_parse(struct upstream_host *host, struct mn_span text,
                                        struct json_feed **feed, const struct json **ret)
{
    mn_status status;

    if (*feed == NULL) return json_parse(host->parser, text, JSONRPC_LIMITS, &host->scratch, ret);
    status = json_feed_end(*feed, text, &host->scratch, ret);
    json_feed_free(*feed);
    *feed = NULL;
    return status;
}

/* Who waits for it hears that there was an answer, and why it does not come. */
static bool upstream_receive_beyond_limits(struct upstream *server, struct mn_span text)
{
    struct upstream_request *request = NULL;
    uint64_t id;

    if (jsonrpc_id_number(jsonrpc_skim_answered(text), &id) == MN_OK)
        request = upstream_request_find(server, id);
    if (request == NULL) return false;
    server->noise_run = 0;
    upstream_request_failed(
        request, CALL_TOO_BIG,
        mn_arena_format(&server->host->scratch,
                        "its answer has more than %d values, or more than %d levels",
                        JSON_NODES_MAX, JSON_DEPTH_MAX));
    return true;
}

static bool upstream_receive_all(struct upstream *server, struct upstream_exchange *exchange,
                                 const struct json *value)
{
    struct upstream_host *host = server->host;
    const struct json *one;
    bool is_good = true;

    if (value->type != JSON_ARRAY) return upstream_receive_one(server, exchange, value);
    if (!upstream_receive_has_batches(server)) return false;
    for (const struct json *item = json_first(value); item != NULL; item = json_next(value, item)) {
        /* Once more, because a batch holds everything one level deeper. */
        is_good =
            json_parse(host->parser, item->raw, JSONRPC_LIMITS, &host->scratch, &one) == MN_OK &&
            upstream_receive_one(server, exchange, one) && is_good;
    }
    return is_good;
}

bool upstream_receive(struct upstream *server, struct upstream_exchange *exchange,
                      struct mn_buf *text, struct json_feed **feed)
{
    struct upstream_host *host = server->host;
    struct mn_span json = upstream_receive_json(text);
    const struct json *value;
    mn_status status = upstream_receive_parse(host, json, feed, &value);
    bool is_good;

    if (status == MN_TOO_BIG) return upstream_receive_beyond_limits(server, json);
    if (status != MN_OK) return false;
    host->text = text;
    is_good = upstream_receive_all(server, exchange, value);
    host->text = NULL;
    return is_good;
}
