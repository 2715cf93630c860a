/* trust.h: what the files of the scenario `trust` share: trust.c (its acts), trust_revoke.c (those
 * that throw out), trust_checks.c (what must hold all the time, and what a host knows of another).
 */
#ifndef SIM_TRUST_H
#define SIM_TRUST_H

#include "sim/mesh/http.h"

#define TRUST_HOSTS_MAX 32
#define TRUST_VERSIONS_MAX 8

struct trust {
    struct sim *sim;
    mn_id ids[TRUST_HOSTS_MAX];
    bool is_in[TRUST_HOSTS_MAX];       /* belongs to the mesh, and should run */
    uint64_t version[TRUST_HOSTS_MAX]; /* newest authority document it was seen with */
    uint8_t hashes[TRUST_VERSIONS_MAX]
                  [AUTHORITY_HASH_SIZE]; /* of each version, once one was seen */
    bool is_seen[TRUST_VERSIONS_MAX];
    uint32_t latecomer;            /* who is being let in */
    uint32_t confused;             /* whose clock is off */
    char token[128], token_id[24]; /* that two came by */
    bool came_by_token[TRUST_HOSTS_MAX];

    /* Of a revocation. */
    uint32_t issuer, key_before;
    bool is_victim[TRUST_HOSTS_MAX];
    bool hears[TRUST_HOSTS_MAX];             /* of it at once */
    struct sim_call *calls[TRUST_HOSTS_MAX]; /* in flight, from this host to a victim; or NULL */
    uint32_t called[TRUST_HOSTS_MAX];        /* which */
    mn_time
        told_at[TRUST_HOSTS_MAX]; /* linked since the cut healed to one that knows; 0: not yet */
};

#define TRUST_SETTLE_TIME (3 * MN_MINUTE)

static inline struct sim_host *trust_host(const struct trust *trust, uint32_t index)
{
    return &trust->sim->hosts[index];
}

static inline const struct core *trust_core(const struct trust *trust, uint32_t host)
{
    return node_core(trust->sim->hosts[host].node);
}

/* ---- trust_checks.c ---- */

void trust_init(struct trust *trust, struct sim *sim);
void trust_say(const struct trust *trust, const char *what);
void trust_expect(struct trust *trust, const struct sim_answer *answer, uint32_t code,
                  const char *what);

/* Lets time pass, and holds what is always true against it. */
void trust_run(struct trust *trust, mn_time time);

/* The same until [done] holds; fails with [what] after [limit]. */
void trust_until(struct trust *trust, bool (*done)(const struct trust *trust), mn_time limit,
                 const char *what);

bool trust_is_member(const struct trust *trust, uint32_t host);
bool trust_is_issuer(const struct trust *trust, uint32_t host);

/* Has [at] a link to [of]; and is that known to it as alive as well? */
bool trust_is_linked(const struct trust *trust, uint32_t at, uint32_t of);
bool trust_knows(const struct trust *trust, uint32_t at, uint32_t of);

/* Nothing of [of] is left at [at]: no link, no row, no offer, no route, no call in flight. */
bool trust_is_rid_of(const struct trust *trust, uint32_t at, uint32_t of);

/* All who are in run, and know each other. */
bool trust_is_whole(const struct trust *trust);

/* The wall clock of a host in ms, and when its grant ends; 0: it has none. */
uint64_t trust_wall_ms(const struct trust *trust, uint32_t host);
uint64_t trust_grant_end_ms(const struct trust *trust, uint32_t host);

/* The id of the key that a host seals with; 0: none. And whether it can open with a key. */
uint32_t trust_sealing(const struct trust *trust, uint32_t host);
bool trust_has_key(const struct trust *trust, uint32_t host, uint32_t key_id);

/* One who is in, drawn: an issuer, or one who is none. */
uint32_t trust_draw(struct trust *trust, bool is_issuer);

/* ---- trust_revoke.c: a member by its id; all who came by trust->token ---- */

void trust_revoke_node(struct trust *trust);
void trust_revoke_token(struct trust *trust);

#endif
