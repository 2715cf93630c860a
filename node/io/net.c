#include "node/io/net.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <nng/transport/tcp/tcp.h>
#include <stdatomic.h>
#include <stdio.h>

#include "node/io/net_stream.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"

#define NET_UNSENT_MAX 32768 /* bytes that wait in the kernel, where nothing overtakes them */
#define NET_LISTENERS_MAX 8u
#define NET_DIAL_TIMEOUT_MS 10000
#define NET_LINGER_MS 1000u      /* for the last send of a connection that is to be closed */
#define NET_ACCEPT_RETRY_MS 100u /* after a failed accept, such as no free descriptor */
#define NET_TURN_BATCHES_MAX 16  /* completions taken before the loop looks elsewhere */
#define NET_DIAL_TEXT_SIZE 272   /* "tcp://", a host name of 253, ":65535" */

enum net_operation { NET_SEND = 1, NET_DIAL, NET_ACCEPT, NET_REAP };

/* A completed operation, linked by the nng thread that saw it complete. */
struct net_done {
    struct net_done *next;
    struct net *net;
    void *owner; /* struct net_conn, or struct net_listener */
    enum net_operation operation;
};

struct net_listener {
    nng_stream_listener *stream;
    nng_aio *aio;
    struct net_done done;
    bool is_accepting; /* an operation is under way */
};

struct net_conn {
    struct mn_map_entry entry; /* by id, while the id is alive */
    struct mn_list linger;     /* in net->lingering, oldest first */
    mn_time linger_until;
    struct net *net;
    uint64_t id;
    nng_stream_dialer *dialer; /* while dialling */
    nng_stream *stream;
    nng_aio *dial_aio, *send_aio;
    struct net_done dial_done, send_done; /* the former for REAP too */
    uv_poll_t poll;                       /* of the stream, once there is one */
    struct mn_buf *sent;                  /* the outstanding SEND; NULL: none */
    size_t sent_size;                     /* bytes of it that the kernel took */
    struct mn_list sent_now; /* in net->sent_now: the SEND is over, which is not reported yet */
    int sent_now_error;
    bool is_dialing, is_sending;
    bool has_poll, is_polling;
    bool is_paused;
    bool is_accepted;
    bool is_dead; /* its id is: nothing is reported any more */
    bool is_cut;  /* stream or dialer closed, or about to be reaped */
};

struct net {
    struct io *io;
    struct net_config config;
    uv_async_t async;
    uv_timer_t timer; /* ends lingering, retries accepts */
    uv_idle_t idle;   /* active while [sent_now] is not empty */
    nng_aio *now_aio; /* of operations that do not wait */
    uint8_t *bytes;   /* IO_SHARE_MAX */
    struct mn_list sent_now;
    uint32_t sent_now_count;
    _Atomic(struct net_done *) done;
    struct net_listener listeners[NET_LISTENERS_MAX];
    uint32_t listeners_count;
    struct mn_map conns; /* struct net_conn, those alive */
    struct mn_list lingering;
    uint64_t conn_next;      /* odd */
    uint32_t conns_count;    /* not freed yet, dead ones too */
    uint32_t accepted_count; /* of them */
    bool is_closing;
};

/* ---- completions ---- */

static void net_push(struct net_done *done)
{
    struct net *net = done->net;
    struct net_done *head = atomic_load_explicit(&net->done, memory_order_relaxed);
    do {
        done->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&net->done, &head, done, memory_order_release,
                                                    memory_order_relaxed));
    if (head == NULL) uv_async_send(&net->async);
}

/* On an nng thread. The operation's result stays in its aio until the next one is started. */
static void net_on_aio(void *arg)
{
    net_push(arg);
}

