#include "node/mcp/upstream/upstream_parked.h"

#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/wire/pieces.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define RESULT_FIELD MESHNODE__GATEWAY__EVENT__KIND_RESULT /* a kind is the number of its field */

/* It is not parked any more; what came meanwhile is let go. */
void upstream_parked_forget(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    struct upstream_asked *asked = request->asked;

    mn_map_remove(&host->parked, &asked->by_handle);
    if (asked->is_orphan) host->orphans_count--;
    host->answers_size -= mn_buf_span(asked->last).size;
    asked->last = mn_buf_unref(asked->last);
    asked->is_parked = asked->is_orphan = false;
}

/* From now on it has no caller. */
static void upstream_parked_map(struct upstream_request *request, mn_time ttl)
{
    struct upstream_host *host = request->server->host;
    struct upstream_asked *asked = request->asked;

    mn_map_remove(&host->tickets, &request->by_ticket);
    request->ticket = 0;
    asked->is_collecting = false;
    asked->is_parked = true;
    asked->until = mn_time_after(host->now.mono, ttl);
    mn_map_insert(&host->parked, &asked->by_handle, mn_span(asked->handle, sizeof asked->handle));
    upstream_parked_watch(request);
}

void upstream_parked_watch(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    mn_time now = host->now.mono, until = request->asked->until;

    if (request->task_at != 0) until = mn_time_min(until, request->task_at);
    upstream_timer_set(host, &request->timer, until > now ? until - now : 0);
}

/* The result that asks for input: all questions that are open. */
static void upstream_parked_result(const struct upstream_asked *asked, struct pieces *result)
{
    const char *comma = "";

    pieces_str(result, "{\"resultType\":\"input_required\",\"inputRequests\":{");
    MN_LIST_FOR_EACH (link, &asked->questions) {
        const struct upstream_question *question =
            MN_CONTAINER(link, struct upstream_question, link);
        pieces_str(result, comma);
        json_write_string(&result->writer, question->key);
        pieces_str(result, ":{\"method\":");
        json_write_string(&result->writer, question->method);
        if (question->params.size > 0) {
            pieces_str(result, ",\"params\":");
            result->source = question->source;
            pieces_add(result, question->params);
        }
        pieces_str(result, "}");
        comma = ",";
    }
    pieces_str(result, "}}");
}

/* The event of that, with [handle] to go on with; what is large is copied once. */
static struct mn_buf *upstream_parked_event(const struct upstream_asked *asked,
                                            struct mn_span handle)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    uint8_t head[PB_BYTES_HEAD_MAX];
    struct pieces result = {0};
    struct mn_writer writer = {0};
    struct mn_buf *begin;
    size_t head_size, at = 0;

    event.resume = pb_bytes(handle);
    begin = pb_pack(&event.base);
    upstream_parked_result(asked, &result);
    head_size = pb_bytes_head(RESULT_FIELD, pieces_size(&result), head);
    mn_writer_reserve(&writer, begin->size + head_size + pieces_size(&result));
    mn_writer_add(&writer, mn_buf_span(begin));
    mn_writer_add(&writer, mn_span(head, head_size));
    (void)pieces_copy(&result, &at, SIZE_MAX, false, &writer);
    pieces_drop(&result);
    mn_buf_unref(begin);
    return mn_writer_done(&writer);
}

/* Ends the caller's request with what is to be asked; the server's call waits for the next one. */
void upstream_parked_begin(struct upstream_request *request)
{
    struct upstream_host *host = request->server->host;
    struct upstream_asked *asked = request->asked;

    MN_ASSERT(!asked->is_parked && request->ticket != 0);
    rng_bytes(&host->rng, asked->handle, sizeof asked->handle);
    upstream_call_emit_packed(
        request, CALL_EVENT_RESULT,
        upstream_parked_event(asked, mn_span(asked->handle, sizeof asked->handle)));
    request->wants_progress = false; /* its token died with the caller's request */
    upstream_parked_map(request, UPSTREAM_QUESTION_TTL);
    MN_PROBE("upstream: call parked until its client has answered");
}

bool upstream_parked_keep(struct upstream_request *request, struct mn_buf *event)
{
    struct upstream_host *host = request->server->host;
    struct upstream_asked *asked = request->asked;

    if (asked == NULL || !asked->is_parked) return false;
    host->answers_size -= mn_buf_span(asked->last).size;
    asked->last = mn_buf_unref(asked->last);
    if (host->answers_size + event->size > UPSTREAM_ANSWERS_SIZE_MAX) return false;
    asked->last = event;
    host->answers_size += event->size;
    return true;
}

void upstream_parked_leave_alone(struct upstream_request *request, struct mn_span handle)
{
    struct upstream_asked *asked = upstream_question_asked(request);

    MN_ASSERT(!asked->is_parked && request->ticket != 0 && handle.size == sizeof asked->handle);
    memcpy(asked->handle, handle.data, sizeof asked->handle);
    asked->is_orphan = true;
    request->server->host->orphans_count++;
    upstream_parked_map(request, UPSTREAM_ORPHAN_TTL);
}

