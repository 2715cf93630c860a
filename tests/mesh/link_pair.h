/* link_pair.h: two links back to back in memory, with virtual time and bytes cut as the test says.
 */
#ifndef TESTS_MESH_LINK_PAIR_H
#define TESTS_MESH_LINK_PAIR_H

#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "mesh/link.h"

#define EVENTS_MAX 65536

/* What a link said, kept past the turn. */
struct seen {
    enum link_event_type type;
    mn_status status;
    enum link_garbage garbage;
    struct mn_buf *bytes; /* of HELLO, ADMISSION, CLOSE; of an envelope: its payload */
    uint64_t sequence;
    enum envelope_priority priority;
};

struct end {
    struct identity identity;
    struct link *link;
    struct mn_writer wire; /* bytes on the way to this end */
    size_t wire_taken;
    struct seen *seen;
    uint32_t seen_count;
    bool is_stuck; /* its driver never reports SENT */
};

struct pair {
    struct mn_now now;
    struct mn_arena arena;
    struct link_timing timing;
    struct link_limits limits;
    struct end dialer, acceptor;
    size_t chunk; /* bytes per delivery; 0: all at once */
};

static inline void end_init(struct end *end, uint8_t seed_byte)
{
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(seed, seed_byte, sizeof seed);
    identity_init(&end->identity, seed);
    end->seen = calloc(EVENTS_MAX, sizeof *end->seen);
}

static inline struct link *end_link(struct pair *pair, struct end *end, bool is_dialer,
                                    const mn_id *expected)
{
    struct link_config config = {.is_dialer = is_dialer,
                                 .self = &end->identity,
                                 .expected = expected,
                                 .timing = &pair->timing,
                                 .limits = &pair->limits};

    memset(config.ephemeral_sk, is_dialer ? 0x11 : 0x22, sizeof config.ephemeral_sk);
    return link_new(&config, pair->now);
}

/* Sets up identities and limits; the links come with pair_connect(). */
static inline struct pair *pair_new(void)
{
    struct pair *pair = calloc(1, sizeof *pair);

    pair->now = (struct mn_now){MN_SEC, 1700000000 * MN_SEC};
    pair->timing = link_timing_default();
    pair->limits = link_limits_default();
    end_init(&pair->dialer, 1);
    end_init(&pair->acceptor, 2);
    return pair;
}

static inline void pair_connect(struct pair *pair)
{
    pair->dialer.link = end_link(pair, &pair->dialer, true, NULL);
    pair->acceptor.link = end_link(pair, &pair->acceptor, false, NULL);
}

/* What was seen so far does not matter. */
static inline void end_forget(struct end *end)
{
    for (uint32_t i = 0; i < end->seen_count; i++)
        mn_buf_unref(end->seen[i].bytes);
    end->seen_count = 0;
}

static inline void end_free(struct end *end)
{
    link_free(end->link);
    mn_writer_drop(&end->wire);
    end_forget(end);
    free(end->seen);
}

static inline void pair_free(struct pair *pair)
{
    end_free(&pair->dialer);
    end_free(&pair->acceptor);
    mn_arena_done(&pair->arena);
    free(pair);
}

static inline void end_keep(struct end *end, const struct link_event *event)
{
    struct seen *seen = &end->seen[end->seen_count++];

    ck_assert_uint_lt(end->seen_count, EVENTS_MAX);
    *seen = (struct seen){.type = event->type, .status = event->status, .garbage = event->garbage};
    if (event->type == LINK_ENVELOPE) {
        seen->bytes = mn_buf_copy(event->envelope->payload);
        seen->sequence = event->envelope->sequence;
        seen->priority = event->envelope->priority;
    } else {
        seen->bytes = mn_buf_copy(event->bytes);
    }
    mn_buf_unref(event->buf);
}

