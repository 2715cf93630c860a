#include "node/node_mesh.h"

#include "node/json/json.h"
#include "node/node_inside.h"
#include "proto/base/map.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define INVALID_PARAMS (-32602)
#define METHOD_NOT_FOUND (-32601)
#define INTERNAL (-32603)

/* A call under way: an exchange with the operator's side. */
struct mesh_call {
    struct mn_map_entry by_id;
    uint64_t id, ticket;
    const struct node_mesh_resource *resource; /* NULL: a tool was called */
    bool is_own;                               /* nobody's call: it goes to node_gather.c */
    mn_id asker;                               /* of that */
    uint64_t number;                           /* of that */
    uint32_t code;                             /* of the answer's head */
    struct mn_writer body;
};

struct node_mesh {
    struct mn_map calls;
    uint64_t id_last;
    bool writes;
    struct mn_buf *offer;
    struct json_parser *parser;
};

struct node_mesh *node_mesh_new(bool writes)
{
    struct node_mesh *mesh = mn_alloc(sizeof *mesh);

    mn_map_init(&mesh->calls, 0); /* its keys are our own numbers */
    mesh->writes = writes;
    mesh->parser = json_parser_new();
    return mesh;
}

static void call_free(struct node_mesh *mesh, struct mesh_call *call)
{
    mn_map_remove(&mesh->calls, &call->by_id);
    mn_writer_drop(&call->body);
    mn_free(call);
}

void node_mesh_free(struct node_mesh *mesh)
{
    struct mn_map_entry *entry;

    if (mesh == NULL) return;
    while ((entry = mn_map_next(&mesh->calls, NULL)) != NULL)
        call_free(mesh, MN_CONTAINER(entry, struct mesh_call, by_id));
    mn_map_done(&mesh->calls);
    mn_buf_unref(mesh->offer);
    json_parser_free(mesh->parser);
    mn_free(mesh);
}

/* ---- what it offers ---- */

static struct mn_span write_definition(struct mn_arena *arena, const struct node_mesh_tool *tool)
{
    return mn_span_str(mn_arena_format(
        arena,
        "{\"name\":\"%s\",\"title\":\"%s\",\"description\":\"%s\",\"inputSchema\":%s,"
        "\"annotations\":{\"readOnlyHint\":%s,\"openWorldHint\":false}}",
        tool->name, tool->title, tool->about, tool->schema, tool->is_read_only ? "true" : "false"));
}

static void offer_tools(Meshnode__Gateway__Offer *offer, struct mn_arena *arena)
{
    while (node_mesh_tools[offer->n_tools].name != NULL)
        offer->n_tools++;
    offer->tools = mn_arena_alloc(arena, offer->n_tools * sizeof *offer->tools);
    for (size_t i = 0; i < offer->n_tools; i++) {
        Meshnode__Gateway__Tool *tool = mn_arena_alloc(arena, sizeof *tool);
        meshnode__gateway__tool__init(tool);
        tool->name = mn_arena_format(arena, "%s", node_mesh_tools[i].name);
        tool->definition = pb_bytes(write_definition(arena, &node_mesh_tools[i]));
        tool->read_only = node_mesh_tools[i].is_read_only;
        offer->tools[i] = tool;
    }
}

static void offer_resources(Meshnode__Gateway__Offer *offer, struct mn_arena *arena)
{
    while (node_mesh_resources[offer->n_resources].uri != NULL)
        offer->n_resources++;
    offer->resources = mn_arena_alloc(arena, offer->n_resources * sizeof *offer->resources);
    for (size_t i = 0; i < offer->n_resources; i++) {
        const struct node_mesh_resource *from = &node_mesh_resources[i];
        Meshnode__Gateway__Item *item = mn_arena_alloc(arena, sizeof *item);
        meshnode__gateway__item__init(item);
        item->key = mn_arena_format(arena, "%s", from->uri);
        item->definition =
            pb_bytes(mn_span_str(mn_arena_format(arena,
                                                 "{\"uri\":\"%s\",\"name\":\"%s\",\"description\":"
                                                 "\"%s\",\"mimeType\":\"application/json\"}",
                                                 from->uri, from->name, from->text)));
        offer->resources[i] = item;
    }
}

static struct mn_buf *write_offer(struct mn_arena *arena)
{
    Meshnode__Gateway__Offer offer = MESHNODE__GATEWAY__OFFER__INIT;

