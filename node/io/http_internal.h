/* http_internal.h: what the parts of the HTTP server share: http.c (connections, the pump),
 * http_listen.c, http_exchange.c (requests and responses) and http_budget.c (what is not read). */
#ifndef IO_HTTP_INTERNAL_H
#define IO_HTTP_INTERNAL_H

#include <microhttpd.h>

#include "node/io/http.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

/* An exchange whose answer is not there yet waits as it is for this long, and only then is
 * suspended: suspending costs four system calls. While somebody waits, libmicrohttpd always says
 * that it has more to do, so it is believed only every HTTP_WAIT_STEP_MS. */
#define HTTP_WAIT_MS 16
#define HTTP_WAIT_STEP_MS 4

/* Clients of suspended exchanges are watched by the kernel after this long: it costs another two.
 */
#define HTTP_WATCH_DELAY_MS 100

/* What a client still sends after its response is finished is read and thrown away up to here. */
#define HTTP_DISCARD_MAX (4 * 1024 * 1024)

/* A response finished this much before the request's end is not held back for it. */
#define HTTP_EARLY_MIN (64 * 1024)

enum http_phase {
    HTTP_PHASE_FRESH = 1, /* accepted, nothing asked yet */
    HTTP_PHASE_KEPT,      /* between two requests */
    HTTP_PHASE_HEAD,      /* a request line came */
    HTTP_PHASE_BODY,      /* OPEN was given */
    HTTP_PHASE_ANSWER,    /* the request is complete, its response is not queued */
    HTTP_PHASE_REPLY      /* the response is with libmicrohttpd */
};

/* Response bytes on their way to a streaming client. */
struct http_part {
    struct mn_list entry;
    struct mn_buf *buf;
    size_t offset; /* bytes taken */
};

/* The one exchange that a connection can have at a time. */
struct http_exchange {
    uint64_t id;  /* 0: none */
    char *target; /* from the request line on */
    uint64_t content_length;
    uint64_t received, received_before; /* body bytes in all; before the phase was timed anew */
    bool has_length, is_chunked;
    bool is_ambiguous; /* where the request ends is not certain: the connection ends with it */
    bool is_open;      /* the machine knows it */
    bool is_body_done; /* and got its is_last */
    bool is_paused;    /* the machine takes no more body now */
    bool is_finished;  /* the machine said its last word */
    bool is_cut;       /* to be closed without a (whole) response */
    bool is_stream;
    uint32_t code;
    struct mn_buf *head; /* response headers: name, NUL, value, NUL, and so on */
    struct mn_buf *body; /* of a response with a length, once there is more than none */
    struct mn_list parts;
    size_t queued; /* bytes in parts */
    size_t length; /* of a response with one that goes out in parts; else 0 */
    size_t given;  /* bytes of the response since the last WRITABLE */
    size_t held;   /* bytes that count in the budget of all */
    uint64_t held_since_ms;
    size_t late;    /* of these, bytes that are out, but whose buffer other parts may keep */
    bool is_shared; /* one of them was a part of a buffer */
};

struct http_conn {
    struct http *http;
    struct mn_list entry;    /* in http->starting until libmicrohttpd knows it */
    struct mn_list waiting;  /* in http->waiting while it waits for its answer, not suspended */
    struct mn_list watching; /* in http->unwatched while suspended and not watched yet */
    uint32_t slot;
    int fd;
    struct MHD_Connection *mhd;
    bool is_suspended, is_watched;
    enum edge_listener listener;
    bool is_loopback;
    uint32_t uid;
    char address[HTTP_ADDRESS_SIZE];
    struct http_peer *peer; /* NULL: not counted by address */
    enum http_phase phase;
    uint64_t since_ms;                 /* of the phase, or of the last progress in it */
    uint64_t waiting_ms, suspended_ms; /* when it began to wait; when it was suspended */
    uint32_t unsettled_run;            /* the run that did something on it; 0: none */
    struct http_exchange exchange;
};

struct http_peer {
    struct mn_map_entry entry;
    uint32_t count;
    char address[HTTP_ADDRESS_SIZE];
};

struct http_listener {
    struct http *http;
    uv_poll_t poll;
    int fd;
    enum edge_listener type;
    int64_t group;
    char *path;      /* to be removed in the end; NULL: TCP */
    bool is_stopped; /* out of descriptors; the sweep tries again */
};

struct http {
    struct io *io;
    struct http_config config;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* the daemon's epoll */
    uv_idle_t idle; /* active: pump again before the loop sleeps */
    uv_timer_t sweep_timer, wait_timer, watch_timer;
    uv_poll_t watch_poll;
    int watch_fd; /* epoll of watched clients */
    struct http_listener *listeners[HTTP_LISTENERS_MAX];
    uint32_t listeners_count;
    struct http_conn **conns; /* by slot */
    uint32_t *free_slots;
    uint32_t free_count;
    uint64_t serial;
    size_t held; /* of all exchanges */
    uint64_t slow_count;
    struct mn_list starting, waiting, unwatched;
    struct mn_map peers;
    struct mn_arena arena; /* of one call */
    bool is_pumping, needs_pump, is_closing;
    uint32_t run;             /* number of the last run */
    uint32_t unsettled_count; /* connections on which it did what another may have to finish */
    uint32_t handles_count;   /* not closed yet */
};

uint64_t http_now_ms(const struct http *http);

/* Has libmicrohttpd look again before the loop sleeps. */
void http_wake(struct http *http);

/* Something was done on the connection, which the next run may have to finish. */
void http_unsettle(struct http_conn *conn);

/* Lets a connection wait for its answer where it is; ends that. */
void http_wait(struct http_conn *conn);
void http_stop_waiting(struct http_conn *conn);

/* Takes a connection out of libmicrohttpd's sight, and puts it back. */
void http_suspend(struct http_conn *conn);
void http_resume(struct http_conn *conn);

/* Takes an accepted socket over; closes it when a limit says so, or the peer may not be here. */
void http_add(struct http_listener *listener, int fd, const struct sockaddr *from,
              socklen_t from_size);

/* Listeners that stopped for want of descriptors try again. */
void http_restart_listeners(struct http *http);

/* The sweep runs while there is a connection, or a listener that stopped. */
void http_start_sweep(struct http *http);

/* One handle is closed; after the last one nothing is left. */
void http_release(struct http *http);

/* Callbacks of libmicrohttpd. */
void *http_exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                         const char *method, const char *version,
                                         const char *upload_data, size_t *upload_size,
                                         void **context);
void http_exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                                enum MHD_RequestTerminationCode code);

/* Bytes of its response wait; are taken. Who waits for too much is cut. */
void http_hold(struct http_conn *conn, size_t size);
void http_let_go(struct http_conn *conn, size_t size);
void http_cut_slow(struct http_conn *conn);
void http_keep_budget(struct http *http);

/* The connection is to be closed as soon as libmicrohttpd looks at it. */
void http_exchange_cut(struct http_conn *conn);

#endif
