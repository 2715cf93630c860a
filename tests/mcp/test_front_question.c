/* Questions of servers towards clients: requests to legacy ones, rounds with modern ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\"}}"
#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"elicitation\":{\"url\":{}}}}"

/* What the first question of a process is called begins anywhere: the seed of the tests says where.
 */
#define FIRST "188397831781265"
#define SECOND "188397831781266"
#define ANSWER(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ","
#define SRV "\"_meta\":{\"meshnode/server\":\"srv\"}"

static const char *const tools[] = {"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}", NULL};
static char ann[300], bob[300];

static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    strcpy(ann, client_initialize("/mcp", "2025-11-25"));
    strcpy(bob, client_initialize("/mcp", "2025-06-18"));
    client_forget_all();
}

START_TEST(a_question_is_a_request_on_the_stream_of_its_call)
{
    const struct client_response *response = client_legacy(ann, CALL);

    ck_assert(client_calls[0].request->is_live);
    ck_assert_uint_eq(client_calls[0].request->session.len, 16);
    client_question(1, "e-1", "elicitation/create", "{\"message\":\"m\",\"x\":1e400}");
    client_question(1, "r-2", "roots/list", "");
    client_assert_body(response,
                       "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":" FIRST ",\"method\":"
                       "\"elicitation/create\",\"params\":{" SRV ",\"message\":\"m\",\"x\":1e400}"
                       "}\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":" SECOND ","
                       "\"method\":\"roots/list\"}\n\n");
    client_legacy(bob, ANSWER(FIRST) "\"result\":{\"action\":\"accept\"}}"); /* not asked */
    ck_assert_uint_eq(client_input.ticket, 0);
    ck_assert_uint_eq(
        client_legacy(ann, ANSWER(FIRST) "\"result\":{\"action\":\"accept\",\"n\":0.10}}")->code,
        202);
    ck_assert_uint_eq(client_input.ticket, 1);
    ck_assert_str_eq(client_input.key, "e-1");
    ck_assert_str_eq(client_input.result, "{\"action\":\"accept\",\"n\":0.10}");
    client_legacy(ann, ANSWER(SECOND) "\"error\":{\"code\":-7,\"message\":\"x\"}}");
    ck_assert_str_eq(client_input.key, "r-2");
    ck_assert_int_eq(client_input.code, -7);
    ck_assert(client_input.by_client);
    client_input.ticket = 0;
    client_legacy(ann, ANSWER(SECOND) "\"result\":{}}"); /* once only */
    ck_assert_uint_eq(client_input.ticket, 0);
}
END_TEST

START_TEST(a_call_that_ends_takes_its_questions_back)
{
    const struct client_response *response = client_legacy(ann, CALL);

    client_question(1, "e-1", "elicitation/create", "{}");
    client_forget(response->id);
    client_result(1, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(response->body, "notifications/cancelled"));
    ck_assert_ptr_nonnull(strstr(response->body, "\"requestId\":" FIRST));
    client_legacy(ann, ANSWER(FIRST) "\"result\":{}}");
    ck_assert_uint_eq(client_input.ticket, 0);
}
END_TEST

START_TEST(what_a_lost_node_asked_is_not_answered_at_the_next)
{
    const struct client_response *response = client_legacy(ann, CALL);

    client_question(1, "e-1", "elicitation/create", "{}");
    client_forget(response->id);
    client_server = (mn_id){{8}};
    client_question(1, "e-1", "elicitation/create", "{}"); /* the same tool, run again */
    ck_assert_ptr_nonnull(strstr(response->body, "\"requestId\":" FIRST));
    ck_assert_ptr_nonnull(strstr(response->body, "\"id\":" SECOND));
    client_legacy(ann, ANSWER(FIRST) "\"result\":{}}");
    ck_assert_uint_eq(client_input.ticket, 0);
    client_legacy(ann, ANSWER(SECOND) "\"result\":{}}");
    ck_assert_uint_eq(client_input.ticket, 1);
}
END_TEST

