/* Whose each name is: it does not move to another server because the first one is away. */
#include "node/core/services_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

static const uint8_t no_key[CALL_KEY_SIZE];

static struct owner *services_owner_find(const struct mn_map *owners, struct mn_span name)
{
    struct mn_map_entry *found = mn_map_find(owners, name);
    return found == NULL ? NULL : MN_CONTAINER(found, struct owner, in_map);
}

const struct services_owner *services_owner(const struct services *services, struct mn_span name)
{
    const struct owner *owner = services_owner_find(&services->owners, name);
    return owner == NULL ? NULL : &owner->said;
}

bool services_is_owners(const struct services_owner *owner,
                        const struct services_provider *provider)
{
    if (owner == NULL || mn_id_equal(&owner->node, &provider->node)) return true;
    return memcmp(owner->key, no_key, sizeof no_key) != 0 &&
           memcmp(owner->key, provider->offer->replica_key, sizeof no_key) == 0;
}

/* ---- what was agreed on ---- */

static void services_owners_clear(struct mn_map *owners)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(owners, NULL)) != NULL) {
        mn_map_remove(owners, entry);
        mn_free(MN_CONTAINER(entry, struct owner, in_map));
    }
    mn_map_done(owners);
}

void services_owners_done(struct services *services)
{
    services_owners_clear(&services->owners);
}

static void services_owner_add(struct mn_map *owners, const struct services_owner *said)
{
    struct owner *owner;

    if (said->name.size == 0 || said->name.size > CATALOG_OFFER_NAME_MAX ||
        mn_map_find(owners, said->name) != NULL)
        return;
    owner = mn_alloc(sizeof *owner);
    owner->said = *said;
    memcpy(owner->name, said->name.data, said->name.size);
    owner->said.name = mn_span(owner->name, said->name.size);
    mn_map_insert(owners, &owner->in_map, owner->said.name);
}

/* Judges anew those names of [some] whose owner [others] do not know as the same. */
static void services_mark_owned(struct services *services, const struct mn_map *some,
                                const struct mn_map *others)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(some, entry)) != NULL) {
        const struct owner *one = MN_CONTAINER(entry, struct owner, in_map);
        const struct owner *other = services_owner_find(others, entry->key);
        struct base *base = services_base(services, entry->key);
        if (base == NULL) continue;
        if (other == NULL || !mn_id_equal(&one->said.node, &other->said.node) ||
            memcmp(one->said.key, other->said.key, sizeof no_key) != 0)
            services_mark(services, base);
    }
}

void services_set_owners(struct services *services, const struct services_owner *owners,
                         uint32_t count)
{
    struct mn_map old = services->owners;

    mn_map_init(&services->owners, old.seed);
    for (uint32_t i = 0; i < count; i++)
        services_owner_add(&services->owners, &owners[i]);
    services->changes++;
    services_mark_owned(services, &services->owners, &old);
    services_mark_owned(services, &old, &services->owners);
    services_owners_clear(&old);
}

/* ---- what a node ought to have written down ---- */

/* True: [node] has that name, and the record should say otherwise. */
static bool services_claims(const struct services *services, const struct base *base,
                            const mn_id *node, struct services_owner *ret)
{
    const struct services_owner *owner = services_owner(services, base->in_map.key);
    const struct services_provider *mine = NULL;

    for (uint32_t i = 0; i < base->main_count && mine == NULL; i++)
        if (mn_id_equal(&base->main[i].node, node)) mine = &base->main[i];
    if (mine == NULL) return false;
    if (owner != NULL && (!mn_id_equal(&owner->node, node) || owner->rev == 0 ||
                          memcmp(owner->key, mine->offer->replica_key, sizeof no_key) == 0))
        return false;
    *ret = (struct services_owner){
        .name = base->in_map.key, .node = *node, .rev = owner == NULL ? 0 : owner->rev};
    memcpy(ret->key, mine->offer->replica_key, sizeof ret->key);
    return true;
}

bool services_claim_next(const struct services *services, const mn_id *node, uint32_t *at,
                         struct services_owner *ret)
{
    const struct node *found = services_node(services, node);

    while (found != NULL && *at < found->offers_count) {
        const struct base *base = services_base(services, found->offers[(*at)++].name);
        MN_ASSERT(base != NULL); /* that offer is one of its own */
        if (services_claims(services, base, node, ret)) return true;
    }
    return false;
}

uint64_t services_changes(const struct services *services)
{
    return services->changes;
}

/* ---- looking ---- */

static void services_name_fill(struct services_name *ret, const struct services *services,
                               struct mn_span name)
{
    const struct base *base = services_base(services, name);

    *ret = (struct services_name){.name = name, .owner = services_owner(services, name)};
    if (base == NULL) return;
    ret->main = base->main;
    ret->main_count = base->main_count;
    ret->providers = base->providers;
    ret->providers_count = base->count;
}

struct services_name *services_names(const struct services *services, struct mn_arena *arena,
                                     uint32_t *ret_count)
{
    struct mn_map_entry **offered = mn_map_sorted(&services->bases);
    struct mn_map_entry **owned = mn_map_sorted(&services->owners);
    uint32_t offered_count = services->bases.count, owned_count = services->owners.count;
    struct services_name *names =
        mn_arena_alloc(arena, (offered_count + owned_count) * sizeof *names);
    uint32_t a = 0, b = 0, count = 0;

    while (a < offered_count || b < owned_count) {
        int order = a == offered_count ? 1
                    : b == owned_count ? -1
                                       : mn_span_compare(offered[a]->key, owned[b]->key);
        services_name_fill(&names[count++], services, order <= 0 ? offered[a]->key : owned[b]->key);
        a += order <= 0;
        b += order >= 0;
    }
    mn_free(offered);
    mn_free(owned);
    *ret_count = count;
    return names;
}
