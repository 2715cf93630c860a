#include "node/mcp/upstream_call.h"

#include "node/mcp/upstream_handshake.h"
#include "node/mcp/upstream_lease.h"
#include "node/mcp/upstream_message.h"
#include "node/mcp/upstream_question.h"
#include "node/mcp/upstream_request.h"
#include "node/mcp/upstream_watch.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* Events for the core. */

static void upstream_call_emit_failed(struct upstream_host *host, uint64_t ticket,
                                      struct mn_span server, enum call_failure failure,
                                      const char *text)
{
    struct call_outbox *calls = host->outbox->calls;
    struct call_event *event = &call_emit(calls, CALL_MESSAGE_EVENT)->event;

    event->ticket = ticket;
    event->kind = CALL_EVENT_FAILED;
    event->failure = failure;
    event->text = mn_span_str(mn_arena_format(calls->arena, "server %.*s: %s", (int)server.size,
                                              (const char *)server.data, text));
    event->node = host->self;
}

void upstream_call_emit_packed(struct upstream_request *request, enum call_event_kind kind,
                               struct mn_buf *payload)
{
    struct upstream_host *host = request->server->host;
    struct call_event *event;

    if (request->ticket == 0) { /* parked */
        if (kind != CALL_EVENT_RESULT || !upstream_question_keep(request, payload))
            mn_buf_unref(payload);
        return;
    }
    event = &call_emit(host->outbox->calls, CALL_MESSAGE_EVENT)->event;
    event->ticket = request->ticket;
    event->kind = kind;
    event->payload = payload;
    event->node = host->self;
}

void upstream_call_emit(struct upstream_request *request, enum call_event_kind kind,
                        const Meshnode__Gateway__Event *payload)
{
    upstream_call_emit_packed(request, kind, pb_pack(&payload->base));
}

/* It is answered: forgotten, or kept for the caller that comes for the answer. */
static void upstream_call_end(struct upstream_request *request)
{
    if (request->ticket != 0) {
        upstream_request_free(request);
        return;
    }
    upstream_request_recall(request);
    mn_list_remove(&request->link);
    mn_list_push_back(&request->server->asking, &request->link);
}

void upstream_call_answer_error(struct upstream_request *request, int64_t code,
                                struct mn_span message, struct mn_span data)
{
    struct mn_arena *scratch = &request->server->host->scratch;
    Meshnode__Gateway__Error error;
    Meshnode__Gateway__Event event;

    meshnode__gateway__error__init(&error);
    error.code = code < INT32_MIN || code > INT32_MAX ? JSONRPC_INTERNAL : (int32_t)code;
    error.message = (char *)(uintptr_t)mn_arena_copy(scratch, message).data;
    error.data = pb_bytes(data);
    meshnode__gateway__event__init(&event);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ERROR;
    event.error = &error;
    upstream_call_emit(request, CALL_EVENT_RESULT, &event);
    upstream_call_end(request);
}

void upstream_call_fail(struct upstream_request *request, enum call_failure failure,
                        const char *text)
{
    if (request->ticket == 0) {
        upstream_call_answer_error(request, JSONRPC_INTERNAL, mn_span_str(text), mn_span(NULL, 0));
        return;
    }
    upstream_call_emit_failed(request->server->host, request->ticket, request->server->config->name,
                              failure, text);
    upstream_request_free(request);
}

static void upstream_call_answer_bytes(struct upstream_request *request,
                                       Meshnode__Gateway__Event__KindCase kind, struct mn_span json)
{
    bool is_last = kind == MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    Meshnode__Gateway__Event event;

    meshnode__gateway__event__init(&event);
    event.kind_case = kind;
    event.result = pb_bytes(json); /* progress, log and result share the place */
    upstream_call_emit(request, is_last ? CALL_EVENT_RESULT : CALL_EVENT_PROGRESS, &event);
    if (is_last) upstream_call_end(request);
}

/* Sending. */

static bool upstream_call_came_through(const Meshnode__Gateway__Request *payload, const mn_id *node)
{
    for (size_t i = 0; i < payload->n_trail; i++)
        if (mn_span_equal(pb_span(payload->trail[i]), mn_span(node->bytes, sizeof node->bytes)))
            return true;
    return false;
}

