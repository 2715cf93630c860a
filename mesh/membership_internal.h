/* membership_internal.h: what the files of the membership core share; nobody else includes it.
 *
 *   membership.c         life, timers, dispatch, accessors, invariants
 *   membership_table.c   rows and the evidence that changes them
 *   membership_probe.c   pings, ping-reqs, relays, health, suspicion
 *   membership_gossip.c  packets, the queue of news
 *   membership_sync.c    push-pull
 *   membership_self.c    our own record: persisting, refuting, joining, leaving
 *   membership_link.c    who can be sent to, and whom to dial */
#ifndef MEMBERSHIP_INTERNAL_H
#define MEMBERSHIP_INTERNAL_H

#include "mesh/membership.h"
#include "proto/base/check.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/member.pb-c.h"

#define MEMBERSHIP_GOSSIP_PACKET_MAX 1200 /* bytes; fits one datagram */
#define MEMBERSHIP_GOSSIP_FANOUT 3
#define MEMBERSHIP_ANNOUNCE_FANOUT 16 /* links told of a changed record of our own at once */
#define MEMBERSHIP_HELPERS 3          /* k of SWIM */
#define MEMBERSHIP_PROBES_MAX 64
#define MEMBERSHIP_RELAYS_MAX 256
#define MEMBERSHIP_PARALLEL 5 /* probes per period; see membership_probe_period() */
#define MEMBERSHIP_HEALTH_MAX 8
#define MEMBERSHIP_CONFIRMERS_MAX 4 /* the first accuser and K = 3 more */
#define MEMBERSHIP_LINKS_MAX 1024
#define MEMBERSHIP_ITEMS_MAX 64 /* records, accusations or wanted ids of one packet */
#define MEMBERSHIP_DIGEST_SIZE 32
#define MEMBERSHIP_DIGESTS_MAX 1024 /* of one packet */
#define MEMBERSHIP_ECHOES_MAX 3

enum membership_timer_type {
    MEMBERSHIP_TIMER_PERIOD = 1,
    MEMBERSHIP_TIMER_PROBE,
    MEMBERSHIP_TIMER_RELAY,
    MEMBERSHIP_TIMER_SUSPICION,
    MEMBERSHIP_TIMER_GOSSIP,
    MEMBERSHIP_TIMER_SYNC,
    MEMBERSHIP_TIMER_SYNC_TIMEOUT,
    MEMBERSHIP_TIMER_HEAL,
    MEMBERSHIP_TIMER_SWEEP,
    MEMBERSHIP_TIMER_RECHECK,
    MEMBERSHIP_TIMER_ASK,
    MEMBERSHIP_TIMER_ANNOUNCE,
    MEMBERSHIP_TIMER_LEAVE,
};

struct membership_timer {
    struct mn_heap_entry entry;
    enum membership_timer_type type;
};

/* What a news item is about decides when it leaves: lower goes first. */
enum membership_class {
    MEMBERSHIP_NEWS_SELF,
    MEMBERSHIP_NEWS_DEAD,
    MEMBERSHIP_NEWS_SUSPECT,
    MEMBERSHIP_NEWS_LEFT,
    MEMBERSHIP_NEWS_ALIVE,
    MEMBERSHIP_NEWS_COUNT
};

/* One accusation, kept to be passed on as it came. */
struct membership_accusation {
    uint8_t bytes[ACCUSATION_SIZE_MAX];
    uint32_t size;
};

struct membership_row {
    struct member view;
    struct record *kept; /* == view.record; in the pool */

    /* Suspect or dead: the accusation that says so, to pass on; else empty. */
    struct membership_accusation accusation;

    /* Suspect only. */
    struct membership_timer suspicion;
    mn_time suspected_at;
    mn_id confirmers[MEMBERSHIP_CONFIRMERS_MAX];
    uint32_t confirmers_count;
    struct membership_accusation
        *confirmations; /* of all but the first; in the pool, may be NULL */
    uint32_t confirmations_count;

    /* News waiting to be passed on; linked to itself when there is none. */
    struct mn_list news;
    uint32_t news_sent_count;

