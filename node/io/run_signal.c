/* Stop and reload. */
#include <stdio.h>

#include "node/io/process.h"
#include "node/io/run_internal.h"
#include "proto/base/memory.h"

static void run_on_stop(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;
    if (run->node == NULL || run->is_stopping) {
        RUN_LOG(run, WARN, "node.stopping", "signal %d: stopping now", number);
        run->is_stopping = true;
        run_end(run, 0);
        return;
    }
    const struct edge_input stop = {.type = EDGE_IN_STOP};
    run->is_stopping = true;
    RUN_LOG(run, INFO, "node.stopping",
            "signal %d: finishing what runs; a second one stops at once", number);
    process_notify("STOPPING=1");
    io_input(run->io, &stop);
}

/* ---- reload ---- */

static bool run_value_equals(const struct option_value *a, const struct option_value *b)
{
    if (a->items_count != b->items_count) return false;
    for (uint32_t i = 0; i < a->items_count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

/* Says which of the changed options are not those that a reload applies. */
static void run_report_changes(struct run *run, const struct options *fresh)
{
    for (uint32_t i = 0; i < fresh->count; i++) {
        if (i == CONFIG_MCP_SERVERS_FILES || i == CONFIG_MCP_SERVERS || i == CONFIG_MCP_REPLICAS)
            continue;
        if (run_value_equals(&run->options->values[i], &fresh->values[i])) continue;
        RUN_LOG(run, WARN, "config.reload", "%s changed (%s): needs a restart", fresh->specs[i].key,
                fresh->values[i].origin == NULL ? "not set any more" : fresh->values[i].origin);
    }
}

struct run_reload {
    const struct servers *servers;
    mn_status status;
    char why[OPTIONS_ERROR_SIZE];
};

static void run_apply_servers(void *owner, struct mn_now now, struct edge_outbox *outbox,
                              void *argument)
{
    struct run *run = owner;
    struct run_reload *reload = argument;
    struct node_config *config = mn_alloc(sizeof *config);
    struct mn_span why = {0};
    node_config_default(config);
    servers_fill(reload->servers, config);
    reload->status = node_reload_servers(run->node, now, config, outbox, &why);
    snprintf(reload->why, sizeof reload->why, "%.*s", (int)why.size, (const char *)why.data);
    mn_free(config);
}

static void run_reload_servers(struct run *run, const struct options *fresh)
{
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    struct servers servers;
    struct options_error error;
    struct run_reload reload = {.servers = &servers};
    if (servers_read(fresh, &servers, &error) == MN_OK) {
        io_apply(run->io, run_apply_servers, &reload);
        io_input(run->io, &tick);
        if (reload.status == MN_OK)
            RUN_LOG(run, INFO, "config.reload", "MCP servers are as their files say");
        else
            RUN_LOG(run, ERROR, "config.reload", "%s; nothing changed", reload.why);
    } else {
        RUN_LOG(run, ERROR, "config.reload", "%s; nothing changed", error.text);
    }
    servers_done(&servers);
}

static void run_on_reload(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;
    struct options fresh;
    struct options_error error;
    (void)number;
    if (run->node == NULL || run->is_stopping) return;
    if (config_reload(run->options, run->config_path, &fresh, &error) == MN_OK) {
        run_report_changes(run, &fresh);
        run_reload_servers(run, &fresh);
    } else {
        RUN_LOG(run, ERROR, "config.reload", "%s; nothing changed", error.text);
    }
    options_done(&fresh);
}

static void run_watch(struct run *run, uv_signal_t *handle, uv_signal_cb callback, int number)
{
    uv_signal_init(io_uv(run->io), handle);
    handle->data = run;
    uv_signal_start(handle, callback, number);
}

void run_watch_signals(struct run *run)
{
    run_watch(run, &run->signal_term, run_on_stop, SIGTERM);
    run_watch(run, &run->signal_int, run_on_stop, SIGINT);
    run_watch(run, &run->signal_hup, run_on_reload, SIGHUP);
}

void run_unwatch_signals(struct run *run)
{
    uv_close((uv_handle_t *)&run->signal_term, NULL);
    uv_close((uv_handle_t *)&run->signal_int, NULL);
    uv_close((uv_handle_t *)&run->signal_hup, NULL);
}
