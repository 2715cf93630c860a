/* Names of tools: made from the set alone, unique, allowed everywhere. And who is asked for a URI.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/names/names_route.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

static struct names *names;

static void setup(void)
{
    client_setup();
    names = front_names(client_front);
}

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"

static const char *list_of(enum names_kind kind)
{
    static char text[8192];
    struct names_item **items;
    uint32_t count = names_listed(names, kind, &items);

    text[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) strcat(text, " ");
        strncat(text, (const char *)items[i]->exposed.data, items[i]->exposed.size);
    }
    return text;
}

static const char *list(void)
{
    return list_of(NAMES_TOOLS);
}

static void serve(const char *service, const char *const *tools)
{
    client_service(service, true, tools);
}

START_TEST(services_sort_by_name_and_tools_keep_their_order)
{
    static const char *const z[] = {TOOL("b"), TOOL("a"), NULL}, *const a[] = {TOOL("x"), NULL};

    serve("z", z);
    serve("B", a);
    serve("b", a);
    serve("a", a);
    ck_assert_str_eq(list(), "B__x a__x b__x z__b z__a");
}
END_TEST

START_TEST(odd_characters_become_underscores)
{
    static const char *const tools[] = {TOOL("do.it/now"), TOOL("caf\xc3\xa9"), NULL};

    serve("srv.node-1", tools);
    ck_assert_str_eq(list(), "srv_node-1__do_it_now srv_node-1__caf__");
    ck_assert_ptr_nonnull(names_tool(names, mn_span_str("srv_node-1__do_it_now")));
    ck_assert_ptr_null(names_tool(names, mn_span_str("srv.node-1__do.it/now")));
}
END_TEST

START_TEST(long_names_are_cut_and_hashed)
{
    static const char *const tools[] = {
        TOOL("0123456789012345678901234567890123456789012345678901234567"),  /* 58: 64 in all */
        TOOL("01234567890123456789012345678901234567890123456789012345678"), /* 59: 65 */
        TOOL("012345678901234567890123456789012345678901234567890123456789"), NULL};
    struct names_item **all;

    serve("serv", tools);
    ck_assert_uint_eq(names_listed(names, NAMES_TOOLS, &all), 3);
    ck_assert_uint_eq(all[0]->exposed.size, 64);
    ck_assert(mn_span_is(all[0]->exposed,
                         "serv__0123456789012345678901234567890123456789012345678901234567"));
    for (int i = 1; i < 3; i++) {
        ck_assert_uint_eq(all[i]->exposed.size, 64);
        ck_assert_mem_eq(all[i]->exposed.data,
                         "serv__0123456789012345678901234567890123456789012345678_", 56);
    }
    ck_assert(!mn_span_equal(all[1]->exposed, all[2]->exposed));
}
END_TEST

START_TEST(names_that_clash_are_all_hashed)
{
    static const char *const tools[] = {TOOL("x.y"), TOOL("x_y"), TOOL("z"), NULL};
    static const char *const other[] = {TOOL("b__c"), NULL}, *const third[] = {TOOL("c"), NULL};
    struct names_item **all;

    serve("a", tools);
    ck_assert_uint_eq(names_listed(names, NAMES_TOOLS, &all), 3);
    ck_assert_uint_eq(all[0]->exposed.size, strlen("a__x_y_01234567"));
    ck_assert_mem_eq(all[0]->exposed.data, "a__x_y_", 7);
    ck_assert(!mn_span_equal(all[0]->exposed, all[1]->exposed));
    ck_assert(mn_span_is(all[2]->exposed, "a__z"));
    ck_assert_ptr_null(names_tool(names, mn_span_str("a__x_y")));

    client_service_gone("a", false);
    serve("a", other);    /* a__b__c */
    serve("a__b", third); /* a__b__c */
    ck_assert_uint_eq(names_listed(names, NAMES_TOOLS, &all), 2);
    ck_assert_uint_eq(all[0]->exposed.size, strlen("a__b__c_01234567"));
    client_service_gone("a__b", false);
    ck_assert_str_eq(list(), "a__b__c");
}
END_TEST

static const char *const sets[][4] = {
    {TOOL("a.b"), TOOL("c"), NULL}, {TOOL("a_b"), NULL}, {TOOL("c"), TOOL("c"), NULL}, {NULL}};
static const char *const services[] = {"s", "s.n1", "s_n1", "t"};

