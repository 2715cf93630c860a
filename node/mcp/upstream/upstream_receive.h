/* upstream_receive.h: JSON-RPC texts from a server, and to whom they go. */
#ifndef UPSTREAM_RECEIVE_H
#define UPSTREAM_RECEIVE_H

#include "node/json/feed.h"
#include "node/mcp/upstream/upstream.h"

/* More of a text that is not whole yet: if it is a large one, what came is checked at once, so that
 * its end is no more work than its other parts. *[feed] is NULL before, and the caller's. */
void upstream_receive_ahead(struct json_feed **feed, const struct mn_writer *so_far);

/* A text from the server: one message, or where its version has them, several. [exchange]: the HTTP
 * exchange it came on, NULL for a child. *[feed] knows what was checked ahead, and is NULL
 * afterwards. A large answer is not copied, but goes on as part of [text], when nobody else has a
 * ref to that. False: it is no JSON-RPC message. */
bool upstream_receive(struct upstream *server, struct upstream_exchange *exchange,
                      struct mn_buf *text, struct json_feed **feed);

#endif
