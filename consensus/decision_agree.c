/* The agreement of a byzantine decision: when it begins, what may be agreed on, what it keeps on
 * disk, and how it ends. consensus/simplex.c does the agreeing.
 *
 * It begins here when this node knows an outcome: votes that decide, or the word of more than a
 * third of the weight that it was late. Who hears others agree before that asks them for what they
 * know. Until it ends a validator repeats what it has said, ever more seldom. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define PATIENCE MN_MINUTE /* after the deadline; then it is over here, unless it still ends */
#define TELL_MAX (8 * MN_SEC)

struct agree_write {
    struct mn_list list;
    uint64_t theirs, ours;
};

struct agree_stored {
    struct mn_list list;
    struct mn_buf *buf;
};

/* ---- life ---- */

void decision_agree_init(struct decision_item *item)
{
    item->agreement = mn_alloc(sizeof *item->agreement);
    mn_list_init(&item->agreement->writes);
    mn_list_init(&item->agreement->stored);
}

static void agree_stop(struct decision_agreement *agreement)
{
    struct mn_list *entry;

    simplex_free(agreement->simplex);
    agreement->simplex = NULL;
    while ((entry = mn_list_take(&agreement->writes)) != NULL)
        mn_free(MN_CONTAINER(entry, struct agree_write, list));
    while ((entry = mn_list_take(&agreement->stored)) != NULL) {
        struct agree_stored *stored = MN_CONTAINER(entry, struct agree_stored, list);
        mn_buf_unref(stored->buf);
        mn_free(stored);
    }
}

void decision_agree_done(struct decision_item *item)
{
    struct decision_agreement *agreement = item->agreement;

    if (agreement == NULL) return;
    agree_stop(agreement);
    for (uint32_t i = 0; i < DECISION_VALIDATORS_MAX; i++)
        mn_buf_unref(agreement->lates[i].body);
    mn_buf_unref(agreement->own_late.body);
    mn_buf_unref(agreement->agreed);
    mn_free(agreement);
}

void decision_agree_forget(struct decision *decision, struct decision_item *item)
{
    if (item->agreement == NULL) return;
    for (uint32_t part = 1; part <= item->agreement->parts; part++)
        (void)decision_write(decision, DECISION_RECORD_AGREEMENT, &item->proposal.id, part, NULL);
    item->agreement->parts = 0;
}

void decision_agree_recover(struct decision *decision, const Meshnode__Decision__Record *record)
{
    struct decision_item *item = NULL;
    struct agree_stored *stored;
    mn_id id;

    if (pb_id(record->about, &id) == MN_OK) item = decision_get(decision, &id);
    if (item == NULL || item->agreement == NULL) {
        decision->dropped++;
        return;
    }
    if (record->part > item->agreement->parts) item->agreement->parts = record->part;
    if (decision_is_final(item)) return; /* what came after them is durable too */
    stored = mn_alloc(sizeof *stored);
    stored->buf = mn_buf_copy(pb_span(record->agreement));
    mn_list_push_back(&item->agreement->stored, &stored->list);
}

mn_time decision_agree_deadline(const struct decision_item *item)
{
    if (item->agreement == NULL || item->agreement->simplex == NULL) return MN_TIME_NEVER;
    return simplex_deadline(item->agreement->simplex);
}

void decision_agree_check(const struct decision_item *item)
{
    const struct decision_agreement *agreement = item->agreement;
    uint64_t weight = 0;

    if (agreement == NULL) return;
    if (agreement->simplex != NULL) simplex_check(agreement->simplex);
    MN_ASSERT(agreement->agreed == NULL || agreement->simplex == NULL);
    MN_ASSERT(agreement->agreed == NULL || item->outcome != DECISION_OPEN);
    MN_ASSERT((agreement->own_late_write != 0) == (agreement->own_late.body != NULL));
    for (uint32_t i = 0; i < item->proposal.voters_count; i++)
        if (agreement->lates[i].body != NULL) weight += item->proposal.voters[i].weight;
    MN_ASSERT(weight == agreement->lates_weight);
}

