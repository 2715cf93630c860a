/* The legacy era, 2025-03-26 to 2025-11-25 (and initialize of 2024-11-05): sessions. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

#define VERSION_LATEST "2025-11-25"
#define EVICT_IDLE MN_MINUTE /* a session in use lately is not pushed out by a new one */
#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

bool front_legacy_is_version(struct mn_span version)
{
    return front_session_version(version) != NULL;
}

void front_legacy_touch(struct front *front, struct front_session *session)
{
    mn_heap_set(&front->expiries, &session->expiry,
                mn_time_after(front->now.mono, MCP_SESSION_IDLE));
}

/* The one unused for longest goes, if that was a while ago. */
bool front_legacy_make_room(struct front *front)
{
    struct front_session *oldest;

    if (front->sessions.count < MCP_SESSIONS_MAX) return true;
    oldest = MN_CONTAINER(mn_heap_peek(&front->expiries), struct front_session, expiry);
    if (oldest->stream != NULL || !mn_list_is_empty(&oldest->calls)) return false;
    if (oldest->expiry.at > mn_time_after(front->now.mono, MCP_SESSION_IDLE - EVICT_IDLE))
        return false;
    front_session_free(front, oldest);
    return true;
}

static void front_legacy_welcome(struct front *front, struct front_exchange *exchange,
                                 struct front_session *session, struct mn_span id,
                                 struct names_endpoint at)
{
    struct mn_writer result = {0};

    mn_writer_format(&result, "{\"protocolVersion\":\"%s\",", session->version);
    front_about_capabilities(front, &result, at, session->version);
    mn_writer_str(&result, ",\"serverInfo\":");
    front_about_server(&result, at.service);
    front_about_instructions(front, &result, at);
    front_about_rest(front, &result, at, false);
    mn_writer_str(&result, "}");
    front_record_reply(front, exchange, session, id, mn_buf_span(result.buf));
    mn_writer_drop(&result);
}

void front_legacy_initialize(struct front *front, struct front_exchange *exchange,
                             const struct jsonrpc_message *message)
{
    const struct json *version = json_find_str(message->params, "protocolVersion");
    const struct json *capabilities = json_find_str(message->params, "capabilities");
    const struct json *info = json_find_str(message->params, "clientInfo");
    const char *chosen = front_session_version(json_text(version));
    struct mn_span kept_info = json_is(info, JSON_OBJECT) ? info->raw : mn_span(NULL, 0);
    struct names_endpoint at;
    struct front_session *session;
    const char *fault;

    if (!json_is(version, JSON_STRING)) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "params.protocolVersion must be a string");
    } else if (capabilities != NULL && (capabilities->type != JSON_OBJECT ||
                                        capabilities->raw.size > AUDIENCE_DECLARED_MAX)) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             "params.capabilities must be an object of at most 16 KiB");
    } else if (!front_about_endpoint(front, exchange, message->id, &at)) {
        return;
    } else if ((fault = front_loop_fault(front, exchange, &at, true)) != NULL) {
        FAIL(200, message->id, JSONRPC_INVALID_REQUEST, fault);
    } else if (!front_legacy_make_room(front)) {
        FAIL(503, message->id, JSONRPC_INTERNAL, "too many sessions; try again later");
    } else {
        if (kept_info.size > FRONT_CLIENT_INFO_MAX) kept_info = mn_span(NULL, 0);
        if (chosen == NULL) chosen = VERSION_LATEST; /* also for a modern one: no handshake there */
        session = front_session_open(front, exchange, chosen, kept_info,
                                     capabilities == NULL ? mn_span(NULL, 0) : capabilities->raw);
        front_legacy_touch(front, session);
        exchange->new_session = mn_buf_copy(mn_span_str(session->id));
        front_legacy_welcome(front, exchange, session, message->id, at);
    }
}

struct front_session *front_legacy_session(struct front *front, struct front_exchange *exchange,
                                           struct mn_span id)
{
    struct mn_map_entry *entry = mn_map_find(&front->sessions, id);
    struct front_session *session =
        entry == NULL ? NULL : MN_CONTAINER(entry, struct front_session, by_id);
    struct mn_span version = front_header(exchange, "mcp-protocol-version");
    const char *text = "no such session: send initialize again";
    uint32_t code = 404;

