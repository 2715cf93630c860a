#include "node/core/callwire.h"

#include "node/core/catalog.h"
#include "proto/base/check.h"
#include "proto/envelope.h"
#include "proto/pb.h"

#define SIZE_BYTES 4 /* of the header's size in front */

_Static_assert(SIZE_BYTES + CALLWIRE_HEADER_MAX <= ENVELOPE_PREFIX_MAX, "it is a prefix");

static struct mn_span callwire_cut(struct mn_span text, size_t size_max)
{
    return mn_span(text.data, text.size < size_max ? text.size : size_max);
}

struct mn_span callwire_encode(const struct callwire *message, struct mn_arena *arena)
{
    Meshnode__Callwire__Header header = MESHNODE__CALLWIRE__HEADER__INIT;
    uint8_t *bytes;
    size_t size;

    header.kind = message->kind;
    header.boot = message->boot;
    header.seq = message->seq;
    header.service = pb_bytes(message->service);
    header.timeout_us = message->timeout;
    header.timeout_total_us = message->timeout_total;
    header.is_idempotent = message->is_idempotent;
    header.trace = pb_bytes(message->trace);
    header.failure = (uint32_t)message->failure;
    header.not_started = message->not_started;
    header.text = pb_bytes(callwire_cut(message->text, CALLWIRE_TEXT_MAX));
    size = meshnode__callwire__header__get_packed_size(&header);
    MN_ASSERT(size <= CALLWIRE_HEADER_MAX);
    bytes = mn_arena_alloc(arena, SIZE_BYTES + size);
    mn_store_u32(bytes, (uint32_t)size);
    meshnode__callwire__header__pack(&header, bytes + SIZE_BYTES);
    return mn_span(bytes, SIZE_BYTES + size);
}

static mn_status callwire_check(const struct callwire *message)
{
    bool has_payload = message->payload.size > 0;

    if (message->boot == 0 || message->seq == 0) return MN_MALFORMED;
    switch (message->kind) {
    case MESHNODE__CALLWIRE__KIND__KIND_REQUEST:
        if (!catalog_name_is_valid(message->service)) return MN_MALFORMED;
        if (message->trace.size > CALLWIRE_TRACE_MAX) return MN_TOO_BIG;
        return MN_OK;
    case MESHNODE__CALLWIRE__KIND__KIND_PROGRESS:
    case MESHNODE__CALLWIRE__KIND__KIND_INPUT:
    case MESHNODE__CALLWIRE__KIND__KIND_RESULT: return MN_OK;
    case MESHNODE__CALLWIRE__KIND__KIND_CANCEL: return has_payload ? MN_MALFORMED : MN_OK;
    case MESHNODE__CALLWIRE__KIND__KIND_FAILED:
        if (message->text.size > CALLWIRE_TEXT_MAX) return MN_TOO_BIG;
        return has_payload ? MN_MALFORMED : MN_OK;
    case MESHNODE__CALLWIRE__KIND__KIND_NONE:
    case _MESHNODE__CALLWIRE__KIND_IS_INT_SIZE: break;
    }
    return MN_MALFORMED;
}

/* A node we do not trust with our terminals and JSON wrote it. */
static struct mn_span callwire_printable(struct mn_arena *arena, struct mn_span text)
{
    uint8_t *copy = mn_arena_alloc(arena, text.size + 1);

    for (size_t i = 0; i < text.size; i++)
        copy[i] = text.data[i] < 0x20 || text.data[i] > 0x7e ? '?' : text.data[i];
    return mn_span(copy, text.size);
}

static mn_time callwire_timeout(uint64_t timeout)
{
    if (timeout == 0 || timeout > CALLWIRE_TIMEOUT_MAX) return CALLWIRE_TIMEOUT_MAX;
    return timeout;
}

/* What a newer node may say instead is a failure like any other. */
static enum call_failure callwire_failure(uint32_t failure)
{
    if (failure < CALL_NOT_FOUND || failure > CALL_GONE) return CALL_UPSTREAM;
    return (enum call_failure)failure;
}

mn_status callwire_decode(struct mn_span bytes, struct mn_arena *arena, struct callwire *ret)
{
    Meshnode__Callwire__Header *header;
    struct callwire message;
    uint32_t size;
    mn_status status;

    if (bytes.size < SIZE_BYTES) return MN_MALFORMED;
    size = mn_load_u32(bytes.data);
    if (size > CALLWIRE_HEADER_MAX) return MN_TOO_BIG;
    if (size > bytes.size - SIZE_BYTES) return MN_MALFORMED;
    if (bytes.size - SIZE_BYTES - size > CALLWIRE_PAYLOAD_MAX) return MN_TOO_BIG;
    header = pb_view(&meshnode__callwire__header__descriptor, arena,
                     mn_span(bytes.data + SIZE_BYTES, size));
    if (header == NULL) return MN_MALFORMED;
    message = (struct callwire){
        .kind = header->kind,
        .boot = header->boot,
        .seq = header->seq,
        .service = pb_span(header->service),
        .timeout = callwire_timeout(header->timeout_us),
        .timeout_total = callwire_timeout(header->timeout_total_us),
        .is_idempotent = header->is_idempotent,
        .trace = pb_span(header->trace),
        .failure = callwire_failure(header->failure),
        .not_started = header->not_started,
        .text = callwire_printable(arena, pb_span(header->text)),
        .payload = mn_span(bytes.data + SIZE_BYTES + size, bytes.size - SIZE_BYTES - size),
    };
    status = callwire_check(&message);
    if (status == MN_OK) *ret = message;
    return status;
}
