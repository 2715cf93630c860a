/* One-shot decisions as hosts run them, proposers and voters that lie, and what must hold. Honest
 * hosts vote by a rule on the value; liars propose different things to different hosts under one id
 * or one topic, vote both ways, and bend weights. */
#include <stdio.h>

#include "consensus/decision_internal.h"
#include "consensus/metrics.h"
#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/simplex.pb-c.h"
#include "sim/bft/bft_sim.h"

#define TOPICS 3u
#define KEPT_MAX 4096u
#define PROPOSALS_MAX 12u
#define AGREED_MAX 256u

struct kept { /* a certificate somebody honest holds, or an honest vote that left */
    mn_id id, voter;
    uint32_t topic;
    uint64_t value;
    uint64_t created_ms, deadline_ms;
    enum decision_choice choice;
    uint64_t weights; /* hash of who weighs what */
    bool is_inside;   /* liars have less than (2q - 1) of the weight */
};

struct agreed {        /* a byzantine one as the first honest host ended it */
    uint64_t proposal; /* hash of its bytes: two may have one id */
    enum decision_outcome outcome;
};

struct council {
    struct agreed agreed[AGREED_MAX];
    uint32_t agreed_count;
    struct decision_member members[BFT_HOSTS_MAX];
    mn_id ids[BFT_HOSTS_MAX], mesh_id;
    struct kept achieved[KEPT_MAX], votes[KEPT_MAX];
    uint32_t achieved_count, votes_count, proposals;
    uint64_t requests;
    uint32_t decisions_max; /* little room, or enough that the last one must be achieved */
    bool is_checked_live, has_live;
    mn_id live; /* proposed when the faults were over: must be achieved */
    uint32_t live_host;
};

static struct council *council(struct bft_world *world)
{
    return world->scratch;
}

static uint32_t host_of(struct bft_world *world, const mn_id *id)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (mn_id_equal(&council(world)->ids[i], id)) return i;
    return UINT32_MAX;
}

static uint64_t value_of(struct mn_span value)
{
    return value.size == 8 ? mn_load_u64(value.data) : 0;
}

/* ---- what must hold ---- */

/* Two values of one topic, decided within one window. */
static void check_conflict(struct bft_world *world, const struct kept *a)
{
    const struct council *run = council(world);

    for (uint32_t i = 0; i < run->achieved_count; i++) {
        const struct kept *b = &run->achieved[i];
        uint64_t a_ends = a->deadline_ms + DECISION_WINDOW / MN_MS;
        uint64_t b_ends = b->deadline_ms + DECISION_WINDOW / MN_MS;
        if (a->topic != b->topic || a->value == b->value) continue;
        if (!a->is_inside || !b->is_inside || a->weights != b->weights) continue;
        /* Votes come until the deadline: a later one may outlast the window of an earlier one. */
        if (a->deadline_ms >= b_ends || b->deadline_ms >= a_ends) continue;
        bft_world_fail(world, "agreement: two certificates of topic %u, values %llu and %llu",
                       a->topic, (unsigned long long)a->value, (unsigned long long)b->value);
    }
}

static uint64_t hash_of(struct mn_span bytes)
{
    uint64_t hash = 0xcbf29ce484222325U;

    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3U;
    return hash;
}

