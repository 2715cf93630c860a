/* Large results that are said to the client in other words than the server said them: no step
 * handles much of one there either. Counted in bytes (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RESOURCE(uri) "{\"uri\":\"" uri "\",\"name\":\"n\"}"
#define TOOL "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}"
#define IMAGE "{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\""
#define LINK(name, uri) "{\"type\":\"resource_link\",\"name\":\"" name "\",\"uri\":\"" uri "\"}"
#define EMBEDDED(uri) "{\"type\":\"resource\",\"resource\":{\"uri\":\"" uri "\",\"text\":\"t\"}}"
#define CALL(id)                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":" \
    "\"srv__echo\",\"arguments\":{}}}"

static void setup(void)
{
    client_setup();
    client_service_offer("other", true,
                         &(struct client_offer){.resources = LIST(RESOURCE("x://1"))});
    client_service_offer(
        "srv", true,
        &(struct client_offer){.tools = LIST(TOOL),
                               .prompts = LIST("{\"name\":\"p\"}"),
                               .resources = LIST(RESOURCE("x://both"), RESOURCE("only://1")),
                               .capabilities = "{\"tools\":{\"listChanged\":true},"
                                               "\"prompts\":{},\"resources\":{},"
                                               "\"tasks\":{}}"});
    client_service_offer("third", true,
                         &(struct client_offer){.resources = LIST(RESOURCE("x://both"))});
}

static void teardown(void)
{
    client_teardown();
    large_done();
}

static uint64_t ticket(void)
{
    return client_calls[client_calls_count - 1].ticket;
}

static uint64_t asked(const char *method, const char *name, const char *params)
{
    char text[512];

    snprintf(text, sizeof text, "{%s,%s}", params, MODERN_META(""));
    return client_modern(method, name, text)->id;
}

/* The newest call's answer; how much it was. */
static const struct client_response *answered(uint64_t id, const char *result)
{
    work_reset();
    client_result(ticket(), result);
    ck_assert(!client_response(id)->is_ended);
    large_work_off();
    ck_assert(client_response(id)->is_ended);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    return client_response(id);
}

/* Not by strstr(): under a sanitizer each call of it goes through all that is left. */
static bool begins(const char *text, const char *what)
{
    return *text == *what && strncmp(text, what, strlen(what)) == 0;
}

static uint32_t count(const char *text, const char *what)
{
    uint32_t ret = 0;

    for (; *text != '\0'; text++)
        ret += begins(text, what);
    return ret;
}

/* Where [got] goes on behind [text] in which each [from] is said as [to]; NULL: it has another. */
static const char *behind(const char *got, const char *text, const char *from, const char *to)
{
    while (*text != '\0') {
        if (!begins(text, from)) {
            if (*got++ != *text++) return NULL;
            continue;
        }
        if (!begins(got, to)) return NULL;
        got += strlen(to);
        text += strlen(from);
    }
    return got;
}

/* [result], and the same with what changes, between HEAD and TAIL. */
static void assert_changed(const struct client_response *response, const char *head,
                           const char *result, const char *from, const char *to, const char *tail)
{
    const char *end;

    ck_assert_int_eq(strncmp(response->body, head, strlen(head)), 0);
    end = behind(response->body + strlen(head), result, from, to);
    ck_assert_ptr_nonnull(end);
    ck_assert_str_eq(end, tail);
}

#define MODERN_HEAD "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\","

