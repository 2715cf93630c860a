/* Streams that last: a modern subscriptions/listen, a legacy session's GET. Both tell of changed
 * lists, each client only when the list it knows has changed. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define STREAMS_SLICE 32 /* told of a change in one step: each is a write to a socket */

static void front_stream_add(struct front *front, struct front_exchange *exchange,
                             enum front_exchange_kind kind)
{
    exchange->kind = kind;
    mn_list_push_back(&front->streams, &exchange->in_streams);
    front->streams_count++;
    front_reply_open(front, exchange);
}

/* Resources and their templates change together for clients. */
static const struct {
    const char *wish, *method;
} lists[NAMES_LISTS] = {
    {"toolsListChanged", "notifications/tools/list_changed"},
    {"promptsListChanged", "notifications/prompts/list_changed"},
    {"resourcesListChanged", "notifications/resources/list_changed"},
    {NULL, "notifications/resources/list_changed"},
};

/* ,"_meta":{subscriptionId}} : the end of params on a listen. */
static void front_stream_write_meta(struct mn_writer *writer, const struct front_exchange *exchange)
{
    mn_writer_str(writer, "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
    mn_writer_add(writer, mn_buf_span(exchange->listen_id));
    mn_writer_str(writer, "}}");
}

static void front_stream_notify(struct front *front, struct front_exchange *exchange,
                                enum names_kind kind)
{
    struct mn_writer params = {0}, message = {0};

    if (exchange->kind == FRONT_EXCHANGE_LISTEN) {
        mn_writer_str(&params, "{");
        front_stream_write_meta(&params, exchange);
    }
    jsonrpc_write_notification(&message, lists[kind].method, mn_buf_span(params.buf));
    front_reply_event(front, exchange, mn_buf_span(message.buf));
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

static void front_stream_acknowledge(struct front *front, struct front_exchange *exchange,
                                     struct mn_span uris, struct mn_span tasks)
{
    struct mn_writer params = {0}, message = {0};
    const char *comma = "";

    mn_writer_str(&params, "{\"notifications\":{");
    for (int kind = 0; kind < NAMES_TEMPLATES; kind++) {
        if (!exchange->known.wants[kind]) continue;
        mn_writer_format(&params, "%s\"%s\":true", comma, lists[kind].wish);
        comma = ",";
    }
    if (uris.size > 0) {
        mn_writer_format(&params, "%s\"resourceSubscriptions\":[", comma);
        mn_writer_add(&params, uris);
        mn_writer_str(&params, "]");
        comma = ",";
    }
    if (tasks.size > 0) {
        mn_writer_format(&params, "%s\"taskIds\":[", comma);
        mn_writer_add(&params, tasks);
        mn_writer_str(&params, "]");
    }
    mn_writer_str(&params, "},");
    front_stream_write_meta(&params, exchange);
    jsonrpc_write_notification(&message, "notifications/subscriptions/acknowledged",
                               mn_buf_span(params.buf));
    front_reply_event(front, exchange, mn_buf_span(message.buf));
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

void front_stream_know(struct front *front, struct mn_span service, struct front_known *known,
                       enum names_kind kind)
{
    names_digest(&front->names, service, &known->client, kind, known->digests[kind]);
}

/* Reads a list of texts in the filter; *[ret] NULL: there is none. What is wrong with it; NULL:
 * nothing. */
static const char *front_stream_texts(struct front *front, const struct json *texts,
                                      const struct json **ret)
{
    static const char no_list[] =
        "resourceSubscriptions and taskIds of params.notifications must be lists of strings";
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, FRONT_SUBSCRIPTIONS_MAX + 1};

    *ret = NULL;
    if (texts == NULL) return NULL;
    if (texts->type != JSON_ARRAY) return no_list;
    if (json_parse(front->parser, texts->raw, limits, &front->scratch, ret) != MN_OK)
        return "one listen may have at most 1,024 resourceSubscriptions and 1,024 taskIds";
    for (const struct json *text = json_first(*ret); text != NULL; text = json_next(*ret, text))
        if (text->type != JSON_STRING) return no_list;
    return NULL;
}

/* What a listen asks for. */
struct stream_filter {
    bool lists[NAMES_LISTS];
    const struct json *uris, *tasks; /* read one level deep; NULL: none */
};

/* What is wrong with the filter; NULL: nothing. Members that are not known are passed over. */
static const char *front_stream_filter(struct front *front, const struct json *filter,
                                       struct stream_filter *ret)
{
    const char *fault;

    if (!json_is(filter, JSON_OBJECT)) return "params.notifications must be an object";
    for (int kind = 0; kind < NAMES_TEMPLATES; kind++) {
        const struct json *wish = json_find_str(filter, lists[kind].wish);
        ret->lists[kind] = json_is_true(wish);
        if (wish != NULL && wish->type != JSON_TRUE && wish->type != JSON_FALSE)
            return "what params.notifications says of lists must be true or false";
    }
    ret->lists[NAMES_TEMPLATES] = ret->lists[NAMES_RESOURCES];
    fault = front_stream_texts(front, json_find_str(filter, "resourceSubscriptions"), &ret->uris);
    if (fault != NULL) return fault;
    return front_stream_texts(front, json_find_str(filter, "taskIds"), &ret->tasks);
}

void front_stream_listen(struct front *front, struct front_exchange *exchange,
                         const struct jsonrpc_message *message, const struct front_meta *meta)
{
    struct stream_filter filter = {0};
    struct mn_writer uris = {0}, tasks = {0};
    const char *fault =
        front_stream_filter(front, json_find_str(message->params, "notifications"), &filter);

    if (fault != NULL) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, fault);
        return;
    }
    if (front->streams_count >= MCP_STREAMS_MAX) {
        FAIL(503, message->id, JSONRPC_INTERNAL, "too many open streams; try again later");
        return;
    }
    exchange->listen_id = mn_buf_copy(message->id);
    exchange->known.client = front_about_client(front, meta->capabilities->raw);
    for (int kind = 0; kind < NAMES_LISTS; kind++) {
        exchange->known.wants[kind] = filter.lists[kind];
        front_stream_know(front, exchange->service, &exchange->known, (enum names_kind)kind);
    }
    front_stream_add(front, exchange, FRONT_EXCHANGE_LISTEN);
    front_subscribe_listen(front, exchange, filter.uris, &uris);
    front_subscribe_tasks(front, exchange, filter.tasks, &tasks);
    front_stream_acknowledge(front, exchange, mn_buf_span(uris.buf), mn_buf_span(tasks.buf));
    mn_writer_drop(&uris);
    mn_writer_drop(&tasks);
}

