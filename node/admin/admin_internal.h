/* admin_internal.h: what the files of the admin core share; nobody else includes it. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include "node/admin/admin.h"
#include "node/admin/reply.h"
#include "node/json/json.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define ADMIN_EXCHANGES_MAX 256    /* at once; more: 503 */
#define ADMIN_BODY_MAX 262144      /* bytes of a request's body */
#define ADMIN_PATH_MAX 1024        /* bytes of a request's target */
#define ADMIN_EVENTS_MAX 1000      /* kept for `events` */
#define ADMIN_STREAM_QUEUE 1048576 /* bytes a follower may lag behind before it is cut off */

/* One HTTP exchange from OPEN to its last byte. */
struct admin_exchange {
    struct mn_map_entry by_id;
    uint64_t id, ticket; /* ticket: it waits for the gateway or the core; 0: for neither */
    bool is_admin;       /* came over the admin socket */
    bool is_authorized;  /* may use /v1 */
    char method[8];
    char *path, *query; /* in one block; query without '?', maybe empty */
    struct mn_writer body;
    const struct admin_route *route; /* once dispatched */

    bool is_stream;          /* follows events or a log */
    char *server;            /* whose log it follows; NULL: events */
    uint64_t after;          /* newest line sent */
    size_t queued;           /* bytes since the last WRITABLE */
    struct mn_list follower; /* in admin->followers */
};

struct admin {
    struct admin_config config;
    char *http_listen;
    struct mn_map exchanges; /* by id */
    uint64_t ticket_next;
    struct mn_list followers;
    mn_time poll_at; /* next look at followed logs */
    mn_time started;
    bool is_stopping;
    struct json_parser *parser;
    struct mn_trace_event *events; /* ring of ADMIN_EVENTS_MAX */
    mn_time *events_wall;
    uint64_t events_count;
    uint64_t requests_count, refused_count;
};

/* What a handler works with. */
struct admin_request {
    struct admin *admin;
    struct admin_exchange *exchange;
    struct mn_now now;
    struct mn_span rest; /* what stands in the path where the route says `*` */
    struct admin_outbox *outbox;
};

struct admin_route {
    const char *method, *path; /* one `*` in the path matches one segment, or the rest at its end */
    void (*handle)(struct admin_request *request);
    /* The answer of the gateway or the core, for routes that ask them. */
    void (*answered)(struct admin_request *request, const struct admin_gateway_answer *gateway,
                     const struct core_reply *reply);
};

/* admin.c: each ends the exchange. */
void admin_answer(struct admin_request *request, uint32_t code, struct reply *reply);
void admin_fail(struct admin_request *request, uint32_t code, const char *name, struct mn_span text,
                const char *hint);
void admin_fail_status(struct admin_request *request, mn_status status, struct mn_span why);

/* The last byte of a streamed answer was emitted. */
void admin_exchange_over(struct admin_request *request);

/* Asks and waits: the route's answered() goes on. */
void admin_ask_gateway(struct admin_request *request, struct admin_gateway_request gateway);
void admin_ask_core(struct admin_request *request, struct core_command command);

/* The body as one JSON object; NULL: it was refused, the exchange is over. */
const struct json *admin_body(struct admin_request *request);

/* Value of a query parameter, in the exchange's own text; empty when absent. */
struct mn_span admin_query(const struct admin_exchange *exchange, const char *name);

/* admin_nodes.c, admin_status.c, admin_gateway.c, admin_tokens.c, admin_stream.c */
extern const struct admin_route admin_node_routes[], admin_status_routes[], admin_gateway_routes[],
    admin_token_routes[], admin_stream_routes[];

void admin_stream_event(struct admin *admin, struct mn_now now, const struct mn_trace_event *event,
                        struct admin_outbox *outbox);
void admin_stream_poll(struct admin *admin, struct mn_now now, struct admin_outbox *outbox);
void admin_stream_end(struct admin_exchange *exchange);

#endif
