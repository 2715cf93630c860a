/* What comes after joining: crashes, lost disks, clones, names, renewal, a newer authority. */
#include "tests/mesh/admission_fixture.h"

/* ---- crashes ---- */

START_TEST(grant_never_leaves_before_it_is_stored)
{
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_uint_eq(node(founder)->admitted, 0);
    world_sync(world, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(grant_never_leaves_for_a_sponsor_before_it_is_stored)
{
    unsigned sponsor = member("sponsor");

    node(founder)->store_is_slow = true;
    join_at(joiner, sponsor, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_sync(world, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(issuer_crash_between_store_and_answer_costs_one_use_in_all)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned second = world_add(world, "second");

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, token);
    node(founder)->durable_count = node(founder)->stored_count; /* synced, and then... */
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 1);
    world_connect(world, joiner, founder);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(token), 1);
    world_start(world, second);
    join_at(second, founder, token);
    assert_refused(second, CODE(TOKEN_USED));
}
END_TEST

START_TEST(issuer_crash_before_the_store_costs_nothing)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, token);
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 0);
    world_connect(world, joiner, founder);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(rolled_back_disk_does_not_reopen_a_token)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned second = world_add(world, "second");
    uint32_t durable;

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true; /* the invite is on disk, what follows will be lost */
    join_at(joiner, founder, token);
    durable = node(founder)->durable_count;
    world_sync(world, founder);
    world_settle(world);
    node(founder)->durable_count = durable;
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 0);
    world_tell(world, founder, joiner, true); /* membership shows whom it let in */
    ck_assert_uint_eq(uses_of(token), 1);
    world_start(world, second);
    join_at(second, founder, token);
    assert_refused(second, CODE(TOKEN_USED));
}
END_TEST

/* ---- restart, lost disk, clones, names ---- */

START_TEST(joiner_that_lost_its_disk_gets_its_grant_back_without_a_token)
{
    struct mn_span grant;
    uint8_t copy[GRANT_SIZE_MAX];

    join_at(joiner, founder, bootstrap());
    grant = admission_grant_bytes(node(joiner)->admission);
    memcpy(copy, grant.data, grant.size);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    world_join(world, joiner, NULL, true);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_RENEW);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert(
        mn_span_equal(admission_grant_bytes(node(joiner)->admission), mn_span(copy, grant.size)));
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
}
END_TEST

START_TEST(joiner_that_lost_its_disk_may_show_its_used_up_token_again)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    join_at(joiner, founder, token);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    join_at(joiner, founder, token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(founder_that_lost_its_disk_comes_back_as_issuer)
{
    mn_id mesh = admission_mesh_id(node(founder)->admission), after;

    join_at(joiner, founder, bootstrap());
    world_lose_disk(world, founder);
    world_start(world, founder);
    world_join(world, founder, NULL, true);
    world_connect(world, founder, joiner);
    world_settle(world);
    after = admission_mesh_id(node(founder)->admission);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(mn_id_equal(&mesh, &after));
    ck_assert(admission_is_issuer(node(founder)->admission));
}
END_TEST

START_TEST(node_with_another_key_does_not_take_the_stored_state_for_its_own)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {0x77};

    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    identity_init(&node(joiner)->identity, seed);
    world_start(world, joiner);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_EMPTY);
    ck_assert(admission_has_foreign_state(node(joiner)->admission));
    ck_assert(!admission_has_foreign_state(node(founder)->admission));
}
END_TEST

START_TEST(stranger_with_a_known_looking_key_has_to_wait)
{
    world_join(world, joiner, NULL, true); /* says renew, but the mesh has never seen it */
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
}
END_TEST

START_TEST(second_holder_of_a_live_identity_is_sent_away)
{
    struct admission_input input = {.type = ADMISSION_IN_REFUSE};
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, bootstrap());
    world_join(world, joiner, token, false);
    input.refuse.link = world_connect(world, joiner, founder);
    input.refuse.code = CODE(IDENTITY_IN_USE);
    world_step(world, founder, &input);
    world_settle(world);
    assert_refused(joiner, CODE(IDENTITY_IN_USE));
}
END_TEST

START_TEST(member_is_sent_away_as_a_clone_only_when_nobody_else_knows_it)
{
    unsigned other = member("other");
    struct admission_input input = {.type = ADMISSION_IN_REFUSE};
    uint64_t to_other;

    join_at(joiner, founder, bootstrap());
    to_other = world_connect(world, joiner, other);
    world_settle(world);
    input.refuse = (__typeof__(input.refuse)){to_other, CODE(IDENTITY_IN_USE)};
    world_step(world, other, &input); /* one member says so; the founder does not */
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);

    world_crash(world, joiner);
    world_start(world, joiner);
    input.refuse.link = world_connect(world, joiner, founder);
    world_step(world, founder, &input);
    world_settle(world);
    assert_refused(joiner, CODE(IDENTITY_IN_USE));
}
END_TEST

