#include "proto/base/heap.h"

#include <stdbool.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

void mn_heap_done(struct mn_heap *heap)
{
    mn_free(heap->entries);
    *heap = (struct mn_heap){0};
}

static bool heap_is_before(const struct mn_heap_entry *a, const struct mn_heap_entry *b)
{
    return a->at != b->at ? a->at < b->at : a->tie < b->tie;
}

static void heap_place(struct mn_heap *heap, uint32_t index, struct mn_heap_entry *entry)
{
    heap->entries[index] = entry;
    entry->index_plus_one = index + 1;
}

static void heap_rise(struct mn_heap *heap, uint32_t index)
{
    struct mn_heap_entry *entry = heap->entries[index];

    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (!heap_is_before(entry, heap->entries[parent])) break;
        heap_place(heap, index, heap->entries[parent]);
        index = parent;
    }
    heap_place(heap, index, entry);
}

static void heap_sink(struct mn_heap *heap, uint32_t index)
{
    struct mn_heap_entry *entry = heap->entries[index];

    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count &&
            heap_is_before(heap->entries[child + 1], heap->entries[child]))
            child++;
        if (!heap_is_before(heap->entries[child], entry)) break;
        heap_place(heap, index, heap->entries[child]);
        index = child;
    }
    heap_place(heap, index, entry);
}

static void heap_append(struct mn_heap *heap, struct mn_heap_entry *entry)
{
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
        heap->entries = mn_realloc(heap->entries, heap->capacity * sizeof(struct mn_heap_entry *));
    }
    heap_place(heap, heap->count++, entry);
}

void mn_heap_set(struct mn_heap *heap, struct mn_heap_entry *entry, mn_time at)
{
    uint32_t index;

    if (at == MN_TIME_NEVER) {
        mn_heap_remove(heap, entry);
        return;
    }
    if (entry->index_plus_one != 0 && entry->at == at) return;
    entry->at = at;
    entry->tie = heap->tie_next++;
    if (entry->index_plus_one == 0) heap_append(heap, entry);
    index = entry->index_plus_one - 1;
    MN_ASSERT(heap->entries[index] == entry);
    heap_rise(heap, index);
    heap_sink(heap, entry->index_plus_one - 1);
}

void mn_heap_remove(struct mn_heap *heap, struct mn_heap_entry *entry)
{
    uint32_t index;
    struct mn_heap_entry *last;

    if (entry->index_plus_one == 0) return;
    index = entry->index_plus_one - 1;
    MN_ASSERT(index < heap->count && heap->entries[index] == entry);
    entry->index_plus_one = 0;
    last = heap->entries[--heap->count];
    if (last == entry) return;
    heap_place(heap, index, last);
    heap_rise(heap, index);
    heap_sink(heap, last->index_plus_one - 1);
}

struct mn_heap_entry *mn_heap_peek(const struct mn_heap *heap)
{
    return heap->count == 0 ? NULL : heap->entries[0];
}
