/* The replicated map: what each command does, once, the same everywhere, within its bounds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/digest.h"
#include "crypto/rng.h"
#include "node/state/strong.h"
#include "tests/suite.h"

static struct strong *map;
static uint64_t at;

static void setup(void)
{
    map = strong_new(1);
    at = 0;
}

static void teardown(void)
{
    strong_check(map);
    strong_free(map);
}

static struct strong_reply apply_to(struct strong *strong, uint64_t index,
                                    const struct strong_command *command)
{
    struct mn_buf *bytes = strong_command_encode(command);
    struct strong_reply reply = strong_apply(strong, index, mn_buf_span(bytes));

    mn_buf_unref(bytes);
    return reply;
}

static struct strong_reply apply(struct strong_command command)
{
    return apply_to(map, ++at, &command);
}

static struct strong_command put(const char *key, const char *value)
{
    return (struct strong_command){
        .verb = STRONG_PUT, .key = mn_span_str(key), .value = mn_span_str(value)};
}

static struct strong_command put_if(const char *key, const char *value, uint64_t rev)
{
    struct strong_command command = put(key, value);

    command.has_if_rev = true;
    command.if_rev = rev;
    return command;
}

static void expect(const char *key, const char *value)
{
    struct strong_pair pair;

    ck_assert_msg(strong_get(map, mn_span_str(key), &pair), "there is no %s", key);
    ck_assert_mem_eq(pair.value.data, value, strlen(value));
    ck_assert_uint_eq(pair.value.size, strlen(value));
}

static bool has(const char *key)
{
    struct strong_pair pair;
    return strong_get(map, mn_span_str(key), &pair);
}

START_TEST(compare_and_set_takes_only_the_revision_it_names)
{
    uint64_t first;

    ck_assert_int_eq(apply(put_if("a", "1", 7)).status, MN_EXISTS);
    ck_assert_int_eq(apply(put_if("a", "1", 0)).status, MN_OK);
    first = at;
    ck_assert_int_eq(apply(put_if("a", "2", 0)).status, MN_EXISTS);
    ck_assert_uint_eq(apply(put_if("a", "2", first + 1)).rev, first);
    ck_assert_int_eq(apply(put_if("a", "2", first)).status, MN_OK);
    expect("a", "2");
}
END_TEST

START_TEST(a_removed_key_is_gone_and_is_made_anew_with_a_higher_token)
{
    struct strong_pair before, after;

    apply(put("a", "1"));
    ck_assert(strong_get(map, mn_span_str("a"), &before));
    ck_assert_int_eq(
        apply((struct strong_command){.verb = STRONG_REMOVE, .key = mn_span_str("a")}).status,
        MN_OK);
    ck_assert(!has("a"));
    ck_assert_int_eq(
        apply((struct strong_command){.verb = STRONG_REMOVE, .key = mn_span_str("a")}).status,
        MN_NOT_FOUND);
    apply(put("a", "1"));
    ck_assert(strong_get(map, mn_span_str("a"), &after));
    ck_assert_uint_gt(after.created, before.created);
}
END_TEST

START_TEST(numbers_are_added_and_what_is_none_is_refused)
{
    struct strong_command add = {.verb = STRONG_ADD, .key = mn_span_str("n"), .by = 5};

    ck_assert_int_eq(apply(add).number, 5);
    add.by = -8;
    ck_assert_int_eq(apply(add).number, -3);
    expect("n", "-3");
    add.by = INT64_MIN;
    ck_assert_int_eq(apply(add).status, MN_TOO_BIG);
    expect("n", "-3");
    apply(put("n", "3x"));
    add.by = 1;
    ck_assert_int_eq(apply(add).status, MN_MALFORMED);
    apply(put("n", "9223372036854775808"));
    ck_assert_int_eq(apply(add).status, MN_MALFORMED);
}
END_TEST

START_TEST(a_retry_is_applied_once_and_gets_the_first_answer)
{
    struct strong_command add = {
        .client.bytes = {1}, .seq = 1, .verb = STRONG_ADD, .key = mn_span_str("n"), .by = 1};
    struct strong_command late = add;

    ck_assert_int_eq(apply(add).number, 1);
    ck_assert_int_eq(apply(add).number, 1);
    expect("n", "1");
    add.seq = 2;
    ck_assert_int_eq(apply(add).number, 2);
    ck_assert_int_eq(apply(late).status, MN_EXPIRED); /* whatever became of it, not again */
    expect("n", "2");
}
END_TEST

