/* store.h: pairs of bytes on stable storage, in RocksDB, behind one thread of their own. The loop
 * never waits for the disk: opening and reading back happen in the background, and what is written
 * in one turn, or while an earlier sync is under way, is committed as one batch with one sync.
 *
 * Reports EDGE_IN_RECOVER for each pair in key order and EDGE_IN_RECOVERED once, then
 * EDGE_IN_DURABLE after each commit. A store that fails is of no further use: a sync that failed
 * may have lost what the kernel had accepted, so trying again would be a lie. */
#ifndef IO_STORE_H
#define IO_STORE_H

#include "node/io/loop.h"

enum store_failure {
    STORE_UNAVAILABLE = 1, /* it could not be opened: in use, damaged, not ours */
    STORE_BROKEN           /* a read or a synced write failed */
};

struct store_config {
    const char *path; /* directory, made when missing; copied */
    void *owner;
    /* Once, on the loop thread; nothing is reported after it. [text] is for people. */
    void (*failed)(void *owner, enum store_failure failure, const char *text);
};

struct store;

/* Starts to open it; never NULL. */
struct store *store_new(struct io *io, const struct store_config *config);

/* Takes an EDGE_OUT_WRITE; it is handed to the thread by store_flush(), at the end of the turn. */
void store_do(struct store *store, const struct edge_output *output);
void store_flush(struct store *store);

/* Commits what was handed over and waits for it, reports nothing any more, and frees itself once
 * the loop has run the close callback. */
void store_close(struct store *store);

#endif
