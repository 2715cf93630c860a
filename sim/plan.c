/* When things go wrong. Every run draws which kinds of fault it has and how often each comes (swarm
 * testing: Groce et al., "Swarm Testing", ISSTA 2012), so that rare combinations are not drowned by
 * common ones. The founder is the only issuer; it crashes and freezes like all others. */
#include "proto/base/memory.h"
#include "sim/faults.h"

struct plan_entry {
    struct sim_event next;
    const struct sim_fault *fault;
    mn_time gap; /* mean time between two of the kind; 0: never */
};

struct sim_plan {
    struct plan_entry entries[SIM_FAULTS_COUNT];
};

static void plan_strike(struct sim *sim, void *context);

static void plan_arm(struct sim *sim, struct plan_entry *entry)
{
    if (entry->gap == 0) return;
    sim_at(sim, &entry->next, sim->time + MN_MS + rng_below_u64(&sim->rng_fault, 2 * entry->gap),
           plan_strike, entry);
}

static void plan_strike(struct sim *sim, void *context)
{
    struct plan_entry *entry = context;

    entry->fault->strike(sim);
    plan_arm(sim, entry);
}

void sim_plan_start(struct sim *sim)
{
    sim->plan = mn_alloc(sizeof *sim->plan);
    for (uint32_t i = 0; i < SIM_FAULTS_COUNT; i++) {
        struct plan_entry *entry = &sim->plan->entries[i];
        entry->fault = &sim_faults[i];
        if (rng_below(&sim->rng_fault, 3) == 0)
            entry->gap = 2 * MN_SEC + rng_below_u64(&sim->rng_fault, 28 * MN_SEC);
        plan_arm(sim, entry);
    }
}

void sim_plan_stop(struct sim *sim)
{
    for (uint32_t i = 0; sim->plan != NULL && i < SIM_FAULTS_COUNT; i++)
        sim_cancel(sim, &sim->plan->entries[i].next);
    mn_free(sim->plan);
    sim->plan = NULL;
    sim->trouble = 0;
    sim->is_quiet = true;
    sim_net_heal(sim);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim->hosts[i].dies_writing = false;
        sim_cancel(sim, &sim->hosts[i].death);
        sim->hosts[i].wall_offset = 0;
        sim->hosts[i].is_offline = false;
        sim_host_thaw(&sim->hosts[i]);
        sim_host_start(&sim->hosts[i]);
    }
}
