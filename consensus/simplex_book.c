/* What was said, by whom, and what it amounts to. Nothing is noted before its signature is
 * verified, and nothing here decides what we say ourselves. */
#include <string.h>

#include "consensus/simplex_internal.h"
#include "proto/base/check.h"

struct simplex_iteration *simplex_book_at(struct simplex *simplex, uint32_t iteration)
{
    struct simplex_iteration **at = &simplex->iterations[iteration];

    MN_ASSERT(iteration >= 1 && iteration <= SIMPLEX_ITERATIONS_MAX);
    if (*at == NULL)
        *at =
            mn_alloc(sizeof **at + simplex->config.validators_count * sizeof(struct simplex_said));
    return *at;
}

const struct simplex_iteration *simplex_book_peek(const struct simplex *simplex, uint32_t iteration)
{
    return iteration <= SIMPLEX_ITERATIONS_MAX ? simplex->iterations[iteration] : NULL;
}

const struct simplex_certificate *
simplex_book_certificate(const struct simplex *simplex, uint32_t iteration, enum simplex_kind kind)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, iteration);

    if (at == NULL || at->certificates[kind].signers == 0) return NULL;
    return &at->certificates[kind];
}

bool simplex_book_has(const struct simplex *simplex, uint32_t iteration, enum simplex_kind kind)
{
    return simplex_book_certificate(simplex, iteration, kind) != NULL;
}

void simplex_book_done(struct simplex *simplex)
{
    for (uint32_t i = 0; i <= SIMPLEX_ITERATIONS_MAX; i++) {
        struct simplex_iteration *at = simplex->iterations[i];
        for (uint32_t kind = 0; at != NULL && kind <= SIMPLEX_FINAL; kind++)
            mn_free(at->certificates[kind].signatures);
        mn_free(at);
    }
    for (uint32_t i = 0; i < simplex->values_count; i++)
        mn_buf_unref(simplex->values[i].buf);
}

/* ---- evidence ---- */

void simplex_book_evidence(struct simplex *simplex, const struct simplex_statement *a,
                           const struct simplex_statement *b)
{
    struct simplex_output *out;
    struct simplex_draft draft;
    uint64_t weight = 0;

    MN_ASSERT(simplex_is_contradiction(a, b));
    if (simplex->liars >> a->signer & 1) return;
    MN_PROBE("simplex: somebody is convicted of lying");
    simplex->liars |= (uint64_t)1 << a->signer;
    simplex->evidence[a->signer][0] = *a;
    simplex->evidence[a->signer][1] = *b;
    if (simplex->outbox == NULL) return; /* it was durable already */
    simplex_draft_init(&draft, simplex);
    simplex_draft_evidence(&draft, simplex->evidence[a->signer]);
    simplex_persist(simplex, &draft);
    simplex_draft_init(&draft, simplex);
    simplex_draft_evidence(&draft, simplex->evidence[a->signer]);
    simplex_send(simplex, SIMPLEX_ALL, &draft);
    for (uint32_t i = 0; i < simplex->config.validators_count; i++)
        if (simplex->liars >> i & 1) weight += simplex->config.validators[i].weight;
    out = simplex_emit(simplex, SIMPLEX_OUT_EVIDENCE);
    out->evidence.signer = a->signer;
    out->evidence.is_outside = simplex_is_outside(weight, simplex->total);
    simplex_draft_init(&draft, simplex);
    simplex_draft_evidence(&draft, simplex->evidence[a->signer]);
    out->evidence.proof = simplex_draft_done(&draft);
}

/* ---- certificates ---- */

static uint64_t book_weight(const struct simplex *simplex, uint64_t signers)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < simplex->config.validators_count; i++)
        if (signers >> i & 1) sum += simplex->config.validators[i].weight;
    return sum;
}

/* The signature under such a statement, or NULL. */
static const uint8_t *book_said(const struct simplex_said *said, enum simplex_kind kind,
                                const struct simplex_hash *hash)
{
    switch (kind) {
    case SIMPLEX_VOTE:
        return said->has_vote && simplex_hash_equal(&said->vote, hash) ? said->vote_sig : NULL;
    case SIMPLEX_DUMMY: return said->has_dummy ? said->dummy_sig : NULL;
    case SIMPLEX_FINAL:
        return said->has_final && simplex_hash_equal(&said->final, hash) ? said->final_sig : NULL;
    case SIMPLEX_PROPOSAL: break;
    }
    return NULL;
}

