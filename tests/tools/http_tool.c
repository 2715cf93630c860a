/* mcp-tool-http: the tools of tool.h over Streamable HTTP, without sessions, on the project's own
 * HTTP server; the fast upstream of benchmarks.
 * usage: mcp-tool-http [--port PORT] [--era legacy|modern|both] [--count-file FILE] [--tools N]
 *                      [--answers json|sse]
 * It serves 127.0.0.1 and prints "listening on 127.0.0.1:PORT". Default: port 0 (any), both eras.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/io/http.h"
#include "proto/base/list.h"
#include "tests/tools/tool.h"

#define BODY_MAX (16u * 1024 * 1024)

/* An exchange whose request came in pieces, or whose answer takes time. */
struct exchange {
    struct mn_list entry;
    uint64_t id;
    struct mn_writer body;
    struct tool_later later;
    uint64_t step;
    bool is_stream;
    uv_timer_t timer;
};

static struct io *io;
static struct http *http;
static struct tool tool;
static struct mn_list exchanges = {&exchanges, &exchanges};

static void do_head(uint64_t id, uint32_t code, const char *type, bool is_stream)
{
    const struct edge_header header = {mn_span_str("content-type"), mn_span_str(type)};
    http_do(http, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD,
                                        .id = id,
                                        .code = code,
                                        .flag = is_stream,
                                        .headers = &header,
                                        .headers_count = 1});
}

static void do_body(uint64_t id, struct mn_buf *buf, bool is_last)
{
    http_do(http, &(struct edge_output){
                      .type = EDGE_OUT_HTTP_BODY, .id = id, .buf = buf, .flag = is_last});
    mn_buf_unref(buf);
}

static struct exchange *find(uint64_t id)
{
    MN_LIST_FOR_EACH (entry, &exchanges) {
        struct exchange *exchange = MN_CONTAINER(entry, struct exchange, entry);
        if (exchange->id == id) return exchange;
    }
    return NULL;
}

static struct exchange *add(uint64_t id)
{
    struct exchange *exchange = mn_alloc(sizeof *exchange);
    exchange->id = id;
    exchange->timer.data = exchange;
    uv_timer_init(io_uv(io), &exchange->timer);
    mn_list_push_back(&exchanges, &exchange->entry);
    return exchange;
}

static void on_closed(uv_handle_t *handle)
{
    struct exchange *exchange = handle->data;
    mn_writer_drop(&exchange->body);
    mn_free(exchange);
}

static void drop(struct exchange *exchange)
{
    mn_list_remove(&exchange->entry);
    uv_close((uv_handle_t *)&exchange->timer, on_closed);
}

static struct mn_buf *event(struct mn_writer *message)
{
    struct mn_writer text = {0};
    mn_writer_str(&text, "event: message\ndata: ");
    mn_writer_add(&text, mn_buf_span(message->buf));
    mn_writer_str(&text, "\n\n");
    mn_writer_drop(message);
    return mn_writer_done(&text);
}

static void on_step(uv_timer_t *timer)
{
    struct exchange *exchange = timer->data;
    struct mn_writer message = {0};
    bool is_last = ++exchange->step >= exchange->later.steps;
    if (exchange->is_stream) {
        tool_write_progress(&exchange->later, exchange->step, &message);
        do_body(exchange->id, event(&message), false);
    }
    if (!is_last) {
        uv_timer_start(timer, on_step, exchange->later.ms, 0);
        return;
    }
    tool_write_later(&exchange->later, &message);
    if (!exchange->is_stream) do_head(exchange->id, 200, "application/json", false);
    do_body(exchange->id, exchange->is_stream ? event(&message) : mn_writer_done(&message), true);
    drop(exchange);
}

static void defer(uint64_t id, const struct tool_later *later)
{
    struct exchange *exchange = find(id);
    if (exchange == NULL) exchange = add(id);
    exchange->later = *later;
    if (later->steps > 1 && later->token[0] != '\0') {
        exchange->is_stream = true;
        do_head(id, 200, "text/event-stream", true);
    }
    if (later->ms != UINT64_MAX) uv_timer_start(&exchange->timer, on_step, later->ms, 0);
}

static void answer(uint64_t id, struct mn_span message)
{
    struct mn_writer out = {0};
    struct tool_later later;
    switch (tool_handle(&tool, message, &out, &later)) {
    case TOOL_LATER: defer(id, &later); return;
    case TOOL_ANSWER:
        do_head(id, 200, tool.is_sse ? "text/event-stream" : "application/json", tool.is_sse);
        do_body(id, tool.is_sse ? event(&out) : mn_writer_done(&out), true);
        break;
    case TOOL_NOTHING:
    case TOOL_CANCEL:
        http_do(http, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD, .id = id, .code = 202});
        do_body(id, NULL, true);
        break;
    }
    struct exchange *exchange = find(id);
    if (exchange != NULL) drop(exchange);
}

static void on_open(const struct edge_input *input)
{
    if (mn_span_is(input->http->method, "POST")) return;
    do_head(input->id, 405, "text/plain", false);
    do_body(input->id, mn_buf_copy(mn_span_str("POST only\n")), true);
}

static void on_body(const struct edge_input *input)
{
    struct exchange *exchange = find(input->id);
    if (exchange == NULL && input->is_last) {
        answer(input->id, input->bytes);
        return;
    }
    if (exchange == NULL) exchange = add(input->id);
    mn_writer_add(&exchange->body, input->bytes);
    if (mn_writer_size(&exchange->body) > BODY_MAX)
        http_do(http, &(struct edge_output){.type = EDGE_OUT_HTTP_ABORT, .id = input->id});
    else if (input->is_last)
        answer(input->id, mn_buf_span(exchange->body.buf));
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    (void)owner, (void)now, (void)outbox;
    if (input->type == EDGE_IN_HTTP_OPEN) on_open(input);
    if (input->type == EDGE_IN_HTTP_BODY) on_body(input);
    if (input->type == EDGE_IN_HTTP_GONE) {
        struct exchange *exchange = find(input->id);
        if (exchange != NULL) drop(exchange);
    }
}

static mn_time deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER;
}

static void carry_out(void *owner, const struct edge_output *output)
{
    (void)owner, (void)output;
}

int main(int argc, char **argv)
{
    const struct io_config config = {.step = step, .deadline = deadline, .carry_out = carry_out};
    const char *port = "0", *error = "";
    char address[64], bound[HTTP_ADDRESS_SIZE];
    struct http_config http_config;
    bool is_era_given = false;
    for (int i = 1; i < argc; i++)
        is_era_given = is_era_given || strcmp(argv[i], "--era") == 0;
    if (!tool_init(&tool, argc, argv, "--port", &port)) {
        fprintf(stderr, "usage: mcp-tool-http [--port PORT] [--era legacy|modern|both] "
                        "[--count-file FILE] [--tools N] [--answers json|sse]\n");
        return 64;
    }
    if (!is_era_given) tool.era = TOOL_BOTH;
    http_config_default(&http_config);
    io = io_new(&config);
    http = http_new(io, &http_config);
    snprintf(address, sizeof address, "127.0.0.1:%s", port);
    if (http_listen(http, address, bound, &error) != MN_OK) {
        fprintf(stderr, "mcp-tool-http: %s: %s\n", address, error);
        return 69;
    }
    printf("listening on %s\n", bound);
    fflush(stdout);
    io_run(io);
    return EXIT_SUCCESS;
}
