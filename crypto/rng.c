#include "crypto/rng.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/check.h"

static void rng_refill(struct rng *rng)
{
    static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
    uint8_t stream[RNG_SEED_SIZE + RNG_BLOCK_SIZE];
    int failed = crypto_stream_chacha20_ietf(stream, sizeof stream, nonce, rng->key);

    MN_ASSERT(failed == 0);
    memcpy(rng->key, stream, sizeof rng->key);
    memcpy(rng->block, stream + sizeof rng->key, sizeof rng->block);
    rng->left = sizeof rng->block;
    sodium_memzero(stream, sizeof stream);
}

void rng_init(struct rng *rng, const uint8_t seed[RNG_SEED_SIZE])
{
    memset(rng, 0, sizeof *rng);
    memcpy(rng->key, seed, sizeof rng->key);
}

void rng_done(struct rng *rng)
{
    sodium_memzero(rng, sizeof *rng);
}

void rng_bytes(struct rng *rng, void *to, size_t size)
{
    uint8_t *out = to;

    while (size > 0) {
        uint8_t *from;
        size_t part;

        if (rng->left == 0) rng_refill(rng);
        part = size < rng->left ? size : rng->left;
        from = rng->block + sizeof rng->block - rng->left;
        memcpy(out, from, part);
        sodium_memzero(from, part);
        rng->left -= (uint32_t)part;
        out += part;
        size -= part;
    }
}

uint32_t rng_u32(struct rng *rng)
{
    uint8_t bytes[4];

    rng_bytes(rng, bytes, sizeof bytes);
    return mn_load_u32(bytes);
}

uint64_t rng_u64(struct rng *rng)
{
    uint8_t bytes[8];

    rng_bytes(rng, bytes, sizeof bytes);
    return mn_load_u64(bytes);
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    return (uint32_t)rng_below_u64(rng, bound);
}

uint64_t rng_below_u64(struct rng *rng, uint64_t bound)
{
    uint64_t draw, biased;

    MN_ASSERT(bound >= 1);
    biased = (0 - bound) % bound; /* 2^64 mod bound: so many draws would favour small results */
    do {
        draw = rng_u64(rng);
    } while (draw < biased);
    return draw % bound;
}

mn_id rng_id(struct rng *rng)
{
    mn_id id;

    rng_bytes(rng, id.bytes, sizeof id.bytes);
    return id;
}

void rng_fork(struct rng *parent, struct rng *child)
{
    uint8_t seed[RNG_SEED_SIZE];

    rng_bytes(parent, seed, sizeof seed);
    rng_init(child, seed);
    sodium_memzero(seed, sizeof seed);
}
