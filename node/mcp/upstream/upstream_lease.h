/* upstream_lease.h: sessions of a legacy server that belong to one client alone. What a client can
 * do (sampling, elicitation, roots) is said once per session in that era, and what the server asks
 * goes to the session, so clients that can be asked never share one: a lease is one more child, or
 * HTTP session, of the same server, opened with exactly that client's capabilities. A client with a
 * session of its own (legacy) keeps its lease for all its calls; any other (modern) has one for as
 * long as the call lasts. Leases offer nothing and list nothing.
 *
 * A client with a session that has set a log level has a lease of a server with logging, too, and
 * so has a call of any other that asks for log messages, since what is logged can be told only
 * where it is known whose it is. They can do without: when all leases are in use, or the server
 * cannot be had twice, they share the session of all others.
 *
 * After a call without a session the next such call may take its lease, if that is of the same
 * principal and declares the same. But who asks for log messages has one in which no other call
 * has been, for the server may still speak of that; when it is over, another one begins, for the
 * next. */
#ifndef UPSTREAM_LEASE_H
#define UPSTREAM_LEASE_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_LEASES_MAX 32               /* per server; the one unused for longest makes room */
#define UPSTREAM_LEASE_LOGGERS_MAX 16        /* of these, of calls that only want log messages */
#define UPSTREAM_LEASE_IDLE (30 * MN_MINUTE) /* of a client's session */
#define UPSTREAM_LEASE_HEARD (12 * MN_HOUR)  /* of one whose client has a stream open */
#define UPSTREAM_LEASE_ALONE \
    (10 * MN_MINUTE)                   /* a server that cannot be had twice has rest so long */
#define UPSTREAM_LEASE_SPARE MN_MINUTE /* of one that the next call may take */
#define UPSTREAM_LEASE_SPOILT MN_SEC   /* of one that it may not: until it has heard why */

/* The session that serves a call: the server itself where nothing has to be kept apart. NULL: all
 * leases are in use. */
struct upstream *upstream_lease_for(struct upstream *server,
                                    const Meshnode__Gateway__Request *payload);

/* The one that this client's session has already; NULL: none. */
struct upstream *upstream_lease_has(struct upstream *server,
                                    const Meshnode__Gateway__Request *payload);

/* Whether all that is said in this session is for one client: it is a lease, and its server knows
 * it from others. */
bool upstream_lease_is_apart(const struct upstream *server);

/* The same, and it was never another's: calls without sessions may share one, in turn. */
bool upstream_lease_is_of_one(const struct upstream *server);

/* Its server asks something between calls: the next call is not asked such things. */
void upstream_lease_strayed(struct upstream *lease);

/* It has served a call, and may be idle now. */
void upstream_lease_used(struct upstream *lease);

/* Nobody listens to it any more: it is kept for as long as after a call. */
void upstream_lease_unheard(struct upstream *lease);

/* It was not used for a while. */
void upstream_lease_on_timer(struct upstream *lease);

/* Its session ended by itself, or never began. */
void upstream_lease_broke(struct upstream *lease, const char *why);

/* It is over: calls fail, the session is closed; freed at the end of the step, or with its child.
 * [why] is for the log of its server. */
void upstream_lease_end(struct upstream *lease, const char *why);
void upstream_lease_end_all(struct upstream *server, const char *why);

/* Whether what [server], which may be a lease, says unasked is for the client of that session
 * (empty: it has none). What the server itself says is for those that have no lease. */
bool upstream_lease_is_of(const struct upstream *server, struct mn_span session);

void upstream_lease_done(struct upstream *lease);

#endif
