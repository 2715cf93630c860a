/* From a path to its handler, and what handlers read of a request. */
#include "node/admin/admin_internal.h"
#include "proto/base/check.h"

#define BODY_LIMITS ((struct json_limits){.depth_max = 32, .depth_kept = 3, .nodes_max = 4096})

/* First the one that is asked thousands of times a second. */
static const struct admin_route *const route_tables[] = {
    admin_state_routes,    admin_status_routes,    admin_node_routes,    admin_gateway_routes,
    admin_token_routes,    admin_stream_routes,    admin_pending_routes, admin_trust_routes,
    admin_decision_routes, admin_watch_routes,     admin_recover_routes, admin_consensus_routes,
    admin_curation_routes, admin_diagnosis_routes, admin_name_routes};

/* ---- percent-encoding (RFC 3986, section 2.1) ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* True when each % begins the code of a byte that is not NUL. */
static bool percent_is_valid(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text != '%') continue;
        if (hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0) return false;
        if (text[1] == '0' && text[2] == '0') return false;
    }
    return true;
}

/* Decodes [text], which is valid, into [to], which may be the same place. Returns bytes written. */
static size_t percent_decode(struct mn_span text, char *to)
{
    const char *from = (const char *)text.data;
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (from[i] == '%') {
            to[size++] = (char)(hex_digit(from[i + 1]) << 4 | hex_digit(from[i + 2]));
            i += 2;
        } else {
            to[size++] = from[i];
        }
    }
    return size;
}

/* ---- the query ---- */

/* Takes the next NAME=VALUE off [at]; false at the end. A NAME alone has the value NULL. */
static bool query_next(const char **at, struct mn_span *name, struct mn_span *value)
{
    size_t size, equals;

    while (**at == '&')
        ++*at;
    if (**at == '\0') return false;
    size = strcspn(*at, "&");
    equals = strcspn(*at, "=&");
    *name = mn_span(*at, equals);
    *value = equals < size ? mn_span(*at + equals + 1, size - equals - 1) : mn_span(NULL, 0);
    *at += size;
    return true;
}

struct mn_span admin_query(struct admin_request *request, const char *name)
{
    const char *at = request->exchange->query;
    struct mn_span key, value;

    while (query_next(&at, &key, &value)) {
        if (!mn_span_is(key, name)) continue;
        char *text = mn_arena_alloc(request->outbox->arena, value.size + 1);
        return mn_span(text, percent_decode(value, text));
    }
    return mn_span(NULL, 0);
}

static bool params_have(const char *params, struct mn_span name)
{
    while (params != NULL && *params != '\0') {
        size_t size = strcspn(params, " ");
        if (mn_span_equal(mn_span(params, size), name)) return true;
        params += size + (params[size] == ' ' ? 1 : 0);
    }
    return false;
}

/* A misspelt parameter must not be taken for its default; and a secret in a query ends in logs. */
static bool query_is_known(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;
    const char *at = exchange->query;
    struct mn_span name, value;

    while (query_next(&at, &name, &value)) {
        if (params_have(exchange->route->params, name)) continue;
        admin_fail_text(request, 400, "bad_request",
                        mn_arena_format(request->outbox->edge->arena,
                                        "this path takes no parameter \"%.*s\"", (int)name.size,
                                        (const char *)name.data),
                        "see docs/API.md");
        return false;
    }
    return true;
}

/* ---- the path ---- */

/* `*` matches one segment (not empty), whose text is *rest. */
static bool path_matches(const char *pattern, const char *path, struct mn_span *rest)
{
    size_t before = 0, after, size;

    while (pattern[before] != '*' && pattern[before] != '\0' && pattern[before] == path[before])
        before++;
    *rest = mn_span(NULL, 0);
    if (pattern[before] != '*') return pattern[before] == path[before];
    size = strlen(path);
    after = strlen(pattern + before + 1);
    if (size <= before + after || strcmp(path + size - after, pattern + before + 1) != 0)
        return false;
    *rest = mn_span(path + before, size - before - after);
    return memchr(rest->data, '/', rest->size) == NULL;
}

/* The next route of this path after [route], the first one after NULL; NULL: there is none left. */
static const struct admin_route *route_next(struct admin_exchange *exchange, size_t *table,
                                            const struct admin_route *route)
{
    for (; *table < sizeof route_tables / sizeof *route_tables; ++*table) {
        route = route == NULL ? route_tables[*table] : route + 1;
        for (; route->path != NULL; route++)
            if (path_matches(route->path, exchange->path, &exchange->rest)) return route;
        route = NULL;
    }
    return NULL;
}

