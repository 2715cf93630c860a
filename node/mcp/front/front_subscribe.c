/* Updates of resources: who of our clients wants to hear of which URI, and one lasting call per
 * server for all of them. A client is a legacy session (told on its stream) or a modern listen.
 * When the lasting call is lost it is made again, and every URI is reported once: something may
 * have been missed.
 *
 * Tasks go the same way: a listen names those it wants to hear of; a legacy session hears of those
 * that it began, as long as they run. They have lasting calls of their own, because a task is at
 * one node, and its server's replicas do not know it. */
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define RETRY_MIN MN_SEC
#define RETRY_MAX (30 * MN_SEC)
#define URI_MAX 4096 /* bytes */

/* All that this node wants of one server: resources, or the tasks that it has at one node. */
struct feed {
    struct mn_map_entry by_service, by_ticket;
    uint64_t ticket; /* 0: no call now */
    bool is_served;  /* the call has had its first event */
    bool is_dirty;   /* the server has to be told the topics */
    bool was_lost;
    struct mn_heap_entry timer; /* the next try; or, served, the moment to tell the topics */
    uint32_t failures_count;
    struct mn_map topics;
    struct mn_span service, key; /* key: with the node behind it */
    mn_id node;                  /* zero: resources, of whatever node serves it best */
};

struct topic {
    struct mn_map_entry by_uri;
    struct feed *feed;
    struct mn_list subscriptions; /* in_topic */
    struct mn_span uri;           /* as the server knows it; a task's id */
    struct mn_span session;       /* task: of the client whose it is; empty: it has none */
};

struct subscription {
    struct mn_list in_topic, in_owner;
    struct topic *topic;
    struct front_session *session;   /* one of */
    struct front_exchange *exchange; /* them */
    bool is_due;                     /* legacy: updated while no stream was open */
    struct mn_span uri;              /* as the client knows it */
};

/* ---- the lasting call ---- */

static void feed_arm(struct front *front, struct feed *feed, mn_time delay)
{
    mn_heap_set(&front->feeds_timers, &feed->timer, mn_time_after(front->now.mono, delay));
}

static void feed_start(struct front *front, struct feed *feed)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    char method[] = "subscriptions/listen";
    struct call_outbox *calls = front->outbox->calls;

    request.method = method;
    request.params = pb_bytes(mn_span_str("{}"));
    feed->ticket = ++front->ticket_last;
    feed->is_served = false;
    mn_map_insert(&front->feeds_by_ticket, &feed->by_ticket,
                  mn_span(&feed->ticket, sizeof feed->ticket));
    call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
        .ticket = feed->ticket,
        .service = mn_arena_copy(calls->arena, feed->service),
        .payload = pb_pack(&request.base),
        .node = feed->node,
    };
}

static void feed_end_call(struct front *front, struct feed *feed)
{
    if (feed->ticket == 0) return;
    mn_map_remove(&front->feeds_by_ticket, &feed->by_ticket);
    feed->ticket = 0;
}

static bool feed_is_of_tasks(const struct feed *feed)
{
    return !mn_id_is_zero(&feed->node);
}

static char *wish_string(struct front *front, struct mn_span text)
{
    return (char *)(uintptr_t)mn_arena_copy(&front->scratch, text).data;
}

static Meshnode__Gateway__TaskWish *wish_of_task(struct front *front, const struct topic *topic)
{
    Meshnode__Gateway__TaskWish *wish = mn_arena_alloc(&front->scratch, sizeof *wish);

    meshnode__gateway__task_wish__init(wish);
    wish->id = wish_string(front, topic->uri);
    wish->session = pb_bytes(topic->session);
    return wish;
}

static void feed_tell(struct front *front, struct feed *feed)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    size_t count = feed->topics.count + 1;

    wishes.uris = mn_arena_alloc(&front->scratch, count * sizeof *wishes.uris);
    wishes.tasks = mn_arena_alloc(&front->scratch, count * sizeof(Meshnode__Gateway__TaskWish *));
    for (struct mn_map_entry *entry = mn_map_next(&feed->topics, NULL); entry != NULL;
         entry = mn_map_next(&feed->topics, entry)) {
        const struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (feed_is_of_tasks(feed))
            wishes.tasks[wishes.n_tasks++] = wish_of_task(front, topic);
        else
            wishes.uris[wishes.n_uris++] = wish_string(front, topic->uri);
    }
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    call_emit(front->outbox->calls, CALL_MESSAGE_INPUT)->more =
        (struct call_more){feed->ticket, pb_pack(&input.base)};
    feed->is_dirty = false;
}

