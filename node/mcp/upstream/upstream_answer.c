#include "node/mcp/upstream/upstream_answer.h"

#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_round.h"
#include "node/mcp/upstream/upstream_send.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/upstream/upstream_token.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "node/mcp/wire/parsed.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define RESULT_FIELD MESHNODE__GATEWAY__EVENT__KIND_RESULT /* a kind is the number of its field */

static void upstream_answer_bytes(struct upstream_request *request,
                                  Meshnode__Gateway__Event__KindCase kind, struct mn_span json)
{
    bool is_last = kind == MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    Meshnode__Gateway__Event event;

    meshnode__gateway__event__init(&event);
    event.kind_case = kind;
    event.result = pb_bytes(json); /* all that are bytes share the place */
    upstream_call_emit(request, is_last ? CALL_EVENT_RESULT : CALL_EVENT_PROGRESS, &event);
    if (is_last) upstream_call_end(request);
}

/* An event with [result] at its end; a large one stays where it is. */
static struct mn_buf *upstream_answer_pack(struct upstream_host *host, struct mn_span result)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    uint8_t head[PB_BYTES_HEAD_MAX];

    if (result.size >= MN_BUF_PART_MIN && host->text != NULL && mn_buf_has(host->text, result))
        return mn_buf_behead(host->text, result,
                             mn_span(head, pb_bytes_head(RESULT_FIELD, result.size, head)));
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(result);
    return pb_pack(&event.base);
}

/* What the server answered, as it is. If the caller is a client of this node, its half of the
 * gateway reads it next. */
static void upstream_answer_whole(struct upstream_request *request, const struct json *result)
{
    struct parsed *parsed = request->is_own ? request->server->host->parsed : NULL;
    struct mn_buf *payload;

    payload = upstream_answer_pack(request->server->host, result->raw);
    if (parsed != NULL) parsed_set(parsed, payload, result);
    upstream_call_emit_packed(request, CALL_EVENT_RESULT, payload);
    upstream_call_end(request);
}

static const char *upstream_answer_http_text(struct upstream_request *request, uint32_t code)
{
    struct mn_arena *scratch = &request->server->host->scratch;

    if (code == 0) return "the answer broke off";
    if (code == 401 || code == 403)
        return mn_arena_format(scratch,
                               "it refuses our credentials (HTTP %u): its \"headers\" on the node "
                               "that serves it need to be set or corrected",
                               code);
    return mn_arena_format(scratch, "it answered with HTTP %u and nothing that is MCP", code);
}

/* An answer that says: not executed, because our session or our idea of its era is out of date.
 * Then the call is sent once more after a new handshake. */
static bool upstream_answer_try_again(struct upstream_request *request, bool forget_era)
{
    struct upstream *server = request->server;

    if (request->was_retried || request->task != NULL) return false;
    if (!upstream_rehandshake(server, forget_era)) return false;
    MN_PROBE("upstream: call sent once more after a new handshake");
    request->was_retried = true;
    upstream_send_later(request);
    return true;
}

static void upstream_answer_on_status(struct upstream_request *request, uint32_t code)
{
    struct upstream *server = request->server;
    enum call_failure failure = CALL_UPSTREAM;

    if (code == 404 && request->had_session && upstream_answer_try_again(request, false)) return;
    if (request->was_modern && (code == 400 || code == 404 || code == 405) &&
        upstream_answer_try_again(request, true))
        return;
    if (code == 0 || code == 502 || code == 504) failure = CALL_OUTCOME_UNKNOWN;
    if (code == 429) failure = CALL_BUSY;
    if (request->task != NULL) {
        if ((code >= 500 || code == 429) && upstream_task_again(request)) return;
        failure = CALL_OUTCOME_UNKNOWN; /* its task went with its session */
    }
    const char *text = upstream_answer_http_text(request, code);
    upstream_call_fail(request, failure, text);
    if (code == 401) upstream_break_auth(server, code);
}

