/* raft_internal.h: the state of a group and what its files ask of each other.
 *
 * raft.c: life, the step, what goes to disk. raft_log.c: entries in memory. raft_election.c: terms,
 * votes, timers of those who do not lead. raft_replicate.c: appends and heartbeats, both ends.
 * raft_snapshot.c: snapshots and compaction. raft_config.c: changes of configuration, transfer.
 * raft_read.c: linearizable reads. raft_rest.c: groups in which nothing happens. */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include "consensus/raft.h"

#define RAFT_WRITES_TIMED 64u /* writes under way whose start is known */
#define RAFT_SLOW_MAX 3u      /* slow syncs in a row before a leader hands over */

/* An entry, and where its bytes end in the log as a whole. */
struct raft_slot {
    uint64_t term, end;
    enum raft_entry_kind kind;
    struct mn_buf *data; /* our ref; never NULL */
};

/* Entries base_index + 1 .. base_index + count. */
struct raft_log {
    struct raft_slot *slots;
    uint32_t start, count, capacity; /* slots[start] is the first one */
    uint64_t base_index, base_term, base_end;
    uint64_t generation; /* rises when entries are cut off the end */
    uint64_t synced;     /* entries up to here are durable as they stand */
    uint64_t saved;      /* entries up to here were handed to the disk */
};

enum raft_peer_state { RAFT_PROBE = 0, RAFT_REPLICATE, RAFT_SNAPSHOT };

/* What a leader knows about a member; peers[i] is members[i]. */
struct raft_peer {
    mn_id id;
    enum raft_peer_state state;
    uint64_t match, next;
    uint64_t commit_told; /* by the newest message to it */
    uint32_t inflight;
    bool is_paused;                /* PROBE: one is out */
    mn_time heard;                 /* mono */
    uint64_t ctx_acked;            /* newest of ours it has answered */
    uint64_t heal, heal_index;     /* heal: it is wounded, and counts for nothing */
    struct raft_snapshot *sending; /* SNAPSHOT: our copy, with a ref */
    uint64_t offset;
    mn_time chunk_at;
};

enum raft_read_state {
    RAFT_READ_EARLY = 1, /* waits for the first commit of this term */
    RAFT_READ_CONFIRM,   /* index is known; waits until a quorum answered ctx or a later one */
    RAFT_READ_APPLY      /* waits until index is applied */
};

struct raft_read {
    enum raft_read_state state;
    uint64_t request, index, ctx;
    mn_id from; /* zero: our own */
};

struct raft {
    struct raft_config config;
    struct rng rng;
    struct mn_now now;          /* of this step */
    struct raft_outbox *outbox; /* of this step */

    /* on disk */
    uint64_t term, commit;
    mn_id vote;
    bool is_wounded;
    struct raft_log log;
    struct raft_snapshot snapshot;
    bool is_dirty, is_snapshot_dirty, is_reset_dirty;
    uint64_t write_last, write_durable;
    mn_time write_at[RAFT_WRITES_TIMED];
    uint32_t slow_count;

    enum raft_role role;
    mn_id leader; /* zero: not known */
    uint64_t applied;
    struct quorum_config members; /* in effect: newest in the log, else the snapshot's */
    uint64_t members_index;
    uint64_t heal; /* our number while wounded */

    mn_time election_at;
    mn_time sticky_until; /* E after we last heard a leader: until then no vote is given */
    uint32_t votes_yes, votes_no;
    bool is_forced;      /* this election was asked for by the leader */
    uint64_t vote_write; /* our own vote counts once this is durable */

    /* leader */
    struct raft_peer peers[QUORUM_MEMBERS_MAX];
    mn_time heartbeat_at, quorum_at, flush_at, notify_at;
    uint64_t ctx_last, term_start; /* index of this term's no-op */
    uint64_t round_index;          /* our last index when the newest heartbeats went out */
    uint64_t round_ctx;            /* of them; rounds of an earlier term are older than any read */
    size_t unsent_size;            /* bytes proposed since the last flush */
    mn_id transfer_to;
    mn_time transfer_until;
    bool is_lease_void;

    struct raft_read *reads;
    uint32_t reads_count, reads_capacity;
    uint64_t compact_to; /* entries up to here are let go of, a few at each step */
    uint32_t reads_seen; /* so many of them wait for more than these two: */
    uint64_t reads_ctx, reads_applied;

    struct raft_snapshot incoming; /* being received; index 0: none */
    struct mn_writer incoming_data;
    bool is_snapshot_asked;
    struct {
        enum raft_role role;
        uint64_t term;
        mn_id leader;
    } told;
    uint64_t dropped, stale;
};

/* ---- raft.c ---- */
struct raft_output *raft_emit(struct raft *raft, enum raft_output_type type);
/* A message to [to] with type, from, to and term filled in. */
struct raft_msg *raft_send(struct raft *raft, enum raft_msg_type type, const mn_id *to,
                           uint64_t after_write);
/* Hands what changed to the disk. The write after which all of it is durable; 0: it is already. */
uint64_t raft_save(struct raft *raft);
bool raft_is_self(const struct raft *raft, uint32_t member);
bool raft_can_vote(const struct raft *raft); /* as a voter that may campaign */
void raft_refuse(struct raft *raft, uint64_t request, mn_status status);
/* Does a write wait for longer than slow syncs in a row would take? */
bool raft_is_disk_stuck(const struct raft *raft);

