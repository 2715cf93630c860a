/* map.h: intrusive chained hash map, keyed by bytes that live in the entry or are owned by it.
 * Iteration order depends only on the keys, the seed and the history of calls, never on addresses,
 * so that one simulator seed replays to the same trace. What users see is sorted by the caller. */
#ifndef MN_MAP_H
#define MN_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/list.h"

struct mn_map_entry {
    struct mn_map_entry *next;
    struct mn_span key; /* borrowed; must not move or change while in the map */
    uint64_t hash;
};

struct mn_map {
    struct mn_map_entry **slots;
    uint32_t slots_count; /* 0 or a power of two */
    uint32_t count;
    uint64_t seed; /* drawn by the owner where keys come from outside */
};

void mn_map_init(struct mn_map *map, uint64_t seed);

/* Frees the table, not the entries. */
void mn_map_done(struct mn_map *map);

struct mn_map_entry *mn_map_find(const struct mn_map *map, struct mn_span key);

/* The key must not be in the map yet. */
void mn_map_insert(struct mn_map *map, struct mn_map_entry *entry, struct mn_span key);
void mn_map_remove(struct mn_map *map, struct mn_map_entry *entry);

/* Walks all entries: start with NULL, ends with NULL. The one just returned may be removed. */
struct mn_map_entry *mn_map_next(const struct mn_map *map, const struct mn_map_entry *entry);

/* All entries in order of key, bytewise; the array is the caller's to mn_free(). */
struct mn_map_entry **mn_map_sorted(const struct mn_map *map);

#endif
