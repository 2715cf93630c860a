/* When things go wrong. Every run draws which kinds of fault it has and how often each comes (swarm
 * testing: Groce et al., "Swarm Testing", ISSTA 2012), so that rare combinations are not drowned by
 * common ones. The founder is the only issuer; it crashes and freezes like all others. */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/faults.h"

struct plan_entry {
    struct sim_event next;
    mn_time gap; /* mean time between two of the kind; 0: never */
};

struct sim_plan {
    struct plan_entry entries[SIM_FAULTS_COUNT];
    struct sim_event told; /* the next one of a story */
    uint32_t told_count;
    mn_time began;
};

static void plan_strike(struct sim *sim, uint32_t kind, uint64_t seed)
{
    story_note(sim->options.notes, sim->time - sim->plan->began, kind, 0, seed);
    if (sim->options.is_verbose)
        printf("%10.6f fault: %s\n", (double)sim->time / 1e6, sim_faults[kind].name);
    story_rng(&sim->rng_fault, seed);
    sim_faults[kind].strike(sim);
}

static void plan_next(struct sim *sim, void *context);

static void plan_arm(struct sim *sim, struct plan_entry *entry)
{
    if (entry->gap == 0) return;
    sim_at(sim, &entry->next, sim->time + MN_MS + rng_below_u64(&sim->rng_plan, 2 * entry->gap),
           plan_next, entry);
}

static void plan_next(struct sim *sim, void *context)
{
    struct plan_entry *entry = context;

    plan_strike(sim, (uint32_t)(entry - sim->plan->entries), rng_u64(&sim->rng_plan));
    plan_arm(sim, entry);
}

static void plan_told(struct sim *sim, void *context)
{
    const struct story *story = sim->options.story;
    struct sim_plan *plan = context;

    while (plan->told_count < story->count &&
           plan->began + story->items[plan->told_count].at <= sim->time) {
        const struct story_decision *decision = &story->items[plan->told_count++];
        plan_strike(sim, decision->kind, decision->seed);
    }
    if (plan->told_count < story->count)
        sim_at(sim, &plan->told, plan->began + story->items[plan->told_count].at, plan_told, plan);
}

void sim_plan_start(struct sim *sim)
{
    sim->plan = mn_alloc(sizeof *sim->plan);
    sim->plan->began = sim->time;
    if (sim->options.is_told) {
        plan_told(sim, sim->plan);
        return;
    }
    for (uint32_t i = 0; i < SIM_FAULTS_COUNT; i++) {
        struct plan_entry *entry = &sim->plan->entries[i];
        if (rng_below(&sim->rng_plan, 3) == 0)
            entry->gap = 2 * MN_SEC + rng_below_u64(&sim->rng_plan, 28 * MN_SEC);
        plan_arm(sim, entry);
    }
}

void sim_plan_stop(struct sim *sim)
{
    for (uint32_t i = 0; sim->plan != NULL && i < SIM_FAULTS_COUNT; i++)
        sim_cancel(sim, &sim->plan->entries[i].next);
    if (sim->plan != NULL) sim_cancel(sim, &sim->plan->told);
    mn_free(sim->plan);
    sim->plan = NULL;
    sim->trouble = 0;
    sim->is_quiet = true;
    sim_net_heal(sim);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim->hosts[i].dies_writing = false;
        sim_cancel(sim, &sim->hosts[i].death);
        sim_host_set_clock(&sim->hosts[i], 0);
        sim->hosts[i].is_offline = false;
        sim_host_thaw(&sim->hosts[i]);
        sim_host_start(&sim->hosts[i]);
    }
}
