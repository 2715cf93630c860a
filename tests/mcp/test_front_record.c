/* Legacy sessions that outlive their node: what is told to others before a client is answered, and
 * how a session of another node is found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/mcp/records/records.h"
#include "proto/pb.h"
#include "tests/mcp/client.h"
#include "tests/mcp/large.h"
#include "tests/mcp/work.h"
#include "tests/suite.h"

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define CALL \
    "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\"}}"
#define CANCEL \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":9}}"
#define INITIALIZE                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-06-18\",\"capabilities\":{\"roots\":{},\"x\":{\"deep\":[1]}}}}"
#define OLD_INITIALIZE                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":" \
    "\"2025-03-26\",\"capabilities\":{\"roots\":{}}}}"
#define SET_LEVEL                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/" \
    "setLevel\",\"params\":{\"level\":\"error\"}}"

/* Posts it, with nobody having confirmed anything yet. */
static uint64_t post(const char *session_id, const char *body)
{
    char line[400];
    const char *const headers[] = {"content-type: application/json",
                                   "accept: application/json, text/event-stream", "host: localhost",
                                   session_id == NULL ? NULL : line, NULL};
    uint64_t id;

    if (session_id != NULL) snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    id = client_open("POST", "/mcp", headers);
    client_body(id, body, strlen(body), true);
    return id;
}

START_TEST(a_session_is_told_once_two_others_keep_it)
{
    uint64_t id;
    char session_id[300];

    client_nodes(3);
    id = post(NULL, INITIALIZE);
    ck_assert_uint_eq(client_carries_count, 2);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_confirm_puts();
    ck_assert_uint_eq(client_response(id)->code, 200);
    strcpy(session_id, client_response(id)->session);
    id = post(session_id, SET_LEVEL);
    ck_assert_uint_eq(client_carries_count, 2);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_confirm_puts();
    ck_assert_uint_eq(client_response(id)->code, 200);
}
END_TEST

START_TEST(others_that_do_not_answer_do_not_hold_a_session_up_for_ever)
{
    uint64_t id, gone;

    client_nodes(3);
    id = post(NULL, INITIALIZE);
    gone = post(NULL, INITIALIZE);
    client_gone(gone);
    client_at(client_now.mono + RECORDS_WAIT - 1);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_at(client_now.mono + 1);
    ck_assert_uint_eq(client_response(id)->code, 200);
}
END_TEST

/* The answer of a node that keeps the session's record, or (is_ended) the mark of its end. */
static void answer_ask(const struct client_carry *asked, const Meshnode__Record__Record *record)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Found found = MESHNODE__RECORD__FOUND__INIT;
    const mn_id to = asked->to;

    ck_assert_int_eq(asked->packet->what_case, MESHNODE__RECORD__PACKET__WHAT_ASK);
    found.key = asked->packet->ask->key;
    found.record = (Meshnode__Record__Record *)(uintptr_t)record;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_FOUND;
    packet.found = &found;
    client_carried(&to, &packet);
}

/* The session of another node, whose record others keep: what this front puts is given back to it
 * after it forgot all. */
START_TEST(a_session_of_another_node_is_asked_for_and_goes_on)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    uint64_t id;

    client_nodes(2);
    id = post(NULL, INITIALIZE);
    client_confirm_puts();
    strcpy(session_id, client_response(id)->session);
    id = post(session_id, SET_LEVEL);
    record = client_carries[0].packet->put;
    client_confirm_puts();
    client_at(client_now.mono + MCP_SESSION_IDLE);
    client_at(client_now.mono + RECORDS_LIFE);
    client_carries_count = 0;

    id = post(session_id, CALL);
    ck_assert_uint_eq(client_carries_count, 2); /* both are asked */
    ck_assert_uint_eq(client_calls_count, 0);
    answer_ask(&client_carries[0], NULL);
    ck_assert_uint_eq(client_calls_count, 0);
    answer_ask(&client_carries[1], record);
    ck_assert_uint_eq(client_calls_count, 0); /* others are told first that it is here now */
    client_confirm_puts();
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].request->log_level, "error");
    ck_assert(mn_span_is(mn_span(client_calls[0].request->client_capabilities.data,
                                 client_calls[0].request->client_capabilities.len),
                         "{\"roots\":{},\"x\":{\"deep\":[1]}}"));
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_uint_eq(client_response(id)->code, 200);
}
END_TEST