START_TEST(progress_never_goes_back_when_a_call_runs_again)
{
    static const char *const said[] = {"0", "50", "0", "5e1", "50.5"};
    const struct client_response *response = client_legacy(
        ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"_meta\":{"
                "\"progressToken\":7}}}");
    char json[64];

    for (size_t i = 0; i < 5; i++) {
        snprintf(json, sizeof json, "{\"progress\":%s}", said[i]);
        client_forget(response->id);
        client_progress(1, json);
        if (i == 1) client_server = (mn_id){{8}};
        ck_assert_int_eq(response->body_size > 0, i < 2 || i == 4);
    }
    client_forget(response->id);
    client_progress(1, "{\"progress\":50.5}"); /* what one run says is its own matter, */
    ck_assert_uint_eq(response->body_size, 0); /* but in the second one nobody can tell */
}
END_TEST

/* A node that was sent the call, and refused it, did not run it. */
START_TEST(a_call_that_was_refused_runs_for_the_first_time)
{
    const struct client_response *response = client_legacy(
        ann, ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"_meta\":{"
                "\"progressToken\":7}}}");

    client_served(1);
    client_server = (mn_id){{8}};
    for (int i = 0; i < 2; i++) {
        client_forget(response->id);
        client_progress(1, "{\"progress\":50}");
        ck_assert_uint_gt(response->body_size, 0);
    }
}
END_TEST

START_TEST(what_cannot_be_asked_is_refused_for_the_client)
{
    uint64_t id = client_legacy(ann, CALL)->id;

    client_question(1, "x-1", "something/else", "{}");
    ck_assert_str_eq(client_input.key, "x-1");
    ck_assert_int_eq(client_input.code, -32603);
    ck_assert(!client_input.by_client);
    client_question(1, "x-2", "roots/list", "[1]");
    ck_assert_str_eq(client_input.key, "x-2");
    client_gone(id);
    client_question(1, "x-3", "roots/list", "");
    ck_assert_str_eq(client_input.key, "x-3");
    ck_assert_int_eq(client_input.code, -32603);
}
END_TEST

START_TEST(urls_have_an_id_in_the_revision_that_wants_one)
{
    const struct client_response *response = client_legacy(ann, CALL);

    client_question(1, "e-1", "elicitation/create", "{\"mode\":\"url\",\"url\":\"http://x\"}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"params\":{\"elicitationId\":\""));
    response = client_legacy(bob, CALL);
    client_question(2, "e-1", "elicitation/create", "{\"mode\":\"url\",\"url\":\"http://x\"}");
    ck_assert_ptr_null(strstr(response->body, "elicitationId"));
}
END_TEST

START_TEST(contents_that_a_revision_does_not_know_are_text)
{
    static const char contents[] =
        "{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"audio\",\"data\":\"QQ==\","
        "\"mimeType\":\"audio/wav\"},{\"type\":\"resource_link\",\"uri\":\"x://"
        "y\",\"name\":\"n\"}],"
        "\"n\":1e400}";
    static const char link[] = "{\"type\":\"text\",\"text\":\"n <x://y>\"}],\"n\":1e400}";
    static const char audio[] = "{\"type\":\"text\",\"text\":\"audio (audio/wav) was left out";
    char march[300], old[300];
    const struct client_response *response;

    strcpy(march, client_initialize("/mcp", "2025-03-26"));
    strcpy(old, client_initialize("/mcp", "2024-11-05"));
    response = client_legacy(bob, CALL);
    client_result(1, contents);
    ck_assert_ptr_nonnull(strstr(response->body, contents)); /* 2025-06-18 knows all */
    response = client_legacy(march, CALL);
    client_result(2, contents);
    ck_assert_ptr_nonnull(strstr(response->body, "\"type\":\"audio\""));
    ck_assert_ptr_nonnull(strstr(response->body, link));
    response = client_legacy(old, CALL);
    client_result(3, contents);
    ck_assert_ptr_null(strstr(response->body, "\"type\":\"audio\""));
    ck_assert_ptr_nonnull(strstr(response->body, audio));
    ck_assert_ptr_nonnull(strstr(response->body, link));
    response = client_legacy(old, CALL); /* of a prompt */
    client_result(
        4, "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"audio\",\"data\":\"QQ==\","
           "\"mimeType\":\"audio/wav\"}}]}");
    ck_assert_ptr_nonnull(strstr(response->body, audio));
    response = client_legacy(old, CALL);
    client_result(5, "{\"content\":[{\"type\":\"\\u0061udio\",\"mimeType\":\"audio/wav\"}]}");
    ck_assert_ptr_nonnull(strstr(response->body, audio));
}
END_TEST

