#include "node/mcp/names.h"

#include "crypto/digest.h"
#include "node/mcp/names_offer.h"
#include "node/mcp/names_schema.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define HASH_SIZE 8 /* bytes drawn; the name shows the first half as 8 hex digits */
#define HASH_DIGITS 8
#define CUT_MAX (NAMES_TOOL_MAX - 1 - HASH_DIGITS)

_Static_assert(CUT_MAX == 55, "the rule in names.h, and in every node");

static const struct {
    const char *member, *key;
} kinds[NAMES_LISTS] = {{"tools", "name"},
                        {"prompts", "name"},
                        {"resources", "uri"},
                        {"resourceTemplates", "uriTemplate"}};

const char *names_key(enum names_kind kind)
{
    return kinds[kind].key;
}

void names_init(struct names *names, struct json_parser *parser, uint64_t seed)
{
    *names = (struct names){.parser = parser, .seed = seed};
    mn_map_init(&names->services, seed);
    for (int kind = 0; kind < NAMES_KINDS; kind++)
        mn_map_init(&names->tables[kind], seed);
}

static void names_drop_lists(struct mn_buf *lists[NAMES_LISTS][NAMES_ERAS])
{
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        for (int era = 0; era < NAMES_ERAS; era++)
            lists[kind][era] = mn_buf_unref(lists[kind][era]);
}

/* The tables point into services: they are emptied before one goes. */
static void names_drop_tables(struct names *names)
{
    for (int kind = 0; kind < NAMES_KINDS; kind++) {
        mn_map_done(&names->tables[kind]);
        if (kind < NAMES_LISTS) names->listed_counts[kind] = 0;
    }
}

static void names_service_free(struct names *names, struct names_service *service)
{
    names_schema_forget(names, service);
    names_drop_lists(service->lists);
    for (int kind = 0; kind < NAMES_KINDS; kind++)
        mn_map_done(&service->by_own[kind]);
    mn_arena_done(&service->arena);
    mn_free(service->all);
    mn_free(service);
}

void names_done(struct names *names)
{
    struct mn_map_entry *entry = NULL;

    names_drop_tables(names);
    while ((entry = mn_map_next(&names->services, NULL)) != NULL) {
        mn_map_remove(&names->services, entry);
        names_service_free(names, MN_CONTAINER(entry, struct names_service, by_name));
    }
    mn_map_done(&names->services);
    names_drop_lists(names->lists);
    mn_buf_unref(names->page);
    mn_arena_done(&names->arena);
    mn_arena_done(&names->scratch);
}

static struct names_service *names_service_find(const struct names *names, struct mn_span name)
{
    struct mn_map_entry *entry = mn_map_find(&names->services, name);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_service, by_name);
}

static void names_service_drop(struct names *names, struct names_service *service)
{
    names_drop_tables(names);
    mn_map_remove(&names->services, &service->by_name);
    names_service_free(names, service);
}

void names_on_service(struct names *names, const struct call_service *change)
{
    struct names_service *service = names_service_find(names, change->name);

    names->is_stale = true;
    if (service != NULL) names_service_drop(names, service);
    if (change->body == NULL && !change->is_conflict) return;
    if (names->services.count >= NAMES_SERVICES_MAX) {
        names->dropped_count++;
        return;
    }
    service = mn_alloc(sizeof *service + change->name.size);
    memcpy(service + 1, change->name.data, change->name.size);
    service->name = mn_span(service + 1, change->name.size);
    service->is_listed = change->is_listed && change->body != NULL;
    service->is_conflict = change->is_conflict;
    service->providers_count = change->providers_count;
    for (int kind = 0; kind < NAMES_KINDS; kind++)
        mn_map_init(&service->by_own[kind], names->seed);
    names->dropped_count += names_offer_load(service, change->body, names->parser, &names->scratch);
    mn_map_insert(&names->services, &service->by_name, service->name);
}

