/* upstream.h: one attached MCP server: its life from start to stop, and the parts it is made of.
 * Internal to the upstream-facing half; upstreams.h is what others use.
 *
 *   upstream            life: start, ready, broken, backoff, stop; what is offered
 *   upstream_handshake  which era it speaks; initialize or discover
 *   upstream_list       its four lists, page by page, into an offer
 *   upstream_survey     the same lists as clients see them that can be asked
 *   upstream_shown      what of them is shown to whom
 *   upstream_said       what their results say beside them
 *   upstream_request    what was asked of it and is not answered yet
 *   upstream_call       the calls of the core, from begin to end
 *   upstream_send       how they get to the server
 *   upstream_answer     what the server says to them
 *   upstream_question   what it asks the client in the middle of a call
 *   upstream_parked     calls that have no caller now
 *   upstream_orphan     calls whose caller's node is lost
 *   upstream_given      answers that may not have reached the caller's node
 *   upstream_lease      sessions of a legacy server that belong to one client alone
 *   upstream_task       tools that only run as tasks, for clients that have none
 *   upstream_token      progress of tasks that clients began themselves
 *   upstream_watch      resources and tasks that others want to hear of
 *   upstream_aside      what it says to one client outside of any call
 *   upstream_asked      what it asks one there
 *   upstream_own        resources that one has subscribed to there
 *   upstream_message    JSON-RPC texts to it
 *   upstream_receive    those from it, and to whom they go
 *   upstream_stdio      carries them to a child
 *   upstream_http       carries them to a Streamable HTTP endpoint
 *
 * A life: STARTING -> PROBING -> READY, and from each of them, when it breaks, BACKOFF (AUTH,
 * FAILED) -> STARTING. A legacy session over HTTP outlives the connections to its server: when one
 * breaks, PROBING asks in it whether it is still known, and only who says no gets a new handshake.
 * An offer outlives a break by UPSTREAM_GRACE, so that a quick restart does not show in anybody's
 * list; calls that come meanwhile wait as long. */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "node/json/json.h"
#include "node/mcp/upstream/upstream_http.h"
#include "node/mcp/upstream/upstream_list.h"
#include "node/mcp/upstream/upstream_log.h"
#include "node/mcp/upstream/upstream_said.h"
#include "node/mcp/upstream/upstream_shown.h"
#include "node/mcp/upstream/upstream_stdio.h"
#include "node/mcp/upstream/upstreams.h"
#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/loglevel.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define UPSTREAM_GRACE (2 * MN_SEC)
#define UPSTREAM_BACKOFF_MIN (500 * MN_MS)
#define UPSTREAM_BACKOFF_MAX (60 * MN_SEC)
#define UPSTREAM_HEALTHY (60 * MN_SEC) /* ready for so long: the next break is a first one */
#define UPSTREAM_FAILURES_SHOWN 5      /* breaks in a row after which it is called failed */
#define UPSTREAM_STRAYS MN_MINUTE      /* what a server says of a call after it was given up */
#define UPSTREAM_RELIST_DELAY (100 * MN_MS)
#define UPSTREAM_RELIST_EVERY (60 * MN_SEC) /* HTTP servers that do not tell of changes */
#define UPSTREAM_NOISE_MAX 100000           /* lines in a row that are no message: it is broken */
#define UPSTREAM_NOISE_LOGGED 20
#define UPSTREAM_VERSION_SIZE 16

#define UPSTREAM_MODERN_VERSION "2026-07-28"
#define UPSTREAM_LEGACY_VERSION "2025-11-25" /* the one we ask for; others are accepted */

enum upstream_timer_kind {
    UPSTREAM_TIMER_START = 1, /* of a server */
    UPSTREAM_TIMER_WITHDRAW,
    UPSTREAM_TIMER_RELIST,
    UPSTREAM_TIMER_STREAM,
    UPSTREAM_TIMER_LEASE,
    UPSTREAM_TIMER_WATCH,
    UPSTREAM_TIMER_SURVEY,
    UPSTREAM_TIMER_HOLD,
    UPSTREAM_TIMER_ASIDE,
    UPSTREAM_TIMER_REQUEST,  /* of a request */
    UPSTREAM_TIMER_EXCHANGE, /* of an HTTP exchange */
    UPSTREAM_TIMER_GIVEN     /* of the host */
};