/* Whatever the order of arrival, and whatever was there in between, the bytes are the same. */
START_TEST(the_list_depends_on_the_set_alone)
{
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
    static char first[2][8192];
    static uint8_t first_digest[NAMES_DIGEST_SIZE];

    for (int i = 0; i < 4; i++) {
        client_teardown();
        setup();
        serve("s", sets[2]);
        for (int k = 0; k < 4; k++) {
            serve(services[orders[i][k]], sets[orders[i][k]]);
            if (i % 2 == 0) list(); /* a rebuild in between changes nothing */
        }
        for (int era = 0; era < 2; era++) {
            struct mn_span text =
                names_list(names, (struct names_endpoint){0}, NAMES_TOOLS, (enum names_era)era, 0);
            uint8_t digest[NAMES_DIGEST_SIZE];
            names_digest(names, mn_span(NULL, 0), &(struct audience_client){0}, NAMES_TOOLS,
                         digest);
            if (i == 0) {
                snprintf(first[era], sizeof first[era], "%.*s", (int)text.size, text.data);
                memcpy(first_digest, digest, sizeof digest);
            }
            ck_assert(mn_span_is(text, first[era]));
            ck_assert_mem_eq(digest, first_digest, sizeof digest);
        }
    }
}
END_TEST

START_TEST(what_is_no_valid_tool_is_dropped_and_counted)
{
    static const char *const tools[] = {TOOL("good"),
                                        "{\"name\":\"noschema\"}",
                                        "{\"name\":\"badschema\",\"inputSchema\":[]}",
                                        "{\"name\":\"x\",\"name\":\"x\",\"inputSchema\":{}}",
                                        "{\"name\":\"\",\"inputSchema\":{}}",
                                        "[\"name\":\"x\"]",
                                        "{\"name\":\"cut\",\"inputSchema\":{}",
                                        "{\"inputSchema\":{}}",
                                        TOOL("good"),
                                        NULL};
    struct mcp_stats stats;

    serve("s", tools);
    ck_assert_str_eq(list(), "s__good");
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.tools_dropped, 8);
}
END_TEST

START_TEST(an_offer_that_is_garbage_has_no_tools)
{
    struct call_message message = {.type = CALL_MESSAGE_SERVICE};

    message.service = (struct call_service){.name = mn_span_str("g"),
                                            .body = mn_buf_copy(mn_span("\xff\xff\xff", 3)),
                                            .is_listed = true};
    client_step(&(struct mcp_input){.type = MCP_IN_CALL, .call = &message});
    mn_buf_unref(message.service.body);
    ck_assert_str_eq(list(), "");
    ck_assert_ptr_nonnull(names_service(names, mn_span_str("g")));
}
END_TEST

/* Offers that say more of extensions than any server does: a long name that every tool gives, very
 * many names, tools that give a name again and again. */
#define MANY 1000

static const struct {
    size_t name_size, names_count, rows_count;
} greedy[] = {{65536, 1, 1}, {255, 65536, 1}, {8, 1, 200}};

static char *greedy_names[65536];
static Meshnode__Gateway__With greedy_with = MESHNODE__GATEWAY__WITH__INIT, *greedy_rows[200];
static size_t held_before;
static int greedy_case;

static size_t held(void)
{
    struct mallinfo2 info;

    mn_memory_give_back();
    info = mallinfo2(); /* nothing, where a sanitizer allocates */
    return info.uordblks + info.hblkhd;
}

static void be_greedy(Meshnode__Gateway__Offer *offer)
{
    static char name[65536 + 1];

    memset(name, 'x', greedy[greedy_case].name_size);
    for (size_t i = 0; i < greedy[greedy_case].names_count; i++)
        greedy_names[i] = name;
    greedy_with.audience = AUDIENCE_ALL;
    for (size_t i = 0; i < greedy[greedy_case].rows_count; i++)
        greedy_rows[i] = &greedy_with;
    offer->extensions = greedy_names;
    offer->n_extensions = greedy[greedy_case].names_count;
    for (size_t i = 0; i < offer->n_tools; i++) {
        offer->tools[i]->with = greedy_rows;
        offer->tools[i]->n_with = greedy[greedy_case].rows_count;
    }
    held_before = held();
}

START_TEST(what_an_offer_says_of_extensions_takes_little_memory)
{
    static char definitions[MANY][64];
    const char *tools[MANY + 1] = {NULL};

    greedy_case = _i;
    for (int i = 0; i < MANY; i++) {
        snprintf(definitions[i], sizeof definitions[i], TOOL("t%d"), i);
        tools[i] = definitions[i];
    }
    client_service_offer("s", true, &(struct client_offer){.tools = tools, .amend = be_greedy});
    ck_assert_uint_lt(held(), held_before + ((size_t)4 << 20));
    ck_assert_uint_eq(names_service(names, mn_span_str("s"))->counts[NAMES_TOOLS], MANY);
}
END_TEST

