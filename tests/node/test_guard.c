/* Who may speak to this node over TCP: roles, ends, guesses, and what stands in URLs. */
#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/guard.h"
#include "tests/suite.h"

static const char secret[] = "a secret of thirty-two characters";
static struct guard *guard;
static struct mn_now now;
static enum guard_role role;
static mn_id principal;

static void begin(void)
{
    const struct mn_span bearer = mn_span_str(secret);

    guard = guard_new(NULL, 0, &bearer, 1);
    now = (struct mn_now){.mono = MN_HOUR, .wall = (mn_time)20000 * MN_DAY};
}

static void end(void)
{
    guard_free(guard);
}

struct ask {
    const char *address, *authorization, *forwarded, *target;
};

static enum guard_verdict judge(const struct ask *ask)
{
    struct edge_header headers[2];
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP, .headers = headers};

    http.address = mn_span_str(ask->address != NULL ? ask->address : "192.0.2.1");
    http.target = mn_span_str(ask->target != NULL ? ask->target : "/v1/status");
    if (ask->authorization != NULL)
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("authorization"), mn_span_str(ask->authorization)};
    if (ask->forwarded != NULL)
        headers[http.headers_count++] =
            (struct edge_header){mn_span_str("x-forwarded-for"), mn_span_str(ask->forwarded)};
    return guard_judge(guard, now, &http, &role, &principal);
}

static enum guard_verdict show(const char *authorization)
{
    return judge(&(struct ask){.authorization = authorization});
}

/* "Bearer mna1-..." of a new token with this role, which ends after [ttl_ms]. */
static const char *token_for(enum guard_role with, uint64_t ttl_ms, struct guard_token *token)
{
    static char text[16 + GUARD_TOKEN_TEXT_SIZE];
    static uint8_t random[32];
    char token_text[GUARD_TOKEN_TEXT_SIZE];

    random[0]++;
    guard_token_make(random, token_text, token);
    token->role = with;
    token->created_ms = mn_wall_ms(now);
    token->not_after_ms = token->created_ms + ttl_ms;
    ck_assert_int_eq(guard_token_add(guard, now, token), MN_OK);
    snprintf(text, sizeof text, "Bearer %s", token_text);
    return text;
}

START_TEST(a_configured_secret_is_a_client)
{
    char text[64];

    snprintf(text, sizeof text, "bearer  %s ", secret);
    ck_assert_int_eq(show(text), GUARD_PASSED);
    ck_assert_int_eq(role, GUARD_CLIENT);
    ck_assert_int_eq(show(NULL), GUARD_UNKNOWN);
    ck_assert_int_eq(show("Basic YTpi"), GUARD_UNKNOWN);
    ck_assert_int_eq(show("Bearer "), GUARD_UNKNOWN);
}
END_TEST

START_TEST(a_token_has_its_role_until_it_ends_or_is_revoked)
{
    struct guard_token token, other;
    char text[80];
    mn_id first;

    for (unsigned i = GUARD_CLIENT; i <= GUARD_ADMIN; i++) {
        ck_assert_int_eq(show(token_for((enum guard_role)i, 60000, &token)), GUARD_PASSED);
        ck_assert_int_eq(role, i);
    }
    snprintf(text, sizeof text, "%s", token_for(GUARD_VIEWER, 60000, &token));
    ck_assert_int_eq(show(text), GUARD_PASSED);
    first = principal;
    ck_assert_int_eq(show(token_for(GUARD_VIEWER, 60000, &other)), GUARD_PASSED);
    ck_assert(!mn_id_equal(&first, &principal));
    guard_token_remove(guard, &token);
    ck_assert_int_eq(show(text), GUARD_UNKNOWN);
    ck_assert_int_eq(role, GUARD_NOBODY);
    snprintf(text, sizeof text, "%s", token_for(GUARD_ADMIN, 1000, &token));
    ck_assert_int_eq(show(text), GUARD_PASSED);
    now.wall += MN_SEC;
    ck_assert_int_eq(show(text), GUARD_UNKNOWN);
}
END_TEST

