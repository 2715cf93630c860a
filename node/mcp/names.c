#include "node/mcp/names.h"

#include "crypto/digest.h"
#include "node/mcp/names_offer.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define HASH_SIZE 8 /* bytes drawn; the name shows the first half as 8 hex digits */
#define HASH_DIGITS 8
#define CUT_MAX (NAMES_TOOL_MAX - 1 - HASH_DIGITS)

_Static_assert(CUT_MAX == 55, "the rule in names.h, and in every node");

void names_init(struct names *names, struct json_parser *parser, uint64_t seed)
{
    *names = (struct names){.parser = parser, .seed = seed};
    mn_map_init(&names->services, seed);
    mn_map_init(&names->tools, seed);
}

static void names_drop_lists(struct mn_buf *lists[NAMES_ERAS])
{
    for (int era = 0; era < NAMES_ERAS; era++)
        lists[era] = mn_buf_unref(lists[era]);
}

static void names_service_free(struct names_service *service)
{
    names_drop_lists(service->lists);
    mn_map_done(&service->tools_by_own);
    mn_arena_done(&service->params_arena);
    mn_free(service->tools);
    mn_free(service);
}

void names_done(struct names *names)
{
    struct mn_map_entry *entry = NULL;

    mn_map_done(&names->tools);
    while ((entry = mn_map_next(&names->services, NULL)) != NULL) {
        mn_map_remove(&names->services, entry);
        names_service_free(MN_CONTAINER(entry, struct names_service, by_name));
    }
    mn_map_done(&names->services);
    names_drop_lists(names->lists);
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
    /* The table points into the service: empty it before the service goes. */
    mn_map_done(&names->tools);
    names->listed_count = 0;
    mn_map_remove(&names->services, &service->by_name);
    names_service_free(service);
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
    mn_map_init(&service->tools_by_own, names->seed);
    names->dropped_count += names_offer_load(service, change->body, names->parser, &names->scratch);
    mn_map_insert(&names->services, &service->by_name, service->name);
}

static bool names_is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* server__tool with only allowed characters; of any length. */
static struct mn_span names_plain(struct mn_arena *arena, const struct names_tool *tool)
{
    struct mn_span service = tool->service->name;
    size_t size = service.size + 2 + tool->own.size;
    uint8_t *text = mn_arena_alloc(arena, size);

    memcpy(text, service.data, service.size);
    memcpy(text + service.size, "__", 2);
    memcpy(text + service.size + 2, tool->own.data, tool->own.size);
    for (size_t i = 0; i < size; i++)
        if (!names_is_plain(text[i])) text[i] = '_';
    return mn_span(text, size);
}

/* The form for names that are too long or not unique. */
static struct mn_span names_hashed(struct mn_arena *arena, const struct names_tool *tool,
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

/* Finds out which listed tools share their plain name. */
static void names_mark_ambiguous(struct names *names, struct names_service **sorted)
{
    struct mn_map plain;

    mn_map_init(&plain, names->seed);
    for (uint32_t i = 0; i < names->services.count; i++) {
        if (!sorted[i]->is_listed) continue;
        for (uint32_t k = 0; k < sorted[i]->tools_count; k++) {
            struct names_tool *tool = &sorted[i]->tools[k], *other;
            struct mn_span name = names_plain(&names->scratch, tool);
            struct mn_map_entry *entry = mn_map_find(&plain, name);
            tool->is_ambiguous = entry != NULL || name.size > NAMES_TOOL_MAX;
            if (entry == NULL) {
                mn_map_insert(&plain, &tool->by_exposed, name);
                continue;
            }
            other = MN_CONTAINER(entry, struct names_tool, by_exposed);
            other->is_ambiguous = true;
        }
    }
    mn_map_done(&plain);
}

/* Gives [tool] the first free one of its two names. False: both are taken. */
static bool names_expose(struct names *names, struct names_tool *tool)
{
    struct mn_span name = names_plain(&names->arena, tool);

    if (tool->is_ambiguous || name.size > NAMES_TOOL_MAX ||
        mn_map_find(&names->tools, name) != NULL)
        name = names_hashed(&names->arena, tool, name);
    tool->exposed = mn_span(NULL, 0);
    if (mn_map_find(&names->tools, name) != NULL) return false;
    tool->exposed = name;
    mn_map_insert(&names->tools, &tool->by_exposed, name);
    return true;
}

static void names_expose_all(struct names *names, struct names_service **sorted, bool is_listed)
{
    for (uint32_t i = 0; i < names->services.count; i++) {
        if (sorted[i]->is_listed != is_listed) continue;
        for (uint32_t k = 0; k < sorted[i]->tools_count; k++) {
            struct names_tool *tool = &sorted[i]->tools[k];
            if (!is_listed) tool->is_ambiguous = false;
            if (names_expose(names, tool) && is_listed) names->listed[names->listed_count++] = tool;
        }
    }
}

static void names_digest_listed(struct names *names)
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    for (uint32_t i = 0; i < names->listed_count; i++) {
        digest_variable(&digest, names->listed[i]->exposed);
        digest_variable(&digest, names->listed[i]->definition);
    }
    digest_end(&digest, names->digest);
}

