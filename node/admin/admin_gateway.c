/* Servers and tools: what the gateway knows, passed on. */
#include "node/admin/admin_internal.h"

static void servers_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVERS});
}

static void tools_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_TOOLS});
}

static void answer_list(struct admin_request *request, const char *kind,
                        const struct admin_gateway_answer *gateway)
{
    struct reply reply;

    if (gateway->status != MN_OK) {
        admin_fail_status(request, gateway->status, gateway->why);
        return;
    }
    reply_begin(&reply, kind);
    reply_raw(&reply, "items", gateway->json);
    reply_raw(&reply, "missing", mn_span_str("[]"));
    reply_raw(&reply, "warnings", mn_span_str("[]"));
    admin_answer(request, 200, &reply);
}

static void servers_answered(struct admin_request *request,
                             const struct admin_gateway_answer *gateway,
                             const struct core_reply *core_reply)
{
    (void)core_reply;
    answer_list(request, "ServerList", gateway);
}

static void tools_answered(struct admin_request *request,
                           const struct admin_gateway_answer *gateway,
                           const struct core_reply *core_reply)
{
    (void)core_reply;
    answer_list(request, "ToolList", gateway);
}

static void done_answered(struct admin_request *request, const struct admin_gateway_answer *gateway,
                          const struct core_reply *core_reply)
{
    struct reply reply;

    (void)core_reply;
    if (gateway->status != MN_OK) {
        admin_fail_status(request, gateway->status, gateway->why);
        return;
    }
    reply_begin(&reply, "Done");
    admin_answer(request, 200, &reply);
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
        admin_fail(request, 403, "not_allowed",
                   mn_span_str("a server that runs a command is added on the node's own host only"),
                   "use meshctl there, or set admin.remote_exec: true on that node");
        return;
    }
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_ADD,
                                                              .text = body->raw});
}

static void remove_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_REMOVE,
                                                              .name = request->rest});
}

static void restart_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_RESTART,
                                                              .name = request->rest});
}

const struct admin_route admin_gateway_routes[] = {
    {"GET", "/v1/servers", servers_handle, servers_answered},
    {"POST", "/v1/servers", add_handle, done_answered},
    {"DELETE", "/v1/servers/*", remove_handle, done_answered},
    {"POST", "/v1/servers/*/restart", restart_handle, done_answered},
    {"GET", "/v1/tools", tools_handle, tools_answered},
    {0},
};
