/* The life of a mesh: it grows from one issuer to three under faults, maybe loses its founder for
 * good, lets others in by token and by approval, renews, throws out a member, and all who came by a
 * token (trust_revoke.c), meets a clock that is far off, and outlives the end of all its grants.
 *
 *   never   see trust_checks.c
 *   after growing, any issuer admits, and each of them lists who waits
 *   renewing touches no link
 *   a clock that is forty days off is an alarm at its own node, which issues nothing; others go on
 *   with no issuer up, links end with the grants and not before; after forty days all renew by
 *     themselves as soon as one issuer is back */
#include <stdio.h>

#include "sim/scenarios/scenarios.h"
#include "sim/scenarios/trust.h"

#define TTL_MS AUTHORITY_TTL_MIN_MS /* an hour */
#define GROW_TIME (3 * MN_MINUTE)
#define FAR (40 * (int64_t)MN_DAY)
#define LATECOMERS 3 /* the last hosts: two by one token, one by approval */

/* ---- growth ---- */

static bool has_grown(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->is_in[i] && trust->version[i] != 2) return false;
    return trust_is_whole(trust);
}

/* Processes die, also while they write, and links end; never for long. */
static void disturb(struct trust *trust, mn_time time)
{
    struct sim *sim = trust->sim;
    mn_time end = sim->time + time;

    while (!sim->has_failed && sim->time < end) {
        struct sim_host *host = trust_host(trust, rng_below(&sim->rng_fault, sim->hosts_count));
        trust_run(trust, (300 + rng_below(&sim->rng_fault, 5000)) * MN_MS);
        if (!trust->is_in[host->index] || host->node == NULL) continue;
        switch (rng_below(&sim->rng_fault, 4)) {
        case 0: sim_host_crash_writing(host); break;
        case 1:
            sim_host_crash(host);
            sim_host_start_at(host, sim->time + rng_below(&sim->rng_fault, 3000) * MN_MS);
            break;
        case 2: sim_net_reset_all(sim); break;
        default: sim_net_reset_one(sim);
        }
    }
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        sim->hosts[i].dies_writing = false;
        if (trust->is_in[i]) sim_host_start(&sim->hosts[i]);
    }
}

static void act_growth(struct trust *trust)
{
    struct sim *sim = trust->sim;

    trust_say(trust, "growth");
    for (uint32_t i = 0; i + LATECOMERS < sim->hosts_count; i++) {
        trust->is_in[i] = true;
        sim_host_start(trust_host(trust, i));
        trust_run(trust, 500 * MN_MS);
    }
    if (sim->options.has_faults) disturb(trust, sim->options.story->faults_for);
    trust_until(trust, has_grown, GROW_TIME, "not all know the three issuers");
}

static void lose_founder(struct trust *trust)
{
    trust_say(trust, "the founder is lost");
    sim_host_crash(trust_host(trust, 0));
    sim_disk_wipe(trust_host(trust, 0));
    sim_log_wipe(trust_host(trust, 0));
    trust->is_in[0] = false;
    trust_run(trust, 20 * MN_SEC);
}

/* ---- letting in ---- */

static bool is_latecomer_in(const struct trust *trust)
{
    return trust_is_member(trust, trust->latecomer);
}

static void enter_by_token(struct trust *trust, uint32_t index)
{
    struct sim_host *host = trust_host(trust, index);

    snprintf(host->token, sizeof host->token, "%s", trust->token);
    trust->latecomer = index;
    host->seed = trust_draw(trust, rng_below(&trust->sim->rng_work, 2) == 0);
    sim_host_start(host);
    trust_until(trust, is_latecomer_in, MN_MINUTE, "who has a token is not let in");
    trust->is_in[index] = trust->came_by_token[index] = true;
    trust_until(trust, trust_is_whole, TRUST_SETTLE_TIME, "not all know who came by a token");
}

/* Of the answer that made it: its text, or its id. */
static void read_token(const struct sim_answer *answer, const char *member, char *ret, size_t size)
{
    const char *at = strstr(answer->text, member);

    if (at == NULL) return;
    at += strlen(member);
    snprintf(ret, size, "%.*s", (int)strcspn(at, "\""), at);
}

/* Made by one issuer, for two, shown at whatever member. */
static void act_token(struct trust *trust)
{
    uint32_t issuer = trust_draw(trust, true);
    struct sim_answer answer;

    trust_say(trust, "a token");
    sim_operator_ask(trust_host(trust, issuer), "POST", "/v1/tokens",
                     "{\"uses\":2,\"ttl_ms\":600000,\"role\":\"auto\"}", &answer);
    trust_expect(trust, &answer, 200, "making a token");
    read_token(&answer, "\"token\":\"", trust->token, sizeof trust->token);
    read_token(&answer, "\"id\":\"", trust->token_id, sizeof trust->token_id);
    for (uint32_t i = 0; i + 1 < LATECOMERS && !trust->sim->has_failed; i++)
        enter_by_token(trust, trust->sim->hosts_count - LATECOMERS + i);
}

