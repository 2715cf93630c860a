/* http_exchange.c: one request and its response, between libmicrohttpd's callbacks and the edge.
 *
 * libmicrohttpd asks for the response only once the request is complete, and again in each of its
 * runs until one is queued or the connection is suspended. So a response that is there at once goes
 * out within the very call that brought the request's last byte; one that comes a little later is
 * queued when it comes; and who waits for long is suspended. */
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "node/io/http_internal.h"
#include "proto/base/check.h"

/* Bytes that libmicrohttpd keeps for a stream beside the connection's memory, out of which it makes
 * chunks: only a client of HTTP/1.0, which has no chunks, is sent its stream through them. */
#define HTTP_STREAM_BLOCK 256

/* Bytes of a long body that are given to the kernel at a time. It would take megabytes of one,
 * while all others wait. */
#define HTTP_BODY_BLOCK (128 * 1024)

/* Bytes of an answer that goes out at once, however many do in this turn. */
#define HTTP_WHOLE_MIN ((size_t)16 << 10)

static void http_exchange_set_phase(struct http_conn *conn, enum http_phase phase)
{
    conn->phase = phase;
    conn->since_ms = http_now_ms(conn->http);
}

/* An exchange's id names the slot of its connection, so no table is needed to find it. */
static uint64_t http_exchange_next_id(struct http *http, uint32_t slot)
{
    return (http->serial++ * http->config.connections_max + slot) * 2 + 1;
}

/* The connection whose exchange the machine may still speak about; NULL: none. */
static struct http_conn *http_exchange_find(struct http *http, uint64_t id)
{
    struct http_conn *conn = http->conns[id / 2 % http->config.connections_max];
    if (conn == NULL || conn->exchange.id != id || conn->exchange.is_finished) return NULL;
    return conn;
}

static void http_exchange_input(struct http_conn *conn, struct edge_input *input)
{
    input->id = conn->exchange.id;
    if (!conn->http->is_closing) io_input(conn->http->io, input);
}

void http_exchange_cut(struct http_conn *conn)
{
    conn->exchange.is_cut = true;
    if (conn->is_suspended) {
        http_resume(conn);
        return;
    }
    shutdown(conn->fd, SHUT_RDWR);
    http_wake(conn->http); /* one that waits is asked again */
}

/* The request. */

void *http_exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_conn *conn = info->socket_context;
    size_t size = target == NULL ? 0 : strlen(target);
    (void)cls;
    http_unsettle(conn);
    conn->exchange.target = mn_alloc(size + 1);
    if (size > 0) memcpy(conn->exchange.target, target, size);
    http_exchange_set_phase(conn, HTTP_PHASE_HEAD);
    return conn;
}

struct http_head {
    struct mn_arena *arena;
    struct http_exchange *exchange;
    struct edge_header *headers; /* HTTP_HEADERS_MAX */
    uint32_t count;
    size_t size;
    struct mn_span host;
    uint32_t once; /* which of http_once were there, as bits */
    bool is_too_big;
};

/* Who reads the first of two is told something else than who reads the last. */
static const char *const http_once[] = {"host", "content-length", "transfer-encoding",
                                        "content-type", "authorization"};

static bool http_stands_twice(struct http_head *head, struct mn_span name)
{
    for (size_t i = 0; i < sizeof http_once / sizeof *http_once; i++) {
        if (!mn_span_is(name, http_once[i])) continue;
        bool is_second = (head->once >> i & 1) != 0;
        head->once |= 1u << i;
        return is_second;
    }
    return false;
}

static struct mn_span http_lower_case(struct mn_arena *arena, const char *name, size_t size)
{
    uint8_t *copy = mn_arena_alloc(arena, size + 1);
    for (size_t i = 0; i < size; i++) { /* as in ASCII, whatever the locale says */
        uint8_t c = (uint8_t)name[i];
        copy[i] = (uint8_t)(c + ((uint8_t)(c - 'A') < 26) * 32);
    }
    return mn_span(copy, size);
}

