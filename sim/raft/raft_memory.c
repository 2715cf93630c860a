/* No memory is left in the middle of a step. Nothing that a step says is done before it returns, so
 * for the rest of the world it is as if the process had ended before it. Whether it does end there,
 * at once and by the allocator's own word, is tried in a process of its own, in which the k-th
 * allocation fails. The link replaces the C library's allocator by what stands here. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "sim/raft/raft_sim.h"

#define FAILED "memory != NULL" /* what proto/base/memory.c asserts */
#define SURVIVED 77

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static uint32_t left;  /* allocations before one fails; 0: none does */
static uint64_t taken; /* blocks that the C library gave */

static bool fails(void)
{
    return left > 0 && --left == 0;
}

__attribute__((used)) void *__wrap_malloc(size_t size)
{
    taken++;
    return fails() ? NULL : __real_malloc(size);
}

__attribute__((used)) void *__wrap_calloc(size_t count, size_t size)
{
    taken++; /* compilers make one of malloc() and memset() */
    return fails() ? NULL : __real_calloc(count, size);
}

__attribute__((used)) void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* Link-time optimisation leaves the allocator where it was: nothing can be tried then. */
static bool is_replaced(void)
{
    uint64_t before = taken;
    mn_free(mn_alloc(4096)); /* more than what is kept */
    return taken != before;
}

/* So that each allocation is one of the C library's: small blocks that were freed wait for the next
 * who wants their size (proto/base/memory.c). */
static void use_up_kept(void)
{
    for (size_t size = 8; size <= 1024; size += 16)
        for (uint64_t before = taken; taken == before;)
            if (mn_alloc(size) == NULL) return; /* it never is, and nobody frees them */
}

_Noreturn static void step_without(struct raft_host *host, struct mn_now now,
                                   const struct raft_input *input, uint32_t at, int said)
{
    struct raft_outbox outbox = {.arena = &host->world->arena};

    signal(SIGABRT, SIG_DFL);
    dup2(said, STDERR_FILENO);
    use_up_kept();
    left = at;
    raft_step(host->raft, now, input, &outbox);
    left = 0;
    raft_check(host->raft); /* all of its allocations came before that one */
    _exit(SURVIVED);
}

bool raft_memory_is_wanted(const struct raft_input *input)
{
    switch (input->type) {
    case RAFT_IN_PROPOSE:
    case RAFT_IN_CONFIGURE:
    case RAFT_IN_READ: return true;
    case RAFT_IN_MESSAGE:
        return input->msg->entries_count > 0 || input->msg->type == RAFT_MSG_SNAPSHOT;
    case RAFT_IN_TICK:
    case RAFT_IN_TRANSFER:
    case RAFT_IN_PERSISTED:
    case RAFT_IN_SNAPSHOT:
    case RAFT_IN_UNREACHABLE:
    case RAFT_IN_BEAT:
    case RAFT_IN_WAKE: break;
    }
    return false;
}

void raft_memory_try(struct raft_host *host, struct mn_now now, const struct raft_input *input,
                     uint32_t at)
{
    char words[512] = "";
    size_t size = 0;
    ssize_t more;
    int said[2], status = 0;
    pid_t child;

    if (!is_replaced() || pipe(said) != 0) return; /* this machine's trouble, not the world's */
    child = fork();
    if (child == 0) step_without(host, now, input, at, said[1]);
    close(said[1]);
    while (child > 0 && size + 1 < sizeof words &&
           (more = read(said[0], words + size, sizeof words - 1 - size)) > 0)
        size += (size_t)more;
    close(said[0]);
    if (child < 0 || waitpid(child, &status, 0) != child) return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SURVIVED) return;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || strstr(words, FAILED) == NULL)
        raft_world_fail(host->world, "memory: n%u ends otherwise (%d) when allocation %u fails: %s",
                        host->index, status, at, words);
    else
        MN_PROBE("raftsim: no memory inside a step");
}
