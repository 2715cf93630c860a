#include "node/mcp/upstream/upstream_send.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_large.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_parked.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/upstream/upstream_task.h"
#include "node/mcp/wire/aside.h"
#include "node/mcp/wire/extension.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

static bool upstream_send_came_through(const Meshnode__Gateway__Request *payload, const mn_id *node)
{
    for (size_t i = 0; i < payload->n_trail; i++)
        if (mn_span_equal(pb_span(payload->trail[i]), mn_span(node->bytes, sizeof node->bytes)))
            return true;
    return false;
}

static struct mn_span upstream_send_trail(struct upstream_host *host,
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
static struct mn_span upstream_send_name(const char *method, const struct json *params)
{
    const char *member = "name";

    if (extension_is_method(mn_span_str(method))) return mn_span(NULL, 0);
    if (strcmp(method, "resources/read") == 0) member = "uri";
    if (strncmp(method, "tasks/", 6) == 0) member = "taskId";
    return json_text(json_find_str(params, member));
}

static void upstream_send_post(struct upstream_request *request,
                               const Meshnode__Gateway__Request *payload, const struct json *params,
                               struct mn_buf *text)
{
    struct upstream *server = request->server;
    struct upstream_host *host = server->host;
    struct edge_header headers[PARAM_HEADERS_MAX];
    struct upstream_http_about about = {.method = payload->method,
                                        .name = upstream_send_name(payload->method, params),
                                        .params = headers,
                                        .trail = upstream_send_trail(host, payload)};
    bool is_tool = strcmp(payload->method, "tools/call") == 0;
    const struct upstream_tool *tool = is_tool ? upstream_survey_tool(server, about.name) : NULL;
    const struct json *arguments = json_find_str(params, "arguments");
    const struct json_limits limits = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

    if (tool != NULL && tool->params.count > 0 && arguments != NULL &&
        json_parse(host->parser, arguments->raw, limits, &host->scratch, &arguments) == MN_OK)
        about.params_count = param_headers_fill(&tool->params, arguments, &host->scratch, headers);
    upstream_http_request(server, request, text, &about);
}

static bool upstream_send_is_carried(const char *method)
{
    static const char *const methods[] = {
        "tools/call",          "prompts/get",  "resources/read",
        "completion/complete", "tasks/get",    "tasks/result",
        "tasks/update",        "tasks/cancel", UPSTREAM_ROOTS_CHANGED,
        UPSTREAM_TASK_STATUS,  ASIDE_ANSWER};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0) return true;
    return extension_is_method(mn_span_str(method));
}

static void upstream_send_queue(struct upstream_request *request)
{
    upstream_request_recall(request);
    mn_list_push_back(&request->server->queue, &request->link);
}

