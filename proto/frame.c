#include "proto/frame.h"

#include "proto/base/check.h"

_Static_assert(FRAME_WHOLE_MAX + FRAME_ITEM_HEAD_SIZE <= FRAME_PLAIN_MAX, "a whole one fits");
_Static_assert(sizeof FRAME_PREAMBLE - 1 == FRAME_PREAMBLE_SIZE, "preamble");
_Static_assert(FRAME_PLAIN_MAX == 65519, "as Noise has it");

mn_status frame_take_item(struct mn_span *plain, struct frame_item *ret)
{
    size_t size;

    if (plain->size == 0) return MN_NOT_FOUND;
    if (plain->size < FRAME_ITEM_HEAD_SIZE) return MN_MALFORMED;
    size = mn_load_u32(plain->data) & 0xffffff;
    if (size > plain->size - FRAME_ITEM_HEAD_SIZE) return MN_MALFORMED;
    ret->kind = (enum frame_kind)plain->data[0];
    ret->bytes = mn_span(plain->data + FRAME_ITEM_HEAD_SIZE, size);
    *plain = mn_span(ret->bytes.data + size, plain->size - FRAME_ITEM_HEAD_SIZE - size);
    return MN_OK;
}

void frame_write_item_head(uint8_t to[FRAME_ITEM_HEAD_SIZE], enum frame_kind kind, size_t size)
{
    MN_ASSERT(size <= FRAME_ITEM_MAX);
    mn_store_u32(to, (uint32_t)kind << 24 | (uint32_t)size);
}

mn_status frame_cut(struct mn_span stream, size_t size_min, size_t size_max, struct mn_span *ret,
                    size_t *ret_used)
{
    size_t size;

    if (stream.size < FRAME_LENGTH_SIZE) return MN_NOT_YET;
    size = mn_load_u16(stream.data);
    if (size > size_max) return MN_TOO_BIG;
    if (size < size_min) return MN_MALFORMED;
    if (size > stream.size - FRAME_LENGTH_SIZE) return MN_NOT_YET;
    *ret = mn_span(stream.data + FRAME_LENGTH_SIZE, size);
    *ret_used = FRAME_LENGTH_SIZE + size;
    return MN_OK;
}

mn_status frame_read_part(const struct frame_item *item, struct frame_part *ret)
{
    bool is_first = item->kind == FRAME_PART_FIRST;
    size_t head = is_first ? FRAME_PART_FIRST_HEAD_SIZE : FRAME_PART_HEAD_SIZE;
    uint32_t whole = 0;

    if (item->bytes.size <= head) return MN_MALFORMED; /* each part brings something */
    if (item->bytes.data[0] >= ENVELOPE_PRIORITIES) return MN_MALFORMED;
    if (is_first) {
        whole = mn_load_u32(item->bytes.data + 1);
        if (whole > ENVELOPE_SIZE_MAX) return MN_TOO_BIG;
        if (whole <= item->bytes.size - head) return MN_MALFORMED; /* it needs no parts */
    }
    ret->priority = item->bytes.data[0];
    ret->whole_size = whole;
    ret->bytes = mn_span(item->bytes.data + head, item->bytes.size - head);
    return MN_OK;
}
