/* What can be followed: the events of this node, and what a server writes to stderr. One JSON
 * object per line (application/x-ndjson). A follower that does not read is cut off, never waited
 * for. */
#include "node/admin/admin_internal.h"
#include "proto/base/memory.h"

#define POLL_PERIOD (250 * MN_MS) /* between two looks at a followed log */

/* ---- lines ---- */

static const char *level_name(enum mn_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

static void write_event(struct mn_writer *writer, const struct mn_trace_event *event, mn_time wall)
{
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_time(&reply, "time", wall);
    reply_text(&reply, "level", level_name(mn_event_level(event->event)));
    reply_text(&reply, "event", mn_event_name(event->event));
    if (!mn_id_is_zero(&event->id)) reply_id(&reply, "id", &event->id);
    if (event->text[0] != '\0') reply_text(&reply, "text", event->text);
    if (mn_event_a_name(event->event)[0] != '\0')
        reply_u64(&reply, mn_event_a_name(event->event), event->a);
    if (mn_event_b_name(event->event)[0] != '\0')
        reply_u64(&reply, mn_event_b_name(event->event), event->b);
    struct mn_buf *line = reply_end(&reply);
    mn_writer_add(writer, mn_buf_span(line));
    mn_buf_unref(line);
}

/* ---- streams ---- */

void admin_stream_end(struct admin_exchange *exchange)
{
    mn_list_remove(&exchange->follower);
}

static void stream_head(struct admin_request *request)
{
    struct edge_outbox *edge = request->outbox->edge;
    struct edge_header *header = mn_arena_alloc(edge->arena, sizeof *header);
    struct edge_output *output = edge_emit(edge, EDGE_OUT_HTTP_HEAD, request->exchange->id);

    *header =
        (struct edge_header){mn_span_str("content-type"), mn_span_str("application/x-ndjson")};
    output->code = 200;
    output->flag = true;
    output->headers = header;
    output->headers_count = 1;
    request->exchange->is_stream = true;
    mn_list_push_back(&request->admin->followers, &request->exchange->follower);
}

/* Takes [writer]. False: the follower was too slow and is gone (its GONE frees it). */
static bool stream_send(struct admin_exchange *exchange, struct mn_writer *writer,
                        struct edge_outbox *edge)
{
    struct edge_output *output;

    if (mn_writer_size(writer) == 0) return true;
    exchange->queued += mn_writer_size(writer);
    if (exchange->queued > ADMIN_STREAM_QUEUE) {
        mn_writer_drop(writer);
        edge_emit(edge, EDGE_OUT_HTTP_ABORT, exchange->id);
        admin_stream_end(exchange);
        return false;
    }
    output = edge_emit(edge, EDGE_OUT_HTTP_BODY, exchange->id);
    output->buf = mn_writer_done(writer);
    return true;
}

/* ---- events ---- */

void admin_stream_event(struct admin *admin, struct mn_now now, const struct mn_trace_event *event,
                        struct admin_outbox *outbox)
{
    uint64_t slot = admin->events_count++ % ADMIN_EVENTS_MAX;

    admin->events[slot] = *event;
    admin->events_wall[slot] = now.wall;
    MN_LIST_FOR_EACH_SAFE (entry, &admin->followers) {
        struct admin_exchange *exchange = MN_CONTAINER(entry, struct admin_exchange, follower);
        struct mn_writer writer = {0};
        if (exchange->server != NULL) continue;
        write_event(&writer, event, now.wall);
        stream_send(exchange, &writer, outbox->edge);
    }
}

static void write_history(const struct admin *admin, struct mn_writer *writer)
{
    uint64_t first =
        admin->events_count > ADMIN_EVENTS_MAX ? admin->events_count - ADMIN_EVENTS_MAX : 0;

    for (uint64_t i = first; i < admin->events_count; i++)
        write_event(writer, &admin->events[i % ADMIN_EVENTS_MAX],
                    admin->events_wall[i % ADMIN_EVENTS_MAX]);
}

static void events_handle(struct admin_request *request)
{
    struct mn_writer writer = {0};

    stream_head(request);
    write_history(request->admin, &writer);
    if (mn_span_is(admin_query(request->exchange, "follow"), "1")) {
        stream_send(request->exchange, &writer, request->outbox->edge);
        return;
    }
    struct edge_output *output =
        edge_emit(request->outbox->edge, EDGE_OUT_HTTP_BODY, request->exchange->id);
    output->buf = mn_writer_done(&writer);
    output->flag = true;
    admin_exchange_over(request);
}

/* ---- logs of servers ---- */

static void logs_ask(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;

    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_LOGS,
                                                              .name = mn_span_str(exchange->server),
                                                              .after = exchange->after});
}

static void logs_handle(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;

    exchange->server = mn_alloc(request->rest.size + 1);
    memcpy(exchange->server, request->rest.data, request->rest.size);
    logs_ask(request);
}

/* The lines as one JSON object each; remembers the newest. */
static void write_lines(struct admin_request *request, struct mn_span json,
                        struct mn_writer *writer)
{
    const struct json_limits limits = {.depth_max = 4, .depth_kept = 2, .nodes_max = 65536};
    const struct json *lines = NULL;

    if (json_parse_copy(request->admin->parser, json, limits, request->outbox->arena, &lines) !=
        MN_OK)
        return;
    for (const struct json *line = json_first(lines); line != NULL; line = json_next(lines, line)) {
        int64_t sequence = 0;
        if (json_i64(json_find_str(line, "sequence"), &sequence) == MN_OK)
            request->exchange->after = (uint64_t)sequence;
        mn_writer_add(writer, line->raw);
        mn_writer_str(writer, "\n");
    }
}

static void logs_answered(struct admin_request *request, const struct admin_gateway_answer *gateway,
                          const struct core_reply *core_reply)
{
    struct admin_exchange *exchange = request->exchange;
    bool follows = mn_span_is(admin_query(exchange, "follow"), "1");
    struct mn_writer writer = {0};

    (void)core_reply;
    if (gateway->status != MN_OK && !exchange->is_stream) {
        admin_fail_status(request, gateway->status, gateway->why);
        return;
    }
    if (!exchange->is_stream) stream_head(request);
    if (gateway->status == MN_OK) write_lines(request, gateway->json, &writer);
    if (follows && gateway->status == MN_OK) {
        stream_send(exchange, &writer, request->outbox->edge);
        request->admin->poll_at =
            mn_time_min(request->admin->poll_at, mn_time_after(request->now.mono, POLL_PERIOD));
        return;
    }
    struct edge_output *output = edge_emit(request->outbox->edge, EDGE_OUT_HTTP_BODY, exchange->id);
    output->buf = mn_writer_done(&writer);
    output->flag = true;
    admin_exchange_over(request);
}

void admin_stream_poll(struct admin *admin, struct mn_now now, struct admin_outbox *outbox)
{
    admin->poll_at = MN_TIME_NEVER;
    MN_LIST_FOR_EACH_SAFE (entry, &admin->followers) {
        struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};
        request.exchange = MN_CONTAINER(entry, struct admin_exchange, follower);
        if (request.exchange->server == NULL || request.exchange->ticket != 0) continue;
        logs_ask(&request);
    }
}

const struct admin_route admin_stream_routes[] = {
    {"GET", "/v1/events", events_handle, NULL},
    {"GET", "/v1/servers/*/logs", logs_handle, logs_answered},
    {0},
};
