/* sealed.h: strings that clients carry for the mesh and cannot read, change or make: session ids,
 * cursors, requestState, task ids. Every node that has the mesh key opens them. They are hints that
 * cannot be forged, never the only check: whoever opens one still asks the owner of the thing.
 *
 *   header = 01, what, key_id 4, expires 4 (u32 seconds, Unix time)
 *   aad    = "meshnode/1/sealed" with its NUL, mesh_id, header, principal 16, context 16
 *   plain  = padded (ISO/IEC 7816-4) to a multiple of 32, what clients' input is part of to 128
 *   Ke, Kn = KDF(mesh key, 2 * what), KDF(mesh key, 2 * what + 1), context "mn-seal_"
 *   nonce  = BLAKE2b-192, keyed with Kn, over aad and padded plain
 *   string = base64url without padding of header, nonce, XChaCha20-Poly1305(Ke, nonce, aad, plain)
 *
 * The nonce is made from what is sealed (as in SIV, RFC 5297): no randomness, no reuse after a
 * rollback of the machine, and equal strings on every node. What must be unguessable or distinct
 * carries 16 random bytes inside. */
#ifndef SEALED_H
#define SEALED_H

#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"

enum sealed_what {
    SEALED_SESSION = 1,
    SEALED_CURSOR,
    SEALED_REQUEST_STATE,
    SEALED_TASK,
    SEALED_UPSTREAM_STATE,
};

#define SEALED_KEY_SIZE 32
#define SEALED_TEXT_MAX 65536 /* characters of the longest kind */

/* Longest string of this kind, in characters: session 256, cursor 512, task 1 Ki, requestState
 * 16 Ki, upstream state 64 Ki. 0: no such kind. */
size_t sealed_text_max(enum sealed_what what);

/* Most bytes that sealed_make() takes as the plain text of this kind. */
size_t sealed_plain_max(enum sealed_what what);

/* What a string is bound to besides its key: it opens only where all of this is the same. */
struct sealed_scope {
    enum sealed_what what;
    mn_id mesh_id;
    mn_id principal; /* whose it is; zeros: nobody's in particular */
    mn_id context;   /* sealed_context_...(); zeros for sessions and tasks */
};

/* What stands before the ciphertext. */
struct sealed_header {
    enum sealed_what what;
    uint32_t key_id;
    uint32_t expires_s; /* Unix time */
};

/* Of a cursor: the endpoint that gave it ("/mcp") and the method ("tools/list"). */
mn_id sealed_context_list(struct mn_span path, struct mn_span method);

/* Of requestState and upstream state: the method and its params without inputResponses,
 * requestState and _meta, in the one form that equal params have: no white space, members sorted
 * by key, strings unescaped, numbers as written. */
mn_id sealed_context_request(struct mn_span method, struct mn_span params);

/* The string, in [arena]. MN_TOO_BIG: [plain] is larger than sealed_plain_max(). */
MN_MUST_USE mn_status sealed_make(const struct sealed_scope *scope,
                                  const uint8_t key[SEALED_KEY_SIZE], uint32_t key_id,
                                  uint32_t expires_s, struct mn_span plain, struct mn_arena *arena,
                                  struct mn_span *ret);

/* Reads the header only, to find the key. Nothing is proven by it. MN_TOO_BIG; MN_MALFORMED: not
 * such a string, or of another kind than [what]. */
MN_MUST_USE mn_status sealed_peek(struct mn_span text, enum sealed_what what,
                                  struct sealed_header *ret);

/* Opens with the key that sealed_peek() named; the plain text is in [arena]. Clients are told no
 * difference between the failures. MN_TOO_BIG, MN_MALFORMED; MN_EXPIRED; MN_CRYPTO: changed, or
 * made for another scope or key. */
MN_MUST_USE mn_status sealed_open(struct mn_span text, const struct sealed_scope *scope,
                                  const uint8_t key[SEALED_KEY_SIZE], uint64_t wall_ms,
                                  struct mn_arena *arena, struct mn_span *ret);

#endif
