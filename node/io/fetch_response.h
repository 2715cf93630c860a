/* fetch_response.h: reads one HTTP/1 response after the other from a stream of bytes, on
 * http-parser. Pure but for its sink, which is called from within fetch_response_read(). */
#ifndef IO_FETCH_RESPONSE_H
#define IO_FETCH_RESPONSE_H

#include <http_parser.h>

#include "node/io/fetch.h"

/* Each returns false to stop at once; the response is then MN_STATE. */
struct fetch_sink {
    bool (*on_head)(void *owner, uint32_t code, const struct edge_header *headers, uint32_t count);
    bool (*on_body)(void *owner, struct mn_span bytes);
};

struct fetch_response_line {
    uint32_t name, name_size, value, value_size; /* offsets into the bytes of the head */
};

struct fetch_response {
    http_parser parser;
    const struct fetch_sink *sink;
    void *owner;
    uint8_t *head; /* names and values, one after the other; kept from response to response */
    size_t head_size, head_capacity;
    uint32_t lines_count;
    struct fetch_response_line lines[FETCH_HEADERS_MAX];
    mn_status status; /* first error */
    bool is_bodyless; /* the answer to a HEAD request */
    bool is_value;    /* the last piece of a header was of its value */
    bool is_begun;    /* a byte of it has come */
    bool is_complete, is_kept;
};

/* Zero-initialised memory may be begun. [sink] is kept. */
void fetch_response_begin(struct fetch_response *response, bool is_bodyless,
                          const struct fetch_sink *sink, void *owner);
void fetch_response_done(struct fetch_response *response);

/* Takes [bytes] up to the response's end. When is_complete, is_kept says whether the connection may
 * carry another one: not when more came than was asked for, which is left out. MN_MALFORMED: not
 * HTTP; MN_TOO_BIG: head over the limits; MN_STATE: stopped by the sink, or read on after an error.
 */
MN_MUST_USE mn_status fetch_response_read(struct fetch_response *response, struct mn_span bytes);

/* The stream has ended: that completes a response whose body has no other end. MN_CLOSED: the
 * response is not complete. */
MN_MUST_USE mn_status fetch_response_end(struct fetch_response *response);

#endif
