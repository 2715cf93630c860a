/* To which clients an item is shown: sets of capabilities, and tables of them. */
#include <stdio.h>
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
        audience_write(&writer, set, NULL, 0, 0);
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

    audience_describe(&writer, &(struct audience){.table = audience});
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

/* ---- extensions ---- */

static struct audience_client client_of(const char *text)
{
    struct json_parser *parser = json_parser_new();
    const struct json_limits limits = {JSON_DEPTH_MAX, AUDIENCE_DEPTH, JSON_NODES_MAX};
    struct mn_arena arena = {0};
    const struct json *value = NULL;
    struct audience_client client;

    ck_assert_int_eq(json_parse_copy(parser, mn_span_str(text), limits, &arena, &value), MN_OK);
    client = audience_client(value);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return client;
}

static uint64_t id(const char *name)
{
    return audience_id(mn_span_str(name));
}

START_TEST(extensions_are_known_by_name)
{
    struct audience_client client =
        client_of("{\"extensions\":{\"a/b\":{\"v\":1},\"no\":1},\"experimental\":{\"a/b\":{}},"
                  "\"roots\":{}}");

    ck_assert_uint_eq(client.set, R);
    ck_assert_uint_eq(client.extensions_count, 2);
    ck_assert(client.extensions[0] == id("extensions/a/b"));
    ck_assert(client.extensions[1] == id("experimental/a/b"));
    ck_assert_uint_eq(client_of("{\"extensions\":[],\"experimental\":7}").extensions_count, 0);
    ck_assert_uint_eq(client_of("{\"extensions\":{\"\":{}}}").extensions_count, 1);
}
END_TEST

/* Who names the extension and can show nothing has no use for it. */
START_TEST(user_interfaces_are_html)
{
    static const char *const with[] = {AUDIENCE_UI_SETTINGS,
                                       "{\"mimeTypes\":[\"x/y\",\"text/html;profile=mcp-app\"]}"};
    static const char *const without[] = {"{}", "{\"mimeTypes\":[\"text/html\"]}",
                                          "{\"mimeTypes\":\"text/html;profile=mcp-app\"}",
                                          "{\"mimeTypes\":[[\"text/html;profile=mcp-app\"]]}"};
    char text[256];

    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "{\"extensions\":{\"io.modelcontextprotocol/ui\":%s}}",
                 with[i]);
        ck_assert_uint_eq(client_of(text).extensions_count, 1);
        ck_assert(client_of(text).extensions[0] == id(AUDIENCE_UI));
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "{\"extensions\":{\"io.modelcontextprotocol/ui\":%s}}",
                 without[i]);
        ck_assert_uint_eq(client_of(text).extensions_count, 0);
    }
}
END_TEST

START_TEST(of_very_many_extensions_some_are_known)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{\"extensions\":{\"");
    for (int i = 0; i <= AUDIENCE_NAME_MAX; i++)
        mn_writer_str(&writer, "x"); /* longer than names may be */
    mn_writer_str(&writer, "\":{}");
    for (int i = 0; i < 100; i++)
        mn_writer_format(&writer, ",\"e%d\":{}", i);
    mn_writer_str(&writer, "}}");
    mn_writer_add(&writer, mn_span("", 1));
    struct audience_client client = client_of((const char *)writer.buf->bytes);
    ck_assert_uint_eq(client.extensions_count, AUDIENCE_EXTENSIONS_MAX);
    ck_assert(client.extensions[0] == id("extensions/e0"));
    mn_writer_drop(&writer);
}
END_TEST

START_TEST(what_is_written_declares_the_extensions)
{
    const struct audience_extension list[] = {
        {mn_span_str("extensions/a"), mn_span_str("{}")},
        {mn_span_str("experimental/b\"c"), mn_span_str("{\"x\":1}")},
        {mn_span_str("extensions/d"), mn_span_str("{\"y\":\n2}")}};
    static const char *const expected[8] = {
        "{}",
        "{\"extensions\":{\"a\":{}}}",
        "{\"experimental\":{\"b\\\"c\":{\"x\":1}}}",
        "{\"extensions\":{\"a\":{}},\"experimental\":{\"b\\\"c\":{\"x\":1}}}",
        "{\"extensions\":{\"d\":{\"y\": 2}}}",
        "{\"extensions\":{\"a\":{},\"d\":{\"y\": 2}}}",
        "{\"extensions\":{\"d\":{\"y\": 2}},\"experimental\":{\"b\\\"c\":{\"x\":1}}}",
        "{\"extensions\":{\"a\":{},\"d\":{\"y\": 2}},\"experimental\":{\"b\\\"c\":{\"x\":1}}}"};

    for (uint32_t chosen = 0; chosen < 8; chosen++) {
        struct mn_writer writer = {0};
        audience_write(&writer, 0, list, 3, chosen);
        mn_writer_add(&writer, mn_span("", 1));
        ck_assert_str_eq((const char *)writer.buf->bytes, expected[chosen]);
        mn_writer_drop(&writer);
    }
}
END_TEST

START_TEST(an_extension_shows_or_hides)
{
    const struct audience_with shows = {.extension = 1, .table = 0},
                               hides = {.extension = 2, .table = AUDIENCE_NOBODY};
    const struct audience only = {AUDIENCE_NOBODY, &shows, 1}, unless = {0, &hides, 1};
    const struct audience_client none = {0}, one = {.extensions_count = 1, .extensions = {1}},
                                 two = {.extensions_count = 2, .extensions = {2, 1}};

    ck_assert(!audience_shows(&only, &none) && audience_shows(&only, &one));
    ck_assert(audience_shows(&only, &two));
    ck_assert(audience_shows(&unless, &none) && audience_shows(&unless, &one));
    ck_assert(!audience_shows(&unless, &two));
}
END_TEST

START_TEST(only_what_makes_a_difference_counts)
{
    const struct audience_with shows = {.extension = 5, .table = 0};
    const struct audience audience = {AUDIENCE_NOBODY, &shows, 1};
    const struct audience_client client = {S | R, 3, {7, 5, 6}}, other = {E, 1, {5}}, third = {0};
    struct audience_relevant relevant = {0};
    struct audience_client parts[3];

    audience_add_relevant(&relevant, &audience);
    audience_add_relevant(&relevant, &audience);
    ck_assert_uint_eq(relevant.extensions_count, 1);
    ck_assert_uint_eq(relevant.set, 0);
    parts[0] = audience_part(&client, &relevant);
    parts[1] = audience_part(&other, &relevant);
    parts[2] = audience_part(&third, &relevant);
    ck_assert(audience_is_equal(&parts[0], &parts[1]));
    ck_assert(!audience_is_equal(&parts[0], &parts[2]));
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
    tcase_add_test(tcase, extensions_are_known_by_name);
    tcase_add_test(tcase, user_interfaces_are_html);
    tcase_add_test(tcase, of_very_many_extensions_some_are_known);
    tcase_add_test(tcase, what_is_written_declares_the_extensions);
    tcase_add_test(tcase, an_extension_shows_or_hides);
    tcase_add_test(tcase, only_what_makes_a_difference_counts);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
