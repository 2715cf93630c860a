/* Validators that lie. A liar looks on with the same core, knows what every host knows, and says to
 * anybody whatever may split them. */
#include "proto/base/check.h"
#include "sim/bft/bft_simplex.h"

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
    const struct agreement *run = bft_agreement(world);
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

void bft_simplex_lie(struct bft_host *host)
{
    struct bft_world *world = host->world;
    const struct bft_host *other = &world->hosts[liar_draw(world, world->hosts_count)];
    uint32_t iteration = ((struct simplex *)host->core)->iteration;

    if (other->core != NULL) iteration = ((struct simplex *)other->core)->iteration;
    if (iteration > 1 && liar_draw(world, 3) == 0) iteration -= 1;
    if (bft_agreement(world)->is_only_proposing) {
        liar_propose(host, iteration, liar_subset(host));
        return;
    }
    if (bft_agreement(world)->has_plan && liar_draw(world, 4) != 0) {
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

void bft_simplex_liar_next(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (host->core != NULL)
        bft_world_decide(world, BFT_FAULT_LIE, host->index + 1, rng_u64(&world->rng_liar));
    bft_world_at(world,
                 world->time + 1 + bft_draw(&world->rng_liar, bft_agreement(world)->liveliness),
                 bft_simplex_liar_next, host);
}
