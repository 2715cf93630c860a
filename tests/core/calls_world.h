/* calls_world.h: three nodes whose calls talk to each other directly, in virtual time, with
 * gateways that tests play by hand. Everybody is linked at the start; what tests say reads as a
 * script, so the words have no prefix. What does not come as a script expects fails the test. */
#ifndef CALLS_WORLD_H
#define CALLS_WORLD_H

#include "node/core/calls.h"

#define NODES 3
#define TOLD_MAX 8192 /* messages, between nodes and to each gateway */

extern struct services *services[NODES];
extern struct calls *calls[NODES];
extern mn_id ids[NODES];
extern struct mn_now now;
extern uint64_t ticket_last; /* tickets of requests count up from 1 */
extern bool linked[NODES][NODES];

/* What becomes of messages between nodes. */
enum world_net { NET_CARRIES, NET_KEEPS, NET_DOUBLES };
extern enum world_net net;

/* A message between nodes, kept beyond the turn. */
struct letter {
    uint32_t from, to;
    uint64_t tag;
    struct mn_buf *buf;
    bool is_chatty;
};
extern struct letter letters[TOLD_MAX];
extern uint32_t letters_read, letters_written;

/* What a gateway was told. */
struct told {
    enum call_message_type type;
    uint64_t ticket;
    enum call_event_kind kind;
    enum call_failure failure;
    mn_id node;
    char payload[32], text[256], service[80], trace[64];
    mn_time timeout_total;
    bool is_lost;
};
extern struct told told[NODES][TOLD_MAX];
extern uint32_t told_read[NODES], told_written[NODES];

/* ---- the world ---- */

void world_setup(void);
void world_teardown(void);

/* A node begins anew, with small limits; what it knew of calls is gone. */
void create(uint32_t node, uint64_t epoch);
void step(uint32_t node, const struct calls_input *input);
void deliver(void);     /* all messages under way, unless the net keeps them */
void run(mn_time time); /* delivers, and ticks whenever a deadline is due */
void link_set(uint32_t a, uint32_t b, bool is_up);

/* Node [node] offers [name] with one letter as body and as replica of [key]; everybody knows. */
void offer_as(uint32_t node, const char *name, char body, uint8_t key);
void offer(uint32_t node, const char *name, char body);

/* ---- what gateways do ---- */

/* These return the ticket; 10 s without a word, a minute in all. */
uint64_t request_with(uint32_t node, struct call_request request);
uint64_t request(uint32_t node, const char *service);
uint64_t request_idempotent(uint32_t node, const char *service);
void cancel(uint32_t node, uint64_t ticket);
void say(uint32_t node, uint64_t ticket, const char *text);

/* An event of a served call; [payload] is the text of a failure. Delivers. */
void answer(uint32_t node, uint64_t ticket, enum call_event_kind kind, const char *payload,
            enum call_failure failure);
void result(uint32_t node, uint64_t ticket, const char *payload);
void refuse(uint32_t node, uint64_t ticket, enum call_failure failure);

/* ---- what gateways are told ---- */

const struct told *next(uint32_t node);
bool is_quiet(uint32_t node);
uint64_t served(uint32_t node); /* is asked to serve; the ticket */
void assert_result(uint32_t node, uint64_t ticket, const char *payload, uint32_t by);
const struct told *assert_failed(uint32_t node, uint64_t ticket, enum call_failure failure);
void assert_ended(uint32_t node, uint64_t ticket, bool is_lost);
void assert_cancelled(uint32_t node, uint64_t ticket);
struct calls_stats stats(uint32_t node);

#endif
