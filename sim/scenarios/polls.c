/* Servers that end their stream in the middle of each call, to be asked again (SSE polling,
 * 2025-11-25), while nodes are killed, one after the other. Each client has a session at the
 * endpoint of one server, is sent away in each call as that server does it, and comes back at
 * whatever node.
 *
 *   never  a client is not sent away (its calls last); a call is lost, or not answered at once when
 *          its client comes back late, though neither its server's node died nor, before others
 *          knew of the call, the one that it began at */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define CLIENTS_PER_HOST 3u
#define PATIENCE (SIM_CALL_TIMEOUT + 10 * MN_SEC)
#define KNOWN_TIME (500 * MN_MS) /* a stream that ended so long ago is known at other nodes */
#define YOUNG_TIME (5 * MN_SEC)
#define KILLS_MAX 10u

struct poller {
    struct polls *polls;
    const struct sim_server *server;
    char path[80], session[SIM_SESSION_SIZE]; /* session empty: none */
    char event[SIM_EVENT_SIZE];               /* the last one of the call's stream */
    struct sim_host *host;                    /* where it asked last */
    uint64_t boots;                           /* of that host, then */
    struct sim_call *call;                    /* under way; NULL: none */
    uint64_t server_boots;                    /* of its server's host, when the call began */
    mn_time away;                             /* sent away first; 0: it was not */
    mn_time met;                              /* its host last: it asked, or was answered */
    bool is_lost; /* its node died before others knew of what it did there last */
    struct sim_event next;
};

struct polls {
    struct sim *sim;
    struct poller *pollers;
    uint32_t count;
    uint64_t answered, elsewhere;
    mn_time killed; /* the last node that was */
    bool is_over;
};

static void poller_act(struct sim *sim, void *context);

static void poller_later(struct poller *poller, mn_time least)
{
    struct sim *sim = poller->polls->sim;

    sim_at(sim, &poller->next, sim->time + least + rng_below_u64(&sim->rng_work, 700 * MN_MS),
           poller_act, poller);
}

/* ---- what comes back ---- */

static bool is_young(const struct sim_host *host)
{
    return host->node == NULL || host->sim->time - host->started < YOUNG_TIME;
}

static bool is_excused(const struct poller *poller, const struct sim_call *call)
{
    const struct sim_host *there = poller->server->host;

    /* One of both may not know the other yet. */
    if (poller->away == 0 && call->executions == 0 && (is_young(poller->host) || is_young(there)))
        return true;
    return poller->is_lost || there->node == NULL || there->boots != poller->server_boots;
}

static void call_over(struct poller *poller, const struct sim_response *response)
{
    struct sim *sim = poller->polls->sim;
    struct sim_call *call = poller->call;

    poller->call = NULL;
    sim_call_answered(sim, call, response);
    poller->polls->answered += call->state == SIM_CALL_ANSWERED;
    if (call->state != SIM_CALL_ANSWERED && !is_excused(poller, call))
        sim_fail(sim, "call %s of %s, taken up again at %s: %s", call->key, poller->server->name,
                 poller->host->name, call->state == SIM_CALL_GONE ? "cut off" : call->reason);
    if (call->state == SIM_CALL_ANSWERED && poller->away == 0)
        sim_fail(sim, "call %s of %s was answered on its first stream", call->key,
                 poller->server->name);
    poller->is_lost = false;
}

/* Its stream is over, and has said no answer: it comes back when it was told to, or later. */
static void sent_away(struct poller *poller)
{
    struct sim *sim = poller->polls->sim;

    if (poller->away == 0) poller->away = sim->time;
    MN_PROBE("sim: a client is sent away in the middle of its call");
    poller_later(poller, SIM_RETRY_MS * MN_MS);
}

/* The node that it asked last has died since, and too soon for others to know of what was asked. */
static void judge_death(struct poller *poller)
{
    const struct sim_host *host = poller->host;
    bool has_died = host->node == NULL || host->boots != poller->boots;
    bool is_new = poller->call != NULL && poller->away == 0;

    if (has_died && (is_new || poller->polls->killed < mn_time_after(poller->met, KNOWN_TIME)))
        poller->is_lost = true;
}

/* The node died that had the client's ear. */
static void node_lost(struct poller *poller, const struct sim_response *response)
{
    judge_death(poller);
    if (poller->event[0] == '\0') {
        call_over(poller, response);
        poller_later(poller, 0);
    } else {
        poller_later(poller, SIM_RETRY_MS * MN_MS);
    }
}

static void poller_called(struct sim *sim, void *context, const struct sim_response *response)
{
    struct poller *poller = context;

    if (!response->is_lost) poller->met = sim->time;
    if (response->event[0] != '\0')
        snprintf(poller->event, sizeof poller->event, "%s", response->event);
    if (response->code == 404) {
        sim_fail(sim, "the session of a client of %s is unknown at %s", poller->server->name,
                 poller->host->name);
    } else if (response->is_lost) {
        node_lost(poller, response);
    } else if (response->message.size > 1) { /* " ": only where the stream is */
        call_over(poller, response);
        poller_later(poller, 0);
    } else {
        sent_away(poller);
    }
}

