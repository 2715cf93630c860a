/* upstream_reply.h: large answers of clients to what a server asks. Another node's word is not
 * enough, so they are checked to be JSON objects; and then, for a legacy server, copied into the
 * message for it: both in slices, one per tick, for many megabytes at once would hold up everybody
 * else. */
#ifndef UPSTREAM_REPLY_H
#define UPSTREAM_REPLY_H

#include "node/mcp/upstream/upstream_question.h"

struct upstream_reply;

/* [result], part of [source], answers the legacy server's request [id]; what is no object is
 * refused as upstream_question_refuse() does, and so is more than may wait for one server. */
void upstream_reply_begin(struct upstream *server, struct mn_span id, bool is_cancelled,
                          struct mn_buf *source, struct mn_span result);

/* The same for a question of a modern server: upstream_question_on_checked() follows, unless the
 * question is dropped before. */
void upstream_reply_check(struct upstream_host *host, struct upstream_question *question,
                          struct mn_buf *source, struct mn_span result);

/* Nobody wants it any more; NULL is none. Or: the session in which it was asked is over. */
void upstream_reply_drop(struct upstream_reply *reply);
void upstream_reply_forget(struct upstream *server);

/* Bytes of those that are on their way to the server. */
size_t upstream_reply_size(const struct upstream *server);

/* A slice of the one that has waited longest. */
void upstream_reply_on_tick(struct upstream_host *host);

#endif
