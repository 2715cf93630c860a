/* segcore_internal.h: segcore.c (append and lay out), segbook.c (what counts), segread.c (read
 * back) share this. */
#ifndef SEGCORE_INTERNAL_H
#define SEGCORE_INTERNAL_H

#include "node/seglog/segcore.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define SEG_NOWHERE UINT32_MAX /* a frame that is not laid out yet */
#define SEG_SLOTS_MAX (SEGMENT_USED_MAX + 16u)

/* A frame that counts, or is being judged. */
struct seg_frame {
    struct mn_list in_slot; /* or in segcore.dying */
    uint64_t group, number, last, first, snapshot_index, chunks, basis;
    uint32_t slot, offset, size, refs;
    enum segment_type type;
    bool is_reset, has_snapshot, is_copy;
    uint64_t killed_by;  /* serial of what superseded it */
    struct mn_buf *body; /* while reading back */
};

struct seg_extent { /* entries first..last are in the frame, perhaps among others */
    uint64_t first, last;
    struct seg_frame *frame;
};

struct seg_group {
    struct mn_map_entry entry;
    uint8_t key[8];
    uint64_t group, number, last;   /* newest frame's number, and the log's newest index */
    uint64_t snapshot_index, basis; /* see segment_data_seal() */
    uint64_t lost; /* reading back: the first number that is known to be gone; 0: none */
    struct seg_frame *newest, *snapshot, *end;
    struct seg_frame **chunks, **staged; /* of the snapshot; of the one to come */
    uint32_t chunks_count, chunks_capacity, staged_count, staged_capacity;
    struct seg_extent *extents;
    uint32_t extents_start, extents_count, extents_capacity;
    uint32_t row; /* in segcore.rows plus one; 0: no frame in the current segment */
    bool is_damaged;
};

/* Bytes that are no frame, with frames after them. */
struct seg_hole {
    uint32_t offset;
    uint64_t group, number; /* of a frame whose body is gone; 0: not known */
};

enum seg_slot_state { SEG_ABSENT = 0, SEG_FREE, SEG_USED, SEG_CURRENT, SEG_UNREADABLE };

struct seg_slot {
    enum seg_slot_state state;
    uint64_t sequence;
    uint32_t used, live; /* bytes */
    struct mn_list frames;

    /* reading back */
    bool is_complete;     /* has a footer */
    uint32_t synced, end; /* highest that a frame says; end of the last sign of a frame */
    struct seg_hole *holes;
    uint32_t holes_count, holes_capacity;
    uint8_t *rows; /* of the footer */
    uint32_t rows_count;
};

struct seg_pending { /* appended, not laid out */
    struct seg_frame *frame;
    struct seg_frame *original; /* of a copy */
    size_t at;                  /* in gather */
    uint64_t write;             /* that it completes; 0: not the last one of it */
    uint64_t serial;
};

struct seg_move {
    struct seg_frame *original;
    uint32_t slot, offset;
    uint64_t serial;
};

struct segcore {
    struct segcore_config config;
    struct mn_map groups;
    struct seg_slot slots[SEG_SLOTS_MAX];
    uint32_t current; /* slot; SEG_NOWHERE: none yet */
    uint64_t sequence_last, serial_last, serial_durable;
    struct mn_writer gather;
    struct seg_pending *pending;
    uint32_t pending_count, pending_capacity;
    struct segment_row *rows; /* of the current segment */
    uint32_t rows_count, rows_capacity;
    struct mn_list dying; /* superseded by what is not durable yet; rising by killed_by */
    struct seg_move *moves;
    uint32_t moves_count, moves_capacity;
    uint32_t victim; /* slot being cleaned; SEG_NOWHERE: none */
    struct segcore_stats stats;

    /* reading back */
    struct seg_frame **found;
    uint32_t found_count, found_capacity;
    struct segment_header newest; /* of the segment begun last */
    uint32_t newest_slot;
    bool has_lost_groups;
    struct seg_group **giving; /* in order of their number */
    uint32_t giving_count, giving_at, giving_extent;
    bool is_started;
};

void *seg_grow(void *items, uint32_t count, uint32_t *capacity, size_t item_size);

/* segcore.c: the current segment's footer will tell of the frame. */
void seg_count_row(struct segcore *core, const struct seg_frame *frame);

/* segbook.c. The reference that a caller holds keeps the frame; letting go of the last one is its
 * death, which counts once what superseded it is durable. */
struct seg_frame *seg_ref(struct seg_frame *frame);
void seg_unref(struct segcore *core, struct seg_frame *frame);
void seg_bury(struct segcore *core, uint64_t upto); /* all that was killed by what is durable */
struct seg_group *seg_group_find(const struct segcore *core, uint64_t group);
struct seg_group *seg_group_get(struct segcore *core, uint64_t group);
void seg_group_free(struct segcore *core, struct seg_group *group);
void seg_apply(struct segcore *core, struct seg_group *group, struct seg_frame *frame);
void seg_staged_drop(struct segcore *core, struct seg_group *group);
void seg_snapshot_drop(struct segcore *core, struct seg_group *group);
void seg_extents_cut(struct segcore *core, struct seg_group *group, uint64_t last);
void seg_forget_ended(struct segcore *core);

#endif
