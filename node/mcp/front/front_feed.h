/* front_feed.h: one lasting call per server for all clients of this node that subscribed to
 * something of it: resources (front_subscribe.c), or what is at one node: tasks
 * (front_subscribe_task.c), and sessions of it that belong to one client (front_aside.c). A feed
 * exists as long as it has a topic, a topic as long as it has a subscription. */
#ifndef FRONT_FEED_H
#define FRONT_FEED_H

#include "node/mcp/front/front_state.h"

struct Meshnode__Gateway__Aside;
struct Meshnode__Gateway__Error;
struct Meshnode__Gateway__TaskState;

/* All that this node wants of one server: resources, or what it has at one node. */
struct feed {
    struct mn_map_entry by_service, by_ticket;
    uint64_t ticket; /* 0: no call now */
    bool is_served;  /* the call has had its first event */
    bool is_dirty;   /* the server has to be told the topics */
    bool was_lost;
    mn_time told_at;            /* 0: never */
    struct mn_heap_entry timer; /* the next try; or, served, the moment to tell the topics */
    uint32_t failures_count;
    struct mn_map topics;
    struct mn_list settled;      /* topics that front_look.c has not noted */
    struct mn_span service, key; /* key: with the node behind it */
    mn_id node;                  /* zero: resources, of whatever node serves it best */
};

struct topic {
    struct mn_map_entry by_uri;
    struct feed *feed;
    struct mn_list subscriptions; /* in_topic */
    struct mn_list settled;       /* of these, those that are not to be looked at: in_look */
    struct mn_list told;          /* of these, those that have heard of all updates: in_told */
    struct mn_list in_look;       /* in feed->settled, or to be looked at */
    struct mn_list in_uri;        /* resource: with those of other servers under that URI */
    bool is_noted;                /* for its URI: it keeps its place until it is looked at */
    bool is_taken;                /* resource: its server is known to tell of it */
    bool is_refused;              /* it does not, and is not asked until something changes */
    struct mn_span uri;           /* as the server knows it; a task's id; empty: a session */
    struct mn_span session;       /* task, session: of the client whose it is; or empty */
};

struct subscription {
    struct mn_list in_topic, in_owner;
    struct mn_list in_look;     /* in topic->settled, or to be looked at */
    struct mn_list in_told;     /* in topic->told, or front->updates_due */
    struct mn_map_entry by_uri; /* of its owner */
    struct topic *topic;
    struct front_subscriptions *owner;
    struct front_subscriber *subscriber; /* who pays for it */
    struct front_session *session;       /* one of */
    struct front_exchange *exchange;     /* them */
    bool is_due;                         /* legacy: updated while no stream was open */
    struct mn_heap_entry timer;          /* legacy: then it is told of an update */
    struct mn_heap_entry limit;          /* legacy: while what its server says is waited for, */
    struct mn_list waiters;              /* requests that are answered then: front_taken.c */
    struct mn_span uri;                  /* as the client knows it */
};

/* ---- front_feed.c ---- */

/* [node] zero: the resources of the service. A new one makes its call. */
struct feed *front_feed_find(struct front *front, struct mn_span service, const mn_id *node);
struct feed *front_feed_get(struct front *front, struct mn_span service, const mn_id *node);
bool front_feed_is_at_node(const struct feed *feed);

/* What is wanted has changed: the server is told soon; or after a moment, of what else has changed
 * by then, too. */
void front_feed_changed(struct front *front, struct feed *feed);
void front_feed_gather(struct front *front, struct feed *feed);

/* What it is to be told, it is told now; of many topics not twice within a moment, as each time all
 * are told. */
void front_feed_flush(struct front *front, struct feed *feed);

/* The server is told the topics, now; or [delay] from now. */
void front_feed_tell(struct front *front, struct feed *feed);
void front_feed_arm(struct front *front, struct feed *feed, mn_time delay);

/* The call has ended; it is made again, later each time. */
void front_feed_on_lost(struct front *front, struct feed *feed);

