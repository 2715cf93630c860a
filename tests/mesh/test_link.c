#include "tests/crypto/support.h"
#include "tests/mesh/link_pair.h"

static struct pair *pair;

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    pair = pair_new();
}

static void teardown(void)
{
    pair_free(pair);
}

/* ---- handshake ---- */

START_TEST(handshake_proves_both_ends_in_any_chunking)
{
    const struct link_peer *at_dialer, *at_acceptor;

    pair->chunk = (size_t)_i;
    pair_connect(pair);
    pair_run(pair);
    ck_assert_int_eq(pair->dialer.seen[0].type, LINK_READY);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_READY);
    at_dialer = link_peer(pair->dialer.link);
    at_acceptor = link_peer(pair->acceptor.link);
    ck_assert(mn_id_equal(&at_dialer->node_id, &pair->acceptor.identity.node_id));
    ck_assert(mn_id_equal(&at_acceptor->node_id, &pair->dialer.identity.node_id));
    ck_assert_mem_eq(at_dialer->sign_pk, pair->acceptor.identity.key.pk, SIGN_PK_SIZE);
    ck_assert_mem_eq(at_acceptor->noise_pk, pair->dialer.identity.noise_pk, IDENTITY_NOISE_SIZE);
    ck_assert_mem_eq(at_dialer->handshake, at_acceptor->handshake, NOISE_HASH_SIZE);
}
END_TEST

/* The bytes of a handshake as they cross: 0 preamble and message 1, 1 message 2, 2 message 3. */
static struct mn_buf *handshake_bytes(int which)
{
    struct mn_buf *bytes = NULL;

    pair_connect(pair);
    for (int i = 0; i <= which; i++) {
        struct end *from = i == 1 ? &pair->acceptor : &pair->dialer;
        struct end *to = i == 1 ? &pair->dialer : &pair->acceptor;
        end_flush(pair, from, to);
        mn_buf_unref(bytes);
        bytes = mn_buf_copy(mn_buf_span(to->wire.buf));
        if (i < which)
            end_deliver(pair, to);
        else
            mn_writer_drop(&to->wire);
    }
    return bytes;
}

/* One flipped bit in a byte of the handshake: the reader never becomes ready, and the other side
 * learns nothing more than that the connection ends. */
START_TEST(flipped_handshake_byte_is_refused)
{
    int which = _i;
    size_t size = 1;

    for (size_t at = 0; at < size; at++) {
        struct mn_buf *bytes = handshake_bytes(which);
        struct end *reader = which == 1 ? &pair->dialer : &pair->acceptor;
        size = bytes->size;
        bytes->bytes[at] ^= (uint8_t)(1u << (at % 8));
        end_forget(reader);
        end_feed(pair, reader, mn_buf_span(bytes));
        mn_buf_unref(bytes);
        /* A changed length may only wait for bytes that never come. */
        if (link_phase(reader->link) != LINK_ENDED) pair_advance(pair, 6 * MN_SEC);
        if (which == 0 && link_phase(reader->link) == LINK_HANDSHAKE)
            ck_abort_msg("byte %zu of message 1", at);
        if (which == 0) {
            /* Message 1 is in clear: a changed key is noticed when it is used, at the latest when
             * message 2 is read by the honest dialer. */
            end_flush(pair, &pair->acceptor, &pair->dialer);
            if (mn_writer_size(&pair->dialer.wire) > 0) end_deliver(pair, &pair->dialer);
            ck_assert_int_ne(link_phase(pair->dialer.link), LINK_HELLO);
        }
        ck_assert_int_eq(link_phase(reader->link), LINK_ENDED);
        for (uint32_t i = 0; i < reader->seen_count; i++)
            ck_assert_int_ne(reader->seen[i].type, LINK_READY);
        teardown();
        setup();
    }
}
END_TEST

