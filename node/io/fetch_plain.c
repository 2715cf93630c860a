/* fetch_plain.c: http:// over kept connections on libuv. One request at a time per connection; what
 * a connection brings is read with fetch_response. */
#include <netdb.h>
#include <sys/socket.h>

#include "node/io/fetch_internal.h"
#include "node/io/fetch_request.h"
#include "node/io/fetch_response.h"
#include "proto/base/check.h"

#define FETCH_PLAIN_SWEEP_MS 1000
#define FETCH_PLAIN_JOIN_MAX 1024 /* a body up to here is copied behind its head */
#define FETCH_PLAIN_KEEPALIVE_S                                      \
    60 /* probes of the kernel, for streams that are silent for long \
        */

/* A kept connection that was silent this long may have been closed in the meantime: look first. */
#define FETCH_PLAIN_PEEK_MS 100
#define FETCH_PLAIN_KEPT_MAX 86400 /* seconds; whoever says more keeps it for long enough */

struct fetch_plain_origin {
    struct mn_map_entry entry; /* by key */
    char *key;                 /* "host:port", for messages too; or the path of a Unix socket */
    char *host, *port;
    struct mn_list idle; /* the newest first */
    uint32_t conns_count;
};

struct fetch_plain_call {
    struct fetch_call base;
    struct fetch_plain_origin *origin;
    struct fetch_plain_conn *conn; /* NULL only while there is none yet */
    struct mn_buf *head, *body;
    mn_time connect_timeout;
    bool is_head; /* a HEAD request */
    bool is_sent; /* the kernel has a byte of it */
    bool is_paused;
};

union fetch_plain_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct fetch_plain_conn {
    struct fetch_plain *plain;
    struct fetch_plain_origin *origin;
    struct mn_list all;      /* in plain->conns */
    struct mn_list idle;     /* in origin->idle */
    struct mn_list idle_all; /* in plain->idle, the oldest first */
    union fetch_plain_socket
        *socket; /* NULL: none at the moment; its memory goes with its closing */
    uv_connect_t connecting;
    uv_getaddrinfo_t resolving;
    struct addrinfo *addresses, *address; /* found; the one being tried */
    uv_timer_t timer;                     /* to be connected */
    uv_write_t writing;
    struct mn_buf *written[2]; /* kept while libuv writes them */
    uint32_t refs;             /* handles and requests that have not called back yet */
    bool is_closed, is_resolving, is_connected, is_reused, is_writing;
    uint64_t idle_since_ms;
    uint64_t kept_ms; /* idle for longer it is not used again */
    struct fetch_plain_call *call;
    struct fetch_response response;
};

/* The URL of the latest call, taken apart: the next one most likely goes there too. */
struct fetch_plain_last {
    char text[256];
    size_t size; /* 0: none */
    struct http_parser_url url;
    struct fetch_plain_origin *origin;
};

struct fetch_plain {
    struct fetch *fetch;
    struct mn_map origins;
    struct mn_list conns, idle;
    uint32_t idle_count;
    uv_timer_t sweep;
    uint8_t *read_buffer;
    size_t read_size;     /* what was asked for */
    bool is_filled;       /* by the last read */
    struct mn_writer key; /* of an origin that is looked for */
    struct fetch_plain_last last;
    uint32_t refs; /* connections and the sweep timer */
};

static void fetch_plain_dispatch(struct fetch_plain_call *call);

/* Lifetimes. */

static void fetch_plain_unref(struct fetch_plain *plain)
{
    if (--plain->refs > 0) return;
    struct fetch *fetch = plain->fetch;
    mn_map_done(&plain->origins);
    mn_free(plain->read_buffer);
    mn_writer_drop(&plain->key);
    mn_free(plain);
    fetch_way_closed(fetch);
}

static void fetch_plain_origin_unref(struct fetch_plain *plain, struct fetch_plain_origin *origin)
{
    if (--origin->conns_count > 0) return;
    if (plain->last.origin == origin) plain->last.size = 0;
    mn_map_remove(&plain->origins, &origin->entry);
    mn_free(origin->key);
    mn_free(origin->host);
    mn_free(origin->port);
    mn_free(origin);
}

static void fetch_plain_conn_unref(struct fetch_plain_conn *conn)
{
    struct fetch_plain *plain = conn->plain;
    if (--conn->refs > 0) return;
    mn_list_remove(&conn->all);
    if (conn->addresses != NULL) uv_freeaddrinfo(conn->addresses);
    fetch_response_done(&conn->response);
    fetch_plain_origin_unref(plain, conn->origin);
    mn_free(conn);
    fetch_plain_unref(plain);
}

