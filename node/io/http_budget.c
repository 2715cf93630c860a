/* What readers have not taken yet costs memory, which all connections share: one budget, and who
 * uses most of it for longest pays first. */
#include "node/io/http_internal.h"
#include "proto/base/check.h"

void http_hold(struct http_conn *conn, size_t size)
{
    struct http_exchange *exchange = &conn->exchange;

    if (exchange->held == 0) exchange->held_since_ms = http_now_ms(conn->http);
    exchange->held += size;
    conn->http->held += size;
}

void http_let_go(struct http_conn *conn, size_t size)
{
    struct http_exchange *exchange = &conn->exchange;

    if (size > exchange->held) size = exchange->held; /* it was cut: nothing of it counts */
    MN_ASSERT(conn->http->held >= size);
    exchange->held -= size;
    conn->http->held -= size;
}

void http_cut_slow(struct http_conn *conn)
{
    struct http *http = conn->http;

    http->slow_count++;
    if (http->config.on_slow != NULL)
        http->config.on_slow(http->config.on_slow_context, conn->address, conn->exchange.held,
                             http->slow_count);
    http_let_go(conn, conn->exchange.held);
    http_exchange_cut(conn); /* GONE follows, unless the machine is done with it */
}

/* Who has held most for longest. A large answer that has just begun weighs little, and taking a
 * byte now and then makes nobody lighter. */
static struct http_conn *http_slowest(const struct http *http)
{
    struct http_conn *slowest = NULL;
    uint64_t weight_max = 0, now = http_now_ms(http);

    for (uint32_t i = 0; i < http->config.connections_max; i++) {
        struct http_conn *conn = http->conns[i];
        uint64_t weight;
        if (conn == NULL || conn->exchange.held == 0) continue;
        weight = conn->exchange.held * (now - conn->exchange.held_since_ms + 1);
        if (weight <= weight_max) continue;
        weight_max = weight;
        slowest = conn;
    }
    return slowest;
}

void http_keep_budget(struct http *http)
{
    while (http->held > http->config.held_max) {
        struct http_conn *slowest = http_slowest(http);
        MN_ASSERT(slowest != NULL);
        http_cut_slow(slowest);
    }
}

struct http_stats http_stats(const struct http *http)
{
    return (struct http_stats){.held_bytes = http->held, .slow_readers_cut = http->slow_count};
}
