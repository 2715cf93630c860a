/* heap.h: indexed binary heap of deadlines. An entry knows its place, so moving or removing one is
 * O(log n). Equal times come out in the order of [tie], so that replays agree. */
#ifndef MN_HEAP_H
#define MN_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"

struct mn_heap_entry {
    mn_time at;
    uint64_t tie;
    uint32_t index_plus_one; /* 0: not in a heap */
};

struct mn_heap {
    struct mn_heap_entry **entries;
    uint32_t count, capacity;
    uint64_t tie_next;
};

/* A zero-initialised heap is empty and ready; done frees the array, not the entries. */
void mn_heap_done(struct mn_heap *heap);

/* Inserts the entry, or moves it; MN_TIME_NEVER takes it out. */
void mn_heap_set(struct mn_heap *heap, struct mn_heap_entry *entry, mn_time at);
void mn_heap_remove(struct mn_heap *heap, struct mn_heap_entry *entry);

/* The earliest entry, left where it is; NULL when empty. */
struct mn_heap_entry *mn_heap_peek(const struct mn_heap *heap);

static inline mn_time mn_heap_deadline(const struct mn_heap *heap)
{
    const struct mn_heap_entry *first = mn_heap_peek(heap);
    return first == NULL ? MN_TIME_NEVER : first->at;
}

#endif
