/* Signed one-shot decisions. */
#include <math.h>

#include "tests/consensus/decision_net.h"
#include "tests/suite.h"

START_TEST(enough_yes_is_achieved_everywhere)
{
    mn_id id = propose(0, "deploy", "v2");

    ck_assert_int_eq(nodes[0].status, MN_OK);
    deliver_all();
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_ge(nodes[i].asked, 1);
        answer(i, &id, DECISION_YES);
    }
    deliver_all();
    for (uint32_t i = 0; i < NODES; i++) {
        ck_assert_int_eq(nodes[i].outcome, DECISION_ACHIEVED);
        ck_assert_int_eq(view_of(i, &id).outcome, DECISION_ACHIEVED);
    }
    ck_assert_int_eq(view_of(5, &id).own, DECISION_NONE); /* nobody voted for it */
}
END_TEST

START_TEST(enough_no_is_refused)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    answer(0, &id, DECISION_YES);
    answer(1, &id, DECISION_NO);
    deliver_all();
    ck_assert_int_eq(nodes[0].outcome, DECISION_OPEN); /* 5 of 6 can still say yes */
    answer(2, &id, DECISION_NO);
    deliver_all();
    for (uint32_t i = 0; i < NODES; i++)
        ck_assert_int_eq(view_of(i, &id).outcome, DECISION_REFUSED);
}
END_TEST

START_TEST(who_does_not_answer_has_no_vote)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    answer(0, &id, DECISION_YES);
    answer(1, &id, DECISION_YES);
    pass(4 * MN_SEC);
    for (uint32_t i = 0; i < NODES; i++) {
        ck_assert_int_eq(view_of(i, &id).outcome, DECISION_NO_QUORUM);
        ck_assert_uint_le(view_of(i, &id).yes, 2000);
    }
    answer(2, &id, DECISION_YES); /* too late */
    ck_assert_int_eq(nodes[2].status, MN_EXPIRED);
}
END_TEST

START_TEST(a_quorum_that_does_not_decide_is_a_timeout)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    for (uint32_t i = 0; i < 4; i++)
        answer(i, &id, DECISION_YES);
    answer(4, &id, DECISION_NO); /* 4 yes of 6 are not 3/4, and 5 could be */
    pass(4 * MN_SEC);
    ck_assert_int_eq(view_of(0, &id).outcome, DECISION_TIMEOUT);
}
END_TEST

START_TEST(a_vote_waits_for_the_disk)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    is_disk_stuck = true;
    answer(1, &id, DECISION_YES);
    ck_assert_uint_eq(letters_first, letters_count);
    ck_assert_uint_eq(view_of(1, &id).yes, 0);
    step(1, &(struct decision_input){.type = DECISION_IN_DURABLE, .durable = nodes[1].write});
    ck_assert_uint_eq(letters_count - letters_first, 1);
    ck_assert_uint_eq(view_of(1, &id).yes, 1000);
}
END_TEST

START_TEST(one_vote_per_decision_also_after_a_restart)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    answer(1, &id, DECISION_YES);
    answer(1, &id, DECISION_NO);
    ck_assert_int_eq(nodes[1].status, MN_EXISTS);
    drop_letters();
    stop(1);
    start(1);
    ck_assert_int_eq(view_of(1, &id).own, DECISION_YES);
    answer(1, &id, DECISION_NO);
    ck_assert_int_eq(nodes[1].status, MN_EXISTS);
    pass(300 * MN_MS); /* the proposer asks again, and gets the vote that was lost */
    ck_assert_uint_eq(view_of(0, &id).yes, 1000);
}
END_TEST

