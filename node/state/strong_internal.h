/* strong_internal.h: what strong.c (the map and its commands), strong_wire.c (bytes) and
 * strong_save.c (snapshots out) share. */
#ifndef STRONG_INTERNAL_H
#define STRONG_INTERNAL_H

#include "crypto/digest.h"
#include "node/state/strong.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define STRONG_FORMAT 1u /* of snapshots */

struct strong_entry {
    struct mn_map_entry by_key;
    struct mn_buf *key, *value;
    uint64_t rev, created, lease;
    uint8_t holders; /* saves under way that own it; 0: it is part of the map */
};

/* The map as bytes, being made: a snapshot, or what VERIFY hashes. */
struct strong_save {
    uint64_t rev; /* entries that were last changed at or before it belong to it */
    struct strong_entry **entries;
    struct strong_save_session *sessions;
    struct strong_lease *leases;
    uint32_t entries_count, sessions_count, leases_count;
    uint32_t entries_at, sessions_at, leases_at; /* the next to be encoded */
    bool has_head;
    struct mn_buf *last_key; /* of what is encoded; NULL: nothing is */
    struct mn_writer writer;
};

struct strong_session {
    struct mn_map_entry by_client;
    struct mn_list in_used; /* the one unused for longest first */
    mn_id client;
    uint64_t seq;
    struct strong_reply reply;
};

struct strong {
    struct strong_entry **entries; /* in order of key */
    uint32_t entries_count, entries_capacity;
    struct strong_lease *leases; /* in order of id */
    uint32_t leases_count, leases_capacity;
    struct mn_map keys; /* the same */
    struct mn_map sessions;
    struct mn_list used;
    size_t total;
    uint64_t rev;
    struct strong_change *changes;         /* ring of STRONG_CHANGES_MAX */
    uint64_t changes_count, changes_first; /* numbers: first kept, and newest */
    size_t changes_size;
    struct strong_place forgotten; /* the newest change that is not kept */
    struct mn_arena arena;         /* of a command */
    struct {
        uint64_t rev; /* 0: none */
        uint8_t bytes[STRONG_DIGEST_SIZE];
    } digests[STRONG_DIGESTS_MAX];
    uint32_t digests_count;
    struct strong_save *save;   /* NULL: no snapshot is being written */
    struct strong_save *verify; /* NULL: no VERIFY is being hashed */
    struct digest hashed;       /* so far, of [verify] */
};

/* Index of the first entry that is not before [key]. */
uint32_t strong_lower(const struct strong *strong, struct mn_span key);

/* A new entry at [at], of which there is none yet. */
struct strong_entry *strong_insert(struct strong *strong, uint32_t at, struct mn_span key);
struct strong_lease *strong_lease_add(struct strong *strong, uint64_t id);
struct strong_session *strong_session_add(struct strong *strong, const mn_id *client);
void strong_clear(struct strong *strong);

/* Is the entry one that a save under way must find as it is? */
bool strong_is_saved(const struct strong *strong, const struct strong_entry *entry);
void strong_retire(struct strong *strong, struct strong_entry *entry); /* gives it to the saves */

void strong_verify_begin(
    struct strong *strong);                     /* of what there is now; one under way ends first */
void strong_verify_drop(struct strong *strong); /* it may be none */

#endif
