#include "proto/base/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/memory_large.h"

#define KEPT_MAX ((size_t)1024) /* bytes of a block that is kept for the next */
#define ALIGNMENT _Alignof(max_align_t)
#define CHUNK_SIZE ((size_t)16384 - sizeof(struct mn_arena_chunk))
#define CHUNK_KEPT_MAX ((size_t)512 * 1024) /* bytes that survive a reset */

/* Small blocks that were freed wait here for the next who wants their size. The C library's own
 * cache keeps seven of a size; a node with a hundred calls under way has more of each, and those
 * beyond seven took the long way through the heap: a twentieth of a call's time. Each thread has
 * its own. Not when a sanitizer watches: it shall see who uses what was freed. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KEEPS_BLOCKS 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS_BLOCKS 0
#endif
#ifndef KEEPS_BLOCKS
#define KEEPS_BLOCKS 1
#endif

#define KEPT_STEP ((size_t)16)              /* sizes of the C library's blocks differ by this */
#define KEPT_HEAD sizeof(size_t)            /* of each block, before its bytes */
#define KEPT_BYTES_MAX ((size_t)128 * 1024) /* of one size: of 256 calls under way */
#define KEPT_CLASSES (KEPT_MAX / KEPT_STEP + 2)

struct kept_block {
    struct kept_block *next;
};

struct kept_class {
    struct kept_block *first;
    size_t bytes;
};

static _Thread_local struct kept_class kept_classes[KEPT_CLASSES];

/* A block of class n has 16 n + 8 bytes for its owner. */
static struct kept_class *kept_class(size_t size)
{
    size_t class = (size + KEPT_HEAD + KEPT_STEP - 1) / KEPT_STEP - 1;
    return &kept_classes[class < 1 ? 1 : class];
}

/* Who grows a block may get one that is so many times as large: it most likely grows on. But not
 * when more than this is to be copied: the kernel moves pages faster. */
#define GROWTH_MAX 12
#define GROWTH_COPY_MAX ((size_t)3 << 20)

/* Not cleared; never NULL. */
static void *memory_take(size_t size)
{
    void *memory;

    if (size >= MEMORY_LARGE_MIN) {
        memory = memory_large_take(size, 2 * size);
        if (memory != NULL) return memory;
    }

    if (KEEPS_BLOCKS && size <= KEPT_MAX) {
        struct kept_class *class = kept_class(size);
        struct kept_block *block = class->first;
        if (block != NULL) {
            class->first = block->next;
            class->bytes -= (size_t)(class - kept_classes) * KEPT_STEP + KEPT_HEAD;
            return block;
        }
    }
    memory = malloc(size);
    MN_ASSERT(memory != NULL);
    return memory;
}

/* glibc's calloc() passes by the caches of small blocks: clearing them here costs a fraction of
 * that. Large ones come from the system, already cleared. */
void *mn_alloc(size_t size)
{
    void *memory;

    if (size == 0) size = 1;
    if (size <= KEPT_MAX) return memset(memory_take(size), 0, size);
    memory = calloc(1, size);
    MN_ASSERT(memory != NULL);
    return memory;
}

/* A block that has room for [size] bytes, this one or a kept one; NULL: there is none. */
static void *memory_grow(void *memory, size_t size)
{
    size_t before;
    void *grown;

    if (!KEEPS_BLOCKS) return NULL;
    before = malloc_usable_size(memory);
    if (before >= size) return before / GROWTH_MAX <= size ? memory : NULL;
    if (before > GROWTH_COPY_MAX) return NULL;
    grown = memory_large_take(size, GROWTH_MAX * size);
    if (grown == NULL) return NULL;
    memcpy(grown, memory, before);
    mn_free(memory);
    return grown;
}

void *mn_realloc(void *memory, size_t size)
{
    void *grown;

    if (size == 0) size = 1;
    if (memory == NULL) return memory_take(size);
    if (size >= MEMORY_LARGE_MIN && (grown = memory_grow(memory, size)) != NULL) return grown;
    memory = realloc(memory, size);
    MN_ASSERT(memory != NULL);
    return memory;
}

void mn_free(void *memory)
{
    if (memory == NULL) return;
    size_t size = KEEPS_BLOCKS ? malloc_usable_size(memory) : SIZE_MAX;
    if (size <= KEPT_MAX + KEPT_HEAD) {
        struct kept_class *class = kept_class(size);
        struct kept_block *block = memory;
        MN_ASSERT(class->first != block); /* freed twice in a row */
        if (class->bytes + size <= KEPT_BYTES_MAX) {
            block->next = class->first;
            class->first = block;
            class->bytes += size;
            return;
        }
    } else if (KEEPS_BLOCKS && memory_large_keep(memory, size)) {
        return;
    }
    free(memory);
}

void mn_memory_give_back(void)
{
    memory_large_drop();
    for (size_t i = 0; i < KEPT_CLASSES; i++) {
        struct kept_block *block;
        while ((block = kept_classes[i].first) != NULL) {
            kept_classes[i].first = block->next;
            free(block);
        }
        kept_classes[i].bytes = 0;
    }
}