/* All honest hosts end a byzantine decision with one outcome. */
static void check_agreed(struct bft_host *host, const struct decision_view *view,
                         struct mn_span certificate)
{
    struct bft_world *world = host->world;
    struct council *run = council(world);
    const Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &world->arena, certificate);
    uint64_t proposal = hash_of(pb_span(wire->proposal->body)), liars = 0;

    for (uint32_t i = 0; i < view->ballots_count; i++) {
        uint32_t other = host_of(world, &view->ballots[i].node_id);
        if (other >= world->hosts_count || world->hosts[other].is_liar)
            liars += view->ballots[i].weight;
    }
    if (3 * liars >= view->total) return; /* nothing is promised */
    MN_PROBE("bftsim: a byzantine decision was agreed on");
    if (view->outcome == DECISION_TIMEOUT || view->outcome == DECISION_NO_QUORUM)
        MN_PROBE("bftsim: it was agreed that nothing was decided in time");
    for (uint32_t i = 0; i < run->agreed_count; i++) {
        if (run->agreed[i].proposal != proposal) continue;
        if (run->agreed[i].outcome != view->outcome)
            bft_world_fail(world, "agreement: %s at n%u, but %s elsewhere",
                           decision_outcome_name(view->outcome), host->index,
                           decision_outcome_name(run->agreed[i].outcome));
        return;
    }
    if (run->agreed_count < AGREED_MAX)
        run->agreed[run->agreed_count++] = (struct agreed){proposal, view->outcome};
}

/* Is it one about which something is promised? */
static void weigh(struct bft_world *world, const struct decision_view *view, struct kept *ret)
{
    uint64_t liars = 0;

    for (uint32_t i = 0; i < view->ballots_count; i++) {
        uint32_t host = host_of(world, &view->ballots[i].node_id);
        if (host >= world->hosts_count || world->hosts[host].is_liar)
            liars += view->ballots[i].weight;
        ret->weights = (ret->weights ^ host) * 0x100000001b3U;
        ret->weights = (ret->weights ^ view->ballots[i].weight) * 0x100000001b3U;
    }
    ret->is_inside =
        liars * view->quorum_den < (2 * view->quorum_num - view->quorum_den) * view->total;
}

/* Is every vote that is shown one that is proven, and the other way round? Of what was agreed on
 * the votes are those that were agreed, and more may be known. */
static bool is_proven(const struct decision_view *view, const struct decision_view *proven)
{
    if (view->ballots_count != proven->ballots_count || view->total != proven->total) return false;
    for (uint32_t i = 0; i < view->ballots_count; i++) {
        const struct decision_ballot *a = &view->ballots[i], *b = &proven->ballots[i];
        if (!mn_id_equal(&a->node_id, &b->node_id) || a->weight != b->weight) return false;
        if (view->is_byzantine && b->choice == DECISION_NONE) continue;
        if (a->choice != b->choice || (a->choice != DECISION_NONE && a->cause != b->cause))
            return false;
    }
    return true;
}

static void check_outcome(struct bft_host *host, const struct decision_output *out)
{
    struct bft_world *world = host->world;
    struct council *run = council(world);
    struct decision_view view, proven;
    struct mn_buf *proof;
    struct kept kept;

    world->stats.outcomes[out->outcome.outcome]++;
    if (decision_find(host->core, &out->outcome.id, &view) != MN_OK) return;
    if (world->options.is_verbose)
        printf("%10.6f n%u: topic %.*s value %llu: %s\n", (double)world->time / 1e6, host->index,
               (int)view.topic.size, (const char *)view.topic.data,
               (unsigned long long)value_of(view.value),
               decision_outcome_name(out->outcome.outcome));
    if (!view.is_certified) return;
    world->stats.decided++;
    proof = decision_certificate(host->core, &out->outcome.id);
    if (decision_verify(&run->mesh_id, mn_buf_span(proof), &world->arena, &proven) != MN_OK ||
        proven.outcome != out->outcome.outcome)
        bft_world_fail(world, "proof: what n%u holds does not verify", host->index);
    if (view.is_byzantine) check_agreed(host, &view, mn_buf_span(proof));
    if (!is_proven(&view, &proven))
        bft_world_fail(world, "proof: n%u shows other votes than it proves", host->index);
    mn_buf_unref(proof);
    if (out->outcome.outcome != DECISION_ACHIEVED || run->achieved_count == KEPT_MAX) return;
    kept = (struct kept){.id = view.id,
                         .topic = view.topic.data[0],
                         .value = value_of(view.value),
                         .created_ms = view.created_ms,
                         .deadline_ms = view.deadline_ms};
    weigh(world, &view, &kept);
    check_conflict(world, &kept);
    run->achieved[run->achieved_count++] = kept;
}

