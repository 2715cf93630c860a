/* Large questions of servers, and large answers of clients to them, at the node of the server: no
 * step handles much of one. Counted in bytes (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/large.h"
#include "tests/mcp/upstream_world.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define ANSWER ((size_t)15 << 20)
#define ASKED \
    "\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\",\"params\":{\"n\":1}}}"
#define ECHO "{\"name\":\"echo\",\"arguments\":{}}"
#define SAMPLE "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"sampling/createMessage\",\"params\":{}}"
#define HANDLE "0123456789abcdef"
#define LIVE                                                                \
    (&(struct world_call){.ticket = 7,                                      \
                          .service = "s",                                   \
                          .params = ECHO,                                   \
                          .capabilities = "{\"sampling\":{},\"roots\":{}}", \
                          .session = "ann",                                 \
                          .orphan = mn_span_str(HANDLE),                    \
                          .is_live = true})

static struct world w;

static const struct {
    const char *head, *unit, *tail;
} answers[] = {
    {"{\"data\":\"", "A", "\"}"},
    {"{\"x\":[0", ",\r\n1", "]}"},
    {"{\"text\":\"", "\\n\\u00e9\xc3\xa9", "\"}"},
};
#define ANSWERS_COUNT (int)(sizeof answers / sizeof *answers)

static char *answer(int index)
{
    return large_made(answers[index].head, answers[index].unit, ANSWER, answers[index].tail);
}

static void setup(void)
{
    world_init(&w);
}

static void teardown(void)
{
    world_done(&w);
    large_done();
}

static const char *line_with(const char *part)
{
    const char *line;

    do
        line = world_line(&w);
    while (line != NULL && strstr(line, part) == NULL);
    return line;
}

/* The call in a session of its own, with its question open; the key of that. */
static const char *up_asking(void)
{
    world_up_legacy(&w, "s");
    world_call(&w, LIVE);
    world_answer(&w, line_with("initialize"), WORLD_LEGACY);
    ck_assert_ptr_nonnull(line_with("tools/call"));
    world_say(&w, SAMPLE "\n");
    return world_event(&w)->key;
}

/* It asks by its result, and its client is one that is asked while its call runs. */
static const char *up_modern_asking(void)
{
    world_up_modern(&w, "s");
    world_call(&w, LIVE);
    world_answer(&w, world_line(&w),
                 "{\"resultType\":\"input_required\",\"requestState\":\"mine\"," ASKED "}");
    return world_event(&w)->key;
}

/* What [line] has behind [head], and before [tail], is [text] on one line. */
static void assert_line(const char *line, const char *head, const char *text, const char *tail)
{
    ck_assert_ptr_nonnull(line);
    ck_assert_int_eq(strncmp(line, head, strlen(head)), 0);
    ck_assert_uint_eq(strlen(line), strlen(head) + strlen(text) + strlen(tail));
    line += strlen(head);
    for (size_t i = 0; text[i] != '\0'; i++)
        if (line[i] != (text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]))
            ck_abort_msg("byte %zu differs", i);
    ck_assert_str_eq(line + strlen(text), tail);
}

START_TEST(answer_goes_to_a_legacy_server_in_slices)
{
    const char *key = up_asking();

    work_reset();
    world_input(&w, 7, key, answer(_i), 0);
    ck_assert_ptr_null(world_line(&w));
    world_input(&w, 7, key, "{}", 0); /* once only */
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    assert_line(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":", large_text(), "}");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(answer_that_is_no_object_is_refused)
{
    const char *key = up_asking();

    world_input(&w, 7, key, large_made("{\"data\":\"", "A", ANSWER, _i == 0 ? "\"]" : "\""), 0);
    world_work_off(&w);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"id\":8,\"error\":{\"code\":-32603"));
}
END_TEST

/* While it is checked, and while it is copied. */
START_TEST(server_that_goes_meanwhile_is_not_answered)
{
    world_input(&w, 7, up_asking(), answer(0), 0);
    for (int i = 0; i < _i; i++)
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    world_exit(&w, 1);
    world_work_off(&w);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* Seen where memory is watched. */
START_TEST(node_that_ends_meanwhile_leaves_nothing)
{
    world_input(&w, 7, _i == 0 ? up_asking() : up_modern_asking(), answer(0), 0);
    world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), 0);
}
END_TEST

