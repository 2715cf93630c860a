/* upstream_message.h: JSON-RPC texts to a server, in the shape of its era. */
#ifndef UPSTREAM_MESSAGE_H
#define UPSTREAM_MESSAGE_H

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/wire/pieces.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_NS "io.modelcontextprotocol/"

/* All return a text that the caller owns; for a child it ends with a newline and has no other. */
struct mn_buf *upstream_message_discover(struct upstream *server, uint64_t id);
struct mn_buf *upstream_message_initialize(struct upstream *server, uint64_t id);
#define UPSTREAM_ROOTS_CHANGED "notifications/roots/list_changed"
#define UPSTREAM_TASK_STATUS "notifications/tasks/status" /* of a client's own */

struct mn_buf *upstream_message_initialized(struct upstream *server);
struct mn_buf *upstream_message_notification(struct upstream *server, const char *method,
                                             const struct json *params);
struct mn_buf *upstream_message_ping(struct upstream *server, uint64_t id);
struct mn_buf *upstream_message_list(struct upstream *server, uint64_t id, const char *method,
                                     struct mn_span cursor);
struct mn_buf *upstream_message_listen(struct upstream *server, uint64_t id);
struct mn_buf *upstream_message_set_level(struct upstream *server, uint64_t id,
                                          enum loglevel level);
struct mn_buf *upstream_message_uri(struct upstream *server, uint64_t id, const char *method,
                                    struct mn_span uri);
struct mn_buf *upstream_message_cancelled(struct upstream *server, uint64_t id);

/* A request about a task of 2025-11-25, by the server's own id. */
struct mn_buf *upstream_message_task(struct upstream *server, uint64_t id, const char *method,
                                     struct mn_span task);

/* Sends our response to a request of the server; takes what [writer] holds. */
void upstream_message_reply(struct upstream *server, struct mn_writer *writer);

/* [params] (kept to one level inside _meta) go verbatim, but for the keys in _meta that belong to a
 * hop: those are dropped, and ours put in. To [text], without the end of a line, whose source is
 * what they are part of, if that is large. */
void upstream_message_call(struct upstream *server, const struct upstream_request *call,
                           const Meshnode__Gateway__Request *payload, const struct json *params,
                           struct pieces *text);

/* [params] without its member [name], verbatim otherwise. */
struct mn_span upstream_message_without(struct upstream_host *host, const struct json *params,
                                        const char *name);

#endif
