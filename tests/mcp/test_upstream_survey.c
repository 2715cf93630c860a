/* Servers that show some of what they have only to clients that can be asked: they are asked as
 * such clients would ask, and what comes of it is in the offer. What goes wrong costs them nothing
 * else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_survey.h"
#include "tests/mcp/upstream_world.h"
#include "tests/suite.h"

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"
#define CAPABILITIES "\"capabilities\":{\"tools\":{\"listChanged\":true},\"prompts\":{}}"
#define ABOUT "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}"

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

/* What the server shows to whoever declares what stands in [message]. */
static const char *(*shows)(const char *message);

static const char *same_for_all(const char *message)
{
    (void)message;
    return "[" TOOL("a") "," TOOL("b") "]";
}

static bool declares(const char *message, const char *what)
{
    return strstr(message, what) != NULL;
}

static const char *as_asked(const char *message)
{
    bool asks = declares(message, "\"elicitation\""), samples = declares(message, "\"sampling\"");

    return world_format(&w, "[%s" TOOL("a") "%s%s%s," TOOL("b") "%s]",
                        samples ? TOOL("sample") "," : "", asks ? "," TOOL("ask") : "",
                        declares(message, "\"url\"") ? "," TOOL("url") : "",
                        declares(message, "\"roots\"") ? "," TOOL("roots") : "",
                        asks && samples ? "," TOOL("both") : "");
}

static const char as_asked_offer[] =
    "sample(sampling) a ask(elicitation or elicitation.url) url(elicitation.url) roots(roots) b "
    "both(sampling+elicitation) ";

/* Legacy: the session that began with [initialize], up to the end of its lists. */
static void serve_session(const char *initialize)
{
    world_answer(&w, initialize, "{\"protocolVersion\":\"2025-11-25\"," CAPABILITIES "," ABOUT "}");
    ck_assert_ptr_nonnull(strstr(world_line(&w), "notifications/initialized"));
    world_answer(&w, world_line(&w), world_tools_result(&w, shows(initialize)));
    world_answer(&w, world_line(&w),
                 world_format(&w, "{\"prompts\":[%s{\"name\":\"p\"}]}",
                              shows == as_asked && declares(initialize, "\"roots\"")
                                  ? "{\"name\":\"r\"},"
                                  : ""));
}

static const char *start(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    return world_line(&w);
}

/* Serves all sessions that are opened, until none is; how many. */
static uint32_t serve_sessions(void)
{
    uint32_t count = 0;

    for (const char *line;
         w.children_count > 1 && !world_child(&w)->is_stopped && (line = world_line(&w)) != NULL;
         count++) {
        ck_assert_ptr_nonnull(strstr(line, "\"initialize\""));
        serve_session(line);
        ck_assert_uint_lt(count, 20);
    }
    return count;
}

static void let_stopped_go(void)
{
    for (uint32_t i = 0; i < w.children_count; i++) {
        if (!w.children[i].is_stopped || w.children[i].is_gone) continue;
        w.child_chosen = i + 1;
        world_exit(&w, 143);
    }
    w.child_chosen = 0;
}

START_TEST(a_server_that_is_the_same_for_all_is_asked_once_more)
{
    shows = same_for_all;
    serve_session(start());
    ck_assert_ptr_null(world_offer(&w)); /* it waits, so that replicas do not differ meanwhile */
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    const char *line = world_line(&w);
    ck_assert_ptr_nonnull(strstr(
        line, "\"capabilities\":{\"sampling\":{\"tools\":{}},\"elicitation\":{\"form\":{},\"url\":"
              "{}},\"roots\":{\"listChanged\":true},\"tasks\":{"));
    world_answer(&w, line, "{\"protocolVersion\":\"2025-11-25\"," CAPABILITIES "," ABOUT "}");
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, same_for_all("")));
    ck_assert_ptr_null(world_offer(&w));
    world_answer(&w, world_line(&w), "{\"prompts\":[{\"name\":\"p\"}]}");
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    ck_assert_uint_eq(w.children_count, 2);
    ck_assert(w.children[1].is_stopped && !w.children[0].is_stopped);
    let_stopped_go();
    world_pass(&w, 10 * MN_MINUTE);
    ck_assert_uint_eq(w.children_count, 2);
    ck_assert_uint_eq(w.offers_count, 1);
}
END_TEST

