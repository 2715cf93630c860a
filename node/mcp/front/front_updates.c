/* Clients are told that a resource they have subscribed to was updated: a modern one on its listen,
 * a legacy session on its stream, or once it has one. One resource can have thousands of
 * subscribers, and each is a write to a socket: a few are told in each step. Of several updates
 * before its turn a client hears as of one. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"

#define MERGED_WITHIN (50 * MN_MS) /* two sessions of a server tell of one change */
#define SLICE 32                   /* told in one step */

void front_subscribe_tell(struct front *front, struct subscription *subscription)
{
    struct front_exchange *exchange =
        subscription->session != NULL ? subscription->session->stream : subscription->exchange;
    struct mn_writer params = {0}, message = {0};

    subscription->is_due = exchange == NULL;
    if (exchange == NULL) return;
    mn_writer_str(&params, "{\"uri\":");
    json_write_string(&params, subscription->uri);
    if (subscription->session == NULL) {
        mn_writer_str(&params, ",\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
        mn_writer_add(&params, mn_buf_span(exchange->listen_id));
        mn_writer_str(&params, "}");
    }
    mn_writer_str(&params, "}");
    jsonrpc_write_notification(&message, "notifications/resources/updated",
                               mn_buf_span(params.buf));
    front_reply_notification(front, exchange, mn_buf_span(message.buf));
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

/* A server may tell of one change twice: in the session that all share, and in that which the
 * client has for itself. What comes within a moment is told once, after it. */
void front_subscribe_tell_soon(struct front *front, struct subscription *subscription)
{
    const struct front_session *session = subscription->session;

    if (session == NULL || session->stream == NULL ||
        !front_aside_is_heard(session, subscription->topic->feed->service))
        front_subscribe_tell(front, subscription);
    else if (subscription->timer.index_plus_one == 0)
        mn_heap_set(&front->updates_timers, &subscription->timer,
                    mn_time_after(front->now.mono, MERGED_WITHIN));
}

static void next_merged(struct front *front)
{
    struct subscription *subscription =
        MN_CONTAINER(mn_heap_peek(&front->updates_timers), struct subscription, timer);

    mn_heap_remove(&front->updates_timers, &subscription->timer);
    front_subscribe_tell(front, subscription);
}

/* ---- in slices ---- */

void front_updates_of(struct front *front, struct topic *topic)
{
    mn_list_append(&front->updates_due, &topic->told);
}

void front_updates_settle(struct subscription *subscription)
{
    mn_list_remove(&subscription->in_told);
    mn_list_push_back(&subscription->topic->told, &subscription->in_told);
}

/* Who waits until it is subscribed has missed nothing. */
static void next_due(struct front *front)
{
    struct subscription *subscription =
        MN_CONTAINER(front->updates_due.next, struct subscription, in_told);

    front_updates_settle(subscription);
    if (!front_taken_is_awaited(subscription)) front_subscribe_tell_soon(front, subscription);
}

mn_time front_updates_deadline(const struct front *front)
{
    return mn_list_is_empty(&front->updates_due) ? mn_heap_deadline(&front->updates_timers) : 0;
}

void front_updates_slice(struct front *front)
{
    for (uint32_t i = 0; i < SLICE && front_updates_deadline(front) <= front->now.mono; i++) {
        if (mn_list_is_empty(&front->updates_due))
            next_merged(front);
        else
            next_due(front);
    }
}
