/* bench_link_mem: envelopes per second through a pair of links in memory: encode, queue, seal,
 * open, decode, on one core for both ends. No sockets: what is left for them is the difference to
 * the target. usage: bench_link_mem [seconds per size] */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mesh/link.h"
#include "proto/base/check.h"

struct side {
    struct identity identity;
    struct link *link;
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct mn_now now = {MN_SEC, 1700000000 * MN_SEC};
static struct mn_arena arena;
static uint64_t received, received_bytes;

/* One send of [from], handled by [to]; the time each takes is added up. */
static bool cross(struct side *from, struct side *to, double *send, double *receive)
{
    double begin = seconds(), middle;
    struct mn_buf *buf = link_flush(from->link, now);
    struct link_event event;

    middle = seconds();
    *send += middle - begin;
    if (buf == NULL) return false;
    link_on_sent(from->link);
    link_feed(to->link, now, mn_buf_span(buf));
    for (;;) {
        link_next(to->link, now, &arena, &event);
        MN_ASSERT(event.type != LINK_CLOSED);
        if (event.type == LINK_NONE) break;
        if (event.type != LINK_ENVELOPE) continue;
        received++;
        received_bytes += event.envelope->payload.size;
        mn_buf_unref(event.buf);
    }
    mn_buf_unref(buf);
    mn_arena_reset(&arena);
    *receive += seconds() - middle;
    return true;
}

static void measure(struct side *a, struct side *b, size_t size, double duration)
{
    struct mn_buf *payload = mn_buf_new(size);
    struct envelope envelope = {.type = ENVELOPE_EVENT,
                                .priority = ENVELOPE_NORMAL,
                                .schema = 7,
                                .boot = 3,
                                .payload = mn_buf_span(payload)};
    double begin = seconds(), send = 0, receive = 0, end;
    uint64_t batch = size < 4096 ? 65536 / (size + 32) : 4;

    memset(payload->bytes, 'x', size);
    envelope.payload = mn_buf_span(payload);
    received = received_bytes = 0;
    do {
        double queued = seconds();
        for (uint64_t i = 0; i < batch; i++) {
            envelope.sequence++;
            MN_ASSERT(link_send(a->link, now, &envelope, payload, 0) == MN_OK);
        }
        send += seconds() - queued;
        while (cross(a, b, &send, &receive))
            continue;
        end = seconds();
    } while (end - begin < duration);
    printf("%6zu B  %8.0f envelopes/s  %7.1f MB/s  send %5.0f ns  receive %5.0f ns\n", size,
           (double)received / (end - begin), (double)received_bytes / (end - begin) / 1e6,
           send / (double)received * 1e9, receive / (double)received * 1e9);
    mn_buf_unref(payload);
}

static void side_init(struct side *side, bool is_dialer, const struct link_timing *timing,
                      const struct link_limits *limits)
{
    uint8_t seed[IDENTITY_SEED_SIZE];
    struct link_config config = {
        .is_dialer = is_dialer, .self = &side->identity, .timing = timing, .limits = limits};

    memset(seed, is_dialer ? 1 : 2, sizeof seed);
    identity_init(&side->identity, seed);
    memset(config.ephemeral_sk, is_dialer ? 3 : 4, sizeof config.ephemeral_sk);
    side->link = link_new(&config, now);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {16, 128, 1024, 16384, 262144};
    double duration = argc > 1 ? atof(argv[1]) : 1, unused = 0;
    struct link_timing timing = link_timing_default();
    struct link_limits limits = link_limits_default();
    struct side a = {0}, b = {0};

    if (sodium_init() < 0) return EXIT_FAILURE;
    side_init(&a, true, &timing, &limits);
    side_init(&b, false, &timing, &limits);
    for (unsigned i = 0; i < 4; i++) {
        cross(&a, &b, &unused, &unused);
        cross(&b, &a, &unused, &unused);
    }
    link_set_phase(a.link, LINK_MEMBER);
    link_set_phase(b.link, LINK_MEMBER);
    printf("one link in memory, sealed with ChaCha20-Poly1305; time per envelope at each end\n");
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure(&a, &b, sizes[i], duration);
    link_free(a.link);
    link_free(b.link);
    mn_arena_done(&arena);
    return EXIT_SUCCESS;
}
