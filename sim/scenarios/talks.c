/* MCP beyond plain calls, in a world of faults: see talk.h. First everything goes wrong that can
 * (plan.c); then the world is whole, and every call and every question must come to its end; then
 * nodes die one after the other, or two at once and for longer, and whoever follows a resource must
 * not miss its last change, nor lose its session. What is left at nodes and servers in the end must
 * be nothing.
 *
 *   never  see talker.c, talk_client.c, talk_follow.c
 *   in the end  no request waits at a server, no call at a node, no session, and no process that
 *     belonged to one client alone; a server has one session for all that need none of their own */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/scenarios/scenarios.h"
#include "sim/scenarios/talks.h"

#define TOUCH_TIME (3 * MN_SEC) /* between two changes of some resource, on average */
#define MEND_TIME (65 * MN_SEC) /* a server that broke again and again is tried once a minute */
#define STRICT_TIME (20 * MN_SEC)
#define NEWS_TIME (40 * MN_SEC) /* whoever follows is connected again after 30 s at most */
#define DEATHS 4u
#define IDLE_TIME (12 * MN_MINUTE)  /* of a question nobody answers */
#define ORPHAN_TIME (6 * MN_MINUTE) /* of a call whose node died, and whose client did not come */
#define AWAY_TIME (5 * MN_SEC) /* of two that die at once: longer than a record is waited for */
#define RENEWAL_TIME (5 * MN_SEC)
#define FORGET_TIME (35 * MN_MINUTE) /* of a session nobody uses */

/* ---- the world ---- */

static void say(const struct talks *talks, const char *what)
{
    if (talks->sim->options.is_verbose)
        printf("%9.3f ---- %s\n", (double)talks->sim->time / 1e6, what);
}

/* Each host's child talks; every other host also has a server at a URL that does. */
static void make_talkers(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        char name[2 * SIM_NAME_MAX];
        talker_init(&host->servers[0]);
        if (i % 2 == 1) continue;
        snprintf(name, sizeof name, "web-%s", host->name);
        talker_init(sim_server_add(host, SIM_SERVER_HTTP, name, rng_below(&sim->rng_work, 2) == 0));
    }
}

static void talks_done(struct sim *sim)
{
    struct talks *talks = sim->talks;
    struct mn_map_entry *entry, *next;

    talk_clients_done(talks);
    talk_batchers_done(talks);
    talk_followers_done(talks);
    for (entry = mn_map_next(&talks->by_key, NULL); entry != NULL; entry = next) {
        next = mn_map_next(&talks->by_key, entry);
        mn_free(MN_CONTAINER(entry, struct talk, by_key));
    }
    mn_map_done(&talks->by_key);
    json_parser_free(talks->parser);
    mn_free(talks);
}

static struct talks *talks_new(struct sim *sim)
{
    struct talks *talks = mn_alloc(sizeof *talks);

    sim->talks = talks;
    sim->scenario_done = talks_done;
    talks->sim = sim;
    talks->parser = json_parser_new();
    talks->may_abandon = rng_below(&sim->rng_plan, 4) == 0;
    mn_map_init(&talks->by_key, sim->options.story->seed);
    make_talkers(sim);
    return talks;
}

static void touch_one(struct sim *sim)
{
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
    struct sim_server *server = &host->servers[rng_below(&sim->rng_work, host->servers_count)];

    if (server->is_talker) talker_touch(server, rng_below(&sim->rng_work, TALK_RESOURCES));
}

static void touch_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts[i].servers_count; k++)
            for (uint32_t which = 0; which < TALK_RESOURCES; which++)
                if (sim->hosts[i].servers[k].is_talker)
                    talker_touch(&sim->hosts[i].servers[k], which);
}

/* Lets time pass, in which resources change. */
static void run_touching(struct talks *talks, mn_time time)
{
    struct sim *sim = talks->sim;
    mn_time end = sim->time + time;

    while (!sim->has_failed && sim->time < end) {
        sim_run_until(sim,
                      mn_time_min(end, sim->time + rng_below_u64(&sim->rng_work, 2 * TOUCH_TIME)));
        touch_one(sim);
    }
}

static void settle(struct talks *talks, mn_time limit)
{
    struct sim *sim = talks->sim;
    mn_time end = sim->time + limit;

    while (!sim->has_failed && !sim_is_settled(sim) && sim->time < end)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && !sim_is_settled(sim)) sim_check_settled(sim); /* says what is missing */
}

/* ---- the acts ---- */

static void act_news(struct talks *talks, const char *when)
{
    struct sim *sim = talks->sim;
    mn_time end = sim->time + NEWS_TIME;

    while (!sim->has_failed && !talk_followers_have_seen(talks) && sim->time < end)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed) talk_followers_check(talks, when);
}

