/* Reading the log back: which frames there are, what is missing, and what that means. */
#include "node/seglog/segcore_internal.h"
#include "proto/base/check.h"
#include "proto/base/crc.h"

/* ---- one file ---- */

static void read_hole(struct seg_slot *slot, uint32_t offset, const struct segment_frame *head)
{
    slot->holes =
        seg_grow(slot->holes, slot->holes_count, &slot->holes_capacity, sizeof *slot->holes);
    slot->holes[slot->holes_count++] =
        (struct seg_hole){offset, head == NULL ? 0 : head->group, head == NULL ? 0 : head->number};
}

static void read_found(struct segcore *core, uint32_t index, const struct segment_frame *read)
{
    struct seg_slot *slot = &core->slots[index];
    struct seg_frame *frame;
    struct segment_data data;

    if (read->synced > slot->synced) slot->synced = read->synced;
    if (read->type == SEGMENT_MARK || read->type == SEGMENT_FOOTER) return;
    frame = mn_alloc(sizeof *frame);
    *frame = (struct seg_frame){.group = read->group,
                                .number = read->number,
                                .last = read->last,
                                .first = read->first,
                                .slot = index,
                                .offset = read->offset,
                                .size = read->size,
                                .refs = 1,
                                .type = read->type,
                                .is_copy = read->is_copy};
    if (read->type == SEGMENT_DATA && segment_data_decode(read->body, &data) == MN_OK) {
        frame->basis = data.basis;
        frame->is_reset = data.is_reset;
        frame->has_snapshot = data.has_snapshot;
        frame->snapshot_index = data.has_snapshot ? data.snapshot.index : 0;
        frame->chunks = data.has_snapshot ? data.snapshot.chunks : 0;
    }
    mn_list_push_back(&slot->frames, &frame->in_slot);
    slot->live += frame->size;
    core->stats.live_size += frame->size;
    core->found =
        seg_grow(core->found, core->found_count, &core->found_capacity, sizeof(struct seg_frame *));
    core->found[core->found_count++] = frame;
}

static void read_footer(struct seg_slot *slot, const struct segment_frame *footer)
{
    slot->is_complete = true;
    slot->rows_count = (uint32_t)(footer->body.size / SEGMENT_ROW_SIZE);
    if (slot->rows_count == 0) return;
    slot->rows = mn_alloc(footer->body.size);
    memcpy(slot->rows, footer->body.data, footer->body.size);
}

/* The next place at or after [offset] where a frame begins; SIZE_MAX: nowhere. */
static size_t read_search(struct mn_span file, struct segment_use use, size_t offset)
{
    struct segment_frame frame;

    for (; offset + SEGMENT_FRAME_SIZE <= file.size; offset += 8)
        if (mn_load_u64(file.data + offset + 8) == use.sequence &&
            segment_frame_read(file, use, offset, &frame) != SEGMENT_NOTHING)
            return offset;
    return SIZE_MAX;
}

static void read_frames(struct segcore *core, uint32_t index, struct segment_use use,
                        struct mn_span file)
{
    struct seg_slot *slot = &core->slots[index];
    size_t offset = SEGMENT_HEADER_SIZE;

    slot->synced = slot->end = slot->used = SEGMENT_HEADER_SIZE;
    while (!slot->is_complete) {
        struct segment_frame frame;
        enum segment_find found = segment_frame_read(file, use, offset, &frame);
        if (found == SEGMENT_NOTHING) {
            size_t next = read_search(file, use, offset + 8);
            if (next == SIZE_MAX) return;
            read_hole(slot, (uint32_t)offset, NULL);
            offset = next;
            continue;
        }
        if (found == SEGMENT_HEAD) read_hole(slot, (uint32_t)offset, &frame);
        if (found == SEGMENT_GOOD) read_found(core, index, &frame);
        if (found == SEGMENT_GOOD && frame.type == SEGMENT_FOOTER) read_footer(slot, &frame);
        offset += frame.size;
        slot->end = slot->used = (uint32_t)offset;
    }
}

static bool read_is_blank(struct mn_span file)
{
    for (size_t i = 0; i < SEGMENT_HEADER_SIZE && i < file.size; i++)
        if (file.data[i] != 0) return false;
    return true;
}

