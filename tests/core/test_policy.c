/* How a node votes by itself, and what members say about themselves. */
#include <check.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/policy.h"
#include "tests/suite.h"

static struct metrics calm(void)
{
    struct metrics metrics = {{0}};

    metrics.values[METRIC_LINKS] = 1;
    metrics.values[METRIC_NODES] = 5;
    metrics.values[METRIC_RTT] = (double)NAN;
    return metrics;
}

static enum decision_choice vote(const char *rule, const char *topic, const char *value,
                                 const struct metrics *metrics)
{
    struct policy_rule parsed;
    const char *why = "";

    ck_assert_msg(policy_parse(mn_span_str(rule), &parsed, &why) == MN_OK, "%s: %s", rule, why);
    return policy_vote(&parsed, 1, mn_span_str(topic), mn_span_str(value), metrics);
}

START_TEST(a_rule_votes_where_it_applies)
{
    struct metrics metrics = calm();
    const char *rule = "deploy/* yes if load < 32 and failures <= 0.01 else no";

    ck_assert_int_eq(vote(rule, "deploy/web", "v2", &metrics), DECISION_YES);
    ck_assert_int_eq(vote(rule, "scale/web", "v2", &metrics), DECISION_NONE);
    metrics.values[METRIC_LOAD] = 32;
    ck_assert_int_eq(vote(rule, "deploy/web", "v2", &metrics), DECISION_NO);
    metrics.values[METRIC_LOAD] = 31;
    metrics.values[METRIC_FAILURES] = 0.02;
    ck_assert_int_eq(vote(rule, "deploy/web", "v2", &metrics), DECISION_NO);
}
END_TEST

START_TEST(nothing_is_made_up)
{
    struct metrics metrics = calm();

    ck_assert_int_eq(policy_vote(NULL, 0, mn_span_str("t"), mn_span_str("v"), &metrics),
                     DECISION_NONE);
    ck_assert_int_eq(vote("t yes if nodes > 5", "t", "v", &metrics), DECISION_NONE); /* no else */
    ck_assert_int_eq(vote("t yes if rtt_ms < 50 else no", "t", "v", &metrics), DECISION_NONE);
    ck_assert_int_eq(vote("t yes if value < 5 else no", "t", "many", &metrics), DECISION_NONE);
}
END_TEST

START_TEST(values_are_texts_and_numbers)
{
    struct metrics metrics = calm();

    ck_assert_int_eq(vote("mode is maint* abstain", "mode", "maintenance", &metrics),
                     DECISION_ABSTAIN);
    ck_assert_int_eq(vote("mode is maint* abstain", "mode", "normal", &metrics), DECISION_NONE);
    ck_assert_int_eq(vote("s no if value > 8 else yes", "s", "8", &metrics), DECISION_YES);
    ck_assert_int_eq(vote("s no if value > 8 else yes", "s", "8.5", &metrics), DECISION_NO);
    ck_assert_int_eq(vote("s no if value != -2 else yes", "s", "-2", &metrics), DECISION_YES);
    ck_assert_int_eq(vote("*a*b yes", "xxaxxb", "v", &metrics), DECISION_YES);
    ck_assert_int_eq(vote("*a*b yes", "xxaxxbc", "v", &metrics), DECISION_NONE);
    ck_assert_int_eq(vote("* yes", "anything", "v", &metrics), DECISION_YES);
}
END_TEST

START_TEST(the_first_that_fits_applies)
{
    struct policy_rule rules[2];
    struct metrics metrics = calm();
    const char *why;

    ck_assert_int_eq(policy_parse(mn_span_str("deploy/db no"), &rules[0], &why), MN_OK);
    ck_assert_int_eq(policy_parse(mn_span_str("deploy/* yes"), &rules[1], &why), MN_OK);
    ck_assert_int_eq(policy_vote(rules, 2, mn_span_str("deploy/db"), mn_span_str("v"), &metrics),
                     DECISION_NO);
    ck_assert_int_eq(policy_vote(rules, 2, mn_span_str("deploy/web"), mn_span_str("v"), &metrics),
                     DECISION_YES);
}
END_TEST