/* An honest vote that is on the wire: the only one of this host for that id, and no second yes to
 * another value of the topic within the window. */
static void check_vote(struct bft_host *host, const struct decision_vote *vote,
                       const struct decision_view *view)
{
    struct bft_world *world = host->world;
    struct council *run = council(world);
    struct kept now = {.id = vote->id,
                       .voter = run->ids[host->index],
                       .topic = view->topic.data[0],
                       .value = value_of(view->value),
                       .created_ms = view->created_ms,
                       .deadline_ms = view->deadline_ms,
                       .choice = vote->choice};
    uint64_t wall_ms = mn_wall_ms(bft_now(host));

    for (uint32_t i = 0; i < run->votes_count; i++) {
        const struct kept *before = &run->votes[i];
        if (!mn_id_equal(&before->voter, &now.voter)) continue;
        if (mn_id_equal(&before->id, &now.id)) {
            if (before->choice != now.choice || before->value != now.value)
                bft_world_fail(world, "voting: honest n%u votes twice", host->index);
            return;
        }
        if (before->topic == now.topic && before->choice == DECISION_YES &&
            now.choice == DECISION_YES && before->value != now.value &&
            wall_ms < before->deadline_ms + DECISION_WINDOW / MN_MS)
            bft_world_fail(world, "voting: honest n%u says yes to two values", host->index);
    }
    if (run->votes_count < KEPT_MAX) run->votes[run->votes_count++] = now;
}

/* What an honest host sends: its own votes are looked at. */
static void check_sent(struct bft_host *host, struct mn_span bytes)
{
    struct bft_world *world = host->world;
    const Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &world->arena, bytes);
    struct decision_vote vote;
    struct decision_view view;

    MN_ASSERT(wire != NULL);
    for (size_t i = 0; i < wire->n_votes; i++)
        if (decision_read_vote(&council(world)->mesh_id, wire->votes[i], false, &vote) == MN_OK &&
            memcmp(vote.pk, host->key.pk, SIGN_PK_SIZE) == 0 &&
            decision_find(host->core, &vote.id, &view) == MN_OK)
            check_vote(host, &vote, &view);
}

/* Whoever is convicted must have lied. */
static void check_evidence(struct bft_host *host, const mn_id *node, enum decision_lie lie)
{
    struct bft_world *world = host->world;
    uint32_t accused = host_of(world, node);

    world->stats.evidence++;
    if (accused < world->hosts_count && !world->hosts[accused].is_liar)
        bft_world_fail(world, "evidence: n%u holds some against honest n%u: %s", host->index,
                       accused, decision_lie_name(lie));
}

/* ---- hosts ---- */

static void liar_send(struct bft_host *host, uint32_t to, struct mn_buf *buf);
static void feed(struct bft_host *host, const struct decision_input *input);

/* The rule of honest hosts: odd values are good; what a multiple of 16 asks for nobody knows. */
static void vote(struct bft_host *host, const mn_id *id)
{
    struct decision_input input = {.type = DECISION_IN_ANSWER};
    struct decision_view view;
    uint64_t value;

    if (decision_find(host->core, id, &view) != MN_OK) return;
    value = value_of(view.value);
    if (value % 16 == 0) return;
    input.answer.id = *id;
    input.answer.choice = value % 2 == 1 ? DECISION_YES : DECISION_NO;
    input.answer.cause = DECISION_BY_POLICY;
    feed(host, &input);
}