/* By two codes a modern server refuses a request for what stands around it, and over HTTP says so
 * by its status, too. Without that they are what a method that was executed says: servers of before
 * use them as they like, and nothing is executed twice for it. */
static bool upstream_answer_has(struct upstream *server, const struct jsonrpc_message *message,
                                const char *name, enum json_type type)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct upstream_host *host = server->host;
    const struct json *data;

    return message->data.size > 0 &&
           json_parse_copy(host->parser, message->data, limits, &host->scratch, &data) == MN_OK &&
           json_is(json_find_str(data, name), type);
}

/* A code of a legacy server's own that a modern client would take for one of the protocol's. One
 * that also says which capability it misses means what the protocol does: there are servers that
 * speak both eras, and are spoken to in the older one. */
static bool upstream_answer_misleads(const struct upstream_request *request,
                                     const struct jsonrpc_message *message)
{
    int64_t code = message->code;

    if (request->was_modern || request->is_live || code > JSONRPC_HEADER_MISMATCH ||
        code < JSONRPC_UNSUPPORTED_VERSION)
        return false;
    return code != JSONRPC_MISSING_CAPABILITY ||
           !upstream_answer_has(request->server, message, "requiredCapabilities", JSON_OBJECT);
}

/* A modern server says of a resource that there is none by a code that means many things, and names
 * it; the revisions of a legacy client have one for that alone. */
static bool upstream_answer_is_not_found(const struct upstream_request *request,
                                         const struct jsonrpc_message *message)
{
    struct upstream *server = request->server;
    const Meshnode__Gateway__Request *payload;

    if (!request->was_modern || !request->is_live || message->code != JSONRPC_INVALID_PARAMS ||
        !upstream_answer_has(server, message, "uri", JSON_STRING))
        return false;
    payload = pb_view(&meshnode__gateway__request__descriptor, &server->host->scratch,
                      mn_buf_span(request->payload));
    return payload != NULL && strcmp(payload->method, "resources/read") == 0;
}

static void upstream_answer_on_error(struct upstream_request *request,
                                     const struct jsonrpc_message *message, uint32_t code)
{
    struct upstream *server = request->server;
    bool is_refused = server->is_http && code == 400;
    bool is_version =
        message->code == JSONRPC_UNSUPPORTED_VERSION &&
        (is_refused ||
         (request->was_modern && upstream_answer_has(server, message, "supported", JSON_ARRAY)));
    bool is_header = is_refused && message->code == JSONRPC_HEADER_MISMATCH;

    /* Not a few legacy servers answer 400 without an id, not 404, for a session they forgot. */
    if (request->had_session && code == 400 && message->id.size == 0 && !is_version && !is_header &&
        upstream_answer_try_again(request, false))
        return;
    if ((is_version || (is_header && !request->was_modern)) &&
        upstream_answer_try_again(request, true))
        return;
    if (is_header && server->is_http && !request->was_retried && server->state == UPSTREAM_READY) {
        request->was_retried = true; /* the schema changed: look at it, then send it once more */
        upstream_send_later(request);
        upstream_list_start(server);
        return;
    }
    /* These speak of our hop; the caller did nothing wrong. */
    bool is_ours = is_version || is_header;
    int64_t shown = message->code;
    if (is_ours || upstream_answer_misleads(request, message)) shown = JSONRPC_INTERNAL;
    if (upstream_answer_is_not_found(request, message)) shown = JSONRPC_RESOURCE_NOT_FOUND;
    upstream_call_answer_error(request, shown, message->message,
                               is_ours ? (struct mn_span){0} : message->data);
}

