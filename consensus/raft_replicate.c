/* Appends and heartbeats, at the leader and at those who follow. */
#include "consensus/raft_internal.h"

#include "consensus/raft_wire.h"
#include "proto/base/check.h"

struct raft_peer *raft_replicate_peer(struct raft *raft, const mn_id *id)
{
    int member = quorum_find(&raft->members, id);

    if (raft->role != RAFT_LEADER || member < 0 || raft_is_self(raft, (uint32_t)member))
        return NULL;
    return &raft->peers[member];
}

/* Rises with every message, and is never before the time it leaves: an answer tells how old what it
 * answers is, without a table. */
uint64_t raft_replicate_ctx(struct raft *raft)
{
    raft->ctx_last = raft->now.mono > raft->ctx_last ? raft->now.mono : raft->ctx_last + 1;
    return raft->ctx_last;
}

/* What a member answered, or 0 where that is part of no quorum: a wounded node may have promised
 * its vote to a later term and have forgotten that, too. */
static uint64_t raft_replicate_counted(const struct raft_peer *peer, uint64_t value)
{
    return peer->heal == 0 ? value : 0;
}

uint64_t raft_replicate_quorum_ctx(const struct raft *raft)
{
    uint64_t values[QUORUM_MEMBERS_MAX] = {0};

    for (uint32_t i = 0; i < raft->members.members_count; i++)
        values[i] = raft_is_self(raft, i)
                        ? UINT64_MAX
                        : raft_replicate_counted(&raft->peers[i], raft->peers[i].ctx_acked);
    return quorum_commit(&raft->members, values);
}

/* ---- the leader's side ---- */

static struct raft_peer raft_replicate_new_peer(const struct raft *raft, const mn_id *id)
{
    return (struct raft_peer){
        .id = *id, .next = raft_log_last(&raft->log) + 1, .heard = raft->now.mono};
}

void raft_replicate_remap(struct raft *raft, const struct quorum_config *before)
{
    struct raft_peer old[QUORUM_MEMBERS_MAX];

    memcpy(old, raft->peers, sizeof old);
    for (uint32_t i = 0; i < before->members_count; i++)
        if (quorum_find(&raft->members, &before->members[i].id) < 0) raft_snapshot_stop(&old[i]);
    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        const mn_id *id = &raft->members.members[i].id;
        int was = quorum_find(before, id);
        raft->peers[i] = was >= 0 ? old[was] : raft_replicate_new_peer(raft, id);
    }
}

void raft_replicate_append(struct raft *raft, enum raft_entry_kind kind, struct mn_buf *data)
{
    struct quorum_config config;

    MN_ASSERT(raft->role == RAFT_LEADER);
    raft_log_append(&raft->log, raft->term, kind, data);
    raft->is_dirty = true;
    raft->unsent_size += data->size;
    if (kind != RAFT_ENTRY_CONFIG) return;
    if (raft_config_decode(mn_buf_span(data), &config) == MN_OK)
        raft_config_adopt(raft, &config, raft_log_last(&raft->log));
}

void raft_replicate_lead(struct raft *raft)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->config.self;
    raft->transfer_to = (mn_id){{0}};
    raft->is_lease_void = false;
    raft->slow_count = 0;
    raft_snapshot_forget_incoming(raft);
    for (uint32_t i = 0; i < raft->members.members_count; i++)
        raft->peers[i] = raft_replicate_new_peer(raft, &raft->members.members[i].id);
    raft->term_start = raft_log_last(&raft->log) + 1;
    raft->quorum_at = mn_time_after(raft->now.mono, raft->config.election_timeout);
    raft->notify_at = MN_TIME_NEVER;
    raft_replicate_append(raft, RAFT_ENTRY_NOOP, mn_buf_new(0));
    /* The first configuration of a group is written down, for those who start with nothing. */
    if (raft->members_index == 0)
        raft_replicate_append(raft, RAFT_ENTRY_CONFIG, raft_config_encode(&raft->members));
    raft_replicate_flush(raft);
    raft_replicate_heartbeat(raft);
}

static bool raft_replicate_has_window(const struct raft *raft, const struct raft_peer *peer)
{
    uint64_t size =
        raft_log_end(&raft->log, peer->next - 1) - raft_log_end(&raft->log, peer->match);

    return peer->inflight < raft->config.inflight_count && size < raft->config.inflight_size;
}

