#include "node/io/http.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/io/http_internal.h"
#include "proto/base/check.h"

/* Memory that libmicrohttpd takes for each connection: the largest head with its table (64 bytes
 * per line) for as many lines as such have, or the most lines with less in each, and a response
 * head. It zeroes all of it between two requests, so more would cost time; and whoever only listens
 * for hours holds all of it. */
#define HTTP_CONNECTION_MEMORY ((size_t)10 * 1024 + 768)

#define HTTP_GROUPS_MAX 256 /* supplementary groups of a peer */

void http_config_default(struct http_config *config)
{
    *config = (struct http_config){
        .connections_max = 4096,
        .connections_per_address = 256,
        .head_timeout = 10 * MN_SEC,
        .idle_timeout = 75 * MN_SEC,
        .body_rate_min = 16 * 1024,
        .held_max = (size_t)256 << 20,
    };
}

uint64_t http_now_ms(const struct http *http)
{
    return uv_now(io_uv(http->io));
}

/* The pump: libmicrohttpd's epoll is edge-triggered, so after every run it must be asked whether
 * it has more to do, and what was resumed while it ran is seen only by its next run. */

static void http_on_idle(uv_idle_t *handle);

static void http_pump(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 1;
    if (http->is_closing) return;
    http->is_pumping = true;
    http->needs_pump = false;
    http->unsettled_count = 0;
    if (++http->run == 0) http->run = 1;
    MHD_run(http->daemon);
    http->is_pumping = false;
    bool has_more = MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES && wait_ms == 0;
    if (has_more && http->unsettled_count == 0 && !mn_list_is_empty(&http->waiting))
        has_more = false; /* most likely those who wait; if not, the wait timer helps */
    if (has_more || http->needs_pump)
        uv_idle_start(&http->idle, http_on_idle);
    else
        uv_idle_stop(&http->idle);
}

static void http_on_idle(uv_idle_t *handle)
{
    http_pump(handle->data);
}

static void http_on_poll(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    http_pump(handle->data);
}

void http_unsettle(struct http_conn *conn)
{
    if (conn->unsettled_run == conn->http->run) return;
    conn->unsettled_run = conn->http->run;
    conn->http->unsettled_count++;
}

/* Nothing happens on it until its answer is there. */
static void http_settle(struct http_conn *conn)
{
    if (conn->unsettled_run != conn->http->run) return;
    conn->unsettled_run = 0;
    conn->http->unsettled_count--;
}

void http_wake(struct http *http)
{
    http->needs_pump = true;
    if (!http->is_pumping) uv_idle_start(&http->idle, http_on_idle);
}

/* Who waits for long is suspended. */
static void http_on_wait_timer(uv_timer_t *timer)
{
    struct http *http = timer->data;
    uint64_t now = http_now_ms(http);
    MN_LIST_FOR_EACH_SAFE (entry, &http->waiting) {
        struct http_conn *conn = MN_CONTAINER(entry, struct http_conn, waiting);
        if (conn->waiting_ms + HTTP_WAIT_MS > now) break; /* the oldest come first */
        http_stop_waiting(conn);
        http_suspend(conn);
    }
    if (mn_list_is_empty(&http->waiting)) uv_timer_stop(timer);
    http_pump(http);
}

void http_wait(struct http_conn *conn)
{
    struct http *http = conn->http;
    http_settle(conn);
    if (!mn_list_is_empty(&conn->waiting)) return;
    conn->waiting_ms = http_now_ms(http);
    mn_list_push_back(&http->waiting, &conn->waiting);
    if (!uv_is_active((const uv_handle_t *)&http->wait_timer))
        uv_timer_start(&http->wait_timer, http_on_wait_timer, HTTP_WAIT_STEP_MS, HTTP_WAIT_STEP_MS);
}

void http_stop_waiting(struct http_conn *conn)
{
    mn_list_remove(&conn->waiting);
}

/* A suspended connection is out of libmicrohttpd's epoll, so nobody would see its client go. Those
 * that stay suspended are put into an epoll of our own. */

static void http_on_watch_timer(uv_timer_t *timer)
{
    struct http *http = timer->data;
    uint64_t now = http_now_ms(http);
    MN_LIST_FOR_EACH_SAFE (entry, &http->unwatched) {
        struct http_conn *conn = MN_CONTAINER(entry, struct http_conn, watching);
        if (conn->suspended_ms + HTTP_WATCH_DELAY_MS > now) break; /* the oldest come first */
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.u32 = conn->slot};
        mn_list_remove(&conn->watching);
        conn->is_watched = epoll_ctl(http->watch_fd, EPOLL_CTL_ADD, conn->fd, &event) == 0;
    }
    if (mn_list_is_empty(&http->unwatched)) uv_timer_stop(timer);
}

