/* strong.h: a replicated map of keys to values, with leases and client sessions: what a consensus
 * group's log of commands amounts to (Ongaro's thesis, 2014, section 6.3, for the sessions;
 * Burrows, "The Chubby lock service", OSDI 2006, section 2.4, for fencing tokens). Pure and
 * deterministic: the same commands at the same indexes give the same replies and byte-equal
 * snapshots everywhere. No time: a lease ends by a command, which whoever leads proposes when it is
 * due.
 *
 * Revisions are log indexes. A key's [created] is the revision that made it: it rises from one
 * holder of a lock to the next, and is the fencing token. */
#ifndef STRONG_H
#define STRONG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define STRONG_KEY_MAX ((size_t)1 << 10)   /* bytes */
#define STRONG_VALUE_MAX ((size_t)1 << 18) /* bytes */
#define STRONG_KEYS_MAX 65536u
#define STRONG_TOTAL_MAX ((size_t)64 << 20) /* bytes of keys and values */
#define STRONG_SESSIONS_MAX 16384u          /* the one unused for longest, in commands, gives way */
#define STRONG_LEASES_MAX 16384u
#define STRONG_TTL_MIN_MS 1000u
#define STRONG_TTL_MAX_MS 86400000u
#define STRONG_CHANGES_MAX 4096u               /* kept for those who watch */
#define STRONG_CHANGES_SIZE ((size_t)16 << 20) /* bytes of values in them, at most */
#define STRONG_LIST_MAX 256u                   /* pairs of one page */
#define STRONG_LIST_SIZE ((size_t)512 << 10)   /* bytes of one page, and one pair more */

enum strong_verb {
    STRONG_PUT = 1, /* key, value; lease (0: none): the key goes when the lease ends */
    STRONG_REMOVE,  /* key */
    STRONG_ADD,     /* key, by: the value is a decimal number, and none is 0 */
    STRONG_GRANT,   /* ttl_ms: a new lease; its id is the reply's rev */
    STRONG_RENEW,   /* lease */
    STRONG_REVOKE,  /* lease: its keys go with it */
    STRONG_EXPIRE,  /* lease, renewals: as REVOKE, unless it was renewed since */
    STRONG_VERIFY   /* changes nothing: each replica remembers what it is, see strong_digest() */
};

struct strong_command {
    mn_id client; /* zero: no session, and a repetition is applied again */
    uint64_t seq; /* >= 1; one command of a client at a time, or older ones may be passed over */
    enum strong_verb verb;
    struct mn_span key, value;
    bool has_if_rev; /* of PUT, REMOVE, ADD: only if the key's rev is if_rev; 0: if there is none */
    uint64_t if_rev, lease, ttl_ms, renewals;
    int64_t by;
};

/* MN_OK; MN_EXISTS: if_rev does not hold, rev is the key's (0: none); MN_NOT_FOUND: no such key to
 * remove, no such lease; MN_TOO_BIG: key, value or total; MN_FULL; MN_MALFORMED: not a number, a
 * TTL out of range, unknown verb; MN_EXPIRED: the session gave way, or a newer command of it was
 * applied: whether this one was is not known. */
struct strong_reply {
    mn_status status;
    uint64_t rev;   /* of the key as it is now, of its removal; GRANT: the lease */
    int64_t number; /* ADD: the sum; GRANT, RENEW: ttl_ms */
};

struct strong_pair {
    struct mn_span key, value;
    uint64_t rev, created, lease;
};

/* The owner's one ref. MN_TOO_BIG, MN_MALFORMED: it is out of the bounds above. */
mn_status strong_command_check(const struct strong_command *command);
struct mn_buf *strong_command_encode(const struct strong_command *command);

/* Spans in *ret are in [arena]. */
MN_MUST_USE mn_status strong_command_decode(struct mn_span bytes, struct mn_arena *arena,
                                            struct strong_command *ret);

struct strong;

/* [seed]: any number that those who choose keys do not know; it changes nothing that is seen. */
struct strong *strong_new(uint64_t seed);
void strong_free(struct strong *strong);

