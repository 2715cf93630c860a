/* Records and accusations from anywhere: decoding them, keeping what decodes. The first byte says
 * how much of the envelope is ours, so that the fuzzer gets past it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <sodium.h>

#include "mesh/record.h"
#include "proto/base/check.h"
#include "proto/member.pb-c.h"
#include "proto/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mn_span wrap(struct mn_span body, struct mn_arena *arena)
{
    static uint8_t signature[SIGN_SIZE];
    Meshnode__Member__Signed message = MESHNODE__MEMBER__SIGNED__INIT;

    message.body = pb_bytes(body);
    message.signature = pb_bytes(mn_span(signature, sizeof signature));
    return pb_pack_arena(&message.base, arena);
}

static void try_record(struct mn_span bytes, struct mn_arena *arena)
{
    struct record record, again, *kept;
    struct mn_pool pool;

    if (record_decode(bytes, arena, &record) != MN_OK) return;
    MN_ASSERT(bytes.size <= RECORD_SIZE_MAX && record.said.addrs_count <= RECORD_ADDRS_MAX);
    mn_pool_init(&pool, 65536);
    kept = record_keep(&record, &pool);
    MN_ASSERT(kept != NULL && record_compare(kept, &record) == 0);
    MN_ASSERT(mn_span_equal(kept->said.grant, record.said.grant));
    MN_ASSERT(record_decode(kept->signed_bytes, arena, &again) == MN_OK);
    MN_ASSERT(mn_id_equal(&again.node_id, &record.node_id));
    mn_pool_free(&pool, kept);
    MN_ASSERT(pool.used == 0);
}

static void try_accusation(struct mn_span bytes, struct mn_arena *arena)
{
    struct accusation accusation;

    if (accusation_decode(bytes, arena, &accusation) != MN_OK) return;
    MN_ASSERT(!mn_id_equal(&accusation.subject, &accusation.accuser));
    MN_ASSERT(accusation.kind == ACCUSATION_SUSPECT || accusation.kind == ACCUSATION_DEAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_arena arena = {0};
    struct mn_span bytes;

    if (sodium_init() < 0) abort();
    if (size == 0) return 0;
    bytes = mn_span(data + 1, size - 1);
    if ((data[0] & 2) != 0) bytes = wrap(bytes, &arena);
    if ((data[0] & 1) != 0)
        try_accusation(bytes, &arena);
    else
        try_record(bytes, &arena);
    mn_arena_done(&arena);
    return 0;
}