START_TEST(no_second_yes_under_a_topic_until_the_window_ends)
{
    mn_id first = propose(0, "leader", "a"), second, third, other;

    deliver_all();
    answer(1, &first, DECISION_YES);
    second = propose(2, "leader", "b");
    other = propose(3, "other", "b");
    deliver_all();
    stop(1);
    start(1); /* it must know that from its disk */
    pass(300 * MN_MS);
    answer(1, &second, DECISION_YES);
    ck_assert_int_eq(nodes[1].status, MN_STATE);
    ck_assert_int_eq(view_of(1, &second).own, DECISION_ABSTAIN);
    answer(1, &other, DECISION_YES); /* another topic */
    ck_assert_int_eq(nodes[1].status, MN_OK);
    pass(2 * MN_SEC + DECISION_WINDOW);
    third = propose(2, "leader", "b");
    deliver_all();
    answer(1, &third, DECISION_YES);
    ck_assert_int_eq(nodes[1].status, MN_OK);
    ck_assert_int_eq(view_of(1, &third).own, DECISION_YES);
}
END_TEST

START_TEST(a_wall_clock_that_leaps_opens_no_window)
{
    mn_id first = propose(0, "leader", "a"), second;

    deliver_all();
    answer(1, &first, DECISION_YES);
    now.wall += MN_HOUR;
    for (uint32_t i = 0; i < NODES; i++)
        weigh(i, 1000); /* they say it again soon */
    tell_members(2);
    second = propose(2, "leader", "b");
    deliver_all();
    answer(1, &second, DECISION_YES);
    ck_assert_int_eq(nodes[1].status, MN_STATE);
}
END_TEST

START_TEST(weights_that_are_not_known_are_refused)
{
    mn_id id;

    weigh(2, 500); /* what node 1 knows: within a factor of two */
    tell_members(1);
    id = propose(0, "a", "v");
    deliver_all();
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NONE);
    ck_assert_uint_ge(nodes[1].asked, 1);
    weigh(2, 200); /* and now it is not */
    tell_members(1);
    id = propose(0, "b", "v");
    deliver_all();
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NO);
    pass(100 * MN_MS);
    for (uint32_t i = 0; i < NODES; i++)
        if (mn_id_equal(&view_of(0, &id).ballots[i].node_id, &ids[1]))
            ck_assert_int_eq(view_of(0, &id).ballots[i].cause, DECISION_BAD_WEIGHTS);
}
END_TEST

START_TEST(a_proposer_that_picks_its_friends_is_refused)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    mn_id id;

    input.members.items = members; /* it leaves out two of six */
    input.members.count = 4;
    step(0, &input);
    id = propose(0, "a", "v");
    deliver_all();
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NO);
    input.members.count = 5; /* one: it may not have heard of it yet */
    step(0, &input);
    id = propose(0, "b", "v");
    deliver_all();
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NONE);
}
END_TEST

/* All nodes anew, with patience, and only some of the members are known to [node]. */
static void know_only(uint32_t node, uint32_t count)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};

    patience = MN_SEC;
    for (uint32_t i = 0; i < NODES; i++) {
        stop(i);
        start(i);
    }
    input.members.items = members;
    input.members.count = count;
    step(node, &input);
}

static const struct decision_ballot *ballot_of(uint32_t node, const mn_id *id, uint32_t voter)
{
    struct decision_view view = view_of(node, id);

    for (uint32_t i = 0; i < view.ballots_count; i++)
        if (mn_id_equal(&view.ballots[i].node_id, &ids[voter])) return &view.ballots[i];
    ck_abort_msg("it has a vote");
    return NULL;
}

START_TEST(who_has_not_heard_of_a_member_waits)
{
    mn_id id;

    know_only(1, 5);
    id = propose(0, "a", "v");
    deliver_all();
    pass(900 * MN_MS);
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NONE);
    ck_assert_uint_eq(nodes[1].asked, 0);
    ck_assert_int_eq(ballot_of(0, &id, 1)->choice, DECISION_NONE);
    ck_assert_int_eq(ballot_of(0, &id, 1)->cause, DECISION_BAD_WEIGHTS); /* the proposer knows */
    answer(1, &id, DECISION_YES); /* its owner may not say so either */
    ck_assert_int_eq(nodes[1].status, MN_NOT_YET);
    tell_members(1);
    pass(300 * MN_MS);
    ck_assert_uint_ge(nodes[1].asked, 1);
    ck_assert_int_eq((int)ballot_of(0, &id, 1)->cause, 0);
    answer(1, &id, DECISION_YES);
    ck_assert_int_eq(nodes[1].status, MN_OK);
}
END_TEST

