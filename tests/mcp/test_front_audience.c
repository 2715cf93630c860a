/* Items that a server shows only to clients with certain capabilities: each client sees what it
 * would see at the server itself, at every endpoint, and hears only of changes to that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/names/curation.h"
#include "node/mcp/wire/audience.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"
#define STRICT(name)                                                                    \
    "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\",\"required\":[\"n\"]," \
    "\"properties\":{\"n\":{\"type\":\"number\"}}}}"
#define PROMPT(name) "{\"name\":\"" name "\"}"
#define RESOURCE(uri) "{\"uri\":\"" uri "\",\"name\":\"n\"}"
#define TEMPLATE(uri) "{\"uriTemplate\":\"" uri "\",\"name\":\"n\"}"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define NONE "{}"
#define ASKABLE "{\"elicitation\":{}}"
#define SAMPLES "{\"sampling\":{}}"
#define BOTH "{\"sampling\":{},\"elicitation\":{}}"

static uint64_t needs(uint32_t wanted)
{
    uint64_t audience = 0;

    for (uint32_t set = 0; set < AUDIENCE_SETS; set++)
        if ((set & wanted) == wanted) audience |= (uint64_t)1 << set;
    return audience;
}

/* "plain" and "last" are for all, the others for those that can be asked, or that sample. */
static void serve(const char *const *tools, uint64_t second, uint64_t third)
{
    const uint64_t audiences[] = {0, second, third, 0}, one[] = {needs(AUDIENCE_ELICITATION), 0};

    client_service_offer(
        "s", true,
        &(struct client_offer){.tools = tools,
                               .prompts = LIST(PROMPT("ask"), PROMPT("tell")),
                               .resources = LIST(RESOURCE("x://ask"), RESOURCE("x://tell")),
                               .templates = LIST(TEMPLATE("ask://{a}"), TEMPLATE("tell://{a}")),
                               .capabilities = "{\"tools\":{},\"prompts\":{},\"resources\":{}}",
                               .audiences = {audiences, one, one, one}});
}

static void serve_usual(void)
{
    serve(LIST(TOOL("plain"), STRICT("ask"), TOOL("sample"), TOOL("last")),
          needs(AUDIENCE_ELICITATION), needs(AUDIENCE_SAMPLING));
}

static void setup(void)
{
    client_setup();
    client_service("mesh", true, LIST(TOOL("mesh_find"), TOOL("mesh_call")));
    serve_usual();
}

static const struct client_response *modern(const char *path, const char *method, const char *name,
                                            const char *capabilities, const char *members)
{
    char method_line[64], name_line[128], body[2048];
    const char *const headers[] = {"mcp-protocol-version: 2026-07-28", method_line,
                                   name == NULL ? NULL : name_line, NULL};

    snprintf(method_line, sizeof method_line, "mcp-method: %s", method);
    snprintf(name_line, sizeof name_line, "mcp-name: %s", name == NULL ? "" : name);
    snprintf(body, sizeof body,
             ID "\"method\":\"%s\",\"params\":{%s\"_meta\":{\"io.modelcontextprotocol/"
                "protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
                "clientCapabilities\":%s}}}",
             method, members, capabilities);
    return client_send("POST", path, headers, body);
}

/* What stands after [before] in the items of a list, in its order. */
static const char *keys_in(const char *body, const char *before)
{
    static char keys[1024];

    keys[0] = '\0';
    for (const char *next = body; (next = strstr(next, before)) != NULL;) {
        size_t size = strcspn(next += strlen(before), "\"");
        snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%s%.*s",
                 keys[0] == '\0' ? "" : " ", (int)size, next);
    }
    return keys;
}

static const char *names_at(const char *path, const char *capabilities)
{
    return keys_in(modern(path, "tools/list", NULL, capabilities, "")->body, "{\"name\":\"");
}

static const char *open_session(const char *path, const char *capabilities)
{
    static char session[300];
    char body[512];

    snprintf(body, sizeof body,
             ID "\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\","
                "\"capabilities\":%s,\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}",
             capabilities);
    snprintf(session, sizeof session, "%s", client_send("POST", path, NULL, body)->session);
    return session;
}

static const char *legacy_names_at(const char *path, const char *capabilities)
{
    char line[320];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", open_session(path, capabilities));
    return keys_in(client_send("POST", path, headers, ID "\"method\":\"tools/list\"}")->body,
                   "{\"name\":\"");
}

