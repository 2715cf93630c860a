#include "node/io/fetch_response.h"

#include <ctype.h>

static int fetch_response_fail(struct fetch_response *response, mn_status status)
{
    if (response->status == MN_OK) response->status = status;
    return -1;
}

static int fetch_response_on_begin(http_parser *parser)
{
    struct fetch_response *response = parser->data;
    response->head_size = 0;
    response->lines_count = 0;
    response->is_value = true;
    return 0;
}

/* Appends a piece of a name or a value; -1 when the head gets too big. */
static int fetch_response_append(struct fetch_response *response, const char *at, size_t size)
{
    if (size > FETCH_HEAD_MAX - response->head_size)
        return fetch_response_fail(response, MN_TOO_BIG);
    if (response->head_size + size > response->head_capacity) {
        size_t capacity = 2 * (response->head_size + size);
        response->head = mn_realloc(response->head, capacity);
        response->head_capacity = capacity;
    }
    memcpy(response->head + response->head_size, at, size);
    response->head_size += size;
    return 0;
}

static int fetch_response_on_name(http_parser *parser, const char *at, size_t size)
{
    struct fetch_response *response = parser->data;
    if (response->is_value) {
        if (response->lines_count == FETCH_HEADERS_MAX)
            return fetch_response_fail(response, MN_TOO_BIG);
        response->lines[response->lines_count++] =
            (struct fetch_response_line){.name = (uint32_t)response->head_size};
        response->is_value = false;
    }
    size_t start = response->head_size;
    if (fetch_response_append(response, at, size) != 0) return -1;
    for (size_t i = start; i < response->head_size; i++)
        response->head[i] = (uint8_t)tolower(response->head[i]);
    response->lines[response->lines_count - 1].name_size += (uint32_t)size;
    return 0;
}

static int fetch_response_on_value(http_parser *parser, const char *at, size_t size)
{
    struct fetch_response *response = parser->data;
    if (response->lines_count == 0) return fetch_response_fail(response, MN_MALFORMED);
    struct fetch_response_line *line = &response->lines[response->lines_count - 1];
    if (!response->is_value) line->value = (uint32_t)response->head_size;
    response->is_value = true;
    if (fetch_response_append(response, at, size) != 0) return -1;
    line->value_size += (uint32_t)size;
    return 0;
}

/* 0: a body may follow; 1: none does, whatever the headers say; -1: stop. */
static int fetch_response_on_head(http_parser *parser)
{
    struct fetch_response *response = parser->data;
    struct edge_header headers[FETCH_HEADERS_MAX];
    if (parser->upgrade || parser->status_code == 101 || parser->status_code < 100)
        return fetch_response_fail(response, MN_MALFORMED);
    if (parser->status_code < 200) return 1; /* informational: the real one follows */
    for (uint32_t i = 0; i < response->lines_count; i++) {
        struct fetch_response_line *line = &response->lines[i];
        while (line->value_size > 0 && response->head[line->value + line->value_size - 1] <= ' ')
            line->value_size--; /* http-parser skips only what stands before */
        headers[i].name = mn_span(response->head + line->name, line->name_size);
        headers[i].value = mn_span(response->head + line->value, line->value_size);
    }
    if (!response->sink->on_head(response->owner, parser->status_code, headers,
                                 response->lines_count))
        return fetch_response_fail(response, MN_STATE);
    return response->is_bodyless ? 1 : 0;
}

static int fetch_response_on_body(http_parser *parser, const char *at, size_t size)
{
    struct fetch_response *response = parser->data;
    if (!response->sink->on_body(response->owner, mn_span(at, size)))
        return fetch_response_fail(response, MN_STATE);
    return 0;
}

static int fetch_response_on_complete(http_parser *parser)
{
    struct fetch_response *response = parser->data;
    if (parser->status_code < 200) return 0;
    response->is_complete = true;
    response->is_kept = http_should_keep_alive(parser) != 0;
    http_parser_pause(parser, 1); /* nothing may follow */
    return 0;
}

static const http_parser_settings fetch_response_settings = {
    .on_message_begin = fetch_response_on_begin,
    .on_header_field = fetch_response_on_name,
    .on_header_value = fetch_response_on_value,
    .on_headers_complete = fetch_response_on_head,
    .on_body = fetch_response_on_body,
    .on_message_complete = fetch_response_on_complete,
};

void fetch_response_begin(struct fetch_response *response, bool is_bodyless,
                          const struct fetch_sink *sink, void *owner)
{
    http_parser_init(&response->parser, HTTP_RESPONSE);
    response->parser.data = response;
    response->sink = sink;
    response->owner = owner;
    response->is_bodyless = is_bodyless;
    response->status = MN_OK;
    response->head_size = 0;
    response->lines_count = 0;
    response->is_value = true;
    response->is_begun = response->is_complete = response->is_kept = false;
}

void fetch_response_done(struct fetch_response *response)
{
    mn_free(response->head);
    response->head = NULL;
    response->head_capacity = 0;
}

mn_status fetch_response_read(struct fetch_response *response, struct mn_span bytes)
{
    if (response->status != MN_OK || response->is_complete) return MN_STATE;
    if (bytes.size == 0) return MN_OK;
    response->is_begun = true;
    size_t used = http_parser_execute(&response->parser, &fetch_response_settings,
                                      (const char *)bytes.data, bytes.size);
    if (response->status == MN_OK && used != bytes.size) {
        if (!response->is_complete) response->status = MN_MALFORMED;
        response->is_kept = false; /* whose the rest is, nobody knows */
    }
    return response->status;
}

mn_status fetch_response_end(struct fetch_response *response)
{
    if (response->status != MN_OK) return response->status;
    if (response->is_complete) return MN_OK;
    http_parser_execute(&response->parser, &fetch_response_settings, NULL, 0);
    if (response->status == MN_OK && !response->is_complete) response->status = MN_CLOSED;
    response->is_kept = false;
    return response->status;
}
