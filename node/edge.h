/* edge.h: the vocabulary of the outside world. node/io speaks it for real (sockets, processes,
 * disk), sim/ for a virtual one; the pure side never knows which.
 *
 * Drivers move bytes only. Ids: the side that opens a thing names it. Ids made by a driver
 * (accepted connections, HTTP exchanges) are odd, ids made by the node (dials, fetches, children)
 * even; none is ever used twice. After the last word about a thing (CLOSED, GONE, DONE, EXIT, or
 * the node's own CLOSE, CANCEL, finished response) its id is dead on both sides: late messages
 * about it are ignored, by drivers and by the node.
 *
 * Inputs are borrowed for the step. Outputs, and what they point to, stay valid until the
 * outbox is reset; a driver that needs a buffer longer takes its own ref. */
#ifndef EDGE_H
#define EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

/* A header as it came or goes; names in lower case. */
struct edge_header {
    struct mn_span name, value;
};

/* Who is at the other end of an HTTP exchange. */
enum edge_listener {
    EDGE_LISTENER_HTTP = 1, /* TCP */
    EDGE_LISTENER_ADMIN     /* the Unix socket; its file mode and peer credentials were checked */
};

struct edge_http_request {
    enum edge_listener listener;
    struct mn_span method;  /* "GET" */
    struct mn_span target;  /* path and query as sent, percent-encoding untouched */
    struct mn_span address; /* peer as text without port; empty on the admin socket */
    bool is_loopback;       /* the peer's address is a loopback one */
    uint32_t uid;           /* admin socket only: the peer's user */
    const struct edge_header *headers;
    uint32_t headers_count;
};

struct edge_fetch {
    struct mn_span method, url; /* http:// or https:// */
    const struct edge_header *headers;
    uint32_t headers_count;
    struct mn_buf *body;     /* NULL: none */
    mn_time connect_timeout; /* the whole request has no limit here: the node cancels */
};

struct edge_child {
    const struct mn_span *argv; /* argv[0] is looked up in PATH; never a shell */
    uint32_t argv_count;
    const struct edge_header *env; /* added to PATH HOME LANG TZ TMPDIR of the node */
    uint32_t env_count;
    struct mn_span cwd; /* empty: the node's own */
};

/* ---- the log ----
 *
 * One log per node, apart from the store, in which many consensus groups keep their terms, votes,
 * entries and snapshots. Its writes have a rising number of their own. One write is about one
 * group, happens wholly or not at all (its entries: a prefix of them), and in the order of the
 * numbers; all that is emitted in a turn is one write to the disk and one sync. So a write maps
 * onto one `struct raft_persist`, field by field. */

#define EDGE_LOG_ENTRY_MAX ((size_t)1 << 20)      /* bytes of one entry's data */
#define EDGE_LOG_SNAPSHOT_MAX ((size_t)256 << 20) /* bytes of a snapshot's data */
#define EDGE_LOG_CONFIG_MAX ((size_t)2 << 10)     /* bytes of a snapshot's configuration */

struct edge_log_entry {
    uint64_t index, term;
    uint32_t kind; /* 1..255; the log does not know what it means */
    struct mn_span data;
};

/* The state after [index]: entries up to it are not needed any more and are let go. Its data is
 * kept in the log too, as records of their own that count once this write is whole. */
struct edge_log_snapshot {
    uint64_t index, term;
    struct mn_span config; /* encoded; the log does not look inside */
    struct mn_span data;   /* .data NULL: none, which is not the same as empty */
    bool is_ahead;         /* its data came before, in pieces; [data] is not looked at */
    size_t ahead_size;     /* of all of it */
    uint32_t ahead_crc;    /* CRC-32C */
};

