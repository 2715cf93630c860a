/* http_listen.c: where the HTTP server is reached: TCP, and the administrator's Unix socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/io/http_internal.h"

#define HTTP_ACCEPTS_MAX 64 /* per turn */
#define HTTP_BACKLOG 1024

static void http_on_accept(uv_poll_t *handle, int status, int events)
{
    struct http_listener *listener = handle->data;
    (void)status, (void)events;
    for (int i = 0; i < HTTP_ACCEPTS_MAX; i++) {
        struct sockaddr_storage from = {0};
        socklen_t from_size = sizeof from;
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &from_size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EAGAIN) return;
            uv_poll_stop(&listener->poll); /* out of descriptors or memory */
            listener->is_stopped = true;
            http_start_sweep(listener->http);
            return;
        }
        http_add(listener, fd, (const struct sockaddr *)&from, from_size);
    }
}

void http_restart_listeners(struct http *http)
{
    for (uint32_t i = 0; i < http->listeners_count; i++) {
        struct http_listener *listener = http->listeners[i];
        if (!listener->is_stopped) continue;
        listener->is_stopped = false;
        uv_poll_start(&listener->poll, UV_READABLE, http_on_accept);
    }
}

static mn_status http_fail(int error, const char **ret_error)
{
    *ret_error = uv_strerror(error);
    return MN_IO;
}

static struct http_listener *http_listener_new(struct http *http, int fd, enum edge_listener type)
{
    struct http_listener *listener = mn_alloc(sizeof *listener);
    *listener = (struct http_listener){.http = http, .fd = fd, .type = type, .group = -1};
    uv_poll_init(io_uv(http->io), &listener->poll, fd);
    listener->poll.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, http_on_accept);
    http->handles_count++;
    http->listeners[http->listeners_count++] = listener;
    return listener;
}

/* Splits "host:port"; the brackets of an IPv6 address are taken off. */
static bool http_split_address(const char *address, char host[256], char port[8])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || strlen(colon + 1) == 0 || strlen(colon + 1) > 5) return false;
    const char *start = address;
    size_t size = (size_t)(colon - address);
    if (size >= 2 && start[0] == '[' && start[size - 1] == ']') {
        start++;
        size -= 2;
    }
    if (size == 0 || size >= 256) return false;
    memcpy(host, start, size);
    host[size] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static int http_bind(const struct addrinfo *at)
{
    int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, HTTP_BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static void http_format_bound(int fd, char text[HTTP_ADDRESS_SIZE])
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "";
    getsockname(fd, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&bound;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(text, HTTP_ADDRESS_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&bound;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, HTTP_ADDRESS_SIZE, "%s:%u", host, ntohs(v4->sin_port));
    }
}

mn_status http_listen(struct http *http, const char *address, char ret_bound[HTTP_ADDRESS_SIZE],
                      const char **ret_error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char host[256], port[8];
    struct addrinfo *found = NULL;
    if (http->listeners_count == HTTP_LISTENERS_MAX) return MN_FULL;
    if (!http_split_address(address, host, port)) return MN_CONFIG;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        *ret_error = gai_strerror(error);
        return MN_IO;
    }
    int fd = http_bind(found);
    freeaddrinfo(found);
    if (fd < 0) return http_fail(fd, ret_error);
    http_format_bound(fd, ret_bound);
    http_listener_new(http, fd, EDGE_LISTENER_HTTP);
    return MN_OK;
}

/* Removes a socket file that nobody serves any more. MN_EXISTS: somebody does. */
static mn_status http_clear_path(const struct sockaddr_un *at)
{
    struct stat info;
    if (lstat(at->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return MN_OK;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return MN_OK; /* the bind will say why */
    int refused = connect(fd, (const struct sockaddr *)at, sizeof *at);
    bool is_served = refused == 0 || errno == EAGAIN;
    close(fd);
    if (is_served) return MN_EXISTS;
    unlink(at->sun_path);
    return MN_OK;
}

/* Nobody but the owner can connect before group and mode are as they shall be. */
static int http_bind_path(const struct sockaddr_un *at, int64_t group)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    mode_t mask = umask(0177);
    bool is_bound = bind(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    int error = is_bound ? 0 : -errno;
    umask(mask);
    if (is_bound && group >= 0 &&
        (chown(at->sun_path, (uid_t)-1, (gid_t)group) != 0 || chmod(at->sun_path, 0660) != 0))
        error = -errno;
    if (error == 0 && listen(fd, HTTP_BACKLOG) != 0) error = -errno;
    if (error == 0) return fd;
    if (is_bound) unlink(at->sun_path);
    close(fd);
    return error;
}

mn_status http_listen_admin(struct http *http, const char *path, int64_t group,
                            const char **ret_error)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (http->listeners_count == HTTP_LISTENERS_MAX) return MN_FULL;
    if (strlen(path) >= sizeof at.sun_path) return http_fail(UV_ENAMETOOLONG, ret_error);
    memcpy(at.sun_path, path, strlen(path));
    mn_status status = http_clear_path(&at);
    if (status != MN_OK) return status;
    int fd = http_bind_path(&at, group);
    if (fd < 0) return http_fail(fd, ret_error);
    struct http_listener *listener = http_listener_new(http, fd, EDGE_LISTENER_ADMIN);
    listener->group = group;
    listener->path = mn_alloc(strlen(path) + 1);
    memcpy(listener->path, path, strlen(path));
    return MN_OK;
}

static void http_on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *listener = handle->data;
    http_release(listener->http);
    mn_free(listener->path);
    mn_free(listener);
}

void http_close_listeners(struct http *http)
{
    for (uint32_t i = 0; i < http->listeners_count; i++) {
        struct http_listener *listener = http->listeners[i];
        uv_poll_stop(&listener->poll);
        close(listener->fd);
        if (listener->path != NULL) unlink(listener->path);
        uv_close((uv_handle_t *)&listener->poll, http_on_listener_closed);
    }
    http->listeners_count = 0;
}
