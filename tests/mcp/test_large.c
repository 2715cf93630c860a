/* Large answers: however large one is, no step of either half handles much of it. Counted in bytes
 * (work.h), for a time would depend on the machine. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/upstream_world.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define FIRST_TICKET 7

static struct world w;

#define IMAGE_HEAD "{\"content\":[{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\""
#define RELATED "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"t-1\"}"
#define IMAGE_TAIL "\"}]}"

/* What servers answer at length: one string, many small values, text that is all escapes. */
static const struct {
    const char *head, *unit, *tail;
} results[] = {
    {IMAGE_HEAD, "A", IMAGE_TAIL},
    {"{\"content\":[],\"structuredContent\":{\"x\":[0", ",1", "]}}"},
    {"{\"content\":[{\"type\":\"text\",\"text\":\"", "\\n\\u00e9\xc3\xa9", IMAGE_TAIL},
    {"{\"a\":\"", "\\t", "\",\"content\":[],\"structuredContent\":[1]}"},
};
#define RESULTS_COUNT (int)(sizeof results / sizeof *results)

/* ---- from the server ---- */

static void assert_carried(void)
{
    struct world_event *event = world_event(&w);
    const char *result = strstr(large_text(), "\"result\":") + strlen("\"result\":");
    size_t size;

    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->what, "result");
    size = strlen(event->json);
    ck_assert_uint_ge(size, LARGE - 8);
    ck_assert(memcmp(event->json, result, size) == 0);
    ck_assert_str_eq(result + size, strchr(result + size, '}'));
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
}

static char *answered(int index, uint64_t id, const char *before, const char *after)
{
    char head[256], tail[256];

    snprintf(head, sizeof head, "%s{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s", before,
             (unsigned long long)id, results[index].head);
    snprintf(tail, sizeof tail, "%s}%s", results[index].tail, after);
    return large_made(head, results[index].unit, LARGE, tail);
}

static struct world_fetch *called(void)
{
    struct world_fetch *fetch;

    world_init(&w);
    world_up_http(&w, "s");
    world_call_echo(&w, FIRST_TICKET, "s");
    do
        fetch = world_fetch(&w);
    while (fetch != NULL && strstr(fetch->body, "tools/call") == NULL);
    ck_assert_ptr_nonnull(fetch);
    work_reset();
    return fetch;
}

static void give(struct world_fetch *fetch, const char *bytes)
{
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        world_edge(&w, &(struct edge_input){.type = EDGE_IN_FETCH_BODY,
                                            .id = fetch->id,
                                            .bytes = mn_span(bytes, size)});
    }
}

START_TEST(body_is_handled_as_it_comes)
{
    struct world_fetch *fetch = called();

    world_head(&w, fetch, 200, "application/json", NULL);
    give(fetch, answered(_i, world_id(fetch->body), "", ""));
    world_end(&w, fetch, MN_OK, "");
    assert_carried();
    world_done(&w);
}
END_TEST

START_TEST(event_is_handled_as_it_comes)
{
    struct world_fetch *fetch = called();

    world_head(&w, fetch, 200, "text/event-stream", NULL);
    give(fetch, answered(_i, world_id(fetch->body), "event: message\ndata: ", "\n\n"));
    assert_carried();
    world_done(&w);
}
END_TEST

START_TEST(line_is_handled_as_it_comes)
{
    const char *call, *bytes;

    world_init(&w);
    world_up_legacy(&w, "s");
    world_call_echo(&w, FIRST_TICKET, "s");
    do
        call = world_line(&w);
    while (call != NULL && strstr(call, "tools/call") == NULL);
    ck_assert_ptr_nonnull(call);
    work_reset();
    bytes = answered(_i, world_id(call), "", "\n");
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        world_say_bytes(&w, 1, mn_span(bytes, size));
    }
    assert_carried();
    world_done(&w);
}
END_TEST

