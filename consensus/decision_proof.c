/* Evidence against liars: made, kept, told. Members tell each other whom they hold evidence against
 * (16 bytes each) and fetch what they lack, because a proof may have two proposals in it. */
#include <string.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define ACCUSE_EVERY (30 * MN_SEC) /* one member, drawn at random, is told again */

static struct decision_evidence *proof_find(const struct decision *decision, const mn_id *node)
{
    MN_LIST_FOR_EACH (entry, &decision->evidence) {
        struct decision_evidence *evidence = MN_CONTAINER(entry, struct decision_evidence, list);
        if (mn_id_equal(&evidence->what.node, node)) return evidence;
    }
    return NULL;
}

bool decision_is_accused(const struct decision *decision, const mn_id *node)
{
    return proof_find(decision, node) != NULL;
}

static struct decision_evidence *proof_keep(struct decision *decision,
                                            const struct decision_conviction *what,
                                            const Meshnode__Decision__Evidence *from)
{
    struct decision_evidence *evidence = mn_alloc(sizeof *evidence);

    evidence->what = *what;
    evidence->proof = pb_pack(&from->base);
    evidence->what.proof = mn_buf_span(evidence->proof);
    mn_list_push_back(&decision->evidence, &evidence->list);
    decision->evidence_count++;
    return evidence;
}

/* Whom we hold evidence against; NULL [to]: all members. */
static void proof_tell(struct decision *decision, const mn_id *to)
{
    struct decision_draft draft;
    ProtobufCBinaryData accused[DECISION_EVIDENCE_MAX];
    struct mn_buf *buf;

    decision_draft_init(&draft);
    MN_LIST_FOR_EACH (entry, &decision->evidence) {
        struct decision_evidence *evidence = MN_CONTAINER(entry, struct decision_evidence, list);
        accused[draft.wire.n_accused++] = pb_id_bytes(&evidence->what.node);
    }
    draft.wire.accused = accused;
    buf = decision_draft_done(&draft);
    for (uint32_t i = 0; to == NULL && i < decision->members_count; i++)
        decision_send(decision, &decision->members_ids[i], buf);
    if (to != NULL) decision_send(decision, to, buf);
    mn_buf_unref(buf);
}

void decision_accuse(struct decision *decision, const Meshnode__Decision__Evidence *from)
{
    Meshnode__Decision__Record record = MESHNODE__DECISION__RECORD__INIT;
    Meshnode__Decision__Evidence kept = *from; /* its parts are borrowed until it is packed */
    struct decision_conviction what;
    struct decision_output *out;

    if (decision->evidence_count >= DECISION_EVIDENCE_MAX) return;
    kept.seen_ms = mn_wall_ms(decision->now);
    if (decision_read_evidence(&decision->config.mesh_id, &kept, &what) != MN_OK) {
        decision->dropped++;
        return;
    }
    if (decision_is_accused(decision, &what.node)) return;
    if (decision_member_of(decision, &what.node) == NULL) return; /* keys are free; members not */
    MN_PROBE("decision: somebody is convicted");
    (void)proof_keep(decision, &what, &kept);
    record.evidence = &kept;
    (void)decision_write(decision, DECISION_RECORD_EVIDENCE, &what.node, 0, pb_pack(&record.base));
    out = decision_emit(decision, DECISION_OUT_EVIDENCE);
    out->evidence.node = what.node;
    out->evidence.lie = what.lie;
    proof_tell(decision, NULL);
    decision->accuse_at = mn_time_after(decision->now.mono, ACCUSE_EVERY);
}

void decision_accuse_pair(struct decision *decision, enum decision_lie lie,
                          const struct decision_signed *a, const Meshnode__Decision__Signed *b)
{
    Meshnode__Decision__Evidence evidence = MESHNODE__DECISION__EVIDENCE__INIT;
    Meshnode__Decision__Signed first = MESHNODE__DECISION__SIGNED__INIT, second = *b;

    if (decision->outbox == NULL) return; /* records of our own */
    first.body = pb_bytes(mn_buf_span(a->body));
    first.signature = pb_bytes(mn_span(a->signature, sizeof a->signature));
    evidence.kind = (uint32_t)lie;
    evidence.a = &first;
    evidence.b = &second;
    decision_accuse(decision, &evidence);
}

