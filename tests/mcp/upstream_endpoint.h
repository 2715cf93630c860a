/* upstream_endpoint.h: the endpoint's side in tests of servers at a URL. */
#ifndef UPSTREAM_ENDPOINT_H
#define UPSTREAM_ENDPOINT_H

#include <inttypes.h>

#include "tests/mcp/upstream_checks.h"

#define JSON "application/json"
#define SSE "text/event-stream; charset=utf-8"

static inline void assert_header(const struct world_fetch *fetch, const char *name,
                                 const char *value)
{
    const char *found = world_header(&w, fetch, name);

    if (value == NULL)
        ck_assert_msg(found == NULL, "header %s: %s", name, found);
    else
        ck_assert_str_eq(found == NULL ? "(none)" : found, value);
}

/* The next fetch, which must be a request of that method. */
static inline struct world_fetch *next_request(const char *method)
{
    struct world_fetch *fetch = world_fetch(&w);

    ck_assert_msg(fetch != NULL, "no fetch for %s", method);
    assert_has(fetch->body, world_format(&w, "\"method\":\"%s\"", method));
    return fetch;
}

static inline const char *event(const char *text)
{
    return world_format(&w, "event: message\ndata: %s\n\n", text);
}

static inline const char *result_of(const struct world_fetch *fetch, const char *result)
{
    return world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"result\":%s}",
                        world_id(fetch->body), result);
}

static inline const char *error_of(const struct world_fetch *fetch, int code, const char *data)
{
    return world_format(&w,
                        "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
                        ",\"error\":{\"code\":%d,\"message\":\"no\"%s%s}}",
                        world_id(fetch->body), code, data[0] ? ",\"data\":" : "", data);
}

#endif
