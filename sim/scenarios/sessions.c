/* Legacy sessions that go on at other nodes: clients that use one session at whatever node they
 * meet, while nodes are killed, one after the other, each when the mesh has settled from the last.
 * The tools that they call are of modern servers, which are told the log level of the caller's
 * session with each call.
 *
 *   never  a session that lives is unknown somewhere; a call does not carry the level that was
 *          confirmed last (or one that was asked for since); a session that was ended is known,
 *          however many nodes were killed since */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define CLIENTS_PER_HOST 4u
#define PATIENCE (SIM_CALL_TIMEOUT + 10 * MN_SEC)
#define SETTLE_MAX (60 * MN_SEC)
#define AFTER_SETTLED \
    (4 * MN_SEC) /* each client has met another node meanwhile, or did not need to */
#define KILLS_MAX 12u

static const char *const levels[] = {"debug", "info", "warning", "error", "emergency"};

#define LEVELS_COUNT (sizeof levels / sizeof *levels)
#define LEVEL_FIRST 1 /* of a session whose client did not say */

enum act { ACT_INITIALIZE = 1, ACT_SET_LEVEL, ACT_CALL, ACT_END, ACT_AFTER_END };

struct wanderer {
    struct scenario *scenario;
    char session[SIM_SESSION_SIZE]; /* empty: none */
    char ended[SIM_SESSION_SIZE];   /* one that was ended, and must not come back; empty: none */
    uint32_t level;                 /* confirmed */
    uint32_t wanted;                /* asked for, perhaps not heard; else the same */
    enum act act;                   /* under way */
    struct sim_call *call;          /* ACT_CALL */
    struct sim_host *host;
    struct sim_event next;
};

struct scenario {
    struct sim *sim;
    struct wanderer *wanderers;
    uint32_t count;
    uint64_t moves; /* answers at a node that was not the last one */
};

static void wanderer_act(struct sim *sim, void *context);

static void wanderer_again(struct wanderer *wanderer)
{
    struct sim *sim = wanderer->scenario->sim;

    if (sim->is_load_over) return;
    sim_at(sim, &wanderer->next,
           sim->time + 20 * MN_MS + rng_below_u64(&sim->rng_work, 900 * MN_MS), wanderer_act,
           wanderer);
}

static struct sim_host *pick_ready(struct sim *sim)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (host->node != NULL && !host->is_stopping && core_self(node_core(host->node)).is_ready)
            return host;
    }
    return NULL;
}

/* ---- what comes back ---- */

static void on_called(struct wanderer *wanderer, const struct sim_response *response)
{
    struct sim *sim = wanderer->scenario->sim;
    struct sim_call *call = wanderer->call;
    const char *level;

    sim_call_answered(sim, call, response);
    if (call->state != SIM_CALL_ANSWERED || call->log_level[0] == '\0') return;
    level = call->log_level;
    if (strcmp(level, levels[wanderer->level]) != 0 && strcmp(level, levels[wanderer->wanted]) != 0)
        sim_fail(sim, "%s was called by a session of level %s (or %s), and was told %s", call->tool,
                 levels[wanderer->level], levels[wanderer->wanted], level);
}

static void on_level(struct wanderer *wanderer, const struct sim_response *response)
{
    if (response->code == 200) wanderer->level = wanderer->wanted;
}

static void on_end(struct wanderer *wanderer, const struct sim_response *response)
{
    /* Not answered: it may have ended or not, and is not used any more. */
    if (response->code == 200) memcpy(wanderer->ended, wanderer->session, sizeof wanderer->ended);
    wanderer->session[0] = '\0';
}

static void wanderer_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct wanderer *wanderer = context;
    bool is_over = wanderer->act == ACT_AFTER_END;

    if (!response->is_lost && wanderer->act != ACT_INITIALIZE && (response->code == 404) != is_over)
        sim_fail(sim, "%s answered %u to a session that %s", wanderer->host->name, response->code,
                 is_over ? "was ended" : "lives");
    switch (wanderer->act) {
    case ACT_INITIALIZE:
        snprintf(wanderer->session, sizeof wanderer->session, "%s", response->session);
        wanderer->level = wanderer->wanted = LEVEL_FIRST;
        break;
    case ACT_SET_LEVEL: on_level(wanderer, response); break;
    case ACT_CALL: on_called(wanderer, response); break;
    case ACT_END: on_end(wanderer, response); break;
    case ACT_AFTER_END: break;
    }
    wanderer_again(wanderer);
}

/* ---- what they do ---- */

static void ask(struct wanderer *wanderer, enum act act, struct sim_request request)
{
    char session[SIM_SESSION_SIZE]; /* the answer may come at once, and change it */

    memcpy(session, act == ACT_AFTER_END ? wanderer->ended : wanderer->session, sizeof session);
    wanderer->act = act;
    request.session = act == ACT_INITIALIZE ? NULL : session;
    request.patience = PATIENCE;
    request.is_steadfast = true;
    request.on_end = wanderer_answered;
    request.context = wanderer;
    sim_http_ask(wanderer->host, &request);
}

