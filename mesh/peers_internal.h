/* peers_internal.h: the inside of peers, shared by its files: peers.c (the core's four functions,
 * looking), peers_conn.c (connections, reading and sending), peers_hello.c (who the other one is
 * and which link stays), peers_dial.c (whom we dial). Nobody else includes it. */
#ifndef PEERS_INTERNAL_H
#define PEERS_INTERNAL_H

#include "mesh/gate.h"
#include "mesh/peers.h"
#include "proto/base/check.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define PEERS_PROTOCOL_MIN 1u
#define PEERS_PROTOCOL_MAX 1u
#define PEERS_LINK_NAME_SIZE 16                 /* bytes of a handshake hash that name a link */
#define PEERS_HELLO_MAX 2048u                   /* bytes of a Hello */
#define PEERS_GUEST_BYTES_MAX ((uint64_t)32768) /* that a guest may send in all */
#define PEERS_SCORE_THROTTLE 100u
#define PEERS_SCORE_BAN 300u
#define PEERS_SCORE_HALF_LIFE MN_MINUTE
#define PEERS_THROTTLE_US (100 * MN_MS) /* not reading for so long after each read */
#define PEERS_SILENT_US (50 * MN_MS)    /* who has not begun by then gives way to newcomers */
#define PEERS_SLOW_US MN_SEC            /* and so does who has not shown who it is */
#define PEERS_SWEEP_US MN_MINUTE        /* between looks at what ends by the wall clock */

enum conn_state {
    CONN_DIALING = 1, /* no link yet */
    CONN_HANDSHAKE,
    CONN_HELLO,      /* waits for the peer's */
    CONN_CHALLENGER, /* good, but waits whether [rival] is alive */
    CONN_UP,
    CONN_CLOSING, /* said goodbye, waits for the peer's end */
    CONN_GONE     /* dead; it leaves the list at the next step, so that loops over it are safe */
};

struct target;

/* One connection, or the dial for one. */
struct conn {
    struct peers_link info; /* what others see */
    enum conn_state state;
    struct link *link;     /* NULL while dialing */
    struct target *target; /* whose dial it is; NULL: accepted, or the target is forgotten */
    struct mn_map_entry by_conn, by_link, by_node; /* by_node: UP and MEMBER */
    struct mn_list order;                          /* in peers.conns, oldest first; GONE ones too */
    struct mn_list grave;                          /* in peers.graveyard */
    struct mn_list dirty;                          /* in peers.dirty: may have something to send */
    struct mn_heap_entry timer;
    mn_time until;                   /* of the state; MN_TIME_NEVER: none */
    struct mn_buf *grant;            /* info.grant_bytes */
    struct conn *rival, *challenger; /* the link that we challenge; who waits for our answer */
    bool is_half_open, is_stranger;  /* counted as such */
    mn_time accepted_at;             /* half-open: since when */
    bool has_to_pass;                /* the gate, when its handshake begins */
    bool said_member;                /* our HELLO of a member is out */
    bool is_renewal;                 /* dialed to replace an old link to the same node */
    bool still_delivers;             /* CLOSING: envelopes under way are good */
    bool has_replaced;               /* took over from the link that [replaced] names */
    uint8_t replaced[PEERS_LINK_NAME_SIZE];
    bool peer_has_rival, peer_replaces; /* as its HELLO says of the link named [peer_rival] */
    uint8_t peer_rival[PEERS_LINK_NAME_SIZE];
    bool is_owner_paused, is_throttled, is_read_paused;
    mn_time throttled_until, renew_at;
    uint64_t guest_bytes;
    bool is_waiting;   /* GUEST: counted as such instead */
    uint32_t controls; /* admission messages counted, less what the rate allowed since */
    mn_time controls_at;
    mn_time score_at; /* mono: when info.score was last decayed */
    mn_id expected;   /* dialing a known node; else zero */
};

struct target_address {
    char text[PEERS_ADDRESS_SIZE];
    bool is_own; /* it was ourselves */
};

/* A node, or a seed's address, that we want a link to. */
struct target {
    struct mn_map_entry entry; /* by node id; a seed by its address */
    struct mn_list order;      /* in peers.targets */
    struct mn_heap_entry timer;
    bool is_seed, is_kept;
    mn_id node_id; /* of a seed: who answered last; zero: nobody yet */
    struct target_address addrs[PEERS_ADDRS_MAX];
    uint32_t addrs_count, addrs_tried; /* tried in this round */
    uint32_t dials;                    /* connections of ours that are not UP yet */
    uint32_t failures;                 /* rounds in a row */
};

struct peers {
    struct peers_config config;
    struct queue_bulk bulk; /* what waits on all links */
    char name[PEERS_TEXT_SIZE], version[PEERS_TEXT_SIZE];
    struct rng rng;
    bool has_self, is_stopping, has_said_idle;
    struct peers_self self; /* grant is [grant] */
    struct mn_buf *grant;