START_TEST(each_client_sees_what_the_server_shows_it)
{
    const char *path = "/mcp/servers/s";

    ck_assert_str_eq(names_at(path, NONE), "plain last");
    ck_assert_str_eq(names_at(path, ASKABLE), "plain ask last");
    ck_assert_str_eq(names_at(path, SAMPLES), "plain sample last");
    ck_assert_str_eq(names_at(path, BOTH), "plain ask sample last");
    ck_assert_str_eq(names_at(path, "{\"roots\":{}}"), "plain last");
    ck_assert_str_eq(names_at("/mcp", NONE), "mesh_find mesh_call s__plain s__last");
    ck_assert_str_eq(names_at("/mcp", BOTH),
                     "mesh_find mesh_call s__plain s__ask s__sample s__last");
}
END_TEST

START_TEST(legacy_clients_say_it_once)
{
    ck_assert_str_eq(legacy_names_at("/mcp/servers/s", NONE), "plain last");
    ck_assert_str_eq(legacy_names_at("/mcp/servers/s", BOTH), "plain ask sample last");
    ck_assert_str_eq(legacy_names_at("/mcp", SAMPLES),
                     "mesh_find mesh_call s__plain s__sample s__last");
}
END_TEST

START_TEST(prompts_resources_and_templates_alike)
{
    static const struct {
        const char *method, *before, *none, *askable;
    } lists[] = {
        {"prompts/list", "{\"name\":\"", "tell", "ask tell"},
        {"resources/list", "{\"uri\":\"", "x://tell", "x://ask x://tell"},
        {"resources/templates/list", "{\"uriTemplate\":\"", "tell://{a}", "ask://{a} tell://{a}"}};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char *path = "/mcp/servers/s";
        ck_assert_str_eq(
            keys_in(modern(path, lists[i].method, NULL, NONE, "")->body, lists[i].before),
            lists[i].none);
        ck_assert_str_eq(
            keys_in(modern(path, lists[i].method, NULL, ASKABLE, "")->body, lists[i].before),
            lists[i].askable);
    }
}
END_TEST

START_TEST(a_view_shows_what_it_chooses_to_those_that_may_see_it)
{
    struct curation_pair pair = {mn_span_str("view/v"),
                                 mn_span_str("{\"tools\":[{\"tool\":\"s/ask\",\"as\":\"q\"},"
                                             "\"s/*\"]}")};
    struct mcp_input input = {.type = MCP_IN_CURATION, .pairs = &pair, .pairs_count = 1};

    client_step(&input);
    ck_assert_str_eq(names_at("/mcp/views/v", NONE), "s__plain s__last");
    ck_assert_str_eq(names_at("/mcp/views/v", ASKABLE), "q s__plain s__last");
    ck_assert_str_eq(names_at("/mcp/views/v", BOTH), "q s__plain s__sample s__last");
}
END_TEST

START_TEST(a_search_finds_what_the_client_may_see)
{
    const char *find = "\"name\":\"mesh_find\",\"arguments\":{\"text\":\"s__\"},";

    ck_assert_ptr_null(
        strstr(modern("/mcp", "tools/call", "mesh_find", NONE, find)->body, "s__ask"));
    ck_assert_ptr_nonnull(
        strstr(modern("/mcp", "tools/call", "mesh_find", ASKABLE, find)->body, "s__ask"));
}
END_TEST

/* The server answers, and no schema is judged that the client has never seen. */
START_TEST(who_calls_what_it_is_not_shown_hears_its_server)
{
    modern("/mcp", "tools/call", "s__ask", NONE, "\"name\":\"s__ask\",\"arguments\":{},");
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_ptr_nonnull(strstr(client_calls[0].params, "\"name\":\"ask\""));
    modern("/mcp/servers/s", "tools/call", "ask", NONE, "\"name\":\"ask\",\"arguments\":{},");
    ck_assert_uint_eq(client_calls_count, 2);
    modern("/mcp", "tools/call", "mesh_call", NONE,
           "\"name\":\"mesh_call\",\"arguments\":{\"tool\":\"s__ask\",\"arguments\":{}},");
    ck_assert_uint_eq(client_calls_count, 3);
    ck_assert_ptr_nonnull(strstr(client_calls[2].params, "\"name\":\"ask\""));
    ck_assert_ptr_nonnull(strstr(
        modern("/mcp", "tools/call", "s__ask", ASKABLE, "\"name\":\"s__ask\",\"arguments\":{},")
            ->body,
        "do not match the tool's schema"));
    ck_assert_uint_eq(client_calls_count, 3);
}
END_TEST

