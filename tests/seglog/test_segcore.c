/* The log on virtual files: what was durable comes back after any crash, space is used again, and
 * damage is told from a torn tail. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/base/crc.h"
#include "tests/seglog/disk.h"
#include "tests/suite.h"

static struct disk disk;

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    disk_init(&disk, 1);
    disk_start(&disk);
}

static void teardown(void)
{
    disk_done(&disk);
}

static void expect_right(void)
{
    ck_assert(!disk.has_lost_groups);
    for (uint32_t g = 0; g < DISK_GROUPS; g++) {
        ck_assert_int_eq(disk.damage[g], EDGE_LOG_SOUND);
        ck_assert_msg(disk_is_right(&disk, g), "group %u is not as it was", g + 1);
    }
}

START_TEST(crc_is_castagnolis)
{
    ck_assert_uint_eq(mn_crc32c(0, mn_span_str("123456789")), 0xe3069283u);
    ck_assert_uint_eq(mn_crc32c(mn_crc32c(0, mn_span_str("1234")), mn_span_str("56789")),
                      0xe3069283u);
    ck_assert_uint_eq(mn_crc32c(0, mn_span(NULL, 0)), 0);
}
END_TEST

START_TEST(an_empty_log_gives_nothing)
{
    ck_assert_uint_eq(disk.given_count, 0);
    disk_stop(&disk);
    disk_start(&disk);
    ck_assert_uint_eq(disk.given_count, 0);
}
END_TEST

START_TEST(what_was_written_comes_back)
{
    disk.groups[0].term = 3;
    disk_put(&disk, 0, 5, 100);
    disk_put(&disk, 1, 1, 0);
    disk_snapshot(&disk, 0);
    disk_put(&disk, 0, 2, 10);
    ck_assert(disk_commit(&disk));
    ck_assert_uint_eq(disk.durable, 4);
    ck_assert_uint_eq(disk.syncs, 2); /* the new segment, and one for all four */
    disk_stop(&disk);
    disk_start(&disk);
    expect_right();
    ck_assert_uint_eq(disk.groups[0].last, 7);
    ck_assert_uint_eq(disk.groups[0].snapshot_index, 5);
    ck_assert_uint_eq(disk.groups[1].last, 1);
}
END_TEST

/* Any number of crashes at any moment, and the log stays within its share of the disk. */
START_TEST(crashes_lose_nothing_that_was_durable)
{
    disk_done(&disk);
    disk_init(&disk, 100 + (uint64_t)_i);
    disk_start(&disk);
    for (int crash = 0; crash < 12; crash++) {
        uint32_t commits = rng_below(&disk.rng, 150);
        for (uint32_t i = 0; i < commits; i++) {
            uint32_t writes = 1 + rng_below(&disk.rng, 6);
            for (uint32_t k = 0; k < writes; k++)
                disk_do(&disk);
            if (rng_below(&disk.rng, 10) == 0) segcore_mark(disk.core);
            disk_commit(&disk);
            disk_clean(&disk);
        }
        disk_do(&disk);
        disk_do(&disk);
        if (rng_below(&disk.rng, 2) == 0) disk_commit_torn(&disk);
        disk_crash(&disk);
        disk_start(&disk);
        expect_right();
        disk_accept(&disk);
    }
}
END_TEST

/* Entries are written between its pieces; before the last word it is nothing, whatever happens. */
START_TEST(a_snapshot_that_was_written_in_pieces_counts_at_once)
{
    disk_put(&disk, 0, 3, 50);
    disk_piece(&disk, 0, 300);
    disk_commit(&disk);
    disk.ahead[0].is_on = false; /* given up: its piece must not get into the next one */
    for (int i = 0; i < 4; i++) {
        disk_piece(&disk, 0, 400);
        disk_put(&disk, 0, 1, 100);
        disk_commit(&disk);
    }
    disk_crash(&disk);
    disk_start(&disk);
    expect_right();
    ck_assert(!disk.groups[0].has_snapshot);
    disk_accept(&disk);
    for (int i = 0; i < 4; i++) {
        disk_piece(&disk, 0, 400);
        disk_put(&disk, 0, 1, 100);
        disk_commit(&disk);
    }
    disk_ahead_end(&disk, 0);
    disk_commit(&disk);
    disk_crash(&disk);
    disk_start(&disk);
    expect_right();
    ck_assert_uint_eq(disk.groups[0].snapshot_index, 7);
    ck_assert_uint_eq(disk.groups[0].snapshot_size, 1600);
    ck_assert_uint_eq(disk.groups[0].last, 11);
    ck_assert_int_eq(disk.damage[0], EDGE_LOG_SOUND);
}
END_TEST

