#include "consensus/simplex.h"

#include <string.h>

#include "consensus/simplex_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

/* ---- numbers ---- */

mn_id simplex_instance(const struct simplex_config *config)
{
    struct digest digest;
    uint8_t weight[4];
    mn_id id;

    digest_begin(&digest, DIGEST_INSTANCE, sizeof id.bytes);
    digest_fixed(&digest, mn_span(config->name.bytes, sizeof config->name.bytes));
    for (uint32_t i = 0; i < config->validators_count; i++) {
        mn_store_u32(weight, config->validators[i].weight);
        digest_fixed(&digest, mn_span(config->validators[i].pk, SIGN_PK_SIZE));
        digest_fixed(&digest, mn_span(weight, sizeof weight));
    }
    digest_end(&digest, id.bytes);
    return id;
}

uint64_t simplex_quorum(uint64_t total)
{
    return 2 * total / 3 + 1;
}

bool simplex_is_outside(uint64_t faulty, uint64_t total)
{
    return 3 * faulty >= total;
}

uint32_t simplex_leader(const struct simplex *simplex, uint32_t iteration)
{
    const struct simplex_config *config = &simplex->config;
    struct digest digest;
    uint8_t number[4], hash[8];
    uint64_t drawn;

    mn_store_u32(number, iteration);
    digest_begin(&digest, DIGEST_LEADER, sizeof hash);
    digest_fixed(&digest, mn_span(simplex->instance.bytes, sizeof simplex->instance.bytes));
    digest_fixed(&digest, mn_span(number, sizeof number));
    digest_end(&digest, hash);
    drawn = mn_load_u64(hash) % simplex->total;
    for (uint32_t i = 0; i < config->validators_count; i++) {
        if (drawn < config->validators[i].weight) return i;
        drawn -= config->validators[i].weight;
    }
    MN_ASSERT(false);
    return 0;
}

/* ---- out ---- */

struct simplex_output *simplex_emit(struct simplex *simplex, enum simplex_output_type type)
{
    struct simplex_outbox *outbox = simplex->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct simplex_output){.type = type};
    return &outbox->items[outbox->count++];
}

void simplex_outbox_reset(struct simplex_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++) {
        struct simplex_output *out = &outbox->items[i];
        if (out->type == SIMPLEX_OUT_SEND) mn_buf_unref(out->send.buf);
        if (out->type == SIMPLEX_OUT_PERSIST) mn_buf_unref(out->persist.record);
        if (out->type == SIMPLEX_OUT_EVIDENCE) mn_buf_unref(out->evidence.proof);
    }
    mn_arena_reset(outbox->arena);
    *outbox = (struct simplex_outbox){.arena = outbox->arena};
}

void simplex_send(struct simplex *simplex, uint32_t to, struct simplex_draft *draft)
{
    struct mn_buf *buf = simplex_draft_done(draft);
    struct simplex_output *out;

    out = simplex_emit(simplex, SIMPLEX_OUT_SEND);
    out->send.to = to;
    out->send.buf = buf;
}

uint64_t simplex_persist(struct simplex *simplex, struct simplex_draft *draft)
{
    struct simplex_output *out = simplex_emit(simplex, SIMPLEX_OUT_PERSIST);

    out->persist.write = ++simplex->write_last;
    out->persist.record = simplex_draft_done(draft);
    return simplex->write_last;
}

/* ---- in ---- */

static void simplex_read(struct simplex *simplex, const Meshnode__Simplex__Message *wire)
{
    struct simplex_statement a, b;

    for (size_t i = 0; i < wire->n_certificates; i++)
        simplex_book_read_certificate(simplex, wire->certificates[i]);
    for (size_t i = 0; i < wire->n_blocks; i++)
        simplex_book_block(simplex, wire->blocks[i]);
    for (size_t i = 0; i < wire->n_statements; i++) {
        if (simplex_read_statement(wire->statements[i], &a))
            simplex_book_statement(simplex, &a, false);
        else
            simplex->dropped++;
    }
    for (size_t i = 0; i < wire->n_evidence; i++) {
        const Meshnode__Simplex__Evidence *evidence = wire->evidence[i];
        if (evidence->a == NULL || evidence->b == NULL ||
            !simplex_read_statement(evidence->a, &a) || !simplex_read_statement(evidence->b, &b) ||
            a.signer >= simplex->config.validators_count || !simplex_is_contradiction(&a, &b)) {
            simplex->dropped++;
            continue;
        }
        if (simplex->liars >> a.signer & 1) continue;
        if (simplex_statement_is_signed(&simplex->config, &simplex->instance, &a) &&
            simplex_statement_is_signed(&simplex->config, &simplex->instance, &b))
            simplex_book_evidence(simplex, &a, &b);
        else
            simplex->dropped++;
    }
}

/* NULL: not for us. */
static const Meshnode__Simplex__Message *simplex_open(const struct simplex *simplex,
                                                      struct mn_span bytes, struct mn_arena *arena)
{
    const Meshnode__Simplex__Message *wire;
    mn_id instance;