static void carry_out(struct bft_host *host, const struct decision_outbox *outbox)
{
    struct bft_world *world = host->world;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct decision_output *out = &outbox->items[i];
        uint32_t to;
        mn_id key;
        switch (out->type) {
        case DECISION_OUT_SEND:
            to = host_of(world, &out->send.to);
            if (!host->is_liar) check_sent(host, mn_buf_span(out->send.buf));
            if (to >= world->hosts_count) break;
            if (host->is_liar)
                liar_send(host, to, out->send.buf);
            else
                bft_host_send(host, to, out->send.buf);
            break;
        case DECISION_OUT_PERSIST:
            key = out->persist.id; /* one per kind and part */
            key.bytes[0] ^= (uint8_t)out->persist.what;
            for (uint32_t k = 0; k < 4; k++)
                key.bytes[1 + k] ^= (uint8_t)(out->persist.part >> 8 * k);
            bft_host_persist(host, out->persist.write, &key, out->persist.record);
            break;
        case DECISION_OUT_ASKED: vote(host, &out->asked.id); break;
        case DECISION_OUT_OUTCOME:
            if (!host->is_liar) check_outcome(host, out);
            break;
        case DECISION_OUT_EVIDENCE:
            check_evidence(host, &out->evidence.node, out->evidence.lie);
            break;
        case DECISION_OUT_REPLY:
            if (out->reply.request == 0 || out->reply.status != MN_OK) break;
            if (world->is_quiet && host->index == council(world)->live_host) {
                council(world)->live = out->reply.id;
                council(world)->has_live = true;
            }
            break;
        }
    }
}

