/* Subscriptions to resources: who of our clients wants to hear of which URI. A client is a legacy
 * session or a modern listen; how they are told, see front_updates.c. When the lasting call to a
 * server was lost and is made again, every URI is reported once: something may have been missed. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define URI_MAX 4096 /* bytes */

/* Which server a URI is subscribed at: the first that may have it, if it has subscriptions. */
static struct names_service *subscribe_service(struct front *front, struct mn_span endpoint,
                                               struct mn_span uri, struct mn_span *own)
{
    struct names_service *service;
    struct names_route route;

    *own = uri;
    if (!front_about_is_aggregated(endpoint)) {
        service = names_service(&front->names, endpoint);
    } else {
        front_route_find(front, endpoint, uri, false, &route);
        service = route.count == 0 || route.is_ambiguous ? NULL : route.services[0];
        *own = route.own;
    }
    return service != NULL && service->has_updates ? service : NULL;
}

static bool subscribe_add(struct front *front, struct mn_span endpoint, struct mn_span uri,
                          struct front_session *session, struct front_exchange *listen)
{
    const struct front_subscriptions *owner =
        session != NULL ? &session->subscriptions : &listen->subscriptions;
    const mn_id *principal = session != NULL ? &session->principal : &listen->principal;
    const mn_id anywhere = {{0}};
    struct names_service *service;
    struct topic *topic;
    struct mn_span own;

    if (uri.size == 0 || uri.size > URI_MAX) return false;
    if (front_subscription_find(owner, uri) != NULL) return true;
    if (!front_subscription_has_room(front, principal)) return false;
    service = subscribe_service(front, endpoint, uri, &own);
    if (service == NULL) return false;
    topic = front_feed_topic(front, front_feed_get(front, service->name, &anywhere), own,
                             mn_span(NULL, 0));
    front_subscription_add(front, session, listen, uri, topic);
    front_taken_again(front, topic);
    return true;
}

/* ---- what clients say ---- */

/* Why one more is refused before it is looked for; NULL: it is not. */
static const char *subscribe_fault(const struct front *front, const struct front_session *session)
{
    if (session->subscriptions.by_uri.count >= FRONT_SUBSCRIPTIONS_MAX)
        return "this session has 1,024 subscriptions already: unsubscribe from some";
    if (!front_subscription_has_room(front, &session->principal))
        return "too many subscriptions of this client, or of all, at this node; try again later";
    return NULL;
}

/* Whether what its server says is still to come. Where nobody can ask it now, nobody waits. */
static bool subscribe_waits(struct front *front, const struct subscription *subscription,
                            bool is_new)
{
    struct topic *topic = subscription->topic;

    if (front_taken_is_awaited(subscription)) return true;
    if (topic->is_taken || topic->feed->ticket == 0) return false;
    front_taken_again(front, topic); /* one who has it already only tries once more */
    return is_new;
}

void front_subscribe_request(struct front *front, struct front_exchange *exchange,
                             struct front_session *session, const struct jsonrpc_message *message,
                             bool is_on)
{
    struct mn_span uri = json_text(json_find_str(message->params, "uri"));
    struct subscription *subscription;
    const char *fault;
    bool is_changed;

    if (uri.size == 0) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "params.uri must be a string");
        return;
    }
    subscription = front_subscription_find(&session->subscriptions, uri);
    is_changed = is_on == (subscription == NULL);
    if (is_on && is_changed) {
        fault = subscribe_fault(front, session);
        if (fault != NULL) {
            FAIL(200, message->id, JSONRPC_INTERNAL, fault);
            return;
        }
        if (!subscribe_add(front, exchange->service, uri, session, NULL)) {
            FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
                 "nobody tells of updates of this resource: unknown, of several servers, or of one "
                 "without subscriptions");
            return;
        }
        subscription = front_subscription_find(&session->subscriptions, uri);
    }
    if (is_on && subscribe_waits(front, subscription, is_changed)) {
        front_taken_wait(front, subscription, exchange, message->id);
    } else if (is_changed) {
        if (!is_on) front_taken_settle(front, subscription);
        front_aside_subscribed(front, session, subscription->topic->feed->service);
        if (!is_on) front_subscription_free(front, subscription);
        front_record_reply(front, exchange, session, message->id, mn_span_str("{}"));
    } else {
        front_reply_result(front, exchange, message->id, mn_span_str("{}"));
    }
}

