/* describe.h: what the gateway knows, as JSON for operators: appended to [writer], one value each.
 * No secret is in it: values of env and headers, URL queries stay out. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "node/mcp/mcp.h"
#include "proto/base/buf.h"

/* Array of the local servers, by name: {name, kind, target, state, since_ms, next_start_ms, era,
 * version, offered, tools, tools_dropped, in_flight, starts, calls, noise, error}. */
void mcp_describe_servers(const struct mcp *mcp, struct mn_now now, struct mn_writer *writer);

/* One such object. MN_NOT_FOUND: nothing was written. */
MN_MUST_USE mn_status mcp_describe_server(const struct mcp *mcp, struct mn_now now,
                                          struct mn_span name, struct mn_writer *writer);

/* Array of the listed tools of the mesh, in their order: {name, server, tool, nodes,
 * calls_per_minute, p95_ms, definition}. */
void mcp_describe_tools(struct mcp *mcp, struct mn_now now, struct mn_writer *writer);

/* One such object, also of a tool that is not listed. MN_NOT_FOUND: nothing was written. */
MN_MUST_USE mn_status mcp_describe_tool(struct mcp *mcp, struct mn_now now, struct mn_span name,
                                        struct mn_writer *writer);

/* Object: {listed: number of tools that clients see, held: of those held back, offered: {NAME.NODE:
 * number of its tools, for every server of the mesh}, servers: as mcp_describe_servers()}. */
void mcp_describe_counts(struct mcp *mcp, struct mn_now now, struct mn_writer *writer);

/* Array of the kept lines of a local server's log above [after]: {sequence, time_ms, text}. */
void mcp_describe_logs(const struct mcp *mcp, struct mn_span name, uint64_t after,
                       struct mn_writer *writer);

#endif
