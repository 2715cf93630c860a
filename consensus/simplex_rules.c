/* The protocol: what to say when (Chan & Pass 2023, section 2), for weights and a single decree. */
#include <string.h>

#include "consensus/simplex_internal.h"
#include "proto/base/check.h"

#define RESEND_MAX 16 /* times the delay: how seldom it becomes where nothing moves */

static const struct simplex_block *rules_certified(const struct simplex *simplex,
                                                   uint32_t iteration)
{
    const struct simplex_certificate *certificate =
        simplex_book_certificate(simplex, iteration, SIMPLEX_VOTE);

    return certificate == NULL ? NULL : &certificate->block;
}

static bool rules_can_sign(const struct simplex *simplex)
{
    return simplex->config.self != SIMPLEX_NOBODY && !simplex->config.abstains;
}

/* ---- our own words ---- */

/* Signs, hands to the disk together with what [draft] has, and remembers until it is durable. */
static void rules_say(struct simplex *simplex, enum simplex_kind kind,
                      const struct simplex_hash *hash, struct simplex_draft *draft)
{
    struct simplex_statement statement = {
        .kind = kind, .iteration = simplex->iteration, .signer = simplex->config.self};
    struct simplex_pending *pending;

    if (hash != NULL) statement.hash = *hash;
    simplex_statement_sign(simplex, &statement);
    simplex_draft_statement(draft, &statement);
    MN_ASSERT(simplex->pending_count < SIMPLEX_PENDING_MAX);
    pending = &simplex->pending[simplex->pending_count++];
    pending->statement = statement;
    pending->write = simplex_persist(simplex, draft);
}

/* What a process before this one said. */
void simplex_rules_recover(struct simplex *simplex, const struct simplex_statement *statement)
{
    struct simplex_iteration *at;

    if (statement->signer != simplex->config.self) return;
    at = simplex_book_at(simplex, statement->iteration);
    at->is_voted |= statement->kind == SIMPLEX_VOTE;
    at->is_dummied |= statement->kind == SIMPLEX_DUMMY;
    at->is_finaled |= statement->kind == SIMPLEX_FINAL;
}

static bool rules_has_room(const struct simplex *simplex)
{
    return simplex->pending_count + 2 <= SIMPLEX_PENDING_MAX; /* else the disk is behind: wait */
}

/* ---- proposing ---- */

/* The newest certified block before [iteration]; NULL: none. */
static const struct simplex_block *rules_parent(const struct simplex *simplex, uint32_t iteration)
{
    for (uint32_t i = iteration - 1; i >= 1; i--)
        if (rules_certified(simplex, i) != NULL) return rules_certified(simplex, i);
    return NULL;
}

static void rules_propose(struct simplex *simplex)
{
    struct simplex_iteration *at = simplex_book_at(simplex, simplex->iteration);
    const struct simplex_block *parent = rules_parent(simplex, simplex->iteration);
    struct simplex_block *block = &at->proposals[0];
    struct simplex_statement statement = {
        .kind = SIMPLEX_PROPOSAL, .iteration = simplex->iteration, .signer = simplex->config.self};
    struct simplex_draft draft;

    if (at->proposals_count > 0) return; /* done, maybe by a process before this one */
    if (parent == NULL && simplex->own_value == NULL) return;
    *block = (struct simplex_block){.iteration = simplex->iteration};
    if (parent != NULL) {
        block->parent = parent->iteration;
        block->parent_hash = parent->hash;
        block->value_hash = parent->value_hash;
    } else {
        block->value_hash = simplex_value_hash(mn_buf_span(simplex->own_value));
        simplex_book_keep_value(simplex, simplex->own_value);
    }
    simplex_block_rehash(&simplex->instance, block);
    statement.hash = block->hash;
    simplex_statement_sign(simplex, &statement);
    memcpy(block->signature, statement.signature, SIGN_SIZE);
    at->proposals_count = 1;
    simplex_draft_init(&draft, simplex);
    simplex_draft_block(&draft, block, mn_buf_span(parent == NULL ? simplex->own_value : NULL));
    MN_ASSERT(simplex->pending_count < SIMPLEX_PENDING_MAX);
    simplex->pending[simplex->pending_count].statement = statement;
    simplex->pending[simplex->pending_count++].write = simplex_persist(simplex, &draft);
}

