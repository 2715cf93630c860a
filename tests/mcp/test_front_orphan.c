/* Calls of legacy sessions that came through another node: what is noted of them, what a client
 * that comes for their streams gets, and what is told when nobody has it any more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/front/front_state.h"
#include "node/mcp/records/records.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define NOTE (500 * MN_MS)
#define INITIALIZE                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-11-25\",\"capabilities\":{\"elicitation\":{}}}}"
#define CALL                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":\"nine\",\"method\":\"tools/call\",\"params\":{\"name\":" \
    "\"srv__echo\",\"_meta\":{\"progressToken\":\"t\"}}}"
#define RESULT "data: {\"jsonrpc\":\"2.0\",\"id\":\"nine\",\"result\":{\"content\":[]}}\n\n"
#define PROGRESS(n)                                                                 \
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{" \
    "\"progressToken\":\"t\",\"progress\":" n "}}\n\n"
#define NINE "226e696e6522" /* "nine", with its quotes */

static char session_id[300];
static uint64_t stream_id;    /* the exchange of the call */
static struct mn_buf *record; /* the newest that was put */
static struct mn_arena arena;

static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                    NULL};

static uint64_t post(const char *body)
{
    char line[400];
    const char *const headers[] = {"content-type: application/json",
                                   "accept: application/json, text/event-stream", "host: localhost",
                                   session_id[0] == 0 ? NULL : line, NULL};
    uint64_t id;

    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    id = client_open("POST", "/mcp", headers);
    client_body(id, body, strlen(body), true);
    return id;
}

