/* Joining: who gets in, by which token, and what is said to the others. */
#include "tests/mesh/admission_fixture.h"

/* ---- founding ---- */

START_TEST(founder_is_member_and_issuer_with_root_key_and_token_handed_out)
{
    const struct grant *grant = admission_grant(node(founder)->admission);

    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(admission_is_issuer(node(founder)->admission));
    ck_assert(node(founder)->has_root_key);
    ck_assert_uint_eq(strlen(bootstrap()), TOKEN_TEXT_SIZE - 1);
    ck_assert_str_eq(node(founder)->token, bootstrap());
    ck_assert_uint_eq(node(founder)->joined, 1);
    ck_assert_int_eq(grant->via, MESHNODE__TRUST__VIA__VIA_GENESIS);
    ck_assert_str_eq(grant->name, "founder");
}
END_TEST

START_TEST(founder_resumes_from_its_store)
{
    mn_id mesh = admission_mesh_id(node(founder)->admission), after;

    world_crash(world, founder);
    world_start(world, founder);
    after = admission_mesh_id(node(founder)->admission);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(mn_id_equal(&mesh, &after));
    ck_assert(admission_is_issuer(node(founder)->admission));
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(founding_twice_is_refused)
{
    world_found(world, founder, NULL);
    ck_assert_int_eq(node(founder)->token_status, MN_STATE);
}
END_TEST

START_TEST(join_token_file_goes_when_the_token_ends)
{
    ck_assert_uint_ne(strlen(bootstrap()), 0);
    world_run(world, MN_DAY + 2 * MN_HOUR);
    ck_assert_str_eq(bootstrap(), "");
}
END_TEST

/* ---- joining ---- */

START_TEST(joiner_with_a_token_is_in_at_once)
{
    const struct grant *grant;

    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(joiner)->joined, 1);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    grant = admission_grant(node(joiner)->admission);
    ck_assert_str_eq(grant->name, "joiner");
    ck_assert_int_eq(grant->role_max, ROLE(VOTER));
    ck_assert(grant->issuer_eligible);
    ck_assert_int_eq(grant->via, MESHNODE__TRUST__VIA__VIA_TOKEN);
    ck_assert(!admission_is_issuer(node(joiner)->admission));
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
}
END_TEST

START_TEST(joiner_resumes_from_its_store_without_a_token)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_MEMBER);
}
END_TEST

START_TEST(joiner_is_carried_to_the_issuer_by_any_member)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    join_at(joiner, sponsor, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(sponsor)->admitted, 1);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_waits_for_the_issuer_and_gets_in_when_it_is_back)
{
    unsigned sponsor = member("sponsor");

    world_crash(world, sponsor);
    world_start(world, sponsor);
    join_at(joiner, sponsor, bootstrap()); /* nobody is linked to the founder */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(ISSUER_UNAVAILABLE));
    world_run(world, 10 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_connect(world, sponsor, founder);
    world_run(world, 30 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(joiner_is_told_when_the_issuer_does_not_answer)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    world->filter = drop_forwards_to_founder;
    join_at(joiner, sponsor, bootstrap());
    world_run(world, 11 * MN_SEC);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(ISSUER_UNAVAILABLE));
    world->filter = NULL;
    world_run(world, 60 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_uses_another_seed_when_one_dies_halfway)
{
    unsigned sponsor = member("sponsor");
    uint64_t first;

    world_connect(world, sponsor, founder);
    world->filter = drop_forwards_to_founder; /* the JOIN hangs at the sponsor */
    first = join_at(joiner, sponsor, bootstrap());
    world->filter = NULL;
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_cut(world, first);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(joiner_drops_a_seed_that_says_nothing)
{
    uint64_t link;

    world->filter = drop_all;
    link = join_at(joiner, founder, bootstrap());
    world_run(world, 6 * MN_SEC);
    ck_assert_ptr_null(world_find_link(world, link));
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(joiner_with_several_seeds_uses_one_and_leaves_the_others)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    world_join(world, joiner, bootstrap(), false);
    world_connect(world, joiner, sponsor);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(joiner)->joined, 1);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).links, 1);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_without_a_token_has_to_wait)
{
    join_at(joiner, founder, NULL);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
}
END_TEST

