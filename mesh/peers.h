/* peers.h: all connections of a node: who may connect, whom we dial, who is a member, a guest or a
 * stranger, and which of two links to one node stays.
 *
 *   member   both are members of one mesh: envelopes travel
 *   guest    it wants in; we are a member: only admission messages travel
 *   sponsor  we want in; it is a member: only admission messages travel
 *
 * The owner passes connection events in and carries out DIAL, SEND, PAUSE and CLOSE. Every link has
 * a number that is never used twice. UP comes when both HELLOs are in; from then on the link is
 * usable until its DOWN. When a guest or sponsor link becomes a member link, the same link comes UP
 * again with kind MEMBER. There is at most one member link per node: a second one that replaces the
 * first gives DOWN{MN_EXISTS} for the old link and at once UP for the new one; what was queued
 * moves to it, so the node was never away.
 *
 * Envelopes are batched: nothing is sealed before PEERS_IN_TURN_END, which must end each turn.
 *
 * Pure: no clock, no I/O; randomness from the seed. */
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/rng.h"
#include "mesh/link.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/envelope.h"
#include "proto/trust.pb-c.h"
#include "proto/wire.pb-c.h"

#define PEERS_ADDRESS_SIZE 160 /* characters of an address "host:port", NUL included */
#define PEERS_ADDRS_MAX 4      /* addresses of one node */
#define PEERS_TEXT_SIZE 64     /* name, version; NUL included */

typedef Meshnode__Wire__HelloKind peers_hello;

/* In microseconds. */
struct peers_timing {
    struct link_timing link;
    mn_time hello;       /* from the end of the handshake to the HELLO; 5 s */
    mn_time dial;        /* from DIAL to CONNECTED; 5 s */
    mn_time stagger;     /* between dials of two addresses of one node; 250 ms */
    mn_time backoff_min; /* after the first failed dial, then doubling, jittered; 100 ms */
    mn_time backoff_max; /* 30 s */
    mn_time challenge;   /* for a link to prove that it lives; 1 s */
    mn_time guest;       /* life of a guest link; 30 s */
    mn_time wait;        /* of one that waits, from each PEERS_IN_WAIT on; 150 s */
    mn_time drain;       /* for a closing link to say goodbye; 1 s */
    mn_time renew;       /* age at which a link gets a successor with new keys; 24 h */
};

struct peers_limits {
    struct link_limits link;
    uint32_t half_open; /* accepted, no HELLO yet; half are kept for members' addresses; 64. When
                           all are taken, one that does not do its part gives way */
    uint32_t guests;    /* 64 */
    uint32_t members;   /* member links; 1,024 */
    uint32_t dials;     /* outstanding at once; 64 */
    uint32_t targets;   /* nodes and seeds to dial; 10,064 */
    size_t bulk_max;    /* bytes of low and background envelopes that wait on all links; 384 MiB */
};

struct peers_timing peers_timing_default(void);
struct peers_limits peers_limits_default(void);

struct peers_config {
    const struct identity *self; /* borrowed, outlives the core */
    mn_id boot_id;
    const char *name, *version; /* shown to members; copied */
    bool dev;                   /* a mesh of one machine */
    struct peers_timing timing;
    struct peers_limits limits;
    uint64_t *conns_next; /* id for the next dial; raised by conns_step. Outlives the core */
    uint64_t conns_step;
    uint8_t seed[RNG_SEED_SIZE];
    struct mn_trace *trace; /* may be NULL */
};

/* What we are at the moment; borrowed spans are copied, pointers stay until the next PEERS_IN_SELF.
 */
struct peers_self {
    peers_hello hello;                   /* MEMBER, JOIN or RENEW */
    mn_id mesh_id;                       /* zero: unknown */
    struct mn_span grant;                /* Signed Grant; empty: none */
    const struct authority *authority;   /* NULL before a mesh is known */
    const struct grant_revoked *revoked; /* may be NULL */
};

enum peers_input_type {
    PEERS_IN_TICK = 1,
    PEERS_IN_TURN_END, /* seal and send what waits */

    /* The outside; unknown connections are ignored. */
    PEERS_IN_ACCEPTED,  /* conn, address "ip:port" */
    PEERS_IN_CONNECTED, /* conn, address */
    PEERS_IN_BYTES,     /* conn, bytes */
    PEERS_IN_SENT,      /* conn */
    PEERS_IN_CLOSED,    /* conn, status: also for a dial that failed */

