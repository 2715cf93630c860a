/* Who agrees, while voters die for good. Clients of the strong keyspace work on, others write and
 * watch; a voter is killed, replaced, and comes back with an empty disk; one more is killed,
 * which it may replace; then a majority is killed at once, and an operator begins the group anew.
 *
 *   never   a node has half of the votes or more, where three or more vote; a change takes two
 * voters away at once; a node that lost its log leads; a watcher hears of a change twice, of an
 *           older one after a newer one, or not at all
 *   in the end  a dead voter is replaced within 75 s; who lost its log is whole again; a group
 * begun anew agrees, and all nodes belong to it */
#include <inttypes.h>
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define PATIENCE (15 * MN_SEC)
#define REPLACE_TIME (75 * MN_SEC)
#define BACK_TIME (90 * MN_SEC)
#define WORK_TIME (5 * MN_SEC)
#define CHANGES_MAX 4096u
#define LIMITS ((struct json_limits){.depth_max = 16, .depth_kept = 6, .nodes_max = 65536})

struct voters {
    struct sim *sim;
    bool is_down[64]; /* for good, or until told */
    struct sim_event write, watch;
    bool is_writing, is_watching, is_over;
    uint64_t written[CHANGES_MAX]; /* revisions that were acknowledged */
    uint32_t written_count;
    uint64_t heard[CHANGES_MAX];
    uint32_t heard_count;
    char from[32]; /* where the watcher is; empty: it has not begun */
    uint64_t changes_count;
};

static struct sim_host *pick_host(struct sim *sim)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_keep, sim->hosts_count)];
        if (host->node != NULL && core_self(node_core(host->node)).is_ready) return host;
    }
    return NULL;
}

/* ---- after every step ---- */

static void check_config(struct sim_host *host, const struct quorum_config *config)
{
    uint32_t voters = 0, removed = 0, added = 0;

    for (uint32_t i = 0; i < config->members_count; i++) {
        voters += config->members[i].weight > 0;
        removed += config->members[i].weight == 0 && config->members[i].weight_old > 0;
        added += config->members[i].weight > 0 && config->members[i].weight_old == 0;
    }
    if (config->is_joint && removed > 1 && added > 0)
        sim_fail(host->sim, "%s replaces %u voters at once", host->name, removed);
    for (uint32_t i = 0; i < config->members_count && voters >= 3; i++)
        if (2 * (uint64_t)config->members[i].weight >= quorum_total(config, QUORUM_NEW))
            sim_fail(host->sim, "%s gives a node %u of %" PRIu64 " votes", host->name,
                     config->members[i].weight, quorum_total(config, QUORUM_NEW));
}

static void on_step(struct sim_host *host)
{
    const struct state *state = node_state(host->node);
    struct raft_view view;

    if (state == NULL || !state_view(state, &view)) return;
    if (view.is_wounded && view.role == RAFT_LEADER)
        sim_fail(host->sim, "%s lost its log, and leads", host->name);
    check_config(host, view.config);
}

/* ---- one who writes, and one who watches ---- */

static void write_act(struct sim *sim, void *context);
static void watch_act(struct sim *sim, void *context);

static uint64_t number_of(const struct json *root, const char *name)
{
    int64_t number = 0;

    return json_i64(json_find_str(root, name), &number) == MN_OK ? (uint64_t)number : 0;
}

static void wrote(struct sim *sim, void *context, const struct sim_response *response)
{
    struct voters *voters = context;
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root;

    voters->is_writing = false;
    if (!response->is_lost && response->code == 200 && voters->written_count < CHANGES_MAX &&
        json_parse_copy(parser, response->message, LIMITS, &arena, &root) == MN_OK)
        voters->written[voters->written_count++] = number_of(root, "rev");
    mn_arena_done(&arena);
    json_parser_free(parser);
    if (!voters->is_over)
        sim_at(sim, &voters->write, sim->time + rng_below(&sim->rng_keep, 400 * MN_MS), write_act,
               voters);
}

