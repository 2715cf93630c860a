#include "node/io/net_stream.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define DESCRIPTORS_MAX 65536

/* ---- operations that do not wait ---- */

/* An aio without a callback completes within the call that starts it, if it can: the abort has then
 * no effect any more. */
static int net_stream_end_now(nng_aio *aio, size_t *ret_size)
{
    nng_aio_abort(aio, NNG_ECANCELED);
    nng_aio_wait(aio);
    int error = nng_aio_result(aio);
    *ret_size = error == 0 ? nng_aio_count(aio) : 0;
    return error;
}

int net_stream_send(nng_stream *stream, nng_aio *aio, struct mn_span bytes, size_t *ret_size)
{
    nng_iov iov = {.iov_buf = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    nng_aio_set_iov(aio, 1, &iov);
    nng_stream_send(stream, aio);
    return net_stream_end_now(aio, ret_size);
}

int net_stream_receive(nng_stream *stream, nng_aio *aio, uint8_t *bytes, size_t capacity,
                       size_t *ret_size)
{
    nng_iov iov = {.iov_buf = bytes, .iov_len = capacity};
    nng_aio_set_iov(aio, 1, &iov);
    nng_stream_recv(stream, aio);
    return net_stream_end_now(aio, ret_size);
}

/* ---- the socket below ---- */

/* Port and address of a socket's end, either way. */
struct net_end {
    uint16_t port; /* network order */
    uint8_t address[16];
};

static bool net_end_of_nng(nng_stream *stream, const char *option, struct net_end *ret)
{
    nng_sockaddr from = {0};
    if (nng_stream_get_addr(stream, option, &from) != 0) return false;
    *ret = (struct net_end){0};
    if (from.s_family == NNG_AF_INET) {
        ret->port = from.s_in.sa_port;
        memcpy(ret->address, &from.s_in.sa_addr, sizeof from.s_in.sa_addr);
    } else if (from.s_family == NNG_AF_INET6) {
        ret->port = from.s_in6.sa_port;
        memcpy(ret->address, from.s_in6.sa_addr, sizeof ret->address);
    }
    return ret->port != 0;
}

static bool net_end_of_socket(const struct sockaddr_storage *from, struct net_end *ret)
{
    *ret = (struct net_end){0};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        ret->port = in->sin_port;
        memcpy(ret->address, &in->sin_addr, sizeof in->sin_addr);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        ret->port = in6->sin6_port;
        memcpy(ret->address, &in6->sin6_addr, sizeof ret->address);
    }
    return ret->port != 0;
}

static bool net_end_is(const struct net_end *end, int fd,
                       int (*get)(int fd, struct sockaddr *name, socklen_t *size))
{
    struct sockaddr_storage name = {0};
    struct net_end other;
    socklen_t size = sizeof name;
    return get(fd, (struct sockaddr *)&name, &size) == 0 && net_end_of_socket(&name, &other) &&
           other.port == end->port && memcmp(other.address, end->address, sizeof end->address) == 0;
}

static int net_name(int fd, struct sockaddr *name, socklen_t *size)
{
    return getsockname(fd, name, size);
}

static int net_peer(int fd, struct sockaddr *name, socklen_t *size)
{
    return getpeername(fd, name, size);
}

/* No two connected sockets have both ends in common, and new descriptors are low numbers. */
int net_stream_descriptor(nng_stream *stream)
{
    struct net_end local, remote;
    struct rlimit limit = {.rlim_cur = DESCRIPTORS_MAX};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > DESCRIPTORS_MAX) limit.rlim_cur = DESCRIPTORS_MAX;
    if (!net_end_of_nng(stream, NNG_OPT_LOCADDR, &local) ||
        !net_end_of_nng(stream, NNG_OPT_REMADDR, &remote))
        return -1;
    for (int fd = 0; fd < (int)limit.rlim_cur; fd++)
        if (net_end_is(&local, fd, net_name) && net_end_is(&remote, fd, net_peer)) return fd;
    return -1;
}

void net_stream_keep_short(int descriptor, int unsent_max)
{
    /* An older kernel refuses, and goes on as before. */
    setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
}

/* ---- addresses ---- */

void net_format_address(const nng_sockaddr *address, char text[NET_ADDRESS_SIZE])
{
    static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->s_family == NNG_AF_INET6) {
        const nng_sockaddr_in6 *in6 = &address->s_in6;
        if (memcmp(in6->sa_addr, mapped_prefix, sizeof mapped_prefix) != 0) {
            inet_ntop(AF_INET6, in6->sa_addr, host, sizeof host);
            snprintf(text, NET_ADDRESS_SIZE, "[%s]:%u", host, ntohs(in6->sa_port));
            return;
        }
        inet_ntop(AF_INET, in6->sa_addr + sizeof mapped_prefix, host, sizeof host);
    } else if (address->s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address->s_in.sa_addr, host, sizeof host);
    }
    snprintf(text, NET_ADDRESS_SIZE, "%s:%u", host, ntohs(address->s_in.sa_port));
}
