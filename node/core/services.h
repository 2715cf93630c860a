/* services.h: from offers of nodes to names that users call. A function of the offers and names of
 * the live members, and of whose each name is, alone; so every node that knows the same lists the
 * same services. Where the mesh has agreed on an owner of NAME, only the owner's offers count for
 * it: that node's, and those of its replica key. If none of them is there, NAME is kept: it belongs
 * to nobody. Other offers of NAME are listed as NAME.NODE. Among those that count:
 *
 *   one offer of NAME, or several with equal bodies and equal (non-zero) replica keys:
 *       NAME is a listed service; NAME.NODE, one per node, is there but not listed
 *   equal replica keys, but different bodies, as while replicas are replaced one by one:
 *       NAME belongs to the largest part with equal bodies (of equal ones, to that of the lowest
 *       node id); NAME.NODE of the others is listed. Suspects count only where all are suspect: a
 *       node that was just killed does not hold the name against a replica that lives
 *   anything else: NAME is a conflict and belongs to nobody; each NAME.NODE is listed
 *
 * NODE is the node's name; two live nodes of one name both become NAME-<8 hex digits of the id>. */
#ifndef SERVICES_H
#define SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "node/core/catalog.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/call.h"

#define SERVICES_NODE_NAME_MAX 63

struct services *services_new(struct mn_trace *trace); /* [trace] may be NULL; never NULL */
void services_free(struct services *services);

/* What a live node offers, and its name; replaces what was known. [offers] are copied, their
 * bodies shared; those without a body are left out. */
void services_set(struct services *services, const mn_id *node, struct mn_span node_name,
                  const struct catalog_offer *offers, uint32_t count);

/* Whether the node may be dead; ignored for one that is not known. False after its first offers. */
void services_set_suspect(struct services *services, const mn_id *node, bool is_suspect);

/* The node is dead, or has left. */
void services_drop(struct services *services, const mn_id *node);

/* Tells the gateway of every service that differs from what it was told last. */
void services_publish(struct services *services, struct mn_now now, struct call_outbox *outbox);

struct services_provider {
    mn_id node;
    struct mn_span node_name; /* as in NAME.NODE */
    const struct catalog_offer *offer;
    bool is_suspect;
};

/* Whose a name is, as the mesh has agreed (node/node_owners.c): the server's of that node, and its
 * replicas'. It stays so, also while no server of it is there. */
struct services_owner {
    struct mn_span name;
    mn_id node;
    uint8_t key[CALL_KEY_SIZE]; /* its replica key; zero: it has none */
    uint64_t rev, at_ms;        /* of the record; rev 0: not known */
};

/* All there are; copied. Names that are no server's are left out. */
void services_set_owners(struct services *services, const struct services_owner *owners,
                         uint32_t count);

/* NULL: nobody's yet. Borrowed until the next services_set_owners(). */
const struct services_owner *services_owner(const struct services *services, struct mn_span name);

/* Whether an offer is the owner's; [owner] may be NULL, then any is. */
bool services_is_owners(const struct services_owner *owner,
                        const struct services_provider *provider);

/* The next name that [node] has, while its record says something else: rev 0 where there is none,
 * else the node's server has another replica key now. [*at] is 0 at first. False: no more. */
bool services_claim_next(const struct services *services, const mn_id *node, uint32_t *at,
                         struct services_owner *ret);

/* Rises whenever an offer or an owner changes. */
uint64_t services_changes(const struct services *services);

/* A name that is offered, or owned. */
struct services_name {
    struct mn_span name;
    const struct services_owner *owner;               /* NULL: nobody's yet */
    const struct services_provider *main, *providers; /* who serves it; who offers it */
    uint32_t main_count, providers_count;
};

/* All of them, by name, in [arena]; borrowed until the next change. */
struct services_name *services_names(const struct services *services, struct mn_arena *arena,
                                     uint32_t *ret_count);

enum services_kind { SERVICES_NONE = 0, SERVICES_FOUND, SERVICES_CONFLICT };

struct services_view {
    enum services_kind kind;
    struct mn_span name;                       /* of the server on its node: NAME */
    const struct services_provider *providers; /* by node id; of a conflict: those that claim it */
    uint32_t count;
    bool is_kept;  /* of a conflict: none of them is the owner's */
    bool may_move; /* of NAME: replicas with other definitions have it when these are gone */
};

/* Who can serve [name], which is NAME or NAME.NODE. Borrowed until the next change. */
struct services_view services_find(const struct services *services, struct mn_span name);

/* Walks all services by name, as last published: start with NULL, ends with NULL. */
struct services_entry;
const struct services_entry *services_next(const struct services *services,
                                           const struct services_entry *entry);
struct call_service services_entry_get(const struct services_entry *entry); /* borrowed */

void services_check(const struct services *services);

#endif
