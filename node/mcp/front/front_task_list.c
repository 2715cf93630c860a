/* tasks/list of 2025-11-25. A server lists the tasks of all clients of its session, which here may
 * be many; so its list is not asked for: a session's own tasks are known (front_task_known.c), and
 * the state of each comes from its server, a page at a time. Neither another client's task nor the
 * time that a hung server takes gets into a list. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define PAGE 16
#define TIME_ONE (10 * MN_SEC)         /* of the only server of an endpoint */
#define TIME_MANY (800 * MN_MS)        /* of each of several: they do not wait for one of them */
#define AWAY_KEY "meshnode/unanswered" /* in _meta: servers whose tasks are missing */
#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

/* A task of a page. */
struct listed {
    struct mn_map_entry by_ticket; /* in front->listed, while its server is asked */
    uint64_t ticket;
    struct page *page;
    struct mn_buf *id;   /* as the client knows it */
    struct mn_buf *task; /* what its server says; NULL: nothing, or nothing yet */
    bool is_away;        /* its server did not say */
};

/* The client may be gone, and its session ended, before the last answer: then it is for nobody. */
struct page {
    uint64_t exchange;
    uint8_t handle[FRONT_DIGEST_SIZE]; /* of the session */
    struct mn_buf *request;            /* the client's id of it, verbatim */
    uint64_t next; /* the next page begins behind that number; 0: there is none */
    uint32_t count, open_count;
    struct listed tasks[PAGE];
};

struct cursor {
    uint8_t session[FRONT_DIGEST_SIZE], number[8];
};

static void page_free(struct front *front, struct page *page)
{
    for (uint32_t i = 0; i < page->count; i++) {
        if (page->tasks[i].ticket != 0) mn_map_remove(&front->listed, &page->tasks[i].by_ticket);
        mn_buf_unref(page->tasks[i].id);
        mn_buf_unref(page->tasks[i].task);
    }
    mn_buf_unref(page->request);
    mn_free(page);
}

/* ---- what is asked ---- */

static struct mn_buf *listed_payload(struct front *front, const struct front_session *session,
                                     struct mn_span own)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct mn_writer params = {0};
    char method[] = "tasks/get";
    struct mn_buf *payload;

    mn_writer_str(&params, "{\"taskId\":");
    json_write_string(&params, own);
    mn_writer_str(&params, "}");
    request.method = method;
    request.params = pb_bytes(mn_buf_span(params.buf));
    request.session = pb_bytes(mn_span(session->alias, sizeof session->alias));
    request.client_info = pb_bytes(session->client_info);
    request.client_capabilities = pb_bytes(session->client_capabilities);
    request.protocol_version =
        (char *)(uintptr_t)mn_arena_copy(&front->scratch, mn_span_str(session->version)).data;
    request.principal = pb_id_bytes(&session->principal);
    payload = pb_pack(&request.base);
    mn_writer_drop(&params);
    return payload;
}

static void listed_ask(struct front *front, const struct front_session *session,
                       struct listed *listed)
{
    bool is_one = !front_about_is_aggregated(session->service);
    struct call_outbox *calls = front->outbox->calls;
    struct front_target target = {0};

    if (!front_task_route(front, &session->principal, session->service, mn_buf_span(listed->id),
                          &target))
        return;
    listed->ticket = ++front->ticket_last;
    listed->page->open_count++;
    mn_map_insert(&front->listed, &listed->by_ticket,
                  mn_span(&listed->ticket, sizeof listed->ticket));
    call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
        .ticket = listed->ticket,
        .service = mn_arena_copy(calls->arena, target.services[0]),
        .payload = listed_payload(front, session, target.own),
        .timeout = is_one ? TIME_ONE : TIME_MANY,
        .timeout_total = is_one ? TIME_ONE : TIME_MANY,
        .is_idempotent = true,
        .node = target.node,
    };
}

/* ---- the page ---- */

static mn_id page_context(const struct front_session *session)
{
    return sealed_context_list(session->service, mn_span_str("tasks/list"));
}

static void page_write_cursor(struct front *front, struct mn_writer *writer,
                              const struct front_session *session, uint64_t number)
{
    mn_id context = page_context(session);
    struct cursor cursor;

    memcpy(cursor.session, session->handle, sizeof cursor.session);
    mn_store_u64(cursor.number, number);
    mn_writer_str(writer, ",\"nextCursor\":");
    json_write_string(writer, front_seal(front, SEALED_CURSOR, &session->principal, &context, 0,
                                         mn_span(&cursor, sizeof cursor)));
}

