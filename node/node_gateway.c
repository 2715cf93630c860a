/* What the operator's side asks of the gateway, which it cannot see itself. */
#include "node/mcp/describe.h"
#include "node/mcp/describe_curation.h"
#include "node/node_inside.h"
#include "proto/base/check.h"

#define NO_SUCH_SERVER "no server of that name is attached here"

static const struct mn_span no_such_server = {(const uint8_t *)NO_SUCH_SERVER,
                                              sizeof NO_SUCH_SERVER - 1};

static mn_status gateway_restart(struct node *node, struct mn_now now, struct mn_span name,
                                 struct edge_outbox *outbox, struct mn_span *why)
{
    struct mcp_outbox mcp_outbox = node_mcp_outbox(node, outbox);
    return mcp_server_restart(node->mcp, now, name, &mcp_outbox, why);
}

static mn_status gateway_logs(struct node *node, const struct admin_gateway_request *request,
                              struct mn_writer *writer, struct mn_span *why)
{
    struct upstream_info info;
    mn_status status = upstreams_find(mcp_upstreams(node->mcp), request->name, &info);

    if (status == MN_OK)
        mcp_describe_logs(node->mcp, request->name, request->after, writer);
    else
        *why = no_such_server;
    return status;
}

void node_gateway_do(struct node *node, struct mn_now now,
                     const struct admin_gateway_request *request, struct edge_outbox *outbox)
{
    struct admin_gateway_answer answer = {.ticket = request->ticket};
    struct mn_writer writer = {0};
    struct mn_buf *json;

    switch (request->verb) {
    case ADMIN_GATEWAY_SERVERS: mcp_describe_servers(node->mcp, now, &writer); break;
    case ADMIN_GATEWAY_SERVER:
        answer.status = mcp_describe_server(node->mcp, now, request->name, &writer);
        if (answer.status != MN_OK) answer.why = no_such_server;
        break;
    case ADMIN_GATEWAY_TOOLS: mcp_describe_tools(node->mcp, now, &writer); break;
    case ADMIN_GATEWAY_COUNTS: mcp_describe_counts(node->mcp, now, &writer); break;
    case ADMIN_GATEWAY_TOOL:
        answer.status = mcp_describe_tool(node->mcp, now, request->name, &writer);
        break;
    case ADMIN_GATEWAY_VIEWS: mcp_describe_views(node->mcp, &writer); break;
    case ADMIN_GATEWAY_VIEW:
        answer.status = mcp_describe_view(node->mcp, request->name, &writer);
        break;
    case ADMIN_GATEWAY_VIEW_CHECK:
        answer.status =
            mcp_view_check(node->mcp, request->name, request->text, &node->arena, &answer.why);
        break;
    case ADMIN_GATEWAY_PINS: mcp_describe_pins(node->mcp, &writer); break;
    case ADMIN_GATEWAY_RULE:
        answer.status = mcp_describe_rule(node->mcp, request->name, &writer);
        break;
    case ADMIN_GATEWAY_GATHER: /* answers later */
        mn_writer_drop(&writer);
        node_gather_start(node, now, request->ticket, request->after * MN_MS, outbox);
        return;
    case ADMIN_GATEWAY_SERVER_LOGS:
        answer.status = gateway_logs(node, request, &writer, &answer.why);
        break;
    case ADMIN_GATEWAY_SERVER_ADD:
        answer.status = node_servers_add(node, now, request->text, outbox, &answer.why);
        break;
    case ADMIN_GATEWAY_SERVER_REMOVE:
        answer.status = node_servers_remove(node, now, request->name, outbox, &answer.why);
        break;
    case ADMIN_GATEWAY_SERVER_RESTART:
        answer.status = gateway_restart(node, now, request->name, outbox, &answer.why);
        break;
    }
    json = mn_writer_done(&writer);
    answer.json = mn_buf_span(json);
    node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_GATEWAY, .gateway = &answer},
                    outbox);
    mn_buf_unref(json);
}