START_TEST(unlisted_services_are_callable_but_not_shown)
{
    static const char *const tools[] = {TOOL("t"), NULL};

    serve("s", tools);
    client_service("s.n1", false, tools);
    ck_assert_str_eq(list(), "s__t");
    ck_assert(mn_span_is(names_tool(names, mn_span_str("s_n1__t"))->service->name, "s.n1"));
    serve("s_n1", tools); /* a listed one takes the plain name */
    ck_assert(mn_span_is(names_tool(names, mn_span_str("s_n1__t"))->service->name, "s_n1"));
}
END_TEST

START_TEST(a_conflict_lists_nothing_until_it_is_solved)
{
    static const char *const tools[] = {TOOL("t"), NULL};

    serve("s", tools);
    client_service_gone("s", true);
    ck_assert_str_eq(list(), "");
    ck_assert(names_service(names, mn_span_str("s"))->is_conflict);
    serve("s", tools);
    ck_assert_str_eq(list(), "s__t");
    ck_assert(!names_service(names, mn_span_str("s"))->is_conflict);
}
END_TEST

START_TEST(each_era_gets_what_it_knows)
{
    static const char *const tools[] = {
        "{\"execution\":{\"taskSupport\":\"optional\"}, \"name\":\"a\","
        "\"inputSchema\":{\"type\":\"object\"},\"outputSchema\":{\"type\":\"object\"}}",
        "{\"outputSchema\":{\"type\":\"string\"},\"inputSchema\":{},\"name\":\"b\"}",
        "{\"outputSchema\":{},\"inputSchema\":{},\"name\":\"c\",\"zz\":[ 1.0 ]}", NULL};

    serve("s", tools);
    ck_assert(
        mn_span_is(names_list(names, (struct names_endpoint){0}, NAMES_TOOLS, NAMES_LEGACY, 0),
                   "{\"tools\":[{\"execution\":{\"taskSupport\":\"optional\"},\"name\":\"s__a\","
                   "\"inputSchema\":{\"type\":\"object\"},\"outputSchema\":{\"type\":\"object\"}},"
                   "{\"inputSchema\":{},\"name\":\"s__b\"},"
                   "{\"inputSchema\":{},\"name\":\"s__c\",\"zz\":[ 1.0 ]}]}"));
    ck_assert(mn_span_is(
        names_list(names,
                   (struct names_endpoint){.service = names_service(names, mn_span_str("s"))},
                   NAMES_TOOLS, NAMES_MODERN, 0),
        "{\"tools\":[{\"name\":\"a\","
        "\"inputSchema\":{\"type\":\"object\"},\"outputSchema\":{\"type\":\"object\"}},"
        "{\"outputSchema\":{\"type\":\"string\"},\"inputSchema\":{},\"name\":\"b\"},"
        "{\"outputSchema\":{},\"inputSchema\":{},\"name\":\"c\",\"zz\":[ 1.0 ]}],"
        "\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"}"));
}
END_TEST

START_TEST(many_services_stay_sorted_and_unique)
{
    static const char *const tools[] = {TOOL("t"), TOOL("u"), NULL};
    struct names_item **all;
    char name[16];
    uint32_t count;

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "s%d", i * 7919 % 300);
        serve(name, tools);
    }
    count = names_listed(names, NAMES_TOOLS, &all);
    ck_assert_uint_eq(count, 600);
    for (uint32_t i = 2; i < count; i += 2)
        ck_assert_int_lt(mn_span_compare(all[i - 2]->service->name, all[i]->service->name), 0);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_ptr_eq(names_tool(names, all[i]->exposed), all[i]);
}
END_TEST

/* ---- URIs ---- */

static void serve_resource(const char *service, const char *resource)
{
    client_service_offer(
        service, true, &(struct client_offer){.resources = (const char *const[]){resource, NULL}});
}

static const char *first_asked(const char *uri)
{
    struct names_route route;

    names_route_uri(names, mn_span_str(uri), &route);
    ck_assert_uint_gt(route.count, 0);
    return mn_arena_format(&names->scratch, "%.*s", (int)route.services[0]->name.size,
                           (const char *)route.services[0]->name.data);
}