START_TEST(what_is_no_rule_says_why)
{
    static const struct {
        const char *rule, *why;
    } bad[] = {
        {"", "topic"},
        {"deploy", "yes, no or abstain"},
        {"deploy maybe", "yes, no or abstain"},
        {"deploy is", "after `is`"},
        {"deploy yes if", "metric"},
        {"deploy yes if weather < 3", "load"},
        {"deploy yes if load << 3", "<="},
        {"deploy yes if load <", "number"},
        {"deploy yes if load < 3e5", "number"},
        {"deploy yes if load < .", "number"},
        {"deploy yes if load < 3 else maybe", "else"},
        {"deploy yes if load < 3 else no please", "not part"},
        {"deploy yes now", "not part"},
        {"d yes if load < 1 and load < 1 and load < 1 and load < 1 and load < 1 and load < 1 and "
         "load < 1 and load < 1 and load < 1",
         "more than 8"},
    };
    char longer[600];
    struct policy_rule rule;
    const char *why;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why = "nothing";
        ck_assert_int_eq(policy_parse(mn_span_str(bad[i].rule), &rule, &why), MN_CONFIG);
        ck_assert_msg(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].rule, why);
    }
    memset(longer, 'a', sizeof longer);
    ck_assert_int_eq(policy_parse(mn_span(longer, sizeof longer), &rule, &why), MN_CONFIG);
}
END_TEST

START_TEST(metrics_are_signed_by_their_node)
{
    mn_id mesh = {{3}}, other = {{4}};
    uint8_t seed[SIGN_SEED_SIZE] = {7}, pk[SIGN_PK_SIZE];
    struct mn_now now = {MN_SEC, 1700000000 * MN_SEC};
    struct metrics said = calm(), read;
    struct sign_key key;
    struct mn_buf *record;
    uint64_t wall_ms;

    ck_assert_int_ge(sodium_init(), 0);
    sign_key_init(&key, seed);
    said.values[METRIC_LOAD] = 12.5;
    record = metrics_encode(&said, &mesh, &key, now);
    ck_assert_uint_le(record->size, METRICS_RECORD_MAX);
    ck_assert_int_eq(metrics_decode(mn_buf_span(record), &mesh, pk, &wall_ms, &read), MN_OK);
    ck_assert_mem_eq(pk, key.pk, sizeof pk);
    ck_assert_uint_eq(wall_ms, 1700000000000);
    ck_assert(read.values[METRIC_LOAD] > 12.4 && read.values[METRIC_LOAD] < 12.6);
    ck_assert(isnan(read.values[METRIC_RTT]));
    ck_assert_int_eq(metrics_decode(mn_buf_span(record), &other, pk, &wall_ms, &read),
                     MN_BAD_SIGNATURE);
    for (uint32_t i = 0; i < record->size; i++) {
        record->bytes[i] ^= 1;
        ck_assert_int_ne(metrics_decode(mn_buf_span(record), &mesh, pk, &wall_ms, &read), MN_OK);
        record->bytes[i] ^= 1;
    }
    mn_buf_unref(record);
}
END_TEST

START_TEST(a_score_is_of_what_is_known_and_in_range)
{
    struct metrics metrics = calm();

    ck_assert_uint_eq(metrics_weight(&metrics), 1000);
    metrics.values[METRIC_LOAD] = 64;
    ck_assert_uint_eq(metrics_weight(&metrics), 500);
    metrics.values[METRIC_FAILURES] = 0.5;
    ck_assert_uint_eq(metrics_weight(&metrics), 250);
    metrics.values[METRIC_FAILURES] = -1;
    ck_assert_uint_eq(metrics_weight(&metrics), 0);
    metrics = calm();
    metrics.values[METRIC_LINKS] = (double)INFINITY;
    ck_assert_uint_eq(metrics_weight(&metrics), 0);
    metrics.values[METRIC_LINKS] = (double)NAN;
    ck_assert_uint_eq(metrics_weight(&metrics), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");

    tcase_add_test(tcase, a_rule_votes_where_it_applies);
    tcase_add_test(tcase, nothing_is_made_up);
    tcase_add_test(tcase, values_are_texts_and_numbers);
    tcase_add_test(tcase, the_first_that_fits_applies);
    tcase_add_test(tcase, what_is_no_rule_says_why);
    tcase_add_test(tcase, metrics_are_signed_by_their_node);
    tcase_add_test(tcase, a_score_is_of_what_is_known_and_in_range);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