static uint64_t get_after(const char *event)
{
    char line[400], last[200];
    const char *const headers[] = {line, last, "accept: text/event-stream", NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    snprintf(last, sizeof last, "last-event-id: %s", event);
    return client_open("GET", "/mcp", headers);
}

/* What was put last, as far as there is something; and confirms it. */
static void take_record(void)
{
    for (uint32_t i = 0; i < client_carries_count; i++) {
        const Meshnode__Record__Packet *packet = client_carries[i].packet;
        if (packet->what_case != MESHNODE__RECORD__PACKET__WHAT_PUT) continue;
        mn_buf_unref(record);
        record = pb_pack(&packet->put->base);
    }
    client_confirm_puts();
}

static const Meshnode__Record__Session *session_of_record(void)
{
    const Meshnode__Record__Record *whole =
        pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
    return pb_unpack(&meshnode__record__session__descriptor, &arena, pb_span(whole->body));
}

static void begin_session(const char *initialize)
{
    session_id[0] = 0;
    stream_id = post(initialize);
    take_record();
    strcpy(session_id, client_response(stream_id)->session);
}

/* A node of which a client has a session and a call, of which it has heard. */
static void setup(void)
{
    client_setup();
    client_service("srv", true, tools);
    client_nodes(2);
    client_keeps_ids = true;
    begin_session(INITIALIZE);
    stream_id = post(CALL);
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_assert_body(client_response(stream_id),
                       "id: p1-1." NINE "\nretry: 1000\ndata: \n\nevent: message\nid: p1-2." NINE
                       "\n" PROGRESS("1"));
}

static void teardown(void)
{
    client_teardown();
    record = mn_buf_unref(record);
    mn_arena_done(&arena);
}

/* The same client at a node that knows nothing but what others keep. */
static void at_another_node(void)
{
    client_teardown();
    client_setup();
    client_service("srv", true, tools);
    client_nodes(2);
    client_keeps_ids = true;
    client_at(client_now.mono + RECORDS_YOUNG);
}

/* Gives the record to who asks for it; without one: all holders are dead, too. */
static void answer_asks(bool has_record)
{
    uint32_t count = client_carries_count;

    for (uint32_t i = 0; i < count; i++) {
        Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
        Meshnode__Record__Found found = MESHNODE__RECORD__FOUND__INIT;
        const mn_id to = client_carries[i].to;
        ck_assert_int_eq(client_carries[i].packet->what_case, MESHNODE__RECORD__PACKET__WHAT_ASK);
        found.key = client_carries[i].packet->ask->key;
        if (has_record)
            found.record =
                pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
        packet.what_case = MESHNODE__RECORD__PACKET__WHAT_FOUND;
        packet.found = &found;
        client_carried(&to, &packet);
    }
    take_record();
}

START_TEST(calls_that_last_are_noted_until_they_end)
{
    const Meshnode__Record__Session *said;

    ck_assert_uint_eq(client_carries_count, 0); /* short ones cost nothing */
    client_at(client_now.mono + NOTE);
    ck_assert_uint_eq(client_carries_count, 2);
    take_record();
    said = session_of_record();
    ck_assert_uint_eq(said->n_running, 1);
    ck_assert(mn_span_is(pb_span(said->running[0]->id), "\"nine\""));
    ck_assert(mn_span_is(pb_span(said->running[0]->service), "srv"));
    ck_assert_str_eq(said->running[0]->method, "tools/call");
    ck_assert(
        mn_span_equal(pb_span(said->running[0]->orphan), pb_span(client_calls[0].request->orphan)));
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_uint_eq(client_carries_count, 2);
    take_record();
    said = session_of_record();
    ck_assert_uint_eq(said->n_running, 0);
    ck_assert_uint_eq(said->n_kept, 1); /* its client may not have got it */
}
END_TEST

/* Its client may be at another node before the stream would have been old enough. */
START_TEST(a_call_whose_young_stream_breaks_is_noted_at_once)
{
    ck_assert_uint_eq(client_carries_count, 0);
    client_gone(stream_id);
    ck_assert_uint_eq(client_carries_count, 2);
    take_record();
    ck_assert_uint_eq(session_of_record()->n_running, 1);
    ck_assert(mn_span_is(pb_span(session_of_record()->running[0]->id), "\"nine\""));
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    take_record();
    ck_assert_uint_eq(session_of_record()->n_running, 0);
    ck_assert_uint_eq(session_of_record()->n_kept, 1);
}
END_TEST

START_TEST(where_a_call_runs_is_noted_as_soon_as_it_is_known)
{
    const Meshnode__Record__Session *said;
    mn_id node;

    client_result(client_calls[0].ticket, "{\"content\":[]}");
    stream_id = post(CALL);
    client_at(client_now.mono + FRONT_UPGRADE);
    client_at(client_now.mono + NOTE);
    take_record();
    ck_assert_uint_eq(session_of_record()->n_running, 1);
    client_served(client_calls[1].ticket);
    take_record();
    said = session_of_record();
    ck_assert_uint_eq(said->n_running, 1);
    ck_assert_int_eq(pb_id(said->running[0]->node, &node), MN_OK);
    ck_assert(mn_id_equal(&node, &client_server));
}
END_TEST

/* Those that serve a call are members: what they are told does not open what others are told. */
START_TEST(who_serves_a_call_cannot_ask_for_more)
{
    const Meshnode__Record__Record *whole =
        pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
    const uint8_t *session = client_calls[0].request->session.data, *orphan, *other;

    ck_assert_uint_eq(client_calls[0].request->session.len, whole->key.len);
    ck_assert(memcmp(session, whole->key.data, whole->key.len) != 0);
    post(CALL);
    ck_assert(mn_span_equal(pb_span(client_calls[1].request->session),
                            pb_span(client_calls[0].request->session)));
    orphan = client_calls[0].request->orphan.data;
    other = client_calls[1].request->orphan.data;
    for (size_t at = 0; at < 16; at += 8) {
        ck_assert(memcmp(orphan + at, other + at, 8) != 0);
        ck_assert(memcmp(orphan + at, session + at, 8) != 0);
        ck_assert(memcmp(orphan + at, whole->key.data + at, 8) != 0);
    }
}
END_TEST

START_TEST(a_call_of_another_node_is_asked_for_with_its_stream)
{
    uint64_t id, orphan;
    unsigned long long place;
    char body[200], last[80];

    client_at(client_now.mono + NOTE);
    take_record();
    orphan = 0;
    memcpy(&orphan, client_calls[0].request->orphan.data + 8, 8);
    at_another_node();
    id = get_after("p1-2." NINE);
    answer_asks(true);
    ck_assert_uint_eq(client_response(id)->code, 200);
    client_assert_body(client_response(id), "");
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].service, "srv");
    ck_assert_uint_eq(client_calls[0].request->resume.len, 16);
    ck_assert(memcmp(client_calls[0].request->resume.data + 8, &orphan, 8) == 0);
    ck_assert(client_calls[0].request->is_live);
    client_progress(client_calls[0].ticket, "{\"progress\":2}");
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_int_eq(sscanf(client_response(id)->body, "event: message\nid: p1-%llu.", &place), 1);
    ck_assert_uint_gt(place, UINT32_MAX); /* after all that the first node gave out */
    snprintf(body, sizeof body, "event: message\nid: p1-%llu\n" RESULT, place + 1);
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, PROGRESS("2")));
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, body));
    ck_assert(client_response(id)->is_ended);
    snprintf(last, sizeof last, "p1-%llu." NINE, place);
    id = get_after(last); /* the last event was lost again */
    client_assert_body(client_response(id), body);
    ck_assert(client_response(id)->is_ended);
}
END_TEST

