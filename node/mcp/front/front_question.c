/* What servers want to know from clients of the legacy era: each question becomes a request of ours
 * on the stream of the call it belongs to; the client's response, posted in its session, goes back
 * into the call. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "proto/base/text.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define QUESTIONS_MAX 16 /* open ones of a call */
#define KEY_MAX 256      /* bytes */
#define NOT_ANY_MORE "the server does not ask any more"

static struct mn_span front_question_id(const struct front_question *question)
{
    return mn_span(&question->id, sizeof question->id);
}

static void front_question_free(struct front *front, struct front_question *question)
{
    mn_map_remove(&front->questions, &question->by_id);
    mn_list_remove(&question->in_call);
    if (question->session != NULL) question->session->questions_count--;
    mn_free(question);
}

/* Where else the client of a call hears us: on the stream of its session, or of its newest other
 * call. NULL: nowhere. */
static struct front_exchange *front_question_stream_beside(const struct front_call *call)
{
    struct mn_list *calls = &call->session->calls;

    if (call->session->stream != NULL) return call->session->stream;
    for (struct mn_list *entry = calls->prev; entry != calls; entry = entry->prev) {
        const struct front_call *other = MN_CONTAINER(entry, struct front_call, in_session);
        if (other != call && other->exchange != NULL) return other->exchange;
    }
    return NULL;
}

bool front_question_is_heard(const struct front_call *call)
{
    return front_question_stream_beside(call) != NULL;
}

/* Where it hears us: a server that is a child cannot say which of a session's calls it asks about,
 * so the one that it was put down to may be one whose stream the client dropped. */
static struct front_exchange *front_question_stream(const struct front_call *call)
{
    return call->exchange != NULL ? call->exchange : front_question_stream_beside(call);
}

void front_question_end(struct front *front, struct front_question *question,
                        struct front_exchange *exchange, const char *reason)
{
    if (exchange != NULL && exchange->is_stream) {
        struct mn_writer params = {0}, message = {0};
        mn_writer_format(&params, "{\"requestId\":%llu,\"reason\":\"%s\"}",
                         (unsigned long long)question->id, reason);
        jsonrpc_write_notification(&message, "notifications/cancelled", mn_buf_span(params.buf));
        front_reply_event(front, exchange, mn_buf_span(message.buf));
        mn_writer_drop(&params);
        mn_writer_drop(&message);
    }
    front_question_free(front, question);
}

static void front_question_cancel(struct front *front, struct front_question *question,
                                  const char *reason)
{
    const struct front_call *call = question->call;
    struct front_exchange *exchange =
        front->outbox == NULL || call->session == NULL ? NULL : front_question_stream(call);

    front_question_end(front, question, exchange, reason);
}

void front_question_drop(struct front *front, struct front_call *call)
{
    front_large_withdraw(front, call, mn_span(NULL, 0));
    front_input_drop(front, call);
    front_outlive_drop(front, call);
    while (!mn_list_is_empty(&call->questions))
        front_question_cancel(front,
                              MN_CONTAINER(call->questions.next, struct front_question, in_call),
                              "the call is over");
}

struct front_question *front_question_find(const struct front_call *call, struct mn_span key)
{
    MN_LIST_FOR_EACH (entry, &call->questions) {
        struct front_question *question = MN_CONTAINER(entry, struct front_question, in_call);
        if (mn_span_equal(question->key, key)) return question;
    }
    return NULL;
}

/* It may have outlived another call before. */
static struct front_question *front_question_known(const struct front_call *call,
                                                   struct mn_span key)
{
    return call->session == NULL ? NULL
                                 : front_aside_find(call->session, call->service, &call->node, key);
}

void front_question_withdraw(struct front *front, struct front_call *call, struct mn_span key)
{
    struct front_question *question = front_question_find(call, key);
    struct front_exchange *stream;

    front_large_withdraw(front, call, key);
    if (question != NULL) {
        front_question_cancel(front, question, NOT_ANY_MORE);
        return;
    }
    question = front_question_known(call, key);
    if (question == NULL) return;
    stream = call->session->stream != NULL ? call->session->stream : front_question_stream(call);
    if (stream != NULL) front_reply_open(front, stream);
    front_question_end(front, question, stream, NOT_ANY_MORE);
}

void front_question_become(struct front *front, struct front_question *question,
                           struct front_question *next)
{
    next->method = question->method;
    next->id = question->id;
    front_question_free(front, question);
    mn_map_insert(&front->questions, &next->by_id, front_question_id(next));
}

static void front_question_say(struct front *front, const struct front_call *call,
                               const Meshnode__Gateway__Answer *answer)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;

    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_ANSWER;
    input.answer = (Meshnode__Gateway__Answer *)(uintptr_t)answer;
    call_emit(front->outbox->calls, CALL_MESSAGE_INPUT)->more =
        (struct call_more){call->ticket, pb_pack(&input.base)};
}