/* ---- the end ---- */

/* Takes over the votes that were agreed on, but keeps what this node itself has said. */
static void agree_set_votes(struct decision_item *item, const Meshnode__Decision__Outcome *wire,
                            const struct decision_ballot *ballots)
{
    struct decision_proposal *proposal = &item->proposal;
    size_t next = 0;

    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        if (ballots[i].choice == DECISION_NONE && (int)i == item->self) continue;
        item->votes[i].body = mn_buf_unref(item->votes[i].body);
        proposal->voters[i] = ballots[i];
        if (ballots[i].choice != DECISION_NONE)
            decision_keep_signed(&item->votes[i], wire->votes[next++]);
    }
}

/* Is this an outcome, and one that was agreed on? Then it is over. */
static bool agree_end(struct decision *decision, struct decision_item *item, struct mn_span agreed)
{
    struct decision_proposal scratch = item->proposal;
    const Meshnode__Decision__Outcome *wire;
    enum decision_outcome outcome;
    struct mn_arena arena = {0};
    mn_status status;

    scratch.voters = mn_alloc(scratch.voters_count * sizeof *scratch.voters);
    memcpy(scratch.voters, item->proposal.voters, scratch.voters_count * sizeof *scratch.voters);
    status =
        decision_read_agreed(&decision->config.mesh_id, &scratch, agreed, &arena, &wire, &outcome);
    if (status == MN_OK) {
        agree_stop(item->agreement);
        item->agreement->agreed = mn_buf_copy(agreed);
        agree_set_votes(item, wire, scratch.voters);
        item->act_at = MN_TIME_NEVER;
        item->outcome = outcome;
    }
    if (status == MN_OK && decision->outbox != NULL) {
        decision_set_outcome(decision, item, outcome);
        decision_agree_forget(decision, item); /* after it, so that a crash loses nothing */
    }
    mn_arena_done(&arena);
    mn_free(scratch.voters);
    return status == MN_OK;
}

void decision_agree_read_agreed(struct decision *decision, struct decision_item *item,
                                struct mn_span agreed)
{
    if (item->agreement == NULL || decision_is_final(item)) return;
    if (!agree_end(decision, item, agreed)) decision->dropped++;
}

static void agree_tell_end(struct decision *decision, struct decision_item *item, const mn_id *to)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_known(item, &draft);
    buf = decision_draft_done(&draft);
    decision_send(decision, to, buf);
    mn_buf_unref(buf);
}

/* A voter that still says something has not heard of the end. */
static void agree_help(struct decision *decision, struct decision_item *item, const mn_id *from)
{
    int voter = decision_find_voter(&item->proposal, from);

    if (voter < 0 || decision->now.mono < item->agreement->told_at[voter]) return;
    item->agreement->told_at[voter] = mn_time_after(decision->now.mono, decision->config.resend);
    agree_tell_end(decision, item, from);
}

/* ---- stepping simplex ---- */

/* Who told somebody else another vote than us? */
static void agree_compare(struct decision *decision, const struct decision_item *item,
                          const Meshnode__Decision__Outcome *wire,
                          const struct decision_ballot *ballots)
{
    size_t next = 0;

    for (uint32_t i = 0; i < item->proposal.voters_count; i++) {
        enum decision_choice ours = item->proposal.voters[i].choice;
        if (ballots[i].choice == DECISION_NONE) continue;
        if (ours != DECISION_NONE && ours != ballots[i].choice)
            decision_accuse_pair(decision, DECISION_TWO_BALLOTS, &item->votes[i],
                                 wire->votes[next]);
        next++;
    }
}

/* May the validators agree on this? Depends on nothing but the proposal and these bytes. */
static bool agree_is_valid(struct decision *decision, const struct decision_item *item,
                           struct mn_span value)
{
    struct decision_proposal scratch = item->proposal;
    const Meshnode__Decision__Outcome *wire;
    enum decision_outcome outcome;
    struct mn_arena arena = {0};
    bool is_valid;

