#include "sim/mesh/faults.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

static struct sim_host *pick(struct sim *sim)
{
    return &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
}

/* One whose node runs and listens, or NULL. */
static struct sim_host *pick_live(struct sim *sim)
{
    struct sim_host *host = pick(sim);
    return host->node == NULL || host->is_frozen ? NULL : host;
}

static mn_time draw(struct sim *sim, mn_time least, mn_time most)
{
    return least + rng_below_u64(&sim->rng_fault, most - least + 1);
}

/* ---- what mends itself after a while ---- */

/* When the plan ends everything is mended at once; a relief that comes later finds it done. */
struct relief {
    struct sim_event event;
    struct sim_host *host;
    uint32_t from, to;
};

static struct relief *relief_new(struct sim_host *host)
{
    struct relief *relief = mn_alloc(sizeof *relief);
    relief->host = host;
    return relief;
}

static void relief_thaw(struct sim *sim, void *context)
{
    struct relief *relief = context;
    (void)sim;
    sim_host_thaw(relief->host);
    mn_free(relief);
}

static void relief_clock(struct sim *sim, void *context)
{
    struct relief *relief = context;
    (void)sim;
    sim_host_set_clock(relief->host, 0);
    mn_free(relief);
}

static void relief_offline(struct sim *sim, void *context)
{
    struct relief *relief = context;
    (void)sim;
    relief->host->is_offline = false;
    mn_free(relief);
}

static void relief_cut(struct sim *sim, void *context)
{
    struct relief *relief = context;
    sim_net_cut(sim, relief->from, relief->to, false);
    mn_free(relief);
}

static void relief_slow(struct sim *sim, void *context)
{
    struct relief *relief = context;
    sim_net_slow(sim, relief->from, relief->to, 0);
    mn_free(relief);
}

/* ---- processes and machines ---- */

static void fault_crash(struct sim *sim)
{
    struct sim_host *host = pick(sim);

    if (host->node == NULL) return;
    MN_PROBE("sim: a node was killed");
    sim_host_crash(host);
    sim_host_start_at(host, sim->time + draw(sim, 10 * MN_MS, 20 * MN_SEC));
}

/* What it said before the write was on disk it should not have said. */
static void fault_crash_writing(struct sim *sim)
{
    struct sim_host *host = pick(sim);

    sim_host_crash_writing(host);
    if (host->node == NULL || rng_below(&sim->rng_fault, 2) == 0) return;
    sim_host_crash(host); /* then it is what it writes when it starts */
    sim_host_start_at(host, sim->time + draw(sim, 10 * MN_MS, 2 * MN_SEC));
}

static void fault_crash_all(struct sim *sim)
{
    MN_PROBE("sim: all nodes were killed at once");
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim_host_crash(&sim->hosts[i]);
        sim_host_start_at(&sim->hosts[i], sim->time + draw(sim, 10 * MN_MS, 5 * MN_SEC));
    }
}

static void fault_stop(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    if (host == NULL) return;
    MN_PROBE("sim: a node was told to stop");
    sim_host_stop(host, draw(sim, 10 * MN_MS, 20 * MN_SEC));
}

/* Its key survives, its store does not. Not the founder: with it the mesh would lose its only
 * issuer, and nobody could get in again. */
static void fault_lost_disk(struct sim *sim)
{
    struct sim_host *host = pick(sim);

    if (host->node == NULL || host->index == 0) return;
    MN_PROBE("sim: a node lost its disk");
    sim_host_crash(host);
    sim_disk_wipe(host);
    sim_log_wipe(host);
    host->has_lost_disk = sim->has_lost_disk = true;
    host->lost_disk_at = sim->time;
    sim_host_start_at(host, sim->time + draw(sim, 10 * MN_MS, 20 * MN_SEC));
}

static void fault_freeze(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);
    struct relief *relief;

    if (host == NULL) return;
    MN_PROBE("sim: a node was frozen");
    sim_host_freeze(host);
    relief = relief_new(host);
    sim_at(sim, &relief->event, sim->time + draw(sim, 100 * MN_MS, 25 * MN_SEC), relief_thaw,
           relief);
}

/* The issuer's clock stays within what honest clocks may differ by: what it signs while it is in
 * the future would hold for nobody until then. */
static void fault_clock(struct sim *sim)
{
    struct sim_host *host = pick(sim);
    mn_time most = host->index == 0 ? 4 * MN_MINUTE : 60 * MN_MINUTE;
    struct relief *relief = relief_new(host);

    MN_PROBE("sim: a wall clock jumped");
    sim_host_set_clock(host, (int64_t)draw(sim, 0, 2 * most) - (int64_t)most);
    sim_at(sim, &relief->event, sim->time + draw(sim, MN_SEC, 30 * MN_SEC), relief_clock, relief);
}

/* ---- the network ---- */

static void fault_reset(struct sim *sim)
{
    sim_net_reset_one(sim);
}

static void fault_storm(struct sim *sim)
{
    MN_PROBE("sim: all connections were reset at once");
    sim_net_reset_all(sim);
}

static void cut_for(struct sim *sim, uint32_t from, uint32_t to, mn_time time)
{
    struct relief *relief = relief_new(NULL);

    relief->from = from;
    relief->to = to;
    sim_net_cut(sim, from, to, true);
    sim_at(sim, &relief->event, sim->time + time, relief_cut, relief);
}