START_TEST(a_question_that_its_server_takes_back_is_cancelled_and_its_answer_is_nothing)
{
    const struct client_response *response = client_legacy(ann, CALL);

    client_question(1, "e-1", "elicitation/create", "{}");
    client_question(1, "e-2", "elicitation/create", "{}");
    client_forget(response->id);
    client_withdrawn(1, "e-9"); /* no such */
    client_withdrawn(1, "e-1");
    client_assert_body(response, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                                 "\"notifications/cancelled\",\"params\":{\"requestId\":" FIRST ","
                                 "\"reason\":\"the server does not ask any more\"}}\n\n");
    client_legacy(ann, ANSWER(FIRST) "\"result\":{\"action\":\"accept\"}}");
    ck_assert_uint_eq(client_input.ticket, 0);
    client_legacy(ann, ANSWER(SECOND) "\"result\":{\"action\":\"accept\"}}");
    ck_assert_str_eq(client_input.key, "e-2");
}
END_TEST

START_TEST(what_was_done_at_a_url_is_told_in_the_revision_that_knows_it)
{
    const struct client_response *response = client_legacy(ann, CALL);

    client_elicited(1, "{\"elicitationId\":\"x\",\"n\":1e400}");
    client_assert_body(response, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                                 "\"notifications/elicitation/complete\",\"params\":{"
                                 "\"elicitationId\":\"x\",\"n\":1e400}}\n\n");
    response = client_legacy(bob, CALL);
    client_elicited(2, "{\"elicitationId\":\"x\"}");
    ck_assert_uint_eq(response->code, 0); /* nothing yet */
}
END_TEST

#define ROOTS_CHANGED "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}"

START_TEST(changed_roots_are_told_to_the_servers_that_this_session_called)
{
    client_legacy(ann, ROOTS_CHANGED); /* nobody yet */
    ck_assert_uint_eq(client_calls_count, 0);
    client_legacy(ann, CALL);
    client_result(1, "{\"content\":[]}");
    client_legacy(ann, CALL);
    client_result(2, "{\"content\":[]}");
    client_legacy(bob, ROOTS_CHANGED); /* another client's business */
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_uint_eq(client_legacy(ann, ROOTS_CHANGED)->code, 202);
    ck_assert_uint_eq(client_calls_count, 3);
    ck_assert_str_eq(client_calls[2].request->method, "notifications/roots/list_changed");
    ck_assert_str_eq(client_calls[2].service, "srv");
    ck_assert_uint_eq(client_calls[2].node.bytes[0], 9); /* who served it */
    ck_assert_uint_eq(client_calls[2].request->session.len, 16);
    ck_assert(memcmp(client_calls[2].request->session.data, client_calls[1].request->session.data,
                     16) == 0);
    client_result(3, "{}"); /* nobody waits for it */
}
END_TEST

static const struct client_response *call_modern(const char *more)
{
    char params[8192];

    snprintf(params, sizeof params, "{\"name\":\"srv__t\",\"arguments\":{\"a\":1}%s," META "}",
             more);
    return client_modern("tools/call", "srv__t", params);
}

/* The state in a response, as a member of the next request. */
static const char *state_of(const struct client_response *response)
{
    static char member[4096];
    char state[2048];
    const char *at = strstr(response->body, "\"requestState\":\"");

    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "\"requestState\":\"%2000[^\"]", state), 1);
    snprintf(member, sizeof member, ",\"requestState\":\"%s\"", state);
    return member;
}

