#include "proto/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

static size_t buf_memory_size(size_t size)
{
    MN_ASSERT(size <= UINT32_MAX - sizeof(struct mn_buf) - MN_BUF_PADDING);
    return sizeof(struct mn_buf) + size + MN_BUF_PADDING;
}

struct mn_buf *mn_buf_new(size_t size)
{
    struct mn_buf *buf = mn_realloc(NULL, buf_memory_size(size));
    *buf = (struct mn_buf){.size = (uint32_t)size, .refs = 1, .bytes = (uint8_t *)(buf + 1)};
    memset(buf->bytes + size, 0, MN_BUF_PADDING);
    return buf;
}

struct mn_buf *mn_buf_copy(struct mn_span bytes)
{
    struct mn_buf *buf = mn_buf_new(bytes.size);
    if (bytes.size > 0) memcpy(buf->bytes, bytes.data, bytes.size);
    return buf;
}

struct mn_buf *mn_buf_ref(struct mn_buf *buf)
{
    if (buf == NULL) return NULL;
    MN_ASSERT(buf->refs > 0 && buf->refs < UINT32_MAX);
    buf->refs++;
    return buf;
}

bool mn_buf_has(const struct mn_buf *buf, struct mn_span part)
{
    return part.data >= buf->bytes && part.size <= buf->size &&
           (size_t)(part.data - buf->bytes) <= buf->size - part.size;
}

bool mn_buf_is_alone(const struct mn_buf *buf)
{
    return buf->refs == 1 && (buf->whole == NULL || buf->whole->refs == 1);
}

struct mn_buf *mn_buf_part(struct mn_buf *buf, struct mn_span part)
{
    struct mn_buf *ret = mn_realloc(NULL, sizeof *ret);

    MN_ASSERT(mn_buf_has(buf, part));
    *ret = (struct mn_buf){.size = (uint32_t)part.size,
                           .refs = 1,
                           .bytes = buf->bytes + (part.data - buf->bytes),
                           .whole = mn_buf_ref(buf->whole != NULL ? buf->whole : buf)};
    return ret;
}

/* Worth to be referred to, and no small thing that keeps a large one alive. */
static bool buf_is_most(const struct mn_buf *buf, struct mn_span part)
{
    return part.size >= MN_BUF_PART_MIN && part.size >= buf->size / 2;
}

struct mn_buf *mn_buf_cut(struct mn_buf *buf, struct mn_span part)
{
    MN_ASSERT(mn_buf_has(buf, part));
    if (buf_is_most(buf, part)) return mn_buf_part(buf, part);
    if (buf->refs != 1 || buf->whole != NULL) return mn_buf_copy(part);
    memmove(buf->bytes, part.data, part.size);
    memset(buf->bytes + part.size, 0, MN_BUF_PADDING);
    buf->size = (uint32_t)part.size;
    return mn_buf_ref(buf);
}

struct mn_buf *mn_buf_behead(struct mn_buf *buf, struct mn_span part, struct mn_span head)
{
    struct mn_buf *ret;
    uint8_t *to;

    MN_ASSERT(mn_buf_has(buf, part));
    if (buf_is_most(buf, part) && buf->refs == 1 && buf->whole == NULL &&
        (size_t)(part.data - buf->bytes) >= head.size) {
        to = buf->bytes + (part.data - buf->bytes) - head.size;
        memcpy(to, head.data, head.size);
        return mn_buf_part(buf, mn_span(to, head.size + part.size));
    }
    ret = mn_buf_new(head.size + part.size);
    memcpy(ret->bytes, head.data, head.size);
    memcpy(ret->bytes + head.size, part.data, part.size);
    return ret;
}

/* Not recursive: the whole of a part is no part. */
struct mn_buf *mn_buf_unref(struct mn_buf *buf)
{
    struct mn_buf *whole;

    if (buf == NULL) return NULL;
    MN_ASSERT(buf->refs > 0);
    if (--buf->refs > 0) return NULL;
    whole = buf->whole;
    mn_free(buf);
    if (whole == NULL) return NULL;
    MN_ASSERT(whole->refs > 0 && whole->whole == NULL);
    if (--whole->refs == 0) mn_free(whole);
    return NULL;
}

static uint8_t *writer_grow(struct mn_writer *writer, size_t size)
{
    size_t used = mn_writer_size(writer), needed = used + size;

    MN_ASSERT(needed >= size);
    if (writer->buf == NULL || needed > writer->capacity) {
        size_t capacity = needed < 128 ? 128 : needed + needed / 2;
        writer->buf = mn_realloc(writer->buf, buf_memory_size(capacity));
        writer->buf->refs = 1;
        writer->buf->bytes = (uint8_t *)(writer->buf + 1);
        writer->buf->whole = NULL;
        writer->capacity = capacity;
    }
    writer->buf->size = (uint32_t)needed;
    return writer->buf->bytes + used;
}

static inline uint8_t *writer_take(struct mn_writer *writer, size_t size)
{
    struct mn_buf *buf = writer->buf;

    if (buf == NULL || size > writer->capacity - buf->size) return writer_grow(writer, size);
    buf->size += (uint32_t)size;
    return buf->bytes + (buf->size - size);
}

uint8_t *mn_writer_take(struct mn_writer *writer, size_t size)
{
    return writer_take(writer, size);
}

void mn_writer_reserve(struct mn_writer *writer, size_t size)
{
    size_t used = mn_writer_size(writer);

    mn_writer_take(writer, size);
    writer->buf->size = (uint32_t)used;
}

void mn_writer_number(struct mn_writer *writer, uint64_t number)
{
    char text[20]; /* digits of 2^64 - 1 */
    char *at = text + sizeof text;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    mn_writer_add(writer, mn_span(at, (size_t)(text + sizeof text - at)));
}

void mn_writer_add(struct mn_writer *writer, struct mn_span bytes)
{
    uint8_t *to = writer_take(writer, bytes.size);
    if (bytes.size > 0) memcpy(to, bytes.data, bytes.size);
}

void mn_writer_format(struct mn_writer *writer, const char *format, ...)
{
    va_list args, again;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    MN_ASSERT(size >= 0);
    /* vsnprintf() also writes a NUL: take it, then give it back. */
    vsnprintf((char *)mn_writer_take(writer, (size_t)size + 1), (size_t)size + 1, format, again);
    va_end(again);
    writer->buf->size--;
}

struct mn_buf *mn_writer_done(struct mn_writer *writer)
{
    struct mn_buf *buf;

    mn_writer_take(writer, 0);
    buf = writer->buf;
    memset(buf->bytes + buf->size, 0, MN_BUF_PADDING);
    *writer = (struct mn_writer){0};
    return buf;
}

void mn_writer_drop(struct mn_writer *writer)
{
    writer->buf = mn_buf_unref(writer->buf);
    writer->capacity = 0;
}
