/* HTTP requests of a host, to the scripted servers at http://NAME.test/mcp; they answer with JSON.
 */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/talker.h"

#define POLL_TIMES 10u  /* as long as other calls take those for which it is asked again */
#define PIECE_MAX 65536 /* bytes that are given at a time */

struct fetch {
    struct mn_list list; /* in host->fetches */
    struct sim_host *host;
    uint64_t id;
    uint32_t code; /* 0: the connection breaks, or (status UNREACHABLE) never came about */
    mn_status status;
    struct mn_buf *body; /* of the answer */
    char session[16];    /* Mcp-Session-Id of the answer; empty: none */
    bool is_stream;      /* [body] is events */
    struct sim_event event;
    struct web *web;       /* of a talker; else NULL */
    struct mn_list pieces; /* struct piece */
    bool has_head;
};

/* A session of a talker; modern: all that is asked of it. */
struct web {
    struct sim_server *server;
    struct talker_line *line;
    char session[16];
    uint64_t stream; /* the fetch of its GET; 0: none */
};

/* What a talker says, on its way. */
struct piece {
    struct mn_list list; /* in fetch->pieces */
    struct fetch *fetch;
    struct mn_buf *buf;
    bool is_last;
    struct sim_event event;
};

static void piece_free(struct piece *piece)
{
    sim_cancel(piece->fetch->host->sim, &piece->event);
    mn_list_remove(&piece->list);
    mn_buf_unref(piece->buf);
    mn_free(piece);
}

static void fetch_free(struct fetch *fetch)
{
    while (!mn_list_is_empty(&fetch->pieces))
        piece_free(MN_CONTAINER(fetch->pieces.next, struct piece, list));
    sim_cancel(fetch->host->sim, &fetch->event);
    mn_list_remove(&fetch->list);
    mn_buf_unref(fetch->body);
    mn_free(fetch);
}

static void fetch_break(struct sim *sim, void *context)
{
    struct fetch *fetch = context;
    struct sim_host *host = fetch->host;
    struct edge_input done = {.type = EDGE_IN_FETCH_DONE,
                              .id = fetch->id,
                              .status = fetch->status,
                              .text = mn_span_str("the connection broke")};

    (void)sim;
    fetch_free(fetch);
    sim_host_input(host, &done);
}

/* In pieces, as a socket gives them. What the node does with one may end it. */
static void fetch_give(struct sim_host *host, uint64_t id, uint64_t boot, struct mn_span body)
{
    while (body.size > 0 && host->boots == boot) {
        size_t size = body.size < PIECE_MAX ? body.size : PIECE_MAX;
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_BODY,
                                                  .id = id,
                                                  .bytes = mn_span(body.data, size)});
        body = mn_span(body.data + size, body.size - size);
    }
}

static void fetch_answer(struct sim *sim, void *context)
{
    struct fetch *fetch = context;
    struct sim_host *host = fetch->host;
    uint64_t id = fetch->id, boot = host->boots;
    struct mn_buf *body = mn_buf_ref(fetch->body);
    char session[sizeof fetch->session];
    struct edge_header headers[] = {
        {mn_span_str("content-type"),
         mn_span_str(fetch->is_stream ? "text/event-stream" : "application/json")},
        {mn_span_str("mcp-session-id"), mn_span(NULL, 0)}};
    uint32_t code = fetch->code, headers_count = body == NULL ? 0 : 1;

    (void)sim;
    memcpy(session, fetch->session, sizeof session);
    headers[1].value = mn_span_str(session);
    if (session[0] != '\0') headers_count = 2;
    fetch_free(fetch);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                              .id = id,
                                              .code = code,
                                              .headers = headers,
                                              .headers_count = headers_count});
    fetch_give(host, id, boot, mn_buf_span(body));
    if (host->boots == boot)
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_DONE, .id = id});
    mn_buf_unref(body);
}

/* ---- talkers ---- */

static struct fetch *fetch_find(const struct sim_host *host, uint64_t id)
{
    MN_LIST_FOR_EACH (entry, &host->fetches) {
        struct fetch *fetch = MN_CONTAINER(entry, struct fetch, list);
        if (fetch->id == id) return fetch;
    }
    return NULL;
}

