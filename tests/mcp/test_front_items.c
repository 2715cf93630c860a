/* Prompts, resources and templates towards clients: lists, who is asked, what comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"
#define PROMPT(name) "{\"name\":\"" name "\"}"
#define RESOURCE(uri) "{\"uri\":\"" uri "\",\"name\":\"n\"}"
#define TEMPLATE(uri) "{\"uriTemplate\":\"" uri "\",\"name\":\"n\"}"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HINTS "\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\""
#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"

static const char meta_only[] = "{" MODERN_META("") "}";
static char session[300];

static void setup(void)
{
    client_setup();
    client_service_offer(
        "a", true,
        &(struct client_offer){
            .tools = LIST("{\"name\":\"app\",\"inputSchema\":{\"type\":\"object\"},"
                          "\"_meta\":{\"ui\":{\"resourceUri\":\"ui://app\"}}}"),
            .prompts = LIST(PROMPT("p"), PROMPT("q.r")),
            .resources = LIST(RESOURCE("x://1"), RESOURCE("x://both")),
            .templates = LIST(TEMPLATE("x://t/{id}"), TEMPLATE("z://{+any}")),
            .capabilities = "{\"tools\":{},\"prompts\":{},\"resources\":{\"subscribe\":true},"
                            "\"completions\":{},\"logging\":{},\"tasks\":{}}"});
    client_service_offer(
        "b", true,
        &(struct client_offer){.prompts = LIST(PROMPT("p")),
                               .resources = LIST(RESOURCE("y://1"), RESOURCE("x://both")),
                               .templates =
                                   LIST(TEMPLATE("x://t/{id}/deep"), TEMPLATE("z://deep/{+any}"))});
    client_service("plain", true, LIST(TOOL("t")));
    strcpy(session, client_initialize("/mcp", "2025-11-25"));
    client_forget_all();
}

static const struct client_response *read_uri(const char *uri)
{
    char params[512];

    snprintf(params, sizeof params, "{\"uri\":\"%s\"," MODERN_META("") "}", uri);
    return client_modern("resources/read", uri, params);
}

static const char *served_by(void)
{
    return client_calls_count == 0 ? "" : client_calls[client_calls_count - 1].service;
}

START_TEST(lists_are_aggregated_in_order_of_server)
{
    client_assert_body(client_modern("prompts/list", NULL, meta_only),
                       ID "\"result\":{\"prompts\":[{\"name\":\"a__p\"},{\"name\":\"a__q_r\"},"
                          "{\"name\":\"b__p\"}]," HINTS "}}");
    client_assert_body(
        client_modern("resources/list", NULL, meta_only),
        ID "\"result\":{\"resources\":[" RESOURCE("x://1") "," RESOURCE(
            "meshnode://a/x://both") "," RESOURCE("y://1") "," RESOURCE("meshnode://b/x://both") "]"
                                                                                                 "," HINTS
                                                                                                 "}"
                                                                                                 "}");
    client_assert_body(
        client_modern("resources/templates/list", NULL, meta_only),
        ID "\"result\":{\"resourceTemplates\":[" TEMPLATE("x://t/{id}") "," TEMPLATE(
            "z://{+any}") "," TEMPLATE("x://t/{id}/deep") "," TEMPLATE("z://deep/{+any}") "]," HINTS
                                                                                          "}}");
    client_assert_body(client_legacy(session, ID "\"method\":\"prompts/list\"}"),
                       ID "\"result\":{\"prompts\":[{\"name\":\"a__p\"},{\"name\":\"a__q_r\"},"
                          "{\"name\":\"b__p\"}]}}");
}
END_TEST

START_TEST(prompts_go_under_their_own_name)
{
    const struct client_response *response =
        client_modern("prompts/get", "a__q_r",
                      "{\"name\":\"a__q_r\",\"arguments\":{\"k\":\"v\"}," MODERN_META("") "}");

    ck_assert_str_eq(served_by(), "a");
    ck_assert_str_eq(client_calls[0].request->method, "prompts/get");
    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"q.r\",\"arguments\":{\"k\":\"v\"}}");
    ck_assert(client_calls[0].is_idempotent);
    client_result(client_calls[0].ticket, "{\"messages\":[],\"x\":1e400}");
    client_assert_body(response, ID "\"result\":{\"resultType\":\"complete\",\"messages\":[],"
                                    "\"x\":1e400}}");
    response =
        client_modern("prompts/get", "a__none", "{\"name\":\"a__none\"," MODERN_META("") "}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
}
END_TEST

START_TEST(a_resource_is_read_where_it_is_listed)
{
    const struct client_response *response = read_uri("y://1");

    ck_assert_str_eq(served_by(), "b");
    ck_assert_str_eq(client_calls[0].params, "{\"uri\":\"y://1\"}");
    client_result(client_calls[0].ticket, "{\"contents\":[]}");
    client_assert_body(response, ID "\"result\":{\"resultType\":\"complete\",\"ttlMs\":0,"
                                    "\"cacheScope\":\"private\",\"contents\":[]}}");
    response = client_legacy(session, ID "\"method\":\"resources/read\",\"params\":{\"uri\":"
                                         "\"y://1\"}}");
    client_result(client_calls[1].ticket, "{\"contents\":[],\"resultType\":\"complete\"}");
    client_assert_body(response, ID "\"result\":{\"contents\":[]}}");
}
END_TEST

START_TEST(a_resource_of_several_servers_is_read_by_its_long_form)
{
    const struct client_response *response = read_uri("x://both");

    ck_assert_uint_eq(client_calls_count, 0);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
    ck_assert_ptr_nonnull(strstr(response->body, "\"uris\":[\"meshnode://a/x://both\","
                                                 "\"meshnode://b/x://both\"]"));
    response = read_uri("meshnode://b/x://both");
    ck_assert_str_eq(served_by(), "b");
    ck_assert_str_eq(client_calls[0].params, "{\"uri\":\"x://both\"}");
    client_result(client_calls[0].ticket,
                  "{\"contents\":[{\"uri\":\"x://both\",\"text\":\"t\"},{\"uri\":\"x://c\"}]}");
    ck_assert_ptr_nonnull(strstr(response->body,
                                 "\"contents\":[{\"uri\":\"meshnode://b/x://both\",\"text\":\"t\"},"
                                 "{\"uri\":\"x://c\"}]"));
    response = read_uri("meshnode://plain/anything:goes"); /* also what nobody listed */
    ck_assert_str_eq(served_by(), "plain");
    client_error(client_calls[1].ticket, -32602, "no",
                 "{\"a\":1,\"uri\":\"anything:goes\",\"b\":2}");
    ck_assert_ptr_nonnull(strstr(
        response->body, "\"data\":{\"a\":1,\"uri\":\"meshnode://plain/anything:goes\",\"b\":2}"));
}
END_TEST

