/* bench_kv_grpc.c: etcd's own way in: gRPC (HTTP/2), the clients of one connection as streams that
 * share its writes. Range without options is linearizable. */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench_kv.h"

#define CONNS                                                                          \
    4u /* with one, etcd did 10,000 puts/s of 64 clients where it did 12,500 with four \
        */

struct stream {
    uint32_t client;
    bool is_good;
    uint8_t body[KV_VALUE_MAX + KV_KEY_SIZE + 64];
    size_t body_size, body_sent;
};

struct grpc {
    int fd;
    char authority[64];
    nghttp2_session *session;
};

/* ---- protobuf: PutRequest{key = 1, value = 2}, RangeRequest{key = 1} ---- */

static size_t put_bytes(uint8_t *to, uint8_t field, const char *bytes, size_t size)
{
    size_t at = 0;

    to[at++] = (uint8_t)(field << 3 | 2);
    if (size >= 128) to[at++] = (uint8_t)(size & 127) | 128; /* below 2^14 */
    to[at++] = (uint8_t)(size >= 128 ? size >> 7 : size);
    memcpy(to + at, bytes, size);
    return at + size;
}

static void write_body(struct stream *stream, const struct kv_ask *ask)
{
    uint8_t *message = stream->body + 5;
    size_t size = put_bytes(message, 1, ask->key, strlen(ask->key));

    if (ask->is_put) size += put_bytes(message + size, 2, ask->value, ask->value_size);
    stream->body[0] = 0; /* not compressed */
    for (int i = 0; i < 4; i++)
        stream->body[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    stream->body_size = size + 5;
}

/* ---- nghttp2's callbacks ---- */

static ssize_t on_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *stream = source->ptr;
    size_t size = stream->body_size - stream->body_sent;

    (void)session, (void)id, (void)user;
    if (size > length) size = length;
    memcpy(buf, stream->body + stream->body_sent, size);
    stream->body_sent += size;
    if (stream->body_sent == stream->body_size) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags, (void)user;
    if (stream != NULL && name_size == 11 && memcmp(name, "grpc-status", 11) == 0)
        stream->is_good = value_size == 1 && value[0] == '0';
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    uint32_t client;
    bool is_good;

    (void)user;
    if (stream == NULL) return 0;
    client = stream->client;
    is_good = stream->is_good && code == 0;
    free(stream);
    kv_done(client, is_good);
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t size, int flags,
                       void *user)
{
    const struct grpc *grpc = user;
    ssize_t sent = send(grpc->fd, bytes, size, MSG_NOSIGNAL);

    (void)session, (void)flags;
    return sent < 0 ? NGHTTP2_ERR_WOULDBLOCK : sent;
}

/* ---- the way ---- */

static void *open_grpc(int fd, const char *authority, const char *secret)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
    struct grpc *grpc = calloc(1, sizeof *grpc);
    nghttp2_session_callbacks *callbacks;

    (void)secret;
    if (grpc == NULL || nghttp2_session_callbacks_new(&callbacks) != 0) abort();
    grpc->fd = fd;
    strncpy(grpc->authority, authority, sizeof grpc->authority - 1);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&grpc->session, callbacks, grpc) != 0) abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(grpc->session, NGHTTP2_FLAG_NONE, settings, 1);
    nghttp2_session_set_local_window_size(grpc->session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
    return grpc;
}

static void close_grpc(void *conn)
{
    struct grpc *grpc = conn;

    nghttp2_session_del(grpc->session); /* streams under way are lost with the process */
    close(grpc->fd);
    free(grpc);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void ask_grpc(void *conn, const struct kv_ask *ask)
{
    struct grpc *grpc = conn;
    struct stream *stream = calloc(1, sizeof *stream);
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", ask->is_put ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range"),
        header(":authority", grpc->authority),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    };
    const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = on_body};

    if (stream == NULL) abort();
    stream->client = ask->client;
    write_body(stream, ask);
    if (nghttp2_submit_request(grpc->session, NULL, headers, sizeof headers / sizeof headers[0],
                               &body, stream) < 0)
        abort();
}

/* One write for all that waits: nghttp2 alone would write each frame by itself. */
static bool flush_grpc(void *conn)
{
    struct grpc *grpc = conn;
    static uint8_t out[1 << 17];
    size_t size = 0, sent = 0;

    for (;;) {
        const uint8_t *bytes;
        ssize_t more = nghttp2_session_mem_send(grpc->session, &bytes);
        if (more < 0) return false;
        if (more == 0) break;
        if (size + (size_t)more > sizeof out) abort(); /* no answer waits for so much */
        memcpy(out + size, bytes, (size_t)more);
        size += (size_t)more;
    }
    while (sent < size) {
        ssize_t more = send(grpc->fd, out + sent, size - sent, MSG_NOSIGNAL);
        if (more > 0) sent += (size_t)more;
        if (more < 0 && errno != EAGAIN) return false;
    }
    return true;
}

static bool read_grpc(void *conn)
{
    struct grpc *grpc = conn;
    static uint8_t in[1 << 16];
    ssize_t size = recv(grpc->fd, in, sizeof in, 0);

    if (size < 0) return errno == EAGAIN;
    return size > 0 && nghttp2_session_mem_recv(grpc->session, in, (size_t)size) == size;
}

const struct kv_way kv_grpc = {
    .name = "grpc",
    .clients_per_conn = 4,
    .conns_max = CONNS,
    .open = open_grpc,
    .close = close_grpc,
    .ask = ask_grpc,
    .flush = flush_grpc,
    .read = read_grpc,
};