static struct net_done *net_take_done(struct net *net)
{
    struct net_done *newest = atomic_exchange_explicit(&net->done, NULL, memory_order_acquire);
    struct net_done *oldest = NULL;
    while (newest != NULL) {
        struct net_done *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static nng_aio *net_aio_new(struct net *net, struct net_done *done, void *owner)
{
    nng_aio *aio = NULL;
    *done = (struct net_done){.net = net, .owner = owner};
    int error = nng_aio_alloc(&aio, net_on_aio, done);
    MN_ASSERT(error == 0); /* out of memory */
    return aio;
}

static mn_status net_status(int error)
{
    switch (error) {
    case NNG_ECONNSHUT:
    case NNG_ECONNRESET:
    case NNG_ECLOSED: return MN_CLOSED;
    case NNG_ETIMEDOUT: return MN_TIMEOUT;
    default: return MN_IO;
    }
}

/* ---- connections ---- */

static struct net_conn *net_conn_new(struct net *net, uint64_t id)
{
    struct net_conn *conn = mn_alloc(sizeof *conn);
    conn->net = net;
    conn->id = id;
    mn_list_init(&conn->linger);
    mn_list_init(&conn->sent_now);
    conn->dial_aio = net_aio_new(net, &conn->dial_done, conn);
    conn->send_aio = net_aio_new(net, &conn->send_done, conn);
    mn_map_insert(&net->conns, &conn->entry, mn_span(&conn->id, sizeof conn->id));
    net->conns_count++;
    return conn;
}

static struct net_conn *net_find(struct net *net, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&net->conns, mn_span(&id, sizeof id));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct net_conn, entry);
}

static void net_finish(struct net *net);

/* No operation is under way, so nng holds nothing of it; at worst the callback that told us so is
 * still returning, and nng_aio_free() waits for that. */
static void net_conn_free(struct net_conn *conn)
{
    struct net *net = conn->net;
    MN_ASSERT(conn->is_dead && !conn->is_dialing && !conn->is_sending);
    nng_aio_stop(conn->dial_aio);
    nng_aio_stop(conn->send_aio);
    if (conn->dialer != NULL) nng_stream_dialer_free(conn->dialer);
    if (conn->stream != NULL) nng_stream_free(conn->stream);
    nng_aio_free(conn->dial_aio);
    nng_aio_free(conn->send_aio);
    mn_buf_unref(conn->sent);
    if (conn->is_accepted) net->accepted_count--;
    net->conns_count--;
    mn_free(conn);
    if (net->is_closing) net_finish(net);
}

static void net_on_poll_closed(uv_handle_t *handle)
{
    net_conn_free(handle->data);
}

/* The loop lets go of the descriptor before nng does. */
static void net_conn_end(struct net_conn *conn)
{
    if (conn->has_poll)
        uv_close((uv_handle_t *)&conn->poll, net_on_poll_closed);
    else
        net_conn_free(conn);
}

/* Ends its operations now; it is freed when the last of them has been seen to complete, and never
 * while a caller up the stack may still look at it. */
static void net_cut(struct net_conn *conn)
{
    if (conn->is_cut) return;
    conn->is_cut = true;
    mn_list_remove(&conn->linger);
    if (conn->dialer != NULL) nng_stream_dialer_close(conn->dialer);
    if (conn->stream != NULL) nng_stream_close(conn->stream);
    if (conn->is_dialing || conn->is_sending) return;
    conn->dial_done.operation = NET_REAP;
    net_push(&conn->dial_done);
}

static void net_watch(struct net_conn *conn);

static void net_forget(struct net *net, struct net_conn *conn)
{
    if (!conn->is_dead) mn_map_remove(&net->conns, &conn->entry);
    conn->is_dead = true;
    net_watch(conn);
}

static void net_report_closed(struct net *net, struct net_conn *conn, mn_status status,
                              const char *text)
{
    if (conn->is_dead) return;
    net_forget(net, conn);
    net_cut(conn);
    const struct edge_input input = {
        .type = EDGE_IN_NET_CLOSED, .id = conn->id, .status = status, .text = mn_span_str(text)};
    io_input(net->io, &input);
}