/* Feeds bytes to one end and takes all events. */
static inline void end_feed(struct pair *pair, struct end *end, struct mn_span bytes)
{
    struct link_event event;

    link_feed(end->link, pair->now, bytes);
    for (;;) {
        link_next(end->link, pair->now, &pair->arena, &event);
        if (event.type == LINK_NONE) break;
        end_keep(end, &event);
    }
    link_check(end->link);
    mn_arena_reset(&pair->arena);
}

/* Moves what [from] has to send onto the wire of [to]. */
static inline bool end_flush(struct pair *pair, struct end *from, struct end *to)
{
    struct mn_buf *buf = link_flush(from->link, pair->now);

    if (buf == NULL) return false;
    mn_writer_add(&to->wire, mn_buf_span(buf));
    mn_buf_unref(buf);
    if (!from->is_stuck) link_on_sent(from->link);
    return true;
}

static inline bool end_deliver(struct pair *pair, struct end *end)
{
    size_t left = mn_writer_size(&end->wire) - end->wire_taken;
    size_t size = pair->chunk == 0 || pair->chunk > left ? left : pair->chunk;
    struct mn_buf *bytes;

    if (left == 0) return false;
    bytes = mn_buf_copy(mn_span(end->wire.buf->bytes + end->wire_taken, size)); /* exact for ASan */
    end->wire_taken += size;
    if (end->wire_taken == mn_writer_size(&end->wire)) {
        mn_writer_drop(&end->wire);
        end->wire_taken = 0;
    }
    end_feed(pair, end, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    return true;
}

/* Runs until nothing moves. */
static inline void pair_run(struct pair *pair)
{
    bool moved;

    do {
        moved = end_flush(pair, &pair->dialer, &pair->acceptor);
        moved |= end_flush(pair, &pair->acceptor, &pair->dialer);
        moved |= end_deliver(pair, &pair->dialer);
        moved |= end_deliver(pair, &pair->acceptor);
    } while (moved);
}

/* Ticks both ends at [delay] from now, and takes what they say. */
static inline void pair_advance(struct pair *pair, mn_time delay)
{
    pair->now.mono += delay;
    pair->now.wall += delay;
    link_tick(pair->dialer.link, pair->now);
    link_tick(pair->acceptor.link, pair->now);
    end_feed(pair, &pair->dialer, mn_span(NULL, 0));
    end_feed(pair, &pair->acceptor, mn_span(NULL, 0));
}

/* A pair that is open for envelopes, with what was seen so far forgotten. */
static inline void pair_open(struct pair *pair)
{
    pair_connect(pair);
    pair_run(pair);
    ck_assert_int_eq(link_phase(pair->dialer.link), LINK_HELLO);
    ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_HELLO);
    link_set_phase(pair->dialer.link, LINK_MEMBER);
    link_set_phase(pair->acceptor.link, LINK_MEMBER);
    end_forget(&pair->dialer);
    end_forget(&pair->acceptor);
}

/* Queues an envelope of [size] bytes of payload that name their sequence. */
static inline mn_status end_send(struct pair *pair, struct end *end,
                                 enum envelope_priority priority, uint64_t sequence, size_t size,
                                 uint64_t tag)
{
    struct mn_buf *payload = mn_buf_new(size);
    struct envelope envelope = {.type = ENVELOPE_EVENT, .priority = priority, .sequence = sequence};
    mn_status status;

    for (size_t i = 0; i < size; i++)
        payload->bytes[i] = (uint8_t)(sequence + i * 7);
    envelope.payload = mn_buf_span(payload);
    status = link_send(end->link, pair->now, &envelope, payload, tag);
    mn_buf_unref(payload);
    return status;
}

static inline void assert_payload(const struct seen *seen, size_t size)
{
    size_t same = 0;

    ck_assert_int_eq(seen->type, LINK_ENVELOPE);
    ck_assert_uint_eq(seen->bytes->size, size);
    while (same < size && seen->bytes->bytes[same] == (uint8_t)(seen->sequence + same * 7))
        same++;
    ck_assert_uint_eq(same, size);
}

#endif
