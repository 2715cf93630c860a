/* memory.h: where heap memory comes from. Three kinds, one rule each:
 *
 * mn_alloc: plain heap. Running out of memory stops the process, so no caller has a branch for it;
 * what grows with input is bounded by a pool or a queue instead.
 * mn_pool: heap with a byte bound, given to a core at init. Full: NULL, and the core answers
 * "busy". mn_arena: bump allocation for one turn or one message, released as a whole. */
#ifndef MN_MEMORY_H
#define MN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

/* Zeroed memory; never NULL. mn_free(NULL) does nothing. */
void *mn_alloc(size_t size);
void *mn_realloc(void *memory, size_t size);
void mn_free(void *memory);

/* Blocks that were freed and are kept for the next of their size go back to the C library: for when
 * a busy time is over. Those of this thread. */
void mn_memory_give_back(void);

/* Of the large blocks that this thread frees, keeps [bytes_max] for the next: the system takes time
 * to clear pages, and as much to take back those of 20 MiB at once (2 ms), while everybody waits.
 * What is freed beyond that goes back in slices, as long as it is not more than as much again. 0,
 * as it is at first: none is kept. */
void mn_memory_keep_large(size_t bytes_max);

/* Gives back one slice. True: there is more to do. */
bool mn_memory_step(void);

struct mn_pool {
    size_t used, limit; /* bytes, headers included */
};

static inline void mn_pool_init(struct mn_pool *pool, size_t limit)
{
    *pool = (struct mn_pool){0, limit};
}

/* Zeroed, aligned for any type; NULL when [size] would pass the limit. */
void *mn_pool_alloc(struct mn_pool *pool, size_t size);

/* Keeps the common prefix and zeroes what is new; on NULL the old block is untouched. */
void *mn_pool_realloc(struct mn_pool *pool, void *memory, size_t size);
void mn_pool_free(struct mn_pool *pool, void *memory);

/* A copy with a NUL after it; NULL when the pool is full. */
char *mn_pool_copy(struct mn_pool *pool, struct mn_span bytes);

struct mn_arena_chunk;

struct mn_arena {
    struct mn_arena_chunk *chunk; /* newest; a reset leaves one, as large as the turn was */
    size_t used;                  /* bytes taken from [chunk] */
};

/* A zero-initialised struct mn_arena is ready to use. */
void mn_arena_reset(struct mn_arena *arena);
void mn_arena_done(struct mn_arena *arena);

/* Aligned for any type, not zeroed; never NULL. Valid until the next reset. */
void *mn_arena_alloc(struct mn_arena *arena, size_t size);

/* A copy with a NUL after it (not counted). */
struct mn_span mn_arena_copy(struct mn_arena *arena, struct mn_span bytes);

/* printf into the arena; never NULL. */
char *mn_arena_format(struct mn_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For growing arrays such as outboxes: an array with room for at least one item more than [count].
 * Doubles *[capacity]; the items are moved, the old array stays allocated until the reset. */
void *mn_arena_grow(struct mn_arena *arena, void *items, uint32_t count, uint32_t *capacity,
                    size_t item_size);

#endif
