#include "node/mcp/upstream/upstream_request.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_handshake.h"
#include "node/mcp/upstream/upstream_large.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "proto/base/check.h"

/* The tables. */

void upstream_request_enter(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;

    request->id = ++host->request_id_last;
    mn_map_insert(&host->requests, &request->by_id, upstream_u64_key(&request->id));
    mn_list_push_back(&request->server->sent, &request->link);
    request->is_sent = true;
    request->written_end = 0; /* a server that guesses may answer it before it is written */
    request->was_modern = upstream_is_modern(request->server);
    request->had_session = request->server->http.session_id != NULL;
}

void upstream_request_carry(struct upstream_request *request, struct mn_buf *text,
                            const char *method)
{
    struct upstream *server = request->server;

    if (server->is_http) {
        upstream_http_request(server, request, text,
                              &(struct upstream_http_about){.method = method});
        return;
    }
    upstream_stdio_write(server, text);
    request->written_end = server->stdio.written;
}

void upstream_request_recall(struct upstream_request *request)
{
    if (!request->is_sent) return;
    upstream_large_recall(request);
    mn_map_remove(&request->server->host->requests, &request->by_id);
    mn_list_remove(&request->link);
    if (request->exchange != NULL) upstream_http_release(request->exchange);
    request->exchange = NULL;
    request->is_sent = false;
}

struct upstream_request *upstream_request_alloc(struct upstream *server,
                                                enum upstream_request_kind kind)
{
    struct upstream_request *request = mn_alloc(sizeof *request);

    request->server = server;
    request->kind = kind;
    request->timer.kind = UPSTREAM_TIMER_REQUEST;
    mn_list_init(&request->link);
    return request;
}

struct upstream_request *upstream_request_new(struct upstream *server,
                                              enum upstream_request_kind kind, mn_time timeout)
{
    struct upstream_request *request = upstream_request_alloc(server, kind);

    MN_ASSERT(kind != UPSTREAM_REQUEST_CALL);
    upstream_request_enter(request);
    upstream_timer_set(server->host, &request->timer, timeout);
    return request;
}

void upstream_request_free(struct upstream_request *request)
{
    struct upstream *server = request->server;

    upstream_request_recall(request);
    mn_list_remove(&request->link);
    upstream_timer_clear(server->host, &request->timer);
    if (request->kind == UPSTREAM_REQUEST_CALL) {
        if (request->ticket != 0) mn_map_remove(&server->host->tickets, &request->by_ticket);
        upstream_question_free(request);
        MN_ASSERT(server->calls_count > 0);
        server->calls_count--;
        upstream_lease_used(server);
    }
    upstream_large_free(request);
    mn_buf_unref(request->payload);
    mn_buf_unref(request->task);
    mn_free(request);
}

struct upstream_request *upstream_request_find(struct upstream *server, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&server->host->requests, upstream_u64_key(&id));
    struct upstream_request *request =
        entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream_request, by_id);

    return request == NULL || request->server != server ? NULL : request;
}

struct upstream_request *upstream_request_of_kind(struct upstream *server,
                                                  enum upstream_request_kind kind)
{
    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind == kind) return request;
    }
    return NULL;
}

static void upstream_request_side_over(struct upstream *server)
{
    if (server->is_lease && server->state == UPSTREAM_READY) upstream_call_flush_ready(server);
}

/* An error without an id is one of the connection. */
static void upstream_request_subscribed(const struct upstream_request *request,
                                        const struct jsonrpc_message *message)
{
    struct mn_span uri = mn_buf_span(request->payload);

    if (message->kind == JSONRPC_RESULT)
        upstream_watch_on_subscribed(request->server, uri);
    else if (message->id.size > 0)
        upstream_watch_on_refused(request->server, uri, message);
}

