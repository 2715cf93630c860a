/* Large questions of servers, and large answers of clients to them, at the node of the client: no
 * step handles much of one. Counted in bytes (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define ANSWER ((size_t)15 << 20)
#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"sampling\":{}}}"
#define ASKED \
    "\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\",\"params\":{\"n\":1}}}"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
}

static void teardown(void)
{
    client_teardown();
    large_done();
}

/* Posts [bytes] as they come; [path] of a modern client's call, unless [line] names a session. */
static uint64_t posted(const char *path, const char *line, const char *bytes)
{
    const char *const modern[] = {"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call",
                                  "mcp-name: t", NULL};
    const char *const legacy[] = {line, NULL};
    uint64_t id = client_open("POST", path, line == NULL ? modern : legacy);

    work_reset();
    for (size_t left = strlen(bytes), size; left > 0; bytes += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        client_body(id, bytes, size, size == left);
    }
    return id;
}

/* What stands in a response as requestState. */
static const char *state_of(const struct client_response *response, char to[4096])
{
    const char *begin = strstr(response->body, "\"requestState\":\"");

    ck_assert_ptr_nonnull(begin);
    snprintf(to, 4096, "%.*s", (int)strcspn(begin + 16, "\""), begin + 16);
    return to;
}

/* ---- answers, at the node of the client ---- */

START_TEST(next_round_is_copied_in_slices)
{
    static const char begin[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
        "{\"name\":\"t\",\"arguments\":{\"a\":1}," META;
    static const char *const units[] = {"A", "\\n\\u00e9\xc3\xa9"};
    char state[4096], head[8192], first[1024], *answers;
    uint64_t id;

    snprintf(first, sizeof first, "%s}}", begin);
    id = posted("/mcp/servers/srv", NULL, first);
    client_result(1, "{\"resultType\":\"input_required\",\"requestState\":\"mine\"," ASKED "}");
    snprintf(head, sizeof head, "%s,\"requestState\":\"%s\",\"inputResponses\":{\"k\":{\"data\":\"",
             begin, state_of(client_response(id), state));
    id = posted("/mcp/servers/srv", NULL, large_made(head, units[_i], ANSWER, "\"}}}}"));
    ck_assert_uint_eq(client_calls_count, 1);
    large_work_off();
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_uint_eq(client_calls[1].node.bytes[0], 9);
    ck_assert(!client_calls[1].is_idempotent);
    answers = strstr(large_text(), ",\"inputResponses\"");
    answers[strlen(answers) - 1] = '\0'; /* the end of the message */
    head[snprintf(head, sizeof head,
                  "{\"name\":\"t\",\"arguments\":{\"a\":1},\"requestState\":\"mine\"")] = '\0';
    ck_assert_int_eq(strncmp(client_calls[1].params, head, strlen(head)), 0);
    ck_assert_str_eq(client_calls[1].params + strlen(head), answers);
    /* It is a round as any: the server may ask again. */
    work_reset();
    client_result(client_calls[1].ticket,
                  "{\"resultType\":\"input_required\",\"requestState\":\"more\"," ASKED "}");
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, "\"requestState\":\""));
}
END_TEST

/* Asks the client of a session; the id of the question. */
static unsigned long long asked(const char *session, char line[400])
{
    unsigned long long id;
    uint64_t call;

    snprintf(line, 400, "mcp-session-id: %s", session);
    call = posted("/mcp", line,
                  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
                  "\"srv__t\"}}");
    client_question(1, "k-1", "sampling/createMessage", "{}");
    ck_assert_int_eq(sscanf(strstr(client_response(call)->body, "\"id\":"), "\"id\":%llu", &id), 1);
    return id;
}

/* In the order in which the SDK writes it, too. */
START_TEST(response_is_copied_in_slices)
{
    char line[400], head[200], tail[200];
    unsigned long long id = asked(client_initialize("/mcp", "2025-11-25"), line);
    const char *result;
    uint64_t post;

    snprintf(head, sizeof head,
             _i == 0 ? "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"data\":\""
                     : "{\"result\":{\"data\":\"",
             id);
    snprintf(tail, sizeof tail, _i == 0 ? "\"}}" : "\"},\"jsonrpc\":\"2.0\",\"id\":%llu}", id);
    post = posted("/mcp", line, large_made(head, "\\n\xc3\xa9", ANSWER, tail));
    ck_assert_uint_eq(client_response(post)->code, 202);
    ck_assert_uint_eq(client_input.ticket, 0);
    large_work_off();
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert_uint_eq(client_input.ticket, 1);
    ck_assert_str_eq(client_input.key, "k-1");
    result = strstr(large_text(), "{\"data\"");
    ck_assert_uint_eq(strlen(client_input.result), ANSWER + strlen("{\"data\":\"\"}"));
    ck_assert(memcmp(client_input.result, result, strlen(client_input.result)) == 0);
}
END_TEST

