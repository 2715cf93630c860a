/* Snapshots: taking, sending and installing them. A transfer keeps its own snapshot alive, however
 * often a newer one is taken meanwhile, so that a slow one ends. */
#include "consensus/raft_internal.h"

#include "proto/base/check.h"
#include "proto/base/crc.h"

/* A snapshot costs as much as the state is large: it shall not be written more often than entries
 * of so many times its size; but neither shall so many times the usual entries wait for it. */
#define SIZE_MORE 2u
#define ENTRIES_MORE 16u

/* Entries that one step lets go of: a hundred thousand at once would hold up everybody. */
#define COMPACT_MAX 256u

/* ---- taking ---- */

void raft_snapshot_ask(struct raft *raft)
{
    uint64_t entries = raft->applied - raft->snapshot.index, size;

    if (raft->is_snapshot_asked || entries == 0) return;
    size = raft_log_end(&raft->log, raft->applied) - raft_log_end(&raft->log, raft->snapshot.index);
    if (size < raft->config.compact_size && entries < raft->config.compact_entries * ENTRIES_MORE) {
        if (entries < raft->config.compact_entries) return;
        if (size < SIZE_MORE * mn_buf_span(raft->snapshot.data).size) return;
    }
    raft->is_snapshot_asked = true;
    raft_emit(raft, RAFT_OUT_SNAPSHOT_WANTED);
}

static void raft_snapshot_replace(struct raft *raft, const struct raft_snapshot *snapshot)
{
    mn_buf_unref(raft->snapshot.data);
    raft->snapshot = *snapshot;
    raft->is_snapshot_dirty = raft->is_dirty = true;
    raft->is_snapshot_asked = false;
}

/* The last entry that need not stay for laggards: all but the newest keep_entries below [index],
 * and of those not more than keep_size bytes. */