    uint32_t order_index_plus_one; /* place in the probe order; 0: none */
    mn_time rtt_var_us;
    mn_time told_at;         /* when it was last told what is held against it */
    mn_time contested_until; /* hearsay of its death is doubted until then; 0: none heard */

    mn_id boot_before; /* boot id before the present one; two that alternate are clones */
    uint32_t boot_flips_count;
    mn_time boot_flips_since;

    struct mn_list removed; /* in core->removed once it is out of the table */
};

struct membership_link {
    mn_id node;
    uint64_t sent_incarnation; /* of our own record, as last sent there; 0: never */
    uint32_t sent_seq;
    bool sync_wanted;  /* compare tables as soon as no other comparison is under way */
    bool has_answered; /* it told what it knows of us */
};

/* One member being probed. */
struct membership_probe {
    struct membership_timer timer; /* next of: direct timeout, early verdict, end */
    struct membership_row *row;    /* NULL: free */
    uint32_t number;
    mn_time started_at, direct_until, verdict_at, ends_at;
    bool is_unreachable; /* there is no link to it */
    bool indirect_sent;
    mn_id helpers[MEMBERSHIP_HELPERS];
    uint32_t helpers_count, nacks_count;
};

/* One ping made for somebody else. */
struct membership_relay {
    struct membership_timer timer; /* when to answer NACK, then when to forget it */
    bool is_used, nack_sent;
    mn_time ends_at;
    mn_id asker, subject;
    uint32_t asker_number, number;
};

enum membership_life {
    MEMBERSHIP_ASKING = 1, /* waits to hear which incarnation others remember */
    MEMBERSHIP_SILENT,     /* the first incarnation is being persisted */
    MEMBERSHIP_LIVE,
    MEMBERSHIP_LEAVING,
    MEMBERSHIP_GONE,
};

struct membership {
    /* From the configuration. */
    const struct identity *identity;
    mn_id mesh_id, boot_id;
    struct membership_timing timing;
    const struct authority *authority;
    const struct grant_revoked *revoked;
    struct mn_trace *trace;
    uint32_t members_max;
    bool expects_peers;
    struct mn_buf **seeds;
    uint32_t seeds_count;

    struct rng rng;
    struct mn_pool pool;
    struct mn_heap timers;

    struct membership_row **rows; /* in order of node id */
    uint32_t rows_count, rows_capacity;
    uint32_t status_counts[MEMBER_LEFT + 1];
    struct mn_list removed; /* freed at the next step: outputs may still point at them */
    mn_id recheck_after;
    struct membership_timer sweep, recheck;

    /* Ourselves. */
    enum membership_life life;
    uint64_t incarnation; /* announced; 0: none yet */
    uint64_t incarnation_wanted, incarnation_persisted;
    uint64_t incarnation_heard; /* while asking: the newest that others remember */
    uint32_t seq;
    struct record_self said;
    struct mn_buf *said_texts; /* what said's spans point into */
    struct membership_row *self;
    uint8_t soft[MEMBERSHIP_SOFT_MAX];
    uint32_t soft_size;
    bool has_joined;
    mn_id echoes[MEMBERSHIP_ECHOES_MAX]; /* who holds our present record, while that matters */
    uint32_t echoes_count;
    mn_time announce_backoff;
    struct membership_timer ask, announce, leave;

    struct membership_link *links;
    uint32_t links_count, links_capacity;
    struct membership_timer heal;

    struct membership_row **order; /* alive and suspect members, shuffled */
    uint32_t order_count, order_capacity, order_next;
    struct membership_probe probes[MEMBERSHIP_PROBES_MAX];
    struct membership_relay relays[MEMBERSHIP_RELAYS_MAX];
    uint32_t number_last;
    uint32_t health;
    mn_id asks[MEMBERSHIP_ITEMS_MAX]; /* wanted from the sender of the packet being read */
    uint32_t asks_count;
    mn_time grace_until; /* after a stall no verdict before this: the inbox comes first */
    struct membership_timer period;

    struct mn_list news[MEMBERSHIP_NEWS_COUNT];
    struct membership_timer gossip;

