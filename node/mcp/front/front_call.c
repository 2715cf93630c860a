/* Requests that go to a server: from the client's message to the core's request. Arguments are
 * spliced, never rebuilt: what is not ours to change stays as its author wrote it. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "node/mcp/names/names_schema.h"
#include "node/mcp/wire/trail.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define NS "io.modelcontextprotocol/"
#define TRACEPARENT_SIZE 55 /* characters, W3C Trace Context level 1, version 00 */
#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

static const char bad_state[] = "requestState is not valid here: it was made for another request, "
                                "caller or endpoint, or is too old";

/* Members of _meta that are about this hop alone. */
static bool front_call_is_hop_key(struct mn_span key)
{
    static const char *const keys[] = {"progressToken", NS "protocolVersion",
                                       NS "clientCapabilities", NS "clientInfo", NS "logLevel"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (mn_span_is(key, keys[i])) return true;
    return false;
}

bool front_call_is_declared(struct front *front, const struct front_call *call, const char *group,
                            const char *name)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const Meshnode__Gateway__Request *request = pb_view(
        &meshnode__gateway__request__descriptor, &front->scratch, mn_buf_span(call->payload));
    const struct json *capabilities;

    return request != NULL &&
           json_parse_copy(front->parser, pb_span(request->client_capabilities), limits,
                           &front->scratch, &capabilities) == MN_OK &&
           json_find_str(json_find_str(capabilities, group), name) != NULL;
}

void front_call_write_member(struct mn_writer *writer, const struct json *key, bool *is_first)
{
    const struct json *value = json_value(key);
    const uint8_t *end = value->raw.data + value->raw.size;

    if (!*is_first) mn_writer_str(writer, ",");
    *is_first = false;
    mn_writer_add(writer, mn_span(key->raw.data, (size_t)(end - key->raw.data)));
}

void front_call_put_member(struct pieces *to, const struct json *key, bool *is_first)
{
    const struct json *value = json_value(key);
    const uint8_t *end = value->raw.data + value->raw.size;

    if (!*is_first) pieces_str(to, ",");
    *is_first = false;
    pieces_add(to, mn_span(key->raw.data, (size_t)(end - key->raw.data)));
}

/* "_meta" with what is not about this hop; nothing when nothing is left. */
static void front_call_write_meta(struct pieces *to, const struct json *meta, bool *is_first)
{
    bool is_empty = true, is_first_inside = true;

    for (const struct json *key = json_first(meta); key != NULL; key = json_next(meta, key))
        is_empty = is_empty && front_call_is_hop_key(key->text);
    if (is_empty) return;
    pieces_str(to, *is_first ? "\"_meta\":{" : ",\"_meta\":{");
    *is_first = false;
    for (const struct json *key = json_first(meta); key != NULL; key = json_next(meta, key))
        if (!front_call_is_hop_key(key->text)) front_call_put_member(to, key, &is_first_inside);
    pieces_str(to, "}");
}

static void front_call_write_key(struct pieces *to, const struct json *key, bool *is_first)
{
    if (!*is_first) pieces_str(to, ",");
    *is_first = false;
    pieces_add(to, key->raw);
    pieces_str(to, ":");
}

/* An object whose member [name], or [other], says [own] instead of what the client wrote. */
static void front_call_write_renamed(struct pieces *to, const struct json *object, const char *name,
                                     const char *other, struct mn_span own)
{
    bool is_first = true;

    pieces_str(to, "{");
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        bool is_name =
            mn_span_is(key->text, name) || (other != NULL && mn_span_is(key->text, other));
        if (is_name) {
            front_call_write_key(to, key, &is_first);
            json_write_string(&to->writer, own);
        } else if (mn_span_is(key->text, "_meta")) {
            front_call_write_meta(to, json_value(key), &is_first);
        } else {
            front_call_put_member(to, key, &is_first);
        }
    }
    pieces_str(to, "}");
}

struct mn_span front_call_said(struct front *front, const struct front_method *method,
                               const struct front_target *target, const struct json *key)
{
    struct mn_span raw = json_value(key)->raw;
    struct pieces text = {0};

    if (target->own.data == NULL) return raw;
    if (method->member != NULL && mn_span_is(key->text, method->member))
        json_write_string(&text.writer, target->own);
    else if (method->member == NULL && mn_span_is(key->text, "ref"))
        front_call_write_renamed(&text, json_value(key), "name", "uri", target->own);
    else
        return raw;
    raw = mn_arena_copy(&front->scratch, mn_buf_span(text.writer.buf));
    pieces_drop(&text);
    return raw;
}

