/* What servers and views there are has changed: subscriptions to resources that this concerns are
 * looked at, whether they are at the right server yet and still shown to their client. What a
 * service lists can concern who is subscribed to something of it, or to one of these URIs
 * elsewhere; what operators agree on, everybody. Of one service that can be all there are, so
 * noting them takes no longer for many: topics, and their subscriptions, are appended as lists to
 * what is to be looked at, and of that each tick takes a slice. Whatever has been looked at is
 * settled, until it is noted again. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_told.h"
#include "node/mcp/wire/effort.h"
#include "proto/base/check.h"

#define LOOK_SLICE 2048 /* effort of one tick: mostly less than 100 us */
#define LOOK_EFFORT 64  /* of one subscription, beside what its view takes */
#define TOPIC_EFFORT 8

/* Topics of several servers under one URI. */
struct look_uri {
    struct mn_map_entry by_uri;
    struct mn_list topics; /* of topic.in_uri */
};

void front_look_init(struct front *front)
{
    mn_map_init(&front->look.by_uri, rng_u64(&front->rng));
    mn_list_init(&front->look.noted);
    mn_list_init(&front->look.topics);
    mn_list_init(&front->look.subscriptions);
    mn_list_init(&front->look.sessions);
}

void front_look_done(struct front *front)
{
    MN_ASSERT(front->look.by_uri.count == 0);
    mn_map_done(&front->look.by_uri);
}

/* ---- which are concerned ---- */

static struct look_uri *look_uri_find(const struct front *front, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&front->look.by_uri, uri);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct look_uri, by_uri);
}

void front_look_add(struct front *front, struct topic *topic)
{
    struct look_uri *found = look_uri_find(front, topic->uri);

    if (found == NULL) {
        found = mn_alloc(sizeof *found + topic->uri.size);
        memcpy(found + 1, topic->uri.data, topic->uri.size);
        mn_list_init(&found->topics);
        mn_map_insert(&front->look.by_uri, &found->by_uri, mn_span(found + 1, topic->uri.size));
    }
    mn_list_push_back(&found->topics, &topic->in_uri);
}

void front_look_remove(struct front *front, struct topic *topic)
{
    struct look_uri *found = look_uri_find(front, topic->uri);

    mn_list_remove(&topic->in_uri);
    if (!mn_list_is_empty(&found->topics)) return;
    mn_map_remove(&front->look.by_uri, &found->by_uri);
    mn_free(found);
}

static void look_note_uri(struct front *front, struct mn_span uri)
{
    struct look_uri *found = look_uri_find(front, uri);

    if (found == NULL) return;
    MN_LIST_FOR_EACH (entry, &found->topics) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, in_uri);
        if (topic->is_noted) continue;
        topic->is_noted = true;
        mn_list_remove(&topic->in_look);
        mn_list_push_back(&front->look.noted, &topic->in_look);
    }
}

void front_look_note(struct front *front, struct mn_span name)
{
    const struct names_service *service = names_offered(&front->names, name);
    const mn_id anywhere = {{0}};
    struct feed *feed;

    if (front->look.by_uri.count == 0) return;
    feed = front_feed_find(front, name, &anywhere);
    if (feed != NULL) mn_list_append(&front->look.noted, &feed->settled);
    if (service == NULL) return;
    for (uint32_t i = 0; i < service->counts[NAMES_RESOURCES]; i++)
        look_note_uri(front, service->items[NAMES_RESOURCES][i].own);
    for (struct mn_map_entry *entry = mn_map_next(&service->by_own[NAMES_UI], NULL); entry != NULL;
         entry = mn_map_next(&service->by_own[NAMES_UI], entry))
        look_note_uri(front, entry->key);
}

void front_look_note_all(struct front *front)
{
    for (struct mn_map_entry *entry = mn_map_next(&front->feeds, NULL); entry != NULL;
         entry = mn_map_next(&front->feeds, entry)) {
        struct feed *feed = MN_CONTAINER(entry, struct feed, by_service);
        if (!front_feed_is_at_node(feed)) mn_list_append(&front->look.noted, &feed->settled);
    }
}

/* ---- what becomes of one ---- */

/* Who is known to have that URI, if it has subscriptions. */
static struct names_service *look_service(struct front *front, struct mn_span endpoint,
                                          struct mn_span uri, size_t *effort, struct mn_span *own)
{
    struct names_route route;

    front_route_known(front, endpoint, uri, effort, &route);
    *own = route.own;
    return route.count == 1 && !route.is_ambiguous && route.services[0]->has_updates
               ? route.services[0]
               : NULL;
}

/* Whether a client of that endpoint may hear of it: a view can have changed, or be gone. Of a
 * server that is away nobody hears, and what it has is not known. */
static bool look_is_shown(struct front *front, struct mn_span endpoint, const struct topic *topic,
                          size_t *effort)
{
    const struct names_service *service = names_service(&front->names, topic->feed->service);
    struct names_endpoint at;

    if (endpoint.size == 0) return true;
    if (!front_about_find(front, endpoint, &at)) return false;
    return service == NULL || names_view_allows(at.view, service, topic->uri, effort);
}

static void look_end(struct front *front, struct subscription *subscription)
{
    struct front_session *session = subscription->session;

    MN_PROBE("front: a view does not show any more what is subscribed to");
    if (front_taken_is_awaited(subscription)) {
        front_taken_refuse(front, subscription, JSONRPC_INVALID_PARAMS,
                           mn_span_str("nobody tells of updates of this resource any more"),
                           mn_span(NULL, 0));
        return;
    }
    if (session != NULL) {
        front_aside_subscribed(front, session, subscription->topic->feed->service);
        mn_list_remove(&session->in_look);
        mn_list_push_back(&front->look.sessions, &session->in_look);
    }
    front_subscription_free(front, subscription);
}

