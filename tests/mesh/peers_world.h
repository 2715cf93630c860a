/* peers_world.h: several peers cores on a virtual network with virtual time: connections with a
 * delay, that can be cut, frozen, or never connect. */
#ifndef TESTS_MESH_PEERS_WORLD_H
#define TESTS_MESH_PEERS_WORLD_H

#include <check.h>

#include "mesh/peers.h"

#define WORLD_NODES 8
#define WORLD_WIRES 512
#define WORLD_LOG 4096
#define WORLD_DELAY (200 * MN_US)

/* What a node told its owner, copied. */
struct said {
    enum peers_output_type type;
    mn_time at;
    mn_status status;
    enum peers_kind kind;
    Meshnode__Trust__Code code;
    bool flag;
    uint64_t link, tag;
    mn_id node_id;
    Meshnode__Trust__Code refuse; /* UP */
    struct mn_buf *bytes;         /* CONTROL; ENVELOPE: payload; addresses */
    uint64_t sequence;
};

struct world_node {
    bool is_alive, is_frozen;
    char address[32];
    struct identity identity;
    struct sign_key issuer;
    struct peers *peers;
    uint64_t conns_next;
    struct peers_outbox outbox;
    struct mn_arena arena;
    struct mn_buf *grant;
    struct peers_self self;
    mn_id boot_id;
    struct said log[WORLD_LOG];
    uint32_t log_count;
};

/* One TCP connection. Side 0 dialed. */
struct wire {
    bool is_open, is_blackhole; /* blackhole: bytes vanish, nobody is told */
    int node[2];                /* -1: nobody (a stranger of the test) */
    uint64_t conn[2];
    bool is_paused[2], is_closed[2]; /* closed: this side has been told, or told us */
    struct mn_writer bytes[2];       /* on the way to side i */
    struct mn_writer held[2];        /* for a paused reader */
    bool is_sending[2];
    mn_time due; /* when it connects, or its bytes arrive */
    bool is_connected, is_closing;
};

struct world {
    struct mn_now now;
    struct world_node nodes[WORLD_NODES];
    struct wire wires[WORLD_WIRES];
    uint32_t wires_count;
    uint64_t accepts_next;
    struct authority authority; /* of one mesh; its issuer is node 0's key */
    struct sign_key root, issuer;
    mn_id mesh_id;
    struct peers_timing timing;
    struct peers_limits limits;
    bool has_delay_by_wire; /* odd wires are slower: messages cross */
};

struct world *world_new(void);
void world_free(struct world *world);

/* A node with address "10.0.0.<i>:7000", not started. [seed] of two nodes may be equal: clones. */
void world_start(struct world *world, int node, uint8_t seed, peers_hello hello);

/* kill -9: all its connections are reset. */
void world_kill(struct world *world, int node);

void world_input(struct world *world, int node, const struct peers_input *input);
void world_dial(struct world *world, int from, int to, bool is_kept);
void world_dial_address(struct world *world, int from, const char *address, bool is_kept);

/* The node is what [hello] says from now on. */
void world_set_self(struct world *world, int node, peers_hello hello);

/* Runs for [duration]; stops nowhere else. */
void world_run(struct world *world, mn_time duration);

/* A stranger connects to [node] from [address]; returns the wire. */
struct wire *world_knock(struct world *world, int node, const char *address);
void world_say(struct world *world, struct wire *wire, struct mn_span bytes);

void world_send(struct world *world, int from, int to, uint64_t sequence, size_t size,
                uint64_t tag);

/* How often [node] said [type], and the newest time it did (NULL: never). */
uint32_t world_count(const struct world *world, int node, enum peers_output_type type);
const struct said *world_last(const struct world *world, int node, enum peers_output_type type);
void world_forget(struct world *world); /* empties the logs */

bool world_is_linked(const struct world *world, int a, int b);

/* A grant for [node], signed by the mesh's issuer. */
struct mn_buf *world_grant(struct world *world, const struct identity *identity,
                           uint64_t not_after);

#endif
