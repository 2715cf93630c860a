/* Byzantine agreement as hosts run it, validators that lie, and what must hold. A liar looks on
 * with the same core, knows what every host knows, and says to anybody whatever may split them. */
#include <stdio.h>

#include "consensus/simplex_internal.h"
#include "proto/base/check.h"
#include "sim/bft/bft_sim.h"

struct lie { /* a signed statement of a liar that a host received */
    struct simplex_statement statement;
};

#define FINALS_MAX 1024u

struct ear { /* per host, of this process */
    struct lie *lies;
    uint32_t count, capacity;
};

struct agreement { /* of the world */
    struct simplex_validator validators[BFT_HOSTS_MAX];
    struct simplex_config config;
    struct mn_buf *value;                     /* decided by somebody honest */
    uint32_t quiet_iteration, last_iteration; /* when the faults ended; by when all must be over */
    uint32_t liveliness;                      /* of liars: the most between two lies */
    bool has_plan, is_second_camp_skipped;    /* see liar_split() */
    bool is_only_proposing;                   /* liars do nothing but propose, often twice */
    uint32_t camp;
    struct decidable { /* FINALs of honest hosts for one block */
        uint32_t iteration, hosts;
        struct simplex_hash hash, value;
    } finals[FINALS_MAX];
    uint32_t finals_count;
    bool has_decidable;
    struct simplex_hash decidable;
};

#define RECENT 3u /* iterations looked at after a step */

static struct agreement *agreement(struct bft_world *world)
{
    return world->scratch;
}

static struct simplex_config host_config(struct bft_host *host)
{
    struct simplex_config config = agreement(host->world)->config;

    config.self = host->index;
    config.key = &host->key;
    config.abstains = host->is_restored || host->is_liar;
    return config;
}

/* ---- what must hold ---- */

static bool value_is_valid(struct mn_span value)
{
    return value.size > 0 && value.data[0] == 'v';
}

static void check_decided(struct bft_host *host, const struct simplex_output *out)
{
    struct bft_world *world = host->world;
    struct agreement *run = agreement(world);
    struct mn_buf *proof = simplex_certificate(host->core);
    struct mn_span value = {NULL, 0};

    world->stats.decided++;
    world->stats.iterations += out->decided.iteration;
    if (!value_is_valid(mn_buf_span(out->decided.value)))
        bft_world_fail(world, "validity: n%u decides what nobody may decide", host->index);
    if (run->value == NULL) run->value = mn_buf_ref(out->decided.value);
    if (!mn_span_equal(mn_buf_span(run->value), mn_buf_span(out->decided.value)))
        bft_world_fail(world, "agreement: n%u decides another value, in iteration %u", host->index,
                       out->decided.iteration);
    if (proof == NULL ||
        simplex_verify(&run->config, mn_buf_span(proof), &world->arena, &value) != MN_OK ||
        !mn_span_equal(value, mn_buf_span(out->decided.value)))
        bft_world_fail(world, "proof: n%u has no valid proof of what it decided", host->index);
    mn_buf_unref(proof);
}

static void check_evidence(struct bft_host *host, const struct simplex_output *out)
{
    struct bft_world *world = host->world;
    uint32_t signer = UINT32_MAX;

    world->stats.evidence++;
    if (simplex_verify_evidence(&agreement(world)->config, mn_buf_span(out->evidence.proof),
                                &signer) != MN_OK ||
        signer != out->evidence.signer)
        bft_world_fail(world, "evidence: what n%u has does not verify", host->index);
    if (!world->hosts[out->evidence.signer].is_liar)
        bft_world_fail(world, "evidence: n%u accuses n%u, which is honest", host->index,
                       out->evidence.signer);
    if (out->evidence.is_outside)
        bft_world_fail(world, "evidence: less than a third lies, but n%u says otherwise",
                       host->index);
}

