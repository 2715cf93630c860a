#include "mesh/queue.h"
#include "proto/frame.h"
#include "tests/crypto/support.h"

static struct queue *queue;
static struct queue_limits limits;
static struct mn_now now;
static uint8_t item[FRAME_PLAIN_MAX];

static void setup(void)
{
    limits = queue_limits_default();
    queue = queue_new(&limits);
    now = (struct mn_now){MN_SEC, MN_SEC};
}

static void teardown(void)
{
    queue_check(queue);
    queue_free(queue);
}

static void restart(void)
{
    queue_free(queue);
    queue = queue_new(&limits);
}

static mn_status put(enum envelope_priority priority, size_t size, uint64_t tag, mn_time deadline)
{
    static const uint8_t zeros[1 << 20];
    struct envelope envelope = {.type = ENVELOPE_EVENT,
                                .priority = priority,
                                .sequence = tag,
                                .deadline_us = deadline,
                                .payload = mn_span(zeros, size)};
    return queue_put(queue, now, &envelope, NULL, tag);
}

/* Takes one item; its priority. */
static enum envelope_priority take(size_t *size, uint64_t *sequence)
{
    struct envelope envelope;
    struct frame_item read;
    struct frame_part part;
    struct mn_span plain;

    *size = queue_next_size(queue, now);
    ck_assert_uint_gt(*size, 0);
    queue_take(queue, item);
    queue_check(queue);
    plain = mn_span(item, *size);
    ck_assert_int_eq(frame_take_item(&plain, &read), MN_OK);
    ck_assert_uint_eq(plain.size, 0);
    if (read.kind == FRAME_ENVELOPE) {
        ck_assert_int_eq(envelope_decode(read.bytes, &envelope), MN_OK);
        if (sequence != NULL) *sequence = envelope.sequence;
        return envelope.priority;
    }
    ck_assert_int_eq(frame_read_part(&read, &part), MN_OK);
    return (enum envelope_priority)part.priority;
}

static bool take_drop(uint64_t tag, mn_status status)
{
    struct queue_drop drop;
    return queue_take_drop(queue, &drop) && drop.tag == tag && drop.status == status;
}

START_TEST(one_priority_is_a_fifo)
{
    uint64_t sequence;
    size_t size;

    for (uint64_t i = 1; i <= 500; i++)
        ck_assert_int_eq(put(ENVELOPE_NORMAL, (i * 37) % 3000, i, 0), MN_OK);
    ck_assert_uint_eq(queue_count(queue), 500);
    for (uint64_t i = 1; i <= 500; i++) {
        ck_assert_int_eq(take(&size, &sequence), ENVELOPE_NORMAL);
        ck_assert_uint_eq(sequence, i);
    }
    ck_assert_uint_eq(queue_next_size(queue, now), 0);
    ck_assert_uint_eq(queue_bytes(queue), 0);
}
END_TEST

static const size_t sizes[] = {100, 1000, 9000, 20000, 100000};
static const unsigned weights[] = {16, 8, 4, 2, 1};

/* All five always have something: each gets its share of the bytes, in every window that is some
 * rounds long. */
START_TEST(shares_follow_the_weights)
{
    size_t sent[ENVELOPE_PRIORITIES] = {0}, total = 0, size;

    limits.total_max = (size_t)1 << 30;
    restart();
    for (int window = 0; window < 2; window++) {
        memset(sent, 0, sizeof sent);
        for (total = 0; total < 31 * QUEUE_QUANTUM * 32;) {
            for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
                while (queue_priority_bytes(queue, (enum envelope_priority)i) < 200000)
                    ck_assert_int_eq(put((enum envelope_priority)i, sizes[_i], 0, 0), MN_OK);
            sent[take(&size, NULL)] += size;
            total += size;
        }
        for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++) {
            double share = (double)sent[i] / (double)total, due = weights[i] / 31.0;
            ck_assert_msg(share > due * 0.93 - 0.002 && share < due * 1.07 + 0.004,
                          "priority %u has %f instead of %f", i, share, due);
        }
    }
}
END_TEST

START_TEST(lone_priority_has_the_whole_link)
{
    size_t size;

    for (unsigned i = 0; i < 3000; i++) {
        ck_assert_int_eq(put((enum envelope_priority)_i, 10000, 0, 0), MN_OK);
        ck_assert_int_eq((int)take(&size, NULL), _i);
    }
}
END_TEST

START_TEST(critical_goes_first_but_not_for_ever)
{
    size_t size, critical = 0, others = 0;
    bool other_was_first = false;

    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 10000, 0, 0), MN_OK);
    take(&size, NULL);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(put(ENVELOPE_CRITICAL, 10000, 0, 0), MN_OK);
    for (unsigned i = 0; i < 60; i++) {
        if (take(&size, NULL) == ENVELOPE_CRITICAL) {
            critical++;
        } else {
            others++;
            other_was_first |= critical < 10;
        }
    }
    ck_assert(!other_was_first);  /* it went ahead of all that waited */
    ck_assert_uint_ge(others, 2); /* of 16 : 1 */
    ck_assert_uint_ge(critical, 50);
}
END_TEST