/* ---- voting ---- */

/* Is the parent certified, and every iteration between skipped for good? */
static bool rules_is_justified(const struct simplex *simplex, const struct simplex_block *block)
{
    if (block->parent > 0) {
        const struct simplex_block *parent = rules_certified(simplex, block->parent);
        if (parent == NULL || !simplex_hash_equal(&parent->hash, &block->parent_hash)) return false;
        if (!simplex_hash_equal(&parent->value_hash, &block->value_hash)) return false;
    }
    for (uint32_t i = block->parent + 1; i < block->iteration; i++)
        if (!simplex_book_has(simplex, i, SIMPLEX_DUMMY)) return false;
    return true;
}

/* The value of a block without a parent must be one that may be decided. With a parent it has been
 * judged by the honest ones among those who certified the first block that had it. */
static bool rules_is_valid(struct simplex *simplex, const struct simplex_block *block)
{
    struct simplex_value *value = simplex_book_value(simplex, &block->value_hash);
    struct simplex_output *out;

    if (block->parent > 0) return true;
    if (value == NULL) return false;
    if (value->judgement == SIMPLEX_UNJUDGED && !value->is_asked) {
        value->is_asked = true;
        out = simplex_emit(simplex, SIMPLEX_OUT_JUDGE);
        memcpy(out->judge.hash, value->hash.bytes, SIMPLEX_HASH_SIZE);
        out->judge.value = value->buf;
    }
    return value->judgement == SIMPLEX_GOOD;
}

static void rules_vote(struct simplex *simplex)
{
    struct simplex_iteration *at = simplex_book_at(simplex, simplex->iteration);

    if (at->is_voted || at->is_dummied) return;
    for (uint32_t i = 0; i < at->proposals_count; i++) {
        const struct simplex_block *block = &at->proposals[i];
        const struct simplex_value *value;
        struct simplex_draft draft;
        if (!rules_is_justified(simplex, block) || !rules_is_valid(simplex, block)) continue;
        at->is_voted = true;
        value = simplex_book_value(simplex, &block->value_hash);
        simplex_draft_init(&draft, simplex);
        simplex_draft_block(&draft, block, mn_buf_span(value == NULL ? NULL : value->buf));
        rules_say(simplex, SIMPLEX_VOTE, &block->hash, &draft);
        return;
    }
}

static void rules_final(struct simplex *simplex)
{
    struct simplex_iteration *at = simplex_book_at(simplex, simplex->iteration);
    struct simplex_draft draft;

    if (at->is_finaled || !rules_can_sign(simplex)) return;
    if (at->is_dummied) {
        MN_PROBE("simplex: certified, but we voted for the dummy");
        return;
    }
    at->is_finaled = true;
    simplex_draft_init(&draft, simplex);
    simplex_draft_certificate(&draft, simplex, simplex->iteration, SIMPLEX_VOTE);
    rules_say(simplex, SIMPLEX_FINAL, &at->certificates[SIMPLEX_VOTE].block.hash, &draft);
}

void simplex_rules_timeout(struct simplex *simplex)
{
    struct simplex_iteration *at = simplex_book_at(simplex, simplex->iteration);
    struct simplex_draft draft;

    simplex->timeout_at = MN_TIME_NEVER;
    if (!rules_can_sign(simplex) || at->is_finaled || at->is_dummied) return;
    if (!rules_has_room(simplex)) {
        simplex->timeout_at = mn_time_after(simplex->now.mono, simplex->delay);
        return;
    }
    if (at->is_voted) MN_PROBE("simplex: a dummy vote after a block vote");
    at->is_dummied = true;
    simplex_draft_init(&draft, simplex);
    rules_say(simplex, SIMPLEX_DUMMY, NULL, &draft);
}