/* Two statements of one signer that speak against each other, by the definition. */
static bool is_split(const struct simplex_statement *a, const struct simplex_statement *b)
{
    if (a->signer != b->signer || a->iteration != b->iteration) return false;
    if (a->kind != b->kind)
        return (a->kind == SIMPLEX_FINAL && b->kind == SIMPLEX_DUMMY) ||
               (a->kind == SIMPLEX_DUMMY && b->kind == SIMPLEX_FINAL);
    return a->kind != SIMPLEX_DUMMY && memcmp(&a->hash, &b->hash, sizeof a->hash) != 0;
}

/* Whoever heard both halves of a lie knows the liar. */
static void check_ear(struct bft_host *host)
{
    const struct ear *ear = host->scratch;
    struct simplex_view view = simplex_view(host->core);

    for (uint32_t i = 0; i < ear->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (is_split(&ear->lies[i].statement, &ear->lies[k].statement) &&
                (view.liars >> ear->lies[i].statement.signer & 1) == 0) {
                bft_world_fail(
                    host->world, "evidence: n%u heard n%u lie in iteration %u, kinds %d %d",
                    host->index, ear->lies[i].statement.signer, ear->lies[i].statement.iteration,
                    (int)ear->lies[i].statement.kind, (int)ear->lies[k].statement.kind);
                return;
            }
}

static void hear(struct bft_host *host, const struct simplex_statement *statement)
{
    struct bft_world *world = host->world;
    struct ear *ear = host->scratch;

    if (statement->signer >= world->hosts_count || !world->hosts[statement->signer].is_liar) return;
    if (statement->iteration > simplex_view(host->core).iteration + SIMPLEX_AHEAD) return;
    for (uint32_t i = 0; i < ear->count; i++)
        if (ear->lies[i].statement.signer == statement->signer &&
            ear->lies[i].statement.kind == statement->kind &&
            ear->lies[i].statement.iteration == statement->iteration &&
            simplex_hash_equal(&ear->lies[i].statement.hash, &statement->hash))
            return;
    if (!simplex_statement_is_signed(&agreement(world)->config,
                                     &((struct simplex *)host->core)->instance, statement))
        return;
    if (ear->count == ear->capacity) {
        ear->capacity = ear->capacity == 0 ? 16 : 2 * ear->capacity;
        ear->lies = mn_realloc(ear->lies, ear->capacity * sizeof *ear->lies);
    }
    ear->lies[ear->count++].statement = *statement;
}

/* Notes what liars say in a message, before the core sees it. */
static void listen(struct bft_host *host, struct mn_span bytes)
{
    const Meshnode__Simplex__Message *wire =
        pb_unpack(&meshnode__simplex__message__descriptor, &host->world->arena, bytes);
    const struct simplex *core = host->core;
    struct simplex_statement statement;
    struct simplex_block block;

    if (wire == NULL || wire->instance.len != sizeof core->instance.bytes ||
        memcmp(wire->instance.data, core->instance.bytes, wire->instance.len) != 0)
        return;
    for (size_t i = 0; i < wire->n_statements; i++)
        if (simplex_read_statement(wire->statements[i], &statement) &&
            statement.kind != SIMPLEX_PROPOSAL)
            hear(host, &statement);
    for (size_t i = 0; i < wire->n_blocks; i++) {
        if (wire->blocks[i]->signature.len == 0 || wire->blocks[i]->value.len > SIMPLEX_VALUE_MAX ||
            !simplex_read_block(&core->instance, wire->blocks[i], &block))
            continue;
        statement = (struct simplex_statement){.kind = SIMPLEX_PROPOSAL,
                                               .iteration = block.iteration,
                                               .signer = simplex_leader(core, block.iteration),
                                               .hash = block.hash};
        memcpy(statement.signature, block.signature, SIGN_SIZE);
        hear(host, &statement);
    }
}

/* Honest FINALs that the liars can complete to a quorum whenever they like decide already: all of
 * them are for one value, whoever has seen it by now. */
static void check_decidable(struct bft_host *host, uint32_t iteration)
{
    struct bft_world *world = host->world;
    struct agreement *run = agreement(world);
    const struct simplex_iteration *at = simplex_book_peek(host->core, iteration);
    const struct simplex_certificate *certificate =
        simplex_book_certificate(host->core, iteration, SIMPLEX_VOTE);
    uint64_t weight = world->liars_weight;
    struct decidable *found = NULL;

    if (at == NULL || !at->said[host->index].has_final || certificate == NULL) return;
    for (uint32_t i = 0; i < run->finals_count && found == NULL; i++)
        if (run->finals[i].iteration == iteration &&
            simplex_hash_equal(&run->finals[i].hash, &at->said[host->index].final))
            found = &run->finals[i];
    if (found == NULL) {
        if (run->finals_count == FINALS_MAX) return;
        found = &run->finals[run->finals_count++];
        found->iteration = iteration;
        found->hash = at->said[host->index].final;
        found->value = certificate->block.value_hash;
    }
    if (found->hosts >> host->index & 1) return;
    found->hosts |= 1u << host->index;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (found->hosts >> i & 1) weight += world->hosts[i].weight;
    if (3 * weight <= 2 * world->total) return;
    if (run->has_decidable && !simplex_hash_equal(&run->decidable, &found->value))
        bft_world_fail(world, "agreement: another value can be decided in iteration %u", iteration);
    run->has_decidable = true;
    run->decidable = found->value;
}

/* ---- hosts ---- */

static void carry_out(struct bft_host *host, struct simplex_outbox *outbox);

static void feed(struct bft_host *host, const struct simplex_input *input)
{
    struct mn_arena arena = {0};
    struct simplex_outbox outbox = {.arena = &arena};
    uint32_t before = simplex_view(host->core).iteration;

    simplex_step(host->core, bft_now(host), input, &outbox);
    if (host->world->options.is_verbose && simplex_view(host->core).iteration != before)
        printf("%10.6f n%u enters iteration %u, which n%u leads\n", (double)host->world->time / 1e6,
               host->index, simplex_view(host->core).iteration,
               simplex_leader(host->core, simplex_view(host->core).iteration));
    carry_out(host, &outbox);
    simplex_outbox_reset(&outbox);
    mn_arena_done(&arena);
    simplex_check(host->core);
    if (!host->is_liar) {
        uint32_t now = simplex_view(host->core).iteration;
        uint64_t liars = simplex_view(host->core).liars;
        for (uint32_t i = now > RECENT ? now - RECENT : 1; i <= now; i++)
            check_decidable(host, i);
        for (uint32_t i = 0; i < host->world->hosts_count; i++)
            if ((liars >> i & 1) != 0 && !host->world->hosts[i].is_liar)
                bft_world_fail(host->world, "evidence: n%u holds one against n%u, who is honest",
                               host->index, i);
    }
}

static void judge(struct bft_host *host, const struct simplex_output *out)
{
    struct simplex_input input = {.type = SIMPLEX_IN_JUDGED};

    memcpy(input.judged.hash, out->judge.hash, sizeof input.judged.hash);
    input.judged.is_valid = value_is_valid(mn_buf_span(out->judge.value));
    feed(host, &input);
}

static void carry_out(struct bft_host *host, struct simplex_outbox *outbox)
{
    struct bft_world *world = host->world;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct simplex_output *out = &outbox->items[i];
        switch (out->type) {
        case SIMPLEX_OUT_SEND: bft_host_send(host, out->send.to, out->send.buf); break;
        case SIMPLEX_OUT_PERSIST:
            bft_host_persist(host, out->persist.write, NULL, out->persist.record);
            break;
        case SIMPLEX_OUT_JUDGE: judge(host, out); break;
        case SIMPLEX_OUT_DECIDED:
            if (world->options.is_verbose)
                printf("%10.6f n%u decides in iteration %u\n", (double)world->time / 1e6,
                       host->index, out->decided.iteration);
            if (!host->is_liar) check_decided(host, out);
            break;
        case SIMPLEX_OUT_EVIDENCE:
            if (!host->is_liar) check_evidence(host, out);
            break;
        }
    }
}

