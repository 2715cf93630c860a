/* To which clients an item is shown: sets of capabilities, and tables of them. */
#include <string.h>

#include "node/mcp/wire/audience.h"
#include "tests/suite.h"

#define S AUDIENCE_SAMPLING
#define ST (AUDIENCE_SAMPLING | AUDIENCE_SAMPLING_TOOLS)
#define E AUDIENCE_ELICITATION
#define U AUDIENCE_ELICITATION_URL
#define R AUDIENCE_ROOTS
#define T AUDIENCE_TASKS
#define BIT(set) ((uint64_t)1 << (set))

static uint32_t set_of(const char *text)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *value = NULL;
    uint32_t set;

    ck_assert_int_eq(
        json_parse_copy(parser, mn_span_str(text),
                        (struct json_limits){JSON_DEPTH_MAX, AUDIENCE_DEPTH, JSON_NODES_MAX},
                        &arena, &value),
        MN_OK);
    set = audience_set(value);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return set;
}

START_TEST(a_set_is_what_a_client_declares)
{
    ck_assert_uint_eq(audience_set(NULL), 0);
    ck_assert_uint_eq(set_of("{}"), 0);
    ck_assert_uint_eq(set_of("[]"), 0);
    ck_assert_uint_eq(set_of("{\"experimental\":{},\"sampling\":true,\"roots\":[]}"), 0);
    ck_assert_uint_eq(set_of("{\"sampling\":{\"context\":{}}}"), S);
    ck_assert_uint_eq(set_of("{\"sampling\":{\"tools\":{}}}"), ST);
    ck_assert_uint_eq(set_of("{\"elicitation\":{}}"), E);
    ck_assert_uint_eq(set_of("{\"elicitation\":{\"form\":{}}}"), E);
    ck_assert_uint_eq(set_of("{\"elicitation\":{\"url\":{}}}"), U);
    ck_assert_uint_eq(set_of("{\"elicitation\":{\"form\":{},\"url\":{}}}"), E | U);
    ck_assert_uint_eq(set_of("{\"roots\":{\"listChanged\":true}}"), R);
    ck_assert_uint_eq(set_of("{\"tasks\":{\"requests\":{\"sampling\":{\"createMessage\":{}}}}}"),
                      0);
    ck_assert_uint_eq(set_of("{\"sampling\":{},\"tasks\":{\"requests\":{\"sampling\":{"
                             "\"createMessage\":{}}}}}"),
                      S | T);
    ck_assert_uint_eq(set_of("{\"sampling\":{},\"elicitation\":{},\"tasks\":{\"requests\":{"
                             "\"sampling\":{\"createMessage\":{}}}}}"),
                      S | E); /* not of all that it can be asked */
}
END_TEST

START_TEST(what_is_written_declares_the_set)
{
    for (uint32_t set = 0; set < AUDIENCE_SETS; set++) {
        struct mn_writer writer = {0};
        bool is_possible = ((set & AUDIENCE_SAMPLING_TOOLS) == 0 || (set & S) != 0) &&
                           ((set & T) == 0 || (set & (ST | E | U)) != 0);
        audience_write(&writer, set);
        mn_writer_add(&writer, mn_span("", 1));
        if (is_possible) ck_assert_uint_eq(set_of((const char *)writer.buf->bytes), set);
        mn_writer_drop(&writer);
    }
}
END_TEST

static const char *described(uint64_t audience)
{
    static char text[256];
    struct mn_writer writer = {0};

    audience_describe(&writer, audience);
    ck_assert_uint_lt(mn_writer_size(&writer), sizeof text);
    memset(text, 0, sizeof text);
    if (writer.buf != NULL) memcpy(text, writer.buf->bytes, mn_writer_size(&writer));
    mn_writer_drop(&writer);
    return text;
}

/* Asked with none, with all, and with each alone. */
#define ASKED (BIT(0) | BIT(AUDIENCE_FULL) | BIT(S) | BIT(ST) | BIT(E) | BIT(U) | BIT(R))

START_TEST(more_capabilities_show_what_fewer_do)
{
    uint64_t audience = audience_infer(ASKED, BIT(AUDIENCE_FULL) | BIT(S) | BIT(ST));

    for (uint32_t set = 0; set < AUDIENCE_SETS; set++)
        ck_assert_int_eq(audience_has(audience, set), (set & S) != 0);
    ck_assert_uint_eq(audience_relevant(audience), S);
    ck_assert_str_eq(described(audience), "sampling");
}
END_TEST

START_TEST(one_of_two_may_be_enough)
{
    uint64_t audience = audience_infer(ASKED, BIT(AUDIENCE_FULL) | BIT(E) | BIT(U));

    ck_assert(audience_has(audience, E) && audience_has(audience, U) &&
              audience_has(audience, U | R));
    ck_assert(!audience_has(audience, 0) && !audience_has(audience, S | R));
    ck_assert_uint_eq(audience_relevant(audience), E | U);
    ck_assert_str_eq(described(audience), "elicitation or elicitation.url");
}
END_TEST

START_TEST(what_none_shows_alone_needs_all)
{
    uint64_t audience = audience_infer(ASKED, BIT(AUDIENCE_FULL));

    for (uint32_t set = 0; set < AUDIENCE_SETS; set++)
        ck_assert_int_eq(audience_has(audience, set), set == AUDIENCE_FULL);
    ck_assert_str_eq(described(audience), "sampling.tools+elicitation+elicitation.url+roots+tasks");
    audience = audience_infer(ASKED | BIT(S | R), BIT(AUDIENCE_FULL) | BIT(S | R));
    ck_assert(audience_has(audience, S | R) && audience_has(audience, S | R | E));
    ck_assert(!audience_has(audience, S | E));
    ck_assert_str_eq(described(audience), "sampling+roots");
}
END_TEST

START_TEST(some_things_are_for_those_that_cannot)
{
    uint64_t audience = audience_infer(ASKED, ASKED & ~(BIT(AUDIENCE_FULL) | BIT(R)));

    ck_assert(audience_has(audience, 0) && audience_has(audience, S | E));
    ck_assert(!audience_has(audience, R) && !audience_has(audience, S | R));
    ck_assert_str_eq(described(audience), "not roots");
}
END_TEST

START_TEST(what_all_see_has_no_audience)
{
    ck_assert_uint_eq(audience_infer(ASKED, ASKED), 0);
    ck_assert_uint_eq(audience_relevant(0), 0);
    ck_assert(audience_has(0, 0) && audience_has(0, AUDIENCE_FULL));
    ck_assert_str_eq(described(0), "");
    ck_assert_uint_eq(audience_relevant(AUDIENCE_ALL), 0);
    ck_assert_str_eq(described(AUDIENCE_ALL), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("audience");
    TCase *tcase = tcase_create("audience");

    tcase_add_test(tcase, a_set_is_what_a_client_declares);
    tcase_add_test(tcase, what_is_written_declares_the_set);
    tcase_add_test(tcase, more_capabilities_show_what_fewer_do);
    tcase_add_test(tcase, one_of_two_may_be_enough);
    tcase_add_test(tcase, what_none_shows_alone_needs_all);
    tcase_add_test(tcase, some_things_are_for_those_that_cannot);
    tcase_add_test(tcase, what_all_see_has_no_audience);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