    if (bytes.size > SIMPLEX_MESSAGE_MAX) return NULL;
    wire = pb_unpack(&meshnode__simplex__message__descriptor, arena, bytes);
    if (wire == NULL || pb_id(wire->instance, &instance) != MN_OK) return NULL;
    if (wire->n_certificates > 2 * SIMPLEX_ITERATIONS_MAX || wire->n_blocks > 4 ||
        wire->n_statements > 4 * SIMPLEX_VALIDATORS_MAX ||
        wire->n_evidence > SIMPLEX_VALIDATORS_MAX)
        return NULL;
    return mn_id_equal(&instance, &simplex->instance) ? wire : NULL;
}

static void simplex_on_message(struct simplex *simplex, uint32_t from, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Simplex__Message *wire = NULL;

    if (from < simplex->config.validators_count) wire = simplex_open(simplex, bytes, &arena);
    if (wire == NULL) {
        simplex->dropped++;
    } else {
        bool is_decision =
            wire->n_certificates == 1 && wire->certificates[0]->kind == SIMPLEX_FINAL;
        simplex_read(simplex, wire);
        simplex_rules_advance(simplex);
        if (!is_decision) /* else two that decided would tell each other for ever */
            simplex_rules_help(simplex, from, wire->iteration, pb_span(wire->want));
    }
    mn_arena_done(&arena);
}

/* Ours may leave, and count. */
static void simplex_on_durable(struct simplex *simplex, uint64_t upto)
{
    struct simplex_draft draft;
    uint32_t done = 0;
    bool is_proposed = false;

    if (simplex->pending_count == 0 || simplex->pending[0].write > upto) {
        simplex_rules_advance(simplex);
        return;
    }
    simplex_draft_init(&draft, simplex);
    for (; done < simplex->pending_count && simplex->pending[done].write <= upto; done++) {
        const struct simplex_statement *statement = &simplex->pending[done].statement;
        if (statement->kind == SIMPLEX_PROPOSAL) {
            is_proposed = true;
            continue;
        }
        simplex_draft_statement(&draft, statement);
        simplex_book_statement(simplex, statement, true);
    }
    simplex->pending_count -= done;
    memmove(simplex->pending, simplex->pending + done,
            simplex->pending_count * sizeof simplex->pending[0]);
    simplex_send(simplex, SIMPLEX_ALL, &draft);
    if (is_proposed && simplex->decided_in == 0) simplex_rules_resend(simplex);
    simplex_rules_advance(simplex);
}

static void simplex_on_judged(struct simplex *simplex, const uint8_t *hash, bool is_valid)
{
    struct simplex_hash wanted;
    struct simplex_value *value;

    memcpy(wanted.bytes, hash, sizeof wanted.bytes);
    value = simplex_book_value(simplex, &wanted);
    if (value != NULL) value->judgement = is_valid ? SIMPLEX_GOOD : SIMPLEX_BAD;
}

static void simplex_on_value(struct simplex *simplex, struct mn_buf *value)
{
    if (value->size == 0 || value->size > SIMPLEX_VALUE_MAX) {
        simplex->dropped++;
        return;
    }
    mn_buf_ref(value);
    mn_buf_unref(simplex->own_value);
    simplex->own_value = value;
}

static void simplex_tick(struct simplex *simplex)
{
    if (simplex->decided_in == 0 && simplex->now.mono >= simplex->timeout_at)
        simplex_rules_timeout(simplex);
    if (simplex->now.mono >= simplex->resend_at) simplex_rules_resend(simplex);
}

void simplex_step(struct simplex *simplex, struct mn_now now, const struct simplex_input *input,
                  struct simplex_outbox *outbox)
{
    MN_ASSERT(now.mono >= simplex->now.mono);
    simplex->now = now;
    simplex->outbox = outbox;
    switch (input->type) {
    case SIMPLEX_IN_TICK:
        simplex_rules_advance(simplex);
        simplex_tick(simplex);
        break;
    case SIMPLEX_IN_VALUE:
        simplex_on_value(simplex, input->value);
        simplex_rules_advance(simplex);
        break;
    case SIMPLEX_IN_JUDGED:
        simplex_on_judged(simplex, input->judged.hash, input->judged.is_valid);
        simplex_rules_advance(simplex);
        break;
    case SIMPLEX_IN_MESSAGE:
        simplex_on_message(simplex, input->message.from, input->message.bytes);
        break;
    case SIMPLEX_IN_DURABLE: simplex_on_durable(simplex, input->durable); break;
    }
    simplex->outbox = NULL;
}

mn_time simplex_deadline(const struct simplex *simplex)
{
    return mn_time_min(simplex->timeout_at, simplex->resend_at);
}

/* ---- life ---- */