#define HIDDEN                                                             \
    ID "\"method\":\"resources/read\",\"params\":{\"uri\":\"y://hidden\"," \
       "\"_meta\":{\"progressToken\":7}}}"

static bool tells(const struct client_response *response, uint32_t call, const char *progress)
{
    client_forget(response->id);
    client_progress(client_calls[call].ticket, progress);
    return response->body_size > 0;
}

/* Who is asked next is no second run of what the first one never began. */
START_TEST(the_next_server_tells_its_progress_as_if_it_were_the_first)
{
    const struct client_response *response = client_legacy(session, HIDDEN);

    client_served(client_calls[0].ticket);
    client_error(client_calls[0].ticket, -32002, "no", NULL);
    client_server = (mn_id){{8}};
    for (int i = 0; i < 2; i++)
        ck_assert(tells(response, 1, "{\"progress\":50}"));
}
END_TEST

/* On one node: what the first one said has reached the client all the same. */
START_TEST(progress_does_not_go_back_with_the_next_server)
{
    const struct client_response *response = client_legacy(session, HIDDEN);

    ck_assert(tells(response, 0, "{\"progress\":50}"));
    client_error(client_calls[0].ticket, -32002, "no", NULL);
    ck_assert(!tells(response, 1, "{\"progress\":10}"));
    ck_assert(tells(response, 1, "{\"progress\":60}"));
}
END_TEST

START_TEST(what_a_server_asked_is_not_answered_at_the_next)
{
    const struct client_response *response = client_legacy(session, HIDDEN);
    char answer[128];
    uint64_t id;

    client_question(client_calls[0].ticket, "e-1", "elicitation/create", "{}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"id\":"));
    id = strtoull(strstr(response->body, "\"id\":") + 5, NULL, 10);
    client_error(client_calls[0].ticket, -32002, "no", NULL);
    snprintf(answer, sizeof answer, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
             (unsigned long long)id);
    client_legacy(session, answer);
    ck_assert_uint_eq(client_input.ticket, 0);
    ck_assert_ptr_nonnull(strstr(response->body, "notifications/cancelled"));
}
END_TEST

