/* Byzantine agreement with real signatures: four validators on a net that loses nothing, and one
 * validator alone against what the others might say. Loss, crashes and liars in numbers are
 * bftsim's. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "consensus/simplex_internal.h"
#include "tests/suite.h"

#define NODES 4u
#define D0 (200 * MN_MS)
#define LETTERS_MAX 4096u

struct letter {
    uint32_t from, to;
    struct mn_buf *buf;
};

struct node {
    struct simplex *core;
    struct mn_buf *records[256];
    uint32_t records_count, held; /* held: not durable yet */
    uint64_t write;
    struct mn_buf *decided;
    uint32_t decided_in, evidence_against;
    bool is_outside;
};

static struct sign_key keys[NODES];
static struct simplex_validator validators[NODES];
static struct simplex_config config;
static struct node nodes[NODES];
static struct letter letters[LETTERS_MAX];
static uint32_t letters_first, letters_count;
static struct mn_now now;
static bool is_disk_stuck;

static void step(uint32_t node, const struct simplex_input *input);

static void start(uint32_t node)
{
    struct simplex_config mine = config;
    struct mn_span records[256];

    mine.self = node;
    mine.key = &keys[node];
    for (uint32_t i = 0; i < nodes[node].records_count; i++)
        records[i] = mn_buf_span(nodes[node].records[i]);
    ck_assert_int_eq(simplex_new(&mine, records, nodes[node].records_count, now, &nodes[node].core),
                     MN_OK);
    nodes[node].write = 0;
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    now = (struct mn_now){MN_SEC, MN_SEC};
    is_disk_stuck = false;
    letters_first = letters_count = 0;
    config = (struct simplex_config){.mesh_id = {{7}},
                                     .name = {{9}},
                                     .validators = validators,
                                     .validators_count = NODES,
                                     .self = SIMPLEX_NOBODY,
                                     .delay = D0};
    for (uint32_t i = 0; i < NODES; i++) {
        uint8_t seed[SIGN_SEED_SIZE] = {(uint8_t)(i + 1)};
        nodes[i] = (struct node){.evidence_against = UINT32_MAX};
        sign_key_init(&keys[i], seed);
        memcpy(validators[i].pk, keys[i].pk, SIGN_PK_SIZE);
        validators[i].weight = 1;
    }
}

static void stop(uint32_t node)
{
    simplex_free(nodes[node].core);
    nodes[node].core = NULL;
}

static void teardown(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        stop(i);
        for (uint32_t k = 0; k < nodes[i].records_count; k++)
            mn_buf_unref(nodes[i].records[k]);
        mn_buf_unref(nodes[i].decided);
    }
    for (; letters_first < letters_count; letters_first++)
        mn_buf_unref(letters[letters_first].buf);
}

static void post(uint32_t from, const struct simplex_output *out)
{
    for (uint32_t to = 0; to < NODES; to++) {
        if (to == from || (out->send.to != SIMPLEX_ALL && out->send.to != to)) continue;
        ck_assert_uint_lt(letters_count, LETTERS_MAX);
        letters[letters_count++] = (struct letter){from, to, mn_buf_ref(out->send.buf)};
    }
}

static void judge(uint32_t node, const struct simplex_output *out)
{
    struct simplex_input input = {.type = SIMPLEX_IN_JUDGED};

    memcpy(input.judged.hash, out->judge.hash, sizeof input.judged.hash);
    input.judged.is_valid = out->judge.value->bytes[0] == 'v';
    step(node, &input);
}

