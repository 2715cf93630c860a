/* What is known of each decision: proposal, votes, outcome; what makes room for others. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

bool decision_is_final(const struct decision_item *item)
{
    if (item->agreement != NULL) return item->agreement->agreed != NULL;
    return item->outcome == DECISION_ACHIEVED || item->outcome == DECISION_REFUSED;
}

/* What was agreed on has the votes that count. */
void decision_draft_known(const struct decision_item *item, struct decision_draft *draft)
{
    const struct decision_agreement *agreement = item->agreement;

    decision_draft_init(draft);
    decision_draft_proposal(draft, &item->proposal.bytes);
    if (agreement != NULL && agreement->agreed != NULL) {
        draft->wire.agreed = pb_bytes(mn_buf_span(agreement->agreed));
        return;
    }
    for (uint32_t i = 0; agreement != NULL && i < item->proposal.voters_count; i++)
        if (agreement->lates[i].body != NULL) decision_draft_late(draft, &agreement->lates[i]);
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        if (item->votes[i].body != NULL) decision_draft_vote(draft, &item->votes[i]);
}

uint64_t decision_persist(struct decision *decision, const struct decision_item *item)
{
    Meshnode__Decision__Record record = MESHNODE__DECISION__RECORD__INIT;
    struct decision_draft draft;
    struct mn_buf *packed;

    decision_draft_known(item, &draft);
    if (draft.wire.n_votes == 0 && item->self >= 0 && item->votes[item->self].body != NULL)
        decision_draft_vote(&draft, &item->votes[item->self]); /* whatever was agreed on */
    if (item->own_bytes.body != NULL) decision_draft_vote(&draft, &item->own_bytes);
    if (item->agreement != NULL && item->agreement->own_late.body != NULL)
        decision_draft_late(&draft, &item->agreement->own_late);
    record.known = &draft.wire;
    record.outcome = (uint32_t)item->outcome;
    packed = pb_pack(&record.base);
    mn_arena_done(&draft.arena);
    return decision_write(decision, DECISION_RECORD_KNOWN, &item->proposal.id, 0, packed);
}

/* ---- items ---- */

struct decision_item *decision_get(const struct decision *decision, const mn_id *id)
{
    MN_LIST_FOR_EACH (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (mn_id_equal(&item->proposal.id, id)) return item;
    }
    return NULL;
}

void decision_drop_item(struct decision *decision, struct decision_item *item)
{
    mn_list_remove(&item->list);
    decision->items_count--;
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        mn_buf_unref(item->votes[i].body);
    mn_buf_unref(item->own_bytes.body);
    decision_agree_done(item);
    decision_proposal_done(&item->proposal);
    mn_free(item);
}

/* Does our yes still bind us here? By the wall clock, because it must after a restart too; by the
 * other one, because the wall clock may leap. */
bool decision_is_binding(const struct decision *decision, const struct decision_item *item)
{
    if (decision->now.mono < mn_time_after(item->deadline, DECISION_WINDOW)) return true;
    return mn_wall_ms(decision->now) < item->proposal.deadline_ms + DECISION_WINDOW / MN_MS;
}

/* May it go? One that is byzantine stays while others may still ask this node to agree, because it
 * must not speak about it anew. */
static bool decision_is_over(const struct decision *decision, const struct decision_item *item)
{
    uint64_t now_ms = mn_wall_ms(decision->now);

    if (item->outcome == DECISION_OPEN || item->own_write != 0) return false;
    if (decision_is_binding(decision, item)) return false;
    if (item->agreement == NULL || decision_is_final(item)) return true;
    return decision->now.mono >= mn_time_after(item->deadline, DECISION_AGREE_WINDOW) &&
           now_ms >= item->proposal.deadline_ms + DECISION_AGREE_WINDOW / MN_MS;
}

/* Makes room: the oldest one that is over and binds nobody. */
bool decision_has_room(struct decision *decision, bool is_byzantine)
{
    struct decision_item *victim = NULL;
    uint32_t agreements = 0;

    MN_LIST_FOR_EACH (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        agreements += item->agreement != NULL && !decision_is_final(item) &&
                      !decision_is_over(decision, item);
    }
    if (is_byzantine && agreements >= decision->config.agreements_max) return false;
    if (decision->items_count < decision->config.decisions_max) return true;
    MN_LIST_FOR_EACH (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (decision_is_over(decision, item)) victim = item;
    }
    if (victim == NULL) return false;
    MN_PROBE("decision: an old one made room");
    decision_agree_forget(decision, victim);
    (void)decision_write(decision, DECISION_RECORD_KNOWN, &victim->proposal.id, 0, NULL);
    decision_drop_item(decision, victim);
    return true;
}

struct decision_item *decision_add(struct decision *decision, struct decision_proposal *proposal)
{
    struct decision_item *item = mn_alloc(sizeof *item);
    uint64_t now_ms = mn_wall_ms(decision->now);
    mn_time left = 0;