static void fetch_plain_on_socket_closed(uv_handle_t *handle)
{
    struct fetch_plain_conn *conn = handle->data;
    mn_free(handle);
    fetch_plain_conn_unref(conn);
}

static void fetch_plain_on_timer_closed(uv_handle_t *handle)
{
    fetch_plain_conn_unref(handle->data);
}

static void fetch_plain_close_socket(struct fetch_plain_conn *conn)
{
    if (conn->socket == NULL) return;
    uv_close(&conn->socket->handle, fetch_plain_on_socket_closed);
    conn->socket = NULL;
}

static void fetch_plain_leave_idle(struct fetch_plain_conn *conn)
{
    if (mn_list_is_empty(&conn->idle)) return;
    mn_list_remove(&conn->idle);
    mn_list_remove(&conn->idle_all);
    conn->plain->idle_count--;
}

static void fetch_plain_conn_close(struct fetch_plain_conn *conn)
{
    if (conn->is_closed) return;
    conn->is_closed = true;
    fetch_plain_leave_idle(conn);
    fetch_plain_close_socket(conn);
    if (conn->is_resolving) uv_cancel((uv_req_t *)&conn->resolving);
    uv_close((uv_handle_t *)&conn->timer, fetch_plain_on_timer_closed);
}

static void fetch_plain_call_free(struct fetch_plain_call *call)
{
    mn_buf_unref(call->head);
    mn_buf_unref(call->body);
    mn_free(call);
}

/* The end of a call. */

static void fetch_plain_done(struct fetch_plain_call *call, mn_status status, const char *text)
{
    fetch_give_done(&call->base, status, text);
    fetch_plain_call_free(call);
}

static void fetch_plain_fail(struct fetch_plain_conn *conn, mn_status status, const char *why)
{
    struct fetch_plain_call *call = conn->call;
    struct mn_arena arena = {0};
    conn->call = NULL;
    fetch_plain_conn_close(conn);
    if (call == NULL) return;
    if (conn->is_reused && !call->is_sent) {
        fetch_plain_dispatch(call); /* it never left: another connection is as good */
        return;
    }
    if (!call->is_sent) status = MN_UNREACHABLE;
    fetch_plain_done(call, status, mn_arena_format(&arena, "%s: %s", call->origin->key, why));
    mn_arena_done(&arena);
}

static void fetch_plain_on_sweep(uv_timer_t *timer);
static void fetch_plain_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void fetch_plain_on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf);

static void fetch_plain_keep(struct fetch_plain_conn *conn)
{
    struct fetch_plain *plain = conn->plain;
    const struct fetch_config *config = &plain->fetch->config;
    if (config->idle_max == 0) {
        fetch_plain_conn_close(conn);
        return;
    }
    if (plain->idle_count == config->idle_max)
        fetch_plain_conn_close(MN_CONTAINER(plain->idle.next, struct fetch_plain_conn, idle_all));
    uv_read_start(&conn->socket->stream, fetch_plain_on_alloc,
                  fetch_plain_on_read); /* had it been paused */
    conn->idle_since_ms = uv_now(io_uv(plain->fetch->io));
    mn_list_push_front(&conn->origin->idle, &conn->idle);
    mn_list_push_back(&plain->idle, &conn->idle_all);
    plain->idle_count++;
    if (!uv_is_active((uv_handle_t *)&plain->sweep))
        uv_timer_start(&plain->sweep, fetch_plain_on_sweep, FETCH_PLAIN_SWEEP_MS,
                       FETCH_PLAIN_SWEEP_MS);
}

static void fetch_plain_on_sweep(uv_timer_t *timer)
{
    struct fetch_plain *plain = timer->data;
    uint64_t now = uv_now(io_uv(plain->fetch->io));
    uint64_t timeout = plain->fetch->config.idle_timeout / MN_MS;
    MN_LIST_FOR_EACH_SAFE (entry, &plain->idle) {
        struct fetch_plain_conn *conn = MN_CONTAINER(entry, struct fetch_plain_conn, idle_all);
        if (conn->idle_since_ms + timeout > now) break;
        fetch_plain_conn_close(conn);
    }
    if (plain->idle_count == 0) uv_timer_stop(timer);
}

