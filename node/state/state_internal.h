/* state_internal.h: what the files of state share: state.c is the machine and the group in it,
 * state_ops.c requests from their arrival to their answer, state_read.c what is read and watched,
 * state_save.c snapshots of the map,
 * state_members.c who should vote and which leases are over, state_weights.c what operators want
 * and the advisor measures, state_recover.c how far nodes are and the loss of a quorum,
 * state_wire.c bytes.
 *
 * The group is never stepped while its outputs are being handled: they only mark requests as due,
 * and state_ops_run() goes on with those afterwards. */
#ifndef STATE_INTERNAL_H
#define STATE_INTERNAL_H

#include "node/raftlog.h"
#include "node/state/state.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define STATE_SPACE_USER "u" /* first byte of every key: what users see */
#define STATE_SPACE_MESH "m" /* wishes about nodes */
#define STATE_RETRY_SOON (20 * MN_MS)
#define STATE_RETRY_ASK MN_SEC /* without an answer: somebody else may lead by now */
#define STATE_REMOTE_TIME (10 * MN_SEC)
#define STATE_WATCH_TIME (5 * MN_SEC) /* another node's watch: then it asks again */
#define STATE_SURVEY_AGAIN (250 * MN_MS)
#define STATE_RETRY_WATCH (8 * MN_SEC)
#define STATE_SAVE_PIECE ((size_t)128 << 10) /* bytes of a snapshot made in one step */

struct state_session {
    mn_id client; /* zero: to be drawn */
    uint64_t seq;
    bool is_used;
};

/* Nodes that are asked how far they are. */
struct state_survey {
    mn_id nodes[STATE_SURVEY_MAX];
    struct state_position positions[STATE_SURVEY_MAX];
    bool has[STATE_SURVEY_MAX];   /* what is wanted */
    bool heard[STATE_SURVEY_MAX]; /* something, at least */
    uint32_t count;
    uint64_t digest_at, epoch;
    struct mn_buf *order; /* NULL: they are only asked */
};

/* A request on its way: of this node (ticket), or of another (from, ask). */
struct state_op {
    struct mn_map_entry by_number, by_index;
    struct mn_heap_entry wake; /* deadline or next try */
    struct mn_list due;        /* in state->due: is tried in this step */
    uint64_t number;           /* as the group and other nodes know it */
    uint64_t index, term;      /* in the log of this leader; 0: not */
    enum state_request_type type;
    uint64_t ticket;
    bool is_remote;
    mn_id from;
    uint64_t ask;
    struct state_session *session;
    struct mn_buf *command; /* COMMAND, WISH: encoded */
    struct mn_buf *key, *after;
    bool is_list, is_leases;
    uint64_t after_lease;
    bool is_late; /* a read that waited here for this node to catch up: the leader has it all */
    uint32_t limit;
    struct strong_place place; /* WATCH */
    bool is_now;
    struct state_survey *survey; /* SURVEY, ORDER */
    struct mn_list watching;     /* in state->watching: waits for a change */
    mn_id node;
    mn_time deadline;
    mn_id asked;       /* was asked last; zero: nobody */
    uint32_t attempts; /* that may have put it into a log */
};

/* How long a member takes until it has on its disk what this leader proposed. */
struct state_ack {
    mn_id node;
    mn_time mean;    /* of the newest, weighted */
    mn_time at;      /* of the newest */
    uint32_t count;  /* samples, up to STATE_ACKS_MIN */
    uint32_t advice; /* weight that was taken from the advisor; 0: none */
    bool is_open;    /* the sample under way waits for it */
};

#define STATE_ACKS_MIN 8u              /* samples before a mean counts */
#define STATE_ACK_TIME (5 * MN_MINUTE) /* and how long the newest is believed */

/* A snapshot of the map that is being written. */
struct state_save {
    uint64_t index;      /* as of which */
    uint64_t write;      /* to the log: its newest piece */
    size_t size;         /* bytes of all pieces */
    uint32_t crc;        /* CRC-32C */
    struct mn_buf *data; /* all of it, while the group takes it over; no ref of its own */
};

struct state {
    struct state_config config;
    struct rng rng;
    struct mn_now now;
    struct state_outbox *outbox;
    struct mn_arena arena; /* of a step of the group, and of decoding */
    struct groups_outbox groups_outbox;
    struct groups *groups; /* NULL before the start */
    uint64_t group;        /* in it: number of the metadata group, its epoch */
    struct mn_buf *order;  /* why that is not the first one, until it stands in the log; or NULL */
    struct raftlog_recovery recovery;
    struct strong *strong;
    uint64_t applied, founded; /* founded: write that begins the group; 0: durable, or not ours */
    uint64_t durable;          /* the newest write to the log that is */
    struct state_save save;
    bool is_full, wants_snapshot, is_leading, is_failed;
    bool is_damaged; /* the log was, and is not healed yet */

    struct mn_map ops, indexes;
    struct mn_heap wakes;
    struct mn_list due, watching;
    uint64_t number_last;
    struct state_session sessions[STATE_SESSIONS];
    uint32_t sessions_used; /* so many at least, from the first on */
    mn_id hint;             /* who may lead, as somebody said; zero: nobody */
    mn_id lost;             /* the last node whose link broke, until it is heard of again */