static void write_act(struct sim *sim, void *context)
{
    struct voters *voters = context;
    struct sim_host *host = pick_host(sim);
    char path[64], body[64];

    if (voters->is_writing || voters->is_over) return;
    if (host == NULL) {
        sim_at(sim, &voters->write, sim->time + MN_SEC, write_act, voters);
        return;
    }
    voters->is_writing = true;
    snprintf(path, sizeof path, "/v1/state/seen-%u?timeout_ms=2000", rng_below(&sim->rng_keep, 5));
    snprintf(body, sizeof body, "{\"value\":\"%u\"}", voters->written_count);
    sim_http_ask(host, &(struct sim_request){.verb = "PUT",
                                             .path = path,
                                             .is_admin = true,
                                             .body = mn_span_str(body),
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = wrote,
                                             .context = voters});
}

static void watch_read(struct voters *voters, const struct json *root)
{
    struct sim *sim = voters->sim;
    const struct json *items = json_find_str(root, "items");
    struct mn_span next = json_text(json_find_str(root, "next"));

    if (json_is(items, JSON_ARRAY))
        for (const struct json *item = json_first(items); item != NULL;
             item = json_next(items, item)) {
            uint64_t rev = number_of(item, "rev");
            if (voters->heard_count > 0 && rev <= voters->heard[voters->heard_count - 1])
                sim_fail(sim, "the watcher hears of revision %" PRIu64 " after %" PRIu64, rev,
                         voters->heard[voters->heard_count - 1]);
            if (voters->heard_count < CHANGES_MAX) voters->heard[voters->heard_count++] = rev;
        }
    if (next.size > 0 && next.size < sizeof voters->from)
        snprintf(voters->from, sizeof voters->from, "%.*s", (int)next.size,
                 (const char *)next.data);
}

static void watched(struct sim *sim, void *context, const struct sim_response *response)
{
    struct voters *voters = context;
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root;

    voters->is_watching = false;
    if (!response->is_lost && response->code == 200 &&
        json_parse_copy(parser, response->message, LIMITS, &arena, &root) == MN_OK)
        watch_read(voters, root);
    mn_arena_done(&arena);
    json_parser_free(parser);
    if (!voters->is_over) sim_at(sim, &voters->watch, sim->time + 50 * MN_MS, watch_act, voters);
}

/* Each time at another node, from where it was. */
static void watch_act(struct sim *sim, void *context)
{
    struct voters *voters = context;
    struct sim_host *host = pick_host(sim);
    char path[128];

    if (voters->is_watching || voters->is_over) return;
    if (host == NULL) {
        sim_at(sim, &voters->watch, sim->time + MN_SEC, watch_act, voters);
        return;
    }
    voters->is_watching = true;
    snprintf(path, sizeof path, "/v1/watch?prefix=seen-&timeout_ms=3000&from=%s", voters->from);
    sim_http_ask(host, &(struct sim_request){.verb = "GET",
                                             .path = path,
                                             .is_admin = true,
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = watched,
                                             .context = voters});
}

static void check_heard(struct voters *voters)
{
    struct sim *sim = voters->sim;
    uint32_t at = 0;

    for (uint32_t i = 0; i < voters->written_count && !sim->has_failed; i++) {
        while (at < voters->heard_count && voters->heard[at] < voters->written[i])
            at++;
        if (at == voters->heard_count || voters->heard[at] != voters->written[i])
            sim_fail(sim, "the watcher never heard of revision %" PRIu64 ", which was acknowledged",
                     voters->written[i]);
    }
    if (!sim->has_failed && voters->written_count < 20)
        sim_fail(sim, "only %u writes were acknowledged: nothing was tried", voters->written_count);
}

/* ---- who votes ---- */

/* As one who runs sees it. */
static const struct quorum_config *config_of(const struct voters *voters)
{
    static const struct quorum_config nobody;
    const struct quorum_config *best = &nobody;
    uint64_t epoch = 0, index = 0;

    for (uint32_t i = 0; i < voters->sim->hosts_count; i++) {
        const struct sim_host *host = &voters->sim->hosts[i];
        struct raft_view view;
        uint64_t mine;
        if (host->node == NULL || !state_view(node_state(host->node), &view)) continue;
        mine = state_epoch(node_state(host->node));
        if (mine < epoch || (mine == epoch && view.config_index < index)) continue;
        epoch = mine;
        index = view.config_index;
        best = view.config;
    }
    return best;
}