static bool names_is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* server__tool with only allowed characters; of any length. The mesh's own tools have names that
 * no other can have: they begin with mesh_ and have no `__`. */
static struct mn_span names_plain(struct mn_arena *arena, const struct names_item *tool)
{
    struct mn_span service = tool->service->name;
    size_t size = service.size + 2 + tool->own.size;
    uint8_t *text = mn_arena_alloc(arena, size);

    if (mn_span_is(service, CALL_NAME_MESH)) return tool->own;
    memcpy(text, service.data, service.size);
    memcpy(text + service.size, "__", 2);
    memcpy(text + service.size + 2, tool->own.data, tool->own.size);
    for (size_t i = 0; i < size; i++)
        if (!names_is_plain(text[i])) text[i] = '_';
    return mn_span(text, size);
}

/* The form for names that are too long or not unique. */
static struct mn_span names_hashed(struct mn_arena *arena, const struct names_item *tool,
                                   struct mn_span plain)
{
    size_t cut = plain.size < CUT_MAX ? plain.size : CUT_MAX;
    uint8_t *text = mn_arena_alloc(arena, NAMES_TOOL_MAX + 1);
    uint8_t hash[HASH_SIZE];
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, HASH_SIZE);
    digest_variable(&digest, tool->service->name);
    digest_variable(&digest, tool->own);
    digest_end(&digest, hash);
    memcpy(text, plain.data, cut);
    text[cut] = '_';
    mn_hex_encode(mn_span(hash, HASH_DIGITS / 2), (char *)text + cut + 1);
    return mn_span(text, cut + 1 + HASH_DIGITS);
}

