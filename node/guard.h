/* guard.h: who may speak to this node over TCP; the gateway and the operator's side ask the same
 * questions. Host and Origin must name this node, or a web page of anywhere could reach a loopback
 * listener by rebinding its own name (DNS rebinding); where secrets are configured, one of them
 * must come to the gateway as `Authorization: Bearer ...` (RFC 6750). */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "node/edge.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"

struct guard;

/* [hosts]: "name" (any port) or "name:port". Secrets are hashed and forgotten. */
struct guard *guard_new(const struct mn_span *hosts, uint32_t hosts_count,
                        const struct mn_span *bearers, uint32_t bearers_count);
void guard_free(struct guard *guard);

/* Why a request is refused for its Host or Origin, for people; NULL: it is not, and what came over
 * the admin socket never is. Host must be there, Origin need not. */
const char *guard_refusal(const struct guard *guard, const struct edge_http_request *http);

/* Value of a request header without the blanks around it; data == NULL: absent. [name] is in lower
 * case. */
struct mn_span guard_header(const struct edge_http_request *http, const char *name);

/* Value of the Authorization header, or data == NULL. On success *[principal] says whose secret it
 * was; without configured secrets everybody is the one anonymous principal. Takes the same time for
 * every wrong secret. */
bool guard_allows_bearer(const struct guard *guard, struct mn_span authorization, mn_id *principal);

/* The principal of a local user, by uid, on the admin socket. */
mn_id guard_principal_uid(uint32_t uid);

#endif
