/* What is small does not wait for what is large: calls over one link of 1 Gbit/s and 1 ms round
 * trip, in virtual time, alone and beside neighbours that fill the link all the time. The kernel
 * below is modelled as net.c sets it up: it takes a whole send, and the next one once less than
 * WIRE_UNSENT_MAX bytes of it have not left. */
#include "tests/mesh/link_pair.h"
#include "tests/suite.h"

#define RATE 125  /* bytes per us */
#define DELAY 500 /* us, one way */
#define WIRE_UNSENT_MAX 32768
#define SEGMENT 1448 /* bytes that arrive at a time */
#define CALLS 500
#define CALL_SIZE 300
#define RATIO_MAX 2

struct segment {
    mn_time arrives;
    struct mn_buf *bytes;
};

static struct pair *pair;
static struct segment *segments; /* on the way, in order; allocated once */
static size_t segments_first, segments_count;
static mn_time wire_free; /* when all that was given to the wire has left, in 1/RATE us: bytes */
static mn_time latencies[CALLS], sent_at[CALLS];
static unsigned answered;

#define SEGMENTS_MAX 400000

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    pair = pair_new();
    segments = calloc(SEGMENTS_MAX, sizeof *segments);
    segments_first = segments_count = 0;
    wire_free = 0;
    answered = 0;
    pair_open(pair);
}

static void teardown(void)
{
    for (size_t i = segments_first; i < segments_count; i++)
        mn_buf_unref(segments[i].bytes);
    free(segments);
    pair_free(pair);
}

/* One send onto the wire, which is busy until what was sent before has left. */
static void flush(void)
{
    struct mn_buf *buf = link_flush(pair->dialer.link, pair->now);
    mn_time now = pair->now.mono * RATE;

    if (buf == NULL) return;
    if (wire_free < now) wire_free = now;
    for (size_t at = 0; at < buf->size; at += SEGMENT) {
        size_t size = buf->size - at < SEGMENT ? buf->size - at : SEGMENT;
        wire_free += size;
        ck_assert_uint_lt(segments_count, SEGMENTS_MAX);
        segments[segments_count++] = (struct segment){wire_free / RATE + DELAY + 1,
                                                      mn_buf_copy(mn_span(buf->bytes + at, size))};
    }
    mn_buf_unref(buf);
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
        if (seen->bytes->size != CALL_SIZE) continue;
        /* There and back: the way of the request is free. */
        latencies[seen->sequence] = pair->now.mono - sent_at[seen->sequence] + DELAY;
        answered++;
    }
    end_forget(&pair->acceptor);
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

static int compare(const void *one, const void *other)
{
    mn_time a = *(const mn_time *)one, b = *(const mn_time *)other;
    return a < b ? -1 : a > b;
}

/* The p99 of calls that come every 0.3 to 0.9 ms, whatever the wire is doing then. */
static mn_time p99(const struct neighbour *neighbours)
{
    unsigned sent = 0;
    mn_time next = pair->now.mono, ends = pair->now.mono + MN_SEC;
    bool is_outstanding = false;

    while (answered < CALLS) {
        ck_assert_uint_lt(pair->now.mono, ends); /* nobody starves */
        if (sent < CALLS && pair->now.mono >= next) {
            sent_at[sent] = pair->now.mono;
            ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, sent, CALL_SIZE, 0),
                             MN_OK);
            next += 300 + (sent * 367) % 601;
            sent++;
        }
        refill(neighbours);
        if (is_outstanding && wire_free <= pair->now.mono * RATE + WIRE_UNSENT_MAX) {
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
    qsort(latencies, CALLS, sizeof *latencies, compare);
    return latencies[CALLS * 99 / 100];
}

static const struct neighbour nobody[] = {{0}};
static const struct neighbour images[] = {{ENVELOPE_BACKGROUND, 20 << 20, 2}, {0}};
static const struct neighbour pages[] = {{ENVELOPE_LOW, 100 << 10, 16}, {0}};
static const struct neighbour all[] = {
    {ENVELOPE_LOW, 100 << 10, 16}, {ENVELOPE_BACKGROUND, 20 << 20, 2}, {0}};
static const struct neighbour *const crowds[] = {images, pages, all};

START_TEST(small_calls_take_at_most_twice_as_long_beside_large_ones)
{
    mn_time alone = p99(nobody), beside;

    teardown();
    setup();
    beside = p99(crowds[_i]);
    printf("# p99 alone %llu us, beside others %llu us\n", (unsigned long long)alone,
           (unsigned long long)beside);
    ck_assert_uint_ge(alone, 2 * DELAY);
    ck_assert_uint_gt(beside, alone); /* the link was really full */
    ck_assert_uint_le(beside, RATIO_MAX * alone);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link_fair");
    TCase *tcase = tcase_create("link_fair");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, small_calls_take_at_most_twice_as_long_beside_large_ones, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