void decision_accuse_statements(struct decision *decision, const struct decision_item *item,
                                struct mn_span statements)
{
    Meshnode__Decision__Evidence evidence = MESHNODE__DECISION__EVIDENCE__INIT;
    Meshnode__Decision__Signed proposal = MESHNODE__DECISION__SIGNED__INIT;
    const struct decision_signed *bytes = &item->proposal.bytes;

    proposal.body = pb_bytes(mn_buf_span(bytes->body));
    proposal.signature = pb_bytes(mn_span(bytes->signature, sizeof bytes->signature));
    evidence.kind = DECISION_TWO_STATEMENTS;
    evidence.proposal = &proposal;
    evidence.statements = pb_bytes(statements);
    decision_accuse(decision, &evidence);
}

/* ---- what others say ---- */

static void proof_want(struct decision *decision, const mn_id *from, const mn_id *node)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    if (decision->evidence_count >= DECISION_EVIDENCE_MAX || decision_is_accused(decision, node) ||
        decision_member_of(decision, node) == NULL || decision_member_of(decision, from) == NULL)
        return;
    decision_draft_init(&draft);
    draft.wire.ask_evidence = pb_id_bytes(node);
    buf = decision_draft_done(&draft);
    decision_send(decision, from, buf);
    mn_buf_unref(buf);
}

static void proof_give(struct decision *decision, const mn_id *to, const mn_id *node)
{
    const struct decision_evidence *evidence = proof_find(decision, node);
    struct decision_draft draft;
    struct mn_buf *buf;

    if (evidence == NULL) return;
    decision_draft_init(&draft);
    draft.wire.evidence = pb_unpack(&meshnode__decision__evidence__descriptor, &draft.arena,
                                    mn_buf_span(evidence->proof));
    MN_ASSERT(draft.wire.evidence != NULL); /* our own bytes */
    buf = decision_draft_done(&draft);
    decision_send(decision, to, buf);
    mn_buf_unref(buf);
}

void decision_on_accused(struct decision *decision, const mn_id *from,
                         const Meshnode__Decision__Message *wire)
{
    mn_id node;

    if (wire->evidence != NULL) decision_accuse(decision, wire->evidence);
    for (size_t i = 0; i < wire->n_accused && i < DECISION_EVIDENCE_MAX; i++)
        if (pb_id(wire->accused[i], &node) == MN_OK) proof_want(decision, from, &node);
    if (wire->ask_evidence.len > 0 && pb_id(wire->ask_evidence, &node) == MN_OK)
        proof_give(decision, from, &node);
}

/* Those who came later, or were cut off, hear of it too. */
void decision_tell_accused(struct decision *decision)
{
    decision->accuse_at = mn_time_after(decision->now.mono, ACCUSE_EVERY);
    if (decision->members_count == 0) return;
    proof_tell(decision, &decision->members_ids[rng_u64(&decision->rng) % decision->members_count]);
}

/* ---- life ---- */

void decision_proof_recover(struct decision *decision, const Meshnode__Decision__Evidence *from)
{
    struct decision_conviction what;

    if (decision->evidence_count >= DECISION_EVIDENCE_MAX ||
        decision_read_evidence(&decision->config.mesh_id, from, &what) != MN_OK ||
        decision_is_accused(decision, &what.node))
        decision->dropped++;
    else
        (void)proof_keep(decision, &what, from);
}

void decision_proof_done(struct decision *decision)
{
    struct mn_list *entry;

    while ((entry = mn_list_take(&decision->evidence)) != NULL) {
        struct decision_evidence *evidence = MN_CONTAINER(entry, struct decision_evidence, list);
        mn_buf_unref(evidence->proof);
        mn_free(evidence);
    }
}

bool decision_conviction_at(const struct decision *decision, uint32_t index,
                            struct decision_conviction *ret)
{
    MN_LIST_FOR_EACH (entry, &decision->evidence) {
        if (index-- > 0) continue;
        *ret = MN_CONTAINER(entry, struct decision_evidence, list)->what;
        return true;
    }
    return false;
}
