/* The whole gateway: a scripted HTTP client on one side, a scripted child on the other, and between
 * them a core of one node that passes every message straight back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rng.h"
#include "node/mcp/mcp.h"
#include "tests/suite.h"

#define MESSAGES_MAX 256
#define SERVED ((uint64_t)1 << 32) /* added to a ticket on the way to the server */

static struct mcp *mcp;
static struct mn_now now;
static struct mn_arena edge_arena, calls_arena;
static struct edge_outbox edge;
static struct call_outbox calls;
static struct call_message queue[MESSAGES_MAX];
static uint32_t queue_head, queue_tail;

static uint64_t child;
static bool is_child_stopped;
static struct mn_writer child_in; /* lines the child has been written */
static struct mn_writer body;     /* of the response */
static uint32_t code;
static bool is_ended, is_cancelled;
static char session[300];

static void step(enum mcp_input_type type, const struct edge_input *input,
                 const struct call_message *message);

/* A core of one node: offers become services, calls go to the local server. */
static void core(const struct call_message *from)
{
    struct call_message to = *from;

    switch (from->type) {
    case CALL_MESSAGE_OFFER:
        to.type = CALL_MESSAGE_SERVICE;
        to.service = (struct call_service){.name = from->offer.name,
                                           .body = from->offer.body,
                                           .providers_count = 1,
                                           .is_listed = from->offer.body != NULL};
        break;
    case CALL_MESSAGE_REQUEST: to.request.ticket += SERVED; break;
    case CALL_MESSAGE_CANCEL:
        is_cancelled = true;
        to.ticket += SERVED;
        break;
    case CALL_MESSAGE_INPUT: to.more.ticket += SERVED; break;
    case CALL_MESSAGE_EVENT: to.event.ticket -= SERVED; break;
    case CALL_MESSAGE_SERVICE: ck_abort();
    }
    ck_assert_uint_lt(queue_tail, MESSAGES_MAX);
    mn_buf_ref(call_message_buf(&to));
    queue[queue_tail++] = to;
}

static void carry_out(const struct edge_output *output)
{
    struct mn_span bytes = mn_buf_span(output->buf);

    if (output->type == EDGE_OUT_CHILD_START) child = output->id;
    if (output->type == EDGE_OUT_CHILD_STOP) is_child_stopped = true;
    if (output->type == EDGE_OUT_CHILD_WRITE) mn_writer_add(&child_in, bytes);
    if (output->type == EDGE_OUT_HTTP_HEAD) {
        code = output->code;
        for (uint32_t i = 0; i < output->headers_count; i++)
            if (mn_span_is(output->headers[i].name, "mcp-session-id"))
                snprintf(session, sizeof session, "%.*s", (int)output->headers[i].value.size,
                         output->headers[i].value.data);
    }
    if (output->type == EDGE_OUT_HTTP_BODY) {
        mn_writer_add(&body, bytes);
        is_ended = output->flag;
    }
}

static void step(enum mcp_input_type type, const struct edge_input *input,
                 const struct call_message *message)
{
    struct mcp_outbox outbox = {&edge, &calls, NULL};
    struct mcp_input in = {.type = type, .edge = input, .call = message};

    mcp_step(mcp, now, &in, &outbox);
    mcp_check(mcp);
    for (uint32_t i = 0; i < edge.count; i++)
        carry_out(&edge.items[i]);
    for (uint32_t i = 0; i < calls.count; i++)
        core(&calls.items[i]);
    call_outbox_reset(&calls);
    edge_outbox_reset(&edge);
}

/* Everything that is due, until nothing is. */
static void settle(void)
{
    while (queue_head < queue_tail) {
        struct call_message *message = &queue[queue_head++];
        step(MCP_IN_CALL, NULL, message);
        mn_buf_unref(call_message_buf(message));
    }
    mn_arena_reset(&calls_arena);
}

static void pass(mn_time time)
{
    now.mono += time;
    now.wall += time;
    step(MCP_IN_TICK, NULL, NULL);
    settle();
}

/* The child says one line. */
static void says(const char *line)
{
    char text[1024];
    struct edge_input input = {.type = EDGE_IN_CHILD_OUT, .id = child, .code = 1};

    input.bytes = mn_span(text, (size_t)snprintf(text, sizeof text, "%s\n", line));
    step(MCP_IN_EDGE, &input, NULL);
    settle();
}

/* What the child has been written since the last call. */
static const char *hears(void)
{
    static char text[4096];
    struct mn_span in = mn_buf_span(child_in.buf);

    snprintf(text, sizeof text, "%.*s", (int)in.size, (const char *)in.data);
    mn_writer_drop(&child_in);
    return text;
}

/* The id of the request of [method] in what the child hears. */
static long hears_request(const char *method)
{
    const char *text = hears(), *id = strstr(text, "\"id\":");

    ck_assert_msg(strstr(text, method) != NULL, "%s", text);
    ck_assert_ptr_nonnull(id);
    return strtol(id + 5, NULL, 10);
}

static void answers(long id, const char *result)
{
    char text[1024];

    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%ld,%s}", id, result);
    says(text);
}

