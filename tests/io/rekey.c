/* New keys while a link is under load, between two processes over loopback: both send numbered
 * messages through a sealed link, over the sockets and the loop of a node, and each checks that
 * nothing is lost, doubled or out of order. "full": frames are as full as they get. "single": one
 * message a frame, so that it is their number and not their bytes that asks for a new key, also at
 * the limit that nodes have (2^20).
 * usage: rekey full|single FRAMES MESSAGES   a new key each FRAMES frames; both ways so many */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mesh/link.h"
#include "node/io/loop.h"
#include "node/io/net.h"
#include "proto/base/check.h"

#define QUEUED_MAX ((size_t)256 * 1024) /* bytes given to a link at a time */
#define PAYLOAD_SIZE 512u

struct job {
    bool is_full;
    uint64_t frames, messages;
};

struct side {
    const struct job *job;
    bool is_dialer, is_open, is_over;
    struct identity identity;
    struct link_timing timing;
    struct link_limits limits;
    struct io *io;
    struct net *net;
    struct link *link;
    uint64_t conn, sent, received;
    struct mn_buf *payload;
    struct mn_arena arena;
};

static void side_open(struct side *side, struct mn_now now, uint64_t conn)
{
    struct link_config config = {.is_dialer = side->is_dialer,
                                 .self = &side->identity,
                                 .timing = &side->timing,
                                 .limits = &side->limits};

    randombytes_buf(config.ephemeral_sk, sizeof config.ephemeral_sk);
    side->conn = conn;
    side->link = link_new(&config, now);
}

static void side_read(struct side *side, struct mn_now now, struct mn_span bytes)
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
        side->received++;
        MN_ASSERT(event.envelope->sequence == side->received); /* none lost, doubled, reordered */
        MN_ASSERT(event.envelope->payload.size == PAYLOAD_SIZE);
        mn_buf_unref(event.buf);
    }
    mn_arena_reset(&side->arena);
}

static void side_put(struct side *side, struct mn_now now)
{
    struct envelope envelope = {.type = ENVELOPE_EVENT,
                                .priority = ENVELOPE_NORMAL,
                                .schema = 7,
                                .boot = 3,
                                .sequence = ++side->sent,
                                .payload = mn_buf_span(side->payload)};

    MN_ASSERT(link_send(side->link, now, &envelope, side->payload, 0) == MN_OK);
}

/* One more than asked for goes out when all of the other side's came: it says so. */
static void side_fill(struct side *side, struct mn_now now)
{
    size_t queued_max = side->job->is_full ? QUEUED_MAX : 1;

    while (side->sent < side->job->messages &&
           link_queued_bytes(side->link, ENVELOPE_NORMAL) < queued_max)
        side_put(side, now);
    if (side->sent == side->job->messages && side->received >= side->job->messages)
        side_put(side, now);
}

static bool side_is_done(const struct side *side)
{
    return side->sent > side->job->messages && side->received > side->job->messages &&
           link_queued_bytes(side->link, ENVELOPE_NORMAL) == 0;
}

static void side_step(void *owner, struct mn_now now, const struct edge_input *input,
                      struct edge_outbox *outbox)
{
    struct side *side = owner;
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
    if (side->is_open) side_fill(side, now);
    buf = link_flush(side->link, now);
    if (buf != NULL) {
        edge_emit(outbox, EDGE_OUT_NET_SEND, side->conn)->buf = buf;
    } else if (side->is_dialer && side_is_done(side) && !side->is_over) {
        side->is_over = true; /* what was sent last is with the kernel */
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
    net_do(((struct side *)owner)->net, output);
}

static void side_start(struct side *side)
{
    const struct io_config io = {side, side_step, side_deadline, side_carry_out, NULL, NULL};
    const struct net_config net = {.accepted_max = 1};
    uint8_t seed[IDENTITY_SEED_SIZE];

    memset(seed, side->is_dialer ? 1 : 2, sizeof seed);
    identity_init(&side->identity, seed);
    side->timing = link_timing_default();
    side->limits = link_limits_default();
    side->limits.rekey_frames = side->job->frames;
    side->payload = mn_buf_new(PAYLOAD_SIZE);
    memset(side->payload->bytes, 'x', PAYLOAD_SIZE);
    side->io = io_new(&io);
    side->net = net_new(side->io, &net);
}

/* Whether all came, and keys changed on both ways as often as they had to. */
static bool side_run(struct side *side)
{
    const struct link_stats *stats;
    bool is_good;

    io_run(side->io);
    MN_ASSERT(side->link != NULL);
    stats = link_stats(side->link);
    is_good = side->received >= side->job->messages && side->sent > side->job->messages &&
              stats->rekeys_out >= stats->frames_out / side->job->frames &&
              stats->rekeys_in >= stats->frames_in / side->job->frames && stats->rekeys_out > 0 &&
              stats->rekeys_in > 0;
    printf("%s: %llu messages out in %llu frames under %llu keys, %llu in\n",
           side->is_dialer ? "dialer" : "acceptor", (unsigned long long)side->sent,
           (unsigned long long)stats->frames_out, (unsigned long long)stats->rekeys_out + 1,
           (unsigned long long)side->received);
    net_close(side->net);
    io_free(side->io);
    link_free(side->link);
    mn_buf_unref(side->payload);
    mn_arena_done(&side->arena);
    return is_good;
}

static bool run_acceptor(const struct job *job, int to)
{
    struct side side = {.job = job};
    char bound[NET_ADDRESS_SIZE] = "";
    const char *error = "";

    side_start(&side);
    MN_ASSERT(net_listen(side.net, "127.0.0.1:0", bound, &error) == MN_OK);
    MN_ASSERT(write(to, bound, sizeof bound) == sizeof bound);
    return side_run(&side);
}

static bool run_dialer(const struct job *job, const char *address)
{
    struct side side = {.job = job, .is_dialer = true};
    struct edge_output dial = {.type = EDGE_OUT_NET_DIAL, .id = 2, .text = mn_span_str(address)};

    side_start(&side);
    net_do(side.net, &dial);
    return side_run(&side);
}

int main(int argc, char **argv)
{
    struct job job;
    char address[NET_ADDRESS_SIZE];
    int ends[2], status;
    pid_t child;
    bool is_good;

    if (argc != 4) {
        fprintf(stderr, "usage: %s full|single FRAMES MESSAGES\n", argv[0]);
        return 2;
    }
    job.is_full = strcmp(argv[1], "full") == 0;
    job.frames = strtoull(argv[2], NULL, 10);
    job.messages = strtoull(argv[3], NULL, 10);
    if (job.frames == 0 || job.messages == 0) return 2;
    if (sodium_init() < 0 || pipe(ends) != 0 || (child = fork()) < 0) return EXIT_FAILURE;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(run_acceptor(&job, ends[1]) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    close(ends[1]);
    if (read(ends[0], address, sizeof address) != sizeof address) return EXIT_FAILURE;
    is_good = run_dialer(&job, address);
    if (waitpid(child, &status, 0) != child) return EXIT_FAILURE;
    return is_good && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
