/* Nodes without a token: they wait, people decide, and a crowd of made-up keys pushes nobody out.
 */
#include "mesh/admission_internal.h"
#include "tests/mesh/admission_fixture.h"

static void list_at(unsigned issuer)
{
    world_step(
        world, issuer,
        &(struct admission_input){.type = ADMISSION_IN_PENDING_LIST, .pending = {.request = 1}});
}

static uint32_t waiting_at(unsigned issuer)
{
    list_at(issuer);
    ck_assert_int_eq(node(issuer)->pending_status, MN_OK);
    return node(issuer)->pending_count;
}

static mn_status decide(unsigned issuer, enum admission_input_type type, const char *who,
                        const grant_role *role)
{
    struct admission_input input = {.type = type, .pending = {.request = 2}};

    input.pending.who = mn_span_str(who);
    input.pending.has_role = role != NULL;
    if (role != NULL) input.pending.role = *role;
    world_step(world, issuer, &input);
    world_settle(world);
    return node(issuer)->pending_status;
}

static mn_status approve(unsigned issuer, const char *who)
{
    return decide(issuer, ADMISSION_IN_PENDING_APPROVE, who, NULL);
}

static const char *id_of(unsigned number)
{
    static char text[MN_ID_TEXT_SIZE];
    return mn_id_format(&node(number)->identity.node_id, text);
}

START_TEST(one_without_a_token_waits_and_is_listed_with_its_words)
{
    char words[WORDS_TEXT_SIZE];

    join_at(joiner, founder, NULL);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
    ck_assert_uint_eq(waiting_at(founder), 1);
    ck_assert_str_eq(node(founder)->pending[0].name, "joiner");
    ck_assert_str_eq(node(founder)->pending[0].words,
                     words_of(mn_span(node(joiner)->identity.key.pk, SIGN_PK_SIZE), words));
    ck_assert_uint_eq(node(founder)->waits, 1);
    ck_assert_uint_eq(node(founder)->refusals_sent, 0);
    world_run(world, MN_HOUR); /* still there, still kept, and it asked nothing more */
    ck_assert_uint_eq(waiting_at(founder), 1);
    ck_assert_uint_ge(node(founder)->waits, 59);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(approval_by_id_or_by_words_lets_it_in_at_once)
{
    const struct grant *grant;

    join_at(joiner, founder, NULL);
    list_at(founder);
    ck_assert_int_eq(approve(founder, node(founder)->pending[0].words), MN_OK);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    grant = admission_grant(node(joiner)->admission);
    ck_assert_int_eq(grant->via, MESHNODE__TRUST__VIA__VIA_APPROVE);
    ck_assert(!grant->issuer_eligible); /* nobody said that it may admit others some day */
    ck_assert_uint_eq(waiting_at(founder), 0);
    ck_assert_uint_eq(node(founder)->admitted, 1);
}
END_TEST

START_TEST(only_the_role_that_people_give_makes_an_issuer_to_be)
{
    const grant_role voter = ROLE(VOTER);

    join_at(joiner, founder, NULL);
    ck_assert_int_eq(decide(founder, ADMISSION_IN_PENDING_APPROVE, id_of(joiner), &voter), MN_OK);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_grant(node(joiner)->admission)->role_max, ROLE(VOTER));
    ck_assert(admission_grant(node(joiner)->admission)->issuer_eligible);
}
END_TEST

