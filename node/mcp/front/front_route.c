/* Which method it is, and who is asked: on /mcp and views by the tables of names, on
 * /mcp/servers/NAME that server, whatever is named: it knows best. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/wire/extension.h"
#include "proto/base/check.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define SHOWN_MAX 200 /* bytes of a name in an error */

static const struct front_method methods[] = {
    {"tools/call", FRONT_CALL, NAMES_TOOLS, "name", true, true},
    {"tools/list", FRONT_LIST, NAMES_TOOLS, NULL, true, true},
    {"resources/read", FRONT_CALL, NAMES_RESOURCES, "uri", true, true},
    {"prompts/get", FRONT_CALL, NAMES_PROMPTS, "name", true, true},
    {"completion/complete", FRONT_CALL, NAMES_TEMPLATES, NULL, true, true},
    {"resources/list", FRONT_LIST, NAMES_RESOURCES, NULL, true, true},
    {"resources/templates/list", FRONT_LIST, NAMES_TEMPLATES, NULL, true, true},
    {"prompts/list", FRONT_LIST, NAMES_PROMPTS, NULL, true, true},
    {"tasks/get", FRONT_CALL, NAMES_UI, "taskId", true, true},
    {"tasks/result", FRONT_CALL, NAMES_UI, "taskId", false, true},
    {"tasks/list", FRONT_TASKS, NAMES_UI, NULL, false, true},
    {"tasks/update", FRONT_CALL, NAMES_UI, "taskId", true, false},
    {"tasks/cancel", FRONT_CALL, NAMES_UI, "taskId", true, true},
    {"server/discover", FRONT_DISCOVER, NAMES_TOOLS, NULL, true, false},
    {"subscriptions/listen", FRONT_LISTEN, NAMES_TOOLS, NULL, true, false},
    {"ping", FRONT_PING, NAMES_TOOLS, NULL, false, true},
    {"resources/subscribe", FRONT_SUBSCRIBE, NAMES_RESOURCES, NULL, false, true},
    {"resources/unsubscribe", FRONT_UNSUBSCRIBE, NAMES_RESOURCES, NULL, false, true},
    {"logging/setLevel", FRONT_SET_LEVEL, NAMES_TOOLS, NULL, false, true},
};

/* All of them; what a record calls one. Of a kind of which nothing is known here. */
static const struct front_method extension = {"*", FRONT_EXTENSION, NAMES_PROMPTS, NULL, true,
                                              true};

const struct front_method *front_route_extension(struct front *front, struct mn_span endpoint,
                                                 struct mn_span name)
{
    const struct names_service *service =
        front_about_is_aggregated(endpoint) ? NULL : names_service(&front->names, endpoint);

    return service != NULL && extension_is_method(name) &&
                   (front_about_has(front, service, "extensions") ||
                    front_about_has(front, service, "experimental"))
               ? &extension
               : NULL;
}

const struct front_method *front_route_noted(struct mn_span name)
{
    return mn_span_is(name, extension.name) ? &extension : front_route_method(name, false);
}

const struct front_method *front_route_method(struct mn_span name, bool is_modern)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (mn_span_is(name, methods[i].name))
            return (is_modern ? methods[i].is_modern : methods[i].is_legacy) ? &methods[i] : NULL;
    return NULL;
}

static bool front_route_to_item(struct front_target *target, struct names_item *item)
{
    target->services[0] = item->service->name;
    target->count = 1;
    target->own = item->own;
    return true;
}

static bool front_route_unknown(struct front *front, struct front_exchange *exchange,
                                struct mn_span id, const char *what, struct mn_span name)
{
    const char *text = mn_arena_format(&front->scratch, "unknown %s: %.*s", what,
                                       (int)(name.size < SHOWN_MAX ? name.size : SHOWN_MAX),
                                       (const char *)name.data);

    if (front_about_is_early(front))
        front_about_early(front, exchange, 200, id);
    else
        front_reply_error(front, exchange, 200, id, JSONRPC_INVALID_PARAMS, mn_span_str(text),
                          mn_span_str("{\"reason\":\"not_found\"}"));
    return false;
}

/* A tool that operators hold back. False: that has been answered. */
static bool front_route_is_free(struct front *front, struct front_exchange *exchange,
                                struct mn_span id, struct mn_span service, struct mn_span tool)
{
    enum names_held held = names_is_held(&front->names, service, tool);
    const char *text;

    if (held == NAMES_FREE) return true;
    text = mn_arena_format(
        &front->scratch,
        held == NAMES_CHANGED
            ? "tool %.*s of server %.*s is held back: its definition is not the one that was "
              "approved; an operator can look at it and approve it (meshctl tools pins)"
            : "tool %.*s of server %.*s is in quarantine; an operator can lift that "
              "(meshctl tools pins)",
        (int)(tool.size < SHOWN_MAX ? tool.size : SHOWN_MAX), (const char *)tool.data,
        (int)service.size, (const char *)service.data);
    front_reply_error(front, exchange, 200, id, JSONRPC_INVALID_PARAMS, mn_span_str(text),
                      held == NAMES_CHANGED ? mn_span_str("{\"reason\":\"changed\"}")
                                            : mn_span_str("{\"reason\":\"quarantined\"}"));
    return false;
}

