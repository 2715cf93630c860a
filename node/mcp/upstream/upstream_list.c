#include "node/mcp/upstream/upstream_list.h"

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* How the lists differ. */
static const struct {
    const char *method, *member, *key;
} kinds[UPSTREAM_LISTS] = {
    {"tools/list", "tools", "name"},
    {"prompts/list", "prompts", "name"},
    {"resources/list", "resources", "uri"},
    {"resources/templates/list", "resourceTemplates", "uriTemplate"},
};

const char *upstream_list_method(enum upstream_list_kind kind)
{
    return kinds[kind].method;
}

void upstream_tools_done(struct upstream_tools *tools)
{
    mn_map_done(&tools->names);
    mn_arena_done(&tools->arena);
    *tools = (struct upstream_tools){0};
}

const struct upstream_tool *upstream_tools_find(const struct upstream_tools *tools,
                                                struct mn_span name)
{
    struct mn_map_entry *entry = mn_map_find(&tools->names, name);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream_tool, by_name);
}

void upstream_list_drop(struct upstream_list *list)
{
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        mn_map_done(&list->items[kind].keys);
    mn_arena_done(&list->arena);
    upstream_tools_done(&list->found);
    *list = (struct upstream_list){0};
}

static void upstream_list_ask(struct upstream *server, struct mn_span cursor)
{
    mn_time timeout = server->config->handshake_timeout != 0 ? server->config->handshake_timeout
                                                             : UPSTREAM_HANDSHAKE_TIMEOUT;
    struct upstream_request *request = upstream_request_new(server, UPSTREAM_REQUEST_LIST, timeout);

    const char *method = kinds[server->list.kind].method;

    upstream_request_carry(request, upstream_message_list(server, request->id, method, cursor),
                           method);
}

/* Of these lists, until others come that are well. */
static void upstream_list_note(struct upstream *server, const char *why)
{
    upstream_note(server, why);
    server->has_list_error = true;
    server->list.is_faulty = true;
}

static void upstream_list_finish(struct upstream *server);

static bool upstream_list_has(const struct upstream *server, enum upstream_list_kind kind)
{
    switch (kind) {
    case UPSTREAM_LIST_TOOLS: return server->has_tools;
    case UPSTREAM_LIST_PROMPTS: return server->has_prompts;
    case UPSTREAM_LIST_RESOURCES:
    case UPSTREAM_LIST_TEMPLATES: return server->has_resources;
    case UPSTREAM_LISTS: break;
    }
    return false;
}

/* Goes on with the first list from [kind] on that the server has. */
static void upstream_list_turn(struct upstream *server, uint32_t kind)
{
    struct upstream_list *list = &server->list;

    while (kind < UPSTREAM_LISTS && !upstream_list_has(server, (enum upstream_list_kind)kind))
        kind++;
    list->cursors_count = 0;
    if (kind == UPSTREAM_LISTS) {
        upstream_list_finish(server);
        return;
    }
    list->kind = (enum upstream_list_kind)kind;
    upstream_list_ask(server, mn_span(NULL, 0));
}

static void upstream_list_begin(struct upstream *server)
{
    struct upstream_list *list = &server->list;

    list->is_active = true;
    mn_map_init(&list->found.names, rng_u64(&server->host->rng));
    for (int kind = 0; kind < UPSTREAM_LISTS; kind++)
        mn_map_init(&list->items[kind].keys, list->found.names.seed);
    upstream_list_turn(server, UPSTREAM_LIST_TOOLS);
}

void upstream_list_start(struct upstream *server)
{
    upstream_timer_clear(server->host, &server->relist_timer);
    if (server->is_lease && !server->is_probe) /* its server has the lists */
        upstream_ready(server);
    else if (server->list.is_active)
        server->list.is_stale = true;
    else
        upstream_list_begin(server);
}

void upstream_list_survey(struct upstream *server)
{
    MN_ASSERT(!server->list.is_active);
    server->list.is_survey = true;
    upstream_list_begin(server);
}

/* Whether the configuration lets the mesh have this tool. */
static bool upstream_list_is_exported(const struct upstream *server, struct mn_span name)
{
    const struct upstream_config *config = server->config;

    for (uint32_t i = 0; i < config->tools_count; i++)
        if (mn_span_equal(config->tools[i], name)) return true;
    return config->tools_count == 0;
}

