/* Responses: HTTP heads, JSON bodies, streams of events. */
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_told.h"
#include "node/mcp/wire/sse.h"
#include "node/mcp/wire/trail.h"
#include "proto/base/check.h"

/* clang-format off */
#define SPAN(text) {(const uint8_t *)(text), sizeof(text) - 1}
#define RETRY_MS 1000 /* as long as clients wait by themselves at first */
#define HEADER(name, value) {SPAN(name), SPAN(value)}
/* clang-format on */

static const struct edge_header reply_json[] = {HEADER("content-type", "application/json")};
static const struct edge_header reply_stream[] = {
    HEADER("content-type", "text/event-stream"), HEADER("cache-control", "no-cache"),
    HEADER("x-accel-buffering", "no"), /* nginx in front would hold events back */
};

/* [extra] follows the [count] headers, unless its name is empty. */
static void front_reply_head(struct front *front, uint64_t id, uint32_t code,
                             const struct edge_header *headers, uint32_t count,
                             const struct edge_header *extra, bool is_stream)
{
    struct edge_output *head = edge_emit(front->outbox->edge, EDGE_OUT_HTTP_HEAD, id);

    head->code = code;
    head->headers = headers;
    head->headers_count = count;
    head->flag = is_stream;
    if (extra != NULL) {
        struct mn_arena *arena = front->outbox->edge->arena;
        struct edge_header *all = mn_arena_alloc(arena, (count + 1) * sizeof *all);
        for (uint32_t i = 0; i < count; i++)
            all[i] = headers[i];
        all[count] = *extra;
        head->headers = all;
        head->headers_count = count + 1;
    }
}

static void front_reply_body(struct front *front, uint64_t id, struct mn_buf *buf, bool is_last)
{
    struct edge_output *body = edge_emit(front->outbox->edge, EDGE_OUT_HTTP_BODY, id);
    body->buf = buf;
    body->flag = is_last;
}

/* The header that tells a client its new session, or another mesh which ones it hears of; NULL: it
 * is neither. */
static const struct edge_header *front_reply_more(struct front *front,
                                                  const struct front_exchange *exchange)
{
    struct mn_arena *arena = front->outbox->edge->arena;
    const struct mn_buf *value =
        exchange->new_session != NULL ? exchange->new_session : exchange->meshes;
    struct edge_header *header;

    if (value == NULL) return NULL;
    header = mn_arena_alloc(arena, sizeof *header);
    header->name =
        mn_span_str(exchange->new_session != NULL ? "mcp-session-id" : TRAIL_MESHES_HEADER);
    header->value = mn_arena_copy(arena, mn_buf_span(value));
    return header;
}

void front_reply_empty(struct front *front, struct front_exchange *exchange, uint32_t code)
{
    MN_ASSERT(!exchange->is_stream);
    front_reply_head(front, exchange->id, code, NULL, 0, NULL, false);
    front_reply_body(front, exchange->id, NULL, true);
    front_exchange_free(front, exchange);
}

void front_reply_refuse(struct front *front, uint64_t exchange_id, uint32_t code,
                        int64_t jsonrpc_code, const char *text, const struct edge_header *header)
{
    struct mn_writer writer = {0};

    front->stats.refused_count++;
    jsonrpc_write_error(&writer, mn_span(NULL, 0), jsonrpc_code, mn_span_str(text),
                        mn_span(NULL, 0));
    front_reply_head(front, exchange_id, code, reply_json, 1, header, false);
    front_reply_body(front, exchange_id, mn_writer_done(&writer), true);
}

static void front_reply_whole(struct front *front, struct front_exchange *exchange, uint32_t code,
                              struct mn_buf *buf)
{
    front_reply_head(front, exchange->id, code, reply_json, 1, front_reply_more(front, exchange),
                     false);
    front_reply_body(front, exchange->id, buf, true);
    front_exchange_free(front, exchange);
}

