/* Anything, in any order, into the decisions of one node: raw bytes, rightly signed votes and
 * proposals that say anything, answers, completions, time, restarts; and any bytes as a
 * certificate. The input is a list of items as in a frame; after each step the core checks its
 * invariants. */
#include <stdlib.h>

#include <sodium.h>

#include "consensus/decision_internal.h"
#include "crypto/digest.h"
#include "proto/base/check.h"
#include "proto/frame.h"

#define NODES 5u
#define RECORDS_MAX 256u

enum move {
    MOVE_PROPOSE = 0xe0, /* topic, value, timeout: by this node */
    MOVE_THEIRS,         /* proposer, id, topic, value, a twist: rightly signed by another */
    MOVE_VOTE,           /* voter, which decision, choice: rightly signed by another */
    MOVE_ANSWER,         /* which, choice */
    MOVE_DURABLE,
    MOVE_TIME, /* u8 x 100 ms */
    MOVE_RESTART,
    MOVE_MEMBERS, /* weights */
    MOVE_VERIFY   /* bytes as a certificate */
};

struct run {
    struct mn_now now;
    struct decision *core;
    struct {
        enum decision_record what;
        mn_id id;
        uint32_t part;
        struct mn_buf *buf;
    } records[RECORDS_MAX];
    uint32_t records_count;
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

static void persist(struct run *run, const struct decision_output *out)
{
    uint32_t at = 0;

    run->written = out->persist.write;
    while (at < run->records_count && (run->records[at].what != out->persist.what ||
                                       run->records[at].part != out->persist.part ||
                                       !mn_id_equal(&run->records[at].id, &out->persist.id)))
        at++;
    if (at < run->records_count) {
        mn_buf_unref(run->records[at].buf);
        run->records_count--;
        memmove(&run->records[at], &run->records[at + 1],
                (run->records_count - at) * sizeof run->records[0]);
    }
    if (out->persist.record == NULL || run->records_count == RECORDS_MAX) return;
    run->records[run->records_count].what = out->persist.what;
    run->records[run->records_count].part = out->persist.part;
    run->records[run->records_count].id = out->persist.id;
    run->records[run->records_count++].buf = mn_buf_ref(out->persist.record);
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

static void set_members(struct run *run, struct mn_span bytes)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    struct decision_member members[NODES];

    for (uint32_t i = 0; i < NODES; i++) {
        memcpy(members[i].pk, keys[i].pk, SIGN_PK_SIZE);
        members[i].weight = bytes.size == 0 ? 100 : 50u * byte_at(bytes, i);
    }
    input.members.items = members;
    input.members.count = NODES;
    step(run, &input);
}

static void start(struct run *run)
{
    struct decision_config config = {.mesh_id = mesh_id,
                                     .key = &keys[0],
                                     .decisions_max = 8,
                                     .agreements_max = 4,
                                     .resend = 100 * MN_MS,
                                     .delay = 50 * MN_MS};
    struct mn_span records[RECORDS_MAX];

    for (uint32_t i = 0; i < run->records_count; i++)
        records[i] = mn_buf_span(run->records[i].buf);
    config.seed[0] = (uint8_t)(run->now.mono / MN_MS);
    if (decision_new(&config, records, run->records_count, run->now, &run->core) != MN_OK) abort();
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
    step(run, &input);
}

static void theirs(struct run *run, struct mn_span bytes)
{
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[1 + byte_at(bytes, 0) % 4]};
    struct decision_ballot voters[NODES];
    char topic[2] = {(char)('a' + byte_at(bytes, 2) % 3), '\0'};
    uint8_t value = byte_at(bytes, 3) % 4;
    struct decision_proposal made = {.id = {{(uint8_t)(1 + byte_at(bytes, 1) % 8)}},
                                     .topic = mn_span_str(topic),
                                     .value = mn_span(&value, 1),
                                     .quorum_num = 3,
                                     .quorum_den = 4,
                                     .created_ms = mn_wall_ms(run->now),
                                     .deadline_ms = mn_wall_ms(run->now) + 1000,
                                     .basis = DECISION_METRIC,
                                     .voters = voters,
                                     .voters_count = NODES};
    struct decision_signed signed_bytes;
    struct decision_draft draft;
    struct mn_buf *buf;

    memcpy(made.proposer_pk, config.key->pk, SIGN_PK_SIZE);
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t at = i;
        for (; at > 0 && mn_id_compare(&voters[at - 1].node_id, &ids[i]) > 0; at--)
            voters[at] = voters[at - 1];
        voters[at] = (struct decision_ballot){.node_id = ids[i],
                                              .weight = i == 1 ? 100u + byte_at(bytes, 4) : 100u};
        memcpy(voters[at].pk, keys[i].pk, SIGN_PK_SIZE);
    }
    signed_bytes = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&made));
    decision_draft_init(&draft);
    decision_draft_proposal(&draft, &signed_bytes);
    buf = decision_draft_done(&draft);
    hand_over(run, byte_at(bytes, 0), mn_buf_span(buf));
    mn_buf_unref(buf);
    mn_buf_unref(signed_bytes.body);
}

static void vote(struct run *run, struct mn_span bytes)
{
    uint32_t voter = 1 + byte_at(bytes, 0) % (NODES - 1);
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[voter]};
    struct decision_vote ballot = {.choice =
                                       (enum decision_choice)(DECISION_YES + byte_at(bytes, 2) % 3),
                                   .cause = DECISION_BY_HAND};
    struct decision_signed signed_bytes;
    struct decision_proposal proposal;
    struct decision_draft draft;
    struct decision_view view;
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire;
    struct mn_buf *known, *buf;

    if (!decision_at(run->core, byte_at(bytes, 1) % 8, &view)) return;
    known = decision_certificate(run->core, &view.id);
    wire = pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(known));
    if (wire == NULL || decision_read_proposal(&mesh_id, wire->proposal, &proposal) != MN_OK)
        abort(); /* our own bytes */
    ballot.id = proposal.id;
    memcpy(ballot.proposal, proposal.hash, sizeof ballot.proposal);
    memcpy(ballot.pk, keys[voter].pk, SIGN_PK_SIZE);
    signed_bytes = decision_sign(&config, SIGN_BALLOT, decision_pack_vote(&ballot));
    decision_draft_init(&draft);
    if (byte_at(bytes, 3) % 2 == 1) decision_draft_proposal(&draft, &proposal.bytes);
    decision_draft_vote(&draft, &signed_bytes);
    buf = decision_draft_done(&draft);
    hand_over(run, voter, mn_buf_span(buf));
    mn_buf_unref(buf);
    mn_buf_unref(signed_bytes.body);
    mn_buf_unref(known);
    decision_proposal_done(&proposal);
    mn_arena_done(&arena);
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

static void move(struct run *run, unsigned kind, struct mn_span bytes)
{
    switch (kind) {
    case MOVE_PROPOSE: propose(run, bytes); break;
    case MOVE_THEIRS: theirs(run, bytes); break;
    case MOVE_VOTE: vote(run, bytes); break;
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
    while (run.records_count > 0)
        mn_buf_unref(run.records[--run.records_count].buf);
    return 0;
}
