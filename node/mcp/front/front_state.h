/* front_state.h: what the parts of the front share. front.c owns the tables and their lives;
 * front_http reads requests, front_reply writes responses, front_message decides what a message is,
 * front_modern and front_legacy serve the two eras, front_about says what is served, front_list
 * lists it, front_route finds who is asked, front_call carries calls there and front_answer what
 * comes back, front_stream the streams that wait for changes, front_subscribe and front_taken what
 * clients subscribe to, front_updates tells them, front_loop refuses meshes that would be attached
 * in a circle, front_token ends what tokens opened that have ended. Nobody else includes this. */
#ifndef FRONT_STATE_H
#define FRONT_STATE_H

#include "crypto/rng.h"
#include "node/guard.h"
#include "node/json/feed.h"
#include "node/mcp/front/front.h"
#include "node/mcp/front/usage.h"
#include "node/mcp/names/names_offer.h"
#include "node/mcp/names/names_route.h"
#include "node/mcp/names/names_view.h"
#include "node/mcp/records/records.h"
#include "node/mcp/wire/audience.h"
#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/loglevel.h"
#include "node/mcp/wire/parsed.h"
#include "node/mcp/wire/pieces.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define FRONT_UPGRADE (15 * MN_SEC)     /* of silence before a waiting answer becomes a stream */
#define FRONT_OPEN (20 * MN_MS)         /* the same where answers are streams anyway */
#define FRONT_NOTE (500 * MN_MS)        /* a stream this old is in its session's record */
#define FRONT_SESSION_LIFE (7 * MN_DAY) /* from its begin on an id is good so long */
#define FRONT_SESSION_ID_MAX 257        /* characters of a sealed id, with its NUL */
#define FRONT_CLIENT_INFO_MAX 4096      /* bytes; a longer one is not kept: it is for display */
#define FRONT_DIGEST_SIZE 16
#define FRONT_TASKS_MAX 64            /* of which one session, or one listen, is told */
#define FRONT_TASKS_KEPT 128          /* that one session can list */
#define FRONT_SUBSCRIPTIONS_MAX 1024u /* resources that one session, or one listen, is told of */
#define FRONT_OPENED_MAX 8u      /* streams of a session that its record names: the last ones */
#define FRONT_SERVERS_MAX 32u    /* that a session called; the one called first is forgotten */
#define FRONT_UNREAD_MAX 1048576 /* bytes a client may be behind and still hear notifications */

enum front_exchange_kind {
    FRONT_EXCHANGE_POST = 1, /* ends with the answer to what was posted */
    FRONT_EXCHANGE_LISTEN,   /* modern subscriptions/listen: lasts */
    FRONT_EXCHANGE_GET       /* stream of a legacy session: lasts */
};

enum front_verb { FRONT_VERB_POST = 1, FRONT_VERB_GET, FRONT_VERB_DELETE };

/* Lists as a client knows them; those it asked to be told of. */
struct front_known {
    struct audience_client client; /* what it declared, which says what it is shown */
    bool wants[NAMES_LISTS];
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
};

/* What one exchange or session is subscribed to. */
struct front_subscriptions {
    struct mn_list all;   /* subscription.in_owner, oldest first */
    struct mn_map by_uri; /* those that have one */
};

/* One HTTP exchange, from its head until its response is complete or the client is gone. */
struct front_exchange {
    struct mn_map_entry by_id;
    uint64_t id;
    mn_time came; /* mono: its head; it may wait long before it is served */
    enum front_exchange_kind kind;
    struct mn_heap_entry timer; /* upgrade, then keep-alive */
    mn_id principal;
    bool has_token; /* an API token's: it ends with that */
    enum front_verb verb;
    bool was_adopted;           /* its session was looked for at other nodes */
    mn_status unsealed;         /* what front_unseal() said of its session's id */
    struct mn_list in_adoption; /* while it is: front_record.c */
    struct mn_list held;        /* answers that wait until their session is kept elsewhere */
    struct mn_list waiters;     /* requests that wait for what a server says: front_taken.c */