static void take(uint32_t node, const struct simplex_output *out)
{
    struct node *at = &nodes[node];

    switch (out->type) {
    case SIMPLEX_OUT_SEND: post(node, out); break;
    case SIMPLEX_OUT_PERSIST:
        ck_assert_uint_lt(at->records_count, 256);
        at->records[at->records_count++] = mn_buf_ref(out->persist.record);
        at->write = out->persist.write;
        break;
    case SIMPLEX_OUT_JUDGE: judge(node, out); break;
    case SIMPLEX_OUT_DECIDED:
        at->decided = mn_buf_ref(out->decided.value);
        at->decided_in = out->decided.iteration;
        break;
    case SIMPLEX_OUT_EVIDENCE:
        at->evidence_against = out->evidence.signer;
        at->is_outside = out->evidence.is_outside;
        break;
    }
}

static void step(uint32_t node, const struct simplex_input *input)
{
    struct mn_arena arena = {0};
    struct simplex_outbox out = {.arena = &arena};
    uint64_t before = nodes[node].write;

    simplex_step(nodes[node].core, now, input, &out);
    for (uint32_t i = 0; i < out.count; i++)
        take(node, &out.items[i]);
    simplex_outbox_reset(&out);
    mn_arena_done(&arena);
    simplex_check(nodes[node].core);
    if (nodes[node].write != before && !is_disk_stuck)
        step(node,
             &(struct simplex_input){.type = SIMPLEX_IN_DURABLE, .durable = nodes[node].write});
}

static void give_value(uint32_t node, const char *text)
{
    struct simplex_input input = {.type = SIMPLEX_IN_VALUE,
                                  .value = mn_buf_copy(mn_span_str(text))};

    step(node, &input);
    mn_buf_unref(input.value);
}

static void hand_over(uint32_t to, uint32_t from, struct mn_span bytes)
{
    struct simplex_input input = {.type = SIMPLEX_IN_MESSAGE};

    input.message.from = from;
    input.message.bytes = bytes;
    step(to, &input);
}

/* Delivers everything that is out now; what that causes is the next round. */
static void deliver_round(void)
{
    uint32_t end = letters_count;

    for (; letters_first < end; letters_first++) {
        struct letter *letter = &letters[letters_first];
        if (nodes[letter->to].core != NULL)
            hand_over(letter->to, letter->from, mn_buf_span(letter->buf));
        mn_buf_unref(letter->buf);
    }
}

static void drop_letters(void)
{
    for (; letters_first < letters_count; letters_first++)
        mn_buf_unref(letters[letters_first].buf);
}

static void start_all(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        start(i);
        give_value(i, i % 2 == 0 ? "v even" : "v odd");
    }
}

static uint32_t leader_of(uint32_t iteration)
{
    return simplex_leader(nodes[0].core, iteration);
}

/* A message with one statement of [signer]. */
static struct mn_buf *said(enum simplex_kind kind, uint32_t iteration, uint32_t signer,
                           const struct simplex_hash *hash)
{
    struct simplex_statement statement = {.kind = kind, .iteration = iteration, .signer = signer};
    struct simplex as_signer = *nodes[0].core;
    struct simplex_draft draft;

    if (hash != NULL) statement.hash = *hash;
    as_signer.config.key = &keys[signer];
    simplex_statement_sign(&as_signer, &statement);
    simplex_draft_init(&draft, nodes[0].core);
    simplex_draft_statement(&draft, &statement);
    return simplex_draft_done(&draft);
}

static void hear(uint32_t to, enum simplex_kind kind, uint32_t iteration, uint32_t signer,
                 const struct simplex_hash *hash)
{
    struct mn_buf *buf = said(kind, iteration, signer, hash);

    hand_over(to, signer, mn_buf_span(buf));
    mn_buf_unref(buf);
}

START_TEST(honest_validators_decide_after_three_message_delays)
{
    start_all();
    for (int i = 0; i < 3; i++)
        deliver_round();
    for (uint32_t i = 0; i < NODES; i++) {
        ck_assert_uint_eq(nodes[i].decided_in, 1);
        ck_assert(mn_span_equal(mn_buf_span(nodes[i].decided), mn_buf_span(nodes[0].decided)));
        ck_assert_uint_eq(simplex_view(nodes[i].core).dropped, 0);
        ck_assert_uint_eq(simplex_view(nodes[i].core).liars, 0);
    }
}
END_TEST