/* By what the server calls it, and by whose it is. */
struct topic *front_feed_topic_find(struct front *front, const struct feed *feed,
                                    struct mn_span uri, struct mn_span session);
struct topic *front_feed_topic(struct front *front, struct feed *feed, struct mn_span uri,
                               struct mn_span session);

/* A subscription left it. If that was the last one, the topic goes, and perhaps its feed. */
void front_feed_left(struct front *front, struct topic *topic);

/* ---- front_subscription.c ---- */

#define FRONT_SUBSCRIBER_SHARE (MCP_SUBSCRIPTIONS_MAX / 4) /* of one principal */

/* Whether that principal may have one more. */
bool front_subscription_has_room(const struct front *front, const mn_id *principal);

/* [uri] empty: of none; such are not found. */
struct subscription *front_subscription_find(const struct front_subscriptions *owner,
                                             struct mn_span uri);

/* Of a session, or of an exchange; the other is NULL. There is room, and none of that URI. */
void front_subscription_add(struct front *front, struct front_session *session,
                            struct front_exchange *exchange, struct mn_span uri,
                            struct topic *topic);
void front_subscription_free(struct front *front, struct subscription *subscription);

/* To that topic. The other one may have none then: front_feed_left() is the caller's to say. */
void front_subscription_move(struct subscription *subscription, struct topic *topic);

/* ---- front_look.c ---- */

/* A topic of resources is there now, or is not any more. */
void front_look_add(struct front *front, struct topic *topic);
void front_look_remove(struct front *front, struct topic *topic);

/* ---- front_subscribe.c ---- */

/* A server tells of an update in the session that a client has for itself; [own]: the resource as
 * the server knows it. */
void front_subscribe_on_own(struct front *front, struct front_session *session,
                            struct mn_span service, struct mn_span own);

/* ---- front_updates.c ---- */

/* Tells its client of an update, now or when it has a stream; or, soon, of several as of one. */
void front_subscribe_tell(struct front *front, struct subscription *subscription);
void front_subscribe_tell_soon(struct front *front, struct subscription *subscription);

/* All subscribers of that topic, in slices. One of them that was not subscribed until now has
 * missed nothing before. */
void front_updates_of(struct front *front, struct topic *topic);
void front_updates_settle(struct subscription *subscription);

/* ---- front_taken.c ---- */

/* A request to subscribe, of a legacy client, is answered once its server has said what it does:
 * for one that subscribed just now, or waits already. */
void front_taken_wait(struct front *front, struct subscription *subscription,
                      struct front_exchange *exchange, struct mn_span id);
bool front_taken_is_awaited(const struct subscription *subscription);

/* Not waited for any longer: it is subscribed, as far as is known. Or is not, and is freed. */
void front_taken_settle(struct front *front, struct subscription *subscription);
void front_taken_refuse(struct front *front, struct subscription *subscription, int64_t code,
                        struct mn_span message, struct mn_span data);
void front_taken_drop(struct front *front, struct subscription *subscription);

/* The server tells of that topic from now on; or refuses to, then the topic and its feed may be
 * gone. It may be asked once more. */
void front_taken_on_taken(struct front *front, struct topic *topic);
void front_taken_note(struct front *front, struct topic *topic); /* and nothing was missed */
void front_taken_on_refused(struct front *front, struct topic *topic,
                            const struct Meshnode__Gateway__Error *refusal);
void front_taken_again(struct front *front, struct topic *topic);

/* The lasting call is lost: until it is made again nobody tells, and who waits is answered. */
void front_taken_lost(struct front *front, struct feed *feed);

/* ---- front_aside.c ---- */

void front_aside_on_event(struct front *front, struct feed *feed,
                          const struct Meshnode__Gateway__Aside *aside);

/* Whether that session may hear what such a server says in a session of its own. */
bool front_aside_is_heard(const struct front_session *session, struct mn_span service);

/* ---- front_subscribe_task.c ---- */

void front_subscribe_on_task(struct front *front, struct feed *feed,
                             const struct Meshnode__Gateway__TaskState *state);

#endif
