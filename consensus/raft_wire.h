/* raft_wire.h: messages and configurations of a group as bytes (proto/raft.proto), every size and
 * count checked before it is believed. */
#ifndef RAFT_WIRE_H
#define RAFT_WIRE_H

#include "consensus/raft.h"

#define RAFT_MSG_SIZE_MAX ((size_t)3 << 20) /* bytes */

/* Encodes; the caller owns the one ref. */
struct mn_buf *raft_msg_encode(const struct raft_msg *msg);

/* All of *ret is in [arena]. MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status raft_msg_decode(struct mn_span bytes, struct mn_arena *arena,
                                      struct raft_msg *ret);

struct mn_buf *raft_config_encode(const struct quorum_config *config);

/* A configuration that passes quorum_check(). MN_MALFORMED. */
MN_MUST_USE mn_status raft_config_decode(struct mn_span bytes, struct quorum_config *ret);

#endif