static bool is_listed(struct trust *trust, uint32_t issuer)
{
    struct sim_answer answer;
    char id[MN_ID_TEXT_SIZE];

    sim_operator_ask(trust_host(trust, issuer), "GET", "/v1/pending", "", &answer);
    trust_expect(trust, &answer, 200, "looking who waits");
    return strstr(answer.text, sim_host_node_id(trust_host(trust, trust->latecomer), id)) != NULL;
}

/* Each issuer must have heard of it, whichever member it came to. */
static void wait_for_lists(struct trust *trust)
{
    mn_time limit = trust->sim->time + 2 * MN_MINUTE;

    for (uint32_t i = 0; i < trust->sim->hosts_count && !trust->sim->has_failed; i++) {
        if (!trust->is_in[i] || !trust_is_issuer(trust, i)) continue;
        while (!trust->sim->has_failed && !is_listed(trust, i)) {
            if (trust->sim->time > limit)
                sim_fail(trust->sim, "%s does not list who waits", trust_host(trust, i)->name);
            trust_run(trust, MN_SEC);
        }
    }
}

static void act_pending(struct trust *trust)
{
    struct sim_host *host = trust_host(trust, trust->sim->hosts_count - 1);
    struct sim_answer answer;
    char id[MN_ID_TEXT_SIZE], path[128];

    trust_say(trust, "one that waits");
    trust->latecomer = host->index;
    host->has_no_token = true;
    host->seed = trust_draw(trust, rng_below(&trust->sim->rng_work, 2) == 0);
    sim_host_start(host);
    wait_for_lists(trust);
    if (trust_is_member(trust, trust->latecomer))
        sim_fail(trust->sim, "%s is in, and nobody approved it", host->name);
    snprintf(path, sizeof path, "/v1/pending/%s/approve", sim_host_node_id(host, id));
    sim_operator_ask(trust_host(trust, trust_draw(trust, true)), "POST", path, "{}", &answer);
    trust_expect(trust, &answer, 200, "approving");
    trust_until(trust, is_latecomer_in, 2 * MN_MINUTE, "who was approved is not let in");
    trust->is_in[host->index] = true;
    trust_until(trust, trust_is_whole, TRUST_SETTLE_TIME, "not all know who was approved");
}

/* ---- renewing ---- */

static void act_renewal(struct trust *trust)
{
    struct sim *sim = trust->sim;
    mn_time begin;

    trust_say(trust, "renewal");
    trust_run(trust, 10 * MN_SEC); /* two links to one newcomer become one */
    begin = sim->time;
    trust_run(trust, 42 * MN_MINUTE); /* half of the hour, a tenth of it, and the next try */
    for (uint32_t a = 0; a < sim->hosts_count && !sim->has_failed; a++) {
        if (!trust->is_in[a]) continue;
        if (trust_grant_end_ms(trust, a) < trust_wall_ms(trust, a) + TTL_MS / 4)
            sim_fail(sim, "%s did not renew", trust_host(trust, a)->name);
        for (uint32_t b = 0; b < sim->hosts_count; b++) {
            const struct peers_link *link =
                peers_find(core_peers(trust_core(trust, a)), &trust->ids[b]);
            if (a == b || !trust->is_in[b]) continue;
            if (link == NULL || link->since > begin)
                sim_fail(sim, "renewing cost the link from %s to %s", trust_host(trust, a)->name,
                         trust_host(trust, b)->name);
        }
    }
}

/* ---- clocks ---- */

static bool is_whole_without(const struct trust *trust)
{
    for (uint32_t a = 0; a < trust->sim->hosts_count; a++)
        for (uint32_t b = 0; b < trust->sim->hosts_count; b++)
            if (trust->is_in[a] && trust->is_in[b] && a != trust->confused &&
                b != trust->confused && !trust_knows(trust, a, b))
                return false;
    return true;
}

static bool has_alarm(const struct trust *trust)
{
    return admission_clock_off_ms(core_admission(trust_core(trust, trust->confused))) != 0;
}

