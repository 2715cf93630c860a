/* catalog.h: who offers what. Each node signs a versioned catalog of its offers and announces its
 * root in its member record; everybody else pulls catalog and bodies from their owner (or, while
 * there is no link to it, from any other member) and checks the signature, so it does not matter
 * who hands them on.
 *
 * A newer catalog replaces the older one in one step, once all its bodies are here: a changed offer
 * never vanishes for a moment. Bodies are kept once per hash. Catalogs are not stored on disk:
 * after a restart they come from their owners, who are the only ones to know what still runs. */
#ifndef CATALOG_H
#define CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/identity.h"
#include "crypto/rng.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/call.h"

#define CATALOG_OFFERS_MAX 256                      /* per node */
#define CATALOG_OFFER_NAME_MAX 64                   /* bytes */
#define CATALOG_BODY_MAX ((uint32_t)4 << 20)        /* bytes */
#define CATALOG_SIZE_MAX ((uint32_t)64 * 1024)      /* bytes of a signed catalog, without bodies */
#define CATALOG_MESSAGE_MAX (CATALOG_BODY_MAX + 64) /* bytes of a message between nodes */
#define CATALOG_HASH_SIZE 32
#define CATALOG_ROOT_SIZE 16

struct catalog_config {
    const struct identity *self; /* borrowed, outlives the core */
    size_t memory_max;           /* bytes of catalogs and bodies of all nodes */
    mn_time coalesce;            /* changes of own offers are published together after this */
    mn_time retry;               /* an unanswered pull is repeated after this, then doubling */
    uint8_t seed[RNG_SEED_SIZE];
    struct mn_trace *trace; /* may be NULL */
};

struct catalog_offer {
    struct mn_span name;
    uint8_t hash[CATALOG_HASH_SIZE];
    uint8_t replica_key[CALL_KEY_SIZE];
    struct mn_buf *body; /* NULL: could not be had (memory) */
};

enum catalog_input_type {
    CATALOG_IN_TICK = 1,
    CATALOG_IN_MESH,    /* the mesh is known: catalogs of others can be checked from now on */
    CATALOG_IN_START,   /* after MESH: our epoch is known, sign and publish from now on; again, with
                           a higher one, when an earlier run of ours has turned up */
    CATALOG_IN_OFFER,   /* a local server's offer came, changed or (body NULL) went */
    CATALOG_IN_MEMBER,  /* a live member's record came or changed */
    CATALOG_IN_GONE,    /* a member is dead or has left: forget its catalog */
    CATALOG_IN_LINK_UP, /* member links only */
    CATALOG_IN_LINK_DOWN,
    CATALOG_IN_MESSAGE /* a meshnode.catalog.Message of a linked member */
};

struct catalog_input {
    enum catalog_input_type type;
    mn_id node; /* MEMBER, GONE, LINK_UP, LINK_DOWN, MESSAGE */
    union {
        mn_id mesh_id;                  /* MESH */
        uint64_t epoch;                 /* START */
        const struct call_offer *offer; /* borrowed; the body is shared */
        struct {
            uint8_t sign_pk[SIGN_PK_SIZE];
            uint8_t root[CATALOG_ROOT_SIZE]; /* zeros: it has published nothing yet */
        } member;
        struct mn_span message;
    };
};

enum catalog_output_type {
    CATALOG_OUT_SEND = 1, /* to, buf: a message for a linked member */
    CATALOG_OUT_PUBLISH,  /* version, root: for our own member record */
    CATALOG_OUT_CHANGED   /* to: this node's offers are others now; see catalog_offers() */
};

struct catalog_output {
    enum catalog_output_type type;
    mn_id node;
    struct mn_buf *buf; /* SEND: the receiver of the output owns this ref */
    uint64_t version;   /* PUBLISH */
    uint8_t root[CATALOG_ROOT_SIZE];
};

struct catalog_outbox {
    struct catalog_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

struct catalog;

struct catalog *catalog_new(const struct catalog_config *config); /* never NULL */
void catalog_free(struct catalog *catalog);
void catalog_step(struct catalog *catalog, struct mn_now now, const struct catalog_input *input,
                  struct catalog_outbox *outbox);
mn_time catalog_deadline(const struct catalog *catalog);
void catalog_check(const struct catalog *catalog);

/* The offers of [node] (our own id included) by name; *ret_count 0 when nothing is known. Borrowed
 * until the next step. */
const struct catalog_offer *catalog_offers(const struct catalog *catalog, const mn_id *node,
                                           uint32_t *ret_count);

/* A server name: [A-Za-z0-9_-]{1,64}. */
bool catalog_name_is_valid(struct mn_span name);

struct catalog_stats {
    size_t memory_used;
    uint32_t catalogs; /* of other nodes, held */
    uint32_t pulls;    /* under way: catalogs or bodies known of but not here yet */
    uint64_t refused;  /* messages that did not decode, verify or fit */
    uint64_t version;  /* of our own catalog; 0: none yet */
};

struct catalog_stats catalog_stats(const struct catalog *catalog);

#endif