/* A session that two more nodes know of; the record that they have. */
static const Meshnode__Record__Record *begun(const char *initialize, char session_id[300])
{
    const Meshnode__Record__Record *record;
    uint64_t id;

    client_nodes(2);
    id = post(NULL, initialize);
    record = client_carries[0].packet->put;
    client_confirm_puts();
    strcpy(session_id, client_response(id)->session);
    return record;
}

/* What waits meanwhile is neither copied nor checked once more, if it is large. */
START_TEST(large_request_waits_for_its_session_as_it_is)
{
    const Meshnode__Record__Record *record;
    char session_id[300], line[400];
    const char *const headers[] = {line, NULL};
    const char *text;
    uint64_t id;

    record = begun(INITIALIZE, session_id);
    client_at(client_now.mono + MCP_SESSION_IDLE);
    client_at(client_now.mono + RECORDS_LIFE);
    client_carries_count = 0;

    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    text =
        large_made("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":"
                   "\"srv__echo\",\"arguments\":{\"x\":\"",
                   "A", (size_t)15 << 20, "\"}}}");
    id = client_open("POST", "/mcp", headers);
    work_reset();
    for (size_t left = strlen(text), size; left > 0; text += size, left -= size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        client_body(id, text, size, size == left);
    }
    answer_ask(&client_carries[0], NULL);
    answer_ask(&client_carries[1], record);
    client_confirm_puts();
    large_work_off();
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_uint_gt(strlen(client_calls[0].params), (size_t)15 << 20);
    ck_assert_uint_le(work_worst(), LARGE_STEP_MAX);
    large_done();
}
END_TEST

/* It must not overtake the request that it is about, and be lost. */
START_TEST(what_comes_while_a_session_is_told_to_others_waits_too)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    uint64_t cancel;

    record = begun(INITIALIZE, session_id);
    client_at(client_now.mono + MCP_SESSION_IDLE);
    client_at(client_now.mono + RECORDS_LIFE);
    client_carries_count = 0;
    post(session_id, CALL);
    answer_ask(&client_carries[0], NULL);
    answer_ask(&client_carries[1], record);
    cancel = post(session_id, CANCEL);
    ck_assert_uint_eq(client_response(cancel)->code, 0);
    client_confirm_puts();
    ck_assert_uint_eq(client_response(cancel)->code, 202);
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

static const mn_id other = {{1}}; /* the first one of client_nodes() */

/* That node says what a client posted there, in the session of the record. */
static void relayed_late(const Meshnode__Record__Record *record, const char *message, mn_time age)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Relay relay = MESHNODE__RECORD__RELAY__INIT;

    relay.key = record->key;
    relay.message = pb_bytes(mn_span_str(message));
    relay.age = age;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_RELAY;
    packet.relay = &relay;
    client_carried(&other, &packet);
}

static void relayed(const Meshnode__Record__Record *record, const char *message)
{
    relayed_late(record, message, 0);
}

/* The session goes on at that node. */
static void moved(const Meshnode__Record__Record *record)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Record newer = *record;

    newer.version += 100; /* than whatever was put here since */
    newer.writer = pb_id_bytes(&other);
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_PUT;
    packet.put = &newer;
    client_carried(&other, &packet);
}

static const char *question_id(const char *body)
{
    static char id[32];
    const char *at = strstr(body, "\"id\":");

    ck_assert_ptr_nonnull(at);
    snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 5, ","), at + 5);
    return id;
}

