/* guard.h: who may speak to this node over TCP; the gateway and the operator's side ask the same
 * questions. Host and Origin must name this node, or a web page of anywhere could reach a loopback
 * listener by rebinding its own name (DNS rebinding); where secrets are configured, one of them
 * must come to the gateway as `Authorization: Bearer ...` (RFC 6750). Operators have API tokens,
 * `mna1-...`, each with a role, of which this node knows the hashes only.
 *
 * One guard serves gateway and operator's side, so that wrong secrets are counted together. */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "node/edge.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

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

/* What a credential allows; each but CLIENT what the one before it does. CLIENT: MCP alone. */
enum guard_role {
    GUARD_NOBODY = 0,
    GUARD_CLIENT,
    GUARD_VIEWER,   /* looks at everything but secrets */
    GUARD_OPERATOR, /* and calls tools, and restarts servers */
    GUARD_ADMIN     /* and everything else */
};

/* "viewer" and so on. MN_CONFIG: no role. */
const char *guard_role_name(enum guard_role role);
MN_MUST_USE mn_status guard_role_parse(struct mn_span text, enum guard_role *ret);

/* The front of a proxy: wrong secrets are counted by the address that it names last in
 * X-Forwarded-For, not by its own. */
void guard_set_proxied(struct guard *guard, bool is_proxied);

#define GUARD_FAILURES_MAX 10 /* wrong secrets per address and minute; then 429 */

enum guard_verdict {
    GUARD_PASSED = 200,
    GUARD_IN_QUERY = 400,  /* a secret stands in the URL, where logs keep it */
    GUARD_UNKNOWN = 401,   /* no credential, or a wrong one */
    GUARD_TOO_OFTEN = 429, /* too many wrong ones from there */
};

/* Who sends this request. The admin socket is the node's own user; over TCP *[role] is what the
 * bearer secret allows, GUARD_CLIENT with one of the configured secrets, and without any of these
 * configured whoever shows no API token is the one anonymous principal. Takes the same time for
 * every wrong secret, and 1,024 addresses are counted at most: more share one count. */
enum guard_verdict guard_judge(struct guard *guard, struct mn_now now,
                               const struct edge_http_request *http, enum guard_role *role,
                               mn_id *principal);

/* ---- API tokens ---- */

#define GUARD_TOKENS_MAX 1024
#define GUARD_HASH_SIZE 32
#define GUARD_TOKEN_ID_SIZE 17   /* of its id as text: sixteen digits, NUL */
#define GUARD_TOKEN_TEXT_SIZE 58 /* "mna1-", 52 characters, NUL */
#define GUARD_TOKEN_VALUE_SIZE 49

struct guard_token {
    uint8_t hash[GUARD_HASH_SIZE]; /* its first eight bytes are the id */
    enum guard_role role;
    uint64_t created_ms, not_after_ms; /* wall */
    mn_id principal;                   /* who shows it; known once it was added */
    bool is_over;                      /* it has expired, and was counted as one that ended */
};

/* Writes the token of these 32 random bytes, and its hash. */
void guard_token_make(const uint8_t secret[32], char ret[GUARD_TOKEN_TEXT_SIZE],
                      struct guard_token *token);
char *guard_token_id(const struct guard_token *token, char ret[GUARD_TOKEN_ID_SIZE]);

/* MN_FULL; MN_EXISTS. Those that ended make room. */
MN_MUST_USE mn_status guard_token_add(struct guard *guard, struct mn_now now,
                                      const struct guard_token *token);
void guard_token_remove(struct guard *guard, const struct guard_token *token);

/* All of them, in order of making: starts and ends with NULL. Borrowed until one comes or goes. */
const struct guard_token *guard_token_next(const struct guard *guard,
                                           const struct guard_token *token);

/* Whether that principal is an API token's, which is good now: what it opened may last. */
bool guard_has_token(const struct guard *guard, struct mn_now now, const mn_id *principal);

/* How many tokens have ended by now: were revoked, or expired. When it has changed, whoever keeps
 * what tokens opened looks which of that ends, too. */
uint64_t guard_ends(struct guard *guard, struct mn_now now);

/* As it is stored. MN_MALFORMED. */
void guard_token_encode(const struct guard_token *token, uint8_t ret[GUARD_TOKEN_VALUE_SIZE]);
MN_MUST_USE mn_status guard_token_decode(struct mn_span value, struct guard_token *ret);

/* The principal of a local user, by uid, on the admin socket. */
mn_id guard_principal_uid(uint32_t uid);

#endif