/* ---- in the session that a client has of a server for itself ---- */

char **front_subscribe_own(struct front *front, const struct front_session *session,
                           struct mn_span service, size_t *count)
{
    size_t room = ASIDE_URIS_SIZE_MAX;
    char **uris = mn_arena_alloc(&front->scratch, ASIDE_URIS_MAX * sizeof *uris);

    *count = 0;
    MN_LIST_FOR_EACH (entry, &session->subscriptions.all) {
        const struct subscription *subscription =
            MN_CONTAINER(entry, struct subscription, in_owner);
        const struct topic *topic = subscription->topic;
        if (front_taken_is_awaited(subscription)) continue;
        if (!mn_span_equal(topic->feed->service, service)) continue;
        if (*count == ASIDE_URIS_MAX || topic->uri.size > room) break;
        room -= topic->uri.size;
        uris[(*count)++] = (char *)(uintptr_t)mn_arena_copy(&front->scratch, topic->uri).data;
    }
    return uris;
}

void front_subscribe_on_own(struct front *front, struct front_session *session,
                            struct mn_span service, struct mn_span own)
{
    MN_LIST_FOR_EACH_SAFE (entry, &session->subscriptions.all) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_owner);
        const struct topic *topic = subscription->topic;
        if (mn_span_equal(topic->feed->service, service) && mn_span_equal(topic->uri, own) &&
            !front_taken_is_awaited(subscription))
            front_subscribe_tell_soon(front, subscription);
    }
}

void *front_subscribe_next(const struct front_session *session, void *at, struct mn_span *uri)
{
    const struct mn_list *all = &session->subscriptions.all;
    struct mn_list *link = at == NULL ? all->next : ((struct mn_list *)at)->next;

    for (; link != all; link = link->next) {
        const struct subscription *subscription = MN_CONTAINER(link, struct subscription, in_owner);
        if (front_taken_is_awaited(subscription)) continue;
        *uri = subscription->uri;
        return link;
    }
    return NULL;
}

void front_subscribe_again(struct front *front, struct front_session *session, struct mn_span uri)
{
    struct subscription *subscription;

    if (front_subscription_find(&session->subscriptions, uri) != NULL ||
        !subscribe_add(front, session->service, uri, session, NULL))
        return;
    subscription = front_subscription_find(&session->subscriptions, uri);
    subscription->is_due = true;
}

void front_subscribe_forget(struct front *front, struct front_session *session, struct mn_span uri)
{
    struct subscription *subscription = front_subscription_find(&session->subscriptions, uri);
    if (subscription != NULL) front_subscription_free(front, subscription);
}

void front_subscribe_listen(struct front *front, struct front_exchange *exchange,
                            const struct json *uris, struct mn_writer *honoured)
{
    const char *comma = "";

    if (uris == NULL) return;
    for (const struct json *uri = json_first(uris); uri != NULL; uri = json_next(uris, uri)) {
        struct mn_span text = json_text(uri);
        bool is_known = front_subscription_find(&exchange->subscriptions, text) != NULL;
        if (is_known || !subscribe_add(front, exchange->service, text, NULL, exchange)) continue;
        mn_writer_str(honoured, comma);
        json_write_string(honoured, text);
        comma = ",";
    }
}

void front_subscribe_stream(struct front *front, struct front_session *session)
{
    MN_LIST_FOR_EACH_SAFE (entry, &session->subscriptions.all) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_owner);
        if (subscription->is_due) front_subscribe_tell(front, subscription);
    }
}

/* ---- what servers say ---- */

