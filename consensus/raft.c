#include "consensus/raft_internal.h"

#include <string.h>

#include "proto/base/check.h"

#define RAFT_NUMBER_MAX (UINT64_MAX / 4) /* of terms and indexes from outside */

/* ---- life ---- */

struct raft_config raft_config_default(void)
{
    return (struct raft_config){.election_timeout = 300 * MN_MS,
                                .heartbeat_interval = 100 * MN_MS,
                                .batch_delay = MN_MS,
                                .batch_size = (size_t)64 << 10,
                                .message_size = (size_t)1 << 20,
                                .inflight_count = 256,
                                .inflight_size = (size_t)8 << 20,
                                .uncommitted_size = (size_t)64 << 20,
                                .compact_entries = 10000,
                                .compact_size = (size_t)64 << 20,
                                .keep_entries = 5000,
                                .keep_size = (size_t)16 << 20,
                                .log_size = (size_t)256 << 20,
                                .snapshot_size = (size_t)256 << 20,
                                .ft_min = 1};
}

static bool raft_config_is_valid(const struct raft_config *config)
{
    mn_time base = config->election_timeout;

    if (mn_id_is_zero(&config->self)) return false;
    if (base < 10 * MN_MS || base > 60 * MN_SEC) return false;
    if (config->heartbeat_interval < MN_MS || config->heartbeat_interval > base / 2) return false;
    if (config->batch_delay > config->heartbeat_interval) return false;
    if (config->message_size == 0 || config->message_size > (size_t)1 << 20) return false;
    if (config->inflight_count == 0 || config->inflight_size == 0) return false;
    if (config->log_size == 0) return false;
    return config->compact_entries > 0 && config->snapshot_size < UINT32_MAX;
}

static bool raft_recovered_is_valid(const struct raft_recovered *recovered)
{
    const struct raft_snapshot *snapshot = &recovered->snapshot;
    uint64_t term = snapshot->term, next = snapshot->index + 1;

    if (recovered->term > RAFT_NUMBER_MAX || snapshot->index > RAFT_NUMBER_MAX) return false;
    if (snapshot->config.members_count > 0 && quorum_check(&snapshot->config) != MN_OK)
        return false;
    for (uint32_t i = 0; i < recovered->entries_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        if (entry->index <= snapshot->index) continue;
        if (entry->index != next++ || entry->term < term) return false;
        term = entry->term;
    }
    return term <= recovered->term;
}

enum raft_damage raft_damage_judge(uint64_t offset, uint64_t synced, bool has_valid_after)
{
    return offset < synced || has_valid_after ? RAFT_DAMAGE_CORRUPT : RAFT_DAMAGE_TORN;
}

static void raft_recover(struct raft *raft, const struct raft_recovered *recovered)
{
    uint64_t last;

    raft->term = recovered->term;
    raft->vote = recovered->vote;
    raft->snapshot = recovered->snapshot;
    mn_buf_ref(raft->snapshot.data);
    raft_log_init(&raft->log, raft->snapshot.index, raft->snapshot.term);
    for (uint32_t i = 0; i < recovered->entries_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        if (entry->index <= raft->snapshot.index) continue;
        raft_log_append(&raft->log, entry->term, entry->kind, mn_buf_copy(entry->data));
    }
    last = raft_log_last(&raft->log);
    raft->log.synced = raft->log.saved = last;
    raft->applied = raft->commit = raft->snapshot.index;
    raft_replicate_commit_to(raft, recovered->commit);
    raft->is_wounded = recovered->is_wounded || recovered->damage == RAFT_DAMAGE_CORRUPT;
    raft->is_dirty = raft->is_wounded != recovered->is_wounded;
    if (raft->is_wounded) raft->heal = rng_u64(&raft->rng) | 1;
    raft_config_refresh(raft);
}

mn_status raft_new(const struct raft_config *config, const struct raft_recovered *recovered,
                   struct mn_now now, struct raft **ret)
{
    struct raft *raft;

