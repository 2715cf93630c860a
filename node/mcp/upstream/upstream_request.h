/* upstream_request.h: what was asked of a server and is not answered yet. Every request has an id
 * of ours, which is also its progress token; the caller's id and token never get here. */
#ifndef UPSTREAM_REQUEST_H
#define UPSTREAM_REQUEST_H

#include "node/mcp/upstream/upstream.h"

/* One that is in no table yet. */
struct upstream_request *upstream_request_alloc(struct upstream *server,
                                                enum upstream_request_kind kind);

/* Gives it a fresh id and enters it among what was sent. */
void upstream_request_enter(struct upstream_request *request);

/* Takes it out again, as far as it is in: an answer would come too late. */
void upstream_request_recall(struct upstream_request *request);

/* A request of our own, entered, to be sent now; [timeout] MN_TIME_NEVER: none. */
struct upstream_request *upstream_request_new(struct upstream *server,
                                              enum upstream_request_kind kind, mn_time timeout);

/* Sends it; takes the ref of [text]. */
void upstream_request_carry(struct upstream_request *request, struct mn_buf *text,
                            const char *method);

/* Out of every table; what carries it is let go. Answers nobody. */
void upstream_request_free(struct upstream_request *request);

/* The request with this id; NULL: none, or another server's. */
struct upstream_request *upstream_request_find(struct upstream *server, uint64_t id);
struct upstream_request *upstream_request_of_kind(struct upstream *server,
                                                  enum upstream_request_kind kind);

/* It was answered: by a message, or over HTTP by a status alone (message NULL). The caller forgets
 * it. */
void upstream_request_answered(struct upstream_request *request,
                               const struct jsonrpc_message *message, uint32_t code);

/* It will not be answered: what carried it broke. Frees it. */
void upstream_request_failed(struct upstream_request *request, enum call_failure failure,
                             const char *text);
void upstream_request_on_timer(struct upstream_request *request);

/* Lets go of those for its lists; of all of a server's but calls. */
void upstream_request_drop_lists(struct upstream *server);
void upstream_request_drop_own(struct upstream *server);

#endif
