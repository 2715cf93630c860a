#include "node/mcp/describe_curation.h"

#include "node/mcp/names/names_view.h"
#include "proto/base/text.h"

static void write_key(struct mn_writer *writer, const char *key)
{
    bool is_first =
        mn_writer_size(writer) == 0 || writer->buf->bytes[mn_writer_size(writer) - 1] == '{';

    mn_writer_format(writer, "%s\"%s\":", is_first ? "" : ",", key);
}

static void write_str(struct mn_writer *writer, const char *key, struct mn_span text)
{
    write_key(writer, key);
    json_write_string(writer, text);
}

static void write_u64(struct mn_writer *writer, const char *key, uint64_t value)
{
    write_key(writer, key);
    mn_writer_number(writer, value);
}

static void write_pin(struct mn_writer *writer, const char *key, const uint8_t *pin)
{
    char hex[2 * CURATION_PIN_SIZE + 1];

    write_key(writer, key);
    if (pin == NULL) {
        mn_writer_str(writer, "null");
        return;
    }
    mn_hex_encode(mn_span(pin, CURATION_PIN_SIZE), hex);
    json_write_string(writer, mn_span_str(hex));
}

/* ---- views ---- */

static void write_view(struct names_view *view, struct mn_writer *writer)
{
    mn_writer_str(writer, "{");
    write_str(writer, "name", view->wish->name);
    write_str(writer, "surface", mn_span_str(view->wish->is_small ? "small" : "full"));
    write_u64(writer, "tools", view->all_count);
    write_u64(writer, "prompts", view->counts[NAMES_PROMPTS]);
    write_u64(writer, "resources", view->counts[NAMES_RESOURCES]);
    write_key(writer, "path");
    mn_writer_format(writer, "\"/mcp/views/%.*s\"", (int)view->wish->name.size,
                     (const char *)view->wish->name.data);
}

void mcp_describe_views(struct mcp *mcp, struct mn_writer *writer)
{
    struct names *names = mcp_names(mcp);
    struct mn_map_entry **views = mn_map_sorted(&names->curation.views);

    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < names->curation.views.count; i++) {
        if (i > 0) mn_writer_str(writer, ",");
        write_view(names_view(names, views[i]->key), writer);
        mn_writer_str(writer, "}");
    }
    mn_writer_str(writer, "]");
    mn_free(views);
}

/* All tools of the view, those held back too. */
static void write_shown(struct names_view *view, struct mn_writer *writer)
{
    struct mn_map_entry **rows = mn_map_sorted(&view->tables[NAMES_TOOLS]);

    write_key(writer, "shows");
    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < view->tables[NAMES_TOOLS].count; i++) {
        const struct names_row *row = MN_CONTAINER(rows[i], struct names_row, by_exposed);
        mn_writer_str(writer, i > 0 ? ",{" : "{");
        write_str(writer, "name", row->exposed);
        write_str(writer, "server", row->item->service->name);
        write_str(writer, "tool", row->item->own);
        write_str(writer, "state", mn_span_str(names_held_name(row->item->held)));
        mn_writer_str(writer, "}");
    }
    mn_writer_str(writer, "]");
    mn_free(rows);
}

static bool is_used(const struct names_view *view, const struct curation_entry *entry)
{
    struct mn_map_entry *place = NULL;

    while ((place = mn_map_next(&view->tables[NAMES_TOOLS], place)) != NULL) {
        const struct names_item *item = MN_CONTAINER(place, struct names_row, by_exposed)->item;
        if (curation_fits(entry->server, item->service->name) &&
            curation_fits(entry->item, item->own))
            return true;
    }
    return false;
}

/* Entries for tools that choose nothing: a misspelt name, or a server that is away. */
static void write_unmatched(const struct names_view *view, struct mn_writer *writer)
{
    bool is_first = true;

    write_key(writer, "unmatched");
    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < view->wish->counts[CURATION_TOOLS]; i++) {
        const struct curation_entry *entry = &view->wish->entries[CURATION_TOOLS][i];
        struct mn_span whole =
            mn_span(entry->server.data, entry->server.size + 1 + entry->item.size);
        if (is_used(view, entry)) continue;
        mn_writer_str(writer, is_first ? "" : ",");
        json_write_string(writer, whole);
        is_first = false;
    }
    mn_writer_str(writer, "]");
}

mn_status mcp_describe_view(struct mcp *mcp, struct mn_span name, struct mn_writer *writer)
{
    struct names_view *view = names_view(mcp_names(mcp), name);

    if (view == NULL) return MN_NOT_FOUND;
    write_view(view, writer);
    write_str(writer, "instructions", view->wish->instructions);
    write_shown(view, writer);
    write_unmatched(view, writer);
    write_key(writer, "definition");
    mn_writer_add(writer, view->wish->text);
    mn_writer_str(writer, "}");
    return MN_OK;
}

mn_status mcp_view_check(struct mcp *mcp, struct mn_span name, struct mn_span text,
                         struct mn_arena *arena, struct mn_span *why)
{
    const struct names *names = mcp_names(mcp);
    struct curation_view *view;