    if (!raft_config_is_valid(config) || !raft_recovered_is_valid(recovered)) return MN_CONFIG;
    raft = mn_alloc(sizeof *raft);
    raft->config = *config;
    raft->now = now;
    rng_init(&raft->rng, config->seed);
    raft->role = RAFT_FOLLOWER;
    raft->flush_at = raft->notify_at = MN_TIME_NEVER;
    raft_recover(raft, recovered);
    raft_election_arm(raft);
    /* We may have promised a lease just before we stopped. */
    if (config->uses_lease && raft->term > 0)
        raft->sticky_until = mn_time_after(now.mono, config->election_timeout);
    *ret = raft;
    return MN_OK;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL) return;
    if (raft->role == RAFT_LEADER)
        for (uint32_t i = 0; i < raft->members.members_count; i++)
            raft_snapshot_stop(&raft->peers[i]);
    raft_snapshot_forget_incoming(raft);
    raft_log_done(&raft->log);
    mn_buf_unref(raft->snapshot.data);
    mn_free(raft->reads);
    rng_done(&raft->rng);
    mn_free(raft);
}

/* ---- out ---- */

struct raft_output *raft_emit(struct raft *raft, enum raft_output_type type)
{
    struct raft_outbox *outbox = raft->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct raft_output){.type = type};
    return &outbox->items[outbox->count++];
}

struct raft_msg *raft_send(struct raft *raft, enum raft_msg_type type, const mn_id *to,
                           uint64_t after_write)
{
    struct raft_output *out = raft_emit(raft, RAFT_OUT_SEND);

    out->after_write = after_write;
    out->msg.type = type;
    out->msg.from = raft->config.self;
    out->msg.to = *to;
    out->msg.term = raft->term;
    return &out->msg;
}

void raft_refuse(struct raft *raft, uint64_t request, mn_status status)
{
    struct raft_output *out = raft_emit(raft, RAFT_OUT_REFUSED);

    out->refused.request = request;
    out->refused.status = status;
    out->refused.leader = raft->leader;
}

static void raft_persist(struct raft *raft)
{
    struct raft_persist *persist = &raft_emit(raft, RAFT_OUT_PERSIST)->persist;
    uint64_t last = raft_log_last(&raft->log);

    persist->write = ++raft->write_last;
    persist->mark.term = raft_log_last_term(&raft->log);
    persist->mark.index = last;
    persist->mark.generation = raft->log.generation;
    persist->term = raft->term;
    persist->commit = raft->commit;
    persist->vote = raft->vote;
    persist->is_wounded = raft->is_wounded;
    persist->snapshot = raft->is_snapshot_dirty ? &raft->snapshot : NULL;
    persist->is_reset = raft->is_reset_dirty;
    persist->entries = raft_log_copy(&raft->log, raft->log.saved + 1, last, SIZE_MAX,
                                     raft->outbox->arena, &persist->entries_count);
    /* A write that is torn may keep this and lose its entries: it must not vouch for them, or for
     * what they were to replace. */
    if (persist->entries_count > 0 && persist->commit >= persist->entries[0].index)
        persist->commit = persist->entries[0].index - 1;
    raft->write_at[persist->write % RAFT_WRITES_TIMED] = raft->now.mono;
    raft->log.saved = last;
    raft->is_dirty = raft->is_snapshot_dirty = raft->is_reset_dirty = false;
}

uint64_t raft_save(struct raft *raft)
{
    if (raft->is_dirty) raft_persist(raft);
    return raft->write_last > raft->write_durable ? raft->write_last : 0;
}

bool raft_is_self(const struct raft *raft, uint32_t member)
{
    return mn_id_equal(&raft->members.members[member].id, &raft->config.self);
}

bool raft_can_vote(const struct raft *raft)
{
    return !raft->is_wounded && quorum_is_voter(&raft->members, &raft->config.self);
}

/* ---- in ---- */

static void raft_count_slow(struct raft *raft, uint64_t write)
{
    mn_time began = raft->write_at[write % RAFT_WRITES_TIMED];

    if (raft->write_last - write >= RAFT_WRITES_TIMED) began = 0; /* overtaken: surely slow */
    if (raft->now.mono - began > raft->config.election_timeout / 2)
        raft->slow_count++;
    else
        raft->slow_count = 0;
    if (raft->slow_count >= RAFT_SLOW_MAX && raft->role == RAFT_LEADER)
        raft_config_step_aside(raft);
}

