/* What was posted: a message or a batch, of which era, and in which session. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "proto/base/check.h"

#define NS "io.modelcontextprotocol/"

bool front_message_meta(const struct jsonrpc_message *message, struct front_meta *ret)
{
    static const char *const names[] = {NS "protocolVersion", NS "clientCapabilities",
                                        NS "clientInfo",      NS "logLevel",
                                        "progressToken",      "traceparent"};
    const struct json *meta = json_find_str(message->params, "_meta"), *parts[6];

    *ret = (struct front_meta){0};
    if (meta == NULL) return true;
    if (meta->type != JSON_OBJECT || json_pick(meta, names, 6, parts) != MN_OK) return false;
    *ret = (struct front_meta){.version = parts[0],
                               .capabilities = parts[1],
                               .info = parts[2],
                               .log_level = parts[3],
                               .progress = parts[4],
                               .trace = parts[5]};
    return true;
}

static const char no_session[] =
    "no session: send initialize first, or _meta with " NS "protocolVersion (2026-07-28)";

/* A response of the client to something that a server asked; only legacy clients are asked so. */
static void front_message_response(struct front *front, struct front_exchange *exchange,
                                   const struct jsonrpc_message *message)
{
    struct mn_span session = front_header(exchange, "mcp-session-id");
    struct front_session *known;

    if (session.data == NULL) {
        front_reply_fail(front, exchange, 400, mn_span(NULL, 0), JSONRPC_INVALID_REQUEST,
                         "a response was posted, but nothing was asked");
        return;
    }
    known = front_legacy_session(front, exchange, session);
    if (known == NULL) return;
    if (front_question_on_response(front, known, message) ||
        front_relay_response(front, known, front->body, exchange->came))
        front_reply_empty(front, exchange, 202);
    else
        front_reply_fail(front, exchange, 413, mn_span(NULL, 0), JSONRPC_INVALID_REQUEST,
                         "this was not asked at this node, and is too large to be passed on: an "
                         "answer of more than 128 KiB is posted where the question came from");
}

static void front_message_in_session(struct front *front, struct front_exchange *exchange,
                                     struct mn_span session_id,
                                     const struct jsonrpc_message *message)
{
    struct front_session *session = front_legacy_session(front, exchange, session_id);

    if (session == NULL) return;
    if (message->kind == JSONRPC_REQUEST) {
        front_legacy_request(front, exchange, session, message);
        return;
    }
    front_legacy_notification(front, session, message, exchange->came);
    front_reply_empty(front, exchange, 202);
}

static bool front_message_is_modern(const struct front *front,
                                    const struct front_exchange *exchange,
                                    const struct front_meta *meta)
{
    struct mn_span session = front_header(exchange, "mcp-session-id");

    if (meta->version != NULL) return true;
    if (session.data != NULL && mn_map_find(&front->sessions, session) != NULL) return false;
    return front_modern_is_version(front_header(exchange, "mcp-protocol-version"));
}

/* Chooses the era as a server of both must: by what this request says, never by an earlier one. */
static void front_message_single(struct front *front, struct front_exchange *exchange,
                                 const struct jsonrpc_message *message)
{
    struct mn_span session = front_header(exchange, "mcp-session-id");
    bool is_request = message->kind == JSONRPC_REQUEST;
    struct front_meta meta;

    if (message->kind == JSONRPC_RESULT || message->kind == JSONRPC_ERROR) {
        front_message_response(front, exchange, message);
    } else if (!front_message_meta(message, &meta)) {
        front_reply_fail(front, exchange, 400, message->id, JSONRPC_INVALID_PARAMS,
                         "params._meta must be an object that says nothing twice");
    } else if (meta.version == NULL && is_request && mn_span_is(message->method, "initialize")) {
        front_legacy_initialize(front, exchange, message);
    } else if (front_message_is_modern(front, exchange, &meta)) {
        if (is_request)
            front_modern_request(front, exchange, message, &meta);
        else
            front_reply_empty(front, exchange, 202); /* there is none that we would have to know */
    } else if (session.data != NULL) {
        front_message_in_session(front, exchange, session, message);
    } else {
        front_reply_fail(front, exchange, 400, message->id, JSONRPC_INVALID_REQUEST, no_session);
    }
}

struct batch_item {
    struct jsonrpc_message message;
    struct mn_span text;
    bool is_valid;
};

/* One message of a batch; requests and broken messages were counted as pending. An answer that is
 * too large to be passed on is lost: nothing could say so. */
static void front_message_of_batch(struct front *front, struct front_exchange *exchange,
                                   struct front_session *session, const struct batch_item *item)
{
    const struct jsonrpc_message *message = &item->message;

    if (!item->is_valid)
        front_reply_fail(front, exchange, 200, message->id, JSONRPC_INVALID_REQUEST,
                         "not a JSON-RPC 2.0 message");
    else if (message->kind == JSONRPC_REQUEST)
        front_legacy_request(front, exchange, session, message);
    else if (message->kind == JSONRPC_NOTIFICATION)
        front_legacy_notification(front, session, message, exchange->came);
    else if (!front_question_on_response(front, session, message))
        (void)front_relay_response(front, session, item->text, exchange->came);
}