/* Services in order of name, heap sort: the standard library's qsort() may allocate. */
static void names_sift(struct names_service **heap, uint32_t at, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        struct names_service *moved = heap[at];
        if (child >= count) return;
        if (child + 1 < count && mn_span_compare(heap[child]->name, heap[child + 1]->name) < 0)
            child++;
        if (mn_span_compare(moved->name, heap[child]->name) >= 0) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static struct names_service **names_sorted(const struct names *names, struct mn_arena *arena)
{
    uint32_t count = names->services.count, at = 0;
    struct names_service **sorted = mn_arena_alloc(arena, count * sizeof *sorted);

    for (struct mn_map_entry *entry = mn_map_next(&names->services, NULL); entry != NULL;
         entry = mn_map_next(&names->services, entry))
        sorted[at++] = MN_CONTAINER(entry, struct names_service, by_name);
    for (at = count / 2; at > 0; at--)
        names_sift(sorted, at - 1, count);
    for (at = count; at > 1; at--) {
        struct names_service *last = sorted[at - 1];
        sorted[at - 1] = sorted[0];
        sorted[0] = last;
        names_sift(sorted, 0, at - 1);
    }
    return sorted;
}

/* Finds out which listed tools, or prompts, share their plain name. */
static void names_mark_ambiguous(struct names *names, enum names_kind kind)
{
    struct mn_map plain;

    mn_map_init(&plain, names->seed);
    for (uint32_t i = 0; i < names->services.count; i++) {
        struct names_service *service = names->sorted[i];
        if (!service->is_listed) continue;
        for (uint32_t k = 0; k < service->counts[kind]; k++) {
            struct names_item *item = &service->items[kind][k], *other;
            struct mn_span name = names_plain(&names->scratch, item);
            struct mn_map_entry *entry = mn_map_find(&plain, name);
            item->is_ambiguous = entry != NULL || name.size > NAMES_TOOL_MAX;
            if (entry == NULL) {
                mn_map_insert(&plain, &item->by_exposed, name);
                continue;
            }
            other = MN_CONTAINER(entry, struct names_item, by_exposed);
            other->is_ambiguous = true;
        }
    }
    mn_map_done(&plain);
}

/* Gives [item] the first free one of its two names. False: both are taken. */
static bool names_expose(struct names *names, enum names_kind kind, struct names_item *item)
{
    struct mn_map *table = &names->tables[kind];
    struct mn_span name = names_plain(&names->arena, item);

    if (item->is_ambiguous || name.size > NAMES_TOOL_MAX || mn_map_find(table, name) != NULL)
        name = names_hashed(&names->arena, item, name);
    item->exposed = mn_span(NULL, 0);
    if (mn_map_find(table, name) != NULL) return false;
    item->exposed = name;
    mn_map_insert(table, &item->by_exposed, name);
    return true;
}

static void names_expose_all(struct names *names, enum names_kind kind, bool is_listed)
{
    for (uint32_t i = 0; i < names->services.count; i++) {
        struct names_service *service = names->sorted[i];
        if (service->is_listed != is_listed) continue;
        for (uint32_t k = 0; k < service->counts[kind]; k++) {
            struct names_item *item = &service->items[kind][k];
            if (!is_listed) item->is_ambiguous = false;
            if (names_expose(names, kind, item) && is_listed)
                names->listed[kind][names->listed_counts[kind]++] = item;
        }
    }
}

/* Enters a URI of a listed service; a second owner makes it ambiguous for both. */
static void names_own(struct names *names, enum names_kind kind, struct names_item *item)
{
    struct mn_map_entry *entry = mn_map_find(&names->tables[kind], item->own);

    item->is_ambiguous = entry != NULL;
    if (entry != NULL)
        MN_CONTAINER(entry, struct names_item, by_exposed)->is_ambiguous = true;
    else
        mn_map_insert(&names->tables[kind], &item->by_exposed, item->own);
}

/* Resources and templates. */
static void names_own_all(struct names *names, enum names_kind kind)
{
    for (uint32_t i = 0; i < names->services.count; i++) {
        struct names_service *service = names->sorted[i];
        if (!service->is_listed) continue;
        for (uint32_t k = 0; k < service->counts[kind]; k++) {
            names_own(names, kind, &service->items[kind][k]);
            names->listed[kind][names->listed_counts[kind]++] = &service->items[kind][k];
        }
    }
    for (uint32_t i = 0; i < names->listed_counts[kind]; i++) {
        struct names_item *item = names->listed[kind][i];
        item->exposed = item->own;
        if (item->is_ambiguous)
            item->exposed = mn_span_str(mn_arena_format(
                &names->arena, NAMES_URI_PREFIX "%.*s/%.*s", (int)item->service->name.size,
                (const char *)item->service->name.data, (int)item->own.size,
                (const char *)item->own.data));
    }
}

static void names_own_ui(struct names *names)
{
    for (uint32_t i = 0; i < names->services.count; i++) {
        const struct mn_map *map = &names->sorted[i]->by_own[NAMES_UI];
        if (!names->sorted[i]->is_listed) continue;
        for (struct mn_map_entry *entry = mn_map_next(map, NULL); entry != NULL;
             entry = mn_map_next(map, entry))
            names_own(names, NAMES_UI, MN_CONTAINER(entry, struct names_item, by_own));
    }
}

static void names_digest_listed(struct names *names, enum names_kind kind)
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    for (uint32_t i = 0; i < names->listed_counts[kind]; i++) {
        digest_variable(&digest, names->listed[kind][i]->exposed);
        digest_variable(&digest, names->listed[kind][i]->definition);
    }
    digest_end(&digest, names->digests[kind]);
}

static void names_rebuild(struct names *names, enum names_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < names->services.count; i++)
        count += names->sorted[i]->counts[kind];
    names->listed[kind] = mn_arena_alloc(&names->arena, count * sizeof *names->listed[kind]);
    if (kind == NAMES_TOOLS || kind == NAMES_PROMPTS) {
        names_mark_ambiguous(names, kind);
        names_expose_all(names, kind, true);
        names_expose_all(names, kind, false);
    } else {
        names_own_all(names, kind);
    }
    mn_arena_reset(&names->scratch);
    names_digest_listed(names, kind);
}

