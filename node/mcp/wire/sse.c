#include "node/mcp/wire/sse.h"

#include "node/json/json.h"
#include "proto/base/text.h"

void sse_begin_message(struct mn_writer *writer, struct mn_span id)
{
    mn_writer_str(writer, "event: message\n");
    if (id.size > 0) {
        mn_writer_str(writer, "id: ");
        mn_writer_add(writer, id);
        mn_writer_str(writer, "\n");
    }
    mn_writer_str(writer, "data: ");
}

void sse_write_message(struct mn_writer *writer, struct mn_span id, struct mn_span json)
{
    sse_begin_message(writer, id);
    json_write_line(writer, json);
    mn_writer_str(writer, SSE_END);
}

void sse_write_priming(struct mn_writer *writer, struct mn_span id, uint32_t retry_ms)
{
    mn_writer_str(writer, "id: ");
    mn_writer_add(writer, id);
    mn_writer_format(writer, "\nretry: %u\ndata: \n\n", retry_ms);
}

void sse_write_keepalive(struct mn_writer *writer)
{
    mn_writer_str(writer, ": keep-alive\n\n");
}

void sse_reader_init(struct sse_reader *reader, size_t size_max)
{
    *reader = (struct sse_reader){.size_max = size_max};
}

void sse_reader_done(struct sse_reader *reader)
{
    mn_writer_drop(&reader->line);
    mn_writer_drop(&reader->data);
    mn_writer_drop(&reader->type);
    mn_writer_drop(&reader->id);
    reader->event_data = mn_buf_unref(reader->event_data);
}

mn_status sse_reader_status(const struct sse_reader *reader)
{
    return reader->is_broken ? MN_TOO_BIG : MN_OK;
}

struct mn_span sse_reader_id(const struct sse_reader *reader)
{
    return mn_buf_span(reader->id.buf);
}

static void sse_break(struct sse_reader *reader)
{
    reader->is_broken = true;
    mn_writer_drop(&reader->line);
    mn_writer_drop(&reader->data);
}

/* A mark, and "data: ": so that the bound of data is the same, however a line of them is split. */
#define LINE_HEAD_MAX 9

static void sse_clear(struct mn_writer *writer)
{
    if (writer->buf != NULL) writer->buf->size = 0;
}

static void sse_set(struct mn_writer *writer, struct mn_span value)
{
    if (value.size > SSE_FIELD_SIZE_MAX) return;
    sse_clear(writer);
    mn_writer_add(writer, value);
}

static void sse_on_retry(struct sse_reader *reader, struct mn_span value)
{
    uint64_t ms = 0;

    if (value.size == 0 || value.size > 9) return;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return;
        ms = ms * 10 + (uint64_t)(value.data[i] - '0');
    }
    reader->retry_ms = ms;
}

static void sse_on_data(struct sse_reader *reader, struct mn_span value)
{
    if (mn_writer_size(&reader->data) + reader->has_data + value.size > reader->size_max) {
        sse_break(reader);
        return;
    }
    if (reader->has_data) mn_writer_str(&reader->data, "\n");
    mn_writer_add(&reader->data, value);
    reader->has_data = true;
}

static void sse_on_field(struct sse_reader *reader, struct mn_span name, struct mn_span value)
{
    if (mn_span_is(name, "data"))
        sse_on_data(reader, value);
    else if (mn_span_is(name, "event"))
        sse_set(&reader->type, value);
    else if (mn_span_is(name, "retry"))
        sse_on_retry(reader, value);
    else if (mn_span_is(name, "id") &&
             (value.size == 0 || memchr(value.data, 0, value.size) == NULL))
        sse_set(&reader->id, value);
}

/* An empty line. True when that completes an event. */
static bool sse_on_end(struct sse_reader *reader, struct sse_event *ret)
{
    mn_writer_take(&reader->type, 0);
    mn_writer_take(&reader->id, 0);
    if (!reader->has_data) {
        sse_clear(&reader->type);
        return false;
    }
    reader->event_data = mn_writer_done(&reader->data);
    reader->has_data = false;
    ret->type = mn_buf_span(reader->type.buf);
    if (ret->type.size == 0) ret->type = mn_span_str("message");
    ret->id = mn_buf_span(reader->id.buf);
    ret->data = reader->event_data;
    return true;
}

