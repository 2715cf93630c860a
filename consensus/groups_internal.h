/* groups_internal.h: what the files of groups share. groups.c: life, the step, what goes to the
 * log. groups_peer.c: packets, and whether a node lives. groups_rest.c: heartbeats, rest and
 * waking. */
#ifndef GROUPS_INTERNAL_H
#define GROUPS_INTERNAL_H

#include "consensus/groups.h"
#include "consensus/raft_wire.h"
#include "proto/base/heap.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define GROUPS_IDLE_BEATS 3u /* a group that was idle at so many beats rests */

struct groups_peer {
    struct mn_map_entry entry; /* by id */
    mn_id id;
    struct mn_list in_dirty; /* has a packet to send at the end of this step */
    struct mn_writer packet;
    uint64_t boot;                /* of its process, as it said last; 0: it has not */
    mn_time heard;                /* mono, a packet of it */
    mn_time beaten;               /* mono, our last packet to it */
    mn_time asked;                /* mono, when it was last told which groups have no leader here */
    uint32_t led_count;           /* groups at rest that we lead and it is a member of */
    struct mn_list resting;       /* groups at rest that it leads */
    struct mn_heap_entry suspect; /* when silence wakes them */
};

struct groups_group {
    struct mn_map_entry entry; /* by key */
    uint8_t key[8];
    uint64_t number;
    struct raft *raft;
    struct mn_heap_entry due;
    enum raft_role role;
    uint64_t log_write; /* the newest of its writes, as the log counts */
    bool is_resting;
    uint32_t idle_beats;
    struct mn_list in_leading;       /* it leads and does not rest */
    struct mn_list in_unled;         /* no leader of it is known */
    struct mn_list in_resting;       /* in groups_peer.resting */
    struct groups_peer **rest_peers; /* whose led_count this group is in */
    uint32_t rest_peers_count;
    struct mn_list in_persisted; /* some of its writes became durable in this step */
    uint64_t durable_write;      /* as raft counts */
    struct raft_mark durable_mark;
};

/* A write on its way, in the order of the log. */
struct groups_write {
    struct mn_list list;
    uint64_t write;
    struct groups_group *group; /* NULL: closed since */
    uint64_t raft_write;
    struct raft_mark mark;
};

/* A message that waits for a write. */
struct groups_parked {
    struct mn_list list;
    uint64_t write;
    struct groups_group *group;
    struct groups_peer *peer;
    struct mn_buf *part;
};

struct groups {
    struct groups_config config;
    struct rng rng;
    uint64_t boot;
    struct mn_now now;
    struct groups_outbox *outbox; /* of this step */
    struct mn_map groups, peers;
    struct mn_heap due, suspects;
    struct mn_list leading, dirty, unled;
    struct mn_list writes, parked; /* rising by write */
    uint64_t durable;
    uint32_t resting_count;
    uint32_t led_peers_count; /* peers whose led_count is not 0 */
    mn_time beat_at;
    bool is_rest_beat; /* heartbeats that are emitted now say that the group rests */
    struct groups_stats stats;
};

/* ---- groups.c ---- */
struct groups_output *groups_emit(struct groups *groups, enum groups_output_type type,
                                  uint64_t group);
void groups_step_raft(struct groups *groups, struct groups_group *group,
                      const struct raft_input *input);
struct groups_group *groups_find(const struct groups *groups, uint64_t number);

/* ---- groups_peer.c ---- */
struct groups_peer *groups_peer_get(struct groups *groups, const mn_id *id); /* NULL: too many */
void groups_peer_free(struct groups *groups, struct groups_peer *peer);
void groups_peer_send(struct groups *groups, struct groups_peer *peer, struct mn_buf *part);
void groups_peer_touch(struct groups *groups,
                       struct groups_peer *peer); /* a packet without parts */
void groups_peer_flush(struct groups *groups);
void groups_peer_on_packet(struct groups *groups, const mn_id *from, struct mn_span bytes);
void groups_peer_on_unreachable(struct groups *groups, const mn_id *node);
bool groups_peer_is_alive(const struct groups *groups, const struct groups_peer *peer);

/* ---- groups_rest.c ---- */
void groups_rest_beat(struct groups *groups);
void groups_rest_soon(struct groups *groups); /* there is somebody to send heartbeats to */
void groups_rest_follow(struct groups *groups, struct groups_group *group,
                        struct groups_peer *leader);
void groups_rest_leave(struct groups *groups, struct groups_group *group);
void groups_rest_wake(struct groups *groups, struct groups_group *group);
void groups_rest_wake_all(struct groups *groups, struct groups_peer *leader);
void groups_rest_arm(struct groups *groups, struct groups_peer *peer);
void groups_rest_ask(struct groups *groups, struct groups_peer *peer);
void groups_rest_on_unled(struct groups *groups, const struct groups_peer *peer, uint64_t number);

#endif
