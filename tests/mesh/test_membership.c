/* Membership, one promise at a time, in a small world with virtual time. */
#include "mesh/membership_internal.h"
#include "tests/crypto/support.h"
#include "tests/mesh/world.h"

#include "proto/member.pb-c.h"
#include "proto/pb.h"

static struct world world;

static void setup(void)
{
}

static void teardown(void)
{
    world_done(&world);
}

/* A mesh of [count] that agrees, some seconds old. */
static void make_mesh(int count, uint8_t seed)
{
    world_init(&world, count, seed);
    world_start_all(&world);
    ck_assert(world_run_until(&world, world_is_agreed, 10 * MN_SEC));
    world_run(&world, 5 * MN_SEC);
    ck_assert(world_is_agreed(&world));
}

static uint64_t incarnation_of(int i)
{
    return membership_self(world.nodes[i].core)->incarnation;
}

/* ---- joining ---- */

START_TEST(founder_alone_has_joined_once_its_incarnation_is_on_disk)
{
    world_init(&world, 1, 1);
    world_start(&world, 0);
    ck_assert_ptr_null(membership_self(world.nodes[0].core));
    ck_assert(!membership_has_joined(world.nodes[0].core));
    world_run(&world, 10 * MN_MS);
    ck_assert(membership_has_joined(world.nodes[0].core));
    ck_assert_uint_eq(incarnation_of(0), 1);
    ck_assert_uint_eq(membership_count(world.nodes[0].core, MEMBER_ALIVE), 1);
}
END_TEST

START_TEST(all_join_within_a_second)
{
    world_init(&world, 10, 2);
    world_start_all(&world);
    world_run(&world, 2 * MN_SEC);
    ck_assert(world_is_agreed(&world));
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_ne(world.nodes[i].joined_at, 0);
        ck_assert_uint_le(world.nodes[i].joined_at - world.nodes[i].started_at, 1500 * MN_MS);
    }
}
END_TEST

START_TEST(joiner_without_peers_has_not_joined)
{
    world_init(&world, 2, 3);
    world_start(&world, 1);
    world_run(&world, MN_MINUTE);
    ck_assert(!membership_has_joined(world.nodes[1].core));
    ck_assert_uint_gt(world.nodes[1].dials_count, 5); /* it asks for its seed */
}
END_TEST

START_TEST(member_that_dies_need_not_echo_a_joiner)
{
    make_mesh(3, 5);
    world_freeze(&world, 2, true);
    world_kill(&world, 1);
    world_start(&world, 1);
    world_run(&world, 2 * MN_SEC);
    ck_assert_uint_eq(world.nodes[1].joined_at, 0); /* one echo of two */
    world_run(&world, 8 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 1, 2), MEMBER_DEAD);
    ck_assert_uint_ne(world.nodes[1].joined_at, 0);
}
END_TEST

START_TEST(member_that_dies_need_not_echo_a_leaver)
{
    world_init(&world, 3, 6);
    world.timing.leave_timeout = MN_MINUTE;
    world_start_all(&world);
    world_run(&world, 5 * MN_SEC);
    world_freeze(&world, 2, true);
    world_run(&world, 4 * MN_SEC);
    world_step(&world, 1, &(struct membership_input){.type = MEMBERSHIP_IN_LEAVE});
    world_run(&world, MN_SEC);
    ck_assert_uint_eq(world.nodes[1].leave_done_at, 0);
    world_run(&world, 9 * MN_SEC);
    ck_assert_uint_ne(world.nodes[1].leave_done_at, 0);
}
END_TEST

START_TEST(lost_disk_takes_a_fresh_incarnation_from_peers)
{
    make_mesh(4, 4);
    for (int restart = 0; restart < 3; restart++) {
        world_kill(&world, 2);
        world_run(&world, MN_SEC);
        world_start(&world, 2);
        world_run(&world, 3 * MN_SEC);
    }
    ck_assert_uint_eq(incarnation_of(2), 4);
    world_kill(&world, 2);
    world.nodes[2].keeps_disk = false;
    world_start(&world, 2);
    world_run(&world, 3 * MN_SEC);
    ck_assert_uint_eq(incarnation_of(2), 5);
    ck_assert_uint_eq(world.nodes[2].incarnation_first, 5); /* it asked before it spoke */
    ck_assert(world_is_agreed(&world));
    ck_assert_uint_eq(world.nodes[0].conflicts_count, 0);
}
END_TEST

/* ---- detection ---- */