/* The number behind which the page begins. As front_unseal() says; MN_NOT_FOUND: another session's.
 */
static mn_status page_begin(struct front *front, const struct front_session *session,
                            const struct json *json, uint64_t *ret)
{
    mn_id context = page_context(session);
    struct cursor cursor;
    struct mn_span opened;
    mn_status status;

    *ret = 0;
    if (json == NULL || json->type == JSON_NULL) return MN_OK;
    if (json->type != JSON_STRING) return MN_MALFORMED;
    status = front_unseal(front, SEALED_CURSOR, &session->principal, &context, json->text, &opened);
    if (status != MN_OK) return status;
    if (opened.size != sizeof cursor) return MN_MALFORMED;
    memcpy(&cursor, opened.data, sizeof cursor);
    *ret = mn_load_u64(cursor.number);
    return memcmp(cursor.session, session->handle, sizeof cursor.session) == 0 ? MN_OK
                                                                               : MN_NOT_FOUND;
}

/* Which servers did not say, each once. */
static void page_write_away(struct front *front, struct mn_writer *writer,
                            const struct front_session *session, const struct page *page)
{
    struct mn_span seen[PAGE];
    uint32_t count = 0;

    for (uint32_t i = 0; i < page->count; i++) {
        struct front_target target = {0};
        bool is_seen = !page->tasks[i].is_away ||
                       !front_task_route(front, &session->principal, session->service,
                                         mn_buf_span(page->tasks[i].id), &target);
        for (uint32_t k = 0; k < count && !is_seen; k++)
            is_seen = mn_span_equal(seen[k], target.services[0]);
        if (is_seen) continue;
        mn_writer_str(writer, count == 0 ? ",\"_meta\":{\"" AWAY_KEY "\":[" : ",");
        json_write_string(writer, target.services[0]);
        seen[count++] = target.services[0];
    }
    if (count > 0) mn_writer_str(writer, "]}");
}

static bool page_is_broken(const struct front_session *session, const struct page *page)
{
    if (front_about_is_aggregated(session->service)) return false;
    for (uint32_t i = 0; i < page->count; i++)
        if (page->tasks[i].is_away) return true;
    return false;
}

static void page_write(struct front *front, struct mn_writer *writer,
                       const struct front_session *session, const struct page *page)
{
    const char *comma = "";

    mn_writer_str(writer, "{\"tasks\":[");
    for (uint32_t i = 0; i < page->count; i++) {
        if (page->tasks[i].task == NULL) continue;
        mn_writer_str(writer, comma);
        mn_writer_add(writer, mn_buf_span(page->tasks[i].task));
        comma = ",";
    }
    mn_writer_str(writer, "]");
    if (page->next != 0) page_write_cursor(front, writer, session, page->next);
    page_write_away(front, writer, session, page);
    mn_writer_str(writer, "}");
}

/* Everybody has answered, or will not. */
static void page_done(struct front *front, struct page *page)
{
    struct mn_map_entry *found =
        mn_map_find(&front->exchanges, mn_span(&page->exchange, sizeof page->exchange));
    struct mn_map_entry *whose =
        mn_map_find(&front->sessions_by_handle, mn_span(page->handle, sizeof page->handle));
    struct front_exchange *exchange =
        found == NULL ? NULL : MN_CONTAINER(found, struct front_exchange, by_id);
    struct front_session *session =
        whose == NULL ? NULL : MN_CONTAINER(whose, struct front_session, by_handle);
    struct mn_writer result = {0};
    struct mn_span id = mn_buf_span(page->request);

    if (exchange == NULL) {
        page_free(front, page);
        return;
    }
    if (session == NULL) {
        FAIL(200, id, JSONRPC_INTERNAL, "the session ended while its tasks were listed");
    } else if (page_is_broken(session, page)) {
        FAIL(200, id, JSONRPC_INTERNAL, "the server does not say how its tasks are; try again");
    } else {
        page_write(front, &result, session, page);
        front_reply_result(front, exchange, id, mn_buf_span(result.buf));
    }
    mn_writer_drop(&result);
    page_free(front, page);
}

