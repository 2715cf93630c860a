/* talks.h: MCP beyond plain calls, as the scenario `talks` has it. talk_client.c: clients that
 * call, talk_call.c: their calls; talk_batch.c: those that post batches; talk_follow.c: clients
 * that follow resources; talk_session.c: their sessions; talks.c: the run. The servers and the
 * ledger: sim/mesh/talker.h.
 */
#ifndef SIM_TALKS_H
#define SIM_TALKS_H

#include "sim/mesh/http.h"
#include "sim/mesh/talker.h"

/* ---- talk_client.c, talk_follow.c ---- */

void talk_clients_start(struct talks *talks);
void talk_clients_stop(struct talks *talks);                 /* those under way go on */
void talk_clients_leave(struct talks *talks, bool are_rude); /* rude: do not end their sessions */
bool talk_clients_are_idle(const struct talks *talks);
void talk_clients_done(struct talks *talks);

/* A talker whose node is up; NULL: there is none. */
struct sim_server *talk_pick_server(struct sim *sim);
/* A call of that client, in the ledger; its script, and who may be asked, is the caller's to say.
 */
struct talk *talk_begin(struct talks *talks, struct sim_server *server, uint32_t client);

void talk_followers_start(struct talks *talks);
/* All is well: half of the legacy ones end their sessions, and open new ones. */
void talk_followers_renew(struct talks *talks);
void talk_followers_stop(struct talks *talks);
void talk_followers_done(struct talks *talks);
bool talk_followers_have_seen(const struct talks *talks); /* the last content, each */
/* They have, or the run fails. */
void talk_followers_check(struct talks *talks, const char *when);
/* The host at which one of them hears, drawn; NULL: none does. */
struct sim_host *talk_followers_host(struct talks *talks);

/* ---- talk_batch.c ---- */

void talk_batchers_start(struct talks *talks); /* they stop as other clients do */
void talk_batchers_leave(struct talks *talks);
bool talk_batchers_are_idle(const struct talks *talks);
void talk_batchers_done(struct talks *talks);

/* ---- talk_aside.c ---- */

void talk_listeners_start(struct talks *talks);
void talk_listeners_stop(struct talks *talks);
/* Where nodes that could not ask each other had a session, clocks say which stream is the last. */
void talk_listeners_renew(struct talks *talks);
/* In a whole world: each has heard what was said to it. */
void talk_asides_check(struct talks *talks);
uint32_t talk_asides_said(const struct talks *talks);

/* ---- talk_session.c ---- */

/* Its node had no key of the mesh yet, and took one of its own: no other node can read it. */
bool talk_session_is_of_one_node(const char *session);
/* [host] has said that it knows no such session: the run fails if it could have. */
void talk_judge_unknown(struct sim *sim, struct sim_host *host, const char *session);
/* A client ends its session, as clients should. */
void talk_delete_session(struct sim_host *host, const char *session);

/* Writes what modern requests carry; [level]: NULL: no logs are wanted. */
void talk_write_meta(struct mn_writer *writer, bool can_be_asked, const char *token,
                     const char *level);

#endif
