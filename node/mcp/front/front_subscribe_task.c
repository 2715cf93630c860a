/* Tasks that clients hear of. A listen names those it wants to hear of; a legacy session hears of
 * those that it began, as long as they run. They have lasting calls of their own, because a task is
 * at one node, and its server's replicas do not know it. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

bool front_subscribe_task(struct front *front, struct front_exchange *stream,
                          const struct front_target *target, struct mn_span id)
{
    struct front_session *session = stream->session;
    struct mn_span whose =
        session == NULL ? mn_span(NULL, 0) : mn_span(session->alias, sizeof session->alias);
    struct feed *feed;

    if (front_subscription_find(&stream->subscriptions, id) != NULL) return true;
    if (!front_subscription_has_room(front, &stream->principal) || target->own.size == 0 ||
        mn_id_is_zero(&target->node))
        return false;
    feed = front_feed_get(front, target->services[0], &target->node);
    front_subscription_add(front, NULL, stream, id,
                           front_feed_topic(front, feed, target->own, whose));
    return true;
}

void front_subscribe_task_over(struct front *front, struct front_exchange *stream,
                               struct mn_span id)
{
    struct subscription *subscription = front_subscription_find(&stream->subscriptions, id);
    if (subscription != NULL) front_subscription_free(front, subscription);
}

void front_subscribe_tasks(struct front *front, struct front_exchange *exchange,
                           const struct json *ids, struct mn_writer *honoured)
{
    uint32_t count = 0;

    if (ids == NULL) return;
    for (const struct json *id = json_first(ids); id != NULL && count < FRONT_TASKS_MAX;
         id = json_next(ids, id)) {
        struct front_target target = {0};
        struct mn_span text = json_text(id);
        if (text.size == 0 || front_subscription_find(&exchange->subscriptions, text) != NULL ||
            !front_task_route(front, &exchange->principal, exchange->service, text, &target) ||
            !front_subscribe_task(front, exchange, &target, text))
            continue;
        mn_writer_str(honoured, count++ == 0 ? "" : ",");
        json_write_string(honoured, text);
    }
}

static void subscription_tell_task(struct front *front, const struct subscription *subscription,
                                   struct mn_span params)
{
    struct front_exchange *stream = subscription->exchange;
    bool is_listen = stream->session == NULL;
    struct mn_writer message = {0}, tagged = {0};

    params = front_task_rename(front, params, subscription->topic->uri, subscription->uri);
    mn_writer_add(&tagged, mn_span(params.data, params.size - (is_listen ? 1 : 0)));
    if (is_listen) { /* before the last brace */
        mn_writer_str(&tagged, ",\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
        mn_writer_add(&tagged, mn_buf_span(stream->listen_id));
        mn_writer_str(&tagged, "}}");
    }
    jsonrpc_write_notification(&message,
                               is_listen ? "notifications/tasks" : "notifications/tasks/status",
                               mn_buf_span(tagged.buf));
    front_reply_notification(front, stream, mn_buf_span(message.buf));
    mn_writer_drop(&tagged);
    mn_writer_drop(&message);
}

/* A session that began the task with a token of its own hears of its progress. */
static void subscription_tell_progress(struct front *front, const struct subscription *subscription,
                                       const struct json *progress)
{
    struct front_exchange *stream = subscription->exchange;
    struct mn_writer message = {0}, params = {0};
    struct mn_span token;

    if (stream->session == NULL) return;
    token = front_task_token(stream->session, subscription->uri);
    if (token.size == 0) return;
    front_answer_write_progress(&params, token, progress);
    jsonrpc_write_notification(&message, "notifications/progress", mn_buf_span(params.buf));
    front_reply_notification(front, stream, mn_buf_span(message.buf));
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

static void feed_on_progress(struct front *front, const struct feed *feed,
                             const Meshnode__Gateway__TaskState *state, const struct json *progress)
{
    const struct topic *topic =
        front_feed_topic_find(front, feed, pb_text(state->progress_of), pb_span(state->session));

    if (topic == NULL || json_find_str(progress, "progressToken") != NULL) return;
    MN_LIST_FOR_EACH_SAFE (entry, &topic->subscriptions)
        subscription_tell_progress(front, MN_CONTAINER(entry, struct subscription, in_topic),
                                   progress);
}

void front_subscribe_on_task(struct front *front, struct feed *feed,
                             const Meshnode__Gateway__TaskState *state)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct topic *topic;
    const struct json *params;
    struct mn_span id;
    uint32_t count = 0;
    bool is_over;

    if (json_parse_copy(front->parser, pb_span(state->params), limits, &front->scratch, &params) !=
            MN_OK ||
        params->type != JSON_OBJECT)
        return;
    if (state->progress_of[0] != '\0') {
        feed_on_progress(front, feed, state, params);
        return;
    }
    id = json_text(json_find_str(params, "taskId"));
    if (id.size == 0 || json_find_str(params, "_meta") != NULL) return;
    topic = front_feed_topic_find(front, feed, id, pb_span(state->session));
    if (topic == NULL) return;
    is_over = front_task_is_over(json_text(json_find_str(params, "status")));
    MN_LIST_FOR_EACH_SAFE (entry, &topic->subscriptions) {
        count++;
        subscription_tell_task(front, MN_CONTAINER(entry, struct subscription, in_topic),
                               params->raw);
    }
    while (is_over && count-- > 0) { /* with the last one the topic goes, and perhaps the feed */
        struct subscription *subscription =
            MN_CONTAINER(topic->subscriptions.next, struct subscription, in_topic);
        struct front_session *session = subscription->exchange->session;
        struct mn_span uri = mn_arena_copy(&front->scratch, subscription->uri);
        front_subscription_free(front, subscription);
        if (session != NULL) front_task_quieten(front, session, uri);
    }
}
