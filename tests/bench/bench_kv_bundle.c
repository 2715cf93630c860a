/* bench_kv_bundle.c: /v1/state of a node by clients that share a connection: those who ask while an
 * answer is awaited go together in the next request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench_kv.h"

#define CLIENTS_MAX 256u
#define ITEM_MAX (KV_VALUE_MAX + 128u)

struct bundle {
    int fd;
    char head[512];
    char waiting[CLIENTS_MAX * ITEM_MAX], out[CLIENTS_MAX * ITEM_MAX + 1024],
        in[CLIENTS_MAX * ITEM_MAX];
    size_t waiting_size, out_size, out_sent, in_size;
    uint32_t clients[CLIENTS_MAX], clients_count; /* who waits to be asked for */
    uint32_t asked[CLIENTS_MAX], asked_count;     /* in the request that is out */
};

static void *open_bundle(int fd, const char *authority, const char *secret)
{
    struct bundle *bundle = calloc(1, sizeof *bundle);

    if (bundle == NULL) abort();
    bundle->fd = fd;
    snprintf(bundle->head, sizeof bundle->head, "Host: %s\r\n%s%s%s", authority,
             secret == NULL ? "" : "Authorization: Bearer ", secret == NULL ? "" : secret,
             secret == NULL ? "" : "\r\n");
    return bundle;
}

static void close_bundle(void *conn)
{
    struct bundle *bundle = conn;

    close(bundle->fd);
    free(bundle);
}

static void ask_bundle(void *conn, const struct kv_ask *ask)
{
    struct bundle *bundle = conn;
    char *to = bundle->waiting + bundle->waiting_size;
    const char *comma = bundle->clients_count > 0 ? "," : "";
    int size;

    if (bundle->clients_count == CLIENTS_MAX) abort();
    if (ask->is_put)
        size = snprintf(to, ITEM_MAX, "%s{\"op\":\"put\",\"key\":\"%s\",\"value\":\"%.*s\"}", comma,
                        ask->key, (int)ask->value_size, ask->value);
    else
        size = snprintf(to, ITEM_MAX, "%s{\"op\":\"get\",\"key\":\"%s\"}", comma, ask->key);
    bundle->waiting_size += (size_t)size;
    bundle->clients[bundle->clients_count++] = ask->client;
}

static bool flush_bundle(void *conn)
{
    struct bundle *bundle = conn;

    if (bundle->asked_count == 0 && bundle->clients_count > 0) {
        int size = snprintf(bundle->out, sizeof bundle->out,
                            "POST /v1/state HTTP/1.1\r\n%sContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n{\"requests\":[",
                            bundle->head, bundle->waiting_size + 15);
        memcpy(bundle->out + size, bundle->waiting, bundle->waiting_size);
        memcpy(bundle->out + size + bundle->waiting_size, "]}", 2);
        bundle->out_size = (size_t)size + bundle->waiting_size + 2;
        bundle->out_sent = bundle->waiting_size = 0;
        memcpy(bundle->asked, bundle->clients, sizeof bundle->asked);
        bundle->asked_count = bundle->clients_count;
        bundle->clients_count = 0;
    }
    while (bundle->out_sent < bundle->out_size) {
        ssize_t size = send(bundle->fd, bundle->out + bundle->out_sent,
                            bundle->out_size - bundle->out_sent, MSG_NOSIGNAL);
        if (size < 0) return errno == EAGAIN;
        bundle->out_sent += (size_t)size;
    }
    return true;
}

/* Items come in the order of the request; one that begins with "error" is a refusal. Keys and
 * values of ours have no braces. */
static void tell_clients(struct bundle *bundle, const char *body, bool is_good)
{
    const char *at = strstr(body, "\"items\":[");
    uint32_t count = bundle->asked_count, depth = 0, told = 0;
    uint32_t asked[CLIENTS_MAX];

    memcpy(asked, bundle->asked, sizeof asked);
    bundle->asked_count = 0;
    if (!is_good || at == NULL) {
        for (uint32_t i = 0; i < count; i++)
            kv_done(asked[i], false);
        return;
    }
    for (at += 9; *at != '\0' && told < count; at++) {
        if (*at == '{' && depth++ == 0) kv_done(asked[told++], strncmp(at, "{\"error\"", 8) != 0);
        if (*at == '}') depth--;
    }
    if (told != count) abort(); /* as many answers as requests */
}

static bool read_bundle(void *conn)
{
    struct bundle *bundle = conn;
    ssize_t more =
        recv(bundle->fd, bundle->in + bundle->in_size, sizeof bundle->in - 1 - bundle->in_size, 0);
    const char *end, *length;
    size_t size;

    if (more < 0) return errno == EAGAIN;
    if (more == 0) return false;
    bundle->in_size += (size_t)more;
    bundle->in[bundle->in_size] = '\0';
    end = strstr(bundle->in, "\r\n\r\n");
    if (end == NULL) return true;
    length = strcasestr(bundle->in, "\r\nContent-Length:");
    if (length == NULL || length > end) abort(); /* nothing here answers without one */
    size = (size_t)(end + 4 - bundle->in) + strtoul(length + 17, NULL, 10);
    if (bundle->in_size < size) return true;
    bundle->in_size = 0;
    tell_clients(bundle, end + 4, atoi(bundle->in + 9) == 200);
    return true;
}

const struct kv_way kv_bundle = {
    .name = "bundle",
    .clients_per_conn = 128,
    .conns_max = 2,
    .open = open_bundle,
    .close = close_bundle,
    .ask = ask_bundle,
    .flush = flush_bundle,
    .read = read_bundle,
};
