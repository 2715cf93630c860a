/* What servers say to one client outside of any call (log messages, the end of an elicitation by
 * URL, what extensions tell), on the stream of its session. Only a client that a server may have a
 * session for alone hears such things: one that can be asked, or that has set a log level. It is
 * wished for at each node that served calls of the session, as long as the stream is open. Who does
 * not read misses it, as it misses other notifications; a stream that is taken up again has what
 * was written to it. */
#include "node/mcp/front/front_feed.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

static const struct mn_span nothing = {0};

static bool aside_may_hear(const struct front_session *session)
{
    return session->wants_logs || session->known.set != 0;
}

static struct subscription *aside_subscription(const struct topic *topic,
                                               const struct front_exchange *stream)
{
    MN_LIST_FOR_EACH (entry, &topic->subscriptions) {
        struct subscription *subscription = MN_CONTAINER(entry, struct subscription, in_topic);
        if (subscription->exchange == stream) return subscription;
    }
    return NULL;
}

static void aside_wish(struct front *front, struct front_session *session, struct mn_span service,
                       const mn_id *node)
{
    struct mn_span whose = mn_span(session->alias, sizeof session->alias);
    struct feed *feed = front_feed_get(front, service, node);
    struct topic *topic = front_feed_topic(front, feed, nothing, whose);

    if (aside_subscription(topic, session->stream) == NULL)
        front_subscription_add(front, &session->stream->subscriptions, nothing, NULL,
                               session->stream, topic);
    else
        front_feed_changed(front, feed); /* the level may be another one */
}

void front_aside_follow(struct front *front, struct front_session *session)
{
    struct mn_span service;
    void *at = NULL;
    mn_id node;

    if (session->stream == NULL || !aside_may_hear(session)) return;
    while ((at = front_roots_next(session, at, &service, &node)) != NULL)
        if (front->subscriptions_count < MCP_SUBSCRIPTIONS_MAX)
            aside_wish(front, session, service, &node);
}

void front_aside_served(struct front *front, struct front_session *session)
{
    if (session->stream == NULL || !aside_may_hear(session)) return;
    front_aside_follow(front, session);
    front_orphan_save(front, session); /* it is heard wherever its session goes */
}

void front_aside_stream(struct front *front, struct front_session *session)
{
    if (session->servers_count > 0) front_aside_served(front, session);
}

/* ---- what they say ---- */

/* As the client of that session may hear it. */
static bool aside_is_for(const struct front_session *session, struct mn_span method,
                         const struct json *params)
{
    if (!aside_is_carried(method)) return false;
    if (mn_span_is(method, ASIDE_LOG))
        return loglevel_parse(json_text(json_find_str(params, "level"))) >= session->log_level;
    /* In the other revisions URLs have no ids. */
    return !mn_span_is(method, ASIDE_ELICITED) || strcmp(session->version, "2025-11-25") == 0;
}

static bool aside_parse(struct front *front, struct mn_span text, const struct json **ret)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};

    *ret = NULL;
    if (text.size == 0) return true;
    return text.size <= ASIDE_PARAMS_MAX &&
           json_parse_copy(front->parser, text, limits, &front->scratch, ret) == MN_OK &&
           (*ret)->type == JSON_OBJECT;
}

static void aside_tell(struct front *front, const struct subscription *subscription,
                       struct mn_span method, const struct json *params)
{
    struct front_exchange *stream = subscription->exchange;
    struct mn_span text = params == NULL ? nothing : params->raw;
    struct mn_writer message = {0};

    if (text.size > 0 && front_about_is_aggregated(stream->service))
        text = front_content_of_server(front, subscription->topic->feed->service, text);
    jsonrpc_write_notification(&message, (const char *)mn_arena_copy(&front->scratch, method).data,
                               text);
    front_reply_notification(front, stream, mn_buf_span(message.buf));
    mn_writer_drop(&message);
}

void front_aside_on_event(struct front *front, struct feed *feed,
                          const Meshnode__Gateway__Aside *aside)
{
    const struct topic *topic =
        front_feed_topic_find(front, feed, nothing, pb_span(aside->session));
    struct mn_span method = pb_text(aside->method);
    const struct subscription *subscription;
    const struct json *params;

    if (topic == NULL || aside->session.len == 0) return; /* nobody here has that session */
    subscription = MN_CONTAINER(topic->subscriptions.next, struct subscription, in_topic);
    if (!aside_parse(front, pb_span(aside->params), &params) ||
        !aside_is_for(subscription->exchange->session, method, params)) {
        MN_PROBE("front: what is not for a client outside of calls is dropped");
        return;
    }
    aside_tell(front, subscription, method, params);
}

/* ---- with the session to another node ---- */

void front_aside_pack(struct front *front, const struct front_session *session,
                      Meshnode__Record__Session *record)
{
    Meshnode__Record__Server *part;
    struct mn_span service;
    void *at = NULL;
    mn_id node;

    record->wants_logs = session->wants_logs;
    if (!aside_may_hear(session)) return;
    record->servers =
        mn_arena_alloc(&front->scratch, FRONT_SERVERS_MAX * sizeof(Meshnode__Record__Server *));
    while ((at = front_roots_next(session, at, &service, &node)) != NULL) {
        part = mn_arena_alloc(&front->scratch, sizeof *part);
        meshnode__record__server__init(part);
        part->service = pb_bytes(service);
        part->node = pb_bytes(mn_arena_copy(&front->scratch, mn_span(&node, sizeof node)));
        record->servers[record->n_servers++] = part;
    }
}

void front_aside_read(struct front *front, struct front_session *session,
                      const Meshnode__Record__Session *record)
{
    mn_id node;

    session->wants_logs = record->wants_logs;
    for (size_t i = 0; i < record->n_servers && i < FRONT_SERVERS_MAX; i++) {
        struct mn_span service = pb_span(record->servers[i]->service);
        if (service.size > 0 && service.size <= CALL_NAME_MAX &&
            pb_id(record->servers[i]->node, &node) == MN_OK)
            (void)front_roots_note(session, service, &node);
    }
    front_aside_follow(front, session);
}
