/* A wall clock that is wrong harms its own node only: nobody takes over another's clock, an issuer
 * that most members contradict signs nothing, and all is as before once it is set. */
#include "tests/mesh/admission_fixture.h"

#define TOO_MUCH_MS ((int64_t)GRANT_TOLERANCE_MS + 2000)

static const int64_t offs[] = {40 * (int64_t)DAY_MS, -40 * (int64_t)DAY_MS, TOO_MUCH_MS,
                               -TOO_MUCH_MS};

/* Members that are linked to the founder. */
static void with_members(unsigned count)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};

    for (unsigned i = 0; i < count; i++)
        member(names[i]);
}

static int64_t off_of(unsigned number)
{
    return admission_clock_off_ms(node(number)->admission);
}

/* One of the mesh, by number, whose link the founder refused. */
static void hear_refused(unsigned from, int64_t off_ms)
{
    struct admission_input input = {.type = ADMISSION_IN_CLOCK};

    input.clock.node_id = (mn_id){{(uint8_t)from, 0xfe}};
    input.clock.wall_ms = mn_wall_ms(world->now) + (uint64_t)off_ms;
    world_step(world, founder, &input);
}

START_TEST(issuer_that_most_members_contradict_signs_nothing_until_its_clock_is_set)
{
    char token[TOKEN_TEXT_SIZE];

    with_members(3);
    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->clock_ms = offs[_i];
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), -offs[_i]);
    join_at(joiner, founder, token);
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING); /* not: token_expired */
    ck_assert_str_eq(admission_code_name(admission_last_code(node(joiner)->admission)),
                     "issuer_unavailable");
    node(founder)->clock_ms = 0;
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), 0);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(issuer_with_a_wrong_clock_makes_no_token)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_CREATE};

    with_members(3);
    node(founder)->clock_ms = TOO_MUCH_MS;
    input.token_create.request = 7;
    input.token_create.ttl_ms = HOUR_MS;
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_NOT_YET);
    node(founder)->clock_ms = 0;
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_OK);
}
END_TEST

START_TEST(nothing_is_renewed_or_forgotten_by_a_clock_that_is_wrong)
{
    mn_id serial;
    uint32_t invites, issued;

    with_members(3);
    serial = admission_grant(node(founder)->admission)->serial;
    invites = admission_counts(node(founder)->admission).invites;
    issued = admission_counts(node(founder)->admission).issued;
    node(founder)->clock_ms = 400 * (int64_t)DAY_MS;
    world_run(world, 3 * MN_HOUR);
    ck_assert(mn_id_equal(&serial, &admission_grant(node(founder)->admission)->serial));
    ck_assert_uint_eq(admission_counts(node(founder)->admission).invites, invites);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, issued);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
}
END_TEST

START_TEST(two_peers_are_not_enough_to_say_that_a_clock_is_wrong)
{
    with_members(2);
    node(founder)->clock_ms = offs[_i];
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), 0);
}
END_TEST

START_TEST(as_many_wrong_clocks_as_right_ones_are_no_majority)
{
    with_members(2);
    hear_refused(4, offs[_i]);
    ck_assert_int_eq(off_of(founder), 0);
    hear_refused(5, offs[_i]);
    ck_assert_int_eq(off_of(founder), 0);
    hear_refused(6, offs[_i]);
    ck_assert_int_eq(off_of(founder), offs[_i]);
}
END_TEST

START_TEST(five_minutes_are_forgiven)
{
    with_members(3);
    node(founder)->clock_ms = (int64_t)GRANT_TOLERANCE_MS * (_i == 0 ? 1 : -1);
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), 0);
}
END_TEST

START_TEST(clocks_of_refused_members_count_for_some_minutes)
{
    with_members(3); /* gone again: the founder's clock made it refuse them */
    world_crash(world, founder);
    world_start(world, founder);
    for (unsigned i = 2; i < 5; i++) {
        ck_assert_int_eq(off_of(founder), 0);
        hear_refused(i, -TOO_MUCH_MS);
        hear_refused(i, -TOO_MUCH_MS); /* nobody counts twice */
    }
    ck_assert_int_eq(off_of(founder), -TOO_MUCH_MS);
    world_run(world, 5 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), -TOO_MUCH_MS);
    world_run(world, 10 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), 0);
}
END_TEST

/* By such a clock all grants have ended, so the links go in the same moment, before anybody looked.
 */
START_TEST(the_alarm_does_not_end_with_the_links_that_it_costs)
{
    with_members(3);
    node(founder)->clock_ms = offs[_i];
    for (uint64_t link = 1; link < 32; link++)
        if (world_find_link(world, link) != NULL) world_cut(world, link);
    ck_assert_int_eq(off_of(founder), -offs[_i]);
    world_run(world, 5 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), -offs[_i]);
    node(founder)->clock_ms = 0;
    world_run(world, 2 * MN_MINUTE);
    ck_assert_int_eq(off_of(founder), 0);
}
END_TEST

START_TEST(absurd_clocks_are_left_out)
{
    with_members(3);
    for (unsigned i = 0; i < 8; i++)
        hear_refused(i, INT64_MIN + (int64_t)i);
    ck_assert_int_eq(off_of(founder), 0);
}
END_TEST

/* Two nodes cannot tell whose clock is right, so it may have signed with a wrong one. */
START_TEST(grant_made_by_a_clock_that_was_ahead_is_made_again)
{
    join_at(joiner, founder, bootstrap());
    node(founder)->clock_ms = 20 * (int64_t)DAY_MS;
    world_run(world, 2 * MN_HOUR);
    node(founder)->clock_ms = 0;
    world_run(world, 2 * MN_HOUR);
    ck_assert_int_eq(grant_check(admission_grant(node(founder)->admission),
                                 admission_authority(node(founder)->admission), NULL,
                                 mn_wall_ms(world->now)),
                     MN_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission-clock");
    TCase *tcase = tcase_create("all");

    tcase_add_loop_test(
        tcase, issuer_that_most_members_contradict_signs_nothing_until_its_clock_is_set, 0, 4);
    tcase_add_test(tcase, issuer_with_a_wrong_clock_makes_no_token);
    tcase_add_test(tcase, nothing_is_renewed_or_forgotten_by_a_clock_that_is_wrong);
    tcase_add_loop_test(tcase, two_peers_are_not_enough_to_say_that_a_clock_is_wrong, 0, 4);
    tcase_add_loop_test(tcase, as_many_wrong_clocks_as_right_ones_are_no_majority, 0, 4);
    tcase_add_loop_test(tcase, five_minutes_are_forgiven, 0, 2);
    tcase_add_test(tcase, clocks_of_refused_members_count_for_some_minutes);
    tcase_add_loop_test(tcase, the_alarm_does_not_end_with_the_links_that_it_costs, 0, 4);
    tcase_add_test(tcase, absurd_clocks_are_left_out);
    tcase_add_test(tcase, grant_made_by_a_clock_that_was_ahead_is_made_again);
    return run_tests(suite, tcase);
}
