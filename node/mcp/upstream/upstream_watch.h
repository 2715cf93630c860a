/* upstream_watch.h: resources and tasks of a server that others want to hear of. Each node that has
 * interested clients holds one lasting call (subscriptions/listen) per server and says into it
 * which URIs it wants; a URI that several want is subscribed to once. A legacy server is told by
 * resources/subscribe and unsubscribe, a modern one by one listen with all URIs. After a restart of
 * the server, or of its session, all is subscribed to again.
 *
 * Whoever wishes for a URI is told whether the server takes the subscription. One that is refused
 * is not wished for any more: who wishes for it anew has it asked for anew. A URI is reported as
 * updated whenever it was subscribed to anew or its stream began anew, because something may have
 * been missed. So that nothing is missed at the first time, a legacy server is asked after the
 * stream has begun on which it tells, or has not for a while.
 *
 * Tasks are wished for by the server's own id. A modern server is told of them in the same listen;
 * a legacy one tells of its tasks unasked, and what it says in a session that belongs to one client
 * is for that client's wish alone, for others may have a task of the same id. */
#ifndef UPSTREAM_WATCH_H
#define UPSTREAM_WATCH_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_WATCH_URIS_MAX 10000     /* of one call; more are ignored */
#define UPSTREAM_TOPICS_MAX 20000         /* of one server */
#define UPSTREAM_WATCH_TASKS_MAX 1000     /* of one call; more are ignored */
#define UPSTREAM_WATCH_DELAY (20 * MN_MS) /* changes within it make one listen */
#define UPSTREAM_STREAM_WAIT MN_SEC       /* then a legacy server is asked without its stream */
#define UPSTREAM_REFUSAL_MAX 16384        /* bytes of a refusal's message, and of its data */

void upstream_watch_begin(struct upstream *server, uint64_t ticket);
void upstream_watch_on_wishes(struct upstream_host *host, uint64_t ticket,
                              const Meshnode__Gateway__Wishes *wishes);

/* False: the ticket is no watch. */
bool upstream_watch_end(struct upstream_host *host, uint64_t ticket);

/* An event of a lasting call of [server]. */
void upstream_watch_emit(struct upstream *server, uint64_t ticket,
                         const Meshnode__Gateway__Event *payload);

/* notifications/resources/updated; of a lease, as all that follows: see upstream_own.h. */
void upstream_watch_on_updated(struct upstream *server, struct mn_span uri);

/* notifications/tasks, notifications/tasks/status; [server] may be a lease. */
void upstream_watch_on_task(struct upstream *server, const struct json *params);

/* notifications/progress of a task, without its token. */
void upstream_watch_on_task_progress(struct upstream *server, struct mn_span id,
                                     struct mn_span params);

/* The server has taken a subscription, or refused it; has taken a listen, or a part of it. */
void upstream_watch_on_subscribed(struct upstream *server, struct mn_span uri);
void upstream_watch_on_refused(struct upstream *server, struct mn_span uri,
                               const struct jsonrpc_message *message);
void upstream_watch_on_acknowledged(struct upstream *server, const struct json *params);

/* The legacy stream on which it tells has begun, or there is none. */
void upstream_watch_on_stream(struct upstream *server, bool is_there);

/* Whether that is still to come, so that nothing is subscribed to yet: it is once it has come, or
 * after a while. */
bool upstream_watch_is_early(struct upstream *server);

/* The server is ready again after a new handshake. */
void upstream_watch_renew(struct upstream *server);

/* The topics changed a moment ago (modern). */
void upstream_watch_on_timer(struct upstream *server);

/* Fails every watch: the server is gone for good. */
void upstream_watch_fail_all(struct upstream *server, const char *text);
void upstream_watch_done(struct upstream *server);

/* Appends "uri","uri" for a modern listen. */
void upstream_watch_write(struct upstream *server, struct mn_writer *writer);
bool upstream_watch_has_topics(const struct upstream *server);
void upstream_watch_write_tasks(struct upstream *server, struct mn_writer *writer);
bool upstream_watch_has_tasks(const struct upstream *server);

#endif