static const struct {
    const char *head, *unit, *tail, *from, *to;
} links[] = {
    /* after, before and between what is large */
    {"{\"content\":[" IMAGE, "A", "\"}," LINK("n", "x://1") "]}", "x://1", "meshnode://srv/x://1"},
    {"{\"content\":[" IMAGE, "A", "\"}," LINK("n", "meshnode://far/y://1") "]}", /* another mesh */
     "meshnode://far/y://1", "meshnode://srv/meshnode://far/y://1"},
    {"{\"content\":[" LINK("n", "x://both") "," IMAGE, "A", "\"}]}", "x://both",
     "meshnode://srv/x://both"},
    {"{\"content\":[" EMBEDDED("x://1") "," LINK("n", "x://1") "," IMAGE, "A",
     "\"},{\"type\":\"text\",\"text\":\"x:1\"}," LINK("n",
                                                      "https://own") "," EMBEDDED("x://1") "]}",
     "x://1", "meshnode://srv/x://1"},
    /* hundreds of thousands of them */
    {"{\"content\":[" LINK("n", "x://1"), "," LINK("n", "x://1"), "]}", "x://1",
     "meshnode://srv/x://1"},
    /* values that are none of the places, however many */
    {"{\"content\":[" LINK("n", "x://both") "],\"structuredContent\":{\"content\":[[0", ",1",
     "]]}}", "x://both", "meshnode://srv/x://both"},
};
#define LINKS_COUNT (int)(sizeof links / sizeof *links)

START_TEST(links_lead_to_their_server)
{
    uint64_t id = asked("tools/call", "srv__echo", "\"name\":\"srv__echo\",\"arguments\":{}");
    const struct client_response *response =
        answered(id, large_made(links[_i].head, links[_i].unit, LARGE, links[_i].tail));

    assert_changed(response, MODERN_HEAD, large_text() + 1, links[_i].from, links[_i].to, "}");
}
END_TEST

/* So many templates that to look for one link is as much work as to check several. */
static void offer_templates(void)
{
    static char texts[250][64];
    static const char *templates[sizeof texts / sizeof *texts + 1];

    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(texts[i], sizeof *texts, "{\"uriTemplate\":\"t%03u-xxxx://{a}\",\"name\":\"n\"}",
                 i);
        templates[i] = texts[i];
    }
    client_service_offer("many", true, &(struct client_offer){.templates = templates});
}

/* Links that nobody lists, each other than the one before. */
START_TEST(links_are_looked_up_in_slices)
{
    uint64_t id;

    offer_templates();
    id = asked("tools/call", "srv__echo", "\"name\":\"srv__echo\",\"arguments\":{}");
    answered(id, large_made("{\"content\":[0", "," LINK("n", "q://1") "," LINK("n", "q://2"), LARGE,
                            "]}"));
    assert_changed(client_response(id), MODERN_HEAD, large_text() + 1, "q://",
                   "meshnode://srv/q://", "}");
}
END_TEST

/* Of those that lead to their server as they are, the first ones stay so. */
START_TEST(links_of_one_text_cost_no_more_than_it)
{
    const char *response;
    uint32_t all, changed;
    uint64_t id;

    offer_templates();
    id = asked("tools/call", "srv__echo", "\"name\":\"srv__echo\",\"arguments\":{}");
    response =
        answered(id, large_made("{\"content\":[0",
                                "," LINK("n", "only://2") "," LINK("n", "only://3"), LARGE, "]}"))
            ->body;
    all = count(large_text(), "\"only://");
    changed = count(response, "\"meshnode://srv/only://");
    ck_assert_uint_eq(count(response, "\"only://") + changed, all);
    ck_assert_uint_ge(all - changed, LARGE / 400);
    ck_assert_uint_ge(changed, all / 2);
    ck_assert_ptr_nonnull(strstr(response + strlen(response) - 80, "meshnode://srv/only://3"));
}
END_TEST

/* Many answers wait: there is no time for looks while they do. */
START_TEST(links_of_what_is_hurried_are_not_looked_up)
{
    uint64_t ids[4];

    large_made("{\"content\":[0", "," LINK("n", "only://2") "," LINK("n", "only://3"), LARGE, "]}");
    for (uint32_t i = 0; i < 4; i++) {
        ids[i] = asked("tools/call", "srv__echo", "\"name\":\"srv__echo\",\"arguments\":{}");
        client_result(ticket(), large_text());
    }
    while (!client_response(ids[0])->is_ended)
        client_at(client_now.mono);
    assert_changed(client_response(ids[0]), MODERN_HEAD, large_text() + 1, "only://",
                   "meshnode://srv/only://", "}");
}
END_TEST