/* How long after [start] the first of the others suspected node 1. */
static mn_time time_to_suspect(int count, mn_time start)
{
    mn_time first = MN_TIME_NEVER;

    for (int i = 0; i < count; i++)
        if (i != 1) first = mn_time_min(first, world.nodes[i].views[1].suspect_at - start);
    return first;
}

/* How long from now until the last of the others holds node 1 for dead. */
static mn_time time_to_bury(int count)
{
    mn_time start = world.now, worst = 0;

    world_run(&world, 15 * MN_SEC);
    for (int i = 0; i < count; i++) {
        if (i == 1) continue;
        ck_assert_int_eq(world_status(&world, i, 1), MEMBER_DEAD);
        if (world.nodes[i].views[1].dead_at - start > worst)
            worst = world.nodes[i].views[1].dead_at - start;
    }
    return worst;
}

START_TEST(killed_node_is_dead_within_nine_seconds)
{
    static const int counts[] = {2, 3, 4, 5, 7, 10};
    int count = counts[_i % 6];
    mn_time start;

    make_mesh(count, (uint8_t)(10 + _i));
    world_run(&world, rng_below_u64(&world.rng, 3 * MN_SEC));
    start = world.now;
    world_kill(&world, 1);
    ck_assert_uint_le(time_to_bury(count), 9 * MN_SEC);
    ck_assert_uint_le(time_to_suspect(count, start), 600 * MN_MS); /* no need to wait a period */
    ck_assert_uint_eq(world.false_deaths_count, 0);
}
END_TEST

START_TEST(frozen_node_is_suspect_within_three_and_dead_within_fourteen_seconds)
{
    static const int counts[] = {2, 3, 4, 5, 7, 10};
    int count = counts[_i % 6];
    mn_time start;

    make_mesh(count, (uint8_t)(80 + _i));
    world_run(&world, rng_below_u64(&world.rng, 3 * MN_SEC));
    start = world.now;
    world_freeze(&world, 1, true);
    ck_assert_uint_le(time_to_bury(count), 14 * MN_SEC);
    ck_assert_uint_le(time_to_suspect(count, start), 3 * MN_SEC);
}
END_TEST

/* The table of Lifeguard's curve: min = 4 T log10 n, max = 6 min, K = 3. */
START_TEST(suspicion_shortens_with_each_confirmation)
{
    const struct membership *core;

    make_mesh(10, 54);
    core = world.nodes[0].core;
    ck_assert_uint_eq(membership_suspicion_us(core, 0), 24 * MN_SEC);
    ck_assert_uint_eq(membership_suspicion_us(core, 1), 14 * MN_SEC);
    ck_assert_uint_eq(membership_suspicion_us(core, 2), 8160 * MN_MS);
    ck_assert_uint_eq(membership_suspicion_us(core, 3), 4 * MN_SEC);
    world_done(&world);
    make_mesh(4, 55); /* too few to confirm */
    ck_assert_uint_eq(membership_suspicion_us(world.nodes[0].core, 0), 4 * MN_SEC);
    world_done(&world);
    make_mesh(30, 56);
    ck_assert_uint_eq(membership_suspicion_us(world.nodes[0].core, 3), 5600 * MN_MS);
}
END_TEST

START_TEST(logarithm_is_exact_in_tenths)
{
    ck_assert_uint_eq(membership_log10_tenths(1), 0);
    ck_assert_uint_eq(membership_log10_tenths(2), 3);
    ck_assert_uint_eq(membership_log10_tenths(9), 9);
    ck_assert_uint_eq(membership_log10_tenths(10), 10);
    ck_assert_uint_eq(membership_log10_tenths(99), 19);
    ck_assert_uint_eq(membership_log10_tenths(100), 20);
    ck_assert_uint_eq(membership_log10_tenths(10000), 40);
    ck_assert_uint_eq(membership_log10_tenths(UINT32_MAX), 96);
}
END_TEST

START_TEST(thirty_nodes_bury_a_frozen_one_within_the_bound)
{
    make_mesh(30, 50);
    world_freeze(&world, 1, true);
    /* 4 * log10(30) periods with all confirmations, and the time to get them */
    ck_assert_uint_le(time_to_bury(30), 14 * MN_SEC);
    ck_assert_uint_eq(world.false_deaths_count, 0);
}
END_TEST