static void start(struct bft_host *host)
{
    struct simplex_config config = host_config(host);
    struct simplex_input input = {.type = SIMPLEX_IN_VALUE};
    const struct mn_span *records;
    uint32_t count;
    struct simplex *core;
    char text[8];

    records = bft_host_records(host, &count);
    if (simplex_new(&config, records, count, bft_now(host), &core) != MN_OK) {
        bft_world_fail(host->world, "n%u does not start", host->index);
        return;
    }
    host->core = core;
    ((struct ear *)host->scratch)->count = 0;
    snprintf(text, sizeof text, "v%u", host->index);
    input.value = mn_buf_copy(mn_span_str(text));
    feed(host, &input);
    mn_buf_unref(input.value);
}

static void stop(struct bft_host *host)
{
    simplex_free(host->core);
}

static void durable(struct bft_host *host, uint64_t upto)
{
    feed(host, &(struct simplex_input){.type = SIMPLEX_IN_DURABLE, .durable = upto});
}

static void tick(struct bft_host *host)
{
    feed(host, &(struct simplex_input){.type = SIMPLEX_IN_TICK});
}

static mn_time deadline(const struct bft_host *host)
{
    return simplex_deadline(host->core);
}

/* ---- liars ---- */

static uint32_t liar_draw(struct bft_world *world, uint32_t bound)
{
    return bft_draw(&world->rng_strike, bound);
}

