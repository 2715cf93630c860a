#include "node/mcp/upstream_list.h"

#include "node/mcp/upstream.h"
#include "node/mcp/upstream_call.h"
#include "node/mcp/upstream_message.h"
#include "node/mcp/upstream_request.h"
#include "proto/pb.h"

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
    mn_arena_done(&list->arena);
    upstream_tools_done(&list->found);
    *list = (struct upstream_list){0};
}

static void upstream_list_ask(struct upstream *server, struct mn_span cursor)
{
    mn_time timeout = server->config->handshake_timeout != 0 ? server->config->handshake_timeout
                                                             : UPSTREAM_HANDSHAKE_TIMEOUT;
    struct upstream_request *request = upstream_request_new(server, UPSTREAM_REQUEST_LIST, timeout);

    upstream_request_carry(request, upstream_message_list(server, request->id, cursor),
                           "tools/list");
}

static void upstream_list_finish(struct upstream *server);

void upstream_list_start(struct upstream *server)
{
    struct upstream_list *list = &server->list;

    upstream_timer_clear(server->host, &server->relist_timer);
    if (list->is_active) {
        list->is_stale = true;
        return;
    }
    list->is_active = true;
    mn_map_init(&list->found.names, rng_u64(&server->host->rng));
    if (server->has_tools)
        upstream_list_ask(server, mn_span(NULL, 0));
    else
        upstream_list_finish(server);
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
    struct upstream_params params = {0};

    if (name.size == 0 || name.size > UPSTREAM_TOOL_NAME_MAX ||
        memchr(name.data, 0, name.size) != NULL || mn_map_find(&found->names, name) != NULL)
        return NULL;
    /* The marks are a matter of HTTP: over stdio they mean nothing and are not judged. */
    if (server->is_http && upstream_is_modern(server) &&
        upstream_headers_params(json_find_str(tool, "inputSchema"), &found->arena, &params) !=
            MN_OK)
        return NULL;
    struct upstream_tool *item = mn_arena_alloc(&found->arena, sizeof *item);
    *item = (struct upstream_tool){.name = mn_arena_copy(&found->arena, name), .params = params};
    mn_map_insert(&found->names, &item->by_name, item->name);
    return item;
}

static void upstream_list_add(struct upstream *server, struct mn_span raw)
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
    return pb_pack(&offer.base);
}

static void upstream_list_finish(struct upstream *server)
{
    struct upstream_list *list = &server->list;
    struct mn_buf *offer = upstream_list_pack(server);
    bool is_stale = list->is_stale;

    if (offer->size > UPSTREAM_OFFER_MAX) {
        mn_buf_unref(offer);
        upstream_break(server, "its tools, instructions and capabilities are over 4 MiB");
        return;
    }
    if (list->found.dropped_count > 0 && list->found.dropped_count != server->tools.dropped_count)
        upstream_note(server, mn_arena_format(&server->host->scratch,
                                              "%u of its tools cannot be offered: no usable name, "
                                              "a name used twice, or a wrong x-mcp-header",
                                              list->found.dropped_count));
    upstream_tools_done(&server->tools);
    server->tools = list->found;
    list->found = (struct upstream_tools){0};
    upstream_list_drop(list);
    upstream_offer(server, offer);
    upstream_ready(server);
    if (is_stale) upstream_relist_soon(server);
}

/* An error keeps the tools of a running server as they are. */
static void upstream_list_refused(struct upstream *server, const char *why)
{
    if (server->state != UPSTREAM_READY) {
        upstream_break(server, why);
        return;
    }
    upstream_note(server, why);
    upstream_list_drop(&server->list);
    upstream_poll(server);
    upstream_call_flush_queue(server);
}

static void upstream_list_next(struct upstream *server, const struct json *cursor)
{
    if (!json_is(cursor, JSON_STRING)) {
        upstream_list_finish(server);
    } else if (upstream_list_is_new_cursor(&server->list, cursor->raw)) {
        upstream_list_ask(server, cursor->raw);
    } else {
        upstream_note(server, "its tools/list repeats a cursor, or has too many pages; the list "
                              "ends there");
        upstream_list_finish(server);
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

void upstream_list_on_page(struct upstream *server, const struct jsonrpc_message *message,
                           uint32_t code)
{
    struct mn_arena *scratch = &server->host->scratch;
    struct upstream_list *list = &server->list;

    if (server->state == UPSTREAM_READY && upstream_list_is_stranger(message, code) &&
        upstream_rehandshake(server, server->http.session_id == NULL))
        return;
    if (message == NULL || message->kind == JSONRPC_ERROR) {
        upstream_list_refused(
            server, message == NULL
                        ? mn_arena_format(scratch, "answers tools/list with HTTP %u", code)
                        : mn_arena_format(scratch, "refuses tools/list with error %lld",
                                          (long long)message->code));
        return;
    }
    const struct json *tools = json_find_str(message->result, "tools");
    if (!json_is(tools, JSON_ARRAY)) {
        upstream_list_refused(server, "its tools/list result has no array of tools");
        return;
    }
    if (list->found.count + tools->count > UPSTREAM_TOOLS_MAX ||
        list->size + tools->raw.size > UPSTREAM_OFFER_MAX) {
        upstream_break(server, "lists more than 5000 tools, or more than 4 MiB of them");
        return;
    }
    for (const struct json *tool = json_first(tools); tool != NULL; tool = json_next(tools, tool))
        upstream_list_add(server, tool->raw);
    upstream_list_next(server, json_find_str(message->result, "nextCursor"));
}