    /* Somebody else's id is as good as none: a session id is no proof of who asks. */
    if (session != NULL && (!mn_id_equal(&session->principal, &exchange->principal) ||
                            !mn_span_equal(session->service, exchange->service)))
        session = NULL;
    if (session != NULL && version.data != NULL && !front_legacy_is_version(version)) {
        session = NULL;
        code = 400;
        text = "header MCP-Protocol-Version names a revision that is not served";
    }
    if (code == 404 && !exchange->was_adopted &&
        (entry == NULL || (session != NULL && front_record_is_elsewhere(front, session))) &&
        front_record_adopt(front, exchange, id))
        return NULL; /* it is asked for, and then this is done once more */
    if (session == NULL) {
        code = front_seal_code(exchange->unsealed, code);
        front_reply_refuse(front, exchange->id, code, JSONRPC_INVALID_REQUEST, text, NULL);
        front_exchange_free(front, exchange);
        return NULL;
    }
    front_legacy_touch(front, session);
    return session;
}

/* What the session's endpoint shows. False: answered. */
static bool front_legacy_endpoint(struct front *front, struct front_exchange *exchange,
                                  const struct front_session *session, struct mn_span id,
                                  struct names_endpoint *ret)
{
    if (front_about_find(front, session->service, ret)) return true;
    FAIL(200, id, JSONRPC_INTERNAL,
         front_about_is_aggregated(session->service)
             ? "the view of this session is gone (meshctl views ls)"
             : "the server of this session is not in the mesh now");
    return false;
}

bool front_legacy_streams(struct front *front, const struct front_exchange *exchange,
                          const struct front_session *session)
{
    struct names_endpoint at;

    return front_replay_is_known(session) && !exchange->is_batch &&
           front_about_find(front, session->service, &at) && at.service != NULL &&
           at.service->is_streaming;
}

static void front_legacy_list(struct front *front, struct front_exchange *exchange,
                              struct front_session *session, const struct jsonrpc_message *message,
                              enum names_kind kind)
{
    struct names_endpoint at;
    const char *fault;

    if (!front_legacy_endpoint(front, exchange, session, message->id, &at)) return;
    fault = front_loop_fault(front, exchange, &at, false);
    if (fault != NULL) {
        FAIL(200, message->id, JSONRPC_INVALID_REQUEST, fault);
        return;
    }
    at.client = session->known.client;
    front_stream_know(front, session->service, &session->known, kind);
    exchange->becomes_stream = front_legacy_streams(front, exchange, session);
    if (exchange->becomes_stream) exchange->legacy = session;
    front_list(front, exchange, false, message, at, kind);
}

static void front_legacy_tasks(struct front *front, struct front_exchange *exchange,
                               struct front_session *session, const struct jsonrpc_message *message)
{
    struct names_endpoint at;

    if (front_legacy_endpoint(front, exchange, session, message->id, &at))
        front_task_list(front, exchange, session, message);
}

static void front_legacy_set_level(struct front *front, struct front_exchange *exchange,
                                   struct front_session *session,
                                   const struct jsonrpc_message *message)
{
    enum loglevel level = loglevel_parse(json_text(json_find_str(message->params, "level")));
    struct names_endpoint at;

    if (!front_legacy_endpoint(front, exchange, session, message->id, &at)) return;
    if (!front_about_has(front, at.service, "logging")) {
        FAIL(200, message->id, JSONRPC_METHOD_NOT_FOUND, "Method not found");
    } else if (level == LOGLEVEL_NONE) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "params.level must be a log level");
    } else {
        session->log_level = level;
        session->wants_logs = true;
        front_aside_follow(front, session);
        front_record_reply(front, exchange, session, message->id, mn_span_str("{}"));
    }
}

void front_legacy_request(struct front *front, struct front_exchange *exchange,
                          struct front_session *session, const struct jsonrpc_message *message)
{
    const struct front_method *method = front_route_method(message->method, false);
    struct front_meta meta;