START_TEST(an_answer_that_its_node_had_is_had_at_the_next)
{
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    client_gone(stream_id);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    take_record();
    at_another_node();
    id = get_after("p1-2." NINE);
    answer_asks(true);
    client_assert_body(client_response(id), "event: message\nid: p1-3\n" RESULT);
    ck_assert(client_response(id)->is_ended);
    ck_assert_uint_eq(client_calls_count, 0);
    id = get_after("p1-3"); /* it has that */
    client_assert_body(client_response(id), "");
    ck_assert(client_response(id)->is_ended);
}
END_TEST

static void assert_unknown(uint64_t id)
{
    const struct client_response *response = client_response(id);

    ck_assert_ptr_nonnull(strstr(response->body, "\"id\":\"nine\",\"error\":{\"code\":-32603"));
    ck_assert_ptr_nonnull(strstr(response->body, "outcome unknown"));
    ck_assert_ptr_nonnull(strstr(response->body, "\"reason\":\"outcome_unknown\""));
    ck_assert(response->is_ended);
}

START_TEST(what_nobody_knows_of_is_told)
{
    uint64_t id;

    at_another_node(); /* before it was noted */
    id = get_after("p1-2." NINE);
    answer_asks(true);
    assert_unknown(id);
    ck_assert_uint_eq(client_calls_count, 0);
    at_another_node(); /* all that kept the record are dead: so is the session */
    id = get_after("p1-2." NINE);
    answer_asks(false);
    client_at(client_now.mono + 3 * MN_SEC);
    ck_assert_uint_eq(client_response(id)->code, 404);
}
END_TEST

START_TEST(a_call_that_is_nowhere_any_more_is_told)
{
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    at_another_node();
    id = get_after("p1-2." NINE);
    answer_asks(true);
    client_failed(client_calls[0].ticket, CALL_UNAVAILABLE, "no link to the node yet");
    ck_assert(!client_response(id)->is_ended);
    client_at(client_now.mono + MN_SEC); /* it is asked again */
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert(mn_span_equal(pb_span(client_calls[0].request->resume),
                            pb_span(client_calls[1].request->resume)));
    client_at(client_now.mono + 10 * MN_SEC);
    client_failed(client_calls[1].ticket, CALL_UNAVAILABLE, "the node is gone");
    assert_unknown(id);
}
END_TEST