/* The params as the server shall see them: its own name for what is asked, no _meta of this hop. */
static void front_call_write_params(struct front *front, struct pieces *to,
                                    const struct front_method *method, const struct json *params,
                                    const struct front_target *target,
                                    const struct front_round *round)
{
    bool is_first = true;

    pieces_str(to, "{");
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        struct mn_span said = front_call_said(front, method, target, key);
        if (mn_span_is(key->text, "_meta")) {
            front_call_write_meta(to, json_value(key), &is_first);
        } else if (round->is_next && mn_span_is(key->text, "requestState")) {
            if (!round->has_state) continue; /* it was ours alone */
            front_call_write_key(to, key, &is_first);
            json_write_string(&to->writer, round->state);
        } else if (said.data != json_value(key)->raw.data) {
            front_call_write_key(to, key, &is_first);
            pieces_add(to, said);
        } else {
            front_call_put_member(to, key, &is_first);
        }
    }
    pieces_str(to, "}");
}

/* The nodes a call went out of already, from the header that our own kind sends to HTTP servers. */
static uint32_t front_call_trail(const struct front_exchange *exchange, mn_id *ids,
                                 ProtobufCBinaryData *trail)
{
    uint32_t count = trail_read(front_header(exchange, TRAIL_HEADER), ids);

    for (uint32_t i = 0; i < count; i++)
        trail[i] = pb_id_bytes(&ids[i]);
    return count;
}

/* A NUL-terminated copy; protobuf-c wants strings that way. */
static char *front_call_string(struct front *front, struct mn_span text)
{
    char *copy = mn_arena_alloc(&front->scratch, text.size + 1);

    if (text.size > 0) memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* Everything the serving node has to know, in call->payload, or there once it is packed: if it is
 * large, it is copied in slices. False: it is not the next round of what it says it is. */
static bool front_call_pack(struct front *front, const struct front_exchange *exchange,
                            struct front_call *call, const struct jsonrpc_message *message,
                            const struct front_meta *meta, const struct front_target *target,
                            const struct front_round *round)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct pieces params = {.source = front->body_whole};
    mn_id ids[TRAIL_MAX];
    ProtobufCBinaryData trail[TRAIL_MAX];

    if (round->is_next && !front_round_fits(front, call, round, target, message->params))
        return false;
    front_call_write_params(front, &params, call->method, message->params, target, round);
    request.resume = pb_bytes(round->resume);
    call->is_resumed = round->resume.size > 0;
    request.method = call->method->what == FRONT_EXTENSION
                         ? front_call_string(front, message->method)
                         : (char *)(uintptr_t)call->method->name;
    if (params.done_count == 0) request.params = pb_bytes(mn_buf_span(params.writer.buf));
    if (call->session != NULL) {
        request.is_live = true;
        request.orphan = pb_bytes(mn_span(call->handle, sizeof call->handle));
        request.session = pb_bytes(mn_span(call->session->alias, sizeof call->session->alias));
        request.client_info = pb_bytes(call->session->client_info);
        request.client_capabilities = pb_bytes(call->session->client_capabilities);
        request.protocol_version = front_call_string(front, mn_span_str(call->session->version));
        request.log_level =
            front_call_string(front, mn_span_str(loglevel_name(call->session->log_level)));
        request.wants_logs = call->session->wants_logs;
        if (target->count == 1 && !mn_list_is_empty(&call->session->subscriptions.all) &&
            !front_roots_has(call->session, target->services[0]))
            request.uris =
                front_subscribe_own(front, call->session, target->services[0], &request.n_uris);
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
    call->payload = pb_pack(&request.base);
    if (params.done_count > 0) front_pack_begin(front, call, front->body_whole, &params);
    pieces_drop(&params);
    return true;
}

static struct mn_span front_call_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

/* The candidates after the first one. */
static void front_call_keep_candidates(uint8_t **to, struct front_call *call,
                                       const struct front_target *target)
{
    call->services = (struct mn_span *)(void *)(call + 1);
    call->services_count = target->count - 1;
    for (uint32_t i = 1; i < target->count; i++)
        call->services[i - 1] = front_call_keep(to, target->services[i]);
}

static struct front_call *
front_call_new(struct front *front, struct front_exchange *exchange, struct front_session *session,
               const struct front_method *method, const struct jsonrpc_message *message,
               const struct front_meta *meta, const struct front_target *target)
{
    struct mn_span progress = meta->progress == NULL ? mn_span(NULL, 0) : meta->progress->raw;
    struct mn_span uri = mn_span(NULL, 0);
    size_t table_size = (target->count - 1) * sizeof(struct mn_span), size;
    struct front_call *call;
    uint8_t *to;

    if (target->own.data != NULL && method->member != NULL &&
        (method->kind == NAMES_RESOURCES || method->kind == NAMES_UI))
        uri = json_text(json_find_str(message->params, method->member));
    size = message->id.size + progress.size + uri.size + (uri.size > 0 ? target->own.size : 0);
    for (uint32_t i = 0; i < target->count; i++)
        size += target->services[i].size;
    call = mn_alloc(sizeof *call + table_size + size);
    to = (uint8_t *)(call + 1) + table_size;
    call->ticket = ++front->ticket_last;
    call->method = method;
    call->exchange = exchange;
    call->session = session;
    call->came = exchange->came;
    call->is_aggregated = front_about_is_aggregated(exchange->service);
    exchange->legacy = session;
    call->id = front_call_keep(&to, message->id);
    call->progress = front_call_keep(&to, progress);
    call->uri = front_call_keep(&to, uri);
    if (uri.size > 0) call->own = front_call_keep(&to, target->own);
    call->service = front_call_keep(&to, target->services[0]);
    front_call_keep_candidates(&to, call, target);
    mn_list_init(&call->questions);
    mn_list_init(&call->answered);
    call->wants_log = session != NULL || meta->log_level != NULL;
    mn_map_insert(&front->calls, &call->by_ticket, mn_span(&call->ticket, sizeof call->ticket));
    mn_list_push_back(&exchange->calls, &call->in_exchange);
    mn_list_init(&call->in_session);
    if (session == NULL) return call;
    mn_list_push_back(&session->calls, &call->in_session);
    front_orphan_handle(session, call->ticket, call->handle);
    return call;
}

static struct mn_span front_call_trace(const struct front_meta *meta)
{
    struct mn_span trace = json_text(meta->trace);
    return trace.size == TRACEPARENT_SIZE ? trace : mn_span(NULL, 0);
}

void front_call_emit(struct front *front, const struct front_call *call, const mn_id *node,
                     bool is_idempotent, struct mn_span trace)
{
    struct call_outbox *calls = front->outbox->calls;

    call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
        .ticket = call->ticket,
        .service = mn_arena_copy(calls->arena, call->service),
        .payload = mn_buf_ref(call->payload),
        .timeout = front->call_timeout,
        .timeout_total = front->call_timeout_total,
        .is_idempotent = is_idempotent,
        .node = *node,
        .wants_place = call->session != NULL,
        .trace = mn_arena_copy(calls->arena, trace),
    };
}

