/* What a server says in its results beside what these revisions know: it is part of the offer, and
 * where replicas must be equal only if it is the same each time. */
#include <string.h>

#include "node/mcp/upstream/upstream_said.h"
#include "proto/pb.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define TOOL "{\"name\":\"a\",\"inputSchema\":{\"type\":\"object\"}}"
#define HINTS "\"resultType\":\"complete\",\"ttlMs\":5,\"cacheScope\":\"public\""
#define INFO "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"s\",\"version\":\"1\"}"

static struct world w;

static void setup(void)
{
    world_init(&w);
    w.is_surveyed = true;
}

static void teardown(void)
{
    world_done(&w);
}

static const char *discovered(const char *more)
{
    return world_format(&w,
                        "{" HINTS ",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{"
                        "\"tools\":{}},\"_meta\":{" INFO "%s}",
                        more);
}

static const char *listed(const char *more)
{
    return world_format(&w, "{" HINTS ",\"tools\":[" TOOL "]%s}", more);
}

static const Meshnode__Gateway__Offer *offer(void)
{
    static struct mn_arena arena;
    const Meshnode__Gateway__Offer *offer;

    mn_arena_done(&arena);
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &arena,
                      mn_buf_span(world_offer(&w)->body));
    ck_assert_ptr_nonnull(offer);
    return offer;
}

static bool is_about(const char *expected)
{
    return mn_span_is(pb_span(offer()->about), expected);
}

static bool is_about_tools(const char *expected)
{
    const Meshnode__Gateway__Offer *found = offer();

    if (found->n_about_lists == 0) return expected[0] == '\0';
    return mn_span_is(pb_span(found->about_lists[UPSTREAM_LIST_TOOLS]), expected);
}

START_TEST(a_child_says_what_it_says)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), discovered(",\"k\":1.0},\"x\":{\"y\":1e400}"));
    world_answer(&w, world_line(&w), listed(",\"_meta\":{\"n\":1}"));
    for (const char *line; (line = world_line(&w)) != NULL;)
        if (strstr(line, "tools/list") != NULL)
            world_answer(&w, line, listed(",\"_meta\":{\"n\":2}"));
    ck_assert(is_about("{\"_meta\":{\"k\":1.0},\"x\":{\"y\":1e400}}"));
    ck_assert(is_about_tools("{\"_meta\":{\"n\":1}}"));
}
END_TEST

START_TEST(who_says_nothing_has_said_nothing)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), discovered("}"));
    for (const char *line; (line = world_line(&w)) != NULL;)
        if (strstr(line, "tools/list") != NULL) world_answer(&w, line, listed(""));
    ck_assert(is_about("") && offer()->n_about_lists == 0);
}
END_TEST

START_TEST(very_much_is_not_kept)
{
    static char much[UPSTREAM_SAID_MAX + 256];

    strcpy(much, "{" HINTS ",\"tools\":[" TOOL "],\"x\":\"");
    memset(much + strlen(much), 'x', UPSTREAM_SAID_MAX);
    strcat(much, "\"}");
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), discovered("}"));
    for (const char *line; (line = world_line(&w)) != NULL;)
        if (strstr(line, "tools/list") != NULL) world_answer(&w, line, much);
    ck_assert_str_eq(world_offer(&w)->tools, "a ");
    ck_assert(is_about_tools(""));
}
END_TEST

/* At a URL: [abouts] and [lists] are said one after the other, the last ones again and again. */
static void serve_url(const char *const abouts[2], const char *const lists[2])
{
    struct world_fetch *fetch;
    uint32_t asked = 0, drained = 0;

    ck_assert_int_eq(world_add_url(&w, "s", "http://up.example/mcp", UPSTREAM_ERA_MODERN), MN_OK);
    while ((fetch = world_fetch(&w)) != NULL) {
        if (strstr(fetch->body, "server/discover") != NULL)
            world_reply_result(&w, fetch, discovered(abouts[asked++ > 0]));
        else if (strstr(fetch->body, "tools/list") != NULL)
            world_reply_result(&w, fetch, listed(lists[drained++ > 0]));
    }
    ck_assert_uint_le(asked, 2);
}

START_TEST(what_an_endpoint_says_twice_counts)
{
    const char *const abouts[] = {",\"k\":1},\"x\":2", ",\"k\":1},\"x\":2"},
                      *const lists[] = {",\"_meta\":{\"n\":1}", ",\"_meta\":{\"n\":1}"};

    serve_url(abouts, lists);
    ck_assert(is_about("{\"_meta\":{\"k\":1},\"x\":2}"));
    ck_assert(is_about_tools("{\"_meta\":{\"n\":1}}"));
}
END_TEST

/* Its replicas would never be equal. */
START_TEST(what_an_endpoint_says_otherwise_each_time_does_not)
{
    const char *const abouts[] = {",\"at\":1}", ",\"at\":2}"}, *const lists[] = {
                                                                   ",\"_meta\":{\"at\":1}",
                                                                   ",\"_meta\":{\"at\":2}"};

    serve_url(abouts, lists);
    ck_assert_str_eq(world_offer(&w)->tools, "a ");
    ck_assert(is_about("") && is_about_tools(""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_said");
    TCase *tcase = tcase_create("said");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_child_says_what_it_says);
    tcase_add_test(tcase, who_says_nothing_has_said_nothing);
    tcase_add_test(tcase, very_much_is_not_kept);
    tcase_add_test(tcase, what_an_endpoint_says_twice_counts);
    tcase_add_test(tcase, what_an_endpoint_says_otherwise_each_time_does_not);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
