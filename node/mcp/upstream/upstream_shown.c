#include "node/mcp/upstream/upstream_shown.h"

#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/audience.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define DEFINITIONS_MAX 9 /* of one item; further ones count as the first */
#define WITH_MAX UPSTREAM_EXTENSIONS_MAX

/* Once it was concluded; with: of the extensions that make a difference. */
struct shown_audience {
    uint64_t table;
    struct {
        uint32_t extension;
        uint64_t table;
    } with[WITH_MAX];
    uint32_t with_count;
};

struct shown_definition {
    struct shown_definition *next;
    uint64_t hash;
    struct mn_span text; /* empty: as everybody's lists have it */
    bool read_only, idempotent;
    uint64_t shown; /* bit i: the answer to the ask i has it */
    struct shown_audience audience;
};

struct upstream_shown_item {
    struct mn_map_entry by_key;
    struct mn_span key;
    struct mn_span before; /* key of the one that it follows; empty: it is the first */
    uint64_t shown;        /* bit i: the answer to the ask i has it, however defined */
    struct shown_definition *definitions; /* first the one that it has for most */
    uint32_t definitions_count;
    bool is_unsteady; /* it is defined otherwise each time: that is no matter of who asks */
    struct shown_audience audience;
};

#define EVERYBODY ((uint64_t)1) /* of the first ask */

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

static Meshnode__Gateway__With **with_new(struct mn_arena *arena,
                                          const struct shown_audience *audience)
{
    Meshnode__Gateway__With **list = mn_arena_alloc(arena, WITH_MAX * sizeof(void *));

    for (uint32_t i = 0; i < audience->with_count; i++) {
        list[i] = mn_arena_alloc(arena, sizeof **list);
        meshnode__gateway__with__init(list[i]);
        list[i]->extension = audience->with[i].extension;
        list[i]->audience = audience->with[i].table;
    }
    return list;
}

/* What is concluded of the definitions after the first one. The spans are borrowed. */
static Meshnode__Gateway__Variant **variants_new(struct mn_arena *arena,
                                                 const struct upstream_shown_item *item)
{
    Meshnode__Gateway__Variant **list = mn_arena_alloc(arena, DEFINITIONS_MAX * sizeof(void *));
    uint32_t count = 0;

    for (const struct shown_definition *one = item->definitions->next; one != NULL;
         one = one->next) {
        Meshnode__Gateway__Variant *variant = mn_arena_alloc(arena, sizeof *variant);
        meshnode__gateway__variant__init(variant);
        variant->definition = pb_bytes(one->text);
        variant->read_only = one->read_only;
        variant->idempotent = one->idempotent;
        variant->audience = one->audience.table;
        variant->with = with_new(arena, &one->audience);
        variant->n_with = one->audience.with_count;
        list[count++] = variant;
    }
    return list;
}

static void row_set_shown(struct mn_arena *arena, enum upstream_list_kind kind, void *row,
                          const struct upstream_shown_item *item)
{
    Meshnode__Gateway__With **with = with_new(arena, &item->audience);
    Meshnode__Gateway__Variant **variants = variants_new(arena, item);
    uint32_t variants_count = item->definitions_count - 1;

    if (kind == UPSTREAM_LIST_TOOLS) {
        Meshnode__Gateway__Tool *tool = row;
        tool->audience = item->audience.table;
        tool->with = with;
        tool->n_with = item->audience.with_count;
        tool->variants = variants;
        tool->n_variants = variants_count;
    } else {
        Meshnode__Gateway__Item *other = row;
        other->audience = item->audience.table;
        other->with = with;
        other->n_with = item->audience.with_count;
        other->variants = variants;
        other->n_variants = variants_count;
    }
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
        tool->definition = pb_bytes(item->definitions->text);
        tool->read_only = item->definitions->read_only;
        tool->idempotent = item->definitions->idempotent;
        return tool;
    }
    Meshnode__Gateway__Item *row = mn_arena_alloc(arena, sizeof *row);
    meshnode__gateway__item__init(row);
    row->key = key;
    row->definition = pb_bytes(item->definitions->text);
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

static struct shown_definition *definition_find(const struct upstream_shown_item *item,
                                                uint64_t hash)
{
    struct shown_definition *one = item->definitions;

    while (one != NULL && one->hash != hash)
        one = one->next;
    return one;
}

static struct shown_definition *definition_add(struct upstream_shown *shown,
                                               struct upstream_shown_item *item,
                                               enum upstream_list_kind kind, const void *row)
{
    struct shown_definition *one = mn_arena_alloc(&shown->arena, sizeof *one);
    struct shown_definition **last = &item->definitions;