    scratch.voters = mn_alloc(scratch.voters_count * sizeof *scratch.voters);
    memcpy(scratch.voters, item->proposal.voters, scratch.voters_count * sizeof *scratch.voters);
    wire = pb_unpack(&meshnode__decision__outcome__descriptor, &arena, value);
    is_valid = wire != NULL &&
               decision_read_outcome(&decision->config.mesh_id, &scratch, wire, &outcome) == MN_OK;
    if (is_valid) agree_compare(decision, item, wire, scratch.voters);
    mn_arena_done(&arena);
    mn_free(scratch.voters);
    return is_valid;
}

static void agree_send(struct decision *decision, const struct decision_item *item,
                       const struct simplex_output *out)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    draft.wire.about = pb_id_bytes(&item->proposal.id);
    draft.wire.agreement = pb_bytes(mn_buf_span(out->send.buf));
    buf = decision_draft_done(&draft);
    if (out->send.to == SIMPLEX_ALL)
        decision_tell_all(decision, item, buf, false);
    else
        decision_send(decision, &item->proposal.voters[out->send.to].node_id, buf);
    mn_buf_unref(buf);
}

static void agree_persist(struct decision *decision, struct decision_item *item,
                          const struct simplex_output *out)
{
    Meshnode__Decision__Record record = MESHNODE__DECISION__RECORD__INIT;
    struct agree_write *entry = mn_alloc(sizeof *entry);
    uint32_t part = ++item->agreement->parts;

    record.about = pb_id_bytes(&item->proposal.id);
    record.part = part;
    record.agreement = pb_bytes(mn_buf_span(out->persist.record));
    entry->theirs = out->persist.write;
    entry->ours = decision_write(decision, DECISION_RECORD_AGREEMENT, &item->proposal.id, part,
                                 pb_pack(&record.base));
    mn_list_push_back(&item->agreement->writes, &entry->list);
}

/* Values that wait for a judgement within one step. */
struct agree_judging {
    uint8_t hash[SIMPLEX_HASH_SIZE];
    bool is_valid;
};

static void agree_feed(struct decision *decision, struct decision_item *item,
                       const struct simplex_input *input)
{
    struct agree_judging judged[SIMPLEX_VALUES_MAX];
    struct mn_arena arena = {0};
    struct simplex_outbox outbox = {.arena = &arena};
    uint32_t count = 0;
    struct mn_buf *agreed;

    simplex_step(item->agreement->simplex, decision->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct simplex_output *out = &outbox.items[i];
        switch (out->type) {
        case SIMPLEX_OUT_SEND: agree_send(decision, item, out); break;
        case SIMPLEX_OUT_PERSIST: agree_persist(decision, item, out); break;
        case SIMPLEX_OUT_JUDGE:
            MN_ASSERT(count < SIMPLEX_VALUES_MAX);
            memcpy(judged[count].hash, out->judge.hash, SIMPLEX_HASH_SIZE);
            judged[count++].is_valid =
                agree_is_valid(decision, item, mn_buf_span(out->judge.value));
            break;
        case SIMPLEX_OUT_DECIDED: break; /* looked at below */
        case SIMPLEX_OUT_EVIDENCE:
            decision_accuse_statements(decision, item, mn_buf_span(out->evidence.proof));
            break;
        }
    }
    simplex_outbox_reset(&outbox);
    mn_arena_done(&arena);
    for (uint32_t i = 0; i < count && item->agreement->simplex != NULL; i++) {
        struct simplex_input next = {.type = SIMPLEX_IN_JUDGED};
        memcpy(next.judged.hash, judged[i].hash, SIMPLEX_HASH_SIZE);
        next.judged.is_valid = judged[i].is_valid;
        agree_feed(decision, item, &next); /* each value is judged once, so this ends */
    }
    if (item->agreement->simplex == NULL) return;
    agreed = simplex_certificate(item->agreement->simplex);
    if (agreed == NULL) return;
    if (!agree_end(decision, item, mn_buf_span(agreed))) {
        /* Liars of a third or more decided on what may not be: as if they had said nothing. */
        agree_stop(item->agreement);
        item->agreement->is_over = true;
    }
    mn_buf_unref(agreed);
}