/* [node] zero: its resources. */
static struct feed *feed_get(struct front *front, struct mn_span service, const mn_id *node)
{
    size_t size = service.size + (mn_id_is_zero(node) ? 0 : sizeof *node);
    uint8_t *key = mn_arena_alloc(&front->scratch, size + 1);
    struct mn_map_entry *entry;
    struct feed *feed;

    memcpy(key, service.data, service.size);
    memcpy(key + service.size, node->bytes, size - service.size);
    entry = mn_map_find(&front->feeds, mn_span(key, size));
    if (entry != NULL) return MN_CONTAINER(entry, struct feed, by_service);
    feed = mn_alloc(sizeof *feed + size);
    feed->key = mn_span(feed + 1, size);
    feed->service = mn_span(feed + 1, service.size);
    feed->node = *node;
    memcpy(feed + 1, key, size);
    mn_map_init(&feed->topics, rng_u64(&front->rng));
    mn_map_insert(&front->feeds, &feed->by_service, feed->key);
    feed_start(front, feed);
    return feed;
}

static void feed_free(struct front *front, struct feed *feed)
{
    MN_ASSERT(feed->topics.count == 0);
    if (feed->ticket != 0 && front->outbox != NULL)
        call_emit(front->outbox->calls, CALL_MESSAGE_CANCEL)->ticket = feed->ticket;
    feed_end_call(front, feed);
    mn_heap_remove(&front->feeds_timers, &feed->timer);
    mn_map_remove(&front->feeds, &feed->by_service);
    mn_map_done(&feed->topics);
    mn_free(feed);
}

/* ---- clients ---- */

static void subscription_tell(struct front *front, struct subscription *subscription)
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

static void topic_tell(struct front *front, const struct topic *topic)
{
    MN_LIST_FOR_EACH_SAFE (entry, &topic->subscriptions)
        subscription_tell(front, MN_CONTAINER(entry, struct subscription, in_topic));
}

/* It may have been the last one. */
static void topic_left(struct front *front, struct topic *topic)
{
    struct feed *feed = topic->feed;

    if (!mn_list_is_empty(&topic->subscriptions)) return;
    mn_map_remove(&feed->topics, &topic->by_uri);
    mn_free(topic);
    feed->is_dirty = true;
    if (feed->topics.count == 0)
        feed_free(front, feed);
    else if (feed->is_served)
        feed_arm(front, feed, 0);
}

static void subscription_free(struct front *front, struct subscription *subscription)
{
    struct topic *topic = subscription->topic;

    mn_list_remove(&subscription->in_topic);
    mn_list_remove(&subscription->in_owner);
    front->subscriptions_count--;
    mn_free(subscription);
    topic_left(front, topic);
}

void front_subscribe_drop(struct front *front, struct mn_list *subscriptions)
{
    while (!mn_list_is_empty(subscriptions))
        subscription_free(front, MN_CONTAINER(subscriptions->next, struct subscription, in_owner));
}

static struct subscription *subscription_find(const struct mn_list *owner, struct mn_span uri)
{
    MN_LIST_FOR_EACH (entry, owner) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_owner);
        if (mn_span_equal(subscription->uri, uri)) return subscription;
    }
    return NULL;
}

/* By what the server calls it, and by whose it is. */
static struct topic *topic_find(struct front *front, const struct feed *feed, struct mn_span uri,
                                struct mn_span session)
{
    uint8_t *key = mn_arena_alloc(&front->scratch, uri.size + session.size + 1);
    struct mn_map_entry *entry;

    memcpy(key, uri.data, uri.size);
    if (session.size > 0) memcpy(key + uri.size, session.data, session.size);
    entry = mn_map_find(&feed->topics, mn_span(key, uri.size + session.size));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct topic, by_uri);
}

static struct topic *topic_get(struct front *front, struct feed *feed, struct mn_span uri,
                               struct mn_span session)
{
    struct topic *topic = topic_find(front, feed, uri, session);
    uint8_t *key;

