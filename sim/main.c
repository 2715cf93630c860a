/* meshsim: runs real nodes in a virtual world, one seed or many, and prints what to type to see a
 * failure again. */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "sim/sim.h"

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

static const char usage[] =
    "usage: meshsim [--nodes N] [--seed S | --seeds FROM..TO] [--faults SECONDS]\n"
    "               [--quiet SECONDS] [--no-faults] [--scenario NAME] [--twice] [--first]\n"
    "               [--probes] [-v]\n"
    "\n"
    "  --nodes N         nodes in the mesh; 0 (default): drawn from the seed, 1 to 7\n"
    "  --seed S          one run (default 1)\n"
    "  --seeds FROM..TO  one run per seed\n"
    "  --faults SECONDS  how long faults and load last, virtual (default 60)\n"
    "  --quiet SECONDS   how long the mesh then has to recover, virtual (default 120)\n"
    "  --no-faults       load only\n"
    "  --scenario detect kills and freezes each node once: how soon do the others notice?\n"
    "  --scenario pending  nodes without a token, an operator, and faults\n"
    "  --scenario trust  growth, renewal, revocation, clocks, the end of all grants\n"
    "  --twice           run each seed twice and compare the trace hashes\n"
    "  --first           end with the first failure\n"
    "  --probes          list the marks and events that no run reached; exit 1 if there are any\n"
    "  -v                print what the nodes report\n"
    "\n"
    "exit status: 0 all held, 1 a check failed (the line says how to replay it), 2 usage\n";

static const struct scenario {
    const char *name;
    bool (*run)(struct sim *sim);
} scenarios[] = {
    {"faults", sim_run}, /* what runs when none is named */
    {"detect", sim_run_detect},
    {"pending", sim_run_pending},
    {"trust", sim_run_trust},
};

static const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    return NULL;
}

struct campaign {
    struct sim_options options;
    uint64_t first, last;
    bool is_twice, has_probes;
    const struct scenario *scenario;
    struct sim_stats total;
    bool is_first; /* failure ends the campaign */
    uint64_t hash; /* of the hashes of all runs */
    uint64_t reported[MN_EV_COUNT];
};

static bool parse_u64(const char *text, const char *end_marks, uint64_t *ret, const char **rest)
{
    char *end;

    if (*text < '0' || *text > '9') return false;
    *ret = strtoull(text, &end, 10);
    *rest = end;
    return *end == '\0' || strchr(end_marks, *end) != NULL;
}

static bool parse_seeds(const char *text, struct campaign *campaign)
{
    const char *rest;

    if (!parse_u64(text, ".", &campaign->first, &rest) || strncmp(rest, "..", 2) != 0) return false;
    return parse_u64(rest + 2, "", &campaign->last, &rest) && campaign->first <= campaign->last;
}

static bool parse_seconds(const char *text, mn_time *ret)
{
    const char *rest;
    uint64_t seconds;

    if (!parse_u64(text, "", &seconds, &rest) || seconds > 1000000) return false;
    *ret = seconds * MN_SEC;
    return true;
}