static const struct admin_route *route_find(struct admin_exchange *exchange)
{
    const struct admin_route *route = NULL;
    size_t table = 0;

    do
        route = route_next(exchange, &table, route);
    while (route != NULL && strcmp(route->method, exchange->method) != 0);
    return route;
}

/* The methods that the path has; "": there is no such path. */
static const char *route_methods(struct admin_request *request)
{
    const struct admin_route *route = NULL;
    const char *methods = "";
    size_t table = 0;

    while ((route = route_next(request->exchange, &table, route)) != NULL)
        methods = mn_arena_format(request->outbox->edge->arena, "%s%s%s", methods,
                                  *methods == '\0' ? "" : ", ", route->method);
    return methods;
}

static bool is_free_for_all(const struct admin_exchange *exchange)
{
    return strncmp(exchange->path, "/v1/", 4) != 0;
}

/* The role that a route takes over HTTP, where it is not viewer for GET and admin for the rest. */
static const struct {
    const char *method, *path;
    enum guard_role role;
} role_exceptions[] = {
    {"GET", "/v1/servers/*/logs", GUARD_OPERATOR}, /* servers write what they like into it */
    {"GET", "/v1/config", GUARD_OPERATOR},         /* paths of the host */
    {"GET", "/v1/tokens", GUARD_OPERATOR},
    {"GET", "/v1/pending", GUARD_OPERATOR},
    {"POST", "/v1/servers/*/restart", GUARD_OPERATOR},
};

static enum guard_role route_role(const struct admin_route *route)
{
    for (size_t i = 0; i < sizeof role_exceptions / sizeof *role_exceptions; i++)
        if (strcmp(route->method, role_exceptions[i].method) == 0 &&
            strcmp(route->path, role_exceptions[i].path) == 0)
            return role_exceptions[i].role;
    return strcmp(route->method, "GET") == 0 ? GUARD_VIEWER : GUARD_ADMIN;
}

/* What pages of other origins can send without being asked first is never JSON. False: refused. */
static bool request_is_proper(struct admin_request *request, const struct admin_route *route)
{
    const struct admin_exchange *exchange = request->exchange;

    if (exchange->role < route_role(route) && !is_free_for_all(exchange)) {
        admin_fail_text(request, 403, "not_allowed",
                        mn_arena_format(request->outbox->edge->arena,
                                        "this needs the role %s, and the token has %s",
                                        guard_role_name(route_role(route)),
                                        guard_role_name(exchange->role)),
                        "on the node's own host: meshctl token create --role ROLE");
        return false;
    }
    if (exchange->is_admin || strcmp(exchange->method, "GET") == 0 || exchange->is_json)
        return true;
    if (!exchange->has_type && mn_writer_size(&exchange->body) == 0) return true;
    admin_fail_text(request, 415, "bad_request", "Content-Type must be application/json",
                    "see docs/API.md");
    return false;
}

void admin_dispatch(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;
    const struct admin_route *route;
    const char *allow;

    if (!percent_is_valid(exchange->path) || !percent_is_valid(exchange->query)) {
        admin_fail_text(request, 400, "bad_request", "the path is not percent-encoded",
                        "see docs/API.md");
        return;
    }
    route = route_find(exchange);
    allow = route == NULL ? route_methods(request) : "";
    if (*allow != '\0') {
        admin_fail_method(request, allow);
    } else if (route == NULL) {
        admin_fail_text(request, 404, "not_found", "no such path on this node",
                        "MCP clients connect to /mcp; see docs/API.md for the rest");
    } else {
        exchange->route = route;
        exchange->rest.size =
            percent_decode(exchange->rest, exchange->path + strcspn(route->path, "*"));
        if (request_is_proper(request, route) && query_is_known(request)) route->handle(request);
    }
}

/* ---- what handlers read ---- */

const struct json *admin_body(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;
    const struct json *root = NULL;
    mn_status status;

    if (!exchange->is_json) {
        admin_fail_text(request, 415, "bad_request", "Content-Type must be application/json",
                        "see docs/API.md");
        return NULL;
    }
    status = json_parse_copy(request->admin->parser, mn_buf_span(exchange->body.buf), BODY_LIMITS,
                             request->outbox->arena, &root);
    if (status == MN_OK && root->type == JSON_OBJECT) return root;
    admin_fail_text(request, 400, "bad_request", "the body must be one JSON object",
                    "see docs/API.md");
    return NULL;
}

const struct json *admin_parse(struct admin_request *request, struct mn_span text,
                               enum json_type type, uint32_t depth_kept)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, depth_kept, JSON_NODES_MAX};
    const struct json *root = NULL;

    if (json_parse_copy(request->admin->parser, text, limits, request->outbox->arena, &root) !=
        MN_OK)
        return NULL;
    return root->type == type ? root : NULL;
}
