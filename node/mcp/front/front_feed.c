/* The lasting calls through which servers tell this node of what its clients subscribed to. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define RETRY_MIN MN_SEC
#define RETRY_MAX (30 * MN_SEC)
#define MANY 64u                  /* topics from which on changes are gathered, */
#define GATHER_DELAY (50 * MN_MS) /* since each time all topics are told */

void front_feed_arm(struct front *front, struct feed *feed, mn_time delay)
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

bool front_feed_is_at_node(const struct feed *feed)
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

static Meshnode__Gateway__SessionWish *wish_of_session(struct front *front,
                                                       const struct topic *topic)
{
    Meshnode__Gateway__SessionWish *wish = mn_arena_alloc(&front->scratch, sizeof *wish);
    const struct subscription *first =
        MN_CONTAINER(topic->subscriptions.next, struct subscription, in_topic);

    meshnode__gateway__session_wish__init(wish);
    wish->session = pb_bytes(topic->session);
    wish->log_level = (char *)(uintptr_t)loglevel_name(first->exchange->session->log_level);
    wish->moves = first->exchange->moves;
    wish->opened_ms = first->exchange->opened_ms;
    wish->uris =
        front_subscribe_own(front, first->exchange->session, topic->feed->service, &wish->n_uris);
    return wish;
}

void front_feed_tell(struct front *front, struct feed *feed)
{
    Meshnode__Gateway__Input input = MESHNODE__GATEWAY__INPUT__INIT;
    Meshnode__Gateway__Wishes wishes = MESHNODE__GATEWAY__WISHES__INIT;
    size_t count = feed->topics.count + 1;

    wishes.wants_taken = true;
    wishes.uris = mn_arena_alloc(&front->scratch, count * sizeof *wishes.uris);
    wishes.tasks = mn_arena_alloc(&front->scratch, count * sizeof(Meshnode__Gateway__TaskWish *));
    wishes.sessions =
        mn_arena_alloc(&front->scratch, count * sizeof(Meshnode__Gateway__SessionWish *));
    for (struct mn_map_entry *entry = mn_map_next(&feed->topics, NULL); entry != NULL;
         entry = mn_map_next(&feed->topics, entry)) {
        const struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (front_feed_is_at_node(feed) && topic->uri.size == 0)
            wishes.sessions[wishes.n_sessions++] = wish_of_session(front, topic);
        else if (front_feed_is_at_node(feed))
            wishes.tasks[wishes.n_tasks++] = wish_of_task(front, topic);
        else if (!topic->is_refused)
            wishes.uris[wishes.n_uris++] = wish_string(front, topic->uri);
    }
    input.what_case = MESHNODE__GATEWAY__INPUT__WHAT_WISHES;
    input.wishes = &wishes;
    call_emit(front->outbox->calls, CALL_MESSAGE_INPUT)->more =
        (struct call_more){feed->ticket, pb_pack(&input.base)};
    feed->is_dirty = false;
    feed->told_at = front->now.mono;
}

void front_feed_gather(struct front *front, struct feed *feed)
{
    feed->is_dirty = true;
    if (feed->is_served && feed->timer.index_plus_one == 0)
        front_feed_arm(front, feed, GATHER_DELAY);
}

void front_feed_changed(struct front *front, struct feed *feed)
{
    front_feed_gather(front, feed);
    if (feed->is_served && feed->topics.count < MANY) front_feed_arm(front, feed, 0);
}

static void feed_tell_changes(struct front *front, struct feed *feed)
{
    if (feed->is_served && feed->is_dirty) front_feed_tell(front, feed);
}

void front_feed_flush(struct front *front, struct feed *feed)
{
    bool is_soon = feed->told_at != 0 && front->now.mono - feed->told_at < GATHER_DELAY;

    if (feed->topics.count < MANY || !is_soon) feed_tell_changes(front, feed);
}

/* Good until the scratch memory is reset. */
static struct mn_span feed_key(struct front *front, struct mn_span service, const mn_id *node)
{
    size_t size = service.size + (mn_id_is_zero(node) ? 0 : sizeof *node);
    uint8_t *key = mn_arena_alloc(&front->scratch, size + 1);

