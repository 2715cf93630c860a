#include "consensus/decision.h"

#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

/* ---- out ---- */

struct decision_output *decision_emit(struct decision *decision, enum decision_output_type type)
{
    struct decision_outbox *outbox = decision->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct decision_output){.type = type};
    return &outbox->items[outbox->count++];
}

void decision_outbox_reset(struct decision_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++) {
        if (outbox->items[i].type == DECISION_OUT_SEND) mn_buf_unref(outbox->items[i].send.buf);
        if (outbox->items[i].type == DECISION_OUT_PERSIST)
            mn_buf_unref(outbox->items[i].persist.record);
    }
    mn_arena_reset(outbox->arena);
    *outbox = (struct decision_outbox){.arena = outbox->arena};
}

void decision_send(struct decision *decision, const mn_id *to, struct mn_buf *buf)
{
    struct decision_output *out;

    if (mn_id_equal(to, &decision->self)) return;
    out = decision_emit(decision, DECISION_OUT_SEND);
    out->send.to = *to;
    out->send.buf = mn_buf_ref(buf);
}

uint64_t decision_write(struct decision *decision, enum decision_record what, const mn_id *id,
                        uint32_t part, struct mn_buf *record)
{
    struct decision_output *out = decision_emit(decision, DECISION_OUT_PERSIST);

    out->persist.write = ++decision->write_last;
    out->persist.what = what;
    out->persist.id = *id;
    out->persist.part = part;
    out->persist.record = record;
    return out->persist.write;
}

void decision_reply(struct decision *decision, uint64_t request, const mn_id *id, mn_status status)
{
    struct decision_output *out = decision_emit(decision, DECISION_OUT_REPLY);

    out->reply.request = request;
    if (id != NULL) out->reply.id = *id;
    out->reply.status = status;
}

void decision_step(struct decision *decision, struct mn_now now, const struct decision_input *input,
                   struct decision_outbox *outbox)
{
    MN_ASSERT(now.mono >= decision->now.mono);
    decision->now = now;
    decision->outbox = outbox;
    switch (input->type) {
    case DECISION_IN_TICK: break;
    case DECISION_IN_MEMBERS:
        decision_on_members(decision, input->members.items, input->members.count);
        decision->rtt = input->members.rtt;
        break;
    case DECISION_IN_PROPOSE: decision_on_propose(decision, input); break;
    case DECISION_IN_ANSWER: decision_on_answer(decision, input); break;
    case DECISION_IN_MESSAGE:
        decision_on_message(decision, &input->message.from, input->message.bytes);
        break;
    case DECISION_IN_DURABLE: decision_on_durable(decision, input->durable); break;
    }
    decision_tick(decision);
    decision->outbox = NULL;
}

mn_time decision_deadline(const struct decision *decision)
{
    mn_time at = MN_TIME_NEVER;

    MN_LIST_FOR_EACH (entry, &decision->items) {
        const struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        at = mn_time_min(at, item->act_at);
        at = mn_time_min(at, decision_agree_deadline(item));
    }
    return decision->evidence_count > 0 ? mn_time_min(at, decision->accuse_at) : at;
}

/* ---- life ---- */

static bool decision_config_is_valid(const struct decision_config *config)
{
    if (config->key == NULL) return false;
    if (config->decisions_max < 4 || config->decisions_max > 4096) return false;
    if (config->agreements_max < 1 || config->agreements_max > 64) return false;
    if (config->delay < MN_MS || config->delay > 30 * MN_SEC) return false;
    if (config->patience > 5 * MN_MINUTE) return false;
    return config->resend >= 10 * MN_MS && config->resend <= 10 * MN_SEC;
}

/* What this node has said of it. */
static void decision_recover_own(struct decision *decision, struct decision_item *item,
                                 const Meshnode__Decision__Record *record)
{
    struct decision_vote vote;

    for (size_t i = 0; i < record->known->n_votes; i++)
        if (decision_read_vote(&decision->config.mesh_id, record->known->votes[i], false, &vote) ==
                MN_OK &&
            memcmp(vote.pk, decision->config.key->pk, SIGN_PK_SIZE) == 0)
            item->own = vote;
}

static void decision_recover_known(struct decision *decision,
                                   const Meshnode__Decision__Record *record)
{
    struct decision_proposal proposal;
    struct decision_item *item;
    enum decision_outcome outcome;
    uint64_t yes, no, abstain;

    if (record->known->proposal == NULL || record->outcome >= DECISION_OUTCOMES ||
        decision_read_proposal(&decision->config.mesh_id, record->known->proposal, &proposal) !=
            MN_OK) {
        decision->dropped++;
        return;
    }
    if (decision_get(decision, &proposal.id) != NULL) {
        decision_proposal_done(&proposal);
        decision->dropped++;
        return;
    }
    item = decision_add(decision, &proposal);
    item->act_at = decision->now.mono;
    if (item->agreement != NULL && record->known->agreed.len > 0)
        decision_agree_read_agreed(decision, item, pb_span(record->known->agreed));
    if (!decision_is_final(item)) decision_read_votes(decision, item, record->known);
    decision_agree_read_lates(decision, item, record->known, NULL);
    decision_recover_own(decision, item, record);
    if (item->agreement != NULL && decision_is_final(item)) return;
    outcome = decision_count(&item->proposal, &yes, &no, &abstain);
    if (item->agreement != NULL) outcome = DECISION_OPEN; /* votes are not agreed on */
    if (outcome == DECISION_OPEN &&
        (record->outcome == DECISION_TIMEOUT || record->outcome == DECISION_NO_QUORUM))
        outcome = (enum decision_outcome)record->outcome;
    item->outcome = outcome; /* what the votes say, not what the record claims */
    if (decision_is_final(item)) item->act_at = MN_TIME_NEVER;
}

