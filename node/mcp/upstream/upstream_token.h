/* upstream_token.h: progress of tasks that clients began themselves (legacy, revision 2025-11-25).
 * The progress token of the call that began one is good for the task's whole life, but that call is
 * answered at once: so the token is remembered with the server's id of the task, and what is
 * reported under it goes to whoever wants to hear of that task (upstream_watch.h). */
#ifndef UPSTREAM_TOKEN_H
#define UPSTREAM_TOKEN_H

#include "node/mcp/upstream/upstream.h"

#define UPSTREAM_TOKENS_MAX 256u /* of one session with a server; the oldest is forgotten */

/* The result of a call: perhaps a task. */
void upstream_token_note(struct upstream_request *request, const struct json *result);

/* Whose progress is reported under that token; empty: none's. Good until the next step. */
struct mn_span upstream_token_task(struct upstream *server, uint64_t token);

/* The task is over; all tokens of the session are. */
void upstream_token_forget(struct upstream *server, struct mn_span id);
void upstream_token_forget_all(struct upstream *server);

#endif