START_TEST(the_server_that_asks_is_named_where_there_are_many)
{
    const struct client_response *response;
    char one[300], line[400];
    const char *const headers[] = {line, "mcp-protocol-version: 2025-11-25", NULL};

    strcpy(one, client_initialize("/mcp/servers/srv", "2025-11-25"));
    response = client_legacy(ann, CALL);
    /* It cannot go by another's name. */
    client_question(
        1, "e-1", "elicitation/create",
        "{\"message\":\"m\",\"_meta\":{\"a\":1,\"meshnode/server\":\"other\",\"b\":[]}}");
    ck_assert_ptr_nonnull(strstr(response->body, "{\"_meta\":{\"meshnode/server\":\"srv\",\"a\":1,"
                                                 "\"b\":[]},\"message\":\"m\"}"));
    client_question(1, "s-2", "sampling/createMessage", "{}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"params\":{" SRV "}"));
    /* Where there is but one, all is as it says. */
    snprintf(line, sizeof line, "mcp-session-id: %s", one);
    response = client_send("POST", "/mcp/servers/srv", headers,
                           ID "\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}");
    client_question(2, "e-1", "elicitation/create", "{\"message\":\"m\"}");
    ck_assert_ptr_nonnull(strstr(response->body, "\"params\":{\"message\":\"m\"}"));
    /* In a round too. */
    response = call_modern("");
    client_result(3,
                  "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"x\":1,\"method\":"
                  "\"elicitation/create\",\"params\":{\"message\":\"m\"},\"y\":2},\"r\":{"
                  "\"method\":\"roots/list\"}}}");
    ck_assert_ptr_nonnull(
        strstr(response->body, "{\"k\":{\"x\":1,\"method\":\"elicitation/create\",\"params\":{" SRV
                               ",\"message\":\"m\"},\"y\":2},\"r\":{\"method\":\"roots/list\"}}"));
}
END_TEST

START_TEST(a_servers_state_comes_back_to_the_node_it_came_from)
{
    const struct client_response *response = call_modern("");

    ck_assert(!client_calls[0].request->is_live);
    client_result(1, "{\"resultType\":\"input_required\",\"requestState\":\"s\\u0031\","
                     "\"inputRequests\":{\"k\":{\"method\":\"roots/list\"}},\"x\":1e400}");
    ck_assert_ptr_nonnull(strstr(response->body, ID "\"result\":{\"resultType\":\"input_required\","
                                                    "\"inputRequests\":{\"k\":{\"method\":"
                                                    "\"roots/list\"}},\"x\":1e400,"));
    ck_assert_ptr_null(strstr(response->body, "s\\u0031"));
    call_modern(state_of(response));
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_uint_eq(client_calls[1].node.bytes[0], 9);
    ck_assert_str_eq(client_calls[1].service, "srv");
    ck_assert_str_eq(client_calls[1].params,
                     "{\"name\":\"t\",\"arguments\":{\"a\":1},\"requestState\":\"s1\"}");
    ck_assert_uint_eq(client_calls[1].request->resume.len, 0);
}
END_TEST

START_TEST(a_parked_call_is_resumed_and_nothing_of_it_shows)
{
    const struct client_response *response = call_modern("");
    char more[4200];

    client_parked(1, "{\"resultType\":\"input_required\",\"inputRequests\":{}}", "handle-0123");
    snprintf(more, sizeof more, "%s,\"inputResponses\":{\"k\":{}}", state_of(response));
    call_modern(more);
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_str_eq(client_calls[1].params,
                     "{\"name\":\"t\",\"arguments\":{\"a\":1},\"inputResponses\":{\"k\":{}}}");
    ck_assert_uint_eq(client_calls[1].request->resume.len, 11);
    ck_assert(!client_calls[1].is_idempotent);
}
END_TEST

