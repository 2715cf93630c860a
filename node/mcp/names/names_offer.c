#include "node/mcp/names/names_offer.h"

#include "crypto/digest.h"
#include "node/mcp/names/names_list.h"
#include "node/mcp/wire/result.h"
#include "node/mcp/wire/trail.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define NAMED_MAX 64u     /* extensions that an offer may name; more are none */
#define OWN_NAME_MAX 4096 /* bytes of a name, URI or template */
#define UI_PREFIX "ui://"
#define VARIANTS_MAX 8 /* of one item; more are dropped and counted */

static const struct json_limits kept_shallow = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
static const struct json_limits kept_all = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

static bool names_offer_mentions(struct mn_span text, const char *word)
{
    size_t size = strlen(word);
    const uint8_t *at = text.data, *end = text.data + text.size;

    while ((size_t)(end - at) >= size) {
        at = memchr(at, word[0], (size_t)(end - at) - size + 1);
        if (at == NULL) return false;
        if (memcmp(at, word, size) == 0) return true;
        at++;
    }
    return false;
}

/* The arguments a modern client repeats in headers. A schema that breaks the rules for them has
 * none here: such a tool is unusable over HTTP for clients that mind, and plain for the others. */
static void names_offer_params(struct names_service *service, struct names_item *tool,
                               struct json_parser *parser, struct mn_arena *scratch)
{
    const struct json *definition;
    struct param_headers params;

    if (!names_offer_mentions(tool->definition, "x-mcp-header")) return;
    if (json_parse_copy(parser, tool->definition, kept_all, scratch, &definition) != MN_OK) return;
    if (param_headers_params(json_find_str(definition, "inputSchema"), &service->arena, &params) ==
        MN_OK)
        tool->params = params;
}

/* A copy at the front of the service's block. */
static struct mn_span names_offer_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

/* The resource that a tool names as its user interface (MCP Apps) need not be listed: whoever reads
 * it is led to the server of the tool. */
static void names_offer_ui(struct names_service *service, struct names_item *tool,
                           struct json_parser *parser, struct mn_arena *scratch)
{
    const struct json *definition, *meta, *uri;
    struct names_item *item;

    if (!names_offer_mentions(tool->definition, UI_PREFIX)) return;
    if (json_parse_copy(parser, tool->definition, kept_all, scratch, &definition) != MN_OK) return;
    meta = json_find_str(definition, "_meta");
    uri = json_find_str(json_find_str(meta, "ui"), "resourceUri");
    if (uri == NULL) uri = json_find_str(meta, "ui/resourceUri");
    if (json_text(uri).size == 0 || json_text(uri).size > OWN_NAME_MAX) return;
    item = names_service_item(service, NAMES_UI, uri->text);
    if (item == NULL) {
        item = mn_arena_alloc(&service->arena, sizeof *item);
        *item = (struct names_item){.service = service,
                                    .own = mn_arena_copy(&service->arena, uri->text)};
        mn_map_insert(&service->by_own[NAMES_UI], &item->by_own, item->own);
    }
    tool->ui = item->own;
}

static bool names_offer_is_item(enum names_kind kind, struct mn_span own, struct mn_span text,
                                struct json_parser *parser, struct mn_arena *scratch)
{
    const char *names[] = {names_key(kind), "inputSchema"};
    const struct json *definition, *parts[2];

    if (json_parse_copy(parser, text, kept_shallow, scratch, &definition) != MN_OK) return false;
    if (definition->type != JSON_OBJECT) return false;
    if (json_pick(definition, names, 2, parts) != MN_OK) return false;
    if (own.size == 0 || own.size > OWN_NAME_MAX) return false;
    if (!json_is(parts[0], JSON_STRING) || !mn_span_equal(parts[0]->text, own)) return false;
    return kind != NAMES_TOOLS || json_is(parts[1], JSON_OBJECT);
}

/* What an offer says of whom an item is shown to. */
struct shown {
    uint64_t audience;
    Meshnode__Gateway__With *const *with;
    size_t with_count;
};

/* The extensions that an offer names, once for all its items. Those that no server of an honest
 * member has are none. */