static void front_reply_said(struct front *front, struct front_exchange *exchange,
                             struct mn_span json, struct mn_span answers, bool is_last)
{
    struct mn_writer writer = {0};

    MN_ASSERT(exchange->is_stream);
    sse_write_message(&writer, front_replay_event(front, exchange, json, answers), json);
    exchange->unread += mn_writer_size(&writer);
    front_reply_body(front, exchange->id, mn_writer_done(&writer), is_last);
    if (is_last) front_exchange_free(front, exchange);
}

void front_reply_event(struct front *front, struct front_exchange *exchange, struct mn_span json)
{
    front_reply_said(front, exchange, json, mn_span(NULL, 0), false);
}

static void front_reply_put_pieces(struct front *front, uint64_t exchange_id, struct pieces *pieces)
{
    struct mn_buf *piece;

    while ((piece = pieces_take(pieces)) != NULL)
        front_reply_body(front, exchange_id, piece, false);
}

static void front_reply_batch(struct front *front, struct front_exchange *exchange)
{
    const uint64_t id = exchange->id;

    front->batches_size -= pieces_size(&exchange->batch);
    front_reply_head(front, id, 200, reply_json, 1, front_reply_more(front, exchange), false);
    front_reply_put_pieces(front, id, &exchange->batch);
    front_reply_body(front, id, mn_buf_copy(mn_span_str("]")), true);
    front_exchange_free(front, exchange);
}

/* One answer more of a batch that has no response yet: what [writer] has, then [pieces]. */
static void front_reply_collect(struct front *front, struct front_exchange *exchange,
                                struct mn_writer *writer, struct pieces *pieces)
{
    size_t before = pieces_size(&exchange->batch);

    pieces_str(&exchange->batch, before == 0 ? "[" : ",");
    json_write_line(&exchange->batch.writer, mn_buf_span(writer->buf)); /* as an event has it */
    mn_writer_drop(writer);
    if (pieces != NULL) {
        pieces_move(&exchange->batch, pieces);
        pieces_str(&exchange->batch, "}");
    }
    front->batches_size += pieces_size(&exchange->batch) - before;
    if (exchange->pending_count == 0) front_reply_batch(front, exchange);
}

/* A stream of which all is there: one response of known length, which goes out in one write. */
static void front_reply_whole_stream(struct front *front, struct front_exchange *exchange,
                                     struct mn_span json, struct mn_span answers)
{
    struct mn_writer writer = {0};

    exchange->is_stream = true;
    sse_write_priming(&writer, front_replay_place(front, exchange, answers), RETRY_MS);
    sse_write_message(&writer, front_replay_event(front, exchange, json, answers), json);
    front_reply_head(front, exchange->id, 200, reply_stream, 3, front_reply_more(front, exchange),
                     false);
    front_reply_body(front, exchange->id, mn_writer_done(&writer), true);
    front_exchange_free(front, exchange);
}

/* The answer to [id], whose text is in [writer]; takes it. */
static void front_reply_answer(struct front *front, struct front_exchange *exchange, uint32_t code,
                               struct mn_span id, struct mn_writer *writer)
{
    MN_ASSERT(exchange->pending_count > 0);
    exchange->pending_count--;
    if (exchange->is_stream) {
        front_reply_said(front, exchange, mn_buf_span(writer->buf), id,
                         exchange->pending_count == 0);
        mn_writer_drop(writer);
        return;
    }
    if (exchange->is_batch) {
        front_reply_collect(front, exchange, writer, NULL);
    } else if (exchange->becomes_stream) {
        front_reply_whole_stream(front, exchange, mn_buf_span(writer->buf), id);
        mn_writer_drop(writer);
    } else {
        front_reply_whole(front, exchange, code, mn_writer_done(writer));
    }
}

/* False: it was answered otherwise, for the response of its batch would be too large. */
static bool front_reply_fits(struct front *front, struct front_exchange *exchange,
                             struct mn_span id, size_t size)
{
    size_t collected = pieces_size(&exchange->batch);