static uint32_t weight_of(const struct voters *voters, const struct sim_host *host)
{
    const struct quorum_config *config = config_of(voters);
    char text[MN_ID_TEXT_SIZE];
    int at;
    mn_id id;

    sim_host_node_id(host, text);
    if (mn_id_parse(mn_span_str(text), &id) != MN_OK) return 0;
    at = quorum_find(config, &id);
    return at < 0 ? 0 : config->members[at].weight;
}

static bool is_voter(const struct voters *voters, const struct sim_host *host)
{
    return weight_of(voters, host) > 0;
}

static uint32_t voters_count(const struct voters *voters)
{
    const struct quorum_config *config = config_of(voters);
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        count += config->members[i].weight > 0;
    return count;
}

/* Not the first host, which is the only issuer. */
static struct sim_host *pick_voter(struct voters *voters)
{
    struct sim_host *chosen = NULL;
    uint32_t count = 0;

    for (uint32_t i = 1; i < voters->sim->hosts_count; i++)
        if (voters->sim->hosts[i].node != NULL && is_voter(voters, &voters->sim->hosts[i]) &&
            rng_below(&voters->sim->rng_fault, ++count) == 0)
            chosen = &voters->sim->hosts[i];
    return chosen;
}

static void run_for(struct voters *voters, mn_time time)
{
    if (!voters->sim->has_failed) sim_run_until(voters->sim, voters->sim->time + time);
}

/* ---- the acts ---- */

static struct sim_host *act_death(struct voters *voters)
{
    struct sim *sim = voters->sim;
    struct sim_host *host = pick_voter(voters);
    uint32_t before = voters_count(voters);
    mn_time end = sim->time + REPLACE_TIME;

    if (host == NULL || sim->has_failed) return NULL;
    if (sim->options.is_verbose)
        printf("%9.3f ---- %s dies, one of %u voters\n", (double)sim->time / 1e6, host->name,
               before);
    sim_host_crash(host);
    while (!sim->has_failed && sim->time < end &&
           (is_voter(voters, host) || voters_count(voters) < before))
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && (is_voter(voters, host) || voters_count(voters) < before))
        sim_fail(sim, "%s, a voter, died, and after %llu s there are %u of %u voters, it %s",
                 host->name, (unsigned long long)(REPLACE_TIME / MN_SEC), voters_count(voters),
                 before, is_voter(voters, host) ? "among them" : "not");
    return host;
}

static bool is_whole(const struct sim_host *host)
{
    struct raft_view view;

    return host->node != NULL && state_view(node_state(host->node), &view) && !view.is_wounded;
}

/* It comes back and knows nothing; or with what it had. */
static void act_return(struct voters *voters, struct sim_host *host, bool is_wiped)
{
    struct sim *sim = voters->sim;
    mn_time end = sim->time + BACK_TIME;

    if (host == NULL || sim->has_failed) return;
    if (is_wiped) {
        sim_disk_wipe(host);
        sim_log_wipe(host);
        sim->has_lost_disk = true;
    }
    sim_host_start(host);
    run_for(voters, MN_SEC);
    while (!sim->has_failed && sim->time < end &&
           !(sim_is_settled(sim) && (is_whole(host) || !is_voter(voters, host))))
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && is_voter(voters, host) && !is_whole(host))
        sim_fail(sim, "%s votes, and has not got the log back", host->name);
}

/* What only the dead knew is lost: from here on nobody judges what was acknowledged before. */
static void act_majority(struct voters *voters)
{
    struct sim *sim = voters->sim;
    uint32_t total = voters_count(voters), killed = 0;
    uint64_t left = quorum_total(config_of(voters), QUORUM_NEW), half = left / 2;
    bool is_killed[64] = {false};

    for (uint32_t i = 1; i < sim->hosts_count && left > half && !sim->has_failed; i++) {
        uint32_t weight = weight_of(voters, &sim->hosts[i]);
        if (sim->hosts[i].node == NULL || weight == 0) continue;
        is_killed[i] = true;
        left -= weight;
        killed++;
    }
    if (left > half || sim->has_failed) return; /* the issuer's vote is needed for that */
    if (sim->options.is_verbose)
        printf("%9.3f ---- %u of %u voters die at once\n", (double)sim->time / 1e6, killed, total);
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (is_killed[i]) sim_host_crash(&sim->hosts[i]);
    run_for(voters, 10 * MN_SEC);
    if (!sim->has_failed && !sim_group_recover(sim, &sim->hosts[0]) && !sim->has_failed)
        sim_fail(sim, "a majority of the voters is dead, and the group agrees");
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (is_killed[i]) act_return(voters, &sim->hosts[i], rng_below(&sim->rng_fault, 3) == 0);
}