START_TEST(a_session_that_gave_way_is_not_taken_for_a_new_one)
{
    struct strong_command add = {
        .client.bytes = {1}, .seq = 1, .verb = STRONG_ADD, .key = mn_span_str("n"), .by = 1};
    struct strong_command other = put("o", "");

    apply(add);
    for (uint32_t i = 0; i < STRONG_SESSIONS_MAX; i++) {
        mn_store_u32(other.client.bytes + 4, i + 1);
        other.seq = 1;
        apply(other);
    }
    ck_assert_uint_eq(strong_stats(map).sessions_count, STRONG_SESSIONS_MAX);
    add.seq = 2;
    ck_assert_int_eq(apply(add).status, MN_EXPIRED);
    expect("n", "1");
}
END_TEST

START_TEST(the_end_of_a_lease_takes_its_keys_unless_it_was_renewed)
{
    struct strong_command lock = put_if("lock", "me", 0);
    uint64_t lease = apply((struct strong_command){.verb = STRONG_GRANT, .ttl_ms = 5000}).rev;

    lock.lease = lease + 1;
    ck_assert_int_eq(apply(lock).status, MN_NOT_FOUND);
    lock.lease = lease;
    ck_assert_int_eq(apply(lock).status, MN_OK);
    ck_assert_int_eq(apply((struct strong_command){.verb = STRONG_RENEW, .lease = lease}).status,
                     MN_OK);
    ck_assert_int_eq(apply((struct strong_command){.verb = STRONG_EXPIRE, .lease = lease}).status,
                     MN_EXISTS);
    ck_assert(has("lock"));
    ck_assert_int_eq(
        apply((struct strong_command){.verb = STRONG_EXPIRE, .lease = lease, .renewals = 1}).status,
        MN_OK);
    ck_assert(!has("lock"));
    ck_assert_int_eq(apply((struct strong_command){.verb = STRONG_RENEW, .lease = lease}).status,
                     MN_NOT_FOUND);
}
END_TEST

START_TEST(a_prefix_lists_in_order_and_goes_on_after_a_key)
{
    struct strong_pair pair;

    apply(put("b/2", ""));
    apply(put("a", ""));
    apply(put("b/1", ""));
    apply(put("b0", ""));
    ck_assert(strong_next(map, mn_span_str("b/"), mn_span(NULL, 0), &pair));
    ck_assert(mn_span_is(pair.key, "b/1"));
    ck_assert(strong_next(map, mn_span_str("b/"), pair.key, &pair));
    ck_assert(mn_span_is(pair.key, "b/2"));
    ck_assert(!strong_next(map, mn_span_str("b/"), pair.key, &pair));
    ck_assert(strong_next(map, mn_span_str("b/"), mn_span_str("b/11"), &pair));
    ck_assert(mn_span_is(pair.key, "b/2"));
}
END_TEST

static mn_status change_after(uint64_t rev, uint32_t part, const struct strong_change **ret)
{
    return strong_change_after(map, (struct strong_place){rev, part}, ret);
}

START_TEST(who_watches_sees_each_change_or_is_told_that_some_are_gone)
{
    const struct strong_change *change;

    ck_assert_int_eq(change_after(0, 0, &change), MN_NOT_FOUND);
    apply(put("a", "1"));
    apply((struct strong_command){.verb = STRONG_REMOVE, .key = mn_span_str("a")});
    ck_assert_int_eq(change_after(0, STRONG_PART_ALL, &change), MN_OK);
    ck_assert(!change->is_removed && change->rev == 1);
    ck_assert_int_eq(change_after(1, STRONG_PART_ALL, &change), MN_OK);
    ck_assert(change->is_removed && change->rev == 2);
    ck_assert_ptr_null(strong_change_next(map, change));
    for (uint32_t i = 0; i < STRONG_CHANGES_MAX; i++)
        apply(put("a", "1"));
    ck_assert_int_eq(change_after(1, STRONG_PART_ALL, &change), MN_EXPIRED);
    ck_assert_int_eq(change_after(2, STRONG_PART_ALL, &change), MN_OK);
    ck_assert_int_eq(change_after(2 + STRONG_CHANGES_MAX, 1, &change), MN_NOT_FOUND);
    ck_assert_int_eq(change_after(UINT64_MAX, 1, &change), MN_NOT_FOUND); /* of a newer replica */
}
END_TEST