START_TEST(but_not_for_ever)
{
    mn_id id;

    know_only(0, 4); /* it leaves out two of six */
    id = propose(0, "a", "v");
    deliver_all();
    pass(900 * MN_MS);
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NONE);
    ck_assert_int_eq(ballot_of(0, &id, 1)->cause, DECISION_BAD_VOTERS);
    answer(2, &id, DECISION_NO); /* no needs no agreement about members */
    ck_assert_int_eq(nodes[2].status, MN_OK);
    pass(400 * MN_MS);
    ck_assert_int_eq(view_of(1, &id).own, DECISION_NO);
    ck_assert_int_eq(ballot_of(0, &id, 1)->cause, DECISION_BAD_VOTERS);
    ck_assert_int_eq(view_of(0, &id).outcome, DECISION_REFUSED);
}
END_TEST

START_TEST(doubts_are_believed_of_voters_by_the_proposer_alone)
{
    Meshnode__Decision__Message wire = MESHNODE__DECISION__MESSAGE__INIT;
    mn_id id = propose(0, "a", "v"), other = {{9}};
    struct mn_buf *buf;

    deliver_all();
    for (uint32_t doubt = 0; doubt < 8; doubt++) {
        wire.doubted = pb_id_bytes(doubt == 7 ? &other : &id);
        wire.doubt = doubt;
        buf = pb_pack(&wire.base);
        hand_over(0, 1, mn_buf_span(buf));
        hand_over(2, 1, mn_buf_span(buf)); /* it did not propose */
        mn_buf_unref(buf);
        ck_assert_int_eq((int)ballot_of(2, &id, 1)->cause, 0);
        ck_assert((int)ballot_of(0, &id, 1)->cause == 0 ||
                  ballot_of(0, &id, 1)->cause == DECISION_BAD_WEIGHTS ||
                  ballot_of(0, &id, 1)->cause == DECISION_BAD_VOTERS);
    }
    answer(1, &id, DECISION_YES);
    deliver_all();
    wire.doubted = pb_id_bytes(&id);
    wire.doubt = DECISION_BAD_VOTERS;
    buf = pb_pack(&wire.base);
    hand_over(0, 1, mn_buf_span(buf)); /* late: it has voted */
    mn_buf_unref(buf);
    ck_assert_int_eq(ballot_of(0, &id, 1)->cause, DECISION_BY_HAND);
}
END_TEST

START_TEST(the_outcome_survives_its_proposer)
{
    mn_id id = propose(0, "deploy", "v2");

    deliver_all();
    stop(0);
    for (uint32_t i = 1; i < NODES; i++)
        answer(i, &id, DECISION_YES);
    drop_letters(); /* nobody has more than its own vote */
    pass(3 * MN_SEC);
    for (uint32_t i = 1; i < NODES; i++)
        ck_assert_int_eq(view_of(i, &id).outcome, DECISION_ACHIEVED);
    start(0); /* which learns it too */
    pass(MN_SEC);
    ck_assert_int_eq(view_of(0, &id).outcome, DECISION_ACHIEVED);
}
END_TEST

START_TEST(a_restored_node_abstains)
{
    mn_id id;

    stop(1);
    abstains = true;
    start(1);
    id = propose(0, "deploy", "v2");
    deliver_all();
    ck_assert_uint_eq(nodes[1].asked, 0);
    answer(1, &id, DECISION_YES);
    ck_assert_int_eq(nodes[1].status, MN_DENIED);
}
END_TEST

START_TEST(a_full_table_says_busy_until_something_is_over)
{
    for (uint32_t i = 0; i < 16; i++) {
        char topic[8] = {(char)('a' + i)};
        propose(0, topic, "v");
        ck_assert_int_eq(nodes[0].status, MN_OK);
    }
    propose(0, "more", "v");
    ck_assert_int_eq(nodes[0].status, MN_BUSY);
    deliver_all(); /* another one keeps a quarter for each proposer */
    {
        struct decision_view view;
        ck_assert(decision_at(nodes[1].core, 3, &view));
        ck_assert(!decision_at(nodes[1].core, 4, &view));
    }
    pass(2 * MN_SEC + DECISION_WINDOW + 2 * MN_SEC);
    propose(0, "more", "v");
    ck_assert_int_eq(nodes[0].status, MN_OK);
}
END_TEST

