/* front_told.h: what clients are told on streams that last, or come back for: events that are kept,
 * updates, asides, changed lists; by the file that has it. */
#ifndef FRONT_TOLD_H
#define FRONT_TOLD_H

#include "node/mcp/front/front_state.h"

struct Meshnode__Record__Session;
struct front_meta; /* front_reply.h */

/* ---- front_orphan.c ---- */

/* Under what the serving node may keep the call of that ticket. */
void front_orphan_handle(const struct front_session *session, uint64_t ticket,
                         uint8_t ret[FRONT_DIGEST_SIZE]);

/* The stream has lasted for a moment: its calls are noted in the record of its session. */
void front_orphan_note(struct front *front, struct front_exchange *exchange);

/* The record says it anew, unless another node has the word: a noted call began or ended. */
void front_orphan_save(struct front *front, struct front_session *session);

/* What is noted, into the record, and out of that of another node. */
void front_orphan_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_orphan_read(struct front *front, struct front_session *session,
                       const struct Meshnode__Record__Session *record);

/* What a client calls those of its requests on a stream that it has no answer to. */
struct front_waiting {
    struct mn_span requests[MCP_BATCH_MAX];
    uint32_t count;
    bool is_more; /* and any others */
};

/* The client is here for that stream: of the calls on it that came through another node, those that
 * it waits for are asked for, and the others forgotten. False: there is no room for all, and none
 * was. */
bool front_orphan_claim(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, uint64_t stream,
                        const struct front_waiting *waiting);

/* Nobody could be asked about a claim: it is tried again for a while, as its node may be found; and
 * a call that was noted becomes a claim when the link to its node breaks. False: it has failed. */
bool front_orphan_retry(struct front *front, struct front_call *call, enum call_failure failure);
void front_orphan_on_time(struct front *front);

/* The client does not want that one any more. False: there is no such one. */
bool front_orphan_cancel(struct front *front, struct front_session *session, struct mn_span id);
void front_orphan_done(struct front_session *session);

/* ---- front_replay.c ---- */

/* The id of an event that is about to be sent; it is kept. [answers]: the request of the stream
 * that it answers; empty: none. Empty: events of this stream have none. */
struct mn_span front_replay_event(struct front *front, struct front_exchange *exchange,
                                  struct mn_span json, struct mn_span answers);

/* Small answers of noted calls, into the record, and out of that of another node. */
void front_replay_pack(struct front *front, const struct front_session *session,
                       struct Meshnode__Record__Session *record);
void front_replay_read(struct front *front, struct front_session *session,
                       const struct Meshnode__Record__Session *record);

/* Whether that is the JSON of a request's id, or a progress token, and nothing more. */
bool front_replay_is_id(struct front *front, struct mn_span text);

/* Whether the answer to that request, which went out on that stream, is kept. */
bool front_replay_has_answer(const struct front_session *session, uint64_t stream,
                             struct mn_span request);

/* Whether that client comes back to a stream that ended before its answer, and takes an event
 * without data; older ones choke on that. */
bool front_replay_is_known(const struct front_session *session);

/* An id with which the stream of a POST can be taken up again from where it is; the first one
 * begins it. [answered]: a request whose answer follows at once, or empty. */
struct mn_span front_replay_place(struct front *front, struct front_exchange *exchange,
                                  struct mn_span answered);

/* An event of a call whose client is away: kept for when it comes back, if it can. */
void front_replay_late(struct front *front, struct front_call *call, struct mn_span json,
                       bool is_answer);

/* GET of a session, perhaps with Last-Event-ID. */
void front_replay_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session);
void front_replay_done(struct front *front, struct front_session *session);

/* ---- front_subscribe.c ---- */

/* resources/subscribe and unsubscribe of a legacy session. */
void front_subscribe_request(struct front *front, struct front_exchange *exchange,
                             struct front_session *session, const struct jsonrpc_message *message,
                             bool is_on);

/* resourceSubscriptions of a listen, read one level deep (NULL: none); appends "uri","uri" that are
 * honoured. */
void front_subscribe_listen(struct front *front, struct front_exchange *exchange,
                            const struct json *uris, struct mn_writer *honoured);

/* The resources of [service] that a session is subscribed to, as that knows them, in scratch
 * memory. */
char **front_subscribe_own(struct front *front, const struct front_session *session,
                           struct mn_span service, size_t *count);

/* Walks the URIs a session is subscribed to, and knows it: starts and ends with NULL. */
void *front_subscribe_next(const struct front_session *session, void *at, struct mn_span *uri);

/* A session that came from another node: subscribed as it was, and due to be told once, because
 * something may have been missed. Or not subscribed any more. */
