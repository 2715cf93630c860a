/* story.h: what a run decided, as a list: when what went wrong with whom, and what clients began.
 * Each decision draws its details from a seed of its own, so that leaving one out does not change
 * the others. A run notes its story; a story can be run again, whole or with parts left out, and a
 * failing one is shortened to what it takes (sim/common/shrink.h). As a text file it can be kept.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "crypto/rng.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define STORY_DECISIONS_MAX 100000u

struct story_decision {
    mn_time at;
    uint32_t kind, arg; /* kind: of the program's table; arg: host or client */
    uint64_t seed;      /* of its details */
};

struct story {
    uint64_t seed; /* of the run: hosts, net, disks */
    mn_time faults_for, quiet_for;
    uint32_t hosts_count; /* 0: drawn */
    uint32_t left_out;    /* set of what would last for the whole run (loss, delay, ...) */
    struct story_decision *items;
    uint32_t count, capacity;
};

void story_done(struct story *story);
void story_copy(const struct story *from, struct story *ret); /* *ret is empty */
/* NULL is fine: nothing is noted. Those past STORY_DECISIONS_MAX are left out. */
void story_note(struct story *story, mn_time at, uint32_t kind, uint32_t arg, uint64_t seed);

/* The generator for one decision, or for anything that needs few draws. */
void story_rng(struct rng *rng, uint64_t seed);

/* [program] and the names of the decisions, which are what the file says. */
struct story_words {
    const char *program;
    const char *const *kinds;
    uint32_t kinds_count;
};

void story_write(const struct story *story, const struct story_words *words, FILE *file);
/* MN_IO: no such file; MN_MALFORMED: [*line] is not understood. */
MN_MUST_USE mn_status story_read(const char *path, const struct story_words *words,
                                 struct story *ret, uint32_t *line);

#endif