    if (!exchange->is_batch || exchange->is_stream ||
        (collected + size <= MCP_BATCH_ANSWERS_MAX && front->batches_size + size <= MCP_BODIES_MAX))
        return true;
    MN_PROBE("front: an answer does not fit into its batch");
    front_reply_fail(front, exchange, 200, id, JSONRPC_INTERNAL,
                     "it was done, but its answer does not fit into the batch's response; post "
                     "fewer messages at once");
    return false;
}

void front_reply_result(struct front *front, struct front_exchange *exchange, struct mn_span id,
                        struct mn_span result)
{
    struct mn_writer writer = {0};

    if (!front_reply_fits(front, exchange, id, result.size)) return;
    jsonrpc_write_result(&writer, id, result);
    front_reply_answer(front, exchange, 200, id, &writer);
}

bool front_reply_is_in_lines(const struct front_exchange *exchange)
{
    return exchange->is_stream || exchange->is_batch || exchange->becomes_stream;
}

/* What stands around the data of an event. */
static void front_reply_begin_event(struct front *front, struct front_exchange *exchange,
                                    struct mn_span id, struct mn_writer *writer, size_t size)
{
    const struct mn_span large = {NULL, size}; /* such are not kept, so nobody looks at it */

    sse_begin_message(writer, front_replay_event(front, exchange, large, id));
}

void front_reply_pieces(struct front *front, struct front_exchange *exchange, struct mn_span id,
                        struct pieces *result)
{
    const uint64_t exchange_id = exchange->id;
    const size_t size = pieces_size(result);
    struct mn_writer begin = {0}, end = {0};
    bool is_stream;

    if (!front_reply_fits(front, exchange, id, size)) return;
    if (exchange->becomes_stream) front_reply_open(front, exchange);
    is_stream = exchange->is_stream;
    MN_ASSERT(exchange->pending_count > 0);
    exchange->pending_count--;
    if (!is_stream && exchange->is_batch) {
        jsonrpc_begin_result(&begin, id);
        front_reply_collect(front, exchange, &begin, result);
        return;
    }
    if (is_stream)
        front_reply_begin_event(front, exchange, id, &begin, size);
    else
        front_reply_head(front, exchange_id, 200, reply_json, 1, front_reply_more(front, exchange),
                         false);
    jsonrpc_begin_result(&begin, id);
    mn_writer_str(&end, is_stream ? "}" SSE_END : "}");
    exchange->unread += mn_writer_size(&begin) + size + mn_writer_size(&end);
    front_reply_body(front, exchange_id, mn_writer_done(&begin), false);
    front_reply_put_pieces(front, exchange_id, result);
    front_reply_body(front, exchange_id, mn_writer_done(&end), !is_stream);
    if (!is_stream)
        front_exchange_free(front, exchange);
    else if (exchange->pending_count == 0)
        front_reply_end(front, exchange);
}

void front_reply_error(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                       struct mn_span id, int64_t code, struct mn_span message, struct mn_span data)
{
    struct mn_writer writer = {0};

    if (http_code != 200) front->stats.refused_count++;
    jsonrpc_write_error(&writer, id, code, message, data);
    front_reply_answer(front, exchange, http_code, id, &writer);
}

void front_reply_fail(struct front *front, struct front_exchange *exchange, uint32_t http_code,
                      struct mn_span id, int64_t code, const char *text)
{
    front_reply_error(front, exchange, http_code, id, code, mn_span_str(text), mn_span(NULL, 0));
}

void front_reply_nothing(struct front *front, struct front_exchange *exchange)
{
    MN_ASSERT(exchange->pending_count > 0);
    if (--exchange->pending_count > 0) return;
    if (!exchange->is_stream && pieces_size(&exchange->batch) > 0) {
        front_reply_batch(front, exchange);
        return;
    }
    front_reply_open(front, exchange);
    front_reply_end(front, exchange);
}

