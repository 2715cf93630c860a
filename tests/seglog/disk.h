/* disk.h: a few virtual files under a log, and a model of what is in it. Writes are volatile until
 * synced; a crash keeps any of the unsynced sectors of 512 bytes. */
#ifndef TESTS_SEGLOG_DISK_H
#define TESTS_SEGLOG_DISK_H

#include "crypto/rng.h"
#include "node/seglog/segcore.h"

#define DISK_SLOTS 16u
#define DISK_SEGMENT ((uint32_t)64 << 10)
#define DISK_GROUPS 6u
#define DISK_ENTRIES 64u

struct disk_file {
    uint8_t *synced, *cached; /* DISK_SEGMENT bytes; NULL: there is none */
    bool dirty[DISK_SEGMENT / 512];
};

/* A group as it should be. */
struct disk_group {
    uint64_t term, commit, snapshot_index, snapshot_term, last;
    bool is_wounded, has_snapshot, exists;
    char snapshot[2048];
    uint32_t snapshot_size;
    uint64_t terms[DISK_ENTRIES]; /* of entry index % DISK_ENTRIES */
    uint8_t values[DISK_ENTRIES];
    uint16_t sizes[DISK_ENTRIES];
};

/* A snapshot whose data is written in pieces, before it counts. */
struct disk_ahead {
    bool is_on;
    uint64_t index, term;
    char bytes[2048];
    uint32_t size, crc;
};

struct disk_past { /* after a write */
    uint64_t write, hash;
};

struct disk {
    struct rng rng;
    struct disk_file files[DISK_SLOTS];
    uint32_t slots_max;
    struct segcore *core;
    struct mn_arena arena;
    uint64_t write, durable;
    struct disk_group groups[DISK_GROUPS]; /* number i + 1 */
    struct disk_ahead ahead[DISK_GROUPS];
    uint64_t aheads; /* snapshots that came to count so */
    struct disk_past *past[DISK_GROUPS];
    uint32_t past_count[DISK_GROUPS];
    uint64_t syncs, cleans;
    enum edge_log_damage damage[DISK_GROUPS]; /* as it was given at the last start */
    bool has_lost_groups;
    uint32_t given_count;
};

void disk_init(struct disk *disk, uint64_t seed);
void disk_done(struct disk *disk);

/* Reads everything back. Afterwards the groups are what was found, [damage] what was said. */
void disk_start(struct disk *disk);
void disk_stop(struct disk *disk);  /* forgets the core; files stay as they are */
void disk_crash(struct disk *disk); /* the same, and unsynced sectors may be lost */
void disk_do(struct disk *disk);    /* one random write to a random group */
void disk_put(struct disk *disk, uint32_t group, uint32_t count, uint32_t size); /* entries */
void disk_snapshot(struct disk *disk, uint32_t group);
void disk_piece(struct disk *disk, uint32_t group, uint32_t size); /* of a snapshot to come */
void disk_ahead_end(struct disk *disk,
                    uint32_t group); /* which counts now, if nothing replaced it */
void disk_end(struct disk *disk, uint32_t group);
bool disk_commit(struct disk *disk);      /* lay out, write, sync, report */
void disk_commit_torn(struct disk *disk); /* lay out, write, and no sync */
void disk_clean(struct disk *disk);
uint64_t disk_hash(const struct disk_group *group);
/* Is the group as it was after its newest durable write, or after a later one? */
bool disk_is_right(const struct disk *disk, uint32_t group);
void disk_accept(struct disk *disk); /* what was found is what is durable from now on */

#endif