static void book_certify(struct simplex *simplex, uint32_t iteration, enum simplex_kind kind,
                         const struct simplex_block *block)
{
    struct simplex_iteration *at = simplex_book_at(simplex, iteration);
    struct simplex_certificate *certificate = &at->certificates[kind];
    const struct simplex_hash *hash = block == NULL ? NULL : &block->hash;
    uint64_t signers = 0;
    uint32_t count = 0;

    if (certificate->signers != 0) return;
    for (uint32_t i = 0; i < simplex->config.validators_count; i++)
        if (book_said(&at->said[i], kind, hash) != NULL) signers |= (uint64_t)1 << i;
    if (book_weight(simplex, signers) < simplex->quorum) return;
    certificate->signatures =
        mn_alloc(simplex->config.validators_count * sizeof *certificate->signatures);
    for (uint32_t i = 0; i < simplex->config.validators_count; i++)
        if (signers >> i & 1)
            memcpy(certificate->signatures[count++], book_said(&at->said[i], kind, hash),
                   SIGN_SIZE);
    certificate->signers = signers;
    if (block != NULL) certificate->block = *block;
}

void simplex_book_count(struct simplex *simplex, uint32_t iteration)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, iteration);

    if (at == NULL) return;
    book_certify(simplex, iteration, SIMPLEX_DUMMY, NULL);
    for (uint32_t i = 0; i < at->proposals_count; i++)
        book_certify(simplex, iteration, SIMPLEX_VOTE, &at->proposals[i]);
    if (at->certificates[SIMPLEX_VOTE].signers != 0)
        book_certify(simplex, iteration, SIMPLEX_FINAL, &at->certificates[SIMPLEX_VOTE].block);
}

/* One that came whole: its signers may have said other things too, which we noted first. */
static void book_keep_certificate(struct simplex *simplex, enum simplex_kind kind,
                                  uint32_t iteration, const struct simplex_block *block,
                                  const struct simplex_statement *statements, uint32_t count)
{
    struct simplex_certificate *certificate =
        &simplex_book_at(simplex, iteration)->certificates[kind];

    if (certificate->signers != 0) return;
    certificate->signatures = mn_alloc(count * sizeof *certificate->signatures);
    for (uint32_t i = 0; i < count; i++) {
        certificate->signers |= (uint64_t)1 << statements[i].signer;
        memcpy(certificate->signatures[i], statements[i].signature, SIGN_SIZE);
    }
    if (block != NULL) certificate->block = *block;
}

static bool book_is_known(const struct simplex *simplex, const struct simplex_statement *statement)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, statement->iteration);
    const uint8_t *known;

    if (at == NULL) return false;
    known = book_said(&at->said[statement->signer], statement->kind, &statement->hash);
    return known != NULL && memcmp(known, statement->signature, SIGN_SIZE) == 0;
}

/* The statements of a certificate; false when it is none. */
static bool book_open_certificate(struct simplex *simplex,
                                  const Meshnode__Simplex__Certificate *from,
                                  const struct simplex_block *block, struct simplex_statement *ret)
{
    uint64_t weight = 0;
    uint32_t next = 0;

    if (from->n_signatures > simplex->config.validators_count) return false;
    for (size_t i = 0; i < from->n_signatures; i++) {
        ret[i] = (struct simplex_statement){.kind = (enum simplex_kind)from->kind,
                                            .iteration = from->iteration,
                                            .signer = from->signatures[i]->signer};
        if (block != NULL) ret[i].hash = block->hash;
        if (ret[i].signer < next || ret[i].signer >= simplex->config.validators_count) return false;
        next = ret[i].signer + 1;
        if (pb_fixed(from->signatures[i]->signature, ret[i].signature, SIGN_SIZE) != MN_OK)
            return false;
        weight += simplex->config.validators[ret[i].signer].weight;
    }
    if (weight < simplex->quorum) return false;
    for (size_t i = 0; i < from->n_signatures; i++)
        if (!book_is_known(simplex, &ret[i]) &&
            !simplex_statement_is_signed(&simplex->config, &simplex->instance, &ret[i]))
            return false;
    return true;
}