START_TEST(nothing_leaves_before_it_is_durable)
{
    uint32_t leader;

    is_disk_stuck = true;
    start_all();
    drop_letters();
    leader = leader_of(1);
    now.mono += 3 * D0; /* everybody gives the leader up, and wants to say so */
    for (uint32_t i = 0; i < NODES; i++)
        step(i, &(struct simplex_input){.type = SIMPLEX_IN_TICK});
    deliver_round();
    for (uint32_t i = 0; i < NODES; i++) {
        const struct simplex_iteration *at = simplex_book_peek(nodes[i].core, 1);
        for (uint32_t k = 0; k < NODES; k++)
            ck_assert(!at->said[k].has_vote && !at->said[k].has_dummy);
        ck_assert_uint_eq(at->proposals_count, i == leader ? 1 : 0);
    }
    is_disk_stuck = false;
    step(leader,
         &(struct simplex_input){.type = SIMPLEX_IN_DURABLE, .durable = nodes[leader].write});
    deliver_round();
    ck_assert_uint_eq(simplex_book_peek(nodes[(leader + 1) % NODES].core, 1)->proposals_count, 1);
}
END_TEST

START_TEST(a_silent_leader_costs_an_iteration)
{
    uint32_t leader;

    start_all();
    leader = leader_of(1);
    drop_letters(); /* its proposal is lost, and then it is gone */
    stop(leader);
    for (int i = 0; i < 40 && nodes[(leader + 1) % NODES].decided == NULL; i++) {
        now.mono += D0;
        for (uint32_t k = 0; k < NODES; k++)
            if (nodes[k].core != NULL) step(k, &(struct simplex_input){.type = SIMPLEX_IN_TICK});
        for (int k = 0; k < 4; k++)
            deliver_round();
    }
    for (uint32_t i = 0; i < NODES; i++)
        if (i != leader) ck_assert_uint_gt(nodes[i].decided_in, 1);
}
END_TEST

START_TEST(a_restarted_validator_contradicts_nothing)
{
    struct simplex_statement mine = {.kind = SIMPLEX_PROPOSAL, .iteration = 1};
    struct simplex_block other = {.iteration = 1};
    struct simplex_draft draft;
    struct simplex as_leader;
    struct mn_buf *buf;
    uint32_t leader, voter;

    start_all();
    leader = leader_of(1);
    voter = (leader + 1) % NODES;
    deliver_round(); /* proposal arrives, the vote is durable */
    ck_assert(simplex_book_peek(nodes[voter].core, 1)->is_voted);
    drop_letters();
    stop(voter);
    start(voter);
    ck_assert(simplex_book_peek(nodes[voter].core, 1)->is_voted);

    as_leader = *nodes[leader].core; /* now it proposes something else */
    other.value_hash = simplex_value_hash(mn_span_str("v other"));
    simplex_block_rehash(&as_leader.instance, &other);
    mine.signer = leader;
    mine.hash = other.hash;
    simplex_statement_sign(&as_leader, &mine);
    memcpy(other.signature, mine.signature, SIGN_SIZE);
    simplex_draft_init(&draft, &as_leader);
    simplex_draft_block(&draft, &other, mn_span_str("v other"));
    buf = simplex_draft_done(&draft);
    hand_over(voter, leader, mn_buf_span(buf));
    mn_buf_unref(buf);
    ck_assert(!simplex_hash_equal(&simplex_book_peek(nodes[voter].core, 1)->said[voter].vote,
                                  &other.hash));
    ck_assert_uint_eq(nodes[voter].evidence_against, leader); /* two proposals */
}
END_TEST

