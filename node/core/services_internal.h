/* services_internal.h: what services.c and services_owner.c share; nobody else includes it. */
#ifndef SERVICES_INTERNAL_H
#define SERVICES_INTERNAL_H

#include "node/core/services.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

/* Nodes of one name. */
struct group {
    struct mn_map_entry in_map;
    struct mn_list nodes;
    uint32_t count;
    char name[SERVICES_NODE_NAME_MAX + 1];
};

struct node {
    struct mn_map_entry in_map;
    struct mn_list in_group;
    struct group *group;
    mn_id id;
    char label[SERVICES_NODE_NAME_MAX + 1]; /* NODE of NAME.NODE */
    struct catalog_offer *offers;           /* names are our own copies */
    uint32_t offers_count;
    bool is_suspect;
};

/* All that is offered under one server name. */
struct base {
    struct mn_map_entry in_map;
    struct mn_list in_dirty;                    /* changed since the last publish */
    struct services_provider *providers, *main; /* main: those of NAME itself */
    uint32_t count, capacity, main_count;       /* main_count 0: a conflict */
    uint32_t owners_count;                      /* those that NAME was chosen from */
    bool is_kept; /* none of them is the owner's: NAME is nobody's until that one is back */
    char name[CATALOG_OFFER_NAME_MAX + 1];
};

/* A service as the gateway knows it. */
struct services_entry {
    char name[CALL_NAME_MAX + 1];
    size_t name_size;
    struct base *base;
    struct mn_buf *body; /* our ref; NULL for a conflict */
    uint8_t hash[CATALOG_HASH_SIZE];
    uint32_t providers_count;
    bool is_listed, is_conflict, is_kept;
    bool is_wanted; /* scratch of a publish */
};

/* Whose a name is. */
struct owner {
    struct mn_map_entry in_map;
    struct services_owner said; /* its name is ours, below */
    char name[CATALOG_OFFER_NAME_MAX + 1];
};

struct services {
    struct mn_map nodes, groups, bases, owners;
    uint64_t changes; /* of offers and owners */
    struct mn_list dirty;
    struct services_entry **entries; /* by name */
    uint32_t entries_count, entries_capacity;
    struct mn_trace *trace;
};

/* services.c: who has that name is to be judged anew. */
struct base *services_base(const struct services *services, struct mn_span name);
struct node *services_node(const struct services *services, const mn_id *id);
void services_mark(struct services *services, struct base *base);

/* services_owner.c */
void services_owners_done(struct services *services);

#endif
