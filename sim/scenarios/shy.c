/* Servers of either era, children and at URLs, with tools that they show only to clients that
 * declare certain capabilities, or an extension, or define otherwise for these, in a world of
 * faults: these tools change, servers and nodes die, and what a node asks its servers about them is
 * lost.
 *
 *   never  a client that cannot be asked is shown one of them (watch.c)
 *   in the end  each node answers each kind of client with the same bytes, which have what is for
 *           it and nothing else; who follows a list holds the true one
 *   in a whole world  a change to them is told to those that see it, and to nobody else; within a
 *           second, also some in a row, if the server says that its lists changed */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/mesh/talker.h"
#include "sim/scenarios/scenarios.h"

#define CHANGE_TIME (8 * MN_SEC)   /* between two of them, on average */
#define HEAL_TIME (70 * MN_MINUTE) /* who broke while it was asked has an hour of peace */
#define STEP_TIME (10 * MN_SEC)
#define NEWS_TIME (75 * MN_SEC)   /* what is behind a URL is looked at once a minute */
#define TOLD_TIME (1 * MN_SEC)    /* the others say so */
#define CALM_TIME (4 * MN_MINUTE) /* after which changes in a row are asked for at once */
#define CHANGES 4u
#define IN_A_ROW 3u

/* Some have something only for clients with the extension, or nothing for these. */
static void draw_secrets(struct sim *sim, struct sim_server *server)
{
    static const uint32_t untold[] = {0, SIM_ASKED | SIM_PAIRED, SIM_SHOWN};

    server->untold = untold[rng_below(&sim->rng_work, sizeof untold / sizeof *untold)];
}

static void make_servers(struct sim *sim)
{
    sim->is_shy = true;
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        char name[2 * SIM_NAME_MAX];
        if (rng_below(&sim->rng_work, 2) == 0) talker_init(&host->servers[0]);
        if (i % 2 == 1) continue;
        snprintf(name, sizeof name, "web-%s", host->name);
        talker_init(sim_server_add(host, SIM_SERVER_HTTP, name, rng_below(&sim->rng_work, 2) == 0));
    }
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts[i].servers_count; k++)
            draw_secrets(sim, &sim->hosts[i].servers[k]);
}

struct change {
    struct sim_host *host;
    uint32_t which;
};

/* Of a server that one node has. Those of several nodes do not notice it at one moment, and stand
 * apart meanwhile, which everybody sees. */
static bool is_alone(struct change change)
{
    return change.which == 0 || change.host->servers[change.which].is_talker;
}

static bool is_told(struct change change)
{
    const struct sim_server *server = &change.host->servers[change.which];

    return server->kind == SIM_SERVER_CHILD || server->is_talker;
}

static struct change change_one(struct sim *sim)
{
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
    struct change change = {host, rng_below(&sim->rng_work, host->servers_count)};

    sim_server_change_secrets(host, change.which);
    return change;
}

/* ---- what must be ---- */

struct look {
    struct mn_buf *list;
};

static void looked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct look *look = context;

    (void)sim;
    if (response->code == 200 && response->message.size > 0)
        look->list = mn_buf_copy(response->message);
}

/* What [host] lists now to clients that declared that. The caller owns the ref; NULL: it does not
 * answer. */
static struct mn_buf *look_at(struct sim_host *host, uint32_t declared)
{
    struct look look = {0};
    char body[512];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
             "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
             "\"io.modelcontextprotocol/clientCapabilities\":%s}}}",
             sim_declaration(declared));
    sim_http_ask(host, &(struct sim_request){.method = "tools/list",
                                             .body = mn_span_str(body),
                                             .patience = MN_SEC,
                                             .is_steadfast = true,
                                             .on_end = looked,
                                             .context = &look});
    return look.list;
}

