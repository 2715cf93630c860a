/* What is said when: proposing, answering, asking again. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

/* ---- proposing ---- */

#define ASKS_MAX 8u /* times a voter asks for an outcome that nobody brings */

static mn_status decision_make(struct decision *decision, const struct decision_input *input,
                               struct decision_proposal *ret)
{
    struct decision_proposal draft = {.id = rng_id(&decision->rng),
                                      .topic = input->propose.topic,
                                      .value = input->propose.value,
                                      .quorum_num = input->propose.quorum_num,
                                      .quorum_den = input->propose.quorum_den,
                                      .created_ms = mn_wall_ms(decision->now),
                                      .basis = input->propose.basis,
                                      .is_byzantine = input->propose.is_byzantine};
    struct decision_signed bytes;
    Meshnode__Decision__Signed wire = MESHNODE__DECISION__SIGNED__INIT;
    mn_status status = MN_CONFIG;

    if (input->propose.timeout < DECISION_TIMEOUT_MIN ||
        input->propose.timeout > DECISION_TIMEOUT_MAX ||
        input->propose.topic.size > DECISION_TOPIC_MAX ||
        input->propose.value.size > DECISION_VALUE_MAX)
        return MN_CONFIG;
    draft.deadline_ms = draft.created_ms + input->propose.timeout / MN_MS;
    memcpy(draft.proposer_pk, decision->config.key->pk, SIGN_PK_SIZE);
    decision_members_hash(decision, draft.members_hash);
    if (!decision_choose_voters(decision, &draft)) {
        mn_free(draft.voters);
        return MN_DENIED;
    }
    bytes = decision_sign(&decision->config, SIGN_DECISION, decision_pack_proposal(&draft));
    mn_free(draft.voters);
    wire.body = pb_bytes(mn_buf_span(bytes.body));
    wire.signature = pb_bytes(mn_span(bytes.signature, SIGN_SIZE));
    /* Read like anybody's: what is out of range is refused there. */
    if (decision_read_proposal(&decision->config.mesh_id, &wire, ret) == MN_OK) status = MN_OK;
    mn_buf_unref(bytes.body);
    return status;
}

void decision_solicit(struct decision *decision, struct decision_item *item)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    decision_draft_proposal(&draft, &item->proposal.bytes);
    buf = decision_draft_done(&draft);
    decision_tell_all(decision, item, buf, true);
    mn_buf_unref(buf);
    item->act_at =
        mn_time_min(item->deadline, mn_time_after(decision->now.mono, decision->config.resend));
}

void decision_on_propose(struct decision *decision, const struct decision_input *input)
{
    struct decision_proposal proposal;
    struct decision_item *item;
    mn_status status = decision_has_room(decision, input->propose.is_byzantine) ? MN_OK : MN_BUSY;

    if (status == MN_OK) status = decision_make(decision, input, &proposal);
    if (status != MN_OK) {
        decision_reply(decision, input->propose.request, NULL, status);
        return;
    }
    item = decision_add(decision, &proposal);
    decision_persist(decision, item);
    decision_reply(decision, input->propose.request, &item->proposal.id, MN_OK);
    decision_solicit(decision, item);
    decision_ask(decision, item);
}

/* ---- messages ---- */

/* May this proposal be taken up? */
static bool decision_is_welcome(struct decision *decision, const struct decision_proposal *proposal)
{
    uint64_t now_ms = mn_wall_ms(decision->now);
    mn_time window = proposal->is_byzantine ? DECISION_AGREE_WINDOW : DECISION_WINDOW;
    uint32_t open = 0, most = proposal->is_byzantine ? decision->config.agreements_max
                                                     : decision->config.decisions_max;

    if (decision_member_of(decision, &proposal->proposer) == NULL) return false;
    if (proposal->created_ms > now_ms + DECISION_SKEW_MAX / MN_MS) return false;
    if (proposal->deadline_ms + window / MN_MS <= now_ms) return false; /* long over */
    MN_LIST_FOR_EACH (entry, &decision->items) {
        const struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        open += item->outcome == DECISION_OPEN &&
                item->proposal.is_byzantine == proposal->is_byzantine &&
                mn_id_equal(&item->proposal.proposer, &proposal->proposer);
    }
    if (open >= (most + 3) / 4) return false; /* leave room for others */
    return decision_has_room(decision, proposal->is_byzantine);
}

