#include "node/mcp/front/usage.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define SLOT_TIME (5 * MN_SEC)
#define GENERATION_TIME (5 * MN_MINUTE)
#define EXPONENT_MIN 4 /* times under 16 us share the first bucket */

struct usage_tool {
    struct mn_map_entry by_name;
    struct mn_list in_unused;
    uint32_t open; /* calls under way */
    uint64_t slot; /* number of the newest slot, since the beginning of time */
    uint32_t slots[USAGE_MINUTE_SLOTS];
    uint64_t generation; /* of buckets[0]; the one before it is buckets[1] */
    uint32_t buckets[2][USAGE_BUCKETS];
    char name[]; /* the map's key */
};

/* ---- buckets ---- */

static uint32_t bucket_of(mn_time took)
{
    uint32_t exponent = EXPONENT_MIN, bucket;

    if (took < (mn_time)1 << EXPONENT_MIN) return 0;
    while (took >> (exponent + 1) != 0)
        exponent++;
    bucket = (exponent - EXPONENT_MIN) * 4 + (uint32_t)(took >> (exponent - 2) & 3);
    return bucket < USAGE_BUCKETS ? bucket : USAGE_BUCKETS - 1;
}

/* The longest time that falls into it. */
static mn_time bucket_limit(uint32_t bucket)
{
    return ((mn_time)(5 + bucket % 4) << (bucket / 4 + EXPONENT_MIN - 2)) - 1;
}

/* Lets go of what is too old at [now]. */
static void tool_advance(struct usage_tool *tool, mn_time now)
{
    uint64_t slot = now / SLOT_TIME, generation = now / GENERATION_TIME;

    for (uint32_t i = 0; i < USAGE_MINUTE_SLOTS && tool->slot < slot; i++)
        tool->slots[++tool->slot % USAGE_MINUTE_SLOTS] = 0;
    tool->slot = slot;
    if (generation == tool->generation) return;
    if (generation == tool->generation + 1)
        memcpy(tool->buckets[1], tool->buckets[0], sizeof tool->buckets[1]);
    else
        memset(tool->buckets[1], 0, sizeof tool->buckets[1]);
    memset(tool->buckets[0], 0, sizeof tool->buckets[0]);
    tool->generation = generation;
}

/* ---- the table ---- */

void usage_init(struct usage *usage, uint64_t seed)
{
    mn_map_init(&usage->tools, seed);
    mn_list_init(&usage->unused);
}

static void tool_free(struct usage *usage, struct usage_tool *tool)
{
    mn_map_remove(&usage->tools, &tool->by_name);
    mn_list_remove(&tool->in_unused);
    mn_free(tool);
}

void usage_done(struct usage *usage)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&usage->tools, NULL)) != NULL)
        tool_free(usage, MN_CONTAINER(entry, struct usage_tool, by_name));
    mn_map_done(&usage->tools);
}

static struct usage_tool *tool_find(const struct usage *usage, struct mn_span name)
{
    struct mn_map_entry *entry = mn_map_find(&usage->tools, name);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct usage_tool, by_name);
}

static struct usage_tool *tool_new(struct usage *usage, struct mn_span name)
{
    struct usage_tool *tool;

    if (usage->tools.count >= USAGE_TOOLS_MAX) {
        if (mn_list_is_empty(&usage->unused)) return NULL;
        tool_free(usage, MN_CONTAINER(usage->unused.next, struct usage_tool, in_unused));
    }
    tool = mn_alloc(sizeof *tool + name.size);
    memcpy(tool->name, name.data, name.size);
    mn_list_init(&tool->in_unused);
    mn_map_insert(&usage->tools, &tool->by_name, mn_span(tool->name, name.size));
    return tool;
}

struct usage_tool *usage_begin(struct usage *usage, struct mn_span name)
{
    struct usage_tool *tool;

    if (name.size == 0) return NULL;
    tool = tool_find(usage, name);
    if (tool == NULL) tool = tool_new(usage, name);
    if (tool == NULL) return NULL;
    tool->open++;
    mn_list_remove(&tool->in_unused);
    return tool;
}

void usage_drop(struct usage *usage, struct usage_tool *tool)
{
    if (tool == NULL) return;
    MN_ASSERT(tool->open > 0);
    if (--tool->open == 0) mn_list_push_back(&usage->unused, &tool->in_unused);
}

void usage_end(struct usage *usage, struct usage_tool *tool, mn_time now, mn_time took,
               bool has_answer)
{
    if (tool == NULL) return;
    tool_advance(tool, now);
    tool->slots[tool->slot % USAGE_MINUTE_SLOTS]++;
    if (has_answer) tool->buckets[0][bucket_of(took)]++;
    usage_drop(usage, tool);
}

/* ---- looking ---- */

static mn_time percentile_95(const struct usage_tool *tool)
{
    uint64_t total = 0, seen = 0;

    for (uint32_t i = 0; i < USAGE_BUCKETS; i++)
        total += (uint64_t)tool->buckets[0][i] + tool->buckets[1][i];
    if (total == 0) return MN_TIME_NEVER;
    for (uint32_t i = 0; i < USAGE_BUCKETS; i++) {
        seen += (uint64_t)tool->buckets[0][i] + tool->buckets[1][i];
        if (seen * 100 >= total * 95) return bucket_limit(i);
    }
    MN_ASSERT(false && "all of them were seen");
    return MN_TIME_NEVER;
}

struct usage_view usage_get(const struct usage *usage, mn_time now, struct mn_span name)
{
    const struct usage_tool *found = tool_find(usage, name);
    struct usage_view view = {.p95 = MN_TIME_NEVER};
    struct usage_tool tool;

    if (found == NULL) return view;
    tool = *found; /* looking must not change what is kept */
    tool_advance(&tool, now);
    for (uint32_t i = 0; i < USAGE_MINUTE_SLOTS; i++)
        view.calls_per_minute += tool.slots[i];
    view.p95 = percentile_95(&tool);
    return view;
}

void usage_check(const struct usage *usage)
{
    struct mn_map_entry *entry = NULL;

    MN_ASSERT(usage->tools.count <= USAGE_TOOLS_MAX);
    while ((entry = mn_map_next(&usage->tools, entry)) != NULL) {
        const struct usage_tool *tool = MN_CONTAINER(entry, struct usage_tool, by_name);
        MN_ASSERT((tool->open == 0) == !mn_list_is_empty(&tool->in_unused));
    }
}
