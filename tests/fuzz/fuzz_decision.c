/* Anything, in any order, into the decisions of one node: raw bytes, rightly signed votes and
 * proposals that say anything, answers, completions, time, restarts; and any bytes as a
 * certificate. The input is a list of items as in a frame; after each step the core checks its
 * invariants. */
#include <stdlib.h>

#include <sodium.h>

#include "consensus/decision_internal.h"
#include "consensus/metrics.h"
#include "consensus/simplex_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/frame.h"
#include "tests/consensus/decision_records.h"

#define NODES 5u

enum move {
    MOVE_PROPOSE = 0xe0, /* topic, value, timeout: by this node */
    MOVE_THEIRS,         /* proposer, id, topic, value, a twist: rightly signed by another */
    MOVE_VOTE,           /* voter, which decision, choice: rightly signed by another */
    MOVE_ANSWER,         /* which, choice */
    MOVE_DURABLE,
    MOVE_TIME, /* u8 x 100 ms */
    MOVE_RESTART,
    MOVE_MEMBERS,  /* weights */
    MOVE_VERIFY,   /* bytes as a certificate */
    MOVE_LATE,     /* voter, which decision: rightly signed that it knows no outcome */
    MOVE_STATE,    /* voter, which decision, kind, iteration, hash: what it says while agreeing */
    MOVE_EVIDENCE, /* kind, liar, a twist: two words of one, which convict it or do not */
    MOVE_PROOF,    /* bytes as a proof of a lie */
    MOVE_ASK       /* which decision or node, what of it */
};

struct run {
    struct mn_now now;
    struct decision *core;
    struct decision_records disk;
    uint64_t written;
};

static const mn_id mesh_id = {{1}};
static struct sign_key keys[NODES];
static mn_id ids[NODES];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t byte_at(struct mn_span bytes, size_t index)
{
    return index < bytes.size ? bytes.data[index] : 0;
}

/* What finds no room is lost, as if the disk had failed. */
static void persist(struct run *run, const struct decision_output *out)
{
    run->written = out->persist.write;
    (void)decision_records_take(&run->disk, out);
}

static void step(struct run *run, const struct decision_input *input)
{
    struct mn_arena arena = {0};
    struct decision_outbox out = {.arena = &arena};

    decision_step(run->core, run->now, input, &out);
    decision_check(run->core);
    for (uint32_t i = 0; i < out.count; i++)
        if (out.items[i].type == DECISION_OUT_PERSIST) persist(run, &out.items[i]);
    decision_outbox_reset(&out);
    mn_arena_done(&arena);
}

/* What it says of itself: links up to all, and load. */
static struct mn_buf *record_of(const struct run *run, uint32_t node, uint8_t what,
                                uint32_t *ret_weight)
{
    struct metrics said = {
        .values = {[METRIC_LINKS] = what / 200.0, [METRIC_LOAD] = what % 4 == 3 ? what : 0}};

    *ret_weight = metrics_weight(&said); /* 0 where links are more than all */
    return metrics_encode(&said, &mesh_id, &keys[node], run->now);
}

static void set_members(struct run *run, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    struct decision_member members[NODES];

    for (uint32_t i = 0; i < NODES; i++) {
        memcpy(members[i].pk, keys[i].pk, SIGN_PK_SIZE);
        members[i].record =
            record_of(run, i, bytes.size == 0 ? 20 : byte_at(bytes, i), &members[i].weight);
    }
    input.members.items = members;
    input.members.count = NODES;
    input.members.rtt = MN_MS * byte_at(bytes, NODES);
    step(run, &input);
    for (uint32_t i = 0; i < NODES; i++)
        mn_buf_unref(members[i].record);
}