static void http_on_watch(uv_poll_t *handle, int status, int events)
{
    struct http *http = handle->data;
    struct epoll_event ready[64];
    (void)status, (void)events;
    int count = epoll_wait(http->watch_fd, ready, 64, 0);
    for (int i = 0; i < count; i++) {
        struct http_conn *conn = http->conns[ready[i].data.u32];
        if (conn != NULL && conn->is_watched) http_exchange_cut(conn);
    }
}

void http_suspend(struct http_conn *conn)
{
    struct http *http = conn->http;
    if (conn->is_suspended) return;
    MHD_suspend_connection(conn->mhd);
    conn->is_suspended = true;
    if (conn->is_watched) return;
    conn->suspended_ms = http_now_ms(http);
    mn_list_push_back(&http->unwatched, &conn->watching);
    if (!uv_is_active((const uv_handle_t *)&http->watch_timer))
        uv_timer_start(&http->watch_timer, http_on_watch_timer, HTTP_WATCH_DELAY_MS,
                       HTTP_WATCH_DELAY_MS);
}

void http_resume(struct http_conn *conn)
{
    if (!conn->is_suspended) return;
    conn->is_suspended = false;
    mn_list_remove(&conn->watching);
    MHD_resume_connection(conn->mhd);
    http_wake(conn->http);
}

/* Connections. */

static bool http_address_of(const struct sockaddr *from, char text[HTTP_ADDRESS_SIZE])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct in_addr v4;
    if (from->sa_family == AF_INET) {
        v4 = ((const struct sockaddr_in *)(const void *)from)->sin_addr;
    } else {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        if (memcmp(v6, mapped, sizeof mapped) != 0) {
            inet_ntop(AF_INET6, v6, text, HTTP_ADDRESS_SIZE);
            return IN6_IS_ADDR_LOOPBACK(v6);
        }
        memcpy(&v4, v6->s6_addr + 12, sizeof v4);
    }
    inet_ntop(AF_INET, &v4, text, HTTP_ADDRESS_SIZE);
    return ntohl(v4.s_addr) >> 24 == 127;
}

/* Counts the connection under its address; false when there are too many. */
static bool http_count_peer(struct http *http, struct http_conn *conn)
{
    struct mn_map_entry *entry = mn_map_find(&http->peers, mn_span_str(conn->address));
    struct http_peer *peer = entry == NULL ? NULL : MN_CONTAINER(entry, struct http_peer, entry);
    if (peer == NULL) {
        peer = mn_alloc(sizeof *peer);
        memcpy(peer->address, conn->address, sizeof peer->address);
        mn_map_insert(&http->peers, &peer->entry, mn_span_str(peer->address));
    }
    peer->count++;
    conn->peer = peer;
    return peer->count <= http->config.connections_per_address;
}

static void http_forget_peer(struct http *http, struct http_peer *peer)
{
    if (peer == NULL || --peer->count > 0) return;
    mn_map_remove(&http->peers, &peer->entry);
    mn_free(peer);
}

static bool http_is_in_group(int fd, gid_t main_group, int64_t group)
{
    gid_t groups[HTTP_GROUPS_MAX];
    socklen_t size = sizeof groups;
    if (group < 0) return false;
    if ((int64_t)main_group == group) return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) return false;
    for (size_t i = 0; i < size / sizeof *groups; i++) {
        if ((int64_t)groups[i] == group) return true;
    }
    return false;
}

/* Who is at the other end, and whether it may be. */
static bool http_identify(struct http_listener *listener, struct http_conn *conn,
                          const struct sockaddr *from)
{
    struct http *http = listener->http;
    if (listener->type == EDGE_LISTENER_HTTP) {
        conn->is_loopback = http_address_of(from, conn->address);
        return conn->is_loopback || http_count_peer(http, conn);
    }
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    conn->uid = peer.uid;
    conn->is_loopback = true;
    return peer.uid == 0 || peer.uid == geteuid() ||
           http_is_in_group(conn->fd, peer.gid, listener->group);
}

