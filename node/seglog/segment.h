/* segment.h: the bytes of a segment of the log. Pure.
 *
 * A segment is a file of a fixed size that is used again and again; each use has a sequence number
 * of its own, higher than all before. All integers are big-endian.
 *
 *   0     header (SEGMENT_HEADER_SIZE): magic, crc, size, log id, sequence, and which segments were
 *         in use when this one was begun, so that a lost one is noticed
 *   4096  frames, one after another, each padded to 8 bytes
 *
 * A frame is a header of 64 bytes and a body:
 *
 *   0  u32 crc of bytes 4..63       24 u64 group
 *   4  u32 crc of the body          32 u64 number: rises in the group, kept when it is copied
 *   8  u64 sequence of the segment  40 u64 last: index of the group's newest entry after this frame
 *   16 u32 offset of this frame     48 u32 size of the body
 *   20 u32 synced                   52 u8 type, u8 is it a copy, u16 zero
 *                                   56 u64 first: index of the first entry in it; 0: none
 *
 * Sequence and offset are in the checksum, so what an earlier use of the file left behind is never
 * taken for a frame of this one; so is the log's id, which nobody else knows, so that neither are
 * bytes that somebody stored on purpose. [synced] is where the commit began that the frame is part
 * of: all before it in the segment had been synced when this was written, which is how a torn tail
 * is told from damage. */
#ifndef SEGMENT_H
#define SEGMENT_H

#include "node/edge.h"

#define SEGMENT_HEADER_SIZE 4096u
#define SEGMENT_FRAME_SIZE 64u /* of a frame's header */
#define SEGMENT_PIECE_SIZE                                                \
    ((size_t)256 << 10) /* entries and snapshots are cut into such frames \
                         */
#define SEGMENT_BODY_MAX (EDGE_LOG_ENTRY_MAX + ((size_t)4 << 10)) /* but for a footer's */
#define SEGMENT_SIZE_MIN ((uint32_t)64 << 10)
#define SEGMENT_SIZE_MAX ((uint32_t)64 << 20)
#define SEGMENT_USED_MAX 300u /* segments in use that a header can name */

enum segment_type {
    SEGMENT_DATA = 1, /* state, snapshot, entries: see segment_data */
    SEGMENT_CHUNK,    /* a piece of a snapshot's data; counts once a DATA refers to it */
    SEGMENT_END,      /* the group is forgotten */
    SEGMENT_MARK,     /* all before it is synced; of no group */
    SEGMENT_FOOTER    /* the segment is complete; body: a row per group */
};

struct segment_header {
    uint64_t log_id, sequence;
    uint32_t size; /* of the segment */
    uint32_t used_count;
    struct {
        uint32_t slot;
        uint64_t sequence;
    } used[SEGMENT_USED_MAX];
};

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE]);
MN_MUST_USE mn_status segment_header_decode(struct mn_span bytes, struct segment_header *ret);

struct segment_frame {
    uint64_t sequence, group, number, last, first;
    uint32_t offset, synced, size; /* size: of the whole frame, padding included */
    enum segment_type type;
    bool is_copy; /* of a frame whose segment was cleaned */
    struct mn_span body;
};

/* Of a file: whose it is, and for which time it is used. */
struct segment_use {
    uint64_t log_id, sequence;
};

static inline uint32_t segment_frame_size(size_t body_size)
{
    return (uint32_t)((SEGMENT_FRAME_SIZE + body_size + 7) & ~(size_t)7);
}

/* Writes all of the header but what segment_frame_place() knows. [to] has room for the frame's
 * size; its body stands at to + SEGMENT_FRAME_SIZE already, and padding is cleared here. */
void segment_frame_write(uint8_t *to, const struct segment_frame *frame, size_t body_size);

/* Where it stands, and the checksum of the header: the last step before it is written. */
void segment_frame_place(uint8_t *frame, struct segment_use use, uint32_t offset, uint32_t synced);
uint32_t segment_frame_length(const uint8_t *frame); /* of one that was written here: its size */

enum segment_find {
    SEGMENT_NOTHING = 0, /* no frame of this use of the segment begins there */
    SEGMENT_HEAD,        /* the header is good, the body is not: *ret has no body */
    SEGMENT_GOOD
};

/* Looks at [offset] of a whole segment. */
enum segment_find segment_frame_read(struct mn_span segment, struct segment_use use, size_t offset,
                                     struct segment_frame *ret);

/* ---- bodies ---- */

struct segment_data {
    uint64_t term, commit, basis;
    mn_id vote;
    bool is_wounded, is_reset, has_snapshot, has_snapshot_data;
    struct {
        uint64_t index, term, size;
        uint32_t crc;
        uint64_t chunks; /* number of the first frame with a chunk; they end before this frame */
        struct mn_span config;
    } snapshot;
    uint32_t entries_count;
    struct mn_span entries; /* encoded; see segment_data_next() */
};

/* Appends the body: state of [log], and entries [from], [from] + 1, ... up to [count] of them. With
 * a snapshot, [chunks] is the number of its first chunk. */
void segment_data_encode(struct mn_writer *writer, const struct edge_log *log, bool is_first,
                         uint64_t chunks, uint32_t from, uint32_t count);

/* Once all that the frame replaces is known: a sum over the frames that make up the group's log and
 * snapshot after it. When they are put together again and one is missing, or one that was replaced
 * stands in its place, the sum is another. [frame] was written by segment_frame_write(). */
void segment_data_seal(uint8_t *frame, uint64_t basis);

/* MN_MALFORMED. Everything points into [body]. */
MN_MUST_USE mn_status segment_data_decode(struct mn_span body, struct segment_data *ret);

/* The next entry, without its index; false at the end. Of decoded data it never fails. */
bool segment_data_next(struct segment_data *data, struct edge_log_entry *ret);

struct segment_row {
    uint64_t group, number, first, last; /* number: the newest frame's; 0: no entries */
    uint32_t count;                      /* frames in this segment */
};

#define SEGMENT_ROW_SIZE 40u
void segment_row_encode(const struct segment_row *row, uint8_t to[SEGMENT_ROW_SIZE]);
struct segment_row segment_row_decode(const uint8_t from[SEGMENT_ROW_SIZE]);

#endif
