/* raftlog.h: how a consensus group is kept in the log of node/edge.h. One `struct raft_persist` is
 * one write; what is read back becomes one `struct raft_recovered` per group. Pure. */
#ifndef RAFTLOG_H
#define RAFTLOG_H

#include "consensus/raft.h"
#include "node/edge.h"

/* Appends the EDGE_OUT_LOG with [write], the log's own rising number. Entries and snapshot data are
 * borrowed: what [persist] points to must stay until the outbox is reset. */
void raftlog_emit(struct edge_outbox *outbox, uint64_t write, uint64_t group,
                  const struct raft_persist *persist);
void raftlog_emit_end(struct edge_outbox *outbox, uint64_t write, uint64_t group);

/* All groups while they are read back. Zero-initialised is empty and ready. */
struct raftlog_group {
    struct raftlog_group *next;
    uint64_t group;
    struct raft_recovered recovered;
    struct raft_entry *entries;
    uint32_t capacity;
};

struct raftlog_recovery {
    struct raftlog_group *first, *last; /* in order of their number */
    uint32_t count;
    bool has_lost_groups; /* damage that no group can be told of: see EDGE_LOG_CORRUPT. A group that
                           * was here before and is not found starts with RAFT_DAMAGE_CORRUPT */
};

/* Takes an EDGE_IN_LOG_RECOVER. MN_MALFORMED: the bytes of a configuration do not decode; the group
 * is then kept as damaged, without a snapshot. */
mn_status raftlog_recover(struct raftlog_recovery *recovery, const struct edge_input *input);

/* What raft_new() wants; NULL: nothing is known of the group. Valid until raftlog_done(). */
const struct raft_recovered *raftlog_find(const struct raftlog_recovery *recovery, uint64_t group);
void raftlog_done(struct raftlog_recovery *recovery);

#endif