static void net_on_readable(uv_poll_t *handle, int status, int events)
{
    struct net_conn *conn = handle->data;
    struct net *net = conn->net;
    size_t size;
    (void)status, (void)events; /* whatever it is, receiving tells */
    int error = net_stream_receive(conn->stream, net->now_aio, net->bytes,
                                   io_share(net->io, IO_READ), &size);
    if (error == NNG_ECANCELED) return;
    if (error != 0) {
        net_report_closed(net, conn, net_status(error), nng_strerror(error));
        return;
    }
    io_moved(net->io, IO_READ, size);
    const struct edge_input input = {
        .type = EDGE_IN_NET_BYTES, .id = conn->id, .bytes = mn_span(net->bytes, size)};
    io_input(net->io, &input);
}

/* Receives while there is somebody to receive for. */
static void net_watch(struct net_conn *conn)
{
    bool is_wanted = conn->has_poll && !conn->is_dead && !conn->is_paused;
    if (is_wanted == conn->is_polling) return;
    conn->is_polling = is_wanted;
    if (is_wanted)
        uv_poll_start(&conn->poll, UV_READABLE, net_on_readable);
    else
        uv_poll_stop(&conn->poll);
}

static void net_send_rest(struct net_conn *conn)
{
    nng_iov iov = {.iov_buf = conn->sent->bytes + conn->sent_size,
                   .iov_len = conn->sent->size - conn->sent_size};
    nng_aio_set_iov(conn->send_aio, 1, &iov);
    conn->is_sending = true;
    conn->send_done.operation = NET_SEND;
    nng_stream_send(conn->stream, conn->send_aio);
}

/* The stream is there: says so, then begins to read. */
static void net_open(struct net *net, struct net_conn *conn, enum edge_input_type type)
{
    nng_sockaddr address = {0};
    char text[NET_ADDRESS_SIZE];
    int fd = net_stream_descriptor(conn->stream);
    conn->has_poll = fd >= 0 && uv_poll_init(io_uv(net->io), &conn->poll, fd) == 0;
    conn->poll.data = conn;
    nng_stream_set_bool(conn->stream, NNG_OPT_TCP_NODELAY, true);
    if (fd >= 0) net_stream_keep_short(fd, NET_UNSENT_MAX);
    nng_stream_get_addr(conn->stream, NNG_OPT_REMADDR, &address);
    net_format_address(&address, text);
    const struct edge_input input = {.type = type, .id = conn->id, .text = mn_span_str(text)};
    io_input(net->io, &input);
    if (conn->has_poll)
        net_watch(conn);
    else
        net_report_closed(net, conn, MN_IO, "its descriptor is not to be found");
}

/* ---- what the node wants ---- */

/* nng takes a URL: nothing but a host, or an address in brackets, and a port gets through. */
static bool net_is_host_port(struct mn_span text)
{
    if (text.size == 0 || text.size >= NET_DIAL_TEXT_SIZE - sizeof "tcp://") return false;
    const char *last_colon = memrchr(text.data, ':', text.size);
    if (last_colon == NULL || (const uint8_t *)last_colon == text.data) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        bool is_name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_name && (c == '\0' || strchr(".-_:[]", c) == NULL)) return false;
    }
    return true;
}

static void net_dial(struct net *net, const struct edge_output *output)
{
    char url[NET_DIAL_TEXT_SIZE];
    struct net_conn *conn = net_conn_new(net, output->id);
    int error = NNG_EADDRINVAL;
    if (net_is_host_port(output->text)) {
        snprintf(url, sizeof url, "tcp://%.*s", (int)output->text.size,
                 (const char *)output->text.data);
        error = nng_stream_dialer_alloc(&conn->dialer, url);
    }
    if (error != 0) {
        net_report_closed(net, conn, MN_CONFIG, "not an address of the form host:port");
        return;
    }
    nng_aio_set_timeout(conn->dial_aio, NET_DIAL_TIMEOUT_MS);
    conn->is_dialing = true;
    conn->dial_done.operation = NET_DIAL;
    nng_stream_dialer_dial(conn->dialer, conn->dial_aio);
}

static void net_on_idle(uv_idle_t *handle);

/* SENT is reported at the end of the loop's turn: what the node has for this peer until then goes
 * out as one frame. */
