/* services.h: from offers of nodes to names that users call. A function of the offers and names of
 * the live members alone, so every node that knows the same members lists the same services:
 *
 *   one offer of NAME, or several with equal bodies and equal (non-zero) replica keys:
 *       NAME is a listed service; NAME.NODE, one per node, is there but not listed
 *   equal replica keys, but different bodies, as while replicas are replaced one by one:
 *       NAME belongs to the largest part with equal bodies (of equal ones, to that of the lowest
 *       node id); NAME.NODE of the others is listed
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

/* The node is dead, or has left. */
void services_drop(struct services *services, const mn_id *node);

/* Tells the gateway of every service that differs from what it was told last. */
void services_publish(struct services *services, struct mn_now now, struct call_outbox *outbox);

struct services_provider {
    mn_id node;
    struct mn_span node_name; /* as in NAME.NODE */
    const struct catalog_offer *offer;
};

enum services_kind { SERVICES_NONE = 0, SERVICES_FOUND, SERVICES_CONFLICT };

struct services_view {
    enum services_kind kind;
    struct mn_span name;                       /* of the server on its node: NAME */
    const struct services_provider *providers; /* by node id; of a conflict: those that claim it */
    uint32_t count;
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
