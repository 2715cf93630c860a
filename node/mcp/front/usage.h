/* usage.h: how often each tool is called through this node, and how long that takes. Fixed memory
 * per tool: calls in slots of five seconds, a minute of them; times in buckets, four per doubling,
 * kept for five to ten minutes. So a percentile is at most a quarter above the truth, never below
 * it. Bounded: beyond USAGE_TOOLS_MAX the tool that was not called for longest is forgotten. */
#ifndef USAGE_H
#define USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/time.h"

#define USAGE_TOOLS_MAX 4096
#define USAGE_MINUTE_SLOTS 12 /* of five seconds */
#define USAGE_BUCKETS 116     /* from 16 us to over an hour */

/* One tool; opaque. It lives while a call of it is under way. */
struct usage_tool;

struct usage {
    struct mn_map tools;   /* by name */
    struct mn_list unused; /* without a call under way, the longest unused one first */
};

void usage_init(struct usage *usage, uint64_t seed);

/* No call is under way any more. */
void usage_done(struct usage *usage);

/* A call of the tool that clients call [name] begins; each is ended once, or dropped. NULL, which
 * both accept: it is not counted, because so many tools have calls under way, or has no name. */
struct usage_tool *usage_begin(struct usage *usage, struct mn_span name);

/* It ended [took] after its beginning; [has_answer]: the server answered, so its time counts. */
void usage_end(struct usage *usage, struct usage_tool *tool, mn_time now, mn_time took,
               bool has_answer);

/* Its client gave up. */
void usage_drop(struct usage *usage, struct usage_tool *tool);

struct usage_view {
    uint32_t calls_per_minute; /* that ended within the last minute */
    mn_time p95;               /* MN_TIME_NEVER: no call was answered lately */
};

struct usage_view usage_get(const struct usage *usage, mn_time now, struct mn_span name);

void usage_check(const struct usage *usage);

#endif