static void net_send(struct net *net, struct net_conn *conn, struct mn_buf *buf)
{
    size_t size = 0;
    int error = 0;
    MN_ASSERT(!conn->is_sending && conn->stream != NULL && buf != NULL && buf->size > 0);
    conn->sent = mn_buf_ref(buf);
    conn->sent_size = 0;
    while (error == 0 && conn->sent_size < buf->size) {
        struct mn_span rest = mn_span(buf->bytes + conn->sent_size, buf->size - conn->sent_size);
        error = net_stream_send(conn->stream, net->now_aio, rest, &size);
        conn->sent_size += size;
    }
    if (error == NNG_ECANCELED) {
        net_send_rest(conn);
        return;
    }
    conn->is_sending = true;
    conn->sent_now_error = error;
    mn_list_push_back(&net->sent_now, &conn->sent_now);
    net->sent_now_count++;
    uv_idle_start(&net->idle, net_on_idle);
}

static void net_arm(struct net *net, uint64_t delay_ms);

static void net_linger(struct net *net, struct net_conn *conn)
{
    net_forget(net, conn);
    if (!conn->is_sending) {
        net_cut(conn);
        return;
    }
    conn->linger_until = io_now(net->io).mono + NET_LINGER_MS * MN_MS;
    mn_list_push_back(&net->lingering, &conn->linger);
    if (!uv_is_active((uv_handle_t *)&net->timer)) net_arm(net, NET_LINGER_MS);
}

void net_do(struct net *net, const struct edge_output *output)
{
    if (net->is_closing) return;
    if (output->type == EDGE_OUT_NET_DIAL) {
        net_dial(net, output);
        return;
    }
    struct net_conn *conn = net_find(net, output->id);
    if (conn == NULL) return;
    if (output->type == EDGE_OUT_NET_SEND) {
        net_send(net, conn, output->buf);
    } else if (output->type == EDGE_OUT_NET_PAUSE) {
        conn->is_paused = output->flag;
        net_watch(conn);
    } else if (output->type == EDGE_OUT_NET_CLOSE) {
        net_linger(net, conn);
    }
}

/* ---- what nng did ---- */

static void net_accept(struct net_listener *listener)
{
    listener->is_accepting = true;
    listener->done.operation = NET_ACCEPT;
    nng_stream_listener_accept(listener->stream, listener->aio);
}

static void net_on_accept(struct net *net, struct net_listener *listener)
{
    int error = nng_aio_result(listener->aio);
    nng_stream *stream = error == 0 ? nng_aio_get_output(listener->aio, 0) : NULL;
    listener->is_accepting = false;
    if (net->is_closing || (stream != NULL && net->accepted_count >= net->config.accepted_max)) {
        if (stream != NULL) nng_stream_free(stream);
    } else if (stream != NULL) {
        struct net_conn *conn = net_conn_new(net, net->conn_next);
        net->conn_next += 2;
        net->accepted_count++;
        conn->is_accepted = true;
        conn->stream = stream;
        net_open(net, conn, EDGE_IN_NET_ACCEPTED);
    }
    if (net->is_closing) return;
    if (error == 0 || error == NNG_ECONNABORTED)
        net_accept(listener);
    else if (!uv_is_active((uv_handle_t *)&net->timer))
        net_arm(net, NET_ACCEPT_RETRY_MS);
}

static void net_on_dial(struct net *net, struct net_conn *conn)
{
    int error = nng_aio_result(conn->dial_aio);
    conn->is_dialing = false;
    if (error == 0) conn->stream = nng_aio_get_output(conn->dial_aio, 0);
    if (conn->is_dead) return;
    if (error != 0) {
        net_report_closed(net, conn, net_status(error), nng_strerror(error));
        return;
    }
    nng_stream_dialer_free(conn->dialer);
    conn->dialer = NULL;
    net_open(net, conn, EDGE_IN_NET_CONNECTED);
}

