/* Memory that a busy time took and nobody needs any more goes back to the system when that is over:
 * the heap keeps it for the next, and that may be tomorrow. Not before, because it would be asked
 * for again at once, and looking through the heap takes a few milliseconds. */
#include <malloc.h>

#include "node/io/run_internal.h"
#include "proto/base/memory.h"

#define RUN_MEMORY_MAPPED (4 << 20) /* bytes of one buffer */
#define RUN_MEMORY_KEPT (64 << 20)  /* bytes of the heap's free end */
#define RUN_MEMORY_LARGE (64 << 20) /* bytes of large blocks for the next */

static void run_look_at_memory(uv_timer_t *timer)
{
    struct run *run = timer->data;
    bool is_busy = run->turns_count - run->turns_seen > RUN_MEMORY_BUSY_TURNS;

    run->turns_seen = run->turns_count;
    if (!is_busy && run->was_busy) {
        mn_memory_give_back();
        malloc_trim(0);
    }
    run->was_busy = is_busy;
}

/* Large buffers are mapped by themselves, always: when they grow the kernel moves their pages,
 * where the heap, which the C library would put them into after the first of them, has them copied.
 * The rest of the heap is kept through a busy time. */
static void run_tell_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, RUN_MEMORY_MAPPED);
    mallopt(M_TRIM_THRESHOLD, RUN_MEMORY_KEPT);
    mn_memory_keep_large(RUN_MEMORY_LARGE);
}

void run_watch_memory(struct run *run, uint64_t look_ms)
{
    run_tell_heap();
    run->was_busy = true; /* so is every start */
    uv_timer_init(io_uv(run->io), &run->memory_timer);
    run->memory_timer.data = run;
    uv_timer_start(&run->memory_timer, run_look_at_memory, look_ms, look_ms);
    uv_unref((uv_handle_t *)&run->memory_timer);
}

void run_unwatch_memory(struct run *run)
{
    uv_close((uv_handle_t *)&run->memory_timer, NULL);
}
