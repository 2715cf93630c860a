/* Appending, and laying out what was appended. */
#include "node/seglog/segcore.h"

#include "node/seglog/segcore_internal.h"
#include "proto/base/check.h"

#define LIVE_PERCENT_MIN 30u /* of a segment; below it the rest is copied away */
#define YOUNG_COUNT 4u       /* what is in the newest segments mostly dies by itself */

/* ---- life ---- */

mn_status segcore_new(const struct segcore_config *config, struct segcore **ret)
{
    struct segcore *core;

    if (config->segment_size < SEGMENT_SIZE_MIN || config->segment_size > SEGMENT_SIZE_MAX ||
        config->segment_size % SEGMENT_HEADER_SIZE != 0)
        return MN_CONFIG;
    if (config->segments_max < 3 || config->segments_max > SEGMENT_USED_MAX) return MN_CONFIG;
    core = mn_alloc(sizeof *core);
    core->config = *config;
    core->current = core->victim = core->newest_slot = SEG_NOWHERE;
    mn_map_init(&core->groups, config->log_id);
    mn_list_init(&core->dying);
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        mn_list_init(&core->slots[i].frames);
    *ret = core;
    return MN_OK;
}

void segcore_free(struct segcore *core)
{
    struct mn_map_entry *entry;

    if (core == NULL) return;
    for (uint32_t i = 0; i < core->pending_count; i++) {
        seg_unref(core, core->pending[i].frame);
        seg_unref(core, core->pending[i].original);
    }
    for (uint32_t i = 0; i < core->moves_count; i++)
        seg_unref(core, core->moves[i].original);
    while ((entry = mn_map_next(&core->groups, NULL)) != NULL)
        seg_group_free(core, MN_CONTAINER(entry, struct seg_group, entry));
    seg_bury(core, UINT64_MAX);
    for (uint32_t i = 0; i < core->found_count; i++)
        seg_unref(core, core->found[i]);
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        mn_free(core->slots[i].rows);
        mn_free(core->slots[i].holes);
    }
    seg_bury(core, UINT64_MAX);
    mn_map_done(&core->groups);
    mn_writer_drop(&core->gather);
    mn_free(core->pending);
    mn_free(core->rows);
    mn_free(core->moves);
    mn_free(core->found);
    mn_free(core->giving);
    mn_free(core);
}

/* ---- appending ---- */

/* The frame's header and the place of its body, which the caller writes next. */
static size_t core_begin(struct segcore *core)
{
    size_t at = mn_writer_size(&core->gather);

    mn_writer_take(&core->gather, SEGMENT_FRAME_SIZE);
    return at;
}

static struct seg_pending *core_pend(struct segcore *core, size_t at,
                                     const struct segment_frame *frame)
{
    size_t body_size = mn_writer_size(&core->gather) - at - SEGMENT_FRAME_SIZE;
    uint32_t size = segment_frame_size(body_size);
    struct seg_pending *pending;

    mn_writer_take(&core->gather, size - SEGMENT_FRAME_SIZE - body_size);
    segment_frame_write(core->gather.buf->bytes + at, frame, body_size);
    core->pending = seg_grow(core->pending, core->pending_count, &core->pending_capacity,
                             sizeof *core->pending);
    pending = &core->pending[core->pending_count++];
    *pending = (struct seg_pending){.at = at, .serial = ++core->serial_last};
    return pending;
}

static struct seg_frame *core_new_frame(const struct segment_frame *from, uint32_t size)
{
    struct seg_frame *frame = mn_alloc(sizeof *frame);

    mn_list_init(&frame->in_slot);
    frame->group = from->group;
    frame->number = from->number;
    frame->last = from->last;
    frame->first = from->first;
    frame->type = from->type;
    frame->slot = SEG_NOWHERE;
    frame->size = size;
    frame->refs = 1;
    return frame;
}