/* The response is complete: the connection is free again before the machine hears of it. */
static void fetch_plain_complete(struct fetch_plain_conn *conn)
{
    struct fetch_plain_call *call = conn->call;
    conn->call = NULL;
    if (conn->response.is_kept && !conn->is_writing && !conn->plain->fetch->is_closing)
        fetch_plain_keep(conn);
    else
        fetch_plain_conn_close(conn);
    fetch_plain_done(call, MN_OK, "");
}

/* Reading. */

/* The server's own word for how long it keeps a connection (Keep-Alive: timeout=5, as Node.js says
 * it), of which a quarter is left: a request that meets its end may have been executed or not. */
static uint64_t fetch_plain_kept_ms(const struct edge_header *headers, uint32_t count)
{
    static const char name[] = "timeout=";
    for (uint32_t i = 0; i < count; i++) {
        struct mn_span value = headers[i].value;
        if (!mn_span_is(headers[i].name, "keep-alive") || value.size == 0) continue;
        const uint8_t *at = memmem(value.data, value.size, name, sizeof name - 1);
        if (at == NULL) continue;
        const uint8_t *digits = at + sizeof name - 1, *end = value.data + value.size;
        uint64_t seconds = 0;
        for (at = digits; at < end && *at >= '0' && *at <= '9' && seconds < FETCH_PLAIN_KEPT_MAX;
             at++)
            seconds = seconds * 10 + (uint64_t)(*at - '0');
        if (at > digits) return seconds * 750;
    }
    return UINT64_MAX;
}

static bool fetch_plain_on_head(void *owner, uint32_t code, const struct edge_header *headers,
                                uint32_t count)
{
    struct fetch_plain_conn *conn = owner;
    conn->kept_ms = fetch_plain_kept_ms(headers, count);
    fetch_give_head(&conn->call->base, code, headers, count);
    return conn->call != NULL; /* NULL: cancelled by the machine's answer */
}

static bool fetch_plain_on_body(void *owner, struct mn_span bytes)
{
    struct fetch_plain_conn *conn = owner;
    fetch_give_body(&conn->call->base, bytes);
    return conn->call != NULL;
}

static const struct fetch_sink fetch_plain_sink = {fetch_plain_on_head, fetch_plain_on_body};

static void fetch_plain_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct fetch_plain_conn *conn = handle->data;
    (void)suggested;
    struct fetch_plain *plain = conn->plain;
    if (plain->is_filled) { /* libuv would read 32 times: it ends its turn and comes back */
        *buf = uv_buf_init(NULL, 0);
        return;
    }
    plain->read_size = io_share(plain->fetch->io, IO_READ);
    *buf = uv_buf_init((char *)plain->read_buffer, (unsigned)plain->read_size);
}

static const char *fetch_plain_why(mn_status status)
{
    switch ((int)status) {
    case MN_TOO_BIG: return "the head of the answer is too big";
    case MN_CLOSED: return "the connection was closed before the answer was complete";
    default: return "the answer is not HTTP";
    }
}

static void fetch_plain_on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct fetch_plain_conn *conn = stream->data;
    mn_status status;
    conn->plain->is_filled = size == (ssize_t)conn->plain->read_size;
    if (size > 0) io_moved(conn->plain->fetch->io, IO_READ, (size_t)size);
    if (size == 0 || size == UV_ENOBUFS || conn->is_closed) return;
    if (conn->call == NULL) { /* kept, and closed or out of step */
        fetch_plain_conn_close(conn);
        return;
    }
    if (size > 0)
        status = fetch_response_read(&conn->response, mn_span(buf->base, (size_t)size));
    else
        status = fetch_response_end(&conn->response);
    if (conn->call == NULL) return;
    if (status == MN_OK && conn->response.is_complete)
        fetch_plain_complete(conn);
    else if (size < 0 && size != UV_EOF)
        fetch_plain_fail(conn, MN_CLOSED, uv_strerror((int)size));
    else if (status != MN_OK)
        fetch_plain_fail(conn, status, fetch_plain_why(status));
}

/* Sending. */

static void fetch_plain_drop_written(struct fetch_plain_conn *conn)
{
    conn->is_writing = false;
    conn->written[0] = mn_buf_unref(conn->written[0]);
    conn->written[1] = mn_buf_unref(conn->written[1]);
}

static void fetch_plain_on_written(uv_write_t *request, int status)
{
    struct fetch_plain_conn *conn = MN_CONTAINER(request, struct fetch_plain_conn, writing);
    (void)status; /* a server may answer and close early: what it says is found by reading */
    fetch_plain_drop_written(conn);
    fetch_plain_conn_unref(conn);
}