    struct mn_list conns, dirty, graveyard;
    struct mn_map by_conn, by_link, by_node;
    uint64_t links_next;
    struct gate *gate;
    struct mn_list targets;
    struct mn_map targets_by_key;
    struct mn_heap timers; /* of conns */
    struct mn_heap target_timers;
    mn_time sweep_at;
    struct peers_counts counts;
    uint32_t strangers; /* half-open connections from addresses of no member */

    struct peers_outbox *outbox; /* of the step that runs */
};

#define PEERS_CONN(entry_, member_) MN_CONTAINER(entry_, struct conn, member_)

/* ---- peers.c ---- */

struct peers_output *peers_emit(struct peers *peers, enum peers_output_type type);

/* ---- peers_conn.c ---- */

void peers_on_accepted(struct peers *peers, struct mn_now now, const struct peers_input *input);
void peers_on_connected(struct peers *peers, struct mn_now now, const struct peers_input *input);
void peers_on_bytes(struct peers *peers, struct mn_now now, const struct peers_input *input);
void peers_on_sent(struct peers *peers, struct mn_now now, uint64_t conn_id);
void peers_on_closed(struct peers *peers, struct mn_now now, const struct peers_input *input);
void peers_send(struct peers *peers, struct mn_now now, const struct peers_send *send);
void peers_flush(struct peers *peers, struct mn_now now);

/* A new connection in state DIALING or HANDSHAKE, with the next link number. */
struct conn *conn_new(struct peers *peers, uint64_t conn_id, enum conn_state state);
struct conn *peers_find_conn(const struct peers *peers, uint64_t conn_id);
struct conn *peers_find_link(const struct peers *peers, uint64_t link);
struct conn *peers_find_member(const struct peers *peers, const mn_id *node_id);

void conn_touch(struct peers *peers, struct conn *conn); /* it may have something to send */
void conn_set_timer(struct peers *peers, struct conn *conn);
void conn_leave_guests(struct peers *peers, struct conn *conn);
void conn_on_timer(struct peers *peers, struct mn_now now, struct conn *conn);
void conn_update_pause(struct peers *peers, struct mn_now now, struct conn *conn);

/* Closes the connection without a word, and takes it out of everything. What was UP goes DOWN with
 * [status]. */
void conn_cut(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status);

/* The same with a goodbye: the peer learns [status] and [code]. */
void conn_goodbye(struct peers *peers, struct mn_now now, struct conn *conn, mn_status status,
                  Meshnode__Trust__Code code);

/* Another link to the same node takes over: what is queued here moves to it, what is under way here
 * is still taken. */
void conn_retire(struct peers *peers, struct mn_now now, struct conn *old, struct conn *heir);

void conn_leave_half_open(struct peers *peers, struct conn *conn);

/* Fault points; may throttle or send away. */
void conn_fault(struct peers *peers, struct mn_now now, struct conn *conn, uint32_t points);
uint32_t conn_score(struct conn *conn, struct mn_now now);

/* ---- peers_hello.c ---- */

void peers_on_self(struct peers *peers, struct mn_now now, const struct peers_self *self);
void peers_sweep(struct peers *peers, struct mn_now now);
void peers_on_grant(struct peers *peers, struct mn_now now, const mn_id *node_id,
                    struct mn_span grant);
void conn_on_ready(struct peers *peers, struct mn_now now, struct conn *conn);
void conn_on_hello(struct peers *peers, struct mn_now now, struct conn *conn, struct mn_span bytes);
void conn_on_close(struct peers *peers, struct mn_now now, struct conn *conn, struct mn_span bytes);

/* The challenge is over: did the rival of [conn] prove that it lives? */
void conn_end_challenge(struct peers *peers, struct mn_now now, struct conn *conn, bool is_alive);

/* ---- peers_dial.c ---- */

void peers_on_dial(struct peers *peers, struct mn_now now, const struct peers_dial *dial);
void peers_on_forget(struct peers *peers, struct mn_now now, const struct peers_input *input);
void peers_stop_dialing(struct peers *peers, struct mn_now now);
void peers_dial_successor(struct peers *peers, struct mn_now now, struct conn *conn);
void target_on_timer(struct peers *peers, struct mn_now now, struct target *target);
void target_free(struct peers *peers, struct target *target);

/* A dial of ours ended: it is UP, or it is not going to be. */
void target_on_dial_done(struct peers *peers, struct mn_now now, struct conn *conn, bool is_up,
                         mn_status status);

/* The address is our own. */
void target_on_own(struct peers *peers, struct conn *conn);

/* There is no member link to this node any more: those who want one are due. */
void peers_on_lost(struct peers *peers, struct mn_now now, const mn_id *node_id, bool was_short);

/* Is the address one of a member that we know? */
bool peers_knows_address(const struct peers *peers, struct mn_span address);

#endif