static uint64_t post(const char *method, const char *json)
{
    static uint64_t last = 1;
    struct edge_header headers[] = {
        {mn_span_str("host"), mn_span_str("localhost")},
        {mn_span_str("content-type"), mn_span_str("application/json")},
        {mn_span_str("mcp-protocol-version"), mn_span_str("2026-07-28")},
        {mn_span_str("mcp-method"), mn_span_str(method)},
        {mn_span_str("mcp-name"), mn_span_str("srv__echo")}};
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .method = mn_span_str("POST"),
                                     .target = mn_span_str("/mcp"),
                                     .headers = headers,
                                     .headers_count = 5};
    struct edge_input input = {.type = EDGE_IN_HTTP_OPEN, .id = last += 2, .http = &http};

    mn_writer_drop(&body);
    code = 0;
    is_ended = false;
    step(MCP_IN_EDGE, &input, NULL);
    input = (struct edge_input){
        .type = EDGE_IN_HTTP_BODY, .id = last, .bytes = mn_span_str(json), .is_last = true};
    step(MCP_IN_EDGE, &input, NULL);
    settle();
    return last;
}

#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":\"t\"}"
#define CALL                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":\"c\",\"method\":\"tools/call\",\"params\":{" \
    "\"name\":\"srv__echo\",\"arguments\":{\"n\":1e400}," META "}}"
#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}"

static const char *answer(void)
{
    static char text[4096];
    struct mn_span bytes = mn_buf_span(body.buf);

    snprintf(text, sizeof text, "%.*s", (int)bytes.size, (const char *)bytes.data);
    return text;
}

static void setup(void)
{
    static const uint8_t seed[RNG_SEED_SIZE] = "a seed";
    struct mcp_config config = {.self = {{3}}, .seed = seed};
    const struct mn_span argv[] = {mn_span_str("tool")};
    struct upstream_config server = {.name = mn_span_str("srv"),
                                     .argv = argv,
                                     .argv_count = 1,
                                     .era = UPSTREAM_ERA_LEGACY,
                                     .is_uniform = true};
    struct mcp_outbox outbox = {&edge, &calls, NULL};
    struct mn_span why = {0};

    now = (struct mn_now){MN_SEC, 1700000000 * MN_SEC};
    edge = (struct edge_outbox){.arena = &edge_arena};
    calls = (struct call_outbox){.arena = &calls_arena};
    queue_head = queue_tail = 0;
    is_child_stopped = is_cancelled = false;
    mcp = mcp_new(&config);
    ck_assert_int_eq(mcp_server_add(mcp, now, &server, &outbox, &why), MN_OK);
    pass(0);
    answers(hears_request("\"initialize\""),
            "\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"
            "\"serverInfo\":{\"name\":\"up\",\"version\":\"1\"}}");
    answers(hears_request("\"tools/list\""),
            "\"result\":{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}");
    pass(MN_SEC);
}

static void teardown(void)
{
    mcp_free(mcp);
    mn_writer_drop(&child_in);
    mn_writer_drop(&body);
    mn_arena_done(&edge_arena);
    mn_arena_done(&calls_arena);
}

START_TEST(a_child_s_tool_is_listed_and_found)
{
    struct mcp_tool tool;

    post("tools/list", LIST);
    ck_assert_uint_eq(code, 200);
    ck_assert_ptr_nonnull(strstr(answer(), "\"name\":\"srv__echo\""));
    ck_assert_uint_eq(mcp_tools_count(mcp), 1);
    mcp_tool(mcp, now, 0, &tool);
    ck_assert(mn_span_is(tool.service, "srv"));
    ck_assert(mn_span_is(tool.tool, "echo"));
    ck_assert_int_eq(mcp_tool_find(mcp, now, mn_span_str("srv__echo"), &tool), MN_OK);
    ck_assert_int_eq(mcp_tool_find(mcp, now, mn_span_str("echo"), &tool), MN_NOT_FOUND);
    ck_assert_uint_eq(upstreams_count(mcp_upstreams(mcp)), 1);
}
END_TEST

START_TEST(a_call_goes_through_and_comes_back_verbatim)
{
    const char *heard;
    char *id;

    post("tools/call", CALL);
    heard = hears();
    ck_assert_ptr_nonnull(strstr(heard, "\"name\":\"echo\",\"arguments\":{\"n\":1e400}"));
    ck_assert_ptr_null(strstr(heard, "io.modelcontextprotocol"));
    id = strstr(heard, "\"id\":");
    answers(strtol(id + 5, NULL, 10), "\"result\":{\"content\":[ {\"n\":-0.0} ],\"zz\":1E400}");
    ck_assert_uint_eq(code, 200);
    ck_assert_str_eq(answer(), "{\"jsonrpc\":\"2.0\",\"id\":\"c\",\"result\":{\"resultType\":"
                               "\"complete\",\"content\":[ {\"n\":-0.0} ],\"zz\":1E400}}");
    ck_assert(is_ended);
}
END_TEST