START_TEST(node_that_was_frozen_for_dead_comes_back)
{
    make_mesh(5, 51);
    world_freeze(&world, 1, true);
    world_run(&world, 20 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world_freeze(&world, 1, false);
    ck_assert(world_run_until(&world, world_is_agreed, 3 * MN_SEC));
    ck_assert_uint_gt(incarnation_of(1), 1);
    world_run(&world, 20 * MN_SEC);
    ck_assert(world_is_agreed(&world));
    ck_assert_uint_eq(world.false_deaths_count, 0);
}
END_TEST

START_TEST(node_that_stalled_in_the_middle_of_a_probe_suspects_nobody)
{
    uint64_t sent;

    make_mesh(5, 57);
    sent = membership_stats(world.nodes[1].core).packets_out;
    while (membership_stats(world.nodes[1].core).packets_out < sent + 4)
        world_run(&world, 100 * MN_US);
    world_freeze(&world, 1, true); /* four pings are out, the answers will wait in the inbox */
    world_run(&world, 3500 * MN_MS);
    world_freeze(&world, 1, false);
    world_run(&world, 10 * MN_SEC);
    for (int j = 0; j < 5; j++)
        ck_assert_uint_eq(world.nodes[1].views[j].suspect_at, 0);
    ck_assert(world_is_agreed(&world));
}
END_TEST

START_TEST(reset_link_that_comes_back_at_once_suspects_nobody)
{
    make_mesh(5, 52);
    world_unlink(&world, 0, 1, true);
    world_link(&world, 0, 1);
    world_run(&world, 5 * MN_SEC);
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(world.nodes[i].views[1].suspect_at, 0);
}
END_TEST

START_TEST(member_without_a_link_lives_on_through_helpers)
{
    make_mesh(5, 53);
    world_cut(&world, 0, 1, true);
    world_cut(&world, 1, 0, true);
    world_run(&world, 2 * MN_MINUTE);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_int_eq(world_status(&world, 1, 0), MEMBER_ALIVE);
    ck_assert_uint_eq(world.nodes[0].views[1].dead_at, 0);
}
END_TEST

/* ---- refuting ---- */

/* Nobody who remembers it can be asked: it starts low, and learns of its earlier life later. */
START_TEST(lost_disk_without_peers_is_told_of_its_earlier_life_later)
{
    make_mesh(3, 4);
    for (int restart = 0; restart < 3; restart++) {
        world_kill(&world, 2);
        world_start(&world, 2);
        world_run(&world, 3 * MN_SEC);
    }
    world_kill(&world, 2);
    for (int i = 0; i < 2; i++) {
        world_cut(&world, i, 2, true);
        world_cut(&world, 2, i, true);
    }
    world.nodes[2].keeps_disk = world.nodes[2].expects_peers = false;
    world_start(&world, 2);
    world_run(&world, MN_SEC);
    ck_assert_uint_eq(incarnation_of(2), 1);
    ck_assert_uint_eq(world.nodes[2].reborn_count, 0);
    for (int i = 0; i < 2; i++) {
        world_cut(&world, i, 2, false);
        world_cut(&world, 2, i, false);
    }
    ck_assert(world_run_until(&world, world_is_agreed, 30 * MN_SEC));
    ck_assert_uint_ge(world.nodes[2].reborn_count, 1);
    ck_assert_uint_gt(incarnation_of(2), 4);
}
END_TEST

START_TEST(accused_node_refutes_with_a_persisted_incarnation)
{
    make_mesh(4, 60);
    world_tell(&world, 3, 0, (struct mn_span){0},
               world_accusation(&world, 3, 1, 1, ACCUSATION_SUSPECT));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_SUSPECT);
    world_run(&world, 100 * MN_MS);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_uint_eq(incarnation_of(1), 2);
    ck_assert_uint_eq(world.nodes[1].incarnation_stored, 2);
    ck_assert_uint_eq(world.nodes[1].reborn_count, 0);
    world_run(&world, MN_SEC);
    ck_assert(world_is_agreed(&world));
}
END_TEST

START_TEST(hearsay_of_death_is_passed_to_a_member_that_is_heard)
{
    make_mesh(4, 61);
    world_tell(&world, 3, 0, (struct mn_span){0},
               world_accusation(&world, 3, 1, 1, ACCUSATION_DEAD));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    world_run(&world, 100 * MN_MS);
    ck_assert_uint_eq(incarnation_of(1), 2);
    ck_assert_uint_eq(world.false_deaths_count, 0);
}
END_TEST

START_TEST(lying_accuser_cannot_keep_a_node_dead)
{
    make_mesh(5, 62);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3; i++) {
            uint64_t incarnation = world_member(&world, i, 3)->incarnation;
            world_tell(&world, 4, i, (struct mn_span){0},
                       world_accusation(&world, 4, 3, incarnation, ACCUSATION_DEAD));
        }
        world_run(&world, 500 * MN_MS);
    }
    world_run(&world, 2 * MN_SEC);
    ck_assert(world_is_agreed(&world));
    ck_assert_uint_eq(world.false_deaths_count, 0);
}
END_TEST