/* The command at [index], which rises. Bytes that do not decode change nothing: MN_MALFORMED. */
struct strong_reply strong_apply(struct strong *strong, uint64_t index, struct mn_span command);

/* False: no such key. Spans are valid until the next apply. */
bool strong_get(const struct strong *strong, struct mn_span key, struct strong_pair *ret);

/* The next pair after [after] (empty: the first) that begins with [prefix]. */
bool strong_next(const struct strong *strong, struct mn_span prefix, struct mn_span after,
                 struct strong_pair *ret);

/* ---- watching ---- */

struct strong_change {
    uint64_t rev;
    bool is_removed;
    struct mn_buf *key, *value; /* value NULL: removed */
    uint64_t created;
    uint32_t part;   /* of its revision, from 1: a lease that ends takes many keys along */
    uint64_t number; /* of this node's, from 1 */
};

/* Up to where somebody has seen the changes: all before revision [rev], and the first [part] of its
 * own. The changes of a revision have the same order everywhere, so that who watches can go on at
 * any node. */
struct strong_place {
    uint64_t rev;
    uint32_t part; /* STRONG_PART_ALL: all of them */
};
#define STRONG_PART_ALL UINT32_MAX

/* The first kept change after [place]. MN_NOT_FOUND: none yet. MN_EXPIRED: some since are not kept
 * any more: list anew. */
mn_status strong_change_after(const struct strong *strong, struct strong_place place,
                              const struct strong_change **ret);

/* The one that follows it; NULL: that was the newest. */
const struct strong_change *strong_change_next(const struct strong *strong,
                                               const struct strong_change *change);

/* ---- leases, for whoever leads ---- */

struct strong_lease {
    uint64_t id, ttl_ms, renewals;
    mn_time since; /* scratch of the owner, no part of the state; 0 after GRANT and RENEW */
};

/* In order of id: starts with NULL, ends with NULL. */
struct strong_lease *strong_lease_next(struct strong *strong, const struct strong_lease *lease);

/* How many keys live by each of the leases [ids], which rise. Time grows with all keys. */
void strong_lease_keys(const struct strong *strong, const uint64_t *ids, uint32_t count,
                       uint32_t *ret);

/* ---- snapshots ---- */

struct mn_buf *strong_snapshot(const struct strong *strong);

/* The same bytes, of everything as it is at the beginning, piece by piece while commands go on. One
 * at a time; strong_restore() drops it. */
void strong_save_begin(struct strong *strong);
bool strong_is_saving(const struct strong *strong);

/* About [size] bytes more, valid until the next call; never empty. */
struct mn_span strong_save_next(struct strong *strong, size_t size);
struct mn_buf *strong_save_end(struct strong *strong); /* NULL: there is more; the caller's ref */
void strong_save_drop(struct strong *strong);          /* it may be none */

/* MN_MALFORMED, MN_TOO_BIG: the state is then what it was. Empty bytes: nothing applied yet. */
MN_MUST_USE mn_status strong_restore(struct strong *strong, struct mn_span snapshot);

#define STRONG_DIGEST_SIZE 16
#define STRONG_DIGESTS_MAX 4u /* the newest are remembered */

/* What everything there was at the VERIFY of revision [rev] hashes to: equal at all replicas, or
 * one of them is damaged. MN_NOT_YET: it is being hashed; MN_NOT_FOUND: none such is remembered,
 * because others came later, or a snapshot took the map's place. */
MN_MUST_USE mn_status strong_digest(const struct strong *strong, uint64_t rev,
                                    uint8_t ret[STRONG_DIGEST_SIZE]);

/* VERIFY only fixes what is to be hashed, and commands go on: that is done here, about [size] bytes
 * at a time. One at a time: a second VERIFY has the first one done at once. */
bool strong_is_verifying(const struct strong *strong);
void strong_verify_next(struct strong *strong, size_t size); /* one must be under way */

struct strong_stats {
    uint32_t keys_count, sessions_count, leases_count;
    size_t total_size; /* bytes of keys and values */
    uint64_t rev;      /* index of the newest command */
};
struct strong_stats strong_stats(const struct strong *strong);
void strong_check(const struct strong *strong);

#endif
