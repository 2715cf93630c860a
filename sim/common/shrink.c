#include "sim/common/shrink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

struct shrinking {
    struct campaign *campaign;
    struct story *story; /* the shortest that fails */
    char failure[256];
    uint32_t attempts;
    time_t until;
};

static void shrink_child(struct campaign *campaign, const struct campaign_run *from, int out)
{
    struct rlimit limit = {SHRINK_ATTEMPT_SECONDS, SHRINK_ATTEMPT_SECONDS};
    struct campaign_run run = *from;
    ssize_t wrote = 0;

    setrlimit(RLIMIT_CPU, &limit);
    signal(SIGABRT, SIG_DFL);
    dup2(out, STDERR_FILENO); /* a failed assertion says which */
    if (!campaign->kind->run(campaign, &run))
        wrote = write(out, run.failure, strnlen(run.failure, sizeof run.failure));
    _Exit(wrote > 0 ? 1 : 0);
}

/* True when it failed; [failure] then says how. */
static bool shrink_attempt(struct campaign *campaign, const struct campaign_run *run,
                           char failure[256])
{
    size_t size = 0;
    ssize_t count;
    int pipes[2], status = 0;
    pid_t child;

    fflush(stdout);
    failure[0] = '\0';
    if (pipe(pipes) != 0) return false;
    child = fork();
    if (child == 0) shrink_child(campaign, run, pipes[1]);
    close(pipes[1]);
    while (child > 0 && (count = read(pipes[0], failure + size, 255 - size)) > 0)
        size += (size_t)count;
    failure[size] = '\0';
    close(pipes[0]);
    if (child > 0) waitpid(child, &status, 0);
    failure[strcspn(failure, "\n")] = '\0';
    if (WIFSIGNALED(status)) return WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGXCPU;
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* Of one kind: what stands before the colon; of an assertion all of it. */
static bool shrink_is_alike(const char *a, const char *b)
{
    size_t size = strcspn(a, ":");

    if (strstr(a, "assertion") != NULL || strstr(b, "assertion") != NULL) return strcmp(a, b) == 0;
    return size == strcspn(b, ":") && strncmp(a, b, size) == 0;
}

/* Takes [next] when it fails too; otherwise it is dropped. */
static bool shrink_try(struct shrinking *shrinking, struct story *next)
{
    struct campaign_run run = {.story = *next, .is_told = true};
    char failure[256];
    bool is_taken = false;

    if (shrinking->attempts < SHRINK_ATTEMPTS_MAX && time(NULL) < shrinking->until) {
        shrinking->attempts++;
        is_taken = shrink_attempt(shrinking->campaign, &run, failure) &&
                   shrink_is_alike(failure, shrinking->failure);
    }
    if (is_taken) {
        story_done(shrinking->story);
        *shrinking->story = *next;
        memcpy(shrinking->failure, failure, sizeof failure);
    } else {
        story_done(next);
    }
    return is_taken;
}

static bool shrink_is_of(const struct shrinking *shrinking, uint32_t i, bool is_op)
{
    return (shrinking->story->items[i].kind >= shrinking->campaign->kind->ops_from) == is_op;
}

/* Leaves out [count] decisions of a class, from the [from]-th of them on. */
static bool shrink_drop(struct shrinking *shrinking, bool is_op, uint32_t from, uint32_t count)
{
    struct story next;
    uint32_t seen = 0, kept = 0;

    story_copy(shrinking->story, &next);
    for (uint32_t i = 0; i < shrinking->story->count; i++) {
        bool is_dropped = false;
        if (shrink_is_of(shrinking, i, is_op)) {
            is_dropped = seen >= from && seen < from + count;
            seen++;
        }
        if (!is_dropped) next.items[kept++] = next.items[i];
    }
    next.count = kept;
    return shrink_try(shrinking, &next);
}

static uint32_t shrink_count(const struct shrinking *shrinking, bool is_op)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < shrinking->story->count; i++)
        count += shrink_is_of(shrinking, i, is_op);
    return count;
}

static bool shrink_decisions(struct shrinking *shrinking, bool is_op)
{
    uint32_t count = shrink_count(shrinking, is_op), before = count;

    for (uint32_t chunk = count; chunk > 0; chunk /= 2)
        for (uint32_t from = 0; from < count;) {
            if (shrink_drop(shrinking, is_op, from, chunk))
                count = shrink_count(shrinking, is_op);
            else
                from += chunk;
        }
    return count < before;
}

