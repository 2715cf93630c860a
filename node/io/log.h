/* log.h: one line per event on standard error, as key=value text or as JSON, from the trace events
 * of the cores and from the driver itself. Events of one kind about one node are limited in rate;
 * how many were left out is said with the next one. Payloads, keys and secrets have no way here. */
#ifndef IO_LOG_H
#define IO_LOG_H

#include <stdbool.h>

#include "proto/base/time.h"
#include "proto/base/trace.h"

enum log_format { LOG_TEXT = 1, LOG_JSON };

struct log_config {
    enum mn_level level; /* what is below is dropped */
    enum log_format format;
    int fd;
};

struct log;

struct log *log_new(const struct log_config *config);
void log_free(struct log *log);

/* An event of a core; [now] relates its monotonic time to the wall clock. */
void log_event(struct log *log, struct mn_now now, const struct mn_trace_event *event);

/* The driver's own: [event] is "area.what", the rest is for people. Not limited in rate. */
void log_line(struct log *log, struct mn_now now, enum mn_level level, const char *event,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "debug", "info", "warn", "error" */
const char *log_level_name(enum mn_level level);

#endif