/* A lease that ends takes its keys along in one revision; whoever saw some of them goes on after
 * them, also at another replica. */
START_TEST(one_revision_can_be_watched_in_parts)
{
    const struct strong_change *change;
    struct strong_command with = put("a", "1");
    const char *const gone[] = {"c", "b", "a"};

    apply((struct strong_command){.verb = STRONG_GRANT, .ttl_ms = 1000});
    with.lease = 1;
    apply(with);
    with.key = mn_span_str("b");
    apply(with);
    with.key = mn_span_str("c");
    apply(with);
    apply((struct strong_command){.verb = STRONG_REVOKE, .lease = 1});
    for (uint32_t part = 0; part < 3; part++) {
        ck_assert_int_eq(change_after(part == 0 ? 4 : 5, part == 0 ? 1 : part, &change), MN_OK);
        ck_assert(change->is_removed && change->rev == 5 && change->part == part + 1);
        ck_assert(mn_span_is(mn_buf_span(change->key), gone[part]));
    }
    ck_assert_int_eq(change_after(5, 3, &change), MN_NOT_FOUND);
}
END_TEST

/* What a snapshot skips cannot be told. */
START_TEST(who_watched_across_a_snapshot_is_told_that_changes_are_gone)
{
    const struct strong_change *change;
    struct mn_buf *snapshot;
    struct strong *other = strong_new(1);

    apply(put("a", "1"));
    apply(put("a", "2"));
    snapshot = strong_snapshot(map);
    ck_assert_int_eq(strong_restore(other, mn_buf_span(snapshot)), MN_OK);
    ck_assert_int_eq(strong_change_after(other, (struct strong_place){1, STRONG_PART_ALL}, &change),
                     MN_EXPIRED);
    ck_assert_int_eq(strong_change_after(other, (struct strong_place){2, STRONG_PART_ALL}, &change),
                     MN_NOT_FOUND);
    mn_buf_unref(snapshot);
    strong_free(other);
}
END_TEST

START_TEST(what_is_too_large_is_refused_and_changes_nothing)
{
    struct mn_buf *large = mn_buf_new(STRONG_VALUE_MAX + 1);
    struct strong_command command = put("a", "");
    char key[16];

    memset(large->bytes, 'x', large->size);
    command.value = mn_buf_span(large);
    ck_assert_int_eq(apply(command).status, MN_TOO_BIG);
    command.value.size = STRONG_VALUE_MAX;
    for (uint32_t i = 0; i < STRONG_TOTAL_MAX / STRONG_VALUE_MAX; i++) {
        snprintf(key, sizeof key, "%u", i);
        command.key = mn_span_str(key);
        if (apply(command).status != MN_OK) break;
    }
    ck_assert_int_eq(apply(put("last", "")).status, MN_OK);
    command.key = mn_span_str("more");
    ck_assert_int_eq(apply(command).status, MN_FULL);
    ck_assert(!has("more"));
    mn_buf_unref(large);
}
END_TEST

static struct strong_command draw(struct rng *rng, char key[8])
{
    struct strong_command command = {.verb = (enum strong_verb)(1 + rng_below(rng, 7)),
                                     .key = mn_span_str(key),
                                     .value = mn_span_str("1"),
                                     .has_if_rev = rng_below(rng, 4) == 0,
                                     .if_rev = rng_below(rng, 2) == 0 ? 0 : at,
                                     .ttl_ms = 5000,
                                     .lease = rng_below(rng, 3) == 0 ? 1 + rng_below(rng, 200) : 0,
                                     .by = 1};

    snprintf(key, 8, "k%u", rng_below(rng, 20));
    command.key = mn_span_str(key);
    if (rng_below(rng, 2) == 0) {
        command.client.bytes[3] = (uint8_t)(1 + rng_below(rng, 5));
        command.seq = 1 + rng_below(rng, 50);
    }
    return command;
}

