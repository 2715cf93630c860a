#include "node/mcp/upstream/upstream_shown.h"

#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/audience.h"
#include "proto/base/check.h"
#include "proto/pb.h"

struct upstream_shown_item {
    struct mn_map_entry by_key;
    struct mn_span key, definition;
    struct mn_span before; /* key of the one that it follows; empty: it is the first */
    bool read_only, idempotent;
    uint64_t shown;    /* bit i: lists for the set i have it */
    uint64_t audience; /* once it was concluded */
};

#define EVERYBODY ((uint64_t)1) /* of the set 0 */

/* ---- rows of an offer: tools have a type of their own ---- */

static size_t rows_of(const Meshnode__Gateway__Offer *offer, enum upstream_list_kind kind,
                      void ***ret)
{
    switch (kind) {
    case UPSTREAM_LIST_TOOLS: *ret = (void **)offer->tools; return offer->n_tools;
    case UPSTREAM_LIST_PROMPTS: *ret = (void **)offer->prompts; return offer->n_prompts;
    case UPSTREAM_LIST_RESOURCES: *ret = (void **)offer->resources; return offer->n_resources;
    case UPSTREAM_LIST_TEMPLATES: *ret = (void **)offer->templates; return offer->n_templates;
    case UPSTREAM_LISTS: break;
    }
    return 0;
}

static void rows_set(Meshnode__Gateway__Offer *offer, enum upstream_list_kind kind, void **rows,
                     size_t count)
{
    switch (kind) {
    case UPSTREAM_LIST_TOOLS:
        offer->tools = (Meshnode__Gateway__Tool **)rows;
        offer->n_tools = count;
        break;
    case UPSTREAM_LIST_PROMPTS:
        offer->prompts = (Meshnode__Gateway__Item **)rows;
        offer->n_prompts = count;
        break;
    case UPSTREAM_LIST_RESOURCES:
        offer->resources = (Meshnode__Gateway__Item **)rows;
        offer->n_resources = count;
        break;
    case UPSTREAM_LIST_TEMPLATES:
        offer->templates = (Meshnode__Gateway__Item **)rows;
        offer->n_templates = count;
        break;
    case UPSTREAM_LISTS: break;
    }
}

static struct mn_span row_key(enum upstream_list_kind kind, const void *row)
{
    if (kind == UPSTREAM_LIST_TOOLS) return pb_text(((const Meshnode__Gateway__Tool *)row)->name);
    return pb_text(((const Meshnode__Gateway__Item *)row)->key);
}

static struct mn_span row_definition(enum upstream_list_kind kind, const void *row)
{
    if (kind == UPSTREAM_LIST_TOOLS)
        return pb_span(((const Meshnode__Gateway__Tool *)row)->definition);
    return pb_span(((const Meshnode__Gateway__Item *)row)->definition);
}

static void row_set_audience(enum upstream_list_kind kind, void *row, uint64_t audience)
{
    if (kind == UPSTREAM_LIST_TOOLS)
        ((Meshnode__Gateway__Tool *)row)->audience = audience;
    else
        ((Meshnode__Gateway__Item *)row)->audience = audience;
}

/* The spans are borrowed. */
static void *row_new(struct mn_arena *arena, enum upstream_list_kind kind,
                     const struct upstream_shown_item *item)
{
    char *key = (char *)(uintptr_t)item->key.data; /* a NUL follows it */

    if (kind == UPSTREAM_LIST_TOOLS) {
        Meshnode__Gateway__Tool *tool = mn_arena_alloc(arena, sizeof *tool);
        meshnode__gateway__tool__init(tool);
        tool->name = key;
        tool->definition = pb_bytes(item->definition);
        tool->read_only = item->read_only;
        tool->idempotent = item->idempotent;
        tool->audience = item->audience;
        return tool;
    }
    Meshnode__Gateway__Item *row = mn_arena_alloc(arena, sizeof *row);
    meshnode__gateway__item__init(row);
    row->key = key;
    row->definition = pb_bytes(item->definition);
    row->audience = item->audience;
    return row;
}

/* ---- what is shown ---- */

static void shown_init(struct upstream_shown *shown, uint64_t seed)
{
    *shown = (struct upstream_shown){0};
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        mn_map_init(&shown->keys[kind], seed);
}

