/* A group in which nothing happens rests: its owner gives it no ticks. */
#include "consensus/raft_internal.h"

static bool raft_rest_leader_is_idle(const struct raft *raft)
{
    uint64_t last = raft_log_last(&raft->log);

    if (!mn_id_is_zero(&raft->transfer_to) || raft->flush_at != MN_TIME_NEVER) return false;
    if (!raft_log_matches(&raft->log, last, raft->term)) return false; /* nothing of this term */
    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (raft_is_self(raft, i)) continue;
        if (peer->state != RAFT_REPLICATE || peer->match != last || peer->heal != 0) return false;
    }
    return true;
}

bool raft_is_idle(const struct raft *raft)
{
    uint64_t last = raft_log_last(&raft->log);

    if (raft->is_wounded || raft->members.is_joint || raft->reads_count > 0) return false;
    if (raft->commit != last || raft->log.synced != last) return false;
    if (raft->write_durable != raft->write_last || raft->is_dirty) return false;
    if (raft->compact_to > raft->log.base_index) return false;
    if (raft->role == RAFT_LEADER) return raft_rest_leader_is_idle(raft);
    return raft->role == RAFT_FOLLOWER && !mn_id_is_zero(&raft->leader) &&
           raft->incoming.index == 0;
}

/* What was heard before the rest says nothing any more, neither that a quorum is there nor that it
 * is not: both get a whole election timeout to show. Leases are not touched: they count from what
 * was answered, which has become old. */
void raft_rest_wake(struct raft *raft, bool is_led)
{
    mn_time base = raft->config.election_timeout;

    if (raft->role != RAFT_LEADER && is_led && !mn_id_is_zero(&raft->leader)) {
        raft->sticky_until = mn_time_after(raft->now.mono, base);
        raft_election_arm(raft);
        return;
    }
    if (raft->role != RAFT_LEADER) { /* silence lasted for an election timeout already */
        raft->election_at = mn_time_after(raft->now.mono, rng_below_u64(&raft->rng, base));
        return;
    }
    for (uint32_t i = 0; i < raft->members.members_count; i++)
        raft->peers[i].heard = raft->now.mono;
    raft->quorum_at = mn_time_after(raft->now.mono, base);
    raft->heartbeat_at = raft->now.mono;
    raft->notify_at = MN_TIME_NEVER; /* the heartbeat says it */
}