/* Has libuv write what follows the first [done] bytes. */
static int fetch_plain_write_rest(struct fetch_plain_conn *conn, uv_buf_t spans[2], size_t done)
{
    struct fetch_plain_call *call = conn->call;
    for (int i = 0; i < 2; i++) {
        size_t skip = done < spans[i].len ? done : spans[i].len;
        spans[i].base += skip;
        spans[i].len -= skip;
        done -= skip;
    }
    conn->written[0] = mn_buf_ref(call->head);
    conn->written[1] = mn_buf_ref(call->body);
    conn->is_writing = true;
    int error = uv_write(&conn->writing, &conn->socket->stream, spans, 2, fetch_plain_on_written);
    if (error == 0)
        conn->refs++;
    else
        fetch_plain_drop_written(conn);
    return error;
}

static void fetch_plain_send(struct fetch_plain_conn *conn)
{
    struct fetch_plain_call *call = conn->call;
    struct mn_span body = mn_buf_span(call->body);
    uv_buf_t spans[2] = {
        uv_buf_init((char *)call->head->bytes, call->head->size),
        uv_buf_init(call->body == NULL ? NULL : (char *)call->body->bytes, (unsigned)body.size),
    };
    size_t size = call->head->size + body.size;
    fetch_response_begin(&conn->response, call->is_head, &fetch_plain_sink, conn);
    int sent = uv_try_write(&conn->socket->stream, spans, body.size == 0 ? 1 : 2);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent > 0) call->is_sent = true;
    if (sent >= 0 && (size_t)sent < size) {
        int error = fetch_plain_write_rest(conn, spans, (size_t)sent);
        if (error == 0) call->is_sent = true;
        sent = error;
    }
    if (sent < 0) fetch_plain_fail(conn, MN_CLOSED, uv_strerror(sent));
}

/* Connecting. */

static void fetch_plain_try_address(struct fetch_plain_conn *conn);

static void fetch_plain_on_connected(uv_connect_t *request, int status)
{
    struct fetch_plain_conn *conn = MN_CONTAINER(request, struct fetch_plain_conn, connecting);
    if (conn->socket == NULL || &conn->socket->stream != request->handle) return;
    if (status != 0) {
        if (conn->address != NULL) conn->address = conn->address->ai_next;
        if (conn->address == NULL) {
            fetch_plain_fail(conn, MN_UNREACHABLE, uv_strerror(status));
            return;
        }
        fetch_plain_close_socket(conn);
        fetch_plain_try_address(conn);
        return;
    }
    conn->is_connected = true;
    uv_timer_stop(&conn->timer);
    if (conn->addresses != NULL) {
        uv_tcp_nodelay(&conn->socket->tcp, 1);
        uv_tcp_keepalive(&conn->socket->tcp, 1, FETCH_PLAIN_KEEPALIVE_S);
    }
    if (!conn->call->is_paused)
        uv_read_start(&conn->socket->stream, fetch_plain_on_alloc, fetch_plain_on_read);
    fetch_plain_send(conn);
}

static void fetch_plain_new_socket(struct fetch_plain_conn *conn)
{
    conn->socket = mn_alloc(sizeof *conn->socket);
    if (conn->address != NULL)
        uv_tcp_init(io_uv(conn->plain->fetch->io), &conn->socket->tcp);
    else
        uv_pipe_init(io_uv(conn->plain->fetch->io), &conn->socket->pipe, 0);
    conn->socket->handle.data = conn;
    conn->refs++;
}

static void fetch_plain_try_address(struct fetch_plain_conn *conn)
{
    fetch_plain_new_socket(conn);
    int error = uv_tcp_connect(&conn->connecting, &conn->socket->tcp, conn->address->ai_addr,
                               fetch_plain_on_connected);
    if (error != 0) fetch_plain_fail(conn, MN_UNREACHABLE, uv_strerror(error));
}

static void fetch_plain_on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct fetch_plain_conn *conn = MN_CONTAINER(request, struct fetch_plain_conn, resolving);
    conn->is_resolving = false;
    conn->addresses = conn->address = found;
    if (conn->is_closed) {
        fetch_plain_conn_unref(conn);
        return;
    }
    conn->refs--; /* the timer has one as well */
    if (status != 0)
        fetch_plain_fail(conn, MN_UNREACHABLE, uv_strerror(status));
    else
        fetch_plain_try_address(conn);
}