/* One message: the whole answer, or an event of a stream. May end the host's node. */
static void fetch_head(struct fetch *fetch, bool is_stream)
{
    struct sim_host *host = fetch->host;
    char session[sizeof fetch->session];
    struct edge_header headers[] = {
        {mn_span_str("content-type"),
         mn_span_str(is_stream ? "text/event-stream" : "application/json")},
        {mn_span_str("mcp-session-id"), mn_span(NULL, 0)}};

    fetch->has_head = true;
    memcpy(session, fetch->session, sizeof session);
    headers[1].value = mn_span_str(session);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_HEAD,
                                              .id = fetch->id,
                                              .code = 200,
                                              .headers = headers,
                                              .headers_count = session[0] == '\0' ? 1 : 2});
}

static void piece_arrives(struct sim *sim, void *context)
{
    struct piece *piece = context;
    struct fetch *fetch = piece->fetch;
    struct sim_host *host = fetch->host;
    bool is_last = piece->is_last, is_stream = fetch->has_head || !is_last;
    uint64_t id = fetch->id, boot = host->boots;
    struct mn_writer text = {0};
    struct mn_buf *buf;

    (void)sim;
    mn_writer_str(&text, is_stream ? "data: " : "");
    mn_writer_add(&text, mn_buf_span(piece->buf));
    mn_writer_str(&text, is_stream ? "\n\n" : "");
    buf = mn_writer_done(&text);
    piece_free(piece);
    if (!fetch->has_head) fetch_head(fetch, is_stream);
    if (host->boots == boot && fetch_find(host, id) == fetch)
        sim_host_input(host, &(struct edge_input){
                                 .type = EDGE_IN_FETCH_BODY, .id = id, .bytes = mn_buf_span(buf)});
    if (host->boots == boot && is_last && fetch_find(host, id) == fetch) {
        fetch_free(fetch);
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_DONE, .id = id});
    }
    mn_buf_unref(buf);
}

static void web_say(void *context, uint64_t exchange, struct mn_span message, bool is_last)
{
    const struct web *web = context;
    struct sim_host *host = web->server->host;
    struct fetch *fetch = fetch_find(host, exchange != 0 ? exchange : web->stream);
    struct piece *piece;

    if (fetch == NULL) return; /* there is nobody to tell */
    piece = mn_alloc(sizeof *piece);
    piece->fetch = fetch;
    piece->buf = mn_buf_copy(message);
    piece->is_last = is_last;
    mn_list_push_back(&fetch->pieces, &piece->list);
    sim_at(host->sim, &piece->event, host->sim->time + 2 * MN_MS, piece_arrives, piece);
}

static struct web *web_of(const struct talker_line *line)
{
    return talker_context(line);
}

static struct web *web_find(struct sim_server *server, struct mn_span session)
{
    MN_LIST_FOR_EACH (entry, &server->lines) {
        struct web *web = web_of(talker_line_at(entry));
        if (mn_span_is(session, web->session)) return web;
    }
    return NULL;
}

static struct web *web_open(struct sim_server *server)
{
    struct web *web = mn_alloc(sizeof *web);

    web->server = server;
    if (!server->is_modern)
        snprintf(web->session, sizeof web->session, "w%u", ++server->sessions_last);
    web->line = talker_open(server, web_say, web);
    return web;
}

/* What still runs there breaks off. */
static void web_close(struct web *web)
{
    struct sim_host *host = web->server->host;

    MN_LIST_FOR_EACH (entry, &host->fetches) {
        struct fetch *fetch = MN_CONTAINER(entry, struct fetch, list);
        if (fetch->web != web) continue;
        fetch->web = NULL;
        fetch->status = MN_IO;
        sim_at(host->sim, &fetch->event, host->sim->time + 1 * MN_MS, fetch_break, fetch);
    }
    talker_close(web->line);
    mn_free(web);
}

void sim_fetch_forget(struct sim_server *server)
{
    if (server->kind != SIM_SERVER_HTTP || server->is_modern) return;
    while (!mn_list_is_empty(&server->lines))
        web_close(web_of(talker_line_at(server->lines.next)));
}

static bool is_request(struct mn_span message)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root;
    bool is = json_parse_copy(parser, message, TALK_LIMITS, &arena, &root) == MN_OK &&
              json_find_str(root, "id") != NULL && json_find_str(root, "method") != NULL;

    mn_arena_done(&arena);
    json_parser_free(parser);
    return is;
}

static struct mn_span header_of(const struct edge_fetch *start, const char *name)
{
    for (uint32_t i = 0; i < start->headers_count; i++)
        if (mn_span_is(start->headers[i].name, name)) return start->headers[i].value;
    return mn_span(NULL, 0);
}

