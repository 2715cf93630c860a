/* upstream_request.h: what was asked of a server and is not answered yet: our own requests, and the
 * calls the core wants served. Every request has an id of ours, which is also its progress token;
 * the caller's id and token never get here. */
#ifndef UPSTREAM_REQUEST_H
#define UPSTREAM_REQUEST_H

#include "node/mcp/upstream.h"

/* A new request of [kind], in the tables, to be sent now; [timeout] MN_TIME_NEVER: none. */
struct upstream_request *upstream_request_new(struct upstream *server,
                                              enum upstream_request_kind kind, mn_time timeout);

/* Sends a request of our own; takes the ref of [text]. */
void upstream_request_carry(struct upstream_request *request, struct mn_buf *text,
                            const char *method);

/* Writes it out of the tables; what carries it is let go. Answers nobody. */
void upstream_request_free(struct upstream_request *request);

/* The request of ours with this id; NULL: none, or another server's. */
struct upstream_request *upstream_request_find(struct upstream *server, uint64_t id);
struct upstream_request *upstream_request_of_kind(struct upstream *server,
                                                  enum upstream_request_kind kind);

/* It was answered: by a message, or over HTTP by a status alone (message NULL). Frees it. */
void upstream_request_answered(struct upstream_request *request,
                               const struct jsonrpc_message *message, uint32_t code);

/* It will not be answered: what carried it broke. Frees it. */
void upstream_request_failed(struct upstream_request *request, enum call_failure failure,
                             const char *text);
void upstream_request_on_timer(struct upstream_request *request);

/* notifications/progress and notifications/message for a call. */
void upstream_request_on_progress(struct upstream *server, const struct json *params);
void upstream_request_on_log(struct upstream_request *request, const struct json *params);

/* The core's calls. */
void upstream_request_serve(struct upstream_host *host, const struct call_request *call);
void upstream_request_cancel(struct upstream_host *host, uint64_t ticket);

/* Sends what waited; fails everything that waits; fails or drops everything that was sent. */
void upstream_request_flush_queue(struct upstream *server);
void upstream_request_fail_queue(struct upstream *server, const char *text);
void upstream_request_fail_sent(struct upstream *server, enum call_failure failure,
                                const char *text);
void upstream_request_drop_own(struct upstream *server); /* all but calls */

#endif