mn_status segcore_scan(struct segcore *core, uint32_t index, struct mn_span file)
{
    struct seg_slot *slot = &core->slots[index];
    struct segment_header header;
    bool is_first = core->newest_slot == SEG_NOWHERE;

    MN_ASSERT(index < SEG_SLOTS_MAX && slot->state == SEG_ABSENT && !core->is_started);
    if (read_is_blank(file)) {
        slot->state = SEG_FREE;
        return MN_NOT_FOUND;
    }
    slot->state = SEG_UNREADABLE;
    if (segment_header_decode(file, &header) != MN_OK) return MN_MALFORMED;
    if (is_first && core->config.log_id == 0) core->config.log_id = header.log_id;
    if (is_first) core->config.segment_size = header.size;
    if (header.log_id != core->config.log_id || header.size != core->config.segment_size)
        return MN_CONFIG;
    if (file.size < header.size) return MN_MALFORMED;
    slot->state = SEG_USED;
    slot->sequence = header.sequence;
    if (is_first || header.sequence > core->newest.sequence) {
        core->newest = header;
        core->newest_slot = index;
    }
    if (header.sequence > core->sequence_last) core->sequence_last = header.sequence;
    read_frames(core, index, (struct segment_use){header.log_id, header.sequence},
                mn_span(file.data, header.size));
    return MN_OK;
}

bool segcore_is_unreadable(const struct segcore *core, uint32_t slot)
{
    return core->slots[slot].state == SEG_UNREADABLE;
}

/* Did it ever have a frame? If not, its first header was torn. */
static bool read_was_used(struct mn_span file)
{
    const size_t most = SEGMENT_HEADER_SIZE + SEGMENT_FRAME_SIZE;

    for (size_t i = SEGMENT_HEADER_SIZE; i < most && i < file.size; i++)
        if (file.data[i] != 0) return true;
    return file.size < most;
}

mn_status segcore_rescue(struct segcore *core, uint32_t index, struct mn_span file)
{
    struct seg_slot *slot = &core->slots[index];
    struct segment_use use = {core->config.log_id, 0};
    struct segment_frame frame;

    MN_ASSERT(slot->state == SEG_UNREADABLE);
    if (!read_was_used(file)) return MN_NOT_FOUND;
    if (core->newest_slot != SEG_NOWHERE && file.size >= core->config.segment_size)
        use.sequence = mn_load_u64(file.data + SEGMENT_HEADER_SIZE + 8);
    if (use.sequence == 0 ||
        segment_frame_read(file, use, SEGMENT_HEADER_SIZE, &frame) == SEGMENT_NOTHING) {
        core->has_lost_groups = true; /* something was in it, and nothing of it can be read */
        core->stats.damaged_count++;
        return MN_NOT_FOUND;
    }
    core->stats.damaged_count++;
    slot->state = SEG_USED;
    slot->sequence = use.sequence;
    if (use.sequence > core->newest.sequence) {
        core->newest = (struct segment_header){.sequence = use.sequence};
        core->newest_slot = index;
    }
    if (use.sequence > core->sequence_last) core->sequence_last = use.sequence;
    read_frames(core, index, use, mn_span(file.data, core->config.segment_size));
    return MN_OK;
}

/* ---- all of them ---- */

static void read_lose(struct segcore *core, uint64_t number, uint64_t frame, bool is_exact)
{
    struct seg_group *group = seg_group_get(core, number);

    if (is_exact && (group->lost == 0 || frame < group->lost)) group->lost = frame;
    if (frame <= group->number)
        return; /* something newer is here; what else counts is seen below */
    group->number = frame;
    group->is_damaged = true;
}

/* Frames may be gone of which nothing tells whose they were: of the groups whose newest frame was
 * written before that, one may have been newer. A copy was written at another time. */
static void read_suspect(struct segcore *core, uint64_t sequence, uint32_t offset)
{
    core->has_lost_groups = true;
    for (struct mn_map_entry *entry = mn_map_next(&core->groups, NULL); entry != NULL;
         entry = mn_map_next(&core->groups, entry)) {
        struct seg_group *group = MN_CONTAINER(entry, struct seg_group, entry);
        const struct seg_frame *frame = group->newest != NULL ? group->newest : group->end;
        uint64_t at = frame == NULL || frame->is_copy ? 0 : core->slots[frame->slot].sequence;
        if (at > sequence || (at == sequence && frame->offset > offset)) continue;
        group->is_damaged = true;
    }
}

