#include "node/mcp/upstream/upstream_lease.h"

#include "crypto/digest.h"
#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_own.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/wire/extension.h"
#include "proto/base/check.h"
#include "proto/pb.h"

static bool upstream_lease_may_ask(const char *method)
{
    return strcmp(method, "tools/call") == 0 || strcmp(method, "prompts/get") == 0 ||
           strcmp(method, "resources/read") == 0 || strncmp(method, "tasks/", 6) == 0 ||
           extension_is_method(mn_span_str(method));
}

/* What its client declared; NULL: nothing that can be read. */
static const struct json *upstream_lease_declared(struct upstream_host *host,
                                                  const Meshnode__Gateway__Request *payload)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, AUDIENCE_DEPTH, JSON_NODES_MAX};
    struct mn_span raw = pb_span(payload->client_capabilities);
    const struct json *all;

    if (raw.size == 0) raw = mn_span_str("{}");
    if (raw.size > AUDIENCE_DECLARED_MAX) return NULL;
    if (json_parse_copy(host->parser, raw, limits, &host->scratch, &all) != MN_OK ||
        all->type != JSON_OBJECT)
        return NULL;
    return all;
}

/* It can be asked something, or declared what makes a difference to its server. What an extension
 * keeps in a session is unknown, so its methods are for sessions of the client's own. */
static bool upstream_lease_is_needed(const struct upstream *server,
                                     const Meshnode__Gateway__Request *payload,
                                     const struct json *declared)
{
    return upstream_survey_minds(server, declared) ||
           extension_is_method(mn_span_str(payload->method)) ||
           json_find_str(declared, "sampling") != NULL ||
           json_find_str(declared, "elicitation") != NULL ||
           json_find_str(declared, "roots") != NULL;
}

static bool upstream_lease_has_session(const Meshnode__Gateway__Request *payload)
{
    return payload->session.len > 0;
}

/* It asks for log messages: by a level that it has set for its session, or along with the call. */
static bool upstream_lease_wants_logs(const Meshnode__Gateway__Request *payload)
{
    if (upstream_lease_has_session(payload)) return payload->wants_logs;
    return loglevel_parse(pb_text(payload->log_level)) != LOGLEVEL_NONE;
}

/* What a server logs is known to be for that client only in a session of its own; while its server
 * has none for it, it goes without. */
static bool upstream_lease_is_of_use(const struct upstream *server,
                                     const Meshnode__Gateway__Request *payload)
{
    return server->has_logging && upstream_lease_wants_logs(payload) &&
           server->host->now.mono >= server->alone_until;
}

/* The client's capabilities as a legacy server may see them. Tasks of a client's own outlive the
 * call in which they are begun, so they take a session. */
static struct mn_buf *upstream_lease_capabilities(const Meshnode__Gateway__Request *payload,
                                                  const struct json *all)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{");
    for (const struct json *key = json_first(all); key != NULL; key = json_next(all, key)) {
        if (payload->session.len == 0 && mn_span_is(key->text, "tasks")) continue;
        if (mn_writer_size(&writer) > 1) mn_writer_str(&writer, ",");
        mn_writer_add(&writer, key->raw);
        mn_writer_str(&writer, ":");
        mn_writer_add(&writer, json_value(key)->raw);
    }
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

/* Who has no session is known by what it says of itself. */
static void upstream_lease_key(const Meshnode__Gateway__Request *payload, struct mn_span wanted,
                               uint8_t key[UPSTREAM_LEASE_KEY_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, UPSTREAM_LEASE_KEY_SIZE);
    digest_variable(&digest, wanted);
    digest_variable(&digest, pb_span(payload->principal));
    digest_variable(&digest, pb_span(payload->session));
    if (!upstream_lease_has_session(payload))
        digest_variable(&digest, pb_span(payload->client_info));
    digest_end(&digest, key);
}

static struct upstream *upstream_lease_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct upstream, lease.link);
}

static void upstream_lease_key_of(const Meshnode__Gateway__Request *payload,
                                  const struct json *declared, uint8_t key[UPSTREAM_LEASE_KEY_SIZE])
{
    struct mn_buf *capabilities = upstream_lease_capabilities(payload, declared);

    upstream_lease_key(payload, mn_buf_span(capabilities), key);
    mn_buf_unref(capabilities);
}

/* [is_fresh]: in which nothing was called. */
static bool upstream_lease_is_spare(const struct upstream *lease, bool is_fresh)
{
    return lease->calls_count == 0 && !lease->lease.is_spoilt && !lease->lease.is_logging &&
           (lease->lease.is_fresh || !is_fresh);
}