START_TEST(templates_say_who_is_asked_and_the_most_literal_one_wins)
{
    static const char *const cases[][2] = {{"x://t/7", "a"},
                                           {"x://t/7/deep", "b"},
                                           {"z://deep/q", "b"},
                                           {"z://other", "a"},
                                           {"ui://app", "a"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_uri(cases[i][0]);
        ck_assert_uint_eq(client_calls_count, i + 1);
        ck_assert_str_eq(served_by(), cases[i][1]);
    }
}
END_TEST

START_TEST(what_nobody_lists_is_asked_for_one_by_one)
{
    const struct client_response *response = read_uri("y://hidden"); /* b lists y://, a does not */

    ck_assert_str_eq(served_by(), "b");
    client_error(client_calls[0].ticket, -32002, "not found", NULL);
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_str_eq(served_by(), "a");
    ck_assert_str_eq(client_calls[1].params, "{\"uri\":\"y://hidden\"}");
    client_result(client_calls[1].ticket, "{\"contents\":[1]}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"contents\":[1]"));

    response = read_uri("y://nowhere");
    client_error(client_calls[2].ticket, -32602, "no", NULL);
    client_error(client_calls[3].ticket, -32002, "nowhere", "{\"uri\":\"y://nowhere\"}");
    client_assert_body(response, ID "\"error\":{\"code\":-32602,\"message\":\"nowhere\","
                                    "\"data\":{\"uri\":\"y://nowhere\"}}}");
    response = client_legacy(session, ID "\"method\":\"resources/read\",\"params\":{\"uri\":"
                                         "\"q://1\"}}");
    client_error(client_calls[4].ticket, -32002, "no", NULL);
    client_error(client_calls[5].ticket, -32002, "no", NULL);
    client_assert_body(response, ID "\"error\":{\"code\":-32002,\"message\":\"no\"}}");
    response = client_legacy(session, ID "\"method\":\"resources/read\",\"params\":{\"uri\":"
                                         "\"q://1\"}}");
    client_error(client_calls[6].ticket, -32602, "no", "{\"uri\":\"q://1\"}");
    client_error(client_calls[7].ticket, -32602, "no", "{\"uri\":\"q://1\"}"); /* a legacy one's */
    client_assert_body(response, ID "\"error\":{\"code\":-32602,\"message\":\"no\",\"data\":{"
                                    "\"uri\":\"q://1\"}}}");
}
END_TEST

/* Of a tool it is said that it may have run; this is none. */
START_TEST(a_read_whose_outcome_is_unknown_speaks_of_no_tool)
{
    const struct client_response *response = read_uri("y://1");

    client_failed(client_calls[0].ticket, CALL_OUTCOME_UNKNOWN, "why");
    ck_assert_ptr_nonnull(strstr(response->body, "outcome unknown: it may have been served (why)"));
}
END_TEST

START_TEST(completions_go_where_their_reference_points)
{
    static const struct {
        const char *ref, *service, *params;
    } cases[] = {
        {"{\"type\":\"ref/prompt\",\"name\":\"b__p\"}", "b",
         "{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"},\"argument\":{}}"},
        {"{\"type\":\"ref/resource\",\"uri\":\"x://t/{id}\"}", "a",
         "{\"ref\":{\"type\":\"ref/resource\",\"uri\":\"x://t/{id}\"},\"argument\":{}}"},
        {"{\"type\":\"ref/resource\",\"uri\":\"meshnode://b/x://t/{id}\"}", "b",
         "{\"ref\":{\"type\":\"ref/resource\",\"uri\":\"x://t/{id}\"},\"argument\":{}}"},
    };
    const struct client_response *response = NULL;
    char params[512];

    for (size_t i = 0; i < 3; i++) {
        snprintf(params, sizeof params, "{\"ref\":%s,\"argument\":{}," MODERN_META("") "}",
                 cases[i].ref);
        response = client_modern("completion/complete", NULL, params);
        ck_assert_str_eq(served_by(), cases[i].service);
        ck_assert_str_eq(client_calls[i].params, cases[i].params);
    }
    client_error(client_calls[2].ticket, -32601, "Method not found", NULL);
    ck_assert_ptr_nonnull(strstr(response->body, "\"completion\":{\"values\":[]}"));
    response = client_modern("completion/complete", NULL, meta_only);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
}
END_TEST

START_TEST(long_lists_come_in_pages_and_cursors_cannot_be_made_up)
{
    enum { COUNT = NAMES_PAGE * 2 + 1 };
    static const char *resources[COUNT + 1];
    static char texts[COUNT][48];
    const struct client_response *response;
    char cursor[512], params[1024], other[64];
    uint32_t found = 0, pages = 0;
    const char *at;

    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], RESOURCE("n://%04d"), i);
        resources[i] = texts[i];
    }
    client_service_gone("a", false);
    client_service_gone("b", false);
    client_service_offer("long", true, &(struct client_offer){.resources = resources});
    snprintf(params, sizeof params, "%s", meta_only);
    for (;;) {
        response = client_modern("resources/list", NULL, params);
        for (at = response->body; (at = strstr(at, "n://")) != NULL; at++)
            ck_assert_int_eq(atoi(at + 4), (int)found++);
        pages++;
        at = strstr(response->body, "\"nextCursor\":\"");
        if (at == NULL) break;
        ck_assert_int_eq(sscanf(at, "\"nextCursor\":\"%500[^\"]", cursor), 1);
        snprintf(params, sizeof params, "{\"cursor\":\"%s\"," MODERN_META("") "}", cursor);
    }
    ck_assert_uint_eq(found, COUNT);
    ck_assert_uint_eq(pages, 3);
    /* of another list, changed, from another endpoint, of another state of the list */
    ck_assert_ptr_nonnull(
        strstr(client_modern("tools/list", NULL, params)->body, "\"code\":-32602"));
    snprintf(other, sizeof other, "/mcp/servers/%s", "long");
    params[20] = params[20] == 'A' ? 'B' : 'A';
    ck_assert_ptr_nonnull(
        strstr(client_modern("resources/list", NULL, params)->body, "\"code\":-32602"));
    snprintf(params, sizeof params, "{\"cursor\":\"%s\"," MODERN_META("") "}", cursor);
    client_service_offer("more", true,
                         &(struct client_offer){.resources = LIST(RESOURCE("m://1"))});
    ck_assert_ptr_nonnull(
        strstr(client_modern("resources/list", NULL, params)->body, "\"code\":-32602"));
}
END_TEST

