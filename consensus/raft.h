/* raft.h: leader election and log replication for one consensus group with weighted voters.
 * Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC 2014), with
 * PreVote, check-quorum, leader transfer, ReadIndex and leases from Ongaro's thesis (2014, sections
 * 3.10, 4.2.3, 6.4, 9.6) and weighted majorities (consensus/quorum.h).
 *
 * Pure: no clock, socket, disk, thread or global. What must be on disk first is said in data: an
 * output with after_write is held back by the owner until that write is durable. A failed sync ends
 * the process; it is never retried.
 *
 * Fault model: crash, loss, delay, duplicates, reordering, partitions, and a log that was corrupted
 * on disk. Not: members that lie, or that lost their disk and still vote. */
#ifndef RAFT_H
#define RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/quorum.h"
#include "crypto/rng.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define RAFT_ENTRIES_MAX 4096u           /* of one message */
#define RAFT_ENTRY_MAX ((size_t)1 << 20) /* bytes of one entry's data */
#define RAFT_READS_MAX 1024u             /* waiting at one node */

struct raft; /* opaque */

/* Every field within its range, or raft_new() says MN_CONFIG. */
struct raft_config {
    mn_id self;
    mn_time election_timeout;   /* E; the draw is uniform in [E, 2E). 10 ms .. 60 s; 300 ms */
    mn_time heartbeat_interval; /* 1 ms .. E / 2; 100 ms */
    mn_time batch_delay;        /* while a write is under way, proposals wait for its end, but not
                                 * longer than this, for company; 0 .. heartbeat; 1 ms */
    size_t batch_size;          /* bytes that end the waiting; 64 KiB */
    size_t message_size;        /* bytes of entries or snapshot in one message; 1 .. 1 MiB; 1 MiB */
    uint32_t inflight_count;    /* unanswered messages with entries per peer, >= 1; 256 */
    size_t inflight_size;       /* bytes in them; 8 MiB */
    size_t uncommitted_size;    /* bytes of entries a leader holds uncommitted; 64 MiB */
    uint64_t compact_entries;   /* applied since the snapshot before a new one is wanted, while that
                                 * one is small; 16 times as many in any case; 10,000 */
    size_t compact_size;        /* or so many bytes; 64 MiB */
    uint64_t keep_entries;      /* stay for laggards when a snapshot is taken; 5,000 */
    size_t keep_size;           /* but not more bytes of them than this; 16 MiB */
    size_t log_size;            /* bytes of entries in memory at which a leader takes no more before
                                 * a snapshot was taken, whether committed or not; 256 MiB */
    size_t snapshot_size;       /* bytes of a snapshot taken from a leader; 256 MiB */
    uint32_t ft_min;            /* see quorum_guard(); 1 */
    bool uses_lease;            /* lease reads, equal at all members: needs clocks that run within
                                 * 5% of each other. Default: ReadIndex */
    uint8_t seed[RNG_SEED_SIZE]; /* same seed, same inputs: same outputs */
};

/* The defaults above; self and seed are zero. */
struct raft_config raft_config_default(void);

enum raft_entry_kind { RAFT_ENTRY_COMMAND = 1, RAFT_ENTRY_NOOP, RAFT_ENTRY_CONFIG };

struct raft_entry {
    uint64_t index, term;
    enum raft_entry_kind kind;
    struct mn_span data;
    struct mn_buf *buf; /* what data is in, to take a ref of; NULL in a received message */
};

/* The state machine after [index], and the configuration that was in effect there. */
struct raft_snapshot {
    uint64_t index, term;
    struct quorum_config config; /* members_count 0: not known, as in a node that starts empty */
    struct mn_buf *data;         /* NULL: nothing applied yet */
};

/* ---- what is found on disk ---- */

enum raft_damage { RAFT_DAMAGE_NONE = 0, RAFT_DAMAGE_TORN, RAFT_DAMAGE_CORRUPT };

/* What a record whose checksum is wrong means (Alagappan et al., "Protocol-Aware Recovery for
 * Consensus-Based Storage", FAST 2018). TORN: nothing valid follows and it was never reported as
 * durable, so nothing depended on it. CORRUPT: something may have; cutting it off would take back
 * an acknowledgement. [offset] of the bad record; [synced] up to which the log is known to have
 * been synced. */
enum raft_damage raft_damage_judge(uint64_t offset, uint64_t synced, bool has_valid_after);

/* A new group starts with a snapshot at index 0 that has the first configuration, the same at all
 * first members; a member that joins later starts with all zero. */