static const struct json *upstream_list_parse(struct upstream *server, struct mn_span raw)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
    const struct json *tool = NULL;

    if (json_parse(server->host->parser, raw, limits, &server->host->scratch, &tool) != MN_OK ||
        tool->type != JSON_OBJECT)
        return NULL;
    return tool;
}

/* NULL: not a tool that can be offered. */
static struct upstream_tool *upstream_list_tool(struct upstream *server, const struct json *tool)
{
    struct upstream_tools *found = &server->list.found;
    struct mn_span name = json_text(json_find_str(tool, "name"));
    struct param_headers params = {0};

    if (name.size == 0 || name.size > UPSTREAM_TOOL_NAME_MAX ||
        memchr(name.data, 0, name.size) != NULL || mn_map_find(&found->names, name) != NULL)
        return NULL;
    /* The marks are a matter of HTTP: over stdio they mean nothing and are not judged. */
    if (server->is_http && upstream_is_modern(server) &&
        param_headers_params(json_find_str(tool, "inputSchema"), &found->arena, &params) != MN_OK)
        return NULL;
    struct upstream_tool *item = mn_arena_alloc(&found->arena, sizeof *item);
    *item = (struct upstream_tool){.name = mn_arena_copy(&found->arena, name), .params = params};
    mn_map_insert(&found->names, &item->by_name, item->name);
    return item;
}

static void upstream_list_add_tool(struct upstream *server, struct mn_span raw)
{
    struct upstream_list *list = &server->list;
    const struct json *tool = upstream_list_parse(server, raw);
    struct mn_span name = json_text(tool == NULL ? NULL : json_find_str(tool, "name"));

    if (name.size > 0 && !upstream_list_is_exported(server, name)) return;
    struct upstream_tool *item = tool == NULL ? NULL : upstream_list_tool(server, tool);
    if (item == NULL) {
        list->found.dropped_count++;
        return;
    }
    item->needs_task = mn_span_is(
        json_text(json_find_str(json_find_str(tool, "execution"), "taskSupport")), "required");
    const struct json *hints = json_find_str(tool, "annotations");
    Meshnode__Gateway__Tool *row = mn_arena_alloc(&list->arena, sizeof *row);
    meshnode__gateway__tool__init(row);
    row->name = (char *)(uintptr_t)mn_arena_copy(&list->arena, item->name).data;
    row->definition = pb_bytes(mn_arena_copy(&list->arena, raw));
    row->read_only = json_is_true(json_find_str(hints, "readOnlyHint"));
    row->idempotent = json_is_true(json_find_str(hints, "idempotentHint"));
    list->tools = mn_arena_grow(&list->arena, list->tools, list->found.count, &list->tools_capacity,
                                sizeof *list->tools);
    list->tools[list->found.count++] = row;
    list->size += raw.size + item->name.size;
}

/* A prompt, resource or template: an object with a key that no other one has. */
static void upstream_list_add_item(struct upstream *server, struct mn_span raw)
{
    struct upstream_list *list = &server->list;
    struct upstream_items *items = &list->items[list->kind];
    const struct json *item = upstream_list_parse(server, raw);
    struct mn_span key = json_text(json_find_str(item, kinds[list->kind].key));
    struct mn_map_entry *entry;
    Meshnode__Gateway__Item *row;

    if (key.size == 0 || key.size > UPSTREAM_ITEM_KEY_MAX ||
        memchr(key.data, 0, key.size) != NULL || mn_map_find(&items->keys, key) != NULL) {
        list->found.dropped_count++;
        return;
    }
    row = mn_arena_alloc(&list->arena, sizeof *row);
    meshnode__gateway__item__init(row);
    key = mn_arena_copy(&list->arena, key);
    row->key = (char *)(uintptr_t)key.data;
    row->definition = pb_bytes(mn_arena_copy(&list->arena, raw));
    entry = mn_arena_alloc(&list->arena, sizeof *entry);
    mn_map_insert(&items->keys, entry, key);
    items->rows = mn_arena_grow(&list->arena, items->rows, items->count, &items->capacity,
                                sizeof *items->rows);
    items->rows[items->count++] = row;
    list->size += raw.size + key.size;
}

static void upstream_list_add(struct upstream *server, struct mn_span raw)
{
    if (server->list.kind == UPSTREAM_LIST_TOOLS)
        upstream_list_add_tool(server, raw);
    else
        upstream_list_add_item(server, raw);
}