static void start(struct run *run)
{
    struct decision_config config = {.mesh_id = mesh_id,
                                     .key = &keys[0],
                                     .decisions_max = 8,
                                     .agreements_max = 4,
                                     .resend = 100 * MN_MS,
                                     .delay = 50 * MN_MS,
                                     .patience = 100 * MN_MS};
    struct mn_span records[RECORDS_MAX];
    uint32_t count = decision_records_spans(&run->disk, records);

    config.seed[0] = (uint8_t)(run->now.mono / MN_MS);
    if (decision_new(&config, records, count, run->now, &run->core) != MN_OK) abort();
    run->written = 0;
    decision_check(run->core);
    set_members(run, mn_span(NULL, 0));
}

static void hand_over(struct run *run, uint32_t from, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MESSAGE};

    input.message.from = ids[from % NODES];
    input.message.bytes = bytes;
    step(run, &input);
}

static void propose(struct run *run, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_PROPOSE};
    char topic[2] = {(char)('a' + byte_at(bytes, 0) % 3), '\0'};
    uint8_t value = byte_at(bytes, 1) % 4;

    input.propose.topic = mn_span_str(topic);
    input.propose.value = mn_span(&value, byte_at(bytes, 1) == 255 ? 0 : 1);
    input.propose.quorum_num = 2 + byte_at(bytes, 3) % 4;
    input.propose.quorum_den = 4;
    input.propose.timeout = 100 * MN_MS * byte_at(bytes, 2);
    input.propose.basis = (enum decision_basis)(byte_at(bytes, 4) % 4);
    input.propose.is_byzantine = byte_at(bytes, 5) % 2 == 1;
    step(run, &input);
}

/* A proposal of another, rightly signed: voters weigh what their records say, or nearly so. */
static struct decision_signed make_proposal(const struct run *run, struct mn_span bytes)
{
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[1 + byte_at(bytes, 0) % 4]};
    struct decision_ballot voters[NODES];
    uint32_t weights[NODES];
    char topic[2] = {(char)('a' + byte_at(bytes, 2) % 3), '\0'};
    uint8_t value = byte_at(bytes, 3) % 4, twist = byte_at(bytes, 5);
    struct decision_proposal made = {.id = {{(uint8_t)(1 + byte_at(bytes, 1) % 8)}},
                                     .topic = mn_span_str(topic),
                                     .value = mn_span(&value, 1),
                                     .quorum_num = 3,
                                     .quorum_den = 4,
                                     .created_ms = mn_wall_ms(run->now),
                                     .deadline_ms = mn_wall_ms(run->now) + 1000,
                                     .basis = twist % 2 == 0 ? DECISION_METRIC : DECISION_EQUAL,
                                     .is_byzantine = twist / 2 % 2 == 1,
                                     .voters = voters,
                                     .voters_count = NODES};
    struct decision_signed ret;

    memcpy(made.proposer_pk, config.key->pk, SIGN_PK_SIZE);
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t at = i;
        for (; at > 0 && mn_id_compare(&voters[at - 1].node_id, &ids[i]) > 0; at--)
            voters[at] = voters[at - 1];
        voters[at] = (struct decision_ballot){.node_id = ids[i]};
        voters[at].record = record_of(run, i, i == 1 ? byte_at(bytes, 4) : 20, &voters[at].weight);
        memcpy(voters[at].pk, keys[i].pk, SIGN_PK_SIZE);
    }
    for (uint32_t i = 0; i < NODES; i++)
        weights[i] = made.basis == DECISION_EQUAL ? 1 : voters[i].weight;
    (void)decision_cap(weights, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        voters[i].weight = weights[i];
    if (twist / 4 % 4 == 1) voters[twist % NODES].weight++;
    if (twist / 4 % 4 == 2) voters[0].record = mn_buf_unref(voters[0].record);
    ret = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&made));
    for (uint32_t i = 0; i < NODES; i++)
        mn_buf_unref(voters[i].record);
    return ret;
}

static void theirs(struct run *run, struct mn_span bytes)
{
    struct decision_signed signed_bytes = make_proposal(run, bytes);
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    decision_draft_proposal(&draft, &signed_bytes);
    buf = decision_draft_done(&draft);
    hand_over(run, byte_at(bytes, 0), mn_buf_span(buf));
    mn_buf_unref(buf);
    mn_buf_unref(signed_bytes.body);
}

