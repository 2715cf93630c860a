/* What is small does not wait for what is large: calls over one link, in virtual time, alone and
 * beside neighbours that fill the link all the time. The kernel below is modelled as net.c sets it
 * up: it takes a whole send, and the next one once less than WIRE_UNSENT_MAX bytes of it have not
 * left; at the other end it takes whatever comes, and the peer reads it as fast as it can. */
#include "tests/mesh/link_pair.h"
#include "tests/suite.h"

#define WIRE_UNSENT_MAX 32768
#define ANSWERS_MAX 100000
#define SEGMENT 1448 /* bytes that arrive at a time */
#define CALLS 500
#define CALL_SIZE 300
#define RATIO_MAX 2
#define SLOW_PEER_MAX MN_MS /* half of it: 64 KiB at 300 MB/s, and what the kernel holds */

struct wire {
    uint64_t rate; /* bytes per us */
    uint64_t read; /* that the peer opens */
    mn_time delay; /* us, one way */
};

/* 1 Gbit/s; 10 Gbit/s to a peer that is slower; 1 Gbit/s around the earth. */
static const struct wire lan = {125, 1000, 500}, slow_peer = {1250, 300, 25},
                         earth = {125, 1000, 75000};

struct segment {
    mn_time arrives;
    struct mn_buf *bytes;
};

static struct pair *pair;
static const struct wire *wire;
static struct segment *segments; /* on the way, in order; allocated once */
static size_t segments_first, segments_count;
static struct segment answers[ANSWERS_MAX]; /* on the way back */
static size_t answers_first, answers_count;
static mn_time wire_free; /* when all that was given to the wire has left, in 1/rate us: bytes */
static mn_time peer_free; /* when the peer has opened all of it, in 1/read us */
static uint64_t carried;  /* bytes of envelopes that came */
static mn_time latencies[CALLS], sent_at[CALLS];
static unsigned answered;

#define SEGMENTS_MAX 1200000

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    pair = pair_new();
    segments = calloc(SEGMENTS_MAX, sizeof *segments);
    segments_first = segments_count = 0;
    answers_first = answers_count = 0;
    wire_free = peer_free = carried = 0;
    answered = 0;
    wire = &lan;
    pair_open(pair);
}

static void teardown(void)
{
    for (size_t i = segments_first; i < segments_count; i++)
        mn_buf_unref(segments[i].bytes);
    for (size_t i = answers_first; i < answers_count; i++)
        mn_buf_unref(answers[i].bytes);
    free(segments);
    pair_free(pair);
}

/* One send onto the wire, which is busy until what was sent before has left. */
static void flush(void)
{
    struct mn_buf *buf = link_flush(pair->dialer.link, pair->now);
    mn_time now = pair->now.mono * wire->rate;

    if (buf == NULL) return;
    if (wire_free < now) wire_free = now;
    for (size_t at = 0; at < buf->size; at += SEGMENT) {
        size_t size = buf->size - at < SEGMENT ? buf->size - at : SEGMENT;
        wire_free += size;
        mn_time arrives = (wire_free / wire->rate + wire->delay + 1) * wire->read;
        peer_free = (peer_free < arrives ? arrives : peer_free) + size;
        ck_assert_uint_lt(segments_count, SEGMENTS_MAX);
        segments[segments_count++] =
            (struct segment){peer_free / wire->read, mn_buf_copy(mn_span(buf->bytes + at, size))};
    }
    mn_buf_unref(buf);
}

/* What the peer says to it: answers to pings. Its way is free. */
static void answer(void)
{
    struct mn_buf *buf = link_flush(pair->acceptor.link, pair->now);

    if (buf != NULL) {
        ck_assert_uint_lt(answers_count, ANSWERS_MAX);
        answers[answers_count++] = (struct segment){pair->now.mono + wire->delay, buf};
        link_on_sent(pair->acceptor.link);
    }
    while (answers_first < answers_count && answers[answers_first].arrives <= pair->now.mono) {
        struct segment *segment = &answers[answers_first++];
        end_feed(pair, &pair->dialer, mn_buf_span(segment->bytes));
        segment->bytes = mn_buf_unref(segment->bytes);
    }
}

static void deliver(void)
{
    while (segments_first < segments_count && segments[segments_first].arrives <= pair->now.mono) {
        struct segment *segment = &segments[segments_first++];
        end_feed(pair, &pair->acceptor, mn_buf_span(segment->bytes));
        segment->bytes = mn_buf_unref(segment->bytes);
    }
    for (uint32_t i = 0; i < pair->acceptor.seen_count; i++) {
        const struct seen *seen = &pair->acceptor.seen[i];
        ck_assert_int_eq(seen->type, LINK_ENVELOPE);
        carried += seen->bytes->size;
        if (seen->bytes->size != CALL_SIZE) continue;
        /* There and back: the way of the request is free. */
        latencies[seen->sequence] = pair->now.mono - sent_at[seen->sequence] + wire->delay;
        answered++;
    }
    end_forget(&pair->acceptor);
    answer();
}