START_TEST(joiner_with_a_token_learns_it_later_members_can_sponsor)
{
    unsigned second = member("second");

    world_connect(world, second, founder);
    join_at(joiner, second, world_token(world, founder, 1, HOUR_MS, ROLE(LEARNER)));
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_grant(node(joiner)->admission)->role_max, ROLE(LEARNER));
    ck_assert(!admission_grant(node(joiner)->admission)->issuer_eligible);
}
END_TEST

/* ---- tokens that do not let in ---- */

START_TEST(token_past_its_time_is_refused)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    world_run(world, MN_HOUR);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_EXPIRED));
}
END_TEST

START_TEST(token_forgotten_after_its_end_is_unknown)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    world_run(world, MN_DAY + 3 * MN_HOUR);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_used_up_is_refused)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));
    unsigned second = world_add(world, "second");

    join_at(joiner, founder, token);
    world_start(world, second);
    join_at(second, founder, token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    assert_refused(second, CODE(TOKEN_USED));
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(token_withdrawn_is_refused_also_after_a_restart)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_WITHDRAW};
    char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 5, HOUR_MS, ROLE(AUTO)));
    input.token_withdraw.id = mn_span_str(token_id_format(&node(founder)->row.id, id));
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_OK);
    ck_assert(node(founder)->row.is_withdrawn);
    world_crash(world, founder);
    world_start(world, founder);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_WITHDRAWN));
}
END_TEST

START_TEST(token_of_another_mesh_ends_in_mesh_mismatch)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, founder, node(other)->join_token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING); /* perhaps a seed lied */
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(MESH_MISMATCH));
    world_run(world, 31 * MN_SEC);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

START_TEST(seed_of_another_mesh_does_not_keep_the_joiner_out)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, other, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_connect(world, joiner, founder);
    world_run(world, 40 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(token_mistyped_is_refused_without_asking_anybody)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, bootstrap());
    token[40] = token[40] == 'a' ? 'b' : 'a';
    world_join(world, joiner, token, false);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_with_the_right_pin_but_an_unknown_secret_is_unknown)
{
    uint8_t secret[TOKEN_SECRET_SIZE] = {9};
    struct token token;
    char text[TOKEN_TEXT_SIZE];

    token_init(&token, authority_pin(admission_authority(node(founder)->admission)), secret);
    token_encode(&token, text);
    join_at(joiner, founder, text);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_allows_no_role_above_its_own)
{
    const char *token = world_token(world, founder, 3, HOUR_MS, ROLE(LEARNER));

    world_crash(world, joiner);
    node(joiner)->role = ROLE(VOTER);
    world_start(world, joiner);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(ROLE_NOT_ALLOWED));
}
END_TEST

START_TEST(token_for_32_admits_32_of_33_through_five_sponsors)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned sponsors[5], joiners[33], in = 0, used_up = 0;

    for (unsigned i = 0; i < 5; i++) {
        char name[16] = "sponsor-0";
        name[8] = (char)('0' + i);
        sponsors[i] = member(name);
        world_connect(world, sponsors[i], founder);
    }
    strcpy(token, world_token(world, founder, 32, HOUR_MS, ROLE(AUTO)));
    for (unsigned i = 0; i < 33; i++) {
        char name[16] = "joiner-00";
        name[7] = (char)('0' + i / 10);
        name[8] = (char)('0' + i % 10);
        joiners[i] = world_add(world, name);
        world_start(world, joiners[i]);
        world_join(world, joiners[i], token, false);
        world_connect(world, joiners[i], sponsors[i % 5]);
    }
    world_run(world, MN_MINUTE); /* all messages of all of them are in one queue */
    for (unsigned i = 0; i < 33; i++) {
        if (world_state(world, joiners[i]) == ADMISSION_MEMBER) in++;
        if (node(joiners[i])->failed == CODE(TOKEN_USED)) used_up++;
    }
    ck_assert_uint_eq(in, 32);
    ck_assert_uint_eq(used_up, 1);
    ck_assert_uint_eq(uses_of(token), 32);
}
END_TEST