START_TEST(a_torn_record_is_left_out)
{
    uint32_t voter;

    start_all();
    voter = (leader_of(1) + 1) % NODES;
    deliver_round();
    stop(voter);
    for (size_t size = 0; size < nodes[voter].records[0]->size; size += 7) {
        struct mn_span record = mn_span(nodes[voter].records[0]->bytes, size);
        struct simplex_config mine = config;
        struct simplex *core;
        mine.self = voter;
        mine.key = &keys[voter];
        ck_assert_int_eq(simplex_new(&mine, &record, 1, now, &core), MN_OK);
        simplex_check(core);
        simplex_free(core);
    }
}
END_TEST

START_TEST(an_abstainer_says_nothing_and_learns_all)
{
    struct simplex_config mine = config;
    uint32_t silent;

    for (uint32_t i = 0; i < NODES; i++)
        start(i);
    silent = (leader_of(1) + 1) % NODES;
    stop(silent);
    mine.self = silent;
    mine.key = &keys[silent];
    mine.abstains = true;
    ck_assert_int_eq(simplex_new(&mine, NULL, 0, now, &nodes[silent].core), MN_OK);
    for (uint32_t i = 0; i < NODES; i++)
        give_value(i, "v");
    for (int i = 0; i < 4; i++)
        deliver_round();
    ck_assert_uint_eq(nodes[silent].decided_in, 1);
    for (uint32_t i = 0; i < NODES; i++)
        ck_assert(!simplex_book_peek(nodes[i].core, 1)->said[silent].has_vote);
}
END_TEST

/* ---- evidence ---- */

START_TEST(contradictions_convict)
{
    static const enum simplex_kind pairs[][2] = {{SIMPLEX_VOTE, SIMPLEX_VOTE},
                                                 {SIMPLEX_FINAL, SIMPLEX_FINAL},
                                                 {SIMPLEX_FINAL, SIMPLEX_DUMMY},
                                                 {SIMPLEX_DUMMY, SIMPLEX_FINAL}};
    const enum simplex_kind *pair = pairs[_i];
    struct simplex_hash a = {{1}}, b = {{2}};

    validators[3].weight = _i % 2 == 0 ? 1 : 2; /* of 4 and of 5: the latter is a third or more */
    start_all();
    drop_letters();
    hear(0, pair[0], 5, 3, pair[0] == SIMPLEX_DUMMY ? NULL : &a);
    ck_assert_uint_eq(nodes[0].evidence_against, UINT32_MAX);
    hear(0, pair[0], 5, 3, pair[0] == SIMPLEX_DUMMY ? NULL : &a); /* said twice: the same */
    ck_assert_uint_eq(nodes[0].evidence_against, UINT32_MAX);
    hear(0, pair[1], 5, 3, pair[1] == SIMPLEX_DUMMY ? NULL : &b);
    ck_assert_uint_eq(nodes[0].evidence_against, 3);
    ck_assert_int_eq(nodes[0].is_outside, _i % 2 == 1);
    deliver_round(); /* and the others learn it, with the proof */
    ck_assert_uint_eq(nodes[1].evidence_against, 3);
    ck_assert_uint_eq(simplex_view(nodes[2].core).liars, 1u << 3);
    stop(1);
    start(1);
    ck_assert_uint_eq(simplex_view(nodes[1].core).liars, 1u << 3); /* stored */
}
END_TEST

START_TEST(what_is_legal_convicts_nobody)
{
    struct simplex_hash a = {{1}}, b = {{2}};

    start_all();
    drop_letters();
    hear(0, SIMPLEX_VOTE, 5, 3, &a);
    hear(0, SIMPLEX_DUMMY, 5, 3, NULL); /* a vote, then the dummy */
    hear(0, SIMPLEX_VOTE, 6, 3, &b);    /* another iteration */
    hear(0, SIMPLEX_FINAL, 6, 3, &a);   /* final for what others certified */
    ck_assert_uint_eq(simplex_view(nodes[0].core).liars, 0);
}
END_TEST

