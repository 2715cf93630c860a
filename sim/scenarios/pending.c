/* Nodes without a token in a world of faults: the first two are members, the others reach either of
 * them and wait. An operator looks at the issuer's list now and then, and lets them in, all but the
 * last one, which is denied.
 *
 *   never   somebody is a member whom nobody approved, or is listed again after it was denied
 *   in the end, when nothing goes wrong any more, all who were approved are members, and who was
 *   denied is not */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define LOOK_TIME (2 * MN_SEC)
#define PATIENCE (20 * MN_SEC)
#define END_TIME                                                                     \
    (3 * MN_MINUTE) /* guests back off up to 30 s, a sponsor tells again each minute \
                     */
#define ID_DIGITS 36

enum verdict { UNDECIDED = 0, DENIED, APPROVED };

struct scenario {
    struct sim *sim;
    struct sim_event look;
    enum verdict asked[64]; /* of each host: what the operator said, answered or not */
    mn_time answered[64];   /* when it was told that this is done; 0: not yet */
    bool was_listed[64];
    bool is_over;
};

struct question {
    struct scenario *scenario;
    uint32_t host;
    mn_time asked;
};

static bool is_guest(const struct sim_host *host)
{
    return host->index >= 2;
}

static bool is_to_be_denied(const struct sim_host *host)
{
    return host->index + 1 == host->sim->hosts_count && host->sim->hosts_count > 3;
}

/* ---- the operator ---- */

static void ask_issuer(struct scenario *scenario, const char *verb, const char *path,
                       sim_http_end *on_end, void *context)
{
    struct sim_request request = {.verb = verb,
                                  .path = path,
                                  .is_admin = true,
                                  .body = mn_span_str("{}"),
                                  .patience = PATIENCE,
                                  .is_steadfast = true,
                                  .on_end = on_end,
                                  .context = context};

    if (scenario->sim->hosts[0].node == NULL) return;
    sim_http_ask(&scenario->sim->hosts[0], &request);
}

static void decided(struct sim *sim, void *context, const struct sim_response *response)
{
    struct question *question = context;

    if (!response->is_lost && response->code == 200)
        question->scenario->answered[question->host] = sim->time;
    mn_free(question);
}

static void decide(struct scenario *scenario, const struct sim_host *host)
{
    struct question *question = mn_alloc(sizeof *question);
    char id[MN_ID_TEXT_SIZE], path[128];
    bool is_denial = is_to_be_denied(host);

    *question = (struct question){scenario, host->index, scenario->sim->time};
    scenario->asked[host->index] = is_denial ? DENIED : APPROVED;
    snprintf(path, sizeof path, is_denial ? "/v1/pending/%s" : "/v1/pending/%s/approve",
             sim_host_node_id(host, id));
    if (scenario->sim->hosts[0].node == NULL) {
        mn_free(question);
        return;
    }
    ask_issuer(scenario, is_denial ? "DELETE" : "POST", path, decided, question);
}

/* Decides about a third of those who are listed; about all of them once nothing goes wrong. */
static void looked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct question *question = context;
    struct scenario *scenario = question->scenario;
    mn_time asked = question->asked;
    char id[MN_ID_TEXT_SIZE];

    mn_free(question);
    if (response->is_lost || response->code != 200) return;
    for (uint32_t i = 2; i < sim->hosts_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        sim_host_node_id(host, id);
        if (memmem(response->message.data, response->message.size, id, ID_DIGITS) == NULL) continue;
        scenario->was_listed[i] = true;
        if (scenario->asked[i] == DENIED && scenario->answered[i] != 0 &&
            scenario->answered[i] < asked)
            sim_fail(sim, "%s was denied, and is listed again", host->name);
        if (!scenario->is_over && rng_below(&sim->rng_work, 3) != 0) continue;
        decide(scenario, host);
    }
}

static void look(struct sim *sim, void *context)
{
    struct scenario *scenario = context;

    if (sim->hosts[0].node != NULL) {
        struct question *question = mn_alloc(sizeof *question);
        *question = (struct question){scenario, 0, sim->time};
        ask_issuer(scenario, "GET", "/v1/pending", looked, question);
    }
    sim_at(sim, &scenario->look, sim->time + LOOK_TIME, look, scenario);
}