bool upstream_parked_is_alone(struct upstream_host *host, struct mn_span handle)
{
    struct mn_map_entry *entry = mn_map_find(&host->parked, handle);
    return entry != NULL && MN_CONTAINER(entry, struct upstream_asked, by_handle)->is_orphan;
}

/* A caller is there again: what came meanwhile is for it. True: that was the answer. */
static bool upstream_parked_end(struct upstream_request *request, uint64_t ticket)
{
    struct upstream_host *host = request->server->host;
    struct mn_buf *last = mn_buf_ref(request->asked->last);

    upstream_parked_forget(request);
    request->ticket = ticket;
    mn_map_insert(&host->tickets, &request->by_ticket, upstream_u64_key(&request->ticket));
    if (last == NULL) return false;
    upstream_call_emit_packed(request, CALL_EVENT_RESULT, last);
    upstream_request_free(request);
    return true;
}

/* The questions of that call go to [request], whose client it is too. */
static void upstream_parked_hand_over(struct upstream_asked *from, struct upstream_request *request)
{
    MN_LIST_FOR_EACH_SAFE (link, &from->questions) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        if (question->id.size == 0 || request->asked->open_count >= UPSTREAM_QUESTIONS_MAX)
            continue;
        MN_PROBE("upstream: a question put down to a call that nobody comes for is asked");
        upstream_question_pass_on(request, question,
                                  question->is_lasting ? question->key : mn_span(NULL, 0), false);
        upstream_question_drop(from, question);
    }
}

/* A child's questions are put down to the newest call of its client, which need not be the one that
 * they are about: what waits at calls that nobody has come for is asked on the first that has a
 * caller. */
static void upstream_parked_gather(struct upstream_request *request)
{
    struct upstream *server = request->server;

    if (!server->is_lease || server->is_http || !request->is_sent || !request->is_live) return;
    MN_LIST_FOR_EACH (link, &server->sent) {
        struct upstream_request *other = MN_CONTAINER(link, struct upstream_request, link);
        if (other != request && other->asked != NULL && other->asked->is_orphan)
            upstream_parked_hand_over(other->asked, request);
    }
}

void upstream_parked_take_up(struct upstream_host *host, uint64_t ticket, struct mn_span handle)
{
    struct mn_map_entry *entry = mn_map_find(&host->parked, handle);
    struct upstream_asked *asked = MN_CONTAINER(entry, struct upstream_asked, by_handle);
    struct upstream_request *request = asked->request;
    Meshnode__Gateway__Event nothing = MESHNODE__GATEWAY__EVENT__INIT;

    MN_PROBE("upstream: a call has a caller again");
    if (upstream_parked_end(request, ticket)) return;
    upstream_call_emit(request, CALL_EVENT_PROGRESS, &nothing); /* it is here */
    if (asked->open_count == 0 && !asked->is_aside) upstream_call_watch_time(request);
    if (asked->open_count == 0 && asked->is_aside)
        upstream_timer_set(host, &request->timer, UPSTREAM_QUESTION_COLLECT);
    MN_LIST_FOR_EACH (link, &asked->questions) {
        const struct upstream_question *question =
            MN_CONTAINER(link, struct upstream_question, link);
        if (question->answer == NULL && question->reply == NULL)
            upstream_question_tell(request, question);
    }
    upstream_parked_gather(request);
}

bool upstream_parked_resume(struct upstream_host *host, uint64_t ticket, struct mn_span handle,
                            const struct json *params, struct mn_buf *source, bool wants_progress)
{
    struct mn_map_entry *entry = mn_map_find(&host->parked, handle);
    const struct json *responses = json_find_str(params, "inputResponses");
    struct upstream_asked *asked;
    struct upstream_request *request;

    if (entry == NULL) return false;
    asked = MN_CONTAINER(entry, struct upstream_asked, by_handle);
    if (asked->is_orphan) return false; /* that is no round */
    request = asked->request;
    if (upstream_parked_end(request, ticket)) return true;
    request->wants_progress = wants_progress;
    if (json_is(responses, JSON_OBJECT))
        MN_LIST_FOR_EACH_SAFE (link, &asked->questions) {
            struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
            const struct json *answer = json_find(responses, question->key);
            if (!json_is(answer, JSON_OBJECT)) continue;
            upstream_question_give(request->server, question->id, question->is_cancelled, source,
                                   answer->raw);
            upstream_question_drop(asked, question);
        }
    asked->is_collecting = asked->open_count > 0;
    if (asked->is_collecting) /* what is missing is asked for again */
        upstream_timer_set(host, &request->timer, UPSTREAM_QUESTION_COLLECT);
    else
        upstream_question_settled(request);
    return true;
}