START_TEST(what_each_tool_needs_is_found_out)
{
    shows = as_asked;
    serve_session(start());
    /* All, all but extensions, all extensions, five alone, and some together until the one that
     * needs two is explained. */
    ck_assert_uint_eq(serve_sessions(), 1 + 2 + 5 + 3);
    ck_assert_str_eq(world_offer(&w)->tools, as_asked_offer);
    ck_assert_str_eq(world_offer(&w)->items, "r(roots) p ");
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_uint_eq(world_info(&w, "s").tools_count, 7);
    ck_assert_uint_eq(world_info(&w, "s").lists_error.size, 0);
}
END_TEST

static const char *for_those_that_cannot(const char *message)
{
    return declares(message, "\"roots\"") ? "[" TOOL("a") "]" : "[" TOOL("b") "," TOOL("a") "]";
}

START_TEST(some_tools_are_for_those_that_cannot_be_asked)
{
    shows = for_those_that_cannot;
    serve_session(start());
    ck_assert_uint_eq(serve_sessions(), 1 + 2 + 5);
    ck_assert_str_eq(world_offer(&w)->tools, "b(not roots) a ");
    ck_assert_uint_eq(world_info(&w, "s").tools_count, 2);
}
END_TEST

static const char *defined_otherwise(const char *message)
{
    return declares(message, "\"sampling\"")
               ? "[{\"name\":\"a\",\"description\":\"long\",\"inputSchema\":{}}]"
               : "[{\"name\":\"a\",\"description\":\"short\",\"inputSchema\":{}}]";
}

static bool offer_has(const char *text)
{
    return memmem(world_offer(&w)->body->bytes, world_offer(&w)->body->size, text, strlen(text)) !=
           NULL;
}

START_TEST(of_two_definitions_each_client_has_its_own)
{
    shows = defined_otherwise;
    serve_session(start());
    /* All, none once more, all but extensions, all extensions, and five alone. */
    ck_assert_uint_eq(serve_sessions(), 1 + 1 + 1 + 1 + 5);
    ck_assert_str_eq(world_offer(&w)->tools, "a/(sampling) ");
    ck_assert(offer_has("short") && offer_has("long"));
}
END_TEST

static const char *never_the_same(const char *message)
{
    static int count;

    (void)message;
    return world_format(&w, "[{\"name\":\"a\",\"description\":\"%d\",\"inputSchema\":{}}]",
                        ++count);
}

START_TEST(definitions_that_change_by_themselves_are_no_matter_of_who_asks)
{
    shows = never_the_same;
    serve_session(start());
    ck_assert_uint_eq(serve_sessions(), 2);
    ck_assert_str_eq(world_offer(&w)->tools, "a ");
}
END_TEST

/* ---- extensions ---- */

#define UI "\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}"

static const char *as_app(const char *message)
{
    return declares(message, UI)
               ? "[" TOOL("a") ",{\"name\":\"w\",\"_meta\":{\"ui\":{\"resourceUri\":\"ui://w\"}},"
                               "\"inputSchema\":{}}," TOOL("refresh") "]"
               : "[" TOOL("a") "," TOOL("w") "," TOOL("text") "]";
}

START_TEST(apps_are_for_clients_that_can_show_them)
{
    const char *expected =
        "a w/(io.modelcontextprotocol/ui) "
        "refresh(io.modelcontextprotocol/ui) text(not io.modelcontextprotocol/ui) ";

    shows = as_app;
    serve_session(start());
    /* All, none once more, all but extensions, all extensions, and each of two. */
    ck_assert_uint_eq(serve_sessions(), 1 + 1 + 1 + 1 + 2);
    ck_assert_str_eq(world_offer(&w)->tools, expected);
    ck_assert_uint_eq(world_info(&w, "s").lists_error.size, 0);
}
END_TEST

