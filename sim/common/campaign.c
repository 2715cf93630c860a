#include "sim/common/campaign.h"

#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/check.h"
#include "sim/common/marks.h"
#include "sim/common/shrink.h"

#define OPTIONS_MAX 32

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

static const char common_usage[] =
    "\n"
    "  --seed S          one run (default 1)\n"
    "  --seeds FROM..TO  one run per seed\n"
    "  --faults N        how long faults and load last, virtual (%s; default %" PRIu64 ")\n"
    "  --quiet SECONDS   how long there then is to recover, virtual (default %" PRIu64 ")\n"
    "%s"
    "  --twice           run each seed twice and compare the trace hashes\n"
    "  --fast N          exit 1 unless virtual time passes N times as fast as processor time\n"
    "  --probes          list the marks and faults that no run reached; exit 1 if there are any\n"
    "  --marks FILE      exit 1 if no run reached one of the marks that stand there, one a line\n"
    "  -v                print what happens\n"
    "\n"
    "exit status: 0 all held, 1 a check failed (a line says how to replay it), 2 usage\n";

static const char story_usage[] =
    "  --hosts N         so many hosts (default: drawn)\n"
    "  --shrink FILE     shorten the first run that fails, and write what is left of it to FILE\n"
    "  --replay FILE     the run that such a file tells\n";

/* A failed assertion must say how to see it again. It comes from our own abort(), never out of the
 * middle of printf(). */
static const struct campaign *running;
static const struct campaign_run *running_run;

/* ---- the command line ---- */

bool campaign_number(const char *text, uint64_t most, uint64_t *ret)
{
    char *end;
    uint64_t value;

    if (*text < '0' || *text > '9') return false;
    value = strtoull(text, &end, 10);
    if (*end != '\0' || value > most) return false;
    *ret = value;
    return true;
}

static bool parse_seeds(const char *text, struct campaign *campaign)
{
    char rest;

    return sscanf(text, "%" SCNu64 "..%" SCNu64 "%c", &campaign->first, &campaign->last, &rest) ==
               2 &&
           campaign->first <= campaign->last;
}

static bool parse_times(const char *text, mn_time unit, mn_time *ret)
{
    uint64_t number;

    if (!campaign_number(text, 1000000, &number)) return false;
    *ret = number * unit;
    return true;
}

static bool parse_option(struct campaign *campaign, int letter, const char *value)
{
    uint64_t number;

    switch (letter) {
    case 's':
        if (!campaign_number(value, UINT64_MAX, &campaign->first)) return false;
        campaign->last = campaign->first;
        return true;
    case 'S': return parse_seeds(value, campaign);
    case 'f': return parse_times(value, campaign->faults_unit, &campaign->faults_for);
    case 'q': return parse_times(value, MN_SEC, &campaign->quiet_for);
    case 'H':
        if (!campaign_number(value, 1000, &number)) return false;
        campaign->hosts_count = (uint32_t)number;
        return true;
    case 'x': campaign->shrink_to = value; return true;
    case 'r': campaign->told_by = value; return true;
    case 'F': return campaign_number(value, 1000000, &campaign->fast);
    case 't': campaign->is_twice = true; return true;
    case 'p': campaign->has_probes = true; return true;
    case 'm': campaign->marks = value; return true;
    case 'v': campaign->is_verbose = true; return true;
    default: return campaign->on_option != NULL && campaign->on_option(campaign, letter, value);
    }
}

static void print_usage(const struct campaign *campaign, FILE *to)
{
    fputs(campaign->usage, to);
    fprintf(to, common_usage, campaign->faults_unit == MN_MS ? "ms" : "seconds",
            campaign->faults_for / campaign->faults_unit, campaign->quiet_for / MN_SEC,
            campaign->kind->words.kinds_count > 0 ? story_usage : "");
}