START_TEST(replayed_handshake_is_refused)
{
    struct mn_buf *first, *third;
    struct link_config config = {
        .self = &pair->acceptor.identity, .timing = &pair->timing, .limits = &pair->limits};

    first = handshake_bytes(0);
    end_feed(pair, &pair->acceptor, mn_buf_span(first));
    end_flush(pair, &pair->acceptor, &pair->dialer);
    end_deliver(pair, &pair->dialer);
    end_flush(pair, &pair->dialer, &pair->acceptor);
    third = mn_buf_copy(mn_buf_span(pair->acceptor.wire.buf));
    end_deliver(pair, &pair->acceptor);
    ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_HELLO);

    /* The same bytes to a new link of the same node: its ephemeral key is another one. */
    link_free(pair->acceptor.link);
    memset(config.ephemeral_sk, 0x33, sizeof config.ephemeral_sk);
    pair->acceptor.link = link_new(&config, pair->now);
    end_forget(&pair->acceptor);
    end_feed(pair, &pair->acceptor, mn_buf_span(first));
    end_flush(pair, &pair->acceptor, &pair->dialer);
    mn_writer_drop(&pair->dialer.wire);
    end_feed(pair, &pair->acceptor, mn_buf_span(third));
    ck_assert_uint_eq(pair->acceptor.seen_count, 1);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
    mn_buf_unref(first);
    mn_buf_unref(third);
}
END_TEST

START_TEST(dialer_closes_on_another_node_than_expected)
{
    pair->dialer.link = end_link(pair, &pair->dialer, true, &pair->dialer.identity.node_id);
    pair->acceptor.link = end_link(pair, &pair->acceptor, false, NULL);
    pair_run(pair);
    ck_assert_int_eq(pair->dialer.seen[0].type, LINK_CLOSED);
    ck_assert_int_eq(pair->dialer.seen[0].status, MN_DENIED);
    ck_assert_uint_eq(pair->acceptor.seen_count, 0); /* it never learned who dialed */
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    enum link_garbage garbage;
} garbage[] = {{"GET / HTTP/1.1\r\n\r\n", 18, LINK_GARBAGE_HTTP},
               {"\x16\x03\x01\x02\x00\x01", 6, LINK_GARBAGE_TLS},
               {"\x00", 1, LINK_GARBAGE_OTHER},
               {"MESH\x01\x02\x00\x00", 8, LINK_GARBAGE_OTHER},
               {"MESH\x02", 5, LINK_GARBAGE_OTHER}};

START_TEST(garbage_closes_and_is_classified)
{
    pair_connect(pair);
    end_feed(pair, &pair->acceptor, mn_span(garbage[_i].bytes, garbage[_i].size));
    ck_assert_uint_eq(pair->acceptor.seen_count, 1);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
    ck_assert_int_eq(pair->acceptor.seen[0].garbage, garbage[_i].garbage);
    ck_assert(!link_can_flush(pair->acceptor.link)); /* no word to strangers */
}
END_TEST

/* Its length says more than the longest one has: nobody waits for that many bytes. */
START_TEST(handshake_message_over_its_size_ends_the_link)
{
    static const char bytes[] = FRAME_PREAMBLE "\x02\x01";

    pair_connect(pair);
    end_feed(pair, &pair->acceptor, mn_span(bytes, sizeof bytes - 1)); /* 513 */
    ck_assert_uint_eq(pair->acceptor.seen_count, 1);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
    ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_ENDED);
}
END_TEST

START_TEST(silence_before_the_preamble_ends_after_two_seconds)
{
    pair_connect(pair);
    end_feed(pair, &pair->acceptor, mn_span("MES", 3));
    ck_assert_uint_eq(link_deadline(pair->acceptor.link), pair->now.mono + 2 * MN_SEC);
    pair_advance(pair, 2 * MN_SEC);
    ck_assert_int_eq(pair->acceptor.seen[0].status, MN_TIMEOUT);
}
END_TEST