START_TEST(name_of_a_live_member_is_taken_for_30_seconds_and_then_for_good)
{
    unsigned twin = world_add(world, "joiner");

    join_at(joiner, founder, bootstrap());
    world_tell(world, founder, joiner, true);
    world_start(world, twin);
    join_at(twin, founder, bootstrap());
    ck_assert_int_eq(world_state(world, twin), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(twin)->admission), CODE(NAME_TAKEN));
    world_run(world, 70 * MN_SEC);
    assert_refused(twin, CODE(NAME_TAKEN));
}
END_TEST

START_TEST(name_of_a_dead_member_moves_to_a_new_key)
{
    unsigned twin = world_add(world, "joiner");

    join_at(joiner, founder, bootstrap());
    world_tell(world, founder, joiner, true);
    world_start(world, twin);
    join_at(twin, founder, bootstrap());
    world_tell(world, founder, joiner, false);
    world_run(world, 20 * MN_SEC);
    ck_assert_int_eq(world_state(world, twin), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(two_racing_for_one_name_are_told_apart_before_membership_knows)
{
    unsigned twin = world_add(world, "joiner");

    world_start(world, twin);
    join_at(joiner, founder, bootstrap());
    join_at(twin, founder, bootstrap());
    ck_assert_int_eq(admission_last_code(node(twin)->admission), CODE(NAME_TAKEN));
}
END_TEST

START_TEST(token_of_another_mesh_stops_a_node_that_has_one)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    world_join(world, joiner, bootstrap(), true); /* its own: ignored */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    world_join(world, joiner, node(other)->join_token, true);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

/* ---- renewal, expiry, clocks ---- */

START_TEST(member_renews_from_half_life_without_losing_its_link)
{
    mn_id serial;
    uint64_t link = join_at(joiner, founder, bootstrap());

    serial = admission_grant(node(joiner)->admission)->serial;
    world_run(world, 14 * MN_DAY);
    ck_assert(mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
    world_run(world, 6 * MN_DAY);
    ck_assert(!mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
    ck_assert_int_eq(admission_grant(node(joiner)->admission)->via,
                     MESHNODE__TRUST__VIA__VIA_RENEW);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    ck_assert_uint_eq(node(founder)->renewed, 1); /* an issuer renews its own */
    ck_assert_ptr_nonnull(world_find_link(world, link));
}
END_TEST

START_TEST(member_renews_through_any_member)
{
    unsigned middle = member("middle");
    mn_id serial;

    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    serial = admission_grant(node(joiner)->admission)->serial;
    world_connect(world, middle, founder);
    world_connect(world, joiner, middle);
    world_run(world, 20 * MN_DAY);
    ck_assert(!mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
}
END_TEST

START_TEST(member_renewed_keeps_its_token_and_counts_once)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 2, 29 * DAY_MS, ROLE(AUTO)));
    join_at(joiner, founder, token);
    world_run(world, 20 * MN_DAY);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(member_whose_grant_ended_comes_back_as_a_guest)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_run(world, 40 * MN_DAY);
    world_start(world, joiner);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_RENEW);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now,
                                          admission_grant_bytes(node(joiner)->admission),
                                          node(joiner)->identity.key.pk, &(struct grant){0}),
                     MN_OK);
}
END_TEST

START_TEST(member_away_for_longer_than_renewal_lasts_is_a_stranger)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_run(world, 100 * MN_DAY);
    world_start(world, joiner);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(PENDING));
}
END_TEST

START_TEST(member_whose_grant_ended_is_not_led_astray_by_another_mesh)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_run(world, 40 * MN_DAY);
    world_found(world, other, NULL);
    world_start(world, joiner);
    world_connect(world, joiner, other);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
}
END_TEST

START_TEST(issuer_away_past_its_own_end_renews_itself)
{
    world_crash(world, founder);
    world_run(world, 40 * MN_DAY);
    world_start(world, founder);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(founder)->renewed, 1);
}
END_TEST

START_TEST(joiner_with_a_wrong_clock_believes_no_seed)
{
    node(joiner)->clock_ms = (int64_t)(40 * DAY_MS);
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
    node(joiner)->clock_ms = 0;
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(peer_is_checked_for_key_and_time)
{
    struct grant grant;
    struct mn_span bytes;
    struct mn_now later = world->now;

    join_at(joiner, founder, bootstrap());
    bytes = admission_grant_bytes(node(joiner)->admission);
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now, bytes,
                                          node(joiner)->identity.key.pk, &grant),
                     MN_OK);
    ck_assert_str_eq(grant.name, "joiner");
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now, bytes,
                                          node(founder)->identity.key.pk, &grant),
                     MN_DENIED);
    later.wall += 31 * MN_DAY;
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, later, bytes,
                                          node(joiner)->identity.key.pk, &grant),
                     MN_EXPIRED);
}
END_TEST

