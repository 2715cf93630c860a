#include "node/mcp/names/names_view.h"

#include "crypto/digest.h"
#include "node/mcp/names/names_list.h"
#include "node/mcp/wire/effort.h"
#include "node/mcp/wire/uritemplate.h"
#include "proto/base/check.h"

/* ---- lives ---- */

static void view_forget(struct names_view *view)
{
    for (int kind = 0; kind < NAMES_RESOURCES; kind++)
        mn_map_done(&view->tables[kind]);
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        view->counts[kind] = 0;
    names_lists_drop(&view->lists);
    view->all_count = 0;
    mn_arena_reset(&view->arena);
    view->is_built = false;
}

void names_view_forget(struct names *names)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&names->views, entry)) != NULL)
        view_forget(MN_CONTAINER(entry, struct names_view, by_name));
}

void names_view_done(struct names *names)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&names->views, NULL)) != NULL) {
        struct names_view *view = MN_CONTAINER(entry, struct names_view, by_name);
        mn_map_remove(&names->views, entry);
        view_forget(view);
        mn_arena_done(&view->arena);
        mn_free(view);
    }
    mn_map_done(&names->views);
}

/* ---- choosing ---- */

/* What a build of a view needs beside it. */
struct choice {
    struct names *names;
    struct names_view *view;
    enum names_kind kind;
    struct names_row *rows; /* room for all items of the kind */
    uint32_t count;
    struct mn_map reserved; /* names that entries give */
};

static bool has_star(struct mn_span pattern)
{
    return memchr(pattern.data, '*', pattern.size) != NULL;
}

static enum curation_kind wish_kind(enum names_kind kind)
{
    if (kind == NAMES_TOOLS) return CURATION_TOOLS;
    return kind == NAMES_PROMPTS ? CURATION_PROMPTS : CURATION_RESOURCES;
}

static bool is_reserved(const struct choice *choice, struct mn_span name)
{
    return mn_map_find(&choice->reserved, name) != NULL ||
           mn_map_find(&choice->view->tables[choice->kind], name) != NULL;
}

/* What an item is called that no entry names. Empty: all its names are taken. */
static struct mn_span exposed_of(struct choice *choice, struct names_item *item)
{
    struct mn_span name = item->exposed;

    if (choice->kind > NAMES_PROMPTS) {
        if (item->service->is_listed) return name;
        return names_long_uri(&choice->view->arena, item->service->name, item->own);
    }
    if (name.size == 0 || is_reserved(choice, name))
        name = names_hashed(&choice->view->arena, item);
    return is_reserved(choice, name) ? mn_span(NULL, 0) : name;
}

static void choose_item(struct choice *choice, const struct curation_entry *entry,
                        struct names_item *item)
{
    struct names_row *row = &choice->rows[choice->count];
    struct mn_span name = entry->as;

    /* An entry that names the item itself has been here before the patterns. */
    if (entry->as.size == 0 && item->chosen == choice->names->choices_count) return;
    item->chosen = choice->names->choices_count;
    if (name.size == 0) name = exposed_of(choice, item);
    if (name.size == 0) return;
    *row = (struct names_row){.item = item, .exposed = name};
    if (choice->kind <= NAMES_PROMPTS)
        mn_map_insert(&choice->view->tables[choice->kind], &row->by_exposed, name);
    choice->count++;
}

static void choose_in_service(struct choice *choice, const struct curation_entry *entry,
                              struct names_service *service)
{
    struct names_item *item;

    if (!has_star(entry->item)) {
        item = names_service_item(service, choice->kind, entry->item);
        if (item != NULL) choose_item(choice, entry, item);
        return;
    }
    for (uint32_t i = 0; i < service->counts[choice->kind]; i++) {
        item = &service->items[choice->kind][i];
        if (curation_fits(entry->item, item->own)) choose_item(choice, entry, item);
    }
}

/* A pattern finds only servers that are listed; one that is named is enough. */
static void choose_by(struct choice *choice, const struct curation_entry *entry)
{
    struct names_service *service;

    if (!has_star(entry->server)) {
        service = names_service(choice->names, entry->server);
        if (service != NULL && !service->is_conflict) choose_in_service(choice, entry, service);
        return;
    }
    for (uint32_t i = 0; i < choice->names->services.count; i++) {
        service = choice->names->sorted[i];
        if (service->is_listed && curation_fits(entry->server, service->name))
            choose_in_service(choice, entry, service);
    }
}

/* The names that entries give, and the items that have them already. */
static void reserve(struct choice *choice)
{
    const struct curation_view *wish = choice->view->wish;
    enum curation_kind kind = wish_kind(choice->kind);

    mn_map_init(&choice->reserved, choice->names->seed);
    for (uint32_t i = 0; i < wish->counts[kind]; i++) {
        const struct curation_entry *entry = &wish->entries[kind][i];
        struct names_service *service;
        struct names_item *item;
        struct mn_map_entry *place;
        if (entry->as.size == 0) continue;
        place = mn_arena_alloc(&choice->view->arena, sizeof *place);
        mn_map_insert(&choice->reserved, place, entry->as);
        service = names_service(choice->names, entry->server);
        item = service == NULL || service->is_conflict
                   ? NULL
                   : names_service_item(service, choice->kind, entry->item);
        if (item != NULL) item->chosen = choice->names->choices_count;
    }
}

static uint32_t count_all(const struct names *names, enum names_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < names->services.count; i++)
        count += names->sorted[i]->counts[kind];
    return count;
}

/* ---- building ---- */