static struct mn_span upstream_call_trail(struct upstream_host *host,
                                          const Meshnode__Gateway__Request *payload)
{
    uint8_t *ids = mn_arena_alloc(&host->scratch, (payload->n_trail + 1) * sizeof(mn_id));
    size_t count = 0;

    for (size_t i = 0; i < payload->n_trail; i++)
        if (pb_fixed(payload->trail[i], ids + count * sizeof(mn_id), sizeof(mn_id)) == MN_OK)
            count++;
    return mn_span(ids, count * sizeof(mn_id));
}

/* What Mcp-Name repeats. */
static struct mn_span upstream_call_name(const char *method, const struct json *params)
{
    const char *member = "name";

    if (strcmp(method, "resources/read") == 0) member = "uri";
    if (strncmp(method, "tasks/", 6) == 0) member = "taskId";
    return json_text(json_find_str(params, member));
}

static void upstream_call_post(struct upstream_request *request,
                               const Meshnode__Gateway__Request *payload, const struct json *params,
                               struct mn_buf *text)
{
    struct upstream *server = request->server;
    struct upstream_host *host = server->host;
    struct edge_header headers[UPSTREAM_PARAMS_MAX];
    struct upstream_http_about about = {.method = payload->method,
                                        .name = upstream_call_name(payload->method, params),
                                        .params = headers,
                                        .trail = upstream_call_trail(host, payload)};
    bool is_tool = strcmp(payload->method, "tools/call") == 0;
    const struct upstream_tool *tool =
        is_tool ? upstream_tools_find(&server->tools, about.name) : NULL;
    const struct json *arguments = json_find_str(params, "arguments");
    const struct json_limits limits = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

    if (tool != NULL && tool->params.count > 0 && arguments != NULL &&
        json_parse(host->parser, arguments->raw, limits, &host->scratch, &arguments) == MN_OK)
        about.params_count =
            upstream_headers_fill(&tool->params, arguments, &host->scratch, headers);
    upstream_http_request(server, request, text, &about);
}

static bool upstream_call_is_carried(const char *method)
{
    static const char *const methods[] = {"tools/call",          "prompts/get", "resources/read",
                                          "completion/complete", "tasks/get",   "tasks/update",
                                          "tasks/cancel"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0) return true;
    return false;
}

/* What a call asks for; on an error the call is answered. */
static bool upstream_call_judge(struct upstream_request *request,
                                const Meshnode__Gateway__Request *payload,
                                const struct json **params)
{
    struct upstream *server = request->server;
    struct upstream_host *host = server->host;
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct mn_span none = {0};

    if (payload == NULL) {
        upstream_call_fail(request, CALL_UPSTREAM, "the request from the mesh does not decode");
        return false;
    }
    if (upstream_call_came_through(payload, &host->self) ||
        payload->n_trail >= UPSTREAM_TRAIL_MAX) {
        upstream_call_fail(request, CALL_UPSTREAM,
                           "the call has come through this node before: a server that is "
                           "attached here leads back to it");
        return false;
    }
    if (!upstream_call_is_carried(payload->method)) {
        upstream_call_answer_error(request, JSONRPC_METHOD_NOT_FOUND,
                                   mn_span_str("the mesh does not carry this method"), none);
        return false;
    }
    if (json_parse_copy(host->parser, pb_span(payload->params), limits, &host->scratch, params) !=
            MN_OK ||
        (*params)->type != JSON_OBJECT) {
        upstream_call_answer_error(request, JSONRPC_INVALID_PARAMS,
                                   mn_span_str("params must be a JSON object"), none);
        return false;
    }
    struct mn_span name = json_text(json_find_str(*params, "name"));
    if (strcmp(payload->method, "tools/call") == 0 && server->config->tools_count > 0 &&
        upstream_tools_find(&server->tools, name) == NULL) {
        upstream_call_answer_error(
            request, JSONRPC_INVALID_PARAMS,
            mn_span_str(mn_arena_format(&host->scratch, "Unknown tool: %.*s",
                                        name.size > 256 ? 256 : (int)name.size,
                                        (const char *)name.data)),
            none);
        return false;
    }
    return true;
}