static enum MHD_Result http_on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                      size_t name_size, const char *value, size_t value_size)
{
    struct http_head *head = cls;
    (void)kind;
    head->size += name_size + value_size + 4;
    if (head->count == HTTP_HEADERS_MAX || head->size > HTTP_HEAD_MAX) {
        head->is_too_big = true;
        return MHD_NO;
    }
    struct edge_header *header = &head->headers[head->count++];
    header->name = http_lower_case(head->arena, name, name_size);
    header->value = mn_span(value, value_size);
    head->exchange->is_ambiguous |= http_stands_twice(head, header->name);
    if (mn_span_is(header->name, "host")) {
        head->host = header->value;
    } else if (mn_span_is(header->name, "content-length")) {
        head->exchange->has_length = true;
        head->exchange->content_length = strtoull(value, NULL, 10); /* was checked before us */
    } else if (mn_span_is(header->name, "transfer-encoding")) {
        /* libmicrohttpd reads a body of any other encoding up to the connection's end. */
        head->exchange->is_ambiguous |= strcasecmp(value, "chunked") != 0;
        head->exchange->is_chunked = true;
    }
    head->exchange->is_ambiguous |= memchr(value, '\r', value_size) != NULL;
    return MHD_YES;
}

/* What is asked for: the target, or of one in absolute form what follows its authority. That is the
 * host, or it is not certain whom the client means. */
static struct mn_span http_path(const struct http_head *head)
{
    const char *target = head->exchange->target;
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme == 0) return mn_span_str(target);
    target += scheme;
    if (head->host.size == 0 ||
        strncasecmp(target, (const char *)head->host.data, head->host.size) != 0)
        return mn_span(NULL, 0);
    target += head->host.size;
    if (*target == '\0') return mn_span_str("/");
    return *target == '/' ? mn_span_str(target) : mn_span(NULL, 0);
}

static bool http_has_body(const struct http_exchange *exchange)
{
    return exchange->is_chunked || (exchange->has_length && exchange->content_length > 0);
}

/* A response of our own, without the machine. */
static void http_exchange_refuse(struct http_conn *conn, uint32_t code, const char *text)
{
    struct http_exchange *exchange = &conn->exchange;
    exchange->code = code;
    exchange->is_finished = true;
    exchange->body = mn_buf_copy(mn_span_str(text));
}

static void http_exchange_open(struct http_conn *conn, const char *method, const char *version)
{
    struct http *http = conn->http;
    struct http_exchange *exchange = &conn->exchange;
    struct edge_header headers[HTTP_HEADERS_MAX]; /* not cleared: most stay unused */
    struct http_head head = {.arena = &http->arena,
                             .exchange = exchange,
                             .headers = headers,
                             .size = strlen(exchange->target)};
    exchange->is_open = true;
    http_exchange_set_phase(conn, HTTP_PHASE_BODY);
    MHD_get_connection_values_n(conn->mhd, MHD_HEADER_KIND, http_on_header, &head);
    if (head.is_too_big || head.size > HTTP_HEAD_MAX) {
        http_exchange_refuse(conn, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                             "The request's head is too big.\n");
        return;
    }
    struct mn_span path = http_path(&head);
    exchange->is_ambiguous |= path.size == 0;
    exchange->is_ambiguous |=
        exchange->is_chunked && (exchange->has_length || strcmp(version, "HTTP/1.1") != 0);
    if (exchange->is_ambiguous) { /* RFC 9112, sections 3.2, 5 and 6 */
        http_exchange_refuse(
            conn, MHD_HTTP_BAD_REQUEST,
            "A header stands there twice, is broken, or is not what the target says.\n");
        mn_arena_reset(&http->arena);
        return;
    }
    exchange->id = http_exchange_next_id(http, conn->slot);
    const struct edge_http_request request = {
        .listener = conn->listener,
        .method = mn_span_str(method),
        .target = path,
        .address = mn_span_str(conn->address),
        .is_loopback = conn->is_loopback,
        .uid = conn->uid,
        .headers = headers,
        .headers_count = head.count,
    };
    http_exchange_input(conn, &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .http = &request});
    mn_arena_reset(&http->arena);
    mn_free(exchange->target); /* who only listens would keep it for hours */
    exchange->target = NULL;
}

static void http_exchange_give_body(struct http_conn *conn, struct mn_span bytes, bool is_last)
{
    struct http_exchange *exchange = &conn->exchange;
    exchange->is_body_done = is_last;
    if (exchange->is_finished) return; /* nobody waits for it any more */
    http_exchange_input(
        conn, &(struct edge_input){.type = EDGE_IN_HTTP_BODY, .bytes = bytes, .is_last = is_last});
}

