/* Decoding without copies: what it reads is what protobuf-c reads, from whatever bytes. */
#include <check.h>
#include <stdlib.h>

#include "proto/callwire.pb-c.h"
#include "proto/catalog.pb-c.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/raft.pb-c.h"
#include "tests/suite.h"

static struct mn_arena arena;
static uint64_t state;

static void teardown(void)
{
    mn_arena_done(&arena);
}

/* xorshift64*: tests need no more than that. */
static uint32_t draw(uint32_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static uint64_t draw_number(void)
{
    uint64_t number = ((uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX)) >> draw(64);
    return draw(4) == 0 ? 0 : number;
}

static char *draw_text(void)
{
    size_t size = draw(40);
    char *text = mn_arena_alloc(&arena, size + 1);

    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + draw(26));
    text[size] = '\0';
    return text;
}

static ProtobufCBinaryData draw_bytes(void)
{
    return draw(4) == 0 ? (ProtobufCBinaryData){0} : pb_bytes(mn_span_str(draw_text()));
}

static struct mn_span draw_request(void)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    ProtobufCBinaryData trail[5];

    request.method = draw_text();
    request.params = draw_bytes();
    request.client_capabilities = draw_bytes();
    request.log_level = draw_text();
    request.wants_progress = draw(2) == 1;
    request.is_live = draw(2) == 1;
    request.resume = draw_bytes();
    request.n_trail = draw(5);
    request.trail = trail;
    for (size_t i = 0; i < request.n_trail; i++)
        trail[i] = draw_bytes();
    return pb_pack_arena(&request.base, &arena);
}

static struct mn_span draw_event(void)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    event.resume = draw_bytes();
    switch (draw(3)) {
    case 0:
        event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
        event.result = draw_bytes();
        break;
    case 1:
        event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ERROR;
        event.error = &error;
        error.code = (int32_t)draw_number();
        error.message = draw_text();
        error.data = draw_bytes();
        break;
    default:
        event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_UPDATED;
        event.updated = draw_text();
        break;
    }
    return pb_pack_arena(&event.base, &arena);
}

static struct mn_span draw_header(void)
{
    Meshnode__Callwire__Header header = MESHNODE__CALLWIRE__HEADER__INIT;

    header.kind = (Meshnode__Callwire__Kind)draw(6);
    header.boot = draw_number();
    header.seq = draw_number();
    header.service = draw_bytes();
    header.timeout_us = draw_number();
    header.is_idempotent = draw(2) == 1;
    header.failure = draw(100);
    header.text = draw_bytes();
    return pb_pack_arena(&header.base, &arena);
}

static struct mn_span draw_chunk(void)
{
    Meshnode__Raft__Entry entry = MESHNODE__RAFT__ENTRY__INIT, *entries = &entry;
    Meshnode__Raft__Message message = MESHNODE__RAFT__MESSAGE__INIT;

    message.type = draw(20);
    message.from = draw_bytes();
    message.index = draw_number();
    message.is_reject = draw(2) == 1;
    message.crc = (uint32_t)draw_number();
    message.data = draw_bytes();
    entry.term = draw_number();
    entry.data = draw_bytes();
    message.entries = &entries;
    message.n_entries = draw(2);
    return pb_pack_arena(&message.base, &arena);
}

/* Both decode the same or, of bytes that only protobuf-c accepts, the view nothing. */
static bool is_alike(const ProtobufCMessageDescriptor *descriptor, struct mn_span bytes)
{
    ProtobufCMessage *theirs = pb_unpack(descriptor, &arena, bytes);
    const ProtobufCMessage *ours = pb_view(descriptor, &arena, bytes);

    if (ours == NULL || theirs == NULL) return ours == NULL;
    theirs->n_unknown_fields = 0;
    if (descriptor == &meshnode__raft__message__descriptor) {
        Meshnode__Raft__Message *message = (Meshnode__Raft__Message *)(void *)theirs;
        for (size_t i = 0; i < message->n_entries; i++)
            message->entries[i]->base.n_unknown_fields = 0;
        if (message->config != NULL)
            return true; /* damage made one: what is unknown in it is not looked at */
    }
    return mn_span_equal(pb_pack_arena(theirs, &arena), pb_pack_arena(ours, &arena));
}