/* D0: the leader's block must reach the slowest member and its vote come back before anybody gives
 * the iteration up, with as much again to spare. */
static mn_time agree_delay(const struct decision *decision)
{
    mn_time delay = mn_time_max(decision->config.delay, 2 * decision->rtt);

    return mn_time_min(delay, SIMPLEX_DELAY_MAX);
}

static void agree_start(struct decision *decision, struct decision_item *item)
{
    struct decision_agreement *agreement = item->agreement;
    struct simplex_config config =
        decision_validators(&decision->config.mesh_id, &item->proposal, agreement->validators);
    struct mn_arena arena = {0};
    struct mn_span *records =
        mn_arena_alloc(&arena, (agreement->parts + 1) * sizeof(struct mn_span));
    uint32_t count = 0;
    struct mn_list *entry;

    /* Without its decision a record of the agreement is nothing; this one is durable first. */
    if (agreement->parts == 0) (void)decision_persist(decision, item);
    config.self = (uint32_t)item->self;
    config.key = decision->config.key;
    config.abstains = decision->config.abstains;
    config.delay = agree_delay(decision);
    MN_LIST_FOR_EACH (link, &agreement->stored) {
        if (count < agreement->parts)
            records[count++] = mn_buf_span(MN_CONTAINER(link, struct agree_stored, list)->buf);
    }
    if (simplex_new(&config, records, count, decision->now, &agreement->simplex) != MN_OK)
        MN_ASSERT(false && "a proposal that was read has voters who can agree");
    while ((entry = mn_list_take(&agreement->stored)) != NULL) {
        struct agree_stored *stored = MN_CONTAINER(entry, struct agree_stored, list);
        mn_buf_unref(stored->buf);
        mn_free(stored);
    }
    mn_arena_done(&arena);
}

/* ---- what to agree on ---- */

/* What this node knows that may be agreed on; NULL: nothing yet. */
static struct mn_buf *agree_value(const struct decision_item *item)
{
    const struct decision_agreement *agreement = item->agreement;
    Meshnode__Decision__Outcome outcome = MESHNODE__DECISION__OUTCOME__INIT;
    struct decision_draft draft;
    uint64_t yes, no, abstain;
    bool is_decided = decision_count(&item->proposal, &yes, &no, &abstain) != DECISION_OPEN;
    struct mn_buf *value;

    if (!is_decided && 3 * agreement->lates_weight <= item->proposal.total) return NULL;
    decision_draft_init(&draft);
    for (uint32_t i = 0; i < item->proposal.voters_count; i++) {
        if (item->votes[i].body != NULL) decision_draft_vote(&draft, &item->votes[i]);
        if (!is_decided && agreement->lates[i].body != NULL)
            decision_draft_late(&draft, &agreement->lates[i]);
    }
    outcome.votes = draft.wire.votes;
    outcome.n_votes = draft.wire.n_votes;
    outcome.lates = draft.wire.lates;
    outcome.n_lates = draft.wire.n_lates;
    value = pb_pack(&outcome.base);
    mn_arena_done(&draft.arena);
    return value;
}

void decision_agree_try(struct decision *decision, struct decision_item *item)
{
    struct decision_agreement *agreement = item->agreement;
    struct simplex_input input = {.type = SIMPLEX_IN_VALUE};
    struct mn_buf *value;

    if (agreement == NULL || decision_is_final(item) || item->self < 0 || agreement->is_over)
        return;
    if (agreement->simplex == NULL && !mn_list_is_empty(&agreement->stored))
        agree_start(decision, item); /* it had begun in an earlier process */
    if (agreement->has_value && agreement->simplex != NULL) return;
    value = agree_value(item);
    if (value == NULL) return;
    agreement->has_value = true;
    if (agreement->simplex == NULL) agree_start(decision, item);
    input.value = value;
    agree_feed(decision, item, &input);
    mn_buf_unref(value);
}