struct edge_log {
    uint64_t group;        /* never 0 */
    uint64_t term, commit; /* replace what was known, as vote and is_wounded do */
    mn_id vote;
    bool is_wounded;
    bool is_reset; /* forget all entries first */
    bool is_end;   /* forget the group: nothing of it comes back, and its number is free */
    bool is_piece; /* only [piece], of a snapshot's data, which counts by the snapshot that
                    * is_ahead; is_first: whatever pieces came before are let go. Never empty */
    bool is_first;
    struct mn_span piece;
    const struct edge_log_snapshot *snapshot; /* NULL: the old one stays */
    const struct edge_log_entry *entries; /* replace what stands at entries[0].index and after it */
    uint32_t entries_count;
};

/* A copy of all of it in [arena]. */
const struct edge_log *edge_log_copy(struct mn_arena *arena, const struct edge_log *log);

/* What was found when the log was read back. The tail that a crash tore is cut off in silence:
 * nobody was told that it is durable. */
enum edge_log_damage {
    EDGE_LOG_SOUND = 0,
    EDGE_LOG_CORRUPT /* something is unreadable or gone that had been synced. What is given of the
                      * group ends before the damage; it must not vote until it is healed. Group 0:
                      * records of groups that nothing else tells of may be lost too */
};

/* What happens outside. */
enum edge_input_type {
    EDGE_IN_TICK = 1, /* time passed; nothing else */

    /* A byte stream for the mesh. At most one SEND is outstanding per connection. */
    EDGE_IN_NET_ACCEPTED,  /* conn, text = peer address "ip:port" */
    EDGE_IN_NET_CONNECTED, /* conn, text = peer address */
    EDGE_IN_NET_BYTES,     /* conn, bytes */
    EDGE_IN_NET_SENT,      /* conn: the outstanding SEND is with the kernel */
    EDGE_IN_NET_CLOSED,    /* conn, status, text: also for a dial that failed */

    /* HTTP exchanges: one request, one response. */
    EDGE_IN_HTTP_OPEN, /* exchange, http: the request head */
    EDGE_IN_HTTP_BODY, /* exchange, bytes, is_last: each request has a last one, even when it has no
                          body */
    EDGE_IN_HTTP_WRITABLE, /* exchange: of a streamed response more than 256 KiB were given since
                              the last WRITABLE, and fewer than 64 KiB still wait */
    EDGE_IN_HTTP_GONE,     /* exchange: the client went away before the response was finished */

    /* HTTP requests of ours. */
    EDGE_IN_FETCH_HEAD, /* fetch, code, headers */
    EDGE_IN_FETCH_BODY, /* fetch, bytes */
    EDGE_IN_FETCH_DONE, /* fetch, status (MN_OK: complete; MN_UNREACHABLE: no byte of the request
                           was sent: no address, no connection, no TLS), text = what the library
                           says */

    /* Child processes. */
    EDGE_IN_CHILD_OUT,      /* child, code = 1 stdout or 2 stderr, bytes */
    EDGE_IN_CHILD_WRITABLE, /* child: queued stdin bytes fell below the low mark (64 KiB) */
    EDGE_IN_CHILD_EXIT, /* child, code = exit status, or 128 + signal; status MN_IO and text when
                           it could not be started. All output has been delivered before. */

    /* The store. */
    EDGE_IN_RECOVER,   /* key, bytes: one stored pair, in key order, before anything else */
    EDGE_IN_RECOVERED, /* all pairs were given, and all of the log */
    EDGE_IN_DURABLE,   /* write: every write up to this number is on stable storage */

    /* The log. */
    EDGE_IN_LOG_RECOVER, /* log, code = enum edge_log_damage: a group as it is on disk, before
                            RECOVERED. Groups in order of their number; a group with many entries
                            comes in pieces: each has the state, the first one the snapshot, and
                            their entries follow each other without a gap */
    EDGE_IN_LOG_DURABLE, /* write: every write to the log up to this number is on stable storage */
    EDGE_IN_LOG_ROOM,    /* code 0: the disk, or the log's share of it, is full, text says which:
                            what is under way still fits, nothing new should be begun. 1: there is
                            room again */

