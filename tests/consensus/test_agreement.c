/* Byzantine decisions: all honest voters end with one outcome that anybody can check, and who says
 * two things is convicted. */
#include "proto/simplex.pb-c.h"
#include "tests/consensus/decision_net.h"
#include "tests/suite.h"

static mn_id propose_byzantine(uint32_t node, const char *topic)
{
    is_byzantine = true;
    return propose(node, topic, "v2");
}

/* Everybody up has this outcome, proven; the proof is good with nothing else. */
static void check_agreed(const mn_id *id, enum decision_outcome outcome)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct mn_arena arena = {0};
        struct decision_view view;
        struct mn_buf *proof;
        if (nodes[i].core == NULL) continue;
        view = view_of(i, id);
        ck_assert_msg(view.is_certified && view.is_byzantine, "node %u proves nothing", i);
        ck_assert_int_eq(view.outcome, outcome);
        proof = decision_certificate(nodes[i].core, id);
        ck_assert_int_eq(decision_verify(&mesh_id, mn_buf_span(proof), &arena, &view), MN_OK);
        ck_assert(view.is_certified && view.is_byzantine);
        ck_assert_int_eq(view.outcome, outcome);
        mn_buf_unref(proof);
        mn_arena_done(&arena);
    }
}

START_TEST(enough_yes_is_agreed_on_everywhere)
{
    mn_id id = propose_byzantine(0, "deploy");

    ck_assert_int_eq(nodes[0].status, MN_OK);
    deliver_all();
    for (uint32_t i = 0; i < 5; i++)
        answer(i, &id, DECISION_YES);
    pass(MN_SEC);
    check_agreed(&id, DECISION_ACHIEVED);
    ck_assert_uint_eq(view_of(5, &id).yes, 5000);
}
END_TEST

START_TEST(enough_no_is_agreed_on)
{
    mn_id id = propose_byzantine(0, "deploy");

    deliver_all();
    for (uint32_t i = 0; i < 2; i++)
        answer(i, &id, DECISION_NO);
    pass(MN_SEC);
    check_agreed(&id, DECISION_REFUSED);
}
END_TEST

START_TEST(silence_is_agreed_on_too)
{
    mn_id id = propose_byzantine(0, "deploy");

    pass(MN_SEC);
    ck_assert_int_eq(view_of(0, &id).outcome, DECISION_OPEN);
    pass(3 * MN_SEC);
    check_agreed(&id, DECISION_NO_QUORUM);
}
END_TEST

START_TEST(votes_that_decide_nothing_are_a_timeout_for_all)
{
    mn_id id = propose_byzantine(0, "deploy");

    deliver_all();
    for (uint32_t i = 0; i < NODES; i++)
        answer(i, &id, i < 2 ? DECISION_YES : i == 2 ? DECISION_NO : DECISION_ABSTAIN);
    pass(4 * MN_SEC);
    check_agreed(&id, DECISION_TIMEOUT);
    ck_assert_uint_eq(view_of(4, &id).abstain, 3000);
}
END_TEST

START_TEST(less_than_a_third_may_be_down)
{
    mn_id id;

    stop(5);
    id = propose_byzantine(0, "deploy");
    deliver_all();
    for (uint32_t i = 0; i < 5; i++)
        answer(i, &id, DECISION_YES);
    pass(20 * MN_SEC);
    check_agreed(&id, DECISION_ACHIEVED);
}
END_TEST

START_TEST(a_third_down_is_not_agreed_until_one_is_back)
{
    mn_id id;

    stop(4);
    stop(5);
    id = propose_byzantine(0, "deploy");
    deliver_all();
    answer(0, &id, DECISION_YES);
    pass(70 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++) { /* only a local word */
        ck_assert_int_eq(view_of(i, &id).outcome, DECISION_NO_QUORUM);
        ck_assert(!view_of(i, &id).is_certified);
    }
    start(4); /* it never heard of it, but may still join */
    pass(60 * MN_SEC);
    check_agreed(&id, DECISION_NO_QUORUM);
}
END_TEST