/* A list of two pages; the cursor of its second page, in a request. */
static void second_page(char *params, size_t size)
{
    static const char *resources[NAMES_PAGE + 2];
    static char texts[NAMES_PAGE + 1][48];
    char cursor[512];
    const char *at;

    for (int i = 0; i <= NAMES_PAGE; i++) {
        snprintf(texts[i], sizeof texts[i], RESOURCE("n://%04d"), i);
        resources[i] = texts[i];
    }
    client_service_offer("long", true, &(struct client_offer){.resources = resources});
    at = strstr(client_modern("resources/list", NULL, meta_only)->body, "\"nextCursor\":\"");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "\"nextCursor\":\"%500[^\"]", cursor), 1);
    snprintf(params, size, "{\"cursor\":\"%s\"," MODERN_META("") "}", cursor);
}

/* Twenty made-up strings of a client, and for the rest of the minute others are told that it is
 * enough. Whatever opens is served, for all who have no secret are one principal; and what is none
 * of ours at all, such as the id of a session that another server gave out, is answered as ever. */
START_TEST(strings_that_do_not_open_are_limited)
{
    const char *const foreign[] = {"mcp-session-id: 6f1c7a0e-2f0b-4f4c-9d0e-d5a1f7b0a001", NULL};
    char good[1024], bad[1024];

    second_page(good, sizeof good);
    memcpy(bad, good, sizeof bad);
    bad[60] = bad[60] == 'A' ? 'B' : 'A';
    for (int i = 0; i < FRONT_OPENINGS_MAX; i++) {
        const struct client_response *response = client_modern("resources/list", NULL, bad);
        ck_assert_uint_eq(response->code, 200);
        ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
    }
    ck_assert_ptr_nonnull(strstr(client_modern("resources/list", NULL, good)->body, "n://"));
    ck_assert_uint_eq(client_modern("resources/list", NULL, bad)->code, 429);
    ck_assert_ptr_nonnull(strstr(client_modern("resources/list", NULL, good)->body, "n://"));
    ck_assert_uint_eq(
        client_modern("resources/list", NULL, "{\"cursor\":\"x\"," MODERN_META("") "}")->code, 200);
    for (int i = 0; i <= FRONT_OPENINGS_MAX; i++)
        ck_assert_uint_eq(client_send("POST", "/mcp", foreign, ID "\"method\":\"ping\"}")->code,
                          404);
    client_at(client_now.mono + MN_MINUTE);
    ck_assert_ptr_nonnull(strstr(client_modern("resources/list", NULL, good)->body, "n://"));
    ck_assert_uint_eq(client_modern("resources/list", NULL, bad)->code, 200);
}
END_TEST

START_TEST(one_server_keeps_its_names_and_what_it_lacks)
{
    char id[300], body[512];

    strcpy(id, client_initialize("/mcp/servers/plain", "2025-11-25"));
    snprintf(body, sizeof body, "mcp-session-id: %s", id);
    ck_assert_ptr_nonnull(
        strstr(client_send("POST", "/mcp/servers/plain", (const char *const[]){body, NULL},
                           ID "\"method\":\"resources/list\"}")
                   ->body,
               "\"code\":-32601"));
    ck_assert_ptr_nonnull(
        strstr(client_send("POST", "/mcp/servers/plain", (const char *const[]){body, NULL},
                           ID "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"info\"}}")
                   ->body,
               "\"code\":-32601"));
    strcpy(id, client_initialize("/mcp/servers/a", "2025-11-25"));
    snprintf(body, sizeof body, "mcp-session-id: %s", id);
    client_assert_body(client_send("POST", "/mcp/servers/a", (const char *const[]){body, NULL},
                                   ID "\"method\":\"prompts/list\"}"),
                       ID "\"result\":{\"prompts\":[{\"name\":\"p\"},{\"name\":\"q.r\"}]}}");
    client_send("POST", "/mcp/servers/a", (const char *const[]){body, NULL},
                ID "\"method\":\"resources/read\",\"params\":{\"uri\":\"any://thing\"}}");
    ck_assert_str_eq(client_calls[0].params, "{\"uri\":\"any://thing\"}");
    ck_assert_str_eq(client_calls[0].service, "a");
}
END_TEST