/* ---- iterations ---- */

void simplex_rules_enter(struct simplex *simplex, uint32_t iteration)
{
    simplex->iteration = iteration;
    simplex->dummies = 0;
    simplex->delay = simplex->config.delay;
    for (uint32_t i = iteration - 1; i >= 1 && rules_certified(simplex, i) == NULL; i--) {
        simplex->dummies++;
        if (simplex->delay < SIMPLEX_DELAY_MAX) simplex->delay += simplex->delay / 2;
    }
    if (simplex->delay > SIMPLEX_DELAY_MAX) simplex->delay = SIMPLEX_DELAY_MAX;
    simplex->timeout_at = mn_time_after(simplex->now.mono, 3 * simplex->delay);
    simplex->resend_every = simplex->delay;
    simplex->resend_at = mn_time_after(simplex->now.mono, simplex->resend_every);
}

/* On from an iteration that has a certificate; false: it has none. */
static bool rules_leave(struct simplex *simplex)
{
    enum simplex_kind kind;
    struct simplex_draft draft;

    if (simplex_book_has(simplex, simplex->iteration, SIMPLEX_VOTE)) {
        kind = SIMPLEX_VOTE;
    } else if (simplex_book_has(simplex, simplex->iteration, SIMPLEX_DUMMY)) {
        kind = SIMPLEX_DUMMY;
    } else {
        return false;
    }
    if (simplex->iteration == SIMPLEX_ITERATIONS_MAX) {
        simplex->is_stuck = true;
        return false;
    }
    if (kind == SIMPLEX_VOTE) rules_final(simplex);
    simplex_draft_init(&draft, simplex);
    simplex_draft_certificate(&draft, simplex, simplex->iteration, kind);
    simplex_persist(simplex, &draft);
    simplex_draft_init(&draft, simplex);
    simplex_draft_certificate(&draft, simplex, simplex->iteration, kind);
    simplex_rules_enter(simplex, simplex->iteration + 1);
    draft.wire.iteration = simplex->iteration;
    simplex_send(simplex, SIMPLEX_ALL, &draft);
    return true;
}

/* ---- deciding ---- */

static void rules_want_value(struct simplex *simplex, const struct simplex_hash *hash)
{
    struct simplex_draft draft;

    simplex_draft_init(&draft, simplex);
    draft.wire.want = pb_bytes(mn_span(hash->bytes, SIMPLEX_HASH_SIZE));
    simplex_send(simplex, SIMPLEX_ALL, &draft);
}

static void rules_draft_decided(const struct simplex *simplex, struct simplex_draft *draft)
{
    const struct simplex_certificate *final =
        simplex_book_certificate(simplex, simplex->decided_in, SIMPLEX_FINAL);

    simplex_draft_init(draft, simplex);
    simplex_draft_certificate(draft, simplex, simplex->decided_in, SIMPLEX_FINAL);
    for (uint32_t i = 0; i < simplex->values_count; i++)
        if (simplex_hash_equal(&simplex->values[i].hash, &simplex->decided_value))
            simplex_draft_block(draft, &final->block, mn_buf_span(simplex->values[i].buf));
}

struct mn_buf *simplex_certificate(const struct simplex *simplex)
{
    struct simplex_draft draft;

    if (simplex->decided_in == 0 || !simplex->is_told) return NULL;
    rules_draft_decided(simplex, &draft);
    return simplex_draft_done(&draft);
}

