/* front_tasks.h: tasks of servers, and clients' own (2025-11-25); by the file that has it. */
#ifndef FRONT_TASKS_H
#define FRONT_TASKS_H

#include "node/mcp/front/front_state.h"

struct Meshnode__Record__Session;

/* ---- front_task.c ---- */

/* Who has the task of a sealed id. False: it is none of ours. */
bool front_task_route(struct front *front, const mn_id *principal, struct mn_span service,
                      struct mn_span id, struct front_target *ret);

/* The same text with [to] where a task is called [from]: as taskId, in "task", and in _meta. */
struct mn_span front_task_rename(struct front *front, struct mn_span text, struct mn_span from,
                                 struct mn_span to);

/* An object with another taskId, and without one member (NULL: with all). */
void front_task_write(struct mn_writer *writer, const struct json *result, struct mn_span id,
                      const char *without);

/* Of either era: that a task of this status does not change any more. */
bool front_task_is_over(struct mn_span status);

/* Writes a result that is a task, under a sealed id. False: the client knows no tasks. */
bool front_task_created(struct front *front, const struct front_call *call, const mn_id *node,
                        const struct json *result, struct mn_writer *writer);

/* Whether this revision has tasks of its own: 2025-11-25. */
bool front_task_is_core(const char *version);

/* Whether the call may become a task of that revision; then its result is parsed two levels deep.
 */
bool front_task_may_begin(const struct front_call *call);

/* The result of a call that became a task of that revision ([is_new]), under a sealed id; else as
 * it is. False: its id cannot be sealed. */
bool front_task_begun(struct front *front, const struct front_call *call, const mn_id *node,
                      const struct json **result, bool *is_new);

/* What a server says about a task, under the id that the client knows; and what the client says
 * about it, under the server's own. */
struct mn_span front_task_renamed(struct front *front, const struct front_call *call,
                                  struct mn_span text);

/* The same where it asks about another task, one of the client's: only what that is related to. */
struct mn_span front_task_related(struct front *front, const struct front_call *call,
                                  struct mn_span text);
struct mn_span front_task_own(struct front *front, const struct front_call *call,
                              struct mn_span text);

/* ---- front_task_known.c ---- */

struct front_kept_task {
    struct mn_span id;    /* as the client knows it */
    struct mn_span token; /* of its progress, JSON; empty: none */
    uint64_t number;      /* the how manieth of its session it is; 0: the next */
    bool is_quiet;        /* the client is not told of it (any more): it is over, or of too many */
};

/* The session began that task (again: it came with the session). While the session has a stream it
 * is told of it there, no longer once that is over. */
void front_task_remember(struct front *front, struct front_session *session,
                         const struct front_kept_task *task);
struct mn_span front_task_token(const struct front_session *session, struct mn_span id);
void front_task_quieten(struct front *front, struct front_session *session, struct mn_span id);
void front_task_forget(struct front *front, struct front_session *session, struct mn_span id);
void front_task_stream(struct front *front, struct front_session *session);

/* Walks them, oldest first: starts and ends with NULL. */
void *front_task_next(const struct front_session *session, void *at, struct front_kept_task *ret);
void front_task_done(struct front_session *session);

/* A client of a session hears the result of a request about its task (NULL: an error). */
void front_task_told(struct front *front, const struct front_call *call, const struct json *result);

/* ---- front_task_list.c ---- */

/* tasks/list of a session: those that it began, and nobody else's. */
void front_task_list(struct front *front, struct front_exchange *exchange,
                     struct front_session *session, const struct jsonrpc_message *message);

/* False: the event is none of ours. */
bool front_task_list_on_event(struct front *front, const struct call_event *event);
void front_task_list_done(struct front *front);

/* ---- front_theirs.c ---- */

/* The client's answer to a question of that server, of which two levels were kept: if it is a task,
 * that is remembered. */
void front_theirs_begun(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node, const struct json *result);

/* Whether that server may ask that: of tasks only about those that it began. */
bool front_theirs_may_ask(const struct front_session *session, struct mn_span service,
                          const char *method, const struct json *params);

/* The client's list, without what that server did not begin. */
struct mn_span front_theirs_listed(struct front *front, const struct front_session *session,
                                   struct mn_span service, struct mn_span result);

/* notifications/tasks/status of a client. */
void front_theirs_status(struct front *front, struct front_session *session,
                         const struct json *params);

/* Into the record of the session, and out of that of another node. */
void front_theirs_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_theirs_read(struct front_session *session,
                       const struct Meshnode__Record__Session *record);
void front_theirs_done(struct front_session *session);

#endif
