/* Byzantine agreement as hosts run it, and what must hold. */
#include <stdio.h>

#include "proto/base/check.h"
#include "sim/bft/bft_simplex.h"

#define RECENT 3u /* iterations looked at after a step */

struct agreement *bft_agreement(struct bft_world *world)
{
    return world->scratch;
}

static struct simplex_config host_config(struct bft_host *host)
{
    struct simplex_config config = bft_agreement(host->world)->config;

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
    struct agreement *run = bft_agreement(world);
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
    if (simplex_verify_evidence(&bft_agreement(world)->config, mn_buf_span(out->evidence.proof),
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
    if (!simplex_statement_is_signed(&bft_agreement(world)->config,
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
    struct agreement *run = bft_agreement(world);
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
            bft_world_at(world, bft_draw(&world->rng_liar, 50000), bft_simplex_liar_next,
                         &world->hosts[i]);
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
        if (!view.is_decided && view.iteration > bft_agreement(world)->last_iteration + 1)
            bft_world_fail(world, "termination: n%u is in iteration %u, undecided", i,
                           view.iteration);
    }
    return is_all;
}

static uint32_t last_iteration(struct bft_world *world);

static void quiet(struct bft_world *world)
{
    bft_agreement(world)->liveliness *= 4;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct bft_host *host = &world->hosts[i];
        uint32_t at = host->is_liar ? 0 : simplex_view(host->core).iteration;
        if (at > bft_agreement(world)->quiet_iteration) bft_agreement(world)->quiet_iteration = at;
    }
    bft_agreement(world)->last_iteration = last_iteration(world);
}

/* The first iteration all honest ones enter after the faults whose leader is honest decides; one
 * more is granted, because some may have been near the end of theirs when the faults ended. */
static uint32_t last_iteration(struct bft_world *world)
{
    uint32_t at = bft_agreement(world)->quiet_iteration, honest = 0;

    while (honest < 2 && at < SIMPLEX_ITERATIONS_MAX) {
        const struct bft_host *leader = &world->hosts[simplex_leader(world->hosts[0].core, ++at)];
        honest += !leader->is_liar && !leader->is_restored;
    }
    return at;
}

static void end(struct bft_world *world)
{
    uint32_t last = bft_agreement(world)->last_iteration;

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
    if (world->scratch != NULL) mn_buf_unref(bft_agreement(world)->value);
    mn_free(world->scratch);
}

const struct bft_scenario bft_simplex = {.name = "simplex",
                                         .begin = begin,
                                         .start = start,
                                         .stop = stop,
                                         .lie = bft_simplex_lie,
                                         .message = message,
                                         .durable = durable,
                                         .tick = tick,
                                         .deadline = deadline,
                                         .quiet = quiet,
                                         .is_done = is_done,
                                         .end = end,
                                         .finish = finish};
