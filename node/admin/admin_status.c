/* The node itself: status, health, readiness, version, findings. */
#include "node/admin/admin_internal.h"

static void write_self(struct reply *reply, const struct admin *admin, struct mn_now now)
{
    struct core_self self = core_self(admin->config.core);

    reply_object(reply, "node");
    reply_str(reply, "name", self.name);
    reply_id(reply, "id", &self.node_id);
    reply_text(reply, "state", core_state_name(self.state));
    reply_bool(reply, "ready", self.is_ready && !admin->is_stopping);
    reply_bool(reply, "issuer", self.is_issuer);
    reply_text(reply, "role", grant_role_name(self.role));
    reply_str(reply, "region", self.region);
    reply_str(reply, "zone", self.zone);
    reply_str(reply, "version", self.version);
    reply_u64(reply, "incarnation", self.incarnation);
    reply_ms(reply, "uptime_ms", now.mono - self.started);
    reply_str(reply, "http", admin->config.http_listen);
    reply_object_end(reply);
}

static void write_mesh(struct reply *reply, const struct core *core, struct mn_now now)
{
    struct core_self self = core_self(core);
    const struct membership *membership = core_membership(core);
    const struct grant *grant = admission_grant(core_admission(core));

    reply_object(reply, "mesh");
    reply_id(reply, "id", &self.mesh_id);
    reply_bool(reply, "dev", self.is_dev);
    for (enum member_status status = MEMBER_ALIVE; status <= MEMBER_LEFT; status++)
        reply_u64(reply, member_status_name(status),
                  membership == NULL ? 0 : membership_count(membership, status));
    reply_u64(reply, "links", peers_counts(core_peers(core)).members);
    if (grant != NULL) {
        reply_time(reply, "grant_expires", grant->not_after_ms * MN_MS);
        reply_bool(reply, "grant_expires_soon",
                   grant->not_after_ms <
                       mn_wall_ms(now) + (grant->not_after_ms - grant->not_before_ms) / 5);
    }
    if (self.state == CORE_JOINING)
        reply_text(reply, "last_refusal", admission_code_name(self.last_refusal));
    reply_object_end(reply);
}

static void write_calls(struct reply *reply, const struct core *core)
{
    struct calls_stats stats = calls_stats(core_calls(core));

    reply_object(reply, "calls");
    reply_u64(reply, "open", stats.open);
    reply_u64(reply, "queued", stats.queued);
    reply_u64(reply, "served_now", stats.served);
    reply_u64(reply, "started", stats.started);
    reply_u64(reply, "finished", stats.finished);
    reply_u64(reply, "failed", stats.failed);
    reply_u64(reply, "failed_over", stats.failed_over);
    reply_u64(reply, "outcome_unknown", stats.unknown);
    reply_u64(reply, "timed_out", stats.timed_out);
    reply_u64(reply, "cancelled", stats.cancelled);
    reply_u64(reply, "duplicates", stats.duplicates);
    reply_object_end(reply);
}

static void write_net(struct reply *reply, const struct core *core)
{
    struct peers_counts counts = peers_counts(core_peers(core));

    reply_object(reply, "net");
    reply_u64(reply, "garbage", counts.garbage_http + counts.garbage_tls + counts.garbage_other);
    reply_u64(reply, "handshakes", counts.handshakes_done);
    reply_u64(reply, "handshakes_failed", counts.handshakes_failed);
    reply_u64(reply, "dials_failed", counts.dials_failed);
    reply_u64(reply, "refused",
              counts.refused_rate + counts.refused_half_open + counts.refused_full);
    reply_object_end(reply);
}

/* ---- findings: what is not well, and the next command to try ---- */

struct finding {
    const char *level, *code, *text, *next; /* level: "warning" or "critical" */
};