/* The result of a task that its client does not know of, without saying of which it is. */
START_TEST(result_of_a_task_of_ours_is_not_copied)
{
    static const struct {
        const char *meta, *left;
    } metas[] = {{"\"_meta\":{" RELATED "}", "\"_meta\":{"},
                 {"\"_meta\":{\"a\":1 , " RELATED ",\"b\":2}", ",\"b\":2}"},
                 {"\"_meta\":{" RELATED " ,\"b\":2}", "\"b\":2}"},
                 {"\"_meta\":{\"a\":1}", "\"_meta\":{\"a\":1}"}};
    char tail[256], head[128];
    struct world_event *event;
    const char *line;

    world_init(&w);
    ck_assert_int_eq(world_add_child(&w, "s", UPSTREAM_ERA_LEGACY), MN_OK);
    world_answer(&w, world_line(&w), WORLD_LEGACY);
    world_line(&w);
    world_answer(&w, world_line(&w),
                 world_tools_result(&w, "[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"},"
                                        "\"execution\":{\"taskSupport\":\"required\"}}]"));
    world_call_echo(&w, FIRST_TICKET, "s");
    world_answer(&w, world_line(&w), "{\"task\":{\"taskId\":\"t-1\",\"status\":\"working\"}}");
    line = world_line(&w);
    ck_assert_ptr_nonnull(strstr(line, "tasks/result"));
    work_reset();
    snprintf(head, sizeof head, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":" IMAGE_HEAD,
             (unsigned long long)world_id(line));
    snprintf(tail, sizeof tail, "\"}],%s}}\n", metas[_i].meta);
    line = large_made(head, "A", LARGE, tail);
    for (size_t left = strlen(line), size; left > 0; line += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        world_say_bytes(&w, 1, mn_span(line, size));
    }
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "result");
    ck_assert_ptr_null(strstr(event->json, "related-task"));
    ck_assert_ptr_nonnull(strstr(event->json + LARGE, metas[_i].left));
    world_done(&w);
}
END_TEST

/* One that is wrong in the end is an answer of no kind, as a short one is. */
START_TEST(what_is_wrong_in_the_end_is_no_answer)
{
    struct world_fetch *fetch = called();
    char *bytes = answered(0, world_id(fetch->body), "", "");
    struct world_event *event;

    bytes[strlen(bytes) - 1] = ']';
    world_head(&w, fetch, 200, "application/json", NULL);
    give(fetch, bytes);
    world_end(&w, fetch, MN_OK, "");
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->kind, CALL_EVENT_FAILED);
    ck_assert_int_eq(event->failure, CALL_UPSTREAM);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    world_done(&w);
}
END_TEST

/* ---- to the client ---- */

static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                    NULL};

static const char *const mesh_tools[] = {
    "{\"name\":\"mesh_call\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static const char *const judged_tools[] = {
    "{\"name\":\"all\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"x\":{"
    "\"uniqueItems\":true},\"y\":{\"pattern\":\"^(a+)+$\"}}}}",
    NULL};

static void front_setup(void)
{
    client_setup();
    client_service("srv", true, tools);
}

static void front_teardown(void)
{
    client_teardown();
    large_done();
}

static const char *result(int index)
{
    return large_made(results[index].head, results[index].unit, LARGE, results[index].tail);
}

/* [head] and the result without its first [skip] bytes, and [tail]: what the client got. */
static void assert_answer(const struct client_response *response, const char *head, size_t skip,
                          const char *tail)
{
    size_t size = strlen(large_text() + skip);

    ck_assert_uint_eq(response->body_size, strlen(head) + size + strlen(tail));
    ck_assert(memcmp(response->body, head, strlen(head)) == 0);
    ck_assert(memcmp(response->body + strlen(head), large_text() + skip, size) == 0);
    ck_assert_str_eq(response->body + strlen(head) + size, tail);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
}

