/* The node itself: status, health, readiness, version, and whether all is well. */
#include "node/admin/admin_internal.h"

static bool is_ready(const struct admin *admin)
{
    return core_self(admin->config.core).is_ready && !admin->is_stopping;
}

static void write_self(struct reply *reply, const struct admin *admin, struct mn_now now)
{
    struct core_self self = core_self(admin->config.core);
    char words[WORDS_TEXT_SIZE];

    reply_object(reply, "node");
    reply_str(reply, "name", self.name);
    reply_id(reply, "id", &self.node_id);
    reply_text(reply, "words", words_of(mn_span(self.sign_pk, SIGN_PK_SIZE), words));
    reply_text(reply, "state", core_state_name(self.state));
    reply_bool(reply, "ready", is_ready(admin));
    reply_bool(reply, "issuer", self.is_issuer);
    reply_text(reply, "role", grant_role_name(self.role));
    reply_str(reply, "region", self.region);
    reply_str(reply, "zone", self.zone);
    reply_str(reply, "version", self.version);
    reply_u64(reply, "incarnation", self.incarnation);
    reply_ms(reply, "uptime_ms", now.mono - self.started);
    reply_str(reply, "http", admin->config.http_listen);
    reply_text(reply, "http_auth", admin->config.needs_bearer ? "bearer" : "none");
    reply_object_end(reply);
}

static void write_mesh(struct reply *reply, const struct core *core)
{
    struct core_self self = core_self(core);
    const struct membership *membership = core_membership(core);
    const struct grant *grant = admission_grant(core_admission(core));
    const struct authority *head = admission_authority(core_admission(core));
    char words[WORDS_TEXT_SIZE];

    reply_object(reply, "mesh");
    reply_id(reply, "id", &self.mesh_id);
    if (head != NULL) /* a node that waits to be let in logs the same eight words */
        reply_text(reply, "words", words_of(mn_span(authority_pin(head), DIGEST_PIN_SIZE), words));
    else
        reply_null(reply, "words");
    reply_bool(reply, "dev", self.is_dev);
    for (enum member_status status = MEMBER_ALIVE; status <= MEMBER_LEFT; status++)
        reply_u64(reply, member_status_name(status),
                  membership == NULL ? 0 : membership_count(membership, status));
    reply_u64(reply, "links", peers_counts(core_peers(core)).members);
    if (grant != NULL)
        reply_time(reply, "grant_expires", grant->not_after_ms * MN_MS);
    else
        reply_null(reply, "grant_expires");
    if (self.state == CORE_JOINING && self.last_refusal != MESHNODE__TRUST__CODE__CODE_NONE)
        reply_text(reply, "last_refusal", admission_code_name(self.last_refusal));
    reply_object_end(reply);
}

/* Of the group that agrees for the mesh, as far as this node knows. */
static void write_leader(struct reply *reply, struct admin_request *request)
{
    struct raft_view view;

    if (!state_view(request->admin->config.state, &view) || mn_id_is_zero(&view.leader) ||
        admin_is_gone(admin_member(request, &view.leader))) { /* a learner may not have noticed */
        reply_null(reply, "leader");
        return;
    }
    reply_object(reply, "leader");
    reply_id(reply, "id", &view.leader);
    reply_text(reply, "name", admin_member_name(request, &view.leader));
    reply_object_end(reply);
}

static void write_servers(struct reply *reply, struct admin_request *request,
                          const struct json *counts)
{
    const struct json *servers = json_find_str(counts, "servers");
    uint64_t total = 0, ready = 0;

    if (!json_is(servers, JSON_ARRAY)) servers = NULL;
    for (const struct json *item = servers == NULL ? NULL : json_first(servers); item != NULL;
         item = json_next(servers, item)) {
        const struct json *server = admin_parse(request, item->raw, JSON_OBJECT, 1);
        total++;
        if (mn_span_is(json_text(json_find_str(server, "state")), "ready")) ready++;
    }
    reply_object(reply, "servers");
    reply_u64(reply, "total", total);
    reply_u64(reply, "ready", ready);
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
    reply_u64(reply, "evicted", counts.evicted);
    reply_object_end(reply);
}

static void counts_ask(struct admin_request *request)
{
    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_COUNTS});
}

