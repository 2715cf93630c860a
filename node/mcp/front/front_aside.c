/* What servers say to one client outside of any call (log messages, the end of an elicitation by
 * URL, what extensions tell), and what they ask it, on the stream of its session. Only a client
 * that a server may have a session for alone hears such things: one that can be asked, or that has
 * set a log level. It is wished for at each node that served calls of the session, as long as the
 * stream is open. Who does not read misses it, as it misses other notifications; a stream that is
 * taken up again has what was written to it. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_feed.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define QUESTIONS_MAX 16u              /* open ones of a session */
#define QUESTION_LIFE (10 * MN_MINUTE) /* then nobody waits for its answer */
#define KEY_MAX 64u                    /* bytes */
#define ANSWER_TIMEOUT (10 * MN_SEC)
#define CANNOT "this cannot be asked"

static const struct mn_span nothing = {0};

static bool aside_may_hear(const struct front_session *session)
{
    return session->wants_logs || session->known.client.set != 0;
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

/* Of a server that the session called; NULL: there is no room. */
static struct feed *aside_wish(struct front *front, struct front_session *session,
                               struct mn_span service, const mn_id *node)
{
    struct mn_span whose = mn_span(session->alias, sizeof session->alias);
    struct topic *topic;
    struct feed *feed;

    feed = front_feed_find(front, service, node);
    topic = feed == NULL ? NULL : front_feed_topic_find(front, feed, nothing, whose);
    if (topic != NULL && aside_subscription(topic, session->stream) != NULL) return feed;
    if (!front_subscription_has_room(front, &session->principal)) return NULL;
    feed = front_feed_get(front, service, node);
    topic = front_feed_topic(front, feed, nothing, whose);
    front_subscription_add(front, NULL, session->stream, nothing, topic);
    return feed;
}

static bool aside_hears(const struct front_session *session)
{
    return session->stream != NULL && aside_may_hear(session);
}

void front_aside_follow(struct front *front, struct front_session *session)
{
    struct mn_span service;
    struct feed *feed;
    void *at = NULL;
    mn_id node;

    if (!aside_hears(session)) return;
    while ((at = front_roots_next(session, at, &service, &node)) != NULL) {
        feed = aside_wish(front, session, service, &node);
        if (feed != NULL) front_feed_changed(front, feed); /* its level, its subscriptions */
    }
}

/* Wherever the session called that service. */
static void aside_each(struct front *front, const struct front_session *session,
                       struct mn_span service, void (*then)(struct front *front, struct feed *feed))
{
    struct mn_span called;
    struct feed *feed;
    void *at = NULL;
    mn_id node;

    if (!aside_hears(session)) return;
    while ((at = front_roots_next(session, at, &called, &node)) != NULL) {
        if (!mn_span_equal(called, service)) continue;
        feed = front_feed_find(front, service, &node);
        if (feed != NULL) then(front, feed);
    }
}

void front_aside_subscribed(struct front *front, const struct front_session *session,
                            struct mn_span service)
{
    aside_each(front, session, service, front_feed_gather);
}

void front_aside_calls(struct front *front, const struct front_session *session,
                       struct mn_span service)
{
    aside_each(front, session, service, front_feed_flush);
}

void front_aside_served(struct front *front, struct front_session *session, struct mn_span service,
                        const mn_id *node)
{
    if (!aside_hears(session)) return;
    (void)aside_wish(front, session, service, node);
    front_orphan_save(front, session); /* it is heard wherever its session goes */
}

/* ---- which stream is the last ---- */

static bool opened_is_later(struct front_opened a, struct front_opened b)
{
    return a.moves != b.moves ? a.moves > b.moves : a.opened_ms > b.opened_ms;
}

static void opened_note(struct front_session *session, struct front_opened opened)
{
    struct front_opened *all = session->opened;
    uint32_t count = 0, at;

    for (uint32_t i = 0; i < session->opened_count; i++)
        if (all[i].opened_ms != opened.opened_ms) all[count++] = all[i];
    for (at = 0; at < count && !opened_is_later(opened, all[at]); at++)
        ;
    session->opened_count = count;
    if (at == FRONT_OPENED_MAX) return;
    if (count == FRONT_OPENED_MAX) count--;
    memmove(&all[at + 1], &all[at], (count - at) * sizeof *all);
    all[at] = opened;
    session->opened_count = count + 1;
}

static void opened_note_own(struct front_session *session)
{
    const struct front_exchange *stream = session->stream;

    if (stream != NULL)
        opened_note(session, (struct front_opened){stream->moves, stream->opened_ms});
}

/* Who wrote that did not know of the stream here: it took the session from an older record. Then
 * how often the session moved says nothing. Nodes of before name no streams. */
static bool opened_is_apart(const struct front_exchange *stream,
                            const Meshnode__Record__Session *record)
{
    size_t count = record->n_streams;

    if (stream == NULL || !stream->is_named || count == 0) return false;
    for (size_t i = 0; i < count; i++)
        if (record->streams[i]->opened_ms == stream->opened_ms) return false;
    return count < FRONT_OPENED_MAX || stream->moves >= record->streams[count - 1]->moves;
}

static void opened_read(struct front_session *session, const Meshnode__Record__Session *record)
{
    if (opened_is_apart(session->stream, record)) {
        MN_PROBE("front: nodes had a session apart, and clocks say which stream is the last");
        session->stream->moves = record->streams[0]->moves;
        opened_note_own(session);
    }
    for (size_t i = 0; i < record->n_streams && i < FRONT_OPENED_MAX; i++)
        opened_note(session, (struct front_opened){record->streams[i]->moves,
                                                   record->streams[i]->opened_ms});
}

static void opened_pack(struct front *front, const struct front_session *session,
                        Meshnode__Record__Session *record)
{
    record->streams =
        mn_arena_alloc(&front->scratch, FRONT_OPENED_MAX * sizeof(Meshnode__Record__Stream *));
    for (uint32_t i = 0; i < session->opened_count; i++) {
        Meshnode__Record__Stream *part = mn_arena_alloc(&front->scratch, sizeof *part);
        meshnode__record__stream__init(part);
        part->moves = session->opened[i].moves;
        part->opened_ms = session->opened[i].opened_ms;
        record->streams[record->n_streams++] = part;
    }
    if (session->stream != NULL) session->stream->is_named = true;
}

/* ---- a stream is opened ---- */

void front_aside_stream(struct front *front, struct front_session *session)
{
    opened_note_own(session);
    if (session->servers_count == 0 || !aside_may_hear(session)) return;
    front_aside_follow(front, session);
    front_orphan_save(front, session);
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
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};

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

static void aside_on_updated(struct front *front, struct front_session *session,
                             const struct feed *feed, const Meshnode__Gateway__Aside *aside)
{
    const struct json *params;

    if (!aside_parse(front, pb_span(aside->params), &params)) return;
    front_subscribe_on_own(front, session, feed->service, json_text(json_find_str(params, "uri")));
}

bool front_aside_is_heard(const struct front_session *session, struct mn_span service)
{
    return aside_may_hear(session) && front_roots_has(session, service);
}

/* ---- what they ask ---- */

struct front_question *front_aside_find(const struct front_session *session, struct mn_span service,
                                        const mn_id *node, struct mn_span key)
{
    MN_LIST_FOR_EACH (entry, &session->questions) {
        struct front_question *question = MN_CONTAINER(entry, struct front_question, in_call);
        if (mn_span_equal(question->key, key) && mn_id_equal(&question->node, node) &&
            mn_span_equal(question->service, service))
            return question;
    }
    return NULL;
}

static struct front_question *aside_question(const struct front_session *session,
                                             const struct feed *feed, struct mn_span key)
{
    return front_aside_find(session, feed->service, &feed->node, key);
}

struct mn_buf *front_aside_request(const struct front_session *session,
                                   const Meshnode__Gateway__Answer *answer)
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;
    char method[] = ASIDE_ANSWER;

    request.method = method;
    request.params = pb_bytes(mn_span_str("{}"));
    request.session = pb_bytes(mn_span(session->alias, sizeof session->alias));
    request.client_capabilities = pb_bytes(session->client_capabilities);
    request.principal = pb_id_bytes(&session->principal);
    request.answer = (Meshnode__Gateway__Answer *)(uintptr_t)answer;
    return pb_pack(&request.base);
}