/* The two tools that find and call all others. */
static uint32_t small_surface(struct names *names, struct names_row *rows)
{
    static const char *const wanted[] = {NAMES_FIND, NAMES_CALL};
    uint32_t count = 0;

    for (int i = 0; i < 2; i++) {
        struct names_item *item =
            names_tool_of(names, mn_span_str(CALL_NAME_MESH), mn_span_str(wanted[i]));
        if (item != NULL) rows[count++] = (struct names_row){.item = item, .exposed = item->own};
    }
    return count;
}

static void digest_rows(struct names_view *view, enum names_kind kind)
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    digest_variable(&digest, view->wish->name); /* so that no view has the digest zero */
    view->relevant[kind] = (struct audience_relevant){0};
    for (uint32_t i = 0; i < view->counts[kind]; i++) {
        const struct names_row *row = &view->rows[kind][i];
        digest_variable(&digest, row->exposed);
        digest_variable(&digest, row->item->definition);
        names_add_relevant(&view->relevant[kind], row->item);
    }
    digest_end(&digest, view->digests[kind]);
}

/* Held tools keep their place in the table, but are in no list. */
static void keep_listed(struct names_view *view, struct choice *choice)
{
    struct names_row *listed = mn_arena_alloc(&view->arena, (choice->count + 2) * sizeof *listed);
    uint32_t count = 0;

    for (uint32_t i = 0; i < choice->count; i++)
        if (choice->rows[i].item->held == NAMES_FREE)
            listed[count++] = (struct names_row){.item = choice->rows[i].item,
                                                 .exposed = choice->rows[i].exposed};
    if (choice->kind == NAMES_TOOLS) {
        view->all = listed;
        view->all_count = count;
        if (view->wish->is_small) {
            listed = mn_arena_alloc(&view->arena, 2 * sizeof *listed);
            count = small_surface(choice->names, listed);
        }
    }
    view->rows[choice->kind] = listed;
    view->counts[choice->kind] = count;
}

static void build_kind(struct names *names, struct names_view *view, enum names_kind kind)
{
    const struct curation_view *wish = view->wish;
    struct choice choice = {.names = names, .view = view, .kind = kind};

    names->choices_count++;
    choice.rows = mn_arena_alloc(&view->arena, count_all(names, kind) * sizeof *choice.rows);
    reserve(&choice);
    for (uint32_t i = 0; i < wish->counts[wish_kind(kind)]; i++)
        choose_by(&choice, &wish->entries[wish_kind(kind)][i]);
    mn_map_done(&choice.reserved);
    keep_listed(view, &choice);
    digest_rows(view, kind);
}

struct names_view *names_view(struct names *names, struct mn_span name)
{
    const struct curation_view *wish = curation_view(&names->curation, name);
    struct mn_map_entry *entry;
    struct names_view *view;

    if (wish == NULL) return NULL;
    names_service(names, name); /* brings the tables up to date */
    entry = mn_map_find(&names->views, name);
    if (entry != NULL) {
        view = MN_CONTAINER(entry, struct names_view, by_name);
    } else {
        view = mn_alloc(sizeof *view);
        view->wish = wish;
        for (int kind = 0; kind < NAMES_RESOURCES; kind++)
            mn_map_init(&view->tables[kind], names->seed);
        mn_map_insert(&names->views, &view->by_name, wish->name);
    }
    MN_ASSERT(view->wish == wish);
    for (int kind = 0; kind < NAMES_LISTS && !view->is_built; kind++)
        build_kind(names, view, (enum names_kind)kind);
    view->is_built = true;
    return view;
}

/* ---- looking ---- */

static struct names_row *view_find(struct names_view *view, enum names_kind kind,
                                   struct mn_span exposed)
{
    struct mn_map_entry *entry = mn_map_find(&view->tables[kind], exposed);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_row, by_exposed);
}

struct names_row *names_view_tool(struct names_view *view, struct mn_span exposed)
{
    struct names_row *row = view_find(view, NAMES_TOOLS, exposed);

    for (uint32_t i = 0; row == NULL && i < view->counts[NAMES_TOOLS]; i++) /* a small surface */
        if (view->wish->is_small && mn_span_equal(view->rows[NAMES_TOOLS][i].exposed, exposed))
            row = &view->rows[NAMES_TOOLS][i];
    return row;
}

struct names_row *names_view_prompt(struct names_view *view, struct mn_span exposed)
{
    return view_find(view, NAMES_PROMPTS, exposed);
}

static bool has_ui(const struct names_item *tool, struct mn_span uri)
{
    for (uint32_t i = 0; i < tool->variants_count; i++)
        if (mn_span_equal(tool->variants[i].ui, uri)) return true;
    return mn_span_equal(tool->ui, uri);
}

bool names_view_allows(const struct names_view *view, const struct names_service *service,
                       struct mn_span own, size_t *effort)
{
    uint32_t literals;

    effort_take(effort, view->wish->counts[CURATION_RESOURCES]);
    if (curation_match(view->wish, CURATION_RESOURCES, service->name, own) != NULL) return true;
    for (uint32_t i = 0; i < view->counts[NAMES_TEMPLATES] && effort_take(effort, 1); i++) {
        const struct names_item *item = view->rows[NAMES_TEMPLATES][i].item;
        if (item->service == service && uritemplate_match(item->own, own, &literals, effort))
            return true;
    }
    for (uint32_t i = 0; i < view->all_count && own.size > 0 && effort_take(effort, 1); i++)
        if (view->all[i].item->service == service && has_ui(view->all[i].item, own)) return true;
    return false;
}

uint32_t names_view_tools(struct names_view *view, const struct names_row **ret)
{
    *ret = view->all;
    return view->all_count;
}
