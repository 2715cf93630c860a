#include "node/edge.h"

struct edge_output *edge_emit(struct edge_outbox *outbox, enum edge_output_type type, uint64_t id)
{
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct edge_output){.type = type, .id = id};
    return &outbox->items[outbox->count++];
}

void edge_outbox_reset(struct edge_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        mn_buf_unref(outbox->items[i].buf);
    outbox->items = NULL;
    outbox->count = outbox->capacity = 0;
    mn_arena_reset(outbox->arena);
}
