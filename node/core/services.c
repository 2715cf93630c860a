#include "node/core/services.h"

#include "node/core/services_internal.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "proto/base/text.h"

#define TWIN_HEX_SIZE 8 /* digits of the id that tell nodes of one name apart */

struct services *services_new(struct mn_trace *trace)
{
    struct services *services = mn_alloc(sizeof *services);

    mn_map_init(&services->nodes, 0); /* keys were admitted or verified: nobody picks collisions */
    mn_map_init(&services->groups, 0);
    mn_map_init(&services->bases, 0);
    mn_map_init(&services->owners, 0);
    mn_list_init(&services->dirty);
    services->trace = trace;
    return services;
}

/* ---- who offers a name ---- */

struct base *services_base(const struct services *services, struct mn_span name)
{
    struct mn_map_entry *found = mn_map_find(&services->bases, name);
    return found == NULL ? NULL : MN_CONTAINER(found, struct base, in_map);
}

/* Those among whom NAME is decided: the owner's, or all where it has none. */
static void services_choose_owners(struct services *services, struct base *base)
{
    const struct services_owner *owner = services_owner(services, base->in_map.key);

    base->main_count = 0;
    for (uint32_t i = 0; i < base->count; i++)
        if (services_is_owners(owner, &base->providers[i]))
            base->main[base->main_count++] = base->providers[i];
    base->owners_count = base->main_count;
    base->is_kept = base->count > 0 && base->main_count == 0;
}

static bool services_have_one_key(const struct base *base)
{
    static const uint8_t never[CALL_KEY_SIZE];
    const uint8_t *key = base->main[0].offer->replica_key;

    if (base->main_count == 1) return true;
    if (memcmp(key, never, sizeof never) == 0) return false;
    for (uint32_t i = 1; i < base->main_count; i++)
        if (memcmp(base->main[i].offer->replica_key, key, sizeof never) != 0) return false;
    return true;
}

static bool services_is_equal(const struct services_provider *a, const struct services_provider *b)
{
    return memcmp(a->offer->hash, b->offer->hash, CATALOG_HASH_SIZE) == 0;
}

/* How many have the body of main[i]: those that are not suspect; and all, from main[i] on. */
static uint32_t services_part_size(const struct base *base, uint32_t i, uint32_t *ret_all)
{
    uint32_t sound = 0;

    *ret_all = 0;
    for (uint32_t j = i; j < base->main_count; j++) {
        if (!services_is_equal(&base->main[i], &base->main[j])) continue;
        (*ret_all)++;
        sound += !base->main[j].is_suspect;
    }
    return sound;
}

/* The first provider of the largest part with equal bodies. Parts are few, or small. */
static struct services_provider services_largest_part(const struct base *base)
{
    uint32_t best = 0, best_all, best_sound = services_part_size(base, 0, &best_all);

    for (uint32_t i = 1; i < base->main_count && best_sound < base->main_count - i; i++) {
        uint32_t all, sound = services_part_size(base, i, &all);
        if (sound < best_sound || (sound == best_sound && all <= best_all)) continue;
        best = i;
        best_sound = sound;
        best_all = all;
    }
    return base->main[best];
}

static void services_choose(struct services *services, struct base *base)
{
    struct services_provider first;
    uint32_t kept = 0;

    services_choose_owners(services, base);
    if (base->main_count == 0) return;
    if (services_have_one_key(base)) {
        first = services_largest_part(base);
        for (uint32_t i = 0; i < base->main_count; i++)
            if (services_is_equal(&first, &base->main[i])) base->main[kept++] = base->main[i];
    }
    base->main_count = kept;
}

void services_mark(struct services *services, struct base *base)
{
    services->changes++;
    services_choose(services, base);
    mn_list_remove(&base->in_dirty);
    mn_list_push_back(&services->dirty, &base->in_dirty);
}

static struct base *services_base_get(struct services *services, struct mn_span name)
{
    struct base *base = services_base(services, name);

    if (base != NULL) return base;
    base = mn_alloc(sizeof *base);
    memcpy(base->name, name.data, name.size);
    mn_list_init(&base->in_dirty);
    mn_map_insert(&services->bases, &base->in_map, mn_span(base->name, name.size));
    return base;
}