/* Bursts of critical that empty their queue each time must not add up to more than its share. */
START_TEST(critical_in_bursts_keeps_to_its_share)
{
    size_t sent[ENVELOPE_PRIORITIES] = {0}, size;

    for (unsigned i = 0; i < 8000; i++) {
        while (queue_priority_bytes(queue, ENVELOPE_HIGH) < 100000)
            ck_assert_int_eq(put(ENVELOPE_HIGH, 5000, 0, 0), MN_OK);
        if (queue_priority_bytes(queue, ENVELOPE_CRITICAL) == 0)
            ck_assert_int_eq(put(ENVELOPE_CRITICAL, 5000, 0, 0), MN_OK);
        sent[take(&size, NULL)] += size;
    }
    ck_assert_uint_ge(sent[ENVELOPE_HIGH] * 21, sent[ENVELOPE_CRITICAL] * 10); /* 8 : 16, 5 % */
}
END_TEST

START_TEST(full_priority_answers_busy)
{
    limits.bytes_max[ENVELOPE_LOW] = 10000;
    restart();
    ck_assert_int_eq(put(ENVELOPE_LOW, 50000, 1, 0), MN_OK); /* one always fits */
    ck_assert_int_eq(put(ENVELOPE_LOW, 10, 2, 0), MN_BUSY);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 10, 3, 0), MN_OK);
    ck_assert_uint_eq(queue_count(queue), 2);
}
END_TEST

/* A peer that stops reading fills what bulk has in common; others still get one at a time. */
START_TEST(bulk_of_many_links_has_one_bound)
{
    struct queue_bulk bulk = {.bytes_max = 1 << 20};
    struct queue *other;

    limits.bulk = &bulk;
    restart();
    other = queue;
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 100000, 1, 0), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 1 << 20, 1, 0), MN_OK); /* does not count */
    queue = queue_new(&limits);
    ck_assert_int_eq(put(ENVELOPE_LOW, 500000, 1, 0), MN_OK); /* an empty lane takes one */
    ck_assert_int_eq(put(ENVELOPE_LOW, 1000, 1, 0), MN_BUSY);
    ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 500000, 1, 0), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 1000, 1, 0), MN_OK);
    queue_free(other);
    ck_assert_int_eq(put(ENVELOPE_LOW, 1000, 1, 0), MN_OK);
    while (queue_next_size(queue, now) > 0)
        queue_take(queue, item);
    ck_assert_uint_eq(bulk.bytes, 0);
    limits.bulk = NULL;
    restart();
}
END_TEST

START_TEST(bulk_takes_no_more_than_its_room)
{
    size_t size, taken = 0;

    queue_set_bulk_room(queue, 100000);
    ck_assert_int_eq(put(ENVELOPE_LOW, 60000, 1, 0), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 500000, 2, 0), MN_OK);
    while (queue_has_ready(queue)) {
        ck_assert_int_ge(take(&size, NULL), ENVELOPE_LOW);
        taken += size;
    }
    ck_assert_uint_ge(taken, 100000);
    ck_assert_uint_lt(taken, 100000 + FRAME_WHOLE_MAX);
    ck_assert_int_eq(queue_bulk_room(queue), 100000 - (int64_t)taken);
    ck_assert_uint_eq(queue_next_size(queue, now), 0); /* it waits, and that is no endless search */
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 100, 3, 0), MN_OK);
    ck_assert(queue_has_ready(queue));
    ck_assert_int_eq(take(&size, NULL), ENVELOPE_NORMAL);
    queue_set_bulk_room(queue, 1);
    ck_assert_int_ge(take(&size, NULL), ENVELOPE_LOW);
}
END_TEST

START_TEST(overflow_sheds_the_least_urgent_and_never_critical)
{
    limits.total_max = 100000;
    restart();
    for (uint64_t i = 1; i <= 4; i++) {
        ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 10000, i, 0), MN_OK);
        ck_assert_int_eq(put(ENVELOPE_LOW, 10000, 10 + i, 0), MN_OK);
    }
    ck_assert_int_eq(put(ENVELOPE_CRITICAL, 15000, 20, 0), MN_OK);
    ck_assert(!take_drop(0, MN_BUSY));
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 15000, 30, 0), MN_OK);
    ck_assert(take_drop(1, MN_BUSY)); /* the oldest of background, and no more than needed */
    ck_assert(take_drop(2, MN_BUSY));
    ck_assert_uint_eq(queue_priority_bytes(queue, ENVELOPE_LOW) / 10000, 4);
    for (uint64_t i = 0; i < 6; i++)
        ck_assert_int_eq(put(ENVELOPE_HIGH, 10000, 40 + i, 0), MN_OK);
    ck_assert_uint_eq(queue_priority_bytes(queue, ENVELOPE_BACKGROUND), 0);
    ck_assert_int_eq(put(ENVELOPE_BACKGROUND, 20000, 50, 0), MN_BUSY); /* sheds nobody */
    ck_assert_int_eq(put(ENVELOPE_CRITICAL, 80000, 51, 0), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_CRITICAL, 80000, 52, 0), MN_BUSY); /* back-pressure */
    ck_assert_uint_gt(queue_priority_bytes(queue, ENVELOPE_CRITICAL), 95000);
    ck_assert_uint_le(queue_bytes(queue), limits.total_max);
}
END_TEST

