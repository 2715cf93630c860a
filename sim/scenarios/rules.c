/* What operators agree on about tools, in a world of faults: they approve tools, put them in
 * quarantine and forget both again, through whatever node, while clients call them through others;
 * then, in a whole world, tools are defined anew, and replicas come to differ.
 *
 *   never   a node that has refused a tool as held lets a call of it through before somebody asks
 *           to lift that, killed and started again or not
 *   in the end  a tool in quarantine, or defined otherwise than it was approved, is called and
 *           listed by no node, also when one has just been killed; all others are called; calls of
 *           one name never go to servers that define it differently */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define RULES_MAX 16u
#define PATIENCE (SIM_CALL_TIMEOUT + 10 * MN_SEC)
#define SPREAD_TIME \
    (12 * MN_SEC) /* nodes that hold no replica ask every 5 s, and a list takes its time */
#define RELIST_TIME (70 * MN_SEC) /* of servers that do not tell that they changed */
#define LATE_TIME (15 * MN_SEC)   /* after which an operation that was not answered is not done */
#define TRIES_MAX 20u

enum rule_state { RULE_UNKNOWN = 0, RULE_FREE, RULE_PINNED, RULE_HELD };

static const char *const verbs[] = {"", "unpin", "approve", "quarantine"}; /* which lead to it */

struct rule {
    struct rules *rules;
    struct sim_host *owner;
    char tool[2 * SIM_NAME_MAX + 16];
    enum rule_state state, wanted;
    bool is_asking;
    mn_time firm_since;            /* in quarantine, and nobody has asked to lift it; 0: not so */
    mn_time refused_at[RULES_MAX]; /* by each host, since it is firm; 0: not yet */
    struct sim_event next;
};

struct rules {
    struct sim *sim;
    struct rule rules[RULES_MAX];
    uint32_t count;
    struct sim_event call;
    uint64_t held_count, refused_count;
};

struct rules_call {
    struct rules *rules;
    struct rule *rule;
    struct sim_call *call;
    struct sim_host *host;
    mn_time refused_at; /* of the rule there, when it was made */
    char reason[32];
    bool is_over, is_kept; /* kept: whoever made it looks at it */
};

/* ---- calls ---- */

static void called(struct sim *sim, void *context, const struct sim_response *response)
{
    struct rules_call *made = context;
    struct rule *rule = made->rule;
    uint32_t at = made->host->index;

    sim_call_answered(sim, made->call, response);
    snprintf(made->reason, sizeof made->reason, "%.31s", made->call->reason);
    made->is_over = true;
    if (rule->firm_since > 0 && strcmp(made->reason, "quarantined") == 0 &&
        made->call->started >= rule->firm_since) {
        made->rules->refused_count++;
        rule->refused_at[at] = sim->time;
    }
    if (made->call->executions > 0 && made->refused_at > 0 && !sim->has_lost_disk &&
        rule->firm_since > 0 && made->refused_at >= rule->firm_since)
        sim_fail(sim, "%s refused %s at %.3f s, and let call %s of %.3f s through",
                 made->host->name, rule->tool, (double)made->refused_at / 1e6, made->call->key,
                 (double)made->call->started / 1e6);
    if (!made->is_kept) mn_free(made);
}

static struct rules_call *make_call(struct rules *rules, struct rule *rule, const char *tool,
                                    struct sim_host *host, bool is_kept)
{
    struct sim *sim = rules->sim;
    struct rules_call *made = mn_alloc(sizeof *made);
    struct mn_buf *body;

    made->rules = rules;
    made->rule = rule;
    made->host = host;
    made->is_kept = is_kept;
    made->refused_at = rule->refused_at[host->index];
    made->call = sim_call_new(sim, host, tool, false);
    body = sim_call_body(made->call, true, 0);
    sim_http_ask(host, &(struct sim_request){.method = "tools/call",
                                             .name = tool,
                                             .body = mn_buf_span(body),
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = called,
                                             .context = made});
    mn_buf_unref(body);
    return made;
}

static void call_some(struct sim *sim, void *context)
{
    struct rules *rules = context;
    struct rule *rule = &rules->rules[rng_below(&sim->rng_work, rules->count)];
    struct sim_host *host = sim_pick_ready_host(sim);

    if (host != NULL) make_call(rules, rule, rule->tool, host, false);
    sim_at(sim, &rules->call, sim->time + 20 * MN_MS + rng_below(&sim->rng_work, 150 * MN_MS),
           call_some, rules);
}

/* ---- operators ---- */

static void rule_act(struct sim *sim, void *context);

static void rule_told(struct rule *rule, uint32_t code)
{
    struct sim *sim = rule->rules->sim;

    rule->state =
        code == 200 || (code == 404 && rule->wanted == RULE_FREE) ? rule->wanted : RULE_UNKNOWN;
    if (rule->state != RULE_HELD) return;
    rule->rules->held_count++;
    rule->firm_since = sim->time;
    memset(rule->refused_at, 0, sizeof rule->refused_at);
}