    offer_tools(&offer, arena);
    offer_resources(&offer, arena);
    offer.format = 1;
    offer.server_info = pb_bytes(mn_span_str(
        "{\"name\":\"meshnode\",\"title\":\"The mesh\",\"version\":\"" MN_VERSION "\"}"));
    offer.capabilities = pb_bytes(mn_span_str("{\"tools\":{},\"resources\":{\"subscribe\":true}}"));
    offer.instructions =
        mn_arena_format(arena, "%s", "The mesh itself: its members, tools and health.");
    return pb_pack(&offer.base);
}

void node_mesh_start(struct node *node)
{
    node->mesh->offer = write_offer(&node->arena);
    call_emit(&node->to_mcp, CALL_MESSAGE_SERVICE)->service = (struct call_service){
        .name = mn_span_str(CALL_NAME_MESH),
        .body = mn_buf_ref(node->mesh->offer),
        .providers_count = 1,
        .is_listed = true,
    };
}

bool node_mesh_hides(const struct node *node, const struct call_message *message)
{
    return message->type == CALL_MESSAGE_SERVICE &&
           mn_span_is(message->service.name, CALL_NAME_MESH) &&
           message->service.body != node->mesh->offer;
}

/* ---- answers ---- */

static void answer(struct node *node, uint64_t ticket, const Meshnode__Gateway__Event *event)
{
    call_emit(&node->to_mcp, CALL_MESSAGE_EVENT)->event = (struct call_event){
        .ticket = ticket, .kind = CALL_EVENT_RESULT, .payload = pb_pack(&event->base)};
}

static void answer_error(struct node *node, uint64_t ticket, int32_t code, const char *text)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = code;
    error.message = mn_arena_format(&node->arena, "%s", text);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ERROR;
    event.error = &error;
    answer(node, ticket, &event);
}

/* A result, so that the model can read it: what it wants is the operator's to allow. */
static void answer_refusal(struct node *node, uint64_t ticket)
{
    static const char result[] =
        "{\"content\":[{\"type\":\"text\",\"text\":\"this node lets MCP clients only look at the "
        "mesh; its "
        "operator can set mcp.mesh_tools to write, or do it with meshctl\"}],\"isError\":true}";
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(mn_span(result, sizeof result - 1));
    answer(node, ticket, &event);
}

/* What the operator's side said, as text for models and as structure for programs. */
static void write_tool_result(struct mn_writer *result, uint32_t code, struct mn_span json)
{
    mn_writer_str(result, "{\"content\":[{\"type\":\"text\",\"text\":");
    json_write_string(result, json);
    mn_writer_str(result, "}]");
    if (code >= 400) {
        mn_writer_str(result, ",\"isError\":true");
    } else if (json.size > 0) {
        mn_writer_str(result, ",\"structuredContent\":");
        mn_writer_add(result, json);
    }
    mn_writer_str(result, "}");
}

static void write_contents(struct mn_writer *result, const struct node_mesh_resource *resource,
                           struct mn_span json)
{
    mn_writer_format(result,
                     "{\"contents\":[{\"uri\":\"%s\",\"mimeType\":\"application/json\",\"text\":",
                     resource->uri);
    json_write_string(result, json);
    mn_writer_str(result, "}],\"ttlMs\":0,\"cacheScope\":\"private\"}");
}

static void answer_result(struct node *node, struct mesh_call *call)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    struct mn_span json = mn_buf_span(call->body.buf);
    struct mn_writer result = {0};

    while (json.size > 0 && json.data[json.size - 1] == '\n') /* results stand on one line */
        json.size--;
    if (call->is_own) {
        node_gather_on_own(node, &call->asker, call->number, json);
        return;
    }
    if (call->resource == NULL)
        write_tool_result(&result, call->code, json);
    else
        write_contents(&result, call->resource, json);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(mn_buf_span(result.buf));
    answer(node, call->ticket, &event);
    mn_writer_drop(&result);
}

static struct mesh_call *call_find(struct node_mesh *mesh, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&mesh->calls, mn_span(&id, sizeof id));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct mesh_call, by_id);
}

/* True: the output was ours, and is dealt with. */
static bool collect_one(struct node *node, struct edge_output *output)
{
    bool is_http = output->type == EDGE_OUT_HTTP_HEAD || output->type == EDGE_OUT_HTTP_BODY ||
                   output->type == EDGE_OUT_HTTP_PAUSE || output->type == EDGE_OUT_HTTP_ABORT;
    struct mesh_call *call;

    if (!is_http || output->id % 2 != 0) return false;
    call = call_find(node->mesh, output->id);
    if (call != NULL && output->type == EDGE_OUT_HTTP_HEAD) call->code = output->code;
    if (call != NULL && output->type == EDGE_OUT_HTTP_BODY) {
        mn_writer_add(&call->body, mn_buf_span(output->buf));
        if (output->flag) {
            answer_result(node, call);
            call_free(node->mesh, call);
        }
    }
    output->buf = mn_buf_unref(output->buf);
    return true;
}

