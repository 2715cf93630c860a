/* The vocabulary: text forms, buffers, arena, pool, list, trace. */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/id.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/text.h"
#include "proto/base/trace.h"
#include "tests/suite.h"

START_TEST(status_has_name_and_text)
{
    ck_assert_str_eq(mn_status_name(MN_OK), "OK");
    ck_assert_str_eq(mn_status_name(MN_BAD_SIGNATURE), "BAD_SIGNATURE");
    ck_assert_str_eq(mn_status_text((mn_status)-999), "unknown status");
}
END_TEST

START_TEST(hex_round_trips_and_refuses)
{
    uint8_t bytes[3] = {0x00, 0xa5, 0xff}, back[3];
    char text[7];

    mn_hex_encode(mn_span(bytes, 3), text);
    ck_assert_str_eq(text, "00a5ff");
    ck_assert_int_eq(mn_hex_decode(mn_span_str("00A5ff"), back, 3), MN_OK);
    ck_assert_mem_eq(back, bytes, 3);
    ck_assert_int_eq(mn_hex_decode(mn_span_str("00a5f"), back, 3), MN_MALFORMED);
    ck_assert_int_eq(mn_hex_decode(mn_span_str("00a5fg"), back, 3), MN_MALFORMED);
}
END_TEST

/* RFC 4648 section 10, in lower case and without padding. */
START_TEST(base32_matches_the_rfc)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "my"},
                                           {"fo", "mzxq"},
                                           {"foo", "mzxw6"},
                                           {"foob", "mzxw6yq"},
                                           {"fooba", "mzxw6ytb"},
                                           {"foobar", "mzxw6ytboi"}};
    char text[32];
    uint8_t back[16];

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        size_t size = strlen(pairs[i][0]);
        mn_base32_encode(mn_span_str(pairs[i][0]), text);
        ck_assert_str_eq(text, pairs[i][1]);
        ck_assert_int_eq(mn_base32_decode(mn_span_str(text), back, size), MN_OK);
        ck_assert(size == 0 || memcmp(back, pairs[i][0], size) == 0);
    }
    ck_assert_int_eq(mn_base32_decode(mn_span_str("mz"), back, 1), MN_MALFORMED); /* stray bits */
    ck_assert_int_eq(mn_base32_decode(mn_span_str("MY"), back, 1), MN_MALFORMED);
    ck_assert_int_eq(mn_base32_decode(mn_span_str("my="), back, 1), MN_MALFORMED);
}
END_TEST

START_TEST(id_text_is_strict)
{
    const char *good = "f92e3e65-6557-85e7-b635-e39abf6a2fda";
    const char *bad[] = {"",
                         "f92e3e65655785e7b635e39abf6a2fda",
                         "f92e3e65-6557-85e7-b635-e39abf6a2fd",
                         "f92e3e65-6557-85e7-b635-e39abf6a2fdag",
                         "f92e3e656-557-85e7-b635-e39abf6a2fda",
                         "g92e3e65-6557-85e7-b635-e39abf6a2fda"};
    mn_id id;
    char text[MN_ID_TEXT_SIZE];

    ck_assert_int_eq(mn_id_parse(mn_span_str(good), &id), MN_OK);
    ck_assert_str_eq(mn_id_format(&id, text), good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(mn_id_parse(mn_span_str(bad[i]), &id), MN_MALFORMED);
}
END_TEST

START_TEST(pool_refuses_past_its_limit_and_gets_all_back)
{
    struct mn_pool pool;
    void *a, *b;

    mn_pool_init(&pool, 1000);
    a = mn_pool_alloc(&pool, 400);
    ck_assert_ptr_nonnull(a);
    b = mn_pool_alloc(&pool, 500);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_null(mn_pool_alloc(&pool, 200));
    ck_assert_ptr_null(mn_pool_alloc(&pool, SIZE_MAX));
    ck_assert_ptr_null(mn_pool_realloc(&pool, a, 600));
    mn_pool_free(&pool, b);
    a = mn_pool_realloc(&pool, a, 600);
    ck_assert_ptr_nonnull(a);
    ck_assert_uint_eq(((uint8_t *)a)[599], 0);
    mn_pool_free(&pool, a);
    ck_assert_uint_eq(pool.used, 0);
}
END_TEST

START_TEST(arena_grows_keeps_and_resets)
{
    struct mn_arena arena = {0};
    uint32_t *items = NULL, capacity = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        items = mn_arena_grow(&arena, items, i, &capacity, sizeof *items);
        items[i] = i;
    }
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(items[i], i);
    ck_assert_str_eq(mn_arena_format(&arena, "%s-%d", "a", 7), "a-7");
    ck_assert(mn_span_is(mn_arena_copy(&arena, mn_span_str("copied")), "copied"));
    mn_arena_reset(&arena);
    ck_assert_ptr_nonnull(mn_arena_alloc(&arena, 1 << 20)); /* larger than any chunk */
    mn_arena_done(&arena);
}
END_TEST