/* ---- certificates ---- */

START_TEST(a_certificate_verifies_offline_and_only_as_it_is)
{
    mn_id id = propose(0, "deploy", "v2"), other_mesh = {{6}};
    struct mn_arena arena = {0};
    struct decision_view view;
    struct mn_buf *proof;

    deliver_all();
    for (uint32_t i = 0; i < NODES; i++)
        answer(i, &id, i == 3 ? DECISION_NO : DECISION_YES);
    deliver_all();
    proof = decision_certificate(nodes[4].core, &id);
    ck_assert_int_eq(decision_verify(&mesh_id, mn_buf_span(proof), &arena, &view), MN_OK);
    ck_assert_int_eq(view.outcome, DECISION_ACHIEVED);
    ck_assert(mn_span_is(view.topic, "deploy") && mn_span_is(view.value, "v2"));
    ck_assert_uint_eq(view.total, 6000);
    ck_assert_uint_ge(view.yes, 4500);
    ck_assert_int_ne(decision_verify(&other_mesh, mn_buf_span(proof), &arena, &view), MN_OK);
    for (size_t i = 0; i < proof->size; i++) {
        proof->bytes[i] ^= 2;
        ck_assert_int_ne(decision_verify(&mesh_id, mn_buf_span(proof), &arena, &view), MN_OK);
        proof->bytes[i] ^= 2;
        mn_arena_reset(&arena);
    }
    for (size_t size = 0; size < proof->size; size += 11)
        if (decision_verify(&mesh_id, mn_span(proof->bytes, size), &arena, &view) == MN_OK)
            ck_assert_int_eq(view.outcome, DECISION_OPEN); /* votes left out at the end */
    mn_buf_unref(proof);
    mn_arena_done(&arena);
}
END_TEST

/* ---- bad input ---- */

static struct decision_config config_of(uint32_t node)
{
    return (struct decision_config){.mesh_id = mesh_id, .key = &keys[node]};
}

/* A rightly signed vote of [voter] on what node 0 knows as [id]. */
static void send_vote(uint32_t to, uint32_t voter, const mn_id *id, enum decision_choice choice,
                      uint8_t hash_twist)
{
    struct mn_buf *known = decision_certificate(nodes[0].core, id), *buf;
    struct decision_vote vote = {.id = *id, .choice = choice, .cause = DECISION_BY_HAND};
    struct decision_config config = config_of(voter);
    struct decision_proposal proposal;
    struct decision_signed bytes;
    struct decision_draft draft;
    struct mn_arena arena = {0};
    const Meshnode__Decision__Message *wire =
        pb_unpack(&meshnode__decision__message__descriptor, &arena, mn_buf_span(known));

    ck_assert_int_eq(decision_read_proposal(&mesh_id, wire->proposal, &proposal), MN_OK);
    memcpy(vote.proposal, proposal.hash, sizeof vote.proposal);
    vote.proposal[0] ^= hash_twist;
    memcpy(vote.pk, keys[voter].pk, SIGN_PK_SIZE);
    bytes = decision_sign(&config, SIGN_BALLOT, decision_pack_vote(&vote));
    decision_draft_init(&draft);
    decision_draft_vote(&draft, &bytes);
    buf = decision_draft_done(&draft);
    hand_over(to, voter, mn_buf_span(buf));
    mn_buf_unref(buf);
    mn_buf_unref(bytes.body);
    mn_buf_unref(known);
    decision_proposal_done(&proposal);
    mn_arena_done(&arena);
}

