#include "node/mcp/upstream/upstream_watch.h"

#include "node/json/string.h"
#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_own.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_token.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define URI_MAX 4096     /* bytes */
#define TASK_ID_MAX 1024 /* bytes of a server's own id */
#define SESSION_MAX 64   /* bytes that stand for a client's session */
#define SUBSCRIBE "resources/subscribe"

/* A URI that somebody wants. */
struct topic {
    struct mn_map_entry by_uri; /* in server->topics */
    struct mn_span uri;         /* behind this struct */
    struct mn_list wishes;      /* wish.in_topic */
    bool is_asked;     /* it is subscribed to, or was tried; modern: the newest listen has it */
    bool is_in_force;  /* the server has said that it tells of changes */
    bool was_in_force; /* once, perhaps in a session before */
    bool is_honoured;  /* scratch: of an acknowledgement */
};

/* A lasting call. */
struct watch {
    struct mn_map_entry by_ticket; /* in host->watches */
    uint64_t ticket;
    struct upstream *server;
    struct mn_list in_server, wishes; /* wish.in_watch */
    uint32_t wishes_count;
    struct mn_list tasks; /* task_wish.in_watch */
    uint32_t tasks_count;
    struct upstream_hearers *hearers; /* clients, see upstream_aside.h; or NULL */
    bool wants_taken;                 /* it is told what becomes of its wishes */
};

/* A task of which it wants to hear. */
struct task_wish {
    struct mn_list in_watch;
    struct mn_span id, session; /* behind this struct */
    bool is_new;                /* scratch: of the newest set */
};

/* One wants the other. */
struct wish {
    struct mn_list in_topic, in_watch;
    struct topic *topic;
    struct watch *watch;
    bool is_new; /* scratch: of the newest set */
};

/* ---- events ---- */

void upstream_watch_emit(struct upstream *server, uint64_t ticket,
                         const Meshnode__Gateway__Event *payload)
{
    struct upstream_host *host = server->host;
    struct call_event *event = &call_emit(host->outbox->calls, CALL_MESSAGE_EVENT)->event;

    event->ticket = ticket;
    event->kind = CALL_EVENT_PROGRESS;
    event->payload = pb_pack(&payload->base);
    event->node = host->self;
}

static void watch_emit(struct watch *watch, const Meshnode__Gateway__Event *payload)
{
    upstream_watch_emit(watch->server, watch->ticket, payload);
}

static void watch_tell(struct watch *watch, struct mn_span uri)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_UPDATED;
    event.updated = (char *)(uintptr_t)mn_arena_copy(&watch->server->host->scratch, uri).data;
    watch_emit(watch, &event);
}

static void topic_tell(const struct topic *topic, struct mn_span uri)
{
    MN_LIST_FOR_EACH (entry, &topic->wishes)
        watch_tell(MN_CONTAINER(entry, struct wish, in_topic)->watch, uri);
}

/* [refusal] NULL: it was taken. Who does not know of that is told to look. */
static void watch_settle(struct watch *watch, struct mn_span uri, Meshnode__Gateway__Error *refusal)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__Taken taken = MESHNODE__GATEWAY__TAKEN__INIT;

    if (!watch->wants_taken) {
        if (refusal == NULL) watch_tell(watch, uri);
        return;
    }
    taken.uri = (char *)(uintptr_t)mn_arena_copy(&watch->server->host->scratch, uri).data;
    taken.refusal = refusal;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TAKEN;
    event.taken = &taken;
    watch_emit(watch, &event);
}

/* The server tells of it from now on. If it did before, something may have been missed. */
static void topic_begin(struct topic *topic)
{
    bool is_first = !topic->was_in_force;

    topic->is_in_force = topic->was_in_force = true;
    if (!is_first) {
        topic_tell(topic, topic->uri);
        return;
    }
    MN_LIST_FOR_EACH (entry, &topic->wishes)
        watch_settle(MN_CONTAINER(entry, struct wish, in_topic)->watch, topic->uri, NULL);
}

/* ---- to the server ---- */