START_TEST(a_session_says_how_much_it_wants_logged)
{
    client_legacy(session, ID "\"method\":\"resources/read\",\"params\":{\"uri\":\"x://1\"}}");
    ck_assert_str_eq(client_calls[0].request->log_level, "info");
    client_assert_body(client_legacy(session, ID "\"method\":\"logging/setLevel\",\"params\":{"
                                                 "\"level\":\"error\"}}"),
                       ID "\"result\":{}}");
    ck_assert_ptr_nonnull(
        strstr(client_legacy(session,
                             ID "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"loud\"}}")
                   ->body,
               "-32602"));
    client_legacy(session, ID "\"method\":\"resources/read\",\"params\":{\"uri\":\"x://1\"}}");
    ck_assert_str_eq(client_calls[1].request->log_level, "error");
}
END_TEST

START_TEST(changes_are_told_by_the_list_that_changed)
{
    const struct client_response *response =
        client_modern("subscriptions/listen", NULL,
                      "{\"notifications\":{\"promptsListChanged\":true,\"resourcesListChanged\":"
                      "true}," MODERN_META("") "}");

    ck_assert_ptr_nonnull(strstr(response->body, "\"notifications\":{\"promptsListChanged\":true,"
                                                 "\"resourcesListChanged\":true}"));
    client_forget(response->id);
    client_service("plain", true, LIST(TOOL("t"), TOOL("u")));
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    client_assert_body(response, "");
    client_service_offer("c", true, &(struct client_offer){.resources = LIST(RESOURCE("c://1"))});
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    ck_assert_ptr_nonnull(strstr(response->body, "notifications/resources/list_changed"));
    ck_assert_ptr_null(strstr(response->body, "prompts/list_changed"));
    client_forget(response->id);
    client_service_offer(
        "c", true,
        &(struct client_offer){.resources = LIST(RESOURCE("c://1")), .prompts = LIST(PROMPT("p"))});
    client_at(client_now.mono + MCP_CHANGED_DELAY);
    ck_assert_ptr_nonnull(strstr(response->body, "notifications/prompts/list_changed"));
    ck_assert_ptr_null(strstr(response->body, "resources/list_changed"));
}
END_TEST

#define SUBSCRIBE(method, uri) \
    ID "\"method\":\"resources/" method "\",\"params\":{\"uri\":\"" uri "\"}}"
#define UPDATED_LINE(uri)                                                                        \
    "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\"," \
    "\"params\":{\"uri\":\"" uri "\"}}\n\n"

START_TEST(clients_share_one_call_per_server_for_updates)
{
    const struct client_response *stream, *listen, *subscribe;
    char header[400];

    ck_assert_ptr_nonnull(
        strstr(client_legacy(session, SUBSCRIBE("subscribe", "y://1"))->body, "-32602"));
    subscribe = client_legacy(session, SUBSCRIBE("subscribe", "x://1"));
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].request->method, "subscriptions/listen");
    ck_assert_str_eq(served_by(), "a");
    ck_assert_uint_eq(client_input.ticket, 0); /* not before it is served */
    client_served(client_calls[0].ticket);
    ck_assert_str_eq(client_input.wishes, "x://1 ");
    client_assert_body(subscribe, "");
    client_taken(client_calls[0].ticket, "x://1");
    client_assert_body(subscribe, ID "\"result\":{}}");
    listen = client_modern("subscriptions/listen", NULL,
                           "{\"notifications\":{\"resourceSubscriptions\":[\"x://1\",\"y://1\","
                           "\"meshnode://a/x://both\"]}," MODERN_META("") "}");
    ck_assert_ptr_nonnull(strstr(listen->body, "\"resourceSubscriptions\":[\"x://1\","
                                               "\"meshnode://a/x://both\"]"));
    client_at(client_now.mono);
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_ptr_nonnull(strstr(client_input.wishes, "x://both "));
    client_forget(listen->id);

    client_updated(client_calls[0].ticket, "x://1"); /* the session has no stream yet */
    ck_assert_ptr_nonnull(strstr(listen->body, "\"uri\":\"x://1\",\"_meta\":{"
                                               "\"io.modelcontextprotocol/subscriptionId\":1}"));
    snprintf(header, sizeof header, "mcp-session-id: %s", session);
    stream = client_response(client_open(
        "GET", "/mcp", (const char *const[]){header, "accept: text/event-stream", NULL}));
    client_assert_body(stream, UPDATED_LINE("x://1"));
    client_forget(stream->id);
    client_forget(listen->id);
    client_updated(client_calls[0].ticket, "x://both");
    ck_assert_ptr_nonnull(strstr(listen->body, "\"uri\":\"meshnode://a/x://both\""));
    client_assert_body(stream, "");

    client_gone(listen->id);
    client_at(client_now.mono);
    ck_assert_str_eq(client_input.wishes, "x://1 ");
    client_assert_body(client_legacy(session, SUBSCRIBE("unsubscribe", "x://1")),
                       ID "\"result\":{}}");
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