static void rule_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct rule *rule = context;

    rule->is_asking = false;
    rule_told(rule, response->is_lost ? 0 : response->code);
    sim_at(sim, &rule->next,
           sim->time + (rule->state == RULE_UNKNOWN ? LATE_TIME : 0) + MN_SEC +
               rng_below_u64(&sim->rng_work, 10 * MN_SEC),
           rule_act, rule);
}

static void rule_path(const struct rule *rule, char path[80])
{
    snprintf(path, 80, "/v1/tools/%s/%s", rule->tool, verbs[rule->wanted]);
}

static void rule_want(struct rule *rule)
{
    rule->wanted = (enum rule_state)(RULE_FREE + rng_below(&rule->rules->sim->rng_work, RULE_HELD));
    if (rule->wanted != RULE_HELD) rule->firm_since = 0;
}

static void rule_act(struct sim *sim, void *context)
{
    struct rule *rule = context;
    struct sim_host *host = sim_pick_ready_host(sim);
    char path[80];

    if (host == NULL) {
        sim_at(sim, &rule->next, sim->time + MN_SEC, rule_act, rule);
        return;
    }
    rule_want(rule);
    rule_path(rule, path);
    rule->is_asking = true;
    sim_http_ask(host, &(struct sim_request){.verb = "POST",
                                             .path = path,
                                             .is_admin = true,
                                             .body = mn_span_str("{}"),
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = rule_answered,
                                             .context = rule});
}

/* The same, until it is done. */
static void rule_set(struct rule *rule, enum rule_state state)
{
    struct sim *sim = rule->rules->sim;
    struct sim_answer answer = {0};
    char path[80];

    rule->wanted = state;
    if (state != RULE_HELD) rule->firm_since = 0;
    rule_path(rule, path);
    for (uint32_t i = 0; i < TRIES_MAX && !sim->has_failed; i++) {
        sim_operator_ask(&sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)], "POST", path,
                         "{}", &answer);
        rule_told(rule, answer.code);
        if (rule->state == state) return;
        sim_run_until(sim, sim->time + MN_SEC);
    }
    if (!sim->has_failed)
        sim_fail(sim, "%s cannot be done in a whole world: %u %.200s", path, answer.code,
                 answer.text);
}

/* ---- what must be ---- */

struct listed {
    const char *tool;
    bool is_there;
};

static void looked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct listed *listed = context;
    char word[80];

    (void)sim;
    snprintf(word, sizeof word, "{\"name\":\"%s\"", listed->tool);
    listed->is_there =
        response->message.size > 0 &&
        memmem(response->message.data, response->message.size, word, strlen(word)) != NULL;
}

static bool is_listed(struct sim_host *host, const char *tool)
{
    struct listed listed = {.tool = tool};

    sim_http_ask(host, &(struct sim_request){.method = "tools/list",
                                             .body = mn_span_str(SIM_LIST_MODERN),
                                             .patience = MN_SEC,
                                             .is_steadfast = true,
                                             .on_end = looked,
                                             .context = &listed});
    return listed.is_there; /* nodes answer this at once */
}

/* Calls it, and waits for what comes of that. The caller frees it. */
static struct rules_call *try_call(struct rules *rules, struct rule *rule, const char *tool,
                                   struct sim_host *host)
{
    struct rules_call *made = make_call(rules, rule, tool, host, true);

    while (!rules->sim->has_failed && !made->is_over)
        sim_run_until(rules->sim, rules->sim->time + 10 * MN_MS);
    if (!made->is_over) made->is_kept = false; /* it is freed when the world ends */
    return made->is_over ? made : NULL;
}

static void check_rule(struct rules *rules, struct rule *rule, struct sim_host *host, bool is_held)
{
    struct sim *sim = rules->sim;
    bool is_shown = is_listed(host, rule->tool);
    struct rules_call *made = try_call(rules, rule, rule->tool, host);

    if (made == NULL) return;
    if (is_held && made->call->executions > 0)
        sim_fail(sim, "%s is held back, and was called through %s", rule->tool, host->name);
    if (is_held && strcmp(made->reason, rule->state == RULE_HELD ? "quarantined" : "changed") != 0)
        sim_fail(sim, "%s is held back, and %s refuses it as: %s", rule->tool, host->name,
                 made->reason);
    if (!is_held && made->call->state != SIM_CALL_ANSWERED)
        sim_fail(sim, "%s is free, and %s refuses it as: %s", rule->tool, host->name, made->reason);
    if (is_shown == is_held)
        sim_fail(sim, "%s is %s, and %s lists it%s", rule->tool, is_held ? "held back" : "free",
                 host->name, is_shown ? "" : " not");
    mn_free(made);
}

