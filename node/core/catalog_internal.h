/* catalog_internal.h: what the parts of catalog.h share: catalog_set.c keeps sets of offers and
 * their bodies, catalog_pull.c asks other nodes for what is missing, catalog.c does the rest. */
#ifndef CATALOG_INTERNAL_H
#define CATALOG_INTERNAL_H

#include "node/core/catalog.h"
#include "node/core/catalog_wire.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

/* Something to ask for until it comes. */
struct pull {
    struct mn_heap_entry timer; /* of the answer; not in the heap: nothing is asked */
    bool is_body;               /* part of a struct body; else of a struct owner */
    uint32_t tries;
    mn_id from; /* whose it is: asked first */
};

enum body_state {
    BODY_NEW = 0,
    BODY_WANTED, /* known by hash */
    BODY_HERE,
    BODY_REFUSED /* no memory for it; stays so while anybody offers it */
};

struct body {
    struct mn_map_entry in_map; /* by hash */
    uint8_t hash[CATALOG_HASH_SIZE];
    enum body_state state;
    struct mn_buf *buf;
    struct mn_list slots;    /* offers that have this body; none: the body goes */
    struct mn_list in_queue; /* waiting to be asked for */
    struct pull pull;
};

struct slot { /* an offer and its body */
    struct mn_list in_body;
    struct body *body;
    struct set *set;
    uint32_t index;
};

/* The offers of one catalog. */
struct set {
    struct owner *owner;
    uint64_t epoch, version;
    uint8_t root[CATALOG_ROOT_SIZE];
    struct mn_buf *message; /* that carries it, to be handed on; NULL: not signed yet */
    size_t size;            /* bytes charged for it */
    struct catalog_offer *offers;
    struct slot *slots;
    uint32_t count;
    uint32_t missing; /* bodies still wanted */
};

/* A member, or this node. */
struct owner {
    struct mn_map_entry in_map;
    mn_id node;
    uint8_t sign_pk[SIGN_PK_SIZE];
    uint8_t root[CATALOG_ROOT_SIZE]; /* announced in its record */
    bool is_member;                  /* its record is known */
    bool is_linked;
    struct set *current; /* all bodies here (or refused); NULL: none */
    struct set *next;    /* newer, some bodies missing; NULL: none */
    struct pull pull;    /* of the catalog with [root] */
};

/* An offer of our own gateway. */
struct own_offer {
    struct mn_list in_own;
    struct catalog_wire_offer wire; /* name points to [name] */
    struct mn_buf *body;
    char name[CATALOG_OFFER_NAME_MAX];
};

struct catalog {
    struct catalog_config config;
    struct rng rng;
    mn_id mesh_id;
    uint64_t epoch, version; /* epoch 0: not started */
    struct mn_map owners, bodies;
    struct owner *self;
    struct mn_list own; /* by name */
    uint32_t own_count;
    mn_time publish_at;
    struct mn_heap timers;
    struct mn_list queue; /* of bodies */
    uint32_t asked;       /* bodies asked for now */
    size_t used;          /* bytes */
    uint64_t refused;

    /* Valid during a step. */
    struct mn_now now;
    struct catalog_outbox *outbox;
};

/* ---- catalog.c ---- */

struct owner *catalog_owner(const struct catalog *catalog, const mn_id *node); /* or NULL */
struct catalog_output *catalog_emit(struct catalog *catalog, enum catalog_output_type type,
                                    const mn_id *node);
void catalog_refuse(struct catalog *catalog, const mn_id *node, mn_status status);

/* ---- catalog_set.c ---- */

/* A set from a decoded catalog; bodies that are not here become wanted. [bodies], if not NULL, are
 * those of the offers. NULL: no memory for it. */
struct set *catalog_set_new(struct catalog *catalog, struct owner *owner,
                            const struct catalog_wire *wire, struct mn_buf *message,
                            struct mn_buf *const *bodies);
void catalog_set_free(struct catalog *catalog, struct set *set); /* NULL is fine */

struct body *catalog_body(const struct catalog *catalog, const uint8_t hash[CATALOG_HASH_SIZE]);

/* The body of a wanted hash came, or must be given up (NULL). Sets that are complete by that
 * become current. */
void catalog_body_settle(struct catalog *catalog, struct body *body, struct mn_buf *buf);

/* Makes [next] current if it is complete. */
void catalog_promote(struct catalog *catalog, struct owner *owner);

/* ---- catalog_pull.c ---- */

void catalog_pull_start(struct catalog *catalog, struct owner *owner);
void catalog_pull_stop(struct catalog *catalog, struct owner *owner);
void catalog_pull_body(struct catalog *catalog, struct body *body, const mn_id *from);
void catalog_pull_body_stop(struct catalog *catalog, struct body *body);

/* A link to [node] is up: whatever it could answer is asked now. */
void catalog_pull_linked(struct catalog *catalog, const struct owner *node);

/* Repeats what was not answered, and asks for bodies that wait. */
void catalog_pull_timers(struct catalog *catalog);

#endif