/* In front of each pool block, so that a free knows what to give back. */
struct pool_block {
    _Alignas(max_align_t) size_t size; /* with this header */
};

void *mn_pool_alloc(struct mn_pool *pool, size_t size)
{
    struct pool_block *block;

    if (size > pool->limit || pool->used + sizeof *block + size > pool->limit) return NULL;
    block = mn_alloc(sizeof *block + size);
    block->size = sizeof *block + size;
    pool->used += block->size;
    return block + 1;
}

void *mn_pool_realloc(struct mn_pool *pool, void *memory, size_t size)
{
    struct pool_block *block;
    size_t old_size;

    if (memory == NULL) return mn_pool_alloc(pool, size);
    block = (struct pool_block *)memory - 1;
    old_size = block->size;
    if (size > pool->limit || pool->used - old_size + sizeof *block + size > pool->limit)
        return NULL;
    block = mn_realloc(block, sizeof *block + size);
    block->size = sizeof *block + size;
    if (block->size > old_size) memset((uint8_t *)block + old_size, 0, block->size - old_size);
    pool->used = pool->used - old_size + block->size;
    return block + 1;
}

void mn_pool_free(struct mn_pool *pool, void *memory)
{
    struct pool_block *block;

    if (memory == NULL) return;
    block = (struct pool_block *)memory - 1;
    MN_ASSERT(block->size <= pool->used);
    pool->used -= block->size;
    mn_free(block);
}

char *mn_pool_copy(struct mn_pool *pool, struct mn_span bytes)
{
    char *copy = mn_pool_alloc(pool, bytes.size + 1);
    if (copy != NULL && bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
    return copy;
}

struct mn_arena_chunk {
    _Alignas(max_align_t) struct mn_arena_chunk *older;
    size_t size; /* bytes after this header */
};

static uint8_t *chunk_bytes(struct mn_arena_chunk *chunk)
{
    return (uint8_t *)(chunk + 1);
}

static void arena_add_chunk(struct mn_arena *arena, size_t size)
{
    size_t chunk_size = size > CHUNK_SIZE ? size : CHUNK_SIZE;
    struct mn_arena_chunk *chunk = mn_realloc(NULL, sizeof *chunk + chunk_size);

    chunk->older = arena->chunk;
    chunk->size = chunk_size;
    arena->chunk = chunk;
    arena->used = 0;
}

/* Frees all chunks; returns how many bytes they had. */
static size_t arena_drop(struct mn_arena *arena)
{
    size_t size = 0;

    while (arena->chunk != NULL) {
        struct mn_arena_chunk *older = arena->chunk->older;
        size += arena->chunk->size;
        mn_free(arena->chunk);
        arena->chunk = older;
    }
    arena->used = 0;
    return size;
}

/* A busy turn wants one chunk that holds all of it, not to go through the heap for each frame that
 * comes; an idle one wants no memory kept. */
void mn_arena_reset(struct mn_arena *arena)
{
    struct mn_arena_chunk *chunk = arena->chunk;

    if (chunk == NULL) return;
#ifdef __SANITIZE_ADDRESS__
    arena_drop(arena); /* whoever looks at it after the turn is to be seen */
#else
    if (chunk->older != NULL) {
        size_t size = arena_drop(arena);
        arena_add_chunk(arena, size < CHUNK_KEPT_MAX ? size : CHUNK_KEPT_MAX);
    } else if (chunk->size > CHUNK_SIZE &&
               (chunk->size > CHUNK_KEPT_MAX || arena->used < chunk->size / 8)) {
        arena_drop(arena);
    }
    arena->used = 0;
#endif
}

void mn_arena_done(struct mn_arena *arena)
{
    arena_drop(arena);
}

void *mn_arena_alloc(struct mn_arena *arena, size_t size)
{
    size_t rounded = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    void *memory;

    MN_ASSERT(rounded >= size);
    if (arena->chunk == NULL || arena->chunk->size - arena->used < rounded)
        arena_add_chunk(arena, rounded);
    memory = chunk_bytes(arena->chunk) + arena->used;
    arena->used += rounded;
    return memory;
}

struct mn_span mn_arena_copy(struct mn_arena *arena, struct mn_span bytes)
{
    uint8_t *copy = mn_arena_alloc(arena, bytes.size + 1);
    if (bytes.size > 0) memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = 0;
    return mn_span(copy, bytes.size);
}

char *mn_arena_format(struct mn_arena *arena, const char *format, ...)
{
    va_list args, again;
    char *text;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    MN_ASSERT(size >= 0);
    text = mn_arena_alloc(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

void *mn_arena_grow(struct mn_arena *arena, void *items, uint32_t count, uint32_t *capacity,
                    size_t item_size)
{
    uint32_t new_capacity;
    void *grown;

    if (count < *capacity) return items;
    new_capacity = *capacity == 0 ? 16 : *capacity * 2;
    MN_ASSERT(new_capacity > *capacity);
    grown = mn_arena_alloc(arena, new_capacity * item_size);
    if (count > 0) memcpy(grown, items, count * item_size);
    *capacity = new_capacity;
    return grown;
}
