/* What both eras say about the server at an endpoint: its name, what it can do, how to use it. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "proto/base/check.h"

bool front_about_is_aggregated(struct mn_span endpoint)
{
    const size_t prefix = sizeof NAMES_VIEW_PREFIX - 1;

    return endpoint.size == 0 ||
           (endpoint.size > prefix && memcmp(endpoint.data, NAMES_VIEW_PREFIX, prefix) == 0);
}

bool front_about_find(struct front *front, struct mn_span endpoint, struct names_endpoint *ret)
{
    const size_t prefix = sizeof NAMES_VIEW_PREFIX - 1;

    *ret = (struct names_endpoint){0};
    if (endpoint.size == 0) return true;
    if (front_about_is_aggregated(endpoint)) {
        ret->view =
            names_view(&front->names, mn_span(endpoint.data + prefix, endpoint.size - prefix));
        return ret->view != NULL;
    }
    ret->service = names_service(&front->names, endpoint);
    return ret->service != NULL && !ret->service->is_conflict;
}

bool front_about_is_early(const struct front *front)
{
    return front->is_gathering != NULL && *front->is_gathering;
}

void front_about_early(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                       struct mn_span id)
{
    MN_PROBE("front: what is not known may come yet");
    front_reply_error(front, exchange, http_code, id, JSONRPC_INTERNAL, mn_span_str(FRONT_EARLY),
                      mn_span_str("{\"reason\":\"unavailable\"}"));
}

struct audience_client front_about_client(struct front *front, struct mn_span capabilities)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, AUDIENCE_DEPTH, JSON_NODES_MAX};
    const struct json *declared;

    if (capabilities.size <= 2 || /* {} is what most clients can do */
        json_parse_copy(front->parser, capabilities, limits, &front->scratch, &declared) != MN_OK)
        return (struct audience_client){0};
    return audience_client(declared);
}

bool front_about_endpoint(struct front *front, struct front_exchange *exchange, struct mn_span id,
                          struct names_endpoint *ret)
{
    struct mn_span name = exchange->service;
    const char *text;

    if (front_about_find(front, name, ret)) return true;
    if (ret->service == NULL && front_about_is_early(front)) {
        front_about_early(front, exchange, 503, id);
        return false;
    }
    if (front_about_is_aggregated(name))
        text = mn_arena_format(&front->scratch,
                               "this mesh has no view of the name in %.*s (meshctl views ls)",
                               (int)name.size, (const char *)name.data);
    else if (ret->service == NULL)
        text = mn_arena_format(&front->scratch, "no server %.*s is in the mesh now", (int)name.size,
                               (const char *)name.data);
    else if (ret->service->is_kept)
        text = mn_arena_format(&front->scratch,
                               "%.*s is the name of a server that is away; another one of that "
                               "name is %.*s.NODE (meshctl servers names)",
                               (int)name.size, (const char *)name.data, (int)name.size,
                               (const char *)name.data);
    else
        text = mn_arena_format(
            &front->scratch, "%.*s are several different servers: use %.*s.NODE instead",
            (int)name.size, (const char *)name.data, (int)name.size, (const char *)name.data);
    front_reply_fail(front, exchange, 404, id, JSONRPC_INVALID_PARAMS, text);
    return false;
}

void front_about_server(struct mn_writer *writer, const struct names_service *service)
{
    if (service == NULL) {
        mn_writer_str(writer, "{\"name\":\"meshnode\",\"version\":\"" MN_VERSION "\"}");
    } else if (service->server_info.size > 0) {
        mn_writer_add(writer, service->server_info);
    } else {
        mn_writer_str(writer, "{\"name\":");
        json_write_string(writer, service->name);
        mn_writer_str(writer, ",\"version\":\"unknown\"}");
    }
}

void front_about_rest(struct front *front, struct mn_writer *writer, struct names_endpoint at,
                      bool is_modern)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *about = NULL, *meta;
    bool is_first = false;

    if (at.service != NULL && at.service->about.size > 0 &&
        json_parse_copy(front->parser, at.service->about, limits, &front->scratch, &about) != MN_OK)
        about = NULL;
    meta = json_find_str(about, "_meta");
    if (!json_is(meta, JSON_OBJECT)) meta = NULL; /* a member may offer anything */
    for (const struct json *key = about == NULL ? NULL : json_first(about); key != NULL;
         key = json_next(about, key))
        if (!mn_span_is(key->text, "_meta")) front_call_write_member(writer, key, &is_first);
    if (!is_modern && meta == NULL) return;
    is_first = !is_modern;
    mn_writer_str(writer, ",\"_meta\":{");
    if (is_modern) {
        mn_writer_str(writer, "\"io.modelcontextprotocol/serverInfo\":");
        front_about_server(writer, at.service);
    }
    for (const struct json *key = meta == NULL ? NULL : json_first(meta); key != NULL;
         key = json_next(meta, key))
        front_call_write_member(writer, key, &is_first);
    mn_writer_str(writer, "}");
}

