/* upstream_answer.h: what a server says to a call: its answer, progress, log messages. */
#ifndef UPSTREAM_ANSWER_H
#define UPSTREAM_ANSWER_H

#include "node/mcp/upstream/upstream.h"

/* [request] was answered, by a message or over HTTP by a status alone (message NULL; code 0: the
 * answer broke off). Mostly frees it: some answers say that it was not executed, and it waits to be
 * sent once more. */
void upstream_answer_on_message(struct upstream_request *request,
                                const struct jsonrpc_message *message, uint32_t code);

/* notifications/progress, notifications/message. */
void upstream_answer_on_progress(struct upstream *server, const struct json *params);
void upstream_answer_on_log(struct upstream_request *request, const struct json *params);

/* notifications/elicitation/complete: what the client was sent to a URL for is done. */
void upstream_answer_on_elicited(struct upstream_request *request, const struct json *params);

/* The server ended the stream of the call, and goes on when it is asked again after [delay]. False:
 * its client need not know. */
bool upstream_answer_on_away(struct upstream_request *request, mn_time delay);

/* A result made here. */
void upstream_answer_result(struct upstream_request *request, struct mn_span result);

/* The result of a tool that failed, with [text] for its model. */
void upstream_answer_tool_error(struct upstream_request *request, struct mn_span text);

#endif
