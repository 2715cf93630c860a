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

static const struct edge_log_snapshot *
edge_log_copy_snapshot(struct mn_arena *arena, const struct edge_log_snapshot *snapshot)
{
    struct edge_log_snapshot *copy = mn_arena_alloc(arena, sizeof *copy);

    *copy = *snapshot;
    copy->config = mn_arena_copy(arena, snapshot->config);
    if (snapshot->is_ahead) copy->data = mn_span(NULL, 0);
    if (copy->data.data != NULL) copy->data = mn_arena_copy(arena, snapshot->data);
    return copy;
}

const struct edge_log *edge_log_copy(struct mn_arena *arena, const struct edge_log *log)
{
    struct edge_log *copy = mn_arena_alloc(arena, sizeof *copy);
    struct edge_log_entry *entries = NULL;

    *copy = *log;
    if (log->is_piece) copy->piece = mn_arena_copy(arena, log->piece);
    if (log->snapshot != NULL) copy->snapshot = edge_log_copy_snapshot(arena, log->snapshot);
    if (log->entries_count > 0)
        entries = mn_arena_alloc(arena, log->entries_count * sizeof *entries);
    for (uint32_t i = 0; i < log->entries_count; i++) {
        entries[i] = log->entries[i];
        entries[i].data = mn_arena_copy(arena, log->entries[i].data);
    }
    copy->entries = entries;
    return copy;
}
