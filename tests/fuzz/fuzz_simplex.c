/* Anything, in any order, into one validator: messages of raw bytes, statements and proposals that
 * are rightly signed but say anything, completions, time, restarts. The input is a list of items as
 * in a frame; after each step the core checks its invariants, and it is never convicted itself. */
#include <stdlib.h>

#include <sodium.h>

#include "consensus/simplex_internal.h"
#include "proto/base/check.h"
#include "proto/frame.h"

#define NODES 4u
#define RECORDS_MAX 512u

enum move {
    MOVE_RAW = 0xe0, /* bytes: a message of the first other validator */
    MOVE_SAY,        /* kind, iteration, signer, which hash */
    MOVE_PROPOSE,    /* iteration, parent, which value; rightly signed by the leader */
    MOVE_DURABLE,
    MOVE_TIME, /* u8 x 50 ms */
    MOVE_RESTART,
    MOVE_VALUE,
    MOVE_CERTIFICATE, /* kind, iteration, which hash, signers, a twist: enough of the others, or not
                       */
    MOVE_ACCUSE,      /* two kinds, iteration, signer, two hashes: evidence, or no contradiction */
    MOVE_BEHIND       /* iteration, from, want: what a validator that is behind says */
};

struct run {
    struct mn_now now;
    struct simplex *core;
    struct simplex_config config;
    struct mn_buf *records[RECORDS_MAX];
    uint32_t records_count, durable_count; /* the rest is lost by a restart */
    uint64_t written;
};

static struct sign_key keys[NODES];
static struct simplex_validator validators[NODES];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct run *run, const struct simplex_input *input)
{
    struct mn_arena arena = {0};
    struct simplex_outbox out = {.arena = &arena};

    simplex_step(run->core, run->now, input, &out);
    simplex_check(run->core);
    MN_ASSERT((simplex_view(run->core).liars & 1) == 0);
    for (uint32_t i = 0; i < out.count; i++) {
        if (out.items[i].type == SIMPLEX_OUT_PERSIST && run->records_count < RECORDS_MAX)
            run->records[run->records_count++] = mn_buf_ref(out.items[i].persist.record);
        if (out.items[i].type == SIMPLEX_OUT_PERSIST) run->written = out.items[i].persist.write;
        if (out.items[i].type == SIMPLEX_OUT_JUDGE) {
            struct simplex_input judged = {.type = SIMPLEX_IN_JUDGED};
            memcpy(judged.judged.hash, out.items[i].judge.hash, sizeof judged.judged.hash);
            judged.judged.is_valid = out.items[i].judge.value->bytes[0] % 4 != 3;
            step(run, &judged);
        }
    }
    simplex_outbox_reset(&out);
    mn_arena_done(&arena);
}

static void start(struct run *run)
{
    struct mn_span records[RECORDS_MAX];

    while (run->records_count > run->durable_count)
        mn_buf_unref(run->records[--run->records_count]);
    for (uint32_t i = 0; i < run->records_count; i++)
        records[i] = mn_buf_span(run->records[i]);
    if (simplex_new(&run->config, records, run->records_count, run->now, &run->core) != MN_OK)
        abort();
    run->written = 0;
    simplex_check(run->core);
}

static void hand_over(struct run *run, uint32_t from, struct mn_span bytes)
{
    struct simplex_input input = {.type = SIMPLEX_IN_MESSAGE};

    input.message.from = from;
    input.message.bytes = bytes;
    step(run, &input);
}

static void send_draft(struct run *run, struct simplex_draft *draft, uint32_t from)
{
    struct mn_buf *buf = simplex_draft_done(draft);

    hand_over(run, from, mn_buf_span(buf));
    mn_buf_unref(buf);
}

static uint8_t byte_at(struct mn_span bytes, size_t index)
{
    return index < bytes.size ? bytes.data[index] : 0;
}

/* The signature of one of the others, never of the node under test. */
static void sign_as(const struct run *run, struct simplex_statement *statement)
{
    struct simplex other = *run->core;

    other.config.key = &keys[statement->signer];
    simplex_statement_sign(&other, statement);
}