static uint64_t listen_at(const char *path, const char *capabilities)
{
    return modern(path, "subscriptions/listen", NULL, capabilities,
                  "\"notifications\":{\"toolsListChanged\":true},")
        ->id;
}

static bool is_told(uint64_t listen)
{
    client_at(client_now.mono + MN_SEC);
    return strstr(client_response(listen)->body, "tools/list_changed") != NULL;
}

START_TEST(only_those_hear_of_a_change_whose_list_changed)
{
    static const char *const paths[] = {"/mcp/servers/s", "/mcp"};

    for (int i = 0; i < 2; i++) {
        uint64_t none, askable;
        client_teardown();
        setup();
        none = listen_at(paths[i], NONE);
        askable = listen_at(paths[i], ASKABLE);
        serve(LIST(TOOL("plain"), TOOL("asks"), TOOL("sample"), TOOL("last")),
              needs(AUDIENCE_ELICITATION), needs(AUDIENCE_SAMPLING));
        ck_assert(is_told(askable));
        ck_assert(!is_told(none));
        serve(LIST(TOOL("plain"), TOOL("asks"), TOOL("sample"), TOOL("final")),
              needs(AUDIENCE_ELICITATION), needs(AUDIENCE_SAMPLING));
        ck_assert(is_told(none));
    }
}
END_TEST

/* A server that shows no differences any more, or not yet, is no change to those that see none. */
START_TEST(differences_that_come_and_go_are_no_change_to_others)
{
    static const char *const paths[] = {"/mcp/servers/s", "/mcp"};
    const char *const *plain = LIST(TOOL("plain"), TOOL("last"));

    for (int i = 0; i < 2; i++) {
        uint64_t none, askable;
        client_teardown();
        setup();
        serve(plain, 0, 0);
        none = listen_at(paths[i], NONE);
        serve_usual();
        ck_assert(!is_told(none));
        askable = listen_at(paths[i], ASKABLE);
        serve(plain, 0, 0);
        ck_assert(!is_told(none));
        ck_assert(is_told(askable));
    }
}
END_TEST

START_TEST(an_audience_is_a_matter_of_each_set)
{
    serve(LIST(TOOL("plain"), TOOL("alone"), TOOL("either"), TOOL("last")),
          ~needs(AUDIENCE_ELICITATION), needs(AUDIENCE_ELICITATION) | needs(AUDIENCE_SAMPLING));
    ck_assert_str_eq(names_at("/mcp/servers/s", NONE), "plain alone last");
    ck_assert_str_eq(names_at("/mcp/servers/s", ASKABLE), "plain either last");
    ck_assert_str_eq(names_at("/mcp/servers/s", SAMPLES), "plain alone either last");
    ck_assert_str_eq(names_at("/mcp/servers/s", "{\"roots\":{}}"), "plain alone last");
}
END_TEST

static const char *cursor_in(const char *body)
{
    static char cursor[512];
    const char *at = strstr(body, "\"nextCursor\":\"");

    snprintf(cursor, sizeof cursor, "%.*s", at == NULL ? 0 : (int)strcspn(at + 14, "\""),
             at == NULL ? "" : at + 14);
    return cursor;
}

/* 2,000 tools, of which each second one is for those that can be asked. */
START_TEST(pages_are_of_what_the_client_sees)
{
    static char texts[2001][80];
    static const char *tools[2002];
    static uint64_t audiences[2001];
    const char *path = "/mcp/servers/many";
    char members[640], *first;

    for (int i = 0; i < 2001; i++) {
        snprintf(texts[i], sizeof texts[i], TOOL("t%d"), i);
        tools[i] = texts[i];
        audiences[i] = i % 2 == 1 ? needs(AUDIENCE_ELICITATION) : 0;
    }
    client_service_offer("many", true,
                         &(struct client_offer){.tools = tools, .audiences = {audiences}});
    first = strdup(modern(path, "tools/list", NULL, NONE, "")->body);
    ck_assert_ptr_nonnull(strstr(first, "\"name\":\"t1998\""));
    ck_assert_ptr_null(strstr(first, "\"name\":\"t1\""));
    snprintf(members, sizeof members, "\"cursor\":\"%s\",", cursor_in(first));
    ck_assert_str_eq(keys_in(modern(path, "tools/list", NULL, NONE, members)->body, "{\"name\":\""),
                     "t2000");
    ck_assert_ptr_nonnull(strstr(modern(path, "tools/list", NULL, ASKABLE, members)->body,
                                 "the list has changed since"));
    free(first);
}
END_TEST