/* The SEND is over. */
static void net_on_sent(struct net *net, struct net_conn *conn, int error)
{
    conn->is_sending = false;
    conn->sent = mn_buf_unref(conn->sent);
    if (conn->is_dead) {
        net_cut(conn); /* it lingered for this */
    } else if (error != 0) {
        net_report_closed(net, conn, net_status(error), nng_strerror(error));
    } else {
        const struct edge_input input = {.type = EDGE_IN_NET_SENT, .id = conn->id};
        io_input(net->io, &input);
    }
}

static void net_on_send(struct net *net, struct net_conn *conn)
{
    int error = nng_aio_result(conn->send_aio);
    if (error == 0) {
        conn->sent_size += nng_aio_count(conn->send_aio);
        if (conn->sent_size < conn->sent->size && !conn->is_cut) {
            net_send_rest(conn);
            return;
        }
    }
    net_on_sent(net, conn, error);
}

/* What was cut before had this operation under way, so no reaping was asked for. */
static void net_reap(struct net_conn *conn, bool was_cut)
{
    if (was_cut && !conn->is_dialing && !conn->is_sending) net_conn_end(conn);
}

static void net_on_done(struct net *net, struct net_done *done)
{
    enum net_operation operation = done->operation;
    if (operation == NET_ACCEPT) {
        net_on_accept(net, done->owner);
        return;
    }
    struct net_conn *conn = done->owner;
    if (operation == NET_REAP) {
        net_conn_end(conn);
        return;
    }
    bool was_cut = conn->is_cut;
    if (operation == NET_DIAL)
        net_on_dial(net, conn);
    else
        net_on_send(net, conn);
    net_reap(conn, was_cut);
}

static void net_on_closed(uv_handle_t *handle)
{
    struct net *net = handle->data;
    mn_map_done(&net->conns);
    mn_free(net);
}

static void net_on_idle_closed(uv_handle_t *handle)
{
    struct net *net = handle->data;
    uv_close((uv_handle_t *)&net->async, net_on_closed);
}

static void net_on_timer_closed(uv_handle_t *handle)
{
    struct net *net = handle->data;
    uv_close((uv_handle_t *)&net->idle, net_on_idle_closed);
}

static void net_finish(struct net *net)
{
    for (uint32_t i = 0; i < net->listeners_count; i++) {
        if (net->listeners[i].is_accepting) return;
    }
    if (net->conns_count > 0 || uv_is_closing((uv_handle_t *)&net->timer)) return;
    for (uint32_t i = 0; i < net->listeners_count; i++) {
        nng_aio_stop(net->listeners[i].aio);
        nng_stream_listener_free(net->listeners[i].stream);
        nng_aio_free(net->listeners[i].aio);
    }
    nng_aio_free(net->now_aio);
    mn_free(net->bytes);
    uv_close((uv_handle_t *)&net->timer, net_on_timer_closed);
}

static void net_on_async(uv_async_t *handle)
{
    struct net *net = handle->data;
    for (int i = 0; i < NET_TURN_BATCHES_MAX; i++) {
        struct net_done *done = net_take_done(net);
        if (done == NULL) break;
        while (done != NULL) {
            struct net_done *next = done->next; /* handling it may start its next operation */
            net_on_done(net, done);
            done = next;
        }
    }
    if (atomic_load_explicit(&net->done, memory_order_relaxed) != NULL) uv_async_send(&net->async);
    if (net->is_closing) net_finish(net);
}

static void net_on_idle(uv_idle_t *handle)
{
    struct net *net = handle->data;
    uint32_t count = net->sent_now_count; /* what is sent in answer waits for the next turn */
    for (; count > 0 && !mn_list_is_empty(&net->sent_now); count--) {
        struct net_conn *conn =
            MN_CONTAINER(mn_list_take(&net->sent_now), struct net_conn, sent_now);
        net->sent_now_count--;
        bool was_cut = conn->is_cut;
        net_on_sent(net, conn, conn->sent_now_error);
        net_reap(conn, was_cut);
    }
    if (mn_list_is_empty(&net->sent_now)) uv_idle_stop(handle);
    if (net->is_closing) net_finish(net);
}