static void names_offer_extensions(struct names_service *service,
                                   const Meshnode__Gateway__Offer *offer)
{
    uint32_t count = offer->n_extensions < NAMED_MAX ? (uint32_t)offer->n_extensions : NAMED_MAX;

    service->extensions = mn_arena_alloc(&service->arena, count * sizeof *service->extensions);
    service->extensions_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct mn_span name = pb_text(offer->extensions[i]);
        if (name.size > AUDIENCE_TEXT_MAX) name = mn_span(NULL, 0);
        service->extensions[i] = (struct audience_with){
            .extension = audience_id(name), .name = mn_arena_copy(&service->arena, name)};
    }
}

/* What is no id is none. */
static void names_offer_meshes(struct names_service *service, const Meshnode__Gateway__Offer *offer)
{
    size_t count = offer->n_meshes < TRAIL_MAX ? offer->n_meshes : TRAIL_MAX;

    service->meshes_count = 0;
    if (count == 0) return;
    service->meshes = mn_arena_alloc(&service->arena, count * sizeof *service->meshes);
    for (size_t i = 0; i < count; i++) {
        mn_id *id = &service->meshes[service->meshes_count];
        if (pb_fixed(offer->meshes[i], id->bytes, sizeof id->bytes) == MN_OK)
            service->meshes_count++;
    }
}

/* Extensions that the offer does not name are none. */
static struct audience names_offer_audience(struct names_service *service, struct shown shown)
{
    struct audience audience = {.table = shown.audience};
    struct audience_with *rows;

    if (shown.with_count == 0) return audience;
    if (shown.with_count > AUDIENCE_EXTENSIONS_MAX) shown.with_count = AUDIENCE_EXTENSIONS_MAX;
    rows = mn_arena_alloc(&service->arena, shown.with_count * sizeof *rows);
    for (size_t i = 0; i < shown.with_count; i++) {
        const Meshnode__Gateway__With *with = shown.with[i];
        if (with->extension >= service->extensions_count ||
            service->extensions[with->extension].name.size == 0)
            continue;
        rows[audience.with_count] = service->extensions[with->extension];
        rows[audience.with_count++].table = with->audience;
    }
    audience.with = rows;
    return audience;
}

/* What is known of a tool from its definition. */
static void names_offer_read_tool(struct names_service *service, struct names_item *tool,
                                  bool is_idempotent, struct json_parser *parser,
                                  struct mn_arena *scratch)
{
    tool->is_idempotent = is_idempotent;
    names_offer_params(service, tool, parser, scratch);
    names_offer_ui(service, tool, parser, scratch);
}

/* Other definitions of [item]; how many were dropped. */
static uint64_t names_offer_load_variants(struct names_service *service, enum names_kind kind,
                                          struct names_item *item,
                                          Meshnode__Gateway__Variant *const *from, size_t count,
                                          struct json_parser *parser, struct mn_arena *scratch)
{
    uint64_t dropped_count = 0;

    if (count == 0) return 0;
    item->variants = mn_arena_alloc(&service->arena, VARIANTS_MAX * sizeof *item->variants);
    for (size_t i = 0; i < count; i++) {
        struct names_item *variant = &item->variants[item->variants_count];
        struct mn_span definition = pb_span(from[i]->definition);
        if (item->variants_count == VARIANTS_MAX ||
            !names_offer_is_item(kind, item->own, definition, parser, scratch)) {
            dropped_count++;
            continue;
        }
        *variant = (struct names_item){
            .service = service,
            .own = item->own,
            .definition = mn_arena_copy(&service->arena, definition),
            .audience = names_offer_audience(
                service, (struct shown){from[i]->audience, from[i]->with, from[i]->n_with})};
        if (kind == NAMES_TOOLS)
            names_offer_read_tool(service, variant, from[i]->read_only || from[i]->idempotent,
                                  parser, scratch);
        item->variants_count++;
    }
    names_add_relevant(&service->relevant[kind], item);
    return dropped_count;
}

/* NULL: it is none. */
static struct names_item *names_offer_load_item(struct names_service *service, enum names_kind kind,
                                                uint8_t **to, struct mn_span own,
                                                struct mn_span definition, struct shown shown,
                                                struct json_parser *parser,
                                                struct mn_arena *scratch)
{
    struct names_item *item = &service->items[kind][service->counts[kind]];

