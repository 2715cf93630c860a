/* Large results are checked in slices, one per tick: what another node says need not be JSON, and
 * looking at all of it at once would hold up everybody else. The call is over for the core, but
 * stays in its table until its client has the answer. */
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"

#define LARGE_SLICE ((size_t)32 << 10)       /* bytes of one tick; the loop takes 16 in a turn */
#define LARGE_WAITING_MAX ((size_t)64 << 20) /* of all; more are not let wait */

struct front_large {
    struct mn_list link; /* in front->large */
    struct front_call *call;
    struct mn_buf *payload; /* of the event */
    struct mn_span text, resume;
    mn_id node;
    uint32_t depth; /* that is kept */
    bool is_newer;  /* it may have contents that the client's revision does not know */
    struct json_feed *feed;
};

static void large_start(struct front_large *large, uint32_t depth)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, depth, JSON_NODES_MAX};

    json_feed_free(large->feed);
    large->feed = json_feed_new(limits);
    large->depth = depth;
}

/* A URI that is another one here stands deep inside. */
bool front_large_is_one(const struct front_call *call, struct mn_span text)
{
    return text.size >= JSONRPC_LARGE && call->uri.size == 0;
}

void front_large_begin(struct front *front, struct front_call *call, const struct call_event *event,
                       struct mn_span text, struct mn_span resume)
{
    struct front_large *large = mn_alloc(sizeof *large);

    MN_PROBE("front: a large answer");
    MN_ASSERT(call->large == NULL);
    large->call = call;
    large->payload = mn_buf_ref(event->payload);
    large->text = text;
    large->resume = resume;
    large->node = event->node;
    large_start(large, front_task_may_begin(call) ? 2 : 1);
    call->large = large;
    mn_list_push_back(&front->large, &large->link);
    front->large_size += large->payload->size;
}

void front_large_drop(struct front *front, struct front_call *call)
{
    struct front_large *large = call->large;

    if (large == NULL) return;
    call->large = NULL;
    front->large_size -= large->payload->size;
    mn_list_remove(&large->link);
    json_feed_free(large->feed);
    mn_buf_unref(large->payload);
    mn_free(large);
}

/* Contents that its client does not know are taken out of all of it at once. */
static void large_give(struct front *front, struct front_large *large)
{
    struct mn_buf *payload = mn_buf_ref(large->payload);
    struct mn_span text = large->text, resume = large->resume;
    struct front_call *call = large->call;
    mn_id node = large->node;

    MN_PROBE("front: a large answer with contents that the client does not know");
    front_large_drop(front, call);
    front_answer_on_result(front, call, text, &node, resume);
    mn_buf_unref(payload);
}

static void large_finish(struct front *front, struct front_large *large)
{
    struct front_answer answer = {
        .source = mn_buf_ref(large->payload), .node = large->node, .resume = large->resume};
    struct front_call *call = large->call;
    mn_status status = json_feed_end(large->feed, large->text, &front->scratch, &answer.result);

    if (status == MN_TOO_BIG && large->depth > 1) { /* an upper level is all that is needed */
        large_start(large, 1);
        mn_buf_unref(answer.source);
        return;
    }
    answer.has_lines = json_feed_has_lines(large->feed);
    front_large_drop(front, call);
    front_answer_parsed(front, call, status, &answer);
    mn_buf_unref(answer.source);
}

/* Between two places of its text, and of a name that ends there. */
static bool large_has_newer(const struct front_large *large, size_t from, size_t to)
{
    const struct front_session *session = large->call->session;

    if (session == NULL) return false;
    from -= from < FRONT_CONTENT_NAME_MAX ? from : FRONT_CONTENT_NAME_MAX;
    return front_content_may_have(session->version, mn_span(large->text.data + from, to - from));
}

/* A slice of the one that has waited longest. */
static void large_step(struct front *front, struct front_large *large, size_t size)
{
    size_t before = json_feed_place(large->feed);
    mn_status status = json_feed_check(large->feed, large->text, size);

    large->is_newer |= large_has_newer(large, before, json_feed_place(large->feed));
    if (status == MN_NOT_YET) return;
    if (status == MN_OK && large->is_newer)
        large_give(front, large);
    else
        large_finish(front, large);
}

void front_large_on_tick(struct front *front)
{
    if (!mn_list_is_empty(&front->large))
        large_step(front, MN_CONTAINER(front->large.next, struct front_large, link), LARGE_SLICE);
}

void front_large_bound(struct front *front)
{
    while (front->large_size > LARGE_WAITING_MAX) {
        MN_PROBE("front: more large answers than may wait");
        large_step(front, MN_CONTAINER(front->large.next, struct front_large, link), SIZE_MAX);
    }
}
