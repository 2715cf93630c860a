/* campaign.h: what all simulators do alike: the command line, one run or one per seed, what to type
 * to see a failure again, marks that no run reached, and the shortening of a failing run. */
#ifndef CAMPAIGN_H
#define CAMPAIGN_H

#include <getopt.h>

#include "sim/common/story.h"

struct campaign;

struct campaign_run {
    struct story story;       /* in: seed, times; with is_told also what is decided */
    bool is_told, is_verbose; /* is_told: nothing is drawn that the story decides */
    struct story *notes;      /* what was decided is noted here; NULL: nobody asks */
    uint64_t hash;            /* out: of the trace */
    mn_time at;               /* out: when it ended, or failed */
    char failure[256];        /* out */
};

/* A simulator. Decisions below ops_from are faults, the others what clients do. */
struct campaign_kind {
    struct story_words words;
    uint32_t ops_from, hosts_min;
    uint32_t lasting_count;                                           /* of story.left_out */
    bool (*run)(struct campaign *campaign, struct campaign_run *run); /* false: failed */
    void (*print_total)(const struct campaign *campaign);
    /* Prints what never happened; false if there was something. */
    bool (*print_holes)(const struct campaign *campaign);
    bool (*is_own_mark)(const struct campaign *campaign, const char *text);
};

struct campaign {
    const struct campaign_kind *kind;
    const char *usage; /* of the program; what is common is added */
    mn_time faults_for, quiet_for, faults_unit;
    bool goes_on; /* after a failure, with the next seed */
    /* Options of the program alone: zero-terminated, their letters unlike those in campaign.c.
     * They are given again in the line that replays a run. */
    const struct option *options;
    bool (*on_option)(struct campaign *campaign, int letter, const char *value);
    void (*print_options)(const struct campaign *campaign);
    void *context;

    /* found by campaign_main() */
    uint64_t first, last, fast;
    uint32_t hosts_count;
    bool is_twice, has_probes, is_verbose;
    const char *shrink_to, *told_by, *marks;
    uint64_t failed, hash, virtual_us;
    double cpu_seconds;
};

/* The exit status: 0 all held, 1 a check failed, 2 usage. */
int campaign_main(struct campaign *campaign, int argc, char **argv);

bool campaign_number(const char *text, uint64_t most, uint64_t *ret);

#endif
