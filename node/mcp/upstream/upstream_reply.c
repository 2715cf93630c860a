#include "node/mcp/upstream/upstream_reply.h"

#include "node/json/feed.h"
#include "node/mcp/upstream/upstream_http.h"
#include "node/mcp/upstream/upstream_stdio.h"
#include "node/mcp/wire/pieces.h"
#include "proto/base/check.h"

#define CHECK_SLICE ((size_t)32 << 10) /* bytes of one tick */
#define COPY_SLICE ((size_t)64 << 10)
#define WAITING_MAX ((size_t)32 << 20) /* bytes for one server, from which on no more may wait */

struct upstream_reply {
    struct mn_list link; /* in host->replies */
    struct upstream_host *host;
    struct upstream_question *question; /* of a modern server; NULL: of a legacy one: */
    struct upstream *server;
    struct mn_buf *id; /* of its request */
    bool is_cancelled;
    struct mn_buf *source;
    struct mn_span result;  /* part of it */
    struct json_feed *feed; /* until it is checked */
    struct pieces text;     /* the message, of which so much is written: */
    size_t at;
    struct mn_writer writer;
};

static struct upstream_reply *reply_new(struct upstream_host *host, struct mn_buf *source,
                                        struct mn_span result)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct upstream_reply *reply = mn_alloc(sizeof *reply);

    MN_PROBE("upstream: a large answer of a client");
    reply->host = host;
    reply->source = mn_buf_ref(source);
    reply->result = result;
    reply->feed = json_feed_new(limits);
    mn_list_push_back(&host->replies, &reply->link);
    return reply;
}

void upstream_reply_begin(struct upstream *server, struct mn_span id, bool is_cancelled,
                          struct mn_buf *source, struct mn_span result)
{
    struct upstream_reply *reply;

    if (upstream_reply_size(server) >= WAITING_MAX ||
        (!server->is_http && upstream_stdio_is_unread(server))) { /* it only asks */
        MN_PROBE("upstream: more large answers than may wait for a server");
        upstream_question_refuse(server, id, is_cancelled, JSONRPC_INTERNAL,
                                 mn_span_str("more large answers than this node may keep"),
                                 mn_span(NULL, 0));
        return;
    }
    reply = reply_new(server->host, source, result);
    reply->server = server;
    reply->id = mn_buf_copy(id);
    reply->is_cancelled = is_cancelled;
}

void upstream_reply_check(struct upstream_host *host, struct upstream_question *question,
                          struct mn_buf *source, struct mn_span result)
{
    question->reply = reply_new(host, source, result);
    question->reply->question = question;
}

void upstream_reply_drop(struct upstream_reply *reply)
{
    if (reply == NULL) return;
    if (reply->question != NULL) reply->question->reply = NULL;
    mn_list_remove(&reply->link);
    json_feed_free(reply->feed);
    pieces_drop(&reply->text);
    mn_writer_drop(&reply->writer);
    mn_buf_unref(reply->source);
    mn_buf_unref(reply->id);
    mn_free(reply);
}

void upstream_reply_forget(struct upstream *server)
{
    MN_LIST_FOR_EACH_SAFE (link, &server->host->replies) {
        struct upstream_reply *reply = MN_CONTAINER(link, struct upstream_reply, link);
        if (reply->server == server) upstream_reply_drop(reply);
    }
}

size_t upstream_reply_size(const struct upstream *server)
{
    size_t size = 0;

    MN_LIST_FOR_EACH (link, &server->host->replies) {
        const struct upstream_reply *reply = MN_CONTAINER(link, struct upstream_reply, link);
        if (reply->server == server) size += reply->result.size;
    }
    return size;
}

/* From here on it is JSON, or not. */
static void reply_checked(struct upstream_reply *reply, bool is_object)
{
    struct upstream_question *question = reply->question;

    json_feed_free(reply->feed);
    reply->feed = NULL;
    if (question != NULL) {
        struct mn_buf *answer = is_object ? mn_buf_part(reply->source, reply->result) : NULL;
        upstream_reply_drop(reply);
        upstream_question_on_checked(question, answer);
        return;
    }
    if (!is_object) {
        upstream_question_refuse_bad(reply->server, mn_buf_span(reply->id), reply->is_cancelled);
        upstream_reply_drop(reply);
        return;
    }
    jsonrpc_begin_result(&reply->text.writer, mn_buf_span(reply->id));
    reply->text.source = reply->source;
    reply->text.is_line = !reply->server->is_http;
    pieces_add(&reply->text, reply->result);
    pieces_str(&reply->text, "}");
    mn_writer_reserve(&reply->writer, pieces_size(&reply->text) + 1); /* the end of a line */
}

static void reply_check(struct upstream_reply *reply)
{
    struct mn_arena *scratch = &reply->host->scratch;
    const struct json *result;
    mn_status status = json_feed_check(reply->feed, reply->result, CHECK_SLICE);

    if (status == MN_NOT_YET) return;
    if (status == MN_OK) status = json_feed_end(reply->feed, reply->result, scratch, &result);
    reply_checked(reply, status == MN_OK && result->type == JSON_OBJECT);
}

static void reply_copy(struct upstream_reply *reply)
{
    struct upstream *server = reply->server;
    struct mn_buf *text;

    if (!pieces_copy(&reply->text, &reply->at, COPY_SLICE, reply->text.is_line, &reply->writer))
        return;
    if (!server->is_http) mn_writer_str(&reply->writer, "\n");
    text = mn_writer_done(&reply->writer);
    upstream_reply_drop(reply);
    if (server->is_http)
        upstream_http_notify(server, text, NULL, false);
    else
        upstream_stdio_write(server, text);
}

void upstream_reply_on_tick(struct upstream_host *host)
{
    struct upstream_reply *reply;

    if (mn_list_is_empty(&host->replies)) return;
    reply = MN_CONTAINER(host->replies.next, struct upstream_reply, link);
    if (reply->feed != NULL)
        reply_check(reply);
    else
        reply_copy(reply);
}
