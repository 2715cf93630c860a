/* Envelopes by hand against protobuf-c, and their bounds. */
#include <stdlib.h>

#include "proto/envelope.h"
#include "proto/frame.h"
#include "proto/pb.h"
#include "proto/wire.pb-c.h"
#include "tests/crypto/support.h"

static struct mn_arena arena;
static uint64_t random_state;

static void setup(void)
{
    arena = (struct mn_arena){0};
}

static void teardown(void)
{
    mn_arena_done(&arena);
}

/* xorshift64* (Vigna, 2016): enough to vary a test. */
static uint64_t draw(uint64_t bound)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717u >> 11) % bound;
}

static struct mn_span draw_bytes(size_t size)
{
    uint8_t *bytes = mn_arena_alloc(&arena, size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)draw(256);
    return mn_span(bytes, size);
}

static const mn_id *draw_id(void)
{
    return draw(2) == 0 ? NULL : (const mn_id *)draw_bytes(16).data;
}

static uint64_t draw_number(void)
{
    return draw(3) == 0 ? 0 : draw(UINT64_MAX) >> draw(64);
}

static struct envelope draw_envelope(void)
{
    struct envelope envelope = {.type = (enum envelope_type)(1 + draw(8)),
                                .priority = (enum envelope_priority)draw(5),
                                .schema = (uint32_t)draw_number(),
                                .guarantee = (enum envelope_guarantee)draw(3),
                                .wants_ack = draw(2) == 0,
                                .hops = (uint32_t)draw_number(),
                                .hops_max = (uint32_t)draw_number(),
                                .key_id = (uint32_t)draw_number(),
                                .deadline_us = draw_number(),
                                .boot = draw_number(),
                                .sequence = draw_number(),
                                .created_ms = draw_number(),
                                .expires_ms = draw_number(),
                                .ttl_ms = draw_number()};

    envelope.destination = draw_id();
    envelope.source = draw_id();
    envelope.id = draw_id();
    envelope.correlation = draw_id();
    envelope.trail = draw_bytes(16 * draw(4));
    envelope.targets = draw_bytes(16 * draw(4));
    envelope.causality = draw_bytes(24 * draw(3));
    envelope.proof = draw_bytes(draw(3) * 32);
    envelope.trace = draw_bytes(draw(60));
    envelope.idempotency_key = draw_bytes(draw(40));
    envelope.payload = draw_bytes(draw(3) == 0 ? 0 : draw(2000));
    return envelope;
}

static struct mn_span encode(const struct envelope *envelope)
{
    size_t size = envelope_size(envelope);
    uint8_t *bytes = mn_arena_alloc(&arena, size);

    ck_assert_int_eq(envelope_check(envelope), MN_OK);
    envelope_write(envelope, bytes);
    return mn_span(bytes, size);
}

static void assert_id(const mn_id *id, ProtobufCBinaryData bytes)
{
    ck_assert_uint_eq(bytes.len, id == NULL ? 0 : 16);
    if (id != NULL) ck_assert_mem_eq(bytes.data, id->bytes, 16);
}

static void assert_bytes(struct mn_span span, ProtobufCBinaryData bytes)
{
    ck_assert_uint_eq(bytes.len, span.size);
    if (span.size > 0) ck_assert_mem_eq(bytes.data, span.data, span.size);
}

static const enum envelope_priority priority_of[] = {
    ENVELOPE_NORMAL, ENVELOPE_CRITICAL, ENVELOPE_HIGH, ENVELOPE_LOW, ENVELOPE_BACKGROUND};