static bool simplex_config_is_valid(const struct simplex_config *config)
{
    uint64_t total = 0;

    if (config->validators_count == 0 || config->validators_count > SIMPLEX_VALIDATORS_MAX)
        return false;
    if (config->self != SIMPLEX_NOBODY) {
        if (config->self >= config->validators_count || config->key == NULL) return false;
        if (memcmp(config->key->pk, config->validators[config->self].pk, SIGN_PK_SIZE) != 0)
            return false;
    }
    if (config->delay < MN_MS || config->delay > SIMPLEX_DELAY_MAX) return false;
    for (uint32_t i = 0; i < config->validators_count; i++) {
        if (config->validators[i].weight == 0) return false;
        total += config->validators[i].weight;
        for (uint32_t k = 0; k < i; k++)
            if (memcmp(config->validators[i].pk, config->validators[k].pk, SIGN_PK_SIZE) == 0)
                return false;
    }
    return total <= SIMPLEX_TOTAL_MAX;
}

/* Records are read like messages: what does not verify is left out. */
static void simplex_recover(struct simplex *simplex, struct mn_span record)
{
    struct mn_arena arena = {0};
    const Meshnode__Simplex__Message *wire = simplex_open(simplex, record, &arena);
    struct simplex_statement statement;

    if (wire == NULL) {
        simplex->dropped++;
    } else {
        simplex->iteration = SIMPLEX_ITERATIONS_MAX; /* nothing is too far ahead */
        simplex_read(simplex, wire);
        for (size_t i = 0; i < wire->n_statements; i++)
            if (simplex_read_statement(wire->statements[i], &statement))
                simplex_rules_recover(simplex, &statement);
    }
    mn_arena_done(&arena);
}

mn_status simplex_new(const struct simplex_config *config, const struct mn_span *records,
                      uint32_t records_count, struct mn_now now, struct simplex **ret)
{
    struct simplex *simplex;
    struct simplex_validator *validators;
    uint32_t iteration = 1;

    if (!simplex_config_is_valid(config)) return MN_CONFIG;
    simplex = mn_alloc(sizeof *simplex);
    validators = mn_alloc(config->validators_count * sizeof *validators);
    memcpy(validators, config->validators, config->validators_count * sizeof *validators);
    simplex->config = *config;
    simplex->config.validators = validators;
    simplex->instance = simplex_instance(config);
    for (uint32_t i = 0; i < config->validators_count; i++)
        simplex->total += validators[i].weight;
    simplex->quorum = simplex_quorum(simplex->total);
    simplex->now = now;
    for (uint32_t i = 0; i < records_count; i++)
        simplex_recover(simplex, records[i]);
    while (iteration < SIMPLEX_ITERATIONS_MAX &&
           (simplex_book_has(simplex, iteration, SIMPLEX_VOTE) ||
            simplex_book_has(simplex, iteration, SIMPLEX_DUMMY)))
        iteration++;
    simplex_rules_enter(simplex, iteration);
    simplex->resend_at = now.mono; /* say at once where we are */
    *ret = simplex;
    return MN_OK;
}

void simplex_free(struct simplex *simplex)
{
    if (simplex == NULL) return;
    simplex_book_done(simplex);
    mn_buf_unref(simplex->own_value);
    mn_free((void *)(uintptr_t)simplex->config.validators);
    mn_free(simplex);
}

/* ---- looking ---- */

struct simplex_view simplex_view(const struct simplex *simplex)
{
    struct simplex_view view = {.iteration = simplex->iteration,
                                .leader = simplex_leader(simplex, simplex->iteration),
                                .is_decided = simplex->is_told,
                                .is_stuck = simplex->is_stuck,
                                .decided_in = simplex->decided_in,
                                .liars = simplex->liars,
                                .dropped = simplex->dropped};

    for (uint32_t i = 0; simplex->is_told && i < simplex->values_count; i++)
        if (simplex_hash_equal(&simplex->values[i].hash, &simplex->decided_value))
            view.value = simplex->values[i].buf;
    return view;
}

void simplex_check(const struct simplex *simplex)
{
    MN_ASSERT(simplex->quorum * 3 > 2 * simplex->total && simplex->quorum <= simplex->total);
    MN_ASSERT(simplex->iteration >= 1 && simplex->iteration <= SIMPLEX_ITERATIONS_MAX);
    MN_ASSERT(simplex->values_count <= SIMPLEX_VALUES_MAX);
    for (uint32_t i = 1; i < simplex->iteration; i++)
        MN_ASSERT(simplex_book_has(simplex, i, SIMPLEX_VOTE) ||
                  simplex_book_has(simplex, i, SIMPLEX_DUMMY));
    for (uint32_t i = 1; i <= SIMPLEX_ITERATIONS_MAX; i++) {
        const struct simplex_iteration *at = simplex->iterations[i];
        if (at != NULL) MN_ASSERT(!(at->is_finaled && at->is_dummied));
    }
    MN_ASSERT(!simplex->is_told || simplex->decided_in != 0);
    for (uint32_t i = 1; i < simplex->pending_count; i++)
        MN_ASSERT(simplex->pending[i - 1].write < simplex->pending[i].write);
}