/* A block that anybody has at [iteration], NULL when there is none. */
static const struct simplex_block *liar_find_block(struct bft_world *world, uint32_t iteration)
{
    uint32_t first = liar_draw(world, world->hosts_count);

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct simplex *core = world->hosts[(first + i) % world->hosts_count].core;
        const struct simplex_iteration *at =
            core == NULL ? NULL : simplex_book_peek(core, iteration);
        if (at != NULL && at->proposals_count > 0)
            return &at->proposals[liar_draw(world, at->proposals_count)];
    }
    return NULL;
}

static void liar_send(struct bft_host *host, struct simplex_draft *draft, uint32_t subset)
{
    struct bft_world *world = host->world;
    struct mn_buf *buf = simplex_draft_done(draft);

    world->stats.lies++;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (i != host->index && (subset >> i & 1)) bft_host_send(host, i, buf);
    mn_buf_unref(buf);
}

static uint32_t liar_subset(struct bft_host *host)
{
    return liar_draw(host->world, 1u << host->world->hosts_count);
}

static void liar_say(struct bft_host *host, uint32_t iteration, enum simplex_kind kind)
{
    const struct simplex *core = host->core;
    struct simplex_statement statement = {
        .kind = kind, .iteration = iteration, .signer = host->index};
    const struct simplex_block *block;
    struct simplex_draft draft;

    if (kind != SIMPLEX_DUMMY) {
        block = liar_find_block(host->world, iteration);
        if (block == NULL) return;
        statement.hash = block->hash;
    }
    simplex_statement_sign(core, &statement);
    simplex_draft_init(&draft, core);
    simplex_draft_statement(&draft, &statement);
    liar_send(host, &draft, liar_subset(host));
}

/* A block on a certified parent, on one that nobody has certified, or on none; with a value of its
 * own, valid or not, where the parent does not say which. */
static const struct simplex_certificate *liar_make_block(struct bft_host *host, uint32_t iteration,
                                                         struct simplex_block *block, char text[16])
{
    struct bft_world *world = host->world;
    const struct simplex *core = host->core;
    const struct simplex_certificate *parent = NULL;
    uint32_t on = iteration > 1 ? liar_draw(world, 4) : 0;

    *block = (struct simplex_block){.iteration = iteration};
    if (on > 0) block->parent = on == 1 ? iteration - 1 : 1 + liar_draw(world, iteration - 1);
    if (on > 1) parent = simplex_book_certificate(core, block->parent, SIMPLEX_VOTE);
    if (parent != NULL) {
        block->parent_hash = parent->block.hash;
        block->value_hash = parent->block.value_hash;
    } else {
        if (on == 1) rng_bytes(&world->rng_strike, block->parent_hash.bytes, SIMPLEX_HASH_SIZE);
        if (on != 1) block->parent = 0;
        snprintf(text, 16, "%c%u.%u", liar_draw(world, 4) == 0 ? 'x' : 'v', host->index,
                 liar_draw(world, 3));
        block->value_hash = simplex_value_hash(mn_span_str(text));
    }
    simplex_block_rehash(&core->instance, block);
    return parent;
}

