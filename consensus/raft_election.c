/* Terms and votes. */
#include "consensus/raft_internal.h"

#include "proto/base/check.h"

static const mn_id nobody;

void raft_election_arm(struct raft *raft)
{
    mn_time base = raft->config.election_timeout;

    raft->election_at = mn_time_after(raft->now.mono, base + rng_below_u64(&raft->rng, base));
}

bool raft_election_is_sticky(const struct raft *raft)
{
    return raft->role == RAFT_LEADER || raft->now.mono < raft->sticky_until;
}

static void raft_election_end_lead(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->members.members_count; i++)
        raft_snapshot_stop(&raft->peers[i]);
    raft->transfer_to = nobody;
    raft->unsent_size = 0;
    raft->flush_at = MN_TIME_NEVER;
}

void raft_election_follow(struct raft *raft, uint64_t term, const mn_id *leader)
{
    bool was_leader = raft->role == RAFT_LEADER;

    MN_ASSERT(term >= raft->term);
    if (term > raft->term) {
        raft->term = term;
        raft->vote = nobody;
        raft->is_dirty = true;
    }
    if (was_leader) raft_election_end_lead(raft);
    if (!mn_id_equal(&raft->leader, leader)) raft_snapshot_forget_incoming(raft);
    raft->role = RAFT_FOLLOWER;
    raft->leader = *leader;
    if (was_leader) raft_read_fail_all(raft);
    raft_election_arm(raft);
}

static void raft_election_ask_all(struct raft *raft, bool is_pre, uint64_t after_write)
{
    uint32_t voters = quorum_voters(&raft->members);

    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        struct raft_msg *msg;
        if ((voters >> i & 1) == 0 || raft_is_self(raft, i)) continue;
        msg = raft_send(raft, RAFT_MSG_VOTE_ASK, &raft->members.members[i].id, after_write);
        msg->term = raft->term + is_pre;
        msg->index = raft_log_last(&raft->log);
        msg->log_term = raft_log_last_term(&raft->log);
        msg->is_pre = is_pre;
        msg->is_transfer = raft->is_forced;
    }
}

void raft_election_start(struct raft *raft, bool is_pre, bool is_forced)
{
    MN_ASSERT(raft_can_vote(raft) && raft->role != RAFT_LEADER);
    raft->votes_yes = raft->votes_no = 0;
    raft->is_forced = is_forced;
    raft->leader = nobody;
    raft_election_arm(raft);
    if (is_pre) {
        raft->role = RAFT_PRE_CANDIDATE;
        raft_election_ask_all(raft, true, raft_save(raft));
    } else {
        raft->role = RAFT_CANDIDATE;
        raft->term++;
        raft->vote = raft->config.self;
        raft->is_dirty = true;
        raft_election_ask_all(raft, false, raft_save(raft));
        raft->vote_write = raft->write_last;
    }
    raft_election_count(raft);
}

/* Our own vote is one like any other: it counts once it is durable. */
static void raft_election_count_self(struct raft *raft)
{
    int self = quorum_find(&raft->members, &raft->config.self);

    if (self < 0) return;
    if (raft->role == RAFT_CANDIDATE && raft->write_durable < raft->vote_write) return;
    raft->votes_yes |= 1u << self;
}

void raft_election_count(struct raft *raft)
{
    enum quorum_result result;

    raft_election_count_self(raft);
    result = quorum_vote(&raft->members, raft->votes_yes, raft->votes_no);
    if (result == QUORUM_PENDING) return;
    if (result == QUORUM_LOST) {
        MN_PROBE("raft: election lost");
        raft->role = RAFT_FOLLOWER;
    } else if (raft->role == RAFT_PRE_CANDIDATE) {
        raft_election_start(raft, false, false);
    } else {
        raft_replicate_lead(raft);
    }
}

void raft_election_tick(struct raft *raft)
{
    if (raft->now.mono < raft->election_at) return;
    if (raft_can_vote(raft))
        raft_election_start(raft, true, false);
    else
        raft_election_arm(raft);
}

static bool raft_election_is_new_enough(const struct raft *raft, const struct raft_msg *msg)
{
    uint64_t term = raft_log_last_term(&raft->log);

    if (msg->log_term != term) return msg->log_term > term;
    return msg->index >= raft_log_last(&raft->log);
}

static void raft_election_answer(struct raft *raft, const struct raft_msg *ask, bool is_granted)
{
    struct raft_msg *msg = raft_send(raft, RAFT_MSG_VOTE, &ask->from, raft_save(raft));

    msg->is_pre = ask->is_pre;
    msg->is_granted = is_granted;
    if (ask->is_pre && is_granted) msg->term = ask->term;
}

/* No state changes, and whether a real vote was given does not matter. */
static void raft_election_on_pre_ask(struct raft *raft, const struct raft_msg *msg)
{
    bool is_granted = msg->term > raft->term && !raft_election_is_sticky(raft) &&
                      raft_election_is_new_enough(raft, msg);

    raft_election_answer(raft, msg, is_granted);
}

void raft_election_on_ask(struct raft *raft, const struct raft_msg *msg)
{
    bool is_granted;

    if (raft->is_wounded) {
        MN_PROBE("raft: a wounded node was asked for a vote");
        return;
    }
    if (msg->term < raft->term) {
        raft_election_answer(raft, msg, false); /* tells a late candidate our term */
        return;
    }
    if (msg->is_pre) {
        raft_election_on_pre_ask(raft, msg);
        return;
    }
    if (raft_election_is_sticky(raft) && !msg->is_transfer) {
        MN_PROBE("raft: a vote is not considered while a leader is heard");
        return;
    }
    if (msg->term > raft->term) raft_election_follow(raft, msg->term, &nobody);
    is_granted = (mn_id_is_zero(&raft->vote) || mn_id_equal(&raft->vote, &msg->from)) &&
                 raft_election_is_new_enough(raft, msg);
    if (is_granted) {
        raft->vote = msg->from;
        raft->is_dirty = true;
        raft_election_arm(raft);
    }
    raft_election_answer(raft, msg, is_granted);
}

void raft_election_on_vote(struct raft *raft, const struct raft_msg *msg)
{
    enum raft_role role = msg->is_pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
    bool is_pre_grant = msg->is_pre && msg->is_granted;
    uint64_t asked = raft->term + is_pre_grant;
    int member = quorum_find(&raft->members, &msg->from);

    if (!raft_replicate_is_member(raft, msg)) return;
    if (msg->term > asked && !is_pre_grant) {
        raft_election_follow(raft, msg->term, &nobody);
        return;
    }
    if (raft->role != role || msg->term != asked) return;
    if (msg->is_granted)
        raft->votes_yes |= 1u << member;
    else
        raft->votes_no |= 1u << member;
    raft_election_count(raft);
}