/* The limit is absolute: a byte now and then does not stretch it. */
START_TEST(slow_handshake_ends_after_five_seconds)
{
    struct mn_buf *bytes = handshake_bytes(0);

    for (size_t i = 0; i < 8; i++)
        end_feed(pair, &pair->acceptor, mn_span(bytes->bytes + i, 1));
    for (size_t i = 0; i < 49; i++) {
        pair_advance(pair, 100 * MN_MS);
        end_feed(pair, &pair->acceptor, mn_span(bytes->bytes + 8 + i % 30, i < 20 ? 1 : 0));
    }
    ck_assert_uint_eq(pair->acceptor.seen_count, 0);
    pair_advance(pair, 100 * MN_MS);
    ck_assert_int_eq(pair->acceptor.seen[0].status, MN_TIMEOUT);
    mn_buf_unref(bytes);
}
END_TEST

/* ---- frames ---- */

START_TEST(envelopes_arrive_whole_and_in_order_in_any_chunking)
{
    static const size_t sizes[] = {0, 1, 128, 1024, 1025, 16384, 20000, 20480, 30000, 70000};
    uint32_t count = 0;

    pair->chunk = (size_t)_i;
    pair_open(pair);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
            ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, ++count, sizes[i], 0),
                             MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, count);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(pair->acceptor.seen[i].sequence, i + 1);
        assert_payload(&pair->acceptor.seen[i], sizes[i % (sizeof sizes / sizeof *sizes)]);
    }
}
END_TEST

START_TEST(largest_envelope_crosses_in_parts)
{
    pair_open(pair);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_LOW, 1, ENVELOPE_PAYLOAD_MAX, 0),
                     MN_OK);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_CRITICAL, 2, 10, 0), MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 2);
    ck_assert_uint_eq(pair->acceptor.seen[0].sequence, 2); /* did not wait for the large one */
    assert_payload(&pair->acceptor.seen[1], ENVELOPE_PAYLOAD_MAX);
}
END_TEST

/* Four large ones at once: what is in parts stays within what the receiver allows. */
START_TEST(parts_of_several_priorities_stay_within_bounds)
{
    pair->limits.queue.total_max *= 2;
    pair_open(pair);
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        ck_assert_int_eq(end_send(pair, &pair->dialer, (enum envelope_priority)i, i + 1,
                                  ENVELOPE_PAYLOAD_MAX - i, 0),
                         MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, ENVELOPE_PRIORITIES);
    for (unsigned i = 0; i < ENVELOPE_PRIORITIES; i++)
        assert_payload(&pair->acceptor.seen[i],
                       ENVELOPE_PAYLOAD_MAX - (size_t)pair->acceptor.seen[i].priority);
}
END_TEST

START_TEST(rekey_under_load_loses_and_reorders_nothing)
{
    pair->limits.rekey_frames = (uint64_t)_i;
    pair->chunk = 1000;
    pair_open(pair);
    for (uint32_t i = 0; i < 2000; i++) {
        ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, i, 200, 0), MN_OK);
        ck_assert_int_eq(end_send(pair, &pair->acceptor, ENVELOPE_NORMAL, i, 300, 0), MN_OK);
        if (i % 50 == 0) pair_run(pair);
    }
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 2000);
    ck_assert_uint_eq(pair->dialer.seen_count, 2000);
    for (uint32_t i = 0; i < 2000; i++) {
        ck_assert_uint_eq(pair->acceptor.seen[i].sequence, i);
        assert_payload(&pair->dialer.seen[i], 300);
    }
    ck_assert_uint_eq(link_stats(pair->dialer.link)->rekeys_out,
                      link_stats(pair->acceptor.link)->rekeys_in);
    ck_assert_uint_ge(link_stats(pair->dialer.link)->rekeys_out,
                      link_stats(pair->dialer.link)->frames_out / (uint64_t)_i);
}
END_TEST