/* Ends the frame begun at [at], and gives it to the book. */
static struct seg_frame *core_end(struct segcore *core, struct seg_group *group, size_t at,
                                  struct segment_frame *header)
{
    struct seg_pending *pending;

    header->group = group->group;
    header->number = group->number + 1;
    pending = core_pend(core, at, header);
    pending->frame =
        core_new_frame(header, (uint32_t)(mn_writer_size(&core->gather) - pending->at));
    core->stats.frames_count++;
    return pending->frame;
}

static size_t core_piece_size(const struct segcore *core)
{
    size_t most = core->config.segment_size / 8;

    return most < SEGMENT_PIECE_SIZE ? most : SEGMENT_PIECE_SIZE;
}

static void core_append_chunks(struct segcore *core, struct seg_group *group, struct mn_span data)
{
    struct segment_frame header = {.type = SEGMENT_CHUNK, .last = group->last};

    for (size_t at = 0; at < data.size; at += core_piece_size(core)) {
        size_t begin = core_begin(core), left = data.size - at;
        if (left > core_piece_size(core)) left = core_piece_size(core);
        mn_writer_add(&core->gather, mn_span(data.data + at, left));
        seg_apply(core, group, core_end(core, group, begin, &header));
    }
}

/* How many entries from [from] on go into one frame. */
static uint32_t core_fit(const struct segcore *core, const struct edge_log *log, uint32_t from)
{
    uint32_t count = 0;
    size_t size = 0;

    while (from + count < log->entries_count) {
        size += log->entries[from + count].data.size + 16;
        if (count > 0 && size > core_piece_size(core)) break;
        count++;
    }
    return count;
}

static uint64_t core_last(const struct seg_group *group, const struct edge_log *log)
{
    uint64_t last = log->is_reset ? 0 : group->last;

    if (log->snapshot != NULL && last < log->snapshot->index) last = log->snapshot->index;
    return last;
}

static void core_append_data(struct segcore *core, struct seg_group *group,
                             const struct edge_log *log, uint64_t chunks)
{
    uint64_t last = core_last(group, log);
    uint32_t from = 0;

    do {
        uint32_t count = core_fit(core, log, from);
        size_t begin = core_begin(core);
        struct segment_frame header = {.type = SEGMENT_DATA, .last = last};
        struct seg_frame *frame;
        if (count > 0) {
            header.first = log->entries[from].index;
            header.last = last = header.first + count - 1;
        }
        segment_data_encode(&core->gather, log, from == 0, chunks, from, count);
        frame = core_end(core, group, begin, &header);
        frame->has_snapshot = from == 0 && log->snapshot != NULL;
        frame->is_reset = from == 0 && log->is_reset;
        if (frame->has_snapshot) {
            frame->snapshot_index = log->snapshot->index;
            frame->chunks = chunks;
        }
        seg_apply(core, group, frame);
        frame->basis = group->basis;
        segment_data_seal(core->gather.buf->bytes + begin, group->basis);
        from += count;
    } while (from < log->entries_count);
}

/* The first chunk of the snapshot that [log] is about to make count. */
static uint64_t core_chunks(const struct seg_group *group, const struct edge_log *log)
{
    bool is_ahead = log->snapshot != NULL && log->snapshot->is_ahead;

    return is_ahead && group->staged_count > 0 ? group->staged[0]->number : group->number + 1;
}

void segcore_append(struct segcore *core, uint64_t write, const struct edge_log *log)
{
    struct seg_group *group = seg_group_get(core, log->group);
    uint64_t chunks = core_chunks(group, log);

    MN_ASSERT(core->is_started && log->group != 0 && write != 0);
    if (log->is_end) {
        struct segment_frame header = {.type = SEGMENT_END};
        size_t begin = core_begin(core);
        seg_apply(core, group, core_end(core, group, begin, &header));
    } else if (log->is_piece) {
        MN_ASSERT(log->piece.size > 0);
        if (log->is_first) seg_staged_drop(core, group);
        core_append_chunks(core, group, log->piece);
    } else {
        if (log->snapshot != NULL && !log->snapshot->is_ahead)
            core_append_chunks(core, group, log->snapshot->data);
        core_append_data(core, group, log, chunks);
    }
    core->pending[core->pending_count - 1].write = write;
}