static void topic_ask(struct upstream *server, const struct topic *topic, const char *method)
{
    struct upstream_request *request =
        upstream_request_new(server, UPSTREAM_REQUEST_SIDE, MN_MINUTE);

    if (strcmp(method, SUBSCRIBE) == 0) request->payload = mn_buf_copy(topic->uri);
    upstream_request_carry(request, upstream_message_uri(server, request->id, method, topic->uri),
                           method);
}

static void topic_subscribe(struct upstream *server, struct topic *topic)
{
    if (upstream_is_modern(server)) {
        upstream_timer_set(server->host, &server->watch_timer, UPSTREAM_WATCH_DELAY);
    } else {
        topic->is_asked = !upstream_watch_is_early(server);
        if (topic->is_asked) topic_ask(server, topic, SUBSCRIBE);
    }
}

static void topic_unsubscribe(struct upstream *server, const struct topic *topic)
{
    if (upstream_is_modern(server))
        upstream_timer_set(server->host, &server->watch_timer, UPSTREAM_WATCH_DELAY);
    else if (topic->is_asked)
        topic_ask(server, topic, "resources/unsubscribe");
}

static struct topic *topic_get(struct upstream *server, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&server->topics, uri);
    struct topic *topic;

    if (entry != NULL) return MN_CONTAINER(entry, struct topic, by_uri);
    if (server->topics.count >= UPSTREAM_TOPICS_MAX) return NULL;
    topic = mn_alloc(sizeof *topic + uri.size);
    topic->uri = mn_span(topic + 1, uri.size);
    memcpy(topic + 1, uri.data, uri.size);
    mn_list_init(&topic->wishes);
    mn_map_insert(&server->topics, &topic->by_uri, topic->uri);
    if (server->state == UPSTREAM_READY) topic_subscribe(server, topic);
    return topic;
}

static void wish_free(struct upstream *server, struct wish *wish, bool is_told)
{
    struct topic *topic = wish->topic;

    mn_list_remove(&wish->in_topic);
    mn_list_remove(&wish->in_watch);
    wish->watch->wishes_count--;
    mn_free(wish);
    if (!mn_list_is_empty(&topic->wishes)) return;
    if (is_told && server->state == UPSTREAM_READY) topic_unsubscribe(server, topic);
    mn_map_remove(&server->topics, &topic->by_uri);
    mn_free(topic);
}

/* ---- watches ---- */

static struct watch *watch_find(struct upstream_host *host, uint64_t ticket)
{
    struct mn_map_entry *entry = mn_map_find(&host->watches, upstream_u64_key(&ticket));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct watch, by_ticket);
}

static void task_wish_free(struct watch *watch, struct task_wish *wish)
{
    mn_list_remove(&wish->in_watch);
    watch->tasks_count--;
    mn_free(wish);
}

static void watch_free(struct watch *watch, bool is_told)
{
    while (!mn_list_is_empty(&watch->tasks))
        task_wish_free(watch, MN_CONTAINER(watch->tasks.next, struct task_wish, in_watch));
    while (!mn_list_is_empty(&watch->wishes))
        wish_free(watch->server, MN_CONTAINER(watch->wishes.next, struct wish, in_watch), is_told);
    upstream_aside_leave(watch->hearers);
    mn_map_remove(&watch->server->host->watches, &watch->by_ticket);
    mn_list_remove(&watch->in_server);
    mn_free(watch);
}

void upstream_watch_begin(struct upstream *server, uint64_t ticket)
{
    Meshnode__Gateway__Event begun = MESHNODE__GATEWAY__EVENT__INIT;
    struct watch *watch = mn_alloc(sizeof *watch);

    watch->ticket = ticket;
    watch->server = server;
    mn_list_init(&watch->wishes);
    mn_list_init(&watch->tasks);
    mn_map_insert(&server->host->watches, &watch->by_ticket, upstream_u64_key(&watch->ticket));
    mn_list_push_back(&server->watches, &watch->in_server);
    watch_emit(watch, &begun);
}