START_TEST(accuser_cannot_raise_the_incarnation_of_its_subject)
{
    make_mesh(4, 63);
    world_tell(&world, 3, 0, (struct mn_span){0},
               world_accusation(&world, 3, 1, 1000, ACCUSATION_SUSPECT));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    world_tell(&world, 3, 1, (struct mn_span){0},
               world_accusation(&world, 3, 1, 1000, ACCUSATION_DEAD));
    world_run(&world, 2 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_uint_eq(incarnation_of(1), 1);
}
END_TEST

START_TEST(accusation_by_a_stranger_or_with_a_wrong_signature_changes_nothing)
{
    struct mn_span made;
    uint8_t bytes[ACCUSATION_SIZE_MAX];

    make_mesh(3, 64);
    made = world_accusation(&world, 2, 1, 1, ACCUSATION_SUSPECT);
    memcpy(bytes, made.data, made.size);
    bytes[made.size - 1] ^= 1;
    world_tell(&world, 2, 0, (struct mn_span){0}, mn_span(bytes, made.size));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_uint_eq(world.nodes[0].faults_count, 1);
    ck_assert_uint_eq(membership_stats(world.nodes[0].core).accusations_refused, 1);
    world.count = 4; /* one more identity, which nobody knows */
    {
        uint8_t seed[32] = {77};
        identity_init(&world.nodes[3].identity, seed);
    }
    world_tell(&world, 2, 0, (struct mn_span){0},
               world_accusation(&world, 3, 1, 1, ACCUSATION_SUSPECT));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE);
    ck_assert_uint_eq(membership_stats(world.nodes[0].core).accusations_refused, 2);
}
END_TEST

/* ---- records ---- */

START_TEST(replayed_old_record_brings_nobody_back)
{
    struct mn_span old;

    make_mesh(4, 70);
    old = world_record(&world, 1, 1, 5, 2);
    world_kill(&world, 1);
    world_run(&world, 10 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world_tell(&world, 2, 0, old, (struct mn_span){0});
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world_run(&world, 2 * MN_MINUTE);
    world_tell(&world, 2, 0, world_record(&world, 1, 1, 0, 2), (struct mn_span){0});
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world_tell(&world, 2, 0, world_record(&world, 1, 2, 0, 2), (struct mn_span){0});
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_ALIVE); /* its own word, and newer */
}
END_TEST

START_TEST(record_with_a_flipped_bit_is_the_forwarders_fault)
{
    struct mn_span made;
    uint8_t bytes[RECORD_SIZE_MAX];

    make_mesh(3, 71);
    made = world_record(&world, 1, 9, 0, 2);
    memcpy(bytes, made.data, made.size);
    bytes[made.size - 1] ^= 1;
    world_tell(&world, 2, 0, mn_span(bytes, made.size), (struct mn_span){0});
    ck_assert_uint_eq(world_member(&world, 0, 1)->incarnation, 1);
    ck_assert_uint_eq(world.nodes[0].faults_count, 1);
    ck_assert_uint_eq(membership_stats(world.nodes[0].core).records_refused, 1);
}
END_TEST

START_TEST(changed_record_is_everywhere_in_well_under_a_second)
{
    struct record_self self;
    struct membership_input input = {.type = MEMBERSHIP_IN_SET_SELF};

    make_mesh(10, 72);
    self = world_self(&world, 4);
    self.catalog_version = 17;
    self.catalog_root[0] = 1;
    input.set_self.self = &self;
    world_step(&world, 4, &input);
    world_run(&world, 50 * MN_MS);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(world_member(&world, i, 4)->record->said.catalog_version, 17);
    ck_assert_uint_eq(incarnation_of(4), 1);
}
END_TEST

START_TEST(changed_record_reaches_thirty_nodes_within_a_second)
{
    struct record_self self;
    struct membership_input input = {.type = MEMBERSHIP_IN_SET_SELF};

    make_mesh(30, 73);
    self = world_self(&world, 4);
    self.catalog_version = 17;
    input.set_self.self = &self;
    world_step(&world, 4, &input);
    world_run(&world, MN_SEC);
    for (int i = 0; i < 30; i++)
        ck_assert_uint_eq(world_member(&world, i, 4)->record->said.catalog_version, 17);
}
END_TEST

START_TEST(invalid_change_of_ourselves_is_refused)
{
    struct record_self self;
    struct membership_input input = {.type = MEMBERSHIP_IN_SET_SELF};

    make_mesh(2, 74);
    self = world_self(&world, 1);
    self.zone = mn_span_str("NO");
    input.set_self.self = &self;
    world_step(&world, 1, &input);
    ck_assert(mn_span_is(membership_self(world.nodes[1].core)->record->said.zone, "a"));
}
END_TEST