START_TEST(writer_makes_room_once_and_writes_numbers)
{
    struct mn_writer writer = {0};
    struct mn_buf *buf;
    const uint8_t *bytes;

    mn_writer_reserve(&writer, 1000);
    ck_assert_uint_eq(mn_writer_size(&writer), 0);
    bytes = writer.buf->bytes;
    mn_writer_number(&writer, 0);
    for (int i = 0; i < 40; i++)
        mn_writer_str(&writer, ",");
    mn_writer_number(&writer, UINT64_MAX);
    ck_assert_ptr_eq(writer.buf->bytes, bytes);
    mn_writer_reserve(&writer, 5000); /* keeps what is there */
    buf = mn_writer_done(&writer);
    ck_assert_uint_eq(buf->size, 1 + 40 + 20);
    ck_assert(buf->bytes[0] == '0');
    ck_assert_mem_eq(buf->bytes + 41, "18446744073709551615", 20);
    mn_buf_unref(buf);
}
END_TEST

START_TEST(allocated_memory_is_clear_even_when_used_before)
{
    for (size_t size = 0; size < 2100; size += 7) {
        uint8_t *memory = mn_alloc(size);
        memset(memory, 0xee, size);
        mn_free(memory);
        memory = mn_alloc(size);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(memory[i], 0);
        mn_free(memory);
    }
}
END_TEST

START_TEST(small_blocks_go_back)
{
    enum { COUNT = 100, SIZE = 200 };
    void *blocks[COUNT];
    size_t before, kept;

    mn_memory_give_back();
    before = mallinfo2().uordblks;
    for (int i = 0; i < COUNT; i++)
        blocks[i] = mn_alloc(SIZE);
    for (int i = 0; i < COUNT; i++)
        mn_free(blocks[i]);
    kept = mallinfo2().uordblks;
    mn_memory_give_back();
    if (kept == before) return; /* a sanitizer's heap: nothing is kept there */
    ck_assert_uint_ge(kept, before + (size_t)COUNT * SIZE);
    ck_assert_uint_lt(mallinfo2().uordblks, before + (size_t)COUNT * SIZE / 2);
}
END_TEST

/* What is large is not copied: neither when a part of it goes on, nor with a head in front of it.
 */
START_TEST(long_part_of_a_buffer_stays_where_it_is)
{
    const size_t size = 4 * MN_BUF_PART_MIN;
    struct mn_buf *buf = mn_buf_new(size), *part, *inner;

    memset(buf->bytes, 'x', size);
    memcpy(buf->bytes, "{head}", 6);
    part = mn_buf_behead(buf, mn_span(buf->bytes + 6, size - 7), mn_span_str("abc"));
    ck_assert_ptr_eq(part->bytes, buf->bytes + 3);
    ck_assert_mem_eq(part->bytes, "abcxxx", 6);
    ck_assert_uint_eq(part->size, size - 4);
    ck_assert_uint_eq(buf->refs, 2);
    inner = mn_buf_cut(part, mn_span(part->bytes + 1, part->size - 1));
    ck_assert_ptr_eq(inner->bytes, part->bytes + 1);
    mn_buf_unref(buf);
    mn_buf_unref(part);
    ck_assert_mem_eq(inner->bytes, "bcxxx", 5); /* it keeps alive what it is part of */
    ck_assert_ptr_eq(inner->whole, buf);
    mn_buf_unref(inner);
}
END_TEST

