#include "node/edge.h"

struct edge_output *edge_emit(struct edge_outbox *outbox, enum edge_output_type type, uint64_t id)
{
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct edge_output){.type = type, .id = id};
    return &outbox->items[outbox->count++];
}

uint64_t edge_emit_write(struct edge_outbox *outbox, struct mn_span key, struct mn_span value)
{
    struct edge_output *write = edge_emit(outbox, EDGE_OUT_WRITE, ++outbox->writes_count);

    write->key = mn_arena_copy(outbox->arena, key);
    if (value.data != NULL) write->bytes = mn_arena_copy(outbox->arena, value);
    return write->id;
}

void edge_outbox_reset(struct edge_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        mn_buf_unref(outbox->items[i].buf);
    outbox->items = NULL;
    outbox->count = outbox->capacity = 0;
    mn_arena_reset(outbox->arena);
}
