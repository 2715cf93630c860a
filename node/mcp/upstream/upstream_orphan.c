#include "node/mcp/upstream/upstream_orphan.h"

#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_given.h"
#include "node/mcp/upstream/upstream_parked.h"
#include "node/mcp/upstream/upstream_question.h"
#include "node/mcp/upstream/upstream_request.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* Under what the call is kept; empty: it is not. Good until the scratch memory is reset. */
static struct mn_span orphan_handle(const struct upstream_request *request)
{
    const Meshnode__Gateway__Request *payload =
        pb_view(&meshnode__gateway__request__descriptor, &request->server->host->scratch,
                mn_buf_span(request->payload));

    if (payload == NULL || payload->orphan.len != UPSTREAM_HANDLE_SIZE) return mn_span(NULL, 0);
    return pb_span(payload->orphan);
}

/* Its client has a stream of it, which it may ask for at another node. */
static bool orphan_has_stream(const struct upstream_request *request)
{
    return request->is_live &&
           (request->was_heard ||
            request->server->host->now.mono - request->began_at >= UPSTREAM_ORPHAN_SILENT);
}

bool upstream_orphan_keep(struct upstream_host *host, uint64_t ticket)
{
    struct mn_map_entry *entry = mn_map_find(&host->tickets, upstream_u64_key(&ticket));
    struct upstream_request *request;
    struct mn_span handle;

    if (entry == NULL) return false;
    request = MN_CONTAINER(entry, struct upstream_request, by_ticket);
    if (!orphan_has_stream(request) || host->orphans_count >= UPSTREAM_ORPHANS_MAX ||
        host->is_stopping)
        return false;
    handle = orphan_handle(request);
    if (handle.size == 0 || mn_map_find(&host->parked, handle) != NULL) return false;
    MN_PROBE("upstream: a call runs on without its caller");
    upstream_parked_leave_alone(request, handle);
    return true;
}

void upstream_orphan_given(const struct upstream_request *request, struct mn_buf *answer)
{
    struct mn_span handle;

    if (!orphan_has_stream(request)) return;
    handle = orphan_handle(request);
    if (handle.size > 0) upstream_given_keep(request->server->host, handle, answer);
}

/* The call of a lost caller whose loss was not noticed here, or of one that still lives. */
static struct upstream_request *orphan_find_in(struct mn_list *list, struct mn_span handle)
{
    MN_LIST_FOR_EACH (link, list) {
        struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        if (request->kind == UPSTREAM_REQUEST_CALL && request->is_live && request->ticket != 0 &&
            mn_span_equal(orphan_handle(request), handle))
            return request;
    }
    return NULL;
}

static struct upstream_request *orphan_find_at(struct upstream *server, struct mn_span handle)
{
    struct upstream_request *found = orphan_find_in(&server->sent, handle);

    if (found == NULL) found = orphan_find_in(&server->asking, handle);
    return found != NULL ? found : orphan_find_in(&server->queue, handle);
}

static struct upstream_request *orphan_find(struct upstream *server, struct mn_span handle)
{
    struct upstream_request *found = orphan_find_at(server, handle);

    MN_LIST_FOR_EACH (link, &server->leases) {
        if (found != NULL) break;
        found = orphan_find_at(MN_CONTAINER(link, struct upstream, lease.link), handle);
    }
    return found;
}

/* It was answered already, and the node that was told may be the one that is lost. */
static void orphan_claim_given(struct upstream_request *request, struct mn_span handle)
{
    struct mn_buf *answer = upstream_given_find(request->server->host, handle);

    if (answer == NULL) {
        upstream_call_fail(request, CALL_GONE, "the call is not here any more, nor is its answer");
        return;
    }
    MN_PROBE("upstream: an answer that was under way to a lost node is given again");
    upstream_call_emit_packed(request, CALL_EVENT_RESULT, mn_buf_ref(answer));
    upstream_request_free(request);
}

void upstream_orphan_claim(struct upstream_request *request,
                           const Meshnode__Gateway__Request *payload)
{
    struct upstream_host *host = request->server->host;
    struct mn_span handle = mn_arena_copy(&host->scratch, pb_span(payload->resume));
    uint64_t ticket = request->ticket;
    bool is_parked = mn_map_find(&host->parked, handle) != NULL;
    struct upstream_request *running = is_parked ? NULL : orphan_find(request->server, handle);

    if (is_parked ? !upstream_parked_is_alone(host, handle) : running == NULL) {
        orphan_claim_given(request, handle);
        return;
    }
    if (running != NULL) {
        MN_PROBE("upstream: a call is taken from the node that it came through");
        upstream_call_tell_taken(running);
        upstream_parked_leave_alone(running, handle);
    }
    upstream_request_free(request);
    upstream_parked_take_up(host, ticket, handle);
}
