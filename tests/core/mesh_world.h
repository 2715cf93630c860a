/* mesh_world.h: a few cores wired back to back in memory, in virtual time: a network with delay and
 * cuts, a store that forgets what was not durable, and scripted gateways. */
#ifndef MESH_WORLD_H
#define MESH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "node/core/core.h"

#define WORLD_NODES 6
#define WORLD_TEXT 2048

enum world_serving { WORLD_ANSWERS = 0, WORLD_HANGS, WORLD_REFUSES };

/* What the gateway of a node was told about one of its calls. */
struct world_call {
    uint64_t ticket;
    uint32_t node, events; /* events: last ones only */
    bool is_done;
    enum call_event_kind kind;
    enum call_failure failure;
    char payload[64], text[256];
    mn_id by;
};

struct world_config {
    const char *name; /* NULL: n<index> */
    const char *token;
    int32_t seed_node; /* -1: none */
    bool bootstrap, dev, is_join_required, is_identity_old;
    uint8_t identity; /* 0: its own */
    uint64_t grant_ttl_ms;
    const uint8_t *root; /* recovers the authority */
};

void world_begin(void);
void world_end(void);

/* Starts a node with what its store holds. */
void world_start(uint32_t node, const struct world_config *config);
void world_crash(uint32_t node); /* kill -9: links are reset, what was not durable is lost */
void world_wipe(uint32_t node);  /* its disk */
void world_leave(uint32_t node); /* and waits for STOPPED */
void world_freeze(uint32_t node, bool is_frozen);
void world_stall(uint32_t node, bool is_stalled);    /* its disk: nothing becomes durable */
void world_cut(uint32_t a, uint32_t b, bool is_cut); /* both ways; what is sent is lost */
void world_set_clock(uint32_t node, int64_t off);    /* its wall clock, against the right one, us */
void world_run(mn_time time);

/* Runs until [done] holds; fails after [limit]. */
void world_until(bool (*done)(void), mn_time limit);

struct core *world_core(uint32_t node); /* NULL: it does not run */
const mn_id *world_id(uint32_t node);
struct mn_now world_now(void);
const char *world_token(void); /* join token of the founder */

/* Runs a command and returns its reply, valid until the next one. */
const struct core_reply *world_command(uint32_t node, struct core_command command);
int world_fatal(uint32_t node); /* exit code, or 0 */
const char *world_fatal_text(uint32_t node);
const uint8_t *world_root(void);       /* the founder's root key */
uint32_t world_secrets(uint32_t node); /* files written */

/* The offer of a server; body NULL withdraws it. It stays offered over a restart. */
void world_offer(uint32_t node, const char *name, const char *body, char key);
void world_serving(uint32_t node, enum world_serving serving);

/* What the gateway knows: "name=body*providers" with ? if not listed, ! for a conflict. */
const char *world_services(uint32_t node);

/* Listed ones only. */
const char *world_listed(uint32_t node);

struct world_call *world_call(uint32_t node, const char *service, bool is_idempotent);
struct world_call *world_call_for(uint32_t node, const char *service, mn_time timeout);
void world_cancel(struct world_call *call);

/* How many calls the gateway of [node] has executed, is executing now, and was told to cancel. */
uint32_t world_executed(uint32_t node);
uint32_t world_executing(uint32_t node);
uint32_t world_cancelled(uint32_t node);

/* All running nodes know exactly each other as alive, and are linked. */
bool world_is_whole(void);

/* Node 0 founds by itself; the others join through it, or come back. */
void world_found(uint32_t node);
void world_join(uint32_t node);
void world_restart(uint32_t node);

/* So many nodes, whole. */
void world_mesh(uint32_t count);

void world_assert_result(const struct world_call *call, const char *payload);
void world_assert_failed(const struct world_call *call, enum call_failure failure);

#endif
