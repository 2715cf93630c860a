/* link.h: one connection to one peer, from its first byte to its last: preamble, Noise XX with node
 * identities, then sealed frames of items (proto/frame.h). It knows nothing of meshes, grants or
 * other links; mesh/peers.c does, and owns it.
 *
 * Reading: link_feed() borrows the bytes that came; link_next() is then called until it has nothing
 * more, before anything else happens to the link. So the owner can change the link's phase between
 * two items of one frame. Writing: link_send() and link_send_control() queue; link_flush() seals
 * what waits into one buffer, as long as no earlier buffer is outstanding. Sealing happens at send
 * time, so what waits can still be ordered, expire or move to another link.
 *
 * Anything wrong before or in a frame ends the link: LINK_CLOSED with a status, and nothing else.
 * Pure: no clock, no I/O. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/identity.h"
#include "crypto/noise.h"
#include "crypto/sign.h"
#include "mesh/queue.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/envelope.h"
#include "proto/frame.h"

/* In microseconds. */
struct link_timing {
    mn_time preamble;  /* from accepting to the whole preamble; 2 s */
    mn_time handshake; /* from accepting or connecting to its end, absolute; 5 s */
    mn_time frame;     /* a frame once begun is complete; 10 s */
    mn_time ping;      /* between pings of an open link; 5 s */
    mn_time idle;      /* nothing received for so long, though pinged; 15 s */
    mn_time stall;     /* an outstanding send does not end; 60 s */
    mn_time rekey;     /* age of a sending key; 1 h */
};

struct link_limits {
    uint64_t rekey_frames; /* sealed with one key; 2^20 */
    uint64_t rekey_bytes;  /* 4 GiB */
    size_t control_max;    /* bytes of control items that wait; 256 KiB */
    struct queue_limits queue;
};

struct link_timing link_timing_default(void);
struct link_limits link_limits_default(void);

struct link_config {
    bool is_dialer;
    const struct identity *self;          /* borrowed while the link lives */
    const mn_id *expected;                /* dialer: the peer's node id; NULL: whoever it is */
    uint8_t ephemeral_sk[NOISE_KEY_SIZE]; /* random, for this link only */
    const struct link_timing *timing;     /* borrowed while the link lives */
    const struct link_limits *limits;     /* borrowed while the link lives */
};

/* What may be received. The owner moves the link on; a frame whose kind comes too early closes it.
 */
enum link_phase {
    LINK_HANDSHAKE = 1, /* entered by link_new() */
    LINK_HELLO,         /* entered by itself after the handshake: HELLO, CLOSE, pings */
    LINK_GUEST,         /* and ADMISSION, in frames of at most 4 KiB of plaintext */
    LINK_SPONSOR,       /* and ADMISSION, in frames of any size */
    LINK_MEMBER,        /* everything */
    LINK_ENDED
};

enum link_event_type {
    LINK_NONE = 0,  /* nothing more */
    LINK_READY,     /* the handshake is done: peer's keys are known and proven */
    LINK_HELLO_IN,  /* bytes */
    LINK_ADMISSION, /* bytes */
    LINK_ENVELOPE,  /* envelope, buf */
    LINK_MALFORMED, /* a well-sealed envelope that does not decode: dropped; status */
    LINK_CLOSE_IN,  /* bytes: the peer says goodbye; the link is ENDED */
    LINK_CLOSED     /* status, garbage: the link is ENDED, the connection is to be closed */
};

/* What came before the first good byte, for the counters. */
enum link_garbage {
    LINK_GARBAGE_NONE = 0,
    LINK_GARBAGE_HTTP,
    LINK_GARBAGE_TLS,
    LINK_GARBAGE_OTHER
};

struct link_event {
    enum link_event_type type;
    mn_status status;
    enum link_garbage garbage;
    struct mn_span bytes;      /* in the arena */
    struct envelope *envelope; /* in the arena, as is what it points to, or in [buf] */
    struct mn_buf *buf;        /* NULL, or the reassembled bytes: the receiver's ref */
};

struct link_stats {
    uint64_t bytes_in, bytes_out, frames_in, frames_out, envelopes_in, envelopes_out;
    uint64_t rekeys_in, rekeys_out, malformed;
    mn_time rtt_us; /* smoothed; 0: not measured yet */
    mn_time opened; /* mono: when the handshake ended */
};

/* Who is at the other end; valid from LINK_READY on. */
struct link_peer {
    mn_id node_id;
    uint8_t sign_pk[SIGN_PK_SIZE], noise_pk[IDENTITY_NOISE_SIZE];
    uint8_t handshake[NOISE_HASH_SIZE]; /* handshake hash */
};

struct link;

/* The connection exists. A dialer has something to flush at once. */
struct link *link_new(const struct link_config *config, struct mn_now now);
void link_free(struct link *link); /* wipes the keys */

/* Borrows [bytes] until link_next() answers LINK_NONE. */
void link_feed(struct link *link, struct mn_now now, struct mn_span bytes);

/* The next event; *ret is overwritten. After LINK_CLOSED or LINK_CLOSE_IN always LINK_NONE. */
void link_next(struct link *link, struct mn_now now, struct mn_arena *arena,
               struct link_event *ret);

enum link_phase link_phase(const struct link *link);
void link_set_phase(struct link *link, enum link_phase phase); /* HELLO .. MEMBER, only forward */

/* Queues an envelope; see queue_put(). MN_STATE unless the phase is LINK_MEMBER; MN_BUSY. */
MN_MUST_USE mn_status link_send(struct link *link, struct mn_now now,
                                const struct envelope *envelope, struct mn_buf *payload,
                                uint64_t tag);

/* Queues HELLO, ADMISSION, PING or CLOSE ahead of all envelopes. After a CLOSE nothing more is
 * sent. MN_BUSY: too much waits; MN_STATE: not possible any more. */
MN_MUST_USE mn_status link_send_control(struct link *link, enum frame_kind kind,
                                        struct mn_span bytes);

/* Is there something to flush, and no send outstanding? */
bool link_can_flush(const struct link *link);

/* The next buffer to send, NULL for none; its ref is the caller's. One is outstanding at a time:
 * link_on_sent() ends it. */
struct mn_buf *link_flush(struct link *link, struct mn_now now);
void link_on_sent(struct link *link);

/* Everything is out: nothing waits and no send is outstanding. */
bool link_is_drained(const struct link *link);

/* A ping at once, whose answer is awaited until [until]: link_challenge() then says whether it
 * came. Used to find out whether a link that looks alive is. */
void link_start_challenge(struct link *link, struct mn_now now);
bool link_challenge_answered(const struct link *link);

/* Stops or starts counting silence: while the owner does not read from the connection, it proves
 * nothing. */
void link_set_paused(struct link *link, struct mn_now now, bool paused);

/* Timers: to be called at the deadline, then link_next(). */
void link_tick(struct link *link, struct mn_now now);
mn_time link_deadline(const struct link *link);

/* The queue, to look at it or to take drops from it. */
struct queue *link_queue(struct link *link);

/* Gives the queue of [from] to [to], whose own must be empty: what was not sent moves. */
void link_move_queue(struct link *from, struct link *to);

const struct link_peer *link_peer(const struct link *link);
const struct link_stats *link_stats(const struct link *link);
size_t link_queued_bytes(const struct link *link, enum envelope_priority priority);

/* The invariants, asserted. */
void link_check(const struct link *link);

#endif