START_TEST(who_was_down_at_the_end_hears_of_it)
{
    mn_id id = propose_byzantine(0, "deploy");

    deliver_all();
    for (uint32_t i = 0; i < NODES; i++)
        answer(i, &id, i < 2 ? DECISION_YES : i == 2 ? DECISION_NO : DECISION_ABSTAIN);
    stop(5);
    pass(10 * MN_SEC);
    check_agreed(&id, DECISION_TIMEOUT);
    start(5); /* what it has decides nothing, so it has nothing to agree on */
    pass(10 * MN_SEC);
    check_agreed(&id, DECISION_TIMEOUT);
}
END_TEST

START_TEST(it_survives_a_proposer_that_told_one)
{
    mn_id id = propose_byzantine(0, "deploy");

    while (letters_first < letters_count) {
        struct letter *letter = &letters[letters_first++];
        if (letter->to == 3) hand_over(3, 0, mn_buf_span(letter->buf));
        mn_buf_unref(letter->buf);
    }
    stop(0);
    answer(3, &id, DECISION_YES);
    pass(30 * MN_SEC);
    check_agreed(&id, DECISION_NO_QUORUM);
}
END_TEST

START_TEST(all_may_restart_at_any_time)
{
    mn_id id = propose_byzantine(0, "deploy");
    int left = _i * 7;

    deliver_all();
    for (uint32_t i = 0; i < 5; i++) /* the last one only agrees */
        answer(i, &id, DECISION_YES);
    for (; left > 0 && letters_first < letters_count; left--) {
        struct letter letter = letters[letters_first++];
        hand_over(letter.to, letter.from, mn_buf_span(letter.buf));
        mn_buf_unref(letter.buf);
    }
    drop_letters();
    for (uint32_t i = 0; i < NODES; i++) {
        stop(i);
        start(i);
    }
    pass(5 * MN_SEC);
    check_agreed(&id, DECISION_ACHIEVED);
    for (uint32_t i = 0; i < NODES; i++) {
        ck_assert_uint_eq(nodes[i].convicted, 0);
        ck_assert_uint_eq(nodes[i].disk.count, 1); /* nothing stays behind of the agreeing */
        stop(i);
        start(i);
        ck_assert_int_eq(view_of(i, &id).own, i < 5 ? DECISION_YES : DECISION_NONE);
    }
    check_agreed(&id, DECISION_ACHIEVED);
}
END_TEST

static bool says_anything(const struct letter *letter)
{
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(letter->buf));
    const Meshnode__Simplex__Message *inner;
    bool does = wire->n_votes > 0 || wire->n_lates > 0;

    if (wire->agreement.len > 0) {
        inner =
            pb_unpack(&meshnode__simplex__message__descriptor, &arena, pb_span(wire->agreement));
        does |= inner->n_statements > 0;
    }
    mn_arena_done(&arena);
    return does;
}

START_TEST(no_word_leaves_before_it_is_durable)
{
    mn_id id = propose_byzantine(0, "deploy");

    deliver_all();
    is_disk_stuck = true;
    for (uint32_t i = 0; i < NODES; i++)
        answer(i, &id, DECISION_YES);
    for (int i = 0; i < 100; i++) {
        now.mono += 50 * MN_MS;
        for (uint32_t k = 0; k < NODES; k++)
            step(k, &(struct decision_input){.type = DECISION_IN_TICK});
    }
    for (; letters_first < letters_count; letters_first++) {
        ck_assert(!says_anything(&letters[letters_first]));
        mn_buf_unref(letters[letters_first].buf);
    }
}
END_TEST

START_TEST(three_members_cannot_outvote_a_liar)
{
    for (uint32_t i = 3; i < NODES; i++)
        weigh(i, 0);
    tell_members(0);
    (void)propose_byzantine(0, "deploy");
    ck_assert_int_eq(nodes[0].status, MN_DENIED);
}
END_TEST

START_TEST(so_many_may_be_open_and_of_one_proposer_a_quarter)
{
    for (uint32_t i = 0; i < 8; i++) {
        (void)propose_byzantine(0, "deploy");
        ck_assert_int_eq(nodes[0].status, MN_OK);
    }
    (void)propose_byzantine(0, "deploy");
    ck_assert_int_eq(nodes[0].status, MN_BUSY);
    deliver_all();
    for (uint32_t i = 1, known = 0; i < NODES; i++, known = 0) {
        struct decision_view view;
        while (decision_at(nodes[i].core, known, &view))
            known++;
        ck_assert_uint_eq(known, 2);
    }
    pass(5 * MN_SEC); /* two end, for which there are enough voters */
    is_byzantine = false;
    (void)propose(0, "other", "v1"); /* the others have room of their own */
    ck_assert_int_eq(nodes[0].status, MN_OK);
}
END_TEST