static void look_move(struct front *front, struct subscription *subscription, struct topic *topic)
{
    struct front_session *session = subscription->session;
    struct topic *before = subscription->topic;

    MN_PROBE("front: a subscription moves to the server that lists the resource now");
    front_subscription_move(subscription, topic);
    if (session != NULL) front_aside_subscribed(front, session, before->feed->service);
    front_feed_left(front, before);
    if (front_taken_is_awaited(subscription)) {
        if (topic->is_taken) front_taken_settle(front, subscription);
        return;
    }
    front_subscribe_tell(front, subscription); /* something may have been missed */
    if (session != NULL) front_aside_subscribed(front, session, topic->feed->service);
}

/* A server that was guessed when nobody listed the URI is left for the one that lists it now. */
static void look_at(struct front *front, struct subscription *subscription, size_t *effort)
{
    struct mn_span endpoint = subscription->session != NULL ? subscription->session->service
                                                            : subscription->exchange->service;
    const mn_id anywhere = {{0}};
    struct names_service *service;
    struct mn_span own;

    if (!front_about_is_aggregated(endpoint)) return; /* that server, whatever it has */
    service = look_service(front, endpoint, subscription->uri, effort, &own);
    if (service == NULL) {
        if (!look_is_shown(front, endpoint, subscription->topic, effort))
            look_end(front, subscription);
    } else if (!mn_span_equal(service->name, subscription->topic->feed->service)) {
        look_move(front, subscription,
                  front_feed_topic(front, front_feed_get(front, service->name, &anywhere), own,
                                   mn_span(NULL, 0)));
    }
}

/* ---- in slices ---- */

static void look_next_subscription(struct front *front, size_t *effort)
{
    struct subscription *subscription =
        MN_CONTAINER(front->look.subscriptions.next, struct subscription, in_look);
    size_t all = SIZE_MAX; /* what is looked at is looked at in full */

    mn_list_remove(&subscription->in_look);
    mn_list_push_back(&subscription->topic->settled, &subscription->in_look);
    look_at(front, subscription, &all);
    effort_take(effort, LOOK_EFFORT);
    effort_take(effort, SIZE_MAX - all);
}

static void look_next_topic(struct front *front, size_t *effort)
{
    struct topic *topic = MN_CONTAINER(front->look.topics.next, struct topic, in_look);

    topic->is_noted = false;
    front_taken_again(front, topic); /* what was refused may be there now */
    mn_list_remove(&topic->in_look);
    mn_list_push_back(&topic->feed->settled, &topic->in_look);
    mn_list_append(&front->look.subscriptions, &topic->settled);
    effort_take(effort, TOPIC_EFFORT);
}

/* Once, however many of its subscriptions ended; and not if another node has it, which knows more
 * of it and sees the same itself. */
static void look_next_session(struct front *front, size_t *effort)
{
    struct front_session *session =
        MN_CONTAINER(mn_list_take(&front->look.sessions), struct front_session, in_look);

    front_orphan_save(front, session);
    *effort = 0;
}

static void look_slice(struct front *front)
{
    size_t effort = LOOK_SLICE;

    while (effort > 0 && front_look_is_under_way(front)) {
        front->look.had_slice = true;
        if (!mn_list_is_empty(&front->look.subscriptions))
            look_next_subscription(front, &effort);
        else if (!mn_list_is_empty(&front->look.topics))
            look_next_topic(front, &effort);
        else
            look_next_session(front, &effort);
    }
}

bool front_look_is_under_way(const struct front *front)
{
    return !mn_list_is_empty(&front->look.subscriptions) ||
           !mn_list_is_empty(&front->look.topics) || !mn_list_is_empty(&front->look.sessions);
}

void front_look_begin(struct front *front)
{
    mn_list_append(&front->look.topics, &front->look.noted);
    if (!front->look.had_slice) look_slice(front);
}

void front_look_on_tick(struct front *front)
{
    look_slice(front);
}

/* ---- invariants ---- */

static uint32_t look_count(const struct mn_list *list)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, list)
        count++;
    return count;
}

/* Each topic and each subscription is settled, or in one of the lists that lead to a look. */
void front_look_check(const struct front *front)
{
    uint32_t topics = look_count(&front->look.noted) + look_count(&front->look.topics);
    uint32_t subscriptions = look_count(&front->look.subscriptions);
    uint32_t topics_all = 0, resources = 0, found = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->feeds, NULL); entry != NULL;
         entry = mn_map_next(&front->feeds, entry)) {
        const struct feed *feed = MN_CONTAINER(entry, struct feed, by_service);
        topics += look_count(&feed->settled);
        topics_all += feed->topics.count;
        if (!front_feed_is_at_node(feed)) resources += feed->topics.count;
        for (struct mn_map_entry *each = mn_map_next(&feed->topics, NULL); each != NULL;
             each = mn_map_next(&feed->topics, each))
            subscriptions += look_count(&MN_CONTAINER(each, struct topic, by_uri)->settled);
    }
    for (struct mn_map_entry *entry = mn_map_next(&front->look.by_uri, NULL); entry != NULL;
         entry = mn_map_next(&front->look.by_uri, entry))
        found += look_count(&MN_CONTAINER(entry, struct look_uri, by_uri)->topics);
    MN_ASSERT(topics == topics_all);
    MN_ASSERT(found == resources);
    MN_ASSERT(subscriptions == front->subscriptions_count);
}
