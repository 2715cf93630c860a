#include "node/mcp/wire/pieces.h"

#include <string.h>

#include "node/json/json.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define WRITTEN_MAX ((size_t)64 << 10) /* written out in one: what is longer is moved about */
#define DONE_FIRST 16

static void pieces_put(struct pieces *pieces, struct mn_buf *buf)
{
    if (pieces->done_count == pieces->done_capacity) {
        pieces->done_capacity = pieces->done_capacity == 0 ? DONE_FIRST : 2 * pieces->done_capacity;
        pieces->done = mn_realloc(pieces->done, pieces->done_capacity * sizeof(struct mn_buf *));
    }
    pieces->done[pieces->done_count++] = buf;
    pieces->done_size += buf->size;
}

static void pieces_flush(struct pieces *pieces)
{
    if (mn_writer_size(&pieces->writer) > 0) pieces_put(pieces, mn_writer_done(&pieces->writer));
}

static void pieces_write(struct mn_writer *writer, struct mn_span bytes, bool is_line)
{
    if (is_line)
        json_write_line(writer, bytes);
    else
        mn_writer_add(writer, bytes);
}

static void pieces_add_plain(struct pieces *pieces, struct mn_span bytes)
{
    if (pieces->source == NULL || bytes.size < MN_BUF_PART_MIN ||
        !mn_buf_has(pieces->source, bytes)) {
        pieces_write(&pieces->writer, bytes, pieces->is_line);
        if (pieces->source != NULL && mn_writer_size(&pieces->writer) >= WRITTEN_MAX)
            pieces_flush(pieces);
        return;
    }
    pieces_flush(pieces);
    pieces_put(pieces, mn_buf_part(pieces->source, bytes));
}

void pieces_add(struct pieces *pieces, struct mn_span bytes)
{
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.size;

    for (uint32_t i = 0; i < pieces->changes_count; i++) {
        struct pieces_change *change = &pieces->changes[i];
        if (change->begin == NULL || change->end <= at || change->begin >= end) continue;
        MN_ASSERT(change->begin >= at && change->end <= end);
        pieces_add_plain(pieces, mn_span(at, (size_t)(change->begin - at)));
        pieces_move(pieces, &change->pieces);
        at = change->end;
        change->begin = NULL;
    }
    pieces_add_plain(pieces, mn_span(at, (size_t)(end - at)));
}

void pieces_str(struct pieces *pieces, const char *text)
{
    mn_writer_str(&pieces->writer, text);
}

size_t pieces_size(const struct pieces *pieces)
{
    return pieces->done_size + mn_writer_size(&pieces->writer);
}

void pieces_move(struct pieces *to, struct pieces *from)
{
    struct mn_buf *piece;

    while ((piece = pieces_take(from)) != NULL) {
        if (piece->size >= MN_BUF_PART_MIN) {
            pieces_flush(to);
            pieces_put(to, piece);
            continue;
        }
        mn_writer_add(&to->writer, mn_buf_span(piece));
        mn_buf_unref(piece);
    }
    pieces_drop(from);
}

struct mn_buf *pieces_take(struct pieces *pieces)
{
    struct mn_buf *first;

    if (pieces->taken_count == pieces->done_count)
        return mn_writer_size(&pieces->writer) == 0 ? NULL : mn_writer_done(&pieces->writer);
    first = pieces->done[pieces->taken_count++];
    pieces->done_size -= first->size;
    return first;
}

/* The piece that byte [*at] is in; [*at] is its place there then. */
static struct mn_span pieces_at(const struct pieces *pieces, size_t *at)
{
    for (uint32_t i = pieces->taken_count; i < pieces->done_count; i++) {
        if (*at < pieces->done[i]->size) return mn_buf_span(pieces->done[i]);
        *at -= pieces->done[i]->size;
    }
    return mn_buf_span(pieces->writer.buf);
}

bool pieces_copy(const struct pieces *pieces, size_t *at, size_t size_max, bool is_line,
                 struct mn_writer *to)
{
    const size_t whole = pieces_size(pieces);

    while (*at < whole && size_max > 0) {
        size_t from = *at, size;
        struct mn_span piece = pieces_at(pieces, &from);
        size = piece.size - from < size_max ? piece.size - from : size_max;
        pieces_write(to, mn_span(piece.data + from, size), is_line);
        *at += size;
        size_max -= size;
    }
    return *at == whole;
}

void pieces_drop(struct pieces *pieces)
{
    struct mn_buf *buf;

    while ((buf = pieces_take(pieces)) != NULL)
        mn_buf_unref(buf);
    mn_writer_drop(&pieces->writer);
    mn_free(pieces->done);
    pieces->done = NULL;
    pieces->done_count = pieces->done_capacity = pieces->taken_count = 0;
}
