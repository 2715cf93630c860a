/* Requests to subscribe that wait for what their server says. A server is subscribed to once for
 * all clients of a node, by a lasting call (front_feed.c); what it says to that is the answer to
 * each client that subscribes meanwhile, so that a client hears the server's own refusal, and
 * nothing is told as updated before it changed. Who has waited for too long, or whose server cannot
 * be asked now, is subscribed without knowing, and is told to look once the server takes it. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define LIMIT \
    (5 * MN_SEC) /* a guess: clients give a request a minute, and most servers answer at once */

#define SLICE 32 /* answered in one step */

struct waiter {
    struct mn_list in_subscription, in_exchange;
    struct front_exchange *exchange;
    struct mn_span id; /* the client's, verbatim; behind this struct */
};

bool front_taken_is_awaited(const struct subscription *subscription)
{
    return subscription->limit.index_plus_one != 0;
}

static void waiter_free(struct waiter *waiter)
{
    mn_list_remove(&waiter->in_subscription);
    mn_list_remove(&waiter->in_exchange);
    mn_free(waiter);
}

/* Who asks is nobody's waiter any more. NULL: nobody is left. */
static struct front_exchange *waiter_take(struct front *front, struct subscription *subscription,
                                          struct mn_span *id)
{
    struct waiter *waiter =
        MN_CONTAINER(subscription->waiters.next, struct waiter, in_subscription);
    struct front_exchange *exchange;

    if (mn_list_is_empty(&subscription->waiters)) return NULL;
    exchange = waiter->exchange;
    *id = mn_arena_copy(&front->scratch, waiter->id);
    waiter_free(waiter);
    return exchange;
}

void front_taken_wait(struct front *front, struct subscription *subscription,
                      struct front_exchange *exchange, struct mn_span id)
{
    struct waiter *waiter = mn_alloc(sizeof *waiter + id.size);

    MN_ASSERT(subscription->session != NULL);
    waiter->exchange = exchange;
    waiter->id = mn_span(waiter + 1, id.size);
    memcpy(waiter + 1, id.data, id.size);
    mn_list_push_back(&subscription->waiters, &waiter->in_subscription);
    mn_list_push_back(&exchange->waiters, &waiter->in_exchange);
    if (!front_taken_is_awaited(subscription))
        mn_heap_set(&front->taken_timers, &subscription->limit,
                    mn_time_after(front->now.mono, LIMIT));
}

/* ---- what becomes of it ---- */

/* Another node has the session now, and does not know of this. */
static void taken_lose(struct front *front, struct subscription *subscription)
{
    struct front_exchange *exchange;
    struct mn_span id;

    while ((exchange = waiter_take(front, subscription, &id)) != NULL)
        front_reply_fail(front, exchange, 200, id, JSONRPC_INTERNAL,
                         "the session went on at another node meanwhile; subscribe again");
}

void front_taken_settle(struct front *front, struct subscription *subscription)
{
    struct front_session *session = subscription->session;
    struct front_exchange *exchange;
    struct mn_span id;

    if (!front_taken_is_awaited(subscription)) return;
    mn_heap_remove(&front->taken_timers, &subscription->limit);
    front_updates_settle(subscription);
    front_aside_subscribed(front, session, subscription->topic->feed->service);
    if (front_record_is_elsewhere(front, session)) {
        taken_lose(front, subscription);
        return;
    }
    if (mn_list_is_empty(&subscription->waiters)) front_record_save(front, session);
    while ((exchange = waiter_take(front, subscription, &id)) != NULL)
        front_record_reply(front, exchange, session, id, mn_span_str("{}"));
}

void front_taken_refuse(struct front *front, struct subscription *subscription, int64_t code,
                        struct mn_span message, struct mn_span data)
{
    struct front_exchange *exchange;
    struct mn_span id;

    while ((exchange = waiter_take(front, subscription, &id)) != NULL)
        front_reply_error(front, exchange, 200, id, code, message, data);
    front_subscription_free(front, subscription);
}

void front_taken_drop(struct front *front, struct subscription *subscription)
{
    struct front_exchange *exchange;
    struct mn_span id;

    mn_heap_remove(&front->taken_timers, &subscription->limit);
    while ((exchange = waiter_take(front, subscription, &id)) != NULL)
        front_reply_nothing(front, exchange);
}

