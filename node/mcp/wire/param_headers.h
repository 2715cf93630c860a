/* param_headers.h: what of a request a modern HTTP server wants repeated in headers (MCP
 * 2026-07-28): Mcp-Name, and Mcp-Param-{Name} for the arguments that a tool's schema marks with
 * "x-mcp-header". They are made from the body and the server's own schema, never copied. */
#ifndef PARAM_HEADERS_H
#define PARAM_HEADERS_H

#include "node/edge.h"
#include "node/json/json.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define PARAM_HEADERS_MAX 64 /* marked arguments of one tool */

/* One marked argument: its header, and the way to it through the objects of the arguments. */
struct param_header {
    struct mn_span header; /* "mcp-param-region", lower case */
    const struct mn_span *path;
    uint32_t path_count; /* >= 1 */
};

struct param_headers {
    const struct param_header *items;
    uint32_t count;
};

/* The marks in a tool's inputSchema (fully kept; NULL: none). MN_MALFORMED: one breaks a rule (not
 * a token, not unique, not at a string, integer or boolean reached through "properties" alone): a
 * client must not use such a tool. MN_TOO_BIG: over PARAM_HEADERS_MAX. All in [arena]. */
MN_MUST_USE mn_status param_headers_params(const struct json *schema, struct mn_arena *arena,
                                           struct param_headers *ret);

/* A header value for [text]: itself, or "=?base64?...?=" where it could not travel as it is. */
struct mn_span param_headers_value(struct mn_span text, struct mn_arena *arena);

/* Writes the headers of the arguments that are present and not null to [to], which has room for
 * params->count, and returns how many. [arguments] must be kept as deep as the paths go. */
uint32_t param_headers_fill(const struct param_headers *params, const struct json *arguments,
                            struct mn_arena *arena, struct edge_header *to);

#endif
