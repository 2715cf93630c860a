/* simplex.h: agreement on one value among validators of which some lie. Weighted single-decree
 * Simplex (Chan & Pass, "Simplex Consensus", TCC 2023): no locks and no view change; three message
 * delays when the leader is honest.
 *
 * Every iteration has a leader. Validators vote for its block, or, when it takes too long, for the
 * dummy block. A quorum of votes is a certificate, and leads to the next iteration. Who sees a
 * certified block without having voted for the dummy says FINAL; a quorum of FINAL decides. FINAL
 * and a dummy vote exclude each other, so an iteration with a decision has no dummy certificate,
 * and every later block descends from the decided one.
 *
 * Where this leaves the paper: votes have integer weights; single decree (a block with a parent has
 * the value of its parent); statements are sent again until something happens, because the net here
 * loses messages; the certificate that allowed a FINAL is durable with it, so that all validators
 * may restart at once.
 *
 * Pure: no clock, socket, disk, thread or global. Whatever must be durable first is held inside
 * until SIMPLEX_IN_DURABLE: no statement of ours leaves, or counts, before.
 *
 * Fault model: asynchronous net that loses, repeats and reorders; validators with less than a third
 * of the weight do anything; the others crash and come back with their disk. A validator whose disk
 * was restored from a backup must abstain. */
#ifndef SIMPLEX_H
#define SIMPLEX_DELAY_MAX (30 * MN_SEC)
#define SIMPLEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define SIMPLEX_VALIDATORS_MAX 64u
#define SIMPLEX_ITERATIONS_MAX 256u       /* then it is stuck for ever, and says so */
#define SIMPLEX_VALUE_MAX ((size_t)65536) /* bytes */
#define SIMPLEX_VALUES_MAX 16u            /* known at a time; liars propose many */
#define SIMPLEX_MESSAGE_MAX ((size_t)2 << 20)
#define SIMPLEX_HASH_SIZE 32
#define SIMPLEX_ALL UINT32_MAX        /* as receiver */
#define SIMPLEX_NOBODY UINT32_MAX     /* as our own index: an observer, who never signs */
#define SIMPLEX_TOTAL_MAX 0x7fffffffu /* of all weights */

struct simplex; /* opaque; at most about 5 MiB with 64 validators */

enum simplex_kind { SIMPLEX_PROPOSAL = 1, SIMPLEX_VOTE, SIMPLEX_DUMMY, SIMPLEX_FINAL };

struct simplex_validator {
    uint8_t pk[SIGN_PK_SIZE];
    uint32_t weight; /* >= 1 */
};

/* The same at all validators but for self, key and abstains, or they do not hear each other. */
struct simplex_config {
    mn_id mesh_id, name;                        /* name: of what is decided; never used twice */
    const struct simplex_validator *validators; /* copied; every key once */
    uint32_t validators_count;                  /* 1 .. SIMPLEX_VALIDATORS_MAX */
    uint32_t self;                              /* index, or SIMPLEX_NOBODY */
    const struct sign_key *key;                 /* of self; must outlive the core */
    bool abstains;                              /* looks on: its disk may be older than its words */
    mn_time delay; /* D0: max(2 x p99 round trip, 200 ms); 1 ms .. 30 s */
};

/* The instance all signatures are bound to: name, validators and weights. */
mn_id simplex_instance(const struct simplex_config *config);

/* The least weight that is a quorum: floor(2W/3) + 1. */
uint64_t simplex_quorum(uint64_t total);

/* Is [faulty] weight of [total] outside the fault model, so that nothing here is promised? */
bool simplex_is_outside(uint64_t faulty, uint64_t total);

/* Who proposes in an iteration: drawn by weight from the instance and the number alone. */
uint32_t simplex_leader(const struct simplex *simplex, uint32_t iteration);

/* ---- the step ---- */