/* Does protobuf-c read the same from the same bytes? */
static void assert_same(const struct envelope *envelope, struct mn_span bytes)
{
    Meshnode__Wire__Envelope *outer =
        pb_unpack(&meshnode__wire__envelope__descriptor, &arena, bytes);
    Meshnode__Wire__Content *content;

    ck_assert_ptr_nonnull(outer);
    content = pb_unpack(&meshnode__wire__content__descriptor, &arena, pb_span(outer->content));
    ck_assert_ptr_nonnull(content);
    assert_id(envelope->destination, outer->destination);
    ck_assert_uint_eq(envelope->hops, outer->hops);
    ck_assert_uint_eq(envelope->hops_max, outer->hops_max);
    ck_assert_uint_eq(envelope->key_id, outer->key_id);
    ck_assert_uint_eq(envelope->deadline_us, outer->deadline_us);
    assert_bytes(envelope->trail, outer->trail);
    assert_bytes(envelope->proof, outer->proof);
    ck_assert_int_eq((int)envelope->type, (int)content->type);
    ck_assert_int_eq(envelope->priority, priority_of[content->priority]);
    ck_assert_uint_eq(envelope->schema, content->schema);
    ck_assert_int_eq((int)envelope->guarantee, (int)content->guarantee);
    ck_assert_int_eq(envelope->wants_ack, content->wants_ack);
    assert_id(envelope->source, content->source);
    assert_id(envelope->id, content->id);
    assert_id(envelope->correlation, content->correlation);
    ck_assert_uint_eq(envelope->boot, content->boot);
    ck_assert_uint_eq(envelope->sequence, content->sequence);
    ck_assert_uint_eq(envelope->created_ms, content->created_ms);
    ck_assert_uint_eq(envelope->expires_ms, content->expires_ms);
    ck_assert_uint_eq(envelope->ttl_ms, content->ttl_ms);
    assert_bytes(envelope->targets, content->targets);
    assert_bytes(envelope->idempotency_key, content->idempotency_key);
    assert_bytes(envelope->trace, content->trace);
    assert_bytes(envelope->causality, content->causality);
    assert_bytes(envelope->payload, content->payload);
}

START_TEST(what_we_write_protobuf_reads)
{
    random_state = (uint64_t)_i + 1;
    for (int i = 0; i < 200; i++) {
        struct envelope envelope = draw_envelope(), back;
        struct mn_span bytes = encode(&envelope);
        assert_same(&envelope, bytes);
        ck_assert_int_eq(envelope_decode(bytes, &back), MN_OK);
        assert_same(&back, bytes);
        ck_assert_uint_eq(envelope_size(&back), bytes.size);
        mn_arena_reset(&arena);
    }
}
END_TEST

/* Protobuf may order and repeat fields as it likes, and adds ones that we do not know. */
START_TEST(what_protobuf_writes_we_read)
{
    random_state = (uint64_t)_i + 1;
    for (int i = 0; i < 200; i++) {
        struct envelope envelope = draw_envelope(), back;
        struct mn_span bytes = encode(&envelope), packed;
        Meshnode__Wire__Envelope *outer =
            pb_unpack(&meshnode__wire__envelope__descriptor, &arena, bytes);
        struct mn_writer writer = {0};
        struct mn_buf *whole;

        packed = pb_pack_arena(&outer->base, &arena);
        mn_writer_add(&writer, mn_span("\xa2\x06\x03new", 6)); /* field 100 */
        mn_writer_add(&writer, mn_span("\x18\x63", 2));        /* hops, overridden below */
        mn_writer_add(&writer, packed);
        if (envelope.hops == 0) mn_writer_add(&writer, mn_span("\x18\x00", 2));
        whole = mn_writer_done(&writer);
        ck_assert_int_eq(envelope_decode(mn_buf_span(whole), &back), MN_OK);
        assert_same(&envelope, bytes);
        assert_same(&back, mn_buf_span(whole));
        mn_buf_unref(whole);
        mn_arena_reset(&arena);
    }
}
END_TEST

/* Whatever we accept, protobuf-c accepts and reads alike; we may refuse more. */
START_TEST(mutated_bytes_are_refused_or_read_alike)
{
    uint32_t accepted = 0;

    random_state = (uint64_t)_i + 1;
    for (int i = 0; i < 2000; i++) {
        struct envelope envelope = draw_envelope(), back;
        struct mn_span bytes = encode(&envelope);
        uint8_t *exact = malloc(bytes.size);
        size_t size = bytes.size;

        memcpy(exact, bytes.data, bytes.size);
        for (uint64_t flips = 1 + draw(3); flips > 0; flips--)
            exact[draw(size < 60 ? size : 60)] = (uint8_t)draw(256);
        if (draw(4) == 0) size = draw(size);
        if (envelope_decode(mn_span(exact, size), &back) == MN_OK &&
            back.seal == ENVELOPE_SEAL_LINK) {
            assert_same(&back, mn_span(exact, size));
            accepted++;
        }
        free(exact);
        mn_arena_reset(&arena);
    }
    ck_assert_uint_gt(accepted, 20);
}
END_TEST