static uint32_t find_problems(const struct core *core, struct mn_now now, struct finding *ret)
{
    struct core_self self = core_self(core);
    const struct membership *membership = core_membership(core);
    const struct grant *grant = admission_grant(core_admission(core));
    uint32_t count = 0;

    if (self.state == CORE_JOINING)
        ret[count++] = (struct finding){"critical", "not_joined", "not a member of a mesh yet",
                                        "meshctl events: see who refuses it"};
    if (membership != NULL && membership_count(membership, MEMBER_SUSPECT) > 0)
        ret[count++] =
            (struct finding){"warning", "suspects", "some members do not answer", "meshctl nodes"};
    if (membership != NULL && membership_count(membership, MEMBER_DEAD) > 0)
        ret[count++] =
            (struct finding){"warning", "dead_members", "some members are dead", "meshctl nodes"};
    if (self.is_issuer && membership != NULL && membership_count(membership, MEMBER_ALIVE) >= 3)
        ret[count++] = (struct finding){"warning", "one_issuer",
                                        "only this node can admit others: back up its identity.key",
                                        "copy DATA/identity.key to a safe place"};
    if (grant != NULL && grant->not_after_ms < mn_wall_ms(now) + 24 * MN_HOUR / MN_MS)
        ret[count++] =
            (struct finding){"warning", "grant_expires", "this node's grant ends within a day",
                             "meshctl nodes: is the issuer alive?"};
    return count;
}

#define FINDINGS_MAX 8

static void write_findings(struct reply *reply, const struct core *core, struct mn_now now)
{
    struct finding findings[FINDINGS_MAX];
    uint32_t count = find_problems(core, now, findings);

    reply_array(reply, "findings");
    for (uint32_t i = 0; i < count; i++) {
        reply_object(reply, NULL);
        reply_text(reply, "level", findings[i].level);
        reply_text(reply, "code", findings[i].code);
        reply_text(reply, "message", findings[i].text);
        reply_text(reply, "next", findings[i].next);
        reply_object_end(reply);
    }
    reply_array_end(reply);
}

static void status_handle(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_COUNTS});
}

/* The tools of the whole mesh: the sum over NAME.NODE. */
static uint64_t count_tools(struct admin_request *request, struct mn_span counts)
{
    const struct json_limits limits = {.depth_max = 2, .depth_kept = 1, .nodes_max = 65536};
    const struct json *root = NULL;
    uint64_t total = 0;

    if (json_parse_copy(request->admin->parser, counts, limits, request->outbox->arena, &root) !=
        MN_OK)
        return 0;
    for (const struct json *key = json_first(root); key != NULL; key = json_next(root, key)) {
        int64_t count = 0;
        if (json_i64(json_value(key), &count) == MN_OK && count > 0) total += (uint64_t)count;
    }
    return total;
}

static void status_answered(struct admin_request *request,
                            const struct admin_gateway_answer *gateway,
                            const struct core_reply *core_reply)
{
    const struct core *core = request->admin->config.core;
    struct reply reply;

    (void)core_reply;
    reply_begin(&reply, "Status");
    write_self(&reply, request->admin, request->now);
    write_mesh(&reply, core, request->now);
    reply_u64(&reply, "tools", count_tools(request, gateway->json));
    write_calls(&reply, core);
    write_net(&reply, core);
    write_findings(&reply, core, request->now);
    reply_time(&reply, "time", request->now.wall);
    admin_answer(request, 200, &reply);
}

static void check_handle(struct admin_request *request)
{
    struct reply reply;

    reply_begin(&reply, "Check");
    write_findings(&reply, request->admin->config.core, request->now);
    admin_answer(request, 200, &reply);
}

static void version_handle(struct admin_request *request)
{
    struct reply reply;

    reply_begin(&reply, "Version");
    reply_str(&reply, "version", core_self(request->admin->config.core).version);
    admin_answer(request, 200, &reply);
}

static void healthz_handle(struct admin_request *request)
{
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_bool(&reply, "live", true);
    admin_answer(request, 200, &reply);
}

static void readyz_handle(struct admin_request *request)
{
    struct core_self self = core_self(request->admin->config.core);
    bool is_ready = self.is_ready && !request->admin->is_stopping;
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_bool(&reply, "ready", is_ready);
    reply_text(&reply, "state", core_state_name(self.state));
    admin_answer(request, is_ready ? 200 : 503, &reply);
}

const struct admin_route admin_status_routes[] = {
    {"GET", "/healthz", healthz_handle, NULL},
    {"GET", "/readyz", readyz_handle, NULL},
    {"GET", "/v1/version", version_handle, NULL},
    {"GET", "/v1/status", status_handle, status_answered},
    {"GET", "/v1/check", check_handle, NULL},
    {0},
};
