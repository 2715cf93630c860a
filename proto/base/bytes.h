/* bytes.h: spans and big-endian integers. A span borrows; it owns nothing. */
#ifndef MN_BYTES_H
#define MN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mn_span {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;         /* bytes */
};

static inline struct mn_span mn_span(const void *data, size_t size)
{
    return (struct mn_span){(const uint8_t *)data, size};
}

/* The characters of a C string, without its NUL. NULL gives an empty span. */
static inline struct mn_span mn_span_str(const char *text)
{
    return mn_span(text, text == NULL ? 0 : strlen(text));
}

static inline bool mn_span_equal(struct mn_span a, struct mn_span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool mn_span_is(struct mn_span span, const char *text)
{
    return mn_span_equal(span, mn_span_str(text));
}

/* Bytewise order, shorter first on a common prefix. */
static inline int mn_span_compare(struct mn_span a, struct mn_span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline void mn_store_u16(uint8_t *to, uint16_t v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
}

static inline uint16_t mn_load_u16(const uint8_t *from)
{
    return (uint16_t)((from[0] << 8) | from[1]);
}

static inline void mn_store_u32(uint8_t *to, uint32_t v)
{
    mn_store_u16(to, (uint16_t)(v >> 16));
    mn_store_u16(to + 2, (uint16_t)v);
}

static inline uint32_t mn_load_u32(const uint8_t *from)
{
    return ((uint32_t)mn_load_u16(from) << 16) | mn_load_u16(from + 2);
}

static inline void mn_store_u64(uint8_t *to, uint64_t v)
{
    mn_store_u32(to, (uint32_t)(v >> 32));
    mn_store_u32(to + 4, (uint32_t)v);
}

static inline uint64_t mn_load_u64(const uint8_t *from)
{
    return ((uint64_t)mn_load_u32(from) << 32) | mn_load_u32(from + 4);
}

#endif
