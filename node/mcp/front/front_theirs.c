/* Tasks that clients have (2025-11-25): a client answers what a server asks by a task, and the
 * server asks how it is. Their ids are the client's own, and a server asks in a session that no
 * other client shares; but at /mcp and views one client answers many servers. So it is remembered
 * which server each task is of: no other is told of it. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define STATUS "notifications/tasks/status"
#define THEIRS_MAX 64u             /* of a session; the oldest makes room */
#define ID_MAX 256u                /* bytes; others are not remembered */
#define RECORD_SIZE ((size_t)8192) /* bytes of them in the record */
#define TIMEOUT (10 * MN_SEC)

struct theirs {
    struct mn_list in_session;
    mn_id node;
    struct mn_span id, service; /* behind this struct */
};

static struct theirs *theirs_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct theirs, in_session);
}

static void theirs_free(struct front_session *session, struct theirs *theirs)
{
    mn_list_remove(&theirs->in_session);
    session->theirs_count--;
    mn_free(theirs);
}

static struct theirs *theirs_find(const struct front_session *session, struct mn_span id)
{
    MN_LIST_FOR_EACH (link, &session->theirs)
        if (mn_span_equal(theirs_at(link)->id, id)) return theirs_at(link);
    return NULL;
}

static void theirs_add(struct front_session *session, struct mn_span id, struct mn_span service,
                       const mn_id *node)
{
    struct theirs *theirs = theirs_find(session, id);

    if (id.size == 0 || id.size > ID_MAX || service.size > CALL_NAME_MAX) return;
    if (theirs != NULL) theirs_free(session, theirs);
    if (session->theirs_count == THEIRS_MAX) theirs_free(session, theirs_at(session->theirs.next));
    theirs = mn_alloc(sizeof *theirs + id.size + service.size);
    theirs->node = *node;
    theirs->id = mn_span(theirs + 1, id.size);
    memcpy(theirs + 1, id.data, id.size);
    theirs->service = mn_span(theirs->id.data + id.size, service.size);
    memcpy((uint8_t *)(theirs + 1) + id.size, service.data, service.size);
    mn_list_push_back(&session->theirs, &theirs->in_session);
    session->theirs_count++;
}

static bool theirs_is_of(const struct front_session *session, struct mn_span service,
                         struct mn_span id)
{
    const struct theirs *theirs = theirs_find(session, id);
    return theirs != NULL && mn_span_equal(theirs->service, service);
}

void front_theirs_begun(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node, const struct json *result)
{
    struct mn_span id = json_text(json_find_str(json_find_str(result, "task"), "taskId"));

    if (id.size == 0) return;
    MN_PROBE("front: a client makes a task of what it is asked");
    theirs_add(session, id, service, node);
    front_orphan_save(front, session); /* the client may have answered at another node */
}

bool front_theirs_may_ask(const struct front_session *session, struct mn_span service,
                          const char *method, const struct json *params)
{
    if (strncmp(method, "tasks/", 6) != 0 || strcmp(method, "tasks/list") == 0) return true;
    return !front_about_is_aggregated(session->service) ||
           theirs_is_of(session, service, json_text(json_find_str(params, "taskId")));
}

struct mn_span front_theirs_listed(struct front *front, const struct front_session *session,
                                   struct mn_span service, struct mn_span result)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 3, JSON_NODES_MAX};
    const struct json *whole, *tasks;
    struct mn_writer writer = {0};
    const char *comma = "";
    const uint8_t *end;

    if (!front_about_is_aggregated(session->service)) return result;
    if (json_parse_copy(front->parser, result, limits, &front->scratch, &whole) != MN_OK)
        return mn_span_str("null");
    tasks = json_find_str(whole, "tasks");
    if (!json_is(tasks, JSON_ARRAY)) return mn_span_str("null");
    mn_writer_add(&writer, mn_span(whole->raw.data, (size_t)(tasks->raw.data - whole->raw.data)));
    mn_writer_str(&writer, "[");
    for (const struct json *task = json_first(tasks); task != NULL; task = json_next(tasks, task)) {
        if (!theirs_is_of(session, service, json_text(json_find_str(task, "taskId")))) continue;
        mn_writer_str(&writer, comma);
        mn_writer_add(&writer, task->raw);
        comma = ",";
    }
    mn_writer_str(&writer, "]");
    end = tasks->raw.data + tasks->raw.size;
    mn_writer_add(&writer, mn_span(end, (size_t)(whole->raw.data + whole->raw.size - end)));
    result = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return result;
}

void front_theirs_status(struct front *front, struct front_session *session,
                         const struct json *params)
{
    const struct theirs *theirs = theirs_find(session, json_text(json_find_str(params, "taskId")));
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    struct call_outbox *calls = front->outbox->calls;
    char method[] = STATUS;

    if (theirs == NULL) return;
    request.method = method;
    request.params = pb_bytes(params->raw);
    request.session = pb_bytes(mn_span(session->alias, sizeof session->alias));
    request.client_capabilities = pb_bytes(session->client_capabilities);
    request.principal = pb_id_bytes(&session->principal);
    call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
        .ticket = ++front->ticket_last,
        .service = mn_arena_copy(calls->arena, theirs->service),
        .payload = pb_pack(&request.base),
        .timeout = TIMEOUT,
        .timeout_total = TIMEOUT,
        .node = theirs->node,
    };
}

/* ---- with the session ---- */

void front_theirs_pack(struct front *front, const struct front_session *session,
                       Meshnode__Record__Session *record)
{
    size_t size = 0;

    record->theirs = mn_arena_alloc(&front->scratch, THEIRS_MAX * sizeof *record->theirs);
    for (const struct mn_list *link = session->theirs.prev; link != &session->theirs;
         link = link->prev) { /* the newest first: what does not fit is oldest */
        const struct theirs *theirs = theirs_at(link);
        Meshnode__Record__Theirs *kept = mn_arena_alloc(&front->scratch, sizeof *kept);
        size += theirs->id.size + theirs->service.size + sizeof theirs->node;
        if (size > RECORD_SIZE) return;
        meshnode__record__theirs__init(kept);
        kept->id = pb_bytes(theirs->id);
        kept->service = pb_bytes(theirs->service);
        kept->node = pb_id_bytes(&theirs->node);
        record->theirs[record->n_theirs++] = kept;
    }
}

void front_theirs_read(struct front_session *session, const Meshnode__Record__Session *record)
{
    for (size_t i = record->n_theirs; i-- > 0;) {
        mn_id node;
        if (pb_id(record->theirs[i]->node, &node) == MN_OK)
            theirs_add(session, pb_span(record->theirs[i]->id), pb_span(record->theirs[i]->service),
                       &node);
    }
}

void front_theirs_done(struct front_session *session)
{
    while (!mn_list_is_empty(&session->theirs))
        theirs_free(session, theirs_at(session->theirs.next));
}
