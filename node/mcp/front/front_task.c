/* Tasks: a server answers a call by a task, which the client asks about later, perhaps at another
 * node. The id that it is given is sealed: it says which node and server has the task, and how that
 * one calls it. Ids of different servers cannot clash, and nobody can ask about another's task.
 * There are two kinds: the extension io.modelcontextprotocol/tasks of modern clients and servers,
 * and the tasks that are part of revision 2025-11-25, of legacy clients and servers. Neither is
 * shown to clients of the other era; a legacy tool that only runs as a task is run as one by the
 * node that serves it (upstream_task.c). */
#include "node/mcp/front/front_parts.h"

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
    mn_id context = task_context(call->exchange->service);
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
        !front_call_is_declared(front, call, "extensions", EXTENSION))
        return false;
    id = task_seal(front, call, node, own);
    if (id.size == 0) return false;
    task_write(writer, result, id);
    return true;
}

/* ---- the tasks of 2025-11-25, and ids wherever they stand ---- */

#define RELATED "io.modelcontextprotocol/related-task"
#define PLACES_MAX 3

static void task_place(const struct json *holder, struct mn_span id, struct mn_span *places,
                       uint32_t *count)
{
    const struct json *found = json_find_str(holder, "taskId");
    uint32_t at = *count;

    if (found == NULL || !mn_span_equal(json_text(found), id)) return;
    while (at > 0 && places[at - 1].data > found->raw.data)
        at--;
    for (uint32_t i = *count; i > at; i--)
        places[i] = places[i - 1];
    places[at] = found->raw;
    (*count)++;
}

struct mn_span front_task_rename(struct front *front, struct mn_span text, struct mn_span from,
                                 struct mn_span to)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 3, JSON_NODES_MAX};
    struct mn_span places[PLACES_MAX], changed;
    struct mn_writer writer = {0};
    const struct json *whole;
    const uint8_t *at;
    uint32_t count = 0;

    if (json_parse_copy(front->parser, text, limits, &front->scratch, &whole) != MN_OK) return text;
    task_place(whole, from, places, &count);
    task_place(json_find_str(whole, "task"), from, places, &count);
    task_place(json_find_str(json_find_str(whole, "_meta"), RELATED), from, places, &count);
    if (count == 0) return text;
    at = whole->raw.data;
    for (uint32_t i = 0; i < count; i++) {
        mn_writer_add(&writer, mn_span(at, (size_t)(places[i].data - at)));
        json_write_string(&writer, to);
        at = places[i].data + places[i].size;
    }
    mn_writer_add(&writer, mn_span(at, (size_t)(whole->raw.data + whole->raw.size - at)));
    changed = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return changed;
}

bool front_task_is_core(const char *version)
{
    return version != NULL && strcmp(version, "2025-11-25") == 0;
}

bool front_task_may_begin(const struct front_call *call)
{
    return call->session != NULL && call->exchange != NULL && call->method->kind == NAMES_TOOLS;
}

bool front_task_is_over(struct mn_span status)
{
    return mn_span_is(status, "completed") || mn_span_is(status, "failed") ||
           mn_span_is(status, "cancelled");
}

/* ---- those that a session began ---- */

struct known {
    struct mn_list in_session;
    struct mn_span id,
        token; /* behind this struct; token: the client's, of its progress, or empty */
};

static void known_free(struct front_session *session, struct known *known)
{
    mn_list_remove(&known->in_session);
    session->tasks_count--;
    mn_free(known);
}

static void task_follow(struct front *front, struct front_session *session, struct mn_span id)
{
    struct front_target target = {0};

    if (session->stream != NULL &&
        front_task_route(front, &session->principal, session->service, id, &target))
        (void)front_subscribe_task(front, session->stream, &target, id);
}

/* It is not told of that one any more, but can still ask about it. */
static void task_leave_oldest(struct front *front, struct front_session *session)
{
    struct known *known = MN_CONTAINER(session->tasks.next, struct known, in_session);

    if (session->stream != NULL) front_subscribe_task_over(front, session->stream, known->id);
    known_free(session, known);
}

static struct known *known_find(const struct front_session *session, struct mn_span id)
{
    MN_LIST_FOR_EACH (entry, &session->tasks) {
        struct known *known = MN_CONTAINER(entry, struct known, in_session);
        if (mn_span_equal(known->id, id)) return known;
    }
    return NULL;
}

void front_task_remember(struct front *front, struct front_session *session, struct mn_span id,
                         struct mn_span token)
{
    struct known *known;
    uint8_t *to;

    if (known_find(session, id) != NULL) return;
    if (session->tasks_count == FRONT_TASKS_MAX) task_leave_oldest(front, session);
    known = mn_alloc(sizeof *known + id.size + token.size);
    to = (uint8_t *)(known + 1);
    known->id = mn_span(to, id.size);
    known->token = mn_span(to + id.size, token.size);
    memcpy(to, id.data, id.size);
    if (token.size > 0) memcpy(to + id.size, token.data, token.size);
    mn_list_push_back(&session->tasks, &known->in_session);
    session->tasks_count++;
    task_follow(front, session, known->id);
}

struct mn_span front_task_token(const struct front_session *session, struct mn_span id)
{
    const struct known *known = known_find(session, id);
    return known == NULL ? mn_span(NULL, 0) : known->token;
}

void front_task_forget(struct front_session *session, struct mn_span id)
{
    struct known *known = known_find(session, id);
    if (known != NULL) known_free(session, known);
}

void front_task_stream(struct front *front, struct front_session *session)
{
    MN_LIST_FOR_EACH (entry, &session->tasks)
        task_follow(front, session, MN_CONTAINER(entry, struct known, in_session)->id);
}

void *front_task_next(const struct front_session *session, void *at, struct mn_span *id,
                      struct mn_span *token)
{
    struct mn_list *link = at == NULL ? session->tasks.next : ((struct mn_list *)at)->next;

    if (link == &session->tasks) return NULL;
    *id = MN_CONTAINER(link, struct known, in_session)->id;
    *token = MN_CONTAINER(link, struct known, in_session)->token;
    return link;
}

void front_task_done(struct front_session *session)
{
    while (!mn_list_is_empty(&session->tasks))
        known_free(session, MN_CONTAINER(session->tasks.next, struct known, in_session));
}

void front_task_told(struct front *front, const struct front_call *call, const struct json *result)
{
    bool is_result = strcmp(call->method->name, "tasks/result") == 0;
    struct front_session *session = call->session;

    if (session == NULL || call->method->kind != NAMES_UI) return;
    if (!is_result && !front_task_is_over(json_text(json_find_str(result, "status")))) return;
    front_task_forget(session, call->uri);
    if (session->stream != NULL) front_subscribe_task_over(front, session->stream, call->uri);
}

bool front_task_begun(struct front *front, const struct front_call *call, const mn_id *node,
                      const struct json **result)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *task = json_find_str(*result, "task"), *renamed;
    struct mn_span own, id;

    if (!front_task_may_begin(call) || task == NULL || !task->is_kept) return true;
    own = json_text(json_find_str(task, "taskId"));
    if (own.size == 0 || json_find_str(*result, "content") != NULL) return true;
    id = task_seal(front, call, node, own);
    if (id.size == 0) return false;
    if (!front_task_is_over(json_text(json_find_str(task, "status")))) {
        front_task_remember(front, call->session, id, call->progress);
        front_record_save(front, call->session); /* it is told wherever its session goes */
    }
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

struct mn_span front_task_own(struct front *front, const struct front_call *call,
                              struct mn_span text)
{
    return front_task_rename(front, text, call->uri, call->own);
}