static void poller_initialized(struct sim *sim, void *context, const struct sim_response *response)
{
    struct poller *poller = context;

    (void)sim;
    snprintf(poller->session, sizeof poller->session, "%s", response->session);
    poller_later(poller, 0);
}

/* ---- what they do ---- */

static void ask(struct poller *poller, struct sim_request request)
{
    char session[SIM_SESSION_SIZE], event[SIM_EVENT_SIZE]; /* the answer may come at once */

    memcpy(session, poller->session, sizeof session);
    memcpy(event, poller->event, sizeof event);
    if (session[0] != '\0') request.session = session;
    if (request.verb != NULL) request.event = event;
    request.path = poller->path;
    request.patience = PATIENCE;
    request.is_steadfast = true;
    request.context = poller;
    poller->met = poller->polls->sim->time;
    sim_http_ask(poller->host, &request);
}

static void call_begin(struct poller *poller)
{
    struct sim *sim = poller->polls->sim;
    bool is_look = rng_below(&sim->rng_work, 2) == 0;
    struct mn_buf *body;

    poller->call = sim_call_new(sim, poller->host, is_look ? "look" : "work", is_look);
    poller->server_boots = poller->server->host->boots;
    poller->event[0] = '\0';
    poller->away = 0;
    body = sim_call_body(poller->call, false, 0);
    ask(poller, (struct sim_request){.body = mn_buf_span(body), .on_end = poller_called});
    mn_buf_unref(body);
}

static void poller_act(struct sim *sim, void *context)
{
    struct poller *poller = context;
    struct sim_host *host = sim_pick_ready_host(sim);
    bool is_there = poller->server->host->node != NULL;

    if (poller->polls->is_over && poller->call == NULL) return;
    if (poller->host != NULL) judge_death(poller);
    /* A call goes on where it was, too, in half of the cases. */
    if (poller->call != NULL && poller->host->node != NULL &&
        poller->host->boots == poller->boots && rng_below(&sim->rng_work, 2) == 0)
        host = poller->host;
    if (host == NULL || (poller->call == NULL && !is_there)) {
        poller_later(poller, 100 * MN_MS);
        return;
    }
    if (poller->call != NULL && host != poller->host) poller->polls->elsewhere++;
    poller->host = host;
    poller->boots = host->boots;
    if (poller->call != NULL)
        ask(poller, (struct sim_request){.verb = "GET", .on_end = poller_called});
    else if (poller->session[0] == '\0')
        ask(poller, (struct sim_request){.body = mn_span_str(SIM_INITIALIZE),
                                         .on_end = poller_initialized});
    else
        call_begin(poller);
}

/* ---- the world ---- */

static void add_servers(struct sim *sim)
{
    char name[2 * SIM_NAME_MAX];

    sim->is_polling = true;
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        snprintf(name, sizeof name, "poll-%s", sim->hosts[i].name);
        sim_server_add(&sim->hosts[i], SIM_SERVER_HTTP, name, false);
    }
}

static struct polls *polls_new(struct sim *sim)
{
    uint32_t count = CLIENTS_PER_HOST * sim->hosts_count;
    struct polls *polls = mn_alloc(sizeof *polls + count * sizeof *polls->pollers);

    sim->scenario = polls;
    polls->sim = sim;
    polls->count = count;
    polls->pollers = (struct poller *)(void *)(polls + 1);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_host *host = &sim->hosts[i % sim->hosts_count];
        struct poller *poller = &polls->pollers[i];
        poller->polls = polls;
        poller->server = &host->servers[host->servers_count - 1];
        snprintf(poller->path, sizeof poller->path, "/mcp/servers/%s", poller->server->name);
        poller_later(poller, 0);
    }
    return polls;
}

bool sim_run_polls(struct sim *sim)
{
    uint32_t kills = sim->options.has_faults ? KILLS_MAX : 0;
    struct polls *polls;

    if (sim->hosts_count < 4) {
        sim_fail(sim, "this scenario takes 4 nodes or more");
        return false;
    }
    add_servers(sim);
    sim_boot(sim);
    polls = polls_new(sim);
    sim_run_until(sim, sim->time + 5 * MN_SEC);
    for (uint32_t i = 0; i < kills && !sim->has_failed; i++) {
        sim_run_until(sim, sim->time + rng_below_u64(&sim->rng_fault, 2 * MN_SEC));
        polls->killed = sim->time;
        sim_kill_one(sim);
        sim_run_until(sim, sim->time + 4 * MN_SEC);
    }
    polls->is_over = true;
    if (!sim->has_failed) sim_run_until(sim, sim->time + 2 * PATIENCE);
    for (uint32_t i = 0; i < polls->count && !sim->has_failed; i++)
        if (polls->pollers[i].call != NULL)
            sim_fail(sim, "call %s has no end", polls->pollers[i].call->key);
    if (!sim->has_failed && (polls->answered < polls->count || polls->elsewhere < polls->count))
        sim_fail(sim, "%llu calls were answered, %llu times a client came back elsewhere",
                 (unsigned long long)polls->answered, (unsigned long long)polls->elsewhere);
    for (uint32_t i = 0; i < polls->count; i++)
        sim_cancel(sim, &polls->pollers[i].next);
    return !sim->has_failed;
}