/* NULL: all nodes show such clients what they shall see, alike; else what is wrong. */
static const char *wrong_with(struct sim *sim, uint32_t declared, char text[512])
{
    struct mn_buf *first = NULL;
    const char *why = NULL;

    for (uint32_t i = 0; i < sim->hosts_count && why == NULL; i++) {
        struct mn_buf *list = look_at(&sim->hosts[i], declared);
        why = list == NULL ? "it does not answer"
                           : sim_check_shown(sim, mn_buf_span(list), declared, text);
        if (first == NULL) first = mn_buf_ref(list);
        if (why == NULL && !mn_span_equal(mn_buf_span(first), mn_buf_span(list)))
            why = "two nodes answer with other bytes";
        mn_buf_unref(list);
    }
    mn_buf_unref(first);
    return why;
}

static const char *wrong_with_any(struct sim *sim, char text[512])
{
    const char *why = NULL;

    for (uint32_t declared = 0; declared < SIM_DECLARATIONS && why == NULL; declared++)
        why = wrong_with(sim, declared, text);
    for (uint32_t i = 0; i < sim->hosts_count && why == NULL; i++)
        why = sim_check_shown(sim, sim_watch_asked_list(sim, i), SIM_DECLARATIONS - 1, text);
    return why;
}

static void wait_for_truth(struct sim *sim, mn_time limit, const char *when)
{
    mn_time begin = sim->time;
    const char *why;
    char text[512];

    while (!sim->has_failed && (why = wrong_with_any(sim, text)) != NULL) {
        if (sim->time - begin >= limit)
            sim_fail(sim, "%s a list is not what its client should see: %s", when, why);
        else
            sim_run_until(sim, sim->time + (limit > NEWS_TIME ? STEP_TIME : 100 * MN_MS));
    }
    if (sim->options.is_verbose)
        printf("%9.3f %s all lists are true after %llu ms\n", (double)sim->time / 1e6, when,
               (unsigned long long)((sim->time - begin) / MN_MS));
}

/* ---- the acts ---- */

static void act_faults(struct sim *sim)
{
    mn_time end = sim->time + sim->options.story->faults_for;

    sim_client_start(sim);
    if (sim->options.has_faults) sim_plan_start(sim);
    while (!sim->has_failed && sim->time < end) {
        sim_run_until(sim,
                      mn_time_min(end, sim->time + rng_below_u64(&sim->rng_work, 2 * CHANGE_TIME)));
        (void)change_one(sim);
    }
    sim_plan_stop(sim);
    sim_client_stop(sim);
    for (mn_time limit = sim->time + sim->options.story->quiet_for;
         !sim->has_failed && sim->time < limit && !sim_is_settled(sim);)
        sim_run_until(sim, sim->time + 100 * MN_MS);
}

static void act_whole(struct sim *sim)
{
    wait_for_truth(sim, HEAL_TIME, "after the last fault");
    for (uint32_t i = 0; i < CHANGES && !sim->has_failed; i++) {
        struct change change;
        uint64_t told;
        sim_run_until(sim, sim->time + CALM_TIME);
        told = sim_watch_told(sim);
        change = change_one(sim);
        for (uint32_t k = 1; k < IN_A_ROW && is_told(change) && !sim->has_failed; k++) {
            wait_for_truth(sim, TOLD_TIME, "after one of some changes");
            sim_server_change_secrets(change.host, change.which);
        }
        wait_for_truth(sim, is_told(change) ? TOLD_TIME : NEWS_TIME, "in a whole world");
        if (!sim->has_failed && is_alone(change) && sim_watch_told(sim) != told)
            sim_fail(sim, "clients are told of a change to what they do not see");
    }
}

bool sim_run_shy(struct sim *sim)
{
    make_servers(sim);
    sim_boot(sim);
    sim_watch_start_asked(sim);
    act_faults(sim);
    if (!sim->has_failed) act_whole(sim);
    if (!sim->has_failed) sim_check_settled(sim);
    return !sim->has_failed;
}
