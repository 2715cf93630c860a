#include "proto/base/map.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define SLOTS_MIN 16

/* FNV-1a over the bytes, then the finaliser of MurmurHash3 (both public domain). */
static uint64_t map_hash(const struct mn_map *map, struct mn_span key)
{
    uint64_t hash = map->seed ^ 0xcbf29ce484222325U;

    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * 0x100000001b3U;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdU;
    hash ^= hash >> 33;
    return hash;
}

void mn_map_init(struct mn_map *map, uint64_t seed)
{
    *map = (struct mn_map){.seed = seed};
}

void mn_map_done(struct mn_map *map)
{
    mn_free(map->slots);
    mn_map_init(map, map->seed);
}

static struct mn_map_entry **map_slot(const struct mn_map *map, uint64_t hash)
{
    return &map->slots[hash & (map->slots_count - 1)];
}

static struct mn_map_entry *map_find(const struct mn_map *map, struct mn_span key, uint64_t hash)
{
    for (struct mn_map_entry *entry = *map_slot(map, hash); entry != NULL; entry = entry->next)
        if (entry->hash == hash && mn_span_equal(entry->key, key)) return entry;
    return NULL;
}

struct mn_map_entry *mn_map_find(const struct mn_map *map, struct mn_span key)
{
    return map->count == 0 ? NULL : map_find(map, key, map_hash(map, key));
}

static void map_link(struct mn_map *map, struct mn_map_entry *entry)
{
    struct mn_map_entry **slot = map_slot(map, entry->hash);
    entry->next = *slot;
    *slot = entry;
}

static void map_grow(struct mn_map *map)
{
    struct mn_map old = *map;

    map->slots_count = old.slots_count == 0 ? SLOTS_MIN : old.slots_count * 2;
    map->slots = mn_alloc(map->slots_count * sizeof *map->slots);
    for (uint32_t i = 0; i < old.slots_count; i++) {
        struct mn_map_entry *entry = old.slots[i];
        while (entry != NULL) {
            struct mn_map_entry *next = entry->next;
            map_link(map, entry);
            entry = next;
        }
    }
    mn_free(old.slots);
}

void mn_map_insert(struct mn_map *map, struct mn_map_entry *entry, struct mn_span key)
{
    if (map->count >= map->slots_count) map_grow(map);
    entry->key = key;
    entry->hash = map_hash(map, key);
    MN_ASSERT(map_find(map, key, entry->hash) == NULL);
    map_link(map, entry);
    map->count++;
}

void mn_map_remove(struct mn_map *map, struct mn_map_entry *entry)
{
    struct mn_map_entry **link = map_slot(map, entry->hash);

    while (*link != entry) {
        MN_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = entry->next;
    map->count--;
    /* entry->next stays, so that mn_map_next() can go on from a removed entry. */
}

struct mn_map_entry *mn_map_next(const struct mn_map *map, const struct mn_map_entry *entry)
{
    uint32_t slot = 0;

    if (entry != NULL) {
        if (entry->next != NULL) return entry->next;
        slot = (uint32_t)(entry->hash & (map->slots_count - 1)) + 1;
    }
    for (; slot < map->slots_count; slot++)
        if (map->slots[slot] != NULL) return map->slots[slot];
    return NULL;
}

/* Heap sort: the standard library's qsort() may allocate, and is quadratic in some. */
static void map_sift(struct mn_map_entry **heap, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        struct mn_map_entry *moved = heap[at];
        if (child + 1 < count && mn_span_compare(heap[child]->key, heap[child + 1]->key) < 0)
            child++;
        if (mn_span_compare(moved->key, heap[child]->key) >= 0) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

struct mn_map_entry **mn_map_sorted(const struct mn_map *map)
{
    struct mn_map_entry **sorted = mn_alloc((map->count + 1) * sizeof(struct mn_map_entry *));
    struct mn_map_entry *entry = NULL;
    uint32_t count = 0;

    while ((entry = mn_map_next(map, entry)) != NULL)
        sorted[count++] = entry;
    for (uint32_t at = count / 2; at > 0; at--)
        map_sift(sorted, at - 1, count);
    for (uint32_t at = count; at > 1; at--) {
        struct mn_map_entry *last = sorted[at - 1];
        sorted[at - 1] = sorted[0];
        sorted[0] = last;
        map_sift(sorted, 0, at - 1);
    }
    return sorted;
}