/* Index of the first provider whose id is not below [node]. */
static uint32_t services_place(const struct base *base, const mn_id *node)
{
    uint32_t low = 0, high = base->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mn_id_compare(&base->providers[middle].node, node) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void services_attach(struct services *services, struct node *node)
{
    for (uint32_t i = 0; i < node->offers_count; i++) {
        struct base *base = services_base_get(services, node->offers[i].name);
        uint32_t at = services_place(base, &node->id);
        if (base->count == base->capacity) {
            base->capacity = base->capacity == 0 ? 2 : 2 * base->capacity;
            base->providers = mn_realloc(base->providers, base->capacity * sizeof *base->providers);
            base->main = mn_realloc(base->main, base->capacity * sizeof *base->main);
        }
        memmove(base->providers + at + 1, base->providers + at,
                (base->count - at) * sizeof *base->providers);
        base->providers[at] = (struct services_provider){node->id, mn_span_str(node->label),
                                                         &node->offers[i], node->is_suspect};
        base->count++;
        services_mark(services, base);
    }
}

static void services_detach(struct services *services, struct node *node)
{
    for (uint32_t i = 0; i < node->offers_count; i++) {
        struct base *base = services_base(services, node->offers[i].name);
        uint32_t at = services_place(base, &node->id);
        MN_ASSERT(at < base->count && mn_id_equal(&base->providers[at].node, &node->id));
        base->count--;
        memmove(base->providers + at, base->providers + at + 1,
                (base->count - at) * sizeof *base->providers);
        services_mark(services, base);
    }
}

static void services_offers_set(struct node *node, const struct catalog_offer *offers,
                                uint32_t count)
{
    node->offers = count == 0 ? NULL : mn_alloc(count * sizeof *node->offers);
    for (uint32_t i = 0; i < count; i++) {
        struct catalog_offer *offer = &node->offers[node->offers_count];
        uint8_t *name;
        if (offers[i].body == NULL) continue;
        MN_ASSERT(offers[i].name.size > 0 && offers[i].name.size <= CATALOG_OFFER_NAME_MAX);
        name = mn_alloc(offers[i].name.size);
        memcpy(name, offers[i].name.data, offers[i].name.size);
        *offer = offers[i];
        offer->name.data = name;
        mn_buf_ref(offer->body);
        node->offers_count++;
    }
}

static void services_offers_done(struct node *node)
{
    for (uint32_t i = 0; i < node->offers_count; i++) {
        union {
            const uint8_t *in;
            void *out;
        } name = {.in = node->offers[i].name.data}; /* ours, made above */
        mn_free(name.out);
        mn_buf_unref(node->offers[i].body);
    }
    mn_free(node->offers);
    node->offers = NULL;
    node->offers_count = 0;
}

/* ---- names of nodes ---- */

static void services_label(struct node *node)
{
    size_t size = strlen(node->group->name);
    size_t cut = SERVICES_NODE_NAME_MAX - 1 - TWIN_HEX_SIZE;

    memcpy(node->label, node->group->name, size + 1);
    if (node->group->count == 1) return;
    if (size > cut) size = cut;
    node->label[size] = '-';
    mn_hex_encode(mn_span(node->id.bytes, TWIN_HEX_SIZE / 2), node->label + size + 1);
}

/* The second node of a name renames the first, and its going gives the name back. */
static void services_relabel(struct services *services, struct group *group)
{
    MN_LIST_FOR_EACH (link, &group->nodes) {
        struct node *node = MN_CONTAINER(link, struct node, in_group);
        services_detach(services, node);
        services_label(node);
        services_attach(services, node);
    }
}

static void services_group_leave(struct services *services, struct node *node)
{
    struct group *group = node->group;

    if (group == NULL) return;
    mn_list_remove(&node->in_group);
    node->group = NULL;
    group->count--;
    if (group->count == 1) services_relabel(services, group);
    if (group->count > 0) return;
    mn_map_remove(&services->groups, &group->in_map);
    mn_free(group);
}

static void services_group_join(struct services *services, struct node *node, struct mn_span name)
{
    struct mn_map_entry *found = mn_map_find(&services->groups, name);
    struct group *group;

    if (found != NULL) {
        group = MN_CONTAINER(found, struct group, in_map);
    } else {
        group = mn_alloc(sizeof *group);
        memcpy(group->name, name.data, name.size);
        mn_list_init(&group->nodes);
        mn_map_insert(&services->groups, &group->in_map, mn_span(group->name, name.size));
    }
    group->count++;
    if (group->count == 2) services_relabel(services, group);
    mn_list_push_back(&group->nodes, &node->in_group);
    node->group = group;
    services_label(node);
}

struct node *services_node(const struct services *services, const mn_id *id)
{
    struct mn_map_entry *found =
        mn_map_find(&services->nodes, mn_span(id->bytes, sizeof id->bytes));
    return found == NULL ? NULL : MN_CONTAINER(found, struct node, in_map);
}

void services_set(struct services *services, const mn_id *id, struct mn_span node_name,
                  const struct catalog_offer *offers, uint32_t count)
{
    struct node *node = services_node(services, id);

    MN_ASSERT(node_name.size > 0 && node_name.size <= SERVICES_NODE_NAME_MAX);
    if (node == NULL) {
        node = mn_alloc(sizeof *node);
        node->id = *id;
        mn_list_init(&node->in_group);
        mn_map_insert(&services->nodes, &node->in_map,
                      mn_span(node->id.bytes, sizeof node->id.bytes));
    }
    services_detach(services, node);
    services_offers_done(node);
    if (node->group == NULL || !mn_span_equal(node->group->in_map.key, node_name)) {
        services_group_leave(services, node);
        services_group_join(services, node, node_name);
    }
    services_offers_set(node, offers, count);
    services_attach(services, node);
}

void services_set_suspect(struct services *services, const mn_id *id, bool is_suspect)
{
    struct node *node = services_node(services, id);

    if (node == NULL || node->is_suspect == is_suspect) return;
    services_detach(services, node);
    node->is_suspect = is_suspect;
    services_attach(services, node);
}

void services_drop(struct services *services, const mn_id *id)
{
    struct node *node = services_node(services, id);

    if (node == NULL) return;
    services_detach(services, node);
    services_group_leave(services, node);
    services_offers_done(node);
    mn_map_remove(&services->nodes, &node->in_map);
    mn_free(node);
}

/* ---- entries: what the gateway was told ---- */

/* Index of the first entry whose name is not below [name]. */
static uint32_t services_entry_place(const struct services *services, struct mn_span name)
{
    uint32_t low = 0, high = services->entries_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct services_entry *entry = services->entries[middle];
        if (mn_span_compare(mn_span(entry->name, entry->name_size), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool services_entry_is(const struct services *services, uint32_t at, struct mn_span name)
{
    return at < services->entries_count &&
           mn_span_equal(mn_span(services->entries[at]->name, services->entries[at]->name_size),
                         name);
}

static struct services_entry *services_entry_add(struct services *services, uint32_t at,
                                                 struct mn_span name)
{
    struct services_entry *entry = mn_alloc(sizeof *entry);

    if (services->entries_count == services->entries_capacity) {
        services->entries_capacity =
            services->entries_capacity == 0 ? 16 : 2 * services->entries_capacity;
        services->entries =
            mn_realloc(services->entries, services->entries_capacity * sizeof *services->entries);
    }
    memmove(services->entries + at + 1, services->entries + at,
            (services->entries_count - at) * sizeof *services->entries);
    services->entries[at] = entry;
    services->entries_count++;
    memcpy(entry->name, name.data, name.size);
    entry->name_size = name.size;
    return entry;
}

static void services_tell(const struct services_entry *entry, struct call_outbox *outbox)
{
    struct call_message *message = call_emit(outbox, CALL_MESSAGE_SERVICE);

    message->service = services_entry_get(entry);
    message->service.name = mn_arena_copy(outbox->arena, message->service.name);
    mn_buf_ref(message->service.body);
}

/* What an entry shall be. */
struct wish {
    struct mn_span name;
    struct base *base;
    const struct catalog_offer *offer; /* NULL for a conflict */
    uint32_t providers_count;
    bool is_listed, is_kept;
};

static bool services_entry_meets(const struct services_entry *entry, const struct wish *wish)
{
    if (entry->providers_count != wish->providers_count || entry->is_listed != wish->is_listed ||
        entry->is_conflict != (wish->offer == NULL) || entry->is_kept != wish->is_kept)
        return false;
    return wish->offer == NULL || memcmp(entry->hash, wish->offer->hash, sizeof entry->hash) == 0;
}

static void services_want(struct services *services, mn_time now, const struct wish *wish,
                          struct call_outbox *outbox)
{
    uint32_t at = services_entry_place(services, wish->name);
    struct services_entry *entry;

    if (!services_entry_is(services, at, wish->name)) services_entry_add(services, at, wish->name);
    entry = services->entries[at];
    entry->is_wanted = true;
    entry->base = wish->base;
    if (services_entry_meets(entry, wish)) return;
    if (wish->offer == NULL && !entry->is_conflict)
        mn_trace_span(services->trace, now, MN_EV_SERVICE_CONFLICT, NULL, wish->providers_count, 0,
                      wish->name);
    mn_buf_unref(entry->body);
    entry->body = wish->offer == NULL ? NULL : mn_buf_ref(wish->offer->body);
    if (wish->offer != NULL) memcpy(entry->hash, wish->offer->hash, sizeof entry->hash);
    entry->providers_count = wish->providers_count;
    entry->is_listed = wish->is_listed;
    entry->is_conflict = wish->offer == NULL;
    entry->is_kept = wish->is_kept;
    services_tell(entry, outbox);
}

static void services_publish_wishes(struct services *services, mn_time now, struct base *base,
                                    struct call_outbox *outbox)
{
    const struct services_owner *owner = services_owner(services, base->in_map.key);
    bool is_one = base->main_count > 0;
    struct mn_span name = base->in_map.key;
    struct wish wish = {name,
                        base,
                        is_one ? base->main[0].offer : NULL,
                        is_one ? base->main_count : base->count,
                        is_one,
                        base->is_kept};
    char full[CALL_NAME_MAX + 1];

    services_want(services, now, &wish, outbox);
    for (uint32_t i = 0; i < base->count; i++) {
        const struct services_provider *provider = &base->providers[i];
        bool is_apart = !is_one || !services_is_owners(owner, provider) ||
                        !services_is_equal(provider, &base->main[0]);
        size_t size = name.size + 1 + provider->node_name.size;
        MN_ASSERT(size <= CALL_NAME_MAX);
        memcpy(full, name.data, name.size);
        full[name.size] = '.';
        memcpy(full + name.size + 1, provider->node_name.data, provider->node_name.size);
        wish = (struct wish){mn_span(full, size), base, provider->offer, 1, is_apart, false};
        services_want(services, now, &wish, outbox);
    }
}

/* Removes the entries of [base] that nobody wants any more. They all begin with its name; others
 * that do, such as those of "ab" for a base "a", are passed over. */
static void services_sweep(struct services *services, const struct base *base,
                           struct call_outbox *outbox)
{
    struct mn_span name = base->in_map.key;
    uint32_t from = services_entry_place(services, name), to = from, kept = from;

    for (; to < services->entries_count; to++) {
        struct services_entry *entry = services->entries[to];
        if (entry->name_size < name.size || memcmp(entry->name, name.data, name.size) != 0) break;
        if (entry->base != base || entry->is_wanted) {
            if (entry->base == base) entry->is_wanted = false;
            services->entries[kept++] = entry;
            continue;
        }
        entry->body = mn_buf_unref(entry->body);
        entry->providers_count = 0;
        entry->is_listed = entry->is_conflict = entry->is_kept = false;
        services_tell(entry, outbox);
        mn_free(entry);
    }
    if (kept == to) return;
    memmove(services->entries + kept, services->entries + to,
            (services->entries_count - to) * sizeof *services->entries);
    services->entries_count -= to - kept;
}

static void services_base_remove(struct services *services, struct base *base)
{
    mn_list_remove(&base->in_dirty);
    mn_map_remove(&services->bases, &base->in_map);
    mn_free(base->providers);
    mn_free(base->main);
    mn_free(base);
}

void services_publish(struct services *services, struct mn_now now, struct call_outbox *outbox)
{
    struct mn_list *link;

    while ((link = mn_list_take(&services->dirty)) != NULL) {
        struct base *base = MN_CONTAINER(link, struct base, in_dirty);
        if (base->count > 0) services_publish_wishes(services, now.mono, base, outbox);
        services_sweep(services, base, outbox);
        if (base->count == 0) services_base_remove(services, base);
    }
}

/* ---- looking ---- */

struct services_view services_find(const struct services *services, struct mn_span name)
{
    const uint8_t *dot = name.size == 0 ? NULL : memchr(name.data, '.', name.size);
    size_t size = dot == NULL ? name.size : (size_t)(dot - name.data);
    const struct base *base = services_base(services, mn_span(name.data, size));
    struct services_view view = {.kind = SERVICES_NONE};

    if (base == NULL || base->count == 0) return view;
    view = (struct services_view){.kind = SERVICES_FOUND,
                                  .name = base->in_map.key,
                                  .providers = base->providers,
                                  .count = base->count};
    if (dot == NULL) {
        if (base->main_count == 0) {
            view.kind = SERVICES_CONFLICT;
            view.is_kept = base->is_kept;
        } else {
            view.providers = base->main;
            view.count = base->main_count;
            view.may_move = base->owners_count > base->main_count;
        }
        return view;
    }
    for (uint32_t i = 0; i < base->count; i++) {
        if (!mn_span_equal(base->providers[i].node_name, mn_span(dot + 1, name.size - size - 1)))
            continue;
        view.providers = &base->providers[i];
        view.count = 1;
        return view;
    }
    return (struct services_view){.kind = SERVICES_NONE};
}

const struct services_entry *services_next(const struct services *services,
                                           const struct services_entry *entry)
{
    uint32_t at = 0;

    if (entry != NULL)
        at = services_entry_place(services, mn_span(entry->name, entry->name_size)) + 1;
    return at < services->entries_count ? services->entries[at] : NULL;
}

struct call_service services_entry_get(const struct services_entry *entry)
{
    return (struct call_service){mn_span(entry->name, entry->name_size),
                                 entry->body,
                                 entry->providers_count,
                                 entry->is_listed,
                                 entry->is_conflict,
                                 entry->is_kept};
}

void services_free(struct services *services)
{
    struct mn_map_entry *entry;

    if (services == NULL) return;
    while ((entry = mn_map_next(&services->nodes, NULL)) != NULL)
        services_drop(services, &MN_CONTAINER(entry, struct node, in_map)->id);
    while ((entry = mn_map_next(&services->bases, NULL)) != NULL)
        services_base_remove(services, MN_CONTAINER(entry, struct base, in_map));
    for (uint32_t i = 0; i < services->entries_count; i++) {
        mn_buf_unref(services->entries[i]->body);
        mn_free(services->entries[i]);
    }
    mn_free(services->entries);
    services_owners_done(services);
    mn_map_done(&services->nodes);
    mn_map_done(&services->groups);
    mn_map_done(&services->bases);
    mn_free(services);
}

void services_check(const struct services *services)
{
    struct mn_map_entry *link = NULL;
    uint32_t offers = 0, provided = 0;

    while ((link = mn_map_next(&services->nodes, link)) != NULL)
        offers += MN_CONTAINER(link, struct node, in_map)->offers_count;
    while ((link = mn_map_next(&services->bases, link)) != NULL) {
        const struct base *base = MN_CONTAINER(link, struct base, in_map);
        provided += base->count;
        MN_ASSERT(base->main_count <= base->count);
        for (uint32_t i = 1; i < base->count; i++)
            MN_ASSERT(mn_id_compare(&base->providers[i - 1].node, &base->providers[i].node) < 0);
    }
    MN_ASSERT(offers == provided);
    for (uint32_t i = 0; i < services->entries_count; i++) {
        const struct services_entry *entry = services->entries[i];
        MN_ASSERT(!entry->is_conflict || (entry->body == NULL && !entry->is_listed));
        MN_ASSERT(!entry->is_wanted);
        MN_ASSERT(i == 0 || mn_span_compare(mn_span(services->entries[i - 1]->name,
                                                    services->entries[i - 1]->name_size),
                                            mn_span(entry->name, entry->name_size)) < 0);
    }
}