START_TEST(without_configured_secrets_only_api_tokens_are_looked_at)
{
    struct guard_token token;
    const char *text;

    guard_free(guard);
    guard = guard_new(NULL, 0, NULL, 0);
    ck_assert_int_eq(show("Bearer whatever"), GUARD_PASSED);
    ck_assert_int_eq(role, GUARD_NOBODY); /* the anonymous one: nothing on /v1 */
    text = token_for(GUARD_OPERATOR, 60000, &token);
    ck_assert_int_eq(show(text), GUARD_PASSED);
    ck_assert_int_eq(role, GUARD_OPERATOR);
    ck_assert_int_eq(show("Bearer mna1-unknown"), GUARD_UNKNOWN);
}
END_TEST

START_TEST(the_eleventh_wrong_secret_of_a_minute_is_too_often)
{
    struct ask right = {.authorization = "Bearer a secret of thirty-two characters"};

    for (unsigned i = 0; i < GUARD_FAILURES_MAX; i++)
        ck_assert_int_eq(show("Bearer wrong"), GUARD_UNKNOWN);
    ck_assert_int_eq(show("Bearer wrong"), GUARD_TOO_OFTEN);
    ck_assert_int_eq(judge(&right), GUARD_TOO_OFTEN); /* or it could still be guessed */
    ck_assert_int_eq(show(NULL), GUARD_UNKNOWN);      /* who shows nothing guesses at nothing */
    right.address = "192.0.2.2";
    ck_assert_int_eq(judge(&right), GUARD_PASSED); /* others are not held up */
    now.mono += MN_MINUTE;
    right.address = NULL;
    ck_assert_int_eq(judge(&right), GUARD_PASSED);
}
END_TEST

START_TEST(behind_a_proxy_the_address_is_the_one_that_it_saw)
{
    struct ask wrong = {.authorization = "Bearer wrong", .forwarded = "203.0.113.1, 198.51.100.1"};
    struct ask right = {.authorization = "Bearer a secret of thirty-two characters",
                        .forwarded = "198.51.100.2"};

    for (unsigned i = 0; i < GUARD_FAILURES_MAX; i++)
        ck_assert_int_eq(judge(&wrong), GUARD_UNKNOWN);
    ck_assert_int_eq(judge(&right), GUARD_TOO_OFTEN); /* not a proxy: the header is not believed */
    now.mono += MN_MINUTE;
    guard_set_proxied(guard, true);
    for (unsigned i = 0; i < GUARD_FAILURES_MAX; i++)
        ck_assert_int_eq(judge(&wrong), GUARD_UNKNOWN);
    wrong.forwarded = "8.8.8.8, 198.51.100.1"; /* the client's own part changes nothing */
    ck_assert_int_eq(judge(&wrong), GUARD_TOO_OFTEN);
    ck_assert_int_eq(judge(&right), GUARD_PASSED);
}
END_TEST

/* More addresses than are counted: the rest share one count, and memory stays. */
START_TEST(guessing_from_many_addresses_is_bounded)
{
    char address[32];
    unsigned too_often = 0;

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(address, sizeof address, "10.%u.%u.1", i / 256, i % 256);
        too_often += judge(&(struct ask){.address = address, .authorization = "Bearer wrong"}) ==
                     GUARD_TOO_OFTEN;
    }
    ck_assert_uint_eq(too_often, 5000 - 1024 - GUARD_FAILURES_MAX);
    now.mono += MN_MINUTE;
    ck_assert_int_eq(show("Bearer wrong"), GUARD_UNKNOWN);
}
END_TEST

START_TEST(a_secret_in_the_url_is_refused_even_when_it_is_right)
{
    const char *targets[] = {"/v1/status?access_token=x", "/mcp?x=mna1-abc",
                             "/v1/nodes?a=b&t=mnt1-x"};

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        ck_assert_int_eq(judge(&(struct ask){.target = targets[i]}), GUARD_IN_QUERY);
    ck_assert_int_eq(judge(&(struct ask){.target = "/v1/tools/mna1-x"}), GUARD_UNKNOWN);
}
END_TEST