static void rules_decide(struct simplex *simplex)
{
    const struct simplex_value *value;
    struct simplex_output *out;
    struct simplex_draft draft;

    for (uint32_t i = 1; i <= SIMPLEX_ITERATIONS_MAX && simplex->decided_in == 0; i++) {
        const struct simplex_certificate *final =
            simplex_book_certificate(simplex, i, SIMPLEX_FINAL);
        if (final == NULL) continue;
        simplex->decided_in = i;
        simplex->timeout_at = MN_TIME_NEVER; /* there is nothing left to give up */
        simplex->decided_value = final->block.value_hash;
        if (simplex_book_value(simplex, &simplex->decided_value) == NULL) {
            MN_PROBE("simplex: decided, but the value is missing");
            rules_want_value(simplex, &simplex->decided_value);
            simplex->resend_at = mn_time_after(simplex->now.mono, simplex->config.delay);
        }
    }
    if (simplex->decided_in == 0 || simplex->is_told) return;
    value = simplex_book_value(simplex, &simplex->decided_value);
    if (value == NULL) return;
    simplex->is_told = true;
    simplex->timeout_at = simplex->resend_at = MN_TIME_NEVER;
    rules_draft_decided(simplex, &draft);
    simplex_persist(simplex, &draft);
    rules_draft_decided(simplex, &draft);
    simplex_send(simplex, SIMPLEX_ALL, &draft);
    out = simplex_emit(simplex, SIMPLEX_OUT_DECIDED);
    out->decided.iteration = simplex->decided_in;
    out->decided.value = value->buf;
}

/* Does everything that what we know by now allows. */
void simplex_rules_advance(struct simplex *simplex)
{
    for (;;) {
        rules_decide(simplex);
        if (simplex->decided_in != 0) return;
        if (!rules_has_room(simplex)) return;
        if (!rules_leave(simplex)) break;
    }
    if (!rules_can_sign(simplex)) return;
    if (simplex_leader(simplex, simplex->iteration) == simplex->config.self) rules_propose(simplex);
    if (rules_has_room(simplex)) rules_vote(simplex);
}

/* ---- against loss ---- */

static void rules_draft_own(const struct simplex *simplex, uint32_t iteration,
                            struct simplex_draft *draft)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, iteration);
    const struct simplex_said *said;
    struct simplex_statement statement = {.iteration = iteration, .signer = simplex->config.self};

    if (at == NULL || simplex->config.self == SIMPLEX_NOBODY) return;
    said = &at->said[simplex->config.self]; /* holds only what is durable */
    if (said->has_vote) {
        statement.kind = SIMPLEX_VOTE;
        statement.hash = said->vote;
        memcpy(statement.signature, said->vote_sig, SIGN_SIZE);
        simplex_draft_statement(draft, &statement);
    }
    if (said->has_final) {
        statement.kind = SIMPLEX_FINAL;
        statement.hash = said->final;
        memcpy(statement.signature, said->final_sig, SIGN_SIZE);
        simplex_draft_statement(draft, &statement);
    }
    if (said->has_dummy) {
        statement.kind = SIMPLEX_DUMMY;
        memcpy(statement.signature, said->dummy_sig, SIGN_SIZE);
        simplex_draft_statement(draft, &statement);
    }
}

static bool rules_is_proposal_durable(const struct simplex *simplex, uint32_t iteration)
{
    for (uint32_t i = 0; i < simplex->pending_count; i++)
        if (simplex->pending[i].statement.kind == SIMPLEX_PROPOSAL &&
            simplex->pending[i].statement.iteration == iteration)
            return false;
    return true;
}

