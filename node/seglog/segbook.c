/* What counts: per group its newest frame, its snapshot, and the frames with its entries. */
#include "node/seglog/segcore_internal.h"
#include "proto/base/check.h"

void *seg_grow(void *items, uint32_t count, uint32_t *capacity, size_t item_size)
{
    if (count < *capacity) return items;
    *capacity = *capacity == 0 ? 8 : 2 * *capacity;
    return mn_realloc(items, *capacity * item_size);
}

/* ---- frames ---- */

struct seg_frame *seg_ref(struct seg_frame *frame)
{
    frame->refs++;
    return frame;
}

static void seg_frame_free(struct segcore *core, struct seg_frame *frame)
{
    if (frame->slot != SEG_NOWHERE && frame->size > 0) {
        struct seg_slot *slot = &core->slots[frame->slot];
        MN_ASSERT(slot->live >= frame->size);
        slot->live -= frame->size;
        core->stats.live_size -= frame->size;
    }
    mn_list_remove(&frame->in_slot);
    mn_buf_unref(frame->body);
    mn_free(frame);
}

void seg_unref(struct segcore *core, struct seg_frame *frame)
{
    if (frame == NULL) return;
    MN_ASSERT(frame->refs > 0);
    if (--frame->refs > 0) return;
    if (core->serial_last <= core->serial_durable) {
        seg_frame_free(core, frame);
        return;
    }
    frame->killed_by = core->serial_last;
    mn_list_remove(&frame->in_slot);
    mn_list_push_back(&core->dying, &frame->in_slot);
}

void seg_bury(struct segcore *core, uint64_t upto)
{
    while (!mn_list_is_empty(&core->dying)) {
        struct seg_frame *frame = MN_CONTAINER(core->dying.next, struct seg_frame, in_slot);
        if (frame->killed_by > upto) return;
        seg_frame_free(core, frame);
    }
}

/* ---- groups ---- */

struct seg_group *seg_group_find(const struct segcore *core, uint64_t number)
{
    struct mn_map_entry *entry;
    uint8_t key[8];

    mn_store_u64(key, number);
    entry = mn_map_find(&core->groups, mn_span(key, sizeof key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct seg_group, entry);
}

struct seg_group *seg_group_get(struct segcore *core, uint64_t number)
{
    struct seg_group *group = seg_group_find(core, number);

