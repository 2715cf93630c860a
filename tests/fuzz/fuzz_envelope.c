/* Arbitrary bytes as an envelope: what we accept protobuf-c accepts, and it survives encoding. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/envelope.h"
#include "proto/pb.h"
#include "proto/wire.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mn_arena arena = {0};
    struct envelope envelope, again;
    struct mn_span content;
    uint8_t *bytes;

    if (envelope_decode(mn_span(data, size), &envelope) == MN_OK) {
        MN_ASSERT(pb_unpack(&meshnode__wire__envelope__descriptor, &arena, mn_span(data, size)) !=
                  NULL);
        if (envelope.seal == ENVELOPE_SEAL_LINK) {
            MN_ASSERT(pb_unpack(&meshnode__wire__content__descriptor, &arena, envelope.content) !=
                      NULL);
            content = envelope.content;
            envelope.content = mn_span(NULL, 0); /* encode from the fields */
        } else {
            content = mn_span(NULL, 0);
        }
        MN_ASSERT(envelope_check(&envelope) == MN_OK || envelope.content.size == 0);
        if (envelope_check(&envelope) == MN_OK) {
            size_t written = envelope_size(&envelope);
            bytes = mn_arena_alloc(&arena, written);
            envelope_write(&envelope, bytes);
            MN_ASSERT(envelope_decode(mn_span(bytes, written), &again) == MN_OK);
            MN_ASSERT(again.sequence == envelope.sequence && again.type == envelope.type);
            MN_ASSERT(again.deadline_us == envelope.deadline_us);
            MN_ASSERT(mn_span_equal(again.payload, envelope.payload));
            MN_ASSERT(content.size == 0 || again.content.size <= content.size + 64);
        }
    }
    mn_arena_done(&arena);
    return 0;
}
