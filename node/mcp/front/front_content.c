/* Questions go to a client with the name of the server that asks, where a client cannot know it. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"

#define SERVER_KEY "meshnode/server" /* in _meta of a question */

/* Of the requests in a result: each by its key, what it says, its params, and their _meta. */
static const struct json_limits kept_requests = {JSON_DEPTH_MAX, 4, JSON_NODES_MAX};
static const struct json_limits kept_params = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};

static void content_put_server(struct pieces *to, struct mn_span service)
{
    pieces_str(to, "\"" SERVER_KEY "\":");
    json_write_string(&to->writer, service);
}

void front_content_write_server(struct mn_writer *writer, const struct front_call *call)
{
    mn_writer_str(writer, "\"" SERVER_KEY "\":");
    json_write_string(writer, call->service);
}

/* The server's own _meta, but for what it says about itself in our words. Where there was too much
 * to keep its members, they are left out. */
static void content_put_meta(struct pieces *to, struct mn_span service, const struct json *meta)
{
    bool is_first = false, has_members = json_is(meta, JSON_OBJECT) && meta->is_kept;

    pieces_str(to, "\"_meta\":{");
    content_put_server(to, service);
    for (const struct json *key = has_members ? json_first(meta) : NULL; key != NULL;
         key = json_next(meta, key))
        if (!mn_span_is(key->text, SERVER_KEY)) front_call_put_member(to, key, &is_first);
    pieces_str(to, "}");
}

void front_content_put(struct pieces *to, const struct json *params,
                       const struct front_asked *asked)
{
    bool is_first = true;

    if (asked->service.size == 0 && asked->url_id == NULL &&
        asked->meta == json_find_str(params, "_meta")) { /* as it is, to the last space */
        pieces_add(to, params->raw);
        return;
    }
    pieces_str(to, "{");
    if (asked->url_id != NULL) {
        mn_writer_format(&to->writer, "\"elicitationId\":\"%s\"", asked->url_id);
        is_first = false;
    }
    if (asked->service.size > 0) {
        pieces_str(to, is_first ? "" : ",");
        content_put_meta(to, asked->service, asked->meta);
        is_first = false;
    }
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        if (!mn_span_is(key->text, "_meta")) {
            front_call_put_member(to, key, &is_first);
        } else if (asked->service.size == 0 && asked->meta != NULL) {
            pieces_str(to, is_first ? "\"_meta\":" : ",\"_meta\":");
            pieces_add(to, asked->meta->raw);
            is_first = false;
        }
    }
    pieces_str(to, "}");
}

struct mn_span front_content_of_server(struct front *front, struct mn_span service,
                                       struct mn_span params)
{
    struct front_asked asked = {.service = service};
    const struct json *object;
    struct pieces to = {0};

    if (json_parse_copy(front->parser, params, kept_params, &front->scratch, &object) != MN_OK ||
        object->type != JSON_OBJECT)
        return params;
    asked.meta = json_find_str(object, "_meta");
    front_content_put(&to, object, &asked);
    params = mn_arena_copy(&front->scratch, mn_buf_span(to.writer.buf));
    pieces_drop(&to);
    return params;
}

bool front_content_is_named(const struct front_call *call, const char *method)
{
    return call->is_aggregated && strcmp(method, "roots/list") != 0;
}

/* Whether all is kept that is looked at: of a large result it is, unless there was too much of it.
 */
static bool content_is_kept(const struct json *requests)
{
    if (!requests->is_kept) return false;
    for (const struct json *key = json_first(requests); key != NULL;
         key = json_next(requests, key)) {
        const struct json *request = json_value(key), *params;
        if (request->type != JSON_OBJECT) continue;
        params = request->is_kept ? json_find_str(request, "params") : NULL;
        if (!request->is_kept || (json_is(params, JSON_OBJECT) && !params->is_kept)) return false;
    }
    return true;
}

/* The requests with all that is looked at; NULL: they go on as they are. */
static const struct json *content_requests(struct front *front, const struct json *requests)
{
    const struct json *whole;

    if (requests->type != JSON_OBJECT) return NULL;
    if (requests->raw.size >= JSONRPC_LARGE) return content_is_kept(requests) ? requests : NULL;
    return json_parse_copy(front->parser, requests->raw, kept_requests, &front->scratch, &whole) ==
                   MN_OK
               ? whole
               : NULL;
}

/* {KEY: {"method", "params"}, ...} */
void front_content_put_requests(struct front *front, struct pieces *to,
                                const struct front_call *call, const struct json *asking)
{
    const struct json *requests = content_requests(front, asking);
    struct front_asked asked = {.service = call->service};
    const uint8_t *at;

    if (requests == NULL) {
        pieces_add(to, asking->raw);
        return;
    }
    at = requests->raw.data;
    for (const struct json *key = json_first(requests); key != NULL;
         key = json_next(requests, key)) {
        const struct json *params = json_find_str(json_value(key), "params");
        struct mn_span method = json_text(json_find_str(json_value(key), "method"));
        if (!json_is(params, JSON_OBJECT) || method.size == 0 || mn_span_is(method, "roots/list"))
            continue;
        asked.meta = json_find_str(params, "_meta");
        pieces_add(to, mn_span(at, (size_t)(params->raw.data - at)));
        front_content_put(to, params, &asked);
        at = params->raw.data + params->raw.size;
    }
    pieces_add(to, mn_span(at, (size_t)(requests->raw.data + requests->raw.size - at)));
}
