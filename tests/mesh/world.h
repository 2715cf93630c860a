/* world.h: a small world for tests of membership: many cores, virtual time, links that get cut,
 * lose packets, reset. It does what the owner of a core does: keeps a link to every live member,
 * answers sends without a link, persists incarnations. After every step it checks the core's
 * invariants, and those between steps: no incarnation falls, and what was dead or left is only back
 * with a higher one. */
#ifndef TESTS_MESH_WORLD_H
#define TESTS_MESH_WORLD_H

#include <check.h>

#include "mesh/membership.h"

#define WORLD_NODES_MAX 40
#define WORLD_DEPTH_MAX 64
#define WORLD_WALL_MS ((uint64_t)1700000000000)
#define WORLD_GRANT_MS ((uint64_t)30 * 86400 * 1000)

struct world_view {            /* of one node, by one node */
    enum member_status status; /* 0: no row */
    uint64_t incarnation;
    mn_time suspect_at, dead_at, alive_at; /* when it last became so; 0: never */
};

struct world_node {
    struct identity identity;
    struct mn_buf *grant;
    char addr[16];
    struct membership *core; /* NULL: not running */
    bool is_frozen, keeps_disk, expects_peers, has_left;
    uint64_t incarnation_stored;
    uint64_t incarnation_first; /* announced since the start; 0: none */
    uint32_t boots_count;
    uint32_t reborn_count; /* how often it was told of a life it did not know */
    uint32_t trust_needed_count, faults_count, removed_count, conflicts_count, dials_count;
    mn_time started_at, joined_at, leave_done_at; /* 0: not yet */
    struct world_view views[WORLD_NODES_MAX];
    uint32_t linked_before;
    uint8_t soft[MEMBERSHIP_SOFT_MAX];
    uint32_t soft_size;
    int soft_from;
};

struct world_event;

struct world {
    struct world_node nodes[WORLD_NODES_MAX];
    int count;
    mn_time now;
    struct rng rng;
    struct authority authority;
    struct sign_key root, issuer;
    struct membership_timing timing;
    bool links[WORLD_NODES_MAX][WORLD_NODES_MAX];
    bool cuts[WORLD_NODES_MAX][WORLD_NODES_MAX]; /* [from][to]: nothing passes */
    mn_time cut_since[WORLD_NODES_MAX][WORLD_NODES_MAX];
    uint32_t loss_percent;
    uint32_t wall_days;          /* the clock all see runs ahead by so much */
    bool refuses_links;          /* no link comes up by itself, as if nobody dialed */
    uint32_t false_deaths_count; /* a node that runs and can be reached was declared dead */
    uint64_t bytes_sent;
    struct world_event *events; /* heap */
    uint32_t events_count, events_capacity;
    uint64_t events_tie;
    struct mn_arena arena;                  /* of what tests forge */
    struct mn_arena turns[WORLD_DEPTH_MAX]; /* of steps within steps */
    int depth;
};

/* [count] nodes, none of them running. */
void world_init(struct world *world, int count, uint8_t seed);
void world_done(struct world *world);

/* Starts node [i]; node 0 founds the mesh, the others expect peers. */
void world_start(struct world *world, int i);
void world_start_all(struct world *world);

/* kill -9: links reset at once, the incarnation on disk stays. */
void world_kill(struct world *world, int i);

/* SIGSTOP and SIGCONT: packets wait. */
void world_freeze(struct world *world, int i, bool is_frozen);

/* Cuts or restores the way [from] -> [to]; links notice after 8 s. */
void world_cut(struct world *world, int from, int to, bool is_cut);

void world_run(struct world *world, mn_time span);

/* Runs until [is_true], at most [limit]; false when it never was. */
bool world_run_until(struct world *world, bool (*is_true)(struct world *), mn_time limit);

/* Does every running node hold exactly the running ones for alive? */
bool world_is_agreed(struct world *world);

/* Feeds one input to a node, and does what it puts out. */
void world_step(struct world *world, int i, const struct membership_input *input);
void world_link(struct world *world, int i, int j);
void world_unlink(struct world *world, int i, int j, bool was_reset);

const struct member *world_member(const struct world *world, int i, int j);
enum member_status world_status(const struct world *world, int i, int j);

/* What a node says about itself. */
struct record_self world_self(const struct world *world, int i);

/* A record of node [i] signed now, in the world's arena. */
struct mn_span world_record(struct world *world, int i, uint64_t incarnation, uint32_t seq,
                            uint8_t boot);
struct mn_span world_accusation(struct world *world, int accuser, int subject, uint64_t incarnation,
                                enum accusation_kind kind);

/* A gossip packet from [from] to [to] with these items (either may be empty), handed over now. */
void world_tell(struct world *world, int from, int to, struct mn_span record,
                struct mn_span accusation);

#endif
