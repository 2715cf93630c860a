/* protobuf helpers: round trips, views, and the bounds on what decoding may take. */
#include <check.h>
#include <stdlib.h>

#include "proto/callwire.pb-c.h"
#include "proto/catalog.pb-c.h"
#include "proto/decision.pb-c.h"
#include "proto/gateway.pb-c.h"
#include "proto/member.pb-c.h"
#include "proto/pb.h"
#include "proto/raft.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/simplex.pb-c.h"
#include "proto/state.pb-c.h"
#include "proto/trust.pb-c.h"
#include "proto/wire.pb-c.h"
#include "tests/suite.h"

#define DEPTH_MAX 8 /* of messages inside each other; a quarter of what is allowed */

static struct mn_arena arena;

static void teardown(void)
{
    mn_arena_done(&arena);
}

START_TEST(pb_decodes_what_it_encoded)
{
    Meshnode__Trust__Ask ask = MESHNODE__TRUST__ASK__INIT;
    const Meshnode__Trust__Ask *back;
    struct mn_buf *bytes;

    ask.pin = pb_bytes(mn_span_str("pin"));
    bytes = pb_pack(&ask.base);
    back = pb_unpack(&meshnode__trust__ask__descriptor, &arena, mn_buf_span(bytes));
    ck_assert_ptr_nonnull(back);
    ck_assert(mn_span_is(pb_span(back->pin), "pin"));
    ck_assert_uint_eq(back->token_id.len, 0);
    ck_assert(mn_span_equal(pb_pack_arena(&back->base, &arena), mn_buf_span(bytes)));
    mn_buf_unref(bytes);
}
END_TEST

START_TEST(pb_takes_no_bytes_for_an_empty_message)
{
    const Meshnode__Trust__Ask *back =
        pb_unpack(&meshnode__trust__ask__descriptor, &arena, mn_span(NULL, 0));

    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->pin.len, 0);
}
END_TEST

START_TEST(pb_refuses_what_does_not_decode)
{
    static const uint8_t cut[] = {0x0a, 0x05, 'a'}, group[] = {0x0b},
                         long_varint[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

    ck_assert_ptr_null(
        pb_unpack(&meshnode__trust__ask__descriptor, &arena, mn_span(cut, sizeof cut)));
    ck_assert_ptr_null(
        pb_unpack(&meshnode__trust__ask__descriptor, &arena, mn_span(group, sizeof group)));
    ck_assert_ptr_null(pb_unpack(&meshnode__trust__ask__descriptor, &arena,
                                 mn_span(long_varint, sizeof long_varint)));
}
END_TEST

START_TEST(pb_keeps_fields_it_does_not_know)
{
    static const uint8_t bytes[] = {0x0a, 0x01, 'a', 0xfa, 0x06, 0x01, 'b'}; /* 1, and 111 */
    const Meshnode__Trust__Ask *back =
        pb_unpack(&meshnode__trust__ask__descriptor, &arena, mn_span(bytes, sizeof bytes));

    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->base.n_unknown_fields, 1);
    ck_assert(mn_span_equal(pb_pack_arena(&back->base, &arena), mn_span(bytes, sizeof bytes)));
}
END_TEST

/* Two bytes each: tag and size 0 of a nested message, the cheapest way to make a decoder allocate.
 */
START_TEST(pb_stops_before_tiny_fields_take_much_memory)
{
    enum { FIELDS = 200000 };
    uint8_t *bytes = malloc(2 * FIELDS);

    for (size_t i = 0; i < FIELDS; i++) {
        bytes[2 * i] = 0x12; /* AuthorityDocument.signatures */
        bytes[2 * i + 1] = 0;
    }
    ck_assert_ptr_null(pb_unpack(&meshnode__trust__authority_document__descriptor, &arena,
                                 mn_span(bytes, 2 * FIELDS)));
    ck_assert_ptr_nonnull(pb_unpack(&meshnode__trust__authority_document__descriptor, &arena,
                                    mn_span(bytes, 2 * 16)));
    free(bytes);
}
END_TEST

