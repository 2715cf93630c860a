/* Preloaded into a node: how long the turns of its loop are, from the end of one wait to the next,
 * in processor time of the loop's thread, which others on the machine do not change. The sums stand
 * in the file $TURNS_DIR/PID, as four numbers of 64 bits: turns, their ns, ns of the longest, how
 * many took more than 1 ms. Who writes zeros there begins anew. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LONG_NS 1000000u
#define LOOP_EVENTS_MIN 1000 /* libuv takes so many at once; who asks for fewer is not the loop */

struct turns {
    uint64_t count, total_ns, longest_ns, long_count;
};

static struct turns *turns; /* NULL: nobody wants to know */

static void __attribute__((constructor)) turns_open(void)
{
    const char *directory = getenv("TURNS_DIR");
    char path[4096];
    if (directory == NULL) return;
    snprintf(path, sizeof path, "%s/%d", directory, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, sizeof *turns) == 0)
        memory = mmap(NULL, sizeof *turns, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) turns = memory;
    close(fd);
}

static uint64_t turns_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* In front of the one of the C library. */
int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    static int (*real)(int, struct epoll_event *, int, int);
    static uint64_t begun;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
    if (turns == NULL || max < LOOP_EVENTS_MIN || gettid() != getpid())
        return real(fd, events, max, timeout);
    if (begun != 0) {
        uint64_t took = turns_now() - begun;
        turns->count++;
        turns->total_ns += took;
        turns->long_count += took > LONG_NS;
        if (took > turns->longest_ns) turns->longest_ns = took;
    }
    int count = real(fd, events, max, timeout);
    begun = turns_now();
    return count;
}
