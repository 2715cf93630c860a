/* Who is a member, and who of them has a vote in what this node proposes. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define MEMBERS_MAX 65536u

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

/* ---- members ---- */

static void members_free(struct decision_member *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mn_buf_unref(members[i].record);
    mn_free(members);
}

void decision_members_done(struct decision *decision)
{
    members_free(decision->members, decision->members_count);
    mn_free(decision->members_ids);
}

void decision_on_members(struct decision *decision, const struct decision_member *items,
                         uint32_t count)
{
    struct decision_member *before = decision->members;
    uint32_t before_count = decision->members_count;

    if (count > MEMBERS_MAX) count = MEMBERS_MAX;
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
        mn_buf_ref(items[i].record);
        decision->members_count++;
    }
    members_free(before, before_count); /* after the new refs were taken: they may be the same */
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

/* The heaviest members that there is room for, of equal ones those with the lower id; no liars. */
static uint32_t decision_pick_heaviest(const struct decision *decision,
                                       const struct decision_proposal *proposal,
                                       struct decision_ballot *ret)
{
    uint32_t most = proposal->is_byzantine ? DECISION_VALIDATORS_MAX : DECISION_VOTERS_MAX;
    uint32_t count = 0;

    for (uint32_t i = 0; i < decision->members_count; i++) {
        uint32_t weight = proposal->basis == DECISION_EQUAL ? 1 : decision->members[i].weight, at;
        if (weight == 0 || decision_is_accused(decision, &decision->members_ids[i])) continue;
        if (proposal->basis == DECISION_METRIC && decision->members[i].record == NULL) continue;
        if (count == most && ret[count - 1].weight >= weight) continue;
        at = count < most ? count++ : count - 1;
        for (; at > 0 && ret[at - 1].weight < weight; at--)
            ret[at] = ret[at - 1];
        ret[at] = (struct decision_ballot){.node_id = decision->members_ids[i], .weight = weight};
        ret[at].record = decision->members[i].record;
        memcpy(ret[at].pk, decision->members[i].pk, SIGN_PK_SIZE);
    }
    return count;
}

/* Voters by rising id, their weights capped. */
bool decision_choose_voters(const struct decision *decision, struct decision_proposal *proposal)
{
    struct decision_ballot picked[DECISION_VOTERS_MAX];
    uint32_t count = decision_pick_heaviest(decision, proposal, picked);
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
