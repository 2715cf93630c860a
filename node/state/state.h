/* state.h: what a mesh agrees on, at one node: its metadata group, whose members metadata.h
 * chooses, and the strong keyspace in it (strong.h). Any node answers any request: who does not
 * lead passes it on, and tries again elsewhere when no answer comes. Commands have sessions, so
 * that a retry applies once; what is neither confirmed nor refused in time is "unknown".
 *
 * Pure. Writes to the log leave in the edge's own words (node/edge.h); what depends on them is held
 * inside until they are durable. Membership is told from outside, and is advice only. */
#ifndef STATE_H
#define STATE_H

#include "consensus/groups.h"
#include "node/edge.h"
#include "node/state/metadata.h"
#include "node/state/strong.h"
#include "proto/base/trace.h"

#define STATE_GROUP 1u /* number of the metadata group in the log and on the wire: its epoch, */
#define STATE_GROUPS_END 1024u /* so those up to here are taken */
#define STATE_SURVEY_MAX 64u
#define STATE_OPS_MAX 4096u  /* requests of this node and of others, under way */
#define STATE_SESSIONS 1024u /* commands of this node at once; more are MN_BUSY */
#define STATE_NODES_MAX 1024 /* members that are considered */
#define STATE_PROGRESS_MAX (QUORUM_MEMBERS_MAX + 256u)
#define STATE_TIMEOUT_MIN (10 * MN_MS)
#define STATE_TIMEOUT_MAX (60 * MN_SEC)
#define STATE_SPACE_CURATION "c" /* first byte of keys about tools, which users do not see */
#define STATE_MESSAGE_MAX ((size_t)1 << 20) /* bytes */

struct state_config {
    mn_id self;
    uint8_t seed[RNG_SEED_SIZE];
    mn_time election_timeout; /* 0: 300 ms */
    uint64_t *writes_count;   /* number of the newest write to the log */
    struct mn_trace *trace;   /* may be NULL */
};

enum state_request_type {
    STATE_COMMAND = 1, /* command; without a client it gets a session of this node */
    STATE_READ,        /* read: linearizable */
    STATE_WATCH,       /* watch: answered when there is a change, or at the end of [timeout] */
    STATE_PROGRESS,    /* how far the members are, as the leader knows */
    STATE_TRANSFER,    /* node (zero: anybody) shall lead */
    STATE_SURVEY, /* survey: how far nodes are, as each says; who does not answer is left out */
    STATE_ORDER,  /* survey: one node, and the order that it shall begin anew; MN_OK: it leads */
    STATE_WISH    /* wish_of, node, wish: what an operator wants */
};

/* What an operator wants of a node: role 0, weight 0: as the node says. */
struct state_wish {
    enum metadata_role role;
    uint32_t weight;
    bool is_advised; /* of the whole group: weights that nobody set are the advisor's */
};

enum state_wish_of { STATE_WISH_ROLE = 1, STATE_WISH_WEIGHT, STATE_WISH_ADVISED };

struct state_read {
    struct mn_span key; /* is_list: what keys begin with */
    bool is_list;
    struct mn_span after;
    uint32_t limit; /* 1 .. STRONG_LIST_MAX */
    bool is_leases; /* leases in place of keys: [after_lease] and [limit] count, nothing else */
    uint64_t after_lease;
};

/* Changes of keys that begin with [prefix]. Any member tells them, each in the log's order and none
 * left out, but maybe later than others. */
struct state_watch {
    struct mn_span prefix; /* may be empty */
    struct strong_place after;
    bool is_now; /* only where the newest change is, for the next request */
};

struct state_survey_ask {
    const mn_id *nodes; /* 1 .. STATE_SURVEY_MAX */
    uint32_t count;
    uint64_t digest_at;   /* and what they were at that revision (strong_digest()); 0: not asked */
    struct mn_span order; /* ORDER: signed (crypto/recovery.h) */
    uint64_t epoch;       /* ORDER: of it */
};

/* What a node says about its part of the group. */
struct state_position {
    mn_id node;
    uint64_t epoch, term, commit, applied, last_index, last_term;
    bool is_member, is_wounded, has_leader, is_leader, has_digest;
    uint8_t digest[STRONG_DIGEST_SIZE];
    uint32_t keys_count;
    struct quorum_config config; /* as its log has it */
};

struct state_change {
    struct strong_place place;
    bool is_removed;
    struct mn_span key, value;
    uint64_t created;
};

struct state_request {
    uint64_t ticket; /* the caller's */
    enum state_request_type type;
    const char *space; /* COMMAND, READ: of the keys, one character; NULL: what users see */
    struct strong_command command;
    struct state_read read;
    struct state_watch watch;
    struct state_survey_ask survey;
    mn_id node;
    enum state_wish_of wish_of; /* which member of [wish] counts */
    struct state_wish wish;
    mn_time timeout;
};

/* A member of the group, or a node of which something is wanted. */
struct state_progress {
    mn_id node;
    bool is_member;
    uint64_t match;
    mn_time ack;      /* from proposal to durable there; 0: not measured lately */
    uint32_t advised; /* weight that would make commits faster; 0: not a voter */
    struct state_wish wish;
};