START_TEST(a_call_whose_link_broke_is_asked_for_by_its_own_node)
{
    client_at(client_now.mono + NOTE);
    take_record();
    client_forget(stream_id);
    client_failed(client_calls[0].ticket, CALL_OUTCOME_UNKNOWN, "the link was lost");
    client_assert_body(client_response(stream_id), "");
    client_at(client_now.mono + MN_SEC);
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert(mn_span_equal(pb_span(client_calls[0].request->orphan),
                            pb_span(client_calls[1].request->resume)));
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    client_assert_body(client_response(stream_id), "event: message\nid: p1-3\n" RESULT);
    /* and where the call ended with its server, that is told at once */
    stream_id = post(CALL);
    client_progress(client_calls[2].ticket, "{\"progress\":1}");
    client_at(client_now.mono + NOTE);
    client_failed(client_calls[2].ticket, CALL_OUTCOME_UNKNOWN, "the server died");
    client_at(client_now.mono + MN_SEC);
    client_failed(client_calls[3].ticket, CALL_GONE, "it is not here any more");
    assert_unknown(stream_id);
}
END_TEST

/* Another node wrote the record since: the client uses that one now. */
static void take_session_elsewhere(void)
{
    Meshnode__Record__Record *whole =
        pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    const mn_id other = {{2}};

    whole->version++;
    whole->writer = pb_id_bytes(&other);
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_PUT;
    packet.put = whole;
    mn_buf_unref(record);
    record = pb_pack(&whole->base);
    client_carried(&other, &packet);
    client_carries_count = 0;
}

START_TEST(a_call_goes_to_another_node_and_comes_back)
{
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    client_forget(stream_id);
    take_session_elsewhere();
    client_failed(client_calls[0].ticket, CALL_OUTCOME_UNKNOWN, "another node has it now");
    client_assert_body(client_response(stream_id), ""); /* nobody knows what became of it */
    ck_assert(client_response(stream_id)->is_ended);
    id = get_after("p1-2." NINE);
    answer_asks(true);
    ck_assert_uint_eq(client_calls_count, 2);
    ck_assert(mn_span_equal(pb_span(client_calls[0].request->orphan),
                            pb_span(client_calls[1].request->resume)));
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT));
    ck_assert_ptr_null(strstr(client_response(id)->body, "error"));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

/* Asked for here, too late: the node that the client uses now has it, or its answer. */
START_TEST(a_call_that_is_gone_is_left_to_the_node_that_has_the_session)
{
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    at_another_node();
    id = get_after("p1-2." NINE);
    answer_asks(true);
    take_record();
    take_session_elsewhere();
    client_failed(client_calls[0].ticket, CALL_GONE, "it is not here any more");
    client_assert_body(client_response(id), "");
    ck_assert(client_response(id)->is_ended);
}
END_TEST