START_TEST(segments_are_used_again)
{
    for (int i = 0; i < 3000; i++) {
        disk_put(&disk, 0, 4, 500);
        if (i % 10 == 0) disk_snapshot(&disk, 0);
        ck_assert(disk_commit(&disk));
        disk_clean(&disk);
    }
    ck_assert_uint_eq(disk.durable, disk.write);
    ck_assert_uint_le(segcore_slots_count(disk.core), 4);
    disk_stop(&disk);
    disk_start(&disk);
    expect_right();
}
END_TEST

/* A group that is written once would hold its segment for ever. */
START_TEST(what_lives_long_is_copied_away)
{
    for (uint32_t g = 1; g < DISK_GROUPS; g++)
        disk_put(&disk, g, 3, 50);
    for (int i = 0; i < 3000; i++) {
        disk_put(&disk, 0, 4, 500);
        if (i % 10 == 0) disk_snapshot(&disk, 0);
        ck_assert(disk_commit(&disk));
        disk_clean(&disk);
    }
    ck_assert_uint_gt(disk.cleans, 0);
    ck_assert_uint_le(segcore_slots_count(disk.core), 7);
    disk_crash(&disk);
    disk_start(&disk);
    expect_right();
    for (uint32_t g = 1; g < DISK_GROUPS; g++)
        ck_assert_uint_eq(disk.groups[g].last, 3);
}
END_TEST

START_TEST(a_group_that_ended_does_not_come_back)
{
    disk_put(&disk, 0, 3, 100);
    disk_snapshot(&disk, 0);
    disk_commit(&disk);
    disk_end(&disk, 0);
    disk_put(&disk, 1, 1, 10);
    disk_commit(&disk);
    disk_stop(&disk);
    disk_start(&disk);
    ck_assert(!disk.groups[0].exists && disk.groups[1].exists);
    disk.groups[0].term = 9;
    disk_put(&disk, 0, 1, 10); /* the number is free */
    disk_commit(&disk);
    disk_stop(&disk);
    disk_start(&disk);
    expect_right();
    ck_assert_uint_eq(disk.groups[0].last, 1);
    ck_assert(!disk.groups[0].has_snapshot);
    for (int i = 0; i < 2000; i++) {
        disk_put(&disk, 2, 4, 500);
        if (i % 10 == 0) disk_snapshot(&disk, 2);
        ck_assert(disk_commit(&disk));
        disk_clean(&disk);
    }
    ck_assert_uint_le(segcore_slots_count(disk.core), 7); /* its end is no more needed either */
}
END_TEST

START_TEST(a_log_that_is_full_waits)
{
    uint32_t slot;

    disk.slots_max = 3;
    disk_stop(&disk);
    disk_start(&disk);
    while (disk.write < 400) { /* nothing of it can go: six groups keep all their entries */
        for (uint32_t g = 0; g < DISK_GROUPS; g++)
            disk_put(&disk, g, 1, 1000);
        disk_commit(&disk);
        disk_clean(&disk);
        if (segcore_is_waiting(disk.core)) break;
    }
    ck_assert(segcore_is_waiting(disk.core));
    ck_assert_uint_lt(disk.durable, disk.write);
    ck_assert(!segcore_wants_slot(disk.core));
    ck_assert(!segcore_clean_begin(disk.core, &slot) || slot < 3);
    disk_crash(&disk);
    disk_start(&disk);
    expect_right();
}
END_TEST

/* ---- damage ---- */

static void flip(uint32_t slot, uint32_t offset)
{
    disk.files[slot].cached[offset] ^= 0x40;
    disk.files[slot].synced[offset] ^= 0x40;
}

/* Group 1 has five writes in commits of their own, group 2 one at the end. */
static void five_commits(void)
{
    for (int i = 0; i < 5; i++) {
        disk_put(&disk, 0, 1, 100);
        disk_commit(&disk);
    }
    disk_put(&disk, 1, 1, 100);
    disk_commit(&disk);
    disk_stop(&disk);
}

#define FRAME 232u /* 64 + 48 + 16 + 100, padded */

START_TEST(damage_in_the_middle_is_told_of_the_group_it_hit)
{
    five_commits();
    flip(0, SEGMENT_HEADER_SIZE + 2 * FRAME + 150); /* body of the third entry */
    disk_start(&disk);
    ck_assert_int_eq(disk.damage[0], EDGE_LOG_CORRUPT);
    ck_assert_int_eq(disk.damage[1], EDGE_LOG_SOUND);
    ck_assert(!disk.has_lost_groups);
    ck_assert_uint_eq(disk.groups[0].last, 2); /* up to the damage */
    ck_assert_uint_eq(disk.groups[1].last, 1);
}
END_TEST

