/* upstream_log.h: the last lines a server wrote to stderr, or that we have to say about it, in a
 * bounded amount of memory. Lines are valid UTF-8 without control characters, whatever came in, so
 * that they can be shown on a terminal and put into JSON as they are. */
#ifndef UPSTREAM_LOG_H
#define UPSTREAM_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/list.h"
#include "proto/base/time.h"

#define UPSTREAM_LOG_LINE_MAX 1024 /* bytes; longer lines are cut into several */

struct upstream_log {
    struct mn_list lines;  /* oldest first */
    size_t size, size_max; /* bytes kept, with what keeping a line costs */
    uint64_t sequence;     /* of the newest line */
    uint32_t partial_size;
    mn_time partial_wall;
    char partial[UPSTREAM_LOG_LINE_MAX];
};

void upstream_log_init(struct upstream_log *log, size_t size_max);
void upstream_log_done(struct upstream_log *log);

/* Bytes of a stream: every end of line finishes a line. */
void upstream_log_bytes(struct upstream_log *log, mn_time wall, struct mn_span bytes);

/* The stream ended, perhaps within a line. */
void upstream_log_flush(struct upstream_log *log);

/* One whole line, "prefix: text". */
void upstream_log_line(struct upstream_log *log, mn_time wall, const char *prefix,
                       struct mn_span text);

/* All kept lines of [from] with a sequence above [after] are lines of [to], too: "prefix: text". */
void upstream_log_repeat(const struct upstream_log *from, uint64_t after, struct upstream_log *to,
                         const char *prefix);

/* The oldest kept line with a sequence above [after]. */
bool upstream_log_next(const struct upstream_log *log, uint64_t after, uint64_t *sequence,
                       mn_time *wall, struct mn_span *text);

#endif
