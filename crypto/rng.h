/* rng.h: the one source of randomness of the cores. ChaCha20 with fast key erasure (Bernstein,
 * "Fast key erasure random number generators", 2017): each refill replaces the key, so a later look
 * at the memory does not tell what was drawn before. The owner gives the seed: getrandom() in the
 * real world, the seed of the run in the simulator; equal seeds give equal streams. */
#ifndef RNG_H
#define RNG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/id.h"

#define RNG_SEED_SIZE 32
#define RNG_BLOCK_SIZE 480 /* bytes handed out per refill; with the new key 8 ChaCha20 blocks */

struct rng {
    uint8_t key[RNG_SEED_SIZE];
    uint8_t block[RNG_BLOCK_SIZE];
    uint32_t left; /* bytes of [block] not handed out yet; they are at its end */
};

void rng_init(struct rng *rng, const uint8_t seed[RNG_SEED_SIZE]);

/* Wipes the state. */
void rng_done(struct rng *rng);

void rng_bytes(struct rng *rng, void *to, size_t size);
uint32_t rng_u32(struct rng *rng);
uint64_t rng_u64(struct rng *rng);

/* Uniform in [0, bound), without bias; [bound] >= 1. */
uint32_t rng_below(struct rng *rng, uint32_t bound);

/* Uniform in [0, bound), for times; [bound] >= 1. */
uint64_t rng_below_u64(struct rng *rng, uint64_t bound);

/* 16 random bytes: boot ids, serials, call ids. */
mn_id rng_id(struct rng *rng);

/* Starts an independent generator from this one. */
void rng_fork(struct rng *parent, struct rng *child);

#endif