struct upstream_timer {
    struct mn_heap_entry heap;
    enum upstream_timer_kind kind;
};

/* What all servers of a node share. [now] and [outbox] are those of the step under way. */
struct upstream_host {
    mn_id self;
    const mn_id *mesh_id;                /* NULL or zero: not known */
    mn_id own_trail_of;                  /* the mesh in [own_trail] */
    char own_trail[2 * MN_ID_TEXT_SIZE]; /* of a call that begins here; empty: not made yet */
    struct rng rng;
    struct mn_trace *trace;
    struct json_parser *parser;
    struct parsed *parsed;   /* NULL: of nobody */
    struct mn_arena scratch; /* reset by each step */
    struct mn_buf *text;     /* what is being received; else NULL */
    struct mn_arena shown;   /* what accessors return; reset by each step */
    struct mn_heap timers;
    struct mn_list servers; /* also removed ones whose child still runs */
    struct mn_map names;    /* servers, without removed ones */
    struct mn_map children, exchanges, requests, tickets;
    struct mn_map parked;       /* upstream_asked.by_handle */
    uint32_t orphans_count;     /* of these, calls whose caller's node is lost */
    size_t answers_size;        /* bytes of the answers that wait there */
    struct mn_map given;        /* see upstream_given.h */
    struct mn_list given_order; /* oldest first */
    size_t given_size;          /* bytes */
    struct upstream_timer given_timer;
    struct mn_map watches;  /* lasting calls, by ticket */
    uint64_t hearer_last;   /* see upstream_aside.c */
    struct mn_list dead;    /* exchanges to be freed at the end of the step */
    struct mn_list large;   /* of upstream_large.c */
    struct mn_list replies; /* of upstream_reply.c */
    uint64_t edge_id_last, request_id_last;
    bool is_stopping;
    bool has_ended;  /* leases that are over are freed at the end of the step */
    mn_time stop_at; /* while stopping: nothing is waited for any longer */
    struct mn_now now;
    struct upstreams_outbox *outbox;
};

enum upstream_request_kind {
    UPSTREAM_REQUEST_PROBE = 1,
    UPSTREAM_REQUEST_INITIALIZE,
    UPSTREAM_REQUEST_RESUME, /* ping: does it still know our session? */
    UPSTREAM_REQUEST_LIST,
    UPSTREAM_REQUEST_LISTEN,
    UPSTREAM_REQUEST_SIDE, /* logging/setLevel, resources/subscribe: nobody needs its answer */
    UPSTREAM_REQUEST_CALL
};

/* Asked and not answered; a call may also wait in the queue for its server to come up. */
struct upstream_request {
    struct mn_map_entry by_id, by_ticket; /* by_id: while sent; by_ticket: calls */
    uint64_t id, ticket;
    struct upstream *server;
    struct mn_list link; /* in server->sent, server->queue or server->asking */
    struct upstream_timer timer;
    enum upstream_request_kind kind;
    bool is_sent, wants_progress, was_retried;
    bool is_live;          /* call: its client can be asked while it runs */
    bool is_mute;          /* call: of a client's session, but it cannot be asked by this one */
    bool is_own;           /* call: its client is one of this node */
    bool is_patient;       /* call: its server need not show that it lives */
    bool is_task_ours;     /* call: it begins as a task, of which its client does not know */
    struct mn_buf *task;   /* call: the server's id of that task, whose result is asked for */
    uint64_t token;        /* call: an id of before, under which its progress is told */
    uint32_t task_tries;   /* call: to ask for that result, in a row */
    mn_time task_asked_at; /* call: the last of these */
    mn_time task_at;       /* call: when the next one is due; 0: none is */
    bool was_heard;        /* call: its caller was told something of it */
    mn_time began_at;      /* call */
    struct upstream_asked *asked; /* NULL: nothing was asked */
    enum loglevel wants_log;      /* call: the least urgent one its client wants; NONE: no logs */
    bool was_modern, had_session; /* when it was sent; the server may have been asked again since */
    struct mn_buf *payload;       /* call: the gateway's request; a subscription: its URI */
    struct upstream_exchange *exchange; /* HTTP, while sent */
    uint64_t written_end;               /* stdio: where it ends in the stream to the child */
    struct upstream_large *large;       /* call: of upstream_large.c, if it is large; else NULL */
};

