#include "node/mcp/upstream/upstream_question.h"

#include "node/mcp/upstream/upstream_askable.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_leave.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_parked.h"
#include "node/mcp/upstream/upstream_reply.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_round.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define CANCELLED "{\"action\":\"cancel\"}"
#define BAD_ANSWER "the client's answer is no JSON object"
#define PARAMS_FIELD 3 /* of a question, gateway.proto */
#define QUESTION_FIELD \
    MESHNODE__GATEWAY__EVENT__KIND_QUESTION /* a kind is the number of its field */

struct upstream_asked *upstream_question_asked(struct upstream_request *request)
{
    if (request->asked == NULL) {
        request->asked = mn_alloc(sizeof *request->asked);
        mn_list_init(&request->asked->questions);
        mn_list_init(&request->asked->answered);
        request->asked->request = request;
    }
    return request->asked;
}

static void upstream_question_forget(struct upstream_question *question)
{
    upstream_reply_drop(question->reply);
    mn_list_remove(&question->link);
    mn_buf_unref(question->source);
    mn_buf_unref(question->answer);
    mn_free(question);
}

void upstream_question_drop(struct upstream_asked *asked, struct upstream_question *question)
{
    upstream_question_forget(question);
    MN_ASSERT(asked->open_count > 0);
    asked->open_count--;
}

/* What a server answered to is not said to it again. */
void upstream_question_forget_answered(struct upstream_asked *asked)
{
    while (!mn_list_is_empty(&asked->answered))
        upstream_question_forget(
            MN_CONTAINER(asked->answered.next, struct upstream_question, link));
}

void upstream_question_free(struct upstream_request *request)
{
    struct upstream_asked *asked = request->asked;

    if (asked == NULL) return;
    upstream_leave_cancelled(request);
    while (!mn_list_is_empty(&asked->questions))
        upstream_question_drop(asked,
                               MN_CONTAINER(asked->questions.next, struct upstream_question, link));
    if (asked->is_parked) upstream_parked_forget(request);
    upstream_question_forget_answered(asked);
    mn_buf_unref(asked->state);
    mn_free(asked);
    request->asked = NULL;
}