static struct names_view *front_route_view(struct front *front, struct mn_span endpoint)
{
    struct names_endpoint at;

    return front_about_find(front, endpoint, &at) ? at.view : NULL;
}

bool front_route_tool(struct front *front, struct front_exchange *exchange, struct mn_span id,
                      struct mn_span name, struct front_target *ret)
{
    struct names_view *view = front_route_view(front, exchange->service);
    struct names_row *row = view == NULL ? NULL : names_view_tool(view, name);

    if (view == NULL)
        ret->tool = names_tool(&front->names, name);
    else
        ret->tool = row == NULL ? NULL : row->item;
    if (ret->tool == NULL) return front_route_unknown(front, exchange, id, "tool", name);
    return front_route_is_free(front, exchange, id, ret->tool->service->name, ret->tool->own) &&
           front_route_to_item(ret, ret->tool);
}

void front_route_hide(struct front *front, struct front_target *target, struct mn_span capabilities)
{
    struct audience_client client;

    if (target->tool == NULL || !names_depends(target->tool)) return;
    client = front_about_client(front, capabilities);
    if (audience_shows(&target->tool->audience, &client)) {
        target->tool = names_as_seen(target->tool, &client);
        return;
    }
    MN_PROBE("front: a call of a tool that its client is not shown");
    target->tool = NULL;
}

static bool front_route_prompt(struct front *front, struct front_exchange *exchange,
                               struct mn_span id, struct mn_span name, struct front_target *ret)
{
    struct names_view *view = front_route_view(front, exchange->service);
    struct names_row *row = view == NULL ? NULL : names_view_prompt(view, name);
    struct names_item *prompt = view == NULL  ? names_prompt(&front->names, name)
                                : row == NULL ? NULL
                                              : row->item;

    if (prompt == NULL) return front_route_unknown(front, exchange, id, "prompt", name);
    return front_route_to_item(ret, prompt);
}

/* Several servers list it: which one is meant is not for us to say. */
static bool front_route_ambiguous(struct front *front, struct front_exchange *exchange,
                                  struct mn_span id, const struct names_route *route)
{
    struct mn_writer text = {0}, data = {0};

    mn_writer_str(&text, "several servers have this resource; use its long form, such as ");
    mn_writer_str(&data, "{\"reason\":\"ambiguous\",\"uris\":[");
    for (uint32_t i = 0; i < route->count; i++) {
        struct mn_span name = route->services[i]->name;
        const char *uri = mn_arena_format(&front->scratch, NAMES_URI_PREFIX "%.*s/%.*s",
                                          (int)name.size, (const char *)name.data,
                                          (int)route->own.size, (const char *)route->own.data);
        if (i == 0) mn_writer_str(&text, uri);
        if (i > 0) mn_writer_str(&data, ",");
        json_write_string(&data, mn_span_str(uri));
    }
    mn_writer_str(&data, "]}");
    front_reply_error(front, exchange, 200, id, JSONRPC_INVALID_PARAMS, mn_buf_span(text.buf),
                      mn_buf_span(data.buf));
    mn_writer_drop(&text);
    mn_writer_drop(&data);
    return false;
}

/* A resource nobody has: legacy clients know a code of its own for that. */
static bool front_route_no_resource(struct front *front, struct front_exchange *exchange,
                                    bool is_legacy, struct mn_span id, struct mn_span uri)
{
    int64_t code = is_legacy ? JSONRPC_RESOURCE_NOT_FOUND : JSONRPC_INVALID_PARAMS;
    struct mn_writer data = {0};

    if (front_about_is_early(front)) {
        front_about_early(front, exchange, 200, id);
        return false;
    }
    mn_writer_str(&data, "{\"reason\":\"not_found\",\"uri\":");
    json_write_string(&data, uri);
    mn_writer_str(&data, "}");
    front_reply_error(front, exchange, 200, id, code,
                      mn_span_str("resource not found: no server of the mesh has it"),
                      mn_buf_span(data.buf));
    mn_writer_drop(&data);
    return false;
}

/* Leaves those that may be asked at that endpoint. */
static void front_route_keep(struct front *front, struct mn_span endpoint, size_t *effort,
                             struct names_route *route)
{
    struct names_view *view;
    uint32_t kept = 0;

    if (endpoint.size == 0) return;
    view = front_route_view(front, endpoint);
    for (uint32_t i = 0; i < route->count && view != NULL; i++)
        if (names_view_allows(view, route->services[i], route->own, effort))
            route->services[kept++] = route->services[i];
    route->count = kept;
    route->is_ambiguous = route->is_ambiguous && kept > 0;
}

void front_route_find(struct front *front, struct mn_span endpoint, struct mn_span uri,
                      bool is_template, struct names_route *ret)
{
    size_t any = SIZE_MAX;

    if (is_template)
        names_route_template(&front->names, uri, ret);
    else
        names_route_uri(&front->names, uri, ret);
    front_route_keep(front, endpoint, &any, ret);
}

