/* bench_kv.h: what the two clients of bench_kv share: many clients with one request each under way,
 * in one thread, over a few connections. Only what a client must do, so that it is not the bound.
 */
#ifndef BENCH_KV_H
#define BENCH_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KV_KEYS 10000u
#define KV_KEY_SIZE 32
#define KV_VALUE_MAX 4096u

struct kv_ask {
    uint32_t client;
    bool is_put;
    char key[KV_KEY_SIZE];
    const char *value; /* text, without anything that JSON escapes */
    size_t value_size;
};

/* How one system is spoken to. A connection belongs to its way; it is told to the caller through
 * kv_done(). */
struct kv_way {
    const char *name;
    uint32_t clients_per_conn, conns_max; /* most of both; conns_max 0: as many as it takes */
    void *(*open)(int fd, const char *authority, const char *secret);
    void (*close)(void *conn);
    void (*ask)(void *conn, const struct kv_ask *ask);
    /* Writes what waits. False: the connection is broken. */
    bool (*flush)(void *conn);
    /* Reads what there is. False: likewise. */
    bool (*read)(void *conn);
};

extern const struct kv_way kv_http, kv_bundle, kv_grpc;

/* The answer to [client]'s request. */
void kv_done(uint32_t client, bool is_good);

#endif