static void feed_on_updated(struct front *front, struct feed *feed, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&feed->topics, uri);

    if (entry != NULL) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        front_updates_of(front, topic);
        front_taken_note(front, topic);
        return;
    }
    while ((entry = mn_map_next(&feed->topics, entry)) != NULL) { /* a part of what was wanted */
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (uri.size > topic->uri.size && memcmp(uri.data, topic->uri.data, topic->uri.size) == 0)
            front_updates_of(front, topic);
    }
}

static void feed_on_taken(struct front *front, struct feed *feed,
                          const Meshnode__Gateway__Taken *taken)
{
    struct mn_map_entry *entry = mn_map_find(&feed->topics, pb_text(taken->uri));

    if (entry == NULL) return; /* nobody wants it any more */
    if (taken->refusal != NULL)
        front_taken_on_refused(front, MN_CONTAINER(entry, struct topic, by_uri), taken->refusal);
    else
        front_taken_on_taken(front, MN_CONTAINER(entry, struct topic, by_uri));
}

static void feed_on_served(struct front *front, struct feed *feed)
{
    feed->is_served = true;
    feed->failures_count = 0;
    front_feed_tell(front, feed);
    if (!feed->was_lost) return;
    feed->was_lost = false;
    if (front_feed_is_at_node(feed))
        return; /* what became of them is asked by those who must know */
    MN_PROBE("front: subscriptions taken up again");
    for (struct mn_map_entry *entry = mn_map_next(&feed->topics, NULL); entry != NULL;
         entry = mn_map_next(&feed->topics, entry))
        front_updates_of(front, MN_CONTAINER(entry, struct topic, by_uri));
}

bool front_subscribe_on_event(struct front *front, const struct call_event *event)
{
    struct mn_map_entry *entry =
        mn_map_find(&front->feeds_by_ticket, mn_span(&event->ticket, sizeof event->ticket));
    const Meshnode__Gateway__Event *payload;
    struct feed *feed;

    if (entry == NULL) return false;
    feed = MN_CONTAINER(entry, struct feed, by_ticket);
    if (event->kind != CALL_EVENT_PROGRESS) {
        front_feed_on_lost(front, feed);
        return true;
    }
    if (!feed->is_served) feed_on_served(front, feed);
    payload = pb_unpack(&meshnode__gateway__event__descriptor, &front->scratch,
                        mn_buf_span(event->payload));
    if (payload == NULL) return true;
    /* Of what it was not asked for, a node says nothing here. */
    if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_UPDATED &&
        !front_feed_is_at_node(feed))
        feed_on_updated(front, feed, pb_text(payload->updated));
    else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_TAKEN &&
             !front_feed_is_at_node(feed))
        feed_on_taken(front, feed, payload->taken);
    else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_TASK &&
             front_feed_is_at_node(feed))
        front_subscribe_on_task(front, feed, payload->task);
    else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ASIDE &&
             front_feed_is_at_node(feed))
        front_aside_on_event(front, feed, payload->aside);
    return true;
}

void front_subscribe_check(const struct front *front)
{
    uint32_t count = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->feeds, NULL); entry != NULL;
         entry = mn_map_next(&front->feeds, entry)) {
        const struct feed *feed = MN_CONTAINER(entry, struct feed, by_service);
        MN_ASSERT(feed->topics.count > 0);
        MN_ASSERT(feed->ticket != 0 || feed->timer.index_plus_one != 0);
        for (struct mn_map_entry *each = mn_map_next(&feed->topics, NULL); each != NULL;
             each = mn_map_next(&feed->topics, each)) {
            const struct topic *topic = MN_CONTAINER(each, struct topic, by_uri);
            MN_ASSERT(!mn_list_is_empty(&topic->subscriptions));
            MN_LIST_FOR_EACH (link, &topic->subscriptions) {
                const struct subscription *subscription =
                    MN_CONTAINER(link, struct subscription, in_topic);
                MN_ASSERT(!topic->is_taken || !front_taken_is_awaited(subscription) ||
                          subscription->limit.at <= front->now.mono);
                count++;
            }
        }
    }
    MN_ASSERT(count == front->subscriptions_count);
}