/* A listen to "meshnode://a/x://N" for so many N. */
static const struct client_response *listen_to(uint32_t count)
{
    char *params = malloc(64 * (size_t)count + 1024);
    size_t size = (size_t)sprintf(params, "{\"notifications\":{\"resourceSubscriptions\":[");
    const struct client_response *response;

    for (uint32_t i = 0; i < count; i++)
        size += (size_t)sprintf(params + size, "%s\"meshnode://a/x://%u\"", i == 0 ? "" : ",", i);
    sprintf(params + size, "]}," MODERN_META("") "}");
    response = client_modern("subscriptions/listen", NULL, params);
    free(params);
    return response;
}

static uint32_t count_in(const char *text, const char *part)
{
    uint32_t count = 0;

    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        count++;
    }
    return count;
}

START_TEST(one_listen_has_so_many_subscriptions)
{
    ck_assert_uint_eq(count_in(listen_to(1024)->body, "meshnode://a/x://"), 1024);
    ck_assert_ptr_nonnull(strstr(listen_to(1025)->body, "\"code\":-32602"));
    ck_assert_ptr_nonnull(strstr(listen_to(1025)->body, "at most 1,024 resourceSubscriptions"));
}
END_TEST

START_TEST(one_session_has_so_many_subscriptions)
{
    const struct client_response *response = NULL;
    char body[128];

    for (uint32_t i = 0; i <= 1024; i++) {
        char uri[32];
        snprintf(uri, sizeof uri, "x://%u", i);
        snprintf(body, sizeof body, SUBSCRIBE("subscribe", "meshnode://a/%s"), uri);
        if (i > 0) client_forget_all();
        response = client_legacy(session, body);
        client_taken(client_calls[0].ticket, uri);
        if (i < 1024) client_assert_body(response, ID "\"result\":{}}");
    }
    ck_assert_ptr_nonnull(strstr(response->body, "has 1,024 subscriptions already"));
    client_legacy(session, SUBSCRIBE("unsubscribe", "meshnode://a/x://7"));
    response = client_legacy(session, body);
    client_taken(client_calls[0].ticket, "x://1024");
    client_assert_body(response, ID "\"result\":{}}");
}
END_TEST

/* All that show no secret are one client. */
START_TEST(one_client_leaves_room_for_others)
{
    const uint32_t share = MCP_SUBSCRIPTIONS_MAX / 4;
    const struct client_response *subscribe;
    uint64_t first = 0;
    uint32_t had = 0;

    client_is_unchecked = true;
    for (uint32_t i = 0; i <= share / 1024; i++) {
        const struct client_response *response = listen_to(1024);
        if (i == 0) first = response->id;
        had += count_in(response->body, "meshnode://a/x://");
    }
    client_is_unchecked = false;
    ck_assert_uint_eq(had, share);
    ck_assert_ptr_nonnull(
        strstr(client_legacy(session, SUBSCRIBE("subscribe", "x://1"))->body, "try again later"));
    client_gone(first);
    subscribe = client_legacy(session, SUBSCRIBE("subscribe", "x://1"));
    client_taken(client_calls[0].ticket, "x://1");
    client_assert_body(subscribe, ID "\"result\":{}}");
}
END_TEST

START_TEST(a_lost_call_for_updates_is_made_again_and_all_are_told)
{
    const struct client_response *stream;
    char header[400];

    client_legacy(session, SUBSCRIBE("subscribe", "x://1"));
    client_taken(client_calls[0].ticket, "x://1");
    snprintf(header, sizeof header, "mcp-session-id: %s", session);
    stream = client_response(client_open(
        "GET", "/mcp", (const char *const[]){header, "accept: text/event-stream", NULL}));
    client_failed(client_calls[0].ticket, CALL_OUTCOME_UNKNOWN, "the link is down");
    ck_assert_uint_eq(client_calls_count, 1);
    client_at(client_now.mono + MN_SEC);
    ck_assert_uint_eq(client_calls_count, 2);
    client_failed(client_calls[1].ticket, CALL_UNAVAILABLE, "not yet");
    client_at(client_now.mono + MN_SEC);
    ck_assert_uint_eq(client_calls_count, 2); /* it waits longer each time */
    client_at(client_now.mono + MN_SEC);
    ck_assert_uint_eq(client_calls_count, 3);
    client_assert_body(stream, "");
    client_served(client_calls[2].ticket);
    ck_assert_str_eq(client_input.wishes, "x://1 ");
    client_assert_body(stream, UPDATED_LINE("x://1"));
}
END_TEST