/* What was guessed before is not what is so now. */
START_TEST(guess_follows_the_services)
{
    serve_resource("a", "{\"uri\":\"x://1\",\"name\":\"n\"}");
    serve_resource("b", "{\"uri\":\"y://1\",\"name\":\"n\"}");
    ck_assert_str_eq(first_asked("q://1"), "a");
    ck_assert_str_eq(first_asked("y://2"), "b");
    ck_assert_str_eq(first_asked("q://1"), "a");
    ck_assert_str_eq(first_asked("q://2"), "a");
    serve_resource("c", "{\"uri\":\"q://1\",\"name\":\"n\"}");
    ck_assert_str_eq(first_asked("q://2"), "c");
    client_service_gone("c", false);
    ck_assert_str_eq(first_asked("q://2"), "a");
}
END_TEST

START_TEST(guess_that_is_too_much_effort_is_not_remembered)
{
    size_t effort = SIZE_MAX, used;
    struct names_route route;

    serve_resource("a", "{\"uri\":\"x://1\",\"name\":\"n\"}");
    serve_resource("b", "{\"uri\":\"y://1\",\"name\":\"n\"}");
    names_route_within(names, mn_span_str("x://2"), &effort, &route);
    used = SIZE_MAX - effort;
    effort = used;
    names_route_within(names, mn_span_str("y://2"), &effort, &route);
    ck_assert_uint_eq(effort, 0);
    effort = used + 8;
    names_route_within(names, mn_span_str("y://2"), &effort, &route);
    ck_assert_uint_gt(effort, 0);
    ck_assert_str_eq(first_asked("y://2"), "b");
}
END_TEST

/* Whichever of them comes first, in time or by name. */
START_TEST(what_the_mesh_lists_stays_its_own)
{
    serve_resource("a", "{\"uri\":\"mesh://status\",\"name\":\"n\"}");
    serve_resource("mesh", "{\"uri\":\"mesh://status\",\"name\":\"n\"}");
    serve_resource("z", "{\"uri\":\"mesh://status\",\"name\":\"n\"}");
    ck_assert_str_eq(first_asked("mesh://status"), "mesh");
    ck_assert_str_eq(list_of(NAMES_RESOURCES), "meshnode://a/mesh://status mesh://status "
                                               "meshnode://z/mesh://status");
    ck_assert_str_eq(first_asked("meshnode://z/mesh://status"), "z");
    client_service_gone("mesh", false);
    client_service_gone("z", false);
    ck_assert_str_eq(list_of(NAMES_RESOURCES), "mesh://status");
}
END_TEST

/* Such as another mesh has, which is attached as a server: its "b" is not ours. */
START_TEST(what_looks_like_a_long_form_has_one_of_its_own)
{
    const char *uri = "meshnode://other/meshnode://b/x://1";
    struct names_route route;

    serve_resource("b", "{\"uri\":\"x://1\",\"name\":\"n\"}");
    serve_resource("other", "{\"uri\":\"meshnode://b/x://1\",\"name\":\"n\"}");
    ck_assert_str_eq(list_of(NAMES_RESOURCES), "x://1 meshnode://other/meshnode://b/x://1");
    ck_assert_str_eq(first_asked("meshnode://b/x://1"), "b");
    names_route_uri(names, mn_span_str(uri), &route);
    ck_assert_uint_eq(route.count, 1);
    ck_assert(mn_span_is(route.services[0]->name, "other"));
    ck_assert(mn_span_is(route.own, "meshnode://b/x://1"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *tcase = tcase_create("names");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, services_sort_by_name_and_tools_keep_their_order);
    tcase_add_test(tcase, odd_characters_become_underscores);
    tcase_add_test(tcase, long_names_are_cut_and_hashed);
    tcase_add_test(tcase, names_that_clash_are_all_hashed);
    tcase_add_test(tcase, the_list_depends_on_the_set_alone);
    tcase_add_test(tcase, what_is_no_valid_tool_is_dropped_and_counted);
    tcase_add_test(tcase, an_offer_that_is_garbage_has_no_tools);
    tcase_add_loop_test(tcase, what_an_offer_says_of_extensions_takes_little_memory, 0,
                        sizeof greedy / sizeof *greedy);
    tcase_add_test(tcase, unlisted_services_are_callable_but_not_shown);
    tcase_add_test(tcase, a_conflict_lists_nothing_until_it_is_solved);
    tcase_add_test(tcase, each_era_gets_what_it_knows);
    tcase_add_test(tcase, guess_follows_the_services);
    tcase_add_test(tcase, guess_that_is_too_much_effort_is_not_remembered);
    tcase_add_test(tcase, many_services_stay_sorted_and_unique);
    tcase_add_test(tcase, what_the_mesh_lists_stays_its_own);
    tcase_add_test(tcase, what_looks_like_a_long_form_has_one_of_its_own);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
