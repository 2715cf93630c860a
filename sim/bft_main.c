/* bftsim: what must survive liars, in a virtual world, one seed or many, and what to type to see a
 * failure again. */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "sim/bft_sim.h"

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

static const char usage[] =
    "usage: bftsim [--decide] [--seeds FROM..TO | --seed S] [--faults MS] [--quiet SECONDS]\n"
    "              [--twice] [--probes] [-v]\n"
    "\n"
    "  --decide          signed one-shot decisions instead of Byzantine agreement\n"
    "  --seed S          one run (default 1)\n"
    "  --seeds FROM..TO  one run per seed; ends at the first that fails\n"
    "  --faults MS       how long faults last, virtual (default 3000, with\n"
    "                    --decide 8000)\n"
    "  --quiet SECONDS   how long there is to finish then, virtual (default 300)\n"
    "  --twice           run each seed twice and compare the trace hashes\n"
    "  --probes          list the marks and faults that no run reached; exit 1 if there are any\n"
    "  -v                print what is decided when\n"
    "\n"
    "exit status: 0 all held, 1 a check failed (the line says how to replay it), 2 usage\n";

struct campaign {
    const struct bft_scenario *scenario;
    struct bft_options options;
    unsigned long long first, last;
    bool is_twice, has_probes;
    struct bft_stats total;
};

static struct campaign running; /* a failed assertion must say how to see it again */

static bool parse_option(int option, const char *value, struct campaign *campaign)
{
    unsigned long long number;
    char rest;

    switch (option) {
    case 'd':
        campaign->scenario = &bft_decide;
        campaign->options.faults_for = 8 * MN_SEC;
        return true;
    case 's':
        if (sscanf(value, "%llu%c", &campaign->first, &rest) != 1) return false;
        campaign->last = campaign->first;
        return true;
    case 'S':
        return sscanf(value, "%llu..%llu%c", &campaign->first, &campaign->last, &rest) == 2 &&
               campaign->first <= campaign->last;
    case 'f':
    case 'q':
        if (sscanf(value, "%llu%c", &number, &rest) != 1 || number > 100000) return false;
        if (option == 'f') campaign->options.faults_for = number * MN_MS;
        if (option == 'q') campaign->options.quiet_for = number * MN_SEC;
        return true;
    case 't': campaign->is_twice = true; return true;
    case 'p': campaign->has_probes = true; return true;
    case 'v': campaign->options.is_verbose = true; return true;
    default: return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct campaign *campaign)
{
    static const struct option options[] = {{"decide", no_argument, NULL, 'd'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'S'},
                                            {"faults", required_argument, NULL, 'f'},
                                            {"quiet", required_argument, NULL, 'q'},
                                            {"twice", no_argument, NULL, 't'},
                                            {"probes", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
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

static void print_replay(const struct campaign *campaign)
{
    printf("replay: bftsim%s --seed %llu --faults %llu --quiet %llu -v\n",
           campaign->scenario == &bft_decide ? " --decide" : "",
           (unsigned long long)campaign->options.seed,
           (unsigned long long)(campaign->options.faults_for / MN_MS),
           (unsigned long long)(campaign->options.quiet_for / MN_SEC));
}

/* Raised by the thread itself, between two instructions of ours: printing is safe. */
static void on_abort(int number)
{
    (void)number;
    printf("FAILED seed %llu: an assertion\n", (unsigned long long)running.options.seed);
    print_replay(&running);
    fflush(stdout);
    _Exit(1);
}

static bool run_once(struct campaign *campaign, uint64_t seed, uint64_t *hash)
{
    struct bft_world *world;
    bool is_good;

    campaign->options.seed = seed;
    running = *campaign;
    world = bft_world_new(campaign->scenario, &campaign->options);
    is_good = bft_world_run(world);
    *hash = world->hash;
    if (!is_good) {
        printf("FAILED seed %llu at %.6f s: %s\n", (unsigned long long)seed,
               (double)world->time / 1e6, world->failure);
        print_replay(campaign);
    }
    add_stats(&campaign->total, &world->stats);
    bft_world_free(world);
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

/* Marks of cores that this scenario does not run are of no interest. */
static bool print_probes(const struct campaign *campaign)
{
    static const char *const faults[BFT_FAULT_COUNT] = {
        "loss", "duplicates", "delay", "cut", "crash", "pause", "replay", "junk", "restore"};
    bool is_all = true;

    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        size_t size = strlen(campaign->scenario->name);
        if ((*probe)->hits > 0 || strncmp((*probe)->text, campaign->scenario->name, size) != 0)
            continue;
        printf("never reached: %s (%s)\n", (*probe)->text, (*probe)->file);
        is_all = false;
    }
    for (uint32_t i = 0; i < BFT_FAULT_COUNT; i++) {
        if (campaign->total.faults[i] > 0) continue;
        printf("never happened: %s\n", faults[i]);
        is_all = false;
    }
    return is_all;
}

int main(int argc, char **argv)
{
    struct campaign campaign = {.scenario = &bft_simplex, .first = 1, .last = 1};
    const struct bft_stats *total = &campaign.total;

    campaign.options.faults_for = 3 * MN_SEC;
    campaign.options.quiet_for = 300 * MN_SEC;
    if (!parse_arguments(argc, argv, &campaign)) {
        fputs(usage, stderr);
        return 2;
    }
    if (sodium_init() < 0) return 2;
    signal(SIGABRT, on_abort);
    for (uint64_t seed = campaign.first; seed <= campaign.last; seed++)
        if (!run_seed(&campaign, seed)) return 1;
    printf(
        "%llu seeds held: %llu events, %llu messages, %llu crashes, %llu torn records, %llu lies, "
        "%llu times evidence, %llu hosts decided",
        campaign.last - campaign.first + 1, (unsigned long long)total->events,
        (unsigned long long)total->messages, (unsigned long long)total->crashes,
        (unsigned long long)total->torn, (unsigned long long)total->lies,
        (unsigned long long)total->evidence, (unsigned long long)total->decided);
    if (campaign.scenario == &bft_simplex && total->decided > 0)
        printf(", after %.2f iterations in the mean",
               (double)total->iterations / (double)total->decided);
    printf("\n");
    if (campaign.has_probes && !print_probes(&campaign)) return 1;
    return 0;
}
