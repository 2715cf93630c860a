/* bench_seglog: records per second through the log in real files, with so many records in each
 * sync, and beside it what the disk gives: a plain pwrite and fdatasync of as many bytes into a
 * file that was written before. usage: bench_seglog [--groups N] [--size BYTES] [--seconds S]
 * [DIRECTORY] Records are of 256 bytes unless said otherwise; the directory is made and removed. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "node/io/seglog.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define SAMPLES_MAX 1000000u
#define COMPACT_EVERY 10000u /* entries of a group */

struct run {
    struct io *io;
    struct seglog *seglog;
    uint32_t window, groups_count, size;
    uint64_t writes, durable, end;
    uint64_t *last; /* per group */
    uint8_t *value;
    mn_time until, began, issued;
    uint32_t *samples, samples_count; /* us from the write to its report */
};

static void emit(struct run *run, struct edge_outbox *outbox)
{
    struct edge_output *output = edge_emit(outbox, EDGE_OUT_LOG, ++run->writes);
    uint64_t group = run->writes % run->groups_count, index = ++run->last[group];
    struct edge_log *log = mn_arena_alloc(outbox->arena, sizeof *log);
    struct edge_log_entry *entry = mn_arena_alloc(outbox->arena, sizeof *entry);
    struct edge_log_snapshot *snapshot = NULL;

    if (index % COMPACT_EVERY == 0) {
        snapshot = mn_arena_alloc(outbox->arena, sizeof *snapshot);
        *snapshot = (struct edge_log_snapshot){.index = index - 1, .term = 1};
    }
    *entry = (struct edge_log_entry){index, 1, 1, mn_span(run->value, run->size)};
    *log = (struct edge_log){
        .group = group + 1, .term = 1, .snapshot = snapshot, .entries = entry, .entries_count = 1};
    output->log = log;
}

static void issue(struct run *run, struct mn_now now, struct edge_outbox *outbox)
{
    run->issued = now.mono;
    for (uint32_t i = 0; i < run->window; i++)
        emit(run, outbox);
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    struct run *run = owner;

    if (input->type == EDGE_IN_RECOVERED) {
        run->began = now.mono;
        run->until = now.mono + run->until;
        issue(run, now, outbox);
    }
    if (input->type != EDGE_IN_LOG_DURABLE) return;
    run->durable = input->id;
    if (run->durable < run->writes) return;
    if (run->samples_count < SAMPLES_MAX)
        run->samples[run->samples_count++] = (uint32_t)(now.mono - run->issued);
    run->end = now.mono;
    if (now.mono < run->until)
        issue(run, now, outbox);
    else
        io_stop(run->io);
}

static mn_time deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER;
}

static void carry_out(void *owner, const struct edge_output *output)
{
    seglog_do(((struct run *)owner)->seglog, output);
}

static void turn_end(void *owner)
{
    seglog_flush(((struct run *)owner)->seglog);
}

static void recovered(void *owner)
{
    io_input(((struct run *)owner)->io, &(struct edge_input){.type = EDGE_IN_RECOVERED});
}