/* ---- liars ---- */

static struct decision_proposal proposal_of(uint32_t node, const mn_id *id)
{
    struct mn_buf *known = decision_certificate(nodes[node].core, id);
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(known));
    struct decision_proposal proposal;

    ck_assert_ptr_nonnull(wire);
    ck_assert_int_eq(decision_read_proposal(&mesh_id, wire->proposal, &proposal), MN_OK);
    mn_arena_done(&arena);
    mn_buf_unref(known);
    for (uint32_t i = 0; i < proposal.voters_count; i++) /* so that it can be packed again */
        for (uint32_t k = 0; k < NODES; k++)
            if (mn_id_equal(&proposal.voters[i].node_id, &ids[k]))
                proposal.voters[i].record = members[k].record;
    return proposal;
}

static struct decision_signed word_of(uint32_t node, const struct decision_proposal *proposal,
                                      enum decision_choice choice)
{
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[node]};
    struct decision_vote vote = {.id = proposal->id, .choice = choice};

    vote.cause = choice == DECISION_LATE ? (enum decision_cause)0 : DECISION_BY_HAND;
    memcpy(vote.proposal, proposal->hash, sizeof vote.proposal);
    memcpy(vote.pk, keys[node].pk, sizeof vote.pk);
    return decision_sign(&config, SIGN_BALLOT, decision_pack_vote(&vote));
}

static void say(uint32_t liar, uint32_t to, const struct decision_signed *word)
{
    struct decision_draft draft;
    struct mn_buf *buf;

    decision_draft_init(&draft);
    decision_draft_vote(&draft, word);
    buf = decision_draft_done(&draft);
    hand_over(to, liar, mn_buf_span(buf));
    mn_buf_unref(buf);
}

/* Everybody but the liar itself holds evidence, good with nothing else. */
static void check_convicted(uint32_t liar, enum decision_lie lie)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct decision_conviction held, read;
        struct mn_buf *bent;
        if (i == liar || nodes[i].core == NULL) continue;
        ck_assert_uint_eq(nodes[i].convicted, 1);
        ck_assert(decision_conviction_at(nodes[i].core, 0, &held));
        ck_assert(!decision_conviction_at(nodes[i].core, 1, &read));
        ck_assert(mn_id_equal(&held.node, &ids[liar]));
        ck_assert_int_eq(held.lie, lie);
        ck_assert_int_eq(decision_verify_evidence(&mesh_id, held.proof, &read), MN_OK);
        ck_assert(mn_id_equal(&read.node, &ids[liar]) && read.lie == lie);
        bent = mn_buf_copy(held.proof);
        bent->bytes[40] ^= 1;
        ck_assert_int_ne(decision_verify_evidence(&mesh_id, mn_buf_span(bent), &read), MN_OK);
        mn_buf_unref(bent);
    }
}

START_TEST(who_votes_twice_is_convicted_and_voteless)
{
    mn_id id = propose_byzantine(0, "deploy"), next;
    struct decision_proposal proposal = proposal_of(0, &id);
    struct decision_signed yes = word_of(5, &proposal, DECISION_YES);
    struct decision_signed no = word_of(5, &proposal, DECISION_NO);

    deliver_all();
    say(5, 1, &yes);
    say(5, 2, &no);
    say(5, 1, &no);
    for (uint32_t i = 0; i < 5; i++)
        answer(i, &id, DECISION_YES);
    pass(MN_SEC);
    check_convicted(5, DECISION_TWO_BALLOTS);
    check_agreed(&id, DECISION_ACHIEVED);
    stop(2);
    start(2); /* it does not forget */
    ck_assert(decision_is_accused(nodes[2].core, &ids[5]));
    next = propose_byzantine(2, "other");
    ck_assert_uint_eq(view_of(2, &next).ballots_count, 5);
    deliver_all();
    for (uint32_t i = 0; i < 5; i++)
        answer(i, &next, DECISION_YES);
    pass(MN_SEC);
    ck_assert_int_eq(view_of(0, &next).outcome, DECISION_ACHIEVED);
    mn_buf_unref(yes.body);
    mn_buf_unref(no.body);
    decision_proposal_done(&proposal);
}
END_TEST