static uint64_t asked_modern(void)
{
    uint64_t id = client_modern("tools/call", "srv__echo",
                                "{\"name\":\"srv__echo\",\"arguments\":{}," MODERN_META("") "}")
                      ->id;

    work_reset();
    return id;
}

static uint64_t ticket(void)
{
    return client_calls[client_calls_count - 1].ticket;
}

START_TEST(modern_client_gets_it_in_slices)
{
    uint64_t id = asked_modern();

    client_result(ticket(), result(_i));
    ck_assert(!client_response(id)->is_ended);
    large_work_off();
    ck_assert(client_response(id)->is_ended);
    assert_answer(client_response(id),
                  "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",", 1, "}");
}
END_TEST

#define CALL_LEGACY                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\"," \
    "\"arguments\":{}}}"

static const char *const versions[] = {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"};

START_TEST(legacy_client_gets_it_in_slices)
{
    const char *session = client_initialize("/mcp", versions[_i]);
    uint64_t id = client_legacy(session, CALL_LEGACY)->id;

    work_reset();
    client_result(ticket(), result(0));
    large_work_off();
    assert_answer(client_response(id), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":", 0, "}");
}
END_TEST

/* The name of what a revision does not know may stand across two slices. */
START_TEST(old_client_gets_what_it_knows)
{
    const char *session = client_initialize("/mcp", "2025-03-26");
    uint64_t id = client_legacy(session, CALL_LEGACY)->id;
    size_t before = strlen(IMAGE_HEAD) + strlen("\"},{\"type\":\"resource_");

    client_result(ticket(),
                  large_made(IMAGE_HEAD, "A", LARGE - before + (size_t)_i,
                             "\"},{\"type\":\"resource_link\",\"name\":\"n\",\"uri\":\"u:1\"}]}"));
    large_work_off();
    ck_assert(client_response(id)->is_ended);
    ck_assert_ptr_nonnull(
        strstr(client_response(id)->body, "{\"type\":\"text\",\"text\":\"n <u:1>\"}]}}"));
}
END_TEST

/* ---- from the client ---- */

static const struct {
    const char *head, *unit, *tail;
} requests[] = {
    {"{\"text\":\"", "A", "\"}"},
    {"{\"x\":[0", ",1", "]}"},
    {"{\"text\":\"", "\\n\\u00e9\xc3\xa9", "\"}"},
};
#define REQUESTS_COUNT (int)(sizeof requests / sizeof *requests)
#define REQUEST ((size_t)15 << 20)

/* How a tool is called: at the endpoint of its server, at that of all, or through another tool. */
static const struct {
    const char *path, *name, *head, *tail;
} ways[] = {
    {"/mcp/servers/srv", "echo", "", ""},
    {"/mcp", "srv__echo", "", ""},
    {"/mcp", "mesh_call", "{\"tool\":\"srv__echo\",\"arguments\":", "}"},
};
#define WAYS_COUNT (int)(sizeof ways / sizeof *ways)

/* Posts a call with large arguments, as they come. */
static uint64_t posted(int index, int way)
{
    char head[512], tail[16], line[64];
    const char *const headers[] = {"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call",
                                   line, NULL};
    uint64_t id;
    const char *bytes;

    snprintf(line, sizeof line, "mcp-name: %s", ways[way].name);
    snprintf(head, sizeof head,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
             "call\",\"params\":{\"name\":\"%s\"," MODERN_META("") ",\"arguments\":%s%s",
             ways[way].name, ways[way].head, requests[index].head);
    snprintf(tail, sizeof tail, "%s%s}}", requests[index].tail, ways[way].tail);
    bytes = large_made(head, requests[index].unit, REQUEST, tail);
    id = client_open("POST", ways[way].path, headers);
    work_reset();
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        client_body(id, bytes, size, size == left);
        if (size < left) ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    }
    return id;
}

/* Its JSON was looked at while it came; then it is copied for the mesh. Whether they are what the
 * tool takes is found out by its server. */