static void front_call_send(struct front *front, struct front_exchange *exchange,
                            struct front_session *session, const struct front_method *method,
                            const struct jsonrpc_message *message, const struct front_meta *meta,
                            const struct front_target *target, const struct front_round *round)
{
    struct front_call *call =
        front_call_new(front, exchange, session, method, message, meta, target);
    /* Everything but tools only reads, as far as is known. */
    bool is_reading =
        method->what == FRONT_CALL && method->kind != NAMES_TOOLS && method->kind != NAMES_UI;
    bool is_idempotent = is_reading || (target->tool != NULL && target->tool->is_idempotent);
    const mn_id *node = round->is_next ? &round->node : &target->node;

    if (!front_call_pack(front, exchange, call, message, meta, target, round)) {
        front_call_free(front, call);
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, bad_state);
        return;
    }
    call->started = front->now.mono;
    if (session != NULL) front_aside_calls(front, session, call->service);
    if (call->pack != NULL)
        front_pack_send(call, node, is_idempotent && !round->is_next, front_call_trace(meta));
    else
        front_call_emit(front, call, node, is_idempotent && !round->is_next,
                        front_call_trace(meta));
    if (target->tool != NULL) call->usage = usage_begin(&front->usage, target->tool->exposed);
    /* What becomes a task is answered soon, and that answer waits until others know of the task. */
    exchange->becomes_stream = session != NULL && json_find_str(message->params, "task") == NULL &&
                               front_legacy_streams(front, exchange, session);
    if (exchange->timer.index_plus_one == 0)
        mn_heap_set(
            &front->timers, &exchange->timer,
            mn_time_after(front->now.mono, exchange->becomes_stream ? FRONT_OPEN : FRONT_UPGRADE));
    front->stats.calls_total++;
}

bool front_call_next(struct front *front, struct front_call *call)
{
    const mn_id anywhere = {{0}};

    if (call->services_count == 0) return false;
    call->service = *call->services++;
    call->services_count--;
    front_again_begin(front, call);
    mn_map_remove(&front->calls, &call->by_ticket);
    call->ticket = ++front->ticket_last;
    mn_map_insert(&front->calls, &call->by_ticket, mn_span(&call->ticket, sizeof call->ticket));
    front_call_emit(front, call, &anywhere, true, mn_span(NULL, 0));
    return true;
}

/* What is wrong with params as such; NULL: nothing. */
static const char *front_call_fault(const struct jsonrpc_message *message,
                                    const struct front_meta *meta, const struct json *parts[7])
{
    static const char *const names[] = {"arguments", "requestState", "name",          "uri",
                                        "ref",       "_meta",        "inputResponses"};
    const struct json *token = meta->progress;

    if (message->params == NULL || json_pick(message->params, names, 7, parts) != MN_OK)
        return "params must be an object with one name and at most one of each other member";
    if (token != NULL && (token->raw.size > JSONRPC_ID_SIZE_MAX ||
                          (token->type != JSON_STRING && token->type != JSON_NUMBER)))
        return "progressToken must be a string or a number";
    return NULL;
}