static struct upstream *upstream_lease_find(struct upstream *server,
                                            const uint8_t key[UPSTREAM_LEASE_KEY_SIZE],
                                            bool is_fresh)
{
    MN_LIST_FOR_EACH (link, &server->leases) {
        struct upstream *lease = upstream_lease_at(link);
        if (memcmp(lease->lease.key, key, UPSTREAM_LEASE_KEY_SIZE) == 0 &&
            (!lease->lease.is_exclusive || upstream_lease_is_spare(lease, is_fresh)))
            return lease;
    }
    return NULL;
}

/* How dear a lease is that has no calls: those that somebody listens to go last. */
static bool upstream_lease_is_less(const struct upstream *a, const struct upstream *b)
{
    bool a_heard = a->aside.hearer != NULL, b_heard = b->aside.hearer != NULL;

    return a_heard != b_heard ? b_heard : a->lease.used_at < b->lease.used_at;
}

/* How many more than a call may have for its log messages alone. */
static bool upstream_lease_has_loggers(const struct upstream *server)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &server->leases) {
        const struct upstream *lease = upstream_lease_at(link);
        if (lease->lease.is_exclusive && lease->lease.is_optional && lease->calls_count > 0)
            count++;
    }
    return count >= UPSTREAM_LEASE_LOGGERS_MAX;
}

/* Without an end for another. */
static bool upstream_lease_has_room(const struct upstream *server)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &server->leases)
        count++;
    return count < UPSTREAM_LEASES_MAX;
}

/* Room for one more: the one unused for longest goes. One that can be done without takes no place
 * of a client that hears, for one call alone not that of any session. */
static bool upstream_lease_make_room(struct upstream *server, bool is_optional, bool is_exclusive)
{
    struct upstream *oldest = NULL;

    if (is_optional && is_exclusive && upstream_lease_has_loggers(server)) return false;
    if (upstream_lease_has_room(server)) return true;
    MN_LIST_FOR_EACH (link, &server->leases) {
        struct upstream *lease = upstream_lease_at(link);
        if (lease->calls_count > 0) continue;
        if (is_optional && is_exclusive && !lease->lease.is_exclusive) continue;
        if (oldest == NULL || upstream_lease_is_less(lease, oldest)) oldest = lease;
    }
    if (oldest == NULL || (is_optional && oldest->aside.hearer != NULL)) return false;
    upstream_lease_end(oldest, "another client needs its place");
    return true;
}

static struct upstream *upstream_lease_new(struct upstream *server,
                                           const uint8_t key[UPSTREAM_LEASE_KEY_SIZE])
{
    struct upstream *lease = upstream_new(server->host, server->config);

    lease->is_removed = lease->is_lease = true; /* it has no name of its own */
    lease->era = UPSTREAM_ERA_LEGACY;
    lease->lease.origin = server;
    lease->lease.is_fresh = true;
    memcpy(lease->lease.key, key, UPSTREAM_LEASE_KEY_SIZE);
    mn_list_push_back(&server->leases, &lease->lease.link);
    return lease;
}

static struct upstream *upstream_lease_open(struct upstream *server,
                                            const Meshnode__Gateway__Request *payload,
                                            const struct json *declared,
                                            const uint8_t key[UPSTREAM_LEASE_KEY_SIZE])
{
    struct upstream *lease = upstream_lease_new(server, key);
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *info;

    lease->lease.is_exclusive = !upstream_lease_has_session(payload);
    lease->lease.is_optional = !upstream_lease_is_needed(server, payload, declared);
    lease->lease.capabilities = upstream_lease_capabilities(payload, declared);
    lease->lease.session = mn_buf_copy(pb_span(payload->session));
    if (payload->client_info.len > 0 &&
        json_parse_copy(server->host->parser, pb_span(payload->client_info), limits,
                        &server->host->scratch, &info) == MN_OK &&
        info->type == JSON_OBJECT)
        lease->lease.client_info = mn_buf_copy(info->raw);
    upstream_aside_begin(lease,
                         upstream_own_pack(&server->host->scratch, payload->uris, payload->n_uris));
    MN_PROBE("upstream: a client has a session of its own");
    upstream_start(lease);
    return lease;
}

/* A server that was found to be modern may speak both eras. Then the client's own is better: some
 * servers ask in one of them only. */
static bool upstream_lease_fits(const struct upstream *server,
                                const Meshnode__Gateway__Request *payload)
{
    if (server->lease.origin != NULL) return false;
    if (server->era == UPSTREAM_ERA_LEGACY) return true;
    return upstream_lease_has_session(payload) && server->config->era == UPSTREAM_ERA_AUTO &&
           server->host->now.mono >= server->modern_until;
}

