/* Asking all members at once: a run ends when everybody answered or its time is over, and what
 * comes late, twice or uninvited changes nothing. */
#include <check.h>
#include <stdlib.h>

#include "node/gather.h"
#include "tests/suite.h"

static struct gather gather;
static mn_id ids[3];

static void setup(void)
{
    gather_init(&gather);
    for (int i = 0; i < 3; i++)
        ids[i] = (mn_id){{(uint8_t)(i + 1)}};
}

static void teardown(void)
{
    gather_check(&gather);
    gather_done(&gather);
}

static void answer(uint64_t number, int from, const char *text)
{
    struct mn_buf *json = mn_buf_copy(mn_span_str(text));

    gather_on_answer(&gather, number, &ids[from], json);
    mn_buf_unref(json);
    gather_check(&gather);
}

START_TEST(it_ends_when_all_have_answered)
{
    struct gather_run *run = gather_begin(&gather, 100, 7, 1000, ids, 3);

    ck_assert_uint_eq(gather_deadline(&gather), 1100);
    answer(run->number, 0, "{}");
    answer(run->number, 0, "{\"twice\":1}");
    answer(run->number + 1, 1, "{}");
    ck_assert_ptr_null(gather_next(&gather, 1099));
    answer(run->number, 2, "{\"c\":1}");
    gather_on_down(&gather, &ids[1]);
    ck_assert_uint_eq(gather_deadline(&gather), 0);
    ck_assert_ptr_eq(gather_next(&gather, 101), run);
    ck_assert_uint_eq(run->ticket, 7);
    ck_assert(mn_span_is(mn_buf_span(run->nodes[0].json), "{}"));
    ck_assert_ptr_null(run->nodes[1].json);
    ck_assert(mn_span_is(mn_buf_span(run->nodes[2].json), "{\"c\":1}"));
    gather_drop(&gather, run);
    ck_assert_uint_eq(gather_deadline(&gather), MN_TIME_NEVER);
}
END_TEST

START_TEST(its_time_ends_it_and_the_rest_is_missing)
{
    struct gather_run *run = gather_begin(&gather, 0, 1, 1000, ids, 2);
    uint64_t number = run->number;

    answer(number, 1, "{}");
    ck_assert_ptr_null(gather_next(&gather, 999));
    ck_assert_ptr_eq(gather_next(&gather, 1000), run);
    ck_assert_ptr_null(run->nodes[0].json);
    ck_assert_ptr_nonnull(run->nodes[1].json);
    gather_drop(&gather, run);
    answer(number, 0, "{}"); /* late: nobody waits */
    ck_assert_ptr_null(gather_next(&gather, 5000));
}
END_TEST

START_TEST(too_many_are_refused)
{
    static mn_id many[GATHER_NODES_MAX + 1];

    ck_assert_ptr_null(gather_begin(&gather, 0, 1, 10, many, GATHER_NODES_MAX + 1));
    for (uint32_t i = 0; i < GATHER_RUNS_MAX; i++)
        ck_assert_ptr_nonnull(gather_begin(&gather, 0, i, 10, ids, 1));
    ck_assert_ptr_null(gather_begin(&gather, 0, 99, 10, ids, 1));
}
END_TEST

START_TEST(what_is_written_is_read_and_the_rest_refused)
{
    struct mn_buf *buf = gather_encode(GATHER_ANSWER, 0x0102030405060708, mn_span_str("{}"));
    enum gather_kind kind;
    uint64_t number;
    struct mn_span json;

    ck_assert(gather_decode(mn_buf_span(buf), &kind, &number, &json));
    ck_assert_int_eq(kind, GATHER_ANSWER);
    ck_assert_uint_eq(number, 0x0102030405060708);
    ck_assert(mn_span_is(json, "{}"));
    for (uint32_t size = 0; size < 9; size++)
        ck_assert(!gather_decode(mn_span(buf->bytes, size), &kind, &number, &json));
    buf->bytes[0] = GATHER_ASK; /* which says nothing more */
    ck_assert(!gather_decode(mn_buf_span(buf), &kind, &number, &json));
    buf->bytes[0] = 3;
    ck_assert(!gather_decode(mn_buf_span(buf), &kind, &number, &json));
    mn_buf_unref(buf);
    buf = mn_buf_new(9 + GATHER_JSON_MAX + 1);
    memset(buf->bytes, GATHER_ANSWER, buf->size);
    ck_assert(!gather_decode(mn_buf_span(buf), &kind, &number, &json));
    mn_buf_unref(buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gather");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_ends_when_all_have_answered);
    tcase_add_test(tcase, its_time_ends_it_and_the_rest_is_missing);
    tcase_add_test(tcase, too_many_are_refused);
    tcase_add_test(tcase, what_is_written_is_read_and_the_rest_refused);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