/* ---- what servers say ---- */

/* Whoever waits is answered, a few in each step: each answer waits for a record. */
static void taken_settle_soon(struct front *front, const struct topic *topic)
{
    MN_LIST_FOR_EACH (entry, &topic->subscriptions) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_topic);
        if (front_taken_is_awaited(subscription))
            mn_heap_set(&front->taken_timers, &subscription->limit, front->now.mono);
    }
}

void front_taken_note(struct front *front, struct topic *topic)
{
    if (topic->is_taken) return; /* then nobody waits, or not for long */
    topic->is_taken = true;
    topic->is_refused = false;
    taken_settle_soon(front, topic);
}

void front_taken_on_taken(struct front *front, struct topic *topic)
{
    front_updates_of(front, topic); /* who does not wait knew nothing of that until now */
    front_taken_note(front, topic);
}

void front_taken_on_refused(struct front *front, struct topic *topic,
                            const Meshnode__Gateway__Error *refusal)
{
    struct mn_span data = pb_span(refusal->data);
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *value;
    struct mn_list *next = topic->subscriptions.next;

    if (data.size > 0 &&
        json_parse_copy(front->parser, data, limits, &front->scratch, &value) != MN_OK)
        data = mn_span(NULL, 0);
    topic->is_taken = false;
    topic->is_refused = true;
    do { /* the last one may take the topic along */
        struct subscription *subscription = MN_CONTAINER(next, struct subscription, in_topic);
        next = next->next;
        if (!front_taken_is_awaited(subscription)) continue;
        MN_PROBE("front: a client hears that its subscription is refused");
        front_taken_refuse(front, subscription, refusal->code, pb_text(refusal->message), data);
    } while (next != &topic->subscriptions);
}

void front_taken_again(struct front *front, struct topic *topic)
{
    if (!topic->is_refused) return;
    topic->is_refused = false;
    front_feed_changed(front, topic->feed);
}

void front_taken_lost(struct front *front, struct feed *feed)
{
    for (struct mn_map_entry *entry = mn_map_next(&feed->topics, NULL); entry != NULL;
         entry = mn_map_next(&feed->topics, entry)) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        topic->is_taken = topic->is_refused = false;
        taken_settle_soon(front, topic);
    }
}

/* ---- what clients do meanwhile ---- */

void front_taken_leave(struct front_exchange *exchange)
{
    while (!mn_list_is_empty(&exchange->waiters))
        waiter_free(MN_CONTAINER(exchange->waiters.next, struct waiter, in_exchange));
}

bool front_taken_cancel(struct front *front, struct front_session *session, struct mn_span id,
                        mn_time said_at)
{
    MN_LIST_FOR_EACH (entry, &session->subscriptions.all) {
        MN_LIST_FOR_EACH (link, &MN_CONTAINER(entry, struct subscription, in_owner)->waiters) {
            struct waiter *waiter = MN_CONTAINER(link, struct waiter, in_subscription);
            struct front_exchange *exchange = waiter->exchange;
            if (!mn_span_equal(waiter->id, id) || exchange->came > said_at) continue;
            waiter_free(waiter);
            front_reply_nothing(front, exchange);
            return true;
        }
    }
    return false;
}

void front_taken_on_time(struct front *front)
{
    for (uint32_t i = 0; i < SLICE; i++) {
        struct subscription *subscription;
        if (mn_heap_deadline(&front->taken_timers) > front->now.mono) break;
        subscription = MN_CONTAINER(mn_heap_peek(&front->taken_timers), struct subscription, limit);
        if (!subscription->topic->is_taken && subscription->topic->feed->ticket != 0)
            MN_PROBE("front: a subscription is not waited for any longer");
        front_taken_settle(front, subscription);
    }
}

void *front_taken_next(const struct front_exchange *exchange, void *at, struct mn_span *id)
{
    struct mn_list *link = at == NULL ? exchange->waiters.next : ((struct mn_list *)at)->next;

    if (link == &exchange->waiters) return NULL;
    *id = MN_CONTAINER(link, struct waiter, in_exchange)->id;
    return link;
}
