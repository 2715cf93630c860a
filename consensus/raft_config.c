/* Changes of voters and weights through the log, and handing leadership over. A configuration takes
 * effect when it is appended and ends when it is cut off; what is in effect is always what the log
 * says, else the snapshot, so there is no second account of it that could go stale. */
#include "consensus/raft_internal.h"

#include "consensus/raft_wire.h"
#include "proto/base/check.h"

static const mn_id nobody;

void raft_config_find(const struct raft *raft, uint64_t upto, struct quorum_config *ret,
                      uint64_t *ret_index)
{
    uint64_t floor = raft->snapshot.index;

    if (floor < raft->log.base_index) floor = raft->log.base_index;
    for (uint64_t i = upto; i > floor; i--) {
        const struct raft_slot *slot = raft_log_slot(&raft->log, i);
        mn_status status;
        if (slot->kind != RAFT_ENTRY_CONFIG) continue;
        status = raft_config_decode(mn_buf_span(slot->data), ret);
        MN_ASSERT(status == MN_OK); /* it decoded when it was appended */
        *ret_index = i;
        return;
    }
    *ret = raft->snapshot.config;
    *ret_index = raft->snapshot.index;
}

void raft_config_adopt(struct raft *raft, const struct quorum_config *config, uint64_t index)
{
    struct quorum_config before = raft->members;

    raft->members = *config;
    raft->members_index = index;
    if (raft->role == RAFT_LEADER) raft_replicate_remap(raft, &before);
}

void raft_config_refresh(struct raft *raft)
{
    MN_ASSERT(raft->role != RAFT_LEADER);
    raft_config_find(raft, raft_log_last(&raft->log), &raft->members, &raft->members_index);
}

/* A learner may become a voter when it has all that we had when the newest heartbeats left. */
static bool raft_config_is_caught_up(struct raft *raft, const struct quorum_config *config)
{
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct quorum_member *member = &config->members[i];
        const struct raft_peer *peer;
        if (member->weight == 0 || quorum_is_voter(&raft->members, &member->id)) continue;
        peer = raft_replicate_peer(raft, &member->id);
        if (peer == NULL || peer->match < raft->round_index) return false;
    }
    return true;
}

static mn_status raft_config_may_change(struct raft *raft, const struct quorum_config *config)
{
    if (raft->role != RAFT_LEADER) return MN_STATE;
    if (!mn_id_is_zero(&raft->transfer_to)) return MN_BUSY;
    if (quorum_check(config) != MN_OK || config->is_joint) return MN_CONFIG;
    if (quorum_guard(config, raft->config.ft_min) != MN_OK) return MN_CONFIG;
    if (raft->commit < raft->term_start) return MN_NOT_YET; /* what is in effect may not last */
    if (raft->members.is_joint || raft->commit < raft->members_index) return MN_BUSY;
    if (!raft_config_is_caught_up(raft, config)) return MN_NOT_YET;
    return MN_OK;
}

void raft_config_on_configure(struct raft *raft, uint64_t request,
                              const struct quorum_config *config)
{
    struct quorum_config next = *config;
    mn_status status = raft_config_may_change(raft, config);
    struct raft_output *out;

    if (status == MN_OK && !quorum_is_one_step(&raft->members, config))
        status = quorum_join(&raft->members, config, &next);
    if (status != MN_OK) {
        raft_refuse(raft, request, status);
        return;
    }
    raft_replicate_append(raft, RAFT_ENTRY_CONFIG, raft_config_encode(&next));
    out = raft_emit(raft, RAFT_OUT_ACCEPTED);
    out->accepted.request = request;
    out->accepted.index = raft_log_last(&raft->log);
    out->accepted.term = raft->term;
    raft_replicate_flush(raft);
}

/* A leader's commit has moved. */
void raft_config_committed(struct raft *raft)
{
    struct quorum_config next;

    if (raft->commit < raft->members_index || raft->commit < raft->term_start) return;
    if (raft->members.is_joint) {
        quorum_leave(&raft->members, &next);
        raft_replicate_append(raft, RAFT_ENTRY_CONFIG, raft_config_encode(&next));
        raft_replicate_flush(raft);
    } else if (!quorum_is_voter(&raft->members, &raft->config.self)) {
        MN_PROBE("raft: a leader that was voted out steps down");
        raft_election_follow(raft, raft->term, &nobody);
    }
}

/* The voter that needs least before it can lead. */
static const struct raft_peer *raft_config_successor(const struct raft *raft)
{
    const struct raft_peer *best = NULL;

    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (raft_is_self(raft, i) || raft->members.members[i].weight == 0) continue;
        if (peer->heal != 0) continue; /* it must not campaign */
        if (mn_time_after(peer->heard, raft->config.election_timeout) <= raft->now.mono) continue;
        if (best == NULL || peer->match > best->match) best = peer;
    }
    return best;
}

void raft_config_transfer_go(struct raft *raft)
{
    const struct raft_peer *peer = raft_replicate_peer(raft, &raft->transfer_to);

    if (peer == NULL || peer->match != raft_log_last(&raft->log)) return;
    /* It may arrive at any time, even when we have given up: no lease for the rest of this term. */
    raft->is_lease_void = true;
    raft_send(raft, RAFT_MSG_TIMEOUT_NOW, &peer->id, 0);
}

void raft_config_transfer(struct raft *raft, uint64_t request, const mn_id *target)
{
    const struct raft_peer *peer;

    if (raft->role != RAFT_LEADER || !mn_id_is_zero(&raft->transfer_to)) {
        raft_refuse(raft, request, raft->role != RAFT_LEADER ? MN_STATE : MN_BUSY);
        return;
    }
    peer = mn_id_is_zero(target) ? raft_config_successor(raft) : raft_replicate_peer(raft, target);
    if (peer == NULL || !quorum_is_voter(&raft->members, &peer->id)) {
        raft_refuse(raft, request, MN_NOT_FOUND);
        return;
    }
    raft_replicate_flush(raft);
    raft->transfer_to = peer->id;
    raft->transfer_until = mn_time_after(raft->now.mono, raft->config.election_timeout);
    raft_config_transfer_go(raft);
}

/* Somebody else should lead: our disk is slow. */
void raft_config_step_aside(struct raft *raft)
{
    const struct raft_peer *peer = raft_config_successor(raft);

    MN_PROBE("raft: a leader with a slow disk steps aside");
    raft->slow_count = 0;
    if (!mn_id_is_zero(&raft->transfer_to)) return;
    if (peer == NULL) return; /* nobody else is there: slow is better than nobody */
    raft_config_transfer(raft, 0, &peer->id);
}

void raft_config_on_timeout_now(struct raft *raft, const struct raft_msg *msg)
{
    if (msg->term != raft->term || raft->role != RAFT_FOLLOWER || !raft_can_vote(raft)) return;
    if (!mn_id_equal(&raft->leader, &msg->from)) return;
    MN_PROBE("raft: elected on request");
    raft_election_start(raft, false, true);
}
