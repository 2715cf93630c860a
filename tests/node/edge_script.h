/* edge_script.h: one node and a scripted outside: a store that keeps what it is told, children that
 * are small MCP servers, and somebody who asks over HTTP. Virtual time. */
#ifndef EDGE_SCRIPT_H
#define EDGE_SCRIPT_H

#include "node/node.h"

#define SCRIPT_CHILDREN_MAX 32
#define SCRIPT_PAIRS_MAX 64

struct script_child {
    uint64_t id;
    char argv[128]; /* joined by blanks */
    bool is_running, is_told_to_stop;
};

struct script_pair {
    char key[128];
    struct mn_buf *value; /* NULL: deleted */
};

struct script {
    struct node *node;
    struct mn_arena arena; /* of the outbox */
    struct edge_outbox outbox;
    struct mn_now now;
    uint64_t id_next;

    struct script_pair pairs[SCRIPT_PAIRS_MAX]; /* survive the node */
    uint32_t pairs_count;
    uint64_t write_last, log_last;
    bool is_disk_slow; /* writes do not become durable by themselves */

    struct script_child children[SCRIPT_CHILDREN_MAX]; /* all of this run */
    uint32_t children_count;
    bool is_call_held; /* children do not answer tools/call */
    uint64_t held_child;
    char held_id[32]; /* of the call that is held; empty: none came */

    uint64_t exchange; /* the newest */
    uint32_t code;     /* its answer; 0: none yet */
    char body[16384];

    uint32_t secrets_count;
    bool is_stopped, is_fatal;
    uint32_t end_code;
    char end_text[256];
};

/* Makes the node; MN_CONFIG leaves why in [end_text]. Then, on MN_OK, gives it what is stored. */
mn_status script_start(struct script *script, const struct node_config *config);
/* kill -9, and all memory given back. */
void script_kill(struct script *script);
void script_done(struct script *script);

void script_step(struct script *script, const struct edge_input *input);
void script_reload(struct script *script, const struct node_config *config, mn_status expected);

/* Lets time pass, timers included. */
void script_run(struct script *script, mn_time time);

/* Asks over the admin socket; the answer is in code and body when it came at once. */
void script_ask(struct script *script, const char *method, const char *target, const char *body);
/* A modern request on /mcp, from loopback; [name] for its Mcp-Name header, or NULL; [params]:
 * members of params, each with a comma behind it. */
void script_mcp_ask(struct script *script, const char *method, const char *name,
                    const char *params);
/* A modern tools/list or tools/call ([tool] not NULL) on /mcp, from loopback. */
void script_mcp(struct script *script, const char *tool);
/* Lets the child answer the call it holds. */
void script_answer_held(struct script *script);
void script_child_exit(struct script *script, struct script_child *child);

/* The newest child whose command line is [argv], or NULL. */
struct script_child *script_child(struct script *script, const char *argv);
uint32_t script_running(const struct script *script); /* children */
const struct script_pair *script_pair(const struct script *script, const char *key);

#endif