static const char *together(const char *message)
{
    return declares(message, UI) && declares(message, "\"elicitation\"")
               ? "[" TOOL("a") "," TOOL("both") "]"
               : "[" TOOL("a") "]";
}

START_TEST(an_extension_and_a_capability_may_be_needed_together)
{
    shows = together;
    serve_session(start());
    /* As before, but for none; this extension with all, and with each of five. */
    ck_assert_uint_eq(serve_sessions(), 1 + 1 + 1 + 2 + 1 + 5);
    ck_assert_str_eq(world_offer(&w)->tools,
                     "a both(io.modelcontextprotocol/ui+elicitation or elicitation.url) ");
}
END_TEST

START_TEST(older_revisions_are_not_asked_for_what_they_do_not_know)
{
    const char *old =
        "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}}," ABOUT "}";

    world_answer(&w, start(), old);
    world_line(&w);
    world_answer(&w, world_line(&w), world_tools_result(&w, same_for_all("")));
    for (const char *line; (line = world_line(&w)) != NULL;) {
        world_answer(&w, line, old);
        world_line(&w);
        world_answer(&w, world_line(&w), world_tools_result(&w, as_asked(line)));
        if (world_child(&w)->is_stopped) break;
    }
    ck_assert_uint_eq(w.children_count, 1 + 1 + 2 + 3 + 1);
    ck_assert_ptr_nonnull(strstr(world_offer(&w)->tools, "ask(elicitation) "));
}
END_TEST

static const char *with_tasks(const char *message)
{
    return declares(message, "\"sampling\"") && declares(message, "\"tasks\"")
               ? "[" TOOL("a") "," TOOL("later") "]"
               : "[" TOOL("a") "]";
}

START_TEST(some_tools_are_for_those_whose_answers_may_be_tasks)
{
    shows = with_tasks;
    serve_session(start());
    ck_assert_uint_eq(serve_sessions(), 1 + 2 + 5 + 1);
    ck_assert_str_eq(world_offer(&w)->tools, "a later(sampling+tasks) ");
}
END_TEST

/* ---- modern servers hear it in the request ---- */

static const char discovered[] =
    "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"]," CAPABILITIES
    ",\"ttlMs\":0,\"cacheScope\":\"private\"}";

static const char extended[] = "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"]"
                               ",\"capabilities\":{\"tools\":{},"
                               "\"extensions\":{\"com.example/"
                               "e\":{\"v\":2}},\"experimental\":{\"x\":{},\"no\":1}},\"ttlMs\":0,"
                               "\"cacheScope\":\"private\"}";

static const char *by_its_own(const char *message)
{
    return world_format(&w, "[" TOOL("a") "%s%s]",
                        declares(message, "\"com.example/e\":{\"v\":2}") ? "," TOOL("e") : "",
                        declares(message, "\"experimental\":{\"x\":{}}") ? "," TOOL("x") : "");
}

static void serve_modern_lists(void)
{
    for (const char *line; (line = world_line(&w)) != NULL;) {
        if (strstr(line, "\"tools/list\"") != NULL)
            world_answer(&w, line, world_tools_result(&w, shows(line)));
        else if (strstr(line, "\"prompts/list\"") != NULL)
            world_answer(&w, line, "{\"prompts\":[]}");
    }
}

static void start_modern(void)
{
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), discovered);
}

START_TEST(a_modern_server_is_asked_in_its_own_process)
{
    shows = as_asked;
    start_modern();
    serve_modern_lists();
    ck_assert_uint_eq(w.children_count, 1);
    ck_assert_uint_eq(w.offers_count, 1);
    ck_assert_str_eq(world_offer(&w)->tools, as_asked_offer);
}
END_TEST

START_TEST(a_server_is_asked_about_what_it_declares_itself)
{
    shows = by_its_own;
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_MODERN), MN_OK);
    world_answer(&w, world_line(&w), extended);
    serve_modern_lists();
    ck_assert_str_eq(world_offer(&w)->tools, "a e(com.example/e) x(experimental/x) ");
}
END_TEST

