/* Certificates and evidence, read with nothing else at hand. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

/* ---- offline ---- */

/* [voters] votes, or words that their validators are late: signed for this proposal, at most one of
 * each, in rising order. */
static mn_status decision_read_ordered(const mn_id *mesh_id,
                                       const struct decision_proposal *proposal,
                                       Meshnode__Decision__Signed *const *from, size_t count,
                                       bool is_late, struct decision_vote *ret, int *ret_voters)
{
    int last = -1;

    for (size_t i = 0; i < count; i++) {
        mn_status status = decision_read_vote(mesh_id, from[i], is_late, &ret[i]);
        mn_id node;
        if (status != MN_OK) return status;
        node = digest_node_id(ret[i].pk);
        ret_voters[i] = decision_find_voter(proposal, &node);
        if (ret_voters[i] < 0 ||
            memcmp(ret[i].proposal, proposal->hash, sizeof ret[i].proposal) != 0)
            return MN_BAD_SIGNATURE; /* rightly signed, but not for this */
        if (ret_voters[i] <= last) return MN_MALFORMED;
        last = ret_voters[i];
    }
    return MN_OK;
}

static mn_status decision_fill_ballots(const mn_id *mesh_id, struct decision_proposal *proposal,
                                       Meshnode__Decision__Signed *const *from, size_t count)
{
    struct decision_vote votes[DECISION_VOTERS_MAX];
    int voters[DECISION_VOTERS_MAX];
    mn_status status;

    if (count > proposal->voters_count) return MN_MALFORMED;
    status = decision_read_ordered(mesh_id, proposal, from, count, false, votes, voters);
    if (status != MN_OK) return status;
    for (uint32_t i = 0; i < proposal->voters_count; i++)
        proposal->voters[i].choice = DECISION_NONE;
    for (size_t i = 0; i < count; i++) {
        proposal->voters[voters[i]].choice = votes[i].choice;
        proposal->voters[voters[i]].cause = votes[i].cause;
    }
    return MN_OK;
}

/* ---- what is agreed on ---- */

struct simplex_config
decision_validators(const mn_id *mesh_id, const struct decision_proposal *proposal,
                    struct simplex_validator validators[DECISION_VALIDATORS_MAX])
{
    struct simplex_config config = {.mesh_id = *mesh_id,
                                    .validators = validators,
                                    .validators_count = proposal->voters_count,
                                    .self = SIMPLEX_NOBODY};

    MN_ASSERT(proposal->is_byzantine && proposal->voters_count <= DECISION_VALIDATORS_MAX);
    /* By the hash: two proposals under one id are two agreements. */
    memcpy(config.name.bytes, proposal->hash, sizeof config.name.bytes);
    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        memcpy(validators[i].pk, proposal->voters[i].pk, SIGN_PK_SIZE);
        validators[i].weight = proposal->voters[i].weight;
    }
    return config;
}

mn_status decision_read_outcome(const mn_id *mesh_id, struct decision_proposal *proposal,
                                const Meshnode__Decision__Outcome *wire, enum decision_outcome *ret)
{
    struct decision_vote lates[DECISION_VALIDATORS_MAX];
    int voters[DECISION_VALIDATORS_MAX];
    uint64_t yes, no, abstain, weight = 0;
    enum decision_outcome outcome;
    mn_status status;

    if (wire->n_lates > proposal->voters_count) return MN_MALFORMED;
    status = decision_fill_ballots(mesh_id, proposal, wire->votes, wire->n_votes);
    if (status == MN_OK)
        status = decision_read_ordered(mesh_id, proposal, wire->lates, wire->n_lates, true, lates,
                                       voters);
    if (status != MN_OK) return status;
    outcome = decision_count(proposal, &yes, &no, &abstain);
    for (size_t i = 0; i < wire->n_lates; i++)
        weight += proposal->voters[voters[i]].weight;
    if (outcome != DECISION_OPEN) {
        if (wire->n_lates > 0) return MN_MALFORMED;
    } else if (3 * weight <= proposal->total) {
        return MN_MALFORMED; /* liars alone could say so */
    } else {
        outcome = decision_local(proposal);
    }
    *ret = outcome;
    return MN_OK;
}