START_TEST(rekey_by_bytes_and_by_age)
{
    pair->limits.rekey_bytes = 10000;
    pair_open(pair);
    for (uint32_t i = 0; i < 30; i++) {
        ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, i, 1000, 0), MN_OK);
        pair_run(pair);
    }
    ck_assert_uint_ge(link_stats(pair->dialer.link)->rekeys_out, 3);
    ck_assert_uint_eq(link_stats(pair->acceptor.link)->rekeys_out, 0);
    pair->now.mono += MN_HOUR;
    ck_assert_int_eq(end_send(pair, &pair->acceptor, ENVELOPE_NORMAL, 1, 10, 0), MN_OK);
    pair_run(pair);
    ck_assert_int_eq(end_send(pair, &pair->acceptor, ENVELOPE_NORMAL, 2, 10, 0), MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(link_stats(pair->acceptor.link)->rekeys_out, 1);
    ck_assert_uint_eq(pair->dialer.seen_count, 2);
}
END_TEST

START_TEST(flipped_frame_byte_ends_the_link)
{
    size_t size = 1;

    for (size_t at = 0; at < size; at++) {
        pair_open(pair);
        ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 20, 0), MN_OK);
        end_flush(pair, &pair->dialer, &pair->acceptor);
        size = mn_writer_size(&pair->acceptor.wire);
        pair->acceptor.wire.buf->bytes[at] ^= (uint8_t)(1u << (at % 8));
        end_deliver(pair, &pair->acceptor);
        if (at >= FRAME_LENGTH_SIZE) {
            ck_assert_uint_eq(pair->acceptor.seen_count, 1);
            ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
        } else { /* a longer length only waits */
            for (int i = 0; i < 3; i++)
                pair_advance(pair, 5 * MN_SEC);
            ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_ENDED);
        }
        for (uint32_t i = 0; i < pair->acceptor.seen_count; i++)
            ck_assert_int_ne(pair->acceptor.seen[i].type, LINK_ENVELOPE);
        teardown();
        setup();
    }
    pair_connect(pair);
}
END_TEST

START_TEST(replayed_frame_ends_the_link)
{
    struct mn_buf *frame;

    pair_open(pair);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 20, 0), MN_OK);
    end_flush(pair, &pair->dialer, &pair->acceptor);
    frame = mn_buf_copy(mn_buf_span(pair->acceptor.wire.buf));
    end_deliver(pair, &pair->acceptor);
    end_feed(pair, &pair->acceptor, mn_buf_span(frame));
    ck_assert_uint_eq(pair->acceptor.seen_count, 2);
    ck_assert_int_eq(pair->acceptor.seen[1].status, MN_CRYPTO);
    mn_buf_unref(frame);
}
END_TEST

START_TEST(frame_once_begun_must_end_within_ten_seconds)
{
    struct mn_span whole;

    pair_open(pair);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 200, 0), MN_OK);
    end_flush(pair, &pair->dialer, &pair->acceptor);
    whole = mn_buf_span(pair->acceptor.wire.buf);
    end_feed(pair, &pair->acceptor, mn_span(whole.data, 1));
    for (size_t i = 1; i < 10; i++) {
        pair_advance(pair, MN_SEC);
        end_feed(pair, &pair->acceptor, mn_span(whole.data + i, 1));
    }
    ck_assert_uint_eq(pair->acceptor.seen_count, 0);
    pair_advance(pair, MN_SEC);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
    ck_assert_int_eq(pair->acceptor.seen[0].status, MN_TIMEOUT);
}
END_TEST

/* ---- phases ---- */

static const struct {
    enum link_phase phase;
    enum frame_kind kind;
    bool allowed;
} phases[] = {{LINK_HELLO, FRAME_HELLO, true},          {LINK_HELLO, FRAME_ADMISSION, false},
              {LINK_HELLO, FRAME_PING, true},           {LINK_HELLO, FRAME_ENVELOPE, false},
              {LINK_GUEST, FRAME_ADMISSION, true},      {LINK_GUEST, FRAME_ENVELOPE, false},
              {LINK_GUEST, FRAME_PART_FIRST, false},    {LINK_SPONSOR, FRAME_ADMISSION, true},
              {LINK_SPONSOR, FRAME_ENVELOPE, false},    {LINK_MEMBER, FRAME_ADMISSION, true},
              {LINK_GUEST, (enum frame_kind)77, false}, {LINK_MEMBER, (enum frame_kind)77, true}};

