/* link_internal.h: the inside of a link, shared by link.c (life, handshake, timers) and
 * link_frames.c (frames in both directions). Nobody else includes it. */
#ifndef LINK_INTERNAL_H
#define LINK_INTERNAL_H

#include "mesh/link.h"
#include "proto/base/check.h"

/* How much bulk may be under way: see link_window.c. */
struct link_window {
    int64_t size;                   /* bytes */
    uint64_t sent, arrived, marked; /* bytes of bulk: in all, known to be there, before the mark */
    int64_t room;                   /* of the queue, before the send that is filled */
    uint64_t mark;                  /* the number of a ping whose answer is awaited; 0: none */
    mn_time mark_sent, rtt_min;     /* 0: not measured yet */
    uint64_t rate;                  /* bytes per second that arrived at best, lately */
};

struct link {
    bool is_dialer, has_expected, is_paused;
    enum link_phase phase;
    mn_id expected;
    const struct identity *self;
    const struct link_timing *timing;
    const struct link_limits *limits;
    struct link_peer peer;
    struct link_stats stats;

    struct noise *noise; /* until the handshake's end */
    struct noise_cipher send, receive;
    mn_time preamble_until, handshake_until;
    bool has_preamble;

    /* Set by link_fail() until link_next() has told. */
    bool has_failed;
    mn_status failure;
    enum link_garbage garbage;

    /* reading */
    struct mn_span input;  /* borrowed: not looked at yet */
    uint8_t *partial;      /* the beginning of a message whose rest has not come */
    size_t partial_size;   /* bytes in it */
    mn_time partial_since; /* mono; MN_TIME_NEVER: no message is begun */
    struct mn_span plain;  /* the rest of the opened frame, in the arena of the turn */
    struct mn_writer parts[ENVELOPE_PRIORITIES]; /* envelopes of which parts came */
    uint32_t parts_size[ENVELOPE_PRIORITIES];    /* of the whole; 0: none */
    mn_time heard;                               /* mono: when bytes last came */

    /* writing */
    struct mn_writer raw;     /* handshake messages that wait */
    struct mn_writer control; /* items that wait */
    size_t control_taken;     /* bytes of them that are out */
    struct queue *queue;
    bool is_sending, is_closing; /* closing: a CLOSE is queued or out */
    mn_time sending_since;
    uint64_t key_frames, key_bytes; /* sealed with the current key */
    mn_time key_since;

    struct link_window window;

    /* pings */
    mn_time ping_at, ping_sent; /* next; last, if it has no answer yet, else 0 */
    uint64_t ping_number, challenge_number, pong_number;
};

/* Ends the link; link_next() will say so. */
void link_fail(struct link *link, mn_status status);

/* The next message off the stream: MN_OK, MN_NOT_YET, or why it is none. */
MN_MUST_USE mn_status link_cut(struct link *link, struct mn_now now, size_t size_min,
                               size_t size_max, struct mn_span *ret);

/* Moves bytes of the input behind the partial message until it has [size]: true. */
bool link_collect(struct link *link, struct mn_now now, size_t size);

/* The partial message, if there was one, is used. */
void link_drop_partial(struct link *link);

/* The link, or its queue, is new. */
void link_window_begin(struct link *link);

/* Before and after a send is filled from the queue: marks what went before it, if that is due;
 * counts what it has of bulk. */
void link_window_before_send(struct link *link, struct mn_now now);
void link_window_after_send(struct link *link);

/* A ping was answered, which took [rtt]; 0: nobody knows. */
void link_window_on_pong(struct link *link, struct mn_now now, mn_time rtt);

/* False: there is no room for it. */
bool link_ping(struct link *link, struct mn_now now);

/* Handles what follows in the opened frame, or opens the next one. True: *ret is an event. False:
 * nothing more, or the link failed. */
bool link_next_item(struct link *link, struct mn_now now, struct mn_arena *arena,
                    struct link_event *ret);

#endif