void node_mesh_collect(struct node *node, struct edge_outbox *outbox, uint32_t begin)
{
    uint32_t kept = begin;

    for (uint32_t i = begin; i < outbox->count; i++)
        if (!collect_one(node, &outbox->items[i])) outbox->items[kept++] = outbox->items[i];
    outbox->count = kept;
}

/* ---- requests ---- */

static void write_encoded(struct mn_writer *path, struct mn_span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (is_plain)
            mn_writer_add(path, mn_span(&c, 1));
        else
            mn_writer_format(path, "%%%02X", c);
    }
}

/* Of a string its text, of a number its digits; empty: neither. */
static struct mn_span path_value(const struct json *value)
{
    return json_is(value, JSON_NUMBER) ? value->raw : json_text(value);
}

/* `{?a,b}`: those of the arguments that are given, as the query (RFC 6570, 3.2.8). */
static void write_query(struct mn_writer *path, struct mn_span names, const struct json *arguments)
{
    char first = '?';

    while (names.size > 0) {
        const uint8_t *comma = memchr(names.data, ',', names.size);
        size_t size = comma == NULL ? names.size : (size_t)(comma - names.data);
        const struct json *value = json_find(arguments, mn_span(names.data, size));
        if (json_is(value, JSON_STRING) || json_is(value, JSON_NUMBER)) {
            mn_writer_format(path, "%c%.*s=", first, (int)size, (const char *)names.data);
            write_encoded(path, path_value(value));
            first = '&';
        }
        names = mn_span(names.data + size, names.size - size);
        if (names.size > 0) names = mn_span(names.data + 1, names.size - 1);
    }
}

/* The path with the arguments in it; false: one is missing. */
static bool write_path(struct mn_writer *path, const char *pattern, const struct json *arguments)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        const char *end = *at == '{' ? strchr(at, '}') : NULL;
        struct mn_span value;
        if (end == NULL) {
            mn_writer_add(path, mn_span(at, 1));
            continue;
        }
        if (at[1] == '?') {
            write_query(path, mn_span(at + 2, (size_t)(end - at) - 2), arguments);
            at = end;
            continue;
        }
        value = path_value(json_find(arguments, mn_span(at + 1, (size_t)(end - at) - 1)));
        if (value.size == 0) return false;
        write_encoded(path, value);
        at = end;
    }
    return true;
}

/* Opens an exchange as the admin socket would, with the whole request in it. */
static void ask(struct node *node, struct mn_now now, const struct mesh_call *call,
                const char *method, struct mn_span path, struct mn_span body,
                struct edge_outbox *outbox)
{
    static const char type[] = "content-type", json[] = "application/json";
    struct edge_header header = {mn_span(type, sizeof type - 1), mn_span(json, sizeof json - 1)};
    struct edge_http_request http = {.listener = EDGE_LISTENER_ADMIN,
                                     .method = mn_span_str(method),
                                     .target = path,
                                     .headers = &header,
                                     .headers_count = 1};
    struct edge_input open = {.type = EDGE_IN_HTTP_OPEN, .id = call->id, .http = &http};
    struct edge_input end = {
        .type = EDGE_IN_HTTP_BODY, .id = call->id, .bytes = body, .is_last = true};

    node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &open}, outbox);
    node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &end}, outbox);
}

static struct mesh_call *call_new(struct node_mesh *mesh, uint64_t ticket)
{
    struct mesh_call *call = mn_alloc(sizeof *call);

    call->id = mesh->id_last += 2;
    call->ticket = ticket;
    mn_map_insert(&mesh->calls, &call->by_id, mn_span(&call->id, sizeof call->id));
    return call;
}

bool node_mesh_ask_own(struct node *node, struct mn_now now, const mn_id *to, uint64_t number,
                       const char *path, struct edge_outbox *outbox)
{
    struct mesh_call *call;

    if (node->mesh->calls.count >= NODE_MESH_CALLS_MAX) return false;
    call = call_new(node->mesh, 0); /* no client's ticket */
    call->is_own = true;
    call->asker = *to;
    call->number = number;
    ask(node, now, call, "GET", mn_span_str(path), mn_span(NULL, 0), outbox);
    return true;
}