/* It was begun in the round before: that nobody takes this one does not say that it did not run. */
START_TEST(a_parked_call_whose_node_is_gone_may_have_run)
{
    static const enum call_failure lost[] = {CALL_UNAVAILABLE, CALL_NOT_FOUND, CALL_CONFLICT};
    const struct client_response *response = call_modern("");
    char state[4096];

    client_parked(1, "{\"resultType\":\"input_required\",\"inputRequests\":{}}", "handle-0123");
    strcpy(state, state_of(response));
    for (uint32_t i = 0; i < 3; i++) {
        response = call_modern(state);
        client_failed(2 + i, lost[i], "why");
        ck_assert_ptr_nonnull(
            strstr(response->body, "outcome unknown: the tool may have run (why)"));
        ck_assert_ptr_nonnull(strstr(response->body, "\"reason\":\"outcome_unknown\""));
    }
    response = call_modern(state);
    client_failed(5, CALL_BUSY, "why"); /* it still waits there */
    ck_assert_ptr_nonnull(strstr(response->body, "\"reason\":\"busy\""));
}
END_TEST

/* A modern server keeps nothing between rounds. */
START_TEST(a_state_of_a_servers_own_says_that_nothing_ran)
{
    const struct client_response *response = call_modern("");

    client_result(1, "{\"resultType\":\"input_required\",\"requestState\":\"s\","
                     "\"inputRequests\":{}}");
    response = call_modern(state_of(response));
    client_failed(2, CALL_UNAVAILABLE, "why");
    ck_assert_ptr_nonnull(strstr(response->body, "\"reason\":\"unavailable\""));
}
END_TEST

START_TEST(a_round_without_a_state_gets_none)
{
    const struct client_response *response = call_modern("");

    client_result(1, "{\"resultType\":\"input_required\",\"inputRequests\":{}}");
    client_assert_body(response, ID "\"result\":{\"resultType\":\"input_required\","
                                    "\"inputRequests\":{}}}");
}
END_TEST

START_TEST(states_are_bound_to_their_request_and_their_time)
{
    const struct client_response *response = call_modern("");
    char state[4096], params[8192];

    client_parked(1, "{\"resultType\":\"input_required\",\"inputRequests\":{}}", "h");
    strcpy(state, state_of(response));
    snprintf(params, sizeof params, "{\"name\":\"srv__t\",\"arguments\":{\"a\":2}%s," META "}",
             state);
    ck_assert_ptr_nonnull(
        strstr(client_modern("tools/call", "srv__t", params)->body, "\"code\":-32602"));
    state[40] = state[40] == 'A' ? 'B' : 'A';
    ck_assert_ptr_nonnull(strstr(call_modern(state)->body, "\"code\":-32602"));
    ck_assert_ptr_nonnull(
        strstr(call_modern(",\"requestState\":\"forged\"")->body, "\"code\":-32602"));
    ck_assert_ptr_nonnull(strstr(call_modern(",\"requestState\":7")->body, "\"code\":-32602"));
    strcpy(state, state_of(response));
    client_now.wall += 2 * MN_HOUR;
    ck_assert_ptr_nonnull(strstr(call_modern(state)->body, "\"code\":-32602"));
    ck_assert_uint_eq(client_calls_count, 1);
}
END_TEST

START_TEST(urls_that_an_old_server_wants_visited_are_a_round)
{
    const struct client_response *response = call_modern("");

    client_error(
        1, -32042, "go there",
        "{\"elicitations\":[{\"mode\":\"url\",\"elicitationId\":\"7\",\"url\":\"http://x\","
        "\"message\":\"m\"}]}");
    client_assert_body(
        response,
        ID "\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{\"elicitation-1\":{"
           "\"method\":\"elicitation/create\",\"params\":{" SRV
           ",\"mode\":\"url\",\"url\":\"http://x\","
           "\"message\":\"m\"}}}}}");
}
END_TEST

/* ---- tasks ---- */

#define TASK_META                                                            \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{\"extensions\":{"       \
    "\"io.modelcontextprotocol/tasks\":{}}}}"
#define CREATED "{\"resultType\":\"task\",\"taskId\":\"t-1\",\"status\":\"working\",\"ttlMs\":1e3}"

static const struct client_response *about_task(const char *method, const char *id)
{
    char params[2048];

    snprintf(params, sizeof params, "{\"taskId\":\"%s\"," TASK_META "}", id);
    return client_modern(method, id, params);
}

