/* buf.h: payload bytes, written once by their maker, then shared and read-only. A message to forty
 * peers is one copy and forty refs. The count is plain, not atomic: buffers stay on the loop
 * thread, and a worker borrows under a ref that the loop holds. */
#ifndef MN_BUF_H
#define MN_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

/* Readable bytes after the end of every buffer: simdjson reads ahead. They are zero, but for a part
 * of another buffer. */
#define MN_BUF_PADDING 64

/* From so many bytes on it is cheaper to refer to them than to copy them, for a page that is
 * touched for the first time costs more than copying it. */
#define MN_BUF_PART_MIN ((size_t)16 << 10)

struct mn_buf {
    uint32_t size; /* bytes in use; the maker may lower it before sharing */
    uint32_t refs;
    uint8_t *bytes;
    struct mn_buf *whole; /* NULL, or the buffer that this one is a part of: one ref */
};

/* One ref, [size] unset bytes, zero padding after them; never NULL. */
struct mn_buf *mn_buf_new(size_t size);
struct mn_buf *mn_buf_copy(struct mn_span bytes);

/* Takes one more ref and returns [buf]; NULL gives NULL. */
struct mn_buf *mn_buf_ref(struct mn_buf *buf);

/* Whether [part] lies in [buf]. */
bool mn_buf_has(const struct mn_buf *buf, struct mn_span part);

/* Whether nobody else has a ref to its bytes: then they may be changed. */
bool mn_buf_is_alone(const struct mn_buf *buf);

/* A buffer that is [part] of [buf], and keeps all of that alive: nothing is copied. */
struct mn_buf *mn_buf_part(struct mn_buf *buf, struct mn_span part);

/* A ref to a buffer that holds only [part], which is some of [buf]: a part of it when that is long
 * and most of it; else the same buffer when nobody else has a ref, whose bytes then have moved;
 * else a copy. */
struct mn_buf *mn_buf_cut(struct mn_buf *buf, struct mn_span part);

/* A buffer of [head] and then [part], which is some of [buf]. When that is long and most of it,
 * nobody else has a ref, and there is room in front of it, [head] overwrites what stands there, and
 * the rest is not copied. */
struct mn_buf *mn_buf_behead(struct mn_buf *buf, struct mn_span part, struct mn_span head);

/* Gives one ref back; always returns NULL, so that `buf = mn_buf_unref(buf)` forgets it. */
struct mn_buf *mn_buf_unref(struct mn_buf *buf);

static inline struct mn_span mn_buf_span(const struct mn_buf *buf)
{
    return buf == NULL ? mn_span(NULL, 0) : mn_span(buf->bytes, buf->size);
}

/* Growing bytes while a message is being written. Zero-initialised is empty and ready. */
struct mn_writer {
    struct mn_buf *buf; /* NULL while empty */
    size_t capacity;    /* bytes that fit without growing */
};

/* Room for [size] more bytes at the end; the caller fills them, they count at once. */
uint8_t *mn_writer_take(struct mn_writer *writer, size_t size);
/* Makes room for [size] more bytes, which do not count yet: one allocation for all that follows. */
void mn_writer_reserve(struct mn_writer *writer, size_t size);

void mn_writer_add(struct mn_writer *writer, struct mn_span bytes);
void mn_writer_number(struct mn_writer *writer, uint64_t number); /* in decimal digits */

/* The size of a literal is known when this is compiled. */
static inline void mn_writer_str(struct mn_writer *writer, const char *text)
{
    mn_writer_add(writer, mn_span_str(text));
}

void mn_writer_format(struct mn_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The finished buffer, whose ref the caller now owns (never NULL); the writer is empty again. */
struct mn_buf *mn_writer_done(struct mn_writer *writer);
void mn_writer_drop(struct mn_writer *writer);

static inline size_t mn_writer_size(const struct mn_writer *writer)
{
    return writer->buf == NULL ? 0 : writer->buf->size;
}

#endif
