#include "node/mcp/upstream/upstream_leave.h"

#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_question.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"

#define OVER "the call is over"

/* To which call it is put down next; NULL: none. */
static struct upstream_request *leave_next(const struct upstream_request *request)
{
    struct upstream_request *next;

    if (request->server->is_http) return NULL;
    next = upstream_call_newest_but(request->server, request);
    if (next == NULL || !next->is_sent || !next->is_live) return NULL;
    if (next->asked != NULL && next->asked->open_count >= UPSTREAM_QUESTIONS_MAX) return NULL;
    return next;
}

static void leave_tell(struct upstream_request *request, const struct upstream_question *question,
                       struct mn_span as)
{
    struct mn_arena *scratch = &request->server->host->scratch;
    Meshnode__Gateway__Outlived outlived = MESHNODE__GATEWAY__OUTLIVED__INIT;
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    outlived.key = (char *)(uintptr_t)mn_arena_copy(scratch, question->key).data;
    outlived.as = (char *)(uintptr_t)mn_arena_copy(scratch, as).data;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_OUTLIVED;
    event.outlived = &outlived;
    upstream_call_emit(request, CALL_EVENT_PROGRESS, &event);
}

static void leave_one(struct upstream_request *request, const struct upstream_question *question,
                      bool is_answered)
{
    struct upstream *server = request->server;
    struct upstream_request *next = leave_next(request);
    struct mn_span as;

    if (next == NULL && !upstream_asked_may_take(server, question)) {
        if (is_answered && question->is_lasting)
            upstream_question_tell_withdrawn(request, question);
        upstream_question_refuse(server, question->id, question->is_cancelled, JSONRPC_INTERNAL,
                                 mn_span_str(OVER), mn_span(NULL, 0));
        return;
    }
    as = question->is_lasting ? question->key : upstream_asked_key(server);
    if (is_answered) leave_tell(request, question, as);
    if (next != NULL) {
        MN_PROBE("upstream: a question outlives the call it was put down to");
        upstream_question_pass_on(next, question, as, is_answered);
    } else {
        MN_PROBE("upstream: a question outlives all calls");
        upstream_asked_take(server, question, as, is_answered);
    }
}

static void leave_all(struct upstream_request *request, bool is_answered)
{
    struct upstream *server = request->server;

    if (request->asked == NULL || !server->is_lease || server->state != UPSTREAM_READY) return;
    MN_LIST_FOR_EACH_SAFE (link, &request->asked->questions) {
        struct upstream_question *question = MN_CONTAINER(link, struct upstream_question, link);
        if (question->id.size == 0) continue; /* a modern server's */
        leave_one(request, question, is_answered);
        upstream_question_drop(request->asked, question);
    }
}

/* Where a call is not live its last word may be the question. */
void upstream_leave_answered(struct upstream_request *request)
{
    MN_ASSERT(request->ticket != 0);
    if (request->is_live) leave_all(request, true);
}

void upstream_leave_cancelled(struct upstream_request *request)
{
    leave_all(request, false);
}