static void check_one_group(struct voters *voters)
{
    struct sim *sim = voters->sim;
    struct sim_answer answer;

    run_for(voters, 30 * MN_SEC);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++) {
        if (state_epoch(node_state(sim->hosts[i].node)) !=
            state_epoch(node_state(sim->hosts[0].node)))
            sim_fail(sim, "%s belongs to another group than n1", sim->hosts[i].name);
        sim_operator_ask(&sim->hosts[i], "PUT", "/v1/state/last?timeout_ms=5000",
                         "{\"value\":\"x\"}", &answer);
        if (answer.code != 200 && !sim->has_failed)
            sim_fail(sim, "%s cannot write in the end: %u %.200s", sim->hosts[i].name, answer.code,
                     answer.text);
    }
}

static void act_begin(struct voters *voters)
{
    struct sim *sim = voters->sim;
    struct sim_answer answer = {0};

    sim->on_step = on_step;
    sim_keeper_start(sim);
    sim_operator_ask(&sim->hosts[0], "PUT", "/v1/consensus/advisor", "{\"on\":true}", &answer);
    if (answer.code != 200 && !sim->has_failed)
        sim_fail(sim, "the advisor cannot be put on: %u %.200s", answer.code, answer.text);
    snprintf(voters->from, sizeof voters->from, "0");
    write_act(sim, voters);
    watch_act(sim, voters);
    run_for(voters, 20 * MN_SEC);
}

static void act_end_of_work(struct voters *voters)
{
    struct sim *sim = voters->sim;

    sim_cancel(sim, &voters->write);
    run_for(voters, PATIENCE);
    sim_cancel(sim, &voters->write);
    run_for(voters, 10 * MN_SEC); /* the last changes are heard of */
    voters->is_over = true;
    sim_cancel(sim, &voters->watch);
    run_for(voters, PATIENCE);
    if (!sim->has_failed) check_heard(voters);
    if (!sim->has_failed) sim_keeper_end(sim);
    run_for(voters, PATIENCE);
}

/* Something goes wrong meanwhile, but no disk is lost: paths are cut, a node is killed a moment. */
static void disturb(struct voters *voters)
{
    struct sim *sim = voters->sim;

    for (uint32_t i = 0; i < 6 && sim->options.has_faults && !sim->has_failed; i++) {
        uint32_t from = rng_below(&sim->rng_fault, sim->hosts_count);
        uint32_t to =
            (from + 1 + rng_below(&sim->rng_fault, sim->hosts_count - 1)) % sim->hosts_count;
        struct sim_host *host = &sim->hosts[from];
        if (rng_below(&sim->rng_fault, 3) == 0 && host->node != NULL) {
            sim_host_crash(host);
            sim_host_start_at(host, sim->time + rng_below(&sim->rng_fault, 3 * MN_SEC));
        } else {
            sim_net_cut(sim, from, to, true);
            if (rng_below(&sim->rng_fault, 2) == 0) sim_net_cut(sim, to, from, true);
        }
        run_for(voters, WORK_TIME);
        sim_net_heal(sim);
    }
    run_for(voters, 2 * WORK_TIME);
}

bool sim_run_voters(struct sim *sim)
{
    struct voters *voters = mn_alloc(sizeof *voters);
    struct sim_host *first, *second;

    sim->scenario = voters;
    voters->sim = sim;
    if (sim->hosts_count < 6 || sim->hosts_count == 7 || sim->hosts_count > 64) {
        sim_fail(sim, "this scenario takes 6 or 8 to 64 nodes: one more than vote");
        return false;
    }
    sim_boot(sim);
    act_begin(voters);
    disturb(voters);
    first = act_death(voters);
    act_return(voters, first, true);
    run_for(voters, WORK_TIME);
    second = act_death(voters);
    act_return(voters, second, false);
    disturb(voters);
    act_end_of_work(voters);
    act_majority(voters);
    check_one_group(voters);
    return !sim->has_failed;
}