/* Of many at once, as many as may wait; the server reads none. */
START_TEST(answers_that_wait_for_a_server_are_bounded)
{
    const char *keys[UPSTREAM_QUESTIONS_MAX];
    char *text;

    keys[0] = up_asking();
    for (uint32_t i = 1; i < UPSTREAM_QUESTIONS_MAX; i++) {
        world_say(&w, SAMPLE "\n");
        keys[i] = world_event(&w)->key;
    }
    text = answer(0);
    for (uint32_t i = 0; i < UPSTREAM_QUESTIONS_MAX; i++)
        world_input(&w, 7, keys[i], text, 0);
    world_work_off(&w);
    ck_assert_uint_ge(mn_writer_size(&world_child(&w)->in), 2 * ANSWER);
    ck_assert_uint_le(mn_writer_size(&world_child(&w)->in), 4 * ANSWER);
}
END_TEST

START_TEST(answer_of_a_round_goes_to_a_legacy_server_in_slices)
{
    struct world_call call = {
        .ticket = 7, .service = "s", .params = ECHO, .capabilities = "{\"sampling\":{}}"};
    char *params, *begin, *end;

    world_up_legacy(&w, "s");
    world_call(&w, &call);
    world_answer(&w, line_with("initialize"), WORLD_LEGACY);
    ck_assert_ptr_nonnull(line_with("tools/call"));
    world_say(&w, SAMPLE "\n");
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    call.ticket = 9;
    call.resume = world_event(&w)->resume;
    params = large_made("{\"name\":\"echo\",\"inputResponses\":{\"sampling-1\":{\"data\":\"", "A",
                        ANSWER, "\"}}}");
    call.params = params;
    work_reset();
    world_call(&w, &call);
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    begin = strstr(params, "{\"data\"");
    end = begin + strlen(begin) - 2;
    *end = '\0';
    assert_line(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":", begin, "}");
}
END_TEST

/* ---- questions, at the node of the server ---- */

/* A child writes that line. */
static void said(const char *head, const char *tail)
{
    const char *bytes = large_made(head, "A", LARGE, tail);

    work_reset();
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        world_say_bytes(&w, 1, mn_span(bytes, size));
    }
}

#define ASKS "{\"method\":\"sampling/createMessage\",\"params\":{\"task\":1,\"data\":\""
#define ASKS_TAIL "\"},\"jsonrpc\":\"2.0\",\"id\":9}\n"

/* It stays where it is, and is copied once: for the mesh. */
START_TEST(question_of_a_legacy_server_is_copied_once)
{
    struct world_call second = *LIVE;
    const struct world_event *event;

    (void)up_asking();
    said(ASKS, ASKS_TAIL);
    ck_assert_uint_le(work_worst(), LARGE + LARGE_STEP_MAX);
    event = world_event(&w);
    ck_assert_str_eq(event->what, "question");
    ck_assert_str_eq(event->message, "sampling/createMessage");
    large_assert(event->json, "{\"task\":1,\"data\":\"", "A", LARGE, "\"}");
    /* The call it was put down to ends: another one of that client has it, and is told. */
    second.ticket = 8;
    world_call(&w, &second);
    said(ASKS, ASKS_TAIL);
    ck_assert_uint_eq(world_event(&w)->ticket, 8);
    world_cancel(&w, 8);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 7);
    large_assert(event->json, "{\"task\":1,\"data\":\"", "A", LARGE, "\"}");
}
END_TEST

/* A client that is asked by a result gets no task to make, and then it is copied once more before.
 */
