/* Tasks (extension io.modelcontextprotocol/tasks): a server answers a call by a task, which the
 * client asks about later, perhaps at another node. The id that it is given is sealed: it says
 * which node and server has the task, and how that one calls it. Ids of different servers cannot
 * clash, and nobody can ask about another's task. */
#include "node/mcp/front_state.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define TASK_FORMAT 1
#define EXTENSION "io.modelcontextprotocol/tasks"

/* What is sealed; the service's name and then the server's own id follow. */
struct task_head {
    uint8_t format, service_size, node[sizeof(mn_id)];
};

_Static_assert(sizeof(struct task_head) == 2 + sizeof(mn_id), "no padding");

static mn_id task_context(const struct front_exchange *exchange)
{
    return sealed_context_list(exchange->service, mn_span_str("task"));
}

bool front_task_route(struct front *front, const struct front_exchange *exchange, struct mn_span id,
                      struct front_target *ret)
{
    mn_id context = task_context(exchange);
    struct task_head head;
    struct mn_span plain;

    if (!front_unseal(front, SEALED_TASK, &exchange->principal, &context, id, &plain) ||
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

/* Whether the client of the call said that it knows tasks. */
static bool task_is_known(struct front *front, const struct front_call *call)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const Meshnode__Gateway__Request *request = pb_unpack(
        &meshnode__gateway__request__descriptor, &front->scratch, mn_buf_span(call->payload));
    const struct json *capabilities;

    return request != NULL &&
           json_parse_copy(front->parser, pb_span(request->client_capabilities), limits,
                           &front->scratch, &capabilities) == MN_OK &&
           json_find_str(json_find_str(capabilities, "extensions"), EXTENSION) != NULL;
}

static struct mn_span task_seal(struct front *front, const struct front_call *call,
                                const mn_id *node, struct mn_span own)
{
    struct task_head head = {.format = TASK_FORMAT, .service_size = (uint8_t)call->service.size};
    mn_id context = task_context(call->exchange);
    struct mn_writer plain = {0};
    struct mn_span id;

    memcpy(head.node, node->bytes, sizeof head.node);
    mn_writer_add(&plain, mn_span(&head, sizeof head));
    mn_writer_add(&plain, call->service);
    mn_writer_add(&plain, own);
    id = front_seal(front, SEALED_TASK, &call->exchange->principal, &context, 0,
                    mn_buf_span(plain.buf));
    mn_writer_drop(&plain);
    return id;
}

/* [result] with another task id. */
static void task_write(struct mn_writer *writer, const struct json *result, struct mn_span id)
{
    bool is_first = true;

    mn_writer_str(writer, "{");
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
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
        !task_is_known(front, call))
        return false;
    id = task_seal(front, call, node, own);
    if (id.size == 0) return false;
    task_write(writer, result, id);
    return true;
}

struct mn_span front_task_renamed(struct front *front, const struct front_call *call,
                                  struct mn_span text)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct mn_writer writer = {0};
    const struct json *result;
    struct mn_span changed;

    if (json_parse_copy(front->parser, text, limits, &front->scratch, &result) != MN_OK ||
        !mn_span_equal(json_text(json_find_str(result, "taskId")), call->own))
        return text;
    task_write(&writer, result, call->uri);
    changed = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return changed;
}
