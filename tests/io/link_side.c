#include "tests/io/link_side.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"

static void side_open(struct link_side *side, struct mn_now now, uint64_t conn)
{
    struct link_config config = {.is_dialer = side->is_dialer,
                                 .self = &side->identity,
                                 .timing = &side->timing,
                                 .limits = &side->limits};

    randombytes_buf(config.ephemeral_sk, sizeof config.ephemeral_sk);
    side->conn = conn;
    side->link = link_new(&config, now);
}

static void side_read(struct link_side *side, struct mn_now now, struct mn_span bytes)
{
    struct link_event event;

    link_feed(side->link, now, bytes);
    for (;;) {
        link_next(side->link, now, &side->arena, &event);
        MN_ASSERT(event.type != LINK_CLOSED && event.type != LINK_MALFORMED);
        if (event.type == LINK_NONE) break;
        if (event.type == LINK_READY) {
            link_set_phase(side->link, LINK_MEMBER);
            side->is_open = true;
        }
        if (event.type != LINK_ENVELOPE) continue;
        side->on_envelope(side, event.envelope);
        mn_buf_unref(event.buf);
    }
    mn_arena_reset(&side->arena);
}

static void side_step(void *owner, struct mn_now now, const struct edge_input *input,
                      struct edge_outbox *outbox)
{
    struct link_side *side = owner;
    struct mn_buf *buf;

    if (input->type == EDGE_IN_NET_ACCEPTED || input->type == EDGE_IN_NET_CONNECTED)
        side_open(side, now, input->id);
    else if (input->type == EDGE_IN_NET_BYTES)
        side_read(side, now, input->bytes);
    else if (input->type == EDGE_IN_NET_SENT)
        link_on_sent(side->link);
    else if (input->type == EDGE_IN_NET_CLOSED)
        io_stop(side->io);
    if (side->link == NULL || input->type == EDGE_IN_NET_CLOSED) return;
    if (side->is_open) side->fill(side, now);
    buf = link_flush(side->link, now);
    if (buf != NULL) {
        edge_emit(outbox, EDGE_OUT_NET_SEND, side->conn)->buf = buf;
    } else if (side->is_over != NULL && side->is_over(side)) {
        edge_emit(outbox, EDGE_OUT_NET_CLOSE, side->conn);
        io_stop(side->io);
    }
}

static mn_time side_deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER; /* shorter than any timer of a link */
}

static void side_carry_out(void *owner, const struct edge_output *output)
{
    net_do(((struct link_side *)owner)->net, output);
}

void link_side_start(struct link_side *side)
{
    const struct io_config io = {side, side_step, side_deadline, side_carry_out, NULL, NULL};
    const struct net_config net = {.accepted_max = 1};
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(seed, side->is_dialer ? 1 : 2, sizeof seed);
    identity_init(&side->identity, seed);
    side->timing = link_timing_default();
    side->limits = link_limits_default();
    side->io = io_new(&io);
    side->net = net_new(side->io, &net);
}

void link_side_listen(struct link_side *side, int fd)
{
    char bound[NET_ADDRESS_SIZE] = "";
    const char *error = "";

    MN_ASSERT(net_listen(side->net, "127.0.0.1:0", bound, &error) == MN_OK);
    MN_ASSERT(write(fd, bound, sizeof bound) == sizeof bound);
}

void link_side_dial(struct link_side *side, const char *address)
{
    struct edge_output dial = {.type = EDGE_OUT_NET_DIAL, .id = 2, .text = mn_span_str(address)};

    net_do(side->net, &dial);
}

void link_side_put(struct link_side *side, struct mn_now now, struct mn_buf *payload,
                   uint64_t sequence)
{
    struct envelope envelope = {.type = ENVELOPE_EVENT,
                                .priority = ENVELOPE_NORMAL,
                                .schema = 7,
                                .boot = 3,
                                .sequence = sequence,
                                .payload = mn_buf_span(payload)};

    MN_ASSERT(link_send(side->link, now, &envelope, payload, 0) == MN_OK);
}

void link_side_run(struct link_side *side)
{
    io_run(side->io);
    net_close(side->net);
}

void link_side_free(struct link_side *side)
{
    io_free(side->io);
    link_free(side->link);
    mn_arena_done(&side->arena);
}