START_TEST(votes_of_strangers_replays_and_second_votes_do_not_count)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};
    uint64_t dropped;
    mn_id id;

    input.members.items = members; /* node 5 has no vote */
    input.members.count = 5;
    step(0, &input);
    id = propose(0, "deploy", "v2");
    drop_letters();
    dropped = decision_dropped(nodes[0].core);
    send_vote(0, 5, &id, DECISION_YES, 0);
    ck_assert_uint_eq(decision_dropped(nodes[0].core), dropped + 1);
    send_vote(0, 1, &id, DECISION_YES, 1); /* for another proposal */
    ck_assert_uint_eq(decision_dropped(nodes[0].core), dropped + 2);
    ck_assert_uint_eq(view_of(0, &id).yes, 0);
    send_vote(0, 1, &id, DECISION_YES, 0);
    send_vote(0, 1, &id, DECISION_YES, 0); /* a replay */
    ck_assert_uint_eq(view_of(0, &id).yes, 1000);
    ck_assert_uint_eq(decision_dropped(nodes[0].core), dropped + 2);
    send_vote(0, 1, &id, DECISION_NO, 0);
    ck_assert_uint_eq(view_of(0, &id).yes, 1000);
    ck_assert_uint_eq(view_of(0, &id).no, 0);
    ck_assert_uint_eq(decision_dropped(nodes[0].core), dropped + 3);
}
END_TEST

/* What a proposal must not be; each twist alone makes one that is refused. */
static mn_status try_proposal(int twist)
{
    struct decision_config config = config_of(0);
    struct decision_ballot voters[NODES];
    struct decision_proposal made = {.id = {{1}},
                                     .topic = mn_span_str("topic"),
                                     .value = mn_span_str("value"),
                                     .quorum_num = 3,
                                     .quorum_den = 4,
                                     .created_ms = mn_wall_ms(now),
                                     .deadline_ms = mn_wall_ms(now) + 1000,
                                     .basis = DECISION_METRIC,
                                     .voters = voters,
                                     .voters_count = NODES},
                             got;
    Meshnode__Decision__Signed wire = MESHNODE__DECISION__SIGNED__INIT;
    struct decision_signed bytes;
    mn_status status;

    memcpy(made.proposer_pk, keys[0].pk, SIGN_PK_SIZE);
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t at = i;
        for (; at > 0 && mn_id_compare(&voters[at - 1].node_id, &ids[i]) > 0; at--)
            voters[at] = voters[at - 1];
        voters[at] = (struct decision_ballot){
            .node_id = ids[i], .weight = members[i].weight, .record = members[i].record};
        memcpy(voters[at].pk, keys[i].pk, SIGN_PK_SIZE);
    }
    switch (twist) {
    case 0: break; /* good */
    case 1: voters[3].weight = 0; break;
    case 2: voters[3].weight = 900; break; /* more than a quarter of all */
    case 3: voters[3] = voters[2]; break;
    case 4: made.voters_count = 3; break;
    case 5: made.quorum_num = 1, made.quorum_den = 2; break;
    case 6: made.quorum_num = 5; break;
    case 7: made.quorum_den = 0; break;
    case 8: made.deadline_ms = made.created_ms; break;
    case 9: made.deadline_ms = made.created_ms + DECISION_TIMEOUT_MAX / MN_MS + 1; break;
    case 10: made.topic = mn_span_str("to pic"); break;
    case 11: made.topic = mn_span_str(""); break;
    case 12: made.value = mn_span_str(""); break;
    case 13: made.basis = (enum decision_basis)3; break;
    case 14:
        for (uint32_t i = 0; i < NODES; i++)
            voters[i].weight = DECISION_TOTAL_MAX / NODES + 1; /* together over the bound */
        break;
    case 15: made.basis = DECISION_EQUAL, voters[1].weight = 11; break;
    case 16: made.id = (mn_id){{0}}; break;
    case 17: voters[1].weight++; break; /* not what its record says */
    case 18: voters[1].record = NULL; break;
    case 19: voters[1].record = voters[2].record; break;
    case 20: /* of too long ago */
        made.created_ms += METRICS_SKEW / MN_MS + 1;
        made.deadline_ms += METRICS_SKEW / MN_MS + 1;
        break;
    case 21: /* or said too long after */
        made.created_ms -= METRICS_SKEW / MN_MS + 1;
        made.deadline_ms -= METRICS_SKEW / MN_MS + 1;
        break;
    default: config.key = &keys[1]; break; /* signed by another */
    }
    bytes = decision_sign(&config, SIGN_DECISION, decision_pack_proposal(&made));
    wire.body = pb_bytes(mn_buf_span(bytes.body));
    wire.signature = pb_bytes(mn_span(bytes.signature, SIGN_SIZE));
    status = decision_read_proposal(&mesh_id, &wire, &got);
    if (status == MN_OK) decision_proposal_done(&got);
    mn_buf_unref(bytes.body);
    return status;
}