START_TEST(a_task_is_asked_about_where_it_is)
{
    const struct client_response *response = client_modern(
        "tools/call", "srv__t", "{\"name\":\"srv__t\",\"arguments\":{}," TASK_META "}");
    char id[1100], expected[2048];

    client_result(1, CREATED);
    ck_assert_int_eq(sscanf(response->body,
                            ID "\"result\":{\"resultType\":\"task\",\"taskId\":\"%1000[^\"]", id),
                     1);
    ck_assert_uint_gt(strlen(id), 64);
    snprintf(expected, sizeof expected,
             ID "\"result\":{\"resultType\":\"task\",\"taskId\":\"%s\",\"status\":\"working\","
                "\"ttlMs\":1e3}}",
             id);
    client_assert_body(response, expected);

    response = about_task("tasks/get", id);
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert_str_eq(client_calls[1].service, "srv");
    ck_assert_uint_eq(client_calls[1].node.bytes[0], 9);
    ck_assert_str_eq(client_calls[1].request->method, "tasks/get");
    ck_assert_str_eq(client_calls[1].params, "{\"taskId\":\"t-1\"}");
    ck_assert(!client_calls[1].is_idempotent);
    client_result(client_calls[1].ticket,
                  "{\"resultType\":\"complete\",\"taskId\":\"t-1\",\"status\":\"completed\"}");
    snprintf(expected, sizeof expected,
             ID "\"result\":{\"resultType\":\"complete\",\"taskId\":\"%s\",\"status\":"
                "\"completed\"}}",
             id);
    client_assert_body(response, expected);
    response = about_task("tasks/cancel", id);
    client_result(client_calls[2].ticket, "{}");
    client_assert_body(response, ID "\"result\":{\"resultType\":\"complete\"}}");

    id[50] = id[50] == 'A' ? 'B' : 'A';
    ck_assert_ptr_nonnull(strstr(about_task("tasks/get", id)->body, "\"code\":-32602"));
    ck_assert_ptr_nonnull(strstr(about_task("tasks/update", "t-1")->body, "\"code\":-32602"));
    ck_assert_uint_eq(client_calls_count, 3);
}
END_TEST

#define TASK_CALL \
    ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__t\",\"task\":{\"ttl\":9}}}"

/* A request about a task, by the id that the client was given. */
static const struct client_response *about(const char *session, const char *method,
                                           const char *task)
{
    char body[2048];

    snprintf(body, sizeof body, ID "\"method\":\"%s\",\"params\":{\"taskId\":\"%s\"}}", method,
             task);
    return client_legacy(session, body);
}

START_TEST(a_task_of_the_legacy_era_goes_by_a_sealed_id_wherever_it_stands)
{
    const struct client_response *response = client_legacy(ann, TASK_CALL);
    char task[1024], related[1200];
    const char *at;

    ck_assert_str_eq(client_calls[0].params, "{\"name\":\"t\",\"task\":{\"ttl\":9}}");
    client_result(1, "{\"task\":{\"status\":\"working\",\"taskId\":\"t-1\",\"ttl\":null}}");
    at = strstr(response->body, "\"taskId\":\"");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "\"taskId\":\"%1000[^\"]", task), 1);
    ck_assert_uint_gt(strlen(task), 60);
    ck_assert_ptr_null(strstr(response->body, "t-1"));

    response = about(ann, "tasks/get", task);
    ck_assert_str_eq(client_calls[1].request->method, "tasks/get");
    ck_assert_str_eq(client_calls[1].params, "{\"taskId\":\"t-1\"}");
    ck_assert_uint_eq(client_calls[1].node.bytes[0], 9); /* where it was begun */
    client_result(2, "{\"taskId\":\"t-1\",\"status\":\"working\",\"ttl\":null}");
    ck_assert_ptr_nonnull(strstr(response->body, task));

    response = about(ann, "tasks/result", task);
    client_question(3, "e-1", "elicitation/create",
                    "{\"message\":\"m\",\"_meta\":{\"io.modelcontextprotocol/related-task\":"
                    "{\"taskId\":\"t-1\"}}}");
    ck_assert_ptr_nonnull(strstr(response->body, task)); /* in the question */
    ck_assert_ptr_null(strstr(response->body, "t-1"));
    snprintf(related, sizeof related,
             ANSWER(FIRST) "\"result\":{\"action\":\"accept\",\"_meta\":{"
                           "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"%s\"}}}}",
             task);
    client_legacy(ann, related);
    ck_assert_str_eq(client_input.result,
                     "{\"action\":\"accept\",\"_meta\":{\"io.modelcontextprotocol/related-task\":"
                     "{\"taskId\":\"t-1\"}}}");
    client_forget(response->id);
    client_result(3, "{\"content\":[],\"_meta\":{\"x\":1e400,"
                     "\"io.modelcontextprotocol/related-task\":{\"taskId\":\"t-1\"}}}");
    ck_assert_ptr_nonnull(strstr(response->body, task));
    ck_assert_ptr_nonnull(strstr(response->body, "1e400"));

    task[50] = task[50] == 'A' ? 'B' : 'A';
    response = about(ann, "tasks/cancel", task);
    ck_assert_ptr_nonnull(strstr(response->body, "-32602"));
    ck_assert_uint_eq(client_calls_count, 3);
}
END_TEST