/* However many, they are one. */
START_TEST(link_that_repeats_is_looked_up_once)
{
    uint64_t id;

    offer_templates();
    id = asked("tools/call", "srv__echo", "\"name\":\"srv__echo\",\"arguments\":{}");
    answered(id, large_made("{\"content\":[0", "," LINK("n", "only://2"), LARGE, "]}"));
    assert_changed(client_response(id), MODERN_HEAD, large_text() + 1, "q", "q", "}");
}
END_TEST

START_TEST(links_of_prompts_lead_there_too)
{
    uint64_t id = asked("prompts/get", "srv__p", "\"name\":\"srv__p\"");
    const struct client_response *response =
        answered(id, large_made("{\"messages\":[{\"role\":\"user\",\"content\":" IMAGE, "A", LARGE,
                                "\"}},{\"role\":\"user\",\"content\":" EMBEDDED("x://1") "}]}"));

    assert_changed(response, MODERN_HEAD, large_text() + 1, "x://1", "meshnode://srv/x://1", "}");
}
END_TEST

/* A resource that several servers have goes by another URI here; so do all parts of it. */
START_TEST(resources_come_under_the_uri_that_was_asked_for)
{
    uint64_t id =
        asked("resources/read", "meshnode://srv/x://both", "\"uri\":\"meshnode://srv/x://both\"");
    const struct client_response *response =
        answered(id, large_made("{\"contents\":[{\"uri\":\"x://both\",\"blob\":\"", "A", LARGE,
                                "\"},{\"uri\":\"x://both\",\"text\":\"\"},{\"uri\":\"x://1\"}]}"));

    assert_changed(response, MODERN_HEAD "\"ttlMs\":0,\"cacheScope\":\"private\",",
                   large_text() + 1, "x://both", "meshnode://srv/x://both", "}");
}
END_TEST

/* ---- legacy clients ---- */

static const struct client_response *posted(const char *session, const char *body)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    return client_send("POST", "/mcp", headers, body);
}

/* A task of a session, whose server calls it t-1: the id that the client knows. */
static void begin_task(const char *session, char task[1024])
{
    const struct client_response *response = posted(
        session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                 "\"srv__echo\",\"task\":{\"ttl\":9}}}");

    client_result(ticket(), "{\"task\":{\"status\":\"working\",\"taskId\":\"t-1\",\"ttl\":null}}");
    ck_assert_int_eq(
        sscanf(strstr(response->body, "\"taskId\":\""), "\"taskId\":\"%1000[^\"]", task), 1);
}

#define RELATED "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"t-1\"}"
#define WHO "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"s\",\"version\":\"1\"}"
#define RESULT_HEAD "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":["

/* What stands around an image, and around it when it goes out, but for the id: members between
 * those that change are said otherwise, too, or not at all. Of two of a name the first one counts.
 */
static const struct {
    const char *head, *tail, *said_head, *said_tail;
} task_results[] = {
    {"{\"content\":[" IMAGE, "\"}],\"_meta\":{" RELATED "}}", RESULT_HEAD IMAGE,
     "\"}],\"_meta\":{" RELATED "}}}"},
    {"{\"content\":[" LINK("n", "x://1") "," IMAGE,
     "\"}," LINK("n", "x://both") "],\"structuredContent\":[1],\"_meta\":{\"a\":1," RELATED "}}",
     RESULT_HEAD LINK("n", "meshnode://srv/x://1") "," IMAGE,
     "\"}," LINK("n", "meshnode://srv/x://both") "],\"structuredContent\":{\"result\":[1]},"
                                                 "\"_meta\":{\"a\":1," RELATED "}}}"},
    {"{\"content\":[" LINK("n", "x://1") "," IMAGE,
     "\"}],\"resultType\":\"complete\",\"_meta\":{\"a\":1," WHO "," RELATED "}}",
     RESULT_HEAD LINK("n", "meshnode://srv/x://1") "," IMAGE,
     "\"}],\"_meta\":{\"a\":1," RELATED "}}}"},
    {"{\"resultType\":\"complete\",\"_meta\":{" RELATED "},\"content\":[" IMAGE,
     "\"}],\"_meta\":{" WHO ",\"a\":1}}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"_meta\":{" RELATED "},\"content\":[" IMAGE,
     "\"}],\"_meta\":{" WHO ",\"a\":1}}}"},
    {"{\"resultType\":\"complete\",\"_meta\":{" RELATED "," WHO "},\"content\":[" IMAGE,
     "\"}],\"_meta\":{" WHO ",\"a\":1}}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"_meta\":{" RELATED "},\"content\":[" IMAGE,
     "\"}],\"_meta\":{" WHO ",\"a\":1}}}"},
};
#define TASK_RESULTS_COUNT (int)(sizeof task_results / sizeof *task_results)