/* [is_changed]: those that were approved are defined otherwise now. */
static void check_all(struct rules *rules, bool is_changed)
{
    struct sim *sim = rules->sim;

    for (uint32_t i = 0; i < rules->count; i++)
        for (uint32_t k = 0; k < sim->hosts_count && !sim->has_failed; k++) {
            struct rule *rule = &rules->rules[i];
            check_rule(rules, rule, &sim->hosts[k],
                       rule->state == RULE_HELD || (is_changed && rule->state == RULE_PINNED));
        }
}

/* ---- the world ---- */

static void run_for(struct rules *rules, mn_time time)
{
    if (!rules->sim->has_failed) sim_run_until(rules->sim, rules->sim->time + time);
}

static void act_faults(struct rules *rules)
{
    struct sim *sim = rules->sim;

    for (uint32_t i = 0; i < rules->count; i++)
        rule_act(sim, &rules->rules[i]);
    call_some(sim, rules);
    if (sim->options.has_faults) sim_plan_start(sim);
    run_for(rules, sim->options.story->faults_for);
    for (uint32_t i = 0; i < rules->count; i++)
        sim_cancel(sim, &rules->rules[i].next);
    sim_plan_stop(sim);
    sim_settle(sim, sim->options.story->quiet_for);
    run_for(rules, PATIENCE); /* what was asked for is answered */
    for (uint32_t i = 0; i < rules->count; i++)
        sim_cancel(sim, &rules->rules[i].next);
    sim_cancel(sim, &rules->call);
    run_for(rules, PATIENCE);
}

/* So many disks may have been lost that the group is gone; an operator begins it anew. */
static void act_mend(struct rules *rules)
{
    struct sim *sim = rules->sim;

    if (sim->has_failed || !sim->has_lost_disk || !sim_group_recover(sim, &sim->hosts[0])) return;
    for (uint32_t i = 0; i < rules->count; i++) { /* what was agreed on may be lost */
        rules->rules[i].state = RULE_UNKNOWN;
        rules->rules[i].firm_since = 0;
    }
}

static void act_agree(struct rules *rules)
{
    for (uint32_t i = 0; i < rules->count && !rules->sim->has_failed; i++)
        rule_set(&rules->rules[i], (enum rule_state)(RULE_FREE + i % RULE_HELD));
    run_for(rules, SPREAD_TIME);
    check_all(rules, false);
    sim_kill_one(rules->sim);
    check_all(rules, false);
}

static void act_change(struct rules *rules)
{
    struct sim *sim = rules->sim;

    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++)
        sim_server_redefine(&sim->hosts[i], 0);
    run_for(rules, SPREAD_TIME);
    check_all(rules, true);
    sim_kill_one(rules->sim);
    check_all(rules, true);
    for (uint32_t i = 0; i < rules->count && !sim->has_failed; i++)
        if (rules->rules[i].state == RULE_PINNED) rule_set(&rules->rules[i], RULE_PINNED);
    run_for(rules, SPREAD_TIME);
    check_all(rules, false);
}

/* Where pools are, one is defined anew, and after that the others. */
static void act_replicas(struct rules *rules)
{
    struct sim *sim = rules->sim;

    for (uint32_t i = 1; i < sim->hosts_count && !sim->has_failed; i += 2) {
        sim_server_redefine(&sim->hosts[i], 2);
        run_for(rules, RELIST_TIME);
        for (uint32_t k = 0; k < sim->hosts_count; k++) {
            uint32_t edition = UINT32_MAX;
            for (uint32_t n = 0; n < 4 && !sim->has_failed; n++) {
                struct rules_call *made =
                    try_call(rules, &rules->rules[0], "pool__work", &sim->hosts[k]);
                if (made == NULL) return;
                if (made->call->executions > 0 && edition != UINT32_MAX &&
                    made->call->edition != edition)
                    sim_fail(sim,
                             "calls of pool__work through %s went to servers that define it "
                             "differently",
                             sim->hosts[k].name);
                if (made->call->executions > 0) edition = made->call->edition;
                mn_free(made);
            }
        }
    }
}

bool sim_run_rules(struct sim *sim)
{
    struct rules *rules = mn_alloc(sizeof *rules);

    sim->scenario = rules;
    rules->sim = sim;
    if (sim->hosts_count < 3 || sim->hosts_count > RULES_MAX) {
        sim_fail(sim, "this scenario takes 3 to %u nodes", RULES_MAX);
        return false;
    }
    rules->count = sim->hosts_count;
    for (uint32_t i = 0; i < rules->count; i++) {
        struct rule *rule = &rules->rules[i];
        rule->rules = rules;
        rule->owner = &sim->hosts[i];
        snprintf(rule->tool, sizeof rule->tool, "%s__work", rule->owner->servers[0].name);
    }
    sim_boot(sim);
    act_faults(rules);
    act_mend(rules);
    act_agree(rules);
    act_change(rules);
    act_replicas(rules);
    if (!sim->has_failed && rules->held_count > 3 && rules->refused_count == 0)
        sim_fail(sim, "no call was refused: nothing was tried");
    return !sim->has_failed;
}
