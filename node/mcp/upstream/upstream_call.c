#include "node/mcp/upstream/upstream_call.h"

#include "node/mcp/upstream/upstream_leave.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_own.h"
#include "node/mcp/upstream/upstream_parked.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_send.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/upstream/upstream_watch.h"
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
        if (kind != CALL_EVENT_RESULT || !upstream_parked_keep(request, payload))
            mn_buf_unref(payload);
        return;
    }
    if (kind == CALL_EVENT_RESULT) {
        upstream_leave_answered(request);
        upstream_orphan_given(request, payload);
    }
    request->was_heard = true;
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

void upstream_call_end(struct upstream_request *request)
{
    if (request->ticket != 0 || request->asked->last == NULL) { /* or it had no room */
        upstream_request_free(request);
        return;
    }
    upstream_request_recall(request);
    mn_list_remove(&request->link);
    mn_list_push_back(&request->server->asking, &request->link);
    request->task_at = 0;
}

void upstream_call_answer_error(struct upstream_request *request, int64_t code,
                                struct mn_span message, struct mn_span data)
{
    struct mn_arena *scratch = &request->server->host->scratch;
    Meshnode__Gateway__Error error;
    Meshnode__Gateway__Event event;

    meshnode__gateway__error__init(&error);
    error.code = code;
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
    upstream_leave_answered(request);
    upstream_call_emit_failed(request->server->host, request->ticket, request->server->config->name,
                              failure, text);
    upstream_request_free(request);
}

void upstream_call_tell_taken(const struct upstream_request *request)
{
    upstream_call_emit_failed(request->server->host, request->ticket, request->server->config->name,
                              CALL_TAKEN, "its client goes on with it at another node");
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
    request->is_own = mn_id_is_zero(&call->node);
    request->began_at = host->now.mono;
    request->payload = mn_buf_ref(call->payload);
    mn_map_insert(&host->tickets, &request->by_ticket, upstream_u64_key(&request->ticket));
    server->calls_count++;
    server->calls_total++;
    if (server->state == UPSTREAM_READY)
        upstream_send_call(request);
    else
        upstream_send_later(request);
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

    upstream_task_cancel(request);
    if (!request->is_sent) return;
    server->strays_until = mn_time_after(server->host->now.mono, UPSTREAM_STRAYS);
    server->lease.is_spoilt = true;
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

    input = pb_view(&meshnode__gateway__input__descriptor, &host->scratch, mn_buf_span(payload));
    if (input != NULL && input->what_case == MESHNODE__GATEWAY__INPUT__WHAT_WISHES)
        upstream_watch_on_wishes(host, ticket, input->wishes);
    if (entry == NULL) return; /* the answer and the input crossed */
    if (input != NULL && input->what_case == MESHNODE__GATEWAY__INPUT__WHAT_ANSWER)
        upstream_question_on_answer(MN_CONTAINER(entry, struct upstream_request, by_ticket),
                                    input->answer, payload);
}

void upstream_call_resend(struct upstream_request *request)
{
    if (request->server->state == UPSTREAM_READY)
        upstream_send_call(request);
    else
        upstream_send_later(request);
}

void upstream_call_watch_time(struct upstream_request *request)
{
    mn_time timeout = request->server->config->call_timeout, now = request->server->host->now.mono;

    if (request->ticket == 0) { /* however long its server takes */
        upstream_parked_watch(request);
        return;
    }
    if (request->is_patient) timeout = UPSTREAM_HEARTBEAT;
    if (timeout == 0) timeout = MN_TIME_NEVER;
    if (request->task_at != 0)
        timeout = mn_time_min(timeout, request->task_at > now ? request->task_at - now : 0);
    upstream_timer_set(request->server->host, &request->timer, timeout);
}

/* The caller hears that the call is not forgotten. */
static void upstream_call_beat(struct upstream_request *request)
{
    Meshnode__Gateway__Event nothing = MESHNODE__GATEWAY__EVENT__INIT;

    upstream_call_emit(request, CALL_EVENT_PROGRESS, &nothing);
    upstream_call_watch_time(request);
}

void upstream_call_on_timer(struct upstream_request *request)
{
    if (upstream_task_on_timer(request)) return;
    if (request->asked != NULL && upstream_question_on_timer(request)) return;
    if (request->is_sent && request->is_patient) {
        upstream_call_beat(request);
        return;
    }
    if (!request->is_sent) {
        upstream_call_fail(request, CALL_UNAVAILABLE,
                           request->server->state == UPSTREAM_READY
                               ? "it could not be asked in time"
                               : "it is not ready");
        return;
    }
    upstream_call_tell_cancelled(request);
    upstream_call_fail(request, CALL_TIMED_OUT, "no answer within its call timeout");
}

struct upstream_request *upstream_call_only(struct upstream *server)
{
    struct upstream_request *only = NULL;

    if (server->host->now.mono < server->strays_until) return NULL;
    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind != UPSTREAM_REQUEST_CALL) continue;
        if (only != NULL) return NULL;
        only = request;
    }
    return only;
}

struct upstream_request *upstream_call_newest_but(struct upstream *server,
                                                  const struct upstream_request *but)
{
    struct upstream_request *newest = NULL;

    for (struct mn_list *link = server->sent.prev; link != &server->sent; link = link->prev) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request == but || request->kind != UPSTREAM_REQUEST_CALL || request->is_mute) continue;
        if (request->ticket != 0) return request;
        if (newest == NULL) newest = request;
    }
    if (newest != NULL) return newest;
    MN_LIST_FOR_EACH (link, &server->queue) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request != but && !request->is_mute) return request;
    }
    return NULL;
}

struct upstream_request *upstream_call_newest(struct upstream *server)
{
    return upstream_call_newest_but(server, NULL);
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
            upstream_send_call(request);
        else
            mn_list_push_back(&server->queue, &request->link);
    }
}

/* A client has subscribed before it calls: so its calls wait until its own session has that, too.
 */
void upstream_call_flush_ready(struct upstream *server)
{
    if (!server->is_lease || (upstream_request_of_kind(server, UPSTREAM_REQUEST_SIDE) == NULL &&
                              !upstream_own_waits(server))) {
        upstream_call_flush_queue(server);
        return;
    }
    MN_LIST_FOR_EACH (link, &server->queue) /* its server may ask something meanwhile */
        upstream_send_know(MN_CONTAINER(link, struct upstream_request, link));
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
