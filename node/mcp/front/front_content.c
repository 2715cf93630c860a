/* What goes to a client in other words than its server's: contents that its revision does not know,
 * as text; and questions, with the name of the server that asks, where a client cannot know it. */
#include "node/mcp/front/front_parts.h"
#include "proto/base/text.h"

#define SERVER_KEY "meshnode/server" /* in _meta of a question */
#define LEFT_OUT " was left out: revisions of your client's have no such content"

/* ---- contents ---- */

/* Kinds of content that came with a revision; text, image and resource have always been there. */
static const struct {
    const char *type, *since;
} newer[] = {{"audio", "2025-03-26"}, {"resource_link", "2025-06-18"}};

static bool content_is_known(const char *version, struct mn_span type)
{
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (mn_span_is(type, newer[i].type)) return strcmp(version, newer[i].since) >= 0;
    return true;
}

static void content_write_text(struct mn_writer *writer, struct front *front,
                               const struct json *block)
{
    struct mn_span uri = json_text(json_find_str(block, "uri"));
    struct mn_span name = json_text(json_find_str(block, "name"));
    struct mn_span type = json_text(json_find_str(block, "mimeType"));
    const char *text;

    if (mn_span_is(json_text(json_find_str(block, "type")), "audio"))
        text = mn_arena_format(&front->scratch, "audio (%.*s)" LEFT_OUT, (int)type.size,
                               (const char *)type.data);
    else
        text = mn_arena_format(&front->scratch, "%.*s <%.*s>", (int)name.size,
                               (const char *)name.data, (int)uri.size, (const char *)uri.data);
    mn_writer_str(writer, "{\"type\":\"text\",\"text\":");
    json_write_string(writer, mn_span_str(text));
    mn_writer_str(writer, "}");
}

/* What stands in a text up to a place, and then instead of what is there. */
struct splice {
    struct mn_writer writer;
    const uint8_t *at;
};

static void content_judge(struct splice *splice, struct front *front, const char *version,
                          const struct json *block)
{
    if (!json_is(block, JSON_OBJECT) ||
        content_is_known(version, json_text(json_find_str(block, "type"))))
        return;
    mn_writer_add(&splice->writer, mn_span(splice->at, (size_t)(block->raw.data - splice->at)));
    content_write_text(&splice->writer, front, block);
    splice->at = block->raw.data + block->raw.size;
}

static void content_judge_list(struct splice *splice, struct front *front, const char *version,
                               const struct json *list)
{
    if (!json_is(list, JSON_ARRAY)) return;
    for (const struct json *item = json_first(list); item != NULL; item = json_next(list, item))
        content_judge(splice, front, version, item);
}

bool front_content_may_have(const char *version, struct mn_span text)
{
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (strcmp(version, newer[i].since) < 0 && mn_text_has(text, mn_span_str(newer[i].type)))
            return true;
    return false;
}

struct mn_span front_content_known(struct front *front, const struct front_call *call,
                                   struct mn_span text)
{
    const struct json_limits deep = {JSON_DEPTH_MAX, 5, JSON_NODES_MAX};
    struct splice splice = {0};
    const struct json *result, *messages;
    const char *version;

    if (call->session == NULL) return text;
    version = call->session->version;
    if (!front_content_may_have(version, text) ||
        json_parse_copy(front->parser, text, deep, &front->scratch, &result) != MN_OK)
        return text;
    splice.at = result->raw.data;
    content_judge_list(&splice, front, version, json_find_str(result, "content"));
    messages = json_find_str(result, "messages");
    for (const struct json *item = json_is(messages, JSON_ARRAY) ? json_first(messages) : NULL;
         item != NULL; item = json_next(messages, item))
        content_judge(&splice, front, version, json_find_str(item, "content"));
    mn_writer_add(&splice.writer,
                  mn_span(splice.at, (size_t)(result->raw.data + result->raw.size - splice.at)));
    text = mn_arena_copy(&front->scratch, mn_buf_span(splice.writer.buf));
    mn_writer_drop(&splice.writer);
    return text;
}

/* ---- who asks ---- */

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
    struct splice splice = {0};

    if (json_parse_copy(front->parser, requests, limits, &front->scratch, &object) != MN_OK ||
        object->type != JSON_OBJECT) {
        mn_writer_add(writer, requests);
        return;
    }
    splice.at = object->raw.data;
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        const struct json *params = json_find_str(json_value(key), "params");
        struct mn_span method = json_text(json_find_str(json_value(key), "method"));
        if (!json_is(params, JSON_OBJECT) || method.size == 0) continue;
        mn_writer_add(writer, mn_span(splice.at, (size_t)(params->raw.data - splice.at)));
        splice.at = params->raw.data + params->raw.size;
        mn_writer_add(writer,
                      front_content_asked(front, call,
                                          (const char *)mn_arena_copy(&front->scratch, method).data,
                                          params->raw));
    }
    mn_writer_add(writer,
                  mn_span(splice.at, (size_t)(object->raw.data + object->raw.size - splice.at)));
}