static void names_refresh(struct names *names)
{
    if (!names->is_stale) return;
    names_drop_tables(names);
    mn_arena_reset(&names->arena);
    names->sorted = names_sorted(names, &names->arena);
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        names_rebuild(names, (enum names_kind)kind);
    names_own_ui(names);
    names_drop_lists(names->lists);
    names->is_stale = false;
}

struct names_service *names_service(struct names *names, struct mn_span name)
{
    names_refresh(names);
    return names_service_find(names, name);
}

static struct names_item *names_exposed(struct names *names, enum names_kind kind,
                                        struct mn_span exposed)
{
    struct mn_map_entry *entry;

    names_refresh(names);
    entry = mn_map_find(&names->tables[kind], exposed);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_item, by_exposed);
}

struct names_item *names_tool(struct names *names, struct mn_span exposed)
{
    return names_exposed(names, NAMES_TOOLS, exposed);
}

struct names_item *names_prompt(struct names *names, struct mn_span exposed)
{
    return names_exposed(names, NAMES_PROMPTS, exposed);
}

uint32_t names_listed(struct names *names, enum names_kind kind, struct names_item ***ret)
{
    names_refresh(names);
    *ret = names->listed[kind];
    return names->listed_counts[kind];
}

struct names_item *names_service_item(struct names_service *service, enum names_kind kind,
                                      struct mn_span own)
{
    struct mn_map_entry *entry = mn_map_find(&service->by_own[kind], own);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_item, by_own);
}

void names_digest(struct names *names, struct mn_span service_name, enum names_kind kind,
                  uint8_t ret[NAMES_DIGEST_SIZE])
{
    struct names_service *service;

    names_refresh(names);
    if (service_name.size == 0) {
        memcpy(ret, names->digests[kind], NAMES_DIGEST_SIZE);
        return;
    }
    service = names_service_find(names, service_name);
    memset(ret, 0, NAMES_DIGEST_SIZE);
    if (service != NULL && !service->is_conflict)
        memcpy(ret, service->digests[kind], NAMES_DIGEST_SIZE);
}

uint32_t names_count(struct names *names, const struct names_service *service, enum names_kind kind)
{
    names_refresh(names);
    return service == NULL ? names->listed_counts[kind] : service->counts[kind];
}

static struct mn_buf *names_write(struct names *names, const struct names_service *service,
                                  enum names_kind kind, enum names_era era, uint32_t page)
{
    uint32_t count = names_count(names, service, kind);
    uint32_t first = page > count / NAMES_PAGE ? count : page * NAMES_PAGE;
    uint32_t end = count - first > NAMES_PAGE ? first + NAMES_PAGE : count;
    struct mn_writer writer = {0};

    mn_writer_format(&writer, "{\"%s\":[", kinds[kind].member);
    for (uint32_t i = first; i < end; i++) {
        const struct names_item *item =
            service == NULL ? names->listed[kind][i] : &service->items[kind][i];
        if (i > first) mn_writer_str(&writer, ",");
        names_offer_write(&writer, item, kind, service == NULL, era, names->parser,
                          &names->scratch);
    }
    mn_writer_str(&writer, "]");
    if (era == NAMES_MODERN)
        /* Nothing tells how long a list stays true; those who listen are told. */
        mn_writer_str(&writer, ",\"resultType\":\"complete\",\"ttlMs\":0,"
                               "\"cacheScope\":\"private\"");
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

struct mn_span names_list(struct names *names, struct names_service *service, enum names_kind kind,
                          enum names_era era, uint32_t page)
{
    struct mn_buf **list;

    names_refresh(names);
    if (page > 0) {
        mn_buf_unref(names->page);
        names->page = names_write(names, service, kind, era, page);
        return mn_buf_span(names->page);
    }
    list = service == NULL ? &names->lists[kind][era] : &service->lists[kind][era];
    if (*list == NULL) *list = names_write(names, service, kind, era, 0);
    return mn_buf_span(*list);
}
