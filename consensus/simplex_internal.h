/* simplex_internal.h: the state of an agreement and what its files ask of each other.
 *
 * simplex.c: life, the step, timers. simplex_rules.c: what to say when; the protocol itself.
 * simplex_book.c: what was said: statements, certificates, evidence, values. simplex_wire.c: the
 * bytes. */
#ifndef SIMPLEX_INTERNAL_H
#define SIMPLEX_INTERNAL_H

#include "consensus/simplex.h"
#include "proto/pb.h"
#include "proto/simplex.pb-c.h"

#define SIMPLEX_AHEAD 32u    /* iterations beyond ours whose statements are kept */
#define SIMPLEX_PROPOSALS 2u /* kept of one leader: the second one convicts it */
#define SIMPLEX_CATCH_UP 32u /* certificates sent at a time to one that is behind */

struct simplex_hash {
    uint8_t bytes[SIMPLEX_HASH_SIZE];
};

struct simplex_block {
    uint32_t iteration, parent;
    struct simplex_hash hash, parent_hash, value_hash;
    uint8_t signature[SIGN_SIZE]; /* of a proposal */
};

/* What one validator said in one iteration; the first of each kind. */
struct simplex_said {
    bool has_vote, has_dummy, has_final;
    struct simplex_hash vote, final;
    uint8_t vote_sig[SIGN_SIZE], dummy_sig[SIGN_SIZE], final_sig[SIGN_SIZE];
};

struct simplex_certificate {
    uint64_t signers;                 /* set; 0: there is none */
    uint8_t (*signatures)[SIGN_SIZE]; /* of the signers, by rising index */
    struct simplex_block block;       /* not of a dummy */
};

struct simplex_iteration {
    struct simplex_block proposals[SIMPLEX_PROPOSALS];
    uint32_t proposals_count;
    struct simplex_certificate certificates[SIMPLEX_FINAL + 1]; /* [kind]; PROPOSAL is unused */
    bool is_voted, is_dummied, is_finaled; /* by us; on its way to the disk at least */
    struct simplex_said said[];            /* by validator */
};

enum simplex_judgement { SIMPLEX_UNJUDGED = 0, SIMPLEX_GOOD, SIMPLEX_BAD };

struct simplex_value {
    struct simplex_hash hash;
    struct mn_buf *buf; /* our ref */
    enum simplex_judgement judgement;
    bool is_asked;
};

struct simplex_statement {
    enum simplex_kind kind;
    uint32_t iteration, signer;
    struct simplex_hash hash; /* zeros for a dummy */
    uint8_t signature[SIGN_SIZE];
};

/* Ours, waiting for the disk. */
struct simplex_pending {
    struct simplex_statement statement;
    uint64_t write;
};

#define SIMPLEX_PENDING_MAX 16u

struct simplex {
    struct simplex_config config; /* validators: our copy */
    mn_id instance;
    uint64_t total, quorum;
    struct mn_now now;
    struct simplex_outbox *outbox; /* of this step; NULL while records are read */

    struct simplex_iteration *iterations[SIMPLEX_ITERATIONS_MAX + 1]; /* [number]; NULL: nothing */
    uint32_t iteration, dummies; /* dummies: certified in a row before it */
    mn_time delay, timeout_at, resend_at, resend_every;
    struct mn_buf *own_value;
    struct simplex_value values[SIMPLEX_VALUES_MAX];
    uint32_t values_count;

    uint64_t write_last;
    struct simplex_pending pending[SIMPLEX_PENDING_MAX];
    uint32_t pending_count;

    struct simplex_statement evidence[SIMPLEX_VALIDATORS_MAX][2]; /* where liars has the bit */
    uint64_t liars;
    mn_time helped_at[SIMPLEX_VALIDATORS_MAX]; /* when we last sent what it lacked */
    uint32_t decided_in;                       /* 0: not yet */
    struct simplex_hash decided_value;
    bool is_told, is_stuck;
    uint64_t dropped;
};