START_TEST(request_is_handled_in_slices)
{
    static const char before[] = "{\"name\":\"echo\",\"arguments\":";
    int index = _i % REQUESTS_COUNT, way = _i / REQUESTS_COUNT;
    const char *arguments, *params;
    size_t size = strlen(before);

    client_service("mesh", true, mesh_tools);
    posted(index, way);
    ck_assert_uint_eq(client_calls_count, 0);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    arguments = strstr(large_text(), requests[index].head);
    params = client_calls[0].params;
    ck_assert_str_eq(client_calls[0].service, "srv");
    ck_assert_int_eq(strncmp(params, before, size), 0);
    ck_assert_uint_eq(strlen(params + size),
                      strlen(arguments) - 1 - strlen(ways[way].tail)); /* the message's end */
    ck_assert(memcmp(params + size, arguments, strlen(params + size)) == 0);
}
END_TEST

/* Smaller ones are judged, as far as that goes at once: these letters can be grouped in 2^40 ways.
 */
START_TEST(what_takes_too_long_to_judge_is_left_to_its_server)
{
    static const char *const headers[] = {"mcp-protocol-version: 2026-07-28",
                                          "mcp-method: tools/call", "mcp-name: judge__all", NULL};
    static const char *const arguments[] = {"\"x\":[7,7]",
                                            "\"y\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\""};
    struct mn_writer body = {0};
    uint64_t id;

    client_service("judge", true, judged_tools);
    mn_writer_format(&body,
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                     "\"judge__all\"," MODERN_META("") ",\"arguments\":{%s}}}",
                     arguments[_i]);
    id = client_open("POST", "/mcp", headers);
    client_body(id, (const char *)body.buf->bytes, mn_writer_size(&body), true);
    mn_writer_drop(&body);
    ck_assert_uint_eq(client_calls_count, _i == 0 ? 0 : 1);
    if (_i == 0) ck_assert_ptr_nonnull(strstr(client_response(id)->body, "has an item twice"));
}
END_TEST

START_TEST(client_that_leaves_while_it_is_copied_leaves_nothing)
{
    uint64_t id = posted(0, 0);
    struct mcp_stats stats;

    client_at(client_now.mono);
    client_gone(id);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, 0);
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.calls_count, 0);
}
END_TEST

#define BATCH_CALLS 30u /* so many times its size is more than there may be of all bodies */

static void post_batch(const char *session)
{
    char line[400], *body = malloc(REQUEST + 256 * BATCH_CALLS), *end = body;
    const char *const headers[] = {line, NULL};
    uint64_t id;

    ck_assert_ptr_nonnull(body);
    for (uint32_t i = 0; i < BATCH_CALLS; i++)
        end += sprintf(end,
                       "%c{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":"
                       "{\"name\":\"srv__echo\",\"arguments\":{\"x\":\"%0*d\"}}}",
                       i == 0 ? '[' : ',', i, (int)(REQUEST / BATCH_CALLS), 0);
    *end++ = ']';
    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    id = client_open("POST", "/mcp", headers);
    client_body(id, body, LARGE_PIECE, false);
    client_body(id, body + LARGE_PIECE, (size_t)(end - body) - LARGE_PIECE, true);
    free(body);
}

/* However many calls it has: others can post meanwhile, and all of it is given back. */
START_TEST(body_of_a_batch_counts_once)
{
    char session[300], cancel[128];
    uint64_t id;

    strcpy(session, client_initialize("/mcp", "2025-03-26"));
    post_batch(session);
    ck_assert_uint_eq(client_calls_count, 0);
    for (uint32_t i = 0; i < BATCH_CALLS; i += 7) { /* the first one, and some in between */
        snprintf(cancel, sizeof cancel,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
                 "{\"requestId\":%u}}",
                 i);
        ck_assert_uint_eq(client_legacy(session, cancel)->code, 202);
    }
    id = posted(0, 0);
    ck_assert_uint_eq(client_response(id)->code, 0);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, BATCH_CALLS - 5 + 1);
    id = posted(0, 0);
    ck_assert_uint_eq(client_response(id)->code, 0);
}
END_TEST

