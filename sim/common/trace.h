/* trace.h: what a run comes to: a hash over all that happened, the same for the same seed, and what
 * was found wrong first. */
#ifndef TRACE_H
#define TRACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/time.h"

#define TRACE_START UINT64_C(0xcbf29ce484222325) /* FNV-1a */

uint64_t trace_hash(uint64_t hash, mn_time at, uint64_t what, struct mn_span bytes);

/* Only the first one is kept: it tells most. */
void trace_fail(bool *has_failed, char failure[256], const char *format, va_list args);

#endif
