/* front.h: the gateway towards clients: an MCP server over Streamable HTTP that serves both eras on
 * one endpoint at the same time (MCP 2025-03-26, 2025-06-18, 2025-11-25 in sessions; 2026-07-28
 * without). It knows tools only by what the core tells (SERVICE), and calls them only by asking the
 * core (REQUEST), whichever node has them.
 *
 * Statuses: what is wrong with the HTTP request or the message as such is a 4xx with a JSON-RPC
 * error in it; what is wrong with the call is a 200 with one; what is wrong with the work is a
 * result that says isError. Answers are plain JSON unless something has to be told before the
 * result (progress, a log message, a long silence): then the response becomes a stream of events.
 *
 * Closing the connection cancels a modern call. In a legacy session only notifications/cancelled
 * does, as the revisions say; the answer to a client that went away is dropped. */
#ifndef FRONT_H
#define FRONT_H

#include "node/mcp/front/usage.h"
#include "node/mcp/gateway.h"
#include "node/mcp/names/names.h"

struct front; /* opaque */

struct front *front_new(const struct mcp_config *config);
void front_free(struct front *front);

/* Takes HTTP_* of the edge, SERVICE and EVENT of the core, TICK and STOP; ignores the rest. */
void front_step(struct front *front, struct mn_now now, const struct mcp_input *input,
                struct mcp_outbox *outbox);
mn_time front_deadline(const struct front *front);
void front_check(const struct front *front);
bool front_is_idle(const struct front *front);

bool front_record_is_key(struct mn_span key);                            /* mcp_is_key() */
bool front_record_is_kept(const struct front *front, struct mn_span id); /* mcp_keeps_session() */
struct names *front_names(struct front *front);
const struct usage *front_usage(const struct front *front);
void front_stats(const struct front *front, struct mcp_stats *ret);

#endif