static uint64_t raft_snapshot_cut(const struct raft *raft, uint64_t index)
{
    const struct raft_log *log = &raft->log;
    uint64_t end = raft_log_end(log, index), low = log->base_index, high = index;

    if (index > raft->config.keep_entries && index - raft->config.keep_entries > low)
        low = index - raft->config.keep_entries;
    while (low < high) { /* the first one behind which little enough stands */
        uint64_t middle = low + (high - low) / 2;
        if (end - raft_log_end(log, middle) <= raft->config.keep_size)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void raft_snapshot_on_taken(struct raft *raft, uint64_t index, struct mn_buf *data)
{
    struct raft_snapshot snapshot = {.index = index};
    uint64_t config_index;

    raft->is_snapshot_asked = false;
    if (index <= raft->snapshot.index || index > raft->applied) return;
    raft_config_find(raft, index, &snapshot.config, &config_index);
    if (snapshot.config.members_count == 0) return; /* of use to nobody */
    if (!raft_log_term(&raft->log, index, &snapshot.term)) return;
    snapshot.data = mn_buf_ref(data);
    raft_snapshot_replace(raft, &snapshot);
    if (raft->members_index < index) raft->members_index = index; /* it is the snapshot's now */
    raft->compact_to = raft_snapshot_cut(raft, index);
    raft_save(raft);
}

void raft_snapshot_compact(struct raft *raft)
{
    uint64_t upto = raft->log.base_index + COMPACT_MAX;

    if (raft->compact_to <= raft->log.base_index) return;
    raft_log_compact(&raft->log, upto < raft->compact_to ? upto : raft->compact_to);
}

/* ---- sending ---- */

void raft_snapshot_stop(struct raft_peer *peer)
{
    if (peer->sending == NULL) return;
    mn_buf_unref(peer->sending->data);
    mn_free(peer->sending);
    peer->sending = NULL;
}

static void raft_snapshot_begin(struct raft *raft, struct raft_peer *peer)
{
    MN_ASSERT(raft->snapshot.config.members_count > 0);
    peer->state = RAFT_SNAPSHOT;
    peer->sending = mn_alloc(sizeof *peer->sending);
    *peer->sending = raft->snapshot;
    mn_buf_ref(peer->sending->data);
    peer->offset = 0;
}

/* One chunk is out at a time. What it says is copied: the transfer may end within this very step,
 * as when a leader hands over and steps down. */
void raft_snapshot_send(struct raft *raft, struct raft_peer *peer)
{
    struct mn_arena *arena = raft->outbox->arena;
    const struct raft_snapshot *snapshot;
    struct quorum_config *config;
    struct mn_span data;
    struct raft_msg *msg;
    size_t left;

    if (peer->sending == NULL) raft_snapshot_begin(raft, peer);
    snapshot = peer->sending;
    data = mn_buf_span(snapshot->data);
    MN_ASSERT(peer->offset <= data.size);
    left = data.size - peer->offset;
    if (left > raft->config.message_size) left = raft->config.message_size;
    peer->chunk_at = raft->now.mono;
    msg = raft_send(raft, RAFT_MSG_SNAPSHOT, &peer->id, 0);
    msg->ctx = raft_replicate_ctx(raft);
    msg->index = snapshot->index;
    msg->log_term = snapshot->term;
    config = mn_arena_alloc(arena, sizeof *config);
    *config = snapshot->config;
    msg->config = config;
    msg->offset = peer->offset;
    msg->total = data.size;
    if (left > 0) msg->data = mn_arena_copy(arena, mn_span(data.data + peer->offset, left));
    msg->crc = mn_crc32c(0, msg->data);
}

void raft_snapshot_on_ack(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_peer *peer = raft_replicate_peer(raft, &msg->from);

    if (!raft_replicate_is_member(raft, msg)) return;
    if (peer == NULL || raft->role != RAFT_LEADER || msg->term != raft->term) return;
    raft_replicate_heard(raft, peer, msg);
    if (peer->state != RAFT_SNAPSHOT || msg->index != peer->sending->index) return;
    if (msg->offset > mn_buf_span(peer->sending->data).size || msg->offset == peer->offset) return;
    if (msg->offset < peer->offset) MN_PROBE("raft: a snapshot goes back to what was received");
    peer->offset = msg->offset;
    raft_snapshot_send(raft, peer);
}

/* ---- installing ---- */

void raft_snapshot_forget_incoming(struct raft *raft)
{
    mn_writer_drop(&raft->incoming_data);
    raft->incoming = (struct raft_snapshot){0};
}

static void raft_snapshot_install(struct raft *raft)
{
    struct raft_snapshot snapshot = raft->incoming;

    snapshot.data = mn_writer_done(&raft->incoming_data);
    raft->incoming = (struct raft_snapshot){0};
    raft_snapshot_replace(raft, &snapshot);
    if (raft_log_matches(&raft->log, snapshot.index, snapshot.term)) {
        MN_PROBE("raft: a snapshot installed under a log that goes on");
        raft_log_compact(&raft->log, snapshot.index);
    } else {
        MN_PROBE("raft: a snapshot replaced the log");
        raft_log_reset(&raft->log, snapshot.index, snapshot.term);
        raft->is_reset_dirty = true;
    }
    raft_config_refresh(raft);
    if (raft->members_index > snapshot.index)
        MN_PROBE("raft: a snapshot installed under a newer configuration");
    raft->commit = raft->applied = snapshot.index;
    raft_emit(raft, RAFT_OUT_RESTORE)->restore = &raft->snapshot;
}

static bool raft_snapshot_is_valid(const struct raft *raft, const struct raft_msg *msg)
{
    if (msg->config == NULL || msg->index == 0 || msg->log_term > msg->term) return false;
    if (msg->total > raft->config.snapshot_size || msg->data.size > msg->total) return false;
    if (msg->offset > msg->total - msg->data.size) return false;
    if (msg->data.size == 0 && msg->total > 0) return false;
    return mn_crc32c(0, msg->data) == msg->crc;
}

static void raft_snapshot_answer_match(struct raft *raft, const struct raft_msg *chunk)
{
    struct raft_msg *msg = raft_send(raft, RAFT_MSG_APPEND_ACK, &chunk->from, raft_save(raft));

    msg->index = raft->commit;
    msg->ctx = chunk->ctx;
    msg->heal = raft->is_wounded ? raft->heal : 0;
}

void raft_snapshot_on_chunk(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_msg *ack;

    if (!raft_snapshot_is_valid(raft, msg)) {
        raft->dropped++;
        return;
    }
    if (msg->index <= raft->commit) {
        raft_snapshot_answer_match(raft, msg);
        return;
    }
    if (raft->incoming.index != msg->index || raft->incoming.term != msg->log_term) {
        raft_snapshot_forget_incoming(raft);
        raft->incoming.index = msg->index;
        raft->incoming.term = msg->log_term;
        raft->incoming.config = *msg->config;
    }
    if (msg->offset == mn_writer_size(&raft->incoming_data) && msg->data.size > 0)
        mn_writer_add(&raft->incoming_data, msg->data);
    if (mn_writer_size(&raft->incoming_data) == msg->total) {
        raft_snapshot_install(raft);
        raft_snapshot_answer_match(raft, msg);
        return;
    }
    ack = raft_send(raft, RAFT_MSG_SNAPSHOT_ACK, &msg->from, raft_save(raft));
    ack->index = msg->index;
    ack->offset = mn_writer_size(&raft->incoming_data);
    ack->ctx = msg->ctx;
    ack->heal = raft->is_wounded ? raft->heal : 0;
}
