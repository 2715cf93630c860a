/* Admission under attack: bent and replayed messages, lying seeds, garbage. */
#include "tests/mesh/admission_fixture.h"

/* ---- tampering and replay ---- */

struct tamper {
    Meshnode__Trust__Admission__WhatCase what; /* only messages of this kind */
    size_t bit;                                /* to be flipped in the whole message */
    unsigned hits;
    struct mn_buf *seen;
};

static Meshnode__Trust__Admission__WhatCase kind_of(struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Trust__Admission *message =
        pb_unpack(&meshnode__trust__admission__descriptor, &arena, bytes);
    Meshnode__Trust__Admission__WhatCase what =
        message == NULL ? MESHNODE__TRUST__ADMISSION__WHAT__NOT_SET : message->what_case;

    mn_arena_done(&arena);
    return what;
}

static bool flip_bit(struct world_message *message, void *context)
{
    struct tamper *tamper = context;

    if (kind_of(mn_buf_span(message->bytes)) != tamper->what || tamper->hits > 0) return true;
    if (tamper->bit / 8 >= message->bytes->size) return true;
    message->bytes->bytes[tamper->bit / 8] ^= (uint8_t)(1u << (tamper->bit % 8));
    tamper->hits++;
    return true;
}

/* Every bit of JOIN, one run each (in slices, to keep each test short): nobody gets in by it, and
 * no use is counted. */
START_TEST(join_with_a_flipped_bit_admits_nobody)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_JOIN, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break; /* past its end: this run was honest */
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, 0);
        ck_assert_uint_eq(node(founder)->admitted, 0);
        world_cut(world, link);
        world_crash(world, joiner);
        node(joiner)->failed = CODE(NONE);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(grant_with_a_flipped_bit_is_not_taken)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_GRANTED, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break;
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        ck_assert_uint_eq(node(joiner)->stored_count, 0);
        world_cut(world, link);
        world_crash(world, joiner);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 1); /* however often the answer was lost */
}
END_TEST

START_TEST(authority_with_a_flipped_bit_ends_no_joining_and_is_never_believed)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break;
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_FAILED);
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        world_cut(world, link);
        world_crash(world, joiner);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

static bool record_join(struct world_message *message, void *context)
{
    struct tamper *tamper = context;

    if (kind_of(mn_buf_span(message->bytes)) == MESHNODE__TRUST__ADMISSION__WHAT_JOIN &&
        tamper->seen == NULL)
        tamper->seen = mn_buf_ref(message->bytes);
    return true;
}

static void replay(uint64_t link, struct mn_buf *bytes)
{
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};

    input.message.link = link;
    input.message.bytes = mn_buf_span(bytes);
    world_step(world, founder, &input);
    world_settle(world);
}

START_TEST(join_replayed_on_its_own_link_is_one_use_and_the_same_grant)
{
    struct tamper tamper = {.seen = NULL};
    struct mn_span before;
    uint64_t link;
    uint8_t copy[GRANT_SIZE_MAX];

    world->filter = record_join;
    world->filter_context = &tamper;
    link = join_at(joiner, founder, bootstrap());
    before = admission_grant_bytes(node(joiner)->admission);
    memcpy(copy, before.data, before.size);
    replay(link, tamper.seen);
    replay(link, tamper.seen);
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, 1);
    ck_assert(
        mn_span_equal(admission_grant_bytes(node(joiner)->admission), mn_span(copy, before.size)));
    mn_buf_unref(tamper.seen);
}
END_TEST

START_TEST(join_replayed_on_another_link_is_refused)
{
    struct tamper tamper = {.seen = NULL};
    unsigned thief = world_add(world, "thief");
    uint64_t link;

    world->filter = record_join;
    world->filter_context = &tamper;
    join_at(joiner, founder, bootstrap());
    world->filter = NULL;
    world_start(world, thief);
    world_join(world, thief, NULL, false);
    link = world_connect(world, thief, founder); /* another key, another handshake */
    replay(link, tamper.seen);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    ck_assert_uint_ge(admission_counts(node(founder)->admission).messages_malformed, 1);

    world_crash(world, joiner);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    world->filter = drop_all; /* only the replayed bytes arrive */
    world_join(world, joiner, bootstrap(), false);
    link = world_connect(world, joiner, founder); /* the same key, another handshake */
    replay(link, tamper.seen);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    mn_buf_unref(tamper.seen);
}
END_TEST