/* Of the one revision that has batches; front_check() counts its body. */
START_TEST(responses_of_a_batch_are_copied_one_after_the_other)
{
    char line[400], key[16], *body = malloc(ANSWER + 4096), *at = body;
    unsigned long long id = asked(client_initialize("/mcp", "2025-03-26"), line);

    ck_assert_ptr_nonnull(body);
    for (int i = 2; i <= 16; i++) {
        snprintf(key, sizeof key, "k-%d", i);
        client_question(1, key, "sampling/createMessage", "{}");
    }
    for (int i = 0; i < 16; i++, id++) {
        at += sprintf(at, "%s{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"data\":\"",
                      i == 0 ? "[" : ",", id);
        memset(at, 'A', ANSWER / 16);
        at += ANSWER / 16;
        at += sprintf(at, "\"}}");
    }
    sprintf(at, "]");
    ck_assert_uint_eq(client_response(posted("/mcp", line, body))->code, 202);
    free(body);
    large_work_off();
    ck_assert_str_eq(client_input.key, "k-16");
    ck_assert_uint_eq(strlen(client_input.result), ANSWER / 16 + strlen("{\"data\":\"\"}"));
}
END_TEST

START_TEST(response_to_a_call_that_is_over_goes_nowhere)
{
    char line[400], head[200];
    unsigned long long id = asked(client_initialize("/mcp", "2025-11-25"), line);

    snprintf(head, sizeof head, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"data\":\"", id);
    posted("/mcp", line, large_made(head, "A", ANSWER, "\"}}"));
    client_at(client_now.mono);
    client_result(1, "{\"content\":[]}");
    large_work_off();
    ck_assert_uint_eq(client_input.ticket, 0);
}
END_TEST

/* ---- questions, at the node of the client ---- */

#define PICTURE "{\"x\":1 ,\"data\":\""
#define SRV "\"_meta\":{\"meshnode/server\":\"srv\""

/* What the client is asked, behind its id, by what its server asks. */
static const struct {
    const char *path, *name, *head, *unit, *tail, *said, *said_tail;
} questions[] = {
    {"/mcp/servers/srv", "t", PICTURE, "A", "\"}", PICTURE, "\"}"},
    {"/mcp", "srv__t", PICTURE, "A", "\"}", "{" SRV "},\"x\":1,\"data\":\"", "\"}"},
    {"/mcp", "srv__t", "{\"_meta\":{\"a\":1},\"data\":\"", "\\n\xc3\xa9", "\"}",
     "{" SRV ",\"a\":1},\"data\":\"", "\"}"},
    {"/mcp/servers/srv", "t", "{\"x\":[0", ",\n1", "]}", "{\"x\":[0", "]}"},
};
#define QUESTIONS_COUNT (int)(sizeof questions / sizeof *questions)

static uint64_t call_live(const char *path, const char *name, char line[400])
{
    char body[200];

    snprintf(line, 400, "mcp-session-id: %s", client_initialize(path, "2025-11-25"));
    snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"}}",
        name);
    return posted(path, line, body);
}

START_TEST(question_goes_to_a_legacy_client_in_slices)
{
    char line[400], head[200];
    uint64_t call = call_live(questions[_i].path, questions[_i].name, line);
    const char *said;

    client_forget(call);
    client_question(1, "k-1", "sampling/createMessage",
                    large_made(questions[_i].head, questions[_i].unit, LARGE, questions[_i].tail));
    work_reset();
    client_question(1, "k-2", "roots/list", ""); /* it does not wait for that */
    said = strstr(client_response(call)->body, "\"method\":\"roots/list\"}");
    ck_assert_ptr_nonnull(said);
    client_forget(call);
    large_work_off();
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    said = strstr(client_response(call)->body, ",\"method\"");
    ck_assert_ptr_nonnull(said);
    snprintf(head, sizeof head, ",\"method\":\"sampling/createMessage\",\"params\":%s",
             questions[_i].said);
    snprintf(line, sizeof line, "%s}\n\n", questions[_i].said_tail);
    large_assert(said, head, questions[_i].unit, LARGE, line);
}
END_TEST

