#include "node/mcp/wire/pieces.h"

static void pieces_put(struct pieces *pieces, struct mn_buf *buf)
{
    pieces->done[pieces->done_count++] = buf;
    pieces->done_size += buf->size;
}

void pieces_add(struct pieces *pieces, struct mn_span bytes)
{
    bool is_long = pieces->source != NULL && bytes.size >= MN_BUF_PART_MIN &&
                   pieces->done_count + 2 <= PIECES_MAX && mn_buf_has(pieces->source, bytes);

    if (!is_long) {
        mn_writer_add(&pieces->writer, bytes);
        return;
    }
    if (mn_writer_size(&pieces->writer) > 0) pieces_put(pieces, mn_writer_done(&pieces->writer));
    pieces_put(pieces, mn_buf_part(pieces->source, bytes));
}

void pieces_str(struct pieces *pieces, const char *text)
{
    mn_writer_str(&pieces->writer, text);
}

size_t pieces_size(const struct pieces *pieces)
{
    return pieces->done_size + mn_writer_size(&pieces->writer);
}

struct mn_buf *pieces_take(struct pieces *pieces)
{
    struct mn_buf *first;

    if (pieces->done_count == 0)
        return mn_writer_size(&pieces->writer) == 0 ? NULL : mn_writer_done(&pieces->writer);
    first = pieces->done[0];
    pieces->done_size -= first->size;
    pieces->done_count--;
    memmove(pieces->done, pieces->done + 1, pieces->done_count * sizeof *pieces->done);
    return first;
}

void pieces_drop(struct pieces *pieces)
{
    struct mn_buf *buf;

    while ((buf = pieces_take(pieces)) != NULL)
        mn_buf_unref(buf);
    mn_writer_drop(&pieces->writer);
}