START_TEST(kind_before_its_phase_ends_the_link)
{
    uint8_t item[FRAME_PING_SIZE] = {0};

    pair_connect(pair);
    pair_run(pair);
    end_forget(&pair->acceptor);
    if (phases[_i].phase != LINK_HELLO) link_set_phase(pair->acceptor.link, phases[_i].phase);
    ck_assert_int_eq(
        link_send_control(pair->dialer.link, phases[_i].kind, mn_span(item, sizeof item)), MN_OK);
    pair_run(pair);
    ck_assert_int_eq(link_phase(pair->acceptor.link) != LINK_ENDED, phases[_i].allowed);
    if (!phases[_i].allowed) ck_assert_int_eq(pair->acceptor.seen[0].status, MN_DENIED);
}
END_TEST

START_TEST(guest_frame_is_small)
{
    uint8_t bytes[FRAME_GUEST_MAX] = {0};

    pair_connect(pair);
    pair_run(pair);
    end_forget(&pair->acceptor);
    link_set_phase(pair->acceptor.link, LINK_GUEST);
    ck_assert_int_eq(link_send_control(pair->dialer.link, FRAME_ADMISSION,
                                       mn_span(bytes, FRAME_GUEST_MAX - FRAME_ITEM_HEAD_SIZE)),
                     MN_OK);
    pair_run(pair);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_ADMISSION);
    ck_assert_int_eq(
        link_send_control(pair->dialer.link, FRAME_ADMISSION, mn_span(bytes, sizeof bytes)), MN_OK);
    pair_run(pair);
    ck_assert_int_eq(pair->acceptor.seen[1].type, LINK_CLOSED);
    ck_assert_int_eq(pair->acceptor.seen[1].status, MN_TOO_BIG);
}
END_TEST

START_TEST(goodbye_is_the_last_word)
{
    pair_open(pair);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 20, 7), MN_OK);
    ck_assert_int_eq(link_send_control(pair->dialer.link, FRAME_CLOSE, mn_span("x", 1)), MN_OK);
    ck_assert_int_eq(link_send_control(pair->dialer.link, FRAME_PING, mn_span("x", 1)), MN_STATE);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 2, 20, 8), MN_STATE);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 1);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSE_IN);
    ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_ENDED);
    ck_assert(link_is_drained(pair->dialer.link));
}
END_TEST

/* ---- envelopes that are none ---- */

START_TEST(envelope_for_others_is_refused)
{
    mn_id other = {{9}};
    struct envelope envelope = {.type = ENVELOPE_EVENT, .priority = ENVELOPE_NORMAL};

    pair_open(pair);
    envelope.source = &other;
    ck_assert_int_eq(link_send(pair->dialer.link, pair->now, &envelope, NULL, 0), MN_OK);
    envelope.source = NULL;
    envelope.destination = &other;
    ck_assert_int_eq(link_send(pair->dialer.link, pair->now, &envelope, NULL, 0), MN_OK);
    envelope.source = &pair->dialer.identity.node_id;
    envelope.destination = &pair->acceptor.identity.node_id;
    ck_assert_int_eq(link_send(pair->dialer.link, pair->now, &envelope, NULL, 0), MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 3);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_MALFORMED);
    ck_assert_int_eq(pair->acceptor.seen[1].type, LINK_MALFORMED);
    ck_assert_int_eq(pair->acceptor.seen[1].status, MN_DENIED);
    ck_assert_int_eq(pair->acceptor.seen[2].type, LINK_ENVELOPE);
}
END_TEST