START_TEST(tokens_are_stored_as_they_are_and_nothing_else_decodes)
{
    struct guard_token token, back;
    uint8_t value[GUARD_TOKEN_VALUE_SIZE];

    token_for(GUARD_OPERATOR, 60000, &token);
    guard_token_encode(&token, value);
    ck_assert_int_eq(guard_token_decode(mn_span(value, sizeof value), &back), MN_OK);
    ck_assert_mem_eq(back.hash, token.hash, sizeof back.hash);
    ck_assert_int_eq(back.role, GUARD_OPERATOR);
    ck_assert_uint_eq(back.not_after_ms, token.not_after_ms);
    ck_assert_int_eq(guard_token_decode(mn_span(value, sizeof value - 1), &back), MN_MALFORMED);
    value[GUARD_HASH_SIZE] = GUARD_ADMIN + 1;
    ck_assert_int_eq(guard_token_decode(mn_span(value, sizeof value), &back), MN_MALFORMED);
    value[GUARD_HASH_SIZE] = GUARD_NOBODY;
    ck_assert_int_eq(guard_token_decode(mn_span(value, sizeof value), &back), MN_MALFORMED);
}
END_TEST

START_TEST(a_token_that_was_stored_ends_as_any)
{
    struct guard_token token, back;
    uint8_t value[GUARD_TOKEN_VALUE_SIZE];
    struct mn_now later = now;
    uint64_t before;

    token_for(GUARD_OPERATOR, 60000, &token);
    guard_token_encode(&token, value);
    memset(&back, 1, sizeof back); /* whatever was there before */
    ck_assert_int_eq(guard_token_decode(mn_span(value, sizeof value), &back), MN_OK);
    guard_token_remove(guard, &token);
    before = guard_ends(guard, now);
    ck_assert_int_eq(guard_token_add(guard, now, &back), MN_OK);
    later.wall += MN_MINUTE;
    ck_assert_uint_eq(guard_ends(guard, later), before + 1);
}
END_TEST

START_TEST(a_full_table_takes_no_more_until_one_ends)
{
    struct guard_token token = {.role = GUARD_VIEWER, .not_after_ms = mn_wall_ms(now) + 1000};

    for (uint32_t i = 0; i < GUARD_TOKENS_MAX; i++) {
        mn_store_u32(token.hash, i);
        ck_assert_int_eq(guard_token_add(guard, now, &token), MN_OK);
        ck_assert_int_eq(guard_token_add(guard, now, &token), MN_EXISTS);
    }
    mn_store_u32(token.hash, GUARD_TOKENS_MAX);
    ck_assert_int_eq(guard_token_add(guard, now, &token), MN_FULL);
    now.wall += 2 * MN_SEC;
    token.not_after_ms += 60000;
    ck_assert_int_eq(guard_token_add(guard, now, &token), MN_OK);
    ck_assert_ptr_null(guard_token_next(guard, guard_token_next(guard, NULL)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *tcase = tcase_create("guard");

    if (sodium_init() < 0) return EXIT_FAILURE;
    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, a_configured_secret_is_a_client);
    tcase_add_test(tcase, a_token_has_its_role_until_it_ends_or_is_revoked);
    tcase_add_test(tcase, without_configured_secrets_only_api_tokens_are_looked_at);
    tcase_add_test(tcase, the_eleventh_wrong_secret_of_a_minute_is_too_often);
    tcase_add_test(tcase, behind_a_proxy_the_address_is_the_one_that_it_saw);
    tcase_add_test(tcase, guessing_from_many_addresses_is_bounded);
    tcase_add_test(tcase, a_secret_in_the_url_is_refused_even_when_it_is_right);
    tcase_add_test(tcase, tokens_are_stored_as_they_are_and_nothing_else_decodes);
    tcase_add_test(tcase, a_token_that_was_stored_ends_as_any);
    tcase_add_test(tcase, a_full_table_takes_no_more_until_one_ends);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
