/* tools/call: from the client's message to the core's request, and the events on their way back.
 * Arguments and results are spliced, never rebuilt: what is not ours to change stays as its author
 * wrote it. */
#include "node/mcp/front_state.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define NS "io.modelcontextprotocol/"
#define TRAIL_MAX 8
#define TRACEPARENT_SIZE 55 /* characters, W3C Trace Context level 1, version 00 */
#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

static const struct json_limits kept_members = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};

/* Members of _meta that are about this hop alone. */
static bool front_call_is_hop_key(struct mn_span key)
{
    static const char *const keys[] = {"progressToken", NS "protocolVersion",
                                       NS "clientCapabilities", NS "clientInfo", NS "logLevel"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (mn_span_is(key, keys[i])) return true;
    return false;
}

static void front_call_write_member(struct mn_writer *writer, const struct json *key,
                                    bool *is_first)
{
    const struct json *value = json_value(key);
    const uint8_t *end = value->raw.data + value->raw.size;

    if (!*is_first) mn_writer_str(writer, ",");
    *is_first = false;
    mn_writer_add(writer, mn_span(key->raw.data, (size_t)(end - key->raw.data)));
}

/* "_meta" with what is not about this hop; nothing when nothing is left. */
static void front_call_write_meta(struct mn_writer *writer, const struct json *meta, bool *is_first)
{
    bool is_empty = true, is_first_inside = true;

    for (const struct json *key = json_first(meta); key != NULL; key = json_next(meta, key))
        is_empty = is_empty && front_call_is_hop_key(key->text);
    if (is_empty) return;
    mn_writer_str(writer, *is_first ? "\"_meta\":{" : ",\"_meta\":{");
    *is_first = false;
    for (const struct json *key = json_first(meta); key != NULL; key = json_next(meta, key))
        if (!front_call_is_hop_key(key->text))
            front_call_write_member(writer, key, &is_first_inside);
    mn_writer_str(writer, "}");
}

/* The params as the server shall see them: its own name for the tool, no _meta of this hop. */
static void front_call_write_params(struct mn_writer *writer, const struct json *params,
                                    struct mn_span own)
{
    bool is_first = true;

    mn_writer_str(writer, "{");
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        if (mn_span_is(key->text, "_meta")) {
            front_call_write_meta(writer, json_value(key), &is_first);
        } else if (mn_span_is(key->text, "name")) {
            mn_writer_str(writer, is_first ? "\"name\":" : ",\"name\":");
            json_write_string(writer, own);
            is_first = false;
        } else {
            front_call_write_member(writer, key, &is_first);
        }
    }
    mn_writer_str(writer, "}");
}

/* The nodes a call went out of already, from the header that our own kind sends to HTTP servers. */
static uint32_t front_call_trail(const struct front_exchange *exchange, mn_id *ids,
                                 ProtobufCBinaryData *trail)
{
    struct mn_span text = front_header(exchange, "meshnode-trail");
    uint32_t count = 0;

    while (text.size >= MN_ID_TEXT_SIZE - 1 && count < TRAIL_MAX) {
        if (mn_id_parse(mn_span(text.data, MN_ID_TEXT_SIZE - 1), &ids[count]) != MN_OK) break;
        trail[count] = pb_id_bytes(&ids[count]);
        count++;
        if (text.size <= MN_ID_TEXT_SIZE) break;
        text = mn_span(text.data + MN_ID_TEXT_SIZE, text.size - MN_ID_TEXT_SIZE);
    }
    return count;
}

/* A NUL-terminated copy; protobuf-c wants strings that way. */
static char *front_call_string(struct front *front, struct mn_span text)
{
    return mn_arena_format(&front->scratch, "%.*s", (int)text.size, (const char *)text.data);
}

/* Everything the serving node has to know, as bytes. */
static struct mn_buf *front_call_payload(struct front *front, const struct front_exchange *exchange,
                                         const struct front_call *call,
                                         const struct jsonrpc_message *message,
                                         const struct front_meta *meta, struct mn_span own)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct mn_writer params = {0};
    mn_id ids[TRAIL_MAX];
    ProtobufCBinaryData trail[TRAIL_MAX];
    struct mn_buf *payload;
    char method[] = "tools/call";

    front_call_write_params(&params, message->params, own);
    request.method = method;
    request.params = pb_bytes(mn_buf_span(params.buf));
    if (call->session != NULL) {
        request.client_info = pb_bytes(call->session->client_info);
        request.client_capabilities = pb_bytes(call->session->client_capabilities);
        request.protocol_version = front_call_string(front, mn_span_str(call->session->version));
    } else {
        if (meta->info != NULL) request.client_info = pb_bytes(meta->info->raw);
        request.client_capabilities = pb_bytes(meta->capabilities->raw);
        request.protocol_version = front_call_string(front, meta->version->text);
        request.log_level = front_call_string(front, json_text(meta->log_level));
    }
    request.wants_progress = call->progress.size > 0;
    request.principal = pb_id_bytes(&exchange->principal);
    request.n_trail = front_call_trail(exchange, ids, trail);
    request.trail = trail;
    payload = pb_pack(&request.base);
    mn_writer_drop(&params);
    return payload;
}

