#include "node/mcp/upstream/upstream_stdio.h"

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/upstream/upstream_large.h"
#include "node/mcp/upstream/upstream_receive.h"
#include "node/mcp/upstream/upstream_reply.h"
#include "proto/base/check.h"

#define STDIN_LOW_MARK 65536 /* bytes queued, at most, when the driver says WRITABLE */

static struct edge_output *upstream_stdio_emit(struct upstream *server, enum edge_output_type type)
{
    return edge_emit(server->host->outbox->edge, type, server->stdio.child);
}

static struct edge_child *upstream_stdio_child(struct upstream *server)
{
    const struct upstream_config *config = server->config;
    struct mn_arena *arena = server->host->outbox->edge->arena;
    struct edge_child *child = mn_arena_alloc(arena, sizeof *child);
    struct mn_span *argv = mn_arena_alloc(arena, config->argv_count * sizeof *argv);
    struct edge_header *env = mn_arena_alloc(arena, (config->env_count + 1) * sizeof *env);

    /* Copies: the configuration may be gone before the driver gets to it. */
    for (uint32_t i = 0; i < config->argv_count; i++)
        argv[i] = mn_arena_copy(arena, config->argv[i]);
    for (uint32_t i = 0; i < config->env_count; i++)
        env[i] = (struct edge_header){mn_arena_copy(arena, config->env[i].name),
                                      mn_arena_copy(arena, config->env[i].value)};
    *child = (struct edge_child){argv, config->argv_count, env, config->env_count,
                                 mn_arena_copy(arena, config->cwd)};
    return child;
}

static void upstream_stdio_drop_line(struct upstream *server)
{
    line_done(&server->stdio.out);
    json_feed_free(server->stdio.feed);
    server->stdio.feed = NULL;
}

void upstream_stdio_start(struct upstream *server)
{
    struct upstream_stdio *stdio = &server->stdio;
    struct upstream_host *host = server->host;

    MN_ASSERT(stdio->child == 0);
    stdio->child = host->edge_id_last += 2;
    stdio->is_stopped = false;
    stdio->written = stdio->consumed = 0;
    upstream_stdio_drop_line(server);
    mn_map_insert(&host->children, &stdio->by_id, upstream_u64_key(&stdio->child));
    upstream_stdio_emit(server, EDGE_OUT_CHILD_START)->child_start = upstream_stdio_child(server);
}

void upstream_stdio_stop(struct upstream *server)
{
    if (server->stdio.child == 0 || server->stdio.is_stopped) return;
    server->stdio.is_stopped = true;
    upstream_stdio_drop_line(server);
    upstream_stdio_emit(server, EDGE_OUT_CHILD_STOP);
}

void upstream_stdio_done(struct upstream *server)
{
    if (server->stdio.child != 0) mn_map_remove(&server->host->children, &server->stdio.by_id);
    server->stdio.child = 0;
    upstream_stdio_drop_line(server);
}

void upstream_stdio_write(struct upstream *server, struct mn_buf *text)
{
    if (server->stdio.child == 0 || server->stdio.is_stopped) {
        mn_buf_unref(text);
        return;
    }
    server->stdio.written += text->size;
    upstream_stdio_emit(server, EDGE_OUT_CHILD_WRITE)->buf = text;
}

bool upstream_stdio_is_full(const struct upstream *server)
{
    return server->stdio.written - server->stdio.consumed + upstream_large_size(server) +
               upstream_reply_size(server) >
           UPSTREAM_QUEUE_MAX;
}

bool upstream_stdio_is_unread(const struct upstream *server)
{
    return server->stdio.written - server->stdio.consumed > UPSTREAM_QUEUE_MAX;
}

void upstream_stdio_on_consumed(struct upstream *server, uint64_t written_end)
{
    if (written_end > server->stdio.consumed) server->stdio.consumed = written_end;
    MN_ASSERT(server->stdio.consumed <= server->stdio.written);
}

static void upstream_stdio_on_noise(struct upstream *server, struct mn_span text)
{
    struct upstream_host *host = server->host;

    server->noise_count++;
    if (server->noise_count == 1)
        mn_trace_span(host->trace, host->now.mono, MN_EV_SERVER_NOISE, NULL, server->noise_count, 0,
                      server->config->name);
    if (server->noise_count <= UPSTREAM_NOISE_LOGGED)
        upstream_log_line(&server->log, host->now.wall, "stdout, not MCP", text);
    if (++server->noise_run >= UPSTREAM_NOISE_MAX)
        upstream_break(server, "writes nothing but garbage to its stdout");
}

static void upstream_stdio_on_line(struct upstream *server, struct mn_buf *text)
{
    if (server->state == UPSTREAM_STARTING) upstream_set_state(server, UPSTREAM_PROBING);
    if (!upstream_receive(server, NULL, text, &server->stdio.feed))
        upstream_stdio_on_noise(server, mn_buf_span(text));
}

static void upstream_stdio_on_out(struct upstream *server, struct mn_span bytes)
{
    uint64_t child = server->stdio.child;

    /* What a line says may end the session: the rest is then for nobody. */
    while (server->stdio.child == child && !server->stdio.is_stopped) {
        struct mn_buf *text;
        enum line_result result = line_next(&server->stdio.out, &bytes, &text);

        if (result == LINE_MORE) break;
        if (result == LINE_TOO_LONG) {
            upstream_break(server, "wrote a message of more than 32 MiB");
            break;
        }
        upstream_stdio_on_line(server, text);
        mn_buf_unref(text);
    }
    if (server->stdio.child == child)
        upstream_receive_ahead(&server->stdio.feed, &server->stdio.out.partial);
}

static void upstream_stdio_on_exited(struct upstream *server, const struct edge_input *input)
{
    struct mn_buf *last = server->stdio.is_stopped ? NULL : line_last(&server->stdio.out);

    mn_map_remove(&server->host->children, &server->stdio.by_id);
    server->stdio.child = 0;
    upstream_stdio_drop_line(server);
    if (last != NULL) upstream_stdio_on_line(server, last);
    mn_buf_unref(last);
    upstream_on_exit(server, input->code, input->status, input->text); /* may free it */
}

void upstream_stdio_on_edge(struct upstream *server, const struct edge_input *input)
{
    if (input->type == EDGE_IN_CHILD_EXIT) {
        upstream_stdio_on_exited(server, input);
    } else if (input->type == EDGE_IN_CHILD_WRITABLE) {
        if (server->stdio.written > server->stdio.consumed + STDIN_LOW_MARK)
            server->stdio.consumed = server->stdio.written - STDIN_LOW_MARK;
    } else if (input->type == EDGE_IN_CHILD_OUT && input->code == 2) {
        upstream_on_stderr(server, input->bytes, false);
    } else if (input->type == EDGE_IN_CHILD_OUT) {
        upstream_stdio_on_out(server, input->bytes);
    }
}
