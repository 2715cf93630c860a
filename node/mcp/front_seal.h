/* front_seal.h: what a client keeps for us and brings back: cursors, states of a question, ids of
 * sessions and tasks. It can neither read, change nor make one up, nor use somebody else's: the
 * binding (who asks, and where) is part of what is sealed. */
#ifndef FRONT_SEAL_H
#define FRONT_SEAL_H

#include "crypto/rng.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"

#define FRONT_SEAL_KEY_SIZE 32

enum front_seal_kind {
    FRONT_SEAL_CURSOR = 1,
    FRONT_SEAL_STATE,
    FRONT_SEAL_SESSION,
    FRONT_SEAL_TASK
};

struct front_seal {
    uint8_t key[FRONT_SEAL_KEY_SIZE];
};

void front_seal_init(struct front_seal *seal, struct rng *rng);
void front_seal_done(struct front_seal *seal);

/* base64url, in [arena]. */
struct mn_span front_seal_make(const struct front_seal *seal, enum front_seal_kind kind,
                               struct mn_span binding, struct mn_span bytes, struct rng *rng,
                               struct mn_arena *arena);

/* False: not of this kind, not with this binding, or not ours at all. */
bool front_seal_open(const struct front_seal *seal, enum front_seal_kind kind,
                     struct mn_span binding, struct mn_span text, struct mn_arena *arena,
                     struct mn_span *ret);

#endif
