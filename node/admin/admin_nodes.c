/* The members, and which of them would take a call. */
#include "node/admin/admin_internal.h"

/* Tools of node [name]: the sum over its servers in {"NAME.NODE": count}. */
static uint64_t node_tools(const struct json *counts, struct mn_span name)
{
    uint64_t total = 0;

    for (const struct json *key = counts == NULL ? NULL : json_first(counts); key != NULL;
         key = json_next(counts, key)) {
        int64_t count = 0;
        size_t skip = key->text.size > name.size ? key->text.size - name.size : 0;
        if (skip == 0 || key->text.data[skip - 1] != '.') continue;
        if (!mn_span_equal(mn_span(key->text.data + skip, name.size), name)) continue;
        if (json_i64(json_value(key), &count) == MN_OK && count > 0) total += (uint64_t)count;
    }
    return total;
}

static void write_link(struct reply *reply, const struct peers_link *link, struct mn_now now)
{
    const struct link_stats *stats = peers_link_stats(link);
    size_t queued = 0;

    for (enum envelope_priority p = ENVELOPE_CRITICAL; p <= ENVELOPE_BACKGROUND; p++)
        queued += peers_link_queued(link, p);
    reply_object(reply, "link");
    reply_text(reply, "address", link->address);
    reply_bool(reply, "dialed", link->is_dialer);
    reply_ms(reply, "up_ms", now.mono - link->since);
    reply_ms(reply, "rtt_ms", stats->rtt_us);
    reply_u64(reply, "in_bytes", stats->bytes_in);
    reply_u64(reply, "out_bytes", stats->bytes_out);
    reply_u64(reply, "queued_bytes", queued);
    reply_u64(reply, "rekeys", stats->rekeys_in + stats->rekeys_out);
    reply_u64(reply, "fault_score", link->score);
    reply_i64(reply, "clock_difference_ms", link->wall_difference_ms);
    reply_object_end(reply);
}

static void write_node(struct reply *reply, struct admin_request *request,
                       const struct member *member, const struct json *counts)
{
    const struct core *core = request->admin->config.core;
    const struct peers_link *link = peers_find(core_peers(core), &member->node_id);
    struct mn_span name = mn_span_str(member->record->grant.name);

    reply_object(reply, NULL);
    reply_str(reply, "name", name);
    reply_id(reply, "id", &member->node_id);
    reply_text(reply, "status", member_status_name(member->status));
    reply_bool(reply, "self", member->is_self);
    reply_bool(reply, "conflicted", member->is_conflicted);
    reply_text(reply, "role", grant_role_name(member->record->said.role));
    reply_str(reply, "region", member->record->said.region);
    reply_str(reply, "zone", member->record->said.zone);
    reply_u64(reply, "incarnation", member->incarnation);
    reply_u64(reply, "tools", node_tools(counts, name));
    reply_ms(reply, "since_ms", request->now.mono - member->since);
    reply_time(reply, "grant_expires", member->record->grant.not_after_ms * MN_MS);
    reply_array(reply, "addresses");
    for (uint32_t i = 0; i < member->record->said.addrs_count; i++)
        reply_str(reply, NULL, member->record->said.addrs[i]);
    reply_array_end(reply);
    if (member->is_self) {
        reply_str(reply, "version", core_self(core).version);
    } else if (link != NULL) {
        reply_str(reply, "version", mn_span_str(link->version));
        write_link(reply, link, request->now);
    } else {
        reply_null(reply, "link");
    }
    reply_object_end(reply);
}

static void nodes_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_COUNTS});
}

static void nodes_answered(struct admin_request *request,
                           const struct admin_gateway_answer *gateway,
                           const struct core_reply *core_reply)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct json_limits limits = {.depth_max = 2, .depth_kept = 1, .nodes_max = 65536};
    const struct json *counts = NULL;
    struct reply reply;

    (void)core_reply;
    if (json_parse_copy(request->admin->parser, gateway->json, limits, request->outbox->arena,
                        &counts) != MN_OK)
        counts = NULL;
    reply_list_begin(&reply, "NodeList");
    for (const struct member *member = membership == NULL ? NULL
                                                          : membership_next(membership, NULL);
         member != NULL; member = membership_next(membership, member))
        write_node(&reply, request, member, counts);
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void route_handle(struct admin_request *request)
{
    admin_ask_gateway(
        request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_TOOL, .name = request->rest});
}

static void write_route(struct reply *reply, const struct calls_route *route)
{
    const struct balance_explain *score = &route->score;

    reply_object(reply, NULL);
    reply_str(reply, "node", route->node_name);
    reply_id(reply, "id", &route->node);
    reply_bool(reply, "local", route->is_local);
    reply_bool(reply, "winner", route->is_winner);
    reply_text(reply, "reason", calls_reason_name(route->reason));
    reply_ms(reply, "rtt_ms", route->rtt);
    reply_ms(reply, "latency_ms", score->latency);
    reply_u64(reply, "in_flight", score->in_flight);
    reply_u64(reply, "load", score->load);
    reply_bool(reply, "hot", score->is_hot);
    reply_u64(reply, "score", score->score);
    reply_u64(reply, "score_latency", score->score_latency);
    reply_u64(reply, "score_load", score->score_load);
    reply_u64(reply, "score_availability", score->score_availability);
    reply_ms(reply, "breaker_open_ms", score->open_for);
    reply_u64(reply, "calls", score->calls);
    reply_u64(reply, "failures", score->failures);
    reply_object_end(reply);
}

static void route_answered(struct admin_request *request,
                           const struct admin_gateway_answer *gateway,
                           const struct core_reply *core_reply)
{
    const struct json_limits limits = {.depth_max = 64, .depth_kept = 1, .nodes_max = 1024};
    const struct json *tool = NULL;
    struct calls_route *routes = NULL;
    struct mn_span server;
    uint32_t count;
    struct reply reply;

    (void)core_reply;
    if (gateway->status != MN_OK || json_parse_copy(request->admin->parser, gateway->json, limits,
                                                    request->outbox->arena, &tool) != MN_OK) {
        admin_fail(request, 404, "not_found", mn_span_str("no tool of that name in the mesh"),
                   "meshctl tools");
        return;
    }
    server = json_text(json_find_str(tool, "server"));
    count = calls_explain(core_calls(request->admin->config.core), request->now, server,
                          request->outbox->arena, &routes);
    reply_list_begin(&reply, "RouteList");
    for (uint32_t i = 0; i < count; i++)
        write_route(&reply, &routes[i]);
    reply_array_end(&reply);
    reply_str(&reply, "server", server);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_node_routes[] = {
    {"GET", "/v1/nodes", nodes_handle, nodes_answered},
    {"GET", "/v1/route/*", route_handle, route_answered},
    {0},
};
