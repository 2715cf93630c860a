/* talks.h: MCP beyond plain calls, as the scenario `talks` has it. talk_client.c: clients that
 * call; talk_follow.c: clients that follow resources; talk_session.c: their sessions; talks.c: the
 * run. The servers and the ledger: sim/mesh/talker.h. */
#ifndef SIM_TALKS_H
#define SIM_TALKS_H

#include "sim/mesh/http.h"
#include "sim/mesh/talker.h"

/* ---- talk_client.c, talk_follow.c ---- */

void talk_clients_start(struct talks *talks);
void talk_clients_stop(struct talks *talks);  /* those under way go on */
void talk_clients_leave(struct talks *talks); /* their sessions */
bool talk_clients_are_idle(const struct talks *talks);
void talk_clients_done(struct talks *talks);

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

/* ---- talk_session.c ---- */

/* [host] has said that it knows no such session: the run fails if it could have. */
void talk_judge_unknown(struct sim *sim, struct sim_host *host, const char *session);
/* A client ends its session, as clients should. */
void talk_delete_session(struct sim_host *host, const char *session);

/* Writes what modern requests carry; [level]: NULL: no logs are wanted. */
void talk_write_meta(struct mn_writer *writer, bool can_be_asked, const char *token,
                     const char *level);

#endif