START_TEST(request_that_is_wrong_says_where)
{
    char *bytes = large_made("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"", "x", REQUEST, "\"]");
    uint64_t id = client_open("POST", "/mcp", NULL);
    char place[64];

    client_body(id, bytes, REQUEST, false);
    client_body(id, bytes + REQUEST, strlen(bytes) - REQUEST, true);
    snprintf(place, sizeof place, "(at byte %zu)", strlen(bytes) - 1);
    ck_assert_uint_eq(client_response(id)->code, 400);
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, place));
}
END_TEST

/* The answer comes late, when its response is a stream already. */
START_TEST(stream_gets_it_in_slices)
{
    const char *session = client_initialize("/mcp", "2025-06-18");
    uint64_t id = client_legacy(session, CALL_LEGACY)->id;

    client_at(client_now.mono + 20 * MN_SEC);
    ck_assert(client_response(id)->is_stream);
    client_forget(id);
    work_reset();
    client_result(ticket(), result(0));
    large_work_off();
    ck_assert(client_response(id)->is_ended);
    assert_answer(client_response(id),
                  "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":", 0, "}\n\n");
}
END_TEST

START_TEST(legacy_client_gets_its_own_shape)
{
    const char *session = client_initialize("/mcp", "2025-06-18");
    uint64_t id = client_legacy(session, CALL_LEGACY)->id;
    const char *tail = "AAAA\",\"structuredContent\":{\"result\":[1]}}}";
    const struct client_response *response;

    work_reset();
    client_result(ticket(), large_made("{\"resultType\":\"complete\",\"content\":[],\"x\":\"", "A",
                                       LARGE, "\",\"structuredContent\":[1]}"));
    large_work_off();
    response = client_response(id);
    ck_assert(response->is_ended);
    ck_assert_ptr_nonnull(strstr(
        response->body, "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"content\":[],\"x\":\"A"));
    ck_assert_str_eq(response->body + response->body_size - strlen(tail), tail);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
}
END_TEST

/* All of it was space behind what such clients do not get: what is left can be had again. */
START_TEST(what_becomes_small_is_an_answer_as_any)
{
    const char *session = client_initialize("/mcp", "2025-06-18");
    uint64_t id = client_legacy(session, CALL_LEGACY)->id;
    char line[400];
    const char *const headers[] = {line, "last-event-id: p1-0", NULL};

    client_at(client_now.mono + 20 * MN_SEC);
    client_forget(id);
    client_result(ticket(),
                  large_made("{\"resultType\":\"complete\",", " ", LARGE, "\"content\":[]}"));
    large_work_off();
    client_assert_body(client_response(id), "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":5,"
                                            "\"result\":{\"content\":[]}}\n\n");
    ck_assert(client_response(id)->is_ended);
    snprintf(line, sizeof line, "mcp-session-id: %s", session);
    ck_assert_ptr_nonnull(
        strstr(client_send("GET", "/mcp", headers, NULL)->body, "\"result\":{\"content\":[]}}"));
}
END_TEST

/* Another node said it: its word is not enough. */
START_TEST(what_is_no_json_goes_to_nobody)
{
    uint64_t id = asked_modern();

    client_result(ticket(), large_made(IMAGE_HEAD, "A", LARGE, "\"}]"));
    large_work_off();
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, "not usable JSON"));
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
}
END_TEST

START_TEST(client_that_leaves_meanwhile_leaves_nothing)
{
    uint64_t id = asked_modern();
    struct mcp_stats stats;

    client_result(ticket(), result(0));
    client_at(client_now.mono);
    client_gone(id);
    large_work_off();
    front_stats(client_front, &stats);
    ck_assert_uint_eq(stats.calls_count, 0);
    ck_assert_uint_eq(stats.exchanges_count, 0);
}
END_TEST