START_TEST(what_a_client_posts_at_another_node_gets_to_its_call)
{
    const Meshnode__Record__Record *record;
    char session_id[300], answer[200];
    uint64_t id;

    record = begun(INITIALIZE, session_id);
    id = post(session_id, CALL);
    client_question(client_calls[0].ticket, "k-1", "roots/list", "");
    snprintf(answer, sizeof answer, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"roots\":[]}}",
             question_id(client_response(id)->body));
    moved(record);
    relayed(record, "nonsense");
    relayed(record, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    ck_assert_uint_eq(client_input.ticket, 0);
    relayed(record, answer);
    ck_assert_uint_eq(client_input.ticket, client_calls[0].ticket);
    ck_assert_str_eq(client_input.key, "k-1");
    ck_assert_str_eq(client_input.result, "{\"roots\":[]}");
    ck_assert(!client_calls[0].is_cancelled);
    client_carries_count = 0;
    relayed(record, CANCEL);
    ck_assert(client_calls[0].is_cancelled);
    relayed(record, answer); /* too late; and it is not passed on once more */
    ck_assert_uint_eq(client_carries_count, 0);
}
END_TEST

static uint64_t open_stream(const char *session_id)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    return client_open("GET", "/mcp", headers);
}

/* The session comes back from that node with the next thing that its client posts. */
static void come_back(const Meshnode__Record__Record *record, const char *session_id,
                      const char *body)
{
    moved(record);
    post(session_id, body);
    client_at(client_now.mono + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT);
    client_at(client_now.mono + 50 * MN_MS);
}

/* The session as another node has it, which knows of one stream there, and of those in [known]. */
static const Meshnode__Record__Record *with_streams(const Meshnode__Record__Record *record,
                                                    uint64_t moves,
                                                    const Meshnode__Record__Session *known)
{
    static Meshnode__Record__Record with;
    static uint8_t body[4096];
    Meshnode__Record__Stream there = MESHNODE__RECORD__STREAM__INIT;
    Meshnode__Record__Stream *streams[8] = {&there};
    Meshnode__Record__Session *session =
        meshnode__record__session__unpack(NULL, record->body.len, record->body.data);
    Meshnode__Record__Session changed;

    ck_assert_ptr_nonnull(session);
    there.moves = moves;
    there.opened_ms = 1;
    changed = *session;
    changed.streams = streams;
    changed.n_streams = 1;
    for (size_t i = 0; known != NULL && i < known->n_streams; i++)
        streams[changed.n_streams++] = known->streams[i];
    ck_assert_uint_le(meshnode__record__session__get_packed_size(&changed), sizeof body);
    with = *record;
    with.body.data = body;
    with.body.len = meshnode__record__session__pack(&changed, body);
    meshnode__record__session__free_unpacked(session, NULL);
    return &with;
}

/* A session with a stream that its record names; what that record says. */
static Meshnode__Record__Session *streamed(const Meshnode__Record__Record **record,
                                           char session_id[300])
{
    const Meshnode__Record__Record *last = NULL;
    Meshnode__Record__Session *session;

    *record = begun(INITIALIZE, session_id);
    (void)open_stream(session_id);
    (void)post(session_id, CALL);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    client_served(client_calls[1].ticket);
    for (uint32_t i = 0; i < client_carries_count; i++)
        if (client_carries[i].packet->what_case == MESHNODE__RECORD__PACKET__WHAT_PUT)
            last = client_carries[i].packet->put;
    ck_assert_ptr_nonnull(last);
    session = meshnode__record__session__unpack(NULL, last->body.len, last->body.data);
    ck_assert_ptr_nonnull(session);
    ck_assert_uint_eq(session->n_streams, 1);
    ck_assert_uint_eq(session->streams[0]->moves, 1);
    ck_assert_uint_eq(session->streams[0]->opened_ms, client_input.opened_ms);
    return session;
}

/* The other node took it from a record older than what was put here: which of the two streams the
 * client opened last only clocks can say. */
START_TEST(a_stream_that_the_new_node_did_not_know_of_is_judged_by_clocks)
{
    const Meshnode__Record__Record *record;
    Meshnode__Record__Session *said;
    char session_id[300];

    said = streamed(&record, session_id);
    ck_assert_uint_eq(client_input.moves, 1);
    come_back(with_streams(record, 3, NULL), session_id, SET_LEVEL);
    ck_assert_uint_eq(client_input.moves, 3);
    ck_assert_uint_eq(client_input.opened_ms, said->streams[0]->opened_ms);
    meshnode__record__session__free_unpacked(said, NULL);
}
END_TEST