/* One append of what follows next - 1; how many entries went. */
static uint32_t raft_replicate_send_one(struct raft *raft, struct raft_peer *peer, bool is_empty)
{
    uint64_t last = is_empty ? peer->next - 1 : raft_log_last(&raft->log), before_term = 0;
    struct raft_msg *msg;
    uint32_t count;
    bool is_known = raft_log_term(&raft->log, peer->next - 1, &before_term);
    const struct raft_entry *entries;

    MN_ASSERT(is_known);
    if (last > peer->next + RAFT_ENTRIES_MAX - 1) last = peer->next + RAFT_ENTRIES_MAX - 1;
    entries = raft_log_copy(&raft->log, peer->next, last, raft->config.message_size,
                            raft->outbox->arena, &count);
    msg = raft_send(raft, RAFT_MSG_APPEND, &peer->id, 0);
    msg->index = peer->next - 1;
    msg->log_term = before_term;
    msg->commit = raft->commit;
    msg->ctx = raft_replicate_ctx(raft);
    msg->heal = peer->heal;
    msg->heal_index = peer->heal_index;
    peer->commit_told = msg->commit;
    msg->entries = entries;
    msg->entries_count = count;
    return count;
}

void raft_replicate_send(struct raft *raft, uint32_t member, bool is_empty_fine)
{
    struct raft_peer *peer = &raft->peers[member];
    uint64_t last = raft_log_last(&raft->log);

    if (raft_is_self(raft, member) || peer->state == RAFT_SNAPSHOT) return;
    if (peer->next <= raft->log.base_index) {
        raft_snapshot_send(raft, peer);
        return;
    }
    if (peer->state == RAFT_PROBE) {
        if (peer->is_paused) return;
        peer->is_paused = true;
        raft_replicate_send_one(raft, peer, false);
        return;
    }
    while ((peer->next <= last || is_empty_fine) && raft_replicate_has_window(raft, peer)) {
        uint32_t count = raft_replicate_send_one(raft, peer, false);
        peer->next += count;
        peer->inflight += count > 0;
        is_empty_fine = false;
    }
}

void raft_replicate_flush(struct raft *raft)
{
    raft->flush_at = MN_TIME_NEVER;
    raft->unsent_size = 0;
    raft_save(raft); /* in parallel with sending: our own copy counts when it is durable */
    for (uint32_t i = 0; i < raft->members.members_count; i++)
        raft_replicate_send(raft, i, false);
}

void raft_replicate_heartbeat(struct raft *raft)
{
    uint64_t ctx = raft_replicate_ctx(raft);

    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        struct raft_msg *msg;
        if (raft_is_self(raft, i)) continue;
        msg = raft_send(raft, RAFT_MSG_HEARTBEAT, &peer->id, 0);
        msg->commit = peer->match < raft->commit ? peer->match : raft->commit;
        msg->ctx = ctx;
        peer->commit_told = msg->commit;
    }
    raft->notify_at = MN_TIME_NEVER;
    raft->round_index = raft_log_last(&raft->log);
    raft->round_ctx = ctx;
    raft->heartbeat_at = mn_time_after(raft->now.mono, raft->config.heartbeat_interval);
}

void raft_replicate_commit_to(struct raft *raft, uint64_t commit)
{
    if (commit > raft_log_last(&raft->log)) commit = raft_log_last(&raft->log);
    if (commit > raft->commit) raft->commit = commit;
}

/* Entries of earlier terms are committed only together with one of this term: a quorum that has one
 * of those says nothing about who may still be elected (Ongaro & Ousterhout, 5.4.2). */
void raft_replicate_commit(struct raft *raft)
{
    uint64_t values[QUORUM_MEMBERS_MAX] = {0}, commit;

    for (uint32_t i = 0; i < raft->members.members_count; i++)
        values[i] = raft_is_self(raft, i)
                        ? raft->log.synced
                        : raft_replicate_counted(&raft->peers[i], raft->peers[i].match);
    commit = quorum_commit(&raft->members, values);
    if (commit <= raft->commit) return;
    if (!raft_log_matches(&raft->log, commit, raft->term)) return;
    raft_replicate_commit_to(raft, commit);
    raft->notify_at =
        mn_time_min(raft->notify_at, mn_time_after(raft->now.mono, raft->config.batch_delay));
    raft_config_committed(raft);
}