void front_aside_emit(struct front *front, struct mn_span service, const mn_id *node,
                      struct mn_buf *request)
{
    struct call_outbox *calls = front->outbox->calls;

    call_emit(calls, CALL_MESSAGE_REQUEST)->request = (struct call_request){
        .ticket = ++front->ticket_last,
        .service = mn_arena_copy(calls->arena, service),
        .payload = request,
        .timeout = ANSWER_TIMEOUT,
        .timeout_total = ANSWER_TIMEOUT,
        .node = *node,
    };
}

void front_aside_answer(struct front *front, const struct front_question *question,
                        const Meshnode__Gateway__Answer *answer)
{
    front_aside_emit(front, question->service, &question->node,
                     front_aside_request(question->session, answer));
}

static void aside_refuse(struct front *front, const struct front_session *session,
                         const struct feed *feed, struct mn_span key, int32_t code,
                         const char *text)
{
    Meshnode__Gateway__Answer answer = MESHNODE__GATEWAY__ANSWER__INIT;
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;

    error.code = code;
    error.message = (char *)(uintptr_t)text;
    answer.key = (char *)(uintptr_t)mn_arena_copy(&front->scratch, key).data;
    answer.how_case = MESHNODE__GATEWAY__ANSWER__HOW_ERROR;
    answer.error = &error;
    front_aside_emit(front, feed->service, &feed->node, front_aside_request(session, &answer));
}