/* The proposal of one that the node knows. */
static bool open_known(struct run *run, uint32_t index, struct decision_proposal *ret)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire;
    struct decision_view view;
    struct mn_buf *known;

    if (!decision_at(run->core, index % 8, &view)) return false;
    known = decision_certificate(run->core, &view.id);
    wire = pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(known));
    if (wire == NULL || decision_read_proposal(&mesh_id, wire->proposal, ret) != MN_OK)
        abort(); /* our own bytes */
    mn_buf_unref(known);
    mn_arena_done(&arena);
    return true;
}

static struct decision_signed make_vote(uint32_t voter, const struct decision_proposal *proposal,
                                        enum decision_choice choice)
{
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[voter]};
    struct decision_vote ballot = {.id = proposal->id, .choice = choice};

    if (choice != DECISION_LATE) ballot.cause = DECISION_BY_HAND;
    memcpy(ballot.proposal, proposal->hash, sizeof ballot.proposal);
    memcpy(ballot.pk, keys[voter].pk, SIGN_PK_SIZE);
    return decision_sign(&config, SIGN_BALLOT, decision_pack_vote(&ballot));
}

/* A vote of another, or its word that it is late. */
static void vote(struct run *run, struct mn_span bytes, bool is_late)
{
    uint32_t voter = 1 + byte_at(bytes, 0) % (NODES - 1);
    struct decision_signed signed_bytes;
    struct decision_proposal proposal;
    struct decision_draft draft;
    struct mn_buf *buf;

    if (!open_known(run, byte_at(bytes, 1), &proposal)) return;
    signed_bytes = make_vote(
        voter, &proposal,
        is_late ? DECISION_LATE : (enum decision_choice)(DECISION_YES + byte_at(bytes, 2) % 3));
    decision_draft_init(&draft);
    if (byte_at(bytes, 3) % 2 == 1) decision_draft_proposal(&draft, &proposal.bytes);
    if (is_late)
        decision_draft_late(&draft, &signed_bytes);
    else
        decision_draft_vote(&draft, &signed_bytes);
    buf = decision_draft_done(&draft);
    hand_over(run, voter, mn_buf_span(buf));
    mn_buf_unref(buf);
    mn_buf_unref(signed_bytes.body);
    decision_proposal_done(&proposal);
}

/* What another one signs while agreeing about a byzantine decision, in a message of its own. */
static struct mn_buf *make_statement(const struct decision_proposal *proposal, uint32_t signer,
                                     struct mn_span bytes, bool is_evidence)
{
    struct simplex_validator validators[DECISION_VALIDATORS_MAX];
    struct simplex_config config = decision_validators(&mesh_id, proposal, validators);
    struct simplex_statement pair[2] = {
        {.kind = (enum simplex_kind)(SIMPLEX_VOTE + byte_at(bytes, 2) % 3),
         .iteration = 1 + byte_at(bytes, 3) % 4}};
    struct simplex_draft draft;
    struct simplex *core;
    struct mn_buf *ret;

    config.self = (uint32_t)decision_find_voter(proposal, &ids[signer]);
    config.key = &keys[signer];
    config.delay = 50 * MN_MS;
    if (simplex_new(&config, NULL, 0, (struct mn_now){MN_SEC, MN_SEC}, &core) != MN_OK) abort();
    pair[0].signer = config.self;
    if (pair[0].kind != SIMPLEX_DUMMY) pair[0].hash.bytes[0] = 1 + byte_at(bytes, 4) % 2;
    pair[1] = pair[0];
    if (pair[1].kind != SIMPLEX_DUMMY) pair[1].hash.bytes[0] = 1 + byte_at(bytes, 5) % 2;
    simplex_statement_sign(core, &pair[0]);
    simplex_statement_sign(core, &pair[1]);
    simplex_draft_init(&draft, core);
    if (is_evidence)
        simplex_draft_evidence(&draft, pair);
    else
        simplex_draft_statement(&draft, &pair[0]);
    ret = simplex_draft_done(&draft);
    simplex_free(core);
    return ret;
}