static void liar_propose(struct bft_host *host, uint32_t iteration, uint32_t subset)
{
    const struct simplex *core = host->core;
    struct simplex_statement statement = {
        .kind = SIMPLEX_PROPOSAL, .iteration = iteration, .signer = host->index};
    const struct simplex_certificate *parent;
    struct simplex_block block;
    struct simplex_draft draft;
    char text[16] = "";

    if (simplex_leader(core, iteration) != host->index) return;
    parent = liar_make_block(host, iteration, &block, text);
    statement.hash = block.hash;
    simplex_statement_sign(core, &statement);
    memcpy(block.signature, statement.signature, SIGN_SIZE);
    simplex_draft_init(&draft, core);
    if (parent != NULL) simplex_draft_certificate(&draft, core, block.parent, SIMPLEX_VOTE);
    for (uint32_t i = block.parent + 1; i < iteration; i++)
        simplex_draft_certificate(&draft, core, i, SIMPLEX_DUMMY);
    simplex_draft_block(&draft, &block, mn_span_str(text));
    liar_send(host, &draft, subset);
}

/* A certificate that only the liar has signed. */
static void liar_forge(struct bft_host *host, uint32_t iteration)
{
    struct bft_world *world = host->world;
    struct simplex *core = host->core;
    enum simplex_kind kind = (enum simplex_kind)(SIMPLEX_VOTE + liar_draw(world, 3));
    struct simplex_certificate *place = &simplex_book_at(core, iteration)->certificates[kind];
    struct simplex_certificate real = *place, forged = {.signers = (uint64_t)1 << host->index};
    struct simplex_statement statement = {
        .kind = kind, .iteration = iteration, .signer = host->index};
    uint32_t subset = liar_subset(host);
    struct simplex_draft draft;
    char text[16] = "";

    if (kind != SIMPLEX_DUMMY) (void)liar_make_block(host, iteration, &forged.block, text);
    if (kind != SIMPLEX_DUMMY) statement.hash = forged.block.hash;
    simplex_statement_sign(core, &statement);
    forged.signatures = &statement.signature;
    for (uint32_t i = 0; i < 2; i++) { /* a value is taken once a certificate has named it */
        *place = forged;
        simplex_draft_init(&draft, core);
        simplex_draft_certificate(&draft, core, iteration, kind);
        if (text[0] != '\0') simplex_draft_block(&draft, &forged.block, mn_span_str(text));
        liar_send(host, &draft, subset); /* what the draft points to is packed now */
        *place = real;
    }
}

/* Shows a certificate that others may not have seen yet. */
static void liar_show(struct bft_host *host, uint32_t iteration)
{
    struct simplex_draft draft;

    simplex_draft_init(&draft, host->core);
    simplex_draft_certificate(&draft, host->core, iteration,
                              (enum simplex_kind)(SIMPLEX_VOTE + liar_draw(host->world, 3)));
    liar_send(host, &draft, liar_subset(host));
}

/* Accuses somebody honest with what is no contradiction: a vote, then a dummy vote. */
static void liar_accuse(struct bft_host *host, uint32_t iteration)
{
    const struct simplex_iteration *at = simplex_book_peek(host->core, iteration);
    uint32_t victim = liar_draw(host->world, host->world->hosts_count);
    struct simplex_statement pair[2] = {
        {.kind = SIMPLEX_VOTE, .iteration = iteration, .signer = victim},
        {.kind = SIMPLEX_DUMMY, .iteration = iteration, .signer = victim}};
    struct simplex_draft draft;

    if (at == NULL || !at->said[victim].has_vote || !at->said[victim].has_dummy) return;
    pair[0].hash = at->said[victim].vote;
    memcpy(pair[0].signature, at->said[victim].vote_sig, SIGN_SIZE);
    memcpy(pair[1].signature, at->said[victim].dummy_sig, SIGN_SIZE);
    if (liar_draw(host->world, 2) == 0) pair[1].kind = SIMPLEX_FINAL; /* a forgery */
    simplex_draft_init(&draft, host->core);
    simplex_draft_evidence(&draft, pair);
    liar_send(host, &draft, liar_subset(host));
}