void upstream_shown_done(struct upstream_shown *shown)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        mn_map_done(&shown->keys[kind]);
    mn_arena_done(&shown->arena);
    *shown = (struct upstream_shown){0};
}

static struct upstream_shown_item *shown_find(const struct upstream_shown *shown,
                                              enum upstream_list_kind kind, struct mn_span key)
{
    struct mn_map_entry *entry = mn_map_find(&shown->keys[kind], key);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream_shown_item, by_key);
}

static struct upstream_shown_item *shown_add(struct upstream_shown *shown,
                                             enum upstream_list_kind kind, struct mn_span key)
{
    struct upstream_shown_item *item = mn_arena_alloc(&shown->arena, sizeof *item);

    *item = (struct upstream_shown_item){.key = mn_arena_copy(&shown->arena, key)};
    mn_map_insert(&shown->keys[kind], &item->by_key, item->key);
    shown->items[kind] =
        mn_arena_grow(&shown->arena, shown->items[kind], shown->counts[kind],
                      &shown->capacities[kind], sizeof(struct upstream_shown_item *));
    shown->items[kind][shown->counts[kind]++] = item;
    return item;
}

void upstream_shown_begin(struct upstream_shown *shown, struct mn_buf *plain, uint64_t seed)
{
    struct mn_arena arena = {0};
    const Meshnode__Gateway__Offer *offer =
        pb_unpack(&meshnode__gateway__offer__descriptor, &arena, mn_buf_span(plain));

    MN_ASSERT(offer != NULL); /* it is ours */
    shown_init(shown, seed);
    shown->asked = EVERYBODY;
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++) {
        void **rows;
        size_t count = rows_of(offer, (enum upstream_list_kind)kind, &rows);
        for (size_t i = 0; i < count; i++) {
            struct mn_span key = row_key((enum upstream_list_kind)kind, rows[i]);
            shown_add(shown, (enum upstream_list_kind)kind, key)->shown = EVERYBODY;
        }
    }
    mn_arena_done(&arena);
}

/* Something that only some see. */
static struct upstream_shown_item *shown_extra(struct upstream_shown *shown,
                                               enum upstream_list_kind kind, const void *row,
                                               struct mn_span before)
{
    struct upstream_shown_item *item = shown_add(shown, kind, row_key(kind, row));

    item->definition = mn_arena_copy(&shown->arena, row_definition(kind, row));
    item->before = mn_arena_copy(&shown->arena, before);
    if (kind == UPSTREAM_LIST_TOOLS) {
        const Meshnode__Gateway__Tool *tool = row;
        item->read_only = tool->read_only;
        item->idempotent = tool->idempotent;
    }
    return item;
}

void upstream_shown_note(struct upstream_shown *shown, uint32_t set,
                         const struct upstream_list *list)
{
    bool is_first = shown->asked == EVERYBODY;

    shown->asked |= (uint64_t)1 << set;
    for (int i = 0; i < UPSTREAM_LISTS; i++) {
        enum upstream_list_kind kind = (enum upstream_list_kind)i;
        bool is_tools = kind == UPSTREAM_LIST_TOOLS;
        uint32_t count = is_tools ? list->found.count : list->items[kind].count;
        struct mn_span before = {0};
        for (uint32_t k = 0; k < count; k++) {
            const void *row =
                is_tools ? (const void *)list->tools[k] : (const void *)list->items[kind].rows[k];
            struct upstream_shown_item *item = shown_find(shown, kind, row_key(kind, row));
            if (item == NULL && is_first) item = shown_extra(shown, kind, row, before);
            if (item != NULL) item->shown |= (uint64_t)1 << set;
            before = row_key(kind, row);
        }
    }
}

bool upstream_shown_is_plain(const struct upstream_shown *shown)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++)
            if (shown->items[kind][i]->shown != shown->asked) return false;
    return true;
}

bool upstream_shown_is_only(const struct upstream_shown *shown, uint32_t set)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++)
            if (shown->items[kind][i]->shown == (uint64_t)1 << set) return true;
    return false;
}