static struct mn_span front_call_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

static struct front_call *front_call_new(struct front *front, struct front_exchange *exchange,
                                         struct front_session *session, struct mn_span id,
                                         const struct front_meta *meta)
{
    struct mn_span progress = meta->progress == NULL ? mn_span(NULL, 0) : meta->progress->raw;
    struct front_call *call = mn_alloc(sizeof *call + id.size + progress.size);
    uint8_t *to = (uint8_t *)(call + 1);

    call->ticket = ++front->ticket_last;
    call->exchange = exchange;
    call->session = session;
    call->id = front_call_keep(&to, id);
    call->progress = front_call_keep(&to, progress);
    call->wants_log = session == NULL && meta->log_level != NULL;
    mn_map_insert(&front->calls, &call->by_ticket, mn_span(&call->ticket, sizeof call->ticket));
    mn_list_push_back(&exchange->calls, &call->in_exchange);
    mn_list_init(&call->in_session);
    if (session != NULL) mn_list_push_back(&session->calls, &call->in_session);
    return call;
}

static struct mn_span front_call_trace(const struct front_meta *meta)
{
    struct mn_span trace = json_text(meta->trace);
    return trace.size == TRACEPARENT_SIZE ? trace : mn_span(NULL, 0);
}

static void front_call_send(struct front *front, struct front_exchange *exchange,
                            struct front_session *session, const struct jsonrpc_message *message,
                            const struct front_meta *meta, const struct names_tool *tool)
{
    struct call_outbox *calls = front->outbox->calls;
    bool is_aggregated = exchange->service.size == 0;
    struct front_call *call = front_call_new(front, exchange, session, message->id, meta);
    struct mn_span own =
        tool != NULL ? tool->own : json_text(json_find_str(message->params, "name"));
    struct call_message *request = call_emit(calls, CALL_MESSAGE_REQUEST);

    request->request = (struct call_request){
        .ticket = call->ticket,
        .service =
            mn_arena_copy(calls->arena, is_aggregated ? tool->service->name : exchange->service),
        .payload = front_call_payload(front, exchange, call, message, meta, own),
        .timeout = front->call_timeout,
        .timeout_total = front->call_timeout_total,
        .is_idempotent = tool != NULL && tool->is_idempotent,
        .trace = mn_arena_copy(calls->arena, front_call_trace(meta)),
    };
    call->started = front->now.mono;
    if (tool != NULL) call->usage = usage_begin(&front->usage, tool->exposed);
    if (exchange->timer.index_plus_one == 0)
        mn_heap_set(&front->timers, &exchange->timer,
                    mn_time_after(front->now.mono, FRONT_UPGRADE));
    front->stats.calls_total++;
}

/* The tool that is meant. At the endpoint of one server any name goes: it knows best. False: there
 * is none, which has been answered. */
static bool front_call_find(struct front *front, struct front_exchange *exchange,
                            const struct jsonrpc_message *message, struct names_tool **ret)
{
    const struct json *name = json_find_str(message->params, "name");
    struct names_service *service;
    const char *text;

    if (!json_is(name, JSON_STRING)) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "params.name must be a string");
        return false;
    }
    if (exchange->service.size > 0) {
        service = names_service(&front->names, exchange->service);
        *ret = service == NULL ? NULL : names_service_tool(service, name->text);
        return true;
    }
    *ret = names_tool(&front->names, name->text);
    if (*ret != NULL) return true;
    text = mn_arena_format(&front->scratch, "unknown tool: %.*s",
                           (int)(name->text.size < 200 ? name->text.size : 200),
                           (const char *)name->text.data);
    front_reply_error(front, exchange, 200, message->id, JSONRPC_INVALID_PARAMS, mn_span_str(text),
                      mn_span_str("{\"reason\":\"not_found\"}"));
    return false;
}