START_TEST(two_records_with_one_number_are_a_key_conflict)
{
    make_mesh(3, 75);
    world_tell(&world, 2, 0, world_record(&world, 1, 1, 0, 99), (struct mn_span){0});
    ck_assert_uint_eq(world.nodes[0].conflicts_count, 1);
    ck_assert(world_member(&world, 0, 1)->is_conflicted);
    world_run(&world, 2 * MN_SEC); /* the subject hears of it, and takes a number of its own */
    ck_assert_uint_gt(incarnation_of(1), 1);
    ck_assert(!world_member(&world, 0, 1)->is_conflicted);
}
END_TEST

START_TEST(boot_ids_that_take_turns_are_a_key_conflict)
{
    make_mesh(3, 76);
    world_kill(&world, 1);
    for (uint64_t n = 2; n < 12; n++) {
        world_tell(&world, 2, 0, world_record(&world, 1, n, 0, (uint8_t)(100 + n % 2)),
                   (struct mn_span){0});
        world_run(&world, 200 * MN_MS);
    }
    ck_assert(world_member(&world, 0, 1)->is_conflicted);
    ck_assert_uint_eq(world.nodes[0].conflicts_count, 1);
}
END_TEST

START_TEST(node_that_only_restarts_often_is_no_key_conflict)
{
    make_mesh(3, 77);
    for (int n = 0; n < 10; n++) {
        world_kill(&world, 1);
        world_start(&world, 1);
        world_run(&world, 3 * MN_SEC);
    }
    ck_assert(world_is_agreed(&world));
    ck_assert_uint_eq(world.nodes[0].conflicts_count, 0);
    ck_assert_uint_eq(world.nodes[2].conflicts_count, 0);
}
END_TEST

/* ---- leaving ---- */

static void leave(int i)
{
    world_step(&world, i, &(struct membership_input){.type = MEMBERSHIP_IN_LEAVE});
}

START_TEST(leaving_is_known_to_all_at_once_and_never_a_suspicion)
{
    mn_time start;

    make_mesh(6, 80);
    start = world.now;
    leave(2);
    world_run(&world, MN_SEC);
    ck_assert_uint_ne(world.nodes[2].leave_done_at, 0);
    ck_assert_uint_le(world.nodes[2].leave_done_at - start, 200 * MN_MS);
    world.nodes[2].has_left = true;
    world_kill(&world, 2);
    world_run(&world, MN_MINUTE);
    for (int i = 0; i < 6; i++) {
        if (i == 2) continue;
        ck_assert_int_eq(world_status(&world, i, 2), MEMBER_LEFT);
        ck_assert_uint_eq(world.nodes[i].views[2].suspect_at, 0);
    }
}
END_TEST

START_TEST(leaving_without_answers_ends_after_two_seconds)
{
    make_mesh(3, 81);
    world.loss_percent = 100;
    leave(1);
    world_run(&world, 1900 * MN_MS);
    ck_assert_uint_eq(world.nodes[1].leave_done_at, 0);
    world_run(&world, 200 * MN_MS);
    ck_assert_uint_ne(world.nodes[1].leave_done_at, 0);
    ck_assert_uint_eq(membership_deadline(world.nodes[1].core), MN_TIME_NEVER);
}
END_TEST

START_TEST(last_node_leaves_at_once)
{
    world_init(&world, 1, 82);
    world_start(&world, 0);
    world_run(&world, MN_SEC);
    leave(0);
    world_run(&world, 10 * MN_MS);
    ck_assert_uint_ne(world.nodes[0].leave_done_at, 0);
}
END_TEST

START_TEST(node_that_left_comes_back_with_a_higher_incarnation)
{
    make_mesh(4, 83);
    leave(2);
    world_run(&world, MN_SEC);
    world.nodes[2].has_left = true;
    world_kill(&world, 2);
    world_run(&world, 5 * MN_SEC);
    ck_assert_uint_eq(world_member(&world, 0, 2)->incarnation, 2);
    world_start(&world, 2);
    world_run(&world, 2 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 0, 2), MEMBER_ALIVE);
    ck_assert_uint_eq(incarnation_of(2), 3);
    ck_assert(world_is_agreed(&world));
}
END_TEST

/* ---- grants ---- */

static mn_id revoked_node;

static bool has_node(const void *set, const mn_id *node)
{
    (void)set;
    return mn_id_equal(node, &revoked_node);
}

static bool has_token(const void *set, const mn_id *token)
{
    (void)set;
    (void)token;
    return false;
}

