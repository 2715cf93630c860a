/* What both eras say about the server at an endpoint: its name, what it can do, how to use it. */
#include "node/mcp/front_state.h"

bool front_about_endpoint(struct front *front, struct front_exchange *exchange, struct mn_span id,
                          struct names_service **ret)
{
    struct mn_span name = exchange->service;
    const char *text;

    *ret = NULL;
    if (name.size == 0) return true;
    *ret = names_service(&front->names, name);
    if (*ret != NULL && !(*ret)->is_conflict) return true;
    text = *ret == NULL
               ? mn_arena_format(&front->scratch, "no server %.*s is in the mesh now",
                                 (int)name.size, (const char *)name.data)
               : mn_arena_format(&front->scratch,
                                 "%.*s are several different servers: use %.*s.NODE instead",
                                 (int)name.size, (const char *)name.data, (int)name.size,
                                 (const char *)name.data);
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

void front_about_capabilities(struct mn_writer *writer, const struct names_service *service)
{
    bool has_tools = service == NULL || service->has_tools;

    mn_writer_str(writer, "\"capabilities\":{");
    if (has_tools) mn_writer_str(writer, "\"tools\":{\"listChanged\":true}");
    mn_writer_str(writer, "}");
}

void front_about_instructions(struct mn_writer *writer, const struct names_service *service)
{
    if (service == NULL || service->instructions.size == 0) return;
    mn_writer_str(writer, ",\"instructions\":");
    json_write_string(writer, service->instructions);
}

bool front_about_cursor(const struct jsonrpc_message *message)
{
    const struct json *cursor = json_find_str(message->params, "cursor");
    return cursor == NULL || cursor->type == JSON_NULL;
}
