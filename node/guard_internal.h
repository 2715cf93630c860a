/* guard_internal.h: what guard.c (hosts, origins) and guard_tokens.c (credentials) share. Nobody
 * else includes it. */
#ifndef GUARD_INTERNAL_H
#define GUARD_INTERNAL_H

#include "node/guard.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"

struct guard_bearer {
    uint8_t hash[GUARD_HASH_SIZE];
    mn_id principal;
};

/* Wrong secrets from one address within the minute that began at [since]. */
struct guard_failures {
    struct mn_map_entry entry; /* by address */
    struct mn_list age;        /* oldest minute first */
    char *address;
    uint32_t count;
    mn_time since; /* mono */
};

struct guard {
    struct mn_span *hosts;
    uint32_t hosts_count;
    struct guard_bearer *bearers;
    uint32_t bearers_count;
    struct guard_token *tokens;
    uint32_t tokens_count;
    uint64_t ends; /* tokens that were taken out or have expired, since the guard was made */
    struct mn_map failures;
    struct mn_list failures_age;
    struct guard_failures rest; /* of the addresses for which there is no room */
    bool is_proxied;
    mn_id anonymous;
    struct mn_arena arena;
};

/* ---- guard.c ---- */

mn_id guard_principal(const char *kind, struct mn_span subject);
void guard_hash(struct mn_span secret, uint8_t ret[GUARD_HASH_SIZE]);
bool guard_equal_name(struct mn_span a, struct mn_span b); /* letters in either case */
struct mn_span guard_trim(struct mn_span text);

/* ---- guard_tokens.c ---- */

void guard_tokens_init(struct guard *guard);
void guard_tokens_done(struct guard *guard);

#endif
