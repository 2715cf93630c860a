#include "proto/base/memory_large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define PAGE_SIZE ((uintptr_t)4096)       /* of no system that this runs on it is less */
#define SLICE_SIZE ((uintptr_t)256 << 10) /* bytes given back at once */

/* At the beginning of a block that is kept. */
struct large_block {
    struct large_block *next; /* a younger one */
    size_t size;
    uint8_t *end; /* what follows was given back */
};

static _Thread_local struct {
    struct large_block *oldest;
    size_t bytes, bytes_max; /* kept and not given back; of which so many may stay */
} large;

static size_t block_bytes(const struct large_block *block)
{
    return (size_t)(block->end - (const uint8_t *)block);
}

/* Out of the list, in which [from] leads to it. */
static struct large_block *block_remove(struct large_block **from)
{
    struct large_block *block = *from;

    *from = block->next;
    MN_ASSERT(large.bytes >= block_bytes(block));
    large.bytes -= block_bytes(block);
    return block;
}

void *memory_large_take(size_t size, size_t size_max)
{
    struct large_block **best = NULL;

    for (struct large_block **at = &large.oldest; *at != NULL; at = &(*at)->next)
        if ((*at)->size >= size && (*at)->size <= size_max &&
            (best == NULL || (*at)->size < (*best)->size))
            best = at;
    return best == NULL ? NULL : block_remove(best);
}

/* Beyond twice of what may stay nobody waits for the slices. */
bool memory_large_keep(void *memory, size_t size)
{
    struct large_block *block = memory, **last = &large.oldest;

    if (size < MEMORY_LARGE_MIN || large.bytes + size > 2 * large.bytes_max) return false;
    while (*last != NULL)
        last = &(*last)->next;
    *block = (struct large_block){.size = size, .end = (uint8_t *)memory + size};
    *last = block;
    large.bytes += size;
    return true;
}

void memory_large_drop(void)
{
    while (large.oldest != NULL)
        free(block_remove(&large.oldest));
}

void mn_memory_keep_large(size_t bytes_max)
{
    large.bytes_max = bytes_max;
    if (bytes_max == 0) memory_large_drop();
}

/* Pages from the end of the oldest block; its first one stays with the list. */
bool mn_memory_step(void)
{
    struct large_block *block = large.oldest;
    uintptr_t first, end;

    if (large.bytes <= large.bytes_max) return false;
    first = ((uintptr_t)(block + 1) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    end = (uintptr_t)block->end & ~(PAGE_SIZE - 1);
    if (end <= first + SLICE_SIZE) {
        free(block_remove(&large.oldest));
    } else {
        uint8_t *from = block->end - ((uintptr_t)block->end - end + SLICE_SIZE);
        madvise(from, SLICE_SIZE, MADV_DONTNEED); /* refused: they go with the block */
        large.bytes -= (size_t)(block->end - from);
        block->end = from;
    }
    return large.bytes > large.bytes_max;
}