void segcore_mark(struct segcore *core)
{
    struct segment_frame header = {.type = SEGMENT_MARK};

    if (core->current == SEG_NOWHERE || core->pending_count > 0) return;
    core_pend(core, core_begin(core), &header);
}

/* ---- slots ---- */

void segcore_add_slot(struct segcore *core, uint32_t slot)
{
    MN_ASSERT(slot < SEG_SLOTS_MAX && core->slots[slot].state == SEG_ABSENT);
    core->slots[slot].state = SEG_FREE;
}

static uint32_t core_count(const struct segcore *core, enum seg_slot_state state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        count += core->slots[i].state == state;
    return count;
}

uint32_t segcore_segment_size(const struct segcore *core)
{
    return core->config.segment_size;
}

uint32_t segcore_slots_count(const struct segcore *core)
{
    return SEG_SLOTS_MAX - core_count(core, SEG_ABSENT);
}

/* Nothing in it counts: it may be begun anew. */
static bool core_is_free(const struct segcore *core, uint32_t slot)
{
    const struct seg_slot *it = &core->slots[slot];

    if (it->state == SEG_FREE) return true;
    return it->state == SEG_USED && it->live == 0 && slot != core->victim;
}

static uint32_t core_find_free(const struct segcore *core)
{
    uint32_t best = SEG_NOWHERE;

    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        if (core_is_free(core, i) &&
            (best == SEG_NOWHERE || core->slots[i].sequence < core->slots[best].sequence))
            best = i;
    return best;
}

bool segcore_wants_slot(const struct segcore *core)
{
    return core_find_free(core) == SEG_NOWHERE &&
           segcore_slots_count(core) < core->config.segments_max;
}

/* ---- laying out ---- */

static uint32_t core_footer_size(const struct segcore *core, uint32_t rows)
{
    return segment_frame_size((size_t)(core->rows_count + rows) * SEGMENT_ROW_SIZE);
}

static bool core_has_room(const struct segcore *core, uint32_t size)
{
    uint64_t used;

    if (core->current == SEG_NOWHERE) return false;
    used = core->slots[core->current].used;
    return used + size + core_footer_size(core, 1) <= core->config.segment_size;
}

static struct segment_use core_use(const struct segcore *core, uint32_t slot)
{
    return (struct segment_use){core->config.log_id, core->slots[slot].sequence};
}

/* Bytes may move while the batch grows: pieces are offsets until it is complete. */
static void core_piece(const struct segcore *core, struct segcore_batch *batch,
                       enum segcore_piece_kind kind, uint32_t slot, uint32_t offset)
{
    batch->uses[batch->pieces_count] = core_use(core, slot);
    batch->pieces[batch->pieces_count++] =
        (struct segcore_piece){.kind = kind, .slot = slot, .offset = offset};
}

static void core_seal(struct segcore *core, struct segcore_batch *batch)
{
    struct seg_slot *slot = &core->slots[core->current];
    struct segment_frame footer = {.type = SEGMENT_FOOTER};
    size_t body_size = (size_t)core->rows_count * SEGMENT_ROW_SIZE;
    uint32_t size = segment_frame_size(body_size);
    uint8_t *to;

    core_piece(core, batch, SEGCORE_FOOTER, core->current, slot->used);
    batch->pieces[batch->pieces_count - 1].size = size;
    to = mn_writer_take(&batch->bytes, size);
    for (uint32_t i = 0; i < core->rows_count; i++) {
        struct seg_group *group = seg_group_find(core, core->rows[i].group);
        segment_row_encode(&core->rows[i], to + SEGMENT_FRAME_SIZE + i * SEGMENT_ROW_SIZE);
        if (group != NULL) group->row = 0;
    }
    segment_frame_write(to, &footer, body_size);
    slot->used += size;
    slot->state = SEG_USED;
    core->rows_count = 0;
    core->current = SEG_NOWHERE;
}