static struct wish *watch_wish(const struct watch *watch, const struct topic *topic)
{
    MN_LIST_FOR_EACH (entry, &topic->wishes) {
        struct wish *wish = MN_CONTAINER(entry, struct wish, in_topic);
        if (wish->watch == watch) return wish;
    }
    return NULL;
}

static void watch_want(struct watch *watch, struct mn_span uri)
{
    struct topic *topic = topic_get(watch->server, uri);
    struct wish *wish = topic == NULL ? NULL : watch_wish(watch, topic);

    if (topic == NULL) return;
    if (wish == NULL) {
        wish = mn_alloc(sizeof *wish);
        wish->topic = topic;
        wish->watch = watch;
        mn_list_push_back(&topic->wishes, &wish->in_topic);
        mn_list_push_back(&watch->wishes, &wish->in_watch);
        watch->wishes_count++;
        if (topic->is_in_force) watch_settle(watch, topic->uri, NULL);
    }
    wish->is_new = true;
}

static void watch_want_task(struct watch *watch, struct mn_span id, struct mn_span session)
{
    struct upstream *server = watch->server;
    struct task_wish *wish;

    MN_LIST_FOR_EACH (entry, &watch->tasks) {
        wish = MN_CONTAINER(entry, struct task_wish, in_watch);
        if (!mn_span_equal(wish->id, id) || !mn_span_equal(wish->session, session)) continue;
        wish->is_new = true;
        return;
    }
    if (watch->tasks_count >= UPSTREAM_WATCH_TASKS_MAX) return;
    wish = mn_alloc(sizeof *wish + id.size + session.size);
    wish->id = mn_span(wish + 1, id.size);
    memcpy(wish + 1, id.data, id.size);
    wish->session = mn_span(wish->id.data + id.size, session.size);
    if (session.size > 0) memcpy((uint8_t *)(wish + 1) + id.size, session.data, session.size);
    wish->is_new = true;
    mn_list_push_back(&watch->tasks, &wish->in_watch);
    watch->tasks_count++;
    if (server->state == UPSTREAM_READY && upstream_is_modern(server))
        upstream_timer_set(server->host, &server->watch_timer, UPSTREAM_WATCH_DELAY);
}

/* What is not wished for any more stays in the server's listen until that is made anew. */
static void watch_on_tasks(struct watch *watch, const Meshnode__Gateway__Wishes *wishes)
{
    MN_LIST_FOR_EACH (entry, &watch->tasks)
        MN_CONTAINER(entry, struct task_wish, in_watch)->is_new = false;
    for (size_t i = 0; i < wishes->n_tasks && i < UPSTREAM_WATCH_TASKS_MAX; i++) {
        struct mn_span id = pb_text(wishes->tasks[i]->id);
        struct mn_span session = pb_span(wishes->tasks[i]->session);
        if (id.size > 0 && id.size <= TASK_ID_MAX && session.size <= SESSION_MAX)
            watch_want_task(watch, id, session);
    }
    MN_LIST_FOR_EACH_SAFE (entry, &watch->tasks) {
        struct task_wish *wish = MN_CONTAINER(entry, struct task_wish, in_watch);
        if (!wish->is_new) task_wish_free(watch, wish);
    }
}

void upstream_watch_on_wishes(struct upstream_host *host, uint64_t ticket,
                              const Meshnode__Gateway__Wishes *wishes)
{
    struct watch *watch = watch_find(host, ticket);

    if (watch == NULL) return;
    watch->wants_taken = wishes->wants_taken;
    watch_on_tasks(watch, wishes);
    upstream_aside_on_wishes(watch->server, ticket, &watch->hearers, wishes);
    MN_LIST_FOR_EACH (entry, &watch->wishes)
        MN_CONTAINER(entry, struct wish, in_watch)->is_new = false;
    for (size_t i = 0; i < wishes->n_uris && i < UPSTREAM_WATCH_URIS_MAX; i++) {
        struct mn_span uri = pb_text(wishes->uris[i]);
        if (uri.size > 0 && uri.size <= URI_MAX) watch_want(watch, uri);
    }
    MN_LIST_FOR_EACH_SAFE (entry, &watch->wishes) {
        struct wish *wish = MN_CONTAINER(entry, struct wish, in_watch);
        if (!wish->is_new) wish_free(watch->server, wish, true);
    }
}