    if (service->counts[kind] == NAMES_SERVICE_ITEMS_MAX) return NULL;
    if (!names_offer_is_item(kind, own, definition, parser, scratch)) return NULL;
    if (mn_map_find(&service->by_own[kind], own) != NULL) return NULL;
    *item = (struct names_item){.service = service,
                                .own = names_offer_keep(to, own),
                                .definition = names_offer_keep(to, definition),
                                .audience = names_offer_audience(service, shown)};
    names_add_relevant(&service->relevant[kind], item);
    mn_map_insert(&service->by_own[kind], &item->by_own, item->own);
    service->counts[kind]++;
    return item;
}

/* How many of it were dropped. */
static uint64_t names_offer_load_tool(struct names_service *service, uint8_t **to,
                                      const Meshnode__Gateway__Tool *from,
                                      struct json_parser *parser, struct mn_arena *scratch)
{
    struct names_item *tool = names_offer_load_item(
        service, NAMES_TOOLS, to, pb_text(from->name), pb_span(from->definition),
        (struct shown){from->audience, from->with, from->n_with}, parser, scratch);

    if (tool == NULL) return 1;
    names_offer_read_tool(service, tool, from->read_only || from->idempotent, parser, scratch);
    return names_offer_load_variants(service, NAMES_TOOLS, tool, from->variants, from->n_variants,
                                     parser, scratch);
}

/* [text] if it is a JSON object, else nothing. */
static struct mn_span names_offer_object(struct mn_span text, struct json_parser *parser,
                                         struct mn_arena *scratch)
{
    const struct json *value;

    if (json_parse_copy(parser, text, kept_shallow, scratch, &value) != MN_OK ||
        value->type != JSON_OBJECT)
        return mn_span(NULL, 0);
    return text;
}

/* [text] if it is an object of members that are not ours to write. */
static struct mn_span names_offer_said(struct mn_span text, struct json_parser *parser,
                                       struct mn_arena *scratch)
{
    static const char *const once[] = {"_meta"};
    const struct json *value, *meta;

    if (json_parse_copy(parser, text, kept_shallow, scratch, &value) != MN_OK ||
        value->type != JSON_OBJECT || json_pick(value, once, 1, &meta) != MN_OK ||
        (meta != NULL && meta->type != JSON_OBJECT))
        return mn_span(NULL, 0);
    for (const struct json *key = json_first(value); key != NULL; key = json_next(value, key))
        if (result_is_known(key->text)) return mn_span(NULL, 0);
    return text;
}

static void names_offer_about(struct names_service *service, uint8_t **to,
                              const Meshnode__Gateway__Offer *offer, struct json_parser *parser,
                              struct mn_arena *scratch)
{
    static const char *const groups[NAMES_LISTS] = {"tools", "prompts", "resources", "resources"};
    const struct json *capabilities;
    mn_status status =
        json_parse_copy(parser, pb_span(offer->capabilities), kept_shallow, scratch, &capabilities);

    for (int kind = 0; kind < NAMES_LISTS; kind++)
        service->has[kind] = service->counts[kind] > 0 ||
                             (status == MN_OK && json_find_str(capabilities, groups[kind]) != NULL);
    service->has_updates =
        status == MN_OK &&
        json_is_true(json_find_str(json_find_str(capabilities, "resources"), "subscribe"));
    service->has[NAMES_TEMPLATES] = service->has[NAMES_RESOURCES] =
        service->has[NAMES_TEMPLATES] || service->has[NAMES_RESOURCES];
    service->server_info =
        names_offer_keep(to, names_offer_object(pb_span(offer->server_info), parser, scratch));
    service->capabilities =
        names_offer_keep(to, names_offer_object(pb_span(offer->capabilities), parser, scratch));
    service->instructions = names_offer_keep(to, pb_text(offer->instructions));
    service->about = names_offer_keep(to, names_offer_said(pb_span(offer->about), parser, scratch));
    for (size_t i = 0; i < offer->n_about_lists && i < NAMES_LISTS; i++)
        service->about_lists[i] =
            names_offer_keep(to, names_offer_said(pb_span(offer->about_lists[i]), parser, scratch));
    service->is_streaming = offer->is_streaming;
}