static void front_question_refuse(struct front *front, const struct front_call *call,
                                  struct mn_span key, int32_t code, const char *text)
{
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = code;
    error.message = (char *)(uintptr_t)text;
    answer.key = (char *)(uintptr_t)mn_arena_copy(&front->scratch, key).data;
    answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_ERROR;
    answer.error = &error;
    front_question_say(front, call, &answer);
}

/* 2025-11-25 names each URL to be visited. */
const char *front_question_url_id(struct front *front, const struct front_session *session,
                                  const struct json *params)
{
    uint8_t random[8];
    char text[2 * sizeof random + 1];

    if (strcmp(session->version, "2025-11-25") != 0 ||
        !mn_span_is(json_text(json_find_str(params, "mode")), "url") ||
        json_find_str(params, "elicitationId") != NULL)
        return NULL;
    rng_bytes(&front->rng, random, sizeof random);
    mn_hex_encode(mn_span(random, sizeof random), text);
    return mn_arena_format(&front->scratch, "%s", text);
}

/* As an event. What became small, because of spaces that were left out, is one as any, and kept. */
static void front_question_event(struct front *front, struct front_exchange *exchange,
                                 struct pieces *message)
{
    struct mn_writer text = {0};
    size_t at = 0;

    if (pieces_size(message) >= JSONRPC_LARGE) {
        front_reply_event_pieces(front, exchange, message);
        return;
    }
    (void)pieces_copy(message, &at, SIZE_MAX, true, &text);
    front_reply_event(front, exchange, mn_buf_span(text.buf));
    mn_writer_drop(&text);
}

void front_question_put(struct front *front, struct front_exchange *exchange,
                        struct front_question *question, const char *method, struct pieces *params)
{
    struct pieces message = {0};

    question->method = method;
    question->id = ++front->question_last;
    mn_map_insert(&front->questions, &question->by_id, front_question_id(question));
    front_reply_open(front, exchange);
    mn_writer_format(&message.writer, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"%s\"",
                     (unsigned long long)question->id, method);
    if (pieces_size(params) > 0) pieces_str(&message, ",\"params\":");
    pieces_move(&message, params);
    pieces_str(&message, "}");
    front_question_event(front, exchange, &message);
    pieces_drop(&message);
}

const char *front_question_method(const char *method)
{
    static const char *const methods[] = {
        "sampling/createMessage", "elicitation/create", "roots/list", "tasks/get",
        "tasks/result",           "tasks/cancel",       "tasks/list"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0) return methods[i];
    return NULL;
}

/* _meta of what goes to a call about a task, or comes back, where that is named: as the client
 * knows it, or as the server does ([is_own]). Its members are kept. */
static const struct json *front_question_meta(struct front *front, const struct front_call *call,
                                              const struct json *meta, bool is_own)
{
    static const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *whole;
    struct mn_span text;

    if (call == NULL || call->method->kind != NAMES_UI || call->uri.size == 0 ||
        !json_is(meta, JSON_OBJECT))
        return meta;
    text = mn_span_str(mn_arena_format(&front->scratch, "{\"_meta\":%.*s}", (int)meta->raw.size,
                                       (const char *)meta->raw.data));
    text = is_own ? front_task_own(front, call, text) : front_task_related(front, call, text);
    if (json_parse_copy(front->parser, text, limits, &front->scratch, &whole) != MN_OK) return meta;
    return json_find_str(whole, "_meta");
}

static void front_question_send(struct front *front, struct front_exchange *exchange,
                                struct front_call *call, const char *method,
                                const struct json *params, struct mn_span key,
                                struct mn_buf *source)
{
    struct front_question *question = mn_alloc(sizeof *question + key.size);
    struct front_asked asked = {0};
    struct pieces text = {.source = source, .is_line = true};

    question->call = call;
    question->key = mn_span(question + 1, key.size);
    memcpy(question + 1, key.data, key.size);
    mn_list_push_back(&call->questions, &question->in_call);
    if (front_content_is_named(call, method)) asked.service = call->service;
    if (params != NULL) {
        asked.meta = front_question_meta(front, call, json_find_str(params, "_meta"), false);
        asked.url_id = front_question_url_id(front, call->session, params);
        front_content_put(&text, params, &asked);
    }
    front_question_put(front, exchange, question, method, &text);
    pieces_drop(&text);
}

static uint32_t front_question_count(const struct front *front, const struct front_call *call)
{
    uint32_t count = front_large_count(front, call);

    MN_LIST_FOR_EACH (entry, &call->questions)
        count++;
    return count;
}

/* [params] NULL: there are none. */
static void front_question_try(struct front *front, struct front_call *call, struct mn_span key,
                               const char *method, const struct json *params, struct mn_buf *source)
{
    struct front_exchange *exchange = call->session == NULL ? NULL : front_question_stream(call);

    if (exchange == NULL)
        front_question_refuse(front, call, key, JSONRPC_INTERNAL, "the client is not connected");
    else if (!front_theirs_may_ask(call->session, call->service, method, params))
        front_question_refuse(front, call, key, JSONRPC_INVALID_PARAMS, "Task not found");
    else
        front_question_send(front, exchange, call, method, params, key, source);
}