/* ---- simplex_wire.c ---- */

/* A message being put together. */
struct simplex_draft {
    struct mn_arena arena;
    Meshnode__Simplex__Message wire;
    uint32_t certificates, blocks, statements, evidence; /* capacities */
};

void simplex_draft_init(struct simplex_draft *draft, const struct simplex *simplex);
void simplex_draft_certificate(struct simplex_draft *draft, const struct simplex *simplex,
                               uint32_t iteration, enum simplex_kind kind);
void simplex_draft_block(struct simplex_draft *draft, const struct simplex_block *block,
                         struct mn_span value);
void simplex_draft_statement(struct simplex_draft *draft,
                             const struct simplex_statement *statement);
void simplex_draft_evidence(struct simplex_draft *draft, const struct simplex_statement pair[2]);
struct mn_buf *simplex_draft_done(struct simplex_draft *draft);

struct simplex_hash simplex_value_hash(struct mn_span value);
void simplex_block_rehash(const mn_id *instance, struct simplex_block *block);
void simplex_statement_sign(const struct simplex *simplex, struct simplex_statement *statement);
bool simplex_statement_is_signed(const struct simplex_config *config, const mn_id *instance,
                                 const struct simplex_statement *statement);
bool simplex_read_block(const mn_id *instance, const Meshnode__Simplex__Block *from,
                        struct simplex_block *ret);
bool simplex_read_statement(const Meshnode__Simplex__Statement *from,
                            struct simplex_statement *ret);
bool simplex_hash_equal(const struct simplex_hash *a, const struct simplex_hash *b);
bool simplex_is_contradiction(const struct simplex_statement *a, const struct simplex_statement *b);

/* ---- simplex_book.c ---- */

struct simplex_iteration *simplex_book_at(struct simplex *simplex, uint32_t iteration);
const struct simplex_iteration *simplex_book_peek(const struct simplex *simplex,
                                                  uint32_t iteration);
bool simplex_book_has(const struct simplex *simplex, uint32_t iteration, enum simplex_kind kind);
const struct simplex_certificate *
simplex_book_certificate(const struct simplex *simplex, uint32_t iteration, enum simplex_kind kind);
void simplex_book_statement(struct simplex *simplex, const struct simplex_statement *statement,
                            bool is_checked);
void simplex_book_block(struct simplex *simplex, const Meshnode__Simplex__Block *from);
void simplex_book_read_certificate(struct simplex *simplex,
                                   const Meshnode__Simplex__Certificate *from);
void simplex_book_evidence(struct simplex *simplex, const struct simplex_statement *a,
                           const struct simplex_statement *b);
struct simplex_value *simplex_book_value(struct simplex *simplex, const struct simplex_hash *hash);
struct simplex_value *simplex_book_keep_value(struct simplex *simplex, struct mn_buf *value);
/* A certificate for a block of [iteration] out of the votes that stand there, if they suffice. */
void simplex_book_count(struct simplex *simplex, uint32_t iteration);
void simplex_book_done(struct simplex *simplex);

/* ---- simplex_rules.c ---- */
void simplex_rules_enter(struct simplex *simplex, uint32_t iteration);
void simplex_rules_advance(struct simplex *simplex);
void simplex_rules_timeout(struct simplex *simplex);
void simplex_rules_resend(struct simplex *simplex);
void simplex_rules_help(struct simplex *simplex, uint32_t from, uint32_t iteration,
                        struct mn_span want);
void simplex_rules_recover(struct simplex *simplex, const struct simplex_statement *statement);

/* ---- simplex.c ---- */
struct simplex_output *simplex_emit(struct simplex *simplex, enum simplex_output_type type);
void simplex_send(struct simplex *simplex, uint32_t to, struct simplex_draft *draft);
uint64_t simplex_persist(struct simplex *simplex, struct simplex_draft *draft);

#endif