static void http_conn_free(struct http_conn *conn)
{
    struct http *http = conn->http;
    mn_list_remove(&conn->entry);
    mn_list_remove(&conn->waiting);
    mn_list_remove(&conn->watching);
    http_forget_peer(http, conn->peer);
    http->conns[conn->slot] = NULL;
    http->free_slots[http->free_count++] = conn->slot;
    mn_free(conn);
}

/* The longest a sweep may come late is a second, or a quarter of a shorter limit. */
static void http_on_sweep(uv_timer_t *timer);

void http_start_sweep(struct http *http)
{
    uint64_t period_ms = http->config.head_timeout / 4 / MN_MS;
    if (period_ms > 1000) period_ms = 1000;
    if (period_ms == 0) period_ms = 1;
    if (!uv_is_active((const uv_handle_t *)&http->sweep_timer))
        uv_timer_start(&http->sweep_timer, http_on_sweep, period_ms, period_ms);
}

static struct http_conn *http_conn_new(struct http_listener *listener, int fd)
{
    struct http *http = listener->http;
    struct http_conn *conn = mn_alloc(sizeof *conn);
    conn->http = http;
    conn->slot = http->free_slots[--http->free_count];
    conn->fd = fd;
    conn->listener = listener->type;
    conn->phase = HTTP_PHASE_FRESH;
    conn->since_ms = http_now_ms(http);
    mn_list_init(&conn->waiting);
    mn_list_init(&conn->watching);
    mn_list_init(&conn->exchange.parts);
    mn_list_push_back(&http->starting, &conn->entry);
    http->conns[conn->slot] = conn;
    http_start_sweep(http);
    return conn;
}

/* The last places are the administrator's: whoever floods the port does not lock him out. */
static bool http_has_room(const struct http_listener *listener)
{
    const struct http *http = listener->http;
    uint32_t kept =
        listener->type == EDGE_LISTENER_ADMIN ? 0 : http->config.connections_max / HTTP_ADMIN_SHARE;
    return http->free_count > kept;
}

void http_add(struct http_listener *listener, int fd, const struct sockaddr *from,
              socklen_t from_size)
{
    struct http *http = listener->http;
    if (!http_has_room(listener)) {
        close(fd);
        return;
    }
    struct http_conn *conn = http_conn_new(listener, fd);
    if (!http_identify(listener, conn, from)) {
        close(fd);
        http_conn_free(conn);
        return;
    }
    /* On failure it has closed the socket, and if it told us of the start, then of the end too. */
    MHD_add_connection(http->daemon, fd, from, from_size);
    struct mn_list *unknown = mn_list_take(&http->starting);
    if (unknown != NULL) http_conn_free(MN_CONTAINER(unknown, struct http_conn, entry));
    http_wake(http);
}

static void http_on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct http *http = cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context != NULL) http_conn_free(*context);
        return;
    }
    struct mn_list *entry = mn_list_take(&http->starting); /* MHD_add_connection() is under way */
    MN_ASSERT(entry != NULL);
    struct http_conn *conn = MN_CONTAINER(entry, struct http_conn, entry);
    conn->mhd = mhd;
    *context = conn;
}

/* Limits in time. */

static bool http_is_overdue(const struct http_conn *conn, uint64_t now)
{
    const struct http_config *config = &conn->http->config;
    const struct http_exchange *exchange = &conn->exchange;
    uint64_t head_ms = config->head_timeout / MN_MS, idle_ms = config->idle_timeout / MN_MS;
    uint64_t spent = now - conn->since_ms;
    size_t size;
    switch (conn->phase) {
    case HTTP_PHASE_FRESH:
    case HTTP_PHASE_HEAD: return spent > head_ms;
    case HTTP_PHASE_KEPT: return spent > idle_ms;
    case HTTP_PHASE_BODY:
        if (exchange->is_paused || spent <= head_ms) return false;
        return (exchange->received - exchange->received_before) * 1000 <
               (spent - head_ms) * config->body_rate_min;
    case HTTP_PHASE_ANSWER: return false; /* the machine has its own limits */
    case HTTP_PHASE_REPLY:
        if (exchange->is_stream) return exchange->queued > 0 && spent > idle_ms;
        size = exchange->body == NULL ? exchange->length : exchange->body->size;
        return spent > idle_ms + (uint64_t)size * 1000 / config->body_rate_min;
    }
    return false;
}