static void fetch_plain_on_connect_timeout(uv_timer_t *timer)
{
    fetch_plain_fail(timer->data, MN_UNREACHABLE, "no connection in time");
}

/* Starts to connect; 0, or libuv's error. */
static int fetch_plain_connect(struct fetch_plain_conn *conn)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM,
                                     .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    uv_loop_t *uv = io_uv(conn->plain->fetch->io);
    const char *path = conn->plain->fetch->unix_path;
    if (path != NULL) {
        fetch_plain_new_socket(conn);
        uv_pipe_connect(&conn->connecting, &conn->socket->pipe, path, fetch_plain_on_connected);
        return 0;
    }
    if (getaddrinfo(conn->origin->host, conn->origin->port, &numeric, &conn->addresses) == 0) {
        conn->address = conn->addresses; /* needs no resolver, and so no thread */
        fetch_plain_try_address(conn);
        return 0;
    }
    int error = uv_getaddrinfo(uv, &conn->resolving, fetch_plain_on_resolved, conn->origin->host,
                               conn->origin->port, &hints);
    if (error != 0) return error;
    conn->is_resolving = true;
    conn->refs++;
    return 0;
}

static void fetch_plain_open(struct fetch_plain_call *call)
{
    struct fetch_plain_origin *origin = call->origin;
    struct fetch_plain *plain = call->base.fetch->plain;
    struct fetch_plain_conn *conn = mn_alloc(sizeof *conn);
    conn->plain = plain;
    conn->origin = origin;
    conn->call = call;
    call->conn = conn;
    mn_list_init(&conn->idle);
    mn_list_init(&conn->idle_all);
    mn_list_push_back(&plain->conns, &conn->all);
    origin->conns_count++;
    plain->refs++;
    conn->refs = 1;
    uv_timer_init(io_uv(plain->fetch->io), &conn->timer);
    conn->timer.data = conn;
    if (call->connect_timeout > 0 && call->connect_timeout != MN_TIME_NEVER)
        uv_timer_start(&conn->timer, fetch_plain_on_connect_timeout, call->connect_timeout / MN_MS,
                       0);
    int error = fetch_plain_connect(conn);
    if (error != 0) fetch_plain_fail(conn, MN_UNREACHABLE, uv_strerror(error));
}