/* The stream of a session, which is open until one of both ends it. */
static void web_stream(struct web *web, struct fetch *fetch)
{
    struct sim_host *host = fetch->host;

    web->stream = fetch->id;
    fetch->has_head = true;
    sim_host_input(host, &(struct edge_input){
                             .type = EDGE_IN_FETCH_HEAD,
                             .id = fetch->id,
                             .code = 200,
                             .headers = &(struct edge_header){mn_span_str("content-type"),
                                                              mn_span_str("text/event-stream")},
                             .headers_count = 1});
}

/* True: the talker answers by itself. False: [fetch->code] is the answer. */
static bool fetch_talk(struct fetch *fetch, struct sim_server *server,
                       const struct edge_fetch *start)
{
    struct mn_span session = header_of(start, "mcp-session-id");
    bool is_post = mn_span_is(start->method, "POST");
    struct web *web = web_find(server, session);

    fetch->code = 404;
    if (server->is_modern && !is_post) fetch->code = 405;
    if (web == NULL && is_post && session.size == 0) {
        web = web_open(server);
        memcpy(fetch->session, web->session, sizeof fetch->session);
    }
    if (web == NULL || fetch->code == 405) return false;
    fetch->code = 200;
    fetch->web = web;
    if (is_post) {
        bool is_answered = is_request(mn_buf_span(start->body));
        fetch->code = 202;
        talker_hear(web->line, fetch->id, mn_buf_span(start->body));
        return is_answered;
    }
    if (mn_span_is(start->method, "GET")) {
        web_stream(web, fetch);
        return true;
    }
    fetch->web = NULL;
    web_close(web);
    return false;
}

/* ---- asking ---- */

static struct sim_server *fetch_server(struct sim_host *host, struct mn_span url)
{
    size_t before = strlen("http://"), after = strlen(".test/mcp");
    return sim_server_find(host, mn_span(url.data + before, url.size - before - after));
}

/* Legacy: does the server know the session? It gives one to whoever brings none: that is the
 * handshake. */
static bool fetch_session(struct fetch *fetch, struct sim_server *server,
                          const struct edge_fetch *start)
{
    char session[sizeof fetch->session];

    snprintf(session, sizeof session, "s%u", sim_server_itself(server)->session);
    for (uint32_t i = 0; i < start->headers_count; i++)
        if (mn_span_is(start->headers[i].name, "mcp-session-id"))
            return mn_span_is(start->headers[i].value, session);
    memcpy(fetch->session, session, sizeof session);
    return true;
}

/* ---- servers that want to be asked again ---- */

/* The answer to a call whose stream has ended; it goes with its session. */
struct poll {
    struct mn_list list; /* in host->polls */
    char event[24];      /* where its stream was */
    mn_time due;
    struct mn_buf *body;
};

static void poll_free(struct poll *poll)
{
    mn_list_remove(&poll->list);
    mn_buf_unref(poll->body);
    mn_free(poll);
}

/* Takes [json]; NULL: an event that only says where the stream is. */
static void fetch_event(struct fetch *fetch, const char *event, struct mn_buf *json)
{
    struct mn_writer text = {0};

    if (event != NULL) mn_writer_format(&text, "id: %s\nretry: %u\n", event, SIM_RETRY_MS);
    mn_writer_str(&text, "data: ");
    mn_writer_add(&text, mn_buf_span(json));
    mn_writer_str(&text, "\n\n");
    mn_buf_unref(json);
    fetch->body = mn_writer_done(&text);
    fetch->is_stream = true;
    fetch->code = 200;
}

/* Its answer is one more. True: it is a call, whose stream ends before that. */
static bool fetch_polls(struct fetch *fetch, const struct edge_fetch *start, mn_time delay)
{
    static const char call[] = "\"tools/call\"";
    struct mn_span body = mn_buf_span(start->body);
    struct poll *poll;

    if (memmem(body.data, body.size, call, sizeof call - 1) == NULL) {
        fetch_event(fetch, NULL, fetch->body);
        return false;
    }
    poll = mn_alloc(sizeof *poll);
    snprintf(poll->event, sizeof poll->event, "%llu", (unsigned long long)fetch->id);
    poll->due = fetch->host->sim->time + POLL_TIMES * delay;
    poll->body = fetch->body;
    mn_list_push_back(&fetch->host->polls, &poll->list);
    fetch_event(fetch, poll->event, NULL);
    return true;
}

