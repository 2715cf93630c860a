/* fetch_request.h: the URL and the head of a request over a plain connection. Pure. */
#ifndef IO_FETCH_REQUEST_H
#define IO_FETCH_REQUEST_H

#include <http_parser.h>

#include "node/edge.h"

/* False: not an http:// URL with a host and without user information. */
bool fetch_request_parse_url(struct mn_span text, struct http_parser_url *url);

/* A part of the parsed [text]; empty when it has none. */
struct mn_span fetch_request_url_part(const struct http_parser_url *url, struct mn_span text,
                                      enum http_parser_url_fields part);

/* The head, empty line included. Method and headers must have been checked. Host is added unless
 * given; length and connection headers are made here.
 * [joined], the body or nothing, is put behind it. */
struct mn_buf *fetch_request_make_head(const struct edge_fetch *start,
                                       const struct http_parser_url *url, struct mn_span joined);

#endif