START_TEST(a_call_of_another_node_can_be_cancelled)
{
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    at_another_node();
    id = post("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
              "\"requestId\":\"nine\"}}");
    answer_asks(true);
    ck_assert_uint_eq(client_response(id)->code, 202);
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert(!client_calls[0].is_cancelled); /* who is not there yet cannot be cancelled */
    id = post("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
              "\"requestId\":\"nine\"}}");
    ck_assert_uint_eq(client_response(id)->code, 202);
    ck_assert(!client_calls[0].is_cancelled); /* nor by saying so twice: it would be forgotten */
    client_progress(client_calls[0].ticket, "{}");
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

/* A connection that is dead at the client's end is open here until somebody notices. */
START_TEST(who_comes_back_early_has_the_call_at_the_new_connection)
{
    uint64_t id = get_after("p1-1." NINE);

    ck_assert(client_response(stream_id)->is_ended);
    client_assert_body(client_response(id), "event: message\nid: p1-2." NINE "\n" PROGRESS("1"));
    client_forget(id);
    client_progress(client_calls[0].ticket, "{\"progress\":2}");
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_assert_body(client_response(id), "event: message\nid: p1-3." NINE
                                            "\n" PROGRESS("2") "event: message\nid: p1-4\n" RESULT);
    ck_assert(client_response(id)->is_ended);
    ck_assert_uint_eq(client_calls_count, 1);
}
END_TEST

/* When there is no room for all, the oldest are left out, wherever the session was. */
START_TEST(answers_stay_in_their_order_from_node_to_node)
{
    const Meshnode__Record__Session *said;

    client_at(client_now.mono + NOTE);
    take_record();
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    take_record();
    stream_id = post(CALL);
    client_progress(client_calls[1].ticket, "{\"progress\":1}");
    client_at(client_now.mono + NOTE);
    take_record();
    client_result(client_calls[1].ticket, "{\"content\":[2]}");
    take_record();
    for (int node = 0; node < 3; node++) {
        said = session_of_record();
        ck_assert_uint_eq(said->n_kept, 2);
        ck_assert_uint_gt(said->kept[0]->place, said->kept[1]->place);
        at_another_node();
        get_after("p1-2." NINE);
        answer_asks(true);
    }
}
END_TEST

/* What a record says, as a member that means ill would have it. */
static void record_says(const char *id, const char *progress, const char *kept)
{
    Meshnode__Record__Record *whole =
        pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
    Meshnode__Record__Session *said =
        pb_unpack(&meshnode__record__session__descriptor, &arena, pb_span(whole->body));
    Meshnode__Record__Kept answer = MESHNODE__RECORD__KEPT__INIT, *answers[] = {&answer};
    struct mn_buf *body;

    said->running[0]->id = pb_bytes(mn_span_str(id));
    said->running[0]->progress = pb_bytes(mn_span_str(progress));
    answer.stream = 1;
    answer.place = 9;
    answer.json = pb_bytes(mn_span_str(kept));
    said->kept = answers;
    said->n_kept = 1;
    body = pb_pack(&said->base);
    whole->body = pb_bytes(mn_buf_span(body));
    mn_buf_unref(record);
    record = pb_pack(&whole->base);
    mn_buf_unref(body);
}

/* Else the record that this node writes in its turn would not fit. */
START_TEST(a_record_that_no_node_would_write_is_none)
{
    static const size_t sizes[][3] = {{16385, 2, 0}, {2, 4097, 0}, {2, 2, 257}, {16384, 4096, 256}};
    Meshnode__Record__Record *whole =
        pb_unpack(&meshnode__record__record__descriptor, &arena, mn_buf_span(record));
    Meshnode__Record__Session *said =
        pb_unpack(&meshnode__record__session__descriptor, &arena, pb_span(whole->body));
    static char text[16385], *uris[257];
    struct mn_buf *body;
    uint64_t id;

    memset(text, ' ', sizeof text);
    text[0] = '{';
    text[sizes[_i][0] - 1] = '}';
    said->client_capabilities = pb_bytes(mn_span(text, sizes[_i][0]));
    said->client_info = pb_bytes(mn_span(text, sizes[_i][1]));
    for (size_t i = 0; i < sizes[_i][2]; i++)
        uris[i] = (char *)(uintptr_t)mn_arena_format(&arena, "x://%zu", i);
    said->subscriptions = uris;
    said->n_subscriptions = sizes[_i][2];
    body = pb_pack(&said->base);
    whole->body = pb_bytes(mn_buf_span(body));
    mn_buf_unref(record);
    record = pb_pack(&whole->base);
    mn_buf_unref(body);
    at_another_node();
    id = get_after("g1-1");
    answer_asks(true);
    client_at(client_now.mono + 4 * MN_SEC);
    ck_assert_uint_eq(client_response(id)->code, _i == 3 ? 200 : 404);
}
END_TEST

START_TEST(a_record_does_not_put_words_into_a_stream)
{
    static const char *const bad[][3] = {
        {"\"nine\"\n\ndata: {}", "\"t\"", "nonsense"},
        {"{}", "\"t\"", "{\"a\":1}\n"},
        {" 9", "\"t\"", "[1]"},
        {"", "\"t\"", "{} {}"},
        {"\"nine\"", "1,\"a\":2", ""},
    };
    uint64_t id;

    client_at(client_now.mono + NOTE);
    take_record();
    record_says(bad[_i][0], bad[_i][1], bad[_i][2]);
    at_another_node();
    id = get_after("p1-2." NINE);
    answer_asks(true);
    ck_assert_uint_eq(client_calls_count, 0);
    assert_unknown(id);
    ck_assert_ptr_null(strstr(client_response(id)->body, "p1-9"));
}
END_TEST

START_TEST(made_up_ids_say_nothing_of_others)
{
    static const char *const made_up[] = {
        "p1-2.",
        "p1-2.2",
        "p1-2.7b7d" /* {} */,
        "p1-2.37.",
        "p1-2.37..38",
        "p1-2.37.zz",
        "p1-2.+.37",
        "p1-2.++",
        "p1-2.6e756c6c" /* null */,
        "p1-2.3720" /* "7 " */,
        "p.37",
        "p1-2.30ff",
        "g1-2.zz",
        ".37",
    };
    char long_id[160] = "p1-2.22";

    memset(long_id + 7, '6', 120);
    for (size_t i = 0; i <= sizeof made_up / sizeof *made_up; i++) {
        const char *last = i == sizeof made_up / sizeof *made_up ? long_id : made_up[i];
        uint64_t id = get_after(last); /* none of ours: the session's own stream */
        ck_assert_msg(!client_response(id)->is_ended, "%s", last);
        client_assert_body(client_response(id), "");
    }
}
END_TEST

/* ---- batches ---- */

#define INITIALIZE_BATCHES                                                                     \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-03-26\",\"capabilities\":{}}}"
#define CALL_OF(id)                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":" \
    "\"srv__echo\",\"_meta\":{\"progressToken\":\"t\"}}}"
#define RESULT_OF(id) "data: {\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"content\":[]}}\n\n"

/* A batch of three calls, 1, 2 and "nine", that has become a stream. */
static void begin_batch(void)
{
    begin_session(INITIALIZE_BATCHES);
    client_calls_count = 0;
    stream_id = post("[" CALL_OF("1") "," CALL_OF("2") "," CALL_OF("\"nine\"") "]");
    ck_assert_uint_eq(client_calls_count, 3);
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_assert_body(client_response(stream_id),
                       "event: message\nid: p1-1.31.32." NINE "\n" PROGRESS("1"));
}

static void assert_told(uint64_t id, const char *request)
{
    char text[80];

    snprintf(text, sizeof text, "\"id\":%s,\"error\":{\"code\":-32603,", request);
    ck_assert_msg(strstr(client_response(id)->body, text) != NULL, "%s in %s", text,
                  client_response(id)->body);
}

START_TEST(the_rest_of_a_batch_is_taken_up)
{
    char last[80];
    unsigned long long place;
    uint64_t id;

    begin_batch();
    client_at(client_now.mono + NOTE);
    client_forget(stream_id);
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    client_assert_body(client_response(stream_id),
                       "event: message\nid: p1-2.31." NINE "\n" RESULT_OF("2"));
    take_record();
    ck_assert_uint_eq(session_of_record()->n_running, 2);
    at_another_node();
    id = get_after("p1-2.31." NINE);
    answer_asks(true);
    client_assert_body(client_response(id), ""); /* it has that answer */
    ck_assert_uint_eq(client_calls_count, 2);
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    ck_assert_int_eq(sscanf(client_response(id)->body, "event: message\nid: p1-%llu.", &place), 1);
    ck_assert(!client_response(id)->is_ended);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT_OF("1")));
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT_OF("\"nine\"")));
    ck_assert(client_response(id)->is_ended);
    snprintf(last, sizeof last, "p1-%llu.31", place);
    id = get_after(last); /* of those answers it got only the first */
    ck_assert_ptr_null(strstr(client_response(id)->body, "\"nine\""));
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT_OF("1")));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