/* A GET: the answer, or the stream ends once more. */
static void fetch_poll(struct fetch *fetch, const struct edge_fetch *start)
{
    struct mn_span event = header_of(start, "last-event-id");

    fetch->code = event.size == 0 ? 405 : 404;
    MN_LIST_FOR_EACH_SAFE (entry, &fetch->host->polls) {
        struct poll *poll = MN_CONTAINER(entry, struct poll, list);
        if (!mn_span_is(event, poll->event)) continue;
        if (poll->due > fetch->host->sim->time) {
            fetch_event(fetch, poll->event, NULL);
            return;
        }
        fetch_event(fetch, poll->event, mn_buf_ref(poll->body));
        poll_free(poll);
        return;
    }
}

/* The server takes the request. False: it never answers. */
static bool fetch_post(struct fetch *fetch, const struct edge_fetch *start, mn_time *ret_delay)
{
    struct sim_host *host = fetch->host;
    struct sim_server *server = fetch_server(host, start->url);
    struct sim_reply reply;

    if (!server->is_modern && !fetch_session(fetch, server, start)) {
        fetch->code = 404;
        return true;
    }
    reply = sim_server_answer(host->sim, server, mn_buf_span(start->body));
    *ret_delay = reply.delay;
    fetch->code = reply.buf == NULL ? 202 : 200;
    fetch->body = reply.buf;
    if (host->sim->is_polling && !server->is_modern && reply.buf != NULL &&
        fetch_polls(fetch, start, reply.delay))
        *ret_delay = 0;
    if (reply.is_break) {
        MN_PROBE("sim: a connection to a server broke in the middle of a call");
        fetch->code = 0;
        fetch->status = MN_IO;
    }
    return !reply.is_silent;
}

static void fetch_start(struct sim_host *host, const struct edge_output *output)
{
    const struct edge_fetch *start = output->fetch_start;
    struct sim *sim = host->sim;
    struct fetch *fetch = mn_alloc(sizeof *fetch);
    bool is_silent = false;
    mn_time delay = 1 * MN_MS;

    fetch->host = host;
    fetch->id = output->id;
    mn_list_init(&fetch->pieces);
    mn_list_push_back(&host->fetches, &fetch->list);
    if (host->is_offline) {
        MN_PROBE("sim: no connection to a server");
        fetch->status = MN_UNREACHABLE;
    } else if (fetch_server(host, start->url)->is_talker) {
        if (fetch_talk(fetch, fetch_server(host, start->url), start)) return;
    } else if (mn_span_is(start->method, "POST")) {
        is_silent = !fetch_post(fetch, start, &delay);
    } else if (sim->is_polling && mn_span_is(start->method, "GET")) {
        fetch_poll(fetch, start);
    } else {
        fetch->code = 405; /* no GET stream, no session to DELETE */
    }
    if (is_silent) return;
    sim_at(sim, &fetch->event, sim->time + 2 * MN_MS + delay,
           fetch->code == 0 ? fetch_break : fetch_answer, fetch);
}

void sim_fetch_do(struct sim_host *host, const struct edge_output *output)
{
    if (output->type == EDGE_OUT_FETCH_START) {
        fetch_start(host, output);
        return;
    }
    if (output->type != EDGE_OUT_FETCH_CANCEL) return;
    MN_LIST_FOR_EACH_SAFE (entry, &host->fetches) {
        struct fetch *fetch = MN_CONTAINER(entry, struct fetch, list);
        if (fetch->id != output->id) continue;
        if (fetch->web != NULL && fetch->web->stream == fetch->id) fetch->web->stream = 0;
        if (fetch->web != NULL && fetch->web->server->is_modern)
            talker_gone(fetch->web->line, fetch->id);
        fetch_free(fetch);
    }
}

/* A talker's sessions end with the node that had them, as if they had been left alone for long. */
void sim_fetch_host_down(struct sim_host *host)
{
    for (uint32_t i = 0; i < host->servers_count; i++)
        while (host->servers[i].is_talker && host->servers[i].kind == SIM_SERVER_HTTP &&
               !mn_list_is_empty(&host->servers[i].lines))
            web_close(web_of(talker_line_at(host->servers[i].lines.next)));
    while (!mn_list_is_empty(&host->fetches))
        fetch_free(MN_CONTAINER(host->fetches.next, struct fetch, list));
    while (!mn_list_is_empty(&host->polls))
        poll_free(MN_CONTAINER(host->polls.next, struct poll, list));
}
