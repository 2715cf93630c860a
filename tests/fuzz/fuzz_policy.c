/* A rule for voting, and bytes as what a member says about itself: any bytes. First a length, then
 * so much of a rule, then the value that it is asked about, which is read as a record too. */
#include <stdlib.h>

#include <sodium.h>

#include "node/core/policy.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mn_id mesh = {{1}};
    size_t cut = size == 0 ? 0 : data[0];
    struct metrics metrics = {{0}}, said;
    uint8_t pk[SIGN_PK_SIZE];
    struct mn_span rest, text;
    struct policy_rule rule;
    const char *why = NULL;
    uint64_t wall_ms;

    if (sodium_init() < 0) abort();
    if (size == 0) return 0;
    rest = mn_span(data + 1, size - 1);
    if (cut > rest.size) cut = rest.size;
    text = mn_span(rest.data, cut);
    rest = mn_span(rest.data + cut, rest.size - cut);
    if (policy_parse(text, &rule, &why) == MN_OK) {
        enum decision_choice choice = policy_vote(&rule, 1, rest, rest, &metrics);
        MN_ASSERT(choice <= DECISION_ABSTAIN && rule.then != DECISION_NONE);
        MN_ASSERT(choice == DECISION_NONE || choice == rule.then || choice == rule.otherwise);
        MN_ASSERT(policy_parse(rule.text, &rule, &why) == MN_OK);
    } else {
        MN_ASSERT(why != NULL);
    }
    if (metrics_decode(rest, &mesh, pk, &wall_ms, &said) == MN_OK)
        MN_ASSERT(metrics_weight(&said) <= 1000);
    return 0;
}