    /* The owner. */
    PEERS_IN_SELF,     /* self: at the start, and whenever it changes. All links are checked again;
                          sponsor links on which we are no longer a guest become member links */
    PEERS_IN_DIAL,     /* dial: wish for a link */
    PEERS_IN_FORGET,   /* node_id, or addresses: no longer wished for; links stay */
    PEERS_IN_SEND,     /* send: to a member link. What cannot be sent comes back as UNSENT */
    PEERS_IN_CONTROL,  /* link, bytes, is_refusal: an admission message */
    PEERS_IN_ADMITTED, /* link: the guest has its grant; it now has time to say so */
    PEERS_IN_WAIT,  /* link: the guest waits for people; it is kept for timing.wait more, and does
                       not count among the guests any more. Who may wait, the owner bounds */
    PEERS_IN_CLOSE, /* link, status, code: goodbye */
    PEERS_IN_DISCONNECT, /* node_id, status, code: goodbye to its member link, if there is one */
    PEERS_IN_GRANT,      /* node_id, bytes: a newer Signed Grant, from its record */
    PEERS_IN_FAULT,      /* node_id, points: it sent what an honest node would not */
    PEERS_IN_PAUSE,      /* link, flag: stop (or go on) reading from it */
    PEERS_IN_STOP        /* goodbye to all, no more dials, no more guests; IDLE when done */
};

struct peers_dial {
    mn_id node_id; /* zero: a seed, whoever it is; then each address is its own wish */
    struct mn_span addrs[PEERS_ADDRS_MAX];
    uint32_t addrs_count;
    bool is_kept; /* try again for ever, also when the link is lost; else one round, then forget.
                     A second wish for the same node replaces its addresses, and is tried at once */
};

struct peers_send {
    mn_id node_id;
    const struct envelope *envelope; /* payload is set; destination and source may be absent */
    struct mn_buf
        *payload; /* holds exactly envelope->payload, a ref is taken; NULL: it is copied */
    uint64_t tag; /* for UNSENT; 0: nobody wants to know */
};

#define PEERS_FAULT_SIGNATURE 100u /* passed on something whose signature is bad */
#define PEERS_FAULT_MALFORMED 50u
#define PEERS_FAULT_RATE 10u     /* it says more than an honest node has to */
#define PEERS_CONTROLS_RATE 100u /* admission messages of a member: per second */
#define PEERS_CONTROLS_BURST 2000u

struct peers_input {
    enum peers_input_type type;
    uint64_t conn, link;
    mn_id node_id;
    mn_status status;
    Meshnode__Trust__Code code;
    uint32_t points;
    bool flag; /* PAUSE: stop; CONTROL: this is a refusal */
    struct mn_span bytes, address;
    union {
        const struct peers_self *self;
        const struct peers_dial *dial;
        const struct peers_send *send;
    };
};

enum peers_kind { PEERS_MEMBER = 1, PEERS_GUEST, PEERS_SPONSOR };

/* A link that is UP, or was until its DOWN. */
struct peers_link {
    uint64_t link, conn;
    enum peers_kind kind;
    bool is_dialer, is_loopback;
    bool is_paused; /* by us */
    mn_id node_id;
    const struct link_peer *peer;     /* keys, handshake hash */
    char address[PEERS_ADDRESS_SIZE]; /* as the driver saw it, "ip:port" */
    char dialed[PEERS_ADDRESS_SIZE];  /* as we asked for it; empty: it was accepted */
    mn_time since;                    /* mono */

    /* From its HELLO; a guest shows no name, a member shows a guest only mesh id and grant. */
    peers_hello hello;
    mn_id mesh_id, boot_id;
    uint64_t wall_ms;
    int64_t wall_difference_ms; /* its clock less ours */
    uint8_t pin[DIGEST_PIN_SIZE];
    struct mn_span grant_bytes; /* Signed Grant */
    struct grant grant;         /* decoded; MEMBER only */
    uint32_t protocol_min, protocol_max;
    bool is_dev;
    char name[PEERS_TEXT_SIZE], version[PEERS_TEXT_SIZE];
    /* GUEST: not 0 when it must be refused (identity_in_use, dev_mismatch): the owner tells
     * admission so. */
    Meshnode__Trust__Code refuse;
    uint32_t score; /* faults, decaying */
};

enum peers_output_type {
    /* For the driver. */
    PEERS_OUT_DIAL = 1, /* conn, address */
    PEERS_OUT_SEND,     /* conn, buf */
    PEERS_OUT_PAUSE,    /* conn, flag */
    PEERS_OUT_CLOSE,    /* conn: after the outstanding send */

