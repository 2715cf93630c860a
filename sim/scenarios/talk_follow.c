/* Clients that follow a resource: a modern one listens at whatever node it meets; a legacy one
 * subscribes in its session and hears on its stream, and when its node dies it goes on with the
 * same session at another one. Every other legacy one can be asked something, so that a legacy
 * server has a session for it alone, and tells it there. They look at the resource when they are
 * told of a change, so a change that they are not told of shows.
 *
 *   in a world that is whole, a server's refusal to tell of what it does not have reaches the
 *     client, and who has subscribed is told of nothing that did not change since
 *   in the end, and after each death of a node in a world that is else whole, each has seen the
 *   last content; a legacy one without having subscribed again, in the session that it had */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/scenarios/talks.h"

#define FOLLOWERS_PER_HOST 2u
/* What a node says of what a modern server's acknowledgement leaves out, for that says nothing. */
#define NOT_HONOURED "the server does not tell of updates of this resource"
#define AGAIN (300 * MN_MS)
#define PATIENCE (40 * MN_SEC)

struct talk_follower {
    struct talks *talks;
    uint32_t index;
    bool is_modern;
    struct sim_server *server;
    uint32_t resource;
    char uri[64];
    struct sim_host *host;          /* where it is now */
    char session[SIM_SESSION_SIZE]; /* legacy; empty: none */
    bool is_subscribed;             /* legacy: in that session, */
    bool is_firm;                   /* which was opened when all was well */
    bool must_look;                 /* it has just subscribed: what changed before is not told */
    bool has_tried;                 /* legacy: to subscribe to what there is not */
    bool is_trying;
    bool is_exact;  /* it subscribed in a whole world, */
    uint32_t since; /* when the resource was this */
    bool is_asking, is_open;
    uint64_t exchange; /* of its stream */
    bool is_reading, is_stale;
    uint32_t seen;
    struct sim_event next, again;
};

static void follower_act(struct sim *sim, void *context);
static void follower_read(struct talk_follower *follower);

static void follower_again(struct talk_follower *follower)
{
    struct sim *sim = follower->talks->sim;

    sim_at(sim, &follower->next, sim->time + AGAIN, follower_act, follower);
}

static const struct json *parse(struct talk_follower *follower, struct mn_span message,
                                struct mn_arena *arena)
{
    const struct json *root = NULL;

    if (json_parse_copy(follower->talks->parser, message, TALK_LIMITS, arena, &root) != MN_OK)
        return NULL;
    return root;
}

/* ---- looking ---- */

static void read_again(struct sim *sim, void *context)
{
    (void)sim;
    follower_read(context);
}

static void follower_seen(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_follower *follower = context;
    struct mn_arena arena = {0};
    const struct json *root = parse(follower, response->message, &arena);
    const struct json *contents = json_find_str(json_find_str(root, "result"), "contents");
    struct mn_span text = json_text(json_find_str(talk_first(contents), "text"));
    uint32_t seen = 0;

    follower->is_reading = false;
    for (size_t i = 0; i < text.size; i++)
        seen = 10 * seen + (uint32_t)(text.data[i] - '0');
    if (text.size > 0 && seen < follower->seen)
        sim_fail(sim, "%s was %u, and is %u", follower->uri, follower->seen, seen);
    if (text.size > 0) follower->seen = seen;
    if (sim->options.is_verbose)
        printf("%9.3f %-3s follower %u of %s sees %.*s\n", (double)sim->time / 1e6,
               follower->host->name, follower->index, follower->uri, (int)text.size,
               text.size == 0 ? "" : (const char *)text.data);
    mn_arena_done(&arena);
    if (text.size > 0 && follower->is_stale)
        follower_read(follower);
    else if (text.size == 0) /* it knows that it has to look */
        sim_at(sim, &follower->again, sim->time + AGAIN, read_again, follower);
}