void upstream_shown_conclude(const struct upstream_shown *shown, struct upstream_shown *ret,
                             uint64_t seed)
{
    shown_init(ret, seed);
    ret->asked = shown->asked;
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++) {
            const struct upstream_shown_item *from = shown->items[kind][i];
            uint64_t audience = audience_infer(shown->asked, from->shown);
            struct upstream_shown_item *item;
            if (audience == 0) continue;
            item = shown_add(ret, (enum upstream_list_kind)kind, from->key);
            item->definition = mn_arena_copy(&ret->arena, from->definition);
            item->before = mn_arena_copy(&ret->arena, from->before);
            item->read_only = from->read_only;
            item->idempotent = from->idempotent;
            item->shown = from->shown;
            item->audience = audience;
        }
}

bool upstream_shown_is_empty(const struct upstream_shown *shown)
{
    uint32_t count = 0;

    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        count += shown->counts[kind];
    return count == 0;
}

uint32_t upstream_shown_tools(const struct upstream_shown *shown)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < shown->counts[UPSTREAM_LIST_TOOLS]; i++)
        count += (shown->items[UPSTREAM_LIST_TOOLS][i]->shown & EVERYBODY) == 0;
    return count;
}

/* ---- the offer ---- */

/* A list in the making. */
struct merge {
    struct mn_arena *arena;
    enum upstream_list_kind kind;
    struct mn_map places;
    struct place {
        struct mn_map_entry by_key;
        void *row;
        struct place *next;
    } first, *last; /* first: no row of its own */
    uint32_t count;
};

static struct place *merge_find(const struct merge *merge, struct mn_span key)
{
    struct mn_map_entry *entry = mn_map_find(&merge->places, key);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct place, by_key);
}

static void merge_insert(struct merge *merge, struct place *after, struct mn_span key, void *row)
{
    struct place *place = mn_arena_alloc(merge->arena, sizeof *place);

    *place = (struct place){.row = row, .next = after->next};
    after->next = place;
    if (merge->last == after) merge->last = place;
    mn_map_insert(&merge->places, &place->by_key, key);
    merge->count++;
}

static void merge_item(struct merge *merge, const struct upstream_shown_item *item)
{
    struct place *place = merge_find(merge, item->key), *after;

    if ((item->shown & EVERYBODY) != 0) {
        if (place != NULL) row_set_audience(merge->kind, place->row, item->audience);
        return;
    }
    if (place != NULL) return; /* everybody sees it by now */
    after = item->before.size == 0 ? &merge->first : merge_find(merge, item->before);
    merge_insert(merge, after == NULL ? merge->last : after, item->key,
                 row_new(merge->arena, merge->kind, item));
}

static void merge_kind(const struct upstream_shown *shown, enum upstream_list_kind kind,
                       Meshnode__Gateway__Offer *offer, struct mn_arena *arena, uint64_t seed)
{
    struct merge merge = {.arena = arena, .kind = kind};
    void **rows;
    size_t count = rows_of(offer, kind, &rows);

    if (shown->counts[kind] == 0) return;
    merge.last = &merge.first;
    mn_map_init(&merge.places, seed);
    for (size_t i = 0; i < count; i++)
        merge_insert(&merge, merge.last, row_key(kind, rows[i]), rows[i]);
    for (uint32_t i = 0; i < shown->counts[kind]; i++)
        merge_item(&merge, shown->items[kind][i]);
    rows = mn_arena_alloc(arena, merge.count * sizeof *rows);
    count = 0;
    for (const struct place *place = merge.first.next; place != NULL; place = place->next)
        rows[count++] = place->row;
    rows_set(offer, kind, rows, count);
    mn_map_done(&merge.places);
}

struct mn_buf *upstream_shown_merge(const struct upstream_shown *shown, struct mn_buf *plain,
                                    uint64_t seed)
{
    struct mn_arena arena = {0};
    Meshnode__Gateway__Offer *offer;
    struct mn_buf *merged;
    bool is_large = false;

    if (upstream_shown_is_empty(shown)) return mn_buf_ref(plain);
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &arena, mn_buf_span(plain));
    MN_ASSERT(offer != NULL); /* it is ours */
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++) {
        void **rows;
        merge_kind(shown, (enum upstream_list_kind)kind, offer, &arena, seed);
        is_large =
            is_large || rows_of(offer, (enum upstream_list_kind)kind, &rows) > UPSTREAM_TOOLS_MAX;
    }
    merged = pb_pack(&offer->base);
    mn_arena_done(&arena);
    if (is_large || merged->size > UPSTREAM_OFFER_MAX) merged = mn_buf_unref(merged);
    return merged;
}