/* Goes on with a parked call, under this one's ticket. */
static void upstream_call_resume(struct upstream_request *request,
                                 const Meshnode__Gateway__Request *payload,
                                 const struct json *params)
{
    struct upstream_host *host = request->server->host;
    struct mn_span handle = pb_span(payload->resume);
    uint64_t ticket = request->ticket;

    if (mn_map_find(&host->parked, handle) == NULL) {
        upstream_call_answer_error(
            request, JSONRPC_INVALID_PARAMS,
            mn_span_str("requestState: the call it belongs to is over, or was answered already; "
                        "start again without it"),
            mn_span(NULL, 0));
        return;
    }
    upstream_request_free(request);
    (void)upstream_question_resume(host, ticket, handle, params);
}

/* A legacy server logs per session: as much as the most curious of its callers wants. */
static void upstream_call_set_level(struct upstream *server, enum loglevel level)
{
    struct upstream_request *request;

    if (upstream_is_modern(server) || !server->has_logging || level == LOGLEVEL_NONE) return;
    if (server->log_level != LOGLEVEL_NONE && server->log_level <= level) return;
    server->log_level = level;
    request = upstream_request_new(server, UPSTREAM_REQUEST_SIDE, MN_MINUTE);
    upstream_request_carry(request, upstream_message_set_level(server, request->id, level),
                           "logging/setLevel");
}

static void upstream_call_enqueue(struct upstream_request *request);

/* A legacy server that may ask is asked in a session of the client's own. False: the call was
 * answered, or waits for that session to come up. */
static bool upstream_call_lease(struct upstream_request *request,
                                const Meshnode__Gateway__Request *payload)
{
    struct upstream *server = request->server;
    struct upstream *lease = upstream_lease_for(server, payload);

    if (lease == server) return true;
    if (lease == NULL) {
        upstream_call_fail(request, CALL_BUSY,
                           "as many clients as it may have are using sessions of their own");
        return false;
    }
    mn_list_remove(&request->link);
    server->calls_count--;
    request->server = lease;
    lease->calls_count++;
    if (lease->state == UPSTREAM_READY) return true;
    upstream_call_enqueue(request);
    upstream_timer_set(lease->host, &request->timer, UPSTREAM_HANDSHAKE_TIMEOUT);
    return false;
}

static void upstream_call_send(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    Meshnode__Gateway__Request *payload = pb_unpack(&meshnode__gateway__request__descriptor,
                                                    &host->scratch, mn_buf_span(request->payload));
    const struct json *params;
    struct upstream *server;

    MN_ASSERT(request->server->state == UPSTREAM_READY && !request->is_sent);
    if (!upstream_call_judge(request, payload, &params)) return;
    if (payload->resume.len > 0) {
        upstream_call_resume(request, payload, params);
        return;
    }
    if (!upstream_call_lease(request, payload)) return;
    server = request->server;
    request->is_live = payload->is_live;
    request->wants_progress = payload->wants_progress;
    request->wants_log = loglevel_parse(pb_text(payload->log_level));
    upstream_call_set_level(server, request->wants_log);
    upstream_request_enter(request);
    upstream_timer_set(host, &request->timer,
                       server->config->call_timeout == 0 ? MN_TIME_NEVER
                                                         : server->config->call_timeout);
    struct mn_buf *text = upstream_message_call(server, request, payload, params);
    if (server->is_http) {
        upstream_call_post(request, payload, params, text);
        return;
    }
    upstream_stdio_write(server, text);
    request->written_end = server->stdio.written;
}

/* Waits for the server to come up. */
static void upstream_call_enqueue(struct upstream_request *request)
{
    struct upstream *server = request->server;

    upstream_request_recall(request);
    mn_list_push_back(&server->queue, &request->link);
    upstream_timer_set(server->host, &request->timer, UPSTREAM_GRACE);
}

