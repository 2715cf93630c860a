#include "node/raftlog.h"

#include "consensus/raft_wire.h"
#include "proto/base/check.h"

/* ---- out ---- */

static const struct edge_log_snapshot *raftlog_snapshot(struct mn_arena *arena,
                                                        const struct raft_snapshot *snapshot)
{
    struct edge_log_snapshot *log = mn_arena_alloc(arena, sizeof *log);
    struct mn_buf *config;

    *log = (struct edge_log_snapshot){
        .index = snapshot->index, .term = snapshot->term, .data = mn_buf_span(snapshot->data)};
    if (snapshot->config.members_count == 0) return log;
    config = raft_config_encode(&snapshot->config);
    log->config = mn_arena_copy(arena, mn_buf_span(config));
    mn_buf_unref(config);
    return log;
}

static const struct edge_log_entry *raftlog_entries(struct mn_arena *arena,
                                                    const struct raft_persist *persist)
{
    struct edge_log_entry *entries = NULL;

    if (persist->entries_count > 0)
        entries = mn_arena_alloc(arena, persist->entries_count * sizeof *entries);
    for (uint32_t i = 0; i < persist->entries_count; i++) {
        const struct raft_entry *entry = &persist->entries[i];
        entries[i] = (struct edge_log_entry){.index = entry->index,
                                             .term = entry->term,
                                             .kind = (uint32_t)entry->kind,
                                             .data = entry->data};
    }
    return entries;
}

static struct edge_log *raftlog_output(struct edge_outbox *outbox, uint64_t write, uint64_t group)
{
    struct edge_log *log = mn_arena_alloc(outbox->arena, sizeof *log);

    MN_ASSERT(group != 0);
    *log = (struct edge_log){.group = group};
    edge_emit(outbox, EDGE_OUT_LOG, write)->log = log;
    return log;
}

void raftlog_emit(struct edge_outbox *outbox, uint64_t write, uint64_t group,
                  const struct raft_persist *persist)
{
    struct edge_log *log = raftlog_output(outbox, write, group);

    log->term = persist->term;
    log->commit = persist->commit;
    log->vote = persist->vote;
    log->is_wounded = persist->is_wounded;
    log->is_reset = persist->is_reset;
    if (persist->snapshot != NULL)
        log->snapshot = raftlog_snapshot(outbox->arena, persist->snapshot);
    log->entries = raftlog_entries(outbox->arena, persist);
    log->entries_count = persist->entries_count;
}

void raftlog_emit_end(struct edge_outbox *outbox, uint64_t write, uint64_t group)
{
    raftlog_output(outbox, write, group)->is_end = true;
}

/* ---- in ---- */

static struct raftlog_group *raftlog_group(struct raftlog_recovery *recovery, uint64_t number)
{
    struct raftlog_group *group = recovery->last;

    if (group != NULL && group->group == number) return group;
    MN_ASSERT(group == NULL || group->group < number); /* the driver's promise */
    group = mn_alloc(sizeof *group);
    group->group = number;
    if (recovery->last == NULL)
        recovery->first = group;
    else
        recovery->last->next = group;
    recovery->last = group;
    recovery->count++;
    return group;
}

static mn_status raftlog_read_snapshot(struct raft_recovered *recovered,
                                       const struct edge_log_snapshot *snapshot)
{
    if (snapshot->config.size > 0 &&
        raft_config_decode(snapshot->config, &recovered->snapshot.config) != MN_OK)
        return MN_MALFORMED;
    recovered->snapshot.index = snapshot->index;
    recovered->snapshot.term = snapshot->term;
    if (snapshot->data.data != NULL) recovered->snapshot.data = mn_buf_copy(snapshot->data);
    return MN_OK;
}

static void raftlog_add(struct raftlog_group *group, const struct edge_log_entry *entry)
{
    uint32_t count = group->recovered.entries_count;
    struct mn_buf *buf = mn_buf_copy(entry->data);

    if (count == group->capacity) {
        group->capacity = count == 0 ? 16 : 2 * count;
        group->entries = mn_realloc(group->entries, group->capacity * sizeof *group->entries);
    }
    group->entries[count] = (struct raft_entry){.index = entry->index,
                                                .term = entry->term,
                                                .kind = (enum raft_entry_kind)entry->kind,
                                                .data = mn_buf_span(buf),
                                                .buf = buf};
    group->recovered.entries = group->entries;
    group->recovered.entries_count = count + 1;
}

mn_status raftlog_recover(struct raftlog_recovery *recovery, const struct edge_input *input)
{
    const struct edge_log *log = input->log;
    struct raftlog_group *group;
    mn_status status = MN_OK;

    MN_ASSERT(input->type == EDGE_IN_LOG_RECOVER);
    if (log->group == 0) {
        recovery->has_lost_groups = true;
        return MN_OK;
    }
    group = raftlog_group(recovery, log->group);
    group->recovered.term = log->term;
    group->recovered.commit = log->commit;
    group->recovered.vote = log->vote;
    group->recovered.is_wounded = log->is_wounded;
    if (input->code == EDGE_LOG_CORRUPT) group->recovered.damage = RAFT_DAMAGE_CORRUPT;
    if (log->snapshot != NULL) status = raftlog_read_snapshot(&group->recovered, log->snapshot);
    if (status != MN_OK) group->recovered.damage = RAFT_DAMAGE_CORRUPT;
    for (uint32_t i = 0; i < log->entries_count; i++)
        raftlog_add(group, &log->entries[i]);
    return status;
}

const struct raft_recovered *raftlog_find(const struct raftlog_recovery *recovery, uint64_t number)
{
    for (const struct raftlog_group *group = recovery->first; group != NULL; group = group->next)
        if (group->group == number) return &group->recovered;
    return NULL;
}

void raftlog_done(struct raftlog_recovery *recovery)
{
    struct raftlog_group *group = recovery->first, *next;

    for (; group != NULL; group = next) {
        next = group->next;
        for (uint32_t i = 0; i < group->recovered.entries_count; i++)
            mn_buf_unref(group->entries[i].buf);
        mn_buf_unref(group->recovered.snapshot.data);
        mn_free(group->entries);
        mn_free(group);
    }
    *recovery = (struct raftlog_recovery){0};
}