/* ---- extensions ---- */

#define UI "{\"extensions\":{\"io.modelcontextprotocol/ui\":" AUDIENCE_UI_SETTINGS "}}"
#define MUTE_UI "{\"extensions\":{\"io.modelcontextprotocol/ui\":{}}}"
#define OTHER "{\"extensions\":{\"com.example/e\":{}},\"experimental\":{\"x\":{}}}"
#define APP(name)                                                            \
    "{\"name\":\"" name "\",\"_meta\":{\"ui\":{\"resourceUri\":\"ui://" name \
    "\"}},\"inputSchema\":{\"type\":\"object\",\"required\":[\"app\"]}}"

static char ui_name[] = AUDIENCE_UI, own_name[] = "extensions/com.example/e";
static char *extension_names[] = {ui_name, own_name};
static Meshnode__Gateway__With with_ui, with_own, *shown_with_ui[] = {&with_ui},
                                                  *shown_with_own[] = {&with_own};
static Meshnode__Gateway__Variant variant, *variants[] = {&variant};
static const char *variant_text = APP("weather");

/* "weather" has a user interface for those that can show one, "refresh" is for these alone, "own"
 * for those with another extension, and what is said of extensions that have no name is nothing. */
static void extend(Meshnode__Gateway__Offer *offer)
{
    meshnode__gateway__with__init(&with_ui);
    meshnode__gateway__with__init(&with_own);
    with_own.extension = 1;
    meshnode__gateway__variant__init(&variant);
    variant.definition = pb_bytes(mn_span_str(variant_text));
    variant.audience = AUDIENCE_NOBODY;
    variant.with = shown_with_ui;
    offer->extensions = extension_names;
    offer->n_extensions = 2;
    variant.n_with = offer->tools[1]->n_with = offer->tools[2]->n_with = 1;
    offer->tools[0]->variants = variants;
    offer->tools[0]->n_variants = 1;
    offer->tools[1]->audience = offer->tools[2]->audience = AUDIENCE_NOBODY;
    offer->tools[1]->with = shown_with_ui;
    offer->tools[2]->with = shown_with_own;
}

static void extend_badly(Meshnode__Gateway__Offer *offer)
{
    extend(offer);
    offer->n_extensions = 0;
    variant.definition = pb_bytes(mn_span_str("{\"name\":\"another\",\"inputSchema\":{}}"));
}

static void serve_apps(void (*amend)(Meshnode__Gateway__Offer *))
{
    client_service_offer(
        "s", true,
        &(struct client_offer){.tools = LIST(TOOL("weather"), APP("refresh"), TOOL("own")),
                               .amend = amend});
}

START_TEST(apps_are_listed_for_those_that_can_show_them)
{
    static const char *const paths[] = {"/mcp/servers/s", "/mcp"};

    serve_apps(extend);
    ck_assert_str_eq(names_at("/mcp/servers/s", NONE), "weather");
    ck_assert_str_eq(names_at("/mcp/servers/s", MUTE_UI), "weather");
    ck_assert_str_eq(names_at("/mcp/servers/s", UI), "weather refresh");
    ck_assert_str_eq(legacy_names_at("/mcp/servers/s", UI), "weather refresh");
    ck_assert_str_eq(names_at("/mcp/servers/s", OTHER), "weather own");
    ck_assert_str_eq(names_at("/mcp", UI), "mesh_find mesh_call s__weather s__refresh");
    for (size_t i = 0; i < 2; i++) {
        ck_assert_ptr_null(strstr(modern(paths[i], "tools/list", NULL, NONE, "")->body, "ui://w"));
        ck_assert_ptr_nonnull(strstr(modern(paths[i], "tools/list", NULL, UI, "")->body, "ui://w"));
    }
}
END_TEST

