/* The members, and which of them would take a call. */
#include "crypto/token.h"
#include "node/admin/admin_internal.h"
#include "proto/base/text.h"

#define MATCHES_SHOWN 10 /* of an ambiguous name */

/* ---- tools per node ---- */

/* Sums up {"NAME.NODE": count} by NODE; server names have no dot. */
struct tally {
    struct mn_map_entry by_node;
    uint64_t tools;
};

struct tallies {
    struct mn_map map; /* entries live in the arena of the turn */
};

static void tallies_init(struct tallies *tallies, struct mn_arena *arena, const struct json *counts)
{
    const struct json *offered = json_find_str(counts, "offered");

    mn_map_init(&tallies->map, 0);
    if (!json_is(offered, JSON_OBJECT)) return;
    for (const struct json *key = json_first(offered); key != NULL; key = json_next(offered, key)) {
        const uint8_t *dot =
            key->text.size == 0 ? NULL : memchr(key->text.data, '.', key->text.size);
        struct mn_map_entry *entry;
        struct mn_span node;
        int64_t count = 0;
        if (dot == NULL || json_i64(json_value(key), &count) != MN_OK || count < 0) continue;
        node = mn_span(dot + 1, key->text.size - (size_t)(dot + 1 - key->text.data));
        entry = mn_map_find(&tallies->map, node);
        if (entry == NULL) {
            struct tally *tally = mn_arena_alloc(arena, sizeof *tally);
            *tally = (struct tally){0};
            entry = &tally->by_node;
            mn_map_insert(&tallies->map, entry, node);
        }
        MN_CONTAINER(entry, struct tally, by_node)->tools += (uint64_t)count;
    }
}

static uint64_t tallies_get(const struct tallies *tallies, struct mn_span node)
{
    const struct mn_map_entry *entry = mn_map_find(&tallies->map, node);
    return entry == NULL ? 0 : ((const struct tally *)(const void *)entry)->tools;
}

/* Live nodes that share a name are told apart by eight digits of their ids (services.h). */
static uint64_t member_tools(const struct tallies *tallies, struct mn_arena *arena,
                             const struct member *member)
{
    char digits[MN_ID_TEXT_SIZE];
    const char *name = member->record->grant.name, *full;

    if (member->status == MEMBER_DEAD || member->status == MEMBER_LEFT) return 0;
    full = mn_arena_format(arena, "%s-%.8s", name, mn_id_format(&member->node_id, digits));
    return tallies_get(tallies, mn_span_str(name)) + tallies_get(tallies, mn_span_str(full));
}

/* ---- one member ---- */

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
    if (stats->rtt_us > 0)
        reply_ms(reply, "rtt_ms", stats->rtt_us);
    else
        reply_null(reply, "rtt_ms");
    reply_u64(reply, "in_bytes", stats->bytes_in);
    reply_u64(reply, "out_bytes", stats->bytes_out);
    reply_u64(reply, "queued_bytes", queued);
    reply_u64(reply, "rekeys", stats->rekeys_in + stats->rekeys_out);
    reply_u64(reply, "fault_score", link->score);
    reply_i64(reply, "clock_difference_ms", link->wall_difference_ms);
    reply_object_end(reply);
}

bool admin_is_gone(const struct member *member)
{
    return member == NULL || member->status == MEMBER_DEAD || member->status == MEMBER_LEFT;
}

void admin_write_version(struct reply *reply, struct admin_request *request, const mn_id *node)
{
    const struct core *core = request->admin->config.core;
    const struct core_self self = core_self(core);
    const struct peers_link *link = peers_find(core_peers(core), node);

    if (mn_id_equal(node, &self.node_id))
        reply_str(reply, "version", self.version);
    else if (link != NULL)
        reply_text(reply, "version", link->version);
    else
        reply_null(reply, "version");
}

/* What is known only of ourselves and of those we have a link to. */
static void write_near(struct reply *reply, struct admin_request *request,
                       const struct member *member)
{
    const struct core *core = request->admin->config.core;
    const struct peers_link *link = peers_find(core_peers(core), &member->node_id);

    admin_write_version(reply, request, &member->node_id);
    reply_ms(reply, "sent_away_ms",
             member->is_self ? 0
                             : peers_banned_for(core_peers(core), request->now, &member->node_id));
    if (link != NULL)
        write_link(reply, link, request->now);
    else
        reply_null(reply, "link");
}

/* That it came by, as `token ls` names it. */
static void write_token_of(struct reply *reply, const mn_id *token)
{
    char id[TOKEN_ID_TEXT_SIZE];

    if (mn_id_is_zero(token))
        reply_null(reply, "token");
    else
        reply_text(reply, "token", token_id_format(token, id));
}