/* The hosts fall into two camps, each of which is told that its own block has every liar's vote,
 * and every liar's FINAL; or one is led to a block and the other past it. */
static void liar_split(struct bft_host *host, uint32_t iteration)
{
    struct bft_world *world = host->world;
    const struct agreement *run = agreement(world);
    uint32_t camps[2] = {run->camp, ~run->camp};

    for (uint32_t i = 0; i < 2; i++) {
        const struct simplex_block *block = NULL;
        struct simplex_draft draft;
        liar_propose(host, iteration, camps[i]);
        for (uint32_t k = 0; k < world->hosts_count && block == NULL; k++) {
            const struct simplex *core = world->hosts[k].core;
            const struct simplex_iteration *at =
                core == NULL ? NULL : simplex_book_peek(core, iteration);
            if ((camps[i] >> k & 1) == 0 || at == NULL || at->proposals_count == 0) continue;
            block = &at->proposals[0];
        }
        simplex_draft_init(&draft, host->core);
        for (uint32_t kind = SIMPLEX_VOTE; kind <= SIMPLEX_FINAL; kind++) {
            struct simplex_statement statement = {
                .kind = (enum simplex_kind)kind, .iteration = iteration, .signer = host->index};
            if (block == NULL && kind != SIMPLEX_DUMMY) continue;
            if (kind == SIMPLEX_DUMMY && run->is_second_camp_skipped && i == 0) continue;
            if (kind == SIMPLEX_DUMMY && !run->is_second_camp_skipped) continue;
            if (kind != SIMPLEX_DUMMY) statement.hash = block->hash;
            simplex_statement_sign(host->core, &statement);
            simplex_draft_statement(&draft, &statement);
        }
        liar_send(host, &draft, camps[i]);
    }
}

static void lie(struct bft_host *host)
{
    struct bft_world *world = host->world;
    const struct bft_host *other = &world->hosts[liar_draw(world, world->hosts_count)];
    uint32_t iteration = ((struct simplex *)host->core)->iteration;

    if (other->core != NULL) iteration = ((struct simplex *)other->core)->iteration;
    if (iteration > 1 && liar_draw(world, 3) == 0) iteration -= 1;
    if (agreement(world)->is_only_proposing) {
        liar_propose(host, iteration, liar_subset(host));
        return;
    }
    if (agreement(world)->has_plan && liar_draw(world, 4) != 0) {
        liar_split(host, iteration);
        return;
    }
    switch (liar_draw(world, 9)) {
    case 0:
    case 1: liar_say(host, iteration, SIMPLEX_VOTE); break;
    case 2: liar_say(host, iteration, SIMPLEX_DUMMY); break;
    case 3: liar_say(host, iteration, SIMPLEX_FINAL); break;
    case 4:
    case 5: liar_propose(host, iteration, liar_subset(host)); break;
    case 6: liar_show(host, iteration); break;
    case 7: liar_forge(host, iteration); break;
    default: liar_accuse(host, iteration); break;
    }
}

static void liar_next(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (host->core != NULL)
        bft_world_decide(world, BFT_FAULT_LIE, host->index + 1, rng_u64(&world->rng_liar));
    bft_world_at(world, world->time + 1 + bft_draw(&world->rng_liar, agreement(world)->liveliness),
                 liar_next, host);
}

static void message(struct bft_host *host, uint32_t from, struct mn_span bytes)
{
    struct simplex_input input = {.type = SIMPLEX_IN_MESSAGE};

    if (!host->is_liar) listen(host, bytes);
    input.message.from = from;
    input.message.bytes = bytes;
    feed(host, &input);
}

/* ---- a run ---- */