    if (names->curation.views.count >= CURATION_VIEWS_MAX &&
        curation_view(&names->curation, name) == NULL) {
        *why = mn_span_str("the mesh has 256 views already; remove one first");
        return MN_FULL;
    }
    return curation_read_view(names->parser, name, text, arena, &view, why);
}

/* ---- pins ---- */

/* "SERVER/TOOL" taken apart; tools may have a slash in their name, servers not. */
static bool split(struct mn_span key, struct mn_span *server, struct mn_span *tool)
{
    const uint8_t *slash = key.size == 0 ? NULL : memchr(key.data, '/', key.size);

    if (slash == NULL) return false;
    *server = mn_span(key.data, (size_t)(slash - key.data));
    *tool = mn_span(slash + 1, key.size - server->size - 1);
    return true;
}

static bool is_part_of(struct mn_span service, struct mn_span server)
{
    return service.size > server.size && service.data[server.size] == '.' &&
           memcmp(service.data, server.data, server.size) == 0;
}

/* The tool that a rule is about: of the service it names, or else of one NAME.NODE of it, best one
 * that is held back, because that is what people look for. */
static struct names_item *tool_of(struct names *names, struct mn_span server, struct mn_span tool)
{
    struct names_item *best = names_tool_of(names, server, tool);
    uint32_t count = best == NULL ? names->services.count : 0;

    for (uint32_t i = 0; i < count; i++) {
        struct names_item *item = is_part_of(names->sorted[i]->name, server)
                                      ? names_service_item(names->sorted[i], NAMES_TOOLS, tool)
                                      : NULL;
        if (item != NULL &&
            (best == NULL || (best->held == NAMES_FREE && item->held != NAMES_FREE)))
            best = item;
    }
    return best;
}

static void write_rule(struct names *names, const struct curation_rule *rule,
                       struct mn_writer *writer)
{
    struct mn_span server, tool;
    struct names_item *item;
    uint8_t current[CURATION_PIN_SIZE];
    const char *state = rule->has_pin ? "pinned" : "ok";

    if (!split(rule->by_key.key, &server, &tool)) return;
    item = tool_of(names, server, tool);
    if (item == NULL) state = "absent";
    if (item != NULL && item->held == NAMES_CHANGED) state = "changed";
    if (rule->is_held) state = "quarantined";
    write_str(writer, "server", server);
    write_str(writer, "tool", tool);
    if (item == NULL || item->exposed.size == 0) {
        write_key(writer, "name");
        mn_writer_str(writer, "null");
    } else {
        write_str(writer, "name", item->exposed);
    }
    write_str(writer, "state", mn_span_str(state));
    write_pin(writer, "pin", rule->has_pin ? rule->pin : NULL);
    write_pin(writer, "current", item != NULL && names_pin(names, item, current) ? current : NULL);
    write_str(writer, "reason", rule->reason);
    write_u64(writer, "at_ms", rule->at_ms);
}

void mcp_describe_pins(struct mcp *mcp, struct mn_writer *writer)
{
    struct names *names = mcp_names(mcp);
    struct mn_map_entry **rules = mn_map_sorted(&names->curation.rules);

    names_service(names, mn_span(NULL, 0)); /* brings the tables up to date */
    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < names->curation.rules.count; i++) {
        mn_writer_str(writer, i > 0 ? ",{" : "{");
        write_rule(names, MN_CONTAINER(rules[i], struct curation_rule, by_key), writer);
        mn_writer_str(writer, "}");
    }
    mn_writer_str(writer, "]");
    mn_free(rules);
}

mn_status mcp_describe_rule(struct mcp *mcp, struct mn_span name, struct mn_writer *writer)
{
    struct names *names = mcp_names(mcp);
    struct names_item *item = names_tool(names, name);
    struct mn_span server = mn_span(NULL, 0), tool = server;
    const struct curation_rule *rule;
    struct mn_writer key = {0};
    uint8_t current[CURATION_PIN_SIZE];

    if (item == NULL && split(name, &server, &tool)) item = tool_of(names, server, tool);
    if (item != NULL) {
        server = item->service->name;
        tool = item->own;
    }
    rule = curation_rule(&names->curation, server, tool);
    if (item == NULL && rule == NULL) return MN_NOT_FOUND;
    mn_writer_str(&key, CURATION_TOOL_PREFIX);
    if (rule != NULL) {
        mn_writer_add(&key, rule->by_key.key); /* where it stands already */
    } else {
        mn_writer_add(&key, server);
        mn_writer_str(&key, "/");
        mn_writer_add(&key, tool);
    }
    mn_writer_str(writer, "{");
    write_str(writer, "key", mn_buf_span(key.buf));
    mn_writer_drop(&key);
    write_pin(writer, "pin", rule != NULL && rule->has_pin ? rule->pin : NULL);
    write_pin(writer, "current", item != NULL && names_pin(names, item, current) ? current : NULL);
    mn_writer_str(writer, "}");
    return MN_OK;
}