START_TEST(what_its_client_has_an_answer_to_is_not_taken_up)
{
    uint64_t id;

    begin_batch();
    client_at(client_now.mono + NOTE);
    take_record();
    client_result(client_calls[1].ticket, "{\"content\":[]}"); /* which no other node hears of */
    client_carries_count = 0;
    at_another_node();
    id = get_after("p1-2.31." NINE);
    answer_asks(true);
    ck_assert_uint_eq(client_calls_count, 2);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    ck_assert_ptr_null(strstr(client_response(id)->body, "\"id\":2,"));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

/* An event's id has no room for it. */
START_TEST(a_request_with_a_long_id_is_taken_up)
{
#define LONG "\"0123456789012345678901234567890123456789012345678901234567890123456789\""
    uint64_t id;

    begin_session(INITIALIZE_BATCHES);
    client_calls_count = 0;
    stream_id = post("[" CALL_OF("1") "," CALL_OF(LONG) "]");
    client_progress(client_calls[0].ticket, "{\"progress\":1}");
    client_assert_body(client_response(stream_id), "event: message\nid: p1-1.31.+\n" PROGRESS("1"));
    client_at(client_now.mono + NOTE);
    take_record();
    at_another_node();
    id = get_after("p1-1.31.+");
    answer_asks(true);
    ck_assert_uint_eq(client_calls_count, 2);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT_OF(LONG)));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

