/* bench_kv_http.c: /v1/state of a node, over connections that stay open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench_kv.h"

struct http {
    int fd;
    uint32_t client;
    char head[512]; /* Host and credentials */
    char out[KV_VALUE_MAX + 1024];
    size_t out_size, out_sent;
    char in[KV_VALUE_MAX + 4096];
    size_t in_size;
};

static void *open_http(int fd, const char *authority, const char *secret)
{
    struct http *http = calloc(1, sizeof *http);

    if (http == NULL) abort();
    http->fd = fd;
    snprintf(http->head, sizeof http->head, "Host: %s\r\n%s%s%s", authority,
             secret == NULL ? "" : "Authorization: Bearer ", secret == NULL ? "" : secret,
             secret == NULL ? "" : "\r\n");
    return http;
}

static void close_http(void *conn)
{
    struct http *http = conn;

    close(http->fd);
    free(http);
}

static void ask_http(void *conn, const struct kv_ask *ask)
{
    struct http *http = conn;
    int size;

    http->client = ask->client;
    http->out_sent = 0;
    if (ask->is_put)
        size =
            snprintf(http->out, sizeof http->out,
                     "PUT /v1/state/%s HTTP/1.1\r\n%sContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n{\"value\":\"%.*s\"}",
                     ask->key, http->head, ask->value_size + 12, (int)ask->value_size, ask->value);
    else
        size = snprintf(http->out, sizeof http->out, "GET /v1/state/%s HTTP/1.1\r\n%s\r\n",
                        ask->key, http->head);
    http->out_size = (size_t)size;
}

static bool flush_http(void *conn)
{
    struct http *http = conn;

    while (http->out_sent < http->out_size) {
        ssize_t size = send(http->fd, http->out + http->out_sent, http->out_size - http->out_sent,
                            MSG_NOSIGNAL);
        if (size < 0) return errno == EAGAIN;
        http->out_sent += (size_t)size;
    }
    return true;
}

/* Takes the answer out of what was read; false: there is none yet. */
static bool take_answer(struct http *http, int *code)
{
    const char *end, *length;
    size_t size;

    http->in[http->in_size] = '\0';
    end = strstr(http->in, "\r\n\r\n");
    if (end == NULL) return false;
    length = strcasestr(http->in, "\r\nContent-Length:");
    if (length == NULL || length > end) abort(); /* nothing here answers without one */
    size = (size_t)(end + 4 - http->in) + strtoul(length + 17, NULL, 10);
    if (http->in_size < size) return false;
    *code = atoi(http->in + 9);
    http->in_size = 0; /* one request at a time: nothing follows */
    return true;
}

static bool read_http(void *conn)
{
    struct http *http = conn;
    ssize_t size = recv(http->fd, http->in + http->in_size, sizeof http->in - 1 - http->in_size, 0);
    int code;

    if (size < 0) return errno == EAGAIN;
    if (size == 0) return false;
    http->in_size += (size_t)size;
    if (take_answer(http, &code)) kv_done(http->client, code == 200);
    return true;
}

const struct kv_way kv_http = {
    .name = "http",
    .clients_per_conn = 1,
    .open = open_http,
    .close = close_http,
    .ask = ask_http,
    .flush = flush_http,
    .read = read_http,
};