void front_route_within(struct front *front, struct mn_span endpoint, struct mn_span uri,
                        size_t *effort, struct names_route *ret)
{
    names_route_within(&front->names, uri, effort, ret);
    front_route_keep(front, endpoint, effort, ret);
}

void front_route_known(struct front *front, struct mn_span endpoint, struct mn_span uri,
                       size_t *effort, struct names_route *ret)
{
    names_route_known(&front->names, uri, ret);
    front_route_keep(front, endpoint, effort, ret);
}

static bool front_route_uri(struct front *front, struct front_exchange *exchange, bool is_legacy,
                            struct mn_span id, struct mn_span uri, bool is_template,
                            struct front_target *ret)
{
    struct names_route route;

    front_route_find(front, exchange->service, uri, is_template, &route);
    if (route.is_ambiguous) return front_route_ambiguous(front, exchange, id, &route);
    if (route.count == 0) return front_route_no_resource(front, exchange, is_legacy, id, uri);
    for (uint32_t i = 0; i < route.count; i++)
        ret->services[i] = route.services[i]->name;
    ret->count = route.count;
    if (route.own.size != uri.size) ret->own = route.own;
    return true;
}

static bool front_route_ref(struct front *front, struct front_exchange *exchange, bool is_legacy,
                            const struct jsonrpc_message *message, struct front_target *ret)
{
    const struct json *ref = json_find_str(message->params, "ref");
    struct mn_span type = json_text(json_find_str(ref, "type"));
    struct mn_span name = json_text(json_find_str(ref, "name"));
    struct mn_span uri = json_text(json_find_str(ref, "uri"));

    if (mn_span_is(type, "ref/prompt") && name.size > 0)
        return front_route_prompt(front, exchange, message->id, name, ret);
    if (mn_span_is(type, "ref/resource") && uri.size > 0)
        return front_route_uri(front, exchange, is_legacy, message->id, uri, true, ret);
    FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
         "params.ref must be a ref/prompt with a name or a ref/resource with a uri");
    return false;
}

static bool front_route_aggregated(struct front *front, struct front_exchange *exchange,
                                   bool is_legacy, const struct front_method *method,
                                   const struct jsonrpc_message *message, struct front_target *ret)
{
    struct mn_span name;

    if (method->member == NULL) return front_route_ref(front, exchange, is_legacy, message, ret);
    name = json_text(json_find_str(message->params, method->member));
    if (method->kind == NAMES_TOOLS)
        return front_route_tool(front, exchange, message->id, name, ret);
    if (method->kind == NAMES_PROMPTS)
        return front_route_prompt(front, exchange, message->id, name, ret);
    return front_route_uri(front, exchange, is_legacy, message->id, name, false, ret);
}

/* Its id says it all, at every endpoint. A server without tasks has no such method. */
static bool front_route_task(struct front *front, struct front_exchange *exchange, bool is_legacy,
                             struct mn_span id, struct mn_span task, struct front_target *ret)
{
    const struct names_service *service;

    if (front_task_route(front, &exchange->principal, exchange->service, task, ret)) return true;
    service = front_about_is_aggregated(exchange->service)
                  ? NULL
                  : names_service(&front->names, exchange->service);
    if (service == NULL || front_about_has_tasks(front, service, is_legacy))
        return front_route_unknown(front, exchange, id, "task", task);
    FAIL(is_legacy ? 200 : 404, id, JSONRPC_METHOD_NOT_FOUND, "method not found");
    return false;
}

bool front_route(struct front *front, struct front_exchange *exchange, bool is_legacy,
                 const struct front_method *method, const struct jsonrpc_message *message,
                 struct front_target *ret)
{
    struct names_service *service;
    const struct json *name =
        method->member == NULL ? NULL : json_find_str(message->params, method->member);

    *ret = (struct front_target){0};
    if (front_about_is_aggregated(exchange->service) && exchange->service.size > 0 &&
        front_route_view(front, exchange->service) == NULL) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "this view is gone (meshctl views ls)");
        return false;
    }
    if (method->member != NULL && !json_is(name, JSON_STRING)) {
        const char *text =
            mn_arena_format(&front->scratch, "params.%s must be a string", method->member);
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, text);
        return false;
    }
    if (method->kind == NAMES_UI)
        return front_route_task(front, exchange, is_legacy, message->id, name->text, ret);
    if (front_about_is_aggregated(exchange->service))
        return front_route_aggregated(front, exchange, is_legacy, method, message, ret);
    ret->services[0] = exchange->service;
    ret->count = 1;
    service = names_service(&front->names, exchange->service);
    if (service != NULL && method->kind == NAMES_TOOLS)
        ret->tool = names_service_item(service, NAMES_TOOLS, name->text);
    return method->kind != NAMES_TOOLS ||
           front_route_is_free(front, exchange, message->id, exchange->service, name->text);
}