/* ---- what a server says in its results ---- */

static const char *about_text = "{\"_meta\":{\"k\":1},\"x\":2}",
                  *list_text = "{\"_meta\":{\"n\":3}}";
#define INFO "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"up\"}"

static void say_more(Meshnode__Gateway__Offer *offer)
{
    static ProtobufCBinaryData lists[1];

    lists[0] = pb_bytes(mn_span_str(list_text));
    offer->about = pb_bytes(mn_span_str(about_text));
    offer->about_lists = lists;
    offer->n_about_lists = 1;
}

static const char *said_at(const char *path, const char *method)
{
    const char *const headers[] = {
        "mcp-protocol-version: 2026-07-28",
        method[0] == 's' ? "mcp-method: server/discover" : "mcp-method: tools/list", NULL};
    char body[512];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"_meta\":{"
             "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
             "\"io.modelcontextprotocol/clientCapabilities\":{}}}}",
             method);
    return client_send("POST", path, headers, body)->body;
}

static const char *welcome_at(const char *path)
{
    return client_send("POST", path, NULL,
                       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                       "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}")
        ->body;
}

static void serve_more(void)
{
    client_service_offer(
        "more", true,
        &(struct client_offer){
            .tools = (const char *const[]){"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}",
                                           NULL},
            .amend = say_more});
}

START_TEST(a_server_says_of_itself_what_it_does)
{
    const char *path = "/mcp/servers/more", *own = "\"x\":2,\"_meta\":{\"k\":1}}}";

    serve_more();
    ck_assert_ptr_nonnull(strstr(welcome_at(path), own));
    ck_assert_ptr_nonnull(strstr(said_at(path, "server/discover"), ",\"k\":1}}}"));
    ck_assert_ptr_nonnull(strstr(said_at(path, "server/discover"), ",\"x\":2,"));
    ck_assert_ptr_nonnull(strstr(said_at(path, "tools/list"), ",\"_meta\":{\"n\":3}}}"));
}
END_TEST

static const char *legacy_list_at(const char *path)
{
    char line[320];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s",
             client_send("POST", path, NULL,
                         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                         "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}")
                 ->session);
    return client_send("POST", path, headers, ID "\"method\":\"tools/list\"}")->body;
}

/* Modern servers say who they are in each result, legacy ones once. */
START_TEST(legacy_clients_are_not_told_in_a_list_who_its_server_is)
{
    static const char *const texts[] = {"{\"_meta\":{" INFO "},\"x\":1}",
                                        "{\"_meta\":{\"n\":3," INFO "}}"};
    static const char *const expected[] = {"}],\"x\":1}}", "}],\"_meta\":{\"n\":3}}}"};

    for (int i = 0; i < 2; i++) {
        list_text = texts[i];
        serve_more();
        ck_assert_ptr_nonnull(strstr(said_at("/mcp/servers/more", "tools/list"), INFO));
        ck_assert_ptr_nonnull(strstr(legacy_list_at("/mcp/servers/more"), expected[i]));
    }
    list_text = "{\"_meta\":{\"n\":3}}";
}
END_TEST

/* Of many servers each says something else. */
START_TEST(many_servers_say_nothing_together)
{
    serve_more();
    ck_assert_ptr_null(strstr(welcome_at("/mcp"), "\"k\""));
    ck_assert_ptr_null(strstr(said_at("/mcp", "server/discover"), "\"k\""));
    ck_assert_ptr_null(strstr(said_at("/mcp", "tools/list"), "\"n\":3"));
}
END_TEST

START_TEST(what_is_not_a_servers_to_say_is_not_said)
{
    static const char *const wrong[] = {"[]",
                                        "{\"capabilities\":{\"x\":{}}}",
                                        "{\"tools\":[]}",
                                        "{\"_meta\":{\"k\":1},\"_meta\":{}}",
                                        "{\"nextCursor\":\"x\"}",
                                        "{\"_meta\":1}",
                                        "{\"_meta\":[1]}",
                                        "no"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        about_text = list_text = wrong[i];
        serve_more();
        ck_assert_ptr_nonnull(
            strstr(welcome_at("/mcp/servers/more"), "\"serverInfo\":{\"name\":\"up\""));
        ck_assert_ptr_null(strstr(welcome_at("/mcp/servers/more"), "_meta"));
        ck_assert_ptr_null(strstr(said_at("/mcp/servers/more", "tools/list"), "_meta"));
        ck_assert_ptr_null(strstr(said_at("/mcp/servers/more", "tools/list"), "nextCursor"));
        client_forget_all();
    }
    about_text = "{\"_meta\":{\"k\":1},\"x\":2}";
    list_text = "{\"_meta\":{\"n\":3}}";
}
END_TEST

