/* memory_large.h: the inside of memory.c: large blocks that were freed and wait for the next who
 * wants one. Nobody else includes it. Those of this thread. */
#ifndef MN_MEMORY_LARGE_H
#define MN_MEMORY_LARGE_H

#include <stdbool.h>
#include <stddef.h>

#define MEMORY_LARGE_MIN ((size_t)1 << 20)

/* A kept block of at least [size] bytes and at most [size_max], not cleared; NULL: there is none.
 */
void *memory_large_take(size_t size, size_t size_max);

/* Keeps a block of [size] bytes; false: it is to be freed at once. */
bool memory_large_keep(void *memory, size_t size);

/* Frees all that are kept. */
void memory_large_drop(void);

#endif
