/* How this node votes, by the rules and by its owner's word, and who has a vote in what it
 * proposes. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define MEMBERS_MAX 65536u

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

const struct decision_member *decision_member_of(const struct decision *decision, const mn_id *node)
{
    uint32_t low = 0, high = decision->members_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = mn_id_compare(&decision->members_ids[middle], node);
        if (order == 0) return &decision->members[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
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
        total += weight;
        if (decision_find_voter(proposal, &decision->members_ids[i]) < 0) left_out += weight;
    }
    if (proposal->voters_count == DECISION_VOTERS_MAX) return true; /* as many as there may be */
    return 4 * left_out <= total;
}

/* What the rules say by themselves; else the owner is asked. */
void decision_ask(struct decision *decision, struct decision_item *item)
{
    struct decision_output *out;

    if (item->self < 0 || item->own.choice != DECISION_NONE) return;
    if (decision->config.abstains) return;
    if (decision->now.mono >= item->deadline) return;
    if (!decision_are_weights_good(decision, &item->proposal)) {
        MN_PROBE("decision: no to bad weights");
        decision_cast(decision, item, DECISION_NO, DECISION_BAD_WEIGHTS);
    } else if (!decision_are_voters_good(decision, &item->proposal)) {
        MN_PROBE("decision: no to bad voters");
        decision_cast(decision, item, DECISION_NO, DECISION_BAD_VOTERS);
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
    decision_note_vote(decision, item, item->self, &item->own, mn_buf_span(item->own_bytes.body),
                       item->own_bytes.signature);
    item->own_bytes.body = mn_buf_unref(item->own_bytes.body);
    decision_draft_init(&draft);
    decision_draft_vote(&draft, &item->votes[item->self]);
    buf = decision_draft_done(&draft);
    decision_send(decision, &item->proposal.proposer, buf);
    mn_buf_unref(buf);
    decision_judge(decision, item);
}

void decision_on_durable(struct decision *decision, uint64_t upto)
{
    MN_LIST_FOR_EACH_SAFE (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (item->own_write != 0 && item->own_write <= upto) decision_publish(decision, item);
    }
}

/* ---- members ---- */

void decision_on_members(struct decision *decision, const struct decision_member *items,
                         uint32_t count)
{
    if (count > MEMBERS_MAX) count = MEMBERS_MAX;
    mn_free(decision->members);
    mn_free(decision->members_ids);
    decision->members = mn_alloc((count + 1) * sizeof *decision->members);
    decision->members_ids = mn_alloc((count + 1) * sizeof *decision->members_ids);
    decision->members_count = 0;
    for (uint32_t i = 0; i < count; i++) { /* insertion: they mostly come in order */
        mn_id id = digest_node_id(items[i].pk);
        uint32_t at = decision->members_count;
        if (decision_member_of(decision, &id) != NULL) continue;
        while (at > 0 && mn_id_compare(&decision->members_ids[at - 1], &id) > 0) {
            decision->members_ids[at] = decision->members_ids[at - 1];
            decision->members[at] = decision->members[at - 1];
            at--;
        }
        decision->members_ids[at] = id;
        decision->members[at] = items[i];
        decision->members_count++;
    }
}

/* ---- voters of a proposal of ours ---- */

void decision_members_hash(const struct decision *decision, uint8_t ret[16])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_MEMBERS, 16);
    for (uint32_t i = 0; i < decision->members_count; i++)
        digest_fixed(&digest, mn_span(decision->members_ids[i].bytes, sizeof(mn_id)));
    digest_end(&digest, ret);
}

/* The heaviest members that there is room for, of equal ones those with the lower id. */
static uint32_t decision_pick_heaviest(const struct decision *decision, enum decision_basis basis,
                                       struct decision_ballot *ret)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < decision->members_count; i++) {
        uint32_t weight = basis == DECISION_EQUAL ? 1 : decision->members[i].weight, at;
        if (weight == 0) continue;
        if (count == DECISION_VOTERS_MAX && ret[count - 1].weight >= weight) continue;
        at = count < DECISION_VOTERS_MAX ? count++ : count - 1;
        for (; at > 0 && ret[at - 1].weight < weight; at--)
            ret[at] = ret[at - 1];
        ret[at] = (struct decision_ballot){.node_id = decision->members_ids[i], .weight = weight};
        memcpy(ret[at].pk, decision->members[i].pk, SIGN_PK_SIZE);
    }
    return count;
}

/* Voters by rising id, their weights capped. */
bool decision_choose_voters(const struct decision *decision, struct decision_proposal *proposal)
{
    struct decision_ballot picked[DECISION_VOTERS_MAX];
    uint32_t count = decision_pick_heaviest(decision, proposal->basis, picked);
    uint32_t weights[DECISION_VOTERS_MAX];

    for (uint32_t i = 1; i < count; i++) {
        struct decision_ballot moved = picked[i];
        uint32_t at = i;
        for (; at > 0 && mn_id_compare(&picked[at - 1].node_id, &moved.node_id) > 0; at--)
            picked[at] = picked[at - 1];
        picked[at] = moved;
    }
    for (uint32_t i = 0; i < count; i++)
        weights[i] = picked[i].weight;
    proposal->voters = mn_alloc(DECISION_VOTERS_MAX * sizeof *proposal->voters);
    if (!decision_cap(weights, count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (weights[i] == 0) continue;
        picked[i].weight = weights[i];
        proposal->voters[proposal->voters_count++] = picked[i];
    }
    return true;
}