/* What is known of a result of this node is not as deep as the questions in it. */
START_TEST(a_result_that_asks_says_who_does)
{
    char *id;

    post("tools/call", CALL);
    id = strstr(hears(), "\"id\":");
    answers(strtol(id + 5, NULL, 10),
            "\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":"
            "\"m\",\"params\":{\"n\":1}}}}");
    ck_assert_str_eq(
        answer(), "{\"jsonrpc\":\"2.0\",\"id\":\"c\",\"result\":{\"resultType\":\"input_required\","
                  "\"inputRequests\":{\"k\":{\"method\":\"m\",\"params\":{\"_meta\":{"
                  "\"meshnode/server\":\"srv\"},\"n\":1}}}}}");
}
END_TEST

START_TEST(calls_are_counted_where_they_came_in)
{
    struct mcp_tool tool;
    char *id;

    mcp_tool(mcp, now, 0, &tool);
    ck_assert_uint_eq(tool.calls_per_minute, 0);
    ck_assert_uint_eq(tool.p95, MN_TIME_NEVER);
    post("tools/call", CALL);
    id = strstr(hears(), "\"id\":");
    pass(2 * MN_SEC);
    answers(strtol(id + 5, NULL, 10), "\"result\":{\"content\":[]}");
    mcp_tool(mcp, now, 0, &tool);
    ck_assert_uint_eq(tool.calls_per_minute, 1);
    ck_assert_uint_ge(tool.p95, 2 * MN_SEC);
    ck_assert_uint_lt(tool.p95, 3 * MN_SEC);
}
END_TEST

START_TEST(progress_of_the_child_reaches_the_client_under_its_token)
{
    char line[256], token[64];
    const char *heard, *at;
    long id;

    post("tools/call", CALL);
    heard = hears();
    id = strtol(strstr(heard, "\"id\":") + 5, NULL, 10);
    at = strstr(heard, "\"progressToken\":");
    ck_assert_ptr_nonnull(at);
    at += strlen("\"progressToken\":");
    snprintf(token, sizeof token, "%.*s", (int)strcspn(at, ",}"), at);
    snprintf(line, sizeof line,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
             "\"progressToken\":%s,\"progress\":0.50}}",
             token);
    says(line);
    answers(id, "\"result\":{}");
    ck_assert_ptr_nonnull(strstr(answer(), "{\"progressToken\":\"t\",\"progress\":0.50}"));
    ck_assert(is_ended);
}
END_TEST

START_TEST(a_client_that_leaves_cancels_at_the_child)
{
    uint64_t exchange = post("tools/call", CALL);
    struct edge_input gone = {.type = EDGE_IN_HTTP_GONE, .id = exchange};

    hears();
    step(MCP_IN_EDGE, &gone, NULL);
    settle();
    ck_assert(is_cancelled);
    ck_assert_ptr_nonnull(strstr(hears(), "notifications/cancelled"));
}
END_TEST

START_TEST(a_child_that_dies_leaves_the_outcome_unknown)
{
    struct edge_input exit = {.type = EDGE_IN_CHILD_EXIT, .id = child, .code = 137};

    post("tools/call", CALL);
    step(MCP_IN_EDGE, &exit, NULL);
    settle();
    ck_assert_uint_eq(code, 200);
    ck_assert_ptr_nonnull(strstr(answer(), "outcome unknown: the tool may have run"));
    ck_assert_ptr_nonnull(strstr(answer(), "\"reason\":\"outcome_unknown\""));
}
END_TEST

START_TEST(a_server_can_be_removed_and_the_gateway_stopped)
{
    struct mcp_outbox outbox = {&edge, &calls, NULL};
    struct edge_input exit = {.type = EDGE_IN_CHILD_EXIT, .id = child};
    struct mn_span why = {0};

    ck_assert_int_eq(mcp_server_restart(mcp, now, mn_span_str("no"), &outbox, &why), MN_NOT_FOUND);
    ck_assert_uint_gt(why.size, 0);
    ck_assert_int_eq(mcp_server_remove(mcp, now, mn_span_str("srv"), &outbox, &why), MN_OK);
    pass(MN_SEC);
    ck_assert(is_child_stopped);
    ck_assert_uint_eq(mcp_tools_count(mcp), 0);
    step(MCP_IN_STOP, NULL, NULL);
    ck_assert(!mcp_is_idle(mcp));
    step(MCP_IN_EDGE, &exit, NULL);
    ck_assert(mcp_is_idle(mcp));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp");
    TCase *tcase = tcase_create("mcp");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_child_s_tool_is_listed_and_found);
    tcase_add_test(tcase, a_call_goes_through_and_comes_back_verbatim);
    tcase_add_test(tcase, a_result_that_asks_says_who_does);
    tcase_add_test(tcase, calls_are_counted_where_they_came_in);
    tcase_add_test(tcase, progress_of_the_child_reaches_the_client_under_its_token);
    tcase_add_test(tcase, a_client_that_leaves_cancels_at_the_child);
    tcase_add_test(tcase, a_child_that_dies_leaves_the_outcome_unknown);
    tcase_add_test(tcase, a_server_can_be_removed_and_the_gateway_stopped);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