/* A leader that no quorum answers leads nobody, and must let its clients go. */
static void raft_replicate_check_quorum(struct raft *raft)
{
    uint64_t values[QUORUM_MEMBERS_MAX] = {0};

    for (uint32_t i = 0; i < raft->members.members_count; i++)
        values[i] = raft_is_self(raft, i)
                        ? raft->now.mono
                        : raft_replicate_counted(&raft->peers[i], raft->peers[i].heard);
    raft->quorum_at = mn_time_after(raft->now.mono, raft->config.election_timeout / 2);
    if (raft_is_disk_stuck(raft)) raft_config_step_aside(raft);
    if (mn_time_after(quorum_commit(&raft->members, values), raft->config.election_timeout) >
        raft->now.mono)
        return;
    MN_PROBE("raft: a leader that heard no quorum steps down");
    raft_election_follow(raft, raft->term, &(mn_id){{0}});
}

/* What is committed travels with the next entries; when none follow soon, by itself. */
static void raft_replicate_notify(struct raft *raft)
{
    raft->notify_at = MN_TIME_NEVER;
    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        if (raft_is_self(raft, i) || raft->peers[i].commit_told >= raft->commit) continue;
        raft_replicate_heartbeat(raft);
        return;
    }
}

void raft_replicate_tick(struct raft *raft)
{
    if (!mn_id_is_zero(&raft->transfer_to) && raft->now.mono >= raft->transfer_until) {
        MN_PROBE("raft: a transfer of leadership is given up");
        raft->transfer_to = (mn_id){{0}};
    }
    if (raft->now.mono >= raft->quorum_at) raft_replicate_check_quorum(raft);
    if (raft->role != RAFT_LEADER) return;
    if (raft->now.mono >= raft->flush_at) raft_replicate_flush(raft);
    if (raft->now.mono >= raft->heartbeat_at) raft_replicate_heartbeat(raft);
    if (raft->now.mono >= raft->notify_at) raft_replicate_notify(raft);
}

void raft_replicate_on_propose(struct raft *raft, uint64_t request, struct mn_buf *data)
{
    uint64_t waiting = raft_log_end(&raft->log, raft_log_last(&raft->log)) -
                       raft_log_end(&raft->log, raft->commit);
    uint64_t held = raft_log_end(&raft->log, raft_log_last(&raft->log)) - raft->log.base_end;
    mn_status status = MN_OK;
    struct raft_output *out;

    if (raft->role != RAFT_LEADER)
        status = MN_STATE;
    else if (data->size > RAFT_ENTRY_MAX)
        status = MN_TOO_BIG;
    else if (!mn_id_is_zero(&raft->transfer_to) || waiting > raft->config.uncommitted_size ||
             held > raft->config.log_size)
        status = MN_BUSY;
    if (status != MN_OK) {
        raft_refuse(raft, request, status);
        return;
    }
    raft_replicate_append(raft, RAFT_ENTRY_COMMAND, mn_buf_ref(data));
    out = raft_emit(raft, RAFT_OUT_ACCEPTED);
    out->accepted.request = request;
    out->accepted.index = raft_log_last(&raft->log);
    out->accepted.term = raft->term;
    if (raft->config.batch_delay == 0 || raft->unsent_size >= raft->config.batch_size)
        raft_replicate_flush(raft);
    else if (raft->write_durable == raft->write_last)
        raft->flush_at = raft->now.mono; /* with those that come before the next tick */
    else if (raft->flush_at == MN_TIME_NEVER)
        raft->flush_at = mn_time_after(raft->now.mono, raft->config.batch_delay);
}

static void raft_replicate_probe(struct raft_peer *peer)
{
    raft_snapshot_stop(peer);
    peer->state = RAFT_PROBE;
    peer->inflight = 0;
    peer->is_paused = false;
}

/* It lost entries that it had acknowledged, and perhaps the term and vote beside them: what we know
 * of it starts anew. What heals it is an entry of ours that a quorum of others has after we heard
 * of this. None of them votes any more for whoever asked before, so whatever our node promised then
 * elects nobody; and our log ends with all that it can have acknowledged. */
static void raft_replicate_wounded(struct raft *raft, struct raft_peer *peer, uint64_t heal)
{
    if (peer->heal == heal) return;
    MN_PROBE("raft: a leader hears of a wounded node");
    raft_replicate_append(raft, RAFT_ENTRY_NOOP, mn_buf_new(0));
    raft->flush_at = raft->now.mono;
    peer->heal = heal;
    peer->heal_index = raft_log_last(&raft->log);
    peer->match = 0;
    peer->ctx_acked = 0;
    if (peer->state == RAFT_REPLICATE) raft_replicate_probe(peer);
}