static bool is_gathering;

static void setup_early(void)
{
    client_config_reset();
    is_gathering = true;
    client_config.is_gathering = &is_gathering;
    setup();
}

#define EARLY "\"code\":-32603,\"message\":\"this node has just started"

static void assert_early(const struct client_response *response, uint32_t code)
{
    ck_assert_uint_eq(response->code, code);
    ck_assert_ptr_nonnull(strstr(response->body, EARLY));
    ck_assert_ptr_nonnull(strstr(response->body, "\"reason\":\"unavailable\""));
}

/* Since a node has started, and until it has heard of all servers, nothing is unknown for certain.
 */
START_TEST(what_may_come_yet_is_not_unknown)
{
    static const char *const modern[] = {"mcp-protocol-version: 2026-07-28",
                                         "mcp-method: tools/list", NULL};
    static const char list[] = ID "\"method\":\"tools/list\",\"params\":{" MODERN_META("") "}}";
    static const char initialize[] = ID "\"method\":\"initialize\",\"params\":{"
                                        "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}}";
    const struct client_response *response;

    for (int i = 0; i < 2; i++) {
        assert_early(client_modern("tools/call", "late__run",
                                   "{\"name\":\"late__run\"," MODERN_META("") "}"),
                     200);
        assert_early(read_uri("meshnode://late/x://y"), 200);
        assert_early(client_send("POST", "/mcp/servers/late", modern, list), 503);
        assert_early(client_send("POST", "/mcp/servers/late", NULL, initialize), 503);
    }
    response = read_uri("y://1");
    client_failed(client_calls[0].ticket, CALL_NOT_FOUND, "no such server");
    assert_early(response, 200);
    is_gathering = false;
    response =
        client_modern("tools/call", "late__run", "{\"name\":\"late__run\"," MODERN_META("") "}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/late", modern, list)->code, 404);
}
END_TEST

/* After a restart, until the catalogs of the others are there. */
START_TEST(a_cursor_whose_list_may_come_yet_is_not_unknown)
{
    char params[1024];

    second_page(params, sizeof params);
    client_service_gone("long", false);
    assert_early(client_modern("resources/list", NULL, params), 200);
    is_gathering = false;
    ck_assert_ptr_nonnull(
        strstr(client_modern("resources/list", NULL, params)->body, "\"code\":-32602"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("items");
    TCase *tc = tcase_create("all"), *early;

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, lists_are_aggregated_in_order_of_server);
    tcase_add_test(tc, prompts_go_under_their_own_name);
    tcase_add_test(tc, a_resource_is_read_where_it_is_listed);
    tcase_add_test(tc, a_resource_of_several_servers_is_read_by_its_long_form);
    tcase_add_test(tc, templates_say_who_is_asked_and_the_most_literal_one_wins);
    tcase_add_test(tc, what_nobody_lists_is_asked_for_one_by_one);
    tcase_add_test(tc, the_next_server_tells_its_progress_as_if_it_were_the_first);
    tcase_add_test(tc, progress_does_not_go_back_with_the_next_server);
    tcase_add_test(tc, what_a_server_asked_is_not_answered_at_the_next);
    tcase_add_test(tc, a_read_whose_outcome_is_unknown_speaks_of_no_tool);
    tcase_add_test(tc, completions_go_where_their_reference_points);
    tcase_add_test(tc, long_lists_come_in_pages_and_cursors_cannot_be_made_up);
    tcase_add_test(tc, strings_that_do_not_open_are_limited);
    tcase_add_test(tc, one_server_keeps_its_names_and_what_it_lacks);
    tcase_add_test(tc, a_session_says_how_much_it_wants_logged);
    tcase_add_test(tc, changes_are_told_by_the_list_that_changed);
    tcase_add_test(tc, clients_share_one_call_per_server_for_updates);
    tcase_add_test(tc, one_listen_has_so_many_subscriptions);
    tcase_add_test(tc, one_session_has_so_many_subscriptions);
    tcase_add_test(tc, one_client_leaves_room_for_others);
    tcase_add_test(tc, a_lost_call_for_updates_is_made_again_and_all_are_told);
    tcase_add_test(tc, a_server_says_of_itself_what_it_does);
    tcase_add_test(tc, legacy_clients_are_not_told_in_a_list_who_its_server_is);
    tcase_add_test(tc, many_servers_say_nothing_together);
    tcase_add_test(tc, what_is_not_a_servers_to_say_is_not_said);
    suite_add_tcase(suite, tc);
    early = tcase_create("early");
    tcase_add_checked_fixture(early, setup_early, client_teardown);
    tcase_add_test(early, what_may_come_yet_is_not_unknown);
    tcase_add_test(early, a_cursor_whose_list_may_come_yet_is_not_unknown);
    suite_add_tcase(suite, early);
    return suite_run(suite);
}