    /* DELETE, which waits until others know that its session has ended. */
    bool is_ending;
    struct records_key ending;     /* of its record */
    struct mn_map_entry by_ending; /* in front->endings */

    /* The request; spans live in the block of the exchange. */
    struct mn_span service;      /* of /mcp/servers/NAME; "views/NAME": a view; empty: /mcp */
    struct edge_header *headers; /* those named mcp-*, and meshnode-trail */
    uint32_t headers_count;
    struct mn_writer body;
    struct json_feed *feed; /* of a large one, checked as it comes; or NULL */

    /* The response. */
    bool is_stream;               /* its head is out: events follow */
    size_t unread;                /* bytes of events since it last kept up */
    bool is_batch;                /* answers are collected in an array */
    uint32_t pending_count;       /* requests without their answer */
    struct pieces batch;          /* answers so far: [a,b */
    struct mn_buf *new_session;   /* its id, told in the head; NULL: none */
    struct mn_buf *meshes;        /* the same: where what it lists comes from */
    struct mn_list calls;         /* front_call.in_exchange */
    struct front_session *legacy; /* whose call it waits for; NULL: modern, or GET */
    uint64_t stream;              /* its number in that session; 0: not yet */
    bool is_noted;                /* its calls are in the session's record */
    bool becomes_stream;          /* its answer is one, from its begin on */

    /* LISTEN and GET. */
    struct mn_list in_streams;                /* in front->streams, or streams_due */
    struct mn_buf *listen_id;                 /* LISTEN: verbatim id of its request */
    struct front_subscriptions subscriptions; /* LISTEN: to resources and tasks; GET: to tasks */
    struct front_known known;                 /* LISTEN: the lists that were asked for */
    struct front_session *session;            /* GET: whose stream it is */
    uint64_t moves;     /* GET: how often that session had gone to another node then, */
    uint64_t opened_ms; /* and when that was: Unix time */
    bool is_named;      /* GET: the session's record says that it was opened */
};

#define FRONT_OPENINGS_MAX 20 /* made-up sealed strings of one principal per minute; then 429 */
#define FRONT_GUESSERS_MAX                                                 \
    64 /* principals that are counted; the one that began first makes room \
        */

/* Whose sealed strings do not open. */
struct front_guesser {
    mn_id principal;
    mn_time since; /* mono, of the first failure that counts */
    uint32_t failures;
};

/* A session's stream, as its wishes name it. */
struct front_opened {
    uint64_t moves, opened_ms;
};

/* A legacy session. */
struct front_session {
    struct mn_map_entry by_id, by_handle;
    const char *id;
    mn_id principal;
    bool has_token; /* as of an exchange */
    const char *version;
    uint8_t handle[FRONT_DIGEST_SIZE]; /* digest of the id: key of its record */
    uint8_t alias[FRONT_DIGEST_SIZE];  /* digest of that: tells servers its calls from others' */
    struct mn_span service;            /* the endpoint it was opened at, as in an exchange */
    struct mn_span client_info, client_capabilities;
    struct mn_heap_entry expiry;
    struct mn_list calls;          /* front_call.in_session */
    struct front_exchange *stream; /* its GET stream; NULL: none is open */
    struct front_known known;
    struct front_subscriptions subscriptions; /* to resources */
    struct mn_list in_look; /* subscriptions ended by themselves, and its record has them yet */
    struct mn_list tasks;   /* that it began, of front_task_known.c */
    uint32_t tasks_count, tasks_told;
    uint64_t task_last;    /* number of the newest one */
    struct mn_list theirs; /* tasks that the client has, of front_theirs.c */
    uint32_t theirs_count;
    struct mn_list kept; /* events that can be had again, of front_replay.c */
    uint32_t kept_count;
    size_t kept_size;
    uint64_t stream_last, place_last;
    enum loglevel log_level; /* of the messages it wants */
    bool wants_logs;         /* its client has set that level */
    uint64_t generation;     /* how many nodes had it before */
    bool is_elsewhere;       /* its client used another node since: what is known here may be old */
    struct mn_list held;     /* answers that wait until others keep what they confirm */
    struct mn_list orphans;  /* calls that came through another node, of front_orphan.c */
    uint32_t orphans_count;
    struct mn_list servers; /* of front_roots.c */
    uint32_t servers_count;
    struct front_opened opened[FRONT_OPENED_MAX]; /* its streams anywhere, the last first */
    uint32_t opened_count;
    struct mn_list questions; /* that were asked outside of calls */
    uint32_t questions_count;
};