mn_status decision_read_agreed(const mn_id *mesh_id, struct decision_proposal *proposal,
                               struct mn_span agreed, struct mn_arena *arena,
                               const Meshnode__Decision__Outcome **ret_wire,
                               enum decision_outcome *ret)
{
    struct simplex_validator validators[DECISION_VALIDATORS_MAX];
    struct simplex_config config = decision_validators(mesh_id, proposal, validators);
    struct mn_span value;
    mn_status status = simplex_verify(&config, agreed, arena, &value);

    if (status != MN_OK) return status;
    *ret_wire = pb_unpack(&meshnode__decision__outcome__descriptor, arena, value);
    if (*ret_wire == NULL) return MN_MALFORMED;
    return decision_read_outcome(mesh_id, proposal, *ret_wire, ret);
}

/* ---- certificates ---- */

static mn_status decision_verify_known(const mn_id *mesh_id,
                                       const Meshnode__Decision__Message *wire,
                                       struct mn_arena *arena, struct decision_proposal *proposal,
                                       enum decision_outcome *ret)
{
    const Meshnode__Decision__Outcome *outcome;
    uint64_t yes, no, abstain;
    mn_status status;

    if (proposal->is_byzantine && wire->agreed.len > 0)
        return decision_read_agreed(mesh_id, proposal, pb_span(wire->agreed), arena, &outcome, ret);
    status = decision_fill_ballots(mesh_id, proposal, wire->votes, wire->n_votes);
    if (status != MN_OK) return status;
    *ret = decision_count(proposal, &yes, &no, &abstain);
    if (proposal->is_byzantine) *ret = DECISION_OPEN; /* votes alone are not agreed on */
    return MN_OK;
}

mn_status decision_verify(const mn_id *mesh_id, struct mn_span certificate, struct mn_arena *arena,
                          struct decision_view *ret)
{
    const Meshnode__Decision__Message *wire;
    struct decision_proposal proposal;
    enum decision_outcome outcome;
    struct decision_view view;
    mn_status status;

    if (certificate.size > DECISION_MESSAGE_MAX) return MN_MALFORMED;
    wire = pb_unpack(&meshnode__decision__message__descriptor, arena, certificate);
    if (wire == NULL || wire->proposal == NULL) return MN_MALFORMED;
    status = decision_read_proposal(mesh_id, wire->proposal, &proposal);
    if (status != MN_OK) return status == MN_TOO_BIG ? MN_MALFORMED : status;
    status = decision_verify_known(mesh_id, wire, arena, &proposal, &outcome);
    if (status == MN_OK) {
        struct mn_span voters = mn_arena_copy(
            arena, mn_span(proposal.voters, proposal.voters_count * sizeof *proposal.voters));
        view = (struct decision_view){.id = proposal.id,
                                      .proposer = proposal.proposer,
                                      .topic = mn_arena_copy(arena, proposal.topic),
                                      .value = mn_arena_copy(arena, proposal.value),
                                      .quorum_num = proposal.quorum_num,
                                      .quorum_den = proposal.quorum_den,
                                      .created_ms = proposal.created_ms,
                                      .deadline_ms = proposal.deadline_ms,
                                      .basis = proposal.basis,
                                      .outcome = outcome,
                                      .is_byzantine = proposal.is_byzantine,
                                      .is_certified = outcome != DECISION_OPEN,
                                      .total = proposal.total,
                                      .ballots = (const void *)voters.data,
                                      .ballots_count = proposal.voters_count};
        (void)decision_count(&proposal, &view.yes, &view.no, &view.abstain);
        *ret = view;
    }
    decision_proposal_done(&proposal);
    return status;
}

/* ---- evidence ---- */

/* Both rightly signed by one voter on one decision, with different words. */
static mn_status decision_read_ballots(const mn_id *mesh_id,
                                       const Meshnode__Decision__Evidence *from,
                                       struct decision_conviction *ret)
{
    struct decision_vote a, b;
    mn_status status = decision_read_vote(mesh_id, from->a, false, &a);