    struct {
        bool is_active, has_after;
        mn_id peer, after;
        uint32_t number;
        uint32_t width; /* digests in one question: few while tables differ a lot */
    } sync;
    struct membership_timer sync_next, sync_timeout;

    struct membership_stats stats;

    /* Of the step under way. */
    bool is_started;
    struct mn_now now;
    struct membership_outbox *outbox;
};

/* ---- membership.c ---- */
struct membership_output *membership_emit(struct membership *core,
                                          enum membership_output_type type);
void membership_emit_member(struct membership *core, enum membership_output_type type,
                            const struct membership_row *row);
void membership_arm(struct membership *core, struct membership_timer *timer, mn_time at);
static inline struct mn_arena *membership_arena(struct membership *core)
{
    return core->outbox->arena;
}

/* Members that answer or may still answer, ourselves included once announced. */
static inline uint32_t membership_live_count(const struct membership *core)
{
    return core->status_counts[MEMBER_ALIVE] + core->status_counts[MEMBER_SUSPECT];
}

static inline bool membership_row_is_live(const struct membership_row *row)
{
    return row->view.status == MEMBER_ALIVE || row->view.status == MEMBER_SUSPECT;
}

static inline struct mn_span
membership_accusation_span(const struct membership_accusation *accusation)
{
    return mn_span(accusation->bytes, accusation->size);
}

/* floor(log10(n) * 10) of n >= 1. */
uint32_t membership_log10_tenths(uint32_t n);

/* ---- membership_table.c ---- */
struct membership_row *membership_table_find(const struct membership *core, const mn_id *node);

/* Index of the first row whose id is > [after], or 0 with [after] NULL. */
uint32_t membership_table_after(const struct membership *core, const mn_id *after);

/* The newest record of ourselves goes into the table; never NULL. */
struct membership_row *membership_table_set_self(struct membership *core, struct mn_span record);

/* Evidence from [from], in any order and state: checked first, then believed or not. */
void membership_table_on_record(struct membership *core, const mn_id *from, struct mn_span bytes);
void membership_table_on_accusation(struct membership *core, const mn_id *from,
                                    struct mn_span bytes);

/* Our own verdicts. */
void membership_table_suspect(struct membership *core, struct membership_row *row);
void membership_table_bury(struct membership *core, struct membership_row *row);

void membership_table_sweep(struct membership *core);
void membership_table_recheck(struct membership *core);
void membership_table_free_removed(struct membership *core);
void membership_table_done(struct membership *core);

/* ---- membership_probe.c ---- */
void membership_probe_period(struct membership *core);
void membership_probe_on_timer(struct membership *core, struct membership_probe *probe);
void membership_probe_on_relay_timer(struct membership *core, struct membership_relay *relay);

/* Probes [row] at once, unless that is under way. */
void membership_probe_start(struct membership *core, struct membership_row *row);
void membership_probe_restart(struct membership *core, struct membership_row *row);
void membership_probe_on_unreachable(struct membership *core, const mn_id *node);
void membership_probe_on_link_up(struct membership *core, const mn_id *node);
void membership_probe_on_ping(struct membership *core, const mn_id *from,
                              const Meshnode__Member__Packet *packet);
void membership_probe_on_ack(struct membership *core, const mn_id *from,
                             const Meshnode__Member__Packet *packet);
void membership_probe_on_ping_req(struct membership *core, const mn_id *from,
                                  const Meshnode__Member__Packet *packet);
void membership_probe_on_nack(struct membership *core, const mn_id *from,
                              const Meshnode__Member__Packet *packet);

/* A live row joins the probe order at a random place; any other row leaves it. */
void membership_probe_track(struct membership *core, struct membership_row *row);
void membership_probe_forget(struct membership *core, struct membership_row *row);
void membership_probe_forget_all(struct membership *core);

/* The health score moves within 0..8. */
void membership_probe_add_health(struct membership *core, int32_t delta);
mn_time membership_suspicion_us(const struct membership *core, uint32_t confirmations);

/* ---- membership_gossip.c ---- */