/* Arguments that do not match the tool's schema are the model's to correct, so they are a result
 * and no protocol error. The endpoint of one server leaves this to the server, as it leaves
 * everything; and so do all what takes too long to judge. True: that has been answered. */
static bool front_call_refuses(struct front *front, struct front_exchange *exchange,
                               const struct front_session *session,
                               const struct jsonrpc_message *message, struct names_item *tool,
                               const struct json *arguments)
{
    struct mn_span why = {0};
    struct mn_writer result = {0};

    if (names_judge(&front->names, tool, arguments, &front->scratch, &why) != NAMES_BAD)
        return false;
    mn_writer_str(&result,
                  session == NULL ? "{\"resultType\":\"complete\",\"content\":" : "{\"content\":");
    mn_writer_str(&result, "[{\"type\":\"text\",\"text\":");
    json_write_string(
        &result, mn_span_str(mn_arena_format(&front->scratch,
                                             "the arguments do not match the tool's schema: %.*s",
                                             (int)why.size, (const char *)why.data)));
    mn_writer_str(&result, "}],\"isError\":true}");
    front_reply_result(front, exchange, message->id, mn_buf_span(result.buf));
    mn_writer_drop(&result);
    return true;
}

/* The two tools that stand for others. True: the request is for another tool now, or was not for
 * one of them. False: it has been answered. */
static bool front_call_small(struct front *front, struct front_exchange *exchange,
                             const struct front_session *session, struct jsonrpc_message *message,
                             struct front_target *target, const struct json *arguments,
                             struct mn_span capabilities)
{
    struct jsonrpc_message inner;

    if (front_call_refuses(front, exchange, session, message, target->tool, arguments))
        return false;
    if (mn_span_is(target->tool->own, NAMES_FIND)) {
        front_small_find(front, exchange, session, message, capabilities);
        return false;
    }
    if (!front_small_unwrap(front, exchange, message, target, &inner)) return false;
    *message = inner;
    return true;
}

void front_call_start(struct front *front, struct front_exchange *exchange,
                      struct front_session *session, const struct front_method *method,
                      const struct jsonrpc_message *asked, const struct front_meta *meta)
{
    static const struct json no_params = {
        .type = JSON_OBJECT, .is_kept = true, .skip = 1, .raw = {(const uint8_t *)"{}", 2}};
    const struct json *parts[7];
    struct front_target target = {0};
    struct front_round round = {0};
    struct jsonrpc_message copy = *asked, *message = &copy;
    struct mn_span capabilities =
        session == NULL ? meta->capabilities->raw : session->client_capabilities;
    const char *fault;
    mn_status status;
    bool is_small;

    if (method->what == FRONT_EXTENSION && message->params == NULL) message->params = &no_params;
    fault = front_call_fault(message, meta, parts);
    if (fault != NULL) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, fault);
        return;
    }
    if (!front_route(front, exchange, session != NULL, method, message, &target)) return;
    is_small = front_small_is(&target);
    if (is_small) {
        if (!front_call_small(front, exchange, session, message, &target, parts[0], capabilities))
            return;
        fault = front_call_fault(message, meta, parts);
    }
    front_route_hide(front, &target, capabilities);
    status = session == NULL ? front_round_open(front, exchange, parts[1], &round) : MN_OK;
    if (status != MN_OK) {
        FAIL(front_seal_code(status, 200), message->id, JSONRPC_INVALID_PARAMS, bad_state);
        return;
    }
    if (round.is_next) {
        target.services[0] = round.service;
        target.count = 1;
    }
    if (session == NULL && target.tool != NULL && !is_small)
        fault = front_modern_param_fault(front, exchange, target.tool, parts[0]);
    if (fault != NULL)
        FAIL(400, message->id, JSONRPC_HEADER_MISMATCH, fault);
    else if (front->calls.count >= MCP_CALLS_MAX)
        FAIL(200, message->id, JSONRPC_INTERNAL,
             "this node has too many calls under way; try again");
    else if (target.tool == NULL || (!is_small && !front_about_is_aggregated(exchange->service)) ||
             !front_call_refuses(front, exchange, session, message, target.tool, parts[0]))
        front_call_send(front, exchange, session, method, message, meta, &target, &round);
}

void front_call_cancel(struct front *front, struct front_call *call)
{
    if (call->pack == NULL)
        call_emit(front->outbox->calls, CALL_MESSAGE_CANCEL)->ticket = call->ticket;
    front_call_free(front, call);
}