/* Two maps: one that applies all, one that is restored from a snapshot in the middle. */
START_TEST(a_restored_map_goes_on_as_if_nothing_had_happened)
{
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, 1};
    struct strong *other = strong_new(1);
    struct mn_buf *snapshot, *again;
    struct rng rng;
    char key[8];

    rng_init(&rng, seed);
    for (int i = 0; i < 150; i++)
        apply(draw(&rng, key));
    snapshot = strong_snapshot(map);
    ck_assert_int_eq(strong_restore(other, mn_buf_span(snapshot)), MN_OK);
    again = strong_snapshot(other);
    ck_assert(mn_span_equal(mn_buf_span(snapshot), mn_buf_span(again)));
    for (int i = 0; i < 150; i++) {
        struct strong_command command = draw(&rng, key);
        struct strong_reply there = apply_to(other, at + 1, &command), here = apply(command);
        ck_assert_int_eq(here.status, there.status);
        ck_assert_uint_eq(here.rev, there.rev);
        ck_assert_int_eq(here.number, there.number);
    }
    mn_buf_unref(snapshot);
    mn_buf_unref(again);
    snapshot = strong_snapshot(map);
    again = strong_snapshot(other);
    ck_assert(mn_span_equal(mn_buf_span(snapshot), mn_buf_span(again)));
    strong_check(other);
    mn_buf_unref(snapshot);
    mn_buf_unref(again);
    strong_free(other);
    rng_done(&rng);
}
END_TEST

/* Commands of every kind go on between the pieces, and change, remove and add what is still to be
 * written. */
START_TEST(a_snapshot_in_pieces_is_of_the_moment_it_began)
{
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, 2};
    struct mn_buf *whole, *pieces;
    struct mn_writer writer = {0};
    struct rng rng;
    char key[8];

    rng_init(&rng, seed);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = rng_below(&rng, 40); i > 0; i--)
            apply(draw(&rng, key));
        whole = strong_snapshot(map);
        strong_save_begin(map);
        while ((pieces = strong_save_end(map)) == NULL) {
            mn_writer_add(&writer, strong_save_next(map, 1 + rng_below(&rng, 60)));
            for (uint32_t i = rng_below(&rng, 6); i > 0; i--)
                apply(draw(&rng, key));
            strong_check(map);
        }
        ck_assert(mn_span_equal(mn_buf_span(whole), mn_buf_span(pieces)));
        ck_assert(mn_span_equal(mn_buf_span(whole), mn_buf_span(writer.buf)));
        ck_assert(!strong_is_saving(map));
        mn_writer_drop(&writer);
        mn_buf_unref(pieces);
        mn_buf_unref(whole);
    }
    rng_done(&rng);
}
END_TEST

START_TEST(a_snapshot_under_way_is_dropped_when_the_map_is_replaced)
{
    struct mn_buf *snapshot;

    apply(put("a", "1"));
    apply(put("b", "2"));
    snapshot = strong_snapshot(map);
    strong_save_begin(map);
    strong_save_next(map, 1);
    apply(put("a", "3"));
    ck_assert_int_eq(strong_restore(map, mn_buf_span(snapshot)), MN_OK);
    ck_assert(!strong_is_saving(map));
    expect("a", "1");
    strong_save_begin(map); /* and so it is when the map goes: teardown */
    apply(put("a", "4"));
    mn_buf_unref(snapshot);
}
END_TEST

static struct strong_command verify(void)
{
    return (struct strong_command){.verb = STRONG_VERIFY};
}

/* As a replica that has it all in one piece. */
static void hash_of(struct mn_buf *snapshot, uint8_t ret[STRONG_DIGEST_SIZE])
{
    digest_one(DIGEST_STATE, mn_buf_span(snapshot), ret, STRONG_DIGEST_SIZE);
}

/* A snapshot may be under way as well, begun before or after, and what both need is freed once. */
START_TEST(what_replicas_compare_is_of_the_moment_of_the_command)
{
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, 3}, expected[STRONG_DIGEST_SIZE],
            found[STRONG_DIGEST_SIZE];
    struct rng rng;
    char key[8];

    rng_init(&rng, seed);
    for (int round = 0; round < 20; round++) {
        struct mn_buf *whole;
        uint64_t rev;
        for (uint32_t i = rng_below(&rng, 40); i > 0; i--)
            apply(draw(&rng, key));
        if (rng_below(&rng, 2) == 0 && !strong_is_saving(map)) strong_save_begin(map);
        apply(verify());
        rev = at;
        whole = strong_snapshot(map);
        hash_of(whole, expected);
        while (strong_is_verifying(map)) {
            ck_assert_int_eq(strong_digest(map, rev, found), MN_NOT_YET);
            if (rng_below(&rng, 8) == 0 && !strong_is_saving(map)) strong_save_begin(map);
            if (rng_below(&rng, 2) == 0 && strong_is_saving(map)) {
                struct mn_buf *pieces = strong_save_end(map);
                mn_buf_unref(pieces);
                if (pieces == NULL) strong_save_next(map, 1 + rng_below(&rng, 60));
            }
            strong_verify_next(map, 1 + rng_below(&rng, 60));
            for (uint32_t i = rng_below(&rng, 6); i > 0; i--)
                apply(draw(&rng, key));
            strong_check(map);
        }
        ck_assert_int_eq(strong_digest(map, rev, found), MN_OK);
        ck_assert_mem_eq(found, expected, sizeof found);
        mn_buf_unref(whole);
    }
    rng_done(&rng);
}
END_TEST

