/* mcp.h: the gateway: everything of this node that speaks MCP. Towards clients it is one MCP server
 * of both eras on `/mcp` (the tools of the whole mesh, under prefixed names) and on
 * `/mcp/servers/NAME` (one server, as it is); towards MCP servers it is their client. The two
 * halves never meet: the front asks the core for calls, the core asks the upstreams to serve them.
 *
 *   in:  HTTP_*, CHILD_* and FETCH_* of the edge (HTTP exchanges only if their path begins with
 *        /mcp); SERVICE and EVENT for the front, REQUEST and CANCEL for the upstreams, of the core.
 *   out: HTTP_*, CHILD_* and FETCH_* operations; REQUEST, CANCEL, OFFER and EVENT for the core.
 *
 * Pure, like every core: no clock, socket, thread or global. */
#ifndef MCP_H
#define MCP_H

#include <stdbool.h>
#include <stdint.h>

#include "node/mcp/gateway.h"
#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/audience.h"

struct mcp; /* opaque */

struct mcp *mcp_new(const struct mcp_config *config);
/* What it keeps in the node's store: "ended/<key>", marks of sessions that ended, and
 * "sessions/<key>", records of those that have not. */
bool mcp_is_key(struct mn_span key);
void mcp_free(struct mcp *mcp);

void mcp_step(struct mcp *mcp, struct mn_now now, const struct mcp_input *input,
              struct mcp_outbox *outbox);
mn_time mcp_deadline(const struct mcp *mcp);
void mcp_check(const struct mcp *mcp);

/* After MCP_IN_STOP: no exchange, child or fetch is left. */
bool mcp_is_idle(const struct mcp *mcp);

/* People's commands about the servers of this node; see upstreams_add() and its siblings. */
MN_MUST_USE mn_status mcp_server_add(struct mcp *mcp, struct mn_now now,
                                     const struct upstream_config *config,
                                     struct mcp_outbox *outbox, struct mn_span *why);
MN_MUST_USE mn_status mcp_server_remove(struct mcp *mcp, struct mn_now now, struct mn_span name,
                                        struct mcp_outbox *outbox, struct mn_span *why);
MN_MUST_USE mn_status mcp_server_restart(struct mcp *mcp, struct mn_now now, struct mn_span name,
                                         struct mcp_outbox *outbox, struct mn_span *why);

/* The keys that the gateway works with. */
struct mcp_keys *mcp_keys(struct mcp *mcp);

/* The local servers, their states and logs: upstreams_info(), upstreams_log_next(). */
const struct upstreams *mcp_upstreams(const struct mcp *mcp);

/* One tool as `/mcp` lists it. Spans live until the next step. */
struct mcp_tool {
    struct mn_span name;       /* as clients call it */
    struct mn_span service;    /* who has it: NAME or NAME.NODE */
    struct mn_span tool;       /* what that server calls it */
    struct mn_span definition; /* JSON object with the server's own name in it */
    struct audience audience;  /* to whom it is shown */
    const char *held;          /* NULL; "quarantined", "changed": why a call of it is refused */
    uint32_t providers_count;  /* nodes that can serve it now */
    uint32_t calls_per_minute; /* of clients of this node, that ended within the last minute */
    mn_time p95; /* of these and some before them (usage.h); MN_TIME_NEVER: none was answered */
};

/* The aggregated list, in its order; [index] < mcp_tools_count(). */
uint32_t mcp_tools_count(struct mcp *mcp);
void mcp_tool(struct mcp *mcp, struct mn_now now, uint32_t index, struct mcp_tool *ret);

/* Also finds tools that are callable but not listed. MN_NOT_FOUND. */
MN_MUST_USE mn_status mcp_tool_find(struct mcp *mcp, struct mn_now now, struct mn_span name,
                                    struct mcp_tool *ret);

/* The table behind it all; for describe.h. */
struct names *mcp_names(struct mcp *mcp);

void mcp_stats(const struct mcp *mcp, struct mcp_stats *ret);

/* Whether this node keeps the record of the session with that id now, and nobody ended it; for
 * checks. */
bool mcp_keeps_session(const struct mcp *mcp, struct mn_span id);

#endif