#define EXTENSIONS_MAX 32
#define INSTRUCTIONS_MAX 16384    /* bytes of all servers together at /mcp and at a view */
#define INSTRUCTIONS_ONE_MAX 4096 /* of one of them; more is cut */

/* Of /mcp and views: always all, so that servers may come later without a new session. */
static const char aggregated[] = "\"capabilities\":{\"tools\":{\"listChanged\":true},"
                                 "\"prompts\":{\"listChanged\":true},"
                                 "\"resources\":{\"listChanged\":true,\"subscribe\":true},"
                                 "\"completions\":{},\"logging\":{}";

#define TASKS_EXTENSION "io.modelcontextprotocol/tasks"

/* What servers say of tasks of the core protocol (2025-11-25). */
enum { TASKS_CALL = 1, TASKS_LIST = 2, TASKS_CANCEL = 4 };

static uint32_t front_about_tasks(const struct json *capabilities)
{
    const struct json *tasks = json_find_str(capabilities, "tasks");
    const struct json *call =
        json_find_str(json_find_str(json_find_str(tasks, "requests"), "tools"), "call");

    if (!json_is(call, JSON_OBJECT)) return 0; /* then there are none that could be asked about */
    return TASKS_CALL | (json_is(json_find_str(tasks, "list"), JSON_OBJECT) ? TASKS_LIST : 0) |
           (json_is(json_find_str(tasks, "cancel"), JSON_OBJECT) ? TASKS_CANCEL : 0);
}

/* What the server declared; NULL: nothing. */
static const struct json *front_about_declared(struct front *front,
                                               const struct names_service *service)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 4, JSON_NODES_MAX};
    const struct json *all;

    if (service->capabilities.size == 0 || json_parse_copy(front->parser, service->capabilities,
                                                           limits, &front->scratch, &all) != MN_OK)
        return NULL;
    return all;
}

static uint32_t front_about_tasks_of(struct front *front, const struct names_service *service)
{
    return front_about_tasks(front_about_declared(front, service));
}

bool front_about_has_tasks(struct front *front, const struct names_service *service, bool is_legacy)
{
    const struct json *all = front_about_declared(front, service);

    if (is_legacy) return front_about_tasks(all) != 0;
    return json_find_str(json_find_str(all, "extensions"), TASKS_EXTENSION) != NULL;
}

/* Whether the endpoint shows anything of that service. */
static bool front_about_shows(struct names_endpoint at, const struct names_service *service)
{
    if (at.view == NULL) return service->is_listed;
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        for (uint32_t i = 0; i < at.view->counts[kind]; i++)
            if (at.view->rows[kind][i].item->service == service) return true;
    return false;
}

/* Whether its tools can be called there, also those that a small surface only finds. */
static bool front_about_reaches(struct names_endpoint at, const struct names_service *service)
{
    if (front_about_shows(at, service)) return true;
    for (uint32_t i = 0; at.view != NULL && i < at.view->all_count; i++)
        if (at.view->all[i].item->service == service) return true;
    return false;
}

/* What one of the servers says whose tools can be called there. */
static uint32_t front_about_all_tasks(struct front *front, struct names_endpoint at)
{
    struct names_item **items;
    uint32_t tasks = 0;

    names_listed(&front->names, NAMES_TOOLS, &items);
    for (uint32_t i = 0; i < front->names.services.count; i++)
        if (front_about_reaches(at, front->names.sorted[i]))
            tasks |= front_about_tasks_of(front, front->names.sorted[i]);
    return tasks;
}

bool front_about_lists_tasks(struct front *front, const struct front_session *session)
{
    struct names_endpoint at;
    uint32_t tasks;

    if (!front_task_is_core(session->version) || !front_about_find(front, session->service, &at))
        return false;
    tasks = at.service != NULL ? front_about_tasks_of(front, at.service)
                               : front_about_all_tasks(front, at);
    return (tasks & TASKS_LIST) != 0;
}

/* Of one server: what it declared, less what the client's revision does not know. */
static void front_about_own(struct front *front, struct mn_writer *writer,
                            const struct names_service *service, const char *version)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 4, JSON_NODES_MAX};
    const struct json *capabilities = NULL;
    bool is_first = true;

    mn_writer_str(writer, "\"capabilities\":{");
    if (service->capabilities.size > 0 &&
        json_parse_copy(front->parser, service->capabilities, limits, &front->scratch,
                        &capabilities) != MN_OK)
        capabilities = NULL;
    if (service->has[NAMES_TOOLS] && json_find_str(capabilities, "tools") == NULL) {
        mn_writer_str(writer, "\"tools\":{\"listChanged\":true}");
        is_first = false;
    }
    if (json_is(capabilities, JSON_OBJECT))
        for (const struct json *key = json_first(capabilities); key != NULL;
             key = json_next(capabilities, key))
            if (!mn_span_is(key->text, "tasks") ||
                (front_task_is_core(version) && front_about_tasks(capabilities) != 0))
                front_call_write_member(writer, key, &is_first);
    mn_writer_str(writer, "}");
}