struct upstream *upstream_lease_has(struct upstream *server,
                                    const Meshnode__Gateway__Request *payload)
{
    const struct json *declared = upstream_lease_declared(server->host, payload);
    uint8_t key[UPSTREAM_LEASE_KEY_SIZE];

    if (declared == NULL || !upstream_lease_is_needed(server, payload, declared) ||
        !upstream_lease_has_session(payload))
        return NULL;
    upstream_lease_key_of(payload, declared, key);
    return upstream_lease_find(server, key, false);
}

/* [wants_logs]: of calls without sessions; a lease in which there was another will not do, for its
 * server may still speak of that. */
static struct upstream *upstream_lease_take(struct upstream *server,
                                            const Meshnode__Gateway__Request *payload,
                                            const struct json *declared, bool wants_logs)
{
    bool is_needed = upstream_lease_is_needed(server, payload, declared);
    bool is_exclusive = !upstream_lease_has_session(payload);
    struct upstream *lease;
    uint8_t key[UPSTREAM_LEASE_KEY_SIZE];

    upstream_lease_key_of(payload, declared, key);
    lease = upstream_lease_find(server, key, wants_logs);
    /* Without one, a task is in the session that all share. */
    if (lease == NULL && !is_needed && strncmp(payload->method, "tasks/", 6) == 0) return server;
    if (lease == NULL && upstream_lease_make_room(server, !is_needed, is_exclusive))
        lease = upstream_lease_open(server, payload, declared, key);
    if (lease == NULL) return is_needed ? NULL : server;
    lease->lease.is_logging = is_exclusive && wants_logs;
    lease->lease.is_fresh = false;
    lease->lease.used_at = server->host->now.mono;
    upstream_timer_clear(server->host, &lease->lease.timer);
    return lease;
}

struct upstream *upstream_lease_for(struct upstream *server,
                                    const Meshnode__Gateway__Request *payload)
{
    const struct json *declared;
    bool wants_logs;

    if (!upstream_lease_fits(server, payload) || !upstream_lease_may_ask(payload->method))
        return server;
    wants_logs = upstream_lease_is_of_use(server, payload);
    if (payload->client_capabilities.len <= 2 && !wants_logs &&
        !extension_is_method(mn_span_str(payload->method)))
        return server;
    declared = upstream_lease_declared(server->host, payload);
    if (declared == NULL || (!wants_logs && !upstream_lease_is_needed(server, payload, declared)))
        return server;
    return upstream_lease_take(server, payload, declared, wants_logs);
}

bool upstream_lease_is_apart(const struct upstream *server)
{
    return server->is_lease && !server->is_probe &&
           (!server->is_http || server->http.session_id != NULL);
}

bool upstream_lease_is_of_one(const struct upstream *server)
{
    return upstream_lease_is_apart(server) &&
           (!server->lease.is_exclusive || server->lease.is_logging);
}

void upstream_lease_strayed(struct upstream *lease)
{
    if (!lease->lease.is_exclusive || lease->lease.is_spoilt || lease->lease.origin == NULL) return;
    MN_PROBE("upstream: a server asks about a call that is over");
    lease->lease.is_spoilt = true;
    upstream_lease_used(lease);
}

/* Of an exclusive one the next client would be asked what a call that was given up still asks. */
static mn_time upstream_lease_life(const struct upstream *lease)
{
    if (!lease->lease.is_exclusive) return UPSTREAM_LEASE_IDLE;
    return upstream_lease_is_spare(lease, false) ? UPSTREAM_LEASE_SPARE : UPSTREAM_LEASE_SPOILT;
}

bool upstream_lease_is_of(const struct upstream *server, struct mn_span session)
{
    if (server->is_lease) return mn_span_equal(mn_buf_span(server->lease.session), session);
    MN_LIST_FOR_EACH (link, &server->leases)
        if (mn_span_equal(mn_buf_span(upstream_lease_at(link)->lease.session), session))
            return false;
    return true;
}

/* Who asks for log messages does so again, and should not wait for a session to begin. */
static void upstream_lease_prepare(struct upstream *lease)
{
    struct upstream *server = lease->lease.origin, *next;

    if (!lease->lease.is_logging || mn_list_is_empty(&lease->lease.link) ||
        server->state != UPSTREAM_READY || server->host->is_stopping ||
        upstream_lease_find(server, lease->lease.key, true) != NULL ||
        !upstream_lease_has_room(server))
        return;
    MN_PROBE("upstream: a session begins ahead of its call");
    next = upstream_lease_new(server, lease->lease.key);
    next->lease.is_exclusive = true;
    next->lease.is_optional = lease->lease.is_optional;
    next->lease.capabilities = mn_buf_ref(lease->lease.capabilities);
    next->lease.client_info = mn_buf_ref(lease->lease.client_info);
    upstream_start(next);
    upstream_lease_used(next);
}