START_TEST(malformed_envelope_is_dropped_alone)
{
    pair_open(pair);
    ck_assert_int_eq(link_send_control(pair->dialer.link, FRAME_ENVELOPE, mn_span("\xff\xff", 2)),
                     MN_OK);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 5, 20, 0), MN_OK);
    pair_run(pair);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_MALFORMED);
    ck_assert_int_eq(pair->acceptor.seen[1].type, LINK_ENVELOPE);
    ck_assert_uint_eq(link_stats(pair->acceptor.link)->malformed, 1);
}
END_TEST

static const struct {
    enum frame_kind kind;
    const char *bytes;
    size_t size;
} bad_parts[] = {{FRAME_PART, "\x02xyz", 4},                       /* of nothing */
                 {FRAME_PART_FIRST, "\x02\x00\x00\x00\x03xyz", 8}, /* needs no parts */
                 {FRAME_PART_FIRST, "\x05\x00\x00\x10\x03xyz", 8}, /* no such priority */
                 {FRAME_PART_FIRST, "\x02\x7f\x00\x00\x00xyz", 8}, /* too long */
                 {FRAME_PART_FIRST, "\x02\x00\x00\x10\x00", 5},    /* brings nothing */
                 {FRAME_PING, "short", 5},
                 {FRAME_REKEY, "x", 1}};

START_TEST(bad_item_ends_the_link)
{
    pair_open(pair);
    ck_assert_int_eq(link_send_control(pair->dialer.link, bad_parts[_i].kind,
                                       mn_span(bad_parts[_i].bytes, bad_parts[_i].size)),
                     MN_OK);
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 1);
    ck_assert_int_eq(pair->acceptor.seen[0].type, LINK_CLOSED);
}
END_TEST

/* Promises of four large envelopes at once: more than an honest sender makes. */
START_TEST(too_many_parts_end_the_link)
{
    uint8_t part[] = {1, 0, 0, 0, 0, 'x'};

    mn_store_u32(part + 1, (uint32_t)ENVELOPE_SIZE_MAX);
    pair_open(pair);
    for (uint8_t priority = 0; priority < 3; priority++) {
        part[0] = priority;
        ck_assert_int_eq(
            link_send_control(pair->dialer.link, FRAME_PART_FIRST, mn_span(part, sizeof part)),
            MN_OK);
    }
    pair_run(pair);
    ck_assert_uint_eq(pair->acceptor.seen_count, 0);
    part[0] = 3;
    ck_assert_int_eq(
        link_send_control(pair->dialer.link, FRAME_PART_FIRST, mn_span(part, sizeof part)), MN_OK);
    pair_run(pair);
    ck_assert_int_eq(pair->acceptor.seen[0].status, MN_TOO_BIG);
}
END_TEST

/* ---- liveness ---- */

START_TEST(pings_measure_the_round_trip_and_keep_an_idle_link)
{
    pair_open(pair);
    for (int i = 0; i < 60; i++) {
        mn_time next = link_deadline(pair->dialer.link);
        pair_advance(pair, next > pair->now.mono ? next - pair->now.mono : 0);
        end_flush(pair, &pair->dialer, &pair->acceptor);
        pair->now.mono += 300; /* on the way */
        end_deliver(pair, &pair->acceptor);
        pair_run(pair);
    }
    ck_assert_int_eq(link_phase(pair->dialer.link), LINK_MEMBER);
    ck_assert_uint_eq(link_stats(pair->dialer.link)->rtt_us, 300);
    ck_assert_uint_ge(pair->now.mono, 2 * MN_MINUTE);
}
END_TEST