/* ---- tokens made before their mesh ---- */

static void early_token(char text[TOKEN_TEXT_SIZE], uint8_t fill)
{
    uint8_t secret[TOKEN_SECRET_SIZE];
    struct token token;

    memset(secret, fill, sizeof secret);
    token_init(&token, NULL, secret);
    token_encode(&token, text);
}

START_TEST(token_made_before_the_mesh_vouches_for_it)
{
    unsigned seed = world_add(world, "seed"), late = world_add(world, "late");
    char text[TOKEN_TEXT_SIZE];

    early_token(text, 5);
    world_start(world, seed);
    world_start(world, late);
    world_found(world, seed, text);
    ck_assert_str_eq(node(seed)->token, text);
    ck_assert_str_eq(node(seed)->join_token, ""); /* its operator has it already */
    join_at(joiner, seed, text);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);

    world_connect(world, joiner, seed);
    join_at(late, joiner, text); /* any member can show the token's word, also after a restart */
    ck_assert_int_eq(world_state(world, late), ADMISSION_MEMBER);
}
END_TEST

START_TEST(token_made_before_the_mesh_is_worth_nothing_where_it_was_not_registered)
{
    char text[TOKEN_TEXT_SIZE];

    early_token(text, 6);
    join_at(joiner, founder, text);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_run(world, 31 * MN_SEC);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

START_TEST(token_of_an_existing_mesh_cannot_found_another)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, bootstrap());
    ck_assert_int_eq(node(other)->token_status, MN_WRONG_MESH);
    ck_assert_int_eq(world_state(world, other), ADMISSION_EMPTY);
}
END_TEST

/* ---- dev meshes ---- */

START_TEST(dev_mesh_admits_whoever_asks_but_no_real_node)
{
    unsigned dev = world_add(world, "dev"), guest = world_add(world, "guest");

    node(dev)->dev = node(guest)->dev = true;
    world_start(world, dev);
    world_start(world, guest);
    world_found(world, dev, NULL);
    join_at(guest, dev, NULL);
    ck_assert_int_eq(world_state(world, guest), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_grant(node(guest)->admission)->via, MESHNODE__TRUST__VIA__VIA_DEV);
    join_at(joiner, dev, NULL);
    assert_refused(joiner, CODE(DEV_MISMATCH));
}
END_TEST

START_TEST(dev_node_is_refused_by_a_real_mesh_and_its_data_stays_dev)
{
    unsigned dev = world_add(world, "dev");

    node(dev)->dev = true;
    world_start(world, dev);
    join_at(dev, founder, bootstrap());
    assert_refused(dev, CODE(DEV_MISMATCH));

    world_crash(world, founder);
    node(founder)->dev = true; /* the same data dir, started the other way */
    world_start(world, founder);
    assert_refused(founder, CODE(DEV_MISMATCH));
}
END_TEST

/* ---- tokens as administered ---- */

START_TEST(tokens_are_listed_oldest_first_with_their_uses)
{
    world_run(world, MN_SEC);
    world_token(world, founder, 3, HOUR_MS, ROLE(EDGE));
    world_run(world, MN_SEC);
    join_at(joiner, founder, world_token(world, founder, 0, DAY_MS, ROLE(AUTO)));
    world_step(world, founder,
               &(struct admission_input){.type = ADMISSION_IN_TOKEN_LIST, .token_list = {1}});
    ck_assert_uint_eq(node(founder)->rows_count, 3);
    ck_assert_uint_eq(node(founder)->rows[0].uses, 32); /* bootstrap */
    ck_assert_uint_eq(node(founder)->rows[1].uses, 3);
    ck_assert_int_eq(node(founder)->rows[1].role_max, ROLE(EDGE));
    ck_assert_uint_eq(node(founder)->rows[2].uses, 0);
    ck_assert_uint_eq(node(founder)->rows[2].used, 1);
}
END_TEST

