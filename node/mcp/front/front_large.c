/* Large results, and large questions, are checked in slices, one per tick: what another node says
 * need not be JSON, and looking at all of it at once would hold up everybody else. The call of a
 * result is over for the core, but stays in its table until its client has the answer. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_edit.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "proto/base/check.h"

#define LARGE_SLICE ((size_t)32 << 10)        /* bytes of one tick; the loop takes 16 in a turn */
#define LARGE_LINES_SLICE ((size_t)256 << 10) /* where lines are joined: quick */
#define LARGE_HURRY ((size_t)64 << 20)        /* of all; beyond it the oldest is hurried: */
#define LARGE_HURRY_SLICE ((size_t)256 << 10) /* bytes of it in a tick, without looks at links */
#define LARGE_WAITING_MAX ((size_t)128 << 20) /* of all; more are not let wait */
#define DEPTH_QUESTION 2                      /* params, and _meta in them */
#define DEPTH_QUESTIONS 5 /* a result, its requests, each of them, the same of that */

struct front_large {
    struct mn_list link; /* in front->large */
    struct front_call *call;
    struct mn_buf *payload; /* of the event */
    struct mn_span text;    /* the result, or the params of the question */
    struct mn_span resume;  /* of a result */
    mn_id node;
    const char *method; /* of a question; NULL: a result */
    struct mn_buf *key; /* of that question */
    uint32_t depth;     /* that is kept */
    bool is_too_big;    /* it cannot be kept any deeper */
    struct json_feed *feed;
    struct front_edit edit;
    bool is_alone;   /* nobody else has a ref to the text */
    bool is_joining; /* it is JSON; its lines become one, up to: */
    size_t joined;
};

static void large_start(struct front *front, struct front_large *large, uint32_t depth)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, depth, JSON_NODES_MAX};

    json_feed_free(large->feed);
    front_edit_done(&large->edit);
    large->feed = json_feed_new(limits);
    large->depth = depth;
    large->is_joining = false;
    if (large->method == NULL && front_edit_begin(front, large->call, &large->edit))
        front_edit_watch(&large->edit, large->feed, large->text, large->payload);
}

static struct front_large *large_new(struct front *front, struct front_call *call,
                                     struct mn_buf *payload, struct mn_span text)
{
    struct front_large *large = mn_alloc(sizeof *large);

    large->call = call;
    large->payload = mn_buf_ref(payload);
    large->text = text;
    mn_list_push_back(&front->large, &large->link);
    front->large_size += payload->size;
    return large;
}

void front_large_begin(struct front *front, struct front_call *call, const struct call_event *event,
                       struct mn_span text, struct mn_span resume)
{
    struct front_large *large;

    MN_PROBE("front: a large answer");
    large = large_new(front, call, event->payload, text);
    large->resume = resume;
    large->node = event->node;
    large_start(front, large, front_task_may_begin(call) ? 2 : 1);
}

void front_large_ask(struct front *front, struct front_call *call, struct mn_buf *payload,
                     struct mn_span key, const char *method, struct mn_span params)
{
    struct front_large *large = large_new(front, call, payload, params);

    MN_PROBE("front: a large question");
    large->method = method;
    large->key = mn_buf_copy(key);
    large_start(front, large, DEPTH_QUESTION);
}

/* It is no longer in the list, but still there. */
static void large_take(struct front *front, struct front_large *large)
{
    front->large_size -= large->payload->size;
    mn_list_remove(&large->link);
}

static void large_free(struct front_large *large)
{
    json_feed_free(large->feed);
    front_edit_done(&large->edit);
    mn_buf_unref(large->payload);
    mn_buf_unref(large->key);
    mn_free(large);
}

static void large_drop(struct front *front, struct front_large *large)
{
    large_take(front, large);
    large_free(large);
}

void front_large_drop(struct front *front, const struct front_call *call)
{
    MN_LIST_FOR_EACH_SAFE (link, &front->large) {
        struct front_large *large = MN_CONTAINER(link, struct front_large, link);
        if (large->call == call) large_drop(front, large);
    }
}

