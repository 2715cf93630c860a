/* upstream_send.h: from a call of the core to the message that its server gets: what it asks for is
 * judged, a session of the client's own is found where one is needed, and it is written out. */
#ifndef UPSTREAM_SEND_H
#define UPSTREAM_SEND_H

#include "node/mcp/upstream/upstream.h"

/* The server is ready, and the call is in no list. It is sent, answered, or waits: for a session,
 * or until all of it is checked. */
void upstream_send_call(struct upstream_request *request);

/* Of one that waits in a session that is ready: whether its client can be asked while it does. */
void upstream_send_know(struct upstream_request *request);

/* The rest of that for a large one: [text] is its message, which is taken. */
void upstream_send_written(struct upstream_request *request, struct mn_writer *text);

/* It waits until its server is ready. */
void upstream_send_later(struct upstream_request *request);

#endif
