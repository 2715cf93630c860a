/* Server-sent events: however the bytes are split, the same events come out, within the bound. The
 * first byte says how they are split. */
#include <stdlib.h>

#include "node/mcp/wire/sse.h"

#define SIZE_MAX_OF_EVENT 64

static void read_in_steps(const uint8_t *data, size_t size, size_t step, struct mn_writer *events)
{
    struct sse_reader reader;
    struct sse_event event;

    sse_reader_init(&reader, SIZE_MAX_OF_EVENT);
    for (size_t at = 0; at < size; at += step) {
        size_t left = size - at;
        struct mn_span bytes = mn_span(data + at, left < step ? left : step);
        while (sse_reader_next(&reader, &bytes, &event)) {
            if (event.data->size > SIZE_MAX_OF_EVENT || event.id.size > SSE_FIELD_SIZE_MAX) abort();
            mn_writer_add(events, event.type);
            mn_writer_str(events, "|");
            mn_writer_add(events, event.id);
            mn_writer_str(events, "|");
            mn_writer_add(events, mn_buf_span(event.data));
            mn_writer_str(events, "\n");
        }
        if (bytes.size != 0) abort();
    }
    mn_writer_str(events, sse_reader_status(&reader) == MN_OK ? "ok" : "broken");
    sse_reader_done(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_writer whole = {0}, split = {0};

    if (size == 0) return 0;
    read_in_steps(data + 1, size - 1, size, &whole);
    read_in_steps(data + 1, size - 1, 1 + data[0] % 16, &split);
    if (!mn_span_equal(mn_buf_span(whole.buf), mn_buf_span(split.buf))) abort();
    mn_writer_drop(&whole);
    mn_writer_drop(&split);
    return 0;
}
