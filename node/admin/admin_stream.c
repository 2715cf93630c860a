/* What can be followed: the events of this node, and what a server writes to stderr. One JSON
 * object per line (application/x-ndjson). A follower that does not read is cut off, never waited
 * for. */
#include "node/admin/admin_internal.h"
#include "proto/base/memory.h"

#define POLL_PERIOD (250 * MN_MS) /* between two looks at a followed log */
#define JUDGE_PERIOD MN_SEC       /* and at the tokens of those who follow */

static const struct admin_route *const events_route = &admin_stream_routes[0];
static const struct admin_route *const logs_route = &admin_stream_routes[1];

/* ---- streams ---- */

bool admin_stream_follows(struct admin_request *request)
{
    return mn_span_is(admin_query(request, "follow"), "1");
}

bool admin_stream_begin(struct admin_request *request)
{
    struct admin *admin = request->admin;

    if (admin_stream_follows(request) && admin->followers_count >= ADMIN_FOLLOWERS_MAX) {
        admin_fail_text(request, 503, "busy", "too many follow already", "end one of them");
        return false;
    }
    admin_stream_head(request);
    if (!admin_stream_follows(request)) return true;
    mn_list_push_back(&admin->followers, &request->exchange->follower);
    admin->followers_count++;
    if (!mn_id_is_zero(&request->exchange->token))
        admin->judge_at =
            mn_time_min(admin->judge_at, mn_time_after(request->now.mono, JUDGE_PERIOD));
    return true;
}

void admin_stream_end(struct admin *admin, struct admin_exchange *exchange)
{
    if (!mn_list_is_empty(&exchange->follower)) admin->followers_count--;
    mn_list_remove(&exchange->follower);
}

void admin_stream_send(struct admin_request *request, struct mn_writer *lines)
{
    struct edge_outbox *edge = request->outbox->edge;
    struct admin_exchange *exchange = request->exchange;
    struct edge_output *output;

    if (mn_writer_size(lines) == 0) return;
    if (exchange->queued + mn_writer_size(lines) > ADMIN_STREAM_QUEUE) {
        mn_writer_drop(lines);
        edge_emit(edge, EDGE_OUT_HTTP_ABORT, exchange->id);
        admin_over(request);
        return;
    }
    exchange->queued += mn_writer_size(lines);
    output = edge_emit(edge, EDGE_OUT_HTTP_BODY, exchange->id);
    output->buf = mn_writer_done(lines);
}

void admin_stream_finish(struct admin_request *request, struct mn_writer *lines)
{
    struct edge_output *output =
        edge_emit(request->outbox->edge, EDGE_OUT_HTTP_BODY, request->exchange->id);

    output->buf = mn_writer_done(lines);
    output->flag = true;
    admin_over(request);
}

/* A request is judged when it comes; its stream may outlast its token. */
void admin_stream_judge(struct admin *admin, struct mn_now now, struct admin_outbox *outbox)
{
    admin->judge_at = MN_TIME_NEVER;
    MN_LIST_FOR_EACH_SAFE (entry, &admin->followers) {
        struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};
        struct mn_writer nothing = {0};
        request.exchange = MN_CONTAINER(entry, struct admin_exchange, follower);
        if (mn_id_is_zero(&request.exchange->token)) continue;
        if (guard_has_token(admin->guard, now, &request.exchange->token))
            admin->judge_at = mn_time_after(now.mono, JUDGE_PERIOD);
        else
            admin_stream_finish(&request, &nothing);
    }
}

/* ---- events ---- */

static const char *level_name(enum mn_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

/* What [a] and [b] mean is said in words ("status", "open for ms"): a key has no blanks. A
 * mn_status is told by its name, as the log does. */
static void write_number(struct reply *reply, const char *name, uint64_t value)
{
    char key[64];
    size_t size = 0;

    for (; name[size] != '\0' && size < sizeof key - 1; size++)
        key[size] = (char)(name[size] == ' ' || name[size] == '-' ? '_' : name[size]);
    key[size] = '\0';
    if (strcmp(key, "status") == 0 && (int64_t)value <= 0)
        reply_text(reply, key, mn_status_name((mn_status)(int64_t)value));
    else if (size > 0)
        reply_u64(reply, key, value);
}

static void write_event(struct mn_writer *lines, const struct mn_trace_event *event, mn_time wall)
{
    struct reply reply = {0};
    struct mn_buf *line;

    reply_object(&reply, NULL);
    reply_time(&reply, "time", wall);
    reply_text(&reply, "level", level_name(mn_event_level(event->event)));
    reply_text(&reply, "event", mn_event_name(event->event));
    if (!mn_id_is_zero(&event->id)) reply_id(&reply, "id", &event->id);
    if (event->text[0] != '\0') reply_text(&reply, "text", event->text);
    write_number(&reply, mn_event_a_name(event->event), event->a);
    write_number(&reply, mn_event_b_name(event->event), event->b);
    line = reply_end(&reply);
    mn_writer_add(lines, mn_buf_span(line));
    mn_buf_unref(line);
}

void admin_stream_event(struct admin *admin, struct mn_now now, const struct mn_trace_event *event,
                        struct admin_outbox *outbox)
{
    uint64_t slot = admin->events_count++ % ADMIN_EVENTS_MAX;

    admin->events[slot] = *event;
    admin->events_wall[slot] = now.wall;
    MN_LIST_FOR_EACH_SAFE (entry, &admin->followers) {
        struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};
        struct mn_writer lines = {0};
        request.exchange = MN_CONTAINER(entry, struct admin_exchange, follower);
        if (request.exchange->route != events_route) continue;
        write_event(&lines, event, now.wall);
        admin_stream_send(&request, &lines);
    }
}