    struct metadata_node *nodes;
    uint32_t nodes_count;
    mn_time nodes_at, plan_at, transfer_at; /* next times */

    struct state_ack acks[QUORUM_MEMBERS_MAX]; /* of a leader */
    uint32_t acks_count;
    uint64_t probe_index; /* entry whose acks are waited for; 0: none */
    mn_time probe_at, reweighed_at;
};

/* ---- state.c ---- */
void state_step_group(struct state *state, const struct raft_input *input);
struct state_output *state_emit(struct state *state, enum state_output_type type);
bool state_leads(const struct state *state);
mn_id state_leader(const struct state *state); /* zero: not known */
bool state_is_member(const struct state *state);

/* Makes [persist] the first word of a group in the log. */
void state_write_group(struct state *state, uint64_t group, const struct raft_persist *persist);

/* Closes the group for good and opens another one in its place. */
void state_change_group(struct state *state, uint64_t old, uint64_t group,
                        const struct raft_recovered *recovered);

/* A key in a space, whose first byte that is; the caller owns the ref. */
struct mn_buf *state_key(const char *space, struct mn_span key);

/* ---- state_ops.c ---- */
void state_ops_on_request(struct state *state, const struct state_request *request);
void state_ops_on_ask(struct state *state, const struct state_op *op);
void state_ops_on_answer(struct state *state, const mn_id *from, const mn_id *leader,
                         struct state_answer *answer);
void state_ops_on_raft(struct state *state, const struct raft_output *out);
void state_ops_on_applied(struct state *state, const struct raft_entry *entry,
                          const struct strong_reply *reply);
void state_ops_on_down(struct state *state, const mn_id *node);
void state_ops_on_leader(struct state *state);
void state_ops_cancel(struct state *state, uint64_t ticket);
void state_ops_run(struct state *state); /* tries what is due */
void state_ops_done(struct state *state);

void state_ops_answer(struct state *state, struct state_op *op, const struct state_answer *answer);
void state_ops_on_group(
    struct state *state); /* it is another one: what was in its log is tried anew */
void state_ops_due(struct state *state, struct state_op *op);

/* ---- state_read.c ---- */
void state_read_pairs(struct state *state, struct state_op *op); /* answers it; leases too */

/* Answers it, or lets it wait for a change. */
void state_read_watch(struct state *state, struct state_op *op);
void state_read_end_watch(struct state *state, struct state_op *op); /* its time is over */
void state_read_on_applied(struct state *state);

/* ---- state_save.c ---- */
void state_save_run(struct state *state); /* after every step */

/* If the pieces of its snapshot are in the log, [log], which writes [persist], says so. */
void state_save_mark(const struct state *state, const struct raft_persist *persist,
                     struct mn_arena *arena, struct edge_log *log);

/* ---- state_members.c ---- */
void state_members_plan(struct state *state);
void state_members_set(struct state *state, const struct metadata_node *items, uint32_t count);
void state_members_lead(struct state *state); /* leadership began or ended */

/* A node to ask when nobody knows who leads; zero: there is none. */
mn_id state_members_any(struct state *state);

void state_members_propose(struct state *state, const struct strong_command *command);

/* ---- state_recover.c ---- */
void state_recover_position(const struct state *state, uint64_t digest_at,
                            struct state_position *ret);
mn_status state_recover_set(struct state_op *op, const struct state_request *request);
void state_recover_free(struct state_op *op);
void state_recover_try(struct state *state, struct state_op *op);
void state_recover_on_position(struct state *state, struct state_op *op, const mn_id *from,
                               struct state_position *position);
void state_recover_heard(struct state *state, struct mn_span order);
void state_recover_on_order(struct state *state, const struct state_input *input);
void state_recover_plan(struct state *state); /* now and then, of a leader */

/* ---- state_weights.c ---- */

/* The command that makes the wish true; MN_CONFIG: such a group may not be. */
mn_status state_weights_wish(struct state *state, const struct state_request *request,
                             struct strong_command *ret);

/* Puts into state->nodes what is wanted: an operator's word, else the node's, else the advisor's.
 */
void state_weights_apply(struct state *state);
void state_weights_lead(struct state *state);    /* leadership began or ended */
void state_weights_measure(struct state *state); /* after a step of the group */
void state_weights_advise(struct state *state);  /* now and then, of a leader */

/* Rows of all members, and of nodes of which something is wanted. */
void state_weights_report(struct state *state, struct state_answer *answer);

/* ---- state_wire.c ---- */
struct mn_buf *state_ask_encode(const struct state_op *op);
struct mn_buf *state_order_encode(struct mn_span order);
struct mn_buf *state_answer_encode(const struct state *state, uint64_t ask,
                                   const struct state_answer *answer);

/* Decodes it and hands it to state_ops_on_ask() or state_ops_on_answer(); what is wrong is dropped.
 */
void state_wire_on_message(struct state *state, const mn_id *from, struct mn_span bytes);

#endif