/* ---- raft_log.c ---- */
void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term);
void raft_log_done(struct raft_log *log);
uint64_t raft_log_last(const struct raft_log *log);
uint64_t raft_log_last_term(const struct raft_log *log);
/* True with the term of an entry that is known: in the log, or the one before it. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret);
bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term);
const struct raft_slot *raft_log_slot(const struct raft_log *log, uint64_t index);
uint64_t raft_log_end(const struct raft_log *log, uint64_t index); /* bytes up to and with it */
void raft_log_append(struct raft_log *log, uint64_t term, enum raft_entry_kind kind,
                     struct mn_buf *data); /* takes the ref */
void raft_log_truncate(struct raft_log *log, uint64_t from);
void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term);
void raft_log_compact(struct raft_log *log, uint64_t upto);
/* The largest index <= [index] whose term is <= [term], or the base. */
uint64_t raft_log_find(const struct raft_log *log, uint64_t index, uint64_t term);
/* Copies of [from..upto] in [arena], of at most [size] bytes but at least one. */
struct raft_entry *raft_log_copy(const struct raft_log *log, uint64_t from, uint64_t upto,
                                 size_t size, struct mn_arena *arena, uint32_t *ret_count);

/* ---- raft_election.c ---- */
void raft_election_arm(struct raft *raft);
void raft_election_follow(struct raft *raft, uint64_t term, const mn_id *leader);
void raft_election_start(struct raft *raft, bool is_pre, bool is_forced);
void raft_election_count(struct raft *raft);
void raft_election_tick(struct raft *raft);
void raft_election_on_ask(struct raft *raft, const struct raft_msg *msg);
void raft_election_on_vote(struct raft *raft, const struct raft_msg *msg);
bool raft_election_is_sticky(const struct raft *raft);

/* ---- raft_replicate.c ---- */
void raft_replicate_lead(struct raft *raft); /* a new leader */
void raft_replicate_flush(struct raft *raft);
void raft_replicate_commit(struct raft *raft);
void raft_replicate_heartbeat(struct raft *raft);
void raft_replicate_tick(struct raft *raft);
void raft_replicate_send(struct raft *raft, uint32_t member, bool is_empty_fine);
void raft_replicate_remap(struct raft *raft, const struct quorum_config *before);
uint64_t raft_replicate_ctx(struct raft *raft);
uint64_t raft_replicate_quorum_ctx(const struct raft *raft);
void raft_replicate_on_propose(struct raft *raft, uint64_t request, struct mn_buf *data);
void raft_replicate_append(struct raft *raft, enum raft_entry_kind kind, struct mn_buf *data);
void raft_replicate_on_append(struct raft *raft, const struct raft_msg *msg);
void raft_replicate_on_heartbeat(struct raft *raft, const struct raft_msg *msg);
void raft_replicate_on_ack(struct raft *raft, const struct raft_msg *msg);
void raft_replicate_on_heartbeat_ack(struct raft *raft, const struct raft_msg *msg);
void raft_replicate_heard(struct raft *raft, struct raft_peer *peer, const struct raft_msg *msg);
bool raft_replicate_is_member(struct raft *raft,
                              const struct raft_msg *msg); /* else it is counted */
void raft_replicate_commit_to(struct raft *raft, uint64_t commit);
struct raft_peer *raft_replicate_peer(struct raft *raft, const mn_id *id);

/* ---- raft_snapshot.c ---- */
void raft_snapshot_send(struct raft *raft, struct raft_peer *peer);
void raft_snapshot_stop(struct raft_peer *peer);
void raft_snapshot_on_chunk(struct raft *raft, const struct raft_msg *msg);
void raft_snapshot_on_ack(struct raft *raft, const struct raft_msg *msg);
void raft_snapshot_on_taken(struct raft *raft, uint64_t index, struct mn_buf *data);
void raft_snapshot_ask(struct raft *raft);
void raft_snapshot_compact(struct raft *raft);
void raft_snapshot_forget_incoming(struct raft *raft);

/* ---- raft_config.c ---- */
void raft_config_refresh(struct raft *raft); /* after the log was cut or replaced */
void raft_config_adopt(struct raft *raft, const struct quorum_config *config, uint64_t index);
void raft_config_find(const struct raft *raft, uint64_t upto, struct quorum_config *ret,
                      uint64_t *ret_index);
void raft_config_on_configure(struct raft *raft, uint64_t request,
                              const struct quorum_config *config);
void raft_config_committed(struct raft *raft);
void raft_config_transfer(struct raft *raft, uint64_t request, const mn_id *target);
void raft_config_transfer_go(struct raft *raft);
void raft_config_step_aside(struct raft *raft);
void raft_config_on_timeout_now(struct raft *raft, const struct raft_msg *msg);

/* ---- raft_rest.c ---- */
void raft_rest_wake(struct raft *raft, bool is_led);

/* ---- raft_read.c ---- */
void raft_read_on_read(struct raft *raft, uint64_t request);
void raft_read_on_ask(struct raft *raft, const struct raft_msg *msg);
void raft_read_on_answer(struct raft *raft, const struct raft_msg *msg);
void raft_read_advance(struct raft *raft);
void raft_read_fail_all(struct raft *raft);
bool raft_read_wants_round(const struct raft *raft);

#endif