static void act_faults(struct talks *talks)
{
    struct sim *sim = talks->sim;

    say(talks, "faults");
    talk_clients_start(talks);
    talk_batchers_start(talks);
    talk_followers_start(talks);
    talk_listeners_start(talks);
    if (sim->options.has_faults) sim_plan_start(sim);
    run_touching(talks, sim->options.story->faults_for);
    sim_plan_stop(sim);
    settle(talks, sim->options.story->quiet_for);
}

static void act_whole(struct talks *talks)
{
    struct sim *sim = talks->sim;

    say(talks, "a whole world");
    if (!sim->has_failed) sim_run_until(sim, sim->time + MEND_TIME);
    if (!sim->has_failed) sim_check_settled(sim);
    act_news(talks, "after the last fault");
    talks->is_strict = talks->is_sound = true;
    talk_followers_renew(talks);
    talk_listeners_renew(talks);
    if (!sim->has_failed) run_touching(talks, STRICT_TIME);
    act_news(talks, "in a whole world");
    if (!sim->has_failed) talk_asides_check(talks);
}

/* Calls run, and their nodes die: their clients go on elsewhere. */
static void act_deaths_in_calls(struct talks *talks)
{
    struct sim *sim = talks->sim;

    say(talks, "nodes die while calls run");
    talks->is_strict = false;
    talks->is_calm = true;
    for (struct mn_map_entry *e = mn_map_next(&talks->by_key, NULL); e != NULL;
         e = mn_map_next(&talks->by_key, e))
        MN_CONTAINER(e, struct talk, by_key)->is_strict = false;
    for (uint32_t i = 0; i < DEATHS && !sim->has_failed && sim->hosts_count > 2; i++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
        run_touching(talks, 10 * MN_SEC);
        if (sim->has_failed) break;
        talks->has_died = true;
        sim_host_crash(host);
        sim_host_start_at(host,
                          sim->time + 100 * MN_MS + rng_below_u64(&sim->rng_fault, 3 * MN_SEC));
        sim_run_until(sim, sim->time + 4 * MN_SEC);
        settle(talks, MN_MINUTE);
        run_touching(talks, 10 * MN_SEC);
    }
    talks->is_calm = false;
    act_news(talks, "after nodes died while calls ran");
}

static bool are_idle(const struct talks *talks)
{
    return talk_clients_are_idle(talks) && talk_batchers_are_idle(talks);
}

static void act_end_of_calls(struct talks *talks)
{
    struct sim *sim = talks->sim;
    mn_time end = sim->time + 5 * MN_MINUTE;

    say(talks, "no new calls");
    talk_clients_stop(talks);
    while (!sim->has_failed && !are_idle(talks) && sim->time < end)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && !are_idle(talks))
        sim_fail(sim, "a call has no end, five minutes after the last one began");
}

static void kill_host(struct sim *sim, struct sim_host *host, mn_time away)
{
    sim_host_crash(host);
    sim_host_start_at(host,
                      sim->time + away + 100 * MN_MS + rng_below_u64(&sim->rng_fault, MN_SEC));
}

/* A session's record is at three nodes: two of them may go at once. */
static struct sim_host *other_host(struct sim *sim, const struct sim_host *host)
{
    struct sim_host *other;

    if (sim->hosts_count < 4 || rng_below(&sim->rng_fault, 2) == 0) return NULL;
    do
        other = &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
    while (other == host);
    return other;
}

/* Sessions that never moved: whoever wrote a record before keeps it, too, and then no death of two
 * nodes could take it along. */
static void act_renewal(struct talks *talks)
{
    talks->is_strict = true;
    talk_followers_renew(talks);
    run_touching(talks, RENEWAL_TIME);
    act_news(talks, "after some sessions were opened anew");
    talks->is_strict = false;
}

/* An old session goes on with what it had. */
static void act_deaths(struct talks *talks)
{
    struct sim *sim = talks->sim;

    say(talks, "nodes die");
    for (uint32_t i = 0; i < DEATHS && !sim->has_failed && sim->hosts_count > 1; i++) {
        struct sim_host *host = talk_followers_host(talks), *other = other_host(sim, host);
        mn_time away = other == NULL ? 0 : AWAY_TIME;
        kill_host(sim, host, away);
        if (other != NULL) kill_host(sim, other, away);
        sim_run_until(sim, sim->time + away + 2 * MN_SEC);
        settle(talks, MN_MINUTE);
        touch_all(sim);
        act_news(talks, "after the death of a node");
        if (!sim->has_failed) sim_run_until(sim, sim->time + 5 * MN_SEC); /* records are copied */
    }
}

/* ---- what must be left: nothing ---- */

static uint32_t children_of(const struct sim_host *host)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &host->children)
        count++;
    return count;
}