/* So many large answers at once. */
static void answered_together(uint64_t *ids, int count)
{
    result(0);
    for (int i = 0; i < count; i++) {
        ids[i] = asked_modern();
        client_result(ticket(), large_text());
    }
}

/* While many wait the oldest is hurried, but not in one step. */
START_TEST(many_that_wait_are_handled_in_larger_slices)
{
    enum { COUNT = 6, TICKS = (int)(LARGE >> 18) + 2 };
    uint64_t ids[COUNT];

    work_reset();
    answered_together(ids, COUNT);
    ck_assert(!client_response(ids[0])->is_ended);
    for (int i = 0; i < TICKS; i++)
        client_at(client_now.mono);
    ck_assert(client_response(ids[0])->is_ended);
    ck_assert(!client_response(ids[1])->is_ended);
    large_work_off();
    for (int i = 0; i < COUNT; i++)
        ck_assert(client_response(ids[i])->is_ended);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
}
END_TEST

/* More than may wait: those that came first are not let wait any longer. */
START_TEST(memory_of_those_that_wait_is_bounded)
{
    enum { COUNT = 7 };
    uint64_t ids[COUNT];

    answered_together(ids, COUNT);
    ck_assert(client_response(ids[0])->is_ended);
    ck_assert(!client_response(ids[1])->is_ended);
    large_work_off();
    for (int i = 0; i < COUNT; i++)
        ck_assert(client_response(ids[i])->is_ended);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large");
    TCase *from = tcase_create("from servers"), *to = tcase_create("to clients");

    tcase_set_timeout(from, 60);
    tcase_set_timeout(to, 60);
    tcase_add_checked_fixture(from, NULL, large_done);
    tcase_add_loop_test(from, body_is_handled_as_it_comes, 0, RESULTS_COUNT);
    tcase_add_loop_test(from, event_is_handled_as_it_comes, 0, RESULTS_COUNT);
    tcase_add_loop_test(from, line_is_handled_as_it_comes, 0, RESULTS_COUNT);
    tcase_add_loop_test(from, result_of_a_task_of_ours_is_not_copied, 0, 4);
    tcase_add_test(from, what_is_wrong_in_the_end_is_no_answer);
    tcase_add_checked_fixture(to, front_setup, front_teardown);
    tcase_add_loop_test(to, modern_client_gets_it_in_slices, 0, RESULTS_COUNT);
    tcase_add_loop_test(to, legacy_client_gets_it_in_slices, 0, 4);
    tcase_add_loop_test(to, old_client_gets_what_it_knows, 0, 10);
    tcase_add_loop_test(to, request_is_handled_in_slices, 0, WAYS_COUNT * REQUESTS_COUNT);
    tcase_add_loop_test(to, what_takes_too_long_to_judge_is_left_to_its_server, 0, 2);
    tcase_add_test(to, client_that_leaves_while_it_is_copied_leaves_nothing);
    tcase_add_test(to, body_of_a_batch_counts_once);
    tcase_add_test(to, request_that_is_wrong_says_where);
    tcase_add_test(to, stream_gets_it_in_slices);
    tcase_add_test(to, legacy_client_gets_its_own_shape);
    tcase_add_test(to, what_becomes_small_is_an_answer_as_any);
    tcase_add_test(to, what_is_no_json_goes_to_nobody);
    tcase_add_test(to, client_that_leaves_meanwhile_leaves_nothing);
    tcase_add_test(to, many_that_wait_are_handled_in_larger_slices);
    tcase_add_test(to, memory_of_those_that_wait_is_bounded);
    suite_add_tcase(suite, from);
    suite_add_tcase(suite, to);
    return suite_run(suite);
}