START_TEST(a_stream_that_the_new_node_knew_of_stays_the_earlier_one)
{
    const Meshnode__Record__Record *record;
    Meshnode__Record__Session *said;
    char session_id[300];

    said = streamed(&record, session_id);
    come_back(with_streams(record, 3, said), session_id, SET_LEVEL);
    ck_assert_str_eq(client_input.levels, "error ");
    ck_assert_uint_eq(client_input.moves, 1);
    meshnode__record__session__free_unpacked(said, NULL);
}
END_TEST

/* Its client may read one at another node by now, and post here all the same: an answer, behind a
 * balancer. */
START_TEST(an_old_stream_does_not_become_the_last_by_what_is_posted)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    mn_time opened;

    record = begun(INITIALIZE, session_id);
    opened = client_now.wall;
    (void)open_stream(session_id);
    (void)post(session_id, CALL);
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_str_eq(client_calls[1].request->method, "subscriptions/listen");
    client_served(client_calls[1].ticket);
    ck_assert_uint_eq(client_input.moves, 1);
    ck_assert_uint_eq(client_input.opened_ms, opened / MN_MS);
    come_back(record, session_id, SET_LEVEL);
    ck_assert_str_eq(client_input.levels, "error ");
    ck_assert_uint_eq(client_input.moves, 1);
    ck_assert_uint_eq(client_input.opened_ms, opened / MN_MS);
    (void)open_stream(session_id);
    client_served(client_calls[client_calls_count - 1].ticket);
    ck_assert_uint_eq(client_input.moves, 2);
}
END_TEST

static uint32_t relays(const char *part)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < client_carries_count; i++) {
        const Meshnode__Record__Packet *packet = client_carries[i].packet;
        if (packet->what_case != MESHNODE__RECORD__PACKET__WHAT_RELAY) continue;
        ck_assert(mn_id_equal(&client_carries[i].to, &other));
        ck_assert_int_eq(packet->relay->message.data[0], '{'); /* one message */
        ck_assert_ptr_nonnull(
            memmem(packet->relay->message.data, packet->relay->message.len, part, strlen(part)));
        count++;
    }
    client_carries_count = 0;
    return count;
}

/* Its client uses ids again, and the word comes when the next call under that one runs. */
START_TEST(a_cancellation_that_comes_late_is_of_an_earlier_call)
{
    const Meshnode__Record__Record *record;
    char session_id[300];

    record = begun(INITIALIZE, session_id);
    post(session_id, CALL);
    client_at(client_now.mono + MN_SEC);
    moved(record);
    relayed_late(record, CANCEL, 2 * MN_SEC);
    relayed_late(record, CANCEL, UINT64_MAX);
    ck_assert(!client_calls[0].is_cancelled);
    relayed_late(record, CANCEL, MN_SEC / 2);
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

/* It was there when its client took it back, only its session was not. */
START_TEST(a_call_that_waited_for_its_session_is_cancelled_by_what_was_said_meanwhile)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    mn_time came;

    record = begun(INITIALIZE, session_id);
    moved(record);
    came = client_now.mono;
    post(session_id, CALL);
    client_at(came + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT); /* others do not confirm that it is here */
    ck_assert_uint_eq(client_calls_count, 1);
    relayed_late(record, CANCEL, client_now.mono - came + 1);
    ck_assert(!client_calls[0].is_cancelled);
    relayed_late(record, CANCEL, client_now.mono - came);
    ck_assert(client_calls[0].is_cancelled);
}
END_TEST

