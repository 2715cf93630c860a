/* quorum.h: who counts how much, and which sets may decide. Integer weights, strict weighted
 * majority (Gifford, "Weighted Voting for Replicated Data", SOSP 1979), joint configurations
 * (Ongaro & Ousterhout, USENIX ATC 2014, section 6). Everything here is a pure function of values;
 * weights are u32, sums u64, nothing is rounded.
 *
 * A configuration is a list of members in order of id. Each has a weight in the new half and one in
 * the old half; outside of a change the old half is empty. Sets of members are bit masks: bit i is
 * members[i]. */
#ifndef QUORUM_H
#define QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/id.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define QUORUM_MEMBERS_MAX 32u           /* voters of both halves, and learners */
#define QUORUM_VOTERS_MAX 16u            /* per configuration, both halves together */
#define QUORUM_TOTAL_MAX 0x7fffffffu     /* of one half's weights */
#define QUORUM_REWEIGH_PAUSE MN_MINUTE   /* between two changes of weights */
#define QUORUM_REWEIGH_GAIN_PERMILLE 150 /* predicted; less is not worth a change */

struct quorum_member {
    mn_id id;
    uint32_t weight;     /* in the new half; 0: has no vote there */
    uint32_t weight_old; /* in the old half; always 0 unless the configuration is joint */
    bool is_learner;     /* replicates without a vote in the new half; its weight is 0 */
};

struct quorum_config {
    uint32_t members_count; /* 0: nobody knows anything yet */
    bool is_joint;
    struct quorum_member members[QUORUM_MEMBERS_MAX]; /* strictly rising by id */
};

enum quorum_half { QUORUM_NEW = 0, QUORUM_OLD };
enum quorum_result { QUORUM_PENDING = 0, QUORUM_WON, QUORUM_LOST };

/* Is it one that may be used: order, roles, counts, sums, at least one voter in each half there is?
 * MN_CONFIG otherwise. Everything below expects one that passed, or an empty one. */
MN_MUST_USE mn_status quorum_check(const struct quorum_config *config);

/* Adds or replaces a member, keeping the order. MN_FULL. */
MN_MUST_USE mn_status quorum_set(struct quorum_config *config, const struct quorum_member *member);
void quorum_remove(struct quorum_config *config, const mn_id *id);

/* Index of a member, or -1. */
int quorum_find(const struct quorum_config *config, const mn_id *id);

bool quorum_equal(const struct quorum_config *a, const struct quorum_config *b);

/* Does it have a vote in either half? */
bool quorum_is_voter(const struct quorum_config *config, const mn_id *id);
uint32_t quorum_voters(const struct quorum_config *config); /* as a set */

uint32_t quorum_weight(const struct quorum_config *config, uint32_t index, enum quorum_half half);
uint64_t quorum_total(const struct quorum_config *config, enum quorum_half half);
uint64_t quorum_sum(const struct quorum_config *config, uint32_t set, enum quorum_half half);

/* More than half of the weight, in each half that is not empty. An empty configuration has none. */
bool quorum_has(const struct quorum_config *config, uint32_t set);

/* The half of a configuration that is not empty in which [set] has no quorum, the new one before
 * the old one; false: it has one in each. */
bool quorum_lacks(const struct quorum_config *config, uint32_t set, enum quorum_half *ret);

/* WON: yes is a quorum. LOST: in some half it cannot become one any more. */
enum quorum_result quorum_vote(const struct quorum_config *config, uint32_t yes, uint32_t no);

/* The largest value that a quorum has reached, where values[i] is what members[i] has reached: the
 * commit index over match indexes, and as well the time by which a quorum was heard. 0 for an empty
 * configuration. */
uint64_t quorum_commit(const struct quorum_config *config, const uint64_t *values);

/* ---- changes ---- */

/* May [to] follow [from] without a joint step? Both not joint. True only if no quorum of one can be
 * disjoint from a quorum of the other, by sums alone: with P the sum of increases and N of
 * decreases (a voter that comes or goes counts all its weight) P + N <= 1, or P + N <= 2 and both
 * totals even: disjoint quorums would need floor(W/2)+1 + floor(W'/2)+1 - P <= W. */
bool quorum_is_one_step(const struct quorum_config *from, const struct quorum_config *to);

/* Does every quorum of [a] share a member with every quorum of [b]? Exact, by trying all sets of
 * the at most QUORUM_VOTERS_MAX voters that both together have; false when there are more. */
bool quorum_intersect(const struct quorum_config *a, const struct quorum_config *b);

/* The configuration in which both halves must agree: [from] is the old half, [to] the new one; both
 * not joint. MN_FULL when the members of both are too many. */
MN_MUST_USE mn_status quorum_join(const struct quorum_config *from, const struct quorum_config *to,
                                  struct quorum_config *ret);

/* The new half of a joint configuration: members without a role in it are gone. */
void quorum_leave(const struct quorum_config *joint, struct quorum_config *ret);

/* ---- guard rails, for who proposes a configuration ---- */

/* The most voters, the heaviest first, that can be away while the rest still is a quorum. Of the
 * new half. */
uint32_t quorum_ft(const struct quorum_config *config);

/* From three voters on: nobody holds half of the weight or more, and quorum_ft() is at least
 * [ft_min]. MN_CONFIG otherwise. */
MN_MUST_USE mn_status quorum_guard(const struct quorum_config *config, uint32_t ft_min);

/* Is another change of weights alone worth it? [changed_at] is when the last one was (0: never). */
bool quorum_reweigh_is_due(mn_time now, mn_time changed_at, uint32_t gain_permille);

#endif