/* With this, the client can come back for what follows. */
static void front_reply_place(struct front *front, struct front_exchange *exchange,
                              uint32_t retry_ms)
{
    struct mn_writer writer = {0};

    sse_write_priming(&writer, front_replay_place(front, exchange, mn_span(NULL, 0)), retry_ms);
    front_reply_body(front, exchange->id, mn_writer_done(&writer), false);
}

void front_reply_wait(struct front *front, struct front_exchange *exchange)
{
    bool is_new = exchange->legacy != NULL && exchange->is_stream && !exchange->is_noted;

    mn_heap_set(&front->timers, &exchange->timer,
                mn_time_after(front->now.mono, is_new ? FRONT_NOTE : MCP_KEEPALIVE));
}

void front_reply_event_pieces(struct front *front, struct front_exchange *exchange,
                              struct pieces *json)
{
    struct mn_writer begin = {0};

    MN_ASSERT(exchange->is_stream);
    front_reply_begin_event(front, exchange, mn_span(NULL, 0), &begin, pieces_size(json));
    pieces_str(json, SSE_END);
    exchange->unread += mn_writer_size(&begin) + pieces_size(json);
    front_reply_body(front, exchange->id, mn_writer_done(&begin), false);
    front_reply_put_pieces(front, exchange->id, json);
    pieces_drop(json);
}

/* The answers of a batch that there are so far, as one event. */
static void front_reply_collected(struct front *front, struct front_exchange *exchange)
{
    struct pieces *batch = &exchange->batch;

    front->batches_size -= pieces_size(batch);
    pieces_str(batch, "]");
    if (batch->done_count == 0) /* none of them is large */
        front_reply_event(front, exchange, mn_buf_span(batch->writer.buf));
    else
        front_reply_event_pieces(front, exchange, batch);
    pieces_drop(batch);
}

void front_reply_open(struct front *front, struct front_exchange *exchange)
{
    if (exchange->is_stream) return;
    front_reply_head(front, exchange->id, 200, reply_stream, 3, front_reply_more(front, exchange),
                     true);
    exchange->is_stream = true;
    front_reply_wait(front, exchange);
    if (exchange->stream == 0 && front_replay_is_known(exchange->legacy))
        front_reply_place(front, exchange, RETRY_MS);
    if (pieces_size(&exchange->batch) > 0) front_reply_collected(front, exchange);
}

void front_reply_again(struct front *front, struct front_exchange *exchange, struct mn_span id,
                       struct mn_span json)
{
    struct mn_writer writer = {0};

    MN_ASSERT(exchange->is_stream);
    sse_write_message(&writer, id, json);
    exchange->unread += mn_writer_size(&writer);
    front_reply_body(front, exchange->id, mn_writer_done(&writer), false);
}

void front_reply_notification(struct front *front, struct front_exchange *exchange,
                              struct mn_span json)
{
    front_reply_open(front, exchange);
    if (exchange->unread > FRONT_UNREAD_MAX) {
        MN_PROBE("front: a client that does not read misses notifications");
        return;
    }
    front_reply_event(front, exchange, json);
}

void front_reply_keepalive(struct front *front, struct front_exchange *exchange)
{
    struct mn_writer writer = {0};

    MN_ASSERT(exchange->is_stream);
    sse_write_keepalive(&writer);
    front_reply_body(front, exchange->id, mn_writer_done(&writer), false);
}

void front_reply_pause(struct front *front, struct front_exchange *exchange, uint32_t retry_ms)
{
    MN_PROBE("front: a stream ends in the middle of its call, as its server's did");
    front_reply_open(front, exchange);
    front_orphan_note(front, exchange); /* its client may come back at any node */
    front_reply_place(front, exchange, retry_ms);
    front_reply_end(front, exchange);
}

void front_reply_end(struct front *front, struct front_exchange *exchange)
{
    MN_ASSERT(exchange->is_stream);
    front_reply_body(front, exchange->id, NULL, true);
    front_exchange_free(front, exchange);
}