START_TEST(tokens_are_made_by_issuers_only_and_within_bounds)
{
    join_at(joiner, founder, bootstrap());
    world_token(world, joiner, 1, HOUR_MS, ROLE(AUTO));
    ck_assert_int_eq(node(joiner)->token_status, MN_DENIED);
    world_token(world, founder, INVITE_USES_MAX + 1, HOUR_MS, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    world_token(world, founder, 1, INVITE_TTL_MAX_MS + 1, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    world_token(world, founder, 1, 0, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
}
END_TEST

START_TEST(tokens_are_withdrawn_by_an_unambiguous_beginning)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_WITHDRAW};

    input.token_withdraw.id = mn_span_str("abc");
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    input.token_withdraw.id = mn_span_str("zzzz");
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_NOT_FOUND);
}
END_TEST

START_TEST(token_may_fix_the_name)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_CREATE};

    input.token_create.uses = 1;
    input.token_create.ttl_ms = HOUR_MS;
    input.token_create.name = mn_span_str("given");
    input.token_create.region = mn_span_str("eu");
    world_step(world, founder, &input);
    join_at(joiner, founder, node(founder)->token);
    ck_assert_str_eq(admission_grant(node(joiner)->admission)->name, "given");
    ck_assert_str_eq(admission_grant(node(joiner)->admission)->region, "eu");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("admission-join");

    tcase_add_test(tcase, founder_is_member_and_issuer_with_root_key_and_token_handed_out);
    tcase_add_test(tcase, founder_resumes_from_its_store);
    tcase_add_test(tcase, founding_twice_is_refused);
    tcase_add_test(tcase, join_token_file_goes_when_the_token_ends);
    tcase_add_test(tcase, joiner_with_a_token_is_in_at_once);
    tcase_add_test(tcase, joiner_resumes_from_its_store_without_a_token);
    tcase_add_test(tcase, joiner_is_carried_to_the_issuer_by_any_member);
    tcase_add_test(tcase, joiner_waits_for_the_issuer_and_gets_in_when_it_is_back);
    tcase_add_test(tcase, joiner_is_told_when_the_issuer_does_not_answer);
    tcase_add_test(tcase, joiner_uses_another_seed_when_one_dies_halfway);
    tcase_add_test(tcase, joiner_drops_a_seed_that_says_nothing);
    tcase_add_test(tcase, joiner_with_several_seeds_uses_one_and_leaves_the_others);
    tcase_add_test(tcase, joiner_without_a_token_has_to_wait);
    tcase_add_test(tcase, joiner_with_a_token_learns_it_later_members_can_sponsor);
    tcase_add_test(tcase, token_past_its_time_is_refused);
    tcase_add_test(tcase, token_forgotten_after_its_end_is_unknown);
    tcase_add_test(tcase, token_used_up_is_refused);
    tcase_add_test(tcase, token_withdrawn_is_refused_also_after_a_restart);
    tcase_add_test(tcase, token_of_another_mesh_ends_in_mesh_mismatch);
    tcase_add_test(tcase, seed_of_another_mesh_does_not_keep_the_joiner_out);
    tcase_add_test(tcase, token_mistyped_is_refused_without_asking_anybody);
    tcase_add_test(tcase, token_with_the_right_pin_but_an_unknown_secret_is_unknown);
    tcase_add_test(tcase, token_allows_no_role_above_its_own);
    tcase_add_test(tcase, token_for_32_admits_32_of_33_through_five_sponsors);
    tcase_add_test(tcase, token_made_before_the_mesh_vouches_for_it);
    tcase_add_test(tcase, token_made_before_the_mesh_is_worth_nothing_where_it_was_not_registered);
    tcase_add_test(tcase, token_of_an_existing_mesh_cannot_found_another);
    tcase_add_test(tcase, dev_mesh_admits_whoever_asks_but_no_real_node);
    tcase_add_test(tcase, dev_node_is_refused_by_a_real_mesh_and_its_data_stays_dev);
    tcase_add_test(tcase, tokens_are_listed_oldest_first_with_their_uses);
    tcase_add_test(tcase, tokens_are_made_by_issuers_only_and_within_bounds);
    tcase_add_test(tcase, tokens_are_withdrawn_by_an_unambiguous_beginning);
    tcase_add_test(tcase, token_may_fix_the_name);
    return run_tests(suite_create("admission-join"), tcase);
}