static void status_on_counts(struct admin_request *request,
                             const struct admin_gateway_answer *answer)
{
    const struct core *core = request->admin->config.core;
    const struct json *counts = admin_parse(request, answer->json, JSON_OBJECT, 2);
    int64_t listed = 0;
    struct reply reply;

    if (json_i64(json_find_str(counts, "listed"), &listed) != MN_OK) listed = 0;
    reply_begin(&reply, "Status");
    reply_time(&reply, "time", request->now.wall);
    write_self(&reply, request->admin, request->now);
    write_mesh(&reply, core);
    write_leader(&reply, request);
    reply_i64(&reply, "tools", listed);
    write_servers(&reply, request, counts);
    write_calls(&reply, core);
    write_net(&reply, core);
    findings_write(&reply, request, FINDINGS_ALL, counts);
    admin_answer(request, 200, &reply);
}

/* ---- check ---- */

static bool check_scope(struct admin_request *request, enum findings_scope *ret)
{
    struct mn_span of = admin_query(request, "of");

    *ret = FINDINGS_ALL;
    if (mn_span_is(of, "node")) *ret = FINDINGS_NODE;
    if (mn_span_is(of, "mesh")) *ret = FINDINGS_MESH;
    return of.data == NULL || *ret != FINDINGS_ALL;
}

static void check_handle(struct admin_request *request)
{
    enum findings_scope scope;

    if (check_scope(request, &scope))
        counts_ask(request);
    else
        admin_fail_text(request, 400, "bad_request", "of: node or mesh", "meshctl check mesh");
}

static void check_on_counts(struct admin_request *request,
                            const struct admin_gateway_answer *answer)
{
    const struct core *core = request->admin->config.core;
    const struct json *counts = admin_parse(request, answer->json, JSON_OBJECT, 2);
    enum findings_scope scope;
    struct reply reply;

    (void)check_scope(request, &scope);
    reply_begin(&reply, "Check");
    write_mesh(&reply, core);
    write_servers(&reply, request, counts);
    findings_write(&reply, request, scope, counts);
    admin_answer(request, 200, &reply);
}

/* ---- what answers at once ---- */

static void version_handle(struct admin_request *request)
{
    struct reply reply;

    reply_begin(&reply, "Version");
    reply_str(&reply, "node", core_self(request->admin->config.core).version);
    admin_answer(request, 200, &reply);
}

/* What the driver resolved when it started, and where from. */
static void config_handle(struct admin_request *request)
{
    struct reply reply;

    reply_begin(&reply, "ConfigList");
    reply_raw(&reply, "items", mn_buf_span(request->admin->settings));
    reply_array(&reply, "missing");
    reply_array_end(&reply);
    reply_array(&reply, "warnings");
    reply_array_end(&reply);
    admin_answer(request, 200, &reply);
}

static void healthz_handle(struct admin_request *request)
{
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_bool(&reply, "live", true);
    admin_answer(request, 200, &reply);
}

static const char *why_not_ready(const struct admin *admin)
{
    enum core_state state = core_self(admin->config.core).state;

    if (admin->is_stopping || state >= CORE_LEAVING) return "it is stopping";
    if (state == CORE_RECOVERING) return "it reads its store";
    if (state == CORE_JOINING) return "it has not joined the mesh yet";
    return "it does not know the whole mesh yet";
}

static void readyz_handle(struct admin_request *request)
{
    bool ready = is_ready(request->admin);
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_bool(&reply, "ready", ready);
    if (!ready) reply_text(&reply, "why", why_not_ready(request->admin));
    admin_answer(request, ready ? 200 : 503, &reply);
}

const struct admin_route admin_status_routes[] = {
    {"GET", "/healthz", NULL, healthz_handle, NULL, NULL, NULL},
    {"GET", "/readyz", NULL, readyz_handle, NULL, NULL, NULL},
    {"GET", "/v1/version", NULL, version_handle, NULL, NULL, NULL},
    {"GET", "/v1/config", NULL, config_handle, NULL, NULL, NULL},
    {"GET", "/v1/status", NULL, counts_ask, status_on_counts, NULL, NULL},
    {"GET", "/v1/check", "of", check_handle, check_on_counts, NULL, NULL},
    {0},
};
