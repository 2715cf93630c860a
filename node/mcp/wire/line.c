#include "node/mcp/wire/line.h"

void line_init(struct line *line, size_t size_max)
{
    *line = (struct line){.size_max = size_max};
}

void line_done(struct line *line)
{
    mn_writer_drop(&line->partial);
}

static struct mn_span line_without_cr(struct mn_span text)
{
    if (text.size > 0 && text.data[text.size - 1] == '\r') text.size--;
    return text;
}

/* The line whose last part is [rest]; NULL when it is blank. */
static struct mn_buf *line_finish(struct line *line, struct mn_span rest)
{
    if (mn_writer_size(&line->partial) == 0) {
        rest = line_without_cr(rest);
        return rest.size == 0 ? NULL : mn_buf_copy(rest);
    }
    mn_writer_add(&line->partial, rest);
    struct mn_buf *buf = mn_writer_done(&line->partial);
    size_t size = line_without_cr(mn_buf_span(buf)).size;
    if (size == 0) return mn_buf_unref(buf);
    if (size < buf->size) {
        buf->bytes[size] = 0; /* padding is zero */
        buf->size = (uint32_t)size;
    }
    return buf;
}

enum line_result line_next(struct line *line, struct mn_span *bytes, struct mn_buf **ret)
{
    while (bytes->size > 0) {
        const uint8_t *end = memchr(bytes->data, '\n', bytes->size);
        size_t size = end == NULL ? bytes->size : (size_t)(end - bytes->data);
        struct mn_span part = mn_span(bytes->data, size);

        size_t taken = end == NULL ? size : size + 1;
        *bytes = mn_span(bytes->data + taken, bytes->size - taken);
        if (mn_writer_size(&line->partial) + size > line->size_max) {
            mn_writer_drop(&line->partial);
            return LINE_TOO_LONG;
        }
        if (end == NULL) {
            mn_writer_add(&line->partial, part);
            return LINE_MORE;
        }
        struct mn_buf *buf = line_finish(line, part);
        if (buf != NULL) {
            *ret = buf;
            return LINE_READY;
        }
    }
    return LINE_MORE;
}

struct mn_buf *line_last(struct line *line)
{
    return line_finish(line, mn_span(NULL, 0));
}
