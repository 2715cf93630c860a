/* seglog.h: the node's log (node/edge.h, node/seglog) in files. What is written in one turn, and
 * while an earlier sync is under way, is one write and one fdatasync, on a thread of its own; on
 * the loop itself when the thread is idle, nothing else waits there, and the last sync took less
 * than 500 us: then two wake-ups are saved.
 *
 * Files are written with zeros and synced before they are used, so that a commit changes no
 * metadata and cannot find the disk full. There is none until the first write, then always one
 * ahead. When no further one can be made, EDGE_IN_LOG_ROOM says so while the last one still has
 * room; what does not fit waits and is never reported as durable.
 *
 * Reports EDGE_IN_LOG_RECOVER for what is found, then calls [recovered]. A sync that fails ends
 * everything: what the kernel had accepted may be lost, so trying again would be a lie. */
#ifndef IO_SEGLOG_H
#define IO_SEGLOG_H

#include "node/io/loop.h"

enum seglog_failure {
    SEGLOG_UNAVAILABLE = 1, /* it could not be opened: in use, not ours, not readable */
    SEGLOG_BROKEN           /* a write or a sync failed */
};

struct seglog_config {
    const char *path;      /* directory, made when missing; copied */
    uint32_t segment_size; /* bytes, 4 MiB .. 64 MiB in steps of 4 KiB; 0: 16 MiB. Of a new log */
    uint64_t size_max;     /* bytes of all files together, at least three segments; 0: 1 GiB */
    void *owner;
    void (*recovered)(void *owner); /* all that was found has been reported */
    /* Once, on the loop thread; nothing is reported after it. [text] is for people. */
    void (*failed)(void *owner, enum seglog_failure failure, const char *text);
};

struct seglog;

/* Starts to open it; never NULL. */
struct seglog *seglog_new(struct io *io, const struct seglog_config *config);

/* Takes an EDGE_OUT_LOG. */
void seglog_do(struct seglog *seglog, const struct edge_output *output);

/* The end of a turn: what was taken is committed, or will be. */
void seglog_flush(struct seglog *seglog);

/* Commits what was taken and waits for it, reports nothing any more, and frees itself once the loop
 * has run the close callbacks. */
void seglog_close(struct seglog *seglog);

struct seglog_stats {
    uint64_t commits, inline_commits, bytes_written; /* commits: one fdatasync each, or a few */
    uint64_t records, copies, damaged;
    uint64_t live_size, used_size;
    uint32_t segments_used, segments_free, groups;
    uint32_t sync_us; /* of the last commit */
};
struct seglog_stats seglog_stats(const struct seglog *seglog);

#endif
