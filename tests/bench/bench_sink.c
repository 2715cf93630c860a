#include "tests/bench/bench_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

bool bench_job_read(int argc, char **argv, struct bench_job *ret)
{
    if (argc == 5)
        *ret = (struct bench_job){argv[1], strtoul(argv[2], NULL, 10),
                                  (unsigned)strtoul(argv[3], NULL, 10), atof(argv[4])};
    if (argc == 5 && ret->size >= BENCH_MESSAGE_MIN && ret->size <= 1000000 && ret->seconds > 0)
        return true;
    fprintf(stderr, "usage: %s WAY SIZE RATE SECONDS; SIZE from %d to 1000000, RATE 0: no limit\n",
            argv[0], BENCH_MESSAGE_MIN);
    return false;
}

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_stamp(uint8_t *message, bool is_last)
{
    mn_store_u64(message, bench_now_ns());
    message[8] = is_last;
}

bool bench_sink_take(struct bench_sink *sink, struct mn_span message)
{
    uint64_t now = bench_now_ns();

    MN_ASSERT(message.size >= BENCH_MESSAGE_MIN);
    if (message.data[8] != 0) return false;
    if (sink->count == 0) {
        sink->first_ns = now;
        sink->samples_ns = mn_realloc(NULL, BENCH_SAMPLES_MAX * sizeof *sink->samples_ns);
    }
    if (sink->samples_count < BENCH_SAMPLES_MAX)
        sink->samples_ns[sink->samples_count++] = now - mn_load_u64(message.data);
    sink->last_ns = now;
    sink->count++;
    return true;
}

static int bench_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void bench_sink_report(struct bench_sink *sink, const struct bench_job *job)
{
    uint32_t count = sink->samples_count;

    if (count < 2 || sink->last_ns == sink->first_ns) {
        fprintf(stderr, "%s: no messages came\n", job->way);
        exit(EXIT_FAILURE);
    }
    qsort(sink->samples_ns, count, sizeof *sink->samples_ns, bench_compare);
    printf("%s/%zu/%u %.0f %.1f %.1f", job->way, job->size, job->rate,
           (double)(sink->count - 1) * 1e9 / (double)(sink->last_ns - sink->first_ns),
           (double)sink->samples_ns[count / 2] / 1e3,
           (double)sink->samples_ns[(size_t)count * 99 / 100] / 1e3);
    fflush(stdout);
    mn_free(sink->samples_ns);
}

static double bench_cpu_ns(int whose)
{
    struct rusage used;

    getrusage(whose, &used);
    return ((double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec) * 1e9 +
           ((double)used.ru_utime.tv_usec + (double)used.ru_stime.tv_usec) * 1e3;
}

int bench_end(pid_t receiver, uint64_t count)
{
    int status = 0;

    waitpid(receiver, &status, 0);
    if (status != 0) return EXIT_FAILURE;
    printf(" %.0f\n", (bench_cpu_ns(RUSAGE_SELF) + bench_cpu_ns(RUSAGE_CHILDREN)) / (double)count);
    return EXIT_SUCCESS;
}

void bench_pace(const struct bench_job *job, uint64_t begin_ns, uint64_t count)
{
    uint64_t at = begin_ns + count * 1000000000 / job->rate;
    struct timespec until = {(time_t)(at / 1000000000), (long)(at % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}