START_TEST(revoked_member_is_removed_and_stays_out)
{
    struct grant_revoked revoked = {has_node, has_token, NULL};
    struct membership_input input = {.type = MEMBERSHIP_IN_TRUST};

    make_mesh(3, 90);
    revoked_node = world.nodes[1].identity.node_id;
    input.trust.authority = &world.authority;
    input.trust.revoked = &revoked;
    world_step(&world, 0, &input);
    world_run(&world, 10 * MN_MS);
    ck_assert_ptr_null(world_member(&world, 0, 1));
    ck_assert_uint_eq(world.nodes[0].removed_count, 1);
    ck_assert_ptr_nonnull(world_member(&world, 0, 2));
    world_run(&world, MN_MINUTE); /* others still pass its record on */
    ck_assert_ptr_null(world_member(&world, 0, 1));
}
END_TEST

/* The accused does not take the word of one that is out, and so never refutes it: whoever believed
 * that word must say it in its own name, or the accused stays dead there for ever. */
START_TEST(member_that_a_revoked_one_called_dead_comes_back)
{
    struct grant_revoked revoked = {has_node, has_token, NULL};
    struct membership_input input = {.type = MEMBERSHIP_IN_TRUST};
    const int others[] = {0, 2, 3};

    make_mesh(4, 92);
    for (int i = 0; i < 3; i++) {
        world_cut(&world, others[i], 1, true);
        world_cut(&world, 1, others[i], true);
        world_unlink(&world, others[i], 1, false);
    }
    for (int i = 0; i < 2; i++) {
        world_tell(&world, 3, others[i], (struct mn_span){0},
                   world_accusation(&world, 3, 1, 1, ACCUSATION_DEAD));
        ck_assert_int_eq(world_status(&world, others[i], 1), MEMBER_DEAD);
    }
    world_kill(&world, 3);
    revoked_node = world.nodes[3].identity.node_id;
    input.trust.authority = &world.authority;
    input.trust.revoked = &revoked;
    for (int i = 0; i < 3; i++)
        world_step(&world, i, &input);
    world_run(&world, 10 * MN_MS);
    ck_assert_ptr_null(world_member(&world, 0, 3));
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    for (int i = 0; i < 2; i++) {
        world_cut(&world, others[i], 1, false);
        world_cut(&world, 1, others[i], false);
    }
    ck_assert(world_run_until(&world, world_is_agreed, MN_MINUTE));
    ck_assert_uint_gt(incarnation_of(1), 1);
}
END_TEST

START_TEST(tombstone_goes_when_the_grant_ends)
{
    make_mesh(3, 91);
    world_kill(&world, 1);
    world_run(&world, 15 * MN_SEC);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world.wall_days = 29;
    world_run(&world, 2 * MN_MINUTE);
    ck_assert_int_eq(world_status(&world, 0, 1), MEMBER_DEAD);
    world.wall_days = 31;
    world_run(&world, 2 * MN_MINUTE);
    ck_assert_ptr_null(world_member(&world, 0, 1));
}
END_TEST

START_TEST(grant_of_a_newer_authority_asks_for_the_chain)
{
    struct grant grant = {.mesh_id = {{0}}, .name = "n1", .authority_version = 2};
    struct mn_buf *old;

    make_mesh(3, 92);
    old = world.nodes[1].grant;
    grant.mesh_id = world.authority.mesh_id;
    grant.role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER;
    grant.not_after_ms = WORLD_WALL_MS + WORLD_GRANT_MS;
    grant.via = MESHNODE__TRUST__VIA__VIA_RENEW;
    memcpy(grant.sign_pk, world.nodes[1].identity.key.pk, SIGN_PK_SIZE);
    world.nodes[1].grant = grant_sign(&grant, &world.issuer);
    world_tell(&world, 2, 0, world_record(&world, 1, 5, 0, 9), (struct mn_span){0});
    ck_assert_uint_eq(world.nodes[0].trust_needed_count, 1);
    ck_assert_uint_eq(world.nodes[0].faults_count, 0);
    ck_assert_uint_eq(world_member(&world, 0, 1)->incarnation, 1);
    mn_buf_unref(old);
}
END_TEST

/* ---- the rest ---- */

START_TEST(load_rides_on_acks)
{
    struct membership_input input = {.type = MEMBERSHIP_IN_SOFT};

    make_mesh(2, 100);
    input.soft.bytes = mn_span_str("busy as a bee");
    world_step(&world, 1, &input);
    world_run(&world, 3 * MN_SEC);
    ck_assert_int_eq(world.nodes[0].soft_from, 1);
    ck_assert_uint_eq(world.nodes[0].soft_size, 13);
    ck_assert_int_eq(memcmp(world.nodes[0].soft, "busy as a bee", 13), 0);
}
END_TEST