START_TEST(frozen_peer_is_noticed)
{
    pair_open(pair);
    for (int i = 0; i < 20 && link_phase(pair->dialer.link) != LINK_ENDED; i++) {
        mn_time next = link_deadline(pair->dialer.link);
        pair_advance(pair, next - pair->now.mono);
        end_flush(pair, &pair->dialer, &pair->acceptor); /* nobody answers */
    }
    ck_assert_int_eq(pair->dialer.seen[0].type, LINK_CLOSED);
    ck_assert_int_eq(pair->dialer.seen[0].status, MN_TIMEOUT);
    ck_assert_uint_le(pair->now.mono, MN_SEC + pair->timing.idle);
}
END_TEST

START_TEST(paused_reader_does_not_take_silence_for_death)
{
    pair_open(pair);
    link_set_paused(pair->dialer.link, pair->now, true);
    for (int i = 0; i < 5; i++) {
        pair_advance(pair, 10 * MN_SEC);
        if (end_flush(pair, &pair->dialer, &pair->acceptor)) end_deliver(pair, &pair->acceptor);
    }
    ck_assert_int_eq(link_phase(pair->dialer.link), LINK_MEMBER);
    ck_assert_int_eq(link_phase(pair->acceptor.link), LINK_MEMBER); /* it hears the pings */
    link_set_paused(pair->dialer.link, pair->now, false);
    pair_run(pair);
    ck_assert_int_eq(link_phase(pair->dialer.link), LINK_MEMBER);
}
END_TEST

START_TEST(challenge_is_answered_by_a_live_peer_only)
{
    pair_open(pair);
    link_start_challenge(pair->dialer.link, pair->now);
    ck_assert(!link_challenge_answered(pair->dialer.link));
    end_flush(pair, &pair->dialer, &pair->acceptor);
    ck_assert(!link_challenge_answered(pair->dialer.link));
    pair_run(pair);
    ck_assert(link_challenge_answered(pair->dialer.link));
}
END_TEST

/* ---- sending ---- */

START_TEST(one_send_is_outstanding_and_the_rest_waits_within_bounds)
{
    struct queue_drop drop;
    uint32_t taken = 0;

    pair->limits.queue.bytes_max[ENVELOPE_NORMAL] = 100000;
    pair_open(pair);
    pair->dialer.is_stuck = true;
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 1000, 0), MN_OK);
    ck_assert(end_flush(pair, &pair->dialer, &pair->acceptor));
    while (end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 2, 1000, taken + 1) == MN_OK)
        taken++;
    ck_assert_uint_ge(taken, 90);
    ck_assert_uint_le(taken, 100);
    ck_assert(!end_flush(pair, &pair->dialer, &pair->acceptor));
    queue_drop_all(link_queue(pair->dialer.link)); /* the link dies: what never left is known */
    for (uint32_t i = 0; i < taken; i++) {
        ck_assert(queue_take_drop(link_queue(pair->dialer.link), &drop));
        ck_assert_uint_eq(drop.tag, i + 1);
    }
    ck_assert(!queue_take_drop(link_queue(pair->dialer.link), &drop));
}
END_TEST

START_TEST(frames_and_sends_have_the_size_that_is_aimed_at)
{
    struct mn_buf *buf;
    const struct link_stats *stats = link_stats((pair_open(pair), pair->dialer.link));
    uint64_t frames = stats->frames_out;

    for (uint32_t i = 0; i < 4000; i++)
        ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, i, 128, 0), MN_OK);
    buf = link_flush(pair->dialer.link, pair->now);
    ck_assert_uint_le(buf->size, FRAME_SEND_MAX);
    ck_assert_uint_ge(buf->size, FRAME_SEND_MAX * 9 / 10);
    ck_assert_uint_le(stats->frames_out - frames, 4);
    mn_buf_unref(buf);
}
END_TEST

