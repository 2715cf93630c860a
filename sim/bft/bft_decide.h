/* bft_decide.h: bftsim --decide. bft_decide.c: hosts, load and a run; bft_decide_checks.c: what
 * must hold; bft_decide_liars.c: what liars do. */
#ifndef BFT_DECIDE_H
#define BFT_DECIDE_H

#include "consensus/decision_internal.h"
#include "sim/bft/bft_sim.h"

#define COUNCIL_TOPICS 3u
#define KEPT_MAX 4096u
#define AGREED_MAX 256u

struct kept { /* a certificate somebody honest holds, or an honest vote that left */
    mn_id id, voter;
    uint32_t topic;
    uint64_t value;
    uint64_t created_ms, deadline_ms;
    enum decision_choice choice;
    uint64_t weights; /* hash of who weighs what */
    bool is_inside;   /* liars have less than (2q - 1) of the weight */
};

struct agreed {        /* a byzantine one as the first honest host ended it */
    uint64_t proposal; /* hash of its bytes: two may have one id */
    enum decision_outcome outcome;
};

struct council {
    struct agreed agreed[AGREED_MAX];
    uint32_t agreed_count;
    struct decision_member members[BFT_HOSTS_MAX];
    mn_id ids[BFT_HOSTS_MAX], mesh_id;
    struct kept achieved[KEPT_MAX], votes[KEPT_MAX];
    uint32_t achieved_count, votes_count, proposals;
    uint64_t requests;
    uint32_t decisions_max; /* little room, or enough that the last one must be achieved */
    bool is_checked_live, has_live;
    mn_id live; /* proposed when the faults were over: must be achieved */
    uint32_t live_host;
    uint32_t guest;                   /* becomes a member during the run; UINT32_MAX: nobody does */
    mn_time learns_at[BFT_HOSTS_MAX]; /* when each host knows that */
    struct {                          /* what a liar proposed last, for each half */
        struct mn_buf *halves[2];
        uint32_t who;
    } bent;
};

/* How long honest hosts wait, and what it takes at most until all know the same members. */
#define COUNCIL_PATIENCE (400 * MN_MS)
#define COUNCIL_SPREAD (300 * MN_MS)

struct council *council(struct bft_world *world);
/* UINT32_MAX: of nobody. */
uint32_t council_host_of(struct bft_world *world, const mn_id *id);
uint64_t council_value_of(struct mn_span value);
/* What it says of itself, so that it weighs a hundred times [weight]. */
struct mn_buf *council_record_of(struct bft_world *world, const struct bft_host *host,
                                 uint32_t weight);

/* ---- of honest hosts ---- */
void council_check_outcome(struct bft_host *host, const struct decision_output *out);
/* What it sends: its own votes are looked at. */
void council_check_sent(struct bft_host *host, struct mn_span bytes);
/* Whoever is convicted must have lied. */
void council_check_evidence(struct bft_host *host, const mn_id *node, enum decision_lie lie);

/* ---- of liars ---- */
void council_liar_send(struct bft_host *host, uint32_t to, struct mn_buf *buf);
void council_lie(struct bft_host *host);
void council_liar_next(struct bft_world *world, struct bft_event *event);

#endif
