/* Whatever a child writes: to stdout and stderr, in any pieces, before and after it is ready, with
 * calls, cancellations, exits and time between them. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz_upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char modern[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"supportedVersions\":[\"2026-07-28\"],"
    "\"capabilities\":{\"tools\":{\"listChanged\":true}}}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{\"name\":\"echo\"}]}}\n";
static const char legacy[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"\"}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"protocolVersion\":\"2025-03-26\","
    "\"capabilities\":{\"tools\":{}},\"serverInfo\":{}}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"tools\":[{\"name\":\"echo\"}]}}\n";

/* Input: a byte that says how far the server is up; then pieces: an operation, a size, bytes. */
static void act(struct fuzz_upstream *fuzz, uint8_t operation, struct mn_span bytes)
{
    if (operation >= 0xf0) {
        fuzz_upstream_input(fuzz, bytes);
        return;
    }
    switch (operation % 8) {
    case 0: fuzz_upstream_out(fuzz, 2, bytes); break;
    case 1: fuzz_upstream_exit(fuzz, bytes.size == 0 ? 1 : bytes.data[0]); break;
    case 2: fuzz_upstream_call(fuzz, bytes); break;
    case 3: fuzz_upstream_cancel(fuzz, bytes.size > 0); break;
    case 4: fuzz_upstream_pass(fuzz, bytes.size == 0 ? MN_SEC : bytes.data[0] * MN_SEC); break;
    default: fuzz_upstream_out(fuzz, 1, bytes); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_upstream fuzz;
    struct mn_span rest = mn_span(data, size), piece;
    uint8_t operation;

    if (size == 0) return 0;
    fuzz_upstream_init(&fuzz, false, (enum upstream_era)(data[0] / 4 % 3));
    if (data[0] % 4 == 1) fuzz_upstream_out(&fuzz, 1, mn_span_str(modern));
    if (data[0] % 4 == 2) fuzz_upstream_out(&fuzz, 1, mn_span_str(legacy));
    rest = mn_span(data + 1, size - 1);
    while (fuzz_upstream_next(&rest, &operation, &piece))
        act(&fuzz, operation, piece);
    fuzz_upstream_done(&fuzz);
    return 0;
}
