/* The tasks that a session began, oldest first: of those that run it is told on its stream, and all
 * of them are what tasks/list shows. Other nodes know them by the session's record. */
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"

struct known {
    struct mn_list in_session;
    struct front_kept_task task; /* its texts are behind this struct */
};

static struct known *known_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct known, in_session);
}

static void known_free(struct front_session *session, struct known *known)
{
    mn_list_remove(&known->in_session);
    session->tasks_count--;
    session->tasks_told -= !known->task.is_quiet;
    mn_free(known);
}

static struct known *known_find(const struct front_session *session, struct mn_span id)
{
    MN_LIST_FOR_EACH (entry, &session->tasks)
        if (mn_span_equal(known_at(entry)->task.id, id)) return known_at(entry);
    return NULL;
}

static void known_follow(struct front *front, struct front_session *session,
                         const struct known *known)
{
    struct front_target target = {0};

    if (session->stream != NULL && !known->task.is_quiet &&
        front_task_route(front, &session->principal, session->service, known->task.id, &target))
        (void)front_subscribe_task(front, session->stream, &target, known->task.id);
}

/* The client is not told of it any more, but can still ask about it. */
static void known_quieten(struct front *front, struct front_session *session, struct known *known)
{
    if (known->task.is_quiet) return;
    if (session->stream != NULL) front_subscribe_task_over(front, session->stream, known->task.id);
    known->task.is_quiet = true;
    session->tasks_told--;
}

/* The oldest one; or of those of which it is told, or is not. NULL: there is none. */
static struct known *known_oldest(const struct front_session *session, bool is_quiet)
{
    MN_LIST_FOR_EACH (entry, &session->tasks)
        if (known_at(entry)->task.is_quiet == is_quiet) return known_at(entry);
    return NULL;
}

/* Those that are over go first: of the others somebody still wants the result. */
static void known_make_room(struct front *front, struct front_session *session, bool is_quiet)
{
    struct known *oldest;

    if (!is_quiet && session->tasks_told == FRONT_TASKS_MAX)
        known_quieten(front, session, known_oldest(session, false));
    if (session->tasks_count < FRONT_TASKS_KEPT) return;
    oldest = known_oldest(session, true);
    if (oldest == NULL) oldest = known_at(session->tasks.next);
    known_quieten(front, session, oldest);
    known_free(session, oldest);
}

/* Behind those that were begun before it. */
static void known_insert(struct front_session *session, struct known *known)
{
    struct mn_list *before = session->tasks.prev;

    while (before != &session->tasks && known_at(before)->task.number > known->task.number)
        before = before->prev;
    mn_list_push_front(before, &known->in_session);
    session->tasks_count++;
    session->tasks_told += !known->task.is_quiet;
    if (session->task_last < known->task.number) session->task_last = known->task.number;
}

void front_task_remember(struct front *front, struct front_session *session,
                         const struct front_kept_task *task)
{
    struct known *known = known_find(session, task->id);
    uint8_t *to;

    if (known != NULL) {
        if (task->is_quiet) known_quieten(front, session, known);
        return;
    }
    known_make_room(front, session, task->is_quiet);
    known = mn_alloc(sizeof *known + task->id.size + task->token.size);
    to = (uint8_t *)(known + 1);
    known->task = *task;
    if (task->number == 0) known->task.number = session->task_last + 1;
    known->task.id = mn_span(to, task->id.size);
    known->task.token = mn_span(to + task->id.size, task->token.size);
    memcpy(to, task->id.data, task->id.size);
    if (task->token.size > 0) memcpy(to + task->id.size, task->token.data, task->token.size);
    known_insert(session, known);
    known_follow(front, session, known);
}

struct mn_span front_task_token(const struct front_session *session, struct mn_span id)
{
    const struct known *known = known_find(session, id);
    return known == NULL ? mn_span(NULL, 0) : known->task.token;
}

void front_task_quieten(struct front *front, struct front_session *session, struct mn_span id)
{
    struct known *known = known_find(session, id);
    if (known != NULL) known_quieten(front, session, known);
}

void front_task_forget(struct front *front, struct front_session *session, struct mn_span id)
{
    struct known *known = known_find(session, id);

    if (known == NULL) return;
    known_quieten(front, session, known);
    known_free(session, known);
}

void front_task_stream(struct front *front, struct front_session *session)
{
    MN_LIST_FOR_EACH (entry, &session->tasks)
        known_follow(front, session, known_at(entry));
}

void *front_task_next(const struct front_session *session, void *at, struct front_kept_task *ret)
{
    struct mn_list *link = at == NULL ? session->tasks.next : ((struct mn_list *)at)->next;

    if (link == &session->tasks) return NULL;
    *ret = known_at(link)->task;
    return link;
}

void front_task_done(struct front_session *session)
{
    while (!mn_list_is_empty(&session->tasks))
        known_free(session, known_at(session->tasks.next));
}

void front_task_told(struct front *front, const struct front_call *call, const struct json *result)
{
    bool is_result = strcmp(call->method->name, "tasks/result") == 0;

    if (call->session == NULL || call->method->kind != NAMES_UI) return;
    if (is_result || front_task_is_over(json_text(json_find_str(result, "status"))))
        front_task_quieten(front, call->session, call->uri);
}