    if (topic != NULL) return topic;
    topic = mn_alloc(sizeof *topic + uri.size + session.size);
    key = (uint8_t *)(topic + 1);
    topic->feed = feed;
    topic->uri = mn_span(key, uri.size);
    topic->session = mn_span(key + uri.size, session.size);
    memcpy(key, uri.data, uri.size);
    if (session.size > 0) memcpy(key + uri.size, session.data, session.size);
    mn_list_init(&topic->subscriptions);
    mn_map_insert(&feed->topics, &topic->by_uri, mn_span(key, uri.size + session.size));
    feed->is_dirty = true;
    if (feed->is_served) feed_arm(front, feed, 0);
    return topic;
}

/* Which server a URI is subscribed at: the first that may have it, if it has subscriptions.
 * [is_sure]: only one that is known to have it. */
static struct names_service *subscribe_service(struct front *front, struct mn_span endpoint,
                                               struct mn_span uri, bool is_sure,
                                               struct mn_span *own)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct names_service *service;
    struct names_route route;
    const struct json *capabilities;

    *own = uri;
    if (!front_about_is_aggregated(endpoint)) {
        service = names_service(&front->names, endpoint);
    } else {
        front_route_find(front, endpoint, uri, false, &route);
        service = route.count == 0 || route.is_ambiguous || (is_sure && !route.is_listed)
                      ? NULL
                      : route.services[0];
        *own = route.own;
    }
    if (service == NULL || service->capabilities.size == 0 ||
        json_parse_copy(front->parser, service->capabilities, limits, &front->scratch,
                        &capabilities) != MN_OK ||
        !json_is_true(json_find_str(json_find_str(capabilities, "resources"), "subscribe")))
        return NULL;
    return service;
}

static void subscription_add(struct front *front, struct mn_list *owner, struct mn_span uri,
                             struct front_session *session, struct front_exchange *listen,
                             struct topic *topic)
{
    struct subscription *subscription = mn_alloc(sizeof *subscription + uri.size);

    subscription->session = session;
    subscription->exchange = listen;
    subscription->uri = mn_span(subscription + 1, uri.size);
    memcpy(subscription + 1, uri.data, uri.size);
    subscription->topic = topic;
    mn_list_push_back(&topic->subscriptions, &subscription->in_topic);
    mn_list_push_back(owner, &subscription->in_owner);
    front->subscriptions_count++;
}

static bool subscribe_add(struct front *front, struct mn_span endpoint, struct mn_span uri,
                          struct front_session *session, struct front_exchange *listen)
{
    struct mn_list *owner = session != NULL ? &session->subscriptions : &listen->subscriptions;
    const mn_id anywhere = {{0}};
    struct names_service *service;
    struct mn_span own;

    if (uri.size == 0 || uri.size > URI_MAX) return false;
    if (subscription_find(owner, uri) != NULL) return true;
    service = subscribe_service(front, endpoint, uri, false, &own);
    if (service == NULL || front->subscriptions_count >= MCP_SUBSCRIPTIONS_MAX) return false;
    subscription_add(
        front, owner, uri, session, listen,
        topic_get(front, feed_get(front, service->name, &anywhere), own, mn_span(NULL, 0)));
    return true;
}

/* ---- servers that come later ---- */

/* A server that was guessed when nobody listed the URI is left for the one that lists it now. */
static void subscription_move(struct front *front, struct subscription *subscription)
{
    struct mn_span endpoint = subscription->session != NULL ? subscription->session->service
                                                            : subscription->exchange->service;
    struct topic *before = subscription->topic;
    const mn_id anywhere = {{0}};
    struct mn_span own;
    struct names_service *service =
        subscribe_service(front, endpoint, subscription->uri, true, &own);

    if (service == NULL || mn_span_equal(service->name, before->feed->service)) return;
    MN_PROBE("front: a subscription moves to the server that lists the resource now");
    mn_list_remove(&subscription->in_topic);
    subscription->topic =
        topic_get(front, feed_get(front, service->name, &anywhere), own, mn_span(NULL, 0));
    mn_list_push_back(&subscription->topic->subscriptions, &subscription->in_topic);
    topic_left(front, before);
    subscription_tell(front, subscription); /* something may have been missed */
}

