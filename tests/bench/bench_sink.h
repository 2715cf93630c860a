/* bench_sink.h: what the benchmarks of one-way messages share: a message says when it was sent, the
 * receiving process counts, and prints one line. Both are processes of one machine, so its
 * monotonic clock is theirs in common. */
#ifndef BENCH_SINK_H
#define BENCH_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/bytes.h"

#define BENCH_MESSAGE_MIN 16
#define BENCH_SAMPLES_MAX 1000000u

/* What is asked for on the command line: WAY SIZE RATE SECONDS. */
struct bench_job {
    const char *way;
    size_t size;   /* bytes of a message */
    unsigned rate; /* messages per second; 0: as many as go through */
    double seconds;
};

/* False: the words are no job; says so. */
bool bench_job_read(int argc, char **argv, struct bench_job *ret);

uint64_t bench_now_ns(void);

/* Writes the head of a message: the time, or that it is the last one. */
void bench_stamp(uint8_t *message, bool is_last);

struct bench_sink {
    uint64_t count, first_ns, last_ns;
    uint64_t *samples_ns; /* how long each of the first BENCH_SAMPLES_MAX was under way */
    uint32_t samples_count;
};

/* Counts a message; false: it was the last one, which does not count. */
bool bench_sink_take(struct bench_sink *sink, struct mn_span message);

/* Prints "WAY/SIZE/RATE MESSAGES-PER-S P50-US P99-US", and frees the samples; the sender ends the
 * line. */
void bench_sink_report(struct bench_sink *sink, const struct bench_job *job);

/* In the sending process: waits for the receiving one, and ends its line with the processor time in
 * ns that both took for each of [count] messages. The exit code. */
int bench_end(pid_t receiver, uint64_t count);

/* Waits for the moment of message number [count] of a paced job, which began at [begin_ns]. */
void bench_pace(const struct bench_job *job, uint64_t begin_ns, uint64_t count);

#endif