START_TEST(evidence_verifies_only_as_it_is)
{
    struct simplex_statement pair[2] = {{.kind = SIMPLEX_VOTE, .iteration = 2, .signer = 1},
                                        {.kind = SIMPLEX_VOTE, .iteration = 2, .signer = 1}};
    struct simplex_draft draft;
    struct simplex as_liar;
    struct mn_buf *proof;
    uint32_t signer;

    start(0);
    as_liar = *nodes[0].core;
    as_liar.config.key = &keys[1];
    for (int i = 0; i < 2; i++) {
        pair[i].hash.bytes[0] = (uint8_t)(i + 1);
        simplex_statement_sign(&as_liar, &pair[i]);
    }
    simplex_draft_init(&draft, nodes[0].core);
    simplex_draft_evidence(&draft, pair);
    proof = simplex_draft_done(&draft);
    ck_assert_int_eq(simplex_verify_evidence(&config, mn_buf_span(proof), &signer), MN_OK);
    ck_assert_uint_eq(signer, 1);
    for (size_t i = 20; i < proof->size; i++) { /* after the instance, which is not the proof */
        proof->bytes[i] ^= 1;
        if (simplex_verify_evidence(&config, mn_buf_span(proof), &signer) == MN_OK)
            ck_assert_uint_lt(i, 24); /* the sender's iteration */
        proof->bytes[i] ^= 1;
    }
    mn_buf_unref(proof);
}
END_TEST

/* ---- proofs ---- */

START_TEST(a_decision_verifies_offline_and_only_as_it_is)
{
    struct mn_arena arena = {0};
    struct mn_span value;
    struct mn_buf *proof;

    start_all();
    for (int i = 0; i < 4; i++)
        deliver_round();
    proof = simplex_certificate(nodes[2].core);
    ck_assert_ptr_nonnull(proof);
    ck_assert_int_eq(simplex_verify(&config, mn_buf_span(proof), &arena, &value), MN_OK);
    ck_assert(mn_span_equal(value, mn_buf_span(nodes[2].decided)));
    for (size_t i = 0; i < proof->size; i++) {
        proof->bytes[i] ^= 4;
        if (simplex_verify(&config, mn_buf_span(proof), &arena, &value) == MN_OK)
            ck_assert(mn_span_equal(value, mn_buf_span(nodes[2].decided)));
        proof->bytes[i] ^= 4;
        mn_arena_reset(&arena);
    }
    validators[1].weight = 2; /* other weights are another instance */
    ck_assert_int_ne(simplex_verify(&config, mn_buf_span(proof), &arena, &value), MN_OK);
    mn_buf_unref(proof);
    mn_arena_done(&arena);
}
END_TEST

/* ---- bad input ---- */

START_TEST(strangers_and_nonsense_are_counted)
{
    struct simplex_hash hash = {{1}};
    struct mn_buf *buf;
    uint8_t *huge;

    start_all();
    drop_letters();
    buf = said(SIMPLEX_VOTE, 1, 1, &hash);
    hand_over(0, NODES, mn_buf_span(buf)); /* not a validator */
    ck_assert_uint_eq(simplex_view(nodes[0].core).dropped, 1);
    buf->bytes[buf->size - 1] ^= 1; /* signature */
    hand_over(0, 1, mn_buf_span(buf));
    ck_assert_uint_eq(simplex_view(nodes[0].core).dropped, 2);
    mn_buf_unref(buf);
    huge = calloc(1, SIMPLEX_MESSAGE_MAX + 1);
    hand_over(0, 1, mn_span(huge, SIMPLEX_MESSAGE_MAX + 1));
    ck_assert_uint_eq(simplex_view(nodes[0].core).dropped, 3);
    free(huge);
    hear(0, SIMPLEX_VOTE, 2 + SIMPLEX_AHEAD, 1, &hash); /* an absurd iteration */
    ck_assert_uint_eq(simplex_view(nodes[0].core).dropped, 4);
    buf = said(SIMPLEX_PROPOSAL, 1, 1, &hash); /* comes as a block, never so */
    hand_over(0, 1, mn_buf_span(buf));
    mn_buf_unref(buf);
    ck_assert_uint_eq(simplex_view(nodes[0].core).dropped, 5);
    config.name.bytes[0]++; /* a message of another agreement */
    stop(0);
    start(0);
    buf = said(SIMPLEX_VOTE, 1, 1, &hash);
    hand_over(1, 1, mn_buf_span(buf));
    mn_buf_unref(buf);
    ck_assert_uint_eq(simplex_view(nodes[1].core).dropped, 1);
}
END_TEST