/* Remembers a cursor; false: it was there before, or there are too many. */
static bool upstream_list_is_new_cursor(struct upstream_list *list, struct mn_span cursor)
{
    if (list->cursors_count >= UPSTREAM_LIST_PAGES_MAX || cursor.size > UPSTREAM_CURSOR_MAX)
        return false;
    for (uint32_t i = 0; i < list->cursors_count; i++)
        if (mn_span_equal(list->cursors[i], cursor)) return false;
    list->cursors = mn_arena_grow(&list->arena, list->cursors, list->cursors_count,
                                  &list->cursors_capacity, sizeof *list->cursors);
    list->cursors[list->cursors_count++] = mn_arena_copy(&list->arena, cursor);
    return true;
}

static struct mn_buf *upstream_list_pack(struct upstream *server)
{
    struct upstream_list *list = &server->list;
    struct mn_span instructions = mn_buf_span(server->instructions);
    Meshnode__Gateway__Offer offer;

    meshnode__gateway__offer__init(&offer);
    offer.format = 1;
    offer.server_info = pb_bytes(mn_buf_span(server->server_info));
    offer.capabilities = pb_bytes(mn_buf_span(server->capabilities));
    offer.instructions = (char *)(uintptr_t)mn_arena_copy(&list->arena, instructions).data;
    offer.n_tools = list->found.count;
    offer.tools = list->tools;
    offer.n_prompts = list->items[UPSTREAM_LIST_PROMPTS].count;
    offer.prompts = list->items[UPSTREAM_LIST_PROMPTS].rows;
    offer.n_resources = list->items[UPSTREAM_LIST_RESOURCES].count;
    offer.resources = list->items[UPSTREAM_LIST_RESOURCES].rows;
    offer.n_templates = list->items[UPSTREAM_LIST_TEMPLATES].count;
    offer.templates = list->items[UPSTREAM_LIST_TEMPLATES].rows;
    /* Where nothing is known of that, its answers can be taken up again, as they should. */
    offer.is_streaming = !server->is_http || upstream_is_modern(server) || !server->http.is_plain;
    offer.n_meshes = server->is_http ? server->http.meshes_count : 0;
    offer.meshes = mn_arena_alloc(&list->arena, (offer.n_meshes + 1) * sizeof *offer.meshes);
    for (size_t i = 0; i < offer.n_meshes; i++)
        offer.meshes[i] = pb_id_bytes(&server->http.meshes[i]);
    return pb_pack(&offer.base);
}

static void upstream_list_finish(struct upstream *server)
{
    struct upstream_list *list = &server->list;
    struct mn_buf *offer;
    bool is_stale = list->is_stale;

    if (upstream_survey_asks(server)) {
        upstream_survey_on_lists(server);
        return;
    }
    offer = upstream_list_pack(server);
    if (offer->size > UPSTREAM_OFFER_MAX) {
        mn_buf_unref(offer);
        upstream_break(server, "its lists, instructions and capabilities are over 4 MiB");
        return;
    }
    if (list->found.dropped_count > 0 && list->found.dropped_count != server->tools.dropped_count)
        upstream_list_note(server,
                           mn_arena_format(&server->host->scratch,
                                           "%u of its items cannot be offered: no usable name, "
                                           "a name used twice, or a wrong x-mcp-header",
                                           list->found.dropped_count));
    if (list->found.dropped_count == 0 && !list->is_faulty &&
        (server->has_list_error || server->state != UPSTREAM_READY))
        server->error[0] = '\0'; /* it runs again: its log has why it did not */
    upstream_tools_done(&server->tools);
    server->tools = list->found;
    list->found = (struct upstream_tools){0};
    upstream_list_drop(list);
    mn_buf_unref(server->plain);
    server->plain = offer;
    upstream_ready(server);
    upstream_survey_offer(server);
    if (is_stale) upstream_relist_soon(server);
}

/* An error keeps the offer of a running server as it is. One that only starts is broken without its
 * tools, but no other list is worth that. */