static void on_tool(struct node *node, struct mn_now now, uint64_t ticket,
                    const struct json *params, struct edge_outbox *outbox)
{
    const struct json *arguments = json_find_str(params, "arguments");
    struct mn_span name = json_text(json_find_str(params, "name"));
    const struct node_mesh_tool *tool = node_mesh_tools;
    struct mn_writer path = {0};
    bool has_body;

    while (tool->name != NULL && !mn_span_is(name, tool->name))
        tool++;
    if (!json_is(arguments, JSON_OBJECT)) arguments = NULL;
    if (tool->name == NULL || tool->path == NULL) {
        answer_error(node, ticket, INVALID_PARAMS, "the mesh has no tool of that name");
    } else if (!tool->is_read_only && !node->mesh->writes) {
        answer_refusal(node, ticket);
    } else if (!write_path(&path, tool->path, arguments)) {
        answer_error(node, ticket, INVALID_PARAMS, "an argument is missing; see the tool's schema");
    } else {
        has_body = strcmp(tool->method, "GET") != 0 && arguments != NULL;
        ask(node, now, call_new(node->mesh, ticket), tool->method, mn_buf_span(path.buf),
            has_body ? arguments->raw : mn_span(NULL, 0), outbox);
    }
    mn_writer_drop(&path);
}

static void on_read(struct node *node, struct mn_now now, uint64_t ticket,
                    const struct json *params, struct edge_outbox *outbox)
{
    struct mn_span uri = json_text(json_find_str(params, "uri"));
    const struct node_mesh_resource *resource = node_mesh_resources;
    struct mesh_call *call;

    while (resource->uri != NULL && !mn_span_is(uri, resource->uri))
        resource++;
    if (resource->uri == NULL) {
        answer_error(node, ticket, INVALID_PARAMS, "the mesh has no resource of that URI");
        return;
    }
    call = call_new(node->mesh, ticket);
    call->resource = resource;
    ask(node, now, call, "GET", mn_span_str(resource->path), mn_span(NULL, 0), outbox);
}

static void on_request(struct node *node, struct mn_now now, const struct call_request *request,
                       struct edge_outbox *outbox)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 3, 65536};
    const Meshnode__Gateway__Request *asked = pb_unpack(
        &meshnode__gateway__request__descriptor, &node->arena, mn_buf_span(request->payload));
    const struct json *params;
    struct mn_span method;

    if (asked == NULL || json_parse_copy(node->mesh->parser, pb_span(asked->params), limits,
                                         &node->arena, &params) != MN_OK) {
        answer_error(node, request->ticket, INVALID_PARAMS, "the parameters are too large");
        return;
    }
    method = pb_text(asked->method);
    if (node->mesh->calls.count >= NODE_MESH_CALLS_MAX)
        answer_error(node, request->ticket, INTERNAL, "too many questions at once; try again");
    else if (mn_span_is(method, "tools/call"))
        on_tool(node, now, request->ticket, params, outbox);
    else if (mn_span_is(method, "subscriptions/listen") && node_feeds_open(node, request->ticket))
        return;
    else if (mn_span_is(method, "resources/read"))
        on_read(node, now, request->ticket, params, outbox);
    else
        answer_error(node, request->ticket, METHOD_NOT_FOUND, "the mesh has tools and resources");
}

/* The client went away: so does the exchange. */
static bool on_cancel(struct node *node, struct mn_now now, uint64_t ticket,
                      struct edge_outbox *outbox)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&node->mesh->calls, entry)) != NULL) {
        struct mesh_call *call = MN_CONTAINER(entry, struct mesh_call, by_id);
        struct edge_input gone = {.type = EDGE_IN_HTTP_GONE, .id = call->id};
        if (call->ticket != ticket) continue;
        call_free(node->mesh, call);
        node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = &gone},
                        outbox);
        return true;
    }
    return false;
}

bool node_mesh_takes(struct node *node, struct mn_now now, const struct call_message *message,
                     struct edge_outbox *outbox)
{
    if (node_feeds_takes(node, message)) return true;
    if (message->type == CALL_MESSAGE_CANCEL) return on_cancel(node, now, message->ticket, outbox);
    if (message->type != CALL_MESSAGE_REQUEST ||
        !mn_span_is(message->request.service, CALL_NAME_MESH))
        return false;
    on_request(node, now, &message->request, outbox);
    return true;
}
