/* meshsim: runs real nodes in a virtual world, one seed or many, and prints what to type to see a
 * failure again. */
#include <stdio.h>
#include <string.h>

#include "sim/common/campaign.h"
#include "sim/mesh/faults.h"
#include "sim/scenarios/scenarios.h"

static const char usage[] =
    "usage: meshsim [--nodes N] [--seed S | --seeds FROM..TO | --replay FILE] [--faults SECONDS]\n"
    "               [--quiet SECONDS] [--no-faults] [--scenario NAME] [--first] [--shrink FILE]\n"
    "               [--twice] [--probes] [-v]\n"
    "\n"
    "  --nodes N         nodes in the mesh, like --hosts; default: drawn from the seed, 1 to 7,\n"
    "                    or as many as the scenario takes at least\n"
    "  --no-faults       load only\n"
    "  --scenario detect kills and freezes each node once: how soon do the others notice?\n"
    "  --scenario pending  nodes without a token, an operator, and faults\n"
    "  --scenario trust  growth, renewal, revocation, clocks, the end of all grants\n"
    "  --scenario sessions  clients that go on at other nodes when theirs is killed\n"
    "  --scenario names  names of servers whose owner is away\n"
    "  --scenario rules  tools that are approved, or in quarantine, and are defined anew\n"
    "  --scenario views  chosen tools under names of their own, and who follows them\n"
    "  --scenario voters  voters die for good, one by one and at once; the group begun anew\n"
    "  --scenario decisions  signed votes on what everybody proposes\n"
    "  --scenario shy  tools that servers show only to some clients\n"
    "  --scenario polls  servers that end their stream in the middle of a call, to be asked again\n"
    "  --scenario talks  servers that ask, report, keep tasks and tell of changes\n"
    "  --first           end with the first failure\n";

/* What shows nothing among fewer nodes has so many, if nobody says how many. */
static const struct scenario {
    const char *name;
    uint32_t hosts_min;
    bool (*run)(struct sim *sim);
} scenarios[] = {
    {"faults", 1, sim_run}, /* what runs when none is named */
    {"detect", 1, sim_run_detect}, {"pending", 3, sim_run_pending},
    {"trust", 9, sim_run_trust},   {"sessions", 4, sim_run_sessions},
    {"names", 4, sim_run_names},   {"talks", 1, sim_run_talks},
    {"rules", 3, sim_run_rules},   {"voters", 8, sim_run_voters},
    {"views", 3, sim_run_views},   {"decisions", 4, sim_run_decisions},
    {"shy", 3, sim_run_shy},       {"polls", 4, sim_run_polls},
};

static const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    return NULL;
}

struct context {
    const struct scenario *scenario;
    struct campaign_kind *kind;
    bool has_faults;
    struct sim_stats total;
    uint64_t reported[MN_EV_COUNT];
};

static bool on_option(struct campaign *campaign, int letter, const char *value)
{
    struct context *context = campaign->context;
    uint64_t number;

    switch (letter) {
    case 'n':
        if (!campaign_number(value, 1000, &number)) return false;
        campaign->hosts_count = (uint32_t)number;
        return true;
    case 'N': context->has_faults = false; return true;
    case 'D':
        context->scenario = scenario_find(value);
        if (context->scenario == NULL) return false;
        context->kind->hosts_min = context->scenario->hosts_min;
        return true;
    case '1': campaign->goes_on = false; return true;
    default: return false;
    }
}

static void print_options(const struct campaign *campaign)
{
    const struct context *context = campaign->context;

    if (!context->has_faults) printf(" --no-faults");
    if (context->scenario != scenarios) printf(" --scenario %s", context->scenario->name);
}

static void add_stats(struct sim_stats *total, const struct sim_stats *one)
{
    total->steps += one->steps;
    total->calls += one->calls;
    total->answered += one->answered;
    total->failed += one->failed;
    total->gone += one->gone;
    total->executions += one->executions;
    total->crashes += one->crashes;
    total->stops += one->stops;
    total->notifications += one->notifications;
    total->freezes += one->freezes;
    total->resets += one->resets;
    total->cuts += one->cuts;
    total->kept += one->kept;
    total->locks += one->locks;
    if (one->recovery > total->recovery) total->recovery = one->recovery;
}