START_TEST(queue_moves_to_another_link)
{
    struct pair *other = pair_new();

    pair_open(pair);
    pair_open(other);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 1, 100000, 0), MN_OK);
    ck_assert_int_eq(end_send(pair, &pair->dialer, ENVELOPE_NORMAL, 2, 50, 0), MN_OK);
    end_flush(pair, &pair->dialer, &pair->acceptor); /* some parts are out */
    link_move_queue(pair->dialer.link, other->dialer.link);
    pair_run(pair);
    pair_run(other);
    ck_assert_uint_eq(pair->acceptor.seen_count, 0);
    ck_assert_uint_eq(other->acceptor.seen_count, 2);
    assert_payload(&other->acceptor.seen[0], 100000);
    pair_free(other);
}
END_TEST

START_TEST(expired_envelope_is_not_sent)
{
    struct envelope envelope = {
        .type = ENVELOPE_QUERY, .priority = ENVELOPE_NORMAL, .deadline_us = MN_SEC};
    struct queue_drop drop;

    pair_open(pair);
    ck_assert_int_eq(link_send(pair->dialer.link, pair->now, &envelope, NULL, 5), MN_OK);
    pair->now.mono += MN_SEC;
    ck_assert_ptr_null(link_flush(pair->dialer.link, pair->now));
    ck_assert(queue_take_drop(link_queue(pair->dialer.link), &drop));
    ck_assert_uint_eq(drop.tag, 5);
    ck_assert_int_eq(drop.status, MN_EXPIRED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link");
    TCase *tcase = tcase_create("link");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, handshake_proves_both_ends_in_any_chunking, 0, 9);
    tcase_add_loop_test(tcase, flipped_handshake_byte_is_refused, 0, 3);
    tcase_add_test(tcase, replayed_handshake_is_refused);
    tcase_add_test(tcase, dialer_closes_on_another_node_than_expected);
    tcase_add_loop_test(tcase, garbage_closes_and_is_classified, 0,
                        sizeof garbage / sizeof *garbage);
    tcase_add_test(tcase, handshake_message_over_its_size_ends_the_link);
    tcase_add_test(tcase, silence_before_the_preamble_ends_after_two_seconds);
    tcase_add_test(tcase, slow_handshake_ends_after_five_seconds);
    tcase_add_loop_test(tcase, envelopes_arrive_whole_and_in_order_in_any_chunking, 0, 4);
    tcase_add_test(tcase, largest_envelope_crosses_in_parts);
    tcase_add_test(tcase, parts_of_several_priorities_stay_within_bounds);
    tcase_add_loop_test(tcase, rekey_under_load_loses_and_reorders_nothing, 1, 5);
    tcase_add_test(tcase, rekey_by_bytes_and_by_age);
    tcase_add_test(tcase, flipped_frame_byte_ends_the_link);
    tcase_add_test(tcase, replayed_frame_ends_the_link);
    tcase_add_test(tcase, frame_once_begun_must_end_within_ten_seconds);
    tcase_add_loop_test(tcase, kind_before_its_phase_ends_the_link, 0,
                        sizeof phases / sizeof *phases);
    tcase_add_test(tcase, guest_frame_is_small);
    tcase_add_test(tcase, goodbye_is_the_last_word);
    tcase_add_test(tcase, envelope_for_others_is_refused);
    tcase_add_test(tcase, malformed_envelope_is_dropped_alone);
    tcase_add_loop_test(tcase, bad_item_ends_the_link, 0, sizeof bad_parts / sizeof *bad_parts);
    tcase_add_test(tcase, too_many_parts_end_the_link);
    tcase_add_test(tcase, pings_measure_the_round_trip_and_keep_an_idle_link);
    tcase_add_test(tcase, frozen_peer_is_noticed);
    tcase_add_test(tcase, paused_reader_does_not_take_silence_for_death);
    tcase_add_test(tcase, challenge_is_answered_by_a_live_peer_only);
    tcase_add_test(tcase, one_send_is_outstanding_and_the_rest_waits_within_bounds);
    tcase_add_test(tcase, frames_and_sends_have_the_size_that_is_aimed_at);
    tcase_add_test(tcase, queue_moves_to_another_link);
    tcase_add_test(tcase, expired_envelope_is_not_sent);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