START_TEST(a_modern_server_that_refuses_keeps_its_lists)
{
    shows = same_for_all;
    start_modern();
    world_answer(&w, world_line(&w), world_tools_result(&w, same_for_all("")));
    world_answer(&w, world_line(&w), "{\"prompts\":[]}");
    world_line(&w); /* its listen */
    world_error(&w, world_line(&w), -32603, "");
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    ck_assert_uint_gt(world_info(&w, "s").lists_error.size, 0);
    world_pass(&w, UPSTREAM_SURVEY_RETRY);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"sampling\""));
}
END_TEST

START_TEST(a_modern_server_that_is_silent_keeps_its_lists)
{
    start_modern();
    world_answer(&w, world_line(&w), world_tools_result(&w, same_for_all("")));
    world_answer(&w, world_line(&w), "{\"prompts\":[]}");
    world_pass(&w, UPSTREAM_SURVEY_HOLD + MN_MS);
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    world_pass(&w, UPSTREAM_SURVEY_TIMEOUT + MN_MS);
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    ck_assert_uint_gt(world_info(&w, "s").lists_error.size, 0);
    ck_assert_uint_eq(w.offers_count, 1);
}
END_TEST

/* It exits when it is asked; after the second time it is left in peace for an hour. */
START_TEST(a_server_that_breaks_is_seldom_asked_again)
{
    shows = same_for_all;
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            start_modern();
        else
            world_answer(&w, world_line(&w), discovered);
        world_answer(&w, world_line(&w), world_tools_result(&w, same_for_all("")));
        world_answer(&w, world_line(&w), "{\"prompts\":[]}");
        world_line(&w);
        ck_assert_ptr_nonnull(strstr(world_line(&w), "\"sampling\""));
        world_exit(&w, 1);
        world_pass(&w, 2 * MN_SEC);
    }
    world_answer(&w, world_line(&w), discovered);
    serve_modern_lists();
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    world_pass(&w, 55 * MN_MINUTE);
    ck_assert_ptr_null(world_line(&w));
    ck_assert_uint_eq(w.children_count, 3);
    world_pass(&w, 5 * MN_MINUTE);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"sampling\""));
    ck_assert_ptr_nonnull(strstr(world_info(&w, "s").lists_error.data == NULL
                                     ? ""
                                     : (const char *)world_info(&w, "s").lists_error.data,
                                 "breaks"));
}
END_TEST

/* ---- what a session for lists may run into ---- */

static uint64_t first_child(void)
{
    w.child_chosen = 1;
    return w.children[0].id;
}

START_TEST(what_is_asked_in_such_a_session_is_answered_at_once)
{
    shows = same_for_all;
    serve_session(start());
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2025-11-25\"," CAPABILITIES "," ABOUT "}");
    world_line(&w);
    world_line(&w); /* tools/list, which waits for the answers */
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"method\":\"roots/list\"}\n");
    ck_assert_str_eq(world_line(&w),
                     "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"result\":{\"roots\":[]}}");
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"sampling/createMessage\",\"params\":"
                  "{}}\n");
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"id\":8,\"error\":{"));
}
END_TEST

/* Tools that are registered while such a session opens are its own matter. */
START_TEST(what_changes_in_such_a_session_is_read_again_there)
{
    const char *list;

    shows = same_for_all;
    serve_session(start());
    world_answer(&w, world_line(&w),
                 "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}}," ABOUT "}");
    world_line(&w);
    list = world_line(&w);
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_answer(&w, list, world_tools_result(&w, same_for_all("")));
    ck_assert(!world_child(&w)->is_stopped);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"tools/list\""));
    first_child();
    world_pass(&w, MN_SEC);
    ck_assert_ptr_null(world_line(&w)); /* the server itself is not asked again */
}
END_TEST