START_TEST(a_prefix_other_words_or_a_name_approve_nobody)
{
    char text[WORDS_TEXT_SIZE];

    join_at(joiner, founder, NULL);
    list_at(founder);
    memcpy(text, id_of(joiner), 8);
    text[8] = '\0';
    ck_assert_int_eq(approve(founder, text), MN_NOT_FOUND);
    ck_assert_int_eq(approve(founder, "joiner"), MN_NOT_FOUND);
    ck_assert_int_eq(approve(founder, ""), MN_NOT_FOUND);
    memcpy(text, node(founder)->pending[0].words, sizeof text);
    *strrchr(text, ' ') = '\0';
    ck_assert_int_eq(approve(founder, text), MN_NOT_FOUND);
    ck_assert_int_eq(approve(founder, id_of(founder)), MN_NOT_FOUND);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(a_sponsor_that_is_no_issuer_tells_those_who_are)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    join_at(joiner, sponsor, NULL);
    ck_assert_uint_eq(waiting_at(founder), 1);
    ck_assert(mn_id_equal(&node(founder)->pending[0].sponsor, &node(sponsor)->identity.node_id));
    list_at(sponsor);
    ck_assert_int_eq(node(sponsor)->pending_status, MN_DENIED);
    ck_assert_int_eq(approve(sponsor, id_of(joiner)), MN_DENIED);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(approve(founder, id_of(joiner)), MN_OK);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(the_grant_waits_for_one_that_was_away_and_comes_by_another_seed)
{
    unsigned sponsor = member("sponsor");
    uint64_t link = join_at(joiner, founder, NULL);

    world_connect(world, sponsor, founder);
    world_cut(world, link);
    ck_assert_uint_eq(waiting_at(founder), 1); /* ten minutes */
    ck_assert_int_eq(approve(founder, id_of(joiner)), MN_OK);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_crash(world, founder); /* it is in the store, too */
    world_start(world, founder);
    world_connect(world, sponsor, founder);
    world_connect(world, joiner, sponsor);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(one_that_restarts_while_it_waits_goes_on_waiting)
{
    join_at(joiner, founder, NULL);
    world_crash(world, joiner);
    world_start(world, joiner);
    world_join(world, joiner, NULL, true); /* its key is not new */
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
    ck_assert_uint_eq(waiting_at(founder), 1);
    ck_assert_int_eq(approve(founder, id_of(joiner)), MN_OK);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(one_that_is_gone_for_ten_minutes_is_not_listed_any_more)
{
    world_cut(world, join_at(joiner, founder, NULL));
    world_run(world, 9 * MN_MINUTE);
    ck_assert_uint_eq(waiting_at(founder), 1);
    world_run(world, 2 * MN_MINUTE);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).pending, 0);
    ck_assert_int_eq(approve(founder, id_of(joiner)), MN_NOT_FOUND);
}
END_TEST

START_TEST(one_that_is_denied_stays_out_for_a_day_and_is_told)
{
    uint64_t wall_ms;

    join_at(joiner, founder, NULL);
    ck_assert_int_eq(decide(founder, ADMISSION_IN_PENDING_DENY, id_of(joiner), NULL), MN_OK);
    assert_refused(joiner, CODE(DENIED));
    world_crash(world, founder); /* which forgets nothing */
    world_start(world, founder);
    world_crash(world, joiner);
    world_start(world, joiner);
    join_at(joiner, founder, NULL);
    assert_refused(joiner, CODE(DENIED));
    world_crash(world, joiner);
    world_start(world, joiner);
    join_at(joiner, founder, bootstrap()); /* nor does a token help: somebody meant this key */
    assert_refused(joiner, CODE(DENIED));
    wall_ms = mn_wall_ms(world->now);
    world_run(world, MN_DAY + MN_MINUTE);
    ck_assert_uint_gt(mn_wall_ms(world->now), wall_ms);
    world_crash(world, joiner);
    world_start(world, joiner);
    join_at(joiner, founder, NULL);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
}
END_TEST

START_TEST(a_name_that_is_taken_is_told_to_whoever_approves)
{
    unsigned other = world_add(world, "founder");

    world_start(world, other);
    join_at(other, founder, NULL);
    ck_assert_int_eq(approve(founder, id_of(other)), MN_EXISTS);
    ck_assert_uint_eq(waiting_at(founder), 1);
}
END_TEST

/* ---- crowds: JOINs of made-up keys, said to the issuer by a member that it must believe ---- */

struct crowd {
    unsigned sponsor;
    uint64_t link; /* sponsor to founder */
    uint64_t keys;
};

static void crowd_init(struct crowd *crowd)
{
    crowd->sponsor = member("sponsor");
    crowd->link = world_connect(world, crowd->sponsor, founder);
    world_settle(world);
    crowd->keys = 0;
}

/* A JOIN without a token of a new key, from [address]. */
static void crowd_knock(struct crowd *crowd, const char *address)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Waiting waiting = MESHNODE__TRUST__WAITING__INIT;
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};
    struct invite_join join = {.mesh_id = admission_mesh_id(node(founder)->admission)};
    uint8_t seed[IDENTITY_SEED_SIZE] = {0};
    struct mn_arena arena = {0};
    struct identity identity;
    struct mn_buf *bytes;
    char text[ADMISSION_ADDRESS_SIZE];

    mn_store_u64(seed, ++crowd->keys);
    seed[31] = 0xcc;
    identity_init(&identity, seed);
    snprintf(join.name, sizeof join.name, "crowd-%u", (unsigned)crowd->keys);
    bytes = invite_join_make(&join, &identity, NULL);
    snprintf(text, sizeof text, "%s", address);
    waiting.join = pb_bytes(mn_buf_span(bytes));
    waiting.address = text;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_WAITING;
    message.waiting = &waiting;
    input.message.link = crowd->link;
    input.message.bytes = pb_pack_arena(&message.base, &arena);
    world_step(world, founder, &input);
    mn_buf_unref(bytes);
    identity_done(&identity);
    mn_arena_done(&arena);
}