static void say(struct run *run, struct mn_span bytes)
{
    struct simplex_statement statement = {
        .kind = (enum simplex_kind)(SIMPLEX_VOTE + byte_at(bytes, 0) % 3),
        .iteration = 1 + byte_at(bytes, 1) % 40u,
        .signer = 1 + byte_at(bytes, 2) % (NODES - 1)};
    const struct simplex_iteration *at = simplex_book_peek(run->core, statement.iteration);
    struct simplex_draft draft;

    if (statement.kind != SIMPLEX_DUMMY) {
        statement.hash.bytes[0] = (uint8_t)(1 + byte_at(bytes, 3) % 2);
        if (at != NULL && at->proposals_count > 0)
            statement.hash = at->proposals[byte_at(bytes, 3) % at->proposals_count].hash;
    }
    sign_as(run, &statement);
    simplex_draft_init(&draft, run->core);
    simplex_draft_statement(&draft, &statement);
    send_draft(run, &draft, statement.signer);
}

static void propose(struct run *run, struct mn_span bytes)
{
    struct simplex_block block = {.iteration = 1 + byte_at(bytes, 0) % 40u};
    struct simplex_statement statement = {.kind = SIMPLEX_PROPOSAL, .iteration = block.iteration};
    const struct simplex_certificate *parent =
        simplex_book_certificate(run->core, byte_at(bytes, 1) % block.iteration, SIMPLEX_VOTE);
    uint8_t value[1] = {byte_at(bytes, 2)};
    struct simplex_draft draft;

    statement.signer = simplex_leader(run->core, block.iteration);
    if (statement.signer == 0) return;
    block.value_hash = simplex_value_hash(mn_span(value, sizeof value));
    if (parent != NULL) {
        block.parent = parent->block.iteration;
        block.parent_hash = parent->block.hash;
        if (value[0] % 2 == 0) block.value_hash = parent->block.value_hash;
    }
    simplex_block_rehash(&run->core->instance, &block);
    statement.hash = block.hash;
    sign_as(run, &statement);
    memcpy(block.signature, statement.signature, SIGN_SIZE);
    simplex_draft_init(&draft, run->core);
    simplex_draft_block(&draft, &block, mn_span(value, sizeof value));
    send_draft(run, &draft, statement.signer);
}

/* A certificate that came whole: of the three others, who have nine of ten parts, or of fewer; in
 * order or not. */
static void certificate(struct run *run, struct mn_span bytes)
{
    Meshnode__Simplex__Message wire = MESHNODE__SIMPLEX__MESSAGE__INIT;
    Meshnode__Simplex__Certificate one = MESHNODE__SIMPLEX__CERTIFICATE__INIT, *list = &one;
    Meshnode__Simplex__Block block = MESHNODE__SIMPLEX__BLOCK__INIT;
    Meshnode__Simplex__Signature signatures[NODES], *pointers[NODES];
    struct simplex_statement statements[NODES];
    enum simplex_kind kind = (enum simplex_kind)(SIMPLEX_VOTE + byte_at(bytes, 0) % 3);
    uint32_t iteration = 1 + byte_at(bytes, 1) % 40u, twist = byte_at(bytes, 4);
    struct simplex_block what = {.iteration = iteration};
    uint8_t value[1] = {byte_at(bytes, 2)};
    struct mn_buf *buf;

    what.value_hash = simplex_value_hash(mn_span(value, sizeof value));
    simplex_block_rehash(&run->core->instance, &what);
    block.iteration = iteration;
    block.parent_hash = pb_bytes(mn_span(what.parent_hash.bytes, SIMPLEX_HASH_SIZE));
    block.value_hash = pb_bytes(mn_span(what.value_hash.bytes, SIMPLEX_HASH_SIZE));
    if (twist % 4 == 1) block.value = pb_bytes(mn_span(value, sizeof value));
    one.kind = (uint32_t)kind;
    one.iteration = iteration;
    if ((kind != SIMPLEX_DUMMY) != (twist % 8 == 7)) one.block = &block;
    for (uint32_t i = 1; i < NODES; i++) {
        if (byte_at(bytes, 3) >> i & 1) continue;
        statements[i] =
            (struct simplex_statement){.kind = kind, .iteration = iteration, .signer = i};
        if (kind != SIMPLEX_DUMMY) statements[i].hash = what.hash;
        sign_as(run, &statements[i]);
        meshnode__simplex__signature__init(&signatures[i]);
        signatures[i].signer = twist == 200 ? NODES - i : i;
        signatures[i].signature = pb_bytes(mn_span(statements[i].signature, SIGN_SIZE));
        pointers[one.n_signatures++] = &signatures[i];
    }
    one.signatures = pointers;
    wire.instance = pb_id_bytes(&run->core->instance);
    wire.certificates = &list;
    wire.n_certificates = 1;
    buf = pb_pack(&wire.base);
    hand_over(run, 1 + twist % (NODES - 1), mn_buf_span(buf));
    mn_buf_unref(buf);
}