START_TEST(two_proposals_under_one_id_convict)
{
    mn_id id = propose_byzantine(0, "deploy");
    struct decision_config config = {.mesh_id = mesh_id, .key = &keys[0]};
    struct decision_proposal proposal = proposal_of(0, &id);
    struct decision_signed other;
    struct decision_draft draft;
    struct mn_buf *buf;

    deliver_all();
    proposal.value = mn_span_str("v3");
    other = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&proposal));
    decision_draft_init(&draft);
    decision_draft_proposal(&draft, &other);
    buf = decision_draft_done(&draft);
    hand_over(4, 0, mn_buf_span(buf));
    stop(0);
    pass(MN_SEC);
    check_convicted(0, DECISION_TWO_PROPOSALS);
    mn_buf_unref(buf);
    mn_buf_unref(other.body);
    decision_proposal_done(&proposal);
}
END_TEST

/* FINAL and the dummy vote of one iteration, by node 5. */
static struct mn_buf *two_statements(const struct decision_proposal *proposal)
{
    struct simplex_validator validators[DECISION_VALIDATORS_MAX];
    struct simplex_config config = decision_validators(&mesh_id, proposal, validators);
    Meshnode__Simplex__Message wire = MESHNODE__SIMPLEX__MESSAGE__INIT;
    Meshnode__Simplex__Statement statements[2], *pointers[2] = {&statements[0], &statements[1]};
    mn_id instance = simplex_instance(&config);
    uint8_t body[2][16 + 4 + 32] = {{0}}, signatures[2][SIGN_SIZE];

    for (uint32_t i = 0; i < 2; i++) {
        memcpy(body[i], instance.bytes, sizeof instance.bytes);
        body[i][19] = 1; /* iteration, big endian */
        if (i == 0) memset(body[i] + 20, 7, 32);
        sign_make(&keys[5], i == 0 ? SIGN_BFT_FINAL : SIGN_BFT_VOTE, &mesh_id,
                  mn_span(body[i], sizeof body[i]), signatures[i]);
        meshnode__simplex__statement__init(&statements[i]);
        statements[i].kind = i == 0 ? SIMPLEX_FINAL : SIMPLEX_DUMMY;
        statements[i].iteration = 1;
        statements[i].signer = (uint32_t)decision_find_voter(proposal, &ids[5]);
        statements[i].signature = pb_bytes(mn_span(signatures[i], SIGN_SIZE));
    }
    statements[0].hash = pb_bytes(mn_span(body[0] + 20, 32));
    wire.instance = pb_id_bytes(&instance);
    wire.iteration = 1;
    wire.n_statements = 2;
    wire.statements = pointers;
    return pb_pack(&wire.base);
}

START_TEST(two_statements_convict)
{
    mn_id id = propose_byzantine(0, "deploy");
    struct decision_proposal proposal = proposal_of(0, &id);
    struct mn_buf *lie = two_statements(&proposal), *buf;
    struct decision_draft draft;

    deliver_all();
    for (uint32_t i = 0; i < 5; i++)
        answer(i, &id, DECISION_YES);
    while (letters_first < letters_count) { /* all votes, and the first words of the agreement */
        struct letter letter = letters[letters_first++];
        if (!view_of(letter.to, &id).is_certified)
            hand_over(letter.to, letter.from, mn_buf_span(letter.buf));
        mn_buf_unref(letter.buf);
        if (letter.to == 1 && view_of(1, &id).yes >= 5000) break;
    }
    ck_assert(!view_of(1, &id).is_certified);
    decision_draft_init(&draft);
    draft.wire.about = pb_id_bytes(&id);
    draft.wire.agreement = pb_bytes(mn_buf_span(lie));
    buf = decision_draft_done(&draft);
    hand_over(1, 5, mn_buf_span(buf));
    pass(MN_SEC);
    check_convicted(5, DECISION_TWO_STATEMENTS);
    check_agreed(&id, DECISION_ACHIEVED);
    mn_buf_unref(buf);
    mn_buf_unref(lie);
    decision_proposal_done(&proposal);
}
END_TEST

/* ---- what may be agreed on ---- */

