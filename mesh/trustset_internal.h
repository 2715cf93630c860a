/* trustset_internal.h: what the files of trustset share. Nobody else includes it.
 *
 *   trustset.c        life, inputs, time, what others ask
 *   trustset_items.c  the table: what is admitted, what it means, when it goes
 *   trustset_sync.c   messages
 *   trustset_keys.c   mesh keys: made, handed on, kept; revoking */
#ifndef TRUSTSET_INTERNAL_H
#define TRUSTSET_INTERNAL_H

#include "mesh/trustset.h"
#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define ITEM(name) MESHNODE__TRUST__ITEM_KIND__ITEM_KIND_##name
#define TRUSTSET_HASH_SIZE 32
#define TRUSTSET_SHORT_SIZE 16 /* of a hash, where members compare theirs */
#define TRUSTSET_SYNC_INTERVAL (30 * MN_SEC)
#define TRUSTSET_UPKEEP (1 * MN_HOUR)
#define TRUSTSET_MINT_CHECK (5 * MN_SEC)
#define TRUSTSET_MINT_AFTER_MS ((uint64_t)24 * 3600 * 1000)
#define TRUSTSET_MISS_TIME (60 * MN_SEC) /* a key nobody had is not asked for again so soon */
#define TRUSTSET_MISSES_MAX 16
#define TRUSTSET_KEEP_MS ((uint64_t)24 * 3600 * 1000) /* after its end */
#define TRUSTSET_LINKS_MAX 1024

/* One document. */
struct item {
    uint8_t hash[TRUSTSET_HASH_SIZE];
    trustset_kind kind;
    struct mn_buf *bytes;
    uint8_t issuer[SIGN_PK_SIZE];
    uint64_t made_ms, end_ms; /* end 0: none */
    uint32_t key_id;          /* MESH_KEY */
    mn_id node_id, token_id;  /* REVOCATION */
    bool nodes;               /* REVOCATION of a token: those who came by it, too */
};

/* Somebody who is out, by id. */
struct outcast {
    struct mn_map_entry entry;
    mn_id id;
    uint32_t items; /* revocations that say so */
};

/* How much one issuer said in one hour, and in all. */
struct pace {
    struct mn_map_entry entry;
    uint8_t key[SIGN_PK_SIZE + 8]; /* issuer, hour */
    uint32_t count;
    size_t bytes;
};

struct trust_link {
    struct mn_list all; /* oldest first */
    mn_id node, token_id;
    mn_time work_since;
    uint64_t work; /* since then */
};

struct key_miss {
    uint32_t key_id;
    mn_time until;
};

struct trustset {
    struct trustset_config config;
    struct rng rng;
    const struct authority *authority; /* NULL: no mesh yet */
    struct mn_buf *early;              /* added before it: the token made with the mesh; or NULL */
    trustset_kind early_kind;

    struct item **items; /* by hash */
    uint32_t count, capacity;
    size_t bytes;
    uint8_t root[TRUSTSET_HASH_SIZE]; /* sum of the hashes, as numbers */
    struct mn_map nodes, tokens;      /* struct outcast */
    struct mn_map paces;              /* struct pace */
    struct grant_revoked revoked;

    struct mn_list links;
    uint32_t links_count;

    struct keyring ring;
    struct mn_buf *recovered_buf; /* the stored keys, until the announcements are there */
    struct key_miss misses[TRUSTSET_MISSES_MAX];
    uint32_t misses_next;
    bool has_new_keys; /* of this step: tell the owner, store them */
    bool has_new_outcasts;

    mn_time sync_at, upkeep_at, mint_at;
    struct trustset_counts counts;

    /* Of the step that runs. */
    struct mn_now now;
    struct trustset_outbox *outbox;
};

/* ---- trustset.c ---- */

struct trustset_output *trustset_emit(struct trustset *set, enum trustset_output_type type);
void trustset_persist(struct trustset *set, const char *key, struct mn_span value, bool is_delete);
void trustset_fault(struct trustset *set, const mn_id *node, mn_status status);

/* ---- trustset_items.c ---- */

void trustset_hash(trustset_kind kind, struct mn_span bytes, uint8_t ret[TRUSTSET_HASH_SIZE]);

/* Index of the first item whose hash is not below; whether it begins so. */
uint32_t trustset_find(const struct trustset *set, const uint8_t *hash, size_t size,
                       bool *ret_found);

/* Judges a document and takes it. MN_OK: it is new; MN_EXISTS; others: why it is not taken. */
mn_status trustset_admit(struct trustset *set, trustset_kind kind, struct mn_span bytes);
void trustset_recover_item(struct trustset *set, struct mn_span value);

/* After a change of the authority: what its signers may not say any more goes. */
void trustset_judge_again(struct trustset *set);
void trustset_expire(struct trustset *set);
void trustset_items_done(struct trustset *set);
bool trustset_is_out(const struct trustset *set, const mn_id *node, const mn_id *token);
bool trustset_has_hash(const struct trustset *set, const uint8_t hash[TRUSTSET_HASH_SIZE]);

/* ---- trustset_sync.c ---- */

void trustset_on_message(struct trustset *set, const mn_id *from, struct mn_span bytes);
void trustset_send_summary(struct trustset *set, const mn_id *to, bool is_answer);
void trustset_sync_random(struct trustset *set);
void trustset_send_key_ask(struct trustset *set, const mn_id *to, const uint32_t *ids,
                           uint32_t count);

/* These items, and the secrets of the keys among them, to all linked members but one (NULL: all).
 */
void trustset_spread(struct trustset *set, const struct item *const *items, uint32_t count,
                     const mn_id *but);
void trustset_send(struct trustset *set, const mn_id *to,
                   const Meshnode__Trust__TrustPacket *packet);

/* ---- trustset_keys.c ---- */

/* May this key's secret leave this node? */
bool trustset_may_hand_on(const struct trustset *set, const struct keyring_key *key);
void trustset_take_secret(struct trustset *set, const mn_id *from, uint32_t key_id,
                          struct mn_span secret);

/* Asks [to] (NULL: two at random) for the secrets that are announced and not here. */
void trustset_ask_missing(struct trustset *set, const mn_id *to);
void trustset_on_key_wanted(struct trustset *set, uint32_t key_id);
void trustset_mint_if_due(struct trustset *set);
void trustset_on_revoke(struct trustset *set, const struct trustset_input *input);
void trustset_store_keys(struct trustset *set);
void trustset_load_keys(struct trustset *set);

/* At most [max] linked members, drawn at random. */
uint32_t trustset_draw_links(struct trustset *set, mn_id *ret, uint32_t max);

#endif
