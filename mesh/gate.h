/* gate.h: how often strangers may knock. Token buckets per network (the /32 of IPv4, the /64 of
 * IPv6) and one for all, a count of refused joins per network, and nodes that are sent away for a
 * while. TCP proves the address, so neither cookies nor puzzles are needed.
 *
 * Bounded: when the table is full of networks that were seen lately, new ones share one bucket. */
#ifndef GATE_H
#define GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/time.h"

#define GATE_NETWORKS_MAX 1024
#define GATE_BANS_MAX 256
#define GATE_REFUSALS_MAX 30 /* refused joins per network and minute */

struct gate;

struct gate *gate_new(uint64_t seed);
void gate_free(struct gate *gate);

/* May a connection from [address] have a place? 100 per second (burst 100), of loopback and
 * members' addresses ([is_favoured]) 2,000, all together 2,000. Much more than handshakes, so that
 * those who never begin one do not use up what others need. */
bool gate_knock(struct gate *gate, struct mn_now now, struct mn_span address, bool is_favoured);

/* May it begin a handshake, which costs public-key operations? Takes a token if so: 10 per second
 * (burst 20), favoured 100; all together 200. */
bool gate_admit(struct gate *gate, struct mn_now now, struct mn_span address, bool is_favoured);

/* A join from there was refused. Loopback is not counted. */
void gate_on_refusal(struct gate *gate, struct mn_now now, struct mn_span address);

/* A node misbehaved: it is sent away for a minute, and twice as long each further time, up to an
 * hour. Returns until when (mono). */
mn_time gate_ban(struct gate *gate, struct mn_now now, const mn_id *node_id);
/* How long it is still sent away; 0: it is not. */
mn_time gate_banned_for(const struct gate *gate, struct mn_now now, const mn_id *node_id);
bool gate_is_banned(const struct gate *gate, struct mn_now now, const mn_id *node_id);

#endif
