/* child.h: child processes, each under a meshnode-child of its own (child_main.c): own session,
 * every descendant is killed and reaped when the child ends, when it is stopped, and when this
 * process dies, even by kill -9.
 *
 * The child's environment is PATH HOME LANG TZ TMPDIR of this process and what the start names,
 * its descriptors are the three standard ones. CHILD_OUT brings stdout and stderr as they come;
 * CHILD_EXIT is the last word, after all output. A child that cannot be started has status MN_IO, a
 * text for people ("command not found: x") and code 127 or 126.
 *
 * WRITABLE comes when the bytes queued for stdin have been over CHILD_QUEUE_HIGH and fall below
 * CHILD_QUEUE_LOW. A child whose queue passes CHILD_QUEUE_MAX is killed. STOP closes stdin after
 * what is queued, sends TERM to the group after term_delay, KILL after kill_delay more. What PAUSE
 * holds back when a stopped child ends is dropped. */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include "node/io/loop.h"

#define CHILD_QUEUE_LOW (64 * 1024) /* stdin bytes not yet taken by the kernel */
#define CHILD_QUEUE_HIGH (256 * 1024)
#define CHILD_QUEUE_MAX (64 * 1024 * 1024)

struct child;

struct child_config {
    const char *helper; /* path of meshnode-child; NULL: beside this program, else in
                           ../libexec/meshnode/ of it. Copied. */
    mn_time term_delay, kill_delay;
};

/* NULL, 2 s, 5 s. */
void child_config_default(struct child_config *config);

struct child *child_new(struct io *io, const struct child_config *config);

/* Carries out EDGE_OUT_CHILD_*. */
void child_do(struct child *child, const struct edge_output *output);

/* Kills everything; no further input. [child] frees itself, once the loop has run its last closings
 * (it does not wait for the helpers, which finish on their own). */
void child_close(struct child *child);

#endif
