/* upstream_askable.h: what a server may ask of a client (sampling, elicitation, roots; tasks of the
 * client's own, 2025-11-25), by what that declared, and what is special about some of it. */
#ifndef UPSTREAM_ASKABLE_H
#define UPSTREAM_ASKABLE_H

#include "node/mcp/upstream/upstream.h"

/* Whether a client with these capabilities can be asked that, with [params] (NULL: none). */
bool upstream_askable_may(struct upstream_host *host, struct mn_span capabilities,
                          struct mn_span method, const struct json *params);

/* The capability that it takes; only for what can be asked. */
const char *upstream_askable_capability(struct mn_span method);
bool upstream_askable_is_elicitation(struct mn_span method);

/* An elicitation in which the user is sent to a URL. */
bool upstream_askable_is_by_url(const struct json *params);

/* Whether it may be long until it is answered: when a task of the client's is over. */
bool upstream_askable_is_patient(struct mn_span method);

/* Whether that nobody answers is said as its client would: of an elicitation of which it makes no
 * task. */
bool upstream_askable_is_cancelled(struct upstream *lease, struct mn_span method,
                                   const struct json *params);

#endif
