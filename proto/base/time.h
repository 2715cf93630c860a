/* time.h: time as every core sees it. Microseconds everywhere. */
#ifndef MN_TIME_H
#define MN_TIME_H

#include <stdint.h>

typedef uint64_t mn_time; /* microseconds */

#define MN_TIME_NEVER UINT64_MAX
#define MN_US ((mn_time)1)
#define MN_MS ((mn_time)1000)
#define MN_SEC ((mn_time)1000000)
#define MN_MINUTE (60 * MN_SEC)
#define MN_HOUR (60 * MN_MINUTE)
#define MN_DAY (24 * MN_HOUR)

/* What a driver hands to every step. [mono] never goes back; [wall] (Unix epoch) may jump, and only
 * stamps and checks expiry: no timeout and no deadline is computed from it. */
struct mn_now {
    mn_time mono, wall;
};

static inline mn_time mn_time_min(mn_time a, mn_time b)
{
    return a < b ? a : b;
}

static inline mn_time mn_time_max(mn_time a, mn_time b)
{
    return a > b ? a : b;
}

/* [at] + [delay], saturating at MN_TIME_NEVER. */
static inline mn_time mn_time_after(mn_time at, mn_time delay)
{
    return delay > MN_TIME_NEVER - at ? MN_TIME_NEVER : at + delay;
}

/* Wall clock in milliseconds, as signed bodies carry it. */
static inline uint64_t mn_wall_ms(struct mn_now now)
{
    return now.wall / MN_MS;
}

#endif
