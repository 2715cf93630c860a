/* groupsim: many groups on a few hosts, one seed or many. */
#include <stdio.h>
#include <string.h>

#include "sim/common/campaign.h"
#include "sim/groups/groups_sim.h"

static const char usage[] =
    "usage: groupsim [--seeds FROM..TO | --seed S | --replay FILE] [--groups N] [--hosts N]\n"
    "                [--faults SECONDS] [--quiet SECONDS] [--shrink FILE] [--twice] [--probes]\n"
    "\n"
    "  --groups N        on every host (default: drawn, 1..24; at most 64)\n";

struct context {
    uint32_t groups_count;
    struct groups_sim_stats stats;
};

static bool on_option(struct campaign *campaign, int letter, const char *value)
{
    struct context *context = campaign->context;
    uint64_t number;

    if (letter != 'g' || !campaign_number(value, 64, &number)) return false;
    context->groups_count = (uint32_t)number;
    return true;
}

static void print_options(const struct campaign *campaign)
{
    const struct context *context = campaign->context;

    if (context->groups_count > 0) printf(" --groups %u", context->groups_count);
}

static bool run(struct campaign *campaign, struct campaign_run *run)
{
    struct context *context = campaign->context;
    struct groups_sim_options options = {.story = &run->story,
                                         .is_told = run->is_told,
                                         .notes = run->notes,
                                         .groups_count = context->groups_count};

    return groups_sim_run(&options, &context->stats, &run->hash, &run->at, run->failure);
}

static void print_total(const struct campaign *campaign)
{
    const struct groups_sim_stats *stats = &((const struct context *)campaign->context)->stats;

    printf("%llu seeds held: %llu groups, %llu steps, %llu packets with %llu messages, "
           "%llu proposals, %llu applied, %llu crashes, %llu rotten and %llu lost logs, "
           "%llu cuts; "
           "%llu packets in an idle second of all\n",
           (unsigned long long)(campaign->last - campaign->first + 1),
           (unsigned long long)stats->groups, (unsigned long long)stats->steps,
           (unsigned long long)stats->packets, (unsigned long long)stats->messages,
           (unsigned long long)stats->proposals, (unsigned long long)stats->applied,
           (unsigned long long)stats->crashes, (unsigned long long)stats->rots,
           (unsigned long long)stats->wipes, (unsigned long long)stats->cuts,
           (unsigned long long)stats->idle_packets);
}

static bool is_own_mark(const struct campaign *campaign, const char *text)
{
    (void)campaign;
    return strncmp(text, "groups: ", 8) == 0 || strncmp(text, "seglog: ", 8) == 0 ||
           strncmp(text, "sim: ", 5) == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"groups", required_argument, NULL, 'g'},
                                            {NULL, 0, NULL, 0}};
    static const struct campaign_kind kind = {
        .words = {"groupsim", groups_decision_names, GROUPS_DECISIONS},
        .ops_from = GROUPS_OP,
        .hosts_min = 3,
        .lasting_count = 1,
        .run = run,
        .print_total = print_total,
        .is_own_mark = is_own_mark};
    struct context context = {0};
    struct campaign campaign = {.kind = &kind,
                                .usage = usage,
                                .faults_for = 10 * MN_SEC,
                                .quiet_for = 4 * MN_SEC,
                                .faults_unit = MN_SEC,
                                .options = options,
                                .on_option = on_option,
                                .print_options = print_options,
                                .context = &context};

    return campaign_main(&campaign, argc, argv);
}