void upstream_request_answered(struct upstream_request *request,
                               const struct jsonrpc_message *message, uint32_t code)
{
    struct upstream *server = request->server;
    enum upstream_request_kind kind = request->kind;

    if (!server->is_http) upstream_stdio_on_consumed(server, request->written_end);
    if (kind == UPSTREAM_REQUEST_CALL) {
        upstream_answer_on_message(request, message, code);
        return;
    }
    if (kind == UPSTREAM_REQUEST_SIDE && request->payload != NULL && message != NULL)
        upstream_request_subscribed(request, message);
    upstream_request_free(request);
    if (message == NULL && kind != UPSTREAM_REQUEST_LISTEN && kind != UPSTREAM_REQUEST_SIDE &&
        (code == 401 || code == 403) && !server->list.is_survey) {
        upstream_break_auth(server, code);
        return;
    }
    switch (kind) {
    case UPSTREAM_REQUEST_PROBE: upstream_handshake_on_probe(server, message, code); break;
    case UPSTREAM_REQUEST_INITIALIZE:
        upstream_handshake_on_initialize(server, message, code);
        break;
    case UPSTREAM_REQUEST_RESUME: upstream_handshake_on_resumed(server, message, code); break;
    case UPSTREAM_REQUEST_LIST: upstream_list_on_page(server, message, code); break;
    case UPSTREAM_REQUEST_LISTEN:
        upstream_stream_ended(server, message != NULL && message->kind == JSONRPC_RESULT);
        break;
    case UPSTREAM_REQUEST_SIDE: /* refused: then it logs as it likes, and we filter */
        upstream_request_side_over(server);
        break;
    case UPSTREAM_REQUEST_CALL: break;
    }
}

/* Whether it is away, or only minds what it was asked, its normal lists tell. */
static void upstream_request_no_survey(struct upstream *server, const char *why)
{
    upstream_survey_lost(server, why);
    upstream_relist_soon(server);
}

void upstream_request_failed(struct upstream_request *request, enum call_failure failure,
                             const char *text)
{
    struct upstream *server = request->server;
    enum upstream_request_kind kind = request->kind;

    if (kind == UPSTREAM_REQUEST_CALL) {
        bool may_help = failure != CALL_TOO_BIG; /* to ask once more */
        if (!may_help || !upstream_task_again(request)) upstream_call_fail(request, failure, text);
        return;
    }
    upstream_request_free(request);
    if (kind == UPSTREAM_REQUEST_LISTEN)
        upstream_stream_ended(server, failure == CALL_OUTCOME_UNKNOWN);
    else if (kind == UPSTREAM_REQUEST_SIDE)
        upstream_request_side_over(server);
    else if (kind == UPSTREAM_REQUEST_LIST && server->list.is_survey)
        upstream_request_no_survey(server, text);
    else if (failure == CALL_OUTCOME_UNKNOWN)
        upstream_break_off(server, text);
    else
        upstream_break(server, text);
}

void upstream_request_on_timer(struct upstream_request *request)
{
    struct upstream *server = request->server;

    switch (request->kind) {
    case UPSTREAM_REQUEST_CALL: upstream_call_on_timer(request); break;
    case UPSTREAM_REQUEST_PROBE:
        if (!server->is_http && server->era == UPSTREAM_ERA_AUTO)
            upstream_handshake_on_silence(server);
        else
            upstream_break(server, "does not answer server/discover");
        break;
    case UPSTREAM_REQUEST_INITIALIZE:
        upstream_request_free(request);
        upstream_handshake_on_no_session(server);
        break;
    case UPSTREAM_REQUEST_RESUME: upstream_break(server, "does not answer ping"); break;
    case UPSTREAM_REQUEST_LIST:
        if (server->list.is_survey) {
            upstream_survey_on_timer(server);
            break;
        }
        upstream_break(server, mn_arena_format(&server->host->scratch, "does not answer %s",
                                               upstream_list_method(server->list.kind)));
        break;
    case UPSTREAM_REQUEST_SIDE:
        upstream_request_free(request);
        upstream_request_side_over(server);
        break;
    case UPSTREAM_REQUEST_LISTEN: break; /* has no timer */
    }
}

void upstream_request_drop_lists(struct upstream *server)
{
    struct upstream_request *request;

    while ((request = upstream_request_of_kind(server, UPSTREAM_REQUEST_LIST)) != NULL)
        upstream_request_free(request);
}

void upstream_request_drop_own(struct upstream *server)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind != UPSTREAM_REQUEST_CALL) upstream_request_free(request);
    }
}