static void names_refresh(struct names *names)
{
    struct names_service **sorted;
    uint32_t count = 0;

    if (!names->is_stale) return;
    mn_map_done(&names->tools);
    mn_arena_reset(&names->arena);
    sorted = names_sorted(names, &names->scratch);
    for (uint32_t i = 0; i < names->services.count; i++)
        count += sorted[i]->tools_count;
    names->listed = mn_arena_alloc(&names->arena, count * sizeof *names->listed);
    names->listed_count = 0;
    names_mark_ambiguous(names, sorted);
    names_expose_all(names, sorted, true);
    names_expose_all(names, sorted, false);
    mn_arena_reset(&names->scratch);
    names_digest_listed(names);
    names_drop_lists(names->lists);
    names->is_stale = false;
}

struct names_service *names_service(struct names *names, struct mn_span name)
{
    names_refresh(names);
    return names_service_find(names, name);
}

struct names_tool *names_tool(struct names *names, struct mn_span exposed)
{
    struct mn_map_entry *entry;

    names_refresh(names);
    entry = mn_map_find(&names->tools, exposed);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_tool, by_exposed);
}

uint32_t names_listed(struct names *names, struct names_tool ***ret)
{
    names_refresh(names);
    *ret = names->listed;
    return names->listed_count;
}

struct names_tool *names_service_tool(struct names_service *service, struct mn_span own)
{
    struct mn_map_entry *entry = mn_map_find(&service->tools_by_own, own);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_tool, by_own);
}

void names_digest(struct names *names, struct mn_span service_name, uint8_t ret[NAMES_DIGEST_SIZE])
{
    struct names_service *service;

    names_refresh(names);
    if (service_name.size == 0) {
        memcpy(ret, names->digest, NAMES_DIGEST_SIZE);
        return;
    }
    service = names_service_find(names, service_name);
    memset(ret, 0, NAMES_DIGEST_SIZE);
    if (service != NULL && !service->is_conflict) memcpy(ret, service->digest, NAMES_DIGEST_SIZE);
}

struct mn_span names_list(struct names *names, struct names_service *service, enum names_era era)
{
    struct mn_buf **list;
    struct mn_writer writer = {0};

    names_refresh(names);
    list = service == NULL ? &names->lists[era] : &service->lists[era];
    if (*list == NULL) {
        mn_writer_str(&writer, "{\"tools\":[");
        for (uint32_t i = 0; service == NULL && i < names->listed_count; i++)
            names_offer_write(&writer, names->listed[i], true, era, i == 0, names->parser,
                              &names->scratch);
        for (uint32_t i = 0; service != NULL && i < service->tools_count; i++)
            names_offer_write(&writer, &service->tools[i], false, era, i == 0, names->parser,
                              &names->scratch);
        mn_writer_str(&writer, "]");
        if (era == NAMES_MODERN)
            /* Nothing tells how long a list stays true; those who listen are told. */
            mn_writer_str(&writer, ",\"resultType\":\"complete\",\"ttlMs\":0,"
                                   "\"cacheScope\":\"private\"");
        mn_writer_str(&writer, "}");
        *list = mn_writer_done(&writer);
    }
    return mn_buf_span(*list);
}