START_TEST(question_that_ends_a_round_is_copied_once)
{
    const struct world_event *event;

    world_up_legacy(&w, "s");
    world_call(
        &w, &(struct world_call){
                .ticket = 7, .service = "s", .params = ECHO, .capabilities = "{\"sampling\":{}}"});
    world_answer(&w, line_with("initialize"), WORLD_LEGACY);
    ck_assert_ptr_nonnull(line_with("tools/call"));
    said(_i == 0 ? "{\"method\":\"sampling/createMessage\",\"params\":{\"data\":\"" : ASKS,
         ASKS_TAIL);
    world_pass(&w, UPSTREAM_QUESTION_COLLECT);
    ck_assert_uint_le(work_worst(), LARGE + LARGE_STEP_MAX);
    event = world_event(&w);
    ck_assert_uint_eq(event->resume.size, UPSTREAM_HANDLE_SIZE);
    large_assert(event->json,
                 "{\"resultType\":\"input_required\",\"inputRequests\":{\"sampling-1\":{\"method\":"
                 "\"sampling/createMessage\",\"params\":{\"data\":\"",
                 "A", LARGE, "\"}}}}");
}
END_TEST

/* Looked at twice, and copied once, for a client that is asked while its call runs. */
START_TEST(round_of_a_modern_server_is_copied_once)
{
    const struct world_event *event;
    char head[200];

    world_up_modern(&w, "s");
    world_call(&w, LIVE);
    snprintf(
        head, sizeof head,
        "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"input_required\","
        "\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\",\"params\":{\"data\":\"",
        (unsigned long long)world_id(world_line(&w)));
    said(head, "\"}}}}}\n");
    ck_assert_uint_le(work_worst(), 3 * LARGE + LARGE_STEP_MAX);
    event = world_event(&w);
    ck_assert_str_eq(event->key, "k");
    large_assert(event->json, "{\"data\":\"", "A", LARGE, "\"}");
}
END_TEST

START_TEST(answer_goes_to_a_modern_server_in_slices)
{
    const char *key = up_modern_asking(), *line, *begin;

    work_reset();
    world_input(&w, 7, key, answer(_i), 0);
    ck_assert_ptr_null(world_line(&w));
    world_input(&w, 7, key, "{}", 0); /* once only */
    world_work_off(&w);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    line = world_line(&w);
    ck_assert_ptr_nonnull(line);
    begin = strstr(line, ",\"inputResponses\"");
    assert_line(begin, ",\"inputResponses\":{\"k\":", large_text(),
                strstr(begin, "},\"requestState\":\"mine\""));
    world_answer(&w, line, "{\"resultType\":\"complete\",\"content\":[]}");
    ck_assert_str_eq(world_event(&w)->what, "result");
}
END_TEST

START_TEST(answer_to_a_modern_server_that_is_no_object_is_an_error)
{
    const char *key = up_modern_asking();

    world_input(&w, 7, key, large_made("[\"", "A", ANSWER, "\"]"), 0);
    world_work_off(&w);
    ck_assert_str_eq(world_event(&w)->what, "error");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

#define ASKED_TWO                                            \
    "{\"resultType\":\"input_required\",\"inputRequests\":{" \
    "\"a\":{\"method\":\"sampling/createMessage\"},\"b\":{\"method\":\"roots/list\"}}}"

/* What another node says is no reason to ask the server twice. */
START_TEST(answer_to_what_was_answered_is_nothing)
{
    world_up_modern(&w, "s");
    world_call(&w, LIVE);
    world_answer(&w, world_line(&w), ASKED_TWO);
    world_input(&w, 7, "a", "{\"x\":1}", 0);
    world_input(&w, 7, "a", answer(0), 0);
    world_input(&w, 7, "b", "{\"x\":2}", 0);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "\"inputResponses\":{\"a\":{\"x\":1},\"b\":{"));
    world_work_off(&w);
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