/* The schema by which arguments are judged is that of the definition that the client has seen. */
START_TEST(arguments_are_judged_by_what_the_client_has_seen)
{
    const char *call = "\"name\":\"s__weather\",\"arguments\":{},";

    serve_apps(extend);
    modern("/mcp", "tools/call", "s__weather", NONE, call);
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_ptr_nonnull(
        strstr(modern("/mcp", "tools/call", "s__weather", UI, call)->body, "app"));
    ck_assert_uint_eq(client_calls_count, 1);
}
END_TEST

START_TEST(only_those_hear_of_another_definition_who_see_it)
{
    uint64_t none, ui;

    serve_apps(extend);
    none = listen_at("/mcp", NONE);
    ui = listen_at("/mcp", UI);
    variant_text = "{\"name\":\"weather\",\"title\":\"New\",\"inputSchema\":{}}";
    serve_apps(extend);
    variant_text = APP("weather");
    ck_assert(!is_told(none));
    ck_assert(is_told(ui));
}
END_TEST

START_TEST(what_an_offer_says_wrongly_of_extensions_is_not_believed)
{
    serve_apps(extend_badly);
    ck_assert_str_eq(names_at("/mcp/servers/s", UI), "weather");
    ck_assert_str_eq(names_at("/mcp/servers/s", NONE), "weather");
}
END_TEST

static char many_names[8][16], *many_extensions[8];
static Meshnode__Gateway__With many_with[8], *shown_with_many[8];

static void extend_much(Meshnode__Gateway__Offer *offer)
{
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(many_names[i], sizeof many_names[i], "extensions/%c", (char)('a' + i));
        many_extensions[i] = many_names[i];
        meshnode__gateway__with__init(&many_with[i]);
        many_with[i].extension = i;
        shown_with_many[i] = &many_with[i];
        offer->tools[i]->audience = AUDIENCE_NOBODY;
        offer->tools[i]->with = &shown_with_many[i];
        offer->tools[i]->n_with = 1;
    }
    offer->extensions = many_extensions;
    offer->n_extensions = 8;
}

/* However many kinds of clients come, each sees what is for it. */
START_TEST(very_many_kinds_of_clients_are_told_apart)
{
    client_service_offer(
        "s", true,
        &(struct client_offer){.tools = LIST(TOOL("a"), TOOL("b"), TOOL("c"), TOOL("d"), TOOL("e"),
                                             TOOL("f"), TOOL("g"), TOOL("h")),
                               .amend = extend_much});
    for (int i = 0; i < 600; i++) {
        char declared[512] = "{\"extensions\":{\"none\":{}", expected[32] = "";
        for (int k = 0; k < 8; k++) {
            if ((i >> k & 1) == 0) continue;
            snprintf(declared + strlen(declared), sizeof declared - strlen(declared), ",\"%c\":{}",
                     'a' + k);
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%c",
                     expected[0] == '\0' ? "" : " ", 'a' + k);
        }
        strcat(declared, "}}");
        ck_assert_str_eq(names_at("/mcp/servers/s", declared), expected);
        client_forget_all();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_audience");
    TCase *tcase = tcase_create("audience");

    tcase_add_checked_fixture(tcase, setup, client_teardown);
    tcase_add_test(tcase, each_client_sees_what_the_server_shows_it);
    tcase_add_test(tcase, legacy_clients_say_it_once);
    tcase_add_test(tcase, prompts_resources_and_templates_alike);
    tcase_add_test(tcase, a_view_shows_what_it_chooses_to_those_that_may_see_it);
    tcase_add_test(tcase, a_search_finds_what_the_client_may_see);
    tcase_add_test(tcase, who_calls_what_it_is_not_shown_hears_its_server);
    tcase_add_test(tcase, only_those_hear_of_a_change_whose_list_changed);
    tcase_add_test(tcase, differences_that_come_and_go_are_no_change_to_others);
    tcase_add_test(tcase, an_audience_is_a_matter_of_each_set);
    tcase_add_test(tcase, pages_are_of_what_the_client_sees);
    tcase_add_test(tcase, apps_are_listed_for_those_that_can_show_them);
    tcase_add_test(tcase, arguments_are_judged_by_what_the_client_has_seen);
    tcase_add_test(tcase, only_those_hear_of_another_definition_who_see_it);
    tcase_add_test(tcase, what_an_offer_says_wrongly_of_extensions_is_not_believed);
    tcase_add_test(tcase, very_many_kinds_of_clients_are_told_apart);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
