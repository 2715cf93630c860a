#include <string.h>

#include "consensus/simplex_internal.h"
#include "crypto/digest.h"

#define BODY_SIZE (sizeof(mn_id) + 4 + SIMPLEX_HASH_SIZE)

bool simplex_hash_equal(const struct simplex_hash *a, const struct simplex_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool simplex_hash_is_zero(const struct simplex_hash *hash)
{
    static const struct simplex_hash zero;

    return simplex_hash_equal(hash, &zero);
}

struct simplex_hash simplex_value_hash(struct mn_span value)
{
    struct simplex_hash hash;
    struct digest digest;

    digest_begin(&digest, DIGEST_VALUE, sizeof hash.bytes);
    digest_variable(&digest, value);
    digest_end(&digest, hash.bytes);
    return hash;
}

void simplex_block_rehash(const mn_id *instance, struct simplex_block *block)
{
    struct digest digest;
    uint8_t numbers[8];

    mn_store_u32(numbers, block->iteration);
    mn_store_u32(numbers + 4, block->parent);
    digest_begin(&digest, DIGEST_BLOCK, sizeof block->hash.bytes);
    digest_fixed(&digest, mn_span(instance->bytes, sizeof instance->bytes));
    digest_fixed(&digest, mn_span(numbers, sizeof numbers));
    digest_fixed(&digest, mn_span(block->parent_hash.bytes, sizeof block->parent_hash.bytes));
    digest_fixed(&digest, mn_span(block->value_hash.bytes, sizeof block->value_hash.bytes));
    digest_end(&digest, block->hash.bytes);
}

/* ---- statements ---- */

static enum sign_tag simplex_tag(enum simplex_kind kind)
{
    if (kind == SIMPLEX_PROPOSAL) return SIGN_BFT_PROPOSAL;
    return kind == SIMPLEX_FINAL ? SIGN_BFT_FINAL : SIGN_BFT_VOTE;
}

static void simplex_body(const mn_id *instance, const struct simplex_statement *statement,
                         uint8_t ret[BODY_SIZE])
{
    memcpy(ret, instance->bytes, sizeof instance->bytes);
    mn_store_u32(ret + sizeof instance->bytes, statement->iteration);
    memcpy(ret + sizeof instance->bytes + 4, statement->hash.bytes, SIMPLEX_HASH_SIZE);
}

void simplex_statement_sign(const struct simplex *simplex, struct simplex_statement *statement)
{
    uint8_t body[BODY_SIZE];

    simplex_body(&simplex->instance, statement, body);
    sign_make(simplex->config.key, simplex_tag(statement->kind), &simplex->config.mesh_id,
              mn_span(body, sizeof body), statement->signature);
}

bool simplex_statement_is_signed(const struct simplex_config *config, const mn_id *instance,
                                 const struct simplex_statement *statement)
{
    uint8_t body[BODY_SIZE];

    simplex_body(instance, statement, body);
    return sign_check(config->validators[statement->signer].pk, simplex_tag(statement->kind),
                      &config->mesh_id, mn_span(body, sizeof body), statement->signature) == MN_OK;
}

/* Does no honest validator sign both? Of the same signer and iteration. */
bool simplex_is_contradiction(const struct simplex_statement *a, const struct simplex_statement *b)
{
    if (a->signer != b->signer || a->iteration != b->iteration) return false;
    if (a->kind == b->kind)
        return a->kind != SIMPLEX_DUMMY && !simplex_hash_equal(&a->hash, &b->hash);
    return (a->kind == SIMPLEX_DUMMY && b->kind == SIMPLEX_FINAL) ||
           (a->kind == SIMPLEX_FINAL && b->kind == SIMPLEX_DUMMY);
}

/* ---- reading ---- */

bool simplex_read_block(const mn_id *instance, const Meshnode__Simplex__Block *from,
                        struct simplex_block *ret)
{
    struct simplex_block block = {.iteration = from->iteration, .parent = from->parent};

    if (block.iteration == 0 || block.iteration > SIMPLEX_ITERATIONS_MAX) return false;
    if (block.parent >= block.iteration) return false;
    if (pb_fixed(from->parent_hash, block.parent_hash.bytes, SIMPLEX_HASH_SIZE) != MN_OK)
        return false;
    if (pb_fixed(from->value_hash, block.value_hash.bytes, SIMPLEX_HASH_SIZE) != MN_OK)
        return false;
    if ((block.parent == 0) != simplex_hash_is_zero(&block.parent_hash)) return false;
    if (from->signature.len > 0 && pb_fixed(from->signature, block.signature, SIGN_SIZE) != MN_OK)
        return false;
    simplex_block_rehash(instance, &block);
    *ret = block;
    return true;
}

bool simplex_read_statement(const Meshnode__Simplex__Statement *from, struct simplex_statement *ret)
{
    struct simplex_statement statement = {.iteration = from->iteration, .signer = from->signer};

    if (from->kind < SIMPLEX_PROPOSAL || from->kind > SIMPLEX_FINAL) return false;
    statement.kind = (enum simplex_kind)from->kind;
    if (statement.iteration == 0 || statement.iteration > SIMPLEX_ITERATIONS_MAX) return false;
    if (statement.kind == SIMPLEX_DUMMY) {
        if (from->hash.len > 0) return false;
    } else {
        if (pb_fixed(from->hash, statement.hash.bytes, SIMPLEX_HASH_SIZE) != MN_OK) return false;
        if (simplex_hash_is_zero(&statement.hash)) return false;
    }
    if (pb_fixed(from->signature, statement.signature, SIGN_SIZE) != MN_OK) return false;
    *ret = statement;
    return true;
}

/* ---- writing ---- */

void simplex_draft_init(struct simplex_draft *draft, const struct simplex *simplex)
{
    *draft = (struct simplex_draft){0};
    meshnode__simplex__message__init(&draft->wire);
    draft->wire.instance = pb_id_bytes(&simplex->instance);
    draft->wire.iteration = simplex->iteration;
}

/* One more pointer in a repeated field. */
#define DRAFT_ADD(draft, field, capacity, item)                                                    \
    do {                                                                                           \
        (draft)->wire.field =                                                                      \
            mn_arena_grow(&(draft)->arena, (draft)->wire.field, (uint32_t)(draft)->wire.n_##field, \
                          &(capacity), sizeof(void *));                                            \
        (draft)->wire.field[(draft)->wire.n_##field++] = (item);                                   \
    } while (0)

static Meshnode__Simplex__Block *draft_block(struct simplex_draft *draft,
                                             const struct simplex_block *block)
{
    Meshnode__Simplex__Block *wire = mn_arena_alloc(&draft->arena, sizeof *wire);

    meshnode__simplex__block__init(wire);
    wire->iteration = block->iteration;
    wire->parent = block->parent;
    wire->parent_hash = pb_bytes(mn_span(block->parent_hash.bytes, SIMPLEX_HASH_SIZE));
    wire->value_hash = pb_bytes(mn_span(block->value_hash.bytes, SIMPLEX_HASH_SIZE));
    return wire;
}

void simplex_draft_block(struct simplex_draft *draft, const struct simplex_block *block,
                         struct mn_span value)
{
    static const uint8_t none[SIGN_SIZE];
    Meshnode__Simplex__Block *wire = draft_block(draft, block);

    wire->value = pb_bytes(value);
    if (memcmp(block->signature, none, sizeof none) != 0)
        wire->signature = pb_bytes(mn_span(block->signature, SIGN_SIZE));
    DRAFT_ADD(draft, blocks, draft->blocks, wire);
}

void simplex_draft_certificate(struct simplex_draft *draft, const struct simplex *simplex,
                               uint32_t iteration, enum simplex_kind kind)
{
    const struct simplex_certificate *from = simplex_book_certificate(simplex, iteration, kind);
    Meshnode__Simplex__Certificate *wire;
    Meshnode__Simplex__Signature *signatures;
    uint32_t count = 0;

    if (from == NULL) return;
    wire = mn_arena_alloc(&draft->arena, sizeof *wire);
    meshnode__simplex__certificate__init(wire);
    wire->kind = (uint32_t)kind;
    wire->iteration = iteration;
    if (kind != SIMPLEX_DUMMY) wire->block = draft_block(draft, &from->block);
    signatures = mn_arena_alloc(&draft->arena, SIMPLEX_VALIDATORS_MAX * sizeof *signatures);
    wire->signatures =
        mn_arena_alloc(&draft->arena, SIMPLEX_VALIDATORS_MAX * sizeof *wire->signatures);
    for (uint32_t i = 0; i < simplex->config.validators_count; i++) {
        if ((from->signers >> i & 1) == 0) continue;
        meshnode__simplex__signature__init(&signatures[count]);
        signatures[count].signer = i;
        signatures[count].signature = pb_bytes(mn_span(from->signatures[count], SIGN_SIZE));
        wire->signatures[count] = &signatures[count];
        count++;
    }
    wire->n_signatures = count;
    DRAFT_ADD(draft, certificates, draft->certificates, wire);
}

static Meshnode__Simplex__Statement *draft_statement(struct simplex_draft *draft,
                                                     const struct simplex_statement *statement)
{
    Meshnode__Simplex__Statement *wire = mn_arena_alloc(&draft->arena, sizeof *wire);

    meshnode__simplex__statement__init(wire);
    wire->kind = (uint32_t)statement->kind;
    wire->iteration = statement->iteration;
    wire->signer = statement->signer;
    if (statement->kind != SIMPLEX_DUMMY)
        wire->hash = pb_bytes(
            mn_arena_copy(&draft->arena, mn_span(statement->hash.bytes, SIMPLEX_HASH_SIZE)));
    wire->signature =
        pb_bytes(mn_arena_copy(&draft->arena, mn_span(statement->signature, SIGN_SIZE)));
    return wire;
}

void simplex_draft_statement(struct simplex_draft *draft, const struct simplex_statement *statement)
{
    DRAFT_ADD(draft, statements, draft->statements, draft_statement(draft, statement));
}

void simplex_draft_evidence(struct simplex_draft *draft, const struct simplex_statement pair[2])
{
    Meshnode__Simplex__Evidence *wire = mn_arena_alloc(&draft->arena, sizeof *wire);

    meshnode__simplex__evidence__init(wire);
    wire->a = draft_statement(draft, &pair[0]);
    wire->b = draft_statement(draft, &pair[1]);
    DRAFT_ADD(draft, evidence, draft->evidence, wire);
}

struct mn_buf *simplex_draft_done(struct simplex_draft *draft)
{
    struct mn_buf *buf = pb_pack(&draft->wire.base);

    mn_arena_done(&draft->arena);
    return buf;
}

/* ---- proofs, offline ---- */

static bool simplex_proof_is_signed(const struct simplex_config *config, const mn_id *instance,
                                    const Meshnode__Simplex__Certificate *from,
                                    const struct simplex_block *block)
{
    uint64_t total = 0, sum = 0;
    uint32_t next = 0;

    for (uint32_t i = 0; i < config->validators_count; i++)
        total += config->validators[i].weight;
    for (size_t i = 0; i < from->n_signatures; i++) {
        struct simplex_statement statement = {.kind = SIMPLEX_FINAL,
                                              .iteration = block->iteration,
                                              .signer = from->signatures[i]->signer,
                                              .hash = block->hash};
        if (statement.signer < next || statement.signer >= config->validators_count) return false;
        next = statement.signer + 1;
        if (pb_fixed(from->signatures[i]->signature, statement.signature, SIGN_SIZE) != MN_OK)
            return false;
        if (!simplex_statement_is_signed(config, instance, &statement)) return false;
        sum += config->validators[statement.signer].weight;
    }
    return sum >= simplex_quorum(total);
}

mn_status simplex_verify(const struct simplex_config *config, struct mn_span proof,
                         struct mn_arena *arena, struct mn_span *ret_value)
{
    mn_id instance = simplex_instance(config), claimed;
    const Meshnode__Simplex__Message *wire;
    struct simplex_block block;
    struct simplex_hash hash;

    if (proof.size > SIMPLEX_MESSAGE_MAX) return MN_MALFORMED;
    wire = pb_unpack(&meshnode__simplex__message__descriptor, arena, proof);
    if (wire == NULL || pb_id(wire->instance, &claimed) != MN_OK) return MN_MALFORMED;
    if (wire->n_certificates != 1 || wire->n_blocks != 1) return MN_MALFORMED;
    if (wire->certificates[0]->kind != SIMPLEX_FINAL || wire->certificates[0]->block == NULL)
        return MN_MALFORMED;
    if (!simplex_read_block(&instance, wire->certificates[0]->block, &block)) return MN_MALFORMED;
    hash = simplex_value_hash(pb_span(wire->blocks[0]->value));
    if (!simplex_hash_equal(&hash, &block.value_hash)) return MN_MALFORMED;
    if (!mn_id_equal(&claimed, &instance)) return MN_BAD_SIGNATURE;
    if (!simplex_proof_is_signed(config, &instance, wire->certificates[0], &block))
        return MN_BAD_SIGNATURE;
    *ret_value = pb_span(wire->blocks[0]->value);
    return MN_OK;
}

mn_status simplex_verify_evidence(const struct simplex_config *config, struct mn_span proof,
                                  uint32_t *ret_signer)
{
    mn_id instance = simplex_instance(config);
    struct mn_arena arena = {0};
    const Meshnode__Simplex__Message *wire = NULL;
    struct simplex_statement a, b;
    mn_status status = MN_MALFORMED;

    if (proof.size <= SIMPLEX_MESSAGE_MAX)
        wire = pb_unpack(&meshnode__simplex__message__descriptor, &arena, proof);
    if (wire == NULL || wire->n_evidence != 1 || wire->evidence[0]->a == NULL ||
        wire->evidence[0]->b == NULL)
        goto done;
    if (!simplex_read_statement(wire->evidence[0]->a, &a) ||
        !simplex_read_statement(wire->evidence[0]->b, &b) || !simplex_is_contradiction(&a, &b) ||
        a.signer >= config->validators_count)
        goto done;
    status = MN_BAD_SIGNATURE;
    if (!simplex_statement_is_signed(config, &instance, &a) ||
        !simplex_statement_is_signed(config, &instance, &b))
        goto done;
    *ret_signer = a.signer;
    status = MN_OK;
done:
    mn_arena_done(&arena);
    return status;
}