/* The node that it came through is lost while it is checked: its client is not asked again. */
START_TEST(answer_is_kept_for_who_comes_for_the_call)
{
    world_up_modern(&w, "s");
    world_call(&w, LIVE);
    world_answer(&w, world_line(&w), ASKED_TWO);
    world_event(&w);
    world_event(&w);
    world_input(&w, 7, "a", answer(0), 0);
    world_lose(&w, 7);
    world_call(&w, &(struct world_call){.ticket = 8,
                                        .service = "s",
                                        .params = "{}",
                                        .session = "ann",
                                        .is_live = true,
                                        .resume = mn_span_str(HANDLE)});
    ck_assert_str_eq(world_event(&w)->what, "");
    ck_assert_str_eq(world_event(&w)->key, "b");
    ck_assert_ptr_null(world_event(&w));
    world_work_off(&w);
    world_input(&w, 8, "b", "{}", 0);
    world_work_off(&w);
    ck_assert_ptr_nonnull(strstr(world_line(&w), "AAA\"},\"b\":{}}"));
}
END_TEST

/* The child that it was written to first is gone; the next one answers what it was not asked yet.
 */
START_TEST(server_that_answers_ahead_has_read_nothing)
{
    struct world_call call = *LIVE;
    uint64_t id;

    call.params = answer(0);
    world_up_modern(&w, "s");
    world_call(&w, &call);
    world_work_off(&w);
    world_answer(&w, line_with("tools/call"), "{\"resultType\":\"input_required\"," ASKED "}");
    world_exit(&w, 1);
    world_pass(&w, 2 * MN_SEC);
    world_answer(&w, world_line(&w), WORLD_MODERN);
    id = world_id(line_with("tools/list"));
    world_say(&w, world_format(&w, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}\n",
                               (unsigned long long)id, world_tools_result(&w, WORLD_TOOLS)));
    world_input(&w, 7, "k", "{}", 0);
    ck_assert_ptr_null(line_with("tools/call"));
    ck_assert_str_eq(world_event(&w)->what, "question");
    ck_assert_ptr_null(world_event(&w));
    world_say(&w, world_format(&w,
                               "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":"
                               "{\"resultType\":\"complete\",\"content\":[]}}\n",
                               (unsigned long long)id + 1));
    ck_assert_str_eq(world_event(&w)->what, "result");
    ck_assert_uint_gt(upstreams_deadline(w.upstreams), w.now.mono);
}
END_TEST

/* While it is checked, and while it is copied. */
START_TEST(call_that_is_given_up_leaves_nothing)
{
    world_input(&w, 7, up_modern_asking(), answer(0), 0);
    for (int i = 0; i < _i; i++)
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    ck_assert_uint_eq(upstreams_deadline(w.upstreams), 0);
    world_cancel(&w, 7);
    ck_assert_uint_gt(upstreams_deadline(w.upstreams), w.now.mono);
    ck_assert_ptr_null(line_with("inputResponses"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large replies");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_loop_test(all, answer_goes_to_a_legacy_server_in_slices, 0, ANSWERS_COUNT);
    tcase_add_loop_test(all, answer_that_is_no_object_is_refused, 0, 2);
    tcase_add_loop_test(all, server_that_goes_meanwhile_is_not_answered, 0, 1);
    tcase_add_loop_test(all, server_that_goes_meanwhile_is_not_answered, 500, 501);
    tcase_add_loop_test(all, node_that_ends_meanwhile_leaves_nothing, 0, 2);
    tcase_add_test(all, answers_that_wait_for_a_server_are_bounded);
    tcase_add_test(all, answer_of_a_round_goes_to_a_legacy_server_in_slices);
    tcase_add_test(all, question_of_a_legacy_server_is_copied_once);
    tcase_add_loop_test(all, question_that_ends_a_round_is_copied_once, 0, 2);
    tcase_add_test(all, round_of_a_modern_server_is_copied_once);
    tcase_add_loop_test(all, answer_goes_to_a_modern_server_in_slices, 0, ANSWERS_COUNT);
    tcase_add_test(all, answer_to_a_modern_server_that_is_no_object_is_an_error);
    tcase_add_test(all, answer_to_what_was_answered_is_nothing);
    tcase_add_test(all, answer_is_kept_for_who_comes_for_the_call);
    tcase_add_test(all, server_that_answers_ahead_has_read_nothing);
    tcase_add_loop_test(all, call_that_is_given_up_leaves_nothing, 0, 1);
    tcase_add_loop_test(all, call_that_is_given_up_leaves_nothing, 500, 501);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