START_TEST(expired_is_dropped_when_its_turn_comes)
{
    struct envelope envelope;
    uint64_t sequence;
    size_t size;

    ck_assert_int_eq(put(ENVELOPE_NORMAL, 10, 1, 10 * MN_MS), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 60000, 2, 10 * MN_MS), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 10, 3, MN_SEC), MN_OK);
    now.mono += 10 * MN_MS;
    take(&size, &sequence);
    ck_assert_uint_eq(sequence, 3);
    ck_assert_int_eq(
        envelope_decode(mn_span(item + FRAME_ITEM_HEAD_SIZE, size - FRAME_ITEM_HEAD_SIZE),
                        &envelope),
        MN_OK);
    ck_assert_uint_eq(envelope.deadline_us, MN_SEC - 10 * MN_MS); /* what is left by now */
    ck_assert(take_drop(1, MN_EXPIRED));
    ck_assert(take_drop(2, MN_EXPIRED));
}
END_TEST

/* Parts make the whole again, and others go in between. */
START_TEST(long_envelope_goes_in_parts)
{
    struct mn_writer whole = {0};
    struct envelope envelope;
    bool has_passed = false;
    size_t size;

    ck_assert_int_eq(put(ENVELOPE_LOW, 100000, 1, MN_SEC), MN_OK);
    ck_assert_int_eq(put(ENVELOPE_NORMAL, 100, 2, 0), MN_OK);
    while (queue_count(queue) > 0) {
        struct frame_item read;
        struct frame_part part;
        struct mn_span plain;
        if (take(&size, NULL) == ENVELOPE_NORMAL) {
            has_passed = true;
            continue;
        }
        plain = mn_span(item, size);
        ck_assert_int_eq(frame_take_item(&plain, &read), MN_OK);
        ck_assert_int_eq(frame_read_part(&read, &part), MN_OK);
        ck_assert_int_eq(read.kind == FRAME_PART_FIRST, mn_writer_size(&whole) == 0);
        ck_assert_uint_le(part.bytes.size, FRAME_PART_MAX);
        mn_writer_add(&whole, part.bytes);
    }
    ck_assert(has_passed);
    ck_assert_int_eq(envelope_decode(mn_buf_span(whole.buf), &envelope), MN_OK);
    ck_assert_uint_eq(envelope.payload.size, 100000);
    ck_assert_uint_eq(envelope.sequence, 1);
    ck_assert_uint_eq(envelope.deadline_us, MN_SEC);
    mn_writer_drop(&whole);
}
END_TEST

START_TEST(what_is_dropped_at_the_end_is_reported_once)
{
    struct queue_drop drop;
    uint64_t seen = 0;
    uint32_t complete = 0, dropped = 0;

    for (uint64_t i = 1; i <= 20; i++)
        ck_assert_int_eq(put((enum envelope_priority)(i % 5), 30000, i, 0), MN_OK);
    for (int i = 0; i < 5; i++) { /* the last one is out in part: not delivered either */
        ck_assert_uint_gt(queue_next_size(queue, now), 0);
        complete += queue_take(queue, item);
    }
    queue_drop_all(queue);
    while (queue_take_drop(queue, &drop)) {
        ck_assert_uint_eq(seen >> drop.tag & 1, 0);
        seen |= (uint64_t)1 << drop.tag;
        dropped++;
    }
    ck_assert_uint_eq(complete, 2);
    ck_assert_uint_eq(dropped, 18);
    ck_assert_uint_eq(queue_bytes(queue), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_create("queue");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, one_priority_is_a_fifo);
    tcase_add_loop_test(tcase, shares_follow_the_weights, 0, sizeof sizes / sizeof *sizes);
    tcase_add_loop_test(tcase, lone_priority_has_the_whole_link, 0, ENVELOPE_PRIORITIES);
    tcase_add_test(tcase, critical_goes_first_but_not_for_ever);
    tcase_add_test(tcase, critical_in_bursts_keeps_to_its_share);
    tcase_add_test(tcase, full_priority_answers_busy);
    tcase_add_test(tcase, bulk_of_many_links_has_one_bound);
    tcase_add_test(tcase, bulk_takes_no_more_than_its_room);
    tcase_add_test(tcase, overflow_sheds_the_least_urgent_and_never_critical);
    tcase_add_test(tcase, expired_is_dropped_when_its_turn_comes);
    tcase_add_test(tcase, long_envelope_goes_in_parts);
    tcase_add_test(tcase, what_is_dropped_at_the_end_is_reported_once);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