static void feed(struct bft_host *host, const struct decision_input *input)
{
    struct mn_arena arena = {0};
    struct decision_outbox outbox = {.arena = &arena};

    decision_step(host->core, bft_now(host), input, &outbox);
    decision_check(host->core);
    carry_out(host, &outbox);
    decision_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

static void start(struct bft_host *host)
{
    struct decision_config config = {.mesh_id = council(host->world)->mesh_id,
                                     .key = &host->key,
                                     .decisions_max = council(host->world)->decisions_max,
                                     .agreements_max = 16,
                                     .resend = 50 * MN_MS,
                                     .delay = 50 * MN_MS,
                                     .abstains = host->is_restored};
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    const struct mn_span *records;
    struct decision *core;
    uint32_t count;

    records = bft_host_records(host, &count);
    rng_bytes(&host->world->rng_work, config.seed, sizeof config.seed);
    if (decision_new(&config, records, count, bft_now(host), &core) != MN_OK) {
        bft_world_fail(host->world, "n%u does not start", host->index);
        return;
    }
    host->core = core;
    input.members.items = council(host->world)->members;
    input.members.count = host->world->hosts_count;
    feed(host, &input);
}

static void stop(struct bft_host *host)
{
    decision_free(host->core);
}

static void durable(struct bft_host *host, uint64_t upto)
{
    feed(host, &(struct decision_input){.type = DECISION_IN_DURABLE, .durable = upto});
}

static void tick(struct bft_host *host)
{
    feed(host, &(struct decision_input){.type = DECISION_IN_TICK});
}

static mn_time deadline(const struct bft_host *host)
{
    return decision_deadline(host->core);
}

/* ---- load ---- */

static void propose(struct bft_host *host, uint64_t value, mn_time timeout)
{
    struct bft_world *world = host->world;
    struct decision_input input = {.type = DECISION_IN_PROPOSE};
    char topic[2] = {(char)('a' + bft_draw(&world->rng_strike, TOPICS)), '\0'};
    uint8_t bytes[8];

    if (world->is_quiet) topic[0] = 'z'; /* nobody has said anything about it */
    mn_store_u64(bytes, value);
    input.propose.request = ++council(world)->requests;
    input.propose.topic = mn_span_str(topic);
    input.propose.value = mn_span(bytes, sizeof bytes);
    input.propose.quorum_num = 67 + bft_draw(&world->rng_strike, world->is_quiet ? 1 : 25);
    input.propose.quorum_den = 100;
    input.propose.timeout = timeout;
    input.propose.basis = bft_draw(&world->rng_strike, 2) == 0 ? DECISION_EQUAL : DECISION_METRIC;
    if (world->is_quiet) input.propose.basis = DECISION_METRIC; /* by which liars are few */
    input.propose.is_byzantine = bft_draw(&world->rng_strike, 3) == 0;
    feed(host, &input);
    bft_host_arm(host);
}

static void propose_one(struct bft_world *world)
{
    struct bft_host *host = &world->hosts[bft_draw(&world->rng_strike, world->hosts_count)];

    if (world->is_quiet || host->core == NULL || host->paused_until > world->time) return;
    propose(host, 1 + bft_draw(&world->rng_strike, 40),
            50 * MN_MS + bft_draw(&world->rng_strike, 1000000));
}

static void propose_next(struct bft_world *world, struct bft_event *event)
{
    (void)event;
    if (world->is_quiet || council(world)->proposals++ >= PROPOSALS_MAX) return;
    bft_world_decide(world, BFT_OP, 0, rng_u64(&world->rng_work));
    bft_world_at(world, world->time + bft_draw(&world->rng_work, 400000), propose_next, NULL);
}

/* What it says of itself, so that it weighs a hundred times [weight]. */
static struct mn_buf *record_of(struct bft_world *world, const struct bft_host *host,
                                uint32_t weight)
{
    struct metrics said = {.values[METRIC_LINKS] = weight / 10.0};

    MN_ASSERT(metrics_weight(&said) == 100 * weight);
    return metrics_encode(&said, &council(world)->mesh_id, &host->key, bft_now(host));
}

/* ---- liars ---- */

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

static void liar_send(struct bft_host *host, uint32_t to, struct mn_buf *buf)
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
    char topic[2] = {(char)('a' + bft_draw(&world->rng_strike, TOPICS)), '\0'};
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
        records[i] =
            is_bold ? record_of(world, &world->hosts[i], 10) : mn_buf_ref(run->members[i].record);
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
    for (uint32_t half = 0; half < 2 && made.voters_count > 0; half++) {
        mn_store_u64(value, 1 + 2 * bft_draw(&world->rng_strike, 20)); /* what honest ones like */
        if (!is_one_id) made.id = rng_id(&world->rng_strike);
        bytes = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&made));
        decision_draft_init(&draft);
        decision_draft_proposal(&draft, &bytes);
        buf = decision_draft_done(&draft);
        for (uint32_t i = 0; i < world->hosts_count; i++)
            if (i % 2 == half || bft_draw(&world->rng_strike, 4) == 0) bft_host_send(host, i, buf);
        mn_buf_unref(buf);
        mn_buf_unref(bytes.body);
    }
    for (uint32_t i = 0; i < world->hosts_count; i++)
        mn_buf_unref(records[i]);
    world->stats.lies++;
}

static void lie(struct bft_host *host)
{
    if (host->paused_until > host->world->time) return;
    if (bft_draw(&host->world->rng_strike, 6) == 0)
        liar_propose(host);
    else
        liar_vote(host);
}

static void liar_next(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (world->is_quiet) return;
    if (host->core != NULL)
        bft_world_decide(world, BFT_FAULT_LIE, host->index + 1, rng_u64(&world->rng_liar));
    bft_world_at(world, world->time + 1 + bft_draw(&world->rng_liar, 200000), liar_next, host);
}

static void message(struct bft_host *host, uint32_t from, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MESSAGE};

    input.message.from = council(host->world)->ids[from];
    input.message.bytes = bytes;
    feed(host, &input);
}

/* ---- a run ---- */