static void front_message_run_batch(struct front *front, struct front_exchange *exchange,
                                    struct front_session *session, const struct json *array)
{
    struct batch_item *items = mn_arena_alloc(&front->scratch, array->count * sizeof *items);
    uint32_t count = 0, answers_count = 0;

    for (const struct json *from = json_first(array); from != NULL; from = json_next(array, from)) {
        struct batch_item *item = &items[count++];
        const struct json *value = NULL;
        *item = (struct batch_item){.text = from->raw};
        item->is_valid = json_parse(front->parser, from->raw, JSONRPC_LIMITS, &front->scratch,
                                    &value) == MN_OK &&
                         jsonrpc_decode(value, &item->message) == MN_OK;
        answers_count += !item->is_valid || item->message.kind == JSONRPC_REQUEST;
    }
    if (answers_count == 0) {
        for (uint32_t i = 0; i < count; i++)
            front_message_of_batch(front, exchange, session, &items[i]);
        front_reply_empty(front, exchange, 202);
        return;
    }
    exchange->is_batch = true;
    exchange->pending_count = answers_count + 1; /* ours: it must outlive this loop */
    for (uint32_t i = 0; i < count; i++)
        front_message_of_batch(front, exchange, session, &items[i]);
    front_reply_nothing(front, exchange);
}

/* Only the revision 2025-03-26 has batches. */
static void front_message_batch(struct front *front, struct front_exchange *exchange,
                                const struct json *array)
{
    struct mn_span id = front_header(exchange, "mcp-session-id");
    struct front_session *session;
    const char *wrong = NULL;

    exchange->pending_count = 1;
    if (id.data == NULL) {
        front_reply_fail(front, exchange, 400, mn_span(NULL, 0), JSONRPC_INVALID_REQUEST,
                         "batches exist only in sessions of revision 2025-03-26");
        return;
    }
    session = front_legacy_session(front, exchange, id);
    if (session == NULL) return;
    if (!mn_span_is(mn_span_str(session->version), "2025-03-26"))
        wrong = "this session's revision has no batches: post one message at a time";
    else if (array->count == 0 || array->count > MCP_BATCH_MAX)
        wrong = "a batch has 1 to 64 messages";
    if (wrong != NULL)
        front_reply_fail(front, exchange, 400, mn_span(NULL, 0), JSONRPC_INVALID_REQUEST, wrong);
    else
        front_message_run_batch(front, exchange, session, array);
}

void front_message_ahead(struct front_exchange *exchange)
{
    if (mn_writer_size(&exchange->body) < JSONRPC_LARGE) return;
    if (exchange->feed == NULL) exchange->feed = json_feed_new(JSONRPC_LIMITS);
    if (json_feed_check(exchange->feed, mn_buf_span(exchange->body.buf), SIZE_MAX) != MN_OK)
        MN_PROBE("front: a large body is no JSON, which its end will tell");
}

/* [ret_at]: where it failed. */
static mn_status front_message_parse(struct front *front, struct front_exchange *exchange,
                                     struct mn_span body, const struct json **ret, size_t *ret_at)
{
    struct json_feed *feed = exchange->feed;
    mn_status status;

    if (feed == NULL) {
        status = json_parse(front->parser, body, JSONRPC_LIMITS, &front->scratch, ret);
        *ret_at = json_error_offset(front->parser);
        return status;
    }
    exchange->feed = NULL;
    status = json_feed_end(feed, body, &front->scratch, ret);
    *ret_at = json_feed_place(feed);
    front->body_values = json_feed_values(feed);
    front->body_feed = feed;
    return status;
}

static void front_message_refuse(struct front *front, struct front_exchange *exchange,
                                 mn_status status, size_t at)
{
    const char *text;

    if (status == MN_TOO_BIG) {
        front_reply_fail(front, exchange, 400, mn_span(NULL, 0), JSONRPC_INVALID_REQUEST,
                         "the body is nested deeper than 128 levels, or has too many values");
        return;
    }
    text = mn_arena_format(&front->scratch, "the body is not JSON in UTF-8 (at byte %zu)", at);
    front_reply_fail(front, exchange, 400, mn_span(NULL, 0), JSONRPC_PARSE_ERROR, text);
}

void front_message_receive(struct front *front, struct front_exchange *exchange,
                           struct mn_span body)
{
    struct jsonrpc_message message;
    const struct json *value;
    size_t at;
    mn_status status = front_message_parse(front, exchange, body, &value, &at);

    front->body = body;
    exchange->pending_count = 1;
    if (status != MN_OK)
        front_message_refuse(front, exchange, status, at);
    else if (value->type == JSON_ARRAY)
        front_message_batch(front, exchange, value);
    else if (jsonrpc_decode(value, &message) != MN_OK)
        front_reply_fail(front, exchange, 400, message.id, JSONRPC_INVALID_REQUEST,
                         "not a JSON-RPC 2.0 message with a string or integer id");
    else
        front_message_single(front, exchange, &message);
}
