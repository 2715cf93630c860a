/* What must hold of signed decisions among liars. */
#include <stdio.h>

#include "proto/base/check.h"
#include "sim/bft/bft_decide.h"

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
        uint32_t other = council_host_of(world, &view->ballots[i].node_id);
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
        uint32_t host = council_host_of(world, &view->ballots[i].node_id);
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

void council_check_outcome(struct bft_host *host, const struct decision_output *out)
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
               (unsigned long long)council_value_of(view.value),
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
                         .value = council_value_of(view.value),
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
                       .value = council_value_of(view->value),
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
/* An honest host said no by itself to what an honest one proposed: only what that one did not know
 * of in time is a reason. */
static void check_objection(struct bft_host *host, const struct decision_vote *vote,
                            const struct decision_view *view)
{
    struct bft_world *world = host->world;
    uint32_t proposer = council_host_of(world, &view->proposer);

    if (vote->cause != DECISION_BAD_WEIGHTS && vote->cause != DECISION_BAD_VOTERS) return;
    if (proposer >= world->hosts_count || world->hosts[proposer].is_liar) return;
    for (uint32_t i = 0; vote->cause == DECISION_BAD_VOTERS && i < world->hosts_count; i++) {
        bool has_vote = false;
        for (uint32_t k = 0; k < view->ballots_count; k++)
            has_vote = has_vote || mn_id_equal(&view->ballots[k].node_id, &council(world)->ids[i]);
        if (!has_vote && (world->hosts[i].is_liar || i == council(world)->guest)) return;
    }
    bft_world_fail(world, "voting: honest n%u says no by itself (%s) to honest n%u", host->index,
                   decision_cause_name(vote->cause), proposer);
}

void council_check_sent(struct bft_host *host, struct mn_span bytes)
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
            decision_find(host->core, &vote.id, &view) == MN_OK) {
            check_vote(host, &vote, &view);
            check_objection(host, &vote, &view);
        }
}

/* Whoever is convicted must have lied. */
void council_check_evidence(struct bft_host *host, const mn_id *node, enum decision_lie lie)
{
    struct bft_world *world = host->world;
    uint32_t accused = council_host_of(world, node);

    world->stats.evidence++;
    if (accused < world->hosts_count && !world->hosts[accused].is_liar)
        bft_world_fail(world, "evidence: n%u holds some against honest n%u: %s", host->index,
                       accused, decision_lie_name(lie));
}