static void http_on_sweep(uv_timer_t *timer)
{
    struct http *http = timer->data;
    uint64_t now = http_now_ms(http);
    http_restart_listeners(http);
    for (uint32_t i = 0; i < http->config.connections_max; i++) {
        struct http_conn *conn = http->conns[i];
        if (conn != NULL && http_is_overdue(conn, now)) http_exchange_cut(conn);
    }
    if (http->free_count == http->config.connections_max) uv_timer_stop(timer);
}

/* Life. */

/* What is wrong with a request is answered by libmicrohttpd itself; it shall not print it too. */
static void http_on_log(void *cls, const char *format, va_list args)
{
    (void)cls, (void)format, (void)args;
}

/* Targets travel as they came. */
static size_t http_on_unescape(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls, (void)mhd;
    return strlen(text);
}

/* Without the eventfd that wakes the daemon after each resume: all of it happens on one thread, and
 * http_resume() pumps by itself. That saves two system calls per answer. */
static struct MHD_Daemon *http_start(struct http *http)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
                     ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC);
    return MHD_start_daemon(
        flags, 0, NULL, NULL, http_exchange_on_request, http, MHD_OPTION_EXTERNAL_LOGGER,
        http_on_log, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_LIMIT, http->config.connections_max, MHD_OPTION_URI_LOG_CALLBACK,
        http_exchange_on_target, http, MHD_OPTION_UNESCAPE_CALLBACK, http_on_unescape, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, http_exchange_on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        http_on_connection, http, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static void http_start_handles(struct http *http)
{
    uv_loop_t *uv = io_uv(http->io);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    MN_ASSERT(info != NULL);
    uv_poll_init(uv, &http->poll, info->epoll_fd);
    uv_poll_init(uv, &http->watch_poll, http->watch_fd);
    uv_idle_init(uv, &http->idle);
    uv_timer_init(uv, &http->sweep_timer);
    uv_timer_init(uv, &http->wait_timer);
    uv_timer_init(uv, &http->watch_timer);
    http->poll.data = http->watch_poll.data = http->idle.data = http;
    http->sweep_timer.data = http->wait_timer.data = http->watch_timer.data = http;
    http->handles_count = 6;
    uv_poll_start(&http->poll, UV_READABLE, http_on_poll);
    uv_poll_start(&http->watch_poll, UV_READABLE, http_on_watch);
}

struct http *http_new(struct io *io, const struct http_config *config)
{
    struct http *http = mn_alloc(sizeof *http);
    uint64_t seed = 0;
    http->io = io;
    http->config = *config;
    mn_list_init(&http->starting);
    mn_list_init(&http->waiting);
    mn_list_init(&http->unwatched);
    uv_random(NULL, NULL, &seed, sizeof seed, 0, NULL);
    mn_map_init(&http->peers, seed);
    http->conns = mn_alloc(config->connections_max * sizeof(struct http_conn *));
    http->free_slots = mn_alloc(config->connections_max * sizeof *http->free_slots);
    for (uint32_t i = config->connections_max; i-- > 0;)
        http->free_slots[http->free_count++] = i;
    http->daemon = http_start(http);
    http->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    MN_ASSERT(http->daemon != NULL && http->watch_fd >= 0); /* no epoll: nothing could work */
    http_start_handles(http);
    return http;
}

/* One handle is closed; after the last one nothing is left. */
void http_release(struct http *http)
{
    if (--http->handles_count > 0) return;
    close(http->watch_fd);
    mn_map_done(&http->peers);
    mn_arena_done(&http->arena);
    mn_free(http->conns);
    mn_free(http->free_slots);
    mn_free(http);
}

static void http_on_closed(uv_handle_t *handle)
{
    http_release(handle->data);
}

void http_close(struct http *http)
{
    if (http == NULL) return;
    http_close_listeners(http);
    http->is_closing = true;
    for (uint32_t i = 0; i < http->config.connections_max; i++) {
        if (http->conns[i] != NULL) http_exchange_cut(http->conns[i]);
    }
    uv_poll_stop(&http->poll);
    MHD_stop_daemon(http->daemon);
    MN_ASSERT(http->free_count == http->config.connections_max);
    uv_close((uv_handle_t *)&http->poll, http_on_closed);
    uv_close((uv_handle_t *)&http->watch_poll, http_on_closed);
    uv_close((uv_handle_t *)&http->idle, http_on_closed);
    uv_close((uv_handle_t *)&http->sweep_timer, http_on_closed);
    uv_close((uv_handle_t *)&http->wait_timer, http_on_closed);
    uv_close((uv_handle_t *)&http->watch_timer, http_on_closed);
}