static void front_stream_refresh(struct front *front, struct front_exchange *exchange)
{
    struct front_known *known =
        exchange->kind == FRONT_EXCHANGE_GET ? &exchange->session->known : &exchange->known;
    bool is_told = false;

    for (int kind = 0; kind < NAMES_LISTS; kind++) {
        uint8_t digest[NAMES_DIGEST_SIZE];
        names_digest(&front->names, exchange->service, &known->client, (enum names_kind)kind,
                     digest);
        if (memcmp(known->digests[kind], digest, sizeof digest) == 0) continue;
        memcpy(known->digests[kind], digest, sizeof digest);
        if (!known->wants[kind] || (kind == NAMES_TEMPLATES && is_told)) continue;
        front_stream_notify(front, exchange, (enum names_kind)kind);
        is_told = kind == NAMES_RESOURCES;
    }
}

void front_stream_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session)
{
    if (front->streams_count >= MCP_STREAMS_MAX) {
        front_reply_refuse(front, exchange->id, 503, JSONRPC_INTERNAL,
                           "too many open streams; try again later", NULL);
        front_exchange_free(front, exchange);
        return;
    }
    /* A message goes to one stream only, and the newest is the one that surely has a reader. */
    if (session->stream != NULL) front_reply_end(front, session->stream);
    exchange->session = session;
    exchange->moves = front_record_moves(session);
    exchange->opened_ms = mn_wall_ms(front->now);
    session->stream = exchange;
    front_stream_add(front, exchange, FRONT_EXCHANGE_GET);
    front_subscribe_stream(front, session);
    front_task_stream(front, session);
    front_aside_stream(front, session);
    front_stream_refresh(front, exchange); /* it may have changed while no stream was open */
}

void front_stream_changed(struct front *front)
{
    mn_list_append(&front->streams_due, &front->streams);
}

bool front_stream_is_due(const struct front *front)
{
    return !mn_list_is_empty(&front->streams_due);
}

void front_stream_slice(struct front *front)
{
    for (uint32_t i = 0; i < STREAMS_SLICE && front_stream_is_due(front); i++) {
        struct front_exchange *exchange =
            MN_CONTAINER(front->streams_due.next, struct front_exchange, in_streams);
        mn_list_remove(&exchange->in_streams);
        mn_list_push_back(&front->streams, &exchange->in_streams);
        front_stream_refresh(front, exchange);
    }
}

void front_stream_end(struct front *front, struct front_exchange *exchange)
{
    struct mn_writer result = {0}, message = {0};

    if (exchange->kind == FRONT_EXCHANGE_LISTEN) {
        mn_writer_str(&result, "{\"resultType\":\"complete\",");
        front_stream_write_meta(&result, exchange);
        jsonrpc_write_result(&message, mn_buf_span(exchange->listen_id), mn_buf_span(result.buf));
        front_reply_event(front, exchange, mn_buf_span(message.buf));
    }
    front_reply_end(front, exchange);
    mn_writer_drop(&result);
    mn_writer_drop(&message);
}

void front_stream_stop(struct front *front)
{
    mn_list_append(&front->streams, &front->streams_due);
    MN_LIST_FOR_EACH_SAFE (entry, &front->streams)
        front_stream_end(front, MN_CONTAINER(entry, struct front_exchange, in_streams));
}