bool upstream_watch_end(struct upstream_host *host, uint64_t ticket)
{
    struct watch *watch = watch_find(host, ticket);

    if (watch == NULL) return false;
    watch_free(watch, true);
    return true;
}

void upstream_watch_on_updated(struct upstream *server, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&server->topics, uri);

    if (server->is_lease) {
        upstream_own_on_updated(server, uri);
        return;
    }
    if (entry != NULL) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (!topic->was_in_force) topic_begin(topic); /* though it has not said so */
        topic_tell(topic, uri);
        return;
    }
    /* Perhaps a part of what was subscribed to. */
    while ((entry = mn_map_next(&server->topics, entry)) != NULL) {
        const struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (uri.size > topic->uri.size && memcmp(uri.data, topic->uri.data, topic->uri.size) == 0)
            topic_tell(topic, uri);
    }
}

/* [is_progress]: of it, not its state. */
static void watch_tell_task(struct watch *watch, const struct task_wish *wish,
                            struct mn_span params, bool is_progress)
{
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;
    Meshnode__Gateway__TaskState state = MESHNODE__GATEWAY__TASK_STATE__INIT;

    state.params = pb_bytes(params);
    state.session = pb_bytes(wish->session);
    if (is_progress)
        state.progress_of =
            (char *)(uintptr_t)mn_arena_copy(&watch->server->host->scratch, wish->id).data;
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_TASK;
    event.task = &state;
    watch_emit(watch, &event);
}

/* Whoever wants to hear of that task of [server], which may be a lease. */
static void watch_tell_wishes(struct upstream *server, struct mn_span id, struct mn_span params,
                              bool is_progress)
{
    struct upstream *origin = server->is_lease ? server->lease.origin : server;

    if (origin == NULL) return;
    MN_LIST_FOR_EACH (link, &origin->watches) {
        struct watch *watch = MN_CONTAINER(link, struct watch, in_server);
        MN_LIST_FOR_EACH (entry, &watch->tasks) {
            const struct task_wish *wish = MN_CONTAINER(entry, struct task_wish, in_watch);
            if (mn_span_equal(wish->id, id) &&
                (upstream_is_modern(server) || upstream_lease_is_of(server, wish->session)))
                watch_tell_task(watch, wish, params, is_progress);
        }
    }
}

void upstream_watch_on_task(struct upstream *server, const struct json *params)
{
    struct mn_span id = json_text(json_find_str(params, "taskId"));
    struct mn_span status = json_text(json_find_str(params, "status"));

    if (id.size == 0) return;
    watch_tell_wishes(server, id, upstream_message_without(server->host, params, "_meta"), false);
    if (mn_span_is(status, "completed") || mn_span_is(status, "failed") ||
        mn_span_is(status, "cancelled"))
        upstream_token_forget(server, id);
}

void upstream_watch_on_task_progress(struct upstream *server, struct mn_span id,
                                     struct mn_span params)
{
    watch_tell_wishes(server, id, params, true);
}

void upstream_watch_on_subscribed(struct upstream *server, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&server->topics, uri);

    if (server->is_lease) upstream_own_on_subscribed(server, uri);
    if (entry != NULL) topic_begin(MN_CONTAINER(entry, struct topic, by_uri));
}

/* Whoever wished for it has to wish anew, which asks once more. */
static void topic_refuse(struct upstream *server, struct topic *topic,
                         Meshnode__Gateway__Error *refusal)
{
    bool is_last;

    do { /* the last one takes the topic along */
        struct wish *wish = MN_CONTAINER(topic->wishes.next, struct wish, in_topic);
        is_last = wish->in_topic.next == &topic->wishes;
        watch_settle(wish->watch, topic->uri, refusal);
        wish_free(server, wish, false);
    } while (!is_last);
}

