#include "node/mcp/names/names_list.h"

#include "crypto/digest.h"
#include "node/mcp/names/names_offer.h"
#include "node/mcp/names/names_view.h"
#include "proto/base/check.h"

/* ---- lives ---- */

static struct names_shown *names_shown_new(const struct audience_client *client, uint32_t count)
{
    struct names_shown *shown = mn_alloc(sizeof *shown + count * sizeof *shown->indexes);

    shown->client = *client;
    shown->indexes = (uint32_t *)(void *)(shown + 1);
    return shown;
}

static void names_shown_free(struct names_shown *shown)
{
    for (int era = 0; era < NAMES_ERAS; era++)
        mn_buf_unref(shown->lists[era]);
    mn_free(shown);
}

void names_lists_drop(struct names_lists *lists)
{
    for (int kind = 0; kind < NAMES_LISTS; kind++) {
        for (int era = 0; era < NAMES_ERAS; era++)
            lists->first[kind][era] = mn_buf_unref(lists->first[kind][era]);
        while (lists->shown[kind] != NULL) {
            struct names_shown *next = lists->shown[kind]->next;
            names_shown_free(lists->shown[kind]);
            lists->shown[kind] = next;
        }
    }
}

/* ---- whom it is shown to ---- */

void names_add_relevant(struct audience_relevant *relevant, const struct names_item *item)
{
    audience_add_relevant(relevant, &item->audience);
    for (uint32_t i = 0; i < item->variants_count; i++)
        audience_add_relevant(relevant, &item->variants[i].audience);
}

struct names_item *names_as_seen(struct names_item *item, const struct audience_client *client)
{
    for (uint32_t i = 0; i < item->variants_count; i++)
        if (audience_shows(&item->variants[i].audience, client)) return &item->variants[i];
    return item;
}

static void names_bring_up_to_date(struct names *names)
{
    names_service(names, mn_span(NULL, 0));
}

/* Of all items, whoever they are shown to. */
static uint32_t names_count_all(const struct names *names, struct names_endpoint at,
                                enum names_kind kind)
{
    if (at.view != NULL) return at.view->counts[kind];
    if (at.service == NULL) return names->listed_counts[kind];
    if (kind == NAMES_TOOLS && at.service->shown != NULL) return at.service->shown_count;
    return at.service->counts[kind];
}

/* The item at a place of the list of all, and what it is called there. */
static struct names_item *names_at(const struct names *names, struct names_endpoint at,
                                   enum names_kind kind, uint32_t index, struct mn_span *exposed)
{
    *exposed = mn_span(NULL, 0); /* its own name */
    if (at.service != NULL)
        return kind == NAMES_TOOLS && at.service->shown != NULL ? at.service->shown[index]
                                                                : &at.service->items[kind][index];
    if (at.view != NULL) {
        *exposed = at.view->rows[kind][index].exposed;
        return at.view->rows[kind][index].item;
    }
    *exposed = names->listed[kind][index]->exposed;
    return names->listed[kind][index];
}

/* The same digest as if what is not shown did not exist. */
static void names_shown_digest(const struct names *names, struct names_endpoint at,
                               enum names_kind kind, struct names_shown *shown)
{
    struct digest digest;

    if (at.service != NULL && shown->count == 0) return; /* as names_offer.c does */
    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    if (at.service != NULL) digest_variable(&digest, at.service->name);
    if (at.view != NULL) digest_variable(&digest, at.view->wish->name);
    for (uint32_t i = 0; i < shown->count; i++) {
        struct mn_span exposed;
        struct names_item *item = names_at(names, at, kind, shown->indexes[i], &exposed);
        if (at.service == NULL) digest_variable(&digest, exposed);
        digest_variable(&digest, names_as_seen(item, &shown->client)->definition);
    }
    digest_end(&digest, shown->digest);
}

static struct names_shown *names_shown_make(const struct names *names, struct names_endpoint at,
                                            enum names_kind kind,
                                            const struct audience_client *client)
{
    uint32_t count = names_count_all(names, at, kind);
    struct names_shown *shown = names_shown_new(client, count);

    for (uint32_t i = 0; i < count; i++) {
        struct mn_span exposed;
        if (audience_shows(&names_at(names, at, kind, i, &exposed)->audience, client))
            shown->indexes[shown->count++] = i;
    }
    names_shown_digest(names, at, kind, shown);
    return shown;
}

/* Clients may declare what they like: of what is kept for one of them, there is an end. */
static void names_shown_add(struct names_shown **list, struct names_shown *shown)
{
    uint32_t count = 1;

    shown->next = *list;
    *list = shown;
    while (shown->next != NULL) {
        if (++count > NAMES_SHOWN_MAX) {
            MN_ASSERT(shown->next->next == NULL);
            names_shown_free(shown->next);
            shown->next = NULL;
            return;
        }
        shown = shown->next;
    }
}

static struct names_shown *names_shown(struct names *names, struct names_endpoint at,
                                       enum names_kind kind)
{
    struct names_lists *lists = at.service != NULL ? &at.service->lists
                                : at.view != NULL  ? &at.view->lists
                                                   : &names->lists;
    const struct audience_relevant *relevant = at.service != NULL ? &at.service->relevant[kind]
                                               : at.view != NULL  ? &at.view->relevant[kind]
                                                                  : &names->relevant[kind];
    struct names_shown *shown = lists->shown[kind];
    struct audience_client client;

    if (!relevant->is_any) return NULL;
    client = audience_part(&at.client, relevant);
    while (shown != NULL && !audience_is_equal(&shown->client, &client))
        shown = shown->next;
    if (shown == NULL) {
        shown = names_shown_make(names, at, kind, &client);
        names_shown_add(&lists->shown[kind], shown);
    }
    return shown;
}