/* See upstream_lease.h. */
#define UPSTREAM_LEASE_KEY_SIZE 16

struct upstream_lease {
    struct upstream *origin; /* whose lease it is; NULL: the server itself, or its server is gone */
    struct mn_list link;     /* in origin->leases */
    uint8_t key[UPSTREAM_LEASE_KEY_SIZE];
    bool is_exclusive; /* one call at a time */
    bool is_fresh;     /* no call has been in it */
    bool is_logging;   /* exclusive: for the log messages of one call; no other gets it */
    bool is_spoilt;    /* exclusive: it may still speak of a call that is over; no other gets it */
    bool is_optional;  /* its client could do without, but for log messages */
    mn_time used_at;
    struct mn_buf *session;                    /* of its client, opaque; empty: it has none */
    struct mn_buf *capabilities, *client_info; /* JSON objects; info may be NULL */
    struct upstream_timer timer;               /* idle */
};

/* See upstream_aside.h. */
struct upstream_aside {
    struct upstream_hearer *hearer; /* of a lease; NULL: nobody hears now */
    struct mn_list held;            /* what is kept for a moment, oldest first */
    uint32_t held_count;
    size_t held_size; /* bytes */
    struct mn_list questions;
    uint32_t questions_count;
    struct upstream_timer timer; /* then one of them is not waited for any longer */
    struct mn_map own;           /* of upstream_own.c */
};

/* See upstream_survey.h. */
struct upstream_survey {
    bool is_active, is_due;
    bool was_done;              /* once, however it ended */
    struct upstream_ask ask;    /* active: of the lists that are asked for */
    struct upstream *probe;     /* legacy: the session they are asked in; NULL: none is open */
    struct upstream_shown seen; /* active: so far */
    struct upstream_tools seen_tools;
    struct upstream_shown known;    /* by the last one */
    struct upstream_tools tools;    /* which clients with all capabilities see, if that is others */
    struct audience_relevant minds; /* extensions that clients had better declare to it */
    struct mn_buf *of;              /* the plain lists it was made beside; NULL: none was made */
    struct mn_buf *error;           /* why what is known may be wrong; NULL: nothing */
    mn_time next_at, pause;
    uint32_t spent;            /* surveys in a row that did not wait */
    mn_time look_at;           /* HTTP: may have changed by then without a word */
    uint32_t failures, breaks; /* in a row; breaks: of the server */
    uint32_t relists;          /* of a session for lists */
    struct upstream_timer timer, hold;
};

/* What to do once the child is gone. */
enum upstream_after_exit {
    UPSTREAM_AFTER_BREAK = 0, /* nobody asked it to exit: that is a break */
    UPSTREAM_AFTER_WAIT,      /* it broke before; the start timer runs */
    UPSTREAM_AFTER_START,     /* start it again at once */
    UPSTREAM_AFTER_NOTHING    /* it was removed, or the node stops */
};

struct upstream {
    struct mn_list link;
    struct mn_map_entry by_name;
    struct upstream_host *host;
    struct upstream_config *config;
    bool is_http, is_removed, is_lease;
    bool is_probe; /* a lease that is opened for lists, and only for them */
    enum upstream_state state;
    mn_time since;
    mn_time ready_at, handshake_at; /* MN_TIME_NEVER: not ready; no handshake yet */

    enum upstream_era era; /* as configured or found out; AUTO: not known */
    bool is_era_guessed;   /* legacy only because it exited when asked */
    mn_time modern_until;  /* until then it is asked for no legacy session: it refused one */
    char version[UPSTREAM_VERSION_SIZE]; /* spoken in this session; empty: not yet */
    struct mn_buf *server_info, *capabilities, *instructions; /* JSON, JSON, text; NULL: none */
    bool has_tools, has_prompts, has_resources, has_logging;  /* as it declared */
    bool has_list_changed;                                    /* of any of its lists */
    enum loglevel log_level; /* last one set in this legacy session; NONE: not yet */
    mn_time strays_until;    /* until then it may still speak of a call that was given up */

    struct mn_list sent, queue, asking; /* requests; asking: calls that wait for a client */
    uint32_t calls_count;               /* calls in all */
    struct upstream_timer start_timer, withdraw_timer, relist_timer, stream_timer;
    uint32_t failures_count, stream_failures_count;

