/* Throwing out: a member by its id, and all who came by a token, across a cut or behind their last
 * friend, while calls to them are in flight.
 *
 *   gone means no link, no row, no offer, no route, and no call that goes on
 *   within two gossip periods wherever the news can go
 *   after the cut has healed: within two of them of the first link to one who knows
 *   who is out never has the new key, and stays out with its disk and without */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/scenarios/trust.h"

#define NEWS_TIME (600 * MN_MS)    /* two gossip periods, each with a hop */
#define WORK_TIME (10 * MN_MINUTE) /* of a call that nobody waits for to end */
#define STEP (100 * MN_MS)

/* ---- calls in flight ---- */

static void on_end(struct sim *sim, void *context, const struct sim_response *response)
{
    sim_call_answered(sim, context, response);
}

static bool is_executing(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->calls[i] != NULL &&
            (trust->calls[i]->state != SIM_CALL_OPEN || trust->calls[i]->executions == 0))
            return false;
    return true;
}

/* From one host to the child of a victim, which works for longer than anybody waits. */
static void call_victim(struct trust *trust, uint32_t from, uint32_t victim)
{
    struct sim_server *server = &trust_host(trust, victim)->servers[0];
    char tool[64];
    struct mn_buf *body;

    snprintf(tool, sizeof tool, "%s__work", server->name);
    server->work = WORK_TIME;
    trust->calls[from] = sim_call_new(trust->sim, trust_host(trust, from), tool, false);
    trust->called[from] = victim;
    body = sim_call_body(trust->calls[from], true, 0);
    sim_http_ask(trust_host(trust, from), &(struct sim_request){.method = "tools/call",
                                                                .name = tool,
                                                                .body = mn_buf_span(body),
                                                                .patience = MN_MINUTE,
                                                                .is_steadfast = true,
                                                                .on_end = on_end,
                                                                .context = trust->calls[from]});
    mn_buf_unref(body);
}

static bool is_near(const struct trust *trust, uint32_t from, uint32_t to)
{
    const struct sim *sim = trust->sim;

    return trust_knows(trust, from, to) && !sim->net.paths[from * sim->hosts_count + to].is_cut;
}

/* Of those that do, or do not, hear of it at once, whoever reaches a victim calls it. */
static void call_victims(struct trust *trust, bool is_hearing)
{
    uint32_t count = 0;

    for (uint32_t from = 0; from < trust->sim->hosts_count; from++) {
        trust->calls[from] = NULL;
        if (!trust->is_in[from] || trust->hears[from] != is_hearing) continue;
        for (uint32_t to = 0; to < trust->sim->hosts_count; to++)
            if (trust->is_victim[to] && trust->calls[from] == NULL && is_near(trust, from, to)) {
                call_victim(trust, from, to);
                count++;
            }
    }
    if (count > 0)
        trust_until(trust, is_executing, 10 * MN_SEC,
                    "calls to who is about to be revoked do not run");
}

static void check_calls(struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->calls[i] != NULL && trust->calls[i]->state == SIM_CALL_ANSWERED)
            sim_fail(trust->sim, "a call from %s to a revoked node was answered",
                     trust_host(trust, i)->name);
}

/* ---- cuts ---- */

static void cut(struct trust *trust, uint32_t a, uint32_t b)
{
    sim_net_cut(trust->sim, a, b, true);
    sim_net_cut(trust->sim, b, a, true);
}

/* Two sides, or the victims with one friend only; everybody but them on the issuer's side hears the
 * news. */
static void cut_off(struct trust *trust)
{
    struct sim *sim = trust->sim;
    bool is_relayed = rng_below(&sim->rng_fault, 2) == 0;
    uint64_t sides = rng_u64(&sim->rng_fault);
    uint32_t friend = trust->issuer;

    if (is_relayed && rng_below(&sim->rng_fault, 4) > 0) friend = trust_draw(trust, false);
    if (trust->is_victim[friend]) friend = trust->issuer;
    trust_say(trust, is_relayed ? "revoking who has one friend" : "revoking across a cut");
    for (uint32_t a = 0; a < sim->hosts_count; a++) {
        bool is_there = ((sides >> a) & 1) == ((sides >> trust->issuer) & 1);
        trust->hears[a] = trust->is_in[a] && !trust->is_victim[a] && (is_relayed || is_there);
        for (uint32_t b = 0; b < a; b++) {
            bool is_victim = trust->is_victim[a] || trust->is_victim[b];
            if (is_relayed ? is_victim && a != friend && b != friend
                           : ((sides >> a) & 1) != ((sides >> b) & 1))
                cut(trust, a, b);
        }
    }
}

/* ---- what must come true ---- */

static bool is_rid_of_all(const struct trust *trust, uint32_t at)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->is_victim[i] && !trust_is_rid_of(trust, at, i)) return false;
    return true;
}

static bool is_gone_where_heard(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->hears[i] && !is_rid_of_all(trust, i)) return false;
    return true;
}

static bool is_gone(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->is_in[i] && !is_rid_of_all(trust, i)) return false;
    return true;
}

