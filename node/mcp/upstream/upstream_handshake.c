#include "node/mcp/upstream/upstream_handshake.h"

#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_request.h"
#include "proto/base/check.h"

static const char *const upstream_legacy_versions[] = {"2025-11-25", "2025-06-18", "2025-03-26",
                                                       "2024-11-05"};

static mn_time upstream_handshake_timeout(const struct upstream *server)
{
    return server->config->handshake_timeout != 0 ? server->config->handshake_timeout
                                                  : UPSTREAM_HANDSHAKE_TIMEOUT;
}

/* Only a child of unknown era is asked for a short time: silence of an endpoint is an outage. */
static mn_time upstream_handshake_probe_timeout(const struct upstream *server)
{
    if (server->is_http || server->era != UPSTREAM_ERA_AUTO)
        return upstream_handshake_timeout(server);
    return server->config->probe_timeout != 0 ? server->config->probe_timeout
                                              : UPSTREAM_PROBE_TIMEOUT;
}

static void upstream_handshake_discover(struct upstream *server)
{
    struct upstream_request *request = upstream_request_new(
        server, UPSTREAM_REQUEST_PROBE, upstream_handshake_probe_timeout(server));

    upstream_request_carry(request, upstream_message_discover(server, request->id),
                           "server/discover");
}

static void upstream_handshake_initialize(struct upstream *server)
{
    struct upstream_request *request = upstream_request_new(server, UPSTREAM_REQUEST_INITIALIZE,
                                                            upstream_handshake_timeout(server));

    upstream_request_carry(request, upstream_message_initialize(server, request->id), "initialize");
}

void upstream_handshake_begin(struct upstream *server)
{
    upstream_said_again(&server->said);
    if (server->era == UPSTREAM_ERA_LEGACY)
        upstream_handshake_initialize(server);
    else
        upstream_handshake_discover(server);
}

void upstream_handshake_resume(struct upstream *server)
{
    struct upstream_request *request =
        upstream_request_new(server, UPSTREAM_REQUEST_RESUME, upstream_handshake_timeout(server));

    upstream_request_carry(request, upstream_message_ping(server, request->id), "ping");
}

/* Whatever answers in front of a server that is away does not know what that one does. */
static bool upstream_handshake_is_of_others(uint32_t code)
{
    return code == 502 || code == 503 || code == 504 || code == 408 || code == 429;
}

/* Servers name it by 404; not a few by 400, by 500, or as one that was never initialized. */
void upstream_handshake_on_resumed(struct upstream *server, const struct jsonrpc_message *message,
                                   uint32_t code)
{
    bool is_known = message != NULL && code < 300 &&
                    (message->kind == JSONRPC_RESULT || message->code == JSONRPC_METHOD_NOT_FOUND);

    if (is_known) {
        MN_PROBE("upstream: a session goes on after its connection broke");
        upstream_list_start(server); /* what happened meanwhile */
    } else if (upstream_handshake_is_of_others(code)) {
        upstream_break_off(
            server, mn_arena_format(&server->host->scratch, "answers ping with HTTP %u", code));
    } else {
        MN_PROBE("upstream: a session is gone after its connection broke");
        upstream_note(server, "it has forgotten our session: opening a new one");
        upstream_http_close(server, false);
        upstream_begin(server);
    }
}

void upstream_handshake_on_silence(struct upstream *server)
{
    if (upstream_request_of_kind(server, UPSTREAM_REQUEST_INITIALIZE) == NULL)
        upstream_handshake_initialize(server);
}

static bool upstream_handshake_has(const struct json *capabilities, const char *name,
                                   bool *has_list_changed)
{
    const struct json *group = json_find_str(capabilities, name);

    if (!json_is(group, JSON_OBJECT)) return false;
    if (json_is_true(json_find_str(group, "listChanged"))) *has_list_changed = true;
    return true;
}

/* What a server says about itself, kept as it said it. */
static void upstream_handshake_keep(struct upstream *server, const char *version,
                                    const struct json *result, const struct json *server_info)
{
    const struct json *capabilities = json_find_str(result, "capabilities");
    struct mn_span instructions = json_text(json_find_str(result, "instructions"));

    memcpy(server->version, version, strlen(version) + 1);
    if (json_is(server_info, JSON_OBJECT)) server->server_info = mn_buf_copy(server_info->raw);
    if (json_is(capabilities, JSON_OBJECT)) server->capabilities = mn_buf_copy(capabilities->raw);
    if (instructions.size > 0 && instructions.size <= UPSTREAM_INSTRUCTIONS_MAX)
        server->instructions = mn_buf_copy(instructions);
    server->has_tools = upstream_handshake_has(capabilities, "tools", &server->has_list_changed);
    server->has_prompts =
        upstream_handshake_has(capabilities, "prompts", &server->has_list_changed);
    server->has_resources =
        upstream_handshake_has(capabilities, "resources", &server->has_list_changed);
    server->has_logging = json_is(json_find_str(capabilities, "logging"), JSON_OBJECT);
}

