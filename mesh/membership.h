/* membership.h: who is in the mesh, and who of them answers. SWIM (Das, Gupta, Motivala, DSN 2002)
 * with Lifeguard (Dadgar, Phillips, Currey, DSN 2018) and push-pull anti-entropy. Unlike in the
 * papers members are known by key, not by address; a member's record is signed by itself, an
 * accusation by its accuser; and a dead member's row is kept until its grant expires, so that an
 * old record stays refused and a healed partition finds the other side again.
 *
 * Order of evidence: the higher incarnation wins; at equal incarnation left > dead > suspect >
 * alive; among records of one incarnation the higher seq. Only the subject can raise its
 * incarnation, and it persists the new one before it announces it.
 *
 * What is known here is advice: route away from a suspect, move work off the dead, but let no
 * safety argument depend on it. Pure: no clock, socket, disk or global; memory beyond the tables is
 * bounded by config.memory_max. */
#ifndef MEMBERSHIP_H
#define MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/rng.h"
#include "mesh/record.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"

#define MEMBERSHIP_MEMBERS_MAX 10000
#define MEMBERSHIP_SEEDS_MAX 64
#define MEMBERSHIP_PACKET_MAX 65536 /* bytes; what is not an answer to a sync stays below 1,200 */
#define MEMBERSHIP_SOFT_MAX 24      /* bytes of load that ride on an ack */

struct membership; /* opaque */

/* All in microseconds, each > 0. The bounds that follow from the defaults, for up to ten nodes: a
 * frozen node is suspect within 3 s and dead within 14 s, a killed one (its links reset) is dead
 * within 9 s. */
struct membership_timing {
    mn_time period;          /* T: one probe round; 1 s */
    mn_time gossip_interval; /* 200 ms */
    mn_time sync_interval;   /* push-pull, for up to 32 members; 30 s */
    mn_time heal_interval;   /* dialing the dead, +-50%; 30 s */
    mn_time leave_timeout;   /* 2 s */
};

struct membership_timing membership_timing_default(void);

struct membership_config {
    const struct identity *identity; /* borrowed while the core lives */
    mn_id mesh_id;
    mn_id boot_id;               /* new at every start */
    uint64_t incarnation;        /* the last one persisted; 0: none is known */
    bool expects_peers;          /* it joins others: joined only when one of them says so, and with
                                  * incarnation 0 it first asks them for its old one */
    struct record_self self;     /* copied; self.grant is needed */
    const struct mn_span *seeds; /* addresses dialed while no link is up; copied */
    uint32_t seeds_count;        /* 0 .. MEMBERSHIP_SEEDS_MAX */
    const struct authority *authority;   /* borrowed until MEMBERSHIP_IN_TRUST replaces them */
    const struct grant_revoked *revoked; /* may be NULL */
    uint32_t members_max;                /* 1 .. MEMBERSHIP_MEMBERS_MAX, tombstones included */
    size_t memory_max;                   /* bytes for rows and records; about 2 KiB per member */
    struct membership_timing timing;
    uint8_t seed[RNG_SEED_SIZE]; /* same seed, same inputs: same outputs */
    struct mn_trace *trace;      /* may be NULL */
};

enum member_status { MEMBER_ALIVE = 1, MEMBER_SUSPECT, MEMBER_DEAD, MEMBER_LEFT };

/* "alive", "suspect", "dead", "left". */
const char *member_status_name(enum member_status status);

/* One row as others see it; our own is among them once it is announced. Borrowed until the next
 * step. */
struct member {
    mn_id node_id;
    enum member_status status;
    uint64_t incarnation;        /* of all admitted evidence; never falls */
    const struct record *record; /* never NULL; record->grant.name is the name */
    mn_time since;               /* mono: when it took this status here */
    mn_time last_seen;           /* mono: when a packet of its own last came; 0: never */
    mn_time rtt_us;              /* smoothed round trip of direct probes; 0: not measured */
    bool is_self, is_linked;
    bool is_conflicted; /* two processes use its key: do not route to it */
};

enum membership_input_type {
    MEMBERSHIP_IN_TICK = 1,    /* the deadline is reached; the only input that lets timers fire */
    MEMBERSHIP_IN_PACKET,      /* from a member's link */
    MEMBERSHIP_IN_LINK_UP,     /* a member link is up; an old one to the same node is replaced */
    MEMBERSHIP_IN_LINK_DOWN,   /* a reset is evidence: the node is probed at once */
    MEMBERSHIP_IN_UNREACHABLE, /* the answer to MEMBERSHIP_OUT_SEND when there is no link */
    MEMBERSHIP_IN_PERSISTED,   /* the answer to MEMBERSHIP_OUT_PERSIST, once synced */
    MEMBERSHIP_IN_SET_SELF,    /* something changed: seq + 1, signed and announced at once */
    MEMBERSHIP_IN_SOFT,        /* what the next acks carry */
    MEMBERSHIP_IN_TRUST,       /* authority or revocations changed: every row is checked again */
    MEMBERSHIP_IN_LEAVE,       /* say goodbye; ends with MEMBERSHIP_OUT_LEAVE_DONE */
};