START_TEST(a_header_that_is_gone_may_have_been_of_anybody)
{
    five_commits();
    flip(0, SEGMENT_HEADER_SIZE + 4 * FRAME + 20); /* the last one of group 1 */
    disk_start(&disk);
    ck_assert_int_eq(disk.damage[0], EDGE_LOG_CORRUPT);
    ck_assert_int_eq(disk.damage[1], EDGE_LOG_SOUND); /* it wrote after that */
    ck_assert(disk.has_lost_groups);
    ck_assert_uint_eq(disk.groups[0].last, 4);
}
END_TEST

START_TEST(the_last_write_is_cut_in_silence_unless_something_says_it_was_synced)
{
    five_commits();
    flip(0, SEGMENT_HEADER_SIZE + 5 * FRAME + 150);
    disk_start(&disk);
    ck_assert_int_eq(disk.damage[1], EDGE_LOG_SOUND);
    ck_assert(!disk.groups[1].exists);
    disk_put(&disk, 1, 1, 100);
    disk_commit(&disk);
    segcore_mark(disk.core); /* the mark says it */
    disk_commit(&disk);
    disk_stop(&disk);
    flip(0, SEGMENT_HEADER_SIZE + 5 * FRAME + 150);
    disk_start(&disk);
    ck_assert_int_eq(disk.damage[1], EDGE_LOG_CORRUPT);
    ck_assert_int_eq(disk.damage[0], EDGE_LOG_SOUND);
}
END_TEST

START_TEST(damage_to_what_counts_no_more_is_none)
{
    five_commits();
    disk_start(&disk);
    disk_snapshot(&disk, 0);
    disk_commit(&disk);
    disk_stop(&disk);
    flip(0, SEGMENT_HEADER_SIZE + 1 * FRAME + 150);
    flip(0, SEGMENT_HEADER_SIZE + 3 * FRAME + 150);
    disk_start(&disk);
    expect_right();
    ck_assert_uint_eq(segcore_stats(disk.core).damaged_count, 2);
}
END_TEST

/* Two segments at least, group 1 with its only write in the first one. */
static void two_segments(void)
{
    disk_put(&disk, 0, 1, 100);
    disk_commit(&disk);
    for (uint32_t i = 0; i < 200; i++) {
        disk_put(&disk, 1 + i % 5, 1, 1000);
        if (i % 20 == 0)
            for (uint32_t g = 1; g < DISK_GROUPS; g++)
                disk_snapshot(&disk, g);
        disk_commit(&disk);
    }
    ck_assert_uint_ge(segcore_stats(disk.core).used_count, 2);
    disk_stop(&disk);
}

START_TEST(a_segment_that_is_gone_is_noticed)
{
    two_segments();
    mn_free(disk.files[0].cached);
    mn_free(disk.files[0].synced);
    disk.files[0] = (struct disk_file){0};
    disk_start(&disk);
    ck_assert(disk.has_lost_groups);
    for (uint32_t g = 1; g < DISK_GROUPS; g++)
        ck_assert_msg(disk.damage[g] == EDGE_LOG_CORRUPT || disk_is_right(&disk, g), "group %u", g);
}
END_TEST

START_TEST(a_segment_is_known_by_its_frames_when_its_header_is_gone)
{
    two_segments();
    flip(0, 20);
    disk_start(&disk);
    expect_right();
    ck_assert_uint_gt(segcore_stats(disk.core).damaged_count, 0);
}
END_TEST

/* Nothing can be read, not even after a start that ended before it had written anything. */
START_TEST(a_log_of_which_nothing_is_left_is_not_taken_for_a_new_one)
{
    five_commits();
    flip(0, 20);
    disk_start(&disk);
    ck_assert(disk.has_lost_groups);
    disk_put(&disk, 4, 1, 10);
    disk_commit_torn(&disk);
    for (uint32_t i = 0; i < DISK_SLOTS; i++) /* no sector of it arrived, but for the header */
        if (disk.files[i].cached != NULL) {
            memset(disk.files[i].dirty, 0, sizeof disk.files[i].dirty);
            memcpy(disk.files[i].cached, disk.files[i].synced, DISK_SEGMENT);
        }
    segcore_free(disk.core);
    disk_start(&disk);
    ck_assert(disk.has_lost_groups);
    disk_put(&disk, 0, 1, 10);
    ck_assert(disk_commit(&disk));
    disk_stop(&disk);
    disk_start(&disk);
    ck_assert(disk.groups[0].exists);
}
END_TEST

START_TEST(a_footer_knows_whose_frames_are_gone)
{
    two_segments();
    flip(0, SEGMENT_HEADER_SIZE + 20); /* header of the only frame of group 1 */
    disk_start(&disk);
    ck_assert_int_eq(disk.damage[0], EDGE_LOG_CORRUPT);
    ck_assert(!disk.has_lost_groups);
    for (uint32_t g = 1; g < DISK_GROUPS; g++)
        ck_assert_int_eq(disk.damage[g], EDGE_LOG_SOUND);
}
END_TEST