    struct upstream_list list;
    struct upstream_tools tools;
    struct upstream_survey survey;
    struct upstream_said said;
    struct mn_buf *plain; /* the newest lists, as everybody sees them: an offer */
    struct mn_buf *offer; /* newest one made: the same, and what only some see */
    bool is_offered;

    enum upstream_after_exit after_exit;
    uint32_t exit_code; /* of the newest child that is gone */
    struct upstream_stdio stdio;
    struct upstream_http http;

    struct mn_map topics;   /* URIs that are watched */
    struct mn_list watches; /* lasting calls that watch them */
    struct upstream_timer watch_timer;

    struct mn_list tokens; /* of upstream_token.c */
    uint32_t tokens_count;

    struct mn_list leases; /* upstream_lease.link */
    struct upstream_lease lease;
    mn_time alone_until;    /* until then it is not asked for sessions that can be done without */
    struct mn_list hearers; /* clients that hear what it says outside of calls */
    struct upstream_aside aside;

    struct upstream_log log;
    char error[256];
    bool has_list_error; /* that is it: what its lists were like when they came last */
    uint64_t starts_count, calls_total, noise_count, noise_run;
};

struct upstream *upstream_new(struct upstream_host *host, const struct upstream_config *config);
void upstream_free(struct upstream *server);

/* Life. */
void upstream_start(struct upstream *server);
void upstream_begin(struct upstream *server); /* the handshake, on whatever carries it */
void upstream_ready(struct upstream *server); /* the list is complete */
void upstream_set_state(struct upstream *server, enum upstream_state state);
void upstream_on_timer(struct upstream *server, enum upstream_timer_kind kind);

/* It cannot go on like this: what is being asked is given up, calls that were sent fail as unknown
 * (children only: HTTP calls are exchanges of their own), and it is started again later. */
void upstream_break(struct upstream *server, const char *why);
void upstream_break_auth(struct upstream *server, uint32_t code);

/* The same, because the connection to it is gone. What a legacy server keeps for our session
 * (tasks, subscriptions) it keeps: the session is taken up again as soon as the server can be
 * reached. */
void upstream_break_off(struct upstream *server, const char *why);

/* A new handshake without a break: the session is gone, or the era is another one. False: the last
 * handshake was a moment ago, so that it would not help. */
bool upstream_rehandshake(struct upstream *server, bool forget_era);

/* For good or for a restart: withdraws (for a restart, after the grace), fails every call. */
void upstream_stop(struct upstream *server, enum upstream_after_exit after);

/* What its child writes to stderr, of which nothing more comes if [is_last]. The child of a
 * client's session has no log that anybody could see: it stands in that of its server. */
void upstream_on_stderr(struct upstream *server, struct mn_span bytes, bool is_last);

/* A child is gone, by itself or because it was told to. */
void upstream_on_exit(struct upstream *server, uint32_t code, mn_status status,
                      struct mn_span text);

/* Keeps the text for people: as the error shown, and in the log. */
void upstream_note(struct upstream *server, const char *text);

/* The tools may have changed. */
void upstream_relist_soon(struct upstream *server);
void upstream_offer(struct upstream *server, struct mn_buf *offer); /* takes the ref */
void upstream_withdraw(struct upstream *server);
void upstream_poll(struct upstream *server);   /* HTTP: looks later, unless it tells of changes */
void upstream_listen(struct upstream *server); /* hears of changes where the server tells them */
void upstream_stream_ended(struct upstream *server, bool was_useful);

void upstream_timer_set(struct upstream_host *host, struct upstream_timer *timer, mn_time delay);
void upstream_timer_clear(struct upstream_host *host, struct upstream_timer *timer);

static inline bool upstream_timer_is_set(const struct upstream_timer *timer)
{
    return timer->heap.index_plus_one != 0;
}

static inline bool upstream_is_modern(const struct upstream *server)
{
    return server->era == UPSTREAM_ERA_MODERN;
}

static inline bool upstream_is_lease(const struct upstream *server)
{
    return server->lease.origin != NULL;
}

static inline struct mn_span upstream_u64_key(const uint64_t *id)
{
    return mn_span(id, sizeof *id);
}

#endif
