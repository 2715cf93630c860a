/* trustset.h: what the issuers said and every member must know: invites, withdrawals, announcements
 * of mesh keys, revocations. A grow-only set of documents, each signed by an issuer and known by
 * its hash, so that members merge what they have in any order and come out alike (a state-based
 * set; Shapiro et al., "Conflict-free replicated data types", SSS 2011). What has an end is dropped
 * then; revocations of nodes have none. With it go the mesh keys themselves (crypto/keyring.h),
 * which travel inside links only, from member to member.
 *
 * New items go to every linked member at once, who pass them on; each link that comes up, and one
 * chosen at random every 30 s, compares sums and, where they differ, hashes range by range. So a
 * revocation is everywhere after a few round trips, and after a partition heals.
 *
 * A revocation is applied before anything else of the same message: a key that was made because of
 * it never leaves towards the revoked node, nor before the revocation itself is known here.
 *
 * Bounds: TRUSTSET_BYTES_MAX of documents, TRUSTSET_ITEMS_MAX of them, TRUSTSET_RATE_MAX per issuer
 * and hour of their making. Pure: no clock, no I/O; randomness from the seed. */
#ifndef TRUSTSET_H
#define TRUSTSET_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/authority.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/keyring.h"
#include "crypto/revocation.h"
#include "crypto/rng.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/trust.pb-c.h"

#define TRUSTSET_BYTES_MAX ((size_t)16 << 20)
#define TRUSTSET_ITEMS_MAX 65536
#define TRUSTSET_RATE_MAX 1000
#define TRUSTSET_RATE_INVITES 900 /* of them: who makes tokens by the hundred can still revoke */
/* Of one issuer: one that went bad cannot fill the set, so that nobody could be revoked any more.
 */
#define TRUSTSET_SHARE_ITEMS_MAX (TRUSTSET_ITEMS_MAX / 4)
#define TRUSTSET_SHARE_BYTES_MAX (TRUSTSET_BYTES_MAX / 4)
#define TRUSTSET_PACKET_MAX 65000 /* bytes of one message */
/* What one link may cost within a minute: 16 a message, 1 for each 128 bytes of it (a signature to
 * check, at most), 1 for each 256 bytes of answers. To give and to take a whole set is two thirds
 * of it, so an honest member never comes there; more is not looked at, and counted as its fault. */
#define TRUSTSET_WORK_MAX 196608

typedef Meshnode__Trust__ItemKind trustset_kind; /* ITEM_KIND_INVITE and so on */

struct trustset_config {
    const struct identity *self; /* borrowed, outlives the core */
    mn_time sync_interval;       /* 0: 30 s */
    uint8_t seed[RNG_SEED_SIZE];
    struct mn_trace *trace; /* may be NULL */
};

enum trustset_input_type {
    TRUSTSET_IN_TICK = 1,
    TRUSTSET_IN_RECOVER,   /* key, value: as persisted, in any order, before AUTHORITY */
    TRUSTSET_IN_AUTHORITY, /* authority, kept until the next one: the head changed */
    TRUSTSET_IN_LINK_UP,   /* node, grant: a member link */
    TRUSTSET_IN_LINK_DOWN, /* node */
    TRUSTSET_IN_MESSAGE,   /* node, bytes: of a member link */
    TRUSTSET_IN_ADD,       /* kind, bytes: made here; one may come before the first AUTHORITY */
    TRUSTSET_IN_REVOKE,    /* revoke: answered by REVOKE_DONE */
    TRUSTSET_IN_KEY_WANTED /* key_id: a string came whose key is not here */
};

struct trustset_input {
    enum trustset_input_type type;
    mn_id node;
    struct mn_span key, value, grant, bytes;
    trustset_kind kind;
    uint32_t key_id;
    bool is_minter; /* TICK: this node is the one that makes mesh keys now */
    const struct authority *authority;
    struct {
        uint64_t request;
        mn_id node_id, token_id; /* one of them */
        struct mn_span reason;   /* may be empty */
        bool is_benign;          /* gone for good, not bad: no key is replaced */
    } revoke;
};

enum trustset_output_type {
    TRUSTSET_OUT_PERSIST = 1,  /* key, value; is_delete */
    TRUSTSET_OUT_SEND,         /* node, bytes */
    TRUSTSET_OUT_ITEM,         /* kind, bytes: an invite or a withdrawal came in */
    TRUSTSET_OUT_REVOKED,      /* has_node and has_token have changed: check everybody again */
    TRUSTSET_OUT_SELF_REVOKED, /* an issuer revoked this very node */
    TRUSTSET_OUT_KEYS,         /* the keyring changed */
    TRUSTSET_OUT_CHAIN_NEEDED, /* node: it has another authority document than we */
    TRUSTSET_OUT_FAULT,        /* node, status: it sent what an honest node does not */
    TRUSTSET_OUT_REVOKE_DONE   /* request, status, token_id; hold until what was persisted is
                                  durable */
};

struct trustset_output {
    enum trustset_output_type type;
    mn_id node;
    struct mn_span key, value, bytes;
    bool is_delete;
    trustset_kind kind;
    uint64_t request;
    mn_id token_id;   /* REVOKE_DONE: as asked; zero: a node was revoked */
    mn_status status; /* REVOKE_DONE: MN_DENIED not an issuer, or the node is one; MN_EXISTS revoked
                         already; MN_FULL */
};

/* A step appends; the caller resets the arena between turns. */
struct trustset_outbox {
    struct trustset_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

struct trustset;

struct trustset *trustset_new(const struct trustset_config *config); /* never NULL */
void trustset_free(struct trustset *set);
void trustset_step(struct trustset *set, struct mn_now now, const struct trustset_input *input,
                   struct trustset_outbox *outbox);

/* When the next TICK is due, or MN_TIME_NEVER. */
mn_time trustset_deadline(const struct trustset *set);
void trustset_check(const struct trustset *set);

/* ---- looking ---- */

/* Who is out: for grant_check() wherever it is called. The pointer is good as long as the set. */
const struct grant_revoked *trustset_revoked(const struct trustset *set);

/* The keys of this node; a copy is as good. */
const struct keyring *trustset_keyring(const struct trustset *set);

struct trustset_revocation {
    mn_id node_id, token_id;
    uint64_t at_ms;
    uint8_t issuer[SIGN_PK_SIZE];
    const char *reason;
};

/* The revocation of this node, if it was revoked by its id. */
bool trustset_find_revoked(const struct trustset *set, const mn_id *node,
                           struct trustset_revocation *ret);

struct trustset_counts {
    uint32_t items, revocations, links; /* now */
    size_t bytes;
    uint64_t admitted, refused, syncs, keys_asked, messages_malformed, messages_over_rate;
};

struct trustset_counts trustset_counts(const struct trustset *set);

#endif