void front_question_checked(struct front *front, struct front_call *call, struct mn_span key,
                            const char *method, const struct json *params, struct mn_buf *source)
{
    if (json_is(params, JSON_OBJECT))
        front_question_try(front, call, key, method, params, source);
    else
        front_question_refuse(front, call, key, JSONRPC_INTERNAL, "this cannot be asked");
}

void front_question_ask(struct front *front, struct front_call *call,
                        const Meshnode__Gateway__Question *asked, struct mn_buf *payload)
{
    static const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct mn_span key = pb_text(asked->key), raw = pb_span(asked->params);
    const char *method = front_question_method(asked->method);
    const struct json *params = NULL;

    if (front_question_known(call, key) != NULL) return; /* its client has it */
    if (method == NULL || key.size > KEY_MAX || front_question_count(front, call) >= QUESTIONS_MAX)
        front_question_refuse(front, call, key, JSONRPC_INTERNAL, "this cannot be asked");
    else if (raw.size >= JSONRPC_LARGE)
        front_large_ask(front, call, payload, key, method, raw);
    else if (raw.size == 0)
        front_question_try(front, call, key, method, NULL, NULL);
    else if (json_parse_copy(front->parser, raw, limits, &front->scratch, &params) == MN_OK)
        front_question_checked(front, call, key, method, params, NULL);
    else
        front_question_checked(front, call, key, method, NULL, NULL);
}

static void front_question_answer(struct front *front, const struct front_question *question,
                                  const Meshnode__Gateway__Answer *answer)
{
    if (question->call == NULL) {
        front_aside_answer(front, question, answer);
    } else {
        front_question_say(front, question->call, answer);
        front_outlive_answered(front, question->call, answer);
    }
}

/* What the client answers; about a task under its server's own id. */
static void front_question_write_result(struct front *front, struct front_session *session,
                                        const struct front_question *question,
                                        const struct json *result, struct pieces *to)
{
    const struct front_call *call = question->call;
    struct mn_span service = call == NULL ? question->service : call->service;
    struct front_asked asked = {0};

    if (strcmp(question->method, "tasks/list") == 0) {
        pieces_add(to, front_theirs_listed(front, session, service, result->raw));
        return;
    }
    if (strncmp(question->method, "tasks/", 6) != 0)
        front_theirs_begun(front, session, service, call == NULL ? &question->node : &call->node,
                           result);
    asked.meta = front_question_meta(front, call, json_find_str(result, "_meta"), true);
    front_content_put(to, result, &asked);
}

static void front_question_on_result(struct front *front, struct front_session *session,
                                     const struct front_question *question,
                                     Meshnode__Gateway__Answer *answer, const struct json *result)
{
    struct pieces text = {.source = front->body_whole};

    front_question_write_result(front, session, question, result, &text);
    if (text.done_count > 0) {
        front_input_begin(front, question, answer, &text);
    } else {
        answer->how_case = MESHNODE__GATEWAY__ANSWER__HOW_RESULT;
        answer->result = pb_bytes(mn_buf_span(text.writer.buf));
        front_question_answer(front, question, answer);
    }
    pieces_drop(&text);
}

static void front_question_on_error(struct front *front, const struct front_question *question,
                                    Meshnode__Gateway__Answer *answer,
                                    const struct jsonrpc_message *message)
{
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = message->code;
    error.message = (char *)(uintptr_t)mn_arena_copy(&front->scratch, message->message).data;
    error.data = pb_bytes(message->data);
    answer->how_case = MESHNODE__GATEWAY__ANSWER__HOW_ERROR;
    answer->error = &error;
    answer->by_client = true;
    front_question_answer(front, question, answer);
}

bool front_question_on_response(struct front *front, struct front_session *session,
                                const struct jsonrpc_message *message)
{
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    struct front_question *question;
    struct mn_map_entry *entry;
    uint64_t id;

    if (jsonrpc_id_number(message->id, &id) != MN_OK) return true; /* no node asks under such */
    entry = mn_map_find(&front->questions, mn_span(&id, sizeof id));
    if (entry == NULL) return false;
    question = MN_CONTAINER(entry, struct front_question, by_id);
    if ((question->call == NULL ? question->session : question->call->session) != session)
        return true; /* it was not this client that was asked */
    answer.key = (char *)(uintptr_t)mn_arena_copy(&front->scratch, question->key).data;
    if (message->kind == JSONRPC_RESULT)
        front_question_on_result(front, session, question, &answer, message->result);
    else
        front_question_on_error(front, question, &answer, message);
    front_question_free(front, question);
    return true;
}
