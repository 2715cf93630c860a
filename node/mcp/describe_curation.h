/* describe_curation.h: what operators agreed on about tools, and what it comes to now, as JSON:
 * appended to [writer], one value each. */
#ifndef DESCRIBE_CURATION_H
#define DESCRIBE_CURATION_H

#include "node/mcp/mcp.h"
#include "proto/base/buf.h"

/* Array of the views, by name: {name, surface, tools, prompts, resources, path}; the numbers are of
 * what they choose now. */
void mcp_describe_views(struct mcp *mcp, struct mn_writer *writer);

/* One of these with {.., definition, shows: [{name, server, tool, state}], unmatched: entries that
 * choose nothing}. MN_NOT_FOUND: nothing was written. */
MN_MUST_USE mn_status mcp_describe_view(struct mcp *mcp, struct mn_span name,
                                        struct mn_writer *writer);

/* Whether [text] is a view that can be agreed on under [name]; [why] is in [arena]. */
MN_MUST_USE mn_status mcp_view_check(struct mcp *mcp, struct mn_span name, struct mn_span text,
                                     struct mn_arena *arena, struct mn_span *why);

/* Array of the tools that have a rule, by server and tool: {server, tool, state, pin, current,
 * reason, at_ms}. state: pinned, changed, quarantined, or absent: nobody has that tool now. */
void mcp_describe_pins(struct mcp *mcp, struct mn_writer *writer);

/* The rule for a tool, as listed or SERVER/TOOL: {key, pin, current}; without one the key is where
 * it would be. MN_NOT_FOUND: there is neither tool nor rule. */
MN_MUST_USE mn_status mcp_describe_rule(struct mcp *mcp, struct mn_span name,
                                        struct mn_writer *writer);

#endif