START_TEST(absent_fields_cost_nothing)
{
    struct envelope envelope = {.type = ENVELOPE_EVENT, .priority = ENVELOPE_NORMAL};

    ck_assert_uint_eq(encode(&envelope).size, 4); /* content: type */
    envelope.payload = mn_span("x", 1);
    ck_assert_uint_eq(encode(&envelope).size, 8);
}
END_TEST

START_TEST(content_passes_through_as_it_came)
{
    struct envelope envelope = {.type = ENVELOPE_QUERY,
                                .priority = ENVELOPE_HIGH,
                                .sequence = 9,
                                .payload = mn_span("hello", 5)};
    struct mn_span bytes = encode(&envelope), again;
    struct envelope back, relayed;
    mn_id destination = {{7}};

    ck_assert_int_eq(envelope_decode(bytes, &back), MN_OK);
    relayed = (struct envelope){.priority = back.priority,
                                .seal = ENVELOPE_SEAL_SESSION,
                                .destination = &destination,
                                .hops = 1,
                                .content = back.content};
    again = encode(&relayed);
    ck_assert_int_eq(envelope_decode(again, &back), MN_OK);
    ck_assert_int_eq(back.seal, ENVELOPE_SEAL_SESSION);
    ck_assert_int_eq((int)back.type, 0); /* not looked into */
    ck_assert_int_eq(envelope_decode_content(back.content, &back), MN_OK);
    ck_assert_uint_eq(back.sequence, 9);
    ck_assert_int_eq(back.priority, ENVELOPE_HIGH);
    ck_assert(mn_span_is(back.payload, "hello"));
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    mn_status status;
} refused[] = {
    {"", 0, MN_MALFORMED},                           /* no content: no type */
    {"\x7a\x00", 2, MN_MALFORMED},                   /* the same */
    {"\x7a\x02\x08\x00", 4, MN_MALFORMED},           /* type 0 */
    {"\x7a\x02\x08\x09", 4, MN_UNSUPPORTED},         /* type of a newer node */
    {"\x08\x02", 2, MN_UNSUPPORTED},                 /* seal of a newer node */
    {"\x7a\x04\x08\x01\x10\x05", 6, MN_UNSUPPORTED}, /* priority */
    {"\x7a\x05\x08\x01", 4, MN_MALFORMED},           /* cut */
    {"\x7a\x02\x08", 3, MN_MALFORMED},
    {"\x00\x00", 2, MN_MALFORMED},                   /* field 0 */
    {"\x0b\x0c", 2, MN_MALFORMED},                   /* a group */
    {"\x0a\x00", 2, MN_MALFORMED},                   /* seal as bytes */
    {"\x10\x01", 2, MN_MALFORMED},                   /* destination as a number */
    {"\x12\x02xx", 4, MN_MALFORMED},                 /* an id of 2 bytes */
    {"\x2a\x02xx\x7a\x02\x08\x01", 8, MN_MALFORMED}, /* a trail of 2 bytes */
    {"\x18\xff\xff\xff\xff\x7f", 6, MN_MALFORMED},   /* hops over 32 bits */
    {"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, MN_MALFORMED}, /* over 64 bits */
    {"\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, MN_MALFORMED}, /* size 2^64 - 1 */
};

START_TEST(malformed_is_refused)
{
    struct envelope envelope;
    uint8_t *exact = malloc(refused[_i].size + 1);

    memcpy(exact, refused[_i].bytes, refused[_i].size);
    ck_assert_int_eq(envelope_decode(mn_span(exact, refused[_i].size), &envelope),
                     refused[_i].status);
    free(exact);
}
END_TEST

START_TEST(bounds_hold_in_both_directions)
{
    struct envelope good = {.type = ENVELOPE_EVENT, .priority = ENVELOPE_NORMAL};
    struct envelope bad[8];
    struct mn_span many = draw_bytes(ENVELOPE_HEAD_MAX * 2);
    struct mn_span huge = {many.data, ENVELOPE_PAYLOAD_MAX + 1}; /* never looked at */

    for (unsigned i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].trail = mn_span(many.data, 16 * (ENVELOPE_TRAIL_MAX + 1));
    bad[1].targets = mn_span(many.data, 16 * (ENVELOPE_TARGETS_MAX + 1));
    bad[2].causality = mn_span(many.data, 24 * (ENVELOPE_CAUSALITY_MAX + 1));
    bad[3].idempotency_key = mn_span(many.data, ENVELOPE_KEY_MAX + 1);
    bad[4].trace = mn_span(many.data, ENVELOPE_TRACE_MAX + 1);
    bad[5].proof = mn_span(many.data, ENVELOPE_PROOF_MAX + 1);
    bad[6].payload = huge;
    bad[7].targets = mn_span(many.data, 15);
    for (unsigned i = 0; i < 8; i++) {
        struct envelope back;
        uint8_t *bytes;
        ck_assert_int_ne(envelope_check(&bad[i]), MN_OK);
        if (i == 6) continue;
        bytes = mn_arena_alloc(&arena, envelope_size(&bad[i]));
        envelope_write(&bad[i], bytes);
        ck_assert_int_ne(envelope_decode(mn_span(bytes, envelope_size(&bad[i])), &back), MN_OK);
    }
    good.type = (enum envelope_type)9;
    ck_assert_int_eq(envelope_check(&good), MN_CONFIG);
    good.type = ENVELOPE_EVENT;
    good.priority = (enum envelope_priority)5;
    ck_assert_int_eq(envelope_check(&good), MN_CONFIG);
}
END_TEST

START_TEST(unknown_fields_do_not_make_a_head_endless)
{
    struct mn_writer writer = {0};
    struct envelope envelope;
    struct mn_buf *buf;

    mn_writer_add(&writer, mn_span("\x7a\x02\x08\x01\xa2\x06\x81\x40", 8)); /* 8,193 bytes */
    memset(mn_writer_take(&writer, 8193), 'x', 8193);
    buf = mn_writer_done(&writer);
    ck_assert_int_eq(envelope_decode(mn_buf_span(buf), &envelope), MN_TOO_BIG);
    mn_buf_unref(buf);
}
END_TEST

/* ---- frames ---- */

START_TEST(items_are_taken_in_order_to_the_end)
{
    uint8_t plain[32];
    struct mn_span rest = mn_span(plain, 4 + 3 + 4);
    struct frame_item item;

    frame_write_item_head(plain, FRAME_HELLO, 3);
    memcpy(plain + 4, "abc", 3);
    frame_write_item_head(plain + 7, FRAME_REKEY, 0);
    ck_assert_int_eq(frame_take_item(&rest, &item), MN_OK);
    ck_assert_int_eq(item.kind, FRAME_HELLO);
    ck_assert(mn_span_is(item.bytes, "abc"));
    ck_assert_int_eq(frame_take_item(&rest, &item), MN_OK);
    ck_assert_int_eq(item.kind, FRAME_REKEY);
    ck_assert_uint_eq(item.bytes.size, 0);
    ck_assert_int_eq(frame_take_item(&rest, &item), MN_NOT_FOUND);
    for (size_t cut = 1; cut < 7; cut++) {
        rest = mn_span(plain, cut);
        ck_assert_int_eq(frame_take_item(&rest, &item), MN_MALFORMED);
    }
}
END_TEST

START_TEST(messages_are_cut_within_bounds)
{
    const uint8_t stream[] = {0, 3, 'a', 'b', 'c', 0};
    struct mn_span message;
    size_t used;

    for (size_t size = 0; size < 5; size++)
        ck_assert_int_eq(frame_cut(mn_span(stream, size), 1, 3, &message, &used), MN_NOT_YET);
    ck_assert_int_eq(frame_cut(mn_span(stream, 6), 1, 3, &message, &used), MN_OK);
    ck_assert_uint_eq(used, 5);
    ck_assert(mn_span_is(message, "abc"));
    ck_assert_int_eq(frame_cut(mn_span(stream, 2), 1, 2, &message, &used), MN_TOO_BIG);
    ck_assert_int_eq(frame_cut(mn_span(stream, 2), 4, 9, &message, &used), MN_MALFORMED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("envelope");
    TCase *tcase = tcase_create("envelope");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_we_write_protobuf_reads, 0, 10);
    tcase_add_loop_test(tcase, what_protobuf_writes_we_read, 0, 10);
    tcase_add_loop_test(tcase, mutated_bytes_are_refused_or_read_alike, 0, 10);
    tcase_add_test(tcase, absent_fields_cost_nothing);
    tcase_add_test(tcase, content_passes_through_as_it_came);
    tcase_add_loop_test(tcase, malformed_is_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tcase, bounds_hold_in_both_directions);
    tcase_add_test(tcase, unknown_fields_do_not_make_a_head_endless);
    tcase_add_test(tcase, items_are_taken_in_order_to_the_end);
    tcase_add_test(tcase, messages_are_cut_within_bounds);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
