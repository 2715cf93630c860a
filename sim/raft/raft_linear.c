/* Wing & Gong's search for a linearization, with Lowe's memory of (what is done, state) already
 * tried ("Testing for linearizability", 2017); per key, as Horn & Kroening (2015) allow. An
 * operation without an answer may have happened at any time after its call, or never. */
#include "sim/raft/raft_sim.h"

#define WORDS ((RAFT_OPS_MAX + 63) / 64)

struct tried {
    struct mn_map_entry entry;
    uint64_t key[WORDS + 1]; /* done, then the value */
};

struct search {
    const struct raft_op *ops;
    uint32_t count;
    uint64_t at[WORDS + 1];
    struct mn_map tried;
};

static bool is_done(const struct search *search, uint32_t i)
{
    return (search->at[i / 64] >> i % 64 & 1) != 0;
}

/* True if this place is new. */
static bool remember(struct search *search)
{
    struct mn_span key = mn_span(search->at, sizeof search->at);
    struct tried *tried;

    if (mn_map_find(&search->tried, key) != NULL) return false;
    tried = mn_alloc(sizeof *tried);
    memcpy(tried->key, search->at, sizeof search->at);
    mn_map_insert(&search->tried, &tried->entry, mn_span(tried->key, sizeof tried->key));
    return true;
}

/* Can it be next, seen from value? */
static bool apply(const struct raft_op *op, uint64_t *value)
{
    bool is_open = op->returned == MN_TIME_NEVER;

    switch (op->command.kind) {
    case RAFT_OP_GET: return op->result == *value;
    case RAFT_OP_CAS:
        if (!is_open && (op->result == 1) != (*value == op->command.expected)) return false;
        if (*value == op->command.expected) *value = op->command.value;
        return true;
    case RAFT_OP_PUT: break;
    }
    *value = op->command.value;
    return true;
}

static bool search_on(struct search *search)
{
    mn_time first = MN_TIME_NEVER;

    for (uint32_t i = 0; i < search->count; i++)
        if (!is_done(search, i)) first = mn_time_min(first, search->ops[i].returned);
    if (first == MN_TIME_NEVER) return true; /* all that was answered is explained */
    for (uint32_t i = 0; i < search->count; i++) {
        uint64_t before = search->at[WORDS], value = before;
        bool is_explained;
        if (is_done(search, i) || search->ops[i].called > first) continue;
        if (!apply(&search->ops[i], &value)) continue;
        search->at[i / 64] |= (uint64_t)1 << i % 64;
        search->at[WORDS] = value;
        is_explained = remember(search) && search_on(search);
        search->at[i / 64] &= ~((uint64_t)1 << i % 64);
        search->at[WORDS] = before;
        if (is_explained) return true;
    }
    return false;
}

bool raft_linear_check(const struct raft_op *ops, uint32_t count)
{
    struct search search = {.ops = ops, .count = count};
    struct mn_map_entry *entry;
    bool is_explained;

    mn_map_init(&search.tried, 1);
    is_explained = search_on(&search);
    while ((entry = mn_map_next(&search.tried, NULL)) != NULL) {
        mn_map_remove(&search.tried, entry);
        mn_free(MN_CONTAINER(entry, struct tried, entry));
    }
    mn_map_done(&search.tried);
    return is_explained;
}
