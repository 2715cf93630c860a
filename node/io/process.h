/* process.h: this process and the host it runs on: what protects its memory, being process 1,
 * telling the service manager, and who else holds a port. */
#ifndef IO_PROCESS_H
#define IO_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No files for others, no signal from a closed pipe, enough descriptors; unless [is_dev] no core
 * dump, and no tracing by processes of the same user. */
void process_harden(bool is_dev);

/* In process 1 (of a container): goes on in a child, and stays behind to hand signals on, reap
 * orphans, and end with the child's exit code. Elsewhere does nothing. Before any thread. */
void process_be_init(void);

/* Keeps a block with keys out of swap and, page by page, out of core dumps. False: the limit on
 * locked memory (RLIMIT_MEMLOCK) does not allow it. */
bool process_lock(const void *at, size_t size);

/* Fills [to] from the kernel's generator. */
void process_random(void *to, size_t size);

/* Tells the service manager (sd_notify(3)), if there is one: "READY=1" and the like. */
void process_notify(const char *state);

/* "process 123 (nginx)" that listens on TCP [port], or "another process" when it cannot be seen.
 * Valid until the next call. */
const char *process_of_port(uint16_t port);

#endif