static struct mn_span upstream_question_copy(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

/* [params], if they are large, are part of [source], and stay there. */
struct upstream_question *upstream_question_add(struct upstream_request *request,
                                                struct mn_span key, struct mn_span id,
                                                struct mn_span method, struct mn_span params,
                                                struct mn_buf *source)
{
    struct upstream_asked *asked = upstream_question_asked(request);
    bool is_part = params.size >= JSONRPC_LARGE && source != NULL && mn_buf_has(source, params);
    struct upstream_question *question =
        mn_alloc(sizeof *question + key.size + id.size + method.size + (is_part ? 0 : params.size));
    uint8_t *to = (uint8_t *)(question + 1);

    question->asked = asked;
    question->key = upstream_question_copy(&to, key);
    question->id = upstream_question_copy(&to, id);
    question->method = upstream_question_copy(&to, method);
    question->params = is_part ? params : upstream_question_copy(&to, params);
    if (is_part) question->source = mn_buf_part(source, params);
    mn_list_push_back(&asked->questions, &question->link);
    if (asked->open_count++ == 0) asked->since = request->server->host->now.mono;
    return question;
}

/* ---- to the caller ---- */

static char *upstream_question_string(struct upstream_host *host, struct mn_span text)
{
    return (char *)(uintptr_t)mn_arena_copy(&host->scratch, text).data;
}

/* The event of [told] with params that are part of [source], copied once. */
static struct mn_buf *upstream_question_pack(const Meshnode__Gateway__Question *told,
                                             struct mn_buf *source, struct mn_span params)
{
    uint8_t outer[PB_BYTES_HEAD_MAX], inner[PB_BYTES_HEAD_MAX];
    struct mn_buf *begin = pb_pack(&told->base), *event;
    size_t inner_size = pb_bytes_head(PARAMS_FIELD, params.size, inner);
    size_t outer_size =
        pb_bytes_head(QUESTION_FIELD, begin->size + inner_size + params.size, outer);
    struct mn_writer head = {0};

    mn_writer_add(&head, mn_span(outer, outer_size));
    mn_writer_add(&head, mn_buf_span(begin));
    mn_writer_add(&head, mn_span(inner, inner_size));
    event = mn_buf_behead(source, params, mn_buf_span(head.buf));
    mn_writer_drop(&head);
    mn_buf_unref(begin);
    return event;
}

void upstream_question_tell(struct upstream_request *request,
                            const struct upstream_question *question)
{
    struct upstream_host *host = request->server->host;
    Meshnode__Gateway__Question told = MESHNODE__GATEWAY__QUESTION__INIT;
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    if (request->ticket == 0) return; /* told once somebody comes for the call */
    told.key = upstream_question_string(host, question->key);
    told.method = upstream_question_string(host, question->method);
    if (question->source != NULL) {
        upstream_call_emit_packed(
            request, CALL_EVENT_PROGRESS,
            upstream_question_pack(&told, question->source, question->params));
    } else {
        told.params = pb_bytes(question->params);
        event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_QUESTION;
        event.question = &told;
        upstream_call_emit(request, CALL_EVENT_PROGRESS, &event);
    }
    upstream_timer_set(host, &request->timer, UPSTREAM_HEARTBEAT);
}

/* ---- from a legacy server ---- */

/* A name for it within the call. */
static struct mn_span upstream_question_name(struct upstream_request *request,
                                             struct mn_span method)
{
    struct upstream_asked *asked = upstream_question_asked(request);

    return mn_span_str(mn_arena_format(&request->server->host->scratch, "%s-%u",
                                       upstream_askable_capability(method), ++asked->number_last));
}

void upstream_question_pass_on(struct upstream_request *request,
                               const struct upstream_question *question, struct mn_span as,
                               bool is_known)
{
    struct mn_span name = as.size > 0 ? as : upstream_question_name(request, question->method);
    struct upstream_question *next = upstream_question_add(
        request, name, question->id, question->method, question->params, question->source);

    next->is_cancelled = question->is_cancelled;
    next->is_lasting = as.size > 0;
    if (!is_known)
        upstream_question_tell(request, next);
    else if (request->ticket != 0)
        upstream_timer_set(request->server->host, &request->timer, UPSTREAM_HEARTBEAT);
}

static bool upstream_question_is_legacy(struct mn_span name)
{
    return mn_span_is(name, "elicitationId") || mn_span_is(name, "task");
}

/* The params (NULL: none) without what the modern era does not have; NULL: there is nothing such.
 */
static struct mn_buf *upstream_question_modern(const struct json *params)
{
    struct mn_writer writer = {0};
    const char *before = "{";

    if (json_find_str(params, "elicitationId") == NULL && json_find_str(params, "task") == NULL)
        return NULL;
    mn_writer_reserve(&writer, params->raw.size);
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        if (upstream_question_is_legacy(key->text)) continue;
        mn_writer_str(&writer, before);
        mn_writer_add(&writer, key->raw);
        mn_writer_str(&writer, ":");
        mn_writer_add(&writer, json_value(key)->raw);
        before = ",";
    }
    mn_writer_str(&writer, before[0] == '{' ? "{}" : "}");
    return mn_writer_done(&writer);
}

/* The legacy server's request as a question of that call. */
static struct upstream_question *upstream_question_of(struct upstream_request *request,
                                                      const struct jsonrpc_message *message)
{
    struct mn_buf *text = request->server->host->text,
                  *modern = request->is_live ? NULL : upstream_question_modern(message->params);
    struct mn_span params = message->params == NULL ? mn_span(NULL, 0) : message->params->raw;
    struct upstream_question *question = upstream_question_add(
        request, upstream_question_name(request, message->method), message->id, message->method,
        modern == NULL ? params : mn_buf_span(modern), modern == NULL ? text : modern);

    mn_buf_unref(modern);
    question->is_cancelled =
        upstream_askable_is_cancelled(request->server, message->method, message->params);
    return question;
}

bool upstream_question_ask(struct upstream_request *request, const struct jsonrpc_message *message)
{
    struct upstream_host *host;
    struct upstream_asked *asked;
    struct upstream_question *question;

    if (request == NULL) return false;
    host = request->server->host;
    if (!upstream_askable_may(host, mn_buf_span(request->server->lease.capabilities),
                              message->method, message->params))
        return false;
    asked = upstream_question_asked(request);
    if (asked->open_count >= UPSTREAM_QUESTIONS_MAX) return false;
    question = upstream_question_of(request, message);
    if (request->is_live) {
        upstream_question_tell(request, question);
    } else if (!asked->is_parked && !asked->is_collecting) {
        asked->is_collecting = true;
        upstream_timer_set(host, &request->timer, UPSTREAM_QUESTION_COLLECT);
    }
    return true;
}

static void upstream_question_reply(struct upstream *server, struct mn_span id,
                                    struct mn_span result)
{
    struct mn_writer writer = {0};

    jsonrpc_write_result(&writer, id, result);
    upstream_message_reply(server, &writer);
}

