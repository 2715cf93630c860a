/* The log of a host: when its writes arrive. */
#include "proto/base/check.h"
#include "sim/mesh/sim.h"

void sim_log_init(struct sim_host *host)
{
    vlog_init(&host->log, &host->sim->rng_disk);
}

static void log_write(struct sim *sim, void *context);

static void log_synced(struct sim *sim, void *context)
{
    struct sim_host *host = context;
    uint64_t write = vlog_synced(&host->log);

    vlog_clean(&host->log);
    log_write(sim, host);
    if (write > 0)
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_LOG_DURABLE, .id = write});
}

static void log_write(struct sim *sim, void *context)
{
    struct sim_host *host = context;
    mn_time sync = 100 + rng_below(&sim->rng_disk, 1000);

    if (!vlog_write(&host->log)) return;
    if (rng_below(&sim->rng_disk, 50) == 0) sync *= 50; /* a slow moment */
    sim_at(sim, &host->log_sync, sim->time + sync, log_synced, host);
}

void sim_log_do(struct sim_host *host, const struct edge_output *output)
{
    struct sim *sim = host->sim;

    vlog_append(&host->log, output->id, output->log);
    if (!host->log.is_writing) sim_at(sim, &host->log_sync, sim->time + 1, log_write, host);
    sim_host_writes(host);
}

static void log_give(void *context, const struct edge_log *log, enum edge_log_damage damage)
{
    struct sim_host *host = context;

    if (damage != EDGE_LOG_SOUND) MN_PROBE("sim: a damaged log is read back");
    sim_host_input(host,
                   &(struct edge_input){.type = EDGE_IN_LOG_RECOVER, .code = damage, .log = log});
}

void sim_log_recover(struct sim_host *host)
{
    vlog_start(&host->log, log_give, host);
}

void sim_log_crash(struct sim_host *host)
{
    sim_cancel(host->sim, &host->log_sync);
    vlog_crash(&host->log);
}

void sim_log_close(struct sim_host *host)
{
    sim_cancel(host->sim, &host->log_sync);
    vlog_close(&host->log);
}

void sim_log_wipe(struct sim_host *host)
{
    sim_cancel(host->sim, &host->log_sync);
    vlog_wipe(&host->log);
}
