/* upstream_aside.h: what a legacy server says to one client outside of any call: log messages,
 * the end of an elicitation by URL, what extensions tell; and what it asks (upstream_asked.h). Only
 * in a session that a client has for itself (a lease) is it known whose it is. It goes out by the
 * lasting call of the node where that client has its stream open, which wishes for it by the
 * client's session; of several nodes that where the client opened its stream last has it (a client
 * may post elsewhere meanwhile, even where an old stream of its is not seen to be gone), and of
 * equals the one that wished last.
 *
 * While nobody wishes for it, a little is kept for a moment: the wish may be on its way, or the
 * client on its way to another node. */
#ifndef UPSTREAM_ASIDE_H
#define UPSTREAM_ASIDE_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_HEARERS_MAX 10000              /* of one lasting call; more are ignored */
#define UPSTREAM_ASIDE_KEEP (10 * MN_SEC)       /* what nobody hears is kept so long, */
#define UPSTREAM_ASIDE_HELD_MAX 64              /* and so many of one lease, */
#define UPSTREAM_ASIDE_SIZE_MAX ((size_t)65536) /* of so many bytes */

struct upstream_hearers; /* those of one lasting call */

/* The newest wishes of the lasting call [ticket]; *[hearers] is NULL before there were any. */
void upstream_aside_on_wishes(struct upstream *server, uint64_t ticket,
                              struct upstream_hearers **hearers,
                              const Meshnode__Gateway__Wishes *wishes);

/* The lasting call has ended; [hearers] may be NULL. */
void upstream_aside_leave(struct upstream_hearers *hearers);

/* A lease begins: somebody may wish for it already; else its client has subscribed to [own]
 * (upstream_own.h). Or it is over. */
void upstream_aside_begin(struct upstream *lease, struct mn_span own);
void upstream_aside_done(struct upstream *lease);

/* To whoever hears [lease], of whom there is one. */
void upstream_aside_emit(struct upstream *lease, Meshnode__Gateway__Aside *aside);

/* A notification that belongs to no call; dropped when it is none that is carried, or when
 * [server] is no lease of one client's. */
void upstream_aside_on_notification(struct upstream *server, struct mn_span method,
                                    const struct json *params);

/* A lease logs exactly as much as its client wants; a session that all share as much as the most
 * curious of its callers wants, or is told nothing, if nobody can hear it. */
void upstream_aside_set_level(struct upstream *server, enum loglevel level);

#endif