/* Nor does a short part keep a large buffer, nor is one changed that others look at. */
START_TEST(short_part_and_shared_buffer_are_copied)
{
    const size_t size = 4 * MN_BUF_PART_MIN;
    struct mn_buf *buf = mn_buf_new(size), *other;

    memset(buf->bytes, 'x', size);
    mn_buf_ref(buf);
    other = mn_buf_behead(buf, mn_span(buf->bytes + 6, size - 6), mn_span_str("abc"));
    ck_assert_ptr_null(other->whole);
    ck_assert_mem_eq(other->bytes, "abcx", 4);
    ck_assert_uint_eq(buf->bytes[3], 'x');
    mn_buf_unref(other);
    mn_buf_unref(buf);
    other = mn_buf_behead(buf, mn_span(buf->bytes + 6, MN_BUF_PART_MIN), mn_span_str("abc"));
    ck_assert_ptr_null(other->whole); /* it would be the only one that still needs all of it */
    mn_buf_unref(other);
    mn_buf_ref(buf);
    other = mn_buf_cut(buf, mn_span(buf->bytes + 1, MN_BUF_PART_MIN));
    ck_assert_ptr_null(other->whole);
    ck_assert_ptr_ne(other, buf);
    mn_buf_unref(other);
    mn_buf_unref(buf);
    other = mn_buf_cut(buf, mn_span(buf->bytes + 1, 2)); /* nobody else has it: in place */
    ck_assert_ptr_eq(other, buf);
    ck_assert_uint_eq(other->size, 2);
    ck_assert_uint_eq(other->bytes[2], 0);
    mn_buf_unref(other);
    other = mn_buf_behead(buf, mn_span(buf->bytes, 2), mn_span_str("ab"));
    ck_assert_mem_eq(other->bytes, "abxx", 4);
    mn_buf_unref(other);
    mn_buf_unref(buf);
}
END_TEST

START_TEST(writer_builds_one_padded_buffer)
{
    struct mn_writer writer = {0};
    struct mn_buf *buf, *shared;

    for (int i = 0; i < 1000; i++)
        mn_writer_format(&writer, "%d,", i);
    mn_writer_str(&writer, "end");
    buf = mn_writer_done(&writer);
    ck_assert_uint_eq(buf->size, 10 * 2 + 90 * 3 + 900 * 4 + 3);
    ck_assert_mem_eq(buf->bytes + buf->size - 7, "999,end", 7);
    for (unsigned i = 0; i < MN_BUF_PADDING; i++)
        ck_assert_uint_eq(buf->bytes[buf->size + i], 0);
    shared = mn_buf_ref(buf);
    buf = mn_buf_unref(buf);
    ck_assert_ptr_null(buf);
    ck_assert_uint_eq(shared->refs, 1);
    mn_buf_unref(shared);
    buf = mn_writer_done(&writer); /* an empty one is a buffer too */
    ck_assert_uint_eq(buf->size, 0);
    mn_buf_unref(buf);
    ck_assert_ptr_null(mn_buf_unref(NULL));
}
END_TEST

enum { LARGE = 8 << 20, LARGE_SLICE = 256 << 10 };

/* A sanitizer shall see who uses what was freed: nothing is kept there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS_LARGE false
#else
#define KEEPS_LARGE true
#endif

static void *large_used(void)
{
    return memset(mn_realloc(NULL, LARGE), 0xee, LARGE);
}

START_TEST(large_blocks_are_kept_for_the_next)
{
    void *block, *other;

    if (!KEEPS_LARGE) return;
    mn_memory_keep_large(2 * (size_t)LARGE);
    block = large_used();
    mn_free(block);
    ck_assert(!mn_memory_step());
    other = mn_realloc(NULL, LARGE / 4); /* it would waste most of it */
    ck_assert_ptr_ne(other, block);
    other = mn_realloc(other, LARGE / 2); /* but who grows may grow on, and does without a copy */
    ck_assert_ptr_eq(other, block);
    ck_assert_ptr_eq(mn_realloc(other, LARGE), block);
    mn_free(block);
    ck_assert_ptr_eq(mn_realloc(NULL, LARGE), block);
    mn_free(block);
    other = mn_realloc(NULL, LARGE / 2 - LARGE_SLICE); /* much to copy: that is moved */
    ck_assert_ptr_ne(other = mn_realloc(other, LARGE), block);
    mn_free(other);
    mn_memory_keep_large(0);
}
END_TEST

