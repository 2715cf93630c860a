/* groupsim: many groups on a few hosts, one seed or many. */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/time.h"
#include "sim/groups_sim.h"

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

static const char usage[] =
    "usage: groupsim [--seeds FROM..TO | --seed S] [--groups N] [--faults SECONDS]\n"
    "                [--quiet SECONDS] [--twice] [--probes]\n"
    "\n"
    "  --groups N   on every host (default: drawn, 1..24; at most 64)\n"
    "  --probes     list the marks of groups and log that no run reached; exit 1 if there are any\n"
    "\n"
    "exit status: 0 all held, 1 a check failed (the line says how to replay it), 2 usage\n";

static struct groups_sim_options options = {
    .seed = 1, .faults_for = 10 * MN_SEC, .quiet_for = 4 * MN_SEC};

static void print_replay(void)
{
    printf("replay: groupsim --seed %llu --groups %u --faults %llu --quiet %llu\n",
           (unsigned long long)options.seed, options.groups_count,
           (unsigned long long)(options.faults_for / MN_SEC),
           (unsigned long long)(options.quiet_for / MN_SEC));
}

/* Raised by the thread itself, between two instructions of ours: printing is safe. */
static void on_abort(int number)
{
    (void)number;
    printf("FAILED seed %llu: an assertion\n", (unsigned long long)options.seed);
    print_replay();
    fflush(stdout);
    _Exit(1);
}

static bool run(struct groups_sim_stats *stats, uint64_t *hash)
{
    char failure[256] = "";

    if (groups_sim_run(&options, stats, hash, failure)) return true;
    printf("FAILED seed %llu: %s\n", (unsigned long long)options.seed, failure);
    print_replay();
    return false;
}

static bool is_ours(const struct mn_probe *probe)
{
    return strncmp(probe->text, "groups: ", 8) == 0 || strncmp(probe->text, "seglog: ", 8) == 0 ||
           strncmp(probe->text, "sim: ", 5) == 0;
}

static bool print_probes(void)
{
    bool is_all = true;

    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        if ((*probe)->hits > 0 || !is_ours(*probe)) continue;
        printf("never reached: %s (%s)\n", (*probe)->text, (*probe)->file);
        is_all = false;
    }
    return is_all;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"seed", required_argument, NULL, 's'},
                                                 {"seeds", required_argument, NULL, 'S'},
                                                 {"groups", required_argument, NULL, 'g'},
                                                 {"faults", required_argument, NULL, 'f'},
                                                 {"quiet", required_argument, NULL, 'q'},
                                                 {"twice", no_argument, NULL, 't'},
                                                 {"probes", no_argument, NULL, 'p'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    unsigned long long first = 1, last = 1, value;
    bool is_twice = false, has_probes = false;
    struct groups_sim_stats stats = {0};
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        bool is_number = optarg != NULL && sscanf(optarg, "%llu", &value) == 1;
        if (option == 'h') return fputs(usage, stdout) < 0;
        if (option == 's' && is_number) first = last = value;
        if (option == 'S' && sscanf(optarg, "%llu..%llu", &first, &last) != 2) return 2;
        if (option == 'g' && is_number) options.groups_count = (uint32_t)value;
        if (option == 'f' && is_number) options.faults_for = value * MN_SEC;
        if (option == 'q' && is_number) options.quiet_for = value * MN_SEC;
        is_twice = is_twice || option == 't';
        has_probes = has_probes || option == 'p';
        if (option == '?') return fputs(usage, stderr) < 0 ? 2 : 2;
    }
    if (sodium_init() < 0) return 2;
    signal(SIGABRT, on_abort);
    for (options.seed = first; options.seed <= last; options.seed++) {
        uint64_t hash, again;
        if (!run(&stats, &hash)) return 1;
        if (is_twice && !run(&stats, &again)) return 1;
        if (is_twice && hash != again) {
            printf("FAILED seed %llu: two runs differ\n", (unsigned long long)options.seed);
            return 1;
        }
    }
    printf("%llu seeds held: %llu groups, %llu steps, %llu packets with %llu messages, "
           "%llu proposals, %llu applied, %llu crashes, %llu rotten logs, %llu cuts; "
           "%llu packets in an idle second of all\n",
           last - first + 1, (unsigned long long)stats.groups, (unsigned long long)stats.steps,
           (unsigned long long)stats.packets, (unsigned long long)stats.messages,
           (unsigned long long)stats.proposals, (unsigned long long)stats.applied,
           (unsigned long long)stats.crashes, (unsigned long long)stats.rots,
           (unsigned long long)stats.cuts, (unsigned long long)stats.idle_packets);
    return has_probes && !print_probes();
}
