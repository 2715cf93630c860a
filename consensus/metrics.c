#include "consensus/metrics.h"

#include <math.h>
#include <string.h>

#include "proto/decision.pb-c.h"
#include "proto/pb.h"

#define BODY_MAX ((size_t)256)
#define MILLION 1000000u

const char *metric_name(enum metric metric)
{
    static const char *const names[] = {
#define X(name, text, about) text,
        METRICS_LIST(X)
#undef X
    };

    return metric < METRIC_COUNT ? names[metric] : "unknown";
}

const char *metric_about(enum metric metric)
{
    static const char *const abouts[] = {
#define X(name, text, about) about,
        METRICS_LIST(X)
#undef X
    };

    return metric < METRIC_COUNT ? abouts[metric] : "";
}

enum metric metric_find(struct mn_span name)
{
    uint32_t metric = 0;

    while (metric < METRIC_COUNT && !mn_span_is(name, metric_name((enum metric)metric)))
        metric++;
    return (enum metric)metric;
}

/* Of 0..1. One multiplication and no sum: there is nothing to contract or to reorder. */
static uint64_t metrics_millionths(double part)
{
    return ((uint64_t)(part * (10.0 * MILLION)) + 5) / 10;
}

uint32_t metrics_weight(const struct metrics *metrics)
{
    double links = metrics->values[METRIC_LINKS], failures = metrics->values[METRIC_FAILURES];
    double load = metrics->values[METRIC_LOAD];
    uint64_t good;

    if (!(links >= 0 && links <= 1 && failures >= 0 && failures <= 1)) return 0; /* NaN too */
    if (!(load >= 0 && load <= 1e9)) return 0;
    good = metrics_millionths(links) * (MILLION - metrics_millionths(failures));
    return (uint32_t)(good / (MILLION / 1000) * METRICS_LOAD_HALF /
                      ((METRICS_LOAD_HALF + (uint64_t)load) * MILLION));
}

struct mn_buf *metrics_encode(const struct metrics *metrics, const mn_id *mesh_id,
                              const struct sign_key *key, struct mn_now now)
{
    Meshnode__Decision__Metrics wire = MESHNODE__DECISION__METRICS__INIT;
    Meshnode__Decision__Signed outer = MESHNODE__DECISION__SIGNED__INIT;
    double values[METRIC_COUNT];
    uint8_t signature[SIGN_SIZE];
    struct mn_buf *body, *record;

    memcpy(values, metrics->values, sizeof values);
    wire.node = pb_bytes(mn_span(key->pk, SIGN_PK_SIZE));
    wire.wall_ms = mn_wall_ms(now);
    wire.values = values;
    wire.n_values = METRIC_COUNT;
    body = pb_pack(&wire.base);
    sign_make(key, SIGN_METRICS, mesh_id, mn_buf_span(body), signature);
    outer.body = pb_bytes(mn_buf_span(body));
    outer.signature = pb_bytes(mn_span(signature, sizeof signature));
    record = pb_pack(&outer.base);
    mn_buf_unref(body);
    return record;
}

/* A newer node may say more; one that says less says nothing of the rest, and what is no number is
 * not known. */
static void metrics_read(const Meshnode__Decision__Metrics *wire, struct metrics *ret)
{
    for (uint32_t i = 0; i < METRIC_COUNT; i++)
        ret->values[i] =
            i < wire->n_values && isfinite(wire->values[i]) ? wire->values[i] : (double)NAN;
}

mn_status metrics_decode(struct mn_span record, const mn_id *mesh_id, uint8_t ret_pk[SIGN_PK_SIZE],
                         uint64_t *ret_wall_ms, struct metrics *ret)
{
    const Meshnode__Decision__Signed *outer = NULL;
    const Meshnode__Decision__Metrics *wire = NULL;
    uint8_t pk[SIGN_PK_SIZE], signature[SIGN_SIZE];
    struct mn_arena arena = {0};
    mn_status status = MN_MALFORMED;

    if (record.size <= METRICS_RECORD_MAX)
        outer = pb_unpack(&meshnode__decision__signed__descriptor, &arena, record);
    if (outer != NULL && outer->body.len <= BODY_MAX)
        wire = pb_unpack(&meshnode__decision__metrics__descriptor, &arena, pb_span(outer->body));
    if (wire != NULL && pb_fixed(wire->node, pk, sizeof pk) == MN_OK &&
        pb_fixed(outer->signature, signature, sizeof signature) == MN_OK)
        status = sign_check(pk, SIGN_METRICS, mesh_id, pb_span(outer->body), signature);
    if (status == MN_OK) {
        memcpy(ret_pk, pk, sizeof pk);
        *ret_wall_ms = wire->wall_ms;
        metrics_read(wire, ret);
    }
    mn_arena_done(&arena);
    return status;
}