static enum MHD_Result http_exchange_on_upload(struct http_conn *conn, const char *data,
                                               size_t *size)
{
    struct http_exchange *exchange = &conn->exchange;
    if (exchange->is_paused && !exchange->is_finished) {
        http_suspend(conn); /* nothing taken: it comes again */
        return MHD_YES;
    }
    http_unsettle(conn);
    exchange->received += *size;
    if (exchange->is_finished && exchange->received > HTTP_DISCARD_MAX) return MHD_NO;
    bool is_last = exchange->has_length && exchange->received >= exchange->content_length;
    http_exchange_give_body(conn, mn_span(data, *size), is_last);
    *size = 0;
    return exchange->is_cut ? MHD_NO : MHD_YES;
}

/* The response. */

static void http_exchange_drop_parts(struct http_conn *conn)
{
    struct http_exchange *exchange = &conn->exchange;
    struct mn_list *entry;
    while ((entry = mn_list_take(&exchange->parts)) != NULL) {
        struct http_part *part = MN_CONTAINER(entry, struct http_part, entry);
        mn_buf_unref(part->buf);
        mn_free(part);
    }
    exchange->queued = 0;
}

/* A part is out. What it counted is let go of with it, not before: until now all of it was kept.
 * But the memory of a part of a buffer stays as long as any other part of that, however short. */
static void http_exchange_part_is_out(struct http_conn *conn, const struct mn_buf *buf)
{
    struct http_exchange *exchange = &conn->exchange;
    exchange->late += buf->size;
    exchange->is_shared |= buf->whole != NULL;
    if (exchange->is_shared && !mn_list_is_empty(&exchange->parts)) return;
    http_let_go(conn, exchange->late);
    exchange->late = 0;
    exchange->is_shared = false;
}

/* Moves up to [max] bytes of the queue to [to]. */
static size_t http_exchange_take(struct http_conn *conn, char *to, size_t max)
{
    struct http_exchange *exchange = &conn->exchange;
    size_t taken = 0;
    while (taken < max && !mn_list_is_empty(&exchange->parts)) {
        struct http_part *part = MN_CONTAINER(exchange->parts.next, struct http_part, entry);
        size_t size = part->buf->size - part->offset;
        if (size > max - taken) size = max - taken;
        memcpy(to + taken, part->buf->bytes + part->offset, size);
        part->offset += size;
        taken += size;
        if (part->offset < part->buf->size) break;
        mn_list_remove(&part->entry);
        http_exchange_part_is_out(conn, part->buf);
        mn_buf_unref(part->buf);
        mn_free(part);
    }
    exchange->queued -= taken;
    return taken;
}

/* libmicrohttpd wants bytes of a response that is a stream, or has its length in parts. */
static ssize_t http_exchange_on_read(void *cls, uint64_t position, char *to, size_t max)
{
    struct http_conn *conn = cls;
    struct http_exchange *exchange = &conn->exchange;
    (void)position;
    if (exchange->is_cut) return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t share = io_share(conn->http->io, IO_WRITE);
    size_t taken = http_exchange_take(conn, to, max < share ? max : share);
    io_moved(conn->http->io, IO_WRITE, taken);
    if (exchange->is_stream) conn->since_ms = http_now_ms(conn->http);
    http_unsettle(conn);
    if (taken == 0) {
        if (exchange->is_finished) return MHD_CONTENT_READER_END_OF_STREAM;
        http_suspend(conn);
        return 0;
    }
    if (exchange->given > HTTP_QUEUE_HIGH && exchange->queued < HTTP_QUEUE_LOW) {
        exchange->given = 0;
        if (!exchange->is_finished)
            http_exchange_input(conn, &(struct edge_input){.type = EDGE_IN_HTTP_WRITABLE});
    }
    return (ssize_t)taken;
}

static void http_unref_body(void *cls)
{
    mn_buf_unref(cls);
}