bool raft_is_disk_stuck(const struct raft *raft)
{
    mn_time began = raft->write_at[(raft->write_durable + 1) % RAFT_WRITES_TIMED];

    if (raft->write_last == raft->write_durable) return false;
    if (raft->write_last - raft->write_durable >= RAFT_WRITES_TIMED) return true;
    return raft->now.mono - began > RAFT_SLOW_MAX * raft->config.election_timeout / 2;
}

static void raft_on_persisted(struct raft *raft, uint64_t write, const struct raft_mark *mark)
{
    if (write <= raft->write_durable || write > raft->write_last) return;
    raft->write_durable = write;
    if (mark->generation != raft->log.generation ||
        !raft_log_matches(&raft->log, mark->index, mark->term)) {
        MN_PROBE("raft: a completion of a log that was cut");
        raft->stale++;
    } else if (mark->index > raft->log.synced) {
        raft->log.synced = mark->index;
    }
    raft_count_slow(raft, write);
    if (raft->role == RAFT_CANDIDATE) raft_election_count(raft);
    if (raft->role != RAFT_LEADER) return;
    raft_replicate_commit(raft);
    if (raft->role == RAFT_LEADER && raft->flush_at != MN_TIME_NEVER &&
        raft->write_durable == raft->write_last)
        raft_replicate_flush(raft); /* those who waited for company have it now */
}

/* Somebody claims to lead. False: not in our eyes. */
static bool raft_hear_leader(struct raft *raft, const struct raft_msg *msg)
{
    if (msg->term < raft->term) {
        /* Our term tells it to step down; else a node that came back with a higher one would never
         * be led again. */
        raft_send(raft, RAFT_MSG_APPEND_ACK, &msg->from, raft_save(raft))->is_reject = true;
        return false;
    }
    if (msg->term == raft->term && raft->role == RAFT_LEADER) {
        raft->dropped++;
        return false;
    }
    if (msg->term > raft->term || raft->role != RAFT_FOLLOWER ||
        !mn_id_equal(&raft->leader, &msg->from))
        raft_election_follow(raft, msg->term, &msg->from);
    raft->sticky_until = mn_time_after(raft->now.mono, raft->config.election_timeout);
    raft_election_arm(raft);
    return true;
}

static bool raft_msg_is_for_us(const struct raft *raft, const struct raft_msg *msg)
{
    if (!mn_id_equal(&msg->to, &raft->config.self)) return false;
    if (mn_id_equal(&msg->from, &raft->config.self) || mn_id_is_zero(&msg->from)) return false;
    return msg->term <= RAFT_NUMBER_MAX && msg->index <= RAFT_NUMBER_MAX;
}

static void raft_on_message(struct raft *raft, const struct raft_msg *msg)
{
    if (!raft_msg_is_for_us(raft, msg)) {
        raft->dropped++;
        return;
    }
    switch (msg->type) {
    case RAFT_MSG_VOTE_ASK: raft_election_on_ask(raft, msg); break;
    case RAFT_MSG_VOTE: raft_election_on_vote(raft, msg); break;
    case RAFT_MSG_APPEND:
        if (raft_hear_leader(raft, msg)) raft_replicate_on_append(raft, msg);
        break;
    case RAFT_MSG_APPEND_ACK: raft_replicate_on_ack(raft, msg); break;
    case RAFT_MSG_HEARTBEAT:
        if (raft_hear_leader(raft, msg)) raft_replicate_on_heartbeat(raft, msg);
        break;
    case RAFT_MSG_HEARTBEAT_ACK: raft_replicate_on_heartbeat_ack(raft, msg); break;
    case RAFT_MSG_SNAPSHOT:
        if (raft_hear_leader(raft, msg)) raft_snapshot_on_chunk(raft, msg);
        break;
    case RAFT_MSG_SNAPSHOT_ACK: raft_snapshot_on_ack(raft, msg); break;
    case RAFT_MSG_TIMEOUT_NOW: raft_config_on_timeout_now(raft, msg); break;
    case RAFT_MSG_READ_ASK: raft_read_on_ask(raft, msg); break;
    case RAFT_MSG_READ: raft_read_on_answer(raft, msg); break;
    default: raft->dropped++; break;
    }
}

