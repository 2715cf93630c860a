/* What a session or an exchange is subscribed to, found by its URI; and how much that may be, of
 * one of them, of one client and of all. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

/* Whoever has subscriptions here. */
struct front_subscriber {
    struct mn_map_entry by_principal;
    mn_id principal;
    uint32_t count;
};

/* ---- who has how many ---- */

static struct front_subscriber *subscriber_find(const struct front *front, const mn_id *principal)
{
    struct mn_map_entry *entry =
        mn_map_find(&front->subscribers, mn_span(principal->bytes, sizeof principal->bytes));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct front_subscriber, by_principal);
}

static struct front_subscriber *subscriber_get(struct front *front, const mn_id *principal)
{
    struct front_subscriber *subscriber = subscriber_find(front, principal);

    if (subscriber != NULL) return subscriber;
    subscriber = mn_alloc(sizeof *subscriber);
    subscriber->principal = *principal;
    mn_map_insert(&front->subscribers, &subscriber->by_principal,
                  mn_span(subscriber->principal.bytes, sizeof subscriber->principal.bytes));
    return subscriber;
}

static void subscriber_left(struct front *front, struct front_subscriber *subscriber)
{
    MN_ASSERT(subscriber->count > 0);
    if (--subscriber->count > 0) return;
    mn_map_remove(&front->subscribers, &subscriber->by_principal);
    mn_free(subscriber);
}

bool front_subscription_has_room(const struct front *front, const mn_id *principal)
{
    const struct front_subscriber *subscriber = subscriber_find(front, principal);

    return front->subscriptions_count < MCP_SUBSCRIPTIONS_MAX &&
           (subscriber == NULL || subscriber->count < FRONT_SUBSCRIBER_SHARE);
}

/* ---- their lives ---- */

void front_subscriptions_init(const struct front *front, struct front_subscriptions *owner)
{
    mn_list_init(&owner->all);
    mn_map_init(&owner->by_uri, front->feeds.seed);
}

void front_subscriptions_done(struct front *front, struct front_subscriptions *owner)
{
    while (!mn_list_is_empty(&owner->all))
        front_subscription_free(front,
                                MN_CONTAINER(owner->all.next, struct subscription, in_owner));
    mn_map_done(&owner->by_uri);
}

struct subscription *front_subscription_find(const struct front_subscriptions *owner,
                                             struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&owner->by_uri, uri);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct subscription, by_uri);
}

void front_subscription_add(struct front *front, struct front_session *session,
                            struct front_exchange *exchange, struct mn_span uri,
                            struct topic *topic)
{
    struct subscription *subscription = mn_alloc(sizeof *subscription + uri.size);

    subscription->session = session;
    subscription->exchange = exchange;
    subscription->owner = session != NULL ? &session->subscriptions : &exchange->subscriptions;
    subscription->uri = mn_span(subscription + 1, uri.size);
    if (uri.size > 0) { /* what a server says of itself has none */
        memcpy(subscription + 1, uri.data, uri.size);
        mn_map_insert(&subscription->owner->by_uri, &subscription->by_uri, subscription->uri);
    }
    subscription->topic = topic;
    subscription->subscriber =
        subscriber_get(front, session != NULL ? &session->principal : &exchange->principal);
    subscription->subscriber->count++;
    mn_list_init(&subscription->waiters);
    mn_list_push_back(&topic->subscriptions, &subscription->in_topic);
    mn_list_push_back(&topic->settled, &subscription->in_look);
    mn_list_push_back(&topic->told, &subscription->in_told);
    mn_list_push_back(&subscription->owner->all, &subscription->in_owner);
    front->subscriptions_count++;
}

void front_subscription_free(struct front *front, struct subscription *subscription)
{
    struct topic *topic = subscription->topic;

    front_taken_drop(front, subscription);
    mn_heap_remove(&front->updates_timers, &subscription->timer);
    if (subscription->uri.size > 0)
        mn_map_remove(&subscription->owner->by_uri, &subscription->by_uri);
    mn_list_remove(&subscription->in_topic);
    mn_list_remove(&subscription->in_look);
    mn_list_remove(&subscription->in_told);
    mn_list_remove(&subscription->in_owner);
    subscriber_left(front, subscription->subscriber);
    front->subscriptions_count--;
    mn_free(subscription);
    front_feed_left(front, topic);
}

void front_subscription_move(struct subscription *subscription, struct topic *topic)
{
    mn_list_remove(&subscription->in_topic);
    mn_list_remove(&subscription->in_look);
    subscription->topic = topic;
    mn_list_push_back(&topic->subscriptions, &subscription->in_topic);
    mn_list_push_back(&topic->settled, &subscription->in_look);
    front_updates_settle(subscription);
}

void front_subscription_check(const struct front *front)
{
    uint32_t count = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->subscribers, NULL); entry != NULL;
         entry = mn_map_next(&front->subscribers, entry)) {
        uint32_t own = MN_CONTAINER(entry, struct front_subscriber, by_principal)->count;
        MN_ASSERT(own > 0 && own <= FRONT_SUBSCRIBER_SHARE);
        count += own;
    }
    MN_ASSERT(count == front->subscriptions_count);
}
