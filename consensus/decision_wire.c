#include <string.h>

#include "consensus/decision_internal.h"
#include "consensus/metrics.h"
#include "crypto/digest.h"
#include "proto/base/check.h"

#define BODY_MAX ((size_t)98304) /* of a proposal */
#define VOTER_MAX (DECISION_METRICS_MAX + SIGN_PK_SIZE + 16)
#define VOTE_MAX ((size_t)256)

_Static_assert(DECISION_VALUE_MAX + DECISION_VOTERS_MAX * VOTER_MAX + 512 <= BODY_MAX,
               "value, voters and terms have their place");
_Static_assert(2 * BODY_MAX + 4096 <= DECISION_MESSAGE_MAX, "two of them are evidence");
_Static_assert(DECISION_VALIDATORS_MAX == SIMPLEX_VALIDATORS_MAX, "they are the same");

const char *decision_outcome_name(enum decision_outcome outcome)
{
    static const char *const names[DECISION_OUTCOMES] = {"open", "achieved", "refused", "timeout",
                                                         "no-quorum"};

    return outcome < DECISION_OUTCOMES ? names[outcome] : "unknown";
}

const char *decision_choice_name(enum decision_choice choice)
{
    static const char *const names[] = {"none", "yes", "no", "abstain", "late"};

    return choice <= DECISION_LATE ? names[choice] : "unknown";
}

const char *decision_cause_name(enum decision_cause cause)
{
    switch (cause) {
    case DECISION_BY_POLICY: return "policy";
    case DECISION_BY_HAND: return "by-hand";
    case DECISION_BAD_WEIGHTS: return "bad-weights";
    case DECISION_BAD_VOTERS: return "bad-voters";
    case DECISION_TOPIC_TAKEN: return "topic-taken";
    }
    return "unknown";
}

const char *decision_lie_name(enum decision_lie lie)
{
    switch (lie) {
    case DECISION_TWO_BALLOTS: return "two-ballots";
    case DECISION_TWO_PROPOSALS: return "two-proposals";
    case DECISION_TWO_STATEMENTS: return "two-statements";
    case DECISION_LIES: break;
    }
    return "unknown";
}

/* ---- weights ---- */