static void names_offer_digest(struct names_service *service, enum names_kind kind)
{
    struct digest digest;

    if (service->counts[kind] == 0) return; /* an empty list is as good as none: zero */
    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    digest_variable(&digest, service->name); /* so that no service has the digest zero */
    for (uint32_t i = 0; i < service->counts[kind]; i++)
        digest_variable(&digest, service->items[kind][i].definition);
    digest_end(&digest, service->digests[kind]);
}

/* What an offer has beside tools. */
struct names_offer_rows {
    size_t count;
    Meshnode__Gateway__Item **rows;
};

static struct names_offer_rows names_offer_rows(const Meshnode__Gateway__Offer *offer,
                                                enum names_kind kind)
{
    if (kind == NAMES_PROMPTS) return (struct names_offer_rows){offer->n_prompts, offer->prompts};
    if (kind == NAMES_RESOURCES)
        return (struct names_offer_rows){offer->n_resources, offer->resources};
    return (struct names_offer_rows){offer->n_templates, offer->templates};
}

/* One block for all items and texts: mesh-wide there may be very many services. */
static uint8_t *names_offer_block(struct names_service *service,
                                  const Meshnode__Gateway__Offer *offer)
{
    size_t count = offer->n_tools, at = 0;
    size_t size =
        offer->server_info.len + offer->capabilities.len + pb_text(offer->instructions).size;

    size += offer->about.len;
    for (size_t i = 0; i < offer->n_about_lists && i < NAMES_LISTS; i++)
        size += offer->about_lists[i].len;
    for (size_t i = 0; i < offer->n_tools; i++)
        size += offer->tools[i]->definition.len + pb_text(offer->tools[i]->name).size;
    for (int kind = NAMES_PROMPTS; kind < NAMES_LISTS; kind++) {
        struct names_offer_rows rows = names_offer_rows(offer, (enum names_kind)kind);
        for (size_t i = 0; i < rows.count; i++)
            size += rows.rows[i]->definition.len + pb_text(rows.rows[i]->key).size;
        count += rows.count;
    }
    service->all = mn_alloc(count * sizeof *service->all + size);
    service->items[NAMES_TOOLS] = service->all;
    at = offer->n_tools;
    for (int kind = NAMES_PROMPTS; kind < NAMES_LISTS; kind++) {
        service->items[kind] = service->all + at;
        at += names_offer_rows(offer, (enum names_kind)kind).count;
    }
    return (uint8_t *)(service->all + count);
}

static uint64_t names_offer_load_row(struct names_service *service, enum names_kind kind,
                                     uint8_t **to, const Meshnode__Gateway__Item *row,
                                     struct json_parser *parser, struct mn_arena *scratch)
{
    struct names_item *item = names_offer_load_item(
        service, kind, to, pb_text(row->key), pb_span(row->definition),
        (struct shown){row->audience, row->with, row->n_with}, parser, scratch);

    if (item == NULL) return 1;
    return names_offer_load_variants(service, kind, item, row->variants, row->n_variants, parser,
                                     scratch);
}

static uint64_t names_offer_load_rows(struct names_service *service, enum names_kind kind,
                                      uint8_t **to, const Meshnode__Gateway__Offer *offer,
                                      struct json_parser *parser, struct mn_arena *scratch)
{
    struct names_offer_rows rows = names_offer_rows(offer, kind);
    uint64_t dropped_count = 0;

    for (size_t i = 0; i < rows.count; i++) {
        dropped_count += names_offer_load_row(service, kind, to, rows.rows[i], parser, scratch);
        mn_arena_reset(scratch);
    }
    return dropped_count;
}

uint64_t names_offer_load(struct names_service *service, struct mn_buf *body,
                          struct json_parser *parser, struct mn_arena *scratch)
{
    struct mn_arena unpacked = {0};
    const Meshnode__Gateway__Offer *offer;
    uint64_t dropped_count = 0;
    uint8_t *to;