START_TEST(tasks_are_offered_where_they_exist_and_only_in_their_revision)
{
    const struct client_offer offer = {
        .tools = tools,
        .capabilities = "{\"tools\":{},\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{"
                        "\"tools\":{\"call\":{}}}}}"};
    static const char carried[] =
        "\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{\"tools\":{\"call\":{}}}}";
    static const char initialize[] = ID "\"method\":\"initialize\",\"params\":{"
                                        "\"protocolVersion\":\"%s\",\"capabilities\":{}}}";
    char body[256];

    snprintf(body, sizeof body, initialize, "2025-11-25");
    ck_assert_ptr_null(strstr(client_send("POST", "/mcp", NULL, body)->body, "\"tasks\""));
    client_service_offer("jobs", true, &offer);
    ck_assert_ptr_nonnull(strstr(client_send("POST", "/mcp", NULL, body)->body, carried));
    ck_assert_ptr_nonnull(
        strstr(client_send("POST", "/mcp/servers/jobs", NULL, body)->body, carried));
    ck_assert_ptr_null(strstr(client_send("POST", "/mcp/servers/srv", NULL, body)->body, "tasks"));
    snprintf(body, sizeof body, initialize, "2025-06-18");
    ck_assert_ptr_null(
        strstr(client_send("POST", "/mcp/servers/jobs", NULL, body)->body, "\"tasks\""));
    ck_assert_ptr_null(
        strstr(client_modern("server/discover", NULL, "{" MODERN_META("") "}")->body, "\"tasks\""));
}
END_TEST

/* At its own endpoint a server answers as it does directly: what it does not have is no method. */
START_TEST(a_server_without_tasks_has_none_of_their_methods)
{
    static const char *const headers[] = {"mcp-protocol-version: 2026-07-28",
                                          "mcp-method: tasks/get", "mcp-name: t", NULL};
    static const char modern[] =
        ID "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t\"," MODERN_META("") "}}";
    static const char legacy[] = ID "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t\"}}";
    const struct client_response *response;
    char with[300];

    client_service_offer("jobs", true,
                         &(struct client_offer){
                             .tools = tools,
                             .capabilities =
                                 "{\"tools\":{},\"tasks\":{\"requests\":{\"tools\":{\"call\":{}}}},"
                                 "\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}"});
    response = client_send("POST", "/mcp/servers/srv", headers, modern);
    ck_assert_uint_eq(response->code, 404);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32601"));
    response = client_send("POST", "/mcp/servers/jobs", headers, modern);
    ck_assert_uint_eq(response->code, 200);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32602"));
    for (int i = 0; i < 2; i++) {
        const char *path = i == 0 ? "/mcp/servers/srv" : "/mcp/servers/jobs";
        snprintf(with, sizeof with, "mcp-session-id: %s", client_initialize(path, "2025-11-25"));
        response = client_send("POST", path, (const char *const[]){with, NULL}, legacy);
        ck_assert_uint_eq(response->code, 200);
        ck_assert_ptr_nonnull(
            strstr(response->body, i == 0 ? "\"code\":-32601" : "\"code\":-32602"));
    }
}
END_TEST