static bool upstream_call_may_wait(const struct upstream *server)
{
    switch (server->state) {
    case UPSTREAM_STARTING:
    case UPSTREAM_PROBING:
    case UPSTREAM_READY: return true;
    case UPSTREAM_STOPPED: return server->after_exit == UPSTREAM_AFTER_START;
    case UPSTREAM_BACKOFF:
    case UPSTREAM_AUTH:
    case UPSTREAM_FAILED:
        return server->start_timer.heap.at <= mn_time_after(server->host->now.mono, UPSTREAM_GRACE);
    }
    return false;
}

/* The server a call names: its own name, or that with ".NODE" behind it. */
static struct upstream *upstream_call_server(struct upstream_host *host, struct mn_span service)
{
    const uint8_t *dot = service.size == 0 ? NULL : memchr(service.data, '.', service.size);
    struct mn_map_entry *entry;

    if (dot != NULL) service.size = (size_t)(dot - service.data);
    entry = mn_map_find(&host->names, service);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream, by_name);
}

/* A lasting call, which the server never sees as such. Told by its first bytes, because all others
 * are decoded only when they are sent. */
static bool upstream_call_is_watch(struct upstream_host *host, const struct call_request *call)
{
    static const char method[] = "\x0a\x14subscriptions/listen"; /* field 1, 20 bytes */
    struct mn_span payload = mn_buf_span(call->payload);
    const Meshnode__Gateway__Request *request;

    if (payload.size < sizeof method - 1 || memcmp(payload.data, method, sizeof method - 1) != 0)
        return false;
    request = pb_unpack(&meshnode__gateway__request__descriptor, &host->scratch, payload);
    return request != NULL && strcmp(request->method, "subscriptions/listen") == 0;
}

void upstream_call_serve(struct upstream_host *host, const struct call_request *call)
{
    struct upstream *server = upstream_call_server(host, call->service);
    struct upstream_request *request;

    if (mn_map_find(&host->tickets, upstream_u64_key(&call->ticket)) != NULL ||
        mn_map_find(&host->watches, upstream_u64_key(&call->ticket)) != NULL)
        return;
    if (server == NULL || host->is_stopping) {
        upstream_call_emit_failed(host, call->ticket, call->service, CALL_NOT_FOUND,
                                  "there is no such server on this node");
        return;
    }
    if (upstream_call_is_watch(host, call)) {
        upstream_watch_begin(server, call->ticket);
        return;
    }
    if (server->calls_count >= UPSTREAM_IN_FLIGHT_MAX ||
        (!server->is_http && upstream_stdio_is_full(server))) {
        upstream_call_emit_failed(host, call->ticket, call->service, CALL_BUSY,
                                  "it has as many calls in flight as it may");
        return;
    }
    if (!upstream_call_may_wait(server)) {
        upstream_call_emit_failed(host, call->ticket, call->service, CALL_UNAVAILABLE,
                                  server->error);
        return;
    }
    request = upstream_request_alloc(server, UPSTREAM_REQUEST_CALL);
    request->ticket = call->ticket;
    request->payload = mn_buf_ref(call->payload);
    mn_map_insert(&host->tickets, &request->by_ticket, upstream_u64_key(&request->ticket));
    server->calls_count++;
    server->calls_total++;
    if (server->state == UPSTREAM_READY)
        upstream_call_send(request);
    else
        upstream_call_enqueue(request);
}

void upstream_call_move(struct upstream_request *request, struct upstream *to)
{
    MN_ASSERT(!request->is_sent);
    mn_list_remove(&request->link);
    request->server->calls_count--;
    request->server = to;
    to->calls_count++;
    upstream_call_resend(request);
}

/* Closing the stream says it to a modern HTTP
 * server; everywhere else it is a notification. */
void upstream_call_tell_cancelled(struct upstream_request *request)
{
    struct upstream *server = request->server;

    if (!request->is_sent) return;
    if (!server->is_http)
        upstream_stdio_write(server, upstream_message_cancelled(server, request->id));
    else if (!upstream_is_modern(server))
        upstream_http_notify(server, upstream_message_cancelled(server, request->id),
                             "notifications/cancelled", false);
}

void upstream_call_cancel(struct upstream_host *host, uint64_t ticket)
{
    struct mn_map_entry *entry = mn_map_find(&host->tickets, upstream_u64_key(&ticket));
    struct upstream_request *request;

    if (upstream_watch_end(host, ticket)) return;
    if (entry == NULL) return; /* the answer and the cancellation crossed */
    request = MN_CONTAINER(entry, struct upstream_request, by_ticket);
    upstream_call_tell_cancelled(request);
    upstream_request_free(request);
}

