/* Arbitrary request heads at the guard, and arbitrary text for words: nobody gets more than nothing
 * without the secret. Input: lines; the first is the target, the second the Authorization header,
 * the third X-Forwarded-For, the fourth Host, the rest words and a stored token. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/words.h"
#include "node/guard.h"
#include "proto/base/check.h"
#include "tests/fuzz/script.h"

static const char secret[] = "a secret that the input does not have: \x01\x02";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mn_span bearer = mn_span_str(secret);
    struct mn_span rest = mn_span(data, size);
    struct edge_header headers[3] = {{.name = mn_span_str("authorization")},
                                     {.name = mn_span_str("x-forwarded-for")},
                                     {.name = mn_span_str("host")}};
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .address = mn_span_str("192.0.2.1"),
                                     .headers = headers,
                                     .headers_count = 3};
    struct mn_now now = {.mono = MN_HOUR, .wall = MN_DAY};
    struct guard_token token;
    enum guard_role role;
    mn_id principal;

    if (sodium_init() < 0) return 0;
    struct guard *guard = guard_new(NULL, 0, &bearer, 1);
    guard_set_proxied(guard, true);
    http.target = script_line(&rest);
    for (unsigned i = 0; i < 3; i++)
        headers[i].value = script_line(&rest);
    for (unsigned i = 0; i < GUARD_FAILURES_MAX + 2; i++) {
        MN_ASSERT(guard_judge(guard, now, &http, &role, &principal) != GUARD_PASSED);
        MN_ASSERT(role == GUARD_NOBODY);
    }
    (void)guard_refusal(guard, &http);
    MN_ASSERT(!words_match(rest, mn_span_str(secret)));
    if (guard_token_decode(rest, &token) == MN_OK) {
        uint8_t again[GUARD_TOKEN_VALUE_SIZE];
        guard_token_encode(&token, again);
        MN_ASSERT(mn_span_equal(mn_span(again, sizeof again), rest));
    }
    guard_free(guard);
    return 0;
}
