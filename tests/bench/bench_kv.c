/* bench_kv: puts and linearizable gets of a replicated map, by clients with one request each under
 * way, on one thread: over /v1 of a node, a connection each (http) or sharing one or two as bundles
 * (bundle), or over gRPC of etcd, as streams of shared connections (grpc).
 *
 *   bench_kv http|bundle|grpc put|get|fill CLIENTS SECONDS VALUE-SIZE HOST:PORT [SECRET]
 *     prints "REQUESTS/S P50-US P99-US REQUESTS ERRORS CPU-NS-OF-THE-CLIENT-PER-REQUEST"
 *   bench_kv http|grpc failover PID SIGNAL HOST:PORT HOST:PORT [SECRET SECRET]
 *     writes through each of the two nodes every 5 ms, sends the signal, and prints the
 *     milliseconds until a write that was sent afterwards is acknowledged */
#include "tests/bench/bench_kv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 4096u
#define SAMPLES_MAX (1u << 24)
#define WARMUP_NS 500000000ull
#define FAILOVER_EVERY_NS 5000000ull
#define FAILOVER_LIMIT_NS 30000000000ull

struct conn {
    void *inner; /* NULL: broken */
    uint32_t index;
};

static const struct kv_way *way;
static struct conn conns[CLIENTS_MAX];
static uint32_t conns_count;
static int epoll;

static uint64_t began[CLIENTS_MAX]; /* when the client's request left; 0: none is under way */
static bool is_due[CLIENTS_MAX], is_put, is_filling;
static uint32_t filled; /* keys asked for so far */
static char value[KV_VALUE_MAX];
static size_t value_size;
static uint64_t now_ns, count_from_ns, signalled_ns, first_ns;
static uint64_t good_count, bad_count;
static uint32_t *samples_us, samples_count, keys_drawn;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_kv: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char host[64];
    int on = 1, port, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (sscanf(address, "%63[^:]:%d", host, &port) != 2) die("HOST:PORT is needed");
    at.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1) die(host);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) die(address);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void add_conn(const char *address, const char *secret)
{
    struct conn *conn = &conns[conns_count];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    int fd = dial(address);

    conn->index = conns_count++;
    conn->inner = way->open(fd, address, secret);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

void kv_done(uint32_t client, bool is_good)
{
    uint64_t sent = began[client];

    began[client] = 0;
    is_due[client] = true;
    if (signalled_ns != 0) {
        if (is_good && sent >= signalled_ns && first_ns == 0) first_ns = clock_ns(CLOCK_MONOTONIC);
        return;
    }
    if (now_ns < count_from_ns) return;
    if (!is_good) {
        bad_count++;
        return;
    }
    good_count++;
    if (samples_count < SAMPLES_MAX)
        samples_us[samples_count++] = (uint32_t)((now_ns - sent) / 1000);
}

static void ask(uint32_t client, struct conn *conn)
{
    struct kv_ask request = {
        .client = client, .is_put = is_put, .value = value, .value_size = value_size};

    keys_drawn = keys_drawn * 1664525u + 1013904223u;
    snprintf(request.key, sizeof request.key, "bench-%08u",
             is_filling ? filled++ : (keys_drawn >> 8) % KV_KEYS);
    is_due[client] = false;
    began[client] = clock_ns(CLOCK_MONOTONIC);
    way->ask(conn->inner, &request);
}

static void flush(struct conn *conn)
{
    if (conn->inner == NULL || way->flush(conn->inner)) return;
    if (signalled_ns == 0) die("a connection broke");
    way->close(conn->inner);
    conn->inner = NULL;
}

static void wait_and_read(int timeout_ms)
{
    struct epoll_event ready[256];
    int count = epoll_wait(epoll, ready, 256, timeout_ms);

    now_ns = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < count; i++) {
        struct conn *conn = ready[i].data.ptr;
        if (conn->inner == NULL || way->read(conn->inner)) continue;
        if (signalled_ns == 0) die("a connection was closed");
        way->close(conn->inner);
        conn->inner = NULL;
    }
}

/* ---- load ---- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds, uint64_t cpu_ns)
{
    uint32_t p50 = 0, p99 = 0;

    if (samples_count > 0) {
        qsort(samples_us, samples_count, sizeof *samples_us, compare);
        p50 = samples_us[samples_count / 2];
        p99 = samples_us[(uint64_t)samples_count * 99 / 100];
    }
    printf("%.0f %u %u %llu %llu %llu\n", (double)good_count / seconds, p50, p99,
           (unsigned long long)good_count, (unsigned long long)bad_count,
           (unsigned long long)(good_count == 0 ? 0 : cpu_ns / good_count));
}

static void load(uint32_t clients, double seconds)
{
    uint64_t end, cpu = 0;

    now_ns = clock_ns(CLOCK_MONOTONIC);
    count_from_ns = now_ns + WARMUP_NS;
    end = count_from_ns + (uint64_t)(seconds * 1e9);
    for (uint32_t i = 0; i < clients; i++)
        is_due[i] = true;
    while (now_ns < end) {
        if (cpu == 0 && now_ns >= count_from_ns) cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        for (uint32_t i = 0; i < clients; i++)
            if (is_due[i]) ask(i, &conns[i % conns_count]);
        for (uint32_t i = 0; i < conns_count; i++)
            flush(&conns[i]);
        wait_and_read(1000);
    }
    report((double)(now_ns - count_from_ns) / 1e9, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* Puts every key once, so that gets find something. */