static void failed(void *owner, enum seglog_failure failure, const char *text)
{
    (void)owner;
    (void)failure;
    fprintf(stderr, "bench_seglog: %s\n", text);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(uint32_t *samples, uint32_t count, uint32_t percent)
{
    if (count == 0) return 0;
    qsort(samples, count, sizeof *samples, compare);
    return samples[(uint64_t)(count - 1) * percent / 100];
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void bench_log(const char *directory, struct run *run, mn_time time)
{
    const struct io_config config = {run, step, deadline, carry_out, NULL, turn_end};
    struct seglog_config log = {.path = directory, .owner = run};
    struct seglog_stats stats;
    double seconds, cpu = cpu_seconds();
    char command[512];

    run->until = time;
    run->writes = run->durable = run->samples_count = 0;
    memset(run->last, 0, run->groups_count * sizeof *run->last);
    run->io = io_new(&config);
    log.recovered = recovered;
    log.failed = failed;
    run->seglog = seglog_new(run->io, &log);
    io_run(run->io);
    stats = seglog_stats(run->seglog);
    seconds = (double)(run->end - run->began) / 1e6;
    cpu = cpu_seconds() - cpu;
    printf("%7u %11.0f %9.0f %8u %8u %8.0f %7.2f %9.0f%%\n", run->window,
           (double)run->durable / seconds, (double)run->samples_count / seconds,
           percentile(run->samples, run->samples_count, 50),
           percentile(run->samples, run->samples_count, 99),
           (double)stats.bytes_written / seconds / 1e6, cpu * 1e6 / (double)run->durable,
           100.0 * (double)stats.inline_commits / (double)stats.commits);
    fflush(stdout);
    seglog_close(run->seglog);
    io_free(run->io);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) exit(1);
}

/* What the disk gives: the same bytes, nothing else done. */
static void bench_raw(const char *directory, struct run *run, mn_time time)
{
    size_t size = ((size_t)run->window * (run->size + 136) + 4095) & ~(size_t)4095, at = 0;
    size_t file_size = (size_t)64 << 20;
    uint8_t *bytes = mn_alloc(file_size);
    char name[512];
    uint64_t begin, now, count = 0;
    int fd;

    snprintf(name, sizeof name, "%s.raw", directory);
    fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || pwrite(fd, bytes, file_size, 0) != (ssize_t)file_size || fsync(fd) != 0) exit(1);
    run->samples_count = 0;
    begin = now = uv_hrtime();
    while (now - begin < time * 1000) {
        uint64_t before = now;
        if (pwrite(fd, bytes, size, (off_t)at) != (ssize_t)size || fdatasync(fd) != 0) exit(1);
        now = uv_hrtime();
        if (run->samples_count < SAMPLES_MAX)
            run->samples[run->samples_count++] = (uint32_t)((now - before) / 1000);
        at = at + 2 * size > file_size ? 0 : at + size;
        count++;
    }
    printf("%7u %11.0f %9.0f %8u %8u   (raw: pwrite and fdatasync)\n", run->window,
           (double)count * run->window * 1e9 / (double)(now - begin),
           (double)count * 1e9 / (double)(now - begin),
           percentile(run->samples, run->samples_count, 50),
           percentile(run->samples, run->samples_count, 99));
    close(fd);
    unlink(name);
    mn_free(bytes);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"groups", required_argument, NULL, 'g'},
                                            {"size", required_argument, NULL, 's'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    static const uint32_t windows[] = {1, 16, 64, 256, 1024, 4096};
    struct run run = {.groups_count = 1, .size = 256};
    const char *directory = "bench-seglog";
    mn_time time = 2 * MN_SEC;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'g') run.groups_count = (uint32_t)atoi(optarg);
        if (option == 's') run.size = (uint32_t)atoi(optarg);
        if (option == 't') time = (mn_time)atoi(optarg) * MN_SEC;
        if (option == '?') return 2;
    }
    if (optind < argc) directory = argv[optind];
    if (run.groups_count == 0 || run.size > EDGE_LOG_ENTRY_MAX) return 2;
    run.last = mn_alloc(run.groups_count * sizeof *run.last);
    run.value = mn_alloc(run.size + 1);
    run.samples = mn_alloc(SAMPLES_MAX * sizeof *run.samples);
    printf("%u bytes, %u groups\n"
           "records   records/s   syncs/s   p50 us   p99 us     MB/s  us CPU on the loop\n"
           "per sync                                                  per rec\n",
           run.size, run.groups_count);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        run.window = windows[i];
        bench_raw(directory, &run, time / 2);
        bench_log(directory, &run, time);
    }
    mn_free(run.last);
    mn_free(run.value);
    mn_free(run.samples);
    return 0;
}