static void follower_read(struct talk_follower *follower)
{
    struct sim_request request = {
        .patience = PATIENCE, .is_steadfast = true, .on_end = follower_seen, .context = follower};
    struct mn_writer body = {0};
    struct mn_buf *text;

    follower->is_stale = follower->is_reading;
    if (follower->is_reading || !follower->is_open || follower->host->node == NULL) return;
    follower->is_reading = true;
    mn_writer_format(&body,
                     "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"resources/read\",\"params\":{"
                     "\"uri\":\"%s\"",
                     follower->uri);
    if (follower->is_modern) {
        mn_writer_str(&body, ",");
        talk_write_meta(&body, false, NULL, NULL);
        request.method = "resources/read";
        request.name = follower->uri;
    } else {
        request.session = follower->session;
    }
    mn_writer_str(&body, "}}");
    text = mn_writer_done(&body);
    request.body = mn_buf_span(text);
    sim_http_ask(follower->host, &request);
    mn_buf_unref(text);
}

/* ---- streams ---- */

static void follower_leave(struct sim *sim, void *context)
{
    struct talk_follower *follower = context;

    (void)sim;
    if (follower->is_open) sim_http_drop(follower->host, follower->exchange);
}

/* A resource of its server that is none, as it is called anywhere. */
static const char *unknown_uri(const struct talk_follower *follower, char text[96])
{
    char uri[64];

    snprintf(text, 96, "meshnode://%s/%s", follower->server->name,
             talker_uri(follower->server, TALK_RESOURCES, uri));
    return text;
}

static void follower_judge(const struct talk_follower *follower)
{
    if (follower->is_exact && follower->talks->is_strict &&
        follower->server->versions[follower->resource] == follower->since)
        sim_fail(follower->talks->sim,
                 "follower %u is told of %s, which is still %u as when it subscribed",
                 follower->index, follower->uri, follower->since);
}

static void follower_told(struct sim *sim, void *context, struct mn_span message)
{
    struct talk_follower *follower = context;
    struct mn_arena arena = {0};
    const struct json *root = parse(follower, message, &arena);
    const struct json *params = json_find_str(root, "params");
    struct mn_span method = json_text(json_find_str(root, "method"));
    struct mn_span uri = json_text(json_find_str(params, "uri"));

    if (sim->options.is_verbose)
        printf("%9.3f %-3s follower %u hears %.*s\n", (double)sim->time / 1e6, follower->host->name,
               follower->index, (int)message.size, (const char *)message.data);
    if (mn_span_is(method, "notifications/resources/updated")) {
        char nothing[96];
        if (mn_span_is(uri, unknown_uri(follower, nothing))) {
            /* while it was refused, its server could not be asked */
        } else if (!mn_span_is(uri, follower->uri))
            sim_fail(sim, "follower %u of %s is told of %.*s", follower->index, follower->uri,
                     (int)uri.size, (const char *)uri.data);
        follower_judge(follower);
        follower->talks->updates++;
        follower_read(follower);
    } else if (mn_span_is(method, "notifications/subscriptions/acknowledged")) {
        const struct json *uris =
            json_find_str(json_find_str(params, "notifications"), "resourceSubscriptions");
        if (json_is(uris, JSON_ARRAY) && uris->count == 1)
            follower_read(follower);
        else /* this node does not know the server now */
            sim_at(sim, &follower->next, sim->time + 1, follower_leave, follower);
    }
    mn_arena_done(&arena);
}

/* One that was opened when all was well may not go while at most two nodes die: others may be of a
 * node that had no key of the mesh yet, and open at none but that. */
static void follower_lost_session(struct talk_follower *follower)
{
    talk_judge_unknown(follower->talks->sim, follower->host, follower->session);
    if (follower->is_firm && !follower->talks->is_over)
        sim_fail(follower->talks->sim,
                 "the session of follower %u is unknown at %s, and was known to three nodes",
                 follower->index, follower->host->name);
    follower->session[0] = '\0';
}

static void follower_closed(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_follower *follower = context;

    (void)sim;
    follower->is_open = false;
    /* Only once all was well no death takes the record of a session along: else it subscribes
     * again. */
    if (!follower->talks->is_sound) follower->is_subscribed = false;
    if (response->code == 404) follower_lost_session(follower);
    follower_again(follower);
}

