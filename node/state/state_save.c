/* state_save.c: a snapshot of the map, made while everything goes on. Each step encodes a piece and
 * writes it to the log; the next one follows when that is durable, so that neither this node's turn
 * nor what waits for the disk is ever held up by more than a piece. Only when all are durable the
 * group hears of the snapshot, whose own write is then a small one. */
#include "node/state/state_internal.h"
#include "proto/base/crc.h"

static void save_write(struct state *state, struct mn_span piece, bool is_first)
{
    struct edge_outbox *edge = state->outbox->edge;
    struct edge_log *log = mn_arena_alloc(edge->arena, sizeof *log);

    *log = (struct edge_log){
        .group = state->group, .is_piece = true, .is_first = is_first, .piece = piece};
    state->save.write = ++*state->config.writes_count;
    edge_emit(edge, EDGE_OUT_LOG, state->save.write)->log = edge_log_copy(edge->arena, log);
    state->save.crc = mn_crc32c(state->save.crc, piece);
    state->save.size += piece.size;
}

static void save_end(struct state *state, struct mn_buf *data)
{
    struct raft_input input = {.type = RAFT_IN_SNAPSHOT};

    input.snapshot.index = state->save.index;
    input.snapshot.data = state->save.data = data;
    state_step_group(state, &input);
    state->save = (struct state_save){0};
    mn_buf_unref(data);
}

void state_save_mark(const struct state *state, const struct raft_persist *persist,
                     struct mn_arena *arena, struct edge_log *log)
{
    struct edge_log_snapshot *snapshot;

    if (state->save.data == NULL || log->snapshot == NULL) return;
    if (persist->snapshot->data != state->save.data) return;
    snapshot = mn_arena_alloc(arena, sizeof *snapshot);
    *snapshot = *log->snapshot;
    snapshot->is_ahead = true;
    snapshot->ahead_size = state->save.size;
    snapshot->ahead_crc = state->save.crc;
    log->snapshot = snapshot;
}

void state_save_run(struct state *state)
{
    struct mn_buf *data;
    bool is_first = false;

    if (state->wants_snapshot && !strong_is_saving(state->strong)) {
        state->wants_snapshot = false;
        state->save = (struct state_save){.index = state->applied};
        strong_save_begin(state->strong);
        is_first = true;
    }
    if (!strong_is_saving(state->strong) || state->save.write > state->durable) return;
    data = strong_save_end(state->strong);
    if (data != NULL)
        save_end(state, data);
    else
        save_write(state, strong_save_next(state->strong, STATE_SAVE_PIECE), is_first);
}
