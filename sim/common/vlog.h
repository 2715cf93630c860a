/* vlog.h: the log of one host on virtual files, under the product's own node/seglog. What is
 * written is volatile until it is synced; a crash keeps any of the unsynced sectors of 512 bytes,
 * so records are torn as they are on a disk. The owner says when a sync ends. */
#ifndef VLOG_H
#define VLOG_H

#include "crypto/rng.h"
#include "node/seglog/segcore.h"

#define VLOG_FILES 64u
#define VLOG_SEGMENT ((uint32_t)256 << 10)

struct vlog_file;

struct vlog {
    struct rng *rng; /* of the world's disks */
    struct vlog_file *files[VLOG_FILES];
    struct segcore *core; /* NULL while the host is down */
    struct segcore_batch batch;
    bool is_writing; /* a batch is on its way */
    bool is_full;    /* no further file can be made */
};

void vlog_init(struct vlog *vlog, struct rng *rng);
void vlog_wipe(struct vlog *vlog); /* all files are gone; the host is down */

/* Reads all back; every piece is given to [give] as EDGE_IN_LOG_RECOVER has it. */
void vlog_start(struct vlog *vlog,
                void (*give)(void *context, const struct edge_log *log,
                             enum edge_log_damage damage),
                void *context);

void vlog_append(struct vlog *vlog, uint64_t write, const struct edge_log *log);

/* Begins to write what was appended; true: vlog_synced() must follow. */
bool vlog_write(struct vlog *vlog);
uint64_t vlog_synced(struct vlog *vlog); /* the newest write that is durable now; 0: none */

/* Copies away what keeps old segments in use, with the next write. */
void vlog_clean(struct vlog *vlog);

/* The process ends: of what was not synced, any sectors may be on the disk. */
void vlog_crash(struct vlog *vlog);
void vlog_close(struct vlog *vlog); /* it ends by itself: all is written */

/* While the host is down, changes a byte of a file in use. False: there is none. */
bool vlog_rot(struct vlog *vlog);

#endif
