/* How this node votes, by the rules and by its owner's word. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

/* ---- our vote ---- */

static void decision_cast(struct decision *decision, struct decision_item *item,
                          enum decision_choice choice, enum decision_cause cause)
{
    MN_ASSERT(item->self >= 0 && item->own.choice == DECISION_NONE);
    item->own.id = item->proposal.id;
    memcpy(item->own.proposal, item->proposal.hash, sizeof item->own.proposal);
    memcpy(item->own.pk, decision->config.key->pk, SIGN_PK_SIZE);
    item->own.choice = choice;
    item->own.cause = cause;
    item->own_bytes = decision_sign(&decision->config, SIGN_BALLOT, decision_pack_vote(&item->own));
    item->own_write = decision_persist(decision, item);
}

/* Have we said yes to something else under this topic? */
static bool decision_is_topic_taken(const struct decision *decision,
                                    const struct decision_item *item)
{
    MN_LIST_FOR_EACH (entry, &decision->items) {
        const struct decision_item *other = MN_CONTAINER(entry, struct decision_item, list);
        if (other == item || other->own.choice != DECISION_YES) continue;
        if (!mn_span_equal(other->proposal.topic, item->proposal.topic)) continue;
        if (mn_span_equal(other->proposal.value, item->proposal.value)) continue;
        if (decision_is_binding(decision, other)) return true;
    }
    return false;
}

/* Is every weight what we would have given, within a factor of two? */
static bool decision_are_weights_good(const struct decision *decision,
                                      const struct decision_proposal *proposal)
{
    uint32_t ours[DECISION_VOTERS_MAX];

    if (proposal->basis == DECISION_EQUAL) {
        for (uint32_t i = 0; i < proposal->voters_count; i++)
            if (decision_member_of(decision, &proposal->voters[i].node_id) == NULL) return false;
        return true; /* equal among themselves, or it were not well-formed */
    }
    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        const struct decision_member *member =
            decision_member_of(decision, &proposal->voters[i].node_id);
        ours[i] = member == NULL ? 0 : member->weight;
    }
    if (!decision_cap(ours, proposal->voters_count)) return false;
    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        uint64_t theirs = proposal->voters[i].weight;
        if (theirs > 2 * (uint64_t)ours[i] || 2 * theirs < ours[i]) return false;
    }
    return true;
}

/* Have members with more than a quarter of the weight no vote? Views of the membership differ for
 * moments; a proposer that picks its friends differs more. */
static bool decision_are_voters_good(const struct decision *decision,
                                     const struct decision_proposal *proposal)
{
    uint64_t total = 0, left_out = 0;

    for (uint32_t i = 0; i < decision->members_count; i++) {
        uint64_t weight = proposal->basis == DECISION_EQUAL ? 1 : decision->members[i].weight;
        if (decision_is_accused(decision, &decision->members_ids[i])) continue;
        total += weight;
        if (decision_find_voter(proposal, &decision->members_ids[i]) < 0) left_out += weight;
    }
    if (proposal->voters_count ==
        (proposal->is_byzantine ? DECISION_VALIDATORS_MAX : DECISION_VOTERS_MAX))
        return true; /* as many as there may be */
    return 4 * left_out <= total;
}

/* What speaks against a yes, by what is known of the members now; 0: nothing. */
static enum decision_cause decision_objection(const struct decision *decision,
                                              const struct decision_proposal *proposal)
{
    if (!decision_are_weights_good(decision, proposal)) return DECISION_BAD_WEIGHTS;
    return decision_are_voters_good(decision, proposal) ? (enum decision_cause)0
                                                        : DECISION_BAD_VOTERS;
}

/* ---- doubts: an objection that may pass ---- */

static void decision_tell_doubt(struct decision *decision, const struct decision_item *item,
                                enum decision_cause doubt)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    draft.wire.doubted = pb_id_bytes(&item->proposal.id);
    draft.wire.doubt = (uint32_t)doubt;
    buf = decision_draft_done(&draft);
    decision_send(decision, &item->proposal.proposer, buf);
    mn_buf_unref(buf);
}

void decision_on_doubt(struct decision *decision, const mn_id *from,
                       const Meshnode__Decision__Message *wire)
{
    struct decision_item *item;
    struct decision_ballot *ballot;
    mn_id id;
    int voter;

    if (wire->doubted.len == 0 || pb_id(wire->doubted, &id) != MN_OK) return;
    if (wire->doubt != 0 && wire->doubt != DECISION_BAD_WEIGHTS &&
        wire->doubt != DECISION_BAD_VOTERS)
        return;
    item = decision_get(decision, &id);
    voter = item == NULL || !item->is_ours ? -1 : decision_find_voter(&item->proposal, from);
    if (voter < 0) return;
    ballot = &item->proposal.voters[voter];
    if (ballot->choice == DECISION_NONE) ballot->cause = (enum decision_cause)wire->doubt;
}