/* Extensions of all servers that can be called there, each as the first one has it. */
static void front_about_extensions(struct front *front, struct mn_writer *writer,
                                   struct names_endpoint at)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct names_item **items;
    struct mn_span seen[EXTENSIONS_MAX];
    uint32_t count = 0;

    names_listed(&front->names, NAMES_TOOLS, &items); /* brings the order up to date */
    for (uint32_t i = 0; i < front->names.services.count; i++) {
        const struct names_service *service = front->names.sorted[i];
        const struct json *all, *extensions;
        if (!front_about_reaches(at, service) || service->capabilities.size == 0 ||
            json_parse_copy(front->parser, service->capabilities, limits, &front->scratch, &all) !=
                MN_OK)
            continue;
        extensions = json_find_str(all, "extensions");
        if (!json_is(extensions, JSON_OBJECT)) continue;
        for (const struct json *key = json_first(extensions); key != NULL;
             key = json_next(extensions, key)) {
            bool is_first = count == 0, is_seen = count == EXTENSIONS_MAX;
            for (uint32_t k = 0; k < count && !is_seen; k++)
                is_seen = mn_span_equal(seen[k], key->text);
            if (is_seen) continue;
            mn_writer_str(writer, is_first ? ",\"extensions\":{" : "");
            front_call_write_member(writer, key, &is_first);
            seen[count++] = key->text;
        }
    }
    if (count > 0) mn_writer_str(writer, "}");
}

static void front_about_all(struct front *front, struct mn_writer *writer, struct names_endpoint at,
                            const char *version)
{
    uint32_t tasks = front_task_is_core(version) ? front_about_all_tasks(front, at) : 0;

    mn_writer_str(writer, aggregated);
    if (tasks != 0)
        mn_writer_format(writer, ",\"tasks\":{%s%s\"requests\":{\"tools\":{\"call\":{}}}}",
                         (tasks & TASKS_LIST) != 0 ? "\"list\":{}," : "",
                         (tasks & TASKS_CANCEL) != 0 ? "\"cancel\":{}," : "");
    front_about_extensions(front, writer, at);
    mn_writer_str(writer, "}");
}

void front_about_capabilities(struct front *front, struct mn_writer *writer,
                              struct names_endpoint at, const char *version)
{
    if (at.service == NULL)
        front_about_all(front, writer, at, version);
    else
        front_about_own(front, writer, at.service, version);
}

bool front_about_has(struct front *front, const struct names_service *service, const char *name)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *capabilities;

    if (service == NULL) return true;
    return service->capabilities.size > 0 &&
           json_parse_copy(front->parser, service->capabilities, limits, &front->scratch,
                           &capabilities) == MN_OK &&
           json_find_str(capabilities, name) != NULL;
}

/* At most [max] bytes of [text], cut between characters. */
static struct mn_span front_about_cut(struct mn_span text, size_t max)
{
    if (text.size <= max) return text;
    while (max > 0 && (text.data[max] & 0xc0) == 0x80)
        max--;
    return mn_span(text.data, max);
}

/* What servers say about their use, each under its name, in order of name: the same from every
 * node. Servers that the mesh's own tools are about explain themselves there. */
static void front_about_merge(struct front *front, struct names_endpoint at, struct mn_writer *text)
{
    struct names_item **items;

    names_listed(&front->names, NAMES_TOOLS, &items); /* brings the order up to date */
    for (uint32_t i = 0; i < front->names.services.count; i++) {
        const struct names_service *service = front->names.sorted[i];
        struct mn_span own = front_about_cut(service->instructions, INSTRUCTIONS_ONE_MAX);
        if (own.size == 0 || mn_span_is(service->name, CALL_NAME_MESH)) continue;
        if (!front_about_shows(at, service)) continue;
        if (mn_writer_size(text) + own.size > INSTRUCTIONS_MAX) break;
        if (mn_writer_size(text) > 0) mn_writer_str(text, "\n\n");
        mn_writer_format(text, "## %.*s\n", (int)service->name.size,
                         (const char *)service->name.data);
        mn_writer_add(text, own);
        if (own.size < service->instructions.size) mn_writer_str(text, " ...");
    }
}

void front_about_instructions(struct front *front, struct mn_writer *writer,
                              struct names_endpoint at)
{
    struct mn_writer text = {0};

    if (at.service != NULL)
        mn_writer_add(&text, at.service->instructions);
    else if (at.view != NULL && at.view->wish->instructions.size > 0)
        mn_writer_add(&text, at.view->wish->instructions);
    else
        front_about_merge(front, at, &text);
    if (mn_writer_size(&text) > 0) {
        mn_writer_str(writer, ",\"instructions\":");
        json_write_string(writer, mn_buf_span(text.buf));
    }
    mn_writer_drop(&text);
}