/* The footer of a segment knows whose frames it has. */
static void read_compare_rows(struct segcore *core, uint32_t index)
{
    const struct seg_slot *slot = &core->slots[index];

    for (uint32_t i = 0; i < slot->rows_count; i++) {
        struct segment_row row = segment_row_decode(slot->rows + (size_t)i * SEGMENT_ROW_SIZE);
        if (row.group != 0) read_lose(core, row.group, row.number, false);
    }
}

static void read_judge_slot(struct segcore *core, uint32_t index)
{
    struct seg_slot *slot = &core->slots[index];
    bool has_unknown = false;
    uint32_t first_unknown = slot->used;

    for (uint32_t i = 0; i < slot->holes_count; i++) {
        const struct seg_hole *hole = &slot->holes[i];
        core->stats.damaged_count++;
        if (hole->group != 0) read_lose(core, hole->group, hole->number, true);
        if (hole->group == 0 && !has_unknown) first_unknown = hole->offset;
        has_unknown = has_unknown || hole->group == 0;
    }
    if (index != core->newest_slot && !slot->is_complete) {
        core->stats.damaged_count++;
        has_unknown = true;
    }
    if (!has_unknown) return;
    if (slot->is_complete)
        read_compare_rows(core, index);
    else
        read_suspect(core, slot->sequence, first_unknown);
}

/* The last commit of the last segment was perhaps never synced: what it lost is cut off with all
 * that follows. Returns where. */
static uint32_t read_cut_tail(struct segcore *core)
{
    struct seg_slot *slot = &core->slots[core->newest_slot];
    uint32_t cut = slot->used;

    for (uint32_t i = slot->holes_count; i > 0; i--) {
        if (slot->holes[i - 1].offset < slot->synced) break;
        cut = slot->holes[i - 1].offset;
        slot->holes_count = i - 1;
    }
    if (cut == slot->used) return cut;
    MN_PROBE("seglog: a torn tail is cut off");
    slot->used = cut;
    slot->is_complete = false;
    return cut;
}

static int read_compare(const void *a, const void *b)
{
    const struct seg_frame *x = *(struct seg_frame *const *)a, *y = *(struct seg_frame *const *)b;

    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return (int)x->is_copy - (int)y->is_copy;
}

/* Merge sort: qsort is no part of what pure code may use. */
static void read_sort(struct seg_frame **items, struct seg_frame **spare, uint32_t count)
{
    uint32_t half = count / 2, a = 0, b = half, to = 0;

    if (count < 2) return;
    read_sort(items, spare, half);
    read_sort(items + half, spare, count - half);
    if (read_compare(&items[half - 1], &items[half]) <= 0) return;
    memcpy(spare, items, count * sizeof(struct seg_frame *));
    while (to < count) {
        bool takes_a = b >= count || (a < half && read_compare(&spare[a], &spare[b]) <= 0);
        items[to++] = takes_a ? spare[a++] : spare[b++];
    }
}

static void read_apply_all(struct segcore *core, uint32_t cut)
{
    struct seg_frame **spare = mn_alloc((core->found_count + 1) * sizeof(struct seg_frame *));

    read_sort(core->found, spare, core->found_count);
    mn_free(spare);
    for (uint32_t i = 0; i < core->found_count; i++) {
        struct seg_frame *frame = core->found[i];
        bool is_torn = frame->slot == core->newest_slot && frame->offset >= cut;
        struct seg_group *group;
        if (!is_torn) {
            group = seg_group_get(core, frame->group);
            if (frame->number > group->number) seg_apply(core, group, frame);
        }
        seg_unref(core, frame);
    }
    mn_free(core->found);
    core->found = NULL;
    core->found_count = core->found_capacity = 0;
}

/* Segments that were in use when the last one was begun must still be there. */
static void read_judge_missing(struct segcore *core)
{
    for (uint32_t i = 0; i < core->newest.used_count; i++) {
        uint32_t index = core->newest.used[i].slot;
        uint64_t sequence = core->newest.used[i].sequence;
        if (index < SEG_SLOTS_MAX && core->slots[index].sequence == sequence) continue;
        core->stats.damaged_count++;
        read_suspect(core, sequence, UINT32_MAX);
    }
}

