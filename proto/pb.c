#include "proto/pb.h"

#include "proto/base/check.h"

/* What a decoding may still take. */
struct budget {
    struct mn_arena *arena;
    size_t left; /* bytes */
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;

    if (size > budget->left) return NULL;
    budget->left -= size;
    return mn_arena_alloc(budget->arena, size);
}

static void budget_free(void *data, void *memory)
{
    (void)data;
    (void)memory; /* the arena releases everything at once */
}

void *pb_unpack(const ProtobufCMessageDescriptor *descriptor, struct mn_arena *arena,
                struct mn_span bytes)
{
    static const uint8_t nothing;
    struct budget budget = {arena, 0};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};

    if (bytes.size > (SIZE_MAX - PB_MEMORY_BASE) / PB_MEMORY_FACTOR) return NULL;
    budget.left = PB_MEMORY_BASE + PB_MEMORY_FACTOR * bytes.size;
    if (bytes.size == 0) bytes.data = &nothing;
    return protobuf_c_message_unpack(descriptor, &allocator, bytes.size, bytes.data);
}

static size_t write_varint(uint64_t value, uint8_t *to)
{
    size_t size = 0;

    for (; value >= 0x80; value >>= 7)
        to[size++] = (uint8_t)(value | 0x80);
    to[size++] = (uint8_t)value;
    return size;
}

size_t pb_bytes_head(uint32_t field, size_t size, uint8_t to[PB_BYTES_HEAD_MAX])
{
    size_t used = write_varint((uint64_t)field << 3 | 2, to);

    MN_ASSERT(size <= UINT32_MAX);
    return used + write_varint(size, to + used);
}

struct mn_buf *pb_pack(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    struct mn_buf *buf = mn_buf_new(size);
    size_t written = protobuf_c_message_pack(message, buf->bytes);

    MN_ASSERT(written == size);
    return buf;
}

struct mn_span pb_pack_arena(const ProtobufCMessage *message, struct mn_arena *arena)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = mn_arena_alloc(arena, size);
    size_t written = protobuf_c_message_pack(message, bytes);

    MN_ASSERT(written == size);
    return mn_span(bytes, size);
}

ProtobufCBinaryData pb_bytes(struct mn_span span)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } pointer = {.in = span.data};

    return (ProtobufCBinaryData){span.size, pointer.out};
}

mn_status pb_fixed(ProtobufCBinaryData bytes, void *to, size_t size)
{
    if (bytes.len != size) return MN_MALFORMED;
    memcpy(to, bytes.data, size);
    return MN_OK;
}

mn_status pb_id(ProtobufCBinaryData bytes, mn_id *ret)
{
    return pb_fixed(bytes, ret->bytes, sizeof ret->bytes);
}
