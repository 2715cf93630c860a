#include "node/mcp/upstream/upstream_task.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define TASKS_VERSION "2025-11-25" /* the only one that has them */

static bool task_is_known_to(const Meshnode__Gateway__Request *payload)
{
    return payload->session.len > 0 && strcmp(payload->protocol_version, TASKS_VERSION) == 0;
}

bool upstream_task_is_needed(const struct upstream *server,
                             const Meshnode__Gateway__Request *payload, const struct json *params)
{
    const struct upstream *origin = server->lease.origin == NULL ? server : server->lease.origin;
    const struct upstream_tool *tool;

    if (upstream_is_modern(server) || strcmp(server->version, TASKS_VERSION) != 0 ||
        strcmp(payload->method, "tools/call") != 0 || task_is_known_to(payload))
        return false;
    tool = upstream_survey_tool(origin, json_text(json_find_str(params, "name")));
    return tool != NULL && tool->needs_task;
}

bool upstream_task_is_refused(const struct upstream *server,
                              const Meshnode__Gateway__Request *payload, const struct json *params)
{
    return upstream_is_modern(server) && strcmp(payload->method, "tools/call") == 0 &&
           task_is_known_to(payload) && json_find_str(params, "task") != NULL;
}

bool upstream_task_on_created(struct upstream_request *request, const struct json *result)
{
    struct mn_span id = json_text(json_find_str(json_find_str(result, "task"), "taskId"));

    if (id.size == 0 || id.size > UPSTREAM_TASK_ID_SIZE_MAX) return false;
    MN_PROBE("upstream: a call runs as a task of ours");
    request->task = mn_buf_copy(id);
    request->token = request->id; /* its progress is told under this for the task's whole life */
    request->is_patient = true;   /* it is answered when the task is over */
    upstream_request_recall(request);
    mn_list_remove(&request->link);
    upstream_task_ask(request);
    return true;
}

void upstream_task_ask(struct upstream_request *request)
{
    struct upstream *server = request->server;

    request->task_asked_at = server->host->now.mono;
    request->task_at = 0;
    upstream_request_enter(request);
    upstream_call_watch_time(request);
    upstream_request_carry(
        request,
        upstream_message_task(server, request->id, "tasks/result", mn_buf_span(request->task)),
        "tasks/result");
}

/* Waits aside: nothing is sent meanwhile. */
static void task_wait(struct upstream_request *request)
{
    upstream_request_recall(request);
    mn_list_remove(&request->link);
    mn_list_push_back(&request->server->asking, &request->link);
    request->task_at = mn_time_after(request->server->host->now.mono, UPSTREAM_TASK_RETRY);
    upstream_call_watch_time(request);
}

bool upstream_task_again(struct upstream_request *request)
{
    mn_time now = request->server->host->now.mono;

    if (request->is_sent && now - request->task_asked_at >= UPSTREAM_HEALTHY)
        request->task_tries = 0; /* what broke had held for a while */
    if (request->task == NULL || !request->server->is_http ||
        request->task_tries >= UPSTREAM_TASK_RETRIES)
        return false;
    MN_PROBE("upstream: the connection on which a task's result was awaited broke");
    request->task_tries++;
    task_wait(request);
    return true;
}

bool upstream_task_on_timer(struct upstream_request *request)
{
    if (request->task_at == 0 || request->task_at > request->server->host->now.mono) return false;
    request->task_at = 0;
    if (request->server->state == UPSTREAM_READY) {
        mn_list_remove(&request->link);
        upstream_task_ask(request);
    } else if (!upstream_task_again(request)) {
        upstream_call_fail(request, CALL_OUTCOME_UNKNOWN,
                           "it is away, and the task that the call became with it");
    }
    return true;
}

void upstream_task_cancel(struct upstream_request *request)
{
    struct upstream *server = request->server;
    struct upstream_request *cancel;

    if (request->task == NULL || server->state != UPSTREAM_READY) return;
    cancel = upstream_request_new(server, UPSTREAM_REQUEST_SIDE, MN_MINUTE);
    upstream_request_carry(
        cancel,
        upstream_message_task(server, cancel->id, "tasks/cancel", mn_buf_span(request->task)),
        "tasks/cancel");
}

bool upstream_task_blank(struct upstream_host *host, const struct json *result)
{
    const struct json *meta = json_find_str(result, "_meta"), *key;
    const uint8_t *begin, *end;

    if (result->raw.size < JSONRPC_LARGE || host->text == NULL || !mn_buf_is_alone(host->text) ||
        !mn_buf_has(host->text, result->raw))
        return false;
    if (json_find_str(meta, UPSTREAM_NS "related-task") == NULL) return true;
    key = json_find_str(meta, UPSTREAM_NS "related-task") - 1;
    begin = key->raw.data;
    end = json_value(key)->raw.data + json_value(key)->raw.size;
    if (key != json_first(meta)) /* with the comma before it, or the one behind it */
        while (*begin != ',')
            begin--;
    else if (meta->count > 1)
        while (*end++ != ',')
            continue;
    memset(host->text->bytes + (begin - host->text->bytes), ' ', (size_t)(end - begin));
    return true;
}

struct mn_span upstream_task_result(struct upstream_host *host, const struct json *result)
{
    const struct json *meta = json_find_str(result, "_meta");
    struct mn_writer writer = {0};
    struct mn_span bare, other;

    if (json_find_str(meta, UPSTREAM_NS "related-task") == NULL) return result->raw;
    bare = upstream_message_without(host, result, "_meta");
    other = upstream_message_without(host, meta, UPSTREAM_NS "related-task");
    if (other.size == 2) return bare;                          /* {} */
    mn_writer_add(&writer, mn_span(bare.data, bare.size - 1)); /* without its last brace */
    mn_writer_str(&writer, bare.size == 2 ? "\"_meta\":" : ",\"_meta\":");
    mn_writer_add(&writer, other);
    mn_writer_str(&writer, "}");
    bare = mn_arena_copy(&host->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return bare;
}