static void check_servers(struct talks *talks)
{
    struct sim *sim = talks->sim;

    for (struct mn_map_entry *e = mn_map_next(&talks->by_key, NULL); e != NULL;
         e = mn_map_next(&talks->by_key, e)) {
        const struct talk *talk = MN_CONTAINER(e, struct talk, by_key);
        if (talk->open > 0)
            sim_fail(sim, "%s (script %u, state %u) still waits at %s", talk->key, talk->script,
                     talk->state, talk->server->name);
        if (talk->state == TALK_OPEN) sim_fail(sim, "%s was never answered", talk->key);
    }
}

static void check_host(struct sim *sim, const struct sim_host *host, bool is_forgotten)
{
    struct calls_stats calls = calls_stats(core_calls(node_core(host->node)));
    struct mcp_stats mcp;

    mcp_stats(node_mcp(host->node), &mcp);
    if (calls.open + calls.served + mcp.calls_count > 0)
        sim_fail(sim, "%s still has %u calls open, %u served, %u at its clients", host->name,
                 calls.open, calls.served, mcp.calls_count);
    if (mcp.exchanges_count != 1) /* that of the watcher */
        sim_fail(sim, "%s has %u exchanges open", host->name, mcp.exchanges_count);
    if (is_forgotten && mcp.sessions_count > 1) /* of the watcher, maybe */
        sim_fail(sim, "%s has %u sessions that nobody uses", host->name, mcp.sessions_count);
    for (uint32_t i = 0; i < host->servers_count; i++)
        if (host->servers[i].is_talker && talker_shared_count(&host->servers[i]) > 1)
            sim_fail(sim, "%s has %u sessions for all clients: its node left some behind",
                     host->servers[i].name, talker_shared_count(&host->servers[i]));
    if (is_forgotten && children_of(host) != 1)
        sim_fail(sim, "%s has %u child processes", host->name, children_of(host));
}

static void act_nothing_left(struct talks *talks)
{
    struct sim *sim = talks->sim;

    say(talks, "nothing is left");
    talks->is_over = true;
    talk_followers_stop(talks);
    talk_listeners_stop(talks);
    talk_clients_leave(talks, talks->may_abandon);
    if (!talks->may_abandon) talk_batchers_leave(talks);
    if (!sim->has_failed)
        sim_run_until(sim, sim->time + (talks->may_abandon ? FORGET_TIME
                                        : talks->has_left  ? IDLE_TIME
                                        : talks->has_died  ? ORPHAN_TIME
                                                           : 10 * MN_SEC));
    if (!sim->has_failed) check_servers(talks);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++)
        check_host(sim, &sim->hosts[i], talks->may_abandon);
}

/* ---- was anything tried? ---- */

static void check_tried(struct talks *talks)
{
    struct sim *sim = talks->sim;

    for (uint32_t i = 0; i < TALK_SCRIPTS; i++)
        if (talks->answered[i] == 0 && i != TALK_ENDLESS && talks->count > 100)
            sim_fail(sim, "of %llu calls none of script %u was answered",
                     (unsigned long long)talks->count, i);
    if (talks->count > 100 && (talks->asked == 0 || talks->updates == 0))
        sim_fail(sim, "nobody was asked anything, or nobody told of a change");
    if (talks->count > 100 && talks->refusals == 0)
        sim_fail(sim, "no client heard that its subscription is refused");
    if (talk_asides_said(talks) > 100 && (talks->asides == 0 || talks->asides_asked == 0))
        sim_fail(sim, "nobody heard anything aside, or nobody was asked");
    if (talks->theirs_wanted > 30 && talks->theirs_asked == 0)
        sim_fail(sim, "nobody made a task of what it was asked");
    if (talks->count > 100 && sim->hosts_count > 2 && talks->elsewhere == 0)
        sim_fail(sim, "nobody went on at another node");
    if (sim->options.is_verbose)
        printf("%9.3f %llu calls, %llu questions, %llu went on at another node, %llu updates, "
               "%llu sessions moved, %llu streams answered at another node, %llu questions about "
               "tasks of clients\n",
               (double)sim->time / 1e6, (unsigned long long)talks->count,
               (unsigned long long)talks->asked, (unsigned long long)talks->elsewhere,
               (unsigned long long)talks->updates, (unsigned long long)talks->moves,
               (unsigned long long)talks->resumed, (unsigned long long)talks->theirs_asked);
}

bool sim_run_talks(struct sim *sim)
{
    struct talks *talks = talks_new(sim);

    sim_boot(sim);
    act_faults(talks);
    act_whole(talks);
    act_deaths_in_calls(talks);
    act_end_of_calls(talks);
    if (!sim->has_failed) act_renewal(talks);
    if (!sim->has_failed) act_deaths(talks);
    act_nothing_left(talks);
    if (!sim->has_failed) check_tried(talks);
    return !sim->has_failed;
}