static void write_member(struct reply *reply, struct admin_request *request,
                         const struct member *member, const struct tallies *tallies)
{
    const struct record *record = member->record;

    reply_text(reply, "name", record->grant.name);
    reply_id(reply, "id", &member->node_id);
    reply_text(reply, "status", member_status_name(member->status));
    reply_bool(reply, "self", member->is_self);
    reply_bool(reply, "conflicted", member->is_conflicted);
    reply_text(reply, "role", grant_role_name(record->said.role));
    reply_str(reply, "region", record->said.region);
    reply_str(reply, "zone", record->said.zone);
    reply_u64(reply, "incarnation", member->incarnation);
    reply_u64(reply, "tools", member_tools(tallies, request->outbox->arena, member));
    reply_ms(reply, "since_ms", request->now.mono - member->since);
    reply_time(reply, "grant_expires", record->grant.not_after_ms * MN_MS);
    write_token_of(reply, &record->grant.token_id);
    reply_array(reply, "addresses");
    for (uint32_t i = 0; i < record->said.addrs_count; i++)
        reply_str(reply, NULL, record->said.addrs[i]);
    reply_array_end(reply);
    write_near(reply, request, member);
}

static void counts_ask(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_COUNTS});
}

/* ---- all of them, by name ---- */

static bool member_is_before(const struct member *a, const struct member *b)
{
    int order = strcmp(a->record->grant.name, b->record->grant.name);
    return order != 0 ? order < 0 : mn_id_compare(&a->node_id, &b->node_id) < 0;
}

/* Merges the sorted from[begin..middle) and from[middle..end) into [to]. */
static void members_merge(const struct member **from, const struct member **to, uint32_t begin,
                          uint32_t middle, uint32_t end)
{
    uint32_t left = begin, right = middle;

    for (uint32_t i = begin; i < end; i++)
        to[i] = right >= end || (left < middle && !member_is_before(from[right], from[left]))
                    ? from[left++]
                    : from[right++];
}

/* Returns one of the two arrays, sorted. Merge sort: the standard library's qsort() may allocate.
 */
static const struct member **members_sort(const struct member **members,
                                          const struct member **scratch, uint32_t count)
{
    for (uint32_t run = 1; run < count; run *= 2) {
        const struct member **sorted = scratch;
        for (uint32_t begin = 0; begin < count; begin += 2 * run) {
            uint32_t middle = begin + run < count ? begin + run : count;
            uint32_t end = begin + 2 * run < count ? begin + 2 * run : count;
            members_merge(members, sorted, begin, middle, end);
        }
        scratch = members;
        members = sorted;
    }
    return members;
}

static const struct member **members_by_name(struct admin_request *request, uint32_t *count)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *member = NULL, **members = NULL, **scratch;
    uint32_t capacity = 0;

    *count = 0;
    while (membership != NULL && (member = membership_next(membership, member)) != NULL) {
        members =
            mn_arena_grow(request->outbox->arena, members, *count, &capacity, sizeof *members);
        members[(*count)++] = member;
    }
    scratch = mn_arena_alloc(request->outbox->arena, *count * sizeof *scratch);
    return members_sort(members, scratch, *count);
}

static void nodes_on_counts(struct admin_request *request,
                            const struct admin_gateway_answer *answer)
{
    uint32_t count;
    const struct member **members = members_by_name(request, &count);
    struct tallies tallies;
    struct reply reply;

    tallies_init(&tallies, request->outbox->arena,
                 admin_parse(request, answer->json, JSON_OBJECT, 2));
    reply_list_begin(&reply, "NodeList");
    for (uint32_t i = 0; i < count; i++) {
        reply_object(&reply, NULL);
        write_member(&reply, request, members[i], &tallies);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    mn_map_done(&tallies.map);
    admin_answer(request, 200, &reply);
}

/* ---- finding one by its name, its id, or the beginning of its id ---- */

bool admin_id_begins(const mn_id *id, struct mn_span prefix)
{
    char text[MN_ID_TEXT_SIZE];

    mn_id_format(id, text);
    return prefix.size >= ADMIN_PREFIX_MIN && prefix.size < MN_ID_TEXT_SIZE &&
           memcmp(text, prefix.data, prefix.size) == 0;
}

/* How well [name] names the member: the living before the dead, a name before an id's prefix. */
static int match_rank(const struct member *member, struct mn_span name)
{
    bool is_gone = member->status == MEMBER_DEAD || member->status == MEMBER_LEFT;

    if (mn_span_is(name, member->record->grant.name)) return is_gone ? 2 : 3;
    return admin_id_begins(&member->node_id, name) ? 1 : 0;
}

struct match {
    const struct member *member; /* the first of the best */
    int rank;
    uint32_t count; /* of that rank */
    const char *all;
};

static struct match match_find(struct admin_request *request, struct mn_span name)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *member = NULL;
    struct match match = {.all = ""};
    char id[MN_ID_TEXT_SIZE];

    while (membership != NULL && (member = membership_next(membership, member)) != NULL) {
        int rank = match_rank(member, name);
        if (rank == 0 || rank < match.rank) continue;
        if (rank > match.rank) match = (struct match){member, rank, 0, ""};
        if (match.count++ >= MATCHES_SHOWN) continue;
        match.all = mn_arena_format(request->outbox->arena, "%s%s%s (%s)", match.all,
                                    match.count == 1 ? "" : ", ", member->record->grant.name,
                                    mn_id_format(&member->node_id, id));
    }
    return match;
}