static void fill(uint32_t clients)
{
    count_from_ns = 0;
    for (uint32_t i = 0; i < clients; i++)
        is_due[i] = true;
    while (good_count < KV_KEYS) {
        for (uint32_t i = 0; i < clients && filled < KV_KEYS; i++)
            if (is_due[i]) ask(i, &conns[i % conns_count]);
        for (uint32_t i = 0; i < conns_count; i++)
            flush(&conns[i]);
        wait_and_read(1000);
        if (bad_count > 0) die("a put was refused");
    }
}

/* ---- failover ---- */

/* Each write is a client of its own, so none waits behind one that hangs. */
static void failover(pid_t pid, int signal, char **addresses, char **secrets)
{
    uint64_t begin = clock_ns(CLOCK_MONOTONIC), next = begin;
    const uint32_t lanes = 2, depth = CLIENTS_MAX / lanes / 2;

    for (uint32_t i = 0; i < lanes; i++)
        for (uint32_t j = 0; j < (way->conns_max > 0 ? 1 : depth / 4); j++)
            add_conn(addresses[i], secrets[i]);
    for (uint32_t i = 0; i < lanes * depth; i++)
        is_due[i] = true;
    for (now_ns = begin; first_ns == 0; now_ns = clock_ns(CLOCK_MONOTONIC)) {
        if (signalled_ns == 0 && now_ns - begin > WARMUP_NS) {
            signalled_ns = now_ns;
            if (kill(pid, signal) != 0) die("kill");
        }
        if (signalled_ns != 0 && now_ns - signalled_ns > FAILOVER_LIMIT_NS) break;
        if (now_ns >= next) {
            for (uint32_t i = 0; i < lanes; i++) {
                uint32_t per_lane = conns_count / lanes;
                for (uint32_t j = 0; j < per_lane * (way->conns_max > 0 ? depth : 1); j++) {
                    struct conn *conn = &conns[i * per_lane + j % per_lane];
                    uint32_t client = i * depth + j;
                    if (!is_due[client] || conn->inner == NULL) continue;
                    ask(client, conn);
                    flush(conn);
                    break;
                }
            }
            next = now_ns + FAILOVER_EVERY_NS;
        }
        wait_and_read(1);
    }
    if (first_ns == 0)
        puts("-");
    else
        printf("%.1f\n", (double)(first_ns - signalled_ns) / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fputs("usage: bench_kv http|bundle|grpc put|get|fill CLIENTS SECONDS VALUE-SIZE HOST:PORT "
              "[SECRET]\n"
              "       bench_kv http|grpc failover PID SIGNAL HOST:PORT HOST:PORT [SECRET SECRET]\n",
              stderr);
        return 2;
    }
    way = strcmp(argv[1], "http") == 0     ? &kv_http
          : strcmp(argv[1], "bundle") == 0 ? &kv_bundle
                                           : &kv_grpc;
    is_put = strcmp(argv[2], "get") != 0;
    is_filling = strcmp(argv[2], "fill") == 0;
    value_size = 256;
    epoll = epoll_create1(0);
    samples_us = malloc(SAMPLES_MAX * sizeof *samples_us);
    if (epoll < 0 || samples_us == NULL) die("start");
    memset(value, 'v', sizeof value);
    if (strcmp(argv[2], "failover") == 0) {
        char *none[] = {NULL, NULL};
        failover(atoi(argv[3]), atoi(argv[4]), &argv[5], argc >= 9 ? &argv[7] : none);
        return first_ns == 0;
    }
    uint32_t clients = (uint32_t)atoi(argv[3]);
    uint32_t wanted = (clients + way->clients_per_conn - 1) / way->clients_per_conn;
    if (way->conns_max > 0 && wanted > way->conns_max) wanted = way->conns_max;
    value_size = (size_t)atoi(argv[5]);
    if (clients == 0 || clients > CLIENTS_MAX || value_size > KV_VALUE_MAX) die("out of range");
    while (conns_count < wanted)
        add_conn(argv[6], argc > 7 ? argv[7] : NULL);
    if (is_filling)
        fill(clients);
    else
        load(clients, atof(argv[4]));
    return 0;
}
