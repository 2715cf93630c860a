/* admission_world.h: a few nodes of which only admission runs: links that deliver at once and in
 * order, stores that can be slow, lose what was not synced, or be lost, and clocks. */
#ifndef TESTS_MESH_ADMISSION_WORLD_H
#define TESTS_MESH_ADMISSION_WORLD_H

#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/admission.h"
#include "proto/base/buf.h"

#define WORLD_NODES_MAX 48
#define WORLD_STORE_MAX 256
#define WORLD_LINKS_MAX 512
#define WORLD_WALL_START ((mn_time)20000 * MN_DAY)

struct stored {
    struct mn_buf *key, *value; /* value NULL: deleted */
};

struct world_node {
    struct admission *admission; /* NULL: not running */
    struct identity identity;
    char name[GRANT_NAME_SIZE];
    grant_role role;
    bool dev;
    int64_t clock_ms; /* its wall clock is off by so much */

    struct stored store[WORLD_STORE_MAX];
    uint32_t stored_count, durable_count; /* a log: later entries win */
    bool store_is_slow;                   /* syncs only when the test says so */
    struct admission_outbox held;         /* outputs that wait for the store */
    struct mn_arena held_arena;

    /* What it said. */
    admission_code failed;
    unsigned joined, admitted, renewed;
    uint32_t refusals_sent;
    char token[TOKEN_TEXT_SIZE]; /* of its last TOKEN output */
    mn_status token_status;
    struct admission_token row;
    struct admission_token rows[8];
    uint32_t rows_count;
    char join_token[TOKEN_TEXT_SIZE]; /* its file; "" when there is none */
    bool has_root_key;
    unsigned waits;           /* how often it asked for a guest's link to be kept */
    mn_status pending_status; /* of its last PENDING output */
    struct admission_pending_row pending[ADMISSION_PENDING_MAX];
    uint32_t pending_count;
    char address[ADMISSION_ADDRESS_SIZE]; /* as others see it; "" */
};

struct world_link {
    uint64_t id; /* 0: gone */
    unsigned ends[2];
    uint8_t handshake[INVITE_JOIN_HASH_SIZE];
};

struct world_message {
    struct world_message *next;
    unsigned to;
    uint64_t link;
    bool is_close;
    struct mn_buf *bytes;
};

struct world {
    struct world_node nodes[WORLD_NODES_MAX];
    unsigned nodes_count;
    struct world_link links[WORLD_LINKS_MAX];
    unsigned links_count;
    struct world_message *first, **last;
    struct mn_now now;
    struct rng rng;

    /* Looks at each message on its way; may bend it, or drop it by returning false. */
    bool (*filter)(struct world_message *message, void *context);
    void *filter_context;
};

struct world *world_new(void);
void world_free(struct world *world);

/* Adds a node with an identity made from its number; it does not run yet. */
unsigned world_add(struct world *world, const char *name);

/* Starts it from what its store has. */
void world_start(struct world *world, unsigned node);

/* Kills it: links end, what was not durable is gone. */
void world_crash(struct world *world, unsigned node);

/* Its disk is gone; its key is not. */
void world_lose_disk(struct world *world, unsigned node);

void world_step(struct world *world, unsigned node, const struct admission_input *input);
void world_found(struct world *world, unsigned node, const char *token);
void world_join(struct world *world, unsigned node, const char *token, bool is_known);

/* Links two running nodes as their states demand; 0 when they have nothing to say to each other. */
uint64_t world_connect(struct world *world, unsigned dialer, unsigned acceptor);
void world_cut(struct world *world, uint64_t link);
struct world_link *world_find_link(struct world *world, uint64_t link);

/* Delivers until nothing is under way. */
void world_settle(struct world *world);

/* Lets time pass, with ticks when they are due, delivering as it goes. */
void world_run(struct world *world, mn_time duration);

/* Makes everything durable that this node wrote, and lets go what waited for it. */
void world_sync(struct world *world, unsigned node);

/* Tells the issuer what membership would: this member is here (or gone). */
void world_tell(struct world *world, unsigned issuer, unsigned about, bool is_live);

/* Creates a token at an issuer and returns its text. */
const char *world_token(struct world *world, unsigned issuer, uint32_t uses, uint64_t ttl_ms,
                        grant_role role);

enum admission_state world_state(const struct world *world, unsigned node);

#endif
