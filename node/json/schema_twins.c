/* Finds what stands twice with a hash table that lives for one search. All that an adversary can
 * make slow is counted: long values, and chains of those whose hashes collide. */
#include "node/json/schema_internal.h"

struct twins_entry {
    const struct json *value;
    uint64_t hash;
    uint32_t next; /* in its chain: number + 1; 0: the last */
};

struct twins {
    struct twins_entry *entries;
    uint32_t *chains; /* [mask + 1], numbers + 1 */
    uint32_t count, mask;
    uint32_t *steps;
};

static void twins_init(struct twins *twins, uint32_t capacity, uint32_t *steps)
{
    uint32_t chains = 2;

    while (chains < capacity)
        chains *= 2;
    *twins = (struct twins){
        .entries = mn_alloc(capacity * sizeof *twins->entries),
        .chains = mn_alloc(chains * sizeof *twins->chains),
        .mask = chains - 1,
        .steps = steps,
    };
}

static void twins_done(struct twins *twins)
{
    mn_free(twins->entries);
    mn_free(twins->chains);
}

/* Whether an equal one is there already; [value] is then not added. */
static bool twins_add(struct twins *twins, const struct json *value)
{
    uint64_t hash = schema_hash(value);
    uint32_t *chain = &twins->chains[hash & twins->mask], looked_at = 0;

    for (uint32_t at = *chain; at != 0; at = twins->entries[at - 1].next) {
        const struct twins_entry *entry = &twins->entries[at - 1];
        if (entry->hash == hash && schema_equal(entry->value, value, twins->steps)) return true;
        looked_at++;
    }
    schema_spend(twins->steps,
                 value->skip / 2 + value->raw.size / SCHEMA_BYTES_PER_STEP + looked_at / 4);
    twins->entries[twins->count] = (struct twins_entry){value, hash, *chain};
    *chain = ++twins->count;
    return false;
}

const struct json *schema_find_twin(const struct json *container, uint32_t *steps)
{
    struct twins twins;
    const struct json *child, *found = NULL;

    if (container->count < 2) return NULL;
    schema_spend(steps, container->count / 2);
    twins_init(&twins, container->count, steps);
    for (child = json_first(container); child && *steps > 0; child = json_next(container, child)) {
        if (!twins_add(&twins, child)) continue;
        found = child;
        break;
    }
    twins_done(&twins);
    return found;
}