static void hand_over_wire(struct run *run, uint32_t from, const Meshnode__Decision__Message *wire)
{
    struct mn_buf *buf = pb_pack(&wire->base);

    hand_over(run, from, mn_buf_span(buf));
    mn_buf_unref(buf);
}

static void state(struct run *run, struct mn_span bytes)
{
    uint32_t signer = 1 + byte_at(bytes, 0) % (NODES - 1);
    Meshnode__Decision__Message wire = MESHNODE__DECISION__MESSAGE__INIT;
    struct decision_proposal proposal;
    struct mn_buf *inner;

    if (!open_known(run, byte_at(bytes, 1), &proposal)) return;
    if (proposal.is_byzantine) {
        inner = make_statement(&proposal, signer, bytes, byte_at(bytes, 6) % 4 == 0);
        wire.about = pb_id_bytes(&proposal.id);
        wire.agreement = pb_bytes(mn_buf_span(inner));
        hand_over_wire(run, signer, &wire);
        mn_buf_unref(inner);
    }
    decision_proposal_done(&proposal);
}

static Meshnode__Decision__Signed wire_of(const struct decision_signed *bytes)
{
    Meshnode__Decision__Signed wire = MESHNODE__DECISION__SIGNED__INIT;

    wire.body = pb_bytes(mn_buf_span(bytes->body));
    wire.signature = pb_bytes(mn_span(bytes->signature, SIGN_SIZE));
    return wire;
}

/* Two ballots, two proposals or two statements of one node, alike or not: only what contradicts
 * itself may convict, and never the node under test, which signed none of it. */
static void accuse(struct run *run, struct mn_span bytes)
{
    uint32_t liar = 1 + byte_at(bytes, 1) % (NODES - 1);
    Meshnode__Decision__Message wire = MESHNODE__DECISION__MESSAGE__INIT;
    Meshnode__Decision__Evidence evidence = MESHNODE__DECISION__EVIDENCE__INIT;
    Meshnode__Decision__Signed a, b;
    struct decision_signed first = {0}, second = {0};
    struct decision_proposal proposal;
    struct mn_buf *statements = NULL;

    if (!open_known(run, 0, &proposal)) return;
    evidence.kind = byte_at(bytes, 0) % 5u;
    if (evidence.kind == DECISION_TWO_PROPOSALS) {
        uint8_t other[] = {(uint8_t)(liar - 1), 1, 0, byte_at(bytes, 2), 20, 0};
        uint8_t one[] = {(uint8_t)(liar - 1), 1, 0, 0, 20, 0};
        first = make_proposal(run, mn_span(one, sizeof one));
        second = make_proposal(run, mn_span(other, sizeof other));
    } else {
        first = make_vote(liar, &proposal, DECISION_YES);
        second = make_vote(byte_at(bytes, 3) == 1 ? 1 : liar, &proposal,
                           (enum decision_choice)(DECISION_YES + byte_at(bytes, 2) % 3));
    }
    a = wire_of(&first);
    b = wire_of(&second);
    evidence.a = &a;
    evidence.b = &b;
    if (evidence.kind == DECISION_TWO_STATEMENTS && proposal.is_byzantine) {
        a = wire_of(&proposal.bytes);
        evidence.proposal = &a;
        statements = make_statement(&proposal, liar, bytes, true);
        evidence.statements = pb_bytes(mn_buf_span(statements));
    }
    wire.evidence = &evidence;
    hand_over_wire(run, 1 + byte_at(bytes, 4) % (NODES - 1), &wire);
    MN_ASSERT(!decision_is_accused(run->core, &ids[0]));
    mn_buf_unref(statements);
    mn_buf_unref(first.body);
    mn_buf_unref(second.body);
    decision_proposal_done(&proposal);
}