/* A packet being written. It keeps to its limit by refusing what does not fit. */
struct membership_draft {
    Meshnode__Member__Packet message;
    ProtobufCBinaryData records[MEMBERSHIP_ITEMS_MAX], accusations[MEMBERSHIP_ITEMS_MAX];
    size_t left; /* bytes */
};

void membership_draft_init(struct membership_draft *draft, Meshnode__Member__Packet__Type type,
                           size_t limit);
bool membership_draft_add_record(struct membership_draft *draft, struct mn_span record);
bool membership_draft_add_accusation(struct membership_draft *draft, struct mn_span accusation);

/* The row's record, and its accusation if it has one; all or nothing. */
bool membership_draft_add_row(struct membership_draft *draft, const struct membership_row *row);

/* Our record, unless the link to [to] had it; and what is held against [to]. */
void membership_draft_add_greeting(struct membership *core, struct membership_draft *draft,
                                   const mn_id *to);

/* Fills the rest with news and emits the packet. */
void membership_draft_send(struct membership *core, struct membership_draft *draft,
                           const mn_id *to);

/* The row changed: tell others. */
void membership_gossip_news(struct membership *core, struct membership_row *row);
void membership_gossip_drop(struct membership_row *row);
void membership_gossip_round(struct membership *core);

/* Sends a member what is held against it, so that it can refute; at most twice per period. */
void membership_gossip_tell(struct membership *core, struct membership_row *row);

/* Sends the rows of these ids that we have. */
void membership_gossip_answer_wanted(struct membership *core, const mn_id *to,
                                     struct mn_span wanted);

/* Remembers to ask the sender of the packet being read for a row, and asks at its end. */
void membership_gossip_want(struct membership *core, const mn_id *node);
void membership_gossip_ask(struct membership *core, const mn_id *from);

/* ---- membership_sync.c ---- */
void membership_sync_round(struct membership *core);
void membership_sync_timeout(struct membership *core);
void membership_sync_next(struct membership *core);
void membership_sync_on_link_down(struct membership *core, const mn_id *node);
void membership_sync_on_ask(struct membership *core, const mn_id *from,
                            const Meshnode__Member__Packet *packet);
void membership_sync_on_answer(struct membership *core, const mn_id *from,
                               const Meshnode__Member__Packet *packet);
void membership_sync_write_digest(const struct membership_row *row,
                                  uint8_t digest[MEMBERSHIP_DIGEST_SIZE]);

/* ---- membership_self.c ---- */
void membership_self_start(struct membership *core);
mn_status membership_self_set(struct membership *core, const struct record_self *self);
void membership_self_on_change(struct membership *core, const struct record_self *self);
void membership_self_on_persisted(struct membership *core, uint64_t incarnation);

/* Evidence about ourselves. */
void membership_self_on_record(struct membership *core, const mn_id *from,
                               const struct record *record);
void membership_self_on_accusation(struct membership *core, const mn_id *from,
                                   const struct accusation *accusation);
void membership_self_on_announce(struct membership *core, const mn_id *from,
                                 const Meshnode__Member__Packet *packet);
void membership_self_on_have(struct membership *core, const mn_id *from,
                             const Meshnode__Member__Packet *packet);
void membership_self_on_link_up(struct membership *core, struct membership_link *link);
void membership_self_ask_timeout(struct membership *core);
void membership_self_announce_again(struct membership *core);
/* To be called whenever the number of echoes, or of members that could echo, has changed. */
void membership_self_check_joined(struct membership *core);
void membership_self_check_left(struct membership *core);
void membership_self_leave(struct membership *core);
void membership_self_leave_done(struct membership *core);

/* ---- membership_link.c ---- */
struct membership_link *membership_link_find(const struct membership *core, const mn_id *node);
void membership_link_up(struct membership *core, const mn_id *node, struct mn_span record);
void membership_link_down(struct membership *core, const mn_id *node, bool was_reset);

/* Up to [count] different linked nodes at random, never [but]; with [is_live] none that is held for
 * dead or gone. */
uint32_t membership_link_draw(struct membership *core, const mn_id *but, bool is_live,
                              uint32_t count, mn_id *ret);
void membership_link_dial(struct membership *core, const struct membership_row *row);
void membership_link_heal(struct membership *core);

#endif