/* So is what waits for its server's word, though it waits only since its session was found. */
START_TEST(a_subscription_that_waited_for_its_session_is_cancelled_by_what_was_said_meanwhile)
{
    static const char *const resources[] = {"{\"uri\":\"x://1\",\"name\":\"1\"}", NULL};
    const Meshnode__Record__Record *record;
    char session_id[300];
    uint64_t id;
    mn_time came;

    client_service_offer(
        "told", true,
        &(struct client_offer){.resources = resources,
                               .capabilities = "{\"resources\":{\"subscribe\":true}}"});
    record = begun(INITIALIZE, session_id);
    moved(record);
    came = client_now.mono;
    id = post(session_id, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"resources/subscribe\","
                          "\"params\":{\"uri\":\"x://1\"}}");
    client_at(came + 1);
    post(session_id, CANCEL);
    client_at(came + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT);
    ck_assert_uint_eq(client_calls_count, 1); /* its server is asked */
    ck_assert(client_response(id)->is_ended);
    ck_assert_ptr_null(strstr(client_response(id)->body, "result"));
}
END_TEST

/* Where its session was, the next call of that id may have begun while this node looked for it. */
START_TEST(a_cancellation_is_as_old_as_what_was_posted)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    uint64_t id, age = 0;
    mn_time came;

    record = begun(INITIALIZE, session_id);
    moved(record);
    client_carries_count = 0;
    came = client_now.mono;
    id = post(session_id, CANCEL);
    client_at(came + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT);
    ck_assert_uint_eq(client_response(id)->code, 202);
    for (uint32_t i = 0; i < client_carries_count; i++)
        if (client_carries[i].packet->what_case == MESHNODE__RECORD__PACKET__WHAT_RELAY)
            age = client_carries[i].packet->relay->age;
    ck_assert_uint_eq(age, client_now.mono - came);
    ck_assert_uint_eq(relays("\"requestId\":9"), 1);
}
END_TEST

/* That one knows more of it by now, which would be lost. */
START_TEST(a_task_that_begins_late_does_not_take_its_session_back)
{
    const Meshnode__Record__Record *record;
    char session_id[300];
    uint64_t id;

    record = begun(INITIALIZE, session_id);
    id = post(session_id, CALL);
    moved(record);
    client_carries_count = 0;
    client_result(client_calls[0].ticket, "{\"task\":{\"taskId\":\"t\",\"status\":\"working\"}}");
    ck_assert_ptr_nonnull(strstr(client_response(id)->body, "\"status\":\"working\""));
    ck_assert_uint_eq(client_carries_count, 0);
}
END_TEST

START_TEST(what_nobody_here_waits_for_is_passed_to_who_had_the_session)
{
    static char large[RECORDS_RELAY_MAX + 100];
    Meshnode__Record__Record record;
    char session_id[300];
    uint64_t id;

    record = *begun(INITIALIZE, session_id);
    client_at(client_now.mono + RECORDS_YOUNG);
    post(session_id, "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}");
    ck_assert_uint_eq(relays("result"), 0); /* it was nowhere else */
    snprintf(large, sizeof large, "{\"jsonrpc\":\"2.0\",\"id\":78,\"result\":{\"a\":\"%*s\"}}",
             (int)RECORDS_RELAY_MAX, "");
    ck_assert_uint_eq(client_response(post(session_id, large))->code, 202); /* it is late */
    moved(&record);
    client_carries_count = 0;

    id = post(session_id, "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{\"action\":\"accept\"}}");
    client_at(client_now.mono + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT); /* others do not confirm that it is here */
    ck_assert_uint_eq(client_response(id)->code, 202);
    ck_assert_uint_eq(relays("\"id\":77,\"result\":{\"action\":\"accept\"}"), 1);
    id = post(session_id, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                          "\"requestId\":\"x\",\"reason\":\"r\"}}");
    ck_assert_uint_eq(client_response(id)->code, 202);
    ck_assert_uint_eq(relays("\"params\":{\"requestId\":\"x\"}"), 1);
    id = post(session_id, large);
    ck_assert_uint_eq(client_response(id)->code, 413);
    ck_assert_uint_eq(relays(""), 0);
}
END_TEST

