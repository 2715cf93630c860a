#include "node/io/fetch_request.h"

#include <strings.h>

struct mn_span fetch_request_url_part(const struct http_parser_url *url, struct mn_span text,
                                      enum http_parser_url_fields part)
{
    if ((url->field_set & (1u << part)) == 0) return mn_span(NULL, 0);
    return mn_span(text.data + url->field_data[part].off, url->field_data[part].len);
}

bool fetch_request_parse_url(struct mn_span text, struct http_parser_url *url)
{
    http_parser_url_init(url);
    if (text.size > UINT16_MAX ||
        http_parser_parse_url((const char *)text.data, text.size, 0, url) != 0)
        return false;
    struct mn_span scheme = fetch_request_url_part(url, text, UF_SCHEMA);
    if (scheme.size != 4 || strncasecmp((const char *)scheme.data, "http", 4) != 0) return false;
    return fetch_request_url_part(url, text, UF_HOST).size > 0 &&
           fetch_request_url_part(url, text, UF_USERINFO).size == 0;
}

static void fetch_request_write_host(struct mn_writer *to, const struct http_parser_url *url,
                                     struct mn_span text)
{
    struct mn_span host = fetch_request_url_part(url, text, UF_HOST);
    struct mn_span port = fetch_request_url_part(url, text, UF_PORT);
    bool is_v6 = memchr(host.data, ':', host.size) != NULL;
    mn_writer_str(to, is_v6 ? "host: [" : "host: ");
    mn_writer_add(to, host);
    if (is_v6) mn_writer_str(to, "]");
    if (port.size > 0) {
        mn_writer_str(to, ":");
        mn_writer_add(to, port);
    }
    mn_writer_str(to, "\r\n");
}

/* Made here, whatever the machine says about them. */
static bool fetch_request_is_ours(struct mn_span name)
{
    return mn_span_is(name, "content-length") || mn_span_is(name, "transfer-encoding") ||
           mn_span_is(name, "connection") || mn_span_is(name, "expect");
}

/* Enough for all of it: what we add to what is given is short. */
static size_t fetch_request_head_size(const struct edge_fetch *start)
{
    size_t size = start->method.size + 2 * start->url.size + 96;
    for (uint32_t i = 0; i < start->headers_count; i++)
        size += start->headers[i].name.size + start->headers[i].value.size + 4;
    return size;
}

static bool fetch_request_has_body(const struct edge_fetch *start)
{
    return start->body != NULL || mn_span_is(start->method, "POST") ||
           mn_span_is(start->method, "PUT") || mn_span_is(start->method, "PATCH");
}

static void fetch_request_write_header(struct mn_writer *to, const struct edge_header *header)
{
    size_t name_size = header->name.size, value_size = header->value.size;
    uint8_t *at = mn_writer_take(to, name_size + value_size + 4);
    memcpy(at, header->name.data, name_size);
    memcpy(at + name_size, ": ", 2);
    if (value_size > 0) memcpy(at + name_size + 2, header->value.data, value_size);
    memcpy(at + name_size + 2 + value_size, "\r\n", 2);
}

struct mn_buf *fetch_request_make_head(const struct edge_fetch *start,
                                       const struct http_parser_url *url, struct mn_span joined)
{
    struct mn_writer to = {0};
    struct mn_span path = fetch_request_url_part(url, start->url, UF_PATH);
    struct mn_span query = fetch_request_url_part(url, start->url, UF_QUERY);
    bool has_host = false;
    mn_writer_reserve(&to, fetch_request_head_size(start) + joined.size);
    mn_writer_add(&to, start->method);
    mn_writer_str(&to, " ");
    mn_writer_add(&to, path.size == 0 ? mn_span_str("/") : path);
    if (query.size > 0) mn_writer_str(&to, "?");
    mn_writer_add(&to, query);
    mn_writer_str(&to, " HTTP/1.1\r\n");
    for (uint32_t i = 0; i < start->headers_count; i++) {
        const struct edge_header *header = &start->headers[i];
        if (fetch_request_is_ours(header->name)) continue;
        has_host = has_host || mn_span_is(header->name, "host");
        fetch_request_write_header(&to, header);
    }
    if (!has_host) fetch_request_write_host(&to, url, start->url);
    if (fetch_request_has_body(start)) {
        mn_writer_str(&to, "content-length: ");
        mn_writer_number(&to, mn_buf_span(start->body).size);
        mn_writer_str(&to, "\r\n");
    }
    mn_writer_str(&to, "\r\n");
    mn_writer_add(&to, joined);
    return mn_writer_done(&to);
}
