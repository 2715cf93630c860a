/* Links to resources in what a server says at /mcp and views. A client reads there what it is shown
 * a link to; where that would be another server's, or nobody could tell whose, the link gets the
 * long form, which says it. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/names/names_route.h"
#include "proto/base/text.h"

struct links {
    struct front *front;
    struct mn_span endpoint;
    struct names_service *service; /* whose links they are */
    struct mn_writer writer;
    const uint8_t *at; /* written up to here */
};

/* Clients fetch these from the web by themselves. */
static bool links_is_web(struct mn_span uri)
{
    return (uri.size > 7 && memcmp(uri.data, "http://", 7) == 0) ||
           (uri.size > 8 && memcmp(uri.data, "https://", 8) == 0);
}

static bool links_lead_astray(const struct links *links, struct mn_span uri)
{
    struct names_route route;

    if (links_is_web(uri)) return false;
    front_route_find(links->front, links->endpoint, uri, false, &route);
    return route.is_ambiguous || (route.count > 0 && route.services[0] != links->service);
}

static void links_judge_uri(struct links *links, const struct json *uri)
{
    struct mn_span text = json_text(uri);

    if (text.size == 0 || !links_lead_astray(links, text)) return;
    mn_writer_add(&links->writer, mn_span(links->at, (size_t)(uri->raw.data - links->at)));
    json_write_string(&links->writer,
                      names_long_uri(&links->front->scratch, links->service->name, text));
    links->at = uri->raw.data + uri->raw.size;
}

static void links_judge_block(struct links *links, const struct json *block)
{
    struct mn_span type = json_text(json_find_str(block, "type"));

    if (mn_span_is(type, "resource_link"))
        links_judge_uri(links, json_find_str(block, "uri"));
    else if (mn_span_is(type, "resource"))
        links_judge_uri(links, json_find_str(json_find_str(block, "resource"), "uri"));
}

static void links_judge_result(struct links *links, const struct json *result)
{
    const struct json *content = json_find_str(result, "content");
    const struct json *messages = json_find_str(result, "messages");

    for (const struct json *block = json_is(content, JSON_ARRAY) ? json_first(content) : NULL;
         block != NULL; block = json_next(content, block))
        links_judge_block(links, block);
    if (content != NULL) return; /* of a tool */
    for (const struct json *item = json_is(messages, JSON_ARRAY) ? json_first(messages) : NULL;
         item != NULL; item = json_next(messages, item))
        links_judge_block(links, json_find_str(item, "content"));
}

static struct mn_span links_endpoint(const struct front_call *call)
{
    return call->session != NULL ? call->session->service : call->exchange->service;
}

struct mn_span front_links(struct front *front, const struct front_call *call, struct mn_span text)
{
    const struct json_limits deep = {JSON_DEPTH_MAX, 5, JSON_NODES_MAX};
    struct links links = {.front = front};
    const struct json *result;

    /* Most results have no such contents: looking for them costs a parse of all of it. */
    if (!call->is_aggregated || (call->session == NULL && call->exchange == NULL) ||
        !mn_text_has(text, mn_span_str("\"resource")))
        return text;
    links.service = names_service(&front->names, call->service);
    if (links.service == NULL || !links.service->has[NAMES_RESOURCES] ||
        json_parse_copy(front->parser, text, deep, &front->scratch, &result) != MN_OK)
        return text;
    links.endpoint = links_endpoint(call);
    links.at = result->raw.data;
    links_judge_result(&links, result);
    if (links.at == result->raw.data) return text;
    mn_writer_add(&links.writer,
                  mn_span(links.at, (size_t)(result->raw.data + result->raw.size - links.at)));
    text = mn_arena_copy(&front->scratch, mn_buf_span(links.writer.buf));
    mn_writer_drop(&links.writer);
    return text;
}