/* ---- being late ---- */

/* Signed and durable before it counts. */
static void agree_say_late(struct decision *decision, struct decision_item *item)
{
    struct decision_agreement *agreement = item->agreement;
    struct decision_vote late = {.id = item->proposal.id, .choice = DECISION_LATE};

    if (agreement->is_late || decision->config.abstains) return;
    memcpy(late.proposal, item->proposal.hash, sizeof late.proposal);
    memcpy(late.pk, decision->config.key->pk, SIGN_PK_SIZE);
    agreement->is_late = true;
    agreement->own_late = decision_sign(&decision->config, SIGN_BALLOT, decision_pack_vote(&late));
    agreement->own_late_write = decision_persist(decision, item);
}

static void agree_note_late(struct decision_item *item, int voter,
                            const struct decision_signed *late)
{
    struct decision_agreement *agreement = item->agreement;

    if (agreement->lates[voter].body != NULL) return;
    agreement->lates[voter] = *late;
    mn_buf_ref(late->body);
    agreement->lates_weight += item->proposal.voters[voter].weight;
    if (voter == item->self) agreement->is_late = true;
}

void decision_agree_read_lates(struct decision *decision, struct decision_item *only,
                               const Meshnode__Decision__Message *wire, const mn_id *from)
{
    for (size_t i = 0; i < wire->n_lates; i++) {
        struct decision_item *item;
        struct decision_signed late;
        struct decision_vote said;
        mn_id node;
        int voter = -1;
        if (decision_read_vote(&decision->config.mesh_id, wire->lates[i], true, &said) != MN_OK) {
            decision->dropped++;
            continue;
        }
        item = only != NULL ? only : decision_get(decision, &said.id);
        node = digest_node_id(said.pk);
        if (item != NULL && item->agreement != NULL)
            voter = decision_find_voter(&item->proposal, &node);
        if (voter < 0 || memcmp(said.proposal, item->proposal.hash, sizeof said.proposal) != 0) {
            decision->dropped++;
            continue;
        }
        if (decision_is_final(item)) {
            if (from != NULL) agree_help(decision, item, from);
            continue;
        }
        decision_keep_signed(&late, wire->lates[i]);
        agree_note_late(item, voter, &late);
        mn_buf_unref(late.body);
        if (decision->outbox != NULL) decision_agree_try(decision, item);
    }
}

/* ---- time ---- */

/* To those who have said nothing, all that is known; to the others, our own words. */
static void agree_tell(struct decision *decision, struct decision_item *item)
{
    const struct decision_agreement *agreement = item->agreement;
    struct decision_draft all, own;
    struct mn_buf *all_buf, *own_buf;

    decision_draft_known(item, &all);
    decision_draft_init(&own);
    if (item->votes[item->self].body != NULL) decision_draft_vote(&own, &item->votes[item->self]);
    if (agreement->lates[item->self].body != NULL)
        decision_draft_late(&own, &agreement->lates[item->self]);
    all_buf = decision_draft_done(&all);
    own_buf = decision_draft_done(&own);
    for (uint32_t i = 0; i < item->proposal.voters_count; i++) {
        bool is_silent = item->votes[i].body == NULL && agreement->lates[i].body == NULL;
        if (is_silent || own_buf->size > 0)
            decision_send(decision, &item->proposal.voters[i].node_id,
                          is_silent ? all_buf : own_buf);
    }
    mn_buf_unref(all_buf);
    mn_buf_unref(own_buf);
}