/* What of a server's text goes on: a client has to carry it in an answer. */
static struct mn_span refusal_text(struct mn_span text)
{
    size_t size = 0, more;

    if (text.size <= UPSTREAM_REFUSAL_MAX) return text;
    while ((more = json_string_utf8(mn_span(text.data + size, text.size - size))) > 0 &&
           size + more <= UPSTREAM_REFUSAL_MAX)
        size += more;
    return mn_span(text.data, size);
}

void upstream_watch_on_refused(struct upstream *server, struct mn_span uri,
                               const struct jsonrpc_message *message)
{
    struct mn_map_entry *entry = mn_map_find(&server->topics, uri);
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;
    struct mn_arena *scratch = &server->host->scratch;

    if (entry == NULL) return;
    MN_PROBE("upstream: a server refuses a subscription");
    error.code = message->code;
    error.message = (char *)(uintptr_t)mn_arena_copy(scratch, refusal_text(message->message)).data;
    if (message->data.size <= UPSTREAM_REFUSAL_MAX) error.data = pb_bytes(message->data);
    topic_refuse(server, MN_CONTAINER(entry, struct topic, by_uri), &error);
}

/* Marks the topics that an acknowledgement names. */
static void acknowledged_read(struct upstream *server, const struct json *notifications)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *uris = json_find_str(notifications, "resourceSubscriptions");

    if (!json_is(uris, JSON_ARRAY) || json_parse_copy(server->host->parser, uris->raw, limits,
                                                      &server->host->scratch, &uris) != MN_OK)
        return;
    for (const struct json *uri = json_first(uris); uri != NULL; uri = json_next(uris, uri)) {
        struct mn_map_entry *entry = mn_map_find(&server->topics, json_text(uri));
        if (entry != NULL) MN_CONTAINER(entry, struct topic, by_uri)->is_honoured = true;
    }
}

/* One that names its listen speaks of no other: the one before it may be acknowledged late. */
static bool acknowledged_is_old(struct upstream *server, const struct json *params)
{
    const struct upstream_request *listen =
        upstream_request_of_kind(server, UPSTREAM_REQUEST_LISTEN);
    const struct json *id =
        json_find_str(json_find_str(params, "_meta"), UPSTREAM_NS "subscriptionId");
    struct mn_span text;
    uint64_t number;

    if (id == NULL) return false;
    text = json_is(id, JSON_STRING) ? json_text(id) : id->raw; /* some make a string of it */
    return listen == NULL || jsonrpc_id_number(text, &number) != MN_OK || number != listen->id;
}

void upstream_watch_on_acknowledged(struct upstream *server, const struct json *params)
{
    Meshnode__Gateway__Error error = MESHNODE__GATEWAY__ERROR__INIT;
    const struct json *notifications = json_find_str(params, "notifications");
    struct mn_map_entry *next;
    char text[] = "the server does not tell of updates of this resource";

    if (acknowledged_is_old(server, params)) return;
    error.code = JSONRPC_INVALID_PARAMS;
    error.message = text;
    acknowledged_read(server, notifications);
    for (struct mn_map_entry *entry = mn_map_next(&server->topics, NULL); entry != NULL;
         entry = next) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        bool is_honoured = topic->is_honoured || notifications == NULL;
        next = mn_map_next(&server->topics, entry);
        topic->is_honoured = false;
        if (topic->is_asked && !is_honoured)
            topic_refuse(server, topic, &error);
        else if (topic->is_asked && !topic->is_in_force)
            topic_begin(topic);
    }
}

/* ---- legacy: after the stream on which it tells ---- */

bool upstream_watch_is_early(struct upstream *server)
{
    if (!server->is_http || !upstream_http_awaits_stream(server)) return false;
    if (!upstream_timer_is_set(&server->watch_timer))
        upstream_timer_set(server->host, &server->watch_timer, UPSTREAM_STREAM_WAIT);
    return true;
}

