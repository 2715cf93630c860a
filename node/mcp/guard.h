/* guard.h: who may speak to the gateway over TCP. Host and Origin must name this node, or a web
 * page of anywhere could reach a loopback listener by rebinding its own name (DNS rebinding); where
 * secrets are configured, one of them must come as `Authorization: Bearer ...` (RFC 6750). */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"

struct guard;

/* [hosts]: "name" (any port) or "name:port". Secrets are hashed and forgotten. */
struct guard *guard_new(const struct mn_span *hosts, uint32_t hosts_count,
                        const struct mn_span *bearers, uint32_t bearers_count);
void guard_free(struct guard *guard);

/* Values of the two headers; data == NULL: absent, which is right for Origin only. */
bool guard_allows_host(const struct guard *guard, struct mn_span host);
bool guard_allows_origin(const struct guard *guard, struct mn_span origin);

/* Value of the Authorization header, or data == NULL. On success *[principal] says whose secret it
 * was; without configured secrets everybody is the one anonymous principal. Takes the same time for
 * every wrong secret. */
bool guard_allows_bearer(const struct guard *guard, struct mn_span authorization, mn_id *principal);

/* The principal of a local user, by uid, on the admin socket. */
mn_id guard_principal_uid(uint32_t uid);

#endif
