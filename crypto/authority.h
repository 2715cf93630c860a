/* authority.h: who may let nodes in. A short chain of signed documents names 1, 3, 5 or 7 issuers
 * and 1..3 root keys. The genesis is signed by its root, whose hash is the mesh id; each later
 * document is signed by a strict majority of the issuers before it, or by one root before it.
 *
 * Decoded documents are plain values over shared bytes: authority_done() gives the ref back. */
#ifndef AUTHORITY_H
#define AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define AUTHORITY_SIZE_MAX 2048 /* bytes of a document with its signatures */
#define AUTHORITY_HASH_SIZE 32
#define AUTHORITY_ISSUERS_MAX 7
#define AUTHORITY_ROOTS_MAX 3
#define AUTHORITY_RETIRED_MAX 16
#define AUTHORITY_SIGNATURES_MAX (AUTHORITY_ISSUERS_MAX + AUTHORITY_ROOTS_MAX)
#define AUTHORITY_CHAIN_MAX 1000
#define AUTHORITY_TTL_MIN_MS ((uint64_t)3600 * 1000)
#define AUTHORITY_TTL_MAX_MS ((uint64_t)365 * 86400 * 1000)
#define AUTHORITY_TTL_DEFAULT_MS ((uint64_t)30 * 86400 * 1000)

struct authority_retired {
    uint8_t key[SIGN_PK_SIZE];
    uint64_t until_ms; /* what it signed before counts until that expires */
};

struct authority_signature {
    uint8_t key[SIGN_PK_SIZE];
    uint8_t signature[SIGN_SIZE];
};

struct authority {
    mn_id mesh_id;
    uint64_t version; /* genesis: 1 */
    uint8_t prev[AUTHORITY_HASH_SIZE];
    uint8_t issuers[AUTHORITY_ISSUERS_MAX][SIGN_PK_SIZE];
    uint8_t roots[AUTHORITY_ROOTS_MAX][SIGN_PK_SIZE];
    struct authority_retired retired[AUTHORITY_RETIRED_MAX];
    uint32_t issuers_count, roots_count, retired_count;
    uint64_t grant_ttl_ms, created_ms;
    bool dev; /* a mesh of one machine that admits whoever asks */

    /* Set by authority_decode(). */
    struct authority_signature signatures[AUTHORITY_SIGNATURES_MAX];
    uint32_t signatures_count;
    uint8_t hash[AUTHORITY_HASH_SIZE]; /* its first DIGEST_PIN_SIZE bytes are the pin */
    struct mn_buf *document;           /* the exact bytes, with signatures; one ref is ours */
    struct mn_span body;               /* what is signed, inside [document] */
};

/* Gives the document's bytes back; the rest is plain. NULL is fine. */
void authority_done(struct authority *authority);

/* Decodes and checks the form: sizes, an odd number of issuers, distinct keys everywhere, times in
 * range. No signature is checked. On MN_OK the caller calls authority_done(). MN_MALFORMED,
 * MN_TOO_BIG. */
MN_MUST_USE mn_status authority_decode(struct mn_span document, struct authority *ret);

/* The bytes of a document from its plain fields; it has no signature yet. */
struct mn_buf *authority_body(const struct authority *authority);

/* Puts the signatures of [keys] under a body: a whole document. The caller owns the ref. */
struct mn_buf *authority_sign(const mn_id *mesh_id, struct mn_span body,
                              const struct sign_key *const *keys, uint32_t keys_count);

/* What a new mesh starts from: one issuer, one root, signed by it. */
struct authority_genesis {
    const struct sign_key *root;
    const uint8_t *founder; /* sign_pk of the first issuer */
    uint64_t grant_ttl_ms, created_ms;
    bool dev;
};

struct mn_buf *authority_genesis_make(const struct authority_genesis *genesis);

/* Is this a genesis: version 1, no predecessor, mesh id of its root, signed by it?
 * MN_MALFORMED, MN_WRONG_MESH, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status authority_check_genesis(const struct authority *genesis);

/* Pure: may [next] follow [prev]? Same mesh, hash of prev, version exactly + 1, signed by a strict
 * majority of distinct issuers of prev or by a root of prev; a changed root list needs the root.
 * MN_WRONG_MESH, MN_STATE (not the successor), MN_BAD_SIGNATURE (a signature is wrong), MN_DENIED
 * (too few signers). [ret_by_root], if not NULL, says how it was signed. */
MN_MUST_USE mn_status authority_next(const struct authority *prev, const struct authority *next,
                                     bool *ret_by_root);

const uint8_t *authority_pin(const struct authority *authority);
bool authority_is_issuer(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE]);
bool authority_has_issuer(const struct authority *authority, const mn_id *node);

/* The issuer with this key id, retired ones included; NULL when there is none. */
const uint8_t *authority_find_issuer(const struct authority *authority,
                                     const uint8_t kid[DIGEST_KID_SIZE]);

/* Does what this key signed at [signed_ms] count: is it an issuer, or was it one until later? */
bool authority_counts(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE],
                      uint64_t signed_ms);

/* Until when this key was an issuer: 0 if it never was, as far as the document knows; UINT64_MAX if
 * it is one. */
uint64_t authority_until(const struct authority *authority, const uint8_t pk[SIGN_PK_SIZE]);

/* The chain as one node knows it: documents from the genesis, or from the pinned one, to the head.
 * A node never goes back, and never swaps a document it adopted, except that a root-signed one
 * displaces an issuer-signed sibling and its issuer-signed followers. */
struct authority_chain {
    struct authority **items; /* oldest first */
    bool *by_root;            /* how each was signed */
    uint32_t count, capacity;
    uint64_t forks_count; /* second successors seen of a document before the head's predecessor */
};

void authority_chain_init(struct authority_chain *chain);
void authority_chain_done(struct authority_chain *chain);

/* NULL while empty. */
const struct authority *authority_chain_head(const struct authority_chain *chain);

/* The document with this pin, or NULL. */
const struct authority *authority_chain_find(const struct authority_chain *chain,
                                             const uint8_t pin[DIGEST_PIN_SIZE]);

/* The version since which this key has been an issuer without a gap up to the head, as far as the
 * chain reaches back; 0: it is none. What it signs is understood by whoever knows that version. */
uint64_t authority_chain_since(const struct authority_chain *chain, const uint8_t pk[SIGN_PK_SIZE]);

/* Takes the first document on the caller's word: its pin was checked, or it is a genesis that
 * authority_check_genesis() passed. The chain must be empty. */
MN_MUST_USE mn_status authority_chain_start(struct authority_chain *chain, struct mn_span document);

/* Adds a document. MN_OK: it is in, or was (see the head). MN_EXISTS: a second successor of the
 * head's predecessor that must not displace it: an authority fork, to be raised. MN_STATE: does not
 * connect, or an older sibling (counted). Others as authority_decode() and authority_next(). */
MN_MUST_USE mn_status authority_chain_add(struct authority_chain *chain, struct mn_span document);

#endif