/* Two different hosts. False: there are not that many. */
static bool pick_path(struct sim *sim, uint32_t *from, uint32_t *to)
{
    if (sim->hosts_count < 2) return false;
    *from = rng_below(&sim->rng_fault, sim->hosts_count);
    *to = (*from + 1 + rng_below(&sim->rng_fault, sim->hosts_count - 1)) % sim->hosts_count;
    return true;
}

static void fault_cut(struct sim *sim)
{
    mn_time time = draw(sim, 500 * MN_MS, 40 * MN_SEC);
    uint32_t from, to;

    if (!pick_path(sim, &from, &to)) return;
    MN_PROBE("sim: a path was cut");
    cut_for(sim, from, to, time);
    cut_for(sim, to, from, time);
}

static void fault_cut_one_way(struct sim *sim)
{
    uint32_t from, to;

    if (!pick_path(sim, &from, &to)) return;
    MN_PROBE("sim: a path was cut in one direction");
    cut_for(sim, from, to, draw(sim, 500 * MN_MS, 40 * MN_SEC));
}

/* Two sides that do not hear each other. */
static void fault_partition(struct sim *sim)
{
    uint64_t side = rng_u64(&sim->rng_fault);
    mn_time time = draw(sim, 500 * MN_MS, 40 * MN_SEC);

    MN_PROBE("sim: the network fell apart");
    for (uint32_t a = 0; a < sim->hosts_count; a++)
        for (uint32_t b = 0; b < sim->hosts_count; b++)
            if (((side >> a % 64) & 1) != ((side >> b % 64) & 1)) cut_for(sim, a, b, time);
}

static void fault_slow(struct sim *sim)
{
    static const uint32_t factors[] = {10, 100, 1000};
    struct relief *relief;
    uint32_t from, to;

    if (!pick_path(sim, &from, &to)) return;
    MN_PROBE("sim: a path became slow");
    relief = relief_new(NULL);
    relief->from = from;
    relief->to = to;
    sim_net_slow(sim, from, to, factors[rng_below(&sim->rng_fault, 3)]);
    sim_at(sim, &relief->event, sim->time + draw(sim, MN_SEC, 30 * MN_SEC), relief_slow, relief);
}

static void fault_stranger(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    MN_PROBE("sim: a stranger called");
    if (host != NULL) sim_net_stranger(host);
}

/* ---- servers and clients ---- */

static void fault_child(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    if (host != NULL) sim_child_crash_one(host);
}

/* Servers that are slow, hang, crash or refuse, until the next time. */
static void fault_trouble(struct sim *sim)
{
    sim->trouble = sim->trouble > 0 ? 0 : 1 + rng_below(&sim->rng_fault, 40);
}

static void fault_offline(struct sim *sim)
{
    struct sim_host *host = pick(sim);
    struct relief *relief = relief_new(host);

    host->is_offline = true;
    sim_at(sim, &relief->event, sim->time + draw(sim, 100 * MN_MS, 20 * MN_SEC), relief_offline,
           relief);
}

static void relief_tools(struct sim *sim, void *context)
{
    struct relief *relief = context;
    if (!sim->is_quiet) sim_server_change(relief->host);
    mn_free(relief);
}

/* Once, or several times before the others can have asked what changed the first time. */
static void fault_tools(struct sim *sim)
{
    struct sim_host *host = pick(sim);
    uint32_t more = rng_below(&sim->rng_fault, 4);

    MN_PROBE("sim: a server got other tools");
    sim_server_change(host);
    for (; more > 0; more--) {
        struct relief *relief = relief_new(host);
        sim_at(sim, &relief->event, sim->time + draw(sim, MN_MS, 2 * MN_SEC), relief_tools, relief);
    }
}

static void fault_forget(struct sim *sim)
{
    MN_PROBE("sim: a server forgot its sessions");
    sim_server_forget(pick(sim));
}

static void fault_burst(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    if (host == NULL) return;
    MN_PROBE("sim: many calls at once");
    sim_client_burst(host);
}

static void fault_nonsense(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    if (host != NULL && !host->is_stopping) sim_client_nonsense(host);
}

static void fault_give_up(struct sim *sim)
{
    struct sim_host *host = pick_live(sim);

    MN_PROBE("sim: a client gave up");
    if (host != NULL) sim_http_give_up(host);
}

const struct sim_fault sim_faults[] = {
    {"crash", fault_crash},
    {"crash-writing", fault_crash_writing},
    {"crash-all", fault_crash_all},
    {"stop", fault_stop},
    {"lost-disk", fault_lost_disk},
    {"freeze", fault_freeze},
    {"clock", fault_clock},
    {"reset", fault_reset},
    {"storm", fault_storm},
    {"cut", fault_cut},
    {"cut-one-way", fault_cut_one_way},
    {"partition", fault_partition},
    {"slow", fault_slow},
    {"stranger", fault_stranger},
    {"child", fault_child},
    {"trouble", fault_trouble},
    {"offline", fault_offline},
    {"tools", fault_tools},
    {"forget", fault_forget},
    {"burst", fault_burst},
    {"nonsense", fault_nonsense},
    {"give-up", fault_give_up},
};

_Static_assert(sizeof sim_faults / sizeof *sim_faults == SIM_FAULTS_COUNT, "faults");