static void net_on_timer(uv_timer_t *handle)
{
    struct net *net = handle->data;
    mn_time now = io_now(net->io).mono;
    for (uint32_t i = 0; i < net->listeners_count; i++) {
        if (!net->listeners[i].is_accepting) net_accept(&net->listeners[i]);
    }
    while (!mn_list_is_empty(&net->lingering)) {
        struct net_conn *conn = MN_CONTAINER(net->lingering.next, struct net_conn, linger);
        if (conn->linger_until > now) {
            net_arm(net, (conn->linger_until - now + MN_MS - 1) / MN_MS);
            return;
        }
        net_cut(conn);
    }
}

static void net_arm(struct net *net, uint64_t delay_ms)
{
    uv_update_time(io_uv(net->io));
    uv_timer_start(&net->timer, net_on_timer, delay_ms, 0);
}

/* ---- life ---- */

struct net *net_new(struct io *io, const struct net_config *config)
{
    struct net *net = mn_alloc(sizeof *net);
    net->io = io;
    net->config = *config;
    net->conn_next = 1;
    mn_list_init(&net->lingering);
    mn_list_init(&net->sent_now);
    mn_map_init(&net->conns, 0);
    net->bytes = mn_realloc(NULL, IO_SHARE_MAX);
    int error = nng_aio_alloc(&net->now_aio, NULL, NULL);
    MN_ASSERT(error == 0); /* out of memory */
    uv_async_init(io_uv(io), &net->async, net_on_async);
    uv_timer_init(io_uv(io), &net->timer);
    uv_idle_init(io_uv(io), &net->idle);
    net->async.data = net->timer.data = net->idle.data = net;
    return net;
}

mn_status net_listen(struct net *net, const char *address, char ret_bound[NET_ADDRESS_SIZE],
                     const char **ret_error)
{
    char url[NET_DIAL_TEXT_SIZE];
    nng_sockaddr bound = {0};
    int port = 0;
    *ret_error = "too many listeners";
    if (net->listeners_count == NET_LISTENERS_MAX) return MN_FULL;
    struct net_listener *listener = &net->listeners[net->listeners_count];
    if (!net_is_host_port(mn_span_str(address))) {
        *ret_error = "not of the form address:port";
        return MN_CONFIG;
    }
    snprintf(url, sizeof url, "tcp://%s", address);
    int error = nng_stream_listener_alloc(&listener->stream, url);
    if (error == 0) error = nng_stream_listener_listen(listener->stream);
    if (error == 0) error = nng_stream_listener_get_addr(listener->stream, NNG_OPT_LOCADDR, &bound);
    if (error == 0)
        error = nng_stream_listener_get_int(listener->stream, NNG_OPT_TCP_BOUND_PORT, &port);
    if (error != 0) {
        if (listener->stream != NULL) nng_stream_listener_free(listener->stream);
        listener->stream = NULL;
        *ret_error = nng_strerror(error);
        return MN_IO;
    }
    MN_ASSERT(bound.s_in.sa_port == htons((uint16_t)port));
    net_format_address(&bound, ret_bound);
    listener->aio = net_aio_new(net, &listener->done, listener);
    net->listeners_count++;
    net_accept(listener);
    return MN_OK;
}

void net_close(struct net *net)
{
    if (net == NULL || net->is_closing) return;
    net->is_closing = true;
    uv_timer_stop(&net->timer);
    for (uint32_t i = 0; i < net->listeners_count; i++)
        nng_stream_listener_close(net->listeners[i].stream);
    struct mn_map_entry *entry = NULL;
    while ((entry = mn_map_next(&net->conns, entry)) != NULL) {
        struct net_conn *conn = MN_CONTAINER(entry, struct net_conn, entry);
        net_forget(net, conn);
        net_cut(conn);
    }
    while (!mn_list_is_empty(&net->lingering))
        net_cut(MN_CONTAINER(net->lingering.next, struct net_conn, linger));
    uv_async_send(&net->async);
}