START_TEST(a_second_verify_has_the_first_done_and_a_snapshot_forgets_it)
{
    uint8_t expected[STRONG_DIGEST_SIZE], found[STRONG_DIGEST_SIZE];
    struct mn_buf *snapshot;
    uint64_t first;

    apply(put("a", "1"));
    apply(verify());
    first = at;
    snapshot = strong_snapshot(map);
    hash_of(snapshot, expected);
    apply(put("a", "2"));
    apply(verify());
    ck_assert_int_eq(strong_digest(map, first, found), MN_OK);
    ck_assert_mem_eq(found, expected, sizeof found);
    ck_assert_int_eq(strong_digest(map, at, found), MN_NOT_YET);
    ck_assert_int_eq(strong_digest(map, first + 1, found), MN_NOT_FOUND);
    ck_assert_int_eq(strong_restore(map, mn_buf_span(snapshot)), MN_OK);
    ck_assert(!strong_is_verifying(map));
    ck_assert_int_eq(strong_digest(map, first + 2, found), MN_NOT_FOUND);
    at = first;
    apply(verify()); /* and so it is when the map goes: teardown */
    apply(put("a", "3"));
    mn_buf_unref(snapshot);
}
END_TEST

START_TEST(a_broken_snapshot_is_refused_and_leaves_the_map_alone)
{
    struct mn_buf *snapshot, *bad;

    apply(put("a", "1"));
    apply(put("b", "2"));
    snapshot = strong_snapshot(map);
    for (uint32_t i = 0; i < snapshot->size; i++) {
        bad = mn_buf_copy(mn_span(snapshot->bytes, i));
        if (i > 0 && strong_restore(map, mn_buf_span(bad)) != MN_OK) expect("a", "1");
        mn_buf_unref(bad);
        ck_assert_int_eq(strong_restore(map, mn_buf_span(snapshot)), MN_OK);
    }
    ck_assert_int_eq(strong_restore(map, mn_span_str("nonsense")), MN_MALFORMED);
    expect("a", "1");
    mn_buf_unref(snapshot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strong");
    TCase *tcase = tcase_create("all");

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, compare_and_set_takes_only_the_revision_it_names);
    tcase_add_test(tcase, a_removed_key_is_gone_and_is_made_anew_with_a_higher_token);
    tcase_add_test(tcase, numbers_are_added_and_what_is_none_is_refused);
    tcase_add_test(tcase, a_retry_is_applied_once_and_gets_the_first_answer);
    tcase_add_test(tcase, a_session_that_gave_way_is_not_taken_for_a_new_one);
    tcase_add_test(tcase, the_end_of_a_lease_takes_its_keys_unless_it_was_renewed);
    tcase_add_test(tcase, a_prefix_lists_in_order_and_goes_on_after_a_key);
    tcase_add_test(tcase, who_watches_sees_each_change_or_is_told_that_some_are_gone);
    tcase_add_test(tcase, one_revision_can_be_watched_in_parts);
    tcase_add_test(tcase, who_watched_across_a_snapshot_is_told_that_changes_are_gone);
    tcase_add_test(tcase, what_is_too_large_is_refused_and_changes_nothing);
    tcase_add_loop_test(tcase, a_restored_map_goes_on_as_if_nothing_had_happened, 0, 20);
    tcase_add_loop_test(tcase, a_snapshot_in_pieces_is_of_the_moment_it_began, 0, 20);
    tcase_add_test(tcase, a_snapshot_under_way_is_dropped_when_the_map_is_replaced);
    tcase_add_loop_test(tcase, what_replicas_compare_is_of_the_moment_of_the_command, 0, 20);
    tcase_add_test(tcase, a_second_verify_has_the_first_done_and_a_snapshot_forgets_it);
    tcase_add_test(tcase, a_broken_snapshot_is_refused_and_leaves_the_map_alone);
    return suite_run(suite);
}