struct raft_recovered {
    uint64_t term, commit;
    mn_id vote; /* zero: none */
    bool is_wounded;
    enum raft_damage damage; /* CORRUPT: entries end before the damage, and term and vote may be
                              * those of an earlier record. The node is wounded: it has no vote, and
                              * counts for nothing, until a leader has sent it all that it can have
                              * acknowledged before, and a quorum of others has confirmed that */
    struct raft_snapshot snapshot;    /* data borrowed */
    const struct raft_entry *entries; /* without gaps; those up to snapshot.index are skipped */
    uint32_t entries_count;
};

/* ---- messages ---- */

enum raft_msg_type {
    RAFT_MSG_VOTE_ASK = 1,  /* index, log_term: newest entry; is_pre, is_transfer */
    RAFT_MSG_VOTE,          /* is_pre, is_granted */
    RAFT_MSG_APPEND,        /* index, log_term: before entries; commit, ctx, heal, heal_index */
    RAFT_MSG_APPEND_ACK,    /* index: match; or is_reject, index as asked, hint_*; ctx, heal */
    RAFT_MSG_HEARTBEAT,     /* commit, ctx */
    RAFT_MSG_HEARTBEAT_ACK, /* ctx */
    RAFT_MSG_SNAPSHOT,      /* index, log_term, config, offset, total, crc, data, ctx */
    RAFT_MSG_SNAPSHOT_ACK,  /* index of the snapshot, offset: bytes held; ctx */
    RAFT_MSG_TIMEOUT_NOW,   /* start an election at once */
    RAFT_MSG_READ_ASK,      /* ctx: request */
    RAFT_MSG_READ           /* ctx: request, index; is_reject: ask again */
};

struct raft_msg {
    enum raft_msg_type type;
    mn_id from, to;
    uint64_t term, index, log_term, commit;
    uint64_t ctx; /* of a leader: rises with every message, and is the mono time it left at least */
    bool is_pre, is_transfer, is_granted, is_reject;
    uint64_t hint_index, hint_term; /* where the logs may agree */
    uint64_t heal, heal_index; /* heal: a wounded node's number; it is healed with heal_index */
    const struct raft_entry *entries;
    uint32_t entries_count;
    const struct quorum_config *config;
    uint64_t offset, total; /* bytes */
    uint32_t crc;           /* CRC-32C of data */
    struct mn_span data;
};

/* ---- in ---- */

/* What a PERSIST left at the end of the log, handed back with its completion. A completion of a log
 * that was cut since is recognised by its generation. */
struct raft_mark {
    uint64_t term, index, generation;
};

enum raft_input_type {
    RAFT_IN_TICK = 1,    /* the deadline is reached; the only input that lets timers fire */
    RAFT_IN_MESSAGE,     /* from a peer whose identity is known to be .from */
    RAFT_IN_PROPOSE,     /* a command; answered by ACCEPTED or REFUSED */
    RAFT_IN_CONFIGURE,   /* the configuration wanted, not joint; answered likewise */
    RAFT_IN_READ,        /* answered by READ; request must never have been used by this node before,
                          * not even by an earlier process */
    RAFT_IN_TRANSFER,    /* hand leadership over; answered by REFUSED or not at all */
    RAFT_IN_PERSISTED,   /* a write, and all before it, is durable */
    RAFT_IN_SNAPSHOT,    /* the state machine as of [index], which was applied */
    RAFT_IN_UNREACHABLE, /* the link to a node was reset or refused */
    RAFT_IN_BEAT, /* a leader sends its heartbeats now, together with those of other groups */
    RAFT_IN_WAKE  /* after a rest, in which no input came and no deadline counted: timers
                   * start anew. is_led: the leader's node was heard of meanwhile */
};

struct raft_input {
    enum raft_input_type type;
    union {
        const struct raft_msg *msg; /* borrowed */
        struct {
            uint64_t request;
            struct mn_buf *data; /* raft takes its own ref; up to RAFT_ENTRY_MAX bytes */
        } propose;
        struct {
            uint64_t request;
            const struct quorum_config *config; /* copied */
        } configure;
        struct {
            uint64_t request;
        } read;
        struct {
            uint64_t request;
            mn_id target; /* zero: whoever is most advanced */
        } transfer;
        struct {
            uint64_t write;
            struct raft_mark mark;
        } persisted;
        struct {
            uint64_t index;
            struct mn_buf *data; /* raft takes its own ref */
        } snapshot;
        struct {
            mn_id node;
        } unreachable;
        struct {
            bool is_led;
        } wake;
    };
};