static struct MHD_Response *http_exchange_response(struct http_conn *conn)
{
    struct http_exchange *exchange = &conn->exchange;
    if (exchange->is_stream)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_STREAM_BLOCK,
                                                 http_exchange_on_read, conn, NULL);
    if (exchange->length > 0)
        return MHD_create_response_from_callback(exchange->length, HTTP_BODY_BLOCK,
                                                 http_exchange_on_read, conn, NULL);
    if (exchange->body == NULL)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_buffer_with_free_callback_cls(
        exchange->body->size, exchange->body->bytes, http_unref_body, mn_buf_ref(exchange->body));
}

/* Gives the response to libmicrohttpd. */
static enum MHD_Result http_exchange_reply(struct http_conn *conn)
{
    struct http_exchange *exchange = &conn->exchange;
    struct MHD_Response *response = http_exchange_response(conn);
    if (response == NULL) return MHD_NO;
    struct mn_span head = mn_buf_span(exchange->head);
    for (const char *at = (const char *)head.data, *end = at + head.size; at < end;) {
        const char *value = at + strlen(at) + 1;
        MHD_add_response_header(response, at, value); /* refuses what would break the head */
        at = value + strlen(value) + 1;
    }
    exchange->head = mn_buf_unref(exchange->head);
    if (exchange->is_ambiguous) MHD_add_response_header(response, "Connection", "close");
    http_exchange_set_phase(conn, HTTP_PHASE_REPLY);
    http_unsettle(conn);
    enum MHD_Result result = MHD_queue_response(conn->mhd, exchange->code, response);
    MHD_destroy_response(response); /* our ref; its own is with the connection */
    return result;
}

static bool http_exchange_can_reply(const struct http_exchange *exchange)
{
    return exchange->code != 0 && (exchange->is_finished || exchange->is_stream);
}

/* The request is complete. */
static enum MHD_Result http_exchange_on_complete(struct http_conn *conn)
{
    struct http_exchange *exchange = &conn->exchange;
    if (!exchange->is_body_done) http_exchange_give_body(conn, mn_span(NULL, 0), true);
    if (exchange->is_cut) return MHD_NO;
    if (http_exchange_can_reply(exchange)) return http_exchange_reply(conn);
    if (conn->phase == HTTP_PHASE_BODY) http_exchange_set_phase(conn, HTTP_PHASE_ANSWER);
    http_wait(conn);
    return MHD_YES;
}

enum MHD_Result http_exchange_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                         const char *method, const char *version,
                                         const char *upload_data, size_t *upload_size,
                                         void **context)
{
    struct http_conn *conn = *context;
    struct http_exchange *exchange = &conn->exchange;
    (void)cls, (void)mhd, (void)url;
    if (exchange->is_cut) return MHD_NO;
    if (exchange->is_open) {
        if (*upload_size > 0) return http_exchange_on_upload(conn, upload_data, upload_size);
        return http_exchange_on_complete(conn);
    }
    http_exchange_open(conn, method, version);
    if (exchange->is_cut) return MHD_NO;
    /* Queueing now means that the body is not read, and that the connection closes. */
    bool is_early = http_has_body(exchange) && (exchange->is_chunked || exchange->is_ambiguous ||
                                                exchange->content_length > HTTP_EARLY_MIN);
    if (is_early && exchange->is_finished) return http_exchange_reply(conn);
    return MHD_YES;
}