void upstream_call_input(struct upstream_host *host, uint64_t ticket, struct mn_buf *payload)
{
    struct mn_map_entry *entry = mn_map_find(&host->tickets, upstream_u64_key(&ticket));
    const Meshnode__Gateway__Input *input;

    input = pb_unpack(&meshnode__gateway__input__descriptor, &host->scratch, mn_buf_span(payload));
    if (input != NULL && input->what_case == MESHNODE__GATEWAY__INPUT__WHAT_WISHES)
        upstream_watch_on_wishes(host, ticket, input->wishes);
    if (entry == NULL) return; /* the answer and the input crossed */
    if (input != NULL && input->what_case == MESHNODE__GATEWAY__INPUT__WHAT_ANSWER)
        upstream_question_on_answer(MN_CONTAINER(entry, struct upstream_request, by_ticket),
                                    input->answer);
}

void upstream_call_resend(struct upstream_request *request)
{
    if (request->server->state == UPSTREAM_READY)
        upstream_call_send(request);
    else
        upstream_call_enqueue(request);
}

/* Answers. */

static const char *upstream_call_http_text(struct upstream_request *request, uint32_t code)
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
static bool upstream_call_try_again(struct upstream_request *request, bool forget_era)
{
    struct upstream *server = request->server;

    if (request->was_retried || !upstream_rehandshake(server, forget_era)) return false;
    MN_PROBE("upstream: call sent once more after a new handshake");
    request->was_retried = true;
    upstream_call_enqueue(request);
    return true;
}

static void upstream_call_on_status(struct upstream_request *request, uint32_t code)
{
    struct upstream *server = request->server;
    enum call_failure failure = CALL_UPSTREAM;

    if (code == 404 && request->had_session && upstream_call_try_again(request, false)) return;
    if (request->was_modern && (code == 400 || code == 404 || code == 405) &&
        upstream_call_try_again(request, true))
        return;
    if (code == 0 || code == 502 || code == 504) failure = CALL_OUTCOME_UNKNOWN;
    if (code == 429) failure = CALL_BUSY;
    const char *text = upstream_call_http_text(request, code);
    upstream_call_fail(request, failure, text);
    if (code == 401) upstream_break_auth(server, code);
}

static void upstream_call_on_error(struct upstream_request *request,
                                   const struct jsonrpc_message *message, uint32_t code)
{
    struct upstream *server = request->server;
    bool is_version = message->code == JSONRPC_UNSUPPORTED_VERSION;
    bool is_header = message->code == JSONRPC_HEADER_MISMATCH;

    /* Not a few legacy servers answer 400 without an id, not 404, for a session they forgot. */
    if (request->had_session && code == 400 && message->id.size == 0 && !is_version && !is_header &&
        upstream_call_try_again(request, false))
        return;
    if ((is_version || (is_header && !request->was_modern)) &&
        upstream_call_try_again(request, true))
        return;
    if (is_header && server->is_http && !request->was_retried && server->state == UPSTREAM_READY) {
        request->was_retried = true; /* the schema changed: look at it, then send it once more */
        upstream_call_enqueue(request);
        upstream_list_start(server);
        return;
    }
    /* These speak of our hop; the caller did nothing wrong. */
    bool is_ours = is_version || is_header;
    upstream_call_answer_error(request, is_ours ? JSONRPC_INTERNAL : message->code,
                               message->message, is_ours ? (struct mn_span){0} : message->data);
}

static void upstream_call_on_result(struct upstream_request *request, const struct json *result)
{
    struct upstream *server = request->server;
    struct mn_span type = json_text(json_find_str(result, "resultType"));

    if (upstream_is_modern(server) && request->is_live && mn_span_is(type, "input_required"))
        upstream_question_on_round(request, result);
    else if (upstream_is_modern(server) && type.size > 0 && !mn_span_is(type, "complete") &&
             !mn_span_is(type, "input_required") &&
             !(mn_span_is(type, "task") && !request->is_live))
        upstream_call_answer_error(
            request, JSONRPC_INTERNAL,
            mn_span_str("the server asks for more than the mesh can carry: its result is not "
                        "complete"),
            mn_span(NULL, 0));
    else
        upstream_call_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_RESULT, result->raw);
}

