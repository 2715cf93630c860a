/* segcore.h: which records are where in the segments of the log, which of them still count, where
 * the next ones go, and what a log that is read back means. Pure: who owns it (node/io for files,
 * sim/ for virtual ones) moves the bytes.
 *
 * Segments are known by their slot, a small number that names the file. Of a slot whose records all
 * are superseded by durable ones nothing is needed any more: it is used again. When few bytes of an
 * old segment count, they are copied to the end of the log (segcore_clean_*), so that the log's
 * size follows what lives in it.
 *
 * Start: segcore_scan() each file once, segcore_rescue(), segcore_judge(), segcore_load() those
 * that are needed, segcore_give() until it says false, segcore_start(). Then append and commit. */
#ifndef SEGCORE_H
#define SEGCORE_H

#include "node/seglog/segment.h"

#define SEGCORE_PIECES_MAX 64u /* of a batch */

struct segcore;

struct segcore_config {
    uint64_t log_id; /* of this log; 0: whatever the files say, or, in an empty one, given with
                      * segcore_start() */
    uint32_t segment_size; /* SEGMENT_SIZE_MIN .. SEGMENT_SIZE_MAX; a multiple of 4096 */
    uint32_t segments_max; /* 3 .. SEGMENT_USED_MAX: the log's share of the disk */
};

MN_MUST_USE mn_status segcore_new(const struct segcore_config *config, struct segcore **ret);
void segcore_free(struct segcore *core);

/* ---- reading back ---- */

/* A whole file. MN_OK: it is in use. MN_NOT_FOUND: it is free. MN_MALFORMED: its header cannot be
 * read; segcore_judge() finds out whether that matters. MN_CONFIG: it is of another log, or has
 * another size than the first one. */
MN_MUST_USE mn_status segcore_scan(struct segcore *core, uint32_t slot, struct mn_span file);

bool segcore_is_unreadable(const struct segcore *core, uint32_t slot); /* it was MALFORMED */

/* After all were scanned, for each that was MALFORMED: are there frames of the log in it? MN_OK: it
 * is in use all the same. MN_NOT_FOUND: nothing was in it, or nothing that can be read, which is
 * then told as EDGE_LOG_CORRUPT of group 0. */
MN_MUST_USE mn_status segcore_rescue(struct segcore *core, uint32_t slot, struct mn_span file);

/* All files were scanned. */
void segcore_judge(struct segcore *core);
bool segcore_needs(const struct segcore *core, uint32_t slot); /* must it be loaded? */
void segcore_load(struct segcore *core, uint32_t slot, struct mn_span file);

/* The next piece of what was found, as EDGE_IN_LOG_RECOVER gives it; false: that was all. All of it
 * is in [arena] or in the core, until the next call. */
bool segcore_give(struct segcore *core, struct mn_arena *arena, struct edge_log *ret,
                  enum edge_log_damage *ret_damage);

/* What is left of the last segment's torn tail must be overwritten with zeros and synced before
 * anything is written: from [offset], [size] bytes. size 0: nothing to do. */
struct segcore_clear {
    uint32_t slot, offset, size;
};
struct segcore_clear segcore_start(struct segcore *core, uint64_t log_id);

/* ---- writing ---- */

/* Takes an EDGE_OUT_LOG; all is copied. */
void segcore_append(struct segcore *core, uint64_t write, const struct edge_log *log);

/* All that was said to be durable is: a frame of its own says so, that needs no sync itself. */
void segcore_mark(struct segcore *core);

/* A file of the segment's size that is in no use: new ones, written with zeros. */
void segcore_add_slot(struct segcore *core, uint32_t slot);
uint32_t segcore_segment_size(const struct segcore *core);
uint32_t segcore_slots_count(const struct segcore *core); /* used and free */
bool segcore_wants_slot(const struct segcore *core); /* none is free, and one more is allowed */

enum segcore_piece_kind {
    SEGCORE_FRAMES = 1,
    SEGCORE_FOOTER, /* sync after it: the segment is complete */
    SEGCORE_HEADER  /* sync after it: the segment is begun */
};

struct segcore_piece {
    enum segcore_piece_kind kind;
    uint32_t slot, offset, size;
    uint8_t *bytes; /* in the batch */
};

/* Write the pieces in this order, sync, report. May be handed to another thread. */
struct segcore_batch {
    struct segcore_piece pieces[SEGCORE_PIECES_MAX];
    uint32_t pieces_count;
    struct segment_use uses[SEGCORE_PIECES_MAX];
    uint64_t write;  /* newest write that is wholly in it; 0: none */
    uint64_t serial; /* of its newest frame */
    struct mn_writer bytes;
};

/* Lays out what was appended. False: nothing to write, or no room for it: see
 * segcore_is_waiting(). */
bool segcore_commit(struct segcore *core, struct segcore_batch *ret);
bool segcore_is_waiting(const struct segcore *core); /* something is appended and not laid out */

/* The last thing before a piece of frames or a footer is written: [synced] is the offset in its
 * slot up to which all has been synced. Touches nothing but the batch. */
void segcore_stamp(struct segcore_batch *batch, uint32_t piece, uint32_t synced);

/* It is synced; frees what the batch holds. Batches in their order. */
void segcore_durable(struct segcore *core, struct segcore_batch *batch);
void segcore_batch_done(struct segcore_batch *batch);

/* ---- cleaning ---- */

/* The slot whose rest is best copied: not one of the newest, less than 30% of it counts; or, when
 * no slot is left, the one with the least. False: none. Nothing else is begun until
 * segcore_clean(). */
bool segcore_clean_begin(struct segcore *core, uint32_t *ret_slot);

/* Appends copies from the [file]; MN_MALFORMED: a frame that counts cannot be read any more, the
 * slot is then left as it is. NULL bytes: given up. */
MN_MUST_USE mn_status segcore_clean(struct segcore *core, struct mn_span file);

/* ---- looking ---- */

struct segcore_stats {
    uint32_t groups_count, used_count, free_count;
    uint64_t live_size, used_size; /* bytes that count; of segments in use */
    uint64_t frames_count, copies_count, damaged_count;
    size_t waiting_size; /* bytes appended and not laid out */
};
struct segcore_stats segcore_stats(const struct segcore *core);
void segcore_check(const struct segcore *core);

#endif