    *one = (struct shown_definition){.hash = audience_id(row_definition(kind, row))};
    if (kind == UPSTREAM_LIST_TOOLS) {
        const Meshnode__Gateway__Tool *tool = row;
        one->read_only = tool->read_only;
        one->idempotent = tool->idempotent;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = one;
    item->definitions_count++;
    return one;
}

void upstream_shown_begin(struct upstream_shown *shown, struct mn_buf *plain, uint64_t seed)
{
    struct mn_arena arena = {0};
    const Meshnode__Gateway__Offer *offer =
        pb_unpack(&meshnode__gateway__offer__descriptor, &arena, mn_buf_span(plain));

    MN_ASSERT(offer != NULL); /* it is ours */
    shown_init(shown, seed);
    shown->asks_count = 1;
    for (int i = 0; i < UPSTREAM_LISTS; i++) {
        enum upstream_list_kind kind = (enum upstream_list_kind)i;
        void **rows;
        size_t count = rows_of(offer, kind, &rows);
        for (size_t k = 0; k < count; k++) {
            struct upstream_shown_item *item = shown_add(shown, kind, row_key(kind, rows[k]));
            item->shown = EVERYBODY;
            definition_add(shown, item, kind, rows[k])->shown = EVERYBODY;
        }
    }
    mn_arena_done(&arena);
}

void upstream_shown_know(struct upstream_shown *shown, struct mn_span name, struct mn_span settings)
{
    if (shown->extensions_count == UPSTREAM_EXTENSIONS_MAX) return;
    for (uint32_t i = 0; i < shown->extensions_count; i++)
        if (mn_span_equal(shown->extensions[i].name, name)) return;
    shown->extensions[shown->extensions_count++] =
        (struct audience_extension){.name = mn_arena_copy(&shown->arena, name),
                                    .settings = mn_arena_copy(&shown->arena, settings)};
}

/* What has no room any more is not seen. */
static bool shown_has_room(struct upstream_shown *shown, size_t size)
{
    if (shown->size + size > UPSTREAM_OFFER_MAX) return false;
    shown->size += size;
    return true;
}

static void note_definition(struct upstream_shown *shown, struct upstream_shown_item *item,
                            enum upstream_list_kind kind, const void *row, uint64_t bit)
{
    struct mn_span text = row_definition(kind, row);
    struct shown_definition *one = definition_find(item, audience_id(text));

    if (one == NULL && item->definitions_count < DEFINITIONS_MAX &&
        shown_has_room(shown, text.size)) {
        one = definition_add(shown, item, kind, row);
        one->text = mn_arena_copy(&shown->arena, text);
    }
    if (one != NULL) one->shown |= bit;
}

static void note_row(struct upstream_shown *shown, enum upstream_list_kind kind, const void *row,
                     struct mn_span before, uint64_t bit)
{
    struct mn_span key = row_key(kind, row);
    struct upstream_shown_item *item = shown_find(shown, kind, key);
    size_t size = key.size + before.size + row_definition(kind, row).size;

    if (item == NULL) {
        if (shown->counts[kind] == UPSTREAM_TOOLS_MAX || shown->size + size > UPSTREAM_OFFER_MAX)
            return;
        shown->size += key.size + before.size;
        item = shown_add(shown, kind, key);
        item->before = mn_arena_copy(&shown->arena, before);
    }
    item->shown |= bit;
    note_definition(shown, item, kind, row, bit);
}

/* Who is asked the same once more, and answers otherwise, does not do so on account of who asks. */
static void note_unsteady(struct upstream_shown *shown, uint64_t bit)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++) {
            struct upstream_shown_item *item = shown->items[kind][i];
            const struct shown_definition *first = item->definitions;
            if ((item->shown & EVERYBODY) != 0 && (item->shown & bit) != 0 &&
                (first->shown & bit) == 0)
                item->is_unsteady = true;
        }
}

void upstream_shown_note(struct upstream_shown *shown, struct upstream_ask ask,
                         const struct upstream_list *list)
{
    uint64_t bit = (uint64_t)1 << shown->asks_count;

    MN_ASSERT(shown->asks_count < UPSTREAM_ASKS_MAX);
    shown->asks[shown->asks_count++] = ask;
    for (int i = 0; i < UPSTREAM_LISTS; i++) {
        enum upstream_list_kind kind = (enum upstream_list_kind)i;
        bool is_tools = kind == UPSTREAM_LIST_TOOLS;
        uint32_t count = is_tools ? list->found.count : list->items[kind].count;
        struct mn_span before = {0};
        for (uint32_t k = 0; k < count; k++) {
            const void *row =
                is_tools ? (const void *)list->tools[k] : (const void *)list->items[kind].rows[k];
            note_row(shown, kind, row, before, bit);
            before = row_key(kind, row);
        }
    }
    if (ask.set == 0 && ask.extensions == 0) note_unsteady(shown, bit);
}