void upstream_call_on_answer(struct upstream_request *request,
                             const struct jsonrpc_message *message, uint32_t code)
{
    if (message == NULL)
        upstream_call_on_status(request, code);
    else if (message->kind == JSONRPC_RESULT)
        upstream_call_on_result(request, message->result);
    else
        upstream_call_on_error(request, message, code);
}

void upstream_call_on_timer(struct upstream_request *request)
{
    if (request->asked != NULL && upstream_question_on_timer(request)) return;
    if (!request->is_sent) {
        upstream_call_fail(request, CALL_UNAVAILABLE, "it is not ready");
        return;
    }
    upstream_call_tell_cancelled(request);
    upstream_call_fail(request, CALL_TIMED_OUT, "no answer within its call timeout");
}

void upstream_call_on_progress(struct upstream *server, const struct json *params)
{
    const struct json *token = json_find_str(params, "progressToken");
    struct upstream_request *request;
    uint64_t id;

    if (!json_is(token, JSON_NUMBER) || jsonrpc_id_number(token->raw, &id) != MN_OK) return;
    request = upstream_request_find(server, id);
    if (request == NULL || request->kind != UPSTREAM_REQUEST_CALL || !request->wants_progress)
        return;
    if (server->config->call_timeout != 0)
        upstream_timer_set(server->host, &request->timer, server->config->call_timeout);
    upstream_call_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_PROGRESS,
                               upstream_message_without(server->host, params, "progressToken"));
}

void upstream_call_on_log(struct upstream_request *request, const struct json *params)
{
    enum loglevel level = loglevel_parse(json_text(json_find_str(params, "level")));

    if (request->kind != UPSTREAM_REQUEST_CALL || request->wants_log == LOGLEVEL_NONE) return;
    if (level < request->wants_log) return;
    upstream_call_answer_bytes(request, MESHNODE__GATEWAY__EVENT__KIND_LOG, params->raw);
}

struct upstream_request *upstream_call_only(struct upstream *server)
{
    struct upstream_request *only = NULL;

    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind != UPSTREAM_REQUEST_CALL) continue;
        if (only != NULL) return NULL;
        only = request;
    }
    return only;
}

struct upstream_request *upstream_call_newest(struct upstream *server)
{
    for (struct mn_list *link = server->sent.prev; link != &server->sent; link = link->prev) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind == UPSTREAM_REQUEST_CALL) return request;
    }
    return mn_list_is_empty(&server->queue)
               ? NULL
               : MN_CONTAINER(server->queue.next, struct upstream_request, link);
}

/* All of a server. */

void upstream_call_flush_queue(struct upstream *server)
{
    struct mn_list waiting;

    mn_list_init(&waiting);
    for (struct mn_list *link; (link = mn_list_take(&server->queue)) != NULL;)
        mn_list_push_back(&waiting, link);
    while (!mn_list_is_empty(&waiting)) {
        struct upstream_request *request =
            MN_CONTAINER(waiting.next, struct upstream_request, link);
        mn_list_remove(&request->link);
        if (server->state == UPSTREAM_READY)
            upstream_call_send(request);
        else
            mn_list_push_back(&server->queue, &request->link);
    }
}

void upstream_call_fail_queue(struct upstream *server, const char *text)
{
    while (!mn_list_is_empty(&server->queue))
        upstream_call_fail(MN_CONTAINER(server->queue.next, struct upstream_request, link),
                           CALL_UNAVAILABLE, text);
}

void upstream_call_fail_sent(struct upstream *server, enum call_failure failure, const char *text)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind == UPSTREAM_REQUEST_CALL) upstream_call_fail(request, failure, text);
    }
}

void upstream_call_fail_asking(struct upstream *server, const char *text)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->asking) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->ticket == 0)
            upstream_request_free(request);
        else
            upstream_call_fail(request, CALL_UNAVAILABLE, text);
    }
}
