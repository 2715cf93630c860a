/* http.h: the HTTP server of the edge, on libmicrohttpd. It moves bytes: which paths exist, who may
 * ask for them and what is answered is the machine's business.
 *
 * Every request is one exchange with an odd id: OPEN with the head, BODY inputs of which the last
 * one has is_last (for a request without a body that one is empty), unless the response was
 * finished before. A body that came with its head in one piece is one BODY input, uncopied, inside
 * which the machine may answer at once. A response finished while the client still sends is sent at
 * once if what is missing is large (the connection then closes), else after it was read and thrown
 * away.
 *
 * A response is HTTP_HEAD, then HTTP_BODY up to the one that is the end. With HEAD's flag it is
 * streamed as it comes; each time more than HTTP_QUEUE_HIGH bytes of it were given and fewer than
 * HTTP_QUEUE_LOW are left, one WRITABLE follows: who counts what it gave since then knows how far a
 * reader is behind. A queue over HTTP_QUEUE_MAX cuts the connection. Without the flag the parts are
 * sent with their length once all are there. The kernel gets a long body block by block, so that no
 * turn of the loop copies much of it. Connection, length and date headers are made here.
 *
 * All that readers have not taken yet, of streams and of whole responses, has one budget: beyond it
 * the connection goes that holds most for longest, others are not affected.
 *
 * Bounds kept here: connections in all and per address beyond loopback, bytes and time of a head,
 * the rate of a body. A head that is too big is answered with 431 and never seen by the machine. */
#ifndef IO_HTTP_H
#define IO_HTTP_H

#include "node/io/loop.h"

#define HTTP_ADDRESS_SIZE 64       /* "[address]:port" and a NUL */
#define HTTP_LISTENERS_MAX 16      /* TCP and Unix together */
#define HTTP_HEAD_MAX 8192         /* bytes of a request's names and values */
#define HTTP_HEADERS_MAX 64        /* lines of a request's head */
#define HTTP_ADMIN_SHARE 32        /* of that many connections one is kept for the admin socket */
#define HTTP_QUEUE_LOW (64 * 1024) /* response bytes not yet taken by the kernel */
#define HTTP_QUEUE_HIGH (256 * 1024)
#define HTTP_QUEUE_MAX (64 * 1024 * 1024)

struct http;

struct http_config {
    uint32_t connections_max;         /* more are closed at once */
    uint32_t connections_per_address; /* not for loopback, not for the admin socket */
    mn_time head_timeout;             /* to the end of a request's head */
    mn_time idle_timeout;   /* kept alive without a request, or no progress of a response */
    uint32_t body_rate_min; /* bytes per second, after a grace of head_timeout; not while
                               the machine pauses the body */
    size_t held_max;        /* bytes of buffers with response not yet taken, of all connections */

    /* A connection is cut for what it does not read; may be NULL. [count]: so far. */
    void (*on_slow)(void *context, const char *address, size_t held, uint64_t count);
    void *on_slow_context;
};

struct http_stats {
    size_t held_bytes; /* of responses, not yet taken */
    uint64_t slow_readers_cut;
};

/* 4,096 connections, 256 per address, 10 s, 75 s, 16 KiB/s, 256 MiB. */
void http_config_default(struct http_config *config);

struct http *http_new(struct io *io, const struct http_config *config);

/* Listens on "host:port" (IPv6 in brackets, port 0: any) and writes what was bound. MN_IO:
 * [ret_error] says why; MN_FULL: too many listeners; MN_CONFIG: not a host and a port. */
MN_MUST_USE mn_status http_listen(struct http *http, const char *address,
                                  char ret_bound[HTTP_ADDRESS_SIZE], const char **ret_error);

/* Listens on a Unix socket at [path]: mode 0600, or, when [group] is not -1, that group and 0660.
 * Only root, the own user and members of [group] are let in. A file that nobody serves any more is
 * replaced; MN_EXISTS: another process serves it. Else as http_listen(). */
MN_MUST_USE mn_status http_listen_admin(struct http *http, const char *path, int64_t group,
                                        const char **ret_error);

/* Carries out EDGE_OUT_HTTP_*. */
void http_do(struct http *http, const struct edge_output *output);

struct http_stats http_stats(const struct http *http);

/* Accepts no more; what is open goes on. */
void http_close_listeners(struct http *http);

/* Cuts everything; no further input. [http] frees itself, once the loop has run its last closings.
 */
void http_close(struct http *http);

#endif