    /* For the owner. */
    PEERS_OUT_UP,       /* info */
    PEERS_OUT_DOWN,     /* link, node_id, kind, status, info: see below */
    PEERS_OUT_ENVELOPE, /* link, node_id, envelope: of a member link */
    PEERS_OUT_CONTROL,  /* link, node_id, kind, bytes: an admission message */
    PEERS_OUT_UNSENT,   /* node_id, tag, status: certainly not sent */
    PEERS_OUT_REFUSED,  /* node_id, address, status, code, flag, wall_ms: a handshaken peer that is
                           not let in (flag: it refused us; wall_ms: its clock, 0 without a HELLO);
                           for `code` see meshnode.trust.Code */
    PEERS_OUT_OWN_ADDRESS, /* address: it is ourselves; not dialed again */
    PEERS_OUT_DIAL_FAILED, /* node_id, address, status */
    PEERS_OUT_IDLE         /* after STOP: no connection is left */
};

/* DOWN: all UNSENT of the link come before it. [status]: MN_CLOSED the peer said goodbye; MN_IO the
 * connection was reset or ended without a goodbye: evidence that the process is gone; MN_TIMEOUT;
 * MN_EXISTS replaced by another link to the same node; MN_OK we closed it; MN_CRYPTO, MN_MALFORMED,
 * MN_TOO_BIG garbage; MN_EXPIRED, MN_REVOKED and the like: its grant. UNSENT: MN_NOT_FOUND there is
 * no member link; MN_BUSY the queue is full, or it was shed; MN_EXPIRED; MN_CLOSED the link died;
 * MN_TOO_BIG, MN_CONFIG the envelope is not one. */
struct peers_output {
    enum peers_output_type type;
    mn_status status;
    enum peers_kind kind;
    Meshnode__Trust__Code code;
    bool flag;
    uint64_t conn, link, tag, wall_ms;
    mn_id node_id;
    union {
        struct mn_buf *buf; /* SEND: the outbox's own ref */
        struct {
            const struct envelope *envelope; /* ENVELOPE */
            struct mn_buf *parts;            /* the outbox's own ref, or NULL */
        };
        struct mn_span bytes;
        struct mn_span address;
        const struct peers_link *info; /* until the next step; see DOWN */
    };
};

/* In the order they happened. The caller owns [arena]; a step appends. Spans and envelopes live
 * until the reset of the outbox and the arena. */
struct peers_outbox {
    struct peers_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

/* Lets go of the buffers and empties the outbox; the arena is the caller's to reset. */
void peers_outbox_reset(struct peers_outbox *outbox);

struct peers;

/* Never NULL. Links start once there was a PEERS_IN_SELF. */
struct peers *peers_new(const struct peers_config *config);
void peers_free(struct peers *peers);

/* Advances to [now] and handles [input], borrowed for the call. Never fails. */
void peers_step(struct peers *peers, struct mn_now now, const struct peers_input *input,
                struct peers_outbox *outbox);

/* When the next PEERS_IN_TICK is due (mono), or MN_TIME_NEVER. */
mn_time peers_deadline(const struct peers *peers);

/* The invariants, asserted. */
void peers_check(const struct peers *peers);

/* ---- looking; borrowed until the next step ---- */

/* The member link of a node; NULL: none. */
const struct peers_link *peers_find(const struct peers *peers, const mn_id *node_id);

/* A link that is UP, by number; NULL: none. */
const struct peers_link *peers_get(const struct peers *peers, uint64_t link);

/* All links that are UP, oldest first: starts and ends with NULL. */
const struct peers_link *peers_next(const struct peers *peers, const struct peers_link *link);

const struct link_stats *peers_link_stats(const struct peers_link *link);
/* How long a node that misbehaved is still sent away; 0: it is not. */
mn_time peers_banned_for(const struct peers *peers, struct mn_now now, const mn_id *node_id);

size_t peers_link_queued(const struct peers_link *link, enum envelope_priority priority);

struct peers_counts {
    uint32_t half_open, guests, members, dials, targets;    /* now */
    uint32_t waiting;                                       /* guests that wait for people */
    uint64_t garbage_http, garbage_tls, garbage_other;      /* wrong first bytes */
    uint64_t refused_rate, refused_half_open, refused_full; /* closed unread */
    uint64_t evicted; /* half-open ones that gave way to newcomers */
    uint64_t handshakes_failed, handshakes_done, dials_failed;
    uint64_t envelopes_malformed, envelopes_unsupported, controls_refused;
    uint64_t unsent, replaced, challenged, banned, over_rate;
};

struct peers_counts peers_counts(const struct peers *peers);

#endif
