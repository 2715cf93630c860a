/* upstream_orphan.h: calls whose caller's node is lost. A legacy client that lost its connection
 * has not cancelled anything: it may come back by another node, and ask for the stream that it
 * had. So a call of which that node has, or must have, begun a stream runs on without a caller, and
 * waits, with its answer once it has one, for the request that goes on with it. A call without a
 * stream cannot be asked for again, and is cancelled, as is one too many.
 *
 * The node that goes on may also come before this one has noticed anything, or while the other one
 * still lives: then the call is taken from that one. */
#ifndef UPSTREAM_ORPHAN_H
#define UPSTREAM_ORPHAN_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_ORPHANS_MAX 256u            /* of a node; one more is cancelled */
#define UPSTREAM_ORPHAN_TTL (5 * MN_MINUTE)  /* then it is cancelled, or forgotten */
#define UPSTREAM_ORPHAN_SILENT (14 * MN_SEC) /* a call this old has a stream (front: 15 s) */
#define UPSTREAM_ANSWERS_SIZE_MAX ((size_t)32 << 20) /* of all that wait without a caller */

/* The caller of [ticket] is lost. False: it cannot come back; the call is to be cancelled. */
bool upstream_orphan_keep(struct upstream_host *host, uint64_t ticket);

/* [answer] is what its caller is told now: it may be asked for again. */
void upstream_orphan_given(const struct upstream_request *request, struct mn_buf *answer);

/* The request is one that goes on with such a call; frees it, and the call has its ticket. */
void upstream_orphan_claim(struct upstream_request *request,
                           const Meshnode__Gateway__Request *payload);

#endif