/* What waited for the stream is asked for. */
static void watch_ask(struct upstream *server)
{
    if (server->state != UPSTREAM_READY) return; /* all is asked for once it is */
    if (server->is_lease) {
        upstream_own_ask(server);
        upstream_call_flush_ready(server);
        return;
    }
    for (struct mn_map_entry *entry = mn_map_next(&server->topics, NULL); entry != NULL;
         entry = mn_map_next(&server->topics, entry)) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (!topic->is_asked) topic_subscribe(server, topic);
    }
}

void upstream_watch_on_stream(struct upstream *server, bool is_there)
{
    if (is_there && server->is_lease) upstream_own_heard(server);
    for (struct mn_map_entry *entry = mn_map_next(&server->topics, NULL); is_there && entry != NULL;
         entry = mn_map_next(&server->topics, entry)) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        if (topic->is_in_force) topic_begin(topic);
    }
    watch_ask(server);
}

void upstream_watch_renew(struct upstream *server)
{
    struct mn_map_entry *entry = NULL;

    if (server->is_lease) upstream_own_renew(server);
    while ((entry = mn_map_next(&server->topics, entry)) != NULL) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        topic->is_in_force = false;
        if (!upstream_is_modern(server))
            topic_subscribe(server, topic);
        else if (topic->was_in_force)
            topic_tell(topic, topic->uri); /* there are servers that do not acknowledge */
    }
}

void upstream_watch_on_timer(struct upstream *server)
{
    struct upstream_request *old = upstream_request_of_kind(server, UPSTREAM_REQUEST_LISTEN);

    if (server->state != UPSTREAM_READY) return;
    if (!upstream_is_modern(server)) {
        watch_ask(server);
        return;
    }
    upstream_listen(server); /* the new one first: nothing is missed between the two */
    if (old == NULL) return;
    if (!server->is_http) upstream_stdio_write(server, upstream_message_cancelled(server, old->id));
    upstream_request_free(old);
}

void upstream_watch_fail_all(struct upstream *server, const char *text)
{
    struct call_outbox *calls = server->host->outbox->calls;

    while (!mn_list_is_empty(&server->watches)) {
        struct watch *watch = MN_CONTAINER(server->watches.next, struct watch, in_server);
        struct call_event *event = &call_emit(calls, CALL_MESSAGE_EVENT)->event;
        event->ticket = watch->ticket;
        event->kind = CALL_EVENT_FAILED;
        event->failure = CALL_UNAVAILABLE;
        event->text = mn_arena_copy(calls->arena, mn_span_str(text));
        event->node = server->host->self;
        watch_free(watch, false);
    }
}

void upstream_watch_done(struct upstream *server)
{
    while (!mn_list_is_empty(&server->watches))
        watch_free(MN_CONTAINER(server->watches.next, struct watch, in_server), false);
    upstream_timer_clear(server->host, &server->watch_timer);
    mn_map_done(&server->topics);
}

bool upstream_watch_has_topics(const struct upstream *server)
{
    return server->topics.count > 0;
}

void upstream_watch_write(struct upstream *server, struct mn_writer *writer)
{
    const char *comma = "";

    for (struct mn_map_entry *entry = mn_map_next(&server->topics, NULL); entry != NULL;
         entry = mn_map_next(&server->topics, entry)) {
        struct topic *topic = MN_CONTAINER(entry, struct topic, by_uri);
        topic->is_asked = true;
        mn_writer_str(writer, comma);
        json_write_string(writer, topic->uri);
        comma = ",";
    }
}

bool upstream_watch_has_tasks(const struct upstream *server)
{
    MN_LIST_FOR_EACH (link, &server->watches)
        if (MN_CONTAINER(link, struct watch, in_server)->tasks_count > 0) return true;
    return false;
}

void upstream_watch_write_tasks(struct upstream *server, struct mn_writer *writer)
{
    const char *comma = "";

    MN_LIST_FOR_EACH (link, &server->watches)
        MN_LIST_FOR_EACH (entry, &MN_CONTAINER(link, struct watch, in_server)->tasks) {
            mn_writer_str(writer, comma);
            json_write_string(writer, MN_CONTAINER(entry, struct task_wish, in_watch)->id);
            comma = ",";
        }
}
