#include "node/state/advisor.h"

#include "proto/base/check.h"

#define SPARE 2u /* voters beyond 2f + 1 */

static mn_time ack_of(const struct advisor_voter *voter)
{
    return voter->is_alive && voter->ack > 0 ? voter->ack : MN_TIME_NEVER;
}

/* The voters from the fastest to the slowest; those that are equally fast in their own order. */
static void sort_by_ack(const struct advisor_voter *voters, uint32_t count, uint32_t *order)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && ack_of(&voters[order[at - 1]]) > ack_of(&voters[i]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Until more than half of the weight has it. */
static mn_time predict(const struct advisor_voter *voters, const uint32_t *order,
                       const uint32_t *weights, uint32_t count)
{
    uint64_t total = 0, sum = 0;

    for (uint32_t i = 0; i < count; i++)
        total += weights[i];
    for (uint32_t i = 0; i < count; i++) {
        sum += weights[order[i]];
        if (2 * sum > total) return ack_of(&voters[order[i]]);
    }
    return MN_TIME_NEVER;
}

static uint32_t gain(mn_time from, mn_time to)
{
    if (to >= from) return 0;
    if (from == MN_TIME_NEVER) return 1000;
    return (uint32_t)((from - to) * 1000 / from);
}

static uint32_t divisor_of(uint32_t a, uint32_t b)
{
    return b == 0 ? a : divisor_of(b, a % b);
}

/* The [heavy] fastest weigh more. With whole numbers: times f, without what both have in common. */
static void shape(const uint32_t *order, uint32_t count, uint32_t *weights)
{
    uint32_t heavy = (count - 1 - SPARE) / 2, spare = count - 1 - 2 * heavy;
    uint32_t common = divisor_of(heavy + spare, heavy);

    for (uint32_t i = 0; i < count; i++)
        weights[order[i]] = (i < heavy ? heavy + spare : heavy) / common;
}

struct advisor_advice advisor_judge(const struct advisor_voter *voters, uint32_t count)
{
    struct advisor_advice advice = {0};
    uint32_t order[QUORUM_VOTERS_MAX], before[QUORUM_VOTERS_MAX], shaped[QUORUM_VOTERS_MAX];
    mn_time then;

    MN_ASSERT(count > 0 && count <= QUORUM_VOTERS_MAX);
    sort_by_ack(voters, count, order);
    for (uint32_t i = 0; i < count; i++) {
        before[i] = voters[i].weight;
        advice.weights[i] = 1;
    }
    advice.now = predict(voters, order, before, count);
    advice.then = predict(voters, order, advice.weights, count);
    if (count >= 2 * 1 + 1 + SPARE) {
        shape(order, count, shaped);
        then = predict(voters, order, shaped, count);
        if (gain(advice.then, then) >= QUORUM_REWEIGH_GAIN_PERMILLE) {
            memcpy(advice.weights, shaped, count * sizeof *shaped);
            advice.then = then;
        }
    }
    advice.gain_permille = gain(advice.now, advice.then);
    return advice;
}
