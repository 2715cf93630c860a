/* files.h: the data directory, and files that others must not read. What is written here is whole
 * or absent after a power cut: new name, sync, rename, sync of the directory. */
#ifndef IO_FILES_H
#define IO_FILES_H

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

#define FILES_ERROR_SIZE 512

struct files_error {
    char text[FILES_ERROR_SIZE]; /* one line: which file, what is wrong, what to do */
};

struct files; /* an open data directory, locked for this process */

/* Makes the directory (and those above it) when missing, mode 0700; takes away what others may do
 * in it when it is empty or a node's already. MN_DENIED: it belongs to somebody else, or is shared
 * with others and used for other things; MN_BUSY: another process holds it, named in
 * [error]; MN_IO. */
MN_MUST_USE mn_status files_open(const char *path, struct files **ret, struct files_error *error);

/* Unlocks; NULL does nothing. */
void files_close(struct files *files);

/* "DIRECTORY/name", valid until the next call. */
const char *files_path(struct files *files, const char *name);

/* The secret of [size] bytes in file [name], which must be ours alone: else MN_DENIED. When there
 * is none, [fresh] is stored as such, and copied to [ret]; *ret_is_new tells. MN_IO. */
MN_MUST_USE mn_status files_secret(struct files *files, const char *name, const uint8_t *fresh,
                                   size_t size, uint8_t *ret, bool *ret_is_new,
                                   struct files_error *error);

bool files_exists(struct files *files, const char *name);

/* Replaces file [name], mode 0600; without bytes (NULL) removes it. MN_IO. */
MN_MUST_USE mn_status files_write(struct files *files, const char *name, struct mn_span bytes,
                                  struct files_error *error);

/* The whole file at any path; the caller owns the ref. MN_NOT_FOUND, MN_TOO_BIG: more than
 * [size_max] bytes; MN_IO: see errno. */
MN_MUST_USE mn_status files_read(const char *path, size_t size_max, struct mn_buf **ret);

#endif