void simplex_book_read_certificate(struct simplex *simplex,
                                   const Meshnode__Simplex__Certificate *from)
{
    struct simplex_statement statements[SIMPLEX_VALIDATORS_MAX];
    struct simplex_block block;
    bool is_dummy = from->kind == SIMPLEX_DUMMY;

    if (from->kind < SIMPLEX_VOTE || from->kind > SIMPLEX_FINAL || from->iteration == 0 ||
        from->iteration > SIMPLEX_ITERATIONS_MAX || is_dummy != (from->block == NULL) ||
        (!is_dummy && (!simplex_read_block(&simplex->instance, from->block, &block) ||
                       block.iteration != from->iteration))) {
        simplex->dropped++;
        return;
    }
    if (!book_open_certificate(simplex, from, is_dummy ? NULL : &block, statements)) {
        simplex->dropped++;
        return;
    }
    book_keep_certificate(simplex, (enum simplex_kind)from->kind, from->iteration,
                          is_dummy ? NULL : &block, statements, (uint32_t)from->n_signatures);
    /* Also when we had one: a signer may have told us something else. */
    for (size_t i = 0; i < from->n_signatures; i++)
        simplex_book_statement(simplex, &statements[i], true);
}

/* ---- statements ---- */

/* What this validator said before in the iteration that speaks against [statement]. */
static void book_compare(struct simplex *simplex, const struct simplex_said *said,
                         const struct simplex_statement *statement)
{
    struct simplex_statement before = *statement;

    if (statement->kind == SIMPLEX_VOTE && said->has_vote) {
        before.hash = said->vote;
        memcpy(before.signature, said->vote_sig, SIGN_SIZE);
    } else if (statement->kind == SIMPLEX_FINAL && said->has_final) {
        before.hash = said->final;
        memcpy(before.signature, said->final_sig, SIGN_SIZE);
    }
    if (simplex_is_contradiction(&before, statement))
        simplex_book_evidence(simplex, &before, statement);
    before = *statement;
    if (statement->kind == SIMPLEX_FINAL && said->has_dummy) {
        before.kind = SIMPLEX_DUMMY;
        before.hash = (struct simplex_hash){0};
        memcpy(before.signature, said->dummy_sig, SIGN_SIZE);
    } else if (statement->kind == SIMPLEX_DUMMY && said->has_final) {
        before.kind = SIMPLEX_FINAL;
        before.hash = said->final;
        memcpy(before.signature, said->final_sig, SIGN_SIZE);
    }
    if (simplex_is_contradiction(&before, statement))
        simplex_book_evidence(simplex, &before, statement);
}

static void book_note(struct simplex_said *said, const struct simplex_statement *statement)
{
    switch (statement->kind) {
    case SIMPLEX_VOTE:
        if (said->has_vote) return;
        said->has_vote = true;
        said->vote = statement->hash;
        memcpy(said->vote_sig, statement->signature, SIGN_SIZE);
        break;
    case SIMPLEX_DUMMY:
        if (said->has_dummy) return;
        said->has_dummy = true;
        memcpy(said->dummy_sig, statement->signature, SIGN_SIZE);
        break;
    case SIMPLEX_FINAL:
        if (said->has_final) return;
        said->has_final = true;
        said->final = statement->hash;
        memcpy(said->final_sig, statement->signature, SIGN_SIZE);
        break;
    case SIMPLEX_PROPOSAL: MN_ASSERT(false); break; /* comes as a block */
    }
}

void simplex_book_statement(struct simplex *simplex, const struct simplex_statement *statement,
                            bool is_checked)
{
    struct simplex_said *said;

    if (statement->kind == SIMPLEX_PROPOSAL ||
        statement->signer >= simplex->config.validators_count ||
        (!is_checked && statement->iteration > simplex->iteration + SIMPLEX_AHEAD)) {
        simplex->dropped++;
        return;
    }
    if (book_is_known(simplex, statement)) return;
    if (!is_checked &&
        !simplex_statement_is_signed(&simplex->config, &simplex->instance, statement)) {
        simplex->dropped++;
        return;
    }
    said = &simplex_book_at(simplex, statement->iteration)->said[statement->signer];
    book_compare(simplex, said, statement);
    book_note(said, statement);
    simplex_book_count(simplex, statement->iteration);
}

/* ---- blocks and values ---- */

struct simplex_value *simplex_book_value(struct simplex *simplex, const struct simplex_hash *hash)
{
    for (uint32_t i = 0; i < simplex->values_count; i++)
        if (simplex_hash_equal(&simplex->values[i].hash, hash)) return &simplex->values[i];
    return NULL;
}