START_TEST(garbage_is_counted_and_dropped)
{
    struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};
    static uint8_t garbage[MEMBERSHIP_PACKET_MAX + 1];

    make_mesh(2, 101);
    input.packet.from = world.nodes[1].identity.node_id;
    memset(garbage, 0xff, sizeof garbage);
    input.packet.bytes = mn_span(garbage, 100);
    world_step(&world, 0, &input);
    memset(garbage, 0, sizeof garbage);
    input.packet.bytes = mn_span(garbage, sizeof garbage);
    world_step(&world, 0, &input);
    ck_assert_uint_eq(membership_stats(world.nodes[0].core).packets_refused, 2);
    ck_assert_uint_eq(world.nodes[0].faults_count, 2);
}
END_TEST

START_TEST(full_table_refuses_more_and_says_so)
{
    struct membership_config config;
    struct membership *core;
    struct mn_arena arena = {0};
    struct membership_outbox outbox = {.arena = &arena};
    struct mn_now now = {MN_SEC, WORLD_WALL_MS * MN_MS};

    world_init(&world, 3, 102);
    config = (struct membership_config){.identity = &world.nodes[0].identity,
                                        .mesh_id = world.authority.mesh_id,
                                        .boot_id = {{1}},
                                        .self = world_self(&world, 0),
                                        .authority = &world.authority,
                                        .members_max = 1,
                                        .memory_max = 65536,
                                        .timing = membership_timing_default()};
    ck_assert_int_eq(membership_new(&config, &core), MN_OK);
    for (int i = 1; i < 3; i++) {
        struct membership_input input = {.type = MEMBERSHIP_IN_LINK_UP};
        input.link_up.node = world.nodes[i].identity.node_id;
        input.link_up.record = world_record(&world, i, 1, 0, 1);
        membership_step(core, now, &input, &outbox);
        membership_check(core);
    }
    ck_assert_uint_eq(membership_count(core, MEMBER_ALIVE), 1);
    ck_assert_uint_eq(membership_stats(core).table_full, 1);
    membership_step(core, now,
                    &(struct membership_input){.type = MEMBERSHIP_IN_PERSISTED,
                                               .persisted = {.incarnation = 1}},
                    &outbox);
    ck_assert_ptr_nonnull(membership_self(core)); /* room for ourselves there always is */
    membership_free(core);
    mn_arena_done(&arena);
}
END_TEST

START_TEST(configuration_outside_its_range_is_refused)
{
    struct membership_config config, bad;
    struct membership *core = NULL;

    world_init(&world, 1, 103);
    config = (struct membership_config){.identity = &world.nodes[0].identity,
                                        .self = world_self(&world, 0),
                                        .authority = &world.authority,
                                        .members_max = 10,
                                        .memory_max = 65536,
                                        .timing = membership_timing_default()};
    bad = config;
    bad.members_max = MEMBERSHIP_MEMBERS_MAX + 1;
    ck_assert_int_eq(membership_new(&bad, &core), MN_CONFIG);
    bad = config;
    bad.timing.period = 0;
    ck_assert_int_eq(membership_new(&bad, &core), MN_CONFIG);
    bad = config;
    bad.self.grant = mn_span(NULL, 0);
    ck_assert_int_eq(membership_new(&bad, &core), MN_CONFIG);
    ck_assert_ptr_null(core);
    ck_assert_int_eq(membership_new(&config, &core), MN_OK);
    membership_free(core);
}
END_TEST

START_TEST(members_are_walked_in_order_of_id)
{
    const struct member *member = NULL, *last = NULL;
    int count = 0;

    make_mesh(5, 104);
    while ((member = membership_next(world.nodes[3].core, member)) != NULL) {
        if (last != NULL) ck_assert_int_lt(mn_id_compare(&last->node_id, &member->node_id), 0);
        last = member;
        count++;
        ck_assert_int_eq(member->is_self, member == membership_self(world.nodes[3].core));
        ck_assert(member->is_self || (member->is_linked && member->rtt_us > 0));
    }
    ck_assert_int_eq(count, 5);
}
END_TEST