void raft_replicate_heard(struct raft *raft, struct raft_peer *peer, const struct raft_msg *msg)
{
    if (msg->heal != 0) raft_replicate_wounded(raft, peer, msg->heal);
    peer->heard = raft->now.mono;
    if (msg->ctx > raft->ctx_last)
        raft->dropped++; /* we never said that */
    else if (msg->ctx > peer->ctx_acked)
        peer->ctx_acked = msg->ctx;
}

static void raft_replicate_rejected(struct raft *raft, struct raft_peer *peer,
                                    const struct raft_msg *msg)
{
    bool is_current = peer->state == RAFT_PROBE ? msg->index == peer->next - 1
                                                : msg->index > peer->match || msg->heal != 0;
    uint64_t hint = msg->hint_index < msg->index ? msg->hint_index : msg->index - 1;

    if (peer->state == RAFT_SNAPSHOT || !is_current || msg->index == 0) return;
    if (msg->heal != 0) peer->match = 0;
    if (hint >= raft->log.base_index) hint = raft_log_find(&raft->log, hint, msg->hint_term);
    peer->next = (hint > peer->match ? hint : peer->match) + 1;
    raft_replicate_probe(peer);
}

static void raft_replicate_matched(struct raft_peer *peer, uint64_t match)
{
    if (match > peer->match) peer->match = match;
    if (peer->next <= peer->match) peer->next = peer->match + 1;
    if (peer->inflight > 0) peer->inflight--;
    if (peer->next == peer->match + 1) peer->inflight = 0;
    if (peer->state == RAFT_SNAPSHOT && peer->match < peer->sending->index) return;
    if (peer->state == RAFT_REPLICATE) return;
    raft_replicate_probe(peer);
    peer->state = RAFT_REPLICATE;
    peer->next = peer->match + 1;
}

/* We ask only members: an answer of anybody else is none, whatever its term. */
bool raft_replicate_is_member(struct raft *raft, const struct raft_msg *msg)
{
    if (quorum_find(&raft->members, &msg->from) >= 0) return true;
    raft->dropped++;
    return false;
}

void raft_replicate_on_ack(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_peer *peer;

    if (!raft_replicate_is_member(raft, msg)) return;
    if (msg->term > raft->term) {
        raft_election_follow(raft, msg->term, &(mn_id){{0}});
        return;
    }
    peer = raft_replicate_peer(raft, &msg->from);
    if (peer == NULL || msg->term < raft->term) return;
    if (!msg->is_reject && msg->index > raft_log_last(&raft->log)) {
        raft->dropped++;
        return;
    }
    raft_replicate_heard(raft, peer, msg);
    if (msg->is_reject) {
        raft_replicate_rejected(raft, peer, msg);
    } else {
        if (msg->heal == 0) peer->heal = 0;
        raft_replicate_matched(peer, msg->index);
        raft_replicate_commit(raft); /* may change who is a member, or whether we lead */
    }
    peer = raft_replicate_peer(raft, &msg->from);
    if (peer == NULL) return;
    raft_replicate_send(raft, (uint32_t)(peer - raft->peers), false);
    if (mn_id_equal(&raft->transfer_to, &peer->id)) raft_config_transfer_go(raft);
}

/* Heartbeats find out what was lost: a probe is repeated, a chunk too, and behind a full window an
 * append without entries is accepted or shows the gap. */
void raft_replicate_on_heartbeat_ack(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_peer *peer = raft_replicate_peer(raft, &msg->from);

    if (!raft_replicate_is_member(raft, msg)) return;
    if (msg->term > raft->term) raft_election_follow(raft, msg->term, &(mn_id){{0}});
    if (peer == NULL || msg->term != raft->term || raft->role != RAFT_LEADER) return;
    raft_replicate_heard(raft, peer, msg);
    peer->is_paused = false;
    if (peer->state == RAFT_SNAPSHOT) {
        if (peer->chunk_at + raft->config.election_timeout / 2 <= raft->now.mono)
            raft_snapshot_send(raft, peer);
    } else if (peer->state == RAFT_REPLICATE && peer->match + 1 < peer->next &&
               peer->next > raft->log.base_index) {
        raft_replicate_send_one(raft, peer, true);
    } else if (peer->match < raft_log_last(&raft->log) || msg->heal != 0) {
        raft_replicate_send(raft, (uint32_t)(peer - raft->peers), true);
    }
}

/* ---- the follower's side ---- */

