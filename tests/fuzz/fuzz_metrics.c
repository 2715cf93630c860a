/* What a member says it measures: refused, or within what its header promises; whoever signs may
 * say anything, so the input is also signed as it is. */
#include <math.h>
#include <sodium.h>
#include <stdlib.h>

#include "consensus/metrics.h"
#include "proto/base/check.h"
#include "proto/decision.pb-c.h"
#include "proto/pb.h"

static const mn_id mesh = {{5}};

static void judge(struct mn_span record)
{
    struct metrics metrics;
    uint8_t pk[SIGN_PK_SIZE];
    uint64_t wall_ms;

    if (metrics_decode(record, &mesh, pk, &wall_ms, &metrics) != MN_OK) return;
    MN_ASSERT(metrics_weight(&metrics) <= 1000);
    for (int i = 0; i < METRIC_COUNT; i++)
        MN_ASSERT(isnan(metrics.values[i]) || isfinite(metrics.values[i]));
}

/* [body] with our key in it, signed. */
static void judge_signed(struct mn_span bytes)
{
    static const uint8_t seed[SIGN_SEED_SIZE] = "metrics";
    Meshnode__Decision__Signed outer = MESHNODE__DECISION__SIGNED__INIT;
    struct mn_arena arena = {0};
    uint8_t signature[SIGN_SIZE];
    struct mn_buf *body, *record;
    struct sign_key key;
    Meshnode__Decision__Metrics *wire =
        pb_unpack(&meshnode__decision__metrics__descriptor, &arena, bytes);

    if (wire != NULL) {
        sign_key_init(&key, seed);
        wire->node = pb_bytes(mn_span(key.pk, sizeof key.pk));
        body = pb_pack(&wire->base);
        sign_make(&key, SIGN_METRICS, &mesh, mn_buf_span(body), signature);
        outer.body = pb_bytes(mn_buf_span(body));
        outer.signature = pb_bytes(mn_span(signature, sizeof signature));
        record = pb_pack(&outer.base);
        judge(mn_buf_span(record));
        mn_buf_unref(record);
        mn_buf_unref(body);
        sign_key_done(&key);
    }
    mn_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0) abort();
    judge(mn_span(data, size));
    judge_signed(mn_span(data, size));
    return 0;
}
