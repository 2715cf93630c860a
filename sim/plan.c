/* What goes wrong. Every run draws which kinds of fault it has and how often each comes (swarm
 * testing: Groce et al., "Swarm Testing", ISSTA 2012), so that rare combinations are not drowned by
 * common ones. The founder is the only issuer; it crashes and freezes like all others. */
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/sim.h"

enum fault {
    FAULT_CRASH,
    FAULT_FREEZE,
    FAULT_RESET,
    FAULT_CUT,
    FAULT_CUT_ONE_WAY,
    FAULT_CHILD,
    FAULT_COUNT
};

struct sim_plan {
    struct sim *sim;
    mn_time gap[FAULT_COUNT]; /* mean time between two of a kind; 0: never */
    struct sim_event next[FAULT_COUNT];
};

/* A host that comes back by itself, or two hosts whose path heals. */
struct relief {
    struct sim_event event;
    struct sim_host *host;
    uint32_t from, to;
    bool is_both_ways;
};

static struct sim_host *plan_pick(struct sim *sim)
{
    return &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
}

static struct relief *relief_new(struct sim_host *host)
{
    struct relief *relief = mn_alloc(sizeof *relief);
    relief->host = host;
    return relief;
}

static mn_time plan_draw(struct sim *sim, mn_time least, mn_time most)
{
    return least + rng_below_u64(&sim->rng_fault, most - least + 1);
}

static void relief_start(struct sim *sim, void *context)
{
    struct relief *relief = context;
    (void)sim;
    sim_host_start(relief->host);
    mn_free(relief);
}

static void relief_thaw(struct sim *sim, void *context)
{
    struct relief *relief = context;
    (void)sim;
    sim_host_thaw(relief->host);
    mn_free(relief);
}

static void relief_mend(struct sim *sim, void *context)
{
    struct relief *relief = context;
    sim_net_cut(sim, relief->from, relief->to, false);
    if (relief->is_both_ways) sim_net_cut(sim, relief->to, relief->from, false);
    mn_free(relief);
}

static void fault_crash(struct sim *sim)
{
    struct sim_host *host = plan_pick(sim);

    if (host->node == NULL) return;
    MN_PROBE("sim: a node was killed");
    sim_host_crash(host);
    struct relief *relief = relief_new(host);
    sim_at(sim, &relief->event, sim->time + plan_draw(sim, 10 * MN_MS, 20 * MN_SEC), relief_start,
           relief);
}

static void fault_freeze(struct sim *sim)
{
    struct sim_host *host = plan_pick(sim);

    if (host->node == NULL || host->is_frozen) return;
    MN_PROBE("sim: a node was frozen");
    sim_host_freeze(host);
    struct relief *relief = relief_new(host);
    sim_at(sim, &relief->event, sim->time + plan_draw(sim, 100 * MN_MS, 25 * MN_SEC), relief_thaw,
           relief);
}

static void fault_cut(struct sim *sim, bool is_both_ways)
{
    struct relief *relief;

    if (sim->hosts_count < 2) return;
    MN_PROBE("sim: a path was cut");
    relief = relief_new(NULL);
    relief->from = rng_below(&sim->rng_fault, sim->hosts_count);
    relief->to =
        (relief->from + 1 + rng_below(&sim->rng_fault, sim->hosts_count - 1)) % sim->hosts_count;
    relief->is_both_ways = is_both_ways;
    sim_net_cut(sim, relief->from, relief->to, true);
    if (is_both_ways) sim_net_cut(sim, relief->to, relief->from, true);
    sim_at(sim, &relief->event, sim->time + plan_draw(sim, 500 * MN_MS, 40 * MN_SEC), relief_mend,
           relief);
}

static void plan_do(struct sim *sim, enum fault fault)
{
    switch (fault) {
    case FAULT_CRASH: fault_crash(sim); break;
    case FAULT_FREEZE: fault_freeze(sim); break;
    case FAULT_RESET: sim_net_reset_one(sim); break;
    case FAULT_CUT: fault_cut(sim, true); break;
    case FAULT_CUT_ONE_WAY: fault_cut(sim, false); break;
    case FAULT_CHILD: {
        struct sim_host *host = plan_pick(sim);
        if (host->node != NULL && !host->is_frozen) sim_child_crash_one(host);
        break;
    }
    case FAULT_COUNT: MN_ASSERT(!"a fault kind");
    }
}

static void plan_next(struct sim *sim, void *context);

static void plan_arm(struct sim *sim, enum fault fault)
{
    struct sim_plan *plan = sim->plan;
    if (plan->gap[fault] == 0) return;
    sim_at(sim, &plan->next[fault], sim->time + plan_draw(sim, 1 * MN_MS, 2 * plan->gap[fault]),
           plan_next, &plan->next[fault]);
}

static void plan_next(struct sim *sim, void *context)
{
    enum fault fault = (enum fault)((struct sim_event *)context - sim->plan->next);

    plan_do(sim, fault);
    plan_arm(sim, fault);
}

void sim_plan_start(struct sim *sim)
{
    sim->plan = mn_alloc(sizeof *sim->plan);
    sim->plan->sim = sim;
    for (unsigned fault = 0; fault < FAULT_COUNT; fault++) {
        if (rng_below(&sim->rng_fault, 2) == 0)
            sim->plan->gap[fault] = plan_draw(sim, 2 * MN_SEC, 30 * MN_SEC);
        plan_arm(sim, (enum fault)fault);
    }
}

/* No new faults; all that is broken is mended at once, and what still waits to mend finds it done.
 */
void sim_plan_stop(struct sim *sim)
{
    for (unsigned fault = 0; sim->plan != NULL && fault < FAULT_COUNT; fault++)
        sim_cancel(sim, &sim->plan->next[fault]);
    mn_free(sim->plan);
    sim->plan = NULL;
    sim_net_heal(sim);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim_host_thaw(&sim->hosts[i]);
        sim_host_start(&sim->hosts[i]);
    }
    sim->is_quiet = true;
}
