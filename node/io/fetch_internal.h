/* fetch_internal.h: what the two ways of fetching share: fetch.c (which way, and the words to the
 * machine), fetch_plain.c and fetch_curl.c. */
#ifndef IO_FETCH_INTERNAL_H
#define IO_FETCH_INTERNAL_H

#include "node/io/fetch.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

/* Head of each way's own struct for a fetch that the machine may still speak about. */
struct fetch_call {
    struct fetch *fetch;
    struct mn_map_entry entry; /* by id */
    uint64_t id;
    bool is_plain;
    bool is_dead; /* the last word was said, by either side: no more inputs */
};

struct fetch {
    struct io *io;
    struct fetch_config config;
    char *unix_path;
    struct mn_map calls;
    struct fetch_plain *plain;
    struct fetch_curl *curl; /* made when it is first needed: it brings a TLS library along */
    uint32_t ways_count;     /* not closed yet */
    bool is_closing;
};

void fetch_call_init(struct fetch_call *call, struct fetch *fetch, uint64_t id, bool is_plain);

/* Words to the machine; silent about a dead call. After each of them the call may be dead. DONE
 * makes it so. */
void fetch_give_head(struct fetch_call *call, uint32_t code, const struct edge_header *headers,
                     uint32_t headers_count);
void fetch_give_body(struct fetch_call *call, struct mn_span bytes);
void fetch_give_done(struct fetch_call *call, mn_status status, const char *text);

/* No more inputs about it. */
void fetch_call_kill(struct fetch_call *call);

/* A way has closed all that it had. */
void fetch_way_closed(struct fetch *fetch);

/* May this text stand in a request's head? */
bool fetch_is_token(struct mn_span text); /* a method or a header's name */
bool fetch_is_header_value(struct mn_span text);

struct fetch_plain *fetch_plain_new(struct fetch *fetch);
/* False: not one for this way (another scheme, user information in the URL). */
bool fetch_plain_start(struct fetch_plain *plain, uint64_t id, const struct edge_fetch *start);
void fetch_plain_pause(struct fetch_call *call, bool is_paused);
void fetch_plain_cancel(struct fetch_call *call);
void fetch_plain_close(struct fetch_plain *plain);

/* NULL: libcurl is not there, as [why] says. */
struct fetch_curl *fetch_curl_new(struct fetch *fetch, const char **why);
void fetch_curl_start(struct fetch_curl *curl, uint64_t id, const struct edge_fetch *start);
void fetch_curl_pause(struct fetch_call *call, bool is_paused);
void fetch_curl_cancel(struct fetch_call *call);
void fetch_curl_close(struct fetch_curl *curl);

#endif