static void assert_whole(const ProtobufCMessageDescriptor *descriptor, struct mn_span bytes)
{
    const ProtobufCMessage *ours = pb_view(descriptor, &arena, bytes);

    ck_assert_ptr_nonnull(ours);
    ck_assert(mn_span_equal(pb_pack_arena(ours, &arena), bytes));
}

START_TEST(view_decodes_what_was_encoded)
{
    state = (uint64_t)_i + 1;
    for (unsigned i = 0; i < 200; i++) {
        assert_whole(&meshnode__gateway__request__descriptor, draw_request());
        assert_whole(&meshnode__gateway__event__descriptor, draw_event());
        assert_whole(&meshnode__callwire__header__descriptor, draw_header());
        assert_whole(&meshnode__raft__message__descriptor, draw_chunk());
        mn_arena_reset(&arena);
    }
}
END_TEST

START_TEST(view_of_damaged_bytes_is_what_others_read_or_nothing)
{
    state = (uint64_t)_i + 1000;
    for (unsigned i = 0; i < 500; i++) {
        static const ProtobufCMessageDescriptor *const kinds[] = {
            &meshnode__gateway__request__descriptor, &meshnode__callwire__header__descriptor,
            &meshnode__raft__message__descriptor};
        unsigned kind = draw(3);
        struct mn_span bytes = kind == 0   ? draw_request()
                               : kind == 1 ? draw_header()
                                           : draw_chunk();
        uint8_t *copy = mn_arena_alloc(&arena, bytes.size + 1);
        memcpy(copy, bytes.data, bytes.size);
        for (unsigned k = 1 + draw(3); k > 0 && bytes.size > 0; k--)
            copy[draw((uint32_t)bytes.size)] = (uint8_t)draw(256);
        bytes = mn_span(copy, draw(4) == 0 ? draw((uint32_t)bytes.size + 1) : bytes.size);
        ck_assert(is_alike(kinds[kind], bytes));
        mn_arena_reset(&arena);
    }
}
END_TEST

START_TEST(view_copies_no_bytes)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    const Meshnode__Gateway__Event *ours;
    struct mn_buf *bytes;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_RESULT;
    event.result = pb_bytes(mn_span_str("{}"));
    bytes = pb_pack(&event.base);
    ours = pb_view(&meshnode__gateway__event__descriptor, &arena, mn_buf_span(bytes));
    ck_assert_ptr_nonnull(ours);
    ck_assert(ours->result.data >= bytes->bytes &&
              ours->result.data + ours->result.len <= bytes->bytes + bytes->size);
    mn_buf_unref(bytes);
}
END_TEST

/* Two bytes each: tag and size 0 of a nested message, for which memory is taken. */
START_TEST(view_stops_before_tiny_fields_take_much_memory)
{
    enum { FIELDS = 200000 };
    uint8_t *bytes = malloc(2 * FIELDS);

    for (size_t i = 0; i < FIELDS; i++) {
        bytes[2 * i] = 0x22; /* Catalog.offers */
        bytes[2 * i + 1] = 0;
    }
    ck_assert_ptr_null(
        pb_view(&meshnode__catalog__catalog__descriptor, &arena, mn_span(bytes, 2 * FIELDS)));
    ck_assert_ptr_nonnull(
        pb_view(&meshnode__catalog__catalog__descriptor, &arena, mn_span(bytes, 2 * 16)));
    free(bytes);
}
END_TEST

START_TEST(view_of_nothing_is_an_empty_message)
{
    const Meshnode__Gateway__Request *ours =
        pb_view(&meshnode__gateway__request__descriptor, &arena, mn_span(NULL, 0));

    ck_assert_ptr_nonnull(ours);
    ck_assert_str_eq(ours->method, "");
    ck_assert_uint_eq(ours->params.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pb_view");
    TCase *tcase = tcase_create("pb_view");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_loop_test(tcase, view_decodes_what_was_encoded, 0, 10);
    tcase_add_loop_test(tcase, view_of_damaged_bytes_is_what_others_read_or_nothing, 0, 20);
    tcase_add_test(tcase, view_copies_no_bytes);
    tcase_add_test(tcase, view_stops_before_tiny_fields_take_much_memory);
    tcase_add_test(tcase, view_of_nothing_is_an_empty_message);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