enum simplex_input_type {
    SIMPLEX_IN_TICK = 1,
    SIMPLEX_IN_VALUE,   /* what we propose when we lead and nothing is certified yet */
    SIMPLEX_IN_JUDGED,  /* the answer to SIMPLEX_OUT_JUDGE */
    SIMPLEX_IN_MESSAGE, /* from another validator */
    SIMPLEX_IN_DURABLE  /* all records up to this number are on disk */
};

struct simplex_input {
    enum simplex_input_type type;
    union {
        struct mn_buf *value; /* 1 .. SIMPLEX_VALUE_MAX bytes; another ref is taken */
        struct {
            uint8_t hash[SIMPLEX_HASH_SIZE];
            bool is_valid;
        } judged;
        struct {
            uint32_t from; /* as the link says */
            struct mn_span bytes;
        } message;
        uint64_t durable;
    };
};

enum simplex_output_type {
    SIMPLEX_OUT_SEND = 1,
    SIMPLEX_OUT_PERSIST, /* add to what simplex_new() gets after a restart, in this order */
    SIMPLEX_OUT_JUDGE,   /* may this be decided? Must depend on nothing but instance and value */
    SIMPLEX_OUT_DECIDED, /* once per life of the process */
    SIMPLEX_OUT_EVIDENCE /* against [signer]; once for each */
};

struct simplex_output {
    enum simplex_output_type type;
    union {
        struct {
            uint32_t to; /* index or SIMPLEX_ALL, which leaves us out */
            struct mn_buf *buf;
        } send;
        struct {
            uint64_t write; /* 1, 2, ... since simplex_new() */
            struct mn_buf *record;
        } persist;
        struct {
            uint8_t hash[SIMPLEX_HASH_SIZE];
            struct mn_buf *value; /* borrowed */
        } judge;
        struct {
            uint32_t iteration;
            struct mn_buf *value; /* borrowed */
        } decided;
        struct {
            uint32_t signer;
            struct mn_buf *proof; /* an encoded Message that carries it */
            bool is_outside;      /* liars known by now hold a third of the weight or more */
        } evidence;
    };
};

/* Items and the buffers they hold stay valid until simplex_outbox_reset(), borrowed ones until the
 * next step. */
struct simplex_outbox {
    struct simplex_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

void simplex_outbox_reset(struct simplex_outbox *outbox);

/* [records]: everything that was durable, in its order. Records that do not decode or verify are
 * left out and counted as dropped; a torn tail is therefore fine. MN_CONFIG: a field is outside its
 * stated range; *ret is then untouched. */
MN_MUST_USE mn_status simplex_new(const struct simplex_config *config,
                                  const struct mn_span *records, uint32_t records_count,
                                  struct mn_now now, struct simplex **ret);
void simplex_free(struct simplex *simplex);

/* Never fails; bad input is counted and dropped. */
void simplex_step(struct simplex *simplex, struct mn_now now, const struct simplex_input *input,
                  struct simplex_outbox *outbox);

mn_time simplex_deadline(const struct simplex *simplex);

/* Asserts the invariants; for tests and the simulator. */
void simplex_check(const struct simplex *simplex);

/* ---- looking ---- */

struct simplex_view {
    uint32_t iteration, leader;
    bool is_decided, is_stuck;
    uint32_t decided_in;
    struct mn_buf *value; /* decided; borrowed */
    uint64_t liars;       /* set of validators with evidence against them */
    uint64_t dropped;
};

struct simplex_view simplex_view(const struct simplex *simplex);

/* The proof of a decision for those who were not there: a quorum of FINAL and the value; the caller
 * owns the ref. NULL while undecided. */
struct mn_buf *simplex_certificate(const struct simplex *simplex);

/* Checks such a proof with nothing but the configuration (self, key, delay do not matter); the
 * value is copied into [arena]. MN_MALFORMED, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status simplex_verify(const struct simplex_config *config, struct mn_span proof,
                                     struct mn_arena *arena, struct mn_span *ret_value);

/* Checks evidence in an encoded Message: the signer it convicts. */
MN_MUST_USE mn_status simplex_verify_evidence(const struct simplex_config *config,
                                              struct mn_span proof, uint32_t *ret_signer);

#endif