/* Could a leader of that term have sent them? Configurations decode too. */
static bool raft_replicate_are_valid(const struct raft_msg *msg)
{
    uint64_t term = msg->log_term;
    struct quorum_config config;

    for (uint32_t i = 0; i < msg->entries_count; i++) {
        const struct raft_entry *entry = &msg->entries[i];
        if (entry->index != msg->index + 1 + i || entry->term < term) return false;
        if (entry->data.size > RAFT_ENTRY_MAX) return false;
        term = entry->term;
        if (entry->kind == RAFT_ENTRY_CONFIG && raft_config_decode(entry->data, &config) != MN_OK)
            return false;
    }
    return term <= msg->term;
}

/* How many of the entries the log has already. */
static uint32_t raft_replicate_known(const struct raft *raft, const struct raft_msg *msg)
{
    uint32_t known = 0;

    while (known < msg->entries_count &&
           raft_log_matches(&raft->log, msg->entries[known].index, msg->entries[known].term))
        known++;
    return known;
}

static void raft_replicate_store(struct raft *raft, const struct raft_msg *msg, uint32_t known)
{
    if (known == msg->entries_count) return;
    if (msg->entries[known].index <= raft_log_last(&raft->log)) {
        MN_PROBE("raft: entries of an earlier leader are cut off");
        raft_log_truncate(&raft->log, msg->entries[known].index);
        raft_config_refresh(raft);
    }
    for (uint32_t i = known; i < msg->entries_count; i++) {
        const struct raft_entry *entry = &msg->entries[i];
        struct quorum_config config;
        raft_log_append(&raft->log, entry->term, entry->kind, mn_buf_copy(entry->data));
        if (entry->kind == RAFT_ENTRY_CONFIG && raft_config_decode(entry->data, &config) == MN_OK)
            raft_config_adopt(raft, &config, entry->index);
    }
    raft->is_dirty = true;
}

static struct raft_msg *raft_replicate_answer(struct raft *raft, const struct raft_msg *ask,
                                              enum raft_msg_type type)
{
    struct raft_msg *msg = raft_send(raft, type, &ask->from, raft_save(raft));

    msg->ctx = ask->ctx;
    msg->heal = raft->is_wounded ? raft->heal : 0;
    return msg;
}

/* Where our logs may agree, so that the leader can skip whole terms. */
static void raft_replicate_reject(struct raft *raft, const struct raft_msg *ask)
{
    struct raft_msg *msg = raft_replicate_answer(raft, ask, RAFT_MSG_APPEND_ACK);

    msg->is_reject = true;
    msg->index = ask->index;
    msg->hint_index = raft_log_find(&raft->log, ask->index, ask->log_term);
    if (!raft_log_term(&raft->log, msg->hint_index, &msg->hint_term)) msg->hint_term = 0;
}

/* A wounded node that has what its leader names, which a quorum of others has: it may vote. */
static void raft_replicate_heal(struct raft *raft, const struct raft_msg *msg, uint64_t match)
{
    if (!raft->is_wounded || msg->heal != raft->heal) return;
    if (match < msg->heal_index || msg->commit < msg->heal_index) return;
    MN_PROBE("raft: a wounded node is healed");
    raft->is_wounded = false;
    raft->is_dirty = true;
}

void raft_replicate_on_append(struct raft *raft, const struct raft_msg *msg)
{
    uint64_t match = msg->index + msg->entries_count;
    uint32_t known;

    if (!raft_replicate_are_valid(msg)) {
        raft->dropped++;
        return;
    }
    if (msg->index < raft->commit) { /* of old; what is committed here is the same there */
        raft_replicate_heal(raft, msg, raft->commit);
        raft_replicate_answer(raft, msg, RAFT_MSG_APPEND_ACK)->index = raft->commit;
        return;
    }
    if (!raft_log_matches(&raft->log, msg->index, msg->log_term)) {
        raft_replicate_reject(raft, msg);
        return;
    }
    known = raft_replicate_known(raft, msg);
    raft_replicate_store(raft, msg, known);
    raft_replicate_commit_to(raft, msg->commit < match ? msg->commit : match);
    raft_replicate_heal(raft, msg, match);
    raft_replicate_answer(raft, msg, RAFT_MSG_APPEND_ACK)->index = match;
}

void raft_replicate_on_heartbeat(struct raft *raft, const struct raft_msg *msg)
{
    /* Its leader may still count on what a wounded node acknowledged before, and has no more. */
    if (!raft->is_wounded) raft_replicate_commit_to(raft, msg->commit);
    raft_replicate_answer(raft, msg, RAFT_MSG_HEARTBEAT_ACK);
}