static void core_open(struct segcore *core, struct segcore_batch *batch, uint32_t index)
{
    struct segment_header header = {.log_id = core->config.log_id,
                                    .sequence = ++core->sequence_last,
                                    .size = core->config.segment_size};
    struct seg_slot *slot = &core->slots[index];

    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        if (core->slots[i].state != SEG_USED || i == index || core->slots[i].live == 0) continue;
        header.used[header.used_count].slot = i;
        header.used[header.used_count++].sequence = core->slots[i].sequence;
    }
    MN_ASSERT(mn_list_is_empty(&slot->frames) && slot->live == 0);
    slot->sequence = header.sequence;
    core_piece(core, batch, SEGCORE_HEADER, index, 0);
    batch->pieces[batch->pieces_count - 1].size = SEGMENT_HEADER_SIZE;
    segment_header_encode(&header, mn_writer_take(&batch->bytes, SEGMENT_HEADER_SIZE));
    slot->state = SEG_CURRENT;
    slot->used = SEGMENT_HEADER_SIZE;
    core->current = index;
    seg_forget_ended(core);
}

void seg_count_row(struct segcore *core, const struct seg_frame *frame)
{
    struct seg_group *group = seg_group_find(core, frame->group);
    struct segment_row *row;

    if (group == NULL) return; /* it ended since */
    if (group->row == 0) {
        core->rows = seg_grow(core->rows, core->rows_count, &core->rows_capacity, sizeof *row);
        core->rows[core->rows_count++] = (struct segment_row){.group = frame->group};
        group->row = core->rows_count;
    }
    row = &core->rows[group->row - 1];
    row->count++;
    if (frame->number > row->number) row->number = frame->number;
    if (frame->first == 0) return;
    if (row->first == 0 || frame->first < row->first) row->first = frame->first;
    if (frame->last > row->last) row->last = frame->last;
}

static void core_settle(struct segcore *core, struct seg_pending *pending, uint32_t offset)
{
    struct seg_frame *frame = pending->frame;
    struct seg_slot *slot = &core->slots[core->current];

    if (frame == NULL) return; /* a mark */
    seg_count_row(core, frame);
    frame->slot = core->current;
    frame->offset = offset;
    slot->live += frame->size;
    core->stats.live_size += frame->size;
    mn_list_push_back(&slot->frames, &frame->in_slot);
    if (pending->original != NULL) {
        core->moves =
            seg_grow(core->moves, core->moves_count, &core->moves_capacity, sizeof *core->moves);
        core->moves[core->moves_count++] =
            (struct seg_move){pending->original, core->current, offset, pending->serial};
        pending->original = NULL;
    }
    seg_unref(core, frame); /* what nothing refers to dies with what superseded it */
}

static void core_place(struct segcore *core, struct segcore_batch *batch,
                       struct seg_pending *pending, uint32_t size)
{
    struct seg_slot *slot = &core->slots[core->current];
    const struct segcore_piece *last =
        batch->pieces_count == 0 ? NULL : &batch->pieces[batch->pieces_count - 1];

    if (last == NULL || last->kind != SEGCORE_FRAMES || last->slot != core->current)
        core_piece(core, batch, SEGCORE_FRAMES, core->current, slot->used);
    batch->pieces[batch->pieces_count - 1].size += size;
    mn_writer_add(&batch->bytes, mn_span(core->gather.buf->bytes + pending->at, size));
    core_settle(core, pending, slot->used);
    slot->used += size;
    batch->serial = pending->serial;
    if (pending->write != 0) batch->write = pending->write;
}