/* When the sum over its frames is not what the newest one says, something is gone, and what it had
 * replaced may have come back. What was written before the first frame that is known to be gone is
 * as it was; if none is known, only the snapshot is to be trusted, whichever it is. */
static void read_judge_group(struct segcore *core, struct seg_group *group)
{
    uint64_t next = group->snapshot_index + 1;
    bool is_whole = group->newest != NULL && group->basis == group->newest->basis;
    uint32_t good = 0;

    for (; good < group->extents_count; good++) {
        const struct seg_extent *extent = &group->extents[group->extents_start + good];
        if (extent->first > next) break;
        if (!is_whole && extent->frame->number >= group->lost) break;
        next = extent->last + 1;
    }
    if (is_whole && next > group->last) return;
    group->is_damaged = true;
    group->last = next - 1;
    seg_extents_cut(core, group, good == 0 ? 0 : next - 1);
}

static void read_list_groups(struct segcore *core)
{
    struct seg_group **groups = mn_alloc((core->groups.count + 1) * sizeof(struct seg_group *));
    uint32_t count = 0;

    for (struct mn_map_entry *entry = mn_map_next(&core->groups, NULL); entry != NULL;
         entry = mn_map_next(&core->groups, entry)) {
        struct seg_group *group = MN_CONTAINER(entry, struct seg_group, entry);
        uint32_t at = count;
        if (group->newest == NULL && !group->is_damaged) continue; /* ended */
        read_judge_group(core, group);
        for (; at > 0 && groups[at - 1]->group > group->group; at--)
            groups[at] = groups[at - 1];
        groups[at] = group;
        count++;
    }
    core->giving = groups;
    core->giving_count = count;
}

void segcore_judge(struct segcore *core)
{
    uint32_t cut = 0;

    if (core->newest_slot != SEG_NOWHERE) cut = read_cut_tail(core);
    read_apply_all(core, cut);
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        if (core->slots[i].state == SEG_USED) read_judge_slot(core, i);
    read_judge_missing(core);
    read_list_groups(core);
}

bool segcore_needs(const struct segcore *core, uint32_t slot)
{
    return !mn_list_is_empty(&core->slots[slot].frames);
}

void segcore_load(struct segcore *core, uint32_t index, struct mn_span file)
{
    struct seg_slot *slot = &core->slots[index];
    struct segment_use use = {core->config.log_id, slot->sequence};

    MN_LIST_FOR_EACH (item, &slot->frames) {
        struct seg_frame *frame = MN_CONTAINER(item, struct seg_frame, in_slot);
        struct segment_frame read;
        if (segment_frame_read(file, use, frame->offset, &read) == SEGMENT_GOOD &&
            frame->body == NULL)
            frame->body = mn_buf_copy(read.body);
    }
}

/* ---- what was found ---- */

static struct mn_buf *read_snapshot(const struct seg_group *group, const struct segment_data *data)
{
    struct mn_writer writer = {0};
    struct mn_buf *buf;

    for (uint32_t i = 0; i < group->chunks_count; i++)
        mn_writer_add(&writer, mn_buf_span(group->chunks[i]->body));
    buf = mn_writer_done(&writer);
    if (buf->size == data->snapshot.size && mn_crc32c(0, mn_buf_span(buf)) == data->snapshot.crc)
        return buf;
    return mn_buf_unref(buf);
}

/* False: it cannot be read; nothing of the group is then known but its state. */
static bool read_give_snapshot(struct seg_group *group, struct mn_arena *arena,
                               struct edge_log *ret)
{
    struct edge_log_snapshot *snapshot;
    struct segment_data data;
    struct mn_buf *buf = NULL;

    if (group->snapshot == NULL) return true;
    if (segment_data_decode(mn_buf_span(group->snapshot->body), &data) != MN_OK) return false;
    if (data.has_snapshot_data) {
        buf = read_snapshot(group, &data);
        if (buf == NULL) return false;
    }
    snapshot = mn_arena_alloc(arena, sizeof *snapshot);
    *snapshot = (struct edge_log_snapshot){.index = data.snapshot.index,
                                           .term = data.snapshot.term,
                                           .config = mn_arena_copy(arena, data.snapshot.config)};
    if (buf != NULL) snapshot->data = mn_arena_copy(arena, mn_buf_span(buf));
    mn_buf_unref(buf);
    ret->snapshot = snapshot;
    return true;
}