void http_exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                                enum MHD_RequestTerminationCode code)
{
    struct http_conn *conn = *context;
    (void)cls, (void)mhd, (void)code;
    if (conn == NULL) return;
    struct http_exchange last = conn->exchange;
    http_stop_waiting(conn);
    http_exchange_drop_parts(conn);
    http_let_go(conn, conn->exchange.held);
    if (conn->is_watched) epoll_ctl(conn->http->watch_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->is_watched = false;
    conn->exchange = (struct http_exchange){0};
    mn_list_init(&conn->exchange.parts);
    http_exchange_set_phase(conn, HTTP_PHASE_KEPT);
    mn_free(last.target);
    mn_buf_unref(last.head);
    mn_buf_unref(last.body);
    if (last.id == 0 || last.is_finished || conn->http->is_closing) return;
    io_input(conn->http->io, &(struct edge_input){.type = EDGE_IN_HTTP_GONE, .id = last.id});
}

/* What the machine says. */

/* Made by libmicrohttpd, and it would send ours as well. */
static bool http_is_ours(struct mn_span name)
{
    return mn_span_is(name, "content-length") || mn_span_is(name, "transfer-encoding") ||
           mn_span_is(name, "connection") || mn_span_is(name, "date") ||
           mn_span_is(name, "keep-alive");
}

static void http_exchange_set_head(struct http_conn *conn, const struct edge_output *output)
{
    static const uint8_t nul[1];
    struct http_exchange *exchange = &conn->exchange;
    struct mn_writer head = {0};
    if (exchange->code != 0) return;
    for (uint32_t i = 0; i < output->headers_count; i++) {
        const struct edge_header *header = &output->headers[i];
        if (http_is_ours(header->name)) continue;
        mn_writer_add(&head, header->name);
        mn_writer_add(&head, mn_span(nul, 1));
        mn_writer_add(&head, header->value);
        mn_writer_add(&head, mn_span(nul, 1));
    }
    if (mn_writer_size(&head) > 0) exchange->head = mn_writer_done(&head);
    exchange->code = output->code;
    exchange->is_stream = output->flag;
}

static void http_exchange_push(struct http_conn *conn, struct mn_buf *buf)
{
    struct http_exchange *exchange = &conn->exchange;
    if (buf == NULL || buf->size == 0) return;
    struct http_part *part = mn_alloc(sizeof *part);
    part->buf = mn_buf_ref(buf);
    mn_list_push_back(&exchange->parts, &part->entry);
    exchange->queued += buf->size;
    exchange->given += buf->size;
    http_hold(conn, buf->size);
}

static void http_exchange_add_body(struct http_conn *conn, const struct edge_output *output)
{
    struct http_exchange *exchange = &conn->exchange;
    size_t size = mn_buf_span(output->buf).size;
    if (exchange->code == 0) return; /* no head yet */
    if (exchange->is_cut) {
        exchange->is_finished |= output->flag;
        return;
    }
    if (!exchange->is_stream && output->flag && exchange->queued == 0 &&
        (size <= HTTP_WHOLE_MIN || io_takes_whole(conn->http->io, size)))
        exchange->body = mn_buf_ref(output->buf);
    else
        http_exchange_push(conn, output->buf);
    exchange->is_finished = output->flag;
    if (!exchange->is_stream && output->flag) exchange->length = exchange->queued;
    if (exchange->queued > HTTP_QUEUE_MAX) http_cut_slow(conn);
    if (exchange->body != NULL) http_hold(conn, exchange->body->size);
    http_keep_budget(conn->http);
}

static void http_exchange_pause(struct http_conn *conn, bool is_paused)
{
    conn->exchange.is_paused = is_paused;
    if (is_paused) return;
    conn->since_ms = http_now_ms(conn->http);
    conn->exchange.received_before = conn->exchange.received;
    if (conn->phase == HTTP_PHASE_BODY) http_resume(conn);
}

/* The response is there, or more of it. Who waits gets it at once, unless libmicrohttpd is in the
 * middle of a run: it shall then ask itself. */
static void http_exchange_answer(struct http_conn *conn)
{
    bool is_waiting = !mn_list_is_empty(&conn->waiting);
    if (conn->is_suspended) {
        http_resume(conn);
    } else if (is_waiting) {
        http_stop_waiting(conn);
        if (!conn->http->is_pumping && http_exchange_reply(conn) != MHD_YES)
            http_exchange_cut(conn);
        http_wake(conn->http);
    }
}

void http_do(struct http *http, const struct edge_output *output)
{
    struct http_conn *conn = http_exchange_find(http, output->id);
    if (conn == NULL) return;
    switch ((uint32_t)output->type) {
    case EDGE_OUT_HTTP_HEAD: http_exchange_set_head(conn, output); break;
    case EDGE_OUT_HTTP_BODY: http_exchange_add_body(conn, output); break;
    case EDGE_OUT_HTTP_PAUSE: http_exchange_pause(conn, output->flag); return;
    case EDGE_OUT_HTTP_ABORT:
        conn->exchange.is_finished = true; /* its last word: no GONE follows */
        http_exchange_cut(conn);
        return;
    default: return;
    }
    if (conn->phase == HTTP_PHASE_BODY && !conn->exchange.is_finished) return;
    if (http_exchange_can_reply(&conn->exchange)) http_exchange_answer(conn);
}