void front_subscribe_changed(struct front *front)
{
    struct subscription **all =
        mn_arena_alloc(&front->scratch, (front->subscriptions_count + 1) * sizeof *all);
    uint32_t count = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->feeds, NULL); entry != NULL;
         entry = mn_map_next(&front->feeds, entry)) {
        const struct feed *feed = MN_CONTAINER(entry, struct feed, by_service);
        if (feed_is_of_tasks(feed)) continue;
        for (struct mn_map_entry *each = mn_map_next(&feed->topics, NULL); each != NULL;
             each = mn_map_next(&feed->topics, each)) {
            MN_LIST_FOR_EACH (link, &MN_CONTAINER(each, struct topic, by_uri)->subscriptions)
                all[count++] = MN_CONTAINER(link, struct subscription, in_topic);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        subscription_move(front, all[i]);
}

/* ---- what clients say ---- */

void front_subscribe_request(struct front *front, struct front_exchange *exchange,
                             struct front_session *session, const struct jsonrpc_message *message,
                             bool is_on)
{
    struct mn_span uri = json_text(json_find_str(message->params, "uri"));
    struct subscription *subscription;

    if (uri.size == 0) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "params.uri must be a string");
        return;
    }
    subscription = subscription_find(&session->subscriptions, uri);
    if (!is_on && subscription != NULL) subscription_free(front, subscription);
    if (is_on && !subscribe_add(front, exchange->service, uri, session, NULL))
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             "nobody tells of updates of this resource: unknown, of several servers, or of one "
             "without subscriptions");
    else if (is_on == (subscription == NULL))
        front_record_reply(front, exchange, session, message->id, mn_span_str("{}"));
    else
        front_reply_result(front, exchange, message->id, mn_span_str("{}"));
}

void *front_subscribe_next(const struct front_session *session, void *at, struct mn_span *uri)
{
    struct mn_list *link = at == NULL ? session->subscriptions.next : ((struct mn_list *)at)->next;

    if (link == &session->subscriptions) return NULL;
    *uri = MN_CONTAINER(link, struct subscription, in_owner)->uri;
    return link;
}

void front_subscribe_again(struct front *front, struct front_session *session, struct mn_span uri)
{
    struct subscription *subscription;

    if (subscription_find(&session->subscriptions, uri) != NULL ||
        !subscribe_add(front, session->service, uri, session, NULL))
        return;
    subscription = subscription_find(&session->subscriptions, uri);
    subscription->is_due = true;
}

void front_subscribe_forget(struct front *front, struct front_session *session, struct mn_span uri)
{
    struct subscription *subscription = subscription_find(&session->subscriptions, uri);
    if (subscription != NULL) subscription_free(front, subscription);
}

void front_subscribe_listen(struct front *front, struct front_exchange *exchange,
                            const struct json *uris, struct mn_writer *honoured)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const char *comma = "";

    if (!json_is(uris, JSON_ARRAY) ||
        json_parse(front->parser, uris->raw, limits, &front->scratch, &uris) != MN_OK)
        return;
    for (const struct json *uri = json_first(uris); uri != NULL; uri = json_next(uris, uri)) {
        struct mn_span text = json_text(uri);
        bool is_known = subscription_find(&exchange->subscriptions, text) != NULL;
        if (is_known || !subscribe_add(front, exchange->service, text, NULL, exchange)) continue;
        mn_writer_str(honoured, comma);
        json_write_string(honoured, text);
        comma = ",";
    }
}

/* ---- tasks ---- */

bool front_subscribe_task(struct front *front, struct front_exchange *stream,
                          const struct front_target *target, struct mn_span id)
{
    struct front_session *session = stream->session;
    struct mn_span whose =
        session == NULL ? mn_span(NULL, 0) : mn_span(session->alias, sizeof session->alias);
    struct feed *feed;

    if (subscription_find(&stream->subscriptions, id) != NULL) return true;
    if (front->subscriptions_count >= MCP_SUBSCRIPTIONS_MAX || target->own.size == 0 ||
        mn_id_is_zero(&target->node))
        return false;
    feed = feed_get(front, target->services[0], &target->node);
    subscription_add(front, &stream->subscriptions, id, NULL, stream,
                     topic_get(front, feed, target->own, whose));
    return true;
}

void front_subscribe_task_over(struct front *front, struct front_exchange *stream,
                               struct mn_span id)
{
    struct subscription *subscription = subscription_find(&stream->subscriptions, id);
    if (subscription != NULL) subscription_free(front, subscription);
}

