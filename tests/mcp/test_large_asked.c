/* Large requests at the node that serves them: no step handles much of one. Counted in bytes
 * (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/large.h"
#include "tests/mcp/upstream_world.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define REQUEST ((size_t)15 << 20)
#define FIRST_TICKET 7

static struct world w;

static const struct {
    const char *head, *unit, *tail;
} params[] = {
    {"{\"name\":\"echo\",\"arguments\":{\"text\":\"", "A", "\"}}"},
    {"{\"name\":\"echo\",\"arguments\":{\"x\":[0", ",1", "]}}"},
    {"{\"arguments\":{\"text\":\"", "\\n\\u00e9\xc3\xa9", "\"},\"name\":\"echo\"}"},
    {"{\"name\":\"echo\",\"arguments\":{\"x\":[0", ",\r\n1", "]}}"},
};
#define PARAMS_COUNT (int)(sizeof params / sizeof *params)

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    world_done(&w);
    large_done();
}

static const char *sent_line(void)
{
    const char *line;

    do
        line = world_line(&w);
    while (line != NULL && strstr(line, "tools/call") == NULL);
    return line;
}

static struct world_fetch *sent_fetch(void)
{
    struct world_fetch *fetch;

    do
        fetch = world_fetch(&w);
    while (fetch != NULL && strstr(fetch->body, "tools/call") == NULL);
    return fetch;
}

static void call(const char *text)
{
    work_reset();
    world_call(&w, &(struct world_call){.ticket = FIRST_TICKET, .service = "s", .params = text});
}

/* What it is answered, some ticks later, if it never got so far. */
static void assert_refused(const char *text, const char *what)
{
    struct world_event *event;

    call(text);
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->what, "error");
    ck_assert_ptr_nonnull(strstr(event->message, what));
}