/* A request of a client, by what becomes of it. */
enum front_what {
    FRONT_DISCOVER = 1,
    FRONT_LIST,
    FRONT_CALL, /* goes to a server */
    FRONT_LISTEN,
    FRONT_PING,
    FRONT_SET_LEVEL,
    FRONT_TASKS, /* tasks/list */
    FRONT_SUBSCRIBE,
    FRONT_UNSUBSCRIBE,
    FRONT_EXTENSION /* a call of which nothing is known but its server */
};

struct front_method {
    const char *name;
    enum front_what what;
    enum names_kind kind; /* LIST: of what; CALL: of what kind is the thing that is named */
    const char *member;   /* CALL: the member of params that names it; NULL: "ref" does */
    bool is_modern, is_legacy;
};

/* Who is asked: these, one after the other, until one knows what is asked for. */
struct front_target {
    struct mn_span services[NAMES_CANDIDATES_MAX];
    uint32_t count;
    struct mn_span own;      /* what stands in params instead; data NULL: what the client wrote */
    mn_id node;              /* who must serve it; zero: whoever can */
    struct names_item *tool; /* tools/call: if it is known */
};

/* What a client that sends its request once more brought back. */
struct front_round {
    bool is_next; /* it brought something */
    mn_id node;   /* where its call goes on */
    struct mn_span service;
    uint8_t digest[FRONT_DIGEST_SIZE];
    struct mn_span resume, state; /* one of them */
    bool has_state;
};

/* A question to a legacy client. */
struct front_question {
    struct mn_map_entry by_id;
    uint64_t id;                   /* of our request */
    struct front_call *call;       /* NULL: asked outside of calls; then these: */
    struct front_session *session; /* whose client is asked */
    struct mn_span service;        /* who asks, */
    mn_id node;                    /* where */
    mn_time at;                    /* and when */
    struct mn_list in_call;        /* or in its session */
    struct mn_span key;
    const char *method;
};

/* A request under way in the mesh. */
struct front_call {
    struct mn_map_entry by_ticket;
    uint64_t ticket;
    const struct front_method *method;
    struct front_exchange *exchange; /* NULL: the client went away */
    struct front_session *session;   /* NULL: modern */
    struct mn_list in_exchange, in_session;
    struct mn_span id;       /* the client's, verbatim */
    struct mn_span progress; /* the client's token, verbatim; empty: none */
    bool wants_log;
    bool is_aggregated;                /* asked at /mcp or at a view */
    uint64_t stream;                   /* legacy: whose client went away; 0: it had no stream */
    uint8_t handle[FRONT_DIGEST_SIZE]; /* legacy: under this its serving node may keep it */
    mn_id node;                        /* legacy: where it runs, as far as is known */
    char told[22];                     /* the newest progress that its client was told of, JSON; */
    uint8_t told_size;                 /* 0: none, or too long a number */
    bool is_heard;                     /* what this run says has reached its client, */
    bool is_again;                     /* and so has what one before this said */
    bool is_noted;                     /* in the session's record */
    bool is_claim;                     /* it came through another node */
    bool is_resumed;                   /* modern: it is parked at its node, and was begun before */
    bool is_doomed;                    /* and is cancelled once it is here */
    struct mn_span own, uri;  /* where a URI was replaced: by what, and what the client calls it */
    struct mn_buf *payload;   /* as it was sent */
    struct mn_span service;   /* who was asked */
    struct mn_list questions; /* front_question.in_call */
    struct mn_list answered;  /* of those: front_outlive.c */
    struct mn_span *services; /* candidates that are left */
    uint32_t services_count;
    bool is_round;                    /* not the first one, and this is what all have in common: */
    uint8_t round[FRONT_DIGEST_SIZE]; /* of front_round.c */
    struct usage_tool *usage;         /* NULL: not counted */
    mn_time came;                     /* its exchange; 0: through another node */
    mn_time started;
    struct front_pack *pack;    /* while it is large, and its params are not all in the payload */
    struct mn_heap_entry retry; /* of a claim that could not be asked for */
};