static void ask(struct run *run, struct mn_span bytes)
{
    Meshnode__Decision__Message wire = MESHNODE__DECISION__MESSAGE__INIT;
    ProtobufCBinaryData accused = pb_id_bytes(&ids[byte_at(bytes, 0) % NODES]);
    struct decision_view view;

    if (byte_at(bytes, 1) % 3 == 0 && decision_at(run->core, byte_at(bytes, 0) % 8, &view))
        wire.ask = pb_id_bytes(&view.id);
    if (byte_at(bytes, 1) % 3 == 1) wire.ask_evidence = accused;
    if (byte_at(bytes, 1) % 3 == 2) {
        wire.accused = &accused;
        wire.n_accused = 1;
    }
    hand_over_wire(run, 1 + byte_at(bytes, 2) % (NODES - 1), &wire);
}

static void answer(struct run *run, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_ANSWER};
    struct decision_view view;

    if (decision_at(run->core, byte_at(bytes, 0) % 8, &view)) input.answer.id = view.id;
    input.answer.choice = (enum decision_choice)(byte_at(bytes, 1) % 5);
    input.answer.cause = (enum decision_cause)(byte_at(bytes, 2) % 4);
    step(run, &input);
}

static void verify(struct mn_span bytes)
{
    struct mn_arena arena = {0};
    struct decision_view view;

    if (decision_verify(&mesh_id, bytes, &arena, &view) == MN_OK)
        MN_ASSERT(view.yes + view.no + view.abstain <= view.total);
    mn_arena_done(&arena);
}

static void prove(struct mn_span bytes)
{
    struct decision_conviction what;

    if (decision_verify_evidence(&mesh_id, bytes, &what) == MN_OK)
        MN_ASSERT(what.lie > 0 && what.lie < DECISION_LIES);
}

static void move(struct run *run, unsigned kind, struct mn_span bytes)
{
    switch (kind) {
    case MOVE_PROPOSE: propose(run, bytes); break;
    case MOVE_THEIRS: theirs(run, bytes); break;
    case MOVE_VOTE: vote(run, bytes, false); break;
    case MOVE_LATE: vote(run, bytes, true); break;
    case MOVE_STATE: state(run, bytes); break;
    case MOVE_EVIDENCE: accuse(run, bytes); break;
    case MOVE_PROOF: prove(bytes); break;
    case MOVE_ASK: ask(run, bytes); break;
    case MOVE_ANSWER: answer(run, bytes); break;
    case MOVE_DURABLE:
        step(run, &(struct decision_input){.type = DECISION_IN_DURABLE, .durable = run->written});
        break;
    case MOVE_TIME:
        run->now.mono += 100 * MN_MS * (1u + byte_at(bytes, 0));
        run->now.wall += 100 * MN_MS * (1u + byte_at(bytes, 0));
        step(run, &(struct decision_input){.type = DECISION_IN_TICK});
        break;
    case MOVE_RESTART:
        decision_free(run->core);
        start(run);
        break;
    case MOVE_MEMBERS: set_members(run, bytes); break;
    case MOVE_VERIFY: verify(bytes); break;
    default: hand_over(run, kind, bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = {MN_SEC, 1700000000 * MN_SEC}};
    struct mn_span rest = mn_span(data, size);
    struct frame_item item;

    if (sodium_init() < 0) abort();
    for (uint32_t i = 0; i < NODES; i++) {
        uint8_t seed[SIGN_SEED_SIZE] = {(uint8_t)(i + 1)};
        sign_key_init(&keys[i], seed);
        ids[i] = digest_node_id(keys[i].pk);
    }
    start(&run);
    for (unsigned i = 0; i < 128 && frame_take_item(&rest, &item) == MN_OK; i++)
        move(&run, (unsigned)item.kind, item.bytes);
    decision_free(run.core);
    decision_records_done(&run.disk);
    return 0;
}