const struct member *admin_find_node(struct admin_request *request, struct mn_span name)
{
    struct match match = match_find(request, name);
    struct mn_arena *arena = request->outbox->arena;

    if (match.count == 1) return match.member;
    if (match.count == 0)
        admin_fail_text(
            request, 404, "not_found",
            mn_arena_format(arena,
                            "no member is called %.*s, and no id begins so (%u digits at "
                            "least)",
                            (int)name.size, (const char *)name.data, ADMIN_PREFIX_MIN),
            "meshctl nodes");
    else
        admin_fail_text(request, 409, "ambiguous",
                        mn_arena_format(arena, "%.*s may be %u members: %s", (int)name.size,
                                        (const char *)name.data, match.count, match.all),
                        "meshctl nodes show ID");
    return NULL;
}

static void node_on_counts(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct member *member = admin_find_node(request, request->exchange->rest);
    struct tallies tallies;
    struct reply reply;

    if (member == NULL) return;
    tallies_init(&tallies, request->outbox->arena,
                 admin_parse(request, answer->json, JSON_OBJECT, 2));
    reply_begin(&reply, "Node");
    write_member(&reply, request, member, &tallies);
    mn_map_done(&tallies.map);
    admin_answer(request, 200, &reply);
}

/* ---- route ---- */

static void route_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_TOOL,
                                                              .name = request->exchange->rest});
}

static void write_score(struct reply *reply, const struct balance_explain *score)
{
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
}

static void write_route(struct reply *reply, const struct calls_route *route, bool is_held)
{
    reply_object(reply, NULL);
    reply_str(reply, "node", route->node_name);
    reply_id(reply, "id", &route->node);
    reply_bool(reply, "local", route->is_local);
    reply_bool(reply, "winner", route->is_winner && !is_held);
    reply_text(reply, "reason", calls_reason_name(route->reason));
    if (route->rtt > 0)
        reply_ms(reply, "rtt_ms", route->rtt);
    else
        reply_null(reply, "rtt_ms");
    write_score(reply, &route->score);
    reply_object_end(reply);
}

static void route_on_tool(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    struct mn_arena *arena = request->outbox->arena;
    const struct json *tool =
        answer->status == MN_OK ? admin_parse(request, answer->json, JSON_OBJECT, 1) : NULL;
    const struct json *held = json_find_str(tool, "held");
    struct calls_route *routes = NULL;
    struct mn_span server;
    uint32_t count;
    struct reply reply;

    if (tool == NULL) {
        admin_fail_status(request, MN_NOT_FOUND, mn_span_str("no tool of that name in the mesh"),
                          "meshctl tools");
        return;
    }
    server = json_text(json_find_str(tool, "server"));
    count = calls_explain(core_calls(request->admin->config.core), request->now, server, arena,
                          &routes);
    reply_begin(&reply, "RouteList");
    reply_str(&reply, "tool", json_text(json_find_str(tool, "name")));
    reply_str(&reply, "server", server);
    if (json_is(held, JSON_STRING))
        reply_str(&reply, "held", json_text(held));
    else
        reply_null(&reply, "held");
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < count; i++)
        write_route(&reply, &routes[i], json_is(held, JSON_STRING));
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_node_routes[] = {
    {"GET", "/v1/nodes", NULL, counts_ask, nodes_on_counts, NULL, NULL},
    {"GET", "/v1/nodes/*", NULL, counts_ask, node_on_counts, NULL, NULL},
    {"GET", "/v1/route/*", NULL, route_handle, route_on_tool, NULL, NULL},
    {0},
};
