/* raft_wire.h: messages and configurations of a group as bytes (proto/raft.proto), every size and
 * count checked before it is believed. */
#ifndef RAFT_WIRE_H
#define RAFT_WIRE_H

#include "consensus/raft.h"

#define RAFT_MSG_SIZE_MAX ((size_t)3 << 20) /* bytes */

/* Encodes; the caller owns the one ref. */
struct mn_buf *raft_msg_encode(const struct raft_msg *msg);

/* *ret is in [arena], and its data in [bytes]. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status raft_msg_decode(struct mn_span bytes, struct mn_arena *arena,
                                      struct raft_msg *ret);

/* ---- messages of many groups in one packet ----
 *
 * A packet is made by writing its parts one after another: raft_packet_begin(), then one
 * raft_packet_encode() per message. */

#define RAFT_PACKET_SIZE_MAX ((size_t)4 << 20) /* bytes */
#define RAFT_PACKET_UNLED_MAX 256u

struct raft_packet_item {
    uint64_t group;
    bool is_rest;        /* of a HEARTBEAT: the group rests from now on */
    struct raft_msg msg; /* from and to do not travel: they are the packet's */
};

struct raft_packet {
    uint64_t boot; /* of the sender's process; never 0 */
    struct raft_packet_item *items;
    uint32_t count;
    const uint64_t *unled; /* groups that the sender's process has heard no leader of */
    uint32_t unled_count;
};

/* The caller owns the one ref. */
struct mn_buf *raft_packet_begin(uint64_t boot);
struct mn_buf *raft_packet_unled(const uint64_t *groups, uint32_t count);
struct mn_buf *raft_packet_encode(const struct raft_packet_item *item);

/* *ret is in [arena], and its data in [bytes]. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status raft_packet_decode(struct mn_span bytes, struct mn_arena *arena,
                                         struct raft_packet *ret);

struct mn_buf *raft_config_encode(const struct quorum_config *config);

/* A configuration that passes quorum_check(). MN_MALFORMED. */
MN_MUST_USE mn_status raft_config_decode(struct mn_span bytes, struct quorum_config *ret);

#endif