static bool parse_arguments(struct campaign *campaign, int argc, char **argv)
{
    static const struct option common[] = {
        {"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'S'},
        {"faults", required_argument, NULL, 'f'}, {"quiet", required_argument, NULL, 'q'},
        {"twice", no_argument, NULL, 't'},        {"probes", no_argument, NULL, 'p'},
        {"fast", required_argument, NULL, 'F'},   {"help", no_argument, NULL, 'h'},
        {"marks", required_argument, NULL, 'm'},  {"hosts", required_argument, NULL, 'H'},
        {"shrink", required_argument, NULL, 'x'}, {"replay", required_argument, NULL, 'r'}};
    struct option options[OPTIONS_MAX] = {0};
    size_t count = sizeof common / sizeof *common;
    int letter;

    if (campaign->kind->words.kinds_count == 0) count -= 3;
    memcpy(options, common, count * sizeof *options);
    for (const struct option *own = campaign->options; own != NULL && own->name != NULL; own++) {
        MN_ASSERT(count + 1 < OPTIONS_MAX);
        options[count++] = *own;
    }
    while ((letter = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        if (letter == 'h') {
            print_usage(campaign, stdout);
            exit(0);
        }
        if (!parse_option(campaign, letter, optarg)) return false;
    }
    return optind == argc;
}

/* ---- runs ---- */

static void print_replay(const struct campaign *campaign, const struct campaign_run *run)
{
    printf("replay: %s", campaign->kind->words.program);
    if (campaign->print_options != NULL) campaign->print_options(campaign);
    if (run->is_told && campaign->told_by != NULL) {
        printf(" --replay %s -v\n", campaign->told_by);
        return;
    }
    if (campaign->hosts_count > 0) printf(" --hosts %u", campaign->hosts_count);
    printf(" --seed %" PRIu64 " --faults %" PRIu64 " --quiet %" PRIu64 " -v\n", run->story.seed,
           run->story.faults_for / campaign->faults_unit, run->story.quiet_for / MN_SEC);
}

/* Raised by the thread itself, between two instructions of ours: printing is safe. */
static void on_abort(int number)
{
    (void)number;
    printf("FAILED seed %" PRIu64 ": an assertion\n", running_run->story.seed);
    print_replay(running, running_run);
    fflush(stdout);
    _Exit(1);
}

static bool run_once(struct campaign *campaign, struct campaign_run *run)
{
    clock_t began = clock();
    bool is_good;

    running = campaign;
    running_run = run;
    run->is_verbose = campaign->is_verbose;
    is_good = campaign->kind->run(campaign, run);
    campaign->cpu_seconds += (double)(clock() - began) / CLOCKS_PER_SEC;
    campaign->virtual_us += run->at;
    campaign->hash = (campaign->hash ^ run->hash) * 0x100000001b3U;
    if (is_good) return true;
    printf("FAILED seed %" PRIu64 " at %.6f s: %s\n", run->story.seed, (double)run->at / 1e6,
           run->failure);
    print_replay(campaign, run);
    return false;
}

static struct campaign_run new_run(const struct campaign *campaign, uint64_t seed)
{
    struct campaign_run run = {.story.seed = seed};

    run.story.faults_for = campaign->faults_for;
    run.story.quiet_for = campaign->quiet_for;
    run.story.hosts_count = campaign->hosts_count;
    return run;
}

static bool run_seed(struct campaign *campaign, uint64_t seed)
{
    struct campaign_run run = new_run(campaign, seed), again = run;

    if (!run_once(campaign, &run)) return false;
    if (campaign->first == campaign->last)
        printf("seed %" PRIu64 ": %.0f s, trace hash %016" PRIx64 "\n", seed, (double)run.at / 1e6,
               run.hash);
    if (!campaign->is_twice) return true;
    if (!run_once(campaign, &again)) return false;
    if (run.hash == again.hash) return true;
    printf("FAILED seed %" PRIu64 ": two runs differ (%016" PRIx64 ", %016" PRIx64
           "): something is not deterministic\n",
           seed, run.hash, again.hash);
    return false;
}

/* Marks and faults that no run reached: a hole in the plan, and usually the next bug. */
static bool print_probes(const struct campaign *campaign)
{
    bool is_all = campaign->kind->print_holes == NULL || campaign->kind->print_holes(campaign);

    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        if ((*probe)->hits > 0) continue;
        if (!campaign->kind->is_own_mark(campaign, (*probe)->text)) continue;
        printf("never reached: %s (%s)\n", (*probe)->text, (*probe)->file);
        is_all = false;
    }
    return is_all;
}

/* ---- stories ---- */

/* Each seed in a process of its own; the first that fails is shortened. */
static int shorten(struct campaign *campaign)
{
    struct story story = {0};
    enum shrink_result result = SHRINK_HELD;
    char failure[256] = "";
    FILE *file;

    for (uint64_t seed = campaign->first; seed <= campaign->last && result == SHRINK_HELD; seed++) {
        struct campaign_run run = new_run(campaign, seed);
        result = shrink_seed(campaign, &run, &story, failure);
    }
    if (result == SHRINK_HELD) {
        printf("%" PRIu64 " seeds held\n", campaign->last - campaign->first + 1);
        return 0;
    }
    printf("FAILED seed %" PRIu64 ": %s\n", story.seed, failure);
    if (result == SHRINK_OTHER) printf("told by its decisions, it does not fail like that\n");
    file = fopen(campaign->shrink_to, "w");
    if (file != NULL) {
        fprintf(file, "# %s\n", failure);
        story_write(&story, &campaign->kind->words, file);
        printf("replay: %s", campaign->kind->words.program);
        if (campaign->print_options != NULL) campaign->print_options(campaign);
        printf(" --replay %s -v\n", campaign->shrink_to);
    }
    if (file == NULL || fclose(file) != 0)
        fprintf(stderr, "%s: cannot write %s\n", campaign->kind->words.program,
                campaign->shrink_to);
    story_done(&story);
    return 1;
}

static int tell(struct campaign *campaign)
{
    struct campaign_run run = {.is_told = true};
    uint32_t line = 0;
    mn_status status = story_read(campaign->told_by, &campaign->kind->words, &run.story, &line);
    bool is_good;

    if (status != MN_OK) {
        fprintf(stderr, "%s: %s: line %u: %s\n", campaign->kind->words.program, campaign->told_by,
                line, mn_status_text(status));
        return 2;
    }
    is_good = run_once(campaign, &run);
    if (is_good)
        printf("%s holds: %u decisions, %.3f s, trace hash %016" PRIx64 "\n", campaign->told_by,
               run.story.count, (double)run.at / 1e6, run.hash);
    story_done(&run.story);
    return is_good ? 0 : 1;
}

int campaign_main(struct campaign *campaign, int argc, char **argv)
{
    double speed;

    campaign->first = campaign->last = 1;
    if (!parse_arguments(campaign, argc, argv)) {
        print_usage(campaign, stderr);
        return 2;
    }
    if (sodium_init() < 0) return 2;
    signal(SIGABRT, on_abort);
    if (campaign->told_by != NULL) return tell(campaign);
    if (campaign->shrink_to != NULL) return shorten(campaign);
    for (uint64_t seed = campaign->first; seed <= campaign->last; seed++) {
        if (run_seed(campaign, seed)) continue;
        campaign->failed++;
        if (!campaign->goes_on) return 1;
    }
    campaign->kind->print_total(campaign);
    speed = (double)campaign->virtual_us / 1e6 / (campaign->cpu_seconds + 1e-6);
    printf("%.0f s of virtual time in %.1f s of processor time: %.0f times as fast\n",
           (double)campaign->virtual_us / 1e6, campaign->cpu_seconds, speed);
    if (speed < (double)campaign->fast) {
        printf("that is less than %" PRIu64 " times\n", campaign->fast);
        return 1;
    }
    if (campaign->has_probes && !print_probes(campaign)) return 1;
    if (campaign->marks != NULL && !marks_are_reached(campaign->marks)) return 1;
    return campaign->failed == 0 ? 0 : 1;
}