/* Subscriptions to resources that a change concerns, of front_look.c. */
struct front_look {
    struct mn_map by_uri;         /* who is subscribed to it, at whatever server */
    struct mn_list noted;         /* topics, for the next look; */
    struct mn_list topics;        /* those of the look under way, */
    struct mn_list subscriptions; /* those of topics that it came to, */
    struct mn_list sessions;      /* and those whose record is to be written after it */
    bool had_slice;               /* in this step */
};

struct front {
    mn_id self;
    mn_time call_timeout, call_timeout_total;
    struct mn_trace *trace;
    struct rng rng;
    const bool *is_gathering;    /* of the node; NULL: never */
    uint64_t *writes_count;      /* of the node's store; NULL: nothing is kept there */
    struct mcp_keys *keys;       /* of the mesh; NULL: there are none */
    const struct parsed *parsed; /* what servers of this node answered last; NULL: nothing ever */
    uint8_t seal_key[SEALED_KEY_SIZE];
    struct front_guesser guessers[FRONT_GUESSERS_MAX];
    uint32_t guessers_count;
    struct guard *guard, *own_guard; /* own: NULL when it is somebody else's */
    struct json_parser *parser;
    struct mn_arena scratch; /* reset after each step */
    struct names names;
    struct usage usage;
    struct mn_map exchanges, sessions, calls, questions;
    size_t kept_size; /* of all sessions */
    struct mn_map sessions_by_handle;
    struct records *records; /* of sessions, here and at other nodes */
    struct records_outbox records_outbox;
    struct mn_arena records_arena;
    struct mn_map adoptions; /* of front_record.c, */
    struct mn_map endings;   /* too */
    struct mn_map ended;     /* ids of deleted sessions */
    struct mn_list ended_order;
    struct mn_map feeds, feeds_by_ticket; /* of front_subscribe.c */
    struct mn_heap feeds_timers, updates_timers, taken_timers;
    struct mn_list updates_due; /* subscription.in_told, of front_updates.c */
    struct front_look look;
    uint32_t subscriptions_count;
    struct mn_map subscribers;  /* by principal, of front_subscription.c */
    struct mn_map listed;       /* by ticket, of front_task_list.c */
    struct mn_list streams;     /* exchange.in_streams; */
    struct mn_list streams_due; /* those that may have to be told of changed lists */
    uint32_t streams_count;
    struct mn_heap timers;   /* front_exchange.timer */
    struct mn_heap expiries; /* front_session.expiry */
    struct mn_heap retries;  /* front_call.retry */
    uint32_t tokens_used;    /* exchanges and sessions that have one */
    uint64_t ends_seen;      /* of guard_ends() */
    mn_time judge_at;        /* of front_token.c; MN_TIME_NEVER */
    mn_time changed_at;      /* when clients are told that lists changed; MN_TIME_NEVER */
    size_t bodies_size;
    size_t answered_size; /* of what front_outlive.c keeps */
    size_t batches_size;  /* answers that wait for the rest of their batch */
    struct mn_list large; /* of front_large.c */
    size_t large_size;
    struct mn_list packs;  /* of front_pack.c */
    struct mn_list inputs; /* of front_input.c */
    uint64_t ticket_last, question_last;
    bool is_stopping;
    struct mcp_stats stats; /* its totals */

    /* Of the step under way. */
    struct mn_now now;
    struct mn_span body;         /* of the POST that is being served; else empty */
    struct mn_buf *body_whole;   /* whose text it is, if it is large; else NULL */
    struct json_feed *body_feed; /* that checked it; else NULL */
    size_t body_values;          /* in it, if it is large */
    struct mcp_outbox *outbox;
};

#endif