static bool shrink_lasting(struct shrinking *shrinking)
{
    bool is_shorter = false;

    for (uint32_t i = 0; i < shrinking->campaign->kind->lasting_count; i++) {
        struct story next;
        if (shrinking->story->left_out >> i & 1) continue;
        story_copy(shrinking->story, &next);
        next.left_out |= 1u << i;
        is_shorter = shrink_try(shrinking, &next) || is_shorter;
    }
    return is_shorter;
}

static bool shrink_hosts(struct shrinking *shrinking)
{
    bool is_shorter = false;

    for (uint32_t i = shrinking->campaign->kind->hosts_min; i < shrinking->story->hosts_count;
         i++) {
        struct story next;
        story_copy(shrinking->story, &next);
        next.hosts_count = i;
        if (shrink_try(shrinking, &next)) is_shorter = true;
    }
    return is_shorter;
}

/* What comes after the [i]-th gap comes sooner by half of it. */
static bool shrink_gap(struct shrinking *shrinking, uint32_t i)
{
    const struct story *story = shrinking->story;
    mn_time before = i == 0 ? 0 : story->items[i - 1].at;
    mn_time end = i < story->count ? story->items[i].at : story->faults_for;
    mn_time less = end > before ? (end - before) / 2 : 0;
    struct story next;

    if (less < 5 * MN_MS) return false;
    story_copy(story, &next);
    for (uint32_t k = i; k < next.count; k++)
        next.items[k].at -= less;
    next.faults_for -= less;
    return shrink_try(shrinking, &next);
}

static void shrink_times(struct shrinking *shrinking)
{
    for (uint32_t i = 0; i <= shrinking->story->count;)
        if (!shrink_gap(shrinking, i)) i++;
}

static void shrink_all(struct shrinking *shrinking)
{
    bool goes_on = true;

    for (uint32_t round = 0; round < 4 && goes_on; round++) {
        goes_on = shrink_decisions(shrinking, false);
        goes_on = shrink_lasting(shrinking) || goes_on;
        goes_on = shrink_decisions(shrinking, true) || goes_on;
        goes_on = shrink_hosts(shrinking) || goes_on;
    }
    shrink_times(shrinking);
}

/* The run as it was drawn; what it decided up to its end outlives its process. */
static bool shrink_note(struct campaign *campaign, const struct campaign_run *from,
                        struct story *ret, char failure[256])
{
    size_t size = sizeof *ret + STORY_DECISIONS_MAX * sizeof *ret->items;
    struct story *notes =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct campaign_run run = *from;
    bool has_failed;

    MN_ASSERT(notes != MAP_FAILED);
    *notes = run.story;
    notes->items = (struct story_decision *)(notes + 1);
    notes->capacity = STORY_DECISIONS_MAX;
    run.notes = notes;
    has_failed = shrink_attempt(campaign, &run, failure);
    story_copy(notes, ret);
    munmap(notes, size);
    return has_failed;
}

enum shrink_result shrink_seed(struct campaign *campaign, const struct campaign_run *run,
                               struct story *ret, char failure[256])
{
    struct shrinking shrinking = {.campaign = campaign, .story = ret};
    struct campaign_run again = {.is_told = true};
    uint32_t count;

    if (!shrink_note(campaign, run, ret, failure)) {
        story_done(ret);
        return SHRINK_HELD;
    }
    again.story = *ret;
    if (!shrink_attempt(campaign, &again, shrinking.failure) ||
        !shrink_is_alike(failure, shrinking.failure))
        return SHRINK_OTHER;
    count = ret->count;
    shrinking.until = time(NULL) + SHRINK_SECONDS_MAX;
    shrink_all(&shrinking);
    memcpy(failure, shrinking.failure, sizeof shrinking.failure);
    printf("seed %" PRIu64 " in %u attempts from %u decisions to %u, on %u hosts, %.3f s\n",
           ret->seed, shrinking.attempts, count, ret->count, ret->hosts_count,
           (double)ret->faults_for / 1e6);
    return SHRINK_SHORTENED;
}