/* Without the mark that a stream may begin with. */
static struct mn_span sse_without_mark(const struct sse_reader *reader, struct mn_span line)
{
    return reader->is_started ? line : mn_text_without_mark(line);
}

/* What follows the colon. */
static struct mn_span sse_value(struct mn_span line, size_t name_size)
{
    size_t size = line.size - name_size - 1;
    const uint8_t *value = line.data + name_size + 1;

    return size > 0 && *value == ' ' ? mn_span(value + 1, size - 1) : mn_span(value, size);
}

/* The unfinished line may be a long one: once it shows that it is data it need not be whole. */
static void sse_begin_data(struct sse_reader *reader)
{
    static const char name[] = "data:";
    struct mn_span line = sse_without_mark(reader, mn_buf_span(reader->line.buf));

    if (line.size < sizeof name || memcmp(line.data, name, sizeof name - 1) != 0) return;
    reader->is_started = reader->is_in_data = true;
    sse_on_data(reader, sse_value(line, sizeof name - 2));
    mn_writer_drop(&reader->line);
}

static void sse_add_data(struct sse_reader *reader, struct mn_span more)
{
    if (mn_writer_size(&reader->data) + more.size > reader->size_max)
        sse_break(reader);
    else
        mn_writer_add(&reader->data, more);
}

/* One whole line, without its end. True when it completes an event. */
static bool sse_on_line(struct sse_reader *reader, struct mn_span line, struct sse_event *ret)
{
    const uint8_t *colon;
    struct mn_span name, value = {0};

    line = name = sse_without_mark(reader, line);
    reader->is_started = true;
    if (line.size == 0) return sse_on_end(reader, ret);
    colon = memchr(line.data, ':', line.size);
    if (colon == line.data) return false; /* a comment */
    if (colon != NULL) {
        name = mn_span(line.data, (size_t)(colon - line.data));
        value = sse_value(line, name.size);
    }
    sse_on_field(reader, name, value);
    return false;
}

static size_t sse_line_size(struct mn_span bytes)
{
    const uint8_t *lf = memchr(bytes.data, '\n', bytes.size);
    size_t size = lf == NULL ? bytes.size : (size_t)(lf - bytes.data);
    const uint8_t *cr = memchr(bytes.data, '\r', size);

    return cr == NULL ? size : (size_t)(cr - bytes.data);
}

/* Takes one line, or what there is of it, off the front of [bytes]. True: an event is complete. */
static bool sse_take_line(struct sse_reader *reader, struct mn_span *bytes, struct sse_event *ret)
{
    size_t size = sse_line_size(*bytes);
    struct mn_span line = mn_span(bytes->data, size);
    bool is_whole = size < bytes->size, is_event;

    if (mn_writer_size(&reader->line) + size > reader->size_max + LINE_HEAD_MAX) {
        sse_break(reader);
        return false;
    }
    if (is_whole) {
        reader->after_cr = bytes->data[size] == '\r';
        size++;
    }
    *bytes = mn_span(bytes->data + size, bytes->size - size);
    if (reader->is_in_data) {
        sse_add_data(reader, line);
        reader->is_in_data = !is_whole;
        return false;
    }
    if (!is_whole || mn_writer_size(&reader->line) > 0) {
        mn_writer_add(&reader->line, line);
        line = mn_buf_span(reader->line.buf);
    }
    if (!is_whole) {
        sse_begin_data(reader);
        return false;
    }
    is_event = sse_on_line(reader, line, ret);
    mn_writer_drop(&reader->line);
    return is_event;
}

bool sse_reader_next(struct sse_reader *reader, struct mn_span *bytes, struct sse_event *ret)
{
    if (reader->event_data != NULL) { /* of the event given out before */
        reader->event_data = mn_buf_unref(reader->event_data);
        sse_clear(&reader->type);
    }
    while (bytes->size > 0 && !reader->is_broken) {
        if (reader->after_cr && bytes->data[0] == '\n') { /* the second half of CRLF */
            *bytes = mn_span(bytes->data + 1, bytes->size - 1);
            reader->after_cr = false;
            continue;
        }
        reader->after_cr = false;
        if (sse_take_line(reader, bytes, ret)) return true;
    }
    *bytes = mn_span(NULL, 0);
    return false;
}
