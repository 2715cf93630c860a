#include "node/mcp/upstream/upstream_large.h"

#include "node/json/feed.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_send.h"
#include "proto/base/check.h"

#define CHECK_SLICE ((size_t)32 << 10) /* bytes of one tick */
#define COPY_SLICE ((size_t)64 << 10)

struct upstream_large {
    struct mn_list link; /* in host->large, while there is something to do */
    struct upstream_request *request;
    struct mn_span params;
    struct json_feed *feed; /* of them; NULL: they are short */
    bool is_checked, is_written;
    struct pieces text; /* the message, of which so much is written: */
    size_t at;
    struct mn_writer writer;
};

static void large_queue(struct upstream_large *large)
{
    mn_list_push_back(&large->request->server->host->large, &large->link);
}

bool upstream_large_waits(struct upstream_request *request, struct mn_span params)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct upstream_large *large = request->large;

    if (large != NULL) return !large->is_checked;
    if (params.size < JSONRPC_LARGE) return false;
    MN_PROBE("upstream: a large request");
    large = request->large = mn_alloc(sizeof *large);
    large->request = request;
    large->params = params;
    large->feed = json_feed_new(limits);
    large_queue(large);
    return true;
}

/* Of a call whose params are not, but what was answered to its server is. */
static struct upstream_large *large_of_answers(struct upstream_request *request)
{
    struct upstream_large *large = mn_alloc(sizeof *large);

    large->request = request;
    large->is_checked = true;
    return large;
}

mn_status upstream_large_parse(struct upstream_request *request, struct mn_span params,
                               const struct json **ret)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    struct upstream_host *host = request->server->host;

    if (request->large == NULL || request->large->feed == NULL)
        return json_parse(host->parser, params, limits, &host->scratch, ret);
    return json_feed_end(request->large->feed, params, &host->scratch, ret);
}

void upstream_large_write(struct upstream_request *request, struct pieces *text)
{
    struct upstream_large *large = request->large;

    if (large == NULL) large = request->large = large_of_answers(request);
    upstream_large_recall(request);
    large->text = *text;
    *text = (struct pieces){0};
    mn_writer_reserve(&large->writer, pieces_size(&large->text) + 1); /* the end of a line */
    large->is_written = true;
    large_queue(large);
}

void upstream_large_recall(struct upstream_request *request)
{
    struct upstream_large *large = request->large;

    if (large == NULL || !large->is_written) return;
    large->is_written = false;
    large->at = 0;
    mn_list_remove(&large->link);
    pieces_drop(&large->text);
    mn_writer_drop(&large->writer);
}

void upstream_large_free(struct upstream_request *request)
{
    struct upstream_large *large = request->large;

    if (large == NULL) return;
    upstream_large_recall(request);
    if (!large->is_checked) mn_list_remove(&large->link);
    request->large = NULL;
    json_feed_free(large->feed);
    mn_free(large);
}

static void large_check(struct upstream_large *large)
{
    struct upstream_request *request = large->request;

    if (json_feed_check(large->feed, large->params, CHECK_SLICE) == MN_NOT_YET) return;
    large->is_checked = true; /* what is wrong with it is said when it is sent */
    mn_list_remove(&large->link);
    mn_list_remove(&request->link);
    upstream_call_resend(request);
}

static void large_copy(struct upstream_large *large)
{
    struct upstream_request *request = large->request;
    struct mn_writer text;

    if (!pieces_copy(&large->text, &large->at, COPY_SLICE, large->text.is_line, &large->writer))
        return;
    text = large->writer;
    large->writer = (struct mn_writer){0};
    upstream_large_recall(request);
    upstream_send_written(request, &text);
}

size_t upstream_large_size(const struct upstream *server)
{
    size_t size = 0;

    MN_LIST_FOR_EACH (link, &server->host->large) {
        const struct upstream_large *large = MN_CONTAINER(link, struct upstream_large, link);
        if (large->request->server != server) continue;
        size += large->is_written ? pieces_size(&large->text) : large->params.size;
    }
    return size;
}

void upstream_large_on_tick(struct upstream_host *host)
{
    struct upstream_large *large;

    if (mn_list_is_empty(&host->large)) return;
    large = MN_CONTAINER(host->large.next, struct upstream_large, link);
    if (large->is_checked)
        large_copy(large);
    else
        large_check(large);
}
