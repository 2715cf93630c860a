/* upstream_http.h: carries messages to and from a Streamable HTTP endpoint, in both eras. Every
 * header is made anew; of the outside only the configured ones are sent. */
#ifndef UPSTREAM_HTTP_H
#define UPSTREAM_HTTP_H

#include "node/edge.h"
#include "node/mcp/wire/sse.h"
#include "node/mcp/wire/trail.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define UPSTREAM_SESSION_ID_MAX 1024

struct upstream;
struct upstream_request;
struct param_headers;
struct upstream_exchange; /* one POST, GET or DELETE, and what is resumed of it */

struct upstream_http {
    struct mn_list exchanges;
    uint32_t notices_count;           /* POSTs nobody waits for */
    struct mn_buf *session_id;        /* legacy; NULL: none */
    struct mn_buf *event_id;          /* newest one of the GET stream */
    struct upstream_exchange *stream; /* the legacy GET stream, while open */
    mn_time stream_at;                /* when it was asked for */
    bool has_no_stream;               /* this session offers none */
    bool had_stream;                  /* this session did open one */
    bool is_plain;                    /* its lists came as JSON, not on streams */
    mn_id meshes[TRAIL_MAX];          /* what it lists comes from these, as it says */
    uint32_t meshes_count;
};

void upstream_http_init(struct upstream *server);
void upstream_http_done(struct upstream *server);

/* What a request needs beside its text; [name] empty and [params] NULL: nothing more. */
struct upstream_http_about {
    const char *method;
    struct mn_span name;
    const struct edge_header *params; /* Mcp-Param-*, ready to send */
    uint32_t params_count;
    struct mn_span trail; /* node ids, 16 bytes each, without our own */
};

/* POSTs a request; the answer comes back through upstream_request_*. Lets go of the ref. */
void upstream_http_request(struct upstream *server, struct upstream_request *request,
                           struct mn_buf *text, const struct upstream_http_about *about);

/* POSTs a notification or a response. [is_initialized]: the handshake waits for its end. */
void upstream_http_notify(struct upstream *server, struct mn_buf *text, const char *method,
                          bool is_initialized);

/* Opens the legacy stream for what belongs to no request, unless it is open or not offered. */
void upstream_http_open_stream(struct upstream *server);

/* Whether it was asked for a moment ago, and the server has not said whether it offers it. */
bool upstream_http_awaits_stream(const struct upstream *server);

/* Nobody waits for this any more. */
void upstream_http_release(struct upstream_exchange *exchange);

/* Ends the session (DELETE) and every exchange but those of calls, or all of them. */
void upstream_http_close(struct upstream *server, bool with_calls);

/* The server cannot be reached: all exchanges but those of calls end, its session does not. */
void upstream_http_suspend(struct upstream *server);

struct upstream_host;
struct upstream_timer;
void upstream_http_on_edge(struct upstream_host *host, const struct edge_input *input);
void upstream_http_on_timer(struct upstream_timer *timer);
void upstream_http_free_dead(struct upstream_host *host);

/* The request an exchange serves (NULL: none), and the status of its answer (0: none yet). */
struct upstream_request *upstream_http_request_of(const struct upstream_exchange *exchange);
uint32_t upstream_http_code_of(const struct upstream_exchange *exchange);

#endif