START_TEST(child_gets_it_in_one_line)
{
    const char *line;
    char *text;

    world_up_legacy(&w, "s");
    text = large_made(params[_i].head, params[_i].unit, REQUEST, params[_i].tail);
    call(text);
    ck_assert_ptr_null(sent_line());
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    line = sent_line();
    ck_assert_ptr_nonnull(line);
    for (char *at = text; *at != '\0'; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
    line = strstr(line, "\"params\":") + strlen("\"params\":");
    ck_assert(memcmp(line, text, strlen(text)) == 0);
    ck_assert_str_eq(line + strlen(text), "}");
}
END_TEST

START_TEST(url_gets_it_as_it_is)
{
    struct world_fetch *fetch;
    const char *text, *body;

    world_up_http(&w, "s");
    text = large_made(params[_i].head, params[_i].unit, REQUEST, params[_i].tail);
    call(text);
    ck_assert_ptr_null(sent_fetch());
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    fetch = sent_fetch();
    ck_assert_ptr_nonnull(fetch);
    body = strstr(fetch->body, "\"params\":") + strlen("\"params\":");
    ck_assert(memcmp(body, text, strlen(text)) == 0);
    ck_assert_str_eq(body + strlen(text), "}");
    world_reply_result(&w, fetch, "{\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

/* A modern server gets our members of _meta behind the client's. */
START_TEST(modern_server_gets_it_with_what_is_ours)
{
    struct world_fetch *fetch;

    world_up_http_modern(&w, "s");
    call(large_made("{\"_meta\":{\"x\":1},\"name\":\"echo\",\"arguments\":{\"text\":\"", "A",
                    REQUEST, "\"}}"));
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    fetch = sent_fetch();
    ck_assert_ptr_nonnull(fetch);
    ck_assert_ptr_nonnull(strstr(
        fetch->body, "AAA\"},\"_meta\":{\"x\":1,\"io.modelcontextprotocol/protocolVersion\""));
    ck_assert_str_eq(world_header(&w, fetch, "mcp-name"), "echo");
}
END_TEST

START_TEST(what_is_no_object_is_refused)
{
    char *text;

    world_up_http(&w, "s");
    text = large_made(params[0].head, "A", REQUEST, params[0].tail);
    text[strlen(text) - 1] = ']';
    assert_refused(text, "params must be a JSON object");
    assert_refused(large_made("[\"", "A", REQUEST, "\"]"), "params must be a JSON object");
    assert_refused(large_made("{\"x\":[", "1,", REQUEST, "0,]}"), "params must be a JSON object");
}
END_TEST

/* A session that the server has forgotten: the same again in a new one, without being checked
 * again. */
START_TEST(it_can_be_sent_once_more)
{
    struct world_fetch *fetch;
    char reply[1024];

    world_up_http(&w, "s");
    world_head(&w, world_fetch(&w), 200, "text/event-stream", NULL);
    world_pass(&w, 10 * MN_SEC); /* its session has lasted */
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    world_work_off(&w);
    world_reply(&w, sent_fetch(), 404, NULL, NULL);
    while ((fetch = world_fetch(&w)) != NULL && strstr(fetch->body, "\"initialize\"") == NULL)
        continue;
    world_head(&w, fetch, 200, "application/json", "sess-2");
    snprintf(reply, sizeof reply, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
             (unsigned long long)world_id(fetch->body), WORLD_LEGACY);
    world_body(&w, fetch, reply);
    world_end(&w, fetch, MN_OK, "");
    world_reply(&w, world_fetch(&w), 202, NULL, NULL);
    world_reply_result(&w, world_fetch(&w), world_tools_result(&w, WORLD_TOOLS));
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    fetch = sent_fetch();
    ck_assert_ptr_nonnull(fetch);
    ck_assert_uint_gt(strlen(fetch->body), REQUEST);
}
END_TEST

/* A node that has much to do, and a server that is ready all the time. */
START_TEST(it_waits_for_a_busy_node)
{
    world_up_legacy(&w, "s");
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    for (int i = 0; i < 3; i++) {
        w.now.mono += MN_MINUTE;
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
        ck_assert_ptr_null(world_event(&w));
    }
    world_work_off(&w);
    ck_assert_ptr_nonnull(sent_line());
}
END_TEST

/* But no longer than a call of that server may. */
START_TEST(it_does_not_wait_for_ever)
{
    const struct mn_span argv[] = {mn_span_str("tool")};
    const struct world_event *event;

    ck_assert_int_eq(world_add(&w, &(struct upstream_config){.name = mn_span_str("s"),
                                                             .argv = argv,
                                                             .argv_count = 1,
                                                             .era = UPSTREAM_ERA_MODERN,
                                                             .call_timeout = 10 * MN_SEC}),
                     MN_OK);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    world_answer(&w, world_line(&w), world_tools_result(&w, WORLD_TOOLS));
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    w.now.mono += 11 * MN_SEC;
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(event->text, "could not be asked in time"));
}
END_TEST

/* It was checked while its server was away: that gets no more time than for any other call. */
START_TEST(checked_one_waits_for_its_server_as_any_other)
{
    const struct world_event *event;

    world_up_legacy(&w, "s");
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    world_exit(&w, 1);
    world_work_off(&w);
    ck_assert_ptr_null(world_event(&w));
    world_pass(&w, 3 * MN_SEC); /* it is started again, and says nothing */
    event = world_event(&w);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(event->failure, CALL_UNAVAILABLE);
}
END_TEST

/* While it is checked, and while it is copied. */
START_TEST(call_that_is_given_up_leaves_nothing)
{
    world_up_http(&w, "s");
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    for (int i = 0; i < _i; i++)
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), 0);
    world_cancel(&w, FIRST_TICKET);
    ck_assert_uint_gt(upstreams_deadline(w.upstreams), w.now.mono);
    ck_assert_ptr_null(sent_fetch());
}
END_TEST

START_TEST(server_that_goes_meanwhile_takes_it_along)
{
    world_up_legacy(&w, "s");
    call(large_made(params[0].head, "A", REQUEST, params[0].tail));
    for (int i = 0; i < 500; i++) /* it is being copied by now */
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    world_exit(&w, 1);
    ck_assert_int_eq(world_event(&w)->kind, CALL_EVENT_FAILED);
    ck_assert_uint_gt(upstreams_deadline(w.upstreams), w.now.mono);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large requests");
    TCase *tc = tcase_create("served");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, child_gets_it_in_one_line, 0, PARAMS_COUNT);
    tcase_add_loop_test(tc, url_gets_it_as_it_is, 0, PARAMS_COUNT);
    tcase_add_test(tc, modern_server_gets_it_with_what_is_ours);
    tcase_add_test(tc, what_is_no_object_is_refused);
    tcase_add_test(tc, it_can_be_sent_once_more);
    tcase_add_test(tc, it_waits_for_a_busy_node);
    tcase_add_test(tc, it_does_not_wait_for_ever);
    tcase_add_test(tc, checked_one_waits_for_its_server_as_any_other);
    tcase_add_loop_test(tc, call_that_is_given_up_leaves_nothing, 0, 1);
    tcase_add_loop_test(tc, call_that_is_given_up_leaves_nothing, 500, 501);
    tcase_add_test(tc, server_that_goes_meanwhile_takes_it_along);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