void front_call_start(struct front *front, struct front_exchange *exchange,
                      struct front_session *session, const struct jsonrpc_message *message,
                      const struct front_meta *meta)
{
    static const char *const names[] = {"name", "arguments", "_meta"};
    const struct json *parts[3], *token = meta->progress;
    struct names_tool *tool = NULL;
    const char *fault = NULL;

    if (message->params == NULL || json_pick(message->params, names, 3, parts) != MN_OK) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             "params must be an object with one name and at most one of each other member");
        return;
    }
    if (!front_call_find(front, exchange, message, &tool)) return;
    if (session == NULL && tool != NULL)
        fault = front_modern_param_fault(front, exchange, tool, parts[1]);
    if (fault != NULL)
        FAIL(400, message->id, JSONRPC_HEADER_MISMATCH, fault);
    else if (token != NULL && (token->raw.size > JSONRPC_ID_SIZE_MAX ||
                               (token->type != JSON_STRING && token->type != JSON_NUMBER)))
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             "progressToken must be a string or a number");
    else if (front->calls.count >= MCP_CALLS_MAX)
        FAIL(200, message->id, JSONRPC_INTERNAL,
             "this node has too many calls under way; try again");
    else
        front_call_send(front, exchange, session, message, meta, tool);
}

void front_call_cancel(struct front *front, struct front_call *call)
{
    call_emit(front->outbox->calls, CALL_MESSAGE_CANCEL)->ticket = call->ticket;
    front_call_free(front, call);
}

/* Answers the client, if it is still there, and forgets the call. */
static void front_call_fail(struct front *front, struct front_call *call, uint32_t http_code,
                            int64_t code, struct mn_span text, struct mn_span data)
{
    struct front_exchange *exchange = call->exchange;
    struct mn_span id = mn_arena_copy(&front->scratch, call->id);

    front_call_free(front, call);
    front->stats.calls_failed++;
    if (exchange != NULL) front_reply_error(front, exchange, http_code, id, code, text, data);
}

static void front_call_broken(struct front *front, struct front_call *call, const char *text)
{
    front_call_fail(front, call, 200, JSONRPC_INTERNAL, mn_span_str(text), mn_span(NULL, 0));
}

static void front_call_on_failed(struct front *front, struct front_call *call,
                                 const struct call_event *event)
{
    struct mn_writer data = {0};
    char node[MN_ID_TEXT_SIZE];
    bool is_unknown = event->failure == CALL_NOT_FOUND || event->failure == CALL_CONFLICT;
    struct mn_span text = event->text;

    if (event->failure == CALL_TIMED_OUT || event->failure == CALL_OUTCOME_UNKNOWN)
        text = mn_span_str(mn_arena_format(&front->scratch,
                                           "outcome unknown: the tool may have run (%.*s)",
                                           (int)text.size, (const char *)text.data));
    mn_writer_format(&data, "{\"reason\":\"%s\"", call_failure_name(event->failure));
    if (!mn_id_is_zero(&event->node))
        mn_writer_format(&data, ",\"node\":\"%s\"", mn_id_format(&event->node, node));
    mn_writer_str(&data, "}");
    front_call_fail(front, call, 200, is_unknown ? JSONRPC_INVALID_PARAMS : JSONRPC_INTERNAL, text,
                    mn_buf_span(data.buf));
    mn_writer_drop(&data);
}

/* An error of the server goes on as it is; modern clients also get its HTTP status. */
static void front_call_on_error(struct front *front, struct front_call *call,
                                const Meshnode__Gateway__Error *error)
{
    struct mn_span data = pb_span(error->data);
    const struct json *value;
    uint32_t http_code = 200;
    int64_t code = error->code;

    if (data.size > 0 &&
        json_parse_copy(front->parser, data, kept_members, &front->scratch, &value) != MN_OK)
        data = mn_span(NULL, 0);
    if (call->session == NULL) {
        if (code == JSONRPC_METHOD_NOT_FOUND) http_code = 404;
        if (code <= JSONRPC_HEADER_MISMATCH && code >= JSONRPC_UNSUPPORTED_VERSION) http_code = 400;
        /* Codes that modern clients must not see. */
        if (code == JSONRPC_RESOURCE_NOT_FOUND) code = JSONRPC_INVALID_PARAMS;
        if (code == JSONRPC_URL_ELICITATION) code = JSONRPC_INTERNAL;
    }
    front_call_fail(front, call, http_code, code, pb_text(error->message), data);
}

/* The result for a legacy client: no resultType, and structuredContent only as an object. */
static void front_call_write_legacy(struct mn_writer *writer, const struct json *result)
{
    bool is_first = true;

    mn_writer_str(writer, "{");
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
        const struct json *value = json_value(key);
        if (mn_span_is(key->text, "resultType")) continue;
        if (!mn_span_is(key->text, "structuredContent") || value->type == JSON_OBJECT) {
            front_call_write_member(writer, key, &is_first);
            continue;
        }
        mn_writer_str(writer, is_first ? "" : ",");
        mn_writer_str(writer, "\"structuredContent\":{\"result\":");
        mn_writer_add(writer, value->raw);
        mn_writer_str(writer, "}");
        is_first = false;
    }
    mn_writer_str(writer, "}");
}

