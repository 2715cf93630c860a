/* Servers and tools: what the gateway knows, passed on. */
#include "node/admin/admin_internal.h"
#include "proto/base/text.h"

/* ---- servers ---- */

static void servers_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVERS});
}

static void servers_on_list(struct admin_request *request,
                            const struct admin_gateway_answer *answer)
{
    struct reply reply;

    reply_begin(&reply, "ServerList");
    reply_raw(&reply, "items", answer->json);
    reply_raw(&reply, "missing", mn_span_str("[]"));
    reply_raw(&reply, "warnings", mn_span_str("[]"));
    admin_answer(request, 200, &reply);
}

static void ask_by_name(struct admin_request *request, enum admin_gateway_verb verb)
{
    admin_ask_gateway(
        request, (struct admin_gateway_request){.verb = verb, .name = request->exchange->rest});
}

static void server_handle(struct admin_request *request)
{
    ask_by_name(request, ADMIN_GATEWAY_SERVER);
}

static void server_on_one(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct json *server =
        answer->status == MN_OK ? admin_parse(request, answer->json, JSON_OBJECT, 1) : NULL;
    struct reply reply;

    if (server == NULL) {
        admin_fail_status(request, MN_NOT_FOUND, answer->why, "meshctl servers");
        return;
    }
    reply_begin(&reply, "Server");
    reply_members(&reply, server);
    admin_answer(request, 200, &reply);
}

static bool is_refused(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    if (answer->status == MN_OK) return false;
    admin_fail_status(request, answer->status, answer->why, "meshctl servers");
    return true;
}

static void on_done(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    struct reply reply;

    if (is_refused(request, answer)) return;
    reply_begin(&reply, "Done");
    admin_answer(request, 200, &reply);
}

/* A server that was added or removed stays so, also if the node is killed now. */
static void on_written(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    struct reply reply;

    if (is_refused(request, answer)) return;
    reply_begin(&reply, "Done");
    admin_answer_durable(request, &reply);
}

/* True when one of the servers of the body is a command: it would run code on this host. */
static bool body_has_command(const struct json *body)
{
    for (const struct json *key = json_first(body); key != NULL; key = json_next(body, key))
        if (json_find_str(json_value(key), "command") != NULL) return true;
    return false;
}

static void add_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request);

    if (body == NULL) return;
    if (!request->exchange->is_admin && !request->admin->config.allows_remote_exec &&
        body_has_command(body)) {
        admin_fail_text(request, 403, "not_allowed",
                        "a server that runs a command is added on the node's own host only",
                        "use meshctl there, or set admin.remote_exec: true on that node");
        return;
    }
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_ADD,
                                                              .text = body->raw});
}

static void remove_handle(struct admin_request *request)
{
    ask_by_name(request, ADMIN_GATEWAY_SERVER_REMOVE);
}

static void restart_handle(struct admin_request *request)
{
    ask_by_name(request, ADMIN_GATEWAY_SERVER_RESTART);
}

/* ---- tools ---- */

/* Whether the nodes that offer a server would take a call now: all, some or none of them. */
static const char *health_of(struct admin_request *request, struct mn_span server)
{
    const struct core *core = request->admin->config.core;
    struct calls_route *routes = NULL;
    uint32_t count = calls_explain(core_calls(core), request->now, server, request->outbox->arena,
                                   &routes),
             well = 0;

    if (mn_span_is(server, CALL_NAME_MESH)) return "ok"; /* it is this node that answers */
    for (uint32_t i = 0; i < count; i++)
        if (routes[i].reason == CALLS_REASON_OK) well++;
    if (well == 0) return "down";
    return well == count ? "ok" : "degraded";
}

/* Tools come in order of name, so those of one server mostly follow each other. */
struct health {
    struct mn_span server;
    const char *word; /* NULL: not asked yet */
};

static void write_tool(struct reply *reply, struct admin_request *request, const struct json *tool,
                       struct health *health)
{
    struct mn_span server = json_text(json_find_str(tool, "server"));

    if (health->word == NULL || !mn_span_equal(health->server, server))
        *health = (struct health){server, health_of(request, server)};
    reply_members(reply, tool);
    reply_text(reply, "health", health->word);
}

static bool tool_has(struct admin_request *request, const struct json *tool, struct mn_span text)
{
    const struct json *definition = json_find_str(tool, "definition");

    if (text.size == 0) return true;
    if (mn_text_has(json_text(json_find_str(tool, "name")), text)) return true;
    definition = definition == NULL ? NULL : admin_parse(request, definition->raw, JSON_OBJECT, 1);
    return mn_text_has(json_text(json_find_str(definition, "description")), text) ||
           mn_text_has(json_text(json_find_str(definition, "title")), text);
}

static void tools_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_TOOLS});
}

static void tools_on_list(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct json *tools = admin_parse(request, answer->json, JSON_ARRAY, 1);
    struct mn_span find = admin_query(request, "find");
    struct health health = {0};
    struct reply reply;

    reply_list_begin(&reply, "ToolList");
    for (const struct json *item = tools == NULL ? NULL : json_first(tools); item != NULL;
         item = json_next(tools, item)) {
        const struct json *tool = admin_parse(request, item->raw, JSON_OBJECT, 1);
        if (tool == NULL || !tool_has(request, tool, find)) continue;
        reply_object(&reply, NULL);
        write_tool(&reply, request, tool, &health);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void tool_handle(struct admin_request *request)
{
    ask_by_name(request, ADMIN_GATEWAY_TOOL);
}

static void tool_on_one(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct json *tool =
        answer->status == MN_OK ? admin_parse(request, answer->json, JSON_OBJECT, 1) : NULL;
    struct health health = {0};
    struct reply reply;

    if (tool == NULL) {
        admin_fail_status(request, MN_NOT_FOUND, mn_span_str("no tool of that name in the mesh"),
                          "meshctl tools");
        return;
    }
    reply_begin(&reply, "Tool");
    write_tool(&reply, request, tool, &health);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_gateway_routes[] = {
    {"GET", "/v1/servers", NULL, servers_handle, servers_on_list, NULL, NULL},
    {"POST", "/v1/servers", NULL, add_handle, on_written, NULL, NULL},
    {"GET", "/v1/servers/*", NULL, server_handle, server_on_one, NULL, NULL},
    {"DELETE", "/v1/servers/*", NULL, remove_handle, on_written, NULL, NULL},
    {"POST", "/v1/servers/*/restart", NULL, restart_handle, on_done, NULL, NULL},
    {"GET", "/v1/tools", "find", tools_handle, tools_on_list, NULL, NULL},
    {"GET", "/v1/tools/*", NULL, tool_handle, tool_on_one, NULL, NULL},
    {0},
};