void upstream_question_refuse(struct upstream *server, struct mn_span id, bool is_cancelled,
                              int64_t code, struct mn_span text, struct mn_span data)
{
    struct mn_writer writer = {0};

    if (is_cancelled) {
        upstream_question_reply(server, id, mn_span_str(CANCELLED));
        return;
    }
    jsonrpc_write_error(&writer, id, code, text, data);
    upstream_message_reply(server, &writer);
}

void upstream_question_refuse_bad(struct upstream *server, struct mn_span id, bool is_cancelled)
{
    upstream_question_refuse(server, id, is_cancelled, JSONRPC_INTERNAL, mn_span_str(BAD_ANSWER),
                             mn_span(NULL, 0));
}

void upstream_question_give(struct upstream *server, struct mn_span id, bool is_cancelled,
                            struct mn_buf *source, struct mn_span result)
{
    if (result.size >= JSONRPC_LARGE)
        upstream_reply_begin(server, id, is_cancelled, source, result);
    else if (upstream_question_is_object(server->host, result))
        upstream_question_reply(server, id, result);
    else
        upstream_question_refuse_bad(server, id, is_cancelled);
}

static void upstream_question_reply_error(struct upstream_request *request,
                                          const struct upstream_question *question, int64_t code,
                                          struct mn_span text, struct mn_span data)
{
    upstream_question_refuse(request->server, question->id, question->is_cancelled, code, text,
                             data);
}

/* Nobody waits for people any more: the server's own time counts again. */
void upstream_question_settled(struct upstream_request *request)
{
    upstream_call_watch_time(request);
}

void upstream_question_tell_withdrawn(struct upstream_request *request,
                                      const struct upstream_question *question)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_WITHDRAWN;
    event.withdrawn = upstream_question_string(request->server->host, question->key);
    upstream_call_emit(request, CALL_EVENT_PROGRESS, &event);
}

static struct upstream_question *upstream_question_of_id(const struct upstream_asked *asked,
                                                         struct mn_span id)
{
    MN_LIST_FOR_EACH (link, &asked->questions) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        if (question->id.size > 0 && mn_span_equal(question->id, id)) return question;
    }
    return NULL;
}

/* A client that was asked by a result, and not live, still has the question: its answer is then
 * to nothing, and ignored. */
void upstream_question_withdraw(struct upstream *server, struct mn_span id)
{
    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        struct upstream_asked *asked = request->asked;
        struct upstream_question *question =
            asked == NULL ? NULL : upstream_question_of_id(asked, id);
        if (question == NULL) continue;
        MN_PROBE("upstream: a server takes its question back");
        if (request->is_live) upstream_question_tell_withdrawn(request, question);
        upstream_question_drop(asked, question);
        if (asked->open_count > 0 || asked->is_parked) return;
        asked->is_collecting = false;
        upstream_question_settled(request);
        return;
    }
    upstream_asked_withdraw(server, id);
}

/* In the client's name, when it does not answer. */
static void upstream_question_decline(struct upstream_request *request)
{
    struct upstream_asked *asked = request->asked;

    MN_LIST_FOR_EACH_SAFE (link, &asked->questions) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        if (question->id.size > 0)
            upstream_question_reply_error(request, question, JSONRPC_INTERNAL,
                                          mn_span_str("the client did not answer in time"),
                                          mn_span(NULL, 0));
        if (question->is_lasting) upstream_question_tell_withdrawn(request, question);
        upstream_question_drop(asked, question);
    }
}

/* ---- answers ---- */

static struct upstream_question *upstream_question_find(const struct upstream_asked *asked,
                                                        struct mn_span key)
{
    MN_LIST_FOR_EACH (link, &asked->questions) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        if (mn_span_equal(question->key, key)) return question;
    }
    return NULL;
}

bool upstream_question_is_object(struct upstream_host *host, struct mn_span text)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *value;

    return json_parse_copy(host->parser, text, limits, &host->scratch, &value) == MN_OK &&
           value->type == JSON_OBJECT;
}

/* What a client says itself goes to a legacy server as it is; a modern one knows no errors. */
static void upstream_question_on_refusal(struct upstream_request *request,
                                         struct upstream_question *question, bool by_client,
                                         int64_t code, struct mn_span text, struct mn_span data)
{
    if (question->id.size > 0) {
        upstream_question_refuse(request->server, question->id,
                                 question->is_cancelled && !by_client, code, text, data);
        upstream_question_drop(request->asked, question);
        if (request->asked->open_count == 0) upstream_question_settled(request);
    } else if (upstream_askable_is_elicitation(question->method)) {
        upstream_round_collect(request, question, mn_buf_copy(mn_span_str(CANCELLED)));
    } else {
        upstream_call_answer_error(request, code, text, data);
    }
}