START_TEST(malformed_proposals_are_refused)
{
    ck_assert_int_eq(try_proposal(0), MN_OK);
    for (int twist = 1; twist <= 22; twist++)
        ck_assert_msg(try_proposal(twist) != MN_OK, "twist %d", twist);
}
END_TEST

START_TEST(what_cannot_be_proposed_says_why)
{
    struct decision_input input = {.type = DECISION_IN_MEMBERS};

    input.members.items = members;
    input.members.count = 3;
    step(0, &input);
    propose(0, "a", "v");
    ck_assert_int_eq(nodes[0].status, MN_DENIED); /* fewer than four voters */
    tell_members(0);
    propose(0, "a b", "v");
    ck_assert_int_eq(nodes[0].status, MN_CONFIG);
    hand_over(0, 1, mn_span_str("nonsense"));
    ck_assert_uint_eq(decision_dropped(nodes[0].core), 1);
}
END_TEST

/* ---- weights ---- */

START_TEST(nobody_keeps_more_than_a_quarter)
{
    uint32_t liar[] = {1u << 20, 10, 10, 10, 10}, three[] = {5, 5, 5, 0}, some[12];

    ck_assert(decision_cap(liar, 5));
    ck_assert_uint_le(liar[0], 13);
    ck_assert(!decision_cap(three, 4));
    srand((unsigned)_i);
    for (uint32_t count = 4; count <= 12; count++) {
        uint64_t total = 0;
        for (uint32_t i = 0; i < count; i++)
            some[i] = 1 + (uint32_t)rand() % (i % 3 == 0 ? 0xfffffffeu : 100u);
        ck_assert(decision_cap(some, count));
        for (uint32_t i = 0; i < count; i++)
            total += some[i];
        for (uint32_t i = 0; i < count; i++) {
            ck_assert_uint_ge(some[i], 1);
            ck_assert_uint_le(4 * (uint64_t)some[i], total);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decision");
    TCase *tcase = tcase_create("decision");

    tcase_set_timeout(tcase, 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, enough_yes_is_achieved_everywhere);
    tcase_add_test(tcase, enough_no_is_refused);
    tcase_add_test(tcase, who_does_not_answer_has_no_vote);
    tcase_add_test(tcase, a_quorum_that_does_not_decide_is_a_timeout);
    tcase_add_test(tcase, a_vote_waits_for_the_disk);
    tcase_add_test(tcase, one_vote_per_decision_also_after_a_restart);
    tcase_add_test(tcase, no_second_yes_under_a_topic_until_the_window_ends);
    tcase_add_test(tcase, a_wall_clock_that_leaps_opens_no_window);
    tcase_add_test(tcase, weights_that_are_not_known_are_refused);
    tcase_add_test(tcase, a_proposer_that_picks_its_friends_is_refused);
    tcase_add_test(tcase, who_has_not_heard_of_a_member_waits);
    tcase_add_test(tcase, but_not_for_ever);
    tcase_add_test(tcase, doubts_are_believed_of_voters_by_the_proposer_alone);
    tcase_add_test(tcase, the_outcome_survives_its_proposer);
    tcase_add_test(tcase, a_restored_node_abstains);
    tcase_add_test(tcase, a_full_table_says_busy_until_something_is_over);
    tcase_add_test(tcase, a_certificate_verifies_offline_and_only_as_it_is);
    tcase_add_test(tcase, votes_of_strangers_replays_and_second_votes_do_not_count);
    tcase_add_test(tcase, malformed_proposals_are_refused);
    tcase_add_test(tcase, what_cannot_be_proposed_says_why);
    tcase_add_loop_test(tcase, nobody_keeps_more_than_a_quarter, 0, 50);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