static void begin(struct bft_world *world)
{
    struct council *run = mn_alloc(sizeof *run);

    world->scratch = run;
    run->mesh_id.bytes[0] = 1;
    run->decisions_max = bft_draw(&world->rng_work, 3) == 0 ? 8 : 1024;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct bft_host *host = &world->hosts[i];
        memcpy(run->members[i].pk, host->key.pk, SIGN_PK_SIZE);
        run->members[i].weight = 100 * host->weight;
        run->members[i].record = record_of(world, host, host->weight);
        run->ids[i] = digest_node_id(host->key.pk);
        if (host->is_liar && !world->options.is_told)
            bft_world_at(world, bft_draw(&world->rng_liar, 50000), liar_next, host);
    }
    if (!world->options.is_told)
        bft_world_at(world, bft_draw(&world->rng_work, 100000), propose_next, NULL);
}

/* What the honest ones that may vote have, after the caps. */
static bool do_honest_suffice(struct bft_world *world)
{
    uint32_t weights[BFT_HOSTS_MAX];
    uint64_t total = 0, honest = 0;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        weights[i] = council(world)->members[i].weight;
    if (!decision_cap(weights, world->hosts_count)) return false;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        total += weights[i];
        if (!world->hosts[i].is_liar && !world->hosts[i].is_restored) honest += weights[i];
    }
    return 100 * honest >= 67 * total;
}

/* One more decision, which everybody honest likes. */
static void quiet(struct bft_world *world)
{
    struct council *run = council(world);

    while (world->hosts[run->live_host].is_liar)
        run->live_host++;
    story_rng(&world->rng_strike, world->options.story->seed);
    propose(&world->hosts[run->live_host], 1, 2 * MN_SEC);
}

static bool has_open(struct bft_world *world)
{
    struct decision_view view;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        for (uint32_t k = 0;
             !world->hosts[i].is_liar && decision_at(world->hosts[i].core, k, &view); k++)
            if (view.outcome == DECISION_OPEN) return true;
    return false;
}

/* Of those the run left open, and of the last one. Who gives a byzantine one up does so a minute
 * after its deadline, or after it heard of it, if that was later; and until they gave up, others
 * still talk of it. */
static bool is_done(struct bft_world *world)
{
    mn_time since = world->time - world->options.story->faults_for;

    return since >= 140 * MN_SEC || (since >= 80 * MN_SEC && !has_open(world));
}

static void end(struct bft_world *world)
{
    struct council *run = council(world);
    struct decision_view view;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct bft_host *host = &world->hosts[i];
        if (host->is_liar) continue;
        for (uint32_t k = 0; decision_at(host->core, k, &view); k++)
            if (view.outcome == DECISION_OPEN)
                bft_world_fail(
                    world,
                    "liveness: n%u has one open for ever (%s, value %llu, created at "
                    "%llu ms, deadline %llu ms, %u members, voter %d)",
                    i, view.is_byzantine ? "byzantine" : "plain",
                    (unsigned long long)value_of(view.value), (unsigned long long)view.created_ms,
                    (unsigned long long)view.deadline_ms, view.ballots_count, view.is_voter);
        if (!run->has_live || run->decisions_max < 1024 || !do_honest_suffice(world)) continue;
        if (decision_find(host->core, &run->live, &view) != MN_OK ||
            view.outcome != DECISION_ACHIEVED)
            bft_world_fail(world, "liveness: n%u does not see the last one achieved", i);
    }
}

static void finish(struct bft_world *world)
{
    for (uint32_t i = 0; world->scratch != NULL && i < world->hosts_count; i++)
        mn_buf_unref(council(world)->members[i].record);
    mn_free(world->scratch);
}

const struct bft_scenario bft_decide = {.name = "decision",
                                        .begin = begin,
                                        .start = start,
                                        .stop = stop,
                                        .lie = lie,
                                        .propose = propose_one,
                                        .message = message,
                                        .durable = durable,
                                        .tick = tick,
                                        .deadline = deadline,
                                        .quiet = quiet,
                                        .is_done = is_done,
                                        .end = end,
                                        .finish = finish};