START_TEST(large_blocks_go_back_in_slices)
{
    size_t before = mallinfo2().hblkhd;
    void *blocks[3];
    int steps = 0;

    if (!KEEPS_LARGE) return;
    mn_memory_keep_large(3 * (size_t)LARGE / 2); /* one stays, and one more waits */
    for (int i = 0; i < 3; i++)
        blocks[i] = large_used();
    for (int i = 0; i < 3; i++)
        mn_free(blocks[i]);
    ck_assert_uint_ge(mallinfo2().hblkhd, before + 2 * (size_t)LARGE);
    ck_assert_uint_lt(mallinfo2().hblkhd, before + 3 * (size_t)LARGE);
    while (mn_memory_step())
        steps++;
    ck_assert_int_ge(steps, LARGE / 2 / LARGE_SLICE - 1);
    ck_assert_int_le(steps, LARGE / LARGE_SLICE);
    memset(mn_realloc(NULL, LARGE), 1, LARGE); /* what is left is whole */
    mn_memory_give_back();
    ck_assert_uint_lt(mallinfo2().hblkhd, before + 2 * (size_t)LARGE);
    mn_memory_keep_large(0);
}
END_TEST

START_TEST(list_keeps_order_and_removes_twice)
{
    struct mn_list head, other, a, b, c;

    mn_list_init(&head);
    mn_list_push_back(&head, &b);
    mn_list_push_front(&head, &a);
    mn_list_push_back(&head, &c);
    mn_list_remove(&b);
    mn_list_remove(&b);
    ck_assert_ptr_eq(mn_list_take(&head), &a);
    ck_assert_ptr_eq(mn_list_take(&head), &c);
    ck_assert_ptr_null(mn_list_take(&head));
    mn_list_init(&other);
    mn_list_append(&head, &other);
    ck_assert(mn_list_is_empty(&head));
    mn_list_push_back(&head, &a);
    mn_list_push_back(&other, &b);
    mn_list_push_back(&other, &c);
    mn_list_append(&head, &other);
    ck_assert(mn_list_is_empty(&other));
    mn_list_remove(&b);
    ck_assert_ptr_eq(mn_list_take(&head), &a);
    ck_assert_ptr_eq(mn_list_take(&head), &c);
    ck_assert_ptr_null(mn_list_take(&head));
    ck_assert(mn_list_is_empty(&head));
}
END_TEST

START_TEST(trace_overwrites_the_oldest_and_counts_it)
{
    struct mn_trace_event ring[4];
    struct mn_trace trace;
    char long_text[200];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    mn_trace_init(&trace, ring, 4);
    mn_trace(NULL, 0, MN_EV_LINK_UP, NULL, 0, 0, NULL);
    for (uint64_t i = 0; i < 6; i++)
        mn_trace(&trace, i, MN_EV_MEMBER_DEAD, NULL, i, 0, long_text);
    ck_assert_uint_eq(trace.lost, 2);
    for (uint64_t i = 2; i < 6; i++) {
        const struct mn_trace_event *event = mn_trace_take(&trace);
        ck_assert_uint_eq(event->a, i);
        ck_assert_uint_eq(strlen(event->text), MN_TRACE_TEXT_SIZE - 1);
    }
    ck_assert_ptr_null(mn_trace_take(&trace));
    ck_assert_str_eq(mn_event_name(MN_EV_MEMBER_DEAD), "member.dead");
    ck_assert_int_eq(mn_event_level(MN_EV_MEMBER_DEAD), MN_LEVEL_WARN);
}
END_TEST

START_TEST(assertion_stops_the_process)
{
    volatile int zero = 0;
    MN_ASSERT(zero == 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");

    suite_add_tcase(suite, tests);
    tcase_add_test(tests, status_has_name_and_text);
    tcase_add_test(tests, hex_round_trips_and_refuses);
    tcase_add_test(tests, base32_matches_the_rfc);
    tcase_add_test(tests, id_text_is_strict);
    tcase_add_test(tests, pool_refuses_past_its_limit_and_gets_all_back);
    tcase_add_test(tests, arena_grows_keeps_and_resets);
    tcase_add_test(tests, long_part_of_a_buffer_stays_where_it_is);
    tcase_add_test(tests, short_part_and_shared_buffer_are_copied);
    tcase_add_test(tests, writer_builds_one_padded_buffer);
    tcase_add_test(tests, writer_makes_room_once_and_writes_numbers);
    tcase_add_test(tests, allocated_memory_is_clear_even_when_used_before);
    tcase_add_test(tests, small_blocks_go_back);
    tcase_add_test(tests, large_blocks_are_kept_for_the_next);
    tcase_add_test(tests, large_blocks_go_back_in_slices);
    tcase_add_test(tests, list_keeps_order_and_removes_twice);
    tcase_add_test(tests, trace_overwrites_the_oldest_and_counts_it);
    tcase_add_test_raise_signal(tests, assertion_stops_the_process, 6 /* SIGABRT */);
    return suite_run(suite);
}