void front_subscribe_again(struct front *front, struct front_session *session, struct mn_span uri);
void front_subscribe_forget(struct front *front, struct front_session *session, struct mn_span uri);

/* The session has a stream: says what became due meanwhile. */
void front_subscribe_stream(struct front *front, struct front_session *session);

/* False: the event is none of ours. */
bool front_subscribe_on_event(struct front *front, const struct call_event *event);
void front_subscribe_check(const struct front *front);

/* ---- front_updates.c ---- */

/* Tells the next few clients of what was updated; when there is somebody to tell. */
void front_updates_slice(struct front *front);
mn_time front_updates_deadline(const struct front *front);

/* ---- front_taken.c ---- */

/* The exchange ends; the client does not want an answer to that request any more (false: there is
 * no such one); those that wait too long; what an exchange still waits for, from NULL to NULL. */
void front_taken_leave(struct front_exchange *exchange);
bool front_taken_cancel(struct front *front, struct front_session *session, struct mn_span id,
                        mn_time said_at);
void front_taken_on_time(struct front *front);
void *front_taken_next(const struct front_exchange *exchange, void *at, struct mn_span *id);

/* ---- front_subscription.c ---- */

/* done: ends all of them. */
void front_subscriptions_init(const struct front *front, struct front_subscriptions *owner);
void front_subscriptions_done(struct front *front, struct front_subscriptions *owner);
void front_subscription_check(const struct front *front);

/* ---- front_look.c ---- */

void front_look_init(struct front *front);
void front_look_done(struct front *front);

/* Notes which subscriptions a change of that service can concern: said before and after it. A
 * change of what operators agreed on can concern all. They wait for front_look_begin(). */
void front_look_note(struct front *front, struct mn_span service);
void front_look_note_all(struct front *front);

/* Those that were noted are looked at: a slice now, unless this step had one, the others on ticks.
 * Which ends while nothing is under way. */
void front_look_begin(struct front *front);
void front_look_on_tick(struct front *front);
bool front_look_is_under_way(const struct front *front);
void front_look_check(const struct front *front);

/* ---- front_subscribe_task.c ---- */

/* taskIds of a listen, read likewise (NULL: none); appends those that are honoured, as above. */
void front_subscribe_tasks(struct front *front, struct front_exchange *exchange,
                           const struct json *ids, struct mn_writer *honoured);

/* A listen, or the stream of a session, hears of that task, which [target] has, under [id]; or does
 * not any more. */
bool front_subscribe_task(struct front *front, struct front_exchange *stream,
                          const struct front_target *target, struct mn_span id);
void front_subscribe_task_over(struct front *front, struct front_exchange *stream,
                               struct mn_span id);

/* ---- front_aside.c ---- */

/* A server is known that the session called; or the session has a stream. */
void front_aside_served(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node);
void front_aside_stream(struct front *front, struct front_session *session);

/* The session's stream, if it has one, hears what the servers that it called say outside of calls;
 * with its level as it is now. */
void front_aside_follow(struct front *front, struct front_session *session);

/* The session subscribes to other resources of that service: wherever it called it, that is told
 * soon, and at the latest with its next call, which may be what updates them. */
void front_aside_subscribed(struct front *front, const struct front_session *session,
                            struct mn_span service);
void front_aside_calls(struct front *front, const struct front_session *session,
                       struct mn_span service);
void front_aside_done(struct front *front, struct front_session *session);

/* The servers that are known, into the record, and out of that of another node. */
void front_aside_pack(struct front *front, const struct front_session *session,
                      struct Meshnode__Record__Session *record);
void front_aside_read(struct front *front, struct front_session *session,
                      const struct Meshnode__Record__Session *record);

/* ---- front_feed.c ---- */

void front_feed_on_time(struct front *front);

/* ---- front_stream.c ---- */

/* From now on the client knows the lists as they are. */
void front_stream_know(struct front *front, struct mn_span service, struct front_known *known,
                       enum names_kind kind);
void front_stream_listen(struct front *front, struct front_exchange *exchange,
                         const struct jsonrpc_message *message, const struct front_meta *meta);
void front_stream_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session);

/* Lists may have changed: all clients whose list did are told, a few in each step. One that is
 * behind is told once, of what is there by then. */
void front_stream_changed(struct front *front);
void front_stream_slice(struct front *front);
bool front_stream_is_due(const struct front *front);

/* Ends a lasting stream, or all, as a server that goes away does. */
void front_stream_end(struct front *front, struct front_exchange *exchange);
void front_stream_stop(struct front *front);

#endif
