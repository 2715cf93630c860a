/* upstream_large.h: calls with large params. Another node's word is not enough, so they are checked
 * to be JSON, and then copied into the message for the server: both in slices, one per tick, for
 * many megabytes at once would hold up everybody else. Meanwhile the call waits in its server's
 * queue, for as long as a call of that server may last, or, while it is copied, counts as sent. */
#ifndef UPSTREAM_LARGE_H
#define UPSTREAM_LARGE_H

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/wire/pieces.h"

/* Whether [params], part of the request's payload, are not all checked yet; the call is sent again
 * once they are. */
bool upstream_large_waits(struct upstream_request *request, struct mn_span params);

/* What json_parse() says of them; two levels are kept. */
MN_MUST_USE mn_status upstream_large_parse(struct upstream_request *request, struct mn_span params,
                                           const struct json **ret);

/* The message for the server, in pieces of the payload, or of what was answered to its questions;
 * takes them. upstream_send_written() follows with all of it, unless the request is recalled or
 * ends before. */
void upstream_large_write(struct upstream_request *request, struct pieces *text);

/* It is not to be sent any more, at least not so. */
void upstream_large_recall(struct upstream_request *request);
void upstream_large_free(struct upstream_request *request);

/* Bytes of those that are on their way to the server so. */
size_t upstream_large_size(const struct upstream *server);

/* A slice of the one that has waited longest. */
void upstream_large_on_tick(struct upstream_host *host);

#endif