/* Our proposal of this iteration with all that shows it to be justified. */
static void rules_draft_proposal(struct simplex *simplex, struct simplex_draft *draft)
{
    const struct simplex_iteration *at = simplex_book_peek(simplex, simplex->iteration);
    const struct simplex_value *value;
    const struct simplex_block *block;

    if (at == NULL || at->proposals_count == 0) return;
    if (simplex_leader(simplex, simplex->iteration) != simplex->config.self) return;
    if (!rules_is_proposal_durable(simplex, simplex->iteration)) return;
    block = &at->proposals[0];
    if (block->parent > 0) simplex_draft_certificate(draft, simplex, block->parent, SIMPLEX_VOTE);
    for (uint32_t i = block->parent + 1; i < block->iteration; i++)
        simplex_draft_certificate(draft, simplex, i, SIMPLEX_DUMMY);
    value = block->parent > 0 ? NULL : simplex_book_value(simplex, &block->value_hash);
    simplex_draft_block(draft, block, mn_buf_span(value == NULL ? NULL : value->buf));
}

void simplex_rules_resend(struct simplex *simplex)
{
    struct simplex_draft draft;

    if (simplex->is_told) {
        simplex->resend_at = MN_TIME_NEVER;
        return;
    }
    simplex->resend_at = mn_time_after(simplex->now.mono, simplex->resend_every);
    if (simplex->resend_every < RESEND_MAX * simplex->delay)
        simplex->resend_every += simplex->resend_every / 2;
    simplex_draft_init(&draft, simplex);
    if (simplex->decided_in != 0)
        draft.wire.want = pb_bytes(mn_span(simplex->decided_value.bytes, SIMPLEX_HASH_SIZE));
    if (simplex->iteration > 1) {
        rules_draft_own(simplex, simplex->iteration - 1, &draft);
        simplex_draft_certificate(&draft, simplex, simplex->iteration - 1, SIMPLEX_VOTE);
        simplex_draft_certificate(&draft, simplex, simplex->iteration - 1, SIMPLEX_DUMMY);
    }
    rules_draft_proposal(simplex, &draft);
    rules_draft_own(simplex, simplex->iteration, &draft);
    for (uint32_t i = 0; i < simplex->config.validators_count; i++)
        if (simplex->liars >> i & 1) simplex_draft_evidence(&draft, simplex->evidence[i]);
    simplex_send(simplex, SIMPLEX_ALL, &draft);
}

/* [block] only carries the value; it must live as long as the draft. */
static void rules_draft_wanted(const struct simplex *simplex, struct mn_span want,
                               struct simplex_block *block, struct simplex_draft *draft)
{
    for (uint32_t i = 0; i < simplex->values_count; i++) {
        const struct simplex_value *value = &simplex->values[i];
        if (!mn_span_equal(want, mn_span(value->hash.bytes, SIMPLEX_HASH_SIZE))) continue;
        *block = (struct simplex_block){.iteration = 1, .value_hash = value->hash};
        simplex_draft_block(draft, block, mn_buf_span(value->buf));
        return;
    }
}

/* Sends [from], who is at [iteration], what it lacks; not more often than it asks honestly. */
void simplex_rules_help(struct simplex *simplex, uint32_t from, uint32_t iteration,
                        struct mn_span want)
{
    struct simplex_draft draft;
    struct simplex_block wanted;
    bool is_behind = iteration < simplex->iteration && iteration > 0;

    if (simplex->now.mono < simplex->helped_at[from]) return;
    if (simplex->is_told) {
        rules_draft_decided(simplex, &draft);
    } else if (is_behind || want.size > 0) {
        simplex_draft_init(&draft, simplex);
        for (uint32_t i = iteration;
             is_behind && i < simplex->iteration && i < iteration + SIMPLEX_CATCH_UP; i++) {
            enum simplex_kind kind =
                simplex_book_has(simplex, i, SIMPLEX_VOTE) ? SIMPLEX_VOTE : SIMPLEX_DUMMY;
            simplex_draft_certificate(&draft, simplex, i, kind);
        }
        rules_draft_wanted(simplex, want, &wanted, &draft);
    } else {
        return;
    }
    simplex->helped_at[from] = mn_time_after(simplex->now.mono, simplex->config.delay / 2);
    simplex_send(simplex, from, &draft);
}