static struct decision_item *decision_take_proposal(struct decision *decision,
                                                    const Meshnode__Decision__Signed *from)
{
    struct decision_proposal proposal;
    struct decision_item *item;

    if (decision_read_proposal(&decision->config.mesh_id, from, &proposal) != MN_OK) {
        decision->dropped++;
        return NULL;
    }
    item = decision_get(decision, &proposal.id);
    if (item == NULL && decision_is_welcome(decision, &proposal))
        return decision_add(decision, &proposal);
    if (item == NULL || memcmp(item->proposal.hash, proposal.hash, sizeof proposal.hash) != 0) {
        if (item != NULL) {
            MN_PROBE("decision: two proposals under one id");
            decision_accuse_pair(decision, DECISION_TWO_PROPOSALS, &item->proposal.bytes, from);
        }
        decision->dropped++;
        item = NULL;
    }
    decision_proposal_done(&proposal);
    return item;
}

/* What we may say of it: the certificate, or else our own vote; [is_all]: of a byzantine one
 * everything, from which the others can make the certificate too. */
static void decision_answer(struct decision *decision, const struct decision_item *item,
                            const mn_id *to, bool is_all)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    if (decision_is_final(item) || (item->agreement != NULL && is_all)) {
        decision_draft_known(item, &draft);
    } else if (item->self >= 0 && item->votes[item->self].body != NULL) {
        decision_draft_init(&draft);
        decision_draft_vote(&draft, &item->votes[item->self]);
    } else {
        return;
    }
    buf = decision_draft_done(&draft);
    decision_send(decision, to, buf);
    mn_buf_unref(buf);
}

void decision_on_message(struct decision *decision, const mn_id *from, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire = NULL;
    struct decision_item *item = NULL;
    mn_id asked;

    if (bytes.size <= DECISION_MESSAGE_MAX)
        wire = pb_unpack(&meshnode__decision__message__descriptor, &arena, bytes);
    if (wire == NULL || wire->n_votes > DECISION_VOTERS_MAX ||
        wire->n_lates > DECISION_VALIDATORS_MAX) {
        decision->dropped++;
        goto done;
    }
    decision_on_accused(decision, from, wire);
    decision_on_doubt(decision, from, wire);
    if (wire->agreement.len > 0 && pb_id(wire->about, &asked) == MN_OK)
        decision_agree_on_message(decision, from, &asked, pb_span(wire->agreement));
    if (wire->proposal != NULL) item = decision_take_proposal(decision, wire->proposal);
    if (wire->proposal != NULL && item == NULL) goto done;
    if (item != NULL && wire->agreed.len > 0)
        decision_agree_read_agreed(decision, item, pb_span(wire->agreed));
    decision_agree_read_lates(decision, item, wire, from);
    if (wire->n_votes > 0) {
        decision_read_votes(decision, item, wire);
    } else if (item != NULL && wire->agreed.len == 0) {
        decision_answer(decision, item, from, false);
    }
    if (item != NULL) decision_ask(decision, item);
    if (wire->ask.len > 0 && pb_id(wire->ask, &asked) == MN_OK) {
        item = decision_get(decision, &asked);
        if (item != NULL) decision_answer(decision, item, from, true);
    }
done:
    mn_arena_done(&arena);
}

/* ---- time ---- */

void decision_inquire(struct decision *decision, struct decision_item *item)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    item->act_at = MN_TIME_NEVER;
    if (item->asks++ >= ASKS_MAX) return;
    decision_draft_init(&draft);
    draft.wire.ask = pb_id_bytes(&item->proposal.id);
    buf = decision_draft_done(&draft);
    decision_tell_all(decision, item, buf, false);
    if (decision_find_voter(&item->proposal, &item->proposal.proposer) < 0)
        decision_send(decision, &item->proposal.proposer, buf);
    mn_buf_unref(buf);
    item->act_at = mn_time_after(decision->now.mono, 2 * decision->config.resend);
}

static void decision_act(struct decision *decision, struct decision_item *item)
{
    if (decision_is_final(item)) {
        item->act_at = MN_TIME_NEVER;
    } else if (item->agreement != NULL && decision->now.mono >= item->deadline) {
        decision_agree_act(decision, item);
    } else if (decision->now.mono < item->deadline) {
        if (item->is_ours) {
            decision_solicit(decision, item);
            decision_ask(decision, item); /* again, after a restart */
        } else {
            item->act_at = item->deadline;
        }
    } else if (item->outcome == DECISION_OPEN && item->asks > 0) {
        decision_give_up(decision, item);
        decision_inquire(decision, item);
    } else {
        decision_inquire(decision, item); /* once before giving up: it may be decided elsewhere */
    }
}

void decision_tick(struct decision *decision)
{
    MN_LIST_FOR_EACH_SAFE (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (decision->now.mono >= item->act_at) decision_act(decision, item);
        decision_agree_tick(decision, item);
    }
    if (decision->evidence_count > 0 && decision->now.mono >= decision->accuse_at)
        decision_tell_accused(decision);
}