static void read_give_state(const struct seg_group *group, struct edge_log *ret)
{
    struct segment_data data;

    *ret = (struct edge_log){.group = group->group};
    if (group->newest == NULL ||
        segment_data_decode(mn_buf_span(group->newest->body), &data) != MN_OK)
        return;
    ret->term = data.term;
    ret->commit = data.commit;
    ret->vote = data.vote;
    ret->is_wounded = data.is_wounded;
}

/* Entries of one extent; false: its frame cannot be read. */
static bool read_give_extent(const struct seg_group *group, const struct seg_extent *extent,
                             struct mn_arena *arena, struct edge_log *ret)
{
    uint64_t index = extent->frame->first, from = extent->first;
    struct edge_log_entry *entries, entry;
    struct segment_data data;

    if (segment_data_decode(mn_buf_span(extent->frame->body), &data) != MN_OK) return false;
    if (from <= group->snapshot_index) from = group->snapshot_index + 1;
    entries = mn_arena_alloc(arena, (data.entries_count + 1) * sizeof *entries);
    for (; segment_data_next(&data, &entry); index++) {
        if (index < from || index > extent->last) continue;
        entry.index = index;
        entries[ret->entries_count++] = entry;
    }
    ret->entries = entries;
    return true;
}

static void read_next_group(struct segcore *core)
{
    core->giving_at++;
    core->giving_extent = 0;
}

/* Nothing after what cannot be read is of use. */
static void read_drop_from(struct segcore *core, struct seg_group *group, uint32_t extent)
{
    group->is_damaged = true;
    group->last = extent == 0 ? group->snapshot_index
                              : group->extents[group->extents_start + extent - 1].last;
    seg_extents_cut(core, group, extent == 0 ? 0 : group->last);
}

bool segcore_give(struct segcore *core, struct mn_arena *arena, struct edge_log *ret,
                  enum edge_log_damage *ret_damage)
{
    struct seg_group *group;
    uint32_t extent;

    if (core->has_lost_groups) {
        core->has_lost_groups = false;
        *ret = (struct edge_log){0};
        *ret_damage = EDGE_LOG_CORRUPT;
        return true;
    }
    if (core->giving_at >= core->giving_count) return false;
    group = core->giving[core->giving_at];
    extent = core->giving_extent++;
    read_give_state(group, ret);
    if (extent == 0 && !read_give_snapshot(group, arena, ret)) {
        seg_snapshot_drop(core, group);
        read_drop_from(core, group, 0);
    }
    if (extent < group->extents_count &&
        !read_give_extent(group, &group->extents[group->extents_start + extent], arena, ret))
        read_drop_from(core, group, extent);
    *ret_damage = group->is_damaged ? EDGE_LOG_CORRUPT : EDGE_LOG_SOUND;
    if (core->giving_extent >= group->extents_count) read_next_group(core);
    return true;
}

struct segcore_clear segcore_start(struct segcore *core, uint64_t log_id)
{
    struct segcore_clear clear = {0};
    struct seg_slot *slot;

    MN_ASSERT(!core->is_started);
    core->is_started = true;
    if (core->config.log_id == 0) core->config.log_id = log_id;
    mn_free(core->giving);
    core->giving = NULL;
    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++) {
        slot = &core->slots[i];
        MN_LIST_FOR_EACH (item, &slot->frames) {
            struct seg_frame *frame = MN_CONTAINER(item, struct seg_frame, in_slot);
            frame->body = mn_buf_unref(frame->body);
        }
    }
    if (core->newest_slot == SEG_NOWHERE) return clear;
    slot = &core->slots[core->newest_slot];
    if (slot->is_complete) return clear;
    slot->state = SEG_CURRENT;
    core->current = core->newest_slot;
    MN_LIST_FOR_EACH (item, &slot->frames)
        seg_count_row(core, MN_CONTAINER(item, struct seg_frame, in_slot));
    clear.slot = core->current;
    clear.offset = slot->used;
    clear.size = slot->end - slot->used;
    return clear;
}