static bool parse_option(int option, const char *value, struct campaign *campaign)
{
    const char *rest;
    uint64_t number = 0;

    switch (option) {
    case 'n':
        if (!parse_u64(value, "", &number, &rest) || number > 1000) return false;
        campaign->options.nodes_count = (uint32_t)number;
        return true;
    case 's':
        if (!parse_u64(value, "", &campaign->first, &rest)) return false;
        campaign->last = campaign->first;
        return true;
    case 'S': return parse_seeds(value, campaign);
    case 'f': return parse_seconds(value, &campaign->options.faults_for);
    case 'q': return parse_seconds(value, &campaign->options.quiet_for);
    case 'N': campaign->options.has_faults = false; return true;
    case 't': campaign->is_twice = true; return true;
    case 'D': campaign->scenario = scenario_find(value); return campaign->scenario != NULL;
    case 'p': campaign->has_probes = true; return true;
    case '1': campaign->is_first = true; return true;
    case 'v': campaign->options.is_verbose = true; return true;
    default: return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct campaign *campaign)
{
    static const struct option options[] = {
        {"nodes", required_argument, NULL, 'n'},    {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'S'},    {"faults", required_argument, NULL, 'f'},
        {"quiet", required_argument, NULL, 'q'},    {"no-faults", no_argument, NULL, 'N'},
        {"scenario", required_argument, NULL, 'D'}, {"twice", no_argument, NULL, 't'},
        {"first", no_argument, NULL, '1'},          {"probes", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
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

static void print_replay(const struct campaign *campaign)
{
    const struct sim_options *options = &campaign->options;

    printf("replay: meshsim --nodes %u --seed %llu --faults %llu --quiet %llu%s --scenario %s -v\n",
           options->nodes_count, (unsigned long long)options->seed,
           (unsigned long long)(options->faults_for / MN_SEC),
           (unsigned long long)(options->quiet_for / MN_SEC),
           options->has_faults ? "" : " --no-faults", campaign->scenario->name);
}

static void print_failure(const struct campaign *campaign, const struct sim *sim)
{
    printf("FAILED seed %llu at %.3f s: %s\n", (unsigned long long)sim->options.seed,
           (double)sim->time / 1e6, sim->failure);
    print_replay(campaign);
}

/* A failed assertion of a node says what, this says when. It comes from our own abort(), never out
 * of the middle of printf(). */
static const struct campaign *running;

static void on_abort(int signal_number)
{
    (void)signal_number;
    printf("FAILED seed %llu: an assertion, or memory\n",
           (unsigned long long)running->options.seed);
    print_replay(running);
    fflush(stdout);
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
    if (one->recovery > total->recovery) total->recovery = one->recovery;
}

/* One run; the hash of its trace. */
static bool run_once(struct campaign *campaign, uint64_t seed, uint64_t *hash)
{
    struct sim *sim;
    bool is_good;

    campaign->options.seed = seed;
    sim = sim_new(&campaign->options);
    is_good = campaign->scenario->run(sim);
    *hash = sim->hash;
    campaign->hash = (campaign->hash ^ sim->hash) * 0x100000001b3U;
    if (!is_good) print_failure(campaign, sim);
    add_stats(&campaign->total, &sim->stats);
    for (int event = 0; event < MN_EV_COUNT; event++)
        campaign->reported[event] += sim->reported[event];
    if (campaign->first == campaign->last)
        printf("seed %llu: %u nodes, %.0f s, trace hash %016llx\n", (unsigned long long)seed,
               sim->hosts_count, (double)sim->time / 1e6, (unsigned long long)sim->hash);
    sim_free(sim);
    return is_good;
}

static bool run_seed(struct campaign *campaign, uint64_t seed)
{
    uint64_t hash, again;

    if (!run_once(campaign, seed, &hash)) return false;
    if (!campaign->is_twice) return true;
    if (!run_once(campaign, seed, &again)) return false;
    if (hash == again) return true;
    printf("FAILED seed %llu: two runs differ (%016llx, %016llx): something is not deterministic\n",
           (unsigned long long)seed, (unsigned long long)hash, (unsigned long long)again);
    return false;
}

/* Marks in the code, and events that the nodes can report. */
static bool print_probes(const struct campaign *campaign)
{
    bool is_all = true;

    for (int event = MN_EV_NONE + 1; event < MN_EV_COUNT; event++) {
        if (campaign->reported[event] > 0) continue;
        printf("never reported: %s\n", mn_event_name((enum mn_event)event));
        is_all = false;
    }
    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        if ((*probe)->hits > 0) continue;
        printf("never reached: %s (%s)\n", (*probe)->text, (*probe)->file);
        is_all = false;
    }
    return is_all;
}

static void print_total(const struct campaign *campaign, unsigned long long bad)
{
    const struct sim_stats *total = &campaign->total;

    printf("%llu seeds, %llu failed, trace hash %016llx\n",
           (unsigned long long)(campaign->last - campaign->first + 1), bad,
           (unsigned long long)campaign->hash);
    printf(
        "%llu steps; %llu calls: %llu answered, %llu failed clearly, %llu cut off; %llu work done; "
        "%llu notifications\n",
        (unsigned long long)total->steps, (unsigned long long)total->calls,
        (unsigned long long)total->answered, (unsigned long long)total->failed,
        (unsigned long long)total->gone, (unsigned long long)total->executions,
        (unsigned long long)total->notifications);
    printf(
        "%llu crashes, %llu stops, %llu freezes, %llu resets, %llu cuts; recovered within %.1f s\n",
        (unsigned long long)total->crashes, (unsigned long long)total->stops,
        (unsigned long long)total->freezes, (unsigned long long)total->resets,
        (unsigned long long)total->cuts, (double)total->recovery / 1e6);
}

int main(int argc, char **argv)
{
    struct campaign campaign = {
        .options = {.faults_for = 60 * MN_SEC, .quiet_for = 120 * MN_SEC, .has_faults = true},
        .scenario = &scenarios[0],
        .first = 1,
        .last = 1};
    unsigned long long bad = 0;

    if (!parse_arguments(argc, argv, &campaign)) {
        fputs(usage, stderr);
        return 2;
    }
    if (sodium_init() < 0) return 1;
    running = &campaign;
    signal(SIGABRT, on_abort);
    for (uint64_t seed = campaign.first; seed <= campaign.last; seed++)
        if (!run_seed(&campaign, seed) && ++bad > 0 && campaign.is_first) break;
    print_total(&campaign, bad);
    if (campaign.has_probes && !print_probes(&campaign)) return 1;
    return bad == 0 ? 0 : 1;
}
