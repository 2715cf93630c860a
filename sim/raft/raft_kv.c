/* A key-value map with client sessions: the state machine of the simulated groups. A command that
 * comes twice is applied once, also when its first copy is in a snapshot. Sessions expire by log
 * position: the one unused for longest goes when a new one needs its place. */
#include <string.h>

#include "proto/base/bytes.h"
#include "sim/raft/raft_sim.h"

#define COMMAND_SIZE 48

struct mn_buf *raft_kv_encode(const struct raft_command *command)
{
    struct mn_buf *buf = mn_buf_new(COMMAND_SIZE);
    const uint64_t words[6] = {command->client, command->seq,   command->kind,
                               command->key,    command->value, command->expected};

    for (size_t i = 0; i < 6; i++)
        mn_store_u64(buf->bytes + 8 * i, words[i]);
    return buf;
}

static struct raft_session *kv_session(struct raft_kv *kv, uint64_t client)
{
    struct raft_session *oldest = &kv->sessions[0];

    for (uint32_t i = 0; i < RAFT_SESSIONS; i++) {
        if (kv->sessions[i].client == client) return &kv->sessions[i];
        if (kv->sessions[i].used < oldest->used) oldest = &kv->sessions[i];
    }
    *oldest = (struct raft_session){.client = client};
    return oldest;
}

static uint64_t kv_do(struct raft_kv *kv, const uint8_t *bytes)
{
    enum raft_op_kind kind = (enum raft_op_kind)mn_load_u64(bytes + 16);
    uint64_t *value = &kv->values[mn_load_u64(bytes + 24) % RAFT_KEYS];

    if (kind == RAFT_OP_CAS && *value != mn_load_u64(bytes + 40)) return 0;
    *value = mn_load_u64(bytes + 32);
    return 1;
}

uint64_t raft_kv_apply(struct raft_kv *kv, const struct raft_entry *entry)
{
    uint64_t hash = kv->chain ^ entry->term;
    struct raft_session *session;
    uint64_t seq;

    for (size_t i = 0; i < entry->data.size; i++)
        hash = (hash ^ entry->data.data[i]) * 0x100000001b3U;
    kv->chain = (hash ^ (uint64_t)entry->kind) * 0x100000001b3U;
    kv->index = entry->index;
    if (entry->kind != RAFT_ENTRY_COMMAND || entry->data.size != COMMAND_SIZE) return 0;
    session = kv_session(kv, mn_load_u64(entry->data.data));
    session->used = entry->index;
    seq = mn_load_u64(entry->data.data + 8);
    if (seq > session->seq) {
        session->seq = seq;
        session->result = kv_do(kv, entry->data.data);
    }
    return session->result;
}

struct mn_buf *raft_kv_snapshot(const struct raft_kv *kv)
{
    return mn_buf_copy(mn_span(kv, sizeof *kv));
}

void raft_kv_restore(struct raft_kv *kv, const struct raft_snapshot *snapshot)
{
    *kv = (struct raft_kv){.index = snapshot->index};
    if (mn_buf_span(snapshot->data).size == sizeof *kv)
        memcpy(kv, snapshot->data->bytes, sizeof *kv);
}
