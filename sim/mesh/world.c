/* Time, events, the trace hash, and a run from beginning to end. */
#include <stdarg.h>
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/sim.h"

/* A wall clock that is plainly not the real one: 2030-01-01. */
#define WALL_START ((mn_time)1893456000 * MN_SEC)

#define SETTLE_TIME (2 * MN_SEC) /* from the last start to everything known everywhere */

struct mn_now sim_now(const struct sim *sim)
{
    return (struct mn_now){.mono = sim->time, .wall = WALL_START + sim->time};
}

void sim_at(struct sim *sim, struct sim_event *event, mn_time at, sim_action *action, void *context)
{
    event->action = action;
    event->context = context;
    mn_heap_set(&sim->events, &event->due, at < sim->time ? sim->time : at);
}

void sim_cancel(struct sim *sim, struct sim_event *event)
{
    mn_heap_remove(&sim->events, &event->due);
}

/* FNV-1a, over everything that nodes are told and do. */
void sim_hash(struct sim *sim, uint64_t what, struct mn_span bytes)
{
    uint64_t hash = sim->hash;
    uint64_t words[2] = {sim->time, what};

    for (size_t i = 0; i < 2; i++)
        hash = (hash ^ words[i]) * 0x100000001b3U;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3U;
    sim->hash = hash;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->has_failed) return; /* the first one tells most */
    sim->has_failed = true;
    va_start(args, format);
    vsnprintf(sim->failure, sizeof sim->failure, format, args);
    va_end(args);
}

void sim_run_until(struct sim *sim, mn_time until)
{
    while (!sim->has_failed) {
        struct mn_heap_entry *first = mn_heap_peek(&sim->events);
        struct sim_event *event;
        if (first == NULL || first->at > until) break;
        event = MN_CONTAINER(first, struct sim_event, due);
        sim->time = first->at;
        mn_heap_remove(&sim->events, first);
        event->action(sim, event->context);
    }
    if (!sim->has_failed) sim->time = until;
}

static void sim_seed(struct sim *sim)
{
    uint8_t seed[RNG_SEED_SIZE] = {0};
    struct rng root;

    mn_store_u64(seed, sim->options.story->seed);
    rng_init(&root, seed);
    rng_fork(&root, &sim->rng_net);
    rng_fork(&root, &sim->rng_disk);
    rng_fork(&root, &sim->rng_fault);
    rng_fork(&root, &sim->rng_work);
    rng_fork(&root, &sim->rng_node);
    rng_fork(&root, &sim->rng_plan);
    rng_fork(&root, &sim->rng_keep);
    rng_done(&root);
}

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *sim = mn_alloc(sizeof *sim);

    sim->options = *options;
    sim->hash = 0xcbf29ce484222325U;
    sim_seed(sim);
    sim->hosts_count = 1 + rng_below(&sim->rng_fault, 7);
    if (sim->hosts_count < options->hosts_min) sim->hosts_count = options->hosts_min;
    if (options->story->hosts_count > 0) sim->hosts_count = options->story->hosts_count;
    if (options->notes != NULL) options->notes->hosts_count = sim->hosts_count;
    sim->hosts = mn_alloc(sim->hosts_count * sizeof *sim->hosts);
    mn_map_init(&sim->calls, options->story->seed);
    sim_net_init(sim);
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        sim_host_init(sim, &sim->hosts[i], i);
    return sim;
}

void sim_free(struct sim *sim)
{
    struct mn_map_entry *entry, *next;

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        sim_host_done(&sim->hosts[i]);
    sim_net_done(sim);
    for (entry = mn_map_next(&sim->calls, NULL); entry != NULL; entry = next) {
        next = mn_map_next(&sim->calls, entry);
        mn_free(MN_CONTAINER(entry, struct sim_call, entry));
    }
    mn_map_done(&sim->calls);
    mn_free(sim->clients);
    sim_keeper_done(sim);
    mn_free(sim->scenario);
    if (sim->scenario_done != NULL) sim->scenario_done(sim);
    sim_watch_done(sim);
    mn_heap_done(&sim->events);
    mn_free(sim->hosts);
    mn_free(sim);
}

void sim_boot(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim_host_start(&sim->hosts[i]);
        sim_run_until(sim, sim->time + 200 * MN_MS); /* the founder first: it makes the token */
    }
    sim_watch_start(sim, "/mcp");
    sim_run_until(sim, sim->time + SETTLE_TIME);
    sim_check_settled(sim);
}

/* Lets the mesh recover, and notes how long that took. */
static void run_quiet(struct sim *sim)
{
    mn_time begin = sim->time, end = begin + sim->options.story->quiet_for;

    while (!sim->has_failed && sim->time < end && !sim_is_settled(sim))
        sim_run_until(sim, mn_time_min(end, sim->time + 100 * MN_MS));
    sim->stats.recovery = sim->time - begin;
    if (!sim->has_failed) sim_run_until(sim, end);
}

bool sim_run(struct sim *sim)
{
    mn_time faults_end;

    sim_boot(sim);
    faults_end = sim->time + sim->options.story->faults_for;
    sim_client_start(sim);
    if (rng_below(&sim->rng_keep, 3) == 0) sim_keeper_start(sim); /* they make a run slow */
    if (sim->options.has_faults) sim_plan_start(sim);
    sim_run_until(sim, faults_end);
    sim_plan_stop(sim);
    run_quiet(sim);
    if (!sim->has_failed) sim_keeper_end(sim);
    sim_client_stop(sim);
    sim_run_until(sim, sim->time + 2 * SIM_CALL_TIMEOUT); /* nobody waits for an answer */
    if (!sim->has_failed) sim_check_end(sim);
    return !sim->has_failed;
}
