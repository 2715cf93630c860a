/* Large questions of servers, and large answers of clients to them: no step of either half handles
 * much of one. Counted in bytes (work.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/upstream/upstream_question.h"
#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/upstream_world.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define ANSWER ((size_t)15 << 20)
#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"sampling\":{}}}"
#define ASKED \
    "\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\",\"params\":{\"n\":1}}}"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};

static struct world w;

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

/* [text] is [head], [size] bytes of [unit], CR and LF of which are spaces, and [tail]. */
static void assert_text(const char *text, const char *head, const char *unit, size_t size,
                        const char *tail)
{
    ck_assert_uint_eq(strlen(text),
                      strlen(head) + size / strlen(unit) * strlen(unit) + strlen(tail));
    ck_assert_int_eq(strncmp(text, head, strlen(head)), 0);
    text += strlen(head);
    for (size_t i = 0; i < size / strlen(unit); i++, text += strlen(unit))
        for (size_t k = 0; unit[k] != '\0'; k++)
            if (text[k] != (unit[k] == '\n' ? ' ' : unit[k])) ck_abort_msg("unit %zu differs", i);
    ck_assert_str_eq(text, tail);
}

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
    assert_text(said, head, questions[_i].unit, LARGE, line);
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
    assert_text(client_response(id)->body, head, results[_i].unit, LARGE, tail);
}
END_TEST

/* ---- answers, at the node of the server ---- */

#define ECHO "{\"name\":\"echo\",\"arguments\":{}}"
#define SAMPLE "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"sampling/createMessage\",\"params\":{}}"
#define LIVE                                                   \
    (&(struct world_call){.ticket = 7,                         \
                          .service = "s",                      \
                          .params = ECHO,                      \
                          .capabilities = "{\"sampling\":{}}", \
                          .session = "ann",                    \
                          .is_live = true})

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

static void upstream_setup(void)
{
    world_init(&w);
}

static void upstream_teardown(void)
{
    world_done(&w);
    large_done();
}

static void work_off(void)
{
    for (int i = 0; upstreams_deadline(w.upstreams) <= w.now.mono; i++) {
        ck_assert_int_lt(i, 4096);
        world_step(&w, &(struct upstreams_input){.type = UPSTREAMS_IN_TICK});
    }
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
    work_off();
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    assert_line(world_line(&w), "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":", large_text(), "}");
    ck_assert_ptr_null(world_line(&w));
}
END_TEST

START_TEST(answer_that_is_no_object_is_refused)
{
    const char *key = up_asking();

    world_input(&w, 7, key, large_made("{\"data\":\"", "A", ANSWER, _i == 0 ? "\"]" : "\""), 0);
    work_off();
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
    work_off();
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
    work_off();
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
    assert_text(event->json, "{\"task\":1,\"data\":\"", "A", LARGE, "\"}");
    /* The call it was put down to ends: another one of that client has it, and is told. */
    second.ticket = 8;
    world_call(&w, &second);
    said(ASKS, ASKS_TAIL);
    ck_assert_uint_eq(world_event(&w)->ticket, 8);
    world_cancel(&w, 8);
    event = world_event(&w);
    ck_assert_uint_eq(event->ticket, 7);
    assert_text(event->json, "{\"task\":1,\"data\":\"", "A", LARGE, "\"}");
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
    assert_text(event->json,
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
    assert_text(event->json, "{\"data\":\"", "A", LARGE, "\"}");
}
END_TEST

START_TEST(answer_goes_to_a_modern_server_in_slices)
{
    const char *key = up_modern_asking(), *line, *begin;

    work_reset();
    world_input(&w, 7, key, answer(_i), 0);
    ck_assert_ptr_null(world_line(&w));
    world_input(&w, 7, key, "{}", 0); /* once only */
    work_off();
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
    work_off();
    ck_assert_str_eq(world_event(&w)->what, "error");
    ck_assert_ptr_null(world_line(&w));
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
    Suite *suite = suite_create("large rounds");
    TCase *entry = tcase_create("at the client's node"),
          *serving = tcase_create("at the server's node");

    tcase_set_timeout(entry, 60);
    tcase_add_checked_fixture(entry, front_setup, front_teardown);
    tcase_add_loop_test(entry, next_round_is_copied_in_slices, 0, 2);
    tcase_add_loop_test(entry, response_is_copied_in_slices, 0, 2);
    tcase_add_test(entry, response_to_a_call_that_is_over_goes_nowhere);
    tcase_add_loop_test(entry, question_goes_to_a_legacy_client_in_slices, 0, QUESTIONS_COUNT);
    tcase_add_test(entry, question_that_becomes_small_is_one_as_any);
    tcase_add_test(entry, question_that_is_no_json_is_refused);
    tcase_add_loop_test(entry, question_of_nobody_is_not_asked, 0, 3);
    tcase_add_loop_test(entry, result_that_asks_goes_on_in_slices, 0, 4);
    tcase_set_timeout(serving, 60);
    tcase_add_checked_fixture(serving, upstream_setup, upstream_teardown);
    tcase_add_loop_test(serving, answer_goes_to_a_legacy_server_in_slices, 0, ANSWERS_COUNT);
    tcase_add_loop_test(serving, answer_that_is_no_object_is_refused, 0, 2);
    tcase_add_loop_test(serving, server_that_goes_meanwhile_is_not_answered, 0, 1);
    tcase_add_loop_test(serving, server_that_goes_meanwhile_is_not_answered, 500, 501);
    tcase_add_loop_test(serving, node_that_ends_meanwhile_leaves_nothing, 0, 2);
    tcase_add_test(serving, answer_of_a_round_goes_to_a_legacy_server_in_slices);
    tcase_add_test(serving, question_of_a_legacy_server_is_copied_once);
    tcase_add_loop_test(serving, question_that_ends_a_round_is_copied_once, 0, 2);
    tcase_add_test(serving, round_of_a_modern_server_is_copied_once);
    tcase_add_loop_test(serving, answer_goes_to_a_modern_server_in_slices, 0, ANSWERS_COUNT);
    tcase_add_test(serving, answer_to_a_modern_server_that_is_no_object_is_an_error);
    tcase_add_loop_test(serving, call_that_is_given_up_leaves_nothing, 0, 1);
    tcase_add_loop_test(serving, call_that_is_given_up_leaves_nothing, 500, 501);
    suite_add_tcase(suite, entry);
    suite_add_tcase(suite, serving);
    return suite_run(suite);
}