/* Words in the order of the voters, of those whose bit is set. */
static void fill(struct decision_draft *draft, struct decision_signed *words,
                 const struct decision_proposal *proposal, uint32_t who,
                 enum decision_choice choice)
{
    for (uint32_t i = 0; i < proposal->voters_count; i++)
        for (uint32_t node = 0; node < NODES; node++) {
            if ((who >> node & 1) == 0 || !mn_id_equal(&proposal->voters[i].node_id, &ids[node]))
                continue;
            words[node] = word_of(node, proposal, choice);
            if (choice == DECISION_LATE)
                decision_draft_late(draft, &words[node]);
            else
                decision_draft_vote(draft, &words[node]);
        }
}

static mn_status judge(const struct decision_proposal *proposal, uint32_t yes, uint32_t late,
                       bool is_swapped, enum decision_outcome *ret)
{
    Meshnode__Decision__Outcome outcome = MESHNODE__DECISION__OUTCOME__INIT;
    struct decision_signed votes[NODES] = {0}, lates[NODES] = {0};
    struct decision_proposal scratch = *proposal;
    struct decision_ballot voters[NODES];
    struct decision_draft draft;
    mn_status status;

    decision_draft_init(&draft);
    fill(&draft, votes, proposal, yes, DECISION_YES);
    fill(&draft, lates, proposal, late, DECISION_LATE);
    outcome.votes = draft.wire.votes;
    outcome.n_votes = draft.wire.n_votes;
    outcome.lates = draft.wire.lates;
    outcome.n_lates = draft.wire.n_lates;
    if (is_swapped) {
        Meshnode__Decision__Signed *first = outcome.votes[0];
        outcome.votes[0] = outcome.votes[1];
        outcome.votes[1] = first;
    }
    memcpy(voters, proposal->voters, sizeof voters);
    scratch.voters = voters;
    status = decision_read_outcome(&mesh_id, &scratch, &outcome, ret);
    mn_arena_done(&draft.arena);
    for (uint32_t i = 0; i < NODES; i++) {
        mn_buf_unref(votes[i].body);
        mn_buf_unref(lates[i].body);
    }
    return status;
}

START_TEST(liars_alone_cannot_make_it_a_timeout)
{
    mn_id id = propose_byzantine(0, "deploy");
    struct decision_proposal proposal = proposal_of(0, &id);
    enum decision_outcome outcome = DECISION_OPEN;

    ck_assert_int_eq(judge(&proposal, 0x1f, 0, false, &outcome), MN_OK);
    ck_assert_int_eq(outcome, DECISION_ACHIEVED);
    ck_assert_int_eq(judge(&proposal, 0x1f, 0, true, &outcome), MN_MALFORMED);
    ck_assert_int_eq(judge(&proposal, 0x1f, 0x3f, false, &outcome), MN_MALFORMED);
    ck_assert_int_eq(judge(&proposal, 0x0f, 0, false, &outcome), MN_MALFORMED);
    ck_assert_int_eq(judge(&proposal, 0x0f, 0x03, false, &outcome), MN_MALFORMED); /* a third */
    ck_assert_int_eq(judge(&proposal, 0x0f, 0x07, false, &outcome), MN_OK);
    ck_assert_int_eq(outcome, DECISION_NO_QUORUM);
    decision_proposal_done(&proposal);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("agreement");
    TCase *tcase = tcase_create("agreement");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, enough_yes_is_agreed_on_everywhere);
    tcase_add_test(tcase, enough_no_is_agreed_on);
    tcase_add_test(tcase, silence_is_agreed_on_too);
    tcase_add_test(tcase, votes_that_decide_nothing_are_a_timeout_for_all);
    tcase_add_test(tcase, less_than_a_third_may_be_down);
    tcase_add_test(tcase, a_third_down_is_not_agreed_until_one_is_back);
    tcase_add_test(tcase, who_was_down_at_the_end_hears_of_it);
    tcase_add_test(tcase, it_survives_a_proposer_that_told_one);
    tcase_add_loop_test(tcase, all_may_restart_at_any_time, 0, 24);
    tcase_add_test(tcase, no_word_leaves_before_it_is_durable);
    tcase_add_test(tcase, three_members_cannot_outvote_a_liar);
    tcase_add_test(tcase, so_many_may_be_open_and_of_one_proposer_a_quarter);
    tcase_add_test(tcase, who_votes_twice_is_convicted_and_voteless);
    tcase_add_test(tcase, two_proposals_under_one_id_convict);
    tcase_add_test(tcase, two_statements_convict);
    tcase_add_test(tcase, liars_alone_cannot_make_it_a_timeout);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return suite_run(suite());
}
