/* upstream_headers.h: what of a request a modern HTTP server wants repeated in headers (MCP
 * 2026-07-28): Mcp-Name, and Mcp-Param-{Name} for the arguments that a tool's schema marks with
 * "x-mcp-header". They are made from the body and the server's own schema, never copied. */
#ifndef UPSTREAM_HEADERS_H
#define UPSTREAM_HEADERS_H

#include "node/edge.h"
#include "node/json/json.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define UPSTREAM_PARAMS_MAX 64 /* marked arguments of one tool */

/* One marked argument: its header, and the way to it through the objects of the arguments. */
struct upstream_param {
    struct mn_span header; /* "mcp-param-region", lower case */
    const struct mn_span *path;
    uint32_t path_count; /* >= 1 */
};

struct upstream_params {
    const struct upstream_param *items;
    uint32_t count;
};

/* The marks in a tool's inputSchema (fully kept; NULL: none). MN_MALFORMED: one breaks a rule (not
 * a token, not unique, not at a string, integer or boolean reached through "properties" alone): a
 * client must not use such a tool. MN_TOO_BIG: over UPSTREAM_PARAMS_MAX. All in [arena]. */
MN_MUST_USE mn_status upstream_headers_params(const struct json *schema, struct mn_arena *arena,
                                              struct upstream_params *ret);

/* A header value for [text]: itself, or "=?base64?...?=" where it could not travel as it is. */
struct mn_span upstream_headers_value(struct mn_span text, struct mn_arena *arena);

/* Writes the headers of the arguments that are present and not null to [to], which has room for
 * params->count, and returns how many. [arguments] must be kept as deep as the paths go. */
uint32_t upstream_headers_fill(const struct upstream_params *params, const struct json *arguments,
                               struct mn_arena *arena, struct edge_header *to);

#endif