void names_digest(struct names *names, struct mn_span endpoint,
                  const struct audience_client *client, enum names_kind kind,
                  uint8_t ret[NAMES_DIGEST_SIZE])
{
    const size_t prefix = sizeof NAMES_VIEW_PREFIX - 1;
    struct names_endpoint at = {.client = *client};
    struct names_service *service = names_service(names, endpoint);
    const struct names_shown *shown;
    const uint8_t *digest = names->digests[kind];

    memset(ret, 0, NAMES_DIGEST_SIZE);
    if (endpoint.size > prefix && memcmp(endpoint.data, NAMES_VIEW_PREFIX, prefix) == 0) {
        at.view = names_view(names, mn_span(endpoint.data + prefix, endpoint.size - prefix));
        if (at.view == NULL) return;
        digest = at.view->digests[kind];
    } else if (endpoint.size > 0) {
        if (service == NULL || service->is_conflict) return;
        at.service = service;
        digest = service->digests[kind];
    }
    shown = names_shown(names, at, kind);
    memcpy(ret, shown == NULL ? digest : shown->digest, NAMES_DIGEST_SIZE);
}

/* ---- pages ---- */

uint32_t names_count(struct names *names, struct names_endpoint at, enum names_kind kind)
{
    const struct names_shown *shown;

    names_bring_up_to_date(names);
    shown = names_shown(names, at, kind);
    return shown == NULL ? names_count_all(names, at, kind) : shown->count;
}

static const char *names_member(enum names_kind kind)
{
    static const char *const members[NAMES_LISTS] = {"tools", "prompts", "resources",
                                                     "resourceTemplates"};

    return members[kind];
}

static void names_write_member(struct mn_writer *writer, const struct json *key, const char *before)
{
    mn_writer_str(writer, before);
    mn_writer_add(writer, key->raw);
    mn_writer_str(writer, ":");
    mn_writer_add(writer, json_value(key)->raw);
}

/* _meta as legacy clients know it: who answers, they were told once. */
static void names_write_legacy_meta(struct mn_writer *writer, const struct json *key)
{
    const struct json *meta = json_value(key);
    const char *before = ",\"_meta\":{";

    if (!json_is(meta, JSON_OBJECT)) {
        names_write_member(writer, key, ",");
        return;
    }
    for (const struct json *one = json_first(meta); one != NULL; one = json_next(meta, one)) {
        if (mn_span_is(one->text, "io.modelcontextprotocol/serverInfo")) continue;
        names_write_member(writer, one, before);
        before = ",";
    }
    if (strcmp(before, ",") == 0) mn_writer_str(writer, "}");
}

/* What a server says of its list beside the items. */
static void names_write_said(struct names *names, struct mn_writer *writer, struct mn_span said,
                             enum names_era era)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *all;
    mn_status status = json_parse_copy(names->parser, said, limits, &names->scratch, &all);

    MN_ASSERT(status == MN_OK); /* names_offer_load() has seen it */
    for (const struct json *key = json_first(all); key != NULL; key = json_next(all, key)) {
        if (era == NAMES_LEGACY && mn_span_is(key->text, "_meta"))
            names_write_legacy_meta(writer, key);
        else
            names_write_member(writer, key, ",");
    }
    mn_arena_reset(&names->scratch);
}

static struct mn_buf *names_write(struct names *names, struct names_endpoint at,
                                  const struct names_shown *shown, enum names_kind kind,
                                  enum names_era era, uint32_t page)
{
    uint32_t count = shown == NULL ? names_count_all(names, at, kind) : shown->count;
    uint32_t first = page > count / NAMES_PAGE ? count : page * NAMES_PAGE;
    uint32_t end = count - first > NAMES_PAGE ? first + NAMES_PAGE : count;
    struct mn_writer writer = {0};

    mn_writer_format(&writer, "{\"%s\":[", names_member(kind));
    for (uint32_t i = first; i < end; i++) {
        uint32_t index = shown == NULL ? i : shown->indexes[i];
        struct mn_span exposed;
        struct names_item *item = names_at(names, at, kind, index, &exposed);
        if (shown != NULL) item = names_as_seen(item, &shown->client);
        if (i > first) mn_writer_str(&writer, ",");
        names_offer_write(&writer, names, item, kind, exposed, era);
    }
    mn_writer_str(&writer, "]");
    if (era == NAMES_MODERN)
        /* Nothing tells how long a list stays true; those who listen are told. */
        mn_writer_str(&writer, ",\"resultType\":\"complete\",\"ttlMs\":0,"
                               "\"cacheScope\":\"private\"");
    if (at.service != NULL && at.service->about_lists[kind].size > 0)
        names_write_said(names, &writer, at.service->about_lists[kind], era);
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

struct mn_span names_list(struct names *names, struct names_endpoint at, enum names_kind kind,
                          enum names_era era, uint32_t page)
{
    struct mn_buf **list = &names->lists.first[kind][era];
    struct names_shown *shown;

    names_bring_up_to_date(names);
    shown = names_shown(names, at, kind);
    if (page > 0) {
        mn_buf_unref(names->page);
        names->page = names_write(names, at, shown, kind, era, page);
        return mn_buf_span(names->page);
    }
    if (at.service != NULL) list = &at.service->lists.first[kind][era];
    if (at.view != NULL) list = &at.view->lists.first[kind][era];
    if (shown != NULL) list = &shown->lists[era];
    if (*list == NULL) *list = names_write(names, at, shown, kind, era, 0);
    return mn_buf_span(*list);
}
