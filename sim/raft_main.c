/* raftsim: consensus groups in a virtual world, one seed or many, and what to type to see a failure
 * again. */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "sim/raft_sim.h"

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

static const char usage[] =
    "usage: raftsim [--seeds FROM..TO | --seed S] [--faults SECONDS] [--quiet SECONDS]\n"
    "               [--twice] [--probes] [-v]\n"
    "\n"
    "  --seed S          one run (default 1)\n"
    "  --seeds FROM..TO  one run per seed; ends at the first that fails\n"
    "  --faults SECONDS  how long faults last, virtual (default 12)\n"
    "  --quiet SECONDS   how long the group then has to recover, virtual (default 10)\n"
    "  --twice           run each seed twice and compare the trace hashes\n"
    "  --probes          list the marks that no run reached; exit 1 if there are any\n"
    "  -v                print who leads when\n"
    "\n"
    "exit status: 0 all held, 1 a check failed (the line says how to replay it), 2 usage\n";

/* Of the run under way: a failed assertion must say how to see it again. */
static struct raft_options running;

struct campaign {
    struct raft_options options;
    unsigned long long first, last;
    bool is_twice, has_probes;
    struct raft_stats total;
};

static bool parse_seconds(const char *text, mn_time *ret)
{
    unsigned long long seconds;
    char rest;

    if (sscanf(text, "%llu%c", &seconds, &rest) != 1 || seconds > 100000) return false;
    *ret = seconds * MN_SEC;
    return true;
}

static bool parse_option(int option, const char *value, struct campaign *campaign)
{
    char rest;

    switch (option) {
    case 's':
        if (sscanf(value, "%llu%c", &campaign->first, &rest) != 1) return false;
        campaign->last = campaign->first;
        return true;
    case 'S':
        return sscanf(value, "%llu..%llu%c", &campaign->first, &campaign->last, &rest) == 2 &&
               campaign->first <= campaign->last;
    case 'f': return parse_seconds(value, &campaign->options.faults_for);
    case 'q': return parse_seconds(value, &campaign->options.quiet_for);
    case 't': campaign->is_twice = true; return true;
    case 'p': campaign->has_probes = true; return true;
    case 'v': campaign->options.is_verbose = true; return true;
    default: return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct campaign *campaign)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'S'},
        {"faults", required_argument, NULL, 'f'}, {"quiet", required_argument, NULL, 'q'},
        {"twice", no_argument, NULL, 't'},        {"probes", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (!parse_option(option, optarg, campaign)) return false;
    }
    return optind == argc;
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

static void print_replay(const struct raft_options *options)
{
    printf("replay: raftsim --seed %llu --faults %llu --quiet %llu -v\n",
           (unsigned long long)options->seed, (unsigned long long)(options->faults_for / MN_SEC),
           (unsigned long long)(options->quiet_for / MN_SEC));
}

/* Raised by the thread itself, between two instructions of ours: printing is safe. */
static void on_abort(int number)
{
    (void)number;
    printf("FAILED seed %llu: an assertion\n", (unsigned long long)running.seed);
    print_replay(&running);
    fflush(stdout);
    _Exit(1);
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

static bool run_once(struct campaign *campaign, uint64_t seed, uint64_t *hash)
{
    struct raft_world *world;
    bool is_good;

    campaign->options.seed = seed;
    running = campaign->options;
    world = raft_world_new(&campaign->options);
    is_good = raft_world_run(world);
    *hash = world->hash;
    if (!is_good) {
        printf("FAILED seed %llu at %.6f s: %s\n", (unsigned long long)seed,
               (double)world->time / 1e6, world->failure);
        if (campaign->options.is_verbose) print_hosts(world);
        print_replay(&campaign->options);
    }
    add_stats(&campaign->total, &world->stats);
    raft_world_free(world);
    return is_good;
}

static bool run_seed(struct campaign *campaign, uint64_t seed)
{
    uint64_t hash, again;

    if (!run_once(campaign, seed, &hash)) return false;
    if (campaign->first == campaign->last) printf("trace hash %016llx\n", (unsigned long long)hash);
    if (!campaign->is_twice) return true;
    if (!run_once(campaign, seed, &again)) return false;
    if (hash == again) return true;
    printf("FAILED seed %llu: two runs differ: something is not deterministic\n",
           (unsigned long long)seed);
    return false;
}

/* Marks and faults that no run reached: a hole in the plan, and usually the next bug. */
static bool print_probes(const struct raft_stats *total)
{
    static const char *const faults[RAFT_FAULT_COUNT] = {
        "loss",    "duplicate", "delay",    "cut",   "cut-one-way", "crash", "pause", "slow-disk",
        "corrupt", "churn",     "transfer", "clock", "crash-write", "full",  "torn"};
    bool is_all = true;

    for (uint32_t i = 0; i < RAFT_FAULT_COUNT; i++) {
        if (total->faults[i] > 0) continue;
        printf("never happened: %s\n", faults[i]);
        is_all = false;
    }

    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        if ((*probe)->hits > 0) continue;
        if (strncmp((*probe)->text, "raft", 4) != 0) continue; /* of a core that is not run here */
        printf("never reached: %s (%s)\n", (*probe)->text, (*probe)->file);
        is_all = false;
    }
    return is_all;
}

int main(int argc, char **argv)
{
    struct campaign campaign = {.first = 1, .last = 1};
    const struct raft_stats *total = &campaign.total;

    campaign.options.faults_for = 12 * MN_SEC;
    campaign.options.quiet_for = 10 * MN_SEC;
    if (!parse_arguments(argc, argv, &campaign)) {
        fputs(usage, stderr);
        return 2;
    }
    if (sodium_init() < 0) return 2;
    signal(SIGABRT, on_abort);
    for (uint64_t seed = campaign.first; seed <= campaign.last; seed++)
        if (!run_seed(&campaign, seed)) return 1;
    printf("%llu seeds held: %llu events, %llu ops (%llu answered, %llu reads), %llu elections, "
           "%llu crashes, %llu corrupt logs, %llu changes, %llu snapshots; slowest leader %.3f s\n",
           campaign.last - campaign.first + 1, (unsigned long long)total->events,
           (unsigned long long)total->ops, (unsigned long long)total->answered,
           (unsigned long long)total->reads, (unsigned long long)total->elections,
           (unsigned long long)total->crashes, (unsigned long long)total->corruptions,
           (unsigned long long)total->changes, (unsigned long long)total->snapshots,
           (double)total->slowest_leader / 1e6);
    if (campaign.has_probes && !print_probes(total)) return 1;
    return 0;
}