/* A lease as its leader sees it: [left_ms] until it ends, unless it is renewed, at the soonest. */
struct state_lease {
    uint64_t id, ttl_ms, left_ms, renewals;
    uint32_t keys_count;
};

struct state_answer {
    uint64_t ticket;
    mn_status status; /* MN_OK; MN_UNREACHABLE: no quorum, certainly not done; MN_TIMEOUT: unknown;
                       * MN_BUSY; MN_NOT_FOUND, MN_STATE: TRANSFER refused; MN_CONFIG: WISH;
                       * MN_EXPIRED: WATCH, some changes in between are not kept any more */
    struct strong_reply reply; /* COMMAND, WISH */
    struct strong_pair *pairs; /* READ; in the outbox's arena */
    uint32_t pairs_count;
    bool has_more;
    struct state_lease *leases; /* READ of leases; in the outbox's arena */
    uint32_t leases_count;
    struct state_change *changes; /* WATCH: up to STRONG_LIST_MAX; in the outbox's arena */
    uint32_t changes_count;
    struct strong_place place;        /* WATCH: all up to here is told; READ: what was read */
    struct state_position *positions; /* SURVEY, ORDER; in the outbox's arena */
    uint32_t positions_count;
    struct state_progress *progress; /* PROGRESS */
    uint32_t progress_count;         /* up to STATE_PROGRESS_MAX */
    bool is_advised;                 /* PROGRESS: the advisor's weights are used */
    uint32_t gain_permille; /* PROGRESS: less time until a commit, by the advisor's weights */
    uint64_t term, commit;
};

enum state_input_type {
    STATE_IN_TICK = 1, /* at state_deadline(): what came in a turn goes out together */
    STATE_IN_LOG,      /* edge: LOG_RECOVER, LOG_DURABLE or LOG_ROOM */
    STATE_IN_START,    /* start: this node is a member; the log has been read back */
    STATE_IN_PACKET,   /* message: of the group, from a node whose identity is known */
    STATE_IN_MESSAGE,  /* message: asks and answers, likewise */
    STATE_IN_DOWN,     /* down: the link to a node was lost */
    STATE_IN_NODES,    /* nodes: all members, copied; when state_wants_nodes() */
    STATE_IN_REQUEST,  /* request: answered by one STATE_OUT_ANSWER */
    STATE_IN_ORDER,    /* order: one that came as STATE_OUT_ORDER, and whose signature counts */
    STATE_IN_CANCEL    /* cancel: nobody waits for the answer of that ticket any more */
};

struct state_input {
    enum state_input_type type;
    union {
        const struct edge_input *edge;
        struct {
            bool is_founder; /* begins the group, if nothing is known of it */
            bool is_old;     /* this node was a member of it: a log that is empty was lost */
        } start;
        struct {
            mn_id from;
            struct mn_span bytes;
        } message;
        mn_id down;
        struct {
            const struct metadata_node *items;
            uint32_t count;
        } nodes;
        const struct state_request *request;
        struct mn_span order;
        uint64_t cancel;
    };
};

enum state_output_type {
    STATE_OUT_PACKET = 1, /* send: of the group */
    STATE_OUT_MESSAGE,    /* send: asks and answers */
    STATE_OUT_ANSWER,
    STATE_OUT_ORDER, /* order: check its signature; if it counts, give it back */
    STATE_OUT_OLD,   /* remember, durably: is_old at the next start */
    STATE_OUT_FATAL  /* fatal: the state cannot be what it must be; exit 70 */
};

struct state_output {
    enum state_output_type type;
    union {
        struct {
            mn_id to;
            struct mn_buf *buf; /* the receiver of the output owns this ref */
        } send;
        struct state_answer answer;
        struct mn_span order;
        const char *fatal;
    };
};

struct state_outbox {
    struct state_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
    struct edge_outbox *edge; /* EDGE_OUT_LOG goes here; its arena lives as long as the outbox */
};

struct state;

struct state *state_new(const struct state_config *config);
void state_free(struct state *state);
void state_step(struct state *state, struct mn_now now, const struct state_input *input,
                struct state_outbox *outbox);
mn_time state_deadline(const struct state *state);
void state_check(const struct state *state);

/* ---- looking ---- */

/* The group as this node knows it; false before it was started. */
bool state_view(const struct state *state, struct raft_view *ret);
const struct strong *state_strong(const struct state *state);
uint64_t state_epoch(const struct state *state); /* rises when the group had to begin anew */
bool state_wants_nodes(const struct state *state, struct mn_now now);
uint64_t state_applied(const struct state *state);
bool state_holds(const struct state *state); /* this node has the map itself: votes or learns */

/* What an operator wants of a node, as far as this node has heard; all zero: nothing. */
struct state_wish state_wish_of(const struct state *state, const mn_id *node);
bool state_is_full(const struct state *state); /* the log has no room */

#endif
