/* What is true of a mesh at every moment of its life, whatever the operators do to it:
 *
 *   of each version of the authority there is one document, and nobody goes back to an older one
 *   nobody sees a fork, for nobody here signs twice
 *   a member's grant is good, or nobody has a member's link to it */
#include <stdio.h>

#include "sim/scenarios/trust.h"

#define STEP (100 * MN_MS)
#define END_SLACK_MS (GRANT_TOLERANCE_MS + 61000) /* links are looked at once a minute */

bool trust_is_member(const struct trust *trust, uint32_t host)
{
    return trust->sim->hosts[host].node != NULL &&
           core_self(trust_core(trust, host)).state == CORE_MEMBER;
}

bool trust_is_issuer(const struct trust *trust, uint32_t host)
{
    return trust_is_member(trust, host) && core_self(trust_core(trust, host)).is_issuer;
}

void trust_init(struct trust *trust, struct sim *sim)
{
    *trust = (struct trust){.sim = sim};
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        struct identity identity;
        identity_init(&identity, sim->hosts[i].identity_seed);
        trust->ids[i] = identity.node_id;
        identity_done(&identity);
    }
}

void trust_say(const struct trust *trust, const char *what)
{
    if (trust->sim->options.is_verbose)
        printf("%9.3f ---- %s\n", (double)trust->sim->time / 1e6, what);
}

void trust_expect(struct trust *trust, const struct sim_answer *answer, uint32_t code,
                  const char *what)
{
    if (answer->code != code && !trust->sim->has_failed)
        sim_fail(trust->sim, "%s: %u instead of %u, %.200s", what, answer->code, code,
                 answer->text);
}

bool trust_is_linked(const struct trust *trust, uint32_t at, uint32_t of)
{
    return trust->sim->hosts[at].node != NULL &&
           peers_find(core_peers(trust_core(trust, at)), &trust->ids[of]) != NULL;
}

static const struct member *row(const struct trust *trust, uint32_t at, uint32_t of)
{
    return trust_is_member(trust, at)
               ? membership_find(core_membership(trust_core(trust, at)), &trust->ids[of])
               : NULL;
}

bool trust_knows(const struct trust *trust, uint32_t at, uint32_t of)
{
    const struct member *member = row(trust, at, of);

    return member != NULL && member->status == MEMBER_ALIVE &&
           (at == of || trust_is_linked(trust, at, of));
}

static bool has_route(const struct trust *trust, uint32_t at, uint32_t of)
{
    const struct services *services = core_services(trust_core(trust, at));
    const struct services_entry *entry = NULL;

    while ((entry = services_next(services, entry)) != NULL) {
        struct services_view view = services_find(services, services_entry_get(entry).name);
        for (uint32_t i = 0; i < view.count; i++)
            if (mn_id_equal(&view.providers[i].node, &trust->ids[of])) return true;
    }
    return false;
}

bool trust_is_rid_of(const struct trust *trust, uint32_t at, uint32_t of)
{
    const struct sim_call *call = trust->calls[at];
    uint32_t offers = 0;

    if (call != NULL && trust->called[at] == of && call->state == SIM_CALL_OPEN) return false;
    if (trust->sim->hosts[at].node == NULL) return true;
    (void)catalog_offers(core_catalog(trust_core(trust, at)), &trust->ids[of], &offers);
    return row(trust, at, of) == NULL && !trust_is_linked(trust, at, of) && offers == 0 &&
           !has_route(trust, at, of);
}

bool trust_is_whole(const struct trust *trust)
{
    for (uint32_t a = 0; a < trust->sim->hosts_count; a++)
        for (uint32_t b = 0; b < trust->sim->hosts_count; b++)
            if (trust->is_in[a] && trust->is_in[b] && !trust_knows(trust, a, b)) return false;
    return true;
}

uint64_t trust_wall_ms(const struct trust *trust, uint32_t host)
{
    const struct sim *sim = trust->sim;

    return (uint64_t)((int64_t)sim_now(sim).wall + sim->hosts[host].wall_offset) / MN_MS;
}

uint64_t trust_grant_end_ms(const struct trust *trust, uint32_t host)
{
    const struct grant *grant = trust->sim->hosts[host].node == NULL
                                    ? NULL
                                    : admission_grant(core_admission(trust_core(trust, host)));

    return grant == NULL ? 0 : grant->not_after_ms;
}

static const struct keyring *ring(const struct trust *trust, uint32_t host)
{
    return trust_is_member(trust, host) ? trustset_keyring(core_trustset(trust_core(trust, host)))
                                        : NULL;
}