/* ---- what must hold ---- */

static bool is_member(const struct sim_host *host)
{
    return host->node != NULL && core_self(node_core(host->node)).state == CORE_MEMBER;
}

static void check_nobody_sneaks_in(const struct scenario *scenario)
{
    struct sim *sim = scenario->sim;

    for (uint32_t i = 2; i < sim->hosts_count; i++) {
        const struct sim_host *host = &sim->hosts[i];
        if (host->is_refused && scenario->asked[i] != DENIED)
            sim_fail(sim, "%s was sent away, and nobody denied it", host->name);
        if (is_member(host) && scenario->asked[i] != APPROVED)
            sim_fail(sim, "%s is a member, and nobody approved it", host->name);
    }
}

static void check_end(const struct scenario *scenario)
{
    struct sim *sim = scenario->sim;

    for (uint32_t i = 2; i < sim->hosts_count; i++) {
        const struct sim_host *host = &sim->hosts[i];
        if (!scenario->was_listed[i])
            sim_fail(sim, "%s waits, and was never listed", host->name);
        else if (is_to_be_denied(host) && scenario->answered[i] != 0 && !host->is_refused)
            sim_fail(sim, "%s was denied, and still waits", host->name);
        else if (!is_to_be_denied(host) && !is_member(host))
            sim_fail(sim, "%s was approved (%s), and is no member", host->name,
                     scenario->answered[i] != 0 ? "answered" : "unanswered");
    }
}

static bool is_done(const struct scenario *scenario)
{
    const struct sim *sim = scenario->sim;

    for (uint32_t i = 2; i < sim->hosts_count; i++)
        if (is_to_be_denied(&sim->hosts[i]) ? !sim->hosts[i].is_refused
                                            : !is_member(&sim->hosts[i]))
            return false;
    return true;
}

static void run_for(struct scenario *scenario, mn_time time)
{
    struct sim *sim = scenario->sim;
    mn_time end = sim->time + time;

    while (!sim->has_failed && sim->time < end && !(scenario->is_over && is_done(scenario))) {
        sim_run_until(sim, sim->time + 100 * MN_MS);
        check_nobody_sneaks_in(scenario);
    }
}

/* Links end and processes die, of members and of those who wait; what is on disks stays. */
static void disturb(struct scenario *scenario, mn_time time)
{
    struct sim *sim = scenario->sim;
    mn_time end = sim->time + time;

    while (!sim->has_failed && sim->time < end) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];
        run_for(scenario, (500 + rng_below(&sim->rng_fault, 4000)) * MN_MS);
        switch (rng_below(&sim->rng_fault, 3)) {
        case 0:
            if (host->node == NULL || host->is_refused) break;
            sim_host_crash(host);
            sim_host_start_at(host, sim->time + rng_below(&sim->rng_fault, 3000) * MN_MS);
            break;
        case 1: sim_net_reset_all(sim); break;
        default: sim_net_reset_one(sim);
        }
    }
}

bool sim_run_pending(struct sim *sim)
{
    struct scenario scenario = {.sim = sim};

    if (sim->hosts_count < 3 || sim->hosts_count > 64) {
        sim_fail(sim, "this scenario takes 3 to 64 nodes");
        return false;
    }
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim->hosts[i].has_no_token = is_guest(&sim->hosts[i]);
        sim->hosts[i].may_be_refused = is_to_be_denied(&sim->hosts[i]);
        sim_host_start(&sim->hosts[i]);
        sim_run_until(sim, sim->time + 500 * MN_MS);
    }
    sim_at(sim, &scenario.look, sim->time + LOOK_TIME, look, &scenario);
    disturb(&scenario, sim->options.has_faults ? sim->options.story->faults_for : 0);
    scenario.is_over = true;
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (sim->hosts[i].node == NULL && !is_to_be_denied(&sim->hosts[i]))
            sim_host_start_at(&sim->hosts[i], sim->time + 10 * MN_MS);
    run_for(&scenario, END_TIME);
    if (!sim->has_failed) check_end(&scenario);
    sim_cancel(sim, &scenario.look);
    sim_run_until(sim, sim->time + 2 * PATIENCE); /* nobody waits for an answer */
    return !sim->has_failed;
}