/* ---- out ---- */

enum raft_output_type {
    RAFT_OUT_PERSIST = 1, /* write, sync, answer PERSISTED; in the order emitted */
    RAFT_OUT_SEND,
    RAFT_OUT_APPLY,    /* entries are committed: apply them, once, in order */
    RAFT_OUT_RESTORE,  /* the state machine becomes this snapshot */
    RAFT_OUT_ACCEPTED, /* it is done when the entry applied at index has this term; if another
                        * has, or leadership is lost: unknown */
    RAFT_OUT_REFUSED,  /* certainly not done. MN_STATE: no leader here; MN_BUSY; MN_CONFIG;
                        * MN_NOT_YET: not in this state of the group; MN_TOO_BIG */
    RAFT_OUT_READ,     /* MN_OK: what is applied now may be read; MN_STATE, MN_BUSY: ask again */
    RAFT_OUT_SNAPSHOT_WANTED, /* the log is long: answer SNAPSHOT when convenient */
    RAFT_OUT_ROLE             /* role, term or leader changed */
};

enum raft_role { RAFT_FOLLOWER = 1, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_persist {
    uint64_t write; /* rises by one */
    struct raft_mark mark;
    uint64_t term, commit; /* with vote and is_wounded: one record. commit is a hint */
    mn_id vote;
    bool is_wounded;
    const struct raft_snapshot *snapshot; /* NULL: the old one stays */
    bool is_reset;                        /* forget all entries first */
    const struct raft_entry *entries;     /* replace what stands at entries[0].index and after */
    uint32_t entries_count;
};

struct raft_output {
    enum raft_output_type type;
    uint64_t after_write; /* hold back until this write is durable; 0: do it at once */
    union {
        struct raft_persist persist;
        struct raft_msg msg;
        struct {
            const struct raft_entry *entries;
            uint32_t entries_count;
        } apply;
        const struct raft_snapshot *restore;
        struct {
            uint64_t request, index, term;
        } accepted;
        struct {
            uint64_t request;
            mn_status status;
            mn_id leader; /* zero: not known */
        } refused;
        struct {
            uint64_t request, index;
            mn_status status;
        } read;
        struct {
            enum raft_role role;
            uint64_t term;
            mn_id leader;
        } role;
    };
};

/* In the order they must start. Owned by the caller of a step, which appends; what is inside stays
 * valid until the next step or the reset of the arena. */
struct raft_outbox {
    struct raft_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

/* MN_CONFIG: a field of the configuration, or what was recovered, is outside its stated range; *ret
 * is then untouched. The state machine starts as [recovered].snapshot; entries that are known to be
 * committed come out of the first step. */
MN_MUST_USE mn_status raft_new(const struct raft_config *config,
                               const struct raft_recovered *recovered, struct mn_now now,
                               struct raft **ret);
void raft_free(struct raft *raft);

/* Never fails: a refusal is an output, a bad message is counted and dropped. [now].mono never goes
 * back. */
void raft_step(struct raft *raft, struct mn_now now, const struct raft_input *input,
               struct raft_outbox *outbox);

/* When the next RAFT_IN_TICK is due (mono). Ticking early is harmless. */
mn_time raft_deadline(const struct raft *raft);

/* Asserts the invariants; for tests and the simulator. Time grows with the log; the second one
 * leaves out what only depends on its entries. */
void raft_check(const struct raft *raft);
void raft_check_state(const struct raft *raft);

/* ---- looking ---- */

struct raft_view {
    enum raft_role role;
    mn_id leader, vote;
    uint64_t term, commit, last_index, last_term, first_index;
    uint64_t snapshot_index, config_index;
    const struct quorum_config *config; /* in effect; until the next step */
    bool is_wounded, is_transferring;
    uint64_t dropped; /* messages refused as malformed, misdirected or absurd */
    uint64_t stale;   /* completions of a log that was cut */
};

struct raft_view raft_view(const struct raft *raft);

/* Has it nothing to do? A leader: all members have all there is, it is committed, nobody waits. A
 * follower: the same as far as it can know. Only such a group may rest (see RAFT_IN_WAKE). */
bool raft_is_idle(const struct raft *raft);

/* Term and data of an entry that is still in the log; false otherwise. */
bool raft_entry_at(const struct raft *raft, uint64_t index, struct raft_entry *ret);

/* How far a leader knows [node] to be; false when this is no leader or that no member. */
bool raft_progress(const struct raft *raft, const mn_id *node, uint64_t *ret_match);

#endif