/* How many voters ask for votes before this node when the leader [gone] is lost: the heavier ones,
 * and of as heavy ones those with a lower id. All that know the same configuration agree on it. */
static uint32_t raft_rank(const struct raft *raft, uint32_t self, const mn_id *gone)
{
    uint64_t own = quorum_weight(&raft->members, self, QUORUM_NEW);
    uint32_t rank = 0;

    for (uint32_t i = 0; i < raft->members.members_count; i++) {
        uint64_t weight = quorum_weight(&raft->members, i, QUORUM_NEW);
        if (weight == 0 || mn_id_equal(&raft->members.members[i].id, gone)) continue;
        rank += weight > own || (weight == own && i < self); /* members rise by id */
    }
    return rank;
}

/* The link to the leader's node broke: do not wait for silence. One asks as soon as all can have
 * noticed, and the next only if that did not help: so two hardly ever split the votes, which would
 * cost an election timeout. With leases the promise stands. */
static void raft_on_unreachable(struct raft *raft, const mn_id *node)
{
    mn_time base = raft->config.election_timeout, at = raft->now.mono;
    int self = quorum_find(&raft->members, &raft->config.self);

    if (raft->role != RAFT_FOLLOWER || raft->config.uses_lease) return;
    if (mn_id_is_zero(node) || !mn_id_equal(node, &raft->leader) || !raft_can_vote(raft)) return;
    raft->sticky_until = 0;
    at += base / 32 + base / 8 * raft_rank(raft, (uint32_t)self, node) +
          rng_below_u64(&raft->rng, base / 64 + 1);
    raft->election_at = mn_time_min(raft->election_at, at);
}

static void raft_on_tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER)
        raft_replicate_tick(raft);
    else
        raft_election_tick(raft);
}

static void raft_input(struct raft *raft, const struct raft_input *input)
{
    switch (input->type) {
    case RAFT_IN_TICK: raft_on_tick(raft); break;
    case RAFT_IN_MESSAGE: raft_on_message(raft, input->msg); break;
    case RAFT_IN_PROPOSE:
        raft_replicate_on_propose(raft, input->propose.request, input->propose.data);
        break;
    case RAFT_IN_CONFIGURE:
        raft_config_on_configure(raft, input->configure.request, input->configure.config);
        break;
    case RAFT_IN_READ: raft_read_on_read(raft, input->read.request); break;
    case RAFT_IN_TRANSFER:
        raft_config_transfer(raft, input->transfer.request, &input->transfer.target);
        break;
    case RAFT_IN_PERSISTED:
        raft_on_persisted(raft, input->persisted.write, &input->persisted.mark);
        break;
    case RAFT_IN_SNAPSHOT:
        raft_snapshot_on_taken(raft, input->snapshot.index, input->snapshot.data);
        break;
    case RAFT_IN_UNREACHABLE: raft_on_unreachable(raft, &input->unreachable.node); break;
    case RAFT_IN_BEAT:
        if (raft->role == RAFT_LEADER) raft_replicate_heartbeat(raft);
        break;
    case RAFT_IN_WAKE: raft_rest_wake(raft, input->wake.is_led); break;
    }
}

static void raft_apply(struct raft *raft)
{
    struct raft_output *out;

    if (raft->applied >= raft->commit) return;
    out = raft_emit(raft, RAFT_OUT_APPLY);
    out->apply.entries = raft_log_copy(&raft->log, raft->applied + 1, raft->commit, SIZE_MAX,
                                       raft->outbox->arena, &out->apply.entries_count);
    raft->applied = raft->commit;
}

static void raft_tell_role(struct raft *raft)
{
    struct raft_output *out;

    if (raft->told.role == raft->role && raft->told.term == raft->term &&
        mn_id_equal(&raft->told.leader, &raft->leader))
        return;
    raft->told.role = raft->role;
    raft->told.term = raft->term;
    raft->told.leader = raft->leader;
    out = raft_emit(raft, RAFT_OUT_ROLE);
    out->role.role = raft->role;
    out->role.term = raft->term;
    out->role.leader = raft->leader;
}