static bool has_new_key(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++) {
        uint32_t key = trust->is_in[i] ? trust_sealing(trust, i) : 1;
        if (key == 0 || key == trust->key_before || trust_has_key(trust, i, trust->key_before))
            return false;
    }
    return true;
}

static void check_victims(struct trust *trust)
{
    uint32_t key = trust_sealing(trust, trust->issuer);

    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->is_victim[i] && trust_is_member(trust, i) && trust_has_key(trust, i, key))
            sim_fail(trust->sim, "%s was revoked, and has the new key", trust_host(trust, i)->name);
}

static bool is_told(const struct trust *trust, uint32_t at)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (i != at && trust->is_in[i] && is_rid_of_all(trust, i) &&
            trust_is_linked(trust, at, i) && trust_is_linked(trust, i, at))
            return true;
    return false;
}

/* The cut has healed: from link to link the news takes no longer than it does anyway. */
static void follow_news(struct trust *trust)
{
    struct sim *sim = trust->sim;
    mn_time begin = sim->time;

    memset(trust->told_at, 0, sizeof trust->told_at);
    while (!sim->has_failed && !is_gone(trust)) {
        for (uint32_t i = 0; i < sim->hosts_count; i++) {
            if (!trust->is_in[i] || is_rid_of_all(trust, i)) continue;
            if (trust->told_at[i] == 0 && is_told(trust, i)) trust->told_at[i] = sim->time;
            if (trust->told_at[i] != 0 && sim->time > trust->told_at[i] + NEWS_TIME)
                sim_fail(sim, "%s has a link to one that knows, and is not rid of who was revoked",
                         trust_host(trust, i)->name);
        }
        if (sim->time > begin + MN_MINUTE)
            sim_fail(sim, "who was revoked is known a minute after the cut healed");
        trust_run(trust, STEP);
    }
}

/* It knocks with its old disk, or with none; nobody lets it in, and it is told. */
static void knock_again(struct trust *trust, uint32_t index)
{
    struct sim_host *victim = trust_host(trust, index);

    sim_host_crash(victim);
    if (rng_below(&trust->sim->rng_fault, 2) == 0) {
        sim_disk_wipe(victim);
        sim_log_wipe(victim);
        victim->seed = trust->issuer; /* it knows nobody else any more */
    }
    sim_host_start(victim);
    trust_run(trust, MN_MINUTE);
    if (!is_gone(trust)) sim_fail(trust->sim, "%s, revoked, came back", victim->name);
    if (!victim->is_refused) sim_fail(trust->sim, "%s was never told that it is out", victim->name);
    check_victims(trust);
    sim_cancel(trust->sim, &victim->boot);
    sim_host_crash(victim);
}

/* ---- the act ---- */

static void revoke(struct trust *trust, const char *verb, const char *path, const char *body)
{
    struct sim *sim = trust->sim;
    struct sim_answer answer;

    trust->issuer = trust_draw(trust, true);
    trust->key_before = trust_sealing(trust, trust->issuer);
    cut_off(trust);
    trust_run(trust, MN_SEC);
    call_victims(trust, true);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        if (!trust->is_victim[i]) continue;
        trust_host(trust, i)->may_be_refused = true;
        trust_host(trust, i)->down_for = 5 * MN_SEC;
        trust->is_in[i] = false;
    }
    if (sim->has_failed) return;
    sim_operator_ask(trust_host(trust, trust->issuer), verb, path, body, &answer);
    trust_expect(trust, &answer, 200, "revoking");
    trust_until(trust, is_gone_where_heard, NEWS_TIME, "where the news can go, it has not gone");
    check_calls(trust);
    trust_run(trust, rng_below(&sim->rng_fault, 40) * MN_SEC);
    check_victims(trust);
    call_victims(trust, false);
    sim_net_heal(sim);
    follow_news(trust);
    check_calls(trust);
    memset(trust->calls, 0, sizeof trust->calls);
    trust_until(trust, has_new_key, 2 * MN_MINUTE, "not all have the new key alone");
    check_victims(trust);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++)
        if (trust->is_victim[i]) knock_again(trust, i);
    trust_until(trust, trust_is_whole, TRUST_SETTLE_TIME,
                "not all know each other after a revocation");
}

void trust_revoke_node(struct trust *trust)
{
    uint32_t victim = trust_draw(trust, false);
    char id[MN_ID_TEXT_SIZE], path[128];

    memset(trust->is_victim, 0, sizeof trust->is_victim);
    trust->is_victim[victim] = true;
    snprintf(path, sizeof path, "/v1/nodes/%s/revoke",
             sim_host_node_id(trust_host(trust, victim), id));
    revoke(trust, "POST", path, "{\"reason\":\"sim\"}");
}

void trust_revoke_token(struct trust *trust)
{
    char path[128];

    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        trust->is_victim[i] = trust->is_in[i] && trust->came_by_token[i];
    snprintf(path, sizeof path, "/v1/tokens/%s?nodes=true", trust->token_id);
    revoke(trust, "DELETE", path, "");
}
