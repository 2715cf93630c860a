/* raftsim: consensus groups in a virtual world, one seed or many, and what to type to see a failure
 * again. */
#include <stdio.h>

#include "sim/common/campaign.h"
#include "sim/raft/raft_sim.h"

static const char usage[] =
    "usage: raftsim [--seeds FROM..TO | --seed S | --replay FILE] [--hosts N] [--faults SECONDS]\n"
    "               [--quiet SECONDS] [--shrink FILE] [--lying-disks] [--twice] [--probes] [-v]\n"
    "\n"
    "  --lying-disks     disks lose what they said was synced: shows that the checks see it\n";

struct context {
    bool has_lying_disks;
    struct raft_stats total;
};

static bool on_option(struct campaign *campaign, int letter, const char *value)
{
    (void)value;
    if (letter != 'l') return false;
    ((struct context *)campaign->context)->has_lying_disks = true;
    return true;
}

static void print_options(const struct campaign *campaign)
{
    if (((const struct context *)campaign->context)->has_lying_disks) printf(" --lying-disks");
}

static void add_stats(struct raft_stats *total, const struct raft_stats *one)
{
    total->events += one->events;
    total->steps += one->steps;
    total->ops += one->ops;
    total->answered += one->answered;
    total->reads += one->reads;
    total->elections += one->elections;
    total->crashes += one->crashes;
    total->corruptions += one->corruptions;
    total->changes += one->changes;
    total->snapshots += one->snapshots;
    for (uint32_t i = 0; i < RAFT_FAULT_COUNT; i++)
        total->faults[i] += one->faults[i];
    if (one->slowest_leader > total->slowest_leader) total->slowest_leader = one->slowest_leader;
}

static void print_hosts(const struct raft_world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_view view;
        if (world->hosts[i].raft == NULL) {
            printf("n%u is down\n", i);
            continue;
        }
        view = raft_view(world->hosts[i].raft);
        printf("n%u role %d term %llu last %llu/%llu commit %llu%s, weights at %llu:", i,
               (int)view.role, (unsigned long long)view.term, (unsigned long long)view.last_index,
               (unsigned long long)view.last_term, (unsigned long long)view.commit,
               view.is_wounded ? " wounded" : "", (unsigned long long)view.config_index);
        for (uint32_t k = 0; k < view.config->members_count; k++)
            printf(" n%u=%u/%u", view.config->members[k].id.bytes[15] - 1u,
                   view.config->members[k].weight, view.config->members[k].weight_old);
        printf("\n");
    }
}

static bool run(struct campaign *campaign, struct campaign_run *run)
{
    struct context *context = campaign->context;
    struct raft_options options = {.story = &run->story,
                                   .is_told = run->is_told,
                                   .notes = run->notes,
                                   .has_lying_disks = context->has_lying_disks,
                                   .is_verbose = run->is_verbose};
    struct raft_world *world = raft_world_new(&options);
    bool is_good = raft_world_run(world);

    run->hash = world->hash;
    run->at = world->time;
    memcpy(run->failure, world->failure, sizeof run->failure);
    if (!is_good && run->is_verbose) print_hosts(world);
    add_stats(&context->total, &world->stats);
    raft_world_free(world);
    return is_good;
}

static void print_total(const struct campaign *campaign)
{
    const struct raft_stats *total = &((const struct context *)campaign->context)->total;

    printf("%llu seeds held: %llu events, %llu ops (%llu answered, %llu reads), %llu elections, "
           "%llu crashes, %llu corrupt logs, %llu changes, %llu snapshots; slowest leader %.3f s\n",
           (unsigned long long)(campaign->last - campaign->first + 1),
           (unsigned long long)total->events, (unsigned long long)total->ops,
           (unsigned long long)total->answered, (unsigned long long)total->reads,
           (unsigned long long)total->elections, (unsigned long long)total->crashes,
           (unsigned long long)total->corruptions, (unsigned long long)total->changes,
           (unsigned long long)total->snapshots, (double)total->slowest_leader / 1e6);
}

static bool print_holes(const struct campaign *campaign)
{
    const struct raft_stats *total = &((const struct context *)campaign->context)->total;
    bool is_all = true;

    for (uint32_t i = 0; i < RAFT_FAULT_COUNT; i++) {
        if (total->faults[i] > 0) continue;
        printf("never happened: %s\n", raft_decision_names[i]);
        is_all = false;
    }
    return is_all;
}

static bool is_own_mark(const struct campaign *campaign, const char *text)
{
    (void)campaign;
    return strncmp(text, "raft", 4) == 0; /* others are of cores that are not run here */
}

int main(int argc, char **argv)
{
    static const struct campaign_kind kind = {
        .words = {"raftsim", raft_decision_names, RAFT_DECISIONS},
        .ops_from = RAFT_OP,
        .hosts_min = 3,
        .lasting_count = RAFT_LASTING_COUNT,
        .run = run,
        .print_total = print_total,
        .print_holes = print_holes,
        .is_own_mark = is_own_mark};
    static const struct option options[] = {{"lying-disks", no_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    struct context context = {0};
    struct campaign campaign = {.kind = &kind,
                                .usage = usage,
                                .faults_for = 12 * MN_SEC,
                                .quiet_for = 10 * MN_SEC,
                                .faults_unit = MN_SEC,
                                .options = options,
                                .on_option = on_option,
                                .print_options = print_options,
                                .context = &context};

    return campaign_main(&campaign, argc, argv);
}