START_TEST(a_session_that_fails_costs_nothing_but_itself)
{
    shows = same_for_all;
    serve_session(start());
    world_exit(&w, 3);
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    ck_assert_uint_eq(world_info(&w, "s").starts_count, 1);
    ck_assert_ptr_nonnull(strstr(world_log(&w, "s"), "exited with status 3"));
    world_pass(&w, UPSTREAM_SURVEY_RETRY - MN_SEC);
    ck_assert_uint_eq(w.children_count, 2);
    world_pass(&w, MN_SEC);
    ck_assert_uint_eq(w.children_count, 3);
    shows = as_asked;
    serve_sessions();
    ck_assert_str_eq(world_offer(&w)->tools, as_asked_offer);
    ck_assert_uint_eq(world_info(&w, "s").lists_error.size, 0);
}
END_TEST

START_TEST(a_session_that_hangs_delays_the_first_offer_for_a_moment)
{
    shows = same_for_all;
    serve_session(start());
    world_pass(&w, UPSTREAM_SURVEY_HOLD - MN_MS);
    ck_assert_ptr_null(world_offer(&w));
    world_pass(&w, MN_MS);
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
    world_pass(&w, UPSTREAM_SURVEY_TIMEOUT);
    ck_assert(w.children[1].is_stopped);
    ck_assert_uint_gt(world_info(&w, "s").lists_error.size, 0);
}
END_TEST

START_TEST(a_restart_keeps_what_is_known)
{
    shows = as_asked;
    serve_session(start());
    serve_sessions();
    let_stopped_go();
    first_child();
    world_exit(&w, 1);
    w.child_chosen = 0;
    world_pass(&w, MN_SEC);
    serve_session(world_line(&w));
    ck_assert_uint_eq(w.offers_count, 1);
    world_pass(&w, UPSTREAM_SURVEY_PAUSE);
    shows = same_for_all;
    ck_assert_uint_eq(serve_sessions(), 1);
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
}
END_TEST

/* ---- lists that change ---- */

static void change(void)
{
    first_child();
    world_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    world_pass(&w, UPSTREAM_RELIST_DELAY);
    world_answer(&w, world_line(&w), world_tools_result(&w, shows("")));
    world_answer(&w, world_line(&w), "{\"prompts\":[{\"name\":\"p\"}]}");
    w.child_chosen = 0;
}

static const char *with_more(const char *message)
{
    return declares(message, "\"elicitation\"") ? "[" TOOL("a") "," TOOL("ask") "," TOOL("more") "]"
                                                : "[" TOOL("a") "," TOOL("more") "]";
}

START_TEST(what_is_known_keeps_its_place_in_a_list_that_changed)
{
    shows = as_asked;
    serve_session(start());
    serve_sessions();
    shows = with_more;
    change();
    ck_assert_uint_eq(w.offers_count, 2);
    ck_assert_ptr_nonnull(strstr(world_offer(&w)->tools, "a ask(elicitation or elicitation.url) "));
    ck_assert_ptr_nonnull(strstr(world_offer(&w)->tools, " more "));
    world_pass(&w, UPSTREAM_SURVEY_PAUSE);
    serve_sessions();
    ck_assert_str_eq(world_offer(&w)->tools, "a ask(elicitation or elicitation.url) more ");
}
END_TEST

START_TEST(a_server_that_changes_all_the_time_is_asked_now_and_then)
{
    uint32_t sessions;

    shows = same_for_all;
    serve_session(start());
    sessions = serve_sessions();
    for (int i = 0; i < 600; i++) {
        change();
        sessions += serve_sessions();
        let_stopped_go();
        world_pass(&w, 900 * MN_MS);
    }
    ck_assert_uint_ge(sessions, 5);
    ck_assert_uint_le(sessions, 20); /* in ten minutes */
    for (int i = 0; i < 300; i++) {
        world_pass(&w, MN_SEC);
        serve_sessions();
        let_stopped_go();
    }
    change(); /* one of its own is seen at once */
    ck_assert_uint_eq(serve_sessions(), 1);
}
END_TEST

/* ---- over HTTP ---- */