/* Room for the next frame: in this segment, or in a new one. */
static bool core_make_room(struct segcore *core, struct segcore_batch *batch, uint32_t size)
{
    uint32_t next;

    if (core_has_room(core, size)) return true;
    if (batch->pieces_count + 3 >= SEGCORE_PIECES_MAX) return false;
    next = core_find_free(core);
    if (next == SEG_NOWHERE) return false;
    if (core->current != SEG_NOWHERE) core_seal(core, batch);
    core_open(core, batch, next);
    MN_ASSERT(core_has_room(core, size));
    return true;
}

static void core_take_pending(struct segcore *core, uint32_t done)
{
    size_t at;

    if (done == core->pending_count) {
        mn_writer_drop(&core->gather);
        core->pending_count = 0;
        return;
    }
    if (done == 0) return;
    at = core->pending[done].at;
    core->pending_count -= done;
    memmove(core->pending, core->pending + done, core->pending_count * sizeof *core->pending);
    for (uint32_t i = 0; i < core->pending_count; i++)
        core->pending[i].at -= at;
    core->gather.buf->size -= (uint32_t)at;
    memmove(core->gather.buf->bytes, core->gather.buf->bytes + at, core->gather.buf->size);
}

bool segcore_commit(struct segcore *core, struct segcore_batch *ret)
{
    uint32_t done = 0;
    uint8_t *bytes;

    memset(ret, 0, sizeof *ret);
    for (; done < core->pending_count; done++) {
        struct seg_pending *pending = &core->pending[done];
        uint32_t size = segment_frame_length(core->gather.buf->bytes + pending->at);
        if (!core_make_room(core, ret, size)) break;
        core_place(core, ret, pending, size);
    }
    core_take_pending(core, done);
    if (ret->pieces_count == 0) return false;
    bytes = ret->bytes.buf->bytes;
    for (uint32_t i = 0; i < ret->pieces_count; i++) {
        ret->pieces[i].bytes = bytes;
        bytes += ret->pieces[i].size;
    }
    return true;
}

bool segcore_is_waiting(const struct segcore *core)
{
    return core->pending_count > 0;
}

void segcore_stamp(struct segcore_batch *batch, uint32_t index, uint32_t synced)
{
    const struct segcore_piece *piece = &batch->pieces[index];

    if (piece->kind == SEGCORE_HEADER) return;
    for (uint32_t at = 0; at < piece->size;) {
        uint32_t size = segment_frame_length(piece->bytes + at);
        segment_frame_place(piece->bytes + at, batch->uses[index], piece->offset + at, synced);
        at += size;
    }
}

void segcore_batch_done(struct segcore_batch *batch)
{
    mn_writer_drop(&batch->bytes);
    batch->pieces_count = 0;
}

/* The copy is durable: the original may go. Of one that was superseded meanwhile the copy is as
 * dead. */
static void core_move(struct segcore *core, struct seg_move *move)
{
    struct seg_frame *frame = move->original;

    if (frame->refs > 1) {
        struct seg_slot *from = &core->slots[frame->slot], *to = &core->slots[move->slot];
        MN_ASSERT(from->live >= frame->size);
        from->live -= frame->size;
        to->live += frame->size;
        mn_list_remove(&frame->in_slot);
        mn_list_push_back(&to->frames, &frame->in_slot);
        frame->slot = move->slot;
        frame->offset = move->offset;
    }
    seg_unref(core, frame);
}

void segcore_durable(struct segcore *core, struct segcore_batch *batch)
{
    uint32_t done = 0;

    if (batch->serial > core->serial_durable) core->serial_durable = batch->serial;
    for (; done < core->moves_count && core->moves[done].serial <= core->serial_durable; done++)
        core_move(core, &core->moves[done]);
    core->moves_count -= done;
    if (core->moves_count > 0)
        memmove(core->moves, core->moves + done, core->moves_count * sizeof *core->moves);
    seg_bury(core, core->serial_durable);
    /* They tell of damage until those who heard of it have written down that they did. */
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        if (core->slots[i].state == SEG_UNREADABLE) core->slots[i].state = SEG_FREE;
    segcore_batch_done(batch);
}

