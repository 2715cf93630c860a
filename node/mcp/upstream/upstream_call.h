/* upstream_call.h: calls that the core wants served: begun, ended, given up. */
#ifndef UPSTREAM_CALL_H
#define UPSTREAM_CALL_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

void upstream_call_serve(struct upstream_host *host, const struct call_request *call);
void upstream_call_input(struct upstream_host *host, uint64_t ticket, struct mn_buf *payload);
void upstream_call_cancel(struct upstream_host *host, uint64_t ticket);

/* An event for the core; of a parked call only the last one is kept. The second takes the ref. */
void upstream_call_emit(struct upstream_request *request, enum call_event_kind kind,
                        const Meshnode__Gateway__Event *payload);
void upstream_call_emit_packed(struct upstream_request *request, enum call_event_kind kind,
                               struct mn_buf *payload);

/* Answers it with an error and frees it. */
void upstream_call_answer_error(struct upstream_request *request, int64_t code,
                                struct mn_span message, struct mn_span data);

/* It was answered: forgotten, or kept for the caller that comes for the answer. */
void upstream_call_end(struct upstream_request *request);

/* Sends it once more, or waits for the server. It is in no list. */
void upstream_call_resend(struct upstream_request *request);

/* Takes one that waits at [request->server] to another: it is sent, or waits there. */
void upstream_call_move(struct upstream_request *request, struct upstream *to);

/* From now on its server has as long as it has for a call, or for the next sign of life. */
void upstream_call_watch_time(struct upstream_request *request);

/* Tells the server that nobody waits for the answer. */
void upstream_call_tell_cancelled(struct upstream_request *request);

/* Its caller hears that somebody else has it from now on. */
void upstream_call_tell_taken(const struct upstream_request *request);

/* Answers it with a failure and frees it. */
void upstream_call_fail(struct upstream_request *request, enum call_failure failure,
                        const char *text);
void upstream_call_on_timer(struct upstream_request *request);

/* The call that was sent, if it is the only one, and no other was given up lately; else NULL. */
struct upstream_request *upstream_call_only(struct upstream *server);

/* The call sent last that its client can be asked by, of those that have a caller if there are any;
 * else the one that waits first; NULL: there is none. Or of those other than [but]. */
struct upstream_request *upstream_call_newest(struct upstream *server);
struct upstream_request *upstream_call_newest_but(struct upstream *server,
                                                  const struct upstream_request *but);

/* Sends what waits; fails what waits; fails what was sent. */
void upstream_call_flush_queue(struct upstream *server);
void upstream_call_flush_ready(
    struct upstream *server); /* unless its session is not yet as it was */
void upstream_call_fail_asking(struct upstream *server, const char *text);
void upstream_call_fail_queue(struct upstream *server, const char *text);
void upstream_call_fail_sent(struct upstream *server, enum call_failure failure, const char *text);

#endif