static void front_call_write_modern(struct mn_writer *writer, const struct json *result)
{
    mn_writer_str(writer, "{\"resultType\":\"complete\"");
    if (result->count > 0) mn_writer_str(writer, ",");
    mn_writer_add(writer, mn_span(result->raw.data + 1, result->raw.size - 1));
}

static void front_call_on_result(struct front *front, struct front_call *call, struct mn_span text)
{
    static const char *const names[] = {"resultType", "structuredContent"};
    struct front_exchange *exchange = call->exchange;
    const struct json *result, *parts[2];
    struct mn_writer writer = {0};
    bool is_changed, is_legacy = call->session != NULL;
    struct mn_span id = mn_arena_copy(&front->scratch, call->id);

    if (json_parse_copy(front->parser, text, kept_members, &front->scratch, &result) != MN_OK ||
        result->type != JSON_OBJECT || json_pick(result, names, 2, parts) != MN_OK) {
        front_call_broken(front, call, "the server's result is not usable JSON");
        return;
    }
    if (parts[0] != NULL && is_legacy && !mn_span_is(json_text(parts[0]), "complete")) {
        front_call_broken(front, call, "the server wants input that this client cannot give");
        return;
    }
    is_changed = is_legacy ? parts[0] != NULL || (parts[1] != NULL && parts[1]->type != JSON_OBJECT)
                           : parts[0] == NULL;
    if (is_changed && is_legacy) front_call_write_legacy(&writer, result);
    if (is_changed && !is_legacy) front_call_write_modern(&writer, result);
    front_call_free(front, call);
    if (exchange != NULL)
        front_reply_result(front, exchange, id, is_changed ? mn_buf_span(writer.buf) : result->raw);
    mn_writer_drop(&writer);
}

/* params of notifications/progress, with the client's token back in. */
static void front_call_on_progress(struct front *front, struct front_call *call,
                                   struct mn_span text)
{
    struct mn_writer params = {0}, message = {0};
    const struct json *value;

    if (call->exchange == NULL || call->progress.size == 0) return;
    if (json_parse_copy(front->parser, text, kept_members, &front->scratch, &value) != MN_OK)
        return;
    if (value->type != JSON_OBJECT || json_find_str(value, "progressToken") != NULL) return;
    mn_writer_str(&params, "{\"progressToken\":");
    mn_writer_add(&params, call->progress);
    if (value->count > 0) mn_writer_str(&params, ",");
    mn_writer_add(&params, mn_span(value->raw.data + 1, value->raw.size - 1));
    jsonrpc_write_notification(&message, "notifications/progress", mn_buf_span(params.buf));
    front_reply_notification(front, call->exchange, mn_buf_span(message.buf));
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

static void front_call_on_log(struct front *front, struct front_call *call, struct mn_span text)
{
    struct mn_writer message = {0};
    const struct json *value;

    if (call->exchange == NULL || !call->wants_log) return;
    if (json_parse_copy(front->parser, text, kept_members, &front->scratch, &value) != MN_OK)
        return;
    if (value->type != JSON_OBJECT) return;
    jsonrpc_write_notification(&message, "notifications/message", value->raw);
    front_reply_notification(front, call->exchange, mn_buf_span(message.buf));
    mn_writer_drop(&message);
}

/* Its server's answer, or the mesh's refusal: the latter's time says nothing of the tool. */
static void front_call_count(struct front *front, struct front_call *call, bool has_answer)
{
    usage_end(&front->usage, call->usage, front->now.mono, front->now.mono - call->started,
              has_answer);
    call->usage = NULL;
}

void front_call_on_event(struct front *front, const struct call_event *event)
{
    struct mn_map_entry *entry =
        mn_map_find(&front->calls, mn_span(&event->ticket, sizeof event->ticket));
    const Meshnode__Gateway__Event *payload = NULL;
    bool is_last = event->kind != CALL_EVENT_PROGRESS;
    struct front_call *call;

    if (entry == NULL) return; /* cancelled meanwhile */
    call = MN_CONTAINER(entry, struct front_call, by_ticket);
    if (is_last) front_call_count(front, call, event->kind == CALL_EVENT_RESULT);
    if (event->kind == CALL_EVENT_FAILED) {
        front_call_on_failed(front, call, event);
        return;
    }
    if (event->payload != NULL)
        payload = pb_unpack(&meshnode__gateway__event__descriptor, &front->scratch,
                            mn_buf_span(event->payload));
    if (payload != NULL && is_last && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_RESULT)
        front_call_on_result(front, call, pb_span(payload->result));
    else if (payload != NULL && is_last &&
             payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ERROR)
        front_call_on_error(front, call, payload->error);
    else if (is_last)
        front_call_broken(front, call, "the serving node sent nothing usable");
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_PROGRESS)
        front_call_on_progress(front, call, pb_span(payload->progress));
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_LOG)
        front_call_on_log(front, call, pb_span(payload->log));
}