    if (group != NULL) return group;
    group = mn_alloc(sizeof *group);
    group->group = number;
    mn_store_u64(group->key, number);
    mn_map_insert(&core->groups, &group->entry, mn_span(group->key, sizeof group->key));
    return group;
}

static void seg_frames_drop(struct segcore *core, struct seg_frame **frames, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        seg_unref(core, frames[i]);
    *count = 0;
}

#define BASIS_ENTRIES UINT64_C(0x9e3779b97f4a7c15)
#define BASIS_SNAPSHOT UINT64_C(0xc2b2ae3d27d4eb4f)

static void seg_extent_drop(struct segcore *core, struct seg_group *group,
                            const struct seg_extent *extent)
{
    group->basis -= extent->frame->number * BASIS_ENTRIES;
    group->extents_count--;
    seg_unref(core, extent->frame);
}

void seg_staged_drop(struct segcore *core, struct seg_group *group)
{
    seg_frames_drop(core, group->staged, &group->staged_count);
}

void seg_snapshot_drop(struct segcore *core, struct seg_group *group)
{
    seg_frames_drop(core, group->chunks, &group->chunks_count);
    if (group->snapshot != NULL) group->basis -= group->snapshot->number * BASIS_SNAPSHOT;
    seg_unref(core, group->snapshot);
    group->snapshot = NULL;
    group->snapshot_index = 0;
}

void seg_extents_cut(struct segcore *core, struct seg_group *group, uint64_t last)
{
    while (group->extents_count > 0) {
        struct seg_extent *back = &group->extents[group->extents_start + group->extents_count - 1];
        if (back->last <= last) return;
        if (back->first <= last) {
            back->last = last;
            return;
        }
        seg_extent_drop(core, group, back);
    }
}

static void seg_extents_compact(struct segcore *core, struct seg_group *group, uint64_t upto)
{
    while (group->extents_count > 0) {
        struct seg_extent *front = &group->extents[group->extents_start];
        if (front->last > upto) return;
        group->extents_start++;
        seg_extent_drop(core, group, front);
    }
    group->extents_start = 0;
}

static void seg_extents_add(struct seg_group *group, struct seg_frame *frame)
{
    struct seg_extent *extents = group->extents;

    if (group->extents_start > 0 && group->extents_start >= group->extents_capacity / 2) {
        memmove(extents, extents + group->extents_start, group->extents_count * sizeof *extents);
        group->extents_start = 0;
    }
    extents = seg_grow(extents, group->extents_start + group->extents_count,
                       &group->extents_capacity, sizeof *extents);
    group->extents = extents;
    extents[group->extents_start + group->extents_count++] =
        (struct seg_extent){frame->first, frame->last, seg_ref(frame)};
    group->basis += frame->number * BASIS_ENTRIES;
}

static void seg_group_clear(struct segcore *core, struct seg_group *group)
{
    seg_extents_cut(core, group, 0);
    seg_snapshot_drop(core, group);
    seg_staged_drop(core, group);
    seg_unref(core, group->newest);
    group->newest = NULL;
    group->last = 0;
    MN_ASSERT(group->basis == 0);
}

void seg_group_free(struct segcore *core, struct seg_group *group)
{
    seg_group_clear(core, group);
    seg_unref(core, group->end);
    mn_map_remove(&core->groups, &group->entry);
    mn_free(group->extents);
    mn_free(group->chunks);
    mn_free(group->staged);
    mn_free(group);
}

/* The end of a group must be known for as long as frames of it may be on the disk: until no segment
 * is in use that was begun before the one with the end. */
void seg_forget_ended(struct segcore *core)
{
    uint64_t oldest = UINT64_MAX;

    for (uint32_t i = 0; i < SEG_SLOTS_MAX; i++)
        if (core->slots[i].sequence > 0 && core->slots[i].sequence < oldest)
            oldest = core->slots[i].sequence;
    for (struct mn_map_entry *entry = mn_map_next(&core->groups, NULL); entry != NULL;) {
        struct seg_group *group = MN_CONTAINER(entry, struct seg_group, entry);
        entry = mn_map_next(&core->groups, entry);
        if (group->end == NULL || group->end->slot == SEG_NOWHERE) continue;
        if (core->slots[group->end->slot].sequence > oldest) continue;
        seg_unref(core, group->end);
        group->end = NULL;
        if (group->newest == NULL && group->staged_count == 0) seg_group_free(core, group);
    }
}

/* ---- a frame takes effect ---- */

static void seg_apply_snapshot(struct segcore *core, struct seg_group *group,
                               struct seg_frame *frame)
{
    seg_snapshot_drop(core, group);
    group->snapshot = seg_ref(frame);
    group->basis += frame->number * BASIS_SNAPSHOT;
    group->snapshot_index = frame->snapshot_index;
    for (uint32_t i = 0; i < group->staged_count; i++) {
        struct seg_frame *chunk = group->staged[i];
        if (chunk->number < frame->chunks) {
            seg_unref(core, chunk);
            continue;
        }
        group->chunks = seg_grow(group->chunks, group->chunks_count, &group->chunks_capacity,
                                 sizeof *group->chunks);
        group->chunks[group->chunks_count++] = chunk;
    }
    group->staged_count = 0;
}

static void seg_apply_data(struct segcore *core, struct seg_group *group, struct seg_frame *frame)
{
    struct seg_frame *before = group->newest;

    if (frame->is_reset) seg_extents_cut(core, group, 0);
    if (frame->has_snapshot) seg_apply_snapshot(core, group, frame);
    if (frame->first > 0) {
        seg_extents_cut(core, group, frame->first - 1);
        seg_extents_add(group, frame);
    }
    seg_extents_cut(core, group, frame->last);
    seg_extents_compact(core, group, group->snapshot_index);
    group->newest = seg_ref(frame);
    group->last = frame->last;
    seg_unref(core, before);
}

void seg_apply(struct segcore *core, struct seg_group *group, struct seg_frame *frame)
{
    MN_ASSERT(frame->number > group->number);
    group->number = frame->number;
    switch (frame->type) {
    case SEGMENT_DATA: seg_apply_data(core, group, frame); break;
    case SEGMENT_CHUNK:
        group->staged = seg_grow(group->staged, group->staged_count, &group->staged_capacity,
                                 sizeof *group->staged);
        group->staged[group->staged_count++] = seg_ref(frame);
        break;
    case SEGMENT_END:
        seg_group_clear(core, group);
        seg_unref(core, group->end);
        group->end = seg_ref(frame);
        break;
    case SEGMENT_MARK:
    case SEGMENT_FOOTER: MN_ASSERT(false); break;
    }
}