void front_subscribe_tasks(struct front *front, struct front_exchange *exchange,
                           const struct json *ids, struct mn_writer *honoured)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    uint32_t count = 0;

    if (!json_is(ids, JSON_ARRAY) ||
        json_parse(front->parser, ids->raw, limits, &front->scratch, &ids) != MN_OK)
        return;
    for (const struct json *id = json_first(ids); id != NULL && count < FRONT_TASKS_MAX;
         id = json_next(ids, id)) {
        struct front_target target = {0};
        struct mn_span text = json_text(id);
        if (text.size == 0 || subscription_find(&exchange->subscriptions, text) != NULL ||
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
        topic_find(front, feed, pb_text(state->progress_of), pb_span(state->session));

    if (topic == NULL || json_find_str(progress, "progressToken") != NULL) return;
    MN_LIST_FOR_EACH_SAFE (entry, &topic->subscriptions)
        subscription_tell_progress(front, MN_CONTAINER(entry, struct subscription, in_topic),
                                   progress);
}

static void feed_on_task(struct front *front, struct feed *feed,
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
    topic = topic_find(front, feed, id, pb_span(state->session));
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
        if (subscription->exchange->session != NULL)
            front_task_forget(subscription->exchange->session, subscription->uri);
        subscription_free(front, subscription);
    }
}

void front_subscribe_stream(struct front *front, struct front_session *session)
{
    MN_LIST_FOR_EACH_SAFE (entry, &session->subscriptions) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_owner);
        if (subscription->is_due) subscription_tell(front, subscription);
    }
}

/* ---- what servers say ---- */

static void feed_on_updated(struct front *front, struct feed *feed, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&feed->topics, uri);

    if (entry != NULL) {
        topic_tell(front, MN_CONTAINER(entry, struct topic, by_uri));
        return;
    }
    while ((entry = mn_map_next(&feed->topics, entry)) != NULL) { /* a part of what was wanted */
        const struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (uri.size > topic->uri.size && memcmp(uri.data, topic->uri.data, topic->uri.size) == 0)
            topic_tell(front, topic);
    }
}

static void feed_on_served(struct front *front, struct feed *feed)
{
    feed->is_served = true;
    feed->failures_count = 0;
    feed_tell(front, feed);
    if (!feed->was_lost) return;
    feed->was_lost = false;
    if (feed_is_of_tasks(feed)) return; /* what became of them is asked by those who must know */
    MN_PROBE("front: subscriptions taken up again");
    for (struct mn_map_entry *entry = mn_map_next(&feed->topics, NULL); entry != NULL;
         entry = mn_map_next(&feed->topics, entry))
        topic_tell(front, MN_CONTAINER(entry, struct topic, by_uri));
}

static void feed_on_lost(struct front *front, struct feed *feed)
{
    mn_time delay = RETRY_MIN;

    feed_end_call(front, feed);
    feed->is_served = false;
    feed->was_lost = true;
    for (uint32_t i = 0; i < feed->failures_count && delay < RETRY_MAX; i++)
        delay *= 2;
    feed->failures_count++;
    feed_arm(front, feed, mn_time_min(delay, RETRY_MAX));
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
        feed_on_lost(front, feed);
        return true;
    }
    if (!feed->is_served) feed_on_served(front, feed);
    payload = pb_unpack(&meshnode__gateway__event__descriptor, &front->scratch,
                        mn_buf_span(event->payload));
    if (payload == NULL) return true;
    /* Of what it was not asked for, a node says nothing here. */
    if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_UPDATED && !feed_is_of_tasks(feed))
        feed_on_updated(front, feed, pb_text(payload->updated));
    else if (payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_TASK && feed_is_of_tasks(feed))
        feed_on_task(front, feed, payload->task);
    return true;
}

void front_subscribe_on_time(struct front *front)
{
    while (mn_heap_deadline(&front->feeds_timers) <= front->now.mono) {
        struct feed *feed = MN_CONTAINER(mn_heap_peek(&front->feeds_timers), struct feed, timer);
        mn_heap_remove(&front->feeds_timers, &feed->timer);
        if (feed->ticket == 0)
            feed_start(front, feed);
        else if (feed->is_served && feed->is_dirty)
            feed_tell(front, feed);
    }
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
            MN_LIST_FOR_EACH (link, &topic->subscriptions)
                count++;
        }
    }
    MN_ASSERT(count == front->subscriptions_count);
}