START_TEST(a_network_has_only_so_many_places)
{
    struct crowd crowd;
    char address[ADMISSION_ADDRESS_SIZE];

    crowd_init(&crowd);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(address, sizeof address, "203.0.113.%u:5000", i);
        crowd_knock(&crowd, address);
    }
    world_settle(world);
    ck_assert_uint_eq(waiting_at(founder), ADMISSION_PENDING_NETWORK_MAX);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "[2001:db8:1:2:%x::1]:5000", i);
        crowd_knock(&crowd, address);
    }
    world_settle(world);
    ck_assert_uint_eq(waiting_at(founder), 2 * ADMISSION_PENDING_NETWORK_MAX);
    crowd_knock(&crowd, "203.0.114.1:5000");
    ck_assert_uint_eq(waiting_at(founder), 2 * ADMISSION_PENDING_NETWORK_MAX + 1);
}
END_TEST

/* 10,000 keys from 100 addresses: the list is full, those who were there stay, memory stays, and
 * one with a token is in as ever. */
START_TEST(a_crowd_of_keys_keeps_nobody_with_a_token_out)
{
    struct crowd crowd;
    char address[ADMISSION_ADDRESS_SIZE];
    size_t used = 0;
    unsigned early = world_add(world, "early");

    crowd_init(&crowd);
    world_start(world, early);
    snprintf(node(early)->address, sizeof node(early)->address, "198.51.100.7:1");
    join_at(early, founder, NULL);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(address, sizeof address, "10.0.%u.9:5000", i % 100);
        crowd_knock(&crowd, address);
        if (i % 64 == 0) world_settle(world);
        if (i == 1000) used = node(founder)->admission->pool.used;
    }
    world_settle(world);
    ck_assert_uint_eq(waiting_at(founder), ADMISSION_PENDING_MAX);
    ck_assert_uint_eq(node(founder)->admission->pool.used, used);
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(approve(founder, id_of(early)), MN_OK); /* it was there first */
    ck_assert_int_eq(world_state(world, early), ADMISSION_MEMBER);
}
END_TEST

START_TEST(a_guest_that_finds_no_place_is_told_so_and_tries_again)
{
    struct crowd crowd;
    char address[ADMISSION_ADDRESS_SIZE];

    crowd_init(&crowd);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(address, sizeof address, "10.0.%u.9:5000", i % 100);
        crowd_knock(&crowd, address);
        if (i % 64 == 0) world_settle(world);
    }
    world_settle(world);
    join_at(joiner, founder, NULL);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING_FULL));
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_run(world, 12 * MN_MINUTE); /* the crowd is not told of again: its rows end */
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
    ck_assert_uint_eq(waiting_at(founder), 1);
}
END_TEST

START_TEST(a_waiting_told_of_with_a_bent_join_or_by_a_guest_costs_the_link)
{
    struct crowd crowd;
    uint64_t before = admission_counts(node(founder)->admission).messages_malformed;

    crowd_init(&crowd);
    crowd_knock(&crowd, "a.name.that.is.much.longer.than.an.address.of.any.network.can.be:1");
    ck_assert_uint_eq(waiting_at(founder), 1); /* cut by the sender's own buffer: 63 characters */
    crowd.link = join_at(joiner, founder, NULL);
    crowd_knock(&crowd, "10.0.0.1:5000"); /* as if the guest had said it */
    ck_assert_uint_eq(admission_counts(node(founder)->admission).messages_malformed, before + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission_pending");
    TCase *tcase = tcase_create("pending");

    if (sodium_init() < 0) return EXIT_FAILURE;
    tcase_add_test(tcase, one_without_a_token_waits_and_is_listed_with_its_words);
    tcase_add_test(tcase, approval_by_id_or_by_words_lets_it_in_at_once);
    tcase_add_test(tcase, only_the_role_that_people_give_makes_an_issuer_to_be);
    tcase_add_test(tcase, a_prefix_other_words_or_a_name_approve_nobody);
    tcase_add_test(tcase, a_sponsor_that_is_no_issuer_tells_those_who_are);
    tcase_add_test(tcase, the_grant_waits_for_one_that_was_away_and_comes_by_another_seed);
    tcase_add_test(tcase, one_that_restarts_while_it_waits_goes_on_waiting);
    tcase_add_test(tcase, one_that_is_gone_for_ten_minutes_is_not_listed_any_more);
    tcase_add_test(tcase, one_that_is_denied_stays_out_for_a_day_and_is_told);
    tcase_add_test(tcase, a_name_that_is_taken_is_told_to_whoever_approves);
    tcase_add_test(tcase, a_network_has_only_so_many_places);
    tcase_add_test(tcase, a_crowd_of_keys_keeps_nobody_with_a_token_out);
    tcase_add_test(tcase, a_guest_that_finds_no_place_is_told_so_and_tries_again);
    tcase_add_test(tcase, a_waiting_told_of_with_a_bent_join_or_by_a_guest_costs_the_link);
    return run_tests(suite, tcase);
}