START_TEST(pb_fixed_fields_have_exactly_their_size)
{
    uint8_t bytes[16] = {1, 2, 3}, copy[16];
    mn_id id;

    ck_assert_int_eq(pb_fixed(pb_bytes(mn_span(bytes, 16)), copy, 16), MN_OK);
    ck_assert_mem_eq(bytes, copy, 16);
    ck_assert_int_eq(pb_fixed(pb_bytes(mn_span(bytes, 15)), copy, 16), MN_MALFORMED);
    ck_assert_int_eq(pb_id(pb_bytes(mn_span(bytes, 16)), &id), MN_OK);
    ck_assert_int_eq(pb_id(pb_bytes(mn_span(NULL, 0)), &id), MN_MALFORMED);
    ck_assert(mn_span_equal(pb_span(pb_id_bytes(&id)), mn_span(bytes, 16)));
}
END_TEST

static void assert_depth(const ProtobufCMessageDescriptor *descriptor, unsigned depth)
{
    ck_assert_msg(depth <= DEPTH_MAX, "%s may hold itself", descriptor->name);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) assert_depth(field->descriptor, depth + 1);
    }
}

/* What comes from outside cannot make the decoder descend further than the schemas do: each of the
 * messages that begin a datagram, a frame's item, a document or a stored value. */
START_TEST(pb_messages_hold_each_other_a_few_levels_deep)
{
    static const ProtobufCMessageDescriptor *const outermost[] = {
        &meshnode__trust__admission__descriptor,  &meshnode__trust__trust_packet__descriptor,
        &meshnode__trust__signed__descriptor,     &meshnode__trust__authority_document__descriptor,
        &meshnode__trust__authority__descriptor,  &meshnode__trust__join_body__descriptor,
        &meshnode__wire__envelope__descriptor,    &meshnode__wire__hello__descriptor,
        &meshnode__wire__content__descriptor,     &meshnode__wire__close__descriptor,
        &meshnode__member__packet__descriptor,    &meshnode__member__signed__descriptor,
        &meshnode__catalog__message__descriptor,  &meshnode__catalog__signed_catalog__descriptor,
        &meshnode__callwire__header__descriptor,  &meshnode__gateway__offer__descriptor,
        &meshnode__gateway__request__descriptor,  &meshnode__gateway__event__descriptor,
        &meshnode__gateway__input__descriptor,    &meshnode__gateway__answer__descriptor,
        &meshnode__decision__message__descriptor, &meshnode__decision__record__descriptor,
        &meshnode__raft__message__descriptor,     &meshnode__raft__packet__descriptor,
        &meshnode__raft__config__descriptor,      &meshnode__record__packet__descriptor,
        &meshnode__record__record__descriptor,    &meshnode__simplex__message__descriptor,
        &meshnode__state__message__descriptor,    &meshnode__state__command__descriptor,
        &meshnode__state__snapshot__descriptor,
    };

    for (unsigned i = 0; i < sizeof outermost / sizeof *outermost; i++)
        assert_depth(outermost[i], 1);
}
END_TEST

/* With its head in front a long field need not be copied; what comes out is what pb_pack() makes.
 */
START_TEST(pb_head_of_a_field_is_what_packing_writes)
{
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 3000000};
    uint8_t head[PB_BYTES_HEAD_MAX], *zeros = calloc(1, 3000000);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
        struct mn_buf *whole;
        size_t size = pb_bytes_head(MESHNODE__GATEWAY__EVENT__KIND_RESULT, sizes[i], head);
        event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
        event.result = pb_bytes(mn_span(zeros, sizes[i]));
        whole = pb_pack(&event.base);
        ck_assert_uint_eq(whole->size, size + sizes[i]);
        ck_assert_mem_eq(whole->bytes, head, size);
        mn_buf_unref(whole);
    }
    free(zeros);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pb");
    TCase *tcase = tcase_create("pb");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, pb_decodes_what_it_encoded);
    tcase_add_test(tcase, pb_takes_no_bytes_for_an_empty_message);
    tcase_add_test(tcase, pb_refuses_what_does_not_decode);
    tcase_add_test(tcase, pb_keeps_fields_it_does_not_know);
    tcase_add_test(tcase, pb_stops_before_tiny_fields_take_much_memory);
    tcase_add_test(tcase, pb_messages_hold_each_other_a_few_levels_deep);
    tcase_add_test(tcase, pb_fixed_fields_have_exactly_their_size);
    tcase_add_test(tcase, pb_head_of_a_field_is_what_packing_writes);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
