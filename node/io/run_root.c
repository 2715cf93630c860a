/* Is the mesh's root key still in the data directory? It is made there, and should not stay: the
 * node says so until somebody has taken it away. Only its name is looked at. */
#include "node/io/run_internal.h"

#define RUN_ROOT_LOOK_MS 5000

static void run_look_for_root(uv_timer_t *timer)
{
    struct run *run = timer->data;
    bool has_root_key;

    if (run->node == NULL) return; /* it still waits for a token */
    has_root_key = files_exists(run->files, "root.key");
    if (has_root_key == run->had_root_key) return;
    run->had_root_key = has_root_key;
    io_input(run->io, &(struct edge_input){.type = EDGE_IN_ROOT_KEY, .code = has_root_key});
}

void run_watch_root(struct run *run)
{
    uv_timer_init(io_uv(run->io), &run->root_timer);
    run->root_timer.data = run;
    uv_timer_start(&run->root_timer, run_look_for_root, 0, RUN_ROOT_LOOK_MS);
    uv_unref((uv_handle_t *)&run->root_timer);
}

void run_unwatch_root(struct run *run)
{
    uv_close((uv_handle_t *)&run->root_timer, NULL);
}