    /* The data directory. */
    EDGE_IN_ROOT_KEY, /* code 1: the mesh's root.key lies in it; 0 (as before the first word about
                         it): it does not. At the start, and when it changes */

    /* The process. */
    EDGE_IN_STOP /* leave the mesh, finish what runs; STOPPED is emitted at the end */
};

struct edge_input {
    enum edge_input_type type;
    uint64_t id;      /* conn, exchange, fetch, child or write number, by type */
    mn_status status; /* where named above */
    uint32_t code;
    bool is_last;
    struct mn_span bytes, key;
    struct mn_span text; /* for people */
    const struct edge_log *log;
    const struct edge_http_request *http;
    const struct edge_header *headers;
    uint32_t headers_count;
};

/* What the node wants done outside, in the order given. */
enum edge_output_type {
    EDGE_OUT_NET_DIAL = 1, /* conn, text = "host:port", resolved by the driver */
    EDGE_OUT_NET_SEND,     /* conn, buf: all of it; then SENT */
    EDGE_OUT_NET_PAUSE,    /* conn, flag: stop (true) or go on (false) delivering BYTES */
    EDGE_OUT_NET_CLOSE,    /* conn: after the outstanding SEND, but not later than 1 s */

    EDGE_OUT_HTTP_HEAD,  /* exchange, code, headers; flag: a stream whose length is not known */
    EDGE_OUT_HTTP_BODY,  /* exchange, buf (may be NULL), flag: this is the end */
    EDGE_OUT_HTTP_PAUSE, /* exchange, flag: stop or go on reading the request's body */
    EDGE_OUT_HTTP_ABORT, /* exchange: cut the connection (a response that cannot be finished) */

    EDGE_OUT_FETCH_START,  /* fetch, fetch_start */
    EDGE_OUT_FETCH_PAUSE,  /* fetch, flag */
    EDGE_OUT_FETCH_CANCEL, /* fetch: no DONE follows */

    EDGE_OUT_CHILD_START, /* child, child_start */
    EDGE_OUT_CHILD_WRITE, /* child, buf: to stdin; dropped once the child is gone */
    EDGE_OUT_CHILD_PAUSE, /* child, flag: stop or go on reading stdout */
    EDGE_OUT_CHILD_STOP,  /* child: close stdin now, TERM its group after 2 s, KILL after 5 s more;
                             EXIT still comes */

    EDGE_OUT_WRITE,   /* write number, key, bytes (data == NULL: delete): in this order, one
                         DURABLE may answer many */
    EDGE_OUT_LOG,     /* write number, log: in this order, one LOG_DURABLE may answer many */
    EDGE_OUT_SECRET,  /* text = file name in the data directory, bytes = its new contents, kept from
                         others (mode 0600); no bytes: remove it */
    EDGE_OUT_STOPPED, /* all done: exit with [code] */
    EDGE_OUT_FATAL    /* exit with [code]; text says why and what to do */
};

struct edge_output {
    enum edge_output_type type;
    uint64_t id;
    uint32_t code;
    bool flag;
    struct mn_buf *buf; /* the outbox's own ref */
    struct mn_span bytes, key, text;
    const struct edge_header *headers;
    uint32_t headers_count;
    const struct edge_fetch *fetch_start;
    const struct edge_child *child_start;
    const struct edge_log *log;
};

/* Owned by the driver, zeroed but for [arena]. A step appends; the driver carries out what it finds
 * and then calls edge_outbox_reset(). */
struct edge_outbox {
    struct edge_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

/* Appends a zeroed output of [type] about [id]. */
struct edge_output *edge_emit(struct edge_outbox *outbox, enum edge_output_type type, uint64_t id);

/* Lets go of the buffers and empties the outbox and its arena. */
void edge_outbox_reset(struct edge_outbox *outbox);

#endif
