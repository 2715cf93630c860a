/* HTTP requests of a host, to the scripted servers at http://NAME.test/mcp; they answer with JSON.
 */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/sim.h"

struct fetch {
    struct mn_list list; /* in host->fetches */
    struct sim_host *host;
    uint64_t id;
    uint32_t code; /* 0: the connection breaks, or (status UNREACHABLE) never came about */
    mn_status status;
    struct mn_buf *body; /* of the answer */
    char session[16];    /* Mcp-Session-Id of the answer; empty: none */
    struct sim_event event;
};

static void fetch_free(struct fetch *fetch)
{
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

static void fetch_answer(struct sim *sim, void *context)
{
    struct fetch *fetch = context;
    struct sim_host *host = fetch->host;
    uint64_t id = fetch->id, boot = host->boots;
    struct mn_buf *body = mn_buf_ref(fetch->body);
    char session[sizeof fetch->session];
    struct edge_header headers[] = {{mn_span_str("content-type"), mn_span_str("application/json")},
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
    if (body != NULL && host->boots == boot)
        sim_host_input(host, &(struct edge_input){
                                 .type = EDGE_IN_FETCH_BODY, .id = id, .bytes = mn_buf_span(body)});
    if (host->boots == boot)
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_FETCH_DONE, .id = id});
    mn_buf_unref(body);
}

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
    mn_list_push_back(&host->fetches, &fetch->list);
    if (host->is_offline) {
        MN_PROBE("sim: no connection to a server");
        fetch->status = MN_UNREACHABLE;
    } else if (mn_span_is(start->method, "POST")) {
        is_silent = !fetch_post(fetch, start, &delay);
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
        if (fetch->id == output->id) fetch_free(fetch);
    }
}

void sim_fetch_host_down(struct sim_host *host)
{
    while (!mn_list_is_empty(&host->fetches))
        fetch_free(MN_CONTAINER(host->fetches.next, struct fetch, list));
}