/* Two runs of one seed say the same on the wire, to the byte. */
START_TEST(same_seed_gives_the_same_run)
{
    uint64_t bytes = 0;

    for (int run = 0; run < 2; run++) {
        world_init(&world, 6, 105);
        world.loss_percent = 10;
        world_start_all(&world);
        world_run(&world, 10 * MN_SEC);
        world_kill(&world, 3);
        world_run(&world, 20 * MN_SEC);
        if (run == 1) ck_assert_uint_eq(world.bytes_sent, bytes);
        bytes = world.bytes_sent;
        if (run == 0) world_done(&world);
    }
    ck_assert_uint_gt(bytes, 1000);
}
END_TEST

START_TEST(idle_mesh_is_quiet)
{
    uint64_t before;

    make_mesh(10, 106);
    world_run(&world, 5 * MN_SEC);
    before = world.bytes_sent;
    world_run(&world, MN_MINUTE);
    ck_assert_uint_le((world.bytes_sent - before) / 60 / 10, 1024); /* bytes per node and second */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *tcase = tcase_create("membership");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, founder_alone_has_joined_once_its_incarnation_is_on_disk);
    tcase_add_test(tcase, all_join_within_a_second);
    tcase_add_test(tcase, joiner_without_peers_has_not_joined);
    tcase_add_test(tcase, member_that_dies_need_not_echo_a_joiner);
    tcase_add_test(tcase, member_that_dies_need_not_echo_a_leaver);
    tcase_add_test(tcase, lost_disk_takes_a_fresh_incarnation_from_peers);
    tcase_add_loop_test(tcase, killed_node_is_dead_within_nine_seconds, 0, 60);
    tcase_add_loop_test(tcase, frozen_node_is_suspect_within_three_and_dead_within_fourteen_seconds,
                        0, 60);
    tcase_add_test(tcase, suspicion_shortens_with_each_confirmation);
    tcase_add_test(tcase, logarithm_is_exact_in_tenths);
    tcase_add_test(tcase, thirty_nodes_bury_a_frozen_one_within_the_bound);
    tcase_add_test(tcase, node_that_was_frozen_for_dead_comes_back);
    tcase_add_test(tcase, node_that_stalled_in_the_middle_of_a_probe_suspects_nobody);
    tcase_add_test(tcase, reset_link_that_comes_back_at_once_suspects_nobody);
    tcase_add_test(tcase, member_without_a_link_lives_on_through_helpers);
    tcase_add_test(tcase, lost_disk_without_peers_is_told_of_its_earlier_life_later);
    tcase_add_test(tcase, accused_node_refutes_with_a_persisted_incarnation);
    tcase_add_test(tcase, hearsay_of_death_is_passed_to_a_member_that_is_heard);
    tcase_add_test(tcase, lying_accuser_cannot_keep_a_node_dead);
    tcase_add_test(tcase, accuser_cannot_raise_the_incarnation_of_its_subject);
    tcase_add_test(tcase, accusation_by_a_stranger_or_with_a_wrong_signature_changes_nothing);
    tcase_add_test(tcase, replayed_old_record_brings_nobody_back);
    tcase_add_test(tcase, record_with_a_flipped_bit_is_the_forwarders_fault);
    tcase_add_test(tcase, changed_record_is_everywhere_in_well_under_a_second);
    tcase_add_test(tcase, changed_record_reaches_thirty_nodes_within_a_second);
    tcase_add_test(tcase, invalid_change_of_ourselves_is_refused);
    tcase_add_test(tcase, two_records_with_one_number_are_a_key_conflict);
    tcase_add_test(tcase, boot_ids_that_take_turns_are_a_key_conflict);
    tcase_add_test(tcase, node_that_only_restarts_often_is_no_key_conflict);
    tcase_add_test(tcase, leaving_is_known_to_all_at_once_and_never_a_suspicion);
    tcase_add_test(tcase, leaving_without_answers_ends_after_two_seconds);
    tcase_add_test(tcase, last_node_leaves_at_once);
    tcase_add_test(tcase, node_that_left_comes_back_with_a_higher_incarnation);
    tcase_add_test(tcase, revoked_member_is_removed_and_stays_out);
    tcase_add_test(tcase, member_that_a_revoked_one_called_dead_comes_back);
    tcase_add_test(tcase, tombstone_goes_when_the_grant_ends);
    tcase_add_test(tcase, grant_of_a_newer_authority_asks_for_the_chain);
    tcase_add_test(tcase, load_rides_on_acks);
    tcase_add_test(tcase, garbage_is_counted_and_dropped);
    tcase_add_test(tcase, full_table_refuses_more_and_says_so);
    tcase_add_test(tcase, configuration_outside_its_range_is_refused);
    tcase_add_test(tcase, members_are_walked_in_order_of_id);
    tcase_add_test(tcase, same_seed_gives_the_same_run);
    tcase_add_test(tcase, idle_mesh_is_quiet);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