START_TEST(results_of_tasks_name_them_as_their_client_does)
{
    char session[300], body[2048], task[1024];
    const struct client_response *response;

    strcpy(session, client_initialize("/mcp", "2025-11-25"));
    begin_task(session, task);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/result\",\"params\":{\"taskId\":"
             "\"%s\"}}",
             task);
    response = answered(posted(session, body)->id,
                        large_made(task_results[_i].head, "A", LARGE, task_results[_i].tail));
    large_made(task_results[_i].said_head, "A", LARGE, task_results[_i].said_tail);
    assert_changed(response, "", large_text(), "t-1", task, "");
}
END_TEST

/* Hundreds of thousands of them, and each is said otherwise. */
START_TEST(contents_of_newer_revisions_are_text)
{
    char session[300];
    const struct client_response *response;

    strcpy(session, client_initialize("/mcp", "2025-03-26"));
    response = answered(
        posted(session, CALL("1"))->id,
        large_made("{\"content\":[" LINK("m", "x://1"), "," LINK("m", "https://2"), LARGE, "]}"));
    ck_assert_uint_eq(count(response->body, "resource_link"), 0);
    ck_assert_uint_eq(count(response->body, ",{\"type\":\"text\",\"text\":\"m <https://2>\"}"),
                      count(large_text(), "https://2"));
    ck_assert_uint_eq(count(response->body, "meshnode://srv/x://1"),
                      1); /* a link is one there, too */
}
END_TEST