/* ---- the authority moves on ---- */

START_TEST(member_pulls_a_newer_authority_from_whom_it_meets)
{
    struct sign_key second;
    uint8_t seed[SIGN_SEED_SIZE] = {3};
    const struct authority *first;
    struct authority next;
    const struct sign_key *signer = &node(founder)->identity.key;
    struct mn_buf *body, *document;
    uint32_t stored;

    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    first = admission_authority(node(founder)->admission);
    sign_key_init(&second, seed);
    next = *first;
    next.version = 2;
    next.created_ms++;
    memcpy(next.prev, first->hash, AUTHORITY_HASH_SIZE);
    body = authority_body(&next);
    document = authority_sign(&next.mesh_id, mn_buf_span(body), &signer, 1);

    stored = node(founder)->stored_count; /* as an offline command would leave it */
    node(founder)->store[stored].key = mn_buf_copy(mn_span_str("authority/0000000000000002"));
    node(founder)->store[stored].value = document;
    node(founder)->stored_count = node(founder)->durable_count = stored + 1;
    mn_buf_unref(body);
    world_crash(world, founder);
    world_start(world, founder);
    ck_assert_uint_eq(admission_authority(node(founder)->admission)->version, 2);

    world_start(world, joiner);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_uint_eq(admission_authority(node(joiner)->admission)->version, 2);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    world_crash(world, joiner);
    world_start(world, joiner);
    ck_assert_uint_eq(admission_authority(node(joiner)->admission)->version, 2);
}
END_TEST

START_TEST(codes_have_names_and_finality)
{
    ck_assert_str_eq(admission_code_name(CODE(TOKEN_USED)), "token_used");
    ck_assert_str_eq(admission_code_name((admission_code)99), "unknown");
    ck_assert(admission_code_is_final(CODE(DENIED)));
    ck_assert(!admission_code_is_final(CODE(NAME_TAKEN)));
    ck_assert(!admission_code_is_final((admission_code)99));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("admission-life");

    tcase_add_test(tcase, grant_never_leaves_before_it_is_stored);
    tcase_add_test(tcase, grant_never_leaves_for_a_sponsor_before_it_is_stored);
    tcase_add_test(tcase, issuer_crash_between_store_and_answer_costs_one_use_in_all);
    tcase_add_test(tcase, issuer_crash_before_the_store_costs_nothing);
    tcase_add_test(tcase, rolled_back_disk_does_not_reopen_a_token);
    tcase_add_test(tcase, joiner_that_lost_its_disk_gets_its_grant_back_without_a_token);
    tcase_add_test(tcase, joiner_that_lost_its_disk_may_show_its_used_up_token_again);
    tcase_add_test(tcase, founder_that_lost_its_disk_comes_back_as_issuer);
    tcase_add_test(tcase, node_with_another_key_does_not_take_the_stored_state_for_its_own);
    tcase_add_test(tcase, stranger_with_a_known_looking_key_has_to_wait);
    tcase_add_test(tcase, second_holder_of_a_live_identity_is_sent_away);
    tcase_add_test(tcase, member_is_sent_away_as_a_clone_only_when_nobody_else_knows_it);
    tcase_add_test(tcase, name_of_a_live_member_is_taken_for_30_seconds_and_then_for_good);
    tcase_add_test(tcase, name_of_a_dead_member_moves_to_a_new_key);
    tcase_add_test(tcase, two_racing_for_one_name_are_told_apart_before_membership_knows);
    tcase_add_test(tcase, token_of_another_mesh_stops_a_node_that_has_one);
    tcase_add_test(tcase, member_renews_from_half_life_without_losing_its_link);
    tcase_add_test(tcase, member_renews_through_any_member);
    tcase_add_test(tcase, member_renewed_keeps_its_token_and_counts_once);
    tcase_add_test(tcase, member_whose_grant_ended_comes_back_as_a_guest);
    tcase_add_test(tcase, member_away_for_longer_than_renewal_lasts_is_a_stranger);
    tcase_add_test(tcase, member_whose_grant_ended_is_not_led_astray_by_another_mesh);
    tcase_add_test(tcase, issuer_away_past_its_own_end_renews_itself);
    tcase_add_test(tcase, joiner_with_a_wrong_clock_believes_no_seed);
    tcase_add_test(tcase, peer_is_checked_for_key_and_time);
    tcase_add_test(tcase, member_pulls_a_newer_authority_from_whom_it_meets);
    tcase_add_test(tcase, codes_have_names_and_finality);
    return run_tests(suite_create("admission-life"), tcase);
}
