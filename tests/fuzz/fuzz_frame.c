/* Arbitrary bytes as a stream of messages, and as the items of a frame. */
#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_items(struct mn_span plain)
{
    struct mn_span rest = plain;
    struct frame_item item;
    struct frame_part part;

    while (frame_take_item(&rest, &item) == MN_OK) {
        MN_ASSERT(item.bytes.data + item.bytes.size == rest.data);
        if (item.kind != FRAME_PART_FIRST && item.kind != FRAME_PART) continue;
        if (frame_read_part(&item, &part) != MN_OK) continue;
        MN_ASSERT(part.bytes.size > 0 && part.bytes.data > item.bytes.data);
    }
    MN_ASSERT(rest.size <= plain.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_span stream = mn_span(data, size), message;
    size_t used;

    read_items(stream);
    while (frame_cut(stream, 1, FRAME_SEALED_MAX, &message, &used) == MN_OK) {
        MN_ASSERT(used == message.size + FRAME_LENGTH_SIZE && used <= stream.size);
        read_items(message);
        stream = mn_span(stream.data + used, stream.size - used);
    }
    return 0;
}