static void follower_listen(struct talk_follower *follower)
{
    struct sim_request request = {.patience = MN_TIME_NEVER,
                                  .is_steadfast = true,
                                  .on_message = follower_told,
                                  .on_end = follower_closed,
                                  .context = follower};
    struct mn_writer body = {0};
    struct mn_buf *text;
    uint64_t exchange;

    follower->is_open = true;
    if (follower->is_modern) {
        mn_writer_format(&body,
                         "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"subscriptions/listen\","
                         "\"params\":{\"notifications\":{\"resourceSubscriptions\":[\"%s\"]},",
                         follower->uri);
        talk_write_meta(&body, false, NULL, NULL);
        mn_writer_str(&body, "}}");
        request.method = "subscriptions/listen";
    } else {
        request.verb = "GET";
        request.session = follower->session;
    }
    text = mn_writer_done(&body);
    request.body = mn_buf_span(text);
    exchange = sim_http_ask(follower->host, &request);
    if (follower->is_open) follower->exchange = exchange;
    mn_buf_unref(text);
}

/* ---- legacy sessions ---- */

static void follower_refused(struct talk_follower *follower, const struct json *root)
{
    struct mn_span text = json_text(json_find_str(json_find_str(root, "error"), "message"));
    const char *expected = follower->server->is_modern ? NOT_HONOURED : TALK_UNKNOWN;

    follower->is_trying = false;
    follower->has_tried = true;
    if (mn_span_is(text, expected))
        follower->talks->refusals++;
    else if (follower->is_exact && follower->talks->is_strict)
        sim_fail(follower->talks->sim, "follower %u is told \"%.*s\" of what %s does not have",
                 follower->index, (int)text.size, text.size == 0 ? "" : (const char *)text.data,
                 follower->server->name);
}

static void follower_asked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_follower *follower = context;
    struct mn_arena arena = {0};
    const struct json *root = parse(follower, response->message, &arena);
    bool is_good = !response->is_lost && json_find_str(root, "result") != NULL;

    (void)sim;
    follower->is_asking = false;
    if (response->code == 404) follower_lost_session(follower);
    if (follower->is_trying) {
        follower_refused(follower, root);
    } else if (is_good && follower->session[0] == '\0') {
        snprintf(follower->session, sizeof follower->session, "%s", response->session);
        follower->is_firm = follower->talks->is_strict;
    } else if (is_good)
        follower->is_subscribed = follower->must_look = true;
    mn_arena_done(&arena);
    follower_again(follower);
}

static void follower_ask(struct talk_follower *follower, const char *body)
{
    char session[SIM_SESSION_SIZE];

    memcpy(session, follower->session, sizeof session);
    follower->is_asking = true;
    sim_http_ask(follower->host,
                 &(struct sim_request){.body = mn_span_str(body),
                                       .session = session[0] == '\0' ? NULL : session,
                                       .patience = PATIENCE,
                                       .is_steadfast = true,
                                       .on_end = follower_asked,
                                       .context = follower});
}

static void follower_subscribe(struct talk_follower *follower, const char *uri)
{
    char body[200];

    follower->is_exact = follower->talks->is_strict && follower->is_firm;
    follower->since = follower->server->versions[follower->resource];
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"resources/subscribe\",\"params\":{"
             "\"uri\":\"%s\"}}",
             uri);
    follower_ask(follower, body);
}

/* Some try what there is not first. */
static void follower_try(struct talk_follower *follower)
{
    char uri[96];

    follower->is_trying = true;
    follower_subscribe(follower, unknown_uri(follower, uri));
}

static bool is_ready(const struct sim_host *host)
{
    return host != NULL && host->node != NULL && !host->is_stopping && !host->is_frozen;
}

static void follower_move(struct talk_follower *follower)
{
    struct sim_host *host = sim_pick_ready_host(follower->talks->sim);

    if (host == NULL || host == follower->host) return;
    if (follower->session[0] != '\0') follower->talks->moves++;
    follower->host = host;
}

