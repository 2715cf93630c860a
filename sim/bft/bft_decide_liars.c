/* Liars among those who decide: they propose different things to different hosts under one id or
 * one topic, vote both ways, and bend weights. */
#include "consensus/metrics.h"
#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/simplex.pb-c.h"
#include "sim/bft/bft_decide.h"

static struct decision_config liar_config(struct bft_host *host)
{
    return (struct decision_config){.mesh_id = council(host->world)->mesh_id, .key = &host->key};
}

/* Of what it says while agreeing, some is about a block that does not exist, or is the dummy vote.
 */
static void liar_bend(struct bft_host *host, Meshnode__Simplex__Message *wire)
{
    struct bft_world *world = host->world;

    for (size_t i = 0; i < wire->n_statements; i++) {
        Meshnode__Simplex__Statement *said = wire->statements[i];
        uint8_t body[sizeof(mn_id) + 4 + SIMPLEX_HASH_SIZE] = {0};
        struct mn_span bytes;
        uint8_t signature[SIGN_SIZE];
        if (bft_draw(&world->rng_liar, 2) == 0 || wire->instance.len != sizeof(mn_id)) continue;
        memcpy(body, wire->instance.data, sizeof(mn_id));
        mn_store_u32(body + sizeof(mn_id), said->iteration);
        if (said->kind == SIMPLEX_FINAL && bft_draw(&world->rng_liar, 2) == 0)
            said->kind = SIMPLEX_DUMMY;
        else if (said->kind != SIMPLEX_DUMMY)
            memset(body + sizeof(mn_id) + 4, (int)(1 + bft_draw(&world->rng_liar, 2)),
                   SIMPLEX_HASH_SIZE);
        sign_make(&host->key, said->kind == SIMPLEX_FINAL ? SIGN_BFT_FINAL : SIGN_BFT_VOTE,
                  &council(world)->mesh_id, mn_span(body, sizeof body), signature);
        bytes = mn_arena_copy(&world->arena, mn_span(body + sizeof(mn_id) + 4, SIMPLEX_HASH_SIZE));
        said->hash = pb_bytes(said->kind == SIMPLEX_DUMMY ? mn_span(NULL, 0) : bytes);
        said->signature = pb_bytes(mn_arena_copy(&world->arena, mn_span(signature, SIGN_SIZE)));
        world->stats.lies++;
    }
}

void council_liar_send(struct bft_host *host, uint32_t to, struct mn_buf *buf)
{
    struct mn_arena *arena = &host->world->arena;
    Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, arena, mn_buf_span(buf));
    Meshnode__Simplex__Message *inner;
    struct mn_buf *bent;

    MN_ASSERT(wire != NULL);
    if (wire->agreement.len == 0 || host->world->is_quiet) {
        bft_host_send(host, to, buf);
        return;
    }
    inner = pb_unpack(&meshnode__simplex__message__descriptor, arena, pb_span(wire->agreement));
    MN_ASSERT(inner != NULL);
    liar_bend(host, inner);
    wire->agreement = pb_bytes(pb_pack_arena(&inner->base, arena));
    bent = pb_pack(&wire->base);
    bft_host_send(host, to, bent);
    mn_buf_unref(bent);
}

/* Votes that contradict each other, to the proposer and to whoever else. */
static void liar_vote(struct bft_host *host)
{
    struct bft_world *world = host->world;
    const struct bft_host *other = &world->hosts[bft_draw(&world->rng_strike, world->hosts_count)];
    struct decision_config config = liar_config(host);
    struct decision_vote ballot = {.cause = DECISION_BY_HAND};
    struct decision_proposal proposal;
    struct decision_signed bytes;
    struct decision_draft draft;
    struct decision_view view;
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire;
    struct mn_buf *known, *buf;
    bool is_late;

    if (other->core == NULL || !decision_at(other->core, bft_draw(&world->rng_strike, 4), &view))
        return;
    known = decision_certificate(other->core, &view.id);
    wire = pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(known));
    MN_ASSERT(wire != NULL);
    if (decision_read_proposal(&config.mesh_id, wire->proposal, &proposal) == MN_OK) {
        ballot.id = proposal.id;
        memcpy(ballot.proposal, proposal.hash, sizeof ballot.proposal);
        memcpy(ballot.pk, host->key.pk, SIGN_PK_SIZE);
        ballot.choice = (enum decision_choice)(DECISION_YES + bft_draw(&world->rng_strike, 3));
        is_late = proposal.is_byzantine && bft_draw(&world->rng_strike, 4) == 0;
        if (is_late) ballot.choice = DECISION_LATE;
        if (is_late) ballot.cause = (enum decision_cause)0;
        bytes = decision_sign(&config, SIGN_BALLOT, decision_pack_vote(&ballot));
        decision_draft_init(&draft);
        if (is_late)
            decision_draft_late(&draft, &bytes);
        else
            decision_draft_vote(&draft, &bytes);
        buf = decision_draft_done(&draft);
        for (uint32_t i = 0; i < world->hosts_count; i++)
            if (i != host->index && bft_draw(&world->rng_strike, 2) == 0)
                bft_host_send(host, i, buf);
        mn_buf_unref(buf);
        mn_buf_unref(bytes.body);
        decision_proposal_done(&proposal);
        world->stats.lies++;
    }
    mn_buf_unref(known);
    mn_arena_done(&arena);
}

