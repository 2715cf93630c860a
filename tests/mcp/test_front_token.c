/* What clients opened with an API token, when that is revoked or expires. */
#include <stdio.h>
#include <string.h>

#include "crypto/rng.h"
#include "tests/mcp/client.h"
#include "tests/suite.h"

#define ID "{\"jsonrpc\":\"2.0\",\"id\":1,"
#define CALL ID "\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\"}}"
#define LIFE (10 * MN_MINUTE)

static const uint8_t seed[RNG_SEED_SIZE] = "a front that knows some tokens";
static const char *const tools[] = {"{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}",
                                    NULL};
static struct guard *guard;
static struct guard_token tokens[2];
static char bearers[2][80]; /* header lines */

static void token_make(int index)
{
    const uint8_t secret[32] = {(uint8_t)(index + 1)};
    char text[GUARD_TOKEN_TEXT_SIZE];

    guard_token_make(secret, text, &tokens[index]);
    tokens[index].role = GUARD_CLIENT;
    tokens[index].created_ms = mn_wall_ms(client_now);
    tokens[index].not_after_ms = tokens[index].created_ms + LIFE / MN_MS;
    ck_assert_int_eq(guard_token_add(guard, client_now, &tokens[index]), MN_OK);
    snprintf(bearers[index], sizeof bearers[index], "authorization: Bearer %s", text);
}

static void setup(void)
{
    guard = guard_new(NULL, 0, NULL, 0);
    client_config = (struct mcp_config){.self = {{1}}, .seed = seed, .guard = guard};
    client_setup();
    token_make(0);
    token_make(1);
    client_service("srv", true, tools);
}

static void teardown(void)
{
    client_teardown();
    guard_free(guard);
}

static const struct client_response *modern(int bearer, const char *method, const char *params)
{
    char line[64], body[512];
    const char *const headers[] = {"mcp-protocol-version: 2026-07-28", line, bearers[bearer],
                                   "mcp-name: srv__echo", NULL};

    snprintf(line, sizeof line, "mcp-method: %s", method);
    snprintf(body, sizeof body, ID "\"method\":\"%s\",\"params\":%s}", method, params);
    return client_send("POST", "/mcp", headers, body);
}

static const struct client_response *listen_with(int bearer)
{
    return modern(bearer, "subscriptions/listen",
                  "{\"notifications\":{\"toolsListChanged\":true}," MODERN_META("") "}");
}

static const struct client_response *call_with(int bearer)
{
    return modern(bearer, "tools/call", "{\"name\":\"srv__echo\"," MODERN_META("") "}");
}

/* A session of the first token, and something of it. */
static const struct client_response *in_session(const char *method, const char *body)
{
    static char line[400];
    const char *const headers[] = {bearers[0], line, NULL};

    if (line[0] == 0) {
        const char *const first[] = {bearers[0], NULL};
        snprintf(line, sizeof line, "mcp-session-id: %s",
                 client_send("POST", "/mcp", first,
                             ID "\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                                "\"2025-11-25\",\"capabilities\":{}}}")
                     ->session);
    }
    return client_send(method, "/mcp", headers, body);
}

static uint32_t sessions_count(void)
{
    struct mcp_stats stats;

    front_stats(client_front, &stats);
    return (uint32_t)stats.sessions_count;
}

/* As the loop does: whenever the front wants to. */
static void pass(mn_time time)
{
    mn_time end = client_now.mono + time;

    while (client_now.mono < end) {
        mn_time next = mn_time_min(front_deadline(client_front), end);
        if (next <= client_now.mono) next = client_now.mono + 1;
        client_now.wall += next - client_now.mono;
        client_at(next);
    }
}

START_TEST(what_a_revoked_token_opened_ends)
{
    const struct client_response *mine = listen_with(0), *other = listen_with(1), *anonymous, *call,
                                 *stream, *asked;

    anonymous =
        client_modern("subscriptions/listen", NULL, "{\"notifications\":{}," MODERN_META("") "}");
    stream = in_session("GET", NULL);
    call = call_with(0);
    asked = in_session("POST", CALL);
    pass(10 * MN_SEC);
    ck_assert(!mine->is_ended && !stream->is_ended && !call->is_ended);
    guard_token_remove(guard, &tokens[0]);
    pass(MN_SEC);
    ck_assert(mine->is_ended && stream->is_ended && call->is_ended && asked->is_ended);
    ck_assert_ptr_nonnull(strstr(mine->body, "\"resultType\":\"complete\""));
    ck_assert_uint_eq(call->code, 401);
    ck_assert_uint_eq(asked->code, 401);
    ck_assert(client_calls[0].is_cancelled && client_calls[1].is_cancelled);
    ck_assert_uint_eq(sessions_count(), 0);
    ck_assert(!other->is_ended && !anonymous->is_ended);
    ck_assert_uint_eq(listen_with(0)->code, 401);
}
END_TEST

START_TEST(what_an_expired_token_opened_ends)
{
    const struct client_response *mine = listen_with(0), *stream = in_session("GET", NULL);

    pass(LIFE - MN_SEC);
    ck_assert(!mine->is_ended && !stream->is_ended);
    pass(2 * MN_SEC);
    ck_assert(mine->is_ended && stream->is_ended);
    ck_assert_uint_eq(sessions_count(), 0);
}
END_TEST

START_TEST(a_clock_that_is_set_ends_tokens_too_and_more_than_once)
{
    const struct client_response *mine = listen_with(0);

    client_now.wall += LIFE;
    pass(MN_SEC);
    ck_assert(mine->is_ended);
    client_now.wall -= LIFE;
    mine = listen_with(0);
    pass(MN_MINUTE);
    ck_assert(!mine->is_ended);
    client_now.wall += LIFE;
    pass(MN_SEC);
    ck_assert(mine->is_ended);
}
END_TEST

START_TEST(without_tokens_nothing_is_looked_at)
{
    mn_time before;

    pass(MN_SEC);
    client_modern("subscriptions/listen", NULL, "{\"notifications\":{}," MODERN_META("") "}");
    before = front_deadline(client_front);
    ck_assert(before > client_now.mono + MN_SEC);
    client_gone(listen_with(0)->id);
    pass(2 * MN_SEC);
    ck_assert(front_deadline(client_front) > client_now.mono + MN_SEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front_token");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, what_a_revoked_token_opened_ends);
    tcase_add_test(all, what_an_expired_token_opened_ends);
    tcase_add_test(all, a_clock_that_is_set_ends_tokens_too_and_more_than_once);
    tcase_add_test(all, without_tokens_nothing_is_looked_at);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
