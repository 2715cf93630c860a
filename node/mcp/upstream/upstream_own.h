/* upstream_own.h: resources that one client has subscribed to, in the session of a legacy server
 * that it has for itself. They are subscribed to in the session that all share as well
 * (upstream_watch.h), since on stdio the two are processes, of which each may tell only of what it
 * did itself. Whoever hears for the client has both (front_subscribe.c makes one of them). */
#ifndef UPSTREAM_OWN_H
#define UPSTREAM_OWN_H

#include "node/mcp/upstream/upstream.h"

/* As one text, in [arena]; what is more than ASIDE_URIS_MAX, or longer, is left out. */
struct mn_span upstream_own_pack(struct mn_arena *arena, char **uris, size_t count);

/* From now on it wants these, packed. */
void upstream_own_wish(struct upstream *lease, struct mn_span packed);

/* Somebody else hears for it than before, or its server tells on another stream: something may have
 * been missed. Or somebody hears for it for whom nobody did: what was said meanwhile is told. */
void upstream_own_heard(struct upstream *lease);
void upstream_own_caught_up(struct upstream *lease);

/* What waited for the stream of the session is subscribed to; whether something waits. */
void upstream_own_ask(struct upstream *lease);
bool upstream_own_waits(const struct upstream *lease);

/* The lease has a new session. */
void upstream_own_renew(struct upstream *lease);

/* Its server has taken a subscription; tells of an update. */
void upstream_own_on_subscribed(struct upstream *lease, struct mn_span uri);
void upstream_own_on_updated(struct upstream *lease, struct mn_span uri);

/* The lease is over. */
void upstream_own_end(struct upstream *lease);

#endif
