/* Questions go to a client with the name of the server that asks, where a client cannot know it. */
#include "node/mcp/front/front_parts.h"

#define SERVER_KEY "meshnode/server" /* in _meta of a question */

static void content_write_server(struct mn_writer *writer, struct mn_span service)
{
    mn_writer_str(writer, "\"" SERVER_KEY "\":");
    json_write_string(writer, service);
}

void front_content_write_server(struct mn_writer *writer, const struct front_call *call)
{
    content_write_server(writer, call->service);
}

/* The server's own _meta, but for what it says about itself in our words. */
static void content_write_meta(struct mn_writer *writer, struct mn_span service,
                               const struct json *meta)
{
    bool is_first = false;

    mn_writer_str(writer, "\"_meta\":{");
    content_write_server(writer, service);
    for (const struct json *key = json_is(meta, JSON_OBJECT) ? json_first(meta) : NULL; key != NULL;
         key = json_next(meta, key))
        if (!mn_span_is(key->text, SERVER_KEY)) front_call_write_member(writer, key, &is_first);
    mn_writer_str(writer, "}");
}

struct mn_span front_content_of_server(struct front *front, struct mn_span service,
                                       struct mn_span params)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct mn_writer writer = {0};
    const struct json *object;
    bool is_first = false;

    if (json_parse_copy(front->parser, params, limits, &front->scratch, &object) != MN_OK ||
        object->type != JSON_OBJECT)
        return params;
    mn_writer_str(&writer, "{");
    content_write_meta(&writer, service, json_find_str(object, "_meta"));
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key))
        if (!mn_span_is(key->text, "_meta")) front_call_write_member(&writer, key, &is_first);
    mn_writer_str(&writer, "}");
    params = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return params;
}

struct mn_span front_content_asked(struct front *front, const struct front_call *call,
                                   const char *method, struct mn_span params)
{
    if (!call->is_aggregated || strcmp(method, "roots/list") == 0) return params;
    return front_content_of_server(front, call->service, params);
}

/* {KEY: {"method", "params"}, ...} */
void front_content_write_requests(struct front *front, struct mn_writer *writer,
                                  const struct front_call *call, struct mn_span requests)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *object;
    const uint8_t *at;

    if (json_parse_copy(front->parser, requests, limits, &front->scratch, &object) != MN_OK ||
        object->type != JSON_OBJECT) {
        mn_writer_add(writer, requests);
        return;
    }
    at = object->raw.data;
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        const struct json *params = json_find_str(json_value(key), "params");
        struct mn_span method = json_text(json_find_str(json_value(key), "method"));
        if (!json_is(params, JSON_OBJECT) || method.size == 0) continue;
        mn_writer_add(writer, mn_span(at, (size_t)(params->raw.data - at)));
        at = params->raw.data + params->raw.size;
        mn_writer_add(writer,
                      front_content_asked(front, call,
                                          (const char *)mn_arena_copy(&front->scratch, method).data,
                                          params->raw));
    }
    mn_writer_add(writer, mn_span(at, (size_t)(object->raw.data + object->raw.size - at)));
}