    if (body == NULL) return 0;
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &unpacked, mn_buf_span(body));
    if (offer == NULL) {
        mn_arena_done(&unpacked);
        return 1;
    }
    to = names_offer_block(service, offer);
    names_offer_extensions(service, offer);
    names_offer_meshes(service, offer);
    for (size_t i = 0; i < offer->n_tools; i++) {
        dropped_count += names_offer_load_tool(service, &to, offer->tools[i], parser, scratch);
        mn_arena_reset(scratch);
    }
    for (int kind = NAMES_PROMPTS; kind < NAMES_LISTS; kind++)
        dropped_count +=
            names_offer_load_rows(service, (enum names_kind)kind, &to, offer, parser, scratch);
    names_offer_about(service, &to, offer, parser, scratch);
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        names_offer_digest(service, (enum names_kind)kind);
    mn_arena_reset(scratch);
    mn_arena_done(&unpacked);
    return dropped_count;
}

static bool names_offer_is_unknown(struct mn_span key, const struct json *value, enum names_era era)
{
    if (era == NAMES_MODERN) return mn_span_is(key, "execution");
    return mn_span_is(key, "outputSchema") &&
           !mn_span_is(json_text(json_find_str(value, "type")), "object");
}

/* The URI by which /mcp and views lead to a tool's user interface. */
static struct mn_span names_offer_ui_exposed(struct names *names, const struct names_item *tool)
{
    struct mn_map_entry *entry = mn_map_find(&names->tables[NAMES_RESOURCES], tool->ui);
    const struct names_item *owner;

    if (entry == NULL) entry = mn_map_find(&names->tables[NAMES_UI], tool->ui);
    owner = entry == NULL ? NULL : MN_CONTAINER(entry, struct names_item, by_exposed);
    if (owner != NULL && !owner->is_ambiguous && owner->service == tool->service) return tool->ui;
    return names_long_uri(&names->scratch, tool->service->name, tool->ui);
}

/* _meta, with another URI where it names the user interface: both spellings of the member. */
static void names_offer_write_meta(struct mn_writer *writer, const struct json *meta,
                                   struct mn_span own, struct mn_span exposed)
{
    const struct json *uris[] = {json_find_str(json_find_str(meta, "ui"), "resourceUri"),
                                 json_find_str(meta, "ui/resourceUri")};
    const uint8_t *at = meta->raw.data, *end = at + meta->raw.size;

    if (uris[0] != NULL && uris[1] != NULL && uris[0]->raw.data > uris[1]->raw.data) {
        const struct json *first = uris[1];
        uris[1] = uris[0];
        uris[0] = first;
    }
    for (int i = 0; i < 2; i++) {
        if (uris[i] == NULL || !mn_span_equal(json_text(uris[i]), own)) continue;
        mn_writer_add(writer, mn_span(at, (size_t)(uris[i]->raw.data - at)));
        json_write_string(writer, exposed);
        at = uris[i]->raw.data + uris[i]->raw.size;
    }
    mn_writer_add(writer, mn_span(at, (size_t)(end - at)));
}

void names_offer_write(struct mn_writer *writer, struct names *names, const struct names_item *item,
                       enum names_kind kind, struct mn_span exposed, enum names_era era)
{
    const struct json *definition;
    bool is_first_member = true;
    struct mn_span ui =
        exposed.data != NULL && item->ui.size > 0 ? names_offer_ui_exposed(names, item) : item->ui;
    mn_status status = json_parse_copy(names->parser, item->definition,
                                       (struct json_limits){JSON_DEPTH_MAX, 3, JSON_NODES_MAX},
                                       &names->scratch, &definition);

    MN_ASSERT(status == MN_OK); /* names_offer_load() has seen it */
    mn_writer_str(writer, "{");
    for (const struct json *key = json_first(definition); key != NULL;
         key = json_next(definition, key)) {
        const struct json *value = json_value(key);
        if (kind == NAMES_TOOLS && names_offer_is_unknown(key->text, value, era)) continue;
        if (!is_first_member) mn_writer_str(writer, ",");
        is_first_member = false;
        mn_writer_add(writer, key->raw);
        mn_writer_str(writer, ":");
        if (exposed.data != NULL && mn_span_is(key->text, names_key(kind)))
            json_write_string(writer, exposed);
        else if (!mn_span_equal(ui, item->ui) && mn_span_is(key->text, "_meta"))
            names_offer_write_meta(writer, value, item->ui, ui);
        else
            mn_writer_add(writer, value->raw);
    }
    mn_writer_str(writer, "}");
    mn_arena_reset(&names->scratch);
}