void raft_step(struct raft *raft, struct mn_now now, const struct raft_input *input,
               struct raft_outbox *outbox)
{
    MN_ASSERT(now.mono >= raft->now.mono);
    raft->now = now;
    raft->outbox = outbox;
    raft_snapshot_compact(raft); /* before anything of this step points into the log */
    raft_input(raft, input);
    raft_apply(raft);
    raft_read_advance(raft);
    raft_snapshot_ask(raft);
    raft_tell_role(raft);
    if (raft->is_wounded && raft->is_dirty) raft_save(raft); /* the damage may not show again */
    raft->outbox = NULL;
}

mn_time raft_deadline(const struct raft *raft)
{
    mn_time at = mn_time_min(raft->heartbeat_at, raft->quorum_at);

    if (raft->role != RAFT_LEADER) return raft->election_at;
    at = mn_time_min(mn_time_min(at, raft->flush_at), raft->notify_at);
    if (!mn_id_is_zero(&raft->transfer_to)) at = mn_time_min(at, raft->transfer_until);
    return at;
}

/* ---- looking ---- */

void raft_check_state(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    uint64_t last = raft_log_last(log);

    MN_ASSERT(raft->commit <= last && raft->applied == raft->commit);
    MN_ASSERT(log->base_index <= raft->snapshot.index && raft->snapshot.index <= raft->commit);
    MN_ASSERT(log->synced <= last && log->saved <= last);
    MN_ASSERT(raft_log_last_term(log) <= raft->term);
    if (raft->role == RAFT_LEADER) {
        MN_ASSERT(mn_id_equal(&raft->leader, &raft->config.self));
        MN_ASSERT(!raft->is_wounded && raft->term_start <= last);
        for (uint32_t i = 0; i < raft->members.members_count; i++) {
            MN_ASSERT(raft->peers[i].match <= last && raft->peers[i].next <= last + 1);
            MN_ASSERT(raft->peers[i].match < raft->peers[i].next);
            MN_ASSERT((raft->peers[i].sending != NULL) == (raft->peers[i].state == RAFT_SNAPSHOT));
        }
    } else {
        MN_ASSERT(mn_id_is_zero(&raft->transfer_to));
    }
    if (raft->is_wounded) MN_ASSERT(raft->role == RAFT_FOLLOWER);
}

void raft_check(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    struct quorum_config config;
    uint64_t last = raft_log_last(log), index, term = log->base_term;

    raft_check_state(raft);
    for (uint64_t i = log->base_index + 1; i <= last; i++) {
        MN_ASSERT(raft_log_slot(log, i)->term >= term);
        term = raft_log_slot(log, i)->term;
    }
    raft_config_find(raft, last, &config, &index);
    MN_ASSERT(quorum_equal(&config, &raft->members) && index == raft->members_index);
}

struct raft_view raft_view(const struct raft *raft)
{
    return (struct raft_view){.role = raft->role,
                              .leader = raft->leader,
                              .vote = raft->vote,
                              .term = raft->term,
                              .commit = raft->commit,
                              .last_index = raft_log_last(&raft->log),
                              .last_term = raft_log_last_term(&raft->log),
                              .first_index = raft->log.base_index + 1,
                              .snapshot_index = raft->snapshot.index,
                              .config_index = raft->members_index,
                              .config = &raft->members,
                              .is_wounded = raft->is_wounded,
                              .is_transferring = !mn_id_is_zero(&raft->transfer_to),
                              .dropped = raft->dropped,
                              .stale = raft->stale};
}

bool raft_entry_at(const struct raft *raft, uint64_t index, struct raft_entry *ret)
{
    const struct raft_slot *slot;

    if (index <= raft->log.base_index || index > raft_log_last(&raft->log)) return false;
    slot = raft_log_slot(&raft->log, index);
    *ret = (struct raft_entry){.index = index,
                               .term = slot->term,
                               .kind = slot->kind,
                               .data = mn_buf_span(slot->data),
                               .buf = slot->data};
    return true;
}

bool raft_progress(const struct raft *raft, const mn_id *node, uint64_t *ret_match)
{
    int member = quorum_find(&raft->members, node);

    if (raft->role != RAFT_LEADER || member < 0) return false;
    *ret_match =
        raft_is_self(raft, (uint32_t)member) ? raft->log.synced : raft->peers[member].match;
    return true;
}