START_TEST(a_legacy_endpoint_has_a_session_for_it)
{
    struct world_fetch *fetch;

    world_up_http(&w, "s");
    while ((fetch = world_fetch(&w)) != NULL && strstr(fetch->body, "\"sampling\"") == NULL)
        ; /* its own stream */
    ck_assert_ptr_nonnull(fetch);
    ck_assert_ptr_null(world_header(&w, fetch, "mcp-session-id"));
    world_head(&w, fetch, 200, "application/json", "sess-2");
    world_body(&w, fetch,
               world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
                            (unsigned long long)world_id(fetch->body), WORLD_LEGACY));
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, world_fetch(&w), 202, NULL, NULL);
    fetch = world_fetch(&w);
    ck_assert_str_eq(world_header(&w, fetch, "mcp-session-id"), "sess-2");
    world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
    fetch = world_fetch(&w);
    ck_assert_str_eq(fetch->method, "DELETE");
    ck_assert_str_eq(world_header(&w, fetch, "mcp-session-id"), "sess-2");
    ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
}
END_TEST

/* Answers all that is asked for; how many sessions were opened. */
static uint32_t serve_fetches(void)
{
    uint32_t count = 0;

    for (struct world_fetch *fetch; (fetch = world_fetch(&w)) != NULL;) {
        if (strcmp(fetch->method, "GET") == 0) {
            world_reply(&w, fetch, 405, NULL, NULL);
        } else if (strstr(fetch->body, "\"initialize\"") != NULL) {
            count++;
            world_reply_result(&w, fetch, WORLD_LEGACY);
        } else if (strstr(fetch->body, "\"tools/list\"") != NULL) {
            world_reply_result(&w, fetch, world_tools_result(&w, WORLD_TOOLS));
        } else {
            world_reply(&w, fetch, 202, NULL, NULL);
        }
    }
    return count;
}

/* Not a few endpoints never end a session, so that each costs them something. */
START_TEST(an_endpoint_that_tells_nothing_is_asked_now_and_then)
{
    uint32_t count = 0;

    world_up_http(&w, "s");
    ck_assert_uint_eq(serve_fetches(), 1);
    for (int i = 0; i < 30; i++) {
        world_pass(&w, UPSTREAM_RELIST_EVERY);
        count += serve_fetches();
    }
    ck_assert_uint_ge(count, 2);
    ck_assert_uint_le(count, 3);
}
END_TEST

START_TEST(an_endpoint_that_fails_it_stays_as_it_is)
{
    static const uint32_t codes[] = {400, 401, 404, 500};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        teardown();
        setup();
        world_up_http_modern(&w, "s");
        world_reply(&w, world_fetch(&w), codes[i], "text/plain", "no");
        ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
        ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
        ck_assert_uint_gt(world_info(&w, "s").lists_error.size, 0);
    }
    teardown();
    setup();
    world_up_http_modern(&w, "s");
    world_end(&w, world_fetch(&w), MN_IO, "connection reset");
    ck_assert_int_eq(world_info(&w, "s").state, UPSTREAM_READY);
    ck_assert_str_eq(world_offer(&w)->tools, "echo(ro) add ");
}
END_TEST

/* The header that it wants is sent for a tool that only some see, too. */
START_TEST(calls_of_what_only_some_see_have_what_they_need)
{
    const char *hidden = "[{\"name\":\"h\",\"inputSchema\":{\"type\":\"object\",\"properties\":"
                         "{\"p\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"}}}}]";
    struct world_fetch *fetch;

    world_up_http_modern(&w, "s");
    while ((fetch = world_fetch(&w)) != NULL)
        world_reply_result(
            &w, fetch,
            world_tools_result(&w, strstr(fetch->body, "\"roots\"") != NULL ? hidden : "[]"));
    world_call(&w, &(struct world_call){.ticket = 1,
                                        .service = "s",
                                        .params = "{\"name\":\"h\",\"arguments\":{\"p\":\"eu\"}}",
                                        .capabilities = "{\"roots\":{}}"});
    fetch = world_fetch(&w);
    ck_assert_str_eq(world_header(&w, fetch, "mcp-param-region"), "eu");
}
END_TEST

/* ---- ends ---- */