START_TEST(answers_of_a_batch_are_passed_on_one_by_one)
{
    Meshnode__Record__Record record;
    char session_id[300];
    uint64_t id;

    record = *begun(OLD_INITIALIZE, session_id);
    client_at(client_now.mono + RECORDS_YOUNG);
    moved(&record);
    client_carries_count = 0;
    id = post(session_id, "[{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{\"a\":1}},"
                          "{\"jsonrpc\":\"2.0\",\"id\":78,\"result\":{\"a\":2}}]");
    client_at(client_now.mono + RECORDS_ASK_WAIT);
    client_at(client_now.mono + RECORDS_WAIT);
    ck_assert_uint_eq(client_response(id)->code, 202);
    ck_assert_uint_eq(relays("\"result\":{\"a\":"), 2);
}
END_TEST

START_TEST(a_session_that_ended_elsewhere_does_not_come_back)
{
    Meshnode__Record__Record record = MESHNODE__RECORD__RECORD__INIT;
    char session_id[300], line[400];
    const char *const headers[] = {line, NULL};
    uint64_t id;

    strcpy(session_id, client_initialize("/mcp", "2025-06-18"));
    client_at(client_now.mono + MCP_SESSION_IDLE);
    client_at(client_now.mono + RECORDS_LIFE);
    client_nodes(1);
    client_at(client_now.mono + RECORDS_YOUNG);
    id = post(session_id, PING);
    record.key = client_carries[0].packet->ask->key;
    record.version = 7;
    record.writer = record.key; /* any 16 bytes */
    record.life_ms = 1000;
    record.is_ended = true;
    answer_ask(&client_carries[0], &record);
    ck_assert_uint_eq(client_response(id)->code, 404);
    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", headers, NULL)->code, 404);
}
END_TEST

static uint64_t end_session(const char *session_id)
{
    char line[400];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof line, "mcp-session-id: %s", session_id);
    return client_open("DELETE", "/mcp", headers);
}

/* Else it could come back where they are, when this one dies. */
START_TEST(a_session_is_over_once_two_others_know)
{
    char session_id[300];
    uint64_t id, ping;

    (void)begun(INITIALIZE, session_id);
    id = end_session(session_id);
    ck_assert_uint_eq(client_carries_count, 2);
    ck_assert(client_carries[0].packet->put->is_ended);
    ck_assert_uint_eq(client_response(id)->code, 0);
    ping = post(session_id, PING); /* here it is over at once */
    ck_assert_uint_eq(client_response(ping)->code, 404);
    client_confirm_puts();
    ck_assert_uint_eq(client_response(id)->code, 200);
    ck_assert(client_response(id)->is_ended);
    ck_assert(front_is_idle(client_front));
}
END_TEST

START_TEST(others_that_do_not_answer_do_not_hold_an_end_up_for_ever)
{
    char session_id[300], left[300];
    uint64_t id, gone;

    (void)begun(INITIALIZE, left);
    (void)begun(INITIALIZE, session_id);
    id = end_session(session_id);
    gone = end_session(left);
    client_gone(gone);
    client_at(client_now.mono + RECORDS_WAIT - 1);
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_at(client_now.mono + 1);
    ck_assert_uint_eq(client_response(id)->code, 200);
    ck_assert_uint_eq(client_response(gone)->code, 0);
}
END_TEST

static void setup_services(void)
{
    static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                        NULL};

    client_service("srv", true, tools);
}

/* Without its subscriptions it would go on as if nothing ever changed. */
START_TEST(a_session_whose_record_nobody_has_is_over)
{
    char session_id[300];
    uint64_t id;

    strcpy(session_id, client_initialize("/mcp", "2025-06-18"));
    client_at(client_now.mono + MCP_SESSION_IDLE);
    client_at(client_now.mono + RECORDS_LIFE);
    client_nodes(2);
    client_at(client_now.mono + RECORDS_YOUNG);
    client_carries_count = 0;
    id = post(session_id, PING);
    ck_assert_uint_eq(client_carries_count, 2);
    answer_ask(&client_carries[0], NULL);
    client_at(client_now.mono + RECORDS_LOST_WAIT - 1); /* the other one is waited for */
    ck_assert_uint_eq(client_response(id)->code, 0);
    client_at(client_now.mono + 1);
    ck_assert_uint_eq(client_response(id)->code, 404);
    ck_assert_uint_eq(client_calls_count, 0);
}
END_TEST

