/* upstream_asked.h: what a legacy server asks one client outside of any call, in the session that
 * one has for itself. It goes out as an aside (upstream_aside.h), is asked again of whoever wishes
 * for these next, and is declined in the client's name after UPSTREAM_QUESTION_TTL; sooner, while
 * nobody is there to be asked. */
#ifndef UPSTREAM_ASKED_H
#define UPSTREAM_ASKED_H

#include "node/mcp/upstream/upstream.h"
#include "proto/gateway.pb-c.h"

#define UPSTREAM_ASKED_UNTOLD (2 * MN_SEC) /* until somebody hears it */
#define UPSTREAM_ASKED_LEFT (10 * MN_SEC)  /* until who has heard it is back, or at another node */

struct upstream_question;

/* A request of the server that belongs to no call. False: it cannot be asked of this client, or
 * [server] is no lease of one client's. */
bool upstream_asked_ask(struct upstream *server, const struct jsonrpc_message *message);

/* A call to which a question was put down is over: whether that can be asked outside of calls now;
 * it is, under [key], and its client need not hear it once more if it [is_known]. */
bool upstream_asked_may_take(const struct upstream *server,
                             const struct upstream_question *question);
void upstream_asked_take(struct upstream *server, const struct upstream_question *question,
                         struct mn_span key, bool is_known);

/* A key that no question of this client had, in the scratch memory. */
struct mn_span upstream_asked_key(struct upstream *lease);

/* Somebody else hears now, or nobody does. */
void upstream_asked_again(struct upstream *lease);

/* The server takes its question back; or the client answers one, in a message that is [source], or
 * its node says that it should be asked again. */
void upstream_asked_withdraw(struct upstream *server, struct mn_span id);
void upstream_asked_on_answer(struct upstream *lease, const Meshnode__Gateway__Answer *answer,
                              struct mn_buf *source);
void upstream_asked_on_timer(struct upstream *lease);

/* The session in which it was asked is over. */
void upstream_asked_forget(struct upstream *lease);

#endif
