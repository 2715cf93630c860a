#include "node/mcp/names/names.h"

#include "crypto/digest.h"
#include "node/mcp/names/names_held.h"
#include "node/mcp/names/names_list.h"
#include "node/mcp/names/names_offer.h"
#include "node/mcp/names/names_schema.h"
#include "node/mcp/names/names_view.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define HASH_SIZE 8 /* bytes drawn; the name shows the first half as 8 hex digits */
#define HASH_DIGITS 8
#define CUT_MAX (NAMES_TOOL_MAX - 1 - HASH_DIGITS)

_Static_assert(CUT_MAX == 55, "the rule in names.h, and in every node");

const char *names_key(enum names_kind kind)
{
    static const char *const keys[NAMES_LISTS] = {"name", "name", "uri", "uriTemplate"};

    return keys[kind];
}

void names_init(struct names *names, struct json_parser *parser, uint64_t seed)
{
    *names = (struct names){.parser = parser, .seed = seed};
    mn_map_init(&names->services, seed);
    mn_map_init(&names->views, seed);
    mn_map_init(&names->seen, seed);
    curation_init(&names->curation, seed);
    for (int kind = 0; kind < NAMES_KINDS; kind++)
        mn_map_init(&names->tables[kind], seed);
}

/* The tables point into services: they are emptied before one goes. */
static void names_drop_tables(struct names *names)
{
    names_view_forget(names);
    for (int kind = 0; kind < NAMES_KINDS; kind++) {
        mn_map_done(&names->tables[kind]);
        if (kind < NAMES_LISTS) names->listed_counts[kind] = 0;
    }
}

static void names_service_free(struct names *names, struct names_service *service)
{
    names_schema_forget(names, service);
    names_lists_drop(&service->lists);
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
    names_view_done(names);
    names_held_done(names);
    names_lists_drop(&names->lists);
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
    service->is_kept = change->is_kept;
    service->providers_count = change->providers_count;
    for (int kind = 0; kind < NAMES_KINDS; kind++)
        mn_map_init(&service->by_own[kind], names->seed);
    names->dropped_count += names_offer_load(service, change->body, names->parser, &names->scratch);
    memcpy(service->digest_all, service->digests[NAMES_TOOLS], NAMES_DIGEST_SIZE);
    mn_map_insert(&names->services, &service->by_name, service->name);
    names_held_notice(names, service);
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
struct mn_span names_hashed(struct mn_arena *arena, const struct names_item *tool)
{
    struct mn_span plain = names_plain(arena, tool);
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

/* Services in order of name. */
static struct names_service **names_sorted(const struct names *names, struct mn_arena *arena)
{
    struct mn_map_entry **entries = mn_map_sorted(&names->services);
    struct names_service **sorted =
        mn_arena_alloc(arena, names->services.count * sizeof(struct names_service *));

    for (uint32_t i = 0; i < names->services.count; i++)
        sorted[i] = MN_CONTAINER(entries[i], struct names_service, by_name);
    mn_free(entries);
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
        name = names_hashed(&names->arena, item);
    item->exposed = mn_span(NULL, 0);
    if (mn_map_find(table, name) != NULL) return false;
    item->exposed = name;
    for (uint32_t i = 0; i < item->variants_count; i++)
        item->variants[i].exposed = name;
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
            if (names_expose(names, kind, item) && is_listed && item->held == NAMES_FREE)
                names->listed[kind][names->listed_counts[kind]++] = item;
        }
    }
}

static bool names_is_mesh(const struct names_item *item)
{
    return mn_span_is(item->service->name, CALL_NAME_MESH);
}

static bool names_begins(struct mn_span uri, const char *prefix)
{
    size_t size = strlen(prefix);

    return uri.size >= size && memcmp(uri.data, prefix, size) == 0;
}

bool names_is_long(struct mn_span uri)
{
    return names_begins(uri, NAMES_URI_PREFIX) || names_begins(uri, NAMES_UI_PREFIX);
}

/* Enters a URI of a listed service. A second owner makes it ambiguous for both, except that what
 * the mesh itself lists stays the mesh's. A URI that looks like a long form is always ambiguous: it
 * leads to whom it names. Another mesh that is attached as a server has such. */
static void names_own(struct names *names, enum names_kind kind, struct names_item *item)
{
    struct mn_map_entry *entry = mn_map_find(&names->tables[kind], item->own);
    struct names_item *other = NULL;

    if (entry != NULL) other = MN_CONTAINER(entry, struct names_item, by_exposed);
    item->is_ambiguous = names_is_long(item->own) || (other != NULL && !names_is_mesh(item));
    if (other != NULL && !names_is_mesh(other)) other->is_ambiguous = true;
    if (other != NULL && !names_is_mesh(item)) return;
    if (other != NULL) mn_map_remove(&names->tables[kind], entry);
    mn_map_insert(&names->tables[kind], &item->by_exposed, item->own);
}

struct mn_span names_long_uri(struct mn_arena *arena, struct mn_span service, struct mn_span uri)
{
    bool is_ui = uri.size > 5 && memcmp(uri.data, "ui://", 5) == 0;

    return mn_span_str(mn_arena_format(
        arena, "%s%.*s/%.*s", is_ui ? NAMES_UI_PREFIX : NAMES_URI_PREFIX, (int)service.size,
        (const char *)service.data, (int)uri.size, (const char *)uri.data));
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
            item->exposed = names_long_uri(&names->arena, item->service->name, item->own);
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
    names->relevant[kind] = (struct audience_relevant){0};
    for (uint32_t i = 0; i < names->listed_counts[kind]; i++) {
        const struct names_item *item = names->listed[kind][i];
        digest_variable(&digest, item->exposed);
        digest_variable(&digest, item->definition);
        names_add_relevant(&names->relevant[kind], item);
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
    for (uint32_t i = 0; i < names->services.count; i++)
        if (names_held_judge(names, names->sorted[i])) names_lists_drop(&names->sorted[i]->lists);
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        names_rebuild(names, (enum names_kind)kind);
    names_own_ui(names);
    names_lists_drop(&names->lists);
    names->guess.scheme_size = 0;
    names->is_stale = false;
}

struct names_service *names_service(struct names *names, struct mn_span name)
{
    names_refresh(names);
    return names_service_find(names, name);
}

const struct names_service *names_offered(const struct names *names, struct mn_span name)
{
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

struct names_item *names_tool_of(struct names *names, struct mn_span service, struct mn_span tool)
{
    struct names_service *found = names_service(names, service);
    return found == NULL ? NULL : names_service_item(found, NAMES_TOOLS, tool);
}