START_TEST(clients_without_tasks_get_none)
{
    const struct client_response *response = call_modern("");

    client_result(1, CREATED);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32603"));
    ck_assert_ptr_null(strstr(response->body, "t-1"));
    response = client_legacy(ann, CALL);
    client_result(2, CREATED);
    ck_assert_ptr_nonnull(strstr(response->body, "\"code\":-32603"));
    ck_assert_ptr_nonnull(strstr(client_legacy(ann, ID "\"method\":\"tasks/get\",\"params\":{"
                                                       "\"taskId\":\"t-1\"}}")
                                     ->body,
                                 "\"code\":-32602"));
}
END_TEST

START_TEST(extensions_of_all_servers_are_named_once)
{
    client_service_offer("b", true,
                         &(struct client_offer){.tools = tools,
                                                .capabilities =
                                                    "{\"extensions\":{\"x/one\":{\"a\":1},"
                                                    "\"x/two\":{}}}"});
    client_service_offer("c", true,
                         &(struct client_offer){.tools = tools,
                                                .capabilities = "{\"extensions\":{\"x/one\":{},"
                                                                "\"x/three\":{}}}"});
    ck_assert_ptr_nonnull(
        strstr(client_modern("server/discover", NULL, "{" MODERN_META("") "}")->body,
               "\"extensions\":{\"x/one\":{\"a\":1},\"x/two\":{},"
               "\"x/three\":{}}}"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("questions");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, client_teardown);
    tcase_add_test(tc, a_question_is_a_request_on_the_stream_of_its_call);
    tcase_add_test(tc, a_call_that_ends_takes_its_questions_back);
    tcase_add_test(tc, what_a_lost_node_asked_is_not_answered_at_the_next);
    tcase_add_test(tc, progress_never_goes_back_when_a_call_runs_again);
    tcase_add_test(tc, a_call_that_was_refused_runs_for_the_first_time);
    tcase_add_test(tc, what_cannot_be_asked_is_refused_for_the_client);
    tcase_add_test(tc, urls_have_an_id_in_the_revision_that_wants_one);
    tcase_add_test(tc,
                   a_question_that_its_server_takes_back_is_cancelled_and_its_answer_is_nothing);
    tcase_add_test(tc, what_was_done_at_a_url_is_told_in_the_revision_that_knows_it);
    tcase_add_test(tc, changed_roots_are_told_to_the_servers_that_this_session_called);
    tcase_add_test(tc, the_server_that_asks_is_named_where_there_are_many);
    tcase_add_test(tc, contents_that_a_revision_does_not_know_are_text);
    tcase_add_test(tc, a_servers_state_comes_back_to_the_node_it_came_from);
    tcase_add_test(tc, a_parked_call_is_resumed_and_nothing_of_it_shows);
    tcase_add_test(tc, a_parked_call_whose_node_is_gone_may_have_run);
    tcase_add_test(tc, a_state_of_a_servers_own_says_that_nothing_ran);
    tcase_add_test(tc, a_round_without_a_state_gets_none);
    tcase_add_test(tc, states_are_bound_to_their_request_and_their_time);
    tcase_add_test(tc, urls_that_an_old_server_wants_visited_are_a_round);
    tcase_add_test(tc, a_task_is_asked_about_where_it_is);
    tcase_add_test(tc, a_task_of_the_legacy_era_goes_by_a_sealed_id_wherever_it_stands);
    tcase_add_test(tc, tasks_are_offered_where_they_exist_and_only_in_their_revision);
    tcase_add_test(tc, clients_without_tasks_get_none);
    tcase_add_test(tc, a_server_without_tasks_has_none_of_their_methods);
    tcase_add_test(tc, extensions_of_all_servers_are_named_once);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