/* Whatever one byte is changed: nothing is taken for good that is not as it was. */
START_TEST(no_damage_goes_unnoticed)
{
    disk_done(&disk);
    disk_init(&disk, 500 + (uint64_t)_i);
    disk_start(&disk);
    for (int i = 0; i < 150; i++) {
        disk_do(&disk);
        disk_commit(&disk);
        disk_clean(&disk);
    }
    segcore_mark(disk.core);
    disk_commit(&disk);
    disk_stop(&disk);
    for (int k = 0; k < 200; k++) {
        uint32_t slot = rng_below(&disk.rng, DISK_SLOTS), offset;
        if (disk.files[slot].cached == NULL) continue;
        offset = rng_below(&disk.rng, DISK_SEGMENT);
        flip(slot, offset);
        disk_start(&disk);
        for (uint32_t g = 0; g < DISK_GROUPS; g++)
            ck_assert_msg(disk.damage[g] == EDGE_LOG_CORRUPT || disk_is_right(&disk, g) ||
                              (disk.has_lost_groups && !disk.groups[g].exists),
                          "slot %u offset %u: group %u is wrong and nobody says so", slot, offset,
                          g + 1);
        segcore_free(disk.core);
        disk.core = NULL;
        flip(slot, offset);
    }
}
END_TEST

/* A value that looks like a frame is none: it would need the log's secret number. */
START_TEST(what_is_stored_is_never_taken_for_a_frame)
{
    uint8_t forged[128] = {0};
    struct segment_frame frame = {.type = SEGMENT_END, .group = 1, .number = 1000}, read;
    struct segment_use use = {77, 1}, other = {78, 1};

    segment_frame_write(forged, &frame, 0);
    segment_frame_place(forged, use, 0, 0);
    segment_frame_place(forged, use, SEGMENT_HEADER_SIZE, SEGMENT_HEADER_SIZE);
    uint8_t *file = mn_alloc(DISK_SEGMENT);
    memcpy(file + SEGMENT_HEADER_SIZE, forged, sizeof forged);
    ck_assert_int_eq(
        segment_frame_read(mn_span(file, DISK_SEGMENT), use, SEGMENT_HEADER_SIZE, &read),
        SEGMENT_GOOD);
    ck_assert_int_eq(
        segment_frame_read(mn_span(file, DISK_SEGMENT), other, SEGMENT_HEADER_SIZE, &read),
        SEGMENT_NOTHING);
    mn_free(file);
}
END_TEST

START_TEST(a_configuration_outside_its_range_is_refused)
{
    struct segcore *core = NULL;
    ck_assert_int_eq(segcore_new(&(struct segcore_config){0, 1000, 8}, &core), MN_CONFIG);
    ck_assert_int_eq(segcore_new(&(struct segcore_config){0, DISK_SEGMENT, 2}, &core), MN_CONFIG);
    ck_assert_int_eq(segcore_new(&(struct segcore_config){0, DISK_SEGMENT, 1000}, &core),
                     MN_CONFIG);
    ck_assert_ptr_null(core);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("segcore");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, crc_is_castagnolis);
    tcase_add_test(tcase, an_empty_log_gives_nothing);
    tcase_add_test(tcase, what_was_written_comes_back);
    tcase_add_loop_test(tcase, crashes_lose_nothing_that_was_durable, 0, 20);
    tcase_add_test(tcase, a_snapshot_that_was_written_in_pieces_counts_at_once);
    tcase_add_test(tcase, segments_are_used_again);
    tcase_add_test(tcase, what_lives_long_is_copied_away);
    tcase_add_test(tcase, a_group_that_ended_does_not_come_back);
    tcase_add_test(tcase, a_log_that_is_full_waits);
    tcase_add_test(tcase, damage_in_the_middle_is_told_of_the_group_it_hit);
    tcase_add_test(tcase, a_header_that_is_gone_may_have_been_of_anybody);
    tcase_add_test(tcase, the_last_write_is_cut_in_silence_unless_something_says_it_was_synced);
    tcase_add_test(tcase, damage_to_what_counts_no_more_is_none);
    tcase_add_test(tcase, a_segment_that_is_gone_is_noticed);
    tcase_add_test(tcase, a_segment_is_known_by_its_frames_when_its_header_is_gone);
    tcase_add_test(tcase, a_log_of_which_nothing_is_left_is_not_taken_for_a_new_one);
    tcase_add_test(tcase, a_footer_knows_whose_frames_are_gone);
    tcase_add_loop_test(tcase, no_damage_goes_unnoticed, 0, 5);
    tcase_add_test(tcase, what_is_stored_is_never_taken_for_a_frame);
    tcase_add_test(tcase, a_configuration_outside_its_range_is_refused);
    Suite *suite = suite_create("segcore");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
