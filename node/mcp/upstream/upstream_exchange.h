/* upstream_exchange.h: one thing said to an HTTP endpoint, and its answer: a POST, a GET stream, a
 * DELETE. A POST whose stream broke off is resumed by GETs: these are the same exchange. */
#ifndef UPSTREAM_EXCHANGE_H
#define UPSTREAM_EXCHANGE_H

#include "node/json/feed.h"
#include "node/mcp/upstream/upstream.h"

#define UPSTREAM_CONNECT_TIMEOUT (10 * MN_SEC)

enum upstream_exchange_kind {
    UPSTREAM_EXCHANGE_POST = 1, /* a request */
    UPSTREAM_EXCHANGE_NOTICE,   /* a notification or a response: nobody waits */
    UPSTREAM_EXCHANGE_OPENING,  /* notifications/initialized: the handshake waits */
    UPSTREAM_EXCHANGE_STREAM,   /* GET: what belongs to no request */
    UPSTREAM_EXCHANGE_DELETE
};

enum upstream_exchange_body { UPSTREAM_BODY_OTHER = 0, UPSTREAM_BODY_JSON, UPSTREAM_BODY_SSE };

struct upstream_exchange {
    struct mn_map_entry by_fetch;
    uint64_t fetch; /* 0: none runs; it waits to be resumed */
    struct upstream_host *host;
    struct upstream *server; /* NULL: it outlives its server */
    struct mn_list link;     /* in server->http.exchanges, then in host->dead */
    enum upstream_exchange_kind kind;
    struct upstream_request *request; /* NULL: none, or none any more */
    struct upstream_timer timer;      /* to resume; to give up */
    uint32_t code;                    /* 0: no head yet */
    enum upstream_exchange_body type;
    struct mn_writer body;
    struct json_feed *feed; /* of a large text that is not whole yet; else NULL */
    struct sse_reader sse;
    bool is_receiving, is_dead, had_event;
    struct mn_buf *event_id; /* newest one of its stream */
    uint32_t resumes_count;  /* in a row, without an event */
};

struct upstream_exchange *upstream_exchange_new(struct upstream *server,
                                                enum upstream_exchange_kind kind);

/* Starts a fetch. [body] NULL: a GET or DELETE; its ref is taken over. */
void upstream_exchange_send(struct upstream_exchange *exchange, const char *method,
                            struct mn_buf *body, const struct upstream_http_about *about);

/* Ends it, cancelling what runs. It is freed when the step is over. */
void upstream_exchange_end(struct upstream_exchange *exchange);
void upstream_exchange_free(struct upstream_exchange *exchange);

#endif