/* Most of it was space, and what is left is no more than what any client can have again. */
START_TEST(question_that_becomes_small_is_one_as_any)
{
    char line[400], long_text[20001], tail[20100];
    const char *const headers[] = {line, "last-event-id: p1-0", NULL};
    uint64_t call = call_live("/mcp", "srv__t", line);

    memset(long_text, 'A', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    snprintf(tail, sizeof tail, "\"data\":\"%s\"}", long_text);
    client_forget(call);
    client_question(1, "k-1", "sampling/createMessage", large_made("{", " ", LARGE, tail));
    large_work_off();
    ck_assert_ptr_nonnull(strstr(client_response(call)->body, tail));
    client_gone(call);
    ck_assert_ptr_nonnull(strstr(client_send("GET", "/mcp", headers, NULL)->body, tail));
}
END_TEST

START_TEST(question_that_is_no_json_is_refused)
{
    char line[400];
    uint64_t call = call_live("/mcp", "srv__t", line);

    client_forget(call);
    client_question(1, "k-1", "sampling/createMessage", large_made(PICTURE, "A", LARGE, "\"]"));
    large_work_off();
    ck_assert_uint_eq(client_input.ticket, 1);
    ck_assert_str_eq(client_input.key, "k-1");
    ck_assert_int_eq(client_input.code, -32603);
    client_assert_body(client_response(call), "");
}
END_TEST

/* Taken back by its server; or the call has its answer, or its client gave it up. */
START_TEST(question_of_nobody_is_not_asked)
{
    char line[400];
    uint64_t call = call_live("/mcp", "srv__t", line);

    client_forget(call);
    client_question(1, "k-1", "sampling/createMessage", large_made(PICTURE, "A", LARGE, "\"}"));
    client_at(client_now.mono);
    if (_i == 0) client_withdrawn(1, "k-1");
    if (_i == 1) client_result(1, "{\"content\":[]}");
    if (_i == 2)
        posted("/mcp", line,
               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
               "\"requestId\":1}}");
    ck_assert_uint_gt(front_deadline(client_front), client_now.mono);
    large_work_off();
    ck_assert_ptr_null(strstr(client_response(call)->body, "sampling"));
}
END_TEST

#define REQUESTS \
    "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":\"m\",\"params\":{"

/* Each question of the result says whose it is; what has too many values for that does not. */
START_TEST(result_that_asks_goes_on_in_slices)
{
    static const struct {
        const char *head, *unit, *tail, *said, *said_tail;
    } results[] = {
        {REQUESTS "\"data\":\"", "A", "\"}}}}", REQUESTS SRV "},\"data\":\"", "\"}}}}"},
        {REQUESTS "\"data\":\"", "\\n", "\"}},\"l\":{\"method\":\"n\",\"params\":{}}}}",
         REQUESTS SRV "},\"data\":\"", "\"}},\"l\":{\"method\":\"n\",\"params\":{" SRV "}}}}}"},
        {REQUESTS "\"x\":[[0", ",1", "]]}}}}", REQUESTS SRV "},\"x\":[[0", "]]}}}}"},
        {REQUESTS "\"a\":1", ",\"a\":1", "}}}}", REQUESTS "\"a\":1", "}}}}"},
    };
    const char *const headers[] = {"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call",
                                   "mcp-name: srv__t", NULL};
    const char *body =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
        "\"srv__t\"," META "}}";
    uint64_t id = client_open("POST", "/mcp", headers);
    char head[400], tail[400];

    client_body(id, body, strlen(body), true);
    client_result(1, large_made(results[_i].head, results[_i].unit, LARGE, results[_i].tail));
    work_reset();
    ck_assert(!client_response(id)->is_ended);
    large_work_off();
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    ck_assert(client_response(id)->is_ended);
    snprintf(head, sizeof head, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":%s", results[_i].said);
    snprintf(tail, sizeof tail, "%s}", results[_i].said_tail);
    large_assert(client_response(id)->body, head, results[_i].unit, LARGE, tail);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large rounds");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_loop_test(all, next_round_is_copied_in_slices, 0, 2);
    tcase_add_loop_test(all, response_is_copied_in_slices, 0, 2);
    tcase_add_test(all, responses_of_a_batch_are_copied_one_after_the_other);
    tcase_add_test(all, response_to_a_call_that_is_over_goes_nowhere);
    tcase_add_loop_test(all, question_goes_to_a_legacy_client_in_slices, 0, QUESTIONS_COUNT);
    tcase_add_test(all, question_that_becomes_small_is_one_as_any);
    tcase_add_test(all, question_that_is_no_json_is_refused);
    tcase_add_loop_test(all, question_of_nobody_is_not_asked, 0, 3);
    tcase_add_loop_test(all, result_that_asks_goes_on_in_slices, 0, 4);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