/* A kept connection may have been closed without our having read it yet, or be about to be. */
static bool fetch_plain_is_alive(struct fetch_plain_conn *conn)
{
    char byte;
    int fd = -1;
    uint64_t idle_ms = uv_now(io_uv(conn->plain->fetch->io)) - conn->idle_since_ms;
    if (idle_ms >= conn->kept_ms) return false;
    if (idle_ms < FETCH_PLAIN_PEEK_MS) return true;
    uv_fileno(&conn->socket->handle, &fd);
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

static struct fetch_plain_conn *fetch_plain_take_idle(struct fetch_plain_origin *origin)
{
    while (!mn_list_is_empty(&origin->idle)) {
        struct fetch_plain_conn *conn =
            MN_CONTAINER(origin->idle.next, struct fetch_plain_conn, idle);
        fetch_plain_leave_idle(conn);
        if (fetch_plain_is_alive(conn)) return conn;
        fetch_plain_conn_close(conn);
    }
    return NULL;
}

/* Finds the call a connection and sends, or begins to. */
static void fetch_plain_dispatch(struct fetch_plain_call *call)
{
    struct fetch_plain_conn *conn = fetch_plain_take_idle(call->origin);
    if (conn == NULL) {
        fetch_plain_open(call);
        return;
    }
    conn->call = call;
    conn->is_reused = true;
    call->conn = conn;
    fetch_plain_send(conn);
}

/* Starting. */

static char *fetch_plain_copy(struct mn_span text)
{
    char *copy = mn_alloc(text.size + 1);
    memcpy(copy, text.data, text.size);
    return copy;
}

static struct fetch_plain_origin *fetch_plain_find_origin(struct fetch_plain *plain,
                                                          struct mn_span host, struct mn_span port)
{
    const char *path = plain->fetch->unix_path;
    struct mn_writer *writer = &plain->key;
    if (writer->buf != NULL) writer->buf->size = 0;
    mn_writer_add(writer, path != NULL ? mn_span_str(path) : host);
    if (path == NULL) mn_writer_str(writer, ":");
    if (path == NULL) mn_writer_add(writer, port);
    struct mn_span key = mn_buf_span(writer->buf);
    struct mn_map_entry *entry = mn_map_find(&plain->origins, key);
    struct fetch_plain_origin *origin =
        entry == NULL ? NULL : MN_CONTAINER(entry, struct fetch_plain_origin, entry);
    if (origin == NULL) {
        origin = mn_alloc(sizeof *origin);
        origin->key = fetch_plain_copy(key);
        origin->host = fetch_plain_copy(host);
        origin->port = fetch_plain_copy(port);
        mn_list_init(&origin->idle);
        mn_map_insert(&plain->origins, &origin->entry, mn_span_str(origin->key));
    }
    return origin;
}

/* False: not one for this way. */
static bool fetch_plain_look_at(struct fetch_plain *plain, struct mn_span text)
{
    struct fetch_plain_last *last = &plain->last;
    if (last->size > 0 && mn_span_equal(mn_span(last->text, last->size), text)) return true;
    if (!fetch_request_parse_url(text, &last->url)) {
        last->size = 0;
        return false;
    }
    struct mn_span port = fetch_request_url_part(&last->url, text, UF_PORT);
    last->origin = fetch_plain_find_origin(plain, fetch_request_url_part(&last->url, text, UF_HOST),
                                           port.size > 0 ? port : mn_span_str("80"));
    last->size = text.size <= sizeof last->text ? text.size : 0;
    memcpy(last->text, text.data, last->size);
    return true;
}

bool fetch_plain_start(struct fetch_plain *plain, uint64_t id, const struct edge_fetch *start)
{
    if (!fetch_plain_look_at(plain, start->url)) return false;
    struct fetch_plain_call *call = mn_alloc(sizeof *call);
    call->origin = plain->last.origin;
    call->connect_timeout = start->connect_timeout;
    call->is_head = mn_span_is(start->method, "HEAD");
    struct mn_span body = mn_buf_span(start->body);
    bool is_joined = body.size <= FETCH_PLAIN_JOIN_MAX;
    call->head =
        fetch_request_make_head(start, &plain->last.url, is_joined ? body : mn_span(NULL, 0));
    if (!is_joined) call->body = mn_buf_ref(start->body);
    fetch_call_init(&call->base, plain->fetch, id, true);
    fetch_plain_dispatch(call);
    return true;
}

void fetch_plain_pause(struct fetch_call *base, bool is_paused)
{
    struct fetch_plain_call *call = MN_CONTAINER(base, struct fetch_plain_call, base);
    struct fetch_plain_conn *conn = call->conn;
    call->is_paused = is_paused;
    if (!conn->is_connected) return;
    if (is_paused)
        uv_read_stop(&conn->socket->stream);
    else
        uv_read_start(&conn->socket->stream, fetch_plain_on_alloc, fetch_plain_on_read);
}

void fetch_plain_cancel(struct fetch_call *base)
{
    struct fetch_plain_call *call = MN_CONTAINER(base, struct fetch_plain_call, base);
    call->conn->call = NULL;
    fetch_plain_conn_close(call->conn);
    fetch_plain_call_free(call);
}

/* Life. */

struct fetch_plain *fetch_plain_new(struct fetch *fetch)
{
    struct fetch_plain *plain = mn_alloc(sizeof *plain);
    plain->fetch = fetch;
    mn_map_init(&plain->origins, 0); /* keys come from our own configuration */
    mn_list_init(&plain->conns);
    mn_list_init(&plain->idle);
    uv_timer_init(io_uv(fetch->io), &plain->sweep);
    plain->sweep.data = plain;
    plain->read_buffer = mn_alloc(IO_SHARE_MAX);
    plain->refs = 1;
    return plain;
}

static void fetch_plain_on_sweep_closed(uv_handle_t *handle)
{
    fetch_plain_unref(handle->data);
}

void fetch_plain_close(struct fetch_plain *plain)
{
    MN_LIST_FOR_EACH (entry, &plain->conns) {
        struct fetch_plain_conn *conn = MN_CONTAINER(entry, struct fetch_plain_conn, all);
        struct fetch_plain_call *call = conn->call;
        conn->call = NULL;
        if (call != NULL) {
            fetch_call_kill(&call->base);
            fetch_plain_call_free(call);
        }
        fetch_plain_conn_close(conn);
    }
    uv_close((uv_handle_t *)&plain->sweep, fetch_plain_on_sweep_closed);
}