START_TEST(what_is_lost_of_a_batch_is_told_of_each)
{
    uint64_t id;

    begin_batch();
    client_result(client_calls[1].ticket, "{\"content\":[]}");
    at_another_node(); /* before it was noted */
    id = get_after("p1-2.31." NINE);
    answer_asks(true);
    ck_assert_uint_eq(client_calls_count, 0);
    assert_told(id, "1");
    assert_told(id, "\"nine\"");
    ck_assert_ptr_null(strstr(client_response(id)->body, "\"id\":2,"));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

START_TEST(of_a_batch_some_is_kept_some_runs_and_some_is_lost)
{
    static char large[20000] = "{\"content\":[\"";
    uint64_t id;

    begin_batch();
    client_at(client_now.mono + NOTE);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    memset(large + 13, 'x', sizeof large - 13);
    memcpy(large + sizeof large - 4, "\"]}", 4);
    client_result(client_calls[1].ticket, large); /* which no record has room for */
    take_record();
    at_another_node();
    id = get_after("p1-1.31.32." NINE);
    answer_asks(true);
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, "id: p1-2." NINE "\n" RESULT_OF("1")));
    assert_told(id, "2");
    ck_assert(!client_response(id)->is_ended);
    ck_assert_uint_eq(client_calls_count, 1);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, RESULT_OF("\"nine\"")));
    ck_assert(client_response(id)->is_ended);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_orphan");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, calls_that_last_are_noted_until_they_end);
    tcase_add_test(all, a_call_whose_young_stream_breaks_is_noted_at_once);
    tcase_add_test(all, where_a_call_runs_is_noted_as_soon_as_it_is_known);
    tcase_add_test(all, who_serves_a_call_cannot_ask_for_more);
    tcase_add_test(all, a_call_of_another_node_is_asked_for_with_its_stream);
    tcase_add_test(all, an_answer_that_its_node_had_is_had_at_the_next);
    tcase_add_test(all, what_nobody_knows_of_is_told);
    tcase_add_test(all, a_call_that_is_nowhere_any_more_is_told);
    tcase_add_test(all, a_call_whose_link_broke_is_asked_for_by_its_own_node);
    tcase_add_test(all, a_call_goes_to_another_node_and_comes_back);
    tcase_add_test(all, a_call_that_is_gone_is_left_to_the_node_that_has_the_session);
    tcase_add_test(all, a_call_of_another_node_can_be_cancelled);
    tcase_add_test(all, who_comes_back_early_has_the_call_at_the_new_connection);
    tcase_add_test(all, answers_stay_in_their_order_from_node_to_node);
    tcase_add_loop_test(all, a_record_that_no_node_would_write_is_none, 0, 4);
    tcase_add_loop_test(all, a_record_does_not_put_words_into_a_stream, 0, 5);
    tcase_add_test(all, made_up_ids_say_nothing_of_others);
    tcase_add_test(all, the_rest_of_a_batch_is_taken_up);
    tcase_add_test(all, what_its_client_has_an_answer_to_is_not_taken_up);
    tcase_add_test(all, a_request_with_a_long_id_is_taken_up);
    tcase_add_test(all, what_is_lost_of_a_batch_is_told_of_each);
    tcase_add_test(all, of_a_batch_some_is_kept_some_runs_and_some_is_lost);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