/* ---- what was asked ---- */

uint32_t upstream_shown_times(const struct upstream_shown *shown, struct upstream_ask ask)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < shown->asks_count; i++)
        count += shown->asks[i].set == ask.set && shown->asks[i].extensions == ask.extensions;
    return count;
}

/* The bit of the newest such ask; 0: there was none. */
static uint64_t shown_bit(const struct upstream_shown *shown, struct upstream_ask ask)
{
    uint64_t bit = 0;

    for (uint32_t i = 0; i < shown->asks_count; i++)
        if (shown->asks[i].set == ask.set && shown->asks[i].extensions == ask.extensions)
            bit = (uint64_t)1 << i;
    return bit;
}

/* Calls [judge] with the answers that have an item, and with those that have it so defined, until
 * it says yes. */
static bool shown_any(const struct upstream_shown *shown, uint64_t context,
                      bool (*judge)(const struct upstream_shown *shown, uint64_t bits,
                                    uint64_t context))
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++) {
            const struct upstream_shown_item *item = shown->items[kind][i];
            if (judge(shown, item->shown, context)) return true;
            if (item->is_unsteady || item->definitions_count < 2) continue;
            for (const struct shown_definition *one = item->definitions; one != NULL;
                 one = one->next)
                if (judge(shown, one->shown, context)) return true;
        }
    return false;
}

static bool is_otherwise(const struct upstream_shown *shown, uint64_t bits, uint64_t bit)
{
    (void)shown;
    return ((bits & EVERYBODY) != 0) != ((bits & bit) != 0);
}

bool upstream_shown_differs(const struct upstream_shown *shown, struct upstream_ask ask)
{
    return shown_any(shown, shown_bit(shown, ask), is_otherwise);
}

/* Of the answers for as many extensions, that of the bit [own] alone is otherwise. */
static bool is_only_there(const struct upstream_shown *shown, uint64_t bits, uint64_t own)
{
    uint32_t extensions = 0;
    uint64_t same = 0;

    for (uint32_t i = 0; i < shown->asks_count; i++)
        if ((own >> i & 1) != 0) extensions = shown->asks[i].extensions;
    for (uint32_t i = 0; i < shown->asks_count; i++)
        if (shown->asks[i].extensions == extensions) same |= (uint64_t)1 << i;
    if ((bits & EVERYBODY) != 0) bits = ~bits;
    return (bits & same & ~EVERYBODY) == own;
}

bool upstream_shown_is_only(const struct upstream_shown *shown, struct upstream_ask ask)
{
    uint64_t own = shown_bit(shown, ask);

    return own != 0 && shown_any(shown, own, is_only_there);
}

bool upstream_shown_has_variants(const struct upstream_shown *shown)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++)
            if (shown->items[kind][i]->definitions_count > 1) return true;
    return false;
}

/* ---- what can be told from it ---- */

/* The table of clients with these extensions, as far as they were asked for. */
static uint64_t infer_table(const struct upstream_shown *shown, uint64_t bits, uint32_t extensions,
                            uint64_t *asked)
{
    uint64_t seen = 0;

    *asked = 0;
    for (uint32_t i = 0; i < shown->asks_count; i++) {
        uint64_t set = (uint64_t)1 << shown->asks[i].set;
        if (shown->asks[i].extensions != extensions) continue;
        *asked |= set;
        if ((bits >> i & 1) != 0) seen |= set;
    }
    return audience_infer(*asked, seen);
}

/* An extension that alone makes no difference leaves what capabilities do as it is. */
static uint64_t combine_tables(uint64_t table, uint64_t with, uint64_t asked)
{
    bool is_plain = audience_has(table, 0);
    uint64_t both = 0;

    if (audience_has(with, 0) != is_plain) return with;
    for (uint32_t set = 0; set < AUDIENCE_SETS; set++) {
        bool is_shown = audience_has(table, set) != is_plain ? !is_plain : audience_has(with, set);
        if ((asked >> set & 1) != 0) is_shown = audience_has(with, set);
        if (is_shown) both |= (uint64_t)1 << set;
    }
    if (both == 0) return AUDIENCE_NOBODY;
    return both == AUDIENCE_ALL ? 0 : both;
}

static struct shown_audience shown_infer(const struct upstream_shown *shown, uint64_t bits)
{
    struct shown_audience audience = {0};
    uint64_t asked;