static void set_level(struct wanderer *wanderer)
{
    char body[160];

    /* One that was not heard of is asked for again, so that never more than two are possible. */
    if (wanderer->wanted == wanderer->level)
        wanderer->wanted = rng_below(&wanderer->scenario->sim->rng_work, LEVELS_COUNT);
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/setLevel\",\"params\":{\"level\":"
             "\"%s\"}}",
             levels[wanderer->wanted]);
    ask(wanderer, ACT_SET_LEVEL, (struct sim_request){.body = mn_span_str(body)});
}

/* A tool of some modern server, wherever it is; NULL: there is none. */
static struct sim_server *pick_server(struct sim *sim)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (host->servers[0].is_modern && host->node != NULL) return &host->servers[0];
    }
    return NULL;
}

static void call_tool(struct wanderer *wanderer)
{
    struct sim_server *server = pick_server(wanderer->scenario->sim);
    struct mn_buf *body;
    char tool[64];

    if (server == NULL) {
        set_level(wanderer);
        return;
    }
    snprintf(tool, sizeof tool, "%s__work", server->name);
    wanderer->call = sim_call_new(wanderer->scenario->sim, wanderer->host, tool, false);
    body = sim_call_body(wanderer->call, false, 0);
    ask(wanderer, ACT_CALL, (struct sim_request){.body = mn_buf_span(body)});
    mn_buf_unref(body);
}

static void wanderer_act(struct sim *sim, void *context)
{
    struct wanderer *wanderer = context;
    struct sim_host *host = pick_ready(sim);
    uint32_t draw = rng_below(&sim->rng_work, 40);

    if (sim->is_load_over) return;
    if (host == NULL) {
        wanderer_again(wanderer);
        return;
    }
    if (host != wanderer->host) wanderer->scenario->moves++;
    wanderer->host = host;
    if (wanderer->ended[0] != '\0' && draw < 4)
        ask(wanderer, ACT_AFTER_END, (struct sim_request){.body = mn_span_str(SIM_LIST_LEGACY)});
    else if (wanderer->session[0] == '\0')
        ask(wanderer, ACT_INITIALIZE, (struct sim_request){.body = mn_span_str(SIM_INITIALIZE)});
    else if (draw == 39)
        ask(wanderer, ACT_END, (struct sim_request){.verb = "DELETE"});
    else if (draw < 10 || wanderer->wanted != wanderer->level)
        set_level(wanderer);
    else
        call_tool(wanderer);
}

/* ---- the world ---- */

static void settle(struct sim *sim)
{
    mn_time limit = sim->time + SETTLE_MAX;

    while (!sim->has_failed && !sim_is_settled(sim) && sim->time < limit)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && !sim_is_settled(sim))
        sim_fail(sim, "a killed node was not back within a minute");
    if (!sim->has_failed) sim_run_until(sim, sim->time + AFTER_SETTLED);
}

static void kill_one(struct sim *sim)
{
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
    mn_time down = (100 + rng_below(&sim->rng_fault, 5000)) * MN_MS;

    sim_run_until(sim, sim->time + rng_below_u64(&sim->rng_fault, 2 * MN_SEC));
    if (sim->has_failed || host->node == NULL) return;
    sim_host_crash(host);
    sim_host_start_at(host, sim->time + down);
    sim_run_until(sim, sim->time + down);
    settle(sim);
}

/* It lives as long as the world, which may still answer clients when a run has failed. */
static struct scenario *scenario_new(struct sim *sim)
{
    uint32_t count = CLIENTS_PER_HOST * sim->hosts_count;
    struct scenario *scenario = mn_alloc(sizeof *scenario + count * sizeof *scenario->wanderers);

    sim->scenario = scenario;
    scenario->sim = sim;
    scenario->count = count;
    scenario->wanderers = (struct wanderer *)(void *)(scenario + 1);
    for (uint32_t i = 0; i < count; i++) {
        scenario->wanderers[i].scenario = scenario;
        wanderer_again(&scenario->wanderers[i]);
    }
    return scenario;
}

bool sim_run_sessions(struct sim *sim)
{
    uint32_t kills = sim->options.has_faults ? KILLS_MAX : 0;
    struct scenario *scenario;

    if (sim->hosts_count < 4) {
        sim_fail(sim, "this scenario takes 4 nodes or more");
        return false;
    }
    sim_boot(sim);
    scenario = scenario_new(sim);
    sim_run_until(sim, sim->time + 5 * MN_SEC);
    for (uint32_t i = 0; i < kills && !sim->has_failed; i++)
        kill_one(sim);
    sim->is_load_over = true;
    for (uint32_t i = 0; i < scenario->count; i++)
        sim_cancel(sim, &scenario->wanderers[i].next);
    if (!sim->has_failed) sim_run_until(sim, sim->time + 2 * PATIENCE);
    if (!sim->has_failed && scenario->moves < scenario->count)
        sim_fail(sim, "no session has moved: nothing was tried");
    return !sim->has_failed;
}
