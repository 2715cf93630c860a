/* keyring.h: the mesh keys that one node has: which of them seals now, which still open. Pure and a
 * plain value: a copy is a keyring, and the copy that the gateway works with is as good as the
 * core's. The wall clock comes with each question, and nothing is remembered as expired, so a clock
 * that jumps back finds what it needs.
 *
 * A key made for a revocation closes every seal key that is older than itself: they seal nothing
 * and open nothing any more, because the revoked node had them. That is a function of the
 * announcements alone, so it comes out alike on every node.
 *
 * Whoever wants to seal or open calls keyring_seal() and keyring_open():
 *
 *     struct sealed_scope scope = {SEALED_SESSION, ring->mesh_id, principal, zeros};
 *     status = keyring_open(ring, wall_ms, text, &scope, arena, &plain, &key_id);
 *     if (status == MN_NOT_FOUND) ... ask the mesh for key_id, once; then try again
 */
#ifndef KEYRING_H
#define KEYRING_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/meshkey.h"
#include "crypto/sealed.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

#define KEYRING_KEYS_MAX 64
#define KEYRING_SETTLE_MS ((uint64_t)30 * 1000) /* until then the others may not have it yet */

struct keyring_key {
    struct meshkey announced; /* its body and signature are not kept */
    bool has_secret;
    uint8_t secret[MESHKEY_SECRET_SIZE];
};

struct keyring {
    mn_id mesh_id;
    struct keyring_key keys[KEYRING_KEYS_MAX]; /* oldest first */
    uint32_t count;
};

void keyring_init(struct keyring *ring, const mn_id *mesh_id);

/* Wipes it. */
void keyring_done(struct keyring *ring);

/* Takes an announcement that meshkey_check() passed. When there is no room the oldest seal key
 * goes. MN_EXISTS: known already, or another key has this id (the first stays); MN_EXPIRED: it
 * opens nothing any more; MN_FULL: older than all that are there. */
MN_MUST_USE mn_status keyring_announce(struct keyring *ring, const struct meshkey *meshkey,
                                       uint64_t wall_ms);

/* Takes the bytes of an announced key. MN_NOT_FOUND: not announced; MN_CRYPTO: they are not what
 * was committed to; MN_EXISTS: known already. */
MN_MUST_USE mn_status keyring_put(struct keyring *ring, uint32_t key_id,
                                  const uint8_t secret[MESHKEY_SECRET_SIZE]);

/* Forgets what opens nothing any more, with a tolerance of a day for clocks. */
void keyring_expire(struct keyring *ring, uint64_t wall_ms);

/* Its announcement counts no more. */
void keyring_forget(struct keyring *ring, uint32_t key_id);

/* NULL: unknown. The rest says more about it. */
const struct keyring_key *keyring_find(const struct keyring *ring, uint32_t key_id);

/* Is it a seal key that a younger one, made for a revocation, has closed? */
bool keyring_is_closed(const struct keyring *ring, const struct keyring_key *key);

/* What new strings are sealed with: the newest key that is KEYRING_SETTLE_MS old, or the newest
 * when none is. NULL: none at hand. */
const struct keyring_key *keyring_sealing(const struct keyring *ring, uint64_t wall_ms);

/* The key of this id if it may open now and is at hand, else NULL. */
const struct keyring_key *keyring_opening(const struct keyring *ring, uint32_t key_id,
                                          uint64_t wall_ms);

/* The oldest recon key at hand, or NULL: hashes of stored items depend on it, so a second one that
 * two issuers may have made at once changes nothing. */
const struct keyring_key *keyring_recon(const struct keyring *ring);

/* Seals with keyring_sealing(). [expires_ms] is cut to the end of that key; 0: ends with the key,
 * as cursors do. MN_STATE: no key yet; MN_TOO_BIG. */
MN_MUST_USE mn_status keyring_seal(const struct keyring *ring, uint64_t wall_ms,
                                   const struct sealed_scope *scope, uint64_t expires_ms,
                                   struct mn_span plain, struct mn_arena *arena,
                                   struct mn_span *ret);

/* MN_NOT_FOUND: this node lacks the key *ret_key_id (set then only), which others may have. All
 * others are the same to a client: MN_REVOKED (its key was closed), MN_EXPIRED, MN_CRYPTO,
 * MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status keyring_open(const struct keyring *ring, uint64_t wall_ms,
                                   struct mn_span text, const struct sealed_scope *scope,
                                   struct mn_arena *arena, struct mn_span *ret,
                                   uint32_t *ret_key_id);

/* Order, distinct ids, count. */
void keyring_check(const struct keyring *ring);

#endif