/* All that it is; and an id of one that ended is still none. */
START_TEST(a_session_outlives_a_restart_of_its_node)
{
    uint64_t number = 0, id;
    char session_id[300], ended[300], line[400];
    const char *const headers[] = {line, NULL};

    client_config.writes_count = &number;
    client_restart();
    setup_services();
    id = post(NULL, INITIALIZE);
    client_at(client_now.mono + RECORDS_LOST_WAIT);
    strcpy(session_id, client_response(id)->session);
    ck_assert_uint_eq(client_response(post(session_id, SET_LEVEL))->code, 200);
    strcpy(ended, client_response(post(NULL, INITIALIZE))->session);
    snprintf(line, sizeof line, "mcp-session-id: %s", ended);
    ck_assert_uint_eq(client_send("DELETE", "/mcp", headers, NULL)->code, 200);
    client_restart();
    setup_services();

    id = post(session_id, CALL);
    client_at(client_now.mono + RECORDS_ASK_WAIT); /* others may know better */
    ck_assert_uint_eq(client_calls_count, 1);
    ck_assert_str_eq(client_calls[0].request->log_level, "error");
    ck_assert_str_eq(client_calls[0].request->protocol_version, "2025-06-18");
    ck_assert(mn_span_is(mn_span(client_calls[0].request->client_capabilities.data,
                                 client_calls[0].request->client_capabilities.len),
                         "{\"roots\":{},\"x\":{\"deep\":[1]}}"));
    client_result(client_calls[0].ticket, "{\"content\":[]}");
    ck_assert_uint_eq(client_response(id)->code, 200);
    ck_assert_uint_eq(client_response(post(ended, PING))->code, 404);
    ck_assert_uint_eq(client_send("POST", "/mcp/servers/srv", headers, PING)->code, 404);
    session_id[60] = session_id[60] == 'A' ? 'B' : 'A';
    ck_assert_uint_eq(client_response(post(session_id, PING))->code, 404);
}
END_TEST

static void setup(void)
{
    client_setup();
    setup_services();
}

int main(void)
{
    Suite *suite = suite_create("front_record");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, client_teardown);
    tcase_add_test(all, a_session_is_told_once_two_others_keep_it);
    tcase_add_test(all, others_that_do_not_answer_do_not_hold_a_session_up_for_ever);
    tcase_add_test(all, a_session_of_another_node_is_asked_for_and_goes_on);
    tcase_add_test(all, large_request_waits_for_its_session_as_it_is);
    tcase_add_test(all, what_comes_while_a_session_is_told_to_others_waits_too);
    tcase_add_test(all, what_a_client_posts_at_another_node_gets_to_its_call);
    tcase_add_test(all, a_task_that_begins_late_does_not_take_its_session_back);
    tcase_add_test(all, what_nobody_here_waits_for_is_passed_to_who_had_the_session);
    tcase_add_test(all, answers_of_a_batch_are_passed_on_one_by_one);
    tcase_add_test(all, a_stream_that_the_new_node_did_not_know_of_is_judged_by_clocks);
    tcase_add_test(all, a_stream_that_the_new_node_knew_of_stays_the_earlier_one);
    tcase_add_test(all, an_old_stream_does_not_become_the_last_by_what_is_posted);
    tcase_add_test(all, a_cancellation_that_comes_late_is_of_an_earlier_call);
    tcase_add_test(all, a_call_that_waited_for_its_session_is_cancelled_by_what_was_said_meanwhile);
    tcase_add_test(
        all, a_subscription_that_waited_for_its_session_is_cancelled_by_what_was_said_meanwhile);
    tcase_add_test(all, a_cancellation_is_as_old_as_what_was_posted);
    tcase_add_test(all, a_session_is_over_once_two_others_know);
    tcase_add_test(all, others_that_do_not_answer_do_not_hold_an_end_up_for_ever);
    tcase_add_test(all, a_session_that_ended_elsewhere_does_not_come_back);
    tcase_add_test(all, a_session_whose_record_nobody_has_is_over);
    tcase_add_test(all, a_session_outlives_a_restart_of_its_node);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