static bool run(struct campaign *campaign, struct campaign_run *run)
{
    struct context *context = campaign->context;
    struct sim_options options = {.story = &run->story,
                                  .is_told = run->is_told,
                                  .notes = run->notes,
                                  .hosts_min = context->scenario->hosts_min,
                                  .has_faults = context->has_faults,
                                  .is_verbose = run->is_verbose};
    struct sim *sim = sim_new(&options);
    bool is_good = context->scenario->run(sim);

    run->hash = sim->hash;
    run->at = sim->time;
    snprintf(run->failure, sizeof run->failure, "%.255s", sim->failure);
    add_stats(&context->total, &sim->stats);
    for (int event = 0; event < MN_EV_COUNT; event++)
        context->reported[event] += sim->reported[event];
    sim_free(sim);
    return is_good;
}

/* Events that the nodes can report. */
static bool print_holes(const struct campaign *campaign)
{
    const struct context *context = campaign->context;
    bool is_all = true;

    for (int event = MN_EV_NONE + 1; event < MN_EV_COUNT; event++) {
        if (context->reported[event] > 0) continue;
        printf("never reported: %s\n", mn_event_name((enum mn_event)event));
        is_all = false;
    }
    return is_all;
}

static bool is_own_mark(const struct campaign *campaign, const char *text)
{
    (void)campaign;
    (void)text;
    return true;
}

static void print_total(const struct campaign *campaign)
{
    const struct sim_stats *total = &((const struct context *)campaign->context)->total;

    printf("%llu seeds, %llu failed, trace hash %016llx\n",
           (unsigned long long)(campaign->last - campaign->first + 1),
           (unsigned long long)campaign->failed, (unsigned long long)campaign->hash);
    printf(
        "%llu steps; %llu calls: %llu answered, %llu failed clearly, %llu cut off; %llu work done; "
        "%llu notifications\n",
        (unsigned long long)total->steps, (unsigned long long)total->calls,
        (unsigned long long)total->answered, (unsigned long long)total->failed,
        (unsigned long long)total->gone, (unsigned long long)total->executions,
        (unsigned long long)total->notifications);
    printf("%llu crashes, %llu stops, %llu freezes, %llu resets, %llu cuts; %llu operations on the "
           "keyspace, %llu locks; recovered within %.1f s\n",
           (unsigned long long)total->crashes, (unsigned long long)total->stops,
           (unsigned long long)total->freezes, (unsigned long long)total->resets,
           (unsigned long long)total->cuts, (unsigned long long)total->kept,
           (unsigned long long)total->locks, (double)total->recovery / 1e6);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"nodes", required_argument, NULL, 'n'},
                                            {"no-faults", no_argument, NULL, 'N'},
                                            {"scenario", required_argument, NULL, 'D'},
                                            {"first", no_argument, NULL, '1'},
                                            {NULL, 0, NULL, 0}};
    const char *names[SIM_FAULTS_COUNT];
    struct campaign_kind kind = {.words = {"meshsim", names, SIM_FAULTS_COUNT},
                                 .ops_from = SIM_FAULTS_COUNT,
                                 .hosts_min = scenarios[0].hosts_min,
                                 .run = run,
                                 .print_total = print_total,
                                 .print_holes = print_holes,
                                 .is_own_mark = is_own_mark};
    struct context context = {.scenario = scenarios, .kind = &kind, .has_faults = true};
    struct campaign campaign = {.kind = &kind,
                                .usage = usage,
                                .faults_for = 60 * MN_SEC,
                                .quiet_for = 120 * MN_SEC,
                                .faults_unit = MN_SEC,
                                .goes_on = true,
                                .options = options,
                                .on_option = on_option,
                                .print_options = print_options,
                                .context = &context};

    for (uint32_t i = 0; i < SIM_FAULTS_COUNT; i++)
        names[i] = sim_faults[i].name;
    return campaign_main(&campaign, argc, argv);
}
