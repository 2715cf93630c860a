/* Tasks: a server answers a call by a task, which the client asks about later, perhaps at another
 * node. The id that it is given is sealed: it says which node and server has the task, and how that
 * one calls it. Ids of different servers cannot clash, and nobody can ask about another's task.
 * There are two kinds: the extension io.modelcontextprotocol/tasks of modern clients and servers,
 * and the tasks that are part of revision 2025-11-25, of legacy clients and servers. Neither is
 * shown to clients of the other era; a legacy tool that only runs as a task is run as one by the
 * node that serves it (upstream_task.c). */
#include "node/mcp/front/front_edit.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_tasks.h"

#define TASK_FORMAT 1
#define EXTENSION "io.modelcontextprotocol/tasks"

/* What is sealed; the service's name and then the server's own id follow. */
struct task_head {
    uint8_t format, service_size, node[sizeof(mn_id)];
};

_Static_assert(sizeof(struct task_head) == 2 + sizeof(mn_id), "no padding");

static mn_id task_context(struct mn_span service)
{
    return sealed_context_list(service, mn_span_str("task"));
}

bool front_task_route(struct front *front, const mn_id *principal, struct mn_span service,
                      struct mn_span id, struct front_target *ret)
{
    mn_id context = task_context(service);
    struct task_head head;
    struct mn_span plain;

    if (front_unseal(front, SEALED_TASK, principal, &context, id, &plain) != MN_OK ||
        plain.size < sizeof head)
        return false;
    memcpy(&head, plain.data, sizeof head);
    if (head.format != TASK_FORMAT || sizeof head + head.service_size > plain.size) return false;
    memcpy(ret->node.bytes, head.node, sizeof ret->node.bytes);
    ret->services[0] = mn_span(plain.data + sizeof head, head.service_size);
    ret->count = 1;
    ret->own = mn_span(plain.data + sizeof head + head.service_size,
                       plain.size - sizeof head - head.service_size);
    return true;
}

static struct mn_span task_seal(struct front *front, const struct front_call *call,
                                const mn_id *node, struct mn_span own)
{
    struct task_head head = {.format = TASK_FORMAT, .service_size = (uint8_t)call->service.size};
    const struct front_session *session = call->session;
    mn_id context = task_context(session != NULL ? session->service : call->exchange->service);
    struct mn_writer plain = {0};
    struct mn_span id;

    memcpy(head.node, node->bytes, sizeof head.node);
    mn_writer_add(&plain, mn_span(&head, sizeof head));
    mn_writer_add(&plain, call->service);
    mn_writer_add(&plain, own);
    id = front_seal(front, SEALED_TASK,
                    session != NULL ? &session->principal : &call->exchange->principal, &context, 0,
                    mn_buf_span(plain.buf));
    mn_writer_drop(&plain);
    return id;
}

void front_task_write(struct mn_writer *writer, const struct json *result, struct mn_span id,
                      const char *without)
{
    bool is_first = true;

    mn_writer_str(writer, "{");
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
        if (without != NULL && mn_span_is(key->text, without)) continue;
        if (!mn_span_is(key->text, "taskId")) {
            front_call_write_member(writer, key, &is_first);
            continue;
        }
        mn_writer_str(writer, is_first ? "\"taskId\":" : ",\"taskId\":");
        json_write_string(writer, id);
        is_first = false;
    }
    mn_writer_str(writer, "}");
}

bool front_task_created(struct front *front, const struct front_call *call, const mn_id *node,
                        const struct json *result, struct mn_writer *writer)
{
    struct mn_span own = json_text(json_find_str(result, "taskId")), id;

    if (call->session != NULL || call->exchange == NULL || own.size == 0 ||
        result->raw.size >= JSONRPC_LARGE ||
        !front_call_is_declared(front, call, "extensions", EXTENSION))
        return false;
    id = task_seal(front, call, node, own);
    if (id.size == 0) return false;
    front_task_write(writer, result, id, NULL);
    return true;
}

/* ---- the tasks of 2025-11-25, and ids wherever they stand ---- */

struct mn_span front_task_rename(struct front *front, struct mn_span text, struct mn_span from,
                                 struct mn_span to)
{
    return front_edit_task(front, text, from, to, true);
}

bool front_task_is_core(const char *version)
{
    return version != NULL && strcmp(version, "2025-11-25") == 0;
}

bool front_task_may_begin(const struct front_call *call)
{
    return call->session != NULL && call->method->kind == NAMES_TOOLS;
}

bool front_task_is_over(struct mn_span status)
{
    return mn_span_is(status, "completed") || mn_span_is(status, "failed") ||
           mn_span_is(status, "cancelled");
}

bool front_task_begun(struct front *front, const struct front_call *call, const mn_id *node,
                      const struct json **result, bool *is_new)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *task = json_find_str(*result, "task"), *renamed;
    struct mn_span own, id;

    *is_new = false;
    if (!front_task_may_begin(call) || task == NULL || !task->is_kept) return true;
    own = json_text(json_find_str(task, "taskId"));
    if (own.size == 0 || json_find_str(*result, "content") != NULL) return true;
    if ((*result)->raw.size >= JSONRPC_LARGE) return false; /* it would be copied at once */
    id = task_seal(front, call, node, own);
    if (id.size == 0) return false;
    front_task_remember(
        front, call->session,
        &(struct front_kept_task){
            .id = id,
            .token = call->progress,
            .is_quiet = front_task_is_over(json_text(json_find_str(task, "status"))),
        });
    *is_new = true;
    if (json_parse_copy(front->parser, front_task_rename(front, (*result)->raw, own, id), limits,
                        &front->scratch, &renamed) == MN_OK)
        *result = renamed;
    return true;
}

struct mn_span front_task_renamed(struct front *front, const struct front_call *call,
                                  struct mn_span text)
{
    return front_task_rename(front, text, call->own, call->uri);
}

struct mn_span front_task_related(struct front *front, const struct front_call *call,
                                  struct mn_span text)
{
    return front_edit_task(front, text, call->own, call->uri, false);
}

struct mn_span front_task_own(struct front *front, const struct front_call *call,
                              struct mn_span text)
{
    return front_task_rename(front, text, call->uri, call->own);
}