/* What a call asks for; on an error the call is answered. */
static bool upstream_send_judge(struct upstream_request *request,
                                const Meshnode__Gateway__Request *payload,
                                const struct json **params)
{
    struct upstream *server = request->server;
    struct upstream_host *host = server->host;
    const struct mn_span none = {0};

    if (payload == NULL) {
        upstream_call_fail(request, CALL_UPSTREAM, "the request from the mesh does not decode");
        return false;
    }
    if (upstream_send_came_through(payload, &host->self) || payload->n_trail >= TRAIL_MAX) {
        upstream_call_fail(request, CALL_UPSTREAM,
                           "the call has come through this node before: a server that is "
                           "attached here leads back to it");
        return false;
    }
    if (!upstream_send_is_carried(payload->method)) {
        upstream_call_answer_error(request, JSONRPC_METHOD_NOT_FOUND,
                                   mn_span_str("the mesh does not carry this method"), none);
        return false;
    }
    if (upstream_large_parse(request, pb_span(payload->params), params) != MN_OK ||
        (*params)->type != JSON_OBJECT) {
        upstream_call_answer_error(request, JSONRPC_INVALID_PARAMS,
                                   mn_span_str("params must be a JSON object"), none);
        return false;
    }
    struct mn_span name = json_text(json_find_str(*params, "name"));
    if (strcmp(payload->method, "tools/call") == 0 && server->config->tools_count > 0 &&
        upstream_survey_tool(server, name) == NULL) {
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

static void upstream_send_told(struct upstream *lease, const char *method,
                               const struct json *params)
{
    struct mn_buf *text = upstream_message_notification(lease, method, params);

    if (lease->is_http)
        upstream_http_notify(lease, text, method, false);
    else
        upstream_stdio_write(lease, text);
}

/* Something of the client's that is no call but travels as one: for the session of its own that it
 * has here. Who has none was never asked anything. */
static bool upstream_send_notification(struct upstream_request *request,
                                       const Meshnode__Gateway__Request *payload,
                                       const struct json *params)
{
    bool is_answer = strcmp(payload->method, ASIDE_ANSWER) == 0;
    struct upstream *lease;

    if (!is_answer && strcmp(payload->method, UPSTREAM_ROOTS_CHANGED) != 0 &&
        strcmp(payload->method, UPSTREAM_TASK_STATUS) != 0)
        return false;
    lease = upstream_lease_has(request->server, payload);
    if (lease != NULL && lease->state == UPSTREAM_READY) {
        if (!is_answer)
            upstream_send_told(lease, payload->method, params);
        else if (payload->answer != NULL)
            upstream_asked_on_answer(lease, payload->answer, request->payload);
    }
    upstream_answer_result(request, mn_span_str("{}"));
    return true;
}

/* Goes on with a parked call, under this one's ticket. */
static void upstream_send_resume(struct upstream_request *request,
                                 const Meshnode__Gateway__Request *payload,
                                 const struct json *params)
{
    struct upstream_host *host = request->server->host;
    struct mn_span handle = pb_span(payload->resume);
    struct mn_buf *kept; /* params and handle are parts of it */
    uint64_t ticket = request->ticket;

    if (mn_map_find(&host->parked, handle) == NULL) {
        upstream_call_answer_error(
            request, JSONRPC_INVALID_PARAMS,
            mn_span_str("requestState: the call it belongs to is over, or was answered already; "
                        "start again without it"),
            mn_span(NULL, 0));
        return;
    }
    kept = mn_buf_ref(request->payload);
    upstream_request_free(request);
    (void)upstream_parked_resume(host, ticket, handle, params, kept, payload->wants_progress);
    mn_buf_unref(kept);
}

/* A legacy server that may ask is asked in a session of the client's own. False: the call was
 * answered, or waits for that session to come up. */
static bool upstream_send_lease(struct upstream_request *request,
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
    if (lease->state == UPSTREAM_READY && mn_list_is_empty(&lease->queue)) return true;
    upstream_send_later(request);
    upstream_timer_set(lease->host, &request->timer, UPSTREAM_HANDSHAKE_TIMEOUT);
    return false;
}

static void upstream_send_out(struct upstream_request *request,
                              const Meshnode__Gateway__Request *payload, const struct json *params,
                              struct mn_writer *text)
{
    struct upstream *server = request->server;

    if (server->is_http) {
        upstream_send_post(request, payload, params, mn_writer_done(text));
        return;
    }
    mn_writer_str(text, "\n");
    upstream_stdio_write(server, mn_writer_done(text));
    request->written_end = server->stdio.written;
}

void upstream_send_know(struct upstream_request *request)
{
    const Meshnode__Gateway__Request *payload =
        pb_view(&meshnode__gateway__request__descriptor, &request->server->host->scratch,
                mn_buf_span(request->payload));

    if (payload == NULL) return;
    request->is_live = payload->is_live;
    request->is_mute = !payload->is_live && payload->session.len > 0;
}

void upstream_send_call(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    Meshnode__Gateway__Request *payload = pb_view(&meshnode__gateway__request__descriptor,
                                                  &host->scratch, mn_buf_span(request->payload));
    const struct json *params;
    struct upstream *server;

    MN_ASSERT(request->server->state == UPSTREAM_READY && !request->is_sent);
    if (request->task != NULL) {
        upstream_task_ask(request);
        return;
    }
    if (payload != NULL && payload->is_live && payload->resume.len > 0) {
        upstream_orphan_claim(request, payload);
        return;
    }
    if (payload != NULL && upstream_large_waits(request, pb_span(payload->params))) {
        upstream_send_queue(request);
        upstream_call_watch_time(request); /* what it waits for is not its server */
        return;
    }
    if (!upstream_send_judge(request, payload, &params)) return;
    if (upstream_send_notification(request, payload, params)) return;
    if (payload->resume.len > 0) {
        upstream_send_resume(request, payload, params);
        return;
    }
    if (!upstream_send_lease(request, payload)) return;
    server = request->server;
    if (upstream_task_is_refused(server, payload, params)) {
        upstream_call_answer_error(
            request, JSONRPC_METHOD_NOT_FOUND,
            mn_span_str("this tool has no tasks of 2025-11-25: its server speaks 2026-07-28; call "
                        "it without \"task\", and wait for its result"),
            mn_span(NULL, 0));
        return;
    }
    request->is_task_ours = upstream_task_is_needed(server, payload, params);
    request->is_live = payload->is_live;
    request->is_mute = !payload->is_live && payload->session.len > 0;
    request->wants_progress = payload->wants_progress;
    request->wants_log = loglevel_parse(pb_text(payload->log_level));
    /* It is answered when the task is over, and says nothing until then. */
    request->is_patient = strcmp(payload->method, "tasks/result") == 0;
    upstream_aside_set_level(server, request->wants_log);
    upstream_request_enter(request);
    upstream_call_watch_time(request);
    struct pieces text = {.source = request->large == NULL ? NULL : request->payload};
    upstream_message_call(server, request, payload, params, &text);
    if (request->large == NULL && text.done_count == 0)
        upstream_send_out(request, payload, params, &text.writer);
    else
        upstream_large_write(request, &text);
    pieces_drop(&text);
}

void upstream_send_written(struct upstream_request *request, struct mn_writer *text)
{
    Meshnode__Gateway__Request *payload =
        pb_view(&meshnode__gateway__request__descriptor, &request->server->host->scratch,
                mn_buf_span(request->payload));
    const struct json *params;
    mn_status status = upstream_large_parse(request, pb_span(payload->params), &params);

    MN_ASSERT(request->is_sent && status == MN_OK); /* it was when it was judged */
    upstream_send_out(request, payload, params, text);
}

void upstream_send_later(struct upstream_request *request)
{
    upstream_send_queue(request);
    upstream_timer_set(request->server->host, &request->timer, UPSTREAM_GRACE);
}
