/* bft_simplex.h: Byzantine agreement in bftsim. bft_simplex.c: hosts, and what must hold;
 * bft_simplex_liars.c: what liars do. */
#ifndef BFT_SIMPLEX_H
#define BFT_SIMPLEX_H

#include "consensus/simplex_internal.h"
#include "sim/bft/bft_sim.h"

struct lie { /* a signed statement of a liar that a host received */
    struct simplex_statement statement;
};

#define FINALS_MAX 1024u

struct ear { /* per host, of this process */
    struct lie *lies;
    uint32_t count, capacity;
};

struct agreement { /* of the world */
    struct simplex_validator validators[BFT_HOSTS_MAX];
    struct simplex_config config;
    struct mn_buf *value;                     /* decided by somebody honest */
    uint32_t quiet_iteration, last_iteration; /* when the faults ended; by when all must be over */
    uint32_t liveliness;                      /* of liars: the most between two lies */
    bool has_plan, is_second_camp_skipped;    /* see liar_split() */
    bool is_only_proposing;                   /* liars do nothing but propose, often twice */
    uint32_t camp;
    struct decidable { /* FINALs of honest hosts for one block */
        uint32_t iteration, hosts;
        struct simplex_hash hash, value;
    } finals[FINALS_MAX];
    uint32_t finals_count;
    bool has_decidable;
    struct simplex_hash decidable;
};

struct agreement *bft_agreement(struct bft_world *world);

/* ---- of liars ---- */
void bft_simplex_lie(struct bft_host *host);
void bft_simplex_liar_next(struct bft_world *world, struct bft_event *event);

#endif
