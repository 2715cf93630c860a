/* upstream_said.h: what a server says in the results of initialize, server/discover and its lists
 * beside what these revisions know: _meta of the result, and members that nobody knows. It becomes
 * part of the offer, for clients of the server alone.
 *
 * Offers of replicas must be equal. Where a server may have some (it is at a URL, or marked), such
 * words count once they were the same twice, and never again in that session once they were not:
 * what is said otherwise each time would keep replicas apart. */
#ifndef UPSTREAM_SAID_H
#define UPSTREAM_SAID_H

#include "node/json/json.h"
#include "node/mcp/upstream/upstream_list.h"
#include "proto/base/buf.h"

#define UPSTREAM_SAID_ABOUT UPSTREAM_LISTS /* of initialize and discover; else of that list */
#define UPSTREAM_SAID_KINDS (UPSTREAM_LISTS + 1)
#define UPSTREAM_SAID_MAX 16384 /* bytes of one; more is not kept */

/* Zero-initialised is nothing. */
struct upstream_said {
    struct {
        struct mn_buf *text; /* JSON object; NULL: it said nothing */
        bool was_heard, is_agreed, is_unsteady;
    } of[UPSTREAM_SAID_KINDS];
};

void upstream_said_done(struct upstream_said *said);

/* A session begins; what it says may be other words. */
void upstream_said_again(struct upstream_said *said);

/* Notes what stands in [result], kept for one level at least. */
void upstream_said_note(struct upstream *server, uint32_t kind, const struct json *result);

/* Whether it must be heard once more before it counts. */
bool upstream_said_is_open(const struct upstream *server, uint32_t kind);

/* [offer] with what was said, a new one if that is something; takes the ref. */
struct mn_buf *upstream_said_add(const struct upstream *server, struct mn_buf *offer);

#endif