/* ---- cleaning ---- */

bool segcore_clean_begin(struct segcore *core, uint32_t *ret_slot)
{
    bool is_full = core_find_free(core) == SEG_NOWHERE && !segcore_wants_slot(core);
    uint32_t best = SEG_NOWHERE;

    if (core->victim != SEG_NOWHERE || core->moves_count > 0) return false;
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        const struct seg_slot *slot = &core->slots[i];
        uint64_t limit = (uint64_t)slot->used * (is_full ? 80 : LIVE_PERCENT_MIN) / 100;
        if (slot->state != SEG_USED || slot->live == 0 || slot->live >= limit) continue;
        if (!is_full && slot->sequence + YOUNG_COUNT > core->sequence_last) continue;
        if (best == SEG_NOWHERE || slot->live < core->slots[best].live) best = i;
    }
    if (best == SEG_NOWHERE) return false;
    core->victim = *ret_slot = best;
    return true;
}

static void core_copy(struct segcore *core, struct seg_frame *original,
                      const struct segment_frame *read)
{
    size_t begin = core_begin(core);
    struct segment_frame header = *read;
    struct seg_pending *pending;

    header.is_copy = true;

    mn_writer_add(&core->gather, read->body);
    pending = core_pend(core, begin, &header);
    pending->frame = core_new_frame(&header, (uint32_t)(mn_writer_size(&core->gather) - begin));
    pending->original = seg_ref(original);
    core->stats.copies_count++;
}

mn_status segcore_clean(struct segcore *core, struct mn_span file)
{
    struct seg_slot *slot = &core->slots[core->victim];
    struct segment_use use = core_use(core, core->victim);
    struct segment_frame read;
    mn_status status = MN_OK;

    MN_ASSERT(core->victim != SEG_NOWHERE);
    core->victim = SEG_NOWHERE;
    if (file.data == NULL) return MN_OK;
    MN_LIST_FOR_EACH (item, &slot->frames) {
        struct seg_frame *frame = MN_CONTAINER(item, struct seg_frame, in_slot);
        if (segment_frame_read(file, use, frame->offset, &read) == SEGMENT_GOOD &&
            read.group == frame->group && read.number == frame->number)
            core_copy(core, frame, &read);
        else
            status = MN_MALFORMED;
    }
    return status;
}

/* ---- looking ---- */

struct segcore_stats segcore_stats(const struct segcore *core)
{
    struct segcore_stats stats = core->stats;

    stats.groups_count = core->groups.count;
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        const struct seg_slot *slot = &core->slots[i];
        if (slot->state == SEG_ABSENT || slot->state == SEG_UNREADABLE) continue;
        if (core_is_free(core, i)) {
            stats.free_count++;
        } else {
            stats.used_count++;
            stats.used_size += slot->used;
        }
    }
    stats.waiting_size = mn_writer_size(&core->gather);
    return stats;
}

void segcore_check(const struct segcore *core)
{
    uint64_t live = 0;

    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        const struct seg_slot *slot = &core->slots[i];
        MN_ASSERT(slot->live <= slot->used && slot->used <= core->config.segment_size);
        MN_ASSERT((i == core->current) == (slot->state == SEG_CURRENT));
        live += slot->live;
    }
    MN_ASSERT(live == core->stats.live_size);
    for (struct mn_map_entry *entry = mn_map_next(&core->groups, NULL); entry != NULL;
         entry = mn_map_next(&core->groups, entry)) {
        const struct seg_group *group = MN_CONTAINER(entry, struct seg_group, entry);
        uint64_t next = group->snapshot_index + 1;
        for (uint32_t i = 0; i < group->extents_count; i++) {
            const struct seg_extent *extent = &group->extents[group->extents_start + i];
            MN_ASSERT(extent->first <= next && extent->last >= next);
            next = extent->last + 1;
        }
        MN_ASSERT(group->extents_count == 0 || next == group->last + 1);
    }
}