START_TEST(bad_configurations_are_refused)
{
    struct simplex *core;
    struct simplex_config bad = config;

    bad.validators_count = 0;
    ck_assert_int_eq(simplex_new(&bad, NULL, 0, now, &core), MN_CONFIG);
    bad.validators_count = SIMPLEX_VALIDATORS_MAX + 1;
    ck_assert_int_eq(simplex_new(&bad, NULL, 0, now, &core), MN_CONFIG);
    bad = config;
    bad.delay = 0;
    ck_assert_int_eq(simplex_new(&bad, NULL, 0, now, &core), MN_CONFIG);
    bad = config;
    bad.self = 1; /* with the key of another */
    bad.key = &keys[2];
    ck_assert_int_eq(simplex_new(&bad, NULL, 0, now, &core), MN_CONFIG);
    validators[2].weight = 0;
    ck_assert_int_eq(simplex_new(&config, NULL, 0, now, &core), MN_CONFIG);
    validators[2].weight = SIMPLEX_TOTAL_MAX - 2; /* together one too many */
    ck_assert_int_eq(simplex_new(&config, NULL, 0, now, &core), MN_CONFIG);
    validators[2].weight = SIMPLEX_TOTAL_MAX - 3;
    ck_assert_int_eq(simplex_new(&config, NULL, 0, now, &core), MN_OK);
    simplex_free(core);
    validators[2] = validators[1]; /* a key twice */
    ck_assert_int_eq(simplex_new(&config, NULL, 0, now, &core), MN_CONFIG);
}
END_TEST

START_TEST(two_quorums_share_more_than_liars_have)
{
    for (uint64_t total = 1; total < 2000; total++) {
        uint64_t quorum = simplex_quorum(total), shared = 2 * quorum - total;
        uint64_t liars = (total - 1) / 3; /* the most that is inside the model */
        ck_assert(!simplex_is_outside(liars, total));
        ck_assert(simplex_is_outside(liars + 1, total));
        ck_assert_uint_gt(shared, liars);
        ck_assert_uint_ge(total - liars, quorum); /* the honest ones suffice */
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simplex");
    TCase *tcase = tcase_create("simplex");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, honest_validators_decide_after_three_message_delays);
    tcase_add_test(tcase, nothing_leaves_before_it_is_durable);
    tcase_add_test(tcase, a_silent_leader_costs_an_iteration);
    tcase_add_test(tcase, a_restarted_validator_contradicts_nothing);
    tcase_add_test(tcase, a_torn_record_is_left_out);
    tcase_add_test(tcase, an_abstainer_says_nothing_and_learns_all);
    tcase_add_loop_test(tcase, contradictions_convict, 0, 4);
    tcase_add_test(tcase, what_is_legal_convicts_nobody);
    tcase_add_test(tcase, evidence_verifies_only_as_it_is);
    tcase_add_test(tcase, a_decision_verifies_offline_and_only_as_it_is);
    tcase_add_test(tcase, strangers_and_nonsense_are_counted);
    tcase_add_test(tcase, bad_configurations_are_refused);
    tcase_add_test(tcase, two_quorums_share_more_than_liars_have);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
