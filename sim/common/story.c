#include "sim/common/story.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/memory.h"

void story_done(struct story *story)
{
    mn_free(story->items);
    *story = (struct story){0};
}

void story_copy(const struct story *from, struct story *ret)
{
    *ret = *from;
    ret->items = NULL;
    ret->capacity = from->count;
    if (from->count == 0) return;
    ret->items = mn_alloc(from->count * sizeof *ret->items);
    memcpy(ret->items, from->items, from->count * sizeof *ret->items);
}

void story_note(struct story *story, mn_time at, uint32_t kind, uint32_t arg, uint64_t seed)
{
    if (story == NULL || story->count == STORY_DECISIONS_MAX) return;
    if (story->count == story->capacity) {
        story->capacity = story->capacity == 0 ? 256 : 2 * story->capacity;
        story->items = mn_realloc(story->items, story->capacity * sizeof *story->items);
    }
    story->items[story->count++] =
        (struct story_decision){.at = at, .kind = kind, .arg = arg, .seed = seed};
}

void story_rng(struct rng *rng, uint64_t seed)
{
    uint8_t bytes[RNG_SEED_SIZE] = {0};

    mn_store_u64(bytes, seed);
    rng_init(rng, bytes);
}

void story_write(const struct story *story, const struct story_words *words, FILE *file)
{
    fprintf(file,
            "%s story\nseed %" PRIu64 "\nfaults %" PRIu64 "\nquiet %" PRIu64
            "\nhosts %u\nwithout %u\n",
            words->program, story->seed, story->faults_for, story->quiet_for, story->hosts_count,
            story->left_out);
    for (uint32_t i = 0; i < story->count; i++)
        fprintf(file, "%" PRIu64 " %s %u %016" PRIx64 "\n", story->items[i].at,
                words->kinds[story->items[i].kind], story->items[i].arg, story->items[i].seed);
}

static bool story_read_decision(const char *line, const struct story_words *words,
                                struct story *story)
{
    struct story_decision decision = {0};
    char kind[32], rest;

    if (sscanf(line, "%" SCNu64 " %31s %u %" SCNx64 " %c", &decision.at, kind, &decision.arg,
               &decision.seed, &rest) != 4)
        return false;
    if (story->count == STORY_DECISIONS_MAX) return false;
    while (decision.kind < words->kinds_count && strcmp(words->kinds[decision.kind], kind) != 0)
        decision.kind++;
    if (decision.kind == words->kinds_count) return false;
    story_note(story, decision.at, decision.kind, decision.arg, decision.seed);
    return true;
}

static bool story_read_line(const char *line, const struct story_words *words, struct story *story)
{
    char rest;

    if (sscanf(line, "seed %" SCNu64 " %c", &story->seed, &rest) == 1) return true;
    if (sscanf(line, "faults %" SCNu64 " %c", &story->faults_for, &rest) == 1) return true;
    if (sscanf(line, "quiet %" SCNu64 " %c", &story->quiet_for, &rest) == 1) return true;
    if (sscanf(line, "hosts %u %c", &story->hosts_count, &rest) == 1) return true;
    if (sscanf(line, "without %u %c", &story->left_out, &rest) == 1) return true;
    return story_read_decision(line, words, story);
}

mn_status story_read(const char *path, const struct story_words *words, struct story *ret,
                     uint32_t *line)
{
    char text[256], first[64];
    FILE *file = fopen(path, "r");
    mn_status status = MN_OK;
    bool is_known = false; /* which program it is for */

    if (file == NULL) return MN_IO;
    *line = 0;
    snprintf(first, sizeof first, "%s story\n", words->program);
    while (status == MN_OK && fgets(text, sizeof text, file) != NULL) {
        ++*line;
        if (text[0] == '#' || text[0] == '\n') continue;
        if (is_known ? !story_read_line(text, words, ret) : strcmp(text, first) != 0)
            status = MN_MALFORMED;
        is_known = true;
    }
    if (!is_known) status = MN_MALFORMED;
    fclose(file);
    return status;
}