static void follower_act(struct sim *sim, void *context)
{
    struct talk_follower *follower = context;

    if (follower->talks->is_over || follower->is_open || follower->is_asking) return;
    if (!is_ready(follower->host) || (follower->is_modern && rng_below(&sim->rng_work, 2) == 0))
        follower_move(follower);
    if (!is_ready(follower->host)) {
        follower_again(follower);
    } else if (follower->is_modern) {
        follower_listen(follower);
    } else if (follower->session[0] == '\0') {
        follower->is_subscribed = follower->has_tried = false;
        follower_ask(follower, follower->index % 4 == 1 ? SIM_INITIALIZE_OF("{\"elicitation\":{}}")
                                                        : SIM_INITIALIZE);
    } else if (!follower->is_subscribed && !follower->has_tried) {
        follower_try(follower);
    } else if (!follower->is_subscribed) {
        follower_subscribe(follower, follower->uri);
    } else {
        follower_listen(follower);
        if (!follower->talks->is_sound || follower->seen == 0 || follower->must_look)
            follower_read(follower);
        follower->must_look = false;
    }
}

/* ---- the whole ---- */

static struct sim_server *pick_talker(struct sim *sim)
{
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
    struct sim_server *last = &host->servers[host->servers_count - 1];

    return last->is_talker && rng_below(&sim->rng_work, 2) == 0 ? last : &host->servers[0];
}

void talk_followers_start(struct talks *talks)
{
    struct sim *sim = talks->sim;
    uint32_t count = FOLLOWERS_PER_HOST * sim->hosts_count;

    talks->followers = mn_alloc(count * sizeof *talks->followers);
    talks->followers_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct talk_follower *follower = &talks->followers[i];
        *follower = (struct talk_follower){.talks = talks,
                                           .index = i,
                                           .is_modern = i % 2 == 0,
                                           .server = pick_talker(sim),
                                           .resource = rng_below(&sim->rng_work, TALK_RESOURCES),
                                           .host = &sim->hosts[i % sim->hosts_count]};
        talker_uri(follower->server, follower->resource, follower->uri);
        follower_again(follower);
    }
}

void talk_followers_renew(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->followers_count; i++) {
        struct talk_follower *follower = &talks->followers[i];
        follower->is_exact = false;
        if (follower->is_modern || i / 2 % 2 == 1) continue;
        talk_delete_session(follower->host, follower->session);
        follower->session[0] = '\0';
    }
}

void talk_followers_stop(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->followers_count; i++) {
        struct talk_follower *follower = &talks->followers[i];
        if (follower->is_open) sim_http_drop(follower->host, follower->exchange);
        if (!talks->may_abandon) talk_delete_session(follower->host, follower->session);
        sim_cancel(talks->sim, &follower->next);
        sim_cancel(talks->sim, &follower->again);
    }
}

void talk_followers_done(struct talks *talks)
{
    mn_free(talks->followers);
}

bool talk_followers_have_seen(const struct talks *talks)
{
    for (uint32_t i = 0; i < talks->followers_count; i++) {
        const struct talk_follower *follower = &talks->followers[i];
        if (!follower->is_open || follower->seen != follower->server->versions[follower->resource])
            return false;
    }
    return true;
}

void talk_followers_check(struct talks *talks, const char *when)
{
    for (uint32_t i = 0; i < talks->followers_count; i++) {
        const struct talk_follower *follower = &talks->followers[i];
        uint32_t is = follower->server->versions[follower->resource];
        if (!follower->is_open)
            sim_fail(talks->sim, "%s: follower %u (%s) of %s has no stream", when, i,
                     follower->is_modern ? "modern" : "legacy", follower->uri);
        if (follower->seen != is)
            sim_fail(talks->sim, "%s: follower %u (%s) at %s has seen %u of %s, which is %u now",
                     when, i, follower->is_modern ? "modern" : "legacy", follower->host->name,
                     follower->seen, follower->uri, is);
    }
}

struct sim_host *talk_followers_host(struct talks *talks)
{
    return talks->followers[rng_below(&talks->sim->rng_fault, talks->followers_count)].host;
}