/* The whole of [value], at every depth; NULL: none. */
static const struct json *upstream_handshake_deep(struct upstream *server, struct mn_span raw)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};
    const struct json *value = NULL;

    if (raw.size == 0 ||
        json_parse(server->host->parser, raw, limits, &server->host->scratch, &value) != MN_OK)
        return NULL;
    return value;
}

static bool upstream_handshake_lists(const struct json *versions, const char *version)
{
    for (const struct json *item = json_first(versions); item != NULL;
         item = json_next(versions, item))
        if (mn_span_is(json_text(item), version)) return true;
    return false;
}

static bool upstream_handshake_lists_legacy(const struct json *versions)
{
    size_t count = sizeof upstream_legacy_versions / sizeof upstream_legacy_versions[0];

    for (size_t i = 0; i < count; i++)
        if (upstream_handshake_lists(versions, upstream_legacy_versions[i])) return true;
    return false;
}

/* Legacy, as far as the configuration allows it. */
static void upstream_handshake_fall_back(struct upstream *server, const char *why)
{
    if (server->config->era == UPSTREAM_ERA_MODERN)
        upstream_break(server, mn_arena_format(&server->host->scratch,
                                               "does not speak MCP " UPSTREAM_MODERN_VERSION
                                               " (%s), and its era is set to modern",
                                               why));
    else if (upstream_request_of_kind(server, UPSTREAM_REQUEST_INITIALIZE) == NULL) {
        server->era = UPSTREAM_ERA_AUTO; /* that it was modern before, says nothing any more */
        upstream_handshake_initialize(server);
    }
}

static void upstream_handshake_modern(struct upstream *server, const struct json *result)
{
    const struct json *info =
        json_find_str(json_find_str(result, "_meta"), UPSTREAM_NS "serverInfo");

    server->era = UPSTREAM_ERA_MODERN;
    if (upstream_request_of_kind(server, UPSTREAM_REQUEST_INITIALIZE) != NULL)
        return; /* see _on_late() */
    upstream_request_drop_own(server);
    upstream_said_note(server, UPSTREAM_SAID_ABOUT, result);
    if (upstream_said_is_open(server, UPSTREAM_SAID_ABOUT)) {
        upstream_handshake_discover(server); /* once more, to hear whether it says the same */
        return;
    }
    upstream_handshake_keep(server, UPSTREAM_MODERN_VERSION, result, info);
    upstream_list_start(server);
}

static void upstream_handshake_on_discovered(struct upstream *server,
                                             const struct jsonrpc_message *message)
{
    const struct json *result = upstream_handshake_deep(server, message->result->raw);
    const struct json *versions = json_find_str(result, "supportedVersions");

    if (!json_is(versions, JSON_ARRAY))
        upstream_handshake_fall_back(server, "its server/discover result lists no versions");
    else if (upstream_handshake_lists(versions, UPSTREAM_MODERN_VERSION))
        upstream_handshake_modern(server, result);
    else if (upstream_handshake_lists_legacy(versions))
        upstream_handshake_fall_back(server, "it lists older versions only");
    else
        upstream_break(server,
                       mn_arena_format(&server->host->scratch,
                                       "speaks only MCP versions that are unknown here: "
                                       "%.*s",
                                       versions->raw.size > 100 ? 100 : (int)versions->raw.size,
                                       (const char *)versions->raw.data));
}

/* -32022 is modern, but perhaps only in how it says no; the others say that we asked wrongly. */
static void upstream_handshake_on_modern_error(struct upstream *server,
                                               const struct jsonrpc_message *message)
{
    const struct json *data = upstream_handshake_deep(server, message->data);
    const struct json *versions = json_find_str(data, "supported");

    if (message->code == JSONRPC_UNSUPPORTED_VERSION && json_is(versions, JSON_ARRAY) &&
        upstream_handshake_lists_legacy(versions) &&
        !upstream_handshake_lists(versions, UPSTREAM_MODERN_VERSION)) {
        upstream_handshake_fall_back(server, "it lists older versions only");
        return;
    }
    upstream_break(server,
                   mn_arena_format(&server->host->scratch,
                                   "refuses server/discover with error %lld: %.*s",
                                   (long long)message->code,
                                   message->message.size > 200 ? 200 : (int)message->message.size,
                                   (const char *)message->message.data));
}

