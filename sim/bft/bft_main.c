/* bftsim: what must survive liars, in a virtual world, one seed or many, and what to type to see a
 * failure again. */
#include <stdio.h>
#include <string.h>

#include "sim/bft/bft_sim.h"
#include "sim/common/campaign.h"

static const char usage[] =
    "usage: bftsim [--decide] [--seeds FROM..TO | --seed S | --replay FILE] [--hosts N]\n"
    "              [--faults MS] [--quiet SECONDS] [--shrink FILE] [--twice] [--probes] [-v]\n"
    "\n"
    "  --decide          signed one-shot decisions instead of Byzantine agreement\n";

struct context {
    const struct bft_scenario *scenario;
    struct bft_stats total;
};

static const struct bft_scenario *scenario_of(const struct campaign *campaign)
{
    return ((const struct context *)campaign->context)->scenario;
}

static bool on_option(struct campaign *campaign, int letter, const char *value)
{
    struct context *context = campaign->context;

    (void)value;
    if (letter != 'd') return false;
    context->scenario = &bft_decide;
    campaign->faults_for = 8 * MN_SEC;
    return true;
}

static void print_options(const struct campaign *campaign)
{
    if (scenario_of(campaign) == &bft_decide) printf(" --decide");
}

static void add_stats(struct bft_stats *total, const struct bft_stats *one)
{
    total->events += one->events;
    total->messages += one->messages;
    total->crashes += one->crashes;
    total->torn += one->torn;
    total->lies += one->lies;
    total->evidence += one->evidence;
    total->decided += one->decided;
    total->iterations += one->iterations;
    for (uint32_t i = 0; i < BFT_FAULT_COUNT; i++)
        total->faults[i] += one->faults[i];
    for (uint32_t i = 0; i < 8; i++)
        total->outcomes[i] += one->outcomes[i];
}

static bool run(struct campaign *campaign, struct campaign_run *run)
{
    struct context *context = campaign->context;
    struct bft_options options = {.story = &run->story,
                                  .is_told = run->is_told,
                                  .notes = run->notes,
                                  .is_verbose = run->is_verbose};
    struct bft_world *world = bft_world_new(context->scenario, &options);
    bool is_good = bft_world_run(world);

    run->hash = world->hash;
    run->at = world->time;
    memcpy(run->failure, world->failure, sizeof run->failure);
    add_stats(&context->total, &world->stats);
    bft_world_free(world);
    return is_good;
}

static void print_total(const struct campaign *campaign)
{
    const struct bft_stats *total = &((const struct context *)campaign->context)->total;

    printf(
        "%llu seeds held: %llu events, %llu messages, %llu crashes, %llu torn records, %llu lies, "
        "%llu times evidence, %llu hosts decided",
        (unsigned long long)(campaign->last - campaign->first + 1),
        (unsigned long long)total->events, (unsigned long long)total->messages,
        (unsigned long long)total->crashes, (unsigned long long)total->torn,
        (unsigned long long)total->lies, (unsigned long long)total->evidence,
        (unsigned long long)total->decided);
    if (scenario_of(campaign) == &bft_simplex && total->decided > 0)
        printf(", after %.2f iterations in the mean",
               (double)total->iterations / (double)total->decided);
    printf("\n");
}

static bool print_holes(const struct campaign *campaign)
{
    const struct bft_stats *total = &((const struct context *)campaign->context)->total;
    bool is_all = true;

    for (uint32_t i = 0; i < BFT_FAULT_COUNT; i++) {
        if (total->faults[i] > 0) continue;
        printf("never happened: %s\n", bft_decision_names[i]);
        is_all = false;
    }
    return is_all;
}

/* Marks of cores that this scenario does not run are of no interest. */
static bool is_own_mark(const struct campaign *campaign, const char *text)
{
    const char *name = scenario_of(campaign)->name;

    return strncmp(text, name, strlen(name)) == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"decide", no_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
    static const struct campaign_kind kind = {
        .words = {"bftsim", bft_decision_names, BFT_DECISIONS},
        .ops_from = BFT_OP,
        .hosts_min = 4,
        .lasting_count = BFT_LASTING_COUNT,
        .run = run,
        .print_total = print_total,
        .print_holes = print_holes,
        .is_own_mark = is_own_mark};
    struct context context = {.scenario = &bft_simplex};
    struct campaign campaign = {.kind = &kind,
                                .usage = usage,
                                .faults_for = 3 * MN_SEC,
                                .quiet_for = 300 * MN_SEC,
                                .faults_unit = MN_MS,
                                .options = options,
                                .on_option = on_option,
                                .print_options = print_options,
                                .context = &context};

    return campaign_main(&campaign, argc, argv);
}