START_TEST(garbage_costs_a_link_and_a_counter)
{
    static const uint8_t garbage[ADMISSION_MESSAGE_MAX + 1] = {0xff, 0xff};
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};
    uint64_t link;

    world_join(world, joiner, NULL, false);
    world->filter = drop_all;
    for (size_t size = 1; size <= sizeof garbage; size = size * 4 + 1) {
        link = world_connect(world, joiner, founder);
        input.message.link = link;
        input.message.bytes = mn_span(garbage, size < sizeof garbage ? size : sizeof garbage);
        world_step(world, founder, &input);
        world_settle(world);
        ck_assert_ptr_null(world_find_link(world, link));
    }
    ck_assert_uint_ge(admission_counts(node(founder)->admission).messages_malformed, 8);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).links, 0);
}
END_TEST

/* Hands a node a message as if it came over [link]. */
static void say(unsigned to, uint64_t link, Meshnode__Trust__Admission *message)
{
    struct mn_arena arena = {0};
    struct admission_input said = {.type = ADMISSION_IN_MESSAGE};

    said.message.link = link;
    said.message.bytes = pb_pack_arena(&message->base, &arena);
    world_step(world, to, &said);
    mn_arena_done(&arena);
}

/* A seed that has the true chain (anybody can fetch it) but no grant of that mesh for its key. */
START_TEST(seed_with_a_true_chain_and_somebody_elses_grant_is_not_believed)
{
    struct admission_input input = {.type = ADMISSION_IN_LINK_UP};
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__AuthorityChain chain = MESHNODE__TRUST__AUTHORITY_CHAIN__INIT;
    ProtobufCBinaryData document =
        pb_bytes(mn_buf_span(admission_authority(node(founder)->admission)->document));
    unsigned liar = world_add(world, "liar");

    world_join(world, joiner, bootstrap(), false);
    input.link_up = (struct admission_link){
        .link = WORLD_LINKS_MAX,
        .kind = ADMISSION_LINK_SPONSOR,
        .node_id = node(liar)->identity.node_id,
        .grant = admission_grant_bytes(node(founder)->admission),
    };
    memcpy(input.link_up.sign_pk, node(liar)->identity.key.pk, SIGN_PK_SIZE);
    world_step(world, joiner, &input);
    chain.n_documents = 1;
    chain.documents = &document;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY;
    message.authority = &chain;
    say(joiner, WORLD_LINKS_MAX, &message);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(refusal_by_a_seed_that_proved_nothing_ends_nothing)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;
    uint64_t link;

    world_join(world, joiner, bootstrap(), false);
    link = world_connect(world, joiner, founder);
    refused.code = CODE(TOKEN_WITHDRAWN);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_REFUSED;
    message.refused = &refused;
    say(joiner, link, &message); /* before the chain was shown */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_settle(world);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

/* Well made, for this very link, but by another key than the link's. */
START_TEST(join_for_another_key_than_the_links_is_refused)
{
    struct invite_join join = {
        .mesh_id = admission_mesh_id(node(founder)->admission), .name = "other", .nonce = {{1}}};
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    unsigned other = world_add(world, "other");
    struct sign_key key;
    struct token token;
    struct mn_buf *bytes;
    uint64_t link;

    ck_assert_int_eq(token_decode(mn_span_str(bootstrap()), &token), MN_OK);
    token_key(&token, &key);
    world_join(world, joiner, NULL, false);
    link = world_connect(world, joiner, founder);
    memcpy(join.handshake, world_find_link(world, link)->handshake, sizeof join.handshake);
    bytes = invite_join_make(&join, &node(other)->identity, &key);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_JOIN;
    message.join = pb_bytes(mn_buf_span(bytes));
    say(founder, link, &message);
    mn_buf_unref(bytes);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).messages_malformed, 1);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, 0);
}
END_TEST