void front_large_withdraw(struct front *front, const struct front_call *call, struct mn_span key)
{
    MN_LIST_FOR_EACH_SAFE (link, &front->large) {
        struct front_large *large = MN_CONTAINER(link, struct front_large, link);
        if (large->call == call && large->method != NULL &&
            (key.data == NULL || mn_span_equal(mn_buf_span(large->key), key)))
            large_drop(front, large);
    }
}

uint32_t front_large_count(const struct front *front, const struct front_call *call)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &front->large)
        count += MN_CONTAINER(link, struct front_large, link)->call == call;
    return count;
}

/* Which level of it is needed, if it was not kept. 0: all is there. */
static uint32_t large_depth(const struct front_large *large, mn_status status,
                            const struct json *whole)
{
    if (status == MN_TOO_BIG && large->depth > 1) return 1; /* an upper level is enough */
    if (large->method == NULL && status == MN_OK && large->depth < DEPTH_QUESTIONS &&
        !large->is_too_big && large->call->is_aggregated &&
        json_find_str(whole, "inputRequests") != NULL)
        return DEPTH_QUESTIONS;
    return 0;
}

static void large_finish(struct front *front, struct front_large *large)
{
    struct front_answer answer = {
        .source = large->payload, .node = large->node, .resume = large->resume};
    struct front_call *call = large->call;
    mn_status status = json_feed_end(large->feed, large->text, &front->scratch, &answer.result);
    uint32_t depth = large_depth(large, status, answer.result);

    if (depth != 0) {
        large->is_too_big = status == MN_TOO_BIG;
        large_start(front, large, depth);
        return;
    }
    answer.changes = large->edit.changes;
    answer.changes_count = large->edit.changes_count;
    answer.has_lines = json_feed_has_lines(large->feed) && !large->is_joining;
    large_take(front, large);
    if (large->method == NULL)
        front_answer_parsed(front, call, status, &answer);
    else
        front_question_checked(front, call, mn_buf_span(large->key), large->method,
                               status == MN_OK ? answer.result : NULL,
                               answer.has_lines ? NULL : large->payload);
    large_free(large);
}

/* An event, or an answer of a batch, is one line: spaces take the place of CR and LF, which JSON
 * has only between tokens. Nobody else may have the text. */
static bool large_must_join(const struct front_large *large)
{
    const struct front_exchange *exchange = large->call->exchange;

    return json_feed_has_lines(large->feed) && large->is_alone &&
           (large->method != NULL || (exchange != NULL && front_reply_is_in_lines(exchange)));
}

/* True: all of it is one line. */
static bool large_join(struct front_large *large, size_t size)
{
    uint8_t *text = large->payload->bytes + (large->text.data - large->payload->bytes);
    size_t left = large->text.size - large->joined,
           end = large->joined + (left < size ? left : size);

    for (size_t i = large->joined; i < end; i++)
        if (text[i] == '\n' || text[i] == '\r') text[i] = ' ';
    large->joined = end;
    return end == large->text.size;
}

/* A slice of the one that has waited longest. */
static void large_step(struct front *front, struct front_large *large, size_t size)
{
    mn_status status;

    if (!large->is_joining) {
        if (json_feed_place(large->feed) == 0) large->is_alone = mn_buf_is_alone(large->payload);
        status = json_feed_check(large->feed, large->text, size);
        if (status == MN_NOT_YET) return;
        large->is_joining = status == MN_OK && large_must_join(large);
        if (large->is_joining) return;
    } else if (!large_join(large, size < LARGE_LINES_SLICE ? LARGE_LINES_SLICE : size)) {
        return;
    }
    large_finish(front, large);
}

void front_large_on_tick(struct front *front)
{
    struct front_large *oldest = MN_CONTAINER(front->large.next, struct front_large, link);
    bool is_hurried = front->large_size > LARGE_HURRY;

    if (mn_list_is_empty(&front->large)) return;
    if (is_hurried) front_edit_hurry(&oldest->edit);
    large_step(front, oldest, is_hurried ? LARGE_HURRY_SLICE : LARGE_SLICE);
}

void front_large_bound(struct front *front)
{
    while (front->large_size > LARGE_WAITING_MAX) {
        struct front_large *oldest = MN_CONTAINER(front->large.next, struct front_large, link);
        MN_PROBE("front: more large answers than may wait");
        front_edit_hurry(&oldest->edit);
        large_step(front, oldest, SIZE_MAX);
    }
}