uint32_t trust_sealing(const struct trust *trust, uint32_t host)
{
    const struct keyring *keys = ring(trust, host);
    const struct keyring_key *key =
        keys == NULL ? NULL : keyring_sealing(keys, trust_wall_ms(trust, host));

    return key == NULL ? 0 : key->announced.key_id;
}

bool trust_has_key(const struct trust *trust, uint32_t host, uint32_t key_id)
{
    const struct keyring *keys = ring(trust, host);
    const struct keyring_key *key = keys == NULL ? NULL : keyring_find(keys, key_id);

    return key != NULL && key->has_secret && !keyring_is_closed(keys, key);
}

uint32_t trust_draw(struct trust *trust, bool is_issuer)
{
    uint32_t chosen = UINT32_MAX, count = 0;

    for (uint32_t i = 0; i < trust->sim->hosts_count; i++) {
        if (!trust->is_in[i] || !trust_is_member(trust, i)) continue;
        if (trust_is_issuer(trust, i) != is_issuer) continue;
        if (rng_below(&trust->sim->rng_work, ++count) == 0) chosen = i;
    }
    if (chosen == UINT32_MAX)
        sim_fail(trust->sim, "there is no member left that is %s issuer", is_issuer ? "an" : "no");
    return chosen == UINT32_MAX ? 0 : chosen;
}

/* ---- always ---- */

static void check_authority(struct trust *trust, uint32_t host)
{
    const struct admission *admission = core_admission(trust_core(trust, host));
    const struct authority *head = admission_authority(admission);
    const char *name = trust->sim->hosts[host].name;

    if (head == NULL) return;
    if (head->version < trust->version[host])
        sim_fail(trust->sim, "%s went back to version %llu of the authority", name,
                 (unsigned long long)head->version);
    trust->version[host] = head->version;
    if (head->version >= TRUST_VERSIONS_MAX) {
        sim_fail(trust->sim, "%s has version %llu of the authority", name,
                 (unsigned long long)head->version);
        return;
    }
    if (!trust->is_seen[head->version])
        memcpy(trust->hashes[head->version], head->hash, AUTHORITY_HASH_SIZE);
    trust->is_seen[head->version] = true;
    if (memcmp(trust->hashes[head->version], head->hash, AUTHORITY_HASH_SIZE) != 0)
        sim_fail(trust->sim, "%s has another version %llu of the authority", name,
                 (unsigned long long)head->version);
    if (admission_counts(admission).forks > 0)
        sim_fail(trust->sim, "%s saw a fork of the authority", name);
}

/* By the right time: a node whose clock is off takes nothing for ended, as it knows that. */
static void check_grant(struct trust *trust, uint32_t host)
{
    uint64_t end_ms = trust_grant_end_ms(trust, host);

    if (end_ms == 0 || mn_wall_ms(sim_now(trust->sim)) < end_ms + END_SLACK_MS) return;
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++)
        if (i != host && trust_is_linked(trust, i, host) && trust_is_member(trust, host))
            sim_fail(trust->sim, "the grant of %s has ended, and %s still has a link to it",
                     trust->sim->hosts[host].name, trust->sim->hosts[i].name);
}

static void check_always(struct trust *trust)
{
    for (uint32_t i = 0; i < trust->sim->hosts_count; i++) {
        if (trust->sim->hosts[i].node == NULL) continue;
        check_authority(trust, i);
        check_grant(trust, i);
    }
}

void trust_run(struct trust *trust, mn_time time)
{
    struct sim *sim = trust->sim;
    mn_time end = sim->time + time;

    while (!sim->has_failed && sim->time < end) {
        sim_run_until(sim, mn_time_min(end, sim->time + STEP));
        check_always(trust);
    }
}

void trust_until(struct trust *trust, bool (*done)(const struct trust *trust), mn_time limit,
                 const char *what)
{
    struct sim *sim = trust->sim;
    mn_time begin = sim->time;

    while (!sim->has_failed && !done(trust) && sim->time - begin < limit)
        trust_run(trust, STEP);
    if (!sim->has_failed && !done(trust))
        sim_fail(sim, "%s, not even after %llu s", what, (unsigned long long)(limit / MN_SEC));
    if (sim->options.is_verbose)
        printf("%9.3f until not \"%s\": %.1f s\n", (double)sim->time / 1e6, what,
               (double)(sim->time - begin) / 1e6);
}
