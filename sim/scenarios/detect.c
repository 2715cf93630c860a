/* How fast a mesh notices: in virtual time, without other faults, under load. That a server has
 * other tools: whoever follows a list, at whatever node and in either era, has the new one within a
 * second, if the server says so. That a node is gone:
 *
 *                              killed (its links were reset)    frozen
 *   no new call goes to it             within 1 s               within 4 s
 *   its tools left every list          within 10 s              within 15 s
 *
 * for up to ten nodes with a probe period of 1 s; and once it is back, so are its tools. */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define STEP (50 * MN_MS)
#define BACK_TIME (15 * MN_SEC)
#define NEWS_TIME (1 * MN_SEC)

struct bound {
    const char *what;
    mn_time calls, lists;
};

static const struct bound killed = {"killed", 1 * MN_SEC, 10 * MN_SEC};
static const struct bound frozen = {"frozen", 4 * MN_SEC, 15 * MN_SEC};

/* Would [at] send a call of [service] to [victim], if it was chosen? */
static bool routes_to(const struct sim_host *at, const char *service, const mn_id *victim)
{
    struct mn_arena arena = {0};
    struct calls_route *routes;
    uint32_t count = calls_explain(core_calls(node_core(at->node)), sim_now(at->sim),
                                   mn_span_str(service), &arena, &routes);
    bool is_there = false;

    for (uint32_t i = 0; i < count; i++)
        is_there = is_there ||
                   (mn_id_equal(&routes[i].node, victim) && routes[i].reason == CALLS_REASON_OK);
    mn_arena_done(&arena);
    return is_there;
}

static bool anybody_routes_to(const struct sim_host *victim, const mn_id *victim_id)
{
    const struct sim *sim = victim->sim;

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < victim->servers_count && &sim->hosts[i] != victim; k++)
            if (routes_to(&sim->hosts[i], victim->servers[k].name, victim_id)) return true;
    return false;
}

/* ---- lists ---- */

struct look {
    const struct sim_host *victim;
    bool is_listed;
};

static void looked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct look *look = context;
    char word[64];

    snprintf(word, sizeof word, "\"name\":\"%s__", look->victim->servers[0].name);
    if (response->message.size == 0)
        sim_fail(sim, "a node did not answer tools/list");
    else if (memmem(response->message.data, response->message.size, word, strlen(word)) != NULL)
        look->is_listed = true;
}

/* Does a node that runs still list the tools of [victim]? Nodes answer this at once. */
static bool anybody_lists(const struct sim_host *victim)
{
    struct sim *sim = victim->sim;
    struct look look = {.victim = victim};

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (&sim->hosts[i] != victim)
            sim_http_ask(&sim->hosts[i], &(struct sim_request){.method = "tools/list",
                                                               .body = mn_span_str(SIM_LIST_MODERN),
                                                               .patience = MN_SEC,
                                                               .is_steadfast = true,
                                                               .on_end = looked,
                                                               .context = &look});
    return look.is_listed;
}

/* ---- calls that have a replica elsewhere must not notice anything any more ---- */

static void called(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_call *call = context;

    sim_call_answered(sim, call, response);
    if (call->state != SIM_CALL_ANSWERED)
        sim_fail(sim, "call %s, made when the node was known to be gone, failed: %s", call->key,
                 call->reason);
}

static void call_pool(struct sim_host *from)
{
    struct sim_call *call = sim_call_new(from->sim, from, "pool__work", false);
    struct mn_buf *body = sim_call_body(call, true, 0);

    sim_http_ask(from, &(struct sim_request){.method = "tools/call",
                                             .name = "pool__work",
                                             .body = mn_buf_span(body),
                                             .patience = 2 * MN_SEC,
                                             .is_steadfast = true,
                                             .on_end = called,
                                             .context = call});
    mn_buf_unref(body);
}

/* From everywhere, when at least two hosts have the pool. */
static void call_pools(struct sim_host *victim)
{
    struct sim *sim = victim->sim;

    for (uint32_t i = 0; i < sim->hosts_count && sim->hosts_count >= 4; i++)
        if (&sim->hosts[i] != victim) call_pool(&sim->hosts[i]);
}

/* ---- one victim ---- */

static void watch_it_go(struct sim_host *victim, const mn_id *victim_id, const struct bound *bound)
{
    struct sim *sim = victim->sim;
    mn_time begin = sim->time, calls = 0, lists = 0;

    while (!sim->has_failed && (calls == 0 || lists == 0)) {
        mn_time passed = sim->time + STEP - begin;
        sim_run_until(sim, sim->time + STEP);
        if (calls == 0 && !anybody_routes_to(victim, victim_id)) calls = passed;
        if (calls != 0) call_pools(victim);
        if (lists == 0 && !anybody_lists(victim)) lists = passed;
        if (calls == 0 && passed >= bound->calls)
            sim_fail(sim, "%s was %s %llu ms ago, and still gets calls", victim->name, bound->what,
                     (unsigned long long)(passed / MN_MS));
        if (lists == 0 && passed >= bound->lists)
            sim_fail(sim, "%s was %s %llu ms ago, and its tools are still listed", victim->name,
                     bound->what, (unsigned long long)(passed / MN_MS));
    }
    if (sim->options.is_verbose)
        printf("%9.3f %s was %s: no calls after %llu ms, no tools after %llu ms\n",
               (double)sim->time / 1e6, victim->name, bound->what,
               (unsigned long long)(calls / MN_MS), (unsigned long long)(lists / MN_MS));
}

static void detect(struct sim_host *victim, const struct bound *bound)
{
    struct sim *sim = victim->sim;
    mn_id id = core_self(node_core(victim->node)).node_id;

    if (bound == &killed)
        sim_host_crash(victim);
    else
        sim_host_freeze(victim);
    watch_it_go(victim, &id, bound);
    sim_run_until(sim, sim->time + MN_SEC);
    sim_host_thaw(victim);
    sim_host_start(victim);
    sim_run_until(sim, sim->time + BACK_TIME);
    if (!sim->has_failed) sim_check_settled(sim);
}

static void change(struct sim_host *host)
{
    struct sim *sim = host->sim;

    sim_server_change_one(host, 0);
    sim_run_until(sim, sim->time + NEWS_TIME);
    sim_check_watched(sim);
}

bool sim_run_detect(struct sim *sim)
{
    sim_boot(sim);
    sim_client_start(sim);
    sim_run_until(sim, sim->time + BACK_TIME);
    for (uint32_t i = 0; i < 2 * sim->hosts_count && !sim->has_failed; i++)
        change(&sim->hosts[i % sim->hosts_count]);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed && sim->hosts_count > 1; i++) {
        detect(&sim->hosts[i], &killed);
        if (!sim->has_failed) detect(&sim->hosts[i], &frozen);
    }
    sim_client_stop(sim);
    sim_run_until(sim, sim->time + 2 * SIM_CALL_TIMEOUT);
    if (!sim->has_failed) sim_check_end(sim);
    return !sim->has_failed;
}