    if (status == MN_OK) status = decision_read_vote(mesh_id, from->b, false, &b);
    if (status != MN_OK) return status;
    if (memcmp(a.pk, b.pk, sizeof a.pk) != 0 || !mn_id_equal(&a.id, &b.id)) return MN_MALFORMED;
    if (a.choice == b.choice && memcmp(a.proposal, b.proposal, sizeof a.proposal) == 0)
        return MN_MALFORMED;
    memcpy(ret->pk, a.pk, sizeof ret->pk);
    ret->about = a.id;
    return MN_OK;
}

static mn_status decision_read_proposals(const mn_id *mesh_id,
                                         const Meshnode__Decision__Evidence *from,
                                         struct decision_conviction *ret)
{
    struct decision_proposal a, b;
    mn_status status = decision_read_proposal(mesh_id, from->a, &a);

    if (status != MN_OK) return status;
    status = decision_read_proposal(mesh_id, from->b, &b);
    if (status == MN_OK) {
        if (memcmp(a.proposer_pk, b.proposer_pk, sizeof a.proposer_pk) != 0 ||
            !mn_id_equal(&a.id, &b.id) ||
            mn_span_equal(mn_buf_span(a.bytes.body), mn_buf_span(b.bytes.body)))
            status = MN_MALFORMED;
        memcpy(ret->pk, a.proposer_pk, sizeof ret->pk);
        ret->about = a.id;
        decision_proposal_done(&b);
    }
    decision_proposal_done(&a);
    return status;
}

static mn_status decision_read_statements(const mn_id *mesh_id,
                                          const Meshnode__Decision__Evidence *from,
                                          struct decision_conviction *ret)
{
    struct simplex_validator validators[DECISION_VALIDATORS_MAX];
    struct decision_proposal proposal;
    struct simplex_config config;
    uint32_t signer;
    mn_status status = decision_read_proposal(mesh_id, from->proposal, &proposal);

    if (status != MN_OK) return status;
    status = MN_MALFORMED;
    if (proposal.is_byzantine) {
        config = decision_validators(mesh_id, &proposal, validators);
        status = simplex_verify_evidence(&config, pb_span(from->statements), &signer);
    }
    if (status == MN_OK) memcpy(ret->pk, validators[signer].pk, sizeof ret->pk);
    ret->about = proposal.id;
    decision_proposal_done(&proposal);
    return status;
}

mn_status decision_read_evidence(const mn_id *mesh_id, const Meshnode__Decision__Evidence *from,
                                 struct decision_conviction *ret)
{
    struct decision_conviction read = {.lie = (enum decision_lie)from->kind,
                                       .seen_ms = from->seen_ms};
    bool is_pair = from->a != NULL && from->b != NULL;
    mn_status status = MN_MALFORMED;

    if (from->kind == DECISION_TWO_BALLOTS && is_pair)
        status = decision_read_ballots(mesh_id, from, &read);
    else if (from->kind == DECISION_TWO_PROPOSALS && is_pair)
        status = decision_read_proposals(mesh_id, from, &read);
    else if (from->kind == DECISION_TWO_STATEMENTS && from->proposal != NULL)
        status = decision_read_statements(mesh_id, from, &read);
    if (status == MN_TOO_BIG) status = MN_MALFORMED;
    if (status != MN_OK) return status;
    read.node = digest_node_id(read.pk);
    *ret = read;
    return MN_OK;
}

mn_status decision_verify_evidence(const mn_id *mesh_id, struct mn_span proof,
                                   struct decision_conviction *ret)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Evidence *wire = NULL;
    mn_status status = MN_MALFORMED;

    if (proof.size <= DECISION_MESSAGE_MAX)
        wire = pb_unpack(&meshnode__decision__evidence__descriptor, &arena, proof);
    if (wire != NULL) status = decision_read_evidence(mesh_id, wire, ret);
    if (status == MN_OK) ret->proof = proof;
    mn_arena_done(&arena);
    return status;
}