    audience.table = infer_table(shown, bits, 0, &asked);
    for (uint32_t i = 0; i < shown->extensions_count; i++) {
        uint64_t with = infer_table(shown, bits, 1u << i, &asked);
        if ((asked & EVERYBODY) == 0) continue;
        with = combine_tables(audience.table, with, asked);
        if (with == audience.table) continue;
        audience.with[audience.with_count].extension = i;
        audience.with[audience.with_count++].table = with;
    }
    return audience;
}

static bool is_unexplained(const struct upstream_shown *shown, uint64_t bits, uint64_t context)
{
    struct shown_audience audience = shown_infer(shown, bits);
    struct upstream_ask all = shown->asks[1];
    bool is_plain = audience_has(audience.table, all.set), is_shown = is_plain;

    (void)context;
    for (uint32_t i = 0; i < audience.with_count; i++)
        if (audience_has(audience.with[i].table, all.set) != is_plain) is_shown = !is_plain;
    return is_shown != ((bits & 2) != 0);
}

bool upstream_shown_is_explained(const struct upstream_shown *shown)
{
    return !shown_any(shown, 0, is_unexplained);
}

static void conclude_definitions(const struct upstream_shown *shown,
                                 const struct upstream_shown_item *from, struct upstream_shown *ret,
                                 struct upstream_shown_item *item)
{
    struct shown_definition **last = &item->definitions;

    for (const struct shown_definition *one = from->definitions; one != NULL; one = one->next) {
        struct shown_definition *copy;
        if (one != from->definitions && from->is_unsteady) break;
        copy = mn_arena_alloc(&ret->arena, sizeof *copy);
        *copy = *one;
        copy->next = NULL;
        copy->text = mn_arena_copy(&ret->arena, one->text);
        copy->audience = shown_infer(shown, one->shown);
        *last = copy;
        last = &copy->next;
        item->definitions_count++;
    }
}

void upstream_shown_conclude(const struct upstream_shown *shown, struct upstream_shown *ret,
                             uint64_t seed)
{
    shown_init(ret, seed);
    for (uint32_t i = 0; i < shown->extensions_count; i++)
        upstream_shown_know(ret, shown->extensions[i].name, shown->extensions[i].settings);
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++) {
            const struct upstream_shown_item *from = shown->items[kind][i];
            struct shown_audience audience = shown_infer(shown, from->shown);
            struct upstream_shown_item *item;
            if (audience.table == 0 && audience.with_count == 0 &&
                (from->definitions_count < 2 || from->is_unsteady))
                continue;
            item = shown_add(ret, (enum upstream_list_kind)kind, from->key);
            item->before = mn_arena_copy(&ret->arena, from->before);
            item->shown = from->shown;
            item->audience = audience;
            conclude_definitions(shown, from, ret, item);
        }
}

bool upstream_shown_is_empty(const struct upstream_shown *shown)
{
    uint32_t count = 0;

    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        count += shown->counts[kind];
    return count == 0;
}

static void add_with(const struct upstream_shown *shown, const struct shown_audience *audience,
                     struct audience_relevant *relevant)
{
    for (uint32_t i = 0; i < audience->with_count; i++) {
        struct audience_with with = {
            .extension = audience_id(shown->extensions[audience->with[i].extension].name)};
        audience_add_relevant(relevant, &(struct audience){.with = &with, .with_count = 1});
    }
}

void upstream_shown_add_relevant(const struct upstream_shown *shown,
                                 struct audience_relevant *relevant)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        for (uint32_t i = 0; i < shown->counts[kind]; i++) {
            const struct upstream_shown_item *item = shown->items[kind][i];
            add_with(shown, &item->audience, relevant);
            for (const struct shown_definition *one = item->definitions; one != NULL;
                 one = one->next)
                add_with(shown, &one->audience, relevant);
        }
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
    void *row;

    if ((item->shown & EVERYBODY) != 0) {
        if (place != NULL) row_set_shown(merge->arena, merge->kind, place->row, item);
        return;
    }
    if (place != NULL) return; /* everybody sees it by now */
    after = item->before.size == 0 ? &merge->first : merge_find(merge, item->before);
    row = row_new(merge->arena, merge->kind, item);
    row_set_shown(merge->arena, merge->kind, row, item);
    merge_insert(merge, after == NULL ? merge->last : after, item->key, row);
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
    offer->extensions = mn_arena_alloc(&arena, UPSTREAM_EXTENSIONS_MAX * sizeof(char *));
    for (uint32_t i = 0; i < shown->extensions_count; i++)
        offer->extensions[offer->n_extensions++] =
            (char *)(uintptr_t)shown->extensions[i].name.data; /* a NUL follows it */
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
