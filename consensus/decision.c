#include "consensus/decision.h"

#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define ASKS_MAX 8u            /* times a voter asks for an outcome that nobody brings */
#define SKEW_MAX (500 * MN_MS) /* wall clocks of members differ by no more, or we refuse */

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

void decision_reply(struct decision *decision, uint64_t request, const mn_id *id, mn_status status)
{
    struct decision_output *out = decision_emit(decision, DECISION_OUT_REPLY);

    out->reply.request = request;
    if (id != NULL) out->reply.id = *id;
    out->reply.status = status;
}

static void decision_draft_known(const struct decision_item *item, struct decision_draft *draft)
{
    decision_draft_init(draft);
    decision_draft_proposal(draft, &item->proposal.bytes);
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        if (item->votes[i].body != NULL) decision_draft_vote(draft, &item->votes[i]);
}

uint64_t decision_persist(struct decision *decision, const struct decision_item *item)
{
    Meshnode__Decision__Record record = MESHNODE__DECISION__RECORD__INIT;
    struct decision_output *out = decision_emit(decision, DECISION_OUT_PERSIST);
    struct decision_draft draft;

    decision_draft_known(item, &draft);
    if (item->own_bytes.body != NULL) decision_draft_vote(&draft, &item->own_bytes);
    record.known = &draft.wire;
    record.outcome = (uint32_t)item->outcome;
    out->persist.write = ++decision->write_last;
    out->persist.id = item->proposal.id;
    out->persist.record = pb_pack(&record.base);
    mn_arena_done(&draft.arena);
    return decision->write_last;
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

static void decision_drop_item(struct decision *decision, struct decision_item *item)
{
    mn_list_remove(&item->list);
    decision->items_count--;
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        mn_buf_unref(item->votes[i].body);
    mn_buf_unref(item->own_bytes.body);
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

/* Makes room: the oldest one that is over and binds nobody. */
static bool decision_has_room(struct decision *decision)
{
    struct decision_item *victim = NULL;
    struct decision_output *out;

    if (decision->items_count < decision->config.decisions_max) return true;
    MN_LIST_FOR_EACH (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (item->outcome != DECISION_OPEN && !decision_is_binding(decision, item) &&
            item->own_write == 0)
            victim = item;
    }
    if (victim == NULL) return false;
    MN_PROBE("decision: an old one made room");
    out = decision_emit(decision, DECISION_OUT_PERSIST);
    out->persist.write = ++decision->write_last;
    out->persist.id = victim->proposal.id;
    decision_drop_item(decision, victim);
    return true;
}

static struct decision_item *decision_add(struct decision *decision,
                                          struct decision_proposal *proposal)
{
    struct decision_item *item = mn_alloc(sizeof *item);
    uint64_t now_ms = mn_wall_ms(decision->now);
    mn_time left = 0;

    item->proposal = *proposal; /* with its buffers */
    item->self = decision_find_voter(proposal, &decision->self);
    item->is_ours = mn_id_equal(&proposal->proposer, &decision->self);
    if (proposal->deadline_ms > now_ms) left = (proposal->deadline_ms - now_ms) * MN_MS;
    if (left > DECISION_TIMEOUT_MAX + SKEW_MAX) left = DECISION_TIMEOUT_MAX + SKEW_MAX;
    item->deadline = mn_time_after(decision->now.mono, left);
    item->act_at = item->deadline;
    mn_list_push_front(&decision->items, &item->list);
    decision->items_count++;
    return item;
}

/* ---- outcomes ---- */

static void decision_tell_all(struct decision *decision, const struct decision_item *item,
                              struct mn_buf *buf, bool is_missing_only)
{
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        if (!is_missing_only || item->votes[i].body == NULL)
            decision_send(decision, &item->proposal.voters[i].node_id, buf);
}

static void decision_conclude(struct decision *decision, struct decision_item *item,
                              enum decision_outcome outcome)
{
    struct decision_output *out;
    struct decision_draft draft;
    struct mn_buf *buf;

    if (item->outcome == outcome) return;
    item->outcome = outcome;
    decision_persist(decision, item);
    out = decision_emit(decision, DECISION_OUT_OUTCOME);
    out->outcome.id = item->proposal.id;
    out->outcome.outcome = outcome;
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

    if (item->outcome == DECISION_ACHIEVED || item->outcome == DECISION_REFUSED) return;
    if (outcome != DECISION_OPEN) {
        if (item->outcome != DECISION_OPEN)
            MN_PROBE("decision: a certificate after a local timeout");
        decision_conclude(decision, item, outcome);
    }
}

static void decision_give_up(struct decision *decision, struct decision_item *item)
{
    uint64_t yes, no, abstain, answered;

    (void)decision_count(&item->proposal, &yes, &no, &abstain);
    answered = yes + no + abstain;
    decision_conclude(decision, item,
                      answered * item->proposal.quorum_den <
                              item->proposal.quorum_num * item->proposal.total
                          ? DECISION_NO_QUORUM
                          : DECISION_TIMEOUT);
}

/* A vote that verifies and is for this very proposal. */
void decision_note_vote(struct decision *decision, struct decision_item *item, int voter,
                        const struct decision_vote *vote, struct mn_span body,
                        const uint8_t *signature)
{
    struct decision_ballot *ballot = &item->proposal.voters[voter];

    if (ballot->choice != DECISION_NONE) {
        if (ballot->choice != vote->choice) {
            MN_PROBE("decision: a voter votes twice");
            decision->dropped++;
        }
        return; /* the first one counts */
    }
    if (voter == item->self && item->own.choice == DECISION_NONE) {
        MN_PROBE("decision: our own vote, which we had forgotten");
        item->own = *vote;
    }
    ballot->choice = vote->choice;
    ballot->cause = vote->cause;
    item->votes[voter].body = mn_buf_copy(body);
    memcpy(item->votes[voter].signature, signature, SIGN_SIZE);
}

static void decision_read_votes(struct decision *decision, struct decision_item *only,
                                const Meshnode__Decision__Message *wire)
{
    for (size_t i = 0; i < wire->n_votes; i++) {
        struct decision_vote vote;
        struct decision_item *item;
        mn_id node;
        int voter;
        if (decision_read_vote(&decision->config.mesh_id, wire->votes[i], &vote) != MN_OK) {
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
        if (voter < 0 || !mn_id_equal(&vote.id, &item->proposal.id) ||
            memcmp(vote.proposal, item->proposal.hash, sizeof vote.proposal) != 0) {
            decision->dropped++; /* a stranger's, or of another proposal under this id */
            continue;
        }
        decision_note_vote(decision, item, voter, &vote, pb_span(wire->votes[i]->body),
                           wire->votes[i]->signature.data);
        if (decision->outbox != NULL) decision_judge(decision, item);
    }
}

/* ---- proposing ---- */

static mn_status decision_make(struct decision *decision, const struct decision_input *input,
                               struct decision_proposal *ret)
{
    struct decision_proposal draft = {.id = rng_id(&decision->rng),
                                      .topic = input->propose.topic,
                                      .value = input->propose.value,
                                      .quorum_num = input->propose.quorum_num,
                                      .quorum_den = input->propose.quorum_den,
                                      .created_ms = mn_wall_ms(decision->now),
                                      .basis = input->propose.basis};
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

static void decision_solicit(struct decision *decision, struct decision_item *item)
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

static void decision_on_propose(struct decision *decision, const struct decision_input *input)
{
    struct decision_proposal proposal;
    struct decision_item *item;
    mn_status status = decision_has_room(decision) ? MN_OK : MN_BUSY;

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
    uint32_t open = 0;

    if (decision_member_of(decision, &proposal->proposer) == NULL) return false;
    if (proposal->created_ms > now_ms + SKEW_MAX / MN_MS) return false;
    if (proposal->deadline_ms + DECISION_WINDOW / MN_MS <= now_ms) return false; /* long over */
    MN_LIST_FOR_EACH (entry, &decision->items) {
        const struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        open += item->outcome == DECISION_OPEN &&
                mn_id_equal(&item->proposal.proposer, &proposal->proposer);
    }
    if (open >= decision->config.decisions_max / 4) return false; /* leave room for others */
    return decision_has_room(decision);
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
        if (item != NULL) MN_PROBE("decision: two proposals under one id");
        decision->dropped++;
        item = NULL;
    }
    decision_proposal_done(&proposal);
    return item;
}

/* What we may say of it: the certificate, or else our own vote. */
static void decision_answer(struct decision *decision, const struct decision_item *item,
                            const mn_id *to)
{
    bool is_certified = item->outcome == DECISION_ACHIEVED || item->outcome == DECISION_REFUSED;
    struct decision_draft draft;
    struct mn_buf *buf;

    if (is_certified) {
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

static void decision_on_message(struct decision *decision, const mn_id *from, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire = NULL;
    struct decision_item *item = NULL;
    mn_id asked;

    if (bytes.size <= DECISION_MESSAGE_MAX)
        wire = pb_unpack(&meshnode__decision__message__descriptor, &arena, bytes);
    if (wire == NULL || wire->n_votes > DECISION_VOTERS_MAX) {
        decision->dropped++;
        goto done;
    }
    if (wire->proposal != NULL) item = decision_take_proposal(decision, wire->proposal);
    if (wire->proposal != NULL && item == NULL) goto done;
    if (wire->n_votes > 0) {
        decision_read_votes(decision, item, wire);
    } else if (item != NULL) {
        decision_answer(decision, item, from);
    }
    if (item != NULL) decision_ask(decision, item);
    if (wire->ask.len > 0 && pb_id(wire->ask, &asked) == MN_OK) {
        item = decision_get(decision, &asked);
        if (item != NULL) decision_answer(decision, item, from);
    }
done:
    mn_arena_done(&arena);
}

/* ---- time ---- */

static void decision_inquire(struct decision *decision, struct decision_item *item)
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
    bool is_certified = item->outcome == DECISION_ACHIEVED || item->outcome == DECISION_REFUSED;

    if (is_certified) {
        item->act_at = MN_TIME_NEVER;
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

static void decision_tick(struct decision *decision)
{
    MN_LIST_FOR_EACH_SAFE (entry, &decision->items) {
        struct decision_item *item = MN_CONTAINER(entry, struct decision_item, list);
        if (decision->now.mono >= item->act_at) decision_act(decision, item);
    }
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
        at = mn_time_min(at, MN_CONTAINER(entry, struct decision_item, list)->act_at);
    }
    return at;
}

/* ---- life ---- */

static bool decision_config_is_valid(const struct decision_config *config)
{
    if (config->key == NULL) return false;
    if (config->decisions_max < 4 || config->decisions_max > 4096) return false;
    return config->resend >= 10 * MN_MS && config->resend <= 10 * MN_SEC;
}

static void decision_recover(struct decision *decision, struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Record *record = NULL;
    struct decision_proposal proposal;
    struct decision_item *item;
    struct decision_vote vote;
    enum decision_outcome outcome;
    uint64_t yes, no, abstain;

    if (bytes.size <= DECISION_MESSAGE_MAX)
        record = pb_unpack(&meshnode__decision__record__descriptor, &arena, bytes);
    if (record == NULL || record->known == NULL || record->known->proposal == NULL ||
        record->outcome >= DECISION_OUTCOMES ||
        decision_read_proposal(&decision->config.mesh_id, record->known->proposal, &proposal) !=
            MN_OK) {
        decision->dropped++;
        goto done;
    }
    if (decision_get(decision, &proposal.id) != NULL) {
        decision_proposal_done(&proposal);
        decision->dropped++;
        goto done;
    }
    item = decision_add(decision, &proposal);
    decision_read_votes(decision, item, record->known);
    for (size_t i = 0; i < record->known->n_votes; i++)
        if (decision_read_vote(&decision->config.mesh_id, record->known->votes[i], &vote) ==
                MN_OK &&
            memcmp(vote.pk, decision->config.key->pk, SIGN_PK_SIZE) == 0)
            item->own = vote;
    outcome = decision_count(&item->proposal, &yes, &no, &abstain);
    if (outcome == DECISION_OPEN &&
        (record->outcome == DECISION_TIMEOUT || record->outcome == DECISION_NO_QUORUM))
        outcome = (enum decision_outcome)record->outcome;
    item->outcome = outcome; /* what the votes say, not what the record claims */
    item->act_at = outcome == DECISION_ACHIEVED || outcome == DECISION_REFUSED ? MN_TIME_NEVER
                                                                               : decision->now.mono;
done:
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
    for (uint32_t i = 0; i < records_count; i++)
        decision_recover(decision, records[i]);
    *ret = decision;
    return MN_OK;
}

void decision_free(struct decision *decision)
{
    if (decision == NULL) return;
    while (!mn_list_is_empty(&decision->items))
        decision_drop_item(decision,
                           MN_CONTAINER(decision->items.next, struct decision_item, list));
    mn_free(decision->members);
    mn_free(decision->members_ids);
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
        if (item->outcome == DECISION_ACHIEVED) MN_ASSERT(outcome == DECISION_ACHIEVED);
        if (item->outcome == DECISION_REFUSED) MN_ASSERT(outcome == DECISION_REFUSED);
        MN_ASSERT((item->own_write != 0) == (item->own_bytes.body != NULL));
        for (uint32_t i = 0; i < item->proposal.voters_count; i++)
            MN_ASSERT((item->votes[i].body != NULL) ==
                      (item->proposal.voters[i].choice != DECISION_NONE));
    }
    MN_ASSERT(count == decision->items_count && count <= decision->config.decisions_max);
}
