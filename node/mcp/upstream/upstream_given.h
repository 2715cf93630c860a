/* upstream_given.h: answers that were given to a node which may not have got them. A node that
 * dies, or a link that breaks, takes along what is under way to it before anybody here notices. So
 * an answer to a call that can be asked for again (upstream_orphan.h) is kept for a while, under
 * the name by which it is asked for; the oldest goes when there are too many. */
#ifndef UPSTREAM_GIVEN_H
#define UPSTREAM_GIVEN_H

#include "node/mcp/upstream/upstream.h"

#define UPSTREAM_GIVEN_MAX 256u
#define UPSTREAM_GIVEN_SIZE_MAX ((size_t)8 << 20) /* bytes of all; what is larger is not kept */
#define UPSTREAM_GIVEN_TTL MN_MINUTE              /* a lost link is noticed sooner */

/* Takes no ref that it does not keep. [handle]: UPSTREAM_HANDLE_SIZE bytes. */
void upstream_given_keep(struct upstream_host *host, struct mn_span handle, struct mn_buf *answer);

/* Borrowed until the next step; NULL: there is none, or not any more. */
struct mn_buf *upstream_given_find(struct upstream_host *host, struct mn_span handle);

void upstream_given_on_timer(struct upstream_host *host);
void upstream_given_done(struct upstream_host *host);
void upstream_given_check(const struct upstream_host *host);

#endif