/* Has the objection lasted so long that what is known of the members will not change it any more?
 * It is looked at again whenever the proposer asks. */
static bool decision_doubts(struct decision *decision, struct decision_item *item,
                            enum decision_cause objection)
{
    struct decision_ballot *own = &item->proposal.voters[item->self];

    if (objection != 0 && own->cause == 0) item->doubted_since = decision->now.mono;
    if (objection != 0 || own->cause != 0) decision_tell_doubt(decision, item, objection);
    own->cause = objection;
    return objection != 0 && decision->now.mono - item->doubted_since < decision->config.patience;
}

/* What the rules say by themselves; else the owner is asked. */
void decision_ask(struct decision *decision, struct decision_item *item)
{
    enum decision_cause objection;
    struct decision_output *out;

    if (item->self < 0 || item->own.choice != DECISION_NONE) return;
    if (decision->config.abstains) return;
    if (decision->now.mono >= item->deadline) return;
    objection = decision_objection(decision, &item->proposal);
    if (decision_doubts(decision, item, objection)) {
        MN_PROBE("decision: what differs may not differ for long");
        return;
    }
    if (objection == DECISION_BAD_WEIGHTS) {
        MN_PROBE("decision: no to bad weights");
        decision_cast(decision, item, DECISION_NO, objection);
    } else if (objection == DECISION_BAD_VOTERS) {
        MN_PROBE("decision: no to bad voters");
        decision_cast(decision, item, DECISION_NO, objection);
    } else {
        out = decision_emit(decision, DECISION_OUT_ASKED);
        out->asked.id = item->proposal.id;
    }
}

void decision_on_answer(struct decision *decision, const struct decision_input *input)
{
    struct decision_item *item = decision_get(decision, &input->answer.id);
    enum decision_choice choice = input->answer.choice;
    enum decision_cause cause = input->answer.cause;
    mn_status status = MN_OK;

    if (item == NULL) {
        status = MN_NOT_FOUND;
    } else if (choice < DECISION_YES || choice > DECISION_ABSTAIN ||
               (cause != DECISION_BY_POLICY && cause != DECISION_BY_HAND)) {
        status = MN_CONFIG;
    } else if (item->self < 0 || decision->config.abstains) {
        status = MN_DENIED;
    } else if (item->own.choice != DECISION_NONE) {
        status = MN_EXISTS;
    } else if (decision->now.mono >= item->deadline) {
        status = MN_EXPIRED;
    } else if (choice == DECISION_YES && decision_objection(decision, &item->proposal) != 0) {
        MN_PROBE("decision: no yes while the members differ");
        status = MN_NOT_YET;
    } else if (choice == DECISION_YES && decision_is_topic_taken(decision, item)) {
        MN_PROBE("decision: no second yes under a topic");
        decision_cast(decision, item, DECISION_ABSTAIN, DECISION_TOPIC_TAKEN);
        status = MN_STATE;
    } else {
        decision_cast(decision, item, choice, cause);
    }
    decision_reply(decision, input->answer.request, &input->answer.id, status);
}

/* A vote that is durable goes to the proposer, and counts here. */
static void decision_publish(struct decision *decision, struct decision_item *item)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    item->own_write = 0;
    decision_draft_init(&draft);
    decision_draft_vote(&draft, &item->own_bytes);
    if (item->proposal.voters[item->self].choice == DECISION_NONE) {
        item->proposal.voters[item->self].choice = item->own.choice;
        item->proposal.voters[item->self].cause = item->own.cause;
        item->votes[item->self] = item->own_bytes; /* with its ref */
        mn_buf_ref(item->own_bytes.body);
    }
    buf = decision_draft_done(&draft);
    item->own_bytes.body = mn_buf_unref(item->own_bytes.body);
    if (item->agreement != NULL) decision_tell_all(decision, item, buf, false);
    if (item->agreement == NULL ||
        decision_find_voter(&item->proposal, &item->proposal.proposer) < 0)
        decision_send(decision, &item->proposal.proposer, buf);
    mn_buf_unref(buf);
    decision_judge(decision, item);
}

void decision_on_durable(struct decision *decision, uint64_t upto)
{
    MN_LIST_FOR_EACH_SAFE (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (item->own_write != 0 && item->own_write <= upto) decision_publish(decision, item);
        decision_agree_on_durable(decision, item, upto);
    }
}
