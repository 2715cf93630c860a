/* fetch.h: HTTP requests of ours. Plain http:// goes over kept connections on libuv and http-parser
 * (fetch_plain.c), all else through libcurl (fetch_curl.c): https://, URLs with user information.
 *
 * A fetch is HEAD, BODY inputs, DONE. Names of response headers come in lower case; informational
 * responses (1xx) are left out, redirects are reported and never followed. PAUSE holds back what
 * follows; up to FETCH_READ_MAX bytes already read may still come. A request is never sent twice:
 * on a kept connection that turns out to be closed, it is sent on a new one only if no byte of it
 * had been written. http:// never uses a proxy, https:// the one the environment names. */
#ifndef IO_FETCH_H
#define IO_FETCH_H

#include "node/io/loop.h"

#define FETCH_READ_MAX (256 * 1024)
#define FETCH_HEAD_MAX (64 * 1024) /* bytes of a response's names and values */
#define FETCH_HEADERS_MAX 128      /* lines of a response's head */

struct fetch;

struct fetch_config {
    const char *unix_path; /* send everything to this Unix socket, whatever the URL's host; NULL:
                              as usual. Copied. */
    uint32_t idle_max;     /* connections kept without a request, all origins together */
    mn_time idle_timeout;  /* how long such a one is kept */
};

/* No Unix socket, 256 connections, 30 s. */
void fetch_config_default(struct fetch_config *config);

struct fetch *fetch_new(struct io *io, const struct fetch_config *config);

/* Carries out EDGE_OUT_FETCH_*. */
void fetch_do(struct fetch *fetch, const struct edge_output *output);

/* Cancels everything; no further input. [fetch] frees itself, once the loop has run its last
 * closings. */
void fetch_close(struct fetch *fetch);

#endif