/* Two proposals, under one id or under one topic, each to its half; weights as the liar likes. */
static void liar_propose(struct bft_host *host)
{
    struct bft_world *world = host->world;
    struct council *run = council(world);
    struct decision_config config = liar_config(host);
    struct decision_ballot voters[BFT_HOSTS_MAX];
    uint8_t value[8];
    char topic[2] = {(char)('a' + bft_draw(&world->rng_strike, COUNCIL_TOPICS)), '\0'};
    struct decision_proposal made = {.id = rng_id(&world->rng_strike),
                                     .topic = mn_span_str(topic),
                                     .quorum_num = 67,
                                     .quorum_den = 100,
                                     .basis = DECISION_METRIC,
                                     .voters = voters,
                                     .voters_count = world->hosts_count};
    bool is_bent = bft_draw(&world->rng_strike, 4) == 0,
         is_one_id = bft_draw(&world->rng_strike, 2);
    uint32_t weights[BFT_HOSTS_MAX];
    struct mn_buf *records[BFT_HOSTS_MAX];
    struct decision_draft draft;
    struct decision_signed bytes;
    struct mn_buf *buf;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        bool is_bold = is_bent && world->hosts[i].is_liar; /* says of itself what is not so */
        records[i] = is_bold ? council_record_of(world, &world->hosts[i], 10)
                             : mn_buf_ref(run->members[i].record);
        weights[i] = is_bold ? 1000 : run->members[i].weight;
    }
    if (bft_draw(&world->rng_strike, 4) == 0) made.voters_count = 4; /* its friends, maybe */
    if (!decision_cap(weights, made.voters_count)) made.voters_count = 0;
    for (uint32_t i = 0; i < made.voters_count; i++) {
        uint32_t at = i;
        for (; at > 0 && mn_id_compare(&voters[at - 1].node_id, &run->ids[i]) > 0; at--)
            voters[at] = voters[at - 1];
        voters[at] = (struct decision_ballot){
            .node_id = run->ids[i], .weight = weights[i], .record = records[i]};
        memcpy(voters[at].pk, run->members[i].pk, SIGN_PK_SIZE);
    }
    memcpy(made.proposer_pk, host->key.pk, SIGN_PK_SIZE);
    made.created_ms = mn_wall_ms(bft_now(host));
    made.deadline_ms = made.created_ms + 50 + bft_draw(&world->rng_strike, 1000);
    made.value = mn_span(value, sizeof value);
    made.is_byzantine = bft_draw(&world->rng_strike, 2) == 0;
    for (uint32_t half = 0; half < 2; half++) {
        mn_buf_unref(run->bent.halves[half]);
        run->bent.halves[half] = NULL;
    }
    run->bent.who = host->index;
    for (uint32_t half = 0; half < 2 && made.voters_count > 0; half++) {
        mn_store_u64(value, 1 + 2 * bft_draw(&world->rng_strike, 20)); /* what honest ones like */
        if (!is_one_id) made.id = rng_id(&world->rng_strike);
        bytes = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&made));
        decision_draft_init(&draft);
        decision_draft_proposal(&draft, &bytes);
        buf = decision_draft_done(&draft);
        for (uint32_t i = 0; i < world->hosts_count; i++)
            if (i % 2 == half || bft_draw(&world->rng_strike, 4) == 0) bft_host_send(host, i, buf);
        run->bent.halves[half] = buf;
        mn_buf_unref(bytes.body);
    }
    for (uint32_t i = 0; i < world->hosts_count; i++)
        mn_buf_unref(records[i]);
    world->stats.lies++;
}

/* Asks again, as whoever proposes does. */
static void liar_repeat(struct bft_host *host)
{
    struct bft_world *world = host->world;
    const struct council *run = council(world);

    for (uint32_t i = 0; i < world->hosts_count && run->bent.who == host->index; i++)
        if (run->bent.halves[i % 2] != NULL) bft_host_send(host, i, run->bent.halves[i % 2]);
}

void council_lie(struct bft_host *host)
{
    if (host->paused_until > host->world->time) return;
    if (bft_draw(&host->world->rng_strike, 6) == 0)
        liar_propose(host);
    else if (bft_draw(&host->world->rng_strike, 2) == 0)
        liar_repeat(host);
    else
        liar_vote(host);
}

void council_liar_next(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (world->is_quiet) return;
    if (host->core != NULL)
        bft_world_decide(world, BFT_FAULT_LIE, host->index + 1, rng_u64(&world->rng_liar));
    bft_world_at(world, world->time + 1 + bft_draw(&world->rng_liar, 200000), council_liar_next,
                 host);
}