void upstream_handshake_on_probe(struct upstream *server, const struct jsonrpc_message *message,
                                 uint32_t code)
{
    if (message == NULL && code >= 500)
        upstream_break(server, mn_arena_format(&server->host->scratch,
                                               "answers server/discover with HTTP %u", code));
    else if (message == NULL)
        upstream_handshake_fall_back(
            server, mn_arena_format(&server->host->scratch,
                                    "HTTP %u without an answer to server/discover", code));
    else if (message->kind == JSONRPC_RESULT)
        upstream_handshake_on_discovered(server, message);
    else if (message->code == JSONRPC_HEADER_MISMATCH ||
             message->code == JSONRPC_MISSING_CAPABILITY ||
             message->code == JSONRPC_UNSUPPORTED_VERSION)
        upstream_handshake_on_modern_error(server, message);
    else
        upstream_handshake_fall_back(server, mn_arena_format(&server->host->scratch, "error %lld",
                                                             (long long)message->code));
}

static const char *upstream_handshake_version(struct mn_span text)
{
    size_t count = sizeof upstream_legacy_versions / sizeof upstream_legacy_versions[0];

    for (size_t i = 0; i < count; i++)
        if (mn_span_is(text, upstream_legacy_versions[i])) return upstream_legacy_versions[i];
    return NULL;
}

static void upstream_handshake_legacy(struct upstream *server, const struct json *result,
                                      const char *version)
{
    struct upstream_request *probe = upstream_request_of_kind(server, UPSTREAM_REQUEST_PROBE);

    if (probe != NULL) upstream_request_free(probe);
    server->era = UPSTREAM_ERA_LEGACY;
    if (!server->is_lease || server->is_probe)
        upstream_said_note(server, UPSTREAM_SAID_ABOUT, result);
    upstream_handshake_keep(server, version, result, json_find_str(result, "serverInfo"));
    struct mn_buf *text = upstream_message_initialized(server);
    if (server->is_http) {
        upstream_http_notify(server, text, "notifications/initialized", true);
    } else {
        upstream_stdio_write(server, text);
        upstream_list_start(server);
    }
}

/* A child that was slow to begin was asked for both eras, and has the modern one. If it has the
 * legacy one as well, it may go on in the session that initialize opened, as the official SDK's do:
 * a new process is asked for the modern one alone. */
static void upstream_handshake_on_late(struct upstream *server,
                                       const struct jsonrpc_message *message)
{
    if (message != NULL && message->kind == JSONRPC_RESULT) {
        MN_PROBE("upstream: slow server of both eras, which has opened a legacy session");
        upstream_note(server, "was slow, and asked for both eras: it starts again as modern");
        upstream_stop(server, UPSTREAM_AFTER_START);
        server->era = UPSTREAM_ERA_MODERN;
    } else {
        MN_PROBE("upstream: slow modern server, taken for a legacy one meanwhile");
        upstream_handshake_discover(server);
    }
}

static const char *handshake_no_mcp(struct mn_arena *scratch, uint32_t code)
{
    if (code >= 300 && code < 400)
        return mn_arena_format(scratch,
                               "redirects (HTTP %u), which is not followed: attach it with the url "
                               "that it leads to, often the same with or without / at its end",
                               code);
    return mn_arena_format(scratch,
                           "answers initialize with HTTP %u: is this the path of its MCP "
                           "endpoint? (The HTTP+SSE transport of 2024 is not supported.)",
                           code);
}

void upstream_handshake_on_initialize(struct upstream *server,
                                      const struct jsonrpc_message *message, uint32_t code)
{
    struct mn_arena *scratch = &server->host->scratch;
    const char *version;

    if (server->era == UPSTREAM_ERA_MODERN) {
        upstream_handshake_on_late(server, message);
        return;
    }
    if (message == NULL) {
        upstream_break(server, handshake_no_mcp(scratch, code));
        return;
    }
    if (message->kind == JSONRPC_ERROR) {
        upstream_break(
            server, mn_arena_format(scratch, "refuses initialize with error %lld: %.*s",
                                    (long long)message->code,
                                    message->message.size > 200 ? 200 : (int)message->message.size,
                                    (const char *)message->message.data));
        return;
    }
    struct mn_span text = json_text(json_find_str(message->result, "protocolVersion"));
    version = upstream_handshake_version(text);
    if (version == NULL) {
        upstream_break(
            server, mn_arena_format(scratch, "speaks MCP \"%.*s\", which is unknown here",
                                    text.size > 32 ? 32 : (int)text.size, (const char *)text.data));
        return;
    }
    upstream_handshake_legacy(server, upstream_handshake_deep(server, message->result->raw),
                              version);
}

void upstream_handshake_on_no_session(struct upstream *server)
{
    if (server->era == UPSTREAM_ERA_MODERN)
        upstream_handshake_on_late(server, NULL);
    else
        upstream_break(server, "does not answer initialize");
}

void upstream_handshake_on_initialized(struct upstream *server)
{
    if (server->state == UPSTREAM_PROBING) upstream_list_start(server);
}