    if (method == NULL) method = front_route_extension(front, session->service, message->method);
    if (!front_message_meta(message, &meta))
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             "params._meta must be an object that says nothing twice");
    else if (mn_span_is(message->method, "initialize"))
        FAIL(200, message->id, JSONRPC_INVALID_REQUEST, "a batch cannot hold initialize");
    else if (method == NULL)
        FAIL(200, message->id, JSONRPC_METHOD_NOT_FOUND, "method not found");
    else if (method->what == FRONT_CALL || method->what == FRONT_EXTENSION)
        front_call_start(front, exchange, session, method, message, &meta);
    else if (method->what == FRONT_LIST)
        front_legacy_list(front, exchange, session, message, method->kind);
    else if (method->what == FRONT_TASKS)
        front_legacy_tasks(front, exchange, session, message);
    else if (method->what == FRONT_SUBSCRIBE || method->what == FRONT_UNSUBSCRIBE)
        front_subscribe_request(front, exchange, session, message, method->what == FRONT_SUBSCRIBE);
    else if (method->what == FRONT_SET_LEVEL)
        front_legacy_set_level(front, exchange, session, message);
    else
        front_reply_result(front, exchange, message->id, mn_span_str("{}"));
}

bool front_legacy_cancel(struct front *front, struct front_session *session, const struct json *id,
                         mn_time said_at)
{
    bool is_noted;

    if (id == NULL) return true;
    MN_LIST_FOR_EACH_SAFE (entry, &session->calls) {
        struct front_call *call = MN_CONTAINER(entry, struct front_call, in_session);
        struct front_exchange *exchange = call->exchange;
        if (!mn_span_equal(call->id, id->raw)) continue;
        if (call->came > said_at) continue;
        if (call->is_doomed) return true; /* said twice: it is cancelled as soon as that can be */
        is_noted = call->is_noted;
        front_call_cancel(front, call);
        if (exchange != NULL) front_reply_nothing(front, exchange);
        if (is_noted) front_orphan_save(front, session);
        return true;
    }
    return front_taken_cancel(front, session, id->raw, said_at) ||
           front_orphan_cancel(front, session, id->raw);
}

void front_legacy_notification(struct front *front, struct front_session *session,
                               const struct jsonrpc_message *message, mn_time said_at)
{
    const struct json *id = json_find_str(message->params, "requestId");

    if (mn_span_is(message->method, "notifications/cancelled")) {
        if (!front_legacy_cancel(front, session, id, said_at))
            front_relay_cancel(front, session, id, said_at);
    } else if (mn_span_is(message->method, "notifications/roots/list_changed"))
        front_roots_changed(front, session);
    else if (mn_span_is(message->method, "notifications/tasks/status") && message->params != NULL)
        front_theirs_status(front, session, message->params);
}

static const struct edge_header allow_post = {{(const uint8_t *)"allow", 5},
                                              {(const uint8_t *)"POST", 4}};

/* The session of a GET or DELETE. Without one there is nothing to get or delete here. */
static struct front_session *front_legacy_named(struct front *front,
                                                struct front_exchange *exchange)
{
    struct mn_span id = front_header(exchange, "mcp-session-id");

    if (id.data != NULL) return front_legacy_session(front, exchange, id);
    front_reply_refuse(front, exchange->id, 405, JSONRPC_INVALID_REQUEST,
                       "without a session only POST is possible", &allow_post);
    front_exchange_free(front, exchange);
    return NULL;
}

void front_legacy_end(struct front *front, struct front_session *session, const char *why)
{
    MN_LIST_FOR_EACH_SAFE (entry, &session->calls) {
        struct front_call *call = MN_CONTAINER(entry, struct front_call, in_session);
        struct front_exchange *waiting = call->exchange;
        front_call_cancel(front, call);
        if (waiting != NULL) front_reply_nothing(front, waiting);
    }
    if (session->stream != NULL) front_reply_end(front, session->stream);
    mn_trace(front->trace, front->now.mono, MN_EV_SESSION_CLOSED, NULL, 0, 0, why);
    front_session_forget(front, mn_span_str(session->id));
    front_session_free(front, session);
}

void front_legacy_verb(struct front *front, struct front_exchange *exchange)
{
    struct front_session *session = front_legacy_named(front, exchange);

    if (session == NULL) return;
    if (exchange->verb == FRONT_VERB_GET) {
        front_replay_get(front, exchange, session);
        return;
    }
    front_record_delete(front, exchange, session);
    front_legacy_end(front, session, "deleted");
}
