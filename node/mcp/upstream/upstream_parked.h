/* upstream_parked.h: calls that have no caller now: those whose caller was asked something by a
 * result, and goes on with its next request; and those whose caller's node is lost
 * (upstream_orphan.h). They are found by a handle; what comes meanwhile is kept. */
#ifndef UPSTREAM_PARKED_H
#define UPSTREAM_PARKED_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

/* Ends the caller's request with what is to be asked; the server's call waits for the next one. */
void upstream_parked_begin(struct upstream_request *request);

/* It is not parked any more; what came meanwhile is let go. */
void upstream_parked_forget(struct upstream_request *request);

/* The request that goes on with a parked call: [params], part of [source], may bring answers, and a
 * token of its own for progress. False: there is none under this handle. */
bool upstream_parked_resume(struct upstream_host *host, uint64_t ticket, struct mn_span handle,
                            const struct json *params, struct mn_buf *source, bool wants_progress);

/* The call of a live client has no caller now, and is kept under that handle; or one again, who
 * hears of what is open, and of the answer if that came meanwhile. */
void upstream_parked_leave_alone(struct upstream_request *request, struct mn_span handle);
void upstream_parked_take_up(struct upstream_host *host, uint64_t ticket, struct mn_span handle);

/* Whether such a call is there; others that are parked wait for a round's answers. */
bool upstream_parked_is_alone(struct upstream_host *host, struct mn_span handle);

/* Its timer, while it has no caller. */
void upstream_parked_watch(struct upstream_request *request);

/* What the caller of a parked call will be told once it comes; takes the ref. False: the call is
 * not parked, or there is no room for it. */
bool upstream_parked_keep(struct upstream_request *request, struct mn_buf *event);

#endif
