/* upstream_leave.h: what a legacy server asks in the session of one client, and wants to know
 * beyond the call to which it was put down. A child asks without saying for which of its client's
 * calls; the newest one has it meanwhile. When that ends the question is another call's, or of no
 * call (upstream_asked.h); if its client cannot be asked so, the server hears that nobody answers.
 *
 * The client is not asked twice: the caller hears that the question outlives the call, and under
 * which key, before it hears the call's last word. So it has both in order, and says what its
 * client answers, or has answered too late for the call. */
#ifndef UPSTREAM_LEAVE_H
#define UPSTREAM_LEAVE_H

#include "node/mcp/upstream/upstream.h"

/* That call has a caller, to whom its last word goes next. */
void upstream_leave_answered(struct upstream_request *request);

/* It ends without one: who is asked next is asked anew. */
void upstream_leave_cancelled(struct upstream_request *request);

#endif