static void upstream_list_refused(struct upstream *server, const char *why)
{
    if (upstream_survey_asks(server)) {
        upstream_survey_lost(server, why);
        return;
    }
    if (server->list.kind != UPSTREAM_LIST_TOOLS && server->state != UPSTREAM_READY) {
        upstream_list_note(server, why);
        upstream_list_turn(server, server->list.kind + 1u);
        return;
    }
    if (server->state != UPSTREAM_READY) {
        upstream_break(server, why);
        return;
    }
    upstream_list_note(server, why);
    upstream_list_drop(&server->list);
    upstream_poll(server);
    upstream_call_flush_queue(server);
}

static void upstream_list_next(struct upstream *server, const struct json *cursor)
{
    if (!json_is(cursor, JSON_STRING)) {
        upstream_list_turn(server, server->list.kind + 1u);
    } else if (upstream_list_is_new_cursor(&server->list, cursor->raw)) {
        upstream_list_ask(server, cursor->raw);
    } else {
        upstream_list_note(server,
                           mn_arena_format(&server->host->scratch,
                                           "its %s repeats a cursor, or has too many pages; the "
                                           "list ends there",
                                           kinds[server->list.kind].method));
        upstream_list_turn(server, server->list.kind + 1u);
    }
}

/* An answer of a server that does not know us: our session is gone, or it speaks another era now.
 */
static bool upstream_list_is_stranger(const struct jsonrpc_message *message, uint32_t code)
{
    if (message == NULL) return code >= 400 && code < 500;
    return message->kind == JSONRPC_ERROR &&
           ((code == 400 && message->id.size == 0) || message->code == JSONRPC_UNSUPPORTED_VERSION);
}

/* What a page says against being one; NULL: nothing. */
static const char *upstream_list_fault(struct upstream *server,
                                       const struct jsonrpc_message *message, uint32_t code)
{
    struct mn_arena *scratch = &server->host->scratch;
    const char *method = kinds[server->list.kind].method;
    const char *member = kinds[server->list.kind].member;

    if (message == NULL) return mn_arena_format(scratch, "answers %s with HTTP %u", method, code);
    if (message->kind == JSONRPC_ERROR)
        return mn_arena_format(scratch, "refuses %s with error %lld: %.*s", method,
                               (long long)message->code,
                               message->message.size > 200 ? 200 : (int)message->message.size,
                               (const char *)message->message.data);
    if (!json_is(json_find_str(message->result, member), JSON_ARRAY))
        return mn_arena_format(scratch, "its %s result has no array of %s", method, member);
    return NULL;
}

/* Not a few servers have resources, but never heard of templates. */
static bool upstream_list_is_unknown(const struct upstream *server,
                                     const struct jsonrpc_message *message, uint32_t code)
{
    if (server->list.kind == UPSTREAM_LIST_TOOLS) return false;
    if (message == NULL) return code == 404 || code == 405;
    return message->kind == JSONRPC_ERROR && message->code == JSONRPC_METHOD_NOT_FOUND;
}

static void upstream_list_too_large(struct upstream *server)
{
    const char *why = "lists more than 5000 tools (or other items of one kind), or more than 4 MiB "
                      "in all";

    if (upstream_survey_asks(server))
        upstream_survey_lost(server, why);
    else
        upstream_break(server, why);
}

void upstream_list_on_page(struct upstream *server, const struct jsonrpc_message *message,
                           uint32_t code)
{
    struct upstream_list *list = &server->list;
    const char *fault = upstream_list_fault(server, message, code);
    const struct json *items;
    uint32_t count;

    if (upstream_list_is_unknown(server, message, code)) {
        upstream_list_turn(server, list->kind + 1u);
        return;
    }
    if (server->state == UPSTREAM_READY && !upstream_survey_asks(server) &&
        upstream_list_is_stranger(message, code) &&
        upstream_rehandshake(server, server->http.session_id == NULL))
        return;
    if (fault != NULL) {
        upstream_list_refused(server, fault);
        return;
    }
    if (list->cursors_count == 0) upstream_said_note(server, list->kind, message->result);
    items = json_find_str(message->result, kinds[list->kind].member);
    count = list->kind == UPSTREAM_LIST_TOOLS ? list->found.count : list->items[list->kind].count;
    if (count + items->count > UPSTREAM_TOOLS_MAX ||
        list->size + items->raw.size > UPSTREAM_OFFER_MAX) {
        upstream_list_too_large(server);
        return;
    }
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        upstream_list_add(server, item->raw);
    upstream_list_next(server, json_find_str(message->result, "nextCursor"));
}