    memcpy(key, service.data, service.size);
    memcpy(key + service.size, node->bytes, size - service.size);
    return mn_span(key, size);
}

struct feed *front_feed_find(struct front *front, struct mn_span service, const mn_id *node)
{
    struct mn_map_entry *entry = mn_map_find(&front->feeds, feed_key(front, service, node));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct feed, by_service);
}

struct feed *front_feed_get(struct front *front, struct mn_span service, const mn_id *node)
{
    struct feed *feed = front_feed_find(front, service, node);
    struct mn_span key;

    if (feed != NULL) return feed;
    key = feed_key(front, service, node);
    feed = mn_alloc(sizeof *feed + key.size);
    feed->key = mn_span(feed + 1, key.size);
    feed->service = mn_span(feed + 1, service.size);
    feed->node = *node;
    memcpy(feed + 1, key.data, key.size);
    mn_map_init(&feed->topics, rng_u64(&front->rng));
    mn_list_init(&feed->settled);
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

/* ---- what it is to tell ---- */

struct topic *front_feed_topic_find(struct front *front, const struct feed *feed,
                                    struct mn_span uri, struct mn_span session)
{
    uint8_t *key = mn_arena_alloc(&front->scratch, uri.size + session.size + 1);
    struct mn_map_entry *entry;

    if (uri.size > 0) memcpy(key, uri.data, uri.size);
    if (session.size > 0) memcpy(key + uri.size, session.data, session.size);
    entry = mn_map_find(&feed->topics, mn_span(key, uri.size + session.size));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct topic, by_uri);
}

struct topic *front_feed_topic(struct front *front, struct feed *feed, struct mn_span uri,
                               struct mn_span session)
{
    struct topic *topic = front_feed_topic_find(front, feed, uri, session);
    uint8_t *key;

    if (topic != NULL) return topic;
    topic = mn_alloc(sizeof *topic + uri.size + session.size);
    key = (uint8_t *)(topic + 1);
    topic->feed = feed;
    topic->uri = mn_span(key, uri.size);
    topic->session = mn_span(key + uri.size, session.size);
    if (uri.size > 0) memcpy(key, uri.data, uri.size);
    if (session.size > 0) memcpy(key + uri.size, session.data, session.size);
    mn_list_init(&topic->subscriptions);
    mn_list_init(&topic->settled);
    mn_list_init(&topic->told);
    mn_list_init(&topic->in_uri);
    mn_list_push_back(&feed->settled, &topic->in_look);
    if (!front_feed_is_at_node(feed)) front_look_add(front, topic);
    mn_map_insert(&feed->topics, &topic->by_uri, mn_span(key, uri.size + session.size));
    front_feed_changed(front, feed);
    return topic;
}

void front_feed_left(struct front *front, struct topic *topic)
{
    struct feed *feed = topic->feed;

    if (!mn_list_is_empty(&topic->subscriptions)) return;
    mn_map_remove(&feed->topics, &topic->by_uri);
    mn_list_remove(&topic->in_look);
    if (!front_feed_is_at_node(feed)) front_look_remove(front, topic);
    mn_free(topic);
    if (feed->topics.count == 0)
        feed_free(front, feed);
    else
        front_feed_changed(front, feed);
}

/* ---- its life ---- */

void front_feed_on_lost(struct front *front, struct feed *feed)
{
    mn_time delay = RETRY_MIN;

    feed_end_call(front, feed);
    feed->is_served = false;
    feed->was_lost = true;
    for (uint32_t i = 0; i < feed->failures_count && delay < RETRY_MAX; i++)
        delay *= 2;
    feed->failures_count++;
    front_feed_arm(front, feed, mn_time_min(delay, RETRY_MAX));
    front_taken_lost(front, feed);
}

void front_feed_on_time(struct front *front)
{
    while (mn_heap_deadline(&front->feeds_timers) <= front->now.mono) {
        struct feed *feed = MN_CONTAINER(mn_heap_peek(&front->feeds_timers), struct feed, timer);
        mn_heap_remove(&front->feeds_timers, &feed->timer);
        if (feed->ticket == 0)
            feed_start(front, feed);
        else
            feed_tell_changes(front, feed);
    }
}