/* [is_first]: everything but what an agreement says, which needs its decision. */
static void decision_recover(struct decision *decision, struct mn_span bytes, bool is_first)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Record *record = NULL;
    size_t most = DECISION_MESSAGE_MAX + SIMPLEX_MESSAGE_MAX;

    if (bytes.size <= most)
        record = pb_unpack(&meshnode__decision__record__descriptor, &arena, bytes);
    if (record == NULL) {
        decision->dropped += is_first;
    } else if (record->about.len > 0) {
        if (!is_first) decision_agree_recover(decision, record);
    } else if (!is_first) {
        /* done */
    } else if (record->evidence != NULL) {
        decision_proof_recover(decision, record->evidence);
    } else if (record->known != NULL) {
        decision_recover_known(decision, record);
    } else {
        decision->dropped++;
    }
    mn_arena_done(&arena);
}

mn_status decision_new(const struct decision_config *config, const struct mn_span *records,
                       uint32_t records_count, struct mn_now now, struct decision **ret)
{
    struct decision *decision;

    if (!decision_config_is_valid(config)) return MN_CONFIG;
    decision = mn_alloc(sizeof *decision);
    decision->config = *config;
    decision->now = now;
    decision->self = digest_node_id(config->key->pk);
    rng_init(&decision->rng, config->seed);
    mn_list_init(&decision->items);
    mn_list_init(&decision->evidence);
    for (uint32_t i = 0; i < records_count; i++)
        decision_recover(decision, records[i], true);
    for (uint32_t i = 0; i < records_count; i++)
        decision_recover(decision, records[i], false);
    *ret = decision;
    return MN_OK;
}

void decision_free(struct decision *decision)
{
    if (decision == NULL) return;
    while (!mn_list_is_empty(&decision->items))
        decision_drop_item(decision,
                           MN_CONTAINER(decision->items.next, struct decision_item, list));
    decision_proof_done(decision);
    decision_members_done(decision);
    rng_done(&decision->rng);
    mn_free(decision);
}

/* ---- looking ---- */

static void decision_look(const struct decision_item *item, struct decision_view *ret)
{
    const struct decision_proposal *proposal = &item->proposal;

    *ret = (struct decision_view){.id = proposal->id,
                                  .proposer = proposal->proposer,
                                  .topic = proposal->topic,
                                  .value = proposal->value,
                                  .quorum_num = proposal->quorum_num,
                                  .quorum_den = proposal->quorum_den,
                                  .created_ms = proposal->created_ms,
                                  .deadline_ms = proposal->deadline_ms,
                                  .basis = proposal->basis,
                                  .outcome = item->outcome,
                                  .own = item->own.choice,
                                  .is_voter = item->self >= 0,
                                  .is_byzantine = proposal->is_byzantine,
                                  .is_certified = decision_is_final(item),
                                  .total = proposal->total,
                                  .ballots = proposal->voters,
                                  .ballots_count = proposal->voters_count};
    (void)decision_count(proposal, &ret->yes, &ret->no, &ret->abstain);
}

mn_status decision_find(const struct decision *decision, const mn_id *id, struct decision_view *ret)
{
    const struct decision_item *item = decision_get(decision, id);

    if (item == NULL) return MN_NOT_FOUND;
    decision_look(item, ret);
    return MN_OK;
}

bool decision_at(const struct decision *decision, uint32_t index, struct decision_view *ret)
{
    MN_LIST_FOR_EACH (entry, &decision->items) {
        if (index-- > 0) continue;
        decision_look(MN_CONTAINER(entry, struct decision_item, list), ret);
        return true;
    }
    return false;
}

uint64_t decision_dropped(const struct decision *decision)
{
    return decision->dropped;
}

uint32_t decision_members(const struct decision *decision)
{
    return decision->members_count;
}

struct mn_buf *decision_certificate(const struct decision *decision, const mn_id *id)
{
    const struct decision_item *item = decision_get(decision, id);
    struct decision_draft draft;

    if (item == NULL) return NULL;
    decision_draft_known(item, &draft);
    return decision_draft_done(&draft);
}

void decision_check(const struct decision *decision)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &decision->items) {
        const struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        uint64_t yes, no, abstain;
        enum decision_outcome outcome = decision_count(&item->proposal, &yes, &no, &abstain);
        count++;
        MN_ASSERT(yes + no + abstain <= item->proposal.total);
        decision_agree_check(item);
        if (item->outcome == DECISION_ACHIEVED) MN_ASSERT(outcome == DECISION_ACHIEVED);
        if (item->outcome == DECISION_REFUSED) MN_ASSERT(outcome == DECISION_REFUSED);
        MN_ASSERT((item->own_write != 0) == (item->own_bytes.body != NULL));
        for (uint32_t i = 0; i < item->proposal.voters_count; i++)
            MN_ASSERT((item->votes[i].body != NULL) ==
                      (item->proposal.voters[i].choice != DECISION_NONE));
    }
    MN_ASSERT(count == decision->items_count && count <= decision->config.decisions_max);
}