    item->proposal = *proposal; /* with its buffers */
    item->self = decision_find_voter(proposal, &decision->self);
    item->is_ours = mn_id_equal(&proposal->proposer, &decision->self);
    if (proposal->deadline_ms > now_ms) left = (proposal->deadline_ms - now_ms) * MN_MS;
    if (left > DECISION_TIMEOUT_MAX + DECISION_SKEW_MAX)
        left = DECISION_TIMEOUT_MAX + DECISION_SKEW_MAX;
    item->deadline = mn_time_after(decision->now.mono, left);
    item->act_at = item->deadline;
    if (proposal->is_byzantine) decision_agree_init(item);
    mn_list_push_front(&decision->items, &item->list);
    decision->items_count++;
    return item;
}

/* ---- outcomes ---- */

void decision_tell_all(struct decision *decision, const struct decision_item *item,
                       struct mn_buf *buf, bool is_missing_only)
{
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        if (!is_missing_only || item->votes[i].body == NULL)
            decision_send(decision, &item->proposal.voters[i].node_id, buf);
}

void decision_set_outcome(struct decision *decision, struct decision_item *item,
                          enum decision_outcome outcome)
{
    struct decision_output *out;

    item->outcome = outcome;
    decision_persist(decision, item);
    out = decision_emit(decision, DECISION_OUT_OUTCOME);
    out->outcome.id = item->proposal.id;
    out->outcome.outcome = outcome;
}

static void decision_conclude(struct decision *decision, struct decision_item *item,
                              enum decision_outcome outcome)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    if (item->outcome == outcome) return;
    decision_set_outcome(decision, item, outcome);
    if (outcome != DECISION_ACHIEVED && outcome != DECISION_REFUSED) return;
    item->act_at = MN_TIME_NEVER;
    if (!item->is_ours) return; /* the others ask */
    decision_draft_known(item, &draft);
    buf = decision_draft_done(&draft);
    decision_tell_all(decision, item, buf, false);
    if (item->self < 0) decision_send(decision, &item->proposal.proposer, buf);
    mn_buf_unref(buf);
}

void decision_judge(struct decision *decision, struct decision_item *item)
{
    uint64_t yes, no, abstain;
    enum decision_outcome outcome = decision_count(&item->proposal, &yes, &no, &abstain);

    if (decision_is_final(item)) return;
    if (item->agreement != NULL) {
        decision_agree_try(decision, item);
        return;
    }
    if (outcome != DECISION_OPEN) {
        if (item->outcome != DECISION_OPEN)
            MN_PROBE("decision: a certificate after a local timeout");
        decision_conclude(decision, item, outcome);
    }
}

void decision_give_up(struct decision *decision, struct decision_item *item)
{
    decision_conclude(decision, item, decision_local(&item->proposal));
}

void decision_keep_signed(struct decision_signed *ret, const Meshnode__Decision__Signed *from)
{
    ret->body = mn_buf_copy(pb_span(from->body));
    memcpy(ret->signature, from->signature.data, sizeof ret->signature);
}

/* A vote that verifies and is for this very proposal. */
void decision_note_vote(struct decision *decision, struct decision_item *item, int voter,
                        const struct decision_vote *vote, const Meshnode__Decision__Signed *from)
{
    struct decision_ballot *ballot = &item->proposal.voters[voter];

    if (ballot->choice != DECISION_NONE) {
        if (ballot->choice != vote->choice) {
            MN_PROBE("decision: a voter votes twice");
            decision->dropped++;
            decision_accuse_pair(decision, DECISION_TWO_BALLOTS, &item->votes[voter], from);
        }
        return; /* the first one counts */
    }
    if (item->agreement != NULL && decision_is_final(item)) return;
    if (voter == item->self && item->own.choice == DECISION_NONE) {
        MN_PROBE("decision: our own vote, which we had forgotten");
        item->own = *vote;
    }
    ballot->choice = vote->choice;
    ballot->cause = vote->cause;
    decision_keep_signed(&item->votes[voter], from);
}

void decision_read_votes(struct decision *decision, struct decision_item *only,
                         const Meshnode__Decision__Message *wire)
{
    for (size_t i = 0; i < wire->n_votes; i++) {
        struct decision_vote vote;
        struct decision_item *item;
        mn_id node;
        int voter;
        if (decision_read_vote(&decision->config.mesh_id, wire->votes[i], false, &vote) != MN_OK) {
            decision->dropped++;
            continue;
        }
        item = only != NULL ? only : decision_get(decision, &vote.id);
        if (item == NULL) {
            decision->dropped++;
            continue;
        }
        node = digest_node_id(vote.pk);
        voter = decision_find_voter(&item->proposal, &node);
        if (voter >= 0 && item->votes[voter].body != NULL &&
            mn_id_equal(&vote.id, &item->proposal.id) &&
            memcmp(vote.proposal, item->proposal.hash, sizeof vote.proposal) != 0)
            decision_accuse_pair(decision, DECISION_TWO_BALLOTS, &item->votes[voter],
                                 wire->votes[i]);
        if (voter < 0 || !mn_id_equal(&vote.id, &item->proposal.id) ||
            memcmp(vote.proposal, item->proposal.hash, sizeof vote.proposal) != 0) {
            decision->dropped++; /* a stranger's, or of another proposal under this id */
            continue;
        }
        decision_note_vote(decision, item, voter, &vote, wire->votes[i]);
        if (decision->outbox != NULL) decision_judge(decision, item);
    }
}