/* Room for one more: a question that nobody waits for any more goes. */
static bool aside_make_room(struct front *front, struct front_session *session)
{
    struct front_question *oldest =
        MN_CONTAINER(session->questions.next, struct front_question, in_call);

    if (session->questions_count < QUESTIONS_MAX) return true;
    if (front->now.mono - oldest->at < QUESTION_LIFE) return false;
    front_question_end(front, oldest, NULL, "");
    return true;
}

struct front_question *front_aside_new(struct front *front, struct front_session *session,
                                       struct mn_span service, const mn_id *node,
                                       struct mn_span key)
{
    struct front_question *question;
    uint8_t *to;

    if (key.size > KEY_MAX || !aside_make_room(front, session)) return NULL;
    question = mn_alloc(sizeof *question + key.size + service.size);
    to = (uint8_t *)(question + 1);
    question->session = session;
    question->node = *node;
    question->at = front->now.mono;
    question->key = mn_span(to, key.size);
    question->service = mn_span(to + key.size, service.size);
    memcpy(to, key.data, key.size);
    memcpy(to + key.size, service.data, service.size);
    mn_list_push_back(&session->questions, &question->in_call);
    session->questions_count++;
    return question;
}

static void aside_put(struct front *front, struct front_exchange *stream,
                      struct front_question *question, const Meshnode__Gateway__Aside *aside,
                      const struct json *params)
{
    struct front_asked asked = {0};
    struct pieces text = {0};

    if (front_about_is_aggregated(stream->service) && strcmp(aside->method, "roots/list") != 0)
        asked.service = question->service;
    if (params != NULL) {
        asked.meta = json_find_str(params, "_meta");
        asked.url_id = front_question_url_id(front, question->session, params);
        front_content_put(&text, params, &asked);
    }
    front_question_put(front, stream, question, front_question_method(aside->method), &text);
}

/* The client may have been asked before, when its stream was another one: it is not asked twice. */
static void aside_ask(struct front *front, struct front_exchange *stream, const struct feed *feed,
                      const Meshnode__Gateway__Aside *aside)
{
    struct front_session *session = stream->session;
    struct mn_span key = pb_text(aside->key);
    struct front_question *question;
    const struct json *params;

    if (aside_question(session, feed, key) != NULL) return;
    if (front_question_method(aside->method) == NULL ||
        !aside_parse(front, pb_span(aside->params), &params)) {
        aside_refuse(front, session, feed, key, JSONRPC_INTERNAL, CANNOT);
    } else if (!front_theirs_may_ask(session, feed->service, aside->method, params)) {
        aside_refuse(front, session, feed, key, JSONRPC_INVALID_PARAMS, "Task not found");
    } else {
        question = front_aside_new(front, session, feed->service, &feed->node, key);
        if (question == NULL)
            aside_refuse(front, session, feed, key, JSONRPC_INTERNAL, CANNOT);
        else
            aside_put(front, stream, question, aside, params);
    }
}

static void aside_withdraw(struct front *front, struct front_exchange *stream,
                           const struct feed *feed, struct mn_span key)
{
    struct front_question *question = aside_question(stream->session, feed, key);

    if (question != NULL)
        front_question_end(front, question, stream, "the server does not ask any more");
}

void front_aside_done(struct front *front, struct front_session *session)
{
    while (!mn_list_is_empty(&session->questions))
        front_question_end(
            front, MN_CONTAINER(session->questions.next, struct front_question, in_call), NULL, "");
}

void front_aside_on_event(struct front *front, struct feed *feed,
                          const Meshnode__Gateway__Aside *aside)
{
    const struct topic *topic =
        front_feed_topic_find(front, feed, nothing, pb_span(aside->session));
    struct mn_span method = pb_text(aside->method), key = pb_text(aside->key);
    const struct subscription *subscription;
    const struct json *params;

    if (topic == NULL || aside->session.len == 0) return; /* nobody here has that session */
    subscription = MN_CONTAINER(topic->subscriptions.next, struct subscription, in_topic);
    if (key.size > 0 && aside->is_withdrawn) {
        aside_withdraw(front, subscription->exchange, feed, key);
        return;
    }
    if (key.size > 0) {
        aside_ask(front, subscription->exchange, feed, aside);
        return;
    }
    if (mn_span_is(method, ASIDE_UPDATED)) {
        aside_on_updated(front, subscription->exchange->session, feed, aside);
        return;
    }
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
    opened_pack(front, session, record);
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
    opened_read(session, record);
    front_aside_follow(front, session);
}