static void upstream_answer_on_result(struct upstream_request *request, const struct json *result)
{
    struct upstream *server = request->server;
    struct mn_span type = json_text(json_find_str(result, "resultType"));

    if (request->is_task_ours && request->task == NULL && upstream_task_on_created(request, result))
        return;
    if (request->task != NULL && upstream_task_blank(server->host, result))
        upstream_answer_whole(request, result);
    else if (request->task != NULL)
        upstream_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_RESULT,
                              upstream_task_result(server->host, result));
    else if (upstream_is_modern(server) && request->is_live && mn_span_is(type, "input_required"))
        upstream_round_begin(request, result);
    else if (upstream_is_modern(server) && type.size > 0 && !mn_span_is(type, "complete") &&
             !mn_span_is(type, "input_required") &&
             !(mn_span_is(type, "task") && !request->is_live))
        upstream_call_answer_error(
            request, JSONRPC_INTERNAL,
            mn_span_str("the server asks for more than the mesh can carry: its result is not "
                        "complete"),
            mn_span(NULL, 0));
    else {
        upstream_token_note(request, result);
        upstream_answer_whole(request, result);
    }
}

void upstream_answer_on_message(struct upstream_request *request,
                                const struct jsonrpc_message *message, uint32_t code)
{
    if (message == NULL)
        upstream_answer_on_status(request, code);
    else if (message->kind == JSONRPC_RESULT)
        upstream_answer_on_result(request, message->result);
    else
        upstream_answer_on_error(request, message, code);
}

/* A call that became a task keeps the token it began with. */
static struct upstream_request *upstream_answer_of_token(struct upstream *server, uint64_t token)
{
    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->task != NULL && request->token == token) return request;
    }
    return NULL;
}

/* Of a task whose client has had its answer: that it is one. */
static void upstream_answer_of_task(struct upstream *server, uint64_t token,
                                    const struct json *params)
{
    struct mn_span task = upstream_token_task(server, token);

    if (task.size == 0) return;
    upstream_watch_on_task_progress(
        server, task, upstream_message_without(server->host, params, "progressToken"));
}

void upstream_answer_on_progress(struct upstream *server, const struct json *params)
{
    const struct json *token = json_find_str(params, "progressToken");
    struct upstream_request *request;
    uint64_t id;

    if (!json_is(token, JSON_NUMBER) || jsonrpc_id_number(token->raw, &id) != MN_OK) return;
    request = upstream_request_find(server, id);
    if (request == NULL) request = upstream_answer_of_token(server, id);
    if (request == NULL) upstream_answer_of_task(server, id, params);
    if (request == NULL || request->kind != UPSTREAM_REQUEST_CALL || !request->wants_progress)
        return;
    if (request->asked == NULL || request->asked->open_count == 0)
        upstream_call_watch_time(request); /* else its client thinks, and the server waits */
    upstream_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_PROGRESS,
                          upstream_message_without(server->host, params, "progressToken"));
}

void upstream_answer_on_log(struct upstream_request *request, const struct json *params)
{
    enum loglevel level = loglevel_parse(json_text(json_find_str(params, "level")));

    if (request->kind != UPSTREAM_REQUEST_CALL || request->wants_log == LOGLEVEL_NONE) return;
    if (level < request->wants_log) return;
    upstream_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_LOG, params->raw);
}

void upstream_answer_on_elicited(struct upstream_request *request, const struct json *params)
{
    if (request->kind != UPSTREAM_REQUEST_CALL || !request->is_live) return;
    upstream_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_ELICITED, params->raw);
}

bool upstream_answer_on_away(struct upstream_request *request, mn_time delay)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    if (request->kind != UPSTREAM_REQUEST_CALL || !request->is_live || request->task != NULL)
        return false;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_AWAY;
    event.away = (uint32_t)(delay / MN_MS);
    upstream_call_emit(request, CALL_EVENT_PROGRESS, &event);
    return true;
}

void upstream_answer_result(struct upstream_request *request, struct mn_span result)
{
    upstream_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_RESULT, result);
}

void upstream_answer_tool_error(struct upstream_request *request, struct mn_span text)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{\"content\":[{\"type\":\"text\",\"text\":");
    json_write_string(&writer, text);
    mn_writer_str(&writer, "}],\"isError\":true}");
    upstream_answer_result(request, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
}