void upstream_lease_used(struct upstream *lease)
{
    if (lease->lease.origin == NULL || lease->calls_count > 0) return;
    upstream_lease_prepare(lease);
    lease->lease.used_at = lease->host->now.mono;
    upstream_timer_set(lease->host, &lease->lease.timer, upstream_lease_life(lease));
}

void upstream_lease_unheard(struct upstream *lease)
{
    if (lease->calls_count == 0)
        upstream_timer_set(lease->host, &lease->lease.timer, upstream_lease_life(lease));
}

void upstream_lease_on_timer(struct upstream *lease)
{
    mn_time idle = lease->host->now.mono - lease->lease.used_at;

    if (lease->aside.hearer != NULL && idle < UPSTREAM_LEASE_HEARD)
        upstream_timer_set(lease->host, &lease->lease.timer, UPSTREAM_LEASE_IDLE);
    else
        upstream_lease_end(lease, "was not used any more");
}

/* What its server gives back to it fails with it. */
static void upstream_lease_move_queue(struct upstream *lease)
{
    struct mn_list waiting;

    mn_list_init(&waiting);
    for (struct mn_list *link; (link = mn_list_take(&lease->queue)) != NULL;)
        mn_list_push_back(&waiting, link);
    while (!mn_list_is_empty(&waiting))
        upstream_call_move(MN_CONTAINER(waiting.next, struct upstream_request, link),
                           lease->lease.origin);
}

/* What waits for a legacy session of a modern server that refuses it is asked in the other era. If
 * we ended it, it would be asked for such a session again, without end. */
static void upstream_lease_give_back(struct upstream *lease)
{
    if (lease->ready_at == MN_TIME_NEVER &&
        lease->host->now.mono < lease->lease.origin->modern_until)
        upstream_lease_move_queue(lease);
}

/* Perhaps it has none; it is asked for one again later, for it may only have been busy. */
static void upstream_lease_refused(struct upstream *lease)
{
    struct upstream *server = lease->lease.origin;

    if (lease->ready_at != MN_TIME_NEVER || server->era != UPSTREAM_ERA_MODERN) return;
    MN_PROBE("upstream: a modern server refuses a legacy session");
    server->modern_until = mn_time_after(lease->host->now.mono, UPSTREAM_LEASE_ALONE);
}

void upstream_lease_broke(struct upstream *lease, const char *why)
{
    struct upstream *server = lease->lease.origin;

    if (server != NULL && lease->lease.is_optional && lease->ready_at == MN_TIME_NEVER) {
        MN_PROBE("upstream: a server that cannot be had twice serves all in one session");
        server->alone_until = mn_time_after(lease->host->now.mono, UPSTREAM_LEASE_ALONE);
        upstream_lease_move_queue(lease);
    }
    if (server != NULL) upstream_lease_refused(lease);
    upstream_lease_end(lease, why);
}

void upstream_lease_end(struct upstream *lease, const char *why)
{
    if (lease->is_probe) {
        upstream_survey_lost(lease, why);
        return;
    }
    MN_ASSERT(lease->lease.origin != NULL);
    if (lease->state == UPSTREAM_STOPPED) { /* by a node that stops */
        upstream_aside_done(lease);         /* who hears may be gone before its child is */
        mn_list_remove(&lease->lease.link);
        return;
    }
    upstream_lease_give_back(lease);
    upstream_aside_done(lease);
    upstream_log_line(&lease->lease.origin->log, lease->host->now.wall, "a client's session",
                      mn_span_str(why));
    mn_list_remove(&lease->lease.link); /* it takes no more calls */
    upstream_stop(lease, UPSTREAM_AFTER_NOTHING);
    lease->host->has_ended = true;
}

void upstream_lease_end_all(struct upstream *server, const char *why)
{
    while (!mn_list_is_empty(&server->leases))
        upstream_lease_end(upstream_lease_at(server->leases.next), why);
}

void upstream_lease_done(struct upstream *lease)
{
    upstream_timer_clear(lease->host, &lease->lease.timer);
    upstream_aside_done(lease);
    mn_list_remove(&lease->lease.link);
    mn_buf_unref(lease->lease.session);
    mn_buf_unref(lease->lease.capabilities);
    mn_buf_unref(lease->lease.client_info);
}
