/* groups.h: many consensus groups on one node (multi-raft). They share one packet per peer, one
 * heap of deadlines, one order of writes into the node's log, and one heartbeat per peer: a node
 * says once per interval that it lives, with the groups that have something to say. A group in
 * which nothing happens rests: it has no timers and sends nothing, neither its leader nor those who
 * follow, until there is traffic for it or the leader's node falls silent.
 *
 * Pure, as raft.h, whose contract holds for each group. What must be durable first is held inside:
 * the owner only reports DURABLE. Inputs are borrowed for the step. Outputs, and what they point
 * to, stay valid until the next step or the reset of the arena; buffers named with "ref" belong to
 * the outbox's owner. */
#ifndef GROUPS_H
#define GROUPS_H

#include "consensus/raft.h"

#define GROUPS_PACKET_SIZE ((size_t)1 << 20) /* a packet is full; one message may be larger */
#define GROUPS_PEERS_MAX 1024u               /* nodes that any group has as members */

struct groups; /* opaque */

struct groups_config {
    struct raft_config raft; /* of every group; the seed is the node's, each group gets its own */
    uint32_t groups_max;     /* 1 .. 100,000 */
    bool has_rest;           /* idle groups rest; a group of one does in any case */
    uint64_t *writes_count; /* number of the newest write to the log; shared with its other users */
};

/* Defaults: those of raft.h, 10,000 groups, has_rest. */
struct groups_config groups_config_default(void);

enum groups_input_type {
    GROUPS_IN_TICK = 1,
    GROUPS_IN_PACKET,  /* from a node whose identity is known to be .from */
    GROUPS_IN_RAFT,    /* a PROPOSE, CONFIGURE, READ, TRANSFER or SNAPSHOT for one group; one for a
                        * group that is not open is answered as by a node that does not lead */
    GROUPS_IN_DURABLE, /* every write to the log up to this one is on stable storage */
    GROUPS_IN_UNREACHABLE /* the link to a node was reset or refused */
};

struct groups_input {
    enum groups_input_type type;
    union {
        struct {
            mn_id from;
            struct mn_span bytes;
        } packet;
        struct {
            uint64_t group;
            const struct raft_input *input;
        } raft;
        struct {
            uint64_t write;
        } durable;
        struct {
            mn_id node;
        } unreachable;
    };
};

enum groups_output_type {
    GROUPS_OUT_LOG = 1, /* write it to the log, in this order */
    GROUPS_OUT_LOG_END, /* the group is closed for good: nothing of it need stay in the log */
    GROUPS_OUT_SEND,    /* a packet, at once: whatever had to be durable is */
    GROUPS_OUT_RAFT /* an output of a group that is for its owner: anything but PERSIST and SEND */
};

struct groups_output {
    enum groups_output_type type;
    uint64_t group;
    union {
        struct {
            uint64_t write; /* number in the log */
            const struct raft_persist *persist;
        } log;
        struct {
            mn_id to;
            struct mn_buf *packet; /* ref */
        } send;
        const struct raft_output *raft;
    };
};

/* Owned by the caller of a step, which appends. groups_outbox_reset() lets go of the buffers and
 * empties it, but not the arena. */
struct groups_outbox {
    struct groups_output *items;
    uint32_t count, capacity;
    struct mn_buf **held; /* what outputs point into */
    uint32_t held_count, held_capacity;
    struct mn_arena *arena;
};
void groups_outbox_reset(struct groups_outbox *outbox);

/* MN_CONFIG: a field is outside its stated range; *ret is then untouched. */
MN_MUST_USE mn_status groups_new(const struct groups_config *config, struct mn_now now,
                                 struct groups **ret);
void groups_free(struct groups *groups);

/* Opens a group, as raft_new() with what was recovered from the log (all zero: nothing). [group] is
 * never 0. MN_EXISTS: it is open; MN_FULL: too many; MN_CONFIG: as raft_new(). A step must follow.
 */
MN_MUST_USE mn_status groups_open(struct groups *groups, struct mn_now now, uint64_t group,
                                  const struct raft_recovered *recovered);

/* Closes it: what it waits for is forgotten. [is_end]: for good, which is written to the log. */
void groups_close(struct groups *groups, uint64_t group, bool is_end, struct groups_outbox *outbox);

/* Never fails: what is refused is an output or counted. [now].mono never goes back. */
void groups_step(struct groups *groups, struct mn_now now, const struct groups_input *input,
                 struct groups_outbox *outbox);

/* When the next TICK is due (mono), or MN_TIME_NEVER. Ticking early is harmless. */
mn_time groups_deadline(const struct groups *groups);

/* Asserts the invariants of all groups, and those between them; time grows with their logs. */
void groups_check(const struct groups *groups);

/* ---- looking ---- */

/* The group's core, for raft_view(), raft_entry_at() and raft_progress(); NULL: not open. */
const struct raft *groups_raft(const struct groups *groups, uint64_t group);

struct groups_stats {
    uint32_t groups_count, resting_count, leading_count;
    uint64_t packets_sent, packets_received, messages_sent, messages_received;
    uint64_t dropped; /* packets and messages refused: malformed, of groups not open here */
    uint64_t parked;  /* messages that wait for a write */
};
struct groups_stats groups_stats(const struct groups *groups);

#endif
