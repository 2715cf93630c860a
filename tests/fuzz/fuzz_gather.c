/* What a member sends about findings: it is refused, or means the same written again. */
#include "node/gather.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum gather_kind kind;
    uint64_t number;
    struct mn_span json;
    struct mn_buf *again;

    if (!gather_decode(mn_span(data, size), &kind, &number, &json)) return 0;
    again = gather_encode(kind, number, json);
    MN_ASSERT(mn_span_equal(mn_buf_span(again), mn_span(data, size)));
    mn_buf_unref(again);
    return 0;
}