/* A sponsor whose guest's JOIN is with the issuer, which does not hear it. */
static unsigned waiting_sponsor(uint64_t *ret_to_founder)
{
    unsigned sponsor = member("sponsor");

    world_crash(world, sponsor);
    world_start(world, sponsor);
    *ret_to_founder = world_connect(world, sponsor, founder);
    world->filter = drop_forwards_to_founder;
    join_at(joiner, sponsor, bootstrap());
    world->filter = NULL;
    ck_assert_uint_eq(admission_counts(node(sponsor)->admission).forwards, 1);
    return sponsor;
}

START_TEST(answer_of_a_member_that_is_no_issuer_is_not_taken_for_one)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__ForwardAnswer answer = MESHNODE__TRUST__FORWARD_ANSWER__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;
    unsigned other = member("other"), sponsor;
    uint64_t to_founder, to_other;

    sponsor = waiting_sponsor(&to_founder);
    to_other = world_connect(world, sponsor, other);
    refused.code = CODE(DENIED);
    answer.ticket = 1;
    answer.refused = &refused;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_FORWARD_ANSWER;
    message.forward_answer = &answer;
    say(sponsor, to_other, &message);
    world_settle(world);
    ck_assert_uint_eq(admission_counts(node(sponsor)->admission).forwards, 1);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_ptr_null(world_find_link(world, to_other));
}
END_TEST

START_TEST(grant_for_another_key_is_not_handed_to_the_guest)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__ForwardAnswer answer = MESHNODE__TRUST__FORWARD_ANSWER__INIT;
    Meshnode__Trust__Granted granted = MESHNODE__TRUST__GRANTED__INIT;
    uint64_t to_founder;
    unsigned sponsor = waiting_sponsor(&to_founder);

    granted.grant = pb_bytes(admission_grant_bytes(node(sponsor)->admission));
    answer.ticket = 1;
    answer.granted = &granted;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_FORWARD_ANSWER;
    message.forward_answer = &answer;
    say(sponsor, to_founder, &message);
    world_settle(world);
    ck_assert_uint_eq(node(sponsor)->admitted, 0);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(ISSUER_UNAVAILABLE));
}
END_TEST

/* ---- the founder's key is stolen after it was retired ---- */

/* The next document after the genesis, signed by the founder alone: [issuer] in its place. */
static struct mn_buf *successor(unsigned issuer)
{
    const struct authority *genesis = admission_authority(node(founder)->admission);
    const struct sign_key *signer = &node(founder)->identity.key;
    struct authority next = *genesis;
    struct mn_buf *body, *document;

    next.version = 2;
    next.created_ms = mn_wall_ms(world->now) + issuer; /* no two alike */
    memcpy(next.prev, genesis->hash, AUTHORITY_HASH_SIZE);
    memcpy(next.issuers[0], node(issuer)->identity.key.pk, SIGN_PK_SIZE);
    memcpy(next.retired[0].key, signer->pk, SIGN_PK_SIZE);
    next.retired[0].until_ms = next.created_ms + GRANT_TOLERANCE_MS;
    next.retired_count = 1;
    body = authority_body(&next);
    document = authority_sign(&next.mesh_id, mn_buf_span(body), &signer, 1);
    mn_buf_unref(body);
    return document;
}

static void restart_with(unsigned number, struct mn_buf *document)
{
    struct world_node *it = node(number);
    struct stored *stored = &it->store[it->stored_count++];

    it->durable_count = it->stored_count;
    stored->key = mn_buf_copy(mn_span_str("authority/0000000000000002"));
    stored->value = mn_buf_ref(document);
    world_crash(world, number);
    world_start(world, number);
}

static struct mn_buf *grant_by(unsigned issuer, unsigned subject)
{
    struct grant grant = {.mesh_id = admission_mesh_id(node(founder)->admission),
                          .serial = {{6}},
                          .name = "impostor",
                          .role_max = ROLE(VOTER),
                          .not_after_ms = mn_wall_ms(world->now) + DAY_MS,
                          .authority_version = 2,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};

    memcpy(grant.sign_pk, node(subject)->identity.key.pk, SIGN_PK_SIZE);
    return grant_sign(&grant, &node(issuer)->identity.key);
}