bool decision_cap(uint32_t *weights, uint32_t count)
{
    bool is_changed = true;
    uint32_t above = 0;

    while (is_changed) {
        uint64_t total = 0;
        is_changed = false;
        for (uint32_t i = 0; i < count; i++)
            total += weights[i];
        for (uint32_t i = 0; i < count; i++) {
            if (4 * (uint64_t)weights[i] <= total) continue;
            weights[i] = (uint32_t)(total / 4);
            is_changed = true;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        above += weights[i] > 0;
    return above >= DECISION_VOTERS_MIN;
}

enum decision_outcome decision_count(const struct decision_proposal *proposal, uint64_t *ret_yes,
                                     uint64_t *ret_no, uint64_t *ret_abstain)
{
    uint64_t sums[DECISION_ABSTAIN + 1] = {0};

    for (uint32_t i = 0; i < proposal->voters_count; i++)
        sums[proposal->voters[i].choice] += proposal->voters[i].weight;
    *ret_yes = sums[DECISION_YES];
    *ret_no = sums[DECISION_NO];
    *ret_abstain = sums[DECISION_ABSTAIN];
    if (sums[DECISION_YES] * proposal->quorum_den >= proposal->quorum_num * proposal->total)
        return DECISION_ACHIEVED;
    if ((proposal->total - sums[DECISION_NO]) * proposal->quorum_den <
        proposal->quorum_num * proposal->total)
        return DECISION_REFUSED;
    return DECISION_OPEN;
}

enum decision_outcome decision_local(const struct decision_proposal *proposal)
{
    uint64_t yes, no, abstain, answered;

    (void)decision_count(proposal, &yes, &no, &abstain);
    answered = yes + no + abstain;
    return answered * proposal->quorum_den < proposal->quorum_num * proposal->total
               ? DECISION_NO_QUORUM
               : DECISION_TIMEOUT;
}

/* ---- signed bytes ---- */

struct decision_signed decision_sign(const struct decision_config *config, enum sign_tag tag,
                                     struct mn_buf *body)
{
    struct decision_signed ret = {.body = body};

    sign_make(config->key, tag, &config->mesh_id, mn_buf_span(body), ret.signature);
    return ret;
}

static mn_status decision_open(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                               enum sign_tag tag, const uint8_t pk[SIGN_PK_SIZE],
                               uint8_t signature[SIGN_SIZE])
{
    if (pb_fixed(from->signature, signature, SIGN_SIZE) != MN_OK) return MN_MALFORMED;
    return sign_check(pk, tag, mesh_id, pb_span(from->body), signature);
}

static void decision_hash(struct mn_span body, const uint8_t signature[SIGN_SIZE],
                          uint8_t ret[DECISION_HASH_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_DECISION, DECISION_HASH_SIZE);
    digest_variable(&digest, body);
    digest_fixed(&digest, mn_span(signature, SIGN_SIZE));
    digest_end(&digest, ret);
}

static bool decision_topic_is_valid(struct mn_span topic)
{
    if (topic.size == 0 || topic.size > DECISION_TOPIC_MAX) return false;
    for (size_t i = 0; i < topic.size; i++)
        if (topic.data[i] <= 0x20 || topic.data[i] >= 0x7f) return false;
    return true;
}

static bool decision_terms_are_valid(const struct decision_proposal *proposal)
{
    if (!decision_topic_is_valid(proposal->topic)) return false;
    if (proposal->value.size == 0 || proposal->value.size > DECISION_VALUE_MAX) return false;
    if (proposal->quorum_den == 0 || proposal->quorum_den > 1000000) return false;
    if (proposal->quorum_num > proposal->quorum_den) return false;
    if (2 * (uint64_t)proposal->quorum_num <= proposal->quorum_den) return false;
    if (proposal->basis != DECISION_EQUAL && proposal->basis != DECISION_METRIC) return false;
    if (proposal->deadline_ms <= proposal->created_ms) return false;
    return proposal->deadline_ms - proposal->created_ms <= DECISION_TIMEOUT_MAX / MN_MS;
}

static mn_status decision_read_voters(const Meshnode__Decision__Proposal *from,
                                      struct decision_proposal *ret)
{
    uint32_t most = ret->is_byzantine ? DECISION_VALIDATORS_MAX : DECISION_VOTERS_MAX;

    if (from->n_voters < DECISION_VOTERS_MIN || from->n_voters > most) return MN_MALFORMED;
    ret->voters_count = (uint32_t)from->n_voters;
    ret->voters = mn_alloc(ret->voters_count * sizeof *ret->voters);
    for (uint32_t i = 0; i < ret->voters_count; i++) {
        struct decision_ballot *voter = &ret->voters[i];
        if (pb_fixed(from->voters[i]->pk, voter->pk, SIGN_PK_SIZE) != MN_OK) return MN_MALFORMED;
        voter->node_id = digest_node_id(voter->pk);
        voter->weight = from->voters[i]->weight;
        ret->total += voter->weight;
        if (voter->weight == 0 || ret->total > DECISION_TOTAL_MAX) return MN_MALFORMED;
        if (i > 0 && mn_id_compare(&ret->voters[i - 1].node_id, &voter->node_id) >= 0)
            return MN_MALFORMED;
    }
    for (uint32_t i = 0; i < ret->voters_count; i++) {
        if (4 * (uint64_t)ret->voters[i].weight > ret->total) return MN_MALFORMED;
        if (ret->basis == DECISION_EQUAL && ret->voters[i].weight != ret->voters[0].weight)
            return MN_MALFORMED;
    }
    return MN_OK;
}

/* Weights by metrics are made from what each voter said of itself, not long before or after, and
 * nothing else. */
static mn_status decision_read_metrics(const mn_id *mesh_id,
                                       const Meshnode__Decision__Proposal *from,
                                       const struct decision_proposal *proposal)
{
    uint32_t weights[DECISION_VOTERS_MAX];

    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        struct mn_span record = pb_span(from->voters[i]->record);
        uint64_t skew = METRICS_SKEW / MN_MS, said_ms;
        uint8_t pk[SIGN_PK_SIZE];
        struct metrics metrics;
        mn_status status;
        if (proposal->basis == DECISION_EQUAL && record.size > 0) return MN_MALFORMED;
        if (proposal->basis == DECISION_EQUAL) continue;
        if (record.size > DECISION_METRICS_MAX) return MN_MALFORMED;
        status = metrics_decode(record, mesh_id, pk, &said_ms, &metrics);
        if (status != MN_OK) return status;
        if (memcmp(pk, proposal->voters[i].pk, sizeof pk) != 0) return MN_MALFORMED;
        if (said_ms > UINT64_MAX - skew || said_ms + skew < proposal->created_ms)
            return MN_MALFORMED;
        if (said_ms > skew && said_ms - skew > proposal->created_ms) return MN_MALFORMED;
        weights[i] = metrics_weight(&metrics);
    }
    if (proposal->basis == DECISION_EQUAL) return MN_OK;
    if (!decision_cap(weights, proposal->voters_count)) return MN_MALFORMED;
    for (uint32_t i = 0; i < proposal->voters_count; i++)
        if (weights[i] != proposal->voters[i].weight) return MN_MALFORMED;
    return MN_OK;
}

/* Text and value of our own: protobuf-c's copies die with the arena. */
static void decision_keep(struct decision_proposal *proposal)
{
    proposal->topic_buf = mn_buf_copy(proposal->topic);
    proposal->value_buf = mn_buf_copy(proposal->value);
    proposal->topic = mn_buf_span(proposal->topic_buf);
    proposal->value = mn_buf_span(proposal->value_buf);
}

static mn_status decision_fill_proposal(const Meshnode__Decision__Proposal *from,
                                        struct decision_proposal *ret)
{
    ret->topic = pb_text(from->topic);
    ret->value = pb_span(from->value);
    ret->quorum_num = from->quorum_num;
    ret->quorum_den = from->quorum_den;
    ret->created_ms = from->created_ms;
    ret->deadline_ms = from->deadline_ms;
    ret->basis = (enum decision_basis)from->basis;
    ret->is_byzantine = from->byzantine;
    if (pb_id(from->id, &ret->id) != MN_OK || mn_id_is_zero(&ret->id)) return MN_MALFORMED;
    if (pb_fixed(from->proposer, ret->proposer_pk, SIGN_PK_SIZE) != MN_OK) return MN_MALFORMED;
    if (pb_fixed(from->members, ret->members_hash, sizeof ret->members_hash) != MN_OK)
        return MN_MALFORMED;
    ret->proposer = digest_node_id(ret->proposer_pk);
    return decision_terms_are_valid(ret) ? decision_read_voters(from, ret) : MN_MALFORMED;
}

mn_status decision_read_proposal(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                                 struct decision_proposal *ret)
{
    struct decision_proposal proposal = {0};
    struct mn_arena arena = {0};
    const Meshnode__Decision__Proposal *wire;
    mn_status status = MN_MALFORMED;

    if (from->body.len > BODY_MAX) return MN_TOO_BIG;
    wire = pb_unpack(&meshnode__decision__proposal__descriptor, &arena, pb_span(from->body));
    if (wire != NULL) status = decision_fill_proposal(wire, &proposal);
    if (status == MN_OK)
        status = decision_open(mesh_id, from, SIGN_DECISION, proposal.proposer_pk,
                               proposal.bytes.signature);
    if (status == MN_OK) status = decision_read_metrics(mesh_id, wire, &proposal);
    if (status == MN_OK) {
        proposal.bytes.body = mn_buf_copy(pb_span(from->body));
        decision_hash(pb_span(from->body), proposal.bytes.signature, proposal.hash);
        decision_keep(&proposal);
    }
    mn_arena_done(&arena);
    if (status == MN_OK)
        *ret = proposal;
    else
        decision_proposal_done(&proposal);
    return status;
}

void decision_proposal_done(struct decision_proposal *proposal)
{
    mn_buf_unref(proposal->bytes.body);
    mn_buf_unref(proposal->topic_buf);
    mn_buf_unref(proposal->value_buf);
    mn_free(proposal->voters);
    *proposal = (struct decision_proposal){0};
}

int decision_find_voter(const struct decision_proposal *proposal, const mn_id *node)
{
    uint32_t low = 0, high = proposal->voters_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = mn_id_compare(&proposal->voters[middle].node_id, node);
        if (order == 0) return (int)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

mn_status decision_read_vote(const mn_id *mesh_id, const Meshnode__Decision__Signed *from,
                             bool is_late, struct decision_vote *ret)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Vote *wire;
    struct decision_vote vote;
    uint8_t signature[SIGN_SIZE];
    mn_status status = MN_MALFORMED;

    if (from->body.len > VOTE_MAX) return MN_TOO_BIG;
    wire = pb_unpack(&meshnode__decision__vote__descriptor, &arena, pb_span(from->body));
    if (wire == NULL || pb_id(wire->id, &vote.id) != MN_OK) goto done;
    if (is_late && (wire->choice != DECISION_LATE || wire->cause != 0)) goto done;
    if (!is_late && (wire->choice < DECISION_YES || wire->choice > DECISION_ABSTAIN ||
                     wire->cause < DECISION_BY_POLICY || wire->cause > DECISION_TOPIC_TAKEN))
        goto done;
    if (pb_fixed(wire->proposal, vote.proposal, DECISION_HASH_SIZE) != MN_OK) goto done;
    if (pb_fixed(wire->voter, vote.pk, SIGN_PK_SIZE) != MN_OK) goto done;
    vote.choice = (enum decision_choice)wire->choice;
    vote.cause = (enum decision_cause)wire->cause;
    status = decision_open(mesh_id, from, SIGN_BALLOT, vote.pk, signature);
    if (status == MN_OK) *ret = vote;
done:
    mn_arena_done(&arena);
    return status;
}

/* ---- writing ---- */

struct mn_buf *decision_pack_vote(const struct decision_vote *vote)
{
    Meshnode__Decision__Vote wire = MESHNODE__DECISION__VOTE__INIT;

    wire.id = pb_id_bytes(&vote->id);
    wire.proposal = pb_bytes(mn_span(vote->proposal, DECISION_HASH_SIZE));
    wire.choice = (uint32_t)vote->choice;
    wire.cause = (uint32_t)vote->cause;
    wire.voter = pb_bytes(mn_span(vote->pk, SIGN_PK_SIZE));
    return pb_pack(&wire.base);
}

struct mn_buf *decision_pack_proposal(const struct decision_proposal *proposal)
{
    Meshnode__Decision__Proposal wire = MESHNODE__DECISION__PROPOSAL__INIT;
    Meshnode__Decision__Voter voters[DECISION_VOTERS_MAX], *pointers[DECISION_VOTERS_MAX];
    char topic[DECISION_TOPIC_MAX + 1];

    memcpy(topic, proposal->topic.data, proposal->topic.size);
    topic[proposal->topic.size] = '\0';
    wire.id = pb_id_bytes(&proposal->id);
    wire.topic = topic;
    wire.value = pb_bytes(proposal->value);
    wire.quorum_num = proposal->quorum_num;
    wire.quorum_den = proposal->quorum_den;
    wire.created_ms = proposal->created_ms;
    wire.deadline_ms = proposal->deadline_ms;
    wire.basis = (uint32_t)proposal->basis;
    wire.byzantine = proposal->is_byzantine;
    wire.proposer = pb_bytes(mn_span(proposal->proposer_pk, SIGN_PK_SIZE));
    wire.members = pb_bytes(mn_span(proposal->members_hash, sizeof proposal->members_hash));
    for (uint32_t i = 0; i < proposal->voters_count; i++) {
        meshnode__decision__voter__init(&voters[i]);
        voters[i].pk = pb_bytes(mn_span(proposal->voters[i].pk, SIGN_PK_SIZE));
        voters[i].weight = proposal->voters[i].weight;
        if (proposal->basis == DECISION_METRIC)
            voters[i].record = pb_bytes(mn_buf_span(proposal->voters[i].record));
        pointers[i] = &voters[i];
    }
    wire.voters = pointers;
    wire.n_voters = proposal->voters_count;
    return pb_pack(&wire.base);
}

void decision_draft_init(struct decision_draft *draft)
{
    *draft = (struct decision_draft){0};
    meshnode__decision__message__init(&draft->wire);
}

static Meshnode__Decision__Signed *draft_signed(struct decision_draft *draft,
                                                const struct decision_signed *bytes)
{
    Meshnode__Decision__Signed *wire = mn_arena_alloc(&draft->arena, sizeof *wire);

    meshnode__decision__signed__init(wire);
    wire->body = pb_bytes(mn_buf_span(bytes->body));
    wire->signature = pb_bytes(mn_span(bytes->signature, SIGN_SIZE));
    return wire;
}

void decision_draft_proposal(struct decision_draft *draft, const struct decision_signed *bytes)
{
    draft->wire.proposal = draft_signed(draft, bytes);
}

void decision_draft_vote(struct decision_draft *draft, const struct decision_signed *bytes)
{
    draft->wire.votes = mn_arena_grow(&draft->arena, draft->wire.votes,
                                      (uint32_t)draft->wire.n_votes, &draft->votes, sizeof(void *));
    draft->wire.votes[draft->wire.n_votes++] = draft_signed(draft, bytes);
}

void decision_draft_late(struct decision_draft *draft, const struct decision_signed *bytes)
{
    draft->wire.lates = mn_arena_grow(&draft->arena, draft->wire.lates,
                                      (uint32_t)draft->wire.n_lates, &draft->lates, sizeof(void *));
    draft->wire.lates[draft->wire.n_lates++] = draft_signed(draft, bytes);
}

struct mn_buf *decision_draft_done(struct decision_draft *draft)
{
    struct mn_buf *buf = pb_pack(&draft->wire.base);

    mn_arena_done(&draft->arena);
    return buf;
}
