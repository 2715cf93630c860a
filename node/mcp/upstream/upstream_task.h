/* upstream_task.h: tools of legacy servers that run as tasks only (execution.taskSupport is
 * "required", revision 2025-11-25), for clients that have no tasks of that revision: modern ones,
 * and older legacy ones. The call begins as a task, its result is asked for, and the client waits
 * for it as for that of any other call: with its progress, its questions, and its cancelling. A
 * connection that breaks meanwhile is no end: the task is asked about again. */
#ifndef UPSTREAM_TASK_H
#define UPSTREAM_TASK_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_TASK_TTL_MS 3600000u            /* as long as a call may take */
#define UPSTREAM_TASK_RETRY MN_SEC               /* to a server that could not be asked */
#define UPSTREAM_TASK_RETRIES 60u                /* in a row */
#define UPSTREAM_TASK_ID_SIZE_MAX ((size_t)1024) /* bytes of a server's own id */

/* Whether the call has to begin as a task of ours. */
bool upstream_task_is_needed(const struct upstream *server,
                             const Meshnode__Gateway__Request *payload, const struct json *params);

/* Whether a client asks for a task where there are none: of 2025-11-25, of a modern server. */
bool upstream_task_is_refused(const struct upstream *server,
                              const Meshnode__Gateway__Request *payload, const struct json *params);

/* The answer to a call that was to begin as a task. True: it did, and its result is asked for. */
bool upstream_task_on_created(struct upstream_request *request, const struct json *result);

/* Asks for the result of the task that the call is; its server is ready. */
void upstream_task_ask(struct upstream_request *request);

/* Its result could not be asked for: it will be, again. False: not any more. */
bool upstream_task_again(struct upstream_request *request);

/* True: that was due, and is done. Whether anybody waits for the call just now says nothing. */
bool upstream_task_on_timer(struct upstream_request *request);

/* Nobody waits for it any more. */
void upstream_task_cancel(struct upstream_request *request);

/* The result of a task without saying of which: its client knows of none. */
struct mn_span upstream_task_result(struct upstream_host *host, const struct json *result);

/* The same for a large result, which is not copied for it: blanks take the place of what it says of
 * the task. False: that cannot be. */
bool upstream_task_blank(struct upstream_host *host, const struct json *result);

#endif