/* The child that was asked is slow to go, and its server is removed meanwhile. */
START_TEST(a_child_that_was_asked_may_outlive_its_server)
{
    shows = same_for_all;
    serve_session(start());
    ck_assert_uint_eq(serve_sessions(), 1);
    ck_assert_int_eq(upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why),
                     MN_OK);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    first_child();
    world_exit(&w, 143);
    ck_assert(!upstreams_is_idle(w.upstreams));
    let_stopped_go();
    ck_assert(upstreams_is_idle(w.upstreams));
}
END_TEST

START_TEST(a_server_of_which_that_is_known_is_not_asked)
{
    w.is_surveyed = false;
    shows = as_asked;
    serve_session(start());
    ck_assert_uint_eq(w.children_count, 1);
    ck_assert_str_eq(world_offer(&w)->tools, "a b ");
}
END_TEST

START_TEST(who_stops_or_removes_a_server_stops_what_asks_it)
{
    shows = same_for_all;
    for (int i = 0; i < 3; i++) {
        teardown();
        setup();
        serve_session(start());
        if (i == 0) {
            ck_assert_int_eq(
                upstreams_remove(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why), MN_OK);
            world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
        } else if (i == 1) {
            world_stop(&w);
            world_pass(&w, UPSTREAMS_DRAIN);
        } else {
            ck_assert_int_eq(
                upstreams_restart(w.upstreams, w.now, mn_span_str("s"), &w.outbox, &w.why), MN_OK);
            world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
        }
        ck_assert(w.children[0].is_stopped && w.children[1].is_stopped);
        let_stopped_go();
        if (i < 2) ck_assert(upstreams_is_idle(w.upstreams));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_survey");
    TCase *tcase = tcase_create("survey");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_server_that_is_the_same_for_all_is_asked_once_more);
    tcase_add_test(tcase, what_each_tool_needs_is_found_out);
    tcase_add_test(tcase, some_tools_are_for_those_that_cannot_be_asked);
    tcase_add_test(tcase, of_two_definitions_each_client_has_its_own);
    tcase_add_test(tcase, definitions_that_change_by_themselves_are_no_matter_of_who_asks);
    tcase_add_test(tcase, apps_are_for_clients_that_can_show_them);
    tcase_add_test(tcase, an_extension_and_a_capability_may_be_needed_together);
    tcase_add_test(tcase, a_server_is_asked_about_what_it_declares_itself);
    tcase_add_test(tcase, older_revisions_are_not_asked_for_what_they_do_not_know);
    tcase_add_test(tcase, some_tools_are_for_those_whose_answers_may_be_tasks);
    tcase_add_test(tcase, a_modern_server_is_asked_in_its_own_process);
    tcase_add_test(tcase, a_modern_server_that_refuses_keeps_its_lists);
    tcase_add_test(tcase, a_modern_server_that_is_silent_keeps_its_lists);
    tcase_add_test(tcase, a_server_that_breaks_is_seldom_asked_again);
    tcase_add_test(tcase, what_is_asked_in_such_a_session_is_answered_at_once);
    tcase_add_test(tcase, what_changes_in_such_a_session_is_read_again_there);
    tcase_add_test(tcase, a_session_that_fails_costs_nothing_but_itself);
    tcase_add_test(tcase, a_session_that_hangs_delays_the_first_offer_for_a_moment);
    tcase_add_test(tcase, a_restart_keeps_what_is_known);
    tcase_add_test(tcase, what_is_known_keeps_its_place_in_a_list_that_changed);
    tcase_add_test(tcase, a_server_that_changes_all_the_time_is_asked_now_and_then);
    tcase_add_test(tcase, a_legacy_endpoint_has_a_session_for_it);
    tcase_add_test(tcase, an_endpoint_that_tells_nothing_is_asked_now_and_then);
    tcase_add_test(tcase, an_endpoint_that_fails_it_stays_as_it_is);
    tcase_add_test(tcase, calls_of_what_only_some_see_have_what_they_need);
    tcase_add_test(tcase, a_server_of_which_that_is_known_is_not_asked);
    tcase_add_test(tcase, a_child_that_was_asked_may_outlive_its_server);
    tcase_add_test(tcase, who_stops_or_removes_a_server_stops_what_asks_it);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