struct membership_input {
    enum membership_input_type type;
    union {
        struct {
            mn_id from;
            struct mn_span bytes;
        } packet;
        struct {
            mn_id node;
            struct mn_span record;
        } link_up; /* its record, or empty */
        struct {
            mn_id node;
            bool was_reset;
        } link_down;
        struct {
            mn_id node;
        } unreachable;
        struct {
            uint64_t incarnation;
        } persisted;
        struct {
            const struct record_self *self;
        } set_self; /* copied; replaces all of it */
        struct {
            struct mn_span bytes;
        } soft; /* at most MEMBERSHIP_SOFT_MAX */
        struct {
            const struct authority *authority;
            const struct grant_revoked *revoked;
        } trust;
    };
};

enum membership_output_type {
    MEMBERSHIP_OUT_SEND = 1,       /* a packet to a node, over its link */
    MEMBERSHIP_OUT_DIAL,           /* try for a link: to a member without one, or to a seed */
    MEMBERSHIP_OUT_PERSIST,        /* store the incarnation, sync, answer PERSISTED */
    MEMBERSHIP_OUT_ALIVE,          /* .member: new, or back */
    MEMBERSHIP_OUT_SUSPECT,        /* .member: route away */
    MEMBERSHIP_OUT_DEAD,           /* .member */
    MEMBERSHIP_OUT_LEFT,           /* .member: went on purpose */
    MEMBERSHIP_OUT_RECORD_CHANGED, /* .member: a newer record of a member that stays what it is */
    MEMBERSHIP_OUT_SELF_CHANGED,   /* .member: our own row: announced, or announced anew */
    MEMBERSHIP_OUT_REMOVED,        /* .node: its grant ended or was revoked; the row is gone */
    MEMBERSHIP_OUT_KEY_CONFLICT,   /* .member: is_conflicted became true */
    MEMBERSHIP_OUT_JOINED,         /* min(2, others) members hold our record; once */
    MEMBERSHIP_OUT_LEAVE_DONE,     /* min(3, others) members know, or the time is up */
    MEMBERSHIP_OUT_SOFT,           /* the load a member reported */
    MEMBERSHIP_OUT_TRUST_NEEDED,   /* .node sent a grant made under a newer authority */
    MEMBERSHIP_OUT_FAULT,          /* .fault: a member passed on something it should have refused */
};

struct membership_output {
    enum membership_output_type type;
    union {
        struct {
            mn_id to;
            struct mn_span packet;
        } send; /* in the outbox's arena */
        struct {
            mn_id node; /* zero: a seed, whoever it is */
            struct mn_span addrs[RECORD_ADDRS_MAX];
            uint32_t addrs_count;
        } dial;
        struct {
            uint64_t incarnation;
            bool is_reborn; /* others remember a life of ours that we do not */
        } persist;
        const struct member *member; /* until the next step */
        mn_id node;
        struct {
            mn_id node;
            struct mn_span bytes;
        } soft;
        struct {
            mn_id node;
            mn_status status;
        } fault;
    };
};

/* A step appends; the owner clears it between turns and resets the arena. */
struct membership_outbox {
    struct membership_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

/* MN_CONFIG: a field is outside its stated range, or the record would not fit; *ret is then
 * untouched. The first step asks for MEMBERSHIP_OUT_PERSIST. */
MN_MUST_USE mn_status membership_new(const struct membership_config *config,
                                     struct membership **ret);
void membership_free(struct membership *membership);

/* Never fails. Input from others that is wrong is counted and dropped. [now].mono never goes back.
 */
void membership_step(struct membership *membership, struct mn_now now,
                     const struct membership_input *input, struct membership_outbox *outbox);

/* When the next MEMBERSHIP_IN_TICK is due (mono), or MN_TIME_NEVER. Ticking early is harmless. */
mn_time membership_deadline(const struct membership *membership);

/* Asserts the invariants; for tests and the simulator. */
void membership_check(const struct membership *membership);

/* ---- looking ---- */

/* NULL when there is no such row. */
const struct member *membership_find(const struct membership *membership, const mn_id *node);

/* Rows in order of node id: starts with NULL, ends with NULL. */
const struct member *membership_next(const struct membership *membership,
                                     const struct member *member);

/* Our own row; NULL until it is announced. */
const struct member *membership_self(const struct membership *membership);

bool membership_has_joined(const struct membership *membership);

/* Rows of one status, ourselves included. */
uint32_t membership_count(const struct membership *membership, enum member_status status);

struct membership_stats {
    uint32_t health; /* Lifeguard's local health multiplier, 0 (well) .. 8 */
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t packets_refused;     /* did not decode, or out of bounds */
    uint64_t records_refused;     /* signature, key or grant is wrong */
    uint64_t records_stale;       /* not newer than what is held */
    uint64_t accusations_refused; /* signature wrong, accuser or subject unknown */
    uint64_t table_full;          /* records dropped because the table or its memory was full */
    uint64_t probes_failed, refutations, conflicts;
};

struct membership_stats membership_stats(const struct membership *membership);

#endif