static void begin(struct bft_world *world)
{
    struct agreement *run = mn_alloc(sizeof *run);

    world->scratch = run;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        memcpy(run->validators[i].pk, world->hosts[i].key.pk, SIGN_PK_SIZE);
        run->validators[i].weight = world->hosts[i].weight;
        world->hosts[i].scratch = mn_alloc(sizeof(struct ear));
    }
    rng_bytes(&world->rng_work, run->config.name.bytes, sizeof run->config.name.bytes);
    run->config.mesh_id.bytes[0] = 1;
    run->config.validators = run->validators;
    run->config.validators_count = world->hosts_count;
    run->config.self = SIMPLEX_NOBODY;
    run->config.delay = 25 * MN_MS + bft_draw(&world->rng_work, 75000);
    run->has_plan = bft_draw(&world->rng_liar, 2) == 0;
    run->is_second_camp_skipped = bft_draw(&world->rng_liar, 2) == 0;
    run->camp = bft_draw(&world->rng_liar, 1u << world->hosts_count);
    run->liveliness = 2000 + bft_draw(&world->rng_liar, 60000);
    run->is_only_proposing = bft_draw(&world->rng_liar, 8) == 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].is_liar && !world->options.is_told)
            bft_world_at(world, bft_draw(&world->rng_liar, 50000), liar_next, &world->hosts[i]);
}

/* Stops early where nothing good can come any more: a mutant must not take minutes to die. */
static bool is_done(struct bft_world *world)
{
    bool is_all = true;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct bft_host *host = &world->hosts[i];
        struct simplex_view view;
        if (host->is_liar) continue;
        MN_ASSERT(host->core != NULL); /* the faults are over */
        view = simplex_view(host->core);
        is_all = is_all && view.is_decided;
        if (!view.is_decided && view.iteration > agreement(world)->last_iteration + 1)
            bft_world_fail(world, "termination: n%u is in iteration %u, undecided", i,
                           view.iteration);
    }
    return is_all;
}

static uint32_t last_iteration(struct bft_world *world);

static void quiet(struct bft_world *world)
{
    agreement(world)->liveliness *= 4;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct bft_host *host = &world->hosts[i];
        uint32_t at = host->is_liar ? 0 : simplex_view(host->core).iteration;
        if (at > agreement(world)->quiet_iteration) agreement(world)->quiet_iteration = at;
    }
    agreement(world)->last_iteration = last_iteration(world);
}

/* The first iteration all honest ones enter after the faults whose leader is honest decides; one
 * more is granted, because some may have been near the end of theirs when the faults ended. */
static uint32_t last_iteration(struct bft_world *world)
{
    uint32_t at = agreement(world)->quiet_iteration, honest = 0;

    while (honest < 2 && at < SIMPLEX_ITERATIONS_MAX) {
        const struct bft_host *leader = &world->hosts[simplex_leader(world->hosts[0].core, ++at)];
        honest += !leader->is_liar && !leader->is_restored;
    }
    return at;
}

static void end(struct bft_world *world)
{
    uint32_t last = agreement(world)->last_iteration;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct bft_host *host = &world->hosts[i];
        struct simplex_view view;
        if (host->is_liar) continue;
        view = simplex_view(host->core);
        if (!view.is_decided)
            bft_world_fail(world, "termination: n%u is in iteration %u, undecided", i,
                           view.iteration);
        if (view.decided_in > last)
            bft_world_fail(world, "termination: n%u decides in iteration %u, not by %u", i,
                           view.decided_in, last);
        check_ear(host);
    }
}

static void finish(struct bft_world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct ear *ear = world->hosts[i].scratch;
        if (ear != NULL) mn_free(ear->lies);
        mn_free(ear);
    }
    if (world->scratch != NULL) mn_buf_unref(agreement(world)->value);
    mn_free(world->scratch);
}

const struct bft_scenario bft_simplex = {.name = "simplex",
                                         .begin = begin,
                                         .start = start,
                                         .stop = stop,
                                         .lie = lie,
                                         .message = message,
                                         .durable = durable,
                                         .tick = tick,
                                         .deadline = deadline,
                                         .quiet = quiet,
                                         .is_done = is_done,
                                         .end = end,
                                         .finish = finish};