static void act_clock(struct trust *trust)
{
    struct sim *sim = trust->sim;
    bool is_issuer = rng_below(&sim->rng_fault, 2) == 0;
    struct sim_answer answer;
    struct sim_host *host;
    int64_t offset;

    trust_say(trust, is_issuer ? "the clock of an issuer" : "the clock of a member");
    trust->confused = trust_draw(trust, is_issuer);
    host = trust_host(trust, trust->confused);
    offset = host->wall_offset;
    sim_host_set_clock(host, offset + (rng_below(&sim->rng_fault, 2) == 0 ? FAR : -FAR));
    trust_until(trust, has_alarm, 2 * MN_MINUTE, "no alarm of a clock that is far off");
    sim_operator_ask(host, "POST", "/v1/tokens", "{\"uses\":1,\"ttl_ms\":600000}", &answer);
    if (answer.code == 200) sim_fail(sim, "%s makes tokens by a wrong clock", host->name);
    trust_run(trust, MN_MINUTE);
    if (!is_whole_without(trust)) sim_fail(sim, "the clock of %s made others part", host->name);
    sim_host_set_clock(host, offset);
    trust_until(trust, trust_is_whole, 5 * MN_MINUTE, "a clock was set right, and its node is out");
}

/* ---- the end of all grants ---- */

/* The first and the last end of a grant among those who run. */
static void ends_of(const struct trust *trust, uint64_t *first, uint64_t *last)
{
    *first = UINT64_MAX;
    *last = 0;
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++) {
        uint64_t end_ms = trust->is_in[i] ? trust_grant_end_ms(trust, i) : 0;
        if (end_ms == 0) continue;
        if (end_ms < *first) *first = end_ms;
        if (end_ms > *last) *last = end_ms;
    }
}

static bool any_link(const struct trust *trust, bool *is_all)
{
    bool any = false;

    *is_all = true;
    for (uint32_t a = 0; a < trust->sim->hosts_count; a++)
        for (uint32_t b = 0; b < a; b++) {
            if (!trust_is_member(trust, a) || !trust_is_member(trust, b)) continue;
            if (trust_is_linked(trust, a, b))
                any = true;
            else
                *is_all = false;
        }
    return any;
}

static void run_to(struct trust *trust, uint64_t wall_ms)
{
    uint64_t now_ms = (uint64_t)sim_now(trust->sim).wall / MN_MS;

    if (wall_ms > now_ms) trust_run(trust, (wall_ms - now_ms) * MN_MS);
}

static bool is_renewed(const struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (trust->is_in[i] && trust_grant_end_ms(trust, i) < trust_wall_ms(trust, i)) return false;
    return trust_is_whole(trust);
}

static void act_end(struct trust *trust)
{
    struct sim *sim = trust->sim;
    bool was_in[TRUST_HOSTS_MAX], is_all;
    uint64_t first, last;

    trust_say(trust, "all issuers are down, and the grants end");
    memcpy(was_in, trust->is_in, sizeof was_in);
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        if (!trust->is_in[i] || !trust_is_issuer(trust, i)) continue;
        trust->is_in[i] = false;
        sim_host_crash(trust_host(trust, i));
    }
    ends_of(trust, &first, &last);
    run_to(trust, first - 1000);
    (void)any_link(trust, &is_all);
    if (!is_all) sim_fail(sim, "a link was cut before its grant ended");
    run_to(trust, last + GRANT_TOLERANCE_MS + 62000);
    if (any_link(trust, &is_all)) sim_fail(sim, "a link outlives the grants of its ends");

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (trust->is_in[i]) sim_host_crash(trust_host(trust, i));
    sim_run_until(sim, sim->time + (mn_time)FAR); /* all is dark: nothing happens */
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (trust->is_in[i]) sim_host_start(trust_host(trust, i));
    trust_run(trust, MN_MINUTE);
    if (any_link(trust, &is_all)) sim_fail(sim, "members link by grants that ended long ago");
    trust_say(trust, "issuers are back after forty days");
    memcpy(trust->is_in, was_in, sizeof was_in);
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        if (trust->is_in[i] && trust_host(trust, i)->node == NULL)
            sim_host_start(trust_host(trust, i));
    trust_until(trust, is_renewed, 5 * MN_MINUTE, "not all have renewed by themselves");
}

/* ---- the whole ---- */

bool sim_run_trust(struct sim *sim)
{
    struct trust trust;

    if (sim->hosts_count < 9 || sim->hosts_count > TRUST_HOSTS_MAX) {
        sim_fail(sim, "this scenario takes 9 to %d nodes", TRUST_HOSTS_MAX);
        return false;
    }
    trust_init(&trust, sim);
    sim->grant_ttl_ms = TTL_MS;
    act_growth(&trust);
    if (!sim->has_failed && rng_below(&sim->rng_fault, 3) > 0) lose_founder(&trust);
    if (!sim->has_failed) act_token(&trust);
    if (!sim->has_failed) act_pending(&trust);
    if (!sim->has_failed) act_renewal(&trust);
    if (!sim->has_failed) trust_revoke_node(&trust);
    if (!sim->has_failed) trust_revoke_token(&trust);
    if (!sim->has_failed) act_clock(&trust);
    if (!sim->has_failed) act_end(&trust);
    return !sim->has_failed;
}