static void write_history(const struct admin *admin, struct mn_writer *lines)
{
    uint64_t first =
        admin->events_count > ADMIN_EVENTS_MAX ? admin->events_count - ADMIN_EVENTS_MAX : 0;

    for (uint64_t i = first; i < admin->events_count; i++)
        write_event(lines, &admin->events[i % ADMIN_EVENTS_MAX],
                    admin->events_wall[i % ADMIN_EVENTS_MAX]);
}

static void events_handle(struct admin_request *request)
{
    struct mn_writer lines = {0};

    if (!admin_stream_begin(request)) return;
    write_history(request->admin, &lines);
    if (admin_stream_follows(request))
        admin_stream_send(request, &lines);
    else
        admin_stream_finish(request, &lines);
}

/* ---- logs of servers ---- */

static void logs_ask(struct admin_request *request)
{
    struct admin_exchange *exchange = request->exchange;

    admin_ask_gateway(request, (struct admin_gateway_request){.verb = ADMIN_GATEWAY_SERVER_LOGS,
                                                              .name = exchange->rest,
                                                              .after = exchange->after});
}

/* Digits only, and few enough to fit. */
static bool read_after(struct mn_span text, uint64_t *ret)
{
    *ret = 0;
    if (text.data == NULL) return true;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *ret = *ret * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0 && text.size < 19;
}

static void logs_handle(struct admin_request *request)
{
    if (read_after(admin_query(request, "after"), &request->exchange->after))
        logs_ask(request);
    else
        admin_fail_text(request, 400, "bad_request", "after: the sequence of a line, a number",
                        "see docs/API.md");
}

/* One line of the gateway's, {sequence, time_ms, text}, as it goes out; remembers the newest. */
static void write_line(struct admin_request *request, const struct json *line,
                       struct mn_writer *lines)
{
    const struct json *text = json_find_str(line, "text");
    int64_t sequence = 0, time_ms = 0;
    struct reply reply = {0};
    struct mn_buf *out;

    if (json_i64(json_find_str(line, "sequence"), &sequence) != MN_OK ||
        json_i64(json_find_str(line, "time_ms"), &time_ms) != MN_OK || text == NULL)
        return;
    request->exchange->after = (uint64_t)sequence;
    reply_object(&reply, NULL);
    reply_i64(&reply, "sequence", sequence);
    reply_time(&reply, "time", (mn_time)time_ms * MN_MS);
    reply_raw(&reply, "text", text->raw);
    out = reply_end(&reply);
    mn_writer_add(lines, mn_buf_span(out));
    mn_buf_unref(out);
}

static void write_lines(struct admin_request *request, struct mn_span json, struct mn_writer *lines)
{
    const struct json *all = admin_parse(request, json, JSON_ARRAY, 1);

    for (const struct json *line = all == NULL ? NULL : json_first(all); line != NULL;
         line = json_next(all, line))
        write_line(request, admin_parse(request, line->raw, JSON_OBJECT, 1), lines);
}

/* A followed server that was detached ends the stream. */
static void logs_on_lines(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    struct admin *admin = request->admin;
    struct mn_writer lines = {0};

    if (answer->status != MN_OK && !request->exchange->is_stream) {
        admin_fail_status(request, answer->status, answer->why, "meshctl servers");
        return;
    }
    if (!request->exchange->is_stream && !admin_stream_begin(request)) return;
    if (answer->status == MN_OK) write_lines(request, answer->json, &lines);
    if (admin_stream_follows(request) && answer->status == MN_OK) {
        admin->poll_at = mn_time_min(admin->poll_at, mn_time_after(request->now.mono, POLL_PERIOD));
        admin_stream_send(request, &lines);
    } else {
        admin_stream_finish(request, &lines);
    }
}

void admin_stream_poll(struct admin *admin, struct mn_now now, struct admin_outbox *outbox)
{
    admin->poll_at = MN_TIME_NEVER;
    MN_LIST_FOR_EACH (entry, &admin->followers) {
        struct admin_request request = {.admin = admin, .now = now, .outbox = outbox};
        request.exchange = MN_CONTAINER(entry, struct admin_exchange, follower);
        if (request.exchange->route != logs_route || request.exchange->ticket.number != 0) continue;
        logs_ask(&request);
    }
}

const struct admin_route admin_stream_routes[] = {
    {"GET", "/v1/events", "follow", events_handle, NULL, NULL, NULL},
    {"GET", "/v1/servers/*/logs", "after follow", logs_handle, logs_on_lines, NULL, NULL},
    {0},
};