void front_task_list(struct front *front, struct front_exchange *exchange,
                     struct front_session *session, const struct jsonrpc_message *message)
{
    struct front_kept_task task;
    struct page *page;
    mn_status status;
    uint64_t begin;

    if (!front_about_lists_tasks(front, session)) {
        FAIL(200, message->id, JSONRPC_METHOD_NOT_FOUND, "Method not found");
        return;
    }
    status = page_begin(front, session, json_find_str(message->params, "cursor"), &begin);
    if (status != MN_OK) {
        FAIL(front_seal_code(status, 200), message->id, JSONRPC_INVALID_PARAMS, "unknown cursor");
        return;
    }
    if (front->calls.count + front->listed.count + PAGE > MCP_CALLS_MAX) {
        FAIL(200, message->id, JSONRPC_INTERNAL,
             "this node has too many calls under way; try again");
        return;
    }
    page = mn_alloc(sizeof *page);
    page->exchange = exchange->id;
    memcpy(page->handle, session->handle, sizeof page->handle);
    page->request = mn_buf_copy(message->id);
    for (void *at = NULL; (at = front_task_next(session, at, &task)) != NULL;) {
        if (task.number <= begin) continue;
        if (page->count == PAGE) {
            page->next = begin;
            break;
        }
        begin = task.number;
        page->tasks[page->count].page = page;
        page->tasks[page->count++].id = mn_buf_copy(task.id);
    }
    for (uint32_t i = 0; i < page->count; i++)
        listed_ask(front, session, &page->tasks[i]);
    if (page->open_count == 0) page_done(front, page);
}

/* ---- what is said ---- */

/* The task under the id that its client knows, without what is about the answer. */
static void listed_on_result(struct front *front, struct front_session *session,
                             struct listed *listed, struct mn_span text)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct mn_span id = mn_buf_span(listed->id), status;
    struct mn_writer writer = {0};
    const struct json *task;

    if (json_parse_copy(front->parser, text, limits, &front->scratch, &task) != MN_OK ||
        !json_is(json_find_str(task, "taskId"), JSON_STRING))
        return;
    status = json_text(json_find_str(task, "status"));
    front_task_write(&writer, task, id, "_meta");
    listed->task = mn_writer_done(&writer);
    if (session != NULL && front_task_is_over(status)) front_task_quieten(front, session, id);
}

static void listed_on_last(struct front *front, struct front_session *session,
                           struct listed *listed, const struct call_event *event)
{
    const Meshnode__Gateway__Event *payload = NULL;

    if (event->kind == CALL_EVENT_RESULT && event->payload != NULL)
        payload = pb_view(&meshnode__gateway__event__descriptor, &front->scratch,
                          mn_buf_span(event->payload));
    if (payload == NULL) {
        listed->is_away = true;
    } else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_RESULT) {
        listed_on_result(front, session, listed, pb_span(payload->result));
    } else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ERROR &&
               payload->error->code == JSONRPC_INVALID_PARAMS && session != NULL) {
        MN_PROBE("front: a task that its server does not know any more");
        front_task_forget(front, session, mn_buf_span(listed->id));
    }
}

bool front_task_list_on_event(struct front *front, const struct call_event *event)
{
    struct mn_map_entry *entry =
        mn_map_find(&front->listed, mn_span(&event->ticket, sizeof event->ticket));
    struct mn_map_entry *whose;
    struct listed *listed;

    if (entry == NULL) return false;
    if (event->kind == CALL_EVENT_PROGRESS) return true;
    listed = MN_CONTAINER(entry, struct listed, by_ticket);
    mn_map_remove(&front->listed, entry);
    listed->ticket = 0;
    whose = mn_map_find(&front->sessions_by_handle,
                        mn_span(listed->page->handle, sizeof listed->page->handle));
    listed_on_last(front,
                   whose == NULL ? NULL : MN_CONTAINER(whose, struct front_session, by_handle),
                   listed, event);
    if (--listed->page->open_count == 0) page_done(front, listed->page);
    return true;
}

void front_task_list_done(struct front *front)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&front->listed, NULL)) != NULL)
        page_free(front, MN_CONTAINER(entry, struct listed, by_ticket)->page);
    mn_map_done(&front->listed);
}