/* Shows [number] the genesis and [document] over [link]. */
static void show_chain(unsigned number, uint64_t link, struct mn_buf *document)
{
    const struct authority *genesis = admission_authority(node(founder)->admission);
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__AuthorityChain chain = MESHNODE__TRUST__AUTHORITY_CHAIN__INIT;
    ProtobufCBinaryData documents[2] = {pb_bytes(mn_buf_span(genesis->document)),
                                        pb_bytes(mn_buf_span(document))};

    chain.n_documents = 2;
    chain.documents = documents;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY;
    message.authority = &chain;
    say(number, link, &message);
}

/* It signs another second document, which names the thief. A joiner whose token was made under the
 * true one is not led there, and who is in raises the alarm and stays. */
START_TEST(chain_forked_by_a_stolen_retired_key_leads_nobody_away)
{
    struct admission_input input = {.type = ADMISSION_IN_LINK_UP};
    unsigned second = member("second"), thief = world_add(world, "thief");
    struct mn_buf *truth = successor(second), *forged = successor(thief);
    struct mn_buf *grant = grant_by(thief, thief);
    char token[TOKEN_TEXT_SIZE];
    uint64_t link;

    restart_with(second, truth);
    ck_assert(admission_is_issuer(node(second)->admission));
    snprintf(token, sizeof token, "%s", world_token(world, second, 2, HOUR_MS, ROLE(VOTER)));
    world_join(world, joiner, token, false);
    input.link_up = (struct admission_link){
        .link = WORLD_LINKS_MAX,
        .kind = ADMISSION_LINK_SPONSOR,
        .node_id = node(thief)->identity.node_id,
        .grant = mn_buf_span(grant),
    };
    memcpy(input.link_up.sign_pk, node(thief)->identity.key.pk, SIGN_PK_SIZE);
    world_step(world, joiner, &input);
    show_chain(joiner, WORLD_LINKS_MAX, forged);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);

    world_connect(world, joiner, second);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_mem_eq(admission_authority(node(joiner)->admission)->issuers[0],
                     node(second)->identity.key.pk, SIGN_PK_SIZE);
    world_crash(world, joiner);
    world_start(world, joiner);
    link = world_connect(world, joiner, second);
    world_settle(world);
    for (unsigned i = 0; i < 2; i++) { /* the joiner knows nothing before its pin: no fork to it */
        unsigned told = i == 0 ? second : joiner;
        show_chain(told, link, forged);
        ck_assert_uint_eq(admission_counts(node(told)->admission).forks, i == 0);
        ck_assert_mem_eq(admission_authority(node(told)->admission)->issuers[0],
                         node(second)->identity.key.pk, SIGN_PK_SIZE);
    }
    mn_buf_unref(truth);
    mn_buf_unref(forged);
    mn_buf_unref(grant);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("admission-attack");

    tcase_add_loop_test(tcase, join_with_a_flipped_bit_admits_nobody, 0, 16);
    tcase_add_loop_test(tcase, grant_with_a_flipped_bit_is_not_taken, 0, 16);
    tcase_add_loop_test(tcase, authority_with_a_flipped_bit_ends_no_joining_and_is_never_believed,
                        0, 16);
    tcase_add_test(tcase, join_replayed_on_its_own_link_is_one_use_and_the_same_grant);
    tcase_add_test(tcase, join_replayed_on_another_link_is_refused);
    tcase_add_test(tcase, garbage_costs_a_link_and_a_counter);
    tcase_add_test(tcase, seed_with_a_true_chain_and_somebody_elses_grant_is_not_believed);
    tcase_add_test(tcase, refusal_by_a_seed_that_proved_nothing_ends_nothing);
    tcase_add_test(tcase, join_for_another_key_than_the_links_is_refused);
    tcase_add_test(tcase, answer_of_a_member_that_is_no_issuer_is_not_taken_for_one);
    tcase_add_test(tcase, grant_for_another_key_is_not_handed_to_the_guest);
    tcase_add_test(tcase, chain_forked_by_a_stolen_retired_key_leads_nobody_away);
    return run_tests(suite_create("admission-attack"), tcase);
}
