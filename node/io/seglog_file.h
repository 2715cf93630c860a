/* seglog_file.h: the files of the log. Each call says on failure what failed, and where. */
#ifndef IO_SEGLOG_FILE_H
#define IO_SEGLOG_FILE_H

#include "node/seglog/segcore.h"

#define SEGLOG_TEXT_SIZE 512
#define SEGLOG_SLOTS_MAX (SEGMENT_USED_MAX + 16u)

struct seglog_files {
    char *path;
    int lock;
    int fds[SEGLOG_SLOTS_MAX];   /* -1: none */
    char text[SEGLOG_TEXT_SIZE]; /* what failed */
};

void seglog_files_init(struct seglog_files *files, const char *path); /* which is copied */

/* Makes the directory and takes its lock, opens what is there. False: text. */
bool seglog_files_open(struct seglog_files *files);
void seglog_files_close(struct seglog_files *files);

/* What was read. One serves many reads, for touching fresh memory takes longer than to read a file
 * that is cached; whoever made it, all zero, frees the data. */
struct seglog_bytes {
    uint8_t *data;
    size_t size, capacity;
};

/* A whole file in place of what [bytes] held; false: text. */
bool seglog_files_read(struct seglog_files *files, uint32_t slot, struct seglog_bytes *bytes);

/* The same on any thread; 0 or an errno, and nothing is held then. */
int seglog_file_read(int fd, struct seglog_bytes *bytes);

/* A new one of [size] bytes, all zero and synced. 0, or an errno; [fd] is then not set. May be
 * called on any thread: touches nothing but the path. */
int seglog_files_make(const char *path, uint32_t slot, uint32_t size, int *ret_fd);

/* Writes the batches, in their order, and syncs. False: text; nothing may be written after that. */
bool seglog_files_commit(struct seglog_files *files, struct segcore_batch *const *batches,
                         uint32_t count);

/* Overwrites with zeros and syncs. */
bool seglog_files_clear(struct seglog_files *files, const struct segcore_clear *clear);

#endif