/* After the deadline. */
void decision_agree_act(struct decision *decision, struct decision_item *item)
{
    struct decision_agreement *agreement = item->agreement;
    mn_time until = mn_time_after(item->deadline, PATIENCE);
    uint64_t yes, no, abstain;

    if (item->self < 0) { /* it only wants to know */
        item->asks = 0;
        decision_inquire(decision, item);
    } else {
        if (decision_count(&item->proposal, &yes, &no, &abstain) == DECISION_OPEN)
            agree_say_late(decision, item);
        agree_tell(decision, item);
        decision_agree_try(decision, item);
        if (decision_is_final(item)) return;
        if (agreement->tell_every == 0) agreement->tell_every = decision->config.resend;
        item->act_at = mn_time_after(decision->now.mono, agreement->tell_every);
        if (decision->now.mono < until) item->act_at = mn_time_min(item->act_at, until);
        if (agreement->tell_every < TELL_MAX) agreement->tell_every += agreement->tell_every;
    }
    if (decision->now.mono < until) return;
    if (item->self < 0) item->act_at = MN_TIME_NEVER;
    if (item->outcome == DECISION_OPEN) decision_give_up(decision, item);
    if (decision->now.mono >= mn_time_after(item->deadline, DECISION_AGREE_WINDOW)) {
        agree_stop(agreement); /* nobody may join any more; the others have stopped too */
        agreement->is_over = true;
        item->act_at = MN_TIME_NEVER;
    }
}

void decision_agree_tick(struct decision *decision, struct decision_item *item)
{
    if (decision_agree_deadline(item) <= decision->now.mono)
        agree_feed(decision, item, &(struct simplex_input){.type = SIMPLEX_IN_TICK});
}

void decision_agree_on_durable(struct decision *decision, struct decision_item *item, uint64_t upto)
{
    struct decision_agreement *agreement = item->agreement;
    struct simplex_input input = {.type = SIMPLEX_IN_DURABLE};

    if (agreement == NULL) return;
    if (agreement->own_late_write != 0 && agreement->own_late_write <= upto) {
        agreement->own_late_write = 0;
        if (!decision_is_final(item)) agree_note_late(item, item->self, &agreement->own_late);
        agreement->own_late.body = mn_buf_unref(agreement->own_late.body);
        if (!decision_is_final(item)) agree_tell(decision, item);
        decision_agree_try(decision, item);
    }
    while (!mn_list_is_empty(&agreement->writes)) {
        struct agree_write *entry = MN_CONTAINER(agreement->writes.next, struct agree_write, list);
        if (entry->ours > upto) break;
        input.durable = entry->theirs;
        mn_list_remove(&entry->list);
        mn_free(entry);
    }
    if (input.durable > 0 && agreement->simplex != NULL) agree_feed(decision, item, &input);
}

/* ---- what other validators say ---- */

static void agree_ask(struct decision *decision, const mn_id *to, const mn_id *about)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    draft.wire.ask = pb_id_bytes(about);
    buf = decision_draft_done(&draft);
    decision_send(decision, to, buf);
    mn_buf_unref(buf);
}

void decision_agree_on_message(struct decision *decision, const mn_id *from, const mn_id *about,
                               struct mn_span bytes)
{
    struct decision_item *item = decision_get(decision, about);
    struct simplex_input input = {.type = SIMPLEX_IN_MESSAGE};
    struct decision_agreement *agreement;
    int voter;

    if (item == NULL) { /* we missed the proposal */
        if (decision_member_of(decision, from) != NULL) agree_ask(decision, from, about);
        return;
    }
    agreement = item->agreement;
    voter = decision_find_voter(&item->proposal, from);
    if (agreement == NULL || voter < 0 || item->self < 0) {
        decision->dropped++;
        return;
    }
    if (decision_is_final(item)) {
        agree_help(decision, item, from);
        return;
    }
    if (agreement->simplex == NULL) decision_agree_try(decision, item);
    if (decision_is_final(item)) return;
    if (agreement->simplex == NULL) {
        if (decision->now.mono < agreement->asked_at) return;
        agreement->asked_at = mn_time_after(decision->now.mono, decision->config.resend / 4);
        agree_ask(decision, from, about);
        return;
    }
    input.message.from = (uint32_t)voter;
    input.message.bytes = bytes;
    agree_feed(decision, item, &input);
}