/* The newest certified block's value may have to be delivered; of the rest the oldest one goes. */
static void book_evict_value(struct simplex *simplex)
{
    const struct simplex_hash *kept = NULL;
    uint32_t victim = 0;

    for (uint32_t i = SIMPLEX_ITERATIONS_MAX; i > 0 && kept == NULL; i--)
        if (simplex_book_has(simplex, i, SIMPLEX_VOTE))
            kept = &simplex->iterations[i]->certificates[SIMPLEX_VOTE].block.value_hash;
    if (simplex->decided_in != 0) kept = &simplex->decided_value;
    if (kept != NULL && simplex_hash_equal(kept, &simplex->values[0].hash)) victim = 1;
    mn_buf_unref(simplex->values[victim].buf);
    simplex->values_count--;
    memmove(&simplex->values[victim], &simplex->values[victim + 1],
            (simplex->values_count - victim) * sizeof simplex->values[0]);
}

struct simplex_value *simplex_book_keep_value(struct simplex *simplex, struct mn_buf *buf)
{
    struct simplex_hash hash = simplex_value_hash(mn_buf_span(buf));
    struct simplex_value *value = simplex_book_value(simplex, &hash);

    if (value != NULL) return value;
    if (simplex->values_count == SIMPLEX_VALUES_MAX) book_evict_value(simplex);
    value = &simplex->values[simplex->values_count++];
    *value = (struct simplex_value){.hash = hash, .buf = mn_buf_ref(buf)};
    return value;
}

/* Is it the value of a block that somebody entitled signed? Else anybody could fill the table. */
static bool book_is_named(const struct simplex *simplex, const struct simplex_hash *hash)
{
    for (uint32_t i = 1; i <= SIMPLEX_ITERATIONS_MAX; i++) {
        const struct simplex_iteration *at = simplex->iterations[i];
        if (at == NULL) continue;
        for (uint32_t k = 0; k < at->proposals_count; k++)
            if (simplex_hash_equal(&at->proposals[k].value_hash, hash)) return true;
        for (uint32_t kind = SIMPLEX_VOTE; kind <= SIMPLEX_FINAL; kind++)
            if (kind != SIMPLEX_DUMMY && at->certificates[kind].signers != 0 &&
                simplex_hash_equal(&at->certificates[kind].block.value_hash, hash))
                return true;
    }
    return false;
}

static void book_proposal(struct simplex *simplex, const struct simplex_block *block)
{
    struct simplex_statement statement = {.kind = SIMPLEX_PROPOSAL,
                                          .iteration = block->iteration,
                                          .signer = simplex_leader(simplex, block->iteration),
                                          .hash = block->hash};
    struct simplex_statement before = statement;
    struct simplex_iteration *at;

    memcpy(statement.signature, block->signature, SIGN_SIZE);
    if (block->iteration > simplex->iteration + SIMPLEX_AHEAD ||
        !simplex_statement_is_signed(&simplex->config, &simplex->instance, &statement)) {
        simplex->dropped++;
        return;
    }
    at = simplex_book_at(simplex, block->iteration);
    for (uint32_t i = 0; i < at->proposals_count; i++)
        if (simplex_hash_equal(&at->proposals[i].hash, &block->hash)) return;
    if (at->proposals_count > 0) {
        before.hash = at->proposals[0].hash;
        memcpy(before.signature, at->proposals[0].signature, SIGN_SIZE);
        simplex_book_evidence(simplex, &before, &statement);
    }
    if (at->proposals_count == SIMPLEX_PROPOSALS) return;
    at->proposals[at->proposals_count++] = *block;
    simplex_book_count(simplex, block->iteration);
}

static bool book_knows_block(const struct simplex *simplex, const struct simplex_block *block)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, block->iteration);

    for (uint32_t i = 0; at != NULL && i < at->proposals_count; i++)
        if (simplex_hash_equal(&at->proposals[i].hash, &block->hash)) return true;
    return false;
}

void simplex_book_block(struct simplex *simplex, const Meshnode__Simplex__Block *from)
{
    struct simplex_block block;
    struct simplex_hash hash;

    if (from->value.len > SIMPLEX_VALUE_MAX ||
        !simplex_read_block(&simplex->instance, from, &block)) {
        simplex->dropped++;
        return;
    }
    if (from->signature.len > 0 && !book_knows_block(simplex, &block))
        book_proposal(simplex, &block);
    if (from->value.len == 0) return;
    hash = simplex_value_hash(pb_span(from->value));
    if (!simplex_hash_equal(&hash, &block.value_hash) || !book_is_named(simplex, &hash)) {
        simplex->dropped++;
        return;
    }
    if (simplex_book_value(simplex, &hash) == NULL) {
        struct mn_buf *buf = mn_buf_copy(pb_span(from->value));
        simplex_book_keep_value(simplex, buf);
        mn_buf_unref(buf);
    }
}