/* Two of them in one response; and one more that is small. */
START_TEST(answers_of_a_batch_are_not_copied)
{
    const char *const order[] = {"1", "2"};
    const struct client_response *response;
    char session[300];
    size_t size;

    strcpy(session, client_initialize("/mcp", "2025-03-26"));
    response = posted(session, "[" CALL("1") "," CALL("2") "," CALL("3") "]");
    large_made("{\"content\":[" IMAGE, "A", LARGE, "\"}],\n\"x\":1}");
    size = strlen(large_text());
    work_reset();
    for (uint32_t i = 0; i < 2; i++) {
        client_result(client_calls[client_calls_count - 3 + i].ticket, large_text());
        large_work_off();
    }
    ck_assert(!response->is_ended);
    client_result(ticket(), "{\n}");
    ck_assert(response->is_ended);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    for (uint32_t i = 0; i < 2; i++) {
        const char *at = response->body + i * (size + strlen(",{\"jsonrpc\":\"2.0\",\"id\":1,"
                                                             "\"result\":}"));
        char head[64];
        snprintf(head, sizeof head,
                 "%s{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":", i == 0 ? "[" : ",",
                 order[i]);
        ck_assert_int_eq(strncmp(at, head, strlen(head)), 0);
        ck_assert_int_eq(
            strncmp(at + strlen(head) + size - strlen("{\"content\":") - 11, "\"}], \"x\":1}}", 12),
            0);
    }
    ck_assert_ptr_nonnull(
        strstr(response->body, ",{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{ }}]"));
}
END_TEST

START_TEST(batch_that_becomes_a_stream_has_them_in_one_event)
{
    const struct client_response *response;
    char session[300];

    strcpy(session, client_initialize("/mcp", "2025-03-26"));
    response = posted(session, "[" CALL("1") "," CALL("2") "]");
    work_reset();
    client_result(client_calls[client_calls_count - 2].ticket,
                  large_made("{\"content\":[" IMAGE, "A", LARGE, "\"}],\n\"x\":1}"));
    large_work_off();
    client_at(client_now.mono + 20 * MN_SEC);
    ck_assert(response->is_stream);
    client_result(ticket(), "{}");
    ck_assert(response->is_ended);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_int_eq(
        strncmp(response->body, "event: message\ndata: [{\"jsonrpc\":\"2.0\",\"id\":1,", 40), 0);
    ck_assert_uint_eq(count(response->body, "data: "), 2);
    ck_assert_uint_eq(count(response->body, "\"}], \"x\":1}}]\n\n"), 1);
}
END_TEST

/* Pretty-printed, on a stream: each event is one line. */
START_TEST(lines_become_one_on_a_stream)
{
    uint64_t id;
    char session[300];

    strcpy(session, client_initialize("/mcp", "2025-06-18"));
    id = client_legacy(session, CALL("1"))->id;
    client_at(client_now.mono + 20 * MN_SEC);
    ck_assert(client_response(id)->is_stream);
    client_forget(id);
    answered(id, large_made("{\n\"content\":[],\"structuredContent\":{\"x\":[0", ",\r\n1", LARGE,
                            "]}}"));
    assert_changed(client_response(id),
                   "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{ ",
                   strchr(large_text(), '\n') + 1, "\r\n", "  ", "}\n\n");
}
END_TEST

/* Nobody is there any more: nothing is made for nobody. */
START_TEST(client_that_is_away_costs_no_copy)
{
    struct mcp_stats stats;
    char session[300];
    uint64_t id;

    strcpy(session, client_initialize("/mcp", "2025-06-18"));
    id = client_legacy(session, CALL("1"))->id;
    client_at(client_now.mono + 20 * MN_SEC);
    client_gone(id);
    work_reset();
    client_result(ticket(), large_made("{\"resultType\":\"complete\",\"content\":[" IMAGE, "A",
                                       LARGE, "\"}]}"));
    large_work_off();
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.calls_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large results, said otherwise");
    TCase *modern = tcase_create("modern"), *legacy = tcase_create("legacy");

    tcase_set_timeout(modern, 60);
    tcase_set_timeout(legacy, 60);
    tcase_add_checked_fixture(modern, setup, teardown);
    tcase_add_checked_fixture(legacy, setup, teardown);
    tcase_add_loop_test(modern, links_lead_to_their_server, 0, LINKS_COUNT);
    tcase_add_test(modern, links_are_looked_up_in_slices);
    tcase_add_test(modern, links_of_one_text_cost_no_more_than_it);
    tcase_add_test(modern, links_of_what_is_hurried_are_not_looked_up);
    tcase_add_test(modern, link_that_repeats_is_looked_up_once);
    tcase_add_test(modern, links_of_prompts_lead_there_too);
    tcase_add_test(modern, resources_come_under_the_uri_that_was_asked_for);
    tcase_add_loop_test(legacy, results_of_tasks_name_them_as_their_client_does, 0,
                        TASK_RESULTS_COUNT);
    tcase_add_test(legacy, contents_of_newer_revisions_are_text);
    tcase_add_test(legacy, answers_of_a_batch_are_not_copied);
    tcase_add_test(legacy, batch_that_becomes_a_stream_has_them_in_one_event);
    tcase_add_test(legacy, lines_become_one_on_a_stream);
    tcase_add_test(legacy, client_that_is_away_costs_no_copy);
    suite_add_tcase(suite, modern);
    suite_add_tcase(suite, legacy);
    return suite_run(suite);
}