/* Whoever is convicted said two things that contradict each other. */
static void accuse(struct run *run, struct mn_span bytes)
{
    uint64_t before = simplex_view(run->core).liars;
    struct simplex_statement pair[2];
    struct simplex_draft draft;

    for (uint32_t i = 0; i < 2; i++) {
        pair[i] = (struct simplex_statement){
            .kind = (enum simplex_kind)(SIMPLEX_PROPOSAL + byte_at(bytes, i) % 4),
            .iteration = 1 + byte_at(bytes, 2) % 40u,
            .signer = 1 + byte_at(bytes, 3) % (NODES - 1)};
        if (pair[i].kind != SIMPLEX_DUMMY)
            pair[i].hash.bytes[0] = (uint8_t)(1 + byte_at(bytes, 4 + i) % 2);
        sign_as(run, &pair[i]);
    }
    if (byte_at(bytes, 6) == 1) pair[1].signature[0] ^= 1;
    simplex_draft_init(&draft, run->core);
    simplex_draft_evidence(&draft, pair);
    send_draft(run, &draft, 1 + byte_at(bytes, 7) % (NODES - 1));
    if (simplex_view(run->core).liars != before)
        MN_ASSERT(simplex_is_contradiction(&pair[0], &pair[1]));
}

static void behind(struct run *run, struct mn_span bytes)
{
    Meshnode__Simplex__Message wire = MESHNODE__SIMPLEX__MESSAGE__INIT;
    struct mn_buf *buf;

    wire.instance = pb_id_bytes(&run->core->instance);
    wire.iteration = byte_at(bytes, 0);
    if (bytes.size > 2) wire.want = pb_bytes(mn_span(bytes.data + 2, bytes.size - 2));
    buf = pb_pack(&wire.base);
    hand_over(run, byte_at(bytes, 1) % (NODES + 1), mn_buf_span(buf));
    mn_buf_unref(buf);
}

static void set_value(struct run *run, struct mn_span bytes)
{
    struct simplex_input input = {.type = SIMPLEX_IN_VALUE, .value = mn_buf_copy(bytes)};

    step(run, &input);
    mn_buf_unref(input.value);
}

static void move(struct run *run, unsigned kind, struct mn_span bytes)
{
    switch (kind) {
    case MOVE_SAY: say(run, bytes); break;
    case MOVE_PROPOSE: propose(run, bytes); break;
    case MOVE_DURABLE:
        run->durable_count = run->records_count;
        step(run, &(struct simplex_input){.type = SIMPLEX_IN_DURABLE, .durable = run->written});
        break;
    case MOVE_TIME:
        run->now.mono += 50 * MN_MS * (1u + byte_at(bytes, 0));
        step(run, &(struct simplex_input){.type = SIMPLEX_IN_TICK});
        break;
    case MOVE_RESTART:
        simplex_free(run->core);
        start(run);
        break;
    case MOVE_VALUE: set_value(run, bytes); break;
    case MOVE_CERTIFICATE: certificate(run, bytes); break;
    case MOVE_ACCUSE: accuse(run, bytes); break;
    case MOVE_BEHIND: behind(run, bytes); break;
    default: hand_over(run, kind % (NODES + 1), bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = {MN_SEC, MN_SEC}};
    struct mn_span rest = mn_span(data, size);
    struct frame_item item;

    if (sodium_init() < 0) abort();
    for (uint32_t i = 0; i < NODES; i++) {
        uint8_t seed[SIGN_SEED_SIZE] = {(uint8_t)(i + 1)};
        sign_key_init(&keys[i], seed);
        memcpy(validators[i].pk, keys[i].pk, SIGN_PK_SIZE);
        validators[i].weight = i + 1;
    }
    run.config = (struct simplex_config){.mesh_id = {{1}},
                                         .name = {{2}},
                                         .validators = validators,
                                         .validators_count = NODES,
                                         .key = &keys[0],
                                         .delay = 50 * MN_MS};
    start(&run);
    for (unsigned i = 0; i < 128 && frame_take_item(&rest, &item) == MN_OK; i++)
        move(&run, (unsigned)item.kind, item.bytes);
    simplex_free(run.core);
    while (run.records_count > 0)
        mn_buf_unref(run.records[--run.records_count]);
    return 0;
}
