#include "node/mcp/upstream/upstream_round.h"

#include "node/mcp/upstream/upstream_answer.h"
#include "node/mcp/upstream/upstream_askable.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_request.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define URL_VERSION "2025-11-25" /* the first legacy one that has elicitation by URL */

/* Waits outside of what was sent: nothing runs at the server meanwhile. */
static void upstream_round_set_aside(struct upstream_request *request)
{
    upstream_request_recall(request);
    mn_list_remove(&request->link);
    mn_list_push_back(&request->server->asking, &request->link);
    request->asked->is_aside = true;
}

void upstream_round_again(struct upstream_request *request)
{
    mn_list_remove(&request->link);
    request->asked->is_aside = false;
    upstream_call_resend(request);
}

/* The first question (its key) that the client of the call cannot be asked; NULL: there is none.
 * Older clients know no URLs, whatever they declare. */
static const struct json *upstream_round_unasked(struct upstream_host *host,
                                                 const Meshnode__Gateway__Request *payload,
                                                 const struct json *questions)
{
    struct mn_span capabilities = pb_span(payload->client_capabilities);
    bool knows_urls = strcmp(payload->protocol_version, URL_VERSION) >= 0;

    for (const struct json *key = json_first(questions); key != NULL;
         key = json_next(questions, key)) {
        const struct json *params = json_find_str(json_value(key), "params");
        struct mn_span method = json_text(json_find_str(json_value(key), "method"));
        if (!upstream_askable_may(host, capabilities, method, params)) return key;
        if (!knows_urls && upstream_askable_is_by_url(params)) return key;
    }
    return NULL;
}

/* False: it asks what this client cannot be asked, and the call is over. A legacy server would be
 * told so, and could do without; this one was told before what can be asked. */
static bool upstream_round_judge(struct upstream_request *request, const struct json *questions)
{
    struct upstream_host *host = request->server->host;
    const Meshnode__Gateway__Request *payload = pb_view(
        &meshnode__gateway__request__descriptor, &host->scratch, mn_buf_span(request->payload));
    const struct json *key;
    struct mn_span method, text;

    if (payload == NULL || !json_is(questions, JSON_OBJECT)) return true;
    key = upstream_round_unasked(host, payload, questions);
    if (key == NULL) return true;
    MN_PROBE("upstream: a modern server asks what its client cannot be asked");
    method = json_text(json_find_str(json_value(key), "method"));
    text = mn_span_str(mn_arena_format(
        &host->scratch, "the server asks for %.*s%s, which this client cannot be asked",
        (int)method.size, (const char *)method.data,
        upstream_askable_is_by_url(json_find_str(json_value(key), "params")) ? " by URL" : ""));
    if (strcmp(payload->method, "tools/call") == 0)
        upstream_answer_tool_error(request, text);
    else
        upstream_call_answer_error(request, JSONRPC_INTERNAL, text, mn_span(NULL, 0));
    return false;
}

void upstream_round_begin(struct upstream_request *request, const struct json *result)
{
    struct upstream_host *host = request->server->host;
    const struct json_limits limits = {JSON_DEPTH_MAX, 4, JSON_NODES_MAX};
    struct upstream_asked *asked = upstream_question_asked(request);
    const struct json *whole, *state, *questions;

    if (++asked->rounds_count > UPSTREAM_ROUNDS_MAX ||
        json_parse(host->parser, result->raw, limits, &host->scratch, &whole) != MN_OK) {
        upstream_call_answer_error(request, JSONRPC_INTERNAL,
                                   mn_span_str("the server asks for input without end"),
                                   mn_span(NULL, 0));
        return;
    }
    state = json_find_str(whole, "requestState");
    questions = json_find_str(whole, "inputRequests");
    if (!upstream_round_judge(request, questions)) return;
    mn_buf_unref(asked->state);
    asked->state = json_is(state, JSON_STRING) ? mn_buf_copy(state->raw) : NULL;
    upstream_question_forget_answered(asked);
    upstream_round_set_aside(request);
    if (json_is(questions, JSON_OBJECT))
        for (const struct json *key = json_first(questions); key != NULL;
             key = json_next(questions, key)) {
            const struct json *params = json_find_str(json_value(key), "params");
            struct mn_span method = json_text(json_find_str(json_value(key), "method"));
            if (asked->open_count >= UPSTREAM_QUESTIONS_MAX) break;
            upstream_question_add(request, key->text, mn_span(NULL, 0), method,
                                  params == NULL ? mn_span(NULL, 0) : params->raw, host->text);
        }
    MN_LIST_FOR_EACH (link, &asked->questions)
        upstream_question_tell(request, MN_CONTAINER(link, struct upstream_question, link));
    if (asked->open_count == 0) /* it only wants to be asked again */
        upstream_timer_set(host, &request->timer, 100 * MN_MS * asked->rounds_count);
}

/* All are answered: the call goes out once more, with that. */
static void upstream_round_end(struct upstream_request *request)
{
    struct upstream_asked *asked = request->asked;

    for (struct mn_list *link; (link = mn_list_take(&asked->questions)) != NULL;)
        mn_list_push_back(&asked->answered, link);
    asked->open_count = 0;
    upstream_round_again(request);
}

void upstream_round_collect(struct upstream_request *request, struct upstream_question *question,
                            struct mn_buf *answer)
{
    question->answer = answer;
    MN_LIST_FOR_EACH (link, &request->asked->questions) {
        if (MN_CONTAINER(link, struct upstream_question, link)->answer == NULL) return;
    }
    upstream_round_end(request);
}