static void upstream_question_on_bad(struct upstream_request *request,
                                     struct upstream_question *question)
{
    upstream_question_on_refusal(request, question, false, JSONRPC_INTERNAL,
                                 mn_span_str(BAD_ANSWER), mn_span(NULL, 0));
}

void upstream_question_on_checked(struct upstream_question *question, struct mn_buf *answer)
{
    if (answer == NULL)
        upstream_question_on_bad(question->asked->request, question);
    else
        upstream_round_collect(question->asked->request, question, answer);
}

/* Of a legacy server, or of a modern one. */
static void upstream_question_on_result(struct upstream_request *request,
                                        struct upstream_question *question, struct mn_buf *source,
                                        struct mn_span result)
{
    struct upstream *server = request->server;

    if (question->id.size > 0) {
        upstream_question_give(server, question->id, question->is_cancelled, source, result);
        upstream_question_drop(request->asked, question);
        if (request->asked->open_count == 0) upstream_question_settled(request);
    } else if (result.size >= JSONRPC_LARGE) {
        upstream_reply_check(server->host, question, source, result);
    } else {
        upstream_question_on_checked(question, upstream_question_is_object(server->host, result)
                                                   ? mn_buf_copy(result)
                                                   : NULL);
    }
}

void upstream_question_on_answer(struct upstream_request *request,
                                 const Meshnode__Gateway__Answer *answer, struct mn_buf *source)
{
    struct upstream_host *host = request->server->host;
    struct upstream_question *question =
        request->asked == NULL ? NULL
                               : upstream_question_find(request->asked, pb_text(answer->key));

    if (question == NULL || question->answer != NULL || question->reply != NULL ||
        !request->is_live)
        return; /* it was answered already, or declined */
    if (answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW_ERROR) {
        struct mn_span data = pb_span(answer->error->data);
        upstream_question_on_refusal(request, question, answer->by_client, answer->error->code,
                                     pb_text(answer->error->message),
                                     upstream_question_is_object(host, data) ? data
                                                                             : mn_span(NULL, 0));
    } else if (answer->how_case == MESHNODE__GATEWAY__ANSWER__HOW_RESULT) {
        upstream_question_on_result(request, question, source, pb_span(answer->result));
    } else {
        upstream_question_on_bad(request, question);
    }
}

void upstream_question_on_late(struct upstream *lease, const Meshnode__Gateway__Answer *answer,
                               struct mn_buf *source)
{
    MN_LIST_FOR_EACH (link, &lease->sent) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        const struct upstream_question *question =
            request->asked == NULL ? NULL
                                   : upstream_question_find(request->asked, pb_text(answer->key));
        if (question == NULL || !question->is_lasting) continue;
        if (answer->ask_again)
            upstream_question_tell(request, question);
        else
            upstream_question_on_answer(request, answer, source);
        return;
    }
}

/* Whether it is asked for the result of its client's task, which is there when that is over. */
static bool upstream_question_waits(const struct upstream_asked *asked)
{
    MN_LIST_FOR_EACH (link, &asked->questions)
        if (upstream_askable_is_patient(MN_CONTAINER(link, struct upstream_question, link)->method))
            return true;
    return false;
}

bool upstream_question_on_timer(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    struct upstream_asked *asked = request->asked;
    Meshnode__Gateway__Event nothing = MESHNODE__GATEWAY__EVENT__INIT;

    if (asked->is_collecting) {
        upstream_parked_begin(request);
    } else if (asked->is_parked && host->now.mono < asked->until) {
        if (asked->open_count == 0 && asked->is_aside)
            upstream_round_again(request);
        else
            upstream_parked_watch(request);
    } else if (asked->is_parked) {
        MN_PROBE("upstream: nobody came back for a parked call");
        upstream_question_decline(request);
        if (request->is_sent) upstream_call_tell_cancelled(request);
        upstream_request_free(request);
    } else if (asked->open_count == 0 && asked->is_aside) {
        upstream_round_again(request);
    } else if (asked->open_count == 0) {
        return false;
    } else if (host->now.mono - asked->since >= UPSTREAM_QUESTION_TTL &&
               !upstream_question_waits(asked)) {
        upstream_question_decline(request);
        if (request->is_sent)
            upstream_question_settled(request);
        else
            upstream_call_fail(request, CALL_TIMED_OUT, "the client did not answer its question");
    } else {
        upstream_call_emit(request, CALL_EVENT_PROGRESS, &nothing);
        upstream_timer_set(host, &request->timer, UPSTREAM_HEARTBEAT);
    }
    return true;
}