/* What the neighbours always have ready: answers of this size and urgency, so many at a time. */
struct neighbour {
    enum envelope_priority priority;
    size_t size, count;
};

static void refill(const struct neighbour *neighbours)
{
    for (const struct neighbour *each = neighbours; each->size > 0; each++)
        while (link_queued_bytes(pair->dialer.link, each->priority) < each->size * each->count)
            ck_assert_int_eq(
                end_send(pair, &pair->dialer, each->priority, UINT32_MAX, each->size, 0), MN_OK);
}

static const struct neighbour nobody[] = {{0}};

static int compare(const void *one, const void *other)
{
    mn_time a = *(const mn_time *)one, b = *(const mn_time *)other;
    return a < b ? -1 : a > b;
}

static void step(const struct neighbour *neighbours)
{
    static bool is_outstanding;

    refill(neighbours);
    if (wire_free <= pair->now.mono * wire->rate + WIRE_UNSENT_MAX) {
        link_on_sent(pair->dialer.link);
        is_outstanding = false;
    }
    if (!is_outstanding && link_can_flush(pair->dialer.link)) {
        flush();
        is_outstanding = true;
    }
    deliver();
    pair->now.mono++;
}

/* The link is open: the first ping goes, and comes back. */
static void begin(const struct wire *over)
{
    wire = over;
    link_tick(pair->dialer.link, pair->now);
    for (mn_time until = pair->now.mono + 3 * wire->delay; pair->now.mono < until;)
        step(nobody);
}

/* The p99 of calls that come every 0.3 to 0.9 ms, whatever the wire is doing then. */
static mn_time p99(const struct wire *over, const struct neighbour *neighbours)
{
    unsigned sent = 0;
    mn_time next, ends;

    begin(over);
    next = pair->now.mono;
    ends = next + MN_SEC;
    while (answered < CALLS) {
        ck_assert_uint_lt(pair->now.mono, ends); /* nobody starves */
        if (sent < CALLS && pair->now.mono >= next) {
            sent_at[sent] = pair->now.mono;
            ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, sent, CALL_SIZE, 0),
                             MN_OK);
            next += 300 + (sent * 367) % 601;
            sent++;
        }
        step(neighbours);
    }
    qsort(latencies, CALLS, sizeof *latencies, compare);
    return latencies[CALLS * 99 / 100];
}

static const struct neighbour images[] = {{ENVELOPE_BACKGROUND, 20 << 20, 2}, {0}};
static const struct neighbour pages[] = {{ENVELOPE_LOW, 100 << 10, 16}, {0}};
static const struct neighbour all[] = {
    {ENVELOPE_LOW, 100 << 10, 16}, {ENVELOPE_BACKGROUND, 20 << 20, 2}, {0}};
static const struct neighbour *const crowds[] = {images, pages, all};

START_TEST(small_calls_take_at_most_twice_as_long_beside_large_ones)
{
    mn_time alone = p99(&lan, nobody), beside;

    teardown();
    setup();
    beside = p99(&lan, crowds[_i]);
    printf("# p99 alone %llu us, beside others %llu us\n", (unsigned long long)alone,
           (unsigned long long)beside);
    ck_assert_uint_ge(alone, 2 * lan.delay);
    ck_assert_uint_gt(beside, alone); /* the link was really full */
    ck_assert_uint_le(beside, RATIO_MAX * alone);
}
END_TEST

/* A peer that opens less than the wire brings: what is in its kernel nobody overtakes, and that
 * would be megabytes. */
START_TEST(little_waits_at_a_peer_that_is_slow)
{
    mn_time beside = p99(&slow_peer, images);

    printf("# p99 beside others %llu us\n", (unsigned long long)beside);
    ck_assert_uint_le(beside, SLOW_PEER_MAX);
}
END_TEST

static const struct wire *const wires[] = {&lan, &slow_peer, &earth};

/* ... and bulk has the link as before. */
START_TEST(bulk_fills_the_link)
{
    const struct wire *over = wires[_i];
    uint64_t rate = over->rate < over->read ? over->rate : over->read;
    mn_time ends;

    begin(over);
    for (ends = pair->now.mono + 2 * MN_SEC; pair->now.mono < ends;)
        step(pages);
    carried = 0;
    for (ends = pair->now.mono + MN_SEC / 2; pair->now.mono < ends;)
        step(pages);
    printf("# %llu of %llu MB/s\n", (unsigned long long)(2 * carried / MN_SEC),
           (unsigned long long)rate);
    ck_assert_uint_ge(2 * carried, rate * MN_SEC * 9 / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link_fair");
    TCase *tcase = tcase_create("link_fair");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, small_calls_take_at_most_twice_as_long_beside_large_ones, 0, 3);
    tcase_add_test(tcase, little_waits_at_a_peer_that_is_slow);
    tcase_add_loop_test(tcase, bulk_fills_the_link, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
